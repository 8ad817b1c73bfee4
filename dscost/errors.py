"""What can go wrong, as exceptions whose text is ready to print.

DscostError              everything below; the command line exits 2
├── InputError           what was asked for is impossible or malformed
│   ├── MissingInputError  what cannot be done without was not given
│   ├── NoShapeError     a model does not say what it takes, and nobody else did
│   ├── SpecError        a layer that cannot exist
│   ├── UnknownNameError a name that is not in a registry
│   │   └── UnknownArgumentError  a keyword that a function does not take; a TypeError too
│   ├── NoFileError      a file that is not there
│   └── FileProblems     everything wrong with one file, each with its place
├── OutputError          a result could not be written
└── UnavailableError     this machine or installation cannot do it
"""

import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from dscost.printable import shortened


class DscostError(Exception):
    """Base of every error that dscost raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # by itself pickle would call the class with the text alone, which some of ours refuse: a
        # pool of processes breaks, or waits for ever, where an error cannot be read back
        return _read_back, (type(self), self.args), vars(self)


def _read_back(kind: type[DscostError], args: tuple[Any, ...]) -> DscostError:
    """Return an error as it was raised, without working its text out again."""
    return kind.__new__(kind, *args)


class InputError(DscostError):
    """Something asked for is impossible or malformed."""


class MissingInputError(InputError):
    """What cannot be done without was not given: a command says beside it how it is written."""


class NoShapeError(InputError):
    """A model does not say what it takes, and nobody else did."""


class NotDrawnError(InputError):
    """A picture was asked for, and the result does not have what it would show."""


class SpecError(InputError):
    """A layer that cannot exist; the text names every reason."""


class OutputError(DscostError):
    """A result could not be written."""


class UnavailableError(DscostError):
    """This machine or installation cannot do what was asked."""


@contextmanager
def needing(package: str, extra: str, *, before: str = "", after: str = "") -> Iterator[None]:
    """Say how to install a package where what is imported needs it and it is not there.

    Args:
        package: Such as `onnx`.
        extra: What of dscost to install.
        before: How the sentence begins.
        after: How it ends.

    Raises:
        UnavailableError: It is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UnavailableError(f"{before}{without(package, extra)}{after}") from error


@contextmanager
def needing_onnx(extra: str = "onnx") -> Iterator[None]:
    """Say how to install onnx where what is imported needs it, or why it cannot be imported.

    Raises:
        UnavailableError: It is not there, or is broken.
    """
    try:
        with needing("onnx", extra):
            yield
    except ImportError as error:
        raise UnavailableError(f"onnx cannot be imported: {first_line(error)}") from error


def needing_torch(
    extra: str = "torch", *, before: str = "", after: str = ""
) -> AbstractContextManager[None]:
    """Say how to install torch where what is imported needs it, see `needing`."""
    return needing("torch", extra, before=before, after=after)


def is_without_torch(error: BaseException) -> bool:
    """Whether an error says that there is no torch to be imported."""
    return isinstance(error, ModuleNotFoundError) and error.name == "torch"


def without_torch(extra: str = "torch") -> str:
    """Return the sentence that says how to install it."""
    return without("torch", extra)


def without(package: str, extra: str) -> str:
    """Return the sentence that says how to install what is missing."""
    return f"{package} is not installed: pip install 'dscost[{extra}]'"


class UnknownNameError(InputError):
    """A name that no registry entry carries.

    Args:
        kind: What was looked up, in the singular: `format`, `model`.
        name: The name as it was given.
        known: The names that would have been accepted.
        hint: What else to say.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        nearest = did_you_mean(name, self.known)
        super().__init__(
            f"unknown {kind} '{name}'{nearest or f' (known: {some_of(self.known)})'}{hint}"
        )


class UnknownArgumentError(UnknownNameError, TypeError):
    """A keyword that a function does not take."""


class NoFileError(InputError):
    """A file that is not there."""


Place = tuple[int, int]
"""A line of a file and a column in it; both count from 1."""


class Problem(NamedTuple):
    """One thing wrong with a file; `line` and `column` count from 1."""

    line: int
    column: int
    message: str


class FileProblems(InputError):
    """Everything wrong with one file, one line each, in the order of the file."""

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        self.path, self.problems = path, tuple(sorted(set(problems)))
        super().__init__(
            "\n".join(f"{path}:{p.line}:{p.column}: {p.message}" for p in self.problems)
        )


MOST_COMPARED = 2000
"""Names that a misspelt one is compared with."""
MOST_HINTS = 30
"""Mistakes of one file for which a near name is looked for: nobody reads more."""


_ADDRESS = re.compile(r" (?:object )?at 0x[0-9a-fA-F]+")


def first_line(error: BaseException) -> str:
    r"""Return the type of an error and its first line: never long, nothing that a terminal obeys.

    >>> first_line(ValueError("a \x1b[2J mistake\nand more"))
    'ValueError: a \\x1b[2J mistake'
    """
    try:
        lines = _ADDRESS.sub("", str(error)).strip().splitlines()
    except (Exception, SystemExit):  # noqa: BLE001
        lines = []  # what an error says is foreign code, and may fail in any way
    name = type(error).__name__
    return shortened(f"{name}: {lines[0]}" if lines else name)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest known spelling, or nothing.

    >>> did_you_mean("markdwon", ["table", "json", "markdown"])
    " (did you mean 'markdown'?)"
    >>> did_you_mean("xyz", ["table"])
    ''
    """
    found = nearest(name, known)
    return "" if found is None else f" (did you mean '{found}'?)"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the nearest known spelling of a name, if there is one that is near.

    >>> nearest("markdwon", ["table", "json", "markdown"])
    'markdown'
    """
    from difflib import get_close_matches

    folded = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    compared: Iterable[str] = folded
    # whole networks of layers: those that begin or end alike, and not all of them
    if len(folded) > MOST_COMPARED:
        alike = (one for one in folded if one[:3] == wanted[:3] or one[-3:] == wanted[-3:])
        compared = sorted(alike, key=lambda one: abs(len(one) - len(wanted)))[: MOST_COMPARED // 10]
    # of `input_size` people remember `size`
    parted = [one for one in folded if wanted in one.split("_")]
    matches = parted if len(parted) == 1 else get_close_matches(wanted, compared, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def hint(name: str, known: Iterable[str], problems: Sized) -> str:
    """Return what `did_you_mean` does; nothing once a file has more than `MOST_HINTS` mistakes."""
    return did_you_mean(name, known) if len(problems) < MOST_HINTS else ""


def some_of(names: Iterable[str], at_most: int = 12) -> str:
    """Return the names as a comma-separated list, the tail summarised unless it is a single one.

    >>> some_of(["a", "b", "c", "d"], at_most=2), some_of(["a", "b", "c"], at_most=2)
    ('a, b and 2 more', 'a, b, c')
    """
    names = list(names)
    return ", ".join(names) if len(names) < at_most + 2 else first_of(names, at_most)


def first_of(names: Sequence[str], at_most: int, between: str = ", ") -> str:
    """Return the first names in a sentence, and how many more there are."""
    hidden = len(names) - at_most
    return between.join(names[:at_most]) + (f" and {hidden} more" if hidden > 0 else "")
