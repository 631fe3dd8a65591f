"""The GPU's kernels without a GPU, against the reference in float64.

With NUMBA_ENABLE_CUDASIM=1 Numba's CUDA simulator runs them, which needs no package for CUDA;
blocks are small there (see conftest.py), but for one. With EMULATED_GPU=1 it is what they are
compiled to that runs.
"""

import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines import cuda_layout, cuda_line

pytestmark = [
    pytest.mark.usefixtures("simulator_or_emulator"),
    pytest.mark.filterwarnings("ignore:Empty filters"),
]

SMALL = {"sr": 16000, "n_fft": 64, "hop_length": 16, "n_mels": 6}


def noise(rng, n_samples):
    return (0.1 * rng.standard_normal(n_samples)).astype(np.float32)


def lengths(config):
    """Lengths of signals around which framing goes wrong, those without a frame left out."""
    n_fft, hop = config.n_fft, config.hop_length
    n_least = fastmel.MelSpectrogram.from_config(config)._plan.spectrum.n_least
    return sorted({max(n, n_least) for n in (n_fft // 2 + 1, n_fft + 2 * hop - 1)})


def compute(config, signals):
    """What the GPU makes of signals, written over NaN."""
    transform = fastmel.MelSpectrogram.from_config(config, "cuda")
    of = [transform._lengths(len(y)) for y in signals]
    results = [np.full(transform._shape(n.n_out), np.nan, dtype=np.float32) for n in of]
    transform._program.on_host(signals, of, results)
    return results


def expected_of(config, signals):
    transform = fastmel.MelSpectrogram.from_config(config, "reference")
    return [transform(y.astype(np.float64)) for y in signals]


def assert_near(config, signals):
    """Logarithms of bands 50 dB below a frame's largest may be off by a thousandth, few are."""
    differences = []
    for found, expected in zip(compute(config, signals), expected_of(config, signals), strict=True):
        assert found.shape == expected.shape
        differences.append((found - expected).ravel())
    differences = np.concatenate(differences)
    assert np.abs(differences).max() <= 1e-3
    assert (differences**2).mean() <= 3e-5**2


def small(**options):
    return fastmel.MelConfig(**(SMALL | options))


# front ends


@pytest.mark.parametrize("name", frontends.names())
def test_front_ends(rng, name):
    options = {"n_mels": 10} if frontends.preset(name).normalize else {}
    if name == "ast":
        options["n_frames"] = 6
    config = frontends.preset(name, **options)
    assert_near(config, [noise(rng, n) for n in lengths(config)])


def test_a_block_as_it_is_on_a_gpu(rng, simulator, monkeypatch):
    monkeypatch.undo()  # 256 threads and 16 frames at once
    transform = fastmel.frontend("whisper", engine="cuda")
    assert transform._program.layout.n_threads == 256
    y = noise(rng, 2000)
    expected = fastmel.frontend("whisper", engine="reference")(y.astype(np.float64))
    np.testing.assert_allclose(transform(y), expected, rtol=0, atol=1e-6)


# the line


@pytest.mark.parametrize(
    "n_fft", [16, 18, 30, 36, 48, 54, 60, 64, 90, 96, 100, 160, 250, 256, 400, 512, 600, 1152]
)
def test_sizes_of_the_fft(rng, n_fft):
    config = fastmel.MelConfig(sr=16000, n_fft=n_fft, hop_length=n_fft // 2, n_mels=4, center=False)
    signals = [noise(rng, n_fft), noise(rng, 2 * n_fft + 1)]
    for found, expected in zip(compute(config, signals), expected_of(config, signals), strict=True):
        assert (np.abs(found - expected) <= 5e-6 * expected.max(axis=0)).all()


@pytest.mark.parametrize("pad_mode", ["constant", "edge", "linear_ramp", "reflect", "symmetric"])
def test_padding_longer_than_the_signal(rng, pad_mode):
    signals = [noise(rng, n) for n in (1, 2, 3, 15, 31, 32, 33, 63, 100)]
    assert_near(small(pad_mode=pad_mode, log="ln"), signals)


LINES = {
    "left": {"center": False, "hop_length": 33},
    "gaps": {"hop_length": 100},
    "odd hop": {"hop_length": 7, "pad_mode": "reflect"},
    "magnitude": {"power": 1.0, "power_offset": 1e-6},
    "cube": {"power": 3.0},
    "short window": {"win_length": 40, "window": "hamming"},
    "decibels": {"log": "db", "ref": 0.5, "amin": 1e-6},
    "added": {"log": "ln", "guard": "add", "amin": 1e-4},
    "affine": {"log": "log10", "offset": 4.0, "gain": -0.25},
    "affine of each": {"log": "ln", "offset": tuple(range(6)), "gain": (1.0, 2.0) * 3},
    "dc": {"remove_dc": True, "scale": 100.0},
    "emphasis": {"remove_dc": True, "preemphasis": 0.97, "frame_length": 40, "win_length": 40},
    "emphasized signal": {"preemphasis": 0.9, "preemphasis_of": "signal", "pad_mode": "reflect"},
    "lost sample": {"preemphasis": 0.9, "preemphasis_of": "inside", "pad_mode": "symmetric"},
    "padding": {"padding": (-5, 40), "pad_mode": "edge"},
    "repeated": {"n_samples": 300, "repeat": True, "append": 3},
    "cut": {"n_samples": 90},
    "multiple": {"multiple_of": 50, "append": 7},
    "frames": {"n_frames": 9, "pad_value": 7.0},
    "frames first": {"layout": "frames_first", "n_frames": 9, "log": "db"},
    "range": {"log": "db", "top_db": 10},
    "range and reference": {"log": "db", "top_db": 10, "ref": "max", "layout": "frames_first"},
    "fixed range": {"log": "db", "top_db": 20, "peak": -10.0},
    "range beyond": {"log": "db", "top_db": 10, "n_frames": 5},
    "energy": {"log": "ln", "energy": "raw", "preemphasis": 0.9},
    "energy last": {"log": "db", "energy": "windowed", "energy_last": True, "top_db": 10},
    "energy, reference": {"log": "db", "energy": "raw", "top_db": 10, "ref": "max"},
    "cepstra": {"log": "db", "n_mfcc": 4, "top_db": 10, "lifter": 22.0},
    "htk cepstra": {"log": "ln", "n_mfcc": 4, "energy_last": True, "layout": "frames_first"},
    "cepstra, energy": {"log": "ln", "n_mfcc": 4, "energy": "windowed", "energy_last": True},
    "mean": {"log": "ln", "normalize": "mean", "n_frames": 30, "pad_value": 1.0},
    "deviation": {"log": "ln", "normalize": "std", "ddof": 0, "std_eps": 0.1},
    "deviation of all": {"log": "ln", "normalize": "std", "normalize_over": "all", "var_eps": 0.1},
    "all, frames first": {"log": "ln", "normalize_over": "all", "normalize": "mean",
                          "layout": "frames_first", "energy": "raw", "n_frames": 30},
    "of cepstra": {"log": "ln", "n_mfcc": 3, "normalize": "std", "layout": "frames_first"},
    "stack, edge": {"log": "ln", "stack": (4, 3), "stack_ends": "edge"},
    "stack, pad": {"log": "ln", "stack": (3, 2), "stack_ends": "pad", "pad_value": 2.0,
                   "offset": 1.0, "gain": tuple(range(1, 19)), "layout": "frames_first"},
    "stack, drop": {"log": "ln", "stack": (3, 4), "stack_ends": "drop", "normalize": "mean"},
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_every_option(rng, name):
    config = small(**LINES[name])
    assert_near(config, [noise(rng, n) for n in (90, 70, 257)])


def test_a_full_scale_tone_leaks_no_more_than_rounding(rng):
    y = 0.9 * np.sin(2 * np.pi * 0.123 * np.arange(1024)).astype(np.float32)
    config = fastmel.MelConfig(
        sr=16000, n_fft=512, hop_length=512, center=False, n_mels=20, log="db"
    )
    (found,), (expected,) = compute(config, [y]), expected_of(config, [y])
    loud = expected > expected.max(axis=0) - 50
    assert (np.abs(found - expected)[loud] <= 1e-3).all()


def test_a_constant_signal_loses_all_of_its_mean():
    config = small(remove_dc=True, log="ln", center=False, scale=32768.0)
    y = np.full(200, 0.3, dtype=np.float32)
    np.testing.assert_array_equal(compute(config, [y])[0], np.float32(np.log(1e-10)))


@pytest.mark.parametrize("log", [None, "db", "ln", "log10"])
def test_silence_is_exactly_the_floor(log):
    (found,) = compute(small(log=log), [np.zeros(100, dtype=np.float32)])
    floor = {None: 0, "db": -100, "ln": np.log(1e-10), "log10": -10}[log]
    np.testing.assert_array_equal(found, np.float32(floor))


# calls


def test_arrays_lists_batches_and_single_signals_agree_to_the_bit(rng):
    transform = fastmel.MelSpectrogram(**SMALL, log="db", pad_value=9.0, engine="cuda")
    y = noise(rng, 600).reshape(2, 3, 100)
    expected = np.stack([[transform(row) for row in rows] for rows in y])
    assert expected.shape == (2, 3, 6, 7)
    np.testing.assert_array_equal(transform(y), expected)
    found = transform([y[0, 0], y[0, 1, :50], y[0]])
    np.testing.assert_array_equal(found[0], expected[0, 0])
    np.testing.assert_array_equal(found[2], expected[0])
    padded, n_frames = transform.batch([y[0, 0], y[0, 1, :50]])
    np.testing.assert_array_equal(n_frames, [7, 4])
    np.testing.assert_array_equal(padded[0], expected[0, 0])
    np.testing.assert_array_equal(padded[1, :, :4], found[1])
    np.testing.assert_array_equal(padded[1, :, 4:], 9)


def test_parts_are_computed_in_turns(rng, monkeypatch):
    from fastmel.engines import cuda_program

    monkeypatch.setattr(cuda_program, "_PART", 500)
    transform = fastmel.MelSpectrogram(**SMALL, engine="cuda")
    signals = [noise(rng, n) for n in (100, 30, 40, 64, 200, 10)]
    parts = list(transform._program._parts([transform._lengths(len(y)) for y in signals]))
    assert len(parts) == 3
    for y, found in zip(signals, transform(signals), strict=True):
        expected = fastmel.MelSpectrogram(**SMALL, engine="reference")(y)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_is_written_beside_out(rng):
    transform = fastmel.MelSpectrogram(**SMALL, engine="cuda")
    room = np.full(500, 7, dtype=np.float32)
    out = room[100:184].reshape(2, 6, 7)
    assert transform(noise(rng, 200).reshape(2, 100), out=out) is out
    assert (room[:100] == 7).all()
    assert (room[184:] == 7).all()
    assert (out != 7).all()


def test_half_precision_in_and_out(rng):
    y = noise(rng, 100)
    transform = fastmel.MelSpectrogram(**SMALL, log="db", dtype="float16", engine="cuda")
    found = transform(y)
    assert found.dtype == np.float16
    expected = fastmel.MelSpectrogram(**SMALL, log="db", engine="reference")(y)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    ranged = fastmel.MelSpectrogram(**SMALL, log="db", top_db=10, dtype="float16", engine="cuda")(
        y.astype(np.float16)
    )
    assert ranged.dtype == np.float16
    np.testing.assert_allclose(ranged, np.maximum(expected, expected.max() - 10), rtol=2e-3)


@pytest.mark.parametrize("where", [0, 1, 300, 598, 599])
@pytest.mark.parametrize(
    "options",
    [{}, {"center": False}, {"hop_length": 90, "n_fft": 32}, {"n_frames": 2}, {"padding": (-9, 0)}],
)
def test_a_sample_that_is_not_finite_is_an_error_wherever_it_is(where, options):
    transform = fastmel.MelSpectrogram(**(SMALL | options), engine="cuda")
    y = np.zeros((2, 600), dtype=np.float32)
    y[1, where] = np.nan
    with pytest.raises(fastmel.ParameterError, match="not finite"):
        transform(y)
    assert np.isfinite(transform(y[0])).all()


def test_signals_without_a_frame(rng):
    transform = fastmel.MelSpectrogram(**SMALL, frame_length=64, padding=(0, 0), engine="cuda")
    short, long = transform([noise(rng, 10), noise(rng, 100)])
    assert short.shape == (6, 0)
    assert long.shape == (6, 3)
    assert transform(np.zeros((0, 100), dtype=np.float32)).shape == (0, 6, 3)


def test_a_stream_is_refused():
    with pytest.raises(fastmel.ParameterError, match='make streams with engine="auto"'):
        fastmel.MelSpectrogram(engine="cuda").stream()


def test_the_kernels_touch_the_places_that_the_model_knows(rng, simulator, monkeypatch):
    """The bins whose places the last pass asks for are those of test_layout.py's model."""
    of_bins, of_zeros = set(), set()

    def record(k, f, n, n_frames):
        of_bins.update((int(k), n - int(k)))
        return cuda_layout.opposite_places(k, f, n, n_frames)

    def record_zero(k, f, n_frames):
        of_zeros.add(int(k))
        return cuda_layout.power_place(k, f, n_frames)

    monkeypatch.setattr(cuda_line, "_opposite_places", record)
    monkeypatch.setattr(cuda_line, "_power_place", record_zero)
    cuda_line.line_of.cache_clear()
    compute(small(n_fft=512, hop_length=256, center=False), [noise(rng, 512)])
    cuda_line.line_of.cache_clear()
    # 17 rows from the first bin on, as many before the next column; what is beyond the last bin
    assert of_bins == {*range(33)}
    assert of_zeros == {*range(257, 257 + cuda_layout.STEPS)}


def test_signals_without_a_sample():
    empty = np.zeros(0, dtype=np.float32)
    (found,) = fastmel.MelSpectrogram(**SMALL, log="db", engine="cuda")([empty])
    np.testing.assert_array_equal(found, np.full((6, 1), -100, dtype=np.float32))
    options = {"frame_length": 64, "padding": (0, 0), "n_frames": 3, "pad_value": 2.0, "log": "ln"}
    for more in ({}, {"n_mfcc": 4}, {"normalize": "std"}):
        transform = fastmel.MelSpectrogram(**SMALL, **options, **more, engine="cuda")
        for found in (transform([empty])[0], transform(empty)):
            np.testing.assert_array_equal(found, np.full(found.shape, 2, dtype=np.float32))
