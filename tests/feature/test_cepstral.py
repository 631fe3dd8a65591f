import inspect
import warnings

import librosa
import numpy as np
import pytest

from fastmel import ParameterError
from fastmel.feature import mfcc

OPTIONS = [
    {},
    {"n_mfcc": 13},
    {"n_mfcc": 200},
    {"n_mfcc": -3},
    {"dct_type": 3},
    {"dct_type": 4},
    {"dct_type": 1, "norm": None},
    {"dct_type": 2, "norm": None, "n_mfcc": 40},
    {"dct_type": 3, "norm": "forward"},
    {"lifter": 22},
    {"lifter": 0.5, "n_mfcc": 7},
]


def assert_close(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    tolerance = 2e-6 if ours.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(initial=0))


def test_signature_is_librosas():
    ours, theirs = (inspect.signature(f) for f in (mfcc, librosa.feature.mfcc))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("kwargs", OPTIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.complex64])
def test_levels_give_librosas_values(kwargs, dtype, rng):
    S = rng.uniform(-80, 0, (64, 30)).astype(dtype)
    if kwargs.get("n_mfcc", 20) > 64:
        kwargs = {k: v for k, v in kwargs.items() if k != "lifter"}
    stack = np.stack([S, S[:, ::-1]])
    for x in (S, np.asfortranarray(S), S[:, ::3], S[:, :0], stack):
        assert_close(mfcc(S=x, **kwargs), librosa.feature.mfcc(S=x, **kwargs))


@pytest.mark.parametrize("kwargs", OPTIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_signal_gives_librosas_values(kwargs, dtype, music):
    kwargs = {"y": music(22050, 0.6, dtype), "n_fft": 1024, "hop_length": 256} | kwargs
    ours, theirs = mfcc(**kwargs), librosa.feature.mfcc(**kwargs)
    assert ours.dtype == theirs.dtype
    # a float32 spectrum in decibels is good to a few thousandths (see the conformance tests)
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=scale * (2e-5 if dtype == np.float32 else 1e-11))


@pytest.mark.parametrize("mel_norm", ["slaney", None, 1.0, np.inf])
def test_the_banks_norm_and_sizes_are_passed_on(mel_norm, speech):
    kwargs = {"y": speech(16000, 0.4, np.float64), "sr": 16000, "n_fft": 400, "hop_length": 160}
    kwargs |= {"mel_norm": mel_norm, "n_mels": 40, "fmin": 20, "htk": True}
    assert_close(mfcc(**kwargs), librosa.feature.mfcc(**kwargs))


def test_each_channel_has_its_own_peak(music, librosa_1):
    quiet_and_loud = np.stack([1e-4 * music(dtype=np.float64), music(dtype=np.float64)])
    ours = mfcc(y=quiet_and_loud)
    for channel in (0, 1):
        np.testing.assert_allclose(ours[channel], mfcc(y=quiet_and_loud[channel]), atol=1e-10)
    same = np.allclose(ours, librosa.feature.mfcc(y=quiet_and_loud), atol=1e-8)
    assert same == librosa_1  # 0.11 measures both from the louder channel's peak


@pytest.mark.parametrize("S", [np.float32(1), np.ones(5)])
def test_what_is_no_spectrogram_is_told(S):
    with pytest.raises(ParameterError, match=r"S\.shape"):
        mfcc(S=S)


def test_a_signal_shorter_than_a_frame_is_told_at_the_callers_line():
    with pytest.warns(UserWarning, match="n_fft=64 is too large for input signal") as caught:
        mfcc(y=np.zeros(20), n_fft=64, n_mels=4, n_mfcc=2)
    assert [w.filename for w in caught] == [__file__]


Y = np.zeros(1000, np.float32)
S = np.ones((16, 5), np.float32)
BAD_CALLS = [
    ({}, ParameterError),
    ({"y": Y.astype(int)}, ParameterError),
    ({"y": Y * np.nan}, ParameterError),
    ({"y": Y, "norm": "nonsense"}, ValueError),
    ({"y": Y, "mel_norm": "nonsense"}, ParameterError),
    ({"y": Y, "nonsense": 1}, TypeError),
    ({"S": S, "lifter": -1}, ParameterError),
    ({"S": S, "lifter": np.nan}, ParameterError),
    ({"S": S, "lifter": 5, "n_mfcc": 17}, ValueError),
    ({"S": S, "dct_type": 5}, ValueError),
    ({"S": S, "dct_type": 0}, ValueError),
    ({"S": S, "dct_type": 1, "norm": "nonsense"}, ValueError),
    ({"S": S, "n_mfcc": 2.5}, TypeError),
]


@pytest.mark.parametrize(("kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(kwargs, error):
    theirs = librosa.ParameterError if error is ParameterError else error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(error):
            mfcc(**kwargs)
        with pytest.raises(theirs):
            librosa.feature.mfcc(**kwargs)
