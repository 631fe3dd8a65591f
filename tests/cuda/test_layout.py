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
    bins,
    factors,
    first_table,
    input_place,
    n_together,
    opposite_places,
    output_order,
    power_place,
    schedule,
    turns,
)
from fastmel.engines.plan import mel_plan

BANKS, WARP, SECTOR = 32, 32, 8  # a sector of memory: 8 values of 4 bytes
SIZES = [n for n in range(16, 4097, 2) if factors(n)[0]]
#: lengths of an FFT with many factors of 3, two frames of which are transformed at once
THREE_WAY = (3240, 4050)
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


def units(layout, n_units, n_lanes=None):
    """The (j, f) of the threads in every round of a pass, and which of them have work."""
    n_lanes = n_lanes or layout.n_frames
    for first in range(0, n_units, layout.n_threads):
        unit = first + np.arange(layout.n_threads)
        yield unit // n_lanes, unit % n_lanes, unit < n_units


def number(layout, row, p, f):
    """Where the kernels keep number p of a row of frame f: its real part, and then the other."""
    return 2 * ((row * layout.spectrum_pitch + p) * layout.n_frames + f)


def transforms(layout, at):
    """The transforms of a pass over rows: block of a row, column there, row, frame, active ones."""
    n_apart = math.prod(layout.radices[at + 1 :])
    for i, f, active in units(layout, layout.n_units(at + 1)):
        i, row = np.divmod(np.where(active, i, 0), layout.n_spectra)
        block, j = np.divmod(i, n_apart)
        yield block, j, row, f, active


def test_lengths_of_an_fft():
    smooth = [n for n in range(16, 4097, 2) if 30**12 % n == 0]
    assert smooth == SIZES
    for n_fft in SIZES:
        first, radices = factors(n_fft)
        assert first * math.prod(radices) == n_fft
        assert len(radices) >= 1
    assert factors(400) == (25, (16,))
    assert factors(512) == (32, (16,))
    assert factors(2048) == (32, (8, 8))
    assert factors(14) == factors(42) == (0, ())


@pytest.mark.parametrize("n_fft", SIZES)
def test_the_passes_are_the_fft(rng, n_fft):
    layout = of_size(n_fft)
    n_columns, radix, table = layout.n_columns, layout.real_radix, turns(layout)
    n_turns = len(table) - (0 if layout.is_regular else bins(layout).size)
    table = table[:n_turns].view(np.complex64).astype(complex)
    x = rng.standard_normal(n_fft)
    at = [[input_place(layout, p, k) for k in range(radix)] for p in range(n_columns)]
    assert sorted(np.ravel(at)) == list(range(n_fft))
    rows = np.fft.rfft(x[at]).T
    first = 0
    if not layout.is_coprime:
        first = rows.size
        rows = rows * table[:first].reshape(n_columns, -1).T
    rows = rows[:, np.newaxis]  # rows, blocks, numbers of a block
    for this in layout.radices[:-1]:
        n_blocks, n_apart = rows.shape[1], rows.shape[2] // this
        rows = np.fft.fft(rows.reshape(-1, n_blocks, this, n_apart), axis=2)
        factor = table[first : first + (this - 1) * n_apart].reshape(this - 1, n_apart)
        first += factor.size
        rows[:, :, 1:] *= factor
        rows = rows.reshape(layout.n_spectra, n_blocks * this, n_apart)
    assert first == n_turns
    found, places = np.fft.fft(rows).T, bins(layout)
    assert sorted(set(places[places >= 0])) == list(range(n_fft // 2 + 1))
    expected = np.abs(np.fft.rfft(x))
    is_once = places >= 0
    np.testing.assert_allclose(
        np.abs(found)[is_once], expected[places[is_once]], rtol=0, atol=1e-5 * n_fft**0.5
    )


@pytest.mark.parametrize("n_fft", SIZES)
def test_each_power_is_written_by_one_thread(n_fft):
    layout = of_size(n_fft)
    places = bins(layout)  # numbers of the output, transforms, rows
    for bin_ in range(n_fft // 2 + 1):
        writers = {tuple(at[1:]) for at in np.argwhere(places == bin_)}
        assert len(writers) == 1


@pytest.mark.parametrize("n_fft", SIZES)
def test_regular_places_of_powers(n_fft):
    layout = of_size(n_fft)
    if not layout.is_regular:
        places = turns(layout)[-bins(layout).size :].astype(np.int64).reshape(bins(layout).shape)
        expected = power_place(bins(layout), 0, layout.n_frames)
        np.testing.assert_array_equal(places, np.where(bins(layout) < 0, -1, expected))
        return
    radix, real_radix, n_frames = layout.radices[-1], layout.real_radix, layout.n_frames
    n_blocks, expected = layout.n_columns // radix, bins(layout)
    block, row = np.ogrid[:n_blocks, : layout.n_spectra]
    bin_, opposite = real_radix * output_order(layout.radices, block) + row, real_radix * n_blocks
    low, high = opposite_places(bin_, 0, opposite, n_frames)
    for k in range(radix):
        if k < radix // 2:
            found = low + k * real_radix * n_blocks * n_frames
        else:
            found = high + (radix - 1 - k) * real_radix * n_blocks * n_frames
        written = expected[k] >= 0
        if k > radix // 2:
            assert not written[:, [0, -1]].any()
        np.testing.assert_array_equal(
            found[written], power_place(expected[k], 0, n_frames)[written]
        )


@pytest.mark.parametrize("n_fft", SIZES)
def test_no_pass_has_more_than_two_way_bank_conflicts(n_fft):
    layout, found, places = of_size(n_fft), [], bins(of_size(n_fft))
    for p, f, active in units(layout, layout.n_units(0)):
        at = number(layout, 0, np.where(active, p, 0), f)
        found += [ways(at, active, 2)] * layout.n_spectra  # the rows, all alike
    for at, radix in enumerate(layout.radices):
        n_apart = math.prod(layout.radices[at + 1 :])
        for block, j, row, f, active in transforms(layout, at):
            for k in range(radix):
                p = block * radix * n_apart + j + k * n_apart
                found.append(ways(number(layout, row, p, f), active, 2))
                if at + 1 == len(layout.radices):
                    bin_ = places[k, block, row]
                    address = power_place(np.maximum(bin_, 0), f, layout.n_frames)
                    found.append(ways(address, active & (bin_ >= 0)))
    found = np.concatenate(found)
    found = found[found > 0]
    assert found.max() <= (3 if n_fft in THREE_WAY else 2)
    if n_fft in (256, 400, 512, 1024, 2048, 4096):
        assert found.mean() <= 1.2


def cell(layout, row, column):
    """Where the kernels keep a sample."""
    return row * layout.row_pitch + column


@pytest.mark.parametrize("hop_length", [80, 160, 441, 512, 5000])
@pytest.mark.parametrize("n_fft", [256, 400, 512, 1024, 2048, 4096])
def test_samples_are_read_with_two_way_bank_conflicts_at_most(n_fft, hop_length):
    layout = of_size(n_fft, hop_length=hop_length)
    t = np.array(
        [
            [input_place(layout, p, k) for k in range(layout.real_radix)]
            for p in range(layout.n_columns)
        ]
    )
    for p, f, active in units(layout, layout.n_units(0)):
        for k in range(layout.real_radix):
            row, column = divmod(t[np.where(active, p, 0), k], layout.height)
            at = cell(layout, f + row, column)
            assert ways(at, active & (row == row[0])).max() <= (2 if layout.is_coprime else 1)
            assert ways(at, active).mean() <= 2  # where they cross to another row, too
            assert at.max() < layout.n_shared


@pytest.mark.parametrize("hop_length", [80, 160, 441, 5000])
@pytest.mark.parametrize("n_fft", [60, 400, 480, 512, 2048])
def test_columns_have_their_window_and_samples(rng, n_fft, hop_length):
    layout, window = of_size(n_fft, hop_length=hop_length), rng.uniform(1, 2, n_fft)
    table, radix = first_table(layout, window), layout.real_radix
    for p in range(layout.n_columns):
        at = np.array([input_place(layout, p, k) for k in range(radix)])
        if layout.has_plain_columns:
            numbers = table.view(np.float32).reshape(layout.n_columns, -1)[p, :radix]
            assert (np.diff(at) == layout.n_columns).all()
        else:
            entries = table.reshape(layout.n_columns, radix)[p]
            numbers = entries.astype(np.uint32).view(np.float32)
            expected = cell(layout, *divmod(at, layout.height))
            np.testing.assert_array_equal(entries >> np.uint64(32), expected)
        np.testing.assert_array_equal(numbers, window[at].astype(np.float32))


@pytest.mark.parametrize("hop_length", [1, 2, 3, 31, 32, 33, 160, 441])
@pytest.mark.parametrize("n_fft", [16, 400, 2048, 4096])
def test_every_sample_has_a_place_of_its_own(n_fft, hop_length):
    layout = of_size(n_fft, hop_length=hop_length)
    row, column = np.ogrid[: layout.n_rows, : layout.height]
    places = cell(layout, row, column).ravel()
    assert len(np.unique(places)) == len(places)
    assert places.max() < layout.n_shared
    assert layout.n_bytes <= 48 << 10


@pytest.mark.parametrize(
    ("scale", "amin", "exponent"),
    [(1, 1e-10, 0), (32768, 1e-10, 30), (32768, 2e-38, 0), (2**-15, 1e-10, -30)],
)
def test_logarithms_are_of_numbers_near_one_and_not_subnormal(scale, amin, exponent):
    config = fastmel.MelConfig(log="ln", amin=amin, scale=scale)
    layout = layout_of(config)
    smallest, added, factor, offset, floor = layout.log
    assert layout.exponent == exponent
    assert smallest == amin / 2**exponent >= np.finfo(np.float32).tiny
    assert added == 0
    np.testing.assert_allclose(factor * math.log2(smallest) + offset, floor)


BANDS = [
    frontends.preset("whisper"),
    frontends.preset("kaldi"),
    frontends.preset("hifigan"),
    fastmel.MelConfig(log="db"),
    fastmel.MelConfig(sr=48000, n_fft=4096, hop_length=1024),
    fastmel.MelConfig(sr=16000, n_fft=16, hop_length=8, n_mels=3),
]


def sums(layout):
    """The band and the first frame of the threads that sum, and which of them have work."""
    for i, lane, active in units(layout, layout.n_mels * layout.n_lanes, layout.n_lanes):
        yield layout.n_mels - 1 - np.where(active, i, 0), lane * layout.n_frames_each, active


@pytest.mark.parametrize("config", BANDS)
def test_powers_are_read_with_few_bank_conflicts(config):
    layout, bands = layout_of(config), mel_plan(config).bands
    steps, _ = schedule(layout, bands.spans, bands.weights)
    found = []
    for m, f, active in sums(layout):
        begin, n_steps, _ = steps[:, m]
        assert (n_steps % STEPS == 0).all()
        for step in range(0, n_steps.max(), 2):
            reading = active & (step < n_steps)
            places = power_place(begin + step, f, layout.n_frames)
            of_warps = ways(places, reading, 2 * layout.n_frames_each)
            found.append(of_warps[of_warps > 0])
    found = np.concatenate(found)
    assert found.max() <= 2
    assert found.mean() <= 1.25


@pytest.mark.parametrize("config", BANDS)
def test_bands_are_written_with_two_way_bank_conflicts_at_most(config):
    layout = layout_of(config)
    for m, f, active in sums(layout):
        for k in range(layout.n_frames_each):
            assert ways(m * layout.tile_pitch + f + k, active).max() <= 2


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
    assert layout.n_threads <= 512
    # 1024 threads in whole blocks have 56 registers each, or more
    assert 65536 // (-(-1024 // layout.n_threads) * layout.n_threads) >= 56
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
