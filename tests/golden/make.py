"""Run other packages' front ends and keep what they give, for tests that need none of them.

In an environment of its own, with Python 3.11 (the CPU builds of torch and torchaudio do):

    pip install torch==2.13.0 && pip install --no-deps torchaudio==2.11.0
    pip install --no-deps -r tests/golden/requirements.txt
    pip install --no-deps --target $VIRTUAL_ENV/nemo-2.4 nemo_toolkit==2.4.0
    pip install --no-deps --target $VIRTUAL_ENV/nemo-3.0 nemo_toolkit==3.0.0
    python tests/golden/make.py [front ends]

Writes a file for each front end, all of them or those that are named, and `index.json`: with which
options fastmel's is to give the same, and what made it.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.signal import lfilter

HERE = Path(__file__).parent
INDEX = HERE / "index.json"
NEMO = {release: Path(sys.prefix) / f"nemo-{release}" for release in ("2.4", "3.0")}

#: for options: as long as it takes to show them
SHORT = 2500
#: as long as gives an odd number of frames, of which the last is paired with padding
ODD = 2400


@dataclass(frozen=True)
class Case:
    """One reference: what it is, and the front end of fastmel that must give the same."""

    preset: str
    options: dict[str, Any]
    package: str
    version: str
    what: str
    run: Callable[..., Any]
    cut: int | None

    @property
    def name(self) -> str:
        """What its features are kept under."""
        options = [f"{key}={value}" for key, value in self.options.items()]
        cut = [f"of {self.cut} samples"] if self.cut else []
        return " ".join([self.package, self.what, *options, *cut])


CASES: list[Case] = []


def golden(
    preset: str,
    package: str,
    what: str,
    *,
    release: str | None = None,
    cut: int | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a reference: a function of the signal and the front end's options."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        release_ = release or version(package)
        CASES.append(Case(preset, options, package, release_, what, function, cut))
        return function

    return add


def make_signals() -> dict[str, np.ndarray]:
    """Make 16-bit signals, for any sampling rate.

    "noisy": harmonics in bursts and a chirp over noise, which leaves no band so quiet that the
    rounding of float32 shows. "edges": silence, an impulse, a tone and a constant over noise at
    -60 dB, and near silence, one after the other.
    """
    rng = np.random.default_rng(20261122)
    t = np.arange(8003)
    pitch = 2 * np.pi * np.cumsum(0.008 + 0.001 * np.sin(2 * np.pi * t / 4000))
    voice = sum(np.sin(k * pitch) / k for k in range(1, 40)) * np.clip(np.sin(t / 500), 0, None)
    chirp = np.sin(2 * np.pi * t**2 * 0.25 / len(t))
    hiss, rumble = 5e-3 * rng.standard_normal((2, len(t)))
    noisy = 0.1 * voice + 0.02 * chirp + hiss + lfilter([1.0], [1.0, -0.95], rumble)

    edges = np.zeros(5301)
    edges[1200] = 0.5
    edges[2000:3000] = 0.1 * np.sin(2 * np.pi * 0.0371 * t[:1000])
    edges[3000:4000] = 0.25
    edges[2000:4000] += 1e-3 * rng.standard_normal(2000)
    edges[4000:] = 2e-5 * rng.standard_normal(1301)  # bits that come and go
    signals = {"noisy": noisy, "edges": edges}
    return {name: np.round(y * 32768).astype(np.int16) for name, y in signals.items()}


@cache
def load_file(
    package: str, path: str, absent: tuple[str, ...] = (), root: Path | None = None
) -> ModuleType:
    """Import one file of a package alone, without what its features do not use."""
    folder = root / package if root else Path(find_spec(package).submodule_search_locations[0])
    spec = spec_from_file_location(f"{package}_{Path(path).stem}", folder / path)
    module = module_from_spec(spec)
    sys.modules.update({name: mock.MagicMock() for name in absent})
    spec.loader.exec_module(module)
    for name in absent:
        del sys.modules[name]
    return module


def row(y: np.ndarray) -> torch.Tensor:
    """Return the signal as a batch of one."""
    return torch.from_numpy(y)[None]


def onnx_asr(y, kind, name):
    from onnx_asr.preprocessors import numpy_preprocessor

    preprocessor = getattr(numpy_preprocessor, f"{kind}PreprocessorNumpy")(name)
    features, lengths = preprocessor(y[None], np.array([len(y)]))
    return features[0], lengths[0]


# Whisper


@golden("whisper", "openai-whisper", "log_mel_spectrogram")
@golden("whisper", "openai-whisper", "log_mel_spectrogram", n_mels=128)
def openai_whisper(y, n_mels=80):
    from whisper.audio import log_mel_spectrogram

    return log_mel_spectrogram(y, n_mels=n_mels)


@golden("whisper", "transformers", "WhisperFeatureExtractor, NumPy")
def hf_whisper_numpy(y):
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor()._np_extract_fbank_features(y[None], device="cpu")[0]


@golden("whisper", "transformers", "WhisperFeatureExtractor, torch", padding="30s")
@golden("whisper", "transformers", "WhisperFeatureExtractor, torch", padding="30s", n_mels=128)
def hf_whisper(y, padding, n_mels=80):
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=n_mels)(y, sampling_rate=16000).input_features[0]


@golden("whisper", "faster-whisper", "FeatureExtractor", padding="faster-whisper")
def faster_whisper(y, padding):
    return load_file("faster_whisper", "feature_extractor.py").FeatureExtractor()(y)


# NeMo


def nemo_features(y, release, **options):
    absent = (
        "nemo.utils",
        "nemo.collections.asr.parts.preprocessing.perturb",
        "nemo.collections.asr.parts.preprocessing.segment",
    )
    path = "collections/asr/parts/preprocessing/features.py"
    filterbank = load_file("nemo", path, absent, NEMO[release]).FilterbankFeatures(
        sample_rate=16000, n_window_size=400, n_window_stride=160, n_fft=512, pad_to=0, **options
    )
    features, lengths = filterbank.eval()(row(y), torch.tensor([len(y)]))
    return features[0, :, : lengths[0]]


@golden("nemo", "nemo_toolkit", "FilterbankFeatures", release="3.0.0")
@golden("nemo", "nemo_toolkit", "FilterbankFeatures", release="3.0.0", n_mels=128)
@golden("nemo", "nemo_toolkit", "FilterbankFeatures", release="3.0.0", normalize=None)
def nemo(y, n_mels=80, normalize="per_feature"):
    return nemo_features(y, "3.0", nfilt=n_mels, normalize=normalize)


@golden("nemo", "nemo_toolkit", "FilterbankFeatures", release="3.0.0", normalize_over="all")
def nemo_all_features(y, normalize_over):
    return nemo_features(y, "3.0", nfilt=80, normalize="all_features")


@golden("nemo", "nemo_toolkit", "FilterbankFeatures", release="2.4.0", rule="2.4")
def nemo_before_25(y, rule):
    return nemo_features(y, "2.4", nfilt=80, normalize="per_feature")


@golden("nemo", "transformers", "ParakeetFeatureExtractor", layout="frames_first")
def parakeet(y, layout):
    from transformers import ParakeetFeatureExtractor

    made = ParakeetFeatureExtractor()(y, sampling_rate=16000)
    return made.input_features[0][made.attention_mask[0]]


@golden("nemo", "onnx-asr", "NemoPreprocessorNumpy", n_mels=128)
def onnx_asr_nemo(y, n_mels):
    features, length = onnx_asr(y, "Nemo", "nemo128")
    return features[:, :length]


# Kaldi

#: names of fastmel's options, and torchaudio's
TORCHAUDIO_NAMES = {
    "n_mels": "num_mel_bins",
    "n_mfcc": "num_ceps",
    "sr": "sample_frequency",
    "frame_length_ms": "frame_length",
    "frame_shift_ms": "frame_shift",
    "window": "window_type",
    "preemphasis": "preemphasis_coefficient",
    "remove_dc": "remove_dc_offset",
}


def torchaudio_kaldi(function, y, scale=32768.0, **options):
    from torchaudio.compliance import kaldi

    named = {TORCHAUDIO_NAMES.get(name, name): value for name, value in options.items()}
    return getattr(kaldi, function)(scale * row(y), **{"energy_floor": 0.0, **named})


@golden("kaldi", "torchaudio", "compliance.kaldi.fbank")
def kaldi(y, **options):
    return torchaudio_kaldi("fbank", y, **{"num_mel_bins": 80, **options})


@golden("kaldi-mfcc", "torchaudio", "compliance.kaldi.mfcc")
def kaldi_mfcc(y, **options):
    return torchaudio_kaldi("mfcc", y, **{"use_energy": True, **options})


FBANK_OPTIONS: list[dict[str, Any]] = [
    {"n_mels": 23},
    {"sr": 8000, "n_mels": 40},
    {"sr": 11025, "n_mels": 40},
    {"frame_length_ms": 32.0, "frame_shift_ms": 12.5},
    {"window": "hamming"},
    {"window": "hanning"},
    {"window": "rectangular"},
    {"window": "blackman"},
    {"window": "blackman", "blackman_coeff": 0.4},
    {"snip_edges": False},
    {"snip_edges": False, "frame_length_ms": 25.1, "frame_shift_ms": 10.1},
    {"round_to_power_of_two": False},
    {"low_freq": 64.0, "high_freq": -400.0},
    {"high_freq": 7000.0},
    {"use_power": False},
    {"use_log_fbank": False, "scale": 1.0},
    {"use_energy": True},
    {"use_energy": True, "raw_energy": False},
    {"use_energy": True, "energy_floor": 1e6, "htk_compat": True},
    {"subtract_mean": True},
    {"preemphasis": 0.0, "remove_dc": False},
    {"vtln_warp": 0.9},
    {"vtln_warp": 1.15, "vtln_low": 60.0, "vtln_high": 7200.0},
]
MFCC_OPTIONS: list[dict[str, Any]] = [
    {"n_mfcc": 20, "n_mels": 40, "cepstral_lifter": 0.0},
    {"use_energy": False},
    {"use_energy": False, "htk_compat": True},
    {"htk_compat": True, "raw_energy": False},
    {"vtln_warp": 1.1},
]
for options in FBANK_OPTIONS:
    golden("kaldi", "torchaudio", "compliance.kaldi.fbank", cut=SHORT, **options)(kaldi)
for options in MFCC_OPTIONS:
    golden("kaldi-mfcc", "torchaudio", "compliance.kaldi.mfcc", cut=SHORT, **options)(kaldi_mfcc)


def knf_features(computer, y):
    computer.accept_waveform(16000, (32768 * y).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])


@golden("kaldi", "kaldi-native-fbank", "OnlineFbank")
def knf_fbank(y):
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    return knf_features(knf.OnlineFbank(options), y)


@golden("kaldi-mfcc", "kaldi-native-fbank", "OnlineMfcc")
def knf_mfcc(y):
    import kaldi_native_fbank as knf

    options = knf.MfccOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 23
    return knf_features(knf.OnlineMfcc(options), y)


@golden("k2", "lhotse", "Fbank")
def lhotse(y):
    from lhotse import Fbank

    return Fbank().extract(y, 16000)


@golden("k2", "onnx-asr", "KaldiPreprocessorNumpy")
def onnx_asr_k2(y):
    features, length = onnx_asr(y, "Kaldi", "kaldi")
    return features[:length]


@golden("wespeaker", "onnx-asr", "KaldiPreprocessorNumpy", normalize=None, scale=1.0)
def onnx_asr_wespeaker(y, normalize, scale):
    return onnx_asr(y, "Kaldi", "wespeaker")[0]


@golden("wespeaker", "torchaudio", "compliance.kaldi.fbank as WeSpeaker's infer_onnx.py calls it")
def wespeaker(y):
    features = torchaudio_kaldi("fbank", y, num_mel_bins=80, window="hamming")
    return features - features.mean(dim=0)


@golden("sensevoice", "funasr", "WavFrontend")
@golden("sensevoice", "funasr", "WavFrontend", shift=-10.0, scale=0.25)
@golden("sensevoice", "funasr", "WavFrontend", cut=1200)
def sensevoice(y, shift=0.0, scale=1.0):
    from funasr.frontends.wav_frontend import WavFrontend

    frontend = WavFrontend(lfr_m=7, lfr_n=6, dither=0.0)
    frontend.cmvn = torch.tensor([[shift], [scale]]).repeat(1, 560)
    return frontend(row(y), [len(y)])[0][0]


@golden("seamless", "transformers", "SeamlessM4TFeatureExtractor")
@golden("seamless", "transformers", "SeamlessM4TFeatureExtractor", cut=ODD)
def seamless(y, padding_value=0.0):
    from transformers import SeamlessM4TFeatureExtractor

    extractor = SeamlessM4TFeatureExtractor(padding_value=padding_value)
    return extractor(y, sampling_rate=16000).input_features[0]


@golden("w2v-bert", "transformers", "SeamlessM4TFeatureExtractor(padding_value=1)", cut=ODD)
def w2v_bert(y):
    return seamless(y, padding_value=1.0)


@golden("gemma3n", "transformers", "Gemma3nAudioFeatureExtractor")
def gemma3n(y):
    from transformers import Gemma3nAudioFeatureExtractor

    return Gemma3nAudioFeatureExtractor()(y).input_features[0]


@golden("phi4", "transformers", "Phi4MultimodalFeatureExtractor")
def phi4(y):
    from transformers import Phi4MultimodalFeatureExtractor

    return Phi4MultimodalFeatureExtractor()(y, sampling_rate=16000).audio_input_features[0]


# speakers


@golden("speechbrain", "speechbrain", "Fbank")
@golden("speechbrain", "speechbrain", "Fbank", n_mels=40)
def speechbrain(y, n_mels=80):
    from speechbrain.lobes.features import Fbank

    return Fbank(n_mels=n_mels)(row(y))[0]


@golden("speechbrain", "speechbrain", "Fbank, InputNormalization", normalize="mean")
def ecapa(y, normalize):
    from speechbrain.processing.features import InputNormalization

    normalization = InputNormalization(norm_type="sentence", std_norm=False)
    return normalization(speechbrain(y)[None], torch.ones(1))[0]


# synthesis


@golden("hifigan", "matcha-tts", "mel_spectrogram")
def hifigan(y):
    mel = load_file("matcha", "utils/audio.py").mel_spectrogram
    return mel(row(y), 1024, 80, 22050, 256, 1024, 0, 8000)[0]


@golden("bigvgan-24k-100", "bigvgan", "mel_spectrogram")
def bigvgan_24k(y):
    from bigvgan.meldataset import mel_spectrogram

    return mel_spectrogram(row(y), 1024, 100, 24000, 256, 1024, 0, None)[0]


@golden("bigvgan-24k-100", "transformers", "UnivNetFeatureExtractor", layout="frames_first")
def univnet(y, layout):
    from transformers import UnivNetFeatureExtractor

    return UnivNetFeatureExtractor().mel_spectrogram(y)


@golden("bigvgan-44k-128", "bigvgan", "mel_spectrogram")
@golden("bigvgan-44k-128", "bigvgan", "mel_spectrogram", cut=4000, hop_length=256)
def bigvgan_44k(y, hop_length=512):
    from bigvgan.meldataset import mel_spectrogram

    n_fft = 4 * hop_length
    return mel_spectrogram(row(y), n_fft, 128, 44100, hop_length, n_fft, 0, None)[0]


@golden("cosyvoice", "chatterbox-tts", "mel_spectrogram")
def cosyvoice(y):
    return load_file("chatterbox", "models/s3gen/utils/mel.py").mel_spectrogram(row(y))[0]


@golden("tacotron2", "speechbrain", "lobes.models.Tacotron2.mel_spectrogram")
def tacotron2(y):
    from speechbrain.lobes.models.Tacotron2 import mel_spectrogram

    return mel_spectrogram(
        22050, 256, 1024, 1024, 80, 0, 8000, 1, False, "slaney", "slaney", True, torch.from_numpy(y)
    )


@golden("vocos", "vocos", "MelSpectrogramFeatures")
def vocos(y):
    from vocos.feature_extractors import MelSpectrogramFeatures

    return MelSpectrogramFeatures()(row(y))[0]


@golden("f5", "f5-tts", "get_vocos_mel_spectrogram")
def f5(y):
    absent = (
        "x_transformers",
        "x_transformers.x_transformers",
        "f5_tts.model.utils",
        "flash_attn",
        "flash_attn.bert_padding",
    )
    return load_file("f5_tts", "model/modules.py", absent).get_vocos_mel_spectrogram(row(y))[0]


@golden("speecht5", "transformers", "SpeechT5FeatureExtractor")
def speecht5(y):
    from transformers import SpeechT5FeatureExtractor

    return SpeechT5FeatureExtractor()(audio_target=y, sampling_rate=16000).input_values[0]


# sounds


@golden("torchaudio", "torchaudio", "MelSpectrogram")
@golden("torchaudio", "torchaudio", "MelSpectrogram, AmplitudeToDB", log="db")
@golden("torchaudio", "torchaudio", "MelSpectrogram, AmplitudeToDB", log="db", top_db=40)
def torchaudio(y, log=None, top_db=None):
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    mel = MelSpectrogram()(torch.from_numpy(y))
    return mel if log is None else AmplitudeToDB(top_db=top_db)(mel)


@golden("torchaudio", "torchaudio", "MFCC", log="db", top_db=80, n_mfcc=40)
@golden("torchaudio", "torchaudio", "MFCC", log="ln", guard="add", amin=1e-6, n_mfcc=40)
def torchaudio_mfcc(y, log, **options):
    from torchaudio.transforms import MFCC

    return MFCC(log_mels=log == "ln")(torch.from_numpy(y))


@golden("ast", "transformers", "ASTFeatureExtractor")
def ast(y):
    from transformers import ASTFeatureExtractor

    return ASTFeatureExtractor()(y, sampling_rate=16000).input_values[0]


@golden("beats", "speechbrain", "lobes.models.beats.BEATs.preprocess")
def beats(y):
    from speechbrain.lobes.models.beats import BEATs

    return BEATs.preprocess(None, row(y))[0]


@golden("clap", "transformers", "ClapFeatureExtractor")
@golden("clap", "transformers", "ClapFeatureExtractor", bank="fused")
@golden("clap", "transformers", "ClapFeatureExtractor", n_samples=24000, repeat=True)
def clap(y, bank="unfused", n_samples=None, repeat=None):
    from transformers import ClapFeatureExtractor

    truncation = "fusion" if bank == "fused" else "rand_trunc"
    extractor = ClapFeatureExtractor(frequency_min=50)
    return extractor._get_input_mel(y, n_samples or len(y), truncation, "repeatpad")[0][0]


@golden("panns", "torchlibrosa", "Spectrogram, LogmelFilterBank")
def panns(y):
    from torchlibrosa.stft import LogmelFilterBank, Spectrogram

    spectrogram = Spectrogram(n_fft=1024, hop_length=320)
    options = {"fmin": 50, "fmax": 14000, "ref": 1.0, "amin": 1e-10, "top_db": None}
    return LogmelFilterBank(sr=32000, n_fft=1024, n_mels=64, **options)(spectrogram(row(y)))[0, 0]


@golden("vggish", "torchvggish", "mel_features.log_mel_spectrogram")
def vggish(y, log_offset=0.01):
    return load_file("torchvggish", "mel_features.py").log_mel_spectrogram(
        y,
        audio_sample_rate=16000,
        log_offset=log_offset,
        num_mel_bins=64,
        lower_edge_hertz=125,
        upper_edge_hertz=7500,
    )


@golden("yamnet", "torchvggish", "mel_features.log_mel_spectrogram with YAMNet's offset")
def yamnet(y):
    return vggish(y, log_offset=0.001)


@golden("passt", "hear21passt", "AugmentMelSTFT")
def passt(y):
    from hear21passt.models.preprocess import AugmentMelSTFT

    return AugmentMelSTFT(fmax_aug_range=2000).eval()(row(y))[0]


def main() -> None:
    """Run the references, and write a file for each front end and the index."""
    signals = make_signals()
    np.savez_compressed(HERE / "signals.npz", **signals)
    chosen = sys.argv[1:] or {case.preset for case in CASES}
    kept: dict[str, dict[str, np.ndarray]] = {preset: {} for preset in chosen}
    for case in CASES:
        if case.preset not in kept:
            continue
        for name, y in signals.items():
            y = (y / 32768).astype(np.float32)[: case.cut]
            with torch.no_grad():
                features = np.asarray(case.run(y, **case.options), dtype=np.float32)
            kept[case.preset][f"{case.name}: {name}"] = features
    for preset, features in kept.items():
        np.savez_compressed(HERE / f"{preset}.npz", **features)
    index = [
        {
            "preset": case.preset,
            "options": case.options,
            "cut": case.cut,
            "reference": f"{case.package} {case.version}: {case.what}",
            "name": case.name,
        }
        for case in CASES
    ]
    INDEX.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
