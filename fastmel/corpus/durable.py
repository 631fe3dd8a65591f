"""Files that are there whole or not at all, whatever happens while they are written.

Every byte of the output goes through the six functions at the top, where tests make it fail. A
file is written under a temporary name, flushed to the disk, and only then renamed: a rename is
atomic, but says nothing about the data, which many file systems write later. The folder is flushed
last, for the rename is data of the folder.
"""

import errno
import hashlib
import itertools
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "Output", "commit", "create", "failpoint", "is_temporary", "link", "replace", "sync",
    "sync_folder", "temporary", "write", "write_file",
]  # fmt: skip

#: bytes that are collected before they are written
_BLOCK = 1 << 20

#: what the temporary files of this package end in
_SUFFIX = ".fastmel-tmp"


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
        self.path = temporary(folder / name)
        self.closed = False
        self._folder = folder
        self._pending = bytearray()
        self._n_bytes = 0
        self._hash = hashlib.sha256()
        self._descriptor = create(self.path)

    def write(self, data: Any) -> int:
        """Append bytes, or the bytes of an array."""
        view = memoryview(data).cast("B")
        self._n_bytes += len(view)
        self._pending += view
        if len(self._pending) >= _BLOCK:
            self._write_pending()
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

    def close(self) -> dict[str, Any]:
        """Bring everything to the disk and return what a :class:`ShardWriter` tells of a file."""
        if not self.closed:
            self._write_pending()
            sync(self._descriptor)
            self._close()
        return {
            "file": self.name,
            "temporary": self.path.relative_to(self._folder).as_posix(),
            "bytes": self._n_bytes,
            "sha256": self._hash.hexdigest(),
        }

    def abort(self) -> None:
        """Remove the file."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _write_pending(self) -> None:
        if self._pending:
            self._hash.update(self._pending)
            write(self._descriptor, self._pending)
            self._pending = bytearray()

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)


def temporary(path: Path) -> Path:
    """Return a name beside a file that nobody else uses."""
    return path.with_name(f".{uuid.uuid4().hex}{_SUFFIX}")


def is_temporary(path: Path) -> bool:
    """Whether a file has such a name."""
    return path.name.endswith(_SUFFIX)


def write_file(path: Path, data: bytes, *, only_if_new: bool = False) -> None:
    """Write a file that is there whole or not at all.

    Parameters
    ----------
    path : Path
        Its name.
    data : bytes
        What it shall hold.
    only_if_new : bool
        Raise FileExistsError if there is such a file, also if another process has just made it.
    """
    file = Output(path.parent, path.name)
    try:
        file.write(data)
        file.close()
        failpoint("file-synced")
        if only_if_new:
            link(file.path, path)
            file.path.unlink()
        else:
            replace(file.path, path)
        sync_folder(path.parent)
    except BaseException:
        file.abort()
        raise


def commit(folder: Path, files: list[dict[str, Any]]) -> None:
    """Give files that :meth:`Output.close` told of their final names."""
    for file in files:
        replace(folder / file["temporary"], folder / file["file"])
        failpoint("renamed")
    for parent in sorted({(folder / file["file"]).parent for file in files}):
        sync_folder(parent)


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

    The file that FASTMEL_FAILPOINT_READY names tells who stopped: tests wait for it, and kill.
    """
    if _counted(name, "FASTMEL_FAILPOINT"):
        Path(os.environ["FASTMEL_FAILPOINT_READY"]).write_text(str(os.getpid()))
        while True:
            time.sleep(1)
