"""What the sinks write is read back, bit for bit, by the readers that people use."""

import errno
import gc
import io
import json
import os
import sys
import tarfile
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest

from fastmel.corpus import durable
from fastmel.corpus.sinks import kaldi, sink, wds
from fastmel.corpus.sources import META, Item

FORMATS = ("wds", "kaldi", "parquet")

IDS = [
    "speaker 1/talk.v2_001.flac",
    "speaker 1/talk.v2_002.flac",
    "speaker 1/talk.v2_002.wav",
    "__a__/b",
    "a%0Ab",
    "été/日本.wav#0-1500",
    "x" * 90,
    "deep/" * 40 + "y.wav",
    "deep/" * 40 + "z.wav",
]


def items(dtype="float32", layout="frames_first", ids=IDS, n_features=80):
    """Return items, their features, and what is known of them."""
    rng = np.random.default_rng(9)
    made = []
    for number, id in enumerate(ids):
        x = rng.standard_normal((1 + 37 * number, n_features)).astype(dtype)
        item = Item(id, f"/corpus/{number}", extra={"text": f"Satz “{number}”"} if number else {})
        meta = {
            "id": id,
            "source": item.source,
            "sr": 16000,
            "native_sr": 44100,
            "samples": 160 * len(x),
            "frames": len(x),
            "features": n_features,
            "dtype": dtype,
            "layout": layout,
            "offset": 0.25 * number,
            "duration": None if number % 2 else 1.5,
            "size": 1000 + number,
            "mtime_ns": 1_700_000_000_123_456_789,
            "decoder": "libsndfile",
            **item.extra,
        }
        features = x if layout == "frames_first" else np.ascontiguousarray(x.T)
        made.append((item, features, meta))
    return made


def plan_of(dtype="float32", layout="frames_first", n_features=80):
    return SimpleNamespace(dtype=dtype, layout=layout, n_features=n_features, columns=("text",))


def write(folder, format, made, index=12):
    """Write a shard and return its files, and where the items are in them."""
    _, _, meta = made[0]
    plan = plan_of(meta["dtype"], meta["layout"], meta["features"])
    writer = sink(format).open_shard(folder, index, plan)
    places = [writer.add(*one) for one in made]
    files = writer.close()
    durable.commit(folder, files)
    return files, places


@pytest.fixture(params=FORMATS)
def format(request):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return request.param


def assert_same(ours, theirs):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs, strict=True)


# every format


def test_files_are_those_of_the_shard(tmp_path, format):
    files, places = write(tmp_path, format, items())
    assert [file["file"] for file in files] == [
        f"shards/shard-000012{suffix}" for suffix in sink(format).SUFFIXES
    ]
    for file in files:
        assert (tmp_path / file["file"]).stat().st_size == file["bytes"]
    assert {place["file"] for place in places} == {files[0]["file"]}
    told = {"dtype"} if format == "kaldi" else set()
    assert all(set(place) & set(META) == told for place in places)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_items_make_the_same_bytes(tmp_path, format, dtype):
    first, _ = write(tmp_path / "a", format, items(dtype))
    second, _ = write(tmp_path / "b", format, items(dtype))
    assert [file["sha256"] for file in first] == [file["sha256"] for file in second]


def test_an_aborted_shard_leaves_nothing(tmp_path, format, monkeypatch):
    monkeypatch.setattr(durable, "_BLOCK", 100)
    plan = plan_of()
    writer = sink(format).open_shard(tmp_path, 0, plan)
    for one in items():
        writer.add(*one)
    writer.abort()
    del writer
    gc.collect()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_is_told_as_such(tmp_path, format, monkeypatch):
    plan = plan_of()
    writer = sink(format).open_shard(tmp_path, 0, plan)
    for one in items():
        writer.add(*one)

    def fail(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "write", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        writer.close()
    assert caught.value.errno == errno.ENOSPC
    writer.abort()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# WebDataset


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["frames_first", "mels_first"])
def test_tar_files_hold_arrays_and_what_is_known(tmp_path, dtype, layout):
    made = items(dtype, layout)
    (file,), places = write(tmp_path, "wds", made)
    content = (tmp_path / file["file"]).read_bytes()
    with tarfile.open(tmp_path / file["file"]) as archive:
        members = archive.getmembers()
        for number, ((item, features, meta), place) in enumerate(zip(made, places, strict=True)):
            array, known = members[2 * number : 2 * number + 2]
            assert array.name == f"{place['key']}.mel.npy"
            assert known.name == f"{place['key']}.json"
            assert "." not in place["key"]
            assert_same(np.load(io.BytesIO(archive.extractfile(array).read())), features)
            assert json.load(archive.extractfile(known)) == meta
            start = place["data_start"]
            data = content[start : start + place["data_bytes"]]
            assert_same(np.load(io.BytesIO(data)), features)
            assert place["key"] == wds.key(item.id)
        assert len(members) == 2 * len(made)
        assert {(m.mtime, m.uid, m.gid, m.mode, m.uname) for m in members} == {(0, 0, 0, 0o644, "")}
        assert not any(m.pax_headers for m in members)
    assert len(content) % tarfile.RECORDSIZE == 0


@pytest.mark.parametrize("name", ["", "a.json", "é/日本.mel.npy", "x" * 100, "deep/" * 40 + "y"])
@pytest.mark.parametrize("size", [0, 7, 192128, 8**11 - 1])
def test_headers_of_a_tar_file_are_the_standard_librarys(name, size):
    member = tarfile.TarInfo(name)
    member.size = size
    assert wds._member_header(name, size) == member.tobuf(tarfile.USTAR_FORMAT)


def test_keys_of_a_tar_file_are_short_and_differ():
    keys = [wds.key(id) for id in (*IDS, "y" * 300, "y" * 301, "é" * 200, "d/" * 50 + "y" * 90)]
    assert len(set(keys)) == len(keys)
    assert [len(key.encode()) for key in keys[-4:]] == [92, 92, 91, 190]
    assert wds.key("a" * 92) == "a" * 92
    assert wds.key("__a__/__b") == "%5F%5Fa__/__b"
    assert wds.key("a" * 93) == f"{'a' * 75}~{sha256(b'a' * 93).hexdigest()[:16]}"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open files
def test_webdataset_reads_it(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    made = items("float16")
    (file,), places = write(tmp_path, "wds", made)
    url = (tmp_path / file["file"]).as_posix()
    samples = list(webdataset.WebDataset(url, shardshuffle=False).decode())
    assert len(samples) == len(made)
    for sample, (_, features, meta), place in zip(samples, made, places, strict=True):
        assert sample["__key__"] == place["key"]
        assert_same(sample["mel.npy"], features)
        assert sample["json"] == meta


def test_datasets_reads_tar_files(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = items("float16")
    (file,), places = write(tmp_path, "wds", made)
    dataset = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / file["file"]), split="train", streaming=True
    )
    for row, (_, features, meta), place in zip(dataset, made, places, strict=True):
        assert row["__key__"] == place["key"]
        assert row["json"] == {"text": None, **meta}
        assert_same(np.array(row["mel.npy"], np.float16), features)


# Kaldi


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_ark_files_hold_matrices(tmp_path, dtype):
    made = items(dtype)
    (ark, scp), places = write(tmp_path, "kaldi", made)
    content = (tmp_path / ark["file"]).read_bytes()
    lines = (tmp_path / scp["file"]).read_text(encoding="utf-8").splitlines()
    for line, (item, features, _), place in zip(lines, made, places, strict=True):
        start, size = place["data_start"], place["data_bytes"]
        assert line == f"{kaldi.key(item.id)} {ark['file']}:{start}"
        assert len(line.split()) == 2
        rows, columns = features.shape
        head = b"\0BFM \4" + rows.to_bytes(4, "little") + b"\4" + columns.to_bytes(4, "little")
        assert content[start : start + size] == head + features.astype("<f4").tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_kaldiio_reads_it(tmp_path, monkeypatch, dtype):
    kaldiio = pytest.importorskip("kaldiio")
    made = items(dtype)
    (ark, scp), places = write(tmp_path, "kaldi", made)
    monkeypatch.chdir(tmp_path)
    by_key = kaldiio.load_scp(scp["file"])
    in_order = list(kaldiio.load_ark(ark["file"]))
    assert len(by_key) == len(in_order) == len(made)
    for (key, matrix), (_, features, _), place in zip(in_order, made, places, strict=True):
        assert key == place["key"]
        assert_same(matrix, features.astype(np.float32))
        assert_same(by_key[key], features.astype(np.float32))


# Parquet


@pytest.fixture
def parquet():
    pytest.importorskip("pyarrow")
    return sink("parquet")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["frames_first", "mels_first"])
def test_pyarrow_reads_it(tmp_path, parquet, monkeypatch, dtype, layout):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "_ROW_GROUP", 40_000)
    made = items(dtype, layout)
    (file,), places = write(tmp_path, "parquet", made)
    table = pq.ParquetFile(tmp_path / file["file"])
    assert 2 < table.num_row_groups < len(made)
    for (_, features, meta), place in zip(made, places, strict=True):
        row = table.read_row_group(place["row_group"]).slice(place["row"], 1).to_pylist()[0]
        assert_same(np.array(row.pop("mel"), dtype), features)
        assert row == {"text": None, **meta}
    column = table.metadata.row_group(0).column(table.metadata.num_columns - 1)
    assert column.compression == "ZSTD"
    assert "BYTE_STREAM_SPLIT" in column.encodings
    assert not column.has_dictionary_page


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["frames_first", "mels_first"])
def test_datasets_reads_it(tmp_path, parquet, dtype, layout):
    datasets = pytest.importorskip("datasets")
    made = items(dtype, layout)
    (file,), _ = write(tmp_path, "parquet", made)
    dataset = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / file["file"]),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    if layout == "frames_first":
        assert dataset.features["mel"] == datasets.Array2D((None, 80), dtype)
    dataset = dataset.with_format("numpy")  # which makes float16 float32
    for row, (_, features, meta) in zip(dataset, made, strict=True):
        assert (row["id"], row["text"]) == (meta["id"], meta.get("text"))
        assert_same(np.stack(list(row["mel"])), features.astype(np.float32))


def test_the_bytes_do_not_depend_on_datasets(tmp_path, parquet):
    before, _ = write(tmp_path / "before", "parquet", items())
    pytest.importorskip("datasets")  # registers the type of the column
    after, _ = write(tmp_path / "after", "parquet", items())
    assert before[0]["sha256"] == after[0]["sha256"]


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "fastmel.corpus.sinks.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fastmel\[parquet\]'"):
        sink("parquet")
