"""The exceptions that fastmel raises on purpose."""

__all__ = ["ParameterError"]


class ParameterError(ValueError):
    """An argument has a value that the call cannot work with.

    Raised wherever librosa raises its ``ParameterError``; being a :class:`ValueError` too, it is
    caught by code that knows neither library.
    """
