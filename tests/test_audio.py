import inspect
import io
import warnings
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.io
import soundfile

import fastmel
from fastmel import ParameterError, audio

ODD_FILES = sorted((Path(scipy.io.__file__).parent / "tests" / "data").glob("*.wav"))
FORMATS = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "FLOAT"),
    ("wav", "ULAW"),
    ("flac", "PCM_16"),
    ("ogg", "VORBIS"),
    ("mp3", "MPEG_LAYER_III"),
]


@pytest.fixture(scope="module")
def clip(music):
    """Two channels of 0.4 s at 44100 Hz."""
    left = music(44100, 0.4, np.float64)
    return np.stack([left, 0.5 * left[::-1]])


@pytest.fixture
def wav(tmp_path, clip):
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip.T, 44100, subtype="PCM_16")
    return path


def librosas(path, **kwargs):
    """librosa.load; 0.11 warns before it tries audioread, which 1.0 and fastmel do not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return librosa.load(path, **kwargs)


def assert_same(ours, theirs):
    assert ours[1] == theirs[1]
    np.testing.assert_array_equal(ours[0], theirs[0], strict=True)
    assert ours[0].strides == theirs[0].strides


@pytest.mark.parametrize("name", audio.__all__)
def test_signature_is_librosas(name, librosa_1):
    if name in ("to_mono", "get_duration", "stream") and not librosa_1:
        pytest.skip("librosa 0.11: to_mono(y), get_duration(filename=), stream without sr")
    ours, theirs = (inspect.signature(getattr(m, name)) for m in (audio, librosa))
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


# load


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
@pytest.mark.parametrize("sr", [22050, None, 16000])
def test_every_format_loads_as_librosas(tmp_path, clip, suffix, subtype, sr):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, clip.T, 44100, subtype=subtype)
    for mono in (True, False):
        assert_same(audio.load(path, sr=sr, mono=mono), librosas(path, sr=sr, mono=mono))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "f8"])
@pytest.mark.parametrize("offset", [0, 0.1, 0.25001, 0.4])
@pytest.mark.parametrize("duration", [None, 0.05, 10, 0])
def test_parts_load_as_librosas(wav, dtype, offset, duration):
    kwargs = {"sr": None, "offset": offset, "duration": duration, "dtype": dtype}
    assert_same(audio.load(wav, **kwargs), librosas(wav, **kwargs))


@pytest.mark.parametrize("duration", [None, 0.05])
def test_a_negative_offset_counts_from_the_end(wav, duration, librosa_1):
    y, _ = audio.load(wav, sr=None)
    part = audio.load(wav, sr=None, offset=-0.1, duration=duration)
    expected = y[-4410:] if duration is None else y[-4410:][: int(duration * 44100)]
    np.testing.assert_array_equal(part[0], expected)
    if librosa_1:
        assert_same(part, librosas(wav, sr=None, offset=-0.1, duration=duration))


def test_every_kind_of_source_gives_the_same(wav):
    expected = librosas(wav)
    content = wav.read_bytes()
    assert_same(audio.load(str(wav)), expected)
    for form in (content, bytearray(content), memoryview(content), io.BytesIO(content)):
        assert_same(audio.load(form), expected)
    with wav.open("rb") as file:
        assert_same(audio.load(file), expected)
    with soundfile.SoundFile(wav) as file:
        assert_same(audio.load(file), expected)
        assert file.closed


@pytest.mark.parametrize("path", ODD_FILES, ids=lambda path: path.name)
def test_odd_files_load_or_fail_as_librosas(path):
    try:
        expected = librosas(path, sr=None, mono=False)
    except Exception as error:
        family = ParameterError if isinstance(error, librosa.ParameterError) else Exception
        with pytest.raises(family):
            audio.load(path, sr=None, mono=False)
    else:
        assert_same(audio.load(path, sr=None, mono=False), expected)


def test_there_are_odd_files():
    assert len(ODD_FILES) >= 20


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "nowhere.wav"
    for call in (audio.load, audio.get_samplerate, lambda path: audio.get_duration(path=path)):
        for form in (path, str(path)):
            with pytest.raises(FileNotFoundError, match=r"nowhere\.wav"):
                call(form)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not audio at all" * 100])
def test_what_cannot_be_decoded_is_named(tmp_path, content):
    path = tmp_path / "noise.wav"
    path.write_bytes(content)
    with pytest.raises(soundfile.LibsndfileError, match=r"noise\.wav"):
        audio.load(path)
    with pytest.raises(soundfile.LibsndfileError):
        audio.load(content)


def test_an_empty_file_loads(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 22050)
    y, sr = audio.load(path)
    assert (y.shape, y.dtype, sr) == ((0,), np.float32, 22050)


def test_nan_in_a_file_is_refused(tmp_path):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([0.0, np.nan]), 22050, subtype="FLOAT")
    with pytest.raises(ParameterError, match="not finite"):
        audio.load(path)


# to_mono


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(50,), (1, 50), (2, 50), (7, 50), (8, 50), (9, 50), (2, 3, 50)])
def test_one_signal_mixes_to_librosas_bits(shape, dtype, rng):
    y = rng.standard_normal(shape).astype(dtype)
    interleaved = np.asfortranarray(y)
    for signal in (y, interleaved, y[..., ::2]):
        ours, theirs = audio.to_mono(signal), librosa.to_mono(signal)
        np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_several_signals_mix_to_librosas_bits(pad, norm, rng, librosa_1):
    signals = [
        rng.standard_normal(40).astype(np.float32),
        rng.standard_normal((2, 50)).astype(np.float32),
        rng.standard_normal((3, 30)),
    ]
    mix = audio.to_mono(*signals, pad=pad, norm=norm)
    assert mix.shape == (50 if pad else 30,)
    assert mix.dtype == np.float64
    np.testing.assert_allclose(
        mix[:30] * (3 if norm else 1),
        sum((np.mean if norm else np.sum)(np.atleast_2d(y)[:, :30], axis=0) for y in signals),
        atol=1e-6,
    )
    if librosa_1:
        theirs = librosa.to_mono(*signals, pad=pad, norm=norm)
        np.testing.assert_array_equal(mix, theirs, strict=True)


def test_to_mono_fills_out(rng):
    y = rng.standard_normal((2, 30)).astype(np.float32)
    out = np.full(30, np.nan)
    assert audio.to_mono(y, out=out) is out
    np.testing.assert_array_equal(out, y.mean(axis=0))


def test_to_mono_leaves_its_input_alone(rng):
    y = rng.standard_normal((1, 30))
    before = y.copy()
    audio.to_mono(y)[:] = 0
    np.testing.assert_array_equal(y, before)


# resample


@pytest.mark.parametrize("shape", [(2000,), (2, 1000), (2, 2, 500)])
@pytest.mark.parametrize(("orig_sr", "target_sr"), [(44100, 22050), (16000, 22050), (100, 99.5)])
@pytest.mark.parametrize("res_type", ["soxr_hq", "soxr_vhq", "soxr_qq", "fft", "scipy"])
def test_resampling_equals_librosas(shape, orig_sr, target_sr, res_type, rng):
    y = rng.standard_normal(shape).astype(np.float32)
    for kwargs in ({}, {"fix": False}, {"scale": True}, {"axis": 0}):
        both = {"orig_sr": orig_sr, "target_sr": target_sr, "res_type": res_type} | kwargs
        ours, theirs = (m.resample(y, **both) for m in (audio, librosa))
        np.testing.assert_array_equal(ours, theirs, strict=True)
        assert ours.strides == theirs.strides


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_polyphase_resampling_equals_librosas(dtype, rng):
    y = rng.standard_normal((2, 1001)).astype(dtype)
    both = {"orig_sr": 44100, "target_sr": 16000.0, "res_type": "polyphase"}
    ours, theirs = (m.resample(y, **both) for m in (audio, librosa))
    np.testing.assert_array_equal(ours, theirs, strict=True)


def test_equal_rates_give_the_signal_itself():
    y = np.zeros(10)
    assert audio.resample(y, orig_sr=8000, target_sr=8000) is y


# durations and rates


def test_durations_equal_librosas(wav, clip):
    S = np.zeros((1025, 40))
    for kwargs in (
        {"y": clip, "sr": 44100},
        {"y": np.zeros(0)},
        {"S": S},
        {"S": S, "sr": 16000, "n_fft": 2049, "hop_length": 160},
        {"S": S, "center": False},
        {"path": wav},
        {"path": str(wav), "y": clip},
    ):
        assert audio.get_duration(**kwargs) == librosa.get_duration(**kwargs)


def test_rates_equal_librosas(wav):
    assert audio.get_samplerate(wav) == librosa.get_samplerate(wav) == 44100
    assert audio.get_samplerate(wav.read_bytes()) == 44100
    with soundfile.SoundFile(wav) as file:
        assert audio.get_samplerate(file) == 44100
        assert not file.closed


# bad calls

SIGNAL = np.zeros(100, np.float32)
RATES = {"orig_sr": 16000, "target_sr": 8000}
BAD_CALLS = [
    ("load", (None,), {}, TypeError),
    ("load", (3.5,), {}, TypeError),
    ("load", ("WAV",), {"dtype": np.int8}, ValueError),
    ("load", ("WAV",), {"dtype": "nonsense"}, (TypeError, ValueError)),
    ("load", ("WAV",), {"dtype": np.int16}, ParameterError),
    ("load", ("WAV",), {"offset": 99}, soundfile.LibsndfileError),
    ("load", ("WAV",), {"offset": -99}, soundfile.LibsndfileError),
    ("load", ("WAV",), {"offset": "1"}, TypeError),
    ("load", ("WAV",), {"sr": 0}, (ValueError, ZeroDivisionError)),
    ("load", ("WAV",), {"sr": -8000}, ValueError),
    ("load", ("WAV",), {"sr": "8000"}, (TypeError, ValueError)),
    ("load", ("WAV",), {"nonsense": 1}, TypeError),
    ("resample", ([0.0, 1.0],), RATES, ParameterError),
    ("resample", (SIGNAL.astype(int),), RATES, ParameterError),
    ("resample", (np.full(9, np.nan),), RATES, ParameterError),
    ("resample", (np.float64(1),), RATES, ParameterError),
    ("resample", (SIGNAL,), {"orig_sr": 16000}, TypeError),
    ("resample", (SIGNAL,), RATES | {"orig_sr": 0}, ZeroDivisionError),
    ("resample", (SIGNAL,), RATES | {"target_sr": -1}, ValueError),
    ("resample", (SIGNAL,), RATES | {"axis": 3}, (IndexError, ValueError)),
    ("resample", (SIGNAL,), RATES | {"res_type": "soxr_zz"}, ValueError),
    ("resample", (SIGNAL,), RATES | {"res_type": None}, (AttributeError, TypeError)),
    (
        "resample",
        (SIGNAL,),
        {"orig_sr": 0.5, "target_sr": 8000, "res_type": "polyphase"},
        ParameterError,
    ),
    ("resample", (SIGNAL.astype(np.float16),), RATES, TypeError),
    ("to_mono", (SIGNAL.astype(int),), {}, ParameterError),
    ("to_mono", (np.full((2, 3), np.inf),), {}, ParameterError),
    ("get_duration", (), {}, ParameterError),
    ("get_duration", (SIGNAL,), {}, TypeError),
    ("get_duration", (), {"y": SIGNAL, "sr": 0}, ZeroDivisionError),
    ("get_duration", (), {"y": 3.0}, AttributeError),
    ("get_samplerate", (None,), {}, TypeError),
]


@pytest.mark.parametrize(("name", "arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(wav, name, arguments, kwargs, error, librosa_1):
    arguments = tuple(wav if isinstance(a, str) and a == "WAV" else a for a in arguments)
    with pytest.raises(error):
        getattr(fastmel, name)(*arguments, **kwargs)
    if "offset" in kwargs and not librosa_1:
        return  # librosa 0.11 tries the same file again with audioread
    theirs = librosa.ParameterError if error is ParameterError else error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(theirs):
            getattr(librosa, name)(*arguments, **kwargs)


@pytest.mark.parametrize("res_type", ["sinc_best", "linear", "kaiser_best", "nonsense"])
def test_resamplers_of_other_packages_are_refused(res_type):
    with pytest.raises(ParameterError, match=f"{res_type}.*use soxr_vhq"):
        audio.resample(SIGNAL, **RATES, res_type=res_type)


@pytest.mark.parametrize(
    ("signals", "kwargs", "match"),
    [
        ((), {}, "At least one signal"),
        (([0.0, 1.0],), {}, "not list"),
        ((SIGNAL, None), {}, "not NoneType"),
        ((SIGNAL,), {"out": np.zeros(99)}, "shape"),
        ((SIGNAL.astype(float),), {"out": np.zeros(100, np.float32)}, "dtype"),
    ],
)
def test_to_mono_says_what_does_not_fit(signals, kwargs, match):
    with pytest.raises(ParameterError, match=match):
        audio.to_mono(*signals, **kwargs)
