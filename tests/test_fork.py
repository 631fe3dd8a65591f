"""Forks, threads and worker processes: whoever does what when, kernels work in every process."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fastmel.engines import pool
from fastmel.kernels.jit import jit

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PATIENCE = 20  # seconds after which a child is taken to hang

#: Python 3.12 and later warn of a fork beside threads; where these are the test, it may.
beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTMEL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pool, "_chosen", (0, 0))
    pool.set_num_threads(2)


def make(n):
    @jit
    def kernel(samples, out):
        for i in range(samples.size):
            out[i] = samples[i] + np.float32(n)

    return kernel


def add(n):
    """Add a number by a newly made kernel on two threads; tell whether the sum is right."""
    kernel = make(n)
    samples = np.arange(10_000, dtype=np.float32)
    out = np.empty_like(samples)
    pool.run(lambda lo, hi: kernel(samples[lo:hi], out[lo:hi]), samples.size, 100)
    return bool(np.array_equal(out, samples + n))


def meet():
    """Use the pool in a way that needs both threads."""
    barrier = threading.Barrier(2)
    pool.run(lambda lo, hi: barrier.wait(PATIENCE), 2, 1)
    return True


def in_child(function):
    """Fork, call the function in the child, tell whether it returned True there."""
    process = os.fork()
    if process == 0:
        faulthandler.register(signal.SIGALRM, file=2, chain=True)  # shows where, then ends it
        signal.alarm(PATIENCE)
        try:
            os._exit(0 if function() is True else 1)
        finally:
            os._exit(2)
    return os.waitpid(process, 0)[1] == 0


def test_fork_finds_no_threads():
    # in a process of its own: other tests leave threads of other libraries behind
    script = """
import os, threading, warnings
from fastmel.engines import pool

pool.set_num_threads(2)
for _ in range(5):  # on a busy machine a thread may take longer to end than a fork waits
    barrier = threading.Barrier(2)
    pool.run(lambda lo, hi: barrier.wait(20), 2, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        child = os.fork()
        if child == 0:
            os._exit(threading.active_count() - 1)
        assert os.waitpid(child, 0)[1] == 0
    assert "fastmel" not in [thread.name for thread in threading.enumerate()]
    if not caught:
        break
assert not caught, "Python 3.12 and later warn of a fork beside threads"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)


def test_fork_with_an_idle_pool():
    for n in range(3):
        assert meet()
        assert in_child(lambda n=n: meet() and add(n))
    assert in_child(lambda: in_child(meet) and meet())
    assert meet()


@beside_threads
def test_fork_while_another_thread_runs():
    busy, release = threading.Barrier(3), threading.Event()

    def block(lo, hi):
        busy.wait(PATIENCE)
        release.wait(PATIENCE)

    caller = threading.Thread(target=pool.run, args=(block, 2, 1))
    caller.start()
    busy.wait(PATIENCE)
    start = time.monotonic()
    assert in_child(lambda: meet() and add(1))
    assert meet()
    assert time.monotonic() - start < PATIENCE / 2, "waited for the other thread"
    release.set()
    caller.join(PATIENCE)
    assert not caller.is_alive()


@beside_threads
def test_fork_from_a_thread_of_the_pool():
    barrier = threading.Barrier(2)
    results = []

    def task(lo, hi):
        barrier.wait(PATIENCE)
        if threading.current_thread() is not caller:
            results.append(in_child(lambda: pool.get_num_threads() == 2 and meet() and add(1)))

    caller = threading.current_thread()
    pool.run(task, 2, 1)
    assert results == [True]
    assert meet()


@beside_threads
def test_fork_while_another_thread_compiles():
    stop = threading.Event()
    compiled = []

    def compile_in_a_loop():
        while not stop.is_set():
            compiled.append(add(1000 + len(compiled)))

    compiler = threading.Thread(target=compile_in_a_loop)
    compiler.start()
    try:
        children = [in_child(lambda n=n: add(n)) for n in range(20)]
    finally:
        stop.set()
        compiler.join(PATIENCE)
    assert children == [True] * 20
    assert len(compiled) > 1
    assert all(compiled)


def test_threads_call_the_same_new_kernel_at_once():
    kernel = make(5)
    barrier = threading.Barrier(4)
    samples = np.arange(1000, dtype=np.float32)
    results = []

    def call():
        out = np.empty_like(samples)
        barrier.wait(PATIENCE)
        for _ in range(100):
            kernel(samples, out)
        results.append(bool(np.array_equal(out, samples + 5)))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [True] * 4
    assert len(kernel.overloads) == 1


def test_forked_worker_processes():
    assert meet()
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.apply_async(pool.get_num_threads).get(PATIENCE) == 1
        assert workers.map_async(add, range(4)).get(PATIENCE) == [True] * 4
    assert meet()


def test_fork_and_exit_with_a_live_pool():
    code = """
import os
from fastmel.engines import pool
pool.set_num_threads(3)
pool.run(lambda lo, hi: None, 100, 1)
child = os.fork()
pool.run(lambda lo, hi: None, 100, 1)
if child:
    raise SystemExit(os.waitpid(child, 0)[1])
"""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
    assert time.monotonic() - start < PATIENCE / 2
