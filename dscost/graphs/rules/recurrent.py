"""Recurrent layers: every weight matrix is met once by every row, at every step."""

from math import prod
from typing import Any

from dscost.graphs.nodes import MICROSOFT
from dscost.graphs.values import Shape
from dscost.traces.rules import named, register_formula


# LSTM(X (T, B, M) or (B, T, M), W (directions, gates·H, M), R (directions, gates·H, H), …)
# DynamicQuantizeLSTM(X, W (directions, M, 4·H), R (directions, H, 4·H), …)
@register_formula(
    *named("ai.onnx", "LSTM GRU RNN"),
    f"{MICROSOFT}::DynamicQuantizeLSTM",
    op="recurrent",
    factors=(0, 1, 2),
)
def recurrent_macs(x: Shape, w: Shape, r: Shape, /, *_: Any, out: Any, **__: Any) -> int:
    """Return `T·B · directions·gates·H·(M + H)`; peepholes and gates are elementwise.

    Sequences that are shorter count like the longest.
    """
    return prod(x[:-1]) * (prod(w) + prod(r))
