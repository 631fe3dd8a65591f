"""Signals from spectra: the inverse short-time Fourier transform, and Griffin and Lim's phases."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec
from fastmel.spectrum import complex_of, frame_window, stft
from fastmel.util import check_positive, default_hop, warn

__all__ = ["griffinlim", "istft"]


@any_array
def istft(
    stft_matrix: NDArray[Any],
    *,
    hop_length: int | None = None,
    win_length: int | None = None,
    n_fft: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    dtype: DTypeLike | None = None,
    length: int | None = None,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Invert a short-time Fourier transform.

    Among all signals, this is the one whose transform is nearest to the given one (Griffin and Lim,
    IEEE Trans. ASSP 32(2), 1984): frames are windowed again, added up where they overlap, and
    divided by the sum of the squared windows.

    Parameters
    ----------
    stft_matrix : ndarray, complex, shape (..., 1 + n_fft // 2, n_frames)
        The transform, as :func:`fastmel.stft` returns it.
    hop_length : int > 0, optional
        Samples from one frame to the next; ``win_length // 4`` if not given.
    win_length : int in [1, n_fft], optional
        Length of the window; `n_fft` if not given.
    n_fft : int > 0, optional
        Frame length in samples; twice the number of bins less one if not given.
    window : str, tuple, float, callable or array_like
        The window of the transform (see :func:`fastmel.filters.get_window`).
    center : bool
        Whether frame ``t`` is centred at sample ``t * hop_length`` or starts there.
    dtype : real dtype, optional
        Type of the signal; float32 for complex64 and float64 for complex128 if not given.
    length : int > 0, optional
        Cut the signal, or pad it with zeros, to this many samples.
    out : ndarray, shape (..., samples), optional
        Where to put the signal.

    Returns
    -------
    ndarray, real, shape (..., samples)
        The signal; `out` if given.

    Raises
    ------
    ParameterError
        If `out` has another shape than the signal, or another argument is none of the above.

    Examples
    --------
    >>> from fastmel import stft
    >>> y = np.sin(np.arange(8000.0))
    >>> bool(np.allclose(istft(stft(y), length=len(y)), y))
    True
    """
    if stft_matrix.ndim < 2:
        raise ParameterError(
            f"a transform has the axes (..., n_bins, n_frames), given {stft_matrix.shape=}"
        )
    *leading, n_bins, n_frames = stft_matrix.shape
    n_fft = 2 * (n_bins - 1) if n_fft is None else n_fft
    check_positive("n_fft", n_fft)
    win_length = n_fft if win_length is None else win_length
    check_positive("win_length", win_length)
    hop_length = default_hop(n_fft, win_length) if hop_length is None else hop_length
    check_positive("hop_length", hop_length)

    start = n_fft // 2 if center else 0
    n_samples = length or n_fft + hop_length * (n_frames - 1) - 2 * start
    shape = (*leading, n_samples)
    if n_samples < 0:
        raise ParameterError(f"{n_frames=} and {length=} leave no signal; give a positive length")
    if out is not None and out.shape != shape:
        raise ParameterError(
            f"Shape mismatch for provided output array out.shape={out.shape} != {shape}"
        )
    real = np.dtype(real_of(stft_matrix.dtype) if dtype is None else dtype)
    target = np.dtype(real if out is None else out.dtype)

    # Single precision serves only where both ends are single.
    single = stft_matrix.dtype.itemsize <= 8 and real.itemsize <= 4 and target.itemsize <= 4
    working = np.float32 if single else np.float64
    y = out
    if y is None or y.dtype != working or not y.flags.c_contiguous:
        y = np.empty(shape, dtype=working)
    from fastmel.engines.inverse import istft as invert

    n_rows = math.prod(leading)
    invert(
        stft_matrix.swapaxes(-1, -2).reshape(n_rows, n_frames, n_bins),
        np.asarray(frame_window(window, win_length, n_fft), dtype=np.float64),
        hop_length,
        start,
        y.reshape(n_rows, n_samples),
    )
    if out is None:
        return y.astype(real, copy=False)
    if y is not out:
        out[...] = y
    return out


def real_of(dtype: np.dtype[Any]) -> Any:
    """Return librosa's type of the signal of a transform: single unless that is double or real."""
    if dtype.kind == "f":
        return dtype
    return np.float64 if dtype == np.complex128 else np.float32


class _Deprecated:
    """Stands for an argument that was not given and should not be."""

    def __repr__(self) -> str:
        return "<DEPRECATED parameter>"


@any_array
def griffinlim(
    S: NDArray[Any],
    *,
    n_iter: int = 32,
    hop_length: int | None = None,
    win_length: int | None = None,
    n_fft: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    dtype: DTypeLike | None = None,
    length: int | None = None,
    pad_mode: str | Callable[..., Any] = "constant",
    momentum: float = 0.99,
    init: str | None = "random",
    rng: Any = None,
    random_state: Any = _Deprecated(),  # noqa: B008
) -> NDArray[Any]:
    """Find a signal for a magnitude spectrogram, by the fast Griffin-Lim algorithm.

    The phases of the transform of the inverse take the place of those before, again and again
    (Griffin and Lim, IEEE Trans. ASSP 32(2), 1984), driven on by their last change (Perraudin,
    Balazs and Søndergaard, WASPAA 2013).

    Parameters
    ----------
    S : ndarray, real, shape (..., 1 + n_fft // 2, n_frames)
        Magnitudes.
    n_iter : int
        Number of rounds.
    hop_length, win_length, n_fft, window, center, dtype, length
        As in :func:`istft`.
    pad_mode : str or callable
        How the transforms pad the signal (see :func:`fastmel.stft`).
    momentum : float >= 0
        How far a change of the transform is carried on; 0 is the original algorithm, and more than
        1 may not converge.
    init : {"random", None}
        The phases to begin with: random ones, or zeros.
    rng : None, int, numpy.random.Generator, numpy.random.RandomState or what makes a Generator
        Where random phases come from.
    random_state : deprecated
        The former name of `rng`.

    Returns
    -------
    ndarray, real, shape (..., samples)
        The signal.

    Raises
    ------
    ParameterError
        If `momentum` is negative, `init` is unknown, `S` is complex, `rng` and `random_state` are
        both given, or an argument is not one that :func:`istft` and :func:`fastmel.stft` take.

    Warns
    -----
    UserWarning
        If `momentum` is greater than 1.
    FutureWarning
        If `random_state` is given.

    Examples
    --------
    >>> from fastmel import stft
    >>> S = np.abs(stft(np.sin(np.arange(8000.0))))
    >>> griffinlim(S, rng=0).shape
    (7680,)
    """
    from fastmel.kernels.overlap import turn

    rng = _generator(rng, random_state)
    if momentum > 1:
        warn(f"Griffin-Lim with momentum={momentum} > 1 can be unstable. Proceed with caution!")
    elif momentum < 0:
        raise ParameterError(f"griffinlim() called with momentum={momentum} < 0; use 0 to 1")
    if init not in ("random", None):
        raise ParameterError(f"init={init} must either be None or 'random'")
    if np.iscomplexobj(S):
        raise ParameterError("S must be real: give the magnitudes, np.abs(S)")
    if n_fft is None:
        n_fft = 2 * (S.shape[-2] - 1)
    framing: dict[str, Any] = {
        "hop_length": hop_length,
        "win_length": win_length,
        "n_fft": n_fft,
        "window": window,
        "center": center,
    }

    # bins side by side, as in what stft makes and istft reads
    magnitudes = np.ascontiguousarray(S.swapaxes(-1, -2), dtype=complex_of(S.dtype)(0).real.dtype)
    frames = np.empty(magnitudes.shape, dtype=complex_of(S.dtype))
    if init is None:
        frames[...] = magnitudes
    else:
        turns = np.ascontiguousarray(rng.random(size=S.shape).swapaxes(-1, -2))
        turn(magnitudes.ravel(), turns.ravel(), frames.reshape(-1).view(magnitudes.dtype))
        del turns
    spectra = frames.swapaxes(-1, -2)

    y = rebuilt = previous = None
    for _ in range(n_iter):
        y = istft(spectra, dtype=dtype, length=length, out=y, **framing)
        rebuilt = stft(y, pad_mode=pad_mode, out=rebuilt, **framing)
        _project(rebuilt, previous, momentum / (1 + momentum), magnitudes, spectra)
        rebuilt, previous = previous, rebuilt
    return istft(spectra, dtype=dtype, length=length, out=y, **framing)


def _generator(rng: Any, random_state: Any) -> Any:
    """Return what ``random`` is asked of."""
    if not isinstance(random_state, _Deprecated):
        if rng is not None:
            raise ParameterError(
                f"Both {random_state=!r} and {rng=!r} were provided. Please use only the rng "
                "parameter."
            )
        warn(
            "griffinlim() keyword argument 'random_state' has been renamed to 'rng' in version "
            "1.0.0.\n\tThis alias will be removed in version 1.2.0.",
            FutureWarning,
        )
        rng = random_state
    return rng if isinstance(rng, np.random.RandomState) else np.random.default_rng(rng)


def _project(
    rebuilt: NDArray[Any],
    previous: NDArray[Any] | None,
    weight: float,
    magnitudes: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Write the magnitudes with the phases of ``rebuilt - weight * previous``."""
    from fastmel.kernels.overlap import give_phases

    if rebuilt.shape != out.shape:
        raise ParameterError(
            f"the signal has {rebuilt.shape[-1]} frames and S has {out.shape[-1]}: give a `length` "
            "that fits S, or none"
        )
    if previous is None:
        previous, weight = rebuilt, 0.0

    def parts(spectra: NDArray[Any]) -> NDArray[Any]:
        flat = spectra.swapaxes(-1, -2).reshape(-1)
        return flat.view(flat.real.dtype)

    give_phases(parts(rebuilt), parts(previous), weight, magnitudes.ravel(), parts(out))
