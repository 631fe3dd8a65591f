"""New processes: the import, and the time from starting Python to the first result."""

import os
import subprocess
import sys

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
    compare(python("import fastmel"), rivals, patience=8.0)


def bench_first_result_warm_cache(compare, tmp_path):
    ours = python(FIRST_RESULT.format("fastmel"), FASTMEL_CACHE_DIR=str(tmp_path))
    compare(ours, {"librosa": python(FIRST_RESULT.format("librosa"))}, patience=22.0)


def bench_first_result_ever(benchmark, tmp_path_factory):
    """With an empty cache each time: everything is compiled."""

    def new_cache():
        cache = str(tmp_path_factory.mktemp("cache"))
        return (), {"run": python(FIRST_RESULT.format("fastmel"), FASTMEL_CACHE_DIR=cache)}

    benchmark.pedantic(lambda run: run(), setup=new_cache, rounds=3)
