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
from .cuda import ALIGNMENT, bits_of, cuda, device, float_of, kernel
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
_LOW, _SHORT = U64(0xFFFFFFFF), U32(0x7FFF)

_place = device(cuda_layout.place)
_source = device(cuda_layout.source)
_target = device(cuda_layout.target)
_mirror = device(cuda_layout.mirror)
_power_place = device(cuda_layout.power_place)


@device
def split(unit: Any, n: int) -> Any:
    """Quotient and remainder of what is not negative, in 32 bits."""
    return U32(U32(unit) // U32(n)), U32(U32(unit) % U32(n))


@device
def _unpacked(span: Any) -> Any:
    """Where a band's powers begin, how many groups they are, where its weights are; see `packed`.

    And a one that the compiler does not know: it would unroll loops over groups, of which there are
    few.
    """
    high = U32(span >> U64(32))
    return U32(high & _SHORT), U32(U32(high >> U32(16)) & _SHORT), U32(span), U32(high >> U32(31))


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
    height, n_rows, pitch = layout.height, layout.n_rows, layout.row_pitch
    hop_length, origin, n_threads = layout.hop_length, layout.origin, layout.n_threads
    preemphasis, first = F32(layout.signal_preemphasis), int(layout.drops_first)
    is_conditioned, padded = layout.signal_preemphasis != 0, _padded_of(layout)
    span = (n_rows - 1) * hop_length + height
    is_paired, n_at_once = height % 2 == 0, 1 if height % 2 else 2
    n_columns, n_cells = height // n_at_once, U32(n_rows * height // n_at_once)
    # A thread goes down a column, or some of them, so that its addresses differ by constants.
    n_together, n_rounds = max(n_threads // n_columns, 1), -(-n_columns // n_threads)
    n_turns = -(-n_rows // n_together)
    fills_rows = n_rounds in (1, n_columns / n_threads)
    fills_columns = n_turns * n_together == n_rows

    @device
    def move(y: Any, position: Any, shared: Any, cell: Any) -> Any:
        """Load one sample, or two; 0, or NaN if one is not finite."""
        value, following = F32(y[position + U64(1)]), F32(0)
        if is_paired:
            following = F32(y[position + U64(2)])
        if is_conditioned:
            following -= preemphasis * value
            value -= preemphasis * F32(y[position])
        shared[cell] = value
        if is_paired:
            shared[cell + U64(1)] = following
            return F32(0) * value + F32(0) * following
        return F32(0) * value

    @device
    def load_inside(y: Any, position: Any, shared: Any, tid: Any) -> Any:
        """Load samples that need no padding; 0, or NaN if one is not finite."""
        at, column = split(tid, n_columns)
        if n_rounds > 1:
            at, column = U32(0), U32(tid)
        zero, position = F32(0), position + U64(U32(at * hop_length + n_at_once * column))
        cell = U64(U32(at * pitch + n_at_once * column))
        if at >= n_together:
            return zero
        for turn in range(n_turns):
            for k in range(n_rounds):
                is_row = fills_columns or at < n_rows - turn * n_together
                if is_row and (fills_rows or column < n_columns - k * n_threads):
                    down, right = turn * n_together, k * n_at_once * n_threads
                    there = position + U64(down * hop_length + right)
                    zero += move(y, there, shared, cell + U64(down * pitch + right))
        return zero

    @device
    def load(y: Any, rows: Any, row: Any, frame: Any, shared: Any, tid: Any) -> Any:
        """Load them from a frame on; whether those of this thread are finite."""
        offset, n_signal = rows[row, OFFSET], I32(rows[row, N_SIGNAL])
        n_given, n_filled = I32(rows[row, N_GIVEN]), I32(rows[row, N_FILLED])
        start, zero = I32(frame * hop_length + origin), F32(0)
        if start > 0 and start + span + first <= min(n_given, n_signal + first):
            return load_inside(y, U64(offset + start + first - 1), shared, tid) == 0
        i = U32(tid)
        while i < n_cells:
            at, column = split(i, n_columns)
            for k in range(n_at_once):
                place = I32(start + I32(at * hop_length + n_at_once * column + k))
                value = padded(y, offset, n_given, n_filled, n_signal, place)
                zero += F32(0) * value
                shared[U32(at * pitch + n_at_once * column + k)] = value
            i = U32(i + n_threads)
        return zero == 0

    return load


def _sample_of(layout: Layout) -> Any:
    """Make the function that gives sample t of frame f."""
    height, pitch, gap = layout.height, layout.row_pitch, layout.row_pitch - layout.height

    @device
    def sample(shared: Any, f: Any, t: Any) -> Any:
        return shared[U32(f * pitch + t + U32(t) // U32(height) * gap)]

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
    n_at_once = n_shares if n_shares <= 16 else math.isqrt(n_shares - 1) + 1  # twice

    @device
    def folded(own: Any, scratch: Any, tid: Any) -> Any:
        """The value of group ``tid % n_groups``; a barrier must follow."""
        scratch[tid] = own
        n = n_shares
        while n > 1:
            n_left = (n + n_at_once - 1) // n_at_once
            wait()
            if tid < n_left * n_groups:
                value = scratch[tid]
                for i in range(1, n_at_once):
                    if tid < (n - i * n_left) * n_groups:
                        value = fold(value, scratch[tid + i * n_left * n_groups])
                scratch[tid] = value
            n = n_left
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
    n_frames, n_taken = layout.n_frames, U32(layout.n_taken)
    total = fold_of(layout.n_threads, n_frames, add, _wait)
    n_shares = U32(layout.n_threads // n_frames)

    @device
    def means_of(shared: Any, scratch: Any, means: Any, tid: int) -> None:
        t, f = split(tid, n_frames)
        # what the samples are above the first: a constant signal must lose all of its mean
        first, own = sample(shared, f, U32(0)), F32(0)
        while t < n_taken:
            own += sample(shared, f, t) - first
            t = U32(t + n_shares)
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
                even, odd = _halves(window[t >> U32(1)])
                term *= odd if t & U32(1) else even
            own += term * term
            t = U32(t + n_shares)
        energy = total(own, scratch, tid)
        if tid < n_frames:
            tile[at + tid] = math.log(floor if energy < floor else energy)  # NaN stays

    return energies_of


def _pair_of(layout: Layout) -> Any:
    """Make the function that gives neighbouring samples, in even rows the pair j + k * step.

    And the one before them, which is the first one itself at the beginning of the frame.
    """
    step, half_row = layout.n_points // layout.radices[0], layout.height // 2
    pitch, gap = layout.row_pitch, layout.row_pitch - layout.height
    is_emphasized = layout.preemphasis != 0
    is_near = step <= half_row  # pairs from j = 0 on are in one row or two

    @device
    def pair(shared: Any, f: Any, j: Any, k: int) -> Any:
        row, column = k * step // half_row, k * step % half_row
        if is_near:
            at = U64(U32(f * pitch + 2 * j)) + U64(row * pitch + 2 * column)
            crosses = gap > 0 and column + step > half_row and j >= U32(half_row - column)
            if crosses:
                at += U64(gap)
        else:
            q = U32(_source(j, k, step))
            at = U64(U32(f * pitch + 2 * q + q // U32(half_row) * gap))
        first, second, before = shared[at], shared[at + U64(1)], F32(0)
        if is_emphasized:
            q = U32(_source(j, k, step))
            before_at = at - U64(1)
            if gap > 0 and split(q, half_row)[1] == 0:
                before_at -= U64(gap)
            before = first if k == 0 and j == 0 else shared[before_at]
        return first, second, before

    return pair


def _windowed_of(layout: Layout) -> Any:
    """Make what the first pass reads: neighbouring samples are real and imaginary part."""
    linear, removes_dc = _linear_of(layout, layout.preemphasis), layout.removes_dc
    n_butterflies, is_paired = layout.n_points // layout.radices[0], layout.height % 2 == 0
    pair, is_emphasized, factor = _pair_of(layout), layout.preemphasis != 0, F32(layout.preemphasis)

    @device
    def windowed(
        shared: Any, means: Any, window: Any, turns: Any, f: Any, j: Any, k: int, is_mirror: bool
    ) -> Any:
        even, odd = _halves(window[U64(j) + U64(k * n_butterflies)])
        if not is_paired:
            t = U32(2 * _source(j, k, n_butterflies))
            return even * linear(shared, means, f, t), odd * linear(shared, means, f, U32(t + 1))
        real, imag, before = pair(shared, f, j, k)
        if removes_dc:
            real, imag, before = real - means[f], imag - means[f], before - means[f]
        if is_emphasized:
            real, imag = real - factor * before, imag - factor * real
        return even * real, odd * imag

    return windowed


def _place_of(layout: Layout, step: int, n_steps: int) -> Any:
    """Make the function that tells where the k-th point of frame f after some first is.

    Its imaginary part follows the real one.
    """
    n_frames, gap = layout.n_frames, U32(layout.gap)
    is_regular = cuda_layout.is_regular(layout, step, n_steps)
    apart = n_frames * (cuda_layout.place(step, layout.gap) if step % layout.gap == 0 else step)

    @device
    def place(first: Any, k: int, f: Any) -> Any:
        if is_regular:  # all share one address, and have constants beside it
            return U64(2 * U32(_place(first, gap) * n_frames + f)) + U64(2 * k * apart)
        return U64(2 * U32(_place(U32(first + k * step), gap) * n_frames + f))

    return place


def _points_of(layout: Layout, radix: int, stride: int, first_turn: int) -> Any:
    """Make what a later pass reads: points by their twiddles."""
    n_butterflies = layout.n_points // radix
    place = _place_of(layout, n_butterflies, radix)

    @device
    def points(
        shared: Any, means: Any, window: Any, turns: Any, f: Any, j: Any, k: int, is_mirror: bool
    ) -> Any:
        """Input k of butterfly j; of its mirror, the output k of which is opposite to j's -k."""
        read = U32(_mirror(j, n_butterflies)) if is_mirror else j
        at = place(read, k, f)
        re, im = shared[at], shared[at + U64(1)]
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
    n_frames, n_threads = layout.n_frames, layout.n_threads
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
                    shared[at], shared[at + U64(1)] = re[a], im[a]
        cuda.syncthreads()

    return one_pass


def _power_at_of(layout: Layout) -> Any:
    """Make the function that tells where the last pass puts the powers of two opposite bins."""
    n_points, n_frames = layout.n_points, layout.n_frames
    step = n_points // layout.radices[-1]
    is_regular = step % 2 == 0 and n_points % 2 == 0  # addresses that differ by constants

    @device
    def power_at(j: Any, k: int, f: Any) -> Any:
        if is_regular:
            low = U64(U32(_power_place(j, f, n_frames)))
            high = U64(U32(_power_place(U32(step - j), f, n_frames)))
            k_th, opposite = U64(k * step * n_frames), U64((n_points - (k + 1) * step) * n_frames)
            return low + k_th, high + opposite
        low = U64(U32(_power_place(U32(j + k * step), f, n_frames)))
        return low, U64(U32(_power_place(U32(n_points - k * step - j), f, n_frames)))

    return power_at


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
    power_at = _power_at_of(layout)

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
                    low, high = power_at(j, k, f)
                    shared[low] = powered(even_re + turned_re, even_im + turned_im)
                    shared[high] = powered(even_re - turned_re, even_im - turned_im)
                if j == 0:  # for bands that read beyond the last bin
                    for k in range(n_zeros):
                        shared[U32(_power_place(n_points + 1 + k, f, n_frames))] = F32(0)
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
    n_frames, n_mels = layout.n_frames, U32(layout.n_mels)
    n_apart, n_pairs = U32(layout.n_threads // n_frames), cuda_layout.STEPS // 2
    n_together, pitch = cuda_layout.n_together(layout), layout.tile_pitch
    last_band, is_log = layout.n_mels - 1 + layout.first_band, layout.log is not None
    scale = 1, 1, math.log10(2), 1, 1  # the factor is that of a logarithm to base 10
    amin, added, factor, offset, floor = map(
        F32, map(operator.mul, layout.log or (0, 0, 1, 0, 0), scale)
    )
    adds, is_normal = bool(added), max(amin, added) >= np.finfo(F32).tiny

    @device
    def bands(shared: Any, spans: Any, weights: Any, tile: Any, done: Any, tid: Any) -> None:
        i, f = split(tid, n_frames)
        cell = U32(done + f + (last_band - i) * pitch)
        while i < n_mels:  # those with the most bins first
            begin, n_groups, position, one = _unpacked(spans[U64(i)])
            at, total = U32(begin + f), F32(0)
            while True:
                for k in range(n_pairs):
                    first, second = _halves(weights[U64(position) + U64(k * n_together)])
                    power = U64(2) * U64(at) + U64(2 * k * n_frames)
                    total += first * shared[power]
                    total += second * shared[power + U64(1)]
                position, at = U32(position + n_pairs * n_together), U32(at + n_pairs * n_frames)
                n_groups = U32(n_groups - one)
                if n_groups == 0:
                    break
            if is_log:
                more = total + added if adds else total
                log2 = _log2(more) if is_normal else _near_log2(more)
                total = floor if total <= amin else factor * log2 + offset
            tile[cell] = total
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
        if t < n_places and q < n_apart:
            n_apart_out, is_band = rows[row, N_PLACES], t < n_bands
            cell, place = U32(q * pitch + t), U64(start + first + t + q * n_apart_out)
            for k in range(n_rounds):
                if fills or q < n_features - k * n_apart:
                    value = tile[cell + U32(k * n_apart * pitch)] if is_band else pad_value
                    if is_band and q + k * n_apart != energy_at:
                        peak = max(peak, value)
                    out[place] = value
                    place += U64(n_apart * n_apart_out)
        return peak

    return store


def _frames_of(layout: Layout) -> Any:
    """Make the step from samples to the logarithms of bands, of as many frames as fit at once."""
    removes_dc, has_energy = layout.removes_dc, bool(layout.energy)
    energy_row = layout.energy_at * layout.tile_pitch
    load, means_of, energies_of = _load_of(layout), _means_of(layout), _energies_of(layout)
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
    n_shared, n_scratch, n_values = layout.n_shared, layout.n_scratch, layout.n_tile_values
    largest = fold_of(n_threads, 1, _larger, _wait)
    is_whole, finds_peak = n_frames == n_tile, layout.finds_peak
    frames, store = _frames_of(layout), _store_of(layout)

    @kernel(n_threads, layout.n_at_once)
    def line(
        y: Any, rows: Any, window: Any, turns: Any, spans: Any, weights: Any, out: Any,
        state: Any,
    ) -> None:  # fmt: skip
        shared = cuda.shared.array(n_shared, F32, ALIGNMENT)
        tile = cuda.shared.array(n_values, F32)
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
            for done in range(I32(0), min(I32(n_tile), n_bands), I32(n_frames)):
                # A zero that the compiler cannot see through: it would compute the places of all
                # passes before the first round, and keep them in 255 registers.
                tid = I32(cuda.threadIdx.x + zero[0])
                if not frames(
                    y, rows, row, first, done, window, turns, spans, weights, shared, scratch,
                    means, tile, tid,
                ):  # fmt: skip
                    state[LOST, row] = 1
        tid = I32(cuda.threadIdx.x)
        peak = store(tile, rows, row, first, out, tid)
        if finds_peak:
            peak = largest(peak, shared, tid)
            if tid == 0:
                cuda.atomic.max(state, (PEAK, row), peak)

    return line
