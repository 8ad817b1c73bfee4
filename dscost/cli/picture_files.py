"""Files of pictures that a command line asks for, by `--plot NAME=FILE` or a format of them."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.pages.picture_names import OF_COMMANDS
from dscost.rendering import format_by_ending, renderer

ENDINGS = (".svg", ".png")
"""Of files that hold a picture."""
_EXAMPLE = "roofline=roofline.svg"


def picture_files(
    entries: Iterable[str], command: str
) -> tuple[list[tuple[str, Path]], str | None]:
    """Return the files that `--plot` names, each with its format, and the picture without a file.

    Raises:
        InputError: A file has another ending than .svg or .png, or two pictures have no file.
        UnknownNameError: The command draws no such picture.
    """
    files: list[tuple[str, Path]] = []
    plot: str | None = None
    for entry in entries:
        name, equals, path = entry.partition("=")
        _check_name(name, command)
        if not equals:
            if plot not in (None, name):
                raise InputError(f"--plot {plot} and --plot {name}: name a file, as in {_EXAMPLE}")
            plot = name
            continue
        if Path(path).suffix.lower() not in ENDINGS:
            raise InputError(
                f"--plot: expected NAME=FILE.svg or .png, as in {_EXAMPLE}, found '{entry}'"
            )
        files.append((f"{format_by_ending(Path(path))}:{name}", Path(path)))
    return files, plot


def is_of_pixels(format_name: str) -> bool:
    """Whether a format is no text."""
    return format_name.partition(":")[0] == "png"


def check_picture(format_name: str, command: str) -> None:
    """Refuse a format of pictures where the command draws none, or not that one.

    Raises:
        InputError: It draws none.
        UnknownNameError: It draws no such picture.
        UnavailableError: What makes pixels is not installed.
    """
    if renderer(format_name).says != "pictures":
        return
    base, _, name = format_name.partition(":")
    if is_of_pixels(format_name) and find_spec("resvg_py") is None:
        from dscost.rendering.drawing.pixels import NO_PIXELS

        raise UnavailableError(NO_PIXELS)
    if command not in OF_COMMANDS:
        raise InputError(f"format '{base}' draws pictures, of which dscost {command} has none")
    if name:
        _check_name(name, command)


def no_file_of(plot: str) -> InputError:
    """Return the error of a picture that is asked for, and written nowhere."""
    return InputError(f"--plot {plot}: name its file, as in --plot {plot}={plot}.svg")


def _check_name(name: str, command: str) -> None:
    names = OF_COMMANDS.get(command, ())
    if not names:
        raise InputError(f"--plot: dscost {command} draws no picture")
    first, dash, number = name.rpartition("-")
    is_further = bool(dash) and number.isdecimal() and first in names  # of which the result tells
    if name not in names and not is_further:
        raise UnknownNameError("picture", name, names)
