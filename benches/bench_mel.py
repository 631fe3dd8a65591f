"""The whole line, samples to dB, against librosa; and against bare FFTs of the same frames."""

import librosa
import numpy as np
import pytest

import fastmel
from cases import CASES, FIRST

try:
    import mkl_fft
except ImportError:
    mkl_fft = None


def librosa_log_mel(y, case):
    S = librosa.feature.melspectrogram(y=y, **case.options)
    return librosa.power_to_db(S, top_db=None)


def rivals_of(y, case):
    """Give librosa's whole line, and MKL's transform alone of frames that lie ready in memory."""
    rivals = {"librosa": lambda: librosa_log_mel(y, case)}
    if mkl_fft is not None and case.seconds <= 60:
        padded = np.pad(y, case.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, case.n_fft)[:: case.hop_length]
        frames = np.ascontiguousarray(frames)
        spectra = np.empty((len(frames), 1 + case.n_fft // 2), np.complex64)
        rivals["MKL's FFT alone"] = lambda: mkl_fft.rfft(frames, out=spectra)
    return rivals


@pytest.mark.parametrize("case", CASES, ids=str)
def bench_log_mel(compare, case):
    y = case.signal()
    log_mel = fastmel.MelSpectrogram(**case.options, log="db")
    compare(lambda: log_mel(y), rivals_of(y, case), case.n_frames)


def bench_log_mel_scipy_engine(compare):
    y = FIRST.signal()
    log_mel = fastmel.MelSpectrogram(**FIRST.options, log="db", engine="scipy")
    rivals = {"librosa": lambda: librosa_log_mel(y, FIRST)}
    compare(lambda: log_mel(y), rivals, FIRST.n_frames)


def bench_log_mel_float64(compare):
    y = FIRST.signal(np.float64)
    log_mel = fastmel.MelSpectrogram(**FIRST.options, log="db")
    rivals = {"librosa": lambda: librosa_log_mel(y, FIRST)}
    compare(lambda: log_mel(y), rivals, FIRST.n_frames)


def bench_melspectrogram_then_power_to_db(compare):
    """`feature.melspectrogram` and `power_to_db`, as librosa's are called."""
    y = FIRST.signal()

    def ours():
        return fastmel.power_to_db(
            fastmel.feature.melspectrogram(y=y, **FIRST.options), top_db=None
        )

    compare(ours, {"librosa": lambda: librosa_log_mel(y, FIRST)}, FIRST.n_frames)
