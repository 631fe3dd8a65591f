"""The engines: the line of work, told once per engine.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

- ``reference``  plain NumPy in float64: slow, obvious, what every number means;
- ``scipy``      any n_fft, float32 and float64, every option;
- ``fused``      explicit SIMD, n_fft with no prime factor above 7, power 1 or 2: the fast one;
- ``cuda``       an NVIDIA GPU, if it is asked for by name.

An engine is a module with ``mel(plan, y, out)`` and ``stft(plan, y, out)`` on (rows, samples). A
new one is one file and one line in ``_MODULES``. Signals arrive checked but for NaN and infinity,
which are found here: by the fused engine while it loads the samples, else by a pass over them. The
GPU takes signals to their features in one go (``cuda_program.Program``): they cross the bus once.
"""

from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel import util
from fastmel.exceptions import ParameterError

from .plan import MelPlan, SpectrumPlan

__all__ = ["NAMES", "check_name", "choose", "energy", "mel", "stft"]

#: name -> module
_MODULES = {"reference": "reference", "scipy": "scipy_fft", "fused": "fused"}

#: what the argument ``engine`` may be
NAMES = ("auto", *_MODULES, "cuda")


def check_name(engine: str) -> None:
    """Raise ParameterError if there is no engine of this name."""
    if engine not in NAMES:
        raise ParameterError(f"engine={engine!r} is not one of {', '.join(map(repr, NAMES))}")


@lru_cache(maxsize=256)
def choose(plan: MelPlan | SpectrumPlan, dtype: np.dtype[Any], engine: str = "auto") -> str:
    """Return the engine that computes ``plan`` on samples of ``dtype``.

    Raises
    ------
    ParameterError
        If ``engine`` is "fused" or "cuda" and it cannot.
    """
    if engine in ("reference", "scipy"):
        return engine
    if engine == "cuda":
        from . import cuda_layout

        reason = cuda_layout.why_not(plan, dtype)
        if reason is not None:
            raise ParameterError(f'engine="cuda" {reason}; or use engine="auto"')
        return engine
    from .fused import why_not

    reason = why_not(plan, dtype)
    if reason is None:
        return "fused"
    if engine == "auto":
        return "scipy"
    raise ParameterError(f'engine="fused" {reason}; use engine="auto" or engine="scipy"')


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any], engine: str = "auto") -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames).

    Raises
    ------
    ParameterError
        If a sample is NaN or infinite.
    """
    _run("mel", plan, y, out, engine)


def stft(
    y: NDArray[Any],
    *,
    window: NDArray[Any],
    n_fft: int,
    hop_length: int,
    center: bool,
    pad_mode: Any,
    out: NDArray[Any],
    engine: str = "auto",
) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins).

    Raises
    ------
    ParameterError
        If a sample is NaN or infinite.
    """
    pad, pad_mode = (n_fft // 2, pad_mode) if center else (0, "constant")
    if callable(pad_mode):  # a function of numpy.pad's: the one thing kernels cannot do
        y = np.pad(y, [(0, 0), (pad, pad)], mode=pad_mode)
        pad, pad_mode = 0, "constant"
    values = np.asarray(window, dtype=np.float64)
    plan = _spectrum_plan(n_fft, hop_length, pad, pad_mode, values.tobytes())
    _run("stft", plan, y, out, engine)


def energy(
    plan: SpectrumPlan, floor: float, y: NDArray[Any], out: NDArray[Any], engine: str = "auto"
) -> None:
    """Write the natural logarithms of the frames' energies into (rows, n_frames).

    The fused engine leaves these few sums to the scipy engine.
    """
    name = "reference" if engine == "reference" else "scipy"
    _module(name).energy(plan, floor, y, out)


def _run(
    work: str, plan: MelPlan | SpectrumPlan, y: NDArray[Any], out: NDArray[Any], engine: str
) -> None:
    engine = choose(plan, y.dtype, engine)
    if engine != "fused":
        util.valid_audio(y)
    getattr(_module(engine), work)(plan, y, out)


@cache
def _module(engine: str) -> Any:
    return import_module(f".{_MODULES[engine]}", __name__)


@lru_cache(maxsize=64)
def _spectrum_plan(
    n_fft: int, hop_length: int, pad: int, pad_mode: Any, window: bytes
) -> SpectrumPlan:
    return SpectrumPlan(n_fft, hop_length, np.frombuffer(window), pad, pad, pad_mode)
