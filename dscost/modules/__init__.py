"""Torch modules made and copied: from layers as data, with others in their place, with values."""
