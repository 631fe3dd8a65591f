"""MelSpectrogram: a configuration worked out once, then called with signals."""

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmel import engines, filters
from fastmel.engines.plan import mel_plan
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec
from fastmel.util import check_audio_form

from .config import Log, MelConfig, PadMode

__all__ = ["MelSpectrogram", "transform_for"]


class MelSpectrogram:
    """The mel spectrogram of signals, its tables made once.

    Parameters
    ----------
    sr, n_fft, hop_length, ..., top_db
        The fields of :class:`fastmel.MelConfig`, with its defaults. A `hop_length` of None is a
        quarter of the window.
    engine : {"auto", "fused", "scipy", "reference"}
        What computes it. "auto" takes "fused" wherever that engine can (float32 samples, an n_fft
        with no prime factor above 7, power 1 or 2) and "scipy" elsewhere.

    Attributes
    ----------
    config : MelConfig
        The configuration.
    engine : str
        The engine that float32 signals get.

    Raises
    ------
    ParameterError
        If a parameter is out of its range, or `engine` cannot compute it.

    Examples
    --------
    >>> import numpy as np
    >>> transform = MelSpectrogram(sr=16000, n_fft=400, hop_length=160, n_mels=80, log="db")
    >>> transform(np.zeros(16000, dtype=np.float32)).shape
    (80, 101)
    >>> transform(np.zeros((4, 16000), dtype=np.float32)).shape
    (4, 80, 101)
    """

    def __init__(
        self,
        sr: float = 22050,
        n_fft: int = 2048,
        hop_length: int | None = 512,
        *,
        win_length: int | None = None,
        window: WindowSpec = "hann",
        center: bool = True,
        pad_mode: PadMode = "constant",
        power: float = 2.0,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        htk: bool = False,
        norm: Literal["slaney"] | float | None = "slaney",
        log: Log | None = None,
        ref: float | Literal["max"] = 1.0,
        amin: float = 1e-10,
        top_db: float | None = None,
        engine: str = "auto",
    ) -> None:
        if hop_length is None:
            hop_length = max(1, (n_fft if win_length is None else win_length) // 4)
        config = MelConfig(
            sr, n_fft, hop_length, win_length, window, center, pad_mode, power, n_mels, fmin, fmax,
            htk, norm, log, ref, amin, top_db,
        )  # fmt: skip
        self._prepare(config, engine)
        self.warn_of_empty_bands(stacklevel=3)

    @classmethod
    def from_config(cls, config: MelConfig, engine: str = "auto") -> "MelSpectrogram":
        """Return the transform of a configuration."""
        transform = cls.__new__(cls)
        transform._prepare(config, engine)
        transform.warn_of_empty_bands(stacklevel=3)
        return transform

    def _prepare(self, config: MelConfig, engine: str) -> None:
        engines.check_name(engine)
        self.config = config
        self._plan = mel_plan(config)
        self._forced = engine
        self.engine = engines.choose(self._plan, np.dtype(np.float32), engine)

    def __repr__(self) -> str:
        fields = repr(self.config).partition("(")[2][:-1]
        return f"MelSpectrogram({fields}{', ' if fields else ''}engine={self.engine!r})"

    def __call__(self, y: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Compute the mel spectrogram of one signal or many.

        Parameters
        ----------
        y : array_like of float, shape (..., samples)
            Finite signals at `sr`; a result never depends on the other signals of a call.
        out : ndarray, shape (..., n_mels, n_frames), optional
            Where to put the result: C-contiguous, of the samples' type.

        Returns
        -------
        ndarray, shape (..., n_mels, n_frames)
            float32 of float32 samples; float64 of float64 samples.

        Raises
        ------
        ParameterError
            If the samples are not floating-point or not finite, a signal is shorter than a frame
            (with ``center=False``) or cannot be padded, or `out` does not fit.
        """
        y = np.asarray(y)
        check_audio_form(y)
        real = np.float64 if y.dtype.itemsize >= 8 else np.float32
        shape = (*y.shape[:-1], self._plan.n_mels, self.n_frames(y.shape[-1]))
        if out is None:
            out = np.empty(shape, dtype=real)
        elif out.shape != shape or out.dtype != real or not out.flags.carray:
            raise ParameterError(
                f"out is {out.dtype} of shape {out.shape}; give a writable C-contiguous array of "
                f"{np.dtype(real)} and shape {shape}"
            )
        n_signals = math.prod(shape[:-2])
        signals = np.ascontiguousarray(y, dtype=real).reshape(n_signals, y.shape[-1])
        values = out.reshape(n_signals, *shape[-2:])
        if values.size:
            engines.mel(self._plan, signals, values, self._forced)
            self._finish(values)
        return out

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a signal.

        Raises
        ------
        ParameterError
            If there would be none, or the padding needs samples and there are none.
        """
        spectrum = self._plan.spectrum
        n_frames = spectrum.n_frames(n_samples)
        if n_frames == 0:
            raise ParameterError(
                f"a signal of {n_samples} samples is shorter than a frame of n_fft="
                f"{spectrum.n_fft} samples; pad it, or use center=True"
            )
        if n_samples == 0 and spectrum.pad_mode not in ("constant", "empty"):
            raise ParameterError(
                f'an empty signal cannot be padded with pad_mode="{spectrum.pad_mode}"; '
                'use pad_mode="constant"'
            )
        return n_frames

    def warn_of_empty_bands(self, stacklevel: int = 2) -> None:
        """Warn if a band is too narrow for any FFT bin (see :func:`fastmel.filters.mel`)."""
        if self._plan.has_empty_band:
            filters.warn_of_empty_bands(stacklevel + 1)

    def _finish(self, values: NDArray[Any]) -> None:
        """Apply what needs each signal's largest value."""
        config = self.config
        if config.ref != "max" and config.top_db is None:
            return
        for signal in values:
            peak = signal.max()
            if config.top_db is not None:
                np.maximum(signal, peak - signal.dtype.type(config.top_db), out=signal)
            if config.ref == "max" and config.log is not None:
                signal -= peak


@lru_cache(maxsize=64)
def transform_for(config: MelConfig) -> MelSpectrogram:
    """Return a transform, the same one for equal configurations; leaves warnings to the caller."""
    transform = MelSpectrogram.__new__(MelSpectrogram)
    transform._prepare(config, "auto")
    return transform
