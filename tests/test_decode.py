import io
import pickle
import sys
import warnings
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from fastmel import ParameterError, audio, decode

SR = 44100


@pytest.fixture(scope="module")
def clip(music):
    """Two channels of half a second, and not a whole number of any codec's frames, in 16 bits."""
    y = np.stack([music(SR, 0.5027), 0.5 * music(SR, 0.5027)[::-1]])
    return np.round(y * 2**15) / 2**15


def encode(y, container, codec, sr=SR):
    """Return a file with a signal in it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=sr, layout="stereo")
        stream.bit_rate = 192000
        samples = np.ascontiguousarray(y * 2**31, dtype=np.int32)
        frame = av.AudioFrame.from_ndarray(samples, format="s32p", layout="stereo")
        frame.sample_rate, frame.pts = sr, 0
        resampler = av.AudioResampler(stream.format.name, stream.layout, sr)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))
    return file.getvalue()


@pytest.fixture(scope="module")
def lossless(clip):
    return encode(clip, "ipod", "alac")


@pytest.fixture(scope="module")
def wav(clip):
    """The signal of `lossless` in a file that libsndfile reads."""
    file = io.BytesIO()
    soundfile.write(file, clip.T, SR, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.fixture
def without_pyav(monkeypatch):
    monkeypatch.delitem(sys.modules, "fastmel.decode", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)


def assert_same(ours, theirs):
    assert ours[1] == theirs[1]
    np.testing.assert_array_equal(ours[0], theirs[0], strict=True)


# files that hold the same samples as a WAV file


@pytest.mark.parametrize("sr", [None, 22050, 16000])
@pytest.mark.parametrize("mono", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lossless_file_loads_as_its_wav(lossless, wav, sr, mono, dtype):
    kwargs = {"sr": sr, "mono": mono, "dtype": dtype}
    assert_same(audio.load(lossless, **kwargs), audio.load(wav, **kwargs))


@pytest.mark.parametrize("offset", [0, 0.1, 0.25001, 0.5027, -0.1, -0.5])
@pytest.mark.parametrize("duration", [None, 0, 0.05, 10])
def test_parts_load_as_those_of_the_wav(lossless, wav, offset, duration):
    kwargs = {"sr": None, "mono": False, "offset": offset, "duration": duration}
    assert_same(audio.load(lossless, **kwargs), audio.load(wav, **kwargs))


@pytest.mark.parametrize("sr", [None, 22050])
@pytest.mark.parametrize("part", [{}, {"offset": 0.1}, {"offset": -0.3, "duration": 0.2}])
@pytest.mark.parametrize("mono", [True, False])
def test_a_lossless_file_streams_as_its_wav(lossless, wav, sr, part, mono):
    kwargs = {"block_length": 4, "frame_length": 512, "hop_length": 250, "sr": sr, "mono": mono}
    ours, theirs = (list(audio.stream(file, **kwargs, **part)) for file in (lossless, wav))
    assert len(ours) == len(theirs) > 3
    for block, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(block, expected, strict=True)


def test_every_kind_of_source_is_read(tmp_path, lossless, wav):
    path = tmp_path / "clip.m4a"
    path.write_bytes(lossless)
    expected = audio.load(wav)
    for source in (path, str(path), lossless, bytearray(lossless), memoryview(lossless)):
        assert_same(audio.load(source), expected)
        assert audio.get_samplerate(source) == SR
        assert audio.get_duration(path=source) == audio.get_duration(path=wav)
    with path.open("rb") as file:
        for _ in range(2):
            assert_same(audio.load(file), expected)
        assert audio.get_duration(path=file) == audio.get_duration(path=wav)
        assert not file.closed


# lossy files


@pytest.mark.parametrize(
    ("container", "codec", "skipped", "delay"),
    [
        ("ipod", "aac", 0, 0),  # .m4a
        ("mp4", "aac", 0, 0),
        ("mov", "aac", 0, 0),
        ("adts", "aac", 0, 1024),  # .aac: nothing tells the delay of the encoder
        ("asf", "wmav2", 2048, 0),  # .wma: FFmpeg cuts twice the delay of its own encoder
        ("webm", "libopus", 0, 0),
    ],
)
def test_lossy_formats(clip, container, codec, skipped, delay):
    sr = 48000 if codec == "libopus" else SR
    content = encode(clip, container, codec, sr=sr)
    y, native_sr = audio.load(content, sr=None, mono=False)
    assert native_sr == audio.get_samplerate(content) == sr
    assert audio.get_duration(path=content) == y.shape[1] / sr
    padding = y.shape[1] + skipped - delay - clip.shape[1]
    assert padding == 0 if container in ("ipod", "mp4", "mov", "webm") else 0 <= padding < 2048
    end = min(y.shape[1], clip.shape[1] - skipped + delay) - delay
    decoded, original = y[:, delay : delay + end], clip[:, skipped : skipped + end]
    noise = np.square(decoded - original).mean() / np.square(original).mean()
    assert noise < (0.1 if codec == "wmav2" else 0.01)


def test_mp3_keeps_its_reader_and_its_length(clip, tmp_path):
    path = tmp_path / "clip.mp3"
    path.write_bytes(encode(clip, "mp3", "libmp3lame"))
    y, _ = audio.load(path, sr=None, mono=False)
    expected, _ = soundfile.read(path, dtype=np.float32)
    np.testing.assert_array_equal(y, expected.T)
    with decode.Decoder(path, soundfile.LibsndfileError(1)) as decoder:
        assert decoder.frames == y.shape[1] == clip.shape[1]


@pytest.mark.parametrize(
    ("duration", "clock", "expected"),
    [(669, SR, 669), (1024, SR, 1024), (1030, SR, 1024), (0, SR, 1024), (23, 1000, 1024)],
)
def test_padding_is_told_by_the_file(duration, clock, expected):
    frame = SimpleNamespace(
        samples=1024, sample_rate=SR, duration=duration, time_base=Fraction(1, clock)
    )
    assert decode._count_without_padding(frame) == expected


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_samples_of_every_type(clip, codec):
    y, _ = audio.load(encode(clip, "matroska", codec), sr=None, mono=False, dtype=np.float64)
    np.testing.assert_allclose(y, clip, rtol=0, atol=2**-7 if codec == "pcm_u8" else 0)


def test_samples_that_pyav_does_not_hand_over_are_told(clip):
    with pytest.raises(soundfile.LibsndfileError, match=r"PyAV cannot read it either: .*s64"):
        audio.load(encode(clip, "wav", "pcm_s64le"))


# what cannot be read


def video():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for frame in (picture, None):
            output.mux(stream.encode(frame))
    return file.getvalue()


def spoilt(content):
    middle = len(content) // 2
    return content[:middle] + b"\x55" * 3000 + content[middle + 3000 :]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda clip: b"", "it is empty"),
        (lambda clip: b"not audio at all" * 99, "FFmpeg cannot read it either: Invalid data found"),
        (lambda clip: encode(clip, "ipod", "aac")[:9000], "FFmpeg cannot read it either"),
        (lambda clip: spoilt(encode(clip, "adts", "aac")), "FFmpeg cannot read it either"),
        (lambda clip: video(), "there is no audio in it"),
        (
            lambda clip: encode(clip, "adts", "aac") + encode(clip, "adts", "aac", sr=22050),
            "its sampling rate or number of channels changes",
        ),
    ],
    ids=["empty", "noise", "truncated", "spoilt", "video", "changing"],
)
def test_what_cannot_be_read_is_told(clip, make, reason, tmp_path):
    path = tmp_path / "broken.m4a"
    path.write_bytes(make(clip))
    match = rf"^Error opening '.*broken\.m4a': {reason}.*; libsndfile: Format not recognised\.$"
    with pytest.raises(soundfile.LibsndfileError, match=match) as caught:
        audio.load(path, sr=None)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("offset", [0.6, -0.6])
def test_an_offset_outside_is_told(lossless, wav, offset):
    with pytest.raises(soundfile.LibsndfileError, match="offset lies outside"):
        audio.load(lossless, offset=offset)
    with pytest.raises(soundfile.LibsndfileError):
        audio.load(wav, offset=offset)


def test_samples_are_floating_point(lossless):
    with pytest.raises(ParameterError, match="use float32 or float64"):
        audio.load(lossless, sr=None, mono=False, dtype=np.int16)


def test_playlists_open_no_other_file(clip, tmp_path):
    (tmp_path / "clip.aac").write_bytes(encode(clip, "adts", "aac"))
    path = tmp_path / "list.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\n"
        f"{tmp_path / 'clip.aac'}\n#EXT-X-ENDLIST\n"
    )
    with av.open(path) as container:  # would
        assert container.streams.audio
    with pytest.raises(soundfile.LibsndfileError, match=r"list\.m3u8"):
        audio.load(path)


def test_the_extra_is_named_where_it_is_missing(without_pyav, tmp_path, lossless, wav):
    path = tmp_path / "clip.m4a"
    path.write_bytes(lossless)
    match = r"clip\.m4a': .*FFmpeg by pip install 'fastmel\[ffmpeg\]'; libsndfile: Format not"
    for call in (audio.load, audio.get_samplerate, lambda path: audio.get_duration(path=path)):
        with pytest.raises(soundfile.LibsndfileError, match=match):
            call(path)
    with warnings.catch_warnings():
        assert_same(audio.load(wav, sr=None), audio.load(io.BytesIO(wav), sr=None))
