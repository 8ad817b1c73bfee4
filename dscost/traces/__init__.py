"""One forward pass of a network as plain data, whoever watched it: no torch, and no ONNX."""

from dscost.traces.events import INPUT, Event, Trace
from dscost.traces.parameters import Parameter

__all__ = ["INPUT", "Event", "Parameter", "Trace"]
