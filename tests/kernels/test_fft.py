"""The tables of every FFT size, followed by NumPy in place of the compiled passes."""

import numpy as np
import pytest

from fastmel.kernels import fft
from fastmel.kernels.butterflies import constant_twiddle, evaluate, real_dft


def smooth(limit):
    """All sizes up to ``limit`` with no prime factor above 7."""
    return [n for n in range(1, limit + 1) if fft.factorize(n) is not None]


def transform(factors, tables, x, adders):
    """Do what first_pass and row_pass do: the rows' complex outputs, place by place."""
    columns = x[tables.sample]  # (n_points, first)
    outputs = real_dft(list(columns.T), adders=adders)
    rows = np.zeros((len(factors.row_indices), factors.n_points + 1), dtype=complex)
    for row, s in enumerate(factors.row_indices):
        re, im = outputs[s]
        values = re + 1j * im * np.ones(factors.n_points)
        keys = iter(tables.twiddles[row].astype(float).reshape(-1, 2))
        for level, radix in enumerate(factors.radices):
            length = factors.block_length(level)
            stride = length // radix
            for block in range(factors.blocks(level, real=False)):
                if factors.constant_twiddles(level):
                    twiddle = constant_twiddle(radix)
                else:
                    loaded = {key: next(keys) for key in fft._twiddle_keys(radix)}

                    def twiddle(power, turn, loaded=loaded):
                        return tuple(loaded[power, turn])

                part = values[block * length : (block + 1) * length].reshape(radix, stride)
                out = evaluate([(v.real, v.imag) for v in part], twiddle, adders=adders)
                part[...] = [re + 1j * im for re, im in out]
        assert next(keys, None) is None
        rows[row, : factors.n_points] = values
    return rows


@pytest.mark.parametrize("cpu", ["znver4", "sapphirerapids"])
def test_tables_lead_every_bin_to_its_place(rng, monkeypatch, cpu):
    monkeypatch.setattr(fft, "cpu_name", lambda: cpu)
    monkeypatch.setattr(fft, "simd_width", lambda: 16)
    fft._adders.cache_clear()
    fft.factorize.cache_clear()
    try:
        for n_fft in [*smooth(128), 160, 200, 240, 256, 320, 400, 441, 480, 512, 600, 1024, 2048]:
            factors = fft.factorize(n_fft)
            tables = fft.tables(factors)
            x = rng.standard_normal(n_fft)
            rows = transform(factors, tables, x, adders=cpu.startswith("znver"))
            expected = np.fft.rfft(x)
            found = rows.ravel()[tables.slot]
            found = found.real + 1j * found.imag * tables.conjugate
            scale = np.abs(expected).max() + 1e-300
            np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=3e-7)
            # every bin has a place of its own, and its power lies inside the block it came from
            assert len(set(tables.slot)) == len(set(tables.power)) == 1 + n_fft // 2
            block = factors.radices[-1]
            np.testing.assert_array_equal(
                tables.power // 2 // (factors.n_points + 1),
                tables.slot // (factors.n_points + 1),
            )
            place = tables.slot % (factors.n_points + 1)
            np.testing.assert_array_equal(
                tables.power - 2 * (tables.slot - place),
                2 * (place // block * block) + place % block,
            )
    finally:
        fft._adders.cache_clear()
        fft.factorize.cache_clear()


def test_factorize_covers_what_it_says():
    for n_fft in range(1, 3000):
        rest = n_fft
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        factors = fft.factorize(n_fft)
        assert (factors is not None) == (rest == 1)
        if factors:
            assert factors.first * factors.n_points == n_fft
            assert np.prod(factors.radices) == factors.n_points
            assert max(factors.first, *factors.radices) <= 16
