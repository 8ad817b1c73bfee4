"""The formats that CI reads, held against the schemas in `tests/data/schemas` and against readers of our own."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from program import run, start
from properties import law

import dscost
from dscost.budgets.findings import (
    CheckResult,
    Contribution,
    Finding,
    Passed,
    Ratio,
    Subject,
    SuggestedFix,
)
from dscost.budgets.records import Entry, Exclusion
from dscost.budgets.selectors import parse_selector
from dscost.errors import FileProblems, InputError, Problem
from dscost.pages.finding_words import finding_sentence
from dscost.pages.rules import RULES
from dscost.pages.verdict_data import fingerprints
from dscost.rendering import View, render
from dscost.rendering.formats.github import MOST_ANNOTATIONS
from dscost.schemas import schema

SCHEMAS = Path(__file__).parent / "data" / "schemas"
FORMATS = ("json", "github", "gitlab", "junit", "sarif")
NAME = 'ré"s%,%0A%2Cnet:\n::error::x\r <&>\x1b[31m\x00 ](y)'
"""A name that tries to break out of every format."""

MODEL = dscost.analyze("mobilenet_v3_small")


@pytest.fixture(scope="module", autouse=True)
def _outside_any_repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("outside"))
    yield
    os.chdir(before)


def entry(name: str) -> Entry:
    return Entry(name, "mobilenet_v3_small")


def over(name: str = "net", value: int = 601, **more: Any) -> Finding:
    figures: dict[str, Any] = {"metric": "macs", "value": Fraction(value), "limit": Fraction(600)}
    return Finding("over_max", "error", name, 8, 13)._replace(**{**figures, **more})


def result(
    *findings: Finding, passed: tuple[Passed, ...] = (), path: str = "dscost.yaml", **more: Any
) -> CheckResult:
    names = dict.fromkeys(one.entry for one in (*findings, *passed))
    gone = {one.entry for one in findings if one.kind == "unloadable_model"}
    subjects = tuple(Subject(entry(name), None if name in gone else MODEL) for name in names)
    return CheckResult(Path(path), findings, passed, subjects, **more)


def rendered(format_name: str, of: CheckResult) -> str:
    return render(of, format_name, View())


def parsed(format_name: str, of: CheckResult) -> Any:
    return json.loads(rendered(format_name, of))


def results_of(of: CheckResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed("sarif", of)["runs"][0]["results"]
    return found


def suite_of(of: CheckResult) -> ElementTree.Element:
    suite = ElementTree.fromstring(rendered("junit", of).encode()).find("testsuite")
    assert suite is not None
    return suite


MEASURED = Ratio(
    *map(Fraction, ("1.125", "1.0625", "1.25", "0.03")), "net over old net", "ncnn 1.0", 1, runs=2
)
SLOWER = Finding("grew", "warn", "net", 9, 5)._replace(
    metric="latency_ratio",
    value=MEASURED.value,
    limit=Fraction(21, 20),
    before=Fraction(1),
    measured=MEASURED,
)
GREW = over(kind="grew", value=Fraction(330), limit=Fraction(303), before=Fraction(300))
ONE_OF_EACH = tuple(
    finding._replace(line=at)
    for at, finding in enumerate(
        (
            over(
                contributions=(Contribution("a", Fraction(2), None),),
                suggested_fix=SuggestedFix(("a", "b"), Fraction(3)),
            ),
            over(kind="under_min", value=Fraction(599)),
            GREW,
            over(kind="shrank", value=Fraction(1), limit=Fraction(2), before=Fraction(3)),
            over(kind="new_cost", limit=Fraction(0), before=Fraction(0)),
            SLOWER._replace(kind="undecided", level="note", before=None),
            Finding("unmatched_rule", "error", "net", 1, 1, layer="aux.*"),
            Finding("missing_baseline", "warn", "net", 1, 1),
            Finding("stale_baseline", "warn", "old net", 1, 1),
            Finding("not_comparable", "warn", "net", 1, 1, detail="input was 1, is 2"),
            Finding("unknown_cost", "error", "net", 1, 1, detail="aten::fft"),
            Finding("unseen_work", "error", "net", 1, 1, detail="Not seen: 5 parameters of c."),
            Finding("value_dependent", "warn", "net", 1, 1, detail="The model looks at values."),
            Finding("unused_weights", "warn", "net", 1, 1, detail="Never used: 5 parameters of c."),
            Finding("other_doubt", "warn", "net", 1, 1, detail="Something."),
            Finding("unknown_figure", "error", "net", 1, 1, "peak_activation_bytes"),
            Finding("unloadable_model", "fail", "gone", 1, 1, detail="unknown model 'gone'"),
            Finding(
                "inexact_exclusion", "note", "net", 1, 1, detail="latency_s of the whole model"
            ),
            Finding(
                "improvement", "note", "net", 1, 1, "params", value=Fraction(1), before=Fraction(2)
            ),
        ),
        start=1,
    )
)
LEFT = Passed("net", "params", "max", Fraction(5), Fraction(7))
RESULTS = {
    "nothing": result(),
    "all pass": result(passed=(LEFT,)),
    "one of each kind": result(*ONE_OF_EACH, passed=(LEFT,)),
    "one of each kind, strict": result(*ONE_OF_EACH, passed=(LEFT,), strict=True),
    "25 violations": result(*(over(f"net{at}", 601 + at) for at in range(25))),
    "names that break out": result(
        over(
            NAME,
            layer=NAME,
            detail=NAME,
            contributions=(Contribution(NAME, Fraction(2), Fraction(1)),),
        ),
        Finding("unloadable_model", "fail", f"2 {NAME}", 3, 3, detail=NAME),
        passed=(Passed(NAME, "params", "max", Fraction(5), Fraction(7), NAME),),
        path="bud,get: %\x07 ü.yaml",
    ),
    "a ratio of latencies": result(
        SLOWER,
        passed=(Passed("net", "speedup", "min", Fraction(4), Fraction(3), measured=MEASURED),),
    ),
    "fractions": result(over(metric="flops_per_byte", value=Fraction(7, 3), limit=Fraction(5, 2))),
    "a path that is not text": result(over(), path=os.fsdecode(b"b\xff.yaml")),
}
every_result = pytest.mark.parametrize("of", RESULTS.values(), ids=RESULTS)


def test_one_of_each_kind_is_one_of_each_kind() -> None:
    documented = (Finding.__doc__ or "").split("level:")[0].split("kind:")[1]
    kinds = re.findall(r"`(\w+)`", documented)
    assert [finding.kind for finding in ONE_OF_EACH] == list(RULES)
    assert sorted(kinds) == sorted(RULES)


# -- every format


@every_result
@pytest.mark.parametrize("format_name", FORMATS)
def test_no_format_changes_because_an_environment_variable_is_set(
    format_name: str, of: CheckResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rendered(format_name, of)
    for name in (
        "CI",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "FORCE_COLOR",
        "NO_COLOR",
        "JENKINS_URL",
        "DSCOST_DEBUG",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("GITHUB_WORKSPACE", "/")
    monkeypatch.setenv("CI_PROJECT_DIR", "/")
    monkeypatch.setenv("TERM", "dumb")
    assert rendered(format_name, of) == before


@every_result
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_is_utf_8_and_ends_its_last_line(format_name: str, of: CheckResult) -> None:
    text = rendered(format_name, of)
    text.encode("utf-8")
    assert text.endswith("\n")


@pytest.mark.parametrize(
    ("cwd", "path", "shown"),
    [
        (".", "dscost.yaml", "dscost.yaml"),
        (".", "./models/../models/dscost.yaml", "models/dscost.yaml"),
        ("models", "dscost.yaml", "models/dscost.yaml"),
        ("models", "../dscost.yaml", "dscost.yaml"),
        ("models", "{root}/dscost.yaml", "dscost.yaml"),
        ("models", "{root}/link/dscost.yaml", "link/dscost.yaml"),
        (".", "{root}/../way/dscost.yaml", "dscost.yaml"),
        (".", "../elsewhere/dscost.yaml", "{root}/../elsewhere/dscost.yaml"),
    ],
)
def test_places_are_below_the_repository(
    cwd: str, path: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "repository"
    (root / "models").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "link").symlink_to(tmp_path)
    (tmp_path / "way").symlink_to(root)
    monkeypatch.chdir(root / cwd)
    of = result(over(), path=path.format(root=root))
    expected = os.path.normpath(shown.format(root=root))
    assert parsed("json", of)["budget"] == expected
    assert parsed("gitlab", of)[0]["location"]["path"] == expected
    assert commands(rendered("github", of))[0].properties["file"] == expected
    assert suite_of(of).get("name") == expected
    artifact = results_of(of)[0]["locations"][0]["physicalLocation"]["artifactLocation"]
    absolute = Path(expected).is_absolute()
    assert artifact == (
        {"uri": f"file://{expected}"} if absolute else {"uri": expected, "uriBaseId": "%SRCROOT%"}
    )


def test_outside_a_repository_places_are_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed("json", result(path=f"{tmp_path}/a/b.yaml"))["budget"] == "a/b.yaml"


# -- JSON


@every_result
def test_json_keeps_its_schema_and_that_of_reports(of: CheckResult) -> None:
    document = parsed("json", of)
    jsonschema.Draft7Validator(json.loads((SCHEMAS / "check.json").read_text())).validate(document)
    jsonschema.Draft7Validator(schema("report")).validate(document)
    assert document["exit_code"] == of.exit_code
    assert len(document["findings"]) == len(of.findings)


def test_json_counts_levels_and_keeps_what_was_counted() -> None:
    document = parsed("json", RESULTS["one of each kind"])
    assert document["summary"] == {"fail": 1, "error": 9, "warn": 6, "note": 3, "passed": 1}
    # "gone" could not be loaded; a stale entry is made a subject here only so that it has a name
    model = json.loads(json.dumps(MODEL.to_dict()))
    assert document["subjects"] == [{"entry": "net", **model}, {"entry": "old net", **model}]
    assert document["passed"] == [
        {
            "entry": "net",
            "metric": "params",
            "bound": "max",
            "value": 5,
            "limit": 7,
            "before": None,
            "layer": None,
            "note": None,
            "tolerance": 0,
            "measured": None,
            "exact": {},
        }
    ]


def test_json_has_every_field_of_a_finding_with_exact_figures() -> None:
    large = 2**53 + 1  # no float has it
    finding = over(value=Fraction(large), layer="a.b", detail="why", before=Fraction(1, 2))
    (found,) = parsed("json", result(finding))["findings"]
    fields = ["rescue" if name == "suggested_fix" else name for name in Finding._fields]
    assert list(found) == [*fields, "exact"]
    assert found["value"] == large
    assert (found["before"], found["limit"], found["exact"]) == (0.5, 600, {})
    assert type(found["value"]) is int


def test_json_writes_a_figure_that_no_float_is_as_a_fraction_too() -> None:
    (found,) = parsed("json", RESULTS["fractions"])["findings"]
    assert (found["value"], found["limit"], found["before"]) == (7 / 3, 2.5, None)
    assert found["exact"] == {"value": "7/3"}
    assert Fraction(found["exact"]["value"]) == Fraction(7, 3)


def test_json_says_of_a_figure_beyond_floats_what_it_is_exactly() -> None:
    (found,) = parsed("json", result(over(metric="flops_per_byte", value=Fraction(10**400, 3))))[
        "findings"
    ]
    assert found["value"] is None
    assert found["exact"] == {"value": f"{10**400}/3"}


# -- GitHub


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    message: str


def commands(text: str) -> list[Command]:
    """Return what the runner of GitHub takes for commands, read as it reads them (ActionCommand.cs)."""
    found = []
    for line in re.split("\r\n|\r|\n", text):
        if not line.lstrip().startswith("::"):
            assert "##[" not in line  # the older form, sought anywhere in a line
            continue
        head, message = line.lstrip()[2:].split("::", 1)
        name, _, given_properties = head.partition(" ")
        pairs = [pair.split("=", 1) for pair in given_properties.split(",")]
        found.append(
            Command(
                name, {key: unescaped(value, ":,") for key, value in pairs}, unescaped(message, "")
            )
        )
    return found


def unescaped(text: str, more: str) -> str:
    for character in f"\r\n{more}%":
        text = text.replace(f"%{ord(character):02X}", character)
    return text


def test_github_annotates_a_finding_at_its_place() -> None:
    lines = rendered(
        "github", result(over(suggested_fix=SuggestedFix(("conv1",), Fraction(99))))
    ).splitlines()
    assert lines == [
        "::error file=dscost.yaml,line=8,col=13,title=net%3A Over the limit::net: 601 MACs, over the limit of 600 by 1."
        "%0Amaking conv1 depthwise-separable would bring it to 99 MACs, within the limit",
        "1 model, 0 limits hold, 1 over budget.",
    ]


def test_github_shows_the_ten_worst_of_25_and_sums_the_rest_up() -> None:
    warnings = [Finding("missing_baseline", "warn", "net0", 1, 1)]
    of = result(*warnings, *(over(f"net{at}", 601 + at) for at in range(25)))
    text = rendered("github", of)
    shown = commands(text)
    assert len(shown) == MOST_ANNOTATIONS == 10
    assert [one.message.split(":")[0] for one in shown] == [f"net{at}" for at in range(24, 14, -1)]
    assert text.splitlines()[-1] == (
        "25 models, 0 limits hold, 25 over budget, 1 warning. "
        "16 more are not annotated: 15 × over the limit, 1 × not in the baseline."
    )


def test_github_has_one_line_where_nothing_was_found() -> None:
    assert rendered("github", result(passed=(LEFT,))) == "1 model, 1 limit holds.\n"


def test_github_levels_follow_the_findings_worst_first() -> None:
    shown = commands(rendered("github", result(*reversed(ONE_OF_EACH[5:]))))
    assert [one.name for one in shown] == ["error"] * 5 + [
        "warning"
    ] * 5  # and the notices are counted
    assert shown[0].properties["title"] == "gone: Model cannot be loaded"


def test_new_cost_where_none_is_allowed_is_worse_than_any_growth() -> None:
    new = over("new", kind="new_cost", limit=Fraction(0), before=Fraction(0), value=Fraction(1))
    shown = commands(rendered("github", result(over("grown", 10**9), new)))
    assert [one.message.split(":")[0] for one in shown] == ["new", "grown"]


def test_no_name_breaks_out_of_an_annotation() -> None:
    of = RESULTS["names that break out"]
    unloaded, violation = commands(rendered("github", of))
    written_out = NAME.replace("\x1b", "\\x1b").replace("\x00", "\\x00")
    assert unloaded.message == f"2 {written_out}: {written_out}"
    assert violation.message.startswith(
        f"{written_out}: {written_out}: 601 MACs, over the limit of 600 by 1. "
    )
    assert violation.properties == {
        "file": "bud,get: %\\x07 ü.yaml",
        "line": "8",
        "col": "13",
        "title": f"{written_out}: Over the limit",
    }


# -- GitLab


@every_result
def test_gitlab_keeps_the_documented_format(of: CheckResult) -> None:
    issues = parsed("gitlab", of)
    jsonschema.Draft7Validator(
        json.loads((SCHEMAS / "gitlab-code-quality.json").read_text())
    ).validate(issues)
    assert [issue["check_name"] for issue in issues] == [finding.kind for finding in of.findings]
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


def test_gitlab_severities_follow_the_levels() -> None:
    severities = Counter(
        issue["severity"] for issue in parsed("gitlab", RESULTS["one of each kind"])
    )
    assert severities == {"critical": 1, "major": 9, "minor": 6, "info": 3}
    (issue,) = parsed("gitlab", result(over(detail="two\nlines")))
    assert issue["location"] == {"path": "dscost.yaml", "lines": {"begin": 8}}
    assert issue["description"] == "net: 601 MACs, over the limit of 600 by 1. two lines"


def test_fingerprints_stay_while_figures_lines_and_words_change() -> None:
    elsewhere = over(
        value=Fraction(700), limit=Fraction(650), line=99, column=2, detail="text", level="warn"
    )
    assert fingerprints(result(over())) == fingerprints(result(elsewhere))
    # also from one release to the next: every open alert would be closed and opened anew
    assert fingerprints(result(over())) == [
        "c6ac89c0a2c1df016739640a49efca57a4337725d36b9137bc5efb78f662911a"
    ]


@pytest.mark.parametrize(
    "other",
    [
        over("net2"),
        over(metric="params"),
        over(layer="conv1"),
        over(kind="grew", before=Fraction(1)),
        over(line=9),  # the same limit twice, such as a layer that two rules hold
    ],
    ids=["entry", "metric", "layer", "kind", "again"],
)
def test_fingerprints_tell_findings_apart(other: Finding) -> None:
    first, second = fingerprints(result(over(), other))
    assert first != second
    assert fingerprints(result(over()))[0] == first


def test_fingerprints_do_not_confuse_where_one_name_ends_and_the_next_begins() -> None:
    assert (
        len(
            set(
                fingerprints(
                    result(over("a", layer='b"'), over('a", "b', layer='"'), over("a", layer=None))
                )
            )
        )
        == 3
    )


# -- JUnit

JUNIT = xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")


@every_result
def test_junit_keeps_its_schema_and_counts_right(of: CheckResult) -> None:
    text = rendered("junit", of)
    JUNIT.validate(text.encode())
    suite = suite_of(of)
    found = {
        "tests": "testcase",
        "failures": "testcase/failure",
        "errors": "testcase/error",
        "skipped": ".//skipped",
    }
    assert {name: int(suite.get(name, "")) for name in found} == {
        name: len(suite.findall(path)) for name, path in found.items()
    }
    assert len(suite.findall("testcase")) == len(of.findings) - of.count_of("note") + len(of.passed)
    names = [(case.get("classname"), case.get("name")) for case in suite.findall("testcase")]
    assert len(set(names)) == len(names)


def outcomes(of: CheckResult) -> list[tuple[str | None, str]]:
    return [
        (case.get("name"), case[0].tag if len(case) else "passed")
        for case in suite_of(of).findall("testcase")
    ]


def test_junit_has_a_case_for_every_limit() -> None:
    assert outcomes(RESULTS["one of each kind"]) == [
        ("macs max", "failure"),
        ("macs min", "failure"),
        ("macs max_increase", "failure"),
        ("macs max_decrease", "failure"),
        ("macs max_increase (2)", "failure"),
        ("unmatched rule of aux.*", "error"),
        ("missing baseline", "system-out"),
        ("not comparable", "system-out"),
        ("unknown cost", "error"),
        ("unseen work", "error"),
        ("value dependent", "system-out"),
        ("unused weights", "system-out"),
        ("other doubt", "system-out"),
        ("peak_activation_bytes unknown figure", "error"),
        ("params max", "passed"),
        ("stale baseline", "system-out"),
        ("unloadable model", "error"),
    ]


def test_notes_are_no_tests_but_the_output_of_the_suite() -> None:
    of = RESULTS["one of each kind"]
    notes = [finding for finding in of.findings if finding.level == "note"]
    said = (suite_of(of).findtext("system-out") or "").splitlines()
    assert len(said) == len(notes) == 3
    assert all(finding_sentence(note) in line for note, line in zip(notes, said, strict=True))
    assert suite_of(RESULTS["all pass"]).find("system-out") is None


def test_a_limit_is_the_same_case_whether_it_holds_or_not() -> None:
    held = Passed("net", "macs", "max", Fraction(600), Fraction(600), "conv1")
    ((name, _),) = outcomes(result(passed=(held,)))
    assert outcomes(result(over(layer="conv1"))) == [(name, "failure")]


def test_junit_says_why_a_case_failed() -> None:
    (failure,) = suite_of(
        result(over(contributions=(Contribution("conv1", Fraction(9), Fraction(4)),)))
    ).iter("failure")
    assert failure.get("type") == "over_max"
    assert failure.get("message") == "601 MACs, over the limit of 600 by 1."
    assert (failure.text or "").splitlines() == [
        "dscost.yaml:8:13: net: 601 MACs, over the limit of 600 by 1.",
        "grew most: conv1 (4 → 9, +125.00 %)",
    ]


@pytest.mark.parametrize(("strict", "outcome"), [(False, "system-out"), (True, "failure")])
def test_a_warning_fails_no_case_unless_warnings_are_errors(strict: bool, outcome: str) -> None:
    of = result(over(level="warn"), strict=strict)
    assert outcomes(of) == [("macs max", outcome)]
    assert of.exit_code == int(strict)


def test_strict_makes_an_error_of_a_warning_in_every_format_and_leaves_notes() -> None:
    of = result(over(level="warn"), ONE_OF_EACH[-1], strict=True)
    assert [one.name for one in commands(rendered("github", of))] == ["error", "notice"]
    assert [one["severity"] for one in parsed("gitlab", of)] == ["major", "info"]
    assert [one["level"] for one in results_of(of)] == ["error", "note"]
    assert (
        parsed("json", of)["findings"][0]["level"] == "warn"
    )  # as the budget has it; `strict` stands beside it


def test_no_name_breaks_out_of_xml() -> None:
    case, held, unloaded = suite_of(RESULTS["names that break out"])
    written_out = NAME.replace("\x1b", "\\x1b").replace("\x00", "\\x00").replace("\r", "\n")
    assert (case.get("classname"), case.get("name")) == (written_out, f"macs max of {written_out}")
    assert (held.get("classname"), held.get("name")) == (
        written_out,
        f"params max of {written_out}",
    )
    assert unloaded[0].get("message") == written_out


# -- SARIF

SARIF = jsonschema.Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0-rtm.4.json").read_text()))


@every_result
def test_sarif_keeps_the_published_schema(of: CheckResult) -> None:
    SARIF.validate(parsed("sarif", of))


@every_result
def test_every_sarif_result_has_a_place_a_rule_and_its_own_fingerprint(of: CheckResult) -> None:
    (run,) = parsed("sarif", of)["runs"]
    rules = run["tool"]["driver"]["rules"]
    for found, finding in zip(run["results"], of.findings, strict=True):
        (location,) = found["locations"]
        place = location["physicalLocation"]
        assert place["region"] == {"startLine": finding.line, "startColumn": finding.column}
        uri = place["artifactLocation"]["uri"]
        assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+", uri)
        assert (urlsplit(uri).scheme, urlsplit(uri).query, urlsplit(uri).path) == ("", "", uri)
        assert os.fsencode(unquote(uri, errors="surrogateescape")) == bytes(of.path)
        assert rules[found["ruleIndex"]]["id"] == found["ruleId"] == finding.kind
    for key in ("dscost/v1", "primaryLocationLineHash"):
        assert len({found["partialFingerprints"][key] for found in run["results"]}) == len(
            of.findings
        )
    assert run["invocations"] == [
        {"executionSuccessful": of.exit_code != 2, "exitCode": of.exit_code}
    ]


def test_sarif_explains_every_rule() -> None:
    rules = parsed("sarif", result())["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for rule in rules:
        for text in ("shortDescription", "fullDescription", "help"):
            assert rule[text]["text"].endswith(".")


def test_sarif_levels_follow_the_findings() -> None:
    levels = Counter(one["level"] for one in results_of(RESULTS["one of each kind"]))
    assert levels == {"error": 10, "warning": 6, "note": 3}


def test_sarif_fingerprints_are_those_of_gitlab() -> None:
    of = RESULTS["one of each kind"]
    theirs = [issue["fingerprint"] for issue in parsed("gitlab", of)]
    assert [one["partialFingerprints"]["dscost/v1"] for one in results_of(of)] == theirs


def test_no_name_makes_a_link_of_a_sarif_message() -> None:
    for found in results_of(RESULTS["names that break out"]):
        assert not re.search(r"\[[^\]]*\]\(", found["message"]["text"])


# -- any name at all


@given(st.text(), st.text(), st.text())
@law
def test_any_name_and_message_can_be_read_back(name: str, layer: str, detail: str) -> None:
    of = result(
        over(name, layer=layer, detail=detail), over(f"{name}2", layer=detail, level="note")
    )
    of = of._replace(subjects=())
    assert len(commands(rendered("github", of))) == 2
    assert len(rendered("github", of).splitlines()) == 3
    assert len(suite_of(of)) == 2
    assert [one["entry"] for one in parsed("json", of)["findings"]] == [name, f"{name}2"]
    assert len(parsed("gitlab", of)) == len(results_of(of)) == 2


# -- figures that decide


@pytest.mark.parametrize(
    ("metric", "value", "limit", "said"),
    [
        (
            "macs",
            Fraction(1_000_001),
            Fraction(1_000_000),
            "1,000,001 MACs, over the limit of 1,000,000 by 1.",
        ),
        (
            "flops_per_byte",
            Fraction(29_999_999, 10**7),
            Fraction(5, 2),
            "3 FLOP/byte, over the limit of 2.5 by 0.5.",
        ),
        (
            "flops_per_byte",
            Fraction(25_000_000_004, 10**10),
            Fraction(5, 2),
            "2.5000000004 FLOP/byte, over the limit of 2.5 by 4e-10.",
        ),
        (
            "latency_s",
            Fraction(12_001, 10**6),
            Fraction(12, 10**3),
            "latency of 0.012001 s, over the limit of 0.012 s by 1.00 µs.",
        ),
        (
            "latency_s",
            Fraction(3),
            Fraction(1),
            "latency of 3.00 s, over the limit of 1.00 s by 2.00 s.",
        ),
        (
            "flops_per_byte",
            Fraction(10**30 + 1, 10**30),
            Fraction(1),
            f"{10**30 + 1}/{10**30} FLOP/byte, over the limit of 1 by 1e-30.",
        ),
    ],
)
def test_a_violated_limit_never_looks_kept(
    metric: str, value: Fraction, limit: Fraction, said: str
) -> None:
    assert finding_sentence(over(metric=metric, value=value, limit=limit)) == said


@pytest.mark.parametrize(
    ("width", "limit_shown"), [(100, True), (80, True), (60, True), (36, True)]
)
def test_on_a_terminal_long_names_give_way_to_the_limit(width: int, limit_shown: bool) -> None:
    of = result(
        over(
            "a_model_of_a_long_name" * 4,
            value=600_000_001,
            limit=Fraction(600_000_000),
            layer="stem." * 20,
        )
    )
    table = render(of, "table", View(width=width)).split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= width
    assert "600,000,001" in table
    assert ("600,000,000" in table) is limit_shown
    assert "a_model_of_a_long_name" * 4 in render(of, "table", View())


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("layer", ["stem." * 20, "s"], ids=["both long", "the second is short"])
def test_on_a_terminal_two_long_names_share_the_room(layer: str, width: int) -> None:
    of = result(over("a_model_of_a_long_name" * 4, layer=layer))
    table = render(of, "table", View(width=width)).split("\n\n")[1]
    first, second = re.split("  +", table.splitlines()[2].strip())[:2]
    if layer == "s":
        assert second.endswith("s")
        assert len(first) > 2 * len(second)
    else:
        assert abs(len(first) - len(second)) <= 1
    assert len(table.splitlines()[2].rstrip()) >= width - 3  # hardly anything is left empty


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_terminal_limits_stay_and_rules_can_be_told_apart(width: int) -> None:
    note = "no layer matches; 1 convolution of type MyConv left out: op:convolution means all"
    rules = [f"type:{kind}2d[groups=1,kernel>3]" for kind in ("Conv", "ConvTranspose")]
    of = result(
        passed=tuple(
            Passed("net", "macs", "max", Fraction(0), Fraction(1_000_000_000), name, note)
            for name in rules
        )
    )
    text = render(of, "table", View(width=width, verbose=True))
    table = text.split("\n\n")[1]
    assert max(map(len, text.splitlines())) <= width
    assert table.count("1,000,000,000") == 2
    start = table.splitlines()[0].index("now")
    rows = "\n".join(line[: start - 1] for line in table.splitlines()[2:])
    letters = ["".join(row.split()) for row in rows.split("net")[1:]]
    assert len(set(letters)) == 2
    assert " ".join(text.split()).count(note) == 2


def test_a_reason_of_several_lines_stays_in_its_line() -> None:
    entry = Entry(
        "net", "resnet18", exclude=(Exclusion(parse_selector("fc"), "for\n  training", (1, 1)),)
    )
    result = CheckResult(Path("b.yaml"), (), (), (Subject(entry, MODEL),))
    text = render(result, "table", View())
    assert "net: without fc (for training)" in text.splitlines()


# -- where nothing could be judged


def test_every_mistake_of_a_file_is_an_annotation_up_to_ten() -> None:
    problems = [Problem(at, 2 * at, f"wrong {NAME}") for at in range(1, 13)]
    *lines, rest = render(FileProblems("a,b:c.yaml", problems), "github", View()).splitlines()
    assert rest == "2 more are not annotated."
    for at, (name, properties, data) in enumerate(commands("\n".join(lines)), 1):
        assert name == "error"
        assert (properties["file"], properties["line"], properties["col"]) == (
            "a,b:c.yaml",
            str(at),
            str(2 * at),
        )
        assert data.startswith("wrong ")
    assert len(lines) == MOST_ANNOTATIONS == 10


def test_what_has_no_place_in_a_file_is_annotated_without_one() -> None:
    ((name, properties, data),) = commands(
        render(InputError("no\n::error::100%"), "github", View())
    )
    assert (name, set(properties), data) == ("error", {"title"}, "no\n::error::100%")


# -- the command line

BUDGET = f"""\
version: 1
models:
  - name: {json.dumps(NAME.replace(chr(0), ""))}
    target: mobilenet_v3_small
    matrix: {{resolution: [160, 224]}}
    limits:
      params: 1M
      flops_per_byte: {{max: 0.3, level: warn}}
      weight_bytes: 17 MiB
    layers:
      - {{match: "aux.*", each: {{macs: 1}}}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "budget.yaml").write_text(BUDGET, encoding="utf-8")
    return tmp_path


def test_the_command_line_writes_every_format_at_once(repository: Path) -> None:
    exports = [f"--export={name}=out.{name}" for name in FORMATS]
    ran = run("check", "models/budget.yaml", "--format", "sarif", *exports, cwd=repository)
    assert ran.returncode == 1
    files = {name: (repository / f"out.{name}").read_text(encoding="utf-8") for name in FORMATS}
    assert ran.stdout == files["sarif"]
    SARIF.validate(json.loads(files["sarif"]))
    JUNIT.validate(files["junit"].encode())
    assert len(commands(files["github"])) == len(json.loads(files["gitlab"])) == 6
    jsonschema.Draft7Validator(json.loads((SCHEMAS / "check.json").read_text())).validate(
        json.loads(files["json"])
    )
    places = {
        (one["ruleId"], *one["locations"][0]["physicalLocation"]["region"].values())
        for one in json.loads(files["sarif"])["runs"][0]["results"]
    }
    lines = BUDGET.splitlines()
    assert places == {
        ("over_max", 7, lines[6].index("params") + 1),
        ("over_max", 8, lines[7].index("max") + 1),
        ("unmatched_rule", 11, lines[10].index("{") + 1),
    }
    assert json.loads(files["gitlab"])[0]["location"]["path"] == "models/budget.yaml"


def test_an_output_file_has_the_format_that_was_asked_for(repository: Path) -> None:
    ran = run("check", "models/budget.yaml", "--format", "sarif", "-o", "x.sarif", cwd=repository)
    assert (ran.returncode, ran.stdout) == (1, "")
    SARIF.validate(json.loads((repository / "x.sarif").read_text(encoding="utf-8")))


@pytest.mark.parametrize("format_name", FORMATS)
def test_two_runs_say_the_same_wherever_they_run(format_name: str, repository: Path) -> None:
    arguments = (
        "check",
        "--config",
        str(repository / "models" / "budget.yaml"),
        "--format",
        format_name,
    )
    plain = start(*arguments, cwd=repository, env={"PYTHONHASHSEED": "1"})
    actions = {
        "PYTHONHASHSEED": "2",
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITLAB_CI": "true",
        "FORCE_COLOR": "1",
        "COLUMNS": "20",
    }
    other = start(*arguments, cwd=repository / "models", env=actions)
    assert plain.stdout == other.stdout
    assert plain.returncode == other.returncode == 1


@pytest.mark.parametrize(
    "more", [["--format=github"], ["--format=github", "-o", "out"], ["--export=github=out"]]
)
def test_a_broken_budget_is_annotated_wherever_annotations_are_written(
    more: list[str], repository: Path
) -> None:
    (repository / "models" / "b.yaml").write_text("version: 1\nmodels: 3\n", encoding="utf-8")
    ran = run("check", "b.yaml", *more, cwd=repository / "models")
    assert ran.returncode == 2
    assert ran.stderr.startswith("b.yaml:2:9: ")
    out = repository / "models" / "out"
    assert (ran.stdout == "") is out.exists()
    text = ran.stdout or out.read_text(encoding="utf-8")
    ((name, properties, data),) = commands(text)
    assert (name, properties["file"], properties["line"], properties["col"]) == (
        "error",
        "models/b.yaml",
        "2",
        "9",
    )
    assert ran.stderr == f"b.yaml:2:9: {data}\n"


def test_other_formats_say_nothing_of_a_broken_budget_but_on_stderr(repository: Path) -> None:
    (repository / "b.yaml").write_text("version: 1\nmodels: 3\n", encoding="utf-8")
    assert run("check", "b.yaml", "--format", "sarif", cwd=repository).stdout == ""


def test_a_model_that_cannot_be_loaded_exits_2_and_is_an_error_in_every_format(
    repository: Path,
) -> None:
    (repository / "b.yaml").write_text(
        "version: 1\nmodels:\n  - target: nothing_like_that\n", encoding="utf-8"
    )
    exports = [f"--export={name}=out.{name}" for name in FORMATS[1:]]
    options = "--json", "--exit-zero", "--no-isolate"
    ran = run("check", "b.yaml", *options, *exports, cwd=repository)
    assert ran.returncode == json.loads(ran.stdout)["exit_code"] == 2
    assert json.loads(ran.stdout)["subjects"] == []
    (shown,) = commands((repository / "out.github").read_text(encoding="utf-8"))
    assert (shown.name, shown.properties["line"], shown.properties["col"]) == ("error", "3", "5")
    run_ = json.loads((repository / "out.sarif").read_text(encoding="utf-8"))["runs"][0]
    assert (run_["results"][0]["level"], run_["invocations"][0]["executionSuccessful"]) == (
        "error",
        False,
    )
    assert 'errors="1"' in (repository / "out.junit").read_text(encoding="utf-8")
