"""What the compiler makes of the kernels, without a GPU: registers, memory, instructions.

Needs numba-cuda, and NVIDIA's assembler of the same minor version of CUDA:

    pip install 'fastmel[cu13]' 'cuda-toolkit[nvcc]'
"""

import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

import fastmel
from fastmel import frontends
from fastmel.engines import cuda, cuda_ending, cuda_line
from fastmel.engines.cuda_layout import STEPS, Ending, Layout
from fastmel.engines.plan import mel_plan

ARCHITECTURES = {"sm_80": (8, 0), "sm_90": (9, 0), "sm_120": (12, 0)}
MAKERS = (
    cuda_line.line_of,
    cuda_ending.cepstra_of,
    cuda_ending.statistics_of,
    cuda_ending.finish_of,
)
#: of a multiprocessor
REGISTERS, THREADS = 65536, 2048

CONFIGS = {
    "whisper": frontends.preset("whisper"),
    "kaldi-mfcc": frontends.preset("kaldi-mfcc"),
    "clap": frontends.preset("clap", padding="10s"),
    "librosa's": fastmel.MelConfig(log="db"),
    "4096": fastmel.MelConfig(n_fft=4096, hop_length=1024, log="db"),
    "600": fastmel.MelConfig(n_fft=600, hop_length=150, n_mels=40, layout="frames_first"),
    "16": fastmel.MelConfig(sr=1000, n_fft=16, hop_length=8, n_mels=2, power=3.0),
    "960": fastmel.MelConfig(sr=48000, n_fft=960, hop_length=480, n_mels=64, log="db", top_db=80),
    "2000": fastmel.MelConfig(sr=16000, n_fft=2000, hop_length=500, remove_dc=True, log="ln"),
    "1024": fastmel.MelConfig(n_fft=1024, hop_length=341, n_mels=46, power=3.0, remove_dc=True),
    "1536": fastmel.MelConfig(n_fft=1536, hop_length=441, n_mels=60, dtype="float16"),
}
#: those that are compiled for every architecture, which takes 3 s each
EVERYWHERE = ("whisper", "kaldi-mfcc", "librosa's")
LINES = [
    (name, architecture)
    for name in CONFIGS
    for architecture in ARCHITECTURES
    if name in EVERYWHERE or architecture == "sm_90"
]
#: front ends that need the kernels of whole signals
WHOLE = ("whisper", "nemo", "seamless", "kaldi-mfcc", "sensevoice")


def assembler():
    """NVIDIA's ptxas, of the wheel or on the path."""
    spec = find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else ():
        for file in Path(folder).glob("*/bin/ptxas*"):
            return str(file)
    return shutil.which("ptxas")


needs = pytest.mark.skipif(
    cuda.IS_SIMULATED or find_spec("numba_cuda") is None or assembler() is None,
    reason="needs numba-cuda, NVVM and ptxas: pip install 'fastmel[cu13]' 'cuda-toolkit[nvcc]'",
)


@pytest.fixture
def architecture(request, monkeypatch):
    """A GPU to compile for; device functions ask for the one that is there."""
    from numba.cuda import dispatcher

    capability = ARCHITECTURES[request.param]
    for make in MAKERS:
        make.cache_clear()
    monkeypatch.setattr(
        dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=capability)
    )
    yield request.param
    for make in MAKERS:
        make.cache_clear()


def compiled(kernel, arguments, architecture, folder):
    """The PTX of a kernel, and what the assembler says about it."""
    bounds = kernel.targetoptions["launch_bounds"]
    ptx, _ = cuda.cuda.compile_ptx(
        kernel.py_func,
        arguments,
        cc=ARCHITECTURES[architecture],
        launch_bounds=bounds,
        fastmath=kernel.targetoptions["fastmath"],
    )
    assert f".maxntid {bounds[0]}" in ptx
    file = folder / "kernel.ptx"
    file.write_text(ptx)
    command = [assembler(), "-v", f"-arch={architecture}", "-o", str(folder / "cubin"), str(file)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return ptx, report


def array(dtype, n_axes=1):
    from numba.cuda import types

    return types.Array(getattr(types, dtype), n_axes, "C")


@cache
def steps(name):
    config = CONFIGS[name] if name in CONFIGS else frontends.preset(name)
    plan = mel_plan(config)
    ending = Ending.of(config, plan)
    return config, ending, Layout.of(config, plan, ending)


def number(pattern, text):
    return int(re.search(pattern, text)[1])


def check_registers(kernel, ptx, report):
    n_threads, n_blocks = kernel.targetoptions["launch_bounds"]
    assert n_threads * n_blocks >= THREADS // 2 or n_blocks == 16
    assert number(r"Used (\d+) registers", report) <= REGISTERS // (n_threads * n_blocks) // 8 * 8
    assert kernel.targetoptions["lto"] is False  # what is looked at here is what runs
    assert number(r"(\d+) bytes spill stores", report) == 0
    assert number(r"(\d+) bytes stack frame", report) == 0
    assert ".local" not in ptx
    assert ".f64" not in ptx
    assert "call" not in ptx


@needs
@pytest.mark.parametrize(("name", "architecture"), LINES, indirect=["architecture"])
def test_the_line_keeps_to_its_registers(name, architecture, tmp_path):
    config, ending, layout = steps(name)
    out = "float16" if ending.is_empty and config.dtype == "float16" else "float32"
    arguments = (
        array(out),  # samples of the same type
        array("int64", 2),
        array("uint64"),
        array("uint64"),
        array("uint64"),
        array("uint64"),
        array(out),
        array("float32", 2),
    )
    kernel = cuda_line.line_of(layout)
    ptx, report = compiled(kernel, arguments, architecture, tmp_path)
    check_registers(kernel, ptx, report)
    assert number(r"(\d+) bytes smem", report) <= layout.n_bytes
    # each value is loaded and stored as what it is: shared or global, never "either"
    assert not re.search(r"\b(ld|st)\.[fu]\d", ptx)
    # both parts of a number at once, in every pass, and neighbours of a spectrum
    n_stores = layout.n_spectra + sum(layout.radices[:-1])
    assert len(re.findall(r"st\.shared\.v2\.[fb]32", ptx)) >= n_stores
    assert len(re.findall(r"ld\.shared\.v2\.[fb]32", ptx)) >= sum(layout.radices)
    # and those of two frames
    n_at_once = 2 * layout.n_frames_each
    assert len(re.findall(rf"ld\.shared\.v{n_at_once}\.[fb]32", ptx)) >= STEPS // 2
    # 64 bits are for addresses: sums, and products by the size of a value
    assert not re.search(r"\b(div|rem)\S*64", ptx)


@needs
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("architecture", ["sm_90"], indirect=True)
def test_kernels_of_whole_signals_keep_to_theirs(name, architecture, tmp_path):
    _, ending, _ = steps(name)
    values, rows, state = array("float32"), array("int64", 2), array("float32", 2)
    if ending.n_mfcc is not None:
        kernel = cuda_ending.cepstra_of(ending, ending.n_mfcc)
        arguments = (values, rows, state, array("float32", 2), values)
        check_registers(kernel, *compiled(kernel, arguments, architecture, tmp_path))
        ending = ending.after_cepstra
    if ending.normalize:
        arguments = (values, rows, state, array("float32", 3))
        kernel = cuda_ending.statistics_of(ending)
        check_registers(kernel, *compiled(kernel, arguments, architecture, tmp_path))
    arguments = (values, rows, state, array("float32", 3), array("float32", 2), values)
    for is_in_place in (True, False):
        kernel = cuda_ending.finish_of(ending, is_in_place)
        check_registers(kernel, *compiled(kernel, arguments, architecture, tmp_path))
