"""How far a run is: a line that is written over on a terminal, a line now and then elsewhere."""

import contextlib
import json
import os
import time
from typing import Any, TextIO

from fastmel.corpus.plan import Plan
from fastmel.corpus.work import report_of

__all__ = ["EventLog", "Progress"]

#: seconds between lines, on a terminal and elsewhere
_EVERY = {True: 0.2, False: 30.0}

#: of a terminal that does not tell
_COLUMNS = 80


class Progress:
    """Tells of a run while it goes on.

    Parameters
    ----------
    plan : Plan
        What is run.
    stream : text file
        Where to.
    """

    def __init__(self, plan: Plan, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._n_items, self._n_shards = plan.n_items, len(plan.shards)
        self._start = self._last = time.monotonic()
        self._items = self._failed = self._shards = 0
        self._seconds = self._source_bytes = 0.0
        for index in plan.complete():
            self._add(report_of(plan.side(index)))
        self._before = self._shards, self._seconds, self._source_bytes

    def __call__(self, report: dict[str, Any] | None) -> None:
        """Take the report of a shard, or None when there is none but time has passed."""
        if report is not None:
            self._add(report)
        now = time.monotonic()
        if now - self._last >= _EVERY[self._is_terminal]:
            self._last = now
            self._write("\r", "\x1b[K") if self._is_terminal else self._write("", "\n")

    def end(self) -> None:
        """Leave the last state on the terminal."""
        if self._is_terminal:
            self._write("\r", "\x1b[K\n")

    def line(self, most: int | None = None) -> str:
        """Return the state in one line, which may have `most` characters."""
        shards, seconds, source_bytes = self._before
        elapsed = max(time.monotonic() - self._start, 1e-3)
        words = [
            f"{self._items:,}/{self._n_items:,} files",
            f"{self._seconds / 3600:.1f} h of audio",
            f"{(self._seconds - seconds) / elapsed:,.0f}x real time",
            f"{(self._source_bytes - source_bytes) / elapsed / 1e6:.1f} MB/s",
            f"{self._failed:,} failed",
        ]
        if shards < self._shards < self._n_shards:  # shards take about the same time
            left = elapsed * (self._n_shards - self._shards) / (self._shards - shards)
            words.append(f"{left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f} left")
        for least in words[3], words[2], words[1]:
            if most is not None and len("  ".join(words)) > most:
                words.remove(least)
        return "  ".join(words)[:most]

    def _add(self, report: dict[str, Any]) -> None:
        failed = sum(report["failures"].values())
        self._shards += 1
        self._items += report["written"] + failed
        self._failed += failed
        self._seconds += report["seconds"]
        self._source_bytes += report["source_bytes"]

    def _write(self, before: str, after: str) -> None:
        most = self._n_columns() - 1 if self._is_terminal else None
        self._stream.write(f"{before}{self.line(most)}{after}")
        self._stream.flush()

    def _n_columns(self) -> int:
        """Return the columns of the terminal: what takes two rows cannot be written over."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
        except OSError:
            return _COLUMNS


class EventLog:
    """Writes what happens as lines of JSON.

    Parameters
    ----------
    plan : Plan
        What is run.
    stream : text file
        Where to.
    """

    def __init__(self, plan: Plan, stream: TextIO) -> None:
        self._plan, self._stream = plan, stream

    def __call__(self, report: dict[str, Any] | None) -> None:
        """Write of a shard, and of each of its failures."""
        if report is None:
            return
        with contextlib.suppress(FileNotFoundError):  # another machine wrote it a moment ago
            for failure in self._plan.side(report["shard"])["failures"]:
                self.write("failure", **failure)
        self.write("shard", **report)

    def write(self, event: str, **facts: Any) -> None:
        """Write of anything."""
        line = json.dumps({"ts": round(time.time(), 3), "event": event, **facts})
        self._stream.write(f"{line}\n")
        self._stream.flush()
