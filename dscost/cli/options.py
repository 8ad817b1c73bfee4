"""Options that several commands share: one spelling, one meaning."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.reports.records import Report

if TYPE_CHECKING:
    from dscost.analysis import Request
    from dscost.notation.inputs import Inputs
    from dscost.pages import View

Threads = Annotated[
    int | None, typer.Option(help="Threads to measure with  [default: physical cores - 1]")
]
Seed = Annotated[
    int, typer.Option(help="Seed of random weights and inputs and of the order of measurements.")
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="DEVICE",
        help="Apply a named device's roofline (dscost list devices); repeatable.",
    ),
]
Convention = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Count by the rules of another tool as well (dscost list conventions), or of a "
        "file .yaml; repeatable.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Show bounds, backends and why a variant is as fast as it is."),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Let a program.pt2 run code of its own where it cannot be read without."
    ),
]
TimeBudget = Annotated[
    str | None, typer.Option(help="How long measuring may take, such as 10s or 500ms.")
]
Batch = Annotated[
    str | None,
    typer.Option(
        help="Inputs at once. With a list, the first is counted and all are timed  [default: 1]"
    ),
]

Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[NAME=]SHAPE[:DTYPE]",
        help="What the model takes: 1,3,224,224, ids=1,128:int64 or lengths=1:int64=200; "
        "repeatable.",
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting of an architecture, such as width=0.5; repeatable.",
    ),
]
Kwargs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="Argument of the factory of a torch model; repeatable."
    ),
]
OneBatch = Annotated[int | None, typer.Option(help="Inputs at once  [default: 1]")]
OneDtype = Annotated[
    str | None, typer.Option(help="Data type of weights and activations  [default: float32]")
]

Depth = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Group layers by the first N parts of their names."),
]
Top = Annotated[
    int | None,
    typer.Option("-n", "--top", min=1, metavar="N", help="Show only the first N layers."),
]

Tree = Annotated[
    bool,
    typer.Option("--tree", help="Show modules as a tree, each with the sums of what it holds."),
]

OutputPath = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write there instead of to the terminal.")
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="No notes beside the result and no progress.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say where things were found.")]

Isolate = Annotated[
    bool,
    typer.Option(
        "--isolate/--no-isolate",
        help="Run a model's own code in a process of its own, which may die.",
    ),
]
LoadTimeout = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How long a model may take there, such as 60s  [default: 300s]"
    ),
]


def parse_load_timeout(text: str | None, *, isolate: bool) -> float:
    """Return how many seconds a model may take in a process of its own, if it has one."""
    from dscost.analysis.isolated import LIMIT_S

    if text is None:
        return LIMIT_S
    if not isolate:
        raise InputError("--load-timeout needs --isolate: only a process of its own can be stopped")
    from dscost.notation.quantities import parse_seconds

    return parse_seconds(text, what="--load-timeout")


def parse_inputs(texts: Sequence[str]) -> "Inputs | None":
    """Return what one or more `--input` stand for: one plain shape, or the tensors of a model."""
    from dscost.notation.inputs import inputs_of, parse_input

    try:
        return inputs_of([parse_input(text) for text in texts]) if texts else None
    except InputError as error:
        raise InputError(f"--input: {error}") from error


MinChannels = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Leave convolutions with fewer input or output channels as they are  [default: 32]",
    ),
]


class Asking(NamedTuple):
    """What is asked of a target beside its name, as the command line says."""

    setting: Setting = None
    inputs: Shapes = None
    kwargs: Kwargs = None

    def request(
        self, batch: int | None = None, dtype: str | None = None, *, trust: bool = False
    ) -> "Request":
        """Return how the target is to be counted."""
        from dscost.analysis import Request

        given = parse_inputs(self.inputs or ())
        settings, arguments = parse_settings(self.setting or ()), parse_kwargs(self.kwargs or ())
        return Request(given, batch, dtype, settings, arguments, trust)

    def models(self, targets: Sequence[str], tell: Callable[[str], None]) -> list[str]:
        """Return targets with the model of a file that has only one, which is told."""
        from dscost.sources import named

        names = [pair.partition("=")[0].partition(".")[0].strip() for pair in self.kwargs or ()]
        found = [named(target, names) for target in targets]
        for target, name in zip(targets, found, strict=True):
            if name != target:
                tell(f"{target}: taking {name}; write {target}:NAME to choose another")
        return found


AS_IT_IS = Asking()


def one_file(argument: Path | None, option: Path | None) -> Path | None:
    """Return the file that was named in one way or the other, but not in both."""
    if argument is not None and option is not None:
        raise InputError("name the budget once: as the argument or by --config")
    return argument or option


def files(arguments: Sequence[Path] | None, option: Path | None) -> list[Path]:
    """Return the files that were named in one way or the other, each once."""
    one = one_file(arguments[0] if arguments else None, option)
    return list(dict.fromkeys(arguments or filter(None, [one])))


def with_bounds(report: Report, on: Sequence[str], *, explain: bool, timed: bool) -> Report:
    """Return a report with the rooflines of devices, of each stage where only they explain it."""
    from dscost.analysis import bounded, predicted

    return bounded(report, on) if explain and not timed else predicted(report, on)


def check_devices(names: Sequence[str] | None) -> list[str]:
    """Return where the figures of devices are from; one that is not there is refused at once."""
    if not names:
        return []
    from dscost.devices.sheets import sheet_of

    return [f"{name}: {sheet_of(name).source}" for name in names]


def named_in_full(view: "View") -> "View":
    """Return a view whose columns and sort key call conventions by their full names."""
    if not any("@" in one for one in (*(view.columns or ()), view.sort or "")):
        return view
    columns = view.columns and tuple(map(_in_full, view.columns))
    return view._replace(columns=columns, sort=view.sort and _in_full(view.sort))


def _in_full(key: str) -> str:
    """Return a key with the full name of its convention; of one that is not here as it is.

    A saved report may have one, and only it tells.
    """
    from dscost.conventions import find_convention
    from dscost.reports.figures import convention_of, metric_of

    name = convention_of(key)
    if name is None:
        return key
    try:
        return metric_of(find_convention(name).key)
    except UnknownNameError:
        return key


def check_columns(columns: Sequence[str] | None, report: Report) -> None:
    """Refuse columns of measured figures where the report has none."""
    from dscost.pages.layer_table import MEASURED_COLUMNS

    empty = [name for name in columns or () if name in MEASURED_COLUMNS]
    if empty and report.environment is None:
        raise InputError(f"--columns {','.join(empty)}: not measured with --no-time")


def parse_names(text: str | None) -> tuple[str, ...]:
    """Return names that are separated by commas, each once."""
    names = (name.strip() for name in (text or "").split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def parse_settings(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return named values as in `width=0.5`, read as YAML reads them."""
    from dscost.notation.marked_yaml import parse_scalar

    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"\w+", name.strip()):
            raise InputError(f"--set: expected NAME=VALUE such as width=0.5, found '{pair}'")
        try:
            settings[name.strip()] = parse_scalar(value)
        except FileProblems as error:
            (problem, *_) = error.problems
            told = f"--set: {name.strip()}: '{value}': {problem.message}"
            raise InputError(told) from error
    return settings


def parse_kwargs(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return the arguments of a factory, as in `norm=None`, read as Python and YAML do."""
    from dscost.notation.literals import with_parts

    try:
        return with_parts(map(_argument, pairs))
    except InputError as error:
        raise InputError(f"--kwargs: {error}") from error


def _argument(pair: str) -> tuple[str, Any]:
    from dscost.notation.bare_words import excerpt
    from dscost.notation.literals import BareWordError, parse_value

    name, equals, value = pair.partition("=")
    if not equals or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name.strip()):
        raise InputError(f"expected NAME=VALUE such as width=0.5, found '{excerpt(pair)}'")
    try:
        return name.strip(), parse_value(value)
    except BareWordError as error:
        told = f'; a shell needs more quotes: "{name.strip()}={error.as_text}"'
        told = told if value.strip() in error.as_text else ""
        raise InputError(f"{name.strip()}: {error}{told}") from error
    except InputError as error:
        raise InputError(f"{name.strip()}: {error}") from error
