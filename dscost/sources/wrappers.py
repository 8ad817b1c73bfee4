"""Modules that wrap a whole workflow, such as reading files; the network is their `.model`."""

from types import FunctionType

from torch import nn

from dscost.foreign.parts import children_of
from dscost.sources import ModuleSource

_OF_FILES = frozenset(
    "source sources path paths file files filename image_path img_path url urls".split()
)
"""What the argument is called of a forward that reads files."""


def network_of(module: nn.Module) -> nn.Module | None:
    """Return the network in a module that predicts on files, `None` if it is one itself.

    Such a module has a `.model`, and either no forward, only a way of its own to be called, or a
    forward that hands something that is called like a file on to `predict`.
    """
    network = children_of(module).get("model")
    kind = type(module)
    if network is None or not isinstance(network, nn.Module):
        return None
    if kind.forward is nn.Module.forward:
        return network if kind.__call__ is not nn.Module.__call__ else None
    code = kind.forward.__code__ if isinstance(kind.forward, FunctionType) else None
    if code is None or "predict" not in code.co_names:
        return None
    return network if _OF_FILES.intersection(code.co_varnames[1 : code.co_argcount]) else None


def without_wrapper(source: ModuleSource) -> ModuleSource:
    """Return the network of a source that predicts on files, with a note; others as they are."""
    network, make_real = network_of(source.module), source.make_real
    if network is None:
        return source
    wrapper, inner = type(source.module).__name__, type(network).__name__
    note = f"{wrapper} predicts on files: what is counted is its .model, a {inner}."
    found = source._replace(module=network, notes=(*source.notes, note))
    if make_real is None:
        return found

    def make_network() -> nn.Module:
        real = make_real()
        return network_of(real) or real

    return found._replace(make_real=make_network)
