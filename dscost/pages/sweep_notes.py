"""What stands below the answers of a sweep: how it was timed, what is odd, what is missing."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dscost.errors import first_of
from dscost.notation.units import counted, format_seconds
from dscost.pages.page import Toned
from dscost.pages.sweep_words import (
    cell_words,
    many,
    noun_of,
    ordered,
    place_words,
    said_value,
    said_values,
    value_text,
    variant_title,
)
from dscost.reports.records import MOST_SAME
from dscost.sweeping.answers import varying_axes
from dscost.sweeping.monotone import EXPANSION, Order, Violation
from dscost.sweeping.records import (
    NOT_YET,
    UNSTEADY,
    Drift,
    Row,
    Sweep,
    Where,
    without_fresh,
)

TOLD = 4
"""Pairs and notes that are told."""


def method_line(where: Where) -> str:
    """Return where and how latencies and speedups were taken."""
    return Toned(
        f"Measured on {place_words(where, with_version=True)}: random weights and inputs, each "
        "layer in turns with its variants and with a reference layer; medians with 95 % intervals.",
        "method",
    )


def order_lines(order: Order, varying: Sequence[str]) -> list[str]:
    """Return whether more work took longer everywhere, and each pair that is out of order."""
    if not order.checked:
        return []
    percent = f"{order.noise_floor:.0%}".replace("%", " %")
    beyond = percent if percent == "3 %" else f"the noise, here up to {percent}"
    checked = f"{order.checked:,} neighbour{'' if order.checked == 1 else 's'}"
    found = order.violations
    if not found:
        said = f"{checked} checked, more work against less: none out of order beyond {beyond}."
        return [Toned(said, "method" if order.noise_floor <= MOST_SAME else "unclear")]
    pairs = [_violation_words(one, varying) for one in found]
    isare = "is" if len(found) == 1 else "are"
    return [
        Toned(
            f"{len(found)} of {checked} {isare} out of order beyond {beyond}, less work taking "
            f"longer: {first_of(pairs, TOLD, '; ')}.",
            "unclear",
        ),
        Toned(
            "That may be real, as of a kernel with a faster algorithm or of channels that fit the "
            "vectors of the processor; else the machine was disturbed there.",
            "method",
        ),
    ]


def _violation_words(one: Violation, varying: Sequence[str]) -> str:
    """Return `k 3 took 1.07× as long as k 5 at 16→32, size 14 (standard)`."""
    less, more = one.values
    if one.along == EXPANSION:
        pair = f"{one.less.variant} took {one.factor:.2f}× as long as {one.more.variant}"
    else:
        first = said_value(one.along, less)
        pair = f"{first} took {one.factor:.2f}× as long as {said_value(one.along, more)}"
    at = _at(one, varying)
    variant = "" if one.along == EXPANSION else f" ({variant_title(one.less.variant)})"
    return f"{pair}{f' at {at}' if at else ''}{variant}"


def _at(one: Violation, varying: Sequence[str]) -> str:
    of: Mapping[str, Any] = one.less.of
    same = [name for name in of if value_text(of[name]) == value_text(one.more.of.get(name))]
    always = [name for name in ("in_channels", "out_channels") if name in same]
    others = [name for name in ordered(varying) if name in same and name not in always]
    return said_values(of, [*always, *others])


def drift_line(one: Drift) -> str:
    """Return how far the reference layer moved in a place."""
    low, high = (f"{ratio - 1:+.1%}".replace("%", " %") for ratio in (one.lowest, one.highest))
    parts = [
        f"The reference layer took {format_seconds(one.reference_s)}, "
        f"from {low.replace('-', '−')} to {high.replace('-', '−')} along the way"
    ]
    if one.again:
        was = "was" if one.again == 1 else "were"
        parts.append(f"{counted(one.again, 'case')} {was} measured again")
    if one.still:
        during = counted(one.still, "case")
        parts.append(
            f"during {during} it was off, or moved, by more than 3 % each time: "
            "the column note tells which"
        )
    return Toned(f"{'; '.join(parts)}.", "unclear" if one.still else "method")


def lacking_lines(sweep: Sweep) -> Iterator[str]:
    """Yield what of a grid is not in its table: what cannot exist, and what is still to come."""
    if sweep.impossible:
        yield Toned(f"{sweep.left_out}.", "unclear")
    yield from _note_lines(sweep.rows)
    if sweep.unfinished:
        is_are = "is" if sweep.unfinished == 1 else "are"
        kept = f" What was measured is in {sweep.journal}:" if sweep.journal else ""
        command = without_fresh("the same command", fresh=sweep.fresh)
        again = f" {command} goes on from there." if sweep.journal else ""
        yield Toned(
            f"{counted(sweep.unfinished, 'case')} {is_are} still to be timed.{kept}{again}",
            "unclear",
        )


def _note_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what was noted of rows, each note once, with the first of them that has it."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.note and row.note not in (NOT_YET, UNSTEADY):  # which have lines of their own
            found.setdefault(row.note, []).append(row)
    varying = varying_axes(rows)
    every = {row.variant for row in rows}
    for note, own in list(found.items())[:TOLD]:
        yield Toned(f"{_whose(own, every, varying)}: {note}", "method")
    if len(found) > TOLD:
        more = counted(len(found) - TOLD, "more note")
        is_are = "is" if len(found) == TOLD + 1 else "are"
        yield Toned(f"{more} {is_are} in the column note.", "method")


def _whose(rows: Sequence[Row], every: Collection[str], varying: Sequence[str]) -> str:
    """Return which variants of which layers have a note, and the first of those."""
    variants = dict.fromkeys(row.variant for row in rows)
    titles = [] if len(variants) == len(every) else [", ".join(map(variant_title, variants))]
    cases = len({tuple(map(str, row.of.values())) for row in rows})
    such = "such as " if cases > 1 else ""
    number = many(cases, noun_of(rows))
    return ", ".join([*titles, number, f"{such}{cell_words(rows[0], varying)}"])
