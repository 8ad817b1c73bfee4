"""Two models, or the two ways to write one, timed in turns for the ratio of their latencies."""

from pathlib import Path
from typing import NamedTuple

from dscost.analysis.counting import CountedModel
from dscost.analysis.targets import AS_STATED, Request, count
from dscost.errors import InputError, UnavailableError
from dscost.foreign.containing import contained
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.reports.records import Environment, Speedup
from dscost.sources import runs_code
from dscost.timing import Progress, TimingOptions


class Side(NamedTuple):
    """A model that is timed.

    Args:
        name: What it is called.
        target: What it is.
        request: How it is counted.
        folder: Where its files and modules are sought before the working directory.
    """

    name: str
    target: str
    request: Request = AS_STATED
    folder: Path | None = None

    @property
    def runs_code(self) -> bool:
        """Whether it is somebody's code."""
        return runs_code(self.target)


class TimedRatio(NamedTuple):
    """What was measured.

    Args:
        speedup: Latency of the other over that of the model; by the clock `cpu` their processor
            times.
        environment: Where.
        warnings: What else must be known.
    """

    speedup: Speedup
    environment: Environment
    warnings: tuple[str, ...] = ()


def time_ratio(
    side: Side, other: Side | None, options: TimingOptions, progress: Progress | None = None
) -> TimedRatio:
    """Return how many times faster a model is than another; both are made anew.

    Without another one it is how many times faster the model is of depthwise-separable
    convolutions than of standard ones.

    Args:
        side: The model.
        other: What it is held against.
        options: How to measure, under one setting.
        progress: Told the share of the time that is spent, and what is timed.

    Raises:
        InputError: One cannot be counted, or has no versions that differ, or is a saved report.
        UnavailableError: One cannot be run, or the time did not suffice.
    """
    from dscost.analysis.side_by_side import Entry, time_side_by_side

    model = _counted(side, options, progress)
    if other is None:
        if not model.swaps:
            raise InputError(
                "no convolution of it could be depthwise-separable, nor is one, so that it has no "
                "speedup of its own: against: TARGET takes that over another model"
            )
        names = f"{side.name}, {STANDARD}", f"{side.name}, {SEPARABLE}"
        entries = [
            Entry(name, model, version)
            for name, version in zip(names, (STANDARD, SEPARABLE), strict=True)
        ]
    else:
        name = other.name if other.name != side.name else f"{other.name} before"
        entries = [Entry(name, _counted(other, options, progress)), Entry(side.name, model)]
    found = time_side_by_side(entries, options, progress)
    ratios = found.cpu_speedups if options.clock == "cpu" else found.speedups
    speedups = list(ratios[entries[-1].name].values())
    if not speedups or found.environment is None:
        reasons = found.untimed or found.warnings or ("The time did not suffice.",)
        raise UnavailableError(" ".join(dict.fromkeys(reasons)))
    return TimedRatio(speedups[0], found.environment, found.warnings)


def _counted(side: Side, options: TimingOptions, progress: Progress | None) -> CountedModel:
    """Return a model that can be run."""
    with contained(side.target):
        model = count(side.target, side.request, folder=side.folder, progress=progress)
    if model.saved:
        raise InputError(f"{side.target} is a saved report: only the model itself can be timed")
    why = model.why_not_by(*options.runtimes, instead=": give runtime: onnxruntime")
    if why:
        raise InputError(f"{side.target} cannot be timed: {why}")
    return model
