"""Compiled code: the arithmetic of every stage, with no checks and no allocation in a loop.

What each file serves, and with it the functions that are made of these:

- ``bands``: mel bands of whole spectra, for melspectrogram and front ends by the ``scipy`` engine
- ``butterflies``: small Fourier transforms, of which ``fft`` is made
- ``decibel``: power_to_db, amplitude_to_db
- ``elementary``: logarithm, exponential and phase as arithmetic, for the other kernels
- ``features``: what front ends do after the logarithm: cosine transform, statistics, float16
- ``fft``: the FFT of the ``fused`` engine: melspectrogram, front ends, stft, istft
- ``frames``: padding, dither and pre-emphasis of signals, and their frames, for all of the CPU's
  engines and for streams
- ``jit``: how all of it is compiled and kept on disk
- ``moments``: rms, zero_crossing_rate and the spectral_ features; the check of a corpus's samples
- ``nnls``: feature.inverse.mel_to_stft
- ``overlap``: istft; ``turn`` and ``give_phases`` are griffinlim's
- ``pcen``: pcen; ``one_pole`` is effects.deemphasis's too
- ``polar``: magphase
- ``simd``: vectors of lanes, which ``fft`` and ``tile`` are written in
- ``slopes``: feature.delta
- ``tile``: what surrounds the FFT of the ``fused`` engine: samples in, mel bands and logarithm out
"""
