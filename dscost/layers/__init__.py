"""Layers as data, valid once they exist, and the cheaper ones in their place. No torch."""
