"""Audio files and signals: reading, mixing down, resampling, measuring."""

import errno
import io
import math
import os
from collections.abc import Callable, Iterator
from functools import reduce, wraps
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import DTypeLike, NDArray

from fastmel.arrays import any_array, as_numpy
from fastmel.exceptions import ParameterError
from fastmel.util import fix_length, valid_audio, warn

__all__ = [
    "get_duration",
    "get_samplerate",
    "load",
    "resample",
    "stream",
    "to_mono",
]

#: What can be read: a path, a file descriptor, an open binary file, an encoded file's bytes.
Source: TypeAlias = (
    str | os.PathLike[str] | int | BinaryIO | bytes | bytearray | memoryview | soundfile.SoundFile
)

#: libsndfile's code for what is no matter of the file's content
_SYSTEM_ERROR = 2

#: samples that are read at once where the caller does not care
_PIECE = 1 << 16

_SOXR_TYPES = ("soxr_vhq", "soxr_hq", "soxr_mq", "soxr_lq", "soxr_qq")


def load(
    path: Source,
    *,
    sr: float | None = 22050,
    mono: bool = True,
    offset: float = 0.0,
    duration: float | None = None,
    dtype: DTypeLike = np.float32,
    res_type: str = "soxr_hq",
) -> tuple[NDArray[Any], float]:
    """Read an audio file as floating-point samples.

    Parameters
    ----------
    path : path, int, binary file, bytes or SoundFile
        What to read: a path, a file descriptor, a file opened in binary mode, the content of an
        encoded file, or an open :class:`soundfile.SoundFile` (which is closed afterwards). WAV,
        FLAC, OGG, MP3 and whatever else libsndfile decodes; M4A, AAC, WMA, WebM, MP4 and whatever
        else FFmpeg decodes with ``pip install 'fastmel[ffmpeg]'``.
    sr : float > 0, optional
        Resample to this rate in Hz; None keeps the file's own.
    mono : bool
        Average the channels.
    offset : float
        Start reading after this many seconds; a negative offset counts from the end of the file.
    duration : float, optional
        Read at most this many seconds.
    dtype : {float32, float64}
        Type of the samples.
    res_type : str
        Method of :func:`resample`.

    Returns
    -------
    y : ndarray, shape (samples,) or (channels, samples)
        The signal, full scale at 1.
    sr : float
        Its sampling rate in Hz.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    soundfile.LibsndfileError
        If the file cannot be decoded, holds no audio, or `offset` lies outside it.
    ParameterError
        If the file holds NaN or infinite samples, or `res_type` is not known.

    Examples
    --------
    >>> import io, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros((16000, 2)), 16000, format="WAV")
    >>> y, sr = load(file.getvalue(), sr=8000, duration=0.5)
    >>> y.shape, y.dtype, sr
    ((4000,), dtype('float32'), 8000)
    """
    with open_audio(path) as file:
        native_sr = file.samplerate
        seek(file, offset)
        frames = -1 if duration is None else int(duration * native_sr)
        y = file.read(frames=frames, dtype=dtype).T
    if mono and y.ndim > 1:
        y = to_mono(y)
    elif mono:
        valid_audio(y)
    if sr is None:
        return y, native_sr
    return resample(y, orig_sr=native_sr, target_sr=sr, res_type=res_type), sr


def seek(file: Any, offset: float) -> None:
    """Go to so many seconds after the file's beginning, or before its end."""
    if offset > 0:
        file.seek(int(offset * file.samplerate))
    elif offset < 0:
        file.seek(-int(abs(offset) * file.samplerate), whence=soundfile.SEEK_END)


def open_audio(path: Source) -> Any:
    """Open a file as SoundFile, or as a Decoder, which does the same, if libsndfile cannot."""
    if isinstance(path, soundfile.SoundFile):
        return path
    if isinstance(path, bytes | bytearray | memoryview):
        path = io.BytesIO(path)
    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as refusal:
        # libsndfile says "System error" for a missing file, whatever the reason
        if isinstance(path, str | os.PathLike) and not os.path.exists(path):
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path)
            ) from None
        if refusal.code == _SYSTEM_ERROR or isinstance(path, int):
            raise
        try:
            from fastmel.decode import Decoder
        except ModuleNotFoundError:
            raise soundfile.LibsndfileError(
                refusal.code,
                f"{refusal.prefix}to read more than libsndfile does, use FFmpeg by "
                "pip install 'fastmel[ffmpeg]'; libsndfile: ",
            ) from refusal
        return Decoder(path, refusal)


def _warn_without_sr(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function warn, as librosa's does, that its default sampling rate will change."""

    @wraps(function)
    def warning(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if "sr" not in kwargs:
            warn(
                "The default value of 'sr' will change from None to 22050 in librosa version "
                "1.1.0. To suppress this warning, explicitly pass 'sr=None'.",
                FutureWarning,
            )
        return result

    return warning


@_warn_without_sr
def stream(
    path: Source,
    *,
    block_length: int,
    frame_length: int,
    hop_length: int,
    sr: float | None = None,
    mono: bool = True,
    offset: float = 0.0,
    duration: float | None = None,
    fill_value: float | None = None,
    res_type: str = "soxr_hq",
    dtype: DTypeLike = np.float32,
) -> Iterator[NDArray[Any]]:
    """Read an audio file block by block, for uncentred frames.

    A block holds so many frames, and blocks overlap as frames do: the frames of all blocks are
    those of the whole file.

    Parameters
    ----------
    path : path, int, binary file, bytes or SoundFile
        What to read (see :func:`load`); a SoundFile stays open.
    block_length : int > 0
        Frames of a block.
    frame_length, hop_length : int > 0
        Samples of a frame, and from one frame to the next.
    sr : float > 0, optional
        Resample to this rate in Hz; None keeps the file's own.
    mono : bool
        Average the channels.
    offset : float
        Start reading after this many seconds; a negative offset counts from the end of the file.
    duration : float, optional
        Read at most this many seconds.
    fill_value : float, optional
        Fill up the last block with this; by default it is shorter than the others.
    res_type : {"soxr_hq", "soxr_vhq", "soxr_mq", "soxr_lq", "soxr_qq"}
        Method of resampling.
    dtype : {float32, float64}
        Type of the samples.

    Yields
    ------
    ndarray, shape (samples,) or (channels, samples)
        A block.

    Raises
    ------
    ParameterError
        If an argument is out of range, or a block is not a whole number of the file's samples.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    FutureWarning
        If `sr` is not given: librosa is going to make it 22050.

    Examples
    --------
    >>> import io, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(16000), 16000, format="WAV")
    >>> blocks = stream(
    ...     file.getvalue(), block_length=40, frame_length=400, hop_length=160, sr=None
    ... )
    >>> [len(block) for block in blocks]
    [6640, 6640, 3200]
    """
    for name, value in (
        ("block_length", block_length),
        ("frame_length", frame_length),
        ("hop_length", hop_length),
    ):
        if not isinstance(value, int | np.integer) or value <= 0:
            raise ParameterError(f"{name}={value} must be a positive integer")
    if sr is not None and not (np.isfinite(sr) and sr > 0):
        raise ParameterError(f"sr={sr} must be a positive number")
    if res_type not in _SOXR_TYPES:
        raise ParameterError(
            f"res_type={res_type} is not a valid soxr resampling mode for streaming; use one of "
            f"{', '.join(_SOXR_TYPES)}"
        )
    advance = block_length * hop_length
    chunks = _read_chunks(path, advance, sr, mono, offset, duration, res_type, dtype)
    return _overlap(chunks, advance - hop_length + frame_length, advance, fill_value)


def read_mono(path: Source, sr: float | None = None) -> Iterator[NDArray[np.float32]]:
    """Yield what :func:`load` returns, piece by piece, in bounded memory.

    soxr's streaming resampler gives its one-shot resampler's samples, to the last bit.
    """
    return _read_chunks(path, None, sr, True, 0.0, None, "soxr_hq", np.float32)


def _read_chunks(
    path: Source,
    step: int | None,
    sr: float | None,
    mono: bool,
    offset: float,
    duration: float | None,
    res_type: str,
    dtype: DTypeLike,
) -> Iterator[NDArray[Any]]:
    """Yield the file's samples (samples,) or (samples, channels), about `step` at a time.

    If `step` is None, pieces are of any length, and together as many samples as :func:`resample`
    makes.
    """
    file = open_audio(path)
    try:
        native_sr = file.samplerate
        sr = native_sr if sr is None else sr
        native_step = _PIECE if step is None else _native_step(step, sr, native_sr)
        n_read = n_given = 0
        resampler = None
        if sr != native_sr:
            channels = 1 if mono else file.channels
            resampler = soxr.ResampleStream(native_sr, sr, channels, dtype, res_type)
        seek(file, offset)
        if step is None and isinstance(file, soundfile.SoundFile):
            # soundfile seeks after every read, which the decoder of MP3 does not do exactly
            file.seekable = lambda: False
        none = np.empty((0,) if mono or file.channels == 1 else (0, file.channels), dtype)
        left = math.inf if duration is None else int(duration * native_sr)
        while left > 0 and len(chunk := file.read(int(min(native_step, left)), dtype)):
            left -= len(chunk)
            if mono and chunk.ndim > 1:
                chunk = to_mono(chunk.T)
            n_read += len(chunk)
            samples = chunk if resampler is None else resampler.resample_chunk(chunk)
            n_given += len(samples)
            yield samples
        if resampler is not None:
            samples = resampler.resample_chunk(none, last=True)
            if step is None:
                n_missing = n_resampled(n_read, native_sr, sr) - n_given
                samples = fix_length(samples, size=max(0, n_missing), axis=0)
            yield samples
    finally:
        if file is not path:
            file.close()


def _native_step(step: int, sr: float, native_sr: float) -> int:
    exact = step * native_sr / sr
    if not np.isclose(exact, np.round(exact), rtol=1e-7, atol=1e-5):
        raise ParameterError(
            f"Target block step of {step} samples at {sr} results in a fractional sample advance "
            f"at original sampling rate {native_sr}: choose a block_length and a hop_length of "
            f"which {native_sr} / {sr} makes whole numbers"
        )
    return int(np.round(exact))


def _overlap(
    chunks: Iterator[NDArray[Any]], size: int, advance: int, fill_value: float | None
) -> Iterator[NDArray[Any]]:
    """Yield blocks of so many samples from neighbouring chunks; the last ones may be short."""
    block, filled = np.empty(0), 0
    for chunk in chunks:
        if block.size == 0:
            block = np.empty((*chunk.shape[1:], size), chunk.dtype)
        while len(chunk):
            n = min(size - filled if filled >= 0 else -filled, len(chunk))
            if filled >= 0:  # else there are samples between the blocks
                block[..., filled : filled + n] = chunk[:n].T
            filled, chunk = filled + n, chunk[n:]
            if filled == size:
                following = np.empty_like(block)
                following[..., : max(size - advance, 0)] = block[..., advance:]
                yield block
                block, filled = following, size - advance
    for first in range(0, filled, advance):
        rest = block[..., first:filled]
        if fill_value is not None:
            rest = fix_length(rest, size=size, constant_values=fill_value)
        yield rest.copy()


@any_array
def to_mono(
    *signals: NDArray[Any],
    pad: bool = True,
    norm: bool = True,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Mix signals, and the channels of each, down to one channel.

    Parameters
    ----------
    *signals : ndarray, shape (..., samples)
        Floating-point signals; they may differ in length and number of channels.
    pad : bool
        Pad all signals with zeros to the longest (True), or cut them to the shortest (False).
    norm : bool
        Average (True) or add up (False) channels and signals.
    out : ndarray, shape (samples,), optional
        Where to put the result; its type must hold the signals' type.

    Returns
    -------
    ndarray, shape (samples,)
        The mix; `out` if given.

    Raises
    ------
    ParameterError
        If there is no signal, one is not finite floating-point audio, or `out` does not fit.

    Examples
    --------
    >>> to_mono(np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    array([1., 1., 1.])
    """
    if not signals:
        raise ParameterError("At least one signal must be provided to `to_mono`.")
    for y in signals:
        valid_audio(y)
    lengths = [y.shape[-1] for y in signals]
    size = max(lengths) if pad else min(lengths)
    dtype = np.result_type(*(y.dtype for y in signals))
    if out is None:
        out = np.zeros(size, dtype)
    elif out.shape != (size,):
        raise ParameterError(f"out has shape={out.shape}, but expected {(size,)}")
    elif np.promote_types(out.dtype, dtype) != out.dtype:
        raise ParameterError(
            f"out has dtype={out.dtype}, which cannot hold the result dtype {dtype}"
        )
    else:
        out[...] = 0

    for y in signals:
        out += fix_length(_mix_channels(y, norm), size=size)
    if norm:
        out /= len(signals)
    return out


def _mix_channels(y: NDArray[Any], norm: bool) -> NDArray[Any]:
    # np.mean takes 20 times as long on the interleaved channels that files have. Up to 7 channels
    # it adds them in this order, so the result is the same to the bit.
    if y.ndim == 2 and 0 < len(y) < 8 and y.itemsize >= 4:
        total: NDArray[Any] = reduce(np.add, y)
        return total / len(y) if norm else total
    combine: Callable[..., NDArray[Any]] = np.mean if norm else np.sum
    return combine(y, axis=tuple(range(y.ndim - 1)))


@any_array
def resample(
    y: NDArray[Any],
    *,
    orig_sr: float,
    target_sr: float,
    res_type: str = "soxr_hq",
    fix: bool = True,
    scale: bool = False,
    axis: int = -1,
    **kwargs: Any,
) -> NDArray[Any]:
    """Resample a signal to another sampling rate.

    Parameters
    ----------
    y : ndarray, shape (..., samples, ...)
        Floating-point signal.
    orig_sr, target_sr : float > 0
        Its sampling rate and the wanted one, in Hz.
    res_type : str
        "soxr_vhq", "soxr_hq", "soxr_mq", "soxr_lq" (band-limited, from the best to the fastest),
        "soxr_qq" (cubic interpolation), "fft" or "scipy" (:func:`scipy.signal.resample`), or
        "polyphase" (:func:`scipy.signal.resample_poly`).
    fix : bool
        Make the result exactly ``ceil(samples * target_sr / orig_sr)`` long.
    scale : bool
        Scale the result so that its energy stays about the same.
    axis : int
        The axis that time runs along.
    **kwargs
        Passed to :func:`fastmel.util.fix_length` if `fix`.

    Returns
    -------
    ndarray, shape (..., samples * target_sr / orig_sr, ...)
        The resampled signal, of y's type; `y` itself if the rates are equal.

    Raises
    ------
    ParameterError
        If `y` is not finite floating-point audio, `res_type` is not one of the above, or
        "polyphase" is asked for rates that are not whole numbers.
    """
    valid_audio(y)
    if orig_sr == target_sr:
        return y
    ratio = float(target_sr) / orig_sr
    n_samples = n_resampled(y.shape[axis], orig_sr, target_sr)
    if res_type.startswith("soxr"):
        # One channel at a time: soxr takes two axes at most.
        resampled = np.apply_along_axis(
            soxr.resample, axis, y, in_rate=orig_sr, out_rate=target_sr, quality=res_type
        )
    elif res_type in ("scipy", "fft"):
        import scipy.signal

        resampled = scipy.signal.resample(y, n_samples, axis=axis)
    elif res_type == "polyphase":
        resampled = _resample_polyphase(y, orig_sr, target_sr, axis)
    else:
        raise ParameterError(
            f"res_type={res_type!r} is not supported; use soxr_vhq, soxr_hq, soxr_mq, soxr_lq, "
            "soxr_qq, fft, scipy or polyphase"
        )
    if fix:
        resampled = fix_length(resampled, size=n_samples, axis=axis, **kwargs)
    if scale:
        resampled /= np.sqrt(ratio)
    return np.asarray(resampled, dtype=y.dtype)


def n_resampled(n_samples: int, orig_sr: float, target_sr: float) -> int:
    """Return how many samples :func:`resample` makes."""
    return int(np.ceil(n_samples * (float(target_sr) / orig_sr)))


def _resample_polyphase(
    y: NDArray[Any], orig_sr: float, target_sr: float, axis: int
) -> NDArray[Any]:
    import scipy.signal

    up, down = int(target_sr), int(orig_sr)
    if up != target_sr or down != orig_sr:
        raise ParameterError(
            "polyphase resampling is only supported for integer-valued sampling rates, not "
            f"{orig_sr=} and {target_sr=}; use res_type='soxr_hq'"
        )
    common = np.gcd(up, down)
    resampled: NDArray[Any] = scipy.signal.resample_poly(y, up // common, down // common, axis=axis)
    return resampled


def get_duration(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    path: Source | None = None,
) -> float:
    """Return the duration in seconds of a file, a signal or a spectrogram.

    Parameters
    ----------
    y : ndarray, shape (..., samples), optional
        A signal; used if there is no `path`.
    sr : float > 0
        Sampling rate of `y`, or of the signal behind `S`, in Hz.
    S : ndarray, shape (..., n_frames), optional
        A spectrogram, or any features by frame; used if there is neither `path` nor `y`.
    n_fft, hop_length : int > 0
        Frame length and hop behind `S`, in samples.
    center : bool
        Whether the frames of `S` were centred.
    path : path, int, binary file or bytes, optional
        An audio file (see :func:`load`), of which only the header is read, or all if FFmpeg
        decodes it.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ParameterError
        If none of `path`, `y` and `S` is given.
    FileNotFoundError
        If there is no such file.
    """
    if path is not None:
        with open_audio(path) as file:
            return float(file.frames) / float(file.samplerate)
    if y is not None:
        return float(as_numpy(y).shape[-1]) / sr
    if S is None:
        raise ParameterError("At least one of (y, sr), S, or path must be provided")
    n_samples = n_fft + hop_length * (as_numpy(S).shape[-1] - 1)
    if center:
        n_samples -= 2 * int(n_fft // 2)
    return float(n_samples) / sr


def get_samplerate(path: Source) -> float:
    """Return the sampling rate of an audio file in Hz.

    Parameters
    ----------
    path : path, int, binary file, bytes or SoundFile
        What to look at (see :func:`load`); a SoundFile stays open.

    Returns
    -------
    float
        Sampling rate in Hz.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(path, soundfile.SoundFile):
        return path.samplerate  # type: ignore[no-any-return]
    with open_audio(path) as file:
        return file.samplerate  # type: ignore[no-any-return]
