"""A file of Python as a module, and what is named in it, such as `eval.py:accuracy`. No torch."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from dscost.errors import InputError, did_you_mean, first_line, some_of
from dscost.foreign.failures import must_pass
from dscost.sources.importing import SCRIPT, World, folder_with, levels_of, world_of_package
from dscost.sources.in_file import defines, parsed, top_level

ENDING = ".py"


class Named(NamedTuple):
    """What a file of Python has under a name.

    Args:
        target: What the user calls it.
        value: A function, or whatever else the name stands for.
        importing: A context for while its code runs, in which imports find the files beside it.
    """

    target: str
    value: Any
    importing: Callable[[], AbstractContextManager[None]]


def is_in_file(text: str) -> bool:
    """Whether a text is `file.py:NAME`, or the file alone, which `named_in_file` refuses.

    >>> is_in_file("eval.py:accuracy"), is_in_file("images/"), is_in_file("frames.npy")
    (True, False, False)
    """
    path, colon, _ = text.rpartition(":")
    return (path if colon else text).endswith(ENDING)


def named_in_file(target: str, *, option: str) -> Named:
    """Return what `path/file.py:NAME` stands for; the file runs in a world of its own.

    Args:
        target: What the user calls it.
        option: What it was given as, for errors: `--score`.

    Raises:
        InputError: There is no such file or name, or running the file failed.
    """
    text, _, name = target.rpartition(":")
    if not text.endswith(ENDING):
        text, name = target, ""
    path, shown = Path(text), f"{option} {target}"
    if not path.is_file():
        raise InputError(f"{shown}: no such file: {text}")
    if not name:
        known = [one for one in _defined(path, text) if not one.startswith("_")]
        among = f", one of {some_of(known)}" if known else ""
        raise InputError(f"{shown}: name what is meant of it, as {text}:NAME{among}")
    try:
        world, module = loaded(path.resolve())
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        raise InputError(f"{shown}: running {text} failed: {first_line(error)}") from error
    value: Any = module
    for part in name.split("."):
        try:
            with world.entered():
                value = getattr(value, part)
        except AttributeError as error:
            near = did_you_mean(part, [one for one in dir(value) if not one.startswith("_")])
            raise InputError(f"{shown}: there is no '{part}' in {text}{near}") from error
    return Named(target, value, world.entered)


def _defined(path: Path, shown: str) -> list[str]:
    return [name for node in top_level(parsed(path, shown).body) if (name := defines(node))]


def loaded(path: Path) -> tuple[World, ModuleType]:
    """Return a file as a module, which finds what lies in the folders above it as if run there.

    Its path is absolute; what it raises may be anything.
    """
    levels = levels_of(path)
    roots: tuple[Path, ...] = ()
    while True:
        try:
            return _in_package(path, levels, roots) if levels else _as_script(path, roots)
        except ModuleNotFoundError as error:
            root = folder_with(error.name or "", path)
            if root is None or root in roots:
                raise
            roots = (*roots, root)


def _as_script(path: Path, roots: tuple[Path, ...]) -> tuple[World, ModuleType]:
    # the whole path names the module, since two folders may hold a net.py
    spec = importlib.util.spec_from_file_location(f"{SCRIPT}{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    world = World((path.parent,), last=roots)
    with world.entered():
        spec.loader.exec_module(module)
    world.call(path.stem, module)
    return world, module


def _in_package(path: Path, levels: int, roots: tuple[Path, ...]) -> tuple[World, ModuleType]:
    """Return a file as a module of its package, a larger one where its imports reach further up."""
    for more in range(levels, max(levels, len(path.parents) - 1) + 1):
        world, name = world_of_package(path, more, roots)
        try:
            with world.entered():
                return world, importlib.import_module(name)
        except ImportError as error:
            if "beyond top-level package" not in str(error):
                raise
            beyond = error
    raise beyond
