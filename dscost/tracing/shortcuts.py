"""Short cuts: the results of the operators that most networks are made of, without meta kernels.

Each takes the books, the operator and its arguments, records what it costs and returns the
result; or returns `None` where torch must work it out: a strange layout, mixed dtypes, an error to
be raised.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from dscost.foreign.dispatch import Args
from dscost.layers.convolution import Shape
from dscost.traces.rules import FORMULAS, all_positions, replaced
from dscost.traces.rules.attention import attention_macs
from dscost.traces.rules.products import linear_macs
from dscost.tracing.books import Books
from dscost.tracing.operators import conv_plan, operator_name, shapes_of

aten = torch.ops.aten

_empty = partial(torch.empty, device="meta")

_CONTIGUOUS, _CHANNELS_LAST = torch.contiguous_format, torch.channels_last


def _layout(x: Tensor) -> torch.memory_format | None:
    """Return the layout of what is computed of `x` place by place; `None` where torch must tell."""
    if x.is_contiguous():
        return _CONTIGUOUS
    is_channels_last = x.dim() == 4 and x.is_contiguous(memory_format=_CHANNELS_LAST)
    return _CHANNELS_LAST if is_channels_last else None


def _contiguous_like(x: Tensor) -> Tensor:
    return _empty(x.shape, dtype=x.dtype)


_CONV_DEFAULTS: tuple[Any, ...] = (None, None, None, (1,), (0,), (1,), 1)
"""What torch leaves out of the arguments where it is the default."""


def _conv2d(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    if kwargs:
        return None
    full: tuple[Any, ...] = args + _CONV_DEFAULTS[len(args) :]
    x, w, bias, stride, padding, dilation, groups = full
    layout = _layout(x)
    if x.dtype is not w.dtype:  # torch's meta kernel lets it pass
        raise RuntimeError(f"Input type ({x.dtype}) and weight type ({w.dtype}) should be the same")
    if x.dim() != 4 or layout is None or not w.is_contiguous() or x.dtype.is_complex:
        return None
    numbers = tuple(x.shape), tuple(w.shape), tuple(stride), tuple(padding), tuple(dilation)
    out_shape, macs, spec = conv_plan(*numbers, groups, bias is not None)
    if x.shape[1] != spec.in_channels:  # torch's meta kernel says this less well
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w.shape)}, expected input{list(x.shape)} "
            f"to have {spec.in_channels} channels, but got {x.shape[1]} channels instead"
        )
    if min(out_shape[2:]) < 1 or out_shape[0] < 1:
        return None  # an error, or nothing to do
    out = _empty(out_shape, dtype=x.dtype, memory_format=layout)
    operands = (x, w) if bias is None else (x, w, bias)
    books.record("aten::conv2d", operands, (out,), macs, conv=spec)
    return out


def _linear(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, w, bias = args if len(args) == 3 else (*args, None)
    shape = x.shape
    if x.dtype is not w.dtype:
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {x.dtype} and {w.dtype}"
        )
    if kwargs or w.dim() != 2 or x.dtype.is_complex or w.layout is not torch.strided:
        return None
    if shape[-1] != w.shape[1]:
        rows = shape.numel() // max(1, shape[-1])
        transposed = f"{w.shape[1]}x{w.shape[0]}"
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{shape[-1]} and {transposed})"
        )
    out = _empty((*shape[:-1], w.shape[0]), dtype=x.dtype)
    operands = (x, w) if bias is None else (x, w, bias)
    books.record("aten::linear", operands, (out,), linear_macs(shape, w.shape, out=out.shape))
    return out


def _batch_norm(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x = args[0]
    if kwargs or not x.is_contiguous() or x.dim() < 2:
        return None
    channels = x.shape[1]
    for held in args[1:5]:
        if held is not None and held.shape[0] != channels:
            raise RuntimeError(
                f"running_mean should contain {channels} elements not {held.shape[0]}"
            )
    out = _contiguous_like(x)
    books.record("aten::batch_norm", [one for one in args[:5] if one is not None], (out,))
    return out


def _layer_norm(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, shape = args[0], list(args[1])
    if kwargs or list(x.shape[-len(shape) :]) != shape:
        return None
    # whatever the layout of the input, the result is contiguous
    out = _contiguous_like(x)
    weights = [one for one in args[2:4] if one is not None]
    books.record("aten::layer_norm", [x, *weights], (out,))
    return out


def _softmax(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x = args[0]
    if not -x.dim() <= args[1] < max(1, x.dim()):
        known = f"[{-x.dim()}, {x.dim() - 1}]"
        raise IndexError(
            f"Dimension out of range (expected to be in range of {known}, but got {args[1]})"
        )
    if kwargs or len(args) > 2 or not x.is_contiguous() or not x.is_floating_point():
        return None
    out = _contiguous_like(x)
    books.record("aten::softmax", (x,), (out,), axes=(args[1] % max(1, x.dim()),))
    return out


def _inplace(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, *others = (one for one in args if isinstance(one, Tensor))
    if any(other.shape != x.shape for other in others):
        return None
    books.record(operator_name(func), (x, *others), (x,))
    return x


def _elementwise(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, *others = args
    if not isinstance(x, Tensor) or not x.is_floating_point():
        return None
    layout = _layout(x)
    if layout is None or (kwargs and kwargs.get("dtype")):
        return None
    operands = [x]
    for other in others:
        if isinstance(other, Tensor):
            if other.dtype is not x.dtype or not _broadcasts_onto(other.shape, x.shape):
                return None
            wanted = layout if other.shape == x.shape else _CONTIGUOUS
            if not other.is_contiguous(memory_format=wanted):
                return None
            operands.append(other)
        elif not isinstance(other, int | float):
            return None
    out = _empty(x.shape, dtype=x.dtype, memory_format=layout)
    books.record(operator_name(func), operands, (out,))
    return out


def _broadcasts_onto(small: Shape, large: Shape) -> bool:
    if small == large:
        return True
    offset = len(large) - len(small)
    return offset >= 0 and all(s in (1, large[i + offset]) for i, s in enumerate(small))


def _cat(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    tensors = args[0]
    dim = args[1] if len(args) > 1 else 0
    first = tensors[0]
    are_alike = all(
        one.is_contiguous() and one.dtype is first.dtype and one.dim() == first.dim()
        for one in tensors
    )
    if kwargs or not are_alike:
        return None
    shape = list(first.shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    if sum(t.numel() for t in tensors) != prod(shape):
        return None  # torch has the error message
    out = _empty(shape, dtype=first.dtype)
    books.record("aten::cat", tensors, (out,))
    return out


def _reshape(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor:
    x = args[0]
    out: Tensor = func(*args, **kwargs) if kwargs else func(*args)
    if out.untyped_storage()._cdata != x.untyped_storage()._cdata:
        books.record(operator_name(func), (x,), (out,), op="copy")
    return out


def _copy(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x = args[0]
    if kwargs or not x.is_contiguous():
        return None
    out = _contiguous_like(x)
    books.record(operator_name(func), (x,), (out,), op="copy")
    return out


def _dropout(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    if kwargs or len(args) < 3 or args[2]:
        return None
    return args[0]  # type: ignore[no-any-return]


def _global_average(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, size = args[:2]
    if x.dim() != 4 or not x.is_contiguous() or any(type(s) is not int for s in size):
        return None
    size = list(size) * 2 if len(size) == 1 else list(size)
    out = _empty((*x.shape[:2], *size), dtype=x.dtype)
    op = "global_pooling" if out.shape[2:].numel() == 1 else "pooling"
    books.record(operator_name(func), (x,), (out,), op=op)
    return out


def _mean(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    x, dims = args[:2]
    keep = args[2] if len(args) > 2 else False
    if kwargs or not dims or not x.is_contiguous() or not x.is_floating_point():
        return None
    if any(not -x.dim() <= d < x.dim() for d in dims):
        return None
    positive = {d % x.dim() for d in dims}
    shape = [1 if i in positive else s for i, s in enumerate(x.shape) if keep or i not in positive]
    out = _empty(shape, dtype=x.dtype)
    op = "global_pooling" if all_positions(positive, x.dim()) else "other"
    books.record("aten::mean", (x,), (out,), op=op, axes=tuple(positive))
    return out


def _recurrent(books: Books, func: Any, args: Args, kwargs: Any) -> Any:
    """Return the outputs of an LSTM or GRU over whole sequences; torch would unroll every step."""
    if kwargs or len(args) < 9 or isinstance(args[3], list | tuple):
        return None  # a packed sequence, or defaults left out
    x, states, params, bidirectional = args[0], args[1], args[2], args[7]
    states = [states] if isinstance(states, Tensor) else list(states)
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    out = _empty((*x.shape[:-1], width), dtype=x.dtype)
    finals = [_contiguous_like(state) for state in states]
    operator = operator_name(func)
    shapes = tuple(x.shape), shapes_of(args[1]), shapes_of(params)
    macs = FORMULAS[operator].macs(*shapes, out=())
    books.record(operator, [x, *states, *params], [out, *finals], macs)
    return (out, *finals)


def _attention(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    q, k, v = args[:3]
    mask = args[3] if len(args) > 3 else None
    if (
        q.dim() != 4
        or q.dtype.is_complex
        or (kwargs and kwargs.get("enable_gqa"))
        or q.shape[:2] != k.shape[:2]
        or k.shape[:2] != v.shape[:2]
        or q.shape[-1] != k.shape[-1]
        or k.shape[-2] != v.shape[-2]
    ):
        return None
    batch, heads, rows, _ = q.shape
    # as the CPU kernel does, (B, L, H, E) where the query is laid out so; models view the result
    # relying on it
    _, head_stride, row_stride, last_stride = q.stride()
    if last_stride == 1 and row_stride > head_stride > 0:
        out = _empty((batch, rows, heads, v.shape[-1]), dtype=q.dtype)
        out = out.transpose(1, 2)
    else:
        out = _empty((batch, heads, rows, v.shape[-1]), dtype=q.dtype)
    operands = (q, k, v) if mask is None else (q, k, v, mask)
    macs = attention_macs(q.shape, k.shape, v.shape, out=out.shape)
    books.record("aten::scaled_dot_product_attention", operands, (out,), macs)
    return out


def _grouped_mm(books: Books, func: Any, args: Args, kwargs: Any) -> Tensor | None:
    """Return the product of every group of rows with its own matrix.

    torch's meta kernel takes nothing but bfloat16.
    """
    a, b = args[:2]
    named = dict(zip(("offs", "bias", "out_dtype"), args[2:], strict=False)) | (kwargs or {})
    offs, dtype = named.get("offs"), named.get("out_dtype") or a.dtype
    if not a.is_meta or not {a.dim(), b.dim()} <= {2, 3} or a.shape[-1] != b.shape[-2]:
        return None
    shape: Shape
    if a.dim() == b.dim() == 3:
        shape = (a.shape[0], a.shape[1], b.shape[2])
    elif a.dim() == b.dim() == 2 and offs is not None:
        shape = (offs.shape[0], a.shape[0], b.shape[1])
    else:
        shape = (a.shape[-2], b.shape[-1])
    out = _empty(shape, dtype=dtype)
    operator = operator_name(func)
    macs = FORMULAS[operator].macs(*shapes_of((a, b)), out=shape)
    operands = [a, b, *(value for value in named.values() if isinstance(value, Tensor))]
    books.record(operator, operands, (out,), macs)
    return out


def _dual(books: Books, func: Any, args: Args, kwargs: Any) -> None:
    """Keep in mind that the model differentiates forward, which torch's autograd does or nobody."""
    books.wants_gradients = True


ALWAYS: Mapping[Any, Callable[..., Any]] = {
    aten._grouped_mm.default: _grouped_mm,
    aten._make_dual.default: _dual,
}
"""What torch cannot work out on meta: in force also where everything else is left to torch."""


_ACTIVATIONS = ("relu", "silu", "sigmoid", "hardswish", "hardsigmoid", "hardtanh", "tanh")

_SHORTCUTS: dict[Any, Callable[..., Tensor | None]] = {
    **ALWAYS,
    aten.conv2d.default: _conv2d,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten.layer_norm.default: _layer_norm,
    aten.scaled_dot_product_attention.default: _attention,
    aten.cat.default: _cat,
    **{
        getattr(aten, f"{name}{inplace}").default: _dropout
        for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
        for inplace in ("", "_")
    },
    aten.reshape.default: _reshape,
    aten.flatten.using_ints: _reshape,
    aten.contiguous.default: _reshape,
    aten.roll.default: _copy,
    aten.lstm.input: _recurrent,
    aten.gru.input: _recurrent,
    aten.adaptive_avg_pool2d.default: _global_average,
    aten.mean.dim: _mean,
    aten.softmax.int: _softmax,
    aten.add.Tensor: _elementwise,
    aten.mul.Tensor: _elementwise,
    aten.add_.Tensor: _inplace,
    aten.mul_.Tensor: _inplace,
    aten.gelu.default: _elementwise,
    **{getattr(aten, name).default: _elementwise for name in _ACTIVATIONS},
    **{getattr(aten, f"{name}_").default: _inplace for name in _ACTIVATIONS},
}


def shortcuts_in_force() -> Mapping[Any, Callable[..., Any]]:
    """Return the short cuts, those of operators left out whose formula a user has replaced."""
    given = replaced()
    if not given:
        return _SHORTCUTS
    return {
        func: shortcut for func, shortcut in _SHORTCUTS.items() if operator_name(func) not in given
    }
