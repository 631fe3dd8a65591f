"""Features of signals and spectrograms."""

from fastmel.feature import inverse
from fastmel.feature.cepstral import mfcc
from fastmel.feature.dynamics import delta, stack_memory
from fastmel.feature.shape import (
    spectral_bandwidth,
    spectral_centroid,
    spectral_flatness,
    spectral_rolloff,
)
from fastmel.feature.spectral import melspectrogram
from fastmel.feature.waveform import rms, zero_crossing_rate

__all__ = [
    "delta",
    "inverse",
    "melspectrogram",
    "mfcc",
    "rms",
    "spectral_bandwidth",
    "spectral_centroid",
    "spectral_flatness",
    "spectral_rolloff",
    "stack_memory",
    "zero_crossing_rate",
]
