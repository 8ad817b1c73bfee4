"""Plans: what is said of them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.converting.decisions import KEEP, form_of
from dscost.converting.plan_file import Plan
from dscost.pages import Said
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Column, Page, Row, Sheet, View, known, words
from dscost.reports.records import head, plain

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture


class PlanSaid(Said):
    """What is to be said of a plan."""

    what = "a plan"
    row_columns = ("target", "layer", "decision", "rank", "order")
    _result: Plan

    def pages(self, view: View) -> list[Page]:
        """Return one page: what is to become of each layer."""
        columns = [words("layer"), Column("rank", "rank", 0)]
        rows = []
        for name, decision in self._result.layers.items():
            cells = {"layer": name or ROOT, "rank": str(decision)}
            rows.append(Row(cells, "faint" if decision == KEEP else "plain"))
        sheets = [Sheet(columns, rows)] if rows else []
        drawn = partial(_pictures_of, self._result)
        return [Page(self._result.in_a_line(), sheets=sheets, pictures=drawn)]

    def data(self, view: View) -> dict[str, Any]:
        """Return all that the file of a plan holds."""
        plan = self._result
        inputs = [str(one) for one in plan.inputs]
        of = {"target": plan.target, "inputs": inputs, "goal": plan.goal, "missed": plan.missed}
        scored = {} if plan.scored is None else {"scored": plain(plan.scored)}
        return {**head("plan"), **of, **scored, "layers": dict(plan.layers)}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each layer; rank and order of one that is kept are missing."""
        for name, decision in self._result.layers.items():
            row: dict[str, Any] = {"target": self._result.target, "layer": name, "decision": "kept"}
            form = form_of(decision)
            if form is not None:
                row |= {"decision": "converted", **form._asdict()}
            yield known(row)


def _pictures_of(plan: Plan) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_conversions import plan_pictures

    return plan_pictures(plan)
