"""JSON that people keep and merge: nothing in it is lost or misread without a word."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import FileProblems
from dscost.notation.strict_json import parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**38), 10**38) | st.floats(-1e40, 1e40)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=9,
)  # fmt: skip


@law
@given(values)
def test_what_json_writes_is_read_back(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert parse_json(text, "x") == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "a": 2}', "1:10: duplicate key 'a' (first on line 1)"),
        (
            '{"a": 1,\n "b": {"c": [{"d": 1}]},\n "a": 2}',
            "3:2: duplicate key 'a' (first on line 1)",
        ),
        (
            '{"a": 1,\n "b": {"a": [{"a": 1,\n  "\\u0061": 2}]}}',
            "3:3: duplicate key 'a' (first on line 2)",
        ),
        ('["a", "a", {"a": "a:"}, {"a": 1e999}]', "1:31: numbers must be finite, found 1e999"),
        ("[5.5e88888607066]", "1:2: numbers must be finite, found 5.5e88888607066"),
        ("[1, -1e41]", "1:5: numbers are at most 1e+40, found -1e41"),
        ("[1, NaN]", "1:5: not JSON: NaN is no number"),
        ("[-Infinity]", "1:2: not JSON: -Infinity is no number"),
        (
            '{"999": 1, "a": "' + "9" * 50 + '", "b":\n' + "9" * 41 + "}",
            "2:1: a number of 41 characters, at most 40",
        ),
        ("5.525e88888607066e-05", "1:1: numbers must be finite, found 5.525e88888607066"),
        ("[" * 100_000, "1:1: not JSON: nested too deep"),
        ("", "1:1: not JSON: Expecting value"),
        ('{"a": 1}\n{}', "2:1: not JSON: Extra data"),
        ("[1,\n2,]", "2:3: not JSON: "),
    ],
)
def test_what_is_refused_has_its_place(text: str, told: str) -> None:
    with pytest.raises(FileProblems) as refused:
        parse_json(text, "x.json")
    assert str(refused.value).startswith(f"x.json:{told}")


def test_a_late_duplicate_among_many_keys_is_found_in_one_pass() -> None:
    text = "{" + ",\n".join(f'"k{at}": 1' for at in range(50_000)) + ',\n"k7": 2}'
    with pytest.raises(FileProblems) as refused:
        parse_json(text, "x.json")
    assert str(refused.value) == "x.json:50001:1: duplicate key 'k7' (first on line 8)"
