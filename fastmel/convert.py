"""Frequency scales: hertz to mels and back, and the centres of mel bands and FFT bins."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["fft_frequencies", "hz_to_mel", "mel_frequencies", "mel_to_hz"]

# Slaney's scale (Auditory Toolbox, 1998): linear to 1 kHz in steps of 200/3 Hz, then 27 equal
# ratios from 1 kHz to 6.4 kHz.
_HZ_PER_MEL = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(frequencies: ArrayLike, *, htk: bool = False) -> Any:
    """Convert frequencies in hertz to mels.

    Parameters
    ----------
    frequencies : float or array_like of any shape
        Frequencies in Hz.
    htk : bool
        Use HTK's formula, ``2595 log10(1 + f / 700)``, instead of Slaney's scale, which is linear
        below 1 kHz and logarithmic above.

    Returns
    -------
    float or ndarray
        Mels, in the shape of `frequencies`.

    Examples
    --------
    >>> hz_to_mel([110, 220, 440])
    array([1.65, 3.3 , 6.6 ])
    """
    hz = np.asanyarray(frequencies)[()]
    if htk:
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    mels = hz / _HZ_PER_MEL
    above = hz >= _KNEE_HZ
    if hz.ndim:
        mels[above] = _KNEE_MEL + np.log(hz[above] / _KNEE_HZ) / _LOG_STEP
    elif above:
        mels = _KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP
    return mels


def mel_to_hz(mels: ArrayLike, *, htk: bool = False) -> Any:
    """Convert mels to frequencies in hertz: the inverse of :func:`hz_to_mel`.

    Parameters
    ----------
    mels : float or array_like of any shape
        Mels.
    htk : bool
        Use HTK's formula instead of Slaney's scale.

    Returns
    -------
    float or ndarray
        Frequencies in Hz, in the shape of `mels`.

    Examples
    --------
    >>> float(mel_to_hz(3))
    200.0
    >>> mel_to_hz([1, 2, 3, 4, 5])
    array([ 66.66666667, 133.33333333, 200.        , 266.66666667,
           333.33333333])
    """
    mel = np.asanyarray(mels)[()]
    if htk:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    hz = _HZ_PER_MEL * mel
    above = mel >= _KNEE_MEL
    if mel.ndim:
        hz[above] = _KNEE_HZ * np.exp(_LOG_STEP * (mel[above] - _KNEE_MEL))
    elif above:
        hz = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return hz


def mel_frequencies(
    n_mels: int = 128, *, fmin: float = 0.0, fmax: float = 11025.0, htk: bool = False
) -> NDArray[np.float64]:
    """Return frequencies spaced evenly on the mel scale.

    Parameters
    ----------
    n_mels : int
        Number of frequencies.
    fmin, fmax : float
        The first and the last, in Hz.
    htk : bool
        Use HTK's formula instead of Slaney's scale.

    Returns
    -------
    ndarray, shape (n_mels,)
        Frequencies in Hz.

    Examples
    --------
    >>> mel_frequencies(4, fmax=8000)
    array([   0.        , 1005.64528123, 2836.39952226, 8000.        ])
    """
    first = hz_to_mel(fmin, htk=htk)
    last = hz_to_mel(fmax, htk=htk)
    frequencies: NDArray[np.float64] = mel_to_hz(np.linspace(first, last, n_mels), htk=htk)
    return frequencies


def fft_frequencies(*, sr: float = 22050, n_fft: int = 2048) -> NDArray[np.floating[Any]]:
    """Return the centre frequency of each bin of a real FFT.

    Parameters
    ----------
    sr : float > 0
        Sampling rate in Hz.
    n_fft : int > 0
        FFT size in samples.

    Returns
    -------
    ndarray, shape (1 + n_fft // 2,)
        Frequencies in Hz, from 0 to the Nyquist frequency.

    Examples
    --------
    >>> fft_frequencies(sr=22050, n_fft=16)
    array([    0.   ,  1378.125,  2756.25 ,  4134.375,  5512.5  ,  6890.625,
            8268.75 ,  9646.875, 11025.   ])
    """
    return np.fft.rfftfreq(n_fft, d=1.0 / sr)
