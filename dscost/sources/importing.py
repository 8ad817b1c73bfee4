"""Code of users, imported so that later targets, with a `net.py` of theirs, do not find it."""

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from dscost.sources.mending import torchvision_mended

SCRIPT = "dscost_target_"
"""What the names of files that are no part of a package begin with; they may stay, since nobody
imports them."""

PACKAGE = "dscost_package_"
"""What the names of folders begin with that are called like something which everybody has."""

_SHARED = frozenset((*sys.stdlib_module_names, "__main__", "dscost", "torch", "numpy"))
"""What is one for all, whatever a folder holds."""

_turns: Any = RLock()
"""`sys.path` and `sys.modules` are the process's: threads that import targets take turns."""


def _new_turns() -> None:
    global _turns
    _turns = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_turns)  # whoever held it is not there any more

_left: dict[str, ModuleType] = {}
"""Modules from working directories that stay imported, as those of any program do; other folders do
not see them."""
_left_folders: set[str] = set()


class World:
    """Where the code of one target lives.

    While it is entered, its folders stand first on the path, what other folders left is out of
    sight, and a torchvision that does not fit this torch can be imported all the same. What was
    imported from its folders is its own: it is there again when the world is entered anew, and
    nowhere else.

    Args:
        first: Folders in which names are sought before anywhere else.
        last: Folders in which they are sought after everywhere else.
        stays: Whether what is imported stays so afterwards, and the folders on the path.
    """

    def __init__(
        self, first: Sequence[Path] = (), *, last: Sequence[Path] = (), stays: bool = False
    ) -> None:
        self.first = tuple(dict.fromkeys(folder.resolve() for folder in first))
        self.last = tuple(folder.resolve() for folder in last)
        self._stays = stays
        self._own: dict[str, ModuleType] = {}
        self._added: list[str] = []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Import in this world."""
        with _turns:
            importlib.invalidate_caches()  # a file may have been written a moment ago
            aside = {name: sys.modules[name] for name in self._others()}
            path, known = list(sys.path), sys.modules.keys() - aside.keys()
            deepest = sys.getrecursionlimit()
            self._step_in(aside)
            try:
                with torchvision_mended():
                    yield
            finally:
                # code may lower it, to less than we need
                sys.setrecursionlimit(max(deepest, sys.getrecursionlimit()))
                self._keep_path(path)
                self._take_along(sys.modules.keys() - known)
                sys.modules.update(aside)

    def hold(self, name: str, folder: Path) -> None:
        """Take a folder for a package, which has no `__init__.py` and may share its name."""
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        self._own[name] = module = importlib.util.module_from_spec(spec)
        outer, _, last = name.rpartition(".")
        if outer in self._own:
            setattr(self._own[outer], last, module)

    def call(self, name: str, module: ModuleType) -> None:
        """Let a module be found under a free name as well: arguments may name what it has."""
        if name.isidentifier() and name not in _SHARED:
            self._own.setdefault(name, module)

    def _step_in(self, aside: Iterable[str]) -> None:
        """Put modules aside, and those of this world and its folders in their place."""
        for name in aside:
            del sys.modules[name]
        sys.modules.update(self._own)
        ours = [*self._added, *map(str, self.first)]
        hidden = {*ours, *_left_folders}
        others = [entry for entry in sys.path if entry not in hidden]
        sys.path[:] = [*ours, *others, *map(str, self.last)]

    def _take_along(self, new: Iterable[str]) -> None:
        """Keep modules that were imported from the folders of this world."""
        folders = {*self.first, *self.last, *(Path(entry).resolve() for entry in self._added)}
        for name, module in _from_folders(folders, new):
            if self._stays:
                _left[name] = module
            else:
                self._own[name] = sys.modules.pop(name)

    def _keep_path(self, before: Sequence[str]) -> None:
        """Put the path back; what code put on it that lies elsewhere than its own folder stays."""
        known = {*before, *map(str, (*self.first, *self.last)), *self._added}
        new = [entry for entry in sys.path if entry not in known]
        related = [entry for entry in new if self._is_near(entry)]
        self._added += related
        elsewhere = [entry for entry in new if entry not in related]
        sys.path[:] = [*elsewhere, *before]
        if self._stays:
            for folder in map(str, self.first):
                if folder not in sys.path:
                    sys.path.insert(0, folder)
                    _left_folders.add(folder)

    def _is_near(self, entry: str) -> bool:
        place = Path(entry).resolve()
        return any(place in folder.parents or folder in place.parents for folder in self.first)

    def _others(self) -> Iterator[str]:
        """Yield modules that this world must not see: named as its own, or left by others."""
        mine = [folder for folder in self.first if not _is_installed(folder)]
        held = {name: folder for folder in reversed(mine) for name in _names_in(folder)}
        strangers = set()
        for name in (held.keys() | _left.keys()) & sys.modules.keys() - _SHARED:
            module, home = sys.modules[name], _home(sys.modules[name])
            is_held = name in held and home != held[name]
            is_shadowed = is_held and _holds_module(held[name], name, module)
            if is_shadowed or (_left.get(name) is module and home not in self.first):
                strangers.add(name)
        for name in list(sys.modules):
            if name.partition(".")[0] in strangers or name in self._own:
                yield name


def _names_in(folder: Path) -> set[str]:
    try:
        entries = os.listdir(folder)  # noqa: PTH208 - names, of maybe many files
        return {entry.partition(".")[0] for entry in entries}
    except OSError:
        return set()


def _holds_module(folder: Path, name: str, loaded: ModuleType) -> bool:
    """Whether an import would find a module in a folder rather than the one that is loaded."""
    files = [f"{name}{ending}" for ending in (".py", *_EXTENSIONS)]
    if any((folder / file).is_file() for file in (*files, f"{name}/__init__.py")):
        return True
    is_namespace = getattr(loaded, "__file__", None) is None and hasattr(loaded, "__path__")
    return is_namespace and (folder / name).is_dir()


_EXTENSIONS = (".so", ".pyd", sysconfig.get_config_var("EXT_SUFFIX") or ".so")


def _home(module: ModuleType) -> Path | None:
    """Return the folder of the path in which a module of the top was found."""
    file, places = getattr(module, "__file__", None), getattr(module, "__path__", None)
    try:
        if isinstance(file, str):
            place = Path(file).resolve().parent
            return place.parent if places is not None else place
        for entry in places or ():
            return Path(entry).resolve().parent
    except (OSError, TypeError, ValueError):  # of a module that only looks like one
        pass
    return None


def _from_folders(
    folders: Iterable[Path], names: Iterable[str]
) -> Iterator[tuple[str, ModuleType]]:
    """Yield modules that were found in some folders, but for compiled ones: they load only once."""
    places = {folder for folder in folders if not _is_installed(folder)}
    new = {name: sys.modules[name] for name in names if not name.startswith(SCRIPT)}
    tops = {name.partition(".")[0] for name in new}
    found = {top for top in tops & new.keys() if _home(new[top]) in places} - _SHARED
    for name, module in new.items():
        # an entry may be None, which keeps a module from being imported
        if name.partition(".")[0] in found and module is not None and not _is_compiled(module):
            yield name, module


def _is_compiled(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return isinstance(getattr(spec, "loader", None), ExtensionFileLoader)


def _is_installed(folder: Path) -> bool:
    is_named_so = folder.name in ("site-packages", "dist-packages")
    return is_named_so or str(folder) in sysconfig.get_paths().values()


def world_of_package(path: Path, levels: int, roots: Sequence[Path] = ()) -> tuple[World, str]:
    """Return the world of a file that is part of a package, and its dotted name in it.

    At least so many levels of folders above it are packages, also without an `__init__.py`. The
    path is absolute. In the roots names are sought after everywhere else.
    """
    folders: list[Path] = []
    for folder in path.parents[:-1]:
        if len(folders) >= levels and not (folder / "__init__.py").is_file():
            break
        folders.insert(0, folder)
    parts = [folder.name for folder in folders]
    world = World((folders[0].parent if folders else path.parent,), last=(path.parent, *roots))
    if parts and parts[0] in _SHARED:  # a folder called torch is no part of torch
        parts[0] = f"{PACKAGE}{parts[0]}"
    for depth, folder in enumerate(folders, 1):
        if not (folder / "__init__.py").is_file() or parts[depth - 1].startswith(PACKAGE):
            world.hold(".".join(parts[:depth]), folder)
    return world, ".".join([*parts, *([] if path.stem == "__init__" else [path.stem])])


def levels_of(path: Path) -> int:
    """Return how many folders above a file its imports take for packages; none of a script.

    They do by relative imports, or by the name of such a folder with something that lies in it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # running it will warn
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # running it will tell
        return 0
    return max((_levels(node, path.parent) for node in ast.walk(tree)), default=0)


def _levels(node: ast.AST, folder: Path) -> int:
    match node:
        case ast.ImportFrom(level=0, module=module, names=found):
            names = [f"{module}.{alias.name}" for alias in found]
        case ast.ImportFrom(level=int(level)):
            return level
        case ast.Import(names=found):
            names = [alias.name for alias in found]
        case _:
            return 0
    return max(_levels_to(name.split("."), folder) for name in names)


def _levels_to(parts: Sequence[str], folder: Path) -> int:
    """Return how far above a folder, or in it, one of a name has what is imported from it."""
    if parts[0] in _SHARED or parts[0] in _names_in(folder):  # a script finds it beside itself
        return 0
    for level, place in enumerate((folder, *folder.parents[:MOST_LEVELS]), 1):
        if place.name == parts[0]:
            inside = place / parts[1] if len(parts) > 1 else place
            is_there = len(parts) > 1 and (inside.with_suffix(".py").is_file() or inside.is_dir())
            if is_there or (place / "__init__.py").is_file():
                return level
    return 0


def folder_with(name: str, path: Path) -> Path | None:
    """Return the nearest folder above a file that has a module of the top, if one near has it."""
    for folder in path.parent.parents[:MOST_LEVELS] if name.isidentifier() else ():
        if (folder / f"{name}.py").is_file() or _has_code(folder / name):
            return folder
    return None


def _has_code(folder: Path) -> bool:
    """Whether a folder may be a package: one of data that is called like a library is none."""
    return any(next(folder.glob(names), None) for names in ("*.py", "*/*.py"))


MOST_LEVELS = 6
"""So far up a file's folders are looked at for packages."""
