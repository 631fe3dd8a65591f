"""Two threads against one, on the same signal."""

from dataclasses import replace

import pytest

import fastmel
from cases import FIRST


@pytest.mark.skipif(fastmel.get_num_threads() < 2, reason="needs two cores")
@pytest.mark.parametrize("case", [FIRST, replace(FIRST, seconds=600)], ids=str)
def bench_two_threads(compare, case):
    y = case.signal()
    log_mel = fastmel.MelSpectrogram(**case.options, log="db")

    def with_threads(n):
        fastmel.set_num_threads(n)
        return log_mel(y)

    compare(lambda: with_threads(2), {"one thread": lambda: with_threads(1)}, case.n_frames)
