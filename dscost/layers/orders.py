"""Which of the two stages in the place of a convolution runs first, and what both are then.

Depthwise-first, every input channel has T filters of its own, which the 1×1 mixes. Pointwise-first,
every output channel has T blueprints of its own, each passed over a mixture of the input that the
1×1 has made for it.
"""

from dataclasses import replace
from typing import Final, Literal, NamedTuple, get_args

from dscost.errors import SpecError
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import Convs, depthwise_separable, pointwise_like, why_not_separable

Order = Literal["depthwise-first", "pointwise-first"]
DEPTHWISE_FIRST: Final = "depthwise-first"
POINTWISE_FIRST: Final = "pointwise-first"
ORDERS: tuple[Order, ...] = get_args(Order)


class Form(NamedTuple):
    """What a convolution may become: two stages in an order.

    Args:
        rank: T, how many spatial filters every channel of the stage with the kernel has: an input
            channel if that is the first stage, an output channel if it is the last.
        order: Which stage runs first.
    """

    rank: int
    order: Order = DEPTHWISE_FIRST

    @property
    def text(self) -> str:
        """The rank, with the order where that is not the usual one: `2`, `2 pointwise-first`."""
        return f"{self.rank}{'' if self.order == DEPTHWISE_FIRST else f' {self.order}'}"

    def stages(self, spec: ConvSpec) -> Convs:
        """Return both stages that stand for `spec`, in the order in which they run."""
        make = depthwise_separable if self.order == DEPTHWISE_FIRST else pointwise_first
        return make(spec, self.rank)


def pointwise_first(spec: ConvSpec, depth_multiplier: int = 1) -> Convs:
    """Return the pointwise stage, then the stage with the kernel, that stand for `spec`.

    The first takes the groups and runs at the size of the input. The second has N groups of T
    inputs, and takes stride, padding, dilation, padding mode and bias. `SpecError` says why there
    are none, see `why_not_separable`.

    Source:
        Haase and Amthor 2020, BSConv-U, for T = 1 (arXiv:2003.13549).
    """
    reason = why_not_separable(spec)
    if reason:
        raise SpecError(reason)
    if depth_multiplier < 1:
        raise SpecError(f"depth_multiplier must be at least 1, found {depth_multiplier}")
    middle = spec.out_channels * depth_multiplier
    return (
        ("pointwise", pointwise_like(spec, spec.in_channels, middle)),
        ("depthwise", replace(spec, in_channels=middle, groups=spec.out_channels)),
    )
