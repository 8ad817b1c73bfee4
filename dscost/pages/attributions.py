"""Whose figure a stated one is, in sentences."""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dscost.notation.units import counted, format_count, format_shape
from dscost.pages import Said
from dscost.pages.page import Page, Toned, View

if TYPE_CHECKING:
    from dscost.attributing.records import Attribution, Candidate

SHOWN = 4
"""Candidates that are told unless more, or fewer, are asked for."""
DIGITS = 5
EXACT = "exact"

_OWN: Mapping[str, str] = {
    "macs": "its multiply-accumulates",
    "params": "its parameters",
    "params without BatchNorm": "its parameters without those of BatchNorm",
    "activations": "its activations, what convolutions and linear layers write",
    "forward and backward": "the multiply-accumulates of forward and backward, three passes",
}


class AttributionSaid(Said):
    """What is to be said of a stated figure."""

    what = "an attribution"
    row_columns = (
        *("target", "figure", "fits", "convention", "counts", "variation", "factor", "per_image"),
        *("input", "changes", "how", "count", "macs", "distance", "departures"),
    )
    _result: "Attribution"

    def pages(self, view: View) -> list[Page]:
        """Return one page: the likeliest in a sentence, then what else it may be."""
        from dscost.attributing.written import parse_figure

        found = self._result
        inputs = " and ".join(map(format_shape, found.inputs))
        heading = f"{found.target} at {inputs}: {found.figure}"
        if found.fits and found.candidates[0].read_as:
            heading += f", read as {found.candidates[0].read_as}"
        if not found.fits:
            lines = list(self._nearest())
        elif parse_figure(found.figure).has_one_digit and len(found.candidates) > 1:
            lines = list(self._vague(view))
        else:
            lines = list(self._fitting(view))
        lines += [Toned(found.limits, "unclear")] if found.limits else []
        if found.unknown:
            operators = ", ".join(found.unknown)
            lines.append(
                Toned(f"Operators of unknown cost are in no figure: {operators}.", "unclear")
            )
        return [Page(heading, lines)]

    def _fitting(self, view: View) -> Iterator[str]:
        found = self._result
        first, *others = found.candidates
        yield Toned(f"{_capital(in_words(first))}{_macs_alone(first)}.", "verdict")
        shown = others[: self._most(view) - 1]
        for one in shown:
            other_unit = f", read as {one.read_as}" if one.read_as != first.read_as else ""
            yield f"Less likely it is {in_words(one)}{other_unit}."
        left = len(others) - len(shown)
        if left and not view.brief:
            more = "reading fits" if left == 1 else "readings fit"
            yield f"{left} {'still ' if shown else ''}less likely {more}; --all shows every one."

    def _vague(self, view: View) -> Iterator[str]:
        """Yield what fits a figure that tells little: none of it is a verdict."""
        found = self._result
        shown = found.candidates[: self._most(view)]
        plain = sum(one.is_plain for one in found.candidates)
        fitting = f"{found.figure} has one digit: {len(found.candidates)} readings fit"
        inputs = " and ".join(map(format_shape, found.inputs))
        of_model = f"of {found.target} as it is at {inputs}"
        told = f"none {of_model}; the nearest are these"
        if plain:
            is_all = plain == len(found.candidates)
            told = f"{'all' if is_all else f'the first {plain}'} {of_model}"
        yield Toned(f"{fitting}, {told}.", "unclear")
        for one in shown:
            yield f"{_capital(in_words(one))}."
        left = len(found.candidates) - len(shown)
        if left and not view.brief:
            yield f"{left} more; --all shows every one."

    def _most(self, view: View) -> int:
        found = self._result
        return len(found.candidates) if found.is_exhaustive else view.top or SHOWN

    def _nearest(self) -> Iterator[str]:
        found = self._result
        tried = counted(found.tried, "figure")
        yield Toned(f"Nothing fits: none of {tried} of {found.target} is {found.figure}.", "bad")
        if found.instead:
            yield f"As {found.instead.read_as} it would be {in_words(found.instead)}."
        elif not found.nearest:
            yield "None of them is within 25 % of it."
        for one in found.nearest:
            yield f"Near it is {in_words(one)}, {_off(one, found)}."

    def data(self, view: View) -> dict[str, Any]:
        """Return the figure, and every candidate."""
        return self._result.to_dict()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each candidate, the likeliest first, or for each that comes near."""
        found = self._result
        for one in found.candidates or found.nearest:
            row = {**one.to_dict(), "target": found.target, "figure": found.figure}
            row["fits"] = found.fits
            row["input"] = " ".join(map(format_shape, one.inputs))
            row["changes"] = ", ".join(one.changes)
            yield {key: row[key] for key in self.row_columns if row[key] is not None}


def in_words(one: "Candidate") -> str:
    """Return a candidate as a part of a sentence, its figure in brackets."""
    whose = f"{one.title}'" if one.title.endswith("s") else f"{one.title}'s"
    what = _OWN.get(one.key) or f"{whose} {one.counts}"
    if one.factor == 2:
        what = f"twice {what}" if one.title else f"FLOPs, two for each of {what}"
    what += f" ({one.variation})" if one.variation else ""
    what += "".join(f", {change}" for change in one.changes)
    what += " for one image" if one.per_image else ""
    if not one.is_own_input:
        what += f" at {' and '.join(map(format_shape, one.inputs))}"
    made_of = f": {_made_of(one)}" if one.title else ""
    what += f" ({_figure(one.amount, one.how)}{made_of})"
    what += _how(one.how or "")
    return what + (f"; {_list(one.alike)} {_count_the_same(one)}" if one.alike else "")


def _how(how: str) -> str:
    if how == "cut off":
        return ", digits cut off instead of rounded"
    return f", {how}" if how.startswith("rounded to") else ""


def _count_the_same(one: "Candidate") -> str:
    return "counts the same" if len(one.alike) == 1 else "count the same"


def _made_of(one: "Candidate") -> str:
    single, macs = one.amount / one.factor, _macs(one)
    if single == macs and not one.without:
        return "nothing but MACs"
    if single < macs and not one.without:
        return f"not all of the {format_count(int(macs))} MACs"
    without = f" without {_list(one.without)}" if one.without else ""
    if any(part.startswith("MACs") for part in one.parts):  # it has its own way with them
        return _parts(one.parts) + without
    on_top = f" with {_parts(one.parts)} on top" if one.parts else ""
    return f"MACs{on_top}{',' if on_top and without else ''}{without}"


def _macs(one: "Candidate") -> Fraction:
    """Return the MACs of what a candidate is of: of all its inputs, or of one image."""
    return Fraction(one.macs, one.inputs[0][0]) if one.per_image else Fraction(one.macs)


def _parts(parts: tuple[str, ...]) -> str:
    """Return parts as a list in which what counts under two kinds of rules is named once.

    >>> _parts(("bias", "pooling", "pooling called as a function"))
    'bias, and pooling both as modules and as functions'
    """
    called = {one: re.sub(r" called as (a function|functions)$", "", one) for one in parts}
    both = tuple(one for one in parts if one in {called[two] for two in parts if two != one})
    rest = tuple(one for one in parts if called[one] not in both)
    if not both:
        return _list(parts)
    twice = f"{_list(both)} both as modules and as functions"
    return f"{', '.join(rest)}, and {twice}" if rest else twice


def _macs_alone(one: "Candidate") -> str:
    macs = _macs(one)
    if not one.title or macs == one.amount:
        return ""
    return f"; MACs alone are {format_count(int(macs))}"


def _figure(count: Fraction, how: str | None) -> str:
    return f"{int(count):,}" if how == EXACT else format_count(int(count), DIGITS)


def _off(one: "Candidate", found: "Attribution") -> str:
    from dscost.attributing.written import parse_figure

    stated = parse_figure(found.figure).nearest_value(one.amount)
    where = "above" if one.amount > stated else "below"
    percent = one.distance * 100
    digits = 1 if percent >= 1 else 2 if percent >= 0.1 else 4
    return f"{percent:.{digits}f} % {where}"


def _list(words: tuple[str, ...]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _capital(text: str) -> str:
    """Return a sentence; the name of a tool is written as it writes itself."""
    is_of_ours = text.startswith(("its ", "the ", "twice "))
    return text[0].upper() + text[1:] if is_of_ours else text
