"""Logarithm, exponential, sine and cosine in double precision, as plain arithmetic.

A loop that calls a library's functions takes one element at a time; one that calls these works on
whole vectors. They may be a few units off in the last place.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from .jit import jit

__all__ = [
    "bits_of",
    "exp",
    "expm1",
    "float_of",
    "log",
    "log1p",
    "log_of_mantissa",
    "phasor",
    "split",
]


@intrinsic
def bits_of(typing_context: Any, x: Any) -> Any:
    """Reinterpret a float as an integer of its size."""
    integer = types.Integer.from_bitwidth(x.bitwidth, signed=True)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(integer))

    return integer(x), emit


@intrinsic
def float_of(typing_context: Any, bits: Any) -> Any:
    """Reinterpret an integer as a float of its size."""
    real = types.Float(f"float{bits.bitwidth}")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(real))

    return real(bits), emit


# Logarithms are taken of x = m * 2**e with m in [sqrt(1/2), sqrt(2)). Subtracting the bits of
# sqrt(1/2) first makes the exponent field carry over there and not at 1, and an approximation of
# log(m) around m = 1 then loses nothing where the logarithm is small.

_LOG_2 = math.log(2.0)
_SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)
_MANTISSA = np.int64(52)
_TINY, _SUBNORMAL_SCALE = 2.0**-1022, 2.0**54

#: log(1 + f) = f - h + s * (h + Q(s**2)) with s = f / (2 + f), h = f**2 / 2: fdlibm's e_log.c
#: (Sun Microsystems, 1993), highest power first
_Q = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)


@jit
def split(x: Any) -> Any:
    """Return e and m - 1 of a normal positive float64."""
    bits: Any = bits_of(x)  # type: ignore[call-arg]
    exponent = (bits - _SQRT_HALF) >> _MANTISSA
    return exponent, float_of(bits - (exponent << _MANTISSA)) - 1.0


@jit
def log_of_mantissa(f: Any) -> Any:
    """``log(1 + f)`` for 1 + f in [sqrt(1/2), sqrt(2))."""
    s = f / (2.0 + f)
    z = s * s
    q = _Q[0]
    q = q * z + _Q[1]
    q = q * z + _Q[2]
    q = q * z + _Q[3]
    q = q * z + _Q[4]
    q = q * z + _Q[5]
    q = q * z + _Q[6]
    h = 0.5 * f * f
    return f - (h - s * (h + q * z))


@jit
def _outside(x: Any, logarithm: Any) -> Any:
    """Return the logarithm of `x`, or what it is where it is no finite number."""
    logarithm = logarithm if x < np.inf else x  # NaN too
    logarithm = -np.inf if x == 0.0 else logarithm
    return np.nan if x < 0.0 else logarithm


@jit
def log(x: Any) -> Any:
    """Return the natural logarithm of a float64."""
    is_subnormal = x < _TINY
    exponent, f = split(x * _SUBNORMAL_SCALE if is_subnormal else x)
    scale = np.float64(exponent) - (54.0 if is_subnormal else 0.0)
    return _outside(x, scale * _LOG_2 + log_of_mantissa(f))


@jit
def log1p(x: Any) -> Any:
    """Return ``log(1 + x)`` of a float64, without loss where `x` is small."""
    u = 1.0 + x
    exponent, f = split(u)
    f = x if exponent == 0 else f  # which has not been rounded
    return _outside(u, np.float64(exponent) * _LOG_2 + log_of_mantissa(f))


# Exponentials are taken of x = k log(2) + r with abs(r) <= log(2) / 2.

_LOG2_E = 1.0 / _LOG_2
#: exp of anything beyond is 0 or infinity
_LARGEST_EXPONENT = 1400.0
#: exp(r) - 1 = r + r**2 * E(r): Taylor's series, highest power first
_E = tuple(1.0 / math.factorial(n) for n in range(13, 1, -1))


@jit
def _reduce(x: Any) -> Any:
    """Return k, and ``exp(r) - 1``."""
    x = _LARGEST_EXPONENT if x > _LARGEST_EXPONENT else x
    x = -_LARGEST_EXPONENT if x < -_LARGEST_EXPONENT else x
    k = np.floor(x * _LOG2_E + 0.5)
    r = x - k * _LOG_2
    e = _E[0]
    e = e * r + _E[1]
    e = e * r + _E[2]
    e = e * r + _E[3]
    e = e * r + _E[4]
    e = e * r + _E[5]
    e = e * r + _E[6]
    e = e * r + _E[7]
    e = e * r + _E[8]
    e = e * r + _E[9]
    e = e * r + _E[10]
    e = e * r + _E[11]
    # NaN has no k, and is in r
    return np.int64(np.int32(k if k == k else 0.0)), r + r * r * e


@jit
def _power_of_two(k: Any) -> Any:
    return float_of((k + np.int64(1023)) << _MANTISSA)  # type: ignore[call-arg]


@jit
def exp(x: Any) -> Any:
    """Return the exponential of a float64."""
    k, e = _reduce(x)
    half = k >> np.int64(1)  # in two steps, since 2**k may be no normal number where exp(x) is one
    return (e * _power_of_two(half) + _power_of_two(half)) * _power_of_two(k - half)


@jit
def expm1(x: Any) -> Any:
    """Return ``exp(x) - 1`` of a float64, without loss where `x` is small."""
    k, e = _reduce(x)
    half = k >> np.int64(1)
    power = (e * _power_of_two(half) + _power_of_two(half)) * _power_of_two(k - half)
    return e if k == 0 else power - 1.0


#: sin(r) = r * S(r**2) and cos(r) = C(r**2) on abs(r) <= pi / 4: Taylor's series, highest power
#: first
_S = tuple((-1) ** n / math.factorial(2 * n + 1) for n in range(7, -1, -1))
_C = tuple((-1) ** n / math.factorial(2 * n) for n in range(8, -1, -1))


@jit
def phasor(turns: Any) -> Any:
    """Return cosine and sine of ``2 pi turns``, for up to 2**29 turns either way."""
    quarters = np.floor(4.0 * turns + 0.5)
    r = (4.0 * turns - quarters) * (0.5 * np.pi)
    z = r * r
    s = _S[0]
    s = s * z + _S[1]
    s = s * z + _S[2]
    s = s * z + _S[3]
    s = s * z + _S[4]
    s = s * z + _S[5]
    s = s * z + _S[6]
    s = (s * z + _S[7]) * r
    c = _C[0]
    c = c * z + _C[1]
    c = c * z + _C[2]
    c = c * z + _C[3]
    c = c * z + _C[4]
    c = c * z + _C[5]
    c = c * z + _C[6]
    c = c * z + _C[7]
    c = c * z + _C[8]
    quadrant = np.int32(quarters)
    is_odd = (quadrant & np.int32(1)) != 0
    cosine, sine = (s, c) if is_odd else (c, s)
    # minus in the second and third quadrant, and in the third and fourth
    cosine = -cosine if ((quadrant + np.int32(1)) & np.int32(2)) != 0 else cosine
    sine = -sine if (quadrant & np.int32(2)) != 0 else sine
    return cosine, sine
