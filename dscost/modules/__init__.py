"""Torch modules made and copied: from layers as data, with other modules in place of some, with values."""
