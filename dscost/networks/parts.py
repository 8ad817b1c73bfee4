"""The parts of an architecture file, as records: layers, groups of layers, the whole file."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.errors import Problem
from dscost.networks.keys import Kind
from dscost.notation.marked_yaml import Node
from dscost.notation.units import counted

Compute = Callable[[Mapping[str, Any]], Any]
"""Returns a value from the names in scope."""


class Field(NamedTuple):
    """A value that must be of a kind: it is known, or else computed from the names in scope.

    The node is the place to blame.
    """

    node: Node
    kind: Kind
    known: Any = None
    compute: Compute | None = None

    def value(self, scope: Mapping[str, Any]) -> Any:
        """Return the value; an `InputError` where there is none, or none of its kind.

        An `UnknownValue` where it depends on what an earlier mistake leaves unknown.
        """
        return self.kind(self.compute(scope)) if self.compute else self.known


class Item(NamedTuple):
    """One entry of a list of layers.

    Args:
        kind: A key of `LAYERS`.
        node: The place to blame.
        name: If it is given one.
        when: Whether it exists.
        fields: Everything else that has a value; of a block, its columns too.
        lists: The layers of a residual and of its shortcut.
        rows: Of a block: per row its place and its cells.
    """

    kind: str
    node: Node
    name: str | None
    when: Field | None
    fields: Mapping[str, Field]
    lists: Mapping[str, tuple["Item", ...]]
    rows: tuple[tuple[Node, tuple[Field, ...]], ...] | None


class Block(NamedTuple):
    """A named group of layers; its parameters are columns, which rows of a table fill in."""

    columns: tuple[str, ...]
    repeat: Field | None
    layers: tuple[Item, ...]


_NONE: Mapping[str, Any] = MappingProxyType({})


class ArchitectureFile(NamedTuple):
    """A parsed file.

    Args:
        path: Where it was read from, for errors.
        layers: The layers from input to output.
        description: What it is, in a line.
        source: The paper or implementation that it follows.
        input: Channels, height and width, or `None` where the caller must say.
        input_settings: The settings that nothing but the input uses.
        settings: Names and defaults of what --set may change.
        models: Names that it defines, each with its values for some settings.
        defaults: `norm` and `act` of convolutions that do not say.
        blocks: The blocks by name.
    """

    path: str
    layers: tuple[Item, ...]
    description: str | None = None
    source: str | None = None
    input: tuple[Field, ...] | None = None
    input_settings: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = _NONE
    models: Mapping[str, Mapping[str, Any]] = _NONE
    defaults: Mapping[str, Field] = _NONE
    blocks: Mapping[str, Block] = _NONE

    @property
    def year(self) -> int | None:
        """The year of its source, which is the first that this names."""
        found = re.search(r"(?<![\w.:])(19\d\d|20[0-3]\d)(?![\w.])", self.source or "")
        return int(found[0]) if found else None


def misfits(item: Item, columns: Sequence[str]) -> list[Problem]:
    """Return how the columns or rows that a block is given differ from those that it has."""
    if item.rows is None:
        missing = [column for column in columns if column not in item.fields]
        return [item.node.at_value(f"missing {', '.join(missing)}")] if missing else []
    expected = f"{counted(len(columns), 'value')} ({', '.join(columns)})"
    return [
        row.at_value(f"expected {expected}, found {len(cells)}")
        for row, cells in item.rows
        if len(cells) != len(columns)
    ]
