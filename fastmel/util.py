"""Checks and array helpers that the other modules share."""

import sys
import warnings
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fastmel.arrays import any_array, as_numpy, like
from fastmel.exceptions import ParameterError

__all__ = ["fix_length", "frame", "normalize", "pad_center", "valid_audio"]


@any_array
def valid_audio(y: NDArray[Any]) -> bool:
    """Check that `y` is a signal: a floating-point array of at least one axis, finite everywhere.

    Parameters
    ----------
    y : ndarray, shape (..., samples)
        The array to check.

    Returns
    -------
    bool
        True; anything that is not a signal raises.

    Raises
    ------
    ParameterError
        If `y` is not an ndarray, not floating-point, a scalar, or holds NaN or infinity.
    """
    check_audio_form(y)
    # the energy shows NaN and infinity, without a mask as long as the signal, unless it overflows
    flat = y.ravel("K")
    if not (np.isfinite(np.vdot(flat, flat)) or np.isfinite(flat).all()):
        raise ParameterError(
            "Audio buffer is not finite everywhere; replace NaN and infinite samples first"
        )
    return True


def check_audio_form(y: NDArray[Any]) -> None:
    """Make the checks of :func:`valid_audio` that cost no pass over the samples."""
    if not isinstance(y, np.ndarray):
        raise ParameterError(
            f"Audio data must be of type numpy.ndarray, not {type(y).__name__}; "
            "convert it with np.asarray"
        )
    if not np.issubdtype(y.dtype, np.floating):
        raise ParameterError(
            f"Audio data must be floating-point, not {y.dtype}; "
            "scale integer samples to [-1, 1] as float32 first"
        )
    if y.ndim == 0:
        raise ParameterError(f"Audio data must be at least one-dimensional, given {y.shape=}")


def check_positive(name: str, value: Any) -> None:
    """Check that an argument is a whole number above 0."""
    if not isinstance(value, int | np.integer) or value <= 0:
        raise ParameterError(f"{name}={value} must be a positive integer")


def default_hop(n_fft: int, win_length: int | None = None) -> int:
    """Return the hop length of a call that names none: a quarter of the window.

    Parameters
    ----------
    n_fft : int > 0
        Frame length in samples.
    win_length : int > 0, optional
        Length of the window; `n_fft` if not given.

    Returns
    -------
    int
        Samples from one frame to the next, at least 1.

    Raises
    ------
    ParameterError
        If a length is not a positive integer.
    """
    check_positive("n_fft", n_fft)
    if win_length is None:
        win_length = n_fft
    check_positive("win_length", win_length)
    return max(1, int(win_length // 4))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line that called into fastmel, through however many functions of its own."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@any_array
def pad_center(data: NDArray[Any], *, size: int, axis: int = -1, **kwargs: Any) -> NDArray[Any]:
    """Pad an array on both sides of one axis, keeping it in the middle.

    Parameters
    ----------
    data : ndarray
        The array to pad.
    size : int >= data.shape[axis]
        Length of `axis` in the result. An odd rest goes to the end.
    axis : int
        The axis to pad.
    **kwargs
        Passed to :func:`numpy.pad`; the default mode is "constant".

    Returns
    -------
    ndarray
        A padded copy.

    Raises
    ------
    ParameterError
        If `size` is less than the length of `axis`.

    Examples
    --------
    >>> pad_center(np.ones(3), size=6)
    array([0., 1., 1., 1., 0., 0.])
    """
    kwargs.setdefault("mode", "constant")
    n = data.shape[axis]
    before = int((size - n) // 2)
    if before < 0:
        raise ParameterError(f"Target size ({size:d}) must be at least input size ({n:d})")
    lengths = [(0, 0)] * data.ndim
    lengths[axis] = (before, int(size - n - before))
    return np.pad(data, lengths, **kwargs)


def fix_length(data: NDArray[Any], *, size: int, axis: int = -1, **kwargs: Any) -> NDArray[Any]:
    """Cut or pad the end of one axis so that it has exactly `size` entries.

    Parameters
    ----------
    data : ndarray
        The array to cut or pad.
    size : int >= 0
        Length of `axis` in the result.
    axis : int
        The axis to change.
    **kwargs
        Passed to :func:`numpy.pad`; the default mode is "constant".

    Returns
    -------
    ndarray
        A view when `data` is long enough, `data` itself when it fits, a padded copy otherwise.

    Examples
    --------
    >>> fix_length(np.ones(3), size=5)
    array([1., 1., 1., 0., 0.])
    """
    array = as_numpy(data)
    n = array.shape[axis]
    if n > size:
        array = array[(slice(None),) * (axis % array.ndim) + (slice(size),)]
    elif n < size:
        lengths = [(0, 0)] * array.ndim
        lengths[axis] = (0, size - n)
        array = np.pad(array, lengths, **{"mode": "constant", **kwargs})
    return data if array is data else like(data, array)  # type: ignore[no-any-return]


@any_array
def normalize(
    S: NDArray[Any],
    *,
    norm: float | None = np.inf,
    axis: int | None = 0,
    threshold: float | None = None,
    fill: bool | None = None,
) -> NDArray[Any]:
    """Scale an array so that every vector along `axis` has norm 1.

    Parameters
    ----------
    S : ndarray
        The array to normalise; it must be finite.
    norm : {inf, -inf, 0}, float > 0, or None
        Largest magnitude, smallest magnitude, number of non-zeros, p-norm, or no normalisation.
    axis : int or None
        The axis that the norm runs along; None is the whole array.
    threshold : float > 0, optional
        Vectors with a smaller norm are treated as zeros. By default the smallest normal number of
        S's type.
    fill : bool, optional
        What becomes of vectors below the threshold: left as they are (None), zeros (False), or
        constant with norm 1 (True).

    Returns
    -------
    ndarray
        The normalised array, of S's shape and type; S itself if `norm` is None.

    Raises
    ------
    ParameterError
        If S is not finite or an argument is not one of the above.
    """
    S = np.asanyarray(S)
    if threshold is None:
        floating = np.issubdtype(S.dtype, np.inexact)
        threshold = float(np.finfo(S.dtype if floating else np.float32).tiny)
    elif threshold <= 0:
        raise ParameterError(f"threshold={threshold} must be strictly positive")
    if fill not in (None, False, True):
        raise ParameterError(f"fill={fill} must be None or boolean")
    magnitude = S if norm is None else np.abs(S)
    # the largest magnitudes show NaN and infinity without a pass of its own
    shown = np.max(magnitude, axis=axis, keepdims=True) if norm == np.inf else magnitude
    if not np.isfinite(shown).all():
        raise ParameterError("Input must be finite; replace NaN and infinity first")
    if norm is None:
        return S

    filler = 1.0
    if norm == np.inf:
        length = shown.astype(float)
    elif norm == -np.inf:
        length = np.min(magnitude, axis=axis, keepdims=True).astype(float)
    elif norm == 0:
        if fill is True:
            raise ParameterError("Cannot normalize with norm=0 and fill=True; use fill=False")
        length = np.sum(magnitude > 0, axis=axis, keepdims=True, dtype=float)
    elif np.issubdtype(type(norm), np.number) and norm > 0:
        powers = magnitude.astype(float) ** norm
        length = np.sum(powers, axis=axis, keepdims=True) ** (1.0 / norm)
        filler = (magnitude.size if axis is None else magnitude.shape[axis]) ** (-1.0 / norm)
    else:
        raise ParameterError(f"Unsupported norm: {norm!r}; use inf, -inf, 0, a number > 0 or None")

    small = length < threshold
    length[small] = 1.0 if fill is None else np.inf
    normalized = np.empty_like(S)
    np.divide(S, length, out=normalized, casting="unsafe")
    if fill:
        normalized[np.broadcast_to(small, S.shape)] = filler
    return normalized


@any_array
def frame(
    x: NDArray[Any],
    *,
    frame_length: int,
    hop_length: int,
    axis: int = -1,
    writeable: bool = False,
    subok: bool = False,
) -> NDArray[Any]:
    """Cut an array into overlapping frames, without copying it.

    Parameters
    ----------
    x : ndarray, shape (..., samples, ...)
        The array to cut.
    frame_length : int > 0
        Entries of a frame.
    hop_length : int > 0
        Entries from the start of one frame to the next.
    axis : int
        The axis to cut. With a negative one, as by default, the frames are columns; counted from
        the front, they are rows.
    writeable : bool
        Allow writing to the frames, which share memory with each other and with `x`.
    subok : bool
        Keep a subclass of ndarray.

    Returns
    -------
    ndarray, shape (..., frame_length, n_frames, ...) or (..., n_frames, frame_length, ...)
        A view of `x`.

    Raises
    ------
    ParameterError
        If `x` is shorter than a frame, or `hop_length` is less than 1.

    Examples
    --------
    >>> frame(np.arange(6), frame_length=4, hop_length=2)
    array([[0, 2],
           [1, 3],
           [2, 4],
           [3, 5]])
    >>> frame(np.arange(6), frame_length=4, hop_length=2, axis=0)
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """
    x = np.array(x, copy=False, subok=subok)
    if x.shape[axis] < frame_length:
        raise ParameterError(
            f"Input is too short (n={x.shape[axis]:d}) for frame_length={frame_length:d}"
        )
    if hop_length < 1:
        raise ParameterError(f"Invalid hop_length: {hop_length:d}; it must be 1 or more")
    n_frames, stride = 1 + (x.shape[axis] - frame_length) // hop_length, x.strides[axis]
    shape, strides = (frame_length, n_frames), (stride, stride * hop_length)
    if axis >= 0:
        shape, strides = shape[::-1], strides[::-1]
    at = axis % x.ndim
    return as_strided(
        x,
        (*x.shape[:at], *shape, *x.shape[at + 1 :]),
        (*x.strides[:at], *strides, *x.strides[at + 1 :]),
        subok=subok,
        writeable=writeable,
    )
