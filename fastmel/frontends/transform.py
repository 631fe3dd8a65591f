"""MelSpectrogram: a configuration worked out once, then called with signals."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastmel import arrays, engines, filters, util
from fastmel.engines import pool
from fastmel.engines.cuda_layout import Signal
from fastmel.engines.plan import mel_plan
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec
from fastmel.util import check_audio_form

from . import features
from .config import Log, MelConfig, PadMode
from .stream import MelStream

__all__ = ["MelSpectrogram", "transform_for"]


class MelSpectrogram:
    """The mel spectrogram of signals, its tables made once.

    Parameters
    ----------
    sr, n_fft, hop_length, ..., top_db
        Fields of :class:`fastmel.MelConfig`, with its defaults. A `hop_length` of None is a quarter
        of the window.
    engine : {"auto", "fused", "scipy", "reference", "cuda"}
        What computes it. "auto" takes "fused" wherever that engine can (an n_fft with no prime
        factor above 7, power 1 or 2) and "scipy" elsewhere; it never takes "cuda", an NVIDIA GPU.
    **more
        The other fields of :class:`fastmel.MelConfig`.

    Attributes
    ----------
    config : MelConfig
        The configuration.
    engine : str
        The engine that float32 signals get.

    Raises
    ------
    ParameterError
        If a parameter is out of its range, or `engine` cannot compute it.

    Examples
    --------
    >>> import numpy as np
    >>> transform = MelSpectrogram(sr=16000, n_fft=400, hop_length=160, n_mels=80, log="db")
    >>> transform(np.zeros(16000, dtype=np.float32)).shape
    (80, 101)
    >>> transform(np.zeros((4, 16000), dtype=np.float32)).shape
    (4, 80, 101)
    """

    def __init__(
        self,
        sr: float = 22050,
        n_fft: int = 2048,
        hop_length: int | None = 512,
        *,
        win_length: int | None = None,
        window: WindowSpec = "hann",
        center: bool = True,
        pad_mode: PadMode = "constant",
        power: float = 2.0,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        htk: bool = False,
        norm: Literal["slaney"] | float | None = "slaney",
        log: Log | None = None,
        ref: float | Literal["max"] = 1.0,
        amin: float = 1e-10,
        top_db: float | None = None,
        engine: str = "auto",
        **more: Any,
    ) -> None:
        if hop_length is None:
            hop_length = util.default_hop(n_fft, win_length)
        config = MelConfig.from_dict(
            {
                "sr": sr,
                "n_fft": n_fft,
                "hop_length": hop_length,
                "win_length": win_length,
                "window": window,
                "center": center,
                "pad_mode": pad_mode,
                "power": power,
                "n_mels": n_mels,
                "fmin": fmin,
                "fmax": fmax,
                "htk": htk,
                "norm": norm,
                "log": log,
                "ref": ref,
                "amin": amin,
                "top_db": top_db,
                **more,
            }
        )
        self._prepare(config, engine)
        self.warn_of_empty_bands()

    @classmethod
    def from_config(cls, config: MelConfig, engine: str = "auto") -> "MelSpectrogram":
        """Return the transform of a configuration; leaves warnings of empty bands to the caller."""
        return _restore(config, engine)

    def _prepare(self, config: MelConfig, engine: str) -> None:
        engines.check_name(engine)
        self.config = config
        self._plan = mel_plan(config)
        self._forced = engine
        self.engine = engines.choose(self._plan, np.dtype(np.float32), engine)
        if engine == "cuda":
            engines.choose(self._plan, np.dtype(config.dtype or np.float32), engine)

    def __repr__(self) -> str:
        fields = repr(self.config).partition("(")[2][:-1]
        return f"MelSpectrogram({fields}{', ' if fields else ''}engine={self.engine!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.config, self._forced)

    @property
    def sample_rate(self) -> float:
        """Sampling rate of the signals, in Hz."""
        return self.config.sr

    def __call__(self, y: Any, *, out: NDArray[Any] | None = None) -> Any:
        """Compute the features of one signal or many.

        Parameters
        ----------
        y : array_like of float, shape (..., samples), or list of arrays
            Finite signals at `sr`. A result never depends on the other signals of a call. PyTorch
            tensors give tensors. With ``engine="cuda"`` also arrays on a GPU, with DLPack or
            ``__cuda_array_interface__``: they give results there, computed on the stream that they
            name, and are not looked through for samples that are not finite.
        out : ndarray, optional
            Where to put the result: C-contiguous, of its shape and type. Not for lists.

        Returns
        -------
        ndarray, shape (..., n_mels, n_frames), or list of ndarray
            (..., n_frames, n_mels) with ``layout="frames_first"``. The type is the configuration's
            `dtype`; else float32 of float32 samples, and float64 of float64 samples. A list of
            signals of any lengths gives a list.

        Raises
        ------
        ParameterError
            If the samples are not floating-point or not finite, a signal is shorter than a frame
            of `n_fft` samples (with no padding) or cannot be padded, or `out` does not fit.
        """
        if _is_list_of_signals(y):
            if out is not None:
                raise ParameterError(
                    "a list of signals has no single out; give an array of signals, or use batch()"
                )
            return self._each(y)
        if type(y) is not np.ndarray and self._takes_from_gpu([y]):
            return self._on_gpu(y, out)
        if out is not None and arrays.is_on_gpu(out):
            raise ParameterError("the samples are not on a GPU, and out is; give out here, too")
        samples = np.asarray(arrays.as_numpy(y))
        check_audio_form(samples)
        real = np.dtype(np.float64 if samples.dtype.itemsize >= 8 else np.float32)
        if self.engine == "cuda":
            engines.choose(self._plan, real, "cuda")
        n_bands = self._n_bands(samples.shape[-1])
        shape = (*samples.shape[:-1], *self._shape(self._n_out(n_bands)))
        dtype = np.dtype(self.config.dtype or real)
        target = np.empty(shape, dtype=dtype) if out is None else arrays.as_numpy(out)
        if target.shape != shape or target.dtype != dtype or not target.flags.carray:
            raise ParameterError(
                f"out is {target.dtype} of shape {target.shape}; give a writable C-contiguous "
                f"array of {dtype} and shape {shape}"
            )
        n_signals = math.prod(shape[:-2])
        signals = np.ascontiguousarray(samples, dtype=real).reshape(n_signals, samples.shape[-1])
        results = target.reshape(n_signals, *shape[-2:])
        if self.engine == "cuda":
            self._by_gpu([signals], [results])
        else:
            self._compute(self._fitted(signals), n_bands, results)
        return arrays.like(y, target) if out is None else out

    def batch(self, signals: Sequence[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Compute the features of signals of any lengths as one padded array.

        Parameters
        ----------
        signals : list of array_like of float, shape (samples,)
            Finite signals at `sr`.

        Returns
        -------
        features : ndarray, shape (n_signals, n_mels, n_frames)
            (n_signals, n_frames, n_mels) with ``layout="frames_first"``: each signal's own result,
            then frames of the configuration's `pad_value`.
        lengths : ndarray of int, shape (n_signals,)
            Each signal's frames.

        Raises
        ------
        ParameterError
            If there is no signal, or one cannot be computed.
        """
        if len(signals) == 0:
            raise ParameterError("there is no signal to make a batch of; give at least one")
        is_there = self._takes_from_gpu(signals)
        samples = signals if is_there else [np.asarray(arrays.as_numpy(y)) for y in signals]
        for y in samples:
            if len(y.shape) != 1:
                raise ParameterError(
                    f"a signal of the batch has shape {tuple(y.shape)}, and each has one axis; "
                    "give wave[0] of one channel, or fastmel.to_mono(wave) of more"
                )
        if is_there:
            return self._batch_on_gpu(signals)
        results = self._each(samples)
        time = -1 if self.config.layout == "mels_first" else -2
        lengths = np.array([result.shape[time] for result in results])
        shape = (len(results), *self._shape(int(lengths.max())))
        features = np.full(shape, self.config.pad_value, dtype=np.result_type(*results))
        for target, result in zip(features, results, strict=True):
            rows, columns = result.shape
            target[:rows, :columns] = result
        return arrays.like(signals[0], features), arrays.like(signals[0], lengths)

    def frames(self, n_samples: int) -> int:
        """Return the number of frames of the result of a signal.

        Raises
        ------
        ParameterError
            If there would be none (see the configuration's `frame_length`), or the padding needs
            samples and there are none.
        """
        return self._n_out(self._n_bands(n_samples))

    def times(self, n_frames: int) -> NDArray[np.float64]:
        """Return the times of frames in seconds: where the middle of a frame's window is."""
        config, spectrum = self.config, self._plan.spectrum
        frame = np.arange(n_frames, dtype=float)
        if config.stack is not None:
            length, step = config.stack
            frame = frame * step + (0 if config.stack_ends == "edge" else (length - 1) / 2)
        middle = spectrum.start - spectrum.before + spectrum.n_taken / 2
        return (frame * config.hop_length + middle) / config.sr

    def stream(self, *, running: bool = False, **overrides: Any) -> MelStream:
        """Return a stream: push samples as they come, get frames.

        Parameters
        ----------
        running : bool
            Take range and normalization from the frames so far, which gives other values than
            those of the whole signal.
        **overrides
            Fields of the configuration to replace, such as ``normalize=None``.

        Returns
        -------
        MelStream
            Its frames are the offline result, to the last bit, unless `running`.

        Raises
        ------
        ParameterError
            If the configuration needs the whole signal: it says what to choose instead.
        """
        if self.engine == "cuda":
            raise ParameterError(
                'engine="cuda" computes whole signals; make streams with engine="auto"'
            )
        config = replace(self.config, **overrides)
        transform = transform_for(config, self._forced) if overrides else self
        return MelStream(transform, running=running)

    def stream_file(
        self, path: Any, *, running: bool = False, **overrides: Any
    ) -> Iterator[NDArray[np.float32]]:
        """Decode, resample and transform a file piece by piece, in bounded memory.

        Parameters
        ----------
        path : str, PathLike, file object or bytes
            What :func:`fastmel.load` takes.
        running, **overrides
            As in :meth:`stream`.

        Returns
        -------
        iterator of ndarray, shape (n_mels, n_frames)
            (n_frames, n_mels) with ``layout="frames_first"``. Together they are the transform of
            ``fastmel.load(path, sr=sample_rate)``, to the last bit.

        Raises
        ------
        ParameterError
            If the configuration needs the whole signal: it says what to choose instead.
        """
        from fastmel.audio import read_mono

        stream = self.stream(running=running, **overrides)
        return stream.frames_of(read_mono(path, self.sample_rate))

    def warn_of_empty_bands(self) -> None:
        """Warn if a band is too narrow for any FFT bin (see :func:`fastmel.filters.mel`)."""
        if self._plan.has_empty_band:
            filters.warn_of_empty_bands()

    def _n_bands(self, n_samples: int) -> int:
        """Frames of bands that the engine computes of a signal."""
        spectrum, n_samples = self._plan.spectrum, self._n_fitted(n_samples)
        n_frames = spectrum.n_frames(n_samples)
        if n_frames == 0 and self.config.frame_length is None:
            raise ParameterError(
                f"a signal of {n_samples} samples is too short for a frame; give at least "
                f"{spectrum.n_least} samples, or pad it"
            )
        if spectrum.conditioning:
            n_samples = spectrum.conditioning.n_samples(n_samples)
        if n_samples == 0 and n_frames and spectrum.pad_mode not in ("constant", "empty"):
            raise ParameterError(
                f'an empty signal cannot be padded with pad_mode="{spectrum.pad_mode}"; '
                'use pad_mode="constant"'
            )
        return n_frames

    def _n_out(self, n_bands: int) -> int:
        """Frames of the result."""
        return self.config.n_frames or features.n_stacks(self.config, n_bands)

    def _shape(self, n_frames: int) -> tuple[int, int]:
        """The axes of one signal's result."""
        shape = (self.config.n_features, n_frames)
        return shape if self.config.layout == "mels_first" else shape[::-1]

    def _n_fitted(self, n_samples: int) -> int:
        """Samples of a signal whose length is that of the configuration."""
        config = self.config
        n_samples = -(-(n_samples + config.append) // config.multiple_of) * config.multiple_of
        return config.n_samples or n_samples

    def _fitted(self, signals: NDArray[Any]) -> NDArray[Any]:
        """Bring signals (rows, samples) to the configuration's length."""
        n_rows, n_samples = signals.shape
        n_fitted = self._n_fitted(n_samples)
        if n_fitted == n_samples:
            return signals
        fitted = np.zeros((n_rows, n_fitted), dtype=signals.dtype)
        n_copies = max(1, n_fitted // n_samples) if self.config.repeat and n_samples else 1
        length = min(n_samples * n_copies, n_fitted)
        fitted[:, :length] = np.tile(signals, n_copies)[:, :length]
        util.valid_audio(signals[:, length:])  # no engine will see them
        return fitted

    def _compute(self, signals: NDArray[Any], n_bands: int, out: NDArray[Any]) -> None:
        """Write the features of (rows, samples) into the results, row by row."""
        if not out.size:
            util.valid_audio(signals)
            return
        config, plan, n_rows = self.config, self._plan, len(signals)
        is_turned = config.layout == "frames_first"
        result = out.swapaxes(1, 2) if is_turned else out  # (rows, n_features, frames)
        first = int(features.has_energy_before(config))
        is_in_place = features.is_in_place(config) and out.dtype == signals.dtype
        if is_in_place and n_bands <= result.shape[2]:
            bands = result[:, first : first + config.n_mels, :n_bands]
        elif is_turned or config.n_mfcc or config.stack:
            room = np.empty((n_rows, n_bands, config.n_mels), dtype=signals.dtype)
            bands = room.swapaxes(1, 2)
        else:
            bands = np.empty((n_rows, config.n_mels, n_bands), dtype=signals.dtype)
        if n_bands:
            engines.mel(plan, signals, bands, self._forced)
        else:
            util.valid_audio(signals)
        energies: Any = [None] * n_rows
        if plan.energy is not None:
            energies = np.empty((n_rows, n_bands), dtype=signals.dtype)
            engines.energy(plan.energy, plan.energy_floor, signals, energies, self._forced)
        if self._is_finished and bands.shape == result.shape and bands.dtype == result.dtype:
            return

        def finish(low: int, high: int) -> None:
            for row in range(low, high):
                features.finish(config, plan, bands[row], energies[row], result[row])

        pool.run(finish, n_rows, min_units=1 + 100_000 // max(1, bands[0].size))

    @cached_property
    def _is_finished(self) -> bool:
        """Whether what the engine writes are the features."""
        config = self.config
        is_relative = config.top_db is not None or config.ref == "max"
        is_affine = (config.offset, config.gain) != (0, 1) and not self._plan.is_scaled
        is_changed = is_relative or is_affine or config.normalize or config.energy
        return features.is_in_place(config) and not is_changed

    def _each(self, signals: Sequence[Any]) -> list[Any]:
        """Compute signals one by one, shared among the threads, long ones first."""
        if self._takes_from_gpu(signals):
            return self._each_on_gpu(signals)
        samples = [np.asarray(arrays.as_numpy(y)) for y in signals]
        for y in samples:
            check_audio_form(y)
        if self.engine == "cuda":
            return self._each_by_gpu(signals, samples)
        by_length = sorted(range(len(samples)), key=lambda i: -samples[i].shape[-1])
        results: list[Any] = [None] * len(samples)
        # dealt out like cards, so that each range of them has some long and some short ones
        n_hands = 4 * pool.get_num_threads()
        order = [i for hand in range(n_hands) for i in by_length[hand::n_hands]]

        def work(low: int, high: int) -> None:
            for i in order[low:high]:
                results[i] = self(samples[i])

        pool.run(work, len(order), min_units=1)
        return [arrays.like(y, result) for y, result in zip(signals, results, strict=True)]

    # on a GPU

    @cached_property
    def _program(self) -> Any:
        from fastmel.engines.cuda_program import Program

        config, cosines = self.config, None
        if config.n_mfcc is not None:
            cosines = features.cosines(config.n_mfcc, config.n_mels, config.lifter)
        return Program(config, self._plan, cosines)

    def _takes_from_gpu(self, signals: Sequence[Any]) -> bool:
        """Whether signals are on a GPU, and this transform computes there."""
        n_there = sum(map(arrays.is_on_gpu, signals))
        if n_there and self.engine != "cuda":
            raise ParameterError(
                f'the samples are on a GPU, and engine="{self.engine}" computes on the CPU; '
                'make the transform with engine="cuda", or copy them to the CPU'
            )
        if 0 < n_there < len(signals):
            raise ParameterError(
                "some of the signals are on a GPU and some are not; give them all in one place"
            )
        return n_there > 0

    def _lengths(self, n_samples: int) -> Signal:
        """The lengths of a signal on its way through the GPU."""
        n_bands, n_fitted = self._n_bands(n_samples), self._n_fitted(n_samples)
        n_copies = max(1, n_fitted // n_samples) if self.config.repeat and n_samples else 1
        steps, n_out = self._plan.spectrum.conditioning, self._n_out(n_bands)
        return Signal(
            n_given=n_samples,
            n_filled=min(n_samples * n_copies, n_fitted),
            n_signal=steps.n_samples(n_fitted) if steps else n_fitted,
            n_bands=n_bands,
            n_out=n_out,
            n_valid=min(features.n_stacks(self.config, n_bands), n_out),
        )

    def _each_by_gpu(self, signals: Sequence[Any], samples: list[NDArray[Any]]) -> list[Any]:
        """Compute NumPy's signals of any lengths."""
        dtype, results = np.dtype(self.config.dtype or np.float32), []
        for y in samples:
            engines.choose(self._plan, y.dtype, "cuda")
            shape = (*y.shape[:-1], *self._shape(self.frames(y.shape[-1])))
            results.append(np.empty(shape, dtype=dtype))
        self._by_gpu(samples, results)
        return [arrays.like(y, result) for y, result in zip(signals, results, strict=True)]

    def _by_gpu(self, samples: list[NDArray[Any]], results: list[NDArray[Any]]) -> None:
        """Compute arrays (..., samples), all in one go."""
        signals, lengths, places = [], [], []
        for y, result in zip(samples, results, strict=True):
            n_rows, n_samples = math.prod(y.shape[:-1]), y.shape[-1]
            signals += list(y.reshape(n_rows, n_samples))
            lengths += [self._lengths(n_samples)] * n_rows
            places += list(result.reshape(n_rows, *result.shape[-2:]))
        self._program.on_host(signals, lengths, places)

    def _on_gpu(self, y: Any, out: Any) -> Any:
        """Compute an array of signals that is there."""
        axes, lengths = self._axes_and_lengths(y)
        shape = (*axes, *self._shape(lengths.n_out))
        results = self._program.on_device([y], [lengths] * math.prod(axes), shape, out)
        return results.reshape(shape) if out is None else out

    def _each_on_gpu(self, signals: Sequence[Any]) -> list[Any]:
        """Compute arrays of signals of any lengths that are there."""
        lengths: list[Signal] = []
        shapes, found, first = [], [], 0
        for y in signals:
            axes, of_each = self._axes_and_lengths(y)
            lengths += [of_each] * math.prod(axes)
            shapes.append((*axes, *self._shape(of_each.n_out)))
        results = self._program.on_device(signals, lengths)
        for shape in shapes:
            end = first + math.prod(shape)
            found.append(results[first:end].reshape(shape))
            first = end
        return found

    def _batch_on_gpu(self, signals: Sequence[Any]) -> tuple[Any, NDArray[np.int64]]:
        """Compute them as one padded array."""
        lengths = [self._lengths(*y.shape) for y in signals]
        n_frames = np.array([signal.n_out for signal in lengths])
        longest = int(n_frames.max())
        lengths = [signal._replace(n_out=longest) for signal in lengths]
        results = self._program.on_device(signals, lengths)
        return results.reshape((len(lengths), *self._shape(longest))), n_frames

    def _axes_and_lengths(self, y: Any) -> tuple[tuple[int, ...], Signal]:
        """What there is of signals in an array that is there, and the lengths of each."""
        if len(y.shape) == 0:
            raise ParameterError("Audio data must be at least one-dimensional, given y.shape=()")
        return tuple(y.shape[:-1]), self._lengths(y.shape[-1])


def _is_list_of_signals(y: Any) -> bool:
    """Whether it is a list of arrays, or of lists of several lengths.

    Lists of numbers of one length are an array written out.
    """
    if not isinstance(y, (list, tuple)) or not y:
        return False
    if all(isinstance(item, (list, tuple)) for item in y):
        return len(set(map(len, y))) > 1
    return all(
        hasattr(item, "shape") and (len(item.shape) > 0 or arrays.is_on_gpu(item)) for item in y
    )


def _restore(config: MelConfig, engine: str) -> MelSpectrogram:
    transform = MelSpectrogram.__new__(MelSpectrogram)
    transform._prepare(config, engine)
    return transform


@lru_cache(maxsize=64)
def transform_for(config: MelConfig, engine: str = "auto") -> MelSpectrogram:
    """Return a transform, the same one for equal configurations; leaves warnings to the caller."""
    return _restore(config, engine)
