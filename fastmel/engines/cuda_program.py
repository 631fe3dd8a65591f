"""A configuration on an NVIDIA GPU: its tables, memory and streams, and the launches of kernels.

NumPy's arrays are computed part by part, on two streams in turns, so that copies and kernels
overlap. Arrays that are on the GPU already are computed in place on their stream.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel import util
from fastmel.arrays import is_on_gpu
from fastmel.exceptions import ParameterError

from . import cuda_layout
from .cuda import check, cuda, launch, on_gpu, told_plainly
from .cuda_arrays import (
    PER_THREAD,
    Array,
    DeviceArray,
    device_of,
    empty_like,
    flat,
    is_lent,
    is_read_only,
    stream_by_number,
    stream_number,
    type_name,
)
from .cuda_ending import THREADS, VALUES, cepstra_of, finish_of, neighbours, statistics_of
from .cuda_layout import (
    FIRST,
    FIRST_OUT,
    LOST,
    N_BANDS,
    N_FILLED,
    N_GIVEN,
    N_OUT,
    N_PLACES,
    N_SIGNAL,
    N_VALID,
    OFFSET,
    PEAK,
    Ending,
    Layout,
    Signal,
)
from .cuda_line import line_of
from .plan import MelPlan

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig

__all__ = ["Program"]

F32 = np.float32

#: signals of a launch
_MOST_ROWS = 65535
#: bytes that are copied while those before them are computed
_PART = 8 << 20
#: one host call at a time: calls share the memory for their copies
_lock = threading.Lock()


class Program:
    """A configuration compiled for the GPU, with its tables there."""

    def __init__(
        self, config: "MelConfig", plan: MelPlan, cosines: NDArray[np.float64] | None = None
    ) -> None:
        """Lay it out; cosines: the (n_mfcc, n_mels) transform of a configuration with cepstra."""
        self.dtype = np.dtype(config.dtype or F32)
        self.ending = Ending.of(config, plan)
        self.layout = Layout.of(config, plan, self.ending)
        steps, weights = cuda_layout.schedule(self.layout, plan.bands.spans, plan.bands.weights)
        window = plan.spectrum.window.astype(F32)
        tables: list[NDArray[Any]] = [
            np.append(window.view(np.uint64), cuda_layout.first_table(self.layout, window)),
            cuda_layout.turns(self.layout),
            cuda_layout.packed(self.layout, steps),
            np.ldexp(weights, -self.layout.exponent).view(np.uint64).ravel(),
        ]
        factors = np.empty((2, config.n_features), dtype=F32)
        factors[0], factors[1] = config.offset, config.gain
        self._tables = tables, factors, None if cosines is None else _in_order(cosines, config)
        self._on_device: dict[int, Any] = {}

    def on_host(
        self,
        signals: Sequence[NDArray[Any]],
        lengths: Sequence[Signal],
        results: Sequence[NDArray[Any]],
    ) -> None:
        """Write the features of signals (samples,) into arrays, C-contiguous in two axes.

        Copies of one part of the signals run while another is computed.

        Raises
        ------
        ParameterError
            If a sample is NaN or infinite.
        MemoryError
            If a signal is too long for the GPU's memory.
        RuntimeError
            If the GPU fails.
        """
        self._check_lengths(lengths)
        check()
        with told_plainly(), _lock:
            rooms = _rooms(cuda.gpus.current.id)
            ends: list[Callable[[], None]] = []
            try:
                for i, part in enumerate(self._parts(lengths)):
                    if len(ends) == len(rooms):
                        ends.pop(0)()
                    room = rooms[i % len(rooms)]
                    ends.append(self._start(room, signals[part], lengths[part], results[part]))
                for end in ends:
                    end()
            except BaseException:  # the next call finds nothing at work in its memory
                for room in rooms:
                    room.stream.synchronize()
                raise

    def on_device(
        self,
        signals: Sequence[Any],
        lengths: Sequence[Signal],
        shape: tuple[int, ...] | None = None,
        out: Any = None,
    ) -> Any:
        """Compute the features of arrays on a GPU, there and on the stream of the first.

        Parameters
        ----------
        signals : sequence of arrays
            Each of one or more signals (..., samples).
        lengths : sequence of Signal
            Of each signal.
        shape : tuple of int
            What `out` must have.
        out : array on the GPU, optional
            Where to put the results.

        Returns
        -------
        array on the GPU
            The results one after the other on one axis: `out`, a tensor if signals are tensors, or
            else a DeviceArray.
        """
        check()
        arrays = [*signals] if out is None else [*signals, out]
        if out is not None:
            self._check_out(out, shape)
        kinds = sorted({type_name(y) for y in signals})
        if len(kinds) > 1 or kinds[0] not in ("float16", "float32"):
            raise ParameterError(
                f'engine="cuda" takes float32 or float16, and the samples are {" and ".join(kinds)}'
            )
        self._check_lengths(lengths)
        if len(lengths) > _MOST_ROWS:
            raise ParameterError(
                f"{len(lengths)} signals are too many for one call; give {_MOST_ROWS} at a time"
            )
        device, *others = {device_of(array) for array in arrays}
        if others:
            raise ParameterError("the arrays of a call must be on one GPU, and these are not")
        with told_plainly(), on_gpu(device), _lock:
            number = stream_number(signals[0])
            waiting = {stream_number(array) for array in arrays} - {number}
            for other in waiting:
                stream_by_number(other).synchronize()
            thread = threading.get_ident() if number == PER_THREAD else None
            room = _room_on(device, number, thread)
            parts = [flat(y) for y in signals]
            y = parts[0]
            if len(parts) > 1:
                starts = _starts([part.size for part in parts])
                y = room.array("samples", (starts[-1],), y.dtype)
                for part, low in zip(parts, starts, strict=False):
                    y.part(low, part.shape).fill(part, room.stream)
            size = self.ending.n_features * sum(signal.n_out for signal in lengths)
            results = empty_like(signals[0], size, self.dtype) if out is None else out
            if size:
                self._launch(room, y, lengths, flat(results))
            for other in waiting:  # on which samples may change from now on, and out may be read
                done = cuda.event()
                done.record(room.stream)
                done.wait(stream_by_number(other))
            if isinstance(results, DeviceArray):
                results.written_on(number)
            if any(map(is_lent, arrays)):  # which kernels may use no longer than the call takes
                room.stream.synchronize()
        return results

    def _check_lengths(self, lengths: Sequence[Signal]) -> None:
        """Refuse what kernels cannot count in 32 bits, which must hold a mirrored signal, too."""
        n_found, n_features = self.ending.n_found, self.ending.n_features
        for n_given, _, n_signal, n_bands, n_out, _ in lengths:
            if max(n_given, n_signal, n_bands * n_found, n_out * n_features) > 1 << 30:
                raise ParameterError(
                    "a signal has more than 2**30 samples or values of its bands or features, "
                    "which is too many for the GPU; cut it into pieces"
                )

    def _check_out(self, out: Any, shape: tuple[int, ...] | None) -> None:
        if not is_on_gpu(out):
            raise ParameterError("the samples are on a GPU, and out is not; give out there, too")
        if tuple(out.shape) != shape or type_name(out) != self.dtype.name:
            raise ParameterError(
                f"out is {type_name(out)} of shape {tuple(out.shape)}; give a C-contiguous array "
                f"of {self.dtype} and shape {shape}"
            )
        if is_read_only(out):
            raise ParameterError("out is read-only; give a writable array")

    def _parts(self, lengths: Sequence[Signal]) -> Iterator[slice]:
        """Divide signals into parts of a size that hides the copies."""
        first = n_bytes = 0
        for i, signal in enumerate(lengths):
            n_bytes += 4 * max(signal.n_given, signal.n_out * self.ending.n_features)
            if n_bytes >= _PART or i + 1 - first == _MOST_ROWS or i + 1 == len(lengths):
                yield slice(first, i + 1)
                first, n_bytes = i + 1, 0

    def _start(
        self,
        room: "_Room",
        signals: Sequence[NDArray[Any]],
        lengths: Sequence[Signal],
        results: Sequence[NDArray[Any]],
    ) -> Callable[[], None]:
        """Start one part on a stream; return what waits for it and fetches the results."""
        offsets = _starts([signal.n_given for signal in lengths])
        given = room.pinned("given", (max(offsets[-1], 1),), F32)
        for y, signal, (low, high) in zip(signals, lengths, pairwise(offsets), strict=True):
            self._check_rest(y, signal)
            given[low:high] = y
        places = [self.ending.n_features * n for n in _starts([s.n_out for s in lengths])]
        if places[-1] == 0:
            return lambda: None
        there = room.array("samples", given.shape, F32)
        there.fill(given, room.stream)
        out = room.array("results", (places[-1],), self.dtype)
        state = self._launch(room, there, lengths, out)
        found = room.pinned("found", out.shape, self.dtype)
        left = room.pinned("left", state.shape, F32)
        out.fetch(found, room.stream)
        state.fetch(left, room.stream)

        def end() -> None:
            room.stream.synchronize()
            for signal, is_lost in zip(signals, left[LOST], strict=True):
                if is_lost:
                    util.valid_audio(signal)  # raises
            for result, (low, high) in zip(results, pairwise(places), strict=True):
                result.reshape(-1)[:] = found[low:high]

        return end

    def _check_rest(self, y: NDArray[Any], signal: Signal) -> None:
        """Look at the samples that no frame has; kernels look at the others."""
        layout, n_frames = self.layout, signal.n_bands
        if self.ending.is_empty:  # nothing depends on frames that are cut off
            n_frames = min(n_frames, signal.n_out)
        end = (n_frames - 1) * layout.hop_length + layout.origin + layout.n_fft
        if layout.hop_length > layout.n_fft or n_frames == 0 or signal.n_out == 0:
            util.valid_audio(y)
        else:
            for rest in (y[: max(layout.origin, 0)], y[max(min(end, signal.n_filled), 0) :]):
                if rest.size:
                    util.valid_audio(rest)

    def _launch(self, room: "_Room", y: Array, lengths: Sequence[Signal], out: Array) -> Array:
        """Put the kernels on a stream; return what they leave of each signal."""
        ending, layout, stream = self.ending, self.layout, room.stream
        tables, factors, cosines = self._constants(room.device_id)
        is_in_place = ending.is_empty or (
            ending.is_in_place
            and self.dtype == F32
            and all(signal.n_bands <= signal.n_out for signal in lengths)
        )
        table = _table(tuple(lengths), is_in_place)
        n_rows, n_places = len(table), max(int(table[:, N_PLACES].sum()), 1)
        before = _before(n_rows)
        rows, state = room.uploaded("rows", table), room.array("state", before.shape, F32)
        state.fill(room.uploaded("before", before), stream)

        def run(kernel: Any, n_blocks: int, n_threads: int, *args: Array) -> None:
            if n_blocks:
                launch(kernel, (n_blocks, n_rows), n_threads, room.device_id, stream, args)

        def run_on_each(kernel: Any, column: int, n_each: int, n_values: int, *args: Array) -> None:
            n_units = int(table[:, column].max()) * n_values
            run(kernel, -(-n_units // (n_each * THREADS)), THREADS, *args)

        bands = out
        if not is_in_place:
            bands = room.array("bands", (n_places * ending.n_found,), F32)
        n_tiles = -(-int(table[:, N_PLACES].max()) // layout.n_tile)
        run(line_of(layout), n_tiles, layout.n_threads, y, rows, *tables, bands, state)
        if is_in_place and ending.is_empty:
            return state
        if ending.n_mfcc is not None:
            cepstra = room.array("cepstra", (n_places * ending.n_mfcc,), F32)
            kernel = cepstra_of(ending, ending.n_mfcc)
            run_on_each(kernel, N_BANDS, 1, ending.n_mfcc, bands, rows, state, cosines, cepstra)
            bands, ending = cepstra, ending.after_cepstra
        stats = room.array("statistics", (n_rows, ending.n_found, 2), F32)
        if ending.normalize:
            n_blocks = 1 if ending.over_all else -(-ending.n_found // neighbours(ending))
            run(statistics_of(ending), n_blocks, THREADS, bands, rows, state, stats)
        args = bands, rows, state, stats, factors, out
        run_on_each(finish_of(ending, bands is out), N_OUT, VALUES, ending.n_features, *args)
        return state

    def _constants(self, device_id: int) -> tuple[Any, Any, Any]:
        """The tables on the current device."""
        if device_id not in self._on_device:
            tables, factors, cosines = self._tables
            self._on_device[device_id] = (
                [*map(_uploaded, tables)],
                _uploaded(factors),
                None if cosines is None else _uploaded(cosines),
            )
            cuda.synchronize()  # streams of others do not wait for these copies
        constants: tuple[Any, Any, Any] = self._on_device[device_id]
        return constants


def _in_order(cosines: NDArray[np.float64], config: "MelConfig") -> NDArray[np.float32]:
    """The cosine transform with its rows where the coefficients go."""
    if config.energy_last:
        cosines = np.roll(cosines, -1, axis=0)
        if config.energy is None:
            cosines[-1] *= math.sqrt(2)
    return cosines.astype(F32)


def _starts(lengths: Sequence[int]) -> list[int]:
    """Where each of some things begins that lie one after the other, and where the last ends."""
    return [0, *accumulate(lengths)]


@lru_cache(maxsize=8)
def _table(lengths: tuple[Signal, ...], is_in_place: bool) -> NDArray[np.int64]:
    """The table of signals (n, 10) that lie one after the other, as their results do."""
    table = np.empty((len(lengths), 10), dtype=np.int64)
    columns = [N_GIVEN, N_FILLED, N_SIGNAL, N_BANDS, N_OUT, N_VALID]
    table[:, columns] = lengths
    table[:, OFFSET] = np.cumsum(table[:, N_GIVEN]) - table[:, N_GIVEN]
    table[:, FIRST_OUT] = np.cumsum(table[:, N_OUT]) - table[:, N_OUT]
    if is_in_place:
        table[:, N_BANDS] = np.minimum(table[:, N_BANDS], table[:, N_OUT])
    table[:, N_PLACES] = table[:, N_OUT if is_in_place else N_BANDS]
    table[:, FIRST] = np.cumsum(table[:, N_PLACES]) - table[:, N_PLACES]
    return table


@lru_cache(maxsize=8)
def _before(n_signals: int) -> NDArray[np.float32]:
    """What the kernels begin with for each signal."""
    before = np.zeros((2, n_signals), dtype=F32)
    before[PEAK] = -np.inf
    return before


def _uploaded(values: NDArray[Any]) -> Array:
    """A copy on the current device."""
    return Array.of(cuda.to_device(values.ravel())).part(0, values.shape)


class _Room:
    """Memory for the calls on one stream, kept and grown."""

    def __init__(self, device_id: int, stream: Any) -> None:
        self.device_id, self.stream = device_id, stream
        #: name and type -> memory, the part of it that was asked for last
        self._kept: dict[tuple[str, str], tuple[Array, Array]] = {}
        self._pinned: dict[tuple[str, str], NDArray[Any]] = {}
        #: name -> values that were uploaded last, their copy
        self._uploads: dict[str, tuple[NDArray[Any], Array]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory of this name on the GPU, whose values are lost when it is asked for again."""
        dtype, size = np.dtype(dtype), math.prod(shape)
        kept = self._kept.pop((name, dtype.char), None)
        if kept is None or kept[1].shape != shape:
            memory = kept[0] if kept and kept[0].size >= size else None
            if memory is None:
                kept = None  # is free before there is more
                memory = Array.of(cuda.device_array(max(size, 1), dtype))
            kept = memory, memory.part(0, shape)
        self._kept[name, dtype.char] = kept
        return kept[1]

    def pinned(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """The same on the host."""
        dtype, size = np.dtype(dtype), math.prod(shape)
        memory = self._pinned.get((name, dtype.char))
        if memory is None or memory.size < size:
            memory = self._pinned[name, dtype.char] = cuda.pinned_array(max(size, 1), dtype)
        return memory[:size].reshape(shape)

    def uploaded(self, name: str, values: NDArray[Any]) -> Array:
        """A copy on the device, as it is if the values are those of the last call.

        A copy from memory that is not pinned may wait for all that is on the stream before it.
        """
        last, there = self._uploads.get(name, (values, None))
        if there is None or not (last is values or np.array_equal(last, values)):
            there = self.array(name, values.shape, values.dtype)
            there.fill(values, self.stream)
            self._uploads[name] = values, there
        return there


@cache
def _rooms(device_id: int) -> tuple[_Room, _Room]:
    """Two streams for the copies of NumPy's arrays."""
    return _Room(device_id, cuda.stream()), _Room(device_id, cuda.stream())


@lru_cache(maxsize=16)
def _room_on(device_id: int, stream: int, thread: int | None) -> _Room:
    """The room for a stream of another library, or of a thread."""
    return _Room(device_id, stream_by_number(stream))
