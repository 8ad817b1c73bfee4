"""Recurrent layers: every weight matrix is met once by every row, forward and in each gradient."""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.traces.rules.table import Shape, named, register_formula, twice


# lstm(input, Tensor[] hx, Tensor[] params, bool has_biases, …),
# or (data, batch_sizes, hx, params, …)
@register_formula(*named("aten", "lstm gru rnn_tanh rnn_relu"), op="recurrent", gradients=twice)
def recurrent_macs(x: Shape, *arguments: Any, out: Shape, **__: Any) -> int:
    """Return one use of every weight matrix per time step and sequence.

    The first argument is `(T, B, M)` in either order, or `(rows, M)` of a packed sequence; each
    weight matrix (input, hidden, projection) of each layer and direction is met once by each row.
    """
    lists = [value for value in reversed(arguments) if _is_shapes(value)]
    params = next(value for value in lists if any(len(shape) == 2 for shape in value))
    weights: int = sum(prod(shape) for shape in params if len(shape) == 2)
    return prod(x[:-1]) * weights


# _cudnn_rnn(input, Tensor[] weight, …)
# quantized_lstm(input, Tensor[] hx, packed weights[] params, …)
@register_formula(
    *named("aten", "_cudnn_rnn miopen_rnn _lstm_mps quantized_lstm quantized_gru"),
    op="recurrent",
    gradients=twice,
)
def fused_recurrent_macs(x: Shape, *arguments: Any, out: Any, **__: Any) -> int:
    """Return one use of every matrix per row; weights are matrices, states have three axes."""
    shapes = [shape for value in arguments for shape in _shapes_in(value)]
    weights: int = sum(prod(shape) for shape in shapes if len(shape) == 2)
    return prod(x[:-1]) * weights


# mkldnn_rnn_layer(input, weight_ih, weight_hh, …): one layer in one direction
@register_formula("aten::mkldnn_rnn_layer", op="recurrent", gradients=twice)
def recurrent_layer_macs(x: Shape, w_ih: Shape, w_hh: Shape, *_: Any, out: Any, **__: Any) -> int:
    """Return one use of both weight matrices per row."""
    return prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


# lstm_cell(input, Tensor[] hx, w_ih, w_hh, …)
@register_formula(
    *named("aten", "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
    *named("aten", "quantized_lstm_cell quantized_gru_cell"),
    *named("aten", "quantized_rnn_tanh_cell quantized_rnn_relu_cell"),
    *named("quantized", "quantized_lstm_cell_dynamic quantized_gru_cell_dynamic"),
    *named("quantized", "quantized_rnn_tanh_cell_dynamic quantized_rnn_relu_cell_dynamic"),
    op="recurrent",
    gradients=twice,
)
def recurrent_cell_macs(
    x: Shape, hx: Any, w_ih: Shape, w_hh: Shape, *_: Any, out: Any, **__: Any
) -> int:
    """Return one use of both weight matrices per sequence."""
    return prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


def _shapes_in(value: Any) -> list[Shape]:
    """Return the shapes in a list, nested as packed weights of several matrices are; else none."""
    found: list[Shape] = []
    for entry in value if isinstance(value, list) else ():
        found += [entry] if isinstance(entry, tuple) else _shapes_in(entry)
    return found


def _is_shapes(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and bool(value)
    return is_list and all(isinstance(shape, tuple) for shape in value)
