"""What is done to a whole signal before it is framed, in one pass: noise and pre-emphasis."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.kernels.frames import condition

from .plan import Conditioning

__all__ = ["conditioned"]


def conditioned(steps: Conditioning, y: NDArray[Any]) -> NDArray[Any]:
    """Add the noise to (rows, samples) and take pre-emphasis."""
    out = np.empty_like(y)
    for row, target in zip(y, out, strict=True):
        condition(
            row,
            0,
            y.dtype.type(0),
            steps.dither,
            np.uint64(steps.seed),
            y.dtype.type(steps.preemphasis),
            target,
        )
    return out[:, 1:] if steps.drops_first else out
