"""The files by which others use dscost: the action, the hooks, the snippets, the example budget."""

import csv
import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import all_texts

import dscost
from dscost.budgets.reading import read_budget
from dscost.networks.architectures import builtin_names

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
CI = ROOT / "configs" / "ci"

BROKEN = "version: 1\nmodels:\n  - {target: resnet18, limits: {macs: %s}}\n"
WITHIN, OVER = BROKEN % "1_814_073_344", BROKEN % "1_814_073_343"
WARNED = BROKEN % "{max: 1G, level: warn}"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# -- the action

ACTION = loaded(ROOT / "action.yml")
STEPS = {step.get("id", "comment"): step for step in ACTION["runs"]["steps"] if "run" in step}
DEFAULTS = {name: str(one["default"]) for name, one in ACTION["inputs"].items()}


def test_no_script_of_the_action_has_an_expression_in_it() -> None:
    assert set(STEPS) == {"install", "check", "comment"}
    for step in STEPS.values():
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"


def test_every_input_of_the_action_is_used_and_every_used_one_exists() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(ACTION["inputs"])
    assert all(one["description"] for one in ACTION["inputs"].values())


class Runner:
    """Runs a step of the action as a runner does: bash -eo pipefail, inputs in the environment, files for results."""

    def __init__(self, folder: Path) -> None:
        self.work, self.temporary, self.bin = (folder / name for name in ("work", "temp", "bin"))
        for path in (self.work, self.temporary, self.bin):
            path.mkdir()
        self.summary, self.output = folder / "summary", folder / "output"

    def step(self, name: str, **given: str) -> "subprocess.CompletedProcess[str]":
        known = {f"inputs.{key}": value for key, value in (DEFAULTS | given).items()}
        known |= {"github.repository": "some/where", "github.event.pull_request.number": "7"}
        known |= {f"steps.check.outputs.{key}": value for key, value in self.outputs().items()}
        environment = {
            key: re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known.get(found[1], ""), value)
            for key, value in STEPS[name].get("env", {}).items()
        }
        path = os.pathsep.join([str(self.bin), str(BIN), os.environ["PATH"]])
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
            cwd=self.work,
            env={
                **os.environ,
                **environment,
                "PATH": path,
                "RUNNER_TEMP": str(self.temporary),
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_OUTPUT": str(self.output),
                "GITHUB_ACTION_PATH": str(ROOT),
                "CALLS": str(self.temporary / "calls"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        lines = self.output.read_text(encoding="utf-8").splitlines() if self.output.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def stub(self, name: str, script: str) -> None:
        """Put a program in front of all others that notes how it was called."""
        path = self.bin / name
        path.write_text(
            f'#!/bin/bash\nprintf "%s\\n" "$*" >> "$CALLS"\n{script}\n', encoding="utf-8"
        )
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self.temporary / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize(
    ("budget", "strict", "code"),
    [
        pytest.param(WITHIN, "false", 0, id="within"),
        pytest.param(OVER, "false", 1, id="over"),
        pytest.param(WARNED, "false", 0, id="warning"),
        pytest.param(WARNED, "true", 1, id="strict"),
        pytest.param("version: 2\n", "false", 2, id="wrong"),
    ],
)
def test_the_check_decides_how_the_action_ends_and_the_summary_is_always_written(
    runner: Runner, budget: str, strict: str, code: int
) -> None:
    (runner.work / "dscost.yaml").write_text(budget, encoding="utf-8")
    ran = runner.step("check", strict=strict)
    assert ran.returncode == code
    page = runner.temporary / "dscost-check.html"
    assert runner.outputs() == {
        "exit-code": str(code),
        "summary": str(runner.temporary / "dscost-check.md"),
        **({"page": str(page)} if code < 2 else {}),
    }
    assert page.exists() is (code < 2)
    assert code == 2 or "resnet18" in page.read_text(encoding="utf-8")
    summary = runner.summary.read_text(encoding="utf-8")
    if code == 2:
        assert "dscost check could not judge:" in summary
        assert "dscost.yaml:1:1: missing key 'models'" in summary
        assert "dscost.yaml:1:1: missing key 'models'" in ran.stdout
    else:
        assert "1,814,073,344" in summary
    assert ("error" in [name for name, _ in acted_on(ran.stdout)]) is (code > 0)
    assert (
        ran.stderr == ""
    )  # a runner reads both streams, in no order: what is fenced must be in one


@pytest.mark.parametrize(
    ("strict", "code"),
    [
        ("True", 1),
        ("TRUE", 1),
        ("False", 0),
        ("FALSE", 0),
        ("", 0),
        ("yes", 2),
        ("1", 2),
        ("a\n::warning::b%", 2),
    ],
)
def test_strict_is_spelled_as_yaml_has_it_or_refused(
    runner: Runner, strict: str, code: int
) -> None:
    (runner.work / "dscost.yaml").write_text(WARNED, encoding="utf-8")
    ran = runner.step("check", strict=strict)
    assert ran.returncode == code
    if code == 2:
        ((name, said),) = acted_on(ran.stdout)
        assert name == "error"
        assert said == f"dscost: input strict: expected true or false, found '{strict}'"
        assert runner.outputs()["exit-code"] == "2"
        assert "expected true or false" in runner.summary.read_text(encoding="utf-8")


def test_a_comment_that_is_neither_wanted_nor_not_is_refused(runner: Runner) -> None:
    (runner.work / "dscost.yaml").write_text(WITHIN, encoding="utf-8")
    ran = runner.step("check", comment="always")
    assert ran.returncode == 2
    assert acted_on(ran.stdout) == [
        ("error", "dscost: input comment: expected true or false, found 'always'")
    ]


def acted_on(log: str) -> list[tuple[str, str]]:
    """Return the commands that a runner acts on, unescaped, as actions/runner reads them: ActionCommand.cs."""
    found: list[tuple[str, str]] = []
    resume = None
    for line in log.splitlines():
        command = re.match(r"\s*::([\w-]+)(?: [^:]*)?::(.*)", line) or re.search(
            r"##\[([\w-]+)[^]]*\](.*)", line
        )
        if command is None:
            continue
        name, data = (
            command[1],
            command[2].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%"),
        )
        if resume is not None:
            resume = None if name == resume else resume
        elif name == "stop-commands":
            resume = data
        else:
            found.append((name, data))
    assert resume is None, "commands are not read again"
    return found


COMMAND = r"a\n::warning::pwned\n##[error]pwned\n::stop-commands::x"


@pytest.mark.parametrize(
    ("budget", "in_a_table"),
    [
        pytest.param(OVER.replace("target", f'name: "{COMMAND}", target'), [], id="name"),
        pytest.param(f'version: 1\nmodels:\n  - {{target: "{COMMAND}"}}\n', [], id="target"),
        pytest.param(
            f'version: 1\n"{COMMAND}": 1\nmodels:\n  - target: vgg16\n', ["error"], id="key"
        ),
    ],
)
def test_nothing_in_a_repository_is_a_command_of_the_runner(
    runner: Runner, budget: str, in_a_table: list[str]
) -> None:
    (runner.work / "dscost.yaml").write_text(budget, encoding="utf-8")
    for format_name, names in (("github", ["error"]), ("table", in_a_table)):
        log = runner.step("check", format=format_name).stdout
        assert "pwned" in log
        assert [name for name, _ in acted_on(log)] == names


def test_what_a_model_prints_is_no_command_of_the_runner(runner: Runner) -> None:
    runner.stub(
        "dscost", 'printf "::warning::pwned\\n##[error]pwned"; echo "::error::pwned" >&2; exit 0'
    )
    log = runner.step("check").stdout
    assert log.count("pwned") == 3 + 3  # in the log, and in why nothing was judged
    assert [name for name, _ in acted_on(log)] == ["error"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_process_that_ends_without_a_verdict_has_judged_nothing(
    runner: Runner, code: int
) -> None:
    runner.stub("dscost", f"echo Traceback; exit {code}")
    ran = runner.step("check")
    assert ran.returncode == 2
    assert "the process ended without a verdict" in ran.stdout


def test_what_ends_a_fence_cannot_be_guessed(runner: Runner) -> None:
    runner.stub("dscost", "echo something; exit 0")
    tokens = {
        re.findall(r"::stop-commands::([0-9a-f]{32})", runner.step("check").stdout)[0]
        for _ in range(3)
    }
    assert len(tokens) == 3


def test_mistakes_in_a_budget_are_annotated_where_they_are(runner: Runner) -> None:
    (runner.work / "dscost.yaml").write_text(WITHIN.replace("limits", "limts"), encoding="utf-8")
    ran = runner.step("check")
    assert ran.returncode == 2
    column = WITHIN.splitlines()[2].index("limits") + 1
    place = f"file=dscost.yaml,line=3,col={column},title=dscost check could not judge"
    assert f"::error {place}::unknown key 'limts' (did you mean 'limits'?)\n" in ran.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"format": "tabel"}, "dscost: unknown format 'tabel' (did you mean 'table'?)"),
        ({"budget": "gone.yaml", "format": "table"}, "dscost: cannot read gone.yaml"),
        ({"budget": "gone.yaml"}, "cannot read gone.yaml"),
    ],
)
def test_what_has_no_place_is_annotated_too(
    runner: Runner, given: dict[str, str], said: str
) -> None:
    ran = runner.step("check", **given)
    assert ran.returncode == 2
    ((name, text),) = acted_on(ran.stdout)
    assert name == "error"
    assert text.startswith(said)


def test_a_command_that_is_killed_is_annotated(runner: Runner) -> None:
    runner.stub("dscost", "echo 'out of 100% of memory'; exit 137")
    ran = runner.step("check")
    assert (ran.returncode, acted_on(ran.stdout)) == (137, [("error", "out of 100% of memory")])


def test_a_budget_that_is_missing_is_in_the_summary_too(runner: Runner) -> None:
    (runner.work / ".git").mkdir()
    assert runner.step("check").returncode == 2
    assert "no dscost.yaml here or above" in runner.summary.read_text(encoding="utf-8")


def test_several_budgets_are_one_a_line_and_the_worst_decides(runner: Runner) -> None:
    for name, text in (("a.yaml", WITHIN), ("b c.yaml", OVER)):
        (runner.work / name).write_text(text, encoding="utf-8")
    ran = runner.step("check", budget="a.yaml\nb c.yaml\n")
    assert ran.returncode == 1
    summary = runner.summary.read_text(encoding="utf-8")
    assert "### ✅ a.yaml\n" in summary
    assert "### ❌ b c.yaml\n" in summary
    assert "::error file=b c.yaml," in ran.stdout


@pytest.mark.parametrize(
    "name",
    ["$(touch pwned).yaml", "a; touch pwned;.yaml", "`touch pwned`.yaml", "--help", 'a".yaml'],
)
def test_what_an_input_says_is_never_run(runner: Runner, name: str) -> None:
    (runner.work / name).write_text(WITHIN, encoding="utf-8")
    assert runner.step("check", budget=name).returncode == 0
    for other in ("against", "format", "strict"):
        runner.step("check", budget=name, **{other: f"x'; touch pwned; $(touch pwned) {name}"})
    assert [path.name for path in runner.work.iterdir()] == [name]


def test_the_action_installs_itself_or_a_version(runner: Runner) -> None:
    runner.stub("python", "exit 0")
    assert runner.step("install").returncode == 0
    assert runner.step("install", version="0.1.0; touch pwned").returncode == 0
    assert runner.calls == [
        f"-m pip install --quiet --disable-pip-version-check {ROOT}[onnx,torch]",
        "-m pip install --quiet --disable-pip-version-check dscost[onnx,torch]==0.1.0; touch pwned",
    ]
    assert list(runner.work.iterdir()) == []


def commented(runner: Runner, gh: str) -> "subprocess.CompletedProcess[str]":
    (runner.work / "dscost.yaml").write_text(OVER, encoding="utf-8")
    runner.step("check")
    runner.stub("gh", gh)
    return runner.step("comment", token="secret")


def test_the_comment_is_made_once_and_then_kept_up_to_date(runner: Runner) -> None:
    assert commented(runner, "exit 0").returncode == 0
    asked, made = runner.calls
    assert asked.startswith("api --paginate repos/some/where/issues/7/comments")
    body = runner.temporary / "dscost-comment.md"
    assert (
        made
        == f"api --silent --method POST repos/some/where/issues/7/comments --field body=@{body}"
    )
    text = body.read_text(encoding="utf-8")
    assert text.startswith("<!-- dscost check -->\n")
    assert "over the limit of 1,814,073,343 by 1" in text
    runner.stub("gh", 'case "$*" in *--jq*) printf "12\\n34\\n";; esac')
    assert runner.step("comment").returncode == 0
    assert (
        runner.calls[-1]
        == f"api --silent --method PATCH repos/some/where/issues/comments/12 --field body=@{body}"
    )


def test_a_comment_that_is_not_allowed_is_not_fatal(runner: Runner) -> None:
    ran = commented(runner, "echo 'HTTP 403' >&2; exit 1")
    assert ran.returncode == 0
    assert "::notice::dscost could not comment" in ran.stdout
    step = STEPS["comment"]
    assert step["continue-on-error"] is True
    assert "inputs.comment == 'true'" in step["if"]
    assert DEFAULTS["comment"] == "false"


# -- hooks and snippets


def test_the_hook_runs_the_check(tmp_path: Path) -> None:
    (hook,) = loaded(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == (
        "dscost-check",
        "python",
        False,
    )
    (tmp_path / "dscost.yaml").write_text(OVER, encoding="utf-8")
    program, *arguments = hook["entry"].split()
    ran = subprocess.run(
        [BIN / program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "✗ resnet18   MACs   1,814,073,344   1,814,073,343   1 over " in ran.stdout


def test_the_snippets_name_what_there_is() -> None:
    (job,) = loaded(CI / "github.yml")["jobs"].values()
    (use,) = [step for step in job["steps"] if "/dscost@" in step.get("uses", "")]
    assert set(use["with"]) <= set(ACTION["inputs"])
    (checkout,) = [
        step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkout["with"]["fetch-depth"] == 0
    (upload,) = [
        step for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")
    ]
    assert upload["if"] == "always()"
    assert upload["with"]["path"] == "${{ runner.temp }}/dscost-check.html"
    for step in (checkout, upload):
        assert step["uses"] in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    (repo,) = loaded(CI / "pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == [
        hook["id"] for hook in loaded(ROOT / ".pre-commit-hooks.yaml")
    ]


def test_the_snippet_for_gitlab_compares_with_the_target_branch(tmp_path: Path) -> None:
    job = loaded(CI / "gitlab.yml")["dscost"]
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()

    def git(*arguments: str, at: Path = origin) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *names, *arguments], cwd=at, check=True, capture_output=True)

    net = "- {conv: 3, out_channels: 8, name: stem}\n"
    budget = "version: 1\nbaseline: b.json\ndefaults: {input: [1, 3, 8, 8]}\nmodels:\n  - {target: net.yaml, limits: {macs: {max_increase: 0%}}}\n"
    (origin / "net.yaml").write_text(net, encoding="utf-8")
    (origin / "dscost.yaml").write_text(budget, encoding="utf-8")
    subprocess.run([BIN / "dscost", "baseline", "save", "-q"], cwd=origin, check=True)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("clone", "-q", str(origin), str(clone), at=tmp_path)
    (clone / "net.yaml").write_text(net.replace("8", "16"), encoding="utf-8")
    install, *script = job["script"]
    assert install == "pip install 'dscost[torch]'"
    environment = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    }
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=clone,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "why        stem: 8 → 16 output channels, +100.0 %\n" in ran.stdout
    reports = job["artifacts"]["reports"]
    assert sorted(reports) == ["codequality", "junit"]
    assert all((clone / name).is_file() for name in reports.values())
    assert [(clone / name).is_file() for name in job["artifacts"]["paths"]] == [True]


def test_the_pages_show_the_snippets_as_they_are() -> None:
    shown = re.findall(r"<!-- configs/ci/([\w.-]+) -->\n```yaml\n(.*?)```", all_texts(), re.DOTALL)
    assert dict(shown) == {path.name: path.read_text(encoding="utf-8") for path in CI.iterdir()}


# -- the example budget

EXAMPLE = ROOT / "configs" / "budgets" / "builtins.yaml"


def test_this_repository_keeps_the_budget_of_its_own_models() -> None:
    result = dscost.check(EXAMPLE, strict=True)
    assert result.findings == ()
    assert result.exit_code == 0
    assert "dscost check configs/budgets/builtins.yaml --strict" in (
        ROOT / ".ci" / "run"
    ).read_text(encoding="utf-8")


def test_the_budget_holds_what_the_house_had_from_the_start() -> None:
    held = [entry.target for entry in read_budget(EXAMPLE).entries]
    assert set(held) <= set(builtin_names())  # a new architecture need not be held by anybody
    assert len(set(held)) >= 19


def test_the_limits_are_the_figures_that_torchvision_publishes() -> None:
    with (ROOT / "tests" / "data" / "torchvision_weights_meta.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        published = {row["model"]: row for row in csv.DictReader(file)}
    held = 0
    for entry in read_budget(EXAMPLE).entries:
        row = published.get(entry.target)
        if row is None:
            continue
        limits = {(one.metric, one.bound): one.value for one in entry.limits}
        assert limits["params", "max"] == limits["params", "min"] == int(row["num_params"])
        middle = (limits["macs", "max"] + limits["macs", "min"]) / 2
        assert middle == 10**9 * Decimal(row["gflops_ops"])
        assert limits["macs", "max"] - limits["macs", "min"] == 10**6  # one of the third decimal
        held += 1
    assert held == 17


def test_a_changed_built_in_breaks_the_budget(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE.parent, tmp_path / "budgets")
    path = tmp_path / "budgets" / "builtins-baseline.json"
    text = path.read_text(encoding="utf-8")
    assert text.count('"macs": 15470264320') == 1
    path.write_text(text.replace('"macs": 15470264320', '"macs": 15470264319'), encoding="utf-8")
    (finding,) = dscost.check(tmp_path / "budgets" / "builtins.yaml").findings
    assert (finding.kind, finding.entry, finding.metric) == ("grew", "vgg16", "macs")


def test_the_example_needs_no_torch() -> None:
    code = f"import sys, dscost; dscost.check({str(EXAMPLE)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
