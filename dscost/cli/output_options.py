"""The options that say how and where to write a result: one record, the same for every command."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from dscost.cli.colours import wants_color
from dscost.cli.model_files import ENDING, FORMAT, WRITE_MODELS, check_model_files, model_file
from dscost.cli.options import OutputPath, Quiet, named_in_full, parse_names
from dscost.cli.picture_files import check_picture, is_of_pixels, no_file_of, picture_files
from dscost.cli.places import Read, check_places
from dscost.cli.printing import Output, on_terminal, terminal_width
from dscost.cli.streams import result_encoding, result_stream
from dscost.errors import InputError
from dscost.rendering import View, format_by_ending, format_names, in_words, no_findings, renderer

_VIEW_OPTIONS = {
    "pages": ("columns", "sort", "top", "depth", "tree"),
    "rows": ("columns", "stages", "totals"),
    "pictures": ("sort", "top", "depth", "plot"),
}
"""What a format honours of a view, by what it says."""
_OF_ROWS = ("stages", "totals")
"""What exports honour as well: of these there is but one table to choose."""


_EXPORTED = "[FORMAT=]PATH"
_EXPORTS = "Write another file as well, in the format of its ending unless one is named; repeatable"

_PLAIN = View()


class Asked(NamedTuple):
    """What the output options of a command line are; the help of `--format` names all formats."""

    format_name: Annotated[str | None, typer.Option("--format")] = None
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False
    path: OutputPath = None
    export: Annotated[list[str] | None, typer.Option(metavar=_EXPORTED, help=f"{_EXPORTS}.")] = None
    plot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            help="Draw a picture (dscost list pictures names them) to a .svg or .png file; "
            "repeatable. Without FILE it is the one that --format svg or --export svg=PATH draws.",
        ),
    ] = None
    columns: Annotated[str | None, typer.Option(help="Columns to show, separated by commas.")] = (
        None
    )
    wide: Annotated[
        bool, typer.Option("--wide", help="Show every column, however narrow the terminal.")
    ] = False
    color: Annotated[str, typer.Option(help="auto, always or never.")] = "auto"
    quiet: Quiet = False

    def output(
        self, command: str, view: View = _PLAIN, *, judges: bool = False, read: Iterable[Read] = ()
    ) -> Output:
        """Return where the results of a command go, checked before any work is done.

        Args:
            command: Which one asks.
            view: What else is asked of what is shown.
            judges: Whether its results have findings.
            read: Files that must not be written over.
        """
        if self.json and self.format_name not in (None, "json"):
            raise InputError(f"--json and --format {self.format_name} contradict each other")
        models = tuple(filter(None, map(model_file, self.export or ())))
        others = [entry for entry in self.export or () if model_file(entry) is None]
        drawn, plot = picture_files(self.plot or (), command)
        exports = (*map(_export, others), *drawn)
        exported = [path for _, path in exports]
        files = [self.path, *exported, *(one.path for one in models)]
        check_places(files, read)
        check_model_files(models, command)
        if command in WRITE_MODELS:
            self._refuse_model_as_result()
        chosen = "json" if self.json else self.format_name or _format_of(self.path)
        for name in (chosen, *(name for name, _ in exports)):
            if renderer(name).says == "findings" and not judges:
                raise no_findings(name, f"dscost {command}")
            check_picture(name, command)
        if is_of_pixels(chosen) and self.path is None and on_terminal():
            raise InputError("a terminal shows no pixels: name a file, as in -o picture.png")
        view = view._replace(
            columns=None if self.columns is None else parse_names(self.columns),
            wide=self.wide,
            width=terminal_width() if self.path is None and on_terminal() else None,
            color=wants_color(result_stream(), self.color),
            encoding=result_encoding(),
            command=command,
            plot=plot,
        )
        view = named_in_full(view)
        # an option without effect would pass for one that was obeyed
        says = renderer(chosen).says
        exported_as = {renderer(name).says for name, _ in exports}
        honoured = (*_VIEW_OPTIONS.get(says, ()), *(_OF_ROWS if "rows" in exported_as else ()))
        if "pictures" in exported_as:
            honoured += ("plot",)
        for option in dict.fromkeys(name for names in _VIEW_OPTIONS.values() for name in names):
            if getattr(view, option) not in (None, False) and option not in honoured:
                if option == "plot":
                    raise no_file_of(view.plot or "")
                raise InputError(f"--{option} has no meaning for --format {chosen}")
        return Output(chosen, self.path, exports, view, self.quiet, models)

    def _refuse_model_as_result(self) -> None:
        """Refuse `--format onnx` and `-o net.onnx`, and say how a model is written."""
        ends_so = self.path is not None and self.path.suffix == ENDING
        if self.format_name == FORMAT or (ends_so and not (self.format_name or self.json)):
            file = self.path if ends_so else f"FILE{ENDING}"
            raise InputError(f"onnx is the model, not what it costs: --export onnx={file}")


def _format_of(path: Path | None) -> str:
    """Return the format that the ending of a file means."""
    try:
        return format_by_ending(path)
    except InputError as error:
        hint = f"name one by --format, or another file than '{path}'"
        raise InputError(f"{error}: {hint}") from error


def _export(entry: str) -> tuple[str, Path]:
    name, equals, path = entry.partition("=")
    if equals and path:
        return name, Path(path)
    if equals or not Path(entry).suffix:
        raise InputError(f"--export: expected FORMAT=PATH such as json=costs.json, found '{entry}'")
    try:
        return format_by_ending(Path(entry)), Path(entry)
    except InputError as error:
        raise InputError(f"--export: {error}: name one, as in json={entry}") from error


Stages = Annotated[
    bool, typer.Option("--stages", help="Tell of the stages of variants in a CSV as well.")
]
Totals = Annotated[
    bool, typer.Option("--totals", help="Have a row for the whole in a CSV, instead of layers.")
]

DEFAULTS = Asked()


class Offered(NamedTuple):
    """Which of the output options a command has, beside `Asked` in the type of its parameter.

    Args:
        without: Names of those that it has not.
        judges: Whether its results have findings, for which there are formats of their own.
        quiet: What silencing means, where it means more.
        models: What else may be exported, where models are.
    """

    without: tuple[str, ...] = ()
    judges: bool = False
    quiet: str | None = None
    models: str | None = None

    def in_its_own_way(self, *, asks_help: bool) -> dict[str, Any]:
        """Return the options that are not spelled as in `Asked`; `None` for one that it has not."""
        draws = "plot" not in self.without
        names = format_names(judges=self.judges, draws=draws, of_others=asks_help)
        formats = in_words(names)
        option = typer.Option("--format", help=f"{formats}.")
        own: dict[str, Any] = {"format_name": Annotated[str | None, option]}
        if self.quiet is not None:
            own["quiet"] = Annotated[bool, typer.Option("-q", "--quiet", help=self.quiet)]
        if self.models is not None:
            own["export"] = Annotated[
                list[str] | None, typer.Option(metavar=_EXPORTED, help=f"{_EXPORTS}; {self.models}")
            ]
        return {**own, **dict.fromkeys(self.without)}


All = Annotated[Asked, Offered()]
"""The output options of a command whose tables have columns to choose from."""
OfLayer = Annotated[
    Asked,
    Offered(models="onnx=FILE writes the convolution itself, onnx:ghost=FILE a variant of it."),
]
"""Those of the command that has a layer to write."""
OfModel = Annotated[
    Asked,
    Offered(models="onnx=FILE writes the model itself, onnx:depthwise_separable=FILE made so."),
]
"""Those of the command that has a model to write."""
OfConverted = Annotated[Asked, Offered(models="onnx=FILE writes the converted model, as --save.")]
"""Those of the command that has a converted one."""
OfSweep = Annotated[
    Asked, Offered(models="TABLE.parquet writes the rows as Parquet, however many they are.")
]
"""Those of the command whose tables may be large."""
Fixed = Annotated[Asked, Offered(without=("columns",))]
"""Those of one whose tables are always the same."""
Plain = Annotated[Asked, Offered(without=("columns", "wide", "plot"))]
"""Those of one that shows no figures side by side, and draws none."""
Listed = Annotated[Asked, Offered(without=("columns", "plot"))]
"""Those of the command that lists what there is."""


class Without:
    """Which fields of a record are no options of a command, beside it in a parameter's type."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def in_its_own_way(self, *, asks_help: bool) -> dict[str, None]:
        """Return how fields are spelled that are not spelled as in the record: not at all."""
        return dict.fromkeys(self._names)


def spread(command: Callable[..., None], *, asks_help: bool) -> Callable[..., None]:
    """Return a command as Typer takes it: of its records every field is an option.

    Whoever asks for help is told the formats of other packages, which have to be looked for.
    """
    parameters: list[Parameter] = []
    records: dict[str, tuple[Any, list[str]]] = {}
    for one in signature(command).parameters.values():
        record = getattr(one.annotation, "__origin__", one.annotation)
        if not hasattr(record, "_fields"):
            parameters.append(one.replace(kind=Parameter.KEYWORD_ONLY))
            continue
        own: dict[str, Any] = {}
        for offered in getattr(one.annotation, "__metadata__", ()):
            own = offered.in_its_own_way(asks_help=asks_help)
        options = list(_options(record, own))
        records[one.name] = record, [option.name for option in options]
        parameters += options

    @wraps(command)
    def spread_out(**given: Any) -> None:
        for name, (record, names) in records.items():
            fields = {field: given.pop(field) for field in names if field in given}
            given[name] = record(**fields)
        command(**given)

    spread_out.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {}
    return spread_out


def offer(name: str, command: Callable[..., None]) -> None:
    """Tell the parameters of a command that is spread out what a shell may complete them by."""
    from dscost.cli.candidates import candidates

    for parameter in signature(command).parameters.values():
        for info in getattr(parameter.annotation, "__metadata__", ()):
            info.autocompletion = candidates(name, parameter.name)


def _options(record: Any, own: Mapping[str, Any]) -> Iterator[Parameter]:
    """Yield the fields of a record as options, some of them spelled in another way, or left out."""
    for name, default in record._field_defaults.items():
        kind = own.get(name, record.__annotations__[name])
        if kind is not None:
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
