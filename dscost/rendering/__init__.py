"""What is said of a result, written: one registry of formats, each for the results of all commands.

A renderer takes what is `Said` and a `View` and returns text; it prints nothing, and knows no
result. Each of ours is imported when it is asked for, so that JSON does not pay for tables.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.pages import Said, View, said
from dscost.registries import Registry

__all__ = [
    "RENDERERS",
    "Renderer",
    "View",
    "data_frame",
    "format_by_ending",
    "format_names",
    "in_words",
    "no_findings",
    "register_renderer",
    "render",
    "renderer",
]

_TO_A_FILE = View()

Says = Literal["pages", "rows", "data", "findings"]
"""What a format writes of a result."""
Writer = TypeVar("Writer", bound=Callable[[Said, View], str])


class Renderer(NamedTuple):
    """A format.

    Args:
        write: Returns the text.
        meaning: What it is, in a line.
        endings: Endings of files that are written in it where no format is named, such as `.md`.
        says: What it writes of a result: its pages, which honour every option of a view; its rows,
            which have columns; its data, always all there is; or its findings, which only
            results have that judge something.
    """

    write: Callable[[Said, View], str]
    meaning: str = ""
    endings: tuple[str, ...] = ()
    says: Says = "pages"


RENDERERS: Registry[Renderer] = Registry("format", "renderers", more="dscost.rendering.formats")


def register_renderer(
    name: str,
    *,
    meaning: str = "",
    endings: tuple[str, ...] = (),
    says: Says = "pages",
) -> Callable[[Writer], Writer]:
    """Return a decorator that makes a function a format of every command.

    The function takes what is `Said` of a result and a `View`, and returns text. An installed
    package has its formats found by the entry-point group `dscost.renderers`, one per name.

    Args:
        name: What `--format` takes; a later format of the same name replaces it.
        meaning: What `dscost list formats` says of it.
        endings: As in `Renderer`.
        says: As in `Renderer`.

    Raises:
        InputError: An ending has no dot, or it says nothing that there is.
    """
    if isinstance(endings, str) or not all(one.startswith(".") for one in endings):
        raise InputError(
            f"format {name}: endings are a tuple such as ('.md',), found {endings!r:.60}"
        )
    if says not in get_args(Says):
        raise UnknownNameError("kind of format", str(says), get_args(Says))

    def add(write: Writer) -> Writer:
        RENDERERS.register(name)(Renderer(write, meaning, endings, says))
        return write

    return add


def renderer(name: str) -> Renderer:
    """Return a format.

    Raises:
        UnknownNameError: There is none of that name.
        UnavailableError: What another package has under it is no format.
    """
    # the entry point of a package may name a function that nobody has registered
    found: Any = RENDERERS[name]
    if not callable(found) and not isinstance(found, Renderer):
        raise UnavailableError(
            f"the entry point '{name}' of dscost.renderers is no function, "
            "see dscost.register_renderer"
        )
    return found if isinstance(found, Renderer) else Renderer(found)


def render(result: Any, format_name: str = "table", view: View = _TO_A_FILE) -> str:
    """Return a result as text.

    Args:
        result: What a command came to, a list of reports, or what is already `Said`.
        format_name: One of `RENDERERS`.
        view: How it is to be shown; by default as the command line writes it to a file.

    Raises:
        UnknownNameError: There is no such format, or the view asks for a column that there is not.
        InputError: The format says findings, and the result has none.
    """
    format_, what = renderer(format_name), said(result)
    if format_.says == "findings" and what.findings() is None:
        raise no_findings(format_name, what.what)
    return format_.write(what, view)


def data_frame(result: Any) -> Any:
    """Return the rows of a result as a `pandas.DataFrame`.

    Raises:
        UnavailableError: pandas is not installed.
    """
    from dscost.rendering.frames import frame_of

    return frame_of(said(result))


def no_findings(format_name: str, what: str) -> InputError:
    """Return the error of a format for findings, asked for of what has none."""
    others = in_words(format_names(judges=False))
    return InputError(f"format '{format_name}' says findings, which {what} has not; use {others}")


def format_names(*, judges: bool, of_others: bool = True) -> list[str]:
    """Return the names of formats, those for findings where something judges.

    To look for those of other packages takes a while.
    """
    names = [*RENDERERS] if of_others else [*RENDERERS.here()]
    if judges:
        return names
    # a format of another package is not loaded to be named
    here = {name: RENDERERS[name] for name in RENDERERS.here()}
    return [name for name in names if getattr(here.get(name), "says", "") != "findings"]


def in_words(names: list[str]) -> str:
    """Return names as a sentence offers them, `a, b or c`."""
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


def format_by_ending(path: Path | None) -> str:
    """Return the format of a file where none is named; without an ending it is a table.

    Raises:
        InputError: No format has that ending.
    """
    if path is None or not path.suffix:
        return "table"
    ending = path.suffix.lower()
    for names in (RENDERERS.here(), RENDERERS):  # the second looks for those of other packages
        for name in names:
            if ending in renderer(name).endings:
                return name
    known = [one for name in RENDERERS for one in renderer(name).endings]
    raise InputError(f"no format is written to {path.suffix} files (known: {', '.join(known)})")


def _common(name: str, module: str, meaning: str, ending: str, says: Says = "pages") -> None:
    """Register one of the formats that are asked for all the time; its module is imported late."""

    def write(what: Said, view: View) -> str:
        text: str = import_module(f"dscost.rendering.{module}").write(what, view)
        return text

    RENDERERS.register(name)(Renderer(write, meaning, (ending,), says))


_common("table", "table", "Tables for people, fitted to the terminal.", ".txt")
_common("json", "json", "All there is, for programs.", ".json", "data")
_common("csv", "csv", "The figures as rows, every one exact.", ".csv", "rows")
_common("markdown", "markdown", "Markdown, as GitHub and GitLab show it.", ".md")
