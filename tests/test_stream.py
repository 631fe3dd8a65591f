import io

import librosa
import numpy as np
import pytest
import soundfile

from fastmel import ParameterError, load, stream

SHORT = {"block_length": 4, "frame_length": 400, "hop_length": 160}


@pytest.fixture(params=[1, 2, 3])
def path(request, rng, tmp_path):
    """A file of one, two or three channels."""
    path = tmp_path / "noise.wav"
    shape = (8123,) if request.param == 1 else (8123, request.param)
    soundfile.write(path, rng.uniform(-1, 1, shape), 16000, subtype="FLOAT")
    return path


OPTIONS = [
    {},
    {"mono": False},
    {"fill_value": 0.5},
    {"fill_value": np.nan, "mono": False},
    {"offset": 0.1},
    {"offset": -0.2},
    {"duration": 0.2},
    {"duration": 0},
    {"duration": 100, "offset": 0.3},
    {"dtype": np.float64},
    {"sr": 8000},
    {"sr": 32000, "mono": False},
    {"sr": 10000, "dtype": np.float64, "fill_value": 0},
    {"sr": 20000, "res_type": "soxr_qq"},
    {"sr": 4000, "block_length": 1},
    {"block_length": 1},
    {"block_length": 100},
    {"frame_length": 160},
    {"frame_length": 100},
    {"frame_length": 9000},
    {"frame_length": 8123, "block_length": 1, "hop_length": 8123},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_blocks_equal_librosas(options, path, librosa_1):
    if not librosa_1:
        pytest.skip("librosa 0.11 does not resample streams")
    kwargs = SHORT | {"sr": None} | options
    ours, theirs = (list(f(path, **kwargs)) for f in (stream, librosa.stream))
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        assert a.flags.c_contiguous
        assert a.flags.owndata


@pytest.mark.parametrize("mono", [True, False])
def test_the_blocks_are_the_file(mono, path):
    y, _ = load(path, sr=None, mono=mono)
    hop = SHORT["hop_length"]
    for n, block in enumerate(stream(path, sr=None, mono=mono, **SHORT)):
        start = 4 * n * hop
        np.testing.assert_array_equal(block, y[..., start : start + 3 * hop + 400])
    assert start + block.shape[-1] == y.shape[-1]


@pytest.mark.parametrize("sr", [8000, 16000, 32000])
def test_blocks_with_gaps_between_them_keep_their_places(sr, path):
    # librosa loses count where a chunk of resampled samples ends within a gap
    sizes = {"block_length": 1, "hop_length": 20, "sr": sr}
    whole = np.concatenate(list(stream(path, frame_length=20, **sizes)))
    for n, block in enumerate(stream(path, frame_length=7, **sizes)):
        np.testing.assert_array_equal(block, whole[20 * n : 20 * n + 7])
    assert 20 * (n + 1) >= len(whole) > 20 * n


def test_every_kind_of_source(path):
    first = np.concatenate(list(stream(path, sr=None, **SHORT)))
    for source in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        blocks = list(stream(source, sr=None, **SHORT))
        np.testing.assert_array_equal(np.concatenate(blocks), first)


def test_a_sound_file_stays_open_and_others_are_closed(path):
    with soundfile.SoundFile(path) as file:
        assert next(stream(file, sr=None, **SHORT)).size
        assert not file.closed
    blocks = stream(path, sr=None, **SHORT)
    next(blocks)
    blocks.close()
    path.unlink()


def test_a_missing_sampling_rate_is_warned_of(path):
    with pytest.warns(FutureWarning, match="default value of 'sr' will change") as caught:
        blocks = stream(path, **SHORT)
    assert [w.filename for w in caught] == [__file__]
    assert next(blocks).size


BAD_CALLS = [
    ({"block_length": 0}, ParameterError),
    ({"frame_length": -1}, ParameterError),
    ({"hop_length": 1.5}, ParameterError),
    ({"sr": 0}, ParameterError),
    ({"sr": np.inf}, ParameterError),
    ({"sr": 22050}, ParameterError),
    ({"sr": 8000, "res_type": "fft"}, ParameterError),
    ({"dtype": np.complex64}, (ValueError, TypeError)),
    ({"offset": 10.0}, RuntimeError),
]


@pytest.mark.parametrize(("options", "error"), BAD_CALLS, ids=str)
def test_bad_calls_fail_as_librosas(options, error, path, librosa_1):
    kwargs = SHORT | {"sr": None} | options
    with pytest.raises(error):
        list(stream(path, **kwargs))
    if librosa_1:
        with pytest.raises(librosa.ParameterError if error is ParameterError else error):
            list(librosa.stream(path, **kwargs))


def test_a_missing_file_is_told():
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        next(stream("none.wav", sr=None, **SHORT))


def test_nan_is_told(tmp_path):
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.full((5000, 2), np.nan), 16000, subtype="FLOAT")
    with pytest.raises(ParameterError, match="finite"):
        next(stream(path, sr=None, **SHORT))
