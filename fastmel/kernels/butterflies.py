"""Discrete Fourier transforms of small sizes as plain Python over ``+ - *``.

Complex numbers are split pairs ``(re, im)`` of whatever has arithmetic: NumPy arrays in the tests,
SIMD vectors in the kernels, with ``0`` as the imaginary part of real values. Sizes are products of
2, 3, 5 and 7.

Both transforms are decimations in time, seen as polynomials. :func:`evaluate` computes
``sum_p y[p] z_k**p`` at the points ``z_k = theta * exp(-2 pi i k / size)``: the twiddle ``theta``
between two passes of an FFT is absorbed by the butterflies of the second one and costs no
multiplication of its own.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import cos, pi, sin, sqrt

from .simd import Number, fma

__all__ = ["Complex", "constant_twiddle", "evaluate", "real_dft", "root_of_unity", "twiddle_keys"]

Complex = tuple[Number, Number]

#: (power, turn) -> theta**power * exp(-2 pi i turn / size) as a pair of real numbers
Twiddle = Callable[[int, int], Complex]


def root_of_unity(turn: int, size: int) -> tuple[float, float]:
    """``exp(-2 pi i turn / size)``, exact on the axes and the diagonals' symmetry kept."""
    turn %= size
    octant, rest = divmod(8 * turn, size)
    # The angle is folded into [0, pi / 4], so that equal cosines and sines are equal bits.
    fold = rest if octant % 2 == 0 else size - rest
    angle = 2 * pi * fold / (8 * size)
    c, s = (cos(angle), sin(angle)) if fold < size else (sqrt(0.5), sqrt(0.5))
    if octant in (1, 2, 5, 6):
        c, s = s, c
    re = c if octant in (0, 1, 6, 7) else -c
    im = -s if octant < 4 else s
    return re, im


def constant_twiddle(size: int) -> Twiddle:
    """The twiddles of :func:`evaluate` for ``theta = 1``: numbers known at compile time."""
    return lambda power, turn: root_of_unity(turn, size)


@cache
def twiddle_keys(size: int, adders: bool = False) -> list[tuple[int, int]]:
    """The ``(power, turn)`` pairs that ``evaluate`` asks for, in its order."""
    keys: dict[tuple[int, int], None] = {}

    def record(power: int, turn: int) -> Complex:
        keys[power, turn] = None
        return (0.5, 0.5)

    evaluate([(0.5, 0.5)] * size, record, adders=adders)
    return list(keys)


def evaluate(y: Sequence[Complex], twiddle: Twiddle, *, adders: bool = False) -> list[Complex]:
    """Evaluate the polynomial with coefficients ``y`` at ``theta`` times the roots of unity.

    Parameters
    ----------
    y : sequence of (re, im)
        The ``size`` coefficients.
    twiddle : callable
        ``twiddle(power, turn)`` gives ``theta**power * exp(-2 pi i turn / size)``.
    adders : bool
        Whether the CPU adds in units of their own, beside those that multiply (AMD's Zen). Then
        radix 4 with products and sums apart keeps both kinds busy: 12 multiplications and 16
        additions, against 24 fused operations where one kind of unit does everything (Intel, Arm).

    Returns
    -------
    list of (re, im)
        ``sum_p y[p] * (theta * exp(-2 pi i k / size))**p`` for k = 0 .. size - 1: for theta = 1
        the DFT of ``y``.
    """
    return _evaluate(list(y), 1, 1, twiddle, adders)


def _evaluate(
    y: list[Complex], power: int, step: int, twiddle: Twiddle, adders: bool
) -> list[Complex]:
    """``evaluate`` on every ``step``-th coefficient: points theta**power * w**(step * k)."""
    size = len(y)
    if size == 1:
        return y
    radix = _radix(size, adders)
    parts = [
        _evaluate(y[p::radix], radix * power, radix * step, twiddle, adders) for p in range(radix)
    ]
    n_points = size // radix
    quarter = n_points // 2 if size % 4 == 0 else n_points
    out: list[Complex] = [(0, 0)] * size
    for k in range(n_points):
        terms = [part[k] for part in parts]
        if radix == 2 and not adders:
            even, odd = terms
            if k >= quarter:  # z_k is -i times a twiddle that is loaded already
                odd = odd[1], -odd[0]
            z = twiddle(power, step * (k % quarter))
            out[k], out[k + n_points] = _fused_butterfly(even, z, odd)
        else:
            terms[1:] = [
                _multiply(twiddle(power * p, step * k * p), terms[p]) for p in range(1, radix)
            ]
            out[k::n_points] = _small_dft(terms)
    return out


def _radix(size: int, adders: bool) -> int:
    if adders and size % 4 == 0:
        return 4
    return next(f for f in (2, 3, 5, 7) if size % f == 0)


def _multiply(z: Complex, y: Complex) -> Complex:
    """Complex product ``z * y`` where ``z`` is a twiddle."""
    (zr, zi), (yr, yi) = z, y
    if _is(zi, 0):
        return (yr, yi) if _is(zr, 1) else (yr * zr, yi * zr)
    if _is(zr, 0) and _is(zi, -1):
        return yi, -yr
    return fma(-yi, zi, yr * zr), fma(yr, zi, yi * zr)


def _fused_butterfly(a: Complex, z: Complex, b: Complex) -> tuple[Complex, Complex]:
    """``a + z b`` and ``a - z b`` in six fused operations: a - z b = 2 a - (a + z b)."""
    (ar, ai), (zr, zi), (br, bi) = a, z, b
    if _is(zi, 0) and _is(zr, 1):
        return (ar + br, ai + bi), (ar - br, ai - bi)
    ur = fma(-bi, zi, fma(br, zr, ar))
    ui = fma(br, zi, fma(bi, zr, ai))
    return (ur, ui), (fma(ar, 2.0, -ur), fma(ai, 2.0, -ui))


def _is(x: Number, value: float) -> bool:
    """Whether ``x`` is that number, known at compile time."""
    return isinstance(x, (int, float)) and x == value


def _small_dft(y: list[Complex]) -> list[Complex]:
    """DFT of size 2, 3, 4, 5 or 7."""
    if len(y) == 2:
        (ar, ai), (br, bi) = y
        return [(ar + br, ai + bi), (ar - br, ai - bi)]
    if len(y) == 4:
        (s0, d0), (s1, d1) = _small_dft(y[0::2]), _small_dft(y[1::2])
        (a, b), (c, d) = _small_dft([s0, s1]), _small_dft([d0, (d1[1], -d1[0])])
        return [a, c, b, d]
    return _odd_dft(y)


def _odd_dft(y: list[Complex]) -> list[Complex]:
    """DFT of an odd prime size: pairs k and size - k share their sums and differences."""
    size = len(y)
    half = range(1, size // 2 + 1)
    sums = [(y[p][0] + y[size - p][0], y[p][1] + y[size - p][1]) for p in half]
    differences = [(y[p][0] - y[size - p][0], y[p][1] - y[size - p][1]) for p in half]
    out: list[Complex] = [(0, 0)] * size
    total_r, total_i = y[0]
    for sr, si in sums:
        total_r, total_i = total_r + sr, total_i + si
    out[0] = (total_r, total_i)
    for k in half:
        even_r, even_i = y[0]
        odd_r: Number = 0
        odd_i: Number = 0
        for p, (sr, si), (dr, di) in zip(half, sums, differences, strict=True):
            c, s = root_of_unity(k * p, size)  # s is minus the sine
            even_r, even_i = fma(sr, c, even_r), fma(si, c, even_i)
            odd_r, odd_i = fma(dr, s, odd_r), fma(di, s, odd_i)
        # sum_p d_p * i s_p = (-odd_i, odd_r)
        out[k] = (even_r - odd_i, even_i + odd_r)
        out[size - k] = (even_r + odd_i, even_i - odd_r)
    return out


def real_dft(
    x: Sequence[Number], weights: Sequence[Number] | None = None, *, adders: bool = False
) -> dict[int, Complex]:
    """DFT of real values, each multiplied by its weight (a window) first.

    Parameters
    ----------
    x : sequence of numbers
        The ``size`` real values.
    weights : sequence of numbers, optional
        One factor for each value. The products cost nothing extra where the first butterfly is of
        size 2: ``w_a a + w_b b`` and ``w_a a - w_b b`` are three fused operations together.
    adders : bool
        As in :func:`evaluate`.

    Returns
    -------
    dict of int -> (re, im)
        One output of each conjugate pair ``k, size - k``, by its index: whichever of the two the
        butterflies give without a negation. ``im`` is ``0`` for the real outputs 0 and size / 2.
    """
    size = len(x)
    if size == 1:
        return {0: (x[0] if weights is None else x[0] * weights[0], 0)}
    if size == 2 and weights is not None:
        first = x[0] * weights[0]
        return {0: (fma(x[1], weights[1], first), 0), 1: (fma(-x[1], weights[1], first), 0)}
    radix = _radix(size, adders and size > 4)  # ends in size 2, which takes the weights for free
    if size == radix:
        values = x if weights is None else [a * w for a, w in zip(x, weights, strict=True)]
        outputs = _small_dft([(value, 0) for value in values])
        return {k: outputs[k] for k in range(size // 2 + 1)}

    n_rows = size // radix
    columns = [
        real_dft(x[p::radix], None if weights is None else weights[p::radix], adders=adders)
        for p in range(radix)
    ]
    out: dict[int, Complex] = {}
    for s in columns[0]:

        def twiddle(power: int, turn: int, s: int = s) -> Complex:
            return root_of_unity(power * s + turn * n_rows, size)

        outputs = evaluate([column[s] for column in columns], twiddle, adders=adders)
        # A real row gives conjugate pairs of outputs: one of each pair is enough.
        n_kept = {0: radix // 2 + 1, n_rows / 2: radix - radix // 2}.get(s, radix)
        for k in range(n_kept):
            out[(s + n_rows * k) % size] = outputs[k]
    return out
