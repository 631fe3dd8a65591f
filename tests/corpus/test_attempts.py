import os
import signal

import pytest

from fastmel.corpus import attempts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed")


def _die_at(folder, index, position):
    """Let a process die that is reading an item, or none; return the path of its journal."""
    path = attempts.attempt_path(folder, index)
    pid = os.fork()
    if pid == 0:
        journal = attempts.Attempt(path)
        journal.begin(0)
        journal.rest()
        if position is not None:
            journal.begin(position)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    return path


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_who_dies_while_reading_leaves_a_strike(tmp_path):
    path = _die_at(tmp_path, 7, 42)
    _die_at(tmp_path, 8, 43)
    assert attempts.item_at_work(path) == 42
    assert attempts.strikes(tmp_path, 7) == {42: [attempts.Strike(path, "")]}
    attempts.note(path, "crash died of SIGSEGV")
    assert attempts.strikes(tmp_path, 7)[42][0].reason == "crash died of SIGSEGV"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_who_dies_otherwise_leaves_none(tmp_path):
    path = _die_at(tmp_path, 7, None)
    assert attempts.item_at_work(path) is None
    assert attempts.strikes(tmp_path, 7) == {}
    assert not path.exists()


def test_who_is_alive_has_no_strike(tmp_path):
    journal = attempts.Attempt(attempts.attempt_path(tmp_path, 7))
    journal.begin(3)
    assert attempts.strikes(tmp_path, 7) == {}
    journal.end()
    assert not any((tmp_path / ".attempts").iterdir())


def test_a_journal_that_is_gone_is_nobodys(tmp_path):
    path = attempts.attempt_path(tmp_path, 1)
    assert attempts.item_at_work(path) is None
    attempts.note(path, "crash")
    assert not path.exists()


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [([], False), (["x"], False), (["x", "y"], True), (["", "x"], False), (["", "", ""], True)],
)
def test_two_deaths_that_were_seen_are_enough_or_three(tmp_path, reasons, expected):
    assert attempts.is_out([attempts.Strike(tmp_path, reason) for reason in reasons]) == expected
