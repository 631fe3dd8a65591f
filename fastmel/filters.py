"""Filter banks and windows."""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmel.arrays import any_array
from fastmel.convert import fft_frequencies, mel_frequencies
from fastmel.exceptions import ParameterError
from fastmel.util import fix_length, normalize, pad_center, warn

__all__ = ["get_window", "mel", "window_sumsquare"]

#: What names a window: see :func:`get_window`.
WindowSpec = str | tuple[Any, ...] | float | Callable[[int], Any] | NDArray[Any] | Sequence[float]

# Windows that are sums of cosines, by the coefficients of 1, cos(x), cos(2x): those that speech
# and music front ends ask for. SciPy's formula, without the quarter of a second that importing
# scipy.signal takes.
_COSINE_SUMS = {
    "hann": (0.5, 0.5),
    "hamming": (0.54, 1.0 - 0.54),
    "blackman": (0.42, 0.50, 0.08),
}


def mel(
    sr: float,
    n_fft: int,
    n_mels: int = 128,
    fmin: float = 0.0,
    fmax: float | None = None,
    htk: bool = False,
    norm: Literal["slaney"] | float | None = "slaney",
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Create a mel filter bank: triangles that sum FFT bins into mel bands.

    Band ``m`` rises from the centre of band ``m - 1`` to its own and falls to the next one's. The
    weights are computed in double precision and rounded once, so they are librosa's bit for bit;
    but bands without width (``fmin == fmax``) are 0 here, and NaN in librosa.
    Arguments may be given by position too, as librosa took them before 0.10.

    Parameters
    ----------
    sr : float > 0
        Sampling rate in Hz.
    n_fft : int > 0
        FFT size in samples.
    n_mels : int >= 0
        Number of bands.
    fmin : float >= 0
        Lower edge of the first band, in Hz.
    fmax : float, optional
        Upper edge of the last band, in Hz; ``sr / 2`` if not given.
    htk : bool
        Space the bands by HTK's formula instead of Slaney's scale.
    norm : {"slaney", None} or number
        "slaney" divides each band by half its width in Hz, None leaves peaks of height 1, a number
        scales each band to that norm (see :func:`fastmel.util.normalize`).
    dtype : dtype
        Type of the weights.

    Returns
    -------
    ndarray, shape (n_mels, 1 + n_fft // 2)
        The filter bank.

    Raises
    ------
    ParameterError
        If `norm` is none of the above, or `n_fft` is negative.

    Warns
    -----
    UserWarning
        If a band is so narrow that no FFT bin falls into it.

    Examples
    --------
    >>> mel(sr=22050, n_fft=2048).shape
    (128, 1025)
    """
    options: tuple[Any, ...] = (sr, n_fft, n_mels, fmin, fmax, htk, norm, dtype)
    make = _bank if all(isinstance(option, Hashable) for option in options) else _bank.__wrapped__
    weights, has_empty = make(*options)
    if has_empty:
        warn_of_empty_bands()
    return weights.copy()


@lru_cache(maxsize=4, typed=True)  # a bank takes ten times as long as its copy
def _bank(
    sr: float,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float | None,
    htk: bool,
    norm: Literal["slaney"] | float | None,
    dtype: DTypeLike,
) -> tuple[NDArray[Any], bool]:
    """Return a bank that must not be written to, and whether it has an empty band."""
    if isinstance(norm, str) and norm != "slaney":
        raise ParameterError(f"Unsupported norm={norm}; use 'slaney', a number or None")
    n_bins = int(1 + n_fft // 2)  # an n_fft that is no number is a TypeError here, as in librosa
    if n_bins < 1:
        raise ParameterError(f"{n_fft=} must be positive")
    bins = fft_frequencies(sr=sr, n_fft=n_fft)[:n_bins]
    edges = mel_frequencies(
        int(n_mels) + 2, fmin=fmin, fmax=float(sr) / 2 if fmax is None else fmax, htk=htk
    )
    weights = triangles(bins, edges, norm, dtype)
    return weights, has_empty_band(weights, edges)


def triangles(
    bins: NDArray[Any],
    edges: NDArray[Any],
    norm: Literal["slaney"] | float | None,
    dtype: DTypeLike,
    *,
    hz: NDArray[Any] | None = None,
    is_symmetric: bool = False,
) -> NDArray[Any]:
    """Return one triangle a row: band m rises from ``edges[m]`` to 1 at the next, and falls again.

    bins: increasing positions of the FFT bins, on the axis of `edges` (Hz or mel); hz: the edges in
    Hz, for "slaney", if that axis is another; is_symmetric: fall as fast as rise, whatever the next
    edge is.
    """
    n_mels = len(edges) - 2
    weights = np.zeros((n_mels, len(bins)), dtype=dtype)
    widths = np.diff(edges)
    left, right = edges[:-2], edges[2:]

    # A bin lies in two bands only, so the triangles are worked out just for the (band, bin) pairs
    # inside a band, about two per bin. The bounds are sorted because fmin may exceed fmax. A bin
    # on a band's left edge is kept, and gets librosa's negative zero.
    at = np.searchsorted(bins, edges)
    first, stop = np.minimum(at[:-2], at[2:]), np.maximum(at[:-2], at[2:])
    counts = stop - first

    def each(of_band: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(of_band, counts)

    band = each(np.arange(n_mels))
    column = np.arange(band.size) + each(stop - np.cumsum(counts))
    position = bins[column]
    rising = -(each(left) - position) / each(widths[:-1])
    if is_symmetric:
        falling = np.maximum(2 - rising, 0)
    else:
        falling = (each(right) - position) / each(widths[1:])
    values = np.minimum(rising, falling).astype(weights.dtype)
    if norm == "slaney":
        hz = edges if hz is None else hz
        values *= 2.0 / each(hz[2:] - hz[:-2])
    weights[band, column] = values
    return weights if norm == "slaney" else normalize(weights, norm=norm, axis=-1)


def has_empty_band(weights: NDArray[Any], edges: NDArray[Any]) -> bool:
    """Tell whether no bin falls into a band; one that begins at 0 is let off, as in librosa."""
    return not np.all((edges[:-2] == 0) | (weights.max(axis=1) > 0))


def warn_of_empty_bands() -> None:
    """Warn in librosa's words that a band has no bin."""
    warn(
        "Empty filters detected in mel frequency basis. Some channels will produce empty "
        "responses. Try increasing your sampling rate (and fmax) or reducing n_mels."
    )


@any_array
def get_window(window: WindowSpec, Nx: int, *, fftbins: bool = True) -> NDArray[Any]:
    """Return a window of `Nx` samples.

    Parameters
    ----------
    window : str, tuple, float, callable or array_like
        - a name or a (name, parameter) tuple of :func:`scipy.signal.get_window`, or a number: the
          beta of a Kaiser window;
        - a function that is called with `Nx`;
        - the `Nx` samples themselves.
    Nx : int > 0
        Length in samples.
    fftbins : bool
        For named windows: periodic (True, for spectral analysis) or symmetric (False, for filter
        design).

    Returns
    -------
    ndarray, shape (Nx,)
        The window, float64 if named.

    Raises
    ------
    ParameterError
        If `window` has another length than `Nx`, or is none of the above.
    ValueError
        If SciPy does not know the name.

    Examples
    --------
    >>> get_window("hann", 4)
    array([0. , 0.5, 1. , 0.5])
    """
    samples: NDArray[Any]
    if callable(window):
        samples = window(Nx)
    elif isinstance(window, str) and window in _COSINE_SUMS and isinstance(Nx, int) and Nx > 1:
        samples = _cosine_sum(_COSINE_SUMS[window], Nx, periodic=bool(fftbins))
    elif isinstance(window, str | tuple) or np.isscalar(window):
        from scipy.signal import get_window as scipy_window

        samples = scipy_window(window, Nx, fftbins=fftbins)
    elif isinstance(window, np.ndarray | list):
        if len(window) != Nx:
            raise ParameterError(
                f"Window size mismatch: {len(window):d} != {Nx:d}; "
                f"give {Nx:d} samples or the name of a window"
            )
        samples = np.asarray(window)
    else:
        raise ParameterError(
            f"Invalid window specification: {window!r}; use a name, a (name, parameter) tuple, "
            "a number, a function or an array"
        )
    return samples


def _cosine_sum(coefficients: tuple[float, ...], n: int, *, periodic: bool) -> NDArray[np.float64]:
    phase = np.linspace(-np.pi, np.pi, n + periodic)
    window = np.zeros(n + periodic)
    for k, coefficient in enumerate(coefficients):
        window += coefficient * np.cos(k * phase)
    return window[:n]


@any_array
def window_sumsquare(
    *,
    window: WindowSpec,
    n_frames: int,
    hop_length: int = 512,
    win_length: int | None = None,
    n_fft: int = 2048,
    dtype: DTypeLike = np.float32,
    norm: float | None = None,
) -> NDArray[Any]:
    """Sum the squared windows of overlapping frames: what an inverse STFT has to divide by.

    Parameters
    ----------
    window : str, tuple, float, callable or array_like
        The window (see :func:`get_window`).
    n_frames : int >= 0
        Number of frames.
    hop_length : int > 0
        Samples from one frame to the next.
    win_length : int in [1, n_fft], optional
        Length of the window, which is zero-padded to `n_fft`; `n_fft` if not given.
    n_fft : int > 0
        Frame length in samples.
    dtype : dtype
        Type of the result.
    norm : number or None
        Scale the window to this norm first (see :func:`fastmel.util.normalize`).

    Returns
    -------
    ndarray, shape (n_fft + hop_length * (n_frames - 1),)
        The sum at each sample.

    Raises
    ------
    ParameterError
        If the window is longer than `n_fft`, or one that :func:`get_window` does not know.

    Examples
    --------
    >>> window_sumsquare(window="hann", n_frames=3, hop_length=2, n_fft=4, dtype=float)
    array([0.  , 0.25, 1.  , 0.5 , 1.  , 0.5 , 1.  , 0.25])
    """
    window = get_window(window, n_fft if win_length is None else win_length)
    squares = pad_center(normalize(window, norm=norm) ** 2, size=n_fft)
    # By columns of one hop: a frame adds its column i to the sums' column (frame + i), and from the
    # last i to the first a column gets its frames in their order. All columns that no frame is
    # missing from are equal, so few frames show every kind of column.
    n_overlapping = -(-n_fft // hop_length)
    columns = fix_length(squares, size=n_overlapping * hop_length).reshape(-1, hop_length)
    few = min(n_frames, n_overlapping)
    sums = np.zeros((few + n_overlapping - 1, hop_length), dtype=dtype)
    for i in reversed(range(n_overlapping)):
        sums[i : i + few] += columns[i]
    column = np.arange(n_frames + n_overlapping - 1)
    kind = np.maximum(np.minimum(column, n_overlapping - 1), column - (n_frames - few))
    return sums[kind].reshape(-1)[: n_fft + hop_length * (n_frames - 1)]
