"""Plans: a configuration worked out into what the engines read.

A plan is made once and never written again, so that any number of threads may share it. What only
one engine needs (index tables, twiddles) that engine derives from the plan and keeps.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel import convert, filters

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig, PadMode

__all__ = ["Conditioning", "LogScale", "MelPlan", "SpectrumPlan", "mel_plan"]


@dataclass(frozen=True)
class Conditioning:
    """What is done to a signal before it is padded: ``z[i] = y[i] - preemphasis * y[i - 1]``."""

    preemphasis: float
    #: whether z[0] is left out, or is y[0]
    drops_first: bool
    #: standard deviation of the noise that is added to y
    dither: float
    seed: int

    def n_samples(self, n_samples: int) -> int:
        """Samples that remain."""
        return max(n_samples - self.drops_first, 0)


@dataclass(frozen=True, eq=False)
class SpectrumPlan:
    """Frames and their windowed real FFT."""

    n_fft: int
    hop_length: int
    #: (n_fft,) float64, zero where a frame has no samples of its own
    window: NDArray[np.float64]
    #: samples of padding before the signal and after it
    before: int = 0
    after: int = 0
    pad_mode: "PadMode" = "constant"
    #: where the first frame's first sample is after the padding's first: in mel plans, where the
    #: window begins, so that the zeros around a short window all come after it
    start: int = 0
    #: samples that a frame needs
    frame_length: int = 0
    #: frames that are left out at the end
    n_dropped: int = 0
    conditioning: Conditioning | None = None
    #: within frames: x[i] - preemphasis * x[i - 1] (x[0] precedes itself), of x without its mean
    preemphasis: float = 0.0
    remove_dc: bool = False
    #: samples of a frame that these two see, its first ones: those in the window
    n_taken: int = 0

    @property
    def n_bins(self) -> int:
        """Frequency bins of a frame."""
        return 1 + self.n_fft // 2

    @property
    def is_linear(self) -> bool:
        """Whether frames are the padded signal's samples as they are."""
        return not (self.preemphasis or self.remove_dc)

    @property
    def n_least(self) -> int:
        """Samples of the shortest signal with a frame."""
        n_inside = (self.frame_length or self.n_fft) + self.n_dropped * self.hop_length
        n_lost = int(self.conditioning is not None and self.conditioning.drops_first)
        return max(n_inside - self.before - self.after, 0) + n_lost

    def n_frames(self, n_samples: int) -> int:
        """Frames of a signal; 0 if it is shorter than one."""
        if self.conditioning:
            n_samples = self.conditioning.n_samples(n_samples)
        last = n_samples + self.before + self.after - (self.frame_length or self.n_fft)
        return max(0, 1 + last // self.hop_length - self.n_dropped)


@dataclass(frozen=True)
class LogScale:
    """``factor * log10(max(x, amin) + added) + offset``."""

    amin: float
    factor: float
    offset: float
    added: float = 0.0

    @property
    def floor(self) -> float:
        """The value of silence."""
        return self.factor * math.log10(self.amin + self.added) + self.offset

    def of(self, values: NDArray[Any]) -> None:
        """Take the logarithm of an array in place, exact at the floor."""
        real = values.dtype.type
        quiet = values <= self.amin
        np.maximum(values, real(self.amin), out=values)
        values += real(self.added)
        np.log10(values, out=values)  # without a mask, which would cost ten times as much
        values *= real(self.factor)
        values += real(self.offset)
        values[quiet] = self.floor


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
    #: with a power of 1: added to the squared magnitude before its root
    power_offset: float = 0.0
    #: the part of the configuration's offset and gain that `log` has taken over
    shift: float = 0.0
    gain: float = 1.0
    #: the frames whose energies are asked for
    energy: SpectrumPlan | None = None
    #: smaller energies are raised to this
    energy_floor: float = 0.0

    @property
    def n_mels(self) -> int:
        """Mel bands."""
        return len(self.basis)

    @property
    def is_scaled(self) -> bool:
        """Whether `log` has the configuration's offset and gain in it."""
        return (self.shift, self.gain) != (0, 1)

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
    basis, has_empty_band = _bank(config)
    spectrum = _spectrum_plan(config)
    shift, gain = _affine(config)
    energy = spectrum if config.energy == "windowed" else None
    if config.energy == "raw":
        inside = np.where(np.arange(config.n_fft) < spectrum.n_taken, config.scale, 0.0)
        energy = replace(spectrum, window=inside, preemphasis=0.0)
    return MelPlan(
        spectrum=spectrum,
        power=config.power,
        basis=basis,
        has_empty_band=has_empty_band,
        log=_log_scale(config, shift, gain),
        power_offset=config.power_offset,
        shift=shift,
        gain=gain,
        energy=energy,
        energy_floor=max(config.amin, config.energy_floor),
    )


def _spectrum_plan(config: "MelConfig") -> SpectrumPlan:
    n_fft = config.n_fft
    window = config.scale * _window(config)
    start = (n_fft - len(window)) // 2 if config.frame_length is None else 0
    if config.padding is not None:
        before, after = config.padding
    else:
        before = after = n_fft // 2 if config.center else 0
    is_of_frames = config.preemphasis_of == "frame"
    conditioning = None
    if config.dither or not (is_of_frames or config.preemphasis == 0):
        conditioning = Conditioning(
            preemphasis=0.0 if is_of_frames else config.preemphasis,
            drops_first=config.preemphasis_of == "inside",
            dither=config.dither / config.scale,
            seed=config.seed,
        )
    return SpectrumPlan(
        n_fft=n_fft,
        hop_length=config.hop_length,
        window=np.pad(window, (0, n_fft - len(window))),
        before=before,
        after=after,
        pad_mode=config.pad_mode,
        start=start,
        frame_length=config.frame_length or n_fft,
        n_dropped=int(config.drop_last),
        conditioning=conditioning,
        preemphasis=config.preemphasis if is_of_frames else 0.0,
        remove_dc=config.remove_dc,
        n_taken=len(window),
    )


def _window(config: "MelConfig") -> NDArray[np.float64]:
    length = config.win_length or config.n_fft
    if config.window == "povey":
        return filters.get_window("hann", length, fftbins=config.periodic) ** 0.85
    is_values = isinstance(config.window, tuple) and not isinstance(config.window[0], str)
    window = np.asarray(config.window) if is_values else config.window
    return filters.get_window(window, length, fftbins=config.periodic).astype(float)


def _bank(config: "MelConfig") -> tuple[NDArray[np.float32], bool]:
    """The filter bank (n_mels, n_bins), and whether one of its bands has no bin."""
    bins = convert.fft_frequencies(sr=config.sr, n_fft=config.n_fft)
    fmax = config.sr / 2 if config.fmax is None else config.fmax
    edges = convert.mel_frequencies(config.n_mels + 2, fmin=config.fmin, fmax=fmax, htk=config.htk)
    if config.vtln_warp != 1:
        edges = _warped(edges, config.fmin, fmax, config)
    if config.triangles == "mel":
        bins = convert.hz_to_mel(bins, htk=config.htk)
        positions = convert.hz_to_mel(edges, htk=config.htk)
    else:
        positions = edges
    weights = filters.triangles(
        bins,
        positions,
        config.norm,
        np.float32,
        hz=edges,
        is_symmetric=config.triangles == "symmetric",
    )
    return weights, filters.has_empty_band(weights, edges)


def _warped(
    frequencies: NDArray[np.float64], fmin: float, fmax: float, config: "MelConfig"
) -> NDArray[np.float64]:
    """Warp frequencies as Kaldi does: ``f / warp`` between two knots, straight lines to the ends.

    Source: ``MelBanks::VtlnWarpFreq`` in Kaldi's ``feat/mel-computations.cc``.
    """
    warp = config.vtln_warp
    high = config.vtln_high if config.vtln_high > 0 else config.sr / 2 + config.vtln_high
    low_knot, high_knot = config.vtln_low * max(1.0, warp), high * min(1.0, warp)
    knots = [fmin, low_knot, high_knot, fmax]
    return np.interp(frequencies, knots, [fmin, low_knot / warp, high_knot / warp, fmax])


def _affine(config: "MelConfig") -> tuple[float, float]:
    """The configuration's offset and gain, if nothing comes between the logarithm and them."""
    offset, gain = config.offset, config.gain
    is_last = not (config.n_mfcc or config.energy or config.normalize or config.ref == "max")
    if config.log is None or not is_last or isinstance(offset, tuple) or isinstance(gain, tuple):
        return 0.0, 1.0
    return (offset, gain) if gain > 0 else (0.0, 1.0)


def _log_scale(config: "MelConfig", shift: float, gain: float) -> LogScale | None:
    if config.log is None:
        return None
    factor = {"db": 20 / config.power, "log10": 1.0, "ln": math.log(10)}[config.log]
    if config.guard == "add":
        return LogScale(0.0, factor * gain, shift * gain, added=config.amin)
    reference = 1.0 if config.ref == "max" else config.ref
    shift -= factor * math.log10(max(config.amin, reference))
    return LogScale(config.amin, factor * gain, shift * gain)
