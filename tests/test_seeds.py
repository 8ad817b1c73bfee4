"""The seed that is asked for is that of every program: its weights, and what it is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dscost
from dscost.analysis import Request, count
from dscost.converting.graph_loading import load_graph
from dscost.runtimes.programs import OperationsProgram
from dscost.timing import Setting, TimingOptions

NET = """\
input: [8, 6, 6]
layers:
  - {conv: 3, out_channels: 8}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    file = tmp_path / "net.yaml"
    file.write_text(NET)
    return file


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the seeds of all programs that are made of operations."""
    found: list[int] = []
    own = OperationsProgram.__init__

    def kept(self: Any, name: str, operations: Any, seed: int = 0) -> None:
        found.append(seed)
        own(self, name, operations, seed)

    monkeypatch.setattr(OperationsProgram, "__init__", kept)
    return found


def test_a_model_and_its_layers_are_made_by_the_seed(net: Path, seeds: list[int]) -> None:
    pytest.importorskip("onnxruntime")
    how = {"time": True, "runtime": "onnxruntime", "time_budget_s": 0.5, "threads": 1}
    dscost.analyze(net, **how, timing={"seed": 7})
    assert len(seeds) > 3  # versions of the whole, and of its layer
    assert set(seeds) == {7}


def test_a_file_is_given_other_values_by_another_seed(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    dscost.export_onnx(net, path)
    counted = count(str(path), Request())
    versions: Any = counted.versions
    made = {
        seed: [
            versions.program(variant, counted.swaps, Setting(), seed=seed)[0]
            for variant in ("as_is", "depthwise_separable")
        ]
        for seed in (0, 1)
    }
    for one, other in zip(made[0], made[1], strict=True):
        for name, values in one.inputs.items():
            assert not np.array_equal(values, other.inputs[name])
    assert made[0][0].graph == made[1][0].graph  # its own weights
    assert made[0][1].graph != made[1][1].graph
    whole = load_graph(str(path), Request()).whole_model()
    first, second = (whole.work("net", Setting(), seed=seed).program() for seed in (0, 1))
    assert not np.array_equal(*(next(iter(one.inputs.values())) for one in (first, second)))


def test_a_negative_seed_is_one_of_numpy_too() -> None:
    seed = TimingOptions(seed=-1).program_seed
    assert seed == 2**64 - 1
    np.random.default_rng(seed)
