"""The whole line tile by tile, in explicit SIMD: nothing but the result leaves the cache.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

A tile is as many neighbouring frames as a vector register has float32 lanes, one frame a lane.
Every step is vertical arithmetic on all of them at once, so a frame's bits depend neither on its
place in the tile nor on the other frames, and any split of the work gives the same result.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import carray
from numpy.typing import NDArray

from fastmel.exceptions import ParameterError
from fastmel.kernels.fft import factorize, first_pass, row_pass, tables
from fastmel.kernels.frames import PAD_MODES, copy_padded
from fastmel.kernels.jit import jit, simd_width
from fastmel.kernels.simd import ITEM, address, float_pointer
from fastmel.kernels.tile import magnitudes, mel_bands, store_spectrum, transpose_columns

from . import pool
from .plan import MelPlan, SpectrumPlan

__all__ = ["mel", "stft", "supports"]


def supports(plan: MelPlan | SpectrumPlan) -> bool:
    """Whether this engine computes what ``plan`` asks for (of float32 samples)."""
    if isinstance(plan, MelPlan):
        smallest_normal = float(np.finfo(np.float32).tiny)
        if plan.power not in (1, 2) or (plan.log and plan.log.amin < smallest_normal):
            return False
        plan = plan.spectrum
    return factorize(plan.n_fft, simd_width()) is not None


class SpectrumTile:
    """A spectrum plan's tables, laid out for the kernels."""

    def __init__(self, plan: SpectrumPlan) -> None:
        self.width = simd_width()
        factors = factorize(plan.n_fft, self.width)
        assert factors is not None, "supports() is asked first"
        self.tables = tables(factors)
        self.hop_length, self.pad = plan.hop_length, plan.pad
        self.pad_mode = PAD_MODES[plan.pad_mode]
        # A frame is cut into columns of one hop, which it shares with its neighbours.
        self.height = min(plan.hop_length, plan.n_fft)
        n_shared = -(-plan.n_fft // self.height) - 1
        self.n_columns = self.width + -(-n_shared // 4) * 4
        sample = self.tables.sample
        offsets = sample % self.height * self.n_columns + sample // self.height
        self.offsets = offsets.astype(np.int32)
        self.window = plan.window[sample].astype(np.float32)
        # float32 values of the padded samples, their columns, and the rows of the FFT
        self.n_samples = _whole_lines(self.height * self.n_columns)
        self.n_rows = _whole_lines(len(factors.row_indices) * factors.row_pitch(self.width))

    def arguments(self) -> tuple[Any, ...]:
        """What the kernels take of it, in their order."""
        return (
            self.hop_length,
            self.pad,
            self.pad_mode,
            self.height,
            self.n_columns,
            self.offsets,
            self.window,
            self.tables.twiddles,
        )


def _whole_lines(n_values: int) -> int:
    return -(-n_values // 16) * 16


@cache
def _tile_loader(width: int) -> Any:
    @jit
    def load_tile(
        signal: Any,
        start: int,
        hop_length: int,
        pad: int,
        pad_mode: int,
        height: int,
        n_columns: int,
        padded: Any,
        columns: int,
    ) -> int:
        """Transpose the samples from position ``start`` on; 1 if any is not finite."""
        span = (n_columns - 1) * hop_length + height
        if start >= 0 and start + span <= len(signal):
            samples = address(signal) + start * ITEM
            return transpose_columns(width, samples, hop_length, height, n_columns, columns)
        for c in range(n_columns):
            column = padded[c * height : (c + 1) * height]
            copy_padded(signal, start + c * hop_length, pad, pad_mode, column)
        return transpose_columns(width, address(padded), height, height, n_columns, columns)

    return load_tile


@cache
def mel_kernel(width: int, n_fft: int) -> Any:
    """Compile the line for one FFT size."""
    factors = factorize(n_fft, width)
    assert factors is not None
    n_rows, n_real_rows = len(factors.row_indices), factors.n_real_rows
    row_size = factors.row_pitch(width) * ITEM
    twiddles_size = factors.row_twiddles * ITEM
    n_bins = 1 + n_fft // 2
    load_tile = _tile_loader(width)

    @jit
    def mel_tiles(
        y: int,
        n_samples: int,
        n_frames: int,
        first: int,
        last: int,
        hop_length: int,
        pad: int,
        pad_mode: int,
        height: int,
        n_columns: int,
        offsets: Any,
        window: Any,
        twiddles: Any,
        places: Any,
        is_magnitude: int,
        bands: Any,
        weights: Any,
        is_log: int,
        scaling: Any,
        scratch: Any,
        out: int,
    ) -> int:
        """Compute the tiles ``first`` to ``last`` - 1 of all signals, tile after tile."""
        n_tiles = (n_frames + width - 1) // width
        n_mels = len(bands)
        size = height * n_columns
        padded = scratch[:size]
        columns = address(scratch[size:])
        rows = address(scratch[2 * size:])
        partial = address(scratch[2 * size + n_rows * row_size // ITEM :])
        non_finite = 0
        for tile in range(first, last):
            row, frame = tile // n_tiles, tile % n_tiles * width
            signal = carray(float_pointer(y + row * n_samples * ITEM), n_samples)
            start = frame * hop_length - pad
            non_finite |= load_tile(
                signal, start, hop_length, pad, pad_mode, height, n_columns, padded, columns
            )
            first_pass(width, n_fft, columns, address(offsets), address(window), rows)
            for r in range(n_real_rows):
                place = address(twiddles) + r * twiddles_size
                row_pass(width, n_fft, 1, 1, rows + r * row_size, place)
            for r in range(n_real_rows, n_rows):
                place = address(twiddles) + r * twiddles_size
                row_pass(width, n_fft, 0, 1, rows + r * row_size, place)
            if is_magnitude:
                magnitudes(width, n_bins, address(places), rows)

            target = out + (row * n_mels * n_frames + frame) * ITEM
            n_valid = min(width, n_frames - frame)
            bank = (address(places), address(bands), address(weights), address(scaling))
            pitch = n_frames if n_valid == width else width
            mel_out = target if n_valid == width else partial
            if is_log:
                mel_bands(width, 1, n_mels, rows, bank[0], bank[1], bank[2], bank[3], mel_out, pitch)
            else:
                mel_bands(width, 0, n_mels, rows, bank[0], bank[1], bank[2], bank[3], mel_out, pitch)
            if n_valid < width:
                values = carray(float_pointer(partial), (n_mels, width))
                for m in range(n_mels):
                    band = carray(float_pointer(target + m * n_frames * ITEM), n_valid)
                    for i in range(n_valid):
                        band[i] = values[m, i]
        return non_finite

    return mel_tiles
