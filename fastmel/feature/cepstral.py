"""Cepstral coefficients: the shape of a log-mel spectrum in a few numbers."""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.feature.spectral import melspectrogram
from fastmel.spectrum import power_to_db

__all__ = ["mfcc"]


@any_array
def mfcc(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_mfcc: int = 20,
    dct_type: int = 2,
    norm: str | None = "ortho",
    lifter: float = 0,
    mel_norm: Literal["slaney"] | float | None = "slaney",
    **kwargs: Any,
) -> NDArray[Any]:
    """Compute mel-frequency cepstral coefficients: a cosine transform of decibels per band.

    Parameters
    ----------
    y : ndarray, shape (..., samples), optional
        Finite floating-point signal.
    sr : float > 0
        Its sampling rate in Hz.
    S : ndarray, shape (..., n_mels, n_frames), optional
        A log-power mel spectrogram, taken as it is, in place of `y`.
    n_mfcc : int > 0
        Number of coefficients.
    dct_type : {1, 2, 3, 4}
        Type of the cosine transform (see :func:`scipy.fft.dct`).
    norm : {"ortho", "backward", "forward"}, optional
        Scaling of the cosine transform.
    lifter : float >= 0
        If positive, coefficient ``n`` (from 1) is weighted by
        ``1 + lifter / 2 * sin(pi * n / lifter)``.
    mel_norm : {"slaney", None} or number
        Scaling of the filter bank (`norm` of :func:`fastmel.filters.mel`).
    **kwargs
        Further keywords of :func:`fastmel.feature.melspectrogram`.

    Returns
    -------
    ndarray, shape (..., n_mfcc, n_frames)
        The coefficients.

    Raises
    ------
    ParameterError
        If `lifter` is negative, `S` has less than two axes, or an argument is not one that
        :func:`fastmel.feature.melspectrogram` takes.

    Examples
    --------
    >>> S = np.full((40, 3), -20.0)  # the same level everywhere: only the first is not zero
    >>> np.round(mfcc(S=S, n_mfcc=2)) + 0.0
    array([[-126., -126., -126.],
           [   0.,    0.,    0.]])
    """
    if not lifter >= 0:
        raise ParameterError(f"MFCC lifter={lifter} must be a non-negative number")
    if S is None:
        S = power_to_db(melspectrogram(y=y, sr=sr, norm=mel_norm, **kwargs))
    S = np.asarray(S)
    if S.ndim < 2:
        raise ParameterError(f"S has the axes (..., n_mels, n_frames), and {S.shape=}")
    if S.dtype in (np.float32, np.float64):
        coefficients = _cosines(S.shape[-2], n_mfcc, dct_type, norm, S.dtype) @ S
    else:
        import scipy.fft

        spectrum = scipy.fft.dct(S, axis=-2, type=dct_type, norm=norm)
        coefficients = spectrum[..., :n_mfcc, :]
    if lifter > 0:
        coefficients *= _lifter(n_mfcc, lifter, coefficients.dtype)[:, np.newaxis]
    return coefficients  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def _cosines(
    n_mels: int, n_mfcc: int, dct_type: int, norm: str | None, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return the rows of the cosine transform that are kept, as a matrix."""
    import scipy.fft

    rows = scipy.fft.dct(np.eye(n_mels), axis=0, type=dct_type, norm=norm)[:n_mfcc]
    matrix: NDArray[Any] = rows.astype(dtype)
    matrix.flags.writeable = False
    return matrix


def _lifter(n_mfcc: int, lifter: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the weight of each coefficient."""
    n = np.arange(1, 1 + n_mfcc, dtype=dtype)
    weights: NDArray[Any] = 1 + (lifter / 2) * np.sin(np.pi * n / lifter)
    return weights
