"""Several budgets, judged in one run: what each says alone, put together as its format allows."""

import json
from collections.abc import Callable, Sequence

from dscost.budgets.judging import CheckResult
from dscost.errors import DscostError
from dscost.registries import Registry
from dscost.rendering.ci import github_failure
from dscost.pages.page import View
from dscost.rendering.printable import json_text
from dscost.pages.verdicts import VERDICT_RENDERERS

Verdict = CheckResult | DscostError
"""What a budget says, or why it could not be judged."""

SEVERAL_RENDERERS: Registry[Callable[[Sequence[Verdict], View], str]] = Registry(
    "format of several budgets", "several_renderers"
)
"""Formats of `dscost check A B`, from what all of them say and a view to text."""


def _each(name: str, verdicts: Sequence[Verdict], view: View) -> list[str]:
    """Return what each budget says that could be judged."""
    return [VERDICT_RENDERERS[name](one, view) for one in verdicts if isinstance(one, CheckResult)]


@SEVERAL_RENDERERS.register("table")
def _table(verdicts: Sequence[Verdict], view: View) -> str:
    return ("" if view.brief else "\n").join(_each("table", verdicts, view))


@SEVERAL_RENDERERS.register("markdown")
def _markdown(verdicts: Sequence[Verdict], view: View) -> str:
    return "\n".join(_each("markdown", verdicts, view))


@SEVERAL_RENDERERS.register("github")
def _github(verdicts: Sequence[Verdict], view: View) -> str:
    return "".join(
        github_failure(one)
        if isinstance(one, DscostError)
        else VERDICT_RENDERERS["github"](one, view)
        for one in verdicts
    )


@SEVERAL_RENDERERS.register("json")
def _json(verdicts: Sequence[Verdict], view: View) -> str:
    """Return the document of each under `budgets`; of one that could not be judged, why, under `error`."""
    documents = [
        {"error": str(one)}
        if isinstance(one, DscostError)
        else json.loads(VERDICT_RENDERERS["json"](one, view))
        for one in verdicts
    ]
    return json_text({"command": "check", "budgets": documents})


@SEVERAL_RENDERERS.register("gitlab")
def _gitlab(verdicts: Sequence[Verdict], view: View) -> str:
    return json_text(
        [finding for text in _each("gitlab", verdicts, view) for finding in json.loads(text)]
    )


@SEVERAL_RENDERERS.register("sarif")
def _sarif(verdicts: Sequence[Verdict], view: View) -> str:
    logs = [json.loads(text) for text in _each("sarif", verdicts, view)]
    head = logs[0] if logs else {"version": "2.1.0"}
    return json_text({**head, "runs": [run for log in logs for run in log["runs"]]})


@SEVERAL_RENDERERS.register("junit")
def _junit(verdicts: Sequence[Verdict], view: View) -> str:
    from xml.etree.ElementTree import Element, fromstring, indent, tostring

    suites = Element("testsuites")
    for text in _each("junit", verdicts, view):
        suites.extend(fromstring(text.encode()))
    indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(suites, encoding="unicode")}\n'
