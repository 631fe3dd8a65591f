import numpy as np
import pytest

from fastmel.kernels.frames import (
    PAD_MODES,
    condition,
    copy_padded,
    frame_energies,
    window_frames,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", [mode for mode in PAD_MODES if mode != "empty"])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 7, 20])
def test_copy_padded_is_numpy_s_pad(rng, mode, n_samples, dtype):
    y = rng.standard_normal(n_samples).astype(dtype)
    for pad in (1, 2, 5, 23, 64):
        expected = np.pad(y, pad, mode=mode)
        beyond = np.concatenate([np.zeros(9, dtype), expected, np.zeros(9, dtype)])
        for start, stop in ((0, len(beyond)), (5, 12), (9 + pad, 9 + pad + n_samples)):
            out = np.full(stop - start, np.nan, dtype=dtype)
            copy_padded(y, start - 9 - pad, pad, pad, PAD_MODES[mode], out)
            np.testing.assert_allclose(out, beyond[start:stop], rtol=2e-7, atol=1e-7)


def test_window_frames_are_slices_of_the_padded_signal(rng):
    y, window = rng.standard_normal(100), rng.standard_normal(16)
    padded, padding = np.pad(y, 8, mode="reflect"), (8, 8, PAD_MODES["reflect"])
    for first, n_frames in ((0, 12), (0, 1), (5, 7), (11, 1)):
        out = np.full((n_frames, 16), np.nan)
        window_frames(y, 9 * first - 8, (9, padding, window, 16, 0.0, False), out)
        for f, frame in enumerate(out):
            start = (first + f) * 9
            np.testing.assert_array_equal(frame, padded[start : start + 16] * window)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("remove_dc", [False, True])
@pytest.mark.parametrize("preemphasis", [0.0, 0.97])
def test_frames_lose_their_mean_and_what_came_before(rng, preemphasis, remove_dc, dtype):
    y, window = rng.standard_normal(200).astype(dtype) + dtype(3), np.zeros(32, dtype)
    window[:25] = rng.standard_normal(25)
    layout = (10, (5, 7, PAD_MODES["symmetric"]), window, 25, dtype(preemphasis), remove_dc)
    out = np.full((18, 32), np.nan, dtype=dtype)
    window_frames(y, -5, layout, out)
    energies, frame = np.full(18, np.nan), np.full(32, np.nan, dtype)
    frame_energies(y, -5, layout, frame, energies)
    padded = np.pad(np.pad(y.astype(float), (5, 7), mode="symmetric"), (0, 32))
    for f in range(18):
        inside = padded[10 * f : 10 * f + 25]
        inside = inside - inside.mean() if remove_dc else inside
        expected = inside - preemphasis * np.append(inside[0], inside[:-1])
        np.testing.assert_allclose(out[f, :25], expected * window[:25], rtol=0, atol=3e-6)
        np.testing.assert_array_equal(out[f, 25:], 0)
        assert energies[f] == pytest.approx((out[f].astype(float) ** 2).sum(), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dither", [0.0, 0.5])
@pytest.mark.parametrize("preemphasis", [0.0, 0.97])
def test_pieces_are_conditioned_like_the_whole(rng, preemphasis, dither, dtype):
    y = rng.standard_normal(1000).astype(dtype)
    seed, factor = np.uint64(7), dtype(preemphasis)
    noisy, whole = np.full_like(y, np.nan), np.full_like(y, np.nan)
    condition(y, 0, dtype(0), dither, seed, dtype(0), noisy)
    assert condition(y, 0, dtype(0), dither, seed, factor, whole) == noisy[-1]
    assert (np.abs(noisy - y).max() > 1) == (dither > 0)
    before = np.append(dtype(0), noisy[:-1])
    np.testing.assert_allclose(whole, noisy - factor * before, rtol=0, atol=1e-6)
    last, first = dtype(0), 0
    for n in (1, 0, 2, 15, 16, 17, 400, 549):
        piece = np.full(n, np.nan, dtype=dtype)
        last = dtype(condition(y[first : first + n], first, last, dither, seed, factor, piece))
        np.testing.assert_array_equal(piece, whole[first : first + n])
        first += n
    assert first == len(y)


def test_padding_may_differ_at_the_ends(rng):
    y = rng.standard_normal(20)
    for mode in ("constant", "edge", "linear_ramp", "reflect", "symmetric"):
        expected = np.pad(np.pad(y, (3, 11), mode=mode), 4)
        out = np.full(len(expected), np.nan)
        copy_padded(y, -7, 3, 11, PAD_MODES[mode], out)
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)
