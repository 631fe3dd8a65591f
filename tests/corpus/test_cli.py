"""The words, and what they print; the work itself is tested in test_run.py and test_slots.py."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fastmel.cli import main
from fastmel.corpus import plan, progress, run, slots
from fastmel.corpus.work import run_shard


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Make shards of four items here; processes take seconds."""
    monkeypatch.setattr(plan, "_SHARD_ITEMS", (4, 4))
    monkeypatch.setattr(slots, "prepare", lambda config: None)

    def make_shards(plan, shards, **_):
        for index in shards:
            yield None
            yield run_shard(plan.path, index)

    monkeypatch.setattr(slots, "make_shards", make_shards)


def test_summary(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["extract", str(corpus), "-o", str(out), "--json", "--format", "wds"]) == 3
    output, errors = capsys.readouterr()
    summary = json.loads(output)
    assert (summary["planned"], summary["written"], summary["failures"]) == (12, 11, {"format": 1})
    assert f"11 of 12 inputs written to {out}: 0.00 h of audio, 110 frames" in errors
    assert f"1 failed (1 format): see {out / 'failures.jsonl'}" in errors


def test_inputs_that_are_all_good(corpus, tmp_path, capsys):
    words = ["extract", str(corpus / "speaker-0"), "-o", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr() == ("", "")


def test_options(corpus, tmp_path):
    words = [
        "extract",
        str(corpus),
        "-o",
        str(tmp_path),
        "--frontend",
        "kaldi",
        "--dtype",
        "float16",
    ]
    words += ["-O", "n-mels=40", "-O", "window=hann", "--layout", "mels_first", "--limit", "3"]
    assert main([*words, "--max-duration", "60", "--partial"]) == 0
    settings = plan.load_plan(tmp_path).settings
    assert (settings["frontend"], settings["limit"], settings["partial"]) == ("kaldi", 3, True)
    assert settings["max_duration"] == 60
    config = settings["config"]
    found = [config[name] for name in ("n_mels", "window", "dtype", "layout")]
    assert found == [40, "hann", "float16", "mels_first"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--frontend", "wisper"], 2, "did you mean 'whisper'"),
        (["-O", "nmels=2"], 2, "no option nmels"),
        (["-O", "name=x"], 2, "no option name"),
        (["-O", 'window=""'], 2, "Invalid window name"),
        (["-O", "n_fft=99999999999999999"], 2, "Unable to allocate"),
        (["-O", "dtype=null"], 2, "give float32 or float16"),
        (["--task-index", "1"], 2, "--task-index and --task-count need each other"),
        (["--task-index", "2", "--task-count", "2"], 2, "is not below 2"),
        (["--task-index", "0", "--task-count", "2", "--overwrite"], 2, "what the others made"),
    ],
)
def test_bad_words(corpus, tmp_path, capsys, words, code, message):
    assert main(["extract", str(corpus), "-o", str(tmp_path / "out"), *words]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--workers", "0"],
        ["--max-failures", "1.5"],
        ["--max-failures", "many"],
        ["--max-failures", "inf"],
        ["--memory-per-worker", "2X"],
        ["--memory-per-worker", "inf"],
        ["--memory-per-worker=-1G"],
        ["--timeout-per-file", "0"],
        ["--timeout-per-file=-1"],
        ["--timeout-per-file", "nan"],
        ["-O", "n_mels"],
        ["--format", "zip"],
        ["-o", "s3://bucket/out"],
        ["--scheduler", "tcp://a:1", "--scheduler-file", "b"],
    ],
)
def test_words_that_are_none(corpus, tmp_path, capsys, words):
    with pytest.raises(SystemExit) as end:
        main(["extract", str(corpus), "-o", str(tmp_path), *words])
    assert end.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_other_options_on_the_same_output(corpus, tmp_path, capsys):
    words = ["extract", str(corpus), "-o", str(tmp_path), "--quiet"]
    assert main(words) == 3
    assert main([*words, "--dtype", "float16"]) == 1
    assert "config.dtype: 'float32' in the plan, 'float16' now" in capsys.readouterr().err
    assert main([*words, "--dtype", "float16", "--overwrite"]) == 3
    assert main(["extract", "-o", str(tmp_path)]) == 3


def test_without_inputs_there_must_be_a_plan(tmp_path, capsys):
    assert main(["extract", "-o", str(tmp_path / "out")]) == 2
    assert "holds no plan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "wds", "-O", "n_mels=40"], "--option, --format without inputs"),
        (["--limit", "3"], "--limit without inputs"),
        (["--overwrite"], "--overwrite without inputs"),
    ],
)
def test_what_goes_on_takes_no_options(corpus, tmp_path, capsys, tree, words, message):
    assert main(["extract", str(corpus), "-o", str(tmp_path), "--quiet"]) == 3
    before = tree(tmp_path)
    assert main(["extract", "-o", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("words", [["--fail-fast"], ["--max-failures", "1%"]])
def test_too_many_failures(corpus, tmp_path, capsys, words):
    assert main(["extract", str(corpus), "-o", str(tmp_path), *words]) == 5
    assert f"to go on: fastmel extract -o {tmp_path}" in capsys.readouterr().err
    assert main(["extract", "-o", str(tmp_path), "--max-failures", "1"]) == 3


@pytest.mark.parametrize(("most", "code"), [("99%", 5), ("100%", 3), ("150%", 3)])
def test_all_inputs_may_fail(tmp_path, most, code):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_text("nothing")
    words = ["extract", str(tmp_path), "-o", str(tmp_path / "out"), "--max-failures", most]
    assert main(words) == code


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to the superuser")
def test_an_output_that_cannot_be_written(corpus, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["extract", str(corpus), "-o", str(tmp_path / "out")]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_an_output_that_is_a_file(corpus, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert main(["extract", str(corpus), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"fastmel: error: {tmp_path / 'out'}: File exists\n"


@pytest.mark.parametrize("words", [[], ["--dtype", "float16", "--overwrite"]])
def test_an_interrupted_plan_is_none_to_go_on_with(corpus, tmp_path, monkeypatch, capsys, words):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    main(["extract", str(corpus), "-o", str(tmp_path), "--plan-only"])
    capsys.readouterr()
    monkeypatch.setattr(run, "plan_for", interrupt)
    assert main(["extract", str(corpus), "-o", str(tmp_path), *words]) == 130
    assert capsys.readouterr().err == "fastmel: interrupted\n"


def test_extract_is_no_remedy_for_what_only_reads(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert main(["status", str(tmp_path / "out")]) == 1
    assert "to go on" not in capsys.readouterr().err


def test_standard_input_that_is_closed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["extract", "-", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "fastmel: error: -: standard input is closed\n"
    assert not (tmp_path / "out").exists()


def test_dry_run(corpus, tmp_path, capsys):
    words = ["extract", str(corpus), "-o", str(tmp_path / "out"), "--dry-run"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["items"], facts["shards"]) == (12, 3)
    assert facts["source_bytes"] == sum(path.stat().st_size for path in corpus.rglob("*.wav"))
    assert facts["bytes_free"] > 0
    assert main(["extract", str(corpus), "-o", str(tmp_path / "done"), "--quiet"]) == 3
    summary = json.loads((tmp_path / "done" / "SUMMARY.json").read_text())
    assert facts["bytes"] == pytest.approx(summary["bytes"], rel=0.2)
    assert main(words) == 0
    assert "12 inputs in 3 shards" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_dry_run_opens_what_the_run_would(tmp_path, capsys):
    def hours_of(*sources):
        words = ["extract", *map(str, sources), "-o", str(tmp_path / "out"), "--dry-run", "--json"]
        assert main(words) == 0
        return json.loads(capsys.readouterr().out)["hours"]

    folder = tmp_path / "100%"
    folder.mkdir()
    soundfile.write(folder / "x.flac", np.zeros(16000 * 360), 16000)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(folder / "x.flac", "x.flac")
    assert hours_of(folder) == hours_of(tmp_path / "a.tar") == 0.1
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.wav")
        assert hours_of(folder) == 0.1


def test_tasks_share_the_work_of_a_plan(corpus, tmp_path, capsys, tree):
    one, many = tmp_path / "one", tmp_path / "many"
    main(["extract", str(corpus), "-o", str(one), "--quiet"])
    task = ["extract", str(corpus), "-o", str(many), "--quiet", "--task-count", "2", "--task-index"]
    assert main([*task, "0"]) == 0
    assert main(["finalize", str(many)]) == 2
    assert "1 of 3 shards are not made yet, such as 1" in capsys.readouterr().err
    assert main(["extract", "-o", str(many), "--task-count", "2", "--task-index", "1"]) == 0
    assert main(["finalize", str(many)]) == 3
    assert tree(many) == tree(one)


def test_tasks_of_a_list_on_standard_input(corpus, tmp_path, monkeypatch, capsys, tree):
    one, many = tmp_path / "one", tmp_path / "many"
    names = "\n".join(map(str, corpus.rglob("*.wav")))

    def extract(*words):
        monkeypatch.setattr("sys.stdin", io.StringIO(names))
        return main(["extract", *words, "--quiet"])

    assert extract("-", "-o", str(one)) == 3
    assert extract("-", "-o", str(many), "--task-index", "1", "--task-count", "2") == 0
    assert extract("-", "-o", str(many), "--task-index", "0", "--task-count", "2") == 0
    assert main(["finalize", str(many)]) == 3
    assert tree(many) == tree(one)
    again = tmp_path / "again"
    assert extract("-", "-o", str(again), "--plan-only") == 0
    assert "12 inputs in 3 shards are planned" in capsys.readouterr().err
    assert plan.load_plan(again).incomplete() == [0, 1, 2]
    for index in range(5):
        words = ["extract", "-o", str(again), "--task-index", str(index), "--task-count", "5"]
        assert main(words) == 0
    assert main(["finalize", str(again)]) == 3
    assert tree(again) == tree(one)


def test_summaries_of_a_plan_and_of_a_task(corpus, tmp_path, capsys):
    assert main(["extract", str(corpus), "-o", str(tmp_path), "--plan-only", "--json"]) == 0
    digest = plan.load_plan(tmp_path).digest
    assert json.loads(capsys.readouterr().out) == {"plan": digest, "planned": 12, "shards": 3}
    task = ["extract", "-o", str(tmp_path), "--task-index", "1", "--task-count", "2", "--json"]
    for made in (
        {"planned": 4, "written": 4, "failed": 0, "shards": 1},
        {"planned": 0, "written": 0, "failed": 0, "shards": 0},
    ):
        assert main(task) == 0
        assert json.loads(capsys.readouterr().out) == {"plan": digest, **made}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(corpus, tmp_path, unbuffered):
    main(["extract", str(corpus), "-o", str(tmp_path), "--plan-only"])
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        found = subprocess.run(
            [sys.executable, "-m", "fastmel", "status", str(tmp_path)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (found.returncode, found.stderr) == (141, b"")


def test_retry_knows_the_classes(corpus, tmp_path, capsys):
    main(["extract", str(corpus), "-o", str(tmp_path), "--plan-only"])
    with pytest.raises(SystemExit):
        main(["retry", str(tmp_path), "--reason", "oom,fromat"])
    assert "'fromat' is no class of failures; there are not_found," in capsys.readouterr().err


def test_status_verify_retry(corpus, tmp_path, capsys, tree):
    out = str(tmp_path)
    assert main(["extract", str(corpus), "-o", out, "--quiet"]) == 3
    undisturbed = tree(tmp_path)
    assert main(["status", out]) == 0
    assert capsys.readouterr().out.startswith("finished: 11 written, 1 failed, 0 left of 12; 3 of")
    assert main(["verify", out, "--deep"]) == 0
    assert capsys.readouterr().out == "no damage\n"

    next(tmp_path.rglob("*.npy")).write_bytes(b"")
    assert main(["verify", out, "--json", "--reopen"]) == 4
    output, errors = capsys.readouterr()
    assert "0 bytes, not" in errors
    assert len(json.loads(output)["damage"]) == 1
    assert main(["status", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left"] == 4
    assert main(["extract", "-o", out, "--quiet"]) == 3
    assert tree(tmp_path) == undisturbed

    events = (tmp_path / ".events.jsonl").read_text().count("\n")
    assert main(["retry", out, "--quiet", "--reason", "timeout,oom"]) == 3
    assert (tmp_path / ".events.jsonl").read_text().count("\n") == events
    assert main(["retry", out, "--quiet", "--reason", "format"]) == 3
    assert (tmp_path / ".events.jsonl").read_text().count("\n") == events + 1
    assert tree(tmp_path) == undisturbed


def test_report(corpus, tmp_path, capsys):
    assert main(["extract", str(corpus), "-o", str(tmp_path), "--quiet"]) == 3
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    page = (tmp_path / "report.html").read_text()
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles[:2] == ["Totals", "Throughput"]
    assert titles[2:6] == ["Lengths", "Levels", "Mean features", "Failures"]
    assert "<summary>format: 1</summary>" in page
    assert str(corpus / "speaker-1" / "bad.wav") in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_report_of_a_run_that_made_nothing_yet(corpus, tmp_path):
    with run.locked(tmp_path):
        run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
    assert main(["report", str(tmp_path)]) == 0
    assert "<th>not worked on yet<td>12" in (tmp_path / "report.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_report_of_a_folder_whose_name_is_not_text(corpus, tmp_path, capsys):
    out = os.path.join(tmp_path, os.fsdecode(b"\xff"))
    main(["extract", str(corpus), "-o", out, "--plan-only"])
    assert main(["report", out]) == 0
    assert r"/\udcff</h1>" in Path(out, "report.html").read_text()


def test_report_of_a_run_that_was_killed_while_it_wrote(corpus, tmp_path):
    words = ["extract", str(corpus), "-o", str(tmp_path), "--quiet"]
    assert main(words) == 3
    main(["report", str(tmp_path)])
    page = (tmp_path / "report.html").read_text()
    with open(tmp_path / ".events.jsonl", "a") as events:
        events.write('{"time": 1791000000.125, "sha')
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_text() == page


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("SUMMARY.json", ["extract -o", "status"]),
        ("shards/shard-000000.json", ["status", "report"]),
    ],
)
def test_files_that_are_damaged(corpus, tmp_path, capsys, tree, name, commands):
    out = str(tmp_path)
    assert main(["extract", str(corpus), "-o", out, "--quiet"]) == 3
    undisturbed = tree(tmp_path)
    os.truncate(tmp_path / name, 50)
    for command in commands:
        assert main([*command.split(), out]) == 1
        assert f"{name} is damaged: fastmel verify {out} --reopen" in capsys.readouterr().err
    assert main(["verify", out]) == 4
    assert main(["verify", out, "--reopen"]) == 4
    assert main(["extract", "-o", out, "--quiet"]) == 3
    assert main(["verify", out, "--deep"]) == 0
    assert tree(tmp_path) == undisturbed


def test_a_plan_that_is_damaged(corpus, tmp_path, capsys):
    assert main(["extract", str(corpus), "-o", str(tmp_path), "--quiet"]) == 3
    (tmp_path / "plan.json").write_text("{")
    assert main(["verify", str(tmp_path), "--reopen", "--json"]) == 4
    output, errors = capsys.readouterr()
    assert json.loads(output) == {"damage": {"plan.json": ["it cannot be read"]}, "left": None}
    assert "plan.json: it cannot be read" in errors
    assert main(["status", str(tmp_path)]) == 1
    assert "put it back from a copy, or extract anew with overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_columns", "line"),
    [
        (0, "4/12 files  0.0 h of audio  0x real time  0.0 MB/s  0 failed  0:00:58 left"),
        (74, "4/12 files  0.0 h of audio  0x real time  0 failed  0:00:58 left"),
        (40, "4/12 files  0 failed  0:00:58 left"),
        (10, "4/12 file"),
    ],
)
def test_progress_fits_into_a_row(corpus, tmp_path, monkeypatch, n_columns, line):
    with run.locked(tmp_path):
        made = run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
    terminal, now = _Terminal(), [0.0]
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(
        progress.os, "get_terminal_size", lambda _: os.terminal_size((n_columns, 24))
    )
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = progress.Progress(made, terminal)
    report = run_shard(tmp_path, 0)
    now[0] += 29
    shown(report)
    assert terminal.getvalue() == f"\r{line}\x1b[K"


def test_progress(corpus, tmp_path, monkeypatch):
    with run.locked(tmp_path):
        made = run.plan_for(tmp_path, run.check_settings("whisper", "npy", {}), [str(corpus)])
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    terminal, file = _Terminal(), io.StringIO()
    shown, logged = progress.Progress(made, terminal), progress.Progress(made, file)
    for index in range(2):
        report = run_shard(tmp_path, index)
        now[0] += 29
        shown(report)
        logged(report)
    shown.end()
    logged.end()
    first = "4/12 files  0.0 h of audio  0x real time  0.0 MB/s  0 failed  0:00:58 left"
    second = "8/12 files  0.0 h of audio  0x real time  0.0 MB/s  0 failed  0:00:29 left"
    assert terminal.getvalue() == f"\r{first}\x1b[K\r{second}\x1b[K\r{second}\x1b[K\n"
    assert file.getvalue() == f"{second}\n"
    assert progress.Progress(made, file).line().startswith("8/12 files")
