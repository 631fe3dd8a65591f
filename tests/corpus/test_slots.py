"""The command with its processes: they crash, hang, eat memory, are killed and interrupted."""

import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from fastmel import MelConfig, ParameterError
from fastmel.corpus import check, run, slots

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by signals")


@pytest.fixture(scope="module")
def reference(corpus, tmp_path_factory, tree):
    out = tmp_path_factory.mktemp("reference") / "out"
    assert _finish(_start("extract", corpus, "-o", out))[0] == 3
    return tree(out)


def _start(*words, **environment):
    """Start the command in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastmel", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def _finish(process):
    """Wait for it; return exit code, standard output and standard error."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def _stopped_at(point, tmp_path, *words):
    """Start the command, wait until one of its processes is at a point; return both."""
    ready = tmp_path / "ready"
    process = _start(*words, FASTMEL_FAILPOINT=point, FASTMEL_FAILPOINT_READY=str(ready))
    deadline = time.monotonic() + 60
    while not (ready.exists() and ready.read_text()):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "it never came to the point"
        time.sleep(0.01)
    return process, int(ready.read_text())


@pytest.mark.parametrize(
    ("victim", "point"),
    [
        ("worker", "reading:3"),
        ("worker", "renamed:2"),
        ("parent", "renamed:2"),
        ("both", "reading:3"),
        ("both", "files-named:0"),
    ],
)
def test_a_kill_costs_nothing(corpus, tmp_path, tree, leftovers, reference, victim, point):
    out = tmp_path / "out"
    words = ("extract", corpus, "-o", out, "--workers", "2")
    process, worker = _stopped_at(point, tmp_path, *words)
    if victim != "parent":
        os.kill(worker, signal.SIGKILL)
    if victim != "worker":
        process.kill()
        process.communicate()
        process = _start(*words)
    code, _, errors = _finish(process)
    assert code == 3, errors
    assert tree(out) == reference
    assert leftovers(out) == []


def test_signals_end_a_run_cleanly_and_it_goes_on(corpus, tmp_path, tree, leftovers, reference):
    out = tmp_path / "out"
    words = ("extract", corpus, "-o", out, "--workers", "2")
    for number, what in ((signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")):
        process, _ = _stopped_at("item-written:4", tmp_path, *words)
        if number == signal.SIGINT:
            code, _, errors = _finish(_start(*words))
            assert code == 1
            assert f"is in use by process {process.pid} on" in errors
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        code, output, errors = _finish(process)
        assert code == 128 + number
        assert f"{what}; to go on: fastmel extract -o {out}" in errors
        assert output == ""
        assert leftovers(out) == []
        (tmp_path / "ready").unlink()
    assert _finish(_start("extract", "-o", out))[0] == 3
    assert tree(out) == reference


def _failures(out):
    lines = (out / "failures.jsonl").read_text().splitlines()
    return {failure["id"]: failure for failure in map(json.loads, lines)}


def test_poisoned_files_cost_themselves_only(poisoned, tmp_path, reference, tree, leftovers):
    names = ["crash.wav", "hang.wav", "eat.wav", "greedy.wav", "exit.wav"]
    source, out = poisoned(tmp_path, names), tmp_path / "out"
    log = tmp_path / "log.jsonl"
    words = ("extract", source, "-o", out, "--timeout-per-file", "1", "--json", "--log-file", log)
    code, output, errors = _finish(_start(*words, PYTHONPATH=str(tmp_path)))
    assert code == 3, errors
    summary = json.loads(output)
    assert (summary["planned"], summary["written"]) == (17, 11)
    failures = _failures(out)
    assert {id: (f["class"], f["attempts"]) for id, f in failures.items()} == {
        "crash.wav": ("crash", 2),
        "hang.wav": ("timeout", 2),
        "eat.wav": ("oom", 1),
        "greedy.wav": ("oom", 2),
        "exit.wav": ("crash", 2),
        "speaker-1/bad.wav": ("format", 1),
    }
    assert failures["crash.wav"]["message"] == "the process that read it died of SIGSEGV, 2 times"
    assert (
        failures["hang.wav"]["message"] == "the process that read it was killed after 1 s, 2 times"
    )
    features = {name: digest for name, digest in tree(out).items() if name.startswith("features")}
    assert features.items() <= reference.items()
    assert len(features) == 11
    assert leftovers(out) == []
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(e["id"] for e in events if e["event"] == "failure") == sorted(failures)


def test_a_file_that_kills_everything_is_found_out(poisoned, tmp_path, leftovers):
    source, out = poisoned(tmp_path, ["doom.wav"]), tmp_path / "out"
    words = ("extract", source, "-o", out, "--quiet")
    for code in (-signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL, 3):
        process = _start(*words, PYTHONPATH=str(tmp_path))
        assert _finish(process)[0] == code
    failures = _failures(out)
    assert failures["doom.wav"]["class"] == "crash"
    assert failures["doom.wav"]["message"] == "the process that read it died, 3 times"
    assert check.status(out)["written"] == 11
    assert leftovers(out) == []


def test_a_script_needs_no_guard(corpus, tmp_path, tree, reference):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, fastmel.corpus\n"
        "print(fastmel.corpus.extract(sys.argv[1], sys.argv[2], workers=2).written, __name__)\n"
    )
    words = [sys.executable, script, corpus, tmp_path / "out"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert found.stdout == "11 __main__\n", found.stderr
    assert tree(tmp_path / "out") == reference


def test_threads_extract_at_once(corpus, tmp_path, tree, reference):
    script = tmp_path / "script.py"
    script.write_text("""
import sys
from concurrent.futures import ThreadPoolExecutor
from fastmel.corpus import extract

def run(out):
    return extract(sys.argv[1], out, workers=1).written

if __name__ == "__main__":
    script = sys.modules["__main__"]
    with ThreadPoolExecutor(4) as pool:
        print(*pool.map(run, sys.argv[2:]), sys.modules["__main__"] is script)
""")
    folders = [tmp_path / f"out-{i}" for i in range(4)]
    words = [sys.executable, script, corpus, *folders]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert found.stdout == "11 11 11 11 True\n", found.stderr
    assert [tree(folder) for folder in folders] == [reference] * 4


def test_a_daemonic_process_is_told_what_to_do(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(ParameterError, match="may start no others; give executor="):
        slots.prepare(MelConfig())


def test_a_working_directory_that_was_removed(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="the working directory was removed"):
        slots.prepare(MelConfig())


def test_standard_error_may_be_closed(corpus, tmp_path, tree, reference):
    command = shlex.join([sys.executable, "-m", "fastmel", "extract", "--json", "-o"])
    out = tmp_path / "out"
    found = subprocess.run(
        ["bash", "-c", f"exec {command} {out} {corpus} 2>&-"], stdout=subprocess.PIPE, timeout=60
    )
    assert found.returncode == 3
    assert json.loads(found.stdout)["written"] == 11
    assert tree(out) == reference


def test_an_interrupt_while_the_server_starts_leaves_no_trace():
    code = """
import multiprocessing, os, signal
from multiprocessing import forkserver
from fastmel import MelConfig
from fastmel.corpus import slots

slots.prepare(MelConfig())
os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)
with multiprocessing.get_context("forkserver").Pool(1) as pool:  # not fastmel's own
    print(pool.apply(signal.pthread_sigmask, (signal.SIG_BLOCK, ())))
    print(pool.apply(signal.getsignal, (signal.SIGINT,)) is signal.default_int_handler)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.stdout, found.stderr) == ("set()\nTrue\n", "")


def test_the_server_leaves_warnings_to_the_program():
    code = """
import warnings
from fastmel.corpus import work
work.warm = lambda transform: warnings.warn("no cache")
from fastmel.corpus import preload
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FASTMEL_PRELOAD": "{}"},
        stderr=subprocess.PIPE,
        check=True,
    )
    assert found.stderr == b""


def test_a_limit_on_the_size_of_files_is_a_full_disk(corpus, tmp_path, tree, leftovers):
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    words = ("extract", corpus, "--format", "wds", "--quiet", "-o")
    assert _finish(_start(*words, undisturbed))[0] == 3
    command = shlex.join([sys.executable, "-m", "fastmel", *map(str, words), str(out)])
    limited = subprocess.run(
        ["bash", "-c", f"ulimit -f 16 && {command}"], capture_output=True, text=True, timeout=60
    )
    assert limited.returncode == 1, limited.stderr
    assert f"File too large; to go on: fastmel extract -o {out}" in limited.stderr
    assert leftovers(out) == []
    assert list(out.rglob("shard-*")) == []
    assert _finish(_start("extract", "-o", out, "--quiet"))[0] == 3
    assert tree(out) == tree(undisturbed)


def test_a_task_waits_for_the_one_that_plans(corpus, tmp_path):
    with run.locked(tmp_path):
        run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
        process = _start("extract", "-o", tmp_path, "--task-index", "0", "--task-count", "1")
        time.sleep(2)  # for it to give up, if it would
        assert process.poll() is None
    assert _finish(process)[0] == 0


@pytest.mark.parametrize(("config", "expected"), [("{}", 1), ('{"n_mels": -1}', 0), (None, 0)])
def test_processes_start_with_compiled_code(config, expected):
    code = """
from fastmel.corpus import preload, work
print(work.warm.cache_info().currsize)
"""
    environment = {**os.environ, "FASTMEL_PRELOAD": config} if config else None
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True
    )
    assert int(found.stdout) == expected


def test_tasks_of_an_array_start_together(corpus, tmp_path, tree, leftovers, reference):
    out = tmp_path / "out"
    words = ("extract", corpus, "-o", out, "--workers", "1", "--task-count", "3", "--task-index")
    for process in [_start(*words, index) for index in range(3)]:
        code, _, errors = _finish(process)
        assert code == 0, errors
    assert _finish(_start("finalize", out))[0] == 3
    assert tree(out) == reference
    assert leftovers(out) == []
