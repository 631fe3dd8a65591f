"""New processes: the import, and the time from starting Python to the first result."""

import os
import subprocess
import sys

import pytest

FIRST_RESULT = """
import numpy as np
import {0}
y = np.zeros(22050, np.float32)
{0}.power_to_db({0}.feature.melspectrogram(y=y, sr=22050))
"""


def python(code, **environment):
    """Make a function that runs some code in a new interpreter."""
    environment = {**os.environ, **environment}
    return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def bench_import(compare):
    rivals = {
        "import numpy": python("import numpy"),
        "import librosa": python("import librosa"),
        "no import": python("pass"),
    }
    compare(python("import fastmel"), rivals, max_rounds=15)


def bench_first_result_warm_cache(compare, tmp_path):
    ours = python(FIRST_RESULT.format("fastmel"), FASTMEL_CACHE_DIR=str(tmp_path))
    compare(ours, {"librosa": python(FIRST_RESULT.format("librosa"))}, max_rounds=7)


def bench_first_result_ever(benchmark, tmp_path_factory):
    """With an empty cache each time: everything is compiled."""

    def new_cache():
        cache = str(tmp_path_factory.mktemp("cache"))
        return (), {"run": python(FIRST_RESULT.format("fastmel"), FASTMEL_CACHE_DIR=cache)}

    benchmark.pedantic(lambda run: run(), setup=new_cache, rounds=3)


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux")
@pytest.mark.parametrize("n_fft", [400, 2048, 4096])
def bench_working_memory(benchmark, n_fft):
    """Peak of memory in use during a call on one thread, beyond the input and the output."""
    process = benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, "-c", WORKING_MEMORY, str(n_fft)],),
        kwargs={"stdout": subprocess.PIPE, "text": True, "check": True},
        rounds=1,
    )
    benchmark.extra_info["working memory KiB"] = {
        int(seconds): int(kib) for seconds, kib in map(str.split, process.stdout.splitlines())
    }


#: Kernels are warmed in a thread of its own, which takes its scratch memory with it when it ends.
WORKING_MEMORY = """
import sys
from pathlib import Path
from threading import Thread
import numpy as np
import fastmel

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

fastmel.set_num_threads(1)
log_mel = fastmel.MelSpectrogram(n_fft=int(sys.argv[1]), log="db")
warm = Thread(target=log_mel, args=(np.zeros(22050, np.float32),))
warm.start()
warm.join()
for seconds in (60, 600):
    y = np.ones(seconds * 22050, np.float32)
    out = np.ones((128, 1 + len(y) // 512), np.float32)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = status("VmRSS")
    fresh = Thread(target=log_mel, args=(y,), kwargs={"out": out})
    fresh.start()
    fresh.join()
    print(seconds, status("VmHWM") - before)
"""
