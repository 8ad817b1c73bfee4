"""What the formats of CI share.

The same findings give the same text, whatever the environment. Places are paths below the
repository (or below the working directory, outside any), with forward slashes.
"""

from collections.abc import Sequence

from dscost.pages import Said
from dscost.pages.findings import Found, Judged, NotJudged
from dscost.printable import printable


def all_of(said: Said) -> Sequence[Judged | NotJudged]:
    """Return what was judged, and what could not be."""
    return said.findings() or ()


def judged_of(said: Said) -> list[Judged]:
    """Return what was judged."""
    return [one for one in all_of(said) if isinstance(one, Judged)]


def printable_text(text: str) -> str:
    """Return the text as every format shows it; line ends are left to the escapes of the format."""
    return "\r".join(map(printable, text.split("\r")))


def limited_at(judged: Judged, one: Found) -> str:
    """Return where a file asks for what was found, in a line that stands elsewhere."""
    return f"asked for in {judged.path.as_posix()}:{one.line}:{one.column}"
