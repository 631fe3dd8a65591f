"""Small Fourier transforms on an NVIDIA GPU, of numbers that a thread has in registers.

They work in place: on arrays ``re`` and ``im`` of complex numbers, or ``x`` of real ones, which are
in registers once the loops are unrolled.
"""

import math
from typing import Any

import numpy as np

from .cuda import device, split

__all__ = ["COMPLEX", "REAL", "input_of", "output_of", "parts_of", "real_input_of"]

F32, I32, U32 = np.float32, np.int32, np.uint32
_HALF, _ROOT_HALF, _SIN_60 = F32(0.5), F32(math.sqrt(0.5)), F32(math.sqrt(0.75))
_COS_72, _COS_144 = F32(math.cos(0.4 * math.pi)), F32(math.cos(0.8 * math.pi))
_SIN_72, _SIN_144 = F32(math.sin(0.4 * math.pi)), F32(math.sin(0.8 * math.pi))
_COS_11, _SIN_11 = F32(math.cos(math.pi / 16)), F32(math.sin(math.pi / 16))
_COS_22, _SIN_22 = F32(math.cos(math.pi / 8)), F32(math.sin(math.pi / 8))
_COS_34, _SIN_34 = F32(math.cos(3 * math.pi / 16)), F32(math.sin(3 * math.pi / 16))
_COS_25 = tuple(F32(math.cos(2 * math.pi * k / 25)) for k in range(9))
_SIN_25 = tuple(F32(math.sin(2 * math.pi * k / 25)) for k in range(9))


# of complex numbers


@device
def _add_and_subtract(re: Any, im: Any, a: int, b: int) -> None:
    """Replace the numbers at ``a`` and ``b`` by their sum and their difference."""
    real, imag = re[b], im[b]
    re[b], im[b] = re[a] - real, im[a] - imag
    re[a], im[a] = re[a] + real, im[a] + imag


@device
def _multiply(re: Any, im: Any, a: int, b: int, real: Any, imag: Any) -> None:
    """Multiply the number whose parts are at ``a`` and ``b``."""
    re[a], im[b] = re[a] * real - im[b] * imag, re[a] * imag + im[b] * real


@device
def _turn(re: Any, im: Any, a: int) -> None:
    """Multiply the number at ``a`` by -i."""
    re[a], im[a] = im[a], -re[a]


@device
def _swap(re: Any, im: Any, a: int, b: int) -> None:
    re[a], re[b] = re[b], re[a]
    im[a], im[b] = im[b], im[a]


@device
def _dft2(re: Any, im: Any, at: int) -> None:
    """Transform the two numbers from ``at`` on; the others likewise."""
    _add_and_subtract(re, im, at, at + 1)


@device
def _dft3(re: Any, im: Any, at: int) -> None:
    _add_and_subtract(re, im, at + 1, at + 2)
    re[at + 2], im[at + 2] = _SIN_60 * im[at + 2], -_SIN_60 * re[at + 2]
    real, imag = re[at] - _HALF * re[at + 1], im[at] - _HALF * im[at + 1]
    re[at], im[at] = re[at] + re[at + 1], im[at] + im[at + 1]
    re[at + 1], im[at + 1] = real, imag
    _add_and_subtract(re, im, at + 1, at + 2)


@device
def _dft4(re: Any, im: Any, at: int) -> None:
    _add_and_subtract(re, im, at, at + 2)
    _add_and_subtract(re, im, at + 1, at + 3)
    _turn(re, im, at + 3)
    _add_and_subtract(re, im, at, at + 1)
    _add_and_subtract(re, im, at + 2, at + 3)
    _swap(re, im, at + 1, at + 2)


@device
def _dft5_apart(re: Any, im: Any, at: int, at_im: int, step: int) -> None:
    """Transform five numbers, whose parts are a step apart in each array."""
    a, b, c, d = at + step, at + 2 * step, at + 3 * step, at + 4 * step
    e, f, g, h = at_im + step, at_im + 2 * step, at_im + 3 * step, at_im + 4 * step
    real, near_re, far_re = re[at], re[a] + re[d], re[b] + re[c]
    imag, near_im, far_im = im[at_im], im[e] + im[h], im[f] + im[g]
    near_to_re, far_to_re = re[a] - re[d], re[b] - re[c]
    near_to_im, far_to_im = im[e] - im[h], im[f] - im[g]
    re[at], im[at_im] = real + near_re + far_re, imag + near_im + far_im
    one_re = real + _COS_72 * near_re + _COS_144 * far_re
    one_im = imag + _COS_72 * near_im + _COS_144 * far_im
    two_re = real + _COS_144 * near_re + _COS_72 * far_re
    two_im = imag + _COS_144 * near_im + _COS_72 * far_im
    turned_re = _SIN_72 * near_to_im + _SIN_144 * far_to_im
    turned_im = -(_SIN_72 * near_to_re + _SIN_144 * far_to_re)
    re[a], re[d] = one_re + turned_re, one_re - turned_re
    im[e], im[h] = one_im + turned_im, one_im - turned_im
    turned_re = _SIN_144 * near_to_im - _SIN_72 * far_to_im
    turned_im = -(_SIN_144 * near_to_re - _SIN_72 * far_to_re)
    re[b], re[c] = two_re + turned_re, two_re - turned_re
    im[f], im[g] = two_im + turned_im, two_im - turned_im


@device
def _dft5(re: Any, im: Any, at: int) -> None:
    _dft5_apart(re, im, at, at, 1)


@device
def _dft8(re: Any, im: Any, at: int) -> None:
    for k in range(4):
        _add_and_subtract(re, im, at + k, at + 4 + k)
    _multiply(re, im, at + 5, at + 5, _ROOT_HALF, -_ROOT_HALF)
    _turn(re, im, at + 6)
    _multiply(re, im, at + 7, at + 7, -_ROOT_HALF, -_ROOT_HALF)
    _dft4(re, im, at)
    _dft4(re, im, at + 4)
    # even outputs, odd outputs -> their order
    _swap(re, im, at + 1, at + 2)
    _swap(re, im, at + 1, at + 4)
    _swap(re, im, at + 3, at + 6)
    _swap(re, im, at + 3, at + 5)


@device
def _dft16(re: Any, im: Any, at: int) -> None:
    for k in range(8):
        _add_and_subtract(re, im, at + k, at + 8 + k)
    _multiply(re, im, at + 9, at + 9, _COS_22, -_SIN_22)
    _multiply(re, im, at + 10, at + 10, _ROOT_HALF, -_ROOT_HALF)
    _multiply(re, im, at + 11, at + 11, _SIN_22, -_COS_22)
    _turn(re, im, at + 12)
    _multiply(re, im, at + 13, at + 13, -_SIN_22, -_COS_22)
    _multiply(re, im, at + 14, at + 14, -_ROOT_HALF, -_ROOT_HALF)
    _multiply(re, im, at + 15, at + 15, -_COS_22, -_SIN_22)
    _dft8(re, im, at)
    _dft8(re, im, at + 8)
    # even outputs, odd outputs -> their order
    _swap(re, im, at + 1, at + 8)
    _swap(re, im, at + 2, at + 8)
    _swap(re, im, at + 3, at + 9)
    _swap(re, im, at + 4, at + 8)
    _swap(re, im, at + 5, at + 10)
    _swap(re, im, at + 6, at + 9)
    _swap(re, im, at + 7, at + 11)
    _swap(re, im, at + 9, at + 12)
    _swap(re, im, at + 11, at + 13)
    _swap(re, im, at + 13, at + 14)


# Transforms of products of coprime numbers need no twiddles (Good and Thomas). Their numbers are
# where `input_of` puts them, and `output_of` tells where they leave them. There are no loops,
# which the compiler does not unroll for compute capability 12.0: numbers would leave registers.


@device
def _dft10(re: Any, im: Any, at: int) -> None:
    _dft2(re, im, at)
    _dft2(re, im, at + 2)
    _dft2(re, im, at + 4)
    _dft2(re, im, at + 6)
    _dft2(re, im, at + 8)
    _dft5_apart(re, im, at, at, 2)
    _dft5_apart(re, im, at + 1, at + 1, 2)


COMPLEX = {2: _dft2, 3: _dft3, 4: _dft4, 5: _dft5, 8: _dft8, 10: _dft10, 16: _dft16}


def input_of(radix: int) -> Any:
    """Make the function that tells where a transform takes its input k."""
    is_product = radix == 10

    @device
    def place(k: int) -> Any:
        return I32(split(k, 2)[1] + U32(2) * split(3 * k, 5)[1]) if is_product else I32(k)

    return place


def output_of(radix: int) -> Any:
    """Make the function that tells where it leaves its output k."""
    is_product = radix == 10

    @device
    def place(k: int) -> Any:
        return I32(split(k, 2)[1] + U32(2) * split(k, 5)[1]) if is_product else I32(k)

    return place


# of real numbers: x has the real parts of the outputs, then the imaginary ones, the last
# one first; those that are 0 it has not


@device
def _join(x: Any, at: int, half: int, k: int, real: Any, imag: Any) -> None:
    """Join the outputs k of two transforms by a twiddle."""
    a, b, c, d = at + k, at + half - k, at + half + k, at + 2 * half - k
    turned_re = x[c] * real - x[d] * imag
    turned_im = x[c] * imag + x[d] * real
    x[c], x[d] = turned_im - x[b], x[b] + turned_im
    x[a], x[b] = x[a] + turned_re, x[a] - turned_re


@device
def _real2(x: Any, at: int) -> None:
    x[at], x[at + 1] = x[at] + x[at + 1], x[at] - x[at + 1]


@device
def _join_ends(x: Any, at: int, half: int) -> None:
    """Join the outputs whose twiddles are 1 and -i."""
    x[at], x[at + half] = x[at] + x[at + half], x[at] - x[at + half]
    x[at + half + half // 2] = -x[at + half + half // 2]


@device
def _real4(x: Any, at: int) -> None:
    _real2(x, at)
    _real2(x, at + 2)
    _join_ends(x, at, 2)


@device
def _real8(x: Any, at: int) -> None:
    _real4(x, at)
    _real4(x, at + 4)
    _join_ends(x, at, 4)
    _join(x, at, 4, 1, _ROOT_HALF, -_ROOT_HALF)


@device
def _real16(x: Any, at: int) -> None:
    _real8(x, at)
    _real8(x, at + 8)
    _join_ends(x, at, 8)
    _join(x, at, 8, 1, _COS_22, -_SIN_22)
    _join(x, at, 8, 2, _ROOT_HALF, -_ROOT_HALF)
    _join(x, at, 8, 3, _SIN_22, -_COS_22)


@device
def _real32(x: Any, at: int) -> None:
    _real16(x, at)
    _real16(x, at + 16)
    _join_ends(x, at, 16)
    _join(x, at, 16, 1, _COS_11, -_SIN_11)
    _join(x, at, 16, 2, _COS_22, -_SIN_22)
    _join(x, at, 16, 3, _COS_34, -_SIN_34)
    _join(x, at, 16, 4, _ROOT_HALF, -_ROOT_HALF)
    _join(x, at, 16, 5, _SIN_34, -_COS_34)
    _join(x, at, 16, 6, _SIN_22, -_COS_22)
    _join(x, at, 16, 7, _SIN_11, -_COS_11)


@device
def _real3(x: Any, at: int) -> None:
    total, difference = x[at + 1] + x[at + 2], x[at + 2] - x[at + 1]
    x[at + 1], x[at + 2] = x[at] - _HALF * total, _SIN_60 * difference
    x[at] += total


@device
def _real5_apart(x: Any, at: int, step: int) -> None:
    a, b, c, d = at + step, at + 2 * step, at + 3 * step, at + 4 * step
    first, near, far = x[at], x[a] + x[d], x[b] + x[c]
    near_im, far_im = x[d] - x[a], x[c] - x[b]
    x[at] = first + near + far
    x[a] = first + _COS_72 * near + _COS_144 * far
    x[b] = first + _COS_144 * near + _COS_72 * far
    x[c] = _SIN_144 * near_im - _SIN_72 * far_im
    x[d] = _SIN_72 * near_im + _SIN_144 * far_im


@device
def _real5(x: Any, at: int) -> None:
    _real5_apart(x, at, 1)


@device
def _real25(x: Any, at: int) -> None:
    """Transform five by five; its outputs are where `parts_of` tells."""
    _real5_apart(x, at, 5)
    _real5_apart(x, at + 1, 5)
    _real5_apart(x, at + 2, 5)
    _real5_apart(x, at + 3, 5)
    _real5_apart(x, at + 4, 5)
    _real5(x, at)
    _multiply(x, x, at + 6, at + 21, _COS_25[1], -_SIN_25[1])
    _multiply(x, x, at + 7, at + 22, _COS_25[2], -_SIN_25[2])
    _multiply(x, x, at + 8, at + 23, _COS_25[3], -_SIN_25[3])
    _multiply(x, x, at + 9, at + 24, _COS_25[4], -_SIN_25[4])
    _dft5_apart(x, x, at + 5, at + 20, 1)
    _multiply(x, x, at + 11, at + 16, _COS_25[2], -_SIN_25[2])
    _multiply(x, x, at + 12, at + 17, _COS_25[4], -_SIN_25[4])
    _multiply(x, x, at + 13, at + 18, _COS_25[6], -_SIN_25[6])
    _multiply(x, x, at + 14, at + 19, _COS_25[8], -_SIN_25[8])
    _dft5_apart(x, x, at + 10, at + 15, 1)


REAL = {
    3: _real3, 4: _real4, 5: _real5, 8: _real8, 16: _real16, 25: _real25, 32: _real32,
}  # fmt: skip


def real_input_of(radix: int) -> Any:
    """Make the function that tells which input a transform of real numbers takes at a place.

    Those of powers of two take them with reversed bits.
    """
    n_bits = 0 if radix % 2 else radix.bit_length() - 1
    n_unused = 5 - n_bits

    @device
    def number(place: int) -> int:
        if n_bits == 0:
            return place
        ends = (place & 1) << 4 | (place & 2) << 2 | (place & 8) >> 2 | (place & 16) >> 4
        return (ends | place & 4) >> n_unused

    return number


def parts_of(radix: int) -> Any:
    """Make the function that tells where it leaves output k, and the sign of the imaginary part.

    The imaginary part is 0 for the first one, and for the last of even ones.
    """
    is_product = radix == 25

    @device
    def parts(k: int) -> Any:
        if not is_product or k % 5 == 0:
            i = k // 5 if is_product else k
            return i, 5 - i if is_product else radix - i, F32(1)
        i = k // 5 if k % 5 < 3 else 4 - k // 5  # of the second transform, or opposite to it
        row = 1 if k % 5 == 1 or k % 5 == 4 else 2
        return 5 * row + i, 25 - 5 * row + i, F32(1 if k % 5 < 3 else -1)

    return parts
