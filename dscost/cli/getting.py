"""The command that does what `dscost model` advises."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dscost.files import split_report_name
from dscost.reports.records import Advice, Report
from dscost.runtimes import TORCH
from dscost.sources import is_graph
from dscost.timing import runtime_of

if TYPE_CHECKING:
    from dscost.cli.measuring import Measuring
    from dscost.cli.options import Asking
    from dscost.cli.printing import Output

SAVED_TO = "cheaper.pt"
GRAPH_SAVED_TO = "cheaper.onnx"
NOT_BY_NAME = ("layer", "module")
"""Sources of reports whose model no command line can name."""


class Own(NamedTuple):
    """Options of `dscost model` that `dscost convert` has as well, as they were given."""

    batch: str | None
    trust: bool
    min_channels: int | None


def command_for(
    report: Report, target: str, asking: "Asking", measuring: "Measuring", own: Own, out: "Output"
) -> str | None:
    """Return the `dscost convert` that swaps what pays, or nothing where there is none.

    It takes the evidence from a report where one is written or was read, and measures again, as
    before, where none is.
    """
    is_saved = split_report_name(target) is not None
    saved = target if is_saved else next(_written(out), None)
    if is_saved:
        if report.source in NOT_BY_NAME:
            return None
        words = [report.target, *_settings_of(report)]
    else:
        words = [target, *_asked(asking)]
        if own.batch is not None:
            words += ["--batch", own.batch.partition(",")[0].strip()]
        words += ["--trust"] if own.trust else []
    if saved is None and (measuring.dtype is not None or measuring.mode is not None):
        return None  # convert measures eagerly, in the dtype of the model
    words += ["--fastest"]
    words += ["--from", saved] if saved else _measured(measuring, report.advice)
    if own.min_channels is not None:
        words += ["--min-channels", str(own.min_channels)]
    path = GRAPH_SAVED_TO if is_graph(words[0]) else SAVED_TO
    return shlex.join(["dscost", "convert", *words, "--save", path])


def _written(out: "Output") -> Iterator[str]:
    """Yield the reports that are written."""
    files: Sequence[tuple[str, Path | None]] = [(out.format_name, out.path), *out.exports]
    yield from (str(path) for name, path in files if name == "json" and path)


def _asked(asking: "Asking") -> Iterator[str]:
    for option, texts in (
        ("--input", asking.inputs),
        ("--set", asking.setting),
        ("--kwargs", asking.kwargs),
    ):
        for text in texts or ():
            yield from (option, text)


def _settings_of(report: Report) -> Iterator[str]:
    """Yield the settings of a saved report, and its input where that is a plain one."""
    for name, value in report.settings.items():
        yield from ("--set", f"{name}={value}")
    if len(report.inputs) == 1 and report.inputs[0].dtype == "float32":
        yield from ("--input", ",".join(map(str, report.inputs[0].shape)))


def _measured(measuring: "Measuring", advice: Advice | None = None) -> Iterator[str]:
    if measuring.device:
        yield from ("--device", measuring.device[0])
    runtime = (measuring.runtime or TORCH).partition(",")[0].strip()
    if advice is not None:
        runtime = runtime_of(advice.setting)
    if runtime != TORCH:
        yield from ("--runtime", runtime)
    if measuring.threads is not None:
        yield from ("--threads", str(measuring.threads))
    if measuring.memory_format and runtime == TORCH:
        yield from ("--memory-format", measuring.memory_format.partition(",")[0].strip())
    if measuring.time_budget is not None:
        yield from ("--time-budget", measuring.time_budget)
