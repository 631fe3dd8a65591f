"""Samples of a conditioned and padded signal, and frames of it.

Positions count from the signal's first sample; the padding before it has negative ones.
"""

import math
from typing import Any

import numpy as np

from .jit import jit

__all__ = ["PAD_MODES", "condition", "copy_padded", "frame_energies", "window_frames"]

#: pad mode -> its number in the kernels; "empty" leaves the value open and gets zeros
PAD_MODES = {"constant": 0, "empty": 0, "edge": 1, "linear_ramp": 2, "reflect": 3, "symmetric": 4}
ZEROS, EDGE, LINEAR_RAMP, REFLECT, SYMMETRIC = 0, 1, 2, 3, 4


@jit
def _bits(key: Any) -> Any:
    """64 bits that look random, the same ones for equal keys (splitmix64)."""
    key += np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@jit
def _normal(seed: Any, position: int) -> float:
    """A normally distributed number that belongs to a position (Box-Muller)."""
    bits = _bits(_bits(seed) + np.uint64(position))
    unit = 2.0**-32
    radius = math.sqrt(-2 * math.log(unit * (0.5 + np.float64(bits >> np.uint64(32)))))
    angle = 2 * math.pi * unit * np.float64(bits & np.uint64(0xFFFFFFFF))
    return radius * math.cos(angle)


@jit
def condition(
    y: Any, position: int, before: Any, dither: float, seed: Any, preemphasis: Any, out: Any
) -> Any:
    """Write ``z[i] - preemphasis * z[i - 1]``, where z is ``y`` with noise, into ``out``.

    A number of the noise belongs to a position of the signal, so pieces of a signal make the whole.

    position: that of y's first sample; before: z before it; out: as long as y. Returns the last z.
    """
    n = len(y)
    if n == 0:
        return before
    source = y
    if dither > 0:
        for i in range(n):
            out[i] = y[i] + y.dtype.type(dither * _normal(seed, position + i))
        source = out
    last = source[n - 1]
    for i in range(n - 1, 0, -1):
        out[i] = source[i] - preemphasis * source[i - 1]
    out[0] = source[0] - preemphasis * before
    return last


@jit
def _padding(y: Any, position: int, before: int, after: int, pad_mode: int) -> Any:
    """The padding's value at a position outside of the signal, as ``numpy.pad`` computes it."""
    n_samples = len(y)
    zero = y.dtype.type(0)
    if position < -before or position >= n_samples + after or n_samples == 0:
        return zero
    if pad_mode == REFLECT:
        if n_samples == 1:
            return y[0]
        place = position % (2 * n_samples - 2)
        return y[min(place, 2 * n_samples - 2 - place)]
    if pad_mode == SYMMETRIC:
        place = position % (2 * n_samples)
        return y[min(place, 2 * n_samples - 1 - place)]
    if pad_mode == EDGE:
        return y[0] if position < 0 else y[n_samples - 1]
    if position < 0:  # LINEAR_RAMP
        return y.dtype.type(position + before) * (y[0] / y.dtype.type(before))
    distance = n_samples + after - 1 - position
    return y.dtype.type(distance) * (y[n_samples - 1] / y.dtype.type(after))


@jit
def copy_padded(y: Any, start: int, before: int, after: int, pad_mode: int, out: Any) -> None:
    """Fill ``out`` with the padded signal from position ``start`` on; zeros beyond the padding."""
    n = len(out)
    head = min(max(-start, 0), n)
    tail = max(min(len(y) - start, n), head)
    # loops over slices: LLVM turns them into block copies, which indices with an offset prevent
    inside, samples = out[head:tail], y[max(start, 0) : max(start + tail, 0)]
    for i in range(len(inside)):
        inside[i] = samples[i]
    if pad_mode == ZEROS:
        for outside in (out[:head], out[tail:]):
            for i in range(len(outside)):
                outside[i] = 0
    else:
        for i in range(head):
            out[i] = _padding(y, start + i, before, after, pad_mode)
        for i in range(tail, n):
            out[i] = _padding(y, start + i, before, after, pad_mode)


@jit
def _window_frame(y: Any, start: int, layout: Any, out: Any) -> None:
    """Write the frame from position ``start`` on into ``out`` (n_fft,), see `window_frames`."""
    _, padding, window, n_taken, preemphasis, remove_dc = layout
    n_fft = len(out)
    if preemphasis == 0 and not remove_dc and start >= 0 and start + n_fft <= len(y):
        samples = y[start : start + n_fft]
        for i in range(n_fft):
            out[i] = samples[i] * window[i]
        return
    before, after, pad_mode = padding
    copy_padded(y, start, before, after, pad_mode, out)
    if remove_dc:
        total = 0.0
        for i in range(n_taken):
            total += out[i]
        mean = y.dtype.type(total / n_taken)
        for i in range(n_taken):
            out[i] -= mean
    if preemphasis != 0:
        for i in range(n_taken - 1, 0, -1):
            out[i] -= preemphasis * out[i - 1]
        out[0] -= preemphasis * out[0]
    for i in range(n_fft):
        out[i] *= window[i]


@jit
def window_frames(y: Any, start: int, layout: Any, out: Any) -> None:
    """Write frames, the first from position ``start`` on, windowed, into ``out`` (n_frames, n_fft).

    layout: (hop_length, (samples before, samples after, pad mode), window, n_taken, preemphasis,
    remove_dc); n_taken: the samples of a frame whose mean is subtracted with ``remove_dc``, and
    which then lose ``preemphasis`` times the one before them, the first one times itself.
    """
    for f in range(len(out)):
        _window_frame(y, start + f * layout[0], layout, out[f])


@jit
def frame_energies(y: Any, start: int, layout: Any, frame: Any, out: Any) -> None:
    """Write the energies of what `window_frames` would write; ``frame`` (n_fft,) is scratch."""
    for f in range(len(out)):
        _window_frame(y, start + f * layout[0], layout, frame)
        total = 0.0
        for i in range(len(frame)):
            total += frame[i] * frame[i]
        out[f] = total
