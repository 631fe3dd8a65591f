"""The stages around the FFT on one tile of frames: load, mel bands and log, spectrum out.

A tile is ``width`` neighbouring frames, one in each lane. All addresses are ``intp``; pitches and
offsets count values, not bytes.
"""

from typing import Any

from llvmlite import ir
from numba import types

from .simd import (
    FLOAT,
    INTP,
    ITEM,
    Accumulator,
    Lanes,
    Number,
    Vector,
    fma,
    intrinsic,
    literal,
)

__all__ = [
    "expect_bands",
    "magnitudes",
    "mel_bands",
    "store_spectrum",
    "transpose_columns",
]


# samples in

#: float32 values of a cache line
LINE = 16


@intrinsic(prefer_literal=True)
def transpose_columns(
    typing_context: Any,
    width: Any,
    samples: Any,
    pitch: Any,
    height: Any,
    n_columns: Any,
    out: Any,
) -> Any:
    """Write ``out[r, c] = samples[c * pitch + r]`` for r < height, c < n_columns.

    Column c is the stretch of samples between the starts of frames c and c + 1, so sample
    ``j * height + r`` of all frames of the tile lies together at ``out[r, j:]``: what overlapping
    frames share is transposed once. ``n_columns`` is ``width`` and a multiple of 4 more.

    Returns 1 if a value was infinite or not a number, else 0: the check costs one multiply-add a
    vector here and a pass over the signal anywhere else.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(builder, literal(width))
        samples, pitch, height, n_columns, out = arguments[1:]
        non_finite = Accumulator(lanes)

        def check(vector: Vector) -> Vector:
            # x * 0 is 0, or NaN for what is not finite; NaN stays in the sum
            non_finite.set(vector.fma(lanes.wrap(0.0), non_finite.get()))
            return vector

        def block(first_row: Any) -> None:
            """``width`` rows of every column, from ``first_row`` on."""
            source = lanes.offset(samples, first_row)
            target = lanes.offset(out, builder.mul(first_row, n_columns))
            columns = [
                check(lanes.load(lanes.offset(source, pitch, c))) for c in range(lanes.width)
            ]
            ahead = lanes.offset(source, builder.mul(n_columns, pitch))  # the next tile's columns
            for c in range(lanes.width):
                lanes.prefetch(lanes.offset(ahead, pitch, c))
            for r, row in enumerate(lanes.transpose(columns)):
                lanes.store(row, lanes.offset(target, n_columns, r))
            n_quads = builder.sdiv(builder.sub(n_columns, lanes.index(lanes.width)), lanes.index(4))
            with lanes.loop(n_quads) as quad:
                c = builder.add(lanes.index(lanes.width), builder.mul(quad, lanes.index(4)))
                column = lanes.offset(source, builder.mul(c, pitch))
                four = [check(lanes.load(lanes.offset(column, pitch, i))) for i in range(4)]
                place = lanes.offset(target, c)
                for i, vector in enumerate(lanes.transpose_quads(four)):
                    for part, quarter in enumerate(lanes.parts(vector)):
                        lanes.store(quarter, lanes.offset(place, n_columns, 4 * part + i))

        tall_enough = builder.icmp_signed(">=", height, lanes.index(lanes.width))
        with builder.if_else(tall_enough) as (then, otherwise):
            with then:
                # Blocks begin where cache lines do, if they do so in all columns: a line that two
                # blocks shared would be gone before the second (hops of 2**k bytes fall into few
                # sets of the cache; hop 1024: 0.35 us a frame against 0.17). The first block and
                # the last overlap their neighbours.
                line = lanes.index(LINE)
                equal = builder.icmp_signed("==", builder.srem(pitch, line), lanes.index(0))
                lead = builder.srem(builder.sdiv(samples, lanes.index(ITEM)), line)
                lead = builder.select(
                    builder.and_(equal, builder.icmp_signed("!=", lead, lanes.index(0))),
                    builder.sub(line, lead),
                    lanes.index(0),
                )
                tall = lanes.index(lanes.width)
                n_leads = builder.sdiv(builder.add(lead, lanes.index(lanes.width - 1)), tall)
                n_rest = builder.sub(height, lead)
                n_blocks = builder.sdiv(builder.add(n_rest, lanes.index(lanes.width - 1)), tall)
                with lanes.loop(builder.add(n_blocks, n_leads)) as i:
                    row = builder.add(lead, builder.mul(builder.sub(i, n_leads), tall))
                    row = lanes.clamp(row, lanes.index(0), builder.sub(height, tall))
                    block(row)
            with otherwise, lanes.loop(height) as r, lanes.loop(n_columns) as c:
                place = builder.add(builder.mul(c, pitch), r)
                value = lanes.load_scalar(samples, place)
                check(lanes.splat(value))
                target = lanes.offset(out, builder.add(builder.mul(r, n_columns), c))
                builder.store(value, lanes.pointer(target, FLOAT), align=ITEM)

        found = non_finite.get().value
        lost = builder.fcmp_unordered("uno", found, found)
        bits = builder.bitcast(lost, ir.IntType(lanes.width))
        return builder.zext(builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)), INTP)

    return types.intp(width, samples, pitch, height, n_columns, out), emit


# mel and log out


@intrinsic
def expect_bands(typing_context: Any, n_mels: Any, out: Any, pitch: Any) -> Any:
    """Ask for the cache lines that :func:`mel_bands` will write, one in each band."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        n_mels, out, pitch = arguments
        lanes = Lanes(builder, 1)
        last = lanes.index(LINE - 1)
        with lanes.loop(n_mels) as m:
            line = lanes.offset(out, builder.add(builder.mul(m, pitch), last))
            lanes.prefetch(line, to_write=True)
        return context.get_dummy_value()

    return types.void(n_mels, out, pitch), emit


@intrinsic(prefer_literal=True)
def magnitudes(typing_context: Any, width: Any, n_bins: Any, places: Any, rows: Any) -> Any:
    """Replace the power of every bin by its square root."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(builder, literal(width))
        n_bins, places, rows = arguments[1:]
        with lanes.loop(n_bins) as k:
            place = lanes.offset(rows, lanes.load_integer(places, k), lanes.width)
            power = lanes.load(place)
            root = builder.call(lanes.function("llvm.sqrt", 1), [power.value])
            lanes.store(Vector(lanes, root), place)
        return context.get_dummy_value()

    return types.void(width, n_bins, places, rows), emit


@intrinsic(prefer_literal=True)
def mel_bands(
    typing_context: Any,
    width: Any,
    to_log: Any,
    n_mels: Any,
    rows: Any,
    places: Any,
    segments: Any,
    weights: Any,
    scaling: Any,
    out: Any,
    pitch: Any,
) -> Any:
    """Weigh and sum the bins of every mel band, take the log, store one vector a band.

    A segment is the bins between two neighbouring centres, where band s - 1 falls and band s
    rises: every bin is read once for both.

    rows: address of the tile's powers; places: int32 table of the vector that holds a bin;
    segments: int32 (n_mels + 2,) first bin of each segment; weights: float32 (n_bins, 2) falling
    and rising; scaling: float32 (amin, value at amin, logarithm of e, logarithm of 2, offset) in
    the units of the result, used with ``to_log`` = 1; out: address of the first band's first frame;
    pitch: from a band to the next.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(builder, literal(width))
        n_mels, rows, places, segments, weights, scaling, out, pitch = arguments[2:]
        finish = Logarithm(lanes, scaling) if literal(to_log) else (lambda value: value)
        # Two sums each, for even and odd bins: one chain of additions would wait for itself.
        falling, rising, falling_odd, rising_odd = (Accumulator(lanes) for _ in range(4))
        zero = lanes.wrap(0.0)

        def add_bin(k: Any, fall: Accumulator, rise: Accumulator) -> None:
            power = lanes.load(lanes.offset(rows, lanes.load_integer(places, k), lanes.width))
            fall.set(fma(power, lanes.broadcast(lanes.offset(weights, k, 2), 0), fall.get()))
            rise.set(fma(power, lanes.broadcast(lanes.offset(weights, k, 2), 1), rise.get()))

        with lanes.loop(builder.add(n_mels, lanes.index(1))) as s:
            first = lanes.load_integer(segments, s)
            n_bins = builder.sub(lanes.load_integer(lanes.offset(segments, s), 1), first)
            falling.set(rising.get())  # what band s - 1 gathered while it rose
            rising.set(zero)
            falling_odd.set(zero)
            rising_odd.set(zero)
            with lanes.loop(builder.sdiv(n_bins, lanes.index(2))) as pair:
                k = builder.add(first, builder.mul(pair, lanes.index(2)))
                add_bin(k, falling, rising)
                add_bin(builder.add(k, lanes.index(1)), falling_odd, rising_odd)
            is_odd = builder.trunc(n_bins, ir.IntType(1))
            with builder.if_then(is_odd):
                add_bin(builder.add(first, builder.sub(n_bins, lanes.index(1))), falling, rising)
            rising.set(rising.get() + rising_odd.get())
            with builder.if_then(builder.icmp_signed(">", s, lanes.index(0))):
                band = builder.sub(s, lanes.index(1))
                value = finish(falling.get() + falling_odd.get())
                lanes.store(value, lanes.offset(out, builder.mul(band, pitch)))
        return context.get_dummy_value()

    arguments = (n_mels, rows, places, segments, weights, scaling, out, pitch)
    return types.void(width, to_log, *arguments), emit


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
    """``factor * log(max(x, amin)) + offset`` on vectors, exact at the floor.

    What is not larger than amin gives the tabulated value, so that digital silence is the floor to
    the last bit; infinity and NaN come out as they are.
    """

    def __init__(self, lanes: Lanes, scaling: Any) -> None:
        self.lanes = lanes
        self.amin, self.floor, self.of_e, self.of_two, self.offset = (
            lanes.broadcast(scaling, i) for i in range(5)
        )

    def __call__(self, x: Vector) -> Vector:
        lanes, builder = self.lanes, self.lanes.builder
        bits = builder.bitcast(x.value, lanes.mask)

        def integers(value: int) -> Any:
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


# spectrum out


@intrinsic(prefer_literal=True)
def store_spectrum(
    typing_context: Any,
    width: Any,
    n_bins: Any,
    rows: Any,
    slots: Any,
    conjugates: Any,
    n_frames: Any,
    out: Any,
) -> Any:
    """Write the bins of the first ``n_frames`` frames as interleaved complex values.

    rows: address of the tile's complex values; slots: int32 table of a bin's slot; conjugates:
    float32, 1 or -1 for each bin; out: address of (n_frames, n_bins) complex64 values.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = Lanes(builder, literal(width))
        n_bins, rows, slots, conjugates, n_frames, out = arguments[1:]
        half = lanes.width // 2
        frame_pitch = builder.mul(n_bins, lanes.index(2))

        def block(first_bin: Any) -> list[Vector]:
            """For each frame, the values of ``width / 2`` bins side by side."""
            vectors = []
            for i in range(half):
                k = builder.add(first_bin, lanes.index(i))
                slot = lanes.offset(rows, lanes.load_integer(slots, k), 2 * lanes.width)
                vectors.append(lanes.load(slot))
                vectors.append(
                    lanes.load(slot, lanes.width) * lanes.broadcast(conjugates, k)  # type: ignore[arg-type]
                )
            return lanes.transpose(vectors)

        with lanes.loop(builder.sdiv(n_bins, lanes.index(half))) as i:
            first_bin = builder.mul(i, lanes.index(half))
            target = lanes.offset(out, first_bin, 2)
            for frame, vector in enumerate(block(first_bin)):
                valid = builder.icmp_signed("<", lanes.index(frame), n_frames)
                with builder.if_then(valid):
                    lanes.store(vector, lanes.offset(target, frame_pitch, frame))
        n_done = builder.sub(n_bins, builder.srem(n_bins, lanes.index(half)))
        n_left = builder.sub(n_bins, n_done)
        with lanes.loop(n_left) as i:
            k = builder.add(n_done, i)
            slot = lanes.offset(rows, lanes.load_integer(slots, k), 2 * lanes.width)
            sign = lanes.load_scalar(conjugates, k)
            with lanes.loop(n_frames) as frame:
                target = lanes.offset(out, builder.mul(frame, frame_pitch))
                target = lanes.offset(target, k, 2)
                re = lanes.load_scalar(slot, frame)
                im = lanes.load_scalar(lanes.offset(slot, lanes.width), frame)
                builder.store(re, lanes.pointer(target, FLOAT), align=ITEM)
                place = lanes.pointer(lanes.offset(target, 1), FLOAT)
                builder.store(builder.fmul(im, sign), place, align=ITEM)
        return context.get_dummy_value()

    arguments = (n_bins, rows, slots, conjugates, n_frames, out)
    return types.void(width, *arguments), emit
