"""The stages around the FFT on one tile of frames: load, means, mel bands and log, spectrum out.

A tile is ``width`` neighbouring frames, one in each lane. Arguments are addresses, and pitches and
counts in values.
"""

from llvmlite import ir

from .simd import INTP, Accumulator, Index, Lanes, Number, Vector, emitted, fma

__all__ = [
    "LOG_POLYNOMIAL",
    "expect_bands",
    "frame_means",
    "mel_bands",
    "store_frames",
    "store_hartley",
    "store_spectrum",
    "transpose_columns",
]


# samples in


@emitted
def transpose_columns(
    lanes: Lanes, samples: Index, pitch: Index, height: Index, n_columns: Index, out: Index
) -> Index:
    """Write ``out[r, c] = samples[c * pitch + r]`` for r < height, c < n_columns.

    Column c is the stretch of samples between the starts of frames c and c + 1, so sample
    ``j * height + r`` of all frames of the tile lies together at ``out[r, j:]``: what overlapping
    frames share is transposed once. ``n_columns`` is ``width`` and a multiple of ``group`` more.

    Returns 1 if a value was infinite or not a number, else 0: the check costs one multiply-add a
    vector here and a pass over the signal anywhere else.
    """
    builder, width = lanes.builder, lanes.width
    non_finite = Accumulator(lanes)

    def check(vector: Vector) -> Vector:
        # x * 0 is 0, or NaN for what is not finite; NaN stays in the sum
        non_finite.set(vector.fma(lanes.wrap(0.0), non_finite.get()))
        return vector

    def block(row: Index) -> None:
        """``width`` rows of every column."""
        columns = [check(lanes.load(samples, c * pitch + row)) for c in range(width)]
        for c in range(width):
            lanes.prefetch(samples, (n_columns + c) * pitch + row)  # the next tile's
        for r, vector in enumerate(lanes.transpose(columns)):
            lanes.store(vector, out, (row + r) * n_columns)
        group = lanes.group
        with lanes.loop((n_columns - width) // group) as i:
            first = i * group + width
            columns = [check(lanes.load(samples, (first + c) * pitch + row)) for c in range(group)]
            for r, vector in enumerate(lanes.transpose_groups(columns)):
                for p, part in enumerate(lanes.parts(vector)):
                    lanes.store(part, out, (row + (group * p + r)) * n_columns + first)

    with builder.if_else(height >= width) as (tall, short):
        with tall:
            # Blocks begin where cache lines do, if they do so in all columns: a line that two
            # blocks shared would be gone before the second (hops of 2**k bytes fall into few sets
            # of the cache; hop 1024: 0.35 us a frame against 0.17). The first block and the last
            # overlap their neighbours.
            start = samples // lanes.item % lanes.line
            is_equal = builder.and_((pitch % lanes.line).equals(0), start > 0)
            lead = lanes.where(is_equal, lanes.line - start, lanes.index(0))
            n_leads = (lead + (width - 1)) // width
            n_blocks = (height - lead + (width - 1)) // width
            with lanes.loop(n_leads + n_blocks) as i:
                row = lead + (i - n_leads) * width
                block(lanes.clamp(row, lanes.index(0), height - width))
        with short, lanes.loop(height) as r, lanes.loop(n_columns) as c:
            value = lanes.load_real(samples, c * pitch + r)
            check(lanes.splat(value))
            lanes.store_real(value, out, r * n_columns + c)

    total = non_finite.get().value
    is_nan = builder.bitcast(builder.fcmp_unordered("uno", total, total), ir.IntType(width))
    any_nan = builder.icmp_unsigned("!=", is_nan, ir.Constant(is_nan.type, 0))
    return Index(builder, builder.zext(any_nan, INTP))


@emitted
def frame_means(
    lanes: Lanes, samples: Index, offsets: Index, n_samples: Index, factor: Index, out: Index
) -> None:
    """Write ``factor`` times the sum of each frame's samples, which lie at ``offsets`` (int32)."""
    # four sums: one chain of additions would wait for itself
    sums = [Accumulator(lanes) for _ in range(4)]

    def add(i: Index, total: Accumulator) -> None:
        total.set(total.get() + lanes.load(samples, lanes.load_index(offsets, i)))

    with lanes.loop(n_samples // 4) as quad:
        for i, total in enumerate(sums):
            add(quad * 4 + i, total)
    with lanes.loop(n_samples % 4) as rest:
        add(n_samples - 1 - rest, sums[0])
    a, b, c, d = (total.get() for total in sums)
    lanes.store(lanes.wrap(((a + b) + (c + d)) * lanes.broadcast(factor)), out)


# mel and log out


@emitted
def expect_bands(lanes: Lanes, n_mels: Index, out: Index, pitch: Index) -> None:
    """Ask for the cache lines that :func:`mel_bands` will write, one in each band."""
    with lanes.loop(n_mels) as m:
        lanes.prefetch(out, m * pitch + (lanes.width - 1), to_write=True)


@emitted
def mel_bands(
    lanes: Lanes,
    to_root: int,
    to_log: int,
    n_mels: Index,
    rows: Index,
    places: Index,
    segments: Index,
    weights: Index,
    scaling: Index,
    out: Index,
    pitch: Index,
) -> None:
    """Take the bins' roots, weigh and sum them to bands, take the log, store one vector a band.

    A segment is the bins between two neighbouring centres, where band s - 1 falls and band s
    rises: every bin is read once for both.

    rows: the tile's powers; places: int32, the vector that holds a bin; segments: int32
    (n_mels + 2,), first bin of each segment; weights: (n_bins, 2), falling and rising;
    scaling: what :class:`Logarithm` takes, used with ``to_log``, and what is added to a power
    before its root, used with ``to_root``; out: the first band's first frame; pitch: from a band to
    the next.
    """
    builder = lanes.builder
    finish = Logarithm(lanes, scaling) if to_log else (lambda value: value)
    # Two sums each, for even and odd bins: one chain of additions would wait for itself.
    falling, rising, falling_odd, rising_odd = (Accumulator(lanes) for _ in range(4))
    zero, added = lanes.wrap(0.0), lanes.broadcast(scaling, Logarithm.SIZE)

    def add_bin(k: Index, fall: Accumulator, rise: Accumulator) -> None:
        value = lanes.load(rows, lanes.load_index(places, k) * lanes.width)
        if to_root:  # here, where the multiplications do not wait for it
            root = builder.call(lanes.function("llvm.sqrt", 1), [(value + added).value])
            value = Vector(lanes, root)
        fall.set(fma(value, lanes.broadcast(weights, 2 * k), fall.get()))
        rise.set(fma(value, lanes.broadcast(weights, 2 * k + 1), rise.get()))

    with lanes.loop(n_mels + 1) as s:
        first = lanes.load_index(segments, s)
        n_bins = lanes.load_index(segments, s + 1) - first
        falling.set(rising.get())  # what band s - 1 gathered while it rose
        for total in (rising, falling_odd, rising_odd):
            total.set(zero)
        with lanes.loop(n_bins // 2) as pair:
            add_bin(first + 2 * pair, falling, rising)
            add_bin(first + 2 * pair + 1, falling_odd, rising_odd)
        with builder.if_then((n_bins % 2).equals(1)):
            add_bin(first + n_bins - 1, falling, rising)
        rising.set(rising.get() + rising_odd.get())
        with builder.if_then(s > 0):
            lanes.store(finish(falling.get() + falling_odd.get()), out, (s - 1) * pitch)


#: (log(1 + f) - f + f**2 / 2) / f**3 on sqrt(1/2) - 1 <= f <= sqrt(2) - 1, highest power first: the
#: polynomial of this degree with the least relative error of the logarithm, 3.2e-8, a quarter of
#: float32's last place (two terms more, as in Cephes' logf, cost 0.003 us a frame at 80 bands)
LOG_POLYNOMIAL = (
    0.08700435608625412,
    -0.14267486333847046,
    0.14914767444133759,
    -0.1657758504152298,
    0.19963063299655914,
    -0.2500133812427521,
    0.3333390951156616,
)


class Logarithm:
    """``factor * log(max(x, amin) + added) + offset`` on vectors, exact at the floor.

    What is not larger than amin gives the tabulated value, so that digital silence is the floor to
    the last bit; infinity and NaN come out as they are.

    scaling: float32 (amin, value at amin, logarithm of e, logarithm of 2, offset, added), the
    logarithms and the offset in the units of the result.
    """

    #: values that it takes
    SIZE = 6

    def __init__(self, lanes: Lanes, scaling: Index) -> None:
        self.lanes = lanes
        self.amin, self.floor, self.of_e, self.of_two, self.offset, self.added = (
            lanes.broadcast(scaling, i) for i in range(self.SIZE)
        )

    def __call__(self, x: Vector) -> Vector:
        lanes, builder = self.lanes, self.lanes.builder
        bits = builder.bitcast((x + self.added).value, lanes.mask)

        def integers(value: int) -> ir.Constant:
            return ir.Constant(lanes.mask, [value] * lanes.width)

        # x = mantissa * 2**exponent with the mantissa in [sqrt(1/2), sqrt(2)): the exponent is
        # read after a shift of the boundary from 1 to sqrt(1/2) (0x3f3504f3)
        shifted = builder.sub(bits, integers(0x3F3504F3))
        exponent_bits = builder.ashr(shifted, integers(23))
        mantissa_bits = builder.sub(bits, builder.shl(exponent_bits, integers(23)))
        exponent = Vector(lanes, builder.sitofp(exponent_bits, lanes.type))
        f = Vector(lanes, builder.bitcast(mantissa_bits, lanes.type)) - 1.0
        square = f * f
        polynomial: Number = LOG_POLYNOMIAL[0]
        for coefficient in LOG_POLYNOMIAL[1:]:
            polynomial = fma(polynomial, f, coefficient)
        natural = fma(fma(polynomial, f, -0.5), square, f)
        result = fma(exponent, self.of_two, fma(natural, self.of_e, self.offset))

        infinity = lanes.wrap(float("inf"))
        regular = builder.fcmp_ordered("<", x.value, infinity.value)
        result_value = builder.select(regular, result.value, x.value)
        quiet = builder.fcmp_ordered("<=", x.value, self.amin.value)
        return Vector(lanes, builder.select(quiet, self.floor.value, result_value))


@emitted
def store_frames(
    lanes: Lanes, n_mels: Index, bands: Index, n_frames: Index, out: Index, pitch: Index
) -> None:
    """Turn the ``bands`` (n_mels, width) of a tile into the first ``n_frames`` rows of ``out``.

    pitch: from a frame of ``out`` to the next.
    """
    builder, width = lanes.builder, lanes.width
    with builder.if_else(n_mels >= width) as (wide, narrow):
        with wide, lanes.loop((n_mels + (width - 1)) // width) as block:
            # the last block overlaps the one before
            first = lanes.clamp(block * width, lanes.index(0), n_mels - width)
            rows = [lanes.load(bands, (first + i) * width) for i in range(width)]
            for lane, vector in enumerate(lanes.transpose(rows)):
                with builder.if_then(n_frames > lane):
                    lanes.store(vector, out, first + lane * pitch)
        with narrow, lanes.loop(n_mels) as m, lanes.loop(n_frames) as f:
            lanes.store_real(lanes.load_real(bands, m * width + f), out, f * pitch + m)


# spectrum out


@emitted
def store_spectrum(
    lanes: Lanes,
    n_bins: Index,
    rows: Index,
    slots: Index,
    conjugates: Index,
    n_frames: Index,
    out: Index,
) -> None:
    """Write the bins of the first ``n_frames`` frames as interleaved complex values.

    rows: the tile's complex values; slots: int32, the slot of a bin; conjugates: 1 or -1
    for each bin; out: complex (n_frames, n_bins).
    """
    half = lanes.width // 2

    with lanes.loop(n_bins // half) as i:
        vectors: list[Vector] = []
        for j in range(half):
            k = i * half + j
            slot = lanes.load_index(slots, k) * (2 * lanes.width)
            im = fma(lanes.load(rows, slot + lanes.width), lanes.broadcast(conjugates, k), 0)
            vectors += [lanes.load(rows, slot), im]
        for lane, vector in enumerate(lanes.transpose(vectors)):
            with lanes.builder.if_then(n_frames > lane):
                lanes.store(vector, out, (lane * n_bins + i * half) * 2)

    with lanes.loop(n_bins % half) as i:
        k = n_bins - 1 - i
        slot = lanes.load_index(slots, k) * (2 * lanes.width)
        sign = lanes.load_real(conjugates, k)
        with lanes.loop(n_frames) as frame:
            place = (frame * n_bins + k) * 2
            im = lanes.builder.fmul(lanes.load_real(rows, slot + lanes.width + frame), sign)
            lanes.store_real(lanes.load_real(rows, slot + frame), out, place)
            lanes.store_real(im, out, place + 1)


@emitted
def store_hartley(
    lanes: Lanes,
    n_fft: int,
    rows: Index,
    slots: Index,
    conjugates: Index,
    n_frames: Index,
    out: Index,
) -> None:
    """Write ``Re - Im`` of all frequencies, the Hartley transforms of the first frames.

    rows, slots, conjugates, n_frames as in :func:`store_spectrum`; out: (n_frames, n_fft).
    """
    builder, width = lanes.builder, lanes.width
    half = (n_fft - 1) // 2  # frequency n_fft - k has the real part of k and minus its imaginary

    def parts(k: Index) -> tuple[Vector, Number]:
        slot = lanes.load_index(slots, k) * (2 * width)
        im = lanes.load(rows, slot + width) * lanes.broadcast(conjugates, k)
        return lanes.load(rows, slot), im

    def store(values: list[Vector], first: Index) -> None:
        """Write neighbouring frequencies, a vector each, to every frame."""
        for lane, vector in enumerate(lanes.transpose(values)):
            with builder.if_then(n_frames > lane):
                lanes.store(vector, out, first + n_fft * lane)

    def store_one(k: Index, place: Index, sign: int) -> None:
        """Write one frequency, value by value."""
        slot = lanes.load_index(slots, k) * (2 * width)
        conjugate = lanes.load_real(conjugates, k)
        with lanes.loop(n_frames) as frame:
            im = builder.fmul(lanes.load_real(rows, slot + width + frame), conjugate)
            re = lanes.load_real(rows, slot + frame)
            value = builder.fsub(re, im) if sign < 0 else builder.fadd(re, im)
            lanes.store_real(value, out, frame * n_fft + place)

    for k in {0, n_fft // 2} if n_fft % 2 == 0 else {0}:
        store_one(lanes.index(k), lanes.index(k), -1)
    if half >= width:
        with lanes.loop(-(-half // width)) as block:
            # the last block overlaps the one before
            first = lanes.clamp(block * width, lanes.index(0), lanes.index(half - width)) + 1
            pairs = [parts(first + j) for j in range(width)]
            store([re - im for re, im in pairs], first)
            store([re + im for re, im in reversed(pairs)], n_fft - first - (width - 1))
    else:
        with lanes.loop(half) as i:
            store_one(i + 1, i + 1, -1)
            store_one(i + 1, n_fft - 1 - i, 1)
