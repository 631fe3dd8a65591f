"""Samples on an NVIDIA GPU: from the signal to shared memory, and from there into transforms.

The frames that a block transforms at once share the rows that they consist of.
"""

from functools import reduce
from typing import Any

import numpy as np

from fastmel.kernels.frames import EDGE, REFLECT, SYMMETRIC, ZEROS

from . import cuda_layout
from .cuda import device, halves, split
from .cuda_butterflies import real_input_of
from .cuda_layout import N_FILLED, N_GIVEN, N_SIGNAL, OFFSET, Layout

__all__ = ["column_of", "linear_of", "load_of"]

F32, I32, U32, U64 = np.float32, np.int32, np.uint32, np.uint64


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


def load_of(layout: Layout) -> Any:
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
    def move(y: Any, position: Any, shared: Any, cell: Any, zero: Any) -> Any:
        """Load one sample, or two; zero becomes NaN if one is not finite."""
        value = F32(y[position + U64(1)])
        following = F32(y[position + U64(2)]) if is_paired else F32(0)
        if is_conditioned:
            following -= preemphasis * value
            value -= preemphasis * F32(y[position])
        shared[cell] = value
        zero += F32(0) * value
        if is_paired:
            shared[cell + U64(1)] = following
            zero += F32(0) * following
        return zero

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
                    zero = move(y, there, shared, cell + U64(down * pitch + right), zero)
        return zero

    @device
    def load(y: Any, rows: Any, row: Any, frame: Any, shared: Any, tid: Any) -> Any:
        """Load them from a frame on; whether those of this thread are finite."""
        offset, n_signal = rows[row, OFFSET], I32(rows[row, N_SIGNAL])
        n_given, n_filled = I32(rows[row, N_GIVEN]), I32(rows[row, N_FILLED])
        start, zero = I32(frame * hop_length + origin), F32(0)
        if start > 0 and I32(start + span) <= min(I32(n_given - first), n_signal):
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


def _place_of(layout: Layout) -> Any:
    """Make the function that tells where sample t of frame f is."""
    height, pitch, gap = layout.height, layout.row_pitch, layout.row_pitch - layout.height

    @device
    def place(f: Any, t: Any) -> Any:
        return U32(f * pitch + t + U32(t) // U32(height) * gap)

    return place


def _value_of(layout: Layout, preemphasis: float) -> Any:
    """Make the function that gives a sample without its frame's mean, and with pre-emphasis."""
    removes_dc, is_emphasized, factor = layout.removes_dc, preemphasis != 0, F32(preemphasis)

    @device
    def value_at(shared: Any, means: Any, f: Any, at: Any, before: Any) -> Any:
        """That of frame f in a place, by the one that is before it."""
        value = shared[at]
        if removes_dc:
            value -= means[f]
        if is_emphasized:
            previous = shared[before]
            if removes_dc:
                previous -= means[f]
            value -= factor * previous
        return value

    return value_at


def linear_of(layout: Layout, preemphasis: float) -> Any:
    """Make the function that gives sample t of frame f, as `_value_of` does."""
    place, value_at = _place_of(layout), _value_of(layout, preemphasis)

    @device
    def linear(shared: Any, means: Any, f: Any, t: Any) -> Any:
        before = U32(t - 1 if t > 0 else 0)
        return value_at(shared, means, f, place(f, t), place(f, before))

    return linear


def _number_of(layout: Layout) -> Any:
    """Make the function that gives what the first pass transforms: number k of column p."""
    n_columns, radix, height = layout.n_columns, layout.real_radix, layout.height
    pitch, gap = layout.row_pitch, layout.row_pitch - layout.height
    is_plain, is_emphasized = layout.has_plain_columns, layout.preemphasis != 0
    first_pair, n_pairs = layout.n_points, (radix + 1) // 2  # of the table of the window
    p_step, n_fft = cuda_layout.input_place(layout, 1, 0), layout.n_fft
    linear = linear_of(layout, layout.preemphasis)
    value_at = _value_of(layout, layout.preemphasis)

    @device
    def plain(shared: Any, means: Any, window: Any, f: Any, p: Any, k: int) -> Any:
        row, column = k * n_columns // height, k * n_columns % height
        at = U64(U32(f * pitch + p)) + U64(row * pitch + column)
        crosses = gap > 0 and column + n_columns > height  # into the next row, some of them
        if crosses and p >= U32(height - column):
            at += U64(gap)
        before = at
        if is_emphasized and (k > 0 or p > 0):
            before -= U64(1)
            if gap > 0 and (crosses or column == 0) and p == U32((height - column) % height):
                before -= U64(gap)
        even, odd = halves(window[U64(first_pair + p * n_pairs) + U64(k // 2)])
        return value_at(shared, means, f, at, before) * (odd if k % 2 else even)

    @device
    def scattered(shared: Any, means: Any, window: Any, f: Any, p: Any, k: int) -> Any:
        pair = window[U64(first_pair + p * radix) + U64(k)]
        weight, _ = halves(pair)
        if is_emphasized:
            t = split(n_columns * k + p_step * p, n_fft)[1]
            return weight * linear(shared, means, f, t)
        at = pair >> U64(32)
        return weight * value_at(shared[I32(f * pitch) :], means, f, at, at)

    return plain if is_plain else scattered


def column_of(layout: Layout) -> Any:
    """Make the function that reads a column, as its transform takes it.

    Some numbers at a time: the compiler does not unroll long loops.
    """
    radix, n_columns, n_at_once = layout.real_radix, layout.n_columns, 8
    number, number_at = _number_of(layout), real_input_of(radix)
    is_short, (begin, end) = not layout.is_coprime, layout.window_span

    def then(following: Any, low: int) -> Any:
        high = min(low + n_at_once, radix)

        @device
        def read(x: Any, at: int, shared: Any, means: Any, window: Any, f: Any, p: Any) -> None:
            for place in range(low, high):
                k = number_at(place)
                x[at + place] = F32(0)
                is_reached = (k + 1) * n_columns > begin and k * n_columns < end
                if is_reached or not is_short:
                    x[at + place] = number(shared, means, window, f, p, k)
            following(x, at, shared, means, window, f, p)

        return read

    @device
    def nothing(x: Any, at: int, shared: Any, means: Any, window: Any, f: Any, p: Any) -> None:
        pass

    return reduce(then, reversed(range(0, radix, n_at_once)), nothing)
