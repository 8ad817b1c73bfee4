"""A target, and how it is to be counted → its counted model, or the torch module that it is."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.analysis.architectures import count_architecture
from dscost.analysis.counting import CountedModel
from dscost.errors import InputError
from dscost.reports.records import Report

if TYPE_CHECKING:
    from torch import nn

    from dscost.conventions import Convention
    from dscost.sources import ArchitectureSource, ModuleSource, Source
    from dscost.timing import Progress
    from dscost.tracing import Arguments


class Request(NamedTuple):
    """How a target is to be counted; `None` leaves it to the model.

    Args:
        input: A shape, a tensor, or a tuple or dict of them; or what `parse_input` gives.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations.
        settings: What to change of an architecture's own settings.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        by_runtime: Whether it is to be timed by a runtime that makes int8 of what is float32: what
            has values of its own is counted as it is then.
        conventions: Names of those by which it is to be counted as well.
    """

    input: Any = None
    batch: int | None = None
    dtype: str | None = None
    settings: Mapping[str, Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    trust: bool = False
    by_runtime: bool = False
    conventions: tuple[str, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """What was said, as functions of the library take it that time nothing."""
        return {name: value for name, value in self._asdict().items() if name not in _BESIDE}

    @property
    def changes(self) -> list[str]:
        """The names of what is not left to the model."""
        left = {"settings": self.settings or None, "kwargs": self.kwargs or None}
        given = {**self._asdict(), **left, "trust": None, **dict.fromkeys(_BESIDE)}
        return [name for name, value in given.items() if value is not None]


_BESIDE = ("by_runtime", "conventions")
"""What a request says beside how a model is counted."""


QUANTISED = "int8"
COUNTED_AS_IS = (
    "Counted as the model is; the runtime makes int8 of its float32, a quarter of these bytes."
)
AS_STATED = Request()
"""Everything is left to the model."""


def count(
    target: "str | PathLike[str] | nn.Module",
    request: Request = AS_STATED,
    *,
    strict: bool = False,
    train: bool = False,
    folder: Path | None = None,
    progress: "Progress | None" = None,
) -> CountedModel:
    """Return the report of `dscost.analyze` before timing, with what it takes to time it.

    A saved report is returned as it stands. Files and modules are sought in the `folder`, if one
    is given, before they are in the working directory. Progress is told what is being done.

    Raises:
        InputError: The target, the input or a setting is wrong.
        UnavailableError: The target needs a library that is not installed.
    """
    from dscost.sources import ArchitectureSource, GraphSource, SavedSource

    conventions = _conventions(request, train=train)
    source, name = found_source(target, request, folder, progress)
    if isinstance(source, SavedSource):
        _refuse_counting_again(name, request, train=train)
        return _with(conventions, _as_saved(source.report, name, strict=strict))
    if isinstance(source, ArchitectureSource) and not train:
        shape = one_shape(request.input, request.dtype)
        return _with(conventions, count_architecture(source, request, shape, target=name))
    is_quantised = request.by_runtime and request.dtype == QUANTISED
    request = request._replace(dtype=None) if is_quantised else request
    if isinstance(source, GraphSource):
        from dscost.analysis.graphs import count_graph

        counted = count_graph(source, request, target=name, strict=strict, train=train)
    else:
        from dscost.analysis.traced import analyze_module

        module, arguments = with_arguments(source, name, request)
        _tell(progress, f"tracing {name}")
        counted = analyze_module(
            module,
            arguments,
            target=name,
            strict=strict,
            train=train,
            functions=_functions_for(conventions),
        )
    counted = _with(conventions, counted)
    return _quantised(counted) if is_quantised else counted


def convention_texts(given: Any) -> tuple[str, ...]:
    """Return the names of conventions that somebody gave, one or several: of a path its text.

    Raises:
        InputError: One is neither a name nor a path.
    """
    is_one = isinstance(given, str | PathLike) or not isinstance(given, Iterable)
    found = () if given is None else (given,) if is_one else tuple(given)
    for one in found:
        if not isinstance(one, str | PathLike):
            expected = "expected the name of a convention or the path of a file"
            raise InputError(f"{expected}, found {type(one).__name__}")
    return tuple(map(str, found))


def _conventions(request: Request, *, train: bool) -> "tuple[Convention, ...]":
    """Return the conventions that are asked for; who asks for none does not pay for them.

    Raises:
        InputError: There is no such convention, or the backward pass is to be counted.
    """
    if not request.conventions:
        return ()
    from dscost.analysis.by_convention import TRAINING, conventions_of

    if train:
        raise InputError(TRAINING)
    return conventions_of(request.conventions)


def counted_already(report: Report, request: Request) -> CountedModel:
    """Return a report as the model that was counted, which lacks what it was not counted by."""
    return _with(_conventions(request, train=False), CountedModel(report, saved=True))


def _functions_for(conventions: "tuple[Convention, ...]") -> frozenset[str] | None:
    """Return the functions of torch that conventions look at; `None` where there are none."""
    if not conventions:
        return None
    from dscost.conventions import functions_of

    return functions_of(conventions)


def _with(conventions: "tuple[Convention, ...]", counted: CountedModel) -> CountedModel:
    """Return a counted model with what it counts by conventions, if some are asked for."""
    if not conventions:
        return counted
    from dscost.analysis.by_convention import with_conventions

    return with_conventions(counted, conventions)


def _quantised(counted: CountedModel) -> CountedModel:
    """Return a model that was counted as it is, to be timed in int8."""
    report = counted.report
    report = report._replace(warnings=(*report.warnings, COUNTED_AS_IS))
    return counted._replace(report=report, timed_in=QUANTISED)


def module_source(
    target: "str | PathLike[str] | nn.Module",
    request: Request = AS_STATED,
    progress: "Progress | None" = None,
) -> "tuple[ModuleSource, Arguments, str]":
    """Return any target as a torch module, the arguments of its forward, and its name.

    Progress is told what is being done.

    Raises:
        InputError: The target, the input or a setting is wrong.
    """
    source, name = found_source(target, request, progress=progress)
    return *with_arguments(source, name, request), name


def found_source(
    target: "str | PathLike[str] | nn.Module",
    request: Request,
    folder: Path | None = None,
    progress: "Progress | None" = None,
) -> "tuple[Source, str]":
    """Return what a target stands for, and what it is called; it raises what `count` does."""
    from dscost.sources import ModuleSource, Opening, find_source, named

    name = type(target).__name__
    if isinstance(target, str | PathLike):
        _tell(progress, f"loading {target}")
        has_input = request.input is not None
        opening = Opening(request.kwargs or {}, folder, has_input, request.trust)
        name = named(target, opening.kwargs, folder)
        source = find_source(name, opening)
    elif isinstance(target, type) or not hasattr(target, "named_modules"):
        raise InputError(
            f"a target is an nn.Module, or the name or path of a model, found {target!r:.60}"
        )
    elif request.kwargs:
        raise InputError(f"{name} is a module, not a factory: kwargs cannot be used")
    else:
        source = ModuleSource("module", target)
    if isinstance(source, ModuleSource):
        from dscost.sources.wrappers import without_wrapper

        source = without_wrapper(source)
    return source, name


def _tell(progress: "Progress | None", doing: str) -> None:
    if progress:
        progress(None, doing)


# -- saved reports


def _refuse_counting_again(name: str, request: Request, *, train: bool) -> None:
    """Refuse what would have to count a saved report anew."""
    given = [*request.changes, *(["train"] if train else [])]
    options = ", ".join(f"--{'set' if name == 'settings' else name}" for name in given)
    if options:
        raise InputError(f"{name} is a saved report, counted already: {options} cannot change it")


def _as_saved(report: Report, name: str, *, strict: bool) -> CountedModel:
    if strict and report.coverage.unknown:
        raise InputError(f"{name}: operators of unknown cost: {', '.join(report.coverage.unknown)}")
    return CountedModel(report, saved=True)


# -- architectures


def _built(source: "ArchitectureSource", request: Request) -> "ModuleSource":
    """Return an architecture as the torch module that it describes, to trace it."""
    import torch

    from dscost.foreign.uncompiled import compiler_unasked
    from dscost.sources import ModuleSource

    shape = one_shape(request.input, request.dtype)
    model = count_architecture(source, request._replace(dtype=None), shape, target="")
    versions = model.runnable
    assert versions is not None
    with compiler_unasked(), torch.device("meta"):
        network, _ = versions.build("as_is", ())
    return ModuleSource(source.kind, network, model.report.inputs[0].shape)


def one_shape(input: Any, dtype: str | None) -> tuple[int, ...] | None:
    """Return the single shape that an architecture takes, of the dtype of its weights."""
    if input is None:
        return None
    from dscost.notation.inputs import TensorSpec

    if isinstance(input, TensorSpec):
        wrong = None
        if input.fill is not None:
            wrong = "is counted by the shape of its input alone"
        elif input.dtype not in (None, dtype or "float32"):
            wrong = "has the dtype of its weights as input, set by --dtype"
        if wrong:
            raise InputError(f"an architecture {wrong}, found '{input}'")
    shape = getattr(input, "shape", input)  # a tensor or a TensorSpec, else a shape already
    is_several = isinstance(shape, list | tuple)
    if is_several and len(shape) == 1 and not isinstance(shape[0], int):
        return one_shape(shape[0], dtype)
    if is_several and all(isinstance(size, int | float) for size in shape):
        return tuple(shape)
    is_named = is_several and all(isinstance(one, TensorSpec) for one in shape)
    found = " and ".join(map(str, shape)) if is_named else repr(input)
    raise InputError(
        f"an architecture takes one input of batch, channels, height and width, found {found}"
    )


# -- torch modules


def with_arguments(
    source: "Source", name: str, request: Request
) -> "tuple[ModuleSource, Arguments]":
    """Return a source as a torch module, with the arguments of its forward.

    Raises:
        InputError: It is none, or the input or a setting is wrong.
    """
    from dscost.sources import ArchitectureSource, GraphSource, SavedSource

    if isinstance(source, SavedSource):
        raise InputError(
            f"{name} is a saved report: it has the figures of a model, not the model itself"
        )
    if isinstance(source, GraphSource):
        raise InputError(f"{name} is an ONNX file: a model of torch is needed here")
    from dscost.tracing import arguments_of
    from dscost.tracing.inputs import notes_on, with_dtype
    from dscost.tracing.known_values import with_masks

    input, batch, dtype = request.input, request.batch, request.dtype
    if isinstance(source, ArchitectureSource):
        source = _built(source, request)
        if batch is not None or not hasattr(input, "requires_grad"):
            input = source.input  # else it is a tensor that was given, and may need a gradient
        batch = None
    elif request.settings:
        raise InputError(f"{name} is no architecture file: change it with --kwargs, not with --set")
    if dtype is not None and source.kind != "module":  # made for this call, so it may be changed
        source = source.in_dtype(dtype)
    given = source.input if input is None else input
    if given is None:
        given, where = _stated_input(source, name)
        source = source._replace(stated=where, notes=(*source.notes, f"The input is {where}."))
    if dtype is not None:
        given = with_dtype(given, dtype)
    arguments = arguments_of(given, dtype or source.dtype)
    if dtype is not None and input is None:
        arguments = with_dtype(arguments, dtype)  # of a shape with a dtype of its own, too
    if batch is not None:
        arguments = arguments.with_batch(batch)
    arguments, on_masks = with_masks(source.module, arguments)
    return source._replace(notes=(*source.notes, *on_masks, *notes_on(arguments))), arguments


def _stated_input(source: "ModuleSource", name: str) -> tuple[Any, str]:
    """Return the input that a model states: the module of its factory before the model itself.

    Raises:
        InputError: It states none.
    """
    from dscost.sources.stated import missing_input, stated_by

    stated = source.ask() if source.ask else stated_by(source.module)
    if stated is None:
        raise missing_input(name, source.module)
    return stated
