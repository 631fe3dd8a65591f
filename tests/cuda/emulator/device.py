"""What the driver's GPUs have: memory, streams, and what is on them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cuda.bindings import driver as cuda
from numpy.typing import NDArray

__all__ = [
    "ALIGNMENT", "UNWRITTEN", "CudaError", "Device", "Event", "Memory", "Operation", "Result",
    "Stream", "range_of",
]  # fmt: skip

Result = cuda.CUresult

#: allocations begin at multiples of it, and as many bytes after them are nobody's
ALIGNMENT = 256
#: what new memory is full of: as floats, NaN
UNWRITTEN = 0xFF


class CudaError(Exception):
    """What a function answers instead of success."""

    def __init__(self, result: Any) -> None:
        super().__init__(result.name)
        self.result = result


class Memory:
    """A GPU's part of the arena."""

    def __init__(self, arena: NDArray[np.uint8], valid: NDArray[np.bool]) -> None:
        self._arena, self._valid = arena, valid
        self._first, self.size = arena.ctypes.data, arena.size
        self._sizes: dict[int, int] = {}  # by address, sorted

    def __contains__(self, address: int) -> bool:
        return self._first <= address < self._first + self.size

    @property
    def n_free(self) -> int:
        return max(self.size - sum(map(_taken, self._sizes.values())) - ALIGNMENT, 0)

    def allocate(self, size: int) -> int:
        if size == 0:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        lows = [self._first, *(start + _taken(n) for start, n in self._sizes.items())]
        for low, high in zip(lows, [*self._sizes, self._first + self.size], strict=True):
            if high - low >= _taken(size):
                self._sizes = dict(sorted({**self._sizes, low: size}.items()))
                self._arena[self._of(low)] = UNWRITTEN
                self._valid[self._of(low)] = True
                return low
        raise CudaError(Result.CUDA_ERROR_OUT_OF_MEMORY)

    def free(self, start: int) -> None:
        if start not in self._sizes:
            raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)
        self._valid[self._of(start)] = False
        del self._sizes[start]

    def range_of(self, address: int) -> tuple[int, int]:
        """Where the allocation with an address begins, and its size."""
        return range_of(address, self._sizes)

    def _of(self, start: int) -> slice:
        return slice(start - self._first, start - self._first + self._sizes[start])


def _taken(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT


def range_of(address: int, sizes: dict[int, int]) -> tuple[int, int]:
    for start, size in sizes.items():
        if start <= address < start + size:
            return start, size
    raise CudaError(Result.CUDA_ERROR_INVALID_VALUE)


@dataclass(eq=False)
class Device:
    """A GPU with its context and the streams that are always there."""

    ordinal: int
    context: int
    memory: Memory
    legacy: "Stream" = field(init=False)
    of_threads: dict[int, "Stream"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.legacy = Stream(self)


@dataclass(eq=False)
class Stream:
    device: Device
    is_blocking: bool = True

    def waits_for(self, other: "Stream") -> bool:
        """Whether the next that it gets comes after what another has."""
        is_with_legacy = self.device.legacy in (self, other)
        return self is other or (is_with_legacy and self.is_blocking and other.is_blocking)


@dataclass(eq=False)
class Operation:
    """What a stream has to do, and after what."""

    stream: Stream
    work: Callable[[], object]
    after: list["Operation"]
    ended: float | None = None

    def finish(self) -> None:
        """Do it, and of all others only those that it waits for."""
        waiting = [self]
        while waiting:
            operation = waiting[-1]
            before = [other for other in operation.after if other.ended is None]
            if before:
                waiting.append(before[-1])
                continue
            waiting.pop()
            operation.after = []
            if operation.ended is None:
                try:
                    operation.work()
                except Exception:  # what waits for it is lost, with the memory that it would use
                    for lost in waiting:
                        lost.ended = time.perf_counter()
                    raise
                finally:
                    operation.ended = time.perf_counter()


@dataclass(eq=False)
class Event:
    device: Device
    operation: Operation | None = None
