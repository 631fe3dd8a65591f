import inspect
import pickle

import librosa
import numpy as np
import pytest

import fastmel


def test_signature_is_the_configuration_s():
    parameters = inspect.signature(fastmel.MelSpectrogram).parameters
    fields = inspect.signature(fastmel.MelConfig).parameters
    named = [name for name in parameters if name not in ("engine", "more")]
    assert named == list(fields)[: len(named)]  # those that librosa has a name for
    assert [parameters[name].default for name in named] == [fields[name].default for name in named]


def test_decibels_are_librosa_s(speech):
    y = speech(22050, 2.0)
    mel = librosa.feature.melspectrogram(y=y)
    for options in ({"top_db": 80}, {"top_db": 30, "ref": "max"}, {"ref": 0.3}, {"ref": "max"}):
        found = fastmel.MelSpectrogram(log="db", **options)(y)
        reference = {**options, "ref": mel.max()} if options.get("ref") == "max" else options
        expected = librosa.power_to_db(mel, **{"top_db": None, **reference})
        loud = expected > expected.max() - 60
        np.testing.assert_allclose(found[loud], expected[loud], rtol=0, atol=1e-3)
        assert found.min() >= expected.min() - 1e-3
        if options.get("ref") == "max":
            assert found.max() == 0


def test_top_db_is_each_signal_s_own(rng):
    y = rng.standard_normal((2, 8000)).astype(np.float32) * np.float32([[1], [1e-4]])
    transform = fastmel.MelSpectrogram(log="db", top_db=20)
    both = transform(y)
    np.testing.assert_array_equal(both, [transform(y[0]), transform(y[1])])


def test_out_is_filled_and_checked(rng):
    y = rng.standard_normal(4000).astype(np.float32)
    transform = fastmel.MelSpectrogram()
    expected = transform(y)
    out = np.full(expected.shape, np.nan, dtype=np.float32)
    assert transform(y, out=out) is out
    np.testing.assert_array_equal(out, expected)
    frozen = out.copy()
    frozen.flags.writeable = False
    for bad in (out[:-1], out.astype(float), out.T.copy().T, frozen):
        with pytest.raises(fastmel.ParameterError, match=r"C-contiguous.*\(128, 8\)"):
            transform(y, out=bad)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(4000, dtype=np.int16), "floating-point"),
        (np.float32(0.5), "one-dimensional"),
        (np.zeros(4000, dtype=complex), "floating-point"),
        (["a", "b"], "floating-point"),
    ],
)
def test_signals_are_checked(y, message):
    with pytest.raises(fastmel.ParameterError, match=message):
        fastmel.MelSpectrogram()(y)


def test_signals_without_a_frame():
    for transform, n_least in (
        (fastmel.MelSpectrogram(center=False), 2048),
        (fastmel.frontend("whisper"), 160),
        (fastmel.frontend("hifigan"), 256),
        (fastmel.frontend("passt", padding=(0, 0)), 1025),
    ):
        with pytest.raises(
            fastmel.ParameterError,
            match=f"{n_least - 1} samples is too short for a frame; give at least {n_least} ",
        ):
            transform(np.zeros(n_least - 1, dtype=np.float32))
        assert transform(np.zeros(n_least, dtype=np.float32)).shape[-1] == 1
    with pytest.raises(fastmel.ParameterError, match="empty signal"):
        fastmel.MelSpectrogram(pad_mode="reflect")(np.zeros(0, dtype=np.float32))


def test_no_signals_give_no_results():
    found = fastmel.MelSpectrogram()(np.zeros((0, 3, 4000), dtype=np.float32))
    assert found.shape == (0, 3, 128, 8)


def test_hop_length_none_is_a_quarter_of_the_window():
    assert fastmel.MelSpectrogram(hop_length=None).config.hop_length == 512
    assert fastmel.MelSpectrogram(hop_length=None, win_length=1000).config.hop_length == 250


def test_empty_bands_are_warned_of():
    with pytest.warns(UserWarning, match="Empty filters"):
        fastmel.MelSpectrogram(n_fft=512, n_mels=256)
    y = np.zeros(4000, dtype=np.float32)
    for _ in range(2):  # at every call, as librosa does
        with pytest.warns(UserWarning, match="Empty filters") as caught:
            fastmel.feature.melspectrogram(y=y, n_fft=512, n_mels=256)
        assert [w.filename for w in caught] == [__file__]


def test_lists_are_float64():
    assert fastmel.MelSpectrogram()([0.0] * 4000).dtype == np.float64


def test_repr_names_the_engine():
    assert repr(fastmel.MelSpectrogram(n_mels=40)) == "MelSpectrogram(n_mels=40, engine='fused')"


@pytest.mark.parametrize("name", ["whisper", "nemo", "kaldi", "sensevoice", "kaldi-mfcc"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_list_of_signals_is_a_list_of_results(rng, name, threads):
    transform = fastmel.frontend(name)
    lengths = [16000, 400, 7000, 401, 32011, 900, 16000, 1000]
    signals = [rng.standard_normal(n).astype(np.float32) for n in lengths]
    before = fastmel.get_num_threads()
    try:
        fastmel.set_num_threads(threads)
        results = transform(signals)
    finally:
        fastmel.set_num_threads(before)
    assert isinstance(results, list)
    for y, result in zip(signals, results, strict=True):
        np.testing.assert_array_equal(result, transform(y))
    padded, n_frames = transform.batch(signals)
    is_turned = transform.config.layout == "frames_first"
    assert padded.shape[0] == len(signals)
    for row, result, n in zip(padded, results, n_frames, strict=True):
        row, result = (row.T, result.T) if is_turned else (row, result)
        assert result.shape[1] == n
        np.testing.assert_array_equal(row[:, :n], result)
        np.testing.assert_array_equal(row[:, n:], transform.config.pad_value)


def test_lists_are_checked(rng):
    transform = fastmel.frontend("kaldi")
    y = rng.standard_normal(1000).astype(np.float32)
    assert transform([y[:10], y])[0].shape == (0, 80)
    with pytest.raises(fastmel.ParameterError, match="has no single out"):
        transform([y], out=np.empty((1, 4, 80), dtype=np.float32))
    with pytest.raises(fastmel.ParameterError, match="no signal to make a batch of"):
        transform.batch([])
    with pytest.raises(fastmel.ParameterError, match="floating-point, not int16"):
        transform([y, np.zeros(1000, dtype=np.int16)])
    with pytest.raises(fastmel.ParameterError, match="not finite"):
        transform([y, np.full(1000, np.nan, dtype=np.float32)])


def test_lists_of_several_lengths_are_signals():
    transform = fastmel.frontend("kaldi")
    lists = [[0.5] * 1000, [0.5] * 400]
    found = transform(lists)
    assert [result.shape for result in found] == [(4, 80), (1, 80)]
    for result, y in zip(found, lists, strict=True):
        np.testing.assert_array_equal(result, transform(np.array(y)))
    assert transform([[0.5] * 1000] * 2).shape == (2, 4, 80)


def test_a_batch_is_of_signals_with_one_axis(rng):
    wave = rng.standard_normal((1, 1000)).astype(np.float32)
    with pytest.raises(fastmel.ParameterError, match=r"shape \(1, 1000\).*give wave\[0\]"):
        fastmel.frontend("kaldi").batch([wave, wave])


def test_frames_and_times_are_those_of_the_result(rng):
    for name in fastmel.frontends.names():
        transform = fastmel.frontend(name)
        time = -1 if transform.config.layout == "mels_first" else 0
        for n_samples in (600, 1600, 1601, 16000):
            result = transform(rng.standard_normal(n_samples).astype(np.float32))
            assert transform.frames(n_samples) == result.shape[time], (name, n_samples)
            assert len(transform.times(result.shape[time])) == result.shape[time]
    # an impulse is loudest in the frame whose time is nearest
    for name, normalize in (("whisper", None), ("kaldi", None), ("k2", None), ("hifigan", None)):
        transform = fastmel.frontend(name, normalize=normalize)
        y = np.zeros(16000, dtype=np.float32)
        y[8000] = 0.9
        result = transform(y)
        result = result if transform.config.layout == "mels_first" else result.T
        loudest = result.astype(float).mean(axis=0).argmax()
        times = transform.times(result.shape[1])
        assert abs(times - 8000 / transform.sample_rate).argmin() == loudest, name


def test_it_can_be_pickled(rng):
    transform = fastmel.frontend("seamless", engine="scipy")
    copy = pickle.loads(pickle.dumps(transform))
    assert repr(copy) == repr(transform)
    y = rng.standard_normal(4000).astype(np.float32)
    np.testing.assert_array_equal(copy(y), transform(y))


def test_every_field_of_the_configuration_can_be_given():
    transform = fastmel.MelSpectrogram(preemphasis=0.9, layout="frames_first")
    assert transform.config == fastmel.MelConfig(preemphasis=0.9, layout="frames_first")
    with pytest.raises(fastmel.ParameterError, match="MelConfig has no premphasis"):
        fastmel.MelSpectrogram(premphasis=0.9)


def test_tensors_give_tensors(rng):
    torch = pytest.importorskip("torch")
    transform = fastmel.frontend("kaldi")
    y = rng.standard_normal((2, 4000)).astype(np.float32)
    found = transform(torch.from_numpy(y))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), transform(y))
    out = torch.empty(2, 23, 80)
    assert transform(torch.from_numpy(y), out=out) is out
    np.testing.assert_array_equal(out.numpy(), transform(y))
    listed = transform([torch.from_numpy(row) for row in y])
    assert all(isinstance(result, torch.Tensor) for result in listed)
    padded, lengths = transform.batch([torch.from_numpy(row) for row in y])
    assert isinstance(padded, torch.Tensor)
    assert isinstance(lengths, torch.Tensor)
    parts = torch.from_numpy(y[0]).split(1000)
    streamed = torch.cat(list(transform.stream().frames_of(parts)))
    np.testing.assert_array_equal(streamed.numpy(), transform(y[0]))
