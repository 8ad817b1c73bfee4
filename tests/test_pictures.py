"""Pictures: which there are, how they are asked for, and that what is drawn is what is known."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import run
from terminals import on_terminal

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
        (
            ["--plot", "layers", "--plot", "times"],
            "--plot layers and --plot times: name a file, as in",
        ),
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


def test_a_picture_that_cannot_be_drawn_keeps_nothing_else_from_being_written(
    tmp_path: Path,
) -> None:
    asked = ("--plot", "promise=p.svg", "--plot", "layers=l.svg", "--export", "json=r.json")
    ran = run("model", "resnet18", "--no-time", *asked, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stdout.startswith("resnet18, input 1×3×224×224")
    assert "dscost: picture 'promise': nothing was timed" in ran.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == ["l.svg", "r.json"]


def test_pixels_without_what_makes_them_are_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)  # as where it is not installed
    ran = run("model", "no_such_model", "--plot", "layers=a.png", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == "dscost: resvg-py is not installed: pip install 'dscost[png]'\n"


def test_a_picture_of_times_waits_for_them(tmp_path: Path) -> None:
    asked = ("--time-budget", "0.5", "--memory-format", "contiguous", "--format", "svg:costs")
    ran = run("layer", "8", "8", "3", "--size", "8", *asked, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert any(text.endswith("µs") for text in texts_of(ran.stdout))


def test_pixels_are_not_written_to_a_terminal(tmp_path: Path) -> None:
    command = "layer 8 8 3 --no-time --format png".split()
    with on_terminal(*command, cwd=tmp_path, env={"NO_COLOR": "1"}) as terminal:
        seen = terminal.to_the_end()
        assert terminal.code == 2
    assert seen == "dscost: a terminal shows no pixels: name a file, as in -o picture.png\n"
