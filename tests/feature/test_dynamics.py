import inspect

import librosa
import numpy as np
import pytest

from fastmel import ParameterError, feature

FEATURES = (feature, librosa.feature)


@pytest.mark.parametrize("name", ["delta", "stack_memory"])
def test_signatures_are_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (feature, librosa.feature))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"width": 3},
        {"width": 5, "order": 2},
        {"order": 1, "polyorder": 3},
        {"mode": "nearest", "width": 41},
        {"mode": "mirror"},
        {"mode": "constant", "cval": 2.0},
        {"mode": "wrap", "axis": 0},
        {"axis": -2, "width": 7},
        {"deriv": 3, "delta": 0.5},
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_delta_gives_librosas_values(kwargs, dtype, rng):
    for shape in ((12, 30), (2, 12, 30)):
        data = (100 * rng.standard_normal(shape)).astype(dtype)
        ours, theirs = feature.delta(data, **kwargs), librosa.feature.delta(data, **kwargs)
        if data.dtype.kind == "f" and not kwargs.keys() & {"mode", "axis", "deriv"}:
            assert_near(ours, theirs)
        else:
            np.testing.assert_array_equal(ours, theirs, strict=True)


def assert_near(ours, theirs):
    """Assert equality but for the order of sums."""
    scale = np.abs(theirs).max() * np.finfo(theirs.dtype).eps
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=100 * scale, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("width", [5, 9, 11])
def test_delta_of_any_length_gives_librosas_values(width, order, dtype, rng):
    for n_frames in (width, width + 1, 2 * width - 1, 100):
        data = rng.standard_normal((3, n_frames)).astype(dtype)
        for x in (data, np.asfortranarray(data), data[::-1, ::-1], data[0]):
            before = x.copy()
            ours, theirs = (lib.delta(x, width=width, order=order) for lib in FEATURES)
            assert_near(ours, theirs)
            np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_delta_refuses_ends_that_are_not_finite_as_librosa_does(odd):
    for place in (3, -9):
        data = np.ones((2, 40))
        data[1, place] = odd
        for library in FEATURES:
            with pytest.raises(ValueError, match="infs or NaNs"):
                library.delta(data)
    data = np.ones((2, 40))
    data[1, 20] = np.nan
    ours, theirs = (library.delta(data) for library in FEATURES)
    np.testing.assert_allclose(ours, theirs, atol=1e-15)


@pytest.mark.parametrize("n_steps", [1, 2, 5])
@pytest.mark.parametrize("delay", [1, 3, 40, -1, -3, -40])
@pytest.mark.parametrize(
    "padding", [{}, {"mode": "edge"}, {"mode": "wrap"}, {"constant_values": 7}], ids=repr
)
def test_stack_memory_gives_librosas_values(n_steps, delay, padding, rng):
    data = rng.standard_normal((4, 30))
    every = (
        data,
        data[0],
        data.astype(np.float32).T,
        np.asfortranarray(data),
        data[None].repeat(3, 0),
    )
    for x in (*every, (9 * data).astype(int), data[:, :1]):
        kwargs = {"n_steps": n_steps, "delay": delay} | padding
        ours, theirs = (m.stack_memory(x, **kwargs) for m in (feature, librosa.feature))
        np.testing.assert_array_equal(ours, theirs, strict=True)
        assert ours.strides == theirs.strides


DATA = np.ones((4, 12))
BAD_CALLS = [
    ("delta", {"width": 13}, ParameterError),
    ("delta", {"width": 4}, ParameterError),
    ("delta", {"width": 1}, ParameterError),
    ("delta", {"width": -3}, ParameterError),
    ("delta", {"order": 0}, ParameterError),
    ("delta", {"order": -1}, ParameterError),
    ("delta", {"order": 1.5}, ParameterError),
    ("delta", {"order": 9}, ValueError),
    ("delta", {"mode": "nonsense"}, ValueError),
    ("delta", {"nonsense": 1}, TypeError),
    ("delta", {"axis": 2}, IndexError),
    ("stack_memory", {"n_steps": 0}, ParameterError),
    ("stack_memory", {"n_steps": -2}, ParameterError),
    ("stack_memory", {"delay": 0}, ParameterError),
    ("stack_memory", {"mode": "nonsense"}, ValueError),
    ("stack_memory", {"nonsense": 1}, ValueError),
]


@pytest.mark.parametrize(("name", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(name, kwargs, error):
    with pytest.raises(error):
        getattr(feature, name)(DATA, **kwargs)
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        getattr(librosa.feature, name)(DATA, **kwargs)


def test_no_frames_cannot_be_stacked():
    for module, error in ((feature, ParameterError), (librosa.feature, librosa.ParameterError)):
        with pytest.raises(error):
            module.stack_memory(DATA[:, :0])
