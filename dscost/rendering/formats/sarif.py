"""SARIF, for code scanning."""

from os import fsencode
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dscost.pages import Said, View
from dscost.pages.findings import Found, Judged, Rule
from dscost.rendering import register_renderer
from dscost.rendering.ci import judged_of, printable_text
from dscost.rendering.json import json_text

SARIF_VERSION = "2.1.0"
SARIF_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

_LEVELS = {"fail": "error", "error": "error", "warn": "warning", "note": "note"}


@register_renderer(
    "sarif", meaning="SARIF, as code scanning reads it.", endings=(".sarif",), says="findings"
)
def sarif(said: Said, view: View) -> str:
    """Return a SARIF 2.1.0 log; every result is located at the line that it is about.

    Source:
        OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
    """
    judged = judged_of(said)
    schema = {"$schema": SARIF_SCHEMA} if judged else {}
    runs = [_run(one) for one in judged]
    return json_text({**schema, "version": SARIF_VERSION, "runs": runs})


def _run(judged: Judged) -> dict[str, Any]:
    from dscost.version import __version__

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
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
    }


def _sarif_result(judged: Judged, one: Found) -> dict[str, Any]:
    asked = _location(judged.path, {"startLine": one.line, "startColumn": one.column})
    places: dict[str, Any] = {"locations": [asked]}
    if one.source:
        path, line = one.source
        text = {"message": {"text": "Where the budget asks for it."}}
        places = {
            "locations": [_location(path, {"startLine": line})],
            "relatedLocations": [{"id": 0, **asked, **text}],
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
        "level": _LEVELS[one.level],
        "message": {"text": printable_text(one.text).replace("](", "] (")},  # which would be a link
        **places,
        "partialFingerprints": fingerprints,
    }


def _location(path: Path, region: dict[str, int]) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _artifact(path), "region": region}}


def _artifact(path: Path) -> dict[str, str]:
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(fsencode(path.as_posix())), "uriBaseId": "%SRCROOT%"}
