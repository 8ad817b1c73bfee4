"""Rules of one's own are told what they miss: what has MACs and no rule, and names that are wrong.

Figures are products of the extents of layers, by hand.
"""

from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.conventions import Convention, Grouped, Rule, tally
from dscost.conventions.lacking import misspelt, without_rule
from dscost.errors import InputError
from dscost.rendering import View, render
from dscost.reports.records import WithoutRule
from dscost.traces.calls import Call

HEAD = "title: Mine\ncounts: FLOPs\nmeans: As we count.\nsource: us\nrules:\n"
OF_LAYERS = "  - {operators: [aten::conv2d, aten::linear], counts: {macs: 1}}\n"
RESNET18 = 1_814_073_344  # MACs


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Return what writes a file of rules, and says where it is."""

    def written(rules: str, name: str = "mine", head: str = HEAD) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(head + rules)
        return path

    return written


def of_macs(*rules: tuple[str, str], key: str = "mine", **settings: Any) -> Convention:
    made = [Rule(kind, (name,), {"macs": Fraction(1)}) for kind, name in rules]  # type: ignore[arg-type]
    return Convention(key, key, "FLOPs", "", (), tuple(made), **settings)


def called(kind: Any, name: str, path: str, macs: int, events: tuple[int, int]) -> Call:
    return Call(kind, name, path, (), (), macs, events)


# -- what has no rule


SEEN = [
    called("operators", "aten::conv2d", "a", 5, (0, 1)),
    called("modules", "Conv2d", "a", 5, (0, 1)),
    called("operators", "aten::conv2d", "b.c", 7, (1, 2)),
    called("modules", "Conv2d", "b.c", 7, (1, 2)),
    called("operators", "aten::linear", "b", 2, (2, 3)),
    called("functions", "torch.nn.functional.linear", "b", 2, (2, 3)),
    called("modules", "models.Block", "b", 9, (1, 3)),
    called("operators", "aten::relu", "", 0, (3, 4)),
    called("operators", "aten::mm", "", 4, (4, 5)),
    called("modules", "models.Net", "", 18, (0, 5)),
]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([("modules", "models.Net")], []),
        ([("modules", "models.Block")], [("aten::conv2d", 5, "a"), ("aten::mm", 4, "")]),
        ([("modules", "Conv2d")], [("aten::linear", 2, "b"), ("aten::mm", 4, "")]),
        (
            [("functions", "torch.nn.functional.linear"), ("operators", "aten::mm")],
            [("aten::conv2d", 12, "a", "b.c")],
        ),
        ([("operators", "aten::conv2d"), ("operators", "aten::mm")], [("aten::linear", 2, "b")]),
        (
            [("operators", "aten::relu")],
            [("aten::conv2d", 12, "a", "b.c"), ("aten::linear", 2, "b"), ("aten::mm", 4, "")],
        ),
    ],
)
def test_what_no_rule_of_an_operator_a_function_or_a_module_around_it_counts_is_told(
    rules: list[tuple[str, str]], expected: list[tuple[Any, ...]]
) -> None:
    found = without_rule(of_macs(*rules), SEEN)
    assert found == tuple(WithoutRule(name, macs, tuple(of)) for name, macs, *of in expected)


def test_a_module_that_is_not_looked_at_covers_nothing() -> None:
    block = called("modules", "models.Block", "b", 9, (1, 3))._replace(is_leaf=False)
    leaves = of_macs(("modules", "models.Block"), nested="leaves")
    (one, _) = without_rule(leaves, [*SEEN[2:3], *SEEN[4:5], block])
    assert one == WithoutRule("aten::conv2d", 7, ("b.c",))


def test_what_runs_within_an_operator_has_its_macs_alone() -> None:
    """As the branches of `torch.cond`, which are operators within one."""
    inner = called("operators", "aten::conv2d", "a", 5, (0, 1))
    outer = called("operators", "higher::cond", "a", 5, (0, 1))
    assert without_rule(of_macs(), [inner, outer]) == (WithoutRule("aten::conv2d", 5, ("a",)),)
    assert without_rule(of_macs(("operators", "higher::cond")), [inner, outer]) == ()


def same_padded() -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(
        OrderedDict(
            a=torch.nn.Conv2d(3, 16, 3),
            b=torch.nn.Conv2d(16, 32, 3, padding="same"),
            act=torch.nn.ReLU(),
        )
    )


A, B = 16 * 30 * 30 * 3 * 9, 32 * 30 * 30 * 16 * 9


def test_the_closing_line_and_the_report_say_what_has_no_rule(file: Any) -> None:
    report = dscost.analyze(
        same_padded(), (1, 3, 32, 32), convention=[file(OF_LAYERS), "fvcore", "thop"]
    )
    lacking = (WithoutRule("aten::conv2d.padding", B, ("b",)),)
    of_each = {name: one.without_rule for name, one in report.conventions.items()}
    assert of_each == {"mine": lacking, "fvcore-0.1.5": lacking, "thop-0.1.1": ()}
    told = "= 388.8k of 4.536M MACs; 4.147M of 4.536M MACs have no rule: aten::conv2d.padding of b."
    assert (A, A + B) == (388_800, 4_536_000)
    assert f"Mine FLOPs: 388.8k {told}" in str(report)
    assert f"fvcore 0.1.5 FLOPs: 388.8k {told}" in str(report)
    assert "thop 0.1.1 MACs: 4.536M = 4.536M MACs." in str(report)


def test_a_saved_report_still_says_what_has_no_rule(tmp_path: Path, file: Any) -> None:
    rules = file("  - {operators: aten::conv2d, counts: {macs: 1}}\n")
    dscost.analyze("resnet18", convention=rules).save(tmp_path / "saved.json")
    (lacking,) = dscost.analyze(tmp_path / "saved.json").conventions["mine"].without_rule
    assert lacking == WithoutRule("aten::linear", 512 * 1000, ("fc",))


# -- names


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("operators: aten::conv3", "no operator aten::conv3 ran; did you mean aten::conv2d?"),
        ("modules: ReLu", "no module ReLu ran; did you mean ReLU?"),
        (
            "functions: torch.nn.functional.reluu",
            "no function torch.nn.functional.reluu ran; did you mean torch.nn.functional.relu?",
        ),
    ],
)
@pytest.mark.parametrize("is_torch", [False, True], ids=["built-in", "torch"])
def test_a_name_that_is_like_one_that_ran_is_told(
    rule: str, told: str, is_torch: bool, file: Any
) -> None:
    target = same_padded() if is_torch else "resnet18"
    rules = file(f"  - {{{rule}, counts: {{inputs: 1}}}}\n")
    report = dscost.analyze(target, (1, 3, 64, 64), convention=rules)
    assert f"Mine: {told}" in report.warnings
    assert told in str(report)


@pytest.mark.parametrize(
    "rule",
    [
        "operators: [aten::conv1d, aten::conv_transpose2d, aten::gelu]",
        "modules: [GELU, PReLU, ReLU6, Conv3d, '*ReLu*', models.Nothing]",
        "functions: [torch.nn.functional.gelu, torch.nn.functional.relu]",
        "operators: xyz::abc",
    ],
)
def test_a_name_of_what_the_model_has_not_is_no_mistake(rule: str, file: Any) -> None:
    rules = file(f"  - {{{rule}, counts: {{}}}}\n")
    assert dscost.analyze("resnet18", convention=rules).warnings == ()
    assert dscost.analyze(same_padded(), (1, 3, 64, 64), convention=rules).warnings == ()


def test_the_shipped_rules_are_not_held_against_a_model() -> None:
    seen = [called("modules", "ReLu", "", 0, (0, 1))]
    assert list(misspelt(of_macs(("modules", "ReLU1"), key="fvcore-0.1.5"), seen)) == []
    assert list(misspelt(of_macs(("modules", "ReLU1")), seen)) != []


@pytest.mark.parametrize("name", ["torch.nn.ReLU", "torch.nn.modules.activation.ReLU", "ReLU"])
def test_a_class_of_torch_nn_may_be_written_with_its_module(name: str, file: Any) -> None:
    rules = file(f"  - {{modules: {name}, counts: {{outputs: 1}}}}\n")
    report = dscost.analyze(same_padded(), (1, 3, 32, 32), convention=rules)
    assert report.by_convention["mine"]["as_is"] == 32 * 30 * 30


# -- what a share is called


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("modules: ReLU, counts: {inputs: 1}", "G of 1.814G MACs + 2.308M ReLU; 512.0k of"),
        (
            "modules: [Linear, BatchNorm2d, ReLU, ReLU6, MaxPool2d], counts: {outputs: 2}",
            "+ 9.987M Linear, BatchNorm2d, ReLU and 2 more.",
        ),
        ("operators: aten::linear, counts: {bias: 1}", "MACs + 1,000 aten::linear."),
        ("operators: aten::linear, counts: {macs: 1, bias: 1}", "MACs + 513.0k MACs with bias."),
    ],
)
def test_what_is_not_macs_goes_by_its_own_name(rule: str, told: str, file: Any) -> None:
    of_conv = "  - {operators: aten::conv2d, counts: {macs: 1}}\n"
    text = str(dscost.analyze("resnet18", convention=file(f"{of_conv}  - {{{rule}}}\n")))
    assert told in text


# -- titles and columns


def test_two_of_one_title_have_their_keys_beside_it(file: Any) -> None:
    paths = file(OF_LAYERS, "a"), file(OF_LAYERS, "b")
    report = dscost.analyze("resnet18", convention=paths)
    assert [one.title for one in report.conventions.values()] == ["Mine (a)", "Mine (b)"]
    assert "Mine (a)   Mine (b)" in str(report)
    alone = dscost.analyze("resnet18", convention=paths[0])
    assert alone.conventions["a"].title == "Mine"


@pytest.mark.parametrize("also", [(), ("fvcore",)])
def test_a_title_of_a_built_in_one_has_the_key_beside_it(also: tuple[str, ...], file: Any) -> None:
    own = file(OF_LAYERS, head=HEAD.replace("Mine", "fvcore 0.1.5"))
    report = dscost.analyze("resnet18", convention=(*also, own))
    assert report.conventions["mine"].title == "fvcore 0.1.5 (mine)"
    assert all(report.conventions[f"{one}-0.1.5"].title == "fvcore 0.1.5" for one in also)


def lines_of(view: View, *conventions: str) -> list[str]:
    report = dscost.analyze("resnet18", convention=conventions)
    return render([report], "table", view).splitlines()


def header(lines: list[str], first: str) -> str:
    return next(line for line in lines if line.startswith(f"{first} "))


ALL = ("ptflops", "thop", "fvcore", "torchinfo")


@pytest.mark.parametrize(
    ("first", "view"), [("layer", {}), ("variant", {}), ("module", {"tree": True})]
)
def test_what_was_asked_for_first_stays_longest(first: str, view: dict[str, Any]) -> None:
    found = header(lines_of(View(width=60, **view), *ALL), first)
    assert "MACs   ptflops 0.7.5" in found
    assert "fvcore" not in found
    assert "torchinfo" not in found


def test_the_table_below_fits_and_has_the_order_that_was_asked_for() -> None:
    columns = ("macs", "macs@thop-0.1.1", "macs@fvcore-0.1.5")
    lines = lines_of(View(width=60, columns=columns), "fvcore", "ptflops", "thop")
    found = header(lines, "variant")
    assert "MACs   thop 0.1.1   fvcore 0.1.5" in found
    assert len(found) <= 60
    wide = header(lines_of(View(width=60, columns=columns, wide=True), "fvcore", "thop"), "variant")
    assert "FLOP/byte" in wide


@pytest.mark.parametrize(
    "arguments", [["--columns", "layer,fvcore"], ["--sort", "fvcore"], ["--sort", "thop"]]
)
@pytest.mark.parametrize("also", [[], ["--convention", "fvcore", "--convention", "thop"]])
def test_a_convention_that_is_asked_for_as_a_column_has_a_hint(
    arguments: list[str], also: list[str]
) -> None:
    ran = run("model", "resnet18", "--no-time", *arguments, *also)
    what, name = arguments[0].strip("-").replace("columns", "column"), arguments[1].split(",")[-1]
    what = what.replace("sort", "sort key")
    assert ran.returncode == 2
    assert ran.stderr == f"dscost: unknown {what} '{name}' (did you mean 'macs@{name}'?)\n"


# -- in Python


def test_the_library_takes_paths(file: Any) -> None:
    path = file(OF_LAYERS)
    for one in (path, str(path), [path]):
        report = dscost.analyze("resnet18", convention=one)
        assert report.by_convention["mine"]["as_is"] == RESNET18
    assert dscost.compare("resnet18", "resnet34", convention=path).reference.report.conventions
    assert dscost.layer(8, 8, 3, convention=path).by_convention["mine"]
    assert dscost.which("resnet18", "1.814G", convention=path).candidates


@pytest.mark.parametrize("wrong", [3, [3], [None]])
def test_what_is_no_convention_is_refused_in_one_line(wrong: Any) -> None:
    expected = r"^expected the name of a convention or the path of a file, found (int|NoneType)$"
    with pytest.raises(InputError, match=expected):
        dscost.analyze("resnet18", convention=wrong)
    with pytest.raises(InputError, match=r"^expected a convention or the path of a file, found "):
        dscost.register_convention(wrong)


def test_calls_that_were_grouped_once_count_by_each_convention_on_its_own() -> None:
    conv = Call(
        "modules", "Conv2d", "0", ((4, 3, 8, 8),), (4, 4, 8, 8), 100, inside=("Sequential",)
    )
    whole = Call("modules", "Sequential", "", ((4, 3, 8, 8),), (4, 4, 8, 8), 100, is_leaf=False)
    of_conv = Rule("modules", ("Conv2d",), {"macs": Fraction(1)})
    of_whole = Rule("modules", ("Sequential",), {"macs": Fraction(5)})
    hidden = Convention(
        "a", "A", "FLOPs", "", (), (of_conv,), "hidden", variations={"v": (of_whole,)}
    )
    every = hidden._replace(nested="all")
    grouped = Grouped([conv, whole, conv._replace(path="1")])
    assert tally(hidden, grouped).total == 200
    assert tally(hidden.varied("v"), grouped).total == 500  # it hides those that it holds
    assert tally(every.varied("v"), grouped).total == 700
    assert tally(every._replace(per_sample=True), grouped, batch=4).total == 50
    assert tally(every, grouped, batch=4).by_layer == {"0": 100, "1": 100}
