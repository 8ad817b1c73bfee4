"""Layers of a converted model → the expressions that make them, and what these need."""

import ast
import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.converting import code_parts as parts
from dscost.foreign.parts import dtype_name, named_parts
from dscost.modules import building
from dscost.modules.convs import CONVS
from dscost.nn.separable import BLUEPRINT_CONVS, SEPARABLE_CONVS
from dscost.rewriting.convolutions import FixedPadding, SamePadding, layout_of
from dscost.rewriting.replacing import PaddedFirst


class Code(NamedTuple):
    """Code that is being put together.

    Args:
        imports: Lines, in any order.
        used: What it needs of `code_parts` and `modules.building`.
        lines: The body of `make`.
    """

    imports: set[str]
    used: dict[str, Any]
    lines: list[str]

    def needs(self, part: Any) -> str:
        """Return the name of a class or function that is to be copied into the code."""
        self.used[part.__name__] = part
        return str(part.__name__)


# -- an architecture, written out


def write_out(module: nn.Module, code: Code) -> None:
    """Write every layer of an architecture, with the names of those whose results it reads."""
    assert isinstance(module, building.Network)
    names = {id(part): name for name, part in named_parts(module)}
    network = code.needs(parts.Network)
    code.lines.append(f"model = {network}(")
    for layer, sources, _ in module.steps:
        read = [names[id(module.steps[one][0])] if one >= 0 else None for one in sources]
        reads = [f"{network}.INPUT" if name is None else quoted(name) for name in read]
        step = ", ".join([quoted(names[id(layer)]), layer_code(layer, code), *reads])
        code.lines.append(f"    ({step}),")
    code.lines.append(")")


def quoted(text: str) -> str:
    """Return a text as code, in double quotes."""
    return json.dumps(text)


# -- layers


def layer_code(layer: nn.Module, code: Code) -> str:
    """Return the expression that makes a layer."""
    if isinstance(layer, PaddedFirst):
        pad, convolution = layer._modules["pad"], layer._modules["convolution"]
        assert convolution is not None
        inner = f"{_padding(pad, code)}, {layer_code(convolution, code)}, {layer.padding!r}"
        return f"{code.needs(parts.PaddedFirst)}({inner})"
    for convs, part in _OWN:
        if isinstance(layer, tuple(convs.values())):
            return _separable(layer, part, code)
    if type(layer) in (building.Add, building.Multiply, building.Concat):
        return f"{code.needs(type(layer))}()"
    return _of_torch(layer)


_OWN = ((SEPARABLE_CONVS, parts.SeparableConv), (BLUEPRINT_CONVS, parts.BlueprintConv))
"""What takes the place of convolutions, over so many dimensions, and what makes it in code."""


def _of_torch(layer: nn.Module) -> str:
    """Return a layer of torch as its `repr` says that it is made, without what is usual."""
    (statement,) = ast.parse(f"nn.{layer!r}").body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    usual = inspect.signature(type(layer)).parameters
    statement.value.keywords = [
        one
        for one in statement.value.keywords
        if not (one.arg in usual and usual[str(one.arg)].default == ast.literal_eval(one.value))
    ]
    return ast.unparse(statement).replace("'", '"')


def _padding(pad: nn.Module | None, code: Code) -> str:
    if isinstance(pad, FixedPadding):
        return f"nn.ZeroPad{len(pad.sides) // 2}d({pad.sides!r})"
    assert isinstance(pad, SamePadding)
    conv = pad.conv
    window = f"{conv.kernel_size!r}, {conv.stride!r}, {conv.dilation!r}"
    return f"{code.needs(parts.SamePadding)}({window})"


def _separable(layer: Any, part: type, code: Code) -> str:
    """Return a depthwise-separable convolution with what differs from the usual."""
    dims = len(layer.kernel_size)
    given = [str(layer.in_channels), str(layer.out_channels), _extent(layer.kernel_size)]
    usual = {"stride": (1,) * dims, "padding": (0,) * dims, "dilation": (1,) * dims}
    for name, value in {**usual, "groups": 1, "padding_mode": "zeros"}.items():
        if getattr(layer, name) != value:
            value = getattr(layer, name)
            given.append(f"{name}={quoted(value) if isinstance(value, str) else _extent(value)}")
    if layer.bias is None:
        given.append("bias=False")
    if layer.depth_multiplier != 1:
        given.append(f"depth_multiplier={layer.depth_multiplier}")
    if dims != 2:
        given.append(f"conv=nn.{CONVS[dims].__name__}")
    made = f"{code.needs(part)}({', '.join(given)})"
    return made + "".join(_placed(layer))


def _extent(value: Any) -> str:
    """Return one number for equal ones, as torch takes it."""
    if isinstance(value, tuple) and len(set(value)) == 1:
        return repr(value[0])
    return repr(value)


def _placed(layer: Any) -> Iterator[str]:
    """Yield what makes the weights of a layer lie where they do, of the dtype that they have."""
    weight: Tensor = layer.depthwise.weight
    if weight.dtype != torch.float32:
        yield f".to(torch.{dtype_name(weight.dtype)})"
    if weight.device.type != "cpu":
        yield f".to({str(weight.device)!r})"
    layout = layout_of(layer.depthwise)
    if layout is not None:
        yield f".to(memory_format={layout})"
    if not any(one.requires_grad for one in layer.parameters()):
        yield ".requires_grad_(False)"


def write_ties(root: nn.Module, new: Iterable[nn.Module], code: Code) -> None:
    """Write which parameters of new layers of a model are one, with each other or with others."""
    within = {id(part) for layer in new for part in layer.modules()}
    names: dict[int, dict[tuple[int, str], str]] = {}
    is_new: set[int] = set()
    for path, part in named_parts(root):
        for leaf, parameter in part._parameters.items():
            if parameter is None:
                continue
            key = f"{path}.{leaf}" if path else leaf
            names.setdefault(id(parameter), {})[id(part), leaf] = key
            if id(part) in within:
                is_new.add(id(parameter))
    for parameter_id, same in names.items():
        first, *others = same.values()
        if others and parameter_id in is_new:
            tie = code.needs(parts.tie)
            code.lines.extend(f"{tie}(model, {quoted(name)}, {quoted(first)})" for name in others)
