"""Numbers that sum up a frame: energy, sign changes, and the shape of a spectrum.

Spectra lie frame by frame, the bins of a frame side by side. Sums run in double precision.
"""

import math
from typing import Any

import numpy as np

from .elementary import bits_of, float_of
from .jit import jit

__all__ = [
    "bandwidths",
    "centroids",
    "crossings",
    "energy",
    "flatnesses",
    "flatnesses_by_bins",
    "magnitudes",
    "mean_squares",
    "rolloffs",
    "spectral_energies",
    "spectral_energies_by_bins",
]

_LOG_2 = math.log(2.0)

#: the bits of a float64 that hold its mantissa, and those of 1.0
_MANTISSA, _EXPONENT_OF_ONE = np.int64(2**52 - 1), np.int64(1023 << 52)
_MANTISSA_BITS = np.int64(52)


@jit
def energy(y: Any) -> Any:
    """Sum the squares of (samples,): no finite number if and only if one of float32 is none."""
    total = 0.0
    for i in range(len(y)):
        sample = np.float64(y[i])
        total += sample * sample
    return total


@jit
def mean_squares(
    y: Any, pad: int, frame_length: int, hop_length: int, block_length: int, energies: Any, out: Any
) -> None:
    """Write the mean square of every frame of (rows, samples) into (rows, n_frames).

    Frames overlap, so the squares are summed in blocks that divide frame and hop, then the blocks.
    pad: zeros before the first sample; energies: scratch, the blocks of a row.
    """
    n_rows, n_frames = out.shape
    blocks, hop = frame_length // block_length, hop_length // block_length
    for row in range(n_rows):
        for b in range(len(energies)):
            start = b * block_length - pad
            block = y[row, max(start, 0) : max(start + block_length, 0)]  # may end beyond y
            energy = 0.0
            for i in range(len(block)):
                sample = np.float64(block[i])
                energy += sample * sample
            energies[b] = energy
        for f in range(n_frames):
            total = 0.0
            for b in range(f * hop, f * hop + blocks):
                total += energies[b]
            out[row, f] = total / frame_length


@jit
def spectral_energies(spectra: Any, weights: Any, out: Any) -> None:
    """Sum the squares of each frame's (n_frames, n_bins) magnitudes, times the bins' weights."""
    n_frames, n_bins = spectra.shape
    for f in range(n_frames):
        spectrum = spectra[f]
        total = 0.0
        for k in range(n_bins):
            value = np.float64(spectrum[k])
            total += weights[k] * (value * value)
        out[f] = total


@jit
def spectral_energies_by_bins(spectra: Any, weights: Any, out: Any) -> None:
    """Do the same with (rows, n_bins, n_frames), a bin's frames side by side.

    out: (rows, n_frames) float64, in the cache for as many frames as are worked on at a time.
    """
    n_rows, n_bins, n_frames = spectra.shape
    for row in range(n_rows):
        for start in range(0, n_frames, 4096):
            totals = out[row, start : start + 4096]
            totals[:] = 0.0
            for k in range(n_bins):
                values = spectra[row, k, start : start + 4096]
                for f in range(len(values)):
                    value = np.float64(values[f])
                    totals[f] += weights[k] * (value * value)


@jit
def crossings(y: Any, threshold: float, zero_is_positive: bool, counts: Any) -> None:
    """Write how often the sign has changed up to every sample of (rows, samples)."""
    n_rows, n_samples = y.shape
    for row in range(n_rows):
        count = 0
        before = 0
        for i in range(n_samples):
            sample = np.float64(y[row, i])
            if -threshold <= sample <= threshold:
                sign = 1 if zero_is_positive else 0
            else:
                sign = -1 if np.signbit(sample) else 1
            if i > 0 and sign != before:
                count += 1
            before = sign
            counts[row, i] = count


@jit
def magnitudes(pairs: Any, out: Any) -> None:
    """Write abs(z) of complex numbers given as real and imaginary parts side by side."""
    for i in range(out.size):
        # in double precision the squares of all float32 values are finite and normal
        real, imag = np.float64(pairs[2 * i]), np.float64(pairs[2 * i + 1])
        out[i] = np.sqrt(real * real + imag * imag)


@jit
def centroids(spectra: Any, freq: Any, tiny: float, out: Any) -> None:
    """Write the mean frequency of every spectrum, weighted by its (n_frames, n_bins) values.

    freq: (1 or n_frames, n_bins); tiny: spectra of a smaller sum are not scaled.
    """
    n_frames, n_bins = spectra.shape
    for f in range(n_frames):
        spectrum, hz = spectra[f], freq[f if len(freq) > 1 else 0]
        total = 0.0
        moment = 0.0
        for k in range(n_bins):
            value = np.float64(spectrum[k])
            total += value
            moment += value * hz[k]
        out[f] = moment if total < tiny else moment / total


@jit
def bandwidths(
    spectra: Any, freq: Any, centres: Any, p: float, norm: bool, tiny: float, out: Any
) -> None:
    """Write the p-th moment of frequency about each spectrum's centre, to the power 1 / p.

    freq: (1 or n_frames, n_bins); centres: (n_frames,); norm: divide by the sum of the spectrum,
    unless it is less than tiny.
    """
    n_frames, n_bins = spectra.shape
    for f in range(n_frames):
        spectrum, hz, centre = spectra[f], freq[f if len(freq) > 1 else 0], centres[f]
        total = 0.0
        moment = 0.0
        if p == 2:
            for k in range(n_bins):
                value, deviation = np.float64(spectrum[k]), hz[k] - centre
                total += value
                moment += value * (deviation * deviation)
        else:
            for k in range(n_bins):
                value = np.float64(spectrum[k])
                total += value
                moment += value * abs(hz[k] - centre) ** p
        if norm and total >= tiny:
            moment /= total
        out[f] = moment ** (1.0 / p)


@jit(fastmath=False)
def rolloffs(spectra: Any, share: float, sums: Any, out: Any) -> None:
    """Write the first bin of every spectrum up to which lies this share of its sum.

    Sums run in the type of the spectra, one bin after the other: a sum that meets the threshold
    by rounding does so as it does in NumPy's cumsum. sums: (n_bins,) scratch of that type.
    """
    n_frames, n_bins = spectra.shape
    real = spectra.dtype.type
    for f in range(n_frames):
        spectrum = spectra[f]
        total = real(0)
        for k in range(n_bins):
            total += spectrum[k]
            sums[k] = total
        threshold = real(share) * total
        first, last = 0, n_bins - 1
        while first < last:
            middle = (first + last) // 2
            if sums[middle] < threshold:
                first = middle + 1
            else:
                last = middle
        out[f] = first


@jit
def flatnesses(spectra: Any, power: float, amin: float, values: Any, bits: Any, out: Any) -> None:
    """Write the geometric mean of ``max(amin, spectra ** power)`` over the arithmetic one.

    The logarithm of a product is taken, of 500 mantissas at a time: the exponents are summed apart.
    values: (n_bins,) float64 scratch; bits: the same memory as int64.
    """
    n_frames, n_bins = spectra.shape
    for f in range(n_frames):
        spectrum = spectra[f]
        total = 0.0
        for k in range(n_bins):
            value: Any = np.float64(spectrum[k])
            value = value * value if power == 2 else value**power
            value = amin if value < amin else value
            values[k] = value
            total += value
        exponent = 0
        for k in range(n_bins):
            exponent += bits[k] >> 52
            bits[k] = bits[k] & _MANTISSA | _EXPONENT_OF_ONE
        logarithm = (exponent - 1023 * n_bins) * _LOG_2
        for start in range(0, n_bins, 500):
            product = 1.0  # below 2**500
            for k in range(start, min(start + 500, n_bins)):
                product *= values[k]
            logarithm += np.log(product)
        flatness = np.exp(logarithm / n_bins) / (total / n_bins)
        out[f] = flatness if total < np.inf else np.nan


@jit
def flatnesses_by_bins(
    spectra: Any, power: float, amin: float, sums: Any, exponents: Any, out: Any
) -> None:
    """Do the same with (rows, n_bins, n_frames), a bin's frames side by side.

    sums: (4, n) float64 scratch, exponents: (n,) int64, for as many frames as are worked on at a
    time; out: (rows, n_frames).
    """
    n_rows, n_bins, n_frames = spectra.shape
    for row in range(n_rows):
        for start in range(0, n_frames, len(exponents)):
            n = min(len(exponents), n_frames - start)
            totals, products = sums[0, :n], sums[1, :n]
            logarithms, values = sums[2, :n], sums[3, :n]
            totals[:], products[:], logarithms[:], exponents[:] = 0.0, 1.0, 0.0, 0
            for k in range(n_bins):
                magnitudes = spectra[row, k, start : start + n]
                for f in range(n):
                    value: Any = np.float64(magnitudes[f])
                    values[f] = value * value if power == 2 else value**power
                for f in range(n):
                    value = amin if values[f] < amin else values[f]
                    totals[f] += value
                    bits: Any = bits_of(value)  # type: ignore[call-arg]
                    exponents[f] += bits >> _MANTISSA_BITS
                    products[f] *= float_of(bits & _MANTISSA | _EXPONENT_OF_ONE)
                if k % 500 == 499 or k == n_bins - 1:
                    for f in range(n):
                        logarithms[f] += np.log(products[f])
                        products[f] = 1.0
            for f in range(n):
                logarithm = logarithms[f] + (exponents[f] - 1023 * n_bins) * _LOG_2
                flatness = np.exp(logarithm / n_bins) / (totals[f] / n_bins)
                out[row, start + f] = flatness if totals[f] < np.inf else np.nan
