"""Why figures of a graph are partial: where sizes end first, then what has no rule."""

from collections.abc import Mapping
from typing import NamedTuple

from dscost.printable import printable_line, shortened
from dscost.reports.records import unknown_operators


class Root(NamedTuple):
    """A node that is the first to put out something of unknown size.

    Args:
        base: Its type.
        why: What it is said of it, behind "which" or "whose".
    """

    base: str
    why: str


def misfit(why: str) -> str:
    """Return what is said of a node that does not fit what it reads."""
    return f"which does not fit what it reads: {shortened(why)}"


BY_VALUES = "whose size depends on values"
WITHOUT_RULE = "which no rule is known for"
OF_BRANCHES = "whose branches put out other shapes"


def causes_in_words(
    roots: Mapping[str, Root], following: int, unknown: Mapping[str, int], plain: frozenset[str]
) -> str:
    """Return why a total is partial.

    Args:
        roots: By name of the node.
        following: How many nodes come behind them.
        unknown: All operators of unknown cost, and how often they ran.
        plain: Those that are unknown by themselves.
    """
    said = []
    told = [(name, one) for name, one in roots.items() if following or one.why != WITHOUT_RULE]
    if told:
        named = [f"{root.base} '{name}', {root.why}" for name, root in told]
        named.sort(key=lambda text: "not fit" not in text)
        more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
        nodes = "1 node has" if following == 1 else f"{following:,} nodes have"
        first = f"{nodes} no known size behind {named[0]}" if following else named[0]
        said.append(f"{first}{more}")
    listed = {name: times for name, times in unknown.items() if name in plain}
    if listed:
        said.append(f"operators of unknown cost: {', '.join(unknown_operators(listed))}")
    return printable_line("; ".join(said))
