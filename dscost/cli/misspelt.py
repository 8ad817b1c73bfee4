"""Options with one dash too few, `-cin 256`: what was meant, before it is taken for `-c in`.

A figure below 0 is told here as well, before it is taken for an option.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dscost.errors import did_you_mean
from dscost.printable import printable_line

_WORD = re.compile(r"(-[A-Za-z][\w-]+)(=.*)?", re.DOTALL)
_NEGATIVE = re.compile(r"-[0-9.].*", re.DOTALL)
"""What a figure must not be; Typer would take it for an option."""


def meant(command: Any, arguments: Sequence[str]) -> str | None:
    """Return what to say of the first argument that is an option but for a dash, if there is one.

    One that only resembles an option is told where its first letter is none, since `-n5` is fine.

    Args:
        command: The group of commands that Typer made.
        arguments: Of the command line.
    """
    words = list(_words(arguments))
    called = command.commands.get(next((one for one in arguments if one[:1] != "-"), ""))
    params = (called or command).params
    below = next(filter(_NEGATIVE.fullmatch, arguments), None)
    if below and any(one.name == "number" for one in params):
        return f"expected a figure above 0, found '{printable_line(below)}'"
    if not words:
        return None
    known = {"--help", *(name for one in params for name in (*one.opts, *one.secondary_opts))}
    for word in words:
        near = f"-{word}" if f"-{word}" in known else ""
        if near or word[:2] not in known:
            hint = f" (did you mean '{near}'?)" if near else did_you_mean(word, known)
            return f"No such option: {word}{hint}"
    return None


def _words(arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments:
        if argument == "--":
            return
        found = _WORD.fullmatch(argument)
        if found:
            yield found[1]
