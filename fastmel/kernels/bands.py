"""Power and mel bands of spectra in ordinary arrays, a block of frames at a time."""

from typing import Any

from .jit import jit

__all__ = ["mel_of_spectra"]


@jit
def mel_of_spectra(
    spectra: Any, power: float, offset: float, spans: Any, weights: Any, powers: Any, out: Any
) -> None:
    """Weigh and sum ``(abs(spectra) ** 2 + offset) ** (power / 2)`` in every band.

    The powers are turned so that a bin's frames lie together: sums then run over many frames at
    once, where the few bins of a band would wait for each other (2.4 us a frame against 0.7).

    spectra: complex (n_frames, n_bins); spans: int32 (n_mels, 2) first bin and number of bins of a
    band; weights: the bands' weights one after the other; powers: (n_bins, n_frames) scratch;
    out: (n_mels, n_frames).
    """
    n_frames, n_bins = spectra.shape
    real = powers.dtype.type
    for f in range(n_frames):
        frame = spectra[f]
        for k in range(n_bins):
            value = frame[k].real * frame[k].real + frame[k].imag * frame[k].imag
            powers[k, f] = value
    if power != 2:
        half, added = real(0.5 * power), real(offset)
        for k in range(n_bins):
            line = powers[k]
            for f in range(n_frames):
                line[f] = (line[f] + added) ** half
    position = 0
    for m in range(len(spans)):
        band = out[m]
        for f in range(n_frames):
            band[f] = 0
        for k in range(spans[m, 0], spans[m, 0] + spans[m, 1]):
            line, weight = powers[k], weights[position]
            position += 1
            for f in range(n_frames):
                band[f] += line[f] * weight
