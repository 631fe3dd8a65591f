"""Features of signals and spectrograms."""

from fastmel.feature.spectral import melspectrogram

__all__ = ["melspectrogram"]
