"""The log-mel picture: axes that tell the truth, and no effect on the program's own figures."""

import inspect
import subprocess
import sys

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import fastmel
from fastmel import ParameterError, display
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


def test_frames_first_are_drawn_along_time(drawn):
    config = fastmel.frontends.preset("kaldi")
    axes, _ = drawn(ramp(80, 98, 0, 1).T, config)
    np.testing.assert_array_equal(axes.images[0].get_array(), ramp(80, 98, 0, 1))
    # the first window is of 25 ms, and frames are 10 ms apart
    assert axes.get_xlim() == pytest.approx((0.0075, 0.9875))
    assert axes.get_ylabel() == "Frequency (Hz)"
    bands = fastmel.mel_frequencies(n_mels=82, fmin=20, fmax=8000, htk=True)[[1, -2]]
    edges = fastmel.mel_to_hz(np.asarray(axes.get_ylim()), htk=True)
    assert edges[0] < bands[0] < edges[1] * 0.01
    assert edges[1] > bands[1] > edges[1] * 0.95


@pytest.mark.parametrize(
    ("name", "options", "n_features"),
    [
        ("kaldi-mfcc", {}, 13),
        ("kaldi", {"use_energy": True}, 81),
        ("kaldi", {"vtln_warp": 1.1}, 80),
        ("sensevoice", {}, 560),
    ],
)
def test_features_that_have_no_frequency_are_counted(drawn, name, options, n_features):
    config = fastmel.frontends.preset(name, **options)
    axes, _ = drawn(ramp(20, n_features, 0, 1), config)
    assert axes.get_ylabel() == "Feature"
    assert axes.get_ylim() == (-0.5, n_features - 0.5)


def test_stacks_stand_at_their_times(drawn):
    axes, _ = drawn(ramp(20, 560, 0, 1), fastmel.frontends.preset("sensevoice"))
    assert axes.get_xlim() == pytest.approx((0.0125 - 0.03, 0.0125 + 19 * 0.06 + 0.03))


def test_one_frame_is_a_frame_wide(drawn):
    axes, _ = drawn(ramp(1, 80, 0, 1), fastmel.frontends.preset("kaldi"))
    assert axes.get_xlim() == pytest.approx((0.0075, 0.0175))


def test_without_a_frame_there_is_no_picture():
    with pytest.raises(ParameterError, match="no frame to draw"):
        save_mel("unused.png", np.empty((0, 80)), fastmel.frontends.preset("kaldi"))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("whisper", "log10, scaled"),
        ("nemo", "ln, normalized"),
        ("kaldi-mfcc", "cepstral coefficient"),
        ("clap", "dB"),
    ],
)
def test_the_colour_bar_tells_what_was_done_to_the_logarithm(drawn, name, label):
    config = fastmel.frontends.preset(name)
    shape = (config.n_features, 10)
    _, bar = drawn(np.ones(shape if config.layout == "mels_first" else shape[::-1]), config)
    assert bar.get_ylabel() == label


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


# librosa's pictures


@pytest.fixture(autouse=True)
def agg():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", ["specshow", "waveshow", "infer_cmap"])
def test_signatures_are_librosas(name, librosa_1):
    if librosa_1:
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (display, librosa.display))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ]


def both(name, *arguments, **kwargs):
    """Draw by fastmel and by librosa; return pairs of axes and of what the calls returned."""
    axes, results = [], []
    for module in (display, librosa.display):
        axes.append(Figure().add_subplot())
        results.append(getattr(module, name)(*arguments, ax=axes[-1], **kwargs))
        axes[-1].figure.canvas.draw()
    return axes, results


def assert_same_axes(ours, theirs):
    assert ours.get_aspect() == theirs.get_aspect()
    assert ours.get_facecolor() == theirs.get_facecolor()
    for mine, other in ((ours.xaxis, theirs.xaxis), (ours.yaxis, theirs.yaxis)):
        assert mine.get_scale() == other.get_scale()
        assert mine.get_label_text() == other.get_label_text()
        for name in ("base", "linthresh", "linscale"):
            values = [getattr(axis.get_transform(), name, None) for axis in (mine, other)]
            assert values[0] == values[1]
        np.testing.assert_array_equal(mine.get_view_interval(), other.get_view_interval())
        np.testing.assert_array_equal(mine.get_ticklocs(), other.get_ticklocs())
        for minor in (False, True):
            labels = [[t.get_text() for t in a.get_ticklabels(minor=minor)] for a in (mine, other)]
            assert labels[0] == labels[1]


def assert_same_mesh(ours, theirs):
    np.testing.assert_array_equal(ours.get_coordinates(), theirs.get_coordinates())
    mine, other = ours.get_array(), theirs.get_array()
    assert mine.dtype == other.dtype
    np.testing.assert_allclose(mine.astype(float), other.astype(float), rtol=0, atol=2e-5)
    assert ours.get_cmap() == theirs.get_cmap()
    assert type(ours.norm) is type(theirs.norm)
    np.testing.assert_allclose(ours.to_rgba(mine), theirs.to_rgba(other), atol=1 / 255)
    assert ours.get_rasterized() == theirs.get_rasterized()


@pytest.mark.parametrize(
    ("kwargs", "n_frames"),
    [
        ({}, 60),
        ({"x_axis": "time", "y_axis": "mel"}, 60),
        ({"x_axis": "time", "y_axis": "mel", "sr": 16000, "htk": True, "fmin": 50.0}, 60),
        ({"x_axis": "s", "y_axis": "mel", "fmax": 4000, "hop_length": 160}, 20),
        ({"x_axis": "ms", "y_axis": "log"}, 30),
        ({"x_axis": "m", "y_axis": "linear", "hop_length": 22050}, 200),
        ({"x_axis": "h", "y_axis": "hz", "hop_length": 22050 * 60}, 200),
        ({"x_axis": "time", "y_axis": "fft", "hop_length": 22050, "n_fft": 128}, 200),
        ({"x_axis": "time", "y_axis": "fft", "hop_length": 22050 * 60, "n_fft": 129}, 200),
        ({"x_axis": "lag", "y_axis": "time"}, 65),
        ({"x_axis": "lag_s", "y_axis": "lag_ms"}, 65),
        ({"x_axis": "lag_m", "y_axis": "lag_h", "auto_aspect": False}, 65),
        ({"x_axis": "frames", "y_axis": "frames"}, 65),
        ({"x_axis": "off", "y_axis": "frames"}, 65),
        ({"x_axis": "time", "y_axis": "s"}, 65),
        ({"x_axis": "mel", "y_axis": "mel"}, 65),
        ({"x_axis": "log", "y_axis": "linear"}, 65),
        ({"x_coords": np.arange(61.0) ** 2, "y_coords": np.arange(66) / 3}, 60),
        ({"x_axis": "time", "x_coords": np.arange(60.0), "vmin": 0.2, "alpha": 0.5}, 60),
        ({"cmap": "viridis", "shading": "nearest", "rasterized": False}, 60),
        ({"hop_length": 10.5, "x_axis": "time"}, 60),
    ],
    ids=repr,
)
def test_spectrograms_are_drawn_as_by_librosa(kwargs, n_frames, rng):
    axes, meshes = both("specshow", rng.uniform(0, 1, (65, n_frames)), **kwargs)
    assert_same_axes(*axes)
    assert_same_mesh(*meshes)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"vmin": -1.0, "vmax": 3.0},
        {"div_thresh": 0.5},
        {"div_thresh": 7},
        {"cmap_div": "RdBu", "cmap_seq": "viridis"},
        {"vscale": "dB"},
        {"vscale": "dBFS", "top_db": 40},
        {"vscale": "dB[power]"},
        {"vscale": "dB[0.5]"},
        {"vscale": "dB[power,1e-3]", "top_db": None},
        {"vscale": "dBFS[power]", "cmap_seq": "viridis"},
        {"vscale": "phase", "x_axis": "time", "y_axis": "log"},
        {"vscale": "dphase", "x_axis": "time", "y_axis": "fft"},
        {"vscale": "dphase_t", "x_axis": "time", "y_axis": "fft"},
    ],
    ids=repr,
)
def test_colours_are_librosas(kwargs, rng, librosa_1):
    if not librosa_1:
        pytest.skip("librosa 0.11 has other colours")
    values = rng.standard_normal((33, 20))
    data = [values, values.astype(np.float32), values > 0, (5 * values).astype(int), abs(values)]
    if "vscale" in kwargs:
        data = [values, values + 1j * rng.standard_normal((33, 20))]
    for x in data:
        if x.dtype == bool and "vmin" in kwargs:
            continue  # an error of matplotlib's: booleans have a norm already
        axes, meshes = both("specshow", x, **kwargs)
        assert_same_axes(*axes)
        assert_same_mesh(*meshes)


def test_of_complex_numbers_the_magnitude_is_drawn(rng):
    data = rng.standard_normal((5, 4)) + 1j
    with pytest.warns(UserWarning, match="complex-valued") as caught:
        mesh = display.specshow(data, ax=Figure().add_subplot())
    assert [w.filename for w in caught] == [__file__]
    np.testing.assert_array_equal(mesh.get_array(), abs(data))


def test_without_axes_pyplots_are_used(rng):
    mesh = display.specshow(rng.uniform(0, 1, (5, 4)))
    assert mesh.axes is plt.gca()
    assert plt.gci() is mesh
    assert display.waveshow(np.zeros(100)).ax is plt.gca()


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"sr": 8000, "offset": 3.0, "axis": "ms"},
        {"max_points": 100, "where": "mid", "color": "r"},
        {"max_points": 900, "transpose": True},
        {"axis": None, "marker": ".", "label": "signal"},
        {"axis": "none"},
        {"axis": "lag", "max_points": 333, "alpha": 0.3},
    ],
    ids=repr,
)
@pytest.mark.parametrize("shape", [(3000,), (2, 3000), (1, 50)])
def test_signals_are_drawn_as_by_librosa(kwargs, shape, rng):
    axes, plots = both("waveshow", rng.uniform(-1, 1, shape), **kwargs)
    assert_same_waves(axes, plots)
    zoom = {"ylim" if "transpose" in kwargs else "xlim": (0.05, 0.051)}
    for ax in axes:
        ax.set(**zoom)
    assert_same_waves(axes, plots)


def assert_same_waves(axes, plots):
    assert_same_axes(*axes)
    ours, theirs = plots
    np.testing.assert_array_equal(ours.steps.get_xydata(), theirs.steps.get_xydata())
    assert ours.steps.get_visible() == theirs.steps.get_visible()
    assert ours.envelope.get_visible() == theirs.envelope.get_visible()
    for mine, other in zip(ours.envelope.get_paths(), theirs.envelope.get_paths(), strict=True):
        np.testing.assert_array_equal(mine.vertices, other.vertices)
    for artist in ("steps", "envelope"):
        mine, other = (getattr(plot, artist) for plot in plots)
        np.testing.assert_array_equal(
            mine.get_color() if artist == "steps" else mine.get_fc(),
            other.get_color() if artist == "steps" else other.get_fc(),
        )
    labels = [ax.get_legend_handles_labels()[1] for ax in axes]
    assert labels[0] == labels[1]


@pytest.mark.parametrize("kwargs", [{"invert": True}, {"invert": True, "invert_color": "k"}])
def test_inverted_and_masked_signals(kwargs, rng, librosa_1):
    if librosa_1:
        mask = np.arange(3000) % 1000 < 500
        axes, plots = both("waveshow", rng.uniform(-1, 1, 3000), mask=mask, max_points=99, **kwargs)
        assert_same_waves(axes, plots)


def test_a_waveplot_lives_as_long_as_its_axes(rng):
    axes = Figure().add_subplot()
    steps = display.waveshow(rng.uniform(-1, 1, 30000), ax=axes).steps
    assert not steps.get_visible()
    axes.set_xlim(0.5, 0.6)
    assert steps.get_visible()


def test_a_disconnected_waveplot_stays_as_it_is(rng):
    axes = Figure().add_subplot()
    plot = display.waveshow(rng.uniform(-1, 1, 30000), ax=axes)
    plot.disconnect(strict=True)
    axes.set_xlim(0.5, 0.6)
    assert not plot.steps.get_visible()
    assert plot.ax is None


def test_waveplot_is_waveshow_by_its_old_arguments(rng):
    y = rng.uniform(-1, 1, 3000)
    old = display.waveplot(y, 8000, 100, "s", 1.5, ax=Figure().add_subplot())
    new = display.waveshow(
        y, sr=8000, max_points=100, axis="s", offset=1.5, ax=Figure().add_subplot()
    )
    assert_same_waves((old.ax, new.ax), (old, new))


DATA = np.ones((9, 7))
BAD_CALLS = [
    ("specshow", (DATA,), {"x_axis": "nonsense"}, ParameterError),
    ("specshow", (DATA,), {"y_axis": "none"}, ParameterError),
    ("specshow", (DATA,), {"x_coords": np.arange(6)}, ParameterError),
    ("specshow", (DATA,), {"y_coords": np.arange(7)}, ParameterError),
    ("specshow", (DATA,), {"ax": "axes"}, ParameterError),
    ("specshow", (DATA,), {"cmap": "nonsense"}, ValueError),
    ("specshow", (DATA,), {"nonsense": 1}, AttributeError),
    ("specshow", (DATA[0],), {}, IndexError),
    ("waveshow", (DATA[0],), {"max_points": 0}, ParameterError),
    ("waveshow", (DATA[0],), {"ax": 3}, ParameterError),
    ("waveshow", (DATA[0].astype(int),), {}, ParameterError),
    ("waveshow", (DATA[0] * np.nan,), {}, ParameterError),
    ("waveshow", (DATA[0, :0],), {}, ParameterError),
    ("waveshow", (DATA[0],), {"axis": "nonsense"}, ParameterError),
]


@pytest.mark.parametrize(("name", "arguments", "kwargs", "error"), BAD_CALLS)
def test_bad_calls_fail_as_librosas(name, arguments, kwargs, error):
    kwargs = {"ax": Figure().add_subplot()} | kwargs
    with pytest.raises(error):
        getattr(display, name)(*arguments, **kwargs)
    theirs = librosa.ParameterError if error is ParameterError else error
    with pytest.raises(theirs):
        getattr(librosa.display, name)(*arguments, **kwargs)


@pytest.mark.parametrize("vscale", ["db", "dBFS[1]", "dB[]", "dB[power", "dB[-]", ""])
def test_bad_scales_are_told(vscale):
    with pytest.raises(ParameterError, match="vscale"):
        display.specshow(DATA, vscale=vscale, ax=Figure().add_subplot())


@pytest.mark.parametrize("axis", ["cqt_note", "chroma", "tempo", "tonnetz"])
def test_axes_of_other_features_are_told(axis):
    with pytest.raises(ParameterError, match=f"Unknown axis type: '{axis}'; use one of time"):
        display.specshow(DATA, y_axis=axis, ax=Figure().add_subplot())


def test_time_units_are_checked():
    with pytest.raises(ParameterError, match="unit"):
        display.TimeFormatter(unit="days")


@pytest.mark.parametrize("robust", [True, False])
def test_colours_are_inferred_as_by_librosa(robust, rng):
    theirs = getattr(librosa.display, "infer_cmap", None) or librosa.display.cmap
    values = rng.standard_normal(100)
    odd = np.array([np.nan, -np.inf, 1.0])
    outlier = np.append(np.ones(99), -1.0)
    for data in (values, abs(values), -abs(values), values > 0, odd, outlier, [1, 2, 3], 4.0):
        assert display.infer_cmap(data, robust=robust) == theirs(data, robust=robust)
