import inspect
import warnings

import librosa
import numpy as np
import pytest

import fastmel
from fastmel import ParameterError, istft, stft

SIZES = [
    (2048, None, None),
    (400, 160, None),
    (512, 160, 400),
    (256, 300, 255),
    (255, 64, 31),
    (202, 50, None),
    (101, 1000, None),
    (64, 1, None),
    (8, 3, None),
    (5, 2, None),
    (1, 1, None),
]


def quietly(function, *arguments, **kwargs):
    """Call without the warnings that have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **kwargs)


def random_stft(rng, shape, dtype=np.complex64):
    parts = rng.standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(dtype)


def assert_same_istft(D, **kwargs):
    """Compare with librosa, where no window sum is so small that it magnifies every rounding."""
    ours, theirs = istft(D, **kwargs), librosa.istft(D, **kwargs)
    assert (ours.dtype, ours.shape, ours.strides) == (theirs.dtype, theirs.shape, theirs.strides)
    n_fft = kwargs.get("n_fft") or 2 * (D.shape[-2] - 1)
    win_length = kwargs.get("win_length") or n_fft
    hop_length = kwargs.get("hop_length") or win_length // 4
    sums = librosa.filters.window_sumsquare(
        window=kwargs.get("window", "hann"),
        n_frames=D.shape[-1],
        hop_length=hop_length,
        win_length=win_length,
        n_fft=n_fft,
        dtype=np.float64,
    )
    sums = librosa.util.fix_length(
        sums[n_fft // 2 if kwargs.get("center", True) else 0 :], size=ours.shape[-1]
    )
    errors = np.abs(ours - theirs) * np.minimum(np.sqrt(sums), 1)
    frames = np.fft.irfft(D, n=n_fft, axis=-2)
    peak = np.abs(frames).max(initial=np.finfo(np.float32).tiny)
    tolerance = 1e-12 if ours.dtype == D.real.dtype == np.float64 else 1e-6
    assert np.max(errors, initial=0) <= tolerance * peak
    np.testing.assert_array_equal(ours[..., sums == 0], theirs[..., sums == 0])


def test_signature_is_librosas():
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (istft, librosa.istft)
    )
    assert ours == theirs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n_fft", "hop_length", "win_length"), SIZES)
def test_equals_librosas(n_fft, hop_length, win_length, center, dtype, speech):
    framing = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length, "center": center}
    if n_fft == 1:
        framing["window"] = "boxcar"
    y = speech(16000, 0.4, dtype)
    D = stft(y, **framing)
    for length in (None, len(y), 1000, 1, 10000):
        assert_same_istft(D, length=length, **framing)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(64, 16), (34, 10), (30, 70), (33, 9)])
def test_of_every_length_equals_librosas(n_fft, hop_length, dtype, rng):
    framing = {"n_fft": n_fft, "hop_length": hop_length}
    for n_samples in (0, 1, 2, 9, 15, 16, 17, *range(28, 36), 47, 48, 49, 63, 64, 65, 127, 1100):
        y = rng.standard_normal(n_samples).astype(dtype)
        for center in (True, False):
            if n_samples < n_fft and not (center and n_fft % 2 == 0):
                continue
            D = quietly(stft, y, center=center, **framing)
            for length in (None, n_samples // 2, n_samples + 100):
                assert_same_istft(D, length=length, center=center, **framing)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize(
    ("n_fft", "hop_length", "win_length"), [s for s in SIZES if (s[1] or 0) < s[0] and s[2] is None]
)
def test_gives_the_signal_back(n_fft, hop_length, win_length, pad_mode, dtype, rng):
    framing = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length}
    y = rng.uniform(-1, 1, (2, 20011)).astype(dtype)
    back = istft(stft(y, pad_mode=pad_mode, **framing), length=y.shape[-1], **framing)
    n_whole = y.shape[-1] - n_fft  # the last frames may not reach the end
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(back[:, :n_whole], y[:, :n_whole], rtol=0, atol=tolerance)


@pytest.mark.parametrize("window", ["hamming", ("kaiser", 4.0), 8.6, np.bartlett, "boxcar"])
@pytest.mark.parametrize("center", [True, False])
def test_takes_any_window(window, center, rng):
    framing = {"win_length": 100, "window": window, "center": center}
    D = stft(rng.standard_normal(1000), n_fft=128, **framing)
    assert_same_istft(D, **framing)


def test_takes_a_window_of_samples(rng):
    window = rng.uniform(0.5, 1, 64)
    D = stft(rng.standard_normal(1000), n_fft=64, window=window)
    assert_same_istft(D, window=window)
    np.testing.assert_array_equal(istft(D, window=window.tolist()), istft(D, window=window))


@pytest.mark.parametrize("shape", [(2, 33, 40), (2, 3, 33, 40), (1, 33, 5), (0, 33, 40)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_of_channels_is_each_ones(shape, dtype, rng):
    D = random_stft(rng, shape, dtype)
    y = istft(D)
    assert y.shape == (*shape[:-2], 16 * (shape[-1] - 1))
    for channel in np.ndindex(shape[:-2]):
        np.testing.assert_array_equal(y[channel], istft(D[channel]), strict=True)
    if D.size:
        assert_same_istft(D)


def test_reads_any_memory_order(rng):
    D = random_stft(rng, (3, 200, 66))
    for view in (D, np.asfortranarray(D), D[::2, ::-1], D[..., ::3], D.swapaxes(1, 2)[:, ::2]):
        np.testing.assert_array_equal(istft(view), istft(view.copy("C")))
    before = D.copy()
    D.flags.writeable = False
    istft(D)
    np.testing.assert_array_equal(D, before)


@pytest.mark.parametrize("n_fft", [512, 202])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("hop_length", [20, 128, 700])
def test_no_bit_depends_on_threads_or_batches(n_fft, hop_length, dtype, rng):
    D = random_stft(rng, (2, 1 + n_fft // 2, 1111), dtype)
    before = fastmel.get_num_threads()
    try:
        signals = []
        for n_threads in (1, 2, 5):
            fastmel.set_num_threads(n_threads)
            signals.append(istft(D, hop_length=hop_length))
    finally:
        fastmel.set_num_threads(before)
    for y in signals[1:]:
        np.testing.assert_array_equal(y, signals[0])
    np.testing.assert_array_equal(istft(D[1], hop_length=hop_length), signals[0][1])


@pytest.mark.parametrize(
    ("spectra", "samples"),
    [
        (np.complex64, np.float64),
        (np.complex128, np.float32),
        (np.float32, None),
        (np.float64, None),
        (np.int16, None),
        (">c8", None),
    ],
)
def test_has_librosas_types(spectra, samples, rng):
    D = (100 * random_stft(rng, (33, 40)).real).astype(spectra)
    ours, theirs = (m.istft(D, dtype=samples) for m in (fastmel, librosa))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("n_fft", [50, 64, 80, 63])
def test_missing_bins_are_zeros_and_others_are_not_used(n_fft, rng):
    D = random_stft(rng, (33, 90), np.complex128)
    assert_same_istft(D, n_fft=n_fft, hop_length=16)
    assert_same_istft(D.astype(np.complex64), n_fft=n_fft, hop_length=16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_fills_out(dtype, rng):
    D = random_stft(rng, (2, 33, 40))
    for out in (np.full((2, 624), 7, dtype), np.full((624, 2), 7, dtype).T):
        assert istft(D, out=out) is out
        np.testing.assert_allclose(
            out, istft(D), rtol=1e-2 if dtype == np.float16 else 1e-4, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_stays_where_its_frame_is(dtype, bad, rng):
    D = random_stft(rng, (33, 200), dtype)
    expected = istft(D)
    D[5, 70] = bad
    y = istft(D)
    frame = slice(70 * 16 - 32, 70 * 16 + 32)
    assert not np.isfinite(y[frame]).all()
    y[frame] = expected[frame]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def test_silence_gives_zeros():
    assert not istft(np.zeros((1025, 30), np.complex64)).any()


D = np.ones((33, 20), np.complex64)
BAD_CALLS = [
    ((D,), {"n_fft": 64, "win_length": 65}, ParameterError),
    ((D,), {"window": np.ones(63)}, ParameterError),
    ((D,), {"window": None}, ParameterError),
    ((D,), {"window": "nonsense"}, ValueError),
    ((D,), {"out": np.zeros(303, np.float32)}, ParameterError),
    ((D,), {"out": np.zeros(304, np.float32), "length": 300}, ParameterError),
    ((D,), {"dtype": "nonsense"}, TypeError),
    ((D,), {"length": -5}, ValueError),
    ((D[:, :0],), {}, ValueError),
    ((D, 16), {}, TypeError),
    ((None,), {}, AttributeError),
    ((D.tolist(),), {}, AttributeError),
]


@pytest.mark.parametrize(("arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(arguments, kwargs, error):
    with pytest.raises(error):
        istft(*arguments, **kwargs)
    with pytest.raises(librosa.ParameterError if error is ParameterError else error):
        librosa.istft(*arguments, **kwargs)


def test_a_transform_has_two_axes_at_least():
    with pytest.raises(ParameterError, match="axes"):
        istft(D[0])


@pytest.mark.parametrize("name", ["n_fft", "hop_length", "win_length"])
@pytest.mark.parametrize("value", [0, -4, 16.0, "16"])
def test_a_size_that_is_no_positive_integer_is_told(name, value):
    with pytest.raises(ParameterError, match=f"{name}={value} must be a positive integer"):
        istft(D, **{name: value})
