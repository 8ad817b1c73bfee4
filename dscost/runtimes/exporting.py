"""A torch module → an ONNX model of it for the inputs that it is given, for inference.

The exporter that traces comes first: it is quick and needs nothing but onnx. What it cannot do is
left to the one that is built on `torch.export`, which needs onnxscript. Both fold batch
normalisations into the convolutions before them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from dscost.errors import InputError, UnavailableError, first_line, needing, needing_onnx
from dscost.foreign.failures import must_pass
from dscost.foreign.logs import quietly
from dscost.foreign.parts import each_tensor
from dscost.notation.units import format_bytes
from dscost.runtimes.programs import Array, TorchForm, tensors_in

EXTRA = "onnx-export"
"""What of dscost brings the libraries that write ONNX by `torch.export`."""
OPSETS = 17, 20
"""The versions of the operators that are tried: every runtime knows the first, tracing knows none
after the last."""
_SPEAKERS = ("torch", "onnx")


class ExportedModule(NamedTuple):
    """A module as an ONNX model.

    Args:
        content: The model.
        inputs: What it is given, by the names of its inputs; what it does not read is left out.
    """

    content: bytes
    inputs: Mapping[str, Array]


def exported(form: TorchForm) -> ExportedModule:
    """Return what torch.onnx makes of a module, on the inputs that it is given.

    Its inputs are the tensors among the arguments, whatever they are nested in; all else is the
    same in every call. Its outputs are the tensors in what the module returns, in their order.

    Raises:
        InputError: Nothing, or its weights are too many for one model.
        UnavailableError: onnx is not installed, or onnxscript, where only that could help.
    """
    with needing_onnx():
        from dscost.graphs.writing import MOST_BYTES
    nbytes = sum(one.nbytes for one in each_tensor(form.module))
    if nbytes > MOST_BYTES:
        told = f"its weights are {format_bytes(nbytes)}, and an ONNX model holds at most 2 GiB"
        raise InputError(f"torch.onnx cannot export it: {told}")
    flat = _Flat(form)
    with silenced(), torch.no_grad():
        return _of_what_it_reads(_written(flat), flat)


class _Flat(nn.Module):
    """A module that takes nothing but tensors, and returns them in a tuple."""

    def __init__(self, form: TorchForm) -> None:
        super().__init__()
        self.module = form.module
        self._leaves, self._spec = tree_flatten((form.args, dict(form.kwargs)))
        self._places = [at for at, one in enumerate(self._leaves) if isinstance(one, Tensor)]
        self.is_plain = all(isinstance(one, Tensor) for one in form.args) and not form.kwargs
        self.training = False
        taken = {name for name, _ in form.module.named_parameters()}
        base = next(name for name in ("input", "network_input") if name not in taken)
        count = len(self._places)
        self.names = [base] if count == 1 else [f"{base}_{at}" for at in range(count)]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it is given: each time anew, since a forward may write to it."""
        return tuple(self._leaves[at].detach().clone() for at in self._places)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors in what the module makes of tensors and all else that it is given."""
        leaves = list(self._leaves)
        for at, tensor in zip(self._places, tensors, strict=True):
            leaves[at] = tensor
        args, kwargs = tree_unflatten(leaves, self._spec)
        return tuple(tensors_in(self.module(*args, **kwargs)))


def _written(flat: _Flat) -> bytes:
    """Return the ONNX model of a module; nodes are called as it calls its parts, if that can be."""
    made = flat.module(*flat.tensors) if flat.is_plain else flat(*flat.tensors)
    returned = made if type(made) is tuple else (made,)
    is_plain = flat.is_plain and all(isinstance(one, Tensor) for one in returned)
    count = len(tensors_in(made))
    names = ["output"] if count == 1 else [f"output_{at}" for at in range(count)]
    told = {"input_names": flat.names, "output_names": names}
    module = flat.module if is_plain else flat
    why = ""
    for opset in OPSETS:
        try:
            return _traced(module, flat.tensors, opset_version=opset, **told)
        except Exception as error:
            if must_pass(error):
                raise
            why = why or _reason(error)
    try:
        exporter = newer_exporter()
    except UnavailableError as error:
        told_so = f"torch.onnx cannot export it by tracing: {why}. Its other exporter may: {error}"
        raise UnavailableError(told_so) from error
    try:
        program = exporter.export(module, flat.tensors, dynamo=True, verbose=False, **told)
        content: bytes = program.model_proto.SerializeToString()
    except Exception as error:
        if must_pass(error):
            raise
        both = f"{_reason(error)} (by tracing: {why})"
        raise InputError(f"torch.onnx cannot export it: {both}") from error
    return content


def _traced(module: nn.Module, tensors: tuple[Tensor, ...], **told: Any) -> bytes:
    file: Any = BytesIO()  # what the exporter that traces writes to
    with _unlogged():
        torch.onnx.export(module, tensors, file, dynamo=False, **told)
    content: bytes = file.getvalue()
    return content


def _reason(error: BaseException) -> str:
    """Return what an exporter says last, without what it advises."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error).partition(". ")[0]


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the exporter that traces from printing graphs to standard output where it fails.

    It switches that on for itself, and leaves it on.
    """
    log = getattr(torch._C, "_jit_onnx_log", None)
    if log is None:
        yield
        return
    was_on = torch._C._jit_is_onnx_log_enabled()
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log
        torch._C._jit_set_onnx_log_enabled(was_on)


def _of_what_it_reads(content: bytes, flat: _Flat) -> ExportedModule:
    """Return a model without the inputs that nothing in it reads."""
    from dscost.graphs.changing import names_alive
    from dscost.graphs.running import loaded

    given = dict(zip(flat.names, flat.tensors, strict=True))
    model = loaded(content)
    read = names_alive(model.graph)
    unread = [one for one in model.graph.input if one.name not in read]
    for one in unread:
        model.graph.input.remove(one)
    inputs = {
        one.name: given[one.name].numpy(force=True)
        for one in model.graph.input
        if one.name in given
    }
    return ExportedModule(model.SerializeToString() if unread else content, inputs)


def newer_exporter() -> ModuleType:
    """Return `torch.onnx` where it can export by `torch.export`.

    Raises:
        UnavailableError: What that needs is not installed.
    """
    with needing_onnx(EXTRA), needing("onnxscript", EXTRA):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    return torch.onnx


@contextmanager
def silenced() -> Iterator[None]:
    """Keep torch from logging and printing why it cannot: an error says that."""
    with quietly(_SPEAKERS), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
