"""The reference engine is librosa's arithmetic in float64."""

import librosa
import numpy as np
import pytest

import fastmel

CONFIGS = [
    {},
    {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect"},
    {"n_fft": 1024, "hop_length": 256, "win_length": 800, "window": "hamming", "fmax": 8000},
    {"n_fft": 487, "hop_length": 100, "n_mels": 30, "power": 1.0, "htk": True, "norm": None},
    {"n_fft": 512, "hop_length": 600, "center": False, "n_mels": 40, "power": 3.0},
    {"n_fft": 512, "hop_length": 128, "window": ("kaiser", 8.0), "norm": np.inf, "n_mels": 40},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_reference_is_librosa_in_float64(speech, music, rng, config):
    n = 20000
    for y in (speech(seconds=2)[:n], music(seconds=1)[:n], rng.standard_normal(n)):
        y = y.astype(np.float64)
        expected = librosa.feature.melspectrogram(y=y, **config)
        found = fastmel.MelSpectrogram(**config, engine="reference")(y)
        peak = expected.max(axis=-2, keepdims=True)
        assert (np.abs(found - expected) <= 1e-12 * np.maximum(expected, 1e-3 * peak)).all()
        if config.get("power", 2) == 2:
            expected = librosa.power_to_db(expected, top_db=None)
            found = fastmel.MelSpectrogram(**config, engine="reference", log="db")(y)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("engine", ["auto", "scipy"])
@pytest.mark.parametrize("config", CONFIGS)
def test_float32_is_librosa_within_the_budget(speech, music, rng, config, engine):
    n = 20000
    for y in (speech(seconds=2)[:n], music(seconds=1)[:n], rng.standard_normal(n)):
        y = y.astype(np.float32)
        expected = librosa.feature.melspectrogram(y=y, **config)
        found = fastmel.MelSpectrogram(**config, engine=engine)(y)
        assert found.dtype == expected.dtype
        assert found.strides == expected.strides
        peak = expected.max(axis=-2, keepdims=True)
        assert (np.abs(found - expected) <= 5e-6 * peak).all()
        decibels = [20 / config.get("power", 2) * np.log10(x + 1e-30) for x in (found, expected)]
        loud = decibels[1] > decibels[1].max(axis=-2, keepdims=True) - 60
        assert np.abs(decibels[0] - decibels[1])[loud].max() <= 1e-3
