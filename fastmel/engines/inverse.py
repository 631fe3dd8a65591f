"""The way back: spectra -> real FFT's inverse -> window -> overlap-add -> signal.

Blocks of frames are transformed, windowed and added up in working memory, and leave it as samples
divided by the sum of the squared windows over them. A sample is the sum of its frames in their
order, whatever block or thread they fall in, so any split of the work gives the same result.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from fastmel.exceptions import ParameterError
from fastmel.kernels.overlap import add_squares, emit_columns, hartley, overlap_add

from . import fused, pool
from .plan import SpectrumPlan

__all__ = ["istft"]

#: frames of a block, and what their number is a multiple of: see scipy_fft.py
_BLOCK, _VECTOR = 64, 16
#: bytes of a block of frames at most
_BLOCK_BYTES = 1 << 20


def istft(
    spectra: NDArray[Any],
    window: NDArray[np.float64],
    hop_length: int,
    start: int,
    out: NDArray[Any],
) -> None:
    """Write the signals that spectra (rows, n_frames, n_bins) stand for.

    Parameters
    ----------
    spectra : ndarray, complex, shape (rows, n_frames, n_bins), any memory order
        Bins beyond ``n_fft // 2`` are not used, missing ones are zero.
    window : ndarray, float64, shape (n_fft,)
        The window of the frames.
    hop_length : int > 0
        Samples from one frame to the next.
    start : int >= 0
        The first sample to write, counted from the beginning of frame 0.
    out : ndarray, float32 or float64, shape (rows, n_samples), C-contiguous
        Where to. The precision of all work.
    """
    n_rows, n_frames, _ = spectra.shape
    n_fft, real = len(window), out.dtype
    out[...] = 0
    if n_frames == 0:
        return
    n_overlapping = -(-n_fft // hop_length)
    weights = _weights(window.tobytes(), hop_length, min(n_frames, n_overlapping), real)
    n_repeats = max(n_frames - n_overlapping, 0)

    fitting = _BLOCK_BYTES // (max(n_fft, hop_length) * real.itemsize)
    block = min(_BLOCK, max(fitting // _VECTOR * _VECTOR, _VECTOR))
    n_columns = min(n_frames - 1 + n_overlapping, -(-(start + out.shape[1]) // hop_length))
    n_blocks = -(-n_columns // block)

    def work(low: int, high: int) -> None:
        sums = np.zeros(block * hop_length + n_fft, dtype=real)
        transform = _transform(n_fft, real, block)
        scaled_window = (window / transform.factor).astype(real)

        def add(row: int, first: int, stop: int) -> None:
            stop = min(stop, n_frames)
            if first < stop:
                frames = transform(spectra[row, first:stop])
                overlap_add(frames, scaled_window, hop_length, sums)

        def advance(n_samples: int) -> None:
            rest = len(sums) - n_samples
            sums[:rest] = sums[n_samples:]
            sums[rest:] = 0

        # the frames before the first block that reach into it
        first = low % n_blocks * block
        for before in range(max(first - n_overlapping + 1, 0), first, block):
            n_added = min(block, first - before)
            add(low // n_blocks, before, before + n_added)
            advance(n_added * hop_length)
        for unit in range(low, high):
            row, first = unit // n_blocks, unit % n_blocks * block
            if first == 0:
                sums[:] = 0
            add(row, first, first + block)
            emit_columns(sums, first, block, weights, n_repeats, start, out[row])
            advance(block * hop_length)

    # what a thread repeats of the one before is little beside its own share
    pool.run(work, n_rows * n_blocks, min_units=1 + 8 * n_overlapping // block)


@lru_cache(maxsize=16)
def _weights(window: bytes, hop_length: int, n_frames: int, real: np.dtype[Any]) -> NDArray[Any]:
    """Sum the squared windows of so many frames, by columns of one hop; 1 where there is none."""
    squares = np.frombuffer(window) ** 2
    n_overlapping = -(-len(squares) // hop_length)
    weights = np.zeros((n_frames + n_overlapping - 1) * hop_length)
    add_squares(squares, n_frames, hop_length, weights)
    weights[weights <= np.finfo(real).tiny] = 1
    columns = weights.reshape(-1, hop_length).astype(real)
    columns.flags.writeable = False
    return columns


class _Scipy:
    """Inverse real FFTs of any size, up to so many frames at once."""

    factor = 1

    def __init__(self, n_fft: int, real: np.dtype[Any], n_frames: int) -> None:
        is_direct = scipy.fft.next_fast_len(n_fft) == n_fft  # see scipy_fft.py
        complex_ = np.result_type(real if is_direct else np.float64, np.complex64)
        self._n_fft = n_fft
        self._spectra = np.zeros((n_frames, 1 + n_fft // 2), dtype=complex_)

    def __call__(self, spectra: NDArray[Any]) -> NDArray[Any]:
        """Transform (n_frames, n_bins) to (n_frames, n_fft)."""
        n_rows = -(-len(spectra) // _VECTOR) * _VECTOR
        frames: NDArray[Any] = scipy.fft.irfft(_fit(spectra, self._spectra[:n_rows]), n=self._n_fft)
        return frames[: len(spectra)]


class _Fused:
    """Inverse real FFTs by forward ones of the fused engine, times ``n_fft``.

    The Hartley transform of real values is the real part less the imaginary part of their FFT, and
    it is its own inverse but for the factor ``n_fft``.
    """

    def __init__(self, plan: SpectrumPlan, real: np.dtype[Any], n_frames: int) -> None:
        self.factor = plan.n_fft
        self._plan = plan
        self._spectra = np.zeros((n_frames, plan.n_bins), dtype=np.result_type(real, np.complex64))
        self._transforms = np.empty((n_frames, plan.n_fft), dtype=real)
        self._frames = np.empty_like(self._transforms)

    def __call__(self, spectra: NDArray[Any]) -> NDArray[Any]:
        """Transform (n_frames, n_bins) to (n_frames, n_fft), which the next call overwrites."""
        n_frames = len(spectra)
        transforms, frames = self._transforms[:n_frames], self._frames[:n_frames]
        real = transforms.dtype
        hartley(_fit(spectra, self._spectra[:n_frames]).view(real), transforms)
        try:
            fused.hartley(self._plan, transforms.reshape(1, -1), frames[None])
        except ParameterError:  # NaN or infinity, which SciPy lets pass
            slow = _Scipy(self._plan.n_fft, real, len(self._frames))
            np.multiply(slow(spectra), real.type(self.factor), out=frames)
        return frames


def _fit(spectra: NDArray[Any], room: NDArray[Any]) -> NDArray[Any]:
    """Return spectra in the type and shape, and if need be the memory, of ``room``."""
    is_alike = (spectra.dtype, spectra.shape) == (room.dtype, room.shape)
    if is_alike and spectra.flags.c_contiguous:
        return spectra
    n_frames, n_bins = spectra.shape
    room[:n_frames, :n_bins] = spectra[:, : room.shape[1]]
    room[:n_frames, n_bins:] = 0  # those that are missing; an FFT may have overwritten them
    return room


def _transform(n_fft: int, real: np.dtype[Any], n_frames: int) -> _Fused | _Scipy:
    plan = _rows_plan(n_fft)
    if fused.why_not(plan, real) is None:
        return _Fused(plan, real, n_frames)
    return _Scipy(n_fft, real, n_frames)


@lru_cache(maxsize=64)
def _rows_plan(n_fft: int) -> SpectrumPlan:
    """Plan the FFTs of rows that lie side by side."""
    return SpectrumPlan(n_fft, n_fft, np.ones(n_fft))
