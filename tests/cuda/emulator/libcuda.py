"""NVIDIA's driver without a GPU, which CUDA packages load and use as libcuda.so.1.

The memory of its GPUs is a NumPy array. Compilers and linkers are the real ones; kernels are left
to ``Driver.run``, with the PTX that they were linked from.
"""

import ctypes
import gc
import itertools
import math
import os
import subprocess
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cuda.bindings import driver as cuda
from numpy.typing import NDArray

from .device import (
    ALIGNMENT,
    UNWRITTEN,
    CudaError,
    Device,
    Event,
    Memory,
    Operation,
    Result,
    Stream,
    range_of,
)
from .ptx import Kernel

#: the type of an argument by its letter in a signature; a capital is a result's place
_TYPES: dict[str, Any] = {
    "b": ctypes.c_uint8,
    "i": ctypes.c_int,
    "u": ctypes.c_uint,
    "f": ctypes.c_float,
    "q": ctypes.c_uint64,
}
#: CU_DEVICE_ATTRIBUTE_..., where it is not 0
_DEVICE = {
    "MAX_THREADS_PER_BLOCK": 1024,
    "MAX_BLOCK_DIM_X": 1024,
    "MAX_BLOCK_DIM_Y": 1024,
    "MAX_BLOCK_DIM_Z": 64,
    "MAX_GRID_DIM_X": 2**31 - 1,
    "MAX_GRID_DIM_Y": 65535,
    "MAX_GRID_DIM_Z": 65535,
    "MAX_SHARED_MEMORY_PER_BLOCK": 48 << 10,
    "WARP_SIZE": 32,
    "MULTIPROCESSOR_COUNT": 132,
    "UNIFIED_ADDRESSING": 1,
}
#: CU_POINTER_ATTRIBUTE_..., of the type
_POINTER = {
    "CONTEXT": "q",
    "MEMORY_TYPE": "u",
    "DEVICE_POINTER": "q",
    "IS_MANAGED": "b",
    "DEVICE_ORDINAL": "i",
}


def _cuda(signature: str, *names: str) -> Callable[[Any], Any]:
    """Make a method the function of its name, and others; it returns what capitals stand for."""

    def mark(method: Any) -> Any:
        method.signature, method.names = signature, names or (method.__name__,)
        return method

    return mark


class Driver:
    """The driver's functions.

    Parameters
    ----------
    size : int
        Bytes of memory of each GPU.
    late : bool
        Whether work waits until somebody waits for it, the newest first where CUDA leaves the order
        open, so that missing synchronization shows.
    """

    def __init__(
        self,
        *,
        size: int = 512 << 20,
        n_devices: int = 1,
        capability: tuple[int, int] = (9, 0),
        version: int = 13050,
        name: bytes = b"Emulated",
        late: bool = False,
    ) -> None:
        self._name, self._version, self.late = name, version, late
        #: runs a kernel: it, grid, block, bytes of dynamic shared memory, bytes of each argument
        self.run: Callable[..., object] = _cannot_run
        #: where `run` adds what warps do
        self.counts: Counter[str] | None = None
        #: functions that were called and are not here
        self.missing: set[str] = set()
        #: errors in Python, which CUDA's callers saw as a launch that failed
        self.failures: list[Exception] = []
        arena = np.zeros(n_devices * size + ALIGNMENT, dtype=np.uint8)
        arena = arena[-arena.ctypes.data % ALIGNMENT :][: n_devices * size]
        #: the memory of all GPUs, and which bytes of it are in an allocation
        self.arena, self.valid = arena, np.zeros(arena.size, dtype=np.bool)
        self._handles = itertools.count(1 << 16, 16)
        parts = zip(np.split(self.arena, n_devices), np.split(self.valid, n_devices), strict=True)
        self._devices = [
            Device(i, next(self._handles), Memory(*part)) for i, part in enumerate(parts)
        ]
        major, minor = capability
        self._attributes = _DEVICE | {
            "COMPUTE_CAPABILITY_MAJOR": major,
            "COMPUTE_CAPABILITY_MINOR": minor,
        }
        #: by handle: streams, events, libraries and their kernels
        self._objects: dict[int, Any] = {}
        #: by address: memory of the host's that is pinned
        self._pinned: dict[int, NDArray[np.uint8]] = {}
        self._pending: list[Operation] = []
        #: what numba-cuda loads next
        self._ptx = ""
        self._texts: dict[int, ctypes.c_char_p] = {}
        self._thread = threading.local()
        self._lock = threading.RLock()
        self._process: int | None = None
        self._methods = {
            name: method.__get__(self)
            for method in vars(type(self)).values()
            for name in getattr(method, "names", ())
        }
        #: what C calls, by name
        self._callbacks: dict[str, Any] = {}
        self._find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(self._address)

    def load(self, folder: Path) -> None:
        """Be the driver of this process from now on; the library goes into a folder."""
        library, source = folder / "libcuda.so.1", Path(__file__).with_name("libcuda.c")
        options = ["-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
        subprocess.run(["cc", *options, "-o", library, source], check=True)
        self._library = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self._library.openDriver(self._find)
        weakref.finalize(self, self._library.closeDriver)  # at the exit, after those made later
        self._keep_programs()

    def _keep_programs(self) -> None:
        """Keep the PTX of what numba-cuda loads."""
        from numba.cuda.codegen import CUDACodeLibrary

        get = CUDACodeLibrary.get_cufunc

        def got(library: Any) -> Any:
            self._ptx = library.get_lto_ptx() if library._lto else library.get_asm_str()
            return get(library)

        CUDACodeLibrary.get_cufunc = got

    # what C calls

    def _address(self, symbol: bytes) -> int | None:
        name = symbol.decode()
        if name not in self._callbacks:
            self._callbacks[name] = self._callback(name)
        return ctypes.cast(self._callbacks[name], ctypes.c_void_p).value

    def _callback(self, name: str) -> Any:
        method = self._methods.get(name)
        signature = method.signature if method else ""

        def call(*arguments: int) -> int:
            if method is None:
                self.missing.add(name)
                return int(Result.CUDA_ERROR_NOT_SUPPORTED)
            if name not in ("cuInit", "cuDriverGetVersion") and self._process != os.getpid():
                return int(Result.CUDA_ERROR_NOT_INITIALIZED)
            given = [a for a, letter in zip(arguments, signature, strict=True) if letter.islower()]
            try:
                with self._lock, _no_finalizers():
                    found = method(*given)
            except CudaError as error:
                return int(error.result)
            except Exception as error:
                self.failures.append(error)
                return int(Result.CUDA_ERROR_LAUNCH_FAILED)
            results = iter(found if isinstance(found, tuple) else (found,))
            for address, letter in zip(arguments, signature, strict=True):
                if letter.isupper():
                    _put(address, letter.lower(), next(results))
            return 0

        return ctypes.CFUNCTYPE(ctypes.c_int, *(_TYPES[s] for s in _places(signature)))(call)

    # devices and contexts

    @_cuda("iQ", "cuGetErrorName", "cuGetErrorString")
    def _error_name(self, result: int) -> int:
        text = self._texts.setdefault(result, ctypes.c_char_p(Result(result).name.encode()))
        return ctypes.cast(text, ctypes.c_void_p).value or 0

    @_cuda("u")
    def cuInit(self, flags: int) -> None:
        if self._process not in (None, os.getpid()):
            raise CudaError(Result.CUDA_ERROR_NOT_INITIALIZED)
        self._process = os.getpid()

    @_cuda("I")
    def cuDriverGetVersion(self) -> int:
        return self._version

    @_cuda("I")
    def cuDeviceGetCount(self) -> int:
        return len(self._devices)

    @_cuda("qii")
    def cuDeviceGetName(self, name: int, size: int, ordinal: int) -> None:
        ctypes.memmove(name, self._name + b"\0", len(self._name) + 1)

    @_cuda("qi")
    def cuDeviceGetUuid(self, uuid: int, ordinal: int) -> None:
        ctypes.memmove(uuid, bytes([ordinal]) * 16, 16)

    @_cuda("Iii")
    def cuDeviceGetAttribute(self, attribute: int, ordinal: int) -> int:
        name = cuda.CUdevice_attribute(attribute).name
        return self._attributes.get(name.removeprefix("CU_DEVICE_ATTRIBUTE_"), 0)

    @_cuda("Qi")
    def cuDevicePrimaryCtxRetain(self, ordinal: int) -> int:
        if not 0 <= ordinal < len(self._devices):
            raise CudaError(Result.CUDA_ERROR_INVALID_DEVICE)
        return self._devices[ordinal].context

    @_cuda("i")
    def cuDevicePrimaryCtxRelease(self, ordinal: int) -> None:
        """Nothing: a context stays as long as the driver."""

    @property
    def _stack(self) -> list[Device]:
        """The contexts of this thread."""
        if not hasattr(self._thread, "stack"):
            self._thread.stack = []
        stack: list[Device] = self._thread.stack
        return stack

    @property
    def _current(self) -> Device:
        if not self._stack:
            raise CudaError(Result.CUDA_ERROR_INVALID_CONTEXT)
        return self._stack[-1]

    @_cuda("Q")
    def cuCtxGetCurrent(self) -> int:
        return self._current.context if self._stack else 0

    @_cuda("q")
    def cuCtxSetCurrent(self, context: int) -> None:
        del self._stack[-1:]
        if context:
            self.cuCtxPushCurrent(context)

    @_cuda("q")
    def cuCtxPushCurrent(self, context: int) -> None:
        found = [device for device in self._devices if device.context == context]
        if not found:
            raise CudaError(Result.CUDA_ERROR_INVALID_CONTEXT)
        self._stack.extend(found)

    @_cuda("Q")
    def cuCtxPopCurrent(self) -> int:
        context = self._current.context
        self._stack.pop()
        return context

    @_cuda("I")
    def cuCtxGetDevice(self) -> int:
        return self._current.ordinal

    @_cuda("")
    def cuCtxSynchronize(self) -> None:
        self._finish(self._current)

    # memory

    @_cuda("QQ")
    def cuMemGetInfo(self) -> tuple[int, int]:
        return self._current.memory.n_free, self._current.memory.size

    @_cuda("Qq")
    def cuMemAlloc(self, size: int) -> int:
        return self._current.memory.allocate(size)

    @_cuda("q")
    def cuMemFree(self, address: int) -> None:
        device = self._device_of(address)
        if device:
            self._finish(device)
            device.memory.free(address)
        elif address:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)

    @_cuda("Qqu")
    def cuMemHostAlloc(self, size: int, flags: int) -> int:
        if size == 0:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        memory = np.full(size, UNWRITTEN, dtype=np.uint8)
        self._pinned[memory.ctypes.data] = memory
        return memory.ctypes.data

    @_cuda("q")
    def cuMemFreeHost(self, address: int) -> None:
        self._finish()
        if self._pinned.pop(address, None) is None:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)

    @_cuda("QQq")
    def cuMemGetAddressRange(self, address: int) -> tuple[int, int]:
        device = self._device_of(address)
        if device:
            return device.memory.range_of(address)
        return range_of(address, {start: memory.size for start, memory in self._pinned.items()})

    @_cuda("qiq")
    def cuPointerGetAttribute(self, data: int, attribute: int, address: int) -> None:
        name = cuda.CUpointer_attribute(attribute).name.removeprefix("CU_POINTER_ATTRIBUTE_")
        if name not in _POINTER:
            raise CudaError(Result.CUDA_ERROR_NOT_SUPPORTED)
        _put(data, _POINTER[name], self._known_of(address)[name])

    @_cuda("uqqq")
    def cuPointerGetAttributes(self, n: int, attributes: int, data: int, address: int) -> None:
        places = (ctypes.c_uint64 * n).from_address(data)
        for attribute, place in zip(
            (ctypes.c_int * n).from_address(attributes), places, strict=True
        ):
            try:
                self.cuPointerGetAttribute(place, attribute, address)
            except CudaError:  # of pageable memory
                _put(place, "u", 0)

    def _known_of(self, address: int) -> dict[str, int]:
        """The attributes of memory that is CUDA's."""
        self.cuMemGetAddressRange(address)
        device, kind = self._device_of(address), cuda.CUmemorytype.CU_MEMORYTYPE_DEVICE
        if device is None:
            device, kind = self._current, cuda.CUmemorytype.CU_MEMORYTYPE_HOST
        values = device.context, int(kind), address, 0, device.ordinal
        return dict(zip(_POINTER, values, strict=True))

    def _device_of(self, address: int) -> Device | None:
        return next((device for device in self._devices if address in device.memory), None)

    def _is_pageable(self, address: int, size: int) -> bool:
        """Whether memory is not CUDA's; if it is, all of it must be."""
        try:
            start, n_bytes = self.cuMemGetAddressRange(address)
        except CudaError:
            if self._device_of(address):
                raise
            return True
        if address + size > start + n_bytes:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        return False

    # copies

    @_cuda("qqqq", "cuMemcpyAsync", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync")
    def _copy_async(self, to: int, source: int, size: int, handle: int) -> Operation:
        is_staged, is_fetched = self._is_pageable(source, size), self._is_pageable(to, size)
        data = ctypes.string_at(source, size) if is_staged else source
        operation = self._submit(handle, lambda: ctypes.memmove(to, data, size))
        if is_fetched:
            operation.finish()
        return operation

    @_cuda("qqq", "cuMemcpyHtoD", "cuMemcpyDtoH", "cuMemcpyDtoD")
    def _copy(self, to: int, source: int, size: int) -> None:
        if self._is_pageable(source, size):  # what came before is waited for, and not the copy
            self._submit(0).finish()
            self._copy_async(to, source, size, 0)
        else:
            operation = self._copy_async(to, source, size, 0)
            if not (self._device_of(to) and self._device_of(source)):
                operation.finish()

    @_cuda("qbqq")
    def cuMemsetD8Async(self, to: int, value: int, size: int, handle: int) -> None:
        if self._is_pageable(to, size):
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        self._submit(handle, lambda: ctypes.memset(to, value, size))

    @_cuda("qbq")
    def cuMemsetD8(self, to: int, value: int, size: int) -> None:
        self.cuMemsetD8Async(to, value, size, 0)

    # streams and events

    def _stream(self, handle: int) -> Stream:
        device = self._current
        if handle in (0, cuda.CU_STREAM_LEGACY):
            return device.legacy
        if handle == cuda.CU_STREAM_PER_THREAD:
            return device.of_threads.setdefault(threading.get_ident(), Stream(device))
        stream: Stream = self._object(handle, Stream)
        return stream

    def _submit(
        self, handle: int, work: Callable[[], object] = lambda: None, event: Event | None = None
    ) -> Operation:
        """Give a stream something to do after what it waits for, and an event."""
        stream = self._stream(handle)
        self._pending = [operation for operation in self._pending if operation.ended is None]
        after = [other for other in self._pending if stream.waits_for(other.stream)]
        if event and event.operation:
            after.append(event.operation)
        operation = Operation(stream, work, after)
        self._pending.append(operation)
        if not self.late:
            operation.finish()
        return operation

    def _finish(self, device: Device | None = None) -> None:
        """Do what there is to do, on one device or all, the newest first."""
        for operation in reversed(self._pending):
            if device in (None, operation.stream.device):
                operation.finish()

    def _object(self, handle: int, kind: type[Any]) -> Any:
        found = self._objects.get(handle)
        if not isinstance(found, kind):
            raise CudaError(Result.CUDA_ERROR_INVALID_HANDLE)
        return found

    def _new(self, thing: Any) -> int:
        handle = next(self._handles)
        self._objects[handle] = thing
        return handle

    @_cuda("q", "cuStreamDestroy", "cuEventDestroy", "cuLibraryUnload")
    def _destroy(self, handle: int) -> None:
        self._object(handle, object)
        del self._objects[handle]

    @_cuda("Qu")
    def cuStreamCreate(self, flags: int) -> int:
        is_blocking = not flags & cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        return self._new(Stream(self._current, is_blocking))

    @_cuda("q")
    def cuStreamSynchronize(self, handle: int) -> None:
        self._submit(handle).finish()

    @_cuda("qqu")
    def cuStreamWaitEvent(self, handle: int, event: int, flags: int) -> None:
        self._submit(handle, event=self._object(event, Event))

    @_cuda("Qu")
    def cuEventCreate(self, flags: int) -> int:
        return self._new(Event(self._current))

    @_cuda("qq")
    def cuEventRecord(self, event: int, handle: int) -> None:
        found = self._object(event, Event)
        if found.device is not self._stream(handle).device:
            raise CudaError(Result.CUDA_ERROR_INVALID_HANDLE)
        found.operation = self._submit(handle)

    @_cuda("q")
    def cuEventSynchronize(self, event: int) -> None:
        operation = self._object(event, Event).operation
        if operation:
            operation.finish()

    @_cuda("q")
    def cuEventQuery(self, event: int) -> None:
        operation = self._object(event, Event).operation
        if operation and operation.ended is None:
            operation.finish()  # for those who ask again and again
            raise CudaError(Result.CUDA_ERROR_NOT_READY)

    @_cuda("Fqq")
    def cuEventElapsedTime(self, *events: int) -> float:
        operations = [self._object(event, Event).operation for event in events]
        if None in operations:
            raise CudaError(Result.CUDA_ERROR_INVALID_HANDLE)
        start, end = (operation.ended for operation in operations)
        if start is None or end is None:
            raise CudaError(Result.CUDA_ERROR_NOT_READY)
        return 1000 * float(end - start)

    # kernels

    @_cuda("Qqqquqqu")
    def cuLibraryLoadData(self, code: int, *options: int) -> int:
        return self._new(Kernel(self._ptx))

    @_cuda("Qqq")
    def cuLibraryGetKernel(self, library: int, name: int) -> int:
        kernel = self._object(library, Kernel)
        if ctypes.string_at(name).decode() != kernel.name:
            raise CudaError(Result.CUDA_ERROR_NOT_FOUND)
        return self._new(kernel)

    @_cuda("Iiqi")
    def cuKernelGetAttribute(self, attribute: int, kernel: int, ordinal: int) -> int:
        most = cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK
        n_threads: int = self._object(kernel, Kernel).n_threads
        return n_threads if attribute == most else 0

    @_cuda("quuuuuuuqqq")
    def cuLaunchKernel(self, function: int, *numbers: int) -> None:
        grid, block, (shared, handle, arguments, _) = numbers[:3], numbers[3:6], numbers[6:]
        kernel = self._object(function, Kernel)
        if self._stream(handle).device is not self._current:
            raise CudaError(Result.CUDA_ERROR_INVALID_HANDLE)
        for sizes, axes in ((grid, "GRID"), (block, "BLOCK")):
            most = (self._attributes[f"MAX_{axes}_DIM_{axis}"] for axis in "XYZ")
            if not all(0 < size <= n for size, n in zip(sizes, most, strict=True)):
                raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        if math.prod(block) > kernel.n_threads:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        sizes = [dtype.itemsize for dtype in kernel.parameters.values()]
        places: Any = (ctypes.c_uint64 * len(sizes)).from_address(arguments) if sizes else []
        values = [ctypes.string_at(*place) for place in zip(places, sizes, strict=True)]
        self._submit(handle, lambda: self.run(kernel, grid, block, shared, values))

    @_cuda("qqqq")
    def cuLaunchKernelEx(self, config: int, kernel: int, arguments: int, extra: int) -> None:
        numbers = (ctypes.c_uint * 7).from_address(config)
        handle = ctypes.c_uint64.from_address(config + 32).value
        self.cuLaunchKernel(kernel, *numbers, handle, arguments, extra)


def _places(signature: str) -> str:
    """A signature whose capitals are the addresses that a caller gives."""
    return "".join("q" if letter.isupper() else letter for letter in signature)


def _put(address: int, letter: str, value: Any) -> None:
    if address:
        _TYPES[letter].from_address(address).value = value


def _cannot_run(kernel: Kernel, *launch: object) -> None:
    raise NotImplementedError(f"Driver.run is to be set to what runs {kernel.name}")


@contextmanager
def _no_finalizers() -> Iterator[None]:
    """Collect no garbage, whose finalizers would call the driver inside of a call."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
