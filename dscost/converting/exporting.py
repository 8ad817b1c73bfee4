"""A module → a program of torch.export, and ONNX: both for inference, of any batch if that can be.

A program that was written is read again and run beside the module: what returns something else is
never saved.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.utils._pytree import tree_leaves

from dscost.converting.applying import undisturbed
from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of, each_part
from dscost.rewriting.kernels import are_close
from dscost.runtimes.exporting import newer_exporter, silenced
from dscost.tracing import Arguments

BATCH = "batch"
"""What the dimension is called that may have any size."""
TRACED_BATCH, OTHER_BATCH = 2, 3
"""Batches that a program of any is made and tried with: torch takes one of 1 for that alone."""

T = TypeVar("T")


class Exported(NamedTuple):
    """A program that does what a module does.

    Args:
        content: As `torch.export.save` writes it.
        batch: The only one that it takes; `None` if it takes any.
    """

    content: bytes
    batch: int | None

    def in_words(self) -> str:
        """Return which batches it takes."""
        return "of any batch" if self.batch is None else f"of batch {self.batch} only"


def as_program(
    module: nn.Module, arguments: Arguments, dtype: str, *, any_batch: bool = True
) -> Exported:
    """Return a module as a program for inference; only the batch may have another size, if any.

    Args:
        module: Left as it is.
        arguments: Of its forward; values are made up where there are none.
        dtype: Of values that are made up.
        any_batch: Whether it is to take any batch, if that can be.

    Raises:
        InputError: torch cannot trace it, or traces something that does not do the same.
    """
    with for_inference(module):
        here = arguments.with_values(
            device=device_of(module), dtype=dtype, memory_format="contiguous"
        )
        if any_batch:
            with suppress(_NotTheSameError):
                return _of_any_batch(module, here)
        try:
            return _of_this_batch(module, here)
        except _NotTheSameError as error:
            raise InputError(f"torch.export cannot export it: {error}") from error


class _NotTheSameError(Exception):
    """A program could not be made, or does something else than its module."""


def _of_any_batch(module: nn.Module, here: Arguments) -> Exported:
    batch = _batch_of(here)
    if not batch:
        raise _NotTheSameError("it has no batch")
    traced = here.with_batch(TRACED_BATCH)
    shapes: Any = ShapesCollection()  # type: ignore[no-untyped-call]
    for tensor, new in zip(here.tensors, traced.tensors, strict=True):
        if tensor.dim() and tensor.shape[0] == batch:
            shapes[new] = {0: Dim(BATCH, min=1)}
    content = _exported(module, traced, shapes, example=here)
    for tried in (here, here.with_batch(OTHER_BATCH)):
        _require_same(module, content, tried)
    return Exported(content, None)


def _of_this_batch(module: nn.Module, here: Arguments) -> Exported:
    content = _exported(module, here, None, example=here)
    _require_same(module, content, here)
    return Exported(content, _batch_of(here) or 1)


def _batch_of(arguments: Arguments) -> int:
    """Return the rows of the first tensor that has some, as `Arguments.with_batch` takes them."""
    return next((tensor.shape[0] for tensor in arguments.tensors if tensor.dim()), 0)


def _exported(module: nn.Module, traced: Arguments, shapes: Any, *, example: Arguments) -> bytes:
    args, kwargs = traced

    def export() -> bytes:
        program = torch.export.export(module, args, dict(kwargs), dynamic_shapes=shapes)
        program.example_inputs = (example.args, dict(example.kwargs))
        file = BytesIO()
        torch.export.save(program, file)
        return file.getvalue()

    return _told(export)


def _require_same(module: nn.Module, content: bytes, arguments: Arguments) -> None:
    """Refuse a program that returns something else than the module that it was made of."""
    loaded = _told(lambda: read_again(content).module())

    def results(model: Any) -> list[Any]:
        torch.manual_seed(0)
        copies = arguments.changed(lambda _, tensor: tensor.clone())
        return tree_leaves(_told(lambda: model(*copies.args, **copies.kwargs)))

    expected, found = results(module), results(loaded)
    if len(expected) != len(found) or not all(map(are_close, expected, found)):
        raise _NotTheSameError("what it makes of the model returns something else")


def read_again(content: bytes) -> ExportedProgram:
    """Return the program that `as_program` has written."""
    return torch.export.load(BytesIO(content))


def _told(run: Callable[[], T]) -> T:
    """Return what torch makes of a model; whatever it raises says that it makes nothing of it."""
    try:
        return run()
    except Exception as error:
        if must_pass(error):
            raise
        raise _NotTheSameError(first_line(error)) from error


@contextmanager
def for_inference(module: nn.Module) -> Iterator[None]:
    """Let a module be run for inference, without gradients; it is as it was afterwards."""
    modes = [(part, part.training) for part in each_part(module)]
    try:
        for part, _ in modes:
            part.training = False
        with undisturbed(), torch.no_grad(), silenced():
            yield
    finally:
        for part, training in modes:
            part.training = training


# -- ONNX


def as_onnx(exported: Exported) -> bytes:
    """Return a program as an ONNX model with its weights in it.

    Raises:
        InputError: ONNX has not the operators, or cannot hold so many weights.
        UnavailableError: A library is not installed.
    """
    export = newer_exporter().export
    with silenced():
        try:
            made = export(read_again(exported.content), dynamo=True, verbose=False)
            if exported.batch is None:
                (first, *_) = made.model.graph.inputs
                made.rename_axes({first.shape[0]: BATCH})
            content: bytes = made.model_proto.SerializeToString()
        except Exception as error:
            if must_pass(error):
                raise
            raise InputError(f"torch.onnx cannot export it: {first_line(error)}") from error
    return content
