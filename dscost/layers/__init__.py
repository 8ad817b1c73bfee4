"""Layers as data, valid once they exist, what they cost, and the cheaper ones in their place. No torch."""
