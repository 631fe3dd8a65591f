"""MelConfig: every number that decides a front end's output, as frozen data."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec

__all__ = ["Log", "MelConfig", "PadMode"]

Log = Literal["db", "ln", "log10"]
PadMode = Literal["constant", "edge", "linear_ramp", "reflect", "symmetric", "empty"]
PreemphasisOf = Literal["frame", "signal", "inside"]
Triangles = Literal["hz", "mel", "symmetric"]
Guard = Literal["clamp", "add"]
Energy = Literal["raw", "windowed"]
Normalize = Literal["mean", "std"]
NormalizeOver = Literal["time", "all"]
Stack = Literal["edge", "pad", "drop"]
Layout = Literal["mels_first", "frames_first"]
DType = Literal["float16", "float32", "float64"]


@dataclass(frozen=True)
class MelConfig:
    """A front end in numbers: samples, frames, spectrum, filter bank, logarithm, features.

    The defaults are those of :func:`fastmel.feature.melspectrogram`. Lengths are in samples and
    frequencies in Hz, where nothing else is said. The steps are applied in the order of the
    parameters.

    Parameters
    ----------
    sr : float > 0
        Sampling rate of the signal in Hz.
    n_fft : int > 0
        Length of the FFT.
    hop_length : int > 0
        Samples from one frame to the next.
    win_length : int, optional
        Samples of the window; `n_fft` if None.
    window : str, tuple, float, array_like or callable
        What :func:`fastmel.filters.get_window` takes, and "povey", Kaldi's symmetric Hann window to
        the power of 0.85. Arrays and functions are kept as the tuple of their values.
    center : bool
        Whether frame t is centred at sample ``t * hop_length`` (the signal is padded with
        ``n_fft // 2`` samples on both sides) or begins there.
    pad_mode : str
        How: "constant" (zeros), "edge", "linear_ramp", "reflect", "symmetric" or "empty" (zeros).
    power : float > 0
        Exponent of the magnitude before the mel bands: 1 magnitude, 2 power.
    n_mels : int > 0
        Number of mel bands.
    fmin, fmax : float
        Lowest and highest frequency of the bank; `fmax` is ``sr / 2`` if None.
    htk : bool
        Whether to use the HTK mel scale in place of Slaney's.
    norm : {"slaney", None} or number
        "slaney" divides each band by its width in Hz, None leaves peaks of 1, a number p divides by
        the band's p-norm (``inf``: its largest weight).
    log : {None, "db", "ln", "log10"}
        Logarithm of the mel values; "db" is ``(20 / power) * log10``.
    ref : float > 0 or "max"
        The value that becomes 0 after the logarithm; "max" is each signal's largest.
    amin : float > 0
        What keeps the logarithm finite: see `guard`.
    top_db : float >= 0, optional
        With a logarithm: raise each signal's values to its largest minus this many decibels. None
        keeps every frame independent of the rest of its signal.
    n_samples : int > 0, optional
        Cut the signal to this length, or fill it up with zeros.
    repeat : bool
        With `n_samples`: repeat a shorter signal as often as it fits before the zeros.
    append : int >= 0
        Zeros after the signal.
    multiple_of : int > 0
        Append zeros up to a multiple of this.
    scale : float > 0
        Factor of the samples: 32768 where a model was trained on 16-bit integers.
    dither : float >= 0
        Standard deviation of normal noise added to the scaled samples.
    seed : int >= 0
        Of that noise: equal seeds give equal noise at equal places of a signal.
    preemphasis : float
        Subtract this part of the sample before: ``y[i] = x[i] - preemphasis * x[i - 1]``.
    preemphasis_of : {"frame", "signal", "inside"}
        Of each frame, whose first sample is taken to precede itself (Kaldi); of the signal before
        it is padded, whose first sample stays; or "inside" the signal, whose first sample is lost.
    remove_dc : bool
        Subtract the mean of each frame.
    periodic : bool
        Whether a named window is periodic or symmetric.
    padding : (int, int), optional
        Samples of padding before and after the signal, in place of `center`'s; negative ones cut.
    frame_length : int > 0, optional
        Samples that a frame needs. A frame then begins with its window, and a signal that is
        shorter has no frames. If None, frames have `n_fft` samples, with the window in the middle.
    drop_last : bool
        Leave the last frame out.
    power_offset : float >= 0
        With ``power=1``: added to the squared magnitude before its root.
    triangles : {"hz", "mel", "symmetric"}
        Axis on which a band's sides are straight; "symmetric" is "hz" with both sides as the left.
    vtln_warp, vtln_low, vtln_high : float
        Vocal tract length normalisation, as Kaldi's: factor, and the frequencies where it begins
        and ends (``vtln_high <= 0`` counts from ``sr / 2``).
    guard : {"clamp", "add"}
        Whether the logarithm is of ``max(x, amin)`` or of ``x + amin``.
    peak : float, optional
        What `top_db` takes for each signal's largest value, in units of the logarithm.
    n_mfcc : int > 0, optional
        Keep this many coefficients of the bands' orthonormal cosine transform (DCT-II).
    lifter : float >= 0
        Scale coefficient i by ``1 + lifter / 2 * sin(pi * i / lifter)``; 0: leave them.
    energy : {None, "raw", "windowed"}
        The log energy of each frame, before pre-emphasis and window or after them: a feature before
        the bands, or in place of the cepstral coefficient 0.
    energy_floor : float >= 0
        Raise smaller energies to this.
    energy_last : bool
        Put energy or coefficient 0 last, as HTK does; the latter is multiplied by sqrt(2).
    normalize : {None, "mean", "std"}
        Subtract the mean of each feature; "std": then divide by its standard deviation.
    normalize_over : {"time", "all"}
        Whether statistics are each feature's or common to all.
    ddof : int >= 0
        The variance is the sum of squares over ``n_frames - ddof``.
    var_eps, std_eps : float >= 0
        Divide by ``sqrt(variance + var_eps) + std_eps``.
    stack : (int, int), optional
        Concatenate this many frames, every so many frames.
    stack_ends : {"edge", "pad", "drop"}
        "edge": half a stack of copies of the first frame before, and copies of the last after;
        "pad": `pad_value` after; "drop": whole stacks only.
    offset, gain : float or sequence of float
        ``(x + offset) * gain``, one for all features or one for each.
    n_frames : int > 0, optional
        Cut the features to this many frames, or fill them up with `pad_value`.
    pad_value : float
        The value of frames that are filled up, here and in padded batches.
    layout : {"mels_first", "frames_first"}
        Axes of the result: (n_features, n_frames) or (n_frames, n_features).
    dtype : {None, "float16", "float32", "float64"}
        Type of the result; that of the computation if None.

    Raises
    ------
    ParameterError
        If a value is out of its range.

    Examples
    --------
    >>> MelConfig(sr=16000, n_fft=400, hop_length=160, n_mels=80, log="ln")
    MelConfig(sr=16000, n_fft=400, hop_length=160, n_mels=80, log='ln')
    """

    sr: float = 22050
    n_fft: int = 2048
    hop_length: int = 512
    win_length: int | None = None
    window: WindowSpec = "hann"
    center: bool = True
    pad_mode: PadMode = "constant"
    power: float = 2.0
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None
    htk: bool = False
    norm: Literal["slaney"] | float | None = "slaney"
    log: Log | None = None
    ref: float | Literal["max"] = 1.0
    amin: float = 1e-10
    top_db: float | None = None
    # what librosa has no name for, in the order of the work
    n_samples: int | None = None
    repeat: bool = False
    append: int = 0
    multiple_of: int = 1
    scale: float = 1.0
    dither: float = 0.0
    seed: int = 0
    preemphasis: float = 0.0
    preemphasis_of: PreemphasisOf = "frame"
    remove_dc: bool = False
    periodic: bool = True
    padding: tuple[int, int] | None = None
    frame_length: int | None = None
    drop_last: bool = False
    power_offset: float = 0.0
    triangles: Triangles = "hz"
    vtln_warp: float = 1.0
    vtln_low: float = 100.0
    vtln_high: float = -500.0
    guard: Guard = "clamp"
    peak: float | None = None
    n_mfcc: int | None = None
    lifter: float = 0.0
    energy: Energy | None = None
    energy_floor: float = 0.0
    energy_last: bool = False
    normalize: Normalize | None = None
    normalize_over: NormalizeOver = "time"
    ddof: int = 1
    var_eps: float = 0.0
    std_eps: float = 0.0
    stack: tuple[int, int] | None = None
    stack_ends: Stack = "edge"
    offset: float | tuple[float, ...] = 0.0
    gain: float | tuple[float, ...] = 1.0
    n_frames: int | None = None
    pad_value: float = 0.0
    layout: Layout = "mels_first"
    dtype: DType | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            self._set(field.name, _plain(getattr(self, field.name)))
        self._check_numbers()
        self._check_words()
        self._check_together()
        self._set("window", self._plain_window())

    def _check_numbers(self) -> None:
        for name in ("n_fft", "hop_length", "n_mels", "multiple_of"):
            self._set(name, _count(name, getattr(self, name), least=1))
        for name in ("win_length", "n_samples", "frame_length", "n_mfcc", "n_frames"):
            if getattr(self, name) is not None:
                self._set(name, _count(name, getattr(self, name), least=1))
        for name in ("append", "seed", "ddof"):
            self._set(name, _count(name, getattr(self, name), least=0))
        for name in ("sr", "power", "amin", "scale", "vtln_warp", "vtln_low"):
            check_number(name, getattr(self, name), "> 0", lambda value: value > 0)
        for name in (
            "fmin", "dither", "power_offset", "lifter", "energy_floor", "var_eps", "std_eps",
        ):  # fmt: skip
            check_number(name, getattr(self, name), ">= 0", lambda value: value >= 0)
        for name in ("preemphasis", "vtln_high", "pad_value"):
            check_number(name, getattr(self, name))
        if self.fmax is not None:
            check_number("fmax", self.fmax, "> fmin", lambda value: value > self.fmin)
        if self.ref != "max":
            check_number("ref", self.ref, '> 0 or "max"', lambda value: value > 0)
        if self.top_db is not None:
            check_number("top_db", self.top_db, ">= 0", lambda value: value >= 0)
        if self.peak is not None:
            check_number("peak", self.peak)
        for name in ("offset", "gain"):
            self._set(name, _one_or_many(name, getattr(self, name)))
        if self.padding is not None:
            self._set("padding", _pair("padding", self.padding, least=None))
        if self.stack is not None:
            self._set("stack", _pair("stack", self.stack, least=1))

    def _check_words(self) -> None:
        _one_of("pad_mode", self.pad_mode, get_args(PadMode))
        _one_of("log", self.log, (None, *get_args(Log)))
        _one_of("preemphasis_of", self.preemphasis_of, get_args(PreemphasisOf))
        _one_of("triangles", self.triangles, get_args(Triangles))
        _one_of("guard", self.guard, get_args(Guard))
        _one_of("energy", self.energy, (None, *get_args(Energy)))
        _one_of("normalize", self.normalize, (None, *get_args(Normalize)))
        _one_of("normalize_over", self.normalize_over, get_args(NormalizeOver))
        _one_of("stack_ends", self.stack_ends, get_args(Stack))
        _one_of("layout", self.layout, get_args(Layout))
        _one_of("dtype", self.dtype, (None, *get_args(DType)))
        if not isinstance(self.norm, (int, float, np.number)):
            _one_of("norm", self.norm, ("slaney", None))

    def _check_together(self) -> None:
        """Refuse what no signal could be computed with."""
        longest, name = self.n_fft, "n_fft"
        if self.frame_length is not None:
            longest, name = min(self.n_fft, self.frame_length), "n_fft and frame_length"
        if (self.win_length or self.n_fft) > longest:
            raise ParameterError(
                f"win_length={self.win_length or self.n_fft} is longer than {name}={longest}; "
                f"use a window of at most {longest} samples"
            )
        if self.top_db is not None and self.log is None:
            raise ParameterError(f'top_db={self.top_db} needs a logarithm, such as log="db"')
        if self.peak is not None and self.top_db is None:
            raise ParameterError(f"peak={self.peak} needs top_db, the range below it")
        if self.power_offset and self.power != 1:
            raise ParameterError(
                f"power_offset={self.power_offset} needs power=1, not {self.power}"
            )
        if self.guard == "add" and self.ref != 1:
            raise ParameterError(f'guard="add" needs ref=1, not {self.ref!r}')
        if self.repeat and self.n_samples is None:
            raise ParameterError("repeat=True needs n_samples, the length to fill")
        if self.n_mfcc is not None and self.n_mfcc > self.n_mels:
            raise ParameterError(
                f"n_mfcc={self.n_mfcc} is more than n_mels={self.n_mels}; ask for fewer"
            )
        for field in ("offset", "gain"):
            values = getattr(self, field)
            if isinstance(values, tuple) and len(values) != self.n_features:
                raise ParameterError(
                    f"{field} has {len(values)} values; give one, or one for each of the "
                    f"{self.n_features} features"
                )

    @property
    def n_features(self) -> int:
        """Values of a frame of the result."""
        single = self.n_mfcc or self.n_mels + (self.energy is not None)
        return single if self.stack is None else single * self.stack[0]

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _plain_window(self) -> str | float | tuple[Any, ...]:
        """The window as data that can be compared, hashed and written down."""
        window = self.window
        if isinstance(window, (str, int, float)):
            return window
        if isinstance(window, tuple | list) and window and isinstance(window[0], str):
            return tuple(_plain(x.tolist()) if isinstance(x, np.ndarray) else x for x in window)
        length = self.win_length or self.n_fft
        values = np.asarray(window(length) if callable(window) else window)
        if values.shape != (length,):
            raise ParameterError(
                f"the window has shape {values.shape}; give {length} values (win_length)"
            )
        return tuple(values.astype(float).tolist())

    def __repr__(self) -> str:
        given = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"MelConfig({', '.join(given)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a dict of plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MelConfig":
        """Return the configuration that :meth:`to_dict` described."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ParameterError(f"MelConfig has no {', '.join(unknown)}")
        return cls(**values)

    def to_json(self) -> str:
        """Return the configuration as JSON, what differs from the default only."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        return json.dumps(given)

    @classmethod
    def from_json(cls, text: str) -> "MelConfig":
        """Return the configuration that :meth:`to_json` described.

        Raises
        ------
        ParameterError
            If the text is not JSON of an object, or names what a configuration does not have.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ParameterError(f"the configuration is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ParameterError(f"the configuration is {values!r}; give a JSON object")
        return cls.from_dict(values)


def _plain(value: Any) -> Any:
    """NumPy's scalars and types, those within a tuple or list too, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    return value


def _count(name: str, value: Any, least: int | None) -> int:
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and (least is None or value >= least):
        return int(value)
    kind = {None: "an integer", 0: "an integer >= 0", 1: "a positive integer"}[least]
    raise ParameterError(f"{name}={value!r} is not {kind}")


def check_number(
    name: str, value: Any, rule: str = "", holds: Callable[[float], bool] = lambda value: True
) -> None:
    """Raise ParameterError if a value is not a finite number, or a rule does not hold."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not holds(value):
        raise ParameterError(f"{name}={value!r} is not a {f'number {rule}' if rule else 'number'}")


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value is a or (isinstance(a, str) and value == a) for a in allowed):
        raise ParameterError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")


def _pair(name: str, value: Any, least: int | None) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ParameterError(f"{name}={value!r} is not a pair of integers")
    first, second = (_count(name, item, least) for item in value)
    return first, second


def _one_or_many(name: str, value: Any) -> float | tuple[float, ...]:
    if np.ndim(value) == 0:
        check_number(name, value)
        return float(value)
    values = np.asarray(value)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ParameterError(f"{name} is not a finite number or a sequence of them")
    return tuple(values.astype(float).tolist())
