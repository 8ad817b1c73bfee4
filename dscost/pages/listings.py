"""Names that a command line takes, with what each means: what `dscost list` says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.errors import UnknownNameError
from dscost.notation.units import UNKNOWN, format_count, format_intensity
from dscost.pages import Said
from dscost.pages.page import Column, Page, Row, Sheet, View, filled_sheet, known, words
from dscost.reports.records import head


class Entry(NamedTuple):
    """A name, what it means, where that is from, and figures to choose by, each exact.

    Its faults are sentences that stand on lines of their own.
    """

    name: str
    meaning: str
    source: str = ""
    figures: Mapping[str, Any] = {}
    faults: Sequence[str] = ()


class Listing(NamedTuple):
    """Names of one kind, which is told in the plural.

    Args:
        kind: What is listed.
        entries: The names.
        cites: Whether to say where everything is from.
    """

    kind: str
    entries: Sequence[Entry]
    cites: bool = False


class _Figure(NamedTuple):
    column: Column
    text: Callable[[Any], str]


def _giga(per_s: float) -> str:
    """Return thousand millions of something a second.

    >>> _giga(235.9e9), _giga(19.5e12), _giga(12.8e9)
    ('235.9', '19,500', '12.8')
    """
    return f"{per_s / 1e9:,.1f}".removesuffix(".0")


def _input(text: str) -> str:
    return text.replace(",", "×")


_FIGURES = {
    "models": (
        _Figure(Column("params", "params", 0), format_count),
        _Figure(Column("macs", "MACs", 0), format_count),
        _Figure(Column("input", "input", 2), _input),
        _Figure(Column("year", "year", 1), str),
    ),
    "devices": (
        _Figure(Column("flops_per_s", "GFLOP/s", 0), _giga),
        _Figure(Column("bytes_per_s", "GB/s", 0), _giga),
        _Figure(Column("ridge_flops_per_byte", "ridge FLOP/byte", 1), format_intensity),
        _Figure(Column("float16_flops_per_s", "float16", 3), _giga),
        _Figure(Column("int8_flops_per_s", "int8", 4), _giga),
    ),
    "sweeps": (_Figure(Column("layers", "layers", 0), str),),
}
"""What stands beside names of a kind; others are names and meanings only."""
_NOTES = {
    "models": "MACs of one input of that size.",
    "devices": "GFLOP/s of float32 beside those of float16 and int8, by data sheets. "
    "Below the ridge a layer is bound by memory, above it by arithmetic.",
    "sweeps": "dscost sweep NAME counts one, with --time it is timed as well.",
}


def sort_keys_of(kind: str) -> tuple[str, ...]:
    """Return what a list of a kind may be sorted by."""
    return ("name", *(figure.column.key for figure in _FIGURES.get(kind, ())))


class ListingSaid(Said):
    """What is to be said of names."""

    what = "a list"
    _result: Listing

    def __init__(self, listing: Listing) -> None:
        super().__init__(listing)
        self._figures = _FIGURES.get(listing.kind, ())
        self.sort_keys = sort_keys_of(listing.kind)
        sources = ("source",) if self._has_sources else ()
        figures = dict.fromkeys(key for one in listing.entries for key in one.figures)
        self.row_columns = ("name", "meaning", *figures, *sources)

    @property
    def _has_sources(self) -> bool:
        return any(entry.source for entry in self._result.entries)

    def pages(self, view: View) -> list[Page]:
        """Return one page, a line per name.

        Raises:
            UnknownNameError: The view sorts by what there is not.
        """
        listing = self._result
        entries = self._sorted(view.sort)
        if not self._figures:
            rows = [row for one in entries for row in self._lines(one)]
            sheet = Sheet([words("name"), words("meaning")], rows)
            return [Page(listing.kind, sheets=[sheet], is_list=True)]
        columns = [
            words("name", header=listing.kind.removesuffix("s")),
            *(figure.column for figure in self._figures),
            words("meaning", 5, "description"),
        ]
        closing = [_NOTES[listing.kind], *(_sources(entries) if listing.cites else ())]
        sheet = filled_sheet(columns, [Row(self._cells(one)) for one in entries])
        return [Page(listing.kind, sheets=[sheet], closing=closing)]

    def data(self, view: View) -> dict[str, Any]:
        """Return names and meanings."""
        return {**head("list"), "list": self._result.kind, "names": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per name; a figure or a source that is unknown is missing."""
        return [
            known(
                {
                    "name": one.name,
                    "meaning": one.meaning,
                    **one.figures,
                    "source": " ".join([*one.faults, one.source]) or None,
                }
            )
            for one in self._result.entries
        ]

    def _lines(self, entry: Entry) -> Iterator[Row]:
        """Yield the line of a name; those of its faults and its source, where these are told."""
        cites = self._result.cites
        below = [*entry.faults, entry.source] if cites and entry.faults else []
        told = f"{entry.meaning} {entry.source}" if cites and not below else entry.meaning
        yield Row({"name": entry.name, "meaning": told})
        yield from (Row({"name": "", "meaning": f"- {line}"}) for line in below)

    def _cells(self, entry: Entry) -> dict[str, str]:
        cells = {"name": entry.name, "meaning": entry.meaning}
        for figure in self._figures:
            value = entry.figures.get(figure.column.key)
            cells[figure.column.key] = UNKNOWN if value is None else figure.text(value)
        return cells

    def _sorted(self, key: str | None) -> list[Entry]:
        """Return the names with the largest figure first; those without it last."""
        entries = list(self._result.entries)
        if key is None:
            return entries
        if key not in self.sort_keys:
            raise UnknownNameError("sort key", key, self.sort_keys)
        if key == "name":
            return sorted(entries, key=lambda one: one.name)
        having = [one for one in entries if one.figures.get(key) is not None]
        lacking = [one for one in entries if one.figures.get(key) is None]
        return [*sorted(having, key=lambda one: one.figures[key], reverse=True), *lacking]


def _sources(entries: Sequence[Entry]) -> list[str]:
    """Return where figures are from, once for all names that share it."""
    names: dict[str, list[str]] = {}
    for one in entries:
        names.setdefault(one.source, []).append(one.name)
    return [f"{', '.join(here)}: {source}." for source, here in names.items() if source]
