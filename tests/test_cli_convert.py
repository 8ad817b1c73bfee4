import csv
import json
import sys
from pathlib import Path

import pytest
import torch
from forking import forked
from jsonschema import Draft7Validator
from program import start
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import dscost
from dscost.cli import run
from dscost.converting.plan_file import read_plan
from dscost.schemas import schema

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 5, padding=2, groups=2), nn.Conv2d(64, 10, 1),
    )

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(32, 32, 3, padding=1)
        self.b = nn.Conv2d(32, 32, 3, padding=1)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))

class TiedToAnother(Tied):
    def __init__(self):
        super().__init__()
        self.b = nn.ConvTranspose2d(32, 32, 3, padding=1)
        self.b.weight = self.a.weight

def conv():
    return nn.Conv2d(32, 32, 3)
"""
INPUT = ["--input", "1,3,16,16"]
# positions 16·16; by hand: 32→64 3×3 is 18,432 weights; rank 1 is 32·9 + 64·32
SECOND, SECOND_AT_1 = 64 * 32 * 9 * 256, (32 * 9 + 64 * 32) * 256
THIRD, THIRD_AT_1 = 64 * 32 * 25 * 256, (64 * 25 + 64 * 32) * 256
OTHERS = (32 * 3 * 9 + 10 * 64) * 256


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def converted(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert run(["convert", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft7Validator(schema("conversion")).validate(document)
    return document["conversion"]  # type: ignore[no-any-return]


def test_without_a_goal_every_layer_has_rank_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = converted("net.py:make", *INPUT, capsys=capsys)
    assert found["plan"] == {"2": 1, "4": 1}
    assert found["before"]["macs"] == SECOND + THIRD + OTHERS  # type: ignore[index]
    assert found["after"]["macs"] == SECOND_AT_1 + THIRD_AT_1 + OTHERS  # type: ignore[index]
    layers = {layer["name"]: layer for layer in found["layers"]}  # type: ignore[attr-defined]
    assert (
        layers["0"]["reason"]
        == "3 input channels are fewer than min_channels=32 (--min-channels 1 takes it)"
    )
    errors = [layers[name]["error"] for name in ("2", "4")]
    assert found["error"] == pytest.approx(((errors[0] ** 2 + errors[1] ** 2) / 2) ** 0.5)


def test_a_goal_is_met_exactly_and_its_plan_does_the_same_again(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--goal", "macs=0.5x", "--save-plan", "plan.yaml", "-q"]
    first = converted("net.py:make", *INPUT, *options, capsys=capsys)
    assert 2 * first["after"]["macs"] <= first["before"]["macs"]  # type: ignore[index]
    plan = read_plan(Path("plan.yaml"))
    assert dict(plan.layers) == first["plan"]
    assert (plan.target, plan.goal, [str(one) for one in plan.inputs]) == (
        "net.py:make",
        "macs=0.5x",
        ["1,3,16,16"],
    )
    again = converted("net.py:make", "--plan", "plan.yaml", capsys=capsys)
    for key in ("plan", "after", "error", "inputs"):
        assert again[key] == first[key]
    assert again["goal"] is None
    assert "The plan was made to reach macs=0.5x." in again["notes"]  # type: ignore[operator]


def test_the_curve_ends_where_every_layer_costs_least(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = converted("net.py:make", *INPUT, "--goal", "macs=0.5x", capsys=capsys)["curve"]
    assert isinstance(curve, list)
    assert (curve[0]["cost"], curve[0]["error"]) == (SECOND + THIRD + OTHERS, 0)
    assert curve[-1]["cost"] == SECOND_AT_1 + THIRD_AT_1 + OTHERS
    assert sum(point["is_chosen"] for point in curve) == 1


@pytest.mark.usefixtures("own_time")
def test_a_goal_of_latency_is_met_by_times_of_this_machine(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--goal", "latency_s=1x", "--time-budget", "4s", "--threads", "1"]
    assert run(["convert", "net.py:make", *INPUT, *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft7Validator(schema("conversion")).validate(document)
    assert document["environment"]["threads"] == 1
    found = document["conversion"]
    assert found["latency"]["before_s"] == found["latency"]["after_s"] > 0
    assert found["curve_metric"] == "latency_s"
    assert "latency_s=1x is met by the model as it is: every layer is kept." in found["notes"]


@pytest.mark.parametrize("factory", ["make", "Tied"])
def test_saved_weights_load_into_the_converted_model(here: Path, factory: str) -> None:
    shape = (1, 3, 16, 16) if factory == "make" else (1, 32, 8, 8)
    options = ["--input", ",".join(map(str, shape)), "--weights", "w.pt", "--rank", "2"]
    sys.path.insert(0, str(here))
    try:
        make = getattr(__import__("net"), factory)
    finally:
        sys.path.remove(str(here))
        del sys.modules["net"]
    torch.manual_seed(9)
    trained: nn.Module = make()
    for parameter in trained.parameters():
        nn.init.normal_(parameter)
    torch.save(trained.state_dict(), "w.pt")
    files = ["--save-plan", "plan.yaml", "--save", "out.safetensors"]
    assert run(["convert", f"net.py:{factory}", *options, *files, "-q"]) == 0
    loaded = dscost.convert(make(), plan="plan.yaml")
    loaded.load_state_dict(load_file("out.safetensors"))
    x = torch.randn(shape)
    expected = dscost.convert(trained, rank=2)(x)
    assert torch.allclose(loaded(x), expected, rtol=1e-5, atol=1e-4 * expected.abs().max().item())


def test_saved_weights_have_the_plan_that_made_them(here: Path) -> None:
    given = ["convert", "net.py:make", *INPUT, "--rank", "2", "--save", "out.safetensors", "-q"]
    assert run(given) == 0
    with safe_open("out.safetensors", "pt") as saved:
        alone = saved.metadata()
    assert run([*given, "--save-plan", "plan.yaml"]) == 0
    with safe_open("out.safetensors", "pt") as saved:
        beside = saved.metadata()
    plan = Path("plan.yaml").read_text(encoding="utf-8")
    assert alone == beside == {"dscost": dscost.__version__, "plan": plan, "format": "pt"}


def test_weights_of_an_architecture_are_random_and_those_of_a_seed(here: Path) -> None:
    Path("a.yaml").write_text(
        "input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 8, bias: false}]\n", encoding="utf-8"
    )
    found = []
    for seed in ([], ["--seed", "0"], ["--seed", "7"], ["--seed", "7"]):
        given = ["convert", "a.yaml", "--rank", "1", "--min-channels", "1", *seed]
        assert run([*given, "--save", "out.safetensors", "-q"]) == 0
        found.append(torch.cat([one.flatten() for one in load_file("out.safetensors").values()]))
    default, none, seven, again = found
    assert torch.equal(default, none)
    assert torch.equal(seven, again)
    assert not torch.equal(seven, none)


def test_weights_that_another_layer_has_too_stay_beside_the_new_ones(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["net.py:TiedToAnother", "--input", "1,32,8,8"]
    weights, biases, at_rank_1 = 32 * 32 * 9, 2 * 32, 32 * 9 + 32 * 32
    found = converted(
        *given, "--goal", "macs=0.6x", "--min-channels", "8", "--where", "a", capsys=capsys
    )
    rank = found["plan"]["a"]  # type: ignore[index]
    assert found["after"]["params"] == weights + biases + rank * at_rank_1  # type: ignore[index]
    assert (found["is_met"], [note for note in found["notes"] if "expected" in note]) == (True, [])  # type: ignore[attr-defined]
    assert run(["convert", *given, "--goal", "params=0.9x"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("MISSED: params=0.9x, nearest 1x (9,280 params), the model as it is\n")


def test_a_convolution_alone_is_called_the_root(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "net.py:conv", "--input", "1,32,8,8", "--save-plan", "p.yaml"]) == 0
    assert "(root)" in capsys.readouterr().out
    assert run(["convert", "net.py:conv", "--plan", "p.yaml", "--format", "csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (row["layer"], row["rank"], row["params_after"]) == ("", "1", str(32 * 9 + 32 * 32 + 32))


def test_layers_left_alone_are_added_up_unless_all_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["convert", "resnet18", "--goal", "error=0", "--columns", "params,macs"]) == 0
    told = capsys.readouterr().out
    # shortcuts of 1×1 from 64 channels to 128 on 28×28, 128 to 256 on 14×14, 256 to 512 on 7×7
    params, macs = 64 * 128 + 128 * 256 + 256 * 512, 3 * 64 * 128 * 28 * 28
    (row,) = (line for line in told.splitlines() if "(3 layers left alone)" in line)
    assert row.split()[-2:] == [f"{params / 1e3:.1f}k", f"{macs / 1e6:.2f}M"]
    assert "← goal\n" in told
    assert "faster" not in told  # nothing was converted, so nothing is to be explained
    assert "error =" not in told
    assert "Untrained weights" not in told
    assert run(["convert", "resnet18", "--goal", "error=0", "--all"]) == 0
    assert "layer4.0.downsample" in capsys.readouterr().out.replace("shortcut", "downsample")


def test_layers_that_are_left_alone_for_one_reason_are_summed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "pointwise.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 32, 3), nn.Conv2d(32, 32, 3)\n"
        "    )\n"
    )
    assert run(["convert", "pointwise.py:make", "--input", "1,8,8,8", "--format", "markdown"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "left alone" in line)
    # 8·4 weights and 4 biases, 4·2 and 2; the weights at 8·8 positions
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "(2 layers left alone)"
    assert {"46", "2,560"} <= set(cells)


def test_quiet_leaves_out_what_explains_and_keeps_what_warns(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "resnet18", "--rank", "10"]) == 0
    told = capsys.readouterr().out
    assert run(["convert", "resnet18", "--rank", "10", "-q"]) == 0
    quiet = capsys.readouterr().out
    for explains in ("error = ‖W − W′‖ / ‖W‖", "Untrained weights"):
        assert explains in told
        assert explains not in quiet
    for warns in (
        "Whether it is faster was not measured",
        "Rank 10 is more than the full rank of 16 layers: they have",
    ):
        assert warns in told
        assert warns in quiet


def test_a_layer_that_costs_more_converted_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # full rank is 9 of 3×3 from 32 to 64, and 25 of 5×5 from 32 to 32 per group
    notes = converted("net.py:make", *INPUT, "--rank", "200", capsys=capsys)["notes"]
    assert notes == [
        "Rank 200 is more than the full rank of 2 layers: they have that, 9 to 25.",
        "2 of 2 converted layers cost more MACs and params than before.",
    ]
    # 7 · (32·9 + 64·32) is below 64·32·9, 8 and 9 times are above; 9 · (64·25 + 64·32) is below 64·32·25
    notes = converted("net.py:make", *INPUT, "--rank", "9", capsys=capsys)["notes"]
    assert notes == ["1 of 2 converted layers costs more MACs and params than before."]
    assert converted("net.py:make", *INPUT, "--rank", "7", capsys=capsys)["notes"] == []
    Path("p.yaml").write_text('version: 1\nlayers: {"2": 10, "4": 1}\n')
    notes = converted("net.py:make", *INPUT, "--plan", "p.yaml", capsys=capsys)["notes"]
    assert notes == [
        "Rank 10 is more than the full rank of 1 layer: it has that, 9.",
        "1 of 2 converted layers costs more MACs and params than before.",
    ]
    Path("p.yaml").write_text('version: 1\nlayers: {"2": 10, "4": 26}\n')
    notes = converted("net.py:make", *INPUT, "--plan", "p.yaml", capsys=capsys)["notes"]
    assert (
        "Ranks of 10 to 26 are more than the full rank of 2 layers: they have that, 9 to 25."
        in notes
    )  # type: ignore[operator]


def test_what_is_not_measured_is_said_with_the_bytes_that_are_moved_more(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = converted("net.py:make", *INPUT, "--rank", "9", capsys=capsys)
    grown = found["after"]["traffic_bytes"] / found["before"]["traffic_bytes"]  # type: ignore[index]
    assert grown > 2
    assert run(["convert", "net.py:make", *INPUT, "--rank", "9"]) == 0
    told = capsys.readouterr().out
    assert f"(--goal latency_s=0.8x does); it moves {grown:.2f}× more bytes.\n" in told
    assert run(["convert", "net.py:make", *INPUT, "--where", "4"]) == 0
    told = capsys.readouterr().out
    assert "1 of 3 convolutions made depthwise-separable\n" in told
    assert (
        "Whether it is faster was not measured (--goal latency_s=0.8x does).\n" in told
    )  # it moves fewer


def test_the_module_of_a_factory_is_not_written_over(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "net:make", *INPUT, "-o", "net.py"]) == 2
    assert (
        "net.py is read as the target, a result would be written over it" in capsys.readouterr().err
    )
    assert (here / "net.py").read_text() == NET


def test_a_plan_is_written_over_itself(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yml").write_text('version: 1\nlayers: {"2": 1}\n')
    assert (
        run(["convert", "net.py:make", *INPUT, "--plan", "p.yml", "--save-plan", "./p.yml", "-q"])
        == 0
    )
    assert read_plan(Path("p.yml")).target == "net.py:make"


def test_csv_says_what_became_of_each_layer(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text('version: 1\nlayers: {"2": 1, "4": keep}\n')
    assert run(["convert", "net.py:make", *INPUT, "--plan", "p.yaml", "--format", "csv"]) == 0
    rows = {row["layer"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    decisions = {name: (row["decision"], row["rank"]) for name, row in rows.items()}
    assert decisions == {
        "0": ("left alone", ""),
        "2": ("converted", "1"),
        "4": ("kept", ""),
        "5": ("left alone", ""),
    }


def test_weights_of_a_converted_model_are_recognised(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "net.py:make", *INPUT, "--save", "w.safetensors", "-q"]) == 0
    assert run(["convert", "net.py:make", *INPUT, "--weights", "w.safetensors"]) == 2
    hint = (
        "; these are weights of a converted model: load them into dscost.convert(make(), plan=…)\n"
    )
    assert capsys.readouterr().err.endswith(hint)
    torch.save(
        {"features.depthwise.weight": torch.ones(1), "features.pointwise.weight": torch.ones(1)},
        "other.pt",
    )
    assert run(["convert", "net.py:make", *INPUT, "--weights", "other.pt"]) == 2
    assert "converted model" not in capsys.readouterr().err


def test_a_conversion_is_not_taken_for_a_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", "net.py:make", *INPUT, "--json", "-o", "c.json"]) == 0
    assert run(["compare", "c.json", "c.json"]) == 2
    assert (
        "c.json: a conversion, not a saved report: expected what dscost model … --json"
        in capsys.readouterr().err
    )


def test_where_and_min_channels_choose_layers(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert converted("net.py:make", *INPUT, "--where", "4", capsys=capsys)["plan"] == {"4": 1}
    assert converted("net.py:make", *INPUT, "--min-channels", "3", capsys=capsys)["plan"] == {
        "0": 1,
        "2": 1,
        "4": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--goal", "macs"], "goal: expected something like macs=0.5x"),
        (["--goal", "macs=0.5x", "--rank", "2"], "give one of --goal, --rank, --plan and --fastest, found --goal and --rank"),
        (["--plan", "good.yaml", "--where", "2"], "--where has no meaning with --plan"),
        (["--plan", "gone.yaml"], "cannot read gone.yaml: No such file or directory"),
        (["--plan", "bad.yaml"], "bad.yaml:3:3: unknown layer 'three' (known: 0, 2, 4, 5)\nbad.yaml:4:3: '5' cannot"),
        (["--plan", "wrong.yaml"], "wrong.yaml:2:1: unknown key 'layer' (did you mean 'layers'?)"),
        (["--weights", "whole.pt"], "whole.pt: refused, since it holds torch.nn.modules.activation.ReLU, and"),
        (["--weights", "other.pt"], "other.pt does not fit the model: 7 missing (0.bias, 2.weight, 2.bias and 4 more); "
         "1 of another shape (0.weight 1 instead of 32×3×3×3)"),
        (["--save", "out.pth"], "--save: expected a file ending in .pt (a state dict), .pt2 "),
        (["--save-plan", "net.py"], "--save-plan: plans are written as .yaml or .yml, found 'net.py'"),
        (["--save-plan", "-"], "--save-plan: plans are written as .yaml or .yml, found '-'"),
        (["-o", "net.py"], "net.py is read as the target, a result would be written over it"),
        (["--export", "json=./net.py"], "net.py is read as the target, a result would be written over it"),
        (["--plan", "good.yaml", "-o", "good.yaml"], "good.yaml is read as --plan, a result would be written over it"),
        (["--goal", "macs=0.5x", "--goal", "error=0"], "--goal: one can be reached at a time, found macs=0.5x and err"),
        (["--plan", "other.yaml"], "other.yaml:2:10: '1' is no convolution (class ReLU)"),
        (["--save-plan", "a.yaml", "-o", "a.yaml", "--format", "table"], "two results would be written to one file"),
        (["--where", "nothing*"], "unknown convolution 'nothing*'"),
        (["--time-budget", "3s"], "--time-budget is for --goal latency_s"),
        (["--goal", "macs=0.5x", "--device", "cuda"], "--device is for --goal latency_s=… and --fastest: nothing else is measured"),
        (["--threads", "2"], "--threads is for --goal latency_s"),
        (["--memory-format", "channels_last"], "--memory-format is for --goal latency_s"),
        (["--weights", "w.safetensors", "--save", "./w.safetensors"], "w.safetensors is read as --weights"),
        (["--columns", "rnk", "--save-plan", "p.yaml"], "unknown column 'rnk' (did you mean 'rank'?)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_nothing_is_written(
    arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("good.yaml").write_text("version: 1\nlayers: {}\n")
    Path("bad.yaml").write_text('version: 1\nlayers:\n  three: 1\n  "5": 2\n')
    Path("wrong.yaml").write_text("version: 1\nlayer: {}\nlayers: {}\n")
    Path("other.yaml").write_text('version: 1\nlayers: {"1": 2}\n')
    torch.save(nn.ReLU(), "whole.pt")
    torch.save({"0.weight": torch.ones(1)}, "other.pt")
    before = {path.name for path in here.iterdir()}
    assert run(["convert", "net.py:make", *INPUT, *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == before


NET_FILE = (
    "input: [3, 16, 16]\nlayers: [{conv: 3, out_channels: 32}, {conv: 3, out_channels: 64}]\n"
)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["net.yaml", "--goal", "macs=0.5x", "-q", "--columns", "rank"], 0, ""),
        (  # 27·32 stays, 32→64 becomes 32·9 + 64·32: of 27·32 + 32·64·9 a sixth
            ["net.yaml", "--goal", "macs=0.1x", "-q"],
            1,
            "",
        ),
        (
            ["resnet18", "--weights", "gone.safetensors"],
            2,
            "dscost: cannot read gone.safetensors: no such file",
        ),
        (
            ["resnet18", "--save", "no/x.safetensors"],
            2,
            "dscost: cannot write no/x.safetensors: there is no folder no",
        ),
        (["report.json"], 2, "dscost: "),
    ],
)
def test_real_processes_end_with_the_right_code(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "net.yaml").write_text(NET_FILE)
    is_started = "--goal" in arguments
    done = (start if is_started else forked)("convert", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == (1 if code == 2 else 0)
    assert ("MISSED: macs=0.1x, nearest 0.166x" in done.stdout) == (code == 1)


def test_the_library_plans_what_the_command_plans(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = dscost.plan("net.py:make", "params=0.5x", input=(1, 3, 16, 16))
    assert (
        dict(plan.layers)
        == converted("net.py:make", *INPUT, "--goal", "params=0.5x", capsys=capsys)["plan"]
    )
    with pytest.raises(dscost.DscostError, match=r"^goal: expected something like macs=0\.5x"):
        dscost.plan("net.py:make", "macs", input=(1, 3, 16, 16))
    with pytest.raises(dscost.DscostError, match=r"or input=\(1, 3, 224, 224\)$"):
        dscost.plan("net.py:make", "macs=0.5x")
    with pytest.raises(dscost.DscostError, match=r"^\(root\) is on meta, without weights"):
        dscost.convert(nn.Conv2d(32, 32, 3, device="meta"))
    with pytest.raises(dscost.DscostError, match=r"^\(root\) is on meta, without weights"):
        dscost.plan(nn.Conv2d(32, 32, 3, device="meta"), "macs=0.5x", input=(1, 32, 8, 8))


def test_markdown_has_the_layers_the_totals_and_the_curve(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["convert", "net.py:make", *INPUT, "--goal", "params=0.5x", "--format", "markdown"])
        == 0
    )
    told = capsys.readouterr().out
    assert told.startswith(
        "### net.py:make, input 1×3×16×16: 1 of 3 convolutions made depthwise-separable\n"
    )
    assert told.count("| :--") + told.count("| --: |") >= 3
    assert "← goal" in told
    assert "not an accuracy" in told
