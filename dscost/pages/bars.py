"""Bars of what the versions of a layer or a model cost: MACs and time side by side, scaled alike.

The longest bar of each kind is as long as that of the other, so that one look shows what the
formula promises beside what the clock gives.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from dscost.notation.units import format_count, format_seconds
from dscost.pages.page import InCharacters
from dscost.reports.figures import Cost
from dscost.reports.records import Timing

LONGEST, SHORTEST = 28, 3
"""Characters of the longest bar, where there is room and where there is not."""
GAP = "   "
_EIGHTHS = "▏▎▍▌▋▊▉█"


class Bars(NamedTuple):
    """Figures of one kind, a bar each; one that is not known has none."""

    title: str
    figures: Sequence[float | None]
    texts: Sequence[str]


def bars_drawing(
    costs: Mapping[str, Cost], timing: Timing | None, titles: Mapping[str, str]
) -> InCharacters | None:
    """Return a drawing of the MACs of each version and, where it was timed, of its time.

    Args:
        costs: By name of the version; of a single one there is nothing to see.
        timing: Of the same versions.
        titles: How the versions are called.
    """
    macs = [cost.macs for cost in costs.values()]
    if len(costs) < 2 or not any(macs):
        return None
    kinds = [Bars("MACs", macs, [format_count(count) for count in macs])]
    latencies = [timing.of(name) if timing else None for name in costs]
    seconds = [latency.median_s if latency else None for latency in latencies]
    if any(seconds):
        texts = ["" if one is None else format_seconds(one) for one in seconds]
        kinds.append(Bars("time", seconds, texts))
    return partial(bars, [titles[name] for name in costs], kinds)


def bars(names: Sequence[str], kinds: Sequence[Bars], width: int | None) -> list[str]:
    """Return lines of bars, one per name, that are no wider than there is room."""
    taken = [max(map(len, names)), *(max(map(len, one.texts)) + 1 for one in kinds)]
    gaps = len(GAP) * len(kinds)
    longest = LONGEST
    if width is not None:
        longest = max(SHORTEST, min(LONGEST, (width - sum(taken) - gaps) // len(kinds)))
    heads = [f"{one.title:{longest + room}}" for one, room in zip(kinds, taken[1:], strict=True)]
    lines = [GAP.join([" " * taken[0], *heads]).rstrip()]
    for at, name in enumerate(names):
        cells = [f"{name:{taken[0]}}"]
        for one, room in zip(kinds, taken[1:], strict=True):
            drawn = bar(one.figures[at], max(filter(None, one.figures)), longest)
            cells.append(f"{f'{drawn} {one.texts[at]}':{longest + room}}")
        lines.append(GAP.join(cells).rstrip())
    return lines


def bar(figure: float | None, most: float, longest: int) -> str:
    """Return a bar in eighths of a character; whatever there is, is seen.

    >>> bar(4.0, 8.0, 4), bar(0.01, 8.0, 4), bar(None, 8.0, 4), bar(5.25, 8.0, 4)
    ('██', '▏', '', '██▋')
    """
    if not figure:
        return ""
    eighths = max(1, round(8 * longest * (figure / most)))
    full, part = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[part - 1] if part else "")
