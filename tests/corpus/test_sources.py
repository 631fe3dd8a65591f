import inspect
import io
import json
import os
import sys
import tarfile
import time

import pytest

from fastmel import ParameterError
from fastmel.corpus.sources import Item, escape, find, split_source, unescape

posix = pytest.mark.skipif(sys.platform == "win32", reason="names and links of POSIX")


@pytest.fixture
def tree(tmp_path):
    """Make files, of their names' length, and return their folder."""

    def make(*names, folder="data"):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * len(path.name))
        return tmp_path / folder

    return make


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest beside the folder `data`."""

    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_text(content, encoding=encoding, newline="")
        return str(path)

    return write


def ids(*inputs, **kwargs):
    return [item.id for item in find([os.fspath(one) for one in inputs], **kwargs)]


# names


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("speaker/talk one.flac", "speaker/talk one.flac"),
        ("naïve/日本.wav", "naïve/日本.wav"),
        ("100%.wav", "100%25.wav"),
        ("two\nlines\t.wav", "two%0Alines%09.wav"),
        ("latin-\udce9.wav", "latin-%E9.wav"),
        ("right\u202eleft", "right%E2%80%AEleft"),
    ],
)
def test_names_are_escaped_and_back(name, escaped):
    assert escape(name) == escaped
    assert unescape(escaped) == name
    json.dumps(escaped).encode("utf-8")


def test_items_go_through_json_and_back():
    item = Item("a", "/a", 1.5, 2.0, 3, 4, 5, {"text": "ja"})
    assert Item(**json.loads(json.dumps(item.to_dict()))) == item
    assert Item("a", "/a").to_dict() == {"id": "a", "source": "/a"}


# folders


def test_a_folder_is_listed_with_its_subfolders(tree):
    folder = tree("b/2.wav", "b/10.wav", "a.mp3", "b/c/x", "B/1.flac")
    items = find([str(folder)])
    assert [item.id for item in items] == ["B/1.flac", "a.mp3", "b/10.wav", "b/2.wav", "b/c/x"]
    first = items[0]
    assert first.source == (folder / "B" / "1.flac").as_posix()
    assert (first.offset, first.duration, first.size) == (0.0, None, 6)
    assert first.mtime_ns == (folder / "B" / "1.flac").stat().st_mtime_ns


def test_what_is_hidden_or_no_audio_is_left_out(tree):
    folder = tree(
        "a.wav", ".b.wav", "._a.wav", ".git/c.wav", "d/.DS_Store", "a.txt", "a.TextGrid",
        "README.md", "d/cover.JPG", "all.json", "noise.bin", "page.html",
    )  # fmt: skip
    assert ids(folder) == ["a.wav", "noise.bin"]


def test_what_is_named_is_taken_whatever_it_is_called(tree):
    folder = tree(".hidden.wav", "picture.png")
    assert ids(folder / ".hidden.wav", folder / "picture.png") == [".hidden.wav", "picture.png"]


def test_ids_are_relative_to_what_the_inputs_have_in_common(tree):
    folder = tree("train/a.wav", "dev/a.wav", "dev/b/a.wav")
    assert ids(folder / "dev") == ["a.wav", "b/a.wav"]
    assert ids(folder / "train", folder / "dev") == ["dev/a.wav", "dev/b/a.wav", "train/a.wav"]
    assert ids(folder / "dev" / "b" / "a.wav") == ["a.wav"]
    assert ids(folder / "dev" / "b" / "a.wav", folder / "train") == ["dev/b/a.wav", "train/a.wav"]


def test_the_order_of_the_inputs_changes_nothing(tree):
    folder = tree("a/x.wav", "b/x.wav", "c/x.wav")
    inputs = [str(folder / name) for name in "abc"]
    assert find(inputs) == find(inputs[::-1]) == find([*inputs, inputs[1]])


def test_stems_may_be_the_same(tree):
    assert ids(tree("a.wav", "a.flac", "a")) == ["a", "a.flac", "a.wav"]


def test_hard_linked_files_are_items_each(tree):
    folder = tree("a.wav")
    os.link(folder / "a.wav", folder / "b.wav")
    assert ids(folder) == ["a.wav", "b.wav"]


@posix
def test_links_are_followed_but_not_in_circles(tree, tmp_path):
    folder = tree("a/x.wav")
    tree("y.wav", folder="elsewhere")
    (folder / "a" / "up").symlink_to("..")
    (folder / "b").symlink_to("a")
    (folder / "far").symlink_to(tmp_path / "elsewhere")
    (folder / "self.wav").symlink_to("self.wav")
    (folder / "gone.wav").symlink_to("nowhere.wav")
    items = find([str(folder)])
    assert [item.id for item in items] == [
        "a/x.wav", "b/x.wav", "far/y.wav", "gone.wav", "self.wav",
    ]  # fmt: skip
    assert find([str(folder / "**")]) == find([str(folder / "**" / "*.wav")]) == items
    assert [item.size for item in items] == [5, 5, 5, None, None]


@posix
@pytest.mark.parametrize(
    ("name", "id"),
    [
        (b"caf\xe9.wav", "caf%E9.wav"),
        (b"two\nlines.wav", "two%0Alines.wav"),
        (b"a::b.wav", "a::b.wav"),
        (b"50%.wav", "50%25.wav"),
        (b" .wav", " .wav"),
        (b"x" * 250, "x" * 250),
    ],
)
def test_odd_names_lead_back_to_their_files(tmp_path, name, id):
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        with open(path, "wb") as file:
            file.write(b"abc")
    except OSError:
        pytest.skip("the file system has no such names")
    (item,) = find([str(tmp_path)])
    assert item.id == id
    json.dumps(item.to_dict(), ensure_ascii=False).encode("utf-8")
    source, member = split_source(item.source)
    assert member is None
    with open(source, "rb") as file:
        assert file.read() == b"abc"


@posix
def test_what_is_no_file_is_an_item_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert ids(tmp_path) == ["pipe.wav"]
    assert ids(tmp_path / "pipe.wav") == ["pipe.wav"]


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_cannot_be_listed_is_refused(tree):
    folder = tree("a/x.wav")
    (folder / "a").chmod(0)
    with pytest.raises(ParameterError, match="cannot be listed: Permission denied"):
        find([str(folder)])


@posix
def test_folders_may_be_deeper_than_the_stack(tree, tmp_path):
    depth, limit = 300, sys.getrecursionlimit()
    tree("d/" * depth + "x.wav")
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        assert ids(tmp_path / "data") == ["d/" * depth + "x.wav"]
    finally:
        sys.setrecursionlimit(limit)


def test_many_names_are_listed_in_time(tmp_path):
    (tmp_path / "seed").write_bytes(b"x")
    for number in range(3000):
        os.link(tmp_path / "seed", tmp_path / f"{number:04d}.wav")
    start = time.perf_counter()
    assert len(find([str(tmp_path)])) == 3001
    assert time.perf_counter() - start < 3  # 20 s for 100,000 are 0.6 s


# globs


def test_globs(tree):
    folder = tree("a/1.wav", "a/2.wav", "b/1.wav", "b/c/1.wav", "b/1.txt", "b/.1.wav")
    assert ids(folder / "*" / "1.wav") == ["a/1.wav", "b/1.wav"]
    assert ids(folder / "**" / "1.*") == ["a/1.wav", "b/1.wav", "b/c/1.wav"]
    assert ids(folder / "[b-z]*") == ["b/1.wav", "b/c/1.wav"]
    assert ids(folder / "b" / "?.wav") == ["1.wav"]
    for pattern in ("*.ogg", "b/*.txt"):
        with pytest.raises(ParameterError, match="no audio has a name of this form; lists and tab"):
            find([str(folder / pattern)])


def test_a_file_with_a_name_like_a_glob(tree):
    folder = tree("[a].wav", "a.wav")
    assert ids(folder / "[a].wav") == ["[a].wav"]


# manifests


def test_a_list(tree, manifest, tmp_path, monkeypatch):
    folder = tree("a.wav", "b c.wav", "d.wav")
    content = f"data/a.wav\r\n\ndata/b c.wav\n{folder / 'd.wav'}\ndata/gone.wav"
    items = find([manifest("list.txt", content)])
    assert [item.id for item in items] == ["a.wav", "b c.wav", "d.wav", "gone.wav"]
    assert [item.size for item in items] == [5, 7, 5, None]
    assert items[3].source == (folder / "gone.wav").as_posix()


def test_paths_may_be_relative_to_the_working_directory(tree, tmp_path, monkeypatch):
    tree("a.wav")
    lists = tree("all.lst", folder="lists")
    (lists / "all.lst").write_text("data/a.wav\n")
    monkeypatch.chdir(tmp_path)
    (item,) = find([str(lists / "all.lst")])
    assert item.source == (tmp_path / "data" / "a.wav").as_posix()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a.wav\nb\n", ["a.wav", "b"]),
        ("a.wav\0two\nlines.wav\0", ["a.wav", "two%0Alines.wav"]),
        ('{"audio_filepath": "a.wav", "id": "utterance"}\n', ["utterance"]),
        ("\ufeffa.wav\n", ["a.wav"]),
        ('\ufeff{"path": "a.wav"}\n', ["a.wav"]),
    ],
)
def test_standard_input(content, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ids("-", stdin=io.StringIO(content)) == expected
    assert ids("-", stdin=io.TextIOWrapper(io.BytesIO(content.encode()))) == expected


def test_names_on_standard_input_need_not_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ids("-", stdin=io.TextIOWrapper(io.BytesIO(b"caf\xe9.wav\n"))) == ["caf%E9.wav"]


def test_a_table_of_common_voice(tree, manifest, tmp_path):
    tree("clips/one.mp3", "clips/two.mp3", folder=".")
    path = manifest(
        "train.tsv",
        "client_id\tpath\tsentence\tup_votes\taccents\n"
        'abc\tone.mp3\t"Go, he said.\t2\t\n'
        "def\ttwo.mp3\tJa — \u2028nein\t0\tnorth\n",
    )
    one, two = find([path])
    assert [one.id, two.id] == ["one.mp3", "two.mp3"]
    assert one.source == (tmp_path / "clips" / "one.mp3").as_posix()
    assert one.extra == {"client_id": "abc", "sentence": '"Go, he said.', "up_votes": "2"}
    assert two.extra["sentence"] == "Ja — \u2028nein"


def test_a_table_with_commas_and_segments(tree, manifest):
    tree("long.wav")
    path = manifest(
        "all.csv",
        "\ufeffid,audio,offset,duration,text,sr\n"
        'u2,data/long.wav,1.5,2,"one, two",8000\n'
        ",data/long.wav,0.25,0.5,,\n"
        ",data/long.wav,7,,,\n",
    )
    segment, rest, named = find([path])
    assert named == Item(
        "u2", named.source, 1.5, 2.0, 8, named.mtime_ns,
        extra={"text": "one, two", "manifest_sr": "8000"},
    )  # fmt: skip
    assert (segment.id, segment.offset, segment.duration) == ("long.wav#250-750", 0.25, 0.5)
    assert (rest.id, rest.offset, rest.duration) == ("long.wav#7000-", 7.0, None)


def test_columns_stand_beside_what_a_run_records(tree, manifest):
    tree("a.wav")
    row = '{"path": "data/a.wav", "file": "f", "level": 5, "mel": "m", "row": 1}'
    [item] = find([manifest("m.jsonl", row)])
    assert item.extra == {
        "manifest_file": "f", "manifest_level": "5", "manifest_mel": "m", "manifest_row": "1",
    }  # fmt: skip


def test_halves_of_characters_are_written_as_what_is_no_character(tree, manifest):
    tree("a.wav")
    [item] = find(
        [manifest("m.jsonl", r'{"path": "data/a.wav", "text": "a\ud83d", "\ude00": "b"}')]
    )
    assert item.extra == {"text": "a\ufffd", "\ufffd": "b"}
    [item] = find([manifest("n.jsonl", r'{"path": "data/\ud83d.wav"}')])
    assert item.source.endswith("\ufffd.wav")


def test_json_lines_of_nemo(tree, manifest):
    tree("a.wav", "b.wav")
    path = manifest(
        "train.json",
        '{"audio_filepath": "data/a.wav", "duration": 12.3, "text": "ja", "speaker": 7}\n\n'
        '{"audio_filepath": "data/b.wav", "offset": 0.5, "duration": 1.25, "lang": null}\n'
        '{"audio_filepath": "data/b.wav", "offset": 0, "duration": 0.5, "tags": ["x"]}\n',
    )
    a, first, second = find([path])
    assert (a.id, a.offset, a.duration) == ("a.wav", 0.0, None)  # all of it
    assert a.extra == {"text": "ja", "speaker": "7"}
    assert (first.id, first.offset, first.duration) == ("b.wav#0-500", 0.0, 0.5)
    assert first.extra == {"tags": '["x"]'}
    assert (second.id, second.offset, second.duration) == ("b.wav#500-1750", 0.5, 1.25)


def test_kaldi(tree, tmp_path):
    tree("one.flac", "two.flac")
    kaldi = tree("wav.scp", folder="train")
    (kaldi / "wav.scp").write_text("rec1 ../data/one.flac\nrec2\t../data/two.flac\n")
    one, two = find([str(kaldi / "wav.scp")])
    assert (one.id, one.source) == ("rec1", (tmp_path / "data" / "one.flac").as_posix())
    assert (two.id, two.size) == ("rec2", 8)
    (kaldi / "segments").write_text("u1 rec1 0 1.5\nu2 rec1 2.25 -1\nu3 rec2 0.5 0.75\n")
    items = find([str(kaldi / "wav.scp")])
    assert [(i.id, i.source, i.offset, i.duration) for i in items] == [
        ("u1", one.source, 0.0, 1.5),
        ("u2", one.source, 2.25, None),
        ("u3", two.source, 0.5, 0.25),
    ]


@pytest.mark.parametrize(
    ("scp", "segments", "message"),
    [
        ("u1 sox a.wav -t wav - |\n", None, r"wav.scp, line 1: u1 is the output of a command"),
        ("u1 a.wav\nu2 foo.ark:123\n", None, r"wav.scp, line 2: u2 lies in an ark file"),
        ("u1\n", None, r"line 1: not an id and a path"),
        ("u1 a.wav\nu1 b.wav\n", None, r"line 2: u1 was there before"),
        ("r a.wav\n", "u1 r 0\n", r"segments, line 1: not an id, a recording"),
        ("r a.wav\n", "u1 q 0 1\n", r"segments, line 1: there is no recording q"),
        ("r a.wav\n", "u1 r 0 x\n", r"segments, line 1: 'x' is no time in seconds"),
        ("r a.wav\n", "u1 r 2 1\n", r"segments, line 1: u1 ends before it begins"),
        ("r a.wav\n", "u1 r 0 1\nu1 r 1 2\n", r"segments, line 2: u1 was there before"),
        ("/ a.wav\n", None, r"wav.scp, line 1: '/' is no id"),
        ("r a.wav\n", "// r 0 1\n", r"segments, line 1: '//' is no id"),
    ],
)
def test_bad_lines_of_kaldi_are_refused(tmp_path, scp, segments, message):
    (tmp_path / "wav.scp").write_text(scp)
    if segments:
        (tmp_path / "segments").write_text(segments)
    with pytest.raises(ParameterError, match=message):
        find([str(tmp_path / "wav.scp")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"path": "a"}\n{"path"', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", "[1]\n", r"line 1: not a JSON object"),
        ("a.jsonl", '{"text": "a"}\n', r"line 1: there is no path; .*audio_filepath"),
        ("a.jsonl", '{"path": "a", "id": ""}\n', r"line 1: '' is no id; there must be a name"),
        ("a.csv", "path,id\na,/\n", r"line 2: '/' is no id"),
        ("a.csv", "name,text\nx,y\n", r"line 2: there is no path"),
        ("a.csv", "path,offset\nx,nan\n", r"line 2: 'nan' is no time"),
        ("a.csv", "path,offset,duration\nx,0,-3\n", r"line 2: '-3' is no time"),
        ("a.csv", 'path,text\nx,"' + "y" * 140_000 + '"\n', r"field larger than field limit"),
        ("a.txt", "\n\n", r"there is no audio in the inputs"),
    ],
)
def test_bad_manifests_are_refused(manifest, name, content, message):
    with pytest.raises(ParameterError, match=message):
        find([manifest(name, content)])


def test_ids_must_differ(tree, manifest):
    tree("a.wav", "b.wav")
    path = manifest("a.csv", "id,path\nx,data/a.wav\nx,data/b.wav\n")
    with pytest.raises(ParameterError, match=r"the id x: .*a\.wav and .*b\.wav; give each an id"):
        find([path])


@pytest.mark.parametrize(
    ("id", "safe"), [("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"), ("/a//./b", "a/%2E/b")]
)
def test_ids_stay_where_they_are_put(tree, manifest, id, safe):
    tree("a.wav")
    assert ids(manifest("a.csv", f"id,path\n{id},data/a.wav\n")) == [safe]


# archives


def archive(path, *members, **kwargs):
    with tarfile.open(path, "w", **kwargs) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_members_of_an_archive_are_found_where_they_lie(tmp_path):
    members = [("b/x.flac", b"12345"), ("./a.wav", b"678"), ("a.json", b"{}"), ("b/._x", b"9")]
    path = archive(tmp_path / "a.tar", *members, ("long" * 60 + ".wav", b"0" * 600))
    items = find([str(path)])
    assert [item.id for item in items] == ["a.wav", "b/x.flac", "long" * 60 + ".wav"]
    with tarfile.open(path) as tar:
        offsets = {member.name: member.offset for member in tar}
    assert [item.position for item in items] == [
        offsets["./a.wav"], offsets["b/x.flac"], offsets["long" * 60 + ".wav"],
    ]  # fmt: skip
    assert [item.size for item in items] == [3, 5, 600]
    assert items[1].source == f"{path.as_posix()}::b/x.flac"
    assert split_source(items[1].source) == (path.as_posix(), "b/x.flac")


def test_archives_are_folders_among_others(tmp_path):
    (tmp_path / "sub").mkdir()
    archive(tmp_path / "sub" / "1.tar", ("x.wav", b"1"))
    archive(tmp_path / "sub" / "2.tar", ("x.wav", b"2"))
    (tmp_path / "y.wav").write_bytes(b"3")
    assert ids(tmp_path) == ["sub/1.tar/x.wav", "sub/2.tar/x.wav", "y.wav"]
    assert ids(tmp_path / "sub" / "*.tar") == ["1.tar/x.wav", "2.tar/x.wav"]


def test_an_archive_that_breaks_off_is_an_item_beside_its_members(tmp_path):
    path = archive(tmp_path / "a.tar", ("x.wav", b"1" * 5000), ("y.wav", b"2" * 5000))
    path.write_bytes(path.read_bytes()[:8000])
    assert ids(tmp_path) == ["a.tar", "a.tar/x.wav", "a.tar/y.wav"]
    path.write_bytes(b"no archive")
    assert ids(path) == ["a.tar"]


@pytest.mark.parametrize("cut", [4096 + 300, 4096])
def test_an_archive_that_breaks_off_between_members_is_whole_or_an_item(tmp_path, cut):
    path = archive(tmp_path / "a.tar", *((f"{name}.wav", b"1" * 1500) for name in "xyz"))
    path.write_bytes(path.read_bytes()[:cut])
    assert ids(tmp_path) == ["a.tar"] * (cut % 512 > 0) + ["a.tar/x.wav", "a.tar/y.wav"]


@pytest.mark.parametrize("header", [0, 2048, 4096])
def test_an_archive_with_a_damaged_header_is_an_item_beside_the_members_before(tmp_path, header):
    path = archive(tmp_path / "a.tar", *((f"{name}.wav", b"1" * 1500) for name in "xyz"))
    content = bytearray(path.read_bytes())
    content[header + 148 : header + 156] = b"damaged!"
    path.write_bytes(content)
    damaged, *members = find([str(tmp_path)])
    assert (damaged.id, damaged.position) == ("a.tar", header)
    assert [member.id for member in members] == ["a.tar/x.wav", "a.tar/y.wav"][: header // 2048]


def test_archives_one_after_the_other_in_a_file_are_one(tmp_path):
    parts = [archive(tmp_path / name, (f"{name}.wav", b"1")) for name in "ab"]
    path = tmp_path / "both.tar"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert ids(path) == ["a.wav", "b.wav"]
    path.write_bytes(path.read_bytes() + b"something else")
    assert ids(path) == ["both.tar", "both.tar/a.wav", "both.tar/b.wav"]


def test_empty_archives(tmp_path):
    (tmp_path / "nothing.tar").write_bytes(b"")
    assert ids(tmp_path) == ["nothing.tar"]
    archive(tmp_path / "whole.tar")
    archive(tmp_path / "x.tar", ("x.wav", b"1"))
    assert ids(tmp_path / "whole.tar", tmp_path / "x.tar") == ["x.wav"]


def test_of_members_by_the_same_name_the_last_counts(tmp_path):
    path = archive(tmp_path / "a.tar", ("./x.wav", b"1"), ("y.wav", b"22"), ("x.wav", b"333"))
    assert [(item.id, item.size) for item in find([str(path)])] == [("x.wav", 3), ("y.wav", 2)]


def test_links_in_archives_are_followed(tmp_path):
    links = [
        (tarfile.LNKTYPE, "hard.wav", "d/x.wav"),
        (tarfile.LNKTYPE, "d/x.wav", "d/x.wav"),  # as tar writes what it is given twice
        (tarfile.SYMTYPE, "d/e/soft.wav", "../far.wav"),
        (tarfile.SYMTYPE, "d/far.wav", "/hard.wav"),
        (tarfile.SYMTYPE, "gone.wav", "../elsewhere.wav"),
        (tarfile.SYMTYPE, "round.wav", "round.wav"),
        (tarfile.FIFOTYPE, "pipe.wav", ""),
        (tarfile.SYMTYPE, "notes.txt", "d/x.wav"),
    ]
    path = archive(tmp_path / "a.tar", ("d/x.wav", b"123"))
    with tarfile.open(path, "a") as tar:
        for type, name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = type, target
            tar.addfile(member)
    found = {item.id: (split_source(item.source)[1], item.size) for item in find([str(path)])}
    assert found == {
        **dict.fromkeys(("d/x.wav", "hard.wav", "d/e/soft.wav", "d/far.wav"), ("d/x.wav", 3)),
        **{name: (name, None) for name in ("gone.wav", "round.wav", "pipe.wav")},
    }


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"")
    with pytest.raises(ParameterError, match=r"compressed archive .* decompress it"):
        find([str(path)])


# URLs, and what is no input


def test_urls_have_ids_too(manifest):
    pytest.importorskip("fsspec")
    items = find([manifest("a.txt", "memory://bucket/b/x.flac\nmemory://other/y.wav\n")])
    assert [item.id for item in items] == ["bucket/b/x.flac", "other/y.wav"]
    assert items[0].source == "memory://bucket/b/x.flac"


@posix
def test_urls_of_files_are_their_paths(tree, manifest):
    folder = tree("a::b.wav", "50%.wav", "s/caf\udce9.wav")
    archive(folder / "t.tar", ("x.wav", b"1"))
    items = find([str(folder)])
    assert len(items) == 4
    assert find([f"file://{folder}"]) == find([f"local://{folder}/**"]) == items
    listed = find([manifest("a.txt", f"file://{folder}/50%.wav\nfile://{folder}/a::b.wav\n")])
    assert listed == [one for one in items if one.id in ("50%25.wav", "a::b.wav")]


def test_urls_are_text(manifest):
    pytest.importorskip("fsspec")
    (item,) = find([manifest("a.txt", "http://host/caf\xe9 %C3%A9.wav\n", encoding="latin-1")])
    assert item.source == "http://host/caf%E9 %C3%A9.wav"


def test_what_cannot_be_an_input_is_refused(tmp_path):
    for name in ("", "file://"):
        with pytest.raises(ParameterError, match="an input is an empty word"):
            find([name])
    with pytest.raises(ParameterError, match="there is no such file or folder"):
        find([str(tmp_path / "gone.wav")])
    with pytest.raises(ParameterError, match="there is no audio"):
        find([str(tmp_path)])
