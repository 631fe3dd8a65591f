"""Features by frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmel.arrays import any_array
from fastmel.exceptions import ParameterError
from fastmel.filters import WindowSpec, mel
from fastmel.frontends.config import MelConfig
from fastmel.spectrum import check_framing, stft
from fastmel.util import default_hop

__all__ = ["melspectrogram"]

#: the keywords of the filter bank that a MelConfig has too
_BANK_KEYWORDS = frozenset({"n_mels", "fmin", "fmax", "htk", "norm"})


@any_array
def melspectrogram(
    *,
    y: NDArray[Any] | None = None,
    sr: float = 22050,
    S: NDArray[Any] | None = None,
    n_fft: int = 2048,
    hop_length: int | None = 512,
    win_length: int | None = None,
    window: WindowSpec = "hann",
    center: bool = True,
    pad_mode: Any = "constant",
    power: float = 2.0,
    **kwargs: Any,
) -> NDArray[Any]:
    """Compute a mel spectrogram from a signal, or from its spectrogram.

    Parameters
    ----------
    y : ndarray, shape (..., samples), optional
        Finite floating-point signal.
    sr : float > 0
        Its sampling rate in Hz.
    S : ndarray, shape (..., n_bins, n_frames), optional
        A spectrogram, taken as it is, in place of `y`; `n_fft` is then inferred from it if it does
        not fit, and the arguments from `hop_length` to `power` are not used.
    n_fft, hop_length, win_length, window, center, pad_mode
        Framing, as in :func:`fastmel.stft`.
    power : float > 0
        Exponent of the magnitude before it is summed into bands: 1 for magnitude, 2 for power.
    **kwargs
        Keywords of :func:`fastmel.filters.mel`: `n_mels`, `fmin`, `fmax`, `htk`, `norm`, `dtype`.

    Returns
    -------
    ndarray, shape (..., n_mels, n_frames)
        The mel spectrogram, of y's floating-point type.

    Raises
    ------
    ParameterError
        If neither `y` nor `S` is given, or an argument is not one that :func:`fastmel.stft` and
        :func:`fastmel.filters.mel` take.

    Examples
    --------
    >>> S = np.ones((1025, 40), dtype=np.float32)
    >>> melspectrogram(S=S, sr=16000, n_mels=64).shape
    (64, 40)
    """
    if S is not None:
        return _from_spectrogram(S, sr, n_fft, kwargs)
    if y is None:
        raise ParameterError(
            "Input signal must be provided to compute a spectrogram: give y, or its spectrogram S"
        )
    framing: dict[str, Any] = {
        "n_fft": n_fft,
        "hop_length": hop_length,
        "win_length": win_length,
        "window": window,
        "center": center,
        "pad_mode": pad_mode if center else "constant",  # without padding, anything will do
    }
    # What a configuration cannot say (a type for the bank, a padding function) and what the
    # engines do not take (half and extended precision) goes through the whole spectrogram.
    plain = kwargs.keys() <= _BANK_KEYWORDS and not callable(pad_mode)
    if plain and getattr(y, "dtype", None) in (np.float32, np.float64):
        from fastmel.frontends.transform import transform_for

        if "n_mels" in kwargs:
            kwargs["n_mels"] = int(kwargs["n_mels"])
        if hop_length is None:
            framing["hop_length"] = default_hop(n_fft, win_length)
        config = MelConfig(sr=sr, power=power, **framing, **kwargs)
        check_framing(y, config.n_fft, center, pad_mode)
        transform = transform_for(config)
        transform.warn_of_empty_bands()
        mel_values: NDArray[Any] = transform(y)
        return mel_values
    bank = mel(sr=sr, n_fft=n_fft, **kwargs)
    return _weigh(np.abs(stft(y, **framing)) ** power, bank)


def _from_spectrogram(
    S: NDArray[Any], sr: float, n_fft: int | None, bank: dict[str, Any]
) -> NDArray[Any]:
    if np.ndim(S) < 2:
        raise ParameterError(
            f"a spectrogram has the axes (..., n_bins, n_frames), and S.shape={np.shape(S)}"
        )
    n_bins = S.shape[-2]
    if n_fft is None or n_fft // 2 + 1 != n_bins:
        n_fft = 2 * (n_bins - 1)
    if n_fft < 1:
        raise ParameterError(
            f"S.shape={S.shape} has {n_bins} bins, and n_fft cannot be inferred from less than 2; "
            "give S as (..., n_bins, n_frames)"
        )
    return _weigh(S, mel(sr=sr, n_fft=n_fft, **bank))


def _weigh(S: NDArray[Any], bank: NDArray[Any]) -> NDArray[Any]:
    """Sum bins into bands: ``bank @ S`` without most of the bank's zeros.

    Eight neighbouring bands at a time share a range of bins that is narrow, and are enough work
    for a matrix product. In frames with NaN or infinity the zeros have a say, as in librosa: their
    products are NaN in every band.
    """
    n_mels, _ = bank.shape
    bands = np.zeros((*S.shape[:-2], n_mels, S.shape[-1]), np.result_type(S, bank))
    for m in range(0, n_mels, 8):
        weights = bank[m : m + 8]
        bins = np.flatnonzero(weights.any(axis=0))
        if bins.size:
            used = slice(bins[0], bins[-1] + 1)
            np.matmul(weights[:, used], S[..., used, :], out=bands[..., m : m + 8, :])
    strange = ~np.isfinite(S).all(axis=-2)
    if strange.any():
        bands.swapaxes(-1, -2)[strange] = S.swapaxes(-1, -2)[strange] @ bank.T
    return bands
