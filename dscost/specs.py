"""Another name of `dscost.layers.convolution`, kept for one release."""

from dscost.layers.convolution import *  # noqa: F403
