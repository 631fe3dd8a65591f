"""librosa's own tests, with fastmel's functions in the place of librosa's.

They are in librosa's source distribution, not here. To run them, about twenty minutes:

    pip download --no-deps --no-binary librosa librosa==1.0.0  # the version that is installed
    tar xf librosa-1.0.0.tar.gz
    FASTMEL_LIBROSA_TESTS=librosa-1.0.0/tests pytest tests/conformance/test_librosa_suite.py

Recordings that the tests read are replaced by synthetic ones. Only tests that pass without fastmel
count: some need other data, other packages or the network.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

SUITE = os.environ.get("FASTMEL_LIBROSA_TESTS")
FILES = sorted(path.name for path in Path(SUITE).glob("test_*.py")) if SUITE else []

#: name below the suite -> sampling rate in Hz, channels
RECORDINGS = {
    "test_audio.ogg": (22050, 2),
    "test_audio.flac": (22050, 2),
    "data/test1_22050.wav": (22050, 1),
    "data/test1_22050.mp3": (22050, 1),
    "data/test1_44100.wav": (44100, 2),
    "data/test2_8000.wav": (8000, 2),
}


def strokes(sr, channels, seconds=5):
    """Make a tone and noise that are struck twice a second, another tone in each channel."""
    t = np.arange(sr * seconds) / sr
    decay = np.exp(-6 * np.mod(t, 0.5))
    hz = 220 * 2 ** (np.arange(channels) / 3)
    noise = np.random.default_rng(0).standard_normal((len(t), channels))
    return decay[:, None] * (0.3 * np.sin(2 * np.pi * np.outer(t, hz)) + 0.05 * noise)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Copy the suite and add what it reads."""
    place = tmp_path_factory.mktemp("librosa")
    shutil.copytree(SUITE, place / "tests")
    for name, (sr, channels) in RECORDINGS.items():
        path = place / "tests" / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, strokes(sr, channels), sr)
    (place / "pytest.ini").write_text(
        "[pytest]\nxfail_strict = true\nmarkers = mpl_image_compare: pictures\n"
    )
    return place


def run(place, name, **environment):
    """Run one file of the suite in a new interpreter, and return what became of each test."""
    outcomes = place / "outcomes.json"
    outcomes.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--quiet", "--tb=no", "-p", "librosa_plugin"]
    paths = {"PYTHONPATH": str(Path(__file__).parent), "OUTCOMES": str(outcomes)}
    subprocess.run(
        [*command, f"tests/{name}"],
        cwd=place,
        env={**os.environ, **paths, **environment},
        check=False,  # some fail with librosa alone
        stdout=subprocess.DEVNULL,
    )
    return json.loads(outcomes.read_text())


@pytest.mark.slow
@pytest.mark.skipif(not SUITE, reason="FASTMEL_LIBROSA_TESTS does not name librosa's tests")
@pytest.mark.parametrize("name", FILES)
def test_what_passes_without_fastmel_passes_with_it(place, name):
    before, after = run(place, name), run(place, name, PATCHED="1")
    passing = {test for test, outcome in before.items() if outcome != "failed"}
    assert passing
    assert {test: after.get(test) for test in passing if after.get(test) != before[test]} == {}
