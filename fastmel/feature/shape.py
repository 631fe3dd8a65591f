"""The shape of a spectrum in one number a frame."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.arrays import any_array
from fastmel.convert import fft_frequencies
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec
from fastmel.spectrum import stft
from fastmel.util import normalize

__all__ = ["spectral_bandwidth", "spectral_centroid", "spectral_flatness", "spectral_rolloff"]


@any_array
def spectral_centroid(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
    freq: NDArray[Any] | None = None,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
) -> NDArray[Any]:
    """Compute the mean frequency of each frame, weighted by magnitude (Klapuri and Davy 2007).

    Parameters
    ----------
    y : ndarray, shape (..., samples), optional
        Finite floating-point signal.
    sr : float > 0
        Its sampling rate in Hz.
    S : ndarray, shape (..., n_bins, n_frames), optional
        A magnitude spectrogram, taken as it is, in place of `y`; `n_fft` is then inferred from it
        if it does not fit.
    n_fft, hop_length, win_length, window, center, pad_mode
        Framing, as in :func:`fastmel.stft`.
    freq : ndarray, shape (n_bins,) or (..., n_bins, n_frames), optional
        The bins' frequencies in Hz; those of the FFT if not given.

    Returns
    -------
    ndarray, shape (..., 1, n_frames)
        Frequencies in Hz.

    Raises
    ------
    ParameterError
        If neither `y` nor `S` is given, or `S` is not a finite real non-negative spectrogram.

    Examples
    --------
    >>> S = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    >>> spectral_centroid(S=S, sr=16000)  # bins at 0, 4000 and 8000 Hz
    array([[6000., 2000.]])
    """
    S, n_fft = _spectrogram(y, S, n_fft, hop_length, win_length, window, center, pad_mode)
    return _centroid(S, _frequencies(freq, sr, n_fft))


@any_array
def spectral_bandwidth(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
    freq: NDArray[Any] | None = None,
    centroid: NDArray[Any] | None = None,
    norm: bool = True,
    p: float = 2,
) -> NDArray[Any]:
    """Compute the p-th moment of each frame's frequencies about their centroid.

    Parameters
    ----------
    y, sr, S, n_fft, hop_length, win_length, window, center, pad_mode, freq
        As in :func:`spectral_centroid`.
    centroid : ndarray, shape (..., 1, n_frames), optional
        The centroids in Hz, if they are known.
    norm : bool
        Divide by the sum of the frame's magnitudes.
    p : float > 0
        The moment: 2 is the standard deviation.

    Returns
    -------
    ndarray, shape (..., 1, n_frames)
        Widths in Hz, ``(sum(S * abs(freq - centroid) ** p) / sum(S)) ** (1 / p)``.

    Raises
    ------
    ParameterError
        If neither `y` nor `S` is given, `S` is not a finite real non-negative spectrogram, `p` is
        not positive, or `freq` or `centroid` does not fit.

    Examples
    --------
    >>> spectral_bandwidth(S=np.array([[1.0], [0.0], [1.0]]), sr=16000)
    array([[4000.]])
    """
    if not p > 0:
        raise ParameterError(f"{p=} must be positive: 2 gives the standard deviation")
    from fastmel.kernels.moments import bandwidths

    S, n_fft = _spectrogram(y, S, n_fft, hop_length, win_length, window, center, pad_mode)
    freq = _frequencies(freq, sr, n_fft)
    if centroid is None:
        centroid = _centroid(S, freq)
    spectra = _frames_of(_shares(S) if norm else S)
    shape = (*S.shape[:-2], 1, S.shape[-1])
    centres = _fit(centroid, shape, "centroid", S).astype(np.float64).ravel()
    width = np.empty(len(spectra))
    bandwidths(spectra, _lines(freq, S), centres, float(p), bool(norm), _tiny(S), width)
    if norm:
        _check_finite(width, S)
    dtype = np.result_type(S, freq, centroid)
    return width.reshape(shape).astype(dtype, copy=False)


@any_array
def spectral_rolloff(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
    freq: NDArray[Any] | None = None,
    roll_percent: float = 0.85,
) -> NDArray[Any]:
    """Find the frequency below which lies a given share of each frame's magnitude.

    Parameters
    ----------
    y, sr, S, n_fft, hop_length, win_length, window, center, pad_mode, freq
        As in :func:`spectral_centroid`.
    roll_percent : float, 0 < roll_percent < 1
        The share.

    Returns
    -------
    ndarray, shape (..., 1, n_frames)
        Frequencies in Hz.

    Raises
    ------
    ParameterError
        If `roll_percent` is out of its range, neither `y` nor `S` is given, or `S` is not a real
        non-negative spectrogram.

    Examples
    --------
    >>> spectral_rolloff(S=np.array([[1.0], [8.0], [1.0]]), sr=16000)
    array([[4000.]])
    """
    if not 0.0 < roll_percent < 1.0:
        raise ParameterError(f"{roll_percent=} must lie in the range (0, 1)")
    from fastmel.kernels.moments import rolloffs

    S, n_fft = _spectrogram(y, S, n_fft, hop_length, win_length, window, center, pad_mode)
    freq = _frequencies(freq, sr, n_fft)
    spectra = _frames_of(S)
    bins = np.empty(len(spectra), np.intp)
    rolloffs(spectra, float(roll_percent), np.empty_like(spectra, shape=S.shape[-2]), bins)
    # of the bins that are not below the share, the one of the lowest frequency
    lowest = np.fmin.accumulate(_lines(freq, S)[:, ::-1], axis=1)[:, ::-1]
    rolloff: NDArray[Any] = lowest[np.arange(len(bins)) if len(lowest) > 1 else 0, bins]
    return rolloff.reshape(*S.shape[:-2], 1, S.shape[-1])


@any_array
def spectral_flatness(
    *,
    y: NDArray[Any] | None = None,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
    amin: float = 1e-10,
    power: float = 2.0,
) -> NDArray[Any]:
    """Compute how much each frame is like noise: 1 for a flat spectrum, near 0 for a tone.

    Parameters
    ----------
    y, S, n_fft, hop_length, win_length, window, center, pad_mode
        As in :func:`spectral_centroid`.
    amin : float > 0
        Smaller powers are raised to this.
    power : float > 0
        Exponent of the magnitudes.

    Returns
    -------
    ndarray, shape (..., 1, n_frames)
        Geometric over arithmetic mean of the powers (Dubnov 2004), between 0 and 1.

    Raises
    ------
    ParameterError
        If `amin` is not positive, neither `y` nor `S` is given, or `S` is not a real non-negative
        spectrogram.

    Examples
    --------
    >>> spectral_flatness(S=np.array([[1.0, 4.0], [1.0, 1.0]]), power=1)
    array([[1. , 0.8]])
    """
    if amin <= 0:
        raise ParameterError(f"{amin=} must be strictly positive")
    from fastmel.kernels.moments import flatnesses, flatnesses_by_bins

    S, _ = _spectrogram(y, S, n_fft, hop_length, win_length, window, center, pad_mode)
    *leading, n_bins, n_frames = S.shape
    flatness = np.empty((math.prod(leading), n_frames), _real_type(S))
    if S.flags.c_contiguous and S.dtype in (np.float32, np.float64):
        sums, exponents = np.empty((4, 256)), np.empty(256, np.int64)
        by_bins = S.reshape(len(flatness), n_bins, n_frames)
        flatnesses_by_bins(by_bins, float(power), float(amin), sums, exponents, flatness)
    else:
        scratch = np.empty(n_bins)
        bits = scratch.view(np.int64)
        flatnesses(_frames_of(S), float(power), float(amin), scratch, bits, flatness.reshape(-1))
    dtype = np.result_type(S, 1.0)
    return flatness.reshape(*leading, 1, n_frames).astype(dtype, copy=False)


def _spectrogram(
    y: NDArray[Any] | None,
    S: NDArray[Any] | None,
    n_fft: int | None,
    hop_length: int,
    win_length: int | None,
    window: WindowSpec,
    center: bool,
    pad_mode: Any,
) -> tuple[NDArray[Any], int]:
    """Return the magnitudes of `y`, or `S` if it is given and may be such, and their n_fft."""
    if S is None:
        if y is None:
            raise ParameterError(
                "Input signal must be provided to compute a spectrogram: give y, or its "
                "spectrogram S"
            )
        if n_fft is None:
            raise ParameterError(f"Unable to compute spectrogram with {n_fft=}")
        spectra = stft(
            y,
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            window=window,
            center=center,
            pad_mode=pad_mode,
        )
        return _magnitude(spectra), n_fft
    if np.ndim(S) < 2:
        raise ParameterError(
            f"a spectrogram has the axes (..., n_bins, n_frames), and S.shape={np.shape(S)}"
        )
    if not np.isrealobj(S):
        raise ParameterError("spectral features need magnitudes, not complex S: give np.abs(S)")
    if S.size and S.min() < 0:
        raise ParameterError("spectral features need magnitudes: S must not be negative anywhere")
    if n_fft is None or n_fft // 2 + 1 != S.shape[-2]:
        n_fft = 2 * (S.shape[-2] - 1)
    return S, n_fft


def _magnitude(D: NDArray[Any]) -> NDArray[Any]:
    """Return the magnitudes of a spectrogram, in its order of memory."""
    from fastmel.kernels.moments import magnitudes

    magnitude = np.empty_like(D, D.real.dtype)
    magnitudes(D.ravel("K").view(magnitude.dtype), magnitude.ravel("K"))
    return magnitude


def _frequencies(freq: NDArray[Any] | None, sr: float, n_fft: int) -> NDArray[Any]:
    return fft_frequencies(sr=sr, n_fft=n_fft) if freq is None else np.asarray(freq)


def _centroid(S: NDArray[Any], freq: NDArray[Any]) -> NDArray[Any]:
    from fastmel.kernels.moments import centroids

    spectra = _frames_of(_shares(S))
    centroid = np.empty(len(spectra))
    centroids(spectra, _lines(freq, S), _tiny(S), centroid)
    _check_finite(centroid, S)
    shape = (*S.shape[:-2], 1, S.shape[-1])
    return centroid.reshape(shape).astype(np.result_type(S, freq), copy=False)


def _shares(S: NDArray[Any]) -> NDArray[Any]:
    """Return `S` as sums over its bins are to take it.

    librosa divides each frame by its sum, in S's own type: of whole numbers, only a line that is
    alone in its frame is left. Other types are divided by the kernels.
    """
    return normalize(S, norm=1, axis=-2) if S.dtype.kind in "iu" else S


def _frames_of(S: NDArray[Any]) -> NDArray[Any]:
    """Return (frames, bins), the bins of a frame side by side in memory."""
    frames = np.ascontiguousarray(S.swapaxes(-1, -2), _real_type(S))
    return frames.reshape(math.prod(S.shape[:-2]) * S.shape[-1], S.shape[-2])


def _real_type(S: NDArray[Any]) -> type[np.float32 | np.float64]:
    """Return the type that the kernels take `S` in."""
    return np.float32 if S.dtype in (np.float16, np.float32) else np.float64


def _lines(freq: NDArray[Any], S: NDArray[Any]) -> NDArray[np.float64]:
    """Return the bins' frequencies as (1 or frames, bins)."""
    if freq.ndim == 1:
        return _fit(freq, S.shape[-2:-1], "freq", S).astype(np.float64)[np.newaxis]
    return _frames_of(_fit(freq, S.shape, "freq", S).astype(np.float64))


def _fit(values: Any, shape: tuple[int, ...], name: str, S: NDArray[Any]) -> NDArray[Any]:
    """Broadcast an argument that goes with `S`."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ParameterError(
            f"{name}.shape={np.shape(values)} does not fit S.shape={S.shape}: give an array of "
            f"shape {shape}"
        ) from None


def _tiny(S: NDArray[Any]) -> float:
    """Return the sum below which a spectrum counts as silent."""
    return float(np.finfo(S.dtype if S.dtype.kind == "f" else np.float32).tiny)


def _check_finite(result: NDArray[Any], S: NDArray[Any]) -> None:
    if not (np.isfinite(result).all() or np.isfinite(S).all()):
        raise ParameterError("Input must be finite; replace NaN and infinity in S first")
