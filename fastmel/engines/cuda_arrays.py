"""Arrays on a GPU: those of other libraries, and what fastmel answers them with."""

import math
import operator
import sys
from functools import cache
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.exceptions import ParameterError

from .cuda import IS_DIRECT, copy, cuda, device_at, exported, memory_of, on_gpu, told_plainly

__all__ = [
    "PER_THREAD",
    "Array",
    "DeviceArray",
    "device_of",
    "empty_like",
    "flat",
    "is_lent",
    "is_read_only",
    "stream_by_number",
    "stream_number",
    "type_name",
]

#: CUDA's numbers of the stream that all of a process share
_DEFAULT_STREAMS = (None, 0, 1)
#: its number of the stream that each thread has of its own
PER_THREAD = 2


class Array:
    """Values on a GPU, as kernels take them: C-contiguous, in memory that is another's.

    Parameters
    ----------
    memory : object
        Owns them; without access to the driver, Numba's array of one axis.
    address : int
        Where the first one is.
    shape : tuple of int
        Lengths of the axes.
    dtype : numpy.dtype
        Type of a value.
    first : int
        The first one, counted from that at the beginning of `memory`.
    """

    __slots__ = ("_first", "_memory", "_words", "address", "dtype", "shape", "size")

    def __init__(
        self, memory: Any, address: int, shape: tuple[int, ...], dtype: Any, first: int = 0
    ) -> None:
        self._memory, self.address, self._first = memory, address, first
        self.shape, self.dtype, self.size = shape, dtype, math.prod(shape)
        self._words: list[int] | None = None

    @classmethod
    def of(cls, memory: Any) -> "Array":
        """All of an array of Numba's that has one axis."""
        address = memory.__cuda_array_interface__["data"][0] if IS_DIRECT else 0
        return cls(memory, address, tuple(memory.shape), np.dtype(memory.dtype))

    @property
    def strides(self) -> list[int]:
        """Bytes between neighbours on each axis."""
        lengths = accumulate(self.shape[:0:-1], operator.mul, initial=self.dtype.itemsize)
        return [*lengths][::-1]

    def words(self) -> list[int]:
        """What kernels get of it from numba-cuda, after two counters that they do not use."""
        if self._words is None:
            head = 0, 0, self.size, self.dtype.itemsize, self.address
            self._words = [*head, *self.shape, *self.strides]
        return self._words

    def part(self, low: int, shape: tuple[int, ...]) -> "Array":
        """As many of them as a shape has, from one on."""
        address = self.address + low * self.dtype.itemsize
        return Array(self._memory, address, shape, self.dtype, self._first + low)

    def as_numba(self) -> Any:
        """The same as Numba's array."""
        memory = self._memory
        if IS_DIRECT:  # it may be another library's
            memory = cuda.as_cuda_array(memory, sync=False)
            memory = memory.reshape(memory.size)
        return memory[self._first : self._first + self.size].reshape(self.shape)

    def fill(self, source: Any, stream: Any) -> None:
        """Copy an `Array` or memory of the host to it."""
        is_there = isinstance(source, Array)
        if IS_DIRECT:
            address = source.address if is_there else source.ctypes.data
            copy(self.address, address, self.size * self.dtype.itemsize, stream)
        else:
            values = source.as_numba() if is_there else source
            self.as_numba().copy_to_device(values, stream=stream)

    def fetch(self, into: NDArray[Any], stream: Any) -> None:
        """Copy it to pinned memory of the host."""
        if IS_DIRECT:
            copy(into.ctypes.data, self.address, into.nbytes, stream)
        else:
            self.as_numba().copy_to_host(into, stream=stream)


class DeviceArray:
    """An array on a GPU, for libraries that take DLPack or ``__cuda_array_interface__``."""

    def __init__(self, memory: Any, device: int, stream: int, ready: Any) -> None:
        self._memory, self._device, self._stream, self._ready = memory, device, stream, ready

    def __repr__(self) -> str:
        return f"<DeviceArray of {self.dtype}, shape {self.shape}>"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> "DeviceArray":
        return self._with(self._memory[part])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self._memory.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        kind: np.dtype[Any] = np.dtype(self._memory.dtype)
        return kind

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise ParameterError("a DeviceArray is on a GPU; call copy_to_host() for NumPy's array")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(self._memory.__cuda_array_interface__)
        return interface | {"stream": self._stream or 1}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(
                "a DeviceArray lends its own memory, on its GPU and without a copy; copy what you "
                "take, or call copy_to_host()"
            )
        with told_plainly(), on_gpu(self._device):
            if stream != -1:  # the taker's work must wait for ours
                self._ready.synchronize()
            return exported(self, stream=-1, max_version=max_version)

    def reshape(self, shape: tuple[int, ...]) -> "DeviceArray":
        """Return the same values on other axes."""
        return self._with(self._memory.reshape(shape))

    def copy_to_host(self) -> Any:
        """Return the values as a NumPy array."""
        with told_plainly(), on_gpu(self._device):
            self._ready.synchronize()
            return self._memory.copy_to_host()

    def written_on(self, stream: int) -> None:
        """Note that the values are there when a stream is done with what it has now.

        The owner of the stream may destroy it before anybody asks for them.
        """
        self._stream = stream
        self._ready.record(stream_by_number(stream))

    def _with(self, memory: Any) -> "DeviceArray":
        return DeviceArray(memory, self._device, self._stream, self._ready)


def device_of(x: Any) -> int:
    """The number of the GPU that an array is on."""
    if hasattr(type(x), "__dlpack_device__"):
        return int(x.__dlpack_device__()[1])
    return device_at(x.__cuda_array_interface__["data"][0])


def stream_number(x: Any) -> int:
    """The stream on which an array is ready, as a number; 0 is the default one."""
    if _is_tensor(x):
        return int(sys.modules["torch"].cuda.current_stream(x.device).cuda_stream)
    number = getattr(x, "__cuda_array_interface__", {}).get("stream")
    return 0 if number in _DEFAULT_STREAMS else int(number)


@cache
def stream_by_number(number: int) -> Any:
    """A stream that another library made."""
    return cuda.external_stream(number) if number else cuda.default_stream()


def type_name(x: Any) -> str:
    """The name of an array's type, NumPy's also where it is another library's."""
    return str(x.dtype).removeprefix("torch.")


def is_lent(x: Any) -> bool:
    """Whether an array has DLPack only, by which its memory is lent until the call returns."""
    return not (_is_tensor(x) or hasattr(x, "__cuda_array_interface__"))


def is_read_only(x: Any) -> bool:
    """Whether an array must not be written."""
    if _is_tensor(x):
        return False
    return bool(memory_of(x).readonly if is_lent(x) else x.__cuda_array_interface__["data"][1])


def flat(x: Any) -> Array:
    """An array's values on one axis, in the same memory.

    Raises
    ------
    ParameterError
        If the array is not C-contiguous or not aligned, or requires grad.
    """
    if _is_tensor(x) and x.requires_grad:
        raise ParameterError(
            "fastmel computes no gradients, and this tensor requires grad: give tensor.detach()"
        )
    if is_lent(x):
        x = _with_interface(memory_of(x))
    interface = x.__cuda_array_interface__
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    size, address, strides = math.prod(shape), interface["data"][0], interface.get("strides")
    array = Array(x, address, shape, dtype)
    is_dense = not strides or size == 0 or _are_dense(shape, strides, array.strides)
    if not is_dense or address % dtype.itemsize:
        raise ParameterError("an array on a GPU must be C-contiguous and aligned; copy it first")
    if not IS_DIRECT:
        return Array.of(cuda.as_cuda_array(x, sync=False).reshape(size))
    return array.part(0, (size,))


def _are_dense(shape: tuple[int, ...], strides: tuple[int, ...], dense: list[int]) -> bool:
    return all(n == 1 or a == b for n, a, b in zip(shape, strides, dense, strict=True))


def _with_interface(memory: Any) -> Any:
    """An object that says by ``__cuda_array_interface__`` what a view of memory knows."""
    size = memory.dtype.itemsize
    strides = memory.strides and tuple(size * stride for stride in memory.strides)
    interface = {
        "shape": tuple(memory.shape),
        "strides": strides,
        "typestr": memory.dtype.str,
        "data": (memory.ptr, memory.readonly),
        "version": 3,
    }
    return SimpleNamespace(__cuda_array_interface__=interface, memory=memory)


def empty_like(x: Any, size: int, dtype: np.dtype[Any]) -> Any:
    """Memory for a result on one axis: a tensor for a tensor, else a DeviceArray."""
    if _is_tensor(x):
        torch = sys.modules["torch"]
        return torch.empty(size, dtype=getattr(torch, dtype.name), device=x.device)
    memory = cuda.device_array(size, dtype)
    return DeviceArray(memory, cuda.gpus.current.id, stream_number(x), cuda.event())


def _is_tensor(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)
