"""Where the code of a model is defined, and annotations that stand there."""

import json
from pathlib import Path

import program
import pytest
from test_ci_formats import commands

from dscost.sources.defined import defined_at

NETS = '''\
"""Nets that say when they are run."""
from torch import nn
from pieces import Piece as Part, Base
from .beside import Other

raise SystemExit("nobody runs this")


def block():
    return nn.ReLU()


@decorated
class Net(nn.Module):
    @classmethod
    def small(cls):
        return cls()


if True:
    def conditional():
        return Net()

instance = Net()
typed: nn.Module = Net()


class Net(nn.Module):  # the one that the name means
    def forward(self, x):
        return x
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSCOST_CONFIG", raising=False)
    Path("package").mkdir()
    for name in ("nets.py", "package/nets.py"):
        Path(name).write_text(NETS)
    Path("package/__init__.py").write_text("from .nets import Net as Exported\n")
    Path("package/beside.py").write_text("\n\ndef Other(): ...\n")
    Path("pieces.py").write_text("import torch\nclass Piece(torch.nn.Module): ...\n")
    Path("one.py").write_text("from torch import nn\n\nclass Only(nn.Module):\n    ...\n")
    Path("broken.py").write_text("def make(:\n")
    return tmp_path


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("nets.py:Net", ("nets.py", 28)),
        ("nets.py:Net.forward", ("nets.py", 29)),
        ("nets.py:block", ("nets.py", 9)),
        ("nets.py:conditional", ("nets.py", 21)),
        ("nets.py:instance", ("nets.py", 24)),
        ("nets.py:typed", ("nets.py", 25)),
        ("nets.py:Part", ("pieces.py", 2)),
        ("package/nets.py:Part", ("pieces.py", 2)),  # beside the budget, as for whoever runs it
        ("package/nets.py:Other", ("package/beside.py", 3)),
        ("package.nets:block", ("package/nets.py", 9)),
        ("package:Exported", ("package/nets.py", 28)),
        ("one.py", ("one.py", 3)),
        ("nets.py:nn", None),  # of a package that is not here
        ("nets.py:Base", None),
        ("nets.py:missing", None),
        ("broken.py:make", None),
        ("gone.py:make", None),
        ("torch.nn:Conv2d", None),
        ("torchvision:resnet18", None),
        ("resnet18", None),
        ("net.yaml:small", None),
    ],
)
def test_a_target_is_found_where_its_code_is_defined(
    target: str, place: tuple[str, int] | None, folder: Path
) -> None:
    found = defined_at(target, Path())
    assert found == (None if place is None else (Path(place[0]), place[1]))


def test_files_that_import_each_other_end(folder: Path) -> None:
    Path("a.py").write_text("from b import Net\n")
    Path("b.py").write_text("from a import Net\n")
    assert defined_at("a.py:Net", Path()) is None


MODEL = """\
from torch import nn


class Net(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 8, 3)


def make():
    return Net()
"""
BUDGET = """\
version: 1
models:
  - {name: net, target: nets.py:Net, input: [1, 3, 8, 8], limits: {params: 1}}
  - {name: made, target: nets.py:make, input: [1, 3, 8, 8], limits: {params: 1}}
  - {name: built-in, target: mobilenet_v3_small, limits: {params: 1}}
  - target: nets.py:Net
    name: rule
    input: [1, 3, 8, 8]
    layers: [{match: nothing, each: {macs: 1}}]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "nets.py").write_text(MODEL)
    (tmp_path / "models" / "dscost.yaml").write_text(BUDGET)
    monkeypatch.chdir(tmp_path / "models")
    return tmp_path


def checked(format_name: str) -> str:
    ran = program.run("check", "--no-isolate", "--format", format_name)
    assert (ran.returncode, ran.stderr) == (1, "")
    return ran.stdout


PLACES = {"net": ("nets.py", 4), "made": ("nets.py", 9), "built-in": ("dscost.yaml", 5), "rule": ("dscost.yaml", 9)}  # fmt: skip


ASKED = {"net": 3, "made": 4}
"""Lines of the budget that limit code which is found."""


def test_an_annotation_stands_at_the_class_and_names_the_place_of_the_budget(
    repository: Path,
) -> None:
    found = {}
    for _, properties, text in commands(checked("github")):
        subject = properties["title"].partition(":")[0]
        found[subject] = properties["file"], int(properties["line"])
        asked = f"\nasked for in models/dscost.yaml:{ASKED.get(subject)}:"
        assert (asked in text) is (subject in ASKED)
    assert found == {name: (f"models/{file}", line) for name, (file, line) in PLACES.items()}


def test_code_quality_and_code_scanning_stand_there_as_well(repository: Path) -> None:
    quality = {
        one["description"].partition(":")[0]: (
            one["location"]["path"],
            one["location"]["lines"]["begin"],
        )
        for one in json.loads(checked("gitlab"))
    }
    (run,) = json.loads(checked("sarif"))["runs"]
    scanned, related = {}, {}
    for one in run["results"]:
        subject = one["message"]["text"].partition(":")[0]
        (place,) = [each["physicalLocation"] for each in one["locations"]]
        scanned[subject] = place["artifactLocation"]["uri"], place["region"]["startLine"]
        for each in one.get("relatedLocations", ()):
            budget = each["physicalLocation"]
            related[subject] = budget["artifactLocation"]["uri"], budget["region"]["startLine"]
    wanted = {name: (f"models/{file}", line) for name, (file, line) in PLACES.items()}
    assert quality == scanned == wanted
    assert related == {"net": ("models/dscost.yaml", 3), "made": ("models/dscost.yaml", 4)}


def test_code_outside_the_repository_is_annotated_in_the_budget(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "nets.py"
    elsewhere.write_text(MODEL)
    Path("dscost.yaml").write_text(BUDGET.replace("nets.py", str(elsewhere)))
    files = {properties["file"] for _, properties, _ in commands(checked("github"))}
    assert files == {"models/dscost.yaml"}
