"""One shard: read, transform, write; all of it is there at the end, or nothing.

A shard exists if its side file does, which is written last. Whoever makes a shard a second time,
on another machine or after any kind of death, makes the same bytes.
"""

import contextlib
import errno
import json
import math
import socket
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus import durable, long, reading
from fastmel.corpus.attempts import Attempt, Strike, attempt_path, is_out, strikes
from fastmel.corpus.plan import Plan, load_plan
from fastmel.corpus.sinks import ShardWriter, shard_name, sink
from fastmel.corpus.sources import Item, is_url
from fastmel.exceptions import ParameterError
from fastmel.frontends.transform import MelSpectrogram

__all__ = ["TooManyFailures", "discard", "put_back", "report_of", "run_shard", "warm"]

#: of so many frames one is taken for the mean features, of which there will be a picture
_STEP = 16


class TooManyFailures(Exception):
    """More inputs failed than were to be put up with."""


def run_shard(
    folder: str | Path,
    index: int,
    *,
    attempt: Path | None = None,
    max_failures: float = math.inf,
) -> dict[str, Any]:
    """Make a shard, unless it is there.

    Parameters
    ----------
    folder : path
        The output folder, with its plan.
    index : int
        Which shard.
    attempt : Path, optional
        What to call the journal of this attempt, for who watches it.
    max_failures : float
        Failed items above which the shard is not worth making.

    Returns
    -------
    dict
        A small report: "shard", "written", "failures" (number by class), "seconds" (of audio),
        "frames", "bytes", "source_bytes"; and "kept", if the shard was there before and stays as it
        was, with the reason.

    Raises
    ------
    TooManyFailures
        If more than `max_failures` items failed.
    OSError
        If the output cannot be written, this machine sees none of the shard's files, or has other
        versions installed than it was planned with; nothing of this attempt is left then.
    """
    plan = load_plan(folder)
    kept = None
    if not plan.side_file(index).exists():
        plan.check_versions()
        journal = Attempt(attempt or attempt_path(plan.path, index))
        try:
            kept = _make(plan, index, journal, max_failures)
        except MemoryError:
            text = "there is not enough memory for a shard; take fewer workers, or give them more"
            raise OSError(errno.ENOMEM, text) from None
        finally:  # reached by whatever is an exception: only a sudden death leaves the journal
            journal.end()
    report = report_of(plan.side(index))
    return report if kept is None else {**report, "kept": kept}


def put_back(plan: Plan, index: int) -> None:
    """Make a shard count again that was to be made again, and was not."""
    with contextlib.suppress(FileNotFoundError):
        durable.replace(plan.set_aside_file(index), plan.side_file(index))


def discard(plan: Plan, index: int) -> None:
    """Remove a shard: first what makes it one, then its files."""
    try:
        files = [plan.path / file["file"] for file in plan.side(index)["files"]]
    except (OSError, LookupError, TypeError):  # it is damaged
        files = [*plan.path.glob(shard_name(index, ".*"))]
    plan.side_file(index).unlink()
    durable.sync_folder(plan.side_file(index).parent)
    for path in files:
        path.unlink(missing_ok=True)


def report_of(side: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a side file."""
    failures: dict[str, int] = {}
    for failure in side["failures"]:
        failures[failure["class"]] = failures.get(failure["class"], 0) + 1
    return {
        "shard": side["shard"],
        "written": len(side["items"]),
        "failures": failures,
        "seconds": math.fsum(item["samples"] / item["sr"] for item in side["items"]),
        "frames": sum(item["frames"] for item in side["items"]),
        "bytes": sum(file["bytes"] for file in side["files"]),
        "source_bytes": sum(item["size"] or 0 for item in side["items"]),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Computed:
    """An item's features, and what is to be known of its samples."""

    item: Item
    features: NDArray[np.floating]
    n_samples: int
    level: float
    native_sr: float
    decoder: str


class _TooLarge(Exception):
    """There was not enough memory to write an item, which cannot be taken back in parts."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def _make(plan: Plan, index: int, journal: Attempt, max_failures: float) -> str | None:
    """Make a shard; return why it is kept as it was, if it is."""
    suspects = strikes(plan.path, index)
    warm(plan.transform)
    durable.failpoint("shard-begun")
    planned = plan.items(index)
    hopeless = {}
    for position, struck in suspects.items():
        item = planned[position]
        if is_out(struck):
            hopeless[position] = _failure(item, _struck_out(struck), len(struck))
            continue
        with contextlib.suppress(reading.Failure):
            _try(plan, item, position, journal)
        _forgive(struck)
    while True:
        try:
            kept = _write(plan, index, planned, hopeless, journal, max_failures)
            break
        except _TooLarge as error:  # begin anew without it
            position = error.position
        failure = reading.Failure("oom", "write", "there is not enough memory to write it")
        hopeless[position] = _failure(planned[position], failure, 1)
    for struck in suspects.values():  # the shard tells what they were for
        _forgive(struck)
    return kept


def _write(
    plan: Plan,
    index: int,
    planned: list[Item],
    hopeless: dict[int, dict[str, Any]],
    journal: Attempt,
    max_failures: float,
) -> str | None:
    writer = sink(plan.format).open_shard(plan.path, index, plan)
    try:
        side = _fill(writer, plan, index, planned, hopeless, journal, max_failures)
        if len(side["failures"]) == len(planned):
            _check_mounted(index, planned, side["failures"])
        kept = _reason_to_keep(plan, index, side["failures"])
        if kept is not None:
            writer.abort()
            put_back(plan, index)
            return kept
        if side["items"]:
            files = writer.close()
        else:  # readers stumble over files without items
            files = []
            writer.abort()
        durable.failpoint("files-written")
        if load_plan(plan.path).digest != plan.digest:  # a task outlived its run, on a cluster
            raise OSError(f"{plan.path} was planned anew")
        if plan.side_file(index).exists():  # others have made it, or it was put back
            writer.abort()
            return None
        _make_way(plan, index, files)
        durable.commit(plan.path, files)
    except BaseException:
        writer.abort()
        raise
    for file in files:
        del file["temporary"]
    durable.failpoint("files-named")
    text = json.dumps({**side, "files": files}, separators=(",", ":")) + "\n"
    durable.write_file(plan.path, shard_name(index, ".json"), text.encode())
    durable.failpoint("shard-made")
    return None


def _fill(
    writer: ShardWriter,
    plan: Plan,
    index: int,
    planned: list[Item],
    hopeless: dict[int, dict[str, Any]],
    journal: Attempt,
    max_failures: float,
) -> dict[str, Any]:
    """Compute and write all items but the hopeless; return the side file without the files."""
    items, failures = [], []
    feature_sum, n_summed = np.zeros(plan.n_features), 0
    is_frames_first = plan.layout == "frames_first"
    for position, item in enumerate(planned):
        record = hopeless.get(position)
        if record is None:
            try:
                computed = _try(plan, item, position, journal)
            except reading.Failure as failure:
                record = _failure(item, failure, 1)
        if record is not None:
            failures.append(record)
            if len(failures) > max_failures:
                raise TooManyFailures(
                    f"{len(failures)} inputs of shard {index} failed, more than {max_failures:g}, "
                    f"the last of them {item.id} ({record['class']}: {record['message']})"
                )
            continue
        meta = _meta(plan, computed)
        try:
            place = writer.add(item, computed.features, meta)
        except MemoryError:
            raise _TooLarge(position) from None
        items.append({**meta, **place, "level": computed.level})
        features = computed.features if is_frames_first else computed.features.T
        for frames in durable.blocks(features):
            some = frames[::_STEP]
            feature_sum += some.sum(axis=0, dtype=np.float64)
            n_summed += len(some)
        durable.failpoint("item-written")
    return {
        "plan": plan.digest,
        "shard": index,
        "files": [],
        "items": items,
        "failures": failures,
        "mean_features": (feature_sum / max(n_summed, 1)).tolist(),
    }


def _reason_to_keep(plan: Plan, index: int, failures: list[dict[str, Any]]) -> str | None:
    """Tell what a shard that was set aside holds, and would not hold any more."""
    try:
        before = {item["id"] for item in plan.side(index, is_set_aside=True)["items"]}
    except FileNotFoundError:
        return None
    lost = [failure for failure in failures if failure["id"] in before]
    if not lost:
        return None
    return (
        f"shard {index} is kept as it was: {len(lost)} of its {len(before)} items cannot be made "
        f"again, such as {lost[0]['id']} ({lost[0]['class']})"
    )


def _make_way(plan: Plan, index: int, files: list[dict[str, Any]]) -> None:
    """Remove what tells of a shard's earlier files, and those that no file comes in place of."""
    if plan.set_aside_file(index).exists():
        plan.set_aside_file(index).unlink()
        durable.sync_folder(plan.set_aside_file(index).parent)
    names = {shard_name(index, suffix) for suffix in sink(plan.format).SUFFIXES}
    for name in names - {file["file"] for file in files}:
        (plan.path / name).unlink(missing_ok=True)


@lru_cache(maxsize=8)
def warm(transform: MelSpectrogram) -> None:
    """Compile, or load, what a front end needs: no item should be blamed for the time it takes."""
    transform(np.zeros(2 * round(transform.config.sr), np.float32))


def _try(plan: Plan, item: Item, position: int, journal: Attempt) -> _Computed:
    """Compute an item under the eyes of the journal."""
    journal.begin(position)
    try:
        durable.failpoint("reading")
        return _compute(plan, item)
    finally:
        journal.rest()


def _forgive(struck: list[Strike]) -> None:
    for strike in struck:
        strike.path.unlink(missing_ok=True)


def _compute(plan: Plan, item: Item) -> _Computed:
    opener = partial(
        reading.opened,
        item,
        partial=plan.settings["partial"],
        longest=plan.settings["max_duration"],
    )
    is_long = (item.size or 0) >= long.LONG and item.duration is None
    try:
        with opener() as recording:
            try:
                if is_long and long.can_stream(plan.transform):
                    features, n_samples, level = long.features(plan.transform, opener, plan.path)
                else:
                    y = recording.read(plan.config.sr)
                    features, n_samples, level = plan.transform(y), len(y), recording.level
            except ParameterError as error:  # the samples are finite, so there are too few
                raise reading.Failure("empty", "transform", str(error), recording.decoder) from None
            if not features.size:
                text = f"{n_samples} samples make no frame"
                raise reading.Failure("empty", "transform", text, recording.decoder)
            if features.nbytes > sink(plan.format).LARGEST:
                text = (
                    f"{features.nbytes / 1e6:,.0f} MB of features are too much for an item of "
                    f"{plan.format}; give segments of it, or choose another format"
                )
                raise reading.Failure("too_long", "write", text, recording.decoder)
            return _Computed(
                recording.item, features, n_samples, level, recording.native_sr, recording.decoder
            )
    except MemoryError:
        text = "there is not enough memory for its features"
        raise reading.Failure("oom", "transform", text) from None


def _meta(plan: Plan, computed: _Computed) -> dict[str, Any]:
    """What is written with an item: nothing that could differ between two runs."""
    item = computed.item
    return {
        **item.extra,
        "id": item.id,
        "source": item.source,
        "sr": plan.config.sr,
        "native_sr": computed.native_sr,
        "samples": computed.n_samples,
        "frames": computed.features.shape[_time_axis(plan)],
        "features": plan.n_features,
        "dtype": plan.dtype,
        "layout": plan.layout,
        "offset": item.offset,
        "duration": item.duration,
        "size": item.size,
        "mtime_ns": item.mtime_ns,
        "decoder": computed.decoder,
    }


def _failure(item: Item, failure: reading.Failure, attempts: int) -> dict[str, Any]:
    return {
        "id": item.id,
        "path": item.source,
        "class": failure.class_,
        "stage": failure.stage,
        "message": failure.message,
        "decoder": failure.decoder,
        "attempts": attempts,
        "size": item.size,
        "mtime_ns": item.mtime_ns,
    }


def _written_before(plan: Plan, index: int) -> set[str]:
    """Return the ids of what a shard holds that is made again."""
    try:
        return {item["id"] for item in plan.side(index, is_set_aside=True)["items"]}
    except FileNotFoundError:
        return set()


def _check_mounted(index: int, planned: list[Item], failures: list[dict[str, Any]]) -> None:
    """Refuse to call files lost that were all there when they were planned."""
    were_there = all(item.size is not None and not is_url(item.source) for item in planned)
    if were_there and all(failure["class"] == "not_found" for failure in failures):
        raise OSError(
            f"{socket.gethostname()} sees none of the {len(planned)} files of shard {index}, such "
            f"as {planned[0].source}, which were there when they were planned; is their file "
            "system mounted? if they are gone for good, plan anew with overwrite"
        )


def _struck_out(struck: list[Strike]) -> reading.Failure:
    """Return the failure of an item that every process died of."""
    reasons = [strike.reason.partition(" ") for strike in struck if strike.reason]
    class_, _, what = reasons[-1] if reasons else ("crash", "", "died")
    text = f"the process that read it {what}, {len(struck)} times"
    return reading.Failure(class_, "decode", text, None)


def _time_axis(plan: Plan) -> int:
    return 0 if plan.layout == "frames_first" else 1
