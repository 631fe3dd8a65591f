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
