"""What an output folder holds: how far it is, whether it is whole, what to try again."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from fastmel.corpus import durable
from fastmel.corpus.plan import Plan, load_plan
from fastmel.corpus.run import LISTS, Summary, account, summary_of
from fastmel.corpus.work import discard, put_back, report_of

__all__ = ["damage", "reopen", "status", "tried_again", "unworked"]

_RUN_FILES = ("SUMMARY.json", *LISTS)


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
    try:
        plan = load_plan(folder)
    except OSError:
        return {"plan.json": ["it cannot be read"]}
    found: dict[int | str, list[str]] = {}
    items = folder / "items.jsonl"
    if not items.is_file() or _sha256(items) != plan.items_sha256:
        found["items.jsonl"] = ["it is not the file that was planned"]
    for index in plan.complete():
        wrong = list(_damage_of_shard(plan, index, deep))
        if wrong:
            found[index] = wrong
    missing = plan.incomplete()
    are_shards_whole = not missing and not any(isinstance(where, int) for where in found)
    try:
        summary = summary_of(folder)
    except OSError:
        found["SUMMARY.json"] = ["it cannot be read"]
    else:
        if summary is not None and missing:
            found["SUMMARY.json"] = [f"the run was finished, and {len(missing)} shards are gone"]
        if summary is not None and are_shards_whole:
            found.update(_damage_of_run(plan, summary, deep))
    return found


def unworked(plan: Plan) -> int:
    """Return how many items are in shards that are not made."""
    return sum(plan.shards[index][1] for index in plan.incomplete())


def reopen(plan: Plan, shards: Collection[int]) -> None:
    """Make shards count as not made, and the run as not finished, for the next run to do both.

    What tells of the run as a whole goes first: at no moment is there a claim that does not hold.
    """
    for name in _RUN_FILES:
        (plan.path / name).unlink(missing_ok=True)
    durable.sync_folder(plan.path)
    for index in shards:
        discard(plan, index)


@contextlib.contextmanager
def tried_again(plan: Plan, classes: Collection[str] | None = None) -> Iterator[None]:
    """Let a run make shards again in which inputs failed; what it does not make is as it was.

    Parameters
    ----------
    plan : Plan
        A plan on the disk.
    classes : collection of str, optional
        The classes of failures that are meant, by default all.
    """
    _put_back(plan)  # what a kill left
    again = {
        index
        for index in plan.complete()
        for failure in plan.side(index)["failures"]
        if classes is None or failure["class"] in classes
    }
    if again:
        reopen(plan, ())
    try:
        for index in again:
            durable.replace(plan.side_file(index), plan.set_aside_file(index))
        yield
    finally:
        _put_back(plan)


def _put_back(plan: Plan) -> None:
    for index in plan.incomplete():
        put_back(plan, index)


def _damage_of_shard(plan: Plan, index: int, deep: bool) -> list[str]:
    try:
        side = plan.side(index)
        n_items = len(side["items"]) + len(side["failures"])
        if side["plan"] != plan.digest or n_items != plan.shards[index][1]:
            return ["its side file does not belong to the plan"]
        report_of(side)  # which looks at all that others read
        files = [(file["file"], file["bytes"], file["sha256"]) for file in side["files"]]
    except (OSError, LookupError, TypeError):
        return ["its side file cannot be read"]
    return [text for file in files for text in _damage_of_file(plan.path, *file, deep)]


def _damage_of_run(plan: Plan, summary: Summary, deep: bool) -> Iterator[tuple[str, list[str]]]:
    """Compare what tells of the run as a whole with what the shards say."""
    sizes, hashes = dict.fromkeys(LISTS, 0), {name: hashlib.sha256() for name in LISTS}

    def put(name: str, line: bytes) -> None:
        sizes[name] += len(line)
        hashes[name].update(line)

    if account(plan, put) != summary:
        yield "SUMMARY.json", ["it does not say what the shards say"]
    for name in LISTS:
        wrong = list(_damage_of_file(plan.path, name, sizes[name], hashes[name].hexdigest(), deep))
        if wrong:
            yield name, wrong


def _damage_of_file(
    folder: Path, name: str, n_bytes: int, sha256: str, deep: bool
) -> Iterator[str]:
    path = folder / name
    if not path.is_file():
        yield f"{name} is gone"
    elif path.stat().st_size != n_bytes:
        yield f"{name} has {path.stat().st_size} bytes, not {n_bytes}"
    elif deep and _sha256(path) != sha256:
        yield f"{name} has other bytes than were written"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
