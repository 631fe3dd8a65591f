"""Parquet: a row for each item, with its features as a list of lists in the column ``mel``.

What manifests tell of items has columns of text. That of the features says in its metadata that it
is an ``Array2D`` of Hugging Face's ``datasets``, which then reads it as such; for other readers it
is a list of lists.
"""

import errno
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus.durable import Output
from fastmel.corpus.sinks import shard_name
from fastmel.corpus.sources import META

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the format parquet needs pyarrow: pip install 'fastmel[parquet]'"
    ) from error

if TYPE_CHECKING:
    from fastmel.corpus.plan import Plan
    from fastmel.corpus.sources import Item

__all__ = ["LARGEST", "SUFFIXES", "Table", "open_shard", "schema"]

SUFFIXES = (".parquet",)

#: bytes of features in a row group, which a reader takes into memory at once
_ROW_GROUP = 32 << 20

#: bytes of an item's features: a row is written, and read, as a whole, in eight times their memory
LARGEST = 128 << 20

#: the path of the features' values
_VALUES = "mel.list.element.list.element"

_TYPES = {
    "sr": pa.float64(),
    "native_sr": pa.float64(),
    "samples": pa.int64(),
    "frames": pa.int64(),
    "features": pa.int64(),
    "offset": pa.float64(),
    "duration": pa.float64(),
    "size": pa.int64(),
    "mtime_ns": pa.int64(),
}


def open_shard(folder: Path, index: int, plan: "Plan") -> "Table":
    """Begin a shard."""
    is_frames_first = plan.layout == "frames_first"
    return Table(
        Output(folder, shard_name(index, ".parquet")),
        schema(plan.dtype, plan.n_features if is_frames_first else None, plan.columns),
    )


def schema(dtype: str, n_features: int | None, columns: Iterable[str]) -> pa.Schema:
    """Return names and types of the columns.

    Parameters
    ----------
    dtype : {"float32", "float16"}
        Type of the features.
    n_features : int, optional
        Length of a frame, for features with the frames first; ``datasets`` has no arrays whose
        second dimension varies.
    columns : iterable of str
        What manifests tell besides.
    """
    metadata = None
    if n_features is not None:
        metadata = {
            "ARROW:extension:name": "datasets.features.features.Array2DExtensionType",
            "ARROW:extension:metadata": json.dumps([[None, n_features], dtype]),
        }
    value_type = pa.from_numpy_dtype(np.dtype(dtype))
    return pa.schema(
        [
            *(pa.field(name, _TYPES.get(name, pa.string())) for name in META),
            *(pa.field(name, pa.string()) for name in columns),
            pa.field("mel", pa.list_(pa.list_(value_type)), metadata=metadata),
        ]
    )


class Table:
    """The file of one shard (see :class:`fastmel.corpus.sinks.ShardWriter`)."""

    def __init__(self, file: Output, schema: pa.Schema) -> None:
        self._file, self._schema = file, schema
        self._rows: list[dict[str, Any]] = []
        self._features: list[NDArray[np.floating]] = []
        self._n_bytes = 0
        self._row_group = 0
        text = [field.name for field in schema if field.type == pa.string()]
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            use_dictionary=text,  # of floats, it would be larger than the floats
            use_byte_stream_split=[_VALUES],  # half the time of zstd alone, and a tenth less bytes
            write_statistics=[*META],
            write_page_index=True,
        )

    def add(
        self, item: "Item", features: NDArray[np.floating], meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Take an item, and write a row group if it is large enough."""
        if self._rows and features.nbytes >= _ROW_GROUP:  # if memory ends, it ends for this item
            self._write_row_group()
        place = {
            "file": self._file.name,
            "row_group": self._row_group,
            "row": len(self._rows),
        }
        self._rows.append(dict(meta))
        self._features.append(features)
        self._n_bytes += features.nbytes
        if self._n_bytes >= _ROW_GROUP:
            try:
                self._write_row_group()
            except MemoryError:
                if features.nbytes >= _ROW_GROUP:
                    raise
                text = "there is not enough memory for a row group; take fewer workers"
                raise OSError(errno.ENOMEM, text) from None  # no single item is to blame
        return place

    def close(self) -> list[dict[str, Any]]:
        """Write what is left and bring the file to the disk."""
        if self._rows:
            self._write_row_group()
        self._writer.close()
        return [self._file.close()]

    def abort(self) -> None:
        """Remove the file."""
        self._writer.is_open = False  # or it writes the end when it is collected
        self._file.abort()

    def _write_row_group(self) -> None:
        columns = [
            pa.array([row.get(field.name) for row in self._rows], field.type)
            for field in self._schema
            if field.name != "mel"
        ]
        table = pa.Table.from_arrays([*columns, _nested(self._features)], schema=self._schema)
        self._writer.write_table(table, row_group_size=len(table))
        self._rows, self._features = [], []
        self._n_bytes = 0
        self._row_group += 1


def _nested(arrays: list[NDArray[np.floating]]) -> pa.ListArray:
    """Return matrices as lists of lists."""
    widths = np.repeat([array.shape[1] for array in arrays], [len(array) for array in arrays])
    values = pa.concat_arrays([pa.array(array.ravel()) for array in arrays])
    rows = pa.ListArray.from_arrays(_offsets(widths), values)
    return pa.ListArray.from_arrays(_offsets([len(array) for array in arrays]), rows)


def _offsets(lengths: Any) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
