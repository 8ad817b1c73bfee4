"""Where results go: stdout or files. Notes go to stderr. Nothing else prints."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from dscost.cli import FAILED
from dscost.cli.colours import wants_color
from dscost.cli.model_files import Content, ModelFile
from dscost.cli.progress import aside, fitting, is_live, progress_line
from dscost.cli.streams import result_stream
from dscost.errors import DscostError, FileProblems, NotDrawnError, OutputError
from dscost.files import reason_of, write_whole
from dscost.pages.page import Tone
from dscost.printable import printable
from dscost.rendering import View, Written, render, renderer
from dscost.rendering.tones import painted
from dscost.timing import Progress

MOST_CHARACTERS = 1500
"""Of a line on stderr: what is longer was made by a machine, and its beginning says enough."""


def tell(text: str, tone: Tone | None = None) -> None:
    """Say something on stderr, if there is one; what others have named is made harmless.

    Its tone is that of the beginning of each line: of `dscost:`, or of a place in a file.
    """
    if sys.stderr is None:  # print would take stdout instead
        return
    lines = (
        line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…"
        for line in printable(text).split("\n")
    )
    shown = tone if tone and wants_color(sys.stderr) else None
    lines = (f"{painted(head, shown)}{rest}" for head, rest in map(_split, lines))
    # nobody reads it; somebody's code has closed it
    with aside(), suppress(OSError, ValueError):
        print("\n".join(lines), file=sys.stderr)


def _split(line: str) -> tuple[str, str]:
    """Return what a line begins with, up to its first colon before a blank, and the rest.

    >>> _split("net.yaml:3:7: no such key"), _split("interrupted")
    (('net.yaml:3:7:', ' no such key'), ('', 'interrupted'))
    """
    head, colon, rest = line.partition(": ")
    return (f"{head}:", f" {rest}") if colon else ("", line)


def failed(message: str) -> int:
    """Tell why there is no result, and return the exit code that it comes to."""
    for line in message.splitlines() or ["unknown error"]:
        tell(f"dscost: {line}", "bad")
    return FAILED


def tell_error(error: DscostError) -> int:
    """Tell an error of ours, and return the exit code that it comes to."""
    if not isinstance(error, FileProblems):
        return failed(str(error))
    tell(str(error), "bad")  # each line begins with its place, as editors and CI like it
    return FAILED


class Output(NamedTuple):
    """What to write, in which format, where to.

    Args:
        format_name: The format of stdout or of `path`.
        path: A file instead of stdout.
        exports: More formats and their files.
        view: What to show.
        quiet: Whether notes and progress are silenced.
        models: Files of the model itself.
        is_silent: Whether nothing goes to stdout: the result went elsewhere.
    """

    format_name: str
    path: Path | None
    exports: tuple[tuple[str, Path], ...]
    view: View
    quiet: bool
    models: tuple[ModelFile, ...] = ()
    is_silent: bool = False

    @property
    def fills_in(self) -> bool:
        """Whether a table on a terminal shows what is known at once and the rest later."""
        is_plain = not self.view.wide and self.view.columns is None
        is_seen = self.format_name == "table" and self.path is None and is_live(result_stream())
        return is_seen and is_plain

    @property
    def says(self) -> str:
        """What the format writes of a result, which decides what columns there are."""
        return renderer(self.format_name).says

    def check(self, result: Any) -> None:
        """Render what is known, so that a wrong column fails before anything is measured."""
        if self.says != "pictures":  # of what is still to be measured
            render(result, self.format_name, self.view._replace(pending=True))

    def write(self, result: Any, models: Sequence[Content] = ()) -> None:
        """Write what a command came to everywhere; all is rendered before the first file is.

        A picture that the result does not have keeps nothing else from being written.

        Args:
            result: What it came to.
            models: Files of the model itself, which are written first.

        Raises:
            NotDrawnError: There was such a picture; told once all else is written.
        """
        lost: list[str] = []
        plain = self.view._replace(width=None, color=False, encoding=None, brief=False)
        # --columns speaks of the main format; an export has all of its own
        every_column = plain._replace(columns=None)
        files = [(path, _rendered(result, name, every_column, lost)) for name, path in self.exports]
        if self.path:
            files.append((self.path, _rendered(result, self.format_name, plain, lost)))
        elsewhere = self.path is not None or self.is_silent
        text = None if elsewhere else _rendered(result, self.format_name, self.view, lost)
        for path, bare, told in models:
            write_whole(path, bare)
            self.note(f"wrote {path}{told and f' ({told})'}")
        for path, content in files:
            if content is not None:
                write_whole(path, content)
                self.note(f"wrote {path}")
        if text is not None:
            write_out(text, format_name=self.format_name)
        if lost:
            raise NotDrawnError("\n".join(dict.fromkeys(lost)))

    def getting(self, command: str | None) -> "Output":
        """Return it with the command that does what the result advises."""
        return self._replace(view=self.view._replace(get_it=command))

    def note(self, text: str) -> None:
        """Say something on stderr."""
        if not self.quiet:
            tell(text)

    def lacks(self, texts: Iterable[str]) -> None:
        """Say on stderr what was asked for and is missing, silenced or not.

        Where the result itself says so to somebody who looks at it, once is enough.
        """
        is_seen = self.says == "pages" and self.path is None and on_terminal() and not self.quiet
        for text in () if is_seen else dict.fromkeys(texts):
            tell(f"dscost: {text}", "unclear")

    def progress(self) -> AbstractContextManager[Progress | None]:
        """Give a function that shows progress on stderr, or nothing where it would not be seen."""
        return progress_line(sys.stderr, quiet=self.quiet)

    @contextmanager
    def meanwhile(self, counted: Any, *, shown: bool = False) -> Iterator[None]:
        """Keep what is counted should measuring be interrupted; show it meanwhile if wanted.

        It is shown only on a terminal, as far as it fits there, and gone at the end.
        """
        rows, kept = 0, None
        if shown and self.fills_in:
            pending = self.view._replace(pending=True)
            rows = draw(str(render(counted, self.format_name, pending)))
        try:
            yield
        except KeyboardInterrupt:
            if self.path is None and on_terminal():
                kept = render(counted, self.format_name, self.view)
            raise
        finally:
            take_back(rows)
            if kept is not None:
                write_out(kept, format_name=self.format_name)


def _rendered(result: Any, format_name: str, view: View, lost: list[str]) -> Written | None:
    """Return a result in a format; of a picture that it has not, tell why by adding to `lost`."""
    try:
        return render(result, format_name, view)
    except NotDrawnError as error:
        lost.append(str(error))
        return None


def abandon_stdout() -> None:
    """Keep Python from writing what is left in the buffer once more while it shuts down."""
    with suppress(OSError, ValueError, AttributeError):  # no stdout, or one without a descriptor
        ours: Any = result_stream()
        os.dup2(os.open(os.devnull, os.O_WRONLY), ours.fileno())


def write_out(text: Written, *, format_name: str = "table") -> None:
    """Write a result to stdout; a reader that has seen enough and left is no error.

    Only a table is for eyes alone, and written in what the terminal can show; a program that reads
    what another format says expects UTF-8, whatever the locale.
    """
    stream = result_stream()
    if stream is None:
        raise OutputError("cannot write the result: no stdout")
    try:
        if isinstance(text, str) and (format_name == "table" or not hasattr(stream, "buffer")):
            stream.write(text)
        else:
            stream.flush()
            stream.buffer.write(text.encode() if isinstance(text, str) else text)
        stream.flush()
    except BrokenPipeError:
        abandon_stdout()
    except UnicodeEncodeError as error:
        raise OutputError(f"cannot write the result: {error.reason}") from error
    except (OSError, ValueError) as error:  # a full disk; a stdout that was closed
        raise OutputError(f"cannot write the result: {reason_of(error)}") from error


def draw(text: str) -> int:
    """Write as much of a text to the terminal as fits with a line below; return its rows."""
    from shutil import get_terminal_size

    text, rows = fitting(text, terminal_width(), get_terminal_size().lines - 2)
    write_out(text)
    return rows


def take_back(rows: int) -> None:
    """Take so many rows above the cursor away: there goes what is written next."""
    if rows:
        write_out(f"\r\x1b[{rows}A\x1b[J")


def on_terminal() -> bool:
    """Whether somebody looks at stdout."""
    stream = result_stream()
    return stream is not None and stream.isatty()


def terminal_width() -> int:
    """Return the characters per line of the terminal that stdout is."""
    from shutil import get_terminal_size

    usual = get_terminal_size().columns
    if not os.environ.get("COLUMNS", "").isdecimal():
        with suppress(OSError, ValueError, AttributeError):
            # of our own stdout, where `shutil` asks descriptor 1
            ours = result_stream().fileno()  # type: ignore[union-attr]
            return os.get_terminal_size(ours).columns or usual
    return usual
