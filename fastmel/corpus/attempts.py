"""Who was at work when a process died: the journal that ends the run of a poisoned file.

While a shard is made there is a file in ``.attempts`` that names the item whose samples are being
read. Whoever ends in order removes it. If it is still there and nobody holds its lock, the process
died, and the item that it names has a strike. Where a parent saw the death it notes the reason, and
two of these are enough to not try the item again. Strikes without a witness count too, so that this
works on any cluster and after a death of everything; but somebody may just have killed it all, so
it takes three. An item with strikes is tried before others, and loses them if it can be read.
"""

import contextlib
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Attempt", "Stopwatch", "Strike", "attempt_path", "is_out", "item_at_work", "note", "strikes",
]  # fmt: skip

#: deaths after which an item is not tried again: those that somebody saw, and all
_SEEN, _ALL = 2, 3

#: characters for the number of the item at work
_WIDTH = 9

_FOLDER = ".attempts"


def attempt_path(folder: Path, index: int) -> Path:
    """Return a new name for the journal of an attempt at a shard."""
    return folder / _FOLDER / f"{index:06d}-{uuid.uuid4().hex}"


class Attempt:
    """The journal of one attempt at a shard."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _lock(self._descriptor)

    def begin(self, position: int) -> None:
        """Note that an item is being read."""
        self._put(str(position))

    def rest(self) -> None:
        """Note that none is."""
        self._put("")

    def end(self) -> None:
        """Leave nothing behind."""
        self.rest()
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)

    def _put(self, text: str) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.ljust(_WIDTH).encode())


@dataclass(frozen=True)
class Strike:
    """A death, and its reason if one was seen: its class of failure and what happened."""

    path: Path
    reason: str


def strikes(folder: Path, index: int) -> dict[int, list[Strike]]:
    """Return the strikes of a shard's items by position; forget deaths that no item caused."""
    found: dict[int, list[Strike]] = {}
    for path in sorted((folder / _FOLDER).glob(f"{index:06d}-*")):
        with contextlib.suppress(FileNotFoundError), open(path, "rb+") as file:
            if not _lock(file.fileno()):
                continue  # it is alive
            text = file.read().decode()
            position = text[:_WIDTH].strip()
            if position:
                found.setdefault(int(position), []).append(Strike(path, text[_WIDTH:]))
            else:
                path.unlink(missing_ok=True)
    return found


def is_out(struck: list[Strike]) -> bool:
    """Whether an item with these strikes is not to be tried again."""
    return sum(bool(strike.reason) for strike in struck) >= _SEEN or len(struck) >= _ALL


def item_at_work(path: Path) -> int | None:
    """Return the position of the item that an attempt is reading, if it is."""
    try:
        position = path.read_bytes()[:_WIDTH].strip()
    except FileNotFoundError:
        return None
    return int(position) if position else None


class Stopwatch:
    """Tells how long an attempt has been reading one item.

    Parameters
    ----------
    path : Path
        The attempt's journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._item: int | None = None
        self._since = 0.0

    def seconds(self) -> float:
        """Return for how long the item has been seen that is being read now, 0 if none is."""
        item, now = item_at_work(self._path), time.monotonic()
        if item is None or item != self._item:
            self._item, self._since = item, now
        return now - self._since


def note(path: Path, reason: str) -> None:
    """Tell why an attempt ended: a class of failure, and after a space what happened."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb+") as file:
        file.seek(_WIDTH)
        file.write(reason.encode())


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed; whether it was free, or cannot be locked at all."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks
        return True
    return True
