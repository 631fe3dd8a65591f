import os

import pytest

from fastmel import limits


def _groups(folder, membership, files):
    """Write what tells the control groups of a process; return where it lies."""
    for name, text in files.items():
        path = folder / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    if membership is not None:
        (folder / "membership").write_text(membership + "\n")
    return folder / "membership", folder / "mount"


@pytest.mark.parametrize(
    ("membership", "files", "quotas"),
    [
        ("0::/", {}, []),
        ("0::/", {"cpu.max": "max 100000"}, []),
        ("0::/", {"cpu.max": "150000 100000"}, [2]),
        ("0::/a/b", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "50000 10000"}, [1, 5]),
        ("0::/not/mounted/here", {"cpu.max": "300000 100000"}, [3]),
        (
            "4:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000", "cpu,cpuacct/a/cpu.cfs_period_us": "1000"},
            [250],
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("4:cpuset:/", {"cpuset/cpu.cfs_quota_us": "1", "cpuset/cpu.cfs_period_us": "1"}, []),
        (None, {"cpu.max": "100000 100000"}, []),
    ],
)
def test_cpu_quotas(membership, files, quotas, tmp_path):
    assert sorted(limits._cpu_quotas(*_groups(tmp_path, membership, files))) == quotas


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {"memory.max": "max"}, []),
        ("0::/job/step", {"job/memory.max": "5000", "job/step/memory.max": "4000"}, [4000, 5000]),
        ("3:memory:/job\n0::/", {"memory/job/memory.limit_in_bytes": "6000"}, [6000]),
        (None, {"memory.max": "1"}, []),
    ],
)
def test_memory_limits(membership, files, expected, tmp_path):
    assert sorted(limits._memory_limits(*_groups(tmp_path, membership, files))) == expected


def test_the_least_of_them_counts(monkeypatch):
    monkeypatch.setattr(limits, "_cpu_quotas", lambda: iter([1, 5]))
    assert limits.usable_cpus.__wrapped__() == 1
    monkeypatch.setattr(limits, "_memory_limits", lambda: iter([1 << 20, 1 << 60]))
    assert limits.usable_memory() == 1 << 20


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity mask here")
def test_memory_of_this_machine():
    assert limits.usable_memory() > 1 << 20
