"""A form reads a value with its place and gives its schema, and both agree on what is right."""

from typing import Any

import pytest
from jsonschema import Draft7Validator

from dscost.errors import FileProblems, InputError
from dscost.notation import forms
from dscost.notation.forms import Form, Keyed
from dscost.notation.marked_yaml import Node, Problems, parse_yaml


def read(form: Form, text: str) -> tuple[Any, list[str]]:
    """Return the value of a text and what is wrong with it."""
    problems = Problems()
    value = form.read(parse_yaml(text, "x", problems), problems)
    return value, [f"{one.line}:{one.column}: {one.message}" for one in sorted(problems)]


def takes(form: Form, text: str) -> bool:
    """Return whether a schema takes a text, with its definitions."""
    definitions: dict[str, Any] = {}
    schema = {**form.schema(definitions), "definitions": definitions}
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema).is_valid(parse_yaml(text, "x").plain)


SIDES = Keyed({"width": forms.POSITIVE, "height": forms.POSITIVE})
FORMS: dict[str, Form] = {
    "text": forms.TEXT,
    "any text": forms.text(may_be_blank=True),
    "true or false": forms.BOOLEAN,
    "a number": forms.POSITIVE,
    "a version": forms.version(3),
    "a word": forms.word("colour", ["red", "green"]),
    "a size": forms.quantity("bytes"),
    "a list": forms.list_of(forms.POSITIVE, "sizes"),
    "a list of answers": forms.list_of(forms.BOOLEAN, "answers"),
    "a list of texts": forms.list_of(forms.text(may_be_blank=True), "texts"),
    "one or more": forms.one_or_more(forms.TEXT),
    "one or more, empty ones too": forms.one_or_more(forms.text(may_be_blank=True)),
    "sides": SIDES,
    "named": forms.named("sides", SIDES),
    "both sides": Keyed(SIDES.forms, required=("width", "height")),
    "a side": Keyed(SIDES.forms, any_of=(("width", "height"), "a side is needed")),
    "a height that needs": Keyed(SIDES.forms, needs={"height": (("width",), "and a width")}),
    "something": Keyed(SIDES.forms, empty="nothing in it"),
    "numbers by name": Keyed({}, others=forms.POSITIVE, expected="numbers by name"),
}


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        ("text", "a b", "a b"),
        ("any text", "''", ""),
        ("true or false", "true", True),
        ("a number", "5", 5),
        ("a version", "3", 3),
        ("a word", "red", "red"),
        ("a size", "1.5 KiB", 1536),
        ("a list", "[1, 2]", [1, 2]),
        ("a list of answers", "[true, false, true]", [True, False, True]),
        ("a list of texts", "[a, '', b]", ["a", "", "b"]),
        ("one or more", "a", ["a"]),
        ("one or more, empty ones too", "''", [""]),
        ("one or more, empty ones too", "[a, '']", ["a", ""]),
        ("one or more", "[a, b]", ["a", "b"]),
        ("sides", "{}", {}),
        ("sides", "{height: 2}", {"height": 2}),
        ("named", "{height: 2}", {"height": 2}),
        ("both sides", "{width: 1, height: 2}", {"width": 1, "height": 2}),
        ("a side", "{height: 2}", {"height": 2}),
        ("a height that needs", "{width: 1}", {"width": 1}),
        ("a height that needs", "{width: 1, height: 2}", {"width": 1, "height": 2}),
        ("something", "{width: 1}", {"width": 1}),
        ("numbers by name", "{a: 1, b: 2}", {"a": 1, "b": 2}),
    ],
)
def test_what_is_right_is_read_and_fits_the_schema(form: str, text: str, value: Any) -> None:
    assert read(FORMS[form], text) == (value, [])
    assert takes(FORMS[form], text)


@pytest.mark.parametrize(
    ("form", "text", "problems"),
    [
        ("text", "' '", ["1:1: expected text, found nothing"]),
        ("text", "5", ["1:1: expected text, found a number"]),
        ("any text", "[a]", ["1:1: expected text, found a list"]),
        ("true or false", "yes", ["1:1: expected true or false, found 'yes'"]),
        ("a number", "0", ["1:1: expected a whole number above 0, found 0"]),
        ("a number", "true", ["1:1: expected a whole number above 0, found True"]),
        ("a version", "2", ["1:1: expected version 3, found 2"]),
        ("a word", "rde", ["1:1: unknown colour 'rde' (did you mean 'red'?)"]),
        (
            "a size",
            "5",
            ["1:1: expected a quantity such as 17 MiB or 17 MB, found '5': it lacks a unit"],
        ),
        ("a list", "[]", ["1:1: expected a list of sizes, found nothing"]),
        ("a list", "a", ["1:1: expected a list of sizes, found text"]),
        (
            "a list",
            "[1, -1, x]",
            [
                "1:5: expected a whole number above 0, found -1",
                "1:9: expected a whole number above 0, found 'x'",
            ],
        ),
        ("one or more", "[a, 5]", ["1:5: expected text, found a number"]),
        ("one or more", "[]", ["1:1: expected text, found a list"]),
        ("sides", "[1]", ["1:1: expected width, height and so on by name, found a list"]),
        ("sides", "{widht: 1}", ["1:2: unknown key 'widht' (did you mean 'width'?)"]),
        ("sides", "{xyz: 1}", ["1:2: unknown key 'xyz' (known: width, height)"]),
        ("named", "{width: 0}", ["1:9: expected a whole number above 0, found 0"]),
        ("both sides", "{width: 1}", ["1:1: missing key 'height'"]),
        ("a side", "{}", ["1:1: a side is needed"]),
        ("a height that needs", "{height: 1}", ["1:2: and a width"]),
        ("something", "{}", ["1:1: nothing in it"]),
        ("numbers by name", "a", ["1:1: expected numbers by name, found text"]),
        ("numbers by name", "{a: b}", ["1:5: expected a whole number above 0, found 'b'"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_schema_refuses_it(
    form: str, text: str, problems: list[str]
) -> None:
    assert read(FORMS[form], text)[1] == problems
    assert not takes(FORMS[form], text)


def test_what_is_wrong_is_left_out_and_the_rest_is_read() -> None:
    assert read(FORMS["a list"], "[1, x, 3]")[0] == [1, 3]
    assert read(SIDES, "{width: x, height: 2, depth: 3}")[0] == {"height": 2}
    assert read(SIDES, "5")[0] is None


def test_null_is_a_value_of_a_key_that_may_have_any() -> None:
    anything = forms.parsed(lambda node: node.plain, {})
    assert read(Keyed({}, others=anything), "{a: null, b: 1}") == ({"a": None, "b": 1}, [])


def test_a_record_is_made_of_a_mapping_that_has_what_it_needs() -> None:
    def area(given: forms.Given) -> int:
        if given["width"] > 9:
            raise InputError("too wide")
        return int(given["width"] * given["height"])

    both = Keyed(SIDES.forms, required=("width", "height")).into(area)
    assert read(both, "{width: 2, height: 3}") == (6, [])
    assert read(both, "{width: 2}") == (None, ["1:1: missing key 'height'"])
    assert read(both, "{width: 2, height: x}")[0] is None
    assert read(both, "{width: 10, height: 1}") == (None, ["1:1: too wide"])


def test_a_value_may_come_with_its_place() -> None:
    node, value = read(forms.placed(forms.POSITIVE), "\n  5")[0]
    assert (node.place, value) == ((2, 3), 5)
    assert isinstance(read(forms.anything({}), "[1]")[0], Node)


def test_a_schema_says_what_keys_are_for_and_leaves_out_what_is_refused() -> None:
    class Box:
        """A box.

        Args:
            width: From left to right.
            height: Up.
        """

    box = Keyed(
        {
            "width": forms.POSITIVE,
            "height": forms.POSITIVE.described("From below."),
            "old": forms.TEXT,
        },
        refused=("old",),
        of=Box,
    )
    assert box.schema({})["properties"] == {
        "width": {"type": "integer", "minimum": 1, "description": "From left to right."},
        "height": {"type": "integer", "minimum": 1, "description": "From below."},
    }
    assert read(box, "{old: a}") == ({"old": "a"}, [])
    assert forms.POSITIVE.description == ""


def test_what_is_named_stands_once_among_the_definitions() -> None:
    definitions: dict[str, Any] = {}
    several = forms.list_of(FORMS["named"], "sides")
    assert several.schema(definitions)["items"] == {"$ref": "#/definitions/sides"}
    assert list(definitions) == ["sides"]
    assert definitions["sides"] == SIDES.schema({})


def test_what_follows_from_wrong_yaml_is_left_out_of_what_is_raised() -> None:
    problems = Problems()
    SIDES.read(parse_yaml("{width: .inf, height: 0}", "x", problems), problems)
    with pytest.raises(FileProblems) as caught:
        problems.refuse("box.yaml")
    assert str(caught.value).splitlines() == [
        "box.yaml:1:9: numbers must be finite, found .inf",
        "box.yaml:1:23: expected a whole number above 0, found 0",
    ]
    Problems().refuse("box.yaml")
