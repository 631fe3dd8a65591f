import numpy as np
import pytest

from fastmel.kernels.polar import polar


def call(z):
    real = z.real.dtype
    magnitude, phase = np.full(z.shape, 9, real), np.full(z.shape, 9, z.dtype)
    polar(z.view(real), magnitude, phase.view(real))
    return magnitude, phase


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_magnitude_and_phase_are_right_to_the_last_bits(dtype, size, rng):
    z = (rng.standard_normal((size, 2)) @ [1, 1j]).astype(dtype)
    magnitude, phase = call(z)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(magnitude, np.abs(z), rtol=2 * eps)
    np.testing.assert_allclose(phase, np.exp(1j * np.angle(z.astype(complex))), atol=4 * eps)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_very_large_and_very_small_values(dtype):
    limits = np.finfo(dtype)
    for unit in (limits.max / 4, limits.tiny, limits.smallest_subnormal, np.sqrt(limits.max)):
        z = np.array([3 + 4j, 4 - 3j, -4j], dtype) * limits.dtype.type(unit / 4)
        magnitude, phase = call(z)
        np.testing.assert_allclose(magnitude, np.abs(z), rtol=2 * limits.eps)
        expected = [0.6 + 0.8j, 0.8 - 0.6j, -1j]
        if unit != limits.smallest_subnormal:
            np.testing.assert_allclose(phase, expected, atol=4 * limits.eps)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_zero_has_phase_one(dtype):
    zeros = np.array([0, complex(0, -0.0), complex(-0.0, 0)] * 7, dtype)
    magnitude, phase = call(zeros)
    assert not magnitude.any()
    assert (phase == 1).all()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_nan_and_infinity(dtype):
    nan, inf = np.nan, np.inf
    z = np.array([complex(nan, 1), complex(0, nan), complex(inf, 1), complex(-2, -inf)], dtype)
    magnitude, phase = call(z)
    np.testing.assert_array_equal(magnitude, [nan, nan, inf, inf])
    assert np.isnan(phase[:2]).all()
    assert np.isnan([phase[2].real, phase[3].imag]).all()
