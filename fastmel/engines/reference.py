"""The line of work in plain NumPy and float64: slow, obvious, what every number means.

audio -> frames -> window + real FFT -> power -> mel -> log -> out
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.kernels.frames import condition

from .plan import Conditioning, MelPlan, SpectrumPlan

__all__ = ["energy", "mel", "stft"]


def _conditioned(steps: Conditioning, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the noise to (rows, samples) and take pre-emphasis."""
    noisy = np.empty_like(y)
    for row, out in zip(y, noisy, strict=True):
        condition(row, 0, 0.0, steps.dither, np.uint64(steps.seed), 0.0, out)
    before = np.pad(noisy[:, :-1], [(0, 0), (1, 0)])
    return (noisy - steps.preemphasis * before)[:, int(steps.drops_first) :]


def _frames(plan: SpectrumPlan, y: NDArray[Any], n_frames: int) -> NDArray[np.float64]:
    """Cut signals (rows, samples) into frames (rows, n_frames, n_fft)."""
    y = y.astype(np.float64)
    if plan.conditioning:
        y = _conditioned(plan.conditioning, y)
    mode = "constant" if plan.pad_mode == "empty" else plan.pad_mode
    head, tail = max(plan.before, 0), max(plan.after, 0)
    padded = np.pad(y, [(0, 0), (head, tail)], mode=mode)
    # the zeros of a window may lie beyond the padding
    padded = np.pad(padded, [(0, 0), (0, plan.n_fft)])[:, head - plan.before + plan.start :]
    every = np.lib.stride_tricks.sliding_window_view(padded, plan.n_fft, axis=-1)
    frames = every[:, :: plan.hop_length][:, :n_frames]
    if plan.is_linear:
        return frames
    frames = frames.copy()
    inside = frames[..., : plan.n_taken]
    if plan.remove_dc:
        inside -= inside.mean(axis=-1, keepdims=True)
    before = np.concatenate([inside[..., :1], inside[..., :-1]], axis=-1)
    inside -= plan.preemphasis * before
    return frames


def stft(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins)."""
    out[...] = np.fft.rfft(_frames(plan, y, out.shape[1]) * plan.window)


def energy(plan: SpectrumPlan, floor: float, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the log energies of the frames of (rows, samples) into (rows, n_frames)."""
    frames = _frames(plan, y, out.shape[-1]) * plan.window
    out[...] = np.log(np.maximum((frames**2).sum(axis=-1), floor))


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames)."""
    frames = _frames(plan.spectrum, y, out.shape[-1])
    squares = np.abs(np.fft.rfft(frames * plan.spectrum.window)) ** 2
    power = (squares + plan.power_offset) ** (plan.power / 2)
    bands = plan.basis.astype(np.float64) @ power.swapaxes(-1, -2)
    if plan.log is None:
        out[...] = bands
    else:
        scale = plan.log
        inside = np.maximum(bands, scale.amin) + scale.added
        out[...] = scale.factor * np.log10(inside) + scale.offset
