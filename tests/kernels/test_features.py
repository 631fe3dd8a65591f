import numpy as np
import pytest

from fastmel.kernels.features import to_half


def _halves():
    """Every finite half that is not negative, as float32."""
    return np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)


def test_halves_are_rounded_as_numpy_rounds():
    exact = _halves()
    ties = (exact[:-1] + exact[1:]) / 2
    up, down = np.float32(np.inf), np.float32(-np.inf)
    around = [np.nextafter(x, side) for x in (exact[1:], ties) for side in (up, down)]
    values = np.concatenate([exact, ties, *around, np.float32([1e-45, 65519.996])])
    values = np.concatenate([values, -values])
    bits = np.empty(len(values), np.uint16)
    assert to_half(values, bits)
    np.testing.assert_array_equal(bits, values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("value", [65520, -65520, 1e38, np.inf, -np.inf, np.nan])
def test_what_is_no_half_is_told(value):
    values = np.ones(100, np.float32)
    values[57] = value
    assert not to_half(values, np.empty(100, np.uint16))
