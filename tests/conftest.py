"""Signals that many tests share, and which librosa they are compared with."""

import signal

import librosa
import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard():
    """Shells have their background jobs ignore interrupts, and so would what tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(20260811)


@pytest.fixture(scope="session")
def librosa_1():
    """Whether the installed librosa is 1.0 or newer, the version that fastmel follows."""
    return int(librosa.__version__.split(".")[0]) >= 1


@pytest.fixture(scope="session")
def speech():
    """Make something like speech: a voice with vibrato and formants, hiss, and silence between."""

    def make(sr=16000, seconds=1.0, dtype=np.float32):
        t = np.arange(int(sr * seconds)) / sr
        pitch = 120 + 15 * np.sin(2 * np.pi * 3 * t)
        phase = 2 * np.pi * np.cumsum(pitch) / sr
        voice = np.zeros_like(t)
        for harmonic in range(1, int(0.45 * sr / 140)):
            hz = 120 * harmonic
            formants = sum(np.exp(-(((hz - f) / 150) ** 2)) for f in (600, 1200, 2500))
            voice += (0.02 + formants) / harmonic**0.5 * np.sin(harmonic * phase)
        hiss = np.random.default_rng(1).standard_normal(len(t))
        syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, None)
        hisses = np.clip(np.sin(2 * np.pi * 4 * t + np.pi) - 0.7, 0, None)
        return (0.1 * voice * syllables + 0.2 * hiss * hisses).astype(dtype)

    return make


@pytest.fixture(scope="session")
def music():
    """Make something like music: decaying chords with partials over a quiet noise floor."""

    def make(sr=22050, seconds=1.0, dtype=np.float32):
        t = np.arange(int(sr * seconds)) / sr
        y = 1e-4 * np.random.default_rng(2).standard_normal(len(t))
        for start, notes in ((0.0, (220, 277.2, 329.6)), (0.4, (196, 246.9, 293.7))):
            age = np.clip(t - start, 0, None)
            for note in notes:
                for partial in range(1, 9):
                    if note * partial < sr / 2:
                        tone = np.sin(2 * np.pi * note * partial * age)
                        y += 0.1 / partial * tone * np.exp(-3 * partial**0.5 * age) * (t >= start)
        return y.astype(dtype)

    return make
