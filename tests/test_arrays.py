import copy
import inspect
import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import fastmel
from fastmel import (
    ParameterError,
    arrays,
    audio,
    convert,
    effects,
    feature,
    inversion,
    spectrum,
    util,
    weighting,
)

Y = np.sin(np.arange(6000.0)).astype(np.float32)
D = np.exp(1j * np.arange(33 * 12.0)).reshape(33, 12)
S = np.abs(D.real) + 0.1
HZ = np.array([100.0, 1000.0, 3000.0])
NUMBERS = np.arange(5)

#: by module, the calls whose first argument, or else the named one, is an array
CALLS = {
    audio: {
        "to_mono": ((Y,), {}),
        "resample": ((Y,), {"orig_sr": 16000, "target_sr": 8000}),
        "get_duration": ((), {"y": Y}),
    },
    convert: {
        "hz_to_mel": ((HZ,), {}),
        "mel_to_hz": ((HZ / 100,), {}),
        "blocks_to_frames": ((NUMBERS,), {"block_length": 16}),
        "blocks_to_samples": ((NUMBERS,), {"block_length": 16, "hop_length": 512}),
        "blocks_to_time": ((NUMBERS,), {"block_length": 16, "hop_length": 512, "sr": 8000}),
        "frames_to_samples": ((NUMBERS,), {}),
        "frames_to_time": ((NUMBERS,), {}),
        "samples_to_frames": ((NUMBERS,), {}),
        "samples_to_time": ((NUMBERS,), {}),
        "time_to_frames": ((NUMBERS,), {}),
        "time_to_samples": ((NUMBERS,), {}),
        "samples_like": ((S,), {}),
        "times_like": ((S,), {}),
    },
    spectrum: {
        "stft": ((Y,), {"n_fft": 512}),
        "magphase": ((D,), {}),
        "power_to_db": ((S,), {}),
        "amplitude_to_db": ((S,), {"ref": np.max}),
        "db_to_power": ((S,), {}),
        "db_to_amplitude": ((S,), {}),
        "pcen": ((S,), {"return_zf": True}),
    },
    inversion: {
        "istft": ((D,), {}),
        "griffinlim": ((S,), {"n_iter": 2, "rng": 0}),
    },
    effects: {
        "preemphasis": ((Y,), {"return_zf": True}),
        "deemphasis": ((Y,), {}),
        "trim": ((Y,), {}),
        "split": ((Y,), {}),
    },
    weighting: {
        "A_weighting": ((HZ,), {}),
        "B_weighting": ((HZ,), {}),
        "C_weighting": ((HZ,), {}),
        "D_weighting": ((HZ,), {}),
        "Z_weighting": ((HZ,), {}),
        "frequency_weighting": ((HZ,), {"kind": "B"}),
        "multi_frequency_weighting": ((HZ,), {}),
        "perceptual_weighting": ((S[:3], HZ), {}),
    },
    util: {
        "fix_length": ((Y,), {"size": 7000}),
        "frame": ((Y,), {"frame_length": 64, "hop_length": 16}),
        "normalize": ((S,), {}),
        "pad_center": ((Y,), {"size": 7000}),
        "valid_audio": ((Y,), {}),
    },
    feature: {
        "delta": ((S,), {}),
        "melspectrogram": ((), {"y": Y, "n_mels": 20}),
        "mfcc": ((), {"y": Y, "n_mels": 20}),
        "rms": ((), {"S": S, "frame_length": 64}),
        "spectral_bandwidth": ((), {"S": S}),
        "spectral_centroid": ((), {"S": S, "freq": np.arange(33.0)}),
        "spectral_flatness": ((), {"y": Y}),
        "spectral_rolloff": ((), {"S": S}),
        "stack_memory": ((S,), {}),
        "zero_crossing_rate": ((Y,), {}),
    },
}
TABLE = [(getattr(m, name), *call) for m, calls in CALLS.items() for name, call in calls.items()]
NO_ARRAYS = {"load", "stream", "get_samplerate", "mel_frequencies", "fft_frequencies"}


class WithArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class WithDLPack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class FakeTensor(WithArray):
    """What fastmel uses of a torch.Tensor."""

    requires_grad = False
    device = SimpleNamespace(type="cpu")
    dtype = "torch.float64"

    def resolve_conj(self):
        return self

    resolve_neg = resolve_conj

    def numpy(self):
        return self.array


def fake_from_numpy(array):
    assert isinstance(array, np.ndarray)
    assert array.flags.writeable
    return FakeTensor(array)


@pytest.fixture(params=["fake", "real"])
def torch(request, monkeypatch):
    """PyTorch, and something like it that is always there."""
    if request.param == "real":
        return pytest.importorskip("torch")
    module = ModuleType("torch")
    module.Tensor, module.from_numpy = FakeTensor, fake_from_numpy
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def converted(call, make):
    """The arguments of a call, made of its arrays."""
    arguments, kwargs = call

    def convert(value):
        return make(value.copy()) if isinstance(value, np.ndarray) else value

    return [convert(a) for a in arguments], {k: convert(v) for k, v in kwargs.items()}


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def test_every_public_function_is_in_the_table():
    for module, calls in CALLS.items():
        functions = {name for name in module.__all__ if callable(getattr(module, name))}
        assert set(calls) == functions - NO_ARRAYS


@pytest.mark.parametrize("make", [WithArray, WithDLPack])
@pytest.mark.parametrize(("function", "arguments", "kwargs"), TABLE)
def test_arrays_of_other_libraries_go_in(function, arguments, kwargs, make):
    others, named = converted((arguments, kwargs), make)
    expected = parts(function(*arguments, **kwargs))
    for ours, theirs in zip(parts(function(*others, **named)), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
        assert type(ours) is type(theirs)


@pytest.mark.parametrize(("function", "arguments", "kwargs"), TABLE)
def test_tensors_come_out_where_tensors_go_in(function, arguments, kwargs, torch):
    tensors, named = converted((arguments, kwargs), torch.from_numpy)
    expected = parts(function(*arguments, **kwargs))
    for tensor, array in zip(parts(function(*tensors, **named)), expected, strict=True):
        if isinstance(array, np.ndarray):
            assert isinstance(tensor, torch.Tensor)
            np.testing.assert_array_equal(tensor.numpy(), array, strict=True)
        else:
            assert tensor == array
            assert type(tensor) is type(array)


def test_a_stream_of_tensors_ends_with_one(torch):
    tensor = torch.from_numpy(Y.copy())
    transform = fastmel.frontend("hifigan")
    stream = transform.stream()
    found = [stream.push(tensor), stream.push(tensor), stream.flush()]
    assert all(isinstance(frames, torch.Tensor) for frames in found)
    both = np.concatenate([frames.numpy() for frames in found], axis=1)
    np.testing.assert_array_equal(both, transform(np.concatenate([Y, Y])))
    stream.reset()
    stream.push(tensor)
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert isinstance(other.flush(), torch.Tensor)
    stream.push(Y)
    assert isinstance(stream.flush(), np.ndarray)
    stream.reset()
    assert isinstance(stream.flush(), np.ndarray)


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_arrays_of_other_libraries_are_drawn(kind, torch):
    display = pytest.importorskip("fastmel.display")
    from matplotlib.figure import Figure

    make = WithArray if kind == "array" else torch.from_numpy
    theirs, ours = Figure().add_subplot(), Figure().add_subplot()
    mesh = display.specshow(make(S), x_coords=make(np.arange(12.0)), ax=ours)
    expected = display.specshow(S, x_coords=np.arange(12.0), ax=theirs)
    np.testing.assert_array_equal(mesh.get_array(), expected.get_array())
    np.testing.assert_array_equal(mesh.get_coordinates(), expected.get_coordinates())
    wave, expected = display.waveshow(make(Y), ax=ours), display.waveshow(Y, ax=theirs)
    np.testing.assert_array_equal(wave.steps.get_xydata(), expected.steps.get_xydata())


def test_memory_is_shared_with_tensors(torch):
    y = torch.from_numpy(Y.copy())
    assert np.shares_memory(arrays.as_numpy(y), y.numpy())
    view = util.fix_length(y, size=100)
    assert np.shares_memory(view.numpy(), y.numpy())
    assert np.shares_memory(arrays.like(y, Y).numpy(), Y)


def test_a_tensor_that_is_filled_or_handed_on_is_returned(torch):
    y = torch.from_numpy(Y.copy())
    out = torch.from_numpy(np.zeros((257, 47), np.complex64))
    assert spectrum.stft(y, n_fft=512, out=out) is out
    np.testing.assert_array_equal(out.numpy(), spectrum.stft(Y, n_fft=512))
    assert spectrum.stft(Y, n_fft=512, out=out) is out
    assert audio.resample(y, orig_sr=8000, target_sr=8000) is y


def test_one_tensor_among_arrays_is_enough(torch):
    window = torch.from_numpy(np.hanning(512))
    assert isinstance(spectrum.stft(Y, n_fft=512, window=window), torch.Tensor)


def test_numbers_become_tensors_without_axes(torch):
    mel = convert.hz_to_mel(torch.from_numpy(np.array(440.0)))
    assert isinstance(mel, torch.Tensor)
    assert mel.numpy().shape == ()
    assert mel.numpy() == convert.hz_to_mel(440.0)


def test_what_is_no_array_is_left_alone(torch):
    for x in (None, 3, "hann", [1.0], np.float32, np.float64(2), np.ma.zeros(3), object(), Y):
        assert arrays.as_numpy(x) is x
        assert arrays.like(x, Y) is Y
    tensor = torch.from_numpy(Y.copy())
    assert arrays.like(tensor, None) is None
    assert arrays.like(tensor, 0.5) == 0.5


@pytest.mark.parametrize("make", [WithArray, WithDLPack, "tensor"])
def test_errors_are_those_of_ndarrays(make, torch):
    make = torch.from_numpy if make == "tensor" else make
    with pytest.raises(ParameterError, match="floating-point, not int64"):
        spectrum.stft(make(np.arange(5000)))


# what cannot go in


def test_fake_tensors_that_cannot_go_in_are_told(monkeypatch):
    module = ModuleType("torch")
    module.Tensor = FakeTensor
    monkeypatch.setitem(sys.modules, "torch", module)
    tensor = FakeTensor(Y)
    tensor.requires_grad = True
    with pytest.raises(ParameterError, match=r"requires grad: give tensor\.detach\(\)"):
        spectrum.stft(tensor)
    tensor = FakeTensor(Y)
    tensor.device = SimpleNamespace(type="cuda")
    with pytest.raises(ParameterError, match=r"computes on the CPU.*give tensor\.cpu\(\)"):
        feature.melspectrogram(y=tensor)
    tensor = FakeTensor(Y)
    monkeypatch.setattr(FakeTensor, "numpy", lambda self: memoryview(3))
    with pytest.raises(ParameterError, match=r"torch\.float64.*give tensor\.float\(\)"):
        spectrum.stft(tensor)


def test_tensors_that_cannot_go_in_are_told():
    torch = pytest.importorskip("torch")
    for tensor, advice in (
        (torch.zeros(9, requires_grad=True), "detach"),
        (torch.zeros(9, device="meta"), "cpu"),
        (torch.zeros(9, dtype=torch.bfloat16), "float"),
    ):
        with pytest.raises(ParameterError, match=rf"give tensor\.{advice}\(\)"):
            spectrum.stft(tensor)


def test_conjugate_tensors_go_in():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(D.copy())
    np.testing.assert_array_equal(inversion.istft(tensor.conj()), inversion.istft(D.conj()))


def test_arrays_out_of_reach_are_told():
    class Elsewhere(WithDLPack):
        def __dlpack__(self, **kwargs):
            raise BufferError("only DLPack on device 2")

    with pytest.raises(ParameterError, match=r"Elsewhere \(only DLPack.*copy it to the CPU"):
        spectrum.stft(Elsewhere(Y))


# what stays


def test_torch_is_not_imported():
    code = (
        "import sys, numpy, fastmel; fastmel.stft(numpy.zeros(4096)); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_series_is_an_array():
    pandas = pytest.importorskip("pandas")
    levels = fastmel.power_to_db(pandas.Series([1.0, 10.0]))
    np.testing.assert_array_equal(levels, [0.0, 10.0], strict=False)


def test_functions_keep_their_names_and_parameters():
    assert spectrum.stft.__name__ == "stft"
    assert "Fourier" in spectrum.stft.__doc__
    assert next(iter(inspect.signature(spectrum.stft).parameters)) == "y"
