"""The threads of a launch, run side by side by NumPy, and watched.

What a GPU does not forgive is an error here: addresses that are not allocated or not aligned,
shared memory that is read before it is written, and memory that two threads use with no barrier
between them while one of them writes.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .ptx import FUNCTIONS, Kernel, Step

__all__ = ["Memory", "Violation", "run"]

_WARP, _BANKS, _SECTOR = 32, 32, 32
#: threads side by side, in whole blocks: their registers should fit a cache
_LANES = 8192
#: what is added to the part where a thread goes on while it waits at a barrier; where it is when it
#: has ended
_WAITING, _ENDED = 1 << 20, 1 << 30


class Violation(Exception):
    """What no GPU promises to do right."""


class Memory:
    """Bytes of a device, and which of them are allocated."""

    def __init__(self, data: Any, is_valid: Any) -> None:
        self.data, self.is_valid, self.base = data, is_valid, data.ctypes.data
        self.watch = _Watch(data.size // 4)


class _Watch:
    """Which thread has last written, and read, each word since a barrier, or since a launch."""

    def __init__(self, n_words: int) -> None:
        self._written, self._writer, self._read, self._reader = np.zeros((4, n_words), np.int32)
        self._now = 1

    def go_on(self) -> None:
        """Forget: what was done before has ended."""
        self._now += 1

    def read(self, at: Any, thread: Any) -> Any:
        """Note who reads; which of them read what another writes."""
        is_bad = (self._written[at] == self._now) & (self._writer[at] != thread)
        before = np.where(self._read[at] == self._now, self._reader[at], thread)
        reader = np.where(before == thread, thread, -1)  # -1: several
        self._read[at], self._reader[at] = self._now, reader
        self._reader[at[self._reader[at] != reader]] = -1
        return is_bad

    def write(self, at: Any, thread: Any) -> tuple[Any, Any]:
        """Note who writes; which of them write what another reads, and what another writes."""
        is_read = (self._read[at] == self._now) & (self._reader[at] != thread)
        is_written = (self._written[at] == self._now) & (self._writer[at] != thread)
        self._written[at], self._writer[at] = self._now, thread
        return is_read, is_written


def run(
    kernel: Kernel,
    grid: Sequence[int],
    block: Sequence[int],
    arguments: Sequence[bytes],
    memory: Memory,
    counts: Counter[str] | None = None,
) -> None:
    """Run a kernel on a device's memory.

    Parameters
    ----------
    kernel : Kernel
        What to run.
    grid, block : sequence of 3 int
        Blocks of the grid, and threads of a block, along x, y and z.
    arguments : sequence of bytes
        The values of its parameters.
    memory : Memory
        What it reads and writes.
    counts : Counter, optional
        Where to add what warps do: "instructions", "requests" and "sectors" of global memory,
        "accesses" and "cycles" of shared memory, "ways" of the worst conflict of banks.

    Raises
    ------
    Violation
        If a thread does what it must not.
    """
    memory.watch.go_on()
    n_blocks, n_threads = int(np.prod(grid)), int(np.prod(block))
    n_together = max(_LANES // n_threads, 1)
    dtypes = kernel.parameters.values()
    values = {
        f"parameter_{i}": np.frombuffer(value, dtype)[0]
        for i, (value, dtype) in enumerate(zip(arguments, dtypes, strict=True))
    }
    for first in range(0, n_blocks, n_together):
        blocks = np.arange(first, min(first + n_together, n_blocks))
        _Lanes(kernel, blocks, grid, block, values, memory, counts).run()


class _Lanes:
    """The threads of some blocks."""

    def __init__(
        self,
        kernel: Kernel,
        blocks: Any,
        grid: Sequence[int],
        block: Sequence[int],
        values: dict[str, Any],
        memory: Memory,
        counts: Counter[str] | None,
    ) -> None:
        self._kernel, self._memory, self._counts = kernel, memory, counts
        n_threads = int(np.prod(block))
        lanes = np.arange(blocks.size * n_threads)
        self._block, self._tid = np.divmod(lanes, n_threads)
        self._thread = (blocks[self._block] * n_threads + self._tid).astype(np.int32)
        self._shared = np.zeros((blocks.size, kernel.is_shared.size), np.uint32).ravel()
        self._is_set = np.zeros(self._shared.size, dtype=np.bool_)
        self._watch = _Watch(self._shared.size)
        #: the part of the program where each goes on
        self._next = np.zeros(lanes.size, dtype=np.int32)
        names = FUNCTIONS | kernel.constants | values
        for name in ("load_memory", "store_memory", "load_shared", "store_shared", "swap"):
            names[name] = getattr(self, f"_{name}")
        ctaid = np.unravel_index(blocks[self._block], tuple(grid)[::-1])[::-1]
        tid = np.unravel_index(self._tid, tuple(block)[::-1])[::-1]
        for i, axis in enumerate("xyz"):
            names[f"ctaid_{axis}"], names[f"nctaid_{axis}"] = ctaid[i].astype(np.uint32), grid[i]
            names[f"tid_{axis}"], names[f"ntid_{axis}"] = tid[i].astype(np.uint32), block[i]
        registers: dict[str, Any] = {}
        for view, (register, own, dtype) in kernel.views.items():
            values_of = registers.setdefault(register, np.zeros(lanes.size, dtype=own))
            names[view] = values_of.view(dtype)[:: values_of.itemsize // np.dtype(dtype).itemsize]
        self._names = names
        self._parts = []
        for code in kernel.code:
            exec(code, names)
            self._parts.append(names["part"])

    def run(self) -> None:
        """Let those that are the farthest behind go on, until all have ended."""
        with np.errstate(all="ignore"):
            while (part := int(self._next.min())) < _ENDED:
                if part >= _WAITING:
                    self._meet()
                    continue
                is_here = self._next == part
                at = np.flatnonzero(is_here)
                if self._counts is not None:
                    n_steps = len(self._kernel.parts[part]) + (
                        self._kernel.ends[part][0] is not None
                    )
                    self._counts["instructions"] += np.unique(at // _WARP).size * n_steps
                self._parts[part](True if at.size == is_here.size else is_here, at)
                self._leave(part, is_here)

    def _meet(self) -> None:
        """Let all go on that have not ended, each block from one barrier."""
        waits = self._next < _ENDED
        at = np.flatnonzero(waits)
        first = np.full(self._block[-1] + 1, _ENDED, dtype=np.int32)
        np.minimum.at(first, self._block[at], self._next[at])
        is_bad = self._next[at] != first[self._block[at]]
        if is_bad.any():
            lane = at[is_bad.argmax()]
            raise Violation(
                f"one block at two barriers: thread {self._tid[lane]}, one of {is_bad.sum()}"
            )
        self._next[waits] -= _WAITING
        self._watch.go_on()

    def _leave(self, part: int, is_here: Any) -> None:
        """Send threads on from the end of a part."""
        end, target = self._kernel.ends[part]
        self._next[is_here] = part + 1
        if end is not None:
            if end.predicate:
                p = self._names[end.predicate.lstrip("!%") + "_pred"]
                is_here = is_here & (~p if end.predicate[0] == "!" else p)
            places = {"bra": target, "ret": _ENDED, "bar": part + 1 + _WAITING}
            self._next[is_here] = places[end.name[0]]

    def _of(self, values: Any, at: Any) -> Any:
        """What some threads have of a value for each, or of one for all."""
        return np.broadcast_to(values, self._tid.shape)[at]

    def _forbid(self, step: Step, at: Any, is_bad: Any, what: str) -> None:
        if is_bad.any():
            lane = at[np.flatnonzero(is_bad)[0]]
            block = self._thread[lane] // (self._tid.max() + 1)
            raise Violation(
                f"{what}: {step.text}, thread {self._tid[lane]} of block {block}, "
                f"one of {is_bad.sum()}"
            )

    # the device's memory

    def _places(self, step: Step, address: Any, kind: Any, at: Any) -> Any:
        """Where in memory that consists of one type."""
        data, size = self._memory.data, np.dtype(kind).itemsize
        place = self._of(address, at) - np.uint64(self._memory.base)
        self._forbid(step, at, place % size != 0, "not aligned")
        is_out = place > data.size - size
        is_out |= ~self._memory.is_valid[np.where(is_out, 0, place + np.uint64(size - 1))]
        self._forbid(step, at, is_out, "not allocated")
        if self._counts is not None:
            warp = (at // _WARP).astype(np.uint64)
            self._counts["requests"] += np.unique(warp).size
            self._counts["sectors"] += np.unique(warp << 40 | place // _SECTOR).size
        return (place // size).astype(np.int64)

    def _load_memory(self, step: Step, address: Any, result: Any, kind: Any, at: Any) -> None:
        i = self._places(step, address, kind, at)
        if kind is np.float32 and "volatile" not in step.name:
            is_bad = self._memory.watch.read(i, self._thread[at])
            self._forbid(step, at, is_bad, "read beside a write")
        result[at] = self._memory.data.view(kind)[i]

    def _store_memory(self, step: Step, address: Any, value: Any, kind: Any, at: Any) -> None:
        unsigned = np.dtype(f"u{np.dtype(kind).itemsize}")  # in which NaN is equal to NaN
        i, values = self._places(step, address, kind, at), self._of(value, at).view(unsigned)
        data = self._memory.data.view(unsigned)
        if unsigned.itemsize == 4:
            self._write(step, data, i, values, self._memory.watch, at)
        else:
            data[i] = values

    def _write(self, step: Step, data: Any, i: Any, values: Any, watch: _Watch, at: Any) -> None:
        """Write words, of which several threads may write one if they agree about it."""
        is_read, is_written = watch.write(i, self._thread[at])
        is_bad = is_read | is_written & (data[i] != values)
        data[i] = values
        self._forbid(step, at, is_bad | (data[i] != values), "written beside another use")

    def _swap(self, step: Step, address: Any, old: Any, expected: Any, new: Any, at: Any) -> None:
        """Compare and swap, one thread after the other."""
        data = self._memory.data.view(np.uint32)
        for lane, place in zip(at, self._places(step, address, np.uint32, at), strict=True):
            old[lane] = data[place]
            if data[place] == expected[lane]:
                data[place] = new[lane]

    # the shared memory of blocks

    def _words(self, step: Step, address: Any, n: int, kind: Any, at: Any) -> Any:
        """Where in that of all blocks here the first of n words is."""
        assert np.dtype(kind).itemsize == 4, step.text
        place = self._of(address, at)
        self._forbid(step, at, place % (4 * n) != 0, "not aligned")
        word = (place // 4).astype(np.int64)
        is_out = word >= self._kernel.is_shared.size
        is_out |= ~self._kernel.is_shared[np.where(is_out, 0, word + n - 1)]
        self._forbid(step, at, is_out, "outside of shared memory's arrays")
        if self._counts is not None:
            # a warp at once, or so many of its threads that they have as many words
            group = (at * n // _WARP)[:, None] << 32 | word[:, None] + np.arange(n)
            one_each = np.unique(group)  # all may have one word at once
            banks = np.zeros((self._tid.size * n // _WARP + 1, _BANKS), dtype=np.int64)
            np.add.at(banks, (one_each >> 32, one_each % _BANKS), 1)
            n_ways = banks.max(axis=1)
            self._counts["accesses"] += int((n_ways > 0).sum())
            self._counts["cycles"] += int(n_ways.sum())
            self._counts["ways"] = max(self._counts["ways"], int(n_ways.max()))
        return self._block[at] * self._kernel.is_shared.size + word

    def _load_shared(self, step: Step, address: Any, results: Any, kind: Any, at: Any) -> None:
        first = self._words(step, address, len(results), kind, at)
        found = []
        for k in range(len(results)):
            i = first + k
            self._forbid(step, at, ~self._is_set[i], "read before it is written")
            self._forbid(step, at, self._watch.read(i, self._thread[at]), "read beside a write")
            found.append(self._shared.view(kind)[i])
        for result, value in zip(results, found, strict=True):
            result[at] = value

    def _store_shared(self, step: Step, address: Any, values: Any, kind: Any, at: Any) -> None:
        first = self._words(step, address, len(values), kind, at)
        for k, value in enumerate(values):
            self._is_set[first + k] = True
            words = self._of(value, at).view(np.uint32)
            self._write(step, self._shared, first + k, words, self._watch, at)
