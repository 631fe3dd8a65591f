"""Kernels on the features of one signal: statistics over time, cosine transform, half precision."""

from typing import Any

import numpy as np

from .elementary import bits_of, float_of
from .jit import jit

__all__ = [
    "cosine_transform",
    "raise_to",
    "standardize_columns",
    "standardize_rows",
    "standardize_so_far",
    "to_half",
]


@jit
def standardize_rows(values: Any, to_unit: bool, ddof: int, var_eps: float, std_eps: float) -> None:
    """Subtract each row's mean; with ``to_unit``, divide by its standard deviation, in place.

    The divisor is ``sqrt(sum of squares / (n - ddof) + var_eps) + std_eps``; the variance of no
    more than ``ddof`` values is taken as 0, and what would be divided by 0 is left.
    """
    n = values.shape[1]
    for r in range(values.shape[0]):
        row = values[r]
        total = 0.0
        for i in range(n):
            total += row[i]
        mean = total / n
        scale = 1.0
        if to_unit:
            squares = 0.0
            for i in range(n):
                squares += (row[i] - mean) * (row[i] - mean)
            divisor = (squares / max(n - ddof, 1) + var_eps) ** 0.5 + std_eps
            scale = 1 / divisor if divisor > 0 else 1.0
        for i in range(n):
            row[i] = (row[i] - mean) * scale


@jit
def standardize_columns(
    values: Any, to_unit: bool, ddof: int, var_eps: float, std_eps: float, means: Any, scales: Any
) -> None:
    """:func:`standardize_rows` for columns, row by row: ``means`` and ``scales`` are scratch."""
    n, n_columns = values.shape
    for c in range(n_columns):
        means[c] = 0.0
        scales[c] = 0.0
    for r in range(n):
        row = values[r]
        for c in range(n_columns):
            means[c] += row[c]
    for c in range(n_columns):
        means[c] /= n
    if to_unit:
        for r in range(n):
            row = values[r]
            for c in range(n_columns):
                scales[c] += (row[c] - means[c]) * (row[c] - means[c])
    for c in range(n_columns):
        divisor = (scales[c] / max(n - ddof, 1) + var_eps) ** 0.5 + std_eps
        scales[c] = 1 / divisor if to_unit and divisor > 0 else 1.0
    for r in range(n):
        row = values[r]
        for c in range(n_columns):
            row[c] = (row[c] - means[c]) * scales[c]


@jit
def standardize_so_far(
    frames: Any, n_before: int, over_all: bool, options: Any, means: Any, squares: Any
) -> None:
    """Standardize each frame by the statistics of itself and all before it (Welford), in place.

    frames: (n_frames, n_features), after ``n_before`` others; options: ``to_unit``, ``ddof``,
    ``var_eps``, ``std_eps`` of :func:`standardize_rows`; means, squares: (n_features,) the state,
    its first items with ``over_all``.
    """
    to_unit, ddof, var_eps, std_eps = options
    n_frames, n_features = frames.shape
    for f in range(n_frames):
        frame = frames[f]
        for i in range(n_features):
            at = 0 if over_all else i
            n = (n_before + f) * n_features + i + 1 if over_all else n_before + f + 1
            change = frame[i] - means[at]
            means[at] += change / n
            squares[at] += change * (frame[i] - means[at])
        for i in range(n_features):
            at = 0 if over_all else i
            n = (n_before + f + 1) * n_features if over_all else n_before + f + 1
            scale = 1.0
            if to_unit:
                divisor = (squares[at] / max(n - ddof, 1) + var_eps) ** 0.5 + std_eps
                scale = 1 / divisor if divisor > 0 else 1.0
            frame[i] = (frame[i] - means[at]) * scale


@jit
def raise_to(least: Any, values: Any) -> None:
    """Raise smaller values to ``least``; NaN stays."""
    for i in range(len(values)):
        values[i] = max(values[i], least)


@jit
def cosine_transform(values: Any, matrix: Any, out: Any) -> None:
    """Multiply each row of ``values`` (n_frames, n_mels) by ``matrix`` (n_mfcc, n_mels)."""
    n_mfcc, n_mels = matrix.shape
    for f in range(len(values)):
        row = values[f]
        for c in range(n_mfcc):
            weights = matrix[c]
            total = 0.0
            for m in range(n_mels):
                total += row[m] * weights[m]
            out[f, c] = total


# The bits of a float32 without its sign, as an integer, are in the order of the values: 2**-14,
# below which a half is subnormal, and 65520, which rounds to infinity.
_NO_SIGN, _HALF_SIGN = np.uint32(0x7FFFFFFF), np.uint32(0x8000)
_TINY, _TOO_LARGE = np.uint32(0x38800000), np.uint32(0x477FF000)
#: from the bias of a float32's exponent to that of a half's
_REBIAS = np.uint32((127 - 15) << 23)
#: a little less than half of what is dropped of the mantissa; a tie needs 1 more to be rounded up
_ROUND, _ODD = np.uint32(0xFFF), np.uint32(1)
#: 0.5, next to which float32 has the spacing of subnormal halves
_HALF_BITS = np.uint32(0x3F000000)
_DROPPED, _DOWN = np.uint32(13), np.uint32(16)


@jit(fastmath=False)
def to_half(values: Any, bits: Any) -> Any:
    """Write the ``bits`` (uint16) of float32 ``values`` rounded to half precision, ties to even.

    Returns whether all of them are numbers and none becomes infinite: the bits of others are wrong.
    """
    fits = True
    for i in range(len(values)):
        whole = np.uint32(bits_of(values[i]))  # type: ignore[call-arg]
        size = np.uint32(whole & _NO_SIGN)
        is_odd = np.uint32(np.uint32(size >> _DROPPED) & _ODD)
        normal = np.uint32(np.uint32(size - _REBIAS + _ROUND) + is_odd) >> _DROPPED
        shifted = np.float32(float_of(np.int32(size)) + np.float32(0.5))
        subnormal = np.uint32(bits_of(shifted)) - _HALF_BITS
        half = np.uint32(subnormal) if size < _TINY else np.uint32(normal)
        bits[i] = np.uint16(half | (np.uint32(whole >> _DOWN) & _HALF_SIGN))
        fits &= size < _TOO_LARGE
    return fits
