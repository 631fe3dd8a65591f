"""What follows the line on an NVIDIA GPU, on the same stream: features of whole signals."""

import math
from functools import lru_cache
from typing import Any

import numpy as np

from .cuda import cuda, device, kernel, split
from .cuda_layout import FIRST, FIRST_OUT, N_BANDS, N_OUT, N_PLACES, N_VALID, PEAK, Ending
from .cuda_line import add, fold_of

__all__ = ["THREADS", "VALUES", "cepstra_of", "finish_of", "neighbours", "statistics_of"]

F32, I32, U32, U64 = np.float32, np.int32, np.uint32, np.uint64

#: threads of a block there, values that each of them finishes, and how many of them take
#: neighbouring features
THREADS, VALUES, _NEIGHBOURS = 256, 8, 32


@device
def _wait() -> None:
    cuda.syncthreads()


def neighbours(ending: Ending) -> int:
    """How many neighbouring features a block of `statistics_of` takes."""
    return _NEIGHBOURS if ending.is_turned and not ending.over_all else 1


def _ranged_of(ending: Ending) -> Any:
    """Make the function that brings a value into the range below its signal's largest."""
    is_raised, is_relative = ending.extent is not None, ending.is_relative
    extent, fixed = F32(ending.extent or 0), F32(ending.peak or 0)
    has_fixed = ending.peak is not None

    @device
    def ranged(value: Any, state: Any, row: int) -> Any:
        if is_raised:
            least = (fixed if has_fixed else state[PEAK, row]) - extent
            value = least if value < least else value  # NaN stays
        if is_relative:
            value -= state[PEAK, row]
        return value

    return ranged


def _found_of(ending: Ending) -> Any:
    """Make the function that gives feature c of frame t as the line left it, in its range."""
    n_found, is_turned, energy_at = ending.n_found, ending.is_turned, ending.energy_at
    ranged = _ranged_of(ending)

    @device
    def found(source: Any, rows: Any, state: Any, row: int, c: Any, t: Any) -> Any:
        start = rows[row, FIRST] * n_found
        at = start + t * n_found + c if is_turned else start + c * rows[row, N_PLACES] + t
        value = source[at]
        return value if c == energy_at else ranged(value, state, row)

    return found


@lru_cache(maxsize=16)
def cepstra_of(ending: Ending, n_mfcc: int) -> Any:
    """Make the kernel of the cosine transform: block (x, y) takes coefficients of signal y."""
    found, n_mels = _found_of(ending), ending.n_found - (ending.energy_at >= 0)
    has_energy, is_turned = ending.energy_at >= 0, ending.is_turned
    energy_at = n_mfcc - 1 if ending.energy_last else 0

    @kernel(THREADS)
    def cepstra(source: Any, rows: Any, state: Any, matrix: Any, out: Any) -> None:
        row, unit = cuda.blockIdx.y, cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        n_frames = rows[row, N_BANDS]
        if unit >= n_frames * n_mfcc:
            return
        t, c = split(unit, n_mfcc)
        if not is_turned:
            c, t = split(unit, n_frames)
        if has_energy and c == energy_at:
            total = found(source, rows, state, row, n_mels, t)
        else:
            total = F32(0)
            for m in range(n_mels):
                total += matrix[c, m] * found(source, rows, state, row, m, t)
        out[rows[row, FIRST] * n_mfcc + unit] = total

    return cepstra


@lru_cache(maxsize=16)
def statistics_of(ending: Ending) -> Any:
    """Make the kernel of means and scales: block (x, y) takes some features of signal y."""
    found, n_found, over_all = _found_of(ending), ending.n_found, ending.over_all
    is_std, ddof = ending.normalize == "std", ending.ddof
    var_eps, std_eps = F32(ending.var_eps), F32(ending.std_eps)
    n_neighbours = neighbours(ending)
    n_shares = THREADS // n_neighbours
    total = fold_of(THREADS, n_neighbours, add, _wait)

    @device
    def value(source: Any, rows: Any, state: Any, row: int, c: Any, i: Any) -> Any:
        """Value i of those that feature c, or all of them, have."""
        t = i
        if over_all:
            t, c = split(i, n_found)
        return found(source, rows, state, row, c, t)

    @kernel(THREADS)
    def statistics(source: Any, rows: Any, state: Any, stats: Any) -> None:
        scratch = cuda.shared.array(THREADS, F32)
        tid, row = I32(cuda.threadIdx.x), cuda.blockIdx.y
        share, c = split(tid, n_neighbours)
        c = U32(c + cuda.blockIdx.x * n_neighbours)
        n = I32(rows[row, N_BANDS] * (n_found if over_all else 1))
        if c >= n_found:
            n = I32(0)
        first, own = F32(0), F32(0)
        if n > 0:
            first = value(source, rows, state, row, c, 0)
        for i in range(I32(share), n, I32(n_shares)):
            own += value(source, rows, state, row, c, i) - first
        mean, scale = first + total(own, scratch, tid) / F32(n if n > 1 else 1), F32(1)
        if is_std:
            cuda.syncthreads()
            own = F32(0)
            for i in range(I32(share), n, I32(n_shares)):
                above = value(source, rows, state, row, c, i) - mean
                own += above * above
            variance = total(own, scratch, tid) / F32(n - ddof if n - ddof > 1 else 1)
            divisor = math.sqrt(variance + var_eps) + std_eps
            if divisor > 0:
                scale = F32(1) / divisor
        if share == 0 and c < n_found:
            stats[row, c, 0] = mean
            stats[row, c, 1] = scale

    return statistics


@lru_cache(maxsize=16)
def finish_of(ending: Ending, is_in_place: bool) -> Any:
    """Make the kernel that writes the result: block (x, y) takes a part of signal y's.

    In place, values that stay as they are need not be written. What the line has written last is
    read first: it may be in the GPU's cache still.
    """
    found, n_features, is_turned = _found_of(ending), ending.n_features, ending.is_turned
    is_normal, is_scaled, over_all = bool(ending.normalize), ending.is_scaled, ending.over_all
    n_found, is_stacked, step = ending.n_found, ending.stack is not None, 1
    n_before, fills, pad_value = 0, ending.stack_ends == "pad", F32(ending.pad_value)
    if ending.stack is not None:
        length, step = ending.stack
        n_before = (length - 1) // 2 if ending.stack_ends == "edge" else 0
    ranged = _ranged_of(ending)
    is_range_all = not (is_normal or is_scaled or is_stacked or ending.energy_at >= 0)

    @device
    def finished(
        source: Any, rows: Any, state: Any, stats: Any, factors: Any, row: int, unit: Any
    ) -> Any:
        """Value number `unit` of the result."""
        t, q = split(unit, n_features)
        if not is_turned:
            q, t = split(unit, rows[row, N_OUT])
        if t >= rows[row, N_VALID]:
            return pad_value
        frame, c, is_beyond = I32(t), q, False
        if is_stacked:
            part, c = split(q, n_found)
            frame = I32(t * step + part) - n_before
            is_beyond = fills and frame >= rows[row, N_BANDS]
            frame = I32(min(max(frame, 0), rows[row, N_BANDS] - 1))
        value = found(source, rows, state, row, c, frame)
        if is_normal:
            s = U32(0 if over_all else c)
            value = (value - stats[row, s, 0]) * stats[row, s, 1]
        if is_beyond:
            value = pad_value
        if is_scaled:
            value = (value + factors[0, q]) * factors[1, q]
        return value

    @kernel(THREADS)
    def finish(source: Any, rows: Any, state: Any, stats: Any, factors: Any, out: Any) -> None:
        values, row = cuda.local.array(VALUES, F32), U32(cuda.gridDim.y - 1 - cuda.blockIdx.y)
        part, tid = I32(cuda.gridDim.x - 1 - cuda.blockIdx.x), I32(cuda.threadIdx.x)
        low = I32(part * (THREADS * VALUES))
        n_out, n_places, n_valid = rows[row, N_OUT], rows[row, N_PLACES], rows[row, N_VALID]
        n_values, start = I32(n_out * n_features), U64(rows[row, FIRST_OUT] * n_features)
        is_plain = is_range_all and n_places == n_out and n_valid == n_out
        if is_plain and low + THREADS * VALUES <= n_values:  # it is not asked which values they are
            found_at = U64(rows[row, FIRST] * n_features) + U64(low + tid)
            start += U64(low + tid)
            for i in range(VALUES):
                values[i] = source[found_at + U64(i * THREADS)]
            for i in range(VALUES):
                value = ranged(values[i], state, row)
                if not is_in_place or value != values[i]:
                    out[start + U64(i * THREADS)] = value
            return
        for i in range(VALUES):
            unit = I32(low + tid + i * THREADS)
            if unit < n_values:
                values[i] = finished(source, rows, state, stats, factors, row, unit)
        for i in range(VALUES):
            unit = I32(low + tid + i * THREADS)
            if unit < n_values:
                out[start + U64(unit)] = values[i]

    return finish
