"""No command writes over what it reads, nor two results to one file: refused before anything is counted."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dscost.cli import run
from dscost.cli.places import is_same
from dscost.errors import OutputError
from dscost.files import check_folder, write_whole

NET = "input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n"
BUDGET = (
    "version: 1\nbaseline: base.json\nmodels:\n"
    "  - {target: net.yaml, limits: {macs: {max: 1G, max_increase: 1%}}}\n  - {target: resnet18, limits: {macs: 2G}}\n"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    (tmp_path / "net.py").write_text("def make(): raise RuntimeError('it was called')\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "mod.py").write_text("def make(): raise RuntimeError('it was called')\n")
    (tmp_path / "dev.yaml").write_text(
        (Path(__file__).parents[1] / "configs" / "devices" / "t4.yaml").read_text()
    )
    (tmp_path / "link.yaml").symlink_to("net.yaml")
    os.link(tmp_path / "net.yaml", tmp_path / "hard.yaml")
    assert run(["model", "net.yaml", "--no-time", "--json", "-q", "-o", "a.json"]) == 0
    assert run(["model", "net.yaml", "--no-time", "--json", "-q", "-o", "b.json"]) == 0
    assert run(["baseline", "save", "-q"]) == 0
    return tmp_path


LAYER = ["layer", "--cin", "8", "--cout", "8", "-k", "3", "--no-time"]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("model net.yaml --no-time -o net.yaml", "net.yaml is read as the target"),
        ("model net.yaml --no-time -o ./net.yaml", "net.yaml is read as the target"),
        ("model net.yaml --no-time -o link.yaml", "link.yaml is read as the target"),
        ("model net.yaml --no-time -o hard.yaml", "hard.yaml is read as the target"),
        ("model link.yaml --no-time -o net.yaml", "net.yaml is read as the target"),
        ("model net.yaml --no-time --export csv=net.yaml", "net.yaml is read as the target"),
        ("model net.py:make --input 1,3,8,8 -o net.py", "net.py is read as the target"),
        ("model pack.mod:make --input 1,3,8,8 -o pack/mod.py", "pack/mod.py is read as the target"),
        ("model net.yaml --no-time --on dev.yaml -o dev.yaml", "dev.yaml is read as --on"),
        ("model a.json --no-time -o a.json", "a.json is read as the target"),
        ("compare a.json b.json --json -o a.json", "a.json is read as the target"),
        ("compare a.json b.json --json -o b.json", "b.json is read as the target"),
        ("compare a.json:net.yaml b.json --json -o a.json", "a.json is read as the target"),
        ("check -o dscost.yaml", "dscost.yaml is read as the budget"),
        ("check dscost.yaml --export json=./dscost.yaml", "dscost.yaml is read as the budget"),
        ("check -o base.json", "base.json is read as the baseline"),
        ("check -o net.yaml", "net.yaml is read as a model of dscost.yaml"),
        ("device dev.yaml -o dev.yaml", "dev.yaml is read as --on"),
        ("device --on dev.yaml -o dev.yaml", "dev.yaml is read as --on"),
        ("convert net.yaml -o net.yaml", "net.yaml is read as the target"),
        ("convert net.yaml --save-plan net.yaml", "net.yaml is read as the target"),
    ],
)
def test_what_is_read_is_not_written_over(
    line: str, read: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(line.split()) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"dscost: {read}, a result would be written over it"
    assert told.out == ""
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_baseline_is_not_saved_over_a_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "dscost.yaml").write_text(BUDGET.replace("base.json", "net.yaml"))
    assert run(["baseline", "save"]) == 2
    assert (
        "net.yaml is read as a model of dscost.yaml, a result would be written over it"
        in capsys.readouterr().err
    )
    assert (folder / "net.yaml").read_text() == NET


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "x.json", "--export", "csv=x.json"],
        ["-o", "x.json", "--export", "csv=./x.json"],
        ["--export", "json=x", "--export", "csv=./x"],
        ["--export", "json=to_x", "--export", "csv=x"],
    ],
    ids=" ".join,
)
def test_two_results_are_not_written_to_one_file(
    options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "to_x").symlink_to("x")
    assert run([*LAYER, *options]) == 2
    assert "two results would be written to one file" in capsys.readouterr().err
    assert not (folder / "x").exists()
    assert not (folder / "x.json").exists()


def test_a_result_that_is_not_read_is_written_over_as_ever(folder: Path) -> None:
    assert run(["compare", "a.json", "b.json", "--json", "-q", "-o", "c.json"]) == 0
    assert run(["compare", "b.json", "a.json", "--json", "-q", "-o", "c.json"]) == 0
    assert run([*LAYER, "-q", "-o", "a.json"]) == 0
    assert run([*LAYER, "-q", "-o", "/dev/null", "--export", "csv=/dev/null"]) == 0


def test_a_program_is_no_place_for_a_result(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (folder / "net.py").read_bytes()
    assert run([*LAYER, "-o", "net.py"]) == 2
    assert (
        "cannot write net.py: it is a program, which no result replaces" in capsys.readouterr().err
    )
    assert (folder / "net.py").read_bytes() == source


@pytest.mark.parametrize("name", ["x" * 252 + ".json", "loop"], ids=["long", "loop"])
@pytest.mark.parametrize("command", ["layer", "schema", "init", "export"])
def test_a_name_that_can_be_no_file_is_one_line(
    name: str, command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loop").symlink_to("loop")
    lines = {
        "layer": [*LAYER, "-o", name],
        "schema": ["schema", "report", "-o", name],
        "init": ["init", "net.yaml", "-o", name],
        "export": [*LAYER, "--export", f"json={name}"],
    }
    assert run(lines[command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "dscost: cannot write " if name != "loop" or command != "init" else "dscost: loop exists"
    )
    assert "internal" not in line


# -- permissions


def refuse(*writing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as a system does whose files are somebody else's; root may do everything."""
    honest = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: honest(path, mode) and not (mode == os.W_OK and Path(path) in writing),
    )


def test_a_file_that_may_not_be_written_is_not_replaced_in_an_open_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "theirs.json"
    path.write_text("theirs")
    refuse(path, monkeypatch=monkeypatch)
    for write in (lambda: check_folder(path), lambda: write_whole(path, "ours")):
        with pytest.raises(OutputError, match=r"theirs\.json: Permission denied$"):
            write()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def refusing_in(folder: Path) -> Callable[..., tuple[int, str]]:
    """Return what makes a temporary file anywhere but in a folder, nor puts another in a place there."""
    make = tempfile.mkstemp

    def refused(*args: object, **more: Any) -> tuple[int, str]:
        if not args and more.get("dir") != folder:
            return make(**more)
        raise PermissionError(1, "Operation not permitted")

    return refused


@pytest.mark.parametrize("step", ["replace", "mkstemp"], ids=["sticky", "read-only"])
def test_a_file_that_may_be_written_is_where_its_folder_allows_no_new_one(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refusing_in(tmp_path)
    path = tmp_path / "shared.json"
    path.write_text("what was there, longer than what comes")
    monkeypatch.setattr(
        "pathlib.Path.replace" if step == "replace" else "tempfile.mkstemp", refused
    )
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_brings_back_what_a_shared_file_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def full_once(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 1:
            raise OSError(28, "No space left on device")

    path = tmp_path / "shared.json"
    path.write_text("before")
    monkeypatch.setattr("tempfile.mkstemp", refusing_in(tmp_path))
    monkeypatch.setattr("os.fsync", full_once)
    with pytest.raises(OutputError, match="No space left on device"):
        write_whole(path, "new, and longer")
    assert path.read_text() == "before"


def test_one_file_has_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("")
    (tmp_path / "b").symlink_to("a")
    assert is_same(Path("a"), Path("./x/../a"))
    assert is_same(Path("a"), tmp_path / "b")
    assert is_same(Path("new"), tmp_path / "new")
    assert not is_same(Path("a"), Path("c"))
