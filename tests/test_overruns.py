"""A budget that is broken, as it is read: what is over, why, and the ways out."""

import re
import shlex
from pathlib import Path

import program
import pytest

import dscost
from dscost.budgets.findings import CheckResult
from dscost.rendering import View, render

BEFORE = {"a": 64, "b": 64}
"""Output channels of two 3×3 convolutions, 8 by 8, without bias, behind a stem of 64."""


def network(path: str, **channels: int) -> None:
    widths = {**BEFORE, **channels}
    layers = [
        f"{{conv: 3, out_channels: {one}, bias: false, name: {name}}}"
        for name, one in widths.items()
    ]
    stem = "{conv: 3, out_channels: 64, bias: false, name: stem}"
    Path(path).write_text(f"input: [3, 8, 8]\nlayers: [{', '.join([stem, *layers])}]\n")


STEM = 64 * 3 * 9
PARAMS = STEM + 2 * 64 * 64 * 9
WIDER = STEM + 2 * 64 * 80 * 9
"""With 80 channels between the two."""
BUDGET = f"""\
version: 1
baseline: kept.json
defaults: {{limits: {{params: {{max_increase: 0%}}, macs: {{max_increase: 1%, ignore_below: 1k}}}}}}
models:
  - name: net
    target: net.yaml
    limits:
      params: {PARAMS} # to the last
      macs: {64 * PARAMS}
  - {{name: other, target: other.yaml, limits: {{activations: 1M}}}}
  - {{name: third, target: other.yaml, limits: {{activations: 1M}}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A budget of three models with a baseline, one of which has grown since."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSCOST_CONFIG", raising=False)
    for name in ("net.yaml", "other.yaml"):
        network(name)
    Path("dscost.yaml").write_text(BUDGET)
    dscost.save_baseline()
    assert dscost.check().exit_code == 0
    network("net.yaml", a=80)
    return tmp_path


def check(*arguments: str) -> str:
    ran = program.run("check", *arguments)
    assert (ran.returncode, ran.stderr) == (1, "")
    return ran.stdout


def test_limit_and_growth_of_a_figure_are_one_row_and_reasons_stand_once(folder: Path) -> None:
    assert check().splitlines() == [
        "dscost.yaml",
        "",
        "model   what     before     now    change               limit        margin   line",
        "─" * 82,
        "✗ net   params    75.5k   93.9k   +24.4 %   75.5k, growth 0 %   24.4 % over   8, 3",
        "✗ net   MACs      4.83M   6.01M   +24.4 %   4.83M, growth 1 %   24.4 % over   9, 3",
        "",
        "    why        a: 64 → 80 output channels, +25.0 %; b: 64 → 80 input channels, +25.0 %",
        "    way back   make a depthwise-separable: 53.5k params, 3.42M MACs, both within",
        "    meant it?  dscost baseline update --accept net --raise-limits   (then commit 2 files)",
        "",
        "✓ other, third: 6 limits hold   dscost check -v shows them",
        "3 models, 6 limits hold, 4 over budget.",
    ]
    by_hand = STEM + (64 * 9 + 64 * 80) + 80 * 64 * 9  # a is made depthwise-separable
    (way,) = dscost.check().ways_back
    assert (way.layers, way.figures) == (("a",), {"params": by_hand, "macs": 64 * by_hand})


def test_what_was_shown_short_is_shown_exactly_with_what_holds(folder: Path) -> None:
    said = check("-v")
    assert re.search(rf"✗ net +params +{PARAMS:,} +{WIDER:,} +\+24.4 % ", said)
    assert (
        f"over budget: dscost.yaml:8:7: net: {WIDER:,} params, over the limit of {PARAMS:,} by "
        in said
    )
    assert re.search(r"\n✓ other +activations +12,288 +12,288 +0 % +1,000,000 +98.8 % left\n", said)
    assert "shows them" not in said


def test_quiet_leaves_out_what_is_as_it_should_be(folder: Path) -> None:
    assert check("-q") == "\n".join(check().splitlines()[:10]) + "\n"
    assert program.run("check", "-q", "--model", "other").stdout == ""


COMMAND = re.compile(r"meant it\?  dscost (.+?)   \(then commit (\d) files?[^)]*\)")


@pytest.mark.parametrize(
    ("budget", "changes", "command", "files"),
    [
        (BUDGET, {"a": 80}, "--accept net --raise-limits", 2),
        (BUDGET.replace(f"{PARAMS} #", "1M #").replace(f"{64 * PARAMS}", "1G"), {"a": 80}, "--accept net", 1),
        (BUDGET.replace(f"{PARAMS} #", "1k #"), {}, "--accept net --raise-limits", 1),
        (BUDGET.replace("name: net", "name: 'net [1]*'"), {"a": 80}, "--accept 'net [1]*' --raise-limits", 2),
        (BUDGET.replace("baseline: kept.json\n", ""), {"a": 80}, "--accept net --raise-limits", 1),
        (BUDGET.replace(f"macs: {64 * PARAMS}", "activations: {min: 1M}"), {},
         "--accept net --raise-limits", 1),
        (BUDGET.replace("  - {name: other", "    layers: [{match: b, each: {macs: 1k}}]\n  - {name: other"), {},
         "--accept net --raise-limits", 1),
        (BUDGET.replace("  - {name: other", "    layers: [{match: a, each: {macs: {max_increase: 0%}}}]\n"
                        "  - {name: other"), {"a": 80, "b": 30}, "--accept net", 1),
        (BUDGET.replace("name: net", "matrix: {classes: [1, 2]}\n    name: net"), {"a": 80},
         "--accept 'net[classes=1]' --raise-limits", 2),
    ],
    ids=["both", "growth", "limit", "name", "no baseline", "least", "layers", "growth of layers", "matrix"],
)  # fmt: skip
def test_after_the_command_that_is_printed_the_check_is_green(
    folder: Path, budget: str, changes: dict[str, int], command: str, files: int
) -> None:
    network("net.yaml")
    if "matrix" in budget:
        net = Path("net.yaml")
        net.write_text(f"settings: {{classes: 1}}\n{net.read_text()}")
    Path("dscost.yaml").write_text(budget)
    if "baseline:" in budget:
        dscost.save_baseline()
    network("net.yaml", **changes)
    if "matrix" in budget:
        net.write_text(f"settings: {{classes: 1}}\n{net.read_text()}")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    said = COMMAND.findall(check("--model", "net" if "'net [1]*'" not in budget else "net [1]*"))
    assert said[0] == (f"baseline update {command}", str(files))
    for line, _ in said:
        ran = program.run(*shlex.split(line))
    assert (ran.returncode, ran.stdout) == (0, "")
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert len(changed) == files
    assert program.run("check", "--strict").returncode == (0 if "baseline:" in budget else 1)
    assert program.run("check").returncode == 0


def test_a_budget_of_another_name_is_named_in_the_command(folder: Path) -> None:
    Path("dscost.yaml").rename("phone 1.yaml")
    (line, _), *_ = COMMAND.findall(check("phone 1.yaml"))
    assert line == "baseline update 'phone 1.yaml' --accept net --raise-limits"
    assert program.run(*shlex.split(line)).returncode == 0
    assert dscost.check("phone 1.yaml").exit_code == 0


def test_that_others_share_a_limit_is_said_before_it_is_raised(folder: Path) -> None:
    network("net.yaml")
    Path("shared.yaml").write_text(
        "version: 1\ndefaults: {limits: {params: 76k}}\nmodels:\n"
        "  - {name: net, target: net.yaml}\n  - {name: other, target: other.yaml}\n"
    )
    network("net.yaml", a=80)
    assert "(then commit 1 file; the limit holds for other too)\n" in check("shared.yaml")


def test_several_models_are_explained_one_after_the_other(folder: Path) -> None:
    network("other.yaml", b=96)
    lines = check().splitlines()
    rows = [line.split()[1:3] for line in lines if line.startswith("✗")]
    assert rows == [
        [name, what] for name in ("net", "other", "third") for what in ("params", "MACs")
    ]
    names = [lines[at - 1] for at, line in enumerate(lines) if line.startswith("    why ")]
    assert names == ["net", "other", "third"]
    assert lines.count("    why        b: 64 → 96 output channels, +50.0 %") == 2


def test_a_layer_that_is_new_or_gone_says_so(folder: Path) -> None:
    text = (
        Path("net.yaml")
        .read_text()
        .replace("name: a}", "name: a}, {conv: 1, out_channels: 64, bias: false, name: c}")
    )
    Path("net.yaml").write_text(text.replace("80", "64"))
    assert "    why        c: new, 4,096 params and 262k MACs" in check().splitlines()


def test_of_figures_that_differ_by_one_every_digit_is_shown(folder: Path) -> None:
    network("net.yaml")
    Path("dscost.yaml").write_text(BUDGET.replace(f"{64 * PARAMS}", f"{64 * PARAMS - 1}"))
    assert re.search(
        rf"✗ net +MACs +{64 * PARAMS:,} +{64 * PARAMS:,} +0 % +{64 * PARAMS - 1:,} +1 over ",
        check(),
    )


def test_a_warning_is_marked_as_one_and_no_error(folder: Path) -> None:
    network("net.yaml")
    Path("dscost.yaml").write_text(BUDGET.replace(f"{PARAMS} #", "{max: 1k, level: warn} #"))
    ran = program.run("check")
    assert ran.returncode == 0
    assert "\n! net   params   " in ran.stdout
    assert "✗" not in ran.stdout
    assert "\n✗ net   params   " in check("--strict")


def test_that_there_is_no_baseline_is_said_once_for_all_models(folder: Path) -> None:
    Path("kept.json").unlink()
    network("net.yaml")
    out = program.run("check").stdout
    why = "no baseline yet, so growth cannot be judged: dscost baseline save writes kept.json."
    assert [line for line in out.splitlines() if "baseline" in line] == [
        f"warning: dscost.yaml:5:5: 3 models: {why}"
    ]
    assert out.endswith("3 models, 4 limits hold, 3 warnings.\n")


@pytest.fixture
def result(folder: Path) -> CheckResult:
    return dscost.check()


def test_a_comment_has_marks_before_now_change_and_limit_and_folds_what_holds(
    result: CheckResult,
) -> None:
    comment = result.to_markdown()
    assert comment.splitlines()[:6] == [
        "### ❌ dscost.yaml",
        "",
        "|   | model | what | before | now | change | limit | margin |",
        "| :-- | :-- | :-- | --: | --: | --: | --: | --: |",
        "| ❌ | net | params | 75.5k | 93.9k | +24.4 % | 75.5k, growth 0 % | 24.4 % over |",
        "| ❌ | net | MACs | 4.83M | 6.01M | +24.4 % | 4.83M, growth 1 % | 24.4 % over |",
    ]
    shown, folded, exactly = comment.split("<details>\n")
    assert shown.count("64 → 80 output channels") == 1
    assert "```sh\ndscost baseline update --accept net --raise-limits\n```\n" in shown
    assert "✅" not in shown
    assert folded.startswith("<summary>✅ 6 limits hold</summary>\n")
    assert (
        "| ✅ | other | activations | 12,288 | 12,288 | 0 % | 1,000,000 | 98.8 % left |" in folded
    )
    assert exactly.startswith("<summary>Every figure, and where it is limited</summary>\n")
    assert f"over budget: dscost.yaml:8:7: net: {WIDER:,} params, over the limit of " in exactly
    assert exactly.endswith("</details>\n")


def test_a_comment_on_what_is_within_has_its_mark_and_folds_all(folder: Path) -> None:
    network("net.yaml")
    comment = dscost.check().to_markdown()
    assert comment.startswith("### ✅ dscost.yaml\n\n3 models, 10 limits hold.\n")
    assert "❌" not in comment


@pytest.mark.parametrize("width", [60, 100, 140, 200])
def test_at_any_width_the_command_is_whole_and_what_decides_is_shown(
    result: CheckResult, width: int
) -> None:
    lines = render(result, "table", View(width=width)).splitlines()
    command = "dscost baseline update --accept net --raise-limits"
    assert sum(command in line for line in lines) == 1
    assert all(len(line) <= width for line in lines)
    header = next(line for line in lines if line.startswith("model"))
    assert {"model", "what", "now", "change", "limit"} <= set(header.split())


def test_good_and_bad_are_coloured_and_said_in_words_as_well(result: CheckResult) -> None:
    coloured = render(result, "table", View(color=True))
    assert re.search(r"\x1b\[31m✗ net", coloured)
    assert re.search(r"\x1b\[31m *24\.4 % over", coloured)
    assert re.search(r"\x1b\[32m✓ other, third", coloured)
    ascii_only = render(result, "table", View(encoding="ascii"))
    assert "\nx net   params" in ascii_only
    assert "\nok other, third: 6 limits hold" in ascii_only


def test_programs_read_the_joint_way_back_and_what_a_layer_has_become(result: CheckResult) -> None:
    document = result.to_dict()
    (way,) = document["ways_back"]
    assert (way["entry"], way["layers"], way["is_complete"]) == ("net", ["a"], True)
    changes = {part["change"] for one in document["findings"] for part in one["contributions"]}
    assert changes == {"64 → 80 output channels", "64 → 80 input channels"}


def test_a_way_back_brings_all_figures_within_or_is_none(folder: Path) -> None:
    # the swap that saves most MACs is of a large image, the one that saves most params of many channels
    Path("net.yaml").write_text(
        "input: [3, 64, 64]\nlayers:\n"
        "  - {conv: 3, out_channels: 32, bias: false, name: stem}\n"
        "  - {conv: 3, out_channels: 32, bias: false, name: large}\n"
        "  - {conv: 3, stride: 8, out_channels: 128, bias: false, name: down}\n"
        "  - {conv: 3, out_channels: 128, bias: false, name: wide}\n"
    )
    large, down, wide = 32 * 32 * 9, 32 * 128 * 9, 128 * 128 * 9
    stem = 32 * 3 * 9
    params = stem + large + down + wide
    macs = 64 * 64 * (stem + large) + 8 * 8 * (down + wide)

    def ways(limits: str) -> list[tuple[str, ...]]:
        Path("b.yaml").write_text(
            f"version: 1\nmodels: [{{target: net.yaml, limits: {{{limits}}}}}]\n"
        )
        return [one.layers for one in dscost.check("b.yaml").ways_back]

    assert ways(f"params: {params - 1}") == [("wide",)]
    assert ways(f"macs: {macs - 1}") == [("large",)]
    assert ways(f"params: {params - 100_000}, macs: {macs - 30_000_000}") == [("wide", "large")]
    assert ways("params: 1k") == []
    # what holds stays so: a separable layer writes more activations
    assert ways(f"params: {params - 1}, activations: 1") == []


def test_what_a_model_costs_less_is_a_line(folder: Path) -> None:
    network("net.yaml", a=32)
    less = STEM + 2 * 64 * 32 * 9
    change = f"{(less - PARAMS) / PARAMS:+.1%}".replace("%", " %").replace("-", "−")
    (said,) = [line for line in program.run("check").stdout.splitlines() if "note: " in line]
    assert said.startswith(
        f"note: dscost.yaml:5:5: net: params 75.5k → 38.6k ({change}), MACs 4.83M → 2.47M ({change})"
    )
    assert said.endswith(": dscost baseline update keeps it.")
    exactly = program.run("check", "-v").stdout
    assert f"net: params {PARAMS:,} → {less:,} ({change})" in exactly


def test_a_model_of_another_input_is_taken_anew_by_a_command_that_is_printed(folder: Path) -> None:
    net = Path("net.yaml")
    network("net.yaml")
    net.write_text(net.read_text().replace("[3, 8, 8]", "[3, 4, 4]"))
    out = program.run("check").stdout
    (command,) = set(re.findall(r": dscost (baseline update --accept \w+) takes it anew\.", out))
    assert program.run(*command.split()).returncode == 0
    assert "not comparable" not in program.run("check", "--model", "net").stdout


def test_of_layers_that_break_one_rule_the_worst_is_a_row(folder: Path) -> None:
    network("net.yaml", a=80)
    rule = "[{match: '?', each: {macs: 1k}}, {match: 'a', each: {params: 1}, total: {params: 2}}]"
    Path("rules.yaml").write_text(
        f"version: 1\nmodels: [{{name: net, target: net.yaml, layers: {rule}}}]\n"
    )
    said = check("rules.yaml")
    rows = [re.split("  +", line)[1] for line in said.splitlines() if line.startswith("✗ net")]
    assert rows == ["MACs of a, worst of 2 layers", "params of a"]
    rows = [line for line in check("-v", "rules.yaml").splitlines() if line.startswith("✗ net")]
    assert len(rows) == 3
    assert said.endswith("1 model, 0 limits hold, 4 over budget.\n")


def test_a_size_is_said_without_its_unit_twice(folder: Path) -> None:
    Path("size.yaml").write_text(
        "version: 1\nmodels: [{name: net, target: net.yaml, limits: {weight_bytes: 300 KiB}}]\n"
    )
    assert "make a depthwise-separable: 209 KiB of weights, within the limit\n" in check(
        "size.yaml"
    )
