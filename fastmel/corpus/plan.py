"""The frozen plan: which items, in which shards, by which numbers; written once, before the work.

``items.jsonl`` has a line for each item, in the order of their ids, and ``plan.json`` everything
else. Shards follow from the items alone: how many processes or machines work changes nothing.
"""

import contextlib
import hashlib
import json
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmel import __version__
from fastmel.corpus import durable
from fastmel.corpus.sinks import shard_name
from fastmel.corpus.sources import Item
from fastmel.exceptions import ParameterError

if TYPE_CHECKING:
    from fastmel.frontends.config import MelConfig
    from fastmel.frontends.transform import MelSpectrogram

__all__ = [
    "Plan", "again", "differences", "freeze", "load_plan", "plan_of", "read_json", "versions",
]  # fmt: skip

_PLAN, _ITEMS = "plan.json", "items.jsonl"

#: what a corpus is cut into, if the shards become neither too small nor too large by it
_SHARDS = 64

#: items of a shard, and bytes of its sources: the smallest and largest that a plan aims at
_SHARD_ITEMS = (32, 1000)
_SHARD_BYTES = (4 << 20, 256 << 20)

#: what a second of a segment weighs, whose share of its source's bytes is not known
_BYTES_PER_SECOND = 32_000

#: what a shard's side file says, and a plan
_SIDE = ("plan", "shard", "files", "items", "failures", "mean_features")
_CONTENT = ("settings", "versions", "items_sha256", "columns", "shards")

#: what to do where the plan is damaged
_ANEW = "put it back from a copy, or extract anew with overwrite"

#: what decides the numbers in the output
_PACKAGES = ("numpy", "scipy", "numba", "soundfile", "soxr", "av", "pyarrow")


@dataclass(frozen=True)
class Plan:
    """A plan on the disk.

    Attributes
    ----------
    path : Path
        The output folder.
    settings : dict
        What was asked for: the front end's whole configuration, the format, limits.
    versions : dict
        Packages and their versions.
    items_sha256 : str
        Of ``items.jsonl``.
    columns : tuple of str
        What manifests tell of items besides, such as "text": the names in all of `Item.extra`.
    shards : tuple of (int, int)
        Where in ``items.jsonl`` a shard begins, and how many items it has.
    """

    path: Path
    settings: dict[str, Any]
    versions: dict[str, str]
    items_sha256: str
    columns: tuple[str, ...]
    shards: tuple[tuple[int, int], ...]

    @cached_property
    def digest(self) -> str:
        """What identifies the plan in everything that is made by it."""
        return hashlib.sha256(_json(self._content)).hexdigest()

    @property
    def n_items(self) -> int:
        """Items of all shards."""
        return sum(n_items for _, n_items in self.shards)

    @property
    def format(self) -> str:
        """Name of the sink."""
        return str(self.settings["format"])

    @property
    def dtype(self) -> str:
        """Of the features."""
        return str(self.settings["config"]["dtype"])

    @property
    def layout(self) -> str:
        """Of the features: "frames_first" or "mels_first"."""
        return str(self.settings["config"]["layout"])

    @cached_property
    def config(self) -> "MelConfig":
        """The front end's configuration."""
        from fastmel.frontends.config import MelConfig

        return MelConfig.from_dict(self.settings["config"])

    @property
    def n_features(self) -> int:
        """Values of a frame."""
        return self.config.n_features

    @cached_property
    def transform(self) -> "MelSpectrogram":
        """The front end."""
        from fastmel.frontends.transform import transform_for

        return transform_for(self.config)

    def items(self, index: int) -> list[Item]:
        """Return the items of a shard."""
        start, n_items = self.shards[index]
        with open(self.path / _ITEMS, encoding="utf-8") as file:
            file.seek(start)
            try:
                return [Item(**json.loads(file.readline())) for _ in range(n_items)]
            except (ValueError, TypeError):
                raise OSError(f"{self.path / _ITEMS} is damaged: {_ANEW}") from None

    def side_file(self, index: int) -> Path:
        """Return the file that is written last of a shard: it is there if and only if that is."""
        return self.path / shard_name(index, ".json")

    def set_aside_file(self, index: int) -> Path:
        """Return where a shard's side file is while the shard is made again."""
        side_file = self.side_file(index)
        return side_file.with_name(f".{side_file.name}")

    def side(self, index: int, *, is_set_aside: bool = False) -> dict[str, Any]:
        """Return what a shard's side file says."""
        path = self.set_aside_file(index) if is_set_aside else self.side_file(index)
        return read_json(path, _SIDE, again(self.path))

    def complete(self) -> list[int]:
        """Return which shards are there."""
        folder = self.path / "shards"
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return [i for i in range(len(self.shards)) if self.side_file(i).name in names]

    def incomplete(self) -> list[int]:
        """Return which shards are not there yet."""
        return sorted({*range(len(self.shards))} - {*self.complete()})

    def check_versions(self) -> None:
        """Refuse to go on with other versions than those that decide the plan's numbers.

        Raises
        ------
        OSError
            If other versions are installed here.
        """
        changes = _changes(self.versions, versions())
        if changes:
            raise OSError(
                f"{socket.gethostname()} has other versions than {self.path} was planned with: "
                f"{'; '.join(changes)}"
            )

    @property
    def _content(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "versions": self.versions,
            "items_sha256": self.items_sha256,
            "columns": self.columns,
            "shards": self.shards,
        }


def plan_of(folder: Path, settings: Mapping[str, Any], items: Sequence[Item]) -> tuple[Plan, bytes]:
    """Plan, and write nothing.

    Returns
    -------
    Plan
        As it would be.
    bytes
        The content of ``items.jsonl``.
    """
    lines = [_json(item.to_dict()) for item in items]
    content = b"".join(lines)
    weights = [
        int(_BYTES_PER_SECOND * item.duration) if item.duration else item.size or 0
        for item in items
    ]
    plan = Plan(
        path=folder,
        settings=json.loads(_json(settings)),
        versions=versions(),
        items_sha256=hashlib.sha256(content).hexdigest(),
        columns=tuple(sorted({name for item in items for name in item.extra})),
        shards=tuple(_shards(weights, [len(line) for line in lines])),
    )
    return plan, content


def freeze(plan: Plan, items: bytes) -> None:
    """Write a plan, the file that makes it one last; a plan that is there already stays."""
    durable.write_file(plan.path, _ITEMS, items)
    durable.failpoint("items-planned")
    text = json.dumps(plan._content, indent=1, ensure_ascii=False) + "\n"
    durable.write_file(plan.path, _PLAN, text.encode(), only_if_new=True)


def load_plan(folder: str | Path) -> Plan:
    """Return the plan that an output folder was made by.

    Raises
    ------
    ParameterError
        If there is none.
    OSError
        If it is damaged.
    """
    folder = Path(folder)
    try:
        content = read_json(folder / _PLAN, _CONTENT, _ANEW)
    except FileNotFoundError:
        raise ParameterError(
            f"{folder} holds no plan; give a folder that was extracted to"
        ) from None
    content["shards"] = tuple(map(tuple, content["shards"]))
    content["columns"] = tuple(content["columns"])
    return Plan(path=folder, **content)


def read_json(path: Path, names: Iterable[str], advice: str) -> dict[str, Any]:
    """Return the values of these names in a file of the output.

    Raises
    ------
    OSError
        If the file is damaged: its message gives the advice.
    """
    try:
        found = json.loads(path.read_bytes())
        return {name: found[name] for name in names}
    except (ValueError, TypeError, KeyError):
        raise OSError(f"{path} is damaged: {advice}") from None


def again(folder: Path) -> str:
    """Return what to do where a file is damaged that follows from others."""
    return f"fastmel verify {folder} --reopen lets the next run write it again"


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers."""
    return {"fastmel": __version__, **_package_versions()}


@cache
def _package_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def differences(planned: Plan, asked: Plan, items: Sequence[Item]) -> list[str]:
    """Tell, a line each, what another plan for the same folder would change."""
    found = _changes(planned.settings, asked.settings) + _changes(planned.versions, asked.versions)
    if planned.items_sha256 != asked.items_sha256:
        old_items = {item.id: item for i in range(len(planned.shards)) for item in planned.items(i)}
        new_items = {item.id: item for item in items}
        changed = [id for id, item in new_items.items() if old_items.get(id, item) != item]
        for ids, what in (
            (sorted({*new_items} - {*old_items}), "inputs that the plan does not have"),
            (sorted({*old_items} - {*new_items}), "inputs of the plan that are not given"),
            (sorted(changed), "inputs that changed"),
        ):
            if ids:
                found.append(f"{what}: {len(ids)}, such as {ids[0]!r}")
    return found


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    old, new = dict(_flat(old)), dict(_flat(new))
    return [
        f"{key}: {old.get(key)!r} in the plan, {new.get(key)!r} now"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _shards(weights: Sequence[int], lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut the items into runs of about equal weight; `lengths` are those of their lines."""
    most_items = _between(len(weights) // _SHARDS, *_SHARD_ITEMS)
    most_bytes = _between(sum(weights) // _SHARDS, *_SHARD_BYTES)
    start = end = n_items = n_bytes = 0
    for weight, length in zip(weights, lengths, strict=True):
        if n_items and (n_items == most_items or n_bytes + weight > most_bytes):
            yield start, n_items
            start, n_items, n_bytes = end, 0, 0
        end, n_items, n_bytes = end + length, n_items + 1, n_bytes + weight
    if n_items:
        yield start, n_items


def _between(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _json(value: Any) -> bytes:
    """One line of JSON, in ASCII, so that names that are not text survive."""
    return (json.dumps(value, separators=(",", ":")) + "\n").encode("ascii")
