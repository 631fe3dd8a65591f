"""How loud frequencies are to the ear: the A, B, C and D curves of sound level meters."""

from collections.abc import Callable, Iterable, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmel.arrays import any_array, as_numpy, like
from fastmel.spectrum import power_to_db
from fastmel.util import warn

__all__ = [
    "A_weighting",
    "B_weighting",
    "C_weighting",
    "D_weighting",
    "Z_weighting",
    "frequency_weighting",
    "multi_frequency_weighting",
    "perceptual_weighting",
]

# The poles of the curves in Hz, squared (IEC 61672-1; IEC 537 for D, in its own form).
_A, _B, _C, _D = (
    (np.array(poles) ** 2.0).tolist()
    for poles in (
        [12194.217, 20.598997, 107.65265, 737.86223],
        [12194.217, 20.598997, 158.48932],
        [12194.217, 20.598997],
        [8.3046305e-3, 1018.7, 1039.6, 3136.5, 3424, 282.7, 1160],
    )
)
_LOG_POLE = float(np.log10(_A[0]))
_LOG_D = float(np.log10(_D[0]))


def A_weighting(frequencies: ArrayLike, *, min_db: float | None = -80.0) -> Any:
    """Return the A-weighting of frequencies, for quiet sounds: 0 dB at 1 kHz.

    Parameters
    ----------
    frequencies : float or array_like
        Frequencies in Hz.
    min_db : float, optional
        Raise lower weights to this; None leaves them, and gives -inf at 0 Hz.

    Returns
    -------
    float or ndarray
        Weights in dB, in the shape of `frequencies`.

    Warns
    -----
    UserWarning
        If `min_db` is None and a weight is not finite.

    Examples
    --------
    >>> A_weighting([100, 1000, 10000]).round(1)
    array([-19.1,   0. ,  -2.5])
    """
    weights = _level(_square(frequencies), 2, _A)
    weights += 2.0
    return like(frequencies, _raise_to(min_db, weights, "A"))


def B_weighting(frequencies: ArrayLike, *, min_db: float | None = -80.0) -> Any:
    """Return the B-weighting of frequencies, for sounds of medium loudness: 0 dB at 1 kHz.

    Parameters, result and warning are those of :func:`A_weighting`.

    Examples
    --------
    >>> B_weighting([100, 1000, 10000]).round(1)
    array([-5.6,  0. , -4.3])
    """
    weights = _level(_square(frequencies), 1.5, _B)
    weights += 0.17
    return like(frequencies, _raise_to(min_db, weights, "B"))


def C_weighting(frequencies: ArrayLike, *, min_db: float | None = -80.0) -> Any:
    """Return the C-weighting of frequencies, for loud sounds: 0 dB at 1 kHz.

    Parameters, result and warning are those of :func:`A_weighting`.

    Examples
    --------
    >>> C_weighting([100, 1000, 10000]).round(1)
    array([-0.3,  0. , -4.4])
    """
    weights = _level(_square(frequencies), 1, _C)
    weights += 0.062
    return like(frequencies, _raise_to(min_db, weights, "C"))


def D_weighting(frequencies: ArrayLike, *, min_db: float | None = -80.0) -> Any:
    """Return the D-weighting of frequencies, for the noise of aircraft: 0 dB at 1 kHz.

    Parameters, result and warning are those of :func:`A_weighting`.

    Examples
    --------
    >>> D_weighting([100, 1000, 10000]).round(1)
    array([-7.2, -0. ,  3.4])
    """
    squares = _square(frequencies)
    with np.errstate(divide="ignore"):
        weights = _double(0.5 * np.log10(squares))
    squares = _double(squares)
    weights -= _LOG_D
    weights += 0.5 * (
        np.log10((_D[1] - squares) ** 2 + _D[2] * squares)
        - np.log10((_D[3] - squares) ** 2 + _D[4] * squares)
        - np.log10(_D[5] + squares)
        - np.log10(_D[6] + squares)
    )
    weights *= 20.0
    return like(frequencies, _raise_to(min_db, weights, "D"))


def Z_weighting(frequencies: Sized, *, min_db: float | None = None) -> NDArray[np.float64]:
    """Return no weighting: zeros.

    Parameters
    ----------
    frequencies : sequence
        Frequencies in Hz.
    min_db : float, optional
        Raise lower weights to this.

    Returns
    -------
    ndarray, shape (len(frequencies),)
        Weights in dB.

    Examples
    --------
    >>> Z_weighting([100, 1000, 10000])
    array([0., 0., 0.])
    """
    if type(frequencies) is np.ndarray and min_db is None:
        return np.zeros(len(frequencies))
    weights = np.zeros(len(as_numpy(frequencies)))
    if min_db is not None:
        weights = np.maximum(min_db, weights)
    return like(frequencies, weights)  # type: ignore[no-any-return]


def _square(frequencies: Any) -> Any:
    if type(frequencies) is not np.ndarray:
        frequencies = np.asanyarray(as_numpy(frequencies))[()]
    # the product takes half the time of the power
    return frequencies * frequencies if frequencies.dtype.kind == "f" else frequencies**2.0


def _level(squares: Any, order: float, poles: list[float]) -> Any:
    """Return the response in dB: zeros at 0 Hz, two double poles, and single ones after these."""
    with np.errstate(divide="ignore"):
        level = np.log10(squares)
    if order != 1:
        level *= order
    if squares.dtype != np.float64:
        level, squares = _double(level), _double(squares)
    level += _LOG_POLE
    for pole in poles[:2]:
        level -= np.log10(squares + pole)
    for pole in poles[2:]:
        level -= 0.5 * np.log10(squares + pole)
    level *= 20.0
    return level


def _double(x: Any) -> Any:
    """Return an array of double precision: librosa's poles are, and make every sum with them so."""
    return x.astype(np.float64, copy=False)


def _raise_to(min_db: float | None, weights: Any, kind: str) -> Any:
    if min_db is not None:
        return np.maximum(min_db, weights)
    if not np.all(np.isfinite(weights)):
        warn(
            f"{kind}-weighting returned non-finite values. This is likely due to low (~0 Hz) "
            "frequencies."
        )
    return weights


_CURVES: dict[str | None, Callable[..., Any]] = {
    "A": A_weighting,
    "B": B_weighting,
    "C": C_weighting,
    "D": D_weighting,
    "Z": Z_weighting,
    None: Z_weighting,
}


def frequency_weighting(frequencies: ArrayLike, *, kind: str | None = "A", **kwargs: Any) -> Any:
    """Return a weighting of frequencies by its letter.

    Parameters
    ----------
    frequencies : float or array_like
        Frequencies in Hz.
    kind : {"A", "B", "C", "D", "Z", None}
        The curve; "Z" and None are no weighting.
    **kwargs
        Passed to :func:`A_weighting` or its like: `min_db`.

    Returns
    -------
    float or ndarray
        Weights in dB, in the shape of `frequencies`.

    Raises
    ------
    KeyError
        If there is no such curve.

    Examples
    --------
    >>> frequency_weighting([100, 1000], kind="C").round(1)
    array([-0.3,  0. ])
    """
    return _CURVES[kind.upper() if isinstance(kind, str) else kind](frequencies, **kwargs)


@any_array
def multi_frequency_weighting(
    frequencies: ArrayLike, *, kinds: Iterable[str] = "ZAC", **kwargs: Any
) -> NDArray[Any]:
    """Return several weightings of frequencies.

    Parameters
    ----------
    frequencies : array_like
        Frequencies in Hz.
    kinds : iterable of str
        The curves (see :func:`frequency_weighting`).
    **kwargs
        Passed to :func:`A_weighting` and its like: `min_db`.

    Returns
    -------
    ndarray, shape (n_kinds, ...)
        Weights in dB.

    Examples
    --------
    >>> multi_frequency_weighting([100, 1000], kinds="ZC").round(1)
    array([[ 0. ,  0. ],
           [-0.3,  0. ]])
    """
    return np.stack([frequency_weighting(frequencies, kind=kind, **kwargs) for kind in kinds])


@any_array
def perceptual_weighting(
    S: NDArray[Any], frequencies: ArrayLike, *, kind: str = "A", **kwargs: Any
) -> NDArray[Any]:
    """Convert a power spectrogram to decibels weighted as the ear does.

    Parameters
    ----------
    S : ndarray, shape (..., n_bins, n_frames)
        Power.
    frequencies : array_like, shape (n_bins,)
        The frequencies of the bins in Hz.
    kind : {"A", "B", "C", "D", "Z", None}
        The weighting (see :func:`frequency_weighting`).
    **kwargs
        Passed to :func:`fastmel.power_to_db`.

    Returns
    -------
    ndarray, shape (..., n_bins, n_frames)
        Weighted decibels.

    Examples
    --------
    >>> perceptual_weighting(np.ones((2, 3)), [100, 1000]).round(1)
    array([[-19.1, -19.1, -19.1],
           [  0. ,   0. ,   0. ]])
    """
    offsets = frequency_weighting(frequencies, kind=kind).reshape((-1, 1))
    weighted: NDArray[Any] = offsets + power_to_db(S, **kwargs)
    return weighted
