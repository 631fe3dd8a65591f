"""A whole run: plan or go on with the plan, make what is missing, account for every input."""

import contextlib
import json
import math
import os
import shutil
import socket
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fastmel.corpus import durable, executors, slots, sources
from fastmel.corpus.plan import Plan, again, differences, freeze, load_plan, plan_of, read_json
from fastmel.corpus.sinks import FORMATS, sink
from fastmel.corpus.work import TooManyFailures, report_of, run_shard, warm
from fastmel.engines.pool import get_num_threads
from fastmel.exceptions import ParameterError
from fastmel.limits import usable_memory

if TYPE_CHECKING:
    from fastmel.corpus.cluster import Cluster

__all__ = [
    "EVENTS", "LISTS", "Busy", "PlanDiffers", "Summary", "TooManyFailures", "account",
    "check_settings", "clear", "finalize", "locked", "plan_for", "run", "summary_of",
]  # fmt: skip

_SUMMARY, _LOCK = "SUMMARY.json", ".lock"

#: what lists the items of all shards
LISTS = ("manifest.jsonl", "failures.jsonl")

#: the reports of shards as they were made, with the time: the only file that tells when
EVENTS = ".events.jsonl"

#: what there may be in a folder without a plan: traces of planning that was cut off
_TRACES = {_LOCK, durable.PARTIAL, "items.jsonl"}

#: seconds in which this machine sees what others have written, and between looks
_PATIENCE, _TICK = 120.0, 0.5

#: bytes that a process needs to start
_LEAST_MEMORY = 256 << 20

#: called with the report of each shard that was made, and with None now and then
Listener = Callable[[dict[str, Any] | None], None]


class Busy(OSError):
    """Another run is writing to the output folder."""


class PlanDiffers(ParameterError):
    """The output folder was planned with other options or inputs."""


@dataclass(frozen=True)
class Summary:
    """What a finished run wrote.

    Attributes
    ----------
    plan : str
        Digest of the plan.
    planned, written, failed : int
        Items; ``written + failed == planned``.
    failures : dict
        Number of failed items by class.
    seconds : float
        Of audio.
    frames, bytes, shards : int
        Of the output.
    """

    plan: str
    planned: int
    written: int
    failed: int
    failures: dict[str, int]
    seconds: float
    frames: int
    bytes: int
    shards: int


# planning


def check_settings(
    frontend: str,
    format: str,
    options: dict[str, Any],
    *,
    max_duration: float = 4 * 3600.0,
    partial: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """Return what the output depends on, besides the inputs.

    Raises
    ------
    ParameterError
        If there is no such front end, format or option, or it cannot be made.
    """
    from fastmel.engines.plan import mel_plan
    from fastmel.frontends import preset

    if format not in FORMATS:
        raise ParameterError(f"format={format!r} is not one of {', '.join(FORMATS)}")
    try:
        sink(format)
    except ModuleNotFoundError as error:
        raise ParameterError(str(error)) from None
    for name, value in (("max_duration", max_duration), ("limit", limit)):
        if value is not None and not value > 0:
            raise ParameterError(f"{name}={value!r} is not a positive number")
    options = {"layout": "frames_first", "dtype": "float32", **options}
    config = preset(frontend, **options)
    if config.dtype is None:
        raise ParameterError("dtype=None is no type of the output; give float32 or float16")
    try:
        mel_plan(config)
    except (TypeError, ValueError, MemoryError) as error:
        raise ParameterError(f"{frontend} cannot be made with these options: {error}") from error
    return {
        "frontend": frontend,
        "config": config.to_dict(),
        "format": format,
        "max_duration": float(max_duration),
        "partial": partial,
        "limit": limit,
    }


def plan_for(
    folder: Path,
    settings: dict[str, Any],
    inputs: Sequence[str],
    *,
    stdin: TextIO | None = None,
    overwrite: bool = False,
) -> Plan:
    """Return the folder's plan, made now if it has none.

    Parameters
    ----------
    folder : Path
        The output folder.
    settings : dict
        What :func:`check_settings` returned.
    inputs : sequence of str
        See :func:`fastmel.corpus.sources.find`.
    stdin : text file, optional
        Standard input.
    overwrite : bool
        Remove what was made by an earlier plan, once the new one is known.

    Raises
    ------
    PlanDiffers
        If the folder has a plan for something else.
    ParameterError
        If the folder holds other things, or the inputs cannot be.
    """
    items = sources.find(inputs, stdin=stdin)[: settings["limit"]]
    asked, content = plan_of(folder, settings, items)
    is_planned = (folder / "plan.json").exists()
    strange = sorted({path.name for path in folder.iterdir()} - _TRACES)
    if strange and not is_planned:
        raise ParameterError(
            f"{folder} is not empty and holds no plan (there is {strange[0]!r}); choose a new "
            "folder"
        )
    if overwrite:
        clear(folder)
    if overwrite or not is_planned:
        durable.failpoint("planned")
        freeze(asked, content)
    planned = load_plan(folder)
    if planned.digest != asked.digest:
        changes = "\n  ".join(differences(planned, asked, items))
        raise PlanDiffers(
            f"{folder} was planned with other options or inputs; give those, choose another "
            f"folder, or replace what is there with overwrite:\n  {changes}"
        )
    return planned


def clear(folder: Path) -> None:
    """Remove a run's output, its plan last: until then what is left can be completed."""
    if not (folder / "plan.json").exists():
        return
    for name in (_SUMMARY, *LISTS, EVENTS, "report.html"):
        (folder / name).unlink(missing_ok=True)
    for name in ("shards", "features", ".attempts", durable.PARTIAL):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "items.jsonl").unlink(missing_ok=True)
    (folder / "plan.json").unlink()
    durable.sync_folder(folder)


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False, patient: bool = False) -> Iterator[None]:
    """Have the output folder for oneself, or shared with others who each make other shards.

    Parameters
    ----------
    folder : Path
        The output folder, which is made.
    shared : bool
        Whether others may have it too.
    patient : bool
        Wait for who has it.

    Raises
    ------
    Busy
        If another run has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: two runs waste work, and damage nothing
        yield
        return
    with open(folder / _LOCK, "a+") as file:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(file, kind if patient else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Busy(f"{folder} is in use by {file.read().strip() or 'another run'}") from None
        except OSError:
            pass  # a network file system without locks
        if not shared:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            durable.clear_partial(folder)
        try:
            yield
        finally:
            if not shared:  # what processes left that died
                durable.clear_partial(folder)
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # forks of this process have the file open, too


# making what is missing


def run(
    plan: Plan,
    shards: Sequence[int],
    *,
    executor: Executor | None = None,
    cluster: "Cluster | None" = None,
    workers: int | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    max_failures: float | None = None,
    listener: Listener = lambda report: None,
) -> None:
    """Make shards.

    Parameters
    ----------
    plan : Plan
        A plan on the disk.
    shards : sequence of int
        Which.
    executor : concurrent.futures.Executor, optional
        What runs them; processes of this machine by default.
    cluster : Cluster, optional
        A Dask cluster, in place of that.
    workers : int, optional
        Processes, by default one for each CPU that this process may use; or half the shards that
        an executor is given at a time; not with `cluster`.
    timeout : float, optional
        Seconds that an item may take; not with `executor`.
    memory : int, optional
        Bytes that a process may have, by default its share of what there is; of this machine only.
    max_failures : float, optional
        Failed items, or below 1 their share of all, above which the run ends.
    listener : callable
        Is told of progress.

    Raises
    ------
    TooManyFailures
        If too many items failed.
    OSError
        If the output cannot be written.
    """
    failed, most = 0, math.inf
    if max_failures is not None:
        most = max_failures * (plan.n_items if 0 < max_failures < 1 else 1)
        for index in plan.complete():
            failed += sum(report_of(plan.side(index))["failures"].values())
        _check_failures(failed, most)
    if not shards:
        return
    total = usable_memory()
    if workers is None:
        most_workers = math.inf if total is None else max(1, total // _LEAST_MEMORY)
        workers = int(min(get_num_threads(), most_workers))
    if cluster is not None:
        reports = cluster.make_shards(plan, shards, timeout=timeout, max_failures=most)
    elif executor is None:
        workers = min(workers, len(shards))
        if memory is None and total is not None:
            memory = total // workers
        if memory is not None and memory < _LEAST_MEMORY:
            raise ParameterError(
                f"a process cannot work with {memory >> 20} MiB of memory: give it "
                f"{_LEAST_MEMORY >> 20} MiB or more, or take fewer workers"
            )
        slots.prepare(plan.config)
        warm(plan.transform)  # compiles what is not in the cache, once for all processes
        reports = slots.make_shards(
            plan, shards, workers=workers, timeout=timeout, memory=memory, max_failures=most
        )
    else:
        make = partial(run_shard, plan.path.absolute(), max_failures=most)
        reports = executors.make_shards(
            shards, lambda shard: executor.submit(make, shard), lambda: 2 * workers
        )
    with contextlib.closing(reports), open(plan.path / EVENTS, "a") as events:
        for report in reports:
            if report is not None:
                events.write(json.dumps({"time": round(time.time(), 3), **report}) + "\n")
                events.flush()
                failed += sum(report["failures"].values())
                if "kept" in report:
                    warnings.warn(report["kept"], stacklevel=2)
            listener(report)
            _check_failures(failed, most)
    _await(plan, shards)


def _await(plan: Plan, shards: Collection[int]) -> None:
    """Wait until what other machines have made is seen here: network file systems take a while."""
    deadline = time.monotonic() + _PATIENCE
    while missing := {*shards} & {*plan.incomplete()}:
        if time.monotonic() > deadline:
            raise OSError(
                f"{len(missing)} shards were made, such as {min(missing)}, and are not seen here"
            )
        time.sleep(_TICK)


def _check_failures(failed: int, most: float) -> None:
    if failed > most:
        raise TooManyFailures(f"{failed} inputs failed, more than {most:g}")


# accounting


def finalize(folder: str | Path) -> Summary:
    """Write ``manifest.jsonl``, ``failures.jsonl`` and ``SUMMARY.json`` of a complete run.

    Raises
    ------
    ParameterError
        If the folder holds no plan, or shards are missing.
    RuntimeError
        If an item is neither written nor failed.
    """
    plan = load_plan(folder)
    missing = plan.incomplete()
    if missing:
        raise ParameterError(
            f"{len(missing)} of {len(plan.shards)} shards are not made yet, such as {missing[0]}"
        )
    found = summary_of(plan.path)
    is_listed = all((plan.path / name).exists() for name in LISTS)
    if found is not None and found.plan == plan.digest and is_listed:
        return found
    outputs: dict[str, durable.Output] = {}
    try:
        for name in LISTS:
            outputs[name] = durable.Output(plan.path, name)
        summary = account(plan, lambda name, line: outputs[name].write(line))
        durable.commit(plan.path, [output.close() for output in outputs.values()])
    except BaseException:
        for output in outputs.values():
            output.abort()
        raise
    durable.failpoint("manifests-written")
    text = json.dumps(asdict(summary), indent=1) + "\n"
    shutil.rmtree(plan.path / ".attempts", ignore_errors=True)
    durable.write_file(plan.path, _SUMMARY, text.encode())
    return summary


def account(plan: Plan, put: Callable[[str, bytes], object]) -> Summary:
    """Return the summary of what all shards say; `put` gets each line of the lists, by name.

    Raises
    ------
    RuntimeError
        If an item is neither written nor failed.
    """
    total: dict[str, Any] = dict.fromkeys(("written", "seconds", "frames", "bytes"), 0)
    failures: dict[str, int] = {}
    for index in range(len(plan.shards)):
        side = plan.side(index)
        if side["plan"] != plan.digest:
            raise RuntimeError(f"{plan.side_file(index)} belongs to another plan")
        for name, records in zip(LISTS, (side["items"], side["failures"]), strict=True):
            for record in records:
                line = json.dumps({**record, "shard": index}, separators=(",", ":")) + "\n"
                put(name, line.encode())
        report = report_of(side)
        for name in total:
            total[name] += report[name]
        for class_, n in report["failures"].items():
            failures[class_] = failures.get(class_, 0) + n
    failed = sum(failures.values())
    if total["written"] + failed != plan.n_items:
        raise RuntimeError(
            f"{total['written']} items are written and {failed} failed, of {plan.n_items}"
        )
    return Summary(
        plan=plan.digest,
        planned=plan.n_items,
        failed=failed,
        failures=dict(sorted(failures.items())),
        shards=len(plan.shards),
        **total,
    )


def summary_of(folder: Path) -> Summary | None:
    """Return the summary of a finished run."""
    names = [field.name for field in fields(Summary)]
    try:
        return Summary(**read_json(folder / _SUMMARY, names, again(folder)))
    except FileNotFoundError:
        return None
