"""Plans: a configuration worked out into what the engines read.

A plan is made once and never written again, so that any number of threads may share it. What only
one engine needs (index tables, twiddles) that engine derives from the plan and keeps.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastmel import filters, util

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig, PadMode

__all__ = ["LogScale", "MelPlan", "SpectrumPlan", "mel_plan"]


@dataclass(frozen=True, eq=False)
class SpectrumPlan:
    """Frames and their windowed real FFT."""

    n_fft: int
    hop_length: int
    #: samples before the signal and after it
    pad: int
    pad_mode: "PadMode"
    #: (n_fft,) float64
    window: NDArray[np.float64]

    @property
    def n_bins(self) -> int:
        """Frequency bins of a frame."""
        return 1 + self.n_fft // 2

    def n_frames(self, n_samples: int) -> int:
        """Frames of a signal; 0 if it is shorter than one."""
        return max(0, 1 + (n_samples + 2 * self.pad - self.n_fft) // self.hop_length)


@dataclass(frozen=True)
class LogScale:
    """``factor * log10(max(x, amin)) + offset``."""

    amin: float
    factor: float
    offset: float

    @property
    def floor(self) -> float:
        """The value of silence."""
        return self.factor * math.log10(self.amin) + self.offset


@dataclass(frozen=True, eq=False)
class MelPlan:
    """The whole line: spectrum, power, mel bands, logarithm."""

    spectrum: SpectrumPlan
    power: float
    #: (n_mels, n_bins) float32, librosa's precision also where the samples are float64
    basis: NDArray[np.float32]
    #: whether a band is too narrow for any bin
    has_empty_band: bool
    log: LogScale | None

    @property
    def n_mels(self) -> int:
        """Mel bands."""
        return len(self.basis)

    @cached_property
    def bands(self) -> "Bands":
        """The bank without its zeros, band by band."""
        return Bands.of(self.basis)

    @cached_property
    def segments(self) -> "Segments | None":
        """The bank by the segments between centres, if it is made of triangles."""
        return Segments.of(self.basis)


@dataclass(frozen=True, eq=False)
class Bands:
    """Any bank: the weights of every band from its first nonzero one to its last."""

    #: (n_mels, 2) int32: first bin, number of bins
    spans: NDArray[np.int32]
    #: the bands' weights, one after the other
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, basis: NDArray[np.float32]) -> "Bands":
        """Find where every band begins and ends."""
        spans = np.zeros((len(basis), 2), dtype=np.int32)
        parts = [np.empty(0, dtype=np.float32)]
        for m, row in enumerate(basis):
            (bins,) = np.nonzero(row)
            if len(bins):
                spans[m] = bins[0], bins[-1] + 1 - bins[0]
                parts.append(row[bins[0] : bins[-1] + 1])
        return cls(spans, np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class Segments:
    """A bank of triangles: in segment s, band s - 1 falls and band s rises."""

    #: (n_mels + 2,) int32: first bin of each segment, and the end of the last
    first: NDArray[np.int32]
    #: (n_bins, 2) float32: weight in the falling band, weight in the rising band
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, basis: NDArray[np.float32]) -> "Segments | None":
        """Split the bins between the bands' centres; None if bands overlap in another way."""
        n_mels, n_bins = basis.shape
        weights = np.zeros((n_bins, 2), dtype=np.float32)
        segment = np.zeros(n_bins, dtype=np.int64)
        s = 0
        for k, column in enumerate(basis.T):
            (bands,) = np.nonzero(column)
            if len(bands):
                # the one band of a bin rises there, unless it has begun to fall
                s = max(s, int(bands[-1]) if len(bands) == 1 else int(bands[0]) + 1)
                if not set(bands) <= {s - 1, s}:
                    return None
                weights[k] = column[s - 1] if s > 0 else 0, column[s] if s < n_mels else 0
            segment[k] = s
        first = np.searchsorted(segment, np.arange(n_mels + 2))
        first[-1] = n_bins
        return cls(first.astype(np.int32), weights)


def mel_plan(config: "MelConfig") -> MelPlan:
    """Work a configuration out."""
    n_fft = config.n_fft
    win_length = n_fft if config.win_length is None else config.win_length
    is_values = isinstance(config.window, tuple) and not isinstance(config.window[0], str)
    window = np.asarray(config.window) if is_values else config.window
    spectrum = SpectrumPlan(
        n_fft=n_fft,
        hop_length=config.hop_length,
        pad=n_fft // 2 if config.center else 0,
        pad_mode=config.pad_mode,
        window=util.pad_center(filters.get_window(window, win_length), size=n_fft).astype(float),
    )
    basis, has_empty_band = filters.mel_bank(
        sr=config.sr,
        n_fft=n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
        htk=config.htk,
        norm=config.norm,
        dtype=np.float32,
    )
    return MelPlan(spectrum, config.power, basis, has_empty_band, _log_scale(config))


def _log_scale(config: "MelConfig") -> LogScale | None:
    if config.log is None:
        return None
    factor = {"db": 20 / config.power, "log10": 1.0, "ln": math.log(10)}[config.log]
    reference = 1.0 if config.ref == "max" else config.ref
    return LogScale(config.amin, factor, -factor * math.log10(max(config.amin, reference)))
