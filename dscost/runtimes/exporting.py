"""A torch module → an ONNX model of it, for one input."""

import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from typing import Any

import torch

from dscost.errors import InputError, first_line, needing_onnx
from dscost.foreign.failures import must_pass
from dscost.foreign.logs import quietly
from dscost.runtimes.programs import Array, TorchForm

_SPEAKERS = ("torch", "onnx")


def exported(form: TorchForm) -> bytes:
    """Return what torch.onnx makes of a module.

    Raises:
        InputError: It makes nothing of it.
        UnavailableError: onnx is not installed.
    """
    with needing_onnx():
        import onnx  # noqa: F401
    file: Any = BytesIO()  # what the older of its exporters writes to
    with quietly(_SPEAKERS), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    form.module, form.args, file, kwargs=dict(form.kwargs), dynamo=False
                )
        except Exception as error:
            if must_pass(error):
                raise
            raise InputError(f"torch.onnx cannot export it: {first_line(error)}") from error
    content: bytes = file.getvalue()
    return content


def inputs_of(form: TorchForm, graph: bytes) -> Mapping[str, Array]:
    """Return the tensors of a module's forward by the names of the inputs of its graph."""
    from torch.utils._pytree import tree_leaves

    from dscost.graphs.running import loaded

    tensors = [one for one in tree_leaves((form.args, dict(form.kwargs))) if _is_tensor(one)]
    graph_of = loaded(graph).graph
    stored = {one.name for one in graph_of.initializer}
    names = [one.name for one in graph_of.input if one.name not in stored]
    return {name: one.numpy(force=True) for name, one in zip(names, tensors, strict=True)}


def _is_tensor(one: Any) -> bool:
    return isinstance(one, torch.Tensor)
