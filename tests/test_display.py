"""The log-mel picture: axes that tell the truth, and no effect on the program's own figures."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import fastmel
from fastmel.display import save_mel
from fastmel.frontends.config import MelConfig


@pytest.fixture
def drawn(monkeypatch):
    """Make a function that draws a mel spectrogram and returns axes and colour bar."""

    def draw(mel, config, title=""):
        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
        save_mel("unused.png", mel, config, title)
        axes, bar = figures[0].axes
        return axes, bar

    return draw


def ramp(n_mels, n_frames, low, high):
    return np.linspace(low, high, n_mels * n_frames).reshape(n_mels, n_frames)


def test_writes_a_png(tmp_path):
    save_mel(tmp_path / "mel.png", ramp(40, 100, -80, 0), MelConfig(n_mels=40, log="db"))
    height, width, _ = imread(tmp_path / "mel.png").shape
    assert (height, width) == (600, 1500)


def test_time_axis_centres_each_frame_on_its_time(drawn):
    config = MelConfig(sr=16000, n_fft=400, hop_length=160, n_mels=40)
    axes, _ = drawn(ramp(40, 101, 0, 1), config)
    assert axes.get_xlim() == pytest.approx((-0.005, 1.005))
    axes, _ = drawn(ramp(40, 101, 0, 1), MelConfig(**{**config.to_dict(), "center": False}))
    assert axes.get_xlim() == pytest.approx((0.0075, 1.0175))


@pytest.mark.parametrize("htk", [False, True])
def test_frequency_labels_stand_at_their_bands(drawn, htk):
    config = MelConfig(n_mels=64, fmin=50, htk=htk)
    axes, _ = drawn(ramp(64, 10, 0, 1), config)
    labels = [float(label.get_text()) for label in axes.get_yticklabels()]
    assert labels == [125, 250, 500, 1000, 2000, 4000, 8000]
    # row i of the picture is as high as one step of mel and centred on the i-th band
    centres = fastmel.mel_frequencies(n_mels=66, fmin=50, fmax=11025, htk=htk)[1:-1]
    bottom, top = axes.get_ylim()
    rows = (np.asarray(axes.get_yticks()) - bottom) / (top - bottom) * 64 - 0.5
    assert np.interp(rows, np.arange(64), fastmel.hz_to_mel(centres, htk=htk)) == pytest.approx(
        fastmel.hz_to_mel(labels, htk=htk)
    )


def test_a_narrow_range_has_even_labels(drawn):
    axes, _ = drawn(ramp(20, 10, 0, 1), MelConfig(n_mels=20, fmin=1000, fmax=1500))
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["1100", "1200", "1300", "1400"]


@pytest.mark.parametrize(
    ("log", "label"),
    [(None, "linear"), ("db", "dB"), ("ln", "ln"), ("log10", "log10")],
)
def test_the_colour_bar_is_named(drawn, log, label):
    _, bar = drawn(ramp(40, 10, 0, 1), MelConfig(n_mels=40, log=log))
    assert bar.get_ylabel() == label


@pytest.mark.parametrize(("lowest", "shown"), [(-100, -80), (-30, -30)])
def test_decibels_end_80_below_the_maximum(drawn, lowest, shown):
    axes, _ = drawn(ramp(40, 10, lowest, 0), MelConfig(n_mels=40, log="db"))
    assert axes.images[0].get_clim() == (shown, 0)


@pytest.mark.parametrize("title", ["$\\frac$", "caf\udce9"])
def test_any_file_name_can_be_the_title(tmp_path, title):
    save_mel(tmp_path / "mel.png", ramp(128, 10, 0, 1), MelConfig(), title)
    assert (tmp_path / "mel.png").stat().st_size > 0


def test_pyplot_is_not_loaded(tmp_path):
    code = (
        "import sys, numpy; from fastmel.display import save_mel; "
        "from fastmel.frontends.config import MelConfig; "
        f"save_mel({str(tmp_path / 'mel.png')!r}, numpy.ones((128, 9)), MelConfig()); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
