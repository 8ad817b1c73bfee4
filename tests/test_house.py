"""How long lines, functions and files may be, and that what is said of the house is true."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "dscost").rglob("*.py"))

LONGEST_LINE = 100
LONGEST_FUNCTION = 50
LONGEST_FILE = 400
REASON = "# Over 400 lines: "
"""How the first line of a file begins that has a reason to be longer."""


def lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the functions of a module with their lines: docstrings, and options of commands, apart."""
    is_command = path.parent.name == "cli"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = node.body[0]
            docstring = 0
            if ast.get_docstring(node, clean=False) is not None and first.end_lineno:
                docstring = first.end_lineno - first.lineno + 1
            start = first.lineno if is_command else node.lineno
            yield node.name, node.end_lineno - start + 1 - docstring


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_functions_and_files_are_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
    assert [found for found in lengths(path) if found[1] > LONGEST_FUNCTION] == []
    assert len(lines) <= LONGEST_FILE or lines[0].startswith(REASON)


def test_the_picture_of_the_house_shows_its_floors() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    floors = {room.strip("() ") for floor in contract["layers"] for room in floor.split("|")}
    picture = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[3]
    shown = {word.strip("/") for line in picture.splitlines() for word in line.split("  ")}
    missing = {floor for floor in floors if floor not in shown and f"{floor}/" not in picture}
    assert missing - {"__main__", "pytest_plugin", "specs"} == set()
