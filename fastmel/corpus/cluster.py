"""Shards made by a Dask cluster: workers write them to a place that they all share.

The cluster belongs to others. Nothing but numbers goes through it: a task is the number of a
shard, and its result a small report. Dask promises that a task runs, perhaps several times, and
perhaps at the same time; shards that are made twice are the same. If the scheduler is lost, and
with it what it knew, the shards that it had are given to the one that comes back.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastmel
from fastmel.corpus import attempts, executors
from fastmel.corpus.executors import Report
from fastmel.corpus.plan import Plan, load_plan
from fastmel.corpus.work import run_shard
from fastmel.exceptions import ParameterError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Cluster"]

#: seconds that a scheduler has to answer, at the beginning and when it was lost
_PATIENCE = 30.0

#: seconds of one attempt at that: the next may find another address in the scheduler's file
_ATTEMPT = 2.0

#: shards that each thread of the cluster has at a time: one at work, one that waits
_AHEAD = 2

#: seconds between looks at how large the cluster is, and at what a worker is reading
_COUNT_EVERY, _TICK = 5.0, 0.25


class Cluster:
    """A Dask cluster that runs already.

    Parameters
    ----------
    address : str, optional
        Where its scheduler listens, as "tcp://host:8786".
    scheduler_file : path, optional
        The file that the scheduler writes, which tells its address.
    patience : float
        Seconds that the scheduler has to answer.

    Raises
    ------
    ParameterError
        If Dask is not installed, or this is no address.
    ConnectionError
        If no scheduler answers.
    """

    def __init__(
        self,
        address: str | None = None,
        scheduler_file: Path | None = None,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._given, self._file, self._patience = address, scheduler_file, patience
        self._n_threads, self._counted = 0, 0.0
        self._client = self._connect()

    def close(self) -> None:
        """Let go of the cluster, which goes on without us."""
        self._client.close()

    def make_shards(
        self, plan: Plan, shards: Sequence[int], *, timeout: float | None, max_failures: float
    ) -> Generator[Report | None]:
        """Make shards on the workers (see :func:`fastmel.corpus.executors.make_shards`).

        Parameters
        ----------
        plan : Plan
            A plan on a disk that all workers see.
        shards : sequence of int
            Which.
        timeout : float, optional
            Seconds that an item may take, twice: a worker that needs longer ends itself.
        max_failures : float
            Failed items of a shard that are too many.
        """
        folder = str(plan.path.absolute())
        self._check(folder, plan.digest)

        def submit(shard: int) -> Future[Report]:
            executor = self._connected().get_executor(pure=False)
            future: Future[Report] = executor.submit(
                _sendable(), "make_shard", folder, shard, plan.digest, timeout, max_failures
            )
            return future

        yield from executors.make_shards(shards, submit, self._window)

    def _check(self, folder: str, digest: str) -> None:
        """Refuse workers that are there now and cannot take part; tasks look at later ones."""
        from distributed.comm import CommClosedError

        with contextlib.suppress(CommClosedError):  # a worker died at this moment
            if not self._connected().run(_sendable(), "check_worker", folder, digest):
                warnings.warn(f"{self._where()} has no workers yet: waiting for them", stacklevel=2)

    def _window(self) -> int:
        """Return how many shards the cluster should have now; it may grow and shrink."""
        if time.monotonic() - self._counted > _COUNT_EVERY:
            client = self._connected()
            with contextlib.suppress(OSError):  # it is lost at this moment
                self._n_threads = sum(client.nthreads().values())
            self._counted = time.monotonic()
        return _AHEAD * max(1, self._n_threads)

    def _connected(self) -> "Client":
        """Return the client; a new one if the scheduler was lost."""
        if self._client.status != "running":
            warnings.warn(f"{self._where()} is lost: waiting for it or another", stacklevel=2)
            self._client.close()
            self._client = self._connect()
        return self._client

    def _connect(self) -> "Client":
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._new_client()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConnectionError(
                        f"{self._where()} was not reached in {self._patience:g} s: {error}"
                    ) from None
                time.sleep(0.2)

    def _new_client(self) -> "Client":
        try:
            from distributed import Client
        except ModuleNotFoundError:
            raise ParameterError(
                "a scheduler is reached by Dask: pip install 'fastmel[dask]'"
            ) from None
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tracebacks of the same
        address = self._address()
        try:
            return Client(address, timeout=min(_ATTEMPT, self._patience), set_as_default=False)
        except OSError:
            raise OSError(f"nothing answers at {address}") from None

    def _address(self) -> str:
        """Return where the scheduler listens now: a new one writes the file anew."""
        from distributed.comm import get_address_host_port

        address = self._given
        if self._file is not None:
            try:
                address = json.loads(self._file.read_bytes())["address"]
            except (ValueError, KeyError):  # it is being written
                raise OSError("the file tells no address") from None
        assert address is not None, "one of the two is given"
        try:
            get_address_host_port(address)
        except ValueError as error:
            raise ParameterError(f"{self._where()}: {error}") from None
        return address

    def _where(self) -> str:
        return f"the Dask scheduler {self._given or f'of {self._file}'}"


# on a worker


def _sendable() -> Callable[..., Any]:
    """Return a function that calls those below, and that goes to workers as it is.

    Functions of modules go by their name, and one that a worker cannot import ends it.
    """

    def call(name: str, *args: Any) -> Any:
        try:
            from fastmel.corpus import cluster
        except ImportError as error:
            raise OSError(f"a worker on {socket.gethostname()} has no fastmel: {error}") from None
        return getattr(cluster, name)(*args)

    return call


def check_worker(folder: str, digest: str) -> None:
    """Refuse to work where the plan is not seen, or other versions are installed."""
    host = socket.gethostname()
    try:
        plan = load_plan(folder)
    except ParameterError:
        raise OSError(
            f"{host} does not see {folder}/plan.json: the output folder must be on a file system "
            "that all workers share, at the same path"
        ) from None
    if plan.digest != digest:
        raise OSError(f"{host} sees another plan in {folder} than the one that is to be run")
    plan.check_versions()


def make_shard(
    folder: str, index: int, digest: str, timeout: float | None, max_failures: float
) -> Report:
    """Make a shard in a thread of a worker."""
    check_worker(folder, digest)
    fastmel.set_num_threads(1)
    journal = attempts.attempt_path(Path(folder), index)
    with _limited(journal, timeout):
        return run_shard(folder, index, attempt=journal, max_failures=max_failures)


@contextlib.contextmanager
def _limited(journal: Path, timeout: float | None) -> Iterator[None]:
    """End this process, and say why, if an attempt reads one item for too long.

    Nothing else ends a decoder that hangs. Another shard that the process is making is not blamed:
    what has a strike is tried again, and cleared.
    """
    if timeout is None:
        yield
        return
    is_over = threading.Event()

    def watch() -> None:
        stopwatch = attempts.Stopwatch(journal)
        while not is_over.wait(_TICK):
            if stopwatch.seconds() > timeout:
                attempts.note(journal, f"timeout was killed after {timeout:g} s")
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
