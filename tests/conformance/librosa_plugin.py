"""A pytest plugin for librosa's own tests: patches librosa, and keeps what became of each test."""

import json
import os
from pathlib import Path

# test_convert.py of 0.11 takes this for loaded
import librosa.core.convert  # noqa: F401
import numpy as np
import pytest

import fastmel

outcomes = {}


# librosa's conftest.py, which has these, is not in its source distribution


@pytest.fixture
def rng():
    return np.random.default_rng(628318530)


@pytest.fixture(scope="module")
def rng_mod():
    return np.random.default_rng(628318530)


def pytest_configure(config):
    if os.environ.get("PATCHED"):
        fastmel.patch_librosa()


def pytest_runtest_logreport(report):
    if report.when == "call" or not report.passed:
        expected = "expected to fail, " if hasattr(report, "wasxfail") else ""
        outcomes[report.nodeid] = expected + report.outcome


def pytest_sessionfinish(session):
    Path(os.environ["OUTCOMES"]).write_text(json.dumps(outcomes))
