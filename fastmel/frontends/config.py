"""MelConfig: every number that decides a mel spectrogram's values, as frozen data."""

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


@dataclass(frozen=True)
class MelConfig:
    """The mel spectrogram of a signal: framing, spectrum, filter bank and logarithm.

    Parameters
    ----------
    sr : float > 0
        Sampling rate of the signal in Hz.
    n_fft : int > 0
        Samples of a frame, and length of its FFT.
    hop_length : int > 0
        Samples from one frame to the next.
    win_length : int, optional
        Samples of the window, centred in the frame and zero around it; `n_fft` if None.
    window : str, tuple, float, array_like or callable
        What :func:`fastmel.filters.get_window` takes. Arrays and functions are kept as the tuple of
        their values.
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
        Lowest and highest frequency of the bank in Hz; `fmax` is ``sr / 2`` if None.
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
        Smaller values are raised to this before the logarithm.
    top_db : float >= 0, optional
        With ``log="db"``: raise each signal's values to its largest minus this. None keeps every
        frame independent of the rest of its signal.

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

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop_length", "n_mels"):
            self._set(name, _count(name, getattr(self, name)))
        if self.win_length is not None:
            self._set("win_length", _count("win_length", self.win_length))
            if self.win_length > self.n_fft:
                raise ParameterError(
                    f"win_length={self.win_length} is longer than n_fft={self.n_fft}; "
                    "use a window of at most n_fft samples"
                )
        for name in ("sr", "power", "amin"):
            _check(name, getattr(self, name), "> 0", lambda value: value > 0)
        _check("fmin", self.fmin, ">= 0", lambda value: value >= 0)
        if self.fmax is not None:
            _check("fmax", self.fmax, "> fmin", lambda value: value > self.fmin)
        _one_of("pad_mode", self.pad_mode, get_args(PadMode))
        _one_of("log", self.log, (None, *get_args(Log)))
        if self.ref != "max":
            _check("ref", self.ref, '> 0 or "max"', lambda value: value > 0)
        if self.top_db is not None:
            _check("top_db", self.top_db, ">= 0", lambda value: value >= 0)
            if self.log != "db":
                raise ParameterError(f'top_db={self.top_db} needs log="db", not log={self.log!r}')
        if not isinstance(self.norm, (int, float, np.number)):
            _one_of("norm", self.norm, ("slaney", None))
        self._set("window", self._plain_window())

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _plain_window(self) -> str | float | tuple[Any, ...]:
        """The window as data that can be compared, hashed and written down."""
        window = self.window
        if isinstance(window, (str, int, float)):
            return window
        if isinstance(window, tuple) and window and isinstance(window[0], str):
            return window
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


def _count(name: str, value: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value > 0:
        return int(value)
    raise ParameterError(f"{name}={value!r} is not a positive integer")


def _check(name: str, value: Any, rule: str, holds: Callable[[float], bool]) -> None:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not holds(value):
        raise ParameterError(f"{name}={value!r} is not a number {rule}")


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value is a or (isinstance(a, str) and value == a) for a in allowed):
        raise ParameterError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")
