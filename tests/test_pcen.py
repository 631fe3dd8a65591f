import librosa
import numpy as np
import pytest

from fastmel import ParameterError, pcen
from fastmel.feature import melspectrogram


@pytest.fixture
def S(rng):
    return (10 ** rng.uniform(-9, 3, (12, 60))).astype(np.float32)


def assert_same_pcen(S, **kwargs):
    (ours, zf), (theirs, their_zf) = (
        function(S, return_zf=True, **kwargs) for function in (pcen, librosa.pcen)
    )
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-300)
    assert zf.dtype == their_zf.dtype
    np.testing.assert_allclose(zf, their_zf, rtol=1e-12)
    np.testing.assert_array_equal(pcen(S, **kwargs), ours, strict=True)


OPTIONS = [
    {},
    {"sr": 16000, "hop_length": 160},
    {"gain": 0.5},
    {"gain": 0},
    {"bias": 10},
    {"bias": 0},
    {"bias": 0, "power": 0},
    {"power": 0.25},
    {"power": 0},
    {"power": 1},
    {"time_constant": 0.05},
    {"eps": 1e-3},
    {"b": 0.3},
    {"b": 1},
    {"max_size": 3},
    {"max_size": 4, "max_axis": 0},
    {"axis": 0},
    {"axis": 0, "max_size": 3},
    {"axis": 1, "max_size": 5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_equals_librosas(options, dtype, S):
    S = (S + 1).astype(dtype)
    for x in (S, S.T, S[::2, ::-3], np.asfortranarray(S), S[:, :1], S[:1]):
        assert_same_pcen(x, **options)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2, -4])
def test_of_many_axes_equals_librosas(axis, rng):
    S = rng.uniform(0, 1, (3, 4, 5, 6)).astype(np.float32)
    assert_same_pcen(S, axis=axis)
    assert_same_pcen(S.swapaxes(0, 2), axis=axis, max_size=2, max_axis=1)


def test_of_half_precision_equals_librosas(S):
    assert_same_pcen(S.astype(np.float16))


def test_of_one_axis_equals_librosas(S):
    assert_same_pcen(S[0])


def test_of_more_than_one_chunk_equals_librosas(rng):
    assert_same_pcen(rng.uniform(0, 1, (128, 301)))


def test_of_speech_equals_librosas(speech):
    assert_same_pcen(2**31 * melspectrogram(y=speech(16000, 1.0), sr=16000), sr=16000)


@pytest.mark.parametrize("shape", [(12, 60), (1, 60), (60,), (12, 1)])
def test_smooths_another_reference(shape, S, rng):
    ref = rng.uniform(0, 1, shape)
    np.testing.assert_allclose(pcen(S, ref=ref), librosa.pcen(S, ref=ref), rtol=1e-12)


@pytest.mark.parametrize("shape", [(12, 1), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_begins_in_any_state(shape, dtype, S, rng):
    assert_same_pcen(S, zi=rng.uniform(0, 1, shape).astype(dtype))
    assert_same_pcen(S.T, zi=rng.uniform(0, 1, shape[::-1]).astype(dtype), axis=0)
    assert_same_pcen(S, zi=np.ones(shape), b=0)


def test_piece_by_piece_is_the_whole(S):
    whole, zi, pieces = pcen(S), None, []
    for low, high in ((0, 1), (1, 20), (20, 60)):
        piece, zi = pcen(S[:, low:high], zi=zi, return_zf=True)
        pieces.append(piece)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_leaves_its_input_alone(S):
    zi = np.ones((12, 1))
    before = S.copy()
    pcen(S, zi=zi)
    np.testing.assert_array_equal(S, before)
    np.testing.assert_array_equal(zi, 1)


def test_complex_input_is_told_at_the_callers_line(S):
    with pytest.warns(UserWarning, match="pcen was called on complex input") as caught:
        P = pcen(S * 1j)
    assert [w.filename for w in caught] == [__file__]
    np.testing.assert_allclose(P, pcen(S), rtol=1e-6)


def test_silence_gives_zeros():
    assert not pcen(np.zeros((4, 20))).any()


def test_no_frames():
    P, zf = pcen(np.ones((2, 0)), return_zf=True)
    assert (P.shape, zf.shape) == ((2, 0), (2, 1))


ONES = np.ones((4, 10))
BAD_CALLS = [
    ((ONES,), {"power": -1}, ParameterError),
    ((ONES,), {"gain": -1}, ParameterError),
    ((ONES,), {"bias": -1}, ParameterError),
    ((ONES,), {"eps": 0}, ParameterError),
    ((ONES,), {"time_constant": 0}, ParameterError),
    ((ONES,), {"max_size": 0}, ParameterError),
    ((ONES,), {"max_size": 1.5}, ParameterError),
    ((ONES,), {"b": -0.1}, ParameterError),
    ((ONES,), {"b": 1.1}, ParameterError),
    ((ONES,), {"b": 0}, ValueError),
    ((ONES[0],), {"max_size": 3}, ParameterError),
    ((ONES[None],), {"max_size": 3}, ParameterError),
    ((ONES,), {"zi": np.ones((4, 2))}, ValueError),
    ((ONES,), {"zi": np.ones(4)}, ValueError),
    ((ONES,), {"ref": np.ones((3, 10))}, ValueError),
    ((ONES,), {"axis": 2}, (ValueError, IndexError)),
    ((ONES, 22050), {}, TypeError),
]


@pytest.mark.parametrize(("arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(arguments, kwargs, error):
    with pytest.raises(error):
        pcen(*arguments, **kwargs)
    with pytest.raises(librosa.ParameterError if error is ParameterError else error):
        librosa.pcen(*arguments, **kwargs)
