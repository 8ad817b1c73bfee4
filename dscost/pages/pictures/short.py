"""Names that others have given, as a sentence of a picture has them."""

from dscost.printable import printable_line, without_middle

LONGEST = 60
"""Characters of a name in a sentence."""


def short(name: str, most: int = LONGEST) -> str:
    """Return a name on one line, its middle left out where it has more characters than that.

    >>> short("conv1"), short(""), len(short("x" * 10_000))
    ('conv1', '(root)', 60)
    """
    shown = printable_line(name[: 2 * most] + name[2 * most :][-most:]) or "(root)"
    return without_middle(shown, most) if len(shown) > most else shown
