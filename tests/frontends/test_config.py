import json

import numpy as np
import pytest

import fastmel
from fastmel import MelConfig, ParameterError

BAD = [
    ({"sr": 0}, "sr=0"),
    ({"sr": float("nan")}, "sr=nan"),
    ({"sr": "16000"}, "sr='16000'"),
    ({"n_fft": 0}, "n_fft=0 is not a positive integer"),
    ({"n_fft": -4}, "n_fft=-4"),
    ({"n_fft": 2.5}, "n_fft=2.5"),
    ({"n_fft": True}, "n_fft=True"),
    ({"hop_length": 0}, "hop_length=0"),
    ({"hop_length": None}, "hop_length=None"),
    ({"win_length": 4096}, "win_length=4096 is longer than n_fft=2048"),
    ({"n_mels": 0}, "n_mels=0"),
    ({"fmin": -1}, "fmin=-1 is not a number >= 0"),
    ({"fmin": 500, "fmax": 400}, "fmax=400 is not a number > fmin"),
    ({"power": 0}, "power=0"),
    ({"amin": 0}, "amin=0"),
    ({"ref": -1}, 'ref=-1 is not a number > 0 or "max"'),
    ({"ref": "min"}, "ref='min'"),
    ({"log": "dB"}, "log='dB' is not one of None, 'db', 'ln', 'log10'"),
    ({"pad_mode": "wrap"}, "pad_mode='wrap' is not one of 'constant'"),
    ({"norm": "mel"}, "norm='mel'"),
    ({"top_db": 80}, "top_db=80 needs a logarithm"),
    ({"top_db": -1, "log": "db"}, "top_db=-1"),
    ({"win_length": 400, "frame_length": 300}, "longer than n_fft and frame_length=300"),
    ({"scale": 0}, "scale=0 is not a number > 0"),
    ({"dither": -1}, "dither=-1 is not a number >= 0"),
    ({"seed": 1.5}, "seed=1.5 is not an integer >= 0"),
    ({"preemphasis": "0.97"}, "preemphasis='0.97' is not a number"),
    ({"preemphasis_of": "batch"}, "preemphasis_of='batch' is not one of 'frame', 'signal'"),
    ({"padding": 3}, "padding=3 is not a pair of integers"),
    ({"padding": (3, 4.5)}, "padding=4.5 is not an integer"),
    ({"stack": (2, 0)}, "stack=0 is not a positive integer"),
    ({"power_offset": 1e-9}, "power_offset=1e-09 needs power=1, not 2"),
    ({"guard": "add", "ref": 2.0}, 'guard="add" needs ref=1'),
    ({"peak": 1.5}, "peak=1.5 needs top_db"),
    ({"repeat": True}, "repeat=True needs n_samples"),
    ({"n_mfcc": 200}, "n_mfcc=200 is more than n_mels=128"),
    ({"offset": [1.0, 2.0]}, "offset has 2 values; give one, or one for each of the 128 features"),
    ({"gain": [[1.0]]}, "gain is not a finite number or a sequence"),
    ({"gain": float("inf")}, "gain=inf is not a number"),
    ({"layout": "mel"}, "layout='mel' is not one of 'mels_first', 'frames_first'"),
    ({"dtype": "int16"}, "dtype='int16' is not one of"),
    ({"window": np.ones(100)}, r"the window has shape \(100,\); give 2048 values"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_values_are_named(arguments, message):
    with pytest.raises(ParameterError, match=message.replace("(1", "(1")):
        MelConfig(**arguments)


def test_it_is_plain_data():
    config = MelConfig(sr=16000, n_fft=400, hop_length=160, window=np.hanning, log="ln")
    assert isinstance(config.window, tuple)
    copy = MelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert copy == config
    assert hash(copy) == hash(config)
    assert len({config, copy, MelConfig()}) == 2
    with pytest.raises(AttributeError):
        config.sr = 8000
    with pytest.raises(ParameterError, match="no n_mel"):
        MelConfig.from_dict({"n_mel": 80})


@pytest.mark.parametrize(
    ("window", "plain"),
    [
        (("general_cosine", [0.5, 0.5]), ("general_cosine", (0.5, 0.5))),
        (("general_cosine", np.array([0.5, 0.5])), ("general_cosine", (0.5, 0.5))),
        (["kaiser", np.float32(8.5)], ("kaiser", 8.5)),
        (np.float32(8.5), 8.5),
    ],
    ids=repr,
)
def test_a_window_is_plain_data(window, plain):
    config = MelConfig(window=window)
    assert repr(config) == f"MelConfig(window={plain!r})"
    assert MelConfig.from_json(config.to_json()) == config == MelConfig(window=plain)
    assert hash(config) == hash(MelConfig(window=plain))


def test_repr_shows_what_differs():
    assert repr(MelConfig()) == "MelConfig()"
    config = MelConfig(sr=16000, n_fft=np.int64(512), window=("kaiser", 4.0))
    assert repr(config) == "MelConfig(sr=16000, n_fft=512, window=('kaiser', 4.0))"
    assert eval(repr(config)) == config


def test_json_holds_what_differs():
    config = MelConfig(sr=16000, padding=(3, 4), stack=(2, 2), gain=[1.0, 2.0], n_mels=1, n_fft=512)
    assert json.loads(config.to_json()) == {
        "sr": 16000, "n_fft": 512, "n_mels": 1, "padding": [3, 4], "stack": [2, 2],
        "gain": [1.0, 2.0],
    }  # fmt: skip
    assert MelConfig.from_json(config.to_json()) == config
    assert MelConfig().to_json() == "{}"
    with pytest.raises(ParameterError, match="is not JSON"):
        MelConfig.from_json("{")
    with pytest.raises(ParameterError, match="give a JSON object"):
        MelConfig.from_json("[1]")
    with pytest.raises(ParameterError, match="no n_mel"):
        MelConfig.from_json('{"n_mel": 3}')


def test_numbers_and_types_of_numpy_become_python_s():
    given = {
        "sr": np.int64(16000), "n_mels": np.int64(40), "power": np.float32(1), "htk": np.True_,
        "norm": np.float64(2), "fmax": np.float32(7600), "padding": (np.int64(3), 4),
        "stack": [np.int32(2), 2], "gain": np.float64(0.5), "window": ("kaiser", np.float32(4)),
        "layout": np.str_("frames_first"), "dtype": np.dtype("float32"),
    }  # fmt: skip
    config = MelConfig(**given)
    assert json.loads(config.to_json()) == {
        "sr": 16000, "n_mels": 40, "power": 1.0, "htk": True, "norm": 2.0, "fmax": 7600.0,
        "padding": [3, 4], "stack": [2, 2], "gain": 0.5, "window": ["kaiser", 4.0],
        "layout": "frames_first", "dtype": "float32",
    }  # fmt: skip
    assert MelConfig.from_json(config.to_json()) == config
    assert "np." not in repr(config)


def test_every_preset_is_plain_data():
    for name in fastmel.frontends.names():
        config = fastmel.frontends.preset(name)
        assert MelConfig.from_json(config.to_json()) == config
        assert MelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert eval(repr(config)) == config
        assert len(fastmel.frontends.describe(name)) < 100
