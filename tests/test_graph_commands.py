"""An ONNX file as a target of every command."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import onnx
import pytest
from onnx import TensorProto, helper
from program import Ran, run

import dscost
from dscost.cli.candidates import candidates
from dscost.comparing.matching import partners
from dscost.errors import InputError
from dscost.schemas import schema
from dscost.traces.rules import FORMULAS

FLOAT = TensorProto.FLOAT
STEM, HEAD = 8 * 8 * 16 * 27, 16 * 10
"""MACs of a 3×3 convolution 3 → 16 at 8×8, and of a linear layer 16 → 10."""

YAML = """
input: [3, 8, 8]
layers:
  - {conv: 3, out_channels: 16, norm: batch, act: relu}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""


def stored(name: str, *shape: int) -> TensorProto:
    return helper.make_tensor(name, FLOAT, shape, [0.5] * onnx.numpy_helper.np.prod(shape))


def network(
    path: Path,
    *,
    names: Sequence[str] = (
        "/conv1/Conv",
        "/conv1_act/Relu",
        "/pool/Pool",
        "/flatten/Flatten",
        "/linear1/Gemm",
    ),
    axes: Sequence[int | str] = (1, 3, 8, 8),
    channels: int = 16,
    head: str = "Gemm",
    domain: str = "",
    output: Sequence[int] | None = None,
) -> str:
    """Write a small classifier as an exporter does: its normalisation is folded into the convolution."""
    conv, act, pool, flat, linear = names
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name=conv, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name=act),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name=pool),
        helper.make_node("Flatten", ["p"], ["f"], name=flat),
        helper.make_node(head, ["f", "v", "z"], ["y"], name=linear, domain=domain),
    ]
    weights = [
        stored("w", channels, 3, 3, 3),
        stored("b", channels),
        stored("v", channels, 10),
        stored("z", 10),
    ]
    inputs = [helper.make_tensor_value_info("x", FLOAT, axes)]
    outputs = [helper.make_tensor_value_info("y", FLOAT, output)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return str(path)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return network(tmp_path / "net.onnx")


@pytest.fixture
def yaml(tmp_path: Path) -> str:
    (tmp_path / "net.yaml").write_text(YAML, encoding="utf-8")
    return str(tmp_path / "net.yaml")


def one_line(ran: Ran) -> str:
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
    return ran.stderr.removeprefix("dscost: ").rstrip("\n")


# -- compare


def test_an_export_is_held_against_its_model_by_the_modules_of_its_nodes(
    net: str, yaml: str
) -> None:
    found = dscost.compare(yaml, net)
    (versus,) = found.versus
    statuses = {pair.reference.name: pair.status for pair in versus.layers if pair.reference}
    assert statuses == {
        **dict.fromkeys(("conv1", "conv1_norm"), "folded"),
        **dict.fromkeys(("conv1_act", "global_pool1", "flatten1", "linear1"), "same"),
    }
    assert [pair.layer.name for pair in versus.layers if pair.is_renamed] == ["pool", "flatten"]
    assert versus.folded == 1
    # 16 scales and 16 shifts are gone, 16 biases have come
    assert versus.totals[0].change == 16 - 32
    assert "net.onnx lacks 1 normalisation: an export folds it" in " ".join(found.notes)


def test_a_folded_normalisation_is_one_line_and_adds_up(net: str, yaml: str) -> None:
    printed = run("compare", yaml, net, "--layers").stdout
    (line,) = (line for line in printed.splitlines() if "folded into" in line)
    assert line.startswith("(1 normalisation folded into other layers)")
    assert "−16" in line
    data = json.loads(run("compare", yaml, net, "--json").stdout)["differences"][0]
    assert data["layer_counts"]["folded"] == 2
    changes = sum(layer["params"]["change"] for layer in data["layers"])
    assert changes == data["totals"]["params"]["change"]


def test_nodes_whose_names_tell_nothing_are_matched_by_what_they_are(
    tmp_path: Path, yaml: str
) -> None:
    path = network(tmp_path / "plain.onnx", names=("n0", "n1", "n2", "n3", "n4"))
    (versus,) = dscost.compare(yaml, path).versus
    pairs = {
        pair.reference.name: pair.layer.name
        for pair in versus.layers
        if pair.reference and pair.other
    }
    assert pairs["conv1"] == "n0"
    assert pairs["linear1"] == "n4"


def test_two_files_go_by_their_own_names(net: str, tmp_path: Path) -> None:
    wider = network(tmp_path / "wider.onnx", channels=32)
    (versus,) = dscost.compare(net, wider).versus
    assert [pair.layer.name for pair in versus.layers][:2] == ["/conv1/Conv", "/conv1_act/Relu"]
    assert versus.count_of("changed") == 5


@pytest.mark.torch
def test_the_files_of_two_exporters_are_the_same_under_other_names(
    net: str, tmp_path: Path
) -> None:
    other = network(tmp_path / "other.onnx", names=("n0", "n1", "n2", "n3", "n4"))
    (versus,) = dscost.compare(net, other).versus
    assert (versus.count_of("same"), versus.renamed) == (5, 5)


@pytest.mark.torch
def test_numbers_that_torch_gives_nodes_anew_do_not_tell_which_belong_together(net: str) -> None:
    layer = dscost.analyze(net).layers[0]
    old = [
        layer._replace(name="node_conv2d_3", origin="gate.squeeze"),
        layer._replace(name="node_conv2d_4", origin="gate.excite"),
    ]
    renumbered = [
        layer._replace(name=f"node_conv2d_{number}")
        for number, layer in zip((4, 6), old, strict=True)
    ]
    assert partners(old, renumbered) == {0: 0, 1: 1}


def test_what_cannot_be_timed_is_said_once(net: str, tmp_path: Path) -> None:
    other = network(tmp_path / "other.onnx", channels=8)
    told = one_line(run("compare", net, other, "--time"))
    why = "torch runs no ONNX file: give --runtime onnxruntime"
    assert told == f"there is nothing to time: {why}"
    ran = run("model", net)
    assert ran.returncode == 0
    assert (ran.stdout + ran.stderr).count(f"Not timed: {why}.") == 1
    with pytest.raises(InputError, match=rf"net\.onnx cannot be timed: {why}"):
        dscost.analyze(net, time=True)


# -- what it is given


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model", "net.onnx", "--train"], "net.onnx is an ONNX file: --train has no meaning for it"),
        (["model", "net.onnx", "--set", "width=2"], "net.onnx is an ONNX file: --set has no meaning for it"),
        (["model", "net.onnx", "--kwargs", "width=2"], "net.onnx is an ONNX file, not a factory: --kwargs has no meaning"),
        (["model", "net.onnx", "--dtype", "float16", "--no-time"], "net.onnx is an ONNX file: --dtype has no meaning for it, its tensors are of their own dtypes"),
        (["model", "net.onnx:Net"], "net.onnx:Net: an ONNX file is one model: give net.onnx alone"),
        (["verify", "net.onnx", "--set", "width=2"], "net.onnx is an ONNX file: --set has no meaning for it"),
    ],
)  # fmt: skip
def test_what_means_nothing_for_a_file_is_refused(net: str, words: list[str], told: str) -> None:
    assert one_line(run(*words, cwd=Path(net).parent)) == told


def test_without_onnx_its_pip_command_is_told(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] == "onnx" or name.startswith("dscost.graphs")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for command in ("model", "verify"):
        told = one_line(run(command, net))
        assert told == "onnx is not installed: pip install 'dscost[onnx]'"


# -- what it prints and writes


def test_a_saved_report_is_read_back(net: str, tmp_path: Path) -> None:
    saved = tmp_path / "net.json"
    assert run("model", net, "--no-time", "-o", str(saved)).returncode == 0
    (subject,) = json.loads(saved.read_text())["subjects"]
    assert subject["source"] == "onnx"
    assert subject["totals"]["as_is"]["macs"] == STEM + HEAD
    assert dscost.analyze(str(saved)).layers == dscost.analyze(net).layers
    assert dscost.compare(net, str(saved)).versus[0].count_of("same") == 5
    jsonschema.validate(json.loads(saved.read_text()), schema("report"))


def test_the_tree_and_its_depth_follow_the_modules_of_nodes(tmp_path: Path) -> None:
    names = ("/body/body.0/Conv", "/body/body.0/Relu", "/body/pool/Pool", "/Flatten", "/head/Gemm")
    net = network(tmp_path / "net.onnx", names=names)
    tree = run("model", net, "--no-time", "--tree", "--columns", "kind,macs").stdout
    rows = [line.split() for line in tree.splitlines() if line.startswith(("├", "└", "│", " "))]
    assert rows == [
        ["├─", "body", "3", "layers", "27.65k"],
        ["│", "├─", "0", "2", "layers", "27.65k"],
        ["│", "│", "├─", "Conv", "conv", "3×3", "27.65k"],
        ["│", "│", "└─", "Relu", "Relu", "0"],
        ["│", "└─", "pool", "GlobalAveragePool", "0"],
        ["├─", "Flatten", "Flatten", "0"],
        ["└─", "head", "Gemm", "160"],
    ]
    assert "frozen" not in tree
    table = run("model", net, "--no-time", "--depth", "1", "--columns", "macs").stdout
    assert [line.split()[0] for line in table.splitlines()[5:8]] == [
        "/body",
        "/Flatten",
        "/head/Gemm",
    ]


def test_nodes_of_one_name_are_all_in_the_tree(tmp_path: Path) -> None:
    names = ("/act/Conv", "/act/Relu", "/act/Relu", "/act/Relu", "/act/Relu")
    net = network(tmp_path / "net.onnx", names=names)
    tree = run("model", net, "--no-time", "--tree", "--columns", "macs").stdout
    assert "act " in tree
    assert tree.count("Relu") >= 1
    assert "27.81k" in tree.splitlines()[6]


def test_an_unknown_operator_is_named_and_makes_totals_partial(tmp_path: Path) -> None:
    net = network(tmp_path / "net.onnx", head="Mystery", domain="com.acme")
    ran = run("model", net, "--no-time")
    assert ran.returncode == 0
    assert "The total is partial: operators of unknown cost: com.acme::Mystery (1×)" in ran.stdout
    assert dscost.analyze(net).coverage.unknown == ("com.acme::Mystery (1×)",)
    told = one_line(run("model", net, "--no-time", "--strict"))
    assert told == f"{net}: operators of unknown cost: com.acme::Mystery (1×)"
    ran = run("verify", net)
    assert ran.returncode == 2
    assert (
        "Not all of it was counted twice: operators of unknown cost: com.acme::Mystery (1×)"
        in ran.stdout
    )


def test_an_operator_can_be_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMULAS, "com.acme::Mystery", raising=False)
    net = network(tmp_path / "net.onnx", head="Mystery", domain="com.acme", output=(1, 10))
    dscost.register_formula("com.acme::Mystery", op="linear")(
        lambda x, w, *_, out, **__: out[1] * w[0]
    )
    try:
        report = dscost.analyze(net, strict=True)
    finally:
        del FORMULAS["com.acme::Mystery"]
    assert (report.layers[-1].op, report.layers[-1].cost.macs) == ("linear", HEAD)


# -- budgets


def test_a_budget_judges_it_and_names_its_layers(net: str, tmp_path: Path) -> None:
    budget = tmp_path / "dscost.yaml"
    assert run("init", "net.onnx", cwd=tmp_path).returncode == 0
    assert "target: net.onnx" in budget.read_text()
    assert run("baseline", "save", cwd=tmp_path).returncode == 0
    assert run("check", "--strict", cwd=tmp_path).returncode == 0
    budget.write_text(
        f"""version: 1
models:
  - target: net.onnx
    limits: {{macs: {STEM + HEAD}}}
    layers:
      - {{match: "type:Conv[kernel=3]", total: {{macs: {STEM}}}}}
      - {{match: "/conv1/*", total: {{macs: {STEM}}}}}
      - {{match: "op:linear", total: {{macs: {HEAD - 1}}}}}
    exclude:
      - {{match: "/pool/Pool", reason: none}}
"""
    )
    ran = run("check", cwd=tmp_path)
    assert ran.returncode == 1
    assert "3 limits hold, 1 over budget" in ran.stdout
    (finding,) = (one for one in dscost.check(budget).findings if one.is_violation)
    assert (finding.value, finding.limit) == (HEAD, HEAD - 1)


def test_open_axes_are_bound_by_the_name_of_the_input(tmp_path: Path) -> None:
    network(tmp_path / "net.onnx", axes=("n", 3, "h", "w"))
    budget = tmp_path / "dscost.yaml"
    for given in ('"x=2,3,8,8"', "{x: [2, 3, 8, 8]}", '["x=2,3,8,8"]', "[2, 3, 8, 8]"):
        model = f"{{target: net.onnx, input: {given}, limits: {{macs: {2 * (STEM + HEAD)}}}}}"
        budget.write_text(f"version: 1\nmodels:\n  - {model}\n")
        assert dscost.check(budget).exit_code == 0
    budget.write_text("version: 1\nmodels:\n  - {target: net.onnx, limits: {macs: 1}}\n")
    ran = run("check", cwd=tmp_path)
    assert ran.returncode == 2
    assert "net.onnx: the file leaves open 'n', 'h', 'w' of 'x': give sizes" in ran.stdout


def test_an_export_that_grew_is_seen_against_the_commit_before(net: str, tmp_path: Path) -> None:
    budget = "version: 1\nbaseline: kept.json\nmodels:\n  - {target: net.onnx, limits: {macs: {max_increase: 0%}}}\n"
    (tmp_path / "dscost.yaml").write_text(budget)
    run("baseline", "save", cwd=tmp_path)
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        [*AUTHOR, "commit", "-q", "-m", "before"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    network(tmp_path / "net.onnx", channels=20)
    ran = run("check", "--against", "main", cwd=tmp_path)
    assert ran.returncode == 1
    assert "/conv1/Conv: 16 → 20 output channels" in ran.stdout


AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


def test_completion_offers_files_of_that_kind(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(net).parent)
    found = candidates("model", "target")
    assert found is not None
    assert "net.onnx" in found(None, "")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["csv", "md", "tex"])
def test_every_format_has_its_layers(net: str, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"costs.{suffix}"
    dscost.analyze(net).save(path)
    text = path.read_text(encoding="utf-8").replace("\\", "")
    assert "/conv1/Conv" in text


def test_a_device_bounds_it(net: str) -> None:
    report = dscost.analyze(net, on="t4")
    assert report.predictions["t4"]["as_is"].roofline_s > 0
    assert report.layers[0].predictions["t4"]["standard"].bound == "memory"
