import _thread
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from fastmel.engines import pool
from fastmel.engines.pool import get_num_threads, run, scratch, set_num_threads
from fastmel.exceptions import ParameterError

PATIENCE = 10  # seconds for what takes microseconds unless something hangs


@pytest.fixture(autouse=True)
def choice(monkeypatch):
    monkeypatch.setattr(pool, "_chosen", (0, 0))
    monkeypatch.delenv("FASTMEL_NUM_THREADS", raising=False)


def ranges(n_units, min_units):
    seen = []
    run(lambda lo, hi: seen.append((lo, hi)), n_units, min_units)
    return sorted(seen)


def meet(n_threads):
    """Return a task that can end only if that many threads run it at once."""
    barrier = threading.Barrier(n_threads)
    return lambda lo, hi: barrier.wait(PATIENCE)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("min_units", [0, 1, 7, 50])
@pytest.mark.parametrize("n_units", [0, 1, 2, 13, 14, 99, 100, 1000])
def test_ranges_cover_all_units_once(n_units, min_units, n_threads):
    set_num_threads(n_threads)
    seen = ranges(n_units, min_units)
    assert [i for lo, hi in seen for i in range(lo, hi)] == list(range(n_units))
    assert all(lo < hi for lo, hi in seen)
    if n_threads == 1 or n_units < 2 * min_units:
        assert len(seen) == (n_units > 0)
    else:
        assert min((hi - lo for lo, hi in seen), default=min_units) >= min_units
        assert len(seen) > 1 or n_units < 2


def test_a_small_job_stays_with_the_caller():
    set_num_threads(4)
    threads = []
    run(lambda lo, hi: threads.append(threading.current_thread()), 99, 50)
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_threads_work_at_once(n_threads):
    set_num_threads(n_threads)
    run(meet(n_threads), n_threads, 1)


def test_a_slow_range_leaves_the_others_to_other_threads():
    set_num_threads(2)
    n_others = len(ranges(100, 1)) - 1
    assert n_others >= 3
    others = threading.Semaphore(0)

    def task(lo, hi):
        if lo:
            others.release()
        else:
            for _ in range(n_others):
                assert others.acquire(timeout=PATIENCE)

    run(task, 100, 1)


@pytest.mark.parametrize("who", ["caller", "helper"])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, IndexError])
def test_an_exception_comes_out_after_the_others_stopped(who, kind):
    set_num_threads(3)
    barrier = threading.Barrier(3)
    running = []

    def task(lo, hi):
        running.append(lo)
        barrier.wait(PATIENCE)
        if (threading.current_thread() is caller) == (who == "caller"):
            running.remove(lo)
            raise kind(f"from {who}")
        time.sleep(0.05)
        running.remove(lo)

    caller = threading.current_thread()
    with pytest.raises(kind, match=f"from {who}"):
        run(task, 1000, 1)
    assert not running
    run(meet(3), 3, 1)


def test_interrupted_while_waiting():
    set_num_threads(2)
    caller = threading.current_thread()
    helping = threading.Event()

    def task(lo, hi):
        if threading.current_thread() is caller:
            assert helping.wait(PATIENCE)
        else:
            helping.set()
            time.sleep(0.05)
            _thread.interrupt_main()
            time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        run(task, 2, 1)
    run(meet(2), 2, 1)


def test_no_threads_within_threads():
    set_num_threads(2)
    barrier = threading.Barrier(2)
    counts = {}

    def task(lo, hi):
        barrier.wait(PATIENCE)
        counts[threading.current_thread() is caller] = get_num_threads()
        run(lambda lo, hi: None, 100, 1)

    caller = threading.current_thread()
    run(task, 2, 1)
    assert counts[False] == 1


def test_several_callers_at_once():
    set_num_threads(3)
    results = {}

    def call(name):
        for _ in range(50):
            out = np.zeros(64)

            def task(lo, hi, out=out):
                out[lo:hi] += name

            run(task, 64, 1)
            results.setdefault(name, []).append(bool(np.all(out == name)))

    callers = [threading.Thread(target=call, args=(name,)) for name in range(1, 5)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE)
    assert results == {name: [True] * 50 for name in range(1, 5)}


def test_a_busy_pool_holds_up_no_other_caller():
    set_num_threads(2)
    busy, release = threading.Barrier(3), threading.Event()

    def block(lo, hi):
        busy.wait(PATIENCE)
        release.wait(PATIENCE)

    long = threading.Thread(target=run, args=(block, 2, 1))
    long.start()
    busy.wait(PATIENCE)
    assert len(ranges(100, 1)) > 1
    release.set()
    long.join(PATIENCE)
    assert not long.is_alive()


def test_the_callers_arrays_are_not_kept():
    set_num_threads(2)
    data = np.ones(1000)
    gone = weakref.ref(data)
    run(lambda lo, hi, data=data: data[lo:hi].sum(), 1000, 1)
    del data
    deadline = time.monotonic() + PATIENCE
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert gone() is None


def test_no_thread_to_be_had(monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool, "_pool", pool._Pool())
    monkeypatch.setattr(threading.Thread, "start", fail)
    set_num_threads(4)
    assert ranges(100, 1)[-1][1] == 100


@pytest.mark.parametrize("n", [0, -1, 1.0, "2", None, True])
def test_set_num_threads_wants_a_positive_whole_number(n):
    with pytest.raises(ParameterError, match="whole number of at least 1"):
        set_num_threads(n)


def test_environment(monkeypatch):
    monkeypatch.setenv("FASTMEL_NUM_THREADS", "7")
    assert get_num_threads() == 7
    set_num_threads(np.int64(3))
    assert get_num_threads() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_environment_wants_a_positive_whole_number(text, monkeypatch):
    monkeypatch.setenv("FASTMEL_NUM_THREADS", text)
    with pytest.raises(ParameterError, match=f"FASTMEL_NUM_THREADS is '{text}'"):
        get_num_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity mask here")
def test_affinity_mask():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert python(code + "from fastmel.engines import pool; print(pool.get_num_threads())") == "1"


def test_multiprocessing_child_uses_one_thread():
    set_num_threads(4)
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        assert workers.apply(get_num_threads) == 1
        workers.apply(set_num_threads, (3,))
        assert workers.apply(get_num_threads) == 3


def test_scratch():
    first = scratch(1000)
    assert first.dtype == np.float32
    assert first.shape == (250,)
    assert first.ctypes.data % 64 == 0
    second = scratch(900)
    assert second.shape == (225,)
    assert np.shares_memory(first, second)
    larger = scratch(1_000_004)
    assert larger.shape == (250_001,)
    assert larger.ctypes.data % 64 == 0
    larger[:] = 1
    assert scratch(0).shape == (0,)


def test_scratch_is_each_threads_own():
    set_num_threads(2)
    barrier = threading.Barrier(2)
    buffers = []

    def task(lo, hi):
        barrier.wait(PATIENCE)
        buffers.append(scratch(4096))

    run(task, 2, 1)
    assert not np.shares_memory(*buffers)


def python(code):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


def test_imports_little():
    code = "import sys; from fastmel.engines import pool; print('numba' in sys.modules, "
    assert python(code + "'scipy' in sys.modules)") == "False False"


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_clean_exit(state):
    code = """
import threading, time
from fastmel.engines import pool
pool.set_num_threads(3)
pool.run(lambda lo, hi: None, 100, 1)
if STATE == "busy":
    caller = threading.Thread(target=pool.run, args=(lambda lo, hi: time.sleep(60), 3, 1))
    caller.daemon = True
    caller.start()
    time.sleep(0.1)
print("done")
"""
    start = time.monotonic()
    assert python(code.replace("STATE", repr(state))) == "done"
    assert time.monotonic() - start < 20
