"""What the inputs of a corpus name: folders, globs, manifests, archives -> items, sorted by id.

Planning only lists: nothing is decoded, and files are not opened, but for manifests and archives.
What a manifest lists is an item whether it exists or not, so that nothing is lost on the way:
reading it fails later, and says why.
"""

import csv
import fnmatch
import glob
import io
import json
import math
import os
import posixpath
import re
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import PurePath
from typing import IO, Any, TextIO
from urllib.parse import unquote_to_bytes

from fastmel.corpus import remote
from fastmel.exceptions import ParameterError

__all__ = [
    "META", "Item", "escape", "find", "is_archive", "is_url", "split_source", "unescape",
]  # fmt: skip

#: what is written with each item; columns of a manifest by these names travel as "manifest_..."
META = (
    "id", "source", "sr", "native_sr", "samples", "frames", "features", "dtype", "layout",
    "offset", "duration", "size", "mtime_ns", "decoder",
)  # fmt: skip

#: what a run records of items besides, and the features: a manifest's column of one of these
#: names is renamed
_RECORDED = frozenset(META) | {
    "file", "key", "data_start", "data_bytes", "row_group", "row", "level", "shard", "mel",
}  # fmt: skip

#: halves of characters, as JSON can have them, that stand for no byte of a name
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")

#: what lies beside the audio in folders and archives of corpora, and is no audio
_COMPANIONS = frozenset(
    f".{suffix}"
    for suffixes in (
        "bib cff cfg doc docx htm html ini ipynb json jsonl log md md5 ndjson pdf py rst sh sha1",
        "sha256 toml txt xml ark csv h5 hdf5 list lst npy npz parquet pkl pt scp tsv xlsx yaml yml",
        "cls ctm eaf lab lrc mid midi mlf phn rttm srt stm textgrid trn uem vtt wrd",
        "bmp gif jpeg jpg png svg webp",
    )
    for suffix in suffixes.split()
)

#: columns by what they say, the first that is there
_PATH_COLUMNS = (
    "audio_filepath", "path", "audio", "audio_path", "filepath", "file_path", "filename",
    "file_name", "file", "wav",
)  # fmt: skip
_ID_COLUMNS = ("id", "ID", "utt_id", "utterance_id")

#: symbolic links from one to the next that are followed, as many as by Linux
_LINKS = 40

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ON_DISK = re.compile(r"\A(file|local)://(/(?=[A-Za-z]:))?")
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Item:
    """A recording, or a segment of one: what becomes one matrix of features.

    Attributes
    ----------
    id : str
        Its name in the output, unique in a corpus: the path relative to the inputs' common folder,
        escaped (see :func:`escape`), for segments followed by ``#start-end`` in milliseconds; or
        the id that the manifest gives.
    source : str
        Where it is: an absolute path, ``archive.tar::member``, both escaped, or a URL.
    offset : float
        Where it begins, in seconds.
    duration : float, optional
        How long it is, in seconds; None: to the end.
    size, mtime_ns : int, optional
        Bytes of the file, or of the archive's member, and when the file was last changed.
    position : int, optional
        Where the member's header begins in the archive; where an archive is damaged, if it is that
        which is the item.
    extra : dict of str
        Other columns of the manifest, which travel along.
    """

    id: str
    source: str
    offset: float = 0.0
    duration: float | None = None
    size: int | None = None
    mtime_ns: int | None = None
    position: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what `Item(**...)` takes, without what has its default value."""
        values = {name: getattr(self, name) for name in _ITEM_FIELDS}
        return {k: v for k, v in values.items() if v is not None and v != {} and (k, v) != _START}


_ITEM_FIELDS = tuple(f.name for f in fields(Item))
_START = ("offset", 0.0)


def find(inputs: Sequence[str], *, stdin: TextIO | None = None) -> list[Item]:
    """Return the items that inputs name, sorted by id.

    Parameters
    ----------
    inputs : sequence of str
        Each of them one of

        - an audio file, whatever its name;
        - a folder: all files in it and its subfolders but those whose names begin with a dot, and
          those that are no audio by their suffix (texts, tables, pictures, ...);
        - a glob: ``*``, ``?``, ``[...]`` and ``**``, if there is no file of this name;
        - a list (``.txt``, ``.lst``, ``.list``): one path a line;
        - a table (``.csv``, ``.tsv``) with a header, or JSON lines (``.jsonl``, ``.ndjson``,
          ``.json``): with a path ("path", "audio_filepath", ...), and perhaps "id", and for
          segments "offset" and "duration" in seconds; a duration without an offset is that of the
          whole file, which is read to its end;
        - ``wav.scp`` of Kaldi, which names recordings, or segments if ``segments`` lies beside it;
        - a tar file (``.tar``): its members, which are read where they are, and links to them;
        - the URL of any of these but archives, which fsspec reads, recordings as a whole; on the
          web there are no folders and globs; ``file://`` stands for a path;
        - ``-``: a list, or JSON lines, on standard input.

        Paths in manifests are relative to the manifest's folder, in tables also to its folder
        ``clips``; if they are not there, to the working directory. Those in a manifest at a URL are
        not looked up.
    stdin : text file, optional
        Standard input.

    Returns
    -------
    list of Item
        With unique ids.

    Raises
    ------
    ParameterError
        If an input is none of these, or two items have the same id.
    """
    found = [one for name in inputs for one in _expand(name, stdin)]
    remote.check(one.path for one in found if is_url(one.path))
    if not found:
        raise ParameterError("there is no audio in the inputs")
    return _named(found)


# names


def escape(name: str) -> str:
    r"""Return a name as printable text, other bytes and "%" as ``%XX``.

    Examples
    --------
    >>> escape("café/100 %\n.wav")
    'café/100 %25%0A.wav'
    """
    if name.isprintable() and "%" not in name:
        return name
    return "".join(
        c if c.isprintable() and c != "%" else "".join(f"%{b:02X}" for b in os.fsencode(c))
        for c in name
    )


def unescape(name: str) -> str:
    """Return the name that :func:`escape` was given."""
    return os.fsdecode(unquote_to_bytes(name)) if "%" in name else name


def is_url(source: str) -> bool:
    """Whether this is a URL, and no path."""
    return _URL.match(source) is not None


def is_archive(source: str) -> bool:
    """Whether a path or a URL is that of a tar file."""
    return _suffix(source) == ".tar"


def split_source(source: str) -> tuple[str, str | None]:
    """Return the path of an item's source, and the member's name if it is in an archive."""
    path, _, member = source.partition("::")
    return unescape(path), unescape(member) if member else None


def _escape_path(path: str) -> str:
    return escape(path).replace("::", "%3A%3A")


# one input after the other


@dataclass(slots=True)
class _Found:
    """An item without its id."""

    path: str  # absolute, or a URL
    root: str  # the folder that its id is relative to, if no other input lies elsewhere
    member: str | None = None
    name: str = ""  # of the member, or of the link to it, from the archive's root
    id: str | None = None
    offset: float | None = None  # None: no segment
    duration: float | None = None
    size: int | None = None
    mtime_ns: int | None = None
    position: int | None = None
    extra: dict[str, str] = field(default_factory=dict)


def _expand(name: str, stdin: TextIO | None) -> Iterator[_Found]:
    if name == "-":
        return _read_stdin(stdin or sys.stdin)
    name = _without_protocol(name)
    if not name:
        raise ParameterError("an input is an empty word; give the name of a file or a folder")
    if is_url(name):
        return _MANIFESTS.get(_suffix(name), _remote)(name)
    path = os.path.abspath(name)
    if os.path.isdir(path):
        return _walk(path, path)
    if os.path.lexists(path):
        return _MANIFESTS.get(_suffix(path), _single)(path)
    if _MAGIC.search(name):
        return _glob(name, path)
    raise ParameterError(f"{escape(name)}: there is no such file or folder")


def _without_protocol(name: str) -> str:
    """Return the path of a URL that is one, and every other name as it is."""
    return _ON_DISK.sub("", name)


def _suffix(path: str) -> str:
    if is_url(path):
        path = path.partition("::")[0].partition("?")[0]
    return os.path.splitext(path)[1].lower()


def _remote(url: str) -> Iterator[_Found]:
    """Yield what a URL names: a file, whatever its name, or the audio in a folder."""
    if is_archive(url):
        raise ParameterError(
            f"{url}: archives are read from disks only; copy it to one, or give a folder of its "
            "members"
        )
    root, entries = remote.find(url)
    for entry in entries:
        inside = _url_path(entry.url).removeprefix(_url_path(root))
        is_named = _url_path(entry.url) == _url_path(url)
        is_hidden = re.search(r"(^|/)\.[^/]", inside)
        if not is_named and (is_hidden or _suffix(entry.url) in _COMPANIONS):
            continue
        extra = {} if entry.etag is None else {"etag": entry.etag}
        yield _Found(entry.url, root, size=entry.size, mtime_ns=entry.mtime_ns, extra=extra)


def _single(path: str) -> Iterator[_Found]:
    if re.search(r"\.(tar\.\w+|tgz|tbz2?|txz)$", path.lower()):
        raise ParameterError(
            f"{escape(path)}: members of a compressed archive cannot be read in any order; "
            "decompress it to .tar"
        )
    return _file(path, path if is_archive(path) else os.path.dirname(path))


def _file(path: str, root: str) -> Iterator[_Found]:
    return _members(path, root) if is_archive(path) else iter([_at(path, root)])


def _at(path: str, root: str) -> _Found:
    size, mtime_ns = _stat(path)
    return _Found(path, root, size=size, mtime_ns=mtime_ns)


def _stat(path: str) -> tuple[int | None, int | None]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null character
        return None, None
    return status.st_size, status.st_mtime_ns


def _walk(folder: str, root: str) -> Iterator[_Found]:
    """Yield what is in a folder; links are followed, but not into a folder that we are in."""
    left: list[tuple[str, tuple[tuple[int, int], ...]]] = [(folder, ())]
    while left:
        folder, parents = left.pop()
        try:
            status = os.stat(folder)
            here = (status.st_dev, status.st_ino)
            if here in parents:
                continue
            with os.scandir(folder) as entries:
                seen = [e for e in entries if not e.name.startswith(".")]
                names = sorted((e.name, _is_folder(e)) for e in seen)
        except OSError as error:
            raise ParameterError(f"{escape(folder)}: cannot be listed: {error.strerror}") from error
        for name, is_folder in names:
            path = os.path.join(folder, name)
            if is_folder:
                left.append((path, (*parents, here)))
            elif _suffix(name) not in _COMPANIONS:
                yield from _file(path, root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _glob(name: str, path: str) -> Iterator[_Found]:
    magic = _MAGIC.search(path)
    root = os.path.dirname(path[: magic.start()] if magic else path)
    found = list(_glob_tree(path, root) if "**" in path else _glob_names(path, root))
    if not found:
        raise ParameterError(
            f"{escape(name)}: no audio has a name of this form; lists and tables are given by "
            "their whole names"
        )
    return iter(found)


def _glob_names(path: str, root: str) -> Iterator[_Found]:
    for match in glob.glob(path):
        if os.path.isdir(match):
            yield from _walk(match, root)
        elif _suffix(match) not in _COMPANIONS:
            yield from _file(match, root)


def _glob_tree(path: str, root: str) -> Iterator[_Found]:
    """Yield what a glob with ** matches: :mod:`glob` would follow links in circles."""
    pattern = PurePath(path).relative_to(root).parts
    for one in _walk(root, root):
        if _matches(PurePath(one.path).relative_to(root).parts, pattern):
            yield one


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern matches a path, or a folder that it is in."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[n:], pattern[1:]) for n in range(len(parts)))
    return (
        len(parts) > 0
        and fnmatch.fnmatchcase(parts[0], pattern[0])
        and _matches(parts[1:], pattern[1:])
    )


def _members(path: str, root: str) -> Iterator[_Found]:
    """Yield the members of a tar file, and the file itself if it is damaged or breaks off."""
    whole = _at(path, os.path.dirname(path) if root == path else root)
    try:
        with open(path, "rb") as file:
            members, damage = _list_archive(file)
    except OSError:
        yield whole
        return
    if damage is not None:
        yield replace(whole, position=damage)
    for name in members:
        member = _follow(name, members)
        is_hidden = any(re.match(r"\.[^.]", part) for part in name.split("/"))
        is_file = member.isreg() or member.islnk() or member.issym() or member.isdev()
        if is_file and not is_hidden and _suffix(name) not in _COMPANIONS:
            yield _Found(
                path,
                root,
                member=member.name,
                name=name,
                size=member.size if member.isreg() else None,
                mtime_ns=whole.mtime_ns,
                position=member.offset,
            )


def _list_archive(file: IO[bytes]) -> tuple[dict[str, tarfile.TarInfo], int | None]:
    """Return the members of a tar file by their names, and where it is damaged, if it is.

    Of members by the same name the last counts, and a hard link is to an earlier one. Archives may
    follow one another in a file. :mod:`tarfile` stops at a damaged header as it does at the end.
    """
    members: dict[str, tarfile.TarInfo] = {}
    start: int | None = 0
    while start is not None:
        position = start
        file.seek(start)
        try:
            archive = tarfile.TarFile(fileobj=file)
            for member in archive:
                position = archive.offset
                name, target = _inside(member.name), _inside(member.linkname)
                members[name] = members.get(target, member) if member.islnk() else member
        except Exception:  # tarfile on bad input
            return members, position
        file.seek(archive.offset)
        following = _next_block(file)
        if following == start:
            return members, start
        start = following
    return members, None


def _next_block(file: IO[bytes]) -> int | None:
    """Return where the next block of a tar file begins that is not blank."""
    while block := file.read(tarfile.BLOCKSIZE):
        if any(block):
            return file.tell() - len(block)
    return None


def _follow(name: str, members: Mapping[str, tarfile.TarInfo]) -> tarfile.TarInfo:
    """Return the file that a name in an archive leads to, or what has the name if it does not."""
    member = members[name]
    for _ in range(_LINKS):
        if not member.issym():
            break
        target = _inside(posixpath.join(posixpath.dirname(member.name), member.linkname))
        member = members.get(target, member)
    return member if member.isreg() else members[name]


def _inside(name: str) -> str:
    """Return a member's name from the archive's root, in its shortest form."""
    return posixpath.normpath(name.lstrip("/"))


# manifests


def _read_stdin(stdin: TextIO) -> Iterator[_Found]:
    content = os.fsdecode(stdin.buffer.read()) if hasattr(stdin, "buffer") else stdin.read()
    content = content.removeprefix("\ufeff")
    read = _json_lines if content.lstrip()[:1] == "{" else _list
    return read(content, "standard input", [os.getcwd()])


def _manifest(
    path: str, read: Callable[[str, str, list[str]], Iterator[_Found]]
) -> Iterator[_Found]:
    """Read a manifest, whose paths are relative to its folder, or to the working directory."""
    return read(_text(path), escape(path), [os.path.dirname(path), os.getcwd()])


def _text(path: str) -> str:
    try:
        if is_url(path):
            return remote.fetch(path).decode("utf-8-sig", errors="surrogateescape")
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ParameterError(f"{escape(path)}: cannot be read: {reason}") from error


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, with their numbers."""
    separator = "\0" if "\0" in content else "\n"  # as find -print0 writes
    for number, line in enumerate(content.split(separator), 1):
        if line.strip():
            yield number, line if separator == "\0" else line.removesuffix("\r")


def _list(content: str, where: str, folders: list[str]) -> Iterator[_Found]:
    for _, line in _lines(content):
        yield _locate(line, folders)


def _json_lines(content: str, where: str, folders: list[str]) -> Iterator[_Found]:
    for number, line in _lines(content):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ParameterError(f"{where}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ParameterError(f"{where}, line {number}: not a JSON object")
        texts = {
            _HALVES.sub("\ufffd", text): _HALVES.sub(
                "\ufffd", value if isinstance(value, str) else json.dumps(value)
            )
            for text, value in row.items()
            if value is not None
        }
        yield _row(texts, f"{where}, line {number}", folders)


def _table(content: str, where: str, folders: list[str], delimiter: str) -> Iterator[_Found]:
    clips = os.path.join(folders[0], "clips")
    if not is_url(clips):
        folders = [folders[0], clips, *folders[1:]]
    elif remote.is_folder(clips):
        folders = [clips]
    lines = io.StringIO(content, newline="")
    if delimiter == "\t":  # Common Voice has quotation marks that quote nothing
        rows = csv.DictReader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.DictReader(lines, delimiter=delimiter)
    try:
        for row in rows:
            texts = {k: v for k, v in row.items() if isinstance(k, str) and v}
            yield _row(texts, f"{where}, line {rows.line_num}", folders)
    except csv.Error as error:
        raise ParameterError(f"{where}, line {rows.line_num}: {error}") from error


def _row(row: dict[str, str], where: str, folders: list[str]) -> _Found:
    path = next((row.pop(name) for name in _PATH_COLUMNS if name in row), None)
    if path is None:
        raise ParameterError(
            f"{where}: there is no path; it belongs to a column named one of "
            f"{', '.join(_PATH_COLUMNS)}"
        )
    found = _locate(path, folders)
    id = next((row.pop(name) for name in _ID_COLUMNS if name in row), None)
    found.id = None if id is None else _checked(id, where)
    offset, duration = row.pop("offset", None), row.pop("duration", None)
    if offset is not None:
        found.offset = _seconds(offset, where)
        found.duration = None if duration is None else _seconds(duration, where)
    found.extra = {_column(name): _readable(value) for name, value in row.items()}
    return found


def _checked(id: str, where: str) -> str:
    if not _relative(id):
        raise ParameterError(f"{where}: {_readable(id)!r} is no id; there must be a name in it")
    return id


def _column(name: str) -> str:
    return _readable(f"manifest_{name}" if name in _RECORDED else name)


def _readable(text: str) -> str:
    """Return text that can be written as UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ParameterError(f"{where}: {_readable(text)!r} is no time in seconds")
    return seconds


def _locate(path: str, folders: Iterable[str]) -> _Found:
    """Find the file of a manifest in the first folder that has it."""
    candidates = [_join(folder, path) for folder in folders]
    for candidate in candidates:
        if is_url(candidate):
            return _Found(candidate, os.path.dirname(candidate))
        if os.path.lexists(candidate):
            return _at(candidate, os.path.dirname(candidate))
    return _Found(candidates[0], os.path.dirname(candidates[0]))


def _join(folder: str, path: str) -> str:
    path = _without_protocol(path)
    if is_url(path):
        return path
    if is_url(folder) and not os.path.isabs(path):
        protocol, _, folder = folder.partition("://")
        return f"{protocol}://{posixpath.normpath(posixpath.join(folder, path))}"
    return os.path.normpath(os.path.join(folder, path))


def _kaldi(path: str) -> Iterator[_Found]:
    """Yield the recordings of wav.scp, or the segments of them if there is such a file."""
    folders = [os.path.dirname(path), os.getcwd()]
    recordings: dict[str, _Found] = {}
    for number, line in _lines(_text(path)):
        where = f"{escape(path)}, line {number}"
        name, target = _recording(line, where)
        if name in recordings:
            raise ParameterError(f"{where}: {_readable(name)} was there before")
        recordings[name] = replace(_locate(target, folders), id=name)
    segments = os.path.join(folders[0], "segments")
    if not (remote.exists(segments) if is_url(segments) else os.path.exists(segments)):
        yield from recordings.values()
        return
    names = set()
    for number, line in _lines(_text(segments)):
        where = f"{escape(segments)}, line {number}"
        segment = _segment(line, where, recordings)
        if segment.id in names:
            raise ParameterError(f"{where}: {_readable(str(segment.id))} was there before")
        names.add(segment.id)
        yield segment


def _recording(line: str, where: str) -> tuple[str, str]:
    """Return the id and the path of a line of wav.scp."""
    match line.strip().split(maxsplit=1):
        case [name, target]:
            reason = None
            if target.endswith("|") or target.startswith("|") or target == "-":
                reason = "is the output of a command, which is not run"
            elif re.search(r"\.ark:\d+$", target):
                reason = "lies in an ark file, which is not read"
            if reason:
                raise ParameterError(
                    f"{where}: {_readable(name)} {reason}; write the audio to files and list these"
                )
            return _checked(name, where), target
    raise ParameterError(f"{where}: not an id and a path")


def _segment(line: str, where: str, recordings: Mapping[str, _Found]) -> _Found:
    match line.split():
        case [name, recording, start, end]:
            if recording not in recordings:
                raise ParameterError(f"{where}: there is no recording {_readable(recording)}")
            offset, duration = _seconds(start, where), None
            if not re.fullmatch(r"-1(\.0*)?", end):  # which is the end of the recording
                duration = _seconds(end, where) - offset
                if duration <= 0:
                    raise ParameterError(f"{where}: {_readable(name)} ends before it begins")
            id = _checked(name, where)
            return replace(recordings[recording], id=id, offset=offset, duration=duration)
    raise ParameterError(f"{where}: not an id, a recording, its start and its end")


_MANIFESTS: dict[str, Callable[[str], Iterator[_Found]]] = {
    ".scp": _kaldi,
    **dict.fromkeys((".txt", ".lst", ".list"), partial(_manifest, read=_list)),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), partial(_manifest, read=_json_lines)),
    ".csv": partial(_manifest, read=partial(_table, delimiter=",")),
    ".tsv": partial(_manifest, read=partial(_table, delimiter="\t")),
}


# ids


def _named(found: list[_Found]) -> list[Item]:
    """Give items their ids, and sort them by these."""
    nameless = [one for one in found if one.id is None]
    root = _common_folder({one.root for one in nameless if not is_url(one.path)})
    remote_root = _common_folder({_url_path(one.root) for one in nameless if is_url(one.path)})
    items: dict[str, Item] = {}
    for one in found:
        item = _item(one, remote_root if is_url(one.path) else root)
        if items.setdefault(item.id, item) != item:
            raise ParameterError(
                f"two items would have the id {item.id}: {items[item.id].source} and "
                f"{item.source}; give each an id of its own in a manifest"
            )
    return [items[name] for name in sorted(items)]


def _common_folder(roots: set[str]) -> str:
    try:
        return os.path.commonpath(roots)
    except ValueError:  # none at all, or several drives
        return ""


def _item(one: _Found, root: str) -> Item:
    return Item(
        _id(one, root),
        _source(one),
        one.offset or 0.0,
        one.duration,
        one.size,
        one.mtime_ns,
        one.position,
        one.extra,
    )


def _id(one: _Found, root: str) -> str:
    if one.id is not None:
        return _relative(escape(one.id))
    if is_url(one.path):
        path = _url_path(one.path)[len(root) :]
    else:
        path = PurePath(one.path[len(root) :], one.name).as_posix()
    name = _relative(escape(path))
    if one.offset is None:
        return name
    end = "" if one.duration is None else round((one.offset + one.duration) * 1000)
    return f"{name}#{round(one.offset * 1000)}-{end}"


def _url_path(url: str) -> str:
    """Return the path in a URL; of an archive's member that in the archive."""
    return url.partition("://")[2].partition("::")[0].lstrip("/")


def _relative(name: str) -> str:
    """Return an id that, as a path, stays in the folder it is relative to."""
    parts = (part.replace(".", "%2E") if part in (".", "..") else part for part in name.split("/"))
    return "/".join(filter(None, parts))


def _source(one: _Found) -> str:
    if is_url(one.path):
        return re.sub("[\udc80-\udcff]", lambda byte: escape(byte[0]), one.path)
    path = _escape_path(PurePath(one.path).as_posix())
    return path if one.member is None else f"{path}::{escape(one.member)}"
