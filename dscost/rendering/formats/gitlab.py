"""Code quality of GitLab."""

from typing import Any

from dscost.pages import Said, View
from dscost.pages.findings import Found, Judged
from dscost.rendering import register_renderer
from dscost.rendering.ci import judged_of, limited_at, printable_text
from dscost.rendering.json import json_text

_SEVERITIES = {"fail": "critical", "error": "major", "warn": "minor", "note": "info"}


@register_renderer("gitlab", meaning="A Code Quality report of GitLab.", says="findings")
def gitlab(said: Said, view: View) -> str:
    """Return a Code Quality report; its fingerprints stay the same while figures and lines change.

    Source:
        GitLab Docs, Code Quality, "Code Quality report format".
    """
    return json_text([_quality(judged, one) for judged in judged_of(said) for one in judged.found])


def _quality(judged: Judged, one: Found) -> dict[str, Any]:
    path, line = one.source or (judged.path, one.line)
    where = f" ({limited_at(judged, one)})" if one.source else ""
    return {
        "description": printable_text(" ".join(one.title.split()) + where),
        "check_name": one.rule,
        "fingerprint": one.fingerprint,
        "severity": _SEVERITIES[one.level],
        "location": {"path": path.as_posix(), "lines": {"begin": line}},
    }
