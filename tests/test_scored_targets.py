"""What a score is asked of, and what it changes where it is only told."""

import json
from pathlib import Path
from typing import Any

import pytest
from program import run

from dscost.converting.convert import convert_target
from dscost.converting.scoring.asking import scorer_of
from dscost.converting.scoring.results import LayerLoss, Sensitivity

torch = pytest.importorskip("torch")

NET = """
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3)
        )


class Deaf(Net):
    def forward(self, x):
        return 0 * super().forward(x)
"""
EVAL = """
import torch
from net import Net

inputs = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
before = Net().eval()(inputs).detach()


def near(model):
    return -((model(inputs) - before) ** 2).mean()


def largest(model):
    return model(inputs).max()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "eval.py").write_text(EVAL, encoding="utf-8")
    return tmp_path


SCORED = ("--score", "eval.py:near", "--score-budget", "12", "--journal", "journal.jsonl")


def test_a_class_of_a_file_that_states_no_input_is_seen_where_the_score_calls_it(
    folder: Path,
) -> None:
    ran = run("convert", "net.py:Net", "--goal", "macs=0.7x", *SCORED, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("net.py:Net, input 1×3×12×12: ")


def test_at_a_rank_a_score_changes_nothing_of_what_is_converted(folder: Path) -> None:
    words = ("convert", "net.py:Net", "--input", "1,3,12,12", "--rank", "1", "--json")
    plain, scored = (run(*words, *more, cwd=folder) for more in ((), SCORED))
    found = [json.loads(ran.stdout)["conversion"]["plan"] for ran in (plain, scored)]
    assert found[0] == found[1] == {"4": 1}


def test_a_model_whose_answers_do_not_depend_on_its_convolutions_is_told_so(folder: Path) -> None:
    words = ("convert", "net.py:Deaf", "--goal", "macs=0.7x")
    more = ("--score", "eval.py:largest", "--journal", "journal.jsonl")
    ran = run(*words, *more, cwd=folder)
    assert ran.returncode == 2
    assert (
        "the same with all of its 2 convolutions set to zero: it does not depend on the model it "
        "is given, or what the model answers does not depend on them"
    ) in ran.stderr


def test_pointwise_first_is_explained_only_where_a_table_shows_it() -> None:
    def lost(order: str, loss: float) -> LayerLoss:
        return LayerLoss("conv", 1, order, loss, loss, loss, "safe", 0.5, 100, 10)

    both = lost("depthwise-first", 0.1), lost("pointwise-first", 0.2)
    found = Sensitivity(target="net", name="accuracy", score=1.0, layers=both)
    assert "pw-first" not in str(found)
    shown = str(found._replace(layers=(both[0], lost("pointwise-first", 0.05))))
    assert "pw-first 0.05" in shown
    assert "pw-first = pointwise-first" in shown


def test_what_is_scored_is_what_is_made_also_where_a_model_states_an_input_with_values(
    tmp_path: Path,
) -> None:
    (tmp_path / "net_here.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    example_input_array = torch.zeros(1, 3, 8, 8)\n\n"
        "    def __init__(self):\n        torch.manual_seed(0)\n"
        "        super().__init__(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3))\n"
    )
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def score(model: Any) -> float:
        return -float(model(images).square().mean())

    made = convert_target(str(tmp_path / "net_here.py:Net"), rank=1, scorer=scorer_of(score))
    scored = made.converted.outcome.scored
    assert scored is not None
    with torch.no_grad():
        assert scored.after == pytest.approx(score(made.module.eval()), rel=1e-6)
