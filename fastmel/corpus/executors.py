"""Shards made by who takes calls and gives futures: an executor, or a cluster."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Any

from fastmel.corpus.work import TooManyFailures

__all__ = ["Report", "make_shards"]

#: tries of a shard whose workers die
_TRIES = 4

#: seconds between signs of life
_TICK = 1.0

Report = dict[str, Any]


def make_shards(
    shards: Sequence[int],
    submit: Callable[[int], "Future[Report]"],
    window: Callable[[], int],
) -> Generator[Report | None]:
    """Make shards, so many of them at a time.

    Parameters
    ----------
    shards : sequence of int
        Which.
    submit : callable
        Begins to make a shard.
    window : callable
        Returns how many may be under way now.

    Yields
    ------
    dict or None
        The report of a shard; None when there was nothing to report for a moment.

    Raises
    ------
    OSError
        If the output cannot be written.
    TooManyFailures
        If too many items of a shard failed.
    RuntimeError
        If a shard was given up.
    """
    waiting = deque((shard, 1) for shard in shards)
    live: dict[Future[Report], tuple[int, int]] = {}
    try:
        while waiting or live:
            for _ in range(min(len(waiting), window() - len(live))):
                shard, tries = waiting.popleft()
                live[submit(shard)] = shard, tries
            done, _ = wait(live, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done:
                shard, tries = live.pop(future)
                try:
                    report = future.result()
                except (OSError, TooManyFailures):
                    raise
                except CancelledError:  # whoever kept it was lost
                    waiting.appendleft((shard, tries))
                except Exception as error:  # a worker died: its item has a strike
                    if tries >= _TRIES:
                        raise RuntimeError(
                            f"shard {shard} was not made in {_TRIES} tries: "
                            f"{type(error).__name__}: {error}"
                        ) from error
                    waiting.appendleft((shard, tries + 1))
                else:
                    yield report
            if not done:
                yield None
    finally:
        for future in live:
            future.cancel()
