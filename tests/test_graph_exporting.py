"""`--export onnx=FILE` and `dscost.export_onnx`: a layer, an architecture and a torch model as ONNX files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from program import run

import dscost
from dscost.cli.convert import Saves
from dscost.cli.model_files import ModelFile
from dscost.converting import writing
from dscost.errors import InputError

NETWORK = """\
input: [3, 16, 16]
layers:
  - {conv: 3, out_channels: 32, bias: false, name: stem}
  - {depthwise: 3, name: dw}
  - {conv: 1, out_channels: 64, name: pw}
"""
NET = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))

def with_ones():
    net = Net()
    nn.init.ones_(net.head.weight)
    return net
"""


def figures(path: Path) -> tuple[int | None, int | None]:
    cost = dscost.analyze(path).totals.as_is
    return cost.params, cost.macs


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


# -- layers


def test_a_layer_is_written_as_it_is_and_as_a_variant(tmp_path: Path) -> None:
    files = ("onnx=layer.onnx", "onnx:depthwise-separable=sep.onnx", "onnx:grouped:8=g8.onnx")
    exports = [f"--export={one}" for one in files]
    ran = run("layer", "256", "256", "3", "--no-time", *exports, cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stderr.splitlines() == [
        "wrote layer.onnx (standard, of batch 1, random weights)",
        "wrote sep.onnx (depthwise-separable, of batch 1, random weights)",
        "wrote g8.onnx (grouped:8, of batch 1, random weights)",
    ]
    positions = 14 * 14
    standard, separable = 256 * 256 * 9, 256 * 9 + 256 * 256
    assert figures(tmp_path / "layer.onnx") == (standard, standard * positions)
    assert figures(tmp_path / "sep.onnx") == (separable, separable * positions)
    assert figures(tmp_path / "g8.onnx")[1] == (standard // 8) * positions


def test_the_ending_alone_says_that_it_is_the_model(tmp_path: Path) -> None:
    layer = ("layer", "8", "12", "3", "--no-time", "-q", "--batch", "2", "--size", "5,7")
    assert run(*layer, "--export", "a.onnx", cwd=tmp_path).returncode == 0
    (given,) = onnx.load(tmp_path / "a.onnx").graph.input
    assert [one.dim_value for one in given.type.tensor_type.shape.dim] == [2, 8, 5, 7]


def test_the_depthwise_separable_file_has_the_layers_own_depth_multiplier(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    report = dscost.layer(8, 12, 3, depth_multiplier=2, variants="ghost")
    dscost.export_onnx(report, file, "depthwise_separable")
    assert figures(file)[0] == 2 * 8 * 9 + 2 * 8 * 12


def test_a_transposed_layer_in_one_dimension_is_written(tmp_path: Path) -> None:
    report = dscost.layer(8, 12, 4, dims=1, transposed=True, stride=2, input_size=10, bias=True)
    dscost.export_onnx(report, tmp_path / "a.onnx")
    assert figures(tmp_path / "a.onnx") == (8 * 12 * 4 + 12, 10 * 8 * 12 * 4)


# -- models


def test_an_architecture_is_written_in_each_version(here: Path) -> None:
    exports = ("--export=n.onnx", "--export=onnx:standard=s.onnx", "--export=onnx:as-is=a.onnx")
    ran = run("model", "net.yaml", "--no-time", *exports, cwd=here)
    assert ran.stderr.splitlines() == [
        "wrote n.onnx (as it is, of batch 1, random weights)",
        "wrote s.onnx (standard, of batch 1, random weights)",
        "wrote a.onnx (as it is, of batch 1, random weights)",
    ]
    said = dscost.analyze(str(here / "net.yaml")).totals
    assert figures(here / "n.onnx") == (said.as_is.params, said.as_is.macs)
    assert figures(here / "s.onnx") == (said.standard.params, said.standard.macs)
    assert figures(here / "s.onnx")[1] == (3 * 32 * 9 + 32 * 64 * 9) * 16 * 16
    assert (here / "n.onnx").read_bytes() == (here / "a.onnx").read_bytes()


def test_settings_and_dtype_are_those_of_the_count(tmp_path: Path) -> None:
    asked = ("--set", "width=0.25", "--dtype", "float16", "--batch", "3", "--input", "1,3,64,64")
    ran = run(
        *("model", "mobilenet_v1", *asked, "--no-time", "--export=json=r.json", "--export=m.onnx"),
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    said = dscost.analyze(str(tmp_path / "r.json")).totals.as_is
    cost = dscost.analyze(tmp_path / "m.onnx").totals.as_is
    assert (cost.params, cost.macs) == (said.params, said.macs)
    assert cost.weight_bytes == said.weight_bytes == 2 * (said.params or 0)


def test_built_ins_are_written_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from dscost.cli import run; code = run(sys.argv[1:]); "
        "sys.exit(code or any(one in sys.modules for one in ('torch', 'onnx.reference')))"
    )
    for command in ("model mobilenet_v1", "layer 8 8 3"):
        words = [*command.split(), "--no-time", "-q", "--export", "a.onnx"]
        ran = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, check=False)
        assert ran.returncode == 0


@pytest.mark.torch
def test_a_torch_model_is_written_with_the_weights_that_it_keeps(here: Path) -> None:
    asked = ("model", "net.py:with_ones", "--input", "2,3,8,8", "--no-time", "--export=r.json")
    ran = run(*asked, "--export=onnx:depthwise_separable=s.onnx", cwd=here)
    wrote = "wrote s.onnx (depthwise-separable, of batch 2 only, random weights where layers were"
    assert ran.stderr.startswith(wrote)
    said = dscost.analyze(str(here / "r.json")).totals.depthwise_separable
    assert figures(here / "s.onnx") == (said.params, said.macs)
    stored = map(numpy_helper.to_array, onnx.load(here / "s.onnx").graph.initializer)
    (head,) = [one for one in stored if one.ndim == 2]
    assert (head == 1).all()


def test_an_export_of_a_conversion_is_one_more_file_to_save() -> None:
    saves = Saves(save=[Path("a.pt")]).with_exported([ModelFile(None, Path("b.onnx"), "b.onnx")])
    assert saves.models == [Path("a.pt"), Path("b.onnx")]


# -- what is refused

FIT = "--export: expected onnx=FILE.onnx or onnx:VERSION=FILE.onnx, found"
ELSEWHERE = "an ONNX file holds a model, which dscost {} does not write; dscost layer, dscost model"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("layer 8 8 3 --export onnx=a.bin", f"{FIT} 'onnx=a.bin'"),
        ("layer 8 8 3 --export onnx:=a.onnx", f"{FIT} 'onnx:=a.onnx'"),
        (
            "layer 8 8 3 --export onnx:goost=a.onnx",
            "unknown variant 'goost' (did you mean 'ghost'?)",
        ),
        (
            "layer 8 8 1 --export onnx:depthwise_separable=a.onnx",
            "cannot write the layer as depthwise_separable: no depthwise-separable variant: a 1×1",
        ),
        ("layer 8 8 3 --export no/a.onnx", "cannot write no/a.onnx: there is no folder no"),
        ("layer 8 8 3 --dtype int8 --export a.onnx", "unknown dtype of an ONNX file 'int8'"),
        (
            "layer 8 8 3 --export a.onnx --export ./a.onnx",
            "two results would be written to one file",
        ),
        ("layer 8 8 3 -o a.onnx", "onnx is the model, not what it costs: --export onnx=a.onnx"),
        (
            "layer 8 8 3 --format onnx",
            "onnx is the model, not what it costs: --export onnx=FILE.onnx",
        ),
        (
            "model net.yaml --export onnx:ghost=a.onnx",
            "unknown version of a model 'ghost' (known: as_is",
        ),
        ("model net.yaml --export onnx=net.yaml", FIT),
        pytest.param(
            "model net.yaml --train --export a.onnx",
            "net.yaml was counted for training: only inference can be written",
            marks=pytest.mark.torch,
        ),
        ("model given.onnx --export a.onnx", "given.onnx is an ONNX file already"),
        ("model given.onnx --export ./given.onnx", "given.onnx is read as the target"),
        (
            "model saved.json --export a.onnx",
            "a saved report of net.yaml has its figures, not the model itself",
        ),
        ("compare net.yaml net.yaml --export a.onnx", ELSEWHERE.format("compare")),
        ("list --export onnx=a.onnx", ELSEWHERE.format("list")),
        (
            "convert net.yaml --export onnx:standard=a.onnx",
            "it is the converted model that is written",
        ),
    ],
)
def test_what_is_refused_says_why_in_a_line(here: Path, arguments: str, told: str) -> None:
    exports = ("--export=given.onnx", "--export=saved.json")
    run("model", "net.yaml", "--no-time", "-q", *exports, cwd=here)
    command = arguments.split()
    untimed = ["--no-time"] if command[0] in ("layer", "model") else []
    ran = run(*command, *untimed, cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert told in line
    assert not (here / "a.onnx").exists()


@pytest.mark.torch
def test_a_model_that_is_in_a_process_of_its_own_is_refused(
    here: Path, forked_workers: None
) -> None:
    asked = ("model", "net.py:Net", "--input", "1,3,8,8", "--no-time", "--isolate")
    ran = run(*asked, "--export", "a.onnx", cwd=here)
    assert ran.returncode == 2
    assert "net.py:Net is in a process of its own, see --isolate" in ran.stderr


@pytest.mark.torch
def test_a_torch_model_without_onnxscript_is_refused_before_any_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    (here / "net.py").write_text("raise SystemError('it is run')")
    ran = run("model", "net.py:Net", "--no-time", "--export", "a.onnx", cwd=here)
    told = "dscost: onnxscript is not installed: pip install 'dscost[onnx-export]'\n"
    assert (ran.returncode, ran.stderr) == (2, told)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (
            lambda file: dscost.export_onnx("resnet18", f"{file}.bin"),
            "expected a file ending in .onnx",
        ),
        (
            lambda file: dscost.export_onnx(dscost.layer(8, 8, 3), file, batch=2),
            "a report is of one input, counted already: batch cannot change it",
        ),
        (
            lambda file: dscost.export_onnx(dscost.analyze("resnet18"), file),
            "a report of resnet18 has its figures, not the model itself",
        ),
        (
            lambda file: dscost.export_onnx("resnet18", file, (1, 3, 96, 96)),  # type: ignore[arg-type]
            "a version is a name such as 'standard', found (1, 3, 96, 96): an input is given as input=…",
        ),
    ],
)
def test_from_python_as_well(tmp_path: Path, write: Callable[[str], None], told: str) -> None:
    with pytest.raises(InputError) as refused:
        write(str(tmp_path / "a.onnx"))
    assert told in str(refused.value)


def test_onnx_is_offered_where_a_model_is_written(tmp_path: Path) -> None:
    assert (
        "onnx      [.onnx] The model itself, by --export onnx=FILE" in run("list", "formats").stdout
    )
