"""What the pages say is done here, with other folders and without the clusters."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fastmel.corpus import check

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"

#: does at once what Slurm would do: an array of two tasks, or a command
SBATCH = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do
    if [[ $1 == --wrap ]]; then exec bash -c "$2"; fi
    shift
done
for task in 0 1; do SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=2 bash "$1"; done
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the page is written for bash")


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "corpus").mkdir()
    for name in "ab":
        soundfile.write(tmp_path / "corpus" / f"{name}.wav", np.zeros(8000), 16000)
    return tmp_path


@pytest.fixture
def run(shared):
    """Run the block of the page under <!-- NAME --> with a folder in place of /shared."""

    def run(name):
        found = re.search(rf"<!-- {name} -->\n```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
        language, code = found.groups()
        script = shared / f"block.{language}"
        script.write_text(code.replace("/shared", str(shared)))
        command = ["bash", "-euo", "pipefail"] if language == "sh" else [sys.executable]
        bin = shared / "bin"
        bin.mkdir()
        (bin / "fastmel").write_text(f'#!/bin/sh\nexec {sys.executable} -m fastmel "$@"\n')
        (bin / "sbatch").write_text(SBATCH)
        for tool in bin.iterdir():
            tool.chmod(0o755)
        subprocess.run(
            [*command, script],
            check=True,
            cwd=shared,
            timeout=120,
            env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        )

    return run


@pytest.mark.parametrize("name", ["slurm", "loop", "executor", "dask in Python"])
def test_clusters(shared, run, name):
    if name.startswith("dask"):
        pytest.importorskip("distributed", reason="Dask is not installed: fastmel[dask]")
    run(name)
    status = check.status(shared / "features")
    assert (status["is_finished"], status["written"]) == (True, 2)
