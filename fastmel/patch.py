"""Make programs that call librosa faster as they are."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np

from fastmel.exceptions import ParameterError

__all__ = ["patch_librosa", "patched_librosa", "unpatch_librosa"]

#: librosa's module -> its functions that have a faster one in fastmel -> where that is.
#: What librosa makes of these gets faster by itself: effects.trim, perceptual_weighting and more.
_FASTER = {
    "librosa.core.spectrum": {
        "stft": "fastmel.spectrum",
        "istft": "fastmel.inversion",
        "griffinlim": "fastmel.inversion",
        "magphase": "fastmel.spectrum",
        "power_to_db": "fastmel.spectrum",
        "amplitude_to_db": "fastmel.spectrum",
        "pcen": "fastmel.spectrum",
    },
    "librosa.effects": {"preemphasis": "fastmel.effects", "deemphasis": "fastmel.effects"},
    "librosa.filters": {"mel": "fastmel.filters", "window_sumsquare": "fastmel.filters"},
    "librosa.feature.spectral": {
        "melspectrogram": "fastmel.feature",
        "mfcc": "fastmel.feature",
        "rms": "fastmel.feature",
        "spectral_bandwidth": "fastmel.feature",
        "spectral_centroid": "fastmel.feature",
        "spectral_flatness": "fastmel.feature",
        "spectral_rolloff": "fastmel.feature",
        "zero_crossing_rate": "fastmel.feature",
    },
    "librosa.feature.inverse": {"mel_to_stft": "fastmel.feature.inverse"},
    "librosa.feature.utils": {"delta": "fastmel.feature", "stack_memory": "fastmel.feature"},
}

#: the types of what the kernels compute with
_FAST_TYPES = frozenset(map(np.dtype, (np.float32, np.float64, np.complex64, np.complex128)))

#: what is patched now: name -> (librosa's function, what stands in its place)
_patched: dict[str, tuple[Any, Any]] = {}

Function = Callable[..., Any]


def patch_librosa() -> tuple[str, ...]:
    """Put fastmel's functions in the place of librosa's, wherever librosa's modules name them.

    They answer calls whose arrays are NumPy's own, in single or double precision. All other calls,
    which would not be faster, go on to librosa's functions, and so do those that fastmel refuses
    with a :class:`fastmel.ParameterError`: what librosa takes still works, and errors are
    librosa's. Code that took a function out of librosa before (``from librosa import stft``) keeps
    the one it has, and while librosa is patched, that one cannot be pickled, as pools of processes
    and joblib do with what they call: patch first.

    Returns
    -------
    tuple of str
        What is patched now, by the names of librosa's functions.

    Raises
    ------
    ModuleNotFoundError
        If librosa is not installed.

    Examples
    --------
    >>> "librosa.core.spectrum.stft" in patch_librosa()
    True
    >>> unpatch_librosa()
    """
    if not _patched:
        is_old = int(import_module("librosa").__version__.partition(".")[0]) < 1
        pairs = {}
        for module_name, homes in _FASTER.items():
            module = import_module(module_name)
            for name, home in homes.items():
                original, fast = getattr(module, name), getattr(import_module(home), name)
                if is_old and name in _BEFORE_1:
                    fast = _BEFORE_1[name](fast, original)
                pairs[f"{module_name}.{name}"] = original, _replacement(fast, original)
        _patched.update(pairs)
        _exchange(list(pairs.values()))
    return tuple(_patched)


def unpatch_librosa() -> None:
    """Undo :func:`patch_librosa`, also in modules of librosa's that were loaded since.

    Functions that other code took out of librosa in between call librosa's again, too.
    """
    _exchange([(replacement, original) for original, replacement in _patched.values()])
    _patched.clear()


@contextlib.contextmanager
def patched_librosa() -> Iterator[tuple[str, ...]]:
    """Patch librosa in a ``with`` block, unless it is patched already.

    Yields
    ------
    tuple of str
        What :func:`patch_librosa` returns.

    Examples
    --------
    >>> import librosa
    >>> with patched_librosa():
    ...     librosa.filters.mel(sr=16000, n_fft=512, n_mels=40).shape
    (40, 257)
    """
    was_patched = bool(_patched)
    try:
        yield patch_librosa()
    finally:
        if not was_patched:
            unpatch_librosa()


def _replacement(fast: Function, original: Function) -> Function:
    """Return what stands in the place of `original`: `fast`, for the calls that it is fast for."""

    @wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        if _patched and all(map(_is_fast_with, (*args, *kwargs.values()))):
            # what fastmel refuses, librosa may take, and it has its own words and types of errors
            with contextlib.suppress(ParameterError):
                return fast(*args, **kwargs)
        return original(*args, **kwargs)

    return replacement


def _is_fast_with(argument: Any) -> bool:
    """Say whether an argument is no array, or one of NumPy's own that the kernels take."""
    if isinstance(argument, np.ndarray):
        return type(argument) in (np.ndarray, np.memmap) and argument.dtype in _FAST_TYPES
    return isinstance(argument, np.generic) or not hasattr(type(argument), "__array__")


def _one_peak(fast: Function, original: Function) -> Function:
    """Return power_to_db or amplitude_to_db with one peak of all channels."""

    def to_db(S: Any, *, ref: Any = 1.0, **kwargs: Any) -> Any:
        peak = (lambda S, **_: ref(S)) if callable(ref) else ref
        return fast(S, ref=peak, axes=None, **kwargs)

    return to_db


def _one_peak_mfcc(fast: Function, original: Function) -> Function:
    """Return mfcc that leaves several channels with one peak to `original`."""

    def mfcc(*, y: Any = None, S: Any = None, **kwargs: Any) -> Any:
        has_channels = S is None and np.ndim(y) > 1
        return (original if has_channels else fast)(y=y, S=S, **kwargs)

    return mfcc


def _seeded_as_random_state(fast: Function, original: Function) -> Function:
    """Return griffinlim that makes a RandomState of a seed, and takes no other seeds."""
    generators = (type(None), np.random.RandomState, np.random.Generator)

    def griffinlim(S: Any, *, random_state: Any = None, **kwargs: Any) -> Any:
        if isinstance(random_state, int):
            random_state = np.random.RandomState(random_state)
        if not isinstance(random_state, generators):
            return original(S, random_state=random_state, **kwargs)
        return fast(S, rng=random_state, **kwargs)

    return griffinlim


#: how librosa 0.11 differs from 1.0: name -> maker of the function of fastmel's and librosa's
_BEFORE_1: dict[str, Callable[[Function, Function], Function]] = {
    "power_to_db": _one_peak,
    "amplitude_to_db": _one_peak,
    "mfcc": _one_peak_mfcc,
    "griffinlim": _seeded_as_random_state,
}


def _exchange(pairs: list[tuple[Any, Any]]) -> None:
    """Replace the first of each pair by the second in all modules of librosa's."""
    # by identity, since not everything that a module holds can be compared or hashed
    replacements = {id(old): new for old, new in pairs}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == "librosa":
            for name, value in list(vars(module).items()):
                if id(value) in replacements:
                    setattr(module, name, replacements[id(value)])
