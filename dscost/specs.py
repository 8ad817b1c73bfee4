"""Another name of `dscost.layers.convolution`, kept for one release."""

from dscost.layers.convolution import *  # noqa: F403
from dscost.layers.convolution import ConvSpec, conv2d

__all__ = ["ConvSpec", "conv2d"]
