import subprocess
import sys

import librosa
import numpy as np
import pytest

import fastmel
from fastmel import patch

#: what runs in a new interpreter: librosa imports most of its modules when they are first used
HEADER = """
import sys, types, fastmel.patch

def held():
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "librosa"]
    return {(m.__name__, name): value for m in modules for name, value in vars(m).items()}

def ours():
    functions = {at: f for at, f in held().items() if isinstance(f, types.FunctionType)}
    return {at for at, f in functions.items() if f.__globals__ is vars(fastmel.patch)}
"""


def run(code):
    """Run code in a new interpreter and return what it prints, by words."""
    command = [sys.executable, "-c", HEADER + code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def recorded(monkeypatch):
    """Patch librosa with a stft of ours that only counts its calls."""
    calls = []

    def stft(y, **kwargs):
        calls.append(y)
        if kwargs.get("n_fft") == 512:
            raise fastmel.ParameterError("512 is refused")
        if kwargs.get("n_fft") == 256:
            raise ZeroDivisionError("a bug")
        return "fast"

    monkeypatch.setattr("fastmel.spectrum.stft", stft)
    with fastmel.patched_librosa():
        yield calls


def test_functions_are_replaced_wherever_librosa_names_them_and_put_back():
    import librosa.feature.rhythm
    import librosa.onset

    holders = (librosa, librosa.core, librosa.core.spectrum, librosa.feature.rhythm)
    originals = [module.stft for module in holders]
    assert len(set(map(id, originals))) == 1
    with fastmel.patched_librosa() as names:
        assert "librosa.core.spectrum.stft" in names
        assert all(module.stft is not originals[0] for module in holders)
        assert librosa.onset.melspectrogram is librosa.feature.melspectrogram
        assert librosa.stft.__name__ == "stft"
        assert librosa.stft.__doc__ == originals[0].__doc__
    assert [module.stft for module in holders] == originals


def test_modules_that_are_loaded_while_patched_are_put_back_too():
    new, during, after, same = run("""
import librosa.filters
before = held()
fastmel.patch_librosa()
print("librosa.onset" not in sys.modules)
librosa.onset.onset_detect, librosa.vqt
print(ours() >= {("librosa.onset", "melspectrogram"), ("librosa.core.constantq", "stft")})
fastmel.unpatch_librosa()
print(len(ours()), all(held()[at] is value for at, value in before.items()))
""")
    assert (new, during, after, same) == ("True", "True", "0", "True")


def test_a_function_taken_while_patched_is_librosas_again_afterwards(monkeypatch):
    monkeypatch.setattr("fastmel.spectrum.magphase", lambda D: "fast")
    D = np.ones((3, 4), np.complex64)
    with fastmel.patched_librosa():
        taken = librosa.magphase
        assert taken(D) == "fast"
    np.testing.assert_array_equal(taken(D), librosa.magphase(D))


def test_a_nested_block_leaves_the_patch_in_place():
    original = librosa.stft
    with fastmel.patched_librosa() as outer:
        with fastmel.patched_librosa() as inner:
            pass
        assert inner == outer == fastmel.patch_librosa()
        assert librosa.stft is not original
    assert librosa.stft is original
    fastmel.unpatch_librosa()
    assert librosa.stft is original


def test_a_librosa_without_one_of_the_functions_stays_as_it_is(monkeypatch):
    original = librosa.stft
    monkeypatch.setitem(patch._FASTER, "librosa.util", {"no_such_function": "fastmel.util"})
    with pytest.raises(AttributeError):
        fastmel.patch_librosa()
    assert librosa.stft is original
    monkeypatch.undo()
    with fastmel.patched_librosa():
        assert librosa.stft is not original


def test_values_are_fastmels(rng):
    y = rng.standard_normal(20000).astype(np.float32)
    with fastmel.patched_librosa():
        D, M = librosa.stft(y), librosa.feature.melspectrogram(y=y)
    np.testing.assert_array_equal(D, fastmel.stft(y))
    np.testing.assert_array_equal(M, fastmel.feature.melspectrogram(y=y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calls_in_single_and_double_precision_are_fastmels(recorded, dtype, tmp_path):
    y = np.memmap(tmp_path / "y", dtype, mode="w+", shape=4096)
    for signal in (y, np.asarray(y)):
        assert librosa.stft(signal, hop_length=np.int64(512), dtype=np.complex64) == "fast"
        assert librosa.stft(y=signal) == "fast"


class Other:
    def __array__(self, dtype=None, copy=None):
        return np.ones((4, 4))


def test_all_other_calls_are_librosas(recorded):
    y = np.ones(4096)
    for signal in (y.astype(np.float16), y.astype(np.longdouble), y.astype(">f8")):
        assert librosa.stft(signal).shape == (1025, 9)
    window = np.ma.MaskedArray(np.hanning(2048))
    assert librosa.stft(y, window=window).shape == (1025, 9)
    for no_signal in (y.astype(int), Other()):
        with pytest.raises(librosa.ParameterError):
            librosa.stft(no_signal)
    assert recorded == []
    np.testing.assert_array_equal(librosa.power_to_db(Other()), np.zeros((4, 4)))


def test_what_fastmel_refuses_goes_to_librosa_and_bugs_are_not_hidden(recorded):
    y = np.ones(4096)
    assert librosa.stft(y, n_fft=512).shape == (257, 33)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        librosa.stft(y, n_fft=256)
    assert len(recorded) == 2


BAD_CALLS = {
    "a hop": lambda: librosa.stft(np.ones(4096), hop_length=0),
    "a frame": lambda: librosa.stft(np.ones(4096), n_fft=0),
    "a name": lambda: librosa.stft(np.ones(4096), n_ftt=512),
    "nothing": lambda: librosa.feature.mfcc(),
    "a shape": lambda: librosa.istft(np.ones(4, np.complex64)),
    "a level": lambda: librosa.power_to_db(np.ones((3, 4)), amin=0),
    "a norm": lambda: librosa.filters.mel(sr=16000, n_fft=512, norm="slane"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_errors_are_librosas(name):
    def error():
        with pytest.raises(Exception) as caught:  # noqa: PT011
            BAD_CALLS[name]()
        return caught.type, str(caught.value)

    theirs = error()
    with fastmel.patched_librosa():
        assert error() == theirs


def test_what_only_librosa_takes_works(rng):
    options = {"y": rng.standard_normal(4096), "power": -1}
    with pytest.raises(fastmel.ParameterError, match="power=-1"):
        fastmel.feature.melspectrogram(**options)
    theirs = librosa.feature.melspectrogram(**options)
    with fastmel.patched_librosa():
        found = librosa.feature.melspectrogram(**options)  # librosa's own, on our spectra
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


@pytest.mark.parametrize("window", [("general_cosine", [0.5, 0.5]), np.float32(8.5)], ids=repr)
def test_windows_that_librosa_takes_are_taken(window, rng):
    y = rng.standard_normal(4096)
    theirs = librosa.feature.melspectrogram(y=y, window=window)
    with fastmel.patched_librosa():
        found = librosa.feature.melspectrogram(y=y, window=window)
    np.testing.assert_allclose(found, theirs, atol=1e-10 * theirs.max())


def test_thresholds_that_librosa_takes_are_taken(rng, librosa_1):
    y = rng.standard_normal(4096)

    def rate():
        return librosa.feature.zero_crossing_rate(
            y, threshold=0.1, ref_magnitude=lambda magnitudes: magnitudes.max(axis=-2)
        )

    theirs = rate()
    with fastmel.patched_librosa():
        np.testing.assert_array_equal(rate(), theirs)


def test_channels_share_a_peak_as_in_the_librosa_that_is_patched(rng):
    S = rng.uniform(0, 1, (2, 4, 5)) * np.array([1e-9, 1.0])[:, None, None]
    y = rng.standard_normal((2, 9000)) * np.array([[1e-5], [1.0]])
    calls = (
        lambda: librosa.power_to_db(S),
        lambda: librosa.amplitude_to_db(S, ref=np.max),
        lambda: librosa.feature.mfcc(y=y),
        lambda: librosa.feature.mfcc(y=y[0]),
        lambda: librosa.effects.split(y, ref=np.max),
        lambda: librosa.perceptual_weighting(S, [100, 200, 300, 400]),
    )
    expected = [call() for call in calls]
    with fastmel.patched_librosa():
        for call, theirs in zip(calls, expected, strict=True):
            np.testing.assert_allclose(call(), theirs, atol=1e-8)


def test_functions_for_the_reference_are_called_as_librosa_calls_them(librosa_1):
    S = np.array([[1.0, 10.0], [100.0, 1000.0]])
    with fastmel.patched_librosa():
        if librosa_1:
            with pytest.raises(librosa.ParameterError, match="axis"):
                librosa.power_to_db(S, ref=lambda S: S[0, 0])
        else:
            np.testing.assert_allclose(
                librosa.power_to_db(S, ref=lambda S: S[0, 1]), [[-10, 0], [10, 20]], atol=1e-12
            )


@pytest.mark.parametrize("seed", [3, "generator", "state"])
def test_griffinlim_draws_the_phases_of_the_librosa_that_is_patched(rng, librosa_1, seed):
    S = np.abs(librosa.stft(rng.standard_normal(4096)))

    def find():
        made = {"generator": np.random.default_rng, "state": np.random.RandomState}
        source = made[seed](3) if seed in made else seed
        return librosa.griffinlim(S, n_iter=2, **{"rng" if librosa_1 else "random_state": source})

    theirs = find()
    with fastmel.patched_librosa():
        np.testing.assert_allclose(find(), theirs, atol=1e-9)


def test_griffinlim_of_what_only_librosa_takes(librosa_1):
    S = np.ones((1025, 9), np.complex64)
    with pytest.raises(fastmel.ParameterError):
        fastmel.griffinlim(S)
    with fastmel.patched_librosa():
        assert librosa.griffinlim(S, n_iter=1).shape == (4096,)
        with pytest.raises((TypeError, librosa.ParameterError), match=r"seed|random_state"):
            librosa.griffinlim(S.real, **{"rng" if librosa_1 else "random_state": "seed"})
