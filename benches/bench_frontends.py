"""The front ends of known models against the code that their models come with, and streams.

The rivals are optional: one that is not installed is skipped, and named by ``pytest -rs``. All:

    pip install asrfront transformers torch torchaudio kaldi-native-fbank
"""

from functools import partial

import librosa
import numpy as np
import pytest

import fastmel


def noise(seconds, sr):
    """Noise: no transform or logarithm takes a short cut through it."""
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(round(seconds * sr))).astype(np.float32)


def torch_on_one_thread():
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


# Each rival takes a signal and gives the call that is measured, with what can be made beforehand.


def asrfront_whisper(y):
    whisper = pytest.importorskip("asrfront.whisper")
    return partial(whisper.log_mel, y, pad_or_trim=False)


def transformers_whisper(y):
    """The path that the extractor takes where PyTorch is not installed."""
    transformers = pytest.importorskip("transformers")
    extract = transformers.WhisperFeatureExtractor()._np_extract_fbank_features
    return partial(extract, y[None], "cpu")


def torch_whisper(y):
    """``log_mel_spectrogram`` of openai-whisper, its filters and window made beforehand."""
    torch = torch_on_one_thread()
    window = torch.hann_window(400)
    filters = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=400, n_mels=80))
    audio = torch.from_numpy(y)

    def log_mel():
        spectrum = torch.stft(audio, 400, 160, window=window, return_complex=True)
        mel = filters @ spectrum[..., :-1].abs() ** 2
        log_spec = torch.clamp(mel, min=1e-10).log10()
        return (torch.maximum(log_spec, log_spec.max() - 8.0) + 4.0) / 4.0

    return log_mel


WHISPER = {
    "asrfront": asrfront_whisper,
    "transformers, NumPy": transformers_whisper,
    "openai-whisper's with torch": torch_whisper,
}


@pytest.mark.parametrize("rival", WHISPER)
def bench_whisper(compare, rival):
    y = noise(30, 16000)
    compare(partial(fastmel.frontend("whisper"), y), {rival: WHISPER[rival](y)})


def asrfront_fbank(y):
    """SenseVoice's: with a Hamming window where the other rivals have Povey's."""
    return partial(pytest.importorskip("asrfront.sensevoice").fbank_raw, y)


def torchaudio_fbank(y):
    torch = torch_on_one_thread()
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    waveform = torch.from_numpy(y * 32768)[None]
    return partial(kaldi.fbank, waveform, num_mel_bins=80, sample_frequency=16000)


def kaldi_native_fbank(y):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    samples = y * 32768

    def fbank():
        extractor = knf.OnlineFbank(options)
        extractor.accept_waveform(16000, samples.tolist())
        extractor.input_finished()
        return np.stack([extractor.get_frame(t) for t in range(extractor.num_frames_ready)])

    return fbank


KALDI = {
    "asrfront": asrfront_fbank,
    "torchaudio": torchaudio_fbank,
    "kaldi-native-fbank": kaldi_native_fbank,
}


@pytest.mark.parametrize("rival", KALDI)
def bench_kaldi(compare, rival):
    y = noise(30, 16000)
    compare(partial(fastmel.frontend("kaldi"), y), {rival: KALDI[rival](y)})


def librosa_hifigan(y):
    """The formula of HiFi-GAN's ``mel_spectrogram`` with librosa's transform."""
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000)

    def mel_spectrogram():
        padded = np.pad(y, 384, mode="reflect")
        spectrum = librosa.stft(padded, n_fft=1024, hop_length=256, center=False)
        magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
        return np.log(np.maximum(filters @ magnitude, 1e-5))

    return mel_spectrogram


def torch_hifigan(y):
    """``mel_spectrogram`` of HiFi-GAN, its filters and window made beforehand."""
    torch = torch_on_one_thread()
    window = torch.hann_window(1024)
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000)
    filters, audio = torch.from_numpy(filters), torch.from_numpy(y)[None]

    def mel_spectrogram():
        padded = torch.nn.functional.pad(audio[None], (384, 384), mode="reflect")[0]
        spectrum = torch.stft(padded, 1024, 256, window=window, center=False, return_complex=True)
        magnitude = torch.sqrt(torch.view_as_real(spectrum).pow(2).sum(-1) + 1e-9)
        return torch.log(torch.clamp(torch.matmul(filters, magnitude), min=1e-5))

    return mel_spectrogram


HIFIGAN = {
    "librosa's with NumPy": librosa_hifigan,
    "HiFi-GAN's with torch": torch_hifigan,
}


@pytest.mark.parametrize("rival", HIFIGAN)
def bench_hifigan(compare, rival):
    y = noise(10, 22050)
    compare(partial(fastmel.frontend("hifigan"), y), {rival: HIFIGAN[rival](y)})


@pytest.mark.parametrize("chunk_ms", [10, 100, 1000])
@pytest.mark.parametrize("name", ["kaldi", "whisper", "hifigan"])
def bench_stream(benchmark, compare, name, chunk_ms):
    """The same frames, 30 s pushed in chunks, against one call."""
    transform = fastmel.frontend(name, top_db=None)
    y = noise(30, transform.sample_rate)
    size = round(chunk_ms / 1000 * transform.sample_rate)
    chunks = [y[first : first + size] for first in range(0, len(y), size)]

    def pushed():
        stream = transform.stream()
        for chunk in chunks:
            stream.push(chunk)
        stream.flush()

    compare(pushed, {"one call": partial(transform, y)})
    benchmark.extra_info["pushes"] = len(chunks)


@pytest.mark.skipif(fastmel.get_num_threads() < 2, reason="needs two cores")
@pytest.mark.parametrize("name", ["kaldi", "whisper", "hifigan"])
def bench_list_with_two_threads(compare, name):
    """64 signals of 1 to 15 s."""
    transform = fastmel.frontend(name)
    seconds = np.random.default_rng(0).uniform(1, 15, size=64)
    signals = [noise(length, transform.sample_rate) for length in seconds]

    def with_threads(n):
        fastmel.set_num_threads(n)
        return transform(signals)

    compare(partial(with_threads, 2), {"one thread": partial(with_threads, 1)})
