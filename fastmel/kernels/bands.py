"""Power and mel bands of spectra in ordinary arrays, frame after frame."""

from typing import Any

from .jit import jit

__all__ = ["mel_of_spectra"]


@jit
def mel_of_spectra(spectra: Any, power: float, spans: Any, weights: Any, line: Any, out: Any) -> None:
    """Weigh and sum ``abs(spectra) ** power`` in every band.

    spectra: complex (n_frames, n_bins); spans: int32 (n_mels, 2) first bin and number of bins of a
    band; weights: the bands' weights one after the other; line: (n_bins,) scratch;
    out: (n_mels, n_frames).
    """
    n_frames, n_bins = spectra.shape
    half = line.dtype.type(0.5 * power)
    for f in range(n_frames):
        frame = spectra[f]
        for k in range(n_bins):
            line[k] = frame[k].real * frame[k].real + frame[k].imag * frame[k].imag
        if power != 2:
            for k in range(n_bins):
                line[k] = line[k] ** half
        position = 0
        for m in range(len(spans)):
            total = line.dtype.type(0)
            for k in range(spans[m, 0], spans[m, 0] + spans[m, 1]):
                total += line[k] * weights[position]
                position += 1
            out[m, f] = total
