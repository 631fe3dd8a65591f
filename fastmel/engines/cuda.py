"""The package for CUDA and the GPU: the only file that imports one, and that asks for the other.

Kernels (``cuda_line.py``, ``cuda_ending.py``) are closures over the numbers of a layout, which the
compiler sees as constants. They keep to what both packages accept, numba-cuda and numba-cuda-mlir,
and use no operations of warps, so that the CUDA simulator runs them as they are.
"""

import os
import pickle
import re
import warnings
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numba.core import config

from fastmel.exceptions import ParameterError
from fastmel.kernels.jit import KernelCache, identify

#: whether kernels run in Numba's simulator
IS_SIMULATED = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

#: bytes at multiples of which shared memory begins, so that pairs of values are read at once
ALIGNMENT = 16

# numba-cuda's code first: that of its successor, numba-cuda-mlir 0.6, takes twice the registers
# and spills some of them. Without either, Numba's own module is there for the simulator only.
_IS_NUMBA = IS_SIMULATED or find_spec("numba_cuda") or not find_spec("numba_cuda_mlir")
_NO_PACKAGE = (
    'engine="cuda" needs a package for CUDA: pip install "fastmel[cu13]", or "fastmel[cu12]" for '
    "a driver older than 580"
)
try:
    cuda: Any = import_module("numba.cuda" if _IS_NUMBA else "numba_cuda_mlir.cuda")
except ImportError as error:
    raise ParameterError(_NO_PACKAGE) from error

__all__ = [
    "ALIGNMENT", "IS_DIRECT", "IS_SIMULATED", "check", "copy", "cuda", "describe",
    "device", "device_at", "exported", "float_of", "halves", "kernel", "launch", "memory_of",
    "on_gpu", "split", "told_plainly",
]  # fmt: skip


def device(function: Callable[..., Any], *, fastmath: bool = False) -> Any:
    """Compile a function for calls from kernels."""
    return cuda.jit(device=True, fastmath=fastmath)(function)


if IS_SIMULATED:

    def float_of(bits: Any) -> Any:
        """The float32 that consists of the bits of an int32."""
        return bits.view(np.float32)

else:  # one of the packages has no view() of a value
    float_of = import_module(f"{cuda.__name__}.libdevice").int_as_float


@device
def split(unit: Any, n: int) -> Any:
    """Quotient and remainder of what is not negative, in 32 bits."""
    return np.uint32(np.uint32(unit) // np.uint32(n)), np.uint32(np.uint32(unit) % np.uint32(n))


@device
def halves(pair: Any) -> Any:
    """The two values of a pair, which is loaded at once."""
    low, high = np.int32(pair & np.uint64(0xFFFFFFFF)), np.int32(pair >> np.uint64(32))
    return float_of(low), float_of(high)


def kernel(
    n_threads: int, n_at_once: int = 1536, *, fastmath: bool = False
) -> Callable[[Callable[..., None]], Any]:
    """Compile a function for blocks of so many threads, of which so many run on a processor.

    Without optimization at the time of linking, by which numba-cuda 0.30 spills registers.

    fastmath: subnormal numbers may be zeros, quotients and roots err by 2**-23.
    """
    if IS_SIMULATED:
        return lambda function: cuda.jit(function)
    bounds = n_threads, min(max(n_at_once // n_threads, -(-1024 // n_threads)), 16)

    def compiled(function: Callable[..., None]) -> Any:
        dispatcher = cuda.jit(function, launch_bounds=bounds, lto=False, fastmath=fastmath)
        if _IS_NUMBA:
            dispatcher._cache = _GpuCache(f"{identify(function)} {bounds}")
        return dispatcher

    return compiled


# copies and launches, by the driver itself: numba-cuda takes 0.1 ms for each


#: whether numba-cuda's kernels and memory can be given to the driver
IS_DIRECT = bool(_IS_NUMBA and not IS_SIMULATED)


def copy(to: int, source: int, n_bytes: int, stream: Any) -> None:
    """Copy what is at an address, on a stream; memory that is not pinned is read at once."""
    if n_bytes:
        _checked(_bindings().cuMemcpyAsync(to, source, n_bytes, int(stream.handle)))


def launch(
    kernel: Any,
    grid: tuple[int, int],
    n_threads: int,
    device_id: int,
    stream: Any,
    arguments: Sequence[Any],
) -> None:
    """Put a kernel on a stream.

    Parameters
    ----------
    kernel : numba.cuda.dispatcher.CUDADispatcher
        What `kernel` returned.
    grid : (int, int)
        Blocks along x and y.
    n_threads : int
        Threads of a block.
    device_id : int
        The current GPU.
    stream : numba.cuda.cudadrv.driver.Stream
        Where.
    arguments : sequence of Array
        What it takes.
    """
    kinds = tuple([(argument.dtype.char, len(argument.shape)) for argument in arguments])
    function = _function(kernel, kinds, device_id) if IS_DIRECT else None
    if function is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Numba's, of small grids
            kernel[grid, n_threads, stream](*(argument.as_numba() for argument in arguments))
        return
    values = array("Q")
    for argument in arguments:
        values.extend(argument.words())
    first, n = values.buffer_info()
    places = array("Q", range(first, first + 8 * n, 8))
    where = int(stream.handle), places.buffer_info()[0], 0
    _checked(_bindings().cuLaunchKernel(function, *grid, 1, n_threads, 1, 1, 0, *where))


@lru_cache(maxsize=256)
def _function(kernel: Any, kinds: tuple[tuple[str, int], ...], device_id: int) -> Any:
    """The driver's function of a kernel on the current GPU, for types of C-contiguous arrays.

    None if numba-cuda is another one than 0.30 in what it does not promise.
    """
    types = import_module("numba.cuda.types")
    names = ((np.dtype(char).name, n) for char, n in kinds)
    arrays = tuple(types.Array(getattr(types, name), n, "C") for name, n in names)
    compiled = kernel.compile(arrays)
    try:
        handle = int(compiled._codelibrary.get_cufunc().kernel.handle)
    except (AttributeError, TypeError):
        return None
    return _bindings().CUfunction(handle)


@cache
def _bindings() -> Any:
    """The driver's own functions."""
    return import_module("cuda.bindings.driver")


def _checked(results: tuple[Any, ...]) -> None:
    if results[0]:
        raise OSError(results[0].name)


class _GpuCache(KernelCache):
    """Where numba-cuda's kernels are kept between processes, as those for the CPU are."""

    def _surroundings(self) -> tuple[object, ...]:
        packages = _package(), version("cuda-bindings")
        return *packages, cuda.get_current_device().compute_capability

    def _packed(self, kernel: Any) -> bytes:
        from numba.cuda.serialize import dumps

        return bytes(dumps(kernel._reduce_states()))

    def _unpacked(self, data: bytes, target_context: Any) -> Any:
        from numba.cuda.dispatcher import _Kernel

        return _Kernel._rebuild(**pickle.loads(data))


# is there a GPU?


_FORKED = (
    "this process was forked from one that uses the GPU, which CUDA does not allow; start it with "
    'multiprocessing\'s "spawn" method, or use engine="auto" here'
)

#: the process that has begun to use the GPU
_owner: int | None = None


def check() -> None:
    """Begin to use the GPU.

    Raises
    ------
    ParameterError
        If there is no package, no driver, a driver that is too old, or no GPU that is free.
    RuntimeError
        If the GPU was in use in the process from which this one was forked.
    MemoryError
        If the GPU's memory is full.
    """
    global _owner
    if _owner not in (None, os.getpid()):
        raise RuntimeError(_FORKED)
    try:
        if _owner is None and not IS_SIMULATED:
            _look_for_gpu()
        cuda.current_context()  # each thread has its own
    except ParameterError:
        raise
    except Exception as error:
        raise _explained(str(error)) from error
    _owner = os.getpid()


def _look_for_gpu() -> None:
    if _package() is None:
        raise ParameterError(_NO_PACKAGE)
    has_version, n_gpus = _driver_version(), len(cuda.gpus)
    needs_version = int(version("cuda-bindings").partition(".")[0])
    if has_version[0] < needs_version:
        raise ParameterError(
            f"the NVIDIA driver is for CUDA {has_version[0]}.{has_version[1]}, and the installed "
            f"packages are for CUDA {needs_version}: update the driver, or install "
            f'"fastmel[cu{has_version[0]}]"'
        )
    if n_gpus == 0:
        raise OSError("CUDA_ERROR_NO_DEVICE")


def _explained(problem: str) -> Exception:
    """Say in a sentence what keeps CUDA from starting."""
    if "before forking" in problem or "NOT_INITIALIZED" in problem:
        return RuntimeError(_FORKED)
    if "OUT_OF_MEMORY" in problem:
        return MemoryError(
            "the GPU has no memory left for this process; wait for those that use it, choose "
            'another GPU with CUDA_VISIBLE_DEVICES, or use engine="auto"'
        )
    if "DEVICE_UNAVAILABLE" in problem:
        return ParameterError(
            "the GPU is closed to this process (its compute mode, which nvidia-smi shows, is "
            "exclusive or prohibited); choose another one with CUDA_VISIBLE_DEVICES, or use "
            'engine="auto"'
        )
    if "NO_DEVICE" in problem:
        return ParameterError(
            "the NVIDIA driver finds no GPU here (CUDA_VISIBLE_DEVICES may hide it); "
            'use engine="auto"'
        )
    if "driver library" in problem:
        return ParameterError(
            'there is no NVIDIA driver here (libcuda); install one, or use engine="auto"'
        )
    if "INSUFFICIENT_DRIVER" in problem or "SYSTEM_DRIVER_MISMATCH" in problem:
        return ParameterError(
            "the NVIDIA driver is too old for the installed packages; update it, or install "
            '"fastmel[cu12]"'
        )
    reason = " ".join(problem.split())
    return ParameterError(
        f"CUDA does not start: {reason}; repair the driver if nvidia-smi does not work, either, "
        'or use engine="auto"'
    )


def _package() -> str | None:
    """The package that compiles, and its version."""
    for package in ("numba-cuda", "numba-cuda-mlir"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return None


def _driver_version() -> tuple[int, int]:
    """The newest CUDA that the driver knows."""
    from cuda.bindings import driver

    result, number = driver.cuDriverGetVersion()
    if result != driver.CUresult.CUDA_SUCCESS:
        raise OSError(result.name)
    return number // 1000, number % 1000 // 10


@contextmanager
def told_plainly() -> Iterator[None]:
    """Say in a sentence what a CUDA package reports during a call."""
    try:
        yield
    except Exception as error:
        if "OUT OF MEMORY" in str(error).upper().replace("_", " "):
            raise MemoryError(
                "the GPU's memory is too small for this call; give fewer or shorter signals at a "
                'time, or use engine="auto"'
            ) from error
        if found := re.search(r"CUDA_ERROR_\w+", str(error)):
            raise RuntimeError(
                f"the GPU failed ({found[0]}), and the call has no result; begin a new process, as "
                'CUDA may refuse all that follows in this one, or use engine="auto"'
            ) from error
        raise


@contextmanager
def on_gpu(number: int) -> Iterator[None]:
    """Make a GPU the current one, and after it the one that was."""
    before = cuda.current_context()
    try:
        with cuda.gpus[number]:
            yield
    finally:
        if cuda.gpus.current is None:  # numba-cuda 0.30 loses it at the first use of another GPU
            before.push()


def memory_of(x: Any) -> Any:
    """What DLPack says about an array on a GPU, ready to be read on the default stream."""
    from cuda.core.utils import StridedMemoryView

    return StridedMemoryView.from_dlpack(x, stream_ptr=1)


def device_at(address: int) -> int:
    """The number of the GPU whose memory is at an address; the current one's of an empty array."""
    number: int = cuda.gpus.current.id
    if not IS_SIMULATED:
        from cuda.bindings import driver

        attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        result, found = driver.cuPointerGetAttribute(attribute, address)
        if result == driver.CUresult.CUDA_SUCCESS:
            number = int(found)
    return number


def exported(x: Any, **options: Any) -> Any:
    """The DLPack capsule of an array that has ``__cuda_array_interface__``."""
    from cuda.core.utils import StridedMemoryView

    return StridedMemoryView.from_cuda_array_interface(x, stream_ptr=-1).__dlpack__(**options)


def describe() -> str:
    """Say which GPU there is and what compiles for it, or why none can be used."""
    try:
        check()
    except (ParameterError, RuntimeError, MemoryError) as error:
        return f"none: {error}"
    if IS_SIMULATED:
        return "simulated by Numba"
    gpu = cuda.get_current_device()
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name
    capability = ".".join(map(str, gpu.compute_capability))
    driver = ".".join(map(str, _driver_version()))
    return f"{name}, compute capability {capability}, driver for CUDA {driver}, {_package()}"
