"""Every public call in turns with librosa's, on a minute of audio or what is made of it."""

import io
from functools import cached_property
from itertools import count

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile

import fastmel
from cases import FIRST

IS_1 = int(librosa.__version__.partition(".")[0]) >= 1

BLOCKS = {"block_length": 256, "frame_length": 2048, "hop_length": 512}


class Material:
    """What the calls are given, made when it is first asked for."""

    @cached_property
    def y(self):
        return FIRST.signal()

    @cached_property
    def y64(self):
        return FIRST.signal(np.float64)

    @cached_property
    def stereo(self):
        return np.stack([self.y, self.y[::-1]])

    @cached_property
    def bursts(self):
        seconds = np.arange(len(self.y)) / FIRST.sr
        return np.where(seconds % 3 < 1, np.float32(1e-4), np.float32(1)) * self.y

    @cached_property
    def D(self):
        return fastmel.stft(self.y)

    @cached_property
    def D64(self):
        return fastmel.stft(self.y64)

    @cached_property
    def D_1024(self):
        return fastmel.stft(self.y, n_fft=1024, hop_length=256)

    @cached_property
    def D_512(self):
        return fastmel.stft(self.y, n_fft=512, hop_length=160)

    @cached_property
    def S(self):
        return np.abs(self.D)

    @cached_property
    def S_by_bins(self):
        return np.ascontiguousarray(self.S)

    @cached_property
    def S64(self):
        return np.abs(self.D64)

    @cached_property
    def mel(self):
        return fastmel.feature.melspectrogram(y=self.y)

    @cached_property
    def mel64(self):
        return self.mel.astype(np.float64)

    @cached_property
    def db(self):
        return fastmel.power_to_db(self.mel)

    @cached_property
    def mfcc(self):
        return fastmel.feature.mfcc(S=self.db)

    @cached_property
    def frames(self):
        return np.arange(FIRST.n_frames)

    @cached_property
    def times(self):
        return fastmel.frames_to_time(self.frames)

    @cached_property
    def hz(self):
        return np.linspace(20, FIRST.sr / 2, 1025)

    @cached_property
    def numbers(self):
        return count()

    def file(self, format):
        """Return the signal as an encoded file in memory."""
        encoded = io.BytesIO()
        soundfile.write(encoded, self.y, FIRST.sr, format=format)
        return encoded.getvalue()

    @cached_property
    def wav(self):
        return self.file("WAV")

    @cached_property
    def flac(self):
        return self.file("FLAC")


MADE = Material()


def stream(lib):
    """Read all blocks; librosa before 1.0 has no sampling rate to give."""
    rate = {"sr": None} if lib is fastmel or IS_1 else {}
    return list(lib.stream(io.BytesIO(MADE.wav), **BLOCKS, **rate))


def griffinlim(lib, S):
    """Find phases in eight rounds; librosa before 1.0 calls the random numbers otherwise."""
    seed = "rng" if lib is fastmel or IS_1 else "random_state"
    return lib.griffinlim(S[:, :200], n_iter=8, **{seed: np.random.default_rng(0)})


def draw(call):
    """Draw into a figure and throw it away."""
    axes = plt.figure().add_subplot()
    call(axes)
    plt.close(axes.figure)


#: what is called -> the call, of fastmel or librosa
CALLS = {
    "load, WAV": lambda lib: lib.load(io.BytesIO(MADE.wav), sr=None),
    "load, FLAC": lambda lib: lib.load(io.BytesIO(MADE.flac), sr=None),
    "load, WAV to 16 kHz": lambda lib: lib.load(io.BytesIO(MADE.wav), sr=16000),
    "stream": stream,
    "to_mono": lambda lib: lib.to_mono(MADE.stereo),
    "resample": lambda lib: lib.resample(MADE.y, orig_sr=22050, target_sr=16000),
    "get_duration": lambda lib: lib.get_duration(y=MADE.y),
    "get_samplerate": lambda lib: lib.get_samplerate(io.BytesIO(MADE.wav)),
    "stft": lambda lib: lib.stft(MADE.y),
    "stft, float64": lambda lib: lib.stft(MADE.y64),
    "stft, two channels": lambda lib: lib.stft(MADE.stereo),
    "stft, n_fft=2000": lambda lib: lib.stft(MADE.y, n_fft=2000),
    "stft, n_fft=1021": lambda lib: lib.stft(MADE.y, n_fft=1021),
    "stft, one second": lambda lib: lib.stft(MADE.y[:22050]),
    "istft": lambda lib: lib.istft(MADE.D),
    "istft, float64": lambda lib: lib.istft(MADE.D64),
    "istft, 1024/256": lambda lib: lib.istft(MADE.D_1024, hop_length=256),
    "istft, 512/160": lambda lib: lib.istft(MADE.D_512, hop_length=160),
    "istft, by bins": lambda lib: lib.istft(np.ascontiguousarray(MADE.D[:, :1000])),
    "griffinlim": lambda lib: griffinlim(lib, MADE.S),
    "griffinlim, float64": lambda lib: griffinlim(lib, MADE.S64),
    "magphase": lambda lib: lib.magphase(MADE.D),
    "magphase, float64": lambda lib: lib.magphase(MADE.D64),
    "power_to_db": lambda lib: lib.power_to_db(MADE.mel),
    "power_to_db, ref=np.max": lambda lib: lib.power_to_db(MADE.mel, ref=np.max),
    "power_to_db, float64": lambda lib: lib.power_to_db(MADE.mel64),
    "power_to_db, top_db=None": lambda lib: lib.power_to_db(MADE.mel, top_db=None),
    "power_to_db, a number": lambda lib: lib.power_to_db(0.25),
    "amplitude_to_db": lambda lib: lib.amplitude_to_db(MADE.S),
    "db_to_power": lambda lib: lib.db_to_power(MADE.db),
    "db_to_amplitude": lambda lib: lib.db_to_amplitude(MADE.db),
    "pcen": lambda lib: lib.pcen(MADE.mel),
    "pcen, float64": lambda lib: lib.pcen(MADE.mel64),
    "pcen, power=0.25": lambda lib: lib.pcen(MADE.mel, power=0.25),
    "pcen, bias=0": lambda lib: lib.pcen(MADE.mel, bias=0),
    "pcen, power=0": lambda lib: lib.pcen(MADE.mel, power=0),
    "pcen, max_size=3": lambda lib: lib.pcen(MADE.mel, max_size=3),
    "A_weighting": lambda lib: lib.A_weighting(MADE.hz),
    "B_weighting": lambda lib: lib.B_weighting(MADE.hz),
    "C_weighting": lambda lib: lib.C_weighting(MADE.hz),
    "D_weighting": lambda lib: lib.D_weighting(MADE.hz),
    "Z_weighting": lambda lib: lib.Z_weighting(MADE.hz),
    "frequency_weighting": lambda lib: lib.frequency_weighting(MADE.hz, kind="B"),
    "multi_frequency_weighting": lambda lib: lib.multi_frequency_weighting(MADE.hz),
    "perceptual_weighting": lambda lib: lib.perceptual_weighting(MADE.S, MADE.hz),
    "feature.melspectrogram": lambda lib: lib.feature.melspectrogram(y=MADE.y),
    "feature.melspectrogram, float64": lambda lib: lib.feature.melspectrogram(y=MADE.y64),
    "feature.melspectrogram, of S": lambda lib: lib.feature.melspectrogram(S=MADE.S),
    "feature.melspectrogram, power=1": lambda lib: lib.feature.melspectrogram(y=MADE.y, power=1),
    "feature.melspectrogram, power=1.5": lambda lib: lib.feature.melspectrogram(
        y=MADE.y, power=1.5
    ),
    "feature.mfcc": lambda lib: lib.feature.mfcc(y=MADE.y),
    "feature.mfcc, of S": lambda lib: lib.feature.mfcc(S=MADE.db),
    "feature.mfcc, lifter=22": lambda lib: lib.feature.mfcc(S=MADE.db, lifter=22),
    "feature.inverse.mel_to_stft": lambda lib: lib.feature.inverse.mel_to_stft(MADE.mel[:, :200]),
    "feature.inverse.mfcc_to_mel": lambda lib: lib.feature.inverse.mfcc_to_mel(MADE.mfcc),
    "feature.delta": lambda lib: lib.feature.delta(MADE.mfcc),
    "feature.delta, of mels": lambda lib: lib.feature.delta(MADE.db),
    "feature.delta, order=2": lambda lib: lib.feature.delta(MADE.mfcc, order=2),
    "feature.delta, mode='nearest'": lambda lib: lib.feature.delta(MADE.mfcc, mode="nearest"),
    "feature.stack_memory": lambda lib: lib.feature.stack_memory(MADE.mfcc, n_steps=3),
    "feature.stack_memory, of mels": lambda lib: lib.feature.stack_memory(MADE.db, n_steps=10),
    "feature.rms": lambda lib: lib.feature.rms(y=MADE.y),
    "feature.rms, of S": lambda lib: lib.feature.rms(S=MADE.S),
    "feature.rms, of S by bins": lambda lib: lib.feature.rms(S=MADE.S_by_bins),
    "feature.zero_crossing_rate": lambda lib: lib.feature.zero_crossing_rate(MADE.y),
    "feature.spectral_centroid": lambda lib: lib.feature.spectral_centroid(y=MADE.y),
    "feature.spectral_centroid, of S": lambda lib: lib.feature.spectral_centroid(S=MADE.S),
    "feature.spectral_centroid, of S by bins": lambda lib: lib.feature.spectral_centroid(
        S=MADE.S_by_bins
    ),
    "feature.spectral_bandwidth": lambda lib: lib.feature.spectral_bandwidth(y=MADE.y),
    "feature.spectral_bandwidth, of S": lambda lib: lib.feature.spectral_bandwidth(S=MADE.S),
    "feature.spectral_bandwidth, of S by bins": lambda lib: lib.feature.spectral_bandwidth(
        S=MADE.S_by_bins
    ),
    "feature.spectral_rolloff": lambda lib: lib.feature.spectral_rolloff(y=MADE.y),
    "feature.spectral_rolloff, of S": lambda lib: lib.feature.spectral_rolloff(S=MADE.S),
    "feature.spectral_rolloff, of S by bins": lambda lib: lib.feature.spectral_rolloff(
        S=MADE.S_by_bins
    ),
    "feature.spectral_flatness": lambda lib: lib.feature.spectral_flatness(y=MADE.y),
    "feature.spectral_flatness, of S": lambda lib: lib.feature.spectral_flatness(S=MADE.S),
    "feature.spectral_flatness, of S by bins": lambda lib: lib.feature.spectral_flatness(
        S=MADE.S_by_bins
    ),
    "filters.mel": lambda lib: lib.filters.mel(sr=22050, n_fft=2048),
    "filters.mel, n_mels=80": lambda lib: lib.filters.mel(sr=16000, n_fft=512, n_mels=80),
    "filters.mel, norm=1": lambda lib: lib.filters.mel(sr=22050, n_fft=2048, norm=1),
    "filters.mel, a new one": lambda lib: lib.filters.mel(
        sr=22050, n_fft=2048, fmax=8000 + next(MADE.numbers)
    ),
    "filters.get_window": lambda lib: lib.filters.get_window("hann", 2048),
    "filters.get_window, kaiser": lambda lib: lib.filters.get_window(("kaiser", 4.0), 2048),
    "filters.window_sumsquare": lambda lib: lib.filters.window_sumsquare(
        window="hann", n_frames=FIRST.n_frames
    ),
    "util.frame": lambda lib: lib.util.frame(MADE.y, frame_length=2048, hop_length=512),
    "util.normalize": lambda lib: lib.util.normalize(MADE.S),
    "util.normalize, norm=2": lambda lib: lib.util.normalize(MADE.S, norm=2),
    "util.fix_length, longer": lambda lib: lib.util.fix_length(MADE.y, size=len(MADE.y) + 100),
    "util.fix_length, shorter": lambda lib: lib.util.fix_length(MADE.y, size=1000),
    "util.pad_center": lambda lib: lib.util.pad_center(MADE.y, size=len(MADE.y) + 100),
    "util.valid_audio": lambda lib: lib.util.valid_audio(MADE.y),
    "effects.preemphasis": lambda lib: lib.effects.preemphasis(MADE.y),
    "effects.deemphasis": lambda lib: lib.effects.deemphasis(MADE.y),
    "effects.trim": lambda lib: lib.effects.trim(MADE.bursts),
    "effects.split": lambda lib: lib.effects.split(MADE.bursts),
    "hz_to_mel": lambda lib: lib.hz_to_mel(MADE.hz),
    "hz_to_mel, a number": lambda lib: lib.hz_to_mel(440.0),
    "mel_to_hz": lambda lib: lib.mel_to_hz(MADE.times),
    "mel_frequencies": lambda lib: lib.mel_frequencies(128),
    "fft_frequencies": lambda lib: lib.fft_frequencies(),
    "frames_to_samples": lambda lib: lib.frames_to_samples(MADE.frames),
    "frames_to_time": lambda lib: lib.frames_to_time(MADE.frames),
    "samples_to_frames": lambda lib: lib.samples_to_frames(MADE.frames),
    "samples_to_time": lambda lib: lib.samples_to_time(MADE.frames),
    "time_to_frames": lambda lib: lib.time_to_frames(MADE.times),
    "time_to_samples": lambda lib: lib.time_to_samples(MADE.times),
    "blocks_to_frames": lambda lib: lib.blocks_to_frames(MADE.frames, block_length=16),
    "blocks_to_samples": lambda lib: lib.blocks_to_samples(
        MADE.frames, block_length=16, hop_length=512
    ),
    "blocks_to_time": lambda lib: lib.blocks_to_time(
        MADE.frames, block_length=16, hop_length=512, sr=22050
    ),
    "samples_like": lambda lib: lib.samples_like(MADE.mel),
    "times_like": lambda lib: lib.times_like(MADE.mel),
    "display.specshow": lambda lib: draw(
        lambda ax: lib.display.specshow(MADE.db, x_axis="time", y_axis="mel", ax=ax)
    ),
    "display.waveshow": lambda lib: draw(lambda ax: lib.display.waveshow(MADE.y, ax=ax)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what librosa 0.11 imports to load
@pytest.mark.parametrize("name", CALLS)
def bench_call(compare, name):
    call = CALLS[name]
    call(fastmel)  # makes the material
    compare(lambda: call(fastmel), {"librosa": lambda: call(librosa)}, patience=1.0)
