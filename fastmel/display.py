"""Pictures. The only module that needs matplotlib (``pip install 'fastmel[display]'``)."""

from os import PathLike
from typing import IO

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fastmel.convert import hz_to_mel, mel_to_hz
from fastmel.frontends.config import MelConfig

__all__ = ["save_mel"]

#: dB below the loudest value at which the colours of a dB picture end
_DB_RANGE = 80.0

#: Hz, labelled on the axis where they fall within it
_OCTAVES = [125.0 * 2**octave for octave in range(12)]

_SCALE_NAMES = {None: "linear", "db": "dB", "ln": "ln", "log10": "log10"}


def save_mel(
    file: str | PathLike[str] | IO[bytes], mel: ArrayLike, config: MelConfig, title: str = ""
) -> None:
    """Write a PNG of one mel spectrogram, with axes in seconds and Hz and a colour bar.

    The picture is drawn without pyplot: no window opens, and figures that the program has open
    are left alone.

    Parameters
    ----------
    file : path or binary file
        Where the PNG goes.
    mel : array_like, shape (n_mels, n_frames)
        What :class:`fastmel.MelSpectrogram` returned for one signal.
    config : MelConfig
        What it was made with: gives the axes, and the name of the colours' scale. Colours of a
        dB picture end 80 dB below its maximum.
    title : str
        A line above the picture.
    """
    mel = np.asarray(mel)
    n_mels, n_frames = mel.shape
    fmax = config.sr / 2 if config.fmax is None else config.fmax

    # The bands' centres are evenly spaced in mel, so an axis in mel shows each band as one row.
    low, high = (float(hz_to_mel(hz, htk=config.htk)) for hz in (config.fmin, fmax))
    half_band = (high - low) / (n_mels + 1) / 2
    bottom, top = low + half_band, high - half_band
    frame = config.hop_length / config.sr
    first_centre = 0.0 if config.center else config.n_fft / 2 / config.sr
    left = first_centre - frame / 2

    clipped = config.log == "db" and np.ptp(mel) > _DB_RANGE
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot(xlabel="Time (s)", ylabel="Frequency (Hz)")
    drawable = title.encode(errors="replace").decode()  # a file name need not be text
    axes.set_title(drawable, parse_math=False)
    image = axes.imshow(
        mel,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=mel.max() - _DB_RANGE if clipped else None,
        extent=(left, left + n_frames * frame, bottom, top),
    )
    figure.colorbar(
        image, label=_SCALE_NAMES[config.log], extend="min" if clipped else "neither", pad=0.01
    )
    ticks = _round_frequencies(*(float(mel_to_hz(edge, htk=config.htk)) for edge in (bottom, top)))
    axes.set_yticks(hz_to_mel(ticks, htk=config.htk), [f"{hz:g}" for hz in ticks])
    figure.savefig(file, format="png")


def _round_frequencies(low: float, high: float) -> list[float]:
    """Choose the frequencies to label between two: octaves, or even steps in a narrow range."""
    octaves = [hz for hz in _OCTAVES if low <= hz <= high]
    if len(octaves) >= 3:
        return octaves
    return [hz for hz in MaxNLocator(5).tick_values(low, high) if low <= hz <= high]
