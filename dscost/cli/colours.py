"""Which stream is written in colour: by --color, then the environment, then what it is."""

import os
from collections.abc import Sequence
from typing import TextIO

from dscost.errors import UnknownNameError

CHOICES = ("auto", "always", "never")

_chosen = ["auto"]
"""What this command line says; errors are told in it as well, those of its options too."""


def choose(arguments: Sequence[str]) -> None:
    """Take over what a command line says, before it is read in full; the last one counts."""
    pairs = zip(arguments, (*arguments[1:], ""), strict=False)  # without arguments there are none
    said = [
        value if name == "--color" else name.removeprefix("--color=")
        for name, value in pairs
        if name == "--color" or name.startswith("--color=")
    ]
    _chosen[:] = [one for one in said if one in CHOICES][-1:] or ["auto"]


def wants_color(stream: TextIO | None, choice: str | None = None) -> bool:
    """Follow --color, then NO_COLOR and FORCE_COLOR, then whether the stream is a terminal.

    Raises:
        UnknownNameError: The choice is none.
    """
    choice = choice or _chosen[0]
    if choice not in CHOICES:
        raise UnknownNameError("colour", choice, CHOICES)
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    is_seen = stream is not None and stream.isatty()
    return is_seen and os.environ.get("TERM") != "dumb"
