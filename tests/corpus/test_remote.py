"""URLs: listed and fetched from a store in memory, from this disk, and from a server beside us."""

import io
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from fastmel.corpus import extract, reading, remote, run
from fastmel.corpus.sources import Item, find
from fastmel.exceptions import ParameterError

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: fastmel[remote]")


@pytest.fixture
def wav():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600), 16000, format="WAV")
    return file.getvalue()


@pytest.fixture
def store(wav):
    """Put files into a store."""
    memory = fsspec.filesystem("memory")

    def put(*names, content=wav):
        for name in names:
            memory.pipe_file(f"/{name}", content)
        return memory

    yield put
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Note how long it would have waited between tries."""
    waits = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    return waits


def _ids(*inputs):
    return [item.id for item in find(inputs)]


# listing


def test_a_folder(store, wav):
    store("c/b/2.wav", "c/a/1.wav", "c/a/odd name#%.flac", "c/a/notes.txt", "c/.git/x.wav")
    items = find(["memory://c/"])
    assert items == find(["memory://c"])
    assert [item.id for item in items] == ["a/1.wav", "a/odd name#%25.flac", "b/2.wav"]
    assert [item.size for item in items] == 3 * [len(wav)]
    assert all(item.mtime_ns > 1.7e18 for item in items)
    assert [reading.read(item, 16000).n_samples_native for item in items] == [1600] * 3


def test_a_file_whatever_its_name(store):
    store("c/.a.txt/b.WAVE", "c/.c.pdf", "c/[1].wav", "c/1.wav")
    assert _ids("memory://c/.a.txt/b.WAVE") == ["b.WAVE"]
    assert _ids("memory://c/.c.pdf") == [".c.pdf"]
    assert _ids("memory://c/[1].wav") == ["[1].wav"]


def test_archives_are_refused_or_fail_without_being_fetched(store, monkeypatch):
    store("c/a.tar", "c/x.wav")
    with pytest.raises(ParameterError, match=r"memory://c/a\.tar: archives are read from disks"):
        find(["memory://c/a.tar"])
    archive, _ = find(["memory://c"])
    monkeypatch.setattr(remote, "fetch", None)
    with pytest.raises(reading.Failure, match="format: it is an archive"):
        reading.read(archive, 16000)


def test_what_was_listed_before_is_listed_again(store, monkeypatch):
    listed = []
    memory = store("c/1.wav")
    monkeypatch.setattr(type(memory), "invalidate_cache", lambda self: listed.append(self))
    find(["memory://c"])
    assert listed == [memory]


def test_globs(store):
    store("c/a/1.wav", "c/a/2.flac", "c/b/3.wav", "c/4.wav")
    assert _ids("memory://c/*/*.wav") == ["a/1.wav", "b/3.wav"]
    assert _ids("memory://c/**") == ["4.wav", "a/1.wav", "a/2.flac", "b/3.wav"]
    assert _ids("memory://c/[ab]") == ["a/1.wav", "a/2.flac", "b/3.wav"]


def test_ids_are_relative_to_what_the_urls_have_in_common(store, tmp_path):
    store("c/a/1.wav", "c/b/2.wav")
    (tmp_path / "x").mkdir()
    soundfile.write(tmp_path / "x" / "3.wav", np.zeros(10), 16000)
    assert _ids("memory://c/a", "memory://c/b") == ["a/1.wav", "b/2.wav"]
    assert _ids("memory://c/a", "memory://c/b/2.wav", str(tmp_path)) == [
        "a/1.wav", "b/2.wav", "x/3.wav"
    ]  # fmt: skip


def test_manifests(store):
    store("c/clips/1.wav", "c/2.wav")
    lines = b"clips/1.wav\n./x/../2.wav\nmemory://elsewhere/3.wav\n"
    store("c/list.txt", content=lines)
    items = find(["memory://c/list.txt"])
    assert [item.source for item in items] == [
        "memory://c/2.wav", "memory://c/clips/1.wav", "memory://elsewhere/3.wav"
    ]  # fmt: skip
    store("c/cv.tsv", content=b"path\tsentence\n1.wav\tyes\n")
    (item,) = find(["memory://c/cv.tsv"])
    assert (item.id, item.source, item.extra) == (
        "1.wav", "memory://c/clips/1.wav", {"sentence": "yes"}
    )  # fmt: skip
    store("k/wav.scp", content=b"r 2.wav\n")
    assert [item.source for item in find(["memory://k/wav.scp"])] == ["memory://k/2.wav"]
    store("k/segments", content=b"u r 0.5 1.5\n")
    (item,) = find(["memory://k/wav.scp"])
    assert (item.id, item.offset, item.duration) == ("u", 0.5, 1.0)
    with pytest.raises(ParameterError, match=r"memory://k/gone\.csv: cannot be read: No such file"):
        find(["memory://k/gone.csv"])


def test_this_disk_and_archives_of_others(tmp_path, wav):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.wav").write_bytes(wav)
    items = find([f"file://{tmp_path}"])
    assert [item.id for item in items] == ["in/a b.wav"]
    assert items[0].mtime_ns == pytest.approx((tmp_path / "in" / "a b.wav").stat().st_mtime_ns)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("x/1.wav", wav)
        archive.writestr("x/2.wav", wav)
        archive.writestr("x/notes.txt", b"none")
    assert _ids(f"zip://::file://{tmp_path}/all.zip") == ["x/1.wav", "x/2.wav"]
    (first, _) = find([f"zip://x/*.wav::file://{tmp_path}/all.zip"])
    assert first.id == "1.wav"
    assert len(reading.read(first, 16000).y) == 1600


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing/here", "memory://nothing/here: there is no such file or folder"),
        ("memory://nothing/*.wav", r"memory://nothing/\*\.wav: no file has"),
        ("nosuch://a.wav", "nosuch://a.wav: Protocol not known: nosuch"),
        ("http://127.0.0.1:9/a.wav", "http://127.0.0.1:9/a.wav: .*Cannot connect"),
    ],
)
def test_what_cannot_be_listed_is_refused(url, message):
    with pytest.raises(ParameterError, match=message):
        find([url])


def test_protocols_of_manifests_are_looked_at_first(tmp_path):
    (tmp_path / "a.txt").write_text("memory://a.wav\nnosuch://b.wav\n")
    with pytest.raises(ParameterError, match="nosuch://: Protocol not known"):
        find([str(tmp_path / "a.txt")])


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ParameterError, match=r"pip install 'fastmel\[remote\]'"):
        find(["memory://a.wav"])


def test_times_as_storages_write_them():
    for value in (1.5e9, "2017-07-14T02:40:00Z", "2017-07-14T04:40:00+02:00"):
        entry = remote._entry("s3://a", {"updated": value, "ETag": '"abc"', "size": 3})
        assert entry == remote.Entry("s3://a", 3, 1_500_000_000_000_000_000, "abc")
    assert remote._entry("s3://a", {}) == remote.Entry("s3://a")


# a corpus


def test_a_corpus_at_a_url_is_that_on_the_disk(corpus, here, store, tmp_path, tree):
    local, url = tmp_path / "local", tmp_path / "url"
    extract(str(corpus), local, executor=here)
    for path in corpus.rglob("*.wav"):
        memory = store(f"c/{path.relative_to(corpus)}", content=path.read_bytes())
    assert extract("memory://c", url, executor=here).written == 11
    features = {k: v for k, v in tree(local).items() if k.startswith("features/")}
    assert {k: v for k, v in tree(url).items() if k.startswith("features/")} == features
    assert extract("memory://c", url, executor=here).written == 11
    memory.rm("/c/speaker-0/00.wav")
    store("c/speaker-0/00.wav", content=b"something else")
    with pytest.raises(run.PlanDiffers, match=r"changed: 1, such as 'speaker-0/00\.wav'"):
        extract("memory://c", url, executor=here)


# fetching


@pytest.fixture
def server(wav):
    """Serve a file; what it answers first is given by the name, as in /500-500-200/a.wav."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            left = answers.setdefault(self.path, self.path.split("/")[1].split("-"))
            status = int(left.pop(0) if len(left) > 1 else left[0])
            content = b"" if self.path.endswith("/empty.wav") else wav
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"v1"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


def test_a_file_on_the_web(server, wav):
    (item,) = find([f"{server}/200/folder/a.wav?x=*"])
    assert (item.id, item.size, item.extra) == ("a.wav?x=*", len(wav), {"etag": "v1"})
    assert len(reading.read(item, 16000).y) == 1600


@pytest.mark.parametrize(
    ("path", "class_", "n_waits"),
    [
        ("404/a.wav", "not_found", 0),
        ("403/a.wav", "permission", 0),
        ("400/a.wav", "remote", 0),
        ("503/a.wav", "remote", 3),
        ("200/empty.wav", "empty", 0),
    ],
)
def test_what_is_not_delivered_has_a_class(server, at_once, path, class_, n_waits):
    with pytest.raises(reading.Failure) as failure:
        reading.read(Item("a", f"{server}/{path}"), 16000)
    assert failure.value.class_ == class_
    assert len(at_once) == n_waits


def test_what_may_succeed_is_tried_again(server, at_once):
    assert len(reading.read(Item("a", f"{server}/503-429-200/a.wav"), 16000).y) == 1600
    assert at_once == [0.5, 2.0]


def test_a_server_that_is_gone(at_once):
    with pytest.raises(reading.Failure, match=r"remote: .*Cannot connect"):
        reading.read(Item("a", "http://127.0.0.1:9/a.wav"), 16000)
    assert len(at_once) == 3
