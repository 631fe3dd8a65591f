import inspect
import warnings

import librosa
import numpy as np
import pytest

from fastmel import ParameterError
from fastmel.feature import melspectrogram

CONFIGURATIONS = [
    {},
    {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80},
    {"sr": 16000, "n_fft": 512, "hop_length": 160, "win_length": 400, "n_mels": 40, "htk": True},
    {"n_fft": 1024, "hop_length": 256, "fmin": 50, "fmax": 8000, "norm": None},
    {"n_fft": 1023, "hop_length": 300, "window": "hamming", "power": 1.0},
    {"n_fft": 1000, "hop_length": 1500, "power": 1.5, "norm": 2},
    {"n_fft": 64, "hop_length": None, "n_mels": 8, "center": False},
    {"n_fft": 256, "window": ("kaiser", 6.0), "n_mels": 20.0, "pad_mode": "reflect"},
    {"n_fft": 256, "window": np.hanning(256), "n_mels": 20, "pad_mode": "edge"},
    {"n_fft": 256, "window": np.bartlett, "n_mels": 20, "pad_mode": "symmetric"},
    {"n_fft": 256, "n_mels": 20, "pad_mode": "linear_ramp", "norm": np.inf},
    {"n_fft": 256, "n_mels": 20, "dtype": np.float64},
    {"n_fft": 256, "n_mels": 20, "dtype": np.float32},
]


def both(**kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return melspectrogram(**kwargs), librosa.feature.melspectrogram(**kwargs)


def assert_close(ours, theirs, of_peak, of_value, power=2):
    """Compare relative to each frame's largest value, and to each value within 60 dB of it."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if not theirs.size:
        return
    peak = theirs.max(axis=-2, keepdims=True)
    error = np.abs(ours - theirs)
    assert (error <= of_peak * peak).all()
    assert (error <= of_value * theirs)[theirs >= 10 ** (-3 * power) * peak].all()


def test_signature_is_librosas():
    ours, theirs = (inspect.signature(f) for f in (melspectrogram, librosa.feature.melspectrogram))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


# from a signal


@pytest.mark.parametrize("kwargs", CONFIGURATIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_signal_gives_librosas_values(kwargs, dtype, music, speech):
    for y in (music(22050, 0.6, dtype), speech(16000, 0.3, dtype)):
        ours, theirs = both(y=y, **kwargs)
        tolerances = (5e-6, 1e-4) if dtype == np.float32 else (1e-12, 1e-10)
        assert_close(ours, theirs, *tolerances, kwargs.get("power", 2))
        assert ours.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_samples", [0, 1, 63, 64, 65, 79, 80, 81, 127, 128, 200])
@pytest.mark.parametrize("center", [True, False])
def test_signals_of_every_length_give_librosas_values(n_samples, center, dtype, rng):
    y = rng.standard_normal(n_samples).astype(dtype)
    kwargs = {"y": y, "sr": 8000, "n_fft": 64, "hop_length": 16, "n_mels": 10, "center": center}
    if n_samples < 64 and not center:
        with pytest.raises(ParameterError, match="n_fft=64 is too large"):
            melspectrogram(**kwargs)
        return
    ours, theirs = both(**kwargs)
    assert_close(ours, theirs, *((5e-6, 1e-4) if dtype == np.float32 else (1e-12, 1e-10)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channels_are_computed_as_if_alone(dtype, rng):
    y = rng.standard_normal((2, 3, 3000)).astype(dtype)
    M = melspectrogram(y=y, n_fft=512, hop_length=128, n_mels=40)
    assert M.shape == (2, 3, 40, 24)
    for channel in np.ndindex(2, 3):
        alone = melspectrogram(y=y[channel], n_fft=512, hop_length=128, n_mels=40)
        np.testing.assert_array_equal(M[channel], alone, strict=True)


def test_any_memory_order_gives_the_same(rng):
    y = rng.standard_normal((3000, 4)).astype(np.float32)
    for view in (y.T, y[::2, 1], y[::-1, 0]):
        same = melspectrogram(y=np.ascontiguousarray(view), n_fft=512, n_mels=40)
        np.testing.assert_array_equal(melspectrogram(y=view, n_fft=512, n_mels=40), same)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
def test_other_floating_types_are_taken(dtype, rng):
    y = rng.standard_normal(3000).astype(dtype)
    assert_close(*both(y=y, n_fft=512, n_mels=40), 5e-6, 1e-4)


def test_silence_gives_zeros():
    assert not melspectrogram(y=np.zeros(5000, np.float32)).any()


def test_padding_by_a_function(rng):
    def halves(vector, width, axis, kwargs):
        vector[: width[0]] = 0.5
        vector[len(vector) - width[1] :] = 0.5

    y = rng.standard_normal(3000)
    assert_close(*both(y=y, n_fft=512, n_mels=40, pad_mode=halves), 1e-6, 1e-6)


def test_a_signal_shorter_than_a_frame_is_told_at_the_callers_line():
    with pytest.warns(UserWarning, match="n_fft=64 is too large for input signal") as caught:
        melspectrogram(y=np.zeros(20), n_fft=64, n_mels=4)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 100, 460, 499])
@pytest.mark.parametrize("framing", [{}, {"center": False}, {"hop_length": 200, "center": False}])
def test_a_bad_sample_is_found_wherever_it_is(dtype, bad, place, framing):
    y = np.zeros(500, dtype)
    y[place] = bad
    with pytest.raises(ParameterError, match="finite"):
        melspectrogram(y=y, n_fft=64, n_mels=4, **framing)


# from a spectrogram


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.complex64])
@pytest.mark.parametrize("kwargs", [{}, {"n_mels": 13, "norm": None}, {"dtype": np.float64}])
def test_a_spectrogram_gives_librosas_values(dtype, kwargs, rng):
    S = rng.uniform(0, 100, (257, 40)).astype(dtype)
    stack = np.stack([S, 2 * S, S[:, ::-1]])
    for x in (S, np.asfortranarray(S), S[:, ::3], S[:, :0], stack, stack.swapaxes(0, 2)[:257].T):
        kwargs = {"sr": 16000, "n_mels": 40} | kwargs
        ours, theirs = both(S=x, **kwargs)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.flags.c_contiguous
        peak = np.abs(theirs).max(initial=0)
        tolerance = 1e-6 if theirs.dtype in (np.float32, np.complex64) else 1e-13
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * peak)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's of 0 * inf
@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize("k", [0, 20, 256])
def test_what_is_not_finite_shows_in_all_bands_of_its_frame_as_in_librosa(k, odd, rng):
    S = rng.uniform(0, 100, (2, 257, 9))
    clean = melspectrogram(S=S, n_mels=40)
    S[1, k, 4] = odd
    ours, theirs = both(S=S, n_mels=40)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert np.isnan(ours[1, :, 4]).any()
    clean[1, :, 4] = ours[1, :, 4]
    np.testing.assert_array_equal(ours, clean)


@pytest.mark.parametrize(
    ("n_bins", "n_fft"), [(1025, 2048), (1025, 2049), (513, 2048), (257, None), (2, 2048), (3, 5)]
)
def test_n_fft_is_inferred_as_by_librosa(n_bins, n_fft, rng):
    ours, theirs = both(S=rng.uniform(0, 1, (n_bins, 7)), sr=16000, n_fft=n_fft)
    np.testing.assert_allclose(ours, theirs, atol=1e-13)


def test_a_spectrogram_makes_the_signal_superfluous():
    S = np.ones((33, 4), np.float32)
    with_y = melspectrogram(S=S, y="no signal", n_mels=4, hop_length=-1, window="nonsense")
    np.testing.assert_array_equal(with_y, melspectrogram(S=S, n_mels=4))


def test_empty_filters_are_told():
    with pytest.warns(UserWarning, match="Empty filters"):
        melspectrogram(S=np.ones((33, 4)), n_mels=128)
    with pytest.warns(UserWarning, match="Empty filters") as caught:
        melspectrogram(y=np.zeros(500), n_fft=66, n_mels=128)
    assert [w.filename for w in caught] == [__file__]


# bad calls

Y = np.zeros(1000, np.float32)
BAD_CALLS = [
    ({}, ParameterError),
    ({"sr": 16000}, ParameterError),
    ({"y": [0.0] * 4096}, ParameterError),
    ({"y": Y.astype(np.int16)}, ParameterError),
    ({"y": Y.astype(complex)}, ParameterError),
    ({"y": np.array(1.0)}, ParameterError),
    ({"y": Y * np.nan}, ParameterError),
    ({"y": Y, "n_fft": None}, ParameterError),
    ({"y": Y, "n_fft": 0}, ValueError),
    ({"y": Y, "n_fft": -64}, ValueError),
    ({"y": Y, "hop_length": 0}, ParameterError),
    ({"y": Y, "hop_length": 16.0}, ParameterError),
    ({"y": Y, "win_length": 65}, ParameterError),
    ({"y": Y, "win_length": 0}, ValueError),
    ({"y": Y, "window": "nonsense"}, ValueError),
    ({"y": Y, "window": np.ones(63)}, ParameterError),
    ({"y": Y, "pad_mode": "wrap"}, ParameterError),
    ({"y": Y, "pad_mode": "median"}, ParameterError),
    ({"y": Y, "pad_mode": "nonsense"}, ValueError),
    ({"y": Y[:0], "pad_mode": "reflect"}, ValueError),
    ({"y": Y[:10], "center": False}, ParameterError),
    ({"y": Y, "norm": "nonsense"}, ParameterError),
    ({"y": Y, "norm": -3}, ParameterError),
    ({"y": Y, "n_mels": -4}, ValueError),
    ({"y": Y, "log": "db"}, TypeError),
    ({"y": Y, "nonsense": 1}, TypeError),
    ({"S": np.ones((33, 4)), "nonsense": 1}, TypeError),
    ({"S": np.ones((33, 4)), "norm": "nonsense"}, ParameterError),
    ({"S": np.ones((33, 4)), "n_mels": -4}, ValueError),
    ({"S": np.ones((33, 4)), "sr": 0}, ZeroDivisionError),
]


@pytest.mark.parametrize(("kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(kwargs, error):
    kwargs = {"n_fft": 64, "n_mels": 4} | kwargs
    theirs = librosa.ParameterError if error is ParameterError else error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(error):
            melspectrogram(**kwargs)
        with pytest.raises(theirs):
            librosa.feature.melspectrogram(**kwargs)


@pytest.mark.parametrize("S", [np.ones(33), np.ones((1, 4)), np.ones((0, 4))])
def test_what_is_no_spectrogram_is_told(S):
    with pytest.raises(ParameterError, match=r"S\.shape"):
        melspectrogram(S=S)
