"""What of a model could be depthwise-separable and `dscost convert` leaves as it is."""

from collections.abc import Iterable

from dscost.layers.variants import MIN_CHANNELS, too_few_channels
from dscost.reports.records import Layer


def left_by_convert(layers: Iterable[Layer], swappable: int) -> str:
    """Return the end of a sentence on how many of the convolutions have few channels, or nothing.

    Args:
        layers: Of the model.
        swappable: How many convolutions could be depthwise-separable.
    """
    specs = [layer.conv for layer in layers if layer.variants and layer.swappable == 1]
    left = sum(bool(spec and too_few_channels(spec, MIN_CHANNELS)) for spec in specs)
    if not left or len(specs) < swappable:  # of a layer that runs several only one is known
        return ""
    which = f"{left} of them" if left < swappable else "it" if left == 1 else "all of them"
    return f"; dscost convert leaves {which}, of fewer than {MIN_CHANNELS} channels"
