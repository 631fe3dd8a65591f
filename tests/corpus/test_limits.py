"""Full disks, and memory that does not grow: neither with the items nor with their length."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from fastmel.corpus import check, durable, extract, plan, run

FORMATS = ("npy", "wds", "kaldi", "parquet")


@pytest.fixture(params=FORMATS)
def format(request):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return request.param


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system in memory, and return its folder and what changes its size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    if shutil.which("mount") is None or (made := mount("size=8k")).returncode:
        reason = made.stderr.strip() if shutil.which("mount") else "there is no mount"
        pytest.skip(f"a small file system cannot be mounted here: {reason}")
    yield folder, lambda kib: mount("remount", f"size={kib}k")
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_nothing(
    corpus, here, tmp_path, tree, leftovers, monkeypatch, small_disk, format
):
    monkeypatch.setattr(plan, "_SHARD_ITEMS", (4, 4))
    monkeypatch.setattr(durable, "_BLOCK", 1 << 12)
    extract(str(corpus), tmp_path / "undisturbed", format=format, executor=here)
    undisturbed = tree(tmp_path / "undisturbed")
    folder, resize = small_disk
    n_failures = 0
    for kib in range(8, 200, 8):
        out = folder / "out"
        resize(kib)
        try:
            extract(str(corpus), out, format=format, executor=here)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
            n_failures += 1
        else:
            break
        assert leftovers(out) == []
        assert not (out / "plan.json").exists() or check.damage(out, deep=True) == {}
        resize(1 << 12)
        extract(str(corpus), out, format=format, executor=here)
        assert tree(out) == undisturbed
        shutil.rmtree(out)
    assert n_failures > 5
    assert tree(out) == undisturbed


def _plan(source, out, format, **options):
    with run.locked(out):
        run.plan_for(out, run.check_settings("whisper", format, options), [str(source)])


def _resident(python, *arguments):
    """Run code in a process of its own and return what it prints: its resident memory in MiB."""
    command = [sys.executable, "-c", python, *map(str, arguments)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    return np.array(json.loads(found.stdout))


#: makes the shards of a plan one by one
SHARDS = """
import json, os, resource, sys, fastmel
from fastmel.corpus import load_plan, run_shard

fastmel.set_num_threads(1)
folder, sizes = sys.argv[1], []
for index in range(len(load_plan(folder).shards)):
    run_shard(folder, index)
    with open("/proc/self/statm") as file:
        sizes.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
print(json.dumps(sizes))
"""

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux does")


@needs_linux
def test_memory_does_not_grow_with_the_items(tmp_path, monkeypatch, format):
    monkeypatch.setattr(plan, "_SHARD_ITEMS", (100, 100))
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    soundfile.write(source / "0.wav", np.random.default_rng(1).standard_normal(4000) / 10, 16000)
    for i in range(1, 6000):
        os.link(source / "0.wav", source / f"{i}.wav")
    _plan(source, out, format)
    sizes = _resident(SHARDS, out)
    assert len(sizes) == 60
    growth = np.polyfit(np.arange(30), sizes[30:], 1)[0] * 30
    assert growth < 2.0, "MiB, in 3000 items"


#: makes one shard
PEAK = """
import json, sys, fastmel
from fastmel.corpus import load_plan, run_shard
from fastmel.corpus.work import warm

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 2**10 for line in file if line.startswith("VmHWM"))

fastmel.set_num_threads(1)
warm(load_plan(sys.argv[1]).transform)
before = peak()
assert run_shard(sys.argv[1], 0)["written"] == 1
print(json.dumps([before, peak()]))
"""


@needs_linux
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("format", ["npy", "wds", "kaldi"])
def test_memory_does_not_grow_with_the_length(tmp_path, format, dtype):
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 16000, 1) as file:
        minute = np.random.default_rng(1).standard_normal(60 * 16000) / 10
        for _ in range(60):
            file.write(minute)
    _plan(tmp_path / "hour.wav", tmp_path / "out", format, dtype=dtype)
    before, after = _resident(PEAK, tmp_path / "out")
    assert after - before < 50, "MiB, of 110 of samples and 55 or 110 of features"
