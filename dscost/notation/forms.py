"""What a file may hold, said once: a form reads a value with its place, and gives its JSON Schema.

Forms are made of forms. What is wrong is added to the problems of the file and reading goes on, so
that all mistakes are told at once; what is wrong is read as `None`.

>>> from dscost.notation.marked_yaml import parse_yaml
>>> problems = Problems()
>>> Keyed({"batch": POSITIVE}).read(parse_yaml("{batch: 0, btach: 1}", "x"), problems)
{}
>>> [problem.message for problem in problems]
["unknown key 'btach' (did you mean 'batch'?)", 'expected a whole number above 0, found 0']
"""

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Self

from dscost.errors import InputError, UnknownNameError, hint, some_of
from dscost.notation.json_schema import Definitions, Schema, field_descriptions, with_description
from dscost.notation.marked_yaml import Node, Problems

Read = Callable[[Node, Problems], Any]

MOST_SHOWN = 60
"""Characters of a value that an error repeats."""
MOST_KNOWN = 20
"""Keys that an error names where none is like the one that was found."""


class Form:
    """What a value may be.

    `read` returns the value of a node, or adds what is wrong with it to the problems; `schema` is
    what JSON Schema says of it, or makes that, adding to the definitions.
    """

    def __init__(self, read: Read, schema: Schema | Callable[[Definitions], Schema]) -> None:
        self.read, self._says, self.description = read, schema, ""

    def schema(self, definitions: Definitions) -> Schema:
        """Return what JSON Schema says of it; definitions that it refers to are added to those."""
        return self._says(definitions) if callable(self._says) else self._says

    def described(self, description: str) -> Self:
        """Return the same form, of which a schema says what it is for where it is a key's."""
        twin = copy(self)
        twin.description = description
        return twin

    def into(self, make: Callable[[Any], Any]) -> "Form":
        """Return the form of what a function makes of the value; it refuses by an `InputError`."""

        def read(node: Node, problems: Problems) -> Any:
            value = self.read(node, problems)
            return None if value is None else problems.kept(node, make, value)

        return Form(read, self.schema)


def parsed(parse: Callable[[Node], Any], schema: Schema) -> Form:
    """Return the form of what a function makes of a node; it refuses by an `InputError`."""
    return Form(lambda node, problems: problems.kept(node, parse, node), schema)


def anything(schema: Schema | Callable[[Definitions], Schema]) -> Form:
    """Return the form of what somebody who knows more reads later: its value is the node."""
    return Form(lambda node, _: node, schema)


def placed(form: Form) -> Form:
    """Return the form whose value is the node and the value."""
    return Form(lambda node, problems: (node, form.read(node, problems)), form.schema)


def named(name: str, form: Form) -> Form:
    """Return the same form, to which a schema refers by name."""

    def schema(definitions: Definitions) -> Schema:
        if name not in definitions:
            definitions[name] = form.schema(definitions)
        return {"$ref": f"#/definitions/{name}"}

    return Form(form.read, schema)


# -- single values


def _plain(expected: str, kind: type, is_right: Callable[[Any], bool], schema: Schema) -> Form:
    def parse(node: Node) -> Any:
        if type(node.value) is kind and is_right(node.value):
            return node.value
        raise InputError(f"expected {expected}, found {node.plain!r:.{MOST_SHOWN}}")

    return parsed(parse, schema)


_BOOLEAN: Schema = {"type": "boolean", "default": False}
BOOLEAN = _plain("true or false", bool, lambda value: True, _BOOLEAN)
_POSITIVE: Schema = {"type": "integer", "minimum": 1}
POSITIVE = _plain("a whole number above 0", int, lambda value: value > 0, _POSITIVE)


def version(number: int) -> Form:
    """Return the form of the version of a language, of which there is one so far."""
    form = _plain(f"version {number}", int, lambda value: value == number, {"const": number})
    return form.described(f"Of the language: {number}.")


def text(*, may_be_blank: bool = False, found: Callable[[Node], str] | None = None) -> Form:
    """Return the form of text; of something else `found` says what it is, or its kind is told."""
    schema: Schema = {"type": "string"} if may_be_blank else {"type": "string", "pattern": r"\S"}

    def parse(node: Node) -> str:
        if isinstance(node.value, str) and (may_be_blank or node.value.strip()):
            return node.value
        instead = "nothing" if isinstance(node.value, str) else node.kind
        raise InputError(f"expected text, found {found(node) if found else instead}")

    return parsed(parse, schema)


TEXT = text()


def word(kind: str, known: Iterable[str], **schema: Any) -> Form:
    """Return the form of one of several words, whose kind errors tell in the singular.

    What else a schema says, such as the default, may be given.
    """
    words = tuple(known)

    def parse(node: Node) -> str:
        if node.value in words:
            return str(node.value)
        raise UnknownNameError(kind, f"{node.plain!s:.{MOST_SHOWN}}", words)

    return parsed(parse, {"enum": list(words), **schema})


def quantity(kind: str, *, is_whole: bool = False) -> Form:
    """Return the form of a quantity, a key of `dscost.notation.quantities.QUANTITIES`.

    It is text with its unit, or a number where it needs none: a whole one, if a schema says so.
    """
    # architectures, which are read by forms too, have no quantities and need no exact fractions
    from dscost.notation.quantities import (
        MAX_QUANTITY,
        QUANTITIES,
        parse_quantity,
        quantity_pattern,
    )

    units, example = QUANTITIES[kind]
    written = {"type": "string", "pattern": quantity_pattern(kind), "maxLength": MAX_QUANTITY}
    number = {"type": "integer" if is_whole else "number", "minimum": 0}
    forms = [number, written] if "" in units else [written]
    return parsed(
        lambda node: parse_quantity(node.plain, kind),
        {"description": f"Such as {example}.", "anyOf": forms},
    )


# -- lists and mappings


def array(entries: Schema) -> Schema:
    """Return the schema of a list that is not empty."""
    return {"type": "array", "items": entries, "minItems": 1}


def list_of(entry: Form, what: str) -> Form:
    """Return the form of a list that is not empty; what is wrong is left out of what it reads."""

    def read(node: Node, problems: Problems) -> list[Any]:
        if not isinstance(node.value, list) or not node.value:
            found = "nothing" if node.value == [] else node.kind
            problems.at(node, f"expected a list of {what}, found {found}")
            return []
        values = [entry.read(child, problems) for child in node.value]
        return [value for value in values if value is not None]

    return Form(read, lambda definitions: array(entry.schema(definitions)))


class Given(dict[str, Any]):
    """The values of a mapping by key, those that are wrong left out, and the node that it is."""

    def __init__(self, node: Node, values: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(values)
        self.node = node


class Keyed(Form):
    """A mapping.

    Args:
        forms: The form of each key that it may have.
        others: The form of all other keys, if there may be others.
        required: Keys that it must have.
        any_of: Keys of which it must have one, and what is wrong where it has none.
        needs: By key, others of which it needs one, and what is wrong where it has none.
        refused: Keys that a schema refuses. Whoever reads them says why they are wrong.
        what: What its keys are, in the singular, for errors.
        expected: What it is, for errors; by default it begins to list the keys.
        empty: What is wrong where it is empty; by default nothing is.
        of: The class whose docstring says what the keys are for that do not say so themselves, or
            several.
        rules: What else a schema says.
    """

    def __init__(
        self,
        forms: Mapping[str, Form],
        *,
        others: Form | None = None,
        required: Sequence[str] = (),
        any_of: tuple[Collection[str], str] = ((), ""),
        needs: Mapping[str, tuple[Collection[str], str]] | None = None,
        refused: Collection[str] = (),
        what: str = "key",
        expected: str | None = None,
        empty: str | None = None,
        of: type | Sequence[type] = (),
        rules: Schema | None = None,
    ) -> None:
        super().__init__(self._read, self._schema)
        self.forms, self.required, self._others = forms, required, others
        self._any_of, self._needs, self._refused = any_of, needs or {}, refused
        self._what, self._empty, self._rules = what, empty, rules or {}
        self._of = of if isinstance(of, Sequence) else (of,)
        self._expected = expected or f"{', '.join(list(forms)[:4])} and so on by name"

    def into(self, make: Callable[[Given], Any]) -> Form:
        """Return the form of what a function makes of the values, if all that are required are."""

        def read(node: Node, problems: Problems) -> Given | None:
            values = self._read(node, problems)
            is_whole = values is not None and values.keys() >= set(self.required)
            return values if is_whole else None

        return Form(read, self.schema).into(make)

    def _read(self, node: Node, problems: Problems) -> Given | None:
        nodes = self.nodes(node, problems)
        if nodes is None:
            return None
        values = Given(node)
        for key, child in nodes.items():
            form = self.forms.get(key) or self._others
            value = form.read(child, problems) if form else None
            # a value of its own keys that is wrong is left out; other values may be null
            if value is not None or key not in self.forms:
                values[key] = value
        return values

    def nodes(self, node: Node, problems: Problems) -> Mapping[str, Node] | None:
        """Return what stands under each key that it may have; `None` where this is no mapping."""
        given = node.value
        if not isinstance(given, dict):
            problems.at(node, f"expected {self._expected}, found {node.kind}")
            return None
        if self._empty and not given:
            problems.at(node, self._empty)
        # what is wrong is noted and reading goes on, so that one run tells every mistake of a file
        for key in self.required:
            if key not in given:
                problems.at(node, f"missing key '{key}'")
        choices, otherwise = self._any_of
        if choices and given.keys().isdisjoint(choices):
            problems.at(node, otherwise)
        for key, (needed, why) in self._needs.items():
            if key in given and given.keys().isdisjoint(needed):
                problems.at_key(given[key], why)
        if self._others:
            return given
        for key, child in given.items():
            if key not in self.forms:
                nearest = hint(key, self.forms, problems) or self._known()
                problems.at_key(child, f"unknown {self._what} '{key:.{MOST_SHOWN}}'{nearest}")
        return {key: child for key, child in given.items() if key in self.forms}

    def _known(self) -> str:
        return f" (known: {some_of(self.forms, MOST_KNOWN)})" if self.forms else ""

    def _schema(self, definitions: Definitions) -> Schema:
        descriptions = ChainMap(*(dict(field_descriptions(one)) for one in self._of))
        properties = {}
        for key, form in self.forms.items():
            if key not in self._refused:
                text = form.description or descriptions.get(key)
                properties[key] = with_description(form.schema(definitions), text)
        rules = dict(self._rules)
        if self.required:
            rules["required"] = list(self.required)
        if self._any_of[0]:
            rules["anyOf"] = [{"required": [one]} for one in self._any_of[0] if one in properties]
        if self._empty:
            rules["minProperties"] = 1
        for key, (needed, _) in self._needs.items():
            if key in properties:
                one_of_them = {"anyOf": [{"required": [one]} for one in needed]}
                needs = list(needed) if len(needed) == 1 else one_of_them
                rules.setdefault("dependencies", {})[key] = needs
        if self.forms:
            rules["properties"] = properties
        others = self._others.schema(definitions) if self._others else False
        if others != {}:
            rules["additionalProperties"] = others
        return {"type": "object", **rules}


def one_or_more(entry: Form) -> Form:
    """Return the form of a value or a list of such; it reads a list."""
    several = list_of(entry, "such")

    def read(node: Node, problems: Problems) -> list[Any]:
        if isinstance(node.value, list) and node.value:
            return list(several.read(node, problems))
        return [entry.read(node, problems)]

    def schema(definitions: Definitions) -> Schema:
        return {"anyOf": [entry.schema(definitions), several.schema(definitions)]}

    return Form(read, schema)
