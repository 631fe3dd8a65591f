"""The GPU engine on a GPU: kernels alone, with copies, and against torchaudio on the same GPU.

    pip install 'fastmel[cu13]' torch torchaudio
    pytest benches/bench_cuda.py -s

Kernels are timed by events, with as much work before them on the stream that the GPU never waits
for Python. Bytes are those of samples and results, once; the bandwidth is that of a copy of as many
bytes, measured beside it.
"""

from statistics import median
from time import perf_counter

import numpy as np
import pytest

import fastmel
from fastmel.engines import cuda

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        cuda.IS_SIMULATED or cuda.describe().startswith("none: "), reason=cuda.describe()
    ),
]

CASES = {
    "whisper, 64 x 30 s": ("whisper", {}, (64, 480000)),
    "whisper without its maximum, 64 x 30 s": ("whisper", {"top_db": None}, (64, 480000)),
    "kaldi, 64 x 30 s": ("kaldi", {}, (64, 480000)),
    "hifigan, 64 x 10 s": ("hifigan", {}, (64, 220500)),
    "2048/512/128 in dB, 64 x 30 s": (None, {"log": "db"}, (64, 661500)),
    "4096/1024/128 in dB, 64 x 30 s": (
        None,
        {"log": "db", "sr": 48000, "n_fft": 4096, "hop_length": 1024},
        (64, 1440000),
    ),
}


def transform_of(name, options):
    if name is None:
        return fastmel.MelSpectrogram(**options, engine="cuda")
    return fastmel.frontend(name, **options, engine="cuda")


def on_gpu(call, n_calls=10, n_rounds=7):
    """Seconds of a call's work on the GPU: the median of rounds of calls."""
    module = cuda.cuda
    stream = module.default_stream()
    ahead = module.device_array(1 << 28, np.float32), module.device_array(1 << 28, np.float32)
    call()
    times = []
    for _ in range(n_rounds):
        begin, end = module.event(), module.event()
        for _ in range(30):  # the GPU is busy while Python puts calls on the stream
            ahead[0].copy_to_device(ahead[1], stream=stream)
        begin.record(stream)
        for _ in range(n_calls):
            call()
        end.record(stream)
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / n_calls)
    return median(times)


def on_clock(call, n_calls=20):
    """Seconds of a call as its caller waits for it."""
    call()
    times = []
    for _ in range(n_calls):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return median(times)


def noise(shape):
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def bench_kernels_and_copies(case):
    name, options, shape = CASES[case]
    transform, y = transform_of(name, options), noise(shape)
    there = cuda.cuda.to_device(y)
    result = transform(there)
    n_bytes = y.nbytes + 4 * int(np.prod(result.shape))
    here = np.empty(result.shape, dtype=np.float32)
    out = cuda.cuda.to_device(here)
    kernels = on_gpu(lambda: transform(there, out=out))
    half = [cuda.cuda.device_array(n_bytes // 8, np.float32) for _ in range(2)]
    copy = on_gpu(lambda: half[0].copy_to_device(half[1], stream=cuda.cuda.default_stream()))
    whole = on_clock(lambda: transform(y, out=here), 5)
    n_frames = shape[0] * transform.frames(shape[1])
    print(
        f"\n{cuda.describe()}\n{case}: kernels {1e6 * kernels:.0f} us, "
        f"{1e9 * kernels / n_frames:.2f} ns a frame, {n_bytes / kernels / 1e9:.0f} GB/s: "
        f"{copy / kernels:.0%} of a copy's {n_bytes / copy / 1e9:.0f} GB/s; "
        f"from NumPy to NumPy {1e3 * whole:.2f} ms"
    )


@pytest.mark.parametrize("case", ["whisper without its maximum, 64 x 30 s"])
def bench_torchaudio(case):
    torch = pytest.importorskip("torch")
    torchaudio = pytest.importorskip("torchaudio")
    _, _, shape = CASES[case]
    y = torch.from_numpy(noise(shape)).cuda()
    theirs = torchaudio.transforms.MelSpectrogram(
        sample_rate=16000, n_fft=400, hop_length=160, n_mels=80
    ).cuda()
    ours = transform_of(*CASES[case][:2])

    def timed(call):
        call()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(10):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 10

    ratios = [timed(lambda: theirs(y).clamp(min=1e-10).log10()) / timed(lambda: ours(y))
              for _ in range(7)]  # fmt: skip
    print(f"\n{case}: torchaudio takes {median(ratios):.1f} times as long")


def bench_one_second():
    transform, y = fastmel.frontend("whisper", engine="cuda"), noise(16000)
    print(
        f"\nwhisper, 1 s, from NumPy to NumPy: {1e6 * on_clock(lambda: transform(y), 200):.0f} us"
    )
