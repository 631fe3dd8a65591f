"""A real FFT on tiles of frames: lane = frame, the rows of a tile in cache.

``n_fft = first * n_points``. The first pass computes a real DFT of size ``first`` over every
``n_points``-th sample of a frame, the window inside its first butterflies:

    row s, point p:   y_s[p] = sum_j x[p + n_points j] window[...] exp(-2 pi i j s / first)

Of each conjugate pair of rows (s, first - s) only one is kept. A row then is a complex DFT with the
twiddles between the passes absorbed (see :mod:`.butterflies`):

    bin s + first k:  sum_p y_s[p] z_k**p,   z_k = exp(-2 pi i (s + first k) / n_fft)

done in place by one or more radices whose product is ``n_points``. There is no packing of real
into half-length complex data and no unpacking: each bin 0 .. n_fft / 2 is an output of exactly one
kept row (as itself or as its mirror n_fft - bin). Real rows (s = 0 and first / 2) start from real
values and finish only the half of their blocks that is not a mirror of the rest.

Where ``first`` and ``n_points`` share no factor (400 = 25 x 16) the prime-factor index map removes
the twiddles between the passes altogether.

All permutations live in tables: where a sample lies, where a bin lands. A *slot* is a complex value
of all lanes, real parts first; a row is ``n_points`` slots and one more, which keeps the equal
points of the rows from falling into one set of the cache.
"""

import platform
from dataclasses import dataclass
from functools import cache
from math import gcd, prod

import numpy as np
from numpy.typing import NDArray

from .butterflies import (
    Complex,
    constant_twiddle,
    evaluate,
    real_dft,
    root_of_unity,
    twiddle_keys,
)
from .jit import cpu_name, simd_width
from .simd import Index, Lanes, Number, Vector, emitted, fma

__all__ = ["Factors", "Tables", "factorize", "factors_of", "first_pass", "row_pass", "tables"]


@dataclass(frozen=True)
class Factors:
    """How an FFT of one size is split: ``n_fft = first * product(radices)``."""

    n_fft: int
    first: int
    radices: tuple[int, ...]

    @property
    def n_points(self) -> int:
        """Points of a row: what the radices multiply to."""
        return self.n_fft // self.first

    @property
    def coprime(self) -> bool:
        """Whether the prime-factor map applies (no twiddles between first pass and rows)."""
        return gcd(self.first, self.n_points) == 1

    @property
    def row_indices(self) -> tuple[int, ...]:
        """The kept rows' indices s, real rows first."""
        indices = list(real_dft([1] * self.first, adders=_adders()))
        return tuple(sorted(indices, key=lambda s: 2 * s % self.first != 0))

    @property
    def n_real_rows(self) -> int:
        """Rows with real values: s = 0, and s = first / 2 if there is one."""
        return 2 - self.first % 2

    def row_pitch(self, width: int) -> int:
        """Values from a row to the next."""
        return (self.n_points + 1) * 2 * width

    def blocks(self, level: int, real: bool) -> int:
        """How many independent transforms a row has at ``level`` (0 is the whole row)."""
        if level == 0:
            return 1
        kept = self.radices[0] // 2 + 1 if real else self.radices[0]
        return kept * prod(self.radices[1:level])

    def block_length(self, level: int) -> int:
        """Points of one of those transforms."""
        return prod(self.radices[level:])

    def constant_twiddles(self, level: int) -> bool:
        """Whether the butterflies of ``level`` need no table."""
        return self.coprime and level == 0

    @property
    def row_twiddles(self) -> int:
        """Values in a row's part of the twiddle table."""
        return 2 * sum(
            self.blocks(level, real=False) * len(_twiddle_keys(radix))
            for level, radix in enumerate(self.radices)
            if not self.constant_twiddles(level)
        )


@cache
def factorize(n_fft: int) -> Factors | None:
    """The fastest split of ``n_fft``; None if it has a prime factor above 7.

    A first pass of 16 runs in the registers; 32 spills (1024 points, 16 lanes: 0.118 us a frame
    against 0.071 on Zen 4, no difference on Emerald Rapids).
    """
    rest = n_fft
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return None
    firsts = [f for f in range(1, 17) if n_fft % f == 0]
    first = max(firsts, key=lambda f: (f % 2 == 0, f))
    return Factors(n_fft, first, _radices(n_fft // first))


def _radices(n_points: int) -> tuple[int, ...]:
    """Split a row into as few radices as possible, of like size, the largest first.

    At most 16; at most 8 where products and sums are apart and need more registers (256 points on
    Zen 4: 0.72 us a frame as 8 x 8 x 4, 0.82 as 16 x 16).
    """
    largest = 8 if _adders() else 16
    if n_points <= largest:
        return (n_points,)
    options = [r for r in range(2, largest + 1) if n_points % r == 0]
    splits = [(r, *_radices(n_points // r)) for r in options]
    return min(splits, key=lambda radices: (len(radices), max(radices), -radices[0]))


@cache
def _adders() -> bool:
    """Whether products and sums apart are faster than fused: on Zen, and on x86 without FMA."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return cpu_name().startswith("znver") or (is_x86 and simd_width() == 4)


def _twiddle_keys(radix: int) -> list[tuple[int, int]]:
    return twiddle_keys(radix, _adders())


# tables


@dataclass(frozen=True)
class Tables:
    """The index tables and constants of one FFT size on tiles of one width."""

    #: (n_points, first) int32: the sample that the first pass reads
    sample: NDArray[np.int32]
    #: (n_rows, row_twiddles), interleaved cosine and minus sine
    twiddles: NDArray[np.float64]
    #: (1 + n_fft // 2,) int32: the slot in which a bin lands, rows numbered in the tile
    slot: NDArray[np.int32]
    #: (1 + n_fft // 2,) int32: the vector in which a bin's power lands
    power: NDArray[np.int32]
    #: (1 + n_fft // 2,): 1, or -1 where the slot holds the bin's complex conjugate
    conjugate: NDArray[np.float64]


def tables(factors: Factors) -> Tables:
    """Work out where samples come from, where bins go, and the twiddles of every row."""
    n_fft, first, n_points = factors.n_fft, factors.first, factors.n_points
    p, j = np.ogrid[:n_points, :first]
    sample = (first * p + n_points * j) % n_fft if factors.coprime else p + n_points * j

    n_bins = 1 + n_fft // 2
    slot = np.full(n_bins, -1, dtype=np.int32)
    power = np.full(n_bins, -1, dtype=np.int32)
    conjugate = np.ones(n_bins)
    twiddles = []
    last = factors.radices[-1]
    for row, s in enumerate(factors.row_indices):
        real = row < factors.n_real_rows
        row_table, points = _walk_row(factors, s)
        twiddles.append(row_table)
        n_blocks = factors.blocks(len(factors.radices) - 1, real)
        n_kept = last // 2 + 1 if real and len(factors.radices) == 1 else last
        for block in range(n_blocks):
            for k in range(n_kept):
                place = block * last + k
                index = _bin(factors, s, points[place])
                mirrored = 2 * index > n_fft
                index = n_fft - index if mirrored else index
                slot[index] = row * (n_points + 1) + place
                power[index] = 2 * (row * (n_points + 1) + block * last) + k
                conjugate[index] = -1 if mirrored else 1
    return Tables(
        sample=np.ascontiguousarray(sample, dtype=np.int32),
        twiddles=np.array(twiddles, dtype=float).reshape(len(twiddles), -1),
        slot=slot,
        power=power,
        conjugate=conjugate,
    )


def _walk_row(factors: Factors, s: int) -> tuple[list[float], list[int]]:
    """The twiddles of row ``s``, pass after pass, and the output index k of each place."""
    # theta of a block is exp(-2 pi i exponent / base)
    base, first_exponent = (factors.n_points, 0) if factors.coprime else (factors.n_fft, s)
    table: list[float] = []
    blocks = [(first_exponent, 0)]  # (exponent of theta, k so far)
    for level, radix in enumerate(factors.radices):
        length = factors.block_length(level)
        stride = length // radix
        if not factors.constant_twiddles(level):
            for exponent, _ in blocks:
                for power, turn in _twiddle_keys(radix):
                    turns = exponent * stride * power + turn * (base // radix)
                    table += root_of_unity(turns, base)
        n_done = factors.n_points // length
        blocks = [
            (exponent + base // length * k, done + n_done * k)
            for exponent, done in blocks
            for k in range(radix)
        ]
    return table, [k for _, k in blocks]


def _bin(factors: Factors, s: int, k: int) -> int:
    """The frequency bin of output ``k`` of row ``s``."""
    n_fft, first, n_points = factors.n_fft, factors.first, factors.n_points
    if not factors.coprime:
        return (s + first * k) % n_fft
    # Chinese remainders: bin = s modulo first, k modulo n_points
    return (s * n_points * pow(n_points, -1, first) + k * first * pow(first, -1, n_points)) % n_fft


# passes


@emitted
def first_pass(
    lanes: Lanes,
    n_fft: int,
    n_inputs: int,
    is_linear: int,
    samples: Index,
    offsets: Index,
    window: Index,
    previous: Index,
    preemphasis: Index,
    means: Index,
    rows: Index,
) -> None:
    """Window and transform every column: real DFTs of size ``first`` into the rows of a tile.

    n_inputs: how many values of a column to read, the rest are under zeros of the window;
    is_linear: 0 to take from each sample ``preemphasis`` times the one before it and the vector
    ``means`` (the frames' means times ``1 - preemphasis``).

    samples: the tile's samples; offsets, previous: int32 (n_points, first), where each of them and
    the one before it lies; window: (n_points, first); rows: the tile.
    """
    factors = factors_of(n_fft)
    first, pitch = factors.first, factors.row_pitch(lanes.width)
    if not is_linear:
        minus, mean = -lanes.broadcast(preemphasis), lanes.load(means)

    def sample(place: Index) -> Vector:
        value = lanes.load(samples, lanes.load_index(offsets, place))
        if is_linear:
            return value
        return lanes.load(samples, lanes.load_index(previous, place)).fma(minus, value) - mean

    with lanes.loop(factors.n_points) as p:
        places = [p * first + j for j in range(n_inputs)]
        column: list[Number] = [sample(place) for place in places]
        weights = [lanes.broadcast(window, place) for place in places]
        missing = [0] * (first - n_inputs)
        outputs = real_dft(column + missing, weights + missing, adders=_adders())
        for row, s in enumerate(factors.row_indices):
            re, im = outputs[s]
            place = p * (2 * lanes.width) + row * pitch
            lanes.store(lanes.wrap(re), rows, place)
            if row >= factors.n_real_rows:
                lanes.store(lanes.wrap(im), rows, place + lanes.width)


@emitted
def row_pass(
    lanes: Lanes, n_fft: int, real: int, to_power: int, row: Index, twiddles: Index
) -> None:
    """Transform one row of a tile in place.

    real: 1 for a row of real values; to_power: 1 to end in the powers ``re**2 + im**2`` (half the
    size, at the start of each block), 0 to end in complex values.
    """
    factors = factors_of(n_fft)
    for level, radix in enumerate(factors.radices):
        is_constant = factors.constant_twiddles(level)
        n_keys = 0 if is_constant else 2 * len(_twiddle_keys(radix))
        length = factors.block_length(level)
        with lanes.loop(factors.blocks(level, bool(real))) as block:
            _transform_block(
                lanes,
                radix,
                None if is_constant else twiddles + block * (n_keys * lanes.item),
                row + block * (length * 2 * lanes.width * lanes.item),
                stride=length // radix,
                real=bool(real) and level == 0,
                to_power=bool(to_power) and length == radix,
            )
        twiddles = twiddles + factors.blocks(level, real=False) * n_keys * lanes.item


def factors_of(n_fft: int) -> Factors:
    """Return what :func:`factorize` gives for a size that it is known to split."""
    factors = factorize(n_fft)
    assert factors is not None, "plans are made for sizes that factorize() splits"
    return factors


def _transform_block(
    lanes: Lanes,
    radix: int,
    keys: Index | None,
    points: Index,
    *,
    stride: int,
    real: bool,
    to_power: bool,
) -> None:
    """One radix over the ``stride`` interleaved transforms of a block."""
    width = lanes.width
    twiddle = constant_twiddle(radix)
    if keys is not None:
        loaded = {
            key: (lanes.broadcast(keys, 2 * i), lanes.broadcast(keys, 2 * i + 1))
            for i, key in enumerate(_twiddle_keys(radix))
        }

        def twiddle(power: int, turn: int) -> Complex:
            return loaded[power, turn]

    with lanes.loop(stride) as b:
        places = [(b + a * stride) * (2 * width) for a in range(radix)]
        y = [
            (lanes.load(points, place), 0 if real else lanes.load(points, place + width))
            for place in places
        ]
        outputs = evaluate(y, twiddle, adders=_adders())
        for k, (re, im) in enumerate(outputs[: radix // 2 + 1 if real else radix]):
            if to_power:
                lanes.store(fma(re, re, im * im), points, b * (2 * width) + k * width)
            else:
                lanes.store(re, points, places[k])
                lanes.store(lanes.wrap(im), points, places[k] + width)
