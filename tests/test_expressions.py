from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import InputError
from dscost.networks.expressions import FUNCTIONS, MAX_LENGTH, Expression, divisible

SCOPE: dict[str, Any] = {
    "width": 0.75, "c": 64, "s": 2, "t": 1, "first": True, "se": False, "repeats": [3, 4, 6, 3],
    "relu": "relu", "none": None, "pairs": [[1, 2], [3, 4]], "tables": [{"a": 1}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1.5", 1.5), ("-c", -64), ("  c  ", 64), ("True", True),
        ("c + 1", 65), ("c - 1", 63), ("c * width", 48.0), ("c / 5", 12.8), ("c // 5", 12), ("c % 5", 4),
        ("-7 // 2", -4),
        ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20),
        ("s if first else 1", 2), ("s if se else 1", 1), ("1 if t > 1 else 2 if s > 1 else 3", 2),
        ("first and s > 1", True), ("se or t > 1", False), ("not se", True), ("not first or c == 64", True),
        ("1 < s < 3", True), ("1 < s < 2", False), ("c != 64", False), ("c >= 64", True), ("c <= 63", False),
        ("repeats[0]", 3), ("repeats[-1]", 3), ("repeats[t + 1]", 6), ("pairs[1][0]", 3),
        ("round8(c * width)", 48), ("divisible(30, 4)", 32), ("floor(2.7)", 2), ("ceil(2.1)", 3), ("floor(-0.5)", -1),
        ("max(8, c // 16, 3)", 8), ("min(8, 5)", 5), ("max(repeats)", 6), ("round8(6 * round8(c * width))", 288),
        ("relu", "relu"), ("none", None), ("relu if first else none", "relu"), ("relu == relu", True),
        ("se and 1 / 0", False), ("first or 1 / 0", True), ("1 if first else 1 / 0", 1),
    ],
)  # fmt: skip
def test_an_expression_has_its_value(text: str, value: Any) -> None:
    found = Expression(text)(SCOPE)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("c.real", id="attribute"),
        pytest.param("().__class__.__bases__[0].__subclasses__()", id="the way to every class"),
        pytest.param("(lambda: 1)()", id="lambda"),
        pytest.param("c ** 99999", id="power"),
        pytest.param("1 << 99999", id="shift"),
        pytest.param("c | s", id="bits"),
        pytest.param("~c", id="inverted bits"),
        pytest.param("c @ s", id="matmul"),
        pytest.param("'a' * 99", id="text"),
        pytest.param("b'a'", id="bytes"),
        pytest.param("f'{c}'", id="formatted text"),
        pytest.param("1j", id="complex"),
        pytest.param("None", id="None"),
        pytest.param("...", id="dots"),
        pytest.param("[1, 2]", id="list"),
        pytest.param("(1, 2)", id="tuple"),
        pytest.param("{1: 2}", id="dict"),
        pytest.param("[x for x in repeats]", id="comprehension"),
        pytest.param("max(x for x in repeats)", id="generator"),
        pytest.param("max(*repeats)", id="star"),
        pytest.param("max(c, key=s)", id="keyword"),
        pytest.param("FUNCTIONS[0](c)", id="call of an item"),
        pytest.param("max(1, 2)(3)", id="call of a call"),
        pytest.param("repeats[0:2]", id="slice"),
        pytest.param("(c := 1)", id="assignment"),
        pytest.param("c is s", id="is"),
        pytest.param("c in repeats", id="in"),
        pytest.param("await c", id="await"),
        pytest.param("(yield)", id="yield"),
    ],
)
def test_nothing_else_of_python_is_allowed(text: str) -> None:
    with pytest.raises(InputError, match=r"allowed|not an expression"):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an expression: ''"),
        ("c +", "not an expression: 'c +'"),
        ("c = 1", "not an expression: 'c = 1'"),
        ("1; 2", "not an expression: '1; 2'"),
        ("import os", "not an expression: 'import os'"),
        ("c\0", "not an expression: 'c\0'"),
        ("c.real", "'c.real': Attribute is not allowed in an expression"),
        ("c ** 2", "'c ** 2': ** is not allowed in an expression"),
        ("'a'", "''a'': only numbers and names are allowed"),
        (
            "c.bit_length()",
            "'c.bit_length()': only calls of round8, divisible, floor, ceil, max, min are allowed",
        ),
        ("1" * (MAX_LENGTH + 1), "an expression may have 200 characters, found 201"),
    ],
    ids=lambda text: text[:20],
)
def test_a_refusal_says_what_was_found(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Expression(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht * 2", "unknown name 'widht' (did you mean 'width'?)"),
        ("zzz", "unknown name 'zzz'"),
        ("rond8(c)", "unknown function 'rond8' (did you mean 'round8'?)"),
        ("open(c)", "unknown function 'open'"),
        ("__import__(c)", "unknown function '__import__'"),
        ("c / 0", "'c / 0' cannot be computed: division by zero"),
        ("c % (s - 2)", "'c % (s - 2)' cannot be computed: integer modulo by zero"),
        ("relu * 3", "'relu * 3' cannot be computed: arithmetic needs numbers"),
        ("repeats * 99999", "'repeats * 99999' cannot be computed: arithmetic needs numbers"),
        ("none + 1", "'none + 1' cannot be computed: arithmetic needs numbers"),
        ("repeats[9]", "'repeats[9]' cannot be computed: list index out of range"),
    ],
)
def test_what_cannot_be_computed_says_why(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Expression(text)(SCOPE)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    ["c[0]", "repeats[relu]", "repeats[1.5]", "-relu", "relu < 3", "floor(relu)", "max()", "max(c)", "max(c, relu)",
     "round8(c, 8)", "round8(none)", "divisible(c)", "divisible(c, 0)", "floor(1e999)", "floor(1e999 - 1e999)",
     "round8(1e999)", "tables[0][c]", "tables[0][relu]", "c % 0.0"],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot be computed"):
        Expression(text)(SCOPE)


def test_numbers_do_not_grow_without_limit() -> None:
    scope = {"x": 10**40}
    with pytest.raises(InputError, match="cannot be computed"):
        for _ in range(2):
            scope = {"x": Expression("*".join(["x"] * 100))(scope)}


def test_names_and_functions_are_told_apart() -> None:
    expression = Expression("max(c, round8(t * repeats[index])) if first else floor(c / s)")
    assert sorted(set(expression.names())) == ["c", "first", "index", "repeats", "s", "t"]
    assert sorted(expression.functions()) == ["floor", "max", "round8"]


# -- rounding


@pytest.mark.parametrize(
    ("value", "divisor", "rounded"),
    [
        pytest.param(32 * 1.4, 8, 48, id="stem of MobileNetV2 1.4"),
        pytest.param(24 * 0.75, 8, 24, id="18 would lose more than a tenth at 16"),
        pytest.param(16 * 0.5, 8, 8, id="exact"),
        pytest.param(3, 8, 8, id="never below the divisor"),
        pytest.param(12, 8, 16, id="a tie goes up"),
        pytest.param(11, 8, 16, id="8 would lose more than a tenth"),
        pytest.param(67, 8, 64, id="64 keeps nine tenths"),
        pytest.param(32 * 1.1, 8, 32, id="stem of EfficientNet-B2"),
        pytest.param(40 * 1.2, 8, 48, id="stage of EfficientNet-B3"),
        pytest.param(1280 * 1.8, 8, 2304, id="head of EfficientNet-B6"),
        pytest.param(72 // 4, 8, 24, id="squeeze of MobileNetV3"),
        pytest.param(7, 1, 7, id="divisor 1"),
    ],
)
def test_channels_are_rounded_as_in_the_papers(value: float, divisor: int, rounded: int) -> None:
    assert divisible(value, divisor) == rounded
    assert FUNCTIONS["divisible"](value, divisor) == rounded


@law
@given(st.floats(0.1, 10_000), st.integers(1, 64))
def test_rounding_never_loses_more_than_a_tenth(value: float, divisor: int) -> None:
    rounded = divisible(value, divisor)
    assert rounded % divisor == 0
    assert rounded >= max(divisor, 0.9 * value)
    assert rounded <= max(divisor, ceil(value) + divisor)


# -- anything


TOKENS = (
    *(
        "c",
        "s",
        "width",
        "first",
        "relu",
        "none",
        "repeats",
        "tables",
        "zz",
        "0",
        "1",
        "2.5",
        "1e400",
        "0x1F",
        "9" * 30,
    ),
    *(
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "<",
        "==",
        "!=",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        " if ",
        " else ",
        " and ",
    ),
    *(
        " or ",
        " not ",
        "max",
        "round8",
        "floor",
        "divisible",
        "'x'",
        "lambda",
        ":",
        "=",
        "\n",
        "\t",
        "#",
        "\\",
        "é",
    ),
)


@law
@given(st.text(max_size=40) | st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        Expression(text)(SCOPE)
    except InputError as error:
        message = str(error)
    else:
        message = "computed"
    assert message


@pytest.mark.filterwarnings("default")
def test_a_badly_spaced_expression_warns_nobody(recwarn: pytest.WarningsRecorder) -> None:
    assert Expression("1if first else 2")(SCOPE) == 1
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    "text", ["-" * 199 + "1", "(" * 99 + "1" + ")" * 99, "not " * 49 + "1", "c" + "[0]" * 66]
)
def test_nesting_is_no_danger(text: str) -> None:
    message = ""
    try:
        Expression(text)(SCOPE)
    except InputError as error:
        message = str(error)
    assert "recursion" not in message
