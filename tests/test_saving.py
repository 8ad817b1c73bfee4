"""What `dscost convert --save` writes, read by those who would read it."""

import io
import json
from pathlib import Path

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from program import run
from safetensors import safe_open
from torch import nn

import dscost

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.a = nn.Conv2d(3, 32, 3, padding=1)
        self.b = nn.Conv2d(32, 32, 3, padding=1)
        self.c = nn.Conv2d(32, 32, 3, padding=1)
        self.c.weight = self.b.weight
        self.norm = nn.BatchNorm2d(32)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        x = self.drop(self.norm(self.c(torch.relu(self.b(torch.relu(self.a(x)))))))
        return self.head(x.mean((2, 3)))

class OneByOne(Net):
    def forward(self, x):
        return super().forward(x.reshape(1, 3, 8, 8))

class Looking(Net):
    def forward(self, x):
        y = super().forward(x)
        return y if y.is_meta or float(y.sum()) > 1e9 else y + 0

class TwoInputs(Net):
    def forward(self, image, *, scale):
        return {"out": super().forward(image) * scale}
"""
SHAPE = (1, 3, 8, 8)
INPUT = ["--input", "1,3,8,8"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def net(name: str = "Net") -> nn.Module:
    scope: dict[str, type[nn.Module]] = {}
    exec(NET, scope)
    return scope[name]()


def cheaper(name: str = "Net") -> nn.Module:
    return dscost.convert(net(name), input=SHAPE, rank=2).eval()


def save(folder: Path, file: str, name: str = "Net", *, given: list[str] = INPUT) -> str:
    ran = run("convert", f"net.py:{name}", *given, "--rank", "2", "--save", file, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def test_pt_is_a_state_dict_that_loads_without_code(here: Path) -> None:
    assert save(here, "out.pt") == "wrote out.pt\n"
    state = torch.load(here / "out.pt", weights_only=True)
    new = dscost.convert(net(), rank=2).eval()
    nn.init.zeros_(new.get_parameter("b.pointwise.weight"))
    new.load_state_dict(state)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(new(x), cheaper()(x))
    # tied weights stand under both names, and in the file once
    assert state["b.depthwise.weight"].data_ptr() == state["c.depthwise.weight"].data_ptr()
    assert state._metadata["norm"]["version"] == 2


def test_pt2_is_a_program_for_inference_that_takes_any_batch(here: Path) -> None:
    assert save(here, "out.pt2") == "wrote out.pt2 (for inference, of any batch)\n"
    program = torch.export.load(here / "out.pt2")
    model, expected = program.module(), cheaper()
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 8, 8)
        torch.testing.assert_close(model(x), expected(x))
    with pytest.raises(AssertionError, match="8"):
        model(torch.randn(1, 3, 9, 9))
    # its example is what was asked for, so that it is counted on that
    ran = run("model", "out.pt2", "--no-time", "--json", cwd=here)
    report = json.loads(ran.stdout)["subjects"][0]
    assert report["inputs"][0]["shape"] == [1, 3, 8, 8]
    separable = 2 * 32 * 9 + 2 * 32 * 32
    macs = (32 * 27 + 2 * separable) * 64 + 32 * 5
    assert report["totals"]["as_is"]["macs"] == macs


def test_pt2_of_a_model_of_one_batch_takes_that_alone(here: Path) -> None:
    told = save(here, "out.pt2", "OneByOne")
    assert told == "wrote out.pt2 (for inference, of batch 1 only)\n"
    model, x = torch.export.load(here / "out.pt2").module(), torch.randn(SHAPE)
    torch.testing.assert_close(model(x), cheaper("OneByOne")(x))


def test_pt2_takes_and_returns_what_the_forward_does(here: Path) -> None:
    given = ["--input", "2,3,8,8", "--input", "scale=2,1"]
    assert "of any batch" in save(here, "out.pt2", "TwoInputs", given=given)
    model = torch.export.load(here / "out.pt2").module()
    x, scale = torch.randn(3, 3, 8, 8), torch.randn(3, 1)
    torch.testing.assert_close(model(x, scale=scale)["out"], cheaper()(x) * scale)


def test_onnx_computes_what_the_model_does_for_any_batch(here: Path) -> None:
    assert save(here, "out.onnx") == "wrote out.onnx (for inference, of any batch)\n"
    model = onnx.load(here / "out.onnx")
    onnx.checker.check_model(model, full_check=True)
    (dimension, *sizes) = model.graph.input[0].type.tensor_type.shape.dim
    assert (dimension.dim_param, [size.dim_value for size in sizes]) == ("batch", [3, 8, 8])
    x = torch.randn(2, 3, 8, 8)
    (found,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), cheaper()(x).detach())


def test_safetensors_have_the_weights_of_the_state_dict(here: Path) -> None:
    save(here, "out.safetensors")
    save(here, "out.pt")
    state = torch.load(here / "out.pt", weights_only=True)
    with safe_open(here / "out.safetensors", "pt") as saved:
        assert set(saved.keys()) == set(state)
        assert all(torch.equal(saved.get_tensor(name), state[name]) for name in state)


@pytest.mark.parametrize("file", ["out.pth", "out", "out.PT2.zip", "-"])
def test_an_unknown_ending_lists_the_known_ones_before_any_work(here: Path, file: str) -> None:
    ran = run("convert", "net.py:gone", "--save", file, cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --save: expected a file ending in .pt (a state dict), .pt2 (a program of "
        f"torch.export), .onnx (ONNX) or .safetensors (weights and the plan), found '{file}'\n"
    )


def test_what_cannot_be_exported_leaves_the_old_file_and_writes_the_plan(here: Path) -> None:
    (here / "out.pt2").write_bytes(b"before")
    files = ["--save", "out.pt2", "--save-plan", "plan.yaml"]
    ran = run("convert", "net.py:Looking", *INPUT, *files, cwd=here)
    assert ran.returncode == 2
    assert "2 of 3 convolutions made depthwise-separable" in ran.stdout
    told = ran.stderr.splitlines()
    assert told[0] == "wrote plan.yaml"
    assert told[1].startswith("dscost: cannot write out.pt2: torch.export cannot export it: ")
    assert len(told) == 2
    assert (here / "out.pt2").read_bytes() == b"before"
    assert "b: 1" in (here / "plan.yaml").read_text()


def test_without_onnxscript_the_command_that_installs_it_is_named_before_any_work(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    ran = run("convert", "net.py:gone", "--save", "out.onnx", cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: onnxscript is not installed: pip install 'dscost[onnx-export]'\n"


def test_weights_that_are_a_part_of_something_larger_are_saved_alone(here: Path) -> None:
    from dscost.converting.saving import _as_state_dict

    module = nn.Linear(4, 2)
    module.weight = nn.Parameter(torch.zeros(1000, 4)[:2])
    content = _as_state_dict(module)
    assert len(content) < 1000 * 4 * 4
    assert torch.load(io.BytesIO(content), weights_only=True)["weight"].shape == (2, 4)


def test_several_files_of_one_model_are_written_at_once(here: Path) -> None:
    both = ["--save", "a.pt", "--save", "a.safetensors"]
    assert run("convert", "net.py:Net", *INPUT, *both, cwd=here).returncode == 0
    state = torch.load(here / "a.pt", weights_only=True)
    with safe_open(here / "a.safetensors", "pt") as file:
        assert {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
        assert torch.equal(file.get_tensor("head.weight"), state["head.weight"])
    twice = run("convert", "net.py:Net", *INPUT, "--save", "b.pt", "--save", "b.pt", cwd=here)
    assert (twice.returncode, (here / "b.pt").exists()) == (2, False)
