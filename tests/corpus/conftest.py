"""A small corpus, and what tells two output folders apart."""

import hashlib
import os
import shutil
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest
import soundfile

#: makes the decoder do by a file's name what a decoder should never do
POISON = """
import os, signal, time
from fastmel.corpus import reading

opened = reading.opened

def poisoned(item, **limits):
    name = item.source.rpartition("/")[2]
    if name == "crash.wav":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "hang.wav":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        time.sleep(1000)
    elif name == "eat.wav":
        b"x" * (1 << 40)
    elif name == "greedy.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "exit.wav":
        os._exit(7)
    elif name == "doom.wav":
        os.killpg(0, signal.SIGKILL)
    return opened(item, **limits)

reading.opened = poisoned
"""


class Here(Executor):
    """Runs everything at once, in this process."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="session")
def here():
    return Here()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Eleven recordings of 0.1 s in three folders, and one that is none."""
    folder = tmp_path_factory.mktemp("corpus")
    noise = np.random.default_rng(5).standard_normal((11, 1600)) / 10
    for i, y in enumerate(noise):
        path = folder / f"speaker-{i % 3}" / f"{i:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, y, 16000)
    (folder / "speaker-1" / "bad.wav").write_text("<html>not found</html>")
    return folder


@pytest.fixture(scope="session")
def tree():
    """Make the digest of every file of a folder; those with a dot are no output."""

    def digests(folder):
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    return digests


@pytest.fixture(scope="session")
def leftovers():
    """List what a run should not leave behind: files half written, journals of attempts."""

    def found(folder):
        return [
            os.path.join(path, name)
            for part in (".partial", ".attempts")
            for path, _, names in os.walk(Path(folder) / part)
            for name in names
        ]

    return found


@pytest.fixture(scope="session")
def poisoned(corpus):
    """Copy the corpus with files of such names, beside a module that poisons who imports it."""

    def make(folder, names):
        source = folder / "source"
        shutil.copytree(corpus, source)
        for name in names:
            shutil.copy(next(source.rglob("0?.wav")), source / name)
        (folder / "sitecustomize.py").write_text(POISON)
        return source

    return make
