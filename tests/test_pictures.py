"""Pictures: which there are, how they are asked for, and that what is drawn is what is known."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import run

import dscost
from dscost.errors import InputError, UnknownNameError

SVG = "{http://www.w3.org/2000/svg}"


def texts_of(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_picture_is_written_to_a_file_of_its_own(tmp_path: Path) -> None:
    ran = run("model", "resnet18", "--no-time", "--plot", "layers=a.svg", "-q", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("resnet18")
    texts = texts_of((tmp_path / "a.svg").read_text())
    assert texts[0] == "resnet18: MACs of each layer"
    assert "118M" in texts  # conv1: 112 · 112 · 64 · 3 · 7 · 7 = 118,013,952
    again = run("model", "resnet18", "--no-time", "--format", "svg:layers")
    assert again.stdout == (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "layer=a.svg"], "unknown picture 'layer' (did you mean 'layers'?)"),
        (["--plot", "layers"], "--plot layers: name its file, as in --plot layers=layers.svg"),
        (["--plot", "layers=a.txt"], "--plot: expected NAME=FILE.svg or .png, as in"),
        (["--export", "svg:roof=a.svg"], "unknown picture 'roof' (did you mean 'roofline'?)"),
        (["--format", "json:layers"], "'json:layers': only a format of pictures takes the name"),
    ],
)
def test_a_picture_that_there_is_not_is_told_before_any_work(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    ran = run("model", "no_such_model", *arguments, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"dscost: {message}")
    assert not [*tmp_path.iterdir()]


def test_a_command_without_pictures_says_so() -> None:
    ran = run("verify", "resnet18", "--format", "svg")
    assert ran.returncode == 2
    assert "draws pictures, of which dscost verify has none" in ran.stderr


def test_a_report_is_drawn_from_python(tmp_path: Path) -> None:
    report = dscost.analyze("resnet18")
    drawn = report.plot("layers")
    assert drawn.svg == report.plot("layers")._repr_svg_()
    drawn.save(tmp_path / "layers.svg")
    assert (tmp_path / "layers.svg").read_text() == drawn.svg
    with pytest.raises(UnknownNameError, match="layers"):
        report.plot("layer")
    with pytest.raises(InputError, match=r"saved as \.svg or \.png"):
        drawn.save(tmp_path / "layers.jpg")
