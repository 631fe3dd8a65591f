"""What lies at URLs, by way of fsspec: listed, and fetched as a whole.

fsspec has a file system for each kind of storage (s3, gs, http, memory, ...), most of them in
packages of their own, and takes keys and settings from its own configuration.
"""

import contextlib
import errno
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastmel.exceptions import ParameterError

__all__ = ["Entry", "check", "exists", "fetch", "find", "is_folder"]

#: seconds to wait before each further try to fetch something
_WAITS = (0.5, 2.0, 8.0)

#: what a server answers to requests that may be made again
_TRANSIENT = frozenset({408, 425, 429})

#: what storages call the time of the last change
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file at a URL.

    Attributes
    ----------
    url : str
        Where it is.
    size, mtime_ns : int, optional
        Bytes, and when it was last changed, if the storage tells.
    etag : str, optional
        What the storage calls this content of the file.
    """

    url: str
    size: int | None = None
    mtime_ns: int | None = None
    etag: str | None = None


def check(urls: Iterable[str]) -> None:
    """Refuse URLs that nothing installed here can read.

    Raises
    ------
    ParameterError
        If fsspec or a package that it needs is missing, or it knows no such protocol.
    """
    for protocol in sorted({url.partition("://")[0] for url in urls}):
        with _explained(f"{protocol}://"):
            _fsspec().get_filesystem_class(protocol)


def find(url: str) -> tuple[str, list[Entry]]:
    """Return the files that a URL names: itself, those in a folder, or those that match a glob.

    Parameters
    ----------
    url : str
        Of a file, a folder, or a pattern with ``*``, ``?``, ``[...]`` or ``**``. On the web
        everything is a file.

    Returns
    -------
    str
        The folder that all are in, as a URL.
    list of Entry
        The files.

    Raises
    ------
    ParameterError
        If there is none, or it cannot be listed.
    """
    head, link, chain = url.partition("::")
    with _explained(url):
        file_system, path = _open(url)
        file_system.invalidate_cache()  # of what was listed earlier in this process
        try:
            info = file_system.info(path)
        except FileNotFoundError:
            if _is_web(url) or not (magic := _MAGIC.search(head)):
                raise
            root, files = head[: magic.start()].rpartition("/")[0], _glob(file_system, path)
            if not files:
                raise ParameterError(f"{url}: no file has a name of this form") from None
        else:
            if _is_web(url) or info["type"] != "directory":
                root, files = head.rpartition("/")[0], {path: info}
            else:
                root, files = head.rstrip("/"), file_system.find(path, detail=True)
        return root, [
            _entry(f"{file_system.unstrip_protocol(name)}{link}{chain}", info)
            for name, info in files.items()
        ]


def exists(url: str) -> bool:
    """Whether there is such a file or folder."""
    with _explained(url):
        file_system, path = _open(url)
        return bool(file_system.exists(path))


def is_folder(url: str) -> bool:
    """Whether there is such a folder; the web has none."""
    with _explained(url):
        file_system, path = _open(url)
        return not _is_web(url) and bool(file_system.isdir(path))


def fetch(url: str) -> bytes:
    """Return the bytes of a file; what may succeed at another time is tried a few times.

    Raises
    ------
    FileNotFoundError, PermissionError
        If there is no such file, or it may not be read.
    OSError
        If the storage did not deliver it.
    """
    for wait in _WAITS:
        with contextlib.suppress(ConnectionError):
            return _fetch(url)
        time.sleep(wait)
    return _fetch(url)


def _fetch(url: str) -> bytes:
    """Try to fetch a file once; a ConnectionError may be tried again."""
    try:
        file_system, path = _open(url)
        return bytes(file_system.cat_file(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    except (PermissionError, IsADirectoryError):
        raise
    except (ImportError, ValueError) as error:
        raise OSError(str(error)) from error
    except Exception as error:  # each storage has its own
        status = getattr(error, "status", None) or 0
        text = f"{type(error).__name__}: {error}"
        if status in (401, 403):
            raise PermissionError(text) from error
        if 400 <= status < 500 and status not in _TRANSIENT:
            raise OSError(text) from error
        raise ConnectionError(text) from error


def _glob(file_system: Any, pattern: str) -> dict[str, Any]:
    """Return the files that match a pattern, or are in a folder that does, and what is known."""
    found = file_system.glob(pattern, detail=True)
    files = {name: info for name, info in found.items() if info["type"] != "directory"}
    for folder in found.keys() - files.keys():
        files.update(file_system.find(folder, detail=True))
    return files


def _entry(url: str, info: Mapping[str, Any]) -> Entry:
    etag = info.get("ETag") or info.get("etag")
    return Entry(url, info.get("size"), _mtime_ns(info), etag and str(etag).strip('"'))


def _open(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    file_system, path = _fsspec().core.url_to_fs(url)
    return file_system, path


def _fsspec() -> Any:
    try:
        import fsspec
    except ModuleNotFoundError:
        raise ImportError("URLs are read by fsspec: pip install 'fastmel[remote]'") from None
    return fsspec


def _is_web(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _mtime_ns(info: Mapping[str, Any]) -> int | None:
    """Return when a file was changed, as the storages name and write it."""
    found = (info.get(name) for name in _TIMES)
    time = next((value for value in found if value is not None), None)
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        time = time.timestamp()
    return None if time is None else round(1e9 * time)


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Make a sentence of what file systems raise."""
    try:
        yield
    except ParameterError:
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # a server that does not answer
        reason = f" ({cause})" if cause and not isinstance(cause, FileNotFoundError) else ""
        raise ParameterError(f"{url}: there is no such file or folder{reason}") from error
    except Exception as error:  # each storage has its own
        raise ParameterError(f"{url}: {str(error) or type(error).__name__}") from error
