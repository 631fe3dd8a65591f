import numpy as np
import pytest

import fastmel
from fastmel.engines.plan import Bands, LogScale, Segments, mel_plan

BANKS = {
    "default": {},
    "whisper": {"sr": 16000, "n_fft": 400, "n_mels": 80},
    "htk": {"sr": 16000, "n_fft": 512, "n_mels": 80, "htk": True, "norm": None, "fmin": 20},
    "narrow": {"sr": 8000, "n_fft": 256, "n_mels": 200},
    "few": {"sr": 16000, "n_fft": 64, "n_mels": 1},
    "low": {"sr": 22050, "n_fft": 2048, "n_mels": 40, "fmin": 3000, "fmax": 3100},
    "beyond": {"sr": 8000, "n_fft": 512, "n_mels": 30, "fmax": 8000},
    "norm": {"sr": 22050, "n_fft": 1024, "n_mels": 64, "norm": np.inf},
}


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("name", BANKS)
def test_bands_and_segments_are_the_bank(name):
    basis = fastmel.filters.mel(**{"sr": 22050, "n_fft": 2048, **BANKS[name]})

    bands = Bands.of(basis)
    from_bands = np.zeros_like(basis)
    position = 0
    for m, (first, n) in enumerate(bands.spans):
        from_bands[m, first : first + n] = bands.weights[position : position + n]
        position += n
    np.testing.assert_array_equal(from_bands, basis)

    segments = Segments.of(basis)
    from_segments = np.zeros_like(basis)
    n_mels = len(basis)
    assert segments.first[0] == 0
    assert segments.first[-1] == basis.shape[1]
    for s in range(n_mels + 1):
        bins = slice(segments.first[s], segments.first[s + 1])
        if s > 0:
            from_segments[s - 1, bins] += segments.weights[bins, 0]
        if s < n_mels:
            from_segments[s, bins] += segments.weights[bins, 1]
    np.testing.assert_array_equal(from_segments, basis)


@pytest.mark.parametrize(
    "basis",
    [
        np.ones((3, 5)),  # three bands in one bin
        np.eye(4)[::-1],  # bands in falling order
        np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]),  # back to the first
    ],
)
def test_banks_that_are_no_triangles_have_no_segments(basis):
    assert Segments.of(basis.astype(np.float32)) is None


def test_log_scale_of_silence():
    assert LogScale(1e-10, 10, 0).floor == -100
    assert mel_plan(fastmel.MelConfig(log="db")).log == LogScale(1e-10, 10, 0)
    assert mel_plan(fastmel.MelConfig(log="db", power=1)).log.factor == 20
    assert mel_plan(fastmel.MelConfig(log="db", ref=0.1)).log.offset == pytest.approx(10)
    assert mel_plan(fastmel.MelConfig(log="ln")).log.factor == np.log(10)
