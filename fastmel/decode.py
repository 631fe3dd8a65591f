"""Audio that libsndfile does not read: AAC, WMA, WebM, MP4 and more, by FFmpeg through PyAV."""

import io
import math
import os
from collections.abc import Generator
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
from numpy.typing import DTypeLike, NDArray

from fastmel.exceptions import ParameterError

__all__ = ["Decoder"]

#: samples decoded at a time on the way to an offset
_BLOCK = 1 << 16


class Decoder:
    """The audio of a file, under the names of :class:`soundfile.SoundFile` that fastmel uses.

    The samples are FFmpeg's: without what the encoder put before and after them where the file
    tells how much that is (MP4, M4A, WebM), and with it where it does not (ADTS, MPEG-TS).

    Parameters
    ----------
    source : path or binary file
        What to read; a file must be seekable, is read from its beginning, and is left open.
    refusal : soundfile.LibsndfileError
        Why libsndfile does not read it; errors are of this type and name the source as it does.

    Attributes
    ----------
    samplerate, channels : int
        Sampling rate in Hz and number of channels.

    Raises
    ------
    soundfile.LibsndfileError
        If the file holds no audio, or FFmpeg cannot decode it: here, or in a method that comes to
        the bad part.
    """

    def __init__(
        self, source: str | os.PathLike[str] | BinaryIO, refusal: soundfile.LibsndfileError
    ) -> None:
        self._refusal = refusal
        self._opened = open(source, "rb") if isinstance(source, str | os.PathLike) else None  # noqa: SIM115
        self._file: Any = self._opened or source
        self._frames = self._decode()
        try:
            first, n = next(self._frames)
            self._rest = self._samples(first, n)  # decoded, and not read yet
        except BaseException:
            self.close()
            raise
        self.samplerate: int = first.sample_rate
        self.channels: int = first.layout.nb_channels

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()
        if self._opened:
            self._opened.close()

    @property
    def frames(self) -> int:
        """Number of samples. They are all decoded for it: files tell it roughly, or not at all."""
        self._restart()
        count = sum(n for _, n in self._frames)
        self._restart()
        return count

    def seek(self, frames: int, whence: int = io.SEEK_SET) -> None:
        """Go to a sample, counted from the beginning or the end, by decoding all before it."""
        if whence == io.SEEK_END:
            frames += self.frames
        self._restart()
        while frames > 0 and (n := len(self.read(min(_BLOCK, frames), np.float64))):
            frames -= n
        if frames:
            raise self._failure("the offset lies outside of it")

    def read(self, frames: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return the next samples, (n,) or (n, channels); all that are left if `frames` is -1."""
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ParameterError(f"{dtype=} is no type of samples; use float32 or float64")
        wanted = math.inf if frames < 0 else frames
        parts, count = [self._rest], self._rest.shape[1]
        while count < wanted and (decoded := next(self._frames, None)):
            parts.append(self._samples(*decoded))
            count += decoded[1]
        samples = np.concatenate(parts, axis=1, dtype=dtype)
        end = int(min(count, wanted))
        self._rest = samples[:, end:]
        return samples[0, :end] if self.channels == 1 else samples[:, :end].T

    def _restart(self) -> None:
        self._frames.close()
        self._frames = self._decode()
        self._rest = np.empty((self.channels, 0), np.float32)

    def _decode(self) -> Generator[tuple[Any, int]]:
        """Yield frames as FFmpeg has them, and how many of their samples count."""
        self._file.seek(0)
        if not self._file.read(1):
            raise self._failure("it is empty")
        self._file.seek(0)
        form = frame = None
        try:
            # the option keeps playlists from opening other files
            with av.open(self._file, options={"protocol_whitelist": "none"}) as container:
                stream = container.streams.best("audio")
                for following in container.decode(stream) if stream else ():
                    if frame:
                        yield frame, frame.samples
                    frame = following
                    form = form or (frame.sample_rate, frame.layout.nb_channels)
                    if form != (frame.sample_rate, frame.layout.nb_channels):
                        raise self._failure("its sampling rate or number of channels changes")
                if not frame:
                    raise self._failure("there is no audio in it")
                yield frame, _count_without_padding(frame)
        except av.FFmpegError as error:
            raise self._failure(f"FFmpeg cannot read it either: {error.strerror}") from error

    def _samples(self, frame: Any, n: int) -> NDArray[Any]:
        """Return the first samples of a frame as floating-point numbers, (channels, n)."""
        try:
            x = frame.to_ndarray()
        except ValueError as error:  # of 64-bit integers
            raise self._failure(f"PyAV cannot read it either: {error}") from error
        if not frame.format.is_planar:
            x = x.reshape(-1, frame.layout.nb_channels).T
        if x.dtype.kind in "iu":  # full scale is 1
            x = x / 2.0 ** (8 * x.itemsize - 1) - (x.dtype.kind == "u")
        return np.asarray(x[:, :n])

    def _failure(self, reason: str) -> soundfile.LibsndfileError:
        refusal = self._refusal
        return soundfile.LibsndfileError(refusal.code, f"{refusal.prefix}{reason}; libsndfile: ")


def _count_without_padding(frame: Any) -> int:
    """Return how many samples of the last frame are the file's.

    FFmpeg cuts the others off since version 9. Before, the duration of the frame tells, where it is
    counted in samples.
    """
    if frame.time_base * frame.sample_rate == 1 and 0 < frame.duration < frame.samples:
        return int(frame.duration)
    return int(frame.samples)
