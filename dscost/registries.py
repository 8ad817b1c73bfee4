"""Open sets of named things: one lookup for all, extended from Python or by entry point."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from dscost.errors import UnavailableError, UnknownNameError, first_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one kind.

    Other packages add theirs under the entry-point group `dscost.<plural>`; that group is only
    read when a name is missing or all names are asked for, since scanning a large
    environment takes longer than the rest of the start.

    Args:
        kind: What an entry is called.
        plural: What several entries are called.
        more: A module of ours that registers further entries, imported when a name is missing or
            all are asked for.
    """

    def __init__(self, kind: str, plural: str, more: str | None = None) -> None:
        self._kind, self._group, self._more = kind, f"dscost.{plural}", more
        self._entries: dict[str, T] = {}
        self._found: Mapping[str, EntryPoint] | None = None

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds an entry; a later entry of the same name replaces it."""

        def add(entry: T) -> T:
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """Return the entry called `name`.

        Raises:
            UnknownNameError: No entry has that name; the text gives the nearest one.
            UnavailableError: It is of another package, and cannot be loaded.
        """
        if name not in self._entries:
            self._load_more()
        if name not in self._entries:
            known = {*self._entries, *self._points()}
            if name not in known:
                raise UnknownNameError(
                    self._kind, name, [*self._entries, *sorted(known - set(self._entries))]
                )
            try:
                loaded = self._points()[name].load()
            except Exception as error:
                raise UnavailableError(
                    f"the entry point '{name}' of {self._group} cannot be loaded: "
                    f"{first_line(error)}"
                ) from error
            self._entries.setdefault(name, loaded)  # loading may have registered it
        return self._entries[name]

    def here(self) -> Iterator[str]:
        """Return the names that are registered, without looking for those of other packages."""
        return iter(tuple(self._entries))

    def __iter__(self) -> Iterator[str]:
        self._load_more()
        return iter(dict.fromkeys([*self._entries, *self._points()]))

    def _load_more(self) -> None:
        if self._more is not None:
            from importlib import import_module

            earlier = dict(self._entries)
            import_module(self._more)
            # whoever has registered a name already replaces ours, though ours load later
            self._entries.update(earlier)

    def _points(self) -> Mapping[str, "EntryPoint"]:
        """Return the entry points of other packages, not loaded."""
        if self._found is None:
            if "importlib.metadata" not in sys.modules and not _may_have_points(self._group):
                return {}
            from importlib.metadata import entry_points

            self._found = {point.name: point for point in entry_points(group=self._group)}
        return self._found


def _may_have_points(group: str) -> bool:
    """Whether some package that is installed may have entry points in a group.

    To ask `importlib.metadata` takes longer than to read a small file of each package, for it
    imports what reads email. Where packages are found in other ways than in folders it knows best.
    """
    finders = [one for one in sys.meta_path if hasattr(one, "find_distributions")]
    return len(finders) != 1 or any(_has_points(folder or ".", group) for folder in sys.path)


def _has_points(folder: str, group: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            infos = [one.path for one in entries if one.name.endswith((".dist-info", ".egg-info"))]
    except (FileNotFoundError, PermissionError):
        return False
    except NotADirectoryError:  # an archive, or an egg
        return True
    for info in infos:
        try:
            with open(f"{info}/entry_points.txt", "rb") as file:  # noqa: PTH123 - pathlib is slower
                if group.encode() in file.read():
                    return True
        except OSError:
            continue
    return False
