import os
import subprocess
import sys

import numpy as np
import pytest

import fastmel
from fastmel import engines
from fastmel.engines.plan import mel_plan


def why_not(config, dtype="float32"):
    from fastmel.engines import fused

    return fused.why_not(mel_plan(fastmel.MelConfig(**config)), np.dtype(dtype))


def test_it_says_what_it_cannot_compute():
    assert why_not({}) is None
    assert why_not({}, "float64") is None
    assert "float16" in why_not({}, "float16")
    assert "prime factor" in why_not({"n_fft": 2048 + 2})
    assert "at most 65536" in why_not({"n_fft": 1 << 17, "n_mels": 1})
    assert "power" in why_not({"power": 1.5})
    assert "amin" in why_not({"amin": 1e-40, "log": "db"})
    assert why_not({"amin": 1e-40, "log": "db"}, "float64") is None


def test_auto_falls_back_and_force_does_not():
    assert fastmel.MelSpectrogram().engine == "fused"
    assert fastmel.MelSpectrogram(n_fft=1031).engine == "scipy"
    with pytest.raises(fastmel.ParameterError, match=r"prime factor.*engine=\"scipy\""):
        fastmel.MelSpectrogram(n_fft=1031, engine="fused")
    with pytest.raises(fastmel.ParameterError, match=r"'warp' is not one of 'auto'"):
        fastmel.MelSpectrogram(engine="warp")


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("n_fft", [400, 512, 441])
@pytest.mark.parametrize("hop_length", [100, 512, 700])
def test_stft_is_the_reference(rng, n_fft, hop_length, dtype, bound):
    y = rng.standard_normal((2, 40 * hop_length + 5)).astype(dtype)
    framing = {"n_fft": n_fft, "hop_length": hop_length, "center": True, "pad_mode": "reflect"}
    window = rng.standard_normal(n_fft)
    shape = (2, 1 + (y.shape[1] - n_fft % 2) // hop_length, 1 + n_fft // 2)
    found = np.full(shape, np.nan, dtype=np.result_type(dtype, np.complex64))
    engines.stft(y, window=window, **framing, out=found, engine="fused")
    expected = np.full(shape, np.nan, dtype=np.complex128)
    engines.stft(y.astype(float), window=window, **framing, out=expected, engine="reference")
    peak = np.abs(expected).max(axis=-1, keepdims=True)
    assert (np.abs(found - expected) <= bound * peak).all()


def test_the_kernels_compute_in_single_precision_only():
    # a kernel that was loaded from the cache has no assembly to show
    script = """
from fastmel.engines import fused
from fastmel import MelSpectrogram, stft
import numpy as np
y = np.zeros(4000, dtype=np.float32)
MelSpectrogram(n_fft=480, hop_length=120, n_mels=20)(y)
stft(y, n_fft=480)
shape = fused._Shape(480, fused.simd_width(), 4, n_inputs=16, is_linear=True)
for kernel in (fused._mel_kernel(shape, 0), fused._transform_kernel(shape, False)):
    for assembly in kernel.inspect_asm().values():
        print(assembly)
"""
    environment = {**os.environ, "FASTMEL_CACHE": "0"}
    assembly = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert "mulps" in assembly or "fmul" in assembly
    for widening in ("cvtps2pd", "cvtss2sd", "fcvtl"):
        assert widening not in assembly
