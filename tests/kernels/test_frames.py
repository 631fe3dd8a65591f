import numpy as np
import pytest

from fastmel.kernels.frames import PAD_MODES, copy_padded, window_frames


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
        window_frames(y, 9 * first - 8, 9, padding, window, 16, 0.0, False, out)
        for f, frame in enumerate(out):
            start = (first + f) * 9
            np.testing.assert_array_equal(frame, padded[start : start + 16] * window)
