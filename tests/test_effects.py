import inspect

import librosa
import numpy as np
import pytest

from fastmel import ParameterError, effects


@pytest.mark.parametrize("name", effects.__all__)
def test_signature_is_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (effects, librosa.effects))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


# preemphasis, deemphasis

EMPHASIS = ["preemphasis", "deemphasis"]


def assert_same_emphasis(name, y, **kwargs):
    (ours, zf), (theirs, their_zf) = (
        getattr(m, name)(y, return_zf=True, **kwargs) for m in (effects, librosa.effects)
    )
    # librosa rounds the state of the recursive filter at every sample
    scale = 50 * np.finfo(y.dtype).eps * np.abs(theirs).max()
    for a, b in ((ours, theirs), (zf, their_zf)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=0, atol=scale)
    np.testing.assert_array_equal(getattr(effects, name)(y, **kwargs), ours, strict=True)


@pytest.mark.parametrize("shape", [(2,), (3,), (1000,), (2, 500), (2, 3, 50)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("coef", [0.97, 0, 0.5, 1, -0.3])
@pytest.mark.parametrize("name", EMPHASIS)
def test_emphasis_equals_librosas(name, coef, dtype, shape, rng):
    y = rng.standard_normal(shape).astype(dtype)
    assert_same_emphasis(name, y, coef=coef)
    assert_same_emphasis(name, y[..., ::-1], coef=coef)
    assert_same_emphasis(name, y, coef=coef, zi=rng.standard_normal((*shape[:-1], 1)))
    assert_same_emphasis(name, y, coef=coef, zi=np.ones([1] * len(shape)))


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">c8", ">c16"])
@pytest.mark.parametrize("name", EMPHASIS)
def test_either_order_of_bytes_gives_the_machines_as_librosa(name, dtype, rng):
    assert_same_emphasis(name, rng.standard_normal((2, 500)).astype(dtype))


@pytest.mark.parametrize("name", EMPHASIS)
def test_a_state_may_be_a_number(name, rng):
    assert_same_emphasis(name, rng.standard_normal(10), zi=0.25)
    assert_same_emphasis(name, rng.standard_normal(1), zi=[0.25])


@pytest.mark.parametrize("name", EMPHASIS)
def test_emphasis_piece_by_piece_is_the_whole(name, rng):
    y, zi, pieces = rng.standard_normal((2, 100)), np.zeros((2, 1)), []
    whole = getattr(effects, name)(y, zi=zi)
    for low, high in ((0, 1), (1, 40), (40, 100)):
        piece, zi = getattr(effects, name)(y[:, low:high], zi=zi, return_zf=True)
        pieces.append(piece)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deemphasis_undoes_preemphasis(dtype, rng):
    y = rng.standard_normal((2, 5000)).astype(dtype)
    back = effects.deemphasis(effects.preemphasis(y))
    np.testing.assert_allclose(back, y, rtol=0, atol=5e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("name", EMPHASIS)
def test_emphasis_leaves_the_signal_alone(name):
    y, zi = np.ones((2, 5)), np.ones((2, 1))
    getattr(effects, name)(y, zi=zi)
    assert (y == 1).all()
    assert (zi == 1).all()


# trim, split


@pytest.fixture
def spoken(speech):
    """Two channels with silence at the ends and between the words."""
    y = np.zeros((2, 40000), np.float32)
    y[0, 9000:17000] = speech(16000, 0.5)
    y[1, 21000:29000] = 0.1 * speech(16000, 0.5)
    return y


OPTIONS = [
    {},
    {"top_db": 20},
    {"top_db": 100, "ref": 1.0},
    {"ref": np.mean},
    {"frame_length": 400, "hop_length": 160},
    {"frame_length": 100, "hop_length": 333},
    {"aggregate": np.min},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_is_found_where_librosa_finds_it(options, dtype, spoken):
    spoken = spoken.astype(dtype)
    for y in (spoken, spoken[0], spoken[:, 9500:], spoken[0, 9500:16000], spoken[:, :5000]):
        ours, theirs = (m.split(y, **options) for m in (effects, librosa.effects))
        np.testing.assert_array_equal(ours, theirs, strict=True)
        (ours, index), (theirs, their_index) = (
            m.trim(y, **options) for m in (effects, librosa.effects)
        )
        np.testing.assert_array_equal(index, their_index, strict=True)
        np.testing.assert_array_equal(ours, theirs, strict=True)
        assert np.shares_memory(ours, y) or not ours.size


@pytest.mark.parametrize("n_samples", [1, 511, 512, 513, 2047, 2048, 2049])
def test_short_signals(n_samples, rng):
    y = rng.standard_normal(n_samples)
    np.testing.assert_array_equal(effects.split(y), librosa.effects.split(y))
    np.testing.assert_array_equal(effects.trim(y)[1], librosa.effects.trim(y)[1])


def test_deemphasis_of_nothing_is_nothing():
    for y in (np.ones(0), np.ones((2, 0), np.float32)):
        ours, theirs = (m.deemphasis(y, return_zf=True) for m in (effects, librosa.effects))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


def test_nothing_is_left_of_silence():
    y = np.zeros(10000)
    trimmed, index = effects.trim(y, ref=1.0)
    assert trimmed.size == 0
    assert index.tolist() == [0, 0]
    assert effects.split(y, ref=1.0).shape == (0, 2)


# bad calls

Y = np.ones(4096, np.float32)
BAD_CALLS = [
    *[(name, (Y.astype(int),), {}, NotImplementedError) for name in EMPHASIS],
    *[(name, (Y.astype(np.float16),), {}, NotImplementedError) for name in EMPHASIS],
    *[(name, (Y[:1],), {}, ValueError) for name in EMPHASIS],
    *[(name, (Y[None],), {"zi": 1.0}, ValueError) for name in EMPHASIS],
    *[(name, (Y,), {"zi": [1.0, 2.0]}, ValueError) for name in EMPHASIS],
    *[(name, (Y, 0.97), {}, TypeError) for name in EMPHASIS],
    *[(name, ([0.0, 1.0],), {}, AttributeError) for name in EMPHASIS],
    *[(name, (Y,), {"hop_length": 0}, ParameterError) for name in ("trim", "split")],
    *[(name, (Y, 60), {}, TypeError) for name in ("trim", "split")],
]


@pytest.mark.parametrize(("name", "arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(name, arguments, kwargs, error):
    with pytest.raises(error):
        getattr(effects, name)(*arguments, **kwargs)
    with pytest.raises(librosa.ParameterError if error is ParameterError else error):
        getattr(librosa.effects, name)(*arguments, **kwargs)


@pytest.mark.parametrize("name", ["trim", "split"])
@pytest.mark.parametrize("y", [Y.astype(int), Y * np.nan], ids=["integers", "NaN"])
def test_what_is_no_signal_is_refused(name, y, librosa_1):
    with pytest.raises(ParameterError):
        getattr(effects, name)(y)
    if librosa_1:  # 0.11 does not look
        with pytest.raises(librosa.ParameterError):
            getattr(librosa.effects, name)(y)
