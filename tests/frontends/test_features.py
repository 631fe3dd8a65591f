"""What follows the logarithm, against NumPy: range, cepstra, normalization, stacks, padding."""

import numpy as np
import pytest
import scipy.fft

import fastmel
from fastmel import MelSpectrogram
from fastmel.engines.conditioning import conditioned
from fastmel.engines.plan import Conditioning

BASE = {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 23, "log": "ln"}
LAYOUTS = ["mels_first", "frames_first"]


@pytest.fixture
def y(rng):
    return (0.1 * rng.standard_normal(8000) + 0.05).astype(np.float32)


def features(y, layout="mels_first", **options):
    """The transform's result as (n_features, n_frames), computed over NaN."""
    transform = MelSpectrogram(**BASE, **options, layout=layout)
    expected = transform(y)
    out = np.full(expected.shape, np.nan, dtype=expected.dtype)
    assert transform(y, out=out) is out
    np.testing.assert_array_equal(out, expected)
    return out if layout == "mels_first" else out.T


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("engine", ["reference", "scipy", "fused"])
def test_layouts_have_the_same_numbers(rng, engine, layout):
    for n_mels in (1, 5, 16, 23, 40):
        for n_samples in (399, 2500, 2560, 8000):
            y = rng.standard_normal((3, n_samples)).astype(np.float32)
            options = {**BASE, "n_mels": n_mels, "norm": None, "htk": True}
            first = MelSpectrogram(**options, engine=engine)(y)
            turned = MelSpectrogram(**options, engine=engine, layout="frames_first")(y)
            assert turned.flags.c_contiguous
            np.testing.assert_array_equal(turned, first.swapaxes(1, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("over", ["time", "all"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_normalization_is_numpy_s(y, layout, over, ddof):
    raw = features(y).astype(np.float64)
    axis = None if over == "all" else 1
    centred = raw - raw.mean(axis=axis, keepdims=True)
    options = {"normalize_over": over, "ddof": ddof, "layout": layout}
    found = features(y, normalize="mean", **options)
    np.testing.assert_allclose(found, centred, rtol=0, atol=1e-5)
    for var_eps, std_eps in ((0, 0), (1e-3, 0), (0, 0.1), (0.5, 0.25)):
        found = features(y, normalize="std", var_eps=var_eps, std_eps=std_eps, **options)
        variance = raw.var(axis=axis, ddof=ddof, keepdims=True)
        expected = centred / (np.sqrt(variance + var_eps) + std_eps)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_has_no_spread_is_zero(layout):
    silence = np.zeros(4000, dtype=np.float32)
    np.testing.assert_array_equal(features(silence, layout, normalize="std"), 0)
    one_frame = np.ones(100, dtype=np.float32)
    np.testing.assert_array_equal(features(one_frame, layout, normalize="std", std_eps=1e-5), 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("log", ["db", "ln", "log10"])
@pytest.mark.parametrize("power", [1, 2])
def test_a_range_is_in_decibels_whatever_the_logarithm(y, layout, log, power):
    y[2000:5000] *= 1e-3
    options = {**BASE, "log": log, "power": power, "layout": layout}
    raw = MelSpectrogram(**options)(y)
    unit = {"db": 1, "log10": power / 20, "ln": power / 20 * np.log(10)}[log]
    expected = np.maximum(raw, raw.max() - 30 * unit)
    found = MelSpectrogram(**options, top_db=30)(y)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    scaled = MelSpectrogram(**options, top_db=30, offset=4, gain=0.25)(y)
    np.testing.assert_allclose(scaled, (expected + 4) / 4, rtol=1e-5, atol=1e-5)
    fixed = MelSpectrogram(**options, top_db=30, peak=7 * unit, offset=4, gain=0.25)(y)
    expected = np.maximum(raw, 7 * unit - 30 * unit)
    np.testing.assert_allclose(fixed, (expected + 4) / 4, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_offset_and_gain(y, rng, layout):
    raw = features(y).astype(np.float64)
    for offset, gain in ((1.5, 1.0), (0.0, -2.0), (-3.0, 0.5)):
        found = features(y, layout, offset=offset, gain=gain)
        np.testing.assert_allclose(found, (raw + offset) * gain, rtol=1e-5, atol=1e-5)
    offsets, gains = rng.standard_normal(23), rng.standard_normal(23)
    found = features(y, layout, offset=offsets, gain=gains)
    expected = (raw + offsets[:, None]) * gains[:, None]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    found = features(y, layout, offset=2.0, gain=3.0, normalize="mean")
    expected = (raw - raw.mean(axis=1, keepdims=True) + 2) * 3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lifter", [0, 22])
def test_cepstra_are_the_orthonormal_dct(y, layout, lifter):
    raw = features(y).astype(np.float64)
    expected = scipy.fft.dct(raw, axis=0, norm="ortho")[:13]
    if lifter:
        expected *= 1 + lifter / 2 * np.sin(np.pi * np.arange(13) / lifter)[:, None]
    found = features(y, layout, n_mfcc=13, lifter=lifter)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    last = features(y, layout, n_mfcc=13, lifter=lifter, energy_last=True)
    expected = np.concatenate([expected[1:], np.sqrt(2) * expected[:1]])
    np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("engine", ["reference", "scipy", "fused"])
def test_energies_are_sums_of_squares(y, layout, engine):
    options = {
        **BASE, "center": False, "scale": 32768, "remove_dc": True, "preemphasis": 0.97,
        "window": "hamming", "engine": engine, "layout": layout,
    }  # fmt: skip
    frames = 32768 * np.lib.stride_tricks.sliding_window_view(y.astype(float), 400)[::160]
    frames = frames - frames.mean(axis=1, keepdims=True)
    raw = np.log((frames**2).sum(axis=1))
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    windowed = (frames - 0.97 * before) * fastmel.filters.get_window("hamming", 400)
    windowed = np.log((windowed**2).sum(axis=1))
    bands = MelSpectrogram(**options)(y)
    time = -1 if layout == "mels_first" else 0
    for energy, expected in (("raw", raw), ("windowed", windowed)):
        found = MelSpectrogram(**options, energy=energy)(y)
        found = np.moveaxis(found, time, 1)
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found[1:], np.moveaxis(bands, time, 1))
        last = np.moveaxis(MelSpectrogram(**options, energy=energy, energy_last=True)(y), time, 1)
        np.testing.assert_array_equal(last, np.roll(found, -1, axis=0))
        cepstra = MelSpectrogram(**options, energy=energy, n_mfcc=5)(y)
        np.testing.assert_array_equal(np.moveaxis(cepstra, time, 1)[0], found[0])
    floor = MelSpectrogram(**options, energy="raw", energy_floor=1e30)(y)
    np.testing.assert_allclose(np.moveaxis(floor, time, 1)[0], np.log(1e30), rtol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("energy_last", [False, True])
def test_energies_stand_beside_bands_that_are_converted_or_cut(y, layout, energy_last):
    options = {**BASE, "layout": layout, "energy": "raw", "energy_last": energy_last, "log": "ln"}
    expected = MelSpectrogram(**options)(y)
    for dtype in ("float16", "float64"):
        result = MelSpectrogram(**options, dtype=dtype)(y)
        np.testing.assert_array_equal(result, expected.astype(dtype), strict=True)
    for n_frames in (3, 500):
        result, expected_ = MelSpectrogram(**options, n_frames=n_frames)(y), expected
        if layout == "mels_first":
            result, expected_ = result.T, expected.T
        n_valid = min(n_frames, len(expected_))
        np.testing.assert_array_equal(result[:n_valid], expected_[:n_valid])
        assert result.shape == (n_frames, expected_.shape[1])
        assert not result[n_valid:].any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_samples", [10, 160, 320, 960, 8000])
@pytest.mark.parametrize("stack", [(7, 6), (2, 2), (1, 3), (5, 1)])
def test_stacks_are_neighbouring_frames(rng, layout, n_samples, stack):
    y = rng.standard_normal(n_samples).astype(np.float32)
    raw = features(y).T
    length, step = stack
    n_frames = len(raw)

    def of(frames, n_stacks):
        rows = [frames[i * step : i * step + length].ravel() for i in range(n_stacks)]
        return np.array(rows, dtype=np.float32).reshape(n_stacks, 23 * length).T

    ahead = (length - 1) // 2
    edges = [raw[:1]] * ahead + [raw] + [raw[-1:]] * (length + step)
    n_stacks = -(-n_frames // step)
    found = features(y, layout, stack=stack)
    np.testing.assert_array_equal(found, of(np.concatenate(edges), n_stacks))

    padded = np.concatenate([raw, np.full((length + step, 23), 1.5, dtype=np.float32)])
    found = features(y, layout, stack=stack, stack_ends="pad", pad_value=1.5)
    np.testing.assert_array_equal(found, of(padded, n_stacks))

    n_whole = max(0, 1 + (n_frames - length) // step)
    found = features(y, layout, stack=stack, stack_ends="drop")
    np.testing.assert_array_equal(found, of(raw, n_whole))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fixed_number_of_frames(y, layout):
    raw = features(y)
    n_frames = raw.shape[1]
    np.testing.assert_array_equal(features(y, layout, n_frames=n_frames - 7), raw[:, :-7])
    found = features(y, layout, n_frames=n_frames + 9, pad_value=0.5)
    np.testing.assert_array_equal(found[:, :n_frames], raw)
    np.testing.assert_array_equal(found[:, n_frames:], 0.5)
    normalized = features(y, layout, n_frames=n_frames + 9, normalize="mean")
    np.testing.assert_array_equal(normalized[:, n_frames:], 0)
    np.testing.assert_array_equal(normalized[:, :n_frames], features(y, layout, normalize="mean"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_types_of_the_result(y, layout):
    raw = features(y)
    for dtype in ("float16", "float32", "float64"):
        found = features(y, layout, dtype=dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, raw.astype(dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_too_large_for_half_precision_is_infinite(y, layout):
    raw = features(y, gain=-1e5)
    assert (abs(raw) > 65520).any()
    with pytest.warns(RuntimeWarning, match="overflow"):
        found = features(y, layout, gain=-1e5, dtype="float16")
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, raw.astype("float16"))


def test_lengths_of_the_signal(rng):
    y = rng.standard_normal(1000).astype(np.float32)
    zeros = np.zeros(5000, dtype=np.float32)

    def assert_equal(signal, **options):
        found = MelSpectrogram(**BASE, **options)(y)
        np.testing.assert_array_equal(found, MelSpectrogram(**BASE)(signal))
        assert MelSpectrogram(**BASE, **options).frames(len(y)) == found.shape[-1]

    assert_equal(np.append(y, zeros[:77]), append=77)
    assert_equal(np.append(y, zeros[:24]), multiple_of=128)
    assert_equal(np.append(y, zeros[:152]), append=30, multiple_of=128)
    assert_equal(y[:700], n_samples=700)
    assert_equal(np.append(y, zeros[:2500]), n_samples=3500)
    assert_equal(np.concatenate([y, y, y, zeros[:500]]), n_samples=3500, repeat=True)
    assert_equal(y[:700], n_samples=700, repeat=True)
    y[900] = np.nan  # also what is cut off has to be a signal
    with pytest.raises(fastmel.ParameterError, match="not finite"):
        MelSpectrogram(**BASE, n_samples=700)(y)


def test_dither_is_noise_that_belongs_to_places(rng):
    y = rng.standard_normal(200_000).astype(np.float32)
    silence = np.zeros_like(y)

    def noise(y, **options):
        return conditioned(Conditioning(0.0, False, **options), y[None])[0] - y

    found = noise(silence, dither=2.0, seed=1)
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 2) < 0.02
    assert abs((found**4).mean() / 48 - 1) < 0.05  # as a normal distribution's
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.01
    np.testing.assert_array_equal(found, noise(silence, dither=2.0, seed=1))
    assert (found != noise(silence, dither=2.0, seed=2)).mean() > 0.99
    transform = fastmel.frontend("kaldi", dither=1.0)
    assert (transform(y) != fastmel.frontend("kaldi", dither=1.0, seed=1)(y)).any()
    np.testing.assert_array_equal(transform(y), transform(y))
