"""The command: what it writes, what it says and to whom, and its exit codes."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel import cli

SMALL = ("--n-fft", "512", "--hop-length", "160", "--n-mels", "40", "--sr", "16000")


@pytest.fixture(autouse=True)
def in_a_new_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wav():
    """Make a function that writes a second of noise, 16 kHz, and returns the file's name."""

    def write(name="a.wav", seconds=1.0, sr=16000, channels=1):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).normal(0, 0.1, (round(seconds * sr), channels))
        soundfile.write(name, noise, sr, subtype="FLOAT")
        return name

    return write


def fastmel_command(*words):
    """Run the command in this process and return its exit code."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as exit:
        return exit.code


def in_a_process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "fastmel", *words], capture_output=True, text=True, **options
    )


def names():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


# mel: what is written


def test_one_file_to_one_array(wav):
    assert fastmel_command("mel", wav(), "-o", "out.npy", *SMALL) == 0
    y, sr = fastmel.load("a.wav", sr=16000)
    expected = fastmel.MelSpectrogram(sr=sr, n_fft=512, hop_length=160, n_mels=40, log="db")(y)
    np.testing.assert_array_equal(np.load("out.npy"), expected)
    assert expected.dtype == np.float32


def test_several_files_to_a_new_directory(wav):
    files = wav("a.wav"), wav("deep/b.take.2.wav")
    assert fastmel_command("mel", *files, "-o", "new/out", *SMALL) == 0
    assert names() == ["a.wav", "deep/b.take.2.wav", "new/out/a.npy", "new/out/b.take.2.npy"]


def test_several_files_to_one_archive(wav):
    files = wav("a.wav"), wav("file.wav", seconds=0.5)
    assert fastmel_command("mel", *files, "-o", "out.npz", *SMALL) == 0
    assert fastmel_command("mel", *files, "-o", "out", *SMALL) == 0
    with np.load("out.npz") as archive:
        assert sorted(archive) == ["a", "file"]
        for name, mel in archive.items():
            np.testing.assert_array_equal(mel, np.load(f"out/{name}.npy"))


@pytest.mark.parametrize(
    ("files", "out", "pictures"),
    [
        (["a.wav", "b.1.wav"], "out", ["out/a.png", "out/b.1.png"]),
        (["a.wav", "b.1.wav"], "out.npz", ["a.png", "b.1.png"]),
        (["a.wav"], "other.npy", ["other.png"]),
    ],
)
def test_pictures_lie_beside_the_arrays(wav, files, out, pictures):
    assert fastmel_command("mel", *map(wav, files), "-o", out, "--plot", *SMALL) == 0
    assert [name for name in names() if name.endswith(".png")] == pictures
    assert Path(pictures[0]).read_bytes().startswith(b"\x89PNG")


def test_every_option_reaches_the_transform(wav):
    words = (
        *("--sr", 16000, "--n-fft", 600, "--hop-length", 200, "--win-length", 500),
        *("--window", "kaiser,14", "--no-center", "--pad-mode", "reflect", "--power", 1),
        *("--n-mels", 24, "--fmin", 60, "--fmax", 6000, "--htk", "--norm", "inf"),
        *("--log", "db", "--ref", "max", "--top-db", 60, "--engine", "reference"),
    )
    assert fastmel_command("mel", wav(), "-o", "out.npy", *words) == 0
    transform = fastmel.MelSpectrogram(
        sr=16000,
        n_fft=600,
        hop_length=200,
        win_length=500,
        window=("kaiser", 14),
        center=False,
        pad_mode="reflect",
        power=1,
        n_mels=24,
        fmin=60,
        fmax=6000,
        htk=True,
        norm=np.inf,
        log="db",
        ref="max",
        top_db=60,
        engine="reference",
    )
    y, _ = fastmel.load("a.wav", sr=16000)
    np.testing.assert_array_equal(np.load("out.npy"), transform(y))


@pytest.mark.parametrize("log", ["none", "ln", "log10"])
def test_other_logarithms_and_no_norm(wav, log):
    assert fastmel_command("mel", wav(), "-o", "o.npy", "--log", log, "--norm", "none", *SMALL) == 0
    transform = fastmel.MelSpectrogram(
        sr=16000,
        n_fft=512,
        hop_length=160,
        n_mels=40,
        norm=None,
        log=None if log == "none" else log,
    )
    np.testing.assert_array_equal(np.load("o.npy"), transform(fastmel.load("a.wav", sr=16000)[0]))


def test_native_rate_keeps_each_file_s_own(wav):
    files = wav("a.wav", sr=8000), wav("b.wav", sr=16000)
    words = ("--sr", "native", "--n-fft", 256, "--hop-length", 100, "--n-mels", 20)
    assert fastmel_command("mel", *files, "-o", "out", *words) == 0
    assert np.load("out/a.npy").shape == (20, 81)
    assert np.load("out/b.npy").shape == (20, 161)


def test_channels_are_mixed_down(wav):
    assert fastmel_command("mel", wav(channels=2), "-o", "out.npy", *SMALL) == 0
    assert np.load("out.npy").shape == (40, 101)


def test_standard_input(wav, monkeypatch):
    content = Path(wav()).read_bytes()
    assert fastmel_command("mel", "a.wav", "-o", "file.npy", *SMALL) == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert fastmel_command("mel", "-", "-o", "out", *SMALL) == 0
    np.testing.assert_array_equal(np.load("out/stdin.npy"), np.load("file.npy"))


def test_threads_are_set_and_do_not_change_the_result(wav):
    before = fastmel.get_num_threads()
    try:
        for n in (1, 2):
            words = ("-o", f"{n}.npy", "--threads", n, *SMALL)
            assert fastmel_command("mel", wav(seconds=30), *words) == 0
            assert fastmel.get_num_threads() == n
    finally:
        fastmel.set_num_threads(before)
    assert Path("1.npy").read_bytes() == Path("2.npy").read_bytes()


# mel: front ends of known models


@pytest.mark.parametrize(
    ("name", "words", "options"),
    [
        ("whisper", (), {}),
        ("whisper", ("-O", "padding=30s", "--n-mels", 128), {"padding": "30s", "n_mels": 128}),
        ("nemo", ("-O", "rule=2.4", "-O", "n_mels=128"), {"rule": "2.4", "n_mels": 128}),
        ("kaldi", ("-O", "use-energy=true", "--sr", 8000), {"use_energy": True, "sr": 8000}),
        ("kaldi", ("-O", "htk=False", "--fmin", 60), {"htk": False, "fmin": 60}),
        ("vggish", ("-O", "stack=96,96", "-O", "stack_ends=drop"), {"stack": (96, 96)}),
        ("speechbrain", ("-O", "top_db=none", "--log", "none"), {"top_db": None, "log": None}),
        ("hifigan", ("--engine", "reference"), {"engine": "reference"}),
    ],
)
def test_a_front_end_and_its_options(wav, name, words, options):
    if "stack" in options:
        options["stack_ends"] = "drop"
    file = wav(sr=48000, seconds=1.2)
    assert fastmel_command("mel", file, "-o", "out.npy", "--frontend", name, *words) == 0
    frontend = fastmel.frontend(name, **options)
    y, _ = fastmel.load(file, sr=frontend.sample_rate)
    np.testing.assert_array_equal(np.load("out.npy"), frontend(y))


def test_any_field_without_a_front_end(wav):
    words = ("-O", "preemphasis=0.97", "-O", "layout=frames_first")
    assert fastmel_command("mel", wav(), "-o", "out.npy", *words, *SMALL) == 0
    transform = fastmel.MelSpectrogram(
        sr=16000, n_fft=512, hop_length=160, n_mels=40, log="db", preemphasis=0.97
    )
    y, _ = fastmel.load("a.wav", sr=16000)
    np.testing.assert_array_equal(np.load("out.npy"), transform(y).T)


def test_pictures_of_front_ends(wav):
    words = ("-o", "out.npz", "--plot", "--frontend", "kaldi-mfcc")
    assert fastmel_command("mel", wav("a.wav"), wav("b.wav", sr=8000), *words) == 0
    assert names() == ["a.png", "a.wav", "b.png", "b.wav", "out.npz"]
    with np.load("out.npz") as archive:
        assert [mel.shape for mel in archive.values()] == [(98, 13), (98, 13)]


def test_a_signal_without_a_frame_has_no_picture(wav, capsys):
    words = ("-o", "out.npy", "--plot", "--frontend", "kaldi")
    assert fastmel_command("mel", wav(seconds=0.01), *words) == 1
    assert np.load("out.npy").shape == (0, 80)
    assert "a.wav: no picture was made" in capsys.readouterr().err
    assert names() == ["a.wav", "out.npy"]


def test_existing_outputs_are_replaced_whole(wav):
    Path("out.npy").write_bytes(b"old")
    assert fastmel_command("mel", wav(), "-o", "out.npy", *SMALL) == 0
    assert np.load("out.npy").shape == (40, 101)


def test_a_failed_write_leaves_the_old_output(wav, monkeypatch, capsys):
    Path("out.npy").write_bytes(b"old")

    def full_disk(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    assert fastmel_command("mel", wav(), "-o", "out.npy", *SMALL) == 1
    assert capsys.readouterr().err == "fastmel: error: out.npy: No space left on device\n"
    assert Path("out.npy").read_bytes() == b"old"
    assert names() == ["a.wav", "out.npy"]


# mel: what is said


def test_one_line_a_file(wav, capsys):
    assert fastmel_command("mel", wav("a.wav"), wav("b.wav"), "-o", "out", *SMALL) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == ["a.wav", "b.wav"]
    for line in lines:
        assert "(40, 101)  1.00 s of audio in " in line
        assert line.endswith("x real time")


def test_quiet(wav, capsys):
    assert fastmel_command("mel", wav(), "-o", "out", "--quiet", *SMALL) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "bands", [("--n-fft", 64, "--n-mels", 128), ("--frontend", "kaldi", "-O", "n_mels=200")]
)
def test_warnings_are_one_line(wav, capsys, bands):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert fastmel_command("mel", wav(), "-o", "out.npy", *bands) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fastmel: warning: Empty filters detected")


# mel: inputs that fail


def not_there():
    pass


def directory():
    Path("bad.wav").mkdir()


def empty():
    Path("bad.wav").touch()


def text():
    Path("bad.wav").write_text("Dear diary,\n")


def cut_off():
    Path("bad.wav").write_bytes(b"RIFF\x00\x00")


def with_nan():
    samples = np.zeros(16000, np.float32)
    samples[7] = np.nan
    soundfile.write("bad.wav", samples, 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("make_bad", "reason"),
    [
        (not_there, "No such file or directory"),
        (directory, "Is a directory"),
        (empty, "Format not recognised"),
        (text, "Format not recognised"),
        (cut_off, "Format not recognised"),
        (with_nan, "not finite"),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_written(wav, capsys, make_bad, reason):
    make_bad()
    assert fastmel_command("mel", wav("a.wav"), "bad.wav", wav("c.wav"), "-o", "out", *SMALL) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    (line,) = said.err.splitlines()
    assert line.startswith("fastmel: bad.wav: ")
    assert reason in line
    assert sorted(os.listdir("out")) == ["a.npy", "c.npy"]


def test_an_archive_holds_the_good_files(wav):
    assert fastmel_command("mel", "missing.wav", wav("a.wav"), "-o", "out.npz", *SMALL) == 1
    with np.load("out.npz") as archive:
        assert list(archive) == ["a"]


def test_no_archive_is_written_when_all_fail():
    assert fastmel_command("mel", "missing.wav", "-o", "out.npz", *SMALL) == 1
    assert names() == []


# command lines that ask for the impossible


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("a.wav", "x/a.flac", "-o", "out"), "a.wav and x/a.flac would both be written as 'a'"),
        (("a.wav", "a.wav", "-o", "out.npz"), "a.wav and a.wav would both be written as 'a'"),
        (("a.wav", "b.wav", "-o", "out.npy"), "out.npy can hold one input"),
        (("a.wav", "-o", "a.wav"), "a.wav is not a directory"),
        (("a.wav", "-o", "out", "--n-fft", "0"), "n_fft=0"),
        (("a.wav", "-o", "out", "--n-fft", "0", "--sr", "native"), "n_fft=0"),
        (("a.wav", "-o", "out", "--window", "hann7"), "hann7"),
        (("a.wav", "-o", "out", "--pad-mode", "mirror"), "mirror"),
        (("a.wav", "-o", "out", "--threads", "0"), "0"),
        (("a.wav", "-o", "out", "--sr", "fast"), "'fast' is neither a positive number nor"),
        (("a.wav", "-o", "out", "--norm", "l1"), "'l1' is neither a number nor 'slaney', 'none'"),
        (("a.wav", "-o", "out", "--window", "kaiser,x"), "a number must follow each comma"),
        (("a.wav", "-o", "out", "--log", "log2"), "invalid choice: 'log2'"),
        (("a.wav", "-o", "out", "--frontend", "wisper"), "did you mean 'whisper'?"),
        (("a.wav", "-o", "out", "--frontend", "whisper", "--sr", "native"), "--sr native"),
        (("a.wav", "-o", "out", "--frontend", "whisper", "-O", "pad=1"), "has no option pad"),
        (("a.wav", "-o", "out", "--frontend", "whisper", "-O", "name=x"), "has no option name"),
        (("a.wav", "-o", "out", "--frontend", "whisper", "-O", "padding=3"), "padding=3 is not"),
        (("a.wav", "-o", "out", "--frontend", "kaldi", "-O", "sr=x"), "sr=x is not a number"),
        (("a.wav", "-o", "out", "--frontend", "kaldi", "-O", "use-energy=si"), "true or false"),
        (("a.wav", "-o", "out", "-O", "padding"), "'padding' is not KEY=VALUE"),
        (("a.wav", "-o", "out", "-O", "n_mels=80", "--n-mels", "80"), "n_mels is given twice"),
        (("a.wav", "-o", "out", "-O", "loudness=1"), "loudness"),
        (("a.wav",), "-o/--output"),
        (("-o", "out"), "FILE"),
    ],
)
def test_refused_before_any_work(wav, capsys, words, reason):
    wav("a.wav")
    assert fastmel_command("mel", *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err.splitlines()[-1]
    assert names() == ["a.wav"]


def test_pictures_without_matplotlib_are_refused(wav, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fastmel_command("mel", wav(), "-o", "out", "--plot") == 2
    assert "pip install 'fastmel[display]'" in capsys.readouterr().err
    assert names() == ["a.wav"]


def test_no_command(capsys):
    assert fastmel_command() == 2
    assert "COMMAND" in capsys.readouterr().err


# ends that are not the command's own


def test_interrupt(wav):
    os.mkfifo("never.wav")
    command = [sys.executable, "-m", "fastmel", "mel", wav(), "never.wav", "-o", "out", *SMALL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()  # the first file is done, the second never begins
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b"fastmel: interrupted\n"
    assert os.listdir("out") == ["a.npy"]


def test_broken_pipe(wav):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fastmel", "mel", wav(), "-o", "out", *SMALL]
    process = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")


def test_file_names_that_are_not_text(wav):
    name = os.fsdecode(b"caf\xe9.wav")
    os.rename(wav(), name)
    process = subprocess.run(
        [sys.executable, "-m", "fastmel", "mel", name, "-o", "out", *SMALL], capture_output=True
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert os.listdir(b"out") == [b"caf\xe9.npy"]


# frontends


def test_front_ends_are_a_table(capsys):
    assert fastmel_command("frontends") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(fastmel.frontends.names())
    whisper, kaldi = (next(line for line in lines if line.startswith(n)) for n in ("whi", "kal"))
    assert whisper.split()[1:6] == ["16000", "400/160", "80,", "T", "log10"]
    assert kaldi.split()[1:6] == ["16000", "512/160", "T,", "80", "ln"]
    assert whisper.endswith(fastmel.frontends.describe("whisper"))


@pytest.mark.parametrize("columns", [60, 80, 400])
def test_the_table_fits_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert fastmel_command("frontends") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert any(line.endswith("…") for line in lines) == (columns < 400)


def test_front_ends_as_json_can_be_read_back(capsys):
    assert fastmel_command("frontends", "--json") == 0
    configs = json.loads(capsys.readouterr().out)
    assert list(configs) == list(fastmel.frontends.names())
    for name, fields in configs.items():
        assert fastmel.MelConfig.from_dict(fields) == fastmel.frontends.preset(name)


# demo, info, warmup, help


def test_demo(capsys):
    assert fastmel_command("demo", "-o", "new/demo") == 0
    assert names() == ["new/demo/clip.npy", "new/demo/clip.png", "new/demo/clip.wav"]
    log_mel = np.load("new/demo/clip.npy")
    assert log_mel.shape == (128, 259)
    y, sr = fastmel.load("new/demo/clip.wav")
    expected = fastmel.power_to_db(fastmel.feature.melspectrogram(y=y, sr=sr), top_db=None)
    np.testing.assert_allclose(log_mel, expected, atol=1e-3)
    said = capsys.readouterr().out
    assert "(128, 259) float32" in said
    assert "first call" in said
    assert "second call" in said


def test_demo_without_matplotlib_does_the_rest(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fastmel_command("demo", "-o", "demo") == 0
    assert names() == ["demo/clip.npy", "demo/clip.wav"]
    assert "pip install 'fastmel[display]'" in capsys.readouterr().err


def test_info_as_text_and_as_json_tell_the_same(capsys):
    assert fastmel_command("info") == 0
    text = capsys.readouterr().out
    assert fastmel_command("info", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["fastmel"] == fastmel.__version__
    assert facts["numpy"] == np.__version__
    assert facts["simd_width"] in (4, 8, 16)
    assert facts["threads"] == fastmel.get_num_threads()
    assert [line.split()[0] for line in text.splitlines()] == list(facts)


def test_warmup_leaves_nothing_to_compile(tmp_path):
    environment = {**os.environ, "FASTMEL_CACHE_DIR": str(tmp_path / "cache")}

    def kept():
        files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in files}

    process = in_a_process("warmup", "--n-fft", "600", env=environment)
    assert (process.returncode, process.stderr) == (0, "")
    sizes = [int(line.split()[1]) for line in process.stdout.splitlines() if "n_fft" in line]
    assert sizes == [400, 512, 600, 1024, 2048, 4096]
    compiled = kept()
    assert compiled

    code = """
import fastmel, numpy
y = numpy.ones(22050, numpy.float32)
for log in (None, "db"):
    fastmel.MelSpectrogram(n_fft=600, n_mels=40, log=log)(y)
S = fastmel.feature.melspectrogram(y=y)
fastmel.power_to_db(S, ref=numpy.max)
fastmel.stft(y)
for name in ("whisper", "nemo", "kaldi-mfcc", "cosyvoice", "passt"):
    fastmel.frontend(name)(y)
fastmel.frontend("kaldi").stream().push(y)
"""
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert kept() == compiled


def test_warmup_without_a_cache_fails():
    process = in_a_process("warmup", env={**os.environ, "FASTMEL_CACHE": "0"})
    assert process.returncode == 1
    assert process.stdout == ""
    assert "nothing can be kept" in process.stderr


@pytest.mark.parametrize("n_fft", ["0", "-5", "1", "x"])
def test_warmup_refuses_what_is_no_frame_length(capsys, n_fft):
    assert fastmel_command("warmup", "--n-fft", n_fft) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{n_fft!r} is not a whole number of at least 2" in said.err.splitlines()[-1]


def test_version(capsys):
    assert fastmel_command("--version") == 0
    assert capsys.readouterr().out == f"fastmel {fastmel.__version__}\n"


@pytest.mark.parametrize("command", ["mel", "frontends", "demo", "info", "warmup"])
def test_help(capsys, command):
    assert fastmel_command(command, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")
