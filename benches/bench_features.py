"""librosa's features one by one, on a minute of audio."""

import librosa
import pytest

import fastmel
from cases import FIRST

FEATURES = [
    "mfcc",
    "rms",
    "spectral_bandwidth",
    "spectral_centroid",
    "spectral_flatness",
    "spectral_rolloff",
    "zero_crossing_rate",
]


@pytest.mark.parametrize("name", FEATURES)
def bench_feature(compare, name):
    y = FIRST.signal()
    ours, theirs = getattr(fastmel.feature, name), getattr(librosa.feature, name)
    compare(lambda: ours(y=y), {"librosa": lambda: theirs(y=y)}, FIRST.n_frames)
