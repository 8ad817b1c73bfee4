"""A target → a module with values, what it is called with, and what it costs: what is to be converted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.analysis import Request, count, module_source
from dscost.converting.weights import load_weights
from dscost.foreign.parts import each_parameter
from dscost.foreign.randomness import own_random_numbers
from dscost.modules.building import with_values
from dscost.notation.inputs import TensorSpec
from dscost.reports.figures import Cost
from dscost.reports.records import Input
from dscost.tracing import Arguments

MADE_BY_DSCOST = ("builtin", "yaml")
RANDOM = ("builtin", "yaml", "torchvision", "timm")
"""Sources whose models have random weights unless a file gives others."""
RANDOM_NOTE = (
    "The weights are random, so there is nothing to exploit: errors at rank 1 are near sqrt(1 − (1 + K/√N)²/K²). "
    "Those of trained weights (--weights) are smaller."
)


class Subject(NamedTuple):
    """A model to be converted.

    Args:
        target: What the user calls it.
        source: Where it was found.
        module: With values.
        arguments: Of its forward.
        cost: Of the whole.
        inputs: What it was counted on.
        weights: The file that its weights are from.
        notes: What the reader must know.
        explanations: What helps to read the errors.
        importing: As of `ModuleSource`, to be entered while it runs.
    """

    target: str
    source: str
    module: nn.Module
    arguments: Arguments
    cost: Cost
    inputs: tuple[Input, ...]
    weights: str | None
    notes: tuple[str, ...]
    explanations: tuple[str, ...] = ()
    importing: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def is_own(self) -> bool:
        """Whether the module was made for this, so that nobody else has it."""
        return self.source in RANDOM

    @property
    def dtype(self) -> str:
        """Of its weights, by name."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def _dtype(self) -> torch.dtype:
        return next(
            (tensor.dtype for tensor in each_parameter(self.module) if tensor.is_floating_point()),
            torch.float32,
        )

    def input_specs(self) -> Iterator[TensorSpec]:
        """Yield the inputs as a plan file has them; nothing where they are no plain tensors."""
        args, kwargs = self.arguments
        if not all(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return
        for name, tensor in [*((None, arg) for arg in args), *kwargs.items()]:
            dtype = (
                None if tensor.dtype == self._dtype else str(tensor.dtype).removeprefix("torch.")
            )
            yield TensorSpec(tuple(tensor.shape), dtype, name, _fill_of(tensor))


MOST_WRITTEN = 64
"""Elements of a tensor whose values a plan still holds."""


def _fill_of(tensor: Tensor) -> Any:
    """Return the values of whole numbers or truth values, where they are few or all alike."""
    if tensor.is_meta or tensor.is_floating_point() or tensor.is_complex() or not tensor.numel():
        return None
    first = tensor.flatten()[0]
    if bool((tensor == first).all()):
        return first.item() if first.item() or tensor.dtype is torch.bool else None
    return _as_tuples(tensor.tolist()) if tensor.numel() <= MOST_WRITTEN else None


def _as_tuples(values: Any) -> Any:
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values


def load_subject(
    target: "str | PathLike[str] | nn.Module",
    *,
    input: Any = None,
    batch: int | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    weights: str | PathLike[str] | None = None,
    ignore_extra: bool = False,
    trust: bool = False,
    seed: int = 0,
) -> Subject:
    """Return a target as a module with values: those of a file, those that its code gives it, or random ones.

    Raises:
        InputError: The target or an argument is wrong, or the weights do not fit.
        UnavailableError: Something that is needed is not installed.
    """
    request = Request(input, batch, None, settings, kwargs, trust)
    source, arguments, name = module_source(target, request)
    with own_random_numbers():
        torch.manual_seed(seed)
        if source.make_real is not None:
            module = source.make_real()
        elif source.kind == "module" and weights is None:
            module = source.module  # it is not changed
        else:
            module = with_values(source.module)
    notes, explanations = [*source.notes], []
    if weights is not None:
        hint = ""
        if source.kind in MADE_BY_DSCOST:
            hint = "; a model of dscost names its tensors in its own way: those of torchvision fit torchvision:NAME"
        notes += load_weights(module, Path(weights), hint=hint, ignore_extra=ignore_extra)
    elif source.kind in RANDOM:
        explanations.append(RANDOM_NOTE)
    elif source.make_real is not None:
        explanations.append(f"The weights are those that {name} makes: --weights reads others.")
    with source.importing():
        report = count(module, Request(arguments)).report
    return Subject(
        name,
        source.kind,
        module,
        arguments,
        report.totals.as_is,
        report.inputs,
        None if weights is None else str(weights),
        (*notes, *report.warnings),
        tuple(explanations),
        source.importing,
    )


def class_names(root: nn.Module) -> dict[str, str]:
    """Return the class of every module by name; one that is there more than once has several."""
    return {
        name: type(module).__name__
        for name, module in nn.Module.named_modules(root, remove_duplicate=False)
    }
