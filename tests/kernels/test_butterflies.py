import numpy as np
import pytest

from fastmel.kernels.butterflies import (
    constant_twiddle,
    evaluate,
    real_dft,
    root_of_unity,
    twiddle_keys,
)

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 20, 24, 25, 27, 30, 32, 48, 49, 64]


@pytest.mark.parametrize("size", SIZES)
def test_root_of_unity_is_exact_on_the_axes_and_symmetric(size):
    turns = np.arange(-size, 2 * size)
    roots = np.array([complex(*root_of_unity(int(t), size)) for t in turns])
    expected = np.exp(-2j * np.pi * (turns % size) / size)
    np.testing.assert_allclose(roots, expected, rtol=0, atol=3e-15)  # the angle's own rounding
    assert root_of_unity(0, size) == (1, 0)
    if size % 4 == 0:
        assert root_of_unity(size // 4, size) == (0, -1)
        assert root_of_unity(size // 2, size) == (-1, 0)
    for turn in range(size):
        re, im = root_of_unity(turn, size)
        assert root_of_unity(-turn, size) == (re, -im)


@pytest.mark.parametrize("adders", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_evaluate_is_the_dft_when_theta_is_one(rng, size, adders):
    y = rng.standard_normal((size, 3)) + 1j * rng.standard_normal((size, 3))
    out = evaluate([(row.real, row.imag) for row in y], constant_twiddle(size), adders=adders)
    found = np.array([re + 1j * im for re, im in out])
    np.testing.assert_allclose(found, np.fft.fft(y, axis=0), rtol=0, atol=1e-13 * size)


@pytest.mark.parametrize("adders", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_evaluate_takes_any_theta(rng, size, adders):
    y = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    theta = np.exp(0.3j)
    asked = []

    def twiddle(power, turn):
        asked.append((power, turn))
        value = theta**power * complex(*root_of_unity(turn, size))
        return value.real, value.imag

    out = evaluate([(v.real, v.imag) for v in y], twiddle, adders=adders)
    points = theta * np.exp(-2j * np.pi * np.arange(size) / size)
    expected = (y * points[:, None] ** np.arange(size)).sum(axis=1)
    np.testing.assert_allclose(
        [re + 1j * im for re, im in out], expected, rtol=0, atol=1e-13 * size
    )
    assert list(dict.fromkeys(asked)) == twiddle_keys(size, adders)


def test_evaluate_shares_twiddles_between_quarter_turns():
    assert len(twiddle_keys(16)) == 8  # a plain decimation in time loads 15


@pytest.mark.parametrize("adders", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_real_dft_gives_one_of_each_conjugate_pair(rng, size, weighted, adders):
    x = rng.standard_normal((size, 3))
    w = rng.standard_normal(size)
    out = real_dft(list(x), list(w) if weighted else None, adders=adders)
    expected = np.fft.fft(x * w[:, None] if weighted else x, axis=0)
    assert {min(k, size - k) for k in out} == set(range(size // 2 + 1))
    assert len(out) == size // 2 + 1
    for k, (re, im) in out.items():
        np.testing.assert_allclose(re + 1j * im, expected[k], rtol=0, atol=1e-13 * size)
        if 2 * k % size == 0:
            assert isinstance(im, (int, float))
            assert im == 0
