import inspect

import librosa
import numpy as np
import pytest

from fastmel import ParameterError, feature


@pytest.mark.parametrize("name", ["rms", "zero_crossing_rate"])
def test_signatures_are_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (feature, librosa.feature))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


def assert_same(name, tolerance, *arguments, atol=0, **kwargs):
    ours, theirs = (getattr(m, name)(*arguments, **kwargs) for m in (feature, librosa.feature))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=atol)


FRAMINGS = [
    {},
    {"frame_length": 400, "hop_length": 160},
    {"frame_length": 401, "hop_length": 100, "center": False},
    {"frame_length": 64, "hop_length": 200},
    {"frame_length": 1, "hop_length": 1},
    {"frame_length": 7, "hop_length": 3},
]


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rms_of_signals(framing, dtype, rng):
    y = (0.1 * rng.standard_normal((2, 3000))).astype(dtype)
    for x in (y[0], y, y[:, ::-2], y.T[:3000].T, y[None], y[:0]):
        assert_same("rms", 1e-6, y=x, **framing)
    assert_same("rms", 1e-3, y=y, dtype=np.float16, atol=1e-3, **framing)
    tolerance = 1e-13 if dtype == np.float64 else 1e-6
    assert_same("rms", tolerance, y=y, dtype=np.float64, **framing)


@pytest.mark.parametrize("pad_mode", ["constant", "edge", "reflect", "wrap", "mean"])
def test_rms_pads_as_numpy(pad_mode, rng):
    y = 1 + rng.standard_normal(1000)
    assert_same("rms", 1e-13, y=y, frame_length=301, pad_mode=pad_mode, dtype=np.float64)


@pytest.mark.parametrize("n_samples", range(1, 9))
@pytest.mark.parametrize("frame_length", [4, 5])
def test_rms_of_a_few_samples(n_samples, frame_length, rng):
    y = rng.standard_normal(n_samples)
    if n_samples + 2 * (frame_length // 2) >= frame_length:
        assert_same("rms", 1e-6, y=y, frame_length=frame_length, hop_length=2)


# librosa 1.0 gives a ufunc memory as it was found, which NumPy casts before it is written to
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("frame_length", [512, 513, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.complex64, np.complex128])
def test_rms_of_spectrograms(frame_length, dtype, rng):
    S = (100 * rng.uniform(0, 1, (2, frame_length // 2 + 1, 20))).astype(dtype)
    if np.iscomplexobj(S):
        S *= np.exp(2j * np.pi * rng.uniform(0, 1, S.shape)).astype(dtype)
    for x in (S[0], np.asfortranarray(S[0]), S, S[..., ::3], S[..., :0]):
        assert_same("rms", 2e-6, S=x, frame_length=frame_length)
        tolerance = 1e-13 if dtype in (np.float64, np.int16, np.complex128) else 2e-6
        assert_same("rms", tolerance, S=x, frame_length=frame_length, dtype=np.float64)


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"zero_pos": False},
        {"pad": True},
        {"threshold": 0.5},
        {"threshold": 0, "zero_pos": False},
        {"ref_magnitude": 3.0, "threshold": 0.1},
        {"ref_magnitude": np.max, "threshold": 0.1, "pad": 2},
        {"ref_magnitude": np.median, "threshold": 0.5},
        {"axis": 0},
    ],
    ids=repr,
)
def test_zero_crossing_rate(framing, dtype, kwargs, rng):
    y = rng.integers(-3, 4, (2, 1500)).astype(dtype) / 2
    y[:, 100:200] *= -0.0
    for x in (y[0], y, y[:, ::-2]):
        assert_same("zero_crossing_rate", 1e-15, x, **framing, **kwargs)


Y = np.ones(1000, np.float32)
S = np.ones((33, 5))
BAD_CALLS = [
    ("rms", (), {}, ParameterError),
    ("rms", (Y,), {}, TypeError),
    ("rms", (), {"y": Y.astype(int)}, ParameterError),
    ("rms", (), {"y": Y * np.nan}, ParameterError),
    ("rms", (), {"y": list(Y)}, ParameterError),
    ("rms", (), {"y": Y, "hop_length": 0}, ParameterError),
    ("rms", (), {"y": Y, "hop_length": -1}, ParameterError),
    ("rms", (), {"y": Y, "center": False}, ParameterError),
    ("rms", (), {"y": Y, "pad_mode": "nonsense"}, ValueError),
    ("rms", (), {"y": Y, "dtype": np.int16}, TypeError),
    ("rms", (), {"y": Y, "dtype": "nonsense"}, TypeError),
    ("rms", (), {"S": S}, ParameterError),
    ("rms", (), {"S": S, "frame_length": 66}, ParameterError),
    ("rms", (), {"S": S, "frame_length": 64, "dtype": np.int16}, TypeError),
    ("zero_crossing_rate", (), {}, TypeError),
    ("zero_crossing_rate", (Y.astype(int),), {}, ParameterError),
    ("zero_crossing_rate", (Y * np.inf,), {}, ParameterError),
    ("zero_crossing_rate", (Y,), {"hop_length": 0}, ParameterError),
    ("zero_crossing_rate", (Y,), {"center": False}, ParameterError),
    ("zero_crossing_rate", (Y,), {"nonsense": 1}, TypeError),
]


@pytest.mark.parametrize(("name", "arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(name, arguments, kwargs, error, librosa_1):
    with pytest.raises(error):
        getattr(feature, name)(*arguments, **kwargs)
    y = kwargs.get("y", Y)
    if name == "rms" and not librosa_1 and (isinstance(y, list) or y.dtype == int or y[0] != y[0]):
        return  # 0.11 takes the root mean square of anything
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        getattr(librosa.feature, name)(*arguments, **kwargs)


def test_a_threshold_for_each_frame_is_refused():
    with pytest.raises(ParameterError, match=r"shape \(2,\); give one number"):
        feature.zero_crossing_rate(Y, ref_magnitude=lambda magnitudes: magnitudes.max(axis=-2))


@pytest.mark.parametrize("frame_length", [0, -1])
def test_a_frame_has_samples(frame_length):
    for call in (lambda **o: feature.rms(y=Y, **o), lambda **o: feature.zero_crossing_rate(Y, **o)):
        with pytest.raises(ParameterError, match="must be at least 1"):
            call(frame_length=frame_length, center=False)


def test_an_unknown_keyword_is_named_as_the_callers():
    with pytest.raises(TypeError, match=r"^zero_crossing_rate\(\) got .* 'foo'; use threshold"):
        feature.zero_crossing_rate(np.ones(4096), foo=1)
