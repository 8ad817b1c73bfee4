"""Where the code of a model is defined, found without running any: for whoever points at it."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dscost.errors import InputError
from dscost.sources.in_file import defines, only_model, parsed, top_level

ENDING = ".py"
MOST_IMPORTS = 5
"""Files that a name is followed through, from one that imports it to where it is defined."""


class Defined(NamedTuple):
    """A line of a file of Python, from 1."""

    path: Path
    line: int


def defined_at(target: str, folder: Path) -> Defined | None:
    """Return the class, function or instance that a target names; `None` where it is not seen.

    Args:
        target: `file.py:NAME`, `file.py` or `package.module:NAME`; any other is not of Python.
        folder: What its file lies in, or is named from.
    """
    path, name = _split(target, folder)
    if path is None or not path.is_file():
        return None
    try:
        return _in_file(path, (name or only_model(path, target)).split("."), folder, MOST_IMPORTS)
    except InputError:  # whoever runs it will tell
        return None


def _split(target: str, folder: Path) -> tuple[Path | None, str]:
    place, _, name = target.rpartition(":")
    if target.endswith(ENDING):
        return folder / target, ""
    if place.endswith(ENDING):
        return folder / place, name
    is_module = place and all(part.isidentifier() for part in place.split("."))
    return (_module(folder, place.split(".")) if is_module else None), name


def _module(folder: Path, parts: Sequence[str]) -> Path | None:
    """Return the file of a module below a folder."""
    place = folder.joinpath(*parts)
    files = (place.with_name(f"{place.name}{ENDING}"), place / f"__init__{ENDING}")
    return next((one for one in files if one.is_file()), None)


def _in_file(path: Path, names: Sequence[str], folder: Path, steps: int) -> Defined | None:
    """Return where a name is defined, in this file or in one that it is imported from."""
    body: Sequence[ast.stmt] = list(top_level(parsed(path, str(path)).body))
    found: ast.stmt | None = None
    for name in names:
        nodes = [node for node in body if defines(node) == name]
        if not nodes:
            break
        found = nodes[-1]  # which the name means in the end
        body = getattr(found, "body", [])
    if found is not None:
        return Defined(path, found.lineno)
    for file, original in _imported(body, names[0], path, folder):
        if steps and (there := _in_file(file, [original, *names[1:]], folder, steps - 1)):
            return there
    return None


def _imported(
    body: Sequence[ast.stmt], name: str, path: Path, folder: Path
) -> Iterator[tuple[Path, str]]:
    """Yield the files that a name is imported from, with what it is called there."""
    for node in body:
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = node.module.split(".") if node.module else []
        starts = [path.parents[node.level - 1]] if node.level else [path.parent, folder]
        for alias in node.names:
            if name == (alias.asname or alias.name):
                files = (_module(start, parts) for start in starts if parts)
                yield from ((file, alias.name) for file in files if file)
