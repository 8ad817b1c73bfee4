"""Specs and operations → torch modules with random weights."""

import copy
from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError
from dscost.foreign.parts import (
    changed,
    each_parameter,
    each_part,
    each_tensor,
    needs_no_gradients,
    own_tensors,
    set_training,
)
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    ConcatSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    Part,
    PoolSpec,
    ShuffleSpec,
    Spec,
)
from dscost.layers.variants import Convs
from dscost.modules.convs import CONVS, torch_activation, torch_conv
from dscost.networks.network import (
    NETWORK_INPUT,
    Operation,
    consumers,
    overwrites,
    stage_operations,
)


class Add(nn.Module):
    """Elementwise sum of two tensors."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return `first + second`."""
        return first + second


class Multiply(nn.Module):
    """Elementwise product of two tensors."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return `first * second`; `second` may be `(B, C, 1, 1)`."""
        return first * second


class Concat(nn.Module):
    """Feature maps one behind the other along their channels."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Return `(B, C1 + C2 + …, H, W)` of maps `(B, Ci, H, W)`."""
        return torch.cat(maps, dim=1)


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """That of torch where a function stands in the reference: who looks for its class passes by."""


class Network(nn.Module):
    """Operations as a module whose children carry the operations' names.

    Intermediate results are dropped after their last reader, as a hand-written forward does.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        super().__init__()
        last_reader = {
            source: position for position, op in enumerate(operations) for source in op.sources
        }
        self.steps: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = []
        readers = consumers(operations)
        for position, operation in enumerate(operations):
            inplace = overwrites(operations, readers, operation)
            module = build_module(operation.spec, inplace=inplace)
            _attach(self, operation.name, module)
            done = {source for source in operation.sources if last_reader[source] == position}
            self.steps.append((module, operation.sources, tuple(done)))

    def train(self, mode: bool = True) -> "Network":
        """Set the mode; unlike the inherited one it bears a layer that is called `training`."""
        for module in self.modules():
            module.__dict__["training"] = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last operation for an input `(B, C, H, W)`."""
        live = {NETWORK_INPUT: x}
        for position, (module, sources, done) in enumerate(self.steps):
            result = module(*(live[source] for source in sources))
            for source in done:
                del live[source]
            live[position] = result
        output: Tensor = result
        return output


def build_module(spec: Spec, *, inplace: bool = False) -> nn.Module:
    """Return the torch module of one layer.

    With `inplace` an activation may overwrite its input, as the reference implementations do.
    """
    match spec:
        case ConvSpec():
            return build_conv(spec)
        case LinearSpec():
            return nn.Linear(spec.in_features, spec.out_features, bias=spec.bias)
        case BatchNormSpec():
            return _NORMS[spec.dims](spec.channels)
        case ActivationSpec():
            return torch_activation(spec, channels=1, inplace=inplace)
        case PoolSpec():
            pool: Any = nn.MaxPool2d if spec.kind == "max" else nn.AvgPool2d
            pooling: nn.Module = pool(
                spec.kernel_size, spec.stride, spec.padding, ceil_mode=spec.ceil_mode
            )
            return pooling
        case GlobalPoolSpec():
            kind = AdaptiveAvgPool2d if spec.functional else nn.AdaptiveAvgPool2d
            return kind(spec.output_size)
        case FlattenSpec():
            return nn.Flatten()
        case DropoutSpec():
            return nn.Dropout(spec.probability)
        case JoinSpec():
            return Add() if spec.kind == "add" else Multiply()
        case ConcatSpec():
            return Concat()
        case ShuffleSpec():
            return nn.ChannelShuffle(spec.groups)


_NORMS: Mapping[int, Callable[[int], nn.Module]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
"""Batch normalisation by the dimensions of what is normalised."""


def build_conv(spec: ConvSpec) -> nn.Module:
    """Return a convolution with weights that keep the scale of its input."""
    conv: nn.Module = torch_conv(spec)
    _keep_scale(conv)
    return conv


def _keep_scale(layer: nn.Module) -> None:
    """Give a layer random weights that keep the scale of its input.

    torch's own initial weights shrink the signal until a deep network computes with denormal
    numbers, slowly.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    fan_in = max(1, prod(weight.shape[1:]))
    nn.init.normal_(weight, std=sqrt(2 / fan_in))


def with_values(module: nn.Module, make_real: Callable[[], nn.Module] | None = None) -> nn.Module:
    """Return a copy of a model that can run: with its own values, or random ones where it has none.

    `make_real` makes it once more with initial values, which its buffers may need.

    Raises:
        InputError: Its tensors are fake: what runs them may crash.
    """
    if any(type(tensor.data).__name__ == "FakeTensor" for tensor in each_parameter(module)):
        raise InputError("its weights are fake, without values: make it outside of FakeTensorMode")
    if not any(tensor.is_meta for tensor in each_tensor(module)):
        return copy.deepcopy(module)
    new = copy.deepcopy(module) if make_real is None else make_real()
    made: dict[int, Tensor] = {}
    for layer in each_part(new):
        empty = make_real is not None
        for tensors in own_tensors(layer):
            for name, tensor in tensors.items():
                if tensor is not None and tensor.is_meta:
                    empty = True
                    tensors[name] = made.setdefault(id(tensor), _filled(tensor))
        if not empty:
            continue
        reset = getattr(layer, "reset_parameters", None)
        # only where nothing had values: resetting would overwrite what was given
        had_none = all(id(t) in map(id, made.values()) for t in each_parameter(layer))
        if reset is not None and make_real is None and had_none:
            reset()
        if isinstance(layer, _SCALED) and layer.weight.dim() > 1:
            # torch's own would let a deep model fade into denormal numbers, which are slow
            with torch.no_grad():
                _keep_scale(layer)
    return new


def _filled(tensor: Tensor) -> Tensor:
    """Return a small constant in place of a tensor without values."""
    value = torch.full_like(tensor, 0.02 if tensor.is_floating_point() else 0, device="cpu")
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(value, tensor.requires_grad) if is_parameter else value


_SCALED: tuple[type[Any], ...] = (*CONVS.values(), nn.Linear)
"""Whose random weights are made to keep the scale of their input."""


def build_stages(convs: Convs) -> nn.Module:
    """Return named convolutions as one module that runs them one after the other."""
    if len(convs) == 1:
        return build_conv(convs[0][1])
    stages = nn.Sequential()
    for name, conv in convs:
        stages.add_module(name, build_conv(conv))
    return stages


def build_variant(parts: Sequence[Part], input_shape: Shape) -> nn.Module:
    """Return the stages of a variant as one module, for inputs `(B, C, H, W)` of `input_shape`."""
    convs = []
    for name, spec, *reads in parts:
        if reads or not isinstance(spec, ConvSpec):
            return Network(stage_operations(parts, input_shape))
        convs.append((name, spec))
    return build_stages(tuple(convs))


def placed(module: nn.Module, *, device: str, dtype: str, memory_format: str) -> nn.Module:
    """Return the module for inference, with its weights where and how they are to be used."""
    kind, layout = getattr(torch, dtype), _FORMATS[memory_format]

    def change(tensor: Tensor) -> Tensor:
        # complex weights stay complex: what is real alone would be another model
        new = tensor.to(device, kind if tensor.is_floating_point() else tensor.dtype)
        if new.dim() not in (4, 5):
            return new
        return new.to(memory_format=layout)  # as torch does; it refuses five

    set_training(module, False)
    needs_no_gradients(module)
    changed(module, change)
    return module


def random_input(shape: Sequence[int], *, device: str, dtype: str, memory_format: str) -> Tensor:
    """Return normally distributed values."""
    values = torch.randn(*shape).to(device, getattr(torch, dtype))
    return values.to(memory_format=_FORMATS[memory_format]) if values.dim() == 4 else values


_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def _attach(root: nn.Module, name: str, module: nn.Module) -> None:
    """Hang a module under a dotted path, with any name: `add_module` refuses such as `forward`."""
    *folders, leaf = name.split(".")
    for folder in folders:
        children = root._modules
        if folder not in children:
            children[folder] = nn.Module()
        root = children[folder]  # type: ignore[assignment]
    root._modules[leaf] = module
