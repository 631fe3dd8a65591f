import json

import numpy as np
import pytest
import soundfile

import fastmel
from fastmel.corpus import extract, long


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Forty seconds whose loudest moment is in the middle."""
    folder = tmp_path_factory.mktemp("long")
    t = np.arange(40 * 22050) / 22050
    y = np.random.default_rng(3).standard_normal(len(t)) * 0.1 * np.exp(-(((t - 20) / 5) ** 2))
    soundfile.write(folder / "a.wav", y, 22050)
    return folder / "a.wav"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("frontend", ["whisper", "kaldi", "nemo"])
def test_pieces_make_the_features_of_the_whole(
    recording, here, tmp_path, monkeypatch, frontend, dtype
):
    extract([str(recording)], tmp_path / "whole", frontend=frontend, dtype=dtype, executor=here)
    monkeypatch.setattr(long, "LONG", 0)
    monkeypatch.setattr("fastmel.corpus.reading._BLOCK", 50_000)
    monkeypatch.setattr("fastmel.corpus.durable._ROWS", 1600)
    extract([str(recording)], tmp_path / "pieces", frontend=frontend, dtype=dtype, executor=here)
    whole, pieces = (
        np.load(tmp_path / f"{name}/features/a.wav.npy") for name in ("whole", "pieces")
    )
    assert pieces.dtype == dtype
    np.testing.assert_array_equal(pieces, whole)
    whole, pieces = (
        json.loads((tmp_path / f"{name}/shards/shard-000000.json").read_text())
        for name in ("whole", "pieces")
    )
    np.testing.assert_allclose(pieces.pop("mean_features"), whole.pop("mean_features"), rtol=1e-12)
    assert pieces == whole
    assert not (tmp_path / "pieces" / ".partial").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "whisper"}, True),
        ({"name": "kaldi"}, True),
        ({"name": "nemo"}, False),
        ({"name": "whisper", "padding": "30s"}, True),
        ({"name": "whisper", "ref": "max"}, False),
        ({"name": "kaldi", "layout": "mels_first"}, False),
    ],
)
def test_which_front_ends_work_piece_by_piece(options, expected):
    assert long.can_stream(fastmel.frontend(**{"layout": "frames_first", **options})) == expected


def test_a_long_recording_may_have_no_frame(here, tmp_path, monkeypatch):
    monkeypatch.setattr(long, "LONG", 0)
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    out = tmp_path / "out"
    summary = extract([str(tmp_path / "a.wav")], out, frontend="kaldi", executor=here)
    assert summary.failures == {"empty": 1}
