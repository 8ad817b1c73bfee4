"""The pictures of the docs are what scripts/draw_pictures.py draws from what was measured."""

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "draw_pictures", ROOT / "scripts/draw_pictures.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_committed_is_what_is_drawn(
    drawing: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = drawing.FOLDER
    monkeypatch.setattr(drawing, "FOLDER", tmp_path)
    drawing.draw()
    drawn = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert drawn == sorted(path.name for path in folder.glob("*.svg"))
    for name in drawn:
        assert (tmp_path / name).read_text() == (folder / name).read_text(), "draw_pictures.py"


def test_a_picture_of_promises_stands_on_what_layers_have_by_hand(drawing: ModuleType) -> None:
    """1/N + 1/K² of each layer is where its points stand."""
    plot = drawing.promise_against_clock()
    by_hand = [
        1 / (1 / outputs + 1 / area)
        for outputs, area in ((16, 9), (32, 9), (64, 9), (256, 9), (32, 25), (192, 25), (64, 49))
    ]
    assert [series.name for series in plot.series] == ["torch", "ONNX Runtime", "OpenVINO", "ncnn"]
    for series in plot.series:
        assert [point.x for point in series.points] == pytest.approx(by_hand)
    assert "AMD EPYC" in plot.measured
    svg = (drawing.FOLDER / "promise-against-clock.svg").read_text()
    assert ElementTree.fromstring(svg).get("width") == "720"
