"""Conventions by name: the built-in files, those of other packages, and a user's own file."""

from collections.abc import Iterator
from functools import cache
from os import PathLike
from pathlib import Path

from dscost.configs import config_folder
from dscost.conventions.files import read_convention
from dscost.conventions.records import Convention
from dscost.errors import InputError, UnknownNameError, did_you_mean
from dscost.registries import Registry

ENDINGS = (".yaml", ".yml")
"""What tells the path of a file from the name of a convention."""

CONVENTIONS: Registry[Convention] = Registry("convention", "conventions")
"""Those of other packages, by the entry points `dscost.conventions` or registered from Python."""


def convention_names() -> list[str]:
    """Return the names of all conventions, the built-in ones first."""
    return list(dict.fromkeys([*_files(), *CONVENTIONS]))


def built_in_names() -> frozenset[str]:
    """Return the names of those that come with dscost."""
    return frozenset(_files())


def find_convention(name: str) -> Convention:
    """Return a convention by its name, by the first part of it, or by the path of a file.

    `fvcore` stands for `fvcore-0.1.5` as long as there is one release of it only.

    Raises:
        UnknownNameError: There is no such convention.
        InputError: A file cannot be read or is wrong, or several releases have that name.
    """
    if name.endswith(ENDINGS):
        own = read_convention(Path(name))
        return own._replace(key=name) if own.key in _files() else own
    if name in _files():
        return _built_in(name)
    if name in CONVENTIONS.here():
        return CONVENTIONS[name]
    known = convention_names()
    releases = [one for one in known if one.partition("-")[0] == name]
    if len(releases) > 1:
        raise InputError(f"{name} has several releases: {', '.join(releases)}")
    if releases and name not in known:
        return find_convention(releases[0])
    if name not in known:
        short = [one.partition("-")[0] for one in known]  # what most people type
        names = short if did_you_mean(name, short) else known
        raise UnknownNameError("convention", name, names, ", or a file .yaml")
    found = CONVENTIONS[name]
    if not isinstance(found, Convention):
        raise InputError(f"the entry point '{name}' of dscost.conventions is no Convention")
    return found._replace(key=name)


def register_convention(convention: "Convention | str | PathLike[str]") -> Convention:
    """Add how somebody counts, which `--convention` and `convention=` take by its name afterwards.

    An installed package has its conventions found by the entry-point group `dscost.conventions`:
    under each name what this function returns of a file.

    Args:
        convention: The path of a file, whose name without its ending is the name of the
            convention; its language is told in `configs/conventions/README.md`. Or a convention
            that was read before. Another one of its name is replaced, but for the built-in ones.

    Returns:
        The convention.

    Raises:
        InputError: The file cannot be read or is wrong, or a built-in one has that name.

    Example::

        ours = dscost.register_convention("ours.yaml")
        dscost.analyze("resnet50", convention="ours")
    """
    found = convention
    if not isinstance(found, Convention | str | PathLike):
        expected = "expected a convention or the path of a file"
        raise InputError(f"{expected}, found {type(found).__name__}")
    if not isinstance(found, Convention):
        found = read_convention(Path(found))
    if found.key in _files():
        raise InputError(f"there is a built-in convention '{found.key}': call yours otherwise")
    return CONVENTIONS.register(found.key)(found)


@cache
def _built_in(name: str) -> Convention:
    return read_convention(_files()[name])


@cache
def _files() -> dict[str, Path]:
    return {path.stem: path for path in _sorted()}


def _sorted() -> Iterator[Path]:
    yield from sorted(config_folder("conventions").glob("*.yaml"))
