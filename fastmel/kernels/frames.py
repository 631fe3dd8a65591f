"""Samples of a padded signal: what lies beyond its ends in every pad mode, and frames of it.

Positions count from the signal's first sample; the padding before it has negative ones.
"""

from typing import Any

from .jit import jit

__all__ = ["PAD_MODES", "copy_padded", "window_frames"]

#: pad mode -> its number in the kernels; "empty" leaves the value open and gets zeros
PAD_MODES = {"constant": 0, "empty": 0, "edge": 1, "linear_ramp": 2, "reflect": 3, "symmetric": 4}
ZEROS, EDGE, LINEAR_RAMP, REFLECT, SYMMETRIC = 0, 1, 2, 3, 4


@jit
def _padding(y: Any, position: int, pad: int, pad_mode: int) -> Any:
    """The padding's value at a position outside of the signal, as ``numpy.pad`` computes it."""
    n_samples = len(y)
    zero = y.dtype.type(0)
    if position < -pad or position >= n_samples + pad or n_samples == 0:
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
    width = y.dtype.type(pad)  # LINEAR_RAMP
    if position < 0:
        return y.dtype.type(position + pad) * (y[0] / width)
    return y.dtype.type(n_samples + pad - 1 - position) * (y[n_samples - 1] / width)


@jit
def copy_padded(y: Any, start: int, pad: int, pad_mode: int, out: Any) -> None:
    """Fill ``out`` with the padded signal from position ``start`` on; zeros beyond the padding."""
    n = len(out)
    before = min(max(-start, 0), n)
    after = max(min(len(y) - start, n), before)
    # loops over slices: LLVM turns them into block copies, which indices with an offset prevent
    inside, samples = out[before:after], y[max(start, 0) : max(start + after, 0)]
    for i in range(len(inside)):
        inside[i] = samples[i]
    if pad_mode == ZEROS:
        for outside in (out[:before], out[after:]):
            for i in range(len(outside)):
                outside[i] = 0
    else:
        for i in range(before):
            out[i] = _padding(y, start + i, pad, pad_mode)
        for i in range(after, n):
            out[i] = _padding(y, start + i, pad, pad_mode)


@jit
def window_frames(
    y: Any, first: int, hop_length: int, pad: int, pad_mode: int, window: Any, out: Any
) -> None:
    """Write the frames from number ``first`` on, windowed, into ``out`` (n_frames, n_fft)."""
    n_frames, n_fft = out.shape
    for f in range(n_frames):
        start = (first + f) * hop_length - pad
        frame = out[f]
        if start >= 0 and start + n_fft <= len(y):
            samples = y[start : start + n_fft]
            for i in range(n_fft):
                frame[i] = samples[i] * window[i]
        else:
            copy_padded(y, start, pad, pad_mode, frame)
            for i in range(n_fft):
                frame[i] *= window[i]
