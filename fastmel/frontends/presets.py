"""The front ends of known models: a name, and the numbers behind it.

Each function is one entry: it returns a :class:`fastmel.MelConfig`, and its docstring names the
source whose output the numbers reproduce. A new one is one function and one test.

Signals are float samples in [-1, 1] everywhere; a front end that was trained on 16-bit integers
scales them itself.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from fastmel.engines.plan import mel_plan
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec

from .config import Energy, MelConfig, check_number
from .transform import MelSpectrogram

__all__ = ["describe", "frontend", "names", "preset"]

#: float32's epsilon, Kaldi's smallest band energy
_EPSILON = 2.0**-23

_PRESETS: dict[str, Callable[..., MelConfig]] = {}


def frontend(name: str, *, engine: str = "auto", **overrides: Any) -> MelSpectrogram:
    """Return the front end of a known model.

    Parameters
    ----------
    name : str
        One of :func:`fastmel.frontends.names`.
    engine : {"auto", "fused", "scipy", "reference", "cuda"}
        What computes it (see :class:`fastmel.MelSpectrogram`).
    **overrides
        The options of that front end, and fields of :class:`fastmel.MelConfig` to replace.

    Returns
    -------
    MelSpectrogram
        Call it with a signal, a batch or a list of signals.

    Raises
    ------
    ParameterError
        If there is no such front end or option, or a value is out of its range.

    Warns
    -----
    UserWarning
        If the options leave a band without any FFT bin, and the model's own bank has no such band.

    Examples
    --------
    >>> import numpy as np
    >>> frontend("whisper")(np.zeros(16000, dtype=np.float32)).shape
    (80, 100)
    >>> frontend("kaldi", n_mels=40)(np.zeros(16000, dtype=np.float32)).shape
    (98, 40)
    """
    transform = MelSpectrogram.from_config(preset(name, **overrides), engine)
    if transform._plan.has_empty_band and not mel_plan(preset(name)).has_empty_band:
        transform.warn_of_empty_bands()
    return transform


def preset(name: str, /, **overrides: Any) -> MelConfig:
    """Return the configuration of a known model's front end (see :func:`frontend`)."""
    if name not in _PRESETS:
        near = get_close_matches(str(name), _PRESETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ParameterError(
            f"there is no front end {name!r}; {hint}there are {', '.join(_PRESETS)}"
        )
    make = _PRESETS[name]
    own = _options(make)
    options = {key: value for key, value in overrides.items() if key in own}
    rest = {key: value for key, value in overrides.items() if key not in own}
    unknown = sorted(set(rest) - {field.name for field in fields(MelConfig)})
    if unknown:
        raise ParameterError(
            f"the front end {name!r} has no option {', '.join(unknown)}; it has "
            f"{', '.join(own) or 'none of its own'}; any field of MelConfig can be replaced"
        )
    return replace(make(**options), **rest)


def names() -> tuple[str, ...]:
    """Return the names of the front ends."""
    return tuple(_PRESETS)


def describe(name: str) -> str:
    """Return what a front end is, in one line."""
    return (inspect.getdoc(_PRESETS[name]) or "").partition("\n")[0]


def _options(make: Callable[..., MelConfig]) -> list[str]:
    """The options of an entry; one that passes others on has those of "kaldi" too."""
    parameters = inspect.signature(make).parameters.values()
    own = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    return own if len(own) == len(parameters) else own + _options(kaldi)


def _preset(function: Callable[..., MelConfig]) -> Callable[..., MelConfig]:
    _PRESETS[function.__name__.replace("_", "-")] = function
    return function


def _one_of(option: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ParameterError(f"{option}={value!r} is not one of {', '.join(map(repr, allowed))}")


# speech recognition


@_preset
def whisper(n_mels: int = 80, padding: Literal["30s", "faster-whisper"] | None = None) -> MelConfig:
    """Whisper: log10 mel, 8 below the largest at least, scaled to about [-1, 1].

    Source: ``log_mel_spectrogram`` of openai-whisper 20250625, of the signal as it is given.
    ``padding="30s"`` cuts or fills it to 30 s of samples, as ``WhisperFeatureExtractor`` of
    transformers 5.23 does; "faster-whisper" appends 160 zeros, as faster-whisper 1.2.1 does, which
    gives one frame more. `n_mels` is 80, or 128 for large-v3 and the models built on it.
    """
    _one_of("padding", padding, (None, "30s", "faster-whisper"))
    return MelConfig(
        sr=16000,
        n_fft=400,
        hop_length=160,
        pad_mode="reflect",
        drop_last=True,
        n_mels=n_mels,
        log="log10",
        top_db=80,
        offset=4,
        gain=0.25,
        n_samples=480000 if padding == "30s" else None,
        append=160 if padding == "faster-whisper" else 0,
    )


@_preset
def nemo(n_mels: int = 80, rule: Literal["2.5", "2.4"] = "2.5") -> MelConfig:
    """NeMo: Parakeet, Canary, FastConformer, TitaNet; standardized over time.

    Source: ``FilterbankFeatures`` of nemo_toolkit 3.0.0, out of training (no dither).
    ``rule="2.4"`` is that of versions up to 2.4: edges are reflected and the last frame is valid.
    """
    _one_of("rule", rule, ("2.5", "2.4"))
    return MelConfig(
        sr=16000,
        n_fft=512,
        hop_length=160,
        win_length=400,
        periodic=False,
        preemphasis=0.97,
        preemphasis_of="signal",
        pad_mode="constant" if rule == "2.5" else "reflect",
        drop_last=rule == "2.5",
        n_mels=n_mels,
        log="ln",
        guard="add",
        amin=2.0**-24,
        normalize="std",
        std_eps=1e-5,
    )


@_preset
def kaldi(
    n_mels: int = 80,
    sr: float = 16000,
    frame_length_ms: float = 25.0,
    frame_shift_ms: float = 10.0,
    window: WindowSpec = "povey",
    blackman_coeff: float = 0.42,
    snip_edges: bool = True,
    round_to_power_of_two: bool = True,
    low_freq: float = 20.0,
    high_freq: float = 0.0,
    use_power: bool = True,
    use_log_fbank: bool = True,
    use_energy: bool = False,
    raw_energy: bool = True,
    energy_floor: float = 0.0,
    htk_compat: bool = False,
    subtract_mean: bool = False,
    scale: float = 32768.0,
) -> MelConfig:
    """Kaldi: compute-fbank-feats with its options; 80 bands, no dither.

    Source: Kaldi's ``feat/feature-fbank.cc`` and ``feature-window.cc``, kaldi-native-fbank 1.23.0,
    torchaudio.compliance.kaldi 2.11. Pass ``scale=1`` where a model was trained on samples in
    [-1, 1]; windows are "povey", "hamming", "hanning", "blackman", "sine" and "rectangular";
    `high_freq` <= 0 counts from half the sampling rate. Also ``dither``, ``seed``,
    ``preemphasis``, ``remove_dc``, ``vtln_warp``, ``vtln_low`` and ``vtln_high``.

    Where these differ: band energies are raised to 2**-23 before the logarithm (to 1.2e-38 in old
    versions of Kaldi); a band without any FFT bin is constant, as torchaudio's
    (kaldi-native-fbank refuses it); the energy floor is Kaldi's 0 (torchaudio's is 1).
    """
    for name, value in (
        ("sr", sr),
        ("frame_length_ms", frame_length_ms),
        ("frame_shift_ms", frame_shift_ms),
        ("high_freq", high_freq),
        ("blackman_coeff", blackman_coeff),
    ):
        check_number(name, value)
    win_length = int(sr * 0.001 * frame_length_ms)
    hop_length = int(sr * 0.001 * frame_shift_ms)
    if win_length < 2 or hop_length < 1:
        raise ParameterError(
            f"frame_length_ms={frame_length_ms} and frame_shift_ms={frame_shift_ms} are too short "
            f"at sr={sr}; a frame has at least two samples, a shift one"
        )
    n_fft = 2 ** math.ceil(math.log2(win_length)) if round_to_power_of_two else win_length
    # without snip_edges, frame t is centred at (t + 1/2) hops, and there are N / hop_length of them
    before = win_length // 2 - hop_length // 2
    after = win_length - win_length // 2 - hop_length + 2 * (hop_length // 2)
    return MelConfig(
        sr=sr,
        n_fft=n_fft,
        hop_length=hop_length,
        win_length=win_length,
        window=_kaldi_window(window, win_length, blackman_coeff),
        periodic=False,
        scale=scale,
        preemphasis=0.97,
        remove_dc=True,
        frame_length=win_length,
        padding=(0, 0) if snip_edges else (before, after),
        pad_mode="constant" if snip_edges else "symmetric",
        power=2 if use_power else 1,
        n_mels=n_mels,
        fmin=low_freq,
        fmax=high_freq if high_freq > 0 else sr / 2 + high_freq,
        htk=True,
        norm=None,
        triangles="mel",
        log="ln" if use_log_fbank else None,
        amin=_EPSILON,
        energy=_kaldi_energy(use_energy, raw_energy),
        energy_floor=energy_floor,
        energy_last=htk_compat,
        normalize="mean" if subtract_mean else None,
        layout="frames_first",
    )


def _kaldi_window(window: WindowSpec, length: int, blackman_coeff: float) -> WindowSpec:
    """A window by Kaldi's name as one that MelConfig knows."""
    if window == "blackman":
        phase = 2 * np.pi * np.arange(length) / (length - 1)
        cosines = -0.5 * np.cos(phase) + (0.5 - blackman_coeff) * np.cos(2 * phase)
        return tuple((blackman_coeff + cosines).tolist())
    if window == "sine":
        return tuple(np.sin(np.pi * np.arange(length) / (length - 1)).tolist())
    return {"hanning": "hann", "rectangular": "boxcar"}.get(str(window), window)


def _kaldi_energy(use_energy: bool, raw_energy: bool) -> Energy | None:
    if not use_energy:
        return None
    return "raw" if raw_energy else "windowed"


@_preset
def kaldi_mfcc(
    n_mfcc: int = 13,
    n_mels: int = 23,
    use_energy: bool = True,
    cepstral_lifter: float = 22.0,
    **options: Any,
) -> MelConfig:
    """Kaldi: compute-mfcc-feats with its options; 13 coefficients of 23 bands, no dither.

    Source: Kaldi's ``feat/feature-mfcc.cc``, kaldi-native-fbank 1.23.0; with
    ``use_energy=False`` torchaudio.compliance.kaldi 2.11's defaults. Takes the options of "kaldi"
    too.
    """
    bands = kaldi(n_mels=n_mels, use_energy=use_energy, **options)
    return replace(bands, n_mfcc=n_mfcc, lifter=cepstral_lifter)


@_preset
def k2() -> MelConfig:
    """k2, icefall, lhotse, sherpa: Kaldi's with 7600 Hz and mirrored edges, samples in [-1, 1].

    Source: ``Fbank`` of lhotse 1.33.0, sherpa-onnx's ``features.cc``. Batches are padded with
    ln(1e-10), as lhotse's are.
    """
    base = kaldi(scale=1.0, snip_edges=False, high_freq=-400.0)
    return replace(base, pad_value=math.log(1e-10))


@_preset
def sensevoice(shift: Any = 0.0, scale: Any = 1.0) -> MelConfig:
    """SenseVoice, Paraformer: Kaldi's with a Hamming window, 7 frames stacked every 6.

    Source: ``WavFrontend`` of FunASR 3c58cb56. `shift` and `scale` are the 560 values each of the
    model's ``am.mvn``: features are ``(x + shift) * scale``.
    """
    base = kaldi(window="hamming")
    return replace(base, stack=(7, 6), stack_ends="edge", offset=shift, gain=scale)


@_preset
def seamless() -> MelConfig:
    """SeamlessM4T: Kaldi's, standardized over time, frames stacked in pairs.

    Source: ``SeamlessM4TFeatureExtractor`` of transformers 5.23.
    """
    return replace(kaldi(), normalize="std", ddof=1, var_eps=1e-7, stack=(2, 2), stack_ends="pad")


@_preset
def w2v_bert() -> MelConfig:
    """w2v-BERT 2.0: as SeamlessM4T, an odd frame is paired with ones.

    Source: ``SeamlessM4TFeatureExtractor`` of transformers 5.23 with ``padding_value=1``.
    """
    return replace(seamless(), pad_value=1.0)


@_preset
def gemma3n() -> MelConfig:
    """Gemma 3n: magnitudes of an FFT twice as long as need be, natural logarithm.

    Source: ``Gemma3nAudioFeatureExtractor`` of transformers 5.23, which cuts the signal at 30 s
    beforehand.
    """
    return MelConfig(
        sr=16000,
        n_fft=1024,
        hop_length=160,
        win_length=512,
        multiple_of=128,
        preemphasis=0.97,
        frame_length=513,
        padding=(0, 0),
        power=1,
        n_mels=128,
        fmin=125,
        fmax=7600,
        htk=True,
        norm=None,
        log="ln",
        amin=1e-5,
        layout="frames_first",
    )


@_preset
def phi4() -> MelConfig:
    """Phi-4 multimodal: Kaldi-like without DC removal, logarithm of 1 at least.

    Source: ``Phi4MultimodalFeatureExtractor`` of transformers 5.23; its bank keeps the bin at
    7687.5 Hz (weight 0.0097) that Microsoft's own processor leaves out.
    """
    return MelConfig(
        sr=16000,
        n_fft=512,
        hop_length=160,
        win_length=400,
        window="hamming",
        periodic=False,
        scale=32768,
        preemphasis=0.97,
        frame_length=400,
        padding=(0, 0),
        n_mels=80,
        fmax=7690,
        htk=True,
        norm=None,
        triangles="mel",
        log="ln",
        amin=1.0,
        layout="frames_first",
    )


# speakers


@_preset
def wespeaker() -> MelConfig:
    """WeSpeaker, pyannote: Kaldi's with a Hamming window, the mean over time subtracted.

    Source: wespeaker dfa74195 (``infer_onnx.py``), pyannote.audio b749285c.
    """
    return kaldi(window="hamming", subtract_mean=True)


@_preset
def speechbrain(n_mels: int = 80) -> MelConfig:
    """SpeechBrain: Fbank, in decibels, 80 dB below the largest at least.

    Source: ``speechbrain.lobes.features.Fbank`` of speechbrain 1.1.2: a periodic Hamming window,
    zeros at the edges, triangles as wide on the right as on the left. ECAPA-TDNN then subtracts
    the mean over time: ``normalize="mean"``.
    """
    return MelConfig(
        sr=16000,
        n_fft=400,
        hop_length=160,
        window="hamming",
        n_mels=n_mels,
        htk=True,
        norm=None,
        triangles="symmetric",
        log="db",
        top_db=80,
        layout="frames_first",
    )


# synthesis


@_preset
def hifigan(
    sr: float = 22050,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 80,
    fmax: float | None = 8000.0,
) -> MelConfig:
    """HiFi-GAN, Matcha-TTS: natural logarithm of mel magnitudes, one frame a hop.

    Source: ``mel_spectrogram`` in ``meldataset.py`` of HiFi-GAN 4769534d.
    """
    edge = (n_fft - hop_length) // 2
    return MelConfig(
        sr=sr,
        n_fft=n_fft,
        hop_length=hop_length,
        padding=(edge, edge),
        pad_mode="reflect",
        power=1,
        power_offset=1e-9,
        n_mels=n_mels,
        fmax=fmax,
        log="ln",
        amin=1e-5,
    )


@_preset
def bigvgan_24k_100() -> MelConfig:
    """BigVGAN v2, 24 kHz, 100 bands.

    Source: ``get_mel_spectrogram`` of BigVGAN 7d2b4545, bigvgan_v2_24khz_100band_256x.
    """
    return hifigan(sr=24000, n_mels=100, fmax=None)


@_preset
def bigvgan_44k_128(hop_length: Literal[512, 256] = 512) -> MelConfig:
    """BigVGAN v2, 44.1 kHz, 128 bands.

    Source: ``get_mel_spectrogram`` of BigVGAN 7d2b4545, bigvgan_v2_44khz_128band_512x, and _256x
    with ``hop_length=256``.
    """
    _one_of("hop_length", hop_length, (512, 256))
    return hifigan(sr=44100, n_fft=4 * hop_length, hop_length=hop_length, n_mels=128, fmax=None)


@_preset
def cosyvoice() -> MelConfig:
    """CosyVoice 2, Chatterbox: HiFi-GAN's at 24 kHz, 50 frames a second.

    Source: ``matcha.utils.audio.mel_spectrogram`` as configured by CosyVoice 1c062ab3.
    """
    return hifigan(sr=24000, n_fft=1920, hop_length=480)


@_preset
def tacotron2() -> MelConfig:
    """Tacotron 2, WaveGlow: natural logarithm of mel magnitudes, centred frames.

    Source: ``TacotronSTFT`` in ``layers.py`` of NVIDIA's tacotron2 185cd24e.
    """
    return replace(hifigan(), padding=None, power_offset=0)


@_preset
def vocos() -> MelConfig:
    """Vocos: natural logarithm of HTK mel magnitudes, centred frames.

    Source: ``MelSpectrogramFeatures`` of vocos 0.1.0 (mel, 24 kHz).
    """
    return MelConfig(
        sr=24000,
        n_fft=1024,
        hop_length=256,
        pad_mode="reflect",
        power=1,
        n_mels=100,
        htk=True,
        norm=None,
        log="ln",
        amin=1e-7,
    )


@_preset
def f5() -> MelConfig:
    """F5-TTS: as Vocos with a floor of 1e-5.

    Source: ``get_vocos_mel_spectrogram`` of F5-TTS 2ae2c9bd.
    """
    return replace(vocos(), amin=1e-5)


@_preset
def speecht5() -> MelConfig:
    """SpeechT5: log10 mel magnitudes of its targets, 80 to 7600 Hz.

    Source: ``SpeechT5FeatureExtractor`` (``audio_target``) of transformers 5.23.
    """
    return MelConfig(
        sr=16000,
        n_fft=1024,
        hop_length=256,
        pad_mode="reflect",
        power=1,
        n_mels=80,
        fmin=80,
        fmax=7600,
        log="log10",
        layout="frames_first",
    )


# sounds


@_preset
def torchaudio() -> MelConfig:
    """torchaudio.transforms.MelSpectrogram with its defaults; a power, not a logarithm.

    Source: torchaudio 2.11. ``log="db"`` is AmplitudeToDB, ``top_db=80`` its range; with
    ``n_mfcc=40`` too it is MFCC, and ``n_mfcc=40, log="ln", guard="add", amin=1e-6`` is MFCC with
    log_mels.
    """
    return MelConfig(
        sr=16000, n_fft=400, hop_length=200, pad_mode="reflect", n_mels=128, htk=True, norm=None
    )


@_preset
def ast() -> MelConfig:
    """Audio Spectrogram Transformer: Kaldi's, 128 bands of samples in [-1, 1], 1024 frames.

    Source: ``ASTFeatureExtractor`` of transformers 5.23, AST 2c612c5c (AudioSet's statistics).
    ``n_frames=None`` keeps the frames that a signal has; frames are filled up with zeros before
    the statistics are applied, which is not the value of silence.
    """
    base = kaldi(n_mels=128, window="hanning", scale=1.0)
    offset, gain = 4.2677393, 1 / (2 * 4.5689974)
    return replace(base, offset=offset, gain=gain, n_frames=1024, pad_value=offset * gain)


@_preset
def beats() -> MelConfig:
    """BEATs: Kaldi's, 128 bands, standardized by AudioSet's statistics.

    Source: ``BEATs.preprocess`` of unilm 768a3c87.
    """
    return replace(kaldi(n_mels=128), offset=-15.41663, gain=1 / (2 * 6.55582))


@_preset
def clap(
    bank: Literal["fused", "unfused"] = "unfused", padding: Literal["10s"] | None = None
) -> MelConfig:
    """LAION CLAP: 64 bands in decibels at 48 kHz.

    Source: ``ClapFeatureExtractor`` of transformers 5.23, laion-clap 1.1.7. The bank is HTK's for
    models with feature fusion, Slaney's for the others. ``padding="10s"`` repeats a short signal as
    often as it fits into 10 s, fills the rest with zeros, and cuts a long one after 10 s (the
    extractor cuts at random).
    """
    _one_of("bank", bank, ("fused", "unfused"))
    _one_of("padding", padding, (None, "10s"))
    return MelConfig(
        sr=48000,
        n_fft=1024,
        hop_length=480,
        pad_mode="reflect",
        n_mels=64,
        fmin=50,
        fmax=14000,
        htk=bank == "fused",
        norm=None if bank == "fused" else "slaney",
        log="db",
        n_samples=480000 if padding == "10s" else None,
        repeat=padding == "10s",
        layout="frames_first",
    )


@_preset
def panns() -> MelConfig:
    """PANNs (Cnn14), HTS-AT: 64 bands in decibels at 32 kHz.

    Source: torchlibrosa 0.1.0 as configured by audioset_tagging_cnn d2f4b8c1.
    """
    return MelConfig(
        sr=32000,
        n_fft=1024,
        hop_length=320,
        pad_mode="reflect",
        n_mels=64,
        fmin=50,
        fmax=14000,
        log="db",
        layout="frames_first",
    )


@_preset
def yamnet() -> MelConfig:
    """YAMNet: natural logarithm of mel magnitudes and 0.001, 64 bands.

    Source: ``features.py`` of YAMNet in tensorflow/models 33630ec9. The model cuts patches of 96
    frames every 48: ``stack=(96, 48), stack_ends="drop"``.
    """
    return replace(vggish(), amin=1e-3)


@_preset
def vggish() -> MelConfig:
    """VGGish: natural logarithm of mel magnitudes and 0.01, 64 bands.

    Source: ``mel_features.py`` of VGGish, torchvggish 0.2. The model cuts patches of 96 frames:
    ``stack=(96, 96), stack_ends="drop"``.
    """
    return MelConfig(
        sr=16000,
        n_fft=512,
        hop_length=160,
        win_length=400,
        frame_length=400,
        padding=(0, 0),
        power=1,
        n_mels=64,
        fmin=125,
        fmax=7500,
        htk=True,
        norm=None,
        triangles="mel",
        log="ln",
        guard="add",
        amin=0.01,
        layout="frames_first",
    )


@_preset
def passt() -> MelConfig:
    """PaSST: pre-emphasis that loses a sample, 128 bands up to 15 kHz, scaled.

    Source: ``AugmentMelSTFT`` of hear21passt 0.0.26, out of training and as its models set it up;
    by itself, that class goes up to 15.5 kHz: ``fmax=15500``.
    """
    return MelConfig(
        sr=32000,
        n_fft=1024,
        hop_length=320,
        win_length=800,
        periodic=False,
        preemphasis=0.97,
        preemphasis_of="inside",
        pad_mode="reflect",
        n_mels=128,
        fmax=15000,
        htk=True,
        norm=None,
        triangles="mel",
        log="ln",
        guard="add",
        amin=1e-5,
        offset=4.5,
        gain=0.2,
    )
