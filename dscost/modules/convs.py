"""torch's own modules of convolutions and activations, as specs describe them."""

from typing import Any

from torch import nn

from dscost.layers.convolution import ConvSpec
from dscost.layers.others import ActivationSpec

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""torch's convolution over so many spatial dimensions."""
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
"""torch's transposed convolution over so many."""


def torch_conv(spec: ConvSpec, **factory_kwargs: Any) -> Any:
    """Return torch's convolution of a spec, on the `device` and of the `dtype` of the others."""
    arguments = dict(spec.given)
    kinds: Any = TRANSPOSED if arguments.pop("transposed", False) else CONVS
    return kinds[len(spec.kernel_size)](**arguments, **factory_kwargs)


def torch_activation(spec: ActivationSpec, channels: int, *, inplace: bool) -> nn.Module:
    """Return torch's activation of a spec, which may overwrite its input where torch has it so.

    A softmax goes over the dimension of the `channels`.
    """
    options: dict[str, Any] = {"inplace": inplace} if spec.can_overwrite else {}
    if spec.kind == "softmax":
        options = {"dim": channels}
    module: nn.Module = getattr(nn, spec.type)(**options)
    return module
