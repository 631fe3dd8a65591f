import inspect
import warnings

import librosa
import numpy as np
import pytest

import fastmel
from fastmel import ParameterError
from fastmel.feature import inverse
from fastmel.feature.inverse import mel_to_audio, mel_to_stft, mfcc_to_audio, mfcc_to_mel

NAMES = ["mel_to_stft", "mel_to_audio", "mfcc_to_mel", "mfcc_to_audio"]


def bands_error(magnitude, M, *, n_fft, power=2.0, **bank):
    """Return the norm of the bands' error, as a share of the bands'."""
    A = librosa.filters.mel(sr=22050, n_fft=n_fft, n_mels=M.shape[-2], dtype=np.float64, **bank)
    error = A @ magnitude.astype(np.float64) ** power - M
    return np.linalg.norm(error) / np.linalg.norm(M)


def both(M, **kwargs):
    return mel_to_stft(M, **kwargs), librosa.feature.inverse.mel_to_stft(M, **kwargs)


def assert_close_powers(ours, theirs, power=2.0):
    """Compare what has been rounded, not its roots: some bins are zero but for rounding."""
    powers = theirs**power
    np.testing.assert_allclose(ours**power, powers, rtol=0, atol=1e-5 * np.nanmax(powers))


def mels(y, n_fft, n_mels, power=2.0, **kwargs):
    kwargs |= {"n_fft": n_fft, "hop_length": n_fft // 4, "n_mels": n_mels, "power": power}
    return librosa.feature.melspectrogram(y=y, **kwargs)  # which compiles nothing


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_librosas(name):
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (getattr(inverse, name), getattr(librosa.feature.inverse, name))
    )
    assert ours == theirs


def test_is_where_librosa_has_it():
    assert fastmel.feature.inverse.mel_to_stft is mel_to_stft


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n_fft", "n_mels", "power"), [(2048, 128, 2.0), (2048, 128, 1.0), (1024, 80, 2.0)]
)
def test_equals_librosas_where_that_is_content_with_its_start(
    n_fft, n_mels, power, dtype, speech, librosa_1
):
    y = speech(sr=22050, seconds=0.1)
    M = mels(0.05 * y, n_fft, n_mels, power).astype(dtype)
    ours, theirs = both(M, n_fft=n_fft, power=power)
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    if librosa_1:
        np.testing.assert_array_equal(ours, theirs)
    else:  # another library's pseudo-inverse
        assert_close_powers(ours, theirs, power)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("signal", ["speech", "music", "noise"])
def test_fits_bands_and_spectrum_where_librosa_searches(signal, dtype, request, rng):
    if signal == "noise":
        y = rng.standard_normal(4000, np.float32)
    else:
        y = request.getfixturevalue(signal)(sr=22050, seconds=0.2)
    M = 10 * mels(y / np.abs(y).max(), 1024, 80).astype(dtype)
    ours, theirs = both(M, n_fft=1024)
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    assert ours.min() >= 0
    errors = bands_error(ours, M, n_fft=1024), bands_error(theirs, M, n_fft=1024)
    assert errors[0] < min(1e-4, errors[1])
    spectrum = 10**0.5 * np.abs(librosa.stft(y / np.abs(y).max(), n_fft=1024, hop_length=256))
    distances = np.linalg.norm(ours - spectrum), np.linalg.norm(theirs - spectrum)
    assert distances[0] < 1.05 * distances[1]


HARD = {
    "uniform": lambda rng, shape: rng.random(shape),
    "spikes": lambda rng, shape: rng.random(shape) < 0.1,
    "magnitudes": lambda rng, shape: 10 ** (8 * rng.random(shape)),
    "signs": lambda rng, shape: rng.standard_normal(shape),
    "one band": lambda _, shape: np.eye(*shape),
}


@pytest.mark.parametrize("bank", [{}, {"htk": True, "norm": None, "fmin": 100.0, "fmax": 8000.0}])
@pytest.mark.parametrize("kind", HARD)
def test_no_error_is_larger_than_librosas_where_no_spectrum_has_the_bands(kind, bank, rng):
    M = 1e4 * HARD[kind](rng, (24, 3)).astype(np.float64)
    ours, theirs = both(M, n_fft=256, **bank)
    error, librosas = (bands_error(x, M, n_fft=256, **bank) for x in (ours, theirs))
    assert error <= librosas * (1 + 1e-6) + 1e-8


@pytest.mark.parametrize("kind", HARD)
def test_reaches_the_least_error(kind, rng):
    from scipy.optimize import nnls

    M = HARD[kind](rng, (24, 4)).astype(np.float64)
    M *= 1e4 / np.linalg.norm(M, axis=0)
    ours = mel_to_stft(M, n_fft=256, power=1.0)
    A = librosa.filters.mel(sr=22050, n_fft=256, n_mels=24, dtype=np.float64)
    for f in range(M.shape[1]):
        least = nnls(A, M[:, f])[1]
        error = np.linalg.norm(A @ ours[:, f] - M[:, f])
        assert error <= least * (1 + 1e-6) + 1e-4


def test_no_solution_is_nearer_to_the_start(rng):
    from scipy.optimize import minimize

    A = librosa.filters.mel(sr=22050, n_fft=128, n_mels=8, dtype=np.float64)
    M = 1e4 * A @ rng.exponential(size=(65, 3)) ** 6
    start = np.maximum(np.linalg.pinv(A) @ M, 0)
    ours = mel_to_stft(M, n_fft=128, power=1.0)
    for f in range(M.shape[1]):
        scale = M[:, f].max()
        nearest = minimize(
            lambda x, c: np.sum((x - c) ** 2),
            ours[:, f] / scale,
            args=(start[:, f] / scale,),
            jac=lambda x, c: 2 * (x - c),
            bounds=[(0, None)] * len(ours),
            constraints={
                "type": "eq",
                "fun": lambda x, b: 1e3 * (A @ x - b),
                "args": (M[:, f] / scale,),
            },
            method="SLSQP",
        )
        ours_distance = np.sum((ours[:, f] - start[:, f]) ** 2) / scale**2
        assert 1e-3 < ours_distance <= nearest.fun * (1 + 1e-3)


def test_a_loud_frame_does_not_depend_on_its_neighbours(rng):
    M = 1e3 * mels(rng.standard_normal(8000), 1024, 80).astype(np.float64)
    alone = mel_to_stft(M[:, :5], n_fft=1024)
    np.testing.assert_allclose(mel_to_stft(M, n_fft=1024)[:, :5], alone, rtol=1e-6)


def test_threads_change_nothing(rng):
    M = mels(rng.standard_normal((2, 30000)), 1024, 80)
    before = fastmel.get_num_threads()
    try:
        results = []
        for n_threads in (1, 3):
            fastmel.set_num_threads(n_threads)
            results.append(mel_to_stft(100 * M, n_fft=1024))
    finally:
        fastmel.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_blocks_are_librosas(rng):
    """Quiet blocks keep the start, loud ones do not: 2048 frames of 32 bands are a block."""
    M = 1e-4 * rng.random((32, 4100)).astype(np.float32)
    start = mel_to_stft(M, n_fft=256, power=1.0)
    M[:, 2100:2110] *= 1e8
    loud = mel_to_stft(M, n_fft=256, power=1.0)
    is_start = np.all(np.abs(loud - start) < 1e-5 * start.max(), axis=0)
    assert is_start[:2048].all()
    assert is_start[4096:].all()
    assert is_start[2048:4096].sum() < 10


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("shape", [(3,), (2, 2)])
def test_channels(shape, scale, rng):
    M = (scale * rng.random((*shape, 24, 7))).astype(np.float32)
    ours, theirs = both(M, n_fft=256)
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    if scale < 1:
        assert_close_powers(ours, theirs)
    else:
        one = np.stack([mel_to_stft(m, n_fft=256) for m in M.reshape(-1, 24, 7)])
        np.testing.assert_allclose(ours.reshape(one.shape), one, rtol=1e-5)


def test_memory_order_of_the_input_does_not_matter(rng):
    M = 100 * rng.random((24, 9))
    np.testing.assert_allclose(
        mel_to_stft(np.asfortranarray(M), n_fft=256), mel_to_stft(M, n_fft=256), rtol=1e-6
    )


def test_the_input_is_not_written_to(rng):
    M = 100 * rng.random((24, 9))
    before = M.copy()
    mel_to_stft(M, n_fft=256, power=1.0)
    np.testing.assert_array_equal(M, before)


@pytest.mark.parametrize("shape", [(24, 0), (0, 24, 3), (2, 24, 0)])
def test_nothing_gives_nothing(shape):
    ours = mel_to_stft(np.zeros(shape, np.float32), n_fft=256)
    assert (ours.shape, ours.dtype) == ((*shape[:-2], 129, shape[-1]), np.float32)


def test_one_band():
    ours, theirs = both(np.ones((1, 3)), n_fft=256)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_silence():
    assert not mel_to_stft(np.zeros((24, 3)), n_fft=256).any()


def test_nan_stays_in_its_frame_as_in_librosa(rng):
    M = 100 * rng.random((24, 4)).astype(np.float32)
    finite = mel_to_stft(M, n_fft=256)
    M[5, 2] = np.nan
    ours, theirs = both(M, n_fft=256)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours[:, [0, 1, 3]], finite[:, [0, 1, 3]], rtol=1e-5)


def test_a_bank_with_empty_bands_warns_as_librosas(rng):
    M = rng.random((40, 3)) * 1e-4
    with pytest.warns(UserWarning, match="Empty filters detected in mel frequency basis"):
        mel_to_stft(M, n_fft=64)


BAD_CALLS = [
    (np.ones((24, 3)), {"norm": "x"}),
    (np.ones((24, 3)), {"power": 0}),
    (np.ones((24, 3)), {"fmid": 100}),
    (np.ones((24, 3)), {"dtype": np.float32}),
    (np.ones((24, 3)), {"sr": 0}),
    (np.ones((24, 3)), {"n_fft": 0}),
    (np.ones(24), {}),
    (np.ones((24, 3), int), {}),
    ([[1.0]], {}),
]


@pytest.mark.parametrize(("M", "options"), BAD_CALLS, ids=str)
def test_errors_are_of_librosas_types(M, options):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        librosa.feature.inverse.mel_to_stft(M, **options)
    expected = theirs.type
    if expected is librosa.ParameterError:
        expected = ParameterError
    with pytest.raises(expected):
        mel_to_stft(M, **options)


@pytest.fixture
def same_phases(monkeypatch):
    """Let Griffin-Lim begin with the same phases in every call."""
    make = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda _=None: make(3))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hop_length": 100},
        {"win_length": 200},
        {"window": "hamming"},
        {"center": False},
        {"pad_mode": "reflect"},
        {"power": 1.0},
        {"n_iter": 3},
        {"length": 720},
        {"dtype": np.float64},
        {"fmin": 100.0, "htk": True},
    ],
    ids=str,
)
@pytest.mark.usefixtures("same_phases")
def test_audio_is_librosas(options, rng):
    M = 1e-4 * rng.random((24, 12))
    options = {"n_fft": 256, "n_iter": 8} | options
    ours, theirs = mel_to_audio(M, **options), librosa.feature.inverse.mel_to_audio(M, **options)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_mels": 40},
        {"n_mels": 10},
        {"dct_type": 1, "norm": None},
        {"dct_type": 3},
        {"norm": None},
        {"ref": 10.0},
        {"lifter": 22},
        {"lifter": 0.5},
    ],
    ids=str,
)
def test_mels_of_cepstra_are_librosas(options, dtype, rng):
    mfcc = rng.standard_normal((2, 20, 5)).astype(dtype)
    ours, theirs = (
        mfcc_to_mel(mfcc, **options),
        librosa.feature.inverse.mfcc_to_mel(mfcc, **options),
    )
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_mels_of_whole_numbers_are_librosas(rng):
    mfcc = rng.integers(-9, 9, (20, 5))
    for lifter in (0, 22):
        ours = mfcc_to_mel(mfcc, lifter=lifter)
        theirs = librosa.feature.inverse.mfcc_to_mel(mfcc, lifter=lifter)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("lifter", [-1, np.nan])
def test_a_negative_lifter_is_an_error(lifter):
    with pytest.raises(librosa.ParameterError):
        librosa.feature.inverse.mfcc_to_mel(np.ones((20, 3)), lifter=lifter)
    with pytest.raises(ParameterError, match=f"{lifter=} must be a non-negative number"):
        mfcc_to_mel(np.ones((20, 3)), lifter=lifter)


def test_a_lifter_with_a_weight_of_zero_warns(rng):
    mfcc = rng.standard_normal((20, 3))
    lifter = 2.0
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        librosa.feature.inverse.mfcc_to_mel(mfcc, lifter=lifter)
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        mfcc_to_mel(mfcc, lifter=lifter)
    assert [w.category for w in ours] == [w.category for w in theirs]
    assert [w.filename for w in ours if w.category is UserWarning] == [__file__]


@pytest.mark.usefixtures("same_phases")
def test_audio_of_cepstra_is_librosas(rng):
    mfcc = rng.standard_normal((13, 12)) - 40 * np.eye(13, 1)
    options = {"n_mels": 24, "n_fft": 256, "n_iter": 8, "lifter": 22, "hop_length": 100}
    ours = mfcc_to_audio(mfcc, **options)
    theirs = librosa.feature.inverse.mfcc_to_audio(mfcc, **options)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_patched_librosa_uses_it(rng):
    M = 100 * rng.random((24, 9))
    with fastmel.patched_librosa() as names:
        assert "librosa.feature.inverse.mel_to_stft" in names
        np.testing.assert_array_equal(
            librosa.feature.inverse.mel_to_stft(M, n_fft=256), mel_to_stft(M, n_fft=256)
        )
