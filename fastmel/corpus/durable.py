"""Files that are there whole or not at all, whatever happens while they are written.

Every byte of the output goes through the six functions at the top, where tests make it fail. A
file is written in the folder ``.partial`` of the output folder, flushed to the disk, and only then
renamed: a rename is atomic, but says nothing about the data, which many file systems write later.
The folders are flushed last, for the rename is data of theirs.
"""

import errno
import hashlib
import itertools
import mmap
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PARTIAL", "Output", "blocks", "clear_partial", "commit", "create", "failpoint", "forget",
    "hurry", "link", "replace", "sync", "sync_folder", "write", "write_file",
]  # fmt: skip

#: the folder for what is not whole yet, in the output folder and so on the same file system
PARTIAL = ".partial"

#: bytes that are written at a time
_BLOCK = 1 << 20

#: bytes that are not worth collecting: a copy takes longer than the call that it saves
_LARGE = 1 << 16

#: rows of an array in a file that are looked at a time
_ROWS = 1 << 12


# the six functions


def create(path: Path) -> int:
    """Create a file that must not exist, and return its descriptor."""
    _count("create")
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def write(descriptor: int, data: Any) -> None:
    """Write all bytes; the system may take them in parts."""
    _count("write")
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def sync(descriptor: int) -> None:
    """Wait until the file's data are on the disk."""
    _count("sync")
    os.fsync(descriptor)


def replace(source: Path, target: Path) -> None:
    """Rename a file, in place of what has that name."""
    _count("replace")
    os.replace(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name that nothing may have yet: of two writers, one succeeds."""
    _count("link")
    os.link(source, target)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk, where the file system can tell."""
    _count("sync_folder")
    if os.name == "nt":  # which cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # network file systems and FUSE may have no such thing
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


# what is made of them


class Output:
    """A new file, written under a temporary name from its beginning to its end, and hashed.

    It is as much of a binary file as :mod:`tarfile` and pyarrow need.

    Parameters
    ----------
    folder : Path
        The output folder.
    name : str
        What the file shall be called, relative to `folder`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / PARTIAL / uuid.uuid4().hex
        self.closed = False
        self._folder = folder
        self._pending = bytearray()
        self._n_bytes = 0
        self._n_waiting = 0
        self._hash = hashlib.sha256()
        self._descriptor: int | None = create(self.path)

    def write(self, data: Any) -> int:
        """Append bytes, or the bytes of an array."""
        view = memoryview(data).cast("B")
        self._n_bytes += len(view)
        if len(view) < _LARGE:
            self._pending += view
            if len(self._pending) >= _BLOCK:
                self._write_pending()
        else:
            self._write_pending()
            for start in range(0, len(view), _BLOCK):
                self._write(view[start : start + _BLOCK])
                forget(data)
        return len(view)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._n_bytes

    def flush(self) -> None:
        """Do nothing: bytes are brought to the disk by :meth:`close`."""

    def readable(self) -> bool:
        """Tell that it cannot be read."""
        return False

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def seekable(self) -> bool:
        """Tell that what is written stays as it is."""
        return False

    def pause(self) -> None:
        """Let go of the file, which is written but not on the disk, until :meth:`close`."""
        self._write_pending()
        hurry(self._descriptor)
        self._let_go()

    def close(self) -> dict[str, Any]:
        """Bring everything to the disk and return what a :class:`ShardWriter` tells of a file."""
        if not self.closed:
            self._write_pending()
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            sync(self._descriptor)
            self._let_go()
            self.closed = True
        return {
            "file": self.name,
            "temporary": self.path.relative_to(self._folder).as_posix(),
            "bytes": self._n_bytes,
            "sha256": self._hash.hexdigest(),
        }

    def abort(self) -> None:
        """Remove the file."""
        self._let_go()
        self.closed = True
        self.path.unlink(missing_ok=True)

    def _write_pending(self) -> None:
        if self._pending:
            self._write(self._pending)
            self._pending = bytearray()

    def _write(self, block: bytearray | memoryview) -> None:
        assert self._descriptor is not None, "nothing is written to a file that was let go of"
        self._hash.update(block)
        write(self._descriptor, block)
        self._n_waiting += len(block)
        if self._n_waiting >= _BLOCK:
            hurry(self._descriptor)
            self._n_waiting = 0

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_file(folder: Path, name: str, data: bytes, *, only_if_new: bool = False) -> None:
    """Write a small file.

    Parameters
    ----------
    folder : Path
        The output folder.
    name : str
        What the file shall be called, relative to `folder`.
    data : bytes
        What it shall hold.
    only_if_new : bool
        Raise FileExistsError if there is such a file, also if another process has just made it.
    """
    file = Output(folder, name)
    try:
        file.write(data)
        if only_if_new:
            file.close()
            link(file.path, folder / name)
            file.path.unlink()
            sync_folder(folder)
        else:
            commit(folder, [file.close()])
    except BaseException:
        file.abort()
        raise


def commit(folder: Path, files: list[dict[str, Any]]) -> None:
    """Give files that :meth:`Output.close` told of their final names."""
    folders: set[Path] = set()
    for file in files:
        target = folder / file["file"]
        if target.parent not in folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            folders.update(p for p in target.parents if p.is_relative_to(folder))
        replace(folder / file["temporary"], target)
        failpoint("renamed")
    for path in sorted(folders, reverse=True):
        sync_folder(path)


def hurry(descriptor: int | None) -> None:
    """Let the system begin to write a file to the disk, for a later sync to wait for less."""
    if descriptor is not None and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def forget(data: Any) -> None:
    """Let the system take back the memory of an array that lies in a file."""
    mapping = getattr(data, "_mmap", None)
    if mapping is not None and hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield rows that lie in a file block by block, and others as they are."""
    if not isinstance(rows, np.memmap):
        yield rows
        return
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
        forget(rows)


def clear_partial(folder: Path) -> None:
    """Remove what was never finished; only for who has the output folder for himself."""
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


# failing on purpose

_counts: dict[str, Iterator[int]] = {}


def _counted(name: str, variable: str) -> bool:
    """Whether the environment names this occasion: ``name:index``, counted in the process."""
    wanted, _, index = os.environ.get(variable, "").partition(":")
    if wanted not in (name, "any"):
        return False
    return next(_counts.setdefault(f"{variable}={wanted}", itertools.count())) == int(index or 0)


def _count(operation: str) -> None:
    """Fail as a full disk would, if this is the operation that FASTMEL_FAIL names."""
    if _counted(operation, "FASTMEL_FAIL"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failpoint(name: str) -> None:
    """Stop for ever, if this is the point that FASTMEL_FAILPOINT names.

    The file that FASTMEL_FAILPOINT_READY names tells who stopped: tests wait for it, and kill. If
    there is such a file, somebody has stopped already.
    """
    if _counted(name, "FASTMEL_FAILPOINT"):
        ready = Path(os.environ["FASTMEL_FAILPOINT_READY"])
        if not ready.exists():
            ready.write_text(str(os.getpid()))
            while True:
                time.sleep(1)
