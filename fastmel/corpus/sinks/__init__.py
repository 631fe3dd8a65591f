"""Where features go: one module for each format, behind two small protocols."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastmel.corpus.plan import Plan
    from fastmel.corpus.sources import Item

__all__ = ["FORMATS", "ShardWriter", "Sink", "shard_name", "sink"]

#: name of a format -> the module that writes it
FORMATS = {
    "npy": "npy",
    "wds": "wds",
    "parquet": "parquet",
    "kaldi": "kaldi",
}


class ShardWriter(Protocol):
    """Writes the items of one shard, in the plan's order, to temporary files.

    Everything is written through :mod:`fastmel.corpus.durable`, and the bytes depend on nothing but
    the plan and the items: not on the time, the machine, or what was written before.
    """

    def add(
        self, item: "Item", features: "NDArray[np.floating]", meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write an item.

        Parameters
        ----------
        item : Item
            What was read.
        features : ndarray, shape (frames, features) or (features, frames), C-contiguous
            In the plan's layout and dtype.
        meta : mapping
            What is known of the item, ready for JSON.

        Returns
        -------
        dict
            What a reader needs to find it: "file", relative to the output folder, and for formats
            with many items in a file the "key" there and "data_start" and "data_bytes", where the
            NumPy file or Kaldi's matrix begins and how long it is, or "row_group" and "row". What
            it has of `meta`, such as a "dtype" that the format does not have, replaces that.
        """

    def close(self) -> list[dict[str, Any]]:
        """Bring everything to the disk.

        Returns
        -------
        list of dict
            For each file "file" (its final name, relative to the output folder), "temporary" (the
            same for the file as it lies there now), "bytes" and "sha256"
            (:meth:`fastmel.corpus.durable.Output.close` makes it).
        """

    def abort(self) -> None:
        """Remove the temporary files; nothing else is called afterwards."""


class Sink(Protocol):
    """What a module of this package offers."""

    #: of its files, such as (".ark", ".scp")
    SUFFIXES: tuple[str, ...]

    #: bytes that an item's features may have
    LARGEST: float

    def open_shard(self, folder: Path, index: int, plan: "Plan") -> ShardWriter:
        """Begin shard number `index` in the output folder; `plan` tells what is in it."""


def sink(name: str) -> Sink:
    """Return the module for a format."""
    return cast(Sink, import_module(f"{__name__}.{FORMATS[name]}"))


def shard_name(index: int, suffix: str) -> str:
    """Return where a file of a shard lies, relative to the output folder.

    Examples
    --------
    >>> shard_name(12, ".tar")
    'shards/shard-000012.tar'
    """
    return f"shards/shard-{index:06d}{suffix}"
