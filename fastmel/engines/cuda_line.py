"""The whole line on an NVIDIA GPU, in one kernel.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

A block of threads takes a tile of neighbouring frames, as many at once as its shared memory holds:
their samples are loaded once, the FFT runs between barriers, its last pass goes on to the powers,
and of each frame nothing but its features leaves the block, those of all frames of the tile side by
side. Threads of a warp work on the same step of different frames, so that they share twiddles,
weights and window, and find what they read in different banks. What needs a whole signal (its
largest value, statistics over time, stacks of frames) is left to ``cuda_ending.py``.

The FFT takes the samples of a frame as a table: its first pass transforms the columns, which are
real, and the others transform the rows of the result that are not conjugate to other rows. Two
passes do for 400 and 512 points, three for 4096; there is nothing to be taken apart at the end, as
there is where two real numbers are one complex number.
"""

import math
from functools import lru_cache, partial, reduce
from typing import Any

import numpy as np

from . import cuda_layout
from .cuda import ALIGNMENT, IS_SIMULATED, cuda, device, halves, kernel, split
from .cuda_butterflies import COMPLEX, REAL, input_of, output_of, parts_of
from .cuda_layout import FIRST, LOST, N_BANDS, N_PLACES, PEAK, Layout
from .cuda_samples import column_of, linear_of, load_of

__all__ = ["add", "fold_of", "line_of"]

F32, I32, U32, U64 = np.float32, np.int32, np.uint32, np.uint64
_SHORT, _NOWHERE = I32(0xFFFF), U64(0xFFFFFFFFFFFFFFFF)

_power_place = device(cuda_layout.power_place)
_opposite_places = device(cuda_layout.opposite_places)


# the steps of the line; each maker returns a function that all threads of a block call


def fold_of(n_threads: int, n_groups: int, fold: Any, wait: Any) -> Any:
    """Make the function that folds what the threads of each group have into one value.

    wait: a barrier of the kernel's own file, which is where the simulator puts its own.
    """
    n_shares = n_threads // n_groups
    n_at_once = n_shares if n_shares <= 16 else math.isqrt(n_shares - 1) + 1  # twice

    @device
    def folded(own: Any, scratch: Any, tid: Any) -> Any:
        """The value of group ``tid % n_groups``; a barrier must follow."""
        at = U64(U32(tid))
        scratch[at] = own
        n = n_shares
        while n > 1:
            n_left = (n + n_at_once - 1) // n_at_once
            wait()
            if tid < n_left * n_groups:
                value = scratch[at]
                for i in range(1, n_at_once):
                    if n_left * n_at_once == n or tid < (n - i * n_left) * n_groups:
                        value = fold(value, scratch[at + U64(i * n_left * n_groups)])
                scratch[at] = value
            n = n_left
        wait()
        return scratch[U32(tid) % U32(n_groups)]

    return folded


@device
def add(a: Any, b: Any) -> Any:
    """A sum, for `fold_of`."""
    return a + b


@device
def _larger(a: Any, b: Any) -> Any:
    return max(a, b)


@device
def _wait() -> None:
    cuda.syncthreads()


def _means_of(layout: Layout) -> Any:
    """Make the step that takes the mean of each frame."""
    n_frames, n_taken, height = layout.n_frames, layout.n_taken, layout.height
    pitch, n_shares = layout.row_pitch, layout.n_threads // layout.n_frames
    n_rows, n_steps = -(-n_taken // height), -(-min(height, n_taken) // n_shares)
    total, factor = fold_of(layout.n_threads, n_frames, add, _wait), F32(1 / n_taken)

    @device
    def means_of(shared: Any, scratch: Any, means: Any, tid: int) -> None:
        share, f = split(tid, n_frames)
        # what the samples are above the first: a constant signal must lose all of its mean
        first, own = shared[U32(f * pitch)], F32(0)
        begin = U64(U32(f * pitch + share))
        for row in range(n_rows):
            n_here = min(height, n_taken - row * height)
            for step in range(n_steps):
                if share < n_here - step * n_shares:
                    own += shared[begin + U64(row * pitch + step * n_shares)] - first
        mean = first + total(own, scratch, tid) * factor
        if tid < n_frames:
            means[tid] = mean
        cuda.syncthreads()

    return means_of


def _energies_of(layout: Layout) -> Any:
    """Make the step that takes the log energy of each frame."""
    is_raw = layout.energy == "raw"
    linear = linear_of(layout, 0 if is_raw else layout.preemphasis)
    scale, floor = F32(layout.energy_scale), F32(layout.energy_floor)
    n_frames, n_taken = layout.n_frames, U32(layout.n_taken)
    total = fold_of(layout.n_threads, n_frames, add, _wait)
    n_shares = U32(layout.n_threads // n_frames)

    @device
    def energies_of(
        shared: Any, means: Any, window: Any, scratch: Any, tile: Any, at: int, tid: int
    ) -> None:
        """Write them into the tile, from ``at`` on."""
        t, f = split(tid, n_frames)
        own = F32(0)
        while t < n_taken:
            term = scale * linear(shared, means, f, t)
            if not is_raw:
                even, odd = halves(window[t >> U32(1)])
                term *= odd if t & U32(1) else even
            own += term * term
            t = U32(t + n_shares)
        energy = total(own, scratch, tid)
        if tid < n_frames:
            tile[at + tid] = math.log(floor if energy < floor else energy)  # NaN stays

    return energies_of


def _first_pass_of(layout: Layout) -> Any:
    """Make the first pass: columns of real numbers, whose spectra go into rows.

    All threads have read before the first one writes.
    """
    n_frames, n_threads, radix = layout.n_frames, layout.n_threads, layout.real_radix
    n_rounds, n_units, n_spectra = layout.n_rounds(0), layout.n_units(0), layout.n_spectra
    fills, pitch = n_rounds * n_threads == n_units, layout.spectrum_pitch
    n_values, read_column, transform = n_rounds * radix, column_of(layout), REAL[radix]
    parts = parts_of(radix)

    @device
    def first_pass(shared: Any, means: Any, window: Any, turns: Any, tid: Any) -> None:
        x = cuda.local.array(n_values, F32)
        for i in range(n_rounds):
            if fills or tid < n_units - i * n_threads:
                p, f = split(tid + i * n_threads, n_frames)
                read_column(x, i * radix, shared, means, window, f, p)
        cuda.syncthreads()
        for i in range(n_rounds):
            if fills or tid < n_units - i * n_threads:
                p, f = split(tid + i * n_threads, n_frames)
                transform(x, i * radix)
                first = U64(2) * U64(U32(p * n_frames + f))
                for row in range(n_spectra):
                    place, (a, b, sign) = first + U64(2 * row * pitch * n_frames), parts(row)
                    shared[place] = x[i * radix + a]
                    is_real = 2 * row % radix == 0
                    shared[place + U64(1)] = F32(0) if is_real else sign * x[i * radix + b]
        cuda.syncthreads()

    return first_pass


def _unit_of(layout: Layout, at: int) -> Any:
    """Make the function that tells which transform of pass number `at` a thread has."""
    n_frames, n_spectra, pitch = layout.n_frames, layout.n_spectra, layout.spectrum_pitch
    n_block = math.prod(layout.radices[at:])
    n_apart = n_block // layout.radices[at]

    @device
    def unit_at(unit: Any) -> Any:
        """Block of its row, column there, row, frame, and where its first number is."""
        rest, f = split(unit, n_frames)
        rest, row = split(rest, n_spectra)
        block, j = split(rest, n_apart)
        place = U32(U32(row * pitch + block * n_block + j) * n_frames + f)
        return block, j, row, f, U64(2) * U64(place)

    return unit_at


def _transform_of(layout: Layout, at: int) -> Any:
    """Make the function that reads numbers, if need be by the twiddles of rows, and transforms."""
    radix, n_spectra = layout.radices[at], layout.n_spectra
    n_apart = math.prod(layout.radices[at + 1 :])
    is_turned, step = at == 0 and not layout.is_coprime, 2 * n_apart * layout.n_frames
    input_at, dft = input_of(radix), COMPLEX[radix]

    @device
    def transform(shared: Any, turns: Any, re: Any, im: Any, j: Any, row: Any, first: Any) -> None:
        turn = U64(U32(j * n_spectra + row))
        for k in range(radix):
            place, to = first + U64(k * step), input_at(k)
            real, imag = shared[place], shared[place + U64(1)]
            if is_turned:
                cos, sin = halves(turns[turn + U64(k * n_apart * n_spectra)])
                real, imag = real * cos - imag * sin, real * sin + imag * cos
            re[to], im[to] = real, imag
        dft(re, im, 0)

    return transform


def _pass_of(layout: Layout, at: int, first_turn: int) -> Any:
    """Make a pass that is not the last one: it works in place, and turns what it has."""
    radix, n_threads, n_units = layout.radices[at], layout.n_threads, U32(layout.n_units(at + 1))
    n_apart, output_at = math.prod(layout.radices[at + 1 :]), output_of(radix)
    step = 2 * n_apart * layout.n_frames
    unit_at, transform = _unit_of(layout, at), _transform_of(layout, at)

    @device
    def one_pass(shared: Any, means: Any, window: Any, turns: Any, tid: Any) -> None:
        unit = U32(tid)
        while unit < n_units:
            re = cuda.local.array(radix, F32)
            im = cuda.local.array(radix, F32)
            _, j, row, _, first = unit_at(unit)
            transform(shared, turns, re, im, j, row, first)
            for k in range(radix):
                place, a = first + U64(k * step), output_at(k)
                real, imag = re[a], im[a]
                if k > 0:
                    cos, sin = halves(turns[U64(j) + U64(first_turn + (k - 1) * n_apart)])
                    real, imag = real * cos - imag * sin, real * sin + imag * cos
                shared[place], shared[place + U64(1)] = real, imag
            unit = U32(unit + n_threads)
        cuda.syncthreads()

    return one_pass


def _order_of(radices: tuple[int, ...]) -> Any:
    """Make the function that tells the first output of the last pass's transform number `block`.

    Its digits are those of the block, in reverse; see `output_order`.
    """

    def then(following: Any, at: int) -> Any:
        radix, weight = radices[at], math.prod(radices[:at])

        @device
        def order(block: Any) -> Any:
            rest, digit = split(block, radix)
            return digit * weight + following(rest)

        return order

    first = device(lambda block: block)
    return reduce(then, range(1, len(radices) - 1), first)


def _store_powers_of(layout: Layout, first_turn: int) -> Any:
    """Make the function that puts the powers of a transform of the last pass into their places."""
    n_frames, n_spectra = layout.n_frames, layout.n_spectra
    radix, real_radix, order = layout.radices[-1], layout.real_radix, _order_of(layout.radices)
    n_blocks = layout.n_columns // radix
    step, is_single = real_radix * n_blocks * n_frames, n_blocks == 1

    @device
    def regular(
        shared: Any, turns: Any, powers: Any, at: int, block: Any, row: Any, f: Any
    ) -> None:
        """Bins of the first half, and those of the second, which are conjugate to others."""
        at_bin = U32(real_radix * order(block) + row)
        of_both = _opposite_places(at_bin, f, real_radix * n_blocks, n_frames)
        low, high = U64(of_both[0]), U64(of_both[1])
        has_both = row > 0 and row < n_spectra - 1
        for k in range(radix // 2):
            shared[low + U64(k * step)] = powers[at + k]
            if has_both:
                shared[high + U64(k * step)] = powers[at + radix - 1 - k]
        if row == 0 and block == 0:
            shared[low + U64(radix // 2 * step)] = powers[at + radix // 2]

    @device
    def scattered(
        shared: Any, turns: Any, powers: Any, at: int, block: Any, row: Any, f: Any
    ) -> None:
        entry, of_frame = U64(first_turn) + U64(U32(block * n_spectra + row)), shared[I32(2 * f) :]
        for k in range(radix):
            place = turns[entry + U64(k * n_blocks * n_spectra)]
            if is_single or place != _NOWHERE:
                of_frame[place] = powers[at + k]

    return regular if layout.is_regular else scattered


def _raise_of(layout: Layout) -> Any:
    """Make the step from squares to other powers, a loop of its own: its code is long."""
    n_frames, exponent = layout.n_frames, F32(layout.power / 2)
    n_threads, n_values = layout.n_threads, U32((layout.n_points + 1) * layout.n_frames)

    @device
    def raise_all(shared: Any, means: Any, window: Any, turns: Any, tid: Any) -> None:
        unit = U32(tid)
        while unit < n_values:
            k, f = split(unit, n_frames)
            place = U32(_power_place(k, f, n_frames))
            shared[place] = shared[place] ** exponent
            unit = U32(unit + n_threads)
        cuda.syncthreads()

    return raise_all


def _last_pass_of(layout: Layout, first_turn: int) -> Any:
    """Make the last pass, which writes squares, or magnitudes.

    All threads have read before the first one writes.
    """
    at = len(layout.radices) - 1
    radix, n_threads, n_units = layout.radices[at], layout.n_threads, layout.n_units(at + 1)
    n_rounds, n_points, n_frames = layout.n_rounds(at + 1), layout.n_points, layout.n_frames
    n_values, n_zeros, output_at = n_rounds * radix, cuda_layout.STEPS, output_of(radix)
    unit_at, transform = _unit_of(layout, at), _transform_of(layout, at)
    store = _store_powers_of(layout, first_turn)
    is_magnitude, offset = layout.power == 1, F32(layout.power_offset)

    @device
    def powered(real: Any, imag: Any) -> Any:
        square = real * real + imag * imag
        return math.sqrt(square + offset) if is_magnitude else square

    @device
    def last_pass(shared: Any, means: Any, window: Any, turns: Any, tid: Any) -> None:
        powers = cuda.local.array(n_values, F32)
        for i in range(n_rounds):
            if tid < n_units - i * n_threads:
                re = cuda.local.array(radix, F32)
                im = cuda.local.array(radix, F32)
                _, j, row, _, first = unit_at(tid + i * n_threads)
                transform(shared, turns, re, im, j, row, first)
                for k in range(radix):
                    a = output_at(k)
                    powers[i * radix + k] = powered(re[a], im[a])
        cuda.syncthreads()
        for i in range(n_rounds):
            if tid < n_units - i * n_threads:
                block, _, row, f, _ = unit_at(tid + i * n_threads)
                store(shared, turns, powers, i * radix, block, row, f)
        for low in range(0, n_zeros * n_frames, n_threads):
            k, f = split(tid + low, n_frames)
            if k < n_zeros:  # for bands that read beyond the last bin
                shared[U32(_power_place(n_points + 1 + k, f, n_frames))] = F32(0)
        cuda.syncthreads()

    return last_pass


def _fft_of(layout: Layout) -> Any:
    """Make all passes of the FFT, up to the powers, as one step."""

    def then(step: Any, following: Any) -> Any:
        @device
        def both(shared: Any, means: Any, window: Any, turns: Any, tid: Any) -> None:
            step(shared, means, window, turns, tid)
            following(shared, means, window, turns, tid)

        return both

    steps = [_first_pass_of(layout)]
    first_turn = 0 if layout.is_coprime else layout.n_columns * layout.n_spectra
    for at, radix in enumerate(layout.radices[:-1]):
        steps.append(_pass_of(layout, at, first_turn))
        first_turn += (radix - 1) * math.prod(layout.radices[at + 1 :])
    steps.append(_last_pass_of(layout, first_turn))
    if layout.power not in (1, 2):
        steps.append(_raise_of(layout))
    return reduce(then, steps)


@partial(device, fastmath=True)
def _log2(x: Any) -> Any:
    """The GPU's own logarithm, an instruction that errs by 2**-22, in all or relatively."""
    return math.log2(x)


@device
def _unpacked(span: Any) -> Any:
    """Where a band's powers begin, how many groups they are, where its weights are; see `packed`.

    The number is negative, and comes with a one that the compiler does not know: it would unroll
    loops over groups, of which there are few.
    """
    high = I32(span >> U64(32))
    return U32(high & _SHORT), I32(high >> I32(16)), U32(span), I32(U32(high) >> U32(31))


def _bands_of(layout: Layout) -> Any:
    """Make the step from powers to the logarithms of bands, written into the tile.

    A thread sums the same band of neighbouring frames, by the same weights.
    """
    n_each, n_mels = layout.n_frames_each, U32(layout.n_mels)
    n_lanes, n_pairs = layout.n_lanes, cuda_layout.STEPS // 2
    n_apart = U32(layout.n_threads // n_lanes)
    n_together, pitch = cuda_layout.n_together(layout), layout.tile_pitch
    last_band, is_log = layout.n_mels - 1 + layout.first_band, layout.log is not None
    amin, added, factor, offset, floor = map(F32, layout.log or (0, 0, 1, 0, 0))
    adds = bool(added)

    @device
    def bands(shared: Any, spans: Any, weights: Any, tile: Any, done: Any, tid: Any) -> None:
        totals = cuda.local.array(n_each, F32)
        i, lane = split(tid, n_lanes)
        cell = U32(done + lane * n_each + (last_band - i) * pitch)
        while i < n_mels:  # those with the most bins first
            begin, n_groups, position, one = _unpacked(spans[U64(i)])
            at = U32(begin + lane)
            for f in range(n_each):
                totals[f] = F32(0)
            while True:
                for k in range(n_pairs):
                    first, second = halves(weights[U64(position) + U64(k * n_together)])
                    powers = U64(2 * n_each) * U64(at) + U64(2 * n_each * k * n_lanes)
                    for f in range(n_each):
                        power = powers + U64(2 * f)
                        totals[f] += first * shared[power]
                        totals[f] += second * shared[power + U64(1)]
                position, at = U32(position + n_pairs * n_together), U32(at + n_pairs * n_lanes)
                n_groups = I32(n_groups + one)
                if n_groups == 0:
                    break
            for f in range(n_each):
                total = totals[f]
                if is_log:
                    more = total + added if adds else total
                    total = floor if total <= amin else factor * _log2(more) + offset
                tile[cell + U32(f)] = total
            i, cell = U32(i + n_apart), U32(cell - n_apart * pitch)

    return bands


def _store_of(layout: Layout) -> Any:
    """Make the step that writes the tile, frame by frame or feature by feature."""
    n_features, n_tile, pitch = layout.n_features, layout.n_tile, layout.tile_pitch
    n_threads, n_apart = layout.n_threads, layout.n_threads // layout.n_tile
    is_turned, pad_value = layout.is_turned, F32(layout.pad_value)
    energy_at = layout.energy_at if layout.energy else -1
    n_rounds, n_values = -(-n_features // n_apart), n_features * n_tile
    fills = n_rounds * n_apart == n_features

    @device
    def store(tile: Any, rows: Any, row: Any, first: Any, out: Any, tid: Any) -> Any:
        """Write it; the largest value of a band that this thread has written."""
        n_bands = I32(I32(rows[row, N_BANDS]) - first)
        n_places = I32(I32(rows[row, N_PLACES]) - first)
        start, peak = rows[row, FIRST] * n_features, F32(-np.inf)
        if is_turned:
            start += first * n_features
            for low in range(0, n_values, n_threads):
                t, q = split(tid + low, n_features)
                if t < min(n_places, n_tile):
                    value = tile[U32(q * pitch + t)] if t < n_bands else pad_value
                    if q != energy_at and t < n_bands:
                        peak = max(peak, value)
                    out[U64(start) + U64(tid + low)] = value
            return peak
        q, t = split(tid, n_tile)  # each thread stays at its frame
        t = I32(t)
        if t < n_places and q < n_apart:
            n_apart_out, is_band = I32(rows[row, N_PLACES]), t < n_bands
            cell, step = U32(q * pitch + t), U64(U32(n_apart * n_apart_out))
            place = U64(start) + U64(U32(first + t + q * n_apart_out))
            for k in range(n_rounds):
                if fills or q < n_features - k * n_apart:
                    value = tile[cell + U32(k * n_apart * pitch)] if is_band else pad_value
                    if is_band and q + k * n_apart != energy_at:
                        peak = max(peak, value)
                    out[place] = value
                    place += step
        return peak

    return store


def _frames_of(layout: Layout) -> Any:
    """Make the step from samples to the logarithms of bands, of as many frames as fit at once."""
    removes_dc, has_energy = layout.removes_dc, bool(layout.energy)
    energy_row = layout.energy_at * layout.tile_pitch
    load, means_of, energies_of = load_of(layout), _means_of(layout), _energies_of(layout)
    fft, bands = _fft_of(layout), _bands_of(layout)

    @device
    def frames(
        y: Any, rows: Any, row: Any, first: Any, done: Any, window: Any, turns: Any, spans: Any,
        weights: Any, shared: Any, scratch: Any, means: Any, tile: Any, tid: Any,
    ) -> Any:  # fmt: skip
        """Put those from ``first + done`` on into the tile; whether their samples are finite."""
        is_finite = load(y, rows, row, I32(first + done), shared, tid)
        cuda.syncthreads()
        if removes_dc:
            means_of(shared, scratch, means, tid)
        if has_energy:
            energies_of(shared, means, window, scratch, tile, energy_row + done, tid)
        fft(shared, means, window, turns, tid)
        bands(shared, spans, weights, tile, done, tid)
        cuda.syncthreads()
        return is_finite

    return frames


@lru_cache(maxsize=64)
def line_of(layout: Layout) -> Any:
    """Make the kernel of the line: block (x, y) takes tile x of signal y."""
    n_frames, n_tile, n_threads = layout.n_frames, layout.n_tile, layout.n_threads
    n_shared, n_scratch, n_values = layout.n_shared, layout.n_scratch, layout.n_values
    largest = fold_of(n_threads, 1, _larger, _wait)
    is_whole, finds_peak = n_frames == n_tile, layout.finds_peak
    frames, store = _frames_of(layout), _store_of(layout)

    @kernel(n_threads, layout.n_at_once, fastmath=True)
    def line(
        y: Any, rows: Any, window: Any, turns: Any, spans: Any, weights: Any, out: Any,
        state: Any,
    ) -> None:  # fmt: skip
        if IS_SIMULATED:  # by Numba's own simulator, perhaps, which knows no alignment
            shared = cuda.shared.array(n_values, F32)
        else:
            shared = cuda.shared.array(n_values, F32, ALIGNMENT)
        tile = shared[n_shared:]  # one array has one address to be found
        scratch = cuda.shared.array(n_scratch, F32)
        means = cuda.shared.array(n_frames, F32)
        zero = cuda.shared.array(1, I32)
        row, first = U32(cuda.blockIdx.y), I32(cuda.blockIdx.x * n_tile)
        if first >= I32(rows[row, N_PLACES]):
            return
        tid, n_bands = I32(cuda.threadIdx.x), I32(I32(rows[row, N_BANDS]) - first)
        if is_whole:
            if n_bands > 0 and not frames(
                y, rows, row, first, I32(0), window, turns, spans, weights, shared, scratch, means,
                tile, tid,
            ):  # fmt: skip
                state[LOST, row] = 1
        else:
            if tid == 0:
                zero[0] = 0
            cuda.syncthreads()
            done = I32(0)
            while done < min(I32(n_tile), n_bands):
                # A zero that the compiler cannot see through: it would compute the places of all
                # passes before the first round, and keep them in 255 registers.
                tid = I32(cuda.threadIdx.x + zero[0])
                if not frames(
                    y, rows, row, first, done, window, turns, spans, weights, shared, scratch,
                    means, tile, tid,
                ):  # fmt: skip
                    state[LOST, row] = 1
                done = I32(done + n_frames)
        tid = I32(cuda.threadIdx.x)
        peak = store(tile, rows, row, first, out, tid)
        if finds_peak:
            peak = largest(peak, shared, tid)
            if tid == 0:
                cuda.atomic.max(state, (PEAK, row), peak)

    return line
