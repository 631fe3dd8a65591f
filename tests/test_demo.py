"""The demo clip: the same everywhere, within range, and with the sounds that it promises."""

import numpy as np
import pytest

from fastmel.demo import DURATION, clip


def energy(y, sr, seconds, band):
    """Energy of the samples between two times in a band of frequencies."""
    start, stop = (round(t * sr) for t in seconds)
    spectrum = np.abs(np.fft.rfft(y[start:stop] * np.hanning(stop - start))) ** 2
    hz = np.fft.rfftfreq(stop - start, 1 / sr)
    return spectrum[(hz >= band[0]) & (hz < band[1])].sum()


@pytest.mark.parametrize("sr", [8000, 22050])
def test_shape_dtype_and_range(sr):
    y = clip(sr)
    assert y.shape == (DURATION * sr,)
    assert y.dtype == np.float32
    assert np.abs(y).max() == np.float32(0.9)


def test_two_clips_are_the_same():
    np.testing.assert_array_equal(clip(8000), clip(8000))


def test_begins_in_silence_and_ends_softly():
    y = clip(8000)
    assert not y[:790].any()
    assert np.abs(y[-80:]).max() < 0.1


@pytest.mark.parametrize(("start", "pitch"), [(0.1, 220.0), (0.6, 277.18), (1.1, 329.63)])
def test_notes_begin_when_and_where_they_should(start, pitch):
    y = clip()
    band = (pitch - 20, pitch + 20)
    before = energy(y, 22050, (start - 0.1, start), band)
    after = energy(y, 22050, (start, start + 0.3), band)
    assert after > 20 * before


def test_formants_move():
    y = clip()
    second_formant_of_ee, second_formant_of_ah = (2000, 2600), (1000, 1300)
    ee = [
        energy(y, 22050, (3.4, 3.7), band) for band in (second_formant_of_ee, second_formant_of_ah)
    ]
    ah = [
        energy(y, 22050, (5.4, 5.8), band) for band in (second_formant_of_ee, second_formant_of_ah)
    ]
    assert ee[0] / ee[1] > 10 * ah[0] / ah[1]
