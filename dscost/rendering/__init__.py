"""What is said of a result, written: one registry of formats, each for the results of all commands.

A renderer takes what is `Said` and a `View` and returns text; it prints nothing, and knows no
result. Each of ours is imported when it is asked for, so that JSON does not pay for tables.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.pages import Said, View, said
from dscost.registries import Registry

if TYPE_CHECKING:
    from dscost.rendering.picturing import Drawing

__all__ = [
    "RENDERERS",
    "Renderer",
    "View",
    "Written",
    "data_frame",
    "format_by_ending",
    "format_names",
    "in_words",
    "no_findings",
    "notebook",
    "plot",
    "register_renderer",
    "render",
    "renderer",
]

_TO_A_FILE = View()

Says = Literal["pages", "rows", "data", "findings", "pictures"]
"""What a format writes of a result."""
Written = str | bytes
"""What a format writes: text, but for pixels."""
Writer = TypeVar("Writer", bound=Callable[[Said, View], Written])


class Renderer(NamedTuple):
    """A format.

    Args:
        write: Returns the text, or the bytes of what is no text.
        meaning: What it is, in a line.
        endings: Endings of files that are written in it where no format is named, such as `.md`.
        says: What it writes of a result: its pages, which honour every option of a view; its rows,
            which have columns; its data, always all there is; its findings, which only
            results have that judge something; or one of its pictures.
    """

    write: Callable[[Said, View], Written]
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

    The function takes what is `Said` of a result and a `View`, and returns text, or bytes. An
    installed package has its formats found by the entry-point group `dscost.renderers`, one per
    name.

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
    """Return a format; behind a colon its name may say which picture, as in `svg:roofline`.

    Raises:
        UnknownNameError: There is none of that name.
        UnavailableError: What another package has under it is no format.
        InputError: A picture is named, and the format draws none.
    """
    base, colon, picture = name.partition(":")
    # the entry point of a package may name a function that nobody has registered
    found: Any = RENDERERS[base]
    if not callable(found) and not isinstance(found, Renderer):
        raise UnavailableError(
            f"the entry point '{base}' of dscost.renderers is no function, "
            "see dscost.register_renderer"
        )
    format_ = found if isinstance(found, Renderer) else Renderer(found)
    if colon and (format_.says != "pictures" or not picture):
        raise InputError(f"'{name}': only a format of pictures takes the name of one (svg, png)")
    return format_


def render(result: Any, format_name: str = "table", view: View = _TO_A_FILE) -> Written:
    """Return a result as text, or as the bytes of a format that is none.

    Args:
        result: What a command came to, a list of reports, or what is already `Said`.
        format_name: One of `RENDERERS`, of pictures also with the name of one, `svg:roofline`.
        view: How it is to be shown; by default as the command line writes it to a file.

    Raises:
        UnknownNameError: There is no such format or picture, or the view asks for a column that
            there is not.
        InputError: The format says findings, and the result has none, or it draws what is not
            known.
    """
    format_, what = renderer(format_name), said(result)
    if format_.says == "findings" and what.findings() is None:
        raise no_findings(format_name, what.what)
    picture = format_name.partition(":")[2]
    return format_.write(what, view._replace(plot=picture) if picture else view)


def plot(result: Any, name: str | None = None) -> "Drawing":
    """Return a picture of a result.

    Args:
        result: As of `render`.
        name: Which one; by default the most telling.

    Raises:
        UnknownNameError: There is none of that name.
        InputError: What it would show is not known.
    """
    from dscost.rendering.picturing import Drawing, picture_of

    return Drawing(picture_of(said(result), View(plot=name)))


def notebook(result: Any) -> str:
    """Return a result as the part of a page that a notebook shows."""
    from dscost.rendering.html.notebook import notebook_of

    return notebook_of(said(result))


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


def format_names(*, judges: bool, draws: bool = False, of_others: bool = True) -> list[str]:
    """Return the names of formats.

    Args:
        judges: Whether those for findings are among them.
        draws: Whether those for pictures are.
        of_others: Whether to look for those of other packages, which takes a while.
    """
    names = [*RENDERERS] if of_others else [*RENDERERS.here()]
    without = {*(() if judges else ("findings",)), *(() if draws else ("pictures",))}
    # a format of another package is not loaded to be named
    here = {name: RENDERERS[name] for name in RENDERERS.here()}
    return [name for name in names if getattr(here.get(name), "says", "") not in without]


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

    def write(what: Said, view: View) -> Written:
        text: Written = import_module(f"dscost.rendering.{module}").write(what, view)
        return text

    RENDERERS.register(name)(Renderer(write, meaning, (ending,), says))


_common("table", "table", "Tables for people, fitted to the terminal.", ".txt")
_common("json", "json", "All there is, for programs.", ".json", "data")
_common("csv", "csv", "The figures as rows, every one exact.", ".csv", "rows")
_common("markdown", "markdown", "Markdown, as GitHub and GitLab show it.", ".md")
