"""How things are measured: in turns, in one process, on one thread.

A call of ours and each rival's are timed in turns, so that a change of clock speed or a busy
neighbour meets all of them, and what is reported is the median of the ratios of neighbours.
"""

import time
from statistics import median

import pytest
from threadpoolctl import threadpool_limits

import fastmel


@pytest.fixture(autouse=True)
def one_thread():
    """Let fastmel, and the BLAS and OpenMP libraries that rivals call, use one thread."""
    before = fastmel.get_num_threads()
    fastmel.set_num_threads(1)
    with threadpool_limits(1):
        yield
    fastmel.set_num_threads(before)


@pytest.fixture
def compare(benchmark):
    """Make a function that times a call in turns with its rivals and keeps their figures.

    ``compare(ours, {"librosa": theirs}, frames=case.n_frames)`` takes about four seconds, or
    `patience`, and adds to the benchmark's ``extra_info`` the frames of a call, and for each rival
    its median in seconds and the median ratio of its time to ours.
    """

    def run(ours, rivals, frames=None, patience=4.0):
        for call in (ours, *rivals.values()):
            call()  # compile, load, plan
        rounds = _rounds([ours, *rivals.values()], patience)
        times = {name: [] for name in rivals}

        def take_turns():
            for name, rival in rivals.items():
                start = time.perf_counter()
                rival()
                times[name].append(time.perf_counter() - start)

        benchmark.pedantic(ours, setup=take_turns, rounds=rounds)
        if not benchmark.enabled:
            return
        own = benchmark.stats.stats.data
        if frames is not None:
            benchmark.extra_info["frames"] = frames
        benchmark.extra_info["rivals"] = {
            name: {
                "median": median(theirs),
                "ratio": median(a / b for a, b in zip(theirs, own, strict=True)),
            }
            for name, theirs in times.items()
        }

    return run


def _rounds(calls, patience):
    start = time.perf_counter()
    for call in calls:
        call()
    return max(5, min(200, int(patience / (time.perf_counter() - start))))
