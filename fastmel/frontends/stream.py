"""MelStream: samples in as they come, frames out; the sum of the parts is the offline result.

samples -> padded signal -> bands -> (statistics so far) -> features -> (stacks)

A stream lays the padded signal piece by piece before the transform's own engine: the padding at
the beginning is made once its samples are there, the padding at the end by :meth:`MelStream.flush`,
and a frame is computed as soon as the samples under its window are known. An engine computes each
frame by itself, so its bits are those that the whole signal gives.
"""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel import arrays, engines, util
from fastmel.engines.plan import MelPlan, SpectrumPlan
from fastmel.exceptions import ParameterError

from . import features
from .config import MelConfig

if TYPE_CHECKING:
    from .transform import MelSpectrogram

__all__ = ["MelStream"]

Array = NDArray[Any]

#: samples that are computed at once: what bounds the memory of a long push
_BLOCK = 1 << 16

#: options whose result needs the whole signal, and what a stream can do instead
_CHOICES = {
    "top_db": "peak=... for a fixed largest value, running=True for the largest so far, or "
    "top_db=None for none",
    "normalize": "running=True for the statistics of the frames so far, or normalize=None",
    "ref": "ref=1.0 or another number",
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
    >>> import fastmel
    >>> stream = fastmel.frontend("kaldi").stream()
    >>> stream.push(np.zeros(400, dtype=np.float32)).shape
    (1, 80)
    >>> stream.push(np.zeros(100, dtype=np.float32)).shape
    (0, 80)
    >>> stream.flush().shape
    (0, 80)
    """

    def __init__(self, transform: "MelSpectrogram", *, running: bool = False) -> None:
        _check_streams(transform.config, running)
        self.config, self.running = transform.config, running
        self._transform = transform
        # the range is this class's business if it is of the frames so far
        self._config = replace(self.config, top_db=None, peak=None) if running else self.config
        self._plan = _unpadded(transform._plan)
        self.reset()

    def __repr__(self) -> str:
        return f"<MelStream of {self._transform!r} after {self._n_pushed} samples>"

    @property
    def look_ahead(self) -> int:
        """Samples from ``t * hop_length`` on that frame t needs, or the stack that begins there."""
        n_more = self._stacks.n_ahead * self.config.hop_length
        return self._signal.n_needed - self._transform._plan.spectrum.before + n_more

    @property
    def latency(self) -> int:
        """Samples from the middle of a frame's window to the one that completes the frame."""
        spectrum = self._transform._plan.spectrum
        n_more = self._stacks.n_ahead * self.config.hop_length
        return self._signal.n_needed - spectrum.start - spectrum.n_taken // 2 + n_more

    def reset(self) -> None:
        """Begin a new signal."""
        self._is_open = True
        self._is_of_tensors = False  # whether the latest chunk was one
        self._n_pushed = 0
        self._signal = _PaddedSignal(self._transform._plan.spectrum)
        self._so_far = _SoFar(self.config)
        self._stacks = _Stacks(self.config)

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
        is_like_before = self._is_open and y.ndim == 1 and y.dtype is self._signal.dtype
        if not is_like_before or _may_be_infinite(y):
            y = self._checked(y)
        if len(y) <= _BLOCK:
            result = self._advance(y)
        else:
            parts = [self._advance(y[i : i + _BLOCK]) for i in range(0, len(y), _BLOCK)]
            result = np.concatenate(parts, axis=self._time_axis)
        self._is_of_tensors = y is not chunk and arrays.is_tensor(chunk)
        return arrays.as_tensors(result) if self._is_of_tensors else result

    def flush(self) -> Any:
        """End the signal and return the frames that are left.

        Returns
        -------
        ndarray, shape (n_mels, n_frames)
            (n_frames, n_mels) with ``layout="frames_first"``; a tensor if the last chunk was one.

        Raises
        ------
        ParameterError
            If the stream was flushed already.
        """
        if not self._is_open:
            raise ParameterError("this stream was flushed already; begin a new one with reset()")
        real = self._signal.dtype or np.dtype(np.float32)
        n_zeros = self._transform._n_fitted(self._n_pushed) - self._n_pushed
        parts = [
            self._advance(np.zeros(min(_BLOCK, n_zeros - i), dtype=real))
            for i in range(0, n_zeros, _BLOCK)
        ]
        self._is_open = False
        n_left = self._signal.finish(self._n_pushed)
        parts.append(self._features(n_left, at_end=True))
        result = np.concatenate(parts, axis=self._time_axis)
        return arrays.as_tensors(result) if self._is_of_tensors else result

    def frames_of(self, chunks: Iterable[Any]) -> Iterator[Any]:
        """Push every chunk and flush: yield frames wherever there are some."""
        for chunk in chunks:
            frames = self.push(chunk)
            if len(frames) and frames.shape[self._time_axis]:
                yield frames
        yield self.flush()

    def save(self) -> dict[str, Any]:
        """Return the state: numbers, strings and arrays, to :meth:`restore` anywhere."""
        state: dict[str, Any] = {"config": self.config.to_json(), "running": self.running}
        state |= {"is_open": self._is_open, "n_pushed": self._n_pushed}
        state["is_of_tensors"] = self._is_of_tensors
        for name, part in self._parts.items():
            state[name] = {key: x for key, x in vars(part).items() if key not in ("plan", "config")}
        return copy.deepcopy(state)

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
        self.reset()
        self._is_open, self._n_pushed = state["is_open"], state["n_pushed"]
        self._is_of_tensors = state["is_of_tensors"]
        for name, part in self._parts.items():
            vars(part).update(copy.deepcopy(state[name]))
        self._signal.renew(self._signal.samples, 0)

    @property
    def _parts(self) -> dict[str, Any]:
        return {"signal": self._signal, "so_far": self._so_far, "stacks": self._stacks}

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._transform, self.running, self.save())

    def _checked(self, y: Array) -> Array:
        """Check a chunk that is not plainly like those before it; the first one sets the type."""
        if not self._is_open:
            raise ParameterError("this stream was flushed; begin a new signal with reset()")
        if y.ndim != 1:
            raise ParameterError(
                f"a chunk of a stream has one dimension, and this one's shape is {y.shape}"
            )
        util.valid_audio(y)
        real = np.dtype(np.float64 if y.dtype.itemsize >= 8 else np.float32)
        if self._signal.dtype not in (None, real):
            raise ParameterError(
                f"this chunk is {real}, and the stream began with {self._signal.dtype}; convert it"
            )
        return y.astype(real, copy=False)

    def _advance(self, y: Array) -> Array:
        """Take samples and compute the frames that are certain now."""
        if self.config.n_samples is not None:
            y = y[: max(self.config.n_samples - self._n_pushed, 0)]
        n_frames = self._signal.push(y, self._n_pushed)
        self._n_pushed += len(y)
        return self._features(n_frames)

    def _features(self, n_frames: int, *, at_end: bool = False) -> Array:
        """Compute the next frames of the result."""
        bands = self._bands(n_frames)
        if not self._is_finished:
            return self._finished(bands, at_end)
        self._signal.n_frames += n_frames
        return bands

    def _bands(self, n_frames: int) -> Array:
        """The bands of the next frames, in the order of memory that follows."""
        signal, n_mels = self._signal, self._plan.n_mels
        shape = (n_frames, n_mels) if self._is_turned else (n_mels, n_frames)
        out = np.empty(shape, dtype=signal.dtype or np.float32)
        if n_frames == 0:
            return out
        if signal.dtype == np.float32 and self._transform.engine == "fused":
            address = out.__array_interface__["data"][0]
            self._mel_of_piece(*signal.next_samples, n_frames, address)
        else:
            y, target = signal.unread, out.T if self._is_turned else out
            engines.mel(self._plan, y[None], target[None], self._transform._forced)
        return out

    def _finished(self, bands: Array, at_end: bool) -> Array:
        """The features of the next frames, of which these are the bands."""
        config, plan, signal = self._config, self._plan, self._signal
        values = bands.T if self._is_turned else bands
        n_frames = values.shape[1]
        energies = None
        if plan.energy is not None:
            energies = np.empty((1, n_frames), dtype=bands.dtype)
            if n_frames:
                y, forced = signal.unread[None], self._transform._forced
                engines.energy(plan.energy, plan.energy_floor, y, energies, forced)
        if self.running and n_frames:
            self._so_far.raise_to_range(values, plan)
        values = features.of_frames(config, plan, values, None if energies is None else energies[0])
        if self.running and n_frames:
            values = self._so_far.normalize(values, signal.n_frames)
        signal.n_frames += n_frames
        if config.stack is not None:
            values = self._stacks.push(values.T, signal.n_frames, at_end).T
        features.scale(config, plan, values)
        result = values.T if config.layout == "frames_first" else values
        return np.ascontiguousarray(result, dtype=config.dtype or bands.dtype)

    @cached_property
    def _time_axis(self) -> int:
        return int(self.config.layout == "mels_first")

    @cached_property
    def _is_turned(self) -> bool:
        """Whether the bands of a frame lie side by side."""
        config = self.config
        return config.layout == "frames_first" or bool(config.n_mfcc or config.stack)

    @cached_property
    def _is_finished(self) -> bool:
        """Whether the bands are the features."""
        return self.config.dtype is None and not self.running and self._transform._is_finished

    @cached_property
    def _mel_of_piece(self) -> Any:
        from fastmel.engines.fused import mel_of_pieces

        return mel_of_pieces(self._plan, is_turned=self._is_turned)


class _PaddedSignal:
    """The conditioned and padded signal, of which the part that is still needed is at hand.

    Places count padded samples from the first one on.
    """

    def __init__(self, plan: SpectrumPlan) -> None:
        self.plan = plan
        self.dtype: np.dtype[Any] | None = None  # the first chunk's
        self.n_frames = 0  # that have been computed
        self._last: Any = 0  # the latest sample before pre-emphasis
        # The padding before the signal is missing until the samples are there that it is made of.
        self._has_head = plan.before <= 0
        self._origin = plan.before  # place of the buffer's first sample
        self._buffer: Array = np.empty(0, dtype=np.float32)
        self._n_buffered = 0
        self._address = 0

    @cached_property
    def n_needed(self) -> int:
        """Samples from a frame's place on: those under its window, or those that count it."""
        plan = self.plan
        frame_length = plan.frame_length + plan.n_dropped * plan.hop_length
        return max(plan.start + plan.n_taken, frame_length - plan.after)

    @property
    def samples(self) -> Array:
        """The samples at hand."""
        return self._buffer[: self._n_buffered]

    @property
    def _first(self) -> int:
        """Where in the buffer the next frame begins."""
        return self.n_frames * self.plan.hop_length + self.plan.start - self._origin

    @property
    def unread(self) -> Array:
        """The samples from the next frame on."""
        return self._buffer[self._first : self._n_buffered]

    @property
    def next_samples(self) -> tuple[int, int]:
        """Address and number of :attr:`unread`."""
        first = self._first
        return self._address + first * self._buffer.itemsize, self._n_buffered - first

    def push(self, y: Array, position: int) -> int:
        """Take the signal's samples from a position on; return how many more frames are certain."""
        self.dtype = y.dtype
        self._append(self._conditioned(y, position) if self.plan.conditioning else y)
        if not self._has_head:
            if self._n_buffered < self._n_mirrored(self.plan.before):
                return 0
            self._make_head()
        n_known = self._origin + self._n_buffered - self.n_needed
        return max(n_known // self.plan.hop_length + 1 - self.n_frames, 0)

    def finish(self, n_samples: int) -> int:
        """Pad the end of a signal of so many samples; return how many frames are left."""
        plan = self.plan
        n_signal = self._n_buffered + (self._origin - plan.before if self._has_head else 0)
        if n_signal == 0 and plan.pad_mode not in ("constant", "empty"):
            return 0  # there is nothing to make the padding of
        if not self._has_head:
            self._make_head()
        if plan.after > 0:
            n = min(max(self._n_mirrored(plan.after), 1), n_signal)
            self._append(self._padding(self.samples[self._n_buffered - n :], n, plan.after))
        return plan.n_frames(n_samples) - self.n_frames

    def renew(self, samples: Array, n_more: int) -> None:
        """Make a new buffer with some samples and room for more."""
        size = 2 * (len(samples) + n_more) + 8 * self.plan.hop_length
        self._buffer = np.empty(size, dtype=self.dtype or np.float32)
        self._buffer[: len(samples)] = samples
        self._n_buffered = len(samples)
        self._address = self._buffer.__array_interface__["data"][0]

    def _n_mirrored(self, n_padding: int) -> int:
        """Samples of the signal that so much padding is made of."""
        if n_padding <= 0 or self.plan.pad_mode in ("constant", "empty"):
            return 0
        return {"reflect": n_padding + 1, "symmetric": n_padding}.get(self.plan.pad_mode, 1)

    def _append(self, y: Array) -> None:
        """Add samples to the buffer, which loses those that nothing needs any more."""
        if self._n_buffered + len(y) > len(self._buffer) or self._buffer.dtype is not y.dtype:
            n_lost = 0
            if self._has_head:
                n_tail = self._n_mirrored(self.plan.after)
                n_lost = max(0, min(self._first, self._n_buffered - n_tail))
            self._origin += n_lost
            self.renew(self.samples[n_lost:], len(y))
        stop = self._n_buffered + len(y)
        self._buffer[self._n_buffered : stop] = y
        self._n_buffered = stop

    def _conditioned(self, y: Array, position: int) -> Array:
        from fastmel.kernels.frames import condition

        steps, real = self.plan.conditioning, y.dtype.type
        assert steps is not None, "asked only then"
        out, seed, last = np.empty_like(y), np.uint64(steps.seed), real(self._last)
        self._last = condition(y, position, last, steps.dither, seed, real(steps.preemphasis), out)
        return out[1:] if steps.drops_first and position == 0 else out

    def _make_head(self) -> None:
        """Put the padding before the signal, which the buffer holds from its beginning on."""
        padding = self._padding(self.samples, -self.plan.before, self.plan.before)
        self.renew(np.concatenate([padding, self.samples]), 0)
        self._origin, self._has_head = 0, True

    def _padding(self, y: Array, start: int, n: int) -> Array:
        """So many samples of the padding of ``y`` from a position on."""
        from fastmel.kernels.frames import PAD_MODES, copy_padded

        out = np.empty(n, dtype=self._buffer.dtype)
        before, after = max(self.plan.before, 0), max(self.plan.after, 0)
        copy_padded(y, start, before, after, PAD_MODES[self.plan.pad_mode], out)
        return out


class _SoFar:
    """Range and normalization by the frames so far."""

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        self._peak = -np.inf
        self._moments = np.zeros((2, config.n_features))

    def raise_to_range(self, bands: Array, plan: MelPlan) -> None:
        """Bring each frame (n_mels, n_frames) into the range below the largest value so far."""
        if self.config.top_db is None:
            return
        peaks = np.maximum.accumulate(np.append(self._peak, bands.max(axis=0)))[1:]
        self._peak = peaks[-1]
        floors = peaks - features.extent(self.config, plan)
        np.maximum(bands, floors.astype(bands.dtype), out=bands)

    def normalize(self, values: Array, n_before: int) -> Array:
        """Normalize each frame (n_features, n_frames) by itself and all before it."""
        from fastmel.kernels.features import standardize_so_far

        config = self.config
        if config.normalize is None:
            return values
        frames = np.ascontiguousarray(values.T)
        over_all = config.normalize_over == "all"
        options = (config.normalize == "std", config.ddof, config.var_eps, config.std_eps)
        standardize_so_far(frames, n_before, over_all, options, *self._moments)
        return frames.T


class _Stacks:
    """Concatenations of neighbouring frames, which wait here for the rest of their stack."""

    def __init__(self, config: MelConfig) -> None:
        self.config = config
        length, self._step = config.stack or (1, 1)
        self._n_before = (length - 1) // 2 if config.stack_ends == "edge" else 0
        self._waiting: Array = np.empty((0, config.n_features // length), dtype=np.float32)
        self._n_made = 0

    @property
    def n_ahead(self) -> int:
        """Frames that a stack needs after the one at its place."""
        return (self.config.stack or (1, 1))[0] - 1 - self._n_before

    def push(self, frames: Array, n_frames: int, at_end: bool) -> Array:
        """Take frames, which make it so many; return the stacks (n_stacks, n_features) complete."""
        frames = np.concatenate([self._waiting.astype(frames.dtype), frames])
        first, step = n_frames - len(frames), self._step
        if at_end:
            n_stacks = features.n_stacks(self.config, n_frames)
        else:
            n_stacks = max(0, (n_frames - 1 - self.n_ahead) // step + 1)
        places = np.arange(self._n_made, max(n_stacks, self._n_made))[:, None] * step
        rows = places + np.arange(-self._n_before, self.n_ahead + 1)
        stacks = np.empty((*rows.shape, frames.shape[1]), dtype=frames.dtype)
        if rows.size:
            stacks[...] = frames[np.clip(rows, 0, n_frames - 1) - first]
            if self.config.stack_ends == "pad":
                stacks[rows >= n_frames] = self.config.pad_value
        self._n_made += len(rows)
        oldest = min(max(self._n_made * step - self._n_before, 0), n_frames - 1)
        self._waiting = frames[max(oldest - first, 0) :].copy()
        return stacks.reshape(len(rows), self.config.n_features)


@lru_cache(maxsize=64)
def _unpadded(plan: MelPlan) -> MelPlan:
    """The plan for frames of samples that are conditioned and padded already.

    One for all streams of a transform: engines keep what they derive from a plan (1 ms).
    """

    def bare(spectrum: SpectrumPlan) -> SpectrumPlan:
        return replace(spectrum, before=0, after=0, pad_mode="constant", start=0, conditioning=None)

    energy = None if plan.energy is None else bare(plan.energy)
    return replace(plan, spectrum=bare(plan.spectrum), energy=energy)


def _restored(transform: "MelSpectrogram", running: bool, state: dict[str, Any]) -> MelStream:
    stream = MelStream(transform, running=running)
    stream.restore(state)
    return stream


def _may_be_infinite(y: Array) -> bool:
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
