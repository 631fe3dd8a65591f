"""A whole corpus: fastmel extract, what it cannot do without, and scripts that people write.

    python benches/table_corpus.py                          # synthetic speech, a quarter of an hour
    python benches/table_corpus.py --audio FOLDER flac mp3  # recordings, some of the measurements

Corpora are cut and joined from the recordings and lie in a temporary folder (TMPDIR). Contestants
take turns, each with two processes that are started and warm but for fastmel's own, whose start is
measured with it; rates are medians, and a ratio is the median of those of neighbours. The table
goes to standard output. Rivals that are not installed are left out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import soxr

from fastmel.corpus import extract

WORKERS = 2
SR = 16000
N_FFT, HOP, N_MELS = 400, 160, 80


# corpora


def recordings(folder):
    """Return the mono 16 kHz signals that corpora are made of."""
    if folder is not None:
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".wav", ".flac"))
        signals = [soundfile.read(path, dtype="float32") for path in paths]
        return [soxr.resample(y, sr, SR) for y, sr in signals if y.ndim == 1 and len(y) > sr]
    rng = np.random.default_rng(1)
    return [synthetic_speech(rng, 6.0) for _ in range(8)]


def synthetic_speech(rng, seconds):
    """Voiced syllables of some harmonics that glide and swell, with hiss between them."""
    t = np.arange(round(seconds * SR)) / SR
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * t))
    phase = 2 * np.pi * np.cumsum(pitch) / SR
    swell = np.maximum(0, np.sin(2 * np.pi * rng.uniform(2, 4) * t)) ** 0.5
    voice = sum(rng.uniform(0.2, 1) / k * np.sin(k * phase) for k in range(1, 25))
    hiss = (1 - swell) * rng.standard_normal(len(t))
    return (0.1 * (swell * voice + 0.1 * hiss)).astype(np.float32)


def cut(signals, rng, seconds):
    """Join pieces of signals, at levels that differ."""
    parts, left = [], round(seconds * SR)
    while left > 0:
        y = signals[rng.integers(len(signals))]
        part = rng.uniform(0.5, 1) * y[rng.integers(len(y) // 2) :][:left]
        parts.append(part)
        left -= len(part)
    return np.concatenate(parts).astype(np.float32)


def make(folder, signals, *, n_files, seconds, kind, sr=SR, n_distinct=300):
    """Write a corpus, in folders of a thousand files; some distinct files have many names."""
    rng = np.random.default_rng(2)
    paths = [folder / f"{i // 1000:03d}" / f"{i:06d}.{kind}" for i in range(n_files)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if i >= n_distinct:
            os.link(paths[i % n_distinct], path)
            continue
        y = cut(signals, rng, seconds)
        y = np.clip(soxr.resample(y, SR, sr), -1, 1)
        soundfile.write(path, y, sr)
    return paths


# contestants: each takes all paths, and returns when it is done


def decode(path):
    soundfile.read(path, dtype="float32")


def decode_and_resample(path):
    y, sr = soundfile.read(path, dtype="float32")
    soxr.resample(y, sr, SR)


def whisper_by_librosa(path):
    """Return what the Whisper front end makes, (frames, mels), by librosa."""
    import librosa

    y, _ = librosa.load(path, sr=SR)
    power = librosa.feature.melspectrogram(
        y=y, sr=SR, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, pad_mode="reflect"
    )
    log = np.log10(np.maximum(power[:, :-1], 1e-10))
    log = np.maximum(log, log.max() - 8)
    return ((log + 4) / 4).T.astype(np.float16)


def save_by_librosa(out, path):
    np.save(out / f"{path.stem}.npy", whisper_by_librosa(path))


def row_by_librosa(row):
    return {"mel": whisper_by_librosa(row["path"])}


def in_pool(pool, work, paths):
    list(pool.map(work, paths, chunksize=10))


def by_librosa(pool, folder, paths):
    in_pool(pool, partial(save_by_librosa, fresh(folder)), paths)


def by_datasets(folder, paths):
    from datasets import Array2D, Dataset, Features, Value, disable_progress_bars

    disable_progress_bars()
    features = Features({"path": Value("string"), "mel": Array2D((None, N_MELS), "float16")})
    Dataset.from_dict({"path": [str(path) for path in paths]}).map(
        row_by_librosa,
        num_proc=WORKERS,
        features=features,
        cache_file_name=str(fresh(folder) / "cache.arrow"),
    )


def by_fastmel(source, folder, format="wds"):
    summary = extract(
        source, fresh(folder), frontend="whisper", dtype="float16", format=format, workers=WORKERS
    )
    assert summary.failed == 0


def fresh(folder):
    """Make a folder of a new name in a folder: where much was just removed, ext4 is slow."""
    return Path(tempfile.mkdtemp(dir=folder))


def one_thread():
    """Let BLAS and OpenMP use one thread in each of several processes."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


# measuring


def seconds_of(task):
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def in_turns(tasks, rounds):
    """Time tasks in turns, after one turn that is not counted; return their times."""
    for task in tasks.values():
        task()
    times = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            times[name].append(seconds_of(task))
    return times


def compare(title, times, n_files, goals):
    """Print a line for each rival of fastmel's."""
    ours = times.pop("fastmel")
    rate = n_files / median(ours)
    if not times:
        row(title, f"{rate:,.0f} files/s", "", "", goals)
    for name, theirs in times.items():
        ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
        row(title, f"{rate:,.0f} files/s", f"{name}: {n_files / median(theirs):,.0f} files/s",
            f"{ratio:.2f}", goals.get(name, ""))  # fmt: skip


def row(*cells):
    print("|", " | ".join(cells), "|", flush=True)


def main():
    measurements = {
        "flac": flac,
        "mp3": mp3,
        "short": short,
        "resume": resume,
    }
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("measurements", nargs="*", metavar="NAME", help=", ".join(measurements))
    parser.add_argument("--audio", help="a folder with recordings of speech")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    row("work", "fastmel extract", "against", "ratio", "goal")
    row(*["---"] * 5)
    signals = recordings(arguments.audio)
    for name in arguments.measurements or measurements:
        with tempfile.TemporaryDirectory(prefix="fastmel-bench-") as folder:
            measurements[name](Path(folder), signals, arguments.rounds)


def flac(folder, signals, rounds):
    """One hour and ten of 12 s at 16 kHz; the hour against librosa too."""
    for hours in (1, 10):
        source = folder / f"source-{hours}"
        paths = make(source, signals, n_files=300 * hours, seconds=12, kind="flac")
        with ProcessPoolExecutor(WORKERS, get_context("spawn"), one_thread) as pool:
            tasks = {
                "fastmel": partial(by_fastmel, str(source), folder),
                "decode": partial(in_pool, pool, decode, paths),
            }
            if hours == 1 and find_spec("librosa"):
                tasks["librosa, processes"] = partial(by_librosa, pool, folder, paths)
                if find_spec("datasets"):
                    tasks["datasets.map, librosa"] = partial(by_datasets, folder, paths)
            times = in_turns(tasks, rounds)
        goals = {"decode": "0.8", "librosa, processes": "5", "datasets.map, librosa": "5"}
        compare(f"{hours} h of 12 s, FLAC", times, len(paths), goals)


def mp3(folder, signals, rounds):
    source = folder / "source"
    paths = make(source, signals, n_files=1500, seconds=5, kind="mp3", sr=48000)
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), one_thread) as pool:
        tasks = {
            "fastmel": partial(by_fastmel, str(source), folder),
            "decode, resample": partial(in_pool, pool, decode_and_resample, paths),
        }
        times = in_turns(tasks, rounds)
    compare("5 s, MP3, 48 to 16 kHz", times, len(paths), {"decode, resample": "0.75"})


def short(folder, signals, rounds):
    source = folder / "source"
    paths = make(source, signals, n_files=20_000, seconds=1, kind="wav")
    for format in ("wds", "npy", "parquet"):
        task = partial(by_fastmel, str(source), folder, format)
        times = in_turns({"fastmel": task}, min(rounds, 3))
        compare(f"20,000 of 1 s, {format}", times, len(paths), "1,500 files/s")


def resume(folder, signals, rounds):
    source, out = folder / "source", folder / "out"
    make(source, signals, n_files=100_000, seconds=0.1, kind="wav")
    options = {"frontend": "whisper", "dtype": "float16", "format": "wds"}
    extract(str(source), out, workers=WORKERS, **options)
    command = [sys.executable, "-m", "fastmel", "extract", str(source), "-o", str(out)]
    command += [f"--{name}={value}" for name, value in options.items()]
    again = partial(subprocess.run, command, check=True, stderr=subprocess.DEVNULL)
    times = [seconds_of(again) for _ in range(rounds)]
    row("100,000 files, nothing to do", f"{median(times):.1f} s", "", "", "5 s")


if __name__ == "__main__":
    main()
