"""One shard: read, transform, write; all of it is there at the end, or nothing.

A shard exists if its side file does, which is written last. Whoever makes a shard a second time,
on another machine or after any kind of death, makes the same bytes.
"""

import contextlib
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
from fastmel.corpus.sinks import shard_name, sink
from fastmel.corpus.sources import Item, is_url
from fastmel.exceptions import ParameterError
from fastmel.frontends.transform import MelSpectrogram

__all__ = ["TooManyFailures", "discard", "report_of", "run_shard", "warm"]

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
        "frames", "bytes", "source_bytes".

    Raises
    ------
    TooManyFailures
        If more than `max_failures` items failed.
    OSError
        If the output cannot be written, this machine sees none of the shard's files, or has other
        versions installed than it was planned with; nothing of this attempt is left then.
    """
    plan = load_plan(folder)
    if not plan.side_file(index).exists():
        plan.check_versions()
        journal = Attempt(attempt or attempt_path(plan.path, index))
        try:
            _make(plan, index, journal, max_failures)
        finally:  # reached by whatever is an exception: only a sudden death leaves the journal
            journal.end()
    return report_of(plan.side(index))


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

    features: NDArray[np.floating]
    n_samples: int
    level: float
    native_sr: float
    decoder: str


def _make(plan: Plan, index: int, journal: Attempt, max_failures: float) -> None:
    items, failures = [], []
    feature_sum, n_summed = np.zeros(plan.n_features), 0
    is_frames_first = plan.layout == "frames_first"
    suspects = strikes(plan.path, index)
    writer = sink(plan.format).open_shard(plan.path, index, plan)
    try:
        warm(plan.transform)
        durable.failpoint("shard-begun")
        planned = plan.items(index)
        for position, struck in suspects.items():
            if not is_out(struck):
                with contextlib.suppress(reading.Failure):
                    _try(plan, planned[position], position, journal)
                _forgive(struck)
        for position, item in enumerate(planned):
            struck = suspects.get(position, [])
            try:
                if is_out(struck):
                    raise _struck_out(struck)
                computed = _try(plan, item, position, journal)
            except reading.Failure as failure:
                attempts = len(struck) if is_out(struck) else 1
                failures.append(_failure(item, failure, attempts))
                if len(failures) > max_failures:
                    raise TooManyFailures(
                        f"{len(failures)} inputs of shard {index} failed, more than "
                        f"{max_failures:g}, the last of them {item.id} ({failure})"
                    ) from None
                continue
            meta = _meta(plan, item, computed)
            place = writer.add(item, computed.features, meta)
            items.append({**meta, **place, "level": computed.level})
            features = computed.features if is_frames_first else computed.features.T
            for frames in durable.blocks(features):
                some = frames[::_STEP]
                feature_sum += some.sum(axis=0, dtype=np.float64)
                n_summed += len(some)
            durable.failpoint("item-written")
        if len(failures) == len(planned):
            _check_mounted(index, planned, failures)
        files = writer.close()
        durable.failpoint("files-written")
        if load_plan(plan.path).digest != plan.digest:  # a task outlived its run, on a cluster
            raise OSError(f"{plan.path} was planned anew")
        durable.commit(plan.path, files)
    except BaseException:
        writer.abort()
        raise
    for file in files:
        del file["temporary"]
    side = {
        "plan": plan.digest,
        "shard": index,
        "files": files,
        "items": items,
        "failures": failures,
        "mean_features": (feature_sum / max(n_summed, 1)).tolist(),
    }
    durable.failpoint("files-named")
    text = json.dumps(side, separators=(",", ":")) + "\n"
    durable.write_file(plan.path, shard_name(index, ".json"), text.encode())
    durable.failpoint("shard-made")
    for struck in suspects.values():  # what they were for is in the side file now
        _forgive(struck)


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
            return _Computed(features, n_samples, level, recording.native_sr, recording.decoder)
    except MemoryError:
        text = "there is not enough memory for its features"
        raise reading.Failure("oom", "transform", text) from None


def _meta(plan: Plan, item: Item, computed: _Computed) -> dict[str, Any]:
    """What is written with the item: nothing that could differ between two runs."""
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
