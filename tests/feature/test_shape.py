import inspect
import warnings

import librosa
import numpy as np
import pytest

from fastmel import ParameterError, feature

NAMES = ["spectral_centroid", "spectral_bandwidth", "spectral_rolloff", "spectral_flatness"]
OPTIONS = [
    ("spectral_centroid", {}),
    ("spectral_bandwidth", {}),
    ("spectral_bandwidth", {"norm": False}),
    ("spectral_bandwidth", {"p": 1}),
    ("spectral_bandwidth", {"p": 3.5}),
    ("spectral_rolloff", {}),
    ("spectral_rolloff", {"roll_percent": 0.01}),
    ("spectral_rolloff", {"roll_percent": 0.5}),
    ("spectral_flatness", {}),
    ("spectral_flatness", {"power": 1.0, "amin": 1e-3}),
    ("spectral_flatness", {"power": 0.7}),
]


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (feature, librosa.feature))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


def assert_same(name, tolerance, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)  # librosa, of infinity
        ours, theirs = (getattr(m, name)(**kwargs) for m in (feature, librosa.feature))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    atol = 0
    if name == "spectral_bandwidth":  # near zero it is the root of what rounding leaves
        atol = tolerance * theirs[np.isfinite(theirs)].max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=atol)


@pytest.mark.parametrize(("name", "kwargs"), OPTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spectrograms(name, kwargs, dtype, rng):
    S = rng.uniform(0, 1, (2, 257, 30)).astype(dtype) ** 8
    S[:, :, 3] = 0
    S[:, 5:, 4] = 0
    S[:, :, 5] *= 1e-30
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    if name == "spectral_flatness" and dtype == np.float32:
        tolerance = 1e-4  # librosa's mean of logarithms is single: 0.99998 where all are equal
    for x in (S[0], np.asfortranarray(S[0]), S[0, ::2, ::3], S, S[..., :1], S[..., :0]):
        if x.size or name in ("spectral_centroid", "spectral_bandwidth"):
            assert_same(name, tolerance, S=x, **kwargs)


@pytest.mark.parametrize(("name", "kwargs"), OPTIONS)
@pytest.mark.parametrize("framing", [{}, {"n_fft": 512, "window": "hamming", "center": False}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signals(name, kwargs, framing, dtype, music, speech, rng):
    kwargs = kwargs | framing
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    for y in (speech(22050, 0.5, dtype), np.stack([music(dtype=dtype)] * 2)):
        if name == "spectral_flatness":  # logarithms would show the rounding of an FFT in silence
            y = y + (0.01 * rng.standard_normal(y.shape)).astype(dtype)
        assert_same(name, tolerance, y=y, **kwargs)


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("n_fft", [512, 513, None, 2048])
def test_n_fft_is_inferred_as_by_librosa(name, n_fft, rng):
    assert_same(name, 1e-12, S=rng.uniform(0, 1, (257, 7)), sr=16000, n_fft=n_fft)


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
@pytest.mark.parametrize("shape", [(33,), (33, 12), (33, 1), (2, 33, 12)])
def test_frequencies(name, dtype, shape, rng):
    S = rng.uniform(0, 1, (2, 33, 12))
    assert_same(name, 1e-6, S=S, freq=rng.uniform(-100, 8000, shape).astype(dtype))


def test_rolloff_with_frequencies_that_are_not_known(rng):
    freq = rng.uniform(0, 1, (33, 12))
    freq[5:20] = np.nan
    assert_same("spectral_rolloff", 0, S=rng.uniform(0, 1, (33, 12)), freq=freq, roll_percent=0.4)


def test_bandwidth_about_given_centres(rng):
    S = rng.uniform(0, 1, (2, 33, 12))
    for centroid in (np.full((1, 12), 3e3), rng.uniform(0, 8e3, (2, 1, 12)), np.full((1, 1), 5.0)):
        if centroid.shape != (1, 1):
            assert_same("spectral_bandwidth", 1e-12, S=S, centroid=centroid)
        assert_same("spectral_bandwidth", 1e-12, S=S, centroid=centroid, freq=np.ones((33, 12)))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite(odd):
    S = np.ones((33, 5))
    S[3, 2] = odd
    for name in ("spectral_centroid", "spectral_bandwidth"):
        with pytest.raises(ParameterError, match="finite"):
            getattr(feature, name)(S=S)
    assert_same("spectral_flatness", 1e-12, S=S)
    assert_same("spectral_bandwidth", 1e-12, S=S, norm=False, centroid=np.full((1, 5), 1e3))


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_flatness_of_other_floating_types_has_librosas_type(dtype, rng):
    S = rng.uniform(1, 2, (2, 33, 5)).astype(dtype)
    for x in (S, np.asfortranarray(S)):
        ours, theirs = (m.spectral_flatness(S=x) for m in (feature, librosa.feature))
        np.testing.assert_allclose(ours, theirs, rtol=4e-3, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_are_magnitudes_too(name, rng):
    S = rng.integers(0, 9, (33, 5))
    S[:, 1] = 0
    S[:, 2] = [0] * 32 + [7]  # all of a frame in one bin: what librosa's whole shares leave
    for dtype in (int, np.int16, np.uint8):
        assert_same(name, 1e-12, S=S.astype(dtype))
    if name == "spectral_bandwidth":
        assert_same(name, 1e-12, S=S, norm=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("S", [np.ones(33), np.float64(1)])
def test_what_is_no_spectrogram_is_told(name, S):
    with pytest.raises(ParameterError, match=r"S\.shape"):
        getattr(feature, name)(S=S)


Y = np.ones(1000, np.float32)
S = np.ones((33, 5))
BAD_CALLS = [
    ({}, ParameterError),
    ({"y": Y, "n_fft": None}, ParameterError),
    ({"y": Y.astype(int)}, ParameterError),
    ({"y": Y * np.nan, "n_fft": 64}, ParameterError),
    ({"y": Y, "n_fft": 64, "hop_length": 0}, ParameterError),
    ({"y": Y, "n_fft": 64, "window": "nonsense"}, ValueError),
    ({"y": Y, "center": False}, ParameterError),
    ({"S": S.astype(complex)}, ParameterError),
    ({"S": -S}, ParameterError),
    ({"S": S, "nonsense": 1}, TypeError),
]
BAD_OPTIONS = [
    *((name, kwargs, error) for name in NAMES for kwargs, error in BAD_CALLS),
    ("spectral_rolloff", {"S": S, "roll_percent": 0}, ParameterError),
    ("spectral_rolloff", {"S": S, "roll_percent": 1.0}, ParameterError),
    ("spectral_flatness", {"S": S, "amin": 0}, ParameterError),
    ("spectral_flatness", {"S": S, "amin": -1}, ParameterError),
    ("spectral_centroid", {"S": S, "freq": np.ones(32)}, ValueError),
    ("spectral_rolloff", {"S": S, "freq": np.ones(32)}, ValueError),
    ("spectral_bandwidth", {"S": S, "freq": np.ones((32, 5))}, ValueError),
    ("spectral_bandwidth", {"S": S, "centroid": np.ones((1, 4))}, ValueError),
]


@pytest.mark.parametrize(("name", "kwargs", "error"), BAD_OPTIONS)
def test_bad_calls_fail_as_librosas(name, kwargs, error):
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(error):
        getattr(feature, name)(**kwargs)
    with pytest.raises(theirs):
        getattr(librosa.feature, name)(**kwargs)
