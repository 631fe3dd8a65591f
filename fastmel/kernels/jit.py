"""How kernels are compiled, and where their machine code is kept between processes.

Numba's own disk cache does not see changes in the functions that a kernel calls, can hand one
process the code of another signature or another CPU when two of them write at once, and refuses
to import where nothing can be written. Kernels are therefore decorated with :func:`jit`, which
gives each a cache with one file per compiled signature and no index: the file's name is a hash
of everything that decides the code, it appears complete or not at all, and whatever goes wrong
with it costs time, never a result.
"""

import contextlib
import hashlib
import os
import pickle
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from inspect import unwrap
from pathlib import Path
from types import FunctionType, NoneType
from typing import Any, TypeVar, overload

import llvmlite.binding as llvm
import numba
import numpy as np
import numpy.ma  # Numba imports it at its first call: see _TARGET
from llvmlite.binding import ffi
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

from fastmel import __version__

__all__ = [
    "CacheWarning", "KernelCache", "cache_directory", "cpu_name", "identify", "jit", "simd_width"
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])

#: Target triple, CPU name and CPU features of Numba's code generator. Numba makes that when
#: first asked, behind a lock of its own (as Python does with imports). A child that is forked at
#: that moment hangs, so it is asked now, before there are kernels.
_TARGET: tuple[str, str, str] = cpu_target.target_context.codegen().magic_tuple()

#: Not True: that would add "nnan" and "ninf", and a NaN sample would no longer give NaN.
_FASTMATH = frozenset({"contract", "reassoc", "nsz"})

#: Numba's settings (from NUMBA_OPT and so on) that change the code of a kernel.
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")

#: Types whose repr is the same in every process and tells all values apart.
_PLAIN = (int, float, str, NoneType, np.generic, np.dtype, numba.types.Type)

_UNUSED_DAYS = 90

_has_warned = False


class CacheWarning(RuntimeWarning):
    """Compiled kernels cannot be kept on disk, so every new process compiles them again."""


@overload
def jit(function: F, /) -> F: ...


@overload
def jit(*, fastmath: bool = True) -> Callable[[F], F]: ...


def jit(function: F | None = None, /, *, fastmath: bool = True) -> F | Callable[[F], F]:
    """Make a kernel of a function: compiled at its first call, without the GIL, kept on disk.

    Parameters
    ----------
    function : callable
        A module-level function, or one made by a factory. It may close over numbers, strings,
        dtypes, functions, kernels, intrinsics and tuples of them; these become part of its name.
    fastmath : bool
        Whether the compiler may reorder sums, fuse multiply-adds and ignore the sign of zero.
        NaN and infinity keep their meaning either way.

    Raises
    ------
    TypeError
        If the function closes over a value that has no name that is the same in every process.
    """
    if function is None:
        return lambda function: _kernel(function, fastmath)
    return _kernel(function, fastmath)


def _kernel(function: F, fastmath: bool) -> F:
    # Two kernels of one factory differ in their closures only, but Numba names their machine code
    # by qualified name, argument types and a per-process counter. Compiled by two processes and
    # loaded by a third they can carry the same symbol, and one would run in place of the other.
    identity = hashlib.sha256(identify(function).encode()).hexdigest()
    if "<locals>" in function.__qualname__:
        function.__qualname__ += f".{identity[:12]}"
    kernel: Any = numba.njit(
        nogil=True, error_model="numpy", fastmath=set(_FASTMATH) if fastmath else False
    )(function)
    kernel._cache = _CpuCache(f"{identity} {fastmath}")
    return kernel  # type: ignore[no-any-return]


def identify(value: Any) -> str:
    """Describe a function, or a value that one closes over, in the same words in every process."""
    value = unwrap(value)  # kernels and intrinsics wrap the function that they were made of
    if isinstance(value, FunctionType):
        code = value.__code__
        closure = [identify(cell.cell_contents) for cell in value.__closure__ or ()]
        # The sources are hashed once for all; this is for functions of one name in one module.
        place = (value.__module__, value.__qualname__, code.co_firstlineno, code.co_code)
        return repr((place, [c for c in code.co_consts if isinstance(c, _PLAIN)], closure))
    if isinstance(value, tuple):
        return repr([identify(item) for item in value])
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    raise TypeError(
        f"a kernel cannot close over {value!r}: use numbers, strings, dtypes, functions, kernels, "
        "intrinsics or tuples of them, so that its compiled code can be found again"
    )


def cpu_name() -> str:
    """Return LLVM's name of the CPU that kernels are compiled for."""
    return _TARGET[1]


@cache
def simd_width() -> int:
    """Return the number of float32 lanes in the widest vector register that kernels can use.

    Returns
    -------
    int
        16 with AVX-512 (F, VL, BW and DQ), 8 with AVX2, else 4.
    """
    # LLVM knows what a CPU name implies, so ask it: adding 64 bytes takes one zmm register only
    # with AVX-512BW (every CPU that has BW has F, VL and DQ), and ymm registers only with AVX2.
    triple, cpu, features = _TARGET
    if cpu != llvm.get_host_cpu_name() and not os.environ.get("NUMBA_CPU_FEATURES"):
        features = ""  # Numba adds this machine's to those of the CPU that NUMBA_CPU_NAME names
    source = """
        define <64 x i8> @sum(<64 x i8> %a, <64 x i8> %b) {
            %c = add <64 x i8> %a, %b
            ret <64 x i8> %c
        }"""
    with global_compiler_lock:
        target = llvm.Target.from_triple(triple)
        machine = target.create_target_machine(cpu=cpu, features=features, opt=1)
        assembly = machine.emit_assembly(llvm.parse_assembly(source))
    additions = " ".join(line for line in assembly.splitlines() if "paddb" in line)
    return 16 if "zmm" in additions else 8 if "ymm" in additions else 4


def cache_directory() -> Path | None:
    """Return the directory that keeps compiled kernels, None if there is none.

    It lies in ``$FASTMEL_CACHE_DIR``, or if that is not set in the user's cache directory, or if
    that cannot be used in the system's directory for temporary files. ``FASTMEL_CACHE=0``
    switches the cache off.
    """
    readable = None
    for directory in _directories():
        with contextlib.suppress(OSError):
            _make(directory)
            if os.access(directory, os.W_OK):
                return directory
        if readable is None and _is_private(directory):
            readable = directory
    return readable


def _directories() -> list[Path]:
    """Return the directories to look in, in order; files are written to the first that works."""
    if os.environ.get("FASTMEL_CACHE") == "0":
        return []
    if chosen := os.environ.get("FASTMEL_CACHE_DIR"):
        roots = [Path(chosen).absolute()]
    else:
        user = os.geteuid() if hasattr(os, "geteuid") else "user"
        roots = [Path(tempfile.gettempdir(), f"fastmel-{user}")]
        with contextlib.suppress(RuntimeError):  # no home directory can be found
            roots.insert(0, _user_cache() / "fastmel")
    return [root / _edition() for root in roots]


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@cache
def _edition() -> str:
    """Name what all files of one directory have in common: versions, CPU and kernel sources."""
    llvm_version = ".".join(map(str, llvm.llvm_version_info))
    python = f"{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
    cpu = re.sub(r"[^\w.-]", "_", cpu_name())
    return f"nb{numba.__version__}-llvm{llvm_version}-py{python}-{cpu}-w{simd_width()}-{_SOURCES}"


def _hash_sources() -> str:
    """Hash the version and every source file that kernels are made in."""
    sources = hashlib.sha256(__version__.encode())
    for floor in ("engines", "kernels"):
        for path in sorted((Path(__file__).parents[1] / floor).glob("*.py")):
            sources.update(path.name.encode() + b"\0" + path.read_bytes())
    return sources.hexdigest()[:16]


#: Taken now and not at the first compilation, when somebody may have edited what was imported.
_SOURCES = _hash_sources()


class KernelCache(NullCache):
    """What Numba asks for a kernel's compiled signatures, and gives them to.

    What is kept of one, and what else decides the code, is a subclass's.

    Parameters
    ----------
    identity : str
        What tells the kernel from all others of this package.
    """

    def __init__(self, identity: str) -> None:
        self._identity = identity

    @property
    def cache_path(self) -> str | None:
        """Where Numba says that compiled kernels are."""
        directory = cache_directory()
        return None if directory is None else str(directory)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None if it cannot be found or read."""
        name = self._file_name(signature)
        for directory in _directories():
            # Unpickling can raise anything, and whatever it is, compiling afresh is the answer.
            with contextlib.suppress(Exception):
                return self._unpacked(_read(directory, name), target_context)
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep what was compiled for a signature; warn once if that cannot be done."""
        directories = _directories()
        if not directories or not self._can_be_kept(result):
            return
        name = self._file_name(signature)
        failures = []
        for directory in directories:
            try:
                _write(directory, name, self._packed(result))
                return
            except Exception as error:  # here too, the kernel itself is ready and right
                failures.append(error)
        _warn_once(directories[0].parent, failures[0])

    def _file_name(self, signature: Any) -> str:
        key = self._identity, str(signature), *self._surroundings()
        return hashlib.sha256(repr(key).encode()).hexdigest()[:40]

    def _surroundings(self) -> tuple[object, ...]:
        raise NotImplementedError

    def _can_be_kept(self, result: Any) -> bool:
        return True

    def _packed(self, result: Any) -> bytes:
        raise NotImplementedError

    def _unpacked(self, data: bytes, target_context: Any) -> Any:
        raise NotImplementedError


class _CpuCache(KernelCache):
    """That of a kernel for the CPU."""

    def _surroundings(self) -> tuple[object, ...]:
        return _TARGET, [vars(config)[name] for name in _SETTINGS]

    def _can_be_kept(self, result: Any) -> bool:
        return not (result.lifted or result.library.has_dynamic_globals)

    def _packed(self, result: Any) -> bytes:
        return bytes(dumps(result._reduce()))  # type: ignore[no-untyped-call]

    def _unpacked(self, data: bytes, target_context: Any) -> Any:
        parts = pickle.loads(data)
        # All that finished code needs of Numba. What compiling needs would take 0.2 to 0.4 s to
        # load, and the compiler itself asks for it when it is called.
        rtsys.initialize(target_context)
        return CompileResult._rebuild(target_context, *parts)  # type: ignore[no-untyped-call]


def _read(directory: Path, name: str) -> bytes:
    """Return what :func:`_write` wrote, or raise OSError or ValueError."""
    data = (directory / name).read_bytes()
    if not _is_private(directory):
        raise PermissionError(f"others can write to {directory}")
    payload = data[32:]
    if data[:32] != _seal(name, payload):
        raise ValueError(f"{name} is damaged")
    with contextlib.suppress(OSError):
        os.utime(directory)  # it is in use: see _prune
    return payload


def _write(directory: Path, name: str, payload: bytes) -> None:
    _make(directory)
    draft = directory / f"{name}.{secrets.token_hex(8)}"
    try:
        draft.write_bytes(_seal(name, payload) + payload)
        os.replace(draft, directory / name)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _seal(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(name.encode() + payload).digest()


def _make(directory: Path) -> None:
    """Make a directory for compiled kernels unless it is there, or raise OSError."""
    if not directory.is_dir():
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        _prune(directory.parent)
    if not _is_private(directory):
        raise PermissionError(f"{directory} belongs to another user, or others can write to it")


def _is_private(directory: Path) -> bool:
    """Tell whether all files here come from this user or root: what is read gets executed."""
    if not hasattr(os, "geteuid"):
        return directory.is_dir()
    try:
        found = [path.stat() for path in (directory, directory.parent)]
    except OSError:
        return False
    return all(
        status.st_uid in (os.geteuid(), 0) and not status.st_mode & stat.S_IWOTH for status in found
    )


def _prune(root: Path) -> None:
    """Remove the directories of other versions that no process has used for a long time."""
    for directory in root.glob("nb*-llvm*-py*-w*-*"):
        with contextlib.suppress(OSError):
            if time.time() - directory.stat().st_mtime > _UNUSED_DAYS * 86400:
                shutil.rmtree(directory, ignore_errors=True)


def _warn_once(root: Path, failure: Exception) -> None:
    global _has_warned
    if _has_warned:
        return
    _has_warned = True
    warnings.warn(
        f"fastmel cannot keep its compiled kernels in {root} ({failure}), so every new process "
        "compiles them again: set FASTMEL_CACHE_DIR to a directory that is yours and can be "
        "written to, or FASTMEL_CACHE=0 to do without.",
        CacheWarning,
        stacklevel=2,
    )


# A child that is forked while another thread is inside the compiler or LLVM would inherit their
# locks with nobody to release them, and hang at its first kernel. So a fork waits for both.
_llvm_lock = getattr(ffi.lib, "_lock", contextlib.nullcontext())


def _lock() -> None:
    global_compiler_lock.acquire()  # type: ignore[no-untyped-call]
    _llvm_lock.__enter__()


def _unlock() -> None:
    _llvm_lock.__exit__(None, None, None)
    global_compiler_lock.release()  # type: ignore[no-untyped-call]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock, after_in_parent=_unlock, after_in_child=_unlock)
