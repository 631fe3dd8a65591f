import json

import numpy as np
import pytest

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


def test_repr_shows_what_differs():
    assert repr(MelConfig()) == "MelConfig()"
    config = MelConfig(sr=16000, n_fft=np.int64(512), window=("kaiser", 4.0))
    assert repr(config) == "MelConfig(sr=16000, n_fft=512, window=('kaiser', 4.0))"
    assert eval(repr(config)) == config
