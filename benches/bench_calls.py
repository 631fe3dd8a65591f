"""librosa's calls one by one, on a minute of audio."""

import librosa
import numpy as np
import pytest

import fastmel
from cases import FIRST

try:
    import torch
except ImportError:
    torch = None


def bench_stft(compare):
    y = FIRST.signal()
    rivals = {"librosa": lambda: librosa.stft(y)}
    if torch is not None:
        torch.set_num_threads(1)
        samples, window = torch.from_numpy(y), torch.hann_window(2048)
        rivals["torch"] = lambda: torch.stft(
            samples, 2048, 512, window=window, pad_mode="constant", return_complex=True
        )
    compare(lambda: fastmel.stft(y), rivals, FIRST.n_frames)


def bench_magphase(compare):
    D = librosa.stft(FIRST.signal())
    compare(lambda: fastmel.magphase(D), {"librosa": lambda: librosa.magphase(D)}, FIRST.n_frames)


@pytest.mark.parametrize("name", ["power_to_db", "amplitude_to_db"])
def bench_decibels(compare, name):
    S = np.random.default_rng(0).random((128, 25840), dtype=np.float32)
    ours, theirs = getattr(fastmel, name), getattr(librosa, name)
    compare(lambda: ours(S), {"librosa": lambda: theirs(S)})


def bench_filters_mel(compare):
    compare(
        lambda: fastmel.filters.mel(sr=22050, n_fft=2048),
        {"librosa": lambda: librosa.filters.mel(sr=22050, n_fft=2048)},
    )
