"""Kaldi: an ark file with the matrices, and an scp file that tells where each of them is.

Paths in the scp files are relative to the output folder. Kaldi has no float16: matrices are of
float32, which holds the same values.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus.durable import Output, blocks
from fastmel.corpus.sinks import shard_name

if TYPE_CHECKING:
    from fastmel.corpus.plan import Plan
    from fastmel.corpus.sources import Item

__all__ = ["LARGEST", "SUFFIXES", "Ark", "key", "open_shard"]

SUFFIXES = (".ark", ".scp")
LARGEST = math.inf


def open_shard(folder: Path, index: int, plan: "Plan") -> "Ark":
    """Begin a shard."""
    return Ark(folder, index)


class Ark:
    """The two files of one shard (see :class:`fastmel.corpus.sinks.ShardWriter`)."""

    def __init__(self, folder: Path, index: int) -> None:
        self._files = [Output(folder, shard_name(index, suffix)) for suffix in SUFFIXES]

    def add(
        self, item: "Item", features: NDArray[np.floating], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write an item's matrix, and its line."""
        ark, scp = self._files
        name = key(item.id)
        n_rows, n_columns = features.shape
        ark.write(f"{name} ".encode())
        start = ark.tell()
        # binary, a matrix of floats, and its numbers of rows and columns of four bytes each
        ark.write(b"\0BFM " + struct.pack("<bibi", 4, n_rows, 4, n_columns))
        for rows in blocks(features):
            ark.write(rows.astype("<f4", copy=False))
        scp.write(f"{name} {ark.name}:{start}\n".encode())
        return {
            "file": ark.name,
            "key": name,
            "data_start": start,
            "data_bytes": ark.tell() - start,
            "dtype": "float32",
        }

    def close(self) -> list[dict[str, Any]]:
        """Bring both files to the disk."""
        return [file.close() for file in self._files]

    def abort(self) -> None:
        """Remove both files."""
        for file in self._files:
            file.abort()


def key(id: str) -> str:
    """Return an item's key, which a space would end.

    Examples
    --------
    >>> key("a talk.flac")
    'a%20talk.flac'
    """
    return id.replace(" ", "%20")
