import platform
import re

import numpy as np
import pytest

from fastmel.kernels.decibel import _decibel_single, _kernel, decibels

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def call(x, amplitude=False, amin=1e-10, floor=-100.0, offset=0.0, bottom=-np.inf):
    out = np.full_like(x, 12345)
    decibels(x, amplitude, amin, floor, offset, bottom, out)
    return out


@pytest.mark.parametrize("amplitude", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(SINGLE, 6e-6), (DOUBLE, 3e-14)])
def test_levels_are_right_to_the_last_bits(dtype, tolerance, amplitude, rng):
    around_one = 1 + rng.uniform(-1e-3, 1e-3, 20_000)
    x = np.concatenate([10 ** rng.uniform(-9.9, 9.9, 200_000), around_one]).astype(dtype)
    factor = 20 if amplitude else 10
    expected = factor * np.log10(x.astype(np.longdouble))
    error = np.abs(call(x, amplitude) - expected)
    assert error.max() <= tolerance * factor / 10
    # relative too, where levels are small
    assert (error <= 4 * np.finfo(dtype).eps * np.abs(expected)).all()


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_the_whole_range_is_covered(dtype):
    limits = np.finfo(dtype)
    x = np.array([limits.tiny, limits.max, np.sqrt(0.5), np.sqrt(2), 1, 2, 0.5], dtype)
    x = np.concatenate([x, np.nextafter(x[2:], 0), np.nextafter(x[2:], 9)])
    levels = call(x, amin=float(limits.tiny), floor=-999.0)
    np.testing.assert_allclose(levels[1:], 10 * np.log10(x[1:]), rtol=1e-6, atol=1e-6)
    assert levels[0] == -999
    assert levels[4] == 0


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("size", [0, 1, 5, 16, 33])
def test_every_length_and_place_gives_the_same(dtype, size, rng):
    x = (10 ** rng.uniform(-9, 9, 40)).astype(dtype)
    np.testing.assert_array_equal(call(x[:size]), call(x)[:size])
    alone = [call(x[i : i + 1])[0] for i in range(size)]
    np.testing.assert_array_equal(call(x)[:size], alone)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_small_and_negative_powers_are_the_floor(dtype):
    amin = float(dtype.type(1e-10))
    x = np.array([0.0, -0.0, -1.0, -np.inf, 1e-45, amin, np.nextafter(amin, 0)], dtype)
    np.testing.assert_array_equal(call(x, amin=amin, floor=-77.0, offset=5.0), -77.0)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("amplitude", [False, True])
def test_nan_and_infinity_stay(dtype, amplitude):
    x = np.array([np.nan, -np.nan, np.inf, 1.0] * 9, dtype)
    np.testing.assert_array_equal(call(x, amplitude), [np.nan, np.nan, np.inf, 0] * 9)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_amplitudes_count_without_their_sign(dtype, rng):
    x = rng.standard_normal(100).astype(dtype)
    np.testing.assert_array_equal(call(x, amplitude=True), call(-x, amplitude=True))
    assert call(np.array([-np.inf], dtype), amplitude=True) == np.inf


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("amplitude", [False, True])
def test_a_level_minus_itself_is_exactly_zero(dtype, amplitude, rng):
    for x in (10 ** rng.uniform(-9, 9, (500, 1))).astype(dtype):
        (level,) = call(x, amplitude)
        assert call(np.repeat(x, 37), amplitude, offset=-float(level)).tolist() == [0.0] * 37


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_the_bottom_cuts(dtype, rng):
    x = (10 ** rng.uniform(-9, 9, 100)).astype(dtype)
    np.testing.assert_array_equal(call(x, bottom=-12.5), np.maximum(call(x), dtype.type(-12.5)))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.parametrize("amplitude", [False, True])
def test_single_precision_stays_single(amplitude, monkeypatch):
    monkeypatch.setenv("FASTMEL_CACHE", "0")  # cached code has no assembly to look at
    kernel = _kernel(np.float32, _decibel_single, amplitude)
    x = np.ones(40, np.float32)
    kernel(x, 1e-10, -100.0, 0.0, -np.inf, np.empty_like(x))
    (assembly,) = kernel.inspect_asm().values()
    assert len(re.findall(r"mulps|fmadd\d+ps", assembly)) > 8
    assert not re.search(r"cvtps2pd|cvtss2sd", assembly)
