"""The converted layers of a torch model: their stages as numbers, what they see, new weights."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dscost.converting.decomposing import as_array
from dscost.converting.recovering.fitting import Stages, patches_at
from dscost.converting.recovering.running import Running
from dscost.foreign.parts import each_part, own_tensors
from dscost.layers.convolution import ConvSpec
from dscost.nn.separable import SEPARABLE_CONVS
from dscost.rewriting.convolutions import on_both_sides, spec_of
from dscost.rewriting.replacing import PaddedFirst

_DEPTHWISE_FIRST = tuple(SEPARABLE_CONVS.values())


class Layer(NamedTuple):
    """A converted layer.

    Args:
        name: Its path.
        pointwise: The convolution that mixes channels, in the converted model that runs.
        depthwise: The one that filters them.
        window: What the latter is.
        original: The convolution that it stands for, in the original model that runs.
        stages: The weights of both.
        has_own_bias: Whether it has a bias that no other layer has.
    """

    name: str
    pointwise: Any
    depthwise: Any
    window: ConvSpec
    original: nn.Module
    stages: Stages
    has_own_bias: bool

    @property
    def last(self) -> Any:
        """The stage that runs last, and has the bias."""
        return self.pointwise if self.stages.is_depthwise_first else self.depthwise

    @property
    def bias(self) -> np.ndarray | None:
        """Of the layer, in float64."""
        return None if self.last.bias is None else as_array(self.last.bias)

    @property
    def dims(self) -> int:
        """How many spatial dimensions it has."""
        return len(self.window.kernel_size)

    def features(self, x: Tensor, image: int, at: np.ndarray) -> np.ndarray:
        """Return what the pointwise stage can make the output of, `(features, positions)`.

        Depthwise-first that is what it reads, there; else the patches that both stages see.

        Args:
            x: What it reads.
            image: Which of the batch.
            at: Positions of the layer's output.
        """
        one = self.images(x.detach())[image : image + 1]
        if self.stages.is_depthwise_first:
            return chosen(one[0], at)
        window = self.window
        padding = on_both_sides(window.padding_total)
        mode = "constant" if window.padding_mode == "zeros" else window.padding_mode
        padded = nn.functional.pad(one.to("cpu", torch.float64), padding, mode=mode)[0].numpy()
        return patches_at(padded, window.kernel_size, window.stride, window.dilation, at)

    def batch_of(self, shape: Sequence[int]) -> int:
        """Return how many images there are in an input or output of a shape."""
        return shape[0] if len(shape) == self.dims + 2 else 1

    def images(self, tensor: Tensor) -> Tensor:
        """Return a batch `(B, C, H, W)`, of an input or output with or without one."""
        return tensor if tensor.dim() == self.dims + 2 else tensor.unsqueeze(0)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Return numbers as its weights hold them."""
        dtype = self.pointwise.weight.dtype
        return torch.from_numpy(values).to(dtype).double().numpy()

    def take(self, mixing: np.ndarray, shift: np.ndarray) -> None:
        """Have other weights, and a bias that is shifted."""
        weight, bias = self.pointwise.weight, self.last.bias
        with torch.no_grad():
            weight.copy_(torch.from_numpy(mixing).reshape(weight.shape))
            if bias is not None and shift.any():
                bias.copy_(torch.from_numpy(as_array(bias) + shift))


def chosen(image: Tensor, at: np.ndarray) -> np.ndarray:
    """Return a few positions of an image `(C, H, W)` as `(C, positions)`, in float64."""
    flat = image.detach().flatten(1)
    some: np.ndarray = flat[:, torch.from_numpy(at).to(flat.device)].cpu().double().numpy()
    return some


def layers_at(original: Running, converted: Running, names: Sequence[str]) -> list[Layer]:
    """Return the converted layers at some paths of both models."""
    holders = Counter(
        id(tensor)
        for part in each_part(converted.root)
        for tensor in own_tensors(part)[0].values()
        if tensor is not None
    )
    found = []
    for name in names:
        separable = _unpadded(converted.parts[name])
        pointwise, depthwise = stages_of(separable)
        window = spec_of(depthwise)
        assert window is not None
        stages = Stages(
            filters=as_array(depthwise.weight).reshape(-1, window.kernel_area),
            mixing=as_array(pointwise.weight).reshape(len(pointwise.weight), -1),
            groups=pointwise.groups,
            outputs=separable.out_channels,
            is_depthwise_first=isinstance(separable, _DEPTHWISE_FIRST),
        )
        bias = (pointwise if stages.is_depthwise_first else depthwise).bias
        has_own_bias = bias is not None and holders[id(bias)] == 1
        found.append(
            Layer(name, pointwise, depthwise, window, original.parts[name], stages, has_own_bias)
        )
    return found


def stages_of(module: nn.Module) -> tuple[Any, Any]:
    """Return the pointwise and the depthwise convolution of a converted layer."""
    separable = _unpadded(module)
    pointwise = separable.pointwise
    if isinstance(pointwise, nn.Sequential):  # with a normalisation behind it or not
        pointwise = pointwise.get_submodule("conv")
    return pointwise, separable.depthwise


def _unpadded(module: nn.Module) -> Any:
    return module.get_submodule("convolution") if isinstance(module, PaddedFirst) else module
