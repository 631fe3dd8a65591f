"""The exceptions that fastmel raises on purpose."""

__all__ = ["ParameterError"]


class ParameterError(ValueError):
    """An argument has a value that the call cannot work with.

    A subclass of :class:`ValueError`, as ``librosa.ParameterError`` is through ``LibrosaError``.
    """
