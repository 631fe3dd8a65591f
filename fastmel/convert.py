"""Scales: hertz and mels, the centres of bands and bins; frames, samples, blocks and seconds."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmel.arrays import as_numpy, like

__all__ = [
    "blocks_to_frames",
    "blocks_to_samples",
    "blocks_to_time",
    "fft_frequencies",
    "frames_to_samples",
    "frames_to_time",
    "hz_to_mel",
    "mel_frequencies",
    "mel_to_hz",
    "samples_like",
    "samples_to_frames",
    "samples_to_time",
    "time_to_frames",
    "time_to_samples",
    "times_like",
]

# Slaney's scale (Auditory Toolbox, 1998): linear to 1 kHz in steps of 200/3 Hz, then 27 equal
# ratios from 1 kHz to 6.4 kHz.
_HZ_PER_MEL = 200.0 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _array(x: ArrayLike) -> NDArray[Any]:
    # A converter takes as long as a call or two. Most are given ndarrays, which have the short way
    # here, and past here where only one operation follows.
    return x if type(x) is np.ndarray else np.asanyarray(as_numpy(x))


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
    hz = _array(frequencies)[()]
    if htk:
        return like(frequencies, 2595.0 * np.log10(1.0 + hz / 700.0))
    mels = hz / _HZ_PER_MEL
    above = hz >= _KNEE_HZ
    if hz.ndim:
        mels[above] = _KNEE_MEL + np.log(hz[above] / _KNEE_HZ) / _LOG_STEP
    elif above:
        mels = _KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP
    return like(frequencies, mels)


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
    mel = _array(mels)[()]
    if htk:
        return like(mels, 700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    hz = _HZ_PER_MEL * mel
    above = mel >= _KNEE_MEL
    if mel.ndim:
        hz[above] = _KNEE_HZ * np.exp(_LOG_STEP * (mel[above] - _KNEE_MEL))
    elif above:
        hz = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return like(mels, hz)


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


def frames_to_samples(frames: ArrayLike, *, hop_length: int = 512, n_fft: int | None = None) -> Any:
    """Return the sample at which each frame starts, or is centred.

    Parameters
    ----------
    frames : int or array_like
        Frame numbers.
    hop_length : int > 0
        Samples from one frame to the next.
    n_fft : int, optional
        Frame length in samples; add half of it, for frames that are not centred by padding.

    Returns
    -------
    int or ndarray of int
        Sample numbers, in the shape of `frames`.

    Examples
    --------
    >>> frames_to_samples([0, 1, 10])
    array([   0,  512, 5120])
    """
    samples = _array(frames) * hop_length
    if n_fft is not None:
        samples = samples + int(n_fft // 2)
    return like(frames, samples.astype(int, copy=False))


def samples_to_frames(
    samples: ArrayLike, *, hop_length: int = 512, n_fft: int | None = None
) -> Any:
    """Return the frame in whose hop each sample lies.

    Parameters
    ----------
    samples : int or array_like
        Sample numbers.
    hop_length : int > 0
        Samples from one frame to the next.
    n_fft : int, optional
        Frame length in samples; subtract half of it first, for frames that are not centred by
        padding.

    Returns
    -------
    int or ndarray of int
        Frame numbers, in the shape of `samples`.

    Examples
    --------
    >>> samples_to_frames([0, 511, 512, 5121])
    array([ 0,  0,  1, 10])
    """
    numbers = _array(samples)
    if n_fft is not None:
        numbers = numbers - int(n_fft // 2)
    return like(samples, (numbers // hop_length).astype(int, copy=False))


def samples_to_time(samples: ArrayLike, *, sr: float = 22050) -> Any:
    """Return the seconds that samples stand at: ``samples / sr``.

    Parameters
    ----------
    samples : int or array_like
        Sample numbers.
    sr : float > 0
        Sampling rate in Hz.

    Returns
    -------
    float or ndarray of float
        Seconds, in the shape of `samples`.

    Examples
    --------
    >>> samples_to_time([0, 11025, 22050])
    array([0. , 0.5, 1. ])
    """
    if type(samples) is np.ndarray:
        return samples / float(sr)
    return like(samples, _array(samples) / float(sr))


def time_to_samples(times: ArrayLike, *, sr: float = 22050) -> Any:
    """Return the last sample at or before each time: ``times * sr`` without the fraction.

    Parameters
    ----------
    times : float or array_like
        Seconds.
    sr : float > 0
        Sampling rate in Hz.

    Returns
    -------
    int or ndarray of int
        Sample numbers, in the shape of `times`.

    Examples
    --------
    >>> time_to_samples([0, 0.5, 1])
    array([    0, 11025, 22050])
    """
    if type(times) is np.ndarray:
        return (times * sr).astype(int)
    return like(times, (_array(times) * sr).astype(int))


def frames_to_time(
    frames: ArrayLike, *, sr: float = 22050, hop_length: int = 512, n_fft: int | None = None
) -> Any:
    """Return the seconds that frames stand at.

    Parameters
    ----------
    frames : int or array_like
        Frame numbers.
    sr : float > 0
        Sampling rate in Hz.
    hop_length, n_fft
        As in :func:`frames_to_samples`.

    Returns
    -------
    float or ndarray of float
        Seconds, in the shape of `frames`.

    Examples
    --------
    >>> frames_to_time([0, 50, 100], sr=16000, hop_length=160)
    array([0. , 0.5, 1. ])
    """
    return samples_to_time(frames_to_samples(frames, hop_length=hop_length, n_fft=n_fft), sr=sr)


def time_to_frames(
    times: ArrayLike, *, sr: float = 22050, hop_length: int = 512, n_fft: int | None = None
) -> Any:
    """Return the frame in whose hop each time lies.

    Parameters
    ----------
    times : float or array_like
        Seconds.
    sr : float > 0
        Sampling rate in Hz.
    hop_length, n_fft
        As in :func:`samples_to_frames`.

    Returns
    -------
    int or ndarray of int
        Frame numbers, in the shape of `times`.

    Examples
    --------
    >>> time_to_frames([0, 0.5, 1], sr=16000, hop_length=160)
    array([  0,  50, 100])
    """
    return samples_to_frames(time_to_samples(times, sr=sr), hop_length=hop_length, n_fft=n_fft)


def blocks_to_frames(blocks: ArrayLike, *, block_length: int) -> Any:
    """Return the first frame of each block of :func:`fastmel.stream`.

    Parameters
    ----------
    blocks : int or array_like
        Block numbers.
    block_length : int > 0
        Frames of a block.

    Returns
    -------
    int or ndarray of int
        Frame numbers, in the shape of `blocks`.

    Examples
    --------
    >>> blocks_to_frames([0, 1, 2], block_length=16)
    array([ 0, 16, 32])
    """
    if type(blocks) is np.ndarray:
        return block_length * blocks
    return like(blocks, block_length * _array(blocks))


def blocks_to_samples(blocks: ArrayLike, *, block_length: int, hop_length: int) -> Any:
    """Return the first sample of each block of :func:`fastmel.stream`.

    Parameters
    ----------
    blocks : int or array_like
        Block numbers.
    block_length : int > 0
        Frames of a block.
    hop_length : int > 0
        Samples from one frame to the next.

    Returns
    -------
    int or ndarray of int
        Sample numbers, in the shape of `blocks`.

    Examples
    --------
    >>> blocks_to_samples([0, 1, 2], block_length=16, hop_length=512)
    array([    0,  8192, 16384])
    """
    frames = blocks_to_frames(blocks, block_length=block_length)
    return frames_to_samples(frames, hop_length=hop_length)


def blocks_to_time(blocks: ArrayLike, *, block_length: int, hop_length: int, sr: float) -> Any:
    """Return the seconds that blocks of :func:`fastmel.stream` begin at.

    Parameters
    ----------
    blocks : int or array_like
        Block numbers.
    block_length : int > 0
        Frames of a block.
    hop_length : int > 0
        Samples from one frame to the next.
    sr : float > 0
        Sampling rate in Hz.

    Returns
    -------
    float or ndarray of float
        Seconds, in the shape of `blocks`.

    Examples
    --------
    >>> blocks_to_time([0, 1, 2], block_length=100, hop_length=160, sr=16000)
    array([0., 1., 2.])
    """
    samples = blocks_to_samples(blocks, block_length=block_length, hop_length=hop_length)
    return samples_to_time(samples, sr=sr)


def samples_like(
    X: NDArray[Any] | float, *, hop_length: int = 512, n_fft: int | None = None, axis: int = -1
) -> NDArray[np.int_]:
    """Return the sample that each frame of some features stands at.

    Parameters
    ----------
    X : ndarray or int
        Features by frame, or the number of frames.
    hop_length, n_fft
        As in :func:`frames_to_samples`.
    axis : int
        The axis of `X` that counts frames.

    Returns
    -------
    ndarray of int, shape (n_frames,)
        Sample numbers.

    Examples
    --------
    >>> samples_like(np.zeros((128, 4)))
    array([   0,  512, 1024, 1536])
    """
    n_frames: Any = X if np.isscalar(X) else as_numpy(X).shape[axis]
    samples = frames_to_samples(np.arange(n_frames), hop_length=hop_length, n_fft=n_fft)
    return like(X, samples)  # type: ignore[no-any-return]


def times_like(
    X: NDArray[Any] | float,
    *,
    sr: float = 22050,
    hop_length: int = 512,
    n_fft: int | None = None,
    axis: int = -1,
) -> NDArray[np.float64]:
    """Return the seconds that each frame of some features stands at.

    Parameters
    ----------
    X : ndarray or int
        Features by frame, or the number of frames.
    sr : float > 0
        Sampling rate in Hz.
    hop_length, n_fft
        As in :func:`frames_to_samples`.
    axis : int
        The axis of `X` that counts frames.

    Returns
    -------
    ndarray of float, shape (n_frames,)
        Seconds.

    Examples
    --------
    >>> times_like(np.zeros((128, 4)), sr=16000, hop_length=160)
    array([0.  , 0.01, 0.02, 0.03])
    """
    samples = samples_like(X, hop_length=hop_length, n_fft=n_fft, axis=axis)
    times: NDArray[np.float64] = samples_to_time(samples, sr=sr)
    return times
