"""A target → a report: the one road that every command takes."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from typing import TYPE_CHECKING, Any

from dscost.analysis.counting import INSTEAD, CountedModel, count_layer
from dscost.analysis.targets import AS_STATED, Request, convention_texts, count, module_source
from dscost.errors import InputError, UnknownNameError
from dscost.reports.records import Report

if TYPE_CHECKING:
    from torch import nn

    from dscost.devices.roofline import Ceilings
    from dscost.timing import Progress, TimingOptions

__all__ = [
    "AS_STATED",
    "CountedModel",
    "Request",
    "analyze",
    "bounded",
    "count",
    "count_layer",
    "device",
    "layer",
    "measure_layer",
    "measure_model",
    "module_source",
    "predicted",
    "timing_options",
    "why_not_timed",
]

NOT_TIMED = "Not timed: what is timed is the forward pass, without --train."
SAVED_NOT_TIMED = "Not timed: a saved report has the figures of a model, not the model itself."


def layer(
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] | str | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    bias: bool | None = None,
    dims: int | None = None,
    transposed: bool = False,
    output_padding: int | Sequence[int] | None = None,
    input_size: int | Sequence[int] | None = None,
    batch: int | None = None,
    depth_multiplier: int | None = None,
    dtype: str | None = None,
    variants: str | Sequence[str] = (),
    convention: "str | PathLike[str] | Sequence[str | PathLike[str]]" = (),
    time: bool = False,
    on: str | Sequence[str] = (),
    device: str | Sequence[str] = "cpu",
    runtime: str | Sequence[str] | None = None,
    threads: int | None = None,
    clock: str | None = None,
    memory_format: str | Sequence[str] | None = None,
    time_budget_s: float | None = None,
    timing: Mapping[str, Any] | None = None,
) -> Report:
    """Return what one convolution costs, as it is and depthwise-separable.

    It goes over as many dimensions as `dims` says, or as some extent has sizes; else over two. What
    is left out of `stride` to `dtype`, or `None`, is assumed, and the report says so.

    Args:
        in_channels: M, input channels.
        out_channels: N, output channels.
        kernel_size: K, or one size for each dimension: `(Kh, Kw)`, `(K,)`, `(Kd, Kh, Kw)`.
        stride: Step of the kernel, or one for each dimension; 1 if left out.
        padding: Zeros on each side, or those of each dimension, or `same`; if left out, what keeps
            the size at stride 1, or makes it as many times larger as a transposed one has strides.
        dilation: Distance between taps, or one for each dimension; 1 if left out.
        groups: G, groups of channels; 1 if left out.
        bias: Whether each output channel has a bias; none if left out.
        dims: Spatial dimensions, 1, 2 or 3.
        transposed: Whether it is a transposed convolution, as `torch.nn.ConvTranspose2d`.
        output_padding: What a transposed one adds to one side of its output; 0 if left out, but
            without a padding what that takes.
        input_size: Extent of the input, or one for each dimension, `(H, W)`; 14 if left out.
        batch: B, inputs at once; 1 if left out.
        depth_multiplier: T, output channels of the depthwise stage per input channel; 1 if left
            out.
        dtype: Data type of weights and activations, such as `float16`; `float32` if left out.
        variants: What to compare it with instead: names of `dscost list variants`, as `ghost` or
            `grouped:8`.
        convention: By whose rules to count as well, such as `fvcore`, or the path of a file; or
            several (`dscost list conventions`).
        time: Whether to measure as well; imports torch where that runs it.
        on: Named devices (`dscost list devices`) whose rooflines are to be applied.
        device: Where to measure: `cpu`, `cuda` or both.
        runtime: What runs it, such as `onnxruntime`, or several (`dscost list runtimes`); by
            default `torch`.
        threads: How many to measure with; by default one less than the physical cores.
        clock: `wall`, which is the default, or `cpu` to time by processor time as well.
        memory_format: `contiguous`, `channels_last` or both, which is the default.
        time_budget_s: Seconds that the measurement may take.
        timing: More fields of `dscost.timing.TimingOptions`, such as
            `{"with_norm": True, "precision": 0.01}`.

    Raises:
        InputError: The layer cannot exist, a variant not with the value given, or the options do
            not fit this machine.

    >>> report = layer(256, 256, 3, input_size=14)
    >>> report.totals.standard.macs, report.totals.depthwise_separable.macs
    (115605504, 13296640)
    """
    extents = {"stride": stride, "padding": padding, "dilation": dilation}
    kind = {"dims": dims, "transposed": transposed, "output_padding": output_padding}
    report = count_layer(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel_size,
        groups=groups,
        bias=bias,
        input_size=input_size,
        batch=batch,
        depth_multiplier=depth_multiplier,
        dtype=dtype,
        variants=_several(variants),
        conventions=convention_texts(convention),
        **extents,
        **kind,
    )
    if time:
        given = device, threads, memory_format, time_budget_s, timing
        report = measure_layer(report, timing_options(*given, runtime=runtime, clock=clock))
    return predicted(report, _several(on))


def analyze(
    target: "str | PathLike[str] | nn.Module",
    input: Any = None,
    *,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    strict: bool = False,
    train: bool = False,
    convention: "str | PathLike[str] | Sequence[str | PathLike[str]]" = (),
    time: bool = False,
    on: str | Sequence[str] = (),
    device: str | Sequence[str] = "cpu",
    runtime: str | Sequence[str] | None = None,
    threads: int | None = None,
    clock: str | None = None,
    memory_format: str | Sequence[str] | None = None,
    time_budget_s: float | None = None,
    timing: Mapping[str, Any] | None = None,
) -> Report:
    """Return what a model costs, layer by layer and in total.

    It is counted as it is, made of standard convolutions, and made of depthwise-separable ones.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        input: What its forward takes: a shape such as `(1, 3, 224, 224)`, batch first, a tensor, or
            a tuple or dict of them; by default what the model itself states.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of an architecture's own settings, such as `{"width": 0.5}`.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        strict: Whether an operator of unknown cost is an error.
        train: Whether to count the backward pass as well.
        convention: By whose rules to count as well, such as `fvcore`, or the path of a file; or
            several (`dscost list conventions`).
        time: Whether to measure as well.
        on: Named devices (`dscost list devices`) whose rooflines are to be applied.
        device: Where to measure: `cpu`, `cuda` or both.
        runtime: What runs it, such as `onnxruntime`, or several (`dscost list runtimes`); by
            default `torch`.
        threads: How many to measure with; by default one less than the physical cores.
        clock: `wall`, which is the default, or `cpu` to time by processor time as well.
        memory_format: `contiguous`, which is the default, `channels_last` or both.
        time_budget_s: Seconds that the measurement may take.
        timing: More fields of `dscost.timing.TimingOptions`, such as
            `{"precision": 0.01, "skip_losing": True}`.

    Raises:
        InputError: The target, the input, a setting or an option is wrong; or a saved report is to
            be timed.
        UnavailableError: The target needs a library that is not installed.

    >>> analyze("resnet18").totals.as_is.macs
    1814073344
    >>> analyze("resnet18", (1, 3, 160, 160)).totals.as_is.macs
    925798400
    """
    conventions = convention_texts(convention)
    request = Request(input, batch, dtype, settings, kwargs, trust, conventions=conventions)
    if time:
        given = device, threads, memory_format, time_budget_s, timing
        options = timing_options(*given, runtime=runtime, clock=clock)
        request = request._replace(by_runtime=options.is_by_another)
    model = count(target, request, strict=strict, train=train)
    report = model.report
    if time and model.saved:
        raise InputError(
            f"{target} is a saved report: it cannot be timed again, only the model itself can"
        )
    if time:
        why = model.why_not_by(*options.runtimes, instead=INSTEAD)
        if why:
            raise InputError(f"{target} cannot be timed: {why}")
        report = measure_model(model, options)
    return predicted(report, _several(on))


def device(
    name: str = "cpu",
    dtype: str = "float32",
    *,
    threads: int | None = None,
    refresh: bool = False,
) -> "Ceilings":
    """Return what a device can do: its peak in FLOP/s, its bandwidth in byte/s, and the ridge.

    Args:
        name: `cpu` or `cuda` of this machine, which is measured where it is not known; or a named
            device (`dscost list devices`), or the path of a `.yaml` file, by its data sheet.
        dtype: Of the values that are computed with.
        threads: How many to measure with; by default one less than the physical cores.
        refresh: Whether to measure again, whatever was measured before.

    Raises:
        InputError: There is no such device or dtype, or a data sheet is to be measured.
        UnavailableError: This machine has no such device, or torch is not installed.

    >>> device("t4").ridge_flops_per_byte
    25.3125
    """
    from dscost.timing import DEVICES

    if name in DEVICES:
        from dscost.timing.ceilings import this_device

        found = this_device(device=name, dtype=dtype, threads=threads, refresh=refresh)
        return found.ceilings
    if refresh or threads is not None:
        raise InputError(
            f"{name} is shown by its data sheet: threads and refresh are for measuring"
        )
    from dscost.devices.sheets import find_device

    return find_device(name, dtype)


def measure_layer(
    report: Report, options: "TimingOptions", progress: "Progress | None" = None
) -> Report:
    """Return the report of `count_layer` with measured times."""
    from dscost.analysis.layer_timing import time_layer

    return time_layer(report, options, progress)


def why_not_timed(model: CountedModel, options: "TimingOptions") -> str:
    """Return a sentence on why a model cannot be timed; empty where it can."""
    why = model.why_not_by(*options.runtimes, instead=INSTEAD)
    if why:
        return f"Not timed: {why}."
    if model.saved:
        return SAVED_NOT_TIMED
    return "" if model.versions else NOT_TIMED


def measure_model(
    model: CountedModel, options: "TimingOptions", progress: "Progress | None" = None
) -> Report:
    """Return the report of `count` with times of the whole model and of each distinct layer.

    A saved report keeps the times that it has, and says so where it has none.
    """
    if model.saved and model.report.environment:
        from dscost.analysis.advising import readvised

        return readvised(model.report, options.min_channels)
    why = why_not_timed(model, options)
    if why or model.versions is None:
        return model.report._replace(warnings=(*model.report.warnings, why))
    if hasattr(model.versions, "measure"):  # it is in a process of its own: see `isolated`
        measured: Report = model.versions.measure(options, progress)
        return measured
    from dscost.analysis.model_timing import time_model

    importing = getattr(model.versions, "importing", nullcontext)
    with importing():  # its forward may import what lies beside it
        return time_model(model, options, progress)


def predicted(report: Report, devices: Sequence[str]) -> Report:
    """Return the report with the rooflines of named devices applied to it.

    Raises:
        InputError: There is no such device, or it has no figures for the dtype.
    """
    if devices:
        from dscost.analysis.predicting import dtype_of, with_bounds
        from dscost.devices.sheets import find_peaks, keys_of

        for name, key in keys_of(devices).items():
            report = with_bounds(report, find_peaks(name, dtype_of(report)).called(key))
    return report


def bounded(report: Report, devices: Sequence[str]) -> Report:
    """Return a report with rooflines as `predicted` does, those of stages and the ridge as well.

    This machine's own, under `cpu`, is among them where it was measured before.

    Raises:
        InputError: There is no such device, or it has no figures for the dtype.
    """
    from dscost.analysis.predicting import dtype_of, with_bounds
    from dscost.devices.peaks import Peaks
    from dscost.devices.sheets import find_peaks, keys_of
    from dscost.timing.ceilings_file import known_ceilings

    dtype = dtype_of(report)
    own = known_ceilings(dtype)
    named = [find_peaks(name, dtype).called(key) for name, key in keys_of(devices).items()]
    for peaks in (*named, *([Peaks.of_one(own)] if own else [])):
        report = with_bounds(report, peaks, of_stages=True)
    return report


def timing_options(
    device: str | Sequence[str],
    threads: int | None,
    memory_format: str | Sequence[str] | None,
    time_budget_s: float | None,
    more: Mapping[str, Any] | None,
    *,
    runtime: str | Sequence[str] | None = None,
    clock: str | None = None,
) -> "TimingOptions":
    """Return how to measure; what may be a list may be given as the one entry alone.

    Raises:
        UnavailableError: A runtime is not installed.
        InputError: A field is given twice, is unknown, or its value is wrong.
    """
    from dscost.timing import TimingOptions

    given = {
        "devices": device,
        "threads": threads,
        "memory_formats": memory_format,
        "budget_s": time_budget_s,
        **({} if runtime is None else {"runtimes": runtime}),
        **({} if clock is None else {"clock": clock}),
    }
    more = more or {}
    for name in more:
        if given.get(name) not in (None, "cpu"):
            raise InputError(f"{name} is given twice: as an argument of its own and in timing")
    fields = {**given, **more}
    defaults = TimingOptions._field_defaults
    for name in fields:
        if name not in TimingOptions._fields:
            raise UnknownNameError("timing option", name, TimingOptions._fields)
    return TimingOptions(
        **{
            name: _several(value) if isinstance(defaults[name], tuple) else value
            for name, value in fields.items()
        }
    )


def _several(given: Any) -> tuple[Any, ...]:
    return () if given is None else (given,) if isinstance(given, str | int) else tuple(given)
