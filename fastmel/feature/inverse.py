"""The way back: spectra and sound from mel spectrograms and cepstral coefficients."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec, mel
from fastmel.spectrum import db_to_power
from fastmel.util import warn

__all__ = ["mel_to_audio", "mel_to_stft", "mfcc_to_audio", "mfcc_to_mel"]

#: bytes of a mel spectrogram that librosa inverts at a time
_BLOCK = 256 * 1024

#: the projected gradient, over the values of a block, that librosa's L-BFGS-B takes for none
_NO_GRADIENT = 1e-5

#: what nearness to the start counts for beside the error, as a share of what the bank makes of it
_NEARNESS = 1e-6

#: frames that are worth a thread of their own
_MIN_FRAMES = 16


@any_array
def mel_to_stft(
    M: NDArray[Any],
    *,
    sr: float = 22050,
    n_fft: int = 2048,
    power: float = 2.0,
    **kwargs: Any,
) -> NDArray[Any]:
    """Find magnitudes of an STFT that have this mel spectrogram.

    Most spectra share their bands with many others. The search starts, as librosa's, from the
    least-squares solution of smallest norm with its negative values raised to zero. Where librosa
    is content with that (it looks at blocks of a few hundred frames; those of quiet recordings
    pass), so is this. Elsewhere librosa descends with L-BFGS-B until the error of the whole block
    hardly changes, so that what becomes of a frame depends on those around it. Here every frame of
    such a block is solved for itself: it gets a non-negative spectrum of the least squared error,
    close to the start. The error of a block is never larger than librosa's, unless by what float32
    rounds away.

    Parameters
    ----------
    M : ndarray, shape (..., n_mels, n_frames)
        What :func:`fastmel.feature.melspectrogram` returned.
    sr : float > 0
        Sampling rate in Hz.
    n_fft : int > 0
        FFT size in samples.
    power : float
        The exponent of the magnitudes that were summed to `M`; not 0.
    **kwargs
        Keywords of :func:`fastmel.filters.mel`: `fmin`, `fmax`, `htk`, `norm`.

    Returns
    -------
    ndarray, shape (..., 1 + n_fft // 2, n_frames)
        Magnitudes, in M's type.

    Raises
    ------
    ParameterError
        If `norm` is none that :func:`fastmel.filters.mel` knows.

    Warns
    -----
    UserWarning
        If a band is so narrow that no FFT bin falls into it.

    Examples
    --------
    >>> mel_to_stft(np.ones((40, 3)), sr=16000, n_fft=512).shape
    (257, 3)
    """
    bank = mel(sr=sr, n_fft=n_fft, n_mels=M.shape[-2], dtype=M.dtype, **kwargs)
    magnitude = _nonnegative_least_squares(bank, M)
    np.power(magnitude, 1.0 / power, out=magnitude)
    return magnitude


@any_array
def mel_to_audio(
    M: NDArray[Any],
    *,
    sr: float = 22050,
    n_fft: int = 2048,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
    power: float = 2.0,
    n_iter: int = 32,
    length: int | None = None,
    dtype: DTypeLike = np.float32,
    **kwargs: Any,
) -> NDArray[Any]:
    """Make sound of a mel spectrogram: :func:`mel_to_stft`, then :func:`fastmel.griffinlim`.

    Parameters
    ----------
    M, sr, n_fft, power, **kwargs
        As in :func:`mel_to_stft`.
    hop_length, win_length, window, center, pad_mode, n_iter, length, dtype
        As in :func:`fastmel.griffinlim`.

    Returns
    -------
    ndarray, shape (..., samples)
        A signal.
    """
    from fastmel.inversion import griffinlim

    return griffinlim(
        mel_to_stft(M, sr=sr, n_fft=n_fft, power=power, **kwargs),
        n_iter=n_iter,
        hop_length=hop_length,
        win_length=win_length,
        n_fft=n_fft,
        window=window,
        center=center,
        dtype=dtype,
        length=length,
        pad_mode=pad_mode,
    )


@any_array
def mfcc_to_mel(
    mfcc: NDArray[Any],
    *,
    n_mels: int = 128,
    dct_type: int = 2,
    norm: str | None = "ortho",
    ref: float = 1.0,
    lifter: float = 0,
) -> NDArray[Any]:
    """Make a mel power spectrogram of cepstral coefficients.

    Parameters
    ----------
    mfcc : ndarray, shape (..., n_mfcc, n_frames)
        What :func:`fastmel.feature.mfcc` returned; further coefficients are taken as 0.
    n_mels : int > 0
        Number of bands.
    dct_type, norm, lifter
        What `mfcc` was made with.
    ref : float > 0
        The power at 0 dB.

    Returns
    -------
    ndarray, shape (..., n_mels, n_frames)
        A mel power spectrogram.

    Raises
    ------
    ParameterError
        If `lifter` is negative.

    Warns
    -----
    UserWarning
        If `lifter` gave a coefficient the weight 0.

    Examples
    --------
    >>> mfcc_to_mel(np.zeros((20, 2)), n_mels=40)[0]
    array([1., 1.])
    """
    if not lifter >= 0:
        raise ParameterError(f"MFCC to mel {lifter=} must be a non-negative number")
    if lifter > 0:
        n = np.arange(1, 1 + mfcc.shape[-2], dtype=mfcc.dtype)[:, np.newaxis]
        weights = 1 + lifter * 0.5 * np.sin(np.pi * n / lifter)
        if np.any(np.abs(weights) < np.finfo(weights.dtype).eps):
            warn(f"{lifter=} includes critical values that may invoke underflow.")
        floating = np.issubdtype(mfcc.dtype, np.inexact)
        mfcc = mfcc / (weights + np.finfo(mfcc.dtype if floating else np.float32).tiny)
    import scipy.fft

    levels = scipy.fft.idct(mfcc, axis=-2, type=dct_type, norm=norm, n=n_mels)
    power: NDArray[Any] = db_to_power(levels, ref=ref)
    return power


@any_array
def mfcc_to_audio(
    mfcc: NDArray[Any],
    *,
    n_mels: int = 128,
    dct_type: int = 2,
    norm: str | None = "ortho",
    ref: float = 1.0,
    lifter: float = 0,
    **kwargs: Any,
) -> NDArray[Any]:
    """Make sound of cepstral coefficients: :func:`mfcc_to_mel`, then :func:`mel_to_audio`.

    Parameters
    ----------
    mfcc, n_mels, dct_type, norm, ref, lifter
        As in :func:`mfcc_to_mel`.
    **kwargs
        Keywords of :func:`mel_to_audio`.

    Returns
    -------
    ndarray, shape (..., samples)
        A signal.
    """
    M = mfcc_to_mel(mfcc, n_mels=n_mels, dct_type=dct_type, norm=norm, ref=ref, lifter=lifter)
    return mel_to_audio(M, **kwargs)


def _nonnegative_least_squares(A: NDArray[Any], B: NDArray[Any]) -> NDArray[Any]:
    """Minimise ``sum((A @ X - B) ** 2)`` over ``X >= 0``, block by block."""
    inverse = _pseudo_inverse(A.tobytes(), A.shape, A.dtype)
    # librosa's product, for its rounding: a bank with an empty band magnifies that without bounds
    X = np.einsum("fm,...mt->...ft", inverse, B, optimize=True)
    np.maximum(X, 0, out=X)
    n_frames = B.shape[-1] if B.size else 0
    n_columns = max(1, _BLOCK // (max(1, math.prod(B.shape[:-1])) * A.itemsize))
    if n_frames <= n_columns:  # librosa's memory order, which is einsum's in several blocks
        X = np.ascontiguousarray(X)
    for first in range(0, n_frames, n_columns):
        block = (..., slice(first, first + n_columns))
        X[block] = _improve(A, B[block], X[block])
    solution: NDArray[Any] = X.astype(A.dtype, copy=False)
    return solution


@lru_cache(maxsize=4)
def _pseudo_inverse(values: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    from scipy.linalg import pinv

    inverse: NDArray[Any] = pinv(np.frombuffer(values, dtype).reshape(shape), rtol=1e-15)
    inverse.flags.writeable = False
    return inverse


def _improve(A: NDArray[Any], B: NDArray[Any], start: NDArray[Any]) -> NDArray[Any]:
    """Return a better solution than `start`, or `start` if librosa would not look for one."""
    from fastmel.engines import pool
    from fastmel.kernels.nnls import nearest_solutions, projected_gradients

    real = np.float32 if start.dtype == np.float32 else np.float64
    mels, X = (
        np.array(values, dtype=real, order="C").reshape(-1, *values.shape[-2:])
        for values in (B, start)
    )
    # a bin lies in two bands at most, and these are neighbours
    bands = np.argmax(A != 0, axis=0)
    padded = np.pad(A.real.astype(np.float64), ((0, 1), (0, 0)))
    bins = np.arange(len(bands))
    weights = np.stack([padded[bands, bins], padded[bands + 1, bins]], axis=-1)
    gradients = np.empty((len(X), X.shape[-1]))

    def look(low: int, high: int) -> None:
        projected_gradients(bands, weights, 1 / B.size, X, mels, low, high, gradients)

    def move(low: int, high: int) -> None:
        nearest_solutions(bands, weights, nearness, mels, low, high, X)

    pool.run(look, gradients.size, 8 * _MIN_FRAMES)
    if not np.fmax.reduce(gradients, axis=None) > _NO_GRADIENT:
        return start
    nearness = _NEARNESS * np.square(padded).sum(axis=1).max()
    pool.run(move, gradients.size, _MIN_FRAMES)
    return X.reshape(start.shape)
