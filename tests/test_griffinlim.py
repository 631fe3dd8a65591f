import inspect
import warnings

import librosa
import numpy as np
import pytest

import fastmel
from fastmel import ParameterError, griffinlim, stft


def librosas(S, seed, librosa_1, **kwargs):
    """librosa's answer; 0.11 has the former name of `rng`."""
    generator = np.random.default_rng(seed)
    return librosa.griffinlim(S, **{"rng" if librosa_1 else "random_state": generator}, **kwargs)


def magnitudes(rng, n_fft, n_frames, dtype=np.float64, channels=()):
    y = rng.standard_normal((*channels, n_fft // 4 * (n_frames - 1))).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.abs(stft(y, n_fft=n_fft))


def test_signature_is_librosas(librosa_1):
    ours, theirs = (
        [(p.name, p.kind, repr(p.default)) for p in inspect.signature(f).parameters.values()]
        for f in (griffinlim, librosa.griffinlim)
    )
    if not librosa_1:
        ours, theirs = ours[:-2], theirs[:-1]
    assert ours == theirs


OPTIONS = [
    {},
    {"hop_length": 10},
    {"win_length": 40},
    {"window": "hamming"},
    {"center": False},
    {"pad_mode": "reflect"},
    {"length": 1110},
    {"momentum": 0},
    {"momentum": 0.5},
    {"init": None},
    {"n_iter": 0},
    {"n_iter": 1},
    {"n_iter": 2},
    {"n_iter": 3},
    {"n_fft": 65},
    {"dtype": np.float32},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_follows_librosas_phases(options, rng, librosa_1):
    S = magnitudes(rng, 64, 70)
    ours = griffinlim(S, rng=np.random.default_rng(5), **options)
    theirs = librosas(S, 5, librosa_1, **options)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    atol = 1e-2 if ours.dtype == np.float32 else 1e-7
    if options.get("center", True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol * np.abs(theirs).max())
    else:  # the window sum of the first and the last samples is almost nothing
        inner = slice(64, -64)
        np.testing.assert_allclose(ours[inner], theirs[inner], rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_of_channels(shape, rng, librosa_1):
    S = magnitudes(rng, 64, 30, channels=shape)
    np.testing.assert_allclose(
        griffinlim(S, rng=np.random.default_rng(5), n_iter=8),
        librosas(S, 5, librosa_1, n_iter=8),
        rtol=0,
        atol=1e-8,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
def test_of_other_types(dtype, rng, librosa_1):
    S = (10 * magnitudes(rng, 64, 30)).astype(dtype)
    ours = griffinlim(S, rng=np.random.default_rng(5), n_iter=2)
    theirs = librosas(S, 5, librosa_1, n_iter=2)
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


def test_of_a_spectrogram_gets_nearer_to_it(music):
    S = np.abs(stft(music(22050, 2.0)))

    def distance(n_iter):
        return np.linalg.norm(np.abs(stft(griffinlim(S, rng=3, n_iter=n_iter))) - S)

    first, later = distance(1), distance(32)
    assert later < 0.3 * first
    assert later < 0.15 * np.linalg.norm(S)


def test_every_kind_of_rng(rng, librosa_1):
    S = magnitudes(rng, 64, 30)
    first = griffinlim(S, rng=3, n_iter=2)
    for same in (np.random.default_rng(3), np.random.SeedSequence(3), np.random.PCG64(3)):
        np.testing.assert_array_equal(griffinlim(S, rng=same, n_iter=2), first)
    assert not np.array_equal(griffinlim(S, rng=4, n_iter=2), first)
    assert not np.array_equal(griffinlim(S, n_iter=2), griffinlim(S, n_iter=2))
    state = {"rng" if librosa_1 else "random_state": np.random.RandomState(3)}
    np.testing.assert_allclose(
        griffinlim(S, rng=np.random.RandomState(3), n_iter=2),
        librosa.griffinlim(S, n_iter=2, **state),
        atol=1e-9,
    )


def test_random_state_is_the_former_name_of_rng(rng):
    S = magnitudes(rng, 64, 30)
    with pytest.warns(FutureWarning, match="'random_state' has been renamed to 'rng'") as caught:
        y = griffinlim(S, random_state=3, n_iter=2)
    assert [w.filename for w in caught] == [__file__]
    np.testing.assert_array_equal(y, griffinlim(S, rng=3, n_iter=2))
    with pytest.raises(ParameterError, match="only the rng"):
        griffinlim(S, random_state=3, rng=3)


def test_a_large_momentum_is_warned_of(rng):
    with pytest.warns(UserWarning, match="can be unstable") as caught:
        griffinlim(magnitudes(rng, 64, 30), momentum=1.1, n_iter=1)
    assert [w.filename for w in caught] == [__file__]


def test_no_bit_depends_on_memory_order_or_threads(rng):
    S = magnitudes(rng, 512, 300, np.float32, (2,))
    expected = griffinlim(S, rng=1, n_iter=3)
    before = fastmel.get_num_threads()
    fastmel.set_num_threads(3)
    try:
        for same in (np.ascontiguousarray(S), np.asfortranarray(S), S.repeat(2, axis=-1)[..., ::2]):
            np.testing.assert_array_equal(griffinlim(same, rng=1, n_iter=3), expected)
    finally:
        fastmel.set_num_threads(before)


def test_silence_gives_zeros():
    assert not griffinlim(np.zeros((33, 30)), rng=1).any()


def test_leaves_its_input_alone(rng):
    S = magnitudes(rng, 64, 30)
    before = S.copy()
    griffinlim(S, n_iter=2)
    np.testing.assert_array_equal(S, before)


S = np.ones((33, 20))
BAD_CALLS = [
    ((S,), {"momentum": -0.1}, ParameterError),
    ((S,), {"init": "zeros"}, ParameterError),
    ((S,), {"length": 1000}, ValueError),
    ((S * np.nan,), {}, ParameterError),
    ((S,), {"pad_mode": "wrap"}, ParameterError),
    ((S,), {"window": None}, ParameterError),
    ((S,), {"win_length": 65}, ParameterError),
    ((S, 3), {}, TypeError),
    ((None,), {}, AttributeError),
]


@pytest.mark.parametrize(("arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(arguments, kwargs, error):
    with pytest.raises(error):
        griffinlim(*arguments, **kwargs)
    with pytest.raises(librosa.ParameterError if error is ParameterError else error):
        librosa.griffinlim(*arguments, **kwargs)


def test_complex_values_are_no_magnitudes():
    with pytest.raises(ParameterError, match="S must be real"):
        griffinlim(S + 0j)
