"""Names that a command line takes, with what each means: what `dscost list` says."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dscost.pages import Said
from dscost.pages.page import Page, Row, Sheet, View, words
from dscost.reports.records import head


class Listing(NamedTuple):
    """Names of one kind, which is told in the plural, and what each means."""

    kind: str
    meanings: Mapping[str, str]


class ListingSaid(Said):
    """What is to be said of names."""

    what = "a list"
    row_columns = ("name", "meaning")
    _result: Listing

    def pages(self, view: View) -> list[Page]:
        """Return one page, a line per name."""
        columns = [words("name"), words("meaning")]
        rows = [Row(cells) for cells in self.rows()]
        return [Page(self._result.kind, sheets=[Sheet(columns, rows)], is_list=True)]

    def data(self, view: View) -> dict[str, Any]:
        """Return names and meanings."""
        return {**head("list"), "list": self._result.kind, "names": self.rows()}

    def rows(self) -> list[dict[str, str]]:
        """Return a row per name."""
        return [{"name": name, "meaning": text} for name, text in self._result.meanings.items()]
