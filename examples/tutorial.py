"""A first look at a recording: waveform, spectrogram, mel spectrogram.

The calls are librosa's; only the import differs. ``python tutorial.py [recording.wav]`` writes
three pictures into the current directory; without a recording it makes one to look at.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

import fastmel as librosa


def waveform(y, sr):
    """Draw the signal over time."""
    plt.figure(figsize=(10, 3))
    librosa.display.waveplot(y, sr=sr)
    plt.title("Waveform")
    plt.ylabel("Amplitude")
    plt.tight_layout()


def spectrogram(y, sr):
    """Draw the magnitude of the short-time Fourier transform, in decibels."""
    D = librosa.stft(y)
    magnitude, _ = librosa.magphase(D)
    plt.figure(figsize=(10, 4))
    librosa.display.specshow(
        librosa.amplitude_to_db(magnitude, ref=np.max), sr=sr, x_axis="time", y_axis="log"
    )
    plt.title("Spectrogram")
    plt.colorbar(format="%+2.0f dB")
    plt.tight_layout()


def mel_spectrogram(y, sr):
    """Draw the mel spectrogram of the magnitudes, in decibels above the quietest value."""
    magnitude, _ = librosa.magphase(librosa.stft(y))
    mel = librosa.feature.melspectrogram(S=magnitude, sr=sr)
    levels = librosa.amplitude_to_db(mel, ref=np.min)
    plt.figure(figsize=(10, 4))
    librosa.display.specshow(levels, sr=sr, x_axis="time", y_axis="mel")
    plt.title("Mel spectrogram")
    plt.colorbar(format="%+2.0f dB")
    plt.tight_layout()


def make_recording():
    """Write a clip to look at, and return its path."""
    import soundfile

    from fastmel.demo import clip

    soundfile.write("clip.wav", clip(22050), 22050, subtype="FLOAT")
    return "clip.wav"


def main():
    """Draw three pictures of a recording."""
    path = sys.argv[1] if len(sys.argv) > 1 else make_recording()
    y, sr = librosa.load(path, sr=None)
    for draw in (waveform, spectrogram, mel_spectrogram):
        draw(y, sr)
        plt.savefig(f"{draw.__name__}.png")
        plt.close()


if __name__ == "__main__":
    main()
