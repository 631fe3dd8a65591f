"""Mel spectrograms: librosa's numbers, many times faster.

This module is the map: it names every public call and the module that holds it. A call is
imported when it is first used: ``import fastmel`` itself loads none of the dependencies
(Numba, SciPy, soundfile, soxr, matplotlib).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the table below, for type checkers and editors
    from fastmel import corpus as corpus
    from fastmel import display as display
    from fastmel import effects as effects
    from fastmel import feature as feature
    from fastmel import filters as filters
    from fastmel import frontends as frontends
    from fastmel import util as util
    from fastmel.audio import get_duration as get_duration
    from fastmel.audio import get_samplerate as get_samplerate
    from fastmel.audio import load as load
    from fastmel.audio import resample as resample
    from fastmel.audio import stream as stream
    from fastmel.audio import to_mono as to_mono
    from fastmel.convert import blocks_to_frames as blocks_to_frames
    from fastmel.convert import blocks_to_samples as blocks_to_samples
    from fastmel.convert import blocks_to_time as blocks_to_time
    from fastmel.convert import fft_frequencies as fft_frequencies
    from fastmel.convert import frames_to_samples as frames_to_samples
    from fastmel.convert import frames_to_time as frames_to_time
    from fastmel.convert import hz_to_mel as hz_to_mel
    from fastmel.convert import mel_frequencies as mel_frequencies
    from fastmel.convert import mel_to_hz as mel_to_hz
    from fastmel.convert import samples_like as samples_like
    from fastmel.convert import samples_to_frames as samples_to_frames
    from fastmel.convert import samples_to_time as samples_to_time
    from fastmel.convert import time_to_frames as time_to_frames
    from fastmel.convert import time_to_samples as time_to_samples
    from fastmel.convert import times_like as times_like
    from fastmel.engines.pool import get_num_threads as get_num_threads
    from fastmel.engines.pool import set_num_threads as set_num_threads
    from fastmel.exceptions import ParameterError as ParameterError
    from fastmel.frontends.config import MelConfig as MelConfig
    from fastmel.frontends.presets import frontend as frontend
    from fastmel.frontends.transform import MelSpectrogram as MelSpectrogram
    from fastmel.inversion import griffinlim as griffinlim
    from fastmel.inversion import istft as istft
    from fastmel.patch import patch_librosa as patch_librosa
    from fastmel.patch import patched_librosa as patched_librosa
    from fastmel.patch import unpatch_librosa as unpatch_librosa
    from fastmel.spectrum import amplitude_to_db as amplitude_to_db
    from fastmel.spectrum import db_to_amplitude as db_to_amplitude
    from fastmel.spectrum import db_to_power as db_to_power
    from fastmel.spectrum import magphase as magphase
    from fastmel.spectrum import pcen as pcen
    from fastmel.spectrum import power_to_db as power_to_db
    from fastmel.spectrum import stft as stft
    from fastmel.weighting import A_weighting as A_weighting
    from fastmel.weighting import B_weighting as B_weighting
    from fastmel.weighting import C_weighting as C_weighting
    from fastmel.weighting import D_weighting as D_weighting
    from fastmel.weighting import Z_weighting as Z_weighting
    from fastmel.weighting import frequency_weighting as frequency_weighting
    from fastmel.weighting import multi_frequency_weighting as multi_frequency_weighting
    from fastmel.weighting import perceptual_weighting as perceptual_weighting

__version__ = "0.1.0"

#: public name -> the module that defines it
_HOME = {
    "ParameterError": "exceptions",
    "load": "audio",
    "stream": "audio",
    "to_mono": "audio",
    "resample": "audio",
    "get_duration": "audio",
    "get_samplerate": "audio",
    "hz_to_mel": "convert",
    "mel_to_hz": "convert",
    "mel_frequencies": "convert",
    "fft_frequencies": "convert",
    "blocks_to_frames": "convert",
    "blocks_to_samples": "convert",
    "blocks_to_time": "convert",
    "frames_to_samples": "convert",
    "frames_to_time": "convert",
    "samples_like": "convert",
    "samples_to_frames": "convert",
    "samples_to_time": "convert",
    "time_to_frames": "convert",
    "time_to_samples": "convert",
    "times_like": "convert",
    "stft": "spectrum",
    "istft": "inversion",
    "griffinlim": "inversion",
    "magphase": "spectrum",
    "pcen": "spectrum",
    "power_to_db": "spectrum",
    "amplitude_to_db": "spectrum",
    "db_to_power": "spectrum",
    "db_to_amplitude": "spectrum",
    "A_weighting": "weighting",
    "B_weighting": "weighting",
    "C_weighting": "weighting",
    "D_weighting": "weighting",
    "Z_weighting": "weighting",
    "frequency_weighting": "weighting",
    "multi_frequency_weighting": "weighting",
    "perceptual_weighting": "weighting",
    "patch_librosa": "patch",
    "patched_librosa": "patch",
    "unpatch_librosa": "patch",
    "MelConfig": "frontends.config",
    "MelSpectrogram": "frontends.transform",
    "frontend": "frontends.presets",
    "set_num_threads": "engines.pool",
    "get_num_threads": "engines.pool",
}

#: public modules reached as attributes: fastmel.feature.melspectrogram, fastmel.filters.mel
_MODULES = ("corpus", "display", "effects", "feature", "filters", "frontends", "util")

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
