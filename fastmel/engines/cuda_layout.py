"""Where everything is on the GPU: a configuration as the numbers that kernels are compiled for.

Pure arithmetic, without a CUDA package: the kernels in ``cuda_line.py`` take their index maps from
here, and so does the model that counts bank conflicts in the tests.
"""

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .plan import MelPlan, SpectrumPlan

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig

__all__ = [
    "FIRST",
    "FIRST_OUT",
    "LOST",
    "N_BANDS",
    "N_FILLED",
    "N_GIVEN",
    "N_OUT",
    "N_PLACES",
    "N_SIGNAL",
    "N_VALID",
    "OFFSET",
    "PEAK",
    "STEPS",
    "Ending",
    "Layout",
    "Signal",
    "bins",
    "factors",
    "first_table",
    "input_place",
    "n_together",
    "opposite_places",
    "output_order",
    "packed",
    "power_place",
    "schedule",
    "turns",
    "why_not",
]  # fmt: skip

#: columns of the table of signals: where the samples are; how many there are, with repetitions, and
#: with zeros and pre-emphasis; frames of the line; where its features go, and places of frames
#: there; the same for the result, and how many of its frames are no padding
OFFSET, N_GIVEN, N_FILLED, N_SIGNAL, N_BANDS, FIRST, N_PLACES, FIRST_OUT, N_OUT, N_VALID = range(10)

#: rows of what kernels leave of a signal: its largest value; 1 if a sample is not finite
PEAK, LOST = range(2)

#: lengths of an FFT that the passes are made for
SHORTEST, LONGEST = 16, 4096
#: frames of a block's tile: 64 bytes of each band's line, two sectors of memory
_TILE = 16
#: complex points that a block transforms at once: 32 kB of shared memory
_POINTS = 4096
#: threads that a block has at most
_THREADS = 512
#: values that a thread may hold in a pass where 1536 threads shall find registers
_FEW_VALUES = 20
#: lengths of the transforms of real numbers and of complex ones in ``cuda_butterflies.py``, and how
#: many operations each takes
_OF_REAL = {3: 6, 4: 6, 5: 18, 8: 20, 16: 68, 25: 190, 32: 194}
_OF_COMPLEX = {2: 4, 3: 14, 4: 16, 5: 36, 8: 56, 10: 92, 16: 168}
#: bins of a band that are read in a row
STEPS = 8
#: bins that a warp may read more than its longest band has, to find them in different banks
_SLACK = 8
#: banks of shared memory, in pairs: two values that are neighbours are read and written at once,
#: by half a warp (and four of them by a quarter)
_WARP, _PAIRS = 32, 16
#: shared memory that a block has on every GPU, in bytes, and what CUDA takes of it for itself
_SHARED, _RESERVED = 48 << 10, 1 << 10
#: registers of a multiprocessor
_REGISTERS = 65536
#: shared memory of multiprocessors and their threads: of compute capability 8.0, 9.0 and 12.0
_PROCESSORS = (164 << 10, 2048), (228 << 10, 2048), (100 << 10, 1536)


def why_not(plan: MelPlan | SpectrumPlan, dtype: np.dtype[Any]) -> str | None:
    """Say what keeps the GPU from computing ``plan`` on such samples; None if nothing."""
    if isinstance(plan, SpectrumPlan):
        return "computes mel spectrograms only, no spectra"
    spectrum, n_fft = plan.spectrum, plan.spectrum.n_fft
    if dtype not in (np.float16, np.float32):
        return f"computes in float32, not {dtype}: give float32 samples, ask for such results"
    if not SHORTEST <= n_fft <= LONGEST or n_fft % 2 or not factors(n_fft)[0]:
        return (
            f"needs an even n_fft from {SHORTEST} to {LONGEST} with no prime factor above 5, "
            f"not {n_fft}"
        )
    if spectrum.conditioning and spectrum.conditioning.dither:
        return "adds no noise: it needs dither=0"
    if plan.log is not None and plan.log.amin + plan.log.added < np.finfo(np.float32).tiny:
        return f"needs an amin of at least {np.finfo(np.float32).tiny}"
    if 4 * 2 * (plan.n_mels + 1) > _SHARED // 2:
        return f"needs at most {_SHARED // 16 - 1} mel bands, not {plan.n_mels}"
    return None


class Signal(NamedTuple):
    """The lengths of one signal on its way, in samples and in frames."""

    n_given: int
    #: with repetitions; with zeros and pre-emphasis
    n_filled: int
    n_signal: int
    n_bands: int
    #: frames of the result, and those of them that are no padding
    n_out: int
    n_valid: int


@dataclass(frozen=True)
class Layout:
    """The numbers that the kernel of the line is compiled for.

    In shared memory, the frames that a block transforms at once lie side by side: one point, or one
    pair of bins, of all of them. Threads of a warp are neighbours in that order, and each of them
    reads or writes two values at once: the parts of a complex number, or neighbours in a signal or
    a spectrum.
    """

    n_fft: int
    hop_length: int
    #: position of the first frame's first sample
    origin: int
    #: samples of padding, and the number of its mode
    before: int
    after: int
    pad_mode: int
    #: where the window begins and ends in a frame, the rest of which are zeros
    window_span: tuple[int, int]
    #: samples of a frame that the mean and the pre-emphasis see, and the latter's factor
    n_taken: int
    removes_dc: bool
    preemphasis: float
    #: pre-emphasis of the signal, and whether its first sample is lost
    signal_preemphasis: float
    drops_first: bool
    #: whether a signal may be repeated
    repeats: bool
    power: float
    power_offset: float
    n_mels: int
    #: bands are divided by 2**exponent, which brings those of usual signals near 1, where the GPU's
    #: logarithm errs least
    exponent: int
    #: None, or amin, added, factor, offset, floor, for logarithms to base 2 of bands so divided
    log: tuple[float, ...] | None
    #: None, "raw" or "windowed"; the feature that it is, factor of the samples, smallest value
    energy: str | None
    energy_at: int
    energy_scale: float
    energy_floor: float
    #: (n_frames, n_features) rather than (n_features, n_frames)
    is_turned: bool
    finds_peak: bool
    pad_value: float
    #: frames of a tile, and how many of them are transformed at once: powers of two
    n_tile: int
    n_frames: int

    @classmethod
    def of(cls, config: "MelConfig", plan: MelPlan, ending: "Ending") -> "Layout":
        """Lay a configuration out."""
        from fastmel.kernels.frames import PAD_MODES

        spectrum, steps = plan.spectrum, plan.spectrum.conditioning
        exponent, log = _logarithm(plan, config.scale)
        reached = np.flatnonzero(spectrum.window)
        layout = cls(
            n_fft=spectrum.n_fft,
            hop_length=spectrum.hop_length,
            origin=spectrum.start - spectrum.before,
            before=spectrum.before,
            after=spectrum.after,
            pad_mode=PAD_MODES[spectrum.pad_mode],
            window_span=(int(reached[0]), int(reached[-1]) + 1) if reached.size else (0, 0),
            n_taken=spectrum.n_taken,
            removes_dc=spectrum.remove_dc,
            preemphasis=spectrum.preemphasis,
            signal_preemphasis=steps.preemphasis if steps else 0.0,
            drops_first=steps is not None and steps.drops_first,
            repeats=config.repeat,
            power=plan.power,
            power_offset=plan.power_offset,
            n_mels=plan.n_mels,
            exponent=exponent,
            log=log,
            energy=config.energy,
            energy_at=0 if ending.energy_at == 0 else plan.n_mels,
            energy_scale=config.scale if config.energy == "raw" else 1.0,
            energy_floor=plan.energy_floor,
            is_turned=config.layout == "frames_first",
            finds_peak=ending.needs_peak,
            pad_value=config.pad_value,
            n_tile=_TILE,
            n_frames=_TILE,
        )
        return layout._fitted()

    def _fitted(self) -> "Layout":
        """The same with as many frames as fit into the shared memory."""
        layout = self
        while layout.n_frames > 1 and (
            layout.n_frames * layout.n_points > _POINTS or layout.n_bytes > _SHARED
        ):
            layout = replace(layout, n_frames=layout.n_frames // 2)
        while layout.n_bytes > _SHARED and layout.n_tile > 1:
            layout = replace(layout, n_tile=layout.n_tile // 2)
        return layout

    @property
    def n_points(self) -> int:
        """Half the length of the FFT: bins, but for the first."""
        return self.n_fft // 2

    @cached_property
    def _factors(self) -> tuple[int, tuple[int, ...]]:
        return factors(self.n_fft)

    @property
    def real_radix(self) -> int:
        """The length of the first pass's transforms, which are of real numbers."""
        return self._factors[0]

    @property
    def radices(self) -> tuple[int, ...]:
        """The passes after it, which transform its results in rows."""
        return self._factors[1]

    @property
    def n_columns(self) -> int:
        """Transforms of the first pass: the length of a row."""
        return self.n_fft // self.real_radix

    @property
    def n_spectra(self) -> int:
        """Rows: what the first pass makes of real numbers, without what is conjugate."""
        return self.real_radix // 2 + 1

    @property
    def is_coprime(self) -> bool:
        """Whether rows need no twiddles before they are transformed (Good and Thomas).

        Bins that are neighbours are far apart then, which leads to conflicts of banks, but where
        half a warp is in one row.
        """
        return math.gcd(self.real_radix, self.n_columns) == 1 and self.n_frames == _PAIRS

    @property
    def spectrum_pitch(self) -> int:
        """Complex numbers from one row to the next.

        Those of neighbours are in other banks, and so is what follows in the first row on the last.
        """
        n_banks = _PAIRS // self.n_frames
        step = pow(self.n_spectra, -1, n_banks) if self.n_spectra % 2 else 1
        return self.n_columns + (step - self.n_columns) % n_banks

    @cached_property
    def n_threads(self) -> int:
        """Threads of a block: one for each transform of a pass, or more.

        A block is as small as that, unless half of a processor's threads would not find shared
        memory then, or 1024 threads in whole blocks fewer than 56 registers each.
        """
        n_units = max(self.n_units(at) for at in range(len(self.radices) + 1))
        n_threads = min(_WARP * -(-n_units // _WARP), _THREADS)
        while n_threads < _THREADS and not self._fills_processors(n_threads):
            n_threads += _WARP
        return n_threads

    def _fills_processors(self, n_threads: int) -> bool:
        n_bytes = self._n_bytes(n_threads) + _RESERVED
        has_registers = -(-1024 // n_threads) * n_threads <= _REGISTERS // 56
        return has_registers and all(
            n_shared // n_bytes * n_threads >= n // 2 for n_shared, n in _PROCESSORS
        )

    def n_units(self, at: int) -> int:
        """Transforms of pass number `at`, of all frames."""
        if at == 0:
            return self.n_columns * self.n_frames
        return self.n_spectra * (self.n_columns // self.radices[at - 1]) * self.n_frames

    def n_rounds(self, at: int) -> int:
        """How often a thread works in pass number `at`."""
        return -(-self.n_units(at) // self.n_threads)

    @property
    def n_at_once(self) -> int:
        """Threads that shall find registers on a processor."""
        n_real = self.n_rounds(0) * self.real_radix
        n_powers = self.n_rounds(len(self.radices)) * self.radices[-1]
        return 1536 if max(n_real, n_powers, 2 * max(self.radices)) <= _FEW_VALUES else 1024

    @property
    def n_frames_each(self) -> int:
        """Frames of which a thread sums a band, whose powers it reads at once."""
        return min(self.n_frames, 2)

    @property
    def n_lanes(self) -> int:
        """Threads that sum a band, of all frames."""
        return self.n_frames // self.n_frames_each

    @property
    def is_regular(self) -> bool:
        """Whether the last pass puts a thread's powers into places that differ by constants."""
        is_even = self.real_radix % 2 == 0 and self.radices[-1] % 2 == 0
        return is_even and not self.is_coprime

    @property
    def n_features(self) -> int:
        """Values of a frame: bands, and the energy."""
        return self.n_mels + (self.energy is not None)

    @property
    def first_band(self) -> int:
        """The feature that the first band is."""
        return int(self.energy is not None and self.energy_at == 0)

    @property
    def has_plain_columns(self) -> bool:
        """Whether a column's samples are in places that differ by constants, in a row or two."""
        return not self.is_coprime and self.n_columns <= self.height

    @property
    def height(self) -> int:
        """Samples of a row: as many as a frame shares with none of the frames after it."""
        return min(self.hop_length, self.n_fft)

    @property
    def row_pitch(self) -> int:
        """Values from one row of samples to the next, so that the frames' are in other banks."""
        if self.height < 2 * _PAIRS:  # no room for gaps
            return self.height
        return self.height + (2 * _PAIRS // self.n_frames - self.height) % (2 * _PAIRS)

    @property
    def n_rows(self) -> int:
        """Rows of samples that the frames need."""
        return self.n_frames - 1 + -(-self.n_fft // self.height)

    @property
    def n_shared(self) -> int:
        """Values of shared memory for samples, spectra and powers, one after the other."""
        n_powers = self.n_points + 1 + STEPS
        n_values = max(2 * self.n_spectra * self.spectrum_pitch, n_powers + n_powers % 2)
        return max(self.n_frames * n_values, self.n_rows * self.row_pitch)

    @property
    def tile_pitch(self) -> int:
        """Values from one feature to the next in the tile.

        Odd, for reading either way, and such that pairs of neighbouring frames, which a warp has of
        several bands, are in different banks, or two of them in one.
        """
        return self.n_tile + 3

    @property
    def n_values(self) -> int:
        """Values of shared memory with the features of a tile, which follow."""
        return self.n_shared + self.n_features * self.tile_pitch

    @property
    def n_scratch(self) -> int:
        """Values of shared memory in which threads add up what they have beside the samples."""
        return self.n_threads if self._adds_up else 1

    @property
    def _adds_up(self) -> bool:
        return bool(self.removes_dc or self.energy)

    @property
    def n_bytes(self) -> int:
        """Shared memory of a block."""
        return self._n_bytes(self.n_threads)

    def _n_bytes(self, n_threads: int) -> int:
        n_values = self.n_values + (n_threads if self._adds_up else 1)
        return 4 * (n_values + self.n_frames + 1)


@dataclass(frozen=True)
class Ending:
    """The numbers of the steps that follow the line (see ``frontends/features.py``)."""

    #: features of a frame as they are found, and in the result
    n_found: int
    n_features: int
    is_turned: bool
    #: the feature that is the energy and no band, or -1
    energy_at: int
    #: None, or how far below the largest value, which may be fixed
    extent: float | None
    peak: float | None
    is_relative: bool
    n_mfcc: int | None
    energy_last: bool
    #: None, "mean" or "std"
    normalize: str | None
    over_all: bool
    ddof: int
    var_eps: float
    std_eps: float
    #: None, or length and step; what is beyond the ends
    stack: tuple[int, int] | None
    stack_ends: str
    is_scaled: bool
    pad_value: float

    @classmethod
    def of(cls, config: "MelConfig", plan: MelPlan) -> "Ending":
        """The steps of a configuration."""
        has_energy = config.energy is not None
        energy_at = -1
        if has_energy:
            is_last = config.energy_last or config.n_mfcc is not None
            energy_at = config.n_mels if is_last else 0
        extent = peak = None
        if config.top_db is not None and plan.log is not None:
            extent = config.top_db * config.power / 20 * plan.log.factor
            peak = None if config.peak is None else (config.peak + plan.shift) * plan.gain
        return cls(
            n_found=config.n_mels + has_energy,
            n_features=config.n_features,
            is_turned=config.layout == "frames_first",
            energy_at=energy_at,
            extent=extent,
            peak=peak,
            is_relative=config.ref == "max" and config.log is not None,
            n_mfcc=config.n_mfcc,
            energy_last=config.energy_last,
            normalize=config.normalize,
            over_all=config.normalize_over == "all",
            ddof=config.ddof,
            var_eps=config.var_eps,
            std_eps=config.std_eps,
            stack=config.stack,
            stack_ends=config.stack_ends,
            is_scaled=not plan.is_scaled and (config.offset, config.gain) != (0, 1),
            pad_value=config.pad_value,
        )

    @property
    def after_cepstra(self) -> "Ending":
        """The steps that are left when there are cepstra in place of bands."""
        n_found = self.n_mfcc or self.n_found
        return replace(
            self, n_found=n_found, energy_at=-1, extent=None, is_relative=False, n_mfcc=None
        )

    @property
    def needs_peak(self) -> bool:
        """Whether a signal's largest value is asked for."""
        return self.is_relative or (self.extent is not None and self.peak is None)

    @property
    def has_range(self) -> bool:
        """Whether values depend on the largest."""
        return self.is_relative or self.extent is not None

    @property
    def is_in_place(self) -> bool:
        """Whether the result has the place and shape of what the line writes."""
        return self.n_mfcc is None and self.stack is None

    @property
    def is_empty(self) -> bool:
        """Whether what the line writes are the features."""
        return self.is_in_place and not (self.has_range or self.normalize or self.is_scaled)


def _logarithm(plan: MelPlan, scale: float) -> tuple[int, tuple[float, ...] | None]:
    """What a layout has as its exponent and log; scale: that of the samples."""
    if plan.log is None:
        return 0, None
    amin, added, factor = plan.log.amin, plan.log.added, plan.log.factor * math.log10(2)
    least = (amin + added) / float(np.finfo(np.float32).tiny)  # stays a normal number
    exponent = min(round(plan.power * math.log2(scale)), int(math.log2(least)))
    divisor = 2.0**exponent
    offset = plan.log.offset + factor * exponent
    return exponent, (amin / divisor, added / divisor, factor, offset, plan.log.floor)


@cache
def factors(n_fft: int) -> tuple[int, tuple[int, ...]]:
    """Split a product of 2, 3 and 5 into the length of real transforms and those of complex ones.

    So that there are few passes, and of those with as many, few operations. (0, ()) if it is none.
    """
    splits = [
        (len(radices), _n_operations(first, radices), first, radices)
        for first in _OF_REAL
        if n_fft % first == 0
        for radices in _products(n_fft // first, max(_OF_COMPLEX))
    ]
    return min(splits)[2:] if splits else (0, ())


def _products(n: int, largest: int) -> list[tuple[int, ...]]:
    """The ways to write a number as a product of complex radices, the largest of them last."""
    found: list[tuple[int, ...]] = [(n,)] if n in _OF_COMPLEX and n <= largest else []
    for radix in _OF_COMPLEX:
        if radix <= largest and n % radix == 0 and n > radix:
            found += [(*rest, radix) for rest in _products(n // radix, radix)]
    return found


def _n_operations(first: int, radices: tuple[int, ...]) -> int:
    """Operations of all transforms, and of the twiddles between them."""
    n_columns = math.prod(radices)
    n_rows, n_twiddles = first // 2 + 1, 4 * (len(radices) - (math.gcd(first, n_columns) == 1))
    of_rows = sum(n_columns // radix * _OF_COMPLEX[radix] for radix in radices)
    return n_columns * _OF_REAL[first] + n_rows * (of_rows + n_twiddles * n_columns)


def power_place(k: Any, f: Any, n_frames: int) -> Any:
    """Where the power of bin ``k`` of frame ``f`` is: beside that of the bin before or after it."""
    return k // 2 * (2 * n_frames) + 2 * f + k % 2


def opposite_places(k: Any, f: Any, n: int, n_frames: int) -> tuple[Any, Any]:
    """The places of the powers of bins ``k`` and ``n - k`` of frame ``f``; n is even.

    In 32 bits, as compilers do not see that these suffice.
    """
    is_odd = np.uint32(k & np.uint32(1))  # the second of its pair, and so is the other
    first, before = np.uint32(2 * f + is_odd), np.uint32(n - k - is_odd)
    low = np.uint32(np.uint32(k - is_odd) * n_frames + first)
    return low, np.uint32(before * n_frames + first)


def input_place(layout: Layout, p: int, k: int) -> int:
    """The sample of a frame that column ``p`` takes as its input ``k``."""
    n_columns, radix = layout.n_columns, layout.real_radix
    return (n_columns * k + radix * p) % layout.n_fft if layout.is_coprime else p + n_columns * k


def output_order(radices: tuple[int, ...], block: Any) -> Any:
    """The first output of the last pass's transform number ``block``: its digits in reverse."""
    order, weight, rest = 0, math.prod(radices[:-1]), block
    for radix in reversed(radices[:-1]):
        weight //= radix
        order += rest % radix * weight
        rest = rest // radix
    return order


def bins(layout: Layout) -> NDArray[np.int64]:
    """The bin that each result of the last pass is, or that it is conjugate to.

    Returns
    -------
    ndarray, shape (radix, blocks, rows)
        Bins by the number of the output, the transform and the row; -1 of those that would be
        written twice, and not by one thread, nor is it known which ones they are.
    """
    n_columns, radix, n_fft = layout.n_columns, layout.radices[-1], layout.n_fft
    k, block, row = np.ogrid[:radix, : n_columns // radix, : layout.n_spectra]
    column = output_order(layout.radices, block) + k * (n_columns // radix)
    if layout.is_coprime:
        column = (column - row) * pow(layout.real_radix, -1, n_columns) % n_columns
    found = row + layout.real_radix * column
    is_double = (2 * row % layout.real_radix == 0) & (2 * found > n_fft)
    if radix == n_columns and not layout.is_regular:
        is_double[:] = False
    return np.where(is_double, -1, np.minimum(found, n_fft - found))


def first_table(layout: Layout, window: NDArray[np.floating[Any]]) -> NDArray[np.uint64]:
    """The window as the first pass reads it, (columns, numbers of a column in pairs).

    Where columns are not plain, each number is with the place of its sample in the first row.
    """
    n_columns, radix = layout.n_columns, layout.real_radix
    at = np.array([[input_place(layout, p, k) for k in range(radix)] for p in range(n_columns)])
    values = window.astype(np.float32)[at]
    if layout.has_plain_columns:
        pairs = np.zeros((n_columns, radix + radix % 2), dtype=np.float32)
        pairs[:, :radix] = values
        return pairs.view(np.uint64).ravel()
    places = (at + at // layout.height * (layout.row_pitch - layout.height)).astype(np.uint64)
    entries: NDArray[np.uint64] = values.view(np.uint32) | places << np.uint64(32)
    return entries.ravel()


def turns(layout: Layout) -> NDArray[np.uint64]:
    """What passes need besides the window.

    The twiddles of rows (columns, rows), where they need any; those between passes (radix - 1,
    columns of a block); the places of powers, as in `bins`, if they are not regular.
    """
    n_columns, found, n_block = layout.n_columns, [], layout.n_columns
    if not layout.is_coprime:
        p, row = np.ogrid[:n_columns, : layout.n_spectra]
        found.append((p * row / layout.n_fft).ravel())
    for radix in layout.radices[:-1]:
        k, j = np.ogrid[1:radix, : n_block // radix]
        found.append((k * j / n_block).ravel())
        n_block //= radix
    angles = 2 * math.pi * np.concatenate([*found, np.empty(0)])
    values = (np.cos(angles) - 1j * np.sin(angles)).astype(np.complex64)
    table: NDArray[np.uint64] = values.view(np.uint64)
    if layout.is_regular:
        return table
    places = bins(layout).ravel()
    places = np.where(places < 0, -1, power_place(places, 0, layout.n_frames))
    return np.concatenate([table, places.astype(np.int64).view(np.uint64)])


def n_together(layout: Layout) -> int:
    """How many bands a warp sums at once."""
    return max(1, _WARP // layout.n_lanes)


def schedule(
    layout: Layout, spans: NDArray[np.integer[Any]], weights: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Say which bins the bands of a warp read at each step, by their weights, which may be 0.

    The bands of a warp, which come in the opposite order, begin at even bins where they find them
    in different banks. There are always `STEPS` bins in a row, which may go beyond the last one,
    where there are zeros.

    Parameters
    ----------
    layout : Layout
        Where powers are.
    spans : ndarray, shape (n_mels, 2)
        First bin of each band, and how many it has.
    weights : ndarray
        Those of all bands, one after the other.

    Returns
    -------
    steps : ndarray, shape (3, n_mels), int32
        First bin that each band reads, number of bins, position of the first pair of weights.
    table : ndarray, shape (n, 2), float32
        Pairs of weights; those of a band are as far apart as a warp has bands.
    """
    n_bins, n_neighbours = layout.n_points + 1 + STEPS, n_together(layout)
    starts, ends = spans[:, 0], spans.sum(axis=1)
    firsts = np.cumsum(spans[:, 1]) - spans[:, 1]
    steps, tables, n_pairs = np.empty((3, layout.n_mels), dtype=np.int32), [], 0
    for high in range(layout.n_mels, 0, -n_neighbours):
        together = range(high - 1, max(high - n_neighbours, 0) - 1, -1)
        longest = max(2, int((ends[together] - starts[together] // 2 * 2).max()))
        least = -(-longest // STEPS) * STEPS
        _, n_steps, begin = min(
            _begun(layout, [(ends[m] - n, starts[m]) for m in together], n)
            for n in range(least, min(least + _SLACK, n_bins) + 1, STEPS)
        )
        table = np.zeros((n_steps // 2, n_neighbours, 2), dtype=np.float32)
        for i, m in enumerate(together):
            row, at = np.zeros(n_steps, dtype=np.float32), starts[m] - begin[i]
            row[at : at + spans[m, 1]] = weights[firsts[m] : firsts[m] + spans[m, 1]]
            table[:, i] = row.reshape(-1, 2)
            steps[:, m] = begin[i], n_steps, n_pairs + i
        tables.append(table.reshape(-1, 2))
        n_pairs += len(tables[-1])
    return steps, np.concatenate(tables)


def packed(layout: Layout, steps: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The first table of `schedule` in the order of threads, the last band first: one value a band.

    The position of the weights is in 32 bits, the place of the first powers that a thread reads at
    once in 16; the others count groups of `STEPS` bins, as a negative number.
    """
    begin, n_steps, position = steps[:, ::-1].astype(np.uint64)
    first, n_groups = begin // 2 * layout.n_lanes, n_steps // STEPS
    span: NDArray[np.uint64] = position | first << 32 | (65536 - n_groups) << 48
    return span


def _begun(
    layout: Layout, ranges: list[tuple[Any, Any]], n_steps: int
) -> tuple[int, int, list[int]]:
    """Let bands begin within their ranges, one after the other with few conflicts; the cost."""
    last = layout.n_points + 1 + STEPS - n_steps
    n_lanes, n_banks = layout.n_lanes, _PAIRS // layout.n_frames_each
    banks = np.arange((last + n_steps) // 2) * n_lanes % n_banks
    n_part, step = max(1, n_banks // n_lanes), np.arange(n_steps // 2)
    cost, begin = n_steps, list[int]()
    for low in range(0, len(ranges), n_part):
        used, part = np.zeros((len(step), n_banks), dtype=int), list[int]()
        for earliest, latest in ranges[low : low + n_part]:
            found = []
            earliest, latest = max(0, -(-int(earliest) // 2)), min(int(latest), last) // 2
            for first in range(earliest, latest + 1)[-n_banks:]:
                is_shared = first in part  # the same bins, which are read once
                ways = used[step, banks[first : first + len(step)]] + 1
                one_more = 0 if is_shared else int(np.maximum(ways, used.max(axis=1)).sum())
                found.append((one_more, -first))
            first = -min(found)[1]
            if first not in part:
                used[step, banks[first : first + len(step)]] += 1
            part.append(first)
        cost += int(used.max(axis=1).sum())
        begin += [2 * first for first in part]
    return cost, n_steps, begin
