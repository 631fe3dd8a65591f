"""Every option of Kaldi's front ends against kaldi-native-fbank, whose C++ is Kaldi's."""

import kaldi_native_fbank as knf
import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines.plan import mel_plan

#: where kaldi-native-fbank keeps what fastmel has under another name, or in one of its parts
PLACES = {
    "sr": ("frame_opts", "samp_freq"),
    "frame_length_ms": ("frame_opts", "frame_length_ms"),
    "frame_shift_ms": ("frame_opts", "frame_shift_ms"),
    "window": ("frame_opts", "window_type"),
    "blackman_coeff": ("frame_opts", "blackman_coeff"),
    "snip_edges": ("frame_opts", "snip_edges"),
    "round_to_power_of_two": ("frame_opts", "round_to_power_of_two"),
    "preemphasis": ("frame_opts", "preemph_coeff"),
    "remove_dc": ("frame_opts", "remove_dc_offset"),
    "n_mels": ("mel_opts", "num_bins"),
    "low_freq": ("mel_opts", "low_freq"),
    "high_freq": ("mel_opts", "high_freq"),
    "n_mfcc": ("num_ceps",),
}

FRAMES = [
    {"sr": 8000},
    {"sr": 11025},
    {"frame_length_ms": 32.0, "frame_shift_ms": 12.5},
    {"frame_length_ms": 25.1, "frame_shift_ms": 10.1, "snip_edges": False},
    {"snip_edges": False},
    *({"window": name} for name in ("hamming", "hanning", "sine", "rectangular", "blackman")),
    {"window": "blackman", "blackman_coeff": 0.4},
    {"round_to_power_of_two": False},
    {"preemphasis": 0.0},
    {"preemphasis": 0.5, "remove_dc": False},
    {"low_freq": 64.0, "high_freq": -400.0},
    {"low_freq": 0.0, "high_freq": 7000.0, "n_mels": 30},
    {"use_energy": True},
    {"use_energy": True, "raw_energy": False},
    {"use_energy": True, "energy_floor": 1e9},
    {"use_energy": True, "htk_compat": True},
]
BANDS = [{}, {"n_mels": 23}, {"use_power": False}, {"use_log_fbank": False, "scale": 1.0}, *FRAMES]
CEPSTRA = [
    {},
    {"n_mfcc": 20, "n_mels": 40},
    {"cepstral_lifter": 0.0},
    {"cepstral_lifter": 10.0},
    {"use_energy": False},
    {"use_energy": False, "htk_compat": True},
    *FRAMES,
]


@pytest.fixture(scope="module")
def y():
    """Harmonics over noise that falls with frequency, so that no band is all but empty."""
    noise = np.cumsum(np.random.default_rng(3).standard_normal(9001)) * 1e-3
    noise -= np.linspace(noise[0], noise[-1], len(noise))
    t = np.arange(len(noise))
    harmonics = sum(np.sin(0.05 * k * t) / k for k in range(1, 30))
    hiss = 5e-3 * np.random.default_rng(4).standard_normal(len(t))
    return (noise + 0.1 * harmonics + hiss).astype(np.float32)


def kaldi_options(kind, options):
    made = {"bands": knf.FbankOptions, "cepstra": knf.MfccOptions}[kind]()
    made.frame_opts.dither = 0
    made.mel_opts.num_bins = {"bands": 80, "cepstra": 23}[kind]
    for name, value in options.items():
        *part, last = PLACES.get(name, (name,))
        setattr(getattr(made, part[0]) if part else made, last, value)
    return made


def kaldi(kind, y, scale=32768, **options):
    made = kaldi_options(kind, options)
    computer = {"bands": knf.OnlineFbank, "cepstra": knf.OnlineMfcc}[kind](made)
    computer.accept_waveform(made.frame_opts.samp_freq, (scale * y).tolist())
    computer.input_finished()
    frames = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
    return np.reshape(frames, (len(frames), computer.dim))


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("options", BANDS, ids=str)
def test_bands(options, y, engine):
    found = fastmel.frontend("kaldi", engine=engine, **options)(y)
    np.testing.assert_allclose(found, kaldi("bands", y, **options), rtol=0, atol=2e-4)


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("options", CEPSTRA, ids=str)
def test_cepstra(options, y, engine):
    found = fastmel.frontend("kaldi-mfcc", engine=engine, **options)(y)
    np.testing.assert_allclose(found, kaldi("cepstra", y, **options), rtol=0, atol=3e-4)


def test_every_option_is_tried():
    """Dither is random, the mean is wespeaker's test, scale stands for the caller's own."""
    tried = {name for options in (*BANDS, *CEPSTRA) for name in options}
    with pytest.raises(fastmel.ParameterError) as caught:
        frontends.preset("kaldi-mfcc", no_such_option=1)
    named = str(caught.value).partition("it has ")[2].partition(";")[0].split(", ")
    assert set(named) - tried == {"subtract_mean"}


def test_a_periodic_window(y):
    """What kaldi-native-fbank calls "hann", beside Kaldi's symmetric "hanning"."""
    found = fastmel.frontend("kaldi", window="hann", periodic=True)(y)
    np.testing.assert_allclose(found, kaldi("bands", y, window="hann"), rtol=0, atol=2e-4)


@pytest.mark.parametrize("warp", [0.8, 0.9, 1.1, 1.25])
@pytest.mark.parametrize("knots", [{}, {"vtln_low": 60.0, "vtln_high": 7200.0}])
def test_vocal_tract_lengths(warp, knots):
    config = frontends.preset("kaldi", vtln_warp=warp, **knots)
    options = kaldi_options("bands", {})
    for name, value in knots.items():
        setattr(options.mel_opts, name, value)
    expected = knf.MelBanks(options.mel_opts, options.frame_opts, warp).get_matrix()
    np.testing.assert_allclose(mel_plan(config).basis, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("snip_edges", [True, False])
def test_counts_of_frames(snip_edges):
    transform = fastmel.frontend("kaldi", snip_edges=snip_edges)
    for n in (0, 1, 79, 80, 159, 160, 240, 399, 400, 401, 559, 560, 561, 16000):
        y = np.ones(n, dtype=np.float32)
        assert len(transform(y)) == len(kaldi("bands", y, snip_edges=snip_edges)), n


def test_silence_is_kaldi_s_floor():
    silence = np.zeros(1000, dtype=np.float32)
    for options in ({}, {"use_energy": True}):
        expected = kaldi("bands", silence, **options)
        assert abs(fastmel.frontend("kaldi", **options)(silence) - expected).max() < 2e-6


def test_an_empty_band_is_constant():
    """As torchaudio's: kaldi-native-fbank refuses such a bank."""
    with pytest.raises(ValueError, match="num_mel_bins too large"):
        kaldi("bands", np.ones(1000, dtype=np.float32), n_mels=128)
    y = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    with pytest.warns(UserWarning, match="Empty filters"):
        bands = fastmel.frontend("kaldi", n_mels=128)(y)
    assert (bands[:, 3] == np.float32(np.log(2.0**-23))).all()


def test_dither_is_what_it_says():
    silence = np.zeros(32000, dtype=np.float32)
    one, two, other = (
        fastmel.frontend("kaldi", dither=1.0, seed=seed, use_log_fbank=False)(silence)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    expected = fastmel.frontend("kaldi", scale=1.0, use_log_fbank=False)(noise)
    np.testing.assert_allclose(one.mean(axis=0)[-40:], expected.mean(axis=0)[-40:], rtol=0.2)
