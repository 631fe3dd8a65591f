import inspect
import warnings

import librosa
import numpy as np
import pytest

import fastmel
from fastmel import ParameterError, spectrum

DECIBELS = ("power_to_db", "amplitude_to_db")


def quietly(function, *arguments, **kwargs):
    """Call without the warnings that have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **kwargs)


@pytest.mark.parametrize("name", spectrum.__all__)
def test_signature_is_librosas(name, librosa_1):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (spectrum, librosa))
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in signature.parameters.values()]
        for signature in (ours, theirs)
    )
    if name in DECIBELS and not librosa_1:
        assert ours.pop()[0] == "axes"
    assert ours == theirs


# stft


def assert_same_stft(y, **kwargs):
    ours, theirs = quietly(spectrum.stft, y, **kwargs), quietly(librosa.stft, y, **kwargs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if y.ndim == 1:
        assert ours.strides == theirs.strides
    tolerance = 1e-12 if ours.dtype == np.complex128 else 1e-6
    peak = np.abs(theirs).max(axis=-2, keepdims=True, initial=np.finfo(np.float32).tiny)
    assert np.max(np.abs(ours - theirs) / peak, initial=0) <= tolerance


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("n_fft", "hop_length", "win_length"),
    [
        (2048, None, None),
        (400, 160, None),
        (512, 160, 400),
        (256, 300, 255),
        (255, 64, 31),
        (101, 1000, None),
        (8, 1, None),
        (5, 2, 1),
    ],
)
def test_stft_equals_librosas(n_fft, hop_length, win_length, center, dtype, speech):
    y = speech(16000, 0.5, dtype)
    kwargs = {"hop_length": hop_length, "win_length": win_length, "center": center}
    assert_same_stft(y, n_fft=n_fft, **kwargs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(64, 16), (33, 10), (30, 70)])
@pytest.mark.parametrize("pad_mode", ["constant", "edge", "linear_ramp", "reflect", "symmetric"])
def test_stft_of_every_length_equals_librosas(n_fft, hop_length, pad_mode, dtype, rng):
    first = 0 if pad_mode == "constant" and n_fft % 2 == 0 else 1
    for n_samples in (first, 1, 2, 15, 16, 17, *range(28, 36), 47, 48, 49, 63, 64, 65, 127, 200):
        y = rng.standard_normal(n_samples).astype(dtype)
        assert_same_stft(y, n_fft=n_fft, hop_length=hop_length, pad_mode=pad_mode)
        if n_samples >= n_fft:
            assert_same_stft(y, n_fft=n_fft, hop_length=hop_length, center=False)


def test_stft_pads_with_a_function(rng):
    def last_first(vector, width, axis, kwargs):
        vector[: width[0]] = 0.5
        vector[len(vector) - width[1] :] = -0.5

    assert_same_stft(rng.standard_normal(1000), n_fft=128, pad_mode=last_first)


@pytest.mark.parametrize(
    "window", ["hamming", ("kaiser", 4.0), 8.6, ("general_cosine", [0.5, 0.3, 0.2]), np.bartlett]
)
def test_stft_takes_any_window(window, rng):
    assert_same_stft(rng.standard_normal(1000), n_fft=128, win_length=100, window=window)


def test_stft_takes_a_window_of_samples(rng):
    y, window = rng.standard_normal(1000), rng.standard_normal(100)
    assert_same_stft(y, n_fft=128, win_length=100, window=window)
    assert_same_stft(y, n_fft=100, window=window.tolist())


@pytest.mark.parametrize("shape", [(2, 500), (2, 3, 500), (1, 500), (0, 500)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stft_of_channels_is_each_ones(shape, dtype, rng):
    y = rng.standard_normal(shape).astype(dtype)
    D = spectrum.stft(y, n_fft=64)
    assert D.shape == (*shape[:-1], 33, 32)
    for channel in np.ndindex(shape[:-1]):
        alone = spectrum.stft(y[channel], n_fft=64)
        np.testing.assert_array_equal(D[channel], alone, strict=True)
        assert D[channel].strides == alone.strides
    if y.size:
        assert_same_stft(y, n_fft=64)


def test_stft_reads_any_memory_order(rng):
    y = rng.standard_normal((600, 4)).astype(np.float32)
    for view in (y.T, y[::2, 1], y[::-1, 0], y[:, ::3].T):
        same = spectrum.stft(np.ascontiguousarray(view), n_fft=64)
        np.testing.assert_array_equal(spectrum.stft(view, n_fft=64), same)
    y.flags.writeable = False
    spectrum.stft(y.T, n_fft=64)


def test_stft_leaves_the_signal_alone(rng):
    y = rng.standard_normal(500)
    before = y.copy()
    spectrum.stft(y, n_fft=64)
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize(
    ("samples", "spectra"),
    [
        (np.float16, None),
        (np.float32, np.complex128),
        (np.float64, np.complex64),
        (np.longdouble, None),
        (">f4", None),
        (">f8", None),
    ],
)
def test_stft_has_librosas_types(samples, spectra, rng):
    y = rng.standard_normal(500).astype(samples)
    assert_same_stft(y, n_fft=64, dtype=spectra)


def test_stft_in_double_is_double_all_the_way(rng):
    y = rng.standard_normal(500).astype(np.float32)
    ours, theirs = (m.stft(y, n_fft=64, dtype=np.complex128) for m in (spectrum, librosa))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("shape", [(500,), (3, 500)])
def test_stft_fills_out(order, dtype, extra, shape, rng):
    y = rng.standard_normal(shape).astype(np.float32)
    expected = spectrum.stft(y, n_fft=64, dtype=dtype)
    n_frames = expected.shape[-1]
    out = np.full((*expected.shape[:-1], n_frames + extra), 7, dtype, order)
    result = spectrum.stft(y, n_fft=64, out=out)
    assert result is out if not extra else np.shares_memory(result, out)
    np.testing.assert_array_equal(result, expected, strict=True)
    assert (out[..., n_frames:] == 7).all()


@pytest.mark.parametrize("y", [np.zeros(10), np.zeros((2, 63), np.float32), np.zeros(0)])
def test_a_signal_shorter_than_a_frame_is_told_at_the_callers_line(y):
    with pytest.warns(UserWarning, match="n_fft=64 is too large for input signal") as caught:
        spectrum.stft(y, n_fft=64)
    assert [w.filename for w in caught] == [__file__]


def test_silence_gives_zeros():
    assert not spectrum.stft(np.zeros(5000, np.float32)).any()


@pytest.mark.parametrize("pad_mode", ["wrap", "maximum", "nonsense", None])
def test_without_padding_its_mode_does_not_matter(pad_mode, rng):
    y = rng.standard_normal(1000)
    assert_same_stft(y, n_fft=100, center=False, pad_mode=pad_mode)
    ours, theirs = (
        m.feature.melspectrogram(y=y, sr=8000, n_fft=100, n_mels=9, center=False, pad_mode=pad_mode)
        for m in (fastmel, librosa)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7 * theirs.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 77, 254, 499])
@pytest.mark.parametrize("framing", [{}, {"center": False}, {"center": False, "hop_length": 200}])
def test_a_bad_sample_is_found_wherever_it_is(dtype, bad, place, framing):
    y = np.zeros((2, 500), dtype)
    y[1, place] = bad
    with pytest.raises(ParameterError, match="finite"):
        spectrum.stft(y, n_fft=64, **framing)


# magphase


@pytest.mark.parametrize("power", [1, 2, 0.5, -1.0])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_magphase_equals_librosas(dtype, power, rng):
    parts = rng.standard_normal((2, 65, 40))
    D = (parts[0] + 1j * parts[1]).astype(dtype)
    eps = np.finfo(dtype).eps
    for x in (D, D.T, D[::2, ::-3], np.asfortranarray(D), D.reshape(5, 13, 40), D[:0]):
        ours, theirs = (m.magphase(x, power=power) for m in (spectrum, librosa))
        for a, b in zip(ours, theirs, strict=True):
            assert (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=4 * eps * max(1, abs(power)))
        np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=4 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
def test_magphase_of_real_values_equals_librosas(dtype):
    for D in (np.array([[0, 1], [-2, 3]], dtype), np.zeros(3, dtype)):
        for a, b in zip(spectrum.magphase(D), librosa.magphase(D), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("value", [0j, 3 - 4j, np.complex64(1 + 1j)])
def test_magphase_of_a_scalar(value):
    (magnitude, phase), theirs = (m.magphase(np.asarray(value)) for m in (spectrum, librosa))
    np.testing.assert_allclose([magnitude, phase], [*theirs], rtol=1e-6)


def test_magphase_leaves_its_input_alone():
    D = np.array([1 + 1j, 0])
    spectrum.magphase(D, power=2)
    np.testing.assert_array_equal(D, [1 + 1j, 0])


# decibels


def librosa_db(name, S, librosa_1, **kwargs):
    """librosa's answer; 0.11 has one peak for all channels, so it is asked channel by channel."""
    function = getattr(librosa, name)
    if librosa_1 or np.ndim(S) <= 2:
        return quietly(function, S, **kwargs)
    return np.stack([librosa_db(name, channel, librosa_1, **kwargs) for channel in S])


def assert_same_db(name, S, librosa_1, **kwargs):
    ours = quietly(getattr(spectrum, name), S, **kwargs)
    theirs = librosa_db(name, S, librosa_1, **kwargs)
    assert np.shape(ours) == np.shape(theirs)
    assert ours.dtype == theirs.dtype
    # squared by librosa in single precision, whatever the result's
    single = np.result_type(S) == np.float32
    tolerance = {np.float16: 0.1, np.float32: 3e-5}.get(ours.dtype.type, 3e-5 if single else 1e-11)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    return ours, theirs


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int64, bool])
@pytest.mark.parametrize("ref", [1.0, 20, 0, -3.0, np.max, np.median])
@pytest.mark.parametrize("top_db", [80.0, 0, 30, None])
def test_decibels_equal_librosas(name, dtype, ref, top_db, rng, librosa_1):
    if name == "amplitude_to_db" and dtype in (np.float16, np.int16, bool):
        pytest.skip("librosa squares in this type, which overflows")
    if dtype is bool and ref is np.median:
        pytest.skip("NumPy has no median of booleans")
    S = (10 ** rng.uniform(-9, 3, (20, 30))).astype(dtype)
    S[3] = 0
    for x in (S, S[0], S[:, :1], S[:1, :1]):
        assert_same_db(name, x, librosa_1, ref=ref, top_db=top_db, amin=1e-4)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float16, bool])
def test_amplitudes_of_small_types_do_not_overflow(dtype):
    S = np.array([[0, 1, -100], [120, 3, 0]]).astype(dtype)
    expected = librosa.amplitude_to_db(S.astype(float), amin=1e-3)
    np.testing.assert_allclose(spectrum.amplitude_to_db(S, amin=1e-3), expected, atol=0.05)


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 8, 10), (2, 3, 8, 10)])
@pytest.mark.parametrize("ref", [1.0, np.max])
def test_every_channel_has_its_own_peak(name, dtype, shape, ref, rng, librosa_1):
    S = (10 ** rng.uniform(-9, 3, shape)).astype(dtype)
    S *= np.arange(1, 1 + S.shape[0]).reshape(-1, *[1] * (S.ndim - 1)) ** 9
    db, _ = assert_same_db(name, S, librosa_1, ref=ref, top_db=40)
    for channel in np.ndindex(shape[:-2]):
        alone = getattr(spectrum, name)(S[channel], ref=ref, top_db=40)
        np.testing.assert_array_equal(db[channel], alone)


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("axes", [None, -1, (-1,), 0, (0, 2), (-3, -2, -1), (1, 2), (), 2])
@pytest.mark.parametrize("ref", [2.0, np.max, np.mean])
def test_axes_equal_librosas(name, axes, ref, rng, librosa_1):
    if not librosa_1:
        pytest.skip("librosa 0.11 has no axes")
    S = (10 ** rng.uniform(-9, 3, (3, 8, 10))).astype(np.float32)
    for x in (S, S.T, np.asfortranarray(S), S[::2, ::-1]):
        assert_same_db(name, x, librosa_1, ref=ref, axes=axes)


@pytest.mark.parametrize("name", DECIBELS)
def test_a_reference_for_each_channel_or_band(name, rng, librosa_1):
    S = 10 ** rng.uniform(-9, 3, (3, 8, 10))
    for shape in [(), (1,), (3, 1, 1), (8, 1), (10,), (3, 8, 10)]:
        ref = rng.uniform(1, 2, shape)
        ours, theirs = (getattr(m, name)(S, ref=ref, top_db=None) for m in (spectrum, librosa))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decibels_keep_the_memory_order(name, dtype, rng, librosa_1):
    S = (10 ** rng.uniform(-9, 3, (4, 6, 8))).astype(dtype)
    for x in (S[0], S[0].T, S[0, ::2], S[0, :, ::-2], S[:, 1], S, S.swapaxes(1, 2), S.T):
        ours, theirs = assert_same_db(name, x, librosa_1)
        if x.ndim == 2 or librosa_1:
            assert ours.strides == theirs.strides


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("value", [0, 3, -2, 0.5, np.float32(7), np.float64(1e-12), True])
@pytest.mark.parametrize("ref", [1.0, 4])
def test_scalars_become_scalars(name, value, ref):
    ours, theirs = (getattr(m, name)(value, ref=ref) for m in (spectrum, librosa))
    assert isinstance(ours, np.floating)
    assert ours.dtype == np.asarray(theirs).dtype
    np.testing.assert_allclose(ours, theirs, atol=3e-5)


@pytest.mark.parametrize("name", DECIBELS)
def test_lists_are_arrays(name):
    ours, theirs = (getattr(m, name)([[1, 2], [0, 4]]) for m in (spectrum, librosa))
    np.testing.assert_allclose(ours, theirs, atol=1e-11)


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("amin", [np.float64(1e-6), np.float32(1e-6), 1e-30, 1])
@pytest.mark.parametrize("top_db", [np.float64(40), np.float32(40), 40])
def test_the_types_of_amin_and_top_db_count_as_in_librosa(name, amin, top_db, rng, librosa_1):
    S = (10 ** rng.uniform(-4, 3, (8, 10))).astype(np.float32)
    assert_same_db(name, S, librosa_1, amin=amin, top_db=top_db)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_peak_is_exactly_0_db_and_the_bottom_top_db_below(dtype, rng):
    for size in (1, 7, 16, 100, 1000):
        S = (10 ** rng.uniform(-14, 7, (3, size))).astype(dtype)
        S[:, 0] = 0
        S[0, -1] = 1e8 * rng.uniform()
        for name in DECIBELS:
            db = getattr(spectrum, name)(S, ref=np.max, top_db=60)
            assert (db.min(), db.max()) == (-60, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silence_is_exactly_the_floor(dtype):
    S = np.zeros((8, 10), dtype)
    assert (spectrum.power_to_db(S) == -100).all()
    assert (spectrum.amplitude_to_db(S) == -100).all()
    assert (spectrum.power_to_db(S, ref=np.max) == 0).all()
    S[0, 0] = 1
    assert (np.unique(spectrum.power_to_db(S)) == [-80, 0]).all()
    assert (np.unique(spectrum.power_to_db(S, top_db=None)) == [-100, 0]).all()


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("top_db", [80.0, None])
@pytest.mark.parametrize("odd", [[np.nan], [-np.nan], [np.inf], [-np.inf], [np.nan, np.inf]])
def test_nan_and_infinity_equal_librosas(name, dtype, top_db, odd):
    S = np.array([1.0, 0.0, 1e-20, -5.0, 1e3, *odd], dtype)
    ours, theirs = (getattr(m, name)(S, top_db=top_db) for m in (spectrum, librosa))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=3e-5)


@pytest.mark.parametrize("name", DECIBELS)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_input_is_told_at_the_callers_line(name, dtype, rng, librosa_1):
    S = (rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))).astype(dtype)
    assert_same_db(name, S, librosa_1)
    with pytest.warns(UserWarning, match=f"{name} was called on complex input") as caught:
        getattr(spectrum, name)(S)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("name", DECIBELS)
def test_decibels_leave_their_input_alone(name, rng):
    S = rng.standard_normal((4, 5))
    before = S.copy()
    getattr(spectrum, name)(S, ref=np.max)
    np.testing.assert_array_equal(S, before)


@pytest.mark.parametrize("name", DECIBELS)
def test_a_reference_function_sees_what_librosas_does(name):
    seen = []

    def reference(S, axis, keepdims):
        seen.append((S.copy(), axis, keepdims))
        return np.max(S, axis=axis, keepdims=keepdims)

    S = np.array([[1.0, -2.0]])
    getattr(spectrum, name)(S, ref=reference)
    ((values, axis, keepdims),) = seen
    np.testing.assert_array_equal(values, S if name == "power_to_db" else np.abs(S))
    assert (axis, keepdims) == ((-2, -1), True)


@pytest.mark.parametrize("name", ["db_to_power", "db_to_amplitude"])
@pytest.mark.parametrize("ref", [1.0, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_inverses_equal_librosas(name, ref, dtype, rng):
    S = rng.uniform(-100, 40, (6, 7)).astype(dtype)
    for x in (S, S.T, S[::2], S[0, 0], -20, 3.5):
        ours, theirs = (getattr(m, name)(x, ref=ref) for m in (spectrum, librosa))
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back(dtype, rng):
    S = rng.uniform(1e-3, 1, (6, 7)).astype(dtype)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    power = spectrum.db_to_power(spectrum.power_to_db(S, ref=0.3), ref=0.3)
    np.testing.assert_allclose(power, S, rtol=rtol)
    amplitude = spectrum.db_to_amplitude(spectrum.amplitude_to_db(S, ref=0.3), ref=0.3)
    np.testing.assert_allclose(amplitude, S, rtol=rtol)


# bad calls

Y = np.zeros(1000, np.float32)
S = np.ones((4, 5), np.float32)
COMPLEX_OUT = {"n_fft": 64, "out": np.zeros((33, 3), np.complex64)}
REAL_OUT = {"n_fft": 64, "out": np.zeros((33, 63))}
BAD_CALLS = [
    ("stft", ([0.0] * 4096,), {}, ParameterError),
    ("stft", (None,), {}, ParameterError),
    ("stft", (Y.astype(np.int16),), {}, ParameterError),
    ("stft", (Y.astype(complex),), {}, ParameterError),
    ("stft", (np.float32(1),), {}, ParameterError),
    ("stft", (np.array(1.0),), {}, ParameterError),
    ("stft", (Y * np.nan,), {"n_fft": 64}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "hop_length": 0}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "hop_length": -16}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "hop_length": 16.0}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "hop_length": "16"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "win_length": 65}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "win_length": 0}, ValueError),
    ("stft", (Y,), {"n_fft": 64, "win_length": -4}, ValueError),
    ("stft", (Y,), {"n_fft": 0}, ValueError),
    ("stft", (Y,), {"n_fft": -64}, ValueError),
    ("stft", (Y,), {"n_fft": 64, "window": "nonsense"}, ValueError),
    ("stft", (Y,), {"n_fft": 64, "window": np.ones(63)}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "window": None}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "wrap"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "maximum"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "mean"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "median"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "minimum"}, ParameterError),
    ("stft", (Y,), {"n_fft": 64, "pad_mode": "nonsense"}, ValueError),
    ("stft", (Y[:0],), {"n_fft": 64, "pad_mode": "reflect"}, ValueError),
    ("stft", (Y[:0],), {"n_fft": 63}, ParameterError),
    ("stft", (Y,), {"n_fft": 1001, "center": False}, ParameterError),
    ("stft", (Y[:0],), {"n_fft": 64, "center": False}, ParameterError),
    ("stft", (Y,), COMPLEX_OUT, ParameterError),
    ("stft", (Y,), {"n_fft": 62} | COMPLEX_OUT | {"n_fft": 62}, ParameterError),
    ("stft", (Y,), REAL_OUT, ParameterError),
    ("stft", (Y, 64), {}, TypeError),
    ("stft", (Y,), {"dtype": "nonsense", "n_fft": 64}, TypeError),
    ("power_to_db", (S,), {"amin": 0}, ParameterError),
    ("power_to_db", (S,), {"amin": -1e-10}, ParameterError),
    ("power_to_db", (S,), {"top_db": -1}, ParameterError),
    ("power_to_db", (S,), {"ref": "max"}, TypeError),
    ("power_to_db", (S,), {"ref": None}, TypeError),
    ("power_to_db", (["a"],), {}, TypeError),
    ("power_to_db", (S[:0],), {}, ValueError),
    ("power_to_db", (S, 1.0), {}, TypeError),
    ("amplitude_to_db", (S,), {"amin": 0}, ParameterError),
    ("amplitude_to_db", (S,), {"top_db": -1}, ParameterError),
    ("amplitude_to_db", (["a"],), {}, TypeError),
    ("magphase", (None,), {}, (AttributeError, TypeError)),
    ("magphase", (np.ones(3, complex), 2), {}, TypeError),
    ("db_to_power", ("a",), {}, TypeError),
    ("db_to_power", (S, 1.0), {}, TypeError),
]


@pytest.mark.parametrize(("name", "arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(name, arguments, kwargs, error):
    with pytest.raises(error):
        quietly(getattr(fastmel, name), *arguments, **kwargs)
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        quietly(getattr(librosa, name), *arguments, **kwargs)


BAD_CHANNEL_CALLS = [
    {"ref": lambda S: 1.0},
    {"ref": max},
    {"axes": 5},
    {"axes": (0, 0)},
    {"axes": "all"},
]


@pytest.mark.parametrize("kwargs", BAD_CHANNEL_CALLS, ids=str)
@pytest.mark.parametrize("name", DECIBELS)
def test_bad_channel_arguments_fail_as_librosas(name, kwargs, librosa_1):
    with pytest.raises((ValueError, TypeError)):
        getattr(spectrum, name)(S, **kwargs)
    if librosa_1:
        with pytest.raises((ValueError, TypeError, librosa.ParameterError)):
            getattr(librosa, name)(S, **kwargs)


@pytest.mark.parametrize("n_fft", [2048.0, "64", None, 1.5])
def test_an_n_fft_that_is_no_integer_is_told(n_fft):
    with pytest.raises(ParameterError, match=r"n_fft=.* must be a positive integer"):
        spectrum.stft(Y, n_fft=n_fft)
