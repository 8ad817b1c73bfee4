"""What an ONNX file is given: axes by name, positions, values; what is wrong with it, in one line."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper

from dscost.errors import InputError
from dscost.graphs.binding import bind
from dscost.graphs.sequences import NOTHING
from dscost.notation.inputs import TensorSpec, parse_input

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Dims = Sequence[int | str | None] | None


def given(name: str, dims: Dims, dtype: int = FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, dims)


def graph(
    *inputs: ValueInfoProto, weights: Sequence[TensorProto] = (), nodes: Any = ()
) -> GraphProto:
    return helper.make_graph(list(nodes), "net", list(inputs), [], list(weights))


def conv_of(channels: int, groups: int = 1, reads: str = "x") -> tuple[Any, TensorProto]:
    weights = numpy_helper.from_array(np.ones((8, channels // groups, 3, 3), np.float32), "w")
    return helper.make_node("Conv", [reads, "w"], ["y"], group=groups), weights


IMAGES = given("x", ["batch", 3, "height", "width"])
TOKENS = graph(given("ids", ["batch", "length"], INT64), given("mask", ["batch", "length"], BOOL))


def shapes(net: GraphProto, *texts: str, batch: int | None = None) -> dict[str, Any]:
    specs = [parse_input(text) for text in texts]
    return {name: value.shape for name, value in bind(net, specs or None, batch).values.items()}


def refusal(net: GraphProto, wanted: Any = None, batch: int | None = None) -> str:
    if isinstance(wanted, str):
        wanted = [parse_input(text) for text in wanted.split()]
    with pytest.raises(InputError) as caught:
        bind(net, wanted, batch)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("text", ["x=2,3,64,32", "2,3,64,32"])
def test_axes_have_the_sizes_that_are_given(text: str) -> None:
    found = bind(graph(IMAGES), [parse_input(text)], None)
    assert {name: (value.dtype, value.shape) for name, value in found.values.items()} == {
        "x": ("float32", (2, 3, 64, 32))
    }
    assert found.notes == ("Sizes that the file leaves open: batch = 2, height = 64, width = 32.",)


def test_axes_without_names_are_told_by_their_place() -> None:
    net = graph(given("x", [None, 3, -1, "?", "?"]))
    told = "Sizes that the file leaves open: x[0] = 1, x[2] = 5, x[3] = 8, x[4] = 9."
    assert bind(net, (1, 3, 5, 8, 9), None).notes == (told,)
    assert bind(graph(given("x", [1, 3])), None, None).notes == ()
    assert shapes(graph(given("x", [-1, 3, "?", "?"])), "1,3,48,192") == {"x": (1, 3, 48, 192)}


def test_axes_of_one_name_have_one_size() -> None:
    assert shapes(TOKENS, "mask=2,7") == {"ids": (2, 7), "mask": (2, 7)}
    assert shapes(TOKENS, "2,7", "2,7") == {"ids": (2, 7), "mask": (2, 7)}
    assert refusal(TOKENS, "ids=2,7 mask=3,8") == (
        "axis 'batch' is 2 in 'ids' and 3 in 'mask'; axis 'length' is 7 in 'ids' and 8 in 'mask'"
    )
    square = graph(given("x", ["side", "side"]))
    assert refusal(square, "2,3") == "axis 'side' is 2 in 'x' and 3 in 'x'"


def test_a_batch_is_that_of_every_input_that_leaves_it_open() -> None:
    state = given("state", [2, "batch", 128])
    net = graph(given("x", ["batch", 576]), state, given("y", [None, 4]), given("z", [1, 4]))
    assert shapes(net, batch=5) == {"x": (5, 576), "state": (2, 5, 128), "y": (5, 4), "z": (1, 4)}
    assert shapes(net, "x=2,576", "y=2,4", batch=5)["x"] == (5, 576)
    fixed = graph(given("x", [1, 3, 8, 8]))
    assert shapes(fixed, batch=1) == {"x": (1, 3, 8, 8)}
    assert refusal(fixed, batch=4) == (
        "input 'x' is 1 × 3 × 8 × 8 in the file, --batch 4 cannot change it: its batch was fixed when it was "
        "exported, and others need an export with an open batch"
    )


@pytest.mark.parametrize(
    ("net", "text", "told"),
    [
        (
            graph(IMAGES, weights=[conv_of(3)[1]], nodes=[conv_of(3)[0]]),
            "",
            "the file leaves open 'batch', 'height', 'width' of 'x': give sizes, such as --input x=1,3,224,224",
        ),
        (
            graph(given("x", [None] * 4), weights=[conv_of(12, 3)[1]], nodes=[conv_of(12, 3)[0]]),
            "",
            "the file leaves open axis 0, axis 1, axis 2, axis 3 of 'x': give sizes, such as --input x=1,12,224,224",
        ),
        (
            TOKENS,
            "",
            "the file leaves open 'batch', 'length' of 'ids': give sizes, such as --input ids=1,128",
        ),
        (
            graph(given("a", ["n", 4]), given("b", ["m", "n", 2])),
            "",
            "the file leaves open 'n' of 'a'; 'm' of 'b': give sizes, such as --input a=1,4 --input b=1,1,2",
        ),
        (graph(given("a", ["n"]), given("b", ["m"])), "a=3", "the file leaves open 'm' of 'b'"),
        (
            graph(given("x", ["n"])),
            "",
            "the file leaves open 'n' of 'x': give sizes, such as --input x=1",
        ),
        (
            graph(given("a b", ["n"])),
            "",
            "the file leaves open 'n' of 'a b': give sizes, such as --input 'a b=1'",
        ),
        (
            graph(given("x", None)),
            "",
            "the file leaves open the shape of 'x': give sizes, such as --input x=1,128",
        ),
        (
            graph(given("x", [4, 0])),
            "",
            "axis 1 of 'x' is 0 in the file: give sizes, such as --input x=4,128",
        ),
        (
            graph(given("x", ["n", 0, -1])),
            "",
            "the file leaves open 'n', axis 2 of 'x'; axis 1 of 'x' is 0 in the file: give sizes, such as ",
        ),
    ],
    ids=range(10),
)
def test_what_is_left_open_is_told_with_an_example(net: GraphProto, text: str, told: str) -> None:
    assert refusal(net, text or None).startswith(told)


def test_the_example_that_is_told_is_taken() -> None:
    node, weights = conv_of(5, reads="scaled")
    scale = helper.make_node("Mul", ["x", "w"], ["scaled"])
    net = graph(
        given("x", ["n", "c", "h", "w"]),
        given("y", ["c", None]),
        weights=[weights],
        nodes=[scale, node],
    )
    line = refusal(net)
    texts = line.partition("such as ")[2].replace("--input ", "").split()
    assert shapes(net, *texts) == {"x": (1, 5, 224, 224), "y": (5, 128)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x=1,3,64", "input 'x' is batch × 3 × height × width in the file, found 1 × 3 × 64"),
        ("x=1,64,32,3", ", found 1 × 64 × 32 × 3 (did you mean 1,3,64,32?)"),
        ("x=3,64,32", ", found 3 × 64 × 32 (did you mean 1,3,64,32?)"),
        (
            "x=1,4,64,32",
            "input 'x' is batch × 3 × height × width in the file, found 1 × 4 × 64 × 32",
        ),
        ("x=1,-3,64,32", "input 'x' cannot be of 1 × -3 × 64 × 32"),
        (
            "x=1,3,99999999999,99999999999",
            "input 'x' cannot be of 1 × 3 × 99999999999 × 99999999999",
        ),
        ("x=1,3,64,32:float16", "input 'x' is of float32 in the file, found float16"),
        ("y=1,3,64,32", "unknown input 'y' (known: x)"),
        ("1,3,64,32 1,3", "2 inputs are given, the file has 1: x"),
        ("x=1,4,8,8:int8", "found 1 × 4 × 8 × 8; input 'x' is of float32 in the file, found int8"),
    ],
)
def test_what_does_not_fit_is_told(text: str, told: str) -> None:
    assert told in refusal(graph(IMAGES), text)


def test_a_batch_that_was_fixed_is_told_as_that() -> None:
    fixed = graph(given("x", [1, 3, 8, 8]))
    assert "found 2 × 3 × 8 × 8: its batch was fixed when it was exported" in refusal(
        fixed, "2,3,8,8"
    )
    assert refusal(fixed, "2,3,9,8").endswith("found 2 × 3 × 9 × 8")


def test_names_that_are_nearly_right_are_told() -> None:
    assert refusal(TOKENS, "idz=1,2") == "unknown input 'idz' (did you mean 'ids'?)"
    assert refusal(graph(), (1, 2)) == "1 inputs are given, the file has none"


def test_what_older_files_list_though_they_store_it_is_not_given() -> None:
    node, weights = conv_of(3)
    net = graph(IMAGES, given("w", [8, 3, 3, 3]), weights=[weights], nodes=[node])
    assert shapes(net, "x=1,3,8,8") == {"x": (1, 3, 8, 8)}
    assert refusal(net, "w=8,3,3,3") == "input 'w' has its value in the file: leave it out"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (TensorSpec((), "int64", "sr", 16000), 16000),
        ({"sr": 16000}, 16000),
        ({"sr": np.array(16000)}, 16000),
        ({"sr": SimpleNamespace(shape=(), dtype="torch.int64", tolist=lambda: 8000)}, 8000),
        ({"args": [np.int64(3)], "kwargs": {}}, 3),
    ],
    ids=range(5),
)
def test_a_number_that_is_given_is_known(value: Any, content: int) -> None:
    found = bind(graph(given("sr", [], INT64)), value, None).values["sr"]
    assert found.content is not None
    assert (found.shape, found.content.tolist()) == ((), content)


def test_values_are_known_where_they_are_written_or_are_sizes() -> None:
    net = graph(given("x", ["n"], INT64), given("y", ["n", 2]))
    found = bind(net, [parse_input("x=3:int64=4..6"), parse_input("y=3,2=0.5")], None).values
    assert found["x"].content.tolist() == [4, 5, 6]  # type: ignore[union-attr]
    assert found["y"].content.tolist() == [[0.5, 0.5]] * 3  # type: ignore[union-attr]
    example = {"x": np.arange(3), "y": np.zeros((3, 2), np.float32)}
    found = bind(net, example, None).values
    assert found["x"].content.tolist() == [0, 1, 2]  # type: ignore[union-attr]
    assert found["y"].content is None  # an example of a picture is none of what it shows
    assert bind(net, example, 5).values["x"].content is None
    pairs = {"x": (3,), "y": np.arange(6).reshape(3, 2)}
    net = graph(given("x", ["n"], INT64), given("y", ["n", 2], INT64))
    assert bind(net, pairs, None).values["y"].content is None
    found = bind(net, [parse_input("x=8:int64=1"), parse_input("y=8,2")], None).values
    assert found["x"].source == -1


@pytest.mark.parametrize(
    "value",
    [
        (2, 3, 8, 8),
        [2, 3, 8, 8],
        [(2, 3, 8, 8)],
        {"x": (2, 3, 8, 8)},
        np.zeros((2, 3, 8, 8), np.float32),
        {"x": np.zeros((2, 3, 8, 8), np.float32)},
        [TensorSpec((2, 3, 8, 8), "float32", "x")],
        TensorSpec((2, 3, 8, 8)),
        SimpleNamespace(shape=(2, 3, 8, 8), dtype="torch.float32"),
    ],
    ids=range(9),
)
def test_shapes_and_tensors_are_taken_with_and_without_names(value: Any) -> None:
    assert bind(graph(IMAGES), value, None).values["x"].shape == (2, 3, 8, 8)


@pytest.mark.parametrize("value", [b"1,3,8,8", 3, object(), {"x": "1,3"}, [None]])
def test_what_is_no_input_is_refused(value: Any) -> None:
    assert refusal(graph(IMAGES), value).startswith(
        "an input is a shape, a tensor, or a tuple or dict of them"
    )


def test_a_tensor_of_another_dtype_is_refused() -> None:
    assert (
        refusal(graph(IMAGES), np.zeros((1, 3, 8, 8)))
        == "input 'x' is of float32 in the file, found float64"
    )
    assert "16000.5" in refusal(graph(given("sr", [], INT64)), {"sr": 16000.5})


def test_sequences_and_what_is_optional() -> None:
    element = helper.make_tensor_type_proto(FLOAT, ["n", 4])
    row = ValueInfoProto(name="row", type=helper.make_sequence_type_proto(element))
    state = ValueInfoProto(name="state", type=helper.make_optional_type_proto(element))
    table = ValueInfoProto(name="table", type=TypeProto(map_type=TypeProto.Map(key_type=INT64)))
    net = graph(row, state, table)
    found = bind(net, {"row": [(2, 4), (3, 4)]}, None)
    assert [one.shape for one in found.values["row"].items] == [(2, 4), (3, 4)]  # type: ignore[union-attr]
    assert found.values["state"].shape == (2, 4)
    assert found.values["table"].shape is None
    assert "The sequence row is taken with 2 tensors." in found.notes
    assert bind(graph(state), None, None).values["state"] is NOTHING
    assert bind(graph(state), None, None).notes == ("The input state is left out.",)
    assert refusal(graph(IMAGES), {"x": [(1, 3, 8, 8)] * 2}) == "input 'x' is one tensor, found 2"


# -- single numbers, and batches that are fixed

RATE = graph(given("x", [2, "n", 8]), given("rate", [], INT64))


def test_a_single_number_may_stand_in_any_shape_as_in_runtimes() -> None:
    for text in ("rate=():int64=16000", "rate=1:int64=16000", "rate=1,1:int64=16000"):
        found = bind(RATE, [parse_input("x=2,1,8"), parse_input(text)], None).values["rate"]
        assert (found.shape, found.content) == ((), 16000)


@pytest.mark.parametrize(
    ("text", "told"),
    [("rate=16000", "16000"), ("rate=2,3", "1"), ("rate=2:int64=[1,2]", "1")],
)
def test_a_shape_for_a_single_number_is_told_how_to_write_it(text: str, told: str) -> None:
    assert refusal(RATE, f"x=2,1,8 {text}") == (
        f"input 'rate' is a single number in the file: write --input 'rate=():int64={told}'"
    )


def test_only_what_may_be_a_batch_is_said_to_be_one() -> None:
    assert refusal(RATE, "x=1,1,8") == "input 'x' is 2 × n × 8 in the file, found 1 × 1 × 8"
    assert "batch was fixed" in refusal(graph(given("x", [1, "n", 8])), "x=4,1,8")
    assert "batch" not in refusal(graph(given("x", [1])), "x=4")
