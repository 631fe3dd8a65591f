"""Streams: their frames are the offline result, bit for bit, whatever the chunks."""

import copy
import io
import pickle
import tracemalloc

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel import ParameterError

#: what a stream has to leave out of each preset that needs the whole signal
RAW = {
    name: {
        **({"top_db": None} if preset.top_db is not None else {}),
        **({"normalize": None} if preset.normalize else {}),
        **({"n_frames": None} if preset.n_frames else {}),
    }
    for name in fastmel.frontends.names()
    for preset in [fastmel.frontends.preset(name)]
}

#: configurations that no preset has
OTHERS = {
    "librosa": {"log": "db"},
    "edge": {"sr": 8000, "n_fft": 256, "hop_length": 100, "n_mels": 20, "pad_mode": "edge"},
    "ramp": {"sr": 8000, "n_fft": 256, "hop_length": 90, "n_mels": 20, "pad_mode": "linear_ramp"},
    "gaps": {"sr": 8000, "n_fft": 128, "hop_length": 500, "n_mels": 10, "pad_mode": "reflect"},
    "cut": {"sr": 8000, "n_fft": 128, "hop_length": 50, "n_mels": 10, "padding": (-30, -70)},
    "prime": {"sr": 8000, "n_fft": 127, "hop_length": 31, "n_mels": 10, "preemphasis": 0.9},
    "dither": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "dither": 0.1, "seed": 3},
    "longer": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "append": 77, "multiple_of": 64},
    "fixed": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "n_samples": 3000},
    "peak": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "log": "db", "top_db": 30, "peak": 5.0},
    "energy": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "log": "ln", "energy": "windowed"},
    "half": {"n_fft": 512, "hop_length": 100, "n_mels": 20, "log": "ln", "dtype": "float16"},
    "scaled half": {
        "n_fft": 512,
        "hop_length": 100,
        "n_mels": 3,
        "offset": (4, 5, 6),
        "gain": 0.3,
        "dtype": "float16",
    },
    "pairs": {"n_fft": 64, "hop_length": 64, "n_mels": 4, "stack": (2, 3), "stack_ends": "drop"},
    "wide": {"n_fft": 64, "hop_length": 64, "n_mels": 4, "stack": (9, 2), "stack_ends": "pad"},
}


def push_all(stream, y, sizes):
    """Push a signal in chunks of these sizes, over and over; return all frames."""
    parts, first, turn = [stream.push(y[:0])], 0, 0
    while first < len(y):
        parts.append(stream.push(y[first : first + sizes[turn % len(sizes)]]))
        first += sizes[turn % len(sizes)]
        turn += 1
    parts.append(stream.flush())
    return np.concatenate(parts, axis=int(stream.config.layout == "mels_first"))


def assert_is_offline(transform, rng, n_samples, sizes, dtype=np.float32):
    y = (0.1 * rng.standard_normal(n_samples)).astype(dtype)
    found = push_all(transform.stream(), y, sizes)
    try:
        expected = transform(y)
    except ParameterError:  # no frame, or nothing to make the padding of
        assert found.size == 0
    else:
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("name", RAW)
def test_presets_are_the_offline_result(rng, name):
    transform = fastmel.frontend(name, **RAW[name])
    for n_samples, sizes in [
        (0, [1]),
        (1, [1]),
        (199, [1, 2]),
        (400, [400]),
        (401, [7, 160, 3]),
        (700, [1]),
        (513, [512, 1]),
        (4001, [160]),
        (20011, [1, 5000, 13, 799]),
        (20011, [1 << 20]),
    ]:
        assert_is_offline(transform, rng, n_samples, sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("engine", ["scipy", "auto"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_configurations_are_the_offline_result(rng, name, engine, dtype):
    transform = fastmel.MelSpectrogram(**OTHERS[name], engine=engine)
    for n_samples, sizes in [
        (0, [1]),
        (1, [1]),
        (2, [1]),
        (127, [1]),
        (129, [64, 1]),
        (1500, [9, 100]),
        (6007, [160]),
        (6007, [6007]),
    ]:
        assert_is_offline(transform, rng, n_samples, sizes, dtype)


def test_a_long_push_is_the_offline_result(rng):
    # longer than what is computed at once
    assert_is_offline(fastmel.frontend("kaldi"), rng, 200_001, [200_001])
    assert_is_offline(fastmel.frontend("hifigan"), rng, 200_001, [3, 150_000])


def test_a_frame_comes_with_the_sample_that_completes_it(rng):
    for name, look_ahead, latency in (
        ("kaldi", 400, 200),
        ("k2", 280, 200),
        ("hifigan", 640, 512),
        ("torchaudio", 200, 200),
        ("sensevoice", 400 + 3 * 160, 200 + 3 * 160),
    ):
        stream = fastmel.frontend(name).stream()
        assert (stream.look_ahead, stream.latency) == (look_ahead, latency), name
        place = 10 * stream.config.hop_length * (stream.config.stack or (1, 1))[1]
        y = rng.standard_normal(place + look_ahead).astype(np.float32)
        time = int(stream.config.layout == "mels_first")
        assert stream.push(y[:-1]).shape[time] == 10, name
        assert stream.push(y[-1:]).shape[time] == 1, name


@pytest.mark.parametrize(
    ("name", "option", "choices"),
    [
        ("whisper", "top_db=80", ["peak=", "running=True", "top_db=None"]),
        ("nemo", "normalize='std'", ["running=True", "normalize=None"]),
        ("wespeaker", "normalize='mean'", ["running=True", "normalize=None"]),
        ("ast", "n_frames=1024", ["n_frames=None"]),
    ],
)
def test_what_needs_the_whole_signal_is_refused_with_the_choices(name, option, choices):
    with pytest.raises(ParameterError, match="needs the whole signal") as error:
        fastmel.frontend(name).stream()
    assert option in str(error.value)
    for choice in choices:
        assert choice in str(error.value)


def test_repeated_and_relative_signals_are_refused():
    with pytest.raises(ParameterError, match="repeat=True needs the whole signal"):
        fastmel.frontend("clap", padding="10s").stream()
    with pytest.raises(ParameterError, match="ref='max' needs the whole signal"):
        fastmel.MelSpectrogram(log="db", ref="max").stream()


def test_a_fixed_peak_stands_for_the_largest_value(rng):
    y = (0.1 * rng.standard_normal(16000)).astype(np.float32)
    y[4000:8000] *= 1e-4
    raw = fastmel.frontend("whisper", top_db=None)(y)
    peak = float(raw.max()) * 4 - 4  # before offset and gain
    found = push_all(fastmel.frontend("whisper").stream(peak=peak), y, [160])
    np.testing.assert_allclose(found, fastmel.frontend("whisper")(y), rtol=0, atol=1e-6)
    assert (found > raw).any()


@pytest.mark.parametrize("normalize", ["mean", "std"])
@pytest.mark.parametrize("over", ["time", "all"])
def test_running_statistics_are_of_the_frames_so_far(rng, normalize, over):
    options = {"normalize": normalize, "normalize_over": over, "std_eps": 1e-3}
    transform = fastmel.frontend("nemo", **options)
    y = (0.1 * rng.standard_normal(8000)).astype(np.float32)
    found = push_all(transform.stream(running=True), y, [160, 700])
    np.testing.assert_array_equal(found, push_all(transform.stream(running=True), y, [13]))
    raw = fastmel.frontend("nemo", normalize=None)(y).astype(float)
    axis = -1 if over == "time" else None
    for t in (0, 1, 7, raw.shape[1] - 1):
        so_far = raw[:, : t + 1]
        expected = raw[:, t] - so_far.mean(axis=axis)
        if normalize == "std":
            n = so_far.size // (len(raw) if over == "time" else 1)
            expected /= so_far.std(axis=axis) * np.sqrt(n / max(n - 1, 1)) + 1e-3
        np.testing.assert_allclose(found[:, t], expected, rtol=1e-4, atol=1e-4)


def test_running_range_is_below_the_largest_so_far(rng):
    y = (0.1 * rng.standard_normal(16000)).astype(np.float32)
    y[:8000] *= 1e-6
    transform = fastmel.frontend("whisper", top_db=20)
    found = push_all(transform.stream(running=True), y, [160, 33])
    raw = fastmel.frontend("whisper", top_db=None)(y)
    floors = np.maximum.accumulate(raw.max(axis=0)) - np.float32(20 / 10 / 4)
    np.testing.assert_allclose(found, np.maximum(raw, floors), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["kaldi", "nemo", "sensevoice", "hifigan", "kaldi-mfcc"])
def test_a_saved_state_goes_on_anywhere(rng, name):
    transform = fastmel.frontend(name, normalize=None, dither=0.5)
    y = rng.standard_normal(5000).astype(np.float32)
    expected = push_all(transform.stream(), y, [100])
    for cut in (0, 50, 420, 3000, 5000):
        stream = transform.stream()
        first = stream.push(y[:cut])
        again = transform.stream()
        again.restore(stream.save())
        copied = pickle.loads(pickle.dumps(stream))
        stream.push(y)  # does not touch the copies
        for other in (again, copied):
            rest = push_all(other, y[cut:], [100])
            axis = int(other.config.layout == "mels_first")
            np.testing.assert_array_equal(np.concatenate([first, rest], axis=axis), expected)
    with pytest.raises(ParameterError, match="the state of a stream of"):
        fastmel.frontend("vocos").stream().restore(stream.save())


def test_streams_of_numpy_s_numbers_can_be_copied(rng):
    y = rng.standard_normal(1000).astype(np.float32)
    stream = fastmel.frontend("kaldi", sr=np.int64(16000), high_freq=np.float32(7600)).stream()
    stream.push(y)
    copies = copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))
    expected = stream.push(y)
    for other in copies:
        np.testing.assert_array_equal(other.push(y), expected)


def test_a_flushed_stream_begins_anew_with_reset(rng):
    y = rng.standard_normal(1000).astype(np.float32)
    stream = fastmel.frontend("kaldi").stream()
    expected = push_all(stream, y, [300])
    with pytest.raises(ParameterError, match="begin a new signal with reset"):
        stream.push(y)
    with pytest.raises(ParameterError, match="flushed already"):
        stream.flush()
    stream.reset()
    np.testing.assert_array_equal(push_all(stream, y, [77]), expected)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((2, 100), dtype=np.float32), r"one dimension.*\(2, 100\)"),
        (np.zeros(100, dtype=np.int16), "floating-point"),
        (np.zeros(100), "this chunk is float64, and the stream began with float32"),
        (np.full(3, np.nan, dtype=np.float32), "not finite"),
        (np.float32([0, np.inf]), "not finite"),
        (np.float32(0.5), "one dimension"),
    ],
)
def test_a_bad_chunk_leaves_the_stream_as_it_was(rng, chunk, message):
    y = rng.standard_normal(1000).astype(np.float32)
    stream = fastmel.frontend("kaldi").stream()
    parts = [stream.push(y[:500])]
    with pytest.raises(ParameterError, match=message):
        stream.push(chunk)
    parts += [stream.push(y[500:]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts), fastmel.frontend("kaldi")(y))


def test_large_samples_are_no_infinite_ones():
    y = np.full(1000, 1e25, dtype=np.float32)  # their squares are
    transform = fastmel.frontend("kaldi", scale=1e-10, remove_dc=False)
    np.testing.assert_array_equal(push_all(transform.stream(), y, [300]), transform(y))


def test_chunks_of_any_layout(rng):
    y = rng.standard_normal(3000).astype(np.float32)
    expected = push_all(fastmel.frontend("hifigan").stream(), y, [500])
    doubled = np.repeat(y, 2)
    frozen = y.copy()
    frozen.flags.writeable = False
    for view in (doubled[::2], y[::-1].copy()[::-1], frozen, y.astype(">f4")):
        found = push_all(fastmel.frontend("hifigan").stream(), view, [500])
        np.testing.assert_array_equal(found, expected)


def test_a_pushed_chunk_may_be_reused(rng):
    y = rng.standard_normal(3000).astype(np.float32)
    stream, room, parts = fastmel.frontend("kaldi").stream(), np.empty(100, np.float32), []
    for first in range(0, 3000, 100):
        room[:] = y[first : first + 100]
        parts.append(stream.push(room))
        room[:] = np.nan
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(parts), fastmel.frontend("kaldi")(y))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("native_sr", [16000, 44100, 8000])
def test_a_file_piece_by_piece_is_the_file_at_once(rng, native_sr, kind):
    y = 0.1 * rng.standard_normal((native_sr * 5 + 17, 2))
    file = io.BytesIO()
    soundfile.write(file, y, native_sr, format=kind)
    for name in ("kaldi", "hifigan", "whisper"):
        transform = fastmel.frontend(name, **RAW[name])
        signal, _ = fastmel.load(io.BytesIO(file.getvalue()), sr=transform.sample_rate)
        pieces = list(transform.stream_file(io.BytesIO(file.getvalue())))
        assert len(pieces) > 1 or native_sr < 16000
        axis = int(transform.config.layout == "mels_first")
        np.testing.assert_array_equal(np.concatenate(pieces, axis=axis), transform(signal))


def test_memory_does_not_grow_with_the_stream(rng):
    y = rng.standard_normal(16000).astype(np.float32)
    stream = fastmel.frontend("hifigan").stream()

    def push_a_minute():
        for _ in range(60):
            stream.push(y)

    push_a_minute()
    tracemalloc.start()
    push_a_minute()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
