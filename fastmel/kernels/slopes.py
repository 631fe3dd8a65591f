"""Filters of odd length that are even or odd about their middle, as those that fit polynomials."""

from typing import Any

import numpy as np

from .jit import jit

__all__ = ["mirror_filter"]


@jit
def mirror_filter(x: Any, middle: float, weights: Any, sign: float, sums: Any, out: Any) -> None:
    """Filter every row: ``middle x[t] + sum of weights[i] (x[t + i + 1] + sign x[t - i - 1])``.

    x, out: (rows, n), of which the first and last ``len(weights)`` columns are not written;
    sums: (n,) float64 scratch.
    """
    n_rows, n = x.shape
    reach = len(weights)
    n_sums = n - 2 * reach
    for row in range(n_rows):
        values = x[row, reach : n - reach]
        for t in range(n_sums):
            sums[t] = middle * values[t]
        for i in range(reach):
            weight = weights[i]
            later = x[row, reach + i + 1 : n - reach + i + 1]
            earlier = x[row, reach - i - 1 : n - reach - i - 1]
            for t in range(n_sums):
                sums[t] += weight * (np.float64(later[t]) + sign * np.float64(earlier[t]))
        inner = out[row, reach : n - reach]
        for t in range(n_sums):
            inner[t] = sums[t]
