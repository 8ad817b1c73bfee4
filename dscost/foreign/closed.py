"""Modules that no longer are of the classes they came from: compiled code, exported programs."""

import torch
from torch import fx, nn

from dscost.foreign.parts import named_parts


def closed_by(module: nn.Module) -> str:
    """Return what has closed a module or a part of it: `TorchScript`, `torch.export` or nothing.

    What `torch.fx` has traced calls its modules as before.
    """
    parts = [part for _, part in named_parts(module)]
    if any(isinstance(part, torch.jit.ScriptModule) for part in parts):
        return "TorchScript"
    graphs = (part.graph for part in parts if isinstance(part, fx.GraphModule))
    return "torch.export" if any(map(_is_of_operators, graphs)) else ""


def _is_of_operators(graph: fx.Graph) -> bool:
    """Return whether a graph calls operators of torch, as `torch.export` writes them."""
    return any(isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes)
