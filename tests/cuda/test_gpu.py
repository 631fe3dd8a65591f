"""The GPU engine on a GPU, or on an emulated one (see emulator), against the reference."""

import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel import frontends
from fastmel.cli import main
from fastmel.engines import cuda, cuda_program

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        cuda.IS_SIMULATED or cuda.describe().startswith("none: "), reason=cuda.describe()
    ),
    pytest.mark.filterwarnings("ignore:Empty filters"),
]

CONFIGS = {
    "default": {},
    "whisper": {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect"},
    "speech": {"sr": 16000, "n_fft": 512, "hop_length": 160, "win_length": 400, "n_mels": 40},
    "vocoder": {"n_fft": 1024, "hop_length": 256, "n_mels": 80, "fmax": 8000, "power": 1.0},
    "left": {"n_fft": 512, "hop_length": 128, "center": False, "window": "hamming", "n_mels": 64},
    "gaps": {"sr": 16000, "n_fft": 400, "hop_length": 1000, "n_mels": 20, "pad_mode": "edge"},
    "long": {"n_fft": 4096, "hop_length": 1024, "n_mels": 128, "pad_mode": "symmetric"},
    "three passes over rows": {"n_fft": 1920, "hop_length": 480, "n_mels": 64},
    "odd": {"sr": 16000, "n_fft": 1458, "hop_length": 147, "n_mels": 30},
    # places in shared memory that compilers take from products of halves of a word
    "places by dp2a": {"sr": 16000, "n_fft": 1152, "hop_length": 288, "n_mels": 64},
    "cube": {"n_fft": 512, "hop_length": 100, "n_mels": 30, "power": 3.0},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_reference_within_the_budget_of_the_cpu(rng, speech, music, name):
    config = CONFIGS[name]
    n_samples = 37 * config.get("hop_length", 512) + config.get("n_fft", 2048)
    signals = {
        "noise": 0.1 * rng.standard_normal(n_samples),
        "speech": speech(16000, n_samples / 16000 + 1, np.float64)[:n_samples],
        "music": music(22050, n_samples / 22050 + 1, np.float64)[:n_samples],
        "tone": 0.9 * np.sin(0.3 * np.arange(n_samples)),
    }
    for kind, y64 in signals.items():
        y = y64.astype(np.float32)
        expected = fastmel.MelSpectrogram(**config, engine="reference")(y.astype(float))
        found = fastmel.MelSpectrogram(**config, engine="cuda")(y)
        peak = expected.max(axis=-2, keepdims=True)
        assert (np.abs(found - expected) <= 5e-6 * peak).all(), kind
        expected = fastmel.MelSpectrogram(**config, log="db", engine="reference")(y.astype(float))
        found = fastmel.MelSpectrogram(**config, log="db", engine="cuda")(y)
        loud = expected > expected.max(axis=-2, keepdims=True) - 50
        assert (np.abs(found - expected)[loud] <= 1e-3).all(), kind


def rms(x):
    return np.sqrt((np.float64(x) ** 2).mean())


@pytest.mark.parametrize("name", frontends.names())
def test_front_ends_of_signals_of_many_lengths(rng, speech, name):
    transform = fastmel.frontend(name, engine="cuda")
    cpu, reference = fastmel.frontend(name), fastmel.frontend(name, engine="reference")
    sr = transform.sample_rate
    signals = [speech(sr, seconds) for seconds in (0.2, 1.0, 3.17)]
    signals += [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (5000, 20001)]
    together = transform(signals)
    for y, found in zip(signals, together, strict=True):
        np.testing.assert_array_equal(transform(y), found)  # alone and in company
        expected = reference(y.astype(float))
        assert found.shape == expected.shape
        # silence has logarithms of rounding errors: no more of them than on the CPU
        allowed = 1e-5 + 3 * rms(cpu(y) - expected)
        assert rms(found - expected) <= allowed


def test_parts_on_two_streams_agree_with_single_calls(rng, monkeypatch):
    monkeypatch.setattr(cuda_program, "_PART", 400_000)  # five parts
    transform = fastmel.frontend("whisper", engine="cuda")
    batch = (0.1 * rng.standard_normal((15, 40000))).astype(np.float32)
    found = transform(batch)
    for y, of_one in zip(batch, found, strict=True):
        np.testing.assert_array_equal(transform(y), of_one)
    batch[7, 99] = np.nan
    with pytest.raises(fastmel.ParameterError, match="not finite"):
        transform(batch)
    np.testing.assert_array_equal(transform(batch[:3]), found[:3])


def test_numba_s_arrays_stay_on_the_gpu(rng):
    transform = fastmel.MelSpectrogram(log="db", engine="cuda")
    y = rng.standard_normal((3, 30000)).astype(np.float32)
    found = transform(cuda.cuda.to_device(y))
    np.testing.assert_array_equal(found.copy_to_host(), transform(y))
    assert found.__dlpack_device__()[0] == 2


@pytest.mark.parametrize("package", ["torch", "cupy"])
def test_arrays_of_other_libraries(rng, package):
    library = pytest.importorskip(package)
    transform = fastmel.frontend("whisper", engine="cuda")
    y = (0.1 * rng.standard_normal((2, 48000))).astype(np.float32)
    there = library.from_numpy(y).cuda() if package == "torch" else library.asarray(y)
    expected, found = transform(y), transform(there)
    back = library.from_dlpack(found)
    on_host = back.cpu().numpy() if package == "torch" else back.get()
    np.testing.assert_array_equal(on_host, expected)
    assert type(found) is type(there) or package == "cupy"
    out = library.empty_like(back)
    assert transform(there, out=out) is out


class Array:
    """Another library's array: memory there, and the stream on which it is ready."""

    def __init__(self, values, stream):
        self.values, self.stream = values, stream

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    @property
    def __cuda_array_interface__(self):
        return self.values.__cuda_array_interface__ | {"stream": self.stream}


class Lender:
    """Another library's array that has DLPack only."""

    def __init__(self, values):
        self.values = values

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __dlpack_device__(self):
        return 2, cuda.device_at(self.values.__cuda_array_interface__["data"][0])

    def __dlpack__(self, stream=None, **options):
        return cuda.exported(self.values, **options)


def test_dlpack_in_and_out(rng):
    transform = fastmel.MelSpectrogram(log="db", top_db=60, engine="cuda")
    y = rng.standard_normal((2, 9000)).astype(np.float32)
    expected = transform(y)
    found = transform(Lender(cuda.cuda.to_device(y)))
    np.testing.assert_array_equal(found.copy_to_host(), expected)
    taken = cuda.memory_of(found)
    assert (taken.shape, taken.dtype, taken.readonly) == (found.shape, np.float32, False)
    assert taken.ptr == found.__cuda_array_interface__["data"][0]
    out = cuda.cuda.device_array(expected.shape, np.float32)
    lender = Lender(out)
    assert transform([Lender(cuda.cuda.to_device(y))], out=None)[0].shape == expected.shape
    assert transform(Lender(cuda.cuda.to_device(y)), out=lender) is lender
    np.testing.assert_array_equal(out.copy_to_host(), expected)


def test_samples_that_are_no_numbers_are_found_where_there_is_no_result_either():
    options = {"stack": (40, 3), "stack_ends": "drop"}
    y = np.zeros(9000, dtype=np.float32)
    y[4000] = np.nan
    for engine in ("auto", "cuda"):
        transform = fastmel.MelSpectrogram(**options, engine=engine)
        assert transform(np.zeros_like(y)).shape[-1] == 0
        with pytest.raises(fastmel.ParameterError, match="not finite"):
            transform(y)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_what_is_too_large_for_the_result_is_no_number_of_it(rng, power):
    options = {"n_fft": 256, "hop_length": 100, "n_mels": 20, "power": power}
    y = (1e20 * rng.standard_normal(4000)).astype(np.float32)
    for log in (None, "db"):
        found = fastmel.MelSpectrogram(**options, log=log, engine="cuda")(y)
        assert not np.isfinite(found).any()  # as on the CPU


def test_samples_that_are_not_aligned_are_refused():
    class Odd:
        shape, dtype = (9000,), np.dtype(np.float32)

    there, odd = cuda.cuda.device_array(40000, np.uint8), Odd()
    address = there.__cuda_array_interface__["data"][0] + 2
    odd.__cuda_array_interface__ = {
        "shape": odd.shape, "typestr": "<f4", "data": (address, False), "version": 3
    }  # fmt: skip
    with pytest.raises(fastmel.ParameterError, match="C-contiguous and aligned; copy it first"):
        fastmel.MelSpectrogram(engine="cuda")(odd)


@pytest.mark.parametrize("options", [{"top_db": 60}, {"energy": "raw"}, {"ref": "max"}])
def test_samples_there_that_are_no_numbers_give_frames_that_are_none(rng, options):
    transform = fastmel.MelSpectrogram(n_fft=512, log="db", engine="cuda", **options)
    y = rng.standard_normal(9000).astype(np.float32)
    y[4000] = np.nan
    found = transform(cuda.cuda.to_device(y)).copy_to_host()
    np.testing.assert_array_equal(np.isnan(found).any(axis=0), np.isnan(found).all(axis=0))
    assert 0 < np.isnan(found).all(axis=0).sum() < found.shape[1]


def test_a_result_there_is_no_array_of_numpy_s(rng):
    y = cuda.cuda.to_device(rng.standard_normal(9000).astype(np.float32))
    found = fastmel.MelSpectrogram(engine="cuda")(y)
    for take in (np.asarray, np.log, fastmel.power_to_db):
        with pytest.raises(fastmel.ParameterError, match=r"on a GPU; call copy_to_host\(\)"):
            take(found)


def test_samples_that_are_still_on_their_way_on_a_stream_of_their_own(rng):
    from cuda.bindings import driver

    transform = fastmel.frontend("whisper", engine="cuda")
    y = (0.1 * rng.standard_normal(20000)).astype(np.float32)
    expected, pinned = transform(y), cuda.cuda.pinned_array(y.shape, np.float32)
    there = cuda.cuda.device_array(y.shape, np.float32)
    pinned[:] = y
    _, handle = driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    there.copy_to_device(pinned, stream=cuda.cuda.external_stream(int(handle)))
    found = transform(Array(there, int(handle)))
    assert found.__cuda_array_interface__["stream"] == int(handle)
    np.testing.assert_array_equal(found.copy_to_host(), expected)
    # lists of what is on several streams
    other = cuda.cuda.device_array(y.shape, np.float32)
    other.copy_to_device(pinned, stream=cuda.cuda.default_stream())
    for found in transform([Array(there, int(handle)), Array(other, 1)]):
        np.testing.assert_array_equal(found.copy_to_host(), expected)


def test_other_streams_of_a_call_go_on_when_it_is_done(rng):
    from cuda.bindings import driver

    transform = fastmel.MelSpectrogram(log="db", engine="cuda")
    y = rng.standard_normal(20000).astype(np.float32)
    expected, there = transform(y), cuda.cuda.to_device(y)
    _, handle = driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    stream = cuda.cuda.external_stream(int(handle))
    out, taken = cuda.cuda.device_array(expected.shape, np.float32), expected * 0
    transform(Array(there, 1), out=Array(out, int(handle)))
    out.copy_to_host(taken, stream=stream)  # out is read there
    np.testing.assert_array_equal(taken, expected)
    zeros, other = cuda.cuda.pinned_array(y.shape, np.float32), cuda.cuda.to_device(y)
    zeros[:] = 0
    found = transform([Array(there, 1), Array(other, int(handle))])
    other.copy_to_device(zeros, stream=stream)  # samples are overwritten there
    stream.synchronize()
    for of_one in found:
        np.testing.assert_array_equal(of_one.copy_to_host(), expected)


def test_threads_do_not_disturb_each_other(rng):
    transform = fastmel.frontend("whisper", engine="cuda")
    signals = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in range(4000, 12000, 1000)]
    expected = [transform(y) for y in signals]

    def compute(i):
        y = signals[i]
        if i % 2:
            return transform(Array(cuda.cuda.to_device(y), 2)).copy_to_host()
        return transform(y)

    with ThreadPoolExecutor(4) as pool:
        for found, of_one in zip(pool.map(compute, range(len(signals))), expected, strict=True):
            np.testing.assert_array_equal(found, of_one)


def test_the_gpu_that_has_the_samples_computes_and_the_current_one_stays():
    if len(cuda.cuda.gpus) < 2:
        pytest.skip("there is one GPU only")
    command = [sys.executable, "-c", TWO_GPUS]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


#: in a process of its own: it is about what a GPU's first use does
TWO_GPUS = """
import emulator
import numpy as np
from cuda.bindings import driver
from numba import cuda
import fastmel

def on_second(y):  # not by Numba, whose first use of it is to be fastmel's
    _, context = driver.cuDevicePrimaryCtxRetain(1)
    driver.cuCtxPushCurrent(context)
    _, address = driver.cuMemAlloc(y.nbytes)
    driver.cuMemcpyHtoD(address, y.ctypes.data, y.nbytes)
    driver.cuCtxPopCurrent()
    interface = {"shape": y.shape, "typestr": y.dtype.str, "version": 3}
    Array = type("Array", (), {"shape": y.shape, "dtype": y.dtype})
    Array.__cuda_array_interface__ = interface | {"data": (int(address), False)}
    return Array()

transform = fastmel.MelSpectrogram(log="db", top_db=60, engine="cuda")
y = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
there = [cuda.to_device(y), on_second(y)]
for number in (1, 0):
    found = transform(there[number])
    assert found.__dlpack_device__() == (2, number)
    assert cuda.gpus.current.id == 0
    np.testing.assert_array_equal(found.copy_to_host(), transform(y))
    assert cuda.gpus.current.id == 0
try:
    transform(there)
except fastmel.ParameterError as error:
    assert "must be on one GPU" in str(error)
else:
    raise AssertionError("arrays on two GPUs were taken")
"""


#: in processes of their own: what the first compiles, the second loads
KEPT = """
import emulator
import numpy as np
import fastmel
from fastmel.engines import cuda_ending, cuda_line
transform = fastmel.frontend("whisper", engine="cuda")
y = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
found = transform(y)
program = transform._program
kernels = cuda_line.line_of(program.layout), cuda_ending.finish_of(program.ending, True)
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels), found.sum())
"""


def test_compiled_kernels_are_found_by_the_next_process(tmp_path):
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "FASTMEL_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", KEPT]
    first, second = (
        subprocess.run(command, check=True, env=os.environ | paths, stdout=subprocess.PIPE)
        for _ in range(2)
    )
    (n_first, sum_first), (n_second, sum_second) = first.stdout.split(), second.stdout.split()
    assert (int(n_first), int(n_second)) == (0, 2)
    assert sum_first == sum_second


def test_the_command_line_takes_the_gpu(rng, tmp_path, capsys):
    y = (0.1 * rng.standard_normal(9000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", y, 16000, subtype="FLOAT")
    target = tmp_path / "a.npy"
    command = ["mel", str(tmp_path / "a.wav"), "-o", str(target), "--frontend", "whisper"]
    assert main([*command, "--engine", "cuda"]) == 0
    expected = fastmel.frontend("whisper", engine="cuda")(y)
    np.testing.assert_array_equal(np.load(target), expected)
    assert main(["info"]) == 0
    assert cuda.describe() in capsys.readouterr().out


def test_a_forked_child_is_told_so():
    transform = fastmel.MelSpectrogram(engine="cuda")
    transform(np.zeros(4000, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            transform(np.zeros(4000, dtype=np.float32))
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_too_long_a_signal_is_a_memory_error():
    free, _ = cuda.cuda.current_context().get_memory_info()
    left = 1 << 28
    taken = cuda.cuda.device_array(free - left, np.uint8)
    y = np.zeros(left // 2, dtype=np.float32)  # twice the bytes that are left
    with pytest.raises(MemoryError, match="GPU's memory is too small"):
        fastmel.MelSpectrogram(hop_length=1 << 16, center=False, engine="cuda")(y)
    del taken


def test_longer_signals_take_the_place_of_shorter_ones():
    transform = fastmel.MelSpectrogram(n_frames=2, hop_length=1 << 16, center=False, engine="cuda")
    transform(np.zeros(4000, dtype=np.float32))
    free, _ = cuda.cuda.current_context().get_memory_info()
    left = 1 << 27
    taken = cuda.cuda.device_array(free - left, np.uint8)
    for share in (0.5, 0.7):
        transform(np.zeros(int(share * left / 4), dtype=np.float32))
    del taken
