"""Findings for CI: GitHub annotations, GitLab code quality, JUnit and SARIF.

The same findings give the same text, whatever the environment. Places are paths below the repository
(or below the working directory, outside any), with forward slashes.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from os import fsencode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dscost.pages import Said, View
from dscost.pages.findings import Found, Judged, NotJudged, Rule
from dscost.rendering.printable import json_text, printable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_ANNOTATIONS = 10
"""What GitHub shows of a step."""
FAILURE_TITLE = "dscost check could not judge"

SARIF_VERSION = "2.1.0"
SARIF_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_GITHUB_COMMANDS = {"fail": "error", "error": "error", "warn": "warning", "note": "notice"}
_GITLAB_SEVERITIES = {"fail": "critical", "error": "major", "warn": "minor", "note": "info"}
_SARIF_LEVELS = {"fail": "error", "error": "error", "warn": "warning", "note": "note"}


def _all(said: Said) -> Sequence[Judged | NotJudged]:
    """Return what was judged, and what could not be."""
    return said.findings() or ()


def _judged(said: Said) -> list[Judged]:
    """Return what was judged."""
    return [one for one in _all(said) if isinstance(one, Judged)]


# -- GitHub


def github(said: Said, view: View) -> str:
    """Return workflow commands that annotate a file, worst first, and a last line that sums up.

    At most `MOST_ANNOTATIONS` of a file are annotated; the last line counts the rest.

    Source:
        GitHub Docs, Workflow commands for GitHub Actions; escapes as in actions/toolkit, command.ts.
    """
    return "".join(
        _annotations(one) if isinstance(one, Judged) else _failure(one) for one in _all(said)
    )


def _annotations(judged: Judged) -> str:
    found = sorted(judged.found, key=lambda one: one.gravity)
    lines = [_annotation(judged, one) for one in found[:MOST_ANNOTATIONS]]
    # figures only: what a user has named could be taken for a command here
    summary = judged.summary + _not_annotated(judged, found[MOST_ANNOTATIONS:])
    return "\n".join([*lines, summary]) + "\n"


def _annotation(judged: Judged, one: Found) -> str:
    properties = {
        "file": judged.path.as_posix(),
        "line": str(one.line),
        "col": str(one.column),
        "title": one.with_subject(judged.rules[one.rule].title),
    }
    said = ",".join(f"{name}={_escaped_property(value)}" for name, value in properties.items())
    return f"::{_GITHUB_COMMANDS[one.level]} {said}::{_escaped_data(one.text)}"


def _not_annotated(judged: Judged, rest: Sequence[Found]) -> str:
    if not rest:
        return ""
    counted = Counter(judged.rules[one.rule].title for one in rest)
    kinds = (f"{number} × {title[0].lower()}{title[1:]}" for title, number in counted.items())
    return f" {len(rest)} more are not annotated: {', '.join(kinds)}."


def _failure(failed: NotJudged) -> str:
    """Return workflow commands that annotate why nothing could be judged, at its place where it has one."""
    shown, rest = failed.mistakes[:MOST_ANNOTATIONS], failed.mistakes[MOST_ANNOTATIONS:]
    lines = []
    for line, column, text in shown:
        place = ""
        if failed.path is not None:
            file = _escaped_property(failed.path.as_posix())
            place = f"file={file},line={line},col={column},"
        lines.append(f"::error {place}title={FAILURE_TITLE}::{_escaped_data(text)}\n")
    more = f"{len(rest)} more are not annotated.\n" if rest else ""
    return "".join([*lines, more])


def _escaped_data(text: str) -> str:
    return _printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped_data(text).replace(":", "%3A").replace(",", "%2C")


# -- GitLab


def gitlab(said: Said, view: View) -> str:
    """Return a Code Quality report; its fingerprints stay the same while figures and lines change.

    Source:
        GitLab Docs, Code Quality, "Code Quality report format".
    """
    return json_text([_quality(judged, one) for judged in _judged(said) for one in judged.found])


def _quality(judged: Judged, one: Found) -> dict[str, Any]:
    return {
        "description": _printable(" ".join(one.title.split())),
        "check_name": one.rule,
        "fingerprint": one.fingerprint,
        "severity": _GITLAB_SEVERITIES[one.level],
        "location": {"path": judged.path.as_posix(), "lines": {"begin": one.line}},
    }


# -- JUnit


def junit(said: Said, view: View) -> str:
    """Return a test suite with a case for every check, whether it holds or not, and every finding but notes.

    A broken limit is a failure, what could not be judged an error. Warnings fail no case: they are its
    output. Notes test nothing: they are the output of the suite.

    Source:
        The JUnit schema of the Jenkins xUnit plugin, junit-10.xsd.
    """
    from xml.etree.ElementTree import Element, indent, tostring

    suites = Element("testsuites")
    suites.extend([_suite(judged) for judged in _judged(said)])
    indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(suites, encoding="unicode")}\n'


def _suite(judged: Judged) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    cases = list(_cases(judged))
    outcomes = Counter(case[0].tag for case in cases if len(case))
    counts = {
        "tests": len(cases),
        "failures": outcomes["failure"],
        "errors": outcomes["error"],
        "skipped": 0,
    }
    name = {"name": _xml(judged.path.as_posix())}
    suite = Element("testsuite", {**name, **{key: str(number) for key, number in counts.items()}})
    suite.extend(cases)
    notes = [f"{_located(judged, one)}\n" for one in judged.found if one.level == "note"]
    if notes:
        SubElement(suite, "system-out").text = _xml("".join(notes))
    return suite


def _cases(judged: Judged) -> Iterator["Element"]:
    """Yield the cases subject by subject, in the order of the file; no two have the same name."""
    from xml.etree.ElementTree import Element

    place = {subject: at for at, subject in enumerate(judged.subjects)}
    seen: Counter[tuple[str, str]] = Counter()
    every: list[tuple[str, str, Found | None]] = [
        *((one.subject, one.check, one) for one in judged.found if one.level != "note"),
        *((subject, check, None) for subject, check in judged.held),
    ]
    for subject, check, one in sorted(every, key=lambda one: place.get(one[0], len(place))):
        seen[subject, check] += 1
        nth = seen[subject, check]
        name = f"{check} ({nth})" if nth > 1 else check
        case = Element("testcase", classname=_xml(subject), name=_xml(name))
        if one is not None:
            case.append(_outcome(judged, one))
        yield case


def _outcome(judged: Judged, one: Found) -> "Element":
    from xml.etree.ElementTree import Element

    if one.level == "warn":
        outcome = Element("system-out")
    else:
        tag = "failure" if one.is_violation else "error"
        outcome = Element(tag, type=one.rule, message=_xml(one.sentence))
    outcome.text = _xml(_located(judged, one))
    return outcome


def _located(judged: Judged, one: Found) -> str:
    return f"{judged.path.as_posix()}:{one.line}:{one.column}: {one.text}"


def _xml(text: str) -> str:
    return _printable(text).replace("\r\n", "\n").replace("\r", "\n")


# -- SARIF


def sarif(said: Said, view: View) -> str:
    """Return a SARIF 2.1.0 log; every result is located at the line that it is about.

    Source:
        OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
    """
    judged = _judged(said)
    schema = {"$schema": SARIF_SCHEMA} if judged else {}
    runs = [_run(one) for one in judged]
    return json_text({**schema, "version": SARIF_VERSION, "runs": runs})


def _run(judged: Judged) -> dict[str, Any]:
    from dscost import __version__

    rules = [_sarif_rule(key, rule) for key, rule in judged.rules.items()]
    return {
        "tool": {"driver": {"name": "dscost", "version": __version__, "rules": rules}},
        "invocations": [
            {"executionSuccessful": judged.exit_code != 2, "exitCode": judged.exit_code}
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(judged, one) for one in judged.found],
    }


def _sarif_rule(key: str, rule: Rule) -> dict[str, Any]:
    return {
        "id": key,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
    }


def _sarif_result(judged: Judged, one: Found) -> dict[str, Any]:
    place = {
        "artifactLocation": _artifact(judged.path),
        "region": {"startLine": one.line, "startColumn": one.column},
    }
    # GitHub tells alerts apart by the second alone, and would else make one of all that a line of
    # a matrix breaks
    fingerprints = {
        "dscost/v1": one.fingerprint,
        "primaryLocationLineHash": f"{one.fingerprint[:16]}:1",
    }
    return {
        "ruleId": one.rule,
        "ruleIndex": list(judged.rules).index(one.rule),
        "level": _SARIF_LEVELS[one.level],
        "message": {"text": _printable(one.text).replace("](", "] (")},  # which would be a link
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": fingerprints,
    }


def _artifact(path: Path) -> dict[str, str]:
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(fsencode(path.as_posix())), "uriBaseId": "%SRCROOT%"}


def _printable(text: str) -> str:
    """Return the text as every format here shows it; line ends are left to the escapes of the format."""
    return "\r".join(map(printable, text.split("\r")))
