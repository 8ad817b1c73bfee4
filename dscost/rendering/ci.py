"""What a budget says, for programs: JSON, GitHub annotations, GitLab code quality, JUnit and SARIF.

The same result gives the same text, whatever the environment. Places are paths below the repository
that the command runs in (or below the working directory, outside any), with forward slashes.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from hashlib import sha256
from os import fsencode
from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from dscost.budgets.judging import CheckResult, Contribution, Finding, Passed, Rescue
from dscost.errors import DscostError, FileProblems
from dscost.pages.page import View
from dscost.rendering.printable import json_text, printable
from dscost.pages.verdicts import (
    BOUNDS,
    finding_sentence,
    level_of,
    reasons,
    summary,
    worst_first,
)
from dscost.pages.reports import ROOT
from dscost.reports.records import document

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_ANNOTATIONS = 10
"""What GitHub shows of a step."""
FAILURE_TITLE = "dscost check could not judge"

SARIF_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

LEVELS = ("fail", "error", "warn", "note")
_GITHUB_COMMANDS = {"fail": "error", "error": "error", "warn": "warning", "note": "notice"}
_GITLAB_SEVERITIES = {"fail": "critical", "error": "major", "warn": "minor", "note": "info"}
_SARIF_LEVELS = {"fail": "error", "error": "error", "warn": "warning", "note": "note"}


class Rule(NamedTuple):
    """A kind of finding, explained.

    Args:
        title: In a few words.
        meaning: When it is found.
        help: What to do about it.
        level: What it is unless the budget says otherwise.
    """

    title: str
    meaning: str
    help: str
    level: str = "error"


_LEAVE_OR_RAISE = "Make the model cheaper (dscost model shows which layers weigh most), or raise the limit in the budget on purpose."
_ACCEPT = "Make the model cheaper, or take the growth over on purpose: dscost baseline update --accept 'MODEL/METRIC'."

RULES: Mapping[str, Rule] = {
    "over_max": Rule(
        "Over the limit", "A figure is above the 'max' of its limit.", _LEAVE_OR_RAISE
    ),
    "under_min": Rule(
        "Under the least",
        "A figure is below the 'min' of its limit.",
        "Look for what the model has lost, or lower the limit in the budget on purpose.",
    ),
    "grew": Rule("Grew", "A figure grew since the baseline by more than 'max_increase'.", _ACCEPT),
    "shrank": Rule(
        "Shrank",
        "A figure shrank since the baseline by more than 'max_decrease'.",
        "Look for what the model has lost, or take it over on purpose: dscost baseline update.",
    ),
    "new_cost": Rule(
        "New cost",
        "A figure that the baseline has as zero, or not at all, is above zero now.",
        _ACCEPT,
    ),
    "unmatched_rule": Rule(
        "Rule matches no layer",
        "A rule on layers, or an exclusion, matches no layer of the model, so it judges nothing.",
        "Correct the pattern (dscost model lists the layers), remove the rule, or say by allow_empty: true that it is "
        "meant; policy: on_unmatched_rule.",
    ),
    "missing_baseline": Rule(
        "Not in the baseline",
        "A limit on growth has nothing to compare with.",
        "Add the model with dscost baseline update; policy: on_missing_baseline.",
        "warn",
    ),
    "stale_baseline": Rule(
        "Stale entry of the baseline",
        "The baseline has a model that the budget does not name any more.",
        "Remove it with dscost baseline update; policy: on_stale_baseline.",
        "warn",
    ),
    "not_comparable": Rule(
        "Not comparable with the baseline",
        "The figures of the baseline are of another target, input, dtype or counting convention.",
        "Take the figures anew with dscost baseline update --accept 'MODEL'; policy: on_missing_baseline.",
        "warn",
    ),
    "unknown_cost": Rule(
        "Operators of unknown cost",
        "The model has operators that nothing is known about, so its figures are partial.",
        "Register a rule for the operator; policy: on_unknown_cost.",
    ),
    "unseen_work": Rule(
        "Work that was not seen",
        "Part of the model ran, or may have run, where no operator is seen, so its cost is not in the figures.",
        "Let it run in the thread that calls the model, with operators that torch dispatches; policy: on_unseen_work.",
    ),
    "value_dependent": Rule(
        "Cost depends on values",
        "The model looks at values, so that other inputs may take other ways, at other costs.",
        "Mind that the figures are those of one way; policy: on_value_dependent.",
        "warn",
    ),
    "unused_weights": Rule(
        "Weights that were never used",
        "Modules never ran, so that their cost is not in the figures.",
        "Give the inputs that they need, or remove them; policy: on_unused_weights.",
        "warn",
    ),
    "other_doubt": Rule(
        "Figures in doubt",
        "A later version of dscost, which made the report, had a doubt that this one does not know.",
        "Use that version; policy: on_value_dependent.",
        "warn",
    ),
    "unknown_figure": Rule(
        "Figure not known",
        "A limit is on a figure that could not be found out for this model.",
        "Remove the limit, or name a target and input that the figure is known for.",
    ),
    "unloadable_model": Rule(
        "Model cannot be loaded",
        "The target could not be loaded or counted, so none of its limits was judged.",
        "Correct the target or what it needs; dscost model TARGET shows the error; policy: on_unloadable_model.",
    ),
    "inexact_exclusion": Rule(
        "Exclusion is not exact",
        "A figure is limited that excluded layers cannot be taken off, or not exactly.",
        "Mind that when setting the limit, or give the target a factory that makes the model without those layers.",
        "note",
    ),
    "improvement": Rule(
        "Cheaper than the baseline",
        "A figure is below the baseline.",
        "Keep the improvement with dscost baseline update; policy: on_improvement.",
        "note",
    ),
}
"""Every kind of finding."""


# -- JSON


def render_json(result: CheckResult, view: View) -> str:
    """Return all that was found as one document, in the style of the report's.

    Counts are exact integers. A figure that is not whole is a float; one that no float is stands in
    `exact` too, as `numerator/denominator`. A model that could not be loaded has a finding and no
    subject.
    """
    reports = [subject.report for subject in result.subjects if subject.report is not None]
    head = document(reports, command="check")
    subjects = head.pop("subjects")
    names = [subject.entry.name for subject in result.subjects if subject.report is not None]
    return json_text(
        {
            **head,
            "budget": _below_root(result.path).as_posix(),
            "strict": result.strict,
            "exit_zero": result.exit_zero,
            "exit_code": result.exit_code,
            "summary": {
                **{level: result.count_of(level) for level in LEVELS},
                "passed": len(result.passed),
            },
            "findings": [_finding(finding) for finding in result.findings],
            "passed": [_passed(one) for one in result.passed],
            "subjects": [
                {"entry": name, **subject} for name, subject in zip(names, subjects, strict=True)
            ],
        }
    )


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        **finding._asdict(),
        **_figures(value=finding.value, limit=finding.limit, before=finding.before),
        "tolerance": _number(finding.tolerance),
        "contributions": [_contribution(one) for one in finding.contributions],
        "rescue": _rescue(finding.rescue) if finding.rescue else None,
    }


def _passed(one: Passed) -> dict[str, Any]:
    return {
        **one._asdict(),
        **_figures(value=one.value, limit=one.limit),
        "tolerance": _number(one.tolerance),
    }


def _contribution(one: Contribution) -> dict[str, Any]:
    return {"layer": one.layer, **_figures(value=one.value, before=one.before)}


def _rescue(rescue: Rescue) -> dict[str, Any]:
    return {"layers": rescue.layers, **_figures(value=rescue.value)}


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


# -- GitHub


def render_github(result: CheckResult, view: View) -> str:
    """Return workflow commands that annotate the budget file, worst first, and a last line that sums up.

    At most `MOST_ANNOTATIONS` findings are annotated; the last line counts the rest.

    Source:
        GitHub Docs, Workflow commands for GitHub Actions; escapes as in actions/toolkit,
        command.ts.
    """
    findings = worst_first(result.findings)
    path = _below_root(result.path).as_posix()
    lines = [_annotation(result, path, finding) for finding in findings[:MOST_ANNOTATIONS]]
    # figures only: what a user has named could be taken for a command here
    return "\n".join([*lines, summary(result) + _not_annotated(findings[MOST_ANNOTATIONS:])]) + "\n"


def _annotation(result: CheckResult, path: str, finding: Finding) -> str:
    properties = {
        "file": path,
        "line": str(finding.line),
        "col": str(finding.column),
        "title": _of_entry(finding, RULES[finding.kind].title),
    }
    command = _GITHUB_COMMANDS[level_of(result, finding)]
    said = ",".join(f"{name}={_escaped_property(value)}" for name, value in properties.items())
    return f"::{command} {said}::{_escaped_data(_text(finding))}"


def github_failure(error: DscostError) -> str:
    """Return workflow commands that annotate why nothing could be judged, at its place where it has one.

    At most `MOST_ANNOTATIONS` mistakes of a file are annotated; a last line counts the rest.
    """
    if not isinstance(error, FileProblems):
        return f"::error title={FAILURE_TITLE}::{_escaped_data(str(error))}\n"
    file = _escaped_property(_below_root(Path(error.path)).as_posix())
    lines = [
        f"::error file={file},line={one.line},col={one.column},title={FAILURE_TITLE}::{_escaped_data(one.message)}\n"
        for one in error.problems[:MOST_ANNOTATIONS]
    ]
    rest = len(error.problems) - MOST_ANNOTATIONS
    return "".join([*lines, f"{rest} more are not annotated.\n" if rest > 0 else ""])


def _not_annotated(rest: list[Finding]) -> str:
    if not rest:
        return ""
    counted = Counter(RULES[finding.kind].title for finding in rest)
    kinds = ", ".join(
        f"{number} × {title[0].lower()}{title[1:]}" for title, number in counted.items()
    )
    return f" {len(rest)} more are not annotated: {kinds}."


def _escaped_data(text: str) -> str:
    return _printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped_data(text).replace(":", "%3A").replace(",", "%2C")


# -- GitLab


def render_gitlab(result: CheckResult, view: View) -> str:
    """Return a Code Quality report; its fingerprints stay the same while figures and lines change.

    Source:
        GitLab Docs, Code Quality, "Code Quality report format".
    """
    path = _below_root(result.path).as_posix()
    return json_text(
        [
            {
                "description": _printable(
                    " ".join(_of_entry(finding, finding_sentence(finding)).split())
                ),
                "check_name": finding.kind,
                "fingerprint": fingerprint,
                "severity": _GITLAB_SEVERITIES[level_of(result, finding)],
                "location": {"path": path, "lines": {"begin": finding.line}},
            }
            for finding, fingerprint in zip(result.findings, fingerprints(result), strict=True)
        ]
    )


# -- JUnit


def render_junit(result: CheckResult, view: View) -> str:
    """Return a test suite with a case for every limit, whether it holds or not, and every other finding but notes.

    A broken limit is a failure, what could not be judged an error. Warnings fail no case unless
    `--strict` is given: they are its output. Notes test nothing: they are the output of the suite.

    Source:
        The JUnit schema of the Jenkins xUnit plugin, junit-10.xsd.
    """
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    cases = list(_cases(result))
    path = _below_root(result.path).as_posix()
    outcomes = Counter(case[0].tag for case in cases if len(case))
    counts = {
        "tests": len(cases),
        "failures": outcomes["failure"],
        "errors": outcomes["error"],
        "skipped": 0,
    }
    suite = Element(
        "testsuite", {"name": _xml(path), **{name: str(number) for name, number in counts.items()}}
    )
    suite.extend(cases)
    notes = [
        f"{_located(result, finding)}\n" for finding in result.findings if finding.level == "note"
    ]
    if notes:
        SubElement(suite, "system-out").text = _xml("".join(notes))
    suites = Element("testsuites")
    suites.append(suite)
    indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(suites, encoding="unicode")}\n'


def _cases(result: CheckResult) -> Iterator["Element"]:
    """Yield the cases entry by entry, in the order of the file; no two have the same name."""
    from xml.etree.ElementTree import Element

    place = {subject.entry.name: at for at, subject in enumerate(result.subjects)}
    seen: Counter[tuple[str, str]] = Counter()
    every: list[Finding | Passed] = [
        *(one for one in result.findings if one.level != "note"),
        *result.passed,
    ]
    for one in sorted(every, key=lambda one: place.get(one.entry, len(place))):
        name = _case_name(one)
        seen[one.entry, name] += 1
        nth = seen[one.entry, name]
        case = Element(
            "testcase", classname=_xml(one.entry), name=_xml(f"{name} ({nth})" if nth > 1 else name)
        )
        if isinstance(one, Finding):
            case.append(_outcome(result, one))
        yield case


def _case_name(one: Finding | Passed) -> str:
    """Return what a limit is called, the same whether it holds or not; or what a finding is of."""
    said = (
        one.bound if isinstance(one, Passed) else BOUNDS.get(one.kind, one.kind.replace("_", " "))
    )
    name = f"{one.metric} {said}" if one.metric else said
    return name if one.layer is None else f"{name} of {one.layer or ROOT}"


def _outcome(result: CheckResult, finding: Finding) -> "Element":
    from xml.etree.ElementTree import Element

    if level_of(result, finding) == "warn":
        outcome = Element("system-out")
    else:
        tag = "failure" if finding.is_violation else "error"
        outcome = Element(tag, type=finding.kind, message=_xml(finding_sentence(finding)))
    outcome.text = _xml(_located(result, finding))
    return outcome


def _located(result: CheckResult, finding: Finding) -> str:
    return (
        f"{_below_root(result.path).as_posix()}:{finding.line}:{finding.column}: {_text(finding)}"
    )


def _xml(text: str) -> str:
    return _printable(text).replace("\r\n", "\n").replace("\r", "\n")


# -- SARIF


def render_sarif(result: CheckResult, view: View) -> str:
    """Return a SARIF 2.1.0 log; every result is located at the rule that it is about.

    Source:
        OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
    """
    from dscost import __version__

    driver = {
        "name": "dscost",
        "version": __version__,
        "rules": [_sarif_rule(kind) for kind in RULES],
    }
    path = _below_root(result.path)
    run = {
        "tool": {"driver": driver},
        "invocations": [
            {"executionSuccessful": result.exit_code != 2, "exitCode": result.exit_code}
        ],
        "columnKind": "unicodeCodePoints",
        "results": [
            _sarif_result(result, path, finding, fingerprint)
            for finding, fingerprint in zip(result.findings, fingerprints(result), strict=True)
        ],
    }
    return json_text({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _sarif_rule(kind: str) -> dict[str, Any]:
    rule = RULES[kind]
    return {
        "id": kind,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
    }


def _sarif_result(
    result: CheckResult, path: Path, finding: Finding, fingerprint: str
) -> dict[str, Any]:
    return {
        "ruleId": finding.kind,
        "ruleIndex": list(RULES).index(finding.kind),
        "level": _SARIF_LEVELS[level_of(result, finding)],
        "message": {
            "text": _printable(_text(finding)).replace("](", "] (")
        },  # which would be a link
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(path),
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
        # GitHub tells alerts apart by the second alone, and would else make one of all that a line
        # of a matrix breaks
        "partialFingerprints": {
            "dscost/v1": fingerprint,
            "primaryLocationLineHash": f"{fingerprint[:16]}:1",
        },
    }


def _artifact(path: Path) -> dict[str, str]:
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(fsencode(path.as_posix())), "uriBaseId": "%SRCROOT%"}


# -- what several formats share


def fingerprints(result: CheckResult) -> list[str]:
    """Return what each finding is known by: the same while figures, lines and messages change, and unique.

    Findings that are alike in all that identifies them are counted in the order of the file.
    """
    path = _below_root(result.path).as_posix()
    seen: Counter[tuple[str | None, ...]] = Counter()
    found = []
    for finding in result.findings:
        identity = (path, finding.kind, finding.entry, finding.metric, finding.layer)
        seen[identity] += 1
        found.append(sha256(json.dumps([*identity, seen[identity]]).encode()).hexdigest())
    return found


def _of_entry(finding: Finding, text: str) -> str:
    return f"{finding.entry}: {text}" if finding.entry else text


def _text(finding: Finding) -> str:
    """Return what is wrong and why, one line or more."""
    return "\n".join([_of_entry(finding, finding_sentence(finding)), *reasons(finding)])


def _below_root(path: Path) -> Path:
    """Return a path below the repository that this runs in, or else the working directory; absolute outside them."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody has deleted it
        return path
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    given = Path(normpath(here / path))
    below = (one.relative_to(root) for one in (given, given.resolve()) if one.is_relative_to(root))
    return next(below, given)


def _printable(text: str) -> str:
    """Return the text as every format here shows it; line ends are left to the escapes of the format."""
    return "\r".join(map(printable, text.split("\r")))
