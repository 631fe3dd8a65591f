"""What this process may use of its machine: by affinity, and by its control groups (Linux)."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["usable_cpus", "usable_memory"]

#: where Linux tells the control groups of a process, and where they lie
_MEMBERSHIP, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@cache
def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return min([count, *_cpu_quotas()])


def usable_memory() -> int | None:
    """Return the bytes that this process and its children may use, None if nothing tells."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    return min([total, *_memory_limits()])


def _cpu_quotas(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> Iterator[int]:
    """Yield the CPU quotas of the control groups, rounded up."""
    for group in _groups("cpu", membership, mount):
        numbers = _numbers(group / "cpu.max") or (
            _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        )
        if len(numbers) == 2 and min(numbers) > 0:
            quota, period = numbers
            yield -(-quota // period)


def _memory_limits(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> Iterator[int]:
    """Yield the bytes that the control groups may have."""
    for group in _groups("memory", membership, mount):
        yield from _numbers(group / "memory.max") or _numbers(group / "memory.limit_in_bytes")


def _groups(controller: str, membership: Path, mount: Path) -> Iterator[Path]:
    """Yield the folders of the control groups (versions 1 and 2) that a process is in."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = mount
        elif controller in controllers.split(","):
            root = mount / controllers
        else:
            continue
        # A container may see the host's path here and only its own group, mounted at the root.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            yield folder


def _numbers(file: Path) -> tuple[int, ...]:
    """Return the numbers in a file, () if there is none, or a limit of "max"."""
    try:
        return tuple(map(int, file.read_text().split()))
    except (OSError, ValueError):
        return ()
