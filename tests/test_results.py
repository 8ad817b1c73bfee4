"""What every command's result can do from Python: one line, a table, Markdown, files; and no tuple."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from program import run
from torch import nn

import dscost
from dscost.converting.convert import convert_target
from dscost.errors import InputError, OutputError
from dscost.reports.result import Result

NETWORK = """\
input: [3, 8, 8]
layers:
  - {conv: 3, out_channels: 32, bias: false, name: stem}
  - {conv: 3, out_channels: 64, bias: false, name: body}
"""
BUDGET = """\
version: 1
models:
  - {target: resnet18, limits: {params: 11M, macs: 2G}}
"""


class Case(NamedTuple):
    """A result, the command line that shows it, and its line."""

    make: Callable[[], Any]
    command: tuple[str, ...]
    line: str


CASES = {
    "layer": Case(
        lambda: dscost.layer(256, 256, 3),
        ("layer", "--cin", "256", "--cout", "256", "-k", "3", "--no-time"),
        "<Report Conv2d 256 → 256, 3×3: 589.8k params, 115.6M MACs>",
    ),
    "model": Case(
        lambda: dscost.analyze("resnet18"),
        ("model", "resnet18", "--no-time"),
        "<Report resnet18: 11.69M params, 1.814G MACs>",
    ),
    "comparison": Case(
        lambda: dscost.compare("resnet18", "resnet34", "resnet50"),
        ("compare", "resnet18", "resnet34", "resnet50"),
        "<Comparison resnet34, resnet50 against resnet18>",
    ),
    "check": Case(
        lambda: dscost.check("budget.yaml"),
        ("check", "budget.yaml"),
        "<CheckResult budget.yaml: 1 model, over budget>",
    ),
    "checks": Case(
        lambda: dscost.check("budget.yaml", "other.yaml"),
        ("check", "budget.yaml", "other.yaml"),
        "<CheckResults budget.yaml: 1 model, over budget; other.yaml: 1 model, over budget>",
    ),
    "verification": Case(
        lambda: dscost.verify("resnet18"),
        ("verify", "resnet18"),
        "<Verification resnet18: 1,814,073,344 MACs, FlopCounterMode 1,814,073,344>",
    ),
    "attribution": Case(
        lambda: dscost.which("resnet18", "1.81G"),
        ("which", "resnet18", "1.81G"),
        "<Attribution 1.81G of resnet18: MACs, 1,814,073,344>",
    ),
    "conversion of a target": Case(
        lambda: convert_target("net.yaml", rank=2).converted,
        ("convert", "net.yaml", "--rank", "2"),
        "<Converted net.yaml: 1 of 2 convolutions made depthwise-separable>",
    ),
    "sweep": Case(
        lambda: dscost.sweep("8,16", "2 * cin", 3),
        ("sweep", "--cin", "8,16", "--cout", "2 * cin", "-k", "3"),
        "<Sweep 2 convolutions: cin 8, 16, cout = 2 * cin, k 3, size 14: 4 rows>",
    ),
    "device": Case(
        lambda: dscost.device("t4"),
        ("device", "t4"),
        "<Ceilings NVIDIA T4: 8,100 GFLOP/s in float32, 320.0 GB/s>",
    ),
}


@pytest.fixture(autouse=True)
def _beside_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("budget.yaml", "other.yaml"):
        (tmp_path / name).write_text(BUDGET)
    (tmp_path / "net.yaml").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_a_result_shows_what_its_command_prints(case: Case) -> None:
    result = case.make()
    assert repr(result) == case.line
    assert f"{result}\n" == run(*case.command).stdout
    assert result.to_markdown() == run(*case.command, "--format", "markdown").stdout


def test_a_result_is_saved_as_its_command_saves_it(case: Case) -> None:
    result = case.make()
    for name in ("costs.csv", "costs.md", "costs.txt"):
        run(*case.command, "-o", f"by_command_{name}")
        result.save(name)
        assert Path(name).read_bytes() == Path(f"by_command_{name}").read_bytes()
    result.save(Path("costs.json"))
    by_command = json.loads(run(*case.command, "--json").stdout)
    saved = json.loads(Path("costs.json").read_text())
    assert saved.pop("command", None) == {"layer": "analyze", "model": "analyze"}.get(
        by_command.get("command"), by_command.get("command")
    )
    by_command.pop("command", None)
    assert saved == by_command


def test_a_file_of_no_format_is_refused_and_not_begun(case: Case) -> None:
    with pytest.raises(InputError, match=r"no format is written to \.rtf files \(known: \.txt, "):
        case.make().save("costs.rtf")
    assert not Path("costs.rtf").exists()


def test_a_file_that_cannot_be_written_leaves_nothing(case: Case) -> None:
    with pytest.raises(OutputError, match="missing"):
        case.make().save("missing/costs.csv")


def test_a_result_is_no_tuple(case: Case) -> None:
    result = case.make()
    assert not isinstance(result, tuple)
    assert not hasattr(result, "count")
    assert not hasattr(result, "index")
    for use in (len, iter, list, lambda one: one[0]):
        with pytest.raises(TypeError):
            use(result)


def test_a_result_is_frozen(case: Case) -> None:
    result = case.make()
    field = result._fields[0]
    with pytest.raises(AttributeError, match=f"is frozen: {field} cannot be set"):
        setattr(result, field, None)
    with pytest.raises(AttributeError, match=f"is frozen: {field} cannot be deleted"):
        delattr(result, field)
    with pytest.raises(AttributeError, match="is frozen: colour cannot be set"):
        result.colour = "red"


def test_results_are_equal_by_value_however_they_were_copied(case: Case) -> None:
    result = case.make()
    assert result == case.make()
    for other in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert other == result
        assert type(other) is type(result)
    field = result._fields[0]
    assert result._replace(**{field: "another"}) != result
    assert getattr(result, field) != "another"
    assert result != tuple(vars(result).values())


def test_a_dictionary_has_what_json_has(case: Case) -> None:
    assert json.loads(json.dumps(case.make().to_dict()))


def test_the_conversion_of_a_module_shows_what_became_of_its_layers(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 1))
    result = dscost.conversion(module, (1, 32, 8, 8), rank=9)
    line = "Sequential: 1 of 1 convolution made depthwise-separable"
    assert repr(result) == f"<Conversion {line}>"
    heading, _, header, _, first, second, _, note = str(result).splitlines()
    assert heading == line
    assert header.split()[:4] == ["layer", "rank", "error", "params"]
    assert first.split()[:3] == ["0", "9", "0.000"]  # 3 × 3 spatial filters say it all
    assert second.split()[:2] == ["2", "keep"]
    assert note.startswith("error = ‖W − W′‖ / ‖W‖ of a layer's weights W")
    result.save(tmp_path / "layers.csv")
    target, layer, decision, *_ = (tmp_path / "layers.csv").read_text().splitlines()[1].split(",")
    assert (target, layer, decision) == ("Sequential", "0", "converted")
    assert [layer["name"] for layer in json.loads(json.dumps(result.to_dict()))["layers"]] == [
        "0",
        "2",
    ]
    assert not hasattr(result, "index")
    seen = torch.randn(2, 32, 8, 8)
    assert "‖y − y′‖ / ‖y‖ of a layer's outputs" in str(dscost.conversion(module, seen))


def test_a_plan_shows_what_becomes_of_each_layer(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    plan = dscost.plan(module, "macs=0.6x", input=(1, 64, 8, 8))
    assert dict(plan.layers) == {"0": 3, "1": "keep"}
    line = "Sequential: 1 of 2 convolutions to be made depthwise-separable, goal macs=0.6x"
    assert repr(plan) == f"<Plan {line}>"
    heading, _, header, _, first, second = str(plan).splitlines()
    assert heading == line
    assert [row.split() for row in (header, first, second)] == [
        ["layer", "rank"],
        ["0", "3"],
        ["1", "keep"],
    ]
    assert "| 0 | 3 |\n| 1 | keep |" in plan.to_markdown()
    plan.save(tmp_path / "plan.csv")
    assert (tmp_path / "plan.csv").read_text() == (
        "target,layer,decision,rank,order\nSequential,0,converted,3,depthwise-first\nSequential,1,kept,,\n"
    )
    assert plan.to_dict()["layers"] == {"0": 3, "1": "keep"}
    assert repr(type(plan)({})) == "<Plan 0 of 0 convolutions to be made depthwise-separable>"
    for other in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert other == plan


def test_a_device_is_measured_or_read_from_its_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = dscost.device("t4", "float16")
    assert (sheet.flops_per_s, sheet.bytes_per_s) == (65e12, 320e9)  # of NVIDIA's data sheet
    asked: list[dict[str, Any]] = []

    def this_device(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(ceilings=sheet)

    monkeypatch.setattr("dscost.timing.ceilings.this_device", this_device)
    assert dscost.device(threads=3, refresh=True) is sheet
    assert asked == [{"device": "cpu", "dtype": "float32", "threads": 3, "refresh": True}]
    with pytest.raises(InputError, match="t4 is shown by its data sheet"):
        dscost.device("t4", threads=1)


# -- the record below them


class Pair(Result):
    """Two figures."""

    left: int
    right: int = 2

    def in_a_line(self) -> str:
        return f"{self.left} and {self.right}"


def test_a_result_takes_its_fields_by_place_or_by_name() -> None:
    assert Pair(1) == Pair(1, 2) == Pair(right=2, left=1)
    assert hash(Pair(1)) == hash(Pair(right=2, left=1))
    assert Pair(1) != Pair(2, 1)


def test_a_result_of_a_kind_has_the_fields_of_the_kind_and_its_own() -> None:
    class Triple(Pair):
        third: int = 3

    class Same(Triple):
        pass

    assert vars(Triple(1)) == vars(Same(1)) == {"left": 1, "right": 2, "third": 3}
    assert Triple(1) != Same(1)


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"left": 1}), ((1,), {"rigth": 2})],
    ids=["too few", "too many", "one twice", "one that is none"],
)
def test_a_result_refuses_what_are_not_its_fields(values: Any, named: Any) -> None:
    with pytest.raises(TypeError, match="Pair takes each of these once: left, right"):
        Pair(*values, **named)


def test_what_a_line_says_harms_no_terminal() -> None:
    line = repr(dscost.layer(8, 8, 3)._replace(target="a\x1b[2Jb"))
    assert line.startswith(r"<Report a\x1b[2Jb: ")


def test_an_empty_mapping_stays_read_only_when_it_is_copied() -> None:
    report = copy.deepcopy(dscost.layer(8, 8, 3))
    with pytest.raises(TypeError):
        report.latency["cpu"] = None  # type: ignore[index]
