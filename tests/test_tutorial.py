"""The tutorial, by fastmel and by librosa: the same pictures, and only the import differs."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from fastmel.demo import clip

PATH = Path(__file__).parents[1] / "examples/tutorial.py"
IMPORT = "import fastmel as librosa"


@pytest.fixture(autouse=True)
def agg():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def tutorial(with_import):
    source = PATH.read_text()
    assert source.count(IMPORT) == 1
    module = ModuleType("tutorial")
    exec(compile(source.replace(IMPORT, with_import), str(PATH), "exec"), vars(module))
    return module


@pytest.fixture
def both(monkeypatch):
    """Return the tutorial by fastmel and by librosa."""
    monkeypatch.setattr(librosa.display, "waveplot", librosa.display.waveshow, raising=False)
    return tutorial(IMPORT), tutorial("import librosa")


@pytest.mark.parametrize("name", ["waveform", "spectrogram", "mel_spectrogram"])
def test_the_pictures_are_librosas(name, both):
    y = clip(22050)
    figures = []
    for module in both:
        getattr(module, name)(y, 22050)
        figures.append(plt.gcf())
        figures[-1].canvas.draw()
    for ours, theirs in zip(*(figure.axes for figure in figures), strict=True):
        np.testing.assert_allclose(ours.get_position().bounds, theirs.get_position().bounds)
        assert ours.get_title() == theirs.get_title()
        for side in ("x", "y"):
            ours_is, theirs_is = (getattr(a, f"{side}axis") for a in (ours, theirs))
            assert ours_is.get_scale() == theirs_is.get_scale()
            assert ours_is.get_label_text() == theirs_is.get_label_text()
            np.testing.assert_allclose(
                ours_is.get_view_interval(), theirs_is.get_view_interval(), rtol=1e-4
            )
            labels = [[t.get_text() for t in a.get_ticklabels()] for a in (ours_is, theirs_is)]
            assert labels[0] == labels[1]
        for mine, other in zip(
            *(
                [artist for artist in axes.collections if isinstance(artist, QuadMesh)]
                for axes in (ours, theirs)
            ),
            strict=True,
        ):
            np.testing.assert_allclose(mine.get_coordinates(), other.get_coordinates(), rtol=1e-6)
            np.testing.assert_allclose(mine.get_array(), other.get_array(), atol=0.05)
            assert mine.get_cmap().name == other.get_cmap().name
            np.testing.assert_allclose(mine.get_clim(), other.get_clim(), atol=0.05)
        for mine, other in zip(ours.lines, theirs.lines, strict=False):
            np.testing.assert_array_equal(mine.get_xydata(), other.get_xydata())


def test_it_runs_by_itself(tmp_path):
    command = [sys.executable, "-W", "error", str(PATH)]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"MPLBACKEND": "agg"}, check=True)
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"waveform.png", "spectrogram.png", "mel_spectrogram.png"}
