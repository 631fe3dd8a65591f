"""An item -> its samples, or why there are none.

The samples are those of :func:`fastmel.load`, to the last bit. What is read may be anything: a
folder, a pipe, a file whose header promises 2**63 samples. Nothing is taken on trust, and every
error becomes a :class:`Failure` of a class that stays the same from version to version.
"""

import errno
import io
import math
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import IO, Any, TypeAlias

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from fastmel import audio
from fastmel.corpus import remote
from fastmel.corpus.sources import Item, escape, is_archive, is_url, split_source
from fastmel.exceptions import ParameterError
from fastmel.kernels.moments import energy
from fastmel.util import fix_length

__all__ = ["CLASSES", "Failure", "Recording", "Samples", "opened", "read"]

#: why there may be no features of an item:
CLASSES = (
    "not_found",  # there is no such file, or no such member of the archive
    "permission",  # it may not be read
    "format",  # it is no audio, or of a kind that no decoder knows
    "truncated",  # it ends, or cannot be decoded any further, before the end that it states
    "nonfinite",  # it has samples that are NaN or infinite
    "empty",  # it has no samples, or too few for a frame
    "too_long",  # it is longer than the limit
    "timeout",  # it took longer than the limit
    "crash",  # the process died of it, twice
    "oom",  # there was not enough memory for it
    "remote",  # the storage did not deliver it
    "changed",  # the archive that it was in is another now
)

#: seconds of the longest recording that is read as a whole
_LONGEST = 4 * 3600.0

#: values that are decoded at a time: more are not allocated before there is audio for them
_BLOCK = 1 << 21

#: counts of samples that no file holds: written where the length is not known
_UNKNOWN = 1 << 40

#: samples of a frame of MP3: encoders do not agree on whether the frame that tells counts
_MP3_FRAME = 1152

#: libsndfile's log of a header that states more bytes than there are, for WAV and RIFX, AIFF and
#: AU, W64 and RF64
_SHORTFALL = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)

_CLASS_OF_ERRNO = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.ELOOP: "not_found",
    errno.ENAMETOOLONG: "not_found",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.ENXIO: "format",  # a socket
}

Array: TypeAlias = NDArray[np.float32]


class Failure(Exception):
    """An item of which there are no features.

    Attributes
    ----------
    class_ : str
        One of `CLASSES`.
    stage : str
        "open", "decode", "resample" or what the caller does afterwards.
    message : str
        One line.
    decoder : str, optional
        "libsndfile" or "ffmpeg".
    """

    def __init__(self, class_: str, stage: str, message: str, decoder: str | None = None) -> None:
        message = " ".join(message.split())
        super().__init__(class_, stage, message, decoder)
        self.class_, self.stage, self.message, self.decoder = class_, stage, message, decoder

    def __str__(self) -> str:
        return f"{self.class_}: {self.message}"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What an item holds.

    Attributes
    ----------
    y : ndarray, shape (samples,), float32
        The signal, mixed down and resampled.
    native_sr : float
        Sampling rate of the source in Hz.
    n_samples_native : int
        Samples of each of the source's channels.
    decoder : str
        "libsndfile" or "ffmpeg".
    """

    y: Array
    native_sr: float
    n_samples_native: int
    decoder: str


def read(item: Item, sr: float, *, partial: bool = False, longest: float = _LONGEST) -> Samples:
    """Return the samples of an item.

    Parameters
    ----------
    item : Item
        What to read.
    sr : float > 0
        The sampling rate to bring it to, in Hz.
    partial : bool
        Take what is there of a recording that ends before the end that it states.
    longest : float
        Seconds that an item may have.

    Returns
    -------
    Samples
        Of at least one sample.

    Raises
    ------
    Failure
        If there are none, for whatever reason.
    """
    with opened(item, partial=partial, longest=longest) as recording:
        y = recording.read(sr)
        return Samples(y, recording.native_sr, recording.n_samples_native, recording.decoder)


@contextmanager
def opened(
    item: Item, *, partial: bool = False, longest: float = _LONGEST
) -> Iterator["Recording"]:
    """Open an item (see :func:`read`), to read it as a whole or in pieces."""
    with ExitStack() as stack:
        with _classified("format", "open", None):
            if is_url(item.source):
                source: str | IO[bytes] = _remote(item)
            else:
                source, item = _local(item)
            if not isinstance(source, str):
                stack.enter_context(source)
            file = stack.enter_context(audio.open_audio(source))
        yield Recording(source, file, item, partial, longest)


class Recording:
    """An item that is open. It is read once, from its beginning to its end.

    Attributes
    ----------
    decoder : str
        "libsndfile" or "ffmpeg".
    native_sr : float
        Sampling rate of the source in Hz.
    n_samples_native : int
        Samples of each of the source's channels that were read so far.
    level : float
        Their level: decibels of the RMS value, mixed down, re full scale.
    duration : float
        Seconds that the source has as a whole, by what it states if libsndfile reads it.
    item : Item
        The item, with the size and time that a file has now: it may have been written anew.
    """

    def __init__(
        self, source: str | IO[bytes], file: Any, item: Item, partial: bool, longest: float
    ) -> None:
        self._source, self._file, self.item = source, file, item
        self._partial, self._longest = partial, longest
        self.decoder = "libsndfile" if isinstance(file, soundfile.SoundFile) else "ffmpeg"
        self.native_sr: float = file.samplerate
        self.n_samples_native = 0
        self._energy = 0.0

    @property
    def level(self) -> float:  # noqa: D102
        return round(10 * math.log10(self._energy / self.n_samples_native + 1e-20), 1)

    @property
    def duration(self) -> float:  # noqa: D102
        return float(self._file.frames / self.native_sr)

    def read(self, sr: float) -> Array:
        """Return all samples, (samples,), at a sampling rate in Hz."""
        blocks = list(self._blocks())
        y = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        if sr == self.native_sr:
            return y
        with _classified("format", "resample", self.decoder):
            return audio.resample(y, orig_sr=self.native_sr, target_sr=sr)

    def pieces(self, sr: float) -> Iterator[Array]:
        """Yield the samples that :meth:`read` returns, piece by piece, in bounded memory."""
        if sr == self.native_sr:
            yield from self._blocks()
            return
        n_given = 0
        resampler = soxr.ResampleStream(self.native_sr, sr, 1, np.float32, "soxr_hq")
        for block in self._blocks():
            piece = resampler.resample_chunk(block)
            n_given += len(piece)
            yield piece
        piece = resampler.resample_chunk(np.empty(0, np.float32), last=True)
        n_samples = audio.n_resampled(self.n_samples_native, self.native_sr, sr)
        yield fix_length(piece, size=max(0, n_samples - n_given))

    def _blocks(self) -> Iterator[Array]:
        """Yield samples as the source has them, but mixed down; they are checked on the way."""
        offset, duration = self.item.offset, self.item.duration
        with _classified("truncated", "decode", self.decoder):
            if self.decoder == "libsndfile" and int(offset * self.native_sr) > self._file.frames:
                raise self._failure("truncated", "the offset lies outside of it")
            audio.seek(self._file, offset)
            stated = self._stated()
            left = np.inf if duration is None else int(duration * self.native_sr)
            if self.decoder == "libsndfile":
                left = min(left, self._file.frames - self._file.tell())
                # soundfile seeks after every read, which the decoder of MP3 does not do exactly
                self._file.seekable = lambda: False
            size = _BLOCK // self._file.channels
            while left > 0:
                block = self._file.read(int(min(size, left)), dtype=np.float32)
                if len(block) == 0:
                    break
                left -= len(block)
                self.n_samples_native += len(block)
                if self.n_samples_native > self._longest * self.native_sr:
                    raise self._failure("too_long", f"it is longer than {self._longest:g} s")
                yield self._mix(block)
            if duration is None and self.decoder == "libsndfile" and not self._partial:
                self._check_end(stated)
        if self.n_samples_native == 0:
            raise self._failure("empty", "there are no samples in it")

    def _stated(self) -> int:
        """Return how many samples should follow according to the file, 0 if it does not tell."""
        if self.decoder != "libsndfile" or self._file.frames >= _UNKNOWN:
            return 0
        n_samples = int(self._file.frames)
        for stated, there in re.findall(_SHORTFALL, self._file.extra_info):
            if int(there) < int(stated) < 0x7FFF_0000:  # which writers put that cannot go back
                n_samples = round(n_samples * int(stated) / max(int(there), 1))
        return n_samples - int(self._file.tell())

    def _check_end(self, stated: int) -> None:
        """Complain if the source ends before the end that it states."""
        n_missing = stated - self.n_samples_native
        if n_missing > 0 and self._file.format == "MP3" and not self._has_xing_header():
            n_missing = 0  # libsndfile has guessed
        if n_missing > (_MP3_FRAME if self._file.format == "MP3" else 0):
            text = f"it has {self.n_samples_native} samples of the {stated} that it states"
            raise self._failure("truncated", text)
        if self._file.format == "OGG" and self._ends_within_page():
            raise self._failure("truncated", "it ends within a page of its Ogg stream")

    def _has_xing_header(self) -> bool:
        """Whether the first frame of an MP3 file tells how many follow."""
        head = self._bytes(0, 10)
        tag = 0
        if head[:3] == b"ID3":
            tag = 10 + sum((head[6 + k] & 127) << (21 - 7 * k) for k in range(4))
        return re.search(b"Xing|Info", self._bytes(tag, 256)) is not None

    def _ends_within_page(self) -> bool:
        """Whether an Ogg file lacks a part of its last page, of 65307 bytes at most."""
        tail = self._bytes(-65307, 65307)
        page = tail[tail.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        return len(page) < 27 or len(page) < 27 + page[26] + sum(lengths)

    def _bytes(self, position: int, size: int) -> bytes:
        """Return bytes of the source, at a position that is counted from the end if negative."""
        with ExitStack() as stack:
            source = self._source
            if isinstance(source, str):
                source = stack.enter_context(open(source, "rb", buffering=0))
            end = source.seek(0, io.SEEK_END)
            source.seek(position if position >= 0 else max(0, end + position))
            return source.read(size)

    def _mix(self, block: NDArray[np.float32]) -> Array:
        """Mix channels down; by the energy, NaN and infinity show."""
        with suppress(ParameterError):  # that `to_mono` sees them
            mono = audio.to_mono(block.T) if block.ndim > 1 else block
            self._energy += energy(mono)
            if math.isfinite(self._energy):
                return mono
        raise self._failure("nonfinite", "it has samples that are not finite")

    def _failure(self, class_: str, message: str) -> Failure:
        return Failure(class_, "decode", message, self.decoder)


@contextmanager
def _classified(class_: str, stage: str, decoder: str | None) -> Iterator[None]:
    """Turn every error into a Failure; those of decoders are of the given class."""
    try:
        yield
    except Failure:
        raise
    except MemoryError as error:
        raise Failure("oom", stage, "there is not enough memory for it", decoder) from error
    except soundfile.LibsndfileError as error:
        text = re.sub(r"^Error (opening .*?)?: ", "", str(error), flags=re.DOTALL)
        raise Failure(class_, stage, text, decoder) from error
    except OSError as error:
        class_ = _CLASS_OF_ERRNO.get(error.errno or _errno_of(error), "remote")
        raise Failure(class_, stage, error.strerror or str(error), decoder) from error
    except Exception as error:  # decoders on bad input
        raise Failure(class_, stage, f"{type(error).__name__}: {error}", decoder) from error


def _errno_of(error: OSError) -> int:
    """Return the number of an error that a storage made up without one."""
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT
    return errno.EACCES if isinstance(error, PermissionError) else 0


def _local(item: Item) -> tuple[str | IO[bytes], Item]:
    """Return a path, or the bytes of an archive's member, and the item as it is now."""
    path, member = split_source(item.source)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a pipe would block until somebody writes to it
        raise Failure("format", "open", "it is a folder, a pipe or a device, and no file")
    if status.st_size == 0:
        raise Failure("empty", "open", "the file is empty")
    with open(path, "rb") as file:  # whose errors say more than libsndfile's
        if member is not None:
            if item.mtime_ns != status.st_mtime_ns:
                raise _changed()
            return io.BytesIO(_member(file, status.st_size, item, member)), item
    item = replace(item, size=status.st_size, mtime_ns=status.st_mtime_ns)
    if item.position is not None:
        text = f"the archive is damaged: what follows byte {item.position} cannot be listed"
        raise Failure("truncated" if item.position else "format", "open", text)
    if is_archive(path):
        raise _archive()
    if path.lower().endswith(".raw"):  # soundfile would take it for samples without a header
        return open(os.open(path, os.O_RDONLY), "rb"), item  # a file that tells no name
    try:
        path.encode()
    except UnicodeEncodeError:  # soundfile takes no such name
        return open(path, "rb"), item
    return path, item


def _member(archive: IO[bytes], archive_size: int, item: Item, name: str) -> bytes:
    """Return the bytes of an archive's member, if it is where it was listed."""
    archive.seek(item.position or 0)
    try:
        member = tarfile.TarFile(fileobj=archive).next()
    except tarfile.TarError:
        member = None
    if member is None or member.name != name:
        raise _changed()
    if member.islnk() or member.issym():
        text = f"it is a link to {escape(member.linkname)}, which is no file of the archive"
        raise Failure("not_found", "open", text)
    if not member.isreg():
        raise Failure("format", "open", "it is a pipe or a device, and no file")
    if member.issparse():
        text = "it is a sparse file, which is not read; make the archive without --sparse"
        raise Failure("format", "open", text)
    if member.size != item.size:
        raise _changed()
    if member.size == 0:
        raise Failure("empty", "open", "the member is empty")
    if member.offset_data + member.size > archive_size:
        raise Failure("truncated", "open", "the archive ends before the member does")
    archive.seek(member.offset_data)
    return archive.read(member.size)


def _changed() -> Failure:
    text = "the archive was changed after it was planned; plan anew with overwrite"
    return Failure("changed", "open", text)


def _archive() -> Failure:
    text = "it is an archive, which is read only from a disk, and as an input of its own"
    return Failure("format", "open", text)


def _remote(item: Item) -> IO[bytes]:
    """Return the bytes of what lies at a URL."""
    if is_archive(item.source):
        raise _archive()
    content = remote.fetch(item.source)
    if not content:
        raise Failure("empty", "open", "the file is empty")
    return io.BytesIO(content)
