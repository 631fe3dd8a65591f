"""The GPU engine on a GPU, against the reference; skipped where there is none."""

import os
import warnings

import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines import cuda

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
    "odd": {"sr": 16000, "n_fft": 1458, "hop_length": 147, "n_mels": 30},
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


@pytest.mark.parametrize("name", frontends.names())
def test_front_ends_of_signals_of_many_lengths(rng, speech, name):
    transform = fastmel.frontend(name, engine="cuda")
    reference = fastmel.frontend(name, engine="reference")
    sr = transform.sample_rate
    signals = [speech(sr, seconds) for seconds in (0.2, 1.0, 3.17)]
    signals += [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (5000, 20001)]
    together = transform(signals)
    for y, found in zip(signals, together, strict=True):
        np.testing.assert_array_equal(transform(y), found)  # alone and in company
        expected = reference(y.astype(float))
        assert found.shape == expected.shape
        assert np.sqrt(((found - expected) ** 2).mean()) <= 1e-4
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-2)


def test_parts_on_two_streams_agree_with_single_calls(rng):
    transform = fastmel.frontend("whisper", engine="cuda")
    batch = (0.1 * rng.standard_normal((40, 160000))).astype(np.float32)  # 25 MB: four parts
    found = transform(batch)
    for y, of_one in zip(batch, found, strict=True):
        np.testing.assert_array_equal(transform(y), of_one)
    batch[17, 99] = np.nan
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
