import pytest

from dscost.errors import InputError
from dscost.inputs import TensorSpec, input_pattern, inputs_of, parse_input


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,3,224,224", TensorSpec((1, 3, 224, 224))),
        (" 8 ", TensorSpec((8,))),
        ("1, 3 ,8", TensorSpec((1, 3, 8))),
        ("007", TensorSpec((7,))),
        ("1,-3", TensorSpec((1, -3))),  # for the model to say
        ("ids=1,128:int64", TensorSpec((1, 128), "int64", "ids")),
        ("1,128:int64", TensorSpec((1, 128), "int64")),
        ("_a1=5", TensorSpec((5,), None, "_a1")),
    ],
)
def test_an_input_is_read_as_it_is_written(text: str, expected: TensorSpec) -> None:
    assert parse_input(text) == expected
    assert parse_input(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "1,,3", "1,", ",1", "1x3", "a=", "=1", "1a=1", "a b=1", "a=b=1", "1:", "1:int 64", "1.5", "٣", "1" * 16],
)
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert str(caught.value) == f"expected something like 1,3,224,224 or ids=1,128:int64, found '{text}'"


def test_a_single_plain_shape_is_one_and_names_are_unlike() -> None:
    assert inputs_of([TensorSpec((1, 8))]) == (1, 8)
    for specs in (
        (TensorSpec((1, 8), "int64"),),
        (TensorSpec((1, 8), None, "a"),),
        (TensorSpec((1, 8)), TensorSpec((1, 8))),
    ):
        assert inputs_of(specs) == specs
    with pytest.raises(InputError, match="two inputs are called 'a'"):
        inputs_of([TensorSpec((1,), None, "a"), TensorSpec((1,)), TensorSpec((2,), None, "a")])


def test_the_pattern_has_a_name_only_where_one_may_stand() -> None:
    import re

    for text, anywhere, unnamed in (("a=1,2:bool", True, False), ("1,2", True, True), ("1,0", False, False)):
        assert bool(re.search(input_pattern(), text)) is anywhere
        assert bool(re.search(input_pattern(named=False), text)) is unnamed
