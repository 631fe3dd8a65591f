import inspect

import librosa
import numpy as np
import pytest

from fastmel import convert

#: a conversion and the largest value to try
SCALES = [("hz_to_mel", 24000), ("mel_to_hz", 200)]


@pytest.mark.parametrize("name", convert.__all__)
def test_signature_is_librosas(name):
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (convert, librosa))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int16])
@pytest.mark.parametrize(("name", "largest"), SCALES)
def test_arrays_equal_librosas(name, largest, dtype, htk):
    values = np.linspace(0, largest, 1000).astype(dtype)
    for x in (values, values[::-3], values.reshape(10, 100).T, values[:0]):
        ours, theirs = (getattr(m, name)(x, htk=htk) for m in (convert, librosa))
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.0749999, 0.075, 0.0750001, 0.5, 1])
@pytest.mark.parametrize("kind", [int, float, np.float32, np.int64])
@pytest.mark.parametrize(("name", "largest"), SCALES)
def test_scalars_equal_librosas_and_are_scalars(name, largest, kind, share, htk):
    value = kind(share * largest)
    ours = getattr(convert, name)(value, htk=htk)
    theirs = getattr(librosa, name)(value, htk=htk)
    assert isinstance(ours, np.floating)
    assert ours == theirs
    assert ours.dtype == np.asarray(theirs).dtype


@pytest.mark.parametrize("htk", [False, True])
def test_lists_are_taken_and_left_alone(htk):
    hz = [100.0, 1000.0, 5000.0]
    np.testing.assert_array_equal(convert.hz_to_mel(hz, htk=htk), librosa.hz_to_mel(hz, htk=htk))
    array = np.array(hz)
    convert.hz_to_mel(array, htk=htk)
    np.testing.assert_array_equal(array, hz)


@pytest.mark.parametrize("htk", [False, True])
def test_scales_are_inverses(htk, rng):
    hz = rng.uniform(0, 24000, 1000)
    np.testing.assert_allclose(convert.mel_to_hz(convert.hz_to_mel(hz, htk=htk), htk=htk), hz)


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("n_mels", [0, 1, 2, 40, 128])
@pytest.mark.parametrize(("fmin", "fmax"), [(0, 11025), (20.5, 8000), (3000, 3000), (500, 100)])
def test_mel_frequencies_equal_librosas(n_mels, fmin, fmax, htk):
    ours, theirs = (
        m.mel_frequencies(n_mels, fmin=fmin, fmax=fmax, htk=htk) for m in (convert, librosa)
    )
    np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("sr", [22050, 16000, 44100.5])
@pytest.mark.parametrize("n_fft", [1, 2, 3, 400, 2047, 2048])
def test_fft_frequencies_equal_librosas(sr, n_fft):
    ours, theirs = (m.fft_frequencies(sr=sr, n_fft=n_fft) for m in (convert, librosa))
    np.testing.assert_array_equal(ours, theirs, strict=True)


# frames, samples, blocks, seconds

COUNTS = [
    0,
    7,
    -3,
    2.75,
    np.int16(9),
    np.float32(1.1),
    [0, 1, 513],
    np.arange(6).reshape(2, 3),
    np.array([0.1, 511.9, 512.0, -0.5, 1e6]),
    np.array([1.5, 1023.7], np.float32),
    np.array([3, 60000], np.uint16),
    [],
]
CONVERSIONS = [
    ("frames_to_samples", [{}, {"hop_length": 100}, {"n_fft": 2047}]),
    ("samples_to_frames", [{}, {"hop_length": 100}, {"n_fft": 2047}, {"hop_length": 2.5}]),
    ("frames_to_time", [{}, {"sr": 16000, "hop_length": 100}, {"n_fft": 2047, "sr": 44100.5}]),
    ("time_to_frames", [{}, {"sr": 16000, "hop_length": 100}, {"n_fft": 2047, "sr": 44100.5}]),
    ("samples_to_time", [{}, {"sr": 16000}, {"sr": 44100.5}]),
    ("time_to_samples", [{}, {"sr": 16000}, {"sr": 44100.5}]),
    ("blocks_to_frames", [{"block_length": 16}]),
    ("blocks_to_samples", [{"block_length": 16, "hop_length": 100}]),
    ("blocks_to_time", [{"block_length": 16, "hop_length": 100, "sr": 8000}]),
]


@pytest.mark.parametrize("value", COUNTS, ids=repr)
@pytest.mark.parametrize(("name", "options"), CONVERSIONS)
def test_counts_equal_librosas(name, options, value):
    for kwargs in options:
        ours, theirs = (getattr(m, name)(value, **kwargs) for m in (convert, librosa))
        # librosa 0.11 gives scalars as arrays of no axes
        np.testing.assert_array_equal(ours, np.asarray(theirs)[()], strict=True)
        assert isinstance(ours, np.ndarray if np.ndim(value) else np.generic)


@pytest.mark.parametrize("name", ["samples_like", "times_like"])
@pytest.mark.parametrize("X", [5, 0, np.int64(3), np.zeros((4, 7)), np.zeros((2, 3, 0))], ids=repr)
def test_frames_of_features_equal_librosas(name, X):
    rates = [{}, {"sr": 44100.5}] if name == "times_like" else [{}]
    for kwargs in rates:
        for more in ({}, {"hop_length": 100}, {"n_fft": 401}, {"axis": 0}):
            ours, theirs = (getattr(m, name)(X, **kwargs, **more) for m in (convert, librosa))
            np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("frames_to_samples", (3, 512), TypeError),
        ("samples_to_time", ("a",), TypeError),
        ("time_to_samples", (None,), TypeError),
        ("blocks_to_frames", (3,), TypeError),
        ("times_like", ([1, 2],), AttributeError),
    ],
)
def test_bad_calls_fail_as_librosas(name, arguments, error):
    for module in (convert, librosa):
        with pytest.raises(error):
            getattr(module, name)(*arguments)
