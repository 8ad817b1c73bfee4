"""One forward pass of a network as plain data, whoever watched it: no torch, and no ONNX.

Names load when they are used: what has only calls to look at needs none of the rules of operators.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dscost.traces.events import INPUT, Event, Trace
    from dscost.traces.parameters import Parameter

__all__ = ["INPUT", "Event", "Parameter", "Trace"]

_HOMES = {"INPUT": "events", "Event": "events", "Trace": "events", "Parameter": "parameters"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dscost.traces' has no attribute '{name}'")
    found = getattr(import_module(f"dscost.traces.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
