"""From the text of an architecture file to its parts, every mistake found with its place.

The language itself is described in `configs/architectures/README.md`.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from dscost.errors import (
    FileProblems,
    InputError,
    Problem,
    UnknownNameError,
    did_you_mean,
    hint,
    some_of,
)
from dscost.networks.expressions import FUNCTIONS, Expression
from dscost.networks.keys import (
    EXISTS,
    INPUT,
    LAYERS,
    REPEAT,
    REQUIRED,
    WORDS,
    Kind,
    activation,
    anything,
    norm,
    nothing,
)
from dscost.notation.marked_yaml import Node

VARIABLES = ("in_channels", "block_in_channels", "index", "first")
"""Names that every expression of a layer may use, settings and block columns aside."""

_KERNEL = re.compile(r"([0-9]{1,9})[x×]([0-9]{1,9})")
LISTS = {"residual": ("residual", "shortcut")}
TOP_KEYS = ("description", "source", "input", "settings", "models", "defaults", "blocks", "layers")
BLOCK_KEYS = ("columns", "repeat", "layers")

NOTHING = "expected a value, found nothing"

Compute = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A value, and the place to blame.

    Args:
        node: Where it stands.
        kind: What it must be.
        known: The value, if nothing has to be computed for it.
        compute: Else what computes it from the names in scope.
    """

    node: Node
    kind: Kind
    known: Any = None
    compute: Compute | None = None

    def value(self, scope: Mapping[str, Any]) -> Any:
        """Return the value.

        Raises:
            InputError: It cannot be computed or is none of its kind.
            UnknownValue: It depends on what an earlier mistake leaves unknown.
        """
        return self.kind(self.compute(scope)) if self.compute else self.known


@dataclass(frozen=True, slots=True)
class Item:
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


@dataclass(frozen=True, slots=True)
class Block:
    """A named group of layers with parameters, called columns since rows of a table fill them in."""

    columns: tuple[str, ...]
    repeat: Field | None
    layers: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class ArchitectureFile:
    """A parsed file.

    Args:
        path: Where it was read from, for errors.
        layers: From input to output.
        description: What it is, in a line.
        source: The paper or implementation that it follows.
        input: Channels, height and width, or `None` where the caller must say.
        input_settings: The settings that nothing but the input uses.
        settings: Names and defaults of what `--set` may change.
        models: Names that it defines, each with its values for some settings.
        defaults: `norm` and `act` of convolutions that do not say.
        blocks: By name.
    """

    path: str
    layers: tuple[Item, ...]
    description: str | None = None
    source: str | None = None
    input: tuple[Field, ...] | None = None
    input_settings: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Field] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)


def parse_architecture(root: Node, path: str, problems: Sequence[Problem] = ()) -> ArchitectureFile:
    """Return the parts of an architecture file.

    Args:
        root: The YAML; a bare list is a file of layers alone.
        path: Where it was read from, for errors.
        problems: What was wrong with the YAML itself, to be reported with the rest.

    Raises:
        FileProblems: Everything that is wrong with it, each with its place.
    """
    parser = _Parser()
    parsed = parser.file(root, path)
    misread = {problem[:2] for problem in problems}
    found = [*problems, *(problem for problem in parser.problems if problem[:2] not in misread)]
    if found:
        raise FileProblems(path, found)
    return parsed


def misfits(item: Item, columns: Sequence[str]) -> list[Problem]:
    """Return how the columns or rows that a block is given differ from those that it has."""
    if item.rows is None:
        missing = [column for column in columns if column not in item.fields]
        return [item.node.at_value(f"missing {', '.join(missing)}")] if missing else []
    expected = f"{len(columns)} value{'s' * (len(columns) != 1)} ({', '.join(columns)})"
    return [
        row.at_value(f"expected {expected}, found {len(cells)}")
        for row, cells in item.rows
        if len(cells) != len(columns)
    ]


@dataclass(slots=True)
class _Parser:
    """Collects problems as it goes.

    `constants` are the names that stand for themselves, `names` all that an expression may use at
    the moment, `used` those that one has used. `columns` are by block; `None` if they are wrong.
    """

    problems: list[Problem] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=lambda: dict(WORDS))
    names: set[str] = field(default_factory=lambda: set(WORDS))
    used: set[str] = field(default_factory=set)
    columns: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    def file(self, root: Node, path: str) -> ArchitectureFile:
        if isinstance(root.value, list):
            return ArchitectureFile(path, self.layers(root))
        top = self.keys(root, TOP_KEYS, required=("layers",))
        block_nodes = dict(self.entries(top.get("blocks")))
        for name, node in block_nodes.items():
            self.new_name(name, node.at_key, "a block")
        self.constants |= {name: name for name in block_nodes}
        settings = self.plain_mapping(top.get("settings"))
        for name, node in self.entries(top.get("settings")):
            self.new_name(name, node.at_key, "a setting", taken=block_nodes)
        self.names = {*settings, *self.constants}
        self.columns = {name: self.block_columns(node) for name, node in block_nodes.items()}
        models = {
            name: self.model_settings(node, settings)
            for name, node in self.entries(top.get("models"))
        }
        defaults = self.keys(top["defaults"], ("norm", "act")) if "defaults" in top else {}
        default_fields = {
            key: self.field(node, {"norm": norm, "act": activation}[key])
            for key, node in defaults.items()
        }
        blocks = {name: self.block(name, node) for name, node in block_nodes.items()}
        layers = self.layers(top["layers"]) if "layers" in top else ()
        used_elsewhere = frozenset(self.used)
        return ArchitectureFile(
            path=path,
            layers=layers,
            description=self.text(top.get("description")),
            source=self.text(top.get("source")),
            input=self.input(top.get("input")),
            input_settings=frozenset(self.used) - used_elsewhere,
            settings=settings,
            models=models,
            defaults=default_fields,
            blocks=blocks,
        )

    # -- the pieces of a file

    def new_name(
        self, name: str, problem: Callable[[str], Problem], what: str, taken: Collection[str] = ()
    ) -> bool:
        """Report a name that no expression could use, or that means something else already."""
        reserved = name in VARIABLES or name in WORDS or name in FUNCTIONS or name in taken
        if reserved or not name.isidentifier() or iskeyword(name):
            self.problems.append(problem(f"'{name}' cannot be the name of {what}"))
            return False
        return True

    def model_settings(self, node: Node, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        chosen = self.plain_mapping(node)
        for key, child in node.value.items() if isinstance(node.value, dict) else ():
            if key not in settings:
                self.problems.append(
                    child.at_key(f"unknown setting '{key}'{hint(key, settings, self.problems)}")
                )
        return chosen

    def block_columns(self, node: Node) -> tuple[str, ...] | None:
        columns = node.value.get("columns") if isinstance(node.value, dict) else None
        if columns is None:
            return ()
        if not isinstance(columns.value, list) or not all(
            isinstance(c.value, str) for c in columns.value
        ):
            self.problems.append(
                columns.at_value(f"columns must be a list of names, found {columns.kind}")
            )
            return None
        taken = ("name", "when", "rows", "block", *self.constants)
        found: list[str] = []
        for column in columns.value:
            if column.value in found:
                self.problems.append(column.at_value(f"duplicate column '{column.value}'"))
            elif self.new_name(column.value, column.at_value, "a column", taken):
                found.append(column.value)
        return tuple(found) if len(found) == len(columns.value) else None

    def block(self, name: str, node: Node) -> Block:
        keys = self.keys(node, BLOCK_KEYS, required=("layers",))
        columns = self.columns[name] or ()
        outside = self.names
        self.names = {*outside, *columns, *VARIABLES}
        repeat = self.field(keys["repeat"], REPEAT) if "repeat" in keys else None
        layers = self.layers(keys["layers"]) if "layers" in keys else ()
        self.names = outside
        return Block(columns, repeat, layers)

    def input(self, node: Node | None) -> tuple[Field, ...] | None:
        if node is None:
            return None
        if not isinstance(node.value, list) or len(node.value) != len(INPUT):
            self.problems.append(node.at_value("input must be [channels, height, width]"))
            return None
        return tuple(self.field(child, kind) for child, kind in zip(node.value, INPUT, strict=True))

    # -- layers

    def layers(self, node: Node) -> tuple[Item, ...]:
        if not isinstance(node.value, list):
            self.problems.append(node.at_value(f"expected a list of layers, found {node.kind}"))
            return ()
        if not node.value:
            self.problems.append(node.at_value("a list of layers is empty"))
        outside = self.names
        self.names = outside | set(VARIABLES)
        items = tuple(item for child in node.value if (item := self.item(child)))
        self.names = outside
        return items

    def item(self, node: Node) -> Item | None:
        if isinstance(node.value, str):  # `- flatten`
            place = (node.line, node.column, node.key_line, node.key_column)
            node = Node({node.value: Node(None, *place)}, *place)
        if not isinstance(node.value, dict):
            self.problems.append(
                node.at_value(
                    f"expected a layer such as {{conv: 3, out_channels: 64}}, found {node.kind}"
                )
            )
            return None
        kinds = [key for key in node.value if key in LAYERS]
        # `act` and `norm` are layers of their own only where no other kind stands beside them
        kinds = [key for key in kinds if key not in ("act", "norm")] or kinds
        if "block" in kinds:
            kinds = [
                key
                for key in kinds
                if not any(key in (columns or ()) for columns in self.columns.values())
            ]
        if len(kinds) != 1:
            self.problems.append(self.which_kind(node, kinds))
            return None
        return self.block_item(node) if kinds == ["block"] else self.layer_item(kinds[0], node)

    def which_kind(self, node: Node, kinds: list[str]) -> Problem:
        if kinds:
            return node.at_value(f"one layer, but several kinds: {', '.join(kinds)}")
        unknown = next((key for key in node.value if key not in ("name", "when")), "")
        place = node.value.get(unknown, node)
        nearest = did_you_mean(unknown, LAYERS) or f" (known: {some_of(LAYERS, at_most=20)})"
        return Problem(place.key_line, place.key_column, f"unknown layer '{unknown}'{nearest}")

    def layer_item(self, kind: str, node: Node) -> Item:
        kinds, lists = LAYERS[kind], LISTS.get(kind, ())
        keys = self.keys(node, {*kinds, *lists, "name", "when"}, REQUIRED.get(kind, ()))
        fields = {key: self.field(child, kinds[key]) for key, child in keys.items() if key in kinds}
        branches = {key: self.layers(keys[key]) for key in lists if key in keys}
        return Item(kind, node, self.name(keys), self.when(keys), fields, branches, rows=None)

    def block_item(self, node: Node) -> Item:
        block = self.field(node.value["block"], self.block_name)
        chosen = [block.known] if block.known else list(self.columns)
        columns = {column for name in chosen for column in self.columns[name] or ()}
        if any(self.columns[name] is None for name in chosen):
            columns |= set(node.value)
        keys = self.keys(node, {*columns, "block", "rows", "name", "when"})
        given = {key: self.field(child, anything) for key, child in keys.items() if key in columns}
        rows = self.rows(keys["rows"]) if "rows" in keys else None
        item = Item(
            "block", node, self.name(keys), self.when(keys), {"block": block, **given}, {}, rows
        )
        if rows is not None and given:
            message = f"rows give every column, so {', '.join(given)} cannot stand beside them"
            self.problems.append(keys["rows"].at_key(message))
        elif block.known and (own := self.columns[block.known]) is not None:
            self.problems += misfits(item, own)
        return item

    def block_name(self, value: Any) -> str:
        if value is None:
            raise InputError("expected the name of a block, found nothing")
        if not isinstance(value, str) or value not in self.columns:
            raise UnknownNameError("block", str(value), self.columns)
        return value

    def rows(self, node: Node) -> tuple[tuple[Node, tuple[Field, ...]], ...]:
        if not isinstance(node.value, list) or not all(
            isinstance(row.value, list) for row in node.value
        ):
            self.problems.append(
                node.at_value("rows must be a list of lists, one value per column of the block")
            )
            return ()
        return tuple(
            (row, tuple(self.field(cell, anything) for cell in row.value)) for row in node.value
        )

    def name(self, keys: Mapping[str, Node]) -> str | None:
        text = self.text(keys.get("name"))
        if text is None or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
            return text
        rule = (
            "does not begin with a digit"
            if text[:1].isdigit()
            else "is letters, digits and underscores"
        )
        self.problems.append(keys["name"].at_value(f"a name {rule}, found '{text}'"))
        return None

    def when(self, keys: Mapping[str, Node]) -> Field | None:
        return self.field(keys["when"], EXISTS) if "when" in keys else None

    # -- values

    def field(self, node: Node, kind: Kind) -> Field:
        """Return a value or an expression; what is known of it already is checked."""
        before = len(self.problems)
        value = self.computed(node)
        if callable(value):
            return Field(node, kind, compute=value)
        if len(self.problems) > before:
            return Field(node, kind)
        try:
            known = kind(value)
            if node.value is None and kind is not nothing:
                raise InputError(NOTHING)
        except InputError as error:
            self.problems.append(node.at_value(str(error)))
            return Field(node, kind)
        return Field(node, kind, known)

    def computed(self, node: Node) -> Any:
        """Return a number, a word or a list, or what computes it."""
        value = node.value
        if isinstance(value, str):
            kernel = _KERNEL.fullmatch(value)
            return (int(kernel[1]), int(kernel[2])) if kernel else self.expression(value, node)
        if isinstance(value, list):
            self.problems += [child.at_value(NOTHING) for child in value if child.value is None]
            parts = tuple(self.computed(child) for child in value)
            if any(map(callable, parts)):
                return lambda scope: tuple(
                    part(scope) if callable(part) else part for part in parts
                )
            return parts
        if isinstance(value, dict):
            self.problems.append(node.at_value("expected a value, found a mapping"))
        return value

    def expression(self, text: str, node: Node) -> Any:
        """Return an expression, its names checked, or its value if that depends on nothing."""
        try:
            parsed = Expression(text)
        except InputError as error:
            cut_off = (
                " (in {…} and […], quote an expression that has a comma)"
                if text.count("(") > text.count(")")
                else ""
            )
            self.problems.append(node.at_value(f"{error}{cut_off}"))
            return None
        before, names = len(self.problems), set(parsed.names())
        self.used |= names
        for name in names - self.names:
            self.problems.append(
                node.at_value(f"unknown name '{name}'{hint(name, self.names, self.problems)}")
            )
        for name in set(parsed.functions()) - set(FUNCTIONS):
            self.problems.append(
                node.at_value(f"unknown function '{name}'{hint(name, FUNCTIONS, self.problems)}")
            )
        if len(self.problems) > before:
            return None
        if not names <= set(self.constants):
            return parsed
        try:
            return parsed(self.constants)
        except InputError as error:
            self.problems.append(node.at_value(str(error)))
            return None

    def text(self, node: Node | None) -> str | None:
        if node is None:
            return None
        if not isinstance(node.value, str):
            self.problems.append(node.at_value(f"expected text, found {node.kind}"))
            return None
        return str(node.value)

    def plain_mapping(self, node: Node | None) -> Mapping[str, Any]:
        for key, child in self.entries(node):
            if isinstance(child.value, dict) or child.value is None:
                self.problems.append(
                    child.at_value(
                        f"'{key}' must be a number, a word or a list, found {child.kind}"
                    )
                )
        return {key: child.plain for key, child in self.entries(node)}

    def entries(self, node: Node | None) -> Iterator[tuple[str, Node]]:
        if node is None:
            return
        if isinstance(node.value, dict):
            yield from node.value.items()
        else:
            problem = node.at_value(f"expected a mapping, found {node.kind}")
            if problem not in self.problems:
                self.problems.append(problem)

    def keys(self, node: Node, allowed: Any, required: tuple[str, ...] = ()) -> dict[str, Node]:
        """Return the allowed keys of a mapping; report the others and the missing ones."""
        found = dict(self.entries(node))
        for key, child in found.items():
            if key not in allowed:
                nearest = (
                    hint(key, allowed, self.problems)
                    or f" (known: {some_of(sorted(allowed), at_most=20)})"
                )
                self.problems.append(child.at_key(f"unknown key '{key}'{nearest}"))
        for key in required:
            if key not in found and isinstance(node.value, dict):
                self.problems.append(node.at_value(f"missing key '{key}'"))
        return {key: child for key, child in found.items() if key in allowed}
