"""Names that others have given, as a sentence of a picture has them."""

from dscost.printable import printable_line, without_middle

LONGEST = 60
"""Characters of a name in a sentence."""


def short(name: str) -> str:
    """Return a name on one line, its middle left out where it is long.

    >>> short("conv1"), short(""), len(short("x" * 10_000))
    ('conv1', '(root)', 60)
    """
    shown = printable_line(name[: 2 * LONGEST] + name[2 * LONGEST :][-LONGEST:]) or "(root)"
    return without_middle(shown, LONGEST) if len(shown) > LONGEST else shown
