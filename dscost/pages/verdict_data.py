"""What a budget says for programs: the document, rows, and findings as CI likes to hear them.

The same result gives the same text, whatever the environment. Places are paths below the repository
that the command runs in (or below the working directory, outside any), with forward slashes.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from os.path import normpath
from pathlib import Path
from typing import Any

from dscost.budgets.findings import CheckResult, Contribution, Finding, Passed, SuggestedFix
from dscost.errors import DscostError, FileProblems
from dscost.pages.finding_words import BOUNDS, finding_sentence, reasons
from dscost.pages.findings import Found, Judged, NotJudged
from dscost.pages.layer_table import ROOT
from dscost.pages.rules import RULES
from dscost.reports.records import document

LEVELS = ("fail", "error", "warn", "note")
"""From the worst to the least."""


def level_of(result: CheckResult, finding: Finding) -> str:
    """Return the level of a finding as it counts: `--strict` makes an error of a warning."""
    return "error" if result.strict and finding.level == "warn" else finding.level


# -- the document


def document_of(result: CheckResult) -> dict[str, Any]:
    """Return all that was found as one document, in the style of the report's.

    Counts are exact integers. A figure that is not whole is a float; one that no float is stands in
    `exact` too, as `numerator/denominator`. A model that could not be loaded has a finding and no
    subject.
    """
    reports = [subject.report for subject in result.subjects if subject.report is not None]
    head = document(reports, command="check")
    subjects = head.pop("subjects")
    names = [subject.entry.name for subject in result.subjects if subject.report is not None]
    entries = zip(names, subjects, strict=True)
    counts = {level: result.count_of(level) for level in LEVELS}
    return {
        **head,
        "budget": below_root(result.path).as_posix(),
        "strict": result.strict,
        "exit_zero": result.exit_zero,
        "exit_code": result.exit_code,
        "summary": {**counts, "passed": len(result.passed)},
        "findings": [_finding(finding) for finding in result.findings],
        "passed": [_passed(one) for one in result.passed],
        "subjects": [{"entry": name, **subject} for name, subject in entries],
    }


_KEYS = {"suggested_fix": "rescue"}
"""The key of a field, where it is another."""


def _finding(finding: Finding) -> dict[str, Any]:
    fix = finding.suggested_fix
    return {
        **{_KEYS.get(name, name): value for name, value in finding._asdict().items()},
        **_figures(value=finding.value, limit=finding.limit, before=finding.before),
        "tolerance": _number(finding.tolerance),
        "contributions": [_contribution(one) for one in finding.contributions],
        "rescue": _fix(fix) if fix else None,
    }


def _passed(one: Passed) -> dict[str, Any]:
    return {
        **one._asdict(),
        **_figures(value=one.value, limit=one.limit),
        "tolerance": _number(one.tolerance),
    }


def _contribution(one: Contribution) -> dict[str, Any]:
    return {"layer": one.layer, **_figures(value=one.value, before=one.before)}


def _fix(fix: SuggestedFix) -> dict[str, Any]:
    return {"layers": fix.layers, **_figures(value=fix.value)}


def _figures(**figures: Fraction | None) -> dict[str, Any]:
    """Return figures as JSON numbers, and under `exact` those that no float is."""
    numbers = {
        name: None if figure is None else _number(figure) for name, figure in figures.items()
    }
    exact = {
        name: str(figure)
        for name, figure in figures.items()
        if figure is not None and numbers[name] != figure
    }
    return {**numbers, "exact": exact}


def _number(figure: Fraction) -> int | float | None:
    if figure.denominator == 1:
        return figure.numerator
    try:
        return float(figure)
    except OverflowError:
        return None


# -- rows

ROW_COLUMNS = (
    *("budget", "line", "column", "model", "metric", "bound", "layer"),
    *("value", "limit", "before", "outcome", "finding", "text"),
)


def rows_of(result: CheckResult) -> Iterator[dict[str, Any]]:
    """Yield a row for each finding, and one for each limit that holds."""
    budget = below_root(result.path).as_posix()
    for one in result.findings:
        yield {
            "budget": budget,
            "line": one.line,
            "column": one.column,
            "model": one.entry,
            **_known(metric=one.metric, bound=BOUNDS.get(one.kind), layer=one.layer),
            **_known(value=one.value, limit=one.limit, before=one.before),
            "outcome": level_of(result, one),
            "finding": one.kind,
            "text": finding_sentence(one),
        }
    for held in result.passed:
        yield {
            "budget": budget,
            "model": held.entry,
            "metric": held.metric,
            "bound": held.bound,
            **_known(layer=held.layer, value=held.value, limit=held.limit),
            "outcome": "ok",
        }


def _known(**cells: Fraction | str | None) -> dict[str, Any]:
    """Return the cells that are known, exact figures as numbers."""
    return {
        name: _number(cell) if isinstance(cell, Fraction) else cell
        for name, cell in cells.items()
        if cell is not None
    }


# -- findings for CI


def judged(result: CheckResult, summary: str) -> Judged:
    """Return what was found in a budget.

    Args:
        result: What it says.
        summary: The outcome in one line, which has nothing in it that others have named.
    """
    path = below_root(result.path)
    gravity = {id(one): at for at, one in enumerate(worst_first(result.findings))}
    found = [
        Found(
            rule=one.kind,
            level=level_of(result, one),
            subject=one.entry,
            check=_check(one.metric, BOUNDS.get(one.kind, one.kind.replace("_", " ")), one.layer),
            line=one.line,
            column=one.column,
            sentence=finding_sentence(one),
            reasons=reasons(one),
            is_violation=one.is_violation,
            gravity=gravity[id(one)],
            fingerprint=fingerprint,
        )
        for one, fingerprint in zip(result.findings, fingerprints(result), strict=True)
    ]
    return Judged(
        path=path,
        found=found,
        held=[(one.entry, _check(one.metric, one.bound, one.layer)) for one in result.passed],
        subjects=[subject.entry.name for subject in result.subjects],
        rules=RULES,
        summary=summary,
        exit_code=result.exit_code,
    )


def _check(metric: str | None, said: str, layer: str | None) -> str:
    """Return what a limit is called, the same whether it holds or not; or what a finding is of."""
    name = f"{metric} {said}" if metric else said
    return name if layer is None else f"{name} of {layer or ROOT}"


def not_judged(error: DscostError) -> NotJudged:
    """Return why a budget could not be judged, at its places where it has some."""
    if not isinstance(error, FileProblems):
        return NotJudged(None, [(0, 0, str(error))])
    mistakes = [(one.line, one.column, one.message) for one in error.problems]
    return NotJudged(below_root(Path(error.path)), mistakes)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by level, then by how far they are over their limit, then as in the file.

    Anything is infinitely far over a limit of nothing.
    """
    order = ("fail", "error", "warn", "note")

    def key(finding: Finding) -> tuple[int, bool, Fraction]:
        over = Fraction(0)
        if finding.value is not None and finding.limit:
            over = abs(finding.value - finding.limit) / abs(finding.limit)
        return order.index(finding.level), finding.limit != 0, -over

    return sorted(findings, key=key)


def fingerprints(result: CheckResult) -> list[str]:
    """Return what each finding is known by: unique, and the same while its figures change.

    Findings that are alike in all that identifies them are counted in the order of the file.
    """
    path = below_root(result.path).as_posix()
    seen: Counter[tuple[str | None, ...]] = Counter()
    found = []
    for finding in result.findings:
        identity = (path, finding.kind, finding.entry, finding.metric, finding.layer)
        seen[identity] += 1
        found.append(sha256(json.dumps([*identity, seen[identity]]).encode()).hexdigest())
    return found


def below_root(path: Path) -> Path:
    """Return a path below the repository, or else the working directory; absolute outside them."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody has deleted it
        return path
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    given = Path(normpath(here / path))
    below = (one.relative_to(root) for one in (given, given.resolve()) if one.is_relative_to(root))
    return next(below, given)
