"""A target → a report: the one road that every command takes."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dscost.analysis.counting import CountedModel, count_architecture, count_layer
from dscost.errors import InputError, UnknownNameError
from dscost.reports.records import Report

if TYPE_CHECKING:
    from torch import nn

    from dscost.analysis.bench import Progress
    from dscost.sources import ModuleSource, Source
    from dscost.timing import TimingOptions
    from dscost.tracing import Arguments

__all__ = [
    "CountedModel",
    "analyze",
    "count",
    "count_layer",
    "layer",
    "measure_layer",
    "measure_model",
    "module_source",
    "predicted",
]

NOT_TIMED = "Not timed: what is timed is the forward pass, without --train."
SAVED_NOT_TIMED = "Not timed: a saved report has the figures of a model, not the model itself."


def layer(
    *,
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int],
    variants: str | Sequence[str] = (),
    time: bool = False,
    on: str | Sequence[str] = (),
    timing: "Mapping[str, Any] | None" = None,
    device: str | Sequence[str] = "cpu",
    threads: int | None = None,
    memory_format: str | Sequence[str] | None = None,
    time_budget_s: float | None = None,
    **given: Any,
) -> Report:
    """Return what one convolution costs, as it is and depthwise-separable.

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: K, or height and width.
        variants: What to compare it with instead: names of `dscost list variants`, as `ghost` or
            `grouped:8`.
        time: Whether to measure as well; imports torch.
        on: Named devices (`dscost list devices`) whose rooflines are to be applied.
        device: Where to measure: `cpu`, `cuda` or both.
        threads: Of the measurement; by default one less than the physical cores.
        memory_format: `contiguous`, `channels_last` or both, which is the default.
        time_budget_s: Seconds that the measurement may take.
        timing: More fields of `dscost.timing.TimingOptions`, such as `{"precision": 0.01, "seed":
            1}`.
        given: `stride`, `padding`, `dilation`, `groups`, `bias`, `input_size`, `batch`,
            `depth_multiplier`, `dtype`; what is left out is assumed, see `counting.LAYER_DEFAULTS`.

    Raises:
        InputError: The layer cannot exist, a variant not with the value given, or the options do
            not fit this machine.

    >>> report = layer(in_channels=256, out_channels=256, kernel_size=3, input_size=14)
    >>> report.totals.standard.macs, report.totals.depthwise_separable.macs
    (115605504, 13296640)
    """
    asked = _several(variants)
    report = count_layer(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel_size,
        variants=asked,
        **given,
    )
    if time:
        given = {
            "devices": device,
            "memory_formats": memory_format,
            "threads": threads,
            "budget_s": time_budget_s,
        }
        options = _timing_options(given, timing or {})
        report = measure_layer(report, options)
    return predicted(report, _several(on))


def analyze(
    target: "str | PathLike[str] | nn.Module",
    *,
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    strict: bool = False,
    train: bool = False,
    time: bool = False,
    on: str | Sequence[str] = (),
    device: str | Sequence[str] = "cpu",
    threads: int | None = None,
    memory_format: str | Sequence[str] | None = None,
    time_budget_s: float | None = None,
    timing: "Mapping[str, Any] | None" = None,
) -> Report:
    """Return what a model costs, layer by layer and in total: as it is, standard, and depthwise-separable.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        input: A shape, a tensor, or a tuple or dict of them; by default what the model itself
            states.
        batch: Replaces the batch of the first input.
        dtype: Of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of an architecture's own settings, such as `{"width": 0.5}`.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        strict: Whether an operator of unknown cost is an error.
        train: Whether to count the backward pass as well.
        time: Whether to measure as well.
        on: Named devices (`dscost list devices`) whose rooflines are to be applied.
        device: Where to measure: `cpu`, `cuda` or both.
        threads: Of the measurement; by default one less than the physical cores.
        memory_format: `contiguous`, which is the default, `channels_last` or both.
        time_budget_s: Seconds that the measurement may take.
        timing: More fields of `dscost.timing.TimingOptions`, such as `{"precision": 0.01,
            "skip_losing": True}`.

    Raises:
        InputError: The target, the input, a setting or an option is wrong; or a saved report is to
            be timed.
        UnavailableError: The target needs a library that is not installed.

    >>> analyze("resnet18").totals.as_is.macs
    1814073344
    """
    model = count(
        target,
        input=input,
        batch=batch,
        dtype=dtype,
        settings=settings,
        kwargs=kwargs,
        trust=trust,
        strict=strict,
        train=train,
    )
    report = model.report
    if time and model.saved:
        raise InputError(
            f"{target} is a saved report: it cannot be timed again, only the model itself can"
        )
    if time:
        given = {
            "devices": device,
            "memory_formats": memory_format,
            "threads": threads,
            "budget_s": time_budget_s,
        }
        options = _timing_options(given, timing or {})
        report = measure_model(model, options)
    return predicted(report, _several(on))


def count(
    target: "str | PathLike[str] | nn.Module",
    *,
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    strict: bool = False,
    train: bool = False,
    folder: Path | None = None,
) -> CountedModel:
    """Return the report of `analyze` before timing, with what it takes to time it; a saved report as it stands.

    What has a `folder` seeks files and modules there before it seeks them in the working directory.
    """
    from dscost.sources import ArchitectureSource, SavedSource

    source, name = _found(target, kwargs, trust=trust, folder=folder, has_input=input is not None)
    if isinstance(source, SavedSource):
        asked = {
            "input": input,
            "batch": batch,
            "dtype": dtype,
            "set": settings or None,
            "kwargs": kwargs or None,
            "train": train,
        }
        return _as_saved(source.report, name, asked, strict=strict)
    if isinstance(source, ArchitectureSource) and not train:
        shape, dtype = _one_shape(input, dtype), dtype or "float32"
        return count_architecture(
            source, target=name, input=shape, batch=batch, dtype=dtype, settings=settings
        )
    from dscost.analysis.traced import analyze_module

    module, arguments = _with_arguments(
        source, name, input=input, batch=batch, dtype=dtype, settings=settings
    )
    return analyze_module(module, arguments, target=name, strict=strict, train=train)


def _as_saved(report: Report, name: str, asked: Mapping[str, Any], *, strict: bool) -> CountedModel:
    """Return a saved report, which no option can count anew."""
    options = [
        f"--{option}" for option, value in asked.items() if value is not None and value is not False
    ]
    if options:
        raise InputError(
            f"{name} is a saved report, counted already: {', '.join(options)} cannot change it"
        )
    if strict and report.coverage.unknown:
        raise InputError(f"{name}: operators of unknown cost: {', '.join(report.coverage.unknown)}")
    return CountedModel(report, saved=True)


def module_source(
    target: "str | PathLike[str] | nn.Module",
    *,
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> "tuple[ModuleSource, Arguments, str]":
    """Return any target as a torch module, the arguments of its forward, and its name.

    Raises:
        InputError: The target, the input or a setting is wrong.
    """
    source, name = _found(target, kwargs, trust=trust, has_input=input is not None)
    return *_with_arguments(
        source, name, input=input, batch=batch, dtype=dtype, settings=settings
    ), name


def _found(
    target: "str | PathLike[str] | nn.Module", kwargs: Mapping[str, Any] | None, **how: Any
) -> "tuple[Source, str]":
    from dscost.sources import ModuleSource, find_source

    if isinstance(target, str | PathLike):
        source, name = find_source(target, kwargs, **how), str(target)
    elif isinstance(target, type) or not hasattr(target, "named_modules"):
        raise InputError(
            f"a target is an nn.Module, or the name or path of a model, found {target!r:.60}"
        )
    else:
        source, name = ModuleSource("module", target), type(target).__name__
    if isinstance(source, ModuleSource):
        from dscost.sources.wrappers import without_wrapper

        source = without_wrapper(source)
    return source, name


def _with_arguments(
    source: "Source",
    name: str,
    *,
    input: Any,
    batch: int | None,
    dtype: str | None,
    settings: Mapping[str, Any] | None,
) -> "tuple[ModuleSource, Arguments]":
    from dscost.sources import ArchitectureSource, SavedSource

    if isinstance(source, SavedSource):
        raise InputError(
            f"{name} is a saved report: it has the figures of a model, not the model itself"
        )
    from dscost.tracing import arguments_of
    from dscost.tracing.inputs import notes_on, with_dtype
    from dscost.tracing.known_values import with_masks

    if isinstance(source, ArchitectureSource):
        source = _built(source, input=_one_shape(input, dtype), batch=batch, settings=settings)
        # a tensor that was given may need a gradient
        input, batch = (
            (input if batch is None and hasattr(input, "requires_grad") else source.input),
            None,
        )
    elif settings:
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
    """Return the input that the code of a model states: its factory's module before the model itself.

    Raises:
        InputError: It states none.
    """
    from dscost.sources.stated import missing_input, stated_by

    stated = source.ask() if source.ask else stated_by(source.module)
    if stated is None:
        raise missing_input(name, source.module)
    return stated


def _built(
    source: Any, *, input: Any, batch: int | None, settings: Mapping[str, Any] | None
) -> "ModuleSource":
    """Return an architecture as the torch module that it describes, to trace it."""
    import torch

    from dscost.sources import ModuleSource

    model = count_architecture(source, target="", input=input, batch=batch, settings=settings)
    assert model.versions is not None
    with torch.device("meta"):
        network, _ = model.versions.build("as_is", ())
    return ModuleSource(source.kind, network, model.report.inputs[0].shape)


def _one_shape(input: Any, dtype: str | None) -> tuple[int, ...] | None:
    """Return the single shape that an architecture takes; what it is of is that of the weights."""
    if input is None:
        return None
    from dscost.notation.inputs import TensorSpec

    if isinstance(input, TensorSpec) and input.fill is not None:
        raise InputError(
            f"an architecture is counted by the shape of its input alone, found '{input}'"
        )
    if isinstance(input, TensorSpec) and input.dtype not in (None, dtype or "float32"):
        raise InputError(
            f"an architecture has the dtype of its weights as input, set by --dtype, found '{input}'"
        )
    shape = getattr(input, "shape", input)
    if isinstance(shape, list | tuple) and len(shape) == 1 and not isinstance(shape[0], int):
        return _one_shape(shape[0], dtype)
    if not isinstance(shape, list | tuple) or not all(
        isinstance(size, int | float) for size in shape
    ):
        several = isinstance(shape, list | tuple) and all(
            isinstance(one, TensorSpec) for one in shape
        )
        found = " and ".join(map(str, shape)) if several else repr(input)
        raise InputError(
            f"an architecture takes one input of batch, channels, height and width, found {found}"
        )
    return tuple(shape)


def measure_layer(
    report: Report, options: "TimingOptions", progress: "Progress | None" = None
) -> Report:
    """Return the report of `count_layer` with measured times."""
    from dscost.analysis.layer_timing import time_layer

    return time_layer(report, options, progress)


def measure_model(
    model: CountedModel, options: "TimingOptions", progress: "Progress | None" = None
) -> Report:
    """Return the report of `count` with measured times, of the whole model and of each distinct layer.

    A saved report keeps the times that it has, and says so where it has none.
    """
    if model.saved and model.report.environment:
        return model.report
    if model.versions is None:
        why = SAVED_NOT_TIMED if model.saved else NOT_TIMED
        return model.report._replace(warnings=(*model.report.warnings, why))
    if hasattr(model.versions, "measure"):  # it is in a process of its own: see `isolated`
        measured: Report = model.versions.measure(options, progress)
        return measured
    from dscost.analysis.model_timing import time_model

    with getattr(
        model.versions, "importing", nullcontext
    )():  # its forward may import what lies beside it
        return time_model(model, options, progress)


def predicted(report: Report, devices: Sequence[str]) -> Report:
    """Return the report with the rooflines of named devices applied to it.

    Raises:
        InputError: There is no such device, or it has no figures for the dtype.
    """
    if devices:
        from dscost.analysis.predicting import dtype_of, with_bounds
        from dscost.devices.sheets import find_device, keys_of

        for name, key in keys_of(devices).items():
            report = with_bounds(report, find_device(name, dtype_of(report))._replace(device=key))
    return report


def _timing_options(given: Mapping[str, Any], more: Mapping[str, Any]) -> "TimingOptions":
    """Return the options that two sets of keywords make; lists of one may be given as the one alone."""
    from dscost.timing import TimingOptions

    for name in more:
        if given.get(name) not in (None, "cpu"):
            raise InputError(f"{name} is given twice: as an argument of its own and in timing")
    fields = {**given, **more}
    for name in fields:
        if name not in TimingOptions._fields:
            raise UnknownNameError("timing option", name, TimingOptions._fields)
    defaults = TimingOptions._field_defaults
    return TimingOptions(
        **{
            name: _several(value) if isinstance(defaults[name], tuple) else value
            for name, value in fields.items()
        }
    )


def _several(given: Any) -> tuple[Any, ...]:
    return () if given is None else (given,) if isinstance(given, str | int) else tuple(given)
