"""Arrays on a GPU, in and out: in the simulator, whose device memory is the processor's."""

import ctypes
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

import fastmel
from fastmel.engines import cuda, cuda_arrays, cuda_program

pytestmark = pytest.mark.usefixtures("simulator", "library")

SMALL = {"sr": 16000, "n_fft": 64, "hop_length": 16, "n_mels": 6, "log": "db"}


class Stream:
    """A stream that remembers who waited for it."""

    def __init__(self, number):
        self.number, self.n_waits, self.n_events = number, 0, 0

    def synchronize(self):
        self.n_waits += 1


class Event:
    """An event that remembers where it was recorded, and how often it was waited for."""

    def __init__(self):
        self.stream, self.n_waits = None, 0

    def record(self, stream):
        self.stream = stream

    def wait(self, stream):
        stream.n_events += 1

    def synchronize(self):
        self.n_waits += 1


class Devices:
    """GPUs that remember which of them were made the current one."""

    def __init__(self):
        self.entered, self.current = [], SimpleNamespace(id=0)

    def __getitem__(self, number):
        @contextmanager
        def entered():
            before, self.current = self.current, SimpleNamespace(id=number)
            self.entered.append(number)
            try:
                yield
            finally:
                self.current = before

        return entered()


class Array:
    """Another library's array: what it says by __cuda_array_interface__."""

    def __init__(self, values, stream=None, strides=None, is_read_only=False):
        self.values, self.stream, self.strides = values, stream, strides
        self.is_read_only = is_read_only

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.values.ctypes.data, self.is_read_only),
            "strides": self.strides,
            "stream": self.stream,
            "version": 3,
        }


class Exporter:
    """Another library's array that has DLPack only."""

    def __init__(self, values):
        self.values = values

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __dlpack_device__(self):
        return 2, 0


@pytest.fixture
def library(simulator, monkeypatch):
    """What the simulator's CUDA module lacks: arrays and streams of others."""
    module = cuda_arrays.cuda

    def as_cuda_array(x, sync):
        assert not sync  # or all that the stream has to do would be waited for
        interface = x.__cuda_array_interface__
        dtype = np.dtype(interface["typestr"])
        n_bytes = dtype.itemsize * int(np.prod(interface["shape"]))
        memory = (ctypes.c_char * n_bytes).from_address(interface["data"][0])
        values = np.frombuffer(memory, dtype=dtype).reshape(interface["shape"])
        array = module.to_device(np.empty(0))
        array._ary = values
        array.is_c_contiguous = lambda: interface["strides"] is None
        return array

    streams = {0: Stream(0)}
    monkeypatch.setattr(module, "event", Event)
    monkeypatch.setattr(module, "as_cuda_array", as_cuda_array, raising=False)
    monkeypatch.setattr(module, "default_stream", lambda: streams[0], raising=False)
    monkeypatch.setattr(
        module, "external_stream", lambda n: streams.setdefault(n, Stream(n)), raising=False
    )
    interface = property(lambda self: Array(self._ary).__cuda_array_interface__)
    monkeypatch.setattr(
        type(module.to_device(np.empty(0))), "__cuda_array_interface__", interface, raising=False
    )
    cuda_arrays.stream_by_number.cache_clear()
    cuda_program._room_on.cache_clear()
    yield streams
    cuda_arrays.stream_by_number.cache_clear()
    cuda_program._room_on.cache_clear()


def noise(rng, *shape):
    return (0.1 * rng.standard_normal(shape)).astype(np.float32)


def transform_pair(**options):
    here = fastmel.MelSpectrogram(**SMALL, **options, engine="cuda")
    return here, fastmel.MelSpectrogram(**SMALL, **options, engine="reference")


def test_an_array_there_gives_a_result_there(rng):
    transform, reference = transform_pair()
    y = noise(rng, 2, 3, 100)
    found = transform(Array(y))
    assert isinstance(found, cuda_arrays.DeviceArray)
    assert (found.shape, found.dtype, len(found)) == ((2, 3, 6, 7), np.float32, 2)
    assert repr(found) == "<DeviceArray of float32, shape (2, 3, 6, 7)>"
    np.testing.assert_allclose(found.copy_to_host(), reference(y), rtol=0, atol=1e-3)
    again = cuda_arrays.flat(found)  # as another library would take it
    np.testing.assert_array_equal(again.as_numba().copy_to_host(), found.copy_to_host().ravel())


def test_lists_and_batches_there(rng):
    transform, reference = transform_pair(pad_value=5.0, normalize="mean", layout="frames_first")
    signals = [noise(rng, n) for n in (100, 40, 64)]
    expected = [reference(y) for y in signals]
    for found, of_one in zip(transform([Array(y) for y in signals]), expected, strict=True):
        np.testing.assert_allclose(found.copy_to_host(), of_one, rtol=0, atol=1e-3)
    padded, n_frames = transform.batch([Array(y) for y in signals])
    assert padded.shape == (3, 7, 6)
    np.testing.assert_array_equal(n_frames, [7, 3, 5])
    for found, of_one, n in zip(padded.copy_to_host(), expected, n_frames, strict=True):
        np.testing.assert_allclose(found[:n], of_one, rtol=0, atol=1e-3)
        assert (found[n:] == 5).all()


def test_lists_of_arrays_of_several_axes_there(rng):
    transform, reference = transform_pair()
    arrays = [noise(rng, 2, 3, 100), noise(rng, 40), noise(rng, 0, 50), noise(rng, 1, 64)]
    found = transform([Array(y) for y in arrays])
    for of_one, expected in zip(found, reference(arrays), strict=True):
        assert of_one.shape == expected.shape
        np.testing.assert_allclose(of_one.copy_to_host(), expected, rtol=0, atol=1e-3)


def test_what_is_no_signal_there_is_refused(rng):
    transform, _ = transform_pair()
    scalar = Array(np.array(0.5, dtype=np.float32))
    for given in (scalar, [scalar], [Array(noise(rng, 100)), scalar]):
        with pytest.raises(fastmel.ParameterError, match="must be at least one-dimensional"):
            transform(given)
    for y in (scalar, Array(noise(rng, 2, 100)), noise(rng, 2, 100)):  # as of NumPy's arrays
        with pytest.raises(fastmel.ParameterError, match=r"of the batch has shape .* one axis"):
            transform.batch([y])


def test_half_precision_there(rng):
    transform, reference = transform_pair(dtype="float16")
    y = noise(rng, 100).astype(np.float16)
    found = transform(Array(y))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.copy_to_host(), reference(y), rtol=2e-3)


def test_out_is_filled_and_returned(rng):
    transform, reference = transform_pair(top_db=20)
    y, out = noise(rng, 2, 100), Array(np.full((2, 6, 7), np.nan, dtype=np.float32))
    assert transform(Array(y), out=out) is out
    np.testing.assert_allclose(out.values, reference(y), rtol=0, atol=1e-3)


REFUSED = [
    (lambda y: Array(y.astype(np.float64)), None, "float32 or float16, and the samples are float6"),
    (lambda y: Array(y, strides=(8, 4)), None, "must be C-contiguous"),
    (Array, lambda: np.empty((2, 6, 7), dtype=np.float32), "out is not; give out there, too"),
    (Array, lambda: Array(np.empty((2, 7, 6), dtype=np.float32)), r"shape \(2, 7, 6\); give a C-"),
    (Array, lambda: Array(np.empty((2, 6, 7), dtype=np.float16)), "out is float16 of"),
    (
        Array,
        lambda: Array(np.empty((2, 6, 7), dtype=np.float32), is_read_only=True),
        "out is read-only; give a writable array",
    ),
]


@pytest.mark.parametrize(("samples", "out", "message"), REFUSED)
def test_what_does_not_fit_is_refused(rng, samples, out, message):
    transform, _ = transform_pair()
    with pytest.raises(fastmel.ParameterError, match=message):
        transform(samples(noise(rng, 2, 100)), out=out and out())


def test_work_is_put_on_the_caller_s_stream(rng, library, monkeypatch):
    rooms = []
    launch = cuda_program.Program._launch
    monkeypatch.setattr(
        cuda_program.Program,
        "_launch",
        lambda self, room, *args: rooms.append(room) or launch(self, room, *args),
    )
    transform, _ = transform_pair()
    for number, expected in ((None, 0), (1, 0), (77, 77)):
        found = transform(Array(noise(rng, 100), stream=number))
        assert rooms[-1].stream is library[expected]
        assert found.__cuda_array_interface__["stream"] == (number or 1)
        assert library[expected].n_waits == 0
    transform([Array(noise(rng, 100), stream=number) for number in (77, 88)])
    assert rooms[-1].stream is library[77]
    assert (library[77].n_waits, library[88].n_waits) == (0, 1)
    assert (library[77].n_events, library[88].n_events) == (0, 1)


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs of which the first is the current one, and every array is on the second."""
    devices = Devices()
    monkeypatch.setattr(cuda_arrays.cuda, "gpus", devices)
    monkeypatch.setattr(cuda_arrays, "device_at", lambda address: 1)
    return devices


def test_work_is_put_on_the_gpu_that_has_the_samples(rng, gpus, monkeypatch):
    launch, current = cuda_program.Program._launch, []
    monkeypatch.setattr(
        cuda_program.Program,
        "_launch",
        lambda self, *args: current.append(gpus.current.id) or launch(self, *args),
    )
    monkeypatch.setattr(cuda_arrays, "exported", lambda x, **options: gpus.current.id)
    transform, _ = transform_pair()
    found = transform(Array(noise(rng, 100)))
    assert (current, gpus.entered, gpus.current.id) == ([1], [1], 0)
    assert found.__dlpack_device__() == found[:1].reshape((7,)).__dlpack_device__() == (2, 1)
    assert found.__dlpack__() == 1
    found.copy_to_host()
    assert gpus.entered == [1, 1, 1]


def test_arrays_on_two_gpus_are_refused(rng, gpus):
    here = Exporter(noise(rng, 100))
    with pytest.raises(fastmel.ParameterError, match="must be on one GPU"):
        transform_pair()[0]([here, Array(noise(rng, 100))])


def test_the_driver_is_asked_for_the_gpu_that_has_an_address(monkeypatch):
    driver = SimpleNamespace(
        CUpointer_attribute=SimpleNamespace(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL=9),
        CUresult=SimpleNamespace(CUDA_SUCCESS=0),
        cuPointerGetAttribute=lambda attribute, address: (0, 3) if address else (1, None),
    )
    monkeypatch.setattr(cuda, "IS_SIMULATED", False)
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(driver=driver))
    assert cuda.device_at(4096) == 3
    assert cuda.device_at(0) == 0  # an empty array's


def test_a_result_is_waited_for_without_its_stream_which_may_be_gone(rng, library):
    transform, _ = transform_pair()
    found = transform(Array(noise(rng, 100), stream=77))
    assert found._ready.stream is library[77]
    found[2:].reshape((28,)).copy_to_host()
    assert (found._ready.n_waits, library[77].n_waits) == (1, 0)
    assert transform(Array(noise(rng, 100), stream=88), out=found) is found
    assert found._ready.stream is library[88]
    assert found.__cuda_array_interface__["stream"] == 88


@pytest.fixture
def dlpack(monkeypatch):
    """What DLPack hands over; the arrays that were taken by it."""
    taken = []

    def memory_of(x):
        taken.append(x)
        memory, is_read_only = x.values, not x.values.flags.writeable
        return SimpleNamespace(
            shape=x.shape,
            dtype=x.dtype,
            strides=None,
            ptr=memory.ctypes.data,
            readonly=is_read_only,
        )

    monkeypatch.setattr(cuda_arrays, "memory_of", memory_of)
    monkeypatch.setattr(cuda_arrays, "exported", lambda x, **options: (x, options))
    return taken


def test_dlpack_in_and_out(rng, dlpack):
    transform, reference = transform_pair()
    y = Exporter(noise(rng, 100))
    found = transform(y)
    assert dlpack == [y]
    np.testing.assert_allclose(found.copy_to_host(), reference(y.values), rtol=0, atol=1e-3)
    assert found.__dlpack_device__() == (2, 0)
    exported = (found, {"stream": -1, "max_version": (1, 0)})
    assert found.__dlpack__(stream=5, max_version=(1, 0), dl_device=(2, 0), copy=False) == exported
    for options in ({"dl_device": (1, 0)}, {"copy": True}):
        with pytest.raises(BufferError, match=r"lends its own memory, .* call copy_to_host\(\)"):
            found.__dlpack__(**options)
    n_waits = found._ready.n_waits
    found.__dlpack__(stream=-1, max_version=(1, 0))
    assert found._ready.n_waits == n_waits
    found.__dlpack__(stream=5)  # for a taker on another stream
    assert found._ready.n_waits == n_waits + 1


def test_memory_that_dlpack_lends_is_used_no_longer_than_the_call_takes(rng, library, dlpack):
    transform, _ = transform_pair()
    transform([Array(noise(rng, 100), stream=77)])
    assert library[77].n_waits == 0
    transform([Array(noise(rng, 100), stream=77), Exporter(noise(rng, 100))])
    assert library[77].n_waits == 1
    out = Exporter(np.empty((6, 7), dtype=np.float32))
    assert transform(Array(noise(rng, 100), stream=77), out=out) is out
    assert library[77].n_waits == 2
    out.values.setflags(write=False)
    with pytest.raises(fastmel.ParameterError, match="out is read-only"):
        transform(Array(noise(rng, 100)), out=out)


def test_threads_on_their_own_default_streams_have_memory_of_their_own(rng, monkeypatch):
    rooms, launch = [], cuda_program.Program._launch
    monkeypatch.setattr(
        cuda_program.Program,
        "_launch",
        lambda self, room, *args: rooms.append(room) or launch(self, room, *args),
    )
    transform, _ = transform_pair()
    for number in (2, 77):
        y = Array(noise(rng, 100), stream=number)
        transform(y)
        thread = threading.Thread(target=transform, args=(y,))
        thread.start()
        thread.join()
    assert rooms[0] is not rooms[1]
    assert rooms[2] is rooms[3]


def test_tables_are_there_before_streams_that_do_not_wait_for_them_begin(rng, monkeypatch):
    steps, launch = [], cuda_program.launch
    monkeypatch.setattr(cuda_arrays.cuda, "synchronize", lambda: steps.append("wait"))
    monkeypatch.setattr(
        cuda_program, "launch", lambda *args: steps.append("launch") or launch(*args)
    )
    transform, _ = transform_pair()
    for _ in range(2):
        transform(Array(noise(rng, 100), stream=77))
    assert steps.count("wait") == 1
    assert steps.index("wait") < steps.index("launch")


@pytest.fixture
def torch(monkeypatch):
    """As much of PyTorch as tensors on a GPU need."""

    class Tensor(Array):
        device = SimpleNamespace(type="cuda", index=0)
        requires_grad = False
        dtype = property(lambda self: f"torch.{self.values.dtype}")

        @property
        def __cuda_array_interface__(self):
            return Array(self.values).__cuda_array_interface__

        def __dlpack_device__(self):
            return 2, 0

        def reshape(self, shape):
            return Tensor(self.values.reshape(shape))

    module = SimpleNamespace(
        Tensor=Tensor,
        float32="float32",
        empty=lambda size, dtype, device: Tensor(np.full(size, np.nan, dtype=dtype)),
        cuda=SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=99)),
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_tensors_give_tensors_on_the_current_stream(rng, library, torch):
    transform, reference = transform_pair()
    y = torch.Tensor(noise(rng, 2, 100))
    found = transform(y)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.values, reference(y.values), rtol=0, atol=1e-3)
    assert set(library) == {0, 99}
    y.requires_grad = True
    with pytest.raises(fastmel.ParameterError, match=r"requires grad: give tensor.detach\(\)"):
        transform(y)
