"""Torch models whose convolutions are replaced: which may be, by what, and what comes of it."""
