"""Every engine against the float64 reference, and against itself under every split of the work."""

import warnings

import numpy as np
import pytest

import fastmel
from fastmel import engines
from fastmel.engines import pool

ENGINES = ("scipy", "fused")

CONFIGS = {
    "default": {},
    "whisper": {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80, "pad_mode": "reflect"},
    "speech": {"sr": 16000, "n_fft": 512, "hop_length": 160, "win_length": 400, "n_mels": 40},
    "vocoder": {"n_fft": 1024, "hop_length": 256, "n_mels": 80, "fmax": 8000, "power": 1.0},
    "left": {"n_fft": 512, "hop_length": 128, "center": False, "window": "hamming", "n_mels": 64},
    "gaps": {"sr": 16000, "n_fft": 400, "hop_length": 1000, "n_mels": 20, "pad_mode": "edge"},
    "odd": {"sr": 16000, "n_fft": 441, "hop_length": 147, "n_mels": 30, "pad_mode": "symmetric"},
    "dense": {"sr": 8000, "n_fft": 512, "hop_length": 7, "n_mels": 24, "pad_mode": "linear_ramp"},
    "htk": {"sr": 16000, "n_fft": 400, "hop_length": 160, "htk": True, "norm": None, "fmin": 20},
    "tiny": {"sr": 100, "n_fft": 15, "hop_length": 4, "n_mels": 2, "norm": 1},
}
#: what only the scipy engine computes
GENERAL = {
    "prime": {"n_fft": 487, "hop_length": 100, "n_mels": 30},
    "cube": {"n_fft": 512, "hop_length": 100, "n_mels": 30, "power": 3.0},
    "one": {"sr": 100, "n_fft": 1, "hop_length": 1, "n_mels": 1},
}


def signals(rng, speech, music, n_samples):
    """Named float64 signals of one length."""
    t = np.arange(n_samples)
    return {
        "noise": 0.1 * rng.standard_normal(n_samples),
        "speech": speech(16000, max(n_samples, 1) / 16000 + 1, np.float64)[:n_samples],
        "music": music(22050, max(n_samples, 1) / 22050 + 1, np.float64)[:n_samples],
        "chirp": 0.5 * np.sin(0.3 * np.pi * t**2 / max(n_samples, 1))
        + 1e-3 * rng.standard_normal(n_samples),
    }


def compute(config, engine, y, **options):
    """The engine's result, written over NaN so that nothing can be left out."""
    transform = fastmel.MelSpectrogram(**config, engine=engine, **options)
    shape = (*y.shape[:-1], transform.config.n_mels, transform.frames(y.shape[-1]))
    out = np.full(shape, np.nan, dtype=y.dtype)
    assert transform(y, out=out) is out
    return out


@pytest.fixture(autouse=True)
def _no_empty_filter_warning():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters")
        yield


def lengths(config):
    """Signal lengths around which framing goes wrong."""
    n_fft, hop = config.get("n_fft", 2048), config.get("hop_length", 512)
    if not config.get("center", True):
        return [n_fft, n_fft + 1, n_fft + hop - 1, n_fft + hop, n_fft + 40 * hop + 3]
    around = [
        1,
        2,
        hop - 1,
        hop,
        hop + 1,
        n_fft - 1,
        n_fft,
        n_fft + 1,
        15 * hop,
        16 * hop,
        33 * hop,
    ]
    return sorted({n for n in around if n > 0})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*CONFIGS, *GENERAL])
def test_float32_is_the_reference_within_the_budget(rng, speech, music, engine, name):
    if engine == "fused" and name in GENERAL:
        pytest.skip("not one of its sizes and powers")
    config = (CONFIGS | GENERAL)[name]
    n_samples = 37 * config.get("hop_length", 512) + config.get("n_fft", 2048)
    for kind, y64 in signals(rng, speech, music, n_samples).items():
        y = y64.astype(np.float32)
        expected = compute(config, "reference", y.astype(np.float64))
        found = compute(config, engine, y)
        peak = expected.max(axis=-2, keepdims=True)
        assert (np.abs(found - expected) <= 5e-6 * peak).all(), kind
        # A float32 FFT (SciPy's too) is off by 1.3e-7 of the frame's largest amplitude. Where that
        # lies in a few bins, a band 60 dB below is one bin of leakage and off by up to 1.3e-4.
        range_db = 50 if kind == "chirp" else 60
        floor = 10 ** (-range_db * config.get("power", 2.0) / 20)
        loud = (expected > floor * peak) & (peak > 1e-12)
        relative = np.abs(found - expected)[loud] / expected[loud]
        assert (relative <= 1e-4).all(), (kind, relative.max())

        expected = compute(config, "reference", y.astype(np.float64), log="db")
        found = compute(config, engine, y, log="db")
        loud = expected > expected.max(axis=-2, keepdims=True) - 60
        assert (np.abs(found - expected)[loud] <= 1e-3).all(), kind


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["default", "whisper", "left", "odd", "tiny"])
def test_nothing_is_written_beside_out(rng, name, engine):
    config = CONFIGS[name]
    n_fft, hop = config.get("n_fft", 2048), config.get("hop_length", 512)
    transform = fastmel.MelSpectrogram(**config, engine=engine)
    for n_hops in (1, 14, 15, 16, 17, 40):
        y = rng.standard_normal((2, n_fft + n_hops * hop)).astype(np.float32)
        shape = (2, transform.config.n_mels, transform.frames(y.shape[1]))
        room = np.full(np.prod(shape) + 2000, 7, dtype=np.float32)
        transform(y, out=room[1000:-1000].reshape(shape))
        assert (room[:1000] == 7).all()
        assert (room[-1000:] == 7).all()

        framing = {"n_fft": n_fft, "hop_length": hop, "center": False, "pad_mode": "constant"}
        shape = (2, 1 + n_hops, 1 + n_fft // 2)
        room = np.full(np.prod(shape) + 60000, 7, dtype=np.complex64)
        out = room[30000:-30000].reshape(shape)
        engines.stft(y, window=np.hanning(n_fft), **framing, out=out, engine=engine)
        assert (room[:30000] == 7).all()
        assert (room[-30000:] == 7).all()


@pytest.mark.parametrize("n_fft", [400, 512, 1024, 2048])
def test_a_full_scale_tone_leaks_no_more_than_rounding(rng, n_fft):
    # noise hides errors that are large beside a quiet bin: a mirror image, a lost twiddle
    for frequency in rng.uniform(0.01, 0.49, 8):
        y = 0.9 * np.sin(2 * np.pi * frequency * np.arange(17 * n_fft))[None].astype(np.float32)
        framing = {"n_fft": n_fft, "hop_length": n_fft, "center": False, "pad_mode": "constant"}
        window = np.hanning(n_fft + 1)[:-1]
        found = np.full((1, 17, n_fft // 2 + 1), np.nan, dtype=np.complex64)
        engines.stft(y, window=window, **framing, out=found, engine="fused")
        expected = np.fft.rfft(y.astype(float).reshape(17, n_fft) * window)
        assert np.abs(found - expected).max() <= 2.5e-7 * np.abs(expected).max()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*CONFIGS, *GENERAL])
def test_float64_is_the_reference(rng, speech, music, name, engine):
    if engine == "fused" and name in GENERAL:
        pytest.skip("not one of its sizes and powers")
    config = (CONFIGS | GENERAL)[name]
    # The reference and scipy share NumPy's FFT and its rounding. Against a long double's, all three
    # engines are off by up to 3e-12 at a billionth of the frame's largest value.
    quiet = {"scipy": 1e-9, "fused": 1e-7}[engine] ** (config.get("power", 2.0) / 2)
    n_samples = 37 * config.get("hop_length", 512) + config.get("n_fft", 2048)
    for kind, y in signals(rng, speech, music, n_samples).items():
        expected = compute(config, "reference", y)
        found = compute(config, engine, y)
        assert found.dtype == np.float64
        scale = np.maximum(expected, quiet * expected.max(axis=-2, keepdims=True))
        assert (np.abs(found - expected) <= 1e-12 * scale).all(), kind

        expected = compute(config, "reference", y, log="ln")
        found = compute(config, engine, y, log="ln")
        loud = expected >= expected.max(axis=-2, keepdims=True) + np.log(quiet)
        scale = np.maximum(np.abs(expected), 1)
        assert (np.abs(found - expected) <= 1e-12 * scale)[loud].all(), kind


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CONFIGS)
def test_awkward_lengths(rng, engine, name):
    config = CONFIGS[name]
    for n_samples in lengths(config):
        y = rng.standard_normal(n_samples).astype(np.float32)
        expected = compute(config, "reference", y.astype(np.float64))
        found = compute(config, engine, y)
        peak = expected.max(axis=-2, keepdims=True)
        assert (np.abs(found - expected) <= 5e-6 * peak).all(), n_samples


@pytest.mark.parametrize("pad_mode", ["constant", "edge", "linear_ramp", "reflect", "symmetric"])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 50, 199, 200, 201, 399, 1000])
@pytest.mark.parametrize("engine", ENGINES)
def test_padding_longer_than_the_signal(rng, engine, pad_mode, n_samples):
    config = {**CONFIGS["whisper"], "pad_mode": pad_mode}
    y = rng.standard_normal(n_samples).astype(np.float32)
    expected = compute(config, "reference", y.astype(np.float64))
    found = compute(config, engine, y)
    assert (np.abs(found - expected) <= 5e-6 * expected.max(axis=-2, keepdims=True)).all()


@pytest.mark.parametrize("log", [None, "db", "ln", "log10"])
@pytest.mark.parametrize("engine", [*ENGINES, "reference"])
def test_silence_is_exactly_the_floor(engine, log):
    y = np.zeros(4000, dtype=np.float32)
    found = compute(CONFIGS["whisper"], engine, y, log=log)
    floor = {None: 0, "db": -100, "ln": np.log(1e-10), "log10": -10}[log]
    np.testing.assert_array_equal(found, np.float32(floor))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_signal_is_silence(engine):
    found = compute(CONFIGS["speech"], engine, np.zeros(0, dtype=np.float32), log="db")
    np.testing.assert_array_equal(found, np.full((40, 1), -100, dtype=np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["default", "whisper", "left", "gaps", "odd"])
def test_bits_depend_on_nothing_but_the_samples(rng, name, engine, dtype):
    config = {**CONFIGS[name], "log": "db"}
    hop, n_fft = config.get("hop_length", 512), config.get("n_fft", 2048)
    batch = rng.standard_normal((5, 700 * hop + n_fft + 13)).astype(dtype)
    threads = fastmel.get_num_threads()
    try:
        fastmel.set_num_threads(1)
        expected = compute(config, engine, batch)
        np.testing.assert_array_equal(compute(config, engine, batch), expected)  # two runs
        for n in (2, 3, 8):
            fastmel.set_num_threads(n)
            np.testing.assert_array_equal(compute(config, engine, batch), expected)
    finally:
        fastmel.set_num_threads(threads)
    for y, result in zip(batch, expected, strict=True):  # a batch and a loop over it
        np.testing.assert_array_equal(compute(config, engine, y), result)

    # a signal and its frames in pieces: 0 to 2 from one cut, the rest from others
    y, result = batch[0], expected[0]
    left = {**config, "center": False}
    lead = n_fft // 2 if config.get("center", True) else 0
    first = -(-lead // hop)  # the first frame that needs no padding
    for n in (1, 2, 15, 16, 17, 40, 300):
        start = first * hop - lead
        piece = y[start : start + (n - 1) * hop + n_fft]
        np.testing.assert_array_equal(compute(left, engine, piece), result[:, first : first + n])
        first += 7


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_fft", [64, 400, 441])
def test_spectra_do_not_depend_on_threads(rng, n_fft, engine):
    y = rng.standard_normal((3, 2000 * n_fft // 4)).astype(np.float32)
    framing = {"n_fft": n_fft, "hop_length": n_fft // 4, "center": False, "pad_mode": "constant"}
    n_frames = 1 + (y.shape[1] - n_fft) // (n_fft // 4)
    spectra = []
    threads = fastmel.get_num_threads()
    try:
        for n in (1, 2, 8):
            fastmel.set_num_threads(n)
            out = np.full((3, n_frames, 1 + n_fft // 2), np.nan, dtype=np.complex64)
            engines.stft(y, window=np.hanning(n_fft), **framing, out=out, engine=engine)
            spectra.append(out)
    finally:
        fastmel.set_num_threads(threads)
    np.testing.assert_array_equal(spectra[1], spectra[0])
    np.testing.assert_array_equal(spectra[2], spectra[0])


@pytest.mark.parametrize("engine", [*ENGINES, "reference"])
@pytest.mark.parametrize("where", [0, 1, 4000, 7999])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["whisper", "left", "gaps"])
def test_a_sample_that_is_not_finite_is_an_error_wherever_it_is(engine, name, where, value):
    y = np.zeros((3, 8000), dtype=np.float32)
    y[1, where] = value
    with pytest.raises(fastmel.ParameterError, match="not finite"):
        fastmel.MelSpectrogram(**CONFIGS[name], engine=engine)(y)


@pytest.mark.parametrize("engine", ENGINES)
def test_powers_beyond_float32_are_not_given_a_finite_logarithm(engine):
    y = np.full(4000, 1e25, dtype=np.float32)
    found = compute(CONFIGS["whisper"], engine, y, log="db")
    assert not np.isfinite(found[0]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_inputs_of_any_layout(rng, engine):
    config = CONFIGS["whisper"]
    y = rng.standard_normal((2, 3, 4000)).astype(np.float32)
    expected = compute(config, engine, y)
    assert expected.shape == (2, 3, 80, 26)
    frozen = y.copy()
    frozen.flags.writeable = False
    views = [
        np.asfortranarray(y),
        np.repeat(y, 2, axis=-1)[..., ::2],
        frozen,
        y[..., ::-1][..., ::-1],
        y.astype(">f4"),
    ]
    transform = fastmel.MelSpectrogram(**config, engine=engine)
    for view in views:
        np.testing.assert_array_equal(transform(view), expected)
    misaligned = np.frombuffer(b"\0" + y.tobytes(), dtype=np.uint8)[1:].view(np.float32)
    np.testing.assert_array_equal(transform(misaligned.reshape(y.shape)), expected)


def test_half_precision_samples_are_computed_in_single(rng):
    y = rng.standard_normal(4000).astype(np.float16)
    transform = fastmel.MelSpectrogram(**CONFIGS["whisper"])
    found = transform(y)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, transform(y.astype(np.float32)))


def test_working_memory_is_bounded():
    from fastmel.engines import fused
    from fastmel.engines.plan import mel_plan

    for n_fft in (400, 512, 1024, 2048, 4096):
        for hop in (n_fft // 4, n_fft // 2, n_fft, 160):
            plan = mel_plan(fastmel.MelConfig(n_fft=n_fft, hop_length=hop, n_mels=80))
            for real in (np.dtype(np.float32), np.dtype(np.float64)):
                tile = fused._tile(plan.spectrum, real)
                n_values = tile.scratch_size + 80 * tile.shape.width
                assert real.itemsize * n_values <= 1 << 20
    before = pool.scratch(4).size
    fastmel.MelSpectrogram()(np.zeros(22050 * 60, dtype=np.float32))
    assert max(before, pool.scratch(4).size) * 4 <= 1 << 20
