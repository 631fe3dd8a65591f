"""MelStream: samples in as they come, frames out; the sum of the parts is the offline result.

A stream lays the padded signal piece by piece before the transform's own engine: the padding at
the beginning is made once its samples are there, the padding at the end by :meth:`MelStream.flush`,
and a frame is computed as soon as the samples under its window are known. An engine computes each
frame by itself, so its bits are those that the whole signal gives.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel import arrays, engines, util
from fastmel.engines.plan import SpectrumPlan
from fastmel.exceptions import ParameterError

from . import features
from .config import MelConfig

if TYPE_CHECKING:
    from .transform import MelSpectrogram

__all__ = ["MelStream"]

#: samples that are computed at once: what bounds the memory of a long push
_BLOCK = 1 << 16

#: options whose result needs the whole signal, and what a stream can do instead
_CHOICES = {
    "top_db": "peak=... for a fixed largest value, running=True for the largest so far, or "
    "top_db=None for none",
    "normalize": "running=True for the statistics of the frames so far, or normalize=None",
    "ref": "a number",
    "n_frames": "n_frames=None",
    "repeat": "repeat=False",
}


class MelStream:
    """A front end on a signal that comes in chunks.

    Made by :meth:`fastmel.MelSpectrogram.stream`. The frames that :meth:`push` and :meth:`flush`
    return are, one after the other, what the transform gives for the whole signal, to the last bit.

    Attributes
    ----------
    config : MelConfig
        The configuration.
    running : bool
        Whether range and normalization are of the frames so far.

    Examples
    --------
    >>> import numpy as np
    >>> stream = fastmel.frontend("kaldi").stream()
    >>> stream.push(np.zeros(400, dtype=np.float32)).shape
    (1, 80)
    >>> stream.push(np.zeros(100, dtype=np.float32)).shape
    (0, 80)
    >>> stream.flush().shape
    (0, 80)
    """

    def __init__(self, transform: "MelSpectrogram", *, running: bool = False) -> None:
        config, plan = transform.config, transform._plan
        _check_streams(config, running)
        self.config, self.running = config, running
        self._transform = transform
        # what frames are computed with: samples that are conditioned and padded already, and a
        # range that is this class's business
        self._config = replace(config, top_db=None, peak=None) if running else config
        self._padded = plan.spectrum
        self._plan = replace(plan, spectrum=_bare(plan.spectrum))
        if plan.energy is not None:
            self._plan = replace(self._plan, energy=_bare(plan.energy))
        mode, before, after = config.pad_mode, self._padded.before, self._padded.after
        #: samples of the signal that the padding before it and after it is made of
        self._n_head = (
            {"reflect": before + 1, "symmetric": before}.get(mode, 1) if before > 0 else 0
        )
        self._n_tail = {"reflect": after + 1, "symmetric": after}.get(mode, 1) if after > 0 else 0
        self._n_needed = self._samples_of_a_frame()
        self.reset()

    def __repr__(self) -> str:
        return f"<MelStream of {self._transform!r} after {self._n_pushed} samples>"

    def _samples_of_a_frame(self) -> int:
        """Padded samples from a frame's place on: those its window sees, or those that count it."""
        spectrum = self._padded
        frame_length = spectrum.frame_length + spectrum.n_dropped * spectrum.hop_length
        return max(spectrum.start + spectrum.n_taken, frame_length - spectrum.after)

    @property
    def look_ahead(self) -> int:
        """Samples from ``t * hop_length`` on that frame t needs, or the stack that begins there."""
        n_more = self._frames_ahead * self.config.hop_length
        return self._n_needed - self._padded.before + n_more

    @property
    def latency(self) -> int:
        """Samples from the middle of a frame's window to the one that completes the frame."""
        middle = self._padded.start + self._padded.n_taken // 2
        return self._n_needed - middle + self._frames_ahead * self.config.hop_length

    @property
    def _frames_ahead(self) -> int:
        """Frames that a stack needs after the one at its place."""
        if self.config.stack is None:
            return 0
        return self.config.stack[0] - 1 - self._stack_lead

    @property
    def _stack_lead(self) -> int:
        """Frames that a stack has before its place."""
        is_edge = self.config.stack is not None and self.config.stack_ends == "edge"
        return (self.config.stack[0] - 1) // 2 if is_edge and self.config.stack else 0

    def reset(self) -> None:
        """Begin a new signal."""
        n_features = self.config.n_features // (self.config.stack or (1,))[0]
        self._is_open = True
        self._dtype: np.dtype[Any] | None = None  # the first chunk's
        self._n_buffered: int
        self._n_pushed = 0  # samples of the signal so far
        self._last: Any = 0  # the one before, with its noise
        # padded samples from `origin` on, counted from the padding's first; the padding itself is
        # missing until its samples are there
        self._renew(np.empty(0, dtype=np.float32), 0)
        self._origin = self._padded.before
        self._has_head = self._padded.before <= 0
        self._n_frames = 0  # computed
        self._kept: NDArray[Any] = np.empty((0, n_features), dtype=np.float32)  # for stacks
        self._n_stacks = 0
        self._peak = -np.inf
        self._moments = np.zeros((2, n_features))

    def push(self, chunk: Any) -> Any:
        """Take the next samples and return the frames that they complete.

        Parameters
        ----------
        chunk : array_like of float, shape (samples,)
            Finite samples, any number of them; of one type throughout a signal.

        Returns
        -------
        ndarray, shape (n_mels, n_frames)
            (n_frames, n_mels) with ``layout="frames_first"``; often without a frame.

        Raises
        ------
        ParameterError
            If the samples are not a finite floating-point signal, or the stream was flushed. The
            stream is left as it was.
        """
        y = chunk if type(chunk) is np.ndarray else np.asarray(arrays.as_numpy(chunk))
        if not (self._is_open and y.ndim == 1 and y.dtype is self._dtype) or _may_be_infinite(y):
            y = self._checked(y)
        if len(y) <= _BLOCK:
            result = self._advance(y)
        else:
            parts = [self._advance(y[i : i + _BLOCK]) for i in range(0, len(y), _BLOCK)]
            result = np.concatenate(parts, axis=self._time_axis)
        return result if y is chunk else arrays.like(chunk, result)

    def _checked(self, y: NDArray[Any]) -> NDArray[Any]:
        """Check a chunk that is not plainly like those before it; the first one sets the type."""
        if not self._is_open:
            raise ParameterError("this stream was flushed; begin a new signal with reset()")
        if y.ndim != 1:
            raise ParameterError(
                f"a chunk of a stream has one dimension, and this one's shape is {y.shape}"
            )
        util.valid_audio(y)
        real = np.dtype(np.float64 if y.dtype.itemsize >= 8 else np.float32)
        if self._dtype not in (None, real):
            raise ParameterError(
                f"this chunk is {real}, and the stream began with {self._dtype}; convert it"
            )
        self._dtype = real
        return y.astype(real, copy=False)

    def flush(self) -> NDArray[Any]:
        """End the signal and return the frames that are left.

        Returns
        -------
        ndarray, shape (n_mels, n_frames)
            (n_frames, n_mels) with ``layout="frames_first"``.
        """
        if not self._is_open:
            raise ParameterError("this stream was flushed already; begin a new one with reset()")
        real = self._dtype or np.dtype(np.float32)
        self._dtype = real
        n_zeros = self._transform._n_fitted(self._n_pushed) - self._n_pushed
        parts = [
            self._advance(np.zeros(min(_BLOCK, n_zeros - i), dtype=real))
            for i in range(0, n_zeros, _BLOCK)
        ]
        self._is_open = False
        return np.concatenate([*parts, self._finish()], axis=self._time_axis)

    def frames_of(self, chunks: Iterable[Any]) -> Iterator[NDArray[Any]]:
        """Push every chunk and flush: yield frames wherever there are some."""
        for chunk in chunks:
            frames = self.push(chunk)
            if frames.size:
                yield frames
        yield self.flush()

    @cached_property
    def _time_axis(self) -> int:
        return int(self.config.layout == "mels_first")

    # samples

    def _advance(self, y: NDArray[Any]) -> NDArray[Any]:
        """Take samples and compute the frames that are certain now."""
        if self.config.n_samples is not None:
            y = y[: max(self.config.n_samples - self._n_pushed, 0)]
        n = len(y)
        self._append(self._conditioned(y) if self._padded.conditioning else y)
        self._n_pushed += n
        if not self._has_head:
            if self._n_buffered < self._n_head:
                return self._compute(0)
            self._make_head()
        n_known = self._origin + self._n_buffered - self._n_needed
        n_frames = n_known // self.config.hop_length + 1 - self._n_frames
        return self._compute(n_frames if n_frames > 0 else 0)

    def _finish(self) -> NDArray[Any]:
        """Pad the end and compute the frames that are left."""
        if not self._has_head:
            self._make_head()
        if self._padded.after > 0:
            self._make_tail()
        n_frames = self._padded.n_frames(self._n_pushed)
        if self._n_pushed == 0 and self._n_head + self._n_tail > 0 and self._is_made_of_samples:
            n_frames = 0  # there is nothing to make the padding of
        return self._compute(n_frames - self._n_frames, at_end=True)

    @property
    def _is_made_of_samples(self) -> bool:
        return self.config.pad_mode not in ("constant", "empty")

    def _conditioned(self, y: NDArray[Any]) -> NDArray[Any]:
        steps = self._padded.conditioning
        if steps is None or not len(y):
            return y
        from fastmel.kernels.frames import condition

        out = np.empty_like(y)
        self._last = condition(
            y,
            self._n_pushed,
            y.dtype.type(self._last),
            steps.dither,
            np.uint64(steps.seed),
            y.dtype.type(steps.preemphasis),
            out,
        )
        return out[1:] if steps.drops_first and self._n_pushed == 0 else out

    def _append(self, y: NDArray[Any]) -> None:
        """Add samples to the buffer, which loses those that nothing needs any more."""
        n = self._n_buffered + len(y)
        if n > len(self._buffer) or self._buffer.dtype is not y.dtype:
            first = 0
            if self._has_head:
                first = min(self._first_unread, self._n_buffered - self._n_tail)
                first = min(max(first, 0), self._n_buffered)
            self._origin += first
            self._renew(self._buffer[first : self._n_buffered], len(y))
            n = self._n_buffered + len(y)
        self._buffer[self._n_buffered : n] = y
        self._n_buffered = n

    def _renew(self, samples: NDArray[Any], n_more: int) -> None:
        """Make a new buffer with some samples and room for more."""
        size = 2 * (len(samples) + n_more) + 8 * self.config.hop_length
        self._buffer = np.empty(size, dtype=self._dtype)
        self._buffer[: len(samples)] = samples
        self._n_buffered = len(samples)
        self._address = self._buffer.__array_interface__["data"][0]

    def _make_head(self) -> None:
        """Put the padding before the signal, which the buffer holds from its beginning on."""
        y = self._buffer[: self._n_buffered]
        padding = self._padding_of(y, -self._padded.before, self._padded.before)
        self._renew(np.concatenate([padding, y]), 0)
        self._origin, self._has_head = 0, True

    def _make_tail(self) -> None:
        """Put the padding after the signal."""
        n_signal = self._origin + self._n_buffered - self._padded.before
        n = min(max(self._n_tail, 1), n_signal)
        y = self._buffer[self._n_buffered - n : self._n_buffered]
        self._append(self._padding_of(y, n, self._padded.after))

    def _padding_of(self, y: NDArray[Any], start: int, n: int) -> NDArray[Any]:
        from fastmel.kernels.frames import PAD_MODES, copy_padded

        out = np.empty(n, dtype=self._dtype)
        padding = (max(self._padded.before, 0), max(self._padded.after, 0))
        copy_padded(y, start, *padding, PAD_MODES[self.config.pad_mode], out)
        return out

    # frames

    def _compute(self, n_frames: int, *, at_end: bool = False) -> NDArray[Any]:
        """Compute the next frames of the buffer's samples."""
        bands = self._bands(n_frames)
        if self._is_finished:
            return bands
        config, plan = self._config, self._plan
        energies = None
        if plan.energy is not None:
            energies = np.empty((1, n_frames), dtype=self._dtype)
            if n_frames:
                floor, engine = plan.energy_floor, self._transform._forced
                engines.energy(plan.energy, floor, self._unread(n_frames)[None], energies, engine)
        values = bands.T if self._is_turned else bands
        if self.running and n_frames:
            self._raise_to_range(values)
        values = features.of_frames(config, plan, values, None if energies is None else energies[0])
        if self.running and n_frames and config.normalize is not None:
            values = self._normalized(values)
        if config.stack is not None:
            values = self._stacked(values.T, at_end).T
        features.scale(config, plan, values)
        result = values.T if config.layout == "frames_first" else values
        return np.ascontiguousarray(result, dtype=config.dtype or self._dtype)

    def _bands(self, n_frames: int) -> NDArray[Any]:
        """The bands of the next frames, in the order of memory that follows."""
        n_mels = self._plan.n_mels
        out = np.empty((n_frames, n_mels) if self._is_turned else (n_mels, n_frames), self._dtype)
        if n_frames == 0:
            return out
        if self._dtype == np.float32 and self._transform.engine == "fused":
            first = self._first_unread
            y = self._address + 4 * first
            out_address = out.__array_interface__["data"][0]
            self._mel_of_piece(y, self._n_buffered - first, n_frames, out_address)
        else:
            target = out.T if self._is_turned else out
            y = self._unread(0)
            engines.mel(self._plan, y[None], target[None], self._transform._forced)
        self._n_frames += n_frames
        return out

    @property
    def _first_unread(self) -> int:
        """Where in the buffer the next frame begins."""
        return self._n_frames * self.config.hop_length + self._padded.start - self._origin

    def _unread(self, n_computed: int) -> NDArray[Any]:
        """The buffer's samples from the next frame on, or from so many frames before."""
        first = self._first_unread - n_computed * self.config.hop_length
        return self._buffer[first : self._n_buffered]

    @cached_property
    def _is_turned(self) -> bool:
        """Whether the bands of a frame lie side by side."""
        config = self.config
        return config.layout == "frames_first" or bool(config.n_mfcc or config.stack)

    @cached_property
    def _is_finished(self) -> bool:
        """Whether the bands are the features."""
        is_plain = self.config.dtype is None and self.config.stack is None
        return is_plain and not self.running and self._transform._is_finished

    @cached_property
    def _mel_of_piece(self) -> Any:
        from fastmel.engines.fused import mel_of_pieces

        return mel_of_pieces(self._plan, is_turned=self._is_turned)

    def _raise_to_range(self, bands: NDArray[Any]) -> None:
        """Bring each frame into the range below the largest value so far."""
        if self.config.top_db is None:
            return
        peaks = np.maximum.accumulate(np.append(self._peak, bands.max(axis=0)))[1:]
        self._peak = peaks[-1]
        extent = features.extent(self.config, self._plan)
        np.maximum(bands, (peaks - extent).astype(bands.dtype), out=bands)

    def _normalized(self, values: NDArray[Any]) -> NDArray[Any]:
        """Normalize each frame by the statistics of the frames so far."""
        from fastmel.kernels.features import standardize_so_far

        config, frames = self.config, np.ascontiguousarray(values.T)
        standardize_so_far(
            frames,
            self._n_frames - len(frames),
            config.normalize_over == "all",
            (config.normalize == "std", config.ddof, config.var_eps, config.std_eps),
            self._moments[0],
            self._moments[1],
        )
        return frames.T

    def _stacked(self, frames: NDArray[Any], at_end: bool) -> NDArray[Any]:
        """Return the stacks that the next frames complete."""
        assert self.config.stack is not None, "asked only then"
        length, step = self.config.stack
        first = self._n_frames - len(frames) - len(self._kept)
        frames = np.concatenate([self._kept.astype(frames.dtype), frames])
        if at_end:
            n_stacks = features.n_stacks(self.config, self._n_frames)
        else:
            n_stacks = max(0, (self._n_frames - 1 - self._frames_ahead) // step + 1)
        rows = np.arange(self._n_stacks, max(n_stacks, self._n_stacks))[:, None] * step
        rows = rows + np.arange(length) - self._stack_lead
        stacks = frames[np.clip(rows, 0, self._n_frames - 1) - first] if rows.size else rows
        if self.config.stack_ends == "pad":
            stacks[rows >= self._n_frames] = self.config.pad_value
        self._n_stacks += len(rows)
        oldest = min(max(self._n_stacks * step - self._stack_lead, 0), self._n_frames - 1)
        self._kept = frames[max(oldest - first, 0) :].copy()
        return stacks.reshape(len(rows), self.config.n_features).astype(frames.dtype)

    # saved states

    def save(self) -> dict[str, Any]:
        """Return the state: numbers, strings and arrays, to :meth:`restore` anywhere."""
        state = {name: getattr(self, name) for name in _STATE}
        state["_buffer"] = self._buffer[: self._n_buffered]
        state["_dtype"] = None if self._dtype is None else self._dtype.name
        copies = {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in state.items()}
        return {"config": self.config.to_json(), "running": self.running, **copies}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises
        ------
        ParameterError
            If it is the state of another configuration.
        """
        if (state.get("config"), state.get("running")) != (self.config.to_json(), self.running):
            raise ParameterError(
                f"this is the state of a stream of {state.get('config')}; restore it there"
            )
        for name in _STATE:
            value = state[name]
            setattr(self, name, value.copy() if isinstance(value, np.ndarray) else value)
        self._dtype = None if self._dtype is None else np.dtype(self._dtype)
        self._renew(self._buffer, 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._transform, self.running, self.save())


#: the attributes of a stream that change
_STATE = (
    "_is_open", "_dtype", "_n_pushed", "_last", "_buffer", "_n_buffered", "_origin", "_has_head",
    "_n_frames", "_kept", "_n_stacks", "_peak", "_moments",
)  # fmt: skip


def _bare(spectrum: SpectrumPlan) -> SpectrumPlan:
    """The plan for frames of samples that are conditioned and padded already."""
    return replace(spectrum, before=0, after=0, start=0, conditioning=None)


def _restored(transform: "MelSpectrogram", running: bool, state: dict[str, Any]) -> MelStream:
    stream = MelStream(transform, running=running)
    stream.restore(state)
    return stream


def _may_be_infinite(y: NDArray[Any]) -> bool:
    """Whether there may be NaN or infinity: the energy costs half of a look at each value."""
    return not math.isfinite(np.vdot(y, y))


def _check_streams(config: MelConfig, running: bool) -> None:
    """Refuse what needs the whole signal."""
    whole = {
        "top_db": config.top_db is not None and config.peak is None and not running,
        "normalize": config.normalize is not None and not running,
        "ref": config.ref == "max",
        "n_frames": config.n_frames is not None,
        "repeat": config.repeat,
    }
    for name, is_needed in whole.items():
        if is_needed:
            raise ParameterError(
                f"{name}={getattr(config, name)!r} needs the whole signal, which a stream does "
                f"not have; choose stream({_CHOICES[name]})"
            )
