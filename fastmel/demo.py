"""A clip to try things on: four notes and a sung vowel over bursts of noise, made from sines.

The clip is the same on every machine and in every run, needs no download, and has what a log-mel
picture should show: harmonics, onsets and decays, formants that move, vibrato, and broad noise.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["clip"]

#: seconds of sound that :func:`clip` makes
DURATION = 6.0

#: the notes: start in seconds and pitch in Hz (A3, C sharp 4, E4, A4: a broken chord)
_NOTES = ((0.1, 220.00), (0.6, 277.18), (1.1, 329.63), (1.6, 440.00))

#: the voice: (F1, F2, F3) of the vowels in "ah-ee-oo-ah", Hz (Peterson and Barney 1952, men)
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (730, 1090, 2440))

#: half the width of each formant's resonance, Hz
_FORMANT_WIDTHS = (90.0, 120.0, 180.0)

#: the noise bursts: starts in seconds
_BURSTS = (0.1, 1.1, 2.3, 3.3, 4.3, 5.3)


def clip(sr: int = 22050) -> NDArray[np.float32]:
    """Make the clip: notes for two seconds, then a voice, with a burst of noise each second.

    Parameters
    ----------
    sr : int
        Sampling rate in Hz. Partials above ``sr / 2`` are left out.

    Returns
    -------
    ndarray of float32, shape (6 * sr,)
        Samples between -0.9 and 0.9.
    """
    t = np.arange(round(DURATION * sr)) / sr
    sound = _voice(t[t >= 2.3] - 2.3, sr)
    sound = np.concatenate([np.zeros(len(t) - len(sound)), sound])
    for start, pitch in _NOTES:
        sound += _note(t - start, pitch, sr)
    rng = np.random.default_rng(0)
    for start in _BURSTS:
        sound += 0.15 * rng.standard_normal(len(t)) * _decay(t - start, 0.04)
    sound *= 0.9 / np.abs(sound).max()
    return sound.astype(np.float32)


def _decay(t: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Envelope of something struck at t = 0: a 5 ms rise, then an exponential fall."""
    return np.where(t < 0, 0.0, np.minimum(t / 0.005, 1.0) * np.exp(-np.maximum(t, 0) / seconds))


def _note(t: NDArray[np.float64], pitch: float, sr: int) -> NDArray[np.float64]:
    """Make a plucked string: partials that are weaker and shorter the higher they are."""
    sound = np.zeros_like(t)
    for k in range(1, min(24, int(sr / 2 / pitch)) + 1):
        sound += 0.4 / k * _decay(t, 1.2 / k**0.7) * np.sin(2 * np.pi * k * pitch * t)
    return sound


def _voice(t: NDArray[np.float64], sr: int) -> NDArray[np.float64]:
    """Sing a falling line on four vowels: a pulse train with vibrato through three resonances."""
    end = t[-1]
    pitch = np.interp(t, [0.0, 0.5 * end, end], [196.0, 220.0, 147.0])
    pitch *= 1 + 0.02 * np.sin(2 * np.pi * 5.5 * t) * np.minimum(t / 0.5, 1.0)
    phase = 2 * np.pi * np.cumsum(pitch) / sr
    at = np.linspace(0.0, end, len(_VOWELS))
    formants = [np.interp(t, at, track) for track in zip(*_VOWELS, strict=True)]

    sound = np.zeros_like(t)
    for k in range(1, int(sr / 2 / pitch.max()) + 1):
        frequency = k * pitch
        gain = sum(
            1.0 / (1.0 + ((frequency - centre) / width) ** 2)
            for centre, width in zip(formants, _FORMANT_WIDTHS, strict=True)
        )
        sound += gain / k**0.5 * np.sin(k * phase)
    rise_and_fall = np.minimum(np.minimum(t / 0.15, (end - t) / 0.4), 1.0)
    sound *= 0.6 * rise_and_fall
    return sound
