"""Annotations of GitHub Actions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dscost.pages import Said, View
from dscost.pages.findings import Found, Judged, NotJudged
from dscost.rendering import register_renderer
from dscost.rendering.ci import all_of, limited_at, printable_text

MOST_ANNOTATIONS = 10
"""What GitHub shows of a step."""
FAILURE_TITLE = "dscost check could not judge"

_COMMANDS = {"fail": "error", "error": "error", "warn": "warning", "note": "notice"}


@register_renderer("github", meaning="Annotations of GitHub Actions.", says="findings")
def github(said: Said, view: View) -> str:
    """Return workflow commands that annotate a file, worst first, and a last line that sums up.

    At most `MOST_ANNOTATIONS` of a file are annotated; the last line counts the rest.

    Source:
        GitHub Docs, Workflow commands for GitHub Actions; escapes as in actions/toolkit,
        command.ts.
    """
    return "".join(
        _annotations(one) if isinstance(one, Judged) else _failure(one) for one in all_of(said)
    )


def _annotations(judged: Judged) -> str:
    found = sorted(judged.found, key=lambda one: one.gravity)
    lines = [_annotation(judged, one) for one in found[:MOST_ANNOTATIONS]]
    # figures only: what a user has named could be taken for a command here
    summary = judged.summary + _not_annotated(judged, found[MOST_ANNOTATIONS:])
    return "\n".join([*lines, summary]) + "\n"


def _annotation(judged: Judged, one: Found) -> str:
    title = one.with_subject(judged.rules[one.rule].title)
    place, text = _place(judged.path, one.line, one.column), one.text
    if one.source:  # which the pull request touches, where its reader looks
        path, line = one.source
        text = f"{text}\n{limited_at(judged, one)}"
        place = {"file": path.as_posix(), "line": str(line)}
    return _command(_COMMANDS[one.level], {**place, "title": title}, text)


def _place(path: Path, line: int, column: int) -> dict[str, str]:
    return {"file": path.as_posix(), "line": str(line), "col": str(column)}


def _command(name: str, properties: Mapping[str, str], text: str) -> str:
    said = ",".join(f"{key}={_escaped_property(value)}" for key, value in properties.items())
    return f"::{name} {said}::{_escaped_data(text)}"


def _not_annotated(judged: Judged, rest: Sequence[Found]) -> str:
    if not rest:
        return ""
    counted = Counter(judged.rules[one.rule].title for one in rest)
    kinds = (f"{number} × {title[0].lower()}{title[1:]}" for title, number in counted.items())
    return f" {len(rest)} more are not annotated: {', '.join(kinds)}."


def _failure(failed: NotJudged) -> str:
    """Return workflow commands that annotate why nothing could be judged, at its place if any."""
    shown, rest = failed.mistakes[:MOST_ANNOTATIONS], failed.mistakes[MOST_ANNOTATIONS:]
    lines = []
    for line, column, text in shown:
        place = {} if failed.path is None else _place(failed.path, line, column)
        lines.append(_command("error", {**place, "title": FAILURE_TITLE}, text))
    if rest:
        lines.append(f"{len(rest)} more are not annotated.")
    return "".join(f"{line}\n" for line in lines)


def _escaped_data(text: str) -> str:
    return printable_text(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped_data(text).replace(":", "%3A").replace(",", "%2C")
