"""The whole line tile by tile, in explicit SIMD: nothing but the result leaves the cache.

audio -> frames -> window + real FFT -> power -> mel -> log -> out

A tile is as many neighbouring frames as a vector register has lanes, one frame a lane: 4, 8 or 16
of float32, half as many of float64.
Every step is vertical arithmetic on all of them at once, so a frame's bits depend neither on its
place in the tile nor on the other frames, and any split of the work gives the same result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel import util
from fastmel.kernels.fft import Factors, factorize, factors_of, first_pass, row_pass, tables
from fastmel.kernels.frames import PAD_MODES, copy_padded
from fastmel.kernels.jit import jit, simd_width
from fastmel.kernels.simd import address, double_array, float_array
from fastmel.kernels.tile import (
    expect_bands,
    frame_means,
    mel_bands,
    store_frames,
    store_hartley,
    store_spectrum,
    transpose_columns,
)

from . import pool
from .conditioning import conditioned
from .plan import LogScale, MelPlan, SpectrumPlan

__all__ = ["hartley", "mel", "mel_of_pieces", "stft", "why_not"]

#: Larger FFTs are computed as fast, but take more than 5 s to compile.
_LARGEST = 1 << 16

#: A share of work for a thread takes at least this long: a hand-off costs 70-100 us.
_SHARE = 150e-6
#: Seconds per frame over n_fft * log2(n_fft), from 400 to 4096 points with 16 lanes; for float64
#: twice as many.
_FRAME_COST = 3.3e-11
#: Bytes in a cache line.
_LINE = 64
#: Frames whose logarithms are taken at once where the kernel does not: 128 kB at 128 bands.
_LOG_FRAMES = 128


def why_not(plan: MelPlan | SpectrumPlan, dtype: np.dtype[Any]) -> str | None:
    """Say what keeps this engine from computing ``plan`` on such samples; None if nothing."""
    spectrum = plan.spectrum if isinstance(plan, MelPlan) else plan
    if dtype not in (np.float32, np.float64):
        return f"computes in float32 and float64, and the samples are {dtype}"
    if spectrum.n_fft > _LARGEST:
        return f"needs an n_fft of at most {_LARGEST}, not {spectrum.n_fft}"
    if factorize(spectrum.n_fft) is None:
        return f"needs an n_fft with no prime factor above 7, not {spectrum.n_fft}"
    if isinstance(plan, MelPlan):
        if plan.power not in (1, 2):
            return f"takes a power of 1 or 2, not {plan.power}"
        if plan.segments is None:
            return "needs a bank of triangles, each bin in two neighbouring bands at most"
        least = np.finfo(dtype).tiny
        if plan.log is not None and plan.log.amin + plan.log.added < least:
            return f"needs an amin of at least {least}, not {plan.log.amin + plan.log.added}"
    return None


def mel(plan: MelPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the mel values of (rows, samples) into (rows, n_mels, n_frames).

    ``out`` may be a view; the bands of a frame or the frames of a band lie side by side in it.

    Raises
    ------
    ParameterError
        If a sample is NaN or infinite.
    """
    tile = _tile(plan.spectrum, y.dtype)
    kernel, n_more = _mel_kernel(tile.shape, int(plan.power == 1)), plan.n_mels * tile.shape.width
    row_pitch, band_pitch, frame_pitch = (stride // y.itemsize for stride in out.strides)
    is_turned = int(frame_pitch != 1 and out.shape[-1] > 1)
    pitches = (row_pitch, band_pitch, frame_pitch, is_turned)
    tile.run(kernel, y, out, out.shape[-1], n_more, _bank(plan, y.dtype) + pitches)
    if plan.log is not None and not tile.shape.has_log:
        _take_log(plan.log, out)


def _take_log(log: LogScale, out: NDArray[Any]) -> None:
    """Take the logarithm of (rows, n_mels, n_frames), some frames after the other."""
    n_rows, _, n_frames = out.shape
    n_blocks = -(-n_frames // _LOG_FRAMES)

    def work(low: int, high: int) -> None:
        for unit in range(low, high):
            first = unit % n_blocks * _LOG_FRAMES
            log.of(out[unit // n_blocks, :, first : first + _LOG_FRAMES])

    pool.run(work, n_rows * n_blocks, min_units=4)


def mel_of_pieces(plan: MelPlan, *, is_turned: bool) -> Callable[[int, int, int, int], None]:
    """Return :func:`mel` for one piece of a signal after the other, without its 20 us of Python.

    The function takes the address of float32 samples and their number, the number of frames, and
    the address of the result: (n_mels, n_frames), or (n_frames, n_mels) with ``is_turned``. It
    works in the calling thread, on memory of its own; the samples have been checked.
    """
    real = np.dtype(np.float32)
    tile, bank = _tile(plan.spectrum, real), _bank(plan, real)
    n_mels, width, layout = plan.n_mels, tile.shape.width, tile.layout
    kernel = _mel_kernel(tile.shape, int(plan.power == 1))
    size = real.itemsize * (tile.scratch_size + n_mels * width)
    room = np.empty(size + _LINE, dtype=np.uint8)
    first = -room.__array_interface__["data"][0] % _LINE  # where a cache line begins
    scratch = room[first : first + size].view(real)

    def mel_of_piece(y: int, n_samples: int, n_frames: int, out: int) -> None:
        pitches = (0, 1, n_mels, 1) if is_turned else (0, n_frames, 1, 0)
        n_tiles = -(-n_frames // width)
        signal = (y, n_samples, n_samples)
        kernel(signal, n_frames, 0, n_tiles, layout, bank + pitches, scratch, out)

    return mel_of_piece


@lru_cache(maxsize=64)
def _bank(plan: MelPlan, real: np.dtype[Any]) -> tuple[Any, ...]:
    """What the mel kernel takes of a plan, in its order."""
    assert plan.segments is not None, "why_not() is asked first"
    log = plan.log or LogScale(amin=1.0, factor=0.0, offset=0.0)
    of_e, of_two = log.factor * np.log10([math.e, 2])
    scaling = [log.amin, log.floor, of_e, of_two, log.offset, log.added, plan.power_offset]
    return (
        _tile(plan.spectrum, real).tables.power,
        plan.segments.first,
        plan.segments.weights.astype(real),
        int(plan.log is not None),
        np.array(scaling, dtype=real),
    )


def stft(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the spectra of (rows, samples) into (rows, n_frames, n_bins).

    Raises
    ------
    ParameterError
        If a sample is NaN or infinite.
    """
    _transform(plan, y, out, is_hartley=False)


def hartley(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Write ``Re - Im`` of the spectra of (rows, samples) into (rows, n_frames, n_fft).

    Raises
    ------
    ParameterError
        If a sample is NaN or infinite.
    """
    _transform(plan, y, out, is_hartley=True)


def _transform(plan: SpectrumPlan, y: NDArray[Any], out: NDArray[Any], *, is_hartley: bool) -> None:
    tile = _tile(plan, y.dtype)
    tile.run(_transform_kernel(tile.shape, is_hartley), y, out, out.shape[1], 0, tile.slots)


@dataclass(frozen=True)
class _Shape:
    """What kernels are compiled for."""

    n_fft: int
    width: int
    #: bytes of a value
    item: int
    #: samples of each column that the first pass reads
    n_inputs: int
    is_linear: bool

    @property
    def factors(self) -> Factors:
        """How the FFT is split."""
        return factors_of(self.n_fft)

    @property
    def rows_size(self) -> int:
        """Values of a tile's rows, in whole cache lines."""
        line = _LINE // self.item
        n_rows = len(self.factors.row_indices)
        return -(-n_rows * self.factors.row_pitch(self.width) // line) * line

    @property
    def has_log(self) -> bool:
        """Whether the kernel takes the logarithm: a polynomial for float32."""
        return self.item == 4


class _Tile:
    """A spectrum plan laid out for the kernels, and the loop over threads that runs them."""

    def __init__(self, plan: SpectrumPlan, real: np.dtype[Any]) -> None:
        factors, n_taken = factors_of(plan.n_fft), plan.n_taken or plan.n_fft
        n_inputs = factors.first if factors.coprime else -(-n_taken // factors.n_points)
        width = simd_width() * 4 // real.itemsize
        self.shape = _Shape(plan.n_fft, width, real.itemsize, n_inputs, plan.is_linear)
        self.tables = tables(factors)
        #: where the bins of a spectrum are, and their signs
        self.slots = (self.tables.slot, self.tables.conjugate.astype(real))
        self.hop_length, self.n_fft = plan.hop_length, plan.n_fft
        self.start = plan.start - plan.before
        self.conditioning = plan.conditioning
        # A frame is cut into columns of one hop, which it shares with its neighbours.
        self.height = min(plan.hop_length, plan.n_fft)
        n_shared = -(-plan.n_fft // self.height) - 1
        group = 16 // real.itemsize
        self.n_columns = width + -(-n_shared // group) * group
        sample = self.tables.sample
        # rounded first: a constant signal must lose its mean's share to the last bit
        preemphasis = float(real.type(plan.preemphasis))
        scales = [preemphasis, (1 - preemphasis) / n_taken]
        self.layout = (
            self.hop_length,
            self.start,
            (plan.before, plan.after, PAD_MODES[plan.pad_mode]),
            self.height,
            self.n_columns,
            self._places(sample),
            plan.window[sample].astype(real),
            (
                self._places(np.maximum(sample - 1, 0)),
                self._places(np.arange(n_taken if plan.remove_dc else 0)),
                np.array(scales, dtype=real),
            ),
            self.tables.twiddles.astype(real),
        )
        # the rows of the FFT, the columns of samples, the padded samples of a tile at the edge, the
        # frames' means
        self.scratch_size = self.shape.rows_size + 2 * self.height * self.n_columns + width
        tile_cost = _FRAME_COST * simd_width() * self.n_fft * math.log2(self.n_fft + 1)
        self.least_share = math.ceil(_SHARE / tile_cost)

    def _places(self, sample: NDArray[Any]) -> NDArray[np.int32]:
        """Where a frame's samples lie among the tile's columns."""
        places: NDArray[Any] = sample % self.height * self.n_columns + sample // self.height
        return places.astype(np.int32)

    def run(
        self,
        kernel: Any,
        y: NDArray[Any],
        out: NDArray[Any],
        n_frames: int,
        n_more: int,
        constants: tuple[Any, ...],
    ) -> None:
        """Run a kernel over all tiles of all signals.

        n_more: values of scratch memory that it needs at the end for itself; constants:
        what it takes beside the layout.
        """
        if self.conditioning:
            y = conditioned(self.conditioning, y)
        n_rows, n_samples = y.shape
        y_pitch = y.strides[0] // y.itemsize
        y_address, out_address = (
            y.__array_interface__["data"][0],
            out.__array_interface__["data"][0],
        )
        width = self.shape.width
        n_tiles = -(-n_frames // width)
        lost = []

        def work(low: int, high: int) -> None:
            scratch = pool.scratch(y.itemsize * (self.scratch_size + n_more)).view(y.dtype)
            lost.append(
                kernel(
                    (y_address, y_pitch, n_samples), n_frames, low, high, self.layout, constants,
                    scratch, out_address,
                )
            )  # fmt: skip

        pool.run(work, n_rows * n_tiles, self.least_share)
        if any(lost):
            util.valid_audio(y)  # raises
        # the samples that no tile has loaded: after the last one, or between frames far apart
        end = max(0, (n_tiles * width - 1) * self.hop_length + self.start + self.n_fft)
        if self.hop_length > self.n_fft:
            util.valid_audio(y)
        elif end < n_samples:
            util.valid_audio(y[:, end:])


@lru_cache(maxsize=64)
def _tile(plan: SpectrumPlan, real: np.dtype[Any]) -> _Tile:
    return _Tile(plan, real)


# kernels: one set for every shape


@cache
def _spectrum_kernel(shape: _Shape, to_power: int) -> Any:
    """One tile: audio -> frames -> window + real FFT (-> power)."""
    n_fft, width, item, n_inputs = shape.n_fft, shape.width, shape.item, shape.n_inputs
    is_linear, rows_size, factors = int(shape.is_linear), shape.rows_size, shape.factors
    n_rows, n_real_rows = len(factors.row_indices), factors.n_real_rows
    row_size, twiddles_size = factors.row_pitch(width) * item, factors.row_twiddles * item

    @jit
    def spectrum_of_tile(signal: Any, frame: int, layout: Any, scratch: Any) -> int:
        """Leave a tile's spectra at the start of ``scratch``; 1 if a sample is not finite."""
        hop_length, origin, padding, height, n_columns, offsets, window, linear, twiddles = layout
        previous, taken, scales = linear
        size = height * n_columns
        row = address(scratch)
        columns = row + rows_size * item
        means = columns + 2 * size * item
        start = frame * hop_length + origin
        if start >= 0 and start + (n_columns - 1) * hop_length + height <= len(signal):
            samples, pitch = address(signal) + start * item, hop_length
        else:
            before, after, pad_mode = padding
            padded = scratch[rows_size + size : rows_size + 2 * size]
            n_pieces = 1 if hop_length == height else n_columns  # columns are neighbours, or apart
            for i in range(n_pieces):
                piece = padded[i * size // n_pieces : (i + 1) * size // n_pieces]
                copy_padded(signal, start + i * hop_length, before, after, pad_mode, piece)
            samples, pitch = address(padded), height
        lost = transpose_columns(width, item, samples, pitch, height, n_columns, columns)
        preemphasis, factor = address(scales), address(scales) + item
        if not is_linear:
            frame_means(width, item, columns, address(taken), len(taken), factor, means)
        first_pass(
            width,
            item,
            n_fft,
            n_inputs,
            is_linear,
            columns,
            address(offsets),
            address(window),
            address(previous),
            preemphasis,
            means,
            row,
        )
        keys = address(twiddles)
        for _ in range(n_real_rows):
            row_pass(width, item, n_fft, 1, to_power, row, keys)
            row += row_size
            keys += twiddles_size
        for _ in range(n_real_rows, n_rows):
            row_pass(width, item, n_fft, 0, to_power, row, keys)
            row += row_size
            keys += twiddles_size
        return lost  # type: ignore[no-any-return]

    return spectrum_of_tile


@cache
def _mel_kernel(shape: _Shape, to_root: int) -> Any:
    """The whole line, tile after tile."""
    spectrum_of_tile = _spectrum_kernel(shape, 1)
    width, item, has_log = shape.width, shape.item, int(shape.has_log)
    array_at = float_array if item == 4 else double_array

    @jit
    def mel_of_tiles(
        signals: Any,
        n_frames: int,
        low: int,
        high: int,
        layout: Any,
        bank: Any,
        scratch: Any,
        out: int,
    ) -> int:
        """Tiles ``low`` to ``high`` - 1 of all signals; 1 if a sample is not finite."""
        y, y_pitch, n_samples = signals
        places, segments, weights, is_log, scaling = bank[:5]
        row_pitch, band_pitch, frame_pitch, is_turned = bank[5:]
        n_tiles, n_mels = (n_frames + width - 1) // width, len(segments) - 2
        rows, partial = address(scratch), scratch[len(scratch) - n_mels * width :]
        table, edges = address(places), address(segments)
        heights, scale = address(weights), address(scaling)
        lost = 0
        for tile in range(low, high):
            row, frame = tile // n_tiles, tile % n_tiles * width
            signal = array_at(y + row * y_pitch * item, n_samples)
            target = out + (row * row_pitch + frame * frame_pitch) * item
            n_valid = min(width, n_frames - frame)
            is_direct = n_valid == width and not is_turned
            bands, pitch = (target, band_pitch) if is_direct else (address(partial), width)
            if is_direct:
                expect_bands(width, item, n_mels, target, band_pitch)
            lost |= spectrum_of_tile(signal, frame, layout, scratch)
            if is_log:
                mel_bands(
                    width, item, to_root, has_log,
                    n_mels, rows, table, edges, heights, scale, bands, pitch,
                )  # fmt: skip
            else:
                mel_bands(
                    width, item, to_root, 0,
                    n_mels, rows, table, edges, heights, scale, bands, pitch,
                )  # fmt: skip
            if is_turned:
                store_frames(width, item, n_mels, address(partial), n_valid, target, frame_pitch)
            elif n_valid < width:
                for m in range(n_mels):
                    band = array_at(target + m * band_pitch * item, n_valid)
                    for i in range(n_valid):
                        band[i] = partial[m * width + i]
        return lost

    return mel_of_tiles


@cache
def _transform_kernel(shape: _Shape, is_hartley: bool) -> Any:
    """The line up to the spectrum, tile after tile."""
    spectrum_of_tile, n_fft = _spectrum_kernel(shape, 0), shape.n_fft
    width, item, n_bins = shape.width, shape.item, 1 + n_fft // 2
    array_at = float_array if item == 4 else double_array
    pitch = n_fft if is_hartley else 2 * n_bins  # values of a frame

    @jit
    def transform_of_tiles(
        signals: Any,
        n_frames: int,
        low: int,
        high: int,
        layout: Any,
        places: Any,
        scratch: Any,
        out: int,
    ) -> int:
        """Tiles ``low`` to ``high`` - 1 of all signals; 1 if a sample is not finite."""
        y, y_pitch, n_samples = signals
        slots, conjugates = places
        n_tiles, rows = (n_frames + width - 1) // width, address(scratch)
        table, signs = address(slots), address(conjugates)
        lost = 0
        for tile in range(low, high):
            row, frame = tile // n_tiles, tile % n_tiles * width
            signal = array_at(y + row * y_pitch * item, n_samples)
            lost |= spectrum_of_tile(signal, frame, layout, scratch)
            target = out + (row * n_frames + frame) * pitch * item
            n_valid = min(width, n_frames - frame)
            if is_hartley:
                store_hartley(width, item, n_fft, rows, table, signs, n_valid, target)
            else:
                store_spectrum(width, item, n_bins, rows, table, signs, n_valid, target)
        return lost

    return transform_of_tiles
