"""Processes of this machine, each with a shard: the death of one costs one slot, never the run.

Each slot is a process of its own behind a pipe, so that it is always clear who died of what:
pools lose everything that all of their processes were at. A process that reads one item for
too long is killed; the journal of its attempt names the item (see :mod:`.attempts`).
"""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path
from types import ModuleType
from typing import Any

from fastmel.corpus import attempts
from fastmel.corpus.plan import Plan
from fastmel.exceptions import ParameterError
from fastmel.frontends.config import MelConfig

__all__ = ["make_shards", "prepare"]

#: deaths of a shard that no item caused, after which the run ends
_MOST_DEATHS = 3

#: seconds between looks at what the processes are at
_TICK = 0.25

#: options of glibc's malloc, from its malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: seconds that a process gets to end in order
_PATIENCE = 10.0

#: held by who changes what processes start with, which is one for all threads
_starting = threading.Lock()


def make_shards(
    plan: Plan,
    shards: Sequence[int],
    *,
    workers: int,
    timeout: float | None,
    memory: int | None,
    max_failures: float,
) -> Generator[dict[str, Any] | None]:
    """Make shards in processes.

    Parameters
    ----------
    plan : Plan
        A plan on the disk.
    shards : sequence of int
        Which.
    workers : int
        Processes.
    timeout : float, optional
        Seconds that an item may take.
    memory : int, optional
        Bytes that a process may have.
    max_failures : float
        Failed items of a shard that are too many.

    Yields
    ------
    dict or None
        The report of a shard; None when there was nothing to report for a moment.

    Raises
    ------
    OSError
        If the output cannot be written, or processes die before they do anything.
    TooManyFailures
        If too many items of a shard failed.
    """
    waiting = deque(shards)
    deaths: dict[int, int] = {}
    slots = [_Slot(plan, memory, max_failures) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(slot.shard is not None for slot in slots):
            for slot in slots:
                if slot.shard is None and waiting:
                    slot.give(waiting.popleft())
            busy = {slot.connection: slot for slot in slots if slot.shard is not None}
            ready = connection.wait(list(busy), timeout=_TICK)
            for one in ready:
                slot = busy[one]
                shard = slot.shard
                assert shard is not None, "busy slots have one"
                try:
                    report, error = slot.take()
                except (EOFError, ConnectionResetError):
                    if not slot.bury():
                        deaths[shard] = deaths.get(shard, 0) + 1
                    if deaths.get(shard, 0) == _MOST_DEATHS:
                        raise ChildProcessError(
                            f"{_MOST_DEATHS} processes in a row {slot.cause} before they read "
                            f"a file of shard {shard}"
                        ) from None
                    waiting.appendleft(shard)
                    slots[slots.index(slot)] = _Slot(plan, memory, max_failures)
                else:
                    if error is not None:
                        raise error
                    yield report
            for slot in busy.values():
                slot.watch(timeout)
            if not ready:
                yield None
    finally:
        _stop(slots)


class _Slot:
    """A process, and what it is at."""

    def __init__(self, plan: Plan, memory: int | None, max_failures: float) -> None:
        self.shard: int | None = None
        self.cause = ""
        self._plan = plan
        self._journal = Path()
        self._stopwatch = attempts.Stopwatch(self._journal)
        self.connection, far = _context().Pipe()
        self.process = _context().Process(
            target=_serve, args=(far, memory, max_failures), daemon=True
        )
        with _no_script():
            self.process.start()
        far.close()

    def give(self, shard: int) -> None:
        """Let the process make a shard."""
        self.shard = shard
        self._journal = attempts.attempt_path(self._plan.path, shard)
        self._stopwatch = attempts.Stopwatch(self._journal)
        with contextlib.suppress(BrokenPipeError):  # it died idle, as the next read will tell
            self.connection.send((self._plan.path, shard, self._journal))

    def take(self) -> tuple[dict[str, Any], Exception | None]:
        """Return what the process made of it."""
        outcome: tuple[dict[str, Any], Exception | None] = self.connection.recv()
        self.shard = None
        return outcome

    def watch(self, timeout: float | None) -> None:
        """Kill the process if it has been reading one item for too long."""
        if timeout is not None and self._stopwatch.seconds() > timeout:
            self.cause = f"timeout was killed after {timeout:g} s"
            self.process.kill()

    def bury(self) -> bool:
        """Note what the dead process died of; whether it was reading an item."""
        self.process.join()
        code = self.process.exitcode or 0
        if not self.cause:
            if code == -signal.SIGKILL:
                self.cause = "oom was killed (SIGKILL), most likely for its memory"
            elif code < 0:
                self.cause = f"crash died of {signal.Signals(-code).name}"
            else:
                self.cause = f"crash ended with exit code {code}"
        attempts.note(self._journal, self.cause)
        is_item = attempts.item_at_work(self._journal) is not None
        self.cause = self.cause.partition(" ")[2]
        self.connection.close()
        return is_item


def _stop(slots: list[_Slot]) -> None:
    """End the processes: idle ones at once, others after they have removed what is half made."""
    for slot in slots:
        slot.connection.close()
        if slot.process.is_alive():
            slot.process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for slot in slots:
        slot.process.join(max(0.0, deadline - time.monotonic()))
        if slot.process.is_alive():
            slot.process.kill()
            slot.process.join()


def prepare(config: MelConfig) -> None:
    """Begin to load, in the server that processes start from, what a front end needs.

    Raises
    ------
    ParameterError
        If this process may not start others.
    OSError
        If they could not start, for lack of a working directory.
    """
    if multiprocessing.current_process().daemon:
        raise ParameterError(
            "this process is daemonic, as those of multiprocessing.Pool are, and may start no "
            "others; give executor=, such as a ThreadPoolExecutor"
        )
    try:
        os.getcwd()
    except FileNotFoundError:
        raise FileNotFoundError(
            "the working directory was removed, in which processes start; change to another"
        ) from None
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        from fastmel.corpus.preload import CONFIG

        with _starting, _without_interrupts():
            os.environ[CONFIG] = config.to_json()
            try:
                forkserver.ensure_running()
            finally:
                del os.environ[CONFIG]


def _context() -> Any:
    """How processes start: from a server that has imported everything, where there can be one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fastmel.corpus.preload"])
    return context


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from a process that starts, until that unblocks it; it is not lost here."""
    from multiprocessing import resource_tracker  # which Windows does not have

    resource_tracker.ensure_running()  # it would start with the server, and unblock it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Hide the program from processes that start: they would run a script without a guard again."""
    with _starting:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


def _serve(
    pipe: "connection.Connection[Any, Any]", memory: int | None, max_failures: float
) -> None:
    """Make the shards that come through the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory is not None:
        _limit_memory(memory)
    _keep_memory()
    import fastmel
    from fastmel.corpus.work import TooManyFailures, run_shard

    fastmel.set_num_threads(1)
    gc.freeze()  # nothing of all that was loaded is garbage, which is looked for again and again
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders print what failures tell anyway
    while True:
        try:
            folder, shard, journal = pipe.recv()
        except EOFError:
            return
        outcome: tuple[dict[str, Any] | None, Exception | None]
        try:
            outcome = run_shard(folder, shard, attempt=journal, max_failures=max_failures), None
        except (OSError, TooManyFailures) as error:
            outcome = None, error
        except Exception:  # of any type, which the parent may be unable to receive
            outcome = None, RuntimeError(traceback.format_exc())
        pipe.send(outcome)


def _end_with_parent() -> None:
    """Wait for the parent's death, and leave nothing half made and no strike behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a child"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)


def _limit_memory(n_bytes: int) -> None:
    """Make what asks for more memory get an error, before the system kills somebody."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    least = n_bytes if most == resource.RLIM_INFINITY else min(n_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (least, most))


def _keep_memory() -> None:
    """Let glibc keep what is freed: to get the pages of each array anew is a tenth of the time."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 128 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
