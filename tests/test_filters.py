import inspect
import subprocess
import sys
import warnings

import librosa
import numpy as np
import pytest
import scipy.signal

from fastmel import ParameterError, filters

SIZES = [(22050, 2048), (16000, 400), (16000, 512), (48000, 4096), (8000, 200), (22050.5, 511)]
NORMS = ["slaney", None, 1, 2, np.inf, 3.3, 0.5, -np.inf, 0, np.float32(2)]


def banks(**kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return filters.mel(**kwargs), librosa.filters.mel(**kwargs)


def assert_same_bits(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.flags.c_contiguous
    # the bytes, not the values: they tell 0.0 from -0.0 too
    assert ours.tobytes() == theirs.tobytes()


def test_mel_has_librosas_parameters():
    ours, theirs = (inspect.signature(f).parameters for f in (filters.mel, librosa.filters.mel))
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


def test_mel_takes_positions_as_librosa_did_before_0_10():
    by_position = filters.mel(16000, 512, 40, 20, 7600, True, None, np.float64)
    by_name = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=40, fmin=20, fmax=7600, htk=True, norm=None, dtype=np.float64
    )
    assert_same_bits(by_position, by_name)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("sr", "n_fft"), SIZES)
def test_mel_equals_librosas_to_the_bit(sr, n_fft, dtype, norm):
    for n_mels, fmin, fmax, htk in [
        (128, 0.0, None, False),
        (80, 125.5, 3800, False),
        (40, 20.0, sr, True),
        (1, 0, None, True),
    ]:
        assert_same_bits(
            *banks(
                sr=sr,
                n_fft=n_fft,
                n_mels=n_mels,
                fmin=fmin,
                fmax=fmax,
                htk=htk,
                norm=norm,
                dtype=dtype,
            )
        )


@pytest.mark.parametrize("n_fft", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("n_mels", [0, 1, 5, 1000])
@pytest.mark.parametrize(("fmin", "fmax"), [(0, None), (-100, 4000), (9e3, 2e4)])
def test_odd_banks_equal_librosas_to_the_bit(n_fft, n_mels, fmin, fmax):
    assert_same_bits(*banks(sr=16000, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax))


@pytest.mark.parametrize("norm", ["slaney", None, 2])
def test_a_bank_from_high_to_low_has_librosas_values(norm):
    ours, theirs = banks(sr=16000, n_fft=512, n_mels=40, fmin=4000, fmax=100, norm=norm)
    np.testing.assert_array_equal(ours, theirs, strict=True)
    assert ours.any()


def test_a_bank_of_no_width_is_zeros():
    with pytest.warns(UserWarning, match="Empty filters"):
        assert not filters.mel(sr=16000, n_fft=512, fmin=1000, fmax=1000).any()


def test_each_bank_is_its_callers_own():
    first = filters.mel(sr=8000, n_fft=256, n_mels=20)
    expected = first.copy()
    first[:] = -1
    again = filters.mel(sr=8000, n_fft=256, n_mels=20)
    np.testing.assert_array_equal(again, expected, strict=True)


def test_a_bank_that_was_made_before_excuses_no_argument():
    filters.mel(sr=8000, n_fft=256)
    with pytest.raises(TypeError):
        filters.mel(sr=8000, n_fft="256")
    with pytest.raises(ValueError, match="integer"):
        filters.mel(sr=8000, n_fft=256.0)


def test_a_rate_that_has_no_hash_is_a_rate():
    bank = filters.mel(sr=np.array(8000), n_fft=256)
    np.testing.assert_array_equal(bank, filters.mel(sr=8000, n_fft=256))


@pytest.mark.parametrize(("n_fft", "n_mels"), [(256, 128), (64, 40), (2048, 1000)])
def test_empty_filters_are_told_once_at_the_callers_line(n_fft, n_mels):
    with pytest.warns(UserWarning, match="Empty filters") as caught:
        filters.mel(sr=22050, n_fft=n_fft, n_mels=n_mels)
    assert [w.filename for w in caught] == [__file__]


def test_a_full_bank_does_not_warn():
    filters.mel(sr=22050, n_fft=2048, n_mels=128)


@pytest.mark.parametrize("fftbins", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 16, 25, 400, 551, 2048])
@pytest.mark.parametrize(
    "window", ["hann", "hamming", "blackman", "boxcar", "bohman", ("kaiser", 4.0), 14.0, 3]
)
def test_named_windows_equal_scipys_to_the_bit(window, size, fftbins):
    ours = filters.get_window(window, size, fftbins=fftbins)
    theirs = librosa.filters.get_window(window, size, fftbins=fftbins)
    assert ours.dtype == np.float64
    assert ours.tobytes() == theirs.tobytes()
    assert ours.tobytes() == scipy.signal.get_window(window, size, fftbins).tobytes()


def test_functions_arrays_and_lists_are_windows():
    np.testing.assert_array_equal(filters.get_window(np.ones, 5), np.ones(5))
    samples = np.arange(4, dtype=np.float32)
    assert filters.get_window(samples, 4) is samples
    np.testing.assert_array_equal(filters.get_window([1, 2, 3], 3), [1, 2, 3])


def test_common_windows_do_not_wait_for_scipy():
    code = "import sys; from fastmel.filters import *; get_window('hann', 8); mel(16000, 512)"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'scipy' not in sys.modules"], check=True)


BAD_WINDOWS = [
    ("nonsense", 16, ValueError, "nonsense"),
    ("kaiser", 16, ValueError, "kaiser"),
    ("hann", 0, ValueError, "0"),
    ("hann", -3, ValueError, "-3"),
    ("hann", 8.5, ValueError, r"8\.5"),
    (np.ones(7), 16, ParameterError, "7 != 16"),
    ([1.0, 2.0], 3, ParameterError, "2 != 3"),
    (None, 16, ParameterError, "Invalid window"),
    ({"a": 1}, 16, ParameterError, "Invalid window"),
]


@pytest.mark.parametrize(("window", "size", "error", "match"), BAD_WINDOWS)
def test_bad_windows_fail_as_librosas(window, size, error, match):
    with pytest.raises(error, match=match):
        filters.get_window(window, size)
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        librosa.filters.get_window(window, size)


BAD_BANKS = [
    ({"norm": "nonsense"}, ParameterError),
    ({"norm": -3}, ParameterError),
    ({"n_mels": -5}, ValueError),
    ({"n_mels": "many"}, ValueError),
    ({"sr": 0}, ZeroDivisionError),
    ({"n_fft": 0}, ZeroDivisionError),
    ({"n_fft": "2048"}, TypeError),
    ({"dtype": np.int32}, TypeError),
    ({"dtype": "nonsense"}, TypeError),
]


@pytest.mark.parametrize(("change", "error"), BAD_BANKS)
def test_bad_banks_fail_as_librosas(change, error):
    arguments = {"sr": 16000, "n_fft": 512, "n_mels": 40} | change
    with pytest.raises(error):
        filters.mel(**arguments)
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        librosa.filters.mel(**arguments)


# window_sumsquare


def test_window_sumsquare_has_librosas_signature():
    ours, theirs = (inspect.signature(m.window_sumsquare) for m in (filters, librosa.filters))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", [None, 1, 2, np.inf])
@pytest.mark.parametrize(
    "sizes",
    [
        {"n_frames": 20},
        {"n_frames": 1},
        {"n_frames": 9, "hop_length": 100, "win_length": 300, "n_fft": 401},
        {"n_frames": 9, "hop_length": 500, "n_fft": 400},
        {"n_frames": 0, "hop_length": 100, "n_fft": 400},
    ],
)
@pytest.mark.parametrize("window", ["hann", ("kaiser", 4.0), np.bartlett])
def test_window_sumsquare_equals_librosas(window, sizes, norm, dtype):
    ours, theirs = (
        m.window_sumsquare(window=window, norm=norm, dtype=dtype, **sizes)
        for m in (filters, librosa.filters)
    )
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("kwargs", [{"win_length": 65}, {"window": None}, {"norm": -1}])
def test_window_sumsquare_fails_as_librosas(kwargs):
    kwargs = {"window": "hann", "n_frames": 3, "n_fft": 64} | kwargs
    with pytest.raises(ParameterError):
        filters.window_sumsquare(**kwargs)
    with pytest.raises(librosa.ParameterError):
        librosa.filters.window_sumsquare(**kwargs)
