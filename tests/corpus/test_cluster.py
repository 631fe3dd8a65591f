"""A real Dask cluster on this machine, whose processes are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fastmel.cli import main
from fastmel.corpus import attempts, cluster, extract, plan, run
from fastmel.exceptions import ParameterError

psutil = pytest.importorskip("psutil", reason="Dask is not installed: fastmel[dask]")
pytest.importorskip("distributed", reason="Dask is not installed: fastmel[dask]")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by signals")

#: seconds that anything may take here
PATIENCE = 60

#: makes a worker one of another version, or one that has none
OTHER_VERSION = "import fastmel; fastmel.__version__ = '99'"
NO_FASTMEL = "import sys; sys.modules['fastmel'] = None"


class Dask:
    """A scheduler and workers, each of them two processes: a nanny, and what it looks after."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes = []

    def start(self, n_workers=2, **environment):
        """Start a cluster; return the process of its scheduler."""
        self.file.unlink(missing_ok=True)  # workers would go to the address in it for ever
        scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(n_workers):
            self.start_worker(**environment)
        return scheduler

    def start_worker(self, **environment):
        words = ("worker", "--nthreads", "1", "--local-directory", str(self.folder))
        return self._start(*words, **environment)

    def _start(self, *words, **environment):
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        with open(self.folder / "dask.log", "a") as log:
            process = subprocess.Popen(
                [*command, "--scheduler-file", str(self.file)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def dask(tmp_path):
    (tmp_path / "dask").mkdir()
    dask = Dask(tmp_path / "dask")
    yield dask
    dask.stop()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Plan shards of four items: three of the corpus."""
    monkeypatch.setattr(plan, "_SHARD_ITEMS", (4, 4))


@pytest.fixture
def planned(corpus, tmp_path):
    return _planned(corpus, tmp_path / "out")


def _planned(source, out):
    with run.locked(out):
        return run.plan_for(out, run.check_settings("whisper", "npy", {}), [str(source)])


@pytest.fixture
def reference(corpus, here, tmp_path, tree):
    """What this process makes of the corpus."""
    extract(str(corpus), tmp_path / "reference", executor=here)
    return tree(tmp_path / "reference")


def _start(*words, cwd=None):
    return subprocess.Popen(
        [sys.executable, "-m", "fastmel", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    """Wait for it; return exit code, standard output and standard error."""
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


def _worker_at(ready, process):
    """Wait until a worker is at the point where it stops; return its process."""
    deadline = time.monotonic() + PATIENCE
    while not (ready.exists() and ready.read_text()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no worker came to the point"
        time.sleep(0.01)
    return psutil.Process(int(ready.read_text()))


def _stopping(point, ready):
    return {"FASTMEL_FAILPOINT": point, "FASTMEL_FAILPOINT_READY": str(ready)}


@pytest.mark.parametrize(
    ("victim", "point"),
    [
        ("worker", "reading:3"),
        ("nanny", "renamed:2"),
        ("scheduler", "item-written:3"),
        ("client", "files-named:0"),
    ],
)
def test_a_kill_costs_nothing(planned, dask, tmp_path, tree, leftovers, reference, victim, point):
    out, ready = planned.path, tmp_path / "ready"
    scheduler = dask.start(**_stopping(point, ready))
    words = ("extract", "-o", out, "--scheduler-file", dask.file)
    process = _start(*words)
    worker = _worker_at(ready, process)
    if victim == "worker":
        worker.kill()
    elif victim == "nanny":
        worker.parent().kill()
    elif victim == "client":
        process.kill()
        process.communicate()
        worker.kill()
        process = _start(*words)
    else:
        scheduler.kill()
        dask.start()  # workers end with the scheduler that they know
    code, _, errors = _finish(process)
    assert code == 3, errors
    assert ("is lost: waiting for it" in errors) == (victim == "scheduler")
    assert "Traceback" not in errors
    assert tree(out) == reference
    assert leftovers(out) == []


def test_two_clients_and_an_interrupt(planned, dask, tmp_path, tree, leftovers, reference):
    out, ready = planned.path, tmp_path / "ready"
    dask.start(**_stopping("item-written:4", ready))
    words = ("extract", "-o", out, "--scheduler-file", dask.file)
    process = _start(*words)
    worker = _worker_at(ready, process)
    code, _, errors = _finish(_start(*words))
    assert code == 1
    assert f"is in use by process {process.pid} on" in errors
    process.send_signal(signal.SIGINT)
    code, _, errors = _finish(process)
    assert code == 130
    assert f"to go on: fastmel extract -o {out} --scheduler-file {dask.file}" in errors
    assert "Traceback" not in errors
    worker.kill()
    assert _finish(_start(*words))[0] == 3
    assert tree(out) == reference
    assert leftovers(out) == []


def test_poisoned_files_cost_themselves_only(poisoned, dask, tmp_path, tree, leftovers, reference):
    source, out = poisoned(tmp_path, ["crash.wav", "hang.wav"]), tmp_path / "out"
    _planned(source, out)
    dask.start(PYTHONPATH=str(tmp_path))
    words = ("extract", "-o", "out", "--scheduler-file", dask.file, "--timeout-per-file", "1")
    code, _, errors = _finish(_start(*words, cwd=tmp_path))
    assert code == 3, errors
    lines = (out / "failures.jsonl").read_text().splitlines()
    failures = {failure["id"]: failure for failure in map(json.loads, lines)}
    assert {id: f["class"] for id, f in failures.items()} == {
        "crash.wav": "crash",
        "hang.wav": "timeout",
        "speaker-1/bad.wav": "format",
    }
    # nobody saw the crashes: somebody may have killed everything
    assert failures["crash.wav"]["attempts"] == 3
    # when one worker is killed another may be at the same shard, given to it too early
    assert failures["hang.wav"]["attempts"] in (2, 3)
    assert "was killed after 1 s" in failures["hang.wav"]["message"]
    features = {name: digest for name, digest in tree(out).items() if name.startswith("features")}
    assert len(features) == 11
    assert features.items() <= reference.items()
    assert leftovers(out) == []


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (OTHER_VERSION, "fastmel: '0.1.0' in the plan, '99' now"),
        (NO_FASTMEL, "has no fastmel: No module named"),
    ],
)
def test_workers_of_another_version_are_refused(planned, dask, tmp_path, site, message):
    (tmp_path / "sitecustomize.py").write_text(site)
    dask.start(1, PYTHONPATH=str(tmp_path))
    words = ("extract", "-o", planned.path, "--scheduler-file", dask.file)
    code, _, errors = _finish(_start(*words))
    assert code == 1
    assert message in errors
    assert "Traceback" not in errors


def test_workers_must_see_the_plan(planned, tmp_path):
    cluster.check_worker(str(planned.path), planned.digest)
    with pytest.raises(OSError, match=r"does not see .*here/plan\.json"):
        cluster.check_worker(str(tmp_path / "elsewhere"), planned.digest)
    with pytest.raises(OSError, match="sees another plan"):
        cluster.check_worker(str(planned.path), "0" * 64)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_what_hangs_ends_its_process_and_has_a_strike(tmp_path):
    path = attempts.attempt_path(tmp_path, 0)
    pid = os.fork()
    if pid == 0:
        journal = attempts.Attempt(path)
        with cluster._limited(path, 0.5):
            for position in range(3):
                journal.begin(position)
                time.sleep(0.3 if position < 2 else 1000)
    assert os.waitpid(pid, 0)[1] != 0
    ((position, (strike,)),) = attempts.strikes(tmp_path, 0).items()
    assert (position, strike.reason) == (2, "timeout was killed after 0.5 s")


def test_a_scheduler_that_does_not_answer(tmp_path):
    for where, message in (
        ({"address": "tcp://127.0.0.1:9"}, "in 0.3 s: nothing answers at tcp://127.0.0.1:9"),
        ({"scheduler_file": tmp_path / "gone"}, "gone was not reached in 0.3 s: .*No such file"),
    ):
        with pytest.raises(ConnectionError, match=message):
            cluster.Cluster(**where, patience=0.3)
    (tmp_path / "half").write_text('{"add')
    with pytest.raises(ConnectionError, match="the file tells no address"):
        cluster.Cluster(scheduler_file=tmp_path / "half", patience=0.3)
    with pytest.raises(ParameterError, match="missing port number in address 'here'"):
        cluster.Cluster("here")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "2"], "--workers and --memory-per-worker are up to"),
        (["--task-index", "0", "--task-count", "2"], "two ways to share the work"),
    ],
)
def test_words_that_do_not_go_with_a_cluster(corpus, tmp_path, capsys, words, message):
    command = ["extract", str(corpus), "-o", str(tmp_path / "out"), "--scheduler", "tcp://a:1"]
    assert main([*command, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_extra_is_named_where_it_is_missing(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = ["extract", str(corpus), "-o", str(tmp_path / "out"), "--scheduler", "tcp://a:1"]
    assert main(words) == 2
    assert "pip install 'fastmel[dask]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
