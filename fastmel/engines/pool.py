"""Threads: how many, who gets which part of the work, and what happens at a fork.

Kernels run without the GIL, so plain Python threads share the work. They wait in one lazy pool
of daemon threads; whoever calls :func:`run` works too and waits only for those that have
actually begun, so a thread that wakes up late delays nobody, several callers share the pool
without blocking each other, and a pool that is gone (at a fork, at exit) means slower, not stuck.
"""

import atexit
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt

from fastmel.exceptions import ParameterError
from fastmel.limits import usable_cpus

__all__ = ["get_num_threads", "run", "scratch", "set_num_threads"]

#: Ranges per thread: enough that a thread on a slow core leaves work to the others.
_RANGES_PER_THREAD = 4

#: Seconds that a fork or the interpreter's exit waits for threads that are still busy.
_PATIENCE = 0.3

Task = Callable[[int, int], object]


class _Local(threading.local):
    """What each thread has for itself."""

    is_worker = False
    buffer = np.empty(0, np.float32)


_local = _Local()


def get_num_threads() -> int:
    """Return the number of threads that a call made now may use.

    It is what :func:`set_num_threads` set; else 1 in a process that :mod:`multiprocessing` started
    (its parent has already shared out the cores); else the environment variable
    ``FASTMEL_NUM_THREADS``; else the number of CPUs that this process may use, by affinity mask
    and cgroup quota.

    Raises
    ------
    ParameterError
        If ``FASTMEL_NUM_THREADS`` is not a positive whole number.

    Examples
    --------
    >>> import fastmel
    >>> fastmel.get_num_threads() >= 1
    True
    """
    if _local.is_worker:
        return 1
    count, process = _chosen
    is_child = _is_multiprocessing_child()
    if count and (process == os.getpid() or not is_child):
        return count
    if is_child:
        return 1
    if text := os.environ.get("FASTMEL_NUM_THREADS"):
        if not text.strip().isdecimal() or int(text) < 1:
            raise ParameterError(
                f"FASTMEL_NUM_THREADS is {text!r}: set it to a whole number of at least 1, "
                "or leave it unset"
            )
        return int(text)
    return usable_cpus()


def set_num_threads(n: int) -> None:
    """Set the number of threads that this process uses; results do not depend on it.

    Parameters
    ----------
    n : int
        The number of threads, the calling one included. It outlives a plain ``os.fork()`` but is
        not inherited by the processes that :mod:`multiprocessing` starts: these use one thread
        unless they call this function themselves.

    Raises
    ------
    ParameterError
        If `n` is not a positive whole number.

    Examples
    --------
    >>> import fastmel
    >>> fastmel.set_num_threads(2)
    >>> fastmel.get_num_threads()
    2
    """
    global _chosen
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ParameterError(
            f"the number of threads must be a whole number of at least 1, not {n!r}"
        )
    _chosen = (int(n), os.getpid())


#: the last set_num_threads (0: never called) and the process that called it
_chosen = (0, 0)


def _is_multiprocessing_child() -> bool:
    # A child has the module loaded; importing it here would slow down everybody else.
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


def run(task: Task, n_units: int, min_units: int) -> None:
    """Call ``task(lo, hi)`` for contiguous ranges that cover ``range(n_units)`` once.

    Parameters
    ----------
    task : callable
        Called from several threads at once. It should spend its time without the GIL.
    n_units : int
        The amount of work.
    min_units : int
        The least work that is worth another thread: no range is shorter, and with fewer than twice
        as many units (or one thread) the caller does all the work in one call.

    Raises
    ------
    BaseException
        What a task raised (the caller's own first), once no task runs any more. Only an interrupt
        of the waiting caller does not wait for the others; the ranges not begun are dropped.
    """
    n_ranges = n_units // max(min_units, 1)
    n_threads = get_num_threads() if n_ranges > 1 else 1
    if n_threads == 1:
        if n_units:
            task(0, n_units)
        return
    n_ranges = min(n_ranges, n_threads * _RANGES_PER_THREAD)
    bounds = [n_units * i // n_ranges for i in range(n_ranges + 1)]
    job = _Job(task, pairwise(bounds))
    try:
        _pool.offer(job, min(n_threads, n_ranges) - 1)
        job.work()
    finally:
        job.close()
    if job.errors:
        raise job.errors.pop(0)


class _Job:
    """One call of :func:`run`: ranges still to do, and seats for the threads that may help.

    All it is made of are atomic operations, no locks, so that a KeyboardInterrupt between any two
    of them leaves nothing locked.
    """

    def __init__(self, task: Task, ranges: Iterator[tuple[int, int]]) -> None:
        self.errors: list[BaseException] = []
        self._task = task
        self._ranges = deque(ranges)
        self._seats: deque[None] = deque()
        self._n_seats = 0
        self._left: SimpleQueue[None] = SimpleQueue()

    def add_seat(self) -> None:
        self._n_seats += 1
        self._seats.append(None)

    def work(self) -> None:
        """Do ranges until none is left."""
        task = self._task
        while True:
            try:
                lo, hi = self._ranges.popleft()
            except IndexError:
                return
            task(lo, hi)

    def help(self) -> None:
        """Work, from another thread than the caller's, unless the job is closed."""
        try:
            self._seats.pop()
        except IndexError:
            return
        try:
            self.work()
        except BaseException as error:
            self._ranges.clear()
            self.errors.append(error)
        finally:
            self._left.put(None)

    def close(self) -> None:
        """Let nobody begin any more and wait for those that have begun."""
        self._ranges.clear()
        helpers = self._n_seats
        while self._seats:
            try:
                self._seats.pop()
                helpers -= 1
            except IndexError:
                break
        for _ in range(helpers):
            self._left.get()
        del self._task  # a thread may find this job much later: free the caller's arrays now


class _Pool:
    """Daemon threads that wait for jobs."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()
        self._is_open = True

    def offer(self, job: _Job, n_helpers: int) -> None:
        """Ask threads for help with a job, starting them if there are too few."""
        if len(self._threads) < n_helpers:
            self._grow(n_helpers)
        for _ in self._threads[:n_helpers]:
            job.add_seat()
            self._inbox.put(job)

    def _grow(self, n_threads: int) -> None:
        with self._lock:
            while self._is_open and len(self._threads) < n_threads:
                thread = threading.Thread(target=self._serve, name="fastmel", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads to be had: fewer will do
                    return
                self._threads.append(thread)

    def _serve(self) -> None:
        _local.is_worker = True
        while (job := self._inbox.get()) is not None:
            job.help()
            del job  # or an idle thread would keep the last caller's arrays alive

    def stop(self) -> None:
        """End the threads; those that are busy end when they have done their part."""
        with self._lock:
            self._is_open = False
            for _ in self._threads:
                self._inbox.put(None)
            deadline = time.monotonic() + _PATIENCE
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(max(0.0, deadline - time.monotonic()))


_pool = _Pool()


def _stop() -> None:
    global _pool
    _pool, pool = _Pool(), _pool
    pool.stop()


def _forget() -> None:
    """Begin anew in a forked child: none of the parent's threads exist here."""
    global _pool
    _pool = _Pool()
    _local.is_worker = False


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_stop, after_in_child=_forget)


def scratch(nbytes: int) -> npt.NDArray[np.float32]:
    """Return this thread's working memory; the next call in this thread returns the same.

    Parameters
    ----------
    nbytes : int
        The size needed, a multiple of 4.

    Returns
    -------
    np.ndarray [shape=(nbytes / 4,), dtype=float32]
        Uninitialised, aligned to 64 bytes: a cache line, and the widest vector register.
    """
    if _local.buffer.nbytes < nbytes:
        memory = np.empty(nbytes + 64, np.uint8)
        start = -memory.ctypes.data % 64
        _local.buffer = memory[start : start + nbytes].view(np.float32)
    return _local.buffer[: nbytes // 4]
