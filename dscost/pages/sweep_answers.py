"""The answers of a sweep in words: from where on a variant pays, where it loses, what is odd."""

from collections.abc import Hashable, Iterator, Sequence
from math import isclose
from typing import Any, NamedTuple

from dscost.errors import first_of
from dscost.notation.units import format_factor
from dscost.pages.page import Column, Row, Sheet, Toned, View, filled_sheet, words
from dscost.pages.sweep_maps import short_factor
from dscost.pages.sweep_words import (
    base_of,
    cell_words,
    header_of,
    many,
    narrow_header,
    noun_of,
    ordered,
    place_words,
    room_of,
    said_value,
    said_values,
    value_text,
    variant_title,
)
from dscost.sweeping.answers import (
    Crossover,
    Standing,
    named,
    outlines,
    reduction_of,
    standings,
    value_key,
    varying_axes,
)
from dscost.sweeping.pooling import place_key
from dscost.sweeping.records import Row as Measured

UNCLEAR_MOSTLY = "Of most the clock cannot tell: a quieter machine or a longer time may."
WITHOUT_TIME = "With --time the clock says what of that arrives."
SHORT_OF = 0.8
"""Where less of what the MACs promise arrives, it is told how much."""
SAME_FACTOR = 0.002
"""Factors that differ by less are printed as one."""
TOLD, SIZES_TOLD = 4, 6
"""Values and pairs that a sentence names, and answers by size."""
CROSSOVERS_SHOWN = 16
"""Rows of the table of crossovers on a terminal."""


class Words(NamedTuple):
    """What sentences call the rows of a sweep.

    Args:
        noun: What they are of, `layer` or `model`.
        base: What variants are compared with.
        varying: What they differ in.
    """

    noun: str
    base: str
    varying: Sequence[str]


def answer_lines(rows: Sequence[Measured], varying: Sequence[str]) -> list[str]:
    """Return a sentence for each variant in each place, timed or only counted.

    Args:
        rows: The table.
        varying: What they differ in.
    """
    of_sizes: dict[tuple[Hashable, str], list[Crossover]] = {}
    for outline in outlines(rows):
        of_sizes.setdefault((place_key(outline.where), outline.variant), []).append(outline)
    lines: list[str] = []
    is_timed = any(row.where for row in rows)
    words_ = Words(noun_of(rows), base_of(rows), varying)
    for one in standings(rows):
        if one.timed:
            own = of_sizes.get((place_key(one.where), one.variant), [])
            lines.append(_timed_sentence(one, own, words_))
        elif not is_timed:
            lines.append(_counted_sentence(one, words_))
    more = [] if is_timed or not lines else [Toned(WITHOUT_TIME, "method")]
    return [*(Toned(line, "verdict") for line in lines), *more]


def _timed_sentence(one: Standing, of_sizes: Sequence[Crossover], words_: Words) -> str:
    """Return from where on a variant pays, where it loses, and how much of the promise arrives."""
    title, noun = variant_title(one.variant), words_.noun
    on = f"On {place_words(one.where)}: " if one.where else ""
    cells, faster = len(one.timed), one.count("faster")
    if faster == cells:
        pays = f"pays in {f'the one {noun}' if cells == 1 else f'all {many(cells, noun)}'}"
    elif not faster:
        none = f"surely faster in none of {many(cells, noun)}"
        pays = f"is not surely faster in the one {noun}" if cells == 1 else f"is {none}"
    else:
        told = _where_it_pays(of_sizes, noun)
        pays = f"pays {told}; it is faster in {faster:,} of {many(cells, noun)}"
    parts = [f"{on}{title} {pays}", *_losing(one, words_.varying)]
    sentence = f"{', '.join(parts)}."
    sentence = sentence[0].upper() + sentence[1:]
    return f"{sentence} {UNCLEAR_MOSTLY if 2 * one.count('unclear') > cells else _promise(one)}"


def _losing(one: Standing, varying: Sequence[str]) -> Iterator[str]:
    """Yield how many layers are slower, with the worst, and of how many the clock cannot tell."""
    if one.losses:
        worst, slower = one.losses[0], len(one.losses)
        assert worst.speedup
        factor = f"{short_factor(worst.speedup.median)} at {cell_words(worst, varying)}"
        yield f"slower in {slower:,} ({'worst ' if slower > 1 else ''}{factor})"
    for verdict, said in (("same", "as fast in"), ("unclear", "unclear in")):
        if number := one.count(verdict):
            yield f"{said} {number:,}"


def _promise(one: Standing) -> str:
    """Return the median speedup beside the saving in MACs, and how much of that arrives."""
    assert one.median_speedup is not None
    assert one.arrives is not None
    is_one = len(one.timed) == 1
    figures = f"{short_factor(one.median_speedup)} as fast for {_fewer(one.median_reduction)}"
    beside = f"{'It is' if is_one else 'The median is'} {figures}"
    if one.median_reduction > 1 and one.arrives < SHORT_OF:
        return f"{beside}: {_percent(one.arrives)} of what the MACs promise arrives."
    return f"{beside}."


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _fewer(reduction: float) -> str:
    """Return `8.69× fewer MACs`, or how many times more."""
    if format_factor(reduction) == "1.00×":
        return "as many MACs"
    if reduction > 1:
        return f"{format_factor(reduction)} fewer MACs"
    return f"{format_factor(1 / reduction)} more MACs"


def _where_it_pays(of_sizes: Sequence[Crossover], noun: str) -> str:
    """Return `from Cin 16 at size 56, from Cin 32 at size 14 and 7`; equal answers are one."""
    by_size = sorted(of_sizes, key=lambda one: [value_key(size) for size in one.of.values()])
    places: dict[str, list[int]] = {}
    for at, one in enumerate(by_size):
        places.setdefault(_outline(one, noun), []).append(at)
    if len(places) < 2:
        return f"{''.join(places) or 'in part'}{' at every size' if len(by_size) > 1 else ''}"
    sizes = [value_text(size) for one in by_size for size in one.of.values()]
    size = " and ".join(map(header_of, by_size[0].of))
    phrases = [f"{answer} at {size} {_some_of(sizes, found)}" for answer, found in places.items()]
    return first_of(phrases, SIZES_TOLD)


def _some_of(every: Sequence[str], places: Sequence[int]) -> str:
    """Return some of all sizes in few words: those that follow each other by their ends.

    >>> _some_of(["7", "14", "28", "56"], [1, 2, 3]), _some_of(["7", "14", "28", "56"], [0, 1, 3])
    ('14 to 56', '7, 14 and 56')
    """
    found = [every[at] for at in places]
    if len(found) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{found[0]} to {found[-1]}"
    if len(found) > TOLD:
        return first_of(found, TOLD)
    *others, last = found
    return f"{', '.join(others)} and {last}" if others else last


def _outline(one: Crossover, noun: str) -> str:
    """Return from where on all layers of a size are faster, in words."""
    match one.outcome:
        case "always":
            return "always"
        case "from":
            return f"from {said_value(one.along, one.begins)}"
        case "never":
            return "never surely" if one.is_open else "never"
    return f"in {one.cells('faster'):,} of {many(one.cells(), noun)}"


def _counted_sentence(one: Standing, words_: Words) -> str:
    """Return the range of what a variant saves on paper."""
    title, number = variant_title(one.variant), many(len(one.rows), words_.noun)
    takes = f"{title[0].upper()}{title[1:]} takes"
    high, low = (reduction_of(one.by_reduction[at]) for at in (0, -1))
    if format_factor(low) == format_factor(high):
        each = f"the {words_.noun}" if len(one.rows) == 1 else f"each of {number}"
        return f"{takes} {_fewer(high)} in {each}."
    edges = (low, high) if high > 1 else (high, low)
    first, second = (f"{_fewer(edge)}{_edge_words(one, edge, words_.varying)}" for edge in edges)
    if (low > 1) == (high > 1):  # what is counted is said once
        first = first.replace(" fewer MACs", "").replace(" more MACs", "")
    costs_more = sum(reduction_of(row) < 1 for row in one.rows)
    more = f"; it takes more in {costs_more:,} of them" if costs_more and high > 1 else ""
    middle = _fewer(one.median_reduction).removesuffix(" MACs")
    return f"{takes} {first} to {second} over {number}{more}; the median is {middle}."


def _edge_words(one: Standing, edge: float, varying: Sequence[str]) -> str:
    """Return what all layers have in common that save the most, or the least."""
    alike = [row for row in one.rows if isclose(reduction_of(row), edge, rel_tol=SAME_FACTOR)]
    own = set(varying_axes(alike))
    same = [name for name in ordered(varying) if name in alike[0].of and name not in own]
    return f" ({said_values(alike[0].of, same)})" if same else ""


# -- the table of crossovers


def crossover_sheet(found: Sequence[Crossover], view: View) -> tuple[Sheet, list[str]]:
    """Return where each line of layers begins to pay, and a line on those that are not shown."""
    axes = _varying_of(found)
    columns = [
        words(name, header=header_of(name))
        if any(isinstance(one.of.get(name), str) for one in found)
        else Column(name, header_of(name), 0, narrow=narrow_header)
        for name in axes
    ]
    if len({one.variant for one in found}) > 1 or not columns:
        columns.append(words("variant"))
    columns += [words("pays"), words("also", 1), words("unclear", 2)]
    limit = CROSSOVERS_SHOWN if room_of(view) else len(found)
    rows = [_crossover_row(one) for one in found[:limit]]
    hidden = len(found) - len(rows)
    more = f"{hidden:,} line{'' if hidden == 1 else 's'} more: --wide or a file shows all."
    return filled_sheet(columns, rows), [Toned(more, "method")] if hidden else []


def _varying_of(found: Sequence[Crossover]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for one in found:
        for name, value in one.of.items():
            seen.setdefault(name, set()).add(value_text(value))
    return named(ordered(name for name, values in seen.items() if len(values) > 1), found)


def _crossover_row(one: Crossover) -> Row:
    cells = {name: value_text(value) for name, value in one.of.items()}
    cells |= {
        "variant": variant_title(one.variant),
        "pays": _pays(one),
        "also": f"at {_among(one, one.before)}" if one.outcome == "from" and one.before else "",
        "unclear": f"at {_among(one, one.unclear)}" if one.unclear else "",
    }
    return Row(cells)


def _pays(one: Crossover) -> str:
    """Return from where on a line of layers pays, in words and in the tone of that."""
    values = list(one.verdicts)
    name, last = header_of(one.along), value_text(values[-1])
    match one.outcome:
        case "always":
            return Toned(f"always, from {name} {value_text(values[0])}", "good")
        case "from":
            return Toned(f"from {name} {value_text(one.begins)}", "good")
        case "never" if one.is_open:
            return Toned(f"never surely, up to {name} {last}", "unclear")
        case "never":
            return Toned(f"never, up to {name} {last}", "bad")
    paying = [value for value in values if one.pays_at(value)]
    at = f"at {name} {_among(one, paying)}"
    return Toned(f"surely {at}" if one.unclear else f"only {at}", "unclear")


def _among(one: Crossover, values: Sequence[Any]) -> str:
    """Return some of the values of a line of layers in few words."""
    every = list(one.verdicts)
    return _some_of(list(map(value_text, every)), [every.index(value) for value in values])
