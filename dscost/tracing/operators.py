"""What torch's operators are: their names, their answers, their arguments as shapes and specs."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from dscost.foreign.dispatch import Args, Kwargs
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.formulas import conv_out_size
from dscost.traces.rules import FORMULAS, MEAN, all_positions, named, replaced, word_of
from dscost.traces.rules.convolutions import conv_macs
from dscost.traces.rules.free import is_free
from dscost.tracing.higher_order import NAMESPACE, is_higher_order
from dscost.tracing.packed import is_packed, unpacked

VIEWS: set[Any] = set()
"""Operators met so far that return a view: they cost nothing and share the storage of what they
view."""


def answer_of(func: Any) -> str:
    """Return `formula`, `free`, `composite`, `higher_order` or `unknown`.

    Only a formula may come or go later. One for an operator that runs functions has the last word
    where a user has given it.
    """
    operator = operator_name(func)
    if FORMULAS.get(operator) is None or (is_higher_order(func) and operator not in replaced()):
        return _answer_without_formula(func)
    return "formula"


def parts_of(func: Any, answer: str) -> Callable[..., Any] | None:
    """Return what runs the parts of an operator with such an answer; `None` where it runs whole."""
    if answer == "composite":
        return func.decompose  # type: ignore[no-any-return]
    return torch._decomp.decomposition_table.get(func) if answer == "unknown" else None


@cache
def _answer_without_formula(func: Any) -> str:
    if is_higher_order(func):
        return "higher_order"
    name = operator_name(func)
    if torch.Tag.inplace_view in func.tags and name not in _OF_ANOTHER_SIZE:  # squeeze_, t_, …
        VIEWS.add(func)
        return "free"
    if is_free(name):
        return "free"
    if func.is_view:  # what may copy instead, such as reshape, stands in FREE
        VIEWS.add(func)
        return "free"
    if torch.Tag.pointwise in func.tags or torch.Tag.view_copy in func.tags:
        return "free"
    return "composite" if can_decompose(func) else "unknown"


_OF_ANOTHER_SIZE = {*named("aten", "resize_ resize_as_ resize_as_sparse_ set_")}
"""What changes its own operand in place and is no view of it."""


def can_decompose(func: Any) -> bool:
    """Whether torch takes an operator apart before a counter sees it, but in inference mode."""
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    return bool(func.has_kernel_for_dispatch_key(key)) or key in func.py_kernels


@cache
def operator_name(func: Any) -> str:
    """Return `namespace::name`, without the overload; `higher_order::name` if it runs functions."""
    if is_higher_order(func):
        return f"{NAMESPACE}{func._name}"
    name: str = func._schema.name
    return name


def factors_of(func: Any, args: Args) -> tuple[Any, ...]:
    """Return the arguments of an operator, but those that a convolution's gradients do not need."""
    if func is not torch.ops.aten.convolution_backward.default:
        return args
    of_input, of_weights, _ = args[10]
    return args[0], args[1] if of_weights else None, args[2] if of_input else None


def shapes_of(value: Any) -> Any:
    """Return arguments with every tensor replaced by its shape."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, tuple | list):
        return [shapes_of(entry) for entry in value]
    if isinstance(value, dict):
        return {key: shapes_of(entry) for key, entry in value.items()}
    return unpacked(value).as_argument if is_packed(value) else value


@cache
def takes_packed(func: Any) -> bool:
    """Whether an operator takes weights that torch has packed."""
    schema = getattr(func, "_schema", None)
    return schema is not None and any(
        "__torch__" in str(argument.type) for argument in schema.arguments
    )


def real_products(operator: str, operands: Sequence[Tensor]) -> int:
    """Return of how many real products a product of an operator is made, by its complex factors.

    Four where both factors are complex, two with one. A formula that a user has given is taken as
    it is.
    """
    rule = FORMULAS.get(operator)
    if rule is None or operator in replaced():
        return 1
    complex_factors = sum(
        operands[at].is_complex() for at in rule.factors[:2] if at < len(operands)
    )
    return 1 << complex_factors


# -- convolutions as specs


def conv_of(operator: str, args: Args, kwargs: Kwargs) -> ConvSpec | None:
    """Return the spec of a forward convolution, `None` where it is transposed or none."""
    names = _CONVOLUTIONS.get(operator)
    if names is None:
        return None
    given: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    given.update(zip(names, args, strict=False), **kwargs)
    if given.get("transposed"):
        return None
    padding = 0 if given["padding"] == "valid" else given["padding"]
    steps = _key(given["stride"]), _key(padding), _key(given["dilation"])
    has_bias = given.get("bias") is not None
    return _spec(tuple(given["weight"].shape), *steps, given["groups"], has_bias)


_NAMES = "input weight bias stride padding dilation"
_CONVOLUTIONS = {
    **dict.fromkeys(named("aten", "conv1d conv2d conv3d"), f"{_NAMES} groups".split()),
    **dict.fromkeys(
        named("aten", "convolution _convolution"), f"{_NAMES} transposed _ groups".split()
    ),
}
"""What the arguments of convolutions are called."""


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def _spec(w: Shape, stride: Any, padding: Any, dilation: Any, groups: int, bias: bool) -> ConvSpec:
    kernel = w[2:]

    def full(value: Any) -> Any:
        if isinstance(value, str):
            return value
        pair = (value,) if isinstance(value, int) else tuple(value)
        return pair * len(kernel) if len(pair) == 1 else pair

    return ConvSpec(
        w[1] * groups, w[0], kernel, full(stride), full(padding), full(dilation), groups, bias
    )


@lru_cache(maxsize=4096)
def conv_plan(
    x: Shape, w: Shape, stride: Any, padding: Any, dilation: Any, groups: int, bias: bool
) -> tuple[Shape, int, ConvSpec]:
    """Return the output shape, the MACs and the spec of a batched 2-D convolution."""
    spec = _spec(w, stride, padding, dilation, groups, bias)
    extents = tuple(
        conv_out_size(size, k, s, p, d)
        for size, k, s, p, d in zip(
            x[2:], spec.kernel_size, spec.stride, spec.padding_total, spec.dilation, strict=True
        )
    )
    out = (x[0], w[0], *extents)
    return out, conv_macs(x, w, out=out), spec


# -- what their shapes and arguments tell


def axes_along(func: Any, args: Args, kwargs: Kwargs) -> tuple[int, ...]:
    """Return the axes of its first tensor that an operator works along: `dim`, or all."""
    at = _place_of("dim", func)
    given = kwargs.get("dim", args[at] if at is not None and at < len(args) else None)
    dimensions = args[0].dim()
    if given is None or given == []:
        return tuple(range(dimensions))
    return tuple(
        axis % max(1, dimensions) for axis in ((given,) if isinstance(given, int) else given)
    )


@cache
def _place_of(name: str, func: Any) -> int | None:
    names = [argument.name for argument in func._schema.arguments]
    return names.index(name) if name in names else None


def word_of_moving(
    func: Any, operands: Sequence[Tensor], results: Sequence[Tensor], args: Any, kwargs: Any
) -> str:
    """Return what an operator without MACs computes, in the words of a report."""
    operator = operator_name(func)
    if operator in _PADDING and _pads_nowhere(args, kwargs):
        return "copy"
    op = word_of(operator)
    if op == MEAN:
        is_global = (
            all_positions(axes_along(func, args, kwargs), operands[0].dim())
            if operator == "aten::mean"
            else operands[0].dim() == 4 and results[0].shape[2:].numel() == 1
        )
        return "global_pooling" if is_global else "other"
    return op or ("elementwise" if torch.Tag.pointwise in func.tags else "other")


_PADDING = {
    *named("aten", "pad constant_pad_nd _pad_circular _pad_enum"),
    *named("aten", "reflection_pad1d reflection_pad2d reflection_pad3d"),
    *named("aten", "replication_pad1d replication_pad2d replication_pad3d"),
}


def _pads_nowhere(args: Args, kwargs: Kwargs) -> bool:
    """Whether the arguments of an operator that pads make it copy what it is given."""
    amounts: Any = args[1] if len(args) > 1 else kwargs.get("pad", kwargs.get("padding", (1,)))
    return not any(amounts)
