"""Signals made of signals: emphasis of high frequencies, and silence cut away."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmel.arrays import any_array
from fastmel.convert import frames_to_samples
from fastmel.exceptions import ParameterError
from fastmel.feature import rms
from fastmel.spectrum import amplitude_to_db

__all__ = ["deemphasis", "preemphasis", "split", "trim"]


@any_array
def preemphasis(
    y: NDArray[Any], *, coef: float = 0.97, zi: ArrayLike | None = None, return_zf: bool = False
) -> Any:
    """Raise high frequencies: ``out[t] = y[t] - coef * y[t - 1]``.

    Parameters
    ----------
    y : ndarray, floating-point, shape (..., samples)
        Signal.
    coef : float
        0 changes nothing, 1 is the difference of neighbours.
    zi : float or ndarray, shape (..., 1), optional
        The state before the first sample, ``-coef * y[-1]``; by default ``2 * y[0] - y[1]``.
    return_zf : bool
        Return the state after the last sample too.

    Returns
    -------
    out : ndarray, of y's shape and type
        The signal with its high frequencies raised.
    zf : ndarray, shape (..., 1)
        The state after the last sample, if `return_zf`: the `zi` of the samples that follow.

    Raises
    ------
    ParameterError
        If `zi` has another shape, or there are not two samples to make it of.
    NotImplementedError
        If `y` is not of a type of single or double precision.

    Examples
    --------
    >>> preemphasis(np.array([1.0, 1.0, 2.0]), coef=0.5, zi=0.0)
    array([1. , 0.5, 1.5])
    """
    y = _native(y)
    state = 2 * _first(y) - y[..., 1:2] if zi is None else _state(y, zi)
    weight = y.dtype.type(-coef)
    out = np.empty(y.shape, dtype=y.dtype)
    out[..., :1] = y[..., :1] + state
    np.multiply(y[..., :-1], weight, out=out[..., 1:])
    out[..., 1:] += y[..., 1:]
    if not return_zf:
        return out
    return out, (weight * y[..., -1:] if y.shape[-1] else np.array(state))


@any_array
def deemphasis(
    y: NDArray[Any], *, coef: float = 0.97, zi: ArrayLike | None = None, return_zf: bool = False
) -> Any:
    """Undo :func:`preemphasis`: ``out[t] = y[t] + coef * out[t - 1]``.

    Parameters
    ----------
    y : ndarray, floating-point, shape (..., samples)
        Signal.
    coef : float
        The coefficient that the signal was emphasised with.
    zi : float or ndarray, shape (..., 1), optional
        The state before the first sample, ``coef * out[-1]``; by default what undoes the default of
        :func:`preemphasis`.
    return_zf : bool
        Return the state after the last sample too.

    Returns
    -------
    out : ndarray, of y's shape and type
        The signal with its high frequencies lowered.
    zf : ndarray, shape (..., 1)
        The state after the last sample, if `return_zf`. As in librosa, it is that of a filter that
        began with `zi` or with 0.

    Raises
    ------
    ParameterError
        If `zi` has another shape, or there are not two samples to do without it.
    NotImplementedError
        If `y` is not of a type of single or double precision.

    Examples
    --------
    >>> y = np.array([1.0, 5.0, 2.0, 4.0])
    >>> deemphasis(preemphasis(y)).round(12)
    array([1., 5., 2., 4.])
    """
    from fastmel.kernels.pcen import one_pole

    y = _native(y)
    out = np.empty(y.shape, dtype=y.dtype)
    shape = (*y.shape[:-1], 1)
    working = np.result_type(y.dtype, np.float64)
    state = np.array(np.zeros(shape) if zi is None else _state(y, zi), dtype=working, order="C")
    rows = (math.prod(y.shape[:-1]), y.shape[-1], 1)
    rounded = float(y.dtype.type(coef).real)
    signals = np.ascontiguousarray(y).reshape(rows)
    one_pole(signals, 1.0, rounded, 0.0, state.reshape(rows[0], 1), out.reshape(rows))
    if zi is None and y.size:
        start = ((2 - coef) * _first(y) - y[..., 1:2]) / (3 - coef)
        # its powers end where float64 does, and numbers that small are slow
        n = y.shape[-1] if not 0 < abs(coef) < 1 else 2 - int(746 / math.log(abs(coef)))
        n = min(n, y.shape[-1])
        out[..., :n] -= start * coef ** np.arange(n)
    return (out, state.astype(y.dtype)) if return_zf else out


def _native(y: NDArray[Any]) -> NDArray[Any]:
    """Return a signal of a type that is filtered, in the machine's order of bytes."""
    if y.dtype.char not in "fdFD":
        raise NotImplementedError(
            f"a signal of {y.dtype} is not filtered; convert it to float32 or float64 first"
        )
    return y.astype(y.dtype.newbyteorder("="), copy=False)


def _first(y: NDArray[Any]) -> NDArray[Any]:
    if y.shape[-1] < 2:
        raise ParameterError(f"{y.shape=} has not two samples to start from; give the state zi")
    return y[..., :1]


def _state(y: NDArray[Any], zi: ArrayLike) -> NDArray[Any]:
    """Return the state of each channel, in y's type."""
    state = np.atleast_1d(np.asarray(zi, dtype=y.dtype))
    shape = (*y.shape[:-1], 1)
    if state.ndim == y.ndim:
        with contextlib.suppress(ValueError):
            return np.broadcast_to(state, shape)
    raise ParameterError(f"zi has shape={state.shape}, but expected {shape}")


@any_array
def trim(
    y: NDArray[Any],
    *,
    top_db: float = 60,
    ref: float | Callable[..., Any] = np.max,
    frame_length: int = 2048,
    hop_length: int = 512,
    aggregate: Callable[..., Any] = np.max,
) -> tuple[NDArray[Any], NDArray[np.int_]]:
    """Cut silence from both ends of a signal.

    Parameters
    ----------
    y : ndarray, shape (..., samples)
        Finite floating-point signal.
    top_db : float
        Frames that are more than this below `ref` are silent.
    ref : float or callable
        The reference amplitude (see :func:`fastmel.amplitude_to_db`); by default the loudest frame.
    frame_length, hop_length : int > 0
        Length of a frame and samples from one to the next.
    aggregate : callable
        What joins the channels' levels, called as ``aggregate(levels, axis)``.

    Returns
    -------
    y_trimmed : ndarray, shape (..., n)
        The part that is not silent, a view of `y`.
    index : ndarray of int, shape (2,)
        Where it begins and ends in `y`.

    Raises
    ------
    ParameterError
        If `y` is not finite floating-point audio.

    Examples
    --------
    >>> y = np.concatenate([np.zeros(8192), np.ones(4096), np.zeros(8192)])
    >>> trim(y)[1]
    array([ 7680, 13312])
    """
    sounding = np.flatnonzero(_is_sounding(y, frame_length, hop_length, top_db, ref, aggregate))
    start, end = 0, 0
    if sounding.size:
        start, end = frames_to_samples(sounding[[0, -1]] + [0, 1], hop_length=hop_length).tolist()
        end = min(y.shape[-1], end)
    return y[..., start:end], np.asarray([start, end])


@any_array
def split(
    y: NDArray[Any],
    *,
    top_db: float = 60,
    ref: float | Callable[..., Any] = np.max,
    frame_length: int = 2048,
    hop_length: int = 512,
    aggregate: Callable[..., Any] = np.max,
) -> NDArray[np.int_]:
    """Find the parts of a signal between silences.

    Parameters
    ----------
    y, top_db, ref, frame_length, hop_length, aggregate
        As in :func:`trim`.

    Returns
    -------
    ndarray of int, shape (n_parts, 2)
        Where each part begins and ends in `y`.

    Raises
    ------
    ParameterError
        If `y` is not finite floating-point audio.

    Examples
    --------
    >>> y = np.concatenate([np.ones(4096), np.zeros(8192), np.ones(4096)])
    >>> split(y)
    array([[    0,  5120],
           [11776, 16384]])
    """
    sounding = _is_sounding(y, frame_length, hop_length, top_db, ref, aggregate)
    edges = np.flatnonzero(np.diff(sounding, prepend=False, append=False))
    samples = frames_to_samples(edges, hop_length=hop_length)
    return np.minimum(samples, y.shape[-1]).reshape(-1, 2)  # type: ignore[no-any-return]


def _is_sounding(
    y: NDArray[Any],
    frame_length: int,
    hop_length: int,
    top_db: float,
    ref: float | Callable[..., Any],
    aggregate: Callable[..., Any],
) -> NDArray[np.bool_]:
    """Tell of each frame whether it is less than `top_db` below `ref`."""
    amplitude = rms(y=y, frame_length=frame_length, hop_length=hop_length)[..., 0, :]
    levels = amplitude_to_db(amplitude, ref=ref, top_db=None)
    if levels.ndim > 1:
        levels = np.apply_over_axes(aggregate, levels, range(levels.ndim - 1)).reshape(-1)
    return np.asarray(levels > -top_db)
