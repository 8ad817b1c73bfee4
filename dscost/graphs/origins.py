"""Where in a torch model a node was exported from, as far as its file tells."""

import re
from collections.abc import Iterable, Mapping

from onnx import NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Of what was exported by `torch.export`: the paths of the modules that ran, then the operator."""
_REWRITTEN = "pkg.onnxscript.rewriter.rule_name"
_WEIGHT = ".weight"
_NUMBERED = re.compile(r"(.+)_\d+")


def module_path(node: NodeProto) -> str | None:
    """Return the path of the module that ran as a node; `None` where nothing tells, `''` the root.

    The scopes of torch's exporter tell, or the name that its older one gave the node, or that of
    the weights. A convolution that a normalisation was folded into has the scopes of that.

    >>> module_path(NodeProto(op_type="Conv", name="/layer1/layer1.0/conv1/Conv"))
    'layer1.0.conv1'
    """
    # what is no text is read as bytes
    props = [one for one in node.metadata_props if isinstance(one.value, str)]
    told = {one.key: one.value for one in props if one.key in (_SCOPES, _REWRITTEN)}
    of_weights = _of_weights(node)
    if of_weights is not None and "BatchNorm" in told.get(_REWRITTEN, ""):
        return of_weights
    if _SCOPES in told:
        return _of_scopes(told[_SCOPES])
    # what tf2onnx joins by `;` are several names of one node, of which the first has its place
    name = node.name.partition(";")[0]
    return _of_name(name) if name.startswith("/") else of_weights


def one_for_all_calls(paths: Mapping[str, str]) -> dict[str, str]:
    """Return paths without the number that the older exporter gives to a module's later calls.

    `relu_1` is `relu` called again where there is a `relu`.

    Args:
        paths: Of modules, by what ran as them.
    """
    known = set(paths.values())
    return {name: _first_call(path, known) for name, path in paths.items()}


def _first_call(path: str, known: Iterable[str]) -> str:
    numbered = _NUMBERED.fullmatch(path)
    return numbered[1] if numbered and numbered[1] in known else path


def _of_scopes(text: str) -> str | None:
    """Return the last module of a list as Python writes it: `['', 'body', 'body.0', 'conv2d']`."""
    scopes = [scope.strip("'\"") for scope in text.strip("[]").split(", ")]
    return scopes[-2].partition("@")[0] if len(scopes) > 1 else None


def _of_name(name: str) -> str:
    """Return the path that the parts of a name lead along: one may have that before it in it."""
    path = last = ""
    for part in name.split("/")[1:-1]:
        if path and part.startswith(f"{last}."):
            path += part[len(last) :]
        else:
            path = f"{path}.{part}" if path else part
        last = part
    return path


def _of_weights(node: NodeProto) -> str | None:
    names = (one.removesuffix(_WEIGHT) for one in node.input if one.endswith(_WEIGHT))
    return next((name for name in names if name), None)
