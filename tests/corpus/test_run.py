"""The contract: all or nothing, nothing lost, nothing done twice; in this process and its forks."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tarfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel.cli import main
from fastmel.corpus import check, durable, extract, finalize, load_plan, plan, run, run_shard
from fastmel.corpus.plan import freeze, plan_of
from fastmel.corpus.sinks import sink
from fastmel.corpus.sources import find

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed")
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Make shards of four items: three of the corpus."""
    monkeypatch.setattr(plan, "_SHARD_ITEMS", (4, 4))
    monkeypatch.setattr(durable, "_counts", {})


@pytest.fixture
def go(corpus, here):
    """Extract the corpus in this process."""
    return lambda out, **options: extract(str(corpus), out, executor=here, **options)


@pytest.fixture
def undisturbed(go, tmp_path, tree):
    go(tmp_path / "undisturbed")
    return tree(tmp_path / "undisturbed")


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_input_is_written_or_failed(corpus, go, tmp_path):
    out = tmp_path / "out"
    summary = go(out)
    assert (summary.planned, summary.written, summary.failed) == (12, 11, 1)
    assert summary.failures == {"format": 1}
    assert (summary.seconds, summary.frames, summary.shards) == (pytest.approx(1.1), 110, 3)
    records, (failure,) = _lines(out / "manifest.jsonl"), _lines(out / "failures.jsonl")
    ids = [record["id"] for record in records]
    assert sorted([*ids, failure["id"]]) == sorted(
        str(path.relative_to(corpus)) for path in corpus.rglob("*.wav")
    )
    assert ids == sorted(ids)
    assert failure["id"] == "speaker-1/bad.wav"
    assert (failure["class"], failure["stage"], failure["attempts"]) == ("format", "open", 1)
    transform = fastmel.frontend("whisper", layout="frames_first")
    for record in records:
        y, sr = soundfile.read(corpus / record["id"], dtype="float32")
        features = np.load(out / record["file"])
        np.testing.assert_array_equal(features, transform(y))
        assert record["source"] == str(corpus / record["id"])
        assert (record["samples"], record["sr"], record["native_sr"]) == (1600, 16000, sr)
        assert (record["frames"], record["features"]) == features.shape
        assert (record["layout"], record["dtype"]) == ("frames_first", "float32")
        assert record["size"] == os.path.getsize(corpus / record["id"])
        assert record["level"] == pytest.approx(10 * np.log10(np.mean(y**2)), abs=0.06)


def test_the_mean_features_of_a_shard_are_those_of_some_frames(go, tmp_path):
    go(tmp_path)
    side = json.loads((tmp_path / "shards" / "shard-000000.json").read_text())
    some = np.concatenate([np.load(tmp_path / item["file"])[::16] for item in side["items"]])
    np.testing.assert_allclose(side["mean_features"], some.mean(axis=0), rtol=1e-6)


def test_kaldi_has_no_half_precision(go, tmp_path):
    go(tmp_path, format="kaldi", dtype="float16")
    assert {record["dtype"] for record in _lines(tmp_path / "manifest.jsonl")} == {"float32"}


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_features_that_are_too_large_for_a_format_are_told(go, tmp_path, monkeypatch, format):
    monkeypatch.setattr(f"fastmel.corpus.sinks.{_importable(format)}.LARGEST", 10 * 80 * 4 - 1)
    assert go(tmp_path, format=format).failures == {"format": 1, "too_long": 11}
    failure = _lines(tmp_path / "failures.jsonl")[0]
    assert failure["stage"] == "write"
    assert f"too much for an item of {format}" in failure["message"]


def test_options_reach_the_features(corpus, go, tmp_path):
    go(tmp_path, frontend="kaldi", dtype="float16", layout="mels_first", n_mels=40)
    record, *_ = _lines(tmp_path / "manifest.jsonl")
    y, _ = soundfile.read(corpus / record["id"], dtype="float32")
    transform = fastmel.frontend("kaldi", n_mels=40, layout="mels_first", dtype="float16")
    features = np.load(tmp_path / record["file"])
    np.testing.assert_array_equal(features, transform(y))
    assert (record["features"], record["frames"]) == features.shape == (40, 8)


def test_a_finished_run_changes_no_byte(go, tmp_path, tree):
    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    first = go(tmp_path)
    before, digests = times(), tree(tmp_path)
    (tmp_path / ".lock").unlink()
    assert go(tmp_path) == first
    assert extract(None, tmp_path) == first
    assert finalize(tmp_path) == first
    after = times()
    assert tree(tmp_path) == digests
    del before[tmp_path / ".lock"], after[tmp_path / ".lock"]
    assert after == before


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_order_changes_no_byte(corpus, go, tmp_path, tree, undisturbed, order):
    out = tmp_path / "out"
    with run.locked(out):
        made = run.plan_for(out, run.check_settings("whisper", "npy", {}), [str(corpus)])
    assert [run_shard(out, index)["shard"] for index in order] == order
    assert made.incomplete() == []
    finalize(out)
    assert tree(out) == undisturbed


def test_a_run_is_not_finished_before_its_shards_are(corpus, tmp_path):
    with run.locked(tmp_path):
        run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
    run_shard(tmp_path, 1)
    with pytest.raises(fastmel.ParameterError, match="2 of 3 shards are not made yet, such as 0"):
        finalize(tmp_path)


SHARD_POINTS = ["item-written:6", "files-written:1", "renamed:0", "files-named:1", "shard-made:0"]
POINTS = [
    "planned:0", "items-planned:0", "shard-begun:0", "shard-begun:2", "reading:0", "reading:5",
    "item-written:0", "item-written:6", "files-written:1", "renamed:0", "renamed:1", "renamed:3",
    "renamed:6", "files-named:0", "files-named:2", "shard-made:0", "shard-made:2", "renamed:14",
    "renamed:15", "manifests-written:0",
]  # fmt: skip


@forks
@pytest.mark.parametrize(
    ("format", "point"),
    [("npy", point) for point in POINTS]
    + [(format, point) for format in ("wds", "kaldi", "parquet") for point in SHARD_POINTS],
)
def test_a_kill_at_any_point_leaves_what_the_next_run_completes(
    go, tmp_path, tree, leftovers, monkeypatch, format, point
):
    go = partial(go, format=_importable(format))
    go(tmp_path / "undisturbed")
    out, ready = tmp_path / "out", tmp_path / "ready"
    for _ in range(2):  # nobody saw what it died of: the file is not blamed
        _killed_at(point, ready, monkeypatch, lambda: go(out))
        assert _is_consistent(out)
        ready.unlink()
    go(out)
    assert tree(out) == tree(tmp_path / "undisturbed")
    assert leftovers(out) == []


@forks
@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_kills_at_any_moment_leave_what_the_next_run_completes(
    go, tmp_path, tree, leftovers, rng, format
):
    go, out = partial(go, format=_importable(format)), tmp_path / "out"
    go(tmp_path / "undisturbed")
    start = time.monotonic()
    go(tmp_path / "again")
    duration = time.monotonic() - start
    undisturbed = tree(tmp_path / "undisturbed")
    n_kills = 0
    while n_kills < 16:
        for _ in range(2):  # a recording that was being read at three kills in a row is blamed
            pid = os.fork()
            if pid == 0:
                go(out)
                os._exit(0)
            time.sleep(rng.uniform(0, duration))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            assert _is_consistent(out)
            n_kills += os.WIFSIGNALED(status)
        go(out)
        assert tree(out) == undisturbed
        assert leftovers(out) == []
        shutil.rmtree(out)


def _importable(format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    return format


def _killed_at(point, ready, monkeypatch, work):
    """Do something in a child that is killed when it gets to a point, if it does."""
    pid = os.fork()
    if pid == 0:
        monkeypatch.setenv("FASTMEL_FAILPOINT", point)
        monkeypatch.setenv("FASTMEL_FAILPOINT_READY", str(ready))
        work()
        os._exit(0)
    deadline = time.monotonic() + 30
    while not (ready.exists() and ready.read_text()) and time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:  # it never came to the point
            ready.touch()
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _is_consistent(out):
    """Whether nothing that is there makes a claim that does not hold."""
    if not (out / "plan.json").exists():
        return True
    return check.damage(out, deep=True) == {}


@forks
def test_the_points_are_on_the_way(go, tmp_path, monkeypatch):
    reached = set()
    monkeypatch.setattr(durable, "failpoint", reached.add)
    go(tmp_path)
    assert reached == {point.partition(":")[0] for point in POINTS}


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
@pytest.mark.parametrize("operation", ["create", "write", "sync", "replace", "link", "sync_folder"])
def test_any_operation_may_fail(go, tmp_path, tree, leftovers, monkeypatch, operation, format):
    go = partial(go, format=_importable(format))
    go(tmp_path / "undisturbed")
    undisturbed = tree(tmp_path / "undisturbed")
    for i in range(1000):
        out = tmp_path / f"out-{i}"
        monkeypatch.setattr(durable, "_counts", {})
        monkeypatch.setenv("FASTMEL_FAIL", f"{operation}:{i}")
        try:
            go(out)
        except OSError as error:
            assert "No space left" in str(error)  # noqa: PT017
            assert leftovers(out) == []
            assert _is_consistent(out)
            monkeypatch.delenv("FASTMEL_FAIL")
            go(out)
            assert tree(out) == undisturbed
            shutil.rmtree(out)
        else:
            break
    n_files = len(undisturbed)
    n_operations = {"replace": n_files - 1, "link": 1}.get(operation, n_files)
    assert i == n_operations if operation != "sync_folder" else i > 5
    assert tree(out) == undisturbed


def test_other_options_are_refused_with_the_difference(corpus, go, tmp_path, tree, undisturbed):
    out = tmp_path / "out"
    go(out)
    with pytest.raises(run.PlanDiffers, match=r"config\.n_mels: 80 in the plan, 128 now"):
        go(out, n_mels=128)
    with pytest.raises(run.PlanDiffers, match=r"not given: 12, such as 'speaker-0/00\.wav'"):
        extract(str(corpus / "speaker-1" / "01.wav"), out)
    assert tree(out) == undisturbed


@pytest.mark.parametrize("options", [{"n_mels": 128}, {"format": "wds"}, {"overwrite": True}])
def test_what_goes_on_takes_no_options(go, tmp_path, tree, options):
    go(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(
        fastmel.ParameterError, match="goes on with the options that it was planned"
    ):
        extract(None, tmp_path, **options)
    assert tree(tmp_path) == before


def test_a_task_of_an_earlier_plan_writes_nothing(corpus, tmp_path, leftovers, monkeypatch):
    def plan_anew(point="files-written"):
        if point == "files-written":
            run.clear(tmp_path)
            settings = run.check_settings("kaldi", "npy", {})
            freeze(*plan_of(tmp_path, settings, find([str(corpus)])))

    with run.locked(tmp_path):
        run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
        monkeypatch.setattr(durable, "failpoint", plan_anew)
        with pytest.raises(OSError, match="was planned anew"):
            run_shard(tmp_path, 0)
    assert not (tmp_path / "features").exists()
    assert leftovers(tmp_path) == []


def test_overwrite_begins_anew(go, tmp_path, tree, undisturbed):
    out = tmp_path / "out"
    go(out, frontend="kaldi")
    go(out, overwrite=True)
    assert tree(out) == undisturbed


def test_nothing_is_overwritten_before_there_is_a_new_plan(go, tmp_path, tree, undisturbed):
    with pytest.raises(fastmel.ParameterError, match="no such file or folder"):
        extract(str(tmp_path / "gone"), tmp_path / "undisturbed", overwrite=True)
    assert tree(tmp_path / "undisturbed") == undisturbed


def test_what_other_machines_made_may_be_seen_later(corpus, here, tmp_path, tree, monkeypatch):
    class Late(type(here)):
        def submit(self, function, shard):
            future = super().submit(function, shard)
            side = load_plan(tmp_path).side_file(shard)
            side.rename(side.with_suffix(".unseen"))
            threading.Timer(0.5, side.with_suffix(".unseen").rename, (side,)).start()
            return future

    assert extract(str(corpus), tmp_path, executor=Late()).written == 11
    monkeypatch.setattr(run, "_PATIENCE", 0.1)
    monkeypatch.setattr(plan.Plan, "incomplete", lambda self: [1])
    with pytest.raises(OSError, match="1 shards were made, such as 1, and are not seen here"):
        extract(str(corpus), tmp_path, executor=here)


def test_a_folder_with_other_things_is_left_alone(go, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "mine").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(fastmel.ParameterError, match="not empty and holds no plan"):
            go(tmp_path, overwrite=overwrite)
    assert (tmp_path / "features" / "mine").read_text() == "precious"


def test_overwrite_leaves_other_files_where_they_are(go, tmp_path, tree, undisturbed):
    out = tmp_path / "out"
    go(out, n_mels=40)
    (out / "run.log").write_text("precious")
    go(out, overwrite=True)
    assert (out / "run.log").read_text() == "precious"
    (out / "run.log").unlink()
    assert tree(out) == undisturbed


def test_inputs_that_changed_are_told(corpus, here, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(corpus, source)
    extract(str(source), out, executor=here)
    os.utime(source / "speaker-0" / "00.wav", (1, 1))
    with pytest.raises(run.PlanDiffers, match=r"changed: 1, such as 'speaker-0/00\.wav'"):
        extract(str(source), out, executor=here)
    extract(None, out, executor=here)


@pytest.mark.parametrize(("limit", "match"), [(0, "more than 0"), (0.01, "more than 0.12")])
def test_too_many_failures_end_the_run(go, tmp_path, leftovers, limit, match):
    for _ in range(2):
        with pytest.raises(run.TooManyFailures, match=rf"{match}, .* speaker-1/bad\.wav \(format"):
            go(tmp_path, max_failures=limit)
        assert leftovers(tmp_path) == []
        assert load_plan(tmp_path).complete() == [0, 1]
    assert go(tmp_path, max_failures=1).failed == 1


def test_failures_of_all_shards_count(corpus, here, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(corpus, source)
    for speaker in range(3):
        (source / f"speaker-{speaker}" / "bad.wav").write_text("nothing")
    for _ in range(2):
        with pytest.raises(run.TooManyFailures, match="inputs failed, more than 1"):
            extract(str(source), out, executor=here, max_failures=1)
    assert extract(None, out, executor=here).failed == 3


@pytest.mark.parametrize(
    ("total", "workers", "expected"),
    [(8192, 200, (3, 8192 // 3)), (600, None, (2, 300)), (100, 1, None), (700, 3, None)],
)
def test_memory_is_shared_by_the_processes_that_start(
    corpus, tmp_path, monkeypatch, total, workers, expected
):
    def make_shards(plan, shards, *, workers, memory, **_):
        given.append((workers, memory >> 20))
        for index in shards:
            yield run_shard(plan.path, index)

    given = []
    monkeypatch.setattr(run, "usable_memory", lambda: total << 20)
    monkeypatch.setattr(run, "get_num_threads", lambda: 64)
    monkeypatch.setattr(run.slots, "prepare", lambda config: None)
    monkeypatch.setattr(run.slots, "make_shards", make_shards)
    if expected is None:
        with pytest.raises(fastmel.ParameterError, match="256 MiB or more, or take fewer workers"):
            extract(str(corpus), tmp_path, workers=workers)
    else:
        extract(str(corpus), tmp_path, workers=workers)
        assert given == [expected]


def test_too_little_memory_is_refused(corpus, tmp_path):
    with pytest.raises(fastmel.ParameterError, match="cannot work with 100 MiB of memory"):
        extract(str(corpus), tmp_path, memory=100 << 20)


def test_two_runs_do_not_meet(go, tmp_path):
    with run.locked(tmp_path), pytest.raises(run.Busy, match=f"process {os.getpid()} on"):
        go(tmp_path)
    with run.locked(tmp_path, shared=True):
        with run.locked(tmp_path, shared=True):
            pass
        with pytest.raises(run.Busy):
            go(tmp_path)
    go(tmp_path)


@forks
def test_an_executor_that_forks_serves_run_after_run(corpus, tmp_path):
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        for options in ({}, {"n_mels": 40, "overwrite": True}):
            assert extract(str(corpus), tmp_path, executor=executor, **options).written == 11


def test_the_working_directory_may_change(corpus, here, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_PATIENCE", 0.1)
    monkeypatch.chdir(tmp_path)
    listener = lambda report: os.chdir(corpus)  # noqa: E731
    assert extract(str(corpus), "out", executor=here, listener=listener).written == 11
    assert (tmp_path / "out" / "SUMMARY.json").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"frontend": "wisper"}, "did you mean 'whisper'"),
        ({"format": "zip"}, "not one of npy, wds"),
        ({"dtype": "int8"}, "dtype"),
        ({"limit": 0}, "limit=0"),
        ({"max_duration": -1.0}, "max_duration=-1.0"),
        ({"nmels": 3}, "no option nmels"),
        ({"name": "x"}, "no option name"),
        ({"window": ""}, "Invalid window name"),
        ({"dtype": None}, "give float32 or float16"),
        ({"workers": -1}, "workers=-1 is not a positive whole number"),
        ({"workers": 0}, "workers=0"),
        ({"workers": 1.5}, r"workers=1\.5"),
        ({"timeout": float("nan")}, "timeout=nan is not a positive number of seconds"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"memory": 0}, "memory=0 is not a positive whole number of bytes"),
        ({"max_failures": -1}, "max_failures=-1"),
    ],
)
def test_bad_options_leave_nothing(go, tmp_path, options, match):
    with pytest.raises(fastmel.ParameterError, match=match):
        go(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_files_that_were_there_are_not_called_lost(corpus, here, tmp_path, tree, undisturbed):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(corpus, source)
    with run.locked(out):
        run.plan_for(out, run.check_settings("whisper", "npy", {}), [str(source)])
    (source / "speaker-0" / "00.wav").rename(tmp_path / "kept.wav")
    source.rename(tmp_path / "unmounted")
    with pytest.raises(OSError, match=r"sees none of the 4 files of shard \d, such as .*\.wav"):
        extract(None, out, executor=here)
    (tmp_path / "unmounted").rename(source)
    assert extract(None, out, executor=here).failures == {"format": 1, "not_found": 1}


def test_paths_are_inputs(corpus, here, tmp_path, tree, undisturbed):
    extract(corpus, tmp_path / "one", executor=here)
    extract([corpus / "speaker-0", corpus], tmp_path / "two", executor=here)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == undisturbed


@pytest.mark.parametrize("format", ["npy", "wds", "parquet", "kaldi"])
def test_the_output_may_lie_in_the_input(corpus, here, tmp_path, format):
    _importable(format)
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    first = extract(tmp_path, tmp_path / "out", executor=here, format=format)
    assert extract(tmp_path, tmp_path / "out", executor=here, format=format) == first


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
@pytest.mark.parametrize("format", ["npy", "wds", "parquet", "kaldi"])
def test_names_that_are_no_text_are_written(corpus, here, tmp_path, format):
    _importable(format)
    (tmp_path / "in").mkdir()
    shutil.copy(corpus / "speaker-0" / "00.wav", tmp_path / "in" / "caf\udce9.wav")
    made = extract(f"file://{tmp_path}/in", tmp_path / "out", executor=here, format=format)
    assert made.written == 1


def test_other_versions_are_refused(corpus, here, tmp_path, monkeypatch):
    with run.locked(tmp_path):
        run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
    monkeypatch.setattr(plan, "__version__", "99")
    with pytest.raises(OSError, match=r"other versions .*: fastmel: '.*' in the plan, '99' now"):
        extract(None, tmp_path, executor=here)


def test_the_output_is_a_folder(go):
    with pytest.raises(fastmel.ParameterError, match="is a URL"):
        go("s3://bucket/out")


def test_a_format_whose_package_is_missing(go, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "fastmel.corpus.sinks.parquet", raising=False)
    with pytest.raises(fastmel.ParameterError, match=r"pip install 'fastmel\[parquet\]'"):
        go(tmp_path / "out", format="parquet")
    assert not (tmp_path / "out").exists()


def test_limits(corpus, here, go, tmp_path):
    assert go(tmp_path / "few", limit=5).planned == 5
    assert go(tmp_path / "short", max_duration=0.05).failures == {"format": 1, "too_long": 11}
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(100), 16000)
    failed = extract([str(short)], tmp_path / "kaldi", frontend="kaldi", executor=here)
    assert failed.failures == {"empty": 1}


def test_an_executor_that_loses_workers_gets_the_shard_again(corpus, here, go, tmp_path):
    class Forgetful(type(here)):
        calls = 0

        def submit(self, *args):
            self.calls += 1
            if self.calls % 2:
                future = super().submit(lambda: None)
                future = type(future)()
                future.set_exception(RuntimeError("a worker died"))
                return future
            return super().submit(*args)

    executor = Forgetful()
    assert extract(str(corpus), tmp_path, executor=executor).written == 11
    assert executor.calls == 6


def test_status_and_damage(corpus, go, tmp_path, tree, undisturbed):
    out = tmp_path / "out"
    with run.locked(out):
        run.plan_for(out, run.check_settings("whisper", "npy", {}), [str(corpus)])
    run_shard(out, 2)
    found = check.status(out)
    assert not found["is_finished"]
    assert found["written"] + found["failed"] + found["left"] == 12
    assert found["failures"] == {"format": 1}
    go(out)
    assert check.status(out)["left"] == 0
    assert check.status(out)["is_finished"]
    assert check.damage(out, deep=True) == {}

    first = out / "features" / "speaker-0" / "00.wav.npy"
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    assert check.damage(out) == {}
    damaged = check.damage(out, deep=True)
    assert damaged == {0: ["features/speaker-0/00.wav.npy has other bytes than were written"]}
    first.write_bytes(content[:-1])
    assert "bytes, not" in check.damage(out)[0][0]
    first.unlink()
    assert check.damage(out) == {0: ["features/speaker-0/00.wav.npy is gone"]}
    (out / "shards" / "shard-000001.json").write_text("{")
    assert check.damage(out)[1] == ["its side file cannot be read"]
    (out / "shards" / "shard-000002.json").unlink()
    assert check.damage(out)["SUMMARY.json"] == ["the run was finished, and 1 shards are gone"]
    check.reopen(load_plan(out), [0, 1])
    go(out)
    assert tree(out) == undisturbed


def _truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def _swap(path):
    path.write_bytes(path.read_bytes().swapcase())


@pytest.mark.parametrize("name", ["SUMMARY.json", "manifest.jsonl", "failures.jsonl"])
@pytest.mark.parametrize("harm", [_truncate, _swap, os.unlink])
def test_damage_of_what_tells_of_the_run_is_found_and_mended(
    go, tmp_path, tree, undisturbed, name, harm
):
    if (name, harm) == ("SUMMARY.json", os.unlink):
        pytest.skip("without it, the run is not finished")
    out = tmp_path / "out"
    go(out)
    harm(out / name)
    assert list(check.damage(out, deep=True)) == [name]
    check.reopen(load_plan(out), [])
    assert check.damage(out) == {}
    go(out)
    assert tree(out) == undisturbed
    assert check.damage(out, deep=True) == {}


def test_a_list_that_is_gone_is_written_again(go, tmp_path, tree, undisturbed):
    out = tmp_path / "out"
    go(out)
    (out / "manifest.jsonl").unlink()
    go(out)
    assert tree(out) == undisturbed


def test_a_summary_says_what_the_shards_say(go, tmp_path):
    go(tmp_path)
    path = tmp_path / "SUMMARY.json"
    path.write_text(path.read_text().replace('"frames": 110', '"frames": 111'))
    assert check.damage(tmp_path) == {"SUMMARY.json": ["it does not say what the shards say"]}


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_a_shard_whose_side_file_is_damaged_is_made_again(go, tmp_path, tree, format):
    go, out = partial(go, format=_importable(format)), tmp_path / "out"
    go(out)
    undisturbed = tree(out)
    (out / "SUMMARY.json").unlink()
    _truncate(out / "shards" / "shard-000001.json")
    for work in (go, finalize, check.status):
        with pytest.raises(OSError, match=r"shard-000001\.json is damaged: fastmel verify .* --re"):
            work(out)
    check.reopen(load_plan(out), [1])
    assert {path.suffix for path in out.glob("shards/shard-000001.*")} == set()
    go(out)
    assert tree(out) == undisturbed


@pytest.mark.parametrize("name", ["plan.json", "items.jsonl"])
def test_a_plan_that_is_damaged_is_told(go, here, tmp_path, tree, undisturbed, name):
    out = tmp_path / "out"
    go(out)
    (out / "shards" / "shard-000001.json").unlink()
    _truncate(out / name)
    assert name in check.damage(out)
    with pytest.raises(OSError, match=rf"{name} is damaged: put it back from a copy, or extract"):
        extract(None, out, executor=here)
    go(out, overwrite=True)
    assert tree(out) == undisturbed


def test_what_failed_can_be_tried_again(corpus, here, tmp_path, tree):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(corpus, source)
    listed = tmp_path / "list.txt"
    missing = source / "speaker-2" / "02.wav"
    content = missing.read_bytes()
    listed.write_text("".join(f"{path}\n" for path in sorted(source.rglob("*.wav"))))
    missing.unlink()
    assert extract(str(listed), out, executor=here).failures == {"format": 1, "not_found": 1}
    missing.write_bytes(content)
    plan = load_plan(out)
    (index,) = (
        i for i in plan.complete() for f in plan.side(i)["failures"] if f["class"] == "not_found"
    )
    check.reopen(plan, [index])
    assert extract(None, out, executor=here).failures == {"format": 1}
    assert np.load(next(out.rglob("02.wav.npy"))).shape == (10, 80)


@pytest.fixture
def changing(corpus, here, tmp_path, tree):
    """Extract a copy of the corpus and repair what failed; the others of its shard may go."""

    def make(format):
        source, out = tmp_path / "source", tmp_path / "out"
        shutil.copytree(corpus, source)
        extract(str(source), out, format=_importable(format), executor=here)
        before = tree(out)
        bad = source / "speaker-1" / "bad.wav"
        shutil.copy(source / "speaker-1" / "01.wav", bad)
        made = load_plan(out)
        (index,) = (i for i in made.complete() if made.side(i)["failures"])
        neighbours = [item["source"] for item in made.side(index)["items"]]
        return out, before, neighbours

    return make


def _retry(out, executor):
    with check.tried_again(load_plan(out)):
        return extract(None, out, executor=executor)


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_a_retry_keeps_what_cannot_be_made_again(changing, here, tree, leftovers, format):
    out, before, neighbours = changing(format)
    for path in neighbours[:2]:
        os.unlink(path)
    with pytest.warns(match=r"kept as it was: 2 of its 3 items .* \(not_found\)"):
        assert _retry(out, here).failures == {"format": 1}
    assert tree(out) == before
    assert leftovers(out) == []
    assert check.damage(out, deep=True) == {}


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_a_retry_loses_nothing_if_the_sources_are_not_mounted(
    changing, here, tmp_path, tree, format
):
    out, before, _ = changing(format)
    (tmp_path / "source").rename(tmp_path / "unmounted")
    with pytest.raises(OSError, match="sees none of the 4 files"):
        _retry(out, here)
    assert check.damage(out, deep=True) == {}
    extract(None, out, executor=here)
    assert tree(out) == before


def test_a_retry_takes_the_classes_that_are_meant(changing):
    out, _, _ = changing("npy")
    made = load_plan(out)
    with check.tried_again(made, ["timeout", "oom"]):
        assert made.incomplete() == []
    with check.tried_again(made, ["format"]):
        assert len(made.incomplete()) == 1
    assert made.incomplete() == []


def test_a_retry_with_other_versions_changes_nothing(changing, tree, monkeypatch, capsys):
    out, before, _ = changing("npy")
    monkeypatch.setattr(plan, "__version__", "99")
    assert main(["retry", str(out)]) == 1
    assert "has other versions" in capsys.readouterr().err
    assert tree(out) == before


@forks
@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
@pytest.mark.parametrize(
    "point",
    ["shard-begun:0", "reading:2", "files-written:0", "renamed:0", "files-named:0", "shard-made:0"],
)
def test_a_kill_in_a_retry_leaves_what_the_next_run_completes(
    changing, here, tmp_path, tree, leftovers, monkeypatch, format, point
):
    out, _, _ = changing(format)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(out, undisturbed)
    _retry(undisturbed, here)
    _killed_at(point, tmp_path / "ready", monkeypatch, lambda: _retry(out, here))
    assert _is_consistent(out)
    assert extract(None, out, executor=here).failures == {}
    assert tree(out) == tree(undisturbed)
    assert leftovers(out) == []


@forks
@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_what_a_killed_retry_cannot_make_again_is_kept(
    changing, here, tmp_path, tree, monkeypatch, format
):
    out, before, neighbours = changing(format)
    _killed_at("files-written:0", tmp_path / "ready", monkeypatch, lambda: _retry(out, here))
    assert len(load_plan(out).incomplete()) == 1
    os.unlink(neighbours[0])
    with pytest.warns(match="kept as it was: 1 of its 3 items"):
        extract(None, out, executor=here)
    assert tree(out) == before


def test_a_shard_that_was_put_back_is_not_made_after_all(changing, here, tree, monkeypatch):
    out, before, _ = changing("wds")

    def put_back(point):
        if point == "files-written":
            check._put_back(load_plan(out))

    monkeypatch.setattr(durable, "failpoint", put_back)
    _retry(out, here)
    assert tree(out) == before


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_a_shard_without_items_has_no_files(go, tmp_path, leftovers, format):
    go = partial(go, format=_importable(format), max_duration=0.05)
    summary = go(tmp_path)
    assert (summary.written, summary.bytes) == (0, 0)
    assert {path.suffix for path in (tmp_path / "shards").iterdir()} == {".json"}
    assert leftovers(tmp_path) == []
    assert check.damage(tmp_path, deep=True) == {}
    assert go(tmp_path) == summary


def test_a_shard_without_items_leaves_no_files_of_a_killed_attempt(corpus, go, tmp_path):
    options = {"format": "wds", "max_duration": 0.05}
    with run.locked(tmp_path):
        run.plan_for(
            tmp_path, run.check_settings("whisper", "wds", {}, max_duration=0.05), [str(corpus)]
        )
    stale = tmp_path / "shards" / "shard-000000.tar"
    stale.parent.mkdir()
    stale.write_bytes(b"what a kill left")
    go(tmp_path, **options)
    assert not stale.exists()


def test_members_of_another_archive_are_failures(corpus, here, tmp_path):
    archive, out = tmp_path / "a.tar", tmp_path / "out"
    with tarfile.open(archive, "w") as file:
        file.add(corpus / "speaker-0", "speaker-0")
    with run.locked(out):
        run.plan_for(out, run.check_settings("whisper", "npy", {}), [str(archive)])
    with tarfile.open(archive, "w") as file:
        file.add(corpus / "speaker-0" / "00.wav", "x" * 200)
    assert extract(None, out, executor=here).failures == {"changed": 4}


class _Scarce:
    """Has no memory for some items, or to bring them to the disk."""

    def __init__(self, writer, ids=(), can_close=True):
        self._writer, self._ids, self._can_close = writer, ids, can_close
        self.abort = writer.abort

    def add(self, item, features, meta):
        place = self._writer.add(item, features, meta)
        if item.id in self._ids:
            raise MemoryError
        return place

    def close(self):
        if not self._can_close:
            raise MemoryError
        return self._writer.close()


@pytest.mark.parametrize("format", ["npy", "wds", "kaldi", "parquet"])
def test_items_that_there_is_no_memory_to_write_fail(
    corpus, go, tmp_path, tree, leftovers, monkeypatch, format
):
    module = sink(_importable(format))
    open_shard, ids = module.open_shard, ["speaker-0/00.wav", "speaker-0/06.wav"]
    monkeypatch.setattr(module, "open_shard", lambda *args: _Scarce(open_shard(*args), ids))
    summary = go(tmp_path / "out", format=format)
    assert (summary.written, summary.failures) == (9, {"format": 1, "oom": 2})
    failures = _lines(tmp_path / "out" / "failures.jsonl")
    assert [f["id"] for f in failures if f["stage"] == "write"] == ids
    assert leftovers(tmp_path / "out") == []
    assert check.damage(tmp_path / "out", deep=True) == {}


def test_a_shard_that_there_is_no_memory_for_is_told(go, tmp_path, leftovers, monkeypatch):
    module = sink("npy")
    open_shard = module.open_shard
    with monkeypatch.context() as patch:
        patch.setattr(
            module, "open_shard", lambda *args: _Scarce(open_shard(*args), can_close=False)
        )
        with pytest.raises(OSError, match="not enough memory for a shard; take fewer workers"):
            go(tmp_path)
    assert leftovers(tmp_path) == []
    assert go(tmp_path).written == 11


@pytest.mark.parametrize("size", [3200, 6400])
def test_memory_for_a_row_group_of_one_item_and_of_several(go, tmp_path, monkeypatch, size):
    pytest.importorskip("pyarrow")
    from fastmel.corpus.sinks import parquet

    def fail(self):
        raise MemoryError

    monkeypatch.setattr(parquet, "_ROW_GROUP", size)
    monkeypatch.setattr(parquet.Table, "_write_row_group", fail)
    if size == 3200:
        assert go(tmp_path, format="parquet").failures == {"format": 1, "oom": 11}
    else:
        with pytest.raises(OSError, match="not enough memory for a row group"):
            go(tmp_path, format="parquet")
