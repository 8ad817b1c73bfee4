"""What a budget says: a page, and what else `pages.verdict_data` has for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from dscost.budgets.findings import CheckResult, CheckResults, Passed
from dscost.budgets.records import CHANGES
from dscost.errors import DscostError
from dscost.notation.units import counted
from dscost.pages import Said
from dscost.pages.findings import Judged, NotJudged
from dscost.pages.overruns import Together, cells, together, worst_level, worst_of_alike
from dscost.pages.page import (
    Column,
    Page,
    Row,
    Sheet,
    Tone,
    Toned,
    View,
    filled_sheet,
    words,
)
from dscost.pages.verdict_data import (
    ROW_COLUMNS,
    document_of,
    judged,
    level_of,
    not_judged,
    rows_of,
)
from dscost.pages.verdict_lines import (
    each_once,
    explanations,
    held_line,
    holding,
    mark_of,
    others,
    remarks,
    sentences,
    spaced,
    told,
    tone_of,
    word_of,
)

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture


class VerdictsSaid(Said):
    """What is to be said of budgets: what each says, or why it could not be judged."""

    what = "a check"
    row_columns = ROW_COLUMNS
    _results: tuple[CheckResult | DscostError, ...]

    def __init__(self, *results: CheckResult | CheckResults | DscostError) -> None:
        each = (one.results if isinstance(one, CheckResults) else (one,) for one in results)
        super().__init__(*chain.from_iterable(each))

    def _judged(self) -> list[CheckResult]:
        return [one for one in self._results if isinstance(one, CheckResult)]

    def pages(self, view: View) -> list[Page]:
        """Return a page for each budget."""
        found: list[Page] = []
        for at, result in enumerate(self._judged(), 1):
            pages = list(_pages(result, view))
            if pages:
                name = "growth" if at == 1 else f"growth-{at}"
                drawn = partial(_pictures_of, result, name)
                pages[0] = pages[0]._replace(pictures=drawn)
            found += pages
        return found

    def data(self, view: View) -> dict[str, Any]:
        """Return all that was found; of several budgets, each under `budgets`.

        One that could not be judged has `error` there, which says why.
        """
        documents = [
            {"error": str(one)} if isinstance(one, DscostError) else document_of(one)
            for one in self._results
        ]
        return documents[0] if len(documents) == 1 else {"command": "check", "budgets": documents}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each finding and each limit that holds."""
        for result in self._judged():
            yield from rows_of(result)

    def findings(self) -> list[Judged | NotJudged]:
        """Return what was found in each budget, or why it could not be judged."""
        return [
            judged(one, summary(one)) if isinstance(one, CheckResult) else not_judged(one)
            for one in self._results
        ]


def _pictures_of(result: CheckResult, name: str) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_checks import growth_picture

    return [growth_picture(result, name)]


def summary(result: CheckResult) -> str:
    """Return the outcome in one line."""
    held = len(result.passed)
    parts = [
        counted(len(result.subjects), "model"),
        holding(held),
    ]
    marks = Counter(word_of(result, finding) for finding in result.findings)
    if marks["could not judge"]:
        parts.append(f"{marks['could not judge']} not judged")
    if marks["over budget"]:
        parts.append(f"{marks['over budget']} over budget")
    parts += [counted(marks[mark], mark) for mark in ("error", "warning", "note") if marks[mark]]
    return f"{', '.join(parts)}."


def outcome(result: CheckResult) -> str:
    """Return how it came out, in words first and in the tone of it, with the numbers."""
    marks = {word_of(result, finding) for finding in result.findings}
    code = result._replace(exit_zero=False).exit_code
    said: tuple[str, Tone] = ("Within budget", "good")
    if code == OVER:
        said = ("Over budget" if "over budget" in marks else "Failed"), "bad"
    elif code:
        over = ", and over budget" if "over budget" in marks else ""
        said = f"Failed, not all could be judged{over}", "bad"
    elif "warning" in marks:
        said = "Within budget, with warnings", "unclear"
    return Toned(f"{said[0]}: {summary(result)}", said[1])


OVER = 1
"""The exit code of a budget that is violated."""


def _pages(result: CheckResult, view: View) -> Iterator[Page]:
    """Yield what is wrong, if anything is; and what is not, where all is to be shown."""
    if view.posted or view.paged:  # which is read by others than whoever asked
        view = view._replace(brief=False)
    why = explanations(result, view)
    other = others(result, view)
    wrong = [*(spaced(why) if other else why), *other]
    if view.brief and not wrong:
        return
    rows = _broken_rows(result, view)
    closing = wrong
    if not view.brief:
        closing = [
            *spaced(wrong),
            *remarks(result),
            *(() if view.paged else held_line(result, view)),
            Toned(summary(result), "verdict"),
        ]
    is_apart = view.posted or view.paged  # where what holds is folded away
    is_shown = is_apart or (view.verbose and not view.brief)
    held = _held_rows(result, view) if is_shown else []
    shown = [rows] if is_apart else [rows, held]
    yield Page(
        heading=_heading(result, view),
        lines=[] if view.brief else list(told(result)),
        sheets=[_sheet(one, view) for one in shown if one],
        closing=closing,
        answers=[outcome(result)] if view.paged else [],
    )
    if held and is_apart:
        heading = f"{mark_of('ok', view)} {holding(len(result.passed))}"
        yield Page(heading, sheets=[_sheet(held, view)], is_long=True)
    if rows and view.posted:
        broken = [one for one in result.findings if one.is_violation]
        lines = list(each_once(sentences(result, broken)))
        yield Page("Every figure, and where it is limited", lines, is_long=True)


def _sheet(rows: Sequence[Row], view: View) -> Sheet:
    return filled_sheet(_columns(view), rows)._replace(yielding=NAMES)


def _heading(result: CheckResult, view: View) -> str:
    """Return which budget it is, in a comment with its outcome."""
    if not view.posted:
        return f"{result.path}"
    levels = {level_of(result, one) for one in result.findings}
    worst = next((level for level in ("fail", "error", "warn") if level in levels), "ok")
    return f"{mark_of(worst, view)} {result.path}"


NAMES = ("model", "what")
"""Columns that give way to figures."""


def _columns(view: View) -> list[Column]:
    figures = [
        Column("before", "before", 2),
        Column("now", "now", 0),
        Column("change", "change", 1),
        Column("limit", "limit", 0),
        Column("margin", "margin", 3),
    ]
    if view.posted:
        return [words("mark", header=" "), words("model"), words("what"), *figures]
    return [words("model"), words("what"), *figures, Column("line", "line", 4)]


def _row(one: Together, level: str, result: CheckResult, view: View) -> Row:
    """Return a row: its mark stands before the model where it has no column of its own."""
    entries = {subject.entry.name: subject.entry for subject in result.subjects}
    found = cells(one, entries, exactly=view.verbose)
    mark = Toned(mark_of(level, view), tone_of(level))
    if not view.posted:
        found["model"] = Toned(f"{mark} {found['model']}", tone_of(level))
    if level != "ok":
        found |= {key: Toned(found[key], tone_of(level)) for key in ("now", "change", "margin")}
    return Row({**found, "mark": mark})


def _broken_rows(result: CheckResult, view: View) -> list[Row]:
    """Return a row for each figure over its limits; of layers that break one rule, the worst."""
    broken = together([one for one in result.findings if one.is_violation])
    shown = [(one, 1) for one in broken] if view.verbose else worst_of_alike(broken)
    return [
        _of_several(_row(one, worst_level(result, one), result, view), f"worst of {number}", number)
        for one, number in shown
    ]


def _of_several(row: Row, which: str, number: int) -> Row:
    """Return a row that stands for several layers."""
    if number == 1:
        return row
    return row._replace(cells={**row.cells, "what": f"{row.cells['what']}, {which} layers"})


def _held_rows(result: CheckResult, view: View) -> list[Row]:
    """Return a row for each figure whose limits hold; of alike layers, the closest."""
    groups = {id(min(group, key=_slack)): group for group in _alike(result)}
    closest = together([one for one in result.passed if id(one) in groups])
    rows = []
    for one in closest:
        row = _row(one, "ok", result, view._replace(verbose=view.verbose or view.posted))
        layers = max(len(groups[id(each)]) for each in one.limits)
        rows.append(_of_several(row, f"closest of {layers}", layers))
    return rows


def _alike(result: CheckResult) -> list[list[Passed]]:
    """Return the limits that hold, of single layers together where metric and bound agree."""
    layers = {
        (subject.entry.name, layer.name)
        for subject in result.subjects
        for layer in (subject.report.layers if subject.report else ())
    }
    groups: dict[object, list[Passed]] = {}
    for at, one in enumerate(result.passed):
        limit = None if one.bound in CHANGES else one.limit  # which is another for each layer
        alike = (one.entry, one.metric, one.bound, limit)
        key: object = alike if (one.entry, one.layer) in layers else at
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _slack(one: Passed) -> Fraction:
    return abs(one.limit - one.value) / (abs(one.limit) or 1)
