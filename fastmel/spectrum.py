"""Spectra and their levels: the Fourier transform by frames, polar form, decibels, PCEN."""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec, get_window
from fastmel.util import check_audio_form, check_positive, default_hop, pad_center, warn

__all__ = [
    "amplitude_to_db",
    "db_to_amplitude",
    "db_to_power",
    "magphase",
    "pcen",
    "power_to_db",
    "stft",
]

#: by type, for the types that the kernels work on
_SMALLEST_NORMAL = {np.dtype(t): float(np.finfo(t).tiny) for t in (np.float32, np.float64)}

_PAD_MODES = ("constant", "edge", "linear_ramp", "reflect", "symmetric", "empty")

Axes = Literal["auto"] | int | tuple[int, ...] | None


@any_array
def stft(
    y: NDArray[Any],
    *,
    n_fft: int = 2048,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    dtype: DTypeLike | None = None,
    pad_mode: str | Callable[..., Any] = "constant",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute the short-time Fourier transform: one windowed real FFT per frame.

    Parameters
    ----------
    y : ndarray, shape (..., samples)
        Finite floating-point signal.
    n_fft : int > 0
        Frame length and FFT size in samples.
    hop_length : int > 0, optional
        Samples from one frame to the next; ``win_length // 4`` if not given.
    win_length : int in [1, n_fft], optional
        Length of the window, which is zero-padded to `n_fft` in the middle of the frame; `n_fft` if
        not given.
    window : str, tuple, float, callable or array_like
        The window (see :func:`fastmel.filters.get_window`).
    center : bool
        Pad the signal with ``n_fft // 2`` samples on each side, so that frame ``t`` is centred at
        sample ``t * hop_length``; otherwise it starts there.
    dtype : complex dtype, optional
        Type of the result; complex64 for float32 and complex128 for float64 signals if not given.
    pad_mode : str or callable
        How to pad: "constant" (zeros), "edge", "linear_ramp", "reflect", "symmetric", "empty", or a
        function (see :func:`numpy.pad`).
    out : ndarray, complex, shape (..., 1 + n_fft // 2, >= n_frames), optional
        Where to put the result.

    Returns
    -------
    ndarray, complex, shape (..., 1 + n_fft // 2, n_frames)
        The transform, the bins of a frame side by side in memory; `out`, or the part of it that
        was filled, if given.

    Raises
    ------
    ParameterError
        If `y` is not finite floating-point audio, is shorter than an uncentred frame, or another
        argument is none of the above.

    Warns
    -----
    UserWarning
        If the signal is shorter than a frame.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    >>> D = stft(y, n_fft=512, hop_length=128)
    >>> D.shape
    (257, 126)
    >>> int(abs(D[:, 60]).argmax())  # 1000 Hz / (16000 Hz / 512)
    32
    """
    check_positive("n_fft", n_fft)
    win_length = n_fft if win_length is None else win_length
    check_positive("win_length", win_length)
    hop_length = default_hop(n_fft, win_length) if hop_length is None else hop_length
    check_positive("hop_length", hop_length)
    check_framing(y, n_fft, center, pad_mode)
    window = frame_window(window, win_length, n_fft)
    n_samples = y.shape[-1] + (2 * (n_fft // 2) if center else 0)
    n_frames = 1 + (n_samples - n_fft) // hop_length
    shape = (*y.shape[:-1], 1 + n_fft // 2, n_frames)

    if out is not None:
        out = _check_out(out, shape)
        dtype = out.dtype
    dtype = np.dtype(complex_of(y.dtype) if dtype is None else dtype)

    # Single precision serves only where both ends are single: librosa computes in double.
    single = y.itemsize <= 4 and dtype.itemsize <= 8
    real, complex_ = (np.float32, np.complex64) if single else (np.float64, np.complex128)
    frames = None if out is None else out.swapaxes(-1, -2)
    if frames is None or frames.dtype != complex_ or not frames.flags.c_contiguous:
        frames = np.empty((*y.shape[:-1], n_frames, shape[-2]), complex_)
    if frames.size:
        from fastmel import engines

        n_rows = math.prod(y.shape[:-1])
        engines.stft(
            np.ascontiguousarray(y, real).reshape(n_rows, y.shape[-1]),
            window=window,
            n_fft=n_fft,
            hop_length=hop_length,
            center=center,
            pad_mode=pad_mode,
            out=frames.reshape(n_rows, n_frames, shape[-2]),
        )
    spectra: NDArray[Any] = frames.swapaxes(-1, -2)
    if out is None:
        return spectra.astype(dtype, copy=False)
    if not np.may_share_memory(out, frames):
        out[...] = spectra
    return out


def check_framing(
    y: NDArray[Any], n_fft: int, center: bool, pad_mode: str | Callable[..., Any]
) -> None:
    """Check that `y` can be cut into frames; warn if it is shorter than one and gets padded."""
    check_audio_form(y)
    n_samples = y.shape[-1]
    if center:
        if not callable(pad_mode) and pad_mode not in _PAD_MODES:
            raise ParameterError(
                f"{pad_mode=} is not supported by stft; use a function or one of "
                f"{', '.join(_PAD_MODES)}"
            )
        if n_samples == 0 and pad_mode not in ("constant", "empty"):
            raise ParameterError(
                f"an empty signal cannot be padded with {pad_mode=}; use pad_mode='constant'"
            )
        if n_fft > n_samples:
            warn(f"n_fft={n_fft} is too large for input signal of length={n_samples}")
        n_samples += 2 * (n_fft // 2)
    if n_samples < n_fft:
        raise ParameterError(
            f"n_fft={n_fft} is too large for {'' if center else 'uncentered '}analysis of input "
            f"signal of length={y.shape[-1]}; use a smaller n_fft or a longer signal"
        )


def complex_of(real: np.dtype[Any]) -> type[np.complexfloating[Any, Any]]:
    """Return the type of the spectrum of real samples: as in librosa, double only of double."""
    return np.complex128 if real == np.float64 else np.complex64


def frame_window(window: WindowSpec, win_length: int, n_fft: int) -> NDArray[Any]:
    if win_length > n_fft:
        raise ParameterError(
            f"{win_length=} must not exceed {n_fft=}: a window longer than a frame does not fit"
        )
    if isinstance(window, str):
        return _named_window(window, int(win_length), int(n_fft))
    return pad_center(get_window(window, win_length), size=n_fft)


@lru_cache(maxsize=16)
def _named_window(name: str, win_length: int, n_fft: int) -> NDArray[Any]:
    window = pad_center(get_window(name, win_length), size=n_fft)
    window.flags.writeable = False
    return window


def _check_out(out: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the part of `out` that a result of this shape fills."""
    if out.shape[:-1] != shape[:-1] or out.shape[-1] < shape[-1]:
        raise ParameterError(
            f"Shape mismatch for provided output array out.shape={out.shape} and target "
            f"shape={shape}; only the last axis may be longer"
        )
    if not np.iscomplexobj(out):
        raise ParameterError(f"output with dtype={out.dtype} is not of complex type")
    return out if out.shape == shape else out[..., : shape[-1]]


@any_array
def magphase(D: NDArray[Any], *, power: float = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split a complex spectrogram into magnitude and phase: ``D = magnitude * phase``.

    Parameters
    ----------
    D : ndarray, complex, any shape
        Spectrogram.
    power : float
        Exponent of the magnitude: 1 for energy, 2 for power.

    Returns
    -------
    magnitude : ndarray, real, of D's shape
        ``abs(D) ** power``.
    phase : ndarray, complex, of D's shape
        ``D / abs(D)``, and 1 where D is zero.

    Examples
    --------
    >>> magnitude, phase = magphase(np.array([3 + 4j, 0]))
    >>> magnitude
    array([5., 0.])
    >>> phase
    array([0.6+0.8j, 1. +0.j ])
    """
    if isinstance(D, np.ndarray) and D.ndim and D.dtype in (np.complex64, np.complex128):
        from fastmel.kernels.polar import polar

        D = _dense(D)
        magnitude, phase = np.empty_like(D, D.real.dtype), np.empty_like(D)
        pairs, phase_pairs = (z.ravel("K").view(magnitude.dtype) for z in (D, phase))
        polar(pairs, magnitude.ravel("K"), phase_pairs)
    else:
        magnitude = np.abs(D)
        zero = magnitude == 0
        divisor = magnitude + zero
        phase = np.empty_like(D, D.dtype if np.iscomplexobj(D) else complex_of(D.dtype))
        phase.real = D.real / divisor + zero
        phase.imag = D.imag / divisor
    if power != 1:
        magnitude **= power
    return magnitude, phase


@any_array
def power_to_db(
    S: ArrayLike,
    *,
    ref: float | Callable[..., Any] = 1.0,
    amin: float = 1e-10,
    top_db: float | None = 80.0,
    axes: Axes = "auto",
) -> Any:
    """Convert power to decibels: ``10 log10(S / ref)``.

    Parameters
    ----------
    S : array_like
        Power, for example a (..., n_mels, n_frames) mel spectrogram.
    ref : float or callable
        The power that becomes 0 dB. A function is called as ``ref(S, axis=axes, keepdims=True)``:
        `numpy.max` makes each channel's peak 0 dB.
    amin : float > 0
        Smaller powers, and a smaller `ref`, are raised to this.
    top_db : float >= 0, optional
        Raise levels to at least this much below the peak of their channel; None raises none.
    axes : "auto", int, tuple of int, or None
        The axes of one channel: the last two ("auto"; the only one of a vector), or all (None).

    Returns
    -------
    ndarray or float
        Decibels, in S's shape and floating-point type.

    Raises
    ------
    ParameterError
        If `amin` or `top_db` is out of range, or `ref` does not take `axis` and `keepdims`.

    Warns
    -----
    UserWarning
        If `S` is complex: only its magnitude is used.

    Examples
    --------
    >>> power_to_db(np.array([1.0, 10.0, 100.0, 0.0]), ref=np.max)
    array([-20., -10.,   0., -80.])
    """
    S = _magnitude_of_complex(S, "power_to_db", "np.abs(D)**2")
    return _to_db(S, False, ref, amin, top_db, axes)


@any_array
def amplitude_to_db(
    S: ArrayLike,
    *,
    ref: float | Callable[..., Any] = 1.0,
    amin: float = 1e-5,
    top_db: float | None = 80.0,
    axes: Axes = "auto",
) -> Any:
    """Convert amplitude to decibels: ``20 log10(abs(S) / ref)``.

    Parameters
    ----------
    S : array_like
        Amplitude, for example the magnitude of an STFT.
    ref : float or callable
        The amplitude that becomes 0 dB; a function is called as in :func:`power_to_db`.
    amin : float > 0
        Smaller amplitudes, and a smaller `ref`, are raised to this.
    top_db : float >= 0, optional
        Raise levels to at least this much below the peak of their channel; None raises none.
    axes : "auto", int, tuple of int, or None
        The axes of one channel (see :func:`power_to_db`).

    Returns
    -------
    ndarray or float
        Decibels, in S's shape and floating-point type.

    Raises
    ------
    ParameterError
        If `amin` or `top_db` is out of range, or `ref` does not take `axis` and `keepdims`.

    Warns
    -----
    UserWarning
        If `S` is complex: only its magnitude is used.

    Examples
    --------
    >>> amplitude_to_db(np.array([1.0, -10.0, 0.1, 0.0]), top_db=None)
    array([   0.,   20.,  -20., -100.])
    """
    S = _magnitude_of_complex(S, "amplitude_to_db", "np.abs(S)")
    return _to_db(S, True, ref, amin, top_db, axes)


def _magnitude_of_complex(S: ArrayLike, caller: str, remedy: str) -> NDArray[Any]:
    S = np.asarray(S)
    if not np.iscomplexobj(S):
        return S
    warn(
        f"{caller} was called on complex input so phase information will be discarded. "
        f"To suppress this warning, call {caller}({remedy}) instead."
    )
    return np.asarray(np.abs(S))


def _to_db(
    S: NDArray[Any],
    amplitude: bool,
    ref: float | Callable[..., Any],
    amin: float,
    top_db: float | None,
    axes: Axes,
) -> Any:
    if amin <= 0:
        raise ParameterError(f"amin={amin} must be strictly positive")
    if top_db is not None and top_db < 0:
        raise ParameterError(f"top_db={top_db} must be non-negative")
    if axes == "auto":
        axes = tuple(range(-min(S.ndim, 2), 0)) or None
    if not callable(ref):
        reference = np.abs(ref)
    else:
        try:
            reference = ref(np.abs(S) if amplitude else S, axis=axes, keepdims=True)
        except TypeError as error:
            raise ParameterError(
                f"the reference function {ref!r} must take 'axis' and 'keepdims' arguments, as "
                "np.max and np.median do, so that every channel has its own reference"
            ) from error

    S = _dense(S)
    own = _count_own_axes(S, axes)
    one_or_each = ((), S.shape[: S.ndim - own] + (1,) * own)
    # an amin or a top_db that is not a plain number takes part in deciding the result's type
    plain = type(amin) in (int, float) and type(top_db) in (int, float, type(None))
    if own and plain and np.shape(reference) in one_or_each and amin >= _SMALLEST_NORMAL[S.dtype]:
        peaks = reference if ref is np.max else None
        return _channels_to_db(S, own, amplitude, reference, amin, top_db, peaks)
    factor = 20.0 if amplitude else 10.0
    db = factor * np.log10(np.maximum(amin, np.abs(S) if amplitude else S))
    db -= factor * np.log10(np.maximum(amin, reference))
    if top_db is not None and not (S.ndim == 0 and plain):  # a number is its own peak
        db = np.maximum(db, db.max(axis=axes, keepdims=True) - top_db)
    return db[()]


def _count_own_axes(S: NDArray[Any], axes: int | tuple[int, ...] | None) -> int:
    """Count the axes of a channel, 0 if the kernel cannot take it as one run of memory."""
    if S.dtype not in _SMALLEST_NORMAL or S.size == 0:
        return 0
    if axes is None:
        return S.ndim
    axes = (axes,) if isinstance(axes, int) else axes
    own = len(axes)
    # the comparison costs less than the sorting, and holds for "auto"
    if axes != tuple(range(-own, 0)) and (
        sorted(a - S.ndim if a >= 0 else a for a in axes) != list(range(-own, 0))
    ):
        return 0
    if own in (0, S.ndim):
        return own
    return own if min(S.strides[:-own]) >= max(S.strides[-own:]) else 0


def _channels_to_db(
    S: NDArray[Any],
    own: int,
    amplitude: bool,
    reference: Any,
    amin: float,
    top_db: float | None,
    peaks: Any,
) -> NDArray[Any]:
    """Convert the last `own` axes at a time; peaks: the largest value of each channel, if known."""
    from fastmel.kernels.decibel import decibels

    real = S.dtype.type
    amin = float(real(amin))
    floor = float(real((20 if amplitude else 10) * math.log10(amin)))

    def levels(values: Any) -> list[float]:
        """Return the decibels of references or peaks to the bit that they have in the array."""
        values = np.asarray(values, real).ravel()
        out = np.empty_like(values)
        decibels(values, amplitude, amin, floor, 0.0, -math.inf, out)
        return list(out.tolist())

    leading = S.shape[: S.ndim - own]
    channels = list(product(*map(range, leading)))
    bottoms = [-math.inf] * len(channels)
    references = levels(reference)
    if len(references) == 1:
        references *= len(channels)
    if top_db is not None:
        if peaks is None:
            axes = tuple(range(-own, 0)) if leading else None  # None takes a third of the time
            peaks = S.max(axis=axes)
            if amplitude:
                peaks = np.maximum(peaks, -S.min(axis=axes))
        bottoms = [
            peak - zero - top_db for peak, zero in zip(levels(peaks), references, strict=True)
        ]

    db: NDArray[Any] = np.empty_like(S)
    for channel, zero, bottom in zip(channels, references, bottoms, strict=True):
        if math.isnan(bottom):
            db[channel] = bottom  # as np.maximum has it: with NaN in a channel, its peak is NaN
        else:
            x, out = S[channel].ravel("K"), db[channel].ravel("K")
            decibels(x, amplitude, amin, floor - zero, -zero, bottom, out)
    return db


def _dense(x: NDArray[Any]) -> NDArray[Any]:
    """Return an array without gaps, laid out as NumPy lays out a result made of `x`."""
    return x if x.flags.forc else x.copy(order="K")


@any_array
def db_to_power(S_db: ArrayLike, *, ref: float = 1.0) -> Any:
    """Convert decibels to power: ``ref * 10 ** (S_db / 10)``.

    Parameters
    ----------
    S_db : array_like
        Decibels.
    ref : float
        The power at 0 dB.

    Returns
    -------
    ndarray or float
        Power, in S_db's shape and floating-point type.

    Examples
    --------
    >>> db_to_power(np.array([-20.0, 0.0, 10.0]))
    array([ 0.01,  1.  , 10.  ])
    """
    return ref * np.power(10.0, np.asanyarray(S_db)[()] * 0.1)


@any_array
def db_to_amplitude(S_db: ArrayLike, *, ref: float = 1.0) -> Any:
    """Convert decibels to amplitude: ``ref * 10 ** (S_db / 20)``.

    Parameters
    ----------
    S_db : array_like
        Decibels.
    ref : float
        The amplitude at 0 dB.

    Returns
    -------
    ndarray or float
        Amplitude, in S_db's shape and floating-point type.

    Examples
    --------
    >>> db_to_amplitude(np.array([-20.0, 0.0, 20.0]))
    array([ 0.1,  1. , 10. ])
    """
    return db_to_power(S_db, ref=ref**2) ** 0.5


@any_array
def pcen(
    S: NDArray[Any],
    *,
    sr: float = 22050,
    hop_length: int = 512,
    gain: float = 0.98,
    bias: float = 2,
    power: float = 0.5,
    time_constant: float = 0.4,
    eps: float = 1e-6,
    b: float | None = None,
    max_size: int = 1,
    ref: NDArray[Any] | None = None,
    axis: int = -1,
    max_axis: int | None = None,
    zi: NDArray[Any] | None = None,
    return_zf: bool = False,
) -> Any:
    """Normalise the energy of each channel: ``(S / (eps + M)**gain + bias)**power - bias**power``.

    M is S smoothed over time, ``M[t] = (1 - b) M[t - 1] + b S[t]``. The result has less of the
    background and of the loudness (Wang et al., ICASSP 2017; Lostanlen et al., IEEE SPL 26(1),
    2019).

    Parameters
    ----------
    S : ndarray, shape (..., n_frames)
        Non-negative magnitudes or powers, for example a mel spectrogram.
    sr : float > 0
        Sampling rate in Hz.
    hop_length : int > 0
        Samples from one frame to the next.
    gain, bias, power : float >= 0
        The exponents and the offset above. With a `power` of 0 it is
        ``log(1 + S / (eps + M)**gain)``.
    time_constant : float > 0
        Seconds that M looks back; `b` follows from it.
    eps : float > 0
        What keeps the division from zero.
    b : float in [0, 1], optional
        The share of a new frame in M.
    max_size : int > 0
        Width in channels of a maximum filter that M is taken of; 1 is none.
    ref : ndarray, optional
        What to smooth in place of S.
    axis : int
        The axis that counts frames.
    max_axis : int, optional
        The axis of the maximum filter; by default the other one of two.
    zi : ndarray, optional
        The state of the filter before the first frame, ``(1 - b) M[-1]``, in S's shape but for one
        frame; by default that of ``M[-1] = 1``.
    return_zf : bool
        Return the state after the last frame too.

    Returns
    -------
    P : ndarray, float64, of S's shape
        Normalised energies.
    zf : ndarray, float64, of S's shape but for one frame
        The state after the last frame, if `return_zf`: the `zi` of the frames that follow.

    Raises
    ------
    ParameterError
        If an argument is out of range, or the maximum filter's axis is open.

    Warns
    -----
    UserWarning
        If `S` is complex: only its magnitude is used.

    Examples
    --------
    >>> pcen(np.ones((2, 3))).round(3)
    array([[0.318, 0.318, 0.318],
           [0.318, 0.318, 0.318]])
    """
    from fastmel.kernels.pcen import compress

    for name, value in (("power", power), ("gain", gain), ("bias", bias)):
        if value < 0:
            raise ParameterError(f"{name}={value} must be non-negative")
    for name, value in (("eps", eps), ("time_constant", time_constant)):
        if value <= 0:
            raise ParameterError(f"{name}={value} must be strictly positive")
    check_positive("max_size", max_size)
    if b is None:
        t_frames = time_constant * sr / float(hop_length)
        # as wide at half its height as a moving average over this time
        b = (np.sqrt(1 + 4 * t_frames**2) - 1) / (2 * t_frames**2)
    if not 0 <= b <= 1:
        raise ParameterError(f"b={b} must be between 0 and 1")
    if np.iscomplexobj(S):
        S = _magnitude_of_complex(S, "pcen", "np.abs(D)")
    if ref is None:
        ref = S if max_size == 1 else _maximum(S, max_size, axis, max_axis)

    out, zf = _smooth(ref, b, axis, zi, eps)
    if out.shape != S.shape:
        out, S = (np.array(x, order="C") for x in np.broadcast_arrays(out, S))
    energies = _single_or_double(S).reshape(-1)
    if bias == 0 and power > 0:
        energies = np.log(energies)
    compress(energies, float(gain), float(bias), float(power), out.reshape(-1))
    return (out, zf) if return_zf else out


def _maximum(S: NDArray[Any], size: int, axis: int, max_axis: int | None) -> NDArray[Any]:
    """Return the maximum over so many neighbouring channels."""
    from scipy.ndimage import maximum_filter1d

    if S.ndim == 1:
        raise ParameterError(
            "Max-filtering cannot be applied to 1-dimensional input; use max_size=1"
        )
    if max_axis is None:
        if S.ndim != 2:
            raise ParameterError(
                f"Max-filtering a {S.ndim:d}-dimensional spectrogram requires you to specify "
                "max_axis, the axis of its channels"
            )
        max_axis = (1 - axis) % 2
    filtered: NDArray[Any] = maximum_filter1d(S, size, axis=max_axis)
    return filtered


def _single_or_double(x: NDArray[Any]) -> NDArray[Any]:
    """Return a C-contiguous array of a type that kernels take."""
    return np.ascontiguousarray(x, dtype=None if x.dtype == np.float32 else np.float64)


def _smooth(
    ref: NDArray[Any], b: float, axis: int, zi: NDArray[Any] | None, eps: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``eps + M`` of :func:`pcen`, C-contiguous, and the filter's last state."""
    from fastmel.kernels.pcen import one_pole

    if zi is None:
        if b == 0:
            raise ParameterError("b=0 smooths nothing in: give a b > 0, or the state zi")
        zi = np.full([1] * ref.ndim, 1.0 - b)
    if not -ref.ndim <= axis < ref.ndim:
        raise ParameterError(f"{axis=} is not one of the {ref.ndim} axes of S")
    before, after = ref.shape[:axis], ref.shape[axis:][1:]
    shape = (*before, 1, *after)
    if np.ndim(zi) != ref.ndim or any(
        n not in (1, m) for n, m in zip(np.shape(zi), shape, strict=True)
    ):
        raise ParameterError(f"zi has shape={np.shape(zi)}, but expected {shape}")
    zf = np.array(np.broadcast_to(zi, shape), dtype=np.float64, order="C")
    smooth = np.empty(ref.shape)
    if smooth.size:
        rows = (math.prod(before), ref.shape[axis], math.prod(after))
        values = _single_or_double(ref)
        state = zf.reshape(rows[0], rows[2])
        one_pole(values.reshape(rows), float(b), 1.0 - b, float(eps), state, smooth.reshape(rows))
    return smooth, zf
