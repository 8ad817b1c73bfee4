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

from dscost.budgets.findings import (
    CheckResult,
    Contribution,
    Finding,
    Passed,
    Ratio,
    SuggestedFix,
    WayBack,
)
from dscost.errors import DscostError, FileProblems
from dscost.pages.finding_words import finding_sentence, reasons
from dscost.pages.findings import Found, Judged, NotJudged
from dscost.pages.layer_table import ROOT
from dscost.pages.page import known
from dscost.pages.rules import RULES
from dscost.reports.records import document, plain_fields

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
    counted = {one.entry.name: one.report for one in result.subjects if one.report}
    head = document(list(counted.values()), command="check")
    entries = zip(counted, head.pop("subjects"), strict=True)
    counts = {level: result.count_of(level) for level in LEVELS}
    return {
        **head,
        "budget": below_root(result.path).as_posix(),
        "strict": result.strict,
        "exit_zero": result.exit_zero,
        "exit_code": result.exit_code,
        "summary": {**counts, "passed": len(result.passed)},
        "findings": [_finding(finding) for finding in result.findings],
        "passed": [_plain(one) for one in result.passed],
        "ways_back": [_way_back(one) for one in result.ways_back],
        "subjects": [{"entry": name, **subject} for name, subject in entries],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    fix = finding.suggested_fix
    found = _plain(finding)
    found["contributions"] = [_plain(one) for one in finding.contributions]
    found["suggested_fix"] = _plain(fix) if fix else None
    return {"rescue" if key == "suggested_fix" else key: value for key, value in found.items()}


def _way_back(one: WayBack) -> dict[str, Any]:
    figures = {metric: _number(value) for metric, value in one.figures.items()}
    return {**one._asdict(), "figures": figures}


def _plain(one: Finding | Passed | Contribution | SuggestedFix) -> dict[str, Any]:
    """Return a record, its figures as JSON numbers, and under `exact` those that no float is."""
    found, exact = one._asdict(), {}
    if isinstance(one, Finding | Passed):
        found["measured"] = one.measured and _ratio(one.measured)
    for name, figure in found.items():
        if isinstance(figure, Fraction):
            found[name] = _number(figure)
            if name != "tolerance" and found[name] != figure:
                exact[name] = str(figure)
    return {**found, "exact": exact}


def _ratio(one: Ratio) -> dict[str, Any]:
    """Return what a ratio was measured between, and its interval."""
    return {
        "value": _number(one.value),
        "ci95": [_number(one.low), _number(one.high)],
        "noise_floor": _number(one.noise_floor),
        **plain_fields(one, ("between", "runtime", "threads", "clock", "runs", "look")),
    }


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
    *("value", "ci95_low", "ci95_high", "limit", "before", "outcome", "finding", "text"),
)


def rows_of(result: CheckResult) -> Iterator[dict[str, Any]]:
    """Yield a row for each finding, and one for each limit that holds."""
    budget = {"budget": below_root(result.path).as_posix()}
    for one in result.findings:
        place = {"line": one.line, "column": one.column}
        said = {"outcome": level_of(result, one), "text": finding_sentence(one)}
        found = {"finding": one.kind, "before": _cell(one.before)}
        yield known({**budget, **place, **_judged_cells(one), **found, **said})
    for held in result.passed:
        yield known({**budget, **_judged_cells(held), "outcome": "ok"})


def _judged_cells(one: Finding | Passed) -> dict[str, Any]:
    return {
        "model": one.entry,
        "metric": one.metric,
        "bound": one.bound,
        "layer": one.layer,
        "value": _cell(one.value),
        "ci95_low": _cell(one.measured and one.measured.low),
        "ci95_high": _cell(one.measured and one.measured.high),
        "limit": _cell(one.limit),
    }


def _cell(figure: Fraction | None) -> int | float | None:
    return None if figure is None else _number(figure)


# -- findings for CI


def judged(result: CheckResult, summary: str) -> Judged:
    """Return what was found in a budget, given the outcome in a line that names nothing."""
    gravity = {id(one): at for at, one in enumerate(worst_first(result.findings))}
    found = [
        Found(
            rule=one.kind,
            level=level_of(result, one),
            subject=one.entry,
            check=_check(one, one.bound or one.kind.replace("_", " ")),
            line=one.line,
            column=one.column,
            sentence=finding_sentence(one),
            reasons=reasons(one),
            is_violation=one.is_violation,
            gravity=gravity[id(one)],
            fingerprint=fingerprint,
            source=_source(one, result),
        )
        for one, fingerprint in zip(result.findings, fingerprints(result), strict=True)
    ]
    return Judged(
        path=below_root(result.path),
        found=found,
        held=[(one.entry, _check(one, one.bound)) for one in result.passed],
        subjects=[subject.entry.name for subject in result.subjects],
        rules=RULES,
        summary=summary,
        exit_code=result.exit_code,
    )


OF_THE_MODEL = ("unknown_cost", "unseen_work", "value_dependent", "unused_weights", "other_doubt")
"""Kinds of findings that are about the code of a model, as broken limits are."""


def _source(one: Finding, result: CheckResult) -> tuple[Path, int] | None:
    """Return the line of code that a finding is about, in a file of the repository."""
    if not one.is_violation and one.kind not in OF_THE_MODEL:
        return None
    found = (each.defined for each in result.subjects if each.entry.name == one.entry)
    defined = next(found, None)
    if defined is None:
        return None
    path = below_root(defined.path)
    return None if path.is_absolute() else (path, defined.line)


def _check(one: Finding | Passed, said: str) -> str:
    """Return what a limit is called, the same whether it holds or not; or what a finding is of."""
    name = f"{one.metric} {said}" if one.metric else said
    return name if one.layer is None else f"{name} of {one.layer or ROOT}"


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

    def key(finding: Finding) -> tuple[int, bool, Fraction]:
        over = Fraction(0)
        if finding.value is not None and finding.limit:
            over = abs(finding.value - finding.limit) / abs(finding.limit)
        return LEVELS.index(finding.level), finding.limit != 0, -over

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
