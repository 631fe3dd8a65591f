import inspect

import librosa
import numpy as np
import pytest

from fastmel import weighting

CURVES = ["A_weighting", "B_weighting", "C_weighting", "D_weighting"]


@pytest.mark.parametrize("name", weighting.__all__)
def test_signature_is_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (weighting, librosa))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("min_db", [-80.0, -20, None])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("name", [*CURVES, "Z_weighting"])
def test_arrays_equal_librosas(name, dtype, min_db):
    hz = np.geomspace(1, 24000, 500).astype(dtype)
    for x in (hz, hz[::-3], list(hz), hz[:0]):
        ours, theirs = (getattr(m, name)(x, min_db=min_db) for m in (weighting, librosa))
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("value", [0.5, 1000, np.float32(50), [[20, 30], [40, 50]]])
@pytest.mark.parametrize("name", CURVES)
def test_other_shapes_equal_librosas(name, value):
    ours, theirs = (getattr(m, name)(value) for m in (weighting, librosa))
    np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("name", CURVES)
def test_nothing_is_heard_of_0_hz(name):
    assert getattr(weighting, name)(0) == -80
    with pytest.warns(UserWarning, match=f"{name[0]}-weighting returned non-finite") as caught:
        assert getattr(weighting, name)([0, 1000], min_db=None)[0] == -np.inf
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("kind", ["A", "b", "C", "d", "Z", None])
def test_curves_by_letter(kind):
    hz = np.linspace(1, 8000, 40)
    ours, theirs = (m.frequency_weighting(hz, kind=kind) for m in (weighting, librosa))
    np.testing.assert_array_equal(ours, theirs, strict=True)


def test_several_curves():
    hz = np.linspace(1, 8000, 40)
    for kwargs in ({}, {"kinds": "AB"}, {"kinds": ["c", "Z"], "min_db": -10}):
        ours, theirs = (m.multi_frequency_weighting(hz, **kwargs) for m in (weighting, librosa))
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kwargs", [{}, {"kind": "D"}, {"ref": np.max}, {"top_db": None}])
def test_spectrograms_equal_librosas(kwargs, dtype, rng):
    S, hz = (10 ** rng.uniform(-9, 3, (20, 30))).astype(dtype), np.linspace(20, 8000, 20)
    for x in (S, np.asfortranarray(S)):
        ours, theirs = (m.perceptual_weighting(x, hz, **kwargs) for m in (weighting, librosa))
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "kwargs", "error"),
    [
        ("A_weighting", ("a",), {}, TypeError),
        ("A_weighting", (100, -80), {}, TypeError),
        ("Z_weighting", (100,), {}, TypeError),
        ("frequency_weighting", ([100],), {"kind": "E"}, KeyError),
        ("multi_frequency_weighting", ([100],), {"kinds": ""}, ValueError),
        ("perceptual_weighting", (np.ones((4, 5)), np.ones(3)), {}, ValueError),
    ],
)
def test_bad_calls_fail_as_librosas(name, arguments, kwargs, error):
    for module in (weighting, librosa):
        with pytest.raises(error):
            getattr(module, name)(*arguments, **kwargs)
