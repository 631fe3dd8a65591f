"""Mel spectrograms: librosa's numbers, many times faster.

This module is the map: it names every public call and the module that holds it. A call is
imported when it is first used, so that ``import fastmel`` loads NumPy's users' dependencies
(Numba, SciPy, soundfile, matplotlib) only when they are needed.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: public name -> the module that defines it
_HOME = {
    "ParameterError": "exceptions",
    "load": "audio",
    "to_mono": "audio",
    "resample": "audio",
    "get_duration": "audio",
    "get_samplerate": "audio",
    "hz_to_mel": "convert",
    "mel_to_hz": "convert",
    "mel_frequencies": "convert",
    "fft_frequencies": "convert",
    "stft": "spectrum",
    "magphase": "spectrum",
    "power_to_db": "spectrum",
    "amplitude_to_db": "spectrum",
    "db_to_power": "spectrum",
    "db_to_amplitude": "spectrum",
    "MelConfig": "frontends.config",
    "MelSpectrogram": "frontends.transform",
    "set_num_threads": "engines.pool",
    "get_num_threads": "engines.pool",
}

#: public modules reached as attributes: fastmel.feature.melspectrogram, fastmel.filters.mel
_MODULES = ("feature", "filters", "util")

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
