"""The index maps of the GPU's kernels as a NumPy model: who touches which bank, and when."""

import math

import numpy as np
import pytest

import fastmel
from fastmel import frontends
from fastmel.engines.cuda_layout import (
    STEPS,
    Ending,
    Layout,
    is_regular,
    mirror,
    n_together,
    place,
    power_place,
    radices,
    schedule,
    source,
    target,
    turns,
)
from fastmel.engines.plan import mel_plan

BANKS, WARP, SECTOR = 32, 32, 8  # a sector of memory: 8 values of 4 bytes
SIZES = [n for n in range(16, 4097, 2) if radices(n // 2)]
#: a length of an FFT with many factors of 3, which no order and no gaps suit
THREE_WAY = 2916
#: shared memory of a multiprocessor and its threads, by compute capability
PROCESSORS = {"sm_80": (164 << 10, 2048), "sm_90": (228 << 10, 2048), "sm_120": (100 << 10, 1536)}


def layout_of(config):
    plan = mel_plan(config)
    return Layout.of(config, plan, Ending.of(config, plan))


def of_size(n_fft, **options):
    options = {"hop_length": n_fft // 4, "n_mels": min(80, n_fft // 8), "log": "db"} | options
    return layout_of(fastmel.MelConfig(sr=16000, n_fft=n_fft, **options))


def ways(addresses, is_active=True, n=1):
    """The most values that one bank gives to one warp, for every warp of some threads.

    Where each thread has n values in a row, the first of them at a multiple of n, so many parts of
    a warp come one after the other.
    """
    addresses, is_active = np.broadcast_arrays(addresses, is_active)
    assert (addresses[is_active] % n == 0).all()
    n_rest, n_threads = -len(addresses) % WARP, WARP // n
    addresses = np.pad(addresses, (0, n_rest)).reshape(-1, n_threads)
    is_active = np.pad(is_active, (0, n_rest)).reshape(-1, n_threads)
    worst = []
    for part, active in zip(addresses, is_active, strict=True):
        banks = np.unique(part[active]) // n % (BANKS // n)  # equal addresses are one access
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
    """Where the kernels keep the point e of frame f: its real part, and then its imaginary one."""
    return 2 * (place(e, layout.gap) * layout.n_frames + f)


@pytest.mark.parametrize("n_fft", SIZES)
def test_the_passes_are_the_fft(rng, n_fft):
    layout, n = of_size(n_fft), n_fft // 2
    assert math.prod(layout.radices) == n
    assert layout.radices[-1] <= 10
    x = rng.standard_normal(n_fft)
    z, table, first = x[0::2] + 1j * x[1::2], turns(layout).astype(complex), 0
    for radix, stride, n_butterflies in passes(layout):
        j, k = np.ogrid[:n_butterflies, :radix]
        inputs = z[source(j, k, n_butterflies)]
        factors = np.ones((n_butterflies, radix), dtype=complex)
        if stride > 1:
            ours = table[first : first + (radix - 1) * stride].reshape(radix - 1, stride)
            factors[:, 1:] = ours.T[j[:, 0] % stride]
            first += (radix - 1) * stride
        if stride == n_butterflies:  # the last one: opposite points, from the same twiddles
            opposite = np.array([mirror(i, n_butterflies) for i in range(n_butterflies)])
            opposite = np.fft.fft(inputs[opposite] * factors.conj())[:, -k[0] % radix]
        places = target(j, k, radix, stride)
        assert sorted(places.ravel()) == list(range(n))
        z = np.empty_like(z)
        z[places] = np.fft.fft(inputs * factors)
    expected = np.fft.fft(x[0::2] + 1j * x[1::2])
    np.testing.assert_allclose(z, expected, atol=1e-5 * n_fft**0.5)
    np.testing.assert_allclose(opposite, expected[-places % n], atol=1e-5 * n_fft**0.5)
    np.testing.assert_allclose(
        table[first:], np.exp(-2j * np.pi * np.arange(n) / n_fft), rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("n_fft", SIZES)
def test_places_are_regular_where_kernels_count_on_it(n_fft):
    layout = of_size(n_fft)
    for radix, stride, n_butterflies in passes(layout):
        j, k = np.ogrid[:n_butterflies, :radix]
        for points, step in (
            (source(j, k, n_butterflies), n_butterflies),
            (target(j, k, radix, stride), stride),
        ):
            places = place(points, layout.gap)
            if is_regular(layout, step, radix):
                apart = place(k * step, layout.gap)
                np.testing.assert_array_equal(places, places[:, :1] + apart)


@pytest.mark.parametrize("n_fft", SIZES)
def test_no_pass_has_more_than_two_way_bank_conflicts(n_fft):
    layout, n = of_size(n_fft), n_fft // 2
    found = []
    for radix, stride, n_butterflies in passes(layout):
        is_last = stride == n_butterflies
        n_units = n_butterflies // 2 + 1 if is_last else n_butterflies
        for j, f, active in units(layout, n_units * layout.n_frames):
            j = np.where(active, j, 0)
            opposite = np.where(j > 0, n_butterflies - j, 0)
            for k in range(radix):
                for butterfly in (j, opposite) if is_last else (j,):
                    if stride > 1:
                        e = source(butterfly, k, n_butterflies)
                        found.append(ways(point(layout, e, f), active, 2))
                if is_last:  # powers, which have no gaps
                    e = j + k * n_butterflies
                    found.append(ways(power_place(e, f, layout.n_frames), active))
                    found.append(ways(power_place(n - e, f, layout.n_frames), active))
                else:
                    e = target(j, k, radix, stride)
                    found.append(ways(point(layout, e, f), active, 2))
    found = np.concatenate(found)
    found = found[found > 0]
    assert found.max() <= (3 if n_fft == THREE_WAY else 2)
    if n_fft in (256, 400, 512, 1024, 2048, 4096):
        assert found.mean() <= 1.1


def cell(layout, row, column):
    """Where the kernels keep a sample."""
    return row * layout.row_pitch + column


@pytest.mark.parametrize("hop_length", [80, 160, 441, 512, 5000])
@pytest.mark.parametrize("n_fft", [256, 400, 512, 1024, 2048, 4096])
def test_samples_are_read_with_two_way_bank_conflicts_at_most(n_fft, hop_length):
    layout = of_size(n_fft, hop_length=hop_length)
    radix, n_butterflies = layout.radices[0], layout.n_points // layout.radices[0]
    n_at_once = 1 if layout.height % 2 else 2  # pairs of odd rows begin anywhere
    for j, f, active in units(layout, n_butterflies * layout.n_frames):
        for k in range(radix):
            t = np.where(active, 2 * source(j, k, n_butterflies), 0)
            row, column = divmod(t, layout.height)
            at = cell(layout, f + row, column)
            assert ways(at, active & (row == row[0]), n_at_once).max() <= 3 - n_at_once
            assert ways(at, active, n_at_once).mean() <= 2  # where they cross to another row, too
            assert at.max() < layout.n_shared


@pytest.mark.parametrize("hop_length", [1, 2, 3, 31, 32, 33, 160, 441])
@pytest.mark.parametrize("n_fft", [16, 400, 2048, 4096])
def test_every_sample_has_a_place_of_its_own(n_fft, hop_length):
    layout = of_size(n_fft, hop_length=hop_length)
    row, column = np.ogrid[: layout.n_rows, : layout.height]
    places = cell(layout, row, column).ravel()
    assert len(np.unique(places)) == len(places)
    assert places.max() < layout.n_shared
    assert layout.n_bytes <= 48 << 10


BANDS = [
    frontends.preset("whisper"),
    frontends.preset("kaldi"),
    frontends.preset("hifigan"),
    fastmel.MelConfig(log="db"),
    fastmel.MelConfig(sr=48000, n_fft=4096, hop_length=1024),
    fastmel.MelConfig(sr=16000, n_fft=16, hop_length=8, n_mels=3),
]


@pytest.mark.parametrize("config", BANDS)
def test_powers_are_read_with_few_bank_conflicts(config):
    layout, bands = layout_of(config), mel_plan(config).bands
    steps, _ = schedule(layout, bands.spans, bands.weights)
    found = []
    for i, f, active in units(layout, layout.n_mels * layout.n_frames):
        m = layout.n_mels - 1 - np.where(active, i, 0)
        begin, n_steps, _ = steps[:, m]
        assert (n_steps % STEPS == 0).all()
        for step in range(0, n_steps.max(), 2):
            reading = active & (step < n_steps)
            of_warps = ways(power_place(begin + step, f, layout.n_frames), reading, 2)
            found.append(of_warps[of_warps > 0])
    found = np.concatenate(found)
    assert found.max() <= 2
    assert found.mean() <= 1.25


@pytest.mark.parametrize("config", BANDS)
def test_bands_have_their_weights_and_zeros(config):
    layout, bands = layout_of(config), mel_plan(config).bands
    (begin, n_steps, position), table = schedule(layout, bands.spans, bands.weights)
    n_bins = layout.n_points + 1
    found = np.zeros((layout.n_mels, n_bins + STEPS))
    for m in range(layout.n_mels):
        step = np.arange(n_steps[m])
        pair = position[m] + step // 2 * n_together(layout)
        found[m, begin[m] + step] = table[pair, step % 2]
    expected, at = np.zeros((layout.n_mels, n_bins + STEPS)), 0
    for m, (first, n) in enumerate(bands.spans):
        expected[m, first : first + n] = bands.weights[at : at + n]
        at += n
    np.testing.assert_array_equal(found, expected)


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
    assert layout.n_threads <= 544
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
