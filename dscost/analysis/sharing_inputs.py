"""Inputs by name for several targets: of ONNX files each takes what it has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dscost.analysis.targets import Request
from dscost.errors import InputError
from dscost.notation.inputs import TensorSpec
from dscost.sources import is_graph


def requests_for(targets: Sequence[Any], request: Request) -> list[Request]:
    """Return how each of several targets is to be counted: inputs by name go where they are known.

    What has no name is for every target. A name that none of the ONNX files has stays with all of
    them, which then refuse it; other targets are given everything.
    """
    given = request.input
    asked = _names(given)
    inputs = [_inputs_of(target) if asked and is_graph(target) else None for target in targets]
    known = {name for names in inputs for name in names or ()}
    return [
        request if names is None else request._replace(input=_among(given, known - names))
        for names in inputs
    ]


def is_by_name(targets: Sequence[Any], request: Request) -> bool:
    """Whether inputs are given by the names that they have in ONNX files."""
    return bool(_names(request.input)) and any(map(is_graph, targets))


def _names(given: Any) -> set[str]:
    if isinstance(given, Mapping):
        return set(map(str, given))
    specs = [given] if isinstance(given, TensorSpec) else given
    if not isinstance(specs, list | tuple):
        return set()
    return {one.name for one in specs if isinstance(one, TensorSpec) and one.name}


def _among(given: Any, others: set[str]) -> Any:
    """Return what is given without what only other files have; `None` where nothing is left."""
    if isinstance(given, Mapping):
        return {name: one for name, one in given.items() if name not in others} or None
    if isinstance(given, TensorSpec):
        return None if given.name in others else given
    return tuple(one for one in given if getattr(one, "name", None) not in others) or None


def _inputs_of(target: Any) -> set[str] | None:
    """Return the names of the inputs of an ONNX file; `None` where it cannot be read."""
    try:
        from dscost.graphs.binding import inputs_of
        from dscost.graphs.reading import read_model

        return {one.name for one in inputs_of(read_model(Path(target)).graph)}
    except (ImportError, InputError):  # which counting it tells
        return None
