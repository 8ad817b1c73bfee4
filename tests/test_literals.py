from typing import Any

import pytest

from dscost.cli.options import parse_kwargs, parse_settings
from dscost.errors import InputError
from dscost.notation.literals import (
    MAX_DEPTH,
    Reference,
    parse_value,
    read_node,
    with_parts,
    written,
)
from dscost.notation.marked_yaml import parse_yaml

BERT = Reference("transformers", "BertConfig")

VALUES = [
    *[(word, None) for word in ("None", "null", "Null", "NULL", "~", " None ")],
    *[(word, True) for word in ("True", "true", "TRUE")],
    *[(word, False) for word in ("False", "false", "FALSE")],
    *[
        ("3", 3),
        ("-1", -1),
        ("+1", 1),
        ("010", 10),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
    ],
    *[("1e-3", 0.001), ("1e6", 1e6), ("-.5", -0.5), ("5.", 5.0), ("0.1", 0.1), ("1_0.5", 10.5)],
    *[
        ("relu", "relu"),
        ("efficientnet-b0", "efficientnet-b0"),
        ("a b", "a b"),
        ("3x3", "3x3"),
        ("cuda:0", "cuda:0"),
    ],
    *[
        ("n", "n"),
        ("1.2.3", "1.2.3"),
        ("12:30", "12:30"),
        ("path/to/x.yaml", "path/to/x.yaml"),
        ("", ""),
    ],
    *[
        ("'text'", "text"),
        ('"text"', "text"),
        ("'None'", "None"),
        ('"3"', "3"),
        ("'it''s'", "it's"),
    ],
    *[('"a\\nb"', "a\nb"), ("''", ""), ("'yes'", "yes"), ("'3,5'", "3,5")],
    *[
        ("(3, 5)", (3, 5)),
        ("(3,5)", (3, 5)),
        ("(3,)", (3,)),
        ("(3)", 3),
        ("()", ()),
        ("((1, 2), 3)", ((1, 2), 3)),
    ],
    *[
        ("[3,5]", [3, 5]),
        ("[]", []),
        ("[a, b]", ["a", "b"]),
        ("[None, true, 'x']", [None, True, "x"]),
        ("[1,]", [1]),
    ],
    *[
        ("{a: 1}", {"a": 1}),
        ("{}", {}),
        ("{'a': (1, 2)}", {"a": (1, 2)}),
        ('{"a":1,"b":None}', {"a": 1, "b": None}),
    ],
    *[
        ("{a: {b: [1e-3]}}", {"a": {"b": [0.001]}}),
        ("[(3, 5), (7, 7)]", [(3, 5), (7, 7)]),
        ("{1: 64}", {1: 64}),
    ],
    *[("transformers:BertConfig", BERT), ("torch:float16", Reference("torch", "float16"))],
    *[
        ("torch.nn:ReLU()", Reference("torch.nn", "ReLU", True)),
        ("[a.b:C.d]", [Reference("a.b", "C.d")]),
    ],
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_a_value_is_read_in_the_spellings_of_yaml_and_python(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        *[(word, "write true, or '") for word in ("yes", "Yes", "on", "ON", "tRUE")],
        *[(word, "write false, or '") for word in ("no", "off", "faLse")],
        *[(word, "write None, or '") for word in ("none", "NONE", "nil", "undefined", "nULL")],
        *[
            (word, "is no finite number")
            for word in ("nan", "NaN", "inf", "-inf", ".inf", "Infinity", ".nan")
        ],
        *[(text, "write [") for text in ("3,5", "1,3,224,224", "3, 5", "1,000", "-1,")],
        *[(text, "is not computed") for text in ("1/16", "2*3", "2**10", "1 / 3", "7//2")],
        *[("torch.float16", "write torch:float16"), ("torch.nn.ReLU", "write torch.nn:ReLU")],
        *[
            ("nn.BatchNorm2d", "write torch.nn:BatchNorm2d"),
            ("dict(a=1)", "is not run"),
            ("lambda x: x", "is not run"),
        ],
        *[
            ("[3, 5", "expected ',' or ']'"),
            ("(3, 5", "expected ',' or ')'"),
            ("{a: 1", "expected ',' or '}'"),
        ],
        *[
            ("{a 1}", "expected ':' behind 'a 1'"),
            ("{a: 1, a: 2}", "'a' is given twice"),
            ("[1] 2", "found '2'"),
        ],
        *[
            ("'open", "quotes are not closed"),
            ("'a'b", "found 'b'"),
            ("[,]", "expected a value"),
            ("[yes]", "write true"),
        ],
        *[
            ("1e999", "numbers must be finite"),
            ("9" * 41, "more than 40 characters"),
            ("(3, (5,)", "expected ','"),
        ],
        *[
            ("[" * (MAX_DEPTH + 2), "nested deeper"),
            ('"\\x"', "escape sequence"),
            ('"\\d"', "escape sequence"),
            ("a]b", "has a bracket that is open or closed alone"),
            ("relu(", "has a bracket that is open or closed alone"),
            ("1}", "has a bracket that is open or closed alone"),
            (")(", "has a bracket that is open or closed alone"),
            ("a[0]", None),  # nothing that anybody would take for a value
            ("-[1]", None),
        ],
        *[(word, "write true, or '") for word in ("ture", "Treu", "truee", "TTrue")],
        *[(word, "write false, or '") for word in ("Flase", "fasle", "fales", "falsee")],
        *[(word, "write None, or '") for word in ("Noen", "nonne", "nlul", "nulll")],
        *[(word, None) for word in ("tree", "fuse", "one", "node", "full", "trues", "rue", "tru")],
        *[("1j", "is a complex number"), ("2+3j", "is a complex number"), ("1+1", "not computed")],
        *[(text, "before its quotes") for text in ("b'x'", 'r"a"', "f'{x}'", "Rb'x'")],
        *[("abc'", "ends in a quote"), ("it's", None), ("...", "nothing that can be given")],
        *[("1 2", "write [1, 2] for a list"), ("[1 2]", "write [1, 2]"), ("True,", "write [True]")],
        *[("None, 3", "write [None, 3]"), ("a, b", None), ("a 3", None), ("1, b", None)],
        *[("a: 1", "write {a: 1} for a mapping"), ("a:1", None), ("10:30", None)],
        *[
            ("[1,2", "expected ',' or ']' at character 5 of '[1,2', it ends there"),
            ("{a: [1 }", "expected ',' or ']' at character 8 of '{a: [1 }', found '}'"),
        ],
    ],
    ids=str,
)
def test_what_would_be_something_else_elsewhere_is_refused_in_one_line(
    text: str, instead: str | None
) -> None:
    if instead is None:  # nothing that anybody would take for a value
        assert parse_value(text) == text
        return
    with pytest.raises(InputError) as caught:
        parse_value(text)
    assert instead in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_what_was_read_is_written_so_that_it_is_read_alike(text: str, value: Any) -> None:
    assert parse_value(written(value)) == value


def test_parts_of_an_argument_have_dotted_names_in_any_order() -> None:
    pairs = [
        "config.num_layers=2",
        "config=transformers:BertConfig",
        "width=3",
        "options.a.b=(1, 2)",
        "config.act=gelu",
    ]
    assert parse_kwargs(pairs) == {
        "config": BERT._replace(parts={"num_layers": 2, "act": "gelu"}),
        "width": 3,
        "options": {"a": {"b": (1, 2)}},
    }


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["width"], "--kwargs: expected NAME=VALUE such as width=0.5, found 'width'"),
        (["1a=2"], "--kwargs: expected NAME=VALUE such as width=0.5, found '1a=2'"),
        (["a..b=2"], "--kwargs: expected NAME=VALUE such as width=0.5, found 'a..b=2'"),
        (["a=1", "a=2"], "--kwargs: 'a' is given twice"),
        (["a.b=1", "a.b=2"], "--kwargs: 'a.b' is given twice"),
        (["a=3", "a.b=2"], "--kwargs: 'a.b': a is 3, which has no parts"),
        (
            ["deep=yes"],
            "--kwargs: deep: 'yes' could mean two things: write true, or 'yes' for the text; "
            """a shell needs more quotes: "deep='yes'\"""",
        ),
        (
            ["size=3,5"],
            "--kwargs: size: '3,5' could mean two things: write [3,5] for a list, (3,5) for a tuple, "
            """or '3,5' for the text; a shell needs more quotes: "size='3,5'\"""",
        ),
        (
            ["size=3,"],
            "--kwargs: size: '3,' could mean two things: write [3] for a list, (3,) for a tuple, "
            """or '3,' for the text; a shell needs more quotes: "size='3,'\"""",
        ),
        (
            ["a=[b, none]"],
            "--kwargs: a: 'none' could mean two things: write None, or 'none' for the text",
        ),
    ],
)
def test_arguments_that_are_none_are_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_kwargs(pairs)
    assert str(caught.value) == message


def test_a_file_reads_bare_words_alike_and_leaves_text_in_quotes_alone() -> None:
    node = parse_yaml(
        "{a: None, b: 'None', c: torch:float16, e: [None, x], f: \"yes\", g: 1e-3}", "x"
    )
    assert read_node(node) == {
        "a": None,
        "b": "None",
        "c": Reference("torch", "float16"),
        "e": [None, "x"],
        "f": "yes",
        "g": 0.001,
    }
    assert read_node(parse_yaml("a: (3, 5)", "x")) == {"a": (3, 5)}
    for text in ("a: yes", "a: [(3, 5)]", "{a: {b: off}}"):
        with pytest.raises(InputError):
            read_node(parse_yaml(text, "x"))


def test_parts_need_something_that_has_them() -> None:
    assert with_parts([("a", {"b": 1}), ("a.c", 2)]) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("width=[1,2", "--set: width: '[1,2': not valid YAML: "),
        ("width=*a", "--set: width: '*a': not valid YAML: found undefined alias"),
        ("width=.inf", "--set: width: '.inf': numbers must be finite, found .inf"),
    ],
)
def test_a_setting_that_is_no_yaml_is_told_by_its_name(pair: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_settings([pair])
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1
