"""What a target may be, and everything that can be wrong with one."""

import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from program import run
from torch import Tensor, nn

import dscost
from dscost.errors import DscostError, InputError, UnavailableError, UnknownNameError
from dscost.modules.beside_meta import values_kept
from dscost.sources import (
    SOURCES,
    ArchitectureSource,
    ModuleSource,
    Opening,
    find_source,
    importing,
)

WriteFile = Callable[..., str]

MODELS = """
import torch
from torch import nn


class Net(nn.Module):
    '''A convolution; wider on request.'''

    def __init__(self, width=4, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1, bias=bias)

    def forward(self, x):
        return self.conv(x)

    @staticmethod
    def half():
        return Net(width=2)


def make(width_mult=1.0):
    return Net(int(4 * width_mult))


instance = Net(5)
number = 3.5


def fails(size=3):
    raise ValueError(f"no model of size {size}\\nand a second line")


def exits():
    raise SystemExit(3)


def makes_nothing():
    pass


def makes_a_list():
    return [nn.Conv2d(3, 4, 1)]


def needs_values(width=6):
    scale = torch.ones(1)
    return Net(width if scale.item() == 1 else 1)


class Stated(Net):
    pass


def needs_an_argument(width):
    return Net(width)


def already_on_the_cpu():
    return Net().to_empty(device="cpu")


def trains():
    return Net().train()
"""


@pytest.fixture
def models(tmp_path: Path) -> str:
    path = tmp_path / "models.py"
    path.write_text(MODELS, encoding="utf-8")
    return str(path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that can be imported from the working directory, and is forgotten afterwards."""
    name = f"dscost_tests_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "models.py").write_text(MODELS, encoding="utf-8")
    (folder / "broken.py").write_text("raise RuntimeError('not today')\n", encoding="utf-8")
    (folder / "needy.py").write_text("import a_library_that_nobody_has\n", encoding="utf-8")
    (folder / "unfinished.py").write_text("def make(:\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def macs_of(target: str, **options: Any) -> int:
    return dscost.analyze(target, **{"input": (1, 3, 4, 4), **options}).totals.as_is.macs


def refused(target: Any, **options: Any) -> str:
    """Return the one line with which a target is refused."""
    with pytest.raises(DscostError) as caught:
        dscost.analyze(target, **options)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# -- factories, in a file and in a package

FACTORIES = [
    pytest.param("Net", {}, 4, id="a class"),
    pytest.param("Net", {"width": 7}, 7, id="a class with arguments"),
    pytest.param("make", {}, 4, id="a function"),
    pytest.param("make", {"width_mult": 0.5}, 2, id="a function with arguments"),
    pytest.param("instance", {}, 5, id="an instance"),
    pytest.param("Net.half", {}, 2, id="a static method"),
    pytest.param("needs_values", {}, 6, id="a factory that looks at values"),
    pytest.param(
        "needs_values", {"width": 8}, 8, id="a factory that looks at values, with arguments"
    ),
    pytest.param("already_on_the_cpu", {}, 4, id="a factory that has its own device"),
    pytest.param("needs_an_argument", {"width": 3}, 3, id="a factory with a necessary argument"),
]


@pytest.mark.parametrize(("name", "kwargs", "width"), FACTORIES)
def test_a_factory_in_a_file_is_used(
    models: str, name: str, kwargs: dict[str, Any], width: int
) -> None:
    report = dscost.analyze(f"{models}:{name}", input=(1, 3, 4, 4), kwargs=kwargs)
    assert report.totals.as_is.macs == 16 * 3 * width
    assert (report.target, report.source) == (f"{models}:{name}", "file")
    assert report.layers[0].name == "conv"


@pytest.mark.parametrize(("name", "kwargs", "width"), FACTORIES)
def test_a_factory_in_a_package_is_used(
    package: str, name: str, kwargs: dict[str, Any], width: int
) -> None:
    report = dscost.analyze(f"{package}.models:{name}", input=(1, 3, 4, 4), kwargs=kwargs)
    assert report.totals.as_is.macs == 16 * 3 * width
    assert (report.target, report.source) == (f"{package}.models:{name}", "python")


def test_a_factory_of_an_installed_package_is_used() -> None:
    report = dscost.analyze("torch.nn:Conv2d", input=(1, 3, 4, 4), kwargs={"in_channels": 3, "out_channels": 4,
                                                                           "kernel_size": 1})  # fmt: skip
    assert report.totals.as_is.macs == 16 * 3 * 4


def test_a_path_object_is_a_target(models: str, network_file: WriteFile) -> None:
    path = Path(network_file("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n"))
    assert dscost.analyze(path).totals.as_is.macs == 64 * 3 * 4 * 9
    assert macs_of(Path(f"{models}:Net")) == 16 * 3 * 4  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Net", "make"])
def test_a_factory_runs_on_meta(models: str, name: str) -> None:
    source = find_source(f"{models}:{name}")
    assert isinstance(source, ModuleSource)
    assert all(parameter.is_meta for parameter in source.module.parameters())
    assert not source.module.training


def test_a_factory_may_be_large_since_its_weights_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.py"
    path.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(*(nn.Linear(50_000, 50_000, bias=False) for _ in range(4)))\n",
        encoding="utf-8",
    )
    report = dscost.analyze(f"{path}:make", input=(1, 50_000))
    assert report.totals.as_is.params == 4 * 50_000**2  # 40 GB of weights


@pytest.mark.parametrize("name", ["Net", "needs_values", "already_on_the_cpu"])
def test_making_a_model_does_not_move_the_random_state(tmp_path: Path, name: str) -> None:
    path = tmp_path / "random_models.py"
    path.write_text(MODELS.replace("instance = Net(5)", ""), encoding="utf-8")
    state = torch.get_rng_state()
    macs_of(f"{path}:{name}")
    assert torch.equal(state, torch.get_rng_state())


def test_a_file_may_import_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_a_model.py").write_text("WIDTH = 6\n", encoding="utf-8")
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n"
        "from neighbour_of_a_model import WIDTH\n"
        "def make():\n"
        "    return nn.Conv2d(3, WIDTH, 1)\n",
        encoding="utf-8",
    )
    assert macs_of(f"{path}:make") == 16 * 3 * 6


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "changing.py"
    for width in (4, 9):
        path.write_text(
            f"from torch import nn\ndef make():\n    return nn.Conv2d(3, {width}, 1)\n",
            encoding="utf-8",
        )
        os.utime(path, (width, width))
        assert macs_of(f"{path}:make") == 16 * 3 * width


def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    for width in (4, 9):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "net.py").write_text(
            f"from torch import nn\ndef make():\n    return nn.Conv2d(3, {width}, 1)\n",
            encoding="utf-8",
        )
    for width in (4, 9, 4):
        assert macs_of(f"{tmp_path}/{width}/net.py:make") == 16 * 3 * width


def test_dataclasses_and_pickles_in_a_file_find_their_module(tmp_path: Path) -> None:
    path = tmp_path / "with_dataclass.py"
    path.write_text(
        textwrap.dedent(
            """
            from __future__ import annotations
            import pickle
            from dataclasses import dataclass
            from torch import nn

            @dataclass
            class Config:
                width: int = 4

            def make():
                return nn.Conv2d(3, pickle.loads(pickle.dumps(Config())).width, 1)
            """
        ),
        encoding="utf-8",
    )
    assert macs_of(f"{path}:make") == 16 * 3 * 4


# -- everything wrong with a factory


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        pytest.param(
            "Nte", {}, "{target}: there is no 'Nte' (did you mean 'Net'?)", id="nearest spelling"
        ),
        pytest.param(
            "maek", {}, "{target}: there is no 'maek' (did you mean 'make'?)", id="nearest function"
        ),
        pytest.param("xyzzy", {}, "{target}: there is no 'xyzzy'", id="nothing near"),
        pytest.param("Net.quarter", {}, "{target}: there is no 'Net.quarter'", id="no such method"),
        pytest.param("", {}, "", id="no name"),
        pytest.param(
            "number", {}, "{target} is no class, function or nn.Module but this: 3.5", id="a number"
        ),
        pytest.param(
            "fails",
            {},
            "{target} cannot be made: ValueError: no model of size 3",
            id="a factory that raises",
        ),
        pytest.param(
            "fails",
            {"size": 9},
            "{target} cannot be made: ValueError: no model of size 9",
            id="raises with arguments",
        ),
        pytest.param("exits", {}, "{target} cannot be made: SystemExit", id="a factory that exits"),
        pytest.param(
            "makes_nothing", {}, "{target} makes no nn.Module but this: None", id="nothing made"
        ),
        pytest.param(
            "makes_a_list", {}, "{target} makes no nn.Module but this: [Conv2d(", id="a list made"
        ),
        pytest.param(
            "Net",
            {"widht": 3},
            "{target} cannot be made: TypeError: Net.__init__() got an unexpected keyword argument 'widht'",
            id="a wrong argument",
        ),
        pytest.param(
            "needs_an_argument",
            {},
            "{target} cannot be made: TypeError: needs_an_argument() missing 1 required positional argument: 'width'",
            id="a missing argument",
        ),
        pytest.param(
            "Net",
            {"width": "four"},
            "{target} cannot be made: TypeError: ",
            id="an argument of a wrong kind",
        ),
        pytest.param(
            "Net", {"width": -1}, "{target} cannot be made: ", id="an impossible argument"
        ),
        pytest.param(
            "instance",
            {"width": 3},
            "{target} is a module, not a factory: --kwargs cannot be used",
            id="arguments for an instance",
        ),
    ],
)
def test_a_factory_that_makes_no_model_is_refused_with_the_reason(
    models: str, name: str, kwargs: dict[str, Any], message: str
) -> None:
    target = f"{models}:{name}"
    assert refused(target, input=(1, 3, 4, 4), kwargs=kwargs).startswith(
        message.format(target=target)
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{package}.mdoels:Net", "{target}: there is no module '{package}.mdoels'"),
        ("dscost_no_such_package:Net", "{target}: there is no module 'dscost_no_such_package'"),
        (
            "dscost_no_such_package.models:Net",
            "{target}: there is no module 'dscost_no_such_package'",
        ),
        ("{package}.models:Nte", "{target}: there is no 'Nte' (did you mean 'Net'?)"),
        (
            "{package}.broken:Net",
            "{target}: importing {package}.broken failed: RuntimeError: not today",
        ),
        ("{package}.needy:Net", "{target}: there is no module 'a_library_that_nobody_has'"),
        (
            "{package}.unfinished:make",
            "{target}: importing {package}.unfinished failed: SyntaxError: ",
        ),
        ("..:Net", "{target}: "),
        ("a b:Net", "{target}: there is no module 'a b'"),
        (":Net", ""),
        ("{package}.models:", ""),
    ],
)
def test_a_package_without_the_factory_is_refused_with_the_reason(
    package: str, target: str, message: str
) -> None:
    target = target.format(package=package)
    assert refused(target, input=(1, 3, 4, 4)).startswith(
        message.format(package=package, target=target)
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def make(:\n", "SyntaxError: "),
        (
            "import a_library_that_nobody_has\n",
            "ModuleNotFoundError: No module named 'a_library_that_nobody_has'",
        ),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('bye')\n", "SystemExit: bye"),
        ("def make(): return undefined_name\n", "NameError: name 'undefined_name' is not defined"),
        ("class Odd(Exception): pass\nraise Odd('odd')\n", "Odd: odd"),
        ("class Odd(Exception): pass\ndef make(): raise Odd('odd')\n", "Odd: odd"),
        ("x = '\\xff'\nassert False, 'no'\n", "AssertionError: no"),
    ],
    ids=str,
)
def test_a_file_that_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text, encoding="utf-8")
    told = refused(f"{path}:make", input=(1, 3))
    assert told.startswith(f"{path}:make")
    assert reason in told


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.py"
    path.write_bytes(b"\xff\xfe\x00\x01")
    assert refused(f"{path}:make", input=(1, 3)).startswith(f"{path}:make: running {path} failed: ")


def test_a_file_that_does_not_exist_is_refused() -> None:
    assert refused("no/such/file.py:make") == "cannot read no/such/file.py: no such file"


def test_a_python_file_alone_with_several_models_is_told_how_to_name_one(models: str) -> None:
    assert re.fullmatch(
        rf"{re.escape(models)} has \d+ models, .*: name one, such as {re.escape(models)}:\w+",
        refused(models),
    )


ONE = """
from torch import nn

class Part(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1)

    def forward(self, x):
        return self.conv(x)

class Whole(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.part = Part(width)

    def forward(self, x):
        return self.part(x)
"""


def test_the_only_model_of_a_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(ONE)
    report = dscost.analyze(path, (1, 3, 4, 4), kwargs={"width": 5})
    assert (report.target, report.source) == (f"{path}:Whole", "file")
    assert report.totals.as_is.macs == 16 * 3 * 5


@pytest.mark.parametrize("command", ["model", "compare", "convert", "verify", "init"])
def test_every_command_takes_the_only_model_of_a_file_and_says_so(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "net.py").write_text(ONE.replace("width, 1)", "width, 3)"))
    more = {
        "model": ["--no-time"],
        "compare": ["resnet18"],
        "convert": ["--rank", "1", "--min-channels", "1"],
    }
    words = [command, "net.py", *more.get(command, []), "--input", "1x3x32x32"]
    ran = run(*words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[0] == (
        "net.py: taking net.py:Whole; write net.py:NAME to choose another"
    )
    assert "net.py:Whole" in ran.stdout or "net.py:Whole" in (tmp_path / "dscost.yaml").read_text()


def test_a_budget_may_name_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(ONE)
    (tmp_path / "dscost.yaml").write_text(
        "version: 1\nmodels:\n  - target: net.py\n    input: 1x3x4x4\n    set: {width: 5}\n"
        f"    limits: {{params: {4 * 5}, macs: {16 * 15}}}\n"
    )
    ran = run("check", "--no-isolate", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr


# -- inputs


def test_a_torch_model_without_an_input_is_asked_for_one(models: str) -> None:
    assert refused(f"{models}:Net") == (
        f"{models}:Net does not state its input: give it with --input 1,3,224,224 or input=(1, 3, 224, 224)"
    )


def test_an_input_that_does_not_fit_is_refused_with_the_words_of_torch(models: str) -> None:
    told = refused(f"{models}:Net", input=(1, 5, 4, 4))
    assert told.startswith("Net cannot be run on (1, 5, 4, 4) float32: RuntimeError: ")
    assert "to have 3 channels, but got 5 channels instead" in told


def test_settings_are_for_architectures_and_arguments_for_factories(
    models: str, network_file: WriteFile
) -> None:
    told = refused(f"{models}:Net", input=(1, 3, 4, 4), settings={"width": 3})
    assert told == f"{models}:Net is no architecture file: change it with --kwargs, not with --set"
    told = refused("resnet18", kwargs={"classes": 3})
    assert told == "resnet18 is an architecture file: change it with --set, not with --kwargs"
    path = network_file("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n")
    assert "change it with --set, not with --kwargs" in refused(path, kwargs={"classes": 3})


# -- pickles are never opened


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin", "pkl"])
@pytest.mark.parametrize("exists", [True, False], ids=["there", "not there"])
def test_a_pickled_model_is_refused_and_not_opened(
    tmp_path: Path, ending: str, exists: bool
) -> None:
    path, touched = tmp_path / f"model.{ending}", tmp_path / "touched"
    if exists:
        path.write_bytes(pickle.dumps(Bomb(touched)))
    told = refused(str(path))
    assert told.startswith(
        f"{path}: refused, since reading a pickled model runs whatever code it holds; "
    )
    assert "path/file.py:factory" in told
    assert "program.pt2" in told
    assert not touched.exists()


@pytest.mark.parametrize(
    "name", ["MODEL.PT", "model.Pth", "model.pickle", "model.safetensors", "model.h5"]
)
def test_other_weights_are_refused_with_what_a_target_may_be(tmp_path: Path, name: str) -> None:
    path, touched = tmp_path / name, tmp_path / "touched"
    path.write_bytes(pickle.dumps(Bomb(touched)))
    assert "path/file.py:factory" in refused(str(path))
    assert not touched.exists()


def test_a_pickle_that_calls_itself_a_program_is_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "program.pt2", tmp_path / "touched"
    path.write_bytes(pickle.dumps(Bomb(touched)))
    assert refused(str(path)).startswith(f"{path}: not a program of torch.export")
    assert not touched.exists()


# -- programs of torch.export


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.Conv2d(3, 4, 3, groups=1),
            nn.BatchNorm2d(4),
            nn.Linear(4, 5),
        )

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = torch.relu(self.norm(self.conv(x)))
        x = x if scale is None else x * scale
        return self.head(x.mean((2, 3)))


SMALL = 2 * (7 * 7 * 4 * 3 * 9 + 4 * 5)


def exported(path: Path, *args: Tensor, **kwargs: Tensor) -> str:
    program = torch.export.export(Small().eval(), args, kwargs)
    torch.export.save(program, path)
    return str(path)


export_warnings = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@export_warnings
def test_an_exported_program_states_its_own_input(tmp_path: Path) -> None:
    target = exported(tmp_path / "small.pt2", torch.zeros(2, 3, 9, 9))
    report = dscost.analyze(target, strict=True)
    assert report.totals.as_is.macs == SMALL
    assert report.totals.as_is.params == sum(
        parameter.numel() for parameter in Small().parameters()
    )
    assert report.source == "export"
    assert report.inputs == (((2, 3, 9, 9), "float32"),)
    assert sum(layer.cost.macs for layer in report.layers) == SMALL


@export_warnings
def test_an_exported_program_with_keyword_inputs_is_counted(tmp_path: Path) -> None:
    target = exported(tmp_path / "small.pt2", torch.zeros(2, 3, 9, 9), scale=torch.zeros(4, 1, 1))
    report = dscost.analyze(target)
    assert report.totals.as_is.macs == SMALL
    assert [entry.shape for entry in report.inputs] == [(2, 3, 9, 9), (4, 1, 1)]


@export_warnings
def test_an_exported_program_takes_another_batch_where_it_was_exported_so(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.pt2"
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        Small().eval(), (torch.zeros(2, 3, 9, 9),), dynamic_shapes={"x": {0: batch}}
    )
    torch.export.save(program, path)
    assert dscost.analyze(str(path), batch=6).totals.as_is.macs == 3 * SMALL


@export_warnings
def test_an_exported_program_says_so_when_it_cannot_take_an_input(tmp_path: Path) -> None:
    target = exported(tmp_path / "small.pt2", torch.zeros(2, 3, 9, 9))
    assert "cannot be run on (1, 3, 5, 5) float32" in refused(target, input=(1, 3, 5, 5))


@export_warnings
def test_an_exported_program_takes_no_arguments(tmp_path: Path) -> None:
    target = exported(tmp_path / "small.pt2", torch.zeros(2, 3, 9, 9))
    assert (
        refused(target, kwargs={"width": 3}) == f"{target}: an exported program takes no --kwargs"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {path}: no such file"),
        (b"", "{path}: not a program of torch.export"),
        (b"not a program", "{path}: not a program of torch.export"),
        (b"PK\x05\x06" + bytes(18), "{path}: not a program of torch.export"),
    ],
    ids=["not there", "empty", "text", "an empty archive"],
)
def test_what_is_no_exported_program_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "program.pt2"
    if content is not None:
        path.write_bytes(content)
    assert refused(str(path)).startswith(message.format(path=path))


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    for name in ("folder.pt2", "folder.py", "folder.yaml", "folder"):
        (tmp_path / name).mkdir()
        refused(str(tmp_path / name))


# -- architectures and bare names

TWO = """
input: [3, 8, 8]
settings: {channels: 1}
models:
  small: {channels: 4}
  large: {channels: 40}
layers: [{conv: 3, out_channels: channels}]
"""


def test_an_architecture_file_is_a_target(network_file: WriteFile) -> None:
    path = network_file("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n")
    report = dscost.analyze(path)
    assert (report.source, report.totals.as_is.macs) == ("yaml", 64 * 3 * 4 * 9)


def test_a_file_of_several_architectures_is_asked_by_name(network_file: WriteFile) -> None:
    path = network_file(TWO, name="nets.yaml")
    assert dscost.analyze(f"{path}:large").totals.as_is.macs == 64 * 3 * 40 * 9
    assert dscost.analyze(f"{path}:small").totals.as_is.macs == 64 * 3 * 4 * 9
    assert "did you mean 'large'" in refused(f"{path}:lrage")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_a_builtin_comes_before_the_zoos(name: str) -> None:
    source = find_source(name)
    assert isinstance(source, ArchitectureSource)
    assert source.kind == "builtin"


@pytest.mark.parametrize(
    ("target", "nearest"),
    [
        ("resnet81", "resnet18"),
        ("mobilnet_v2", "mobilenet_v2"),
        ("RESNET18", "resnet18"),
        ("eficientnet_b0", "e"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_spelling(target: str, nearest: str) -> None:
    assert refused(target).startswith(f"unknown model '{target}' (did you mean '{nearest}")


@pytest.mark.parametrize("target", ["", " ", ":", "::", ".", "/", "-", "\0", "x" * 5000])
def test_what_is_no_target_at_all_is_refused(target: str) -> None:
    with pytest.raises(DscostError):
        dscost.analyze(target)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("report.json", "not a saved report"),
        (
            "notes.txt",
            "expected an architecture .yaml, a program .pt2, a model .onnx, or path/file.py:factory",
        ),
        ("net.ort", "of graphs in files only .onnx is, in its binary form"),
        ("net.onnxtxt", "of graphs in files only .onnx is, in its binary form"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    assert told in refused(str(tmp_path / name))


@pytest.mark.parametrize("target", [3, None, 2.5, [1], nn.Conv2d, lambda: None])
def test_an_object_that_is_no_model_is_refused(target: Any) -> None:
    with pytest.raises(InputError, match=r"^a target is an nn.Module, or the name or path of a"):
        dscost.analyze(target, input=(1, 3, 4, 4))


# -- the zoos where they are missing or broken


def test_a_library_that_is_not_installed_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    for library in ("torchvision", "timm"):
        for name in [loaded for loaded in sys.modules if loaded.partition(".")[0] == library]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setitem(sys.modules, library, None)
        if library == "torchvision":
            monkeypatch.delitem(sys.modules, "torchvision")
            monkeypatch.setattr(sys, "meta_path", [_Missing("torchvision"), *sys.meta_path])
        with pytest.raises(UnavailableError, match=r"pip install 'dscost\[zoo\]'"):
            dscost.analyze(f"{library}:resnet18")
    with pytest.raises(
        UnknownNameError, match="torchvision and timm could not be asked: not installed"
    ):
        dscost.analyze("resnet19")


@pytest.fixture
def zoos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for torchvision and timm, of one model each."""
    make = lambda **_: nn.Conv2d(3, 4, 1)  # noqa: E731
    timm, torchvision, models = (
        types.ModuleType(name) for name in ("timm", "torchvision", "torchvision.models")
    )
    vars(timm).update(is_model=bool, list_models=list, create_model=lambda name, **_: make())
    vars(models).update(
        list_models=lambda: ["net"],
        get_model_builder=lambda _: make,
        get_model_weights=lambda _: [],
    )
    vars(torchvision).update(models=models)
    for module in (timm, torchvision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("zoos")
@pytest.mark.parametrize("target", ["timm:net", "torchvision:net"])
def test_what_may_be_made_anew_during_a_trace_takes_its_turn_to_import_before(target: str) -> None:
    """Two threads that took the turn to import and the turn to trace in different orders waited for ever."""
    source = find_source(target)
    assert isinstance(source, ModuleSource)
    assert source.make_real is not None
    taken: list[bool] = []

    def take() -> None:
        taken.append(importing._turns.acquire(blocking=False))
        if taken[-1]:
            importing._turns.release()

    for context in (source.importing(), nullcontext()):
        with context:
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()
    assert taken == [False, True]


@pytest.mark.usefixtures("zoos")
@pytest.mark.parametrize(
    ("told", "kwargs", "shape"),
    [
        pytest.param({}, {}, (1, 3, 16, 24), id="its patches"),
        pytest.param({"fixed_input_size": False}, {}, (1, 3, 32, 32), id="its configuration"),
        pytest.param({"fixed_input_size": True}, {}, (1, 3, 32, 32), id="fixed"),
        pytest.param({}, {"img_size": 8}, (1, 3, 8, 8), id="an argument"),
        pytest.param({"fixed_input_size": True}, {"img_size": [8, 4]}, (1, 3, 8, 4), id="sides"),
        pytest.param({}, {"in_chans": 1}, (1, 1, 16, 24), id="channels"),
    ],
)
def test_a_model_of_timm_takes_images_of_the_shape_that_it_was_made_for(
    monkeypatch: pytest.MonkeyPatch,
    told: dict[str, bool],
    kwargs: dict[str, Any],
    shape: tuple[int, ...],
) -> None:
    def create_model(*_: Any, **__: Any) -> nn.Module:
        model = nn.Sequential(nn.Conv2d(3, 4, 1))
        model.patch_embed = nn.Identity()
        model.patch_embed.img_size = (16, 24)
        model.pretrained_cfg = {"input_size": (3, 32, 32), **told}
        return model

    monkeypatch.setattr(sys.modules["timm"], "create_model", create_model)
    source = find_source("timm:net", Opening(kwargs=kwargs))
    assert isinstance(source, ModuleSource)
    assert source.input == shape


class _Missing:
    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: Any) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_sources_are_a_registry_that_names_the_nearest() -> None:
    assert {"torchvision", "timm", "python", "file", "export"} <= set(SOURCES)
    with pytest.raises(InputError, match="unknown source 'tmm' \\(did you mean 'timm'\\?\\)"):
        SOURCES["tmm"]


def test_counting_a_builtin_asks_neither_torch_nor_the_zoos() -> None:
    code = (
        "import dscost, sys; dscost.analyze('resnet18');"
        "print({'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )


# -- by the command line: one line, exit 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["model.pth"], "model.pth: refused, since reading a pickled model", id="pickle"
        ),
        pytest.param(
            ["models.py:Nte", "--input", "1,3,4,4"],
            "models.py:Nte: there is no 'Nte' (did you mean 'Net'?)",
            id="spelling",
        ),
        pytest.param(
            ["models.py:fails", "--input", "1,3,4,4"],
            "models.py:fails cannot be made: ValueError: no model of size 3",
            id="raises",
        ),
        pytest.param(["models.py:Net"], "models.py:Net does not state its input", id="no input"),
        pytest.param(
            ["models.py:Net", "--input", "1,3,4,4", "--kwargs", "width"],
            "--kwargs: expected NAME=VALUE such as width=0.5, found 'width'",
            id="malformed arguments",
        ),
        pytest.param(["no/such.py:Net"], "cannot read no/such.py: no such file", id="no file"),
    ],
)
def test_the_command_line_tells_what_is_wrong_in_one_line_and_exits_2(
    models: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ran = run("model", *arguments, "--no-time", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith(f"dscost: {message}")


def test_the_command_line_counts_what_a_factory_makes(models: str, tmp_path: Path) -> None:
    arguments = [
        "models.py:make",
        "--input",
        "1,3,4,4",
        "--kwargs",
        "width_mult=0.5",
        "--no-time",
        "--json",
    ]
    ran = run("model", *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"macs": 96' in ran.stdout


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        ("float31", "unknown dtype 'float31' (did you mean 'float32'?)"),
        ("nn", "unknown dtype 'nn' (known: float64, float32, float16, bfloat16, int8)"),
        ("int8", "the weights of a module cannot be int8: only architectures are counted in that"),
    ],
)
def test_weights_take_no_dtype_but_a_floating_one(dtype: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\n\n\ndef make():\n    return torch.nn.Conv2d(3, 8, 3)\n"
    )
    with pytest.raises(InputError) as refused:
        dscost.analyze(f"{tmp_path}/net.py:make", input=(1, 3, 8, 8), dtype=dtype)
    assert str(refused.value) == message


def test_an_unknown_dtype_of_a_module_s_own_input_is_refused() -> None:
    module = nn.Conv2d(3, 8, 3)
    module.example_input_array = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match=r"unknown dtype 'float31'"):
        dscost.analyze(module, dtype="float31")


def test_numbers_that_torch_refuses_are_refused_as_often_as_others_were_written() -> None:
    with values_kept(4), torch.device("meta"):
        weight = torch.empty(8, 8)
        for _ in range(2):
            assert nn.init.normal_(weight, 0.0, 1.0) is weight
            assert weight.clamp_(-2.0, 2.0).fill_(1).zero_() is weight
            assert (weight.shape, weight.dtype, weight.is_meta) == ((8, 8), torch.float32, True)
            with pytest.raises(RuntimeError, match="std"):
                weight.normal_(0.0, -1.0)
            with pytest.raises(RuntimeError):
                torch.empty(8, 8, dtype=torch.int64).normal_(0.0, 1.0)


def test_weights_alone_are_no_target() -> None:
    with pytest.raises(
        InputError, match=r"cheaper\.safetensors: weights and no model: give the code"
    ):
        find_source("cheaper.safetensors")
