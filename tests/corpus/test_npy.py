import numpy as np
import pytest

from fastmel.corpus import durable
from fastmel.corpus.sinks import npy
from fastmel.corpus.sources import Item


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_numpy_reads_the_arrays(tmp_path, dtype):
    arrays = {f"a/{i}.flac": np.arange(10 * i).reshape(i, 10).astype(dtype) for i in range(1, 4)}
    writer = npy.open_shard(tmp_path, 0, None)
    places = {id: writer.add(Item(id, "/x"), array, {}) for id, array in arrays.items()}
    assert not (tmp_path / "features").exists()
    durable.commit(tmp_path, writer.close())
    for id, array in arrays.items():
        read = np.load(tmp_path / places[id]["file"])
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_nothing_is_left_of_an_aborted_shard(tmp_path):
    writer = npy.open_shard(tmp_path, 0, None)
    writer.add(Item("a", "/a"), np.zeros((2, 3), np.float32), {})
    writer.abort()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_file_names_stay_inside_and_apart(tmp_path):
    ids = ["a", "a.npy/b", "a.npy", "../a", "/a", "./a", "x" * 300, "x" * 301, "é" * 200 + "/b"]
    names = [npy.file_name(id) for id in ids]
    assert len({*names}) == len(ids)
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        assert path.resolve().is_relative_to(tmp_path.resolve() / "features")
