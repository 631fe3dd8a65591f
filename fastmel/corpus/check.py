"""What an output folder holds: how far it is, whether it is whole, what to try again."""

import hashlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from fastmel.corpus import durable
from fastmel.corpus.plan import Plan, load_plan
from fastmel.corpus.run import summary_of
from fastmel.corpus.work import discard, report_of

__all__ = ["damage", "reopen", "status"]

_RUN_FILES = ("SUMMARY.json", "manifest.jsonl", "failures.jsonl")


def status(folder: Path) -> dict[str, Any]:
    """Return how far a run is, from the disk alone."""
    plan = load_plan(folder)
    done = plan.complete()
    reports = [report_of(plan.side(index)) for index in done]
    failures: Counter[str] = Counter()
    for report in reports:
        failures.update(report["failures"])
    written, failed = sum(report["written"] for report in reports), failures.total()
    return {
        "planned": plan.n_items,
        "written": written,
        "failed": failed,
        "left": plan.n_items - written - failed,
        "failures": dict(sorted(failures.items())),
        "shards": len(plan.shards),
        "shards_made": len(done),
        "seconds": sum(report["seconds"] for report in reports),
        "bytes": sum(report["bytes"] for report in reports),
        "is_finished": summary_of(folder) is not None,
    }


def damage(folder: Path, *, deep: bool = False) -> dict[int | str, list[str]]:
    """Return what is wrong with the files of a run.

    Parameters
    ----------
    folder : Path
        The output folder.
    deep : bool
        Read the files and compare their check sums, and not their sizes only.

    Returns
    -------
    dict
        The shards, and files of the run, that are damaged: what is wrong with each.
    """
    plan = load_plan(folder)
    found: dict[int | str, list[str]] = {}
    if _sha256(folder / "items.jsonl") != plan.items_sha256:
        found["items.jsonl"] = ["it is not the file that was planned"]
    for index in plan.complete():
        wrong = list(_damage_of_shard(plan, index, deep))
        if wrong:
            found[index] = wrong
    if summary_of(folder) is not None:
        missing = plan.incomplete()
        if missing:
            found["SUMMARY.json"] = [f"the run was finished, and {len(missing)} shards are gone"]
        for name in _RUN_FILES:
            if not (folder / name).exists():
                found[name] = ["it is gone"]
    return found


def reopen(plan: Plan, shards: Collection[int]) -> None:
    """Make shards count as not made, so that the next run makes them again.

    What tells of the run as a whole goes first: at no moment is there a claim that does not hold.
    """
    if shards:
        for name in _RUN_FILES:
            (plan.path / name).unlink(missing_ok=True)
        durable.sync_folder(plan.path)
    for index in shards:
        discard(plan, index)


def _damage_of_shard(plan: Plan, index: int, deep: bool) -> list[str]:
    try:
        side = plan.side(index)
        n_items = len(side["items"]) + len(side["failures"])
        if side["plan"] != plan.digest or n_items != plan.shards[index][1]:
            return ["its side file does not belong to the plan"]
    except (ValueError, KeyError, TypeError):
        return ["its side file cannot be read"]
    wrong = []
    for file in side["files"]:
        path = plan.path / file["file"]
        if not path.is_file():
            wrong.append(f"{file['file']} is gone")
        elif path.stat().st_size != file["bytes"]:
            wrong.append(f"{file['file']} has {path.stat().st_size} bytes, not {file['bytes']}")
        elif deep and _sha256(path) != file["sha256"]:
            wrong.append(f"{file['file']} has other bytes than were written")
    return wrong


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
