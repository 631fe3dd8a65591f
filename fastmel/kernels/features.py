"""Kernels on the features of one signal: statistics over time, cosine transform."""

from typing import Any

from .jit import jit

__all__ = [
    "cosine_transform",
    "raise_to",
    "standardize_columns",
    "standardize_rows",
    "standardize_so_far",
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
