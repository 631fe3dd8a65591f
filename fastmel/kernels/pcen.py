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
    if n_inner == 1:
        _one_pole_rows(x[:, :, 0], b, a, offset, state[:, 0], out[:, :, 0])
        return
    for r in range(n_outer):
        carry = state[r]
        for t in range(n):
            values, smooths = x[r, t], out[r, t]
            for i in range(n_inner):
                smooth = b * values[i] + carry[i]
                smooths[i] = smooth + offset
                carry[i] = a * smooth


@jit
def _one_pole_rows(x: Any, b: float, a: float, offset: float, state: Any, out: Any) -> None:
    """Filter rows (rows, n), four at a time: each step waits for the one before in its row only.

    Where four are not left, the last row is filtered again, so that every row takes one path.
    """
    n_rows, n = x.shape
    last = n_rows - 1
    for r0 in range(0, n_rows, 4):
        r1, r2, r3 = min(r0 + 1, last), min(r0 + 2, last), min(r0 + 3, last)
        x0, x1, x2, x3 = x[r0], x[r1], x[r2], x[r3]
        out0, out1, out2, out3 = out[r0], out[r1], out[r2], out[r3]
        carry0, carry1, carry2, carry3 = state[r0], state[r1], state[r2], state[r3]
        for t in range(n):
            smooth0, smooth1 = b * x0[t] + carry0, b * x1[t] + carry1
            smooth2, smooth3 = b * x2[t] + carry2, b * x3[t] + carry3
            out0[t], out1[t] = smooth0 + offset, smooth1 + offset
            out2[t], out3[t] = smooth2 + offset, smooth3 + offset
            carry0, carry1, carry2, carry3 = a * smooth0, a * smooth1, a * smooth2, a * smooth3
        state[r0], state[r1], state[r2], state[r3] = carry0, carry1, carry2, carry3


@jit
def root_compress(values: Any, bias: float, out: Any) -> None:
    """Turn gains into ``sqrt(values * gain + bias) - sqrt(bias)``, with ``bias`` > 0."""
    root = np.sqrt(bias)
    for i in range(len(out)):
        x = values[i] * out[i] / bias
        # sqrt(1 + x) - 1 without the difference of almost equal numbers
        out[i] = root * (x / (np.sqrt(1.0 + x) + 1.0))
