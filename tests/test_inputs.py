import pytest

from dscost.errors import InputError
from dscost.notation.inputs import TensorSpec, input_pattern, inputs_of, parse_input


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
        ("lengths=1:int64=200", TensorSpec((1,), "int64", "lengths", 200)),
        ("1:int64=200", TensorSpec((1,), "int64", None, 200)),
        ("x=1,3 = -0.5", TensorSpec((1, 3), None, "x", -0.5)),
        ("mask=1,4:bool=false", TensorSpec((1, 4), "bool", "mask", False)),
        ("mask=1,4:bool=True", TensorSpec((1, 4), "bool", "mask", True)),
        ("mask=1,4=-inf", TensorSpec((1, 4), None, "mask", float("-inf"))),
        ("at=1,200:int64=0..199", TensorSpec((1, 200), "int64", "at", range(200))),
        ("n=3:int64=[1, 2,3]", TensorSpec((3,), "int64", "n", (1, 2, 3))),
        ("n=2,2:uint8=[[1,2],(3, 4)]", TensorSpec((2, 2), "uint8", "n", ((1, 2), (3, 4)))),
        ("n=5,2:int8=[1,2]", TensorSpec((5, 2), "int8", "n", (1, 2))),  # every row alike
        ("t=():int64=10", TensorSpec((), "int64", "t", 10)),
        ("()", TensorSpec(())),
        ("1x3x160x160", TensorSpec((1, 3, 160, 160))),
        ("1×3×160×160", TensorSpec((1, 3, 160, 160))),
        ("1X3 x 160*160", TensorSpec((1, 3, 160, 160))),
        ("x=1x3x160x160:int64", TensorSpec((1, 3, 160, 160), "int64", "x")),
        ("ids = 1 × 128 : int64", TensorSpec((1, 128), "int64", "ids")),
        ("1 3 160 160", TensorSpec((1, 3, 160, 160))),
        ("(1, 3, 160, 160)", TensorSpec((1, 3, 160, 160))),
        ("x=[1, 3]", TensorSpec((1, 3), None, "x")),
        ("(8,)", TensorSpec((8,))),
        ("1x-3", TensorSpec((1, -3))),
        ("x=2x2:uint8=[[1,2],(3, 4)]", TensorSpec((2, 2), "uint8", "x", ((1, 2), (3, 4)))),
        ("x=1x3:int64=0x10", TensorSpec((1, 3), "int64", "x", 16)),
        ("z=2:complex64=1", TensorSpec((2,), "complex64", "z", 1)),
        # of ONNX files
        ("serving_default_input_2:0=1,3", TensorSpec((1, 3), None, "serving_default_input_2:0")),
        ("x:0=():int64=16000", TensorSpec((), "int64", "x:0", 16000)),
        ("images.1=1x3x8x8", TensorSpec((1, 3, 8, 8), None, "images.1")),
        ("/model/in = (1, 3)", TensorSpec((1, 3), None, "/model/in")),
        ("input-0=1,3:float32", TensorSpec((1, 3), "float32", "input-0")),
        ("onnx::Flatten_0=5", TensorSpec((5,), None, "onnx::Flatten_0")),
        ("画=1,3", TensorSpec((1, 3), None, "画")),
    ],
)
def test_an_input_is_read_as_it_is_written(text: str, expected: TensorSpec) -> None:
    assert parse_input(text) == expected
    assert parse_input(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "1,,3",
            "1,",
            ",1",
            "1x3,4",
            "1x",
            "x3",
            "1xx3",
            "1+3",
            "(1,3",
            "[1,3)",
            "[1x3]",
            "a=",
            "=1",
            "1a=1",
            "a b=1",
            "a=b=1",
            "1:",
            "1:int 64",
            "1.5",
            "٣",
            "1" * 16,
            "a,b=1",
            "'a'=1",
            "-a=1",
            "x:0=a",
        ),
        *("()=", "1=", "1::int64", "x=()()", "1:int64:=3", ":int64", "x=:int64=3"),
    ],
)
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert (
        str(caught.value)
        == f"expected something like 1,3,224,224 or ids=1,128:int64, found '{text}'"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2:int64=[200,180,1]", "3 values do not fill 2: expected 2, or the last sizes"),
        ("1,128:int64=0..199", "200 values do not fill 1x128: expected 128, or the last sizes"),
        ("():int64=[1,2]", "2 values do not fill 1: expected 1, or the last sizes"),
        ("3:int64=5..1", "a range goes upwards, found 5..1"),
        ("1:uint8=256", "256 does not fit uint8"),
        ("1:uint8=-1", "-1 does not fit uint8"),
        ("1:int8=[128]", "128 does not fit int8"),
        ("1:int64=0.5", "int64 holds whole numbers, found 0.5"),
        ("1:uint8=0.5", "uint8 holds whole numbers, found 0.5"),
        ("1:uint16=70000", "70000 does not fit uint16"),
        ("1:uint64=-1", "-1 does not fit uint64"),
        ("1:float32=1e39", "1e+39 does not fit float32"),
        ("1:bfloat16=-3.4e38", "-3.4e+38 does not fit bfloat16"),
        ("1:int64=true", "true is of a bool: write :bool behind the shape"),
        ("1=false", "false is of a bool: write :bool behind the shape"),
        ("1:bool=2", "a bool is true or false, found 2"),
        ("1:float16=1e6", "1000000.0 does not fit float16"),
        (
            "1:int64=word",
            "the values of a tensor are numbers such as 200, 0..199 or [1, 2, 3], found word",
        ),
        (
            "1:int64=None",
            "the values of a tensor are numbers such as 200, 0..199 or [1, 2, 3], found None",
        ),
        ("2,2:int64=[[1,2],[3]]", "the lists in [[1,2],[3]] are not of one length"),
        ("1,99999,99999=1", "more than 134,217,728 elements are not filled with values"),
        ("3:int64=[1,2", "expected ',' or ']' at character 5 of '[1,2', it ends there"),
        ("1:int64=yes", "'yes' could mean two things: write true, or 'yes' for the text"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert str(caught.value) == f"'{text}': {why}"


@pytest.mark.parametrize(
    "text", ["return_dict=False", "mode='train'", "scale=0.5", "cache=None", "use=true", "a=b"]
)
def test_what_is_no_tensor_is_told_another_way(text: str) -> None:
    with pytest.raises(
        InputError, match=r"is no tensor: an example_input\(\) beside the factory"
    ) as caught:
        parse_input(text)
    assert f"can give {text.partition('=')[0]} a value" in str(caught.value)


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

    for text, anywhere, unnamed in (
        ("a=1,2:bool", True, False),
        ("1,2", True, True),
        ("1,0", False, False),
        ("1x3 × 8", True, True),
        ("1x0", False, False),
        ("1x3,8", False, False),
        ("a=(1, 3)", True, False),
        ("1:int64=200", True, True),
        ("():float32=-0.5", True, True),
        ("a=3:int64=[1, 2, 3]", True, False),
        ("a=1,200:int64=0..199", True, False),
        ("1:int64=word", False, False),
        ("x:0=1,3:int64", True, False),
        ("a/b.1-c=1,3", True, False),
        ("a b=1,3", False, False),
        ("-a=1,3", False, False),
    ):
        assert bool(re.search(input_pattern(), text)) is anywhere
        assert bool(re.search(input_pattern(named=False), text)) is unnamed
