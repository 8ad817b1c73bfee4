"""A result → what is to be said of it: pages for people, data and rows for programs, findings.

Results know nothing of it, and the formats of `dscost.rendering` know no result: between them
stands `Said`.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dscost.pages.page import Column, Page, Row, Sheet, View, check_columns, unknown_key

if TYPE_CHECKING:
    from dscost.pages.findings import Judged, NotJudged

__all__ = ["Column", "Page", "Row", "Said", "Sheet", "View", "check_columns", "said"]


class Said:
    """What is to be said of a result; each kind of result has a subclass in this package."""

    what = "a result"
    """How an error calls it."""
    columns: Sequence[str] = ()
    """The columns of its pages that a view may choose from."""
    sort_keys: Sequence[str] = ()
    """What a view may sort its pages by."""
    row_columns: Sequence[str] = ()
    """The columns of its rows."""
    further_columns: Sequence[str] = ()
    """Columns that its rows have as well, but tables only where they are asked for."""

    def __init__(self, *results: Any) -> None:
        self._results = results
        self._result: Any = results[0] if results else None

    def pages(self, view: View) -> Sequence[Page]:
        """Return what people read.

        Raises:
            InputError: The view asks for a column or a sort key that there is not.
        """
        raise NotImplementedError

    def data(self, view: View) -> Any:
        """Return the whole as what JSON can hold."""
        raise NotImplementedError

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Return a table for programs, every figure exact; what is unknown of a row is missing."""
        raise NotImplementedError

    def rows_in(self, view: View) -> Iterable[Mapping[str, Any]]:
        """Return the rows that a view asks for; most results have one table only."""
        return self.rows()

    def findings(self) -> "Sequence[Judged | NotJudged] | None":
        """Return what was found wrong, by what was judged; `None` where nothing is judged."""
        return None

    @classmethod
    def check(cls, view: View, says: str) -> None:
        """Refuse a view that asks for what there is not, before the work that comes to the result.

        Args:
            view: As asked for.
            says: What is shown: `rows` have other columns than `pages`.

        Raises:
            UnknownNameError: There is no such column or sort key.
        """
        check_columns(view, cls.row_columns if says == "rows" else cls.columns)
        if view.sort is not None and view.sort not in cls.sort_keys:
            raise unknown_key("sort key", view.sort, cls.sort_keys)


_SAID_BY = {
    "Report": "reports:ReportsSaid",
    "Comparison": "comparisons:ComparisonSaid",
    "Converted": "conversions:ConvertedSaid",
    "Conversion": "conversions:ConversionSaid",
    "Plan": "plans:PlanSaid",
    "Sensitivity": "scores:SensitivitySaid",
    "CheckResult": "verdicts:VerdictsSaid",
    "CheckResults": "verdicts:VerdictsSaid",
    "DscostError": "verdicts:VerdictsSaid",
    "Baseline": "baselines:BaselineSaid",
    "Kept": "baselines:KeptSaid",
    "Ceilings": "device:DeviceSaid",
    "Attribution": "attributions:AttributionSaid",
    "Verification": "verifications:VerificationSaid",
    "PeerVerification": "verifications:PeerVerificationSaid",
    "Listing": "listings:ListingSaid",
    "Sweep": "sweeps:SweepSaid",
}
"""Module and class that take results of a type; by name, since to import all takes long."""


def said(result: Any) -> Said:
    """Return what is to be said of a result, or of a list of reports or of verdicts.

    Raises:
        TypeError: It is no result of dscost.
    """
    if isinstance(result, Said):
        return result
    results = result if type(result) in (list, tuple) else [result]
    for base in type(results[0]).__mro__ if results else ():
        if base.__name__ in _SAID_BY and base.__module__.startswith("dscost."):
            module, _, name = _SAID_BY[base.__name__].partition(":")
            found: Said = getattr(import_module(f"dscost.pages.{module}"), name)(*results)
            return found
    raise TypeError(f"{type(result).__name__} is no result of dscost")
