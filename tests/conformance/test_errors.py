"""Bad calls raise what they raise in librosa, and their messages name what was wrong with them."""

import builtins
import io
import warnings

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile

import fastmel

Y = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
INTEGERS, HOLES = np.arange(4096), np.where(np.arange(4096) == 7, np.nan, Y)
D = fastmel.stft(Y, n_fft=512)
S, S3 = np.abs(D), np.abs(np.stack([D, D]))
COMPLEX64 = np.dtype(np.complex64)


def wav():
    """Return the signal as a file."""
    file = io.BytesIO()
    soundfile.write(file, Y, 22050, format="WAV")
    file.seek(0)
    return file


def blocks(lib, block_length=1, frame_length=512, hop_length=128, **rate):
    """Read blocks."""
    return list(
        lib.stream(
            wav(),
            block_length=block_length,
            frame_length=frame_length,
            hop_length=hop_length,
            **rate,
        )
    )


NO_Y = "give y"
INT64, LIST, NAN = "int64", "list", "not finite"

#: bad call -> what its message must name; the type of the exception is librosa's
BAD = {
    "load: no audio": (lambda lib: lib.load(io.BytesIO(b"no audio")), "BytesIO"),
    "load: nothing": (lambda lib: lib.load(None), "None"),
    "load: dtype": (lambda lib: lib.load(wav(), dtype="text"), "text"),
    "load: sr": (lambda lib: lib.load(wav(), sr=-1), "rate"),
    "load: offset behind the end": (lambda lib: lib.load(wav(), offset=100), "seek"),
    "stream: block_length": (lambda lib: blocks(lib, block_length=0), "block_length=0"),
    "stream: half a block": (lambda lib: blocks(lib, block_length=1.5), "block_length=1.5"),
    "stream: frame_length": (lambda lib: blocks(lib, frame_length=0), "frame_length=0"),
    "stream: hop_length": (lambda lib: blocks(lib, hop_length=0), "hop_length=0"),
    "to_mono: integers": (lambda lib: lib.to_mono(INTEGERS), INT64),
    "to_mono: holes": (lambda lib: lib.to_mono(HOLES), NAN),
    "resample: integers": (lambda lib: lib.resample(INTEGERS, orig_sr=2, target_sr=1), INT64),
    "resample: holes": (lambda lib: lib.resample(HOLES, orig_sr=2, target_sr=1), NAN),
    "resample: target_sr": (lambda lib: lib.resample(Y, orig_sr=2, target_sr=-1), "rate"),
    "get_duration: of nothing": (lambda lib: lib.get_duration(), "path"),
    "stft: integers": (lambda lib: lib.stft(INTEGERS), INT64),
    "stft: a list": (lambda lib: lib.stft([0.0] * 4096), LIST),
    "stft: nothing": (lambda lib: lib.stft(None), "NoneType"),
    "stft: holes": (lambda lib: lib.stft(HOLES), NAN),
    "stft: a number": (lambda lib: lib.stft(np.array(1.0)), "y.shape=()"),
    "stft: shorter than a frame": (lambda lib: lib.stft(Y[:99], center=False), "length=99"),
    "stft: hop_length": (lambda lib: lib.stft(Y, hop_length=0), "hop_length=0"),
    "stft: half a hop": (lambda lib: lib.stft(Y, hop_length=1.5), "hop_length=1.5"),
    "stft: win_length": (lambda lib: lib.stft(Y, n_fft=512, win_length=513), "513"),
    "stft: samples of a window": (lambda lib: lib.stft(Y, n_fft=512, window=np.ones(511)), "511"),
    "stft: name of a window": (lambda lib: lib.stft(Y, window="hannn"), "window"),
    "stft: no window": (lambda lib: lib.stft(Y, window={}), "{}"),
    "stft: pad_mode": (lambda lib: lib.stft(Y, pad_mode="wrap"), "pad_mode='wrap'"),
    "stft: shape of out": (
        lambda lib: lib.stft(Y, n_fft=512, out=np.empty((256, 33), COMPLEX64)),
        "(256, 33)",
    ),
    "stft: type of out": (lambda lib: lib.stft(Y, n_fft=512, out=np.empty((257, 33))), "float64"),
    "stft: unknown keyword": (lambda lib: lib.stft(Y, nfft=512), "nfft"),
    "stft: by position": (lambda lib: lib.stft(Y, 512), "positional"),
    "istft: win_length": (lambda lib: lib.istft(D, win_length=600), "600"),
    "istft: samples of a window": (lambda lib: lib.istft(D, window=np.ones(3)), "3 != 512"),
    "istft: shape of out": (lambda lib: lib.istft(D, out=np.empty(5)), "(5,)"),
    "istft: half a sample": (lambda lib: lib.istft(D, length=1.5), "float"),
    "griffinlim: momentum": (lambda lib: lib.griffinlim(S, momentum=-1), "momentum=-1"),
    "griffinlim: init": (lambda lib: lib.griffinlim(S, init="zeros"), "init=zeros"),
    "griffinlim: half a round": (lambda lib: lib.griffinlim(S, n_iter=1.5), "float"),
    "power_to_db: amin": (lambda lib: lib.power_to_db(S, amin=0), "amin=0"),
    "power_to_db: top_db": (lambda lib: lib.power_to_db(S, top_db=-1), "top_db=-1"),
    "power_to_db: text": (lambda lib: lib.power_to_db("loud"), "U4"),
    "amplitude_to_db: amin": (lambda lib: lib.amplitude_to_db(S, amin=0), "amin=0"),
    "amplitude_to_db: top_db": (lambda lib: lib.amplitude_to_db(S, top_db=-1), "top_db=-1"),
    "db_to_power: text": (lambda lib: lib.db_to_power("loud"), "float"),
    "db_to_amplitude: text": (lambda lib: lib.db_to_amplitude("loud"), "float"),
    "pcen: gain": (lambda lib: lib.pcen(S, gain=-1), "gain=-1"),
    "pcen: bias": (lambda lib: lib.pcen(S, bias=-1), "bias=-1"),
    "pcen: power": (lambda lib: lib.pcen(S, power=-1), "power=-1"),
    "pcen: eps": (lambda lib: lib.pcen(S, eps=0), "eps=0"),
    "pcen: time_constant": (lambda lib: lib.pcen(S, time_constant=0), "time_constant=0"),
    "pcen: b": (lambda lib: lib.pcen(S, b=2), "b=2"),
    "pcen: max_size": (lambda lib: lib.pcen(S, max_size=0), "max_size=0"),
    "pcen: maximum of a vector": (lambda lib: lib.pcen(S[0], max_size=3), "1-dimensional"),
    "pcen: no max_axis": (lambda lib: lib.pcen(S3, max_size=3), "max_axis"),
    "melspectrogram: of nothing": (lambda lib: lib.feature.melspectrogram(), NO_Y),
    "melspectrogram: integers": (lambda lib: lib.feature.melspectrogram(y=INTEGERS), INT64),
    "melspectrogram: holes": (lambda lib: lib.feature.melspectrogram(y=HOLES), NAN),
    "melspectrogram: hop_length": (
        lambda lib: lib.feature.melspectrogram(y=Y, hop_length=0),
        "hop_length=0",
    ),
    "melspectrogram: n_fft": (
        lambda lib: lib.feature.melspectrogram(y=Y, n_fft=None),
        "n_fft=None",
    ),
    "melspectrogram: win_length": (
        lambda lib: lib.feature.melspectrogram(y=Y, win_length=4000),
        "win_length=4000",
    ),
    "melspectrogram: norm": (lambda lib: lib.feature.melspectrogram(y=Y, norm="slane"), "slane"),
    "melspectrogram: pad_mode": (
        lambda lib: lib.feature.melspectrogram(y=Y, pad_mode="wrap"),
        "wrap",
    ),
    "melspectrogram: unknown keyword": (
        lambda lib: lib.feature.melspectrogram(y=Y, nmels=3),
        "nmels",
    ),
    "melspectrogram: by position": (lambda lib: lib.feature.melspectrogram(Y), "positional"),
    "mfcc: of nothing": (lambda lib: lib.feature.mfcc(), NO_Y),
    "mfcc: dct_type": (lambda lib: lib.feature.mfcc(S=S, dct_type=5), "DCT type"),
    "mfcc: norm": (lambda lib: lib.feature.mfcc(S=S, norm="orth"), "orth"),
    "mfcc: lifter": (lambda lib: lib.feature.mfcc(S=S, lifter=-1), "lifter=-1"),
    "mfcc: mel_norm": (lambda lib: lib.feature.mfcc(y=Y, mel_norm="slane"), "slane"),
    "delta: order": (lambda lib: lib.feature.delta(S, order=0), "order=0"),
    "delta: even width": (lambda lib: lib.feature.delta(S, width=4), "width=4"),
    "delta: long width": (lambda lib: lib.feature.delta(S, width=99), "width=99"),
    "delta: mode": (lambda lib: lib.feature.delta(S, mode="reflect"), "mode"),
    "delta: unknown keyword": (lambda lib: lib.feature.delta(S, widht=3), "widht"),
    "stack_memory: n_steps": (lambda lib: lib.feature.stack_memory(S, n_steps=0), "n_steps=0"),
    "stack_memory: delay": (lambda lib: lib.feature.stack_memory(S, delay=0), "delay=0"),
    "stack_memory: no frames": (lambda lib: lib.feature.stack_memory(S[:, :0]), "(257, 0)"),
    "stack_memory: mode": (lambda lib: lib.feature.stack_memory(S, mode="x"), "mode 'x'"),
    "rms: of nothing": (lambda lib: lib.feature.rms(), "`y` or `S`"),
    "rms: hop_length": (lambda lib: lib.feature.rms(y=Y, hop_length=0), "hop_length: 0"),
    "rms: shorter than a frame": (lambda lib: lib.feature.rms(y=Y[:99], center=False), "n=99"),
    "rms: frame_length of S": (lambda lib: lib.feature.rms(S=S, frame_length=2048), "2048"),
    "rms: holes": (lambda lib: lib.feature.rms(y=HOLES), NAN),
    "spectral_centroid: of nothing": (lambda lib: lib.feature.spectral_centroid(), NO_Y),
    "spectral_centroid: complex": (lambda lib: lib.feature.spectral_centroid(S=D), "complex"),
    "spectral_centroid: negative": (lambda lib: lib.feature.spectral_centroid(S=-S), "negative"),
    "spectral_centroid: holes": (lambda lib: lib.feature.spectral_centroid(S=S * np.nan), "finite"),
    "spectral_bandwidth: complex": (lambda lib: lib.feature.spectral_bandwidth(S=D), "complex"),
    "spectral_rolloff: roll_percent": (
        lambda lib: lib.feature.spectral_rolloff(S=S, roll_percent=1),
        "roll_percent=1",
    ),
    "spectral_rolloff: negative": (lambda lib: lib.feature.spectral_rolloff(S=-S), "negative"),
    "spectral_flatness: amin": (lambda lib: lib.feature.spectral_flatness(S=S, amin=0), "amin=0"),
    "zero_crossing_rate: integers": (lambda lib: lib.feature.zero_crossing_rate(INTEGERS), INT64),
    "zero_crossing_rate: hop_length": (
        lambda lib: lib.feature.zero_crossing_rate(Y, hop_length=0),
        "hop_length: 0",
    ),
    "mel_to_stft: twice n_mels": (
        lambda lib: lib.feature.inverse.mel_to_stft(S[:40], n_mels=3),
        "n_mels",
    ),
    "mfcc_to_mel: lifter": (
        lambda lib: lib.feature.inverse.mfcc_to_mel(S[:20], lifter=-1),
        "lifter=-1",
    ),
    "mfcc_to_mel: norm": (lambda lib: lib.feature.inverse.mfcc_to_mel(S, norm="orth"), "orth"),
    "mfcc_to_audio: lifter": (
        lambda lib: lib.feature.inverse.mfcc_to_audio(S[:20], lifter=-1),
        "lifter=-1",
    ),
    "filters.mel: norm": (lambda lib: lib.filters.mel(sr=16000, n_fft=512, norm="slane"), "slane"),
    "filters.mel: negative norm": (lambda lib: lib.filters.mel(sr=16000, n_fft=512, norm=-2), "-2"),
    "filters.mel: n_mels": (
        lambda lib: lib.filters.mel(sr=16000, n_fft=512, n_mels=-1),
        "negative",
    ),
    "filters.mel: no n_fft": (lambda lib: lib.filters.mel(sr=16000), "n_fft"),
    "get_window: length": (lambda lib: lib.filters.get_window(np.ones(3), 4), "3 != 4"),
    "get_window: name": (lambda lib: lib.filters.get_window("hannn", 4), "window"),
    "get_window: type": (lambda lib: lib.filters.get_window({"a": 1}, 4), "{'a': 1}"),
    "get_window: no samples": (lambda lib: lib.filters.get_window("hann", -1), "-1"),
    "window_sumsquare: win_length": (
        lambda lib: lib.filters.window_sumsquare(
            window="hann", n_frames=3, n_fft=512, win_length=600
        ),
        "600",
    ),
    "frame: too long": (lambda lib: lib.util.frame(Y, frame_length=5000, hop_length=1), "5000"),
    "frame: hop_length": (
        lambda lib: lib.util.frame(Y, frame_length=6, hop_length=0),
        "hop_length: 0",
    ),
    "frame: axis": (lambda lib: lib.util.frame(Y, frame_length=6, hop_length=1, axis=3), "range"),
    "normalize: norm": (lambda lib: lib.util.normalize(S, norm="max"), "'max'"),
    "normalize: threshold": (lambda lib: lib.util.normalize(S, threshold=0), "threshold=0"),
    "normalize: fill": (lambda lib: lib.util.normalize(S, fill=3), "fill=3"),
    "normalize: fill of norm 0": (
        lambda lib: lib.util.normalize(S, fill=True, norm=0),
        "fill=True",
    ),
    "normalize: holes": (lambda lib: lib.util.normalize(HOLES), "finite"),
    "fix_length: mode": (lambda lib: lib.util.fix_length(Y, size=5000, mode="x"), "mode 'x'"),
    "pad_center: size": (lambda lib: lib.util.pad_center(Y, size=10), "(10)"),
    "valid_audio: a list": (lambda lib: lib.util.valid_audio([1.0]), LIST),
    "valid_audio: holes": (lambda lib: lib.util.valid_audio(HOLES), NAN),
    "hz_to_mel: text": (lambda lib: lib.hz_to_mel("a4"), "str"),
    "mel_to_hz: text": (lambda lib: lib.mel_to_hz("a4"), "float"),
    "mel_frequencies: n_mels": (lambda lib: lib.mel_frequencies(-1), "-1"),
    "samples_to_time: text": (lambda lib: lib.samples_to_time("3"), "divide"),
    "blocks_to_samples: no hop": (
        lambda lib: lib.blocks_to_samples(3, block_length=1),
        "hop_length",
    ),
    "times_like: axis": (lambda lib: lib.times_like(S, axis=4), "range"),
    "specshow: x_axis": (lambda lib: lib.display.specshow(S, x_axis="tiem"), "tiem"),
    "specshow: x_coords": (lambda lib: lib.display.specshow(S, x_coords=np.arange(3)), "3"),
    "specshow: ax": (lambda lib: lib.display.specshow(S, ax="here"), "str"),
    "waveshow: axis": (lambda lib: lib.display.waveshow(Y, axis="tiem"), "tiem"),
    "waveshow: max_points": (lambda lib: lib.display.waveshow(Y, max_points=0), "max_points=0"),
    "waveshow: holes": (lambda lib: lib.display.waveshow(HOLES), NAN),
    "preemphasis: integers": (lambda lib: lib.effects.preemphasis(INTEGERS), INT64),
    "trim: integers": (lambda lib: lib.effects.trim(INTEGERS), INT64),
    "split: hop_length": (lambda lib: lib.effects.split(Y, hop_length=0), "hop_length: 0"),
}


#: librosa accepts these before 1.0
SINCE_1 = {"rms: holes", "trim: integers"}

#: bad call -> what its message must name, and what librosa does: where it trips over the value
#: somewhere inside, or computes something from it (None), fastmel raises a ParameterError
CHECKED = {
    "to_mono: a list": (lambda lib: lib.to_mono([1.0, 2.0]), LIST, "AttributeError"),
    "stft: nothing to reflect": (
        lambda lib: lib.stft(Y[:0], pad_mode="reflect"),
        "pad_mode='reflect'",
        "ValueError",
    ),
    "stft: n_fft": (lambda lib: lib.stft(Y, n_fft=0), "n_fft=0", "ValueError"),
    "stft: a float n_fft": (lambda lib: lib.stft(Y, n_fft=512.0), "n_fft=512.0", "ValueError"),
    "stft: no n_fft": (lambda lib: lib.stft(Y, n_fft=None), "n_fft=None", "TypeError"),
    "stft: no window at all": (lambda lib: lib.stft(Y, win_length=0), "win_length=0", "ValueError"),
    "stft: unknown pad_mode": (
        lambda lib: lib.stft(Y, pad_mode="mirror"),
        "pad_mode='mirror'",
        "ValueError",
    ),
    "istft: a vector": (lambda lib: lib.istft(D[:, 0]), "(257,)", "IndexError"),
    "istft: hop_length": (lambda lib: lib.istft(D, hop_length=0), "=0", "ZeroDivisionError"),
    "istft: negative hop_length": (lambda lib: lib.istft(D, hop_length=-1), "=-1", "ValueError"),
    "istft: length": (lambda lib: lib.istft(D, length=-1), "length=-1", "ValueError"),
    "istft: no frames": (lambda lib: lib.istft(D[:, :0]), "n_frames=0", "ValueError"),
    "griffinlim: hop_length": (
        lambda lib: lib.griffinlim(S, hop_length=0),
        "=0",
        "ZeroDivisionError",
    ),
    # the signal has other frames than S: librosa's arithmetic stretches one over all of them
    "griffinlim: length": (lambda lib: lib.griffinlim(S, length=100, n_iter=2), "1 frames", None),
    # of complex numbers only the magnitudes are meant
    "griffinlim: complex": (lambda lib: lib.griffinlim(D, n_iter=1), "np.abs(S)", None),
    "pcen: no smoothing": (lambda lib: lib.pcen(S, b=0), "b=0", "ValueError"),
    "pcen: a vector zi": (lambda lib: lib.pcen(S, zi=np.ones(3)), "(3,)", "ValueError"),
    "pcen: zi": (lambda lib: lib.pcen(S, zi=np.ones((3, 1))), "(3, 1)", "ValueError"),
    "melspectrogram: no bins": (
        lambda lib: lib.feature.melspectrogram(S=S[0]),
        "(33,)",
        "IndexError",
    ),
    "melspectrogram: no n_fft": (
        lambda lib: lib.feature.melspectrogram(y=Y, n_fft=0),
        "n_fft=0",
        "ValueError",
    ),
    "melspectrogram: n_mels": (
        lambda lib: lib.feature.melspectrogram(y=Y, n_mels=-1),
        "n_mels=-1",
        "ValueError",
    ),
    "melspectrogram: no sr": (
        lambda lib: lib.feature.melspectrogram(y=Y, sr=0),
        "sr=0",
        "ZeroDivisionError",
    ),
    "melspectrogram: text as power": (
        lambda lib: lib.feature.melspectrogram(y=Y, power="2"),
        "power='2'",
        "TypeError",
    ),
    # zeros, infinities or bands turned inside out
    "melspectrogram: sr": (lambda lib: lib.feature.melspectrogram(y=Y, sr=-1), "sr=-1", None),
    "melspectrogram: power": (lambda lib: lib.feature.melspectrogram(y=Y, power=-1), "=-1", None),
    "melspectrogram: fmin": (lambda lib: lib.feature.melspectrogram(y=Y, fmin=-1), "fmin=-1", None),
    "melspectrogram: fmax below fmin": (
        lambda lib: lib.feature.melspectrogram(y=Y, fmin=5000, fmax=1000),
        "fmax=1000",
        None,
    ),
    "mfcc: no bands": (lambda lib: lib.feature.mfcc(S=S[0]), "(33,)", "IndexError"),
    "spectral_centroid: no frames": (
        lambda lib: lib.feature.spectral_centroid(S=S[:, 0]),
        "(257,)",
        "IndexError",
    ),
    "spectral_centroid: freq": (
        lambda lib: lib.feature.spectral_centroid(S=S, freq=np.ones(3)),
        "freq.shape=(3,)",
        "ValueError",
    ),
    "spectral_bandwidth: centroid": (
        lambda lib: lib.feature.spectral_bandwidth(S=S, centroid=np.ones(3)),
        "centroid.shape=(3,)",
        "IndexError",
    ),
    "spectral_bandwidth: p": (
        lambda lib: lib.feature.spectral_bandwidth(S=S, p=0),
        "p=0",
        "ZeroDivisionError",
    ),
    "pcen: axis": (lambda lib: lib.pcen(S, axis=5), "axis=5", "ValueError"),
    "mel_to_audio: length": (
        lambda lib: lib.feature.inverse.mel_to_audio(S[:40], n_fft=512, n_iter=1, length=-1),
        "length=-1",
        "ValueError",
    ),
    "filters.mel: n_fft": (lambda lib: lib.filters.mel(sr=16000, n_fft=-4), "=-4", "ValueError"),
    "preemphasis: zi": (
        lambda lib: lib.effects.preemphasis(Y, zi=np.ones(5)),
        "(5,)",
        "ValueError",
    ),
    "deemphasis: zi": (lambda lib: lib.effects.deemphasis(Y, zi=np.ones(5)), "(5,)", "ValueError"),
    "preemphasis: one sample": (lambda lib: lib.effects.preemphasis(Y[:1]), "(1,)", "ValueError"),
}

#: missing file -> FileNotFoundError, where librosa has only libsndfile's "System error"
MISSING_FILES = {
    "load": lambda lib: lib.load("no/such.wav"),
    "get_duration": lambda lib: lib.get_duration(path="no/such.wav"),
    "get_samplerate": lambda lib: lib.get_samplerate("no/such.wav"),
}


def outcome(call, lib):
    """Return what is raised, and its message."""
    try:
        call(lib)
    except Exception as error:
        return type(error), str(error)
    return None, ""


def kind(error):
    """Return the name of the nearest type that Python, librosa and fastmel share."""
    shared = ("ParameterError", *dir(builtins))
    return error and next(base.__name__ for base in error.__mro__ if base.__name__ in shared)


@pytest.fixture(autouse=True)
def _no_warnings_no_figures():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    plt.close("all")


@pytest.mark.parametrize("name", BAD)
def test_type_is_librosas_and_the_message_names_what_is_wrong(name, librosa_1):
    call, named = BAD[name]
    (ours, message), (theirs, _) = outcome(call, fastmel), outcome(call, librosa)
    assert ours is not None
    if librosa_1 or name not in SINCE_1:
        assert kind(ours) == kind(theirs)
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize("name", CHECKED)
def test_what_librosa_trips_over_is_checked(name, librosa_1):
    call, named, expected = CHECKED[name]
    (ours, message), (theirs, _) = outcome(call, fastmel), outcome(call, librosa)
    assert ours is fastmel.ParameterError
    assert named in message
    assert "\n" not in message
    if librosa_1:
        assert kind(theirs) == expected


@pytest.mark.parametrize("name", MISSING_FILES)
def test_missing_files_are_said_to_be_missing(name):
    error, message = outcome(MISSING_FILES[name], fastmel)
    assert error is FileNotFoundError
    assert "no/such.wav" in message


def test_a_random_state_and_a_generator_are_one_too_many():
    with pytest.raises(fastmel.ParameterError, match="random_state=1 and rng=1"):
        fastmel.griffinlim(S, rng=1, random_state=1)


def test_a_reference_function_takes_axes():
    with pytest.raises(fastmel.ParameterError, match="'axis' and 'keepdims'"):
        fastmel.power_to_db(S, ref=lambda S: S.max())


def test_blocks_of_whole_samples():
    with pytest.raises(fastmel.ParameterError, match="128 samples at 16000"):
        blocks(fastmel, sr=16000)


@pytest.mark.parametrize("resample", [fastmel.load, fastmel.resample])
def test_methods_of_resampling_that_need_other_packages(resample):
    signal, rates = (
        (wav(), {"sr": 2}) if resample is fastmel.load else (Y, {"orig_sr": 2, "target_sr": 1})
    )
    with pytest.raises(fastmel.ParameterError, match="res_type='kaiser_best'"):
        resample(signal, **rates, res_type="kaiser_best")
