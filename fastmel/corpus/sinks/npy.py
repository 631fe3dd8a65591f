"""A NumPy file for each item, in a tree like that of the inputs."""

import hashlib
import io
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus.durable import Output

if TYPE_CHECKING:
    from fastmel.corpus.plan import Plan
    from fastmel.corpus.sources import Item

__all__ = ["LARGEST", "SUFFIXES", "file_name", "header", "open_shard"]

SUFFIXES = (".npy",)
LARGEST = math.inf

#: bytes of a name that every file system allows, less those of the suffix
_LONGEST = 250


def open_shard(folder: Path, index: int, plan: "Plan") -> "Files":
    """Begin a shard."""
    return Files(folder)


class Files:
    """The files of one shard (see :class:`fastmel.corpus.sinks.ShardWriter`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Output] = []

    def add(
        self, item: "Item", features: NDArray[np.floating], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write an item's file."""
        file = Output(self._folder, file_name(item.id))
        self._files.append(file)
        file.write(header(features.shape, features.dtype))
        file.write(features)
        file.pause()
        return {"file": file.name}

    def close(self) -> list[dict[str, Any]]:
        """Bring all files to the disk: later ones cost little, for the first took them along."""
        return [file.close() for file in self._files]

    def abort(self) -> None:
        """Remove all files."""
        for file in self._files:
            file.abort()


@lru_cache
def header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return what a NumPy file has before the data of a C-contiguous array."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"shape": shape, "fortran_order": False, "descr": dtype.str}
    )
    return content.getvalue()


def file_name(id: str) -> str:
    """Return where an item's file lies, relative to the output folder.

    It never leaves the folder, and no two items have the same: neither ``a`` and ``a.npy/b``, nor
    names that are cut because they are longer than a file system takes.

    Examples
    --------
    >>> file_name("speaker/talk.flac")
    'features/speaker/talk.flac.npy'
    >>> file_name("../a.npy/b")
    'features/%2E%2E/a%2Enpy/b.npy'
    """
    *folders, name = id.split("/")
    folders = [_folder(part) for part in folders]
    return "/".join(["features", *folders, f"{_cut(name)}.npy"])


def _folder(name: str) -> str:
    if name in ("", ".", ".."):
        return name.replace(".", "%2E") or "%2F"
    return _cut(f"{name[:-4]}%2Enpy" if name.endswith(".npy") else name)


def _cut(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: _LONGEST - 17].decode(errors='ignore')}~{digest}"
