"""The index maps of the GPU's kernels as a NumPy model: who touches which bank, and when."""

import math

import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines.cuda_layout import Ending, Layout, place, radices, source, target, twiddles
from fastmel.engines.plan import mel_plan

BANKS, WARP, SECTOR = 32, 32, 8  # a sector of memory: 8 values of 4 bytes
SIZES = [n for n in range(16, 4097, 2) if radices(n // 2)]
#: shared memory of a multiprocessor and its threads, by compute capability
PROCESSORS = {"sm_80": (164 << 10, 2048), "sm_90": (228 << 10, 2048), "sm_120": (100 << 10, 1536)}


def layout_of(config):
    plan = mel_plan(config)
    return Layout.of(config, plan, Ending.of(config, plan))


def of_size(n_fft, **options):
    options = {"hop_length": n_fft // 4, "n_mels": min(80, n_fft // 8), "log": "db"} | options
    return layout_of(fastmel.MelConfig(sr=16000, n_fft=n_fft, **options))


def ways(addresses, is_active=True):
    """The most values that one bank gives to one warp, for every warp of some threads."""
    addresses, is_active = np.broadcast_arrays(addresses, is_active)
    n = -len(addresses) % WARP
    addresses = np.pad(addresses, (0, n)).reshape(-1, WARP)
    is_active = np.pad(is_active, (0, n)).reshape(-1, WARP)
    worst = []
    for warp, active in zip(addresses, is_active, strict=True):
        banks = np.unique(warp[active]) % BANKS  # equal addresses are one access
        worst.append(np.bincount(banks, minlength=1).max())
    return np.array(worst)


def units(layout, n_units):
    """The (j, f) of the threads in every round of a pass, and which of them have work."""
    for first in range(0, n_units, layout.n_threads):
        unit = first + np.arange(layout.n_threads)
        yield unit // layout.n_frames, unit % layout.n_frames, unit < n_units


def passes(layout):
    stride = 1
    for radix in layout.radices:
        yield radix, stride, layout.n_points // radix
        stride *= radix


def point(layout, e, f):
    """Where the kernels keep the point e of frame f."""
    return place(e) * layout.n_frames + f


@pytest.mark.parametrize("n_fft", SIZES)
def test_the_passes_are_the_fft(rng, n_fft):
    layout = of_size(n_fft)
    assert math.prod(layout.radices) == n_fft // 2
    x = rng.standard_normal(n_fft)
    z, tables, first = x[0::2] + 1j * x[1::2], twiddles(layout).astype(float), 0
    turns = tables[0] + 1j * tables[1]
    for radix, stride, n_butterflies in passes(layout):
        j, k = np.ogrid[:n_butterflies, :radix]
        inputs = z[source(j, k, n_butterflies)]
        if stride > 1:
            ours = turns[first : first + (radix - 1) * stride].reshape(radix - 1, stride)
            inputs[:, 1:] *= ours.T[j[:, 0] % stride]
            first += (radix - 1) * stride
        places = target(j, k, radix, stride)
        assert sorted(places.ravel()) == list(range(n_fft // 2))
        z = np.empty_like(z)
        z[places] = np.fft.fft(inputs)
    np.testing.assert_allclose(z, np.fft.fft(x[0::2] + 1j * x[1::2]), atol=1e-5 * n_fft**0.5)
    k = np.arange(n_fft // 4 + 1)
    np.testing.assert_allclose(turns[first:], np.exp(-2j * np.pi * k / n_fft), atol=1e-7)


@pytest.mark.parametrize("n_fft", SIZES)
def test_no_pass_has_more_than_two_way_bank_conflicts(n_fft):
    layout = of_size(n_fft)
    found = []
    for radix, stride, n_butterflies in passes(layout):
        for j, f, active in units(layout, n_butterflies * layout.n_frames):
            for k in range(radix):
                if stride > 1:
                    e = source(j, k, n_butterflies)
                    found.append(ways(point(layout, e, f), active))
                e = target(j, k, radix, stride)
                found.append(ways(point(layout, e, f), active))
    for k, f, active in units(layout, (layout.n_points // 2 + 1) * layout.n_frames):
        found.append(ways(point(layout, k, f), active))
        found.append(ways(point(layout, np.where(active, layout.n_points - k, 0), f), active))
    found = np.concatenate(found)
    assert found.max() <= 2
    if n_fft in (256, 400, 512, 1024, 2048, 4096):
        assert found.mean() <= 1.75


@pytest.mark.parametrize("hop_length", [80, 160, 441, 512, 5000])
@pytest.mark.parametrize("n_fft", [256, 400, 512, 1024, 2048, 4096])
def test_samples_are_read_with_two_way_bank_conflicts_at_most(n_fft, hop_length):
    layout = of_size(n_fft, hop_length=hop_length)
    radix, n_butterflies = layout.radices[0], layout.n_points // layout.radices[0]
    for j, f, active in units(layout, n_butterflies * layout.n_frames):
        for k in range(radix):
            t = np.where(active, 2 * source(j, k, n_butterflies), 0)
            row, column = divmod(t, layout.height)
            at = (f + row) * layout.row_pitch + column
            assert ways(at, active & (row == row[0])).max() <= 2
            assert ways(at, active).mean() <= 2.5  # where they cross to another row, too
            assert at.max() < layout.n_shared


BANDS = [  # most ways, ways on average: with fewer frames at once, more bands are in a warp
    (frontends.preset("whisper"), 2, 1.5),
    (frontends.preset("kaldi"), 2, 1.5),
    (frontends.preset("hifigan"), 4, 2.1),
    (fastmel.MelConfig(log="db"), 4, 2.3),
    (fastmel.MelConfig(sr=48000, n_fft=4096, hop_length=1024), 6, 2.8),
]


@pytest.mark.parametrize(("config", "most", "average"), BANDS)
def test_powers_are_read_with_few_bank_conflicts(config, most, average):
    layout, spans, found = layout_of(config), mel_plan(config).bands.spans, []
    for m, f, active in units(layout, layout.n_mels * layout.n_frames):
        first, n_bins = spans[np.where(active, m, 0)].T
        for i in range(n_bins.max()):
            reading = active & (i < n_bins)
            ways_of_warps = ways(point(layout, np.where(reading, first + i, 0), f), reading)
            found.append(ways_of_warps[ways_of_warps > 0])
    found = np.concatenate(found)
    assert found.max() <= most
    assert found.mean() <= average


@pytest.mark.parametrize("layout_name", ["mels_first", "frames_first"])
@pytest.mark.parametrize("n_fft", [256, 400, 512, 1024, 2048, 4096])
def test_stores_are_coalesced(n_fft, layout_name):
    layout = of_size(n_fft, layout=layout_name, n_mels=80)
    unit = np.arange(layout.n_features * layout.n_tile)
    if layout.is_turned:
        t, q = divmod(unit, layout.n_features)
        at = t * layout.n_features + q
    else:
        q, t = divmod(unit, layout.n_tile)
        at = q * 3008 + t  # frames of the signal: lines begin where sectors do
    assert ways(q * layout.tile_pitch + t).max() <= 2
    for warp in at[: len(at) // WARP * WARP].reshape(-1, WARP):
        assert len(np.unique(warp // SECTOR)) <= WARP // SECTOR + layout.is_turned
    assert layout.n_tile == 16


@pytest.mark.parametrize("name", [*frontends.names(), *SIZES[SIZES.index(256) :]])
def test_half_of_the_threads_find_shared_memory(name):
    if isinstance(name, str):
        layout = layout_of(frontends.preset(name))
    else:
        layout = of_size(name, remove_dc=True)
    assert layout.n_bytes <= 48 << 10
    assert layout.n_threads % WARP == 0
    assert layout.n_threads <= 512
    for shared, threads in PROCESSORS.values():
        n_blocks = min(shared // (layout.n_bytes + 1024), threads // layout.n_threads, 32)
        assert n_blocks * layout.n_threads >= threads // 2


def test_a_tile_is_transformed_in_whole_rounds():
    for n_fft in SIZES:
        for n_mels in (1, 40, 200, 1000):
            layout = of_size(n_fft, n_mels=n_mels, power=1.0)
            assert layout.n_tile % layout.n_frames == 0
            assert layout.n_frames & (layout.n_frames - 1) == 0
            assert layout.n_bytes <= 48 << 10


REFUSED = [
    ({"n_fft": 441}, "even n_fft from 16 to 4096 with no prime factor above 5, not 441"),
    ({"n_fft": 448}, "no prime factor above 5, not 448"),
    ({"n_fft": 8192}, "from 16 to 4096"),
    ({"n_fft": 8, "hop_length": 2}, "from 16 to 4096"),
    ({"dither": 1.0}, "needs dither=0"),
    ({"log": "db", "amin": 1e-40}, "needs an amin of at least"),
    ({"n_mels": 5000}, "at most 3071 mel bands, not 5000"),
    ({"dtype": "float64"}, "computes in float32, not float64"),
]


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_the_gpu_cannot_do_is_refused_with_the_reason(options, message):
    with pytest.raises(fastmel.ParameterError, match=message):
        fastmel.MelSpectrogram(**({"n_fft": 512, "n_mels": 20} | options), engine="cuda")


def test_float64_is_refused():
    transform = fastmel.MelSpectrogram(engine="cuda")
    for y in (np.zeros(5000), [np.zeros(5000)]):
        with pytest.raises(
            fastmel.ParameterError, match="float32, not float64: give float32 samples"
        ):
            transform(y)


def test_auto_never_takes_the_gpu():
    assert fastmel.MelSpectrogram().engine == "fused"
    assert fastmel.MelSpectrogram(engine="cuda").engine == "cuda"
