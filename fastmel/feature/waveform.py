"""Features that need no spectrum: loudness and sign changes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.util import valid_audio

__all__ = ["rms", "zero_crossing_rate"]

#: what librosa passes to its `zero_crossings`; the axis is always the last
_CROSSING_KEYWORDS = {"threshold", "ref_magnitude", "pad", "zero_pos", "axis"}


@any_array
def rms(
    *,
    y: NDArray[Any] | None = None,
    S: NDArray[Any] | None = None,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    pad_mode: Any = "constant",
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Compute the root mean square of each frame of a signal, or of its spectrogram.

    Parameters
    ----------
    y : ndarray, shape (..., samples), optional
        Finite floating-point signal.
    S : ndarray, shape (..., 1 + frame_length // 2, n_frames), optional
        Its magnitude or complex spectrogram, used if `y` is not given; one made with a rectangular
        window gives the root mean square of the samples.
    frame_length : int > 0
        Frame length in samples.
    hop_length : int > 0
        Samples from one frame to the next.
    center : bool
        Pad the signal with ``frame_length // 2`` samples on each side.
    pad_mode : str or callable
        How to pad (see :func:`numpy.pad`).
    dtype : dtype
        Type of the result.

    Returns
    -------
    ndarray, shape (..., 1, n_frames)
        Root mean squares.

    Raises
    ------
    ParameterError
        If neither `y` nor `S` is given, `y` is no signal or shorter than a frame, `frame_length` or
        `hop_length` is not positive, or `frame_length` does not fit `S`.

    Examples
    --------
    >>> float(rms(y=np.ones(8192), center=False)[0, 0])
    1.0
    """
    if y is not None:
        valid_audio(y)
        pad = 0
        if center and pad_mode == "constant":
            pad = int(frame_length // 2)
        elif center:
            y = _pad(y, frame_length, pad_mode)
        return _rms_of_signal(y, pad, frame_length, hop_length, np.dtype(dtype))
    if S is not None:
        return _rms_of_spectrogram(S, frame_length, np.dtype(dtype))
    raise ParameterError("Either `y` or `S` must be input.")


def _rms_of_signal(
    y: NDArray[Any], pad: int, frame_length: int, hop_length: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    from fastmel.kernels.moments import mean_squares

    n_samples = y.shape[-1] + 2 * pad
    n_frames = _count_frames(n_samples, frame_length, hop_length)
    signals = _rows(y, dtype)
    power = np.empty((len(signals), n_frames), signals.dtype)
    block_length = math.gcd(frame_length, hop_length)
    energies = np.empty(n_samples // block_length)
    mean_squares(signals, pad, frame_length, hop_length, block_length, energies, power)
    root = np.sqrt(power, out=power).reshape(*y.shape[:-1], 1, n_frames)
    return root.astype(dtype, copy=False)


def _rms_of_spectrogram(S: NDArray[Any], frame_length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    from fastmel.kernels.moments import spectral_energies, spectral_energies_by_bins

    n_bins, n_frames = S.shape[-2:]
    if n_bins != frame_length // 2 + 1:
        raise ParameterError(
            f"Since S.shape[-2] is {n_bins}, frame_length is expected to be {2 * n_bins - 2} or "
            f"{2 * n_bins - 1}; found {frame_length}"
        )
    magnitude = S if np.isrealobj(S) else np.abs(S)
    pairs = np.full(n_bins, 2.0)  # all bins but the first and Nyquist's stand for two
    pairs[0] /= 2
    if frame_length % 2 == 0:
        pairs[-1] /= 2
    energy: NDArray[np.float64]
    if magnitude.flags.c_contiguous:
        n_rows = math.prod(S.shape[:-2])
        rows = _rows(magnitude, dtype).reshape(n_rows, n_bins, n_frames)
        energy = np.empty((n_rows, n_frames))
        spectral_energies_by_bins(rows, pairs, energy)
    else:
        spectra = _rows(magnitude.swapaxes(-1, -2), dtype)
        energy = np.empty(len(spectra))
        spectral_energies(spectra, pairs, energy)
    root = np.sqrt(energy, out=energy)
    root /= frame_length
    return root.reshape(*S.shape[:-2], 1, n_frames).astype(dtype, copy=False)


@any_array
def zero_crossing_rate(
    y: NDArray[Any],
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    **kwargs: Any,
) -> NDArray[Any]:
    """Compute the share of each frame's samples at which the signal changes its sign.

    Parameters
    ----------
    y : ndarray, shape (..., samples)
        Finite floating-point signal.
    frame_length : int > 0
        Frame length in samples.
    hop_length : int > 0
        Samples from one frame to the next.
    center : bool
        Repeat the first and last sample ``frame_length // 2`` times on each side.
    **kwargs
        `threshold` (1e-10): samples that are not larger count as 0; `ref_magnitude`: a factor of
        it, or a function of the frames' magnitudes that returns the factor; `zero_pos` (True):
        whether 0 counts as positive, else it is a sign of its own; `pad` (False): whether the
        first sample of a frame counts as a crossing.

    Returns
    -------
    ndarray of float64, shape (..., 1, n_frames)
        Crossings per sample.

    Raises
    ------
    ParameterError
        If `y` is no signal or shorter than a frame, `hop_length` is not positive, or the threshold
        is not one number for all frames.

    Examples
    --------
    >>> zero_crossing_rate(np.tile([1.0, -1.0], 8), frame_length=4, hop_length=4, center=False)
    array([[0.75, 0.75, 0.75, 0.75]])
    """
    if unknown := kwargs.keys() - _CROSSING_KEYWORDS:
        raise TypeError(
            f"zero_crossing_rate() got an unexpected keyword argument {min(unknown)!r}; use "
            "threshold, ref_magnitude, pad or zero_pos"
        )
    valid_audio(y)
    if center:
        y = _pad(y, frame_length, "edge")
    n_frames = _count_frames(y.shape[-1], frame_length, hop_length)
    kwargs.pop("axis", None)
    crossed = _count_crossings(y, frame_length, hop_length, **kwargs)
    first = np.arange(n_frames) * hop_length
    count = crossed[..., first + frame_length - 1] - crossed[..., first]
    rate: NDArray[Any] = (count + bool(kwargs.get("pad", False))) / frame_length
    return rate[..., np.newaxis, :]


def _count_crossings(
    y: NDArray[Any],
    frame_length: int,
    hop_length: int,
    *,
    threshold: float = 1e-10,
    ref_magnitude: float | Callable[..., Any] | None = None,
    pad: bool = False,
    zero_pos: bool = True,
) -> NDArray[np.int64]:
    """Count the crossings up to each sample, leaving `pad` to the caller."""
    from fastmel.kernels.moments import crossings

    if callable(ref_magnitude):
        windows = np.lib.stride_tricks.sliding_window_view(y, frame_length, axis=-1)
        threshold *= ref_magnitude(np.abs(windows[..., ::hop_length, :].swapaxes(-1, -2)))
    elif ref_magnitude is not None:
        threshold *= ref_magnitude
    if np.ndim(threshold) != 0:
        raise ParameterError(
            f"threshold * ref_magnitude has shape {np.shape(threshold)}; give one number for all "
            "frames"
        )
    signals = _rows(y, y.dtype)
    counts = np.empty(signals.shape, np.int64)
    crossings(signals, float(threshold), bool(zero_pos), counts)
    return counts.reshape(y.shape)


def _pad(y: NDArray[Any], frame_length: int, mode: Any) -> NDArray[Any]:
    half = int(frame_length // 2)
    return np.pad(y, [(0, 0)] * (y.ndim - 1) + [(half, half)], mode=mode)


def _count_frames(n_samples: int, frame_length: int, hop_length: int) -> int:
    if n_samples < frame_length:
        raise ParameterError(
            f"Input is too short (n={n_samples:d}) for frame_length={frame_length:d}; "
            "use a smaller frame_length or a longer signal"
        )
    if frame_length < 1:
        raise ParameterError(f"Invalid frame_length: {frame_length:d}; it must be at least 1")
    if hop_length < 1:
        raise ParameterError(f"Invalid hop_length: {hop_length:d}; it must be at least 1")
    return int(1 + (n_samples - frame_length) // hop_length)


def _rows(x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return (rows, last axis) in memory order, in double precision if `dtype` is."""
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise TypeError(f"{x.dtype} cannot be turned into {dtype=!s}; use a floating-point dtype")
    real = np.float64 if dtype.itemsize >= 8 else np.float32
    return np.ascontiguousarray(x, real).reshape(math.prod(x.shape[:-1]), x.shape[-1])
