"""From spectra back to a signal: frames of real samples, and their sum where they overlap."""

from typing import Any

import numpy as np

from .elementary import phasor
from .jit import jit

__all__ = ["add_squares", "emit_columns", "give_phases", "hartley", "overlap_add", "turn"]


@jit
def hartley(spectra: Any, out: Any) -> None:
    """Write Hartley transforms ``Re X - Im X`` of all frequencies into ``out`` (n_frames, n_fft).

    ``spectra`` (n_frames, n_bins * 2) holds the real and the imaginary part, in turns, of the
    frequencies that the FFT of real values has.
    """
    n_frames, n_fft = out.shape
    half = (n_fft - 1) // 2
    # unsigned, because LLVM gives up on counting down with Numba's negative indices
    last = np.uint64(half - 1)
    for f in range(n_frames):
        spectrum, values = spectra[f], out[f]
        values[0] = spectrum[0]
        if n_fft % 2 == 0:
            values[n_fft // 2] = spectrum[n_fft]
        parts, rising, falling = spectrum[2:], values[1 : 1 + half], values[n_fft - half :]
        for k in range(half):
            rising[k] = parts[2 * k] - parts[2 * k + 1]
        for k in range(half):
            falling[last - np.uint64(k)] = parts[2 * k] + parts[2 * k + 1]


@jit
def overlap_add(frames: Any, window: Any, hop_length: int, out: Any) -> None:
    """Add windowed frames (n_frames, n_fft) to ``out``, each a hop after the one before."""
    n_frames, n_fft = frames.shape
    for f in range(n_frames):
        frame, target = frames[f], out[f * hop_length : f * hop_length + n_fft]
        for i in range(n_fft):
            target[i] += frame[i] * window[i]


@jit
def add_squares(squares: Any, n_frames: int, hop_length: int, out: Any) -> None:
    """Add a squared window to ``out`` once per frame, each a hop after the one before."""
    for f in range(n_frames):
        target = out[f * hop_length : f * hop_length + len(squares)]
        for i in range(len(target)):
            target[i] += squares[i]


@jit
def emit_columns(
    sums: Any, first: int, n_columns: int, weights: Any, n_repeats: int, start: int, out: Any
) -> None:
    """Divide sums of windowed frames by sums of squared windows and write them to the signal.

    A column is one hop of the padded signal; ``sums`` begins with column ``first``, ``out`` with
    sample ``start`` of column 0. ``weights`` (n_kinds, hop_length) holds the sums of squares of the
    columns that differ: the middle one counts for itself and the ``n_repeats`` next ones.
    """
    n_kinds, hop_length = weights.shape
    for c in range(n_columns):
        column = first + c
        kind = max(min(column, n_kinds // 2), column - n_repeats)
        place = column * hop_length - start
        low, high = max(-place, 0), min(len(out) - place, hop_length)
        if kind < n_kinds and low < high:
            total = sums[c * hop_length + low : c * hop_length + high]
            weight, target = weights[kind, low:high], out[place + low : place + high]
            for i in range(len(target)):
                target[i] = total[i] / weight[i]


@jit
def give_phases(spectra: Any, previous: Any, weight: Any, magnitudes: Any, out: Any) -> None:
    """Write magnitudes with the phases of ``spectra - weight * previous``, 0 where that is 0.

    Complex values are given as real and imaginary parts in turns.
    """
    for i in range(len(magnitudes)):
        # the weight makes it double precision: squares of all float32 values are finite and normal
        real = spectra[2 * i] - weight * previous[2 * i]
        imag = spectra[2 * i + 1] - weight * previous[2 * i + 1]
        length = np.sqrt(real * real + imag * imag)
        scale = magnitudes[i] / length if length > 0 else length
        out[2 * i] = real * scale
        out[2 * i + 1] = imag * scale


@jit
def turn(magnitudes: Any, turns: Any, out: Any) -> None:
    """Write magnitudes with phases given in turns, float64, as real and imaginary parts."""
    for i in range(len(magnitudes)):
        real, imag = phasor(turns[i])
        out[2 * i] = magnitudes[i] * real
        out[2 * i + 1] = magnitudes[i] * imag
