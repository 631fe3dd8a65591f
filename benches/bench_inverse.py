"""From mel spectrograms back to spectra, of sounds that librosa searches long for and not at all.

Ten times the level takes librosa ten times as long or more, so the loud cases are short.
"""

import librosa
import numpy as np
import pytest

import fastmel

SR = 22050


def noise(seconds, level):
    return level * np.random.default_rng(0).standard_normal(round(SR * seconds)).astype(np.float32)


def sparse(seconds, level):
    """Make tones that come and go: most of the spectrum is empty, as speech's and music's is."""
    t = np.arange(round(SR * seconds), dtype=np.float64) / SR
    tones = sum(
        np.sin(2 * np.pi * 220 * k * t) * np.clip(np.sin(2 * np.pi * (3 + k / 4) * t), 0, None)
        for k in range(1, 30)
    )
    return (level / 30 * tones).astype(np.float32)


@pytest.mark.parametrize(("n_fft", "n_mels"), [(2048, 128), (1024, 80)])
@pytest.mark.parametrize(
    ("sound", "seconds", "level"),
    [(noise, 5, 0.1), (noise, 5, 1.0), (sparse, 5, 0.5), (sparse, 1, 5.0)],
)
def bench_mel_to_stft(compare, sound, seconds, level, n_fft, n_mels):
    M = fastmel.feature.melspectrogram(
        y=sound(seconds, level), sr=SR, n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_mels
    )
    ours, theirs = fastmel.feature.inverse.mel_to_stft, librosa.feature.inverse.mel_to_stft
    compare(
        lambda: ours(M, sr=SR, n_fft=n_fft),
        {"librosa": lambda: theirs(M, sr=SR, n_fft=n_fft)},
        M.shape[-1],
    )
