"""Memory that a call takes for itself: beyond its input and its output, on one thread."""

import tracemalloc
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest

import fastmel
from cases import CASES, FIRST


def peak_kib(log_mel, case):
    """Return the most that a call has allocated at any time.

    NumPy reports its arrays to tracemalloc, and kernels allocate nothing. The call is made in a
    new thread, since a thread keeps its scratch memory.
    """
    y = case.signal()
    call = {"out": np.empty((case.n_mels, case.n_frames), np.float32)}
    tracemalloc.start()
    thread = Thread(target=log_mel, args=(y,), kwargs=call)
    thread.start()
    thread.join()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(peak / 1024)


@pytest.mark.parametrize("case", [FIRST, CASES[2], CASES[4]], ids=str)
def bench_working_memory(benchmark, case):
    log_mel = fastmel.MelSpectrogram(**case.options, log="db")
    log_mel(case.signal())  # compile
    ten_times = replace(case, seconds=10 * case.seconds)
    benchmark.extra_info["working memory KiB"] = {
        f"{each.seconds:g} s": peak_kib(log_mel, each) for each in (case, ten_times)
    }
    benchmark.pedantic(log_mel, args=(case.signal(),), rounds=3)
