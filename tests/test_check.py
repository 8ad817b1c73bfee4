"""`dscost check` by the command line: how it exits, where it looks, what it reads from git."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import program
import pytest
from forking import forked

import dscost
from dscost.budgets.hints import deciding, in_yaml
from dscost.cli.options import files

RESNET18_MACS, RESNET18_PARAMS = 1_814_073_344, 11_689_512
# no setting of the machine or of a hook that runs these tests may reach git, or the command
ENVIRONMENT = {
    **{
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "DSCOST_"))
    },
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "LC_ALL": "C.UTF-8",
}


pytestmark = pytest.mark.usefixtures("forked_workers")


def run(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> program.Ran:
    return program.run(*arguments, cwd=cwd, env={**ENVIRONMENT, **(env or {})})


def resnet(limits: str) -> str:
    return f"version: 1\nmodels:\n  - target: resnet18\n    limits: {limits}\n"


def budget(folder: Path, text: str) -> None:
    (folder / "dscost.yaml").write_text(text)


# -- how it exits

WITHIN = resnet(f"{{macs: {RESNET18_MACS}, params: {RESNET18_PARAMS}}}")
OVER = resnet(f"{{macs: {RESNET18_MACS - 1}}}")
WARNED = resnet("{macs: {max: 1G, level: warn}}")
FACTORY = (
    "version: 1\nmodels:\n  - {target: net.py:make, input: [1, 3, 8, 8], limits: {macs: 1G}}\n"
)


def factory(body: str) -> str:
    return f"def make():\n    {body}\n"


@pytest.mark.parametrize(
    ("text", "arguments", "code", "told"),
    [
        pytest.param(WITHIN, [], 0, "2 limits hold", id="within"),
        pytest.param(WITHIN, ["--strict"], 0, "2 limits hold", id="within, strict"),
        pytest.param(OVER, [], 1, "1,814,073,344 MACs, over the limit of 1,814,073,343 by 1", id="over by one"),
        pytest.param(OVER, ["--exit-zero"], 0, "over the limit of 1,814,073,343", id="over, exit zero"),
        pytest.param(OVER, ["--exit-zero", "--strict"], 0, "over the limit", id="over, strict, exit zero"),
        pytest.param(WARNED, [], 0, "warning: ", id="warning"),
        pytest.param(WARNED, ["--strict"], 1, "over budget: ", id="warning, strict"),
        pytest.param(WARNED, ["--strict", "--exit-zero"], 0, "over budget: ", id="warning, strict, exit zero"),
        pytest.param(resnet("{macs: 1e6}"), [], 1, "over the limit of 1,000,000", id="a million as YAML writes it"),
        pytest.param("version: 1\nmodels: [{target: resnet18}]\n", [], 0, "1 model, 0 limits hold.", id="no limit"),
    ],
)  # fmt: skip
def test_what_could_be_judged_exits_0_or_1_and_says_so_on_stdout(
    text: str, arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    budget(tmp_path, text)
    ran = run("check", "-v", *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert told in ran.stdout


@pytest.mark.parametrize("more", [[], ["--exit-zero"]], ids=["plain", "exit zero"])
@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        pytest.param(WITHIN, ["--strcit"], "dscost: No such option: --strcit", id="bad flag"),
        pytest.param(WITHIN, ["--format", "tabel"], "dscost: unknown format 'tabel' (did you mean 'table'?)",
                     id="bad format"),
        pytest.param(WITHIN, ["--model", "resnet81"],
                     "dscost: unknown model of the budget 'resnet81' (did you mean 'resnet18'?)", id="another model"),
        pytest.param(WITHIN, ["other.yaml"], "dscost: cannot read other.yaml: No such file or directory",
                     id="no such budget"),
        pytest.param(WITHIN, ["dscost.yaml", "--config", "dscost.yaml"],
                     "dscost: name the budget once: as the argument or by --config", id="two budgets"),
        pytest.param(WITHIN, ["--export", "table"], "dscost: --export: expected FORMAT=PATH", id="bad export"),
        pytest.param(WITHIN, ["-o", "no/such/x.md"], "dscost: cannot write no/such/x.md: there is no folder no/such",
                     id="no folder"),
        pytest.param("models: [\n", [], "dscost.yaml:2:1: not valid YAML: ", id="bad YAML"),
        pytest.param("", [], "dscost.yaml:1:1: the file is empty", id="empty file"),
        pytest.param(resnet("{macs: {maxx: 1G}}"), [], "dscost.yaml:4:21: unknown key 'maxx' (did you mean 'max'?)",
                     id="unknown key"),
        pytest.param(resnet("{macs: 1G, macs: 2G}"), [], "dscost.yaml:4:24: duplicate key 'macs' (first on line 4)",
                     id="duplicate key"),
        pytest.param(resnet("{macs: {max: 1G, level: off}}"), [], "dscost.yaml:4:37: unknown level 'off'",
                     id="level off"),
        pytest.param("version: 1\nbaseline: .\nmodels: [{target: resnet18}]\n", [], "dscost: cannot read .: Is a dir",
                     id="baseline a folder"),
        pytest.param("version: 1\nbaseline: dscost.yaml\nmodels: [{target: resnet18}]\n", [],
                     "dscost.yaml:1:1: not JSON: ", id="baseline no JSON"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_exits_2_whatever_else_is_asked(
    text: str, arguments: list[str], told: str, more: list[str], tmp_path: Path
) -> None:
    budget(tmp_path, text)
    ran = run("check", *arguments, *more, env={"DSCOST_CONFIG": "dscost.yaml"}, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert any(line.startswith(told) for line in ran.stderr.splitlines())
    assert "Traceback" not in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dscost.yaml"]


UNLOADABLE = [
    pytest.param(WITHIN.replace("resnet18", "resnet18x"), "", "unknown model 'resnet18x' (did you mean 'resnet18'?",
                 id="missing model"),
    pytest.param(WITHIN.replace("resnet18", "no.such:make"), "", "no.such:make: there is no module 'no'",
                 id="missing module"),
    pytest.param(WITHIN.replace("resnet18", "gone.yaml"), "", "gone.yaml: No such file or directory",
                 id="missing file"),
    pytest.param(FACTORY, factory("raise ValueError('it burns\\nand how')"), "it burns", id="crashing factory"),
    pytest.param(FACTORY, factory("assert False"), "AssertionError", id="failing factory"),
    pytest.param(FACTORY, factory("import sys; sys.exit(0)"), "cannot be made", id="factory that exits 0"),
    pytest.param(FACTORY, factory("return 5"), "makes no nn.Module but this: 5", id="factory of something else"),
    pytest.param(FACTORY, "import sys; sys.exit(0)\n", "running", id="file that exits 0"),
    pytest.param(FACTORY, "def make(:\n", "SyntaxError", id="file that does not compile"),
    pytest.param(FACTORY, "import torch\nmake = torch.nn.Conv2d(4, 4, 1)\n", "net.py:make", id="wrong input"),
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize(("text", "code", "told"), UNLOADABLE)
def test_a_model_that_cannot_be_loaded_exits_2_and_the_others_are_judged(
    text: str, code: str, told: str, tmp_path: Path
) -> None:
    budget(tmp_path, text + "  - {name: over, target: resnet18, limits: {macs: 5}}\n")
    if code:
        (tmp_path / "net.py").write_text(code)
    ran = run("check", "-v", "--exit-zero", "--no-isolate", cwd=tmp_path)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stdout + ran.stderr
    assert told in ran.stdout
    assert "could not judge: " in ran.stdout
    assert "over: 1,814,073,344 MACs, over the limit of 5" in ran.stdout


def test_a_budget_that_is_named_twice_is_judged_once() -> None:
    one, other = Path("one.yaml"), Path("other.yaml")
    assert files([one, other, one], None) == [one, other]


@pytest.mark.torch
def test_each_of_several_models_that_cannot_be_loaded_elsewhere_is_told(tmp_path: Path) -> None:
    entries, said = "", []
    for at, case in enumerate(UNLOADABLE):
        text, code, told = (str(value).replace("net.py", f"net{at}.py") for value in case.values)
        (tmp_path / f"net{at}.py").write_text(code)
        entries += text.partition("models:\n")[2]
        said.append(told)
    budget(tmp_path, f"version: 1\nmodels:\n{entries}")
    ran = run("check", "--isolate", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout.count("could not judge: ") == len(UNLOADABLE)
    assert [told for told in said if told not in ran.stdout] == []


@pytest.mark.parametrize(("level", "code"), [("fail", 2), ("error", 1), ("warn", 0), ("ignore", 0)])
def test_the_policy_says_what_a_model_that_cannot_be_loaded_means(
    level: str, code: int, tmp_path: Path
) -> None:
    budget(
        tmp_path,
        WITHIN.replace("resnet18", "gone.yaml") + f"policy: {{on_unloadable_model: {level}}}\n",
    )
    ran = run("check", cwd=tmp_path)
    assert ran.returncode == code
    assert ("cannot read gone.yaml" in ran.stdout or "gone.yaml: No such file" in ran.stdout) is (
        level != "ignore"
    )


@pytest.mark.torch
def test_what_a_model_prints_does_not_mix_with_the_result(tmp_path: Path) -> None:
    budget(tmp_path, FACTORY)
    (tmp_path / "net.py").write_text(
        "import torch\nprint('loading')\ndef make():\n    print('making')\n    return torch.nn.Conv2d(3, 4, 1)\n"
    )
    ran = forked("check", "--json", cwd=tmp_path)
    assert ran.returncode == 0
    json.loads(ran.stdout)
    assert "making" in ran.stderr


@pytest.mark.torch
def test_ctrl_c_exits_130(tmp_path: Path) -> None:
    budget(tmp_path, FACTORY)
    (tmp_path / "net.py").write_text(
        "import pathlib, time\ndef make():\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [program.PROGRAM, "check", "--exit-zero"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("text", "code"), [(WITHIN, 0), (WARNED, 0), (OVER, 1)], ids=["within", "warned", "over"]
)
def test_a_closed_pipe_is_no_error_and_hides_none(text: str, code: int, tmp_path: Path) -> None:
    budget(tmp_path, text)
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [program.PROGRAM, "check"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=ENVIRONMENT,
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (code, b"")


def test_quiet_says_nothing_but_the_result(tmp_path: Path) -> None:
    budget(tmp_path, OVER)
    loud, quiet = (run("check", *more, "-o", "x.md", cwd=tmp_path) for more in ([], ["-q"]))
    assert (loud.returncode, loud.stdout, loud.stderr) == (1, "", "wrote x.md\n")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")
    assert "| ❌ | resnet18 | MACs | 1,814,073,344 | 1,814,073,343 | 1 over |" in (
        (tmp_path / "x.md").read_text()
    )


@pytest.mark.parametrize(
    ("text", "more", "code", "said"),
    [
        pytest.param(WITHIN, [], 0, None, id="within"),
        pytest.param(OVER, [], 1, "✗ resnet18   MACs   ", id="over"),
        pytest.param(WARNED, [], 0, "! resnet18   MACs   ", id="warning"),
        pytest.param(WARNED, ["--strict"], 1, "✗ resnet18   MACs   ", id="strict"),
        pytest.param(
            WITHIN.replace("resnet18", "gone.yaml"),
            [],
            2,
            "could not judge: dscost.yaml:3:5",
            id="fail",
        ),
    ],
)
def test_quiet_shows_only_what_is_not_as_it_should_be(
    tmp_path: Path, text: str, more: list[str], code: int, said: str | None
) -> None:
    budget(tmp_path, text)
    ran = run("check", "-q", *more, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert f"\n{said}" in ran.stdout if said else ran.stdout == ""
    assert not any(word in ran.stdout for word in ("✓", " hold", "note: "))
    assert set(ran.stdout.splitlines()) <= set(
        run("check", *more, cwd=tmp_path).stdout.splitlines()
    )


@pytest.mark.parametrize("format_name", ["json", "markdown", "github", "junit"])
def test_a_format_for_programs_is_whole_though_quiet(tmp_path: Path, format_name: str) -> None:
    budget(tmp_path, WITHIN)
    loud = run("check", "--format", format_name, cwd=tmp_path).stdout
    assert run("check", "-q", "--format", format_name, cwd=tmp_path).stdout == loud != ""


def test_a_limit_that_holds_of_each_layer_is_one_row_with_the_closest(tmp_path: Path) -> None:
    rules = "layers: [{match: '*', each: {macs: 200M, params: {max: 1, level: ignore}}}]"
    budget(tmp_path, f"version: 1\nmodels:\n  - {{target: resnet18, {rules}}}\n")
    rows = [
        line.split()
        for line in run("check", "-v", cwd=tmp_path).stdout.splitlines()
        if line.endswith(" left")
    ]
    report = dscost.analyze("resnet18")
    (row,) = rows
    most = max(layer.cost.macs for layer in report.layers)
    assert f"{most:,}" in row
    closest = [layer.name for layer in report.layers if layer.cost.macs == most]
    assert " ".join(row).startswith(
        f"✓ resnet18 MACs of {closest[0]}, closest of {len(report.layers)} layers {most:,} "
    )


def test_a_model_that_is_held_to_nothing_is_told(tmp_path: Path) -> None:
    text = "version: 1\nmodels:\n  - target: resnet18\n  - {target: vgg16, limits: {params: 1G}}\n"
    budget(tmp_path, text)
    ran = run("check", cwd=tmp_path)
    assert ran.returncode == 0
    assert "resnet18: nothing is limited\n" in ran.stdout
    assert "vgg16: nothing" not in ran.stdout


def test_no_variable_of_a_ci_service_changes_what_is_printed(tmp_path: Path) -> None:
    budget(tmp_path, OVER)
    summary = tmp_path / "summary.md"
    ci = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITLAB_CI": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    assert run("check", env=ci, cwd=tmp_path).stdout == run("check", cwd=tmp_path).stdout
    assert not summary.exists()


def test_several_formats_are_written_at_once(tmp_path: Path) -> None:
    budget(tmp_path, OVER)
    ran = run(
        "check",
        "--export",
        "markdown=a.md",
        "--export",
        "table=b.txt",
        "--format",
        "markdown",
        cwd=tmp_path,
    )
    assert ran.returncode == 1
    assert (tmp_path / "a.md").read_text() == ran.stdout
    assert "1,814,073,343" in (tmp_path / "b.txt").read_text()


# -- where it looks


def test_the_nearest_budget_above_is_found_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    deep = repository / "models" / "phone"
    deep.mkdir(parents=True)
    (repository / ".git").mkdir()
    budget(tmp_path, OVER)  # which is outside
    lost = run("check", cwd=deep)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert lost.stderr == (
        "dscost: no dscost.yaml here or above, up to the root of the repository; dscost init MODEL writes one\n"
    )
    budget(repository, WARNED)
    assert str(repository / "dscost.yaml") in run("check", cwd=deep).stdout
    (repository / "models" / "dscost.yml").write_text(WITHIN)
    assert str(repository / "models" / "dscost.yml") in run("check", cwd=deep).stdout
    (repository / "models" / "dscost.yaml").mkdir()  # a folder of that name is none
    assert run("check", cwd=deep).returncode == 0


def test_an_argument_goes_before_the_variable_and_that_before_the_search(tmp_path: Path) -> None:
    for name, limit in (("dscost.yaml", 1), ("variable.yaml", 2), ("given.yaml", 3)):
        (tmp_path / name).write_text(resnet(f"{{macs: {limit}}}"))
    variable = {"DSCOST_CONFIG": str(tmp_path / "variable.yaml")}
    for arguments, env, limit in (
        ([], {}, 1),
        ([], {"DSCOST_CONFIG": ""}, 1),
        ([], variable, 2),
        (["given.yaml"], variable, 3),
        (["--config", "given.yaml"], variable, 3),
    ):
        assert (
            f"over the limit of {limit} by"
            in run("check", "-v", *arguments, env=env, cwd=tmp_path).stdout
        )
    gone = run("check", env={"DSCOST_CONFIG": "gone.yaml"}, cwd=tmp_path)
    assert (gone.returncode, gone.stderr) == (
        2,
        "dscost: cannot read gone.yaml: No such file or directory\n",
    )


@pytest.mark.torch
def test_files_are_sought_beside_the_budget(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    (folder / "nets").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "nets" / "net.yaml").write_text(
        "input: [3, 8, 8]\nlayers: [{conv: 1, out_channels: 5, bias: false}]\n"
    )
    (folder / "net.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Conv2d(3, 7, 1, bias=False)\n"
    )
    budget(
        folder,
        "version: 1\nbaseline: kept.json\nmodels:\n"
        "  - {target: nets/net.yaml, limits: {params: {max: 15, max_increase: 0%}}}\n"
        "  - {target: 'net.py:make', input: [1, 3, 8, 8], limits: {params: 21}}\n",
    )
    assert run("baseline", "save", "../models/dscost.yaml", cwd=elsewhere).returncode == 0
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "dscost.yaml",
        "kept.json",
        "net.py",
    ]
    assert list(elsewhere.iterdir()) == []
    ran = run("check", "../models/dscost.yaml", "--strict", cwd=elsewhere)
    assert ran.returncode == 0
    assert "2 models, 3 limits hold." in ran.stdout
    assert run("check", "--strict", "--no-isolate", cwd=folder).returncode == 0


def test_an_unchanged_model_is_within_and_a_grown_one_is_not(tmp_path: Path) -> None:
    budget(
        tmp_path,
        f"version: 1\nbaseline: kept.json\n{resnet('{macs: {max_increase: 0%}}').partition(chr(10))[2]}",
    )
    missing = run("check", cwd=tmp_path)
    assert missing.returncode == 0
    assert "warning: " in missing.stdout
    assert (
        ": resnet18: no baseline yet, so growth cannot be judged: dscost baseline save writes "
        in (missing.stdout)
    )
    assert run("check", "--strict", cwd=tmp_path).returncode == 1
    run("baseline", "save", cwd=tmp_path)
    assert run("check", "--strict", cwd=tmp_path).returncode == 0
    kept = json.loads((tmp_path / "kept.json").read_text())
    kept["models"]["resnet18"]["totals"]["macs"] -= 1
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    grown = run("check", "-v", cwd=tmp_path)
    assert grown.returncode == 1
    assert "grew from 1,814,073,343 by +1 (+0.00 %); at most 1,814,073,343 passes" in grown.stdout


# -- what it needs


@pytest.mark.parametrize(
    "command", [["check"], ["baseline", "save"], ["baseline", "show"]], ids=" ".join
)
def test_a_budget_of_yaml_models_never_imports_torch_or_numpy(
    command: Sequence[str], tmp_path: Path
) -> None:
    (tmp_path / "net.yaml").write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 5}]\n")
    budget(
        tmp_path,
        "version: 1\nbaseline: kept.json\ndefaults: {input: [1, 3, 224, 224]}\nmodels:\n"
        "  - {target: net.yaml, limits: {params: {max: 1k, max_increase: 0%}}}\n"
        "  - {target: resnet18, limits: {macs: 1G}}\n"  # with a look for swaps that help
        "  - {target: mobilenet_v1, matrix: {width: [0.5, 1.0], resolution: [160, 224]}, limits: {macs: 600M},\n"
        "     layers: [{match: 'type:Conv2d[kernel>1]', each: {params: 10k}}]}\n",
    )
    run("baseline", "save", cwd=tmp_path)
    code = (
        "import sys\n"
        f"sys.argv = ['dscost', *{command!r}]\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, {'torch', 'numpy', 'pydantic'} & set(sys.modules) or 'light', file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert ran.stderr.splitlines()[-1] == f"{1 if command == ['check'] else 0} light"


# -- from git

BASELINE = "version: 1\nbaseline: kept.json\ndefaults: {limits: {macs: {max_increase: 0%}, params: {max_increase: 1%}}}\n"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    ).stdout


def widen(folder: Path, name: str, channels: int) -> None:
    (folder / f"{name}.yaml").write_text(
        "input: [3, 8, 8]\nlayers:\n"
        "  - {conv: 1, out_channels: 2, bias: false, name: narrow}\n"
        f"  - {{conv: 3, out_channels: {channels}, bias: false, name: wide}}\n"
    )


def wide_macs(channels: int) -> int:
    return 8 * 8 * channels * 2 * 9


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two small models with a baseline, on main."""
    folder = tmp_path / "repository" / "models"
    folder.mkdir(parents=True)
    budget(folder, BASELINE + "models:\n  - target: a.yaml\n  - target: b.yaml\n")
    widen(folder, "a", 4)
    widen(folder, "b", 4)
    run("baseline", "save", cwd=folder)
    git(folder.parent, "init", "--quiet")
    commit(folder, "models")
    return folder


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def test_growth_against_a_branch_names_the_layer_and_how_much_it_grew(repository: Path) -> None:
    assert run("check", "--against", "main", "--strict", cwd=repository).returncode == 0
    git(repository, "checkout", "--quiet", "-b", "wider")
    widen(repository, "a", 5)
    run(
        "baseline", "save", cwd=repository
    )  # growth that hides from the baseline in the working tree
    commit(repository, "wider")
    assert run("check", cwd=repository).returncode == 0
    for ref in ("main", "HEAD~1", "refs/heads/main", git(repository, "rev-parse", "main").strip()):
        ran = run("check", "-v", "--against", ref, cwd=repository)
        assert (ran.returncode, ran.stderr) == (1, "")
        before, now = 8 * 8 * 2 * 3 + wide_macs(4), 8 * 8 * 2 * 3 + wide_macs(5)
        assert f"a.yaml: {now:,} MACs, grew from {before:,} by +{now - before:,} (" in ran.stdout
        assert "wide: 4 → 5 output channels, +25.0 %" in ran.stdout
        assert "narrow (" not in ran.stdout
        assert "b.yaml: " not in run("check", "-q", "--against", ref, cwd=repository).stdout
    assert (
        run("check", "models/dscost.yaml", "--against", "main", cwd=repository.parent).returncode
        == 1
    )
    assert git(repository, "status", "--porcelain") == ""  # nothing was checked out


def test_a_group_against_a_branch_is_compared_with_the_layers_that_were_of_it_then(
    repository: Path,
) -> None:
    rule = "layers: [{match: 'type:Conv2d[kernel>1]', total: {macs: {max_increase: 0%, max_decrease: 0%}}}]"
    limits = BASELINE.replace("macs: {max_increase: 0%}", "macs: 1G")
    budget(repository, f"{limits}models:\n  - {{target: a.yaml, {rule}}}\n")
    architecture = repository / "a.yaml"
    architecture.write_text(architecture.read_text().replace("name: wide", "name: broad"))
    assert (
        run("check", "-v", "--against", "main", cwd=repository).returncode == 0
    )  # by another name the same
    architecture.write_text(architecture.read_text().replace("conv: 1", "conv: 3"))
    ran = run("check", "-v", "--against", "main", cwd=repository)
    assert ran.returncode == 1
    narrow = 8 * 8 * 2 * 3  # 1x1 on main, and so not of the group; 3x3 now
    assert (
        f"{9 * narrow + wide_macs(4):,} MACs, grew from {wide_macs(4):,} by +{9 * narrow:,} ("
        in ran.stdout
    )
    assert f"grew most: narrow ({narrow:,} → {9 * narrow:,}, +800.00 %)\n" in ran.stdout
    widen(repository, "a", 4)
    architecture.write_text(architecture.read_text().replace("conv: 3", "conv: 1"))
    gone = run("check", "-v", "--against", "main", cwd=repository).stdout
    assert f"0 MACs, shrank from {wide_macs(4):,} by −{wide_macs(4):,} (−100.00 %)" in gone
    assert f"shrank most: wide ({wide_macs(4):,} → {wide_macs(4) // 9:,}, −88.89 %)\n" in gone


def test_a_commit_without_the_baseline_is_told(repository: Path) -> None:
    git(repository, "rm", "--quiet", "--cached", "kept.json")
    commit_only = git(repository, "commit", "--quiet", "--message", "no baseline")
    assert commit_only == ""
    ran = run("check", "--against", "HEAD", cwd=repository)
    assert ran.returncode == 0
    said = "warning: dscost.yaml:5:5: 2 models: HEAD has no kept.json, so growth cannot be judged."
    assert said in ran.stdout.splitlines()  # which is said once for all models
    assert run("check", "--against", "HEAD~1", "--strict", cwd=repository).returncode == 0


def test_two_branches_that_change_different_models_merge(repository: Path) -> None:
    for branch, name in (("one", "a"), ("two", "b")):
        git(repository, "checkout", "--quiet", "-b", branch, "main")
        widen(repository, name, 6)
        assert run("baseline", "update", cwd=repository).returncode == 1
        assert (
            run("baseline", "update", "--accept", f"{name}.yaml/*", cwd=repository).returncode == 0
        )
        commit(repository, branch)
    git(repository, "merge", "--quiet", "--no-edit", "one")  # which fails on a conflict
    assert run("check", "--strict", cwd=repository).returncode == 0
    merged = (repository / "kept.json").read_bytes()
    run("baseline", "save", cwd=repository)
    assert (repository / "kept.json").read_bytes() == merged


def test_a_branch_that_adds_a_model_merges_with_one_that_changes_its_neighbour(
    repository: Path,
) -> None:
    git(repository, "checkout", "--quiet", "-b", "one", "main")
    widen(repository, "b", 6)
    run("baseline", "save", cwd=repository)
    commit(repository, "one")
    git(repository, "checkout", "--quiet", "-b", "two", "main")
    widen(repository, "c", 4)
    budget(repository, (repository / "dscost.yaml").read_text() + "  - target: c.yaml\n")
    assert run("baseline", "update", cwd=repository).returncode == 0
    commit(repository, "two")
    git(repository, "merge", "--quiet", "--no-edit", "one")
    assert run("check", "--strict", cwd=repository).returncode == 0


def test_a_shallow_clone_says_that_it_is_one(repository: Path, tmp_path: Path) -> None:
    widen(repository, "a", 3)
    commit(repository, "narrower")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.parent.as_uri(), str(clone))
    ran = run("check", "--against", "HEAD~1", "--exit-zero", cwd=clone / "models")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --against HEAD~1: there is no such commit here; "
        "this is a shallow clone: fetch more of it (fetch-depth: 0)\n"
    )
    assert run("check", "--against", "HEAD", cwd=clone / "models").returncode == 0
    git(clone, "fetch", "--quiet", "--unshallow")
    assert run("check", "--against", "HEAD~1", cwd=clone / "models").returncode == 0


@pytest.mark.parametrize(
    "ref",
    [
        "nowhere",
        "--output=pwned",
        "-h",
        "",
        "HEAD~99",
        "main:models/kept.json",
        "main..main",
        "a b",
        "main\n",
    ],
)
def test_what_is_no_commit_exits_2_and_git_is_told_nothing_else(ref: str, repository: Path) -> None:
    files = sorted(repository.iterdir())
    ran = run("check", f"--against={ref}", "--exit-zero", cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: --against {ref.strip()}")
    assert "there is no such commit here" in ran.stderr
    assert "shallow" not in ran.stderr
    assert sorted(repository.iterdir()) == files


def test_what_is_no_repository_exits_2(tmp_path: Path) -> None:
    budget(tmp_path, BASELINE + "models: [{target: resnet18}]\n")
    ran = run(
        "check",
        "--against",
        "main",
        env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
        cwd=tmp_path,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(
        f"dscost: --against main: git does not read {tmp_path}: fatal: not a git repository"
    )
    assert len(ran.stderr.splitlines()) == 1


def test_a_repository_of_somebody_else_is_what_git_says_it_is(repository: Path) -> None:
    ran = run(
        "check", "--against", "main", env={"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, cwd=repository
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "detected dubious ownership" in ran.stderr


def test_a_machine_without_git_exits_2(repository: Path) -> None:
    ran = run("check", "--against", "main", env={"PATH": str(repository)}, cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: --against main: git cannot be run: No such file or directory\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{", "main:kept.json:1:2: not JSON: "), (b'{"version": 4, "models": {}}', "main:kept.json: expected version 1"),
     (b'{"version": 1, "models": {"\xff": 1}}', "main:kept.json:1:1: not UTF-8 text")],
    ids=["broken", "later", "not UTF-8"],
)  # fmt: skip
def test_a_baseline_that_was_committed_broken_exits_2(
    content: bytes, told: str, repository: Path
) -> None:
    (repository / "kept.json").write_bytes(content)
    commit(repository, "broken")
    ran = run("check", "--against", "main", "--exit-zero", cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")


def test_a_linked_worktree_is_a_repository_as_well(repository: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "--quiet", "-b", "wider", str(linked))
    widen(linked / "models", "a", 5)
    (tmp_path / "dscost.yaml").write_text(WITHIN)
    ran = run("check", "--against", "main", cwd=linked / "models")
    assert ran.returncode == 1
    assert "wide: 4 → 5 output channels, +25.0 %" in ran.stdout
    (linked / "models" / "dscost.yaml").unlink()
    assert run("check", cwd=linked / "models").returncode == 2  # the search ends at its root


# -- git that fails is no missing baseline; what is compared with is where branches parted


def grown(repository: Path, branch: str = "feature") -> None:
    git(repository, "checkout", "--quiet", "-b", branch)
    widen(repository, "a", 8)
    commit(repository, "wider")


def test_a_clone_without_trees_is_no_missing_baseline(repository: Path, tmp_path: Path) -> None:
    grown(repository)
    git(repository, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--filter=tree:0", repository.parent.as_uri(), str(clone))
    repository.parent.rename(tmp_path / "gone")
    ran = run("check", "--against", "origin/main", cwd=clone / "models")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("dscost: --against origin/main: git does not read ")


def test_an_emptied_tree_is_no_missing_baseline(repository: Path) -> None:
    grown(repository)
    tree = git(repository, "rev-parse", "main:models").strip()
    damaged = repository.parent / ".git" / "objects" / tree[:2] / tree[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(b"")
    ran = run("check", "--against", "main", cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("dscost: --against main: ")


@pytest.mark.parametrize(
    "variable",
    [
        "GIT_GLOB_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS",
        "GIT_LITERAL_PATHSPECS",
        "GIT_DIR",
    ],
)
def test_no_variable_of_git_hides_the_baseline(variable: str, repository: Path) -> None:
    grown(repository)
    ran = run("check", "--against", "main", env={variable: "1"}, cwd=repository)
    assert ran.returncode == 1
    assert "wide: 4 → 8 output channels, +100.0 %" in ran.stdout


def test_an_unchanged_branch_passes_when_the_other_got_cheaper(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature")
    git(repository, "checkout", "--quiet", "main")
    widen(repository, "a", 2)
    assert run("baseline", "update", cwd=repository).returncode == 0
    commit(repository, "cheaper")
    git(repository, "checkout", "--quiet", "feature")
    for ref in ("main", "main...feature", "main...", "feature...main", "main...HEAD"):
        assert run("check", "--against", ref, "--strict", cwd=repository).returncode == 0
    widen(repository, "a", 5)
    ran = run("check", "--against", "main", cwd=repository)
    assert ran.returncode == 1
    assert "wide: 4 → 5 output channels, +25.0 %" in ran.stdout
    parted = git(repository, "rev-parse", "--short=8", "feature").strip()
    assert f"\ngrowth since {parted}, where this branch left main\n" in ran.stdout
    both = run("check", "--against", "main...feature", cwd=repository).stdout
    assert f"\ngrowth since {parted}, where main and feature parted\n" in both
    assert "growth since" not in run("check", cwd=repository).stdout.partition("meant it?")[0]


def test_a_branch_that_only_a_remote_has_is_named_with_it(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", repository.parent.as_uri(), str(clone))  # as CI has it
    ran = run("check", "--against", "main", cwd=clone / "models")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --against main: there is no such commit here; did you mean origin/main?\n"
    )
    assert run("check", "--against", "origin/main", cwd=clone / "models").returncode == 0


def test_a_branch_that_was_merged_into_is_compared_with_what_was_merged(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "feature")
    git(repository, "checkout", "--quiet", "main")
    widen(repository, "a", 2)
    assert run("baseline", "update", cwd=repository).returncode == 0
    commit(repository, "cheaper")
    git(repository, "checkout", "--quiet", "feature")
    git(repository, "merge", "--quiet", "--no-edit", "main")
    widen(repository, "a", 3)
    assert (
        run("check", "--against", "main", cwd=repository).returncode == 1
    )  # of 2, not of the 4 where they first parted


def test_branches_without_a_common_commit_are_compared_as_they_are(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "alone")
    widen(repository, "a", 5)
    commit(repository, "wider")
    assert run("check", "--against", "main", cwd=repository).returncode == 1
    ran = run("check", "--against", "main...alone", cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: --against main...alone: no commit is known where the two parted\n"
    ran = run("check", "--against", "nowhere...alone", cwd=repository)
    assert (
        ran.stderr == "dscost: --against nowhere...alone: there is no such commit here as nowhere\n"
    )


def test_a_clone_too_shallow_for_the_commit_where_they_parted_says_so(
    repository: Path, tmp_path: Path
) -> None:
    grown(repository)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.parent.as_uri(), str(clone))
    git(clone, "fetch", "--quiet", "--depth", "1", "origin", "main")
    ran = run("check", "--against", "FETCH_HEAD", cwd=clone / "models")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --against FETCH_HEAD: no commit is known where the two parted; "
        "this is a shallow clone: fetch more of it (fetch-depth: 0)\n"
    )


def test_growth_that_this_branch_has_accepted_is_told_as_such_and_no_command(
    repository: Path,
) -> None:
    git(repository, "checkout", "--quiet", "-b", "wider")
    widen(repository, "a", 5)
    before = run("check", "--against", "main", cwd=repository)
    assert "dscost baseline update --accept a.yaml" in before.stdout
    run("baseline", "save", cwd=repository)
    after = run("check", "--against", "main", cwd=repository)
    assert (before.returncode, after.returncode) == (1, 1)
    (told,) = [line for line in after.stdout.splitlines() if "meant it?" in line]
    assert "accepted in " in told
    assert "; growth since main stays over until that is merged" in told
    assert "dscost baseline update" not in after.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("give sizes, such as --input x=1,1,64,224", 'give sizes, such as input: "x=1,1,64,224"'),
        ("as --input a=1 --input 'n=():int64=1' (1)", 'as input: ["a=1", "n=():int64=1"] (1)'),
        ("nothing", "nothing"),
    ],
)
def test_inputs_are_told_as_budgets_have_them(text: str, told: str) -> None:
    assert in_yaml(text) == told


def test_what_decides_is_told_beside_what_is_unknown() -> None:
    told = (
        "Both are counted. The input 'n' decides which of them runs: as in --input 'n=():int64=1'."
    )
    assert deciding(["Nothing.", told, told]) == (
        " (the input 'n' decides which of them runs: as in input: \"n=():int64=1\")"
    )
    assert not deciding(["Nothing."])
