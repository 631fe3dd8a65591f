import numpy as np
import pytest
from numba import njit

from fastmel.kernels.butterflies import fma
from fastmel.kernels.simd import Index, address, emitted, float_array
from fastmel.kernels.tile import transpose_columns


@emitted
def _arithmetic(lanes, source, target):
    """Store a transposed matrix, then a * b + c, 0 * a + b, a - 0 and -(0 - a) of its rows."""
    rows = [lanes.load(source, i * lanes.width) for i in range(max(lanes.width, 3))]
    a, b, c = rows[:3]
    results = [*lanes.transpose(rows[: lanes.width]), fma(a, b, c), 0 * a + b, a - 0, -(0 - a)]
    for i, vector in enumerate(results):
        lanes.store(vector, target, i * lanes.width)


@emitted
def _integers(lanes, a, b, seven) -> Index:
    """The sum of many results, each times another power of 11."""
    results = [a + b, a - b, 100 - b, a * b, a // b, a % b, lanes.clamp(a, b, b + 1)]
    results += [lanes.where(condition, b, a) for condition in (a < b, a > b, a >= a, a.equals(b))]
    assert seven == 7  # constants are plain integers
    return sum((result * 11**i for i, result in enumerate(results)), lanes.index(0))


def test_integers():
    @njit
    def run(a, b):
        return _integers(4, 4, a, b, 7)

    expected = [20, 14, 97, 51, 5, 2, 4, 17, 3, 3, 17]
    assert run(17, 3) == sum(value * 11**i for i, value in enumerate(expected))


#: lanes and bytes of each
KINDS = [(4, 4), (8, 4), (16, 4), (2, 8), (4, 8), (8, 8)]


@pytest.mark.parametrize(("width", "item"), KINDS)
def test_vectors(rng, width, item):
    @njit
    def run(source, target):
        _arithmetic(width, item, address(source), address(target))

    matrix = rng.standard_normal((max(width, 3), width)).astype(f"f{item}")
    out = np.full((width + 4, width), np.nan, dtype=matrix.dtype)
    run(matrix, out)
    np.testing.assert_array_equal(out[:width], matrix[:width].T)
    a, b, c = matrix[:3]
    np.testing.assert_allclose(out[width], a * b + c, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[width + 1 :], [b, a, a])


@pytest.mark.parametrize(("width", "item"), KINDS)
def test_transpose_columns(rng, width, item):
    @njit
    def run(samples, pitch, height, n_columns, out):
        return transpose_columns(
            width, item, address(samples), pitch, height, n_columns, address(out)
        )

    real = np.dtype(f"f{item}")

    for height, pitch in ((1, 1), (3, 3), (16, 16), (40, 40), (160, 160), (37, 37), (33, 64)):
        for n_columns in (width, width + 4, width + 12):
            for lead in range(0, 17, 3):  # where the columns begin in a cache line
                samples = rng.standard_normal(lead + n_columns * pitch + 64).astype(real)
                out = np.full((height, n_columns), np.nan, dtype=real)
                assert run(samples[lead:], pitch, height, n_columns, out) == 0
                columns = samples[lead : lead + n_columns * pitch].reshape(n_columns, pitch)
                np.testing.assert_array_equal(out, columns[:, :height].T)
    for place in (0, 39, 40 * n_columns - 1):
        for value in (np.nan, np.inf, -np.inf):
            samples = np.zeros(40 * n_columns, dtype=real)
            samples[place] = value
            assert run(samples, 40, 40, n_columns, np.empty((40, n_columns), real)) == 1


def test_float_array_is_a_view():
    @njit
    def run(values):
        float_array(address(values) + 4, 2)[:] = 7

    values = np.zeros(4, dtype=np.float32)
    run(values)
    np.testing.assert_array_equal(values, [0, 7, 7, 0])
