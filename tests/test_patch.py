import sys

import librosa
import numpy as np
import pytest

import fastmel


def held():
    """Return what all modules of librosa's hold, by identity."""
    return {
        (module_name, name): id(value)
        for module_name, module in sys.modules.items()
        if module_name.split(".")[0] == "librosa"
        for name, value in vars(module).items()
        if callable(value)
    }


def test_functions_are_replaced_wherever_librosa_names_them_and_put_back():
    import librosa.beat  # holds functions by names of its own
    import librosa.onset

    fastmel.unpatch_librosa()
    librosa.feature.mfcc(y=np.zeros(4096))
    original, before = librosa.stft, held()
    with fastmel.patched_librosa() as names:
        assert "librosa.core.spectrum.stft" in names
        for module in ("librosa", "librosa.core.spectrum", "librosa.feature.rhythm"):
            assert sys.modules.get(module, librosa).stft is not original
        assert librosa.stft.__name__ == "stft"
        assert fastmel.patch_librosa() == names
    after = held()
    assert {key: after[key] for key in before} == before
    assert librosa.stft is original


def test_a_nested_block_leaves_the_patch_in_place():
    original = librosa.stft
    with fastmel.patched_librosa():
        with fastmel.patched_librosa():
            pass
        assert librosa.stft is not original
    assert librosa.stft is original


def test_values_are_fastmels(rng):
    y = rng.standard_normal(20000).astype(np.float32)
    with fastmel.patched_librosa():
        D, M = librosa.stft(y), librosa.feature.melspectrogram(y=y)
    np.testing.assert_array_equal(D, fastmel.stft(y))
    np.testing.assert_array_equal(M, fastmel.feature.melspectrogram(y=y))


def test_errors_are_librosas():
    with fastmel.patched_librosa():
        with pytest.raises(librosa.ParameterError):
            librosa.stft(np.zeros(4096), hop_length=0)
        with pytest.raises(librosa.ParameterError):
            librosa.feature.mfcc()


def test_channels_share_a_peak_as_in_the_librosa_that_is_patched(rng):
    S = rng.uniform(0, 1, (2, 4, 5)) * np.array([1e-9, 1.0])[:, None, None]
    y = rng.standard_normal((2, 9000)) * np.array([[1e-5], [1.0]])
    calls = (lambda: librosa.power_to_db(S), lambda: librosa.feature.mfcc(y=y))
    expected = [call() for call in calls]
    with fastmel.patched_librosa():
        for call, theirs in zip(calls, expected, strict=True):
            np.testing.assert_allclose(call(), theirs, atol=1e-8)
