"""Non-negative least squares for a bank of overlapping bands, one frame at a time.

A bin lies in two neighbouring bands at most: ``bands`` (n_bins,) holds the first of the two and
``weights`` (n_bins, 2), float64, what both weigh the bin with. A last band that has no bins, and so
no effect, stands behind the bank's own, so that every band has a next one.

Spectra and bands lie as (rows, n_bins or n_mels, n_frames), and a call works on the frames
``low`` to ``high`` of all rows' frames in turn. Work is in double precision.
"""

from typing import Any

import numpy as np

from .jit import jit

__all__ = ["nearest_solutions", "projected_gradients"]

#: what a Newton step may leave of the slope along itself
_SLOPE_LEFT = 0.5

#: the least damping, and what it changes by after a refused and after an accepted step
_LEAST_DAMPING, _MORE, _LESS = 1e-6, 10.0, 0.1

#: how often a frame's spectrum is moved: each time removes most of the error that nearness left
_ROUNDS = 3

#: what a Newton step must gain of a frame's squared length to be worth it, times `nearness`
_PRECISION = 1e-24

#: steps of a frame; about 10 are usual, and 100 where no spectrum comes near to the bands
_MOST_STEPS = 300


@jit
def projected_gradients(
    bands: Any, weights: Any, scale: float, spectra: Any, mels: Any, low: int, high: int, out: Any
) -> None:
    """Write the largest entry of each frame's projected gradient into ``out`` (rows, n_frames).

    It is the gradient of ``scale / 2`` times the squared error of the mel bands, and not more than
    what a non-negative spectrum can be lowered by.
    """
    n_mels, n_frames = mels.shape[1:]
    errors = np.zeros(n_mels + 1)
    for unit in range(low, high):
        row, f = unit // n_frames, unit % n_frames
        for m in range(n_mels):
            errors[m] = -mels[row, m, f]
        for k in range(len(bands)):
            m, value = bands[k], spectra[row, k, f]
            errors[m] += weights[k, 0] * value
            errors[m + 1] += weights[k, 1] * value
        errors[n_mels] = 0
        largest = 0.0
        for k in range(len(bands)):
            m = bands[k]
            slope = scale * (weights[k, 0] * errors[m] + weights[k, 1] * errors[m + 1])
            largest = max(largest, -slope, min(slope, np.float64(spectra[row, k, f])))
        out[row, f] = largest


@jit
def nearest_solutions(
    bands: Any, weights: Any, nearness: float, mels: Any, low: int, high: int, spectra: Any
) -> None:
    """Move spectra to non-negative ones nearby whose mel bands are as near as can be to these.

    With the bank ``A``, a frame's bands ``b`` and its spectrum ``c``, it finds the ``x >= 0`` that
    minimises ``|A x - b|^2 + nearness |x - c|^2``. It is ``x = max(c + A^T y, 0)`` with the
    ``y``, one number a band, for which ``A x + nearness y = b``. The left side is the gradient of a
    convex function of ``y``, piecewise linear, and its derivative is tridiagonal, so a step of
    Newton's method costs no more than looking at the frame (semismooth Newton: Qi and Sun, Math.
    Programming 58, 1993). Where many bins become zero or stop being so on the way, the steps are
    damped (Levenberg and Marquardt). The ``x`` is the ``c`` of another round (the proximal point
    method: Rockafellar, SIAM J. Control Optim. 14(5), 1976).
    """
    n_mels, n_frames = mels.shape[1:]
    n_bands, n_bins = n_mels + 1, len(bands)
    centre = np.empty(n_bins)
    b = np.zeros(n_bands)
    squares = np.zeros(n_bands)
    for k in range(n_bins):
        squares[bands[k]] += weights[k, 0] ** 2
        squares[bands[k] + 1] += weights[k, 1] ** 2
    # at y, and at where a step leads: gradient, diagonal and other diagonal of its derivative
    y, gradient, diagonal, beside = np.empty((4, n_bands))
    next_y, next_gradient, next_diagonal, next_beside = np.empty((4, n_bands))
    step, pivots, ratios = np.empty((3, n_bands))

    for unit in range(low, high):
        row, f = unit // n_frames, unit % n_frames
        for k in range(n_bins):
            centre[k] = spectra[row, k, f]
        length = 0.0
        for m in range(n_mels):
            b[m] = mels[row, m, f]
            length += b[m] * b[m]
        for _ in range(_ROUNDS):
            y[:] = 0
            _differentiate(bands, weights, nearness, centre, b, y, gradient, diagonal, beside)
            damping = 0.0
            for _ in range(_MOST_STEPS):
                slope = _newton_step(
                    gradient, diagonal, beside, squares, damping, pivots, ratios, step
                )
                # NaN ends it, too
                if damping == 0 and not -slope * nearness > _PRECISION * length:
                    break
                for m in range(n_bands):
                    next_y[m] = y[m] + step[m]
                _differentiate(
                    bands, weights, nearness, centre, b,
                    next_y, next_gradient, next_diagonal, next_beside,
                )  # fmt: skip
                next_slope = 0.0
                for m in range(n_bands):
                    next_slope += step[m] * next_gradient[m]
                if next_slope <= -_SLOPE_LEFT * slope:
                    y, next_y = next_y, y
                    gradient, next_gradient = next_gradient, gradient
                    diagonal, next_diagonal = next_diagonal, diagonal
                    beside, next_beside = next_beside, beside
                    damping = damping * _LESS if damping > _LEAST_DAMPING else 0.0
                else:
                    damping = max(damping * _MORE, _LEAST_DAMPING)
            for k in range(n_bins):
                m = bands[k]
                value = centre[k] + weights[k, 0] * y[m] + weights[k, 1] * y[m + 1]
                centre[k] = max(value, 0.0)
        for k in range(n_bins):
            spectra[row, k, f] = centre[k]


@jit
def _differentiate(
    bands: Any, weights: Any, nearness: float, centre: Any, b: Any,
    y: Any, gradient: Any, diagonal: Any, beside: Any,
) -> None:  # fmt: skip
    """Write ``A x + nearness y - b`` and its derivative."""
    for m in range(len(y)):
        gradient[m] = nearness * y[m] - b[m]
        diagonal[m] = nearness
        beside[m] = 0
    for k in range(len(bands)):
        m, first, second = bands[k], weights[k, 0], weights[k, 1]
        value = centre[k] + first * y[m] + second * y[m + 1]
        if value > 0:
            gradient[m] += first * value
            gradient[m + 1] += second * value
            diagonal[m] += first * first
            diagonal[m + 1] += second * second
            beside[m] += first * second


@jit
def _newton_step(
    gradient: Any, diagonal: Any, beside: Any, squares: Any, damping: float,
    pivots: Any, ratios: Any, step: Any,
) -> float:  # fmt: skip
    """Solve the tridiagonal system for a step; return the slope along it."""
    pivots[0] = diagonal[0] + damping * squares[0]
    step[0] = -gradient[0]
    for m in range(1, len(step)):
        ratios[m] = beside[m - 1] / pivots[m - 1]
        pivots[m] = diagonal[m] + damping * squares[m] - ratios[m] * beside[m - 1]
        step[m] = -gradient[m] - ratios[m] * step[m - 1]
    last = len(step) - 1
    step[last] /= pivots[last]
    slope: float = step[last] * gradient[last]
    for m in range(last - 1, -1, -1):
        step[m] = step[m] / pivots[m] - ratios[m + 1] * step[m + 1]
        slope += step[m] * gradient[m]
    return slope
