"""What the GPU engine says where it cannot be used: one sentence, and what to do."""

import importlib.metadata
import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import fastmel
from fastmel.cli import main
from fastmel.engines import cuda, cuda_program

Y = np.zeros(4000, dtype=np.float32)


@pytest.fixture
def machine(monkeypatch):
    """Make a machine up: its packages, its driver, its GPUs."""

    def make(package="numba-cuda", packages_for="13.0.1", driver=(13, 0), n_gpus=1, context=None):
        versions = {package: "0.30.4", "cuda-bindings": packages_for}

        def version(name):
            if name not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        def driver_version():
            if isinstance(driver, Exception):
                raise driver
            return driver

        def current_context():
            if context is not None:
                raise context

        module = SimpleNamespace(gpus=[None] * n_gpus, current_context=current_context)
        monkeypatch.setattr(cuda, "IS_SIMULATED", False)
        monkeypatch.setattr(cuda, "version", version)
        monkeypatch.setattr(cuda, "_driver_version", driver_version)
        monkeypatch.setattr(cuda, "cuda", module)
        monkeypatch.setattr(cuda, "_owner", None)

    return make


MACHINES = [
    ({"package": None}, r'needs a package for CUDA: pip install "fastmel\[cu13\]"'),
    (
        {"driver": RuntimeError('"cuda" is an NVIDIA driver library and can only be found')},
        "there is no NVIDIA driver here .*; install one, or use engine=.auto",
    ),
    ({"n_gpus": 0}, "the driver finds no GPU here|finds no GPU here"),
    ({"driver": OSError("CUDA_ERROR_NO_DEVICE")}, "finds no GPU here .*CUDA_VISIBLE_DEVICES"),
    ({"driver": OSError("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")}, "driver is too old"),
    (
        {"driver": (12, 4)},
        r"driver is for CUDA 12.4, and the installed packages are for CUDA 13: update the driver, "
        r'or install "fastmel\[cu12\]"',
    ),
    ({"driver": OSError("the moon\nis full")}, "CUDA does not start: the moon is full; repair"),
    ({"context": OSError("CUDA_ERROR_DEVICE_UNAVAILABLE")}, "compute mode.* is exclusive or prohi"),
]


@pytest.mark.parametrize(("options", "message"), MACHINES)
def test_a_machine_without_a_usable_gpu(machine, options, message, capsys, tmp_path):
    machine(**options)
    transform = fastmel.frontend("whisper", engine="cuda")  # made anywhere, used on a GPU
    for call in (transform, lambda y: transform([y]), lambda y: transform.batch([y])):
        with pytest.raises(fastmel.ParameterError, match=message):
            call(Y)
    assert cuda.describe().startswith("none: ")
    target = tmp_path / "a.npy"
    assert main(["mel", "a.wav", "-o", str(target), "--engine", "cuda"]) == 2
    assert "error: " in capsys.readouterr().err
    assert not target.exists()


def test_a_machine_with_a_gpu(machine):
    machine(package="numba-cuda-mlir", driver=(13, 1))
    cuda.check()
    assert cuda._owner == os.getpid()


def test_a_gpu_whose_memory_is_full_before_anything_begins(machine):
    machine(context=OSError("Call to cuDevicePrimaryCtxRetain results in CUDA_ERROR_OUT_OF_MEMORY"))
    with pytest.raises(MemoryError, match=r"no memory left .* choose another GPU"):
        fastmel.frontend("whisper", engine="cuda")(Y)
    assert cuda.describe().startswith("none: the GPU has no memory left")
    assert cuda._owner is None  # the next call tries again


def test_info_names_the_gpu_or_the_reason(capsys):
    assert main(["info"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("gpu ")]
    assert "none: " in line or cuda.IS_SIMULATED or "compute capability" in line


def test_a_numba_that_has_no_cuda_of_its_own():
    code = (
        "import sys; sys.modules['numba.cuda'] = None; import numpy, fastmel\n"
        "from fastmel.cli import main; main(['info'])\n"
        "try: fastmel.frontend('whisper', engine='cuda')(numpy.zeros(4000, 'f4'))\n"
        "except fastmel.ParameterError as error: print(error)"
    )
    if find_spec("numba_cuda") or find_spec("numba_cuda_mlir"):
        pytest.skip("a package for CUDA is installed")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.count('needs a package for CUDA: pip install "fastmel[cu13]"') == 2


def test_a_forked_child_of_a_process_with_cuda(monkeypatch):
    monkeypatch.setattr(cuda, "_owner", os.getpid() + 1)
    monkeypatch.setattr(cuda_program, "_lock", None)  # a thread of the parent may have held it
    with pytest.raises(RuntimeError, match=r'forked .* "spawn" method, or use engine="auto"'):
        fastmel.frontend("whisper", engine="cuda")(Y)
    assert "forked" in cuda.describe()


@pytest.mark.parametrize("reason", ["initialized before forking", "CUDA_ERROR_NOT_INITIALIZED"])
def test_a_forked_child_of_a_process_where_others_use_cuda(machine, reason):
    machine(context=OSError(reason))
    with pytest.raises(RuntimeError, match=r'forked .* "spawn" method, or use engine="auto"'):
        fastmel.frontend("whisper", engine="cuda")(Y)
    assert "forked" in cuda.describe()


@pytest.mark.parametrize(
    "message",
    ["Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY", "CUDA out of memory. Tried to"],
)
def test_too_little_memory(monkeypatch, message):
    def make(*args):
        raise OSError(message)

    monkeypatch.setattr(cuda, "_owner", os.getpid())
    monkeypatch.setattr(cuda_program, "_rooms", make)
    gpus = SimpleNamespace(current=SimpleNamespace(id=0))
    module = SimpleNamespace(gpus=gpus, current_context=lambda: None)
    monkeypatch.setattr(cuda, "cuda", module)
    monkeypatch.setattr(cuda_program, "cuda", module)
    with pytest.raises(MemoryError, match=r"the GPU's memory is too small .* fewer or shorter"):
        fastmel.frontend("whisper", engine="cuda")(Y)


@pytest.mark.parametrize(
    ("field", "n_of_each"), [("n_given", 1), ("n_signal", 1), ("n_bands", 128), ("n_out", 128)]
)
def test_more_than_kernels_can_count(field, n_of_each):
    transform = fastmel.MelSpectrogram(engine="cuda")
    lengths = transform._lengths(len(Y))
    most = (1 << 30) // n_of_each
    transform._program._check_lengths([lengths._replace(**{field: most})])
    with pytest.raises(fastmel.ParameterError, match=r"more than 2\*\*30 .* cut it into pieces"):
        transform._program._check_lengths([lengths._replace(**{field: most + 1})])


def test_importing_fastmel_and_computing_on_the_cpu_import_no_cuda():
    code = (
        "import sys, numpy, fastmel; fastmel.MelSpectrogram()(numpy.zeros(3000, 'f4'));"
        "print(*{'fastmel.engines.cuda', 'cuda.bindings'}.intersection(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


class OnGPU:
    """An array of another library on a GPU, as far as a look at it goes."""

    dtype, shape = np.dtype(np.float32), (4000,)
    __cuda_array_interface__ = None


class InManagedMemory:
    shape = (4000,)

    def __dlpack_device__(self):
        return 13, 0


@pytest.mark.parametrize("engine", ["auto", "fused", "scipy", "reference"])
@pytest.mark.parametrize("array", [OnGPU(), InManagedMemory()])
def test_engines_of_the_cpu_refuse_arrays_on_a_gpu(engine, array):
    transform = fastmel.MelSpectrogram(engine=engine)
    for call in (transform, lambda y: transform([y]), lambda y: transform.batch([y])):
        with pytest.raises(fastmel.ParameterError, match=r"on a GPU.*make the transform with engi"):
            call(array)


@pytest.mark.parametrize("engine", ["auto", "cuda"])
def test_samples_here_and_out_there_are_refused(engine):
    with pytest.raises(fastmel.ParameterError, match="out is; give out here, too"):
        fastmel.MelSpectrogram(engine=engine)(Y, out=OnGPU())


def test_signals_here_and_there_are_refused():
    transform = fastmel.MelSpectrogram(engine="cuda")
    with pytest.raises(fastmel.ParameterError, match="some of the signals are on a GPU"):
        transform.batch([OnGPU(), Y])
