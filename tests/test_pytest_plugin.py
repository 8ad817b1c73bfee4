import json
import subprocess
import sys

import pytest
import torch
from program import run

import dscost
import dscost.budgets.checking
import dscost.pages.verdicts

pytest_plugins = ["pytester"]

HEAD = "version: 1\nmodels:\n"
TINY = "- {conv: 3, out_channels: 8, bias: false, name: one}\n- {conv: 1, out_channels: 8, bias: false, name: two}\n"
ONE_MACS = 32 * 32 * 8 * 3 * 9
TWO_MACS = 32 * 32 * 8 * 8
MACS = ONE_MACS + TWO_MACS
MODEL = "  - name: net\n    target: net.yaml\n    input: [1, 3, 32, 32]\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a project like this one: warnings are errors, and a budget needs no torch.

    A run in this process drops what it imports; extensions can be loaded once only, hence the
    imports above and here.
    """
    dscost.analyze(torch.nn.Linear(4, 4), input=(1, 4))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    (pytester.path / "net.yaml").write_text(TINY, encoding="utf-8")
    (pytester.path / ".git").mkdir()
    return pytester


def budget(project: pytest.Pytester, text: str, name: str = "dscost.yaml") -> None:
    (project.path / name).write_text(HEAD + text, encoding="utf-8")


def test_nothing_is_collected_without_the_option(project: pytest.Pytester) -> None:
    budget(project, MODEL + "    limits: {macs: 0}\n")
    project.makepyfile("def test_own():\n    pass\n")
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_nothing_heavy_is_imported_without_the_option(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_own():
            assert "dscost.pytest_plugin" in sys.modules
            assert [name for name in sys.modules if name.startswith("dscost.")] == ["dscost.pytest_plugin"]
            assert not {"torch", "numpy", "yaml"} & set(sys.modules)
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_test_for_the_model_and_one_for_each_limit_and_rule(project: pytest.Pytester) -> None:
    rules = '[{match: "o*", each: {macs: 300k}}, {match: "*", total: {params: 280}}]'
    budget(
        project,
        MODEL
        + f"    limits: {{macs: {MACS}, params: {{max: 280, min: 280}}}}\n    layers: {rules}\n",
    )
    result = project.runpytest_inprocess("--dscost", "-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "dscost.yaml::counted[[]net[]] PASSED*",
            "dscost.yaml::macs-max[[]net[]] PASSED*",
            "dscost.yaml::params-max[[]net[]] PASSED*",
            "dscost.yaml::params-min[[]net[]] PASSED*",
            "dscost.yaml::layers[[]net o[*][]] PASSED*",
            "dscost.yaml::layers[[]net [*][]] PASSED*",
        ]
    )
    assert result.ret == 0


def test_a_broken_limit_fails_with_its_sentence_and_without_a_traceback(
    project: pytest.Pytester,
) -> None:
    budget(project, MODEL + f"    limits: {{macs: {MACS - 1}, params: 1k}}\n")
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(passed=2, failed=1)
    glance = f"{MACS:,} MACs, limit {MACS - 1:,} (1 over)"
    result.stdout.fnmatch_lines(
        [
            "*_ macs-max[[]net[]] _*",
            glance,
            f"  net: {MACS:,} MACs, over the limit of {MACS - 1:,} by 1.",
            "  largest: one (221.2k), two (65.54k)",
            "  dscost.yaml:6:14",
            f"FAILED dscost.yaml::macs-max[[]net[]] - {glance}",
        ]
    )
    printed = result.stdout.str()
    assert "Traceback" not in printed
    assert "pytest_plugin.py" not in printed
    assert result.ret == 1


def test_a_broken_rule_names_its_layers(project: pytest.Pytester) -> None:
    budget(
        project,
        MODEL
        + '    layers: [{match: "*", each: {macs: 100k}}, {match: "three", each: {macs: 1}}]\n',
    )
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [f"*net: one: {ONE_MACS:,} MACs, over the limit of 100,000 by {ONE_MACS - 100_000:,}."]
    )
    result.stdout.fnmatch_lines(["*net: three: *no layer matches this rule*"])


WARNED = MODEL + f"    limits: {{macs: {{max: {MACS - 1}, level: warn}}}}\n"


def test_a_warning_of_the_budget_is_one_of_pytest(project: pytest.Pytester) -> None:
    budget(project, WARNED)
    project.makeini("[pytest]\nfilterwarnings = default\n")
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        ["*BudgetWarning: * MACs, limit * (1 over)", "*net: *over the limit of * by 1.", "*6:21"]
    )


def test_a_warning_fails_where_warnings_are_errors(project: pytest.Pytester) -> None:
    budget(project, WARNED)
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(passed=1, failed=1)
    printed = result.stdout.str()
    failures = printed.partition("short test summary")[
        0
    ]  # which has the text as well where the variable CI is set
    assert failures.count("over the limit") == 1
    assert "Traceback" not in printed
    assert "pytest_plugin.py" not in printed


def test_a_model_that_cannot_be_judged_is_an_error_once(project: pytest.Pytester) -> None:
    budget(
        project,
        "  - target: nix.yaml\n    limits: {macs: 1M, params: 1M}\n"
        + MODEL
        + "    limits: {macs: 1M}\n",
    )
    result = project.runpytest_inprocess("--dscost", "-rs")
    result.assert_outcomes(errors=1, skipped=2, passed=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of counted[[]nix.yaml[]]*",
            "*nix.yaml: cannot read *nix.yaml: No such file or directory",
        ]
    )
    result.stdout.fnmatch_lines(["SKIPPED*nix.yaml could not be counted"])
    assert "Traceback" not in result.stdout.str()


def test_growth_is_judged_by_the_baseline(project: pytest.Pytester) -> None:
    limits = MODEL + "    limits: {macs: {max_increase: 0%}}\n"
    (project.path / "dscost.yaml").write_text(
        f"version: 1\nbaseline: b.json\npolicy: {{on_stale_baseline: error}}\nmodels:\n{limits}",
        encoding="utf-8",
    )
    project.makeini("[pytest]\nfilterwarnings = default\n")
    unknown = project.runpytest_inprocess("--dscost", "-rs")
    unknown.assert_outcomes(passed=2, skipped=1, warnings=1)
    unknown.stdout.fnmatch_lines(["SKIPPED*not judged: the baseline has nothing to compare with"])
    assert run("baseline", "save", "-q", cwd=project.path).returncode == 0
    project.runpytest_inprocess("--dscost").assert_outcomes(passed=3)
    baseline = project.path / "b.json"
    text = baseline.read_text(encoding="utf-8")
    baseline.write_text(text.replace(f'"macs": {MACS}', f'"macs": {MACS - 1}'), encoding="utf-8")
    grown = project.runpytest_inprocess("--dscost")
    grown.assert_outcomes(passed=2, failed=1)
    grown.stdout.fnmatch_lines([f"*{MACS:,} MACs, grew from {MACS - 1:,} by +1 *"])
    baseline.write_text(text.replace('"net"', '"gone"'), encoding="utf-8")
    stale = project.runpytest_inprocess("--dscost")
    stale.assert_outcomes(passed=1, failed=1, skipped=1, warnings=1)
    stale.stdout.fnmatch_lines(
        ["*_ baseline _*", "*gone: in the baseline, but not in the budget any more*"]
    )
    baseline.write_text("[]", encoding="utf-8")
    broken = project.runpytest_inprocess("--dscost")
    broken.assert_outcomes(errors=2, failed=1)
    assert "Traceback" not in broken.stdout.str()


def test_every_entry_of_a_matrix_is_tested_and_can_be_chosen(project: pytest.Pytester) -> None:
    budget(
        project, "  - {target: mobilenet_v1, matrix: {width: [0.5, 1.0]}, limits: {macs: 200M}}\n"
    )
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*mobilenet_v1[[]width=1.0[]]: 568,740,352 MACs, over the limit of 200,000,000*"]
    )
    chosen = "dscost.yaml::macs-max[mobilenet_v1[width=0.5]]"
    project.runpytest_inprocess(chosen, "--dscost").assert_outcomes(passed=1)
    project.runpytest_inprocess("--dscost", "-k", "0.5").assert_outcomes(passed=2, deselected=2)
    project.runpytest_inprocess("--dscost", "--lf").assert_outcomes(failed=1)
    project.runpytest_inprocess("dscost.yaml::macs-max", "--dscost").assert_outcomes(
        passed=1, failed=1
    )


def test_a_model_is_counted_once_and_only_where_it_is_asked_for(project: pytest.Pytester) -> None:
    (project.path / "nets.py").write_text(
        "import pathlib, torch\n\n\ndef make():\n    with pathlib.Path('made').open('a') as file:\n"
        "        file.write('x')\n    return torch.nn.Linear(4, 4)\n",
        encoding="utf-8",
    )
    budget(
        project,
        "  - {target: 'nets.py:make', input: [1, 4], limits: {macs: 16, params: 20, weight_bytes: 80 B}}\n",
    )
    made = project.path / "made"
    project.runpytest_inprocess("--dscost", "--collect-only")
    assert not made.exists()
    project.runpytest_inprocess("--dscost").assert_outcomes(passed=4)
    assert made.read_text(encoding="utf-8") == "x"


def test_the_budget_is_found_above_and_beside_other_tests(project: pytest.Pytester) -> None:
    budget(project, MODEL + "    limits: {macs: 1M}\n")
    folder = project.mkdir("tests")
    (folder / "test_own.py").write_text("def test_own():\n    pass\n", encoding="utf-8")
    project.runpytest_inprocess("--dscost").assert_outcomes(passed=3)
    project.runpytest_inprocess("tests", "--dscost").assert_outcomes(passed=3)
    project.runpytest_inprocess("dscost.yaml", "--dscost").assert_outcomes(passed=2)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--dscost", "-q"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "3 passed" in ran.stdout


@pytest.mark.parametrize("option", ["--dscost", "--dscost=dscost.yaml"])
def test_the_budget_is_sought_where_pytest_was_started_wherever_a_conftest_goes(
    option: str, project: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    budget(project, MODEL + f"    limits: {{macs: {MACS}}}\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    project.makeconftest(f"import os\n\nos.chdir({str(elsewhere)!r})\n")
    project.runpytest_inprocess(option).assert_outcomes(passed=2)


def test_the_budget_may_be_named(project: pytest.Pytester) -> None:
    budget(project, MODEL + "    limits: {macs: 1M}\n", name="other.yaml")
    project.runpytest_inprocess("--dscost=other.yaml").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--dscost", "--dscost: no dscost.yaml here or above*dscost init MODEL writes one"),
        ("--dscost=nix.yaml", "--dscost: there is no budget 'nix.yaml'; write --dscost=FILE*"),
    ],
)
def test_a_budget_that_is_not_there_is_a_usage_error(
    project: pytest.Pytester, option: str, said: str
) -> None:
    result = project.runpytest_inprocess(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_tests_that_the_option_swallowed_are_told_of(project: pytest.Pytester) -> None:
    project.mkdir("tests")
    result = project.runpytest_inprocess("--dscost", "tests")
    result.stderr.fnmatch_lines(["*put --dscost behind the tests to run"])


def test_every_mistake_of_a_budget_is_told_where_it_is_collected(project: pytest.Pytester) -> None:
    budget(project, MODEL + "    limits: {maccs: 1M}\n    levl: warn\n")
    result = project.runpytest_inprocess("--dscost")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*dscost.yaml:6:14: unknown metric 'maccs' (did you mean 'macs'?)"]
    )
    result.stdout.fnmatch_lines(["*dscost.yaml:7:5: unknown key 'levl'*"])
    assert "Traceback" not in result.stdout.str()


def test_the_fixture_says_what_a_model_costs(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import torch

        def test_costs(cost):
            assert cost("resnet18").macs == 1_814_073_344
            assert cost("mobilenet_v1", settings={"width": 0.5}).macs <= 150e6
            assert cost(torch.nn.Linear(4, 8), input=(1, 4)).params == 4 * 8 + 8
            assert cost("resnet18", dtype="float16").weight_bytes == 2 * 11_689_512

        def test_too_much(cost):
            assert cost("resnet18").macs <= 1.8e9
        """
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: assert 1814073344 <= 1800000000.0*"])


def test_every_budget_that_is_named_is_judged(project: pytest.Pytester) -> None:
    for name, limit in (("a", MACS - 1), ("b", MACS)):
        (project.path / name).mkdir()
        (project.path / name / "net.yaml").write_text(TINY, encoding="utf-8")
        budget(project, MODEL + f"    limits: {{macs: {limit}}}\n", f"{name}/dscost.yaml")
    for order in ("ab", "ba"):
        result = project.runpytest_inprocess(*(f"--dscost={name}/dscost.yaml" for name in order))
        result.assert_outcomes(failed=1, passed=3)
        result.stdout.fnmatch_lines([f"*{MACS:,} MACs, over the limit of {MACS - 1:,} by 1.*"])
    twice = project.runpytest_inprocess("--dscost=b/dscost.yaml", "--dscost", "b/dscost.yaml")
    twice.assert_outcomes(passed=2)


def test_a_summary_of_growth_says_how_much_before_anything_else(project: pytest.Pytester) -> None:
    (project.path / "dscost.yaml").write_text(
        f"version: 1\nbaseline: b.json\nmodels:\n{MODEL}    limits: {{macs: {{max_increase: 1%}}}}\n",
        encoding="utf-8",
    )
    dscost.save_baseline(project.path / "dscost.yaml")
    kept = json.loads((project.path / "b.json").read_text())
    kept["models"]["net"]["totals"]["macs"] //= 2
    (project.path / "b.json").write_text(json.dumps(kept))
    result = project.runpytest_inprocess("--dscost")
    result.stdout.fnmatch_lines(
        ["FAILED dscost.yaml::macs-max_increase[[]net[]] - 287k MACs, +100.0 % from *"]
    )
