"""The general engine: any n_fft, float32 and float64, every option.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

Numba kernels frame and window a block of frames, :func:`scipy.fft.rfft` transforms it, Numba
kernels take power and mel bands. Blocks bound the memory whatever the length of the signal.
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fastmel.kernels.bands import mel_of_spectra
from fastmel.kernels.frames import PAD_MODES, frame_energies, window_frames

from . import pool
from .conditioning import conditioned
from .plan import MelPlan, SpectrumPlan

__all__ = ["energy", "mel", "stft"]

#: frames of a block: pocketfft transforms rows side by side in vector registers, and 64 rows of
#: 2048 samples (0.5 MB) stay in the second-level cache
_BLOCK = 64
#: blocks shorter than this are filled up: a row then runs in a vector register whatever the split
_VECTOR = 16
#: bytes of a block of frames at most, for FFTs of a million points
_BLOCK_BYTES = 1 << 20


def stft(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins)."""

    def store(row: int, at: slice, n_valid: int, frames: NDArray[Any]) -> None:
        out[row, at] = scipy.fft.rfft(frames)[:n_valid]

    _each_block(plan, y, out.shape[1], store)


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames)."""
    spans, weights = plan.bands.spans, plan.bands.weights.astype(y.dtype)

    def store(row: int, at: slice, n_valid: int, frames: NDArray[Any]) -> None:
        spectra = scipy.fft.rfft(frames)[:n_valid]
        bands = np.empty((plan.n_mels, n_valid), dtype=y.dtype)
        powers = np.empty(spectra.shape[::-1], dtype=y.dtype)
        mel_of_spectra(spectra, plan.power, plan.power_offset, spans, weights, powers, bands)
        if plan.log is not None:
            plan.log.of(bands)
        out[row, :, at] = bands

    _each_block(plan.spectrum, y, out.shape[-1], store)


def energy(plan: SpectrumPlan, floor: float, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the log energies of the frames of (rows, samples) into (rows, n_frames)."""
    if plan.conditioning:
        y = conditioned(plan.conditioning, y)
    layout, n_frames = _layout(plan, y.dtype), out.shape[-1]
    n_blocks = -(-n_frames // _BLOCK)

    def work(low: int, high: int) -> None:
        frame, energies = np.empty(plan.n_fft, dtype=y.dtype), np.empty(_BLOCK)
        for unit in range(low, high):
            row, first = unit // n_blocks, unit % n_blocks * _BLOCK
            found = energies[: n_frames - first]
            frame_energies(y[row], _start(plan, first), layout, frame, found)
            out[row, first : first + _BLOCK] = np.log(np.maximum(found, floor))

    pool.run(work, len(y) * n_blocks, min_units=4)


def _each_block(plan: SpectrumPlan, y: NDArray[Any], n_frames: int, use: Any) -> None:
    """Call ``use(row, frame numbers, n_valid, windowed frames)`` for every block of frames."""
    if plan.conditioning:
        y = conditioned(plan.conditioning, y)
    # SciPy turns an FFT with a prime factor above 11 into longer ones, and rounding shows twice.
    is_direct = scipy.fft.next_fast_len(plan.n_fft) == plan.n_fft
    real = y.dtype if is_direct else np.dtype(np.float64)
    layout = _layout(plan, real)
    fitting = _BLOCK_BYTES // (plan.n_fft * real.itemsize)
    block = min(_BLOCK, max(fitting // _VECTOR * _VECTOR, _VECTOR))
    n_blocks = -(-n_frames // block)

    def work(low: int, high: int) -> None:
        for unit in range(low, high):
            row, first = unit // n_blocks, unit % n_blocks * block
            n_valid = min(block, n_frames - first)
            frames = np.empty((-(-n_valid // _VECTOR) * _VECTOR, plan.n_fft), dtype=real)
            window_frames(y[row], _start(plan, first), layout, frames)
            use(row, slice(first, first + n_valid), n_valid, frames)

    pool.run(work, len(y) * n_blocks, min_units=1)


def _layout(plan: SpectrumPlan, real: np.dtype[Any]) -> tuple[Any, ...]:
    """What the kernels of frames take of a plan, in their order."""
    return (
        plan.hop_length,
        (plan.before, plan.after, PAD_MODES[plan.pad_mode]),
        plan.window.astype(real),
        plan.n_taken,
        real.type(plan.preemphasis),
        plan.remove_dc,
    )


def _start(plan: SpectrumPlan, frame: int) -> int:
    """The position of a frame's first sample."""
    return frame * plan.hop_length - plan.before + plan.start
