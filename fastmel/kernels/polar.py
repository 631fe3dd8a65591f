"""Magnitude and phase of complex arrays in one pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.kernels.jit import jit

__all__ = ["polar"]

_LARGE, _SHRINK = 2.0**500, 2.0**-600
_SMALL, _GROW = 2.0**-400, 2.0**600


@jit
def _polar_single(pairs: Any, magnitude: Any, phases: Any) -> None:
    for i in range(magnitude.size):
        # in double precision the squares of all float32 values are finite and normal
        real, imag = np.float64(pairs[2 * i]), np.float64(pairs[2 * i + 1])
        length = np.sqrt(real * real + imag * imag)
        inverse = 0.0 if length == 0.0 else 1.0 / length
        magnitude[i] = length
        phases[2 * i] = 1.0 if length == 0.0 else real * inverse
        phases[2 * i + 1] = imag * inverse


@jit
def _polar_double(pairs: Any, magnitude: Any, phases: Any) -> None:
    for i in range(magnitude.size):
        real, imag = pairs[2 * i], pairs[2 * i + 1]
        # powers of two bring the squares of very large and very small values into range
        largest = max(abs(real), abs(imag))
        scale, unscale = 1.0, 1.0
        scale, unscale = (_SHRINK, _GROW) if largest > _LARGE else (scale, unscale)
        scale, unscale = (_GROW, _SHRINK) if largest < _SMALL else (scale, unscale)
        real, imag = real * scale, imag * scale
        length = np.sqrt(real * real + imag * imag)
        inverse = 0.0 if length == 0.0 else 1.0 / length
        magnitude[i] = length * unscale
        phases[2 * i] = 1.0 if length == 0.0 else real * inverse
        phases[2 * i + 1] = imag * inverse


def polar(pairs: NDArray[Any], magnitude: NDArray[Any], phases: NDArray[Any]) -> None:
    """Write ``abs(z)`` and ``z / abs(z)``, and 0 and 1 where z is 0.

    Parameters
    ----------
    pairs : ndarray of float32 or float64, shape (2 n,), contiguous
        Real and imaginary parts of z, side by side.
    magnitude : ndarray of the same type, shape (n,), contiguous
        Output.
    phases : ndarray of the same type, shape (2 n,), contiguous
        Output, real and imaginary parts side by side.
    """
    kernel = _polar_single if pairs.dtype == np.float32 else _polar_double
    kernel(pairs, magnitude, phases)
