"""What is run: stages of a layer or a whole model, made for a setting, as one call. No torch here.

torch runs modules, as `torch_running` makes them; every other runtime a program.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from dscost.analysis.making import Making
from dscost.layers.others import Part
from dscost.networks.network import stage_operations
from dscost.reports.records import Ran, Report, RunNode, Stage
from dscost.runtimes import RUNTIMES, TORCH, How, Runtime
from dscost.timing import Setting
from dscost.timing.engine import Call

if TYPE_CHECKING:
    from torch import nn

    from dscost.runtimes.programs import Program
    from dscost.tracing import Arguments


class Work(NamedTuple):
    """Something that can be made to run under a setting, and what one call of it needs.

    Args:
        name: How warnings call it.
        setting: Where and how it runs.
        build: Makes the module, for torch.
        arguments: Makes what that is called with.
        program: Makes it for any other runtime.
        macs: MACs of one call.
        needed_bytes: Memory that one call needs.
    """

    name: str
    setting: Setting
    build: "Callable[[], nn.Module]"
    arguments: "Callable[[], Arguments]"
    program: "Callable[[], Program]"
    macs: int
    needed_bytes: int


def _nothing() -> None:
    """Do nothing."""


class Prepared(NamedTuple):
    """Something that can be called, and what was found out while it was made.

    Args:
        call: Runs it once.
        backends: What torch computes each of its convolutions with, by name.
        compile_s: What `torch.compile` took.
        first_s: What its first call took, which is longer than those that follow.
        ran: How a runtime other than torch runs it, without what its profile tells.
        nodes: Asks that profile, where there is one.
        again: Makes again what other work may have taken away since, such as compiled code, by a
            call; it may raise what a call may.
    """

    call: Call
    backends: Mapping[str, str] = MappingProxyType({})
    compile_s: float | None = None
    first_s: float = 0.0
    ran: Ran | None = None
    nodes: Callable[[], Sequence[RunNode]] | None = None
    again: Call = _nothing

    def ran_with_nodes(self) -> Ran | None:
        """Return how it ran, with what the profile of its runtime tells."""
        if self.ran is None or self.nodes is None:
            return self.ran
        return self.ran._replace(nodes=tuple(self.nodes()))


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


def work_of(
    stages: Sequence[Stage], setting: Setting, parts: Sequence[Part] = (), *, seed: int = 0
) -> Work:
    """Return the stages of a variant as one work.

    Args:
        stages: With their costs.
        setting: Under which they run.
        parts: What is built; of none, a chain of the stages' convolutions.
        seed: Of the weights and the input of a program.
    """
    shape = stages[0].input_shape
    what = parts or tuple((stage.name, stage.conv) for stage in stages if stage.conv)
    name = f"the {' + '.join(stage.name for stage in stages)} convolution"

    def build() -> "nn.Module":
        from dscost.modules.building import build_variant

        return build_variant(what, shape)

    def arguments() -> "Arguments":
        from dscost.modules.building import random_input
        from dscost.tracing import Arguments

        return Arguments((random_input(shape, **setting.place),), {})

    def program() -> "Program":
        from dscost.runtimes.programs import OperationsProgram

        return OperationsProgram(name, stage_operations(what, shape), seed)

    return Work(
        name,
        setting,
        build,
        arguments,
        program,
        macs=sum(stage.cost.macs for stage in stages),
        needed_bytes=sum(stage.cost.traffic_bytes for stage in stages),
    )


def prepared(work: Work, making: Making, *, threads: int, seed: int) -> Prepared:
    """Return work ready to be called, run before; whatever runs it raises passes."""
    name = work.setting.runtime
    with making.of(name):
        if name == TORCH:
            from dscost.analysis.torch_running import prepared_by_torch

            made = prepared_by_torch(work)
        else:
            made = _prepared_by(RUNTIMES[name], work, How(threads, work.setting.dtype, seed))
    if made.again is not _nothing:
        made = made._replace(again=making.counted(name, made.again))
    return made


def _prepared_by(runtime: Runtime, work: Work, how: How) -> Prepared:
    """Return work as a runtime runs it, if that computes what it should."""
    from dscost.runtimes.checking import checked

    with _as_outside():
        program = work.program()
        found = checked(runtime, program, how)
    running = found.running
    before = perf_counter()
    running.call()
    first_s = perf_counter() - before
    ran = Ran(running.way_in, found.error, found.reference, running.fused)
    again = running.again or _nothing
    return Prepared(running.call, first_s=first_s, ran=ran, nodes=running.nodes, again=again)


@contextmanager
def _as_outside() -> Iterator[None]:
    """Leave torch's inference mode, where torch is: what was made in it cannot be exported."""
    if "torch" not in sys.modules:
        yield
        return
    import torch

    with torch.inference_mode(False), torch.no_grad():
        yield
