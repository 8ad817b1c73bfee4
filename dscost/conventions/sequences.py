"""What tools count of attention and of recurrent modules, each by a formula of its own."""

from math import prod

from dscost.conventions.settings import given, number
from dscost.errors import InputError
from dscost.traces.calls import Call

# -- attention


def multihead_attention(call: Call) -> int:
    """Return what multi-head attention does, scaling, bias and softmax included.

    Projections are taken for square ones of each input's width.

    Source:
        ptflops/pytorch_ops.py, multihead_attention_counter_hook.
    """
    heads = number(call, "num_heads")
    shapes = [given(call, at) for at in range(3)]
    at = 1 if call.attributes.get("batch_first") else 0
    batch = shapes[0][1 - at] if len(shapes[0]) == 3 else 1
    widths = [shape[-1] for shape in shapes]
    lengths = [shape[at] if len(shape) == 3 else shape[0] for shape in shapes]
    (wide, _, wide_value), (queries, keys, _) = widths, lengths

    projected = sum(length * width**2 for length, width in zip(lengths, widths, strict=True))
    biased = sum(lengths) * wide if "in_proj_bias" in call.parameters else 0
    one_head = queries * keys * (wide // heads + 1 + wide_value // heads)
    out = queries * wide_value * (wide_value + 1)
    return batch * (queries * wide + projected + biased + heads * one_head + out)


def attention_of_timm(call: Call) -> int:
    """Return what attention of timm does between its projections, which it hides.

    Source:
        ptflops/pytorch_ops.py, timm_attention_counter_hook.
    """
    batch, length = given(call, 0)[:2]
    wide, heads = number(call, "head_dim"), number(call, "num_heads")
    one_head = length**2 * (2 * wide + 1)
    return batch * heads * (length * wide + one_head)


# -- recurrent modules, as ptflops counts them

_ELEMENTWISE = {"RNN": 1, "GRU": 1 + 3 + 3, "LSTM": 4 + 3 + 3}
"""Operations per hidden value and step, besides products and bias."""


def recurrent_by_weights(call: Call) -> int:
    """Return what a recurrent module does, by the shapes of its weights.

    In both directions it is twice the first one.

    Source:
        ptflops/pytorch_ops.py, rnn_flops_counter_hook.
    """
    layers = range(number(call, "num_layers"))
    once = sum(_step_by_weights(call, f"_l{layer}") for layer in layers)
    directions = 2 if call.attributes.get("bidirectional") else 1
    return once * prod(given(call, 0)[:2]) * directions


def recurrent_cell_by_weights(call: Call) -> int:
    """Return what a recurrent cell does, by the shapes of its weights.

    Source:
        ptflops/pytorch_ops.py, rnn_cell_flops_counter_hook.
    """
    return _step_by_weights(call, "") * given(call, 0)[0]


def _step_by_weights(call: Call, ending: str) -> int:
    names = (f"{part}{ending}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    products = sum(prod(call.parameters.get(name, (0,))) for name in names)
    return products + _ELEMENTWISE[_family(call)] * number(call, "hidden_size")


# -- recurrent modules, as thop counts them

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_AFTER_GATES = {"RNN": 0, "GRU": 1 + 3, "LSTM": 3 + 1}
"""Operations per hidden value and step that come after the gates."""


def recurrent_by_gates(call: Call) -> int:
    """Return what a recurrent module does, gate by gate.

    Source:
        thop/rnn_hooks.py, count_rnn, count_gru and count_lstm.
    """
    hidden = number(call, "hidden_size")
    directions = 2 if call.attributes.get("bidirectional") else 1
    first = _step_by_gates(call, number(call, "input_size"))
    later = _step_by_gates(call, hidden * directions) * (number(call, "num_layers") - 1)
    return directions * (first + later) * prod(given(call, 0)[:2])


def recurrent_cell_by_gates(call: Call) -> int:
    """Return what a recurrent cell does, gate by gate.

    Source:
        thop/rnn_hooks.py, count_rnn_cell, count_gru_cell and count_lstm_cell.
    """
    return _step_by_gates(call, number(call, "input_size")) * given(call, 0)[0]


def _step_by_gates(call: Call, wide: int) -> int:
    hidden, family = number(call, "hidden_size"), _family(call)
    bias = 2 if call.attributes.get("bias") else 0
    gate = hidden * (wide + hidden) + hidden * (1 + bias)
    return _GATES[family] * gate + _AFTER_GATES[family] * hidden


def _family(call: Call) -> str:
    family = call.name.rpartition(".")[2].removesuffix("Cell")
    if family not in _GATES:
        raise InputError(f"{call.name} is not recurrent, as a rule for it takes it to be")
    return family
