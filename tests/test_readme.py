"""The examples of README.md: they run as they are written."""

import glob
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel import cli

README = Path(__file__).parents[1].joinpath("README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands():
    """The lines of the shell that write features or list front ends."""
    lines = "".join(blocks("sh")).splitlines()
    return [line for line in lines if re.match("fastmel (mel|frontends|info)", line)]


@pytest.fixture(autouse=True)
def recordings(tmp_path, monkeypatch, rng):
    """A directory with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    for name in ("speech", "a", "b"):
        soundfile.write(f"{name}.wav", 0.1 * rng.standard_normal(30000), 16000)


def test_python(rng):
    y = (0.1 * rng.standard_normal(32000)).astype(np.float32)
    examples = blocks("python")
    try:
        for example in examples:
            names = {"y": y, "batch": np.stack([y, y]), "chunks": np.split(y, 10)}
            exec(example, names)
    finally:
        fastmel.unpatch_librosa()
    # of the last, the one of front ends
    assert names["padded"].shape == (2, 200, 80)
    np.testing.assert_array_equal(names["padded"][0], names["kaldi"](y))
    np.testing.assert_array_equal(names["lengths"], [200, 125])


def test_there_are_commands():
    assert any("--frontend" in line for line in commands())


@pytest.mark.parametrize("line", commands())
def test_command(line):
    _, *words = shlex.split(line, comments=True)
    files = [file for word in words for file in sorted(glob.glob(word)) or [word]]
    assert cli.main(files) == 0
