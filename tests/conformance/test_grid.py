"""Calls that cut signals into frames, against librosa over combinations of all their options."""

import warnings

import librosa
import numpy as np
import pytest

import fastmel

#: every value meets every other one somewhere in the combinations that are drawn
OPTIONS = {
    "n_fft": (512, 400, 441),
    "hop_length": (160, 128, 37),
    "win_length": (None, 301),
    "window": ("hann", "hamming", ("kaiser", 8.6), "an array"),
    "center": (True, False),
    "pad_mode": ("constant", "edge", "reflect", "symmetric", "linear_ramp"),
    "n_samples": (1, 255, 1021, 4000, 4001),
    "channels": ((), (2,), (2, 3)),
    "order": ("C", "F", "reversed", "every other"),
    "dtype": (np.float32, np.float64),
}
N_COMBINATIONS = 120


def draw(seed):
    """Draw one value of every option."""
    rng = np.random.default_rng(seed)
    options = {name: values[rng.integers(len(values))] for name, values in OPTIONS.items()}
    if options["window"] == "an array":
        options["window"] = rng.uniform(0.1, 1, options["win_length"] or options["n_fft"])
    if not options["center"]:
        options["n_samples"] += options["n_fft"]
    shape = (*options.pop("channels"), options.pop("n_samples"))
    order, dtype = options.pop("order"), options.pop("dtype")
    y = 0.1 * rng.standard_normal((*shape[:-1], 2 * shape[-1])).astype(dtype)
    if order == "every other":
        return y[..., ::2], options
    y = np.array(y[..., : shape[-1]], order="F" if order == "F" else "C")
    return y[..., ::-1] if order == "reversed" else y, options


COMBINATIONS = [draw(seed) for seed in range(N_COMBINATIONS)]

NYQUIST = 22050 / 2

#: what is compared, and how near float32 is to librosa's double precision, beside the largest value
CALLS = {
    "stft": (lambda lib, y, **o: lib.stft(y, **o), 1e-6),
    "melspectrogram": (lambda lib, y, **o: lib.feature.melspectrogram(y=y, n_mels=20, **o), 5e-6),
    "amplitudes of mels": (
        lambda lib, y, **o: lib.feature.melspectrogram(y=y, n_mels=20, power=1, **o),
        5e-6,
    ),
    "spectral_flatness": (lambda lib, y, **o: lib.feature.spectral_flatness(y=y, **o), 1e-4),
}

#: frequencies of frames
FREQUENCY_CALLS = {
    "spectral_centroid": lambda lib, y, **o: lib.feature.spectral_centroid(y=y, **o),
    "spectral_bandwidth": lambda lib, y, **o: lib.feature.spectral_bandwidth(y=y, **o),
}

#: what frames signals without a window
PLAIN_CALLS = {
    "rms": lambda lib, y, pad_mode, **o: lib.feature.rms(y=y, pad_mode=pad_mode, **o),
    "zero_crossing_rate": lambda lib, y, pad_mode, **o: lib.feature.zero_crossing_rate(y, **o),
}


@pytest.fixture(autouse=True)
def _no_warnings_of_short_signals():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=")
        warnings.filterwarnings("ignore", "Empty filters")
        yield


def assert_near(ours, theirs, tolerance, scale=None):
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if scale is None:
        scale = np.abs(theirs).max(initial=1e-30)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def describe(y, options):
    return f"{y.shape} {y.dtype} {y.strides} {options}"


@pytest.mark.parametrize("name", CALLS)
def test_spectra_and_what_is_made_of_them(name):
    call, single = CALLS[name]
    for y, options in COMBINATIONS:
        ours, theirs = call(fastmel, y, **options), call(librosa, y, **options)
        try:
            assert_near(ours, theirs, single if y.dtype == np.float32 else 1e-12)
        except AssertionError as error:
            raise AssertionError(describe(y, options)) from error


@pytest.mark.parametrize("name", FREQUENCY_CALLS)
def test_frequencies(name):
    call = FREQUENCY_CALLS[name]
    for y, options in COMBINATIONS:
        ours, theirs = call(fastmel, y, **options), call(librosa, y, **options)
        # bins that are empty, as most are of a constant, hold the rounding of the FFT
        try:
            assert_near(ours, theirs, 1e-4 if y.dtype == np.float32 else 1e-12, NYQUIST)
        except AssertionError as error:
            raise AssertionError(describe(y, options)) from error


@pytest.mark.parametrize("name", PLAIN_CALLS)
def test_frames_without_a_window(name):
    call = PLAIN_CALLS[name]
    for y, options in COMBINATIONS:
        framing = {
            "frame_length": options["n_fft"],
            "hop_length": options["hop_length"],
            "center": options["center"],
            "pad_mode": options["pad_mode"],
        }
        try:
            assert_near(call(fastmel, y, **framing), call(librosa, y, **framing), 5e-7)
        except AssertionError as error:
            raise AssertionError(describe(y, framing)) from error


def test_mfcc(librosa_1):
    for y, options in COMBINATIONS:
        if y.ndim > 1 and not librosa_1:
            continue  # librosa 0.11 has one peak for all channels
        ours, theirs = (lib.feature.mfcc(y=y, n_mels=20, **options) for lib in (fastmel, librosa))
        try:
            assert_near(ours, theirs, 1e-4 if y.dtype == np.float32 else 1e-11)
        except AssertionError as error:
            raise AssertionError(describe(y, options)) from error


def test_spectral_rolloff():
    for y, options in COMBINATIONS:
        ours, theirs = (lib.feature.spectral_rolloff(y=y, **options) for lib in (fastmel, librosa))
        assert ours.shape == theirs.shape
        # rounding may decide where a sum meets the threshold: then the neighbouring bin it is
        bins = np.abs(ours - theirs) / (22050 / options["n_fft"])
        assert np.round(bins.max(initial=0), 6) <= (y.dtype == np.float32), describe(y, options)


def test_transforms_are_undone():
    for y, options in COMBINATIONS:
        if options["hop_length"] > (options["win_length"] or options["n_fft"]) // 2:
            continue  # windows hardly overlap: their squares come too near to zero
        n_samples = y.shape[-1]
        D = fastmel.stft(y, **options)
        back = {key: value for key, value in options.items() if key != "pad_mode"}
        again = fastmel.istft(D, length=n_samples, **back)
        theirs = librosa.istft(D, length=n_samples, **back)
        assert (again.shape, again.dtype) == (theirs.shape, theirs.dtype)
        # where the first and last frames overlap with none, windows end near zero
        first = 0 if options["center"] else options["n_fft"]
        inner = slice(first, max(first, (D.shape[-1] - 1) * options["hop_length"]))
        single = y.dtype == np.float32
        for other in (theirs, y):
            np.testing.assert_allclose(
                again[..., inner],
                other[..., inner],
                rtol=0,
                atol=1e-6 if single else 1e-12,
                err_msg=describe(y, options),
            )
