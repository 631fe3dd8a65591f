"""A model's features as data: the configuration, the known ones, and the transform made from it."""

from .presets import describe, names, preset

__all__ = ["describe", "names", "preset"]
