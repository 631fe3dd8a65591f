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
    log: LogScale | None

    @property
    def n_mels(self) -> int:
        """Mel bands."""
        return len(self.basis)

    @cached_property
    def bands(self) -> NDArray[np.int32]:
        """First bin and number of bins of every band, shape (n_mels, 2)."""
        bands = np.zeros((self.n_mels, 2), dtype=np.int32)
        for m, row in enumerate(self.basis):
            (bins,) = np.nonzero(row)
            if len(bins):
                bands[m] = bins[0], bins[-1] + 1 - bins[0]
        return bands

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """The weights of every band's bins, band after band."""
        parts = [
            row[first : first + n] for row, (first, n) in zip(self.basis, self.bands, strict=True)
        ]
        return np.concatenate(parts)


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
    basis = filters.mel(
        sr=config.sr,
        n_fft=n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
        htk=config.htk,
        norm=config.norm,
    )
    return MelPlan(spectrum, config.power, basis, _log_scale(config))


def _log_scale(config: "MelConfig") -> LogScale | None:
    if config.log is None:
        return None
    factor = {"db": 20 / config.power, "log10": 1.0, "ln": math.log(10)}[config.log]
    reference = 1.0 if config.ref == "max" else config.ref
    return LogScale(config.amin, factor, -factor * math.log10(max(config.amin, reference)))
