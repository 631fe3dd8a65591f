"""From the logarithm on: what is done to the mel values of a whole signal.

range -> cepstra -> normalization -> stacks -> offset and gain -> padding

Each step is told by the fields of :class:`fastmel.MelConfig`; a configuration that leaves them at
their defaults takes none. Features have the axes (n_features, n_frames) here, in whichever of the
two orders they lie in memory.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.engines.plan import MelPlan

from .config import MelConfig

__all__ = [
    "cosines",
    "extent",
    "finish",
    "has_energy_before",
    "is_in_place",
    "n_stacks",
    "of_frames",
    "scale",
]

Array = NDArray[Any]


def is_in_place(config: MelConfig) -> bool:
    """Whether the result has the place and shape of the bands that the engine writes."""
    return config.n_mfcc is None and config.stack is None


def has_energy_before(config: MelConfig) -> bool:
    """Whether the energy is a feature before the bands."""
    return config.energy is not None and config.n_mfcc is None and not config.energy_last


def n_stacks(config: MelConfig, n_frames: int) -> int:
    """Frames of the result, before any padding, that so many frames of bands give."""
    if config.stack is None:
        return n_frames
    length, step = config.stack
    if config.stack_ends == "drop":
        return max(0, 1 + (n_frames - length) // step)
    return -(-n_frames // step)


def finish(
    config: MelConfig, plan: MelPlan, bands: Array, energies: Array | None, out: Array
) -> None:
    """Make the features ``out`` (n_features, frames, padding included) of one signal.

    bands: (n_mels, n_frames) as the engine left them, which may lie in `out`; energies: (n_frames,)
    the frames' log energies, if the configuration asks for them.
    """
    n_valid = min(n_stacks(config, bands.shape[1]), out.shape[1])
    in_place = out[:, : bands.shape[1]] if np.may_share_memory(bands, out) else None
    features = of_frames(config, plan, bands, energies, in_place)
    if features.size:
        normalize(config, features)
    if config.stack is not None:
        features = _stacked(config, features)
    features = features[:, :n_valid]
    scale(config, plan, features)
    if not np.may_share_memory(features, out):
        _convert(features, out[:, :n_valid])
    out[:, n_valid:] = config.pad_value


def _convert(features: Array, out: Array) -> None:
    """Copy features to the result; for half precision by a kernel, NumPy takes 15 times as long.

    What is too large for that is left to NumPy, which warns of it.
    """
    if features.dtype == np.float32 and out.dtype == np.float16:
        from fastmel.kernels.features import to_half

        if out.T.flags.c_contiguous:
            features, out = features.T, out.T
        if features.flags.c_contiguous and out.flags.c_contiguous:
            bits = out.view(np.uint16).reshape(-1)
            if to_half(features.reshape(-1), bits):
                return
    out[...] = features


def of_frames(
    config: MelConfig,
    plan: MelPlan,
    bands: Array,
    energies: Array | None,
    out: Array | None = None,
) -> Array:
    """Return the features (n_features, n_frames) of single frames, before what needs them all.

    out: where the bands lie already beside room for the energies.
    """
    if bands.size:
        raise_to_range(config, plan, bands)
    if config.n_mfcc is not None:
        return _cepstra(config, bands, energies)
    if energies is None:
        return bands
    row = -1 if config.energy_last else 0
    features = np.insert(bands, len(bands) * -row, 0, axis=0) if out is None else out
    features[row] = energies
    return features


def raise_to_range(config: MelConfig, plan: MelPlan, bands: Array) -> None:
    """Bring a signal's bands into the range below its largest, and make that the reference."""
    if config.ref != "max" and config.top_db is None:
        return
    peak = bands.max()
    if config.top_db is not None:
        top = peak if config.peak is None else (config.peak + plan.shift) * plan.gain
        _raise_to(bands.dtype.type(top - extent(config, plan)), bands)
    if config.ref == "max" and config.log is not None:
        bands -= peak


def _raise_to(least: Any, bands: Array) -> None:
    """Raise smaller values to ``least``, by a kernel: ``np.maximum`` takes five times as long."""
    values = bands if bands.flags.c_contiguous else bands.T
    if not values.flags.c_contiguous:
        np.maximum(bands, least, out=bands)
        return
    from fastmel.kernels.features import raise_to

    raise_to(least, values.reshape(-1))


def extent(config: MelConfig, plan: MelPlan) -> float:
    """`top_db` in units of the bands."""
    assert config.top_db is not None, "asked only then"
    assert plan.log is not None, "a configuration with top_db has a logarithm"
    return config.top_db * config.power / 20 * plan.log.factor


def _cepstra(config: MelConfig, bands: Array, energies: Array | None) -> Array:
    from fastmel.kernels.features import cosine_transform

    assert config.n_mfcc is not None, "asked only then"
    matrix = cosines(config.n_mfcc, config.n_mels, config.lifter)
    frames = np.ascontiguousarray(bands.T)
    cepstra = np.empty((len(frames), config.n_mfcc), dtype=bands.dtype)
    cosine_transform(frames, matrix, cepstra)
    if energies is not None:
        cepstra[:, 0] = energies
    elif config.energy_last:
        cepstra[:, 0] *= math.sqrt(2)
    return (np.roll(cepstra, -1, axis=1) if config.energy_last else cepstra).T


@lru_cache(maxsize=16)
def cosines(n_mfcc: int, n_mels: int, lifter: float) -> NDArray[np.float64]:
    """The orthonormal DCT-II (n_mfcc, n_mels), its rows scaled by the lifter."""
    k, m = np.ogrid[:n_mfcc, :n_mels]
    matrix = math.sqrt(2 / n_mels) * np.cos(math.pi / n_mels * (m + 0.5) * k)
    matrix[0] /= math.sqrt(2)
    if lifter > 0:
        matrix *= 1 + lifter / 2 * np.sin(math.pi * k / lifter)
    matrix.flags.writeable = False
    return matrix


def normalize(config: MelConfig, features: Array) -> None:
    """Subtract the mean, divide by the standard deviation, over time or all values."""
    if config.normalize is None:
        return
    from fastmel.kernels.features import standardize_columns, standardize_rows

    options = (config.normalize == "std", config.ddof, config.var_eps, config.std_eps)
    if config.normalize_over == "all":
        values = np.ascontiguousarray(features)
        standardize_rows(values.reshape(1, -1), *options)
        if values is not features:
            features[...] = values
    elif features.T.flags.c_contiguous or features.strides[0] < features.strides[1]:
        scratch = np.empty((2, len(features)))
        standardize_columns(features.T, *options, scratch[0], scratch[1])
    else:
        standardize_rows(features, *options)


def _stacked(config: MelConfig, features: Array) -> Array:
    """Concatenate neighbouring frames."""
    assert config.stack is not None, "asked only then"
    length, step = config.stack
    n_features, n_frames = features.shape
    rows = np.arange(n_stacks(config, n_frames))[:, None] * step + np.arange(length)
    if config.stack_ends == "edge":
        rows -= (length - 1) // 2
    frames = features.T[np.clip(rows, 0, n_frames - 1)] if n_frames else np.empty((0, 1))
    if config.stack_ends == "pad" and n_frames:
        frames[rows >= n_frames] = config.pad_value
    stacks: Array = frames.reshape(len(rows), length * n_features).T
    return stacks


def scale(config: MelConfig, plan: MelPlan, features: Array) -> None:
    """Add the offset and multiply by the gain, unless the logarithm has done so."""
    if plan.is_scaled:
        return
    for operation, value, neutral in (
        (np.add, config.offset, 0.0),
        (np.multiply, config.gain, 1.0),
    ):
        if value != neutral:
            factors = np.reshape(np.asarray(value, dtype=features.dtype), (-1, 1))
            operation(features, factors, out=features)
