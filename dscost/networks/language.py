"""From the text of an architecture file to its parts, every mistake found with its place.

The language itself is described in `configs/architectures/README.md`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from dscost.errors import InputError, UnknownNameError, did_you_mean, hint, some_of
from dscost.networks.expressions import FUNCTIONS, Expression
from dscost.networks.forms import BLOCK, DEFAULT_FORM, FILE, LISTS, block_form, layer_form
from dscost.networks.keys import (
    DEFAULTS,
    EXISTS,
    INPUT,
    LAYERS,
    REPEAT,
    WORDS,
    Kind,
    anything,
    nothing,
)
from dscost.networks.parts import ArchitectureFile, Block, Field, Item, misfits
from dscost.notation import forms
from dscost.notation.forms import Given, Keyed
from dscost.notation.marked_yaml import Node, Problems

VARIABLES = ("in_channels", "block_in_channels", "index", "first")
"""Names that every expression of a layer may use, settings and block columns aside."""

_KERNEL = re.compile(r"([0-9]{1,9})[x×]([0-9]{1,9})")
_TEXT = forms.text(may_be_blank=True)

NOTHING = "expected a value, found nothing"


def parse_architecture(root: Node, path: str, problems: Problems | None = None) -> ArchitectureFile:
    """Return the parts of an architecture file; a bare list is a file of layers alone.

    What was wrong with the YAML itself is reported with the rest.

    Raises:
        FileProblems: Everything that is wrong with it, each with its place.
    """
    parser = _Parser(problems if problems is not None else Problems())
    parsed = parser.file(root, path)
    parser.problems.refuse(path)
    return parsed


class _Parser:
    """Collects problems as it goes.

    `constants` are the names that stand for themselves, `names` all that an expression may use at
    the moment, `used` those that one has used. `columns` are by block; `None` if they are wrong.
    """

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.constants: dict[str, Any] = dict(WORDS)
        self.names, self.used = set(WORDS), set[str]()
        self.columns: dict[str, tuple[str, ...] | None] = {}

    def file(self, root: Node, path: str) -> ArchitectureFile:
        if isinstance(root.value, list):
            return ArchitectureFile(path, self.layers(root))
        top = FILE.read(root, self.problems) or Given(root)
        block_nodes: Mapping[str, Node] = top.get("blocks", {})
        for name, node in block_nodes.items():
            if not _is_free(name):
                self.problems.at_key(node, f"'{name}' cannot be the name of a block")
        self.constants |= {name: name for name in block_nodes}
        setting_nodes: Mapping[str, Node] = top.get("settings", {})
        settings = self.settings(setting_nodes)
        for name, node in setting_nodes.items():
            if not _is_free(name, block_nodes):
                self.problems.at_key(node, f"'{name}' cannot be the name of a setting")
        self.names = {*settings, *self.constants}
        self.columns = {name: self.block_columns(node) for name, node in block_nodes.items()}
        models = {
            name: self.settings(nodes or {}, known=settings)
            for name, nodes in top.get("models", {}).items()
        }
        defaults = {
            key: self.field(node, DEFAULTS[key])
            for key, node in self.keys(DEFAULT_FORM, top.get("defaults")).items()
        }
        blocks = {name: self.block(name, node) for name, node in block_nodes.items()}
        layers = self.layers(top["layers"]) if "layers" in top else ()
        used_elsewhere = frozenset(self.used)
        return ArchitectureFile(
            path=path,
            layers=layers,
            description=top.get("description"),
            source=top.get("source"),
            input=self.input(top.get("input")),
            input_settings=frozenset(self.used) - used_elsewhere,
            settings=settings,
            models=models,
            defaults=defaults,
            blocks=blocks,
        )

    # -- the pieces of a file

    def settings(
        self, nodes: Mapping[str, Node], known: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return settings with their values; where `known` is given, there are no others."""
        for key, child in nodes.items():
            if isinstance(child.value, dict) or child.value is None:
                expected = "a number, a word or a list"
                self.problems.at(child, f"'{key}' must be {expected}, found {child.kind}")
            if known is not None and key not in known:
                nearest = hint(key, known, self.problems)
                self.problems.at_key(child, f"unknown setting '{key}'{nearest}")
        return {key: child.plain for key, child in nodes.items()}

    def block_columns(self, node: Node) -> tuple[str, ...] | None:
        columns = node.value.get("columns") if isinstance(node.value, dict) else None
        if columns is None:
            return ()
        named = columns.value
        if not isinstance(named, list) or not all(isinstance(one.value, str) for one in named):
            self.problems.at(columns, f"columns must be a list of names, found {columns.kind}")
            return None
        taken = ("name", "when", "rows", "block", *self.constants)
        found: list[str] = []
        for column in named:
            if column.value in found:
                self.problems.at(column, f"duplicate column '{column.value}'")
            elif not _is_free(column.value, taken):
                self.problems.at(column, f"'{column.value}' cannot be the name of a column")
            else:
                found.append(column.value)
        return tuple(found) if len(found) == len(named) else None

    def block(self, name: str, node: Node) -> Block:
        keys = self.keys(BLOCK, node)
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
            self.problems.at(node, "input must be [channels, height, width]")
            return None
        return tuple(self.field(child, kind) for child, kind in zip(node.value, INPUT, strict=True))

    # -- layers

    def layers(self, node: Node) -> tuple[Item, ...]:
        if not isinstance(node.value, list):
            self.problems.at(node, f"expected a list of layers, found {node.kind}")
            return ()
        if not node.value:
            self.problems.at(node, "a list of layers is empty")
        outside = self.names
        self.names = outside | set(VARIABLES)
        items = tuple(item for child in node.value if (item := self.item(child)))
        self.names = outside
        return items

    def item(self, node: Node) -> Item | None:
        if isinstance(node.value, str):  # `- flatten`
            place = (node.place, node.key_place)
            node = Node({node.value: Node(None, *place)}, *place)
        if not isinstance(node.value, dict):
            example = "{conv: 3, out_channels: 64}"
            self.problems.at(node, f"expected a layer such as {example}, found {node.kind}")
            return None
        kinds = [key for key in node.value if key in LAYERS]
        # `act` and `norm` are layers of their own only where no other kind stands beside them
        kinds = [key for key in kinds if key not in ("act", "norm")] or kinds
        if "block" in kinds:
            columns = {column for names in self.columns.values() for column in names or ()}
            kinds = [key for key in kinds if key not in columns]
        if len(kinds) != 1:
            self.which_kind(node, kinds)
            return None
        return self.block_item(node) if kinds == ["block"] else self.layer_item(kinds[0], node)

    def which_kind(self, node: Node, kinds: Sequence[str]) -> None:
        """Tell of a layer that is of no kind or of several."""
        if kinds:
            self.problems.at(node, f"one layer, but several kinds: {', '.join(kinds)}")
            return
        unknown = next((key for key in node.value if key not in ("name", "when")), "")
        nearest = did_you_mean(unknown, LAYERS) or f" (known: {some_of(LAYERS, at_most=20)})"
        place = node.value.get(unknown, node)
        self.problems.at_key(place, f"unknown layer '{unknown}'{nearest}")

    def layer_item(self, kind: str, node: Node) -> Item:
        kinds, lists = LAYERS[kind], LISTS.get(kind, ())
        keys = self.keys(layer_form(kind), node)
        fields = {key: self.field(child, kinds[key]) for key, child in keys.items() if key in kinds}
        branches = {key: self.layers(keys[key]) for key in lists if key in keys}
        return Item(kind, node, self.name(keys), self.when(keys), fields, branches, rows=None)

    def block_item(self, node: Node) -> Item:
        block = self.field(node.value["block"], self.block_name)
        chosen = [block.known] if block.known else list(self.columns)
        columns = {column for name in chosen for column in self.columns[name] or ()}
        if any(self.columns[name] is None for name in chosen):
            columns |= set(node.value)
        keys = self.keys(block_form(columns), node)
        given = {key: self.field(child, anything) for key, child in keys.items() if key in columns}
        rows = self.rows(keys["rows"]) if "rows" in keys else None
        fields = {"block": block, **given}
        item = Item("block", node, self.name(keys), self.when(keys), fields, {}, rows)
        if rows is not None and given:
            message = f"rows give every column, so {', '.join(given)} cannot stand beside them"
            self.problems.at_key(keys["rows"], message)
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
        rows = node.value
        if not isinstance(rows, list) or not all(isinstance(row.value, list) for row in rows):
            expected = "a list of lists, one value per column of the block"
            self.problems.at(node, f"rows must be {expected}")
            return ()
        return tuple((row, tuple(self.field(cell, anything) for cell in row.value)) for row in rows)

    def name(self, keys: Mapping[str, Node]) -> str | None:
        name = _TEXT.read(keys["name"], self.problems) if "name" in keys else None
        if name is None or (name.isascii() and name.isidentifier()):
            return name
        rule = "is letters, digits and underscores"
        if name[:1].isdigit():
            rule = "does not begin with a digit"
        self.problems.at(keys["name"], f"a name {rule}, found '{name}'")
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
        known = self.problems.kept(node, kind, value)
        if node.value is None and kind is not nothing and len(self.problems) == before:
            self.problems.at(node, NOTHING)
        return Field(node, kind, known)

    def computed(self, node: Node) -> Any:
        """Return a number, a word or a list, or what computes it."""
        value = node.value
        if isinstance(value, str):
            kernel = _KERNEL.fullmatch(value)
            return (int(kernel[1]), int(kernel[2])) if kernel else self.expression(value, node)
        if isinstance(value, list):
            for child in value:
                if child.value is None:
                    self.problems.at(child, NOTHING)
            parts = tuple(self.computed(child) for child in value)
            if any(map(callable, parts)):
                return lambda scope: tuple(
                    part(scope) if callable(part) else part for part in parts
                )
            return parts
        if isinstance(value, dict):
            self.problems.at(node, "expected a value, found a mapping")
        return value

    def expression(self, text: str, node: Node) -> Any:
        """Return an expression, its names checked, or its value if that depends on nothing."""
        try:
            parsed = Expression(text)
        except InputError as error:
            is_cut_off = text.count("(") > text.count(")")
            quoting = " (in {…} and […], quote an expression that has a comma)"
            self.problems.at(node, f"{error}{quoting if is_cut_off else ''}")
            return None
        before, names = len(self.problems), set(parsed.names())
        self.used |= names
        for name in names - self.names:
            self.problems.at(node, f"unknown name '{name}'{hint(name, self.names, self.problems)}")
        for name in set(parsed.functions()) - set(FUNCTIONS):
            nearest = hint(name, FUNCTIONS, self.problems)
            self.problems.at(node, f"unknown function '{name}'{nearest}")
        if len(self.problems) > before:
            return None
        if not names <= set(self.constants):
            return parsed
        return self.problems.kept(node, parsed, self.constants)

    def keys(self, form: Keyed, node: Node | None) -> Mapping[str, Node]:
        """Return what stands under the keys of a mapping, none where it is no mapping."""
        return {} if node is None else form.nodes(node, self.problems) or {}


def _is_free(name: str, taken: Collection[str] = ()) -> bool:
    """Whether an expression can use a name, and it does not mean something else already."""
    reserved = name in VARIABLES or name in WORDS or name in FUNCTIONS or name in taken
    return not reserved and name.isidentifier() and not iskeyword(name)
