"""A model's features as data: the configuration, and the transform made from it."""
