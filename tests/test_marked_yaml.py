import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import FileProblems, InputError, Problem
from dscost.notation.marked_yaml import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_NODES,
    Node,
    parse_scalar,
    parse_yaml,
    read_yaml,
)


def problems_of(text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        parse_yaml(text, "f.yaml")
    return str(caught.value).split("\n")


# -- what scalars mean


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("on", "on"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("Off", "Off"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("null", None), ("~", None), ("Null", None), ("none", "none"), ("nULL", "nULL"),
        ("0", 0), ("-3", -3), ("+3", 3), ("010", 10), ("-010", -10), ("0o10", 8), ("0x1F", 31), ("0b11", "0b11"),
        ("1e6", 1e6), ("1E-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("-2.5e+1", -25.0),
        ("1:30", "1:30"), ("1_000", "1_000"), ("1,000", "1,000"), ("1.2.3", "1.2.3"), ("2026-01-31", "2026-01-31"),
        ("1e", "1e"), ("e6", "e6"), (".", "."), ("-x", "-x"), ("0x", "0x"), ("=", "="), ("<<", "<<"), ("٣", "٣"),
        ("'12'", "12"), ('"true"', "true"), ("''", ""), ('"\\u00d7"', "×"), ("|\n 12\n", "12\n"), (">-\n 12\n", "12"),
        ("9" * 40, int("9" * 40)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = parse_yaml(text, "f.yaml").plain
    assert (found, type(found)) == (value, type(value))


@law
@given(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_being_written_and_read(number: float) -> None:
    found = parse_yaml(f"[{number!r}]", "f.yaml").plain[0]
    assert (found, type(found)) == (number, type(number))


def test_an_empty_value_is_nothing() -> None:
    assert parse_yaml("{a: , b: [~, null]}", "f.yaml").plain == {"a": None, "b": [None, None]}


def test_keys_are_always_words() -> None:
    assert parse_yaml("{1: a, true: b, 010: c, ~: d}", "f.yaml").plain == {
        "1": "a",
        "true": "b",
        "010": "c",
        "~": "d",
    }


def test_an_alias_is_the_value_that_it_names() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\n", "f.yaml").plain == {"a": [1, 2], "b": [1, 2]}


def test_a_merge_key_is_a_word_like_any_other() -> None:
    assert parse_yaml("a: &x {c: 1}\nb: {<<: *x}\n", "f.yaml").plain["b"] == {"<<": {"c": 1}}


@pytest.mark.parametrize(
    ("text", "kind"),
    [("{}", "a mapping"), ("[]", "a list"), ("a", "text"), ("true", "true or false"), ("~", "nothing"),
     ("1", "a number"), ("1.5", "a number")],
)  # fmt: skip
def test_a_value_says_what_kind_it_is(text: str, kind: str) -> None:
    assert parse_yaml(text, "f.yaml").kind == kind


# -- where things stand


def test_values_and_keys_know_their_places() -> None:
    root = parse_yaml("# first\na: 1\nβ×:\n  - x\n  - {ç:   2, d: 3}\n", "f.yaml")
    places = {
        "root": root,
        "a": root.value["a"],
        "list": root.value["β×"],
        "x": root.value["β×"].value[0],
        "map": root.value["β×"].value[1],
        "c": root.value["β×"].value[1].value["ç"],
        "d": root.value["β×"].value[1].value["d"],
    }
    assert {name: (*n.place, *n.key_place) for name, n in places.items()} == {
        "root": (2, 1, 2, 1),
        "a": (2, 4, 2, 1),
        "list": (4, 3, 3, 1),
        "x": (4, 5, 4, 5),
        "map": (5, 5, 5, 5),
        "c": (5, 11, 5, 6),
        "d": (5, 17, 5, 14),
    }


def test_problems_are_placed_at_the_value_or_its_key() -> None:
    node = Node(1, place=(3, 9), key_place=(3, 5))
    assert node.at_value("bad") == Problem(3, 9, "bad")
    assert node.at_key("bad") == Problem(3, 5, "bad")


# -- what is refused


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("", ["1:1: the file is empty"], id="empty"),
        pytest.param("# nothing\n\n", ["1:1: the file is empty"], id="only a comment"),
        pytest.param("a: 1\nb: 2\na: 3\n", ["3:1: duplicate key 'a' (first on line 1)"], id="duplicate key"),
        pytest.param("a: {x: 1, x: 2}\nb:\n  y: 1\n  'y': 2\n",
                     ["1:11: duplicate key 'x' (first on line 1)", "4:3: duplicate key 'y' (first on line 3)"],
                     id="every duplicate key"),
        pytest.param("a: !!int '3'\n", ["1:4: tags are not supported, found 'tag:yaml.org,2002:int'"], id="tag"),
        pytest.param("a: !!python/object/apply:os.system ['true']\n",
                     ["1:4: tags are not supported, found 'tag:yaml.org,2002:python/object/apply:os.system'"],
                     id="tag that calls"),
        pytest.param("a: !x {b: 1}\nc: !y [1]\n",
                     ["1:4: tags are not supported, found '!x'", "2:4: tags are not supported, found '!y'"],
                     id="every tag"),
        pytest.param("a: !!str 12\n", ["1:4: tags are not supported, found 'tag:yaml.org,2002:str'"],
                     id="tag that would change the meaning"),
        pytest.param("!x a: 1\n", ["1:1: tags are not supported, found '!x'"], id="tag on a key"),
        pytest.param("[a, b]: 1\n{c: d}: 2\n", ["1:1: a key must be a word", "2:1: a key must be a word"],
                     id="keys that are no words"),
        pytest.param(f"a: {'9' * 41}\n", ["1:4: a number of more than 40 characters, refused; quote it if it is text"],
                     id="endless number"),
        pytest.param("a: 1e999\nb: -1e999\n",
                     ["1:4: numbers must be finite, found 1e999", "2:4: numbers must be finite, found -1e999"],
                     id="numbers beyond any float"),
        pytest.param("a: &x [*x]\n", ["1:1: nested deeper than 40 levels, refused"], id="list in itself"),
        pytest.param("&x {a: *x}\n", ["1:1: nested deeper than 40 levels, refused"], id="mapping in itself"),
    ],
)  # fmt: skip
def test_what_would_be_misread_is_refused_with_its_place(text: str, problems: list[str]) -> None:
    assert problems_of(text) == [f"f.yaml:{problem}" for problem in problems]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        pytest.param("a: [1, 2\nb: 3\n", "2:2", "flow sequence", id="open list"),
        pytest.param("a: 1\n\tb: 2\n", "2:1", "found", id="tab"),
        pytest.param("a: 'x\n", "2:1", "quoted scalar", id="open quote"),
        pytest.param("a: b: c\n", "1:5", "mapping values are not allowed", id="two colons"),
        pytest.param("a: 1\n- b\n", "2:1", "block mapping", id="list in a mapping"),
        pytest.param("a: *nowhere\n", "1:4", "undefined alias", id="undefined alias"),
        pytest.param("a: @x\n", "1:4", "cannot start any token", id="reserved character"),
        pytest.param("a: 1\n---\nb: 2\n", "2:1", "single document", id="two documents"),
        pytest.param("a: 1\n...\n---\nb\n", "3:1", "single document", id="a document after the end"),
        pytest.param('a: "\\uD800"\n', "1:7", "Unicode", id="half a character"),
        pytest.param("a: 1\nb: \x07\n", "2:1", "a character that YAML does not allow", id="control character"),
        pytest.param("a: \x00\n", "1:1", "a character that YAML does not allow", id="null character"),
        pytest.param("é: ×\n" * 20 + "b: \x07\n" + "c: 1\n" * 20, "21:1", "a character that YAML does not allow",
                     id="control character after accents"),
        pytest.param("%YAML 9.9\n---\na\n", "1:1", "incompatible", id="unknown version"),
    ],
)  # fmt: skip
def test_what_is_not_yaml_is_refused_with_its_place(text: str, place: str, what: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"f.yaml:{place}: not valid YAML: ")
    assert what in problem


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert problems_of(bomb) == [
        "f.yaml:1:1: more than 50,000 values once aliases are expanded, refused"
    ]


@pytest.mark.parametrize(
    ("levels", "too_deep"),
    [
        pytest.param(MAX_DEPTH, False, id="as deep as may be"),
        pytest.param(MAX_DEPTH + 1, True, id="one deeper"),
    ],
)
def test_depth_is_limited(levels: int, too_deep: bool) -> None:
    text = "[" * levels + "1" + "]" * levels
    if too_deep:
        assert problems_of(text) == ["f.yaml:1:1: nested deeper than 40 levels, refused"]
    else:
        assert parse_yaml(text, "f.yaml").kind == "a list"


def test_the_number_of_values_is_limited() -> None:
    assert len(parse_yaml(f"[{'1,' * (MAX_NODES - 1)}]", "f.yaml").value) == MAX_NODES - 1
    assert "more than 50,000 values" in problems_of(f"[{'1,' * MAX_NODES}]")[0]


# in a process of its own: where the parser recurses in C, a deep file ends the interpreter
@pytest.mark.parametrize(
    "text", ["'[' * 50_000", "'- ' * 50_000", "'? ' * 50_000", "'{a: ' * 50_000"]
)
def test_a_file_of_nothing_but_depth_is_refused(text: str) -> None:
    program = (
        "from dscost.notation.marked_yaml import parse_yaml\nfrom dscost.errors import FileProblems\n"
        f"try: parse_yaml({text}, 'f.yaml')\nexcept FileProblems as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout[:7]) == (0, "f.yaml:")


@law
@given(st.text(max_size=60) | st.text("[]{}:,-?&*!|>'\"%@`#~ \n\tab1", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        parse_yaml(text, "f.yaml")
    except FileProblems as error:
        problems = error.problems or (Problem(0, 0, "refused without a reason"),)
    lines = len(text.splitlines()) + 2
    assert [
        problem for problem in problems if not (1 <= problem.line <= lines and problem.column >= 1)
    ] == []


# -- files


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    for mark in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(mark + "a: ×\r\n".encode())
        node = read_yaml(path)
        assert node.plain == {"a": "×"}
        assert node.value["a"].place == (1, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "1:1: the file is empty", id="empty"),
        pytest.param(b"a: 1\nb: \xff\n", "2:1: not UTF-8 text", id="not UTF-8"),
        pytest.param(
            "a: 1\n".encode("utf-16"), "1:1: not UTF-8 text but UTF-16 or UTF-32", id="UTF-16"
        ),
        pytest.param(
            b"#" * (MAX_FILE_BYTES + 1), " larger than 1,000,000 bytes, refused", id="too large"
        ),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert str(caught.value) == f"{path}:{message}"


def test_a_file_as_large_as_may_be_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#".ljust(MAX_FILE_BYTES, b"x"))
    assert read_yaml(path).plain == {"a": 1}


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.yaml", "No such file or directory"), (".", "Is a directory")],
    ids=["file", "folder"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(tmp_path / name)
    assert str(caught.value) == f"cannot read {tmp_path / name}: {reason}"


# -- values of a command line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("3", 3),
        ("true", True),
        ("word", "word"),
        ("'3'", "3"),
        ("[2, 2]", [2, 2]),
        ("", ""),
        ("  ", ""),
    ],
)
def test_a_typed_value_means_what_it_means_in_a_file(text: str, value: Any) -> None:
    found = parse_scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[1, 2", "a: b: c", "!x 1", "# 1", "\x07", "\udcff"], ids=ascii)
def test_a_typed_value_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^value:"):
        parse_scalar(text)
