"""A target → what is to be converted: a module with values, its arguments, and what it costs."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.analysis import AS_STATED, Request, count, module_source
from dscost.analysis.traced import TracedVersions
from dscost.analysis.whole_models import WholeModel, model_of_torch
from dscost.converting.plan_file import Plan
from dscost.converting.weights import load_weights
from dscost.errors import InputError
from dscost.foreign.parts import dtype_name, each_parameter, each_part, own_tensors, unwrapped
from dscost.foreign.randomness import own_random_numbers
from dscost.modules.building import with_values
from dscost.notation.inputs import TensorSpec, inputs_of
from dscost.reports.figures import Cost
from dscost.reports.records import Input
from dscost.sources import Home, ModuleSource
from dscost.tracing import Arguments, Trace, arguments_of

MADE_BY_DSCOST = ("builtin", "yaml")
OWN_NAMES = (
    "; a model of dscost names its tensors in its own way: those of torchvision fit "
    "torchvision:NAME"
)
"""What is said of weights that do not fit a model made by dscost."""
RANDOM = ("builtin", "yaml", "torchvision", "timm")
"""Sources whose models have random weights unless a file gives others."""
RANDOM_NOTE = (
    "Untrained weights, random: there is nothing to exploit, errors at rank 1 are near "
    "sqrt(1 − (1 + K/√N)²/K²). Use --weights for trained ones: their errors are smaller."
)


Target = str | PathLike[str] | nn.Module


class Subject(NamedTuple):
    """A model to be converted.

    Args:
        target: What the user calls it.
        source: Where it was found.
        module: The model, its weights with values.
        arguments: What its forward is called with.
        traced: What happens when it runs on them.
        cost: What the whole model costs.
        inputs: What it was counted on.
        weights: The file that its weights are from.
        notes: What the reader must know.
        explanations: What helps to read the errors.
        importing: A context for while it runs, in which imports find the files beside its source.
        kwargs: What its factory was given.
        home: Where the code is that makes it, where that is somebody's own.
    """

    target: str
    source: str
    module: nn.Module
    arguments: Arguments
    traced: Trace
    cost: Cost
    inputs: tuple[Input, ...]
    weights: str | None
    notes: tuple[str, ...]
    explanations: tuple[str, ...] = ()
    importing: Callable[[], AbstractContextManager[None]] = nullcontext
    kwargs: Mapping[str, Any] = MappingProxyType({})
    home: Home | None = None

    @property
    def is_own(self) -> bool:
        """Whether the module was made for this, so that nobody else has it."""
        return self.source in RANDOM

    @property
    def batches(self) -> tuple[Arguments, ...]:
        """What weights are fitted to: the arguments, where they have values."""
        return (self.arguments,) if self.arguments.have_values else ()

    @property
    def dtype(self) -> str:
        """Of its weights, by name."""
        dtypes = (one.dtype for one in each_parameter(self.module) if one.is_floating_point())
        return dtype_name(next(dtypes, torch.float32))

    def kinds(self) -> dict[str, str]:
        """Return the class of every module, by name."""
        return kinds_of(self.module)

    def readers(self) -> Counter[Hashable]:
        """Return how many modules hold each parameter, by its identity."""
        tensors = (own_tensors(part)[0].values() for part in each_part(self.module))
        return Counter(id(one) for parameters in tensors for one in parameters)

    def whole_model(self, module: nn.Module | None = None) -> WholeModel:
        """Return it, or another module in its place, to be timed."""
        own = self.module if module is None else module
        return model_of_torch(own, self.arguments, self.cost, self.dtype)

    def input_specs(self) -> Iterator[TensorSpec]:
        """Yield the inputs as a plan file has them; nothing where they are no plain tensors."""
        args, kwargs = self.arguments
        if not all(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return
        for name, tensor in [*((None, arg) for arg in args), *kwargs.items()]:
            dtype = dtype_name(tensor.dtype)
            told = None if dtype == self.dtype else dtype
            yield TensorSpec(tuple(tensor.shape), told, name, _fill_of(tensor))


def kinds_of(root: nn.Module) -> dict[str, str]:
    """Return the class of every module, by all of its names."""
    modules = nn.Module.named_modules(root, remove_duplicate=False)
    return {name: type(module).__name__ for name, module in modules}


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
    target: Target,
    request: Request = AS_STATED,
    *,
    plan: Plan | None = None,
    weights: str | PathLike[str] | None = None,
    ignore_extra: bool = False,
    seed: int = 0,
) -> Subject:
    """Return a target as a module with values: those of a file, of its own code, or random ones.

    Where the request has no input, it is counted on that of the plan.

    Raises:
        InputError: The target or an argument is wrong, or the weights do not fit.
        UnavailableError: Something that is needed is not installed.
    """
    naming_input: AbstractContextManager[None] = nullcontext()
    if request.input is None and plan is not None and plan.inputs:
        request = request._replace(input=inputs_of(plan.inputs))
        naming_input = plan.naming_its_input()
    notes: list[str] = []
    with naming_input:
        source, arguments, name = module_source(target, request)
        module = real_module(source, seed, is_changed=weights is not None)
        if weights is not None:
            hint = OWN_NAMES if source.kind in MADE_BY_DSCOST else ""
            notes = load_weights(module, Path(weights), hint=hint, ignore_extra=ignore_extra)
        with source.importing():
            counted = count(module, Request(arguments))
    assert isinstance(counted.versions, TracedVersions)
    return Subject(
        target=name,
        source=source.kind,
        module=module,
        arguments=arguments,
        traced=counted.versions.traced,
        cost=counted.report.totals.as_is,
        inputs=counted.report.inputs,
        weights=None if weights is None else str(weights),
        notes=(*source.notes, *notes, *counted.report.warnings),
        explanations=() if weights is not None else tuple(_explained(source, name)),
        importing=source.importing,
        kwargs=request.kwargs or {},
        home=source.home,
    )


def _explained(source: ModuleSource, name: str) -> Iterator[str]:
    """Yield whose the weights are, where no file gives them."""
    if source.kind in RANDOM:
        yield RANDOM_NOTE
    elif source.make_real is not None:
        yield (
            f"Untrained weights ({name} as made), unless it loads some itself. "
            "Use --weights for trained ones."
        )


def real_module(source: ModuleSource, seed: int, *, is_changed: bool) -> nn.Module:
    """Return the module of a source with values, its own if that is not going to be changed."""
    with own_random_numbers():
        torch.manual_seed(seed)
        if source.make_real is not None:
            return source.make_real()
        if source.kind == "module" and not is_changed:
            return source.module
        return with_values(source.module)


# -- inputs from Python


def arguments_for(root: nn.Module, input: Any) -> tuple[Arguments | None, tuple[Arguments, ...]]:
    """Return the arguments that a model is traced on, and all those with values, to calibrate on.

    Of what gives one input after the other, such as a `torch.utils.data.DataLoader`, labels behind
    it are left out.

    Raises:
        InputError: It is no input; or some of several inputs have values and others not.
    """
    if input is None:
        return None, ()
    root = unwrapped(root)
    if gives_several(input):
        batches = [arguments_of(without_labels(root, one)) for one in input]
        if not batches:
            raise InputError("input gives nothing: expected at least one input")
    else:
        _, arguments, _ = module_source(root, Request(input))
        _require_one_call(root, arguments, given=input)
        batches = [arguments]
    valued = [batch.have_values for batch in batches]
    if any(valued) and not all(valued):
        found = valued.index(False) + 1
        raise InputError(
            f"input {found} of {len(batches)} has no values to calibrate on, others have"
        )
    return batches[0], tuple(batches) if all(valued) else ()


def gives_several(input: Any) -> bool:
    """Whether an input is no input itself but gives one after the other."""
    return hasattr(input, "__iter__") and not isinstance(input, Sequence | Mapping | Tensor | str)


def without_labels(root: nn.Module, batch: Any) -> Any:
    """Return a batch; of several entries the first, where a forward takes that and not all."""
    if not isinstance(batch, list | tuple) or len(batch) < 2 or not isinstance(batch[0], Tensor):
        return batch
    takes_first_alone = not _takes(root, *batch) and _takes(root, batch[0])
    return batch[0] if takes_first_alone else batch


def _require_one_call(root: nn.Module, arguments: Arguments, *, given: Any) -> None:
    """Refuse a list of batches: a forward takes its first entry, but not all of them at once."""
    args, kwargs = arguments
    if len(args) > 1 and not _takes(root, *args, **kwargs) and _takes(root, args[0], **kwargs):
        raise InputError(
            f"{type(root).__name__} does not take {len(args)} inputs: a {type(given).__name__} is "
            "several arguments of one call; for several batches give a generator: "
            "(x for x in batches)"
        )


def _takes(root: nn.Module, *args: Any, **kwargs: Any) -> bool:
    """Whether the signature of a forward, where it has one, has place for some arguments."""
    try:
        signature(root.forward).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:  # of what has no signature
        return True
    return True
