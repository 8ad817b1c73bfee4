"""What a budget says: a page, and what else `pages.verdict_data` has for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from dscost.budgets.findings import CheckResult, Finding, Passed
from dscost.budgets.records import Entry
from dscost.errors import DscostError
from dscost.notation.units import counted
from dscost.pages import Said
from dscost.pages.finding_words import bounded, finding_sentence, reasons
from dscost.pages.findings import Judged, NotJudged
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Column, Page, Row, Sheet, Tone, Toned, View, words
from dscost.pages.verdict_data import (
    ROW_COLUMNS,
    document_of,
    judged,
    level_of,
    not_judged,
    rows_of,
)
from dscost.reports.figures import FIGURES

GROWTH = ("max_increase", "max_decrease")
"""Bounds that are relative to the baseline."""

MARKS = {"fail": "could not judge", "error": "over budget", "warn": "warning", "note": "note"}
"""What a table calls the levels; an error other than a broken limit is called “error”."""

TONES: Mapping[str, Tone] = {"fail": "bad", "error": "bad", "warn": "unclear", "note": "method"}


class VerdictsSaid(Said):
    """What is to be said of budgets: what each says, or why it could not be judged."""

    what = "a check"
    row_columns = ROW_COLUMNS
    _results: tuple[CheckResult | DscostError, ...]

    def _judged(self) -> list[CheckResult]:
        return [one for one in self._results if isinstance(one, CheckResult)]

    def pages(self, view: View) -> list[Page]:
        """Return a page for each budget."""
        return [_page(result) for result in self._judged()]

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


def summary(result: CheckResult) -> str:
    """Return the outcome in one line."""
    held = len(result.passed)
    parts = [
        counted(len(result.subjects), "model"),
        f"{counted(held, 'limit')} {'holds' if held == 1 else 'hold'}",
    ]
    marks = Counter(_mark(result, finding) for finding in result.findings)
    if marks["could not judge"]:
        parts.append(f"{marks['could not judge']} not judged")
    if marks["over budget"]:
        parts.append(f"{marks['over budget']} over budget")
    parts += [counted(marks[mark], mark) for mark in ("error", "warning", "note") if marks[mark]]
    return f"{', '.join(parts)}."


def _mark(result: CheckResult, finding: Finding) -> str:
    """Return what a table calls the level of a finding."""
    level = level_of(result, finding)
    return "error" if level == "error" and not finding.is_violation else MARKS[level]


def _page(result: CheckResult) -> Page:
    rows = [*_broken_rows(result), *_held_rows(result)]
    columns = [
        words("model"),
        words("what"),
        Column("value", "value", 0),
        Column("limit", "limit", 1),
        Column("left", "left", 2),
        words("outcome"),
    ]
    return Page(
        heading=f"{result.path}",
        lines=[line for subject in result.subjects for line in _not_held(subject.entry)],
        sheets=[Sheet(columns, rows, yielding=("model", "what"))] if rows else [],
        closing=[
            *_lines(result, result.findings),
            *_remarks(result),
            Toned(summary(result), "verdict"),
        ],
        in_brief=list(_lines(result, [one for one in result.findings if one.level != "note"])),
    )


def _not_held(entry: Entry) -> Iterator[str]:
    """Yield what of a model is held to nothing."""
    if not entry.limits and not entry.layers:
        yield f"{entry.name}: nothing is limited"
    for one in entry.exclude:
        yield f"{entry.name}: without {one.selector.text} ({' '.join(one.reason.split())})"


def _lines(result: CheckResult, findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        place = f"{result.path}:{finding.line}:{finding.column}"
        entry = f"{finding.entry}: " if finding.entry else ""
        said = f"{_mark(result, finding)}: {place}: {entry}{finding_sentence(finding)}"
        yield Toned(said, TONES[level_of(result, finding)])
        yield from (f"  {reason}" for reason in reasons(finding))


def _broken_rows(result: CheckResult) -> Iterator[Row]:
    for one in result.findings:
        if one.is_violation:
            outcome = Toned(_mark(result, one), TONES[level_of(result, one)])
            yield Row({**_cells(one), "outcome": outcome}, "strong")


def _held_rows(result: CheckResult) -> Iterator[Row]:
    """Yield a row for each limit that holds; of several layers that it holds of, the closest."""
    for group in _alike(result):
        one = min(group, key=_slack)
        cells = _cells(one)
        if len(group) > 1:
            cells["what"] += f", closest of {len(group)} layers"
        yield Row({**cells, "left": _room(one), "outcome": Toned("ok", "good")})


def _remarks(result: CheckResult) -> Iterator[str]:
    """Yield what else there is to say of the limits that hold, once for all of a rule."""
    yield from dict.fromkeys(
        f"ok: {one.entry}: {one.layer or ROOT}: {one.note}." for one in result.passed if one.note
    )


def _alike(result: CheckResult) -> list[list[Passed]]:
    """Return the limits that hold, of single layers together where metric and bound agree."""
    layers = {
        (subject.entry.name, layer.name)
        for subject in result.subjects
        for layer in (subject.report.layers if subject.report else ())
    }
    groups: dict[object, list[Passed]] = {}
    for at, one in enumerate(result.passed):
        limit = None if one.bound in GROWTH else one.limit  # which is another for each layer
        alike = (one.entry, one.metric, one.bound, limit)
        key: object = alike if (one.entry, one.layer) in layers else at
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _slack(one: Passed) -> Fraction:
    return abs(one.limit - one.value) / (abs(one.limit) or 1)


_BOUND_WORDS = {
    "max": "",
    "min": ", at least",
    "max_increase": ", growth",
    "max_decrease": ", decline",
}


def _cells(one: Finding | Passed) -> dict[str, str]:
    """Return what is limited, its figure and its limit, which are known where that decides."""
    assert one.bound is not None
    assert one.metric is not None
    assert one.value is not None
    assert one.limit is not None
    found, limit = bounded(one.metric, one.value, one.limit, one.tolerance, one.bound)
    layer = "" if one.layer is None else f" of {one.layer or ROOT}"
    what = f"{FIGURES[one.metric].in_words}{layer}{_BOUND_WORDS[one.bound]}"
    return {"model": one.entry, "what": what, "value": found, "limit": limit}


def _room(one: Passed) -> str:
    """Return how much may still come, of limits from above."""
    from_above = one.bound in ("max", "max_increase")
    return f"{float((one.limit - one.value) / one.limit):.1%}" if from_above and one.limit else ""
