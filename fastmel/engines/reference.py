"""The line of work in plain NumPy and float64: slow, obvious, what every number means.

audio -> frames -> window + real FFT -> power -> mel -> log -> out
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import MelPlan, SpectrumPlan

__all__ = ["mel", "stft"]


def _frames(plan: SpectrumPlan, y: NDArray[Any]) -> NDArray[np.float64]:
    """Cut signals (rows, samples) into frames (rows, n_frames, n_fft)."""
    padding = [(0, 0), (plan.pad, plan.pad)]
    mode = "constant" if plan.pad_mode == "empty" else plan.pad_mode
    padded = np.pad(y.astype(np.float64), padding, mode=mode)
    every = np.lib.stride_tricks.sliding_window_view(padded, plan.n_fft, axis=-1)
    return every[:, :: plan.hop_length]


def stft(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins)."""
    out[...] = np.fft.rfft(_frames(plan, y) * plan.window)


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames)."""
    spectrum = np.fft.rfft(_frames(plan.spectrum, y) * plan.spectrum.window)
    power = np.abs(spectrum) ** plan.power
    bands = plan.basis.astype(np.float64) @ power.swapaxes(-1, -2)
    if plan.log is None:
        out[...] = bands
    else:
        scale = plan.log
        out[...] = scale.factor * np.log10(np.maximum(bands, scale.amin)) + scale.offset
