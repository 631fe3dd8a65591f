"""Recursive filters of one pole, and the square root of per-channel energy normalisation."""

from typing import Any

import numpy as np

from .jit import jit

__all__ = ["one_pole", "root_compress"]


@jit
def one_pole(x: Any, b: float, a: float, offset: float, state: Any, out: Any) -> None:
    """Filter the middle axis of ``x`` (outer, n, inner): ``m[n] = b x[n] + a m[n - 1]``.

    ``state`` (outer, inner) holds ``a m[n - 1]`` of the first n, and then of the next;
    ``out`` gets ``m + offset``.
    """
    n_outer, n, n_inner = x.shape
    for r in range(n_outer):
        if n_inner == 1:
            row, target, carried = x[r, :, 0], out[r, :, 0], state[r, 0]
            for t in range(n):
                smooth = b * row[t] + carried
                target[t] = smooth + offset
                carried = a * smooth
            state[r, 0] = carried
        else:
            carry = state[r]
            for t in range(n):
                values, smooths = x[r, t], out[r, t]
                for i in range(n_inner):
                    smooth = b * values[i] + carry[i]
                    smooths[i] = smooth + offset
                    carry[i] = a * smooth


@jit
def root_compress(values: Any, bias: float, out: Any) -> None:
    """Turn gains into ``sqrt(values * gain + bias) - sqrt(bias)``, with ``bias`` > 0."""
    root = np.sqrt(bias)
    for i in range(len(out)):
        x = values[i] * out[i] / bias
        # sqrt(1 + x) - 1 without the difference of almost equal numbers
        out[i] = root * (x / (np.sqrt(1.0 + x) + 1.0))
