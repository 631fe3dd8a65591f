"""The work that is measured: signals, sizes, and the same call as each library spells it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """A log-mel spectrogram in dB of a signal of so many seconds."""

    seconds: float
    sr: int
    n_fft: int
    hop_length: int
    n_mels: int

    def __str__(self):
        sizes = f"{self.n_fft}/{self.hop_length}/{self.n_mels}"
        return f"{self.seconds:g} s, {self.sr / 1000:g} kHz, {sizes}"

    @property
    def n_frames(self):
        return 1 + round(self.seconds * self.sr) // self.hop_length

    @property
    def options(self):
        """The case as keywords of librosa's and fastmel's calls."""
        return {
            "sr": self.sr,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "n_mels": self.n_mels,
        }

    def signal(self, dtype=np.float32):
        """Noise: no transform or logarithm takes a short cut through it."""
        rng = np.random.default_rng(0)
        return (0.1 * rng.standard_normal(round(self.seconds * self.sr))).astype(dtype)


FIRST = Case(60, 22050, 2048, 512, 128)

CASES = (
    FIRST,
    Case(30, 22050, 1024, 256, 80),
    Case(30, 16000, 400, 160, 80),
    Case(30, 16000, 512, 160, 80),
    Case(60, 48000, 4096, 1024, 128),
    Case(600, 22050, 2048, 512, 128),
    Case(1, 22050, 2048, 512, 128),
)
