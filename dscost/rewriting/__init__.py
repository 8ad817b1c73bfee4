"""Torch models whose convolutions are replaced: which may be, by what, and the model that comes of it."""
