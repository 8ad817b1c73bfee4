"""Which stream is written in colour: by --color, then the environment, then what it is."""

import os
from collections.abc import Mapping, Sequence
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
    return stream is not None and stream.isatty() and understands_codes()


_MODERN = ("WT_SESSION", "ANSICON", "TERM", "TERM_PROGRAM")
"""What terminals of Windows set that take codes for what they are; the old console shows them."""


def understands_codes(system: str = os.name, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a terminal takes the codes of ECMA-48 for what they are."""
    if system == "nt" and not any(name in environment for name in _MODERN):
        return False
    return environment.get("TERM") != "dumb"
