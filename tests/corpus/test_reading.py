"""Bad input is decoded or classified; each file of the table in another process, with a limit."""

import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pytest
import scipy
import soundfile

from fastmel import audio
from fastmel.corpus import reading, sources
from fastmel.corpus.sources import Item

SR = 16000
N = 32000

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of POSIX")


@pytest.fixture(scope="module")
def read():
    """Read an item in a process that is given 20 s for it."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def read(item, sr=SR, **kwargs):
        return pool.submit(reading.read, item, sr, **kwargs).result(timeout=20)

    yield read
    for process in pool._processes.values():
        process.kill()


@pytest.fixture(scope="module")
def outcome(read):
    """Return an item's samples, or why there are none."""

    def outcome(item, **kwargs):
        try:
            return read(item, **kwargs)
        except reading.Failure as failure:
            return failure

    return outcome


@pytest.fixture(scope="module")
def failure(outcome):
    """Return why an item cannot be read."""

    def failure(item, **kwargs):
        failure = outcome(item, **kwargs)
        assert isinstance(failure, reading.Failure)
        assert failure.class_ in reading.CLASSES
        assert failure.stage in ("open", "decode", "resample")
        assert "\n" not in failure.message
        return failure

    return failure


def item_of(path, **kwargs):
    return Item("x", sources.escape(os.fspath(path)), **kwargs)


def assert_same_bits(y, expected):
    assert y.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(y.view(np.uint32), expected.view(np.uint32), strict=True)


# files


def signal():
    t = np.arange(N) / SR
    hiss = np.random.default_rng(5).standard_normal(N)
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.05 * hiss).astype(np.float32)


def encode(container, subtype, y=None, sr=SR):
    """Return a file that libsndfile writes."""
    file = io.BytesIO()
    soundfile.write(file, signal() if y is None else y, sr, format=container, subtype=subtype)
    return file.getvalue()


def encode_by_ffmpeg(container, codec, sr=SR, bit_rate=64000, **options):
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=sr, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(signal()[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = sr, 0
        resampler = av.AudioResampler(stream.format.name, stream.layout, sr)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))
    return file.getvalue()


ENCODERS = {
    "wav": lambda: encode("WAV", "PCM_16"),
    "flac": lambda: encode("FLAC", "PCM_16"),
    "aiff": lambda: encode("AIFF", "PCM_16"),
    "au": lambda: encode("AU", "PCM_16"),
    "w64": lambda: encode("W64", "PCM_16"),
    "rf64": lambda: encode("RF64", "PCM_16"),
    "ogg": lambda: encode("OGG", "VORBIS"),
    "opus": lambda: encode("OGG", "OPUS"),
    "mp3": lambda: encode("MP3", "MPEG_LAYER_III"),
    "mp3 without Xing": lambda: encode_by_ffmpeg("mp3", "libmp3lame", write_xing="0"),
    "mp3 of two rates": lambda: b"".join(
        encode_by_ffmpeg("mp3", "libmp3lame", bit_rate=bit_rate, write_xing="0")
        for bit_rate in (24000, 96000)
    ),
    "m4a": lambda: encode_by_ffmpeg("ipod", "aac"),
    "aac": lambda: encode_by_ffmpeg("adts", "aac"),
    "wma": lambda: encode_by_ffmpeg("asf", "wmav2", sr=44100),
    "webm": lambda: encode_by_ffmpeg("webm", "libopus", sr=48000),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Write a file, whole or a part of it, and return its path."""
    folder = tmp_path_factory.mktemp("files")
    contents = {}

    def write(kind, percent=100):
        if kind not in contents:
            contents[kind] = ENCODERS[kind]()
        path = folder / f"{percent} {kind}"
        path.write_bytes(contents[kind][: len(contents[kind]) * percent // 100])
        return path

    return write


def put(content, position, form, value):
    data = struct.pack(form, value)
    return content[:position] + data + content[position + len(data) :]


# good input


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("sr", [SR, 22050])
def test_samples_are_those_of_load(file, read, kind, sr):
    path = file(kind)
    samples = read(item_of(path), sr)
    expected, _ = audio.load(path, sr=sr)
    assert_same_bits(samples.y, expected)
    native, native_sr = audio.load(path, sr=None)
    assert (samples.n_samples_native, samples.native_sr) == (len(native), native_sr)
    is_for_ffmpeg = kind in ("m4a", "aac", "wma", "webm")
    assert samples.decoder == ("ffmpeg" if is_for_ffmpeg else "libsndfile")


def test_a_small_file_takes_little_memory(file):
    assert reading.read(item_of(file("wav")), SR).y.base is None


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a"])
@pytest.mark.parametrize(
    ("offset", "duration"), [(0.5, 0.7), (1.9, 5.0), (0.0, 0.25), (1.2345678, None)]
)
def test_segments_are_those_of_load(file, kind, offset, duration):
    item = item_of(file(kind), offset=offset, duration=duration)
    expected, _ = audio.load(file(kind), sr=22050, offset=offset, duration=duration)
    assert_same_bits(reading.read(item, 22050).y, expected)


@pytest.mark.parametrize("channels", [2, 5, 64])
def test_channels_are_mixed_as_load_does(tmp_path, channels):
    y = signal()[:, np.newaxis] * np.linspace(1, 0.1, channels)
    path = tmp_path / "many.wav"
    path.write_bytes(encode("WAV", "PCM_16", y=y))
    assert_same_bits(reading.read(item_of(path), 22050).y, audio.load(path, sr=22050)[0])


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a"])
@pytest.mark.parametrize("sr", [SR, 22050])
@pytest.mark.parametrize(("offset", "duration"), [(0.0, None), (0.3, 1.1), (0.1, 1.0001)])
def test_pieces_are_the_samples(file, monkeypatch, kind, sr, offset, duration):
    item = item_of(file(kind), offset=offset, duration=duration)
    whole = reading.read(item, sr)
    monkeypatch.setattr(reading, "_BLOCK", 1000)
    assert_same_bits(reading.read(item, sr).y, whole.y)
    with reading.opened(item) as recording:
        pieces = list(recording.pieces(sr))
        assert recording.n_samples_native == whole.n_samples_native
    assert len(pieces) > 10
    assert_same_bits(np.concatenate(pieces), whole.y)


def test_a_name_does_not_tell_the_content(file, tmp_path, read):
    (tmp_path / "talk.raw").write_bytes(file("flac").read_bytes())
    (item,) = sources.find([str(tmp_path / "talk.raw")])
    assert_same_bits(read(item).y, audio.load(file("flac"), sr=SR)[0])
    (tmp_path / "talk.raw").write_bytes(bytes(range(256)) * 10)
    (item,) = sources.find([str(tmp_path / "talk.raw")])
    with pytest.raises(reading.Failure, match=r"format: .*not recognised"):
        read(item)


@posix
def test_a_name_that_is_not_text(file, tmp_path, read):
    path = os.fsencode(tmp_path) + b"/caf\xe9\n.wav"
    with open(path, "wb") as copy:
        copy.write(file("wav").read_bytes())
    (item,) = sources.find([str(tmp_path)])
    assert_same_bits(read(item).y, audio.load(file("wav"), sr=SR)[0])


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a"])
def test_members_of_archives(file, tmp_path, read, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("one", "two"):
            archive.add(file(kind), f"sub/{name}.wav")
    items = sources.find([str(path)])
    assert [item.id for item in items] == ["sub/one.wav", "sub/two.wav"]
    for item in items:
        assert_same_bits(read(item).y, audio.load(file(kind), sr=SR)[0])


def test_urls(file, failure):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/a.flac", file("flac").read_bytes())
    samples = reading.read(Item("a", "memory://a.flac"), SR)
    assert_same_bits(samples.y, audio.load(file("flac"), sr=SR)[0])
    assert failure(Item("b", "memory://b.flac")).class_ == "not_found"
    assert failure(Item("b", "nosuch://b.flac")).class_ == "remote"


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(reading.Failure, match=r"remote: .*'fastmel\[remote\]'"):
        reading.read(Item("a", "memory://a.flac"), SR)


# bad input


@pytest.mark.parametrize(
    ("kind", "at_10", "at_50", "at_99"),
    [
        ("wav", "truncated", "truncated", "truncated"),
        ("flac", "truncated", "truncated", "truncated"),
        ("aiff", "truncated", "truncated", "truncated"),
        ("au", "truncated", "truncated", "truncated"),
        ("w64", "truncated", "truncated", "truncated"),
        ("rf64", "truncated", "truncated", "truncated"),
        ("ogg", "format", "truncated", "truncated"),  # format: not even the headers are there
        ("opus", "format", "format", "truncated"),
        ("mp3", "truncated", "truncated", "decoded"),  # less than a frame is missing
        ("mp3 without Xing", "decoded", "decoded", "decoded"),  # it does not tell its length
        ("m4a", "format", "format", "format"),  # what tells where the audio is lies at the end
        ("aac", "truncated", "truncated", "truncated"),
        ("wma", "format", "truncated", "decoded"),  # padding at the end
        ("webm", "format", "decoded", "decoded"),  # a stream may end anywhere
    ],
)
def test_truncated_files(file, read, failure, kind, at_10, at_50, at_99):
    for percent, expected in ((10, at_10), (50, at_50), (99, at_99)):
        path = file(kind, percent)
        if expected == "decoded":
            assert_same_bits(read(item_of(path)).y, audio.load(path, sr=SR)[0])
        else:
            assert failure(item_of(path)).class_ == expected


@pytest.mark.parametrize("kind", ["wav", "aiff", "mp3", "ogg"])
def test_parts_of_truncated_files_can_be_had(file, read, kind):
    percent = 99 if kind == "ogg" else 50
    expected, _ = audio.load(file(kind, percent), sr=SR)
    assert 0 < len(expected) < N
    assert_same_bits(read(item_of(file(kind, percent)), partial=True).y, expected)
    segment = item_of(file(kind, percent), offset=0.1, duration=0.2)
    assert len(read(segment).y) == 3200


def test_a_segment_after_the_end(file, failure):
    for kind in ("flac", "m4a"):
        outside = failure(item_of(file(kind), offset=2.1, duration=1))
        assert outside.class_ == "truncated"
        assert "the offset lies outside of it" in outside.message
        assert failure(item_of(file(kind), offset=2.0, duration=1)).class_ == "empty"


def spoilt(kind, position, form, value):
    return lambda: put(ENCODERS[kind](), position, form, value)


def samples_of(subtype, index, value):
    def make():
        y = signal()
        y[index] = value
        return encode("WAV", subtype, y=y)

    return make


def tagged_mp3():
    picture = b"APIC" + bytes(1_000_000 - 4)
    size = bytes((len(picture) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + size + picture + ENCODERS["mp3"]()


def png():
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(72)))


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.flac", ENCODERS["flac"]())
    return file.getvalue()


def without_last_page(kind):
    content = ENCODERS[kind]()
    return content[: content.rfind(b"OggS")]


def endless_ogg():
    """Let the last page state the largest position that there is."""
    content = ENCODERS["ogg"]()
    start = content.rfind(b"OggS")
    page = put(put(content[start:], 6, "<q", 2**63 - 1), 22, "<I", 0)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return content[:start] + put(page, 22, "<I", crc)


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("empty.wav", lambda: b"", "empty"),
        ("header.wav", lambda: ENCODERS["wav"]()[:44], "empty"),
        ("no samples.flac", lambda: encode("WAV", "PCM_16", y=signal()[:0]), "empty"),
        ("data ffffffff.wav", spoilt("wav", 40, "<I", 0xFFFFFFFF), N),
        ("data 7fffffff.wav", spoilt("wav", 40, "<I", 0x7FFFFFFF), N),
        ("data 0.wav", spoilt("wav", 40, "<I", 0), "empty"),
        ("data odd.wav", spoilt("wav", 40, "<I", 2 * N - 1), N - 1),
        ("no channels.wav", spoilt("wav", 22, "<H", 0), "format"),
        ("rate 0.wav", spoilt("wav", 24, "<I", 0), "format"),
        ("rate 1.wav", spoilt("wav", 24, "<I", 1), "too_long"),
        ("rate 4000000.wav", spoilt("wav", 24, "<I", 4_000_000), 128),
        ("1.wav", lambda: encode("WAV", "PCM_16", y=signal()[:1]), 1),
        ("3.wav", lambda: encode("WAV", "PCM_16", y=signal()[:3]), 3),
        ("64 channels.wav", lambda: encode("WAV", "PCM_16", y=np.ones((999, 64)) / 2), 999),
        ("nan.wav", samples_of("FLOAT", 777, np.nan), "nonfinite"),
        ("inf.wav", samples_of("DOUBLE", -1, np.inf), "nonfinite"),
        ("overflow.wav", samples_of("DOUBLE", 5, 3e38), N),
        ("billions.flac", spoilt("flac", 22, ">I", 2**32 - 1), "truncated"),
        ("broken.flac", spoilt("flac", 9000, ">99s", b"U" * 99), "truncated"),
        ("no end.ogg", lambda: without_last_page("ogg"), 29824),
        ("no end.opus", lambda: without_last_page("opus"), 15576),
        ("art.mp3", tagged_mp3, N),
        ("noise first.mp3", lambda: b"\x01\x02\x03" * 999 + ENCODERS["mp3"](), N),
        ("web page.mp3", lambda: b"<!DOCTYPE html><html>404: not found</html>\n" * 20, "format"),
        ("text.wav", lambda: b"No such object.\n", "format"),
        ("picture.wav", png, "format"),
        ("archive.flac", zipped, "format"),
        ("noise.wav", lambda: np.random.default_rng(0).bytes(30000), "format"),
        ("noise.mp3", lambda: np.random.default_rng(1).bytes(30000), "format"),
        ("zeros.wav", lambda: bytes(5000), "format"),
    ],
)
def test_malformed_files(outcome, tmp_path, name, make, expected):
    path = tmp_path / name
    path.write_bytes(make())
    result = outcome(item_of(path))
    if isinstance(result, reading.Failure):
        assert result.class_ == expected, result
        assert str(path) not in result.message
    else:
        assert len(result.y) == expected
        assert_same_bits(result.y, audio.load(path, sr=SR)[0])


def test_a_length_that_is_not_known_is_not_allocated(tmp_path, read):
    path = tmp_path / "endless.ogg"
    path.write_bytes(endless_ogg())
    assert soundfile.info(path).frames == 2**63 - 1
    assert_same_bits(read(item_of(path)).y, audio.load(ENCODERS["ogg"](), sr=SR)[0])


SCIPY = Path(scipy.__file__).parent / "io" / "tests" / "data"

#: of SciPy's odd files, those that cannot be decoded
UNREADABLE = {
    "test-44100Hz-le-1ch-4bytes-early-eof.wav": "truncated",
    "test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav": "format",
    "test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav": "format",
    "test-8000Hz-le-3ch-5S-36bit.wav": "format",
    "test-8000Hz-le-3ch-5S-45bit.wav": "format",
    "test-8000Hz-le-3ch-5S-53bit.wav": "format",
    "test-8000Hz-le-3ch-5S-64bit.wav": "format",
}


def test_the_odd_files_of_scipy(outcome):
    paths = sorted(SCIPY.glob("test-*.wav"))
    if not paths:
        pytest.skip("this SciPy is installed without its tests")
    for path in paths:
        result = outcome(item_of(path))
        if path.name in UNREADABLE:
            assert result.class_ == UNREADABLE[path.name]
        else:
            assert_same_bits(result.y, audio.load(path, sr=SR)[0])


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "m4a", "wma"])
def test_damaged_files_are_decoded_or_classified(file, tmp_path, outcome, kind):
    rng = np.random.default_rng(7)
    original = np.frombuffer(file(kind).read_bytes(), np.uint8)
    for number in range(12):
        content = original[: rng.integers(1, len(original))] if number % 2 else original.copy()
        damaged = content.copy()
        where = rng.integers(0, min(len(damaged), 400 if number % 3 else len(damaged)), 5)
        damaged[where] = rng.integers(0, 256, 5)
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(damaged.tobytes())
        result = outcome(item_of(path))
        if isinstance(result, reading.Failure):
            assert result.class_ in reading.CLASSES
        else:
            assert len(result.y) > 0
            assert np.isfinite(result.y).all()


def test_what_is_not_there(tmp_path, failure, file):
    assert failure(item_of(tmp_path / "gone.wav")).class_ == "not_found"
    assert failure(item_of(file("wav") / "x.wav")).class_ == "not_found"
    assert failure(item_of(tmp_path / ("x" * 300))).class_ == "not_found"


@posix
def test_links_to_nowhere(tmp_path, failure):
    (tmp_path / "gone.wav").symlink_to("nowhere")
    (tmp_path / "self.wav").symlink_to("self.wav")
    for name in ("gone.wav", "self.wav"):
        assert failure(item_of(tmp_path / name)).class_ == "not_found"


def test_a_folder_is_no_file(tmp_path, failure):
    (tmp_path / "x.wav").mkdir()
    assert failure(item_of(tmp_path / "x.wav")).class_ == "format"


@posix
def test_a_pipe_does_not_block(tmp_path, failure):
    os.mkfifo(tmp_path / "y.wav")
    assert failure(item_of(tmp_path / "y.wav")).class_ == "format"


@posix
def test_a_file_that_may_not_be_read(file, tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(file("wav").read_bytes())
    if os.geteuid() == 0:  # who may read all

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(reading, "open", refuse, raising=False)
    else:
        path.chmod(0)
    with pytest.raises(reading.Failure, match="permission: Permission denied"):
        reading.read(item_of(path), SR)


def test_bad_members_of_archives(file, tmp_path, failure):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("empty.wav"))
        archive.add(file("wav"), "whole.wav")
        for type, target in ((tarfile.SYMTYPE, "nowhere.wav"), (tarfile.FIFOTYPE, "")):
            member = tarfile.TarInfo(f"z{type.decode()}")
            member.type, member.linkname = type, target
            archive.addfile(member)
    empty, whole, link, pipe = sources.find([str(path)])
    assert failure(empty).class_ == "empty"
    assert str(failure(link)).startswith("not_found: it is a link to nowhere.wav, which is no")
    assert str(failure(pipe)).startswith("format: it is a pipe")
    content = path.read_bytes()
    path.write_bytes(content[:2048] + b"x" * 80000)
    *_, whole = sources.find([str(path)])
    assert failure(whole).class_ == "format"
    path.write_bytes(content[:20000])
    damaged, _, whole = sources.find([str(path)])
    assert failure(whole).class_ == "truncated"
    assert str(failure(damaged)).startswith("truncated: the archive is damaged: what follows byte")
    path.write_bytes(b"x" * len(content))
    (damaged,) = sources.find([str(path)])
    assert str(failure(damaged)).startswith("format: the archive is damaged")


def test_an_archive_in_a_list_is_no_recording(file, tmp_path, failure):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(file("mp3"), "x.mp3")
    (tmp_path / "a.txt").write_text("a.tar\n")
    (item,) = sources.find([str(tmp_path / "a.txt")])
    assert str(failure(item)).startswith("format: it is an archive")


def test_a_file_that_is_written_anew_is_read_and_recorded_as_it_is(file, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"half a down")
    (item,) = sources.find([str(path)])
    path.write_bytes(file("wav").read_bytes())
    os.utime(path, ns=(1000, 2000))
    with reading.opened(item) as recording:
        assert len(recording.read(SR)) == N
    assert (recording.item.size, recording.item.mtime_ns) == (path.stat().st_size, 2000)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_member_that_is_another_now_is_not_read(file, tmp_path, failure, format):
    names = ["a.wav", "é.wav", "d/" * 40 + "x" * 50, "d/" * 40 + "x" * 49 + "y"]
    path = tmp_path / "a.tar"

    def make(names):
        with tarfile.open(path, "w", format=format) as archive:
            for name in names:
                archive.add(file("wav"), name)

    make(names)
    items = sources.find([str(path)])
    assert sorted(sources.split_source(item.source)[1] for item in items) == sorted(names)
    for item in items:
        assert len(reading.read(item, SR).y) == N
    make(names[1:] + names[:1])
    for item in items:
        assert failure(item).class_ == "changed"
    mtime_ns = items[0].mtime_ns
    os.utime(path, ns=(mtime_ns, mtime_ns))
    for item in items:
        assert failure(item).class_ == "changed"
    path.write_bytes(path.read_bytes()[:100])
    os.utime(path, ns=(mtime_ns, mtime_ns))
    for item in items:
        assert failure(item).class_ == "changed"


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("format", ["gnu", "posix"])
def test_sparse_members_of_archives_are_told(tmp_path, failure, format):
    with open(tmp_path / "sparse.wav", "wb") as hole:
        hole.write(encode("WAV", "PCM_16")[:512])
        hole.truncate(1 << 20)
    words = ["tar", f"--format={format}", "-S", "-cf", "a.tar", "sparse.wav"]
    if subprocess.run(words, cwd=tmp_path, check=False).returncode:
        pytest.skip("this tar makes no sparse members")
    (item,) = sources.find([str(tmp_path / "a.tar")])
    assert item.id == "sparse.wav"
    assert str(failure(item)).startswith("format: it is a sparse file")


def test_what_is_longer_than_the_limit(file, failure):
    for kind in ("wav", "m4a"):
        assert failure(item_of(file(kind)), longest=1.5).class_ == "too_long"
    assert len(reading.read(item_of(file("wav")), SR, longest=2).y) == N


def test_storage_that_breaks_down(file, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(reading, "open", fail, raising=False)
    with pytest.raises(reading.Failure, match="remote: Input/output error"):
        reading.read(item_of(file("wav")), SR)


@pytest.mark.parametrize(
    ("error", "class_"), [(MemoryError(), "oom"), (ZeroDivisionError("oops"), "format")]
)
def test_errors_of_every_kind_are_classified(file, monkeypatch, error, class_):
    @contextmanager
    def fail(source):
        raise error
        yield

    monkeypatch.setattr(audio, "open_audio", fail)
    with pytest.raises(reading.Failure) as caught:
        reading.read(item_of(file("wav")), SR)
    assert caught.value.class_ == class_


def test_errors_of_the_caller_are_not_classified(file):
    def use():
        with reading.opened(item_of(file("wav"))):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        use()


def test_failures_travel_between_processes():
    failure = reading.Failure("format", "open", "two\nlines", "ffmpeg")
    copy = pickle.loads(pickle.dumps(failure))
    assert (copy.class_, copy.stage, copy.message, copy.decoder) == (
        "format", "open", "two lines", "ffmpeg",
    )  # fmt: skip
    assert str(copy) == "format: two lines"
