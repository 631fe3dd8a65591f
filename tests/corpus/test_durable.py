import hashlib
import io
import tarfile

import numpy as np
import pytest

from fastmel.corpus import durable


def test_an_output_appears_only_when_it_is_committed(tmp_path):
    output = durable.Output(tmp_path, "deep/er/name.bin")
    output.write(b"ab")
    output.write(np.arange(3, dtype=np.uint8))
    assert output.tell() == 5
    told = output.close()
    assert not (tmp_path / "deep").exists()
    durable.commit(tmp_path, [told])
    content = (tmp_path / "deep/er/name.bin").read_bytes()
    assert content == b"ab\0\1\2"
    assert told["file"] == "deep/er/name.bin"
    assert (told["bytes"], told["sha256"]) == (5, hashlib.sha256(content).hexdigest())
    assert not any((tmp_path / durable.PARTIAL).iterdir())


def test_an_output_takes_arrays_larger_than_its_blocks(tmp_path):
    data = np.random.default_rng(0).standard_normal((700, 1000)).astype(np.float32)
    output = durable.Output(tmp_path, "data")
    output.write(b"head")
    assert output.write(data) == data.nbytes
    told = output.close()
    written = (tmp_path / told["temporary"]).read_bytes()
    assert written == b"head" + data.tobytes()
    assert told["sha256"] == hashlib.sha256(written).hexdigest()


def test_an_output_that_was_paused_is_closed_all_the_same(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(durable, "sync", synced.append)
    output = durable.Output(tmp_path, "name")
    output.write(b"abc")
    output.pause()
    assert not synced
    told = output.close()
    assert len(synced) == 1
    assert (tmp_path / told["temporary"]).read_bytes() == b"abc"


def test_an_output_is_enough_of_a_file_for_tarfile(tmp_path):
    output = durable.Output(tmp_path, "a.tar")
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("a.npy")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"xyz"))
    durable.commit(tmp_path, [output.close()])
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.extractfile("a.npy").read() == b"xyz"


def test_what_is_aborted_leaves_nothing(tmp_path):
    output = durable.Output(tmp_path, "name")
    output.write(bytes(2 << 20))
    output.abort()
    assert list(tmp_path.rglob("*")) == [tmp_path / durable.PARTIAL]


def test_a_file_that_must_be_new_is_not_replaced(tmp_path):
    durable.write_file(tmp_path, "plan", b"first", only_if_new=True)
    with pytest.raises(FileExistsError):
        durable.write_file(tmp_path, "plan", b"second", only_if_new=True)
    assert (tmp_path / "plan").read_bytes() == b"first"
    durable.write_file(tmp_path, "plan", b"third")
    assert (tmp_path / "plan").read_bytes() == b"third"
    assert not any((tmp_path / durable.PARTIAL).iterdir())


@pytest.mark.parametrize("operation", ["create", "write", "sync", "replace", "sync_folder"])
def test_a_disk_that_fails_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, operation):
    durable.write_file(tmp_path, "name", b"old")
    monkeypatch.setattr(durable, "_counts", {})
    monkeypatch.setenv("FASTMEL_FAIL", f"{operation}:0")
    with pytest.raises(OSError, match="No space left"):
        durable.write_file(tmp_path, "name", b"new")
    expected = b"new" if operation == "sync_folder" else b"old"
    assert (tmp_path / "name").read_bytes() == expected
    assert not any((tmp_path / durable.PARTIAL).iterdir())
