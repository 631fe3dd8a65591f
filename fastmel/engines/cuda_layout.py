"""Where everything is on the GPU: a configuration as the numbers that kernels are compiled for.

Pure arithmetic, without a CUDA package: the kernels in ``cuda_line.py`` take their index maps from
here, and so does the model that counts bank conflicts in the tests.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .plan import MelPlan, SpectrumPlan

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig

__all__ = [
    "Ending", "Layout", "Signal", "mirror", "n_together", "place", "power_place", "schedule",
    "source", "target", "turns", "why_not",
]  # fmt: skip

#: lengths of an FFT that the passes are made for
SHORTEST, LONGEST = 16, 4096
#: frames of a block's tile: 64 bytes of each band's line, two sectors of memory
_TILE = 16
#: complex points that a block transforms at once: 32 kB of shared memory
_POINTS = 4096
#: complex points for which a block has a thread
_POINTS_OF_THREAD = 8
#: complex points that a thread may hold in a pass where 1536 threads shall find registers
_FEW_POINTS = 10
#: bins of a band that are read in a row
STEPS = 8
#: bins that a warp may read more than its longest band has, to find them in different banks
_SLACK = 8
#: banks of shared memory, in pairs: two values that are neighbours are read and written at once,
#: by half a warp
_WARP, _PAIRS = 32, 16
#: shared memory that a block has on every GPU, in bytes, and what CUDA takes of it for itself
_SHARED, _RESERVED = 48 << 10, 1 << 10
#: shared memory of multiprocessors and their threads: of compute capability 8.0, 9.0 and 12.0
_PROCESSORS = (164 << 10, 2048), (228 << 10, 2048), (100 << 10, 1536)


def why_not(plan: MelPlan | SpectrumPlan, dtype: np.dtype[Any]) -> str | None:
    """Say what keeps the GPU from computing ``plan`` on such samples; None if nothing."""
    if isinstance(plan, SpectrumPlan):
        return "computes mel spectrograms only, no spectra"
    spectrum, n_fft = plan.spectrum, plan.spectrum.n_fft
    if dtype not in (np.float16, np.float32):
        return f"computes in float32, not {dtype}: give float32 samples, ask for such results"
    if not SHORTEST <= n_fft <= LONGEST or n_fft % 2 or not radices(n_fft // 2):
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
    #: None, or amin, added, factor, offset, floor
    log: tuple[float, float, float, float, float] | None
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

        spectrum, log, steps = plan.spectrum, plan.log, plan.spectrum.conditioning
        layout = cls(
            n_fft=spectrum.n_fft,
            hop_length=spectrum.hop_length,
            origin=spectrum.start - spectrum.before,
            before=spectrum.before,
            after=spectrum.after,
            pad_mode=PAD_MODES[spectrum.pad_mode],
            n_taken=spectrum.n_taken,
            removes_dc=spectrum.remove_dc,
            preemphasis=spectrum.preemphasis,
            signal_preemphasis=steps.preemphasis if steps else 0.0,
            drops_first=steps is not None and steps.drops_first,
            repeats=config.repeat,
            power=plan.power,
            power_offset=plan.power_offset,
            n_mels=plan.n_mels,
            log=None if log is None else (log.amin, log.added, log.factor, log.offset, log.floor),
            energy=config.energy,
            energy_at=0 if ending.energy_at == 0 else plan.n_mels,
            energy_scale=config.scale if config.energy == "raw" else 2.0,
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
        """Complex points of the FFT of half the length."""
        return self.n_fft // 2

    @cached_property
    def radices(self) -> tuple[int, ...]:
        """The passes of the FFT."""
        return radices(self.n_points)

    @property
    def gap(self) -> int:
        """The points between gaps: the first pass joins as many, or there is none.

        An odd radix leads to other banks without gaps.
        """
        first = self.radices[0]
        return first if first >= 8 else LONGEST

    @cached_property
    def n_threads(self) -> int:
        """Threads of a block.

        Where they have many points each, 1024 threads must consist of whole blocks: so many find 64
        registers. A block is small then, unless half of the threads would not find shared memory.
        """
        if self.radices[-1] == 10:
            n_threads, n_bytes = 8 * _WARP, self._n_bytes(8 * _WARP) + _RESERVED
            is_enough = all(
                n_shared // n_bytes * n_threads >= n // 2 for n_shared, n in _PROCESSORS
            )
            return n_threads if is_enough else 2 * n_threads
        n_units = -(-self.n_frames * self.n_points // _POINTS_OF_THREAD)
        if self.radices[-1] == 4:  # one pair of butterflies more than would come out even
            n_units += self.n_frames
        return _WARP * -(-n_units // _WARP)

    def n_units(self, at: int) -> int:
        """What there is to do at once in pass number `at`: butterflies, or pairs of them."""
        n_butterflies = self.n_points // self.radices[at]
        is_last = at + 1 == len(self.radices)
        return (n_butterflies // 2 + 1 if is_last else n_butterflies) * self.n_frames

    def n_rounds(self, at: int) -> int:
        """How often a thread works in pass number `at`."""
        return -(-self.n_units(at) // self.n_threads)

    @property
    def n_at_once(self) -> int:
        """Threads that shall find registers on a processor, which has 65536."""
        sizes = [self.n_rounds(at) * radix for at, radix in enumerate(self.radices)]
        sizes[-1] *= 2
        return 1536 if max(sizes) <= _FEW_POINTS else 1024

    @property
    def n_features(self) -> int:
        """Values of a frame: bands, and the energy."""
        return self.n_mels + (self.energy is not None)

    @property
    def first_band(self) -> int:
        """The feature that the first band is."""
        return int(self.energy is not None and self.energy_at == 0)

    @property
    def height(self) -> int:
        """Samples of a row: as many as a frame shares with none of the frames after it."""
        return min(self.hop_length, self.n_fft)

    @property
    def row_pitch(self) -> int:
        """Values from one row of samples to the next, so that the frames' are in other banks."""
        if self.height < 2 * _PAIRS:  # no room for gaps
            return self.height
        if self.height % 2:  # samples are read one by one, from every other bank: twice as far
            return self.height + (4 * _PAIRS // self.n_frames - self.height) % (2 * _PAIRS)
        return self.height + 2 * ((_PAIRS // self.n_frames - self.height // 2) % _PAIRS)

    @property
    def n_rows(self) -> int:
        """Rows of samples that the frames need."""
        return self.n_frames - 1 + -(-self.n_fft // self.height)

    @property
    def n_shared(self) -> int:
        """Values of shared memory for samples, spectra and powers, one after the other."""
        n_places: int = place(self.n_points, self.gap)
        n_powers = self.n_points + 1 + STEPS
        n_values = self.n_frames * max(2 * n_places, n_powers + n_powers % 2)
        return max(n_values, self.n_rows * self.row_pitch)

    @property
    def tile_pitch(self) -> int:
        """Values from one feature to the next in the tile: odd, for reading either way."""
        return self.n_tile + 1

    @property
    def n_tile_values(self) -> int:
        """Values of shared memory for the features of a tile."""
        return self.n_features * self.tile_pitch

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
        n_values = self.n_shared + self.n_tile_values + (n_threads if self._adds_up else 1)
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


def radices(n_points: int) -> tuple[int, ...]:
    """Split a product of 2, 3 and 5 into few radices, the last up to 10; () if it is none.

    Powers of two come first, as equal as can be, the largest of them first, but after odd radices
    if they are less than 8: an order with few bank conflicts. A thread of the last pass has two
    butterflies, so its radix is at most 10: that, with what is left of the powers of two times 5
    before it, saves a pass of some sizes.
    """
    n_twos = (n_points & -n_points).bit_length() - 1
    rest, odd = n_points >> n_twos, []
    for radix in (5, 3):
        while rest % radix == 0:
            rest //= radix
            odd.append(radix)
    if rest != 1:
        return ()
    n_passes = -(-n_twos // 4)
    if not odd and n_twos == 4 * n_passes:
        n_passes += 1
    twos = [1 << (n_twos + i) // n_passes for i in reversed(range(n_passes))]
    found = (*twos, *odd) if n_twos > 2 else (*odd, *twos)
    first, fives = [1 << max(n_twos - 1, 0)], odd.count(5)
    if n_twos in (2, 3) and fives > 1:
        first, fives = [5 * first[0]], fives - 1
    if n_twos in (2, 3, 5) and fives > 0:
        composite = (*first, *[5] * (fives - 1), *[3] * odd.count(3), 10)
        if len(composite) < len(found):
            return composite
    return found


def place(point: Any, gap: int) -> Any:
    """Where a point is, in units of all frames: there are gaps between groups of points.

    Without them, butterflies that are neighbours would write to the same bank.
    """
    return point + point // gap


def power_place(k: Any, f: Any, n_frames: int) -> Any:
    """Where the power of bin ``k`` of frame ``f`` is: beside that of the bin before or after it."""
    return k // 2 * (2 * n_frames) + 2 * f + k % 2


def is_regular(layout: Layout, step: int, n_steps: int) -> bool:
    """Whether points that are so far apart are in places that are equally far apart.

    The first is one from which a pass reads, or to which it writes.
    """
    gap = layout.gap
    return gap > layout.n_points or step % gap == 0 or step * n_steps == gap


def source(j: Any, k: int, n_butterflies: int) -> Any:
    """The point that butterfly ``j`` reads as its input ``k`` (Stockham's order)."""
    return j + k * n_butterflies


def target(j: Any, k: int, radix: int, stride: int) -> Any:
    """The point that butterfly ``j`` writes as its output ``k``."""
    return j // stride * (stride * radix) + j % stride + k * stride


def mirror(j: Any, n_butterflies: int) -> Any:
    """The butterfly of the last pass that gives the points opposite to those of ``j``."""
    return n_butterflies - j if j > 0 else j


def turns(layout: Layout) -> NDArray[np.complex64]:
    """The twiddles of the passes after the first, then those of the real FFT's end."""
    found, stride = [], layout.radices[0]
    for radix in layout.radices[1:]:
        k, j = np.ogrid[1:radix, :stride]
        found.append((k * j / (stride * radix)).ravel())
        stride *= radix
    found.append(np.arange(layout.n_points) / layout.n_fft)
    angles = 2 * math.pi * np.concatenate(found)
    return (np.cos(angles) - 1j * np.sin(angles)).astype(np.complex64)


def n_together(layout: Layout) -> int:
    """How many bands a warp sums at once."""
    return max(1, _WARP // layout.n_frames)


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

    The position of the weights is in 32 bits. 15 bits and one that is 0 have the place of the first
    pair of powers; 15 count groups of `STEPS` bins, and one is 1.
    """
    begin, n_steps, position = steps[:, ::-1].astype(np.uint64)
    first, n_groups = begin // 2 * layout.n_frames, n_steps // STEPS
    span: NDArray[np.uint64] = position | first << 32 | n_groups << 48 | np.uint64(1 << 63)
    return span


def _begun(
    layout: Layout, ranges: list[tuple[Any, Any]], n_steps: int
) -> tuple[int, int, list[int]]:
    """Let bands begin within their ranges, one after the other with few conflicts; the cost."""
    last = layout.n_points + 1 + STEPS - n_steps
    banks = np.arange((last + n_steps) // 2) * layout.n_frames % _PAIRS
    n_half, step = max(1, _PAIRS // layout.n_frames), np.arange(n_steps // 2)
    cost, begin = n_steps, list[int]()
    for low in range(0, len(ranges), n_half):
        used, half = np.zeros((len(step), _PAIRS), dtype=int), list[int]()
        for earliest, latest in ranges[low : low + n_half]:
            found = []
            earliest, latest = max(0, -(-int(earliest) // 2)), min(int(latest), last) // 2
            for first in range(earliest, latest + 1)[-_PAIRS:]:
                is_shared = first in half  # the same bins, which are read once
                ways = used[step, banks[first : first + len(step)]] + 1
                one_more = 0 if is_shared else int(np.maximum(ways, used.max(axis=1)).sum())
                found.append((one_more, -first))
            first = -min(found)[1]
            if first not in half:
                used[step, banks[first : first + len(step)]] += 1
            half.append(first)
        cost += int(used.max(axis=1).sum())
        begin += [2 * first for first in half]
    return cost, n_steps, begin
