"""Features over time: slopes, and frames beside their past."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError

__all__ = ["delta", "stack_memory"]


@any_array
def delta(
    data: NDArray[Any],
    *,
    width: int = 9,
    order: int = 1,
    axis: int = -1,
    mode: str = "interp",
    **kwargs: Any,
) -> NDArray[Any]:
    """Estimate a derivative along time by fitting polynomials (Savitzky and Golay 1964).

    Parameters
    ----------
    data : ndarray, shape (..., n_frames)
        Features.
    width : odd int >= 3
        Number of frames of a fit; with ``mode="interp"`` not more than there are.
    order : int > 0
        1 for the slope, 2 for its slope, and so on.
    axis : int
        The axis of time.
    mode : {"interp", "nearest", "mirror", "constant", "wrap"}
        What is done at the ends (see :func:`scipy.signal.savgol_filter`).
    **kwargs
        Passed to :func:`scipy.signal.savgol_filter`; `polyorder` is `order` by default.

    Returns
    -------
    ndarray, of data's shape
        The derivative, in units of data per frame.

    Raises
    ------
    ParameterError
        If `width` or `order` is none of the above.
    ValueError
        With ``mode="interp"``, if the first or last `width` frames hold NaN or infinity.

    Examples
    --------
    >>> np.round(delta(np.arange(12.0) * 3), 6)
    array([3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3., 3.])
    """
    data = np.atleast_1d(data)
    if mode == "interp" and width > data.shape[axis]:
        raise ParameterError(
            f"when mode='interp', {width=} cannot exceed data.shape[axis]={data.shape[axis]}; "
            "use a smaller width or mode='nearest'"
        )
    if width < 3 or width % 2 != 1:
        raise ParameterError(f"{width=} must be an odd integer >= 3")
    if order <= 0 or not isinstance(order, int | np.integer):
        raise ParameterError(f"{order=} must be a positive integer")
    kwargs = {"polyorder": order} | kwargs | {"deriv": order}
    is_last = axis in (-1, data.ndim - 1)
    plain = mode == "interp" and is_last and kwargs.keys() == {"polyorder", "deriv"}
    plain = plain and data.dtype in (np.float32, np.float64) and data.size > 0
    # SciPy has its own error for a fit to NaN or infinity
    if plain and np.isfinite(data[..., :width]).all() and np.isfinite(data[..., -width:]).all():
        return _fitted(data, _fits(width, kwargs["polyorder"], order))
    from scipy.signal import savgol_filter

    slopes: NDArray[Any] = savgol_filter(data, width, axis=axis, mode=mode, **kwargs)
    return slopes


@lru_cache(maxsize=16)
def _fits(width: int, polyorder: int, order: int) -> NDArray[np.float64]:
    """Return the weights of a window's frames in the derivative at each of them: (width, width)."""
    from scipy.signal import savgol_coeffs

    places = range(width)
    return np.array(
        [savgol_coeffs(width, polyorder, deriv=order, pos=at, use="dot") for at in places]
    )


def _fitted(data: NDArray[Any], fits: NDArray[np.float64]) -> NDArray[Any]:
    """Differentiate along the last axis, at the ends by the fits to the first and last window."""
    from fastmel.kernels.slopes import mirror_filter

    width = len(fits)
    half, n_frames = width // 2, data.shape[-1]
    rows = np.ascontiguousarray(data).reshape(-1, n_frames)
    slopes = np.empty_like(rows)
    middle, after = fits[half, half], fits[half, half + 1 :]
    sign = np.sign(fits[half, 0] * fits[half, -1])  # even derivatives have even weights
    mirror_filter(rows, middle, np.ascontiguousarray(after), sign, np.empty(n_frames), slopes)
    slopes[:, :half] = rows[:, :width] @ fits[:half].T
    slopes[:, n_frames - half :] = rows[:, n_frames - width :] @ fits[half + 1 :].T
    return slopes.reshape(data.shape)


@any_array
def stack_memory(
    data: NDArray[Any], *, n_steps: int = 2, delay: int = 1, **kwargs: Any
) -> NDArray[Any]:
    """Put each frame on top of the frames before it.

    Parameters
    ----------
    data : ndarray, shape (..., n_features, n_frames)
        Features; a vector is taken as one feature.
    n_steps : int > 0
        Number of frames on top of each other.
    delay : int != 0
        Frames from one to the next: into the past if positive, into the future if negative.
    **kwargs
        How to pad, as in :func:`numpy.pad`; zeros by default.

    Returns
    -------
    ndarray, shape (..., n_steps * n_features, n_frames)
        Frame ``t``, ``t - delay``, ``t - 2 * delay`` and so on in each column.

    Raises
    ------
    ParameterError
        If `n_steps` or `delay` is none of the above, or there are no frames.

    Examples
    --------
    >>> stack_memory(np.arange(-3, 3), n_steps=3)
    array([[-3, -2, -1,  0,  1,  2],
           [ 0, -3, -2, -1,  0,  1],
           [ 0,  0, -3, -2, -1,  0]])
    """
    if n_steps < 1:
        raise ParameterError(f"{n_steps=} must be a positive integer")
    if delay == 0:
        raise ParameterError(f"{delay=} must be a non-zero integer")
    data = np.atleast_2d(data)
    n_features, n_frames = data.shape[-2:]
    if n_frames < 1:
        raise ParameterError(
            f"Cannot stack memory when input data has no columns. Given {data.shape=}"
        )
    kwargs.setdefault("mode", "constant")
    length = (n_steps - 1) * abs(delay)
    ends = (length, 0) if delay > 0 else (0, length)
    padded = np.pad(data, [(0, 0)] * (data.ndim - 1) + [ends], **kwargs)
    stacked = np.empty_like(padded, shape=(*data.shape[:-2], n_steps * n_features, n_frames))
    for step in range(n_steps):
        start = ends[0] - step * delay
        rows = slice(step * n_features, (step + 1) * n_features)
        stacked[..., rows, :] = padded[..., start : start + n_frames]
    return stacked
