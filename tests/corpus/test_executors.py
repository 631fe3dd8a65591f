"""Futures that are fulfilled, fail and are lost, without anything behind them."""

from concurrent.futures import Future

import pytest

from fastmel.corpus import executors
from fastmel.corpus.executors import make_shards
from fastmel.corpus.work import TooManyFailures


class Calls:
    """Takes calls, and answers those that wait when it is told to."""

    def __init__(self):
        self.waiting = []
        self.most = 0

    def __call__(self, shard):
        future = Future()
        self.waiting.append((shard, future))
        self.most = max(self.most, len(self.waiting))
        return future

    def answer(self, error=None):
        shard, future = self.waiting.pop(0)
        if error is None:
            future.set_result({"shard": shard})
        else:
            future.set_exception(error)


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.setattr(executors, "_TICK", 0)
    return Calls()


def _lose(calls):
    _, future = calls.waiting.pop(0)
    future.cancel()
    future.set_running_or_notify_cancel()


def test_a_window_that_grows_and_shrinks(calls):
    size = [2]
    reports = make_shards(range(9), calls, lambda: size[0])
    assert next(reports) is None
    assert [shard for shard, _ in calls.waiting] == [0, 1]
    size[0] = 4
    assert next(reports) is None
    assert len(calls.waiting) == 4
    size[0] = 1
    found = []
    for report in reports:
        found += [report["shard"]] if report else []
        if calls.waiting:
            calls.answer()
    assert sorted(found) == list(range(9))
    assert calls.most == 4


def test_what_is_lost_is_given_again_at_once(calls):
    reports = make_shards([7, 8], calls, lambda: 1)
    for _ in range(20):  # more often than a shard is tried
        assert next(reports) is None
        assert [shard for shard, _ in calls.waiting] == [7]
        _lose(calls)
    assert next(reports) is None
    calls.answer(SystemError("a worker died"))  # which counts as the first
    assert next(reports) is None
    calls.answer()
    assert next(reports) == {"shard": 7}


def test_a_shard_whose_workers_die_is_given_up(calls):
    reports = make_shards([7, 8], calls, lambda: 2)
    for _ in range(3):
        assert next(reports) is None
        assert {shard for shard, _ in calls.waiting} == {7, 8}
        calls.waiting.sort(key=lambda call: call[0])
        calls.answer(SystemError("a worker died"))
    assert next(reports) is None
    calls.waiting.sort(key=lambda call: call[0])
    calls.answer(SystemError("a worker died"))
    ((_, other),) = calls.waiting
    with pytest.raises(
        RuntimeError, match="shard 7 was not made in 4 tries: SystemError: a worker"
    ):
        next(reports)
    assert other.cancelled()


@pytest.mark.parametrize("error", [OSError("disk full"), TooManyFailures("12 failed")])
def test_what_concerns_all_ends_it_at_once(calls, error):
    reports = make_shards([7, 8], calls, lambda: 2)
    assert next(reports) is None
    calls.answer(error)
    ((_, other),) = calls.waiting
    with pytest.raises(type(error), match=str(error)):
        next(reports)
    assert other.cancelled()
