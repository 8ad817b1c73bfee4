"""Programs of torch.export: the layers, pairs, names and classes of the model that was exported."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.export import Dim
from torch.utils import _pytree as pytree

import dscost
from dscost import cli
from dscost.errors import InputError
from dscost.sources import Opening, hierarchies
from dscost.sources.programs import from_export

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.pointwise = (
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 16, 1),
        )
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(x))))


class Net(nn.Module):
    """A convolution, a depthwise-separable pair, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = (
            nn.Conv2d(3, 8, 3, padding="same"),
            Block(),
            nn.Linear(16, 5),
        )

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.block(self.stem(x)).mean((2, 3))
        return {"out": self.head(y), "parts": [y, x.shape[0], None]}


MACS = {
    "stem": 2 * 81 * 8 * 3 * 9,
    "block.depthwise": 2 * 81 * 8 * 9,
    "block.pointwise": 2 * 81 * 8 * 16,
    "head": 2 * 16 * 5,
}
"""For two images of 9×9."""
STANDARD = MACS["stem"] + 2 * 81 * 8 * 16 * 9 + MACS["head"]

Exported = Callable[..., str]


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    def export(
        module: nn.Module,
        *args: Any,
        decomposed: bool = False,
        shapes: Any = None,
        kwargs: dict[str, Any] | None = None,
    ) -> str:
        program = torch.export.export(module, args, kwargs or {}, dynamic_shapes=shapes)
        path = tmp_path / "net.pt2"
        torch.export.save(program.run_decompositions() if decomposed else program, path)
        return str(path)

    return export


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def layers_of(report: dscost.Report) -> dict[str, int]:
    return {layer.name: layer.cost.macs for layer in report.layers if layer.cost.macs}


@pytest.mark.parametrize(("decomposed", "training"), [(False, False), (True, False), (True, True)])
def test_a_program_has_the_layers_and_pairs_of_its_model(
    exported: Exported, decomposed: bool, training: bool
) -> None:
    net = Net().train(training)
    path = exported(net, images(), decomposed=decomposed)
    report = dscost.analyze(path, strict=True)
    assert layers_of(report) == MACS
    classes = {layer.name: layer.type for layer in report.layers}
    assert classes.keys() == {*MACS, "", "block", "block.norm"}
    assert (classes[""], classes["block"], classes["block.norm"]) == ("Net", "Block", "BatchNorm2d")
    assert [classes[name] for name in MACS] == ["Conv2d", "Conv2d", "Conv2d", "Linear"]
    assert [layer.name for layer in report.layers if layer.pair] == [
        "block.depthwise",
        "block.pointwise",
    ]
    assert report.totals.standard.macs == STANDARD
    assert report.totals.as_is.params == sum(parameter.numel() for parameter in net.parameters())
    assert report.warnings == ()
    assert training or dscost.verify(path).agrees


class Widening(nn.Module):
    """Transposed convolutions beside one that is none, and constants that JSON does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 3, stride=2)
        self.same = nn.ConvTranspose2d(8, 8, 3, padding=1, groups=2, bias=False)
        self.last = nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x).clamp(-math.inf, math.inf)
        return self.last(torch.nan_to_num(self.same(y) + math.nan))


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_transposed_convolution_of_a_program_stays_one(
    exported: Exported, decomposed: bool
) -> None:
    net = Widening().eval()
    report = dscost.analyze(exported(net, images(), decomposed=decomposed), strict=True)
    # a weight of `up` meets each of 9×9 positions, one of `same` each of 19×19
    assert layers_of(report) == {
        "up": 2 * 81 * 8 * 3 * 9,
        "same": 2 * 19 * 19 * 8 * 4 * 9,
        "last": 2 * 17 * 17 * 4 * 8 * 9,
    }
    own = dscost.analyze(net, input=(2, 3, 9, 9))
    assert layers_of(own) == layers_of(report)
    for version in ("as_is", "standard", "depthwise_separable"):
        assert getattr(report.totals, version).macs == getattr(own.totals, version).macs


def test_a_program_that_torch_cannot_unflatten_keeps_its_layers(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    unflattened, tries = hierarchies.UnflattenedModule, []

    def fail_once(program: Any) -> Any:
        tries.append(program)
        if len(tries) % 2:
            raise RuntimeError("modules that do not nest")
        return unflattened(program)

    monkeypatch.setattr(hierarchies, "UnflattenedModule", fail_once)
    net = Net().eval()
    path = exported(net, images())
    report = dscost.analyze(path)
    assert layers_of(report) == MACS
    assert report.totals.standard.macs == STANDARD
    assert {
        layer.name: (layer.type, layer.calls) for layer in report.layers if layer.cost.macs
    } == {name: ("Linear" if name == "head" else "Conv2d", 1) for name in MACS}
    torch.testing.assert_close(from_export(path, Opening()).module(images()), net(images()))
    assert len(tries) == 4


# -- what programs take and give


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        )

    def forward(self, x: Tensor, y: Tensor | None = None, *, scale: Tensor | None = None) -> Tensor:
        x = self.a(x) if y is None else self.a(x) + self.b(y)
        return x if scale is None else x * scale


class OfDicts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, batch: dict[str, Any]) -> tuple[Any, ...]:
        return self.conv(batch["image"]), [batch["mask"]], {"n": 3}


class Mutating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("scale", torch.ones(4, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)  # type: ignore[operator]
        return self.conv(x) * self.scale + self.calls + torch.arange(7, device=x.device)  # type: ignore[no-any-return]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids))  # type: ignore[no-any-return]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x).relu()[:, :, ::2])  # type: ignore[no-any-return]


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.parts = nn.ModuleDict({"1x1": nn.Conv2d(4, 4, 1), "a b": nn.Conv2d(4, 4, (3, 1))})

    def forward(self, x: Tensor) -> Tensor:
        return self.parts["a b"](self.parts["1x1"](nn.functional.conv2d(x, self.kernel)))  # type: ignore[no-any-return]


KINDS: dict[str, tuple[nn.Module, tuple[Any, ...], dict[str, Any], int, int]] = {
    "two inputs": (Several(), (images(), images()), {}, 2 * 2 * 81 * 4 * 27, 2 * 112),
    "keywords": (
        Several(),
        (images(),),
        {"scale": torch.ones(1), "y": images()},
        2 * 2 * 81 * 4 * 27,
        2 * 112,
    ),
    "dicts": (
        OfDicts(),
        ({"image": images(), "mask": torch.ones(2, dtype=torch.bool)},),
        {},
        2 * 49 * 4 * 27,
        112,
    ),
    "buffers that change": (Mutating(), (images(),), {}, 2 * 49 * 4 * 27, 112),
    "tied weights": (Tied(), (torch.zeros(2, 5, dtype=torch.long),), {}, 2 * 5 * 20 * 8, 20 * 8),
    "a layer that runs twice": (Twice(), (images(),), {}, 2 * 81 * 3 * 27 + 2 * 45 * 3 * 27, 84),
    "functions and odd names": (
        *(Functional(), (images(),), {}),
        *(2 * 49 * 4 * 27 + 2 * 49 * 16 + 2 * 35 * 4 * 12, 108 + 20 + 52),
    ),
    "bfloat16": (Several().bfloat16(), (images().bfloat16(),), {}, 2 * 81 * 4 * 27, 2 * 112),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_computes_and_costs_what_its_model_does(exported: Exported, kind: str) -> None:
    module, args, kwargs, macs, params = KINDS[kind]
    path = exported(module.eval(), *args, kwargs=kwargs)
    source = from_export(path, Opening())
    with torch.no_grad():
        found, expected = source.module(*args, **kwargs), module(*args, **kwargs)
    torch.testing.assert_close(found, expected)
    report = dscost.analyze(path, strict=True)
    assert (report.totals.as_is.macs, report.totals.as_is.params) == (macs, params)
    assert not any("looks at values" in warning for warning in report.warnings)


class Either(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.wide(x), lambda x: self.narrow(x), (x,))  # type: ignore[no-any-return]


def test_a_program_with_branches_counts_the_dearer(exported: Exported) -> None:
    report = dscost.analyze(exported(Either().eval(), images()))
    assert report.totals.as_is.macs == 2 * 81 * 8 * 27


def test_a_program_takes_weights_of_its_model(exported: Exported, tmp_path: Path) -> None:
    path, other = exported(Net().eval(), images()), Net().eval()
    torch.save(
        {"state_dict": {f"model.{name}": one for name, one in other.state_dict().items()}},
        tmp_path / "w.ckpt",
    )
    command = [
        "convert",
        path,
        "--rank",
        "9",
        "--min-channels",
        "1",
        "--weights",
        str(tmp_path / "w.ckpt"),
    ]
    assert cli.run([*command, "--save", str(tmp_path / "w.safetensors")]) == 0
    saved = load_file(tmp_path / "w.safetensors")
    assert torch.equal(saved["head.weight"], other.head.weight)
    assert not any(name == "stem.weight" for name in saved)


@dataclass
class Output:
    """What another library gives, as ModelOutput of transformers."""

    logits: Any


torch.export.register_dataclass(Output, serialized_type_name="library.Output")


class WithOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Output:
        return Output(self.conv(x))


class OfOutput(WithOutput):
    def forward(self, x: Output) -> Tensor:  # type: ignore[override]
        return self.conv(x.logits)  # type: ignore[no-any-return]


def test_a_class_of_another_library_is_not_needed_for_outputs_and_named_for_inputs(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = exported(WithOutput().eval(), images())
    taken = exported_beside(given, OfOutput().eval(), Output(images()))
    monkeypatch.delitem(pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE, "library.Output")
    assert dscost.analyze(given).totals.as_is.macs == 2 * 49 * 4 * 27
    with pytest.raises(InputError, match=r"test_programs\.Output in data/sample_inputs"):
        dscost.analyze(taken)


def exported_beside(path: str, module: nn.Module, *args: Any) -> str:
    other = Path(path).with_name("other.pt2")
    torch.export.save(torch.export.export(module, args), other)
    return str(other)


# -- other inputs than those of the export


@pytest.fixture
def dynamic(exported: Exported) -> str:
    shapes = {"x": {0: Dim("batch", min=1, max=64), 2: 3 * Dim("third", min=2, max=8)}}
    return exported(Net().eval(), images(), shapes=shapes)


def test_a_program_takes_other_sizes_where_it_was_exported_so(dynamic: str) -> None:
    assert layers_of(dscost.analyze(dynamic, batch=6)) == {
        name: 3 * macs for name, macs in MACS.items()
    }
    assert (
        dscost.analyze(dynamic, input=(1, 3, 18, 9)).totals.as_is.macs
        == 18 * 9 * 8 * (27 + 9 + 16) + 16 * 5
    )


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((65, 3, 9, 9), "the program was exported for 1 <= x.size()[0] <= 64, found 65"),
        ((2, 3, 27, 9), "the program was exported for 6 <= x.size()[2] <= 24, found 27"),
        ((2, 3, 10, 9), "the program takes multiples of 3 for x.size()[2], found 10"),
        ((2, 3, 9, 10), "the program was exported for x.size()[3] == 9, found 10"),
        ((2, 3, 9), "the program takes x of 4 dimensions, found 3"),
    ],
)
def test_a_size_that_the_program_does_not_take_is_named(
    dynamic: str, shape: tuple[int, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["model", dynamic, "--no-time", "--input", ",".join(map(str, shape))]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)


def test_inputs_go_to_their_places_by_name_or_not_and_others_are_told(exported: Exported) -> None:
    path = exported(Several().eval(), images(), kwargs={"scale": torch.ones(1), "y": images()})
    macs = 2 * 2 * 81 * 4 * 27
    image = (2, 3, 9, 9)
    for given in ({"x": image, "y": image, "scale": (1,)}, {"scale": (1,), "y": image, "x": image}):
        assert dscost.analyze(path, input=given).totals.as_is.macs == macs
    with pytest.raises(InputError, match=r"the program takes x 2×3×9×9 and .*, found 1 input"):
        dscost.analyze(path, input=(2, 3, 9, 9))


def test_a_program_without_example_inputs_asks_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = torch.export.export(Net().eval(), (images(),))
    program.example_inputs = None
    torch.export.save(program, tmp_path / "net.pt2")
    path = str(tmp_path / "net.pt2")
    assert cli.run(["model", path, "--no-time"]) == 2
    assert "give it with --input" in capsys.readouterr().err
    assert layers_of(dscost.analyze(path, input=(2, 3, 9, 9))) == MACS


def test_an_example_keeps_its_whole_numbers_which_may_be_indices_and_loses_its_noise(
    exported: Exported,
) -> None:
    class Picks(nn.Module):
        def forward(self, x: Tensor, at: Tensor, *, mask: Tensor) -> Tensor:
            return x[at] * mask

    noise, at, mask = torch.rand(5, 4).t(), torch.tensor([3, 0]), torch.tensor([[True], [False]])
    given = from_export(exported(Picks(), noise, at, kwargs={"mask": mask}), Opening()).input
    (shape, indices), kept = given["args"], given["kwargs"]["mask"]
    assert (shape.is_meta, shape.shape, shape.stride()) == (True, (4, 5), (1, 4))
    assert (indices.tolist(), kept.tolist()) == ([3, 0], [[True], [False]])


def test_another_dtype_holds_for_the_example_too(exported: Exported) -> None:
    report = dscost.analyze(exported(Net().eval(), images()), dtype="bfloat16")
    assert layers_of(report) == MACS
    assert report.inputs == (((2, 3, 9, 9), "bfloat16"),)


# -- what is done with them


def test_the_layers_of_a_program_are_converted(exported: Exported, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    path = exported(net, images())
    whole = dscost.convert(path, rank=9, where="stem")
    torch.testing.assert_close(whole(images()), net(images()), rtol=1e-4, atol=1e-5)
    saved, plan = tmp_path / "w.safetensors", tmp_path / "plan.yaml"
    command = [
        "convert",
        path,
        "--rank",
        "1",
        "--min-channels",
        "1",
        "--save",
        str(saved),
        "--save-plan",
        str(plan),
    ]
    assert cli.run(command) == 0
    converted = dscost.convert(net, plan=plan)
    converted.load_state_dict(load_file(saved))
    with torch.no_grad():
        torch.testing.assert_close(converted(images()), dscost.convert(path, plan=plan)(images()))
        assert (converted(images())["out"] - net(images())["out"]).abs().max() > 1e-4


def test_rules_of_budgets_see_the_layers_of_a_program(exported: Exported, tmp_path: Path) -> None:
    path = exported(Net().eval(), images())
    budget = tmp_path / "dscost.yaml"
    for most, code in ((MACS["block.depthwise"], 0), (MACS["block.depthwise"] - 1, 1)):
        rule = f"{{match: 'type:Conv2d[groups>1]', total: {{macs: {most}}}}}"
        budget.write_text(f"version: 1\nmodels:\n- target: {path}\n  layers:\n  - {rule}\n")
        assert dscost.check(budget).exit_code == code


def test_nothing_is_printed_but_the_result(
    exported: Exported, capfd: pytest.CaptureFixture[str]
) -> None:
    path = exported(Net().eval(), images())
    capfd.readouterr()
    assert cli.run(["model", path, "--no-time", "-q", "--depth", "1", "-n", "1"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "stem" in out
