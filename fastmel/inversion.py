"""Signals from spectra: the inverse short-time Fourier transform, and Griffin and Lim's phases."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec
from fastmel.spectrum import check_positive, frame_window

__all__ = ["istft"]


def istft(
    stft_matrix: NDArray[Any],
    *,
    hop_length: int | None = None,
    win_length: int | None = None,
    n_fft: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    dtype: DTypeLike | None = None,
    length: int | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Invert a short-time Fourier transform.

    Among all signals, this is the one whose transform is nearest to the given one (Griffin and Lim,
    IEEE Trans. ASSP 32(2), 1984): frames are windowed again, added up where they overlap, and
    divided by the sum of the squared windows.

    Parameters
    ----------
    stft_matrix : ndarray, complex, shape (..., 1 + n_fft // 2, n_frames)
        The transform, as :func:`fastmel.stft` returns it.
    hop_length : int > 0, optional
        Samples from one frame to the next; ``win_length // 4`` if not given.
    win_length : int in [1, n_fft], optional
        Length of the window; `n_fft` if not given.
    n_fft : int > 0, optional
        Frame length in samples; twice the number of bins less one if not given.
    window : str, tuple, float, callable or array_like
        The window of the transform (see :func:`fastmel.filters.get_window`).
    center : bool
        Whether frame ``t`` is centred at sample ``t * hop_length`` or starts there.
    dtype : real dtype, optional
        Type of the signal; float32 for complex64 and float64 for complex128 if not given.
    length : int > 0, optional
        Cut the signal, or pad it with zeros, to this many samples.
    out : ndarray, shape (..., samples), optional
        Where to put the signal.

    Returns
    -------
    ndarray, real, shape (..., samples)
        The signal; `out` if given.

    Raises
    ------
    ParameterError
        If `out` has another shape than the signal, or another argument is none of the above.

    Examples
    --------
    >>> from fastmel import stft
    >>> y = np.sin(np.arange(8000.0))
    >>> bool(np.allclose(istft(stft(y), length=len(y)), y))
    True
    """
    if stft_matrix.ndim < 2:
        raise ParameterError(
            f"a transform has the axes (..., n_bins, n_frames), given {stft_matrix.shape=}"
        )
    *leading, n_bins, n_frames = stft_matrix.shape
    n_fft = 2 * (n_bins - 1) if n_fft is None else n_fft
    check_positive("n_fft", n_fft)
    win_length = n_fft if win_length is None else win_length
    check_positive("win_length", win_length)
    hop_length = max(1, win_length // 4) if hop_length is None else hop_length
    check_positive("hop_length", hop_length)

    start = n_fft // 2 if center else 0
    n_samples = length or n_fft + hop_length * (n_frames - 1) - 2 * start
    shape = (*leading, n_samples)
    if n_samples < 0:
        raise ParameterError(f"{n_frames=} and {length=} leave no signal; give a positive length")
    if out is not None and out.shape != shape:
        raise ParameterError(
            f"Shape mismatch for provided output array out.shape={out.shape} != {shape}"
        )
    real = np.dtype(real_of(stft_matrix.dtype) if dtype is None else dtype)
    target = np.dtype(real if out is None else out.dtype)

    # Single precision serves only where both ends are single.
    single = stft_matrix.dtype.itemsize <= 8 and real.itemsize <= 4 and target.itemsize <= 4
    working = np.float32 if single else np.float64
    y = out
    if y is None or y.dtype != working or not y.flags.c_contiguous:
        y = np.empty(shape, dtype=working)
    from fastmel.engines.inverse import istft as invert

    n_rows = math.prod(leading)
    invert(
        stft_matrix.swapaxes(-1, -2).reshape(n_rows, n_frames, n_bins),
        np.asarray(frame_window(window, win_length, n_fft), dtype=np.float64),
        hop_length,
        start,
        y.reshape(n_rows, n_samples),
    )
    if out is None:
        return y.astype(real, copy=False)
    if y is not out:
        out[...] = y
    return out


def real_of(dtype: np.dtype[Any]) -> Any:
    """Return librosa's type of the signal of a transform: single unless that is double or real."""
    if dtype.kind == "f":
        return dtype
    return np.float64 if dtype == np.complex128 else np.float32
