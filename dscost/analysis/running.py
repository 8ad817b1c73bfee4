"""What is run: stages of a layer or a whole model, made for a setting, as one call."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from dscost.layers.others import Part
from dscost.modules.building import build_variant, placed, random_input
from dscost.reports.records import Report, Stage
from dscost.timing import Setting
from dscost.timing.backends import backend_of
from dscost.timing.cuda import replayed
from dscost.timing.engine import Call
from dscost.tracing import Arguments


class Work(NamedTuple):
    """Something that can be made to run under a setting, and what one call of it needs.

    Args:
        name: How warnings call it.
        setting: Where and how it runs.
        build: Makes the module.
        arguments: Makes what it is called with.
        macs: MACs of one call.
        needed_bytes: Memory that one call needs.
    """

    name: str
    setting: Setting
    build: Callable[[], nn.Module]
    arguments: Callable[[], Arguments]
    macs: int
    needed_bytes: int


class Prepared(NamedTuple):
    """Something that can be called, and what was found out while it was made.

    Args:
        call: Runs it once.
        backends: What torch computes each of its convolutions with, by name.
        compile_s: What `torch.compile` took.
        first_s: What its first call took, which is longer than those that follow.
    """

    call: Call
    backends: Mapping[str, str] = MappingProxyType({})
    compile_s: float | None = None
    first_s: float = 0.0


WORK_COPIES = 4
"""A running model holds about so many of its largest results at once, where its peak is not
known."""


def inputs_ratio(report: Report, setting: Setting) -> float:
    """Return how many times the inputs of a report a setting has."""
    return setting.batch / max(1, report.batch) if setting.batch else 1.0


def bytes_to_run(report: Report, weight_bytes: int, setting: Setting) -> int:
    """Return the memory that a model takes to be made and run, with weights of so many bytes."""
    largest = max((layer.cost.output_bytes for layer in report.layers), default=0)
    activations = report.peak_activation_bytes or WORK_COPIES * largest
    return int(2 * weight_bytes + activations * inputs_ratio(report, setting))


def work_of(stages: Sequence[Stage], setting: Setting, parts: Sequence[Part] = ()) -> Work:
    """Return the stages of a variant as one work; of no parts, a chain of convolutions."""
    shape = stages[0].input_shape
    what = parts or tuple((stage.name, stage.conv) for stage in stages if stage.conv)
    return Work(
        f"the {' + '.join(stage.name for stage in stages)} convolution",
        setting,
        lambda: build_variant(what, shape),
        lambda: Arguments((random_input(shape, **setting.place),), {}),
        macs=sum(stage.cost.macs for stage in stages),
        needed_bytes=sum(stage.cost.traffic_bytes for stage in stages),
    )


def prepared(work: Work) -> Prepared:
    """Return work on its device, run once; whatever torch or a model's own code raises, passes."""
    setting = work.setting
    module = placed(work.build(), **setting.place)
    args, kwargs = work.arguments()
    before = perf_counter()
    module(*args, **kwargs)
    first_s = perf_counter() - before
    backends = _backends(module, *args) if len(args) == 1 and not kwargs else {}
    if setting.mode == "compile":
        compiled = torch.compile(module, dynamic=False)
        before = perf_counter()
        compiled(*args, **kwargs)
        compile_s = perf_counter() - before
        return Prepared(lambda: compiled(*args, **kwargs), backends, compile_s, first_s)
    if kwargs:
        call: Call = lambda: module(*args, **kwargs)  # noqa: E731
    else:
        call = lambda: module(*args)  # noqa: E731
    call = replayed(call) if setting.mode == "graph" else call
    return Prepared(call, backends, first_s=first_s)


def _backends(module: nn.Module, x: Any) -> dict[str, str]:
    """Return the backends of a convolution, or of a chain of them by name; else none."""
    chain = dict(module.named_children()) if type(module) is nn.Sequential else {"": module}
    found: dict[str, str] = {}
    for name, conv in chain.items():
        backend = backend_of(conv, x)
        if backend is None:
            return found
        found[name] = backend
        x = conv(x)
    return found
