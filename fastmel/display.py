"""Pictures. The only module that needs matplotlib (``pip install 'fastmel[display]'``)."""

import re
from functools import partial
from os import PathLike
from typing import IO, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import BoundaryNorm, Colormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Formatter, MaxNLocator, ScalarFormatter, SymmetricalLogLocator
from numpy.typing import ArrayLike, NDArray

from fastmel.arrays import any_array
from fastmel.convert import fft_frequencies, hz_to_mel, mel_frequencies, mel_to_hz
from fastmel.exceptions import ParameterError
from fastmel.frontends.config import MelConfig
from fastmel.frontends.transform import MelSpectrogram
from fastmel.spectrum import amplitude_to_db, power_to_db
from fastmel.util import valid_audio, warn

__all__ = [
    "AdaptiveWaveplot",
    "TimeFormatter",
    "infer_cmap",
    "save_mel",
    "specshow",
    "waveplot",
    "waveshow",
]

#: dB below the loudest value at which the colours of a dB picture end
_DB_RANGE = 80.0

#: Hz, labelled on the axis where they fall within it
_OCTAVES = [125.0 * 2**octave for octave in range(12)]

_SCALE_NAMES = {None: "linear", "db": "dB", "ln": "ln", "log10": "log10"}

#: units of time axes -> their names on the axis
_TIME_UNITS = {"h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}
_TIME_AXES = ("time", *_TIME_UNITS)
_LAG_AXES = ("lag", *(f"lag_{unit}" for unit in _TIME_UNITS))
_HZ_AXES = ("linear", "fft", "hz")
_AXES = (*_TIME_AXES, *_LAG_AXES, *_HZ_AXES, "log", "mel", "frames", "off")

#: Hz, where logarithmic axes begin to be linear: C2, so that the octaves that notes use are even
_LOG_LINEAR_BELOW = 440.0 * 2.0 ** (-33 / 12)

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_DB_SCALE = re.compile(rf"(dBFS|dB)(?:\[(?:(power)(?:,({_NUMBER}))?|({_NUMBER}))\])?")


@any_array
def specshow(
    data: NDArray[Any],
    *,
    x_coords: NDArray[Any] | None = None,
    y_coords: NDArray[Any] | None = None,
    x_axis: str | None = None,
    y_axis: str | None = None,
    vscale: str | None = None,
    sr: float = 22050,
    hop_length: int = 512,
    n_fft: int | None = None,
    win_length: int | None = None,
    fmin: float | None = None,
    fmax: float | None = None,
    tempo_min: float | None = 16,
    tempo_max: float | None = 480,
    tuning: float = 0.0,
    bins_per_octave: int = 12,
    key: str = "C:maj",
    Sa: float | None = None,
    mela: str | int | None = None,
    thaat: str | None = None,
    auto_aspect: bool = True,
    htk: bool = False,
    unicode: bool = True,
    intervals: str | NDArray[Any] | None = None,
    unison: str | None = None,
    top_db: float | None = 80.0,
    cmap_seq: str | Colormap = "magma",
    cmap_bool: str | Colormap = "gray_r",
    cmap_div: str | Colormap = "coolwarm",
    cmap_cyclic: str | Colormap = "twilight_shifted",
    div_thresh: float = 0.0,
    ax: Axes | None = None,
    **kwargs: Any,
) -> QuadMesh:
    """Draw a spectrogram, or any other matrix over time and frequency.

    Parameters
    ----------
    data : ndarray, shape (n_rows, n_columns)
        What to draw. Of complex numbers the magnitude is drawn.
    x_coords, y_coords : ndarray, shape (n,) or (n + 1,), optional
        Places of columns and rows; by default they follow from the kind of axis.
    x_axis, y_axis : str, optional
        The kind of axis: "time" (the unit fits the range), "h", "m", "s", "ms"; "lag", "lag_h",
        "lag_m", "lag_s", "lag_ms"; "linear", "fft", "hz"; "log"; "mel"; "frames"; None or "off"
        for no marks.
    vscale : str, optional
        What to make of the values first: "dB", "dBFS" (the peak is 0), "dB[power]",
        "dB[<reference>]", "dB[power,<reference>]", "phase", "dphase" or "dphase_t" (the step of
        phase along time or frequency, less what the bin's frequency or frame's time accounts for).
    sr : float > 0
        Sampling rate in Hz.
    hop_length : int > 0
        Samples from one frame to the next.
    n_fft : int > 0, optional
        FFT size; what the number of bins tells if not given.
    fmin, fmax : float, optional
        Edges of a mel axis in Hz; 0 and ``sr / 2`` if not given.
    htk : bool
        Whether the mel axis has HTK's formula.
    auto_aspect : bool
        Make squares of matrices whose axes are of one kind and range.
    top_db : float, optional
        Range of dB scales.
    cmap_seq, cmap_bool, cmap_div, cmap_cyclic : str or Colormap
        Colours of values on one side of `div_thresh`, of booleans, of values on both sides, and
        of phases.
    div_thresh : float
        The middle of diverging colours.
    ax : Axes, optional
        Where to draw; pyplot's current axes if not given.
    win_length, tempo_min, tempo_max, tuning, bins_per_octave, key, Sa, mela, thaat, unicode, \
intervals, unison
        For librosa's tempo, constant-Q, chroma and note axes, which are not drawn here.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.pcolormesh`.

    Returns
    -------
    QuadMesh
        The mesh, for a colour bar.

    Raises
    ------
    ParameterError
        If an axis, `vscale`, the number of coordinates or `ax` is none of the above.

    Warns
    -----
    UserWarning
        If `data` is complex and `vscale` does not say what to draw of it.
    """
    y = _coordinates(y_axis, y_coords, data.shape[0], sr, hop_length, n_fft, fmin, fmax, htk)
    x = _coordinates(x_axis, x_coords, data.shape[1], sr, hop_length, n_fft, fmin, fmax, htk)
    if vscale is not None:
        data = _scale_values(data, vscale, top_db, x, y)
        kwargs.setdefault("cmap", cmap_cyclic if "phase" in vscale else cmap_seq)
    if np.iscomplexobj(data):
        warn("Trying to display complex-valued input. Showing magnitude instead.")
        data = np.abs(data)
    if "cmap" not in kwargs:
        kwargs["cmap"] = cmap = infer_cmap(
            data, cmap_seq=cmap_seq, cmap_bool=cmap_bool, cmap_div=cmap_div, div_thresh=div_thresh
        )
        if data.dtype.kind == "b":
            kwargs.setdefault("norm", BoundaryNorm([0, 0.5, 1], cmap.N))
        elif cmap == _colormap(cmap_div):
            limits = {limit: kwargs.pop(limit, None) for limit in ("vmin", "vmax")}
            kwargs.setdefault("norm", TwoSlopeNorm(div_thresh, **limits))
    kwargs = {"rasterized": True, "edgecolors": "None", "shading": "auto"} | kwargs
    if vscale is not None and "phase" in vscale:
        kwargs = {"vmin": -np.pi, "vmax": np.pi} | kwargs

    axes = _checked_axes(ax)
    mesh: QuadMesh = axes.pcolormesh(x, y, data, **kwargs)
    if ax is None:
        import matplotlib.pyplot as plt

        plt.sci(mesh)
    _set_scale(axes.set_xscale, x_axis)
    _set_scale(axes.set_yscale, y_axis)
    _label_axis(axes.xaxis, x_axis)
    _label_axis(axes.yaxis, y_axis)
    if auto_aspect and _are_alike(x_axis, y_axis) and axes.get_xlim() == axes.get_ylim():
        axes.set_aspect("equal")
    return mesh


def _coordinates(
    kind: str | None,
    given: NDArray[Any] | None,
    n: int,
    sr: float,
    hop_length: int,
    n_fft: int | None,
    fmin: float | None,
    fmax: float | None,
    htk: bool,
) -> NDArray[Any]:
    """Return the places of `n` rows or columns on an axis of this kind."""
    _check_kind(kind)
    if given is not None:
        if len(given) not in (n, n + 1):
            raise ParameterError(f"Coordinate shape mismatch: {len(given)}!={n} or {n}+1")
        return given
    if kind in _HZ_AXES or kind == "log":
        return fft_frequencies(sr=sr, n_fft=2 * (n - 1) if n_fft is None else n_fft)
    if kind == "mel":
        fmax = sr / 2 if fmax is None else fmax
        return mel_frequencies(n, fmin=fmin or 0.0, fmax=fmax, htk=htk)
    if kind in (*_TIME_AXES, *_LAG_AXES):
        seconds: NDArray[Any] = (np.arange(n) * hop_length).astype(int) / float(sr)
        return seconds
    return np.arange(n)


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in _AXES:
        raise ParameterError(f"Unknown axis type: {kind!r}; use one of {', '.join(_AXES)} or None")


def _scale_values(
    data: NDArray[Any], vscale: str, top_db: float | None, x: NDArray[Any], y: NDArray[Any]
) -> NDArray[Any]:
    if vscale == "phase":
        return np.asarray(np.angle(data))
    if vscale == "dphase":
        return _phase_steps(data, -1, np.multiply.outer(2 * np.pi * y, np.diff(x, prepend=0.0)))
    if vscale == "dphase_t":
        return _phase_steps(data, 0, np.multiply.outer(np.diff(y, prepend=0.0), 2 * np.pi * x))
    match = _DB_SCALE.fullmatch(vscale)
    if not match:
        raise ParameterError(
            f"Invalid vscale specification: {vscale!r}; use 'dB', 'dBFS', 'dB[power]', 'dB[0.1]', "
            "'dB[power,0.1]', 'phase', 'dphase' or 'dphase_t'"
        )
    mode, power, power_reference, amplitude_reference = match.groups()
    reference = power_reference or amplitude_reference
    magnitude = np.abs(data)
    if mode == "dBFS":
        if reference:
            raise ParameterError("dBFS vscale cannot have an explicit reference value: use dB")
        ref = magnitude.max()
    else:
        ref = float(reference or 1)
    to_db = power_to_db if power else amplitude_to_db
    levels: NDArray[Any] = to_db(magnitude, top_db=top_db, ref=ref)
    return levels


def _phase_steps(data: NDArray[Any], axis: int, expected: NDArray[Any]) -> NDArray[Any]:
    """Return how much phase grows along an axis beyond what is expected, from -pi to pi."""
    steps = np.diff(np.unwrap(np.angle(data), axis=axis), axis=axis, prepend=0.0)
    steps -= expected
    wrapped: NDArray[Any] = np.mod(steps + np.pi, 2 * np.pi) - np.pi
    return wrapped


def infer_cmap(
    data: ArrayLike,
    *,
    robust: bool = True,
    cmap_seq: str | Colormap = "magma",
    cmap_bool: str | Colormap = "gray_r",
    cmap_div: str | Colormap = "coolwarm",
    div_thresh: float = 0.0,
) -> Colormap:
    """Choose colours for data: by its type, and by whether it lies on both sides of a threshold.

    Parameters
    ----------
    data : array_like
        What is to be drawn; values that are not finite are left out.
    robust : bool
        Leave out the highest and lowest 2 % too.
    cmap_seq, cmap_bool, cmap_div : str or Colormap
        The choice: for values on one side, for booleans, for values on both sides.
    div_thresh : float
        The threshold.

    Returns
    -------
    Colormap
        One of the three.
    """
    data = np.atleast_1d(data)
    if data.dtype.kind == "b":
        return _colormap(cmap_bool)
    low, high = np.percentile(data[np.isfinite(data)], [2, 98] if robust else [0, 100])
    one_sided = low >= div_thresh or high <= div_thresh
    return _colormap(cmap_seq if one_sided else cmap_div)


def _colormap(colours: str | Colormap) -> Colormap:
    return colours if isinstance(colours, Colormap) else colormaps[colours]


def _checked_axes(ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.gca()
    if not isinstance(ax, Axes):
        raise ParameterError(f"ax must be a matplotlib.axes.Axes, not {type(ax)}")
    return ax


def _set_scale(set_scale: Any, kind: str | None) -> None:
    if kind == "mel":  # linear below 1 kHz, logarithmic above, as Slaney's scale is
        set_scale("symlog", linthresh=1000.0, base=2)
    elif kind == "log":
        set_scale("symlog", linthresh=_LOG_LINEAR_BELOW, base=2, linscale=0.5)


def _label_axis(axis: Axis, kind: str | None) -> None:
    if kind in _TIME_AXES or kind in _LAG_AXES:
        word, _, lag_unit = kind.partition("_")
        unit = lag_unit if word == "lag" else word
        unit = unit if unit in _TIME_UNITS else ""
        name = "Lag" if word == "lag" else "Time"
        axis.set_major_formatter(TimeFormatter(lag=word == "lag", unit=unit or None))
        axis.set_major_locator(MaxNLocator(prune=None, steps=[1, 1.5, 5, 6, 10]))
        axis.set_label_text(f"{name} ({_TIME_UNITS[unit]})" if unit else name)
    elif kind in ("log", "mel", *_HZ_AXES):
        axis.set_major_formatter(ScalarFormatter())
        if kind not in _HZ_AXES:
            axis.set_major_locator(SymmetricalLogLocator(axis.get_transform()))
        axis.set_label_text("Hz")
    elif kind == "frames":
        axis.set_label_text("Frames")
    else:
        axis.set_label_text("")
        axis.set_ticks([])


def _are_alike(x_axis: str | None, y_axis: str | None) -> bool:
    families = (_TIME_AXES, _LAG_AXES, _HZ_AXES, ("log",), ("mel",), ("frames",))
    return any(x_axis in family and y_axis in family for family in families)


class TimeFormatter(Formatter):
    """Labels of a time axis, in the unit that fits its range.

    Parameters
    ----------
    lag : bool
        Label the second half of the data as negative times.
    unit : {"h", "m", "s", "ms"}, optional
        Hours, minutes, seconds or milliseconds; by default what fits the range that is shown.

    Raises
    ------
    ParameterError
        If `unit` is none of the above.
    """

    def __init__(self, lag: bool = False, unit: str | None = None) -> None:
        if unit is not None and unit not in _TIME_UNITS:
            raise ParameterError(f"Unknown time unit: {unit!r}; use one of h, m, s, ms or None")
        self.lag = lag
        self.unit = unit

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label at `x` seconds."""
        _, end = self.axis.get_data_interval()  # type: ignore[union-attr]
        sign = ""
        if self.lag and x >= end / 2:
            if x > end:
                return ""
            x, sign = abs(x - end), "-"
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]
        span = high - low
        adaptive = self.unit is None
        if self.unit == "h" or (adaptive and span > 3600):
            text = f"{int(x / 3600)}:{int(x / 60 % 60):02d}:{int(x % 60):02d}"
        elif self.unit == "m" or (adaptive and span > 60):
            text = f"{int(x / 60)}:{int(x % 60):02d}"
        elif self.unit == "s":
            text = f"{x:.3g}"
        elif self.unit == "ms":
            text = f"{x * 1000:.3g}"
        else:
            text = f"{x:.2g}" if span >= 1 else f"{x:.3f}"
        return sign + text


@any_array
def waveshow(
    y: NDArray[Any],
    *,
    sr: float = 22050,
    max_points: int = 11025,
    axis: str | None = "time",
    offset: float = 0.0,
    marker: Any = "",
    where: Literal["pre", "post", "mid"] = "post",
    label: str | None = None,
    transpose: bool = False,
    mask: ArrayLike | None = None,
    ax: Axes | None = None,
    invert: bool = False,
    invert_color: Any = None,
    **kwargs: Any,
) -> "AdaptiveWaveplot":
    """Draw a signal over time: its envelope, and its samples once the view shows few of them.

    Parameters
    ----------
    y : ndarray, shape (samples,) or (2, samples)
        Finite floating-point signal. Of two channels, the first is drawn above zero and the second
        below.
    sr : float > 0
        Sampling rate in Hz.
    max_points : int > 0
        The most points to draw, and the most samples that are drawn one by one.
    axis : str, optional
        The kind of time axis, as in :func:`specshow`, or "none" for no marks.
    offset : float
        Time of the first sample in seconds.
    marker : str or marker
        What marks single samples.
    where : {"pre", "post", "mid"}
        Where the steps between samples lie.
    label : str, optional
        Name in a legend.
    transpose : bool
        Draw time upwards.
    mask : array_like of bool, shape (samples,), optional
        Where to draw the envelope.
    ax : Axes, optional
        Where to draw; pyplot's current axes if not given.
    invert : bool
        Fill the axes with the signal's colour, and the signal with `invert_color`.
    invert_color : colour, optional
        The colour of the axes before if not given.
    **kwargs
        Passed to :meth:`~matplotlib.axes.Axes.fill_between` and
        :meth:`~matplotlib.axes.Axes.step`.

    Returns
    -------
    AdaptiveWaveplot
        What switches between envelope and samples.

    Raises
    ------
    ParameterError
        If `y` is no signal or empty, `max_points` is not positive, or `axis` or `ax` is none of the
        above.
    """
    valid_audio(y)
    if not y.size:
        raise ParameterError(f"{y.shape=} has no samples to draw")
    if max_points <= 0:
        raise ParameterError(f"{max_points=} must be strictly positive")
    _check_kind(None if axis == "none" else axis)
    axes = _checked_axes(ax)
    y = np.atleast_2d(y)
    times = offset + np.arange(y.shape[-1]) / float(sr)

    hop = max(1, y.shape[-1] // max_points)
    n_blocks = y.shape[-1] // hop
    envelopes = np.abs(y[:, : n_blocks * hop]).reshape(len(y), n_blocks, hop).max(axis=-1)
    every = slice(0, n_blocks * hop, hop)
    if mask is not None:
        mask = np.asarray(mask, dtype=bool)[every]
    samples = (times[:max_points], y[0, :max_points])
    (steps,) = axes.step(
        *(reversed(samples) if transpose else samples), marker=marker, where=where, **kwargs
    )
    kwargs.setdefault("color", steps.get_color())
    fill = axes.fill_betweenx if transpose else axes.fill_between
    envelope = fill(times[every], -envelopes[-1], envelopes[0], step=where, where=mask, **kwargs)

    waveplot = AdaptiveWaveplot(
        times, y[0], steps, envelope, sr=sr, max_samples=max_points, transpose=transpose,
        label=label,
    )  # fmt: skip
    waveplot.connect(axes, signal="ylim_changed" if transpose else "xlim_changed")
    waveplot.update(axes)
    if invert:
        colour = axes.patch.get_facecolor() if invert_color is None else invert_color
        axes.patch.set_facecolor(steps.get_color())
        steps.set_color(colour)
        envelope.set_color(colour)
    _label_axis(axes.yaxis if transpose else axes.xaxis, axis)
    return waveplot


def waveplot(
    y: NDArray[Any],
    sr: float = 22050,
    max_points: float = 11025,
    x_axis: str | None = "time",
    offset: float = 0.0,
    max_sr: int = 1000,
    ax: Axes | None = None,
    **kwargs: Any,
) -> "AdaptiveWaveplot":
    """Draw a signal over time, by the name and arguments of librosa before 0.10.

    Parameters
    ----------
    y, sr, max_points, offset, ax, **kwargs
        As in :func:`waveshow`.
    x_axis : str, optional
        The kind of time axis.
    max_sr : int
        Not used: the envelope has `max_points` points at any rate.

    Returns
    -------
    AdaptiveWaveplot
        What :func:`waveshow` returns.
    """
    return waveshow(
        y, sr=sr, max_points=int(max_points), axis=x_axis, offset=offset, ax=ax, **kwargs
    )


class AdaptiveWaveplot:
    """Shows a signal's envelope, or its samples where the view has few enough of them.

    Parameters
    ----------
    times, y : ndarray, shape (n,)
        Times of the samples in seconds, and the samples.
    steps, envelope : Line2D, PolyCollection
        What was drawn of them.
    sr : float > 0
        Sampling rate in Hz.
    max_samples : int > 0
        The most samples that are shown one by one.
    transpose : bool
        Whether time runs upwards.
    label : str, optional
        Name in a legend.
    """

    def __init__(
        self,
        times: NDArray[Any],
        y: NDArray[Any],
        steps: Line2D,
        envelope: PolyCollection,
        sr: float = 22050,
        max_samples: int = 11025,
        transpose: bool = False,
        label: str | None = None,
    ) -> None:
        self.times = times
        self.samples = y
        self.steps = steps
        self.envelope = envelope
        self.sr = sr
        self.max_samples = max_samples
        self.transpose = transpose
        self.label = label
        self.ax: Axes | None = None
        self.cid: int | None = None

    def connect(self, ax: Axes, *, signal: str = "xlim_changed") -> None:
        """Follow the limits of `ax`."""
        self.disconnect()
        self.ax = ax
        if self.label is not None:
            ax.add_artist(Line2D([], [], color=self.steps.get_color(), label=self.label))
        # matplotlib keeps methods by weak reference only; this lives as long as the axes do
        self.cid = ax.callbacks.connect(signal, partial(type(self).update, self))

    def disconnect(self, *, strict: bool = False) -> None:
        """Follow the limits no longer; with `strict`, forget the axes too."""
        if self.ax is not None and self.cid is not None:
            self.ax.callbacks.disconnect(self.cid)
            self.cid = None
        if strict:
            self.ax = None

    def update(self, ax: Axes) -> None:
        """Show the envelope or the samples, whichever fits the limits of `ax`."""
        start, end = ax.viewLim.intervaly if self.transpose else ax.viewLim.intervalx
        detailed = bool((end - start) * self.sr <= self.max_samples)
        self.envelope.set_visible(not detailed)
        self.steps.set_visible(detailed)
        shown = np.asarray(self.steps.get_ydata() if self.transpose else self.steps.get_xdata())
        if detailed and (start <= shown[0] or end >= shown[-1]):
            first = np.searchsorted(self.times, (start + end - self.max_samples / self.sr) / 2)
            part = slice(first, first + self.max_samples)
            data = (self.times[part], self.samples[part])
            self.steps.set_data(*(reversed(data) if self.transpose else data))
        ax.figure.canvas.draw_idle()


def save_mel(
    file: str | PathLike[str] | IO[bytes], mel: ArrayLike, config: MelConfig, title: str = ""
) -> None:
    """Write a PNG of the features of one signal, with axes, and a colour bar.

    Time runs to the right, in seconds. Mel bands are labelled in Hz; cepstra, bands beside an
    energy, stacked frames and warped bands are counted. The picture is drawn without pyplot: no
    window opens, and figures that the program has open are left alone.

    Parameters
    ----------
    file : path or binary file
        Where the PNG goes.
    mel : array_like, shape (n_features, n_frames)
        What :class:`fastmel.MelSpectrogram` returned for one signal: (n_frames, n_features) with
        ``layout="frames_first"``.
    config : MelConfig
        What it was made with: gives the axes, and the name of the colours' scale. Colours of a
        dB picture end 80 dB below its maximum.
    title : str
        A line above the picture.

    Raises
    ------
    ParameterError
        If there is no frame to draw.
    """
    values = np.asarray(mel, dtype=np.float64)
    if not values.size:
        raise ParameterError("there is no frame to draw; the signal was shorter than one")
    if config.layout == "frames_first":
        values = values.T
    n_features, n_frames = values.shape
    times = MelSpectrogram.from_config(config).times(max(n_frames, 2))
    half_frame = (times[1] - times[0]) / 2
    left, right = times[0] - half_frame, times[n_frames - 1] + half_frame

    is_bands = config.n_mfcc is None and config.energy is None and config.stack is None
    if is_bands and config.vtln_warp == 1:
        # The bands' centres are evenly spaced in mel, so an axis in mel shows each as one row.
        fmax = config.sr / 2 if config.fmax is None else config.fmax
        low, high = (float(hz_to_mel(hz, htk=config.htk)) for hz in (config.fmin, fmax))
        half_band = (high - low) / (config.n_mels + 1) / 2
        bottom, top, ylabel = low + half_band, high - half_band, "Frequency (Hz)"
        edges = (float(mel_to_hz(edge, htk=config.htk)) for edge in (bottom, top))
        hz = _round_frequencies(*edges)
        ticks, labels = hz_to_mel(hz, htk=config.htk), [f"{tick:g}" for tick in hz]
    else:
        bottom, top, ylabel = -0.5, n_features - 0.5, "Feature"
        ticks = labels = None

    scale = _scale_name(config)
    clipped = scale == "dB" and np.ptp(values) > _DB_RANGE
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot(xlabel="Time (s)", ylabel=ylabel)
    drawable = title.encode(errors="replace").decode()  # a file name need not be text
    axes.set_title(drawable, parse_math=False)
    image = axes.imshow(
        values,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=values.max() - _DB_RANGE if clipped else None,
        extent=(left, right, bottom, top),
    )
    figure.colorbar(image, label=scale, extend="min" if clipped else "neither", pad=0.01)
    if ticks is not None:
        axes.set_yticks(ticks, labels)
    figure.savefig(file, format="png")


def _scale_name(config: MelConfig) -> str:
    """Name what the values are in."""
    if config.n_mfcc is not None:
        return "cepstral coefficient"
    words = [_SCALE_NAMES[config.log]]
    if config.normalize:
        words.append("normalized")
    if (config.offset, config.gain) != (0, 1):
        words.append("scaled")
    return ", ".join(words)


def _round_frequencies(low: float, high: float) -> list[float]:
    """Choose the frequencies to label between two: octaves, or even steps in a narrow range."""
    octaves = [hz for hz in _OCTAVES if low <= hz <= high]
    if len(octaves) >= 3:
        return octaves
    return [hz for hz in MaxNLocator(5).tick_values(low, high) if low <= hz <= high]
