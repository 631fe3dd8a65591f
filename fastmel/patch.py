"""Make programs that call librosa faster as they are."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from importlib import import_module
from typing import Any

__all__ = ["patch_librosa", "patched_librosa", "unpatch_librosa"]

#: librosa's module -> its functions that have a faster one in fastmel -> where that is
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
    "librosa.filters": {"mel": "fastmel.filters"},
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
    "librosa.feature.utils": {"stack_memory": "fastmel.feature"},
}

#: what is patched now: name -> (librosa's function, what stands in its place)
_patched: dict[str, tuple[Any, Any]] = {}


def patch_librosa() -> tuple[str, ...]:
    """Put fastmel's functions in the place of librosa's, wherever librosa's modules name them.

    A call that fastmel refuses, for whatever reason, is answered by librosa's own function, so
    options that only librosa has still work, and errors are librosa's. Code that took a function
    out of librosa before (``from librosa import stft``) keeps the one it has: patch first.

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
        version = import_module("librosa").__version__
        is_old = int(version.partition(".")[0]) < 1
        for module_name, homes in _FASTER.items():
            module = import_module(module_name)
            for name, home in homes.items():
                original = getattr(module, name)
                fast = getattr(import_module(home), name)
                if is_old:
                    fast = _as_before_1(name, fast)
                _patched[f"{module_name}.{name}"] = original, _first(fast, original)
        _exchange(list(_patched.values()))
    return tuple(_patched)


def unpatch_librosa() -> None:
    """Undo :func:`patch_librosa`, also in modules of librosa's that were loaded since."""
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


def _first(fast: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that tries `fast` first."""

    @wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(Exception):
            return fast(*args, **kwargs)
        return original(*args, **kwargs)

    return replacement


def _as_before_1(name: str, fast: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with librosa 0.11's peak: the loudest value of all channels."""
    if name in ("power_to_db", "amplitude_to_db"):
        return partial(fast, axes=None)
    if name == "mfcc":

        def mfcc(*, y: Any = None, S: Any = None, **kwargs: Any) -> Any:
            if S is None and y.ndim > 1:
                raise NotImplementedError("several channels with one peak")
            return fast(y=y, S=S, **kwargs)

        return mfcc
    return fast


def _exchange(pairs: list[tuple[Any, Any]]) -> None:
    """Replace the first of each pair by the second in all modules of librosa's."""
    # by identity, since not everything that a module holds can be compared or hashed
    replacements = {id(old): new for old, new in pairs}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] == "librosa":
            for name, value in list(vars(module).items()):
                if id(value) in replacements:
                    setattr(module, name, replacements[id(value)])
