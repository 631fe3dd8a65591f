"""The way back from spectra, and what works on signals and levels, call by call."""

import librosa
import numpy as np
import pytest
import soundfile

import fastmel
from cases import CASES, FIRST

RNG_KEYWORD = "rng" if int(librosa.__version__.split(".")[0]) >= 1 else "random_state"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES[:5], ids=str)
def bench_istft(compare, case, dtype):
    sizes = {"n_fft": case.n_fft, "hop_length": case.hop_length}
    D = fastmel.stft(case.signal(dtype), **sizes)
    compare(
        lambda: fastmel.istft(D, **sizes),
        {"librosa": lambda: librosa.istft(D, **sizes)},
        case.n_frames,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def bench_griffinlim(compare, dtype):
    S = np.abs(fastmel.stft(FIRST.signal(dtype)[: 5 * 22050]))
    compare(
        lambda: fastmel.griffinlim(S, rng=np.random.default_rng(0)),
        {"librosa": lambda: librosa.griffinlim(S, **{RNG_KEYWORD: np.random.default_rng(0)})},
        S.shape[-1],
    )


@pytest.mark.parametrize("power", [0.5, 0.25])
def bench_pcen(compare, power):
    S = (100 * np.random.default_rng(0).random((128, 2584)) ** 4).astype(np.float32)
    compare(
        lambda: fastmel.pcen(S, power=power),
        {"librosa": lambda: librosa.pcen(S, power=power)},
        2584,
    )


@pytest.mark.parametrize("name", ["preemphasis", "deemphasis", "trim", "split"])
def bench_effects(compare, name):
    y = FIRST.signal()
    ours, theirs = getattr(fastmel.effects, name), getattr(librosa.effects, name)
    compare(lambda: ours(y), {"librosa": lambda: theirs(y)})


def bench_window_sumsquare(compare):
    sizes = {"window": "hann", "n_frames": FIRST.n_frames}
    compare(
        lambda: fastmel.filters.window_sumsquare(**sizes),
        {"librosa": lambda: librosa.filters.window_sumsquare(**sizes)},
    )


def bench_frame(compare):
    y, sizes = FIRST.signal(), {"frame_length": 2048, "hop_length": 512}
    compare(
        lambda: fastmel.util.frame(y, **sizes),
        {"librosa": lambda: librosa.util.frame(y, **sizes)},
    )


@pytest.mark.parametrize("name", ["frames_to_time", "time_to_frames", "times_like"])
def bench_converters(compare, name):
    frames = np.arange(2584)
    ours, theirs = getattr(fastmel, name), getattr(librosa, name)
    compare(lambda: ours(frames), {"librosa": lambda: theirs(frames)})


def bench_A_weighting(compare):
    hz = fastmel.fft_frequencies()
    compare(lambda: fastmel.A_weighting(hz), {"librosa": lambda: librosa.A_weighting(hz)})


def bench_perceptual_weighting(compare):
    S, hz = np.random.default_rng(0).random((1025, 2584), np.float32), fastmel.fft_frequencies()
    compare(
        lambda: fastmel.perceptual_weighting(S, hz),
        {"librosa": lambda: librosa.perceptual_weighting(S, hz)},
        2584,
    )


def bench_stream(compare, tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, FIRST.signal(), 22050)
    options = {"block_length": 256, "frame_length": 2048, "hop_length": 512}
    if RNG_KEYWORD == "rng":
        options["sr"] = None
    compare(
        lambda: list(fastmel.stream(path, **{"sr": None} | options)),
        {"librosa": lambda: list(librosa.stream(path, **options))},
    )
