"""The whole line on an NVIDIA GPU, in one kernel.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

A block of threads takes a tile of neighbouring frames, as many at once as its shared memory holds:
their samples are loaded once, the FFT runs in place between barriers, its last pass goes on to the
powers, and of each frame nothing but its features leaves the block, those of all frames of the tile
side by side. Threads of a warp work on the same step of different frames, so that they share
twiddles, weights and window, and find what they read in different banks. What needs a whole signal
(its largest value, statistics over time, stacks of frames) is left to ``cuda_ending.py``.
"""

import math
import operator
from functools import lru_cache, partial, reduce
from typing import Any

import numpy as np

from fastmel.kernels.frames import EDGE, REFLECT, SYMMETRIC, ZEROS

from . import cuda_layout
from .cuda import bits_of, cuda, device, float_of, kernel
from .cuda_layout import Layout

__all__ = [
    "FIRST", "FIRST_OUT", "LOST", "N_BANDS", "N_FILLED", "N_GIVEN", "N_OUT", "N_PLACES", "N_SIGNAL",
    "N_VALID", "OFFSET", "PEAK", "add", "fold_of", "line_of", "split",
]  # fmt: skip

F32, I32, U32, U64 = np.float32, np.int32, np.uint32, np.uint64
_HALF, _ROOT_HALF, _SIN_60 = F32(0.5), F32(math.sqrt(0.5)), F32(math.sqrt(0.75))
_COS_72, _COS_144 = F32(math.cos(0.4 * math.pi)), F32(math.cos(0.8 * math.pi))
_SIN_72, _SIN_144 = F32(math.sin(0.4 * math.pi)), F32(math.sin(0.8 * math.pi))
_COS_22, _SIN_22 = F32(math.cos(math.pi / 8)), F32(math.sin(math.pi / 8))
_LARGEST = F32(np.finfo(F32).max)
_ROOT_HALF_BITS = I32(_ROOT_HALF.view(I32))
_LOW, _SHORT = U64(0xFFFFFFFF), U64(0xFFFF)

_place = device(cuda_layout.place)
_source = device(cuda_layout.source)
_target = device(cuda_layout.target)
_mirror = device(cuda_layout.mirror)


@device
def split(unit: Any, n: int) -> Any:
    """Quotient and remainder of what is not negative, in 32 bits."""
    return U32(U32(unit) // U32(n)), U32(U32(unit) % U32(n))


@device
def _unpacked(span: Any) -> Any:
    """Where a band begins, how many steps it takes and where its weights are: see `packed`."""
    return U32(span & _SHORT), U32(U32(span) >> U32(16)), U32(span >> U64(32))


@device
def _halves(pair: Any) -> Any:
    """The two values of a pair, which is loaded at once."""
    return float_of(I32(pair & _LOW)), float_of(I32(pair >> U64(32)))


# small DFTs in place: ``re`` and ``im`` are in registers once the loops are unrolled


@device
def _add_and_subtract(re: Any, im: Any, a: int, b: int) -> None:
    """Replace the numbers at ``a`` and ``b`` by their sum and their difference."""
    real, imag = re[b], im[b]
    re[b], im[b] = re[a] - real, im[a] - imag
    re[a], im[a] = re[a] + real, im[a] + imag


@device
def _multiply(re: Any, im: Any, a: int, real: Any, imag: Any) -> None:
    re[a], im[a] = re[a] * real - im[a] * imag, re[a] * imag + im[a] * real


@device
def _turn(re: Any, im: Any, a: int) -> None:
    """Multiply the number at ``a`` by -i."""
    re[a], im[a] = im[a], -re[a]


@device
def _swap(re: Any, im: Any, a: int, b: int) -> None:
    re[a], re[b] = re[b], re[a]
    im[a], im[b] = im[b], im[a]


@device
def _dft2(re: Any, im: Any, at: int) -> None:
    """Transform the two numbers from ``at`` on; the others likewise."""
    _add_and_subtract(re, im, at, at + 1)


@device
def _dft3(re: Any, im: Any, at: int) -> None:
    _add_and_subtract(re, im, at + 1, at + 2)
    re[at + 2], im[at + 2] = _SIN_60 * im[at + 2], -_SIN_60 * re[at + 2]
    real, imag = re[at] - _HALF * re[at + 1], im[at] - _HALF * im[at + 1]
    re[at], im[at] = re[at] + re[at + 1], im[at] + im[at + 1]
    re[at + 1], im[at + 1] = real, imag
    _add_and_subtract(re, im, at + 1, at + 2)


@device
def _dft4(re: Any, im: Any, at: int) -> None:
    _add_and_subtract(re, im, at, at + 2)
    _add_and_subtract(re, im, at + 1, at + 3)
    _turn(re, im, at + 3)
    _add_and_subtract(re, im, at, at + 1)
    _add_and_subtract(re, im, at + 2, at + 3)
    _swap(re, im, at + 1, at + 2)


@device
def _dft5_apart(re: Any, im: Any, at: int, step: int) -> None:
    """Transform five numbers that are a step apart."""
    a, b, c, d = at + step, at + 2 * step, at + 3 * step, at + 4 * step
    _add_and_subtract(re, im, a, d)
    _add_and_subtract(re, im, b, c)
    real, imag = re[at], im[at]
    near_re, near_im, far_re, far_im = re[a], im[a], re[b], im[b]
    re[at], im[at] = real + near_re + far_re, imag + near_im + far_im
    re[a] = real + _COS_72 * near_re + _COS_144 * far_re
    im[a] = imag + _COS_72 * near_im + _COS_144 * far_im
    re[b] = real + _COS_144 * near_re + _COS_72 * far_re
    im[b] = imag + _COS_144 * near_im + _COS_72 * far_im
    near_re, near_im, far_re, far_im = re[d], im[d], re[c], im[c]
    re[d] = _SIN_72 * near_im + _SIN_144 * far_im
    im[d] = -(_SIN_72 * near_re + _SIN_144 * far_re)
    re[c] = _SIN_144 * near_im - _SIN_72 * far_im
    im[c] = -(_SIN_144 * near_re - _SIN_72 * far_re)
    _add_and_subtract(re, im, a, d)
    _add_and_subtract(re, im, b, c)


@device
def _dft5(re: Any, im: Any, at: int) -> None:
    _dft5_apart(re, im, at, 1)


@device
def _dft8(re: Any, im: Any, at: int) -> None:
    for k in range(4):
        _add_and_subtract(re, im, at + k, at + 4 + k)
    _multiply(re, im, at + 5, _ROOT_HALF, -_ROOT_HALF)
    _turn(re, im, at + 6)
    _multiply(re, im, at + 7, -_ROOT_HALF, -_ROOT_HALF)
    _dft4(re, im, at)
    _dft4(re, im, at + 4)
    # even outputs, odd outputs -> their order
    _swap(re, im, at + 1, at + 2)
    _swap(re, im, at + 1, at + 4)
    _swap(re, im, at + 3, at + 6)
    _swap(re, im, at + 3, at + 5)


@device
def _dft16(re: Any, im: Any, at: int) -> None:
    for k in range(8):
        _add_and_subtract(re, im, at + k, at + 8 + k)
    _multiply(re, im, at + 9, _COS_22, -_SIN_22)
    _multiply(re, im, at + 10, _ROOT_HALF, -_ROOT_HALF)
    _multiply(re, im, at + 11, _SIN_22, -_COS_22)
    _turn(re, im, at + 12)
    _multiply(re, im, at + 13, -_SIN_22, -_COS_22)
    _multiply(re, im, at + 14, -_ROOT_HALF, -_ROOT_HALF)
    _multiply(re, im, at + 15, -_COS_22, -_SIN_22)
    _dft8(re, im, at)
    _dft8(re, im, at + 8)
    # even outputs, odd outputs -> their order
    _swap(re, im, at + 1, at + 8)
    _swap(re, im, at + 2, at + 8)
    _swap(re, im, at + 3, at + 9)
    _swap(re, im, at + 4, at + 8)
    _swap(re, im, at + 5, at + 10)
    _swap(re, im, at + 6, at + 9)
    _swap(re, im, at + 7, at + 11)
    _swap(re, im, at + 9, at + 12)
    _swap(re, im, at + 11, at + 13)
    _swap(re, im, at + 13, at + 14)


# Transforms of products of coprime numbers need no twiddles (Good and Thomas). Their numbers are
# where `_inputs_of` puts them, and `_outputs_of` tells where they leave them. There are no loops,
# which the compiler does not unroll for compute capability 12.0: numbers would leave registers.


@device
def _dft10(re: Any, im: Any, at: int) -> None:
    _dft2(re, im, at)
    _dft2(re, im, at + 2)
    _dft2(re, im, at + 4)
    _dft2(re, im, at + 6)
    _dft2(re, im, at + 8)
    _dft5_apart(re, im, at, 2)
    _dft5_apart(re, im, at + 1, 2)


@device
def _dft20(re: Any, im: Any, at: int) -> None:
    _dft4(re, im, at)
    _dft4(re, im, at + 4)
    _dft4(re, im, at + 8)
    _dft4(re, im, at + 12)
    _dft4(re, im, at + 16)
    _dft5_apart(re, im, at, 4)
    _dft5_apart(re, im, at + 1, 4)
    _dft5_apart(re, im, at + 2, 4)
    _dft5_apart(re, im, at + 3, 4)


_DFTS = {
    2: _dft2, 3: _dft3, 4: _dft4, 5: _dft5, 8: _dft8, 10: _dft10, 16: _dft16, 20: _dft20,
}  # fmt: skip


def _inputs_of(radix: int) -> Any:
    """Make the function that tells where a transform takes its input k."""
    n_rows, is_product = radix // 5, radix in (10, 20)
    inverse = pow(n_rows, -1, 5) if is_product else 1

    @device
    def place(k: int) -> Any:
        if not is_product:
            return k
        return split(k, n_rows)[1] + U32(n_rows) * split(inverse * k, 5)[1]

    return place


def _outputs_of(radix: int) -> Any:
    """Make the function that tells where it leaves its output k."""
    n_rows, is_product = radix // 5, radix in (10, 20)

    @device
    def place(k: int) -> Any:
        if not is_product:
            return k
        return split(k, n_rows)[1] + U32(n_rows) * split(k, 5)[1]

    return place


# the steps of the line; each maker returns a function that all threads of a block call


#: columns of the table of signals: where the samples are; how many there are, with repetitions, and
#: with zeros and pre-emphasis; frames of the line; where its features go, and places of frames
#: there; the same for the result, and how many of its frames are no padding
OFFSET, N_GIVEN, N_FILLED, N_SIGNAL, N_BANDS, FIRST, N_PLACES, FIRST_OUT, N_OUT, N_VALID = range(10)

#: rows of what kernels leave of a signal: its largest value; 1 if a sample is not finite
PEAK, LOST = range(2)


def _padded_of(layout: Layout) -> Any:
    """Make the function that gives a sample of the padded signal, as ``numpy.pad`` computes it."""
    before, after, mode = layout.before, layout.after, layout.pad_mode
    preemphasis, first = F32(layout.signal_preemphasis), int(layout.drops_first)
    is_conditioned, repeats = layout.signal_preemphasis != 0, layout.repeats

    @device
    def given(y: Any, offset: Any, n_given: Any, n_filled: Any, i: Any) -> Any:
        """Sample i of the signal, which is repeated or followed by zeros."""
        if i < 0 or i >= n_filled:
            return F32(0)
        if repeats:
            i = I32(split(i, n_given)[1])
        return F32(y[offset + i])

    @device
    def inside(y: Any, offset: Any, n_given: Any, n_filled: Any, i: Any) -> Any:
        """Sample i of the conditioned signal."""
        value = given(y, offset, n_given, n_filled, i + first)
        if is_conditioned:
            value -= preemphasis * given(y, offset, n_given, n_filled, i + first - 1)
        return value

    @device
    def padded(y: Any, offset: Any, n_given: Any, n_filled: Any, n: Any, i: Any) -> Any:
        """Sample i of the padded signal, which has n of its own."""
        weight = F32(1)
        if i < 0 or i >= n:
            if mode == ZEROS or n == 0 or i < -before or i >= n + after:
                return F32(0)
            if mode == REFLECT:
                period = I32(2 * n - 2 if n > 1 else 1)
                i = I32(split(abs(i), period)[1])
                i = I32(min(i, period - i))
            elif mode == SYMMETRIC:
                i = I32(split(i if i >= 0 else -1 - i, 2 * n)[1])
                i = I32(min(i, 2 * n - 1 - i))
            elif mode == EDGE:
                i = I32(0 if i < 0 else n - 1)
            elif i < 0:  # LINEAR_RAMP
                weight, i = F32(i + before) / F32(before), I32(0)
            else:
                weight, i = F32(n + after - 1 - i) / F32(after), I32(n - 1)
        return weight * inside(y, offset, n_given, n_filled, i)

    return padded


def _load_of(layout: Layout) -> Any:
    """Make the step that loads the samples of some frames into shared memory."""
    height, n_rows, cell = layout.height, layout.n_rows, _cell_of(layout)
    hop_length, origin, n_threads = layout.hop_length, layout.origin, U32(layout.n_threads)
    preemphasis, first = F32(layout.signal_preemphasis), int(layout.drops_first)
    is_conditioned, padded = layout.signal_preemphasis != 0, _padded_of(layout)
    span, pitch, odd_at = (n_rows - 1) * hop_length + height, layout.row_pitch, layout.odd_at
    n_at_once = 1 if height % 2 else 2  # an even sample and the odd one after it
    n_columns, n_cells = height // n_at_once, U32(n_rows * height // n_at_once)
    is_dense = height == hop_length

    @device
    def put(shared: Any, at: Any, column: Any, k: int, value: Any) -> None:
        if n_at_once == 2:  # addresses that differ by constants
            shared[U64(at * pitch + column) + U64(k * odd_at)] = value
        else:
            shared[cell(at, column)] = value

    @device
    def load(y: Any, rows: Any, row: Any, frame: int, shared: Any, tid: int) -> Any:
        """Load them from a frame on; whether those of this thread are finite."""
        offset, n_signal = rows[row, OFFSET], I32(rows[row, N_SIGNAL])
        n_given, n_filled = I32(rows[row, N_GIVEN]), I32(rows[row, N_FILLED])
        start = I32(frame * hop_length + origin)
        i, zero = U32(tid), F32(0)
        if start > 0 and start + span + first <= min(n_given, n_signal + first):
            samples = y[offset + start + first - 1 :]
            while i < n_cells:
                at, column = split(i, n_columns)
                position = U64(i * n_at_once if is_dense else at * hop_length + n_at_once * column)
                for k in range(n_at_once):
                    value = F32(samples[position + U64(k + 1)])
                    if is_conditioned:
                        value -= preemphasis * F32(samples[position + U64(k)])
                    zero += F32(0) * value  # NaN, of a value that is not finite
                    put(shared, at, column, k, value)
                i = U32(i + n_threads)
        while i < n_cells:
            at, column = split(i, n_columns)
            for k in range(n_at_once):
                place = I32(start + I32(at * hop_length + n_at_once * column + k))
                value = padded(y, offset, n_given, n_filled, n_signal, place)
                zero += F32(0) * value
                put(shared, at, column, k, value)
            i = U32(i + n_threads)
        return zero == 0

    return load


def _cell_of(layout: Layout) -> Any:
    """Make the function that tells where a sample is: even ones come first in a row."""
    pitch, odd_at = layout.row_pitch, layout.odd_at

    @device
    def cell(row: Any, column: Any) -> Any:
        return U32(row * pitch + (column >> 1) + (column & 1) * odd_at)

    return cell


def _sample_of(layout: Layout) -> Any:
    """Make the function that gives sample t of frame f."""
    height, cell = layout.height, _cell_of(layout)

    @device
    def sample(shared: Any, f: Any, t: Any) -> Any:
        row, column = split(t, height)
        return shared[cell(f + row, column)]

    return sample


def _linear_of(layout: Layout, preemphasis: float) -> Any:
    """Make the function that gives it without the frame's mean, and with pre-emphasis."""
    sample, removes_dc = _sample_of(layout), layout.removes_dc
    is_emphasized, factor = preemphasis != 0, F32(preemphasis)

    @device
    def linear(shared: Any, means: Any, f: Any, t: Any) -> Any:
        value = sample(shared, f, t)
        if removes_dc:
            value -= means[f]
        if is_emphasized:
            before = sample(shared, f, U32(t - 1 if t > 0 else 0))
            if removes_dc:
                before -= means[f]
            value -= factor * before
        return value

    return linear


def fold_of(n_threads: int, n_groups: int, fold: Any, wait: Any) -> Any:
    """Make the function that folds what the threads of each group have into one value.

    wait: a barrier of the kernel's own file, which is where the simulator puts its own.
    """
    n_shares = n_threads // n_groups

    @device
    def folded(own: Any, scratch: Any, tid: Any) -> Any:
        """The value of group ``tid % n_groups``; a barrier must follow."""
        scratch[tid] = own
        n = n_shares
        while n > 1:
            n_folded = n // 2
            n -= n_folded
            wait()
            if tid < n_folded * n_groups:
                scratch[tid] = fold(scratch[tid], scratch[tid + n * n_groups])
        wait()
        return scratch[tid % n_groups]

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
    sample, factor = _sample_of(layout), F32(1 / layout.n_taken)
    n_frames, n_taken = layout.n_frames, I32(layout.n_taken)
    total = fold_of(layout.n_threads, n_frames, add, _wait)
    n_shares = I32(layout.n_threads // n_frames)

    @device
    def means_of(shared: Any, scratch: Any, means: Any, tid: int) -> None:
        share, f = split(tid, n_frames)
        # what the samples are above the first: a constant signal must lose all of its mean
        first, own = sample(shared, f, U32(0)), F32(0)
        for t in range(I32(share), n_taken, n_shares):
            own += sample(shared, f, t) - first
        mean = first + total(own, scratch, tid) * factor
        if tid < n_frames:
            means[tid] = mean
        cuda.syncthreads()

    return means_of


def _energies_of(layout: Layout) -> Any:
    """Make the step that takes the log energy of each frame."""
    is_raw = layout.energy == "raw"
    linear = _linear_of(layout, 0 if is_raw else layout.preemphasis)
    scale, floor = F32(layout.energy_scale), F32(layout.energy_floor)
    n_frames, n_taken = layout.n_frames, I32(layout.n_taken)
    total = fold_of(layout.n_threads, n_frames, add, _wait)
    n_shares = I32(layout.n_threads // n_frames)

    @device
    def energies_of(
        shared: Any, means: Any, window: Any, scratch: Any, tile: Any, at: int, tid: int
    ) -> None:
        """Write them into the tile, from ``at`` on."""
        share, f = split(tid, n_frames)
        own = F32(0)
        for t in range(I32(share), n_taken, n_shares):
            term = scale * linear(shared, means, f, t)
            if not is_raw:
                even, odd = _halves(window[t >> 1])
                term *= odd if t & 1 else even
            own += term * term
        energy = total(own, scratch, tid)
        if tid < n_frames:
            tile[at + tid] = math.log(floor if energy < floor else energy)  # NaN stays

    return energies_of


def _windowed_of(layout: Layout) -> Any:
    """Make what the first pass reads: neighbouring samples are real and imaginary part."""
    linear, removes_dc = _linear_of(layout, layout.preemphasis), layout.removes_dc
    n_butterflies = layout.n_points // layout.radices[0]
    half_row, pitch, odd_at = layout.height // 2, layout.row_pitch, U64(layout.odd_at)
    # neighbours in one row, and inputs of a butterfly that are less than a row apart
    is_paired = layout.height % 2 == 0 and n_butterflies <= half_row and not layout.preemphasis

    @device
    def windowed(
        shared: Any, means: Any, window: Any, turns: Any, f: Any, j: Any, k: int, is_mirror: bool
    ) -> Any:
        even, odd = _halves(window[U64(j) + U64(k * n_butterflies)])
        if is_paired:
            row, column = k * n_butterflies // half_row, k * n_butterflies % half_row
            at = U64(f * pitch + j) + U64(row * pitch + column)
            if column + n_butterflies > half_row and j >= U32(half_row - column):  # into the next
                at += U64(pitch - half_row)
            real, imag = shared[at], shared[at + odd_at]
            if removes_dc:
                real, imag = real - means[f], imag - means[f]
            return even * real, odd * imag
        t = U32(2 * _source(j, k, n_butterflies))
        return even * linear(shared, means, f, t), odd * linear(shared, means, f, U32(t + 1))

    return windowed


def _place_of(layout: Layout, step: int, n_steps: int) -> Any:
    """Make the function that tells where the k-th point of frame f after some first is."""
    n_frames, gap = layout.n_frames, U32(layout.gap)
    is_regular = cuda_layout.is_regular(layout, step, n_steps)
    apart = n_frames * (cuda_layout.place(step, layout.gap) if step % layout.gap == 0 else step)

    @device
    def place(first: Any, k: int, f: Any) -> Any:
        if is_regular:  # all share one address, and have constants beside it
            return U64(_place(first, gap) * n_frames + f) + U64(k * apart)
        return U64(_place(U32(first + k * step), gap) * n_frames + f)

    return place


def _points_of(layout: Layout, radix: int, stride: int, first_turn: int) -> Any:
    """Make what a later pass reads: points by their twiddles."""
    n_butterflies, half = layout.n_points // radix, U64(layout.half)
    place = _place_of(layout, n_butterflies, radix)

    @device
    def points(
        shared: Any, means: Any, window: Any, turns: Any, f: Any, j: Any, k: int, is_mirror: bool
    ) -> Any:
        """Input k of butterfly j; of its mirror, the output k of which is opposite to j's -k."""
        read = U32(_mirror(j, n_butterflies)) if is_mirror else j
        at = place(read, k, f)
        re, im = shared[at], shared[at + half]
        if k > 0:
            turn = U64(split(j, stride)[1]) + U64(first_turn + (k - 1) * stride)
            real, imag = _halves(turns[turn])
            if is_mirror:
                imag = -imag
            re, im = re * real - im * imag, re * imag + im * real
        return re, im

    return points


def _pass_of(layout: Layout, at: int, stride: int, read: Any) -> Any:
    """Make a pass: butterflies of what ``read`` gives, with ``stride`` points transformed before.

    It works in place: all threads have read before the first one writes.
    """
    n_frames, n_threads, half = layout.n_frames, layout.n_threads, U64(layout.half)
    radix, n_rounds = layout.radices[at], layout.n_rounds(at)
    place = _place_of(layout, stride, radix)
    n_units = layout.n_points // radix * n_frames
    n_values, dft = n_rounds * radix, _DFTS[radix]
    input_at, output_at = _inputs_of(radix), _outputs_of(radix)

    @device
    def one_pass(shared: Any, means: Any, window: Any, turns: Any, tid: int) -> None:
        re = cuda.local.array(n_values, F32)
        im = cuda.local.array(n_values, F32)
        for i in range(n_rounds):
            unit = tid + i * n_threads
            if unit < n_units:
                j, f = split(unit, n_frames)
                for k in range(radix):
                    a = i * radix + input_at(k)
                    re[a], im[a] = read(shared, means, window, turns, f, j, k, False)
        cuda.syncthreads()
        for i in range(n_rounds):
            unit = tid + i * n_threads
            if unit < n_units:
                j, f = split(unit, n_frames)
                dft(re, im, i * radix)
                first = U32(_target(j, 0, radix, stride))
                for k in range(radix):
                    a, at = i * radix + output_at(k), place(first, k, f)
                    shared[at], shared[at + half] = re[a], im[a]
        cuda.syncthreads()

    return one_pass


def _last_pass_of(layout: Layout, read: Any, first_turn: int) -> Any:
    """Make the last pass, which goes on to the powers of all bins by the twiddles that are left.

    A thread has a butterfly and its mirror, and so both points that a pair of bins is made of.
    """
    n_points, n_frames, n_threads = layout.n_points, layout.n_frames, layout.n_threads
    radix, n_rounds = layout.radices[-1], layout.n_rounds(len(layout.radices) - 1)
    n_butterflies, n_zeros = n_points // radix, cuda_layout.STEPS
    n_units, n_values = (n_butterflies // 2 + 1) * n_frames, n_rounds * 2 * radix
    dft, input_at, output_at = _DFTS[radix], _inputs_of(radix), _outputs_of(radix)
    is_power, is_magnitude = layout.power == 2, layout.power == 1
    offset, exponent = F32(layout.power_offset), F32(layout.power / 2)

    @device
    def powered(real: Any, imag: Any) -> Any:
        square = real * real + imag * imag
        if is_power:
            return square
        if is_magnitude:
            return math.sqrt(square + offset)
        return square**exponent

    @device
    def last_pass(shared: Any, means: Any, window: Any, turns: Any, tid: int) -> None:
        re = cuda.local.array(n_values, F32)
        im = cuda.local.array(n_values, F32)
        for i in range(n_rounds):
            unit = tid + i * n_threads
            if unit < n_units:
                j, f = split(unit, n_frames)
                for k in range(radix):
                    a, b = 2 * i * radix + input_at(k), (2 * i + 1) * radix + input_at(k)
                    re[a], im[a] = read(shared, means, window, turns, f, j, k, False)
                    re[b], im[b] = read(shared, means, window, turns, f, j, k, True)
        cuda.syncthreads()
        for i in range(n_rounds):
            unit = tid + i * n_threads
            if unit < n_units:
                j, f = split(unit, n_frames)
                dft(re, im, 2 * i * radix)
                dft(re, im, (2 * i + 1) * radix)
                for k in range(radix):
                    a = 2 * i * radix + output_at(k)
                    b = (2 * i + 1) * radix + output_at((radix - k) % radix)
                    even_re, even_im = re[a] + re[b], im[a] - im[b]
                    odd_re, odd_im = im[a] + im[b], re[b] - re[a]
                    real, imag = _halves(turns[U64(j) + U64(first_turn + k * n_butterflies)])
                    turned_re = odd_re * real - odd_im * imag
                    turned_im = odd_re * imag + odd_im * real
                    low = U64(unit) + U64(k * n_butterflies * n_frames)
                    high = U64(f) + U64((n_points - k * n_butterflies) * n_frames) - U64(unit - f)
                    shared[low] = powered(even_re + turned_re, even_im + turned_im)
                    shared[high] = powered(even_re - turned_re, even_im - turned_im)
                if j == 0:  # for bands that read beyond the last bin
                    for k in range(n_zeros):
                        shared[U64(f) + U64((n_points + 1 + k) * n_frames)] = F32(0)
        cuda.syncthreads()

    return last_pass


def _fft_of(layout: Layout) -> Any:
    """Make all passes of the FFT of half the length, up to the powers, as one step."""

    def then(step: Any, following: Any) -> Any:
        @device
        def both(shared: Any, means: Any, window: Any, turns: Any, tid: int) -> None:
            step(shared, means, window, turns, tid)
            following(shared, means, window, turns, tid)

        return both

    steps, read, stride, first_turn = [], _windowed_of(layout), 1, 0
    for at, radix in enumerate(layout.radices):
        if at > 0:
            read = _points_of(layout, radix, stride, first_turn)
            first_turn += (radix - 1) * stride
        if at + 1 == len(layout.radices):
            steps.append(_last_pass_of(layout, read, first_turn))
        else:
            steps.append(_pass_of(layout, at, stride, read))
        stride *= radix
    return reduce(then, steps)


@partial(device, fastmath=True)
def _near_log2(x: Any) -> Any:
    """The GPU's own logarithm, an instruction that errs by 2**-22, in all or relatively."""
    return math.log2(x)


@device
def _log2(x: Any) -> Any:
    """A logarithm that errs by 2**-22 and its rounding in all; x is not subnormal."""
    bits = bits_of(F32(x))
    exponent = I32(I32(bits - _ROOT_HALF_BITS) >> I32(23))
    mantissa = float_of(I32(bits - (exponent << I32(23))))  # from sqrt(1/2) to sqrt(2)
    value = F32(exponent) + _near_log2(mantissa)
    return value if x <= _LARGEST else x  # infinity and NaN stay


def _bands_of(layout: Layout) -> Any:
    """Make the step from powers to the logarithms of bands, written into the tile."""
    n_frames, n_threads, n_at_once = layout.n_frames, U32(layout.n_threads), cuda_layout.STEPS
    n_units, last_band = U32(layout.n_mels * n_frames), layout.n_mels - 1 + layout.first_band
    n_together = cuda_layout.n_together(layout)
    pitch, is_log = layout.tile_pitch, layout.log is not None
    scale = 1, 1, math.log10(2), 1, 1  # the factor is that of a logarithm to base 10
    amin, added, factor, offset, floor = map(
        F32, map(operator.mul, layout.log or (0, 0, 1, 0, 0), scale)
    )
    adds, is_normal = bool(added), max(amin, added) >= np.finfo(F32).tiny

    @device
    def bands(shared: Any, spans: Any, weights: Any, tile: Any, done: Any, tid: int) -> None:
        unit = U32(tid)
        while unit < n_units:
            i, f = split(unit, n_frames)  # those with the most bins first
            begin, n_steps, position = _unpacked(spans[U64(i)])
            position, at_bin = U64(position), U64(begin * n_frames + f)
            total = F32(0)
            while n_steps > 0:
                for k in range(n_at_once):
                    weight = weights[position + U64(k * n_together)]
                    total += weight * shared[at_bin + U64(k * n_frames)]
                position += U64(n_at_once * n_together)
                at_bin += U64(n_at_once * n_frames)
                n_steps = U32(n_steps - U32(1))
            if is_log:
                more = total + added if adds else total
                log2 = _log2(more) if is_normal else _near_log2(more)
                total = floor if total <= amin else factor * log2 + offset
            tile[U32(f + done + last_band * pitch - i * pitch)] = total
            unit = U32(unit + n_threads)

    return bands


def _store_of(layout: Layout) -> Any:
    """Make the step that writes the tile, frame by frame or feature by feature."""
    n_features, n_tile, pitch = layout.n_features, layout.n_tile, layout.tile_pitch
    n_threads, n_apart = U32(layout.n_threads), U32(layout.n_threads // n_tile)
    is_turned, pad_value = layout.is_turned, F32(layout.pad_value)
    energy_at = layout.energy_at if layout.energy else -1

    @device
    def store(tile: Any, rows: Any, row: Any, first: int, out: Any, tid: int) -> Any:
        """Write it; the largest value of a band that this thread has written."""
        n_bands, n_places = rows[row, N_BANDS] - first, rows[row, N_PLACES] - first
        start, peak = rows[row, FIRST] * n_features, F32(-np.inf)
        if is_turned:
            start += first * n_features
            n_values = U32(min(n_places, n_tile) * n_features)
            unit = U32(tid)
            while unit < n_values:
                t, q = split(unit, n_features)
                value = tile[U32(q * pitch + t)] if t < n_bands else pad_value
                if q != energy_at and t < n_bands:
                    peak = max(peak, value)
                out[U64(start + unit)] = value
                unit = U32(unit + n_threads)
            return peak
        q, t = split(tid, n_tile)  # each thread stays at its frame
        if t < n_places:
            n_apart_out, is_band = rows[row, N_PLACES], t < n_bands
            cell, place = U32(q * pitch + t), U64(start + first + t + q * n_apart_out)
            while q < n_features:
                value = tile[cell] if is_band else pad_value
                if q != energy_at and is_band:
                    peak = max(peak, value)
                out[place] = value
                q = U32(q + n_apart)
                cell = U32(cell + n_apart * U32(pitch))
                place += U64(n_apart * n_apart_out)
        return peak

    return store


@lru_cache(maxsize=64)
def line_of(layout: Layout) -> Any:
    """Make the kernel of the line: block (x, y) takes tile x of signal y."""
    n_frames, n_tile, n_threads = layout.n_frames, layout.n_tile, layout.n_threads
    n_shared, n_scratch, n_values = layout.n_shared, layout.n_scratch, layout.n_tile_values
    energy_row = layout.energy_at * layout.tile_pitch
    largest = fold_of(n_threads, 1, _larger, _wait)
    removes_dc, has_energy, finds_peak = layout.removes_dc, bool(layout.energy), layout.finds_peak
    load, means_of, energies_of = _load_of(layout), _means_of(layout), _energies_of(layout)
    fft, bands, store = _fft_of(layout), _bands_of(layout), _store_of(layout)

    @kernel(n_threads, layout.n_at_once)
    def line(
        y: Any, rows: Any, window: Any, turns: Any, spans: Any, weights: Any, out: Any,
        state: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(n_shared, F32)
        tile = cuda.shared.array(n_values, F32)
        scratch = cuda.shared.array(n_scratch, F32)
        means = cuda.shared.array(n_frames, F32)
        zero = cuda.shared.array(1, I32)
        row, first = U32(cuda.blockIdx.y), cuda.blockIdx.x * n_tile
        if first >= rows[row, N_PLACES]:
            return
        if cuda.threadIdx.x == 0:
            zero[0] = 0
        for done in range(0, min(n_tile, rows[row, N_BANDS] - first), n_frames):
            cuda.syncthreads()
            # A zero that the compiler cannot see through: it would compute the places of all passes
            # before the first round, and keep them in 255 registers.
            tid = I32(cuda.threadIdx.x + zero[0])
            if not load(y, rows, row, first + done, shared, tid):
                state[LOST, row] = 1
            cuda.syncthreads()
            if removes_dc:
                means_of(shared, scratch, means, tid)
            if has_energy:
                energies_of(shared, means, window, scratch, tile, energy_row + done, tid)
            fft(shared, means, window, turns, tid)
            bands(shared, spans, weights, tile, done, tid)
        cuda.syncthreads()
        tid = I32(cuda.threadIdx.x)
        peak = store(tile, rows, row, first, out, tid)
        if finds_peak:
            peak = largest(peak, shared, tid)
            if tid == 0:
                cuda.atomic.max(state, (PEAK, row), peak)

    return line
