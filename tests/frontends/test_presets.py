"""The front ends of known models against the packages they come from, and against themselves.

What those packages give is kept in tests/golden, where make.py tells how it was made.
"""

import json
import math
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines.plan import mel_plan
from fastmel.kernels.jit import simd_width

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCES = json.loads((GOLDEN / "index.json").read_text())
NAMES = frontends.names()

LN_EPSILON = math.log(2.0**-23)

#: largest differences from a reference that computes in float32: of the noisy signal; of the one
#: with silence, an impulse, a tone and a constant, where float32's own rounding shows
TOLERANCES = {
    "whisper": (1e-5, 1e-4),
    "nemo": (1e-4, 1e-4),
    "kaldi": (2e-4, 1e-3),
    "kaldi-mfcc": (3e-4, 5e-4),  # torchaudio's bank is float32's, and cepstra sum it up
    "k2": (2e-4, 5e-4),
    "sensevoice": (2e-4, 2e-4),
    "seamless": (1e-4, 1e-4),
    "w2v-bert": (1e-4, 1e-4),
    "gemma3n": (1e-4, 5e-4),
    "phi4": (5e-5, 5e-4),
    "wespeaker": (2e-4, 2e-4),
    "speechbrain": (5e-4, 1e-2),  # dB; its bank is float32's, 3e-4 dB from the exact one
    "hifigan": (1e-5, 1e-3),
    "bigvgan-24k-100": (1e-5, 1e-3),
    "bigvgan-44k-128": (1e-5, 1e-3),
    "cosyvoice": (1e-5, 1e-3),
    "tacotron2": (2e-5, 1e-3),  # torchaudio's bank
    "vocos": (2e-5, 1e-3),  # torchaudio's bank
    "f5": (2e-5, 1e-3),  # torchaudio's bank
    "speecht5": (2e-6, 1e-4),
    "torchaudio": (5e-4, 2e-2),  # dB; torchaudio's bank
    "ast": (2e-5, 1e-4),
    "beats": (2e-5, 1e-4),
    "clap": (1e-4, 1e-2),  # dB
    "panns": (1e-4, 1e-2),  # dB
    "yamnet": (1e-5, 1e-4),
    "vggish": (1e-5, 1e-4),
    "passt": (2e-5, 1e-4),
}

#: references that compute in float64
EXACT = ("WhisperFeatureExtractor, NumPy", "UnivNet", "SpeechT5", "Clap", "torchvggish")


#: Where the processor cannot fuse them, the product and the difference of pre-emphasis are rounded
#: both, and bands that it leaves little of are off by twice as much.
ROUNDINGS = 2 if simd_width() == 4 else 1


def label(entry):
    return f"{entry['preset']}: {entry['name']}"


@cache
def golden(file):
    with np.load(GOLDEN / f"{file}.npz") as arrays:
        return dict(arrays)


def signal(name, cut=None):
    return (golden("signals")[name][:cut] / 32768).astype(np.float32)


# against the packages


def test_every_front_end_has_a_reference():
    assert {entry["preset"] for entry in REFERENCES} == set(NAMES) == set(TOLERANCES)


@pytest.mark.parametrize("engine", ["auto", "scipy"])
@pytest.mark.parametrize("entry", REFERENCES, ids=label)
def test_it_is_the_reference_s(entry, engine):
    transform = fastmel.frontend(entry["preset"], engine=engine, **entry["options"])
    for kind, tolerance in zip(("noisy", "edges"), TOLERANCES[entry["preset"]], strict=True):
        expected = golden(entry["preset"])[f"{entry['name']}: {kind}"]
        found = transform(signal(kind, entry["cut"]))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDINGS * tolerance)


@pytest.mark.parametrize("engine", ["reference", "scipy"])
@pytest.mark.parametrize(
    "entry", [e for e in REFERENCES if any(word in e["reference"] for word in EXACT)], ids=label
)
def test_float64_is_the_reference_s_in_float64(entry, engine):
    transform = fastmel.frontend(entry["preset"], engine=engine, **entry["options"])
    for kind in ("noisy", "edges"):
        expected = golden(entry["preset"])[f"{entry['name']}: {kind}"]
        found = transform(signal(kind, entry["cut"]).astype(float))
        np.testing.assert_allclose(found, expected, rtol=0, atol=4e-6)


# banks


BANKS = [  # n_mels, n_bins, nonzero weights, sum, largest, empty bands
    ("whisper", {}, 80, 201, 391, 1.999024, 0.025881, []),
    ("whisper", {"n_mels": 128}, 128, 201, 394, 3.190986, 0.041682, []),
    ("nemo", {}, 80, 257, 500, 2.558261, 0.026407, []),
    ("nemo", {"n_mels": 128}, 128, 257, 504, 4.090488, 0.042366, []),
    ("hifigan", {}, 80, 513, 727, 3.713688, 0.026493, []),
    ("tacotron2", {}, 80, 513, 727, 3.713688, 0.026493, []),
    ("bigvgan-24k-100", {}, 100, 513, 1004, 4.264108, 0.029450, []),
    ("bigvgan-44k-128", {}, 128, 1025, 2014, 5.941555, 0.032151, []),
    ("cosyvoice", {}, 80, 961, 1252, 6.399892, 0.026665, []),
    ("vocos", {}, 100, 513, 1008, 503.828645, 0.999026, []),
    ("f5", {}, 100, 513, 1008, 503.828645, 0.999026, []),
    ("clap", {"bank": "fused"}, 64, 513, 580, 290.150243, 0.997626, []),
    ("clap", {}, 64, 513, 577, 1.364433, 0.018150, []),
    ("panns", {}, 64, 513, 866, 2.048126, 0.018150, []),
    ("speecht5", {}, 80, 513, 942, 5.119187, 0.027853, []),
    ("gemma3n", {}, 128, 513, 946, 473.200609, 0.998925, []),
    ("kaldi", {}, 80, 257, 501, 250.750822, 0.990714, []),
    ("k2", {}, 80, 257, 477, 238.242223, 0.999846, []),
    ("ast", {}, 128, 257, 504, 252.610481, 0.995664, [3]),
    ("beats", {}, 128, 257, 504, 252.610481, 0.995664, [3]),
    ("vggish", {}, 64, 257, 461, 230.913599, 0.996191, []),
    ("yamnet", {}, 64, 257, 461, 230.913599, 0.996191, []),
    ("speechbrain", {}, 80, 201, 387, 193.057191, 0.998555, []),
    ("passt", {}, 128, 513, 947, 473.490551, 0.999667, []),
    ("torchaudio", {}, 128, 201, 395, 197.376650, 0.997295, [0, 3, 6, 13]),
]


@pytest.mark.parametrize(("name", "options", *"abcdef"), BANKS)
def test_banks(name, options, a, b, c, d, e, f):
    basis = mel_plan(frontends.preset(name, **options)).basis
    assert basis.shape == (a, b)
    assert np.count_nonzero(basis) == c
    assert basis.sum(dtype=float) == pytest.approx(d, abs=2e-6)
    assert basis.max() == pytest.approx(e, abs=1e-6)
    assert np.flatnonzero(~basis.any(axis=1)).tolist() == f


# frames


def windows(length, hop):
    """Frames that lie in the signal."""
    return lambda n: max(0, 1 + (n - length) // hop)


FRAMES = {
    "whisper": lambda n: n // 160,
    "nemo": lambda n: n // 160,
    "kaldi": windows(400, 160),
    "kaldi-mfcc": windows(400, 160),
    "k2": lambda n: (n + 80) // 160,
    "sensevoice": lambda n: -(-windows(400, 160)(n) // 6),
    "seamless": lambda n: -(-windows(400, 160)(n) // 2),
    "w2v-bert": lambda n: -(-windows(400, 160)(n) // 2),
    "gemma3n": lambda n: windows(513, 160)(-(-n // 128) * 128),
    "phi4": windows(400, 160),
    "wespeaker": windows(400, 160),
    "speechbrain": lambda n: n // 160 + 1,
    "hifigan": lambda n: n // 256,
    "bigvgan-24k-100": lambda n: n // 256,
    "bigvgan-44k-128": lambda n: n // 512,
    "cosyvoice": lambda n: n // 480,
    "tacotron2": lambda n: n // 256 + 1,
    "vocos": lambda n: n // 256 + 1,
    "f5": lambda n: n // 256 + 1,
    "speecht5": lambda n: n // 256 + 1,
    "torchaudio": lambda n: n // 200 + 1,
    "ast": lambda n: 1024,
    "beats": windows(400, 160),
    "clap": lambda n: n // 480 + 1,
    "panns": lambda n: n // 320 + 1,
    "yamnet": windows(400, 160),
    "vggish": windows(400, 160),
    "passt": lambda n: (n - 1) // 320 + 1,
}


def time_axis(transform):
    return -1 if transform.config.layout == "mels_first" else -2


def feature_axis(transform):
    return -2 if transform.config.layout == "mels_first" else -1


@pytest.mark.parametrize("name", NAMES)
def test_counts_of_frames(name):
    transform = fastmel.frontend(name)
    hop = transform.config.hop_length
    lengths = {16000, 22050, *range(2000, 2000 + 3 * hop, 7)}
    lengths |= {k * hop + d for k in (5, 6, 12, 13) for d in (-1, 0, 1)}
    for n in sorted(lengths):
        assert transform.frames(n) == FRAMES[name](n), n
    for n in (2000, 2400, 2401, 2560, 3841):
        found = transform(np.zeros(n, dtype=np.float32))
        assert found.shape[time_axis(transform)] == FRAMES[name](n)
        assert found.shape[feature_axis(transform)] == transform.config.n_features


def test_options_change_the_count_of_frames():
    assert fastmel.frontend("whisper", padding="faster-whisper").frames(16000) == 101
    assert fastmel.frontend("whisper", padding="30s").frames(16000) == 3000
    assert fastmel.frontend("nemo", rule="2.4").frames(16000) == 101
    assert fastmel.frontend("kaldi", snip_edges=False).frames(16000) == 100
    assert fastmel.frontend("bigvgan-44k-128", hop_length=256).frames(2560) == 10
    assert fastmel.frontend("clap", padding="10s").frames(16000) == 1001
    patches = fastmel.frontend("vggish", stack=(96, 96), stack_ends="drop")
    assert [patches.frames(n) for n in (15360, 15599, 15600, 31200)] == [0, 0, 1, 2]


# signals that are no ordinary ones


SILENCE = {
    "whisper": -1.5,
    "nemo": 0.0,
    "kaldi": LN_EPSILON,
    "k2": LN_EPSILON,
    "sensevoice": LN_EPSILON,
    "seamless": 0.0,
    "w2v-bert": 0.0,
    "gemma3n": math.log(1e-5),
    "phi4": 0.0,
    "wespeaker": 0.0,
    "speechbrain": -100.0,
    "hifigan": math.log(1e-5),
    "bigvgan-24k-100": math.log(1e-5),
    "bigvgan-44k-128": math.log(1e-5),
    "cosyvoice": math.log(1e-5),
    "tacotron2": math.log(1e-5),
    "vocos": math.log(1e-7),
    "f5": math.log(1e-5),
    "speecht5": -10.0,
    "torchaudio": 0.0,
    "beats": (LN_EPSILON - 15.41663) / (2 * 6.55582),
    "clap": -100.0,
    "panns": -100.0,
    "yamnet": math.log(1e-3),
    "vggish": math.log(1e-2),
    "passt": (math.log(1e-5) + 4.5) / 5,
}
assert set(NAMES) - set(SILENCE) == {"kaldi-mfcc", "ast"}  # see below


@pytest.mark.parametrize("engine", ["auto", "scipy", "reference"])
@pytest.mark.parametrize("name", SILENCE)
def test_silence_is_the_floor(name, engine):
    found = fastmel.frontend(name, engine=engine)(np.zeros(4080, dtype=np.float32))
    assert found.size
    assert (found == found.flat[0]).all()
    assert found.flat[0] == pytest.approx(SILENCE[name], rel=2e-7)


def test_silence_in_cepstra_and_in_padding():
    silence = np.zeros(4080, dtype=np.float32)
    cepstra = fastmel.frontend("kaldi-mfcc")(silence)
    np.testing.assert_array_equal(cepstra[:, 0], np.float32(LN_EPSILON))
    np.testing.assert_allclose(cepstra[:, 1:], 0, atol=1e-4)
    ast = fastmel.frontend("ast")(silence)
    assert ast[:24] == pytest.approx((LN_EPSILON + 4.2677393) / 9.1379948, rel=2e-7)
    assert ast[24:] == pytest.approx(4.2677393 / 9.1379948, rel=2e-7)


def odd_signals():
    """Signals with little in most bands, float64."""
    t = np.arange(5000)
    noise = 1e-3 * np.random.default_rng(7).standard_normal(len(t))
    return {
        "tone": 0.5 * np.sin(0.3 * t),
        "square": np.sign(np.sin(0.05 * t)),
        "constant": np.full(len(t), 0.25),
        "constant and noise": 0.25 + noise,
        "impulse": np.where(t == 1234, 1.0, 0.0),
        "noise, then silence": np.where(t < 2500, noise, 0.0),
    }


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_in_float64(name):
    reference = fastmel.frontend(name, engine="reference")
    transform = fastmel.frontend(name)
    for kind, y in odd_signals().items():
        expected, found = reference(y), transform(y)
        assert found.dtype == np.float64
        # a band 150 dB below a full-scale tone is off by 3e-16 of the tone: by 2e-8 after a log
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7, err_msg=kind)


@pytest.mark.parametrize("engine", ["auto", "scipy"])
@pytest.mark.parametrize("name", NAMES)
def test_bands_in_float32(name, engine):
    """Before the logarithm: to within float32's rounding of the largest in the frame."""
    plain = {"log": None, "top_db": None, "offset": 0, "gain": 1, "normalize": None, "stack": None}
    plain |= {"guard": "clamp", "n_mfcc": None, "energy": None, "n_frames": None}
    transform = fastmel.frontend(name, engine=engine, **plain)
    reference = fastmel.MelSpectrogram.from_config(transform.config, "reference")
    from_zero = replace(transform.config, fmin=0)
    whole = fastmel.MelSpectrogram.from_config(from_zero, "reference")
    for kind, y in odd_signals().items():
        if kind == "constant" and transform.config.remove_dc:
            continue  # nothing is left, and rounding shows
        y = y.astype(np.float32)
        expected, found = reference(y), transform(y)
        largest = whole(y).max(axis=feature_axis(transform), keepdims=True)
        assert (abs(found - expected) <= 5e-6 * largest).all(), kind


@pytest.mark.parametrize("name", NAMES)
def test_signals_of_few_samples(name):
    transform, reference = (fastmel.frontend(name, engine=e) for e in ("auto", "reference"))
    for n in (0, 1, 2, 3, 79, 80, 159, 160, 199, 200, 201, 399, 400, 401, 512, 513, 720, 768, 769):
        y = (0.1 * np.random.default_rng(n).standard_normal(n)).astype(np.float32)
        n_frames = FRAMES[name](n)
        is_padded = transform.config.frame_length is None
        is_reflected = transform.config.pad_mode == "reflect"
        n_padded = n - 1 if name == "passt" else n
        if is_padded and (n_frames == 0 or (n_padded == 0 and is_reflected)):
            for each in (transform, reference):
                with pytest.raises(fastmel.ParameterError, match=r"samples|an empty signal"):
                    each(y)
            continue
        found = transform(y)
        assert found.shape[time_axis(transform)] == n_frames
        assert np.isfinite(found).all()
        y = y.astype(float)
        np.testing.assert_allclose(transform(y), reference(y), rtol=0, atol=1e-9)


# batches and lists


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_its_signal_s_own(name):
    transform = fastmel.frontend(name)
    signals = [(s * signal("noisy"))[:n] for s, n in ((1, 8003), (0.01, 4803), (0.5, 6007))]
    alone = [transform(y) for y in signals]
    for found, expected in zip(transform(signals), alone, strict=True):
        np.testing.assert_array_equal(found, expected)

    rows = np.stack([y[:4803] for y in signals])
    np.testing.assert_array_equal(transform(rows), [transform(y) for y in rows])

    features, lengths = transform.batch(signals)
    features = np.moveaxis(features, time_axis(transform), 1)
    for found, length, expected in zip(features, lengths, alone, strict=True):
        expected = np.moveaxis(expected, time_axis(transform), 0)
        np.testing.assert_array_equal(found[:length], expected)
        assert (found[length:] == np.float32(transform.config.pad_value)).all()


def test_what_is_added_to_a_deviation():
    """Where features hardly change: NeMo adds 1e-5 to the root, Seamless 1e-7 below it."""
    rng = np.random.default_rng(9)
    quiet = 1e-6 * rng.standard_normal(6000)
    bands = fastmel.frontend("nemo", normalize=None)(quiet)
    deviation = bands.std(axis=1, ddof=1, keepdims=True)
    assert 1e-6 < np.median(deviation) < 1e-3
    expected = (bands - bands.mean(axis=1, keepdims=True)) / (deviation + 1e-5)
    np.testing.assert_allclose(fastmel.frontend("nemo")(quiet), expected, rtol=0, atol=1e-6)

    periodic = np.tile(0.1 * rng.standard_normal(160), 40) + 1e-5 * rng.standard_normal(6400)
    bands = fastmel.frontend("kaldi")(periodic)
    variance = bands.var(axis=0, ddof=1)
    assert 1e-9 < np.median(variance) < 1e-6
    expected = (bands - bands.mean(axis=0)) / np.sqrt(variance + 1e-7)
    found = fastmel.frontend("seamless")(periodic)
    np.testing.assert_allclose(found, expected.reshape(-1, 160), rtol=0, atol=1e-6)


# where references differ


def test_nemo_changed_its_edges():
    old, new = (fastmel.frontend("nemo", rule=rule, normalize=None) for rule in ("2.4", "2.5"))
    y = signal("noisy")
    differences = abs(old(y)[:, :-1] - new(y)).max(axis=0)
    assert old.frames(len(y)) == new.frames(len(y)) + 1
    assert differences[0] > 1
    assert (differences[2:-2] == 0).all()


def test_whispers_differ_in_what_follows_the_signal():
    """openai: nothing; transformers: silence, to 30 s; faster-whisper: a hop of it."""
    y = signal("noisy")
    openai, transformers, faster = (
        fastmel.frontend("whisper", padding=padding)(y)
        for padding in (None, "30s", "faster-whisper")
    )
    assert openai.shape[1] == faster.shape[1] - 1 == 50
    for other in (transformers, faster):
        np.testing.assert_array_equal(other[:, :48], openai[:, :48])
        assert abs(other[:, 49] - openai[:, 49]).max() > 0.01


def test_phi4_keeps_a_bin_that_its_first_processor_left_out():
    last = mel_plan(frontends.preset("phi4")).basis[-1]
    assert np.flatnonzero(last)[-1] == 246  # 7687.5 Hz of 7690
    assert last[246] == pytest.approx(0.0097, abs=1e-4)


def test_what_fills_a_batch_is_not_silence():
    assert frontends.preset("k2").pad_value == pytest.approx(-23.0259, abs=1e-4)  # lhotse's
    odd = signal("noisy", 2400)  # 13 frames: the last is paired with padding
    seamless, w2v_bert = (fastmel.frontend(name)(odd) for name in ("seamless", "w2v-bert"))
    np.testing.assert_array_equal(seamless[:-1], w2v_bert[:-1])
    np.testing.assert_array_equal(seamless[-1, 80:], np.zeros(80))
    np.testing.assert_array_equal(w2v_bert[-1, 80:], np.ones(80))


def test_clap_fills_ten_seconds_with_copies_and_zeros():
    y = signal("noisy")
    copies = np.zeros(480000, dtype=np.float32)
    copies[: 59 * len(y)] = np.tile(y, 59)
    filled = fastmel.frontend("clap", padding="10s")(y)
    np.testing.assert_array_equal(filled, fastmel.frontend("clap")(copies))


# the table of names


def test_names_and_options_are_checked():
    with pytest.raises(fastmel.ParameterError, match="did you mean 'whisper'"):
        fastmel.frontend("wisper")
    with pytest.raises(fastmel.ParameterError, match="no option hop_lenght; it has n_mels, rule"):
        fastmel.frontend("nemo", hop_lenght=160)
    with pytest.raises(fastmel.ParameterError, match="rule='2\\.6' is not one"):
        fastmel.frontend("nemo", rule="2.6")
    with pytest.raises(fastmel.ParameterError, match="are too short at sr=16000"):
        fastmel.frontend("kaldi", frame_length_ms=0.05)
    with pytest.raises(fastmel.ParameterError, match="'whisper' has no option name; it has n_mels"):
        frontends.preset("whisper", **{"name": "x"})


@pytest.mark.parametrize(("name", "n_mels"), [("whisper", 300), ("kaldi", 200)])
def test_empty_bands_are_warned_of(name, n_mels):
    with pytest.warns(UserWarning, match="Empty filters") as caught:
        fastmel.frontend(name, n_mels=n_mels)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("name", NAMES)
def test_empty_bands_of_a_model_s_own_are_not_warned_of(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastmel.frontend(name, n_frames=None)


def test_every_front_end_is_described():
    for name in NAMES:
        text = frontends.describe(name)
        assert text.endswith(".")
        assert 20 < len(text) < 120
