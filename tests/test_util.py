import inspect

import librosa
import numpy as np
import pytest

from fastmel import ParameterError, util


@pytest.mark.parametrize("name", util.__all__)
def test_signature_is_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (util, librosa.util))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("shape", [(0,), (1,), (4, 7), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_audio_is_valid(shape, dtype):
    assert util.valid_audio(np.zeros(shape, dtype)) is True


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([0.0, 1.0], "numpy.ndarray, not list"),
        (None, "numpy.ndarray, not NoneType"),
        (np.zeros(4, np.int16), "floating-point, not int16"),
        (np.zeros(4, complex), "floating-point, not complex128"),
        (np.array(1.0), "at least one-dimensional"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.array([[0.0], [-np.inf]]), "not finite"),
    ],
)
def test_what_is_not_audio_is_told(y, match):
    with pytest.raises(ParameterError, match=match):
        util.valid_audio(y)
    with pytest.raises(librosa.ParameterError):
        librosa.util.valid_audio(y)


@pytest.mark.parametrize("name", ["pad_center", "fix_length"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("kwargs", [{}, {"mode": "edge"}, {"constant_values": 7}])
def test_lengths_equal_librosas(name, axis, kwargs, rng):
    data = rng.standard_normal((5, 6)).astype(np.float32)
    sizes = range(data.shape[axis] if name == "pad_center" else 0, 12)
    for size in sizes:
        ours, theirs = (
            getattr(m, name)(data, size=size, axis=axis, **kwargs) for m in (util, librosa.util)
        )
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_fix_length_copies_only_to_pad():
    data = np.ones(5)
    assert util.fix_length(data, size=5) is data
    assert util.fix_length(data, size=3).base is data


def test_pad_center_refuses_to_cut():
    with pytest.raises(ParameterError, match=r"Target size \(3\) must be at least input size \(5"):
        util.pad_center(np.ones(5), size=3)


@pytest.mark.parametrize("norm", [None, np.inf, -np.inf, 0, 0.5, 1, 2, 3.5])
@pytest.mark.parametrize("axis", [0, -1, None])
@pytest.mark.parametrize("fill", [None, False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int64])
def test_normalize_equals_librosas(norm, axis, fill, dtype, rng):
    if fill and (norm == 0 or dtype == np.int64):
        pytest.skip("librosa has no answer, or NaN cast to an integer")
    S = (10 * rng.standard_normal((6, 4))).astype(dtype)
    S[2] = 0
    S[:, 1] = 0
    for threshold in (None, 1.5):
        kwargs = {"norm": norm, "axis": axis, "threshold": threshold, "fill": fill}
        ours = util.normalize(S, **kwargs)
        with np.errstate(invalid="ignore"):  # librosa divides by NaN on its way
            theirs = librosa.util.normalize(S, **kwargs)
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize(
    "change",
    [
        {"norm": -2},
        {"norm": "slaney"},
        {"norm": True},
        {"norm": 0, "fill": True},
        {"fill": "zeros"},
        {"threshold": 0},
        {"threshold": -1.0},
        {"S": np.array([1.0, np.nan])},
        {"S": np.array([1.0, np.inf])},
    ],
)
def test_normalize_refuses_what_librosas_does(change):
    arguments = {"S": np.ones(3)} | change
    with pytest.raises(ParameterError):
        util.normalize(**arguments)
    with pytest.raises(librosa.ParameterError):
        librosa.util.normalize(**arguments)


# frame


@pytest.mark.parametrize("axis", [-1, -2, -3, 0, 1, 2])
@pytest.mark.parametrize(("frame_length", "hop_length"), [(1, 1), (4, 1), (4, 3), (5, 9), (6, 6)])
def test_frame_equals_librosas(axis, frame_length, hop_length):
    x = np.arange(6 * 7 * 8).reshape(6, 7, 8)
    for y in (x, np.asfortranarray(x), x[:, ::-1]):
        ours, theirs = (
            m.frame(y, frame_length=frame_length, hop_length=hop_length, axis=axis)
            for m in (util, librosa.util)
        )
        np.testing.assert_array_equal(ours, theirs, strict=True)
        assert ours.strides == theirs.strides
        assert np.shares_memory(ours, y)
        assert not ours.flags.writeable


def test_frames_may_be_written_to():
    x = np.zeros(6)
    util.frame(x, frame_length=2, hop_length=2, writeable=True)[0, 1] = 3
    assert x[2] == 3


def test_frame_keeps_a_subclass_if_asked():
    x = np.ma.zeros(6)
    assert type(util.frame(x, frame_length=2, hop_length=2, subok=True)) is np.ma.MaskedArray
    assert type(util.frame(x, frame_length=2, hop_length=2)) is np.ndarray


@pytest.mark.parametrize(
    ("x", "sizes", "error"),
    [
        (np.zeros(6), {"frame_length": 7, "hop_length": 1}, ParameterError),
        (np.zeros(6), {"frame_length": 2, "hop_length": 0}, ParameterError),
        (np.zeros(6), {"frame_length": 2, "hop_length": -1}, ParameterError),
        (np.zeros(6), {"frame_length": 2, "hop_length": 1, "axis": 1}, IndexError),
        ([0.0] * 6, {"frame_length": 2, "hop_length": 1}, ValueError),
        (np.zeros(6), {"frame_length": 2}, TypeError),
    ],
)
def test_frame_fails_as_librosas(x, sizes, error):
    with pytest.raises(error):
        util.frame(x, **sizes)
    with pytest.raises(librosa.ParameterError if error is ParameterError else error):
        librosa.util.frame(x, **sizes)


@pytest.mark.parametrize(
    ("lengths", "hop"),
    [((2048,), 512), ((2048, None), 512), ((2048, 400), 100), ((np.int64(7),), 1), ((1,), 1)],
)
def test_a_hop_is_a_quarter_of_the_window(lengths, hop):
    assert util.default_hop(*lengths) == hop


@pytest.mark.parametrize(
    ("lengths", "name"),
    [((0,), "n_fft"), ((512.0,), "n_fft"), ((None,), "n_fft"), ((512, -4), "win_length")],
)
def test_a_hop_of_nothing_is_refused(lengths, name):
    with pytest.raises(ParameterError, match=f"{name}={lengths[-1]} must be a positive integer"):
        util.default_hop(*lengths)


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_warnings_point_at_the_line_outside(depth):
    source = "def f(depth): return f(depth - 1) if depth else warn('words', FutureWarning)"
    package = {"__name__": "fastmel.feature.of_this_test", "warn": util.warn}
    exec(source, package)
    with pytest.warns(FutureWarning, match="words") as caught:
        package["f"](depth)
    assert [w.filename for w in caught] == [__file__]
