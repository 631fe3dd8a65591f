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
from fastmel.kernels.frames import PAD_MODES, window_frames

from . import pool
from .plan import MelPlan, SpectrumPlan

__all__ = ["mel", "stft"]

#: frames of a block: pocketfft transforms rows side by side in vector registers, and 64 rows of
#: 2048 samples (0.5 MB) stay in the second-level cache
_BLOCK = 64
#: blocks shorter than this are filled up: a row then runs in a vector register whatever the split
_VECTOR = 16
#: bytes of a block of frames at most, for FFTs of a million points
_BLOCK_BYTES = 1 << 20


def stft(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins)."""

    def store(row: int, first: int, spectra: NDArray[Any]) -> None:
        out[row, first : first + len(spectra)] = spectra

    _transform(plan, y, out.shape[1], store)


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames)."""
    weights = plan.bands.weights.astype(y.dtype)

    def store(row: int, first: int, spectra: NDArray[Any]) -> None:
        bands = np.empty((plan.n_mels, len(spectra)), dtype=y.dtype)
        powers = np.empty(spectra.shape[::-1], dtype=y.dtype)
        mel_of_spectra(spectra, plan.power, plan.bands.spans, weights, powers, bands)
        if plan.log is not None:
            quiet = bands <= plan.log.amin
            np.log10(bands, out=bands, where=~quiet)
            bands *= y.dtype.type(plan.log.factor)
            bands += y.dtype.type(plan.log.offset)
            bands[quiet] = plan.log.floor
        out[row, :, first : first + len(spectra)] = bands

    _transform(plan.spectrum, y, out.shape[-1], store)


def _transform(plan: SpectrumPlan, y: NDArray[Any], n_frames: int, store: Any) -> None:
    """Call ``store(row, first, spectra)`` for every block of frames of every signal."""
    # SciPy turns an FFT with a prime factor above 11 into longer ones, and rounding shows twice.
    is_direct = scipy.fft.next_fast_len(plan.n_fft) == plan.n_fft
    real = y.dtype if is_direct else np.dtype(np.float64)
    window = plan.window.astype(real)
    pad_mode = PAD_MODES[plan.pad_mode]
    fitting = _BLOCK_BYTES // (plan.n_fft * real.itemsize)
    block = min(_BLOCK, max(fitting // _VECTOR * _VECTOR, _VECTOR))
    n_blocks = -(-n_frames // block)

    def work(low: int, high: int) -> None:
        for unit in range(low, high):
            row, first = unit // n_blocks, unit % n_blocks * block
            n_valid = min(block, n_frames - first)
            frames = np.empty((-(-n_valid // _VECTOR) * _VECTOR, plan.n_fft), dtype=real)
            window_frames(y[row], first, plan.hop_length, plan.pad, pad_mode, window, frames)
            store(row, first, scipy.fft.rfft(frames)[:n_valid])

    pool.run(work, len(y) * n_blocks, min_units=1)
