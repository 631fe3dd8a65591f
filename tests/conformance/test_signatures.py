"""Every public call has librosa 1.0's names, defaults, kinds and order of parameters."""

import inspect
from operator import attrgetter

import librosa
import numpy as np
import pytest

import fastmel

#: what librosa does not have
OWN = {
    "MelConfig",
    "MelSpectrogram",
    "corpus.extract",
    "corpus.finalize",
    "corpus.load_plan",
    "corpus.run_shard",
    "display.save_mel",
    "display.waveplot",
    "frontend",
    "frontends.describe",
    "frontends.names",
    "frontends.preset",
    "get_num_threads",
    "patch_librosa",
    "patched_librosa",
    "set_num_threads",
    "unpatch_librosa",
}

#: call -> the parameters that librosa 1.0 gave it, and those that it took away from 0.11
SINCE_0_11 = {
    "amplitude_to_db": ({"axes"}, set()),
    "display.AdaptiveWaveplot": ({"label"}, set()),
    "display.specshow": (
        {"vscale", "top_db", "cmap_seq", "cmap_bool", "cmap_div", "cmap_cyclic", "div_thresh"},
        set(),
    ),
    "display.waveshow": ({"mask", "invert", "invert_color"}, {"x_axis"}),
    "get_duration": (set(), {"filename"}),
    "griffinlim": ({"rng", "random_state"}, {"random_state"}),  # its default has changed
    "power_to_db": ({"axes"}, set()),
    "stream": ({"sr", "res_type"}, set()),
    "to_mono": ({"signals", "pad", "norm", "out"}, {"y"}),
}

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


def public_calls(module=fastmel, prefix=""):
    """Yield the dotted names of all public functions and classes."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.ismodule(value):
            yield from public_calls(value, f"{prefix}{name}.")
        elif callable(value) and name != "ParameterError":
            yield prefix + name


CALLS = sorted(public_calls())


def parameters(library, name):
    """Return (name, kind, default); the mark of a deprecated argument is each library's own."""
    return [
        (p.name, p.kind, repr(p.default))
        for p in inspect.signature(attrgetter(name)(library)).parameters.values()
    ]


@pytest.mark.parametrize("name", [name for name in CALLS if name not in OWN])
def test_signature_is_librosas(name, librosa_1):
    if name == "display.infer_cmap" and not librosa_1:
        pytest.skip("librosa 0.11 has it as `cmap`")
    added, removed = (set(), set()) if librosa_1 else SINCE_0_11.get(name, (set(), set()))
    ours, theirs = parameters(fastmel, name), parameters(librosa, name)
    if name == "filters.mel":  # by position too, as before librosa 0.10
        theirs = [(p, POSITIONAL, default) for p, _, default in theirs]
    assert {p[0] for p in ours if p not in theirs} == added
    assert {p[0] for p in theirs if p not in ours} == removed
    both = [p for p in theirs if p in ours]
    assert [p for p in ours if p in theirs] == both


@pytest.mark.parametrize("name", sorted(OWN))
def test_librosa_has_no_such_call(name):
    with pytest.raises(AttributeError):
        attrgetter(name)(librosa)


def test_the_filter_bank_takes_its_arguments_by_position():
    ours = fastmel.filters.mel(16000, 512, 40, 20.0, 7600.0, True, None, np.float64)
    theirs = librosa.filters.mel(
        sr=16000, n_fft=512, n_mels=40, fmin=20.0, fmax=7600.0, htk=True, norm=None, dtype=float
    )
    np.testing.assert_array_equal(ours, theirs)
