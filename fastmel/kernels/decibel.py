"""Decibels of arrays in one pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.kernels.elementary import bits_of, float_of, log_of_mantissa, split
from fastmel.kernels.jit import jit
from fastmel.kernels.tile import LOG_POLYNOMIAL

__all__ = ["decibels"]

# How the logarithms work is told in elementary.py.

_TO_DECIBELS = 10.0 / np.log(10.0)
_DECIBELS_OF_TWO = 10.0 * np.log10(2.0)

_I4 = np.int32
_F4 = np.float32
_SQRT_HALF = np.int32(0x3F3504F3)
_MANTISSA = np.int32(23)
_TO_DECIBELS_SINGLE = np.float32(_TO_DECIBELS)
_DECIBELS_OF_TWO_SINGLE = np.float32(_DECIBELS_OF_TWO)
#: log(1 + f) = f - f**2 / 2 + f**3 * P(f), highest power first
_P = tuple(np.float32(c) for c in LOG_POLYNOMIAL)


@jit
def _decibel_single(x: Any) -> Any:
    """``10 log10(x)`` for a normal positive float32."""
    bits: Any = bits_of(x)  # type: ignore[call-arg]
    exponent = _I4(_I4(bits - _SQRT_HALF) >> _MANTISSA)
    f = float_of(_I4(bits - _I4(exponent << _MANTISSA))) - _F4(1.0)
    p = _P[0]
    p = p * f + _P[1]
    p = p * f + _P[2]
    p = p * f + _P[3]
    p = p * f + _P[4]
    p = p * f + _P[5]
    p = p * f + _P[6]
    natural = (p * f - _F4(0.5)) * (f * f) + f
    return _F4(exponent) * _DECIBELS_OF_TWO_SINGLE + natural * _TO_DECIBELS_SINGLE


@jit
def _decibel_double(x: Any) -> Any:
    """``10 log10(x)`` for a normal positive float64."""
    exponent, f = split(x)
    return exponent * _DECIBELS_OF_TWO + log_of_mantissa(f) * _TO_DECIBELS


def _kernel(real: type[np.floating[Any]], decibel: Callable[[Any], Any], amplitude: bool) -> Any:
    infinity = real(np.inf)
    scale = real(2 if amplitude else 1)

    # Without fast-math, adding the offset is not fused with the logarithm: the level of x plus an
    # offset of minus that level is exactly 0.
    @jit(fastmath=False)
    def kernel(x: Any, amin: float, floor: float, offset: float, bottom: float, out: Any) -> None:
        amin_, floor_, offset_, bottom_ = real(amin), real(floor), real(offset), real(bottom)
        for i in range(x.size):
            value = abs(x[i]) if amplitude else x[i]
            level = scale * decibel(value) + offset_
            # infinity and NaN have no exponent and mantissa: they stay what they are
            level = level if value < infinity else value
            level = floor_ if value <= amin_ else level
            out[i] = max(level, bottom_)

    return kernel


_KERNELS = {
    (np.dtype(real), amplitude): _kernel(real, decibel, amplitude)
    for real, decibel in ((np.float32, _decibel_single), (np.float64, _decibel_double))
    for amplitude in (False, True)
}


def decibels(
    x: NDArray[Any],
    amplitude: bool,
    amin: float,
    floor: float,
    offset: float,
    bottom: float,
    out: NDArray[Any],
) -> None:
    """Write ``10 log10(x) + offset`` to `out`, or ``20 log10(abs(x)) + offset``.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (n,), contiguous
        Powers, or amplitudes.
    amplitude : bool
        Which of the two.
    amin : float
        A normal number of x's type: what is not larger gives `floor`.
    floor : float
        The level of `amin`.
    offset : float
        Added to all other levels.
    bottom : float
        Lower levels become this.
    out : ndarray of x's type, shape (n,), contiguous
        Decibels; must not overlap `x`.
    """
    _KERNELS[x.dtype, amplitude](x, amin, floor, offset, bottom, out)
