"""Features of signals and spectrograms."""

from fastmel.feature.cepstral import mfcc
from fastmel.feature.dynamics import delta, stack_memory
from fastmel.feature.spectral import melspectrogram

__all__ = ["delta", "melspectrogram", "mfcc", "stack_memory"]
