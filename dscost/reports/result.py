"""What a command comes to: frozen, equal by value, no tuple, and able to say itself.

>>> class Sum(Result):
...     left: int
...     right: int = 2
...     def in_a_line(self) -> str:
...         return f"{self.left} + {self.right}"
>>> Sum(1), Sum(1) == Sum(left=1, right=2)
(<Sum 1 + 2>, True)
"""

import copyreg
from collections.abc import Mapping
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from dscost.files import write_whole
from dscost.printable import shortened

if TYPE_CHECKING:
    from dscost.rendering.picturing import Drawing


class Shown:
    """What can say itself: in a line, as the table of the command line, and in every format."""

    def in_a_line(self) -> str:
        """Return the least that tells one from another: what `repr` shows."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values: of most, all that `--format json` writes."""
        import json

        found: dict[str, Any] = json.loads(self._written("json"))
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {shortened(self.in_a_line())}>"

    def __str__(self) -> str:
        return self._written("table").rstrip("\n")

    def _repr_html_(self) -> str:
        """Return what a notebook shows: tables and a picture, of many layers the largest."""
        shown: str = _rendering().notebook(self)
        return shown

    def to_markdown(self) -> str:
        """Return it as Markdown, as `--format markdown` writes it."""
        return self._written("markdown")

    def to_pandas(self) -> Any:
        """Return its rows, those of `--format csv`, as a `pandas.DataFrame`.

        Counts are whole numbers, also in a column that not every row has.

        Raises:
            UnavailableError: pandas is not installed.
        """
        return _rendering().data_frame(self)

    def plot(self, name: str | None = None) -> "Drawing":
        """Return a picture of it, which a notebook shows and `save` writes as SVG or PNG.

        Args:
            name: Which one, as `--plot` calls it (`dscost list pictures`); by default the most
                telling that there is.

        Raises:
            UnknownNameError: There is none of that name.
            InputError: What it would show is not known, such as times of what was not timed.
        """
        drawn: Drawing = _rendering().plot(self, name)
        return drawn

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, whole or not at all, in the format that the ending of its name means.

        Args:
            path: `costs.html`, `costs.json`, `costs.csv`, `costs.md`, `costs.svg`, or of another
                format that `dscost list formats` has. What is there is written over.

        Raises:
            InputError: No format has that ending, or it is not for such a result.
            OutputError: The file cannot be written.
        """
        format_name: str = _rendering().format_by_ending(Path(path))
        write_whole(Path(path), _rendering().render(self, format_name))

    def _written(self, format_name: str) -> str:
        text: str = _rendering().render(self, format_name)
        return text


@dataclass_transform(frozen_default=True)
class Result(Shown):
    """A record whose fields are its annotations, as of a frozen dataclass.

    Defining a dataclass takes over a millisecond, and a named tuple a quarter of one; this takes
    a hundredth, and an answer at once is a promise of the project. Nor would a tuple be right: a
    report has no length, no `count` and no `index`.
    """

    _fields: ClassVar[tuple[str, ...]] = ()
    _field_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init_subclass__(cls) -> None:
        own = {name: vars(cls)[name] for name in cls.__annotations__ if name in vars(cls)}
        cls._fields = tuple(dict.fromkeys([*cls._fields, *cls.__annotations__]))
        cls._field_defaults = {**cls._field_defaults, **own}

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self._fields, values, strict=False))
        found = {**self._field_defaults, **given, **named}
        is_twice = len(values) > len(given) or not given.keys().isdisjoint(named)
        if is_twice or found.keys() != set(self._fields):
            wanted = ", ".join(self._fields)
            raise TypeError(f"{type(self).__name__} takes each of these once: {wanted}")
        vars(self).update({name: found[name] for name in self._fields})

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def _replace(self, **changes: Any) -> Self:
        return type(self)(**{**vars(self), **changes})


def _rendering() -> Any:
    """Return the module that writes results.

    Results stand below it, since it knows what is in them, so they cannot import it. They look it
    up by this name when they are printed or saved; nothing else reaches upwards.
    """
    return import_module("dscost.rendering")


def _read_only(entries: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(entries)


# the defaults of records are read-only mappings, which pickle and a deep copy take from here only
copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))
