import numpy as np
import pytest

from fastmel.kernels import elementary
from fastmel.kernels.jit import jit
from fastmel.kernels.overlap import turn


def kernel(name):
    function = getattr(elementary, name)

    @jit
    def apply(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    def call(x):
        out = np.empty_like(x)
        apply(x, out)
        return out

    return call


KERNELS = {name: kernel(name) for name in ("log", "log1p", "exp", "expm1")}


@pytest.mark.parametrize("name", KERNELS)
def test_values_are_right_to_the_last_bits(name, rng):
    scales = 10.0 ** np.arange(-18, 3)
    x = (scales[:, None] * rng.uniform(0, 1, 10_000)).ravel()
    x = x if name.startswith("log") else np.concatenate([x, -x])
    expected = getattr(np, name)(x.astype(np.longdouble))
    # of an exponential, rounding its argument's multiple of log(2) is the larger part: of the
    # constant, and of the product where the processor cannot fuse it with the difference
    last_places = 4 + (0 if name.startswith("log") else 1.5 * abs(x))
    assert (abs(KERNELS[name](x) - expected) <= last_places * 2.0**-53 * abs(expected)).all()


EXTREMES = [0.0, -0.0, 5e-324, 1e-310, 2.0**-1022, 1e308, np.inf, -np.inf, np.nan, -0.5, -1, -2]


@pytest.mark.parametrize("name", KERNELS)
def test_the_ends_are_numpys(name):
    x = np.array([*EXTREMES, 700, 709.7, 710, 1500, -700, -708.5, -740, -745, -746, -1500])
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    np.testing.assert_allclose(KERNELS[name](x), expected, rtol=1e-13, atol=5e-324)


@pytest.mark.parametrize("name", KERNELS)
def test_an_element_does_not_depend_on_its_neighbours(name, rng):
    x = rng.uniform(0.5, 2, 37)
    alone = [KERNELS[name](x[i : i + 1])[0] for i in range(len(x))]
    np.testing.assert_array_equal(KERNELS[name](x), alone)


def test_phasors_are_right_to_the_last_bits(rng):
    eighths = np.arange(-24, 25) / 8
    turns = np.concatenate([rng.uniform(0, 1, 100_000), rng.uniform(-100, 100, 1000), eighths])
    values = np.full(2 * len(turns), np.nan)
    turn(np.ones(len(turns)), turns, values)
    angles = 2 * np.arccos(np.longdouble(-1)) * (turns - np.floor(turns))
    assert abs(values[::2] - np.cos(angles)).max() <= 2.0**-52
    assert abs(values[1::2] - np.sin(angles)).max() <= 2.0**-52
    on_axis = values.reshape(-1, 2)[-len(eighths) :: 2]  # every quarter of a turn: nothing is left
    np.testing.assert_array_equal(abs(on_axis), [[1, 0], [0, 1]] * 12 + [[1, 0]])
