"""Per-channel energy normalisation: recursive filters of one pole, and the compression."""

from typing import Any

import numpy as np

from .elementary import exp, expm1, log, log1p
from .jit import jit

__all__ = ["compress", "one_pole"]

#: values that the compression works on at a time
_CHUNK = 512


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
def compress(values: Any, gain: float, bias: float, power: float, out: Any) -> None:
    """Turn smooth energies M in `out` into ``(values / M**gain + bias)**power - bias**power``.

    A `power` of 0 gives ``log(1 + values / M**gain)``. If `bias` is 0 and `power` is not, `values`
    are logarithms.
    """
    # A loop calls one function: with two, their coefficients do not fit into the registers. What it
    # leaves for the next one stays in the cache.
    scale = bias**power
    for start in range(0, len(out), _CHUNK):
        x, chunk = out[start : start + _CHUNK], values[start : start + _CHUNK]
        for i in range(len(x)):
            x[i] = -gain * log(x[i])
        if bias == 0 and power > 0:
            for i in range(len(x)):
                x[i] = exp(power * (chunk[i] + x[i]))
            continue
        for i in range(len(x)):
            x[i] = chunk[i] * exp(x[i])
        if power == 0:
            for i in range(len(x)):
                x[i] = log1p(x[i])
        elif power == 0.5:
            _add_root(x, bias)
        else:
            for i in range(len(x)):
                x[i] = power * log1p(x[i] / bias)
            for i in range(len(x)):
                x[i] = scale * expm1(x[i])


@jit
def _add_root(x: Any, bias: float) -> None:
    """Turn x into ``sqrt(x + bias) - sqrt(bias)``, without the difference of equal numbers."""
    root = np.sqrt(bias)
    for i in range(len(x)):
        x[i] = x[i] / (np.sqrt(x[i] + bias) + root)
