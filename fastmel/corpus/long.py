"""Recordings of hours: read piece by piece, their features in a file and not in memory.

The pieces are those of :class:`fastmel.frontends.stream.MelStream`, and so are the features. A
front end that needs to know the largest value of the recording reads it twice.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastmel.corpus.durable import PARTIAL
from fastmel.corpus.reading import Array, Recording
from fastmel.exceptions import ParameterError
from fastmel.frontends.config import MelConfig
from fastmel.frontends.transform import MelSpectrogram

__all__ = ["LONG", "can_stream", "features"]

#: bytes of a source from which on it is read piece by piece
LONG = 32 << 20

#: opens the recording, each time at its beginning
Opener: TypeAlias = Callable[[], AbstractContextManager[Recording]]


def can_stream(transform: MelSpectrogram) -> bool:
    """Whether a front end can work piece by piece, frame after frame."""
    config = transform.config
    if config.layout != "frames_first":
        return False
    try:
        transform.stream(top_db=None if _needs_peak(config) else config.top_db)
    except ParameterError:
        return False
    return True


def features(
    transform: MelSpectrogram, opener: Opener, folder: Path
) -> tuple[NDArray[np.floating], int, float]:
    """Return the features of a recording, how many samples they are of, and its level.

    The features (frames, features) lie in a nameless file in the output folder.
    """
    config = transform.config
    peak = config.peak
    if _needs_peak(config):
        stream = transform.stream(top_db=None, dtype=None)
        with opener() as recording:
            blocks = stream.frames_of(recording.pieces(config.sr))
            largest = max((block.max() for block in blocks if block.size), default=0.0)
        assert isinstance(config.gain, float), "one for all features"
        assert isinstance(config.offset, float), "one for all features"
        peak = float(largest) / config.gain - config.offset
    n_samples = 0

    def counted(pieces: Iterator[Array]) -> Iterator[Array]:
        nonlocal n_samples
        for y in pieces:
            n_samples += len(y)
            yield y

    (folder / PARTIAL).mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=folder / PARTIAL) as file, opener() as recording:
        for block in transform.stream(peak=peak).frames_of(counted(recording.pieces(config.sr))):
            file.write(block.data)
        n_frames = file.tell() // (config.n_features * block.itemsize)
        shape = (n_frames, config.n_features)
        if n_frames == 0:
            return np.empty(shape, block.dtype), n_samples, recording.level
        return np.memmap(file, block.dtype, "r", shape=shape), n_samples, recording.level


def _needs_peak(config: MelConfig) -> bool:
    """Whether all that keeps a front end from working frame by frame is the largest value."""
    is_affine = not isinstance(config.offset, tuple) and not isinstance(config.gain, tuple)
    is_plain = config.n_mfcc is None and config.stack is None and config.energy is None
    return config.top_db is not None and config.peak is None and is_affine and is_plain
