"""Formulas over shapes alone, by hand; and formulas that users add, on an operator that torch has never met."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import dscost
from dscost.errors import InputError
from dscost.traces.rules import FORMULAS, FREE, register_formula

Shape = tuple[int, ...]


def macs(operator: str, *arguments: Any, out: Any, **named: Any) -> int:
    return FORMULAS[f"aten::{operator}"].macs(*arguments, out=out, **named)


class Case(NamedTuple):
    """An operator's arguments with every tensor replaced by its shape, its output's shape, and its MACs."""

    operator: str
    arguments: tuple[Any, ...]
    out: Any
    expected: int


def table(**cases: Case) -> pytest.MarkDecorator:
    entries = [pytest.param(*case, id=name.replace("_", " ")) for name, case in cases.items()]
    return pytest.mark.parametrize(Case._fields, entries)


# -- convolutions: every output value is a dot product over M/G channels and the taps


@table(
    conv1d=Case(
        "conv1d", ((2, 6, 20), (8, 6, 5), (8,), [1], [0], [1], 1), (2, 8, 16), 2 * 16 * 8 * 6 * 5
    ),
    conv1d_by_padding_name=Case(
        "conv1d", ((2, 6, 20), (8, 6, 5), None, [1], "same"), (2, 8, 20), 2 * 20 * 8 * 6 * 5
    ),
    conv2d=Case("conv2d", ((2, 3, 9, 7), (4, 3, 5, 3), None), (2, 4, 5, 5), 2 * 5 * 5 * 4 * 3 * 15),
    conv2d_with_stride=Case(
        "conv2d",
        ((1, 3, 9, 9), (4, 3, 3, 3), (4,), [2, 2], [1, 1]),
        (1, 4, 5, 5),
        5 * 5 * 4 * 3 * 9,
    ),
    conv2d_in_groups=Case(
        "conv2d",
        ((1, 8, 6, 6), (12, 2, 3, 3), None, [1, 1], [0, 0], [1, 1], 4),
        (1, 12, 4, 4),
        4 * 4 * 12 * 2 * 9,
    ),
    conv2d_depthwise=Case(
        "conv2d", ((1, 8, 6, 6), (8, 1, 3, 3), None), (1, 8, 4, 4), 4 * 4 * 8 * 9
    ),
    conv2d_depthwise_twice_as_many=Case(
        "conv2d", ((1, 8, 6, 6), (16, 1, 3, 3), None), (1, 16, 4, 4), 4 * 4 * 16 * 1 * 9
    ),
    conv2d_without_batch=Case(
        "conv2d", ((3, 9, 9), (4, 3, 3, 3), (4,)), (4, 7, 7), 7 * 7 * 4 * 3 * 9
    ),
    conv3d=Case(
        "conv3d",
        ((2, 3, 8, 8, 8), (4, 3, 3, 2, 1), None),
        (2, 4, 6, 7, 8),
        2 * 6 * 7 * 8 * 4 * 3 * 6,
    ),
    conv3d_without_batch_in_groups=Case(
        "conv3d", ((4, 3, 3, 3), (4, 2, 2, 2, 2), None), (4, 2, 2, 2), 8 * 4 * 2 * 8
    ),
    convolution=Case(
        "convolution",
        ((1, 8, 6, 6), (12, 2, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 4),
        (1, 12, 4, 4),
        4 * 4 * 12 * 2 * 9,
    ),
)
def test_a_convolution_is_one_product_per_output_value_channel_of_its_group_and_tap(
    operator: str, arguments: tuple[Any, ...], out: Shape, expected: int
) -> None:
    assert macs(operator, *arguments, out=out) == expected


# every input value meets every tap and every output channel of its group; weight is (M, N/G, *K)
@table(
    one_dimension=Case(
        "conv_transpose1d", ((2, 6, 20), (6, 8, 5), None), (2, 8, 24), 2 * 20 * 6 * 8 * 5
    ),
    two_dimensions=Case(
        "conv_transpose2d", ((2, 6, 5, 7), (6, 4, 3, 2), None), (2, 4, 7, 8), 2 * 5 * 7 * 6 * 4 * 6
    ),
    stride=Case(
        "conv_transpose2d",
        ((1, 6, 5, 5), (6, 4, 3, 3), None, [2, 2]),
        (1, 4, 11, 11),
        5 * 5 * 6 * 4 * 9,
    ),
    groups=Case(
        "conv_transpose2d",
        ((1, 6, 5, 5), (6, 2, 3, 3), None, [3, 3], [0, 0], [0, 0], 3),
        (1, 6, 15, 15),
        5 * 5 * 6 * 2 * 9,
    ),
    without_batch=Case(
        "conv_transpose2d", ((6, 5, 5), (6, 4, 3, 3), None), (4, 7, 7), 5 * 5 * 6 * 4 * 9
    ),
    three_dimensions=Case(
        "conv_transpose3d",
        ((1, 2, 3, 4, 5), (2, 7, 2, 2, 2), None),
        (1, 7, 4, 5, 6),
        3 * 4 * 5 * 2 * 7 * 8,
    ),
    as_convolution=Case(
        "convolution",
        ((1, 6, 5, 5), (6, 2, 3, 3), None, [2, 2], [0, 0], [1, 1], True, [0, 0], 3),
        (1, 6, 11, 11),
        5 * 5 * 6 * 2 * 9,
    ),
)
def test_a_transposed_convolution_is_one_product_per_input_value_channel_of_its_group_and_tap(
    operator: str, arguments: tuple[Any, ...], out: Shape, expected: int
) -> None:
    assert macs(operator, *arguments, out=out) == expected


def test_a_convolution_backwards_costs_what_the_same_weights_cost_forwards_from_the_other_side() -> (
    None
):
    image, result, weight = (2, 6, 9, 9), (2, 4, 7, 7), (4, 6, 3, 3)
    forward = macs("conv2d", image, weight, None, out=result)
    assert macs("conv_transpose2d", result, weight, None, out=image) == forward


# -- linear and matmul


@table(
    one_row=Case("linear", ((16,), (32, 16), (32,)), (32,), 16 * 32),
    rows=Case("linear", ((4, 16), (32, 16), None), (4, 32), 4 * 16 * 32),
    rows_of_rows=Case("linear", ((2, 5, 7, 3), (2, 3)), (2, 5, 7, 2), 2 * 5 * 7 * 3 * 2),
    one_output=Case("linear", ((4, 16), (16,)), (4,), 4 * 16),
    matrix_times_matrix=Case("matmul", ((3, 4), (4, 5)), (3, 5), 3 * 4 * 5),
    matrix_times_vector=Case("matmul", ((3, 4), (4,)), (3,), 3 * 4),
    vector_times_matrix=Case("matmul", ((3,), (3, 4)), (4,), 3 * 4),
    vector_times_vector=Case("matmul", ((7,), (7,)), (), 7),
    batch_times_batch=Case("matmul", ((6, 3, 4), (6, 4, 5)), (6, 3, 5), 6 * 3 * 4 * 5),
    batch_times_matrix=Case("matmul", ((6, 3, 4), (4, 5)), (6, 3, 5), 6 * 3 * 4 * 5),
    matrix_times_batch=Case("matmul", ((3, 4), (6, 4, 5)), (6, 3, 5), 6 * 3 * 4 * 5),
    batch_times_vector=Case("matmul", ((6, 3, 4), (4,)), (6, 3), 6 * 3 * 4),
    vector_times_batch=Case("matmul", ((4,), (6, 4, 5)), (6, 5), 6 * 4 * 5),
    batches_that_broadcast=Case(
        "matmul", ((2, 1, 3, 4), (5, 4, 6)), (2, 5, 3, 6), 2 * 5 * 3 * 4 * 6
    ),
    mm=Case("mm", ((4, 5), (5, 6)), (4, 6), 4 * 5 * 6),
    bmm=Case("bmm", ((3, 4, 5), (3, 5, 6)), (3, 4, 6), 3 * 4 * 5 * 6),
    mv=Case("mv", ((3, 4), (4,)), (3,), 3 * 4),
    dot=Case("dot", ((9,), (9,)), (), 9),
    vdot=Case("vdot", ((9,), (9,)), (), 9),
    inner=Case("inner", ((2, 3, 4), (5, 4)), (2, 3, 5), 2 * 3 * 5 * 4),
    addmm=Case("addmm", ((6,), (4, 5), (5, 6)), (4, 6), 4 * 5 * 6),
    baddbmm=Case("baddbmm", ((3, 4, 6), (3, 4, 5), (3, 5, 6)), (3, 4, 6), 3 * 4 * 5 * 6),
    addbmm=Case("addbmm", ((4, 6), (3, 4, 5), (3, 5, 6)), (4, 6), 3 * 4 * 5 * 6),
    addmv=Case("addmv", ((3,), (3, 4), (4,)), (3,), 3 * 4),
    bilinear=Case(
        "bilinear", ((4, 2, 5), (4, 2, 3), (7, 5, 3), (7,)), (4, 2, 7), 4 * 2 * 7 * 5 * 3
    ),
)
def test_a_product_is_one_mac_per_output_value_and_contracted_position(
    operator: str, arguments: tuple[Any, ...], out: Shape, expected: int
) -> None:
    assert macs(operator, *arguments, out=out) == expected


@pytest.mark.parametrize(
    ("operator", "added"), [("addmm", (4, 6)), ("addmm", (6,)), ("baddbmm", (3, 4, 6))], ids=str
)
def test_what_is_added_to_a_product_costs_no_mac(operator: str, added: Shape) -> None:
    a, b, out = (
        ((4, 5), (5, 6), (4, 6)) if operator == "addmm" else ((3, 4, 5), (3, 5, 6), (3, 4, 6))
    )
    without = "mm" if operator == "addmm" else "bmm"
    assert macs(operator, added, a, b, out=out, beta=1, alpha=2) == macs(without, a, b, out=out)


# -- attention


@pytest.mark.parametrize(
    ("query", "key", "value", "expected"),
    [
        pytest.param(
            (4, 8, 128, 64),
            (4, 8, 128, 64),
            (4, 8, 128, 64),
            4 * 8 * 128 * 128 * (64 + 64),
            id="self",
        ),
        pytest.param(
            (4, 8, 128, 64),
            (4, 8, 256, 64),
            (4, 8, 256, 64),
            4 * 8 * 128 * 256 * (64 + 64),
            id="cross",
        ),
        pytest.param(
            (2, 3, 5, 16),
            (2, 3, 7, 16),
            (2, 3, 7, 10),
            2 * 3 * 5 * 7 * (16 + 10),
            id="narrower values",
        ),
        pytest.param((2, 5, 16), (2, 7, 16), (2, 7, 16), 2 * 5 * 7 * (16 + 16), id="one head"),
        pytest.param((5, 16), (7, 16), (7, 4), 5 * 7 * (16 + 4), id="no batch"),
        pytest.param(
            (2, 8, 5, 16),
            (2, 2, 7, 16),
            (2, 2, 7, 16),
            2 * 8 * 5 * 7 * (16 + 16),
            id="grouped queries",
        ),
    ],
)
def test_attention_is_two_products_over_all_heads(
    query: Shape, key: Shape, value: Shape, expected: int
) -> None:
    out = (*query[:-1], value[-1])
    assert macs("scaled_dot_product_attention", query, key, value, out=out) == expected
    assert (
        macs(
            "scaled_dot_product_attention", query, key, value, None, 0.0, True, out=out, scale=None
        )
        == expected
    )


@pytest.mark.parametrize(
    "operator",
    [
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
    ],
)
def test_fused_attention_costs_the_same(operator: str) -> None:
    query, key, value = (2, 3, 5, 16), (2, 3, 7, 16), (2, 3, 7, 10)
    assert macs(operator, query, key, value, out=(2, 3, 5, 10)) == 2 * 3 * 5 * 7 * (16 + 10)


# (L, B, E) without projections of different widths: three in, one out, and attention between
@pytest.mark.parametrize("operator", ["_flash_attention_forward", "_efficient_attention_forward"])
def test_attention_with_the_heads_last_costs_the_same(operator: str) -> None:
    arguments = ((2, 5, 4, 16), (2, 7, 4, 16), (2, 7, 4, 24), None, None, 5, 7)
    assert macs(operator, *arguments, out=(2, 5, 4, 24)) == 2 * 4 * 5 * 7 * (16 + 24)


def test_packed_sequences_count_as_long_as_the_longest() -> None:
    arguments = ((12, 4, 16), (12, 4, 16), (12, 4, 16), (3,), (3,), 8, 8)
    assert macs("_flash_attention_forward", *arguments, out=(12, 4, 16)) == 12 * 4 * 8 * (16 + 16)
    # where no longest is given, as one sequence of all rows
    assert macs("_flash_attention_forward", *arguments[:-2], out=(12, 4, 16)) == 12 * 4 * 12 * 32


@pytest.mark.parametrize(("batch", "rows", "others"), [(2, 5, 5), (2, 5, 7), (1, 1, 9)])
def test_the_fast_path_of_multi_head_attention_is_four_projections_and_attention(
    batch: int, rows: int, others: int
) -> None:
    e = 16
    query, key = (batch, rows, e), (batch, others, e)
    expected = batch * (
        rows * e * e  # queries
        + 2 * others * e * e  # keys and values
        + rows * others * (e + e)
        + rows * e * e  # the projection of the output
    )
    arguments = (query, key, key, e, 4, (3 * e, e), (3 * e,), (e, e), (e,))
    assert macs("_native_multi_head_attention", *arguments, out=query) == expected


def test_the_fast_path_of_an_encoder_layer_is_self_attention_and_two_linear_layers() -> None:
    batch, rows, e, hidden = 2, 5, 16, 40
    x, norm = (batch, rows, e), (e,)
    arguments = (
        *(x, e, 4, (3 * e, e), (3 * e,), (e, e), (e,), False, False, 1e-5, norm, norm, norm, norm),
        *((hidden, e), (hidden,), (e, hidden), (e,), None, None),
    )
    expected = batch * (rows * 4 * e * e + rows * rows * (e + e) + rows * 2 * e * hidden)
    assert macs("_transformer_encoder_layer_fwd", *arguments, out=x) == expected


# -- recurrent layers: every row meets every weight matrix of every layer and direction once

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
recurrent = pytest.mark.parametrize(("operator", "gates"), GATES.items(), ids=str)


def layer_weights(
    gates: int, inputs: int, hidden: int, *, proj: int = 0, bias: bool = True
) -> list[Shape]:
    biases = [(gates * hidden,)] * 2 if bias else []
    return [
        (gates * hidden, inputs),
        (gates * hidden, proj or hidden),
        *biases,
        *([(proj, hidden)] if proj else []),
    ]


def states_of(operator: str, layers: int, batch: int, hidden: int) -> Any:
    state = (layers, batch, hidden)
    return [state, state] if operator == "lstm" else state


@recurrent
@pytest.mark.parametrize("bias", [True, False])
def test_a_recurrent_layer_uses_both_weight_matrices_at_every_step_of_every_sequence(
    operator: str, gates: int, bias: bool
) -> None:
    steps, batch, inputs, hidden = 5, 3, 16, 32
    params = layer_weights(gates, inputs, hidden, bias=bias)
    arguments = (
        (steps, batch, inputs),
        states_of(operator, 1, batch, hidden),
        params,
        bias,
        1,
        0.0,
        False,
        False,
    )
    out = (steps, batch, hidden)
    assert macs(operator, *arguments, False, out=out) == steps * batch * gates * hidden * (
        inputs + hidden
    )


@recurrent
def test_later_layers_and_the_other_direction_read_what_both_directions_wrote(
    operator: str, gates: int
) -> None:
    steps, batch, inputs, hidden = 10, 2, 32, 64
    first, second = layer_weights(gates, inputs, hidden), layer_weights(gates, 2 * hidden, hidden)
    params = [*first, *first, *second, *second]
    arguments = (
        (batch, steps, inputs),
        states_of(operator, 4, batch, hidden),
        params,
        True,
        2,
        0.0,
        False,
        True,
        True,
    )
    expected = steps * batch * 2 * gates * hidden * ((inputs + hidden) + (2 * hidden + hidden))
    assert macs(operator, *arguments, out=(batch, steps, 2 * hidden)) == expected


def test_a_projection_of_the_hidden_state_is_one_more_product_and_narrows_the_others() -> None:
    steps, batch, inputs, hidden, proj = 5, 3, 16, 32, 8
    params = layer_weights(4, inputs, hidden, proj=proj)
    arguments = (
        (steps, batch, inputs),
        [(1, batch, proj), (1, batch, hidden)],
        params,
        True,
        1,
        0.0,
        False,
        False,
    )
    expected = steps * batch * (4 * hidden * (inputs + proj) + hidden * proj)
    assert macs("lstm", *arguments, False, out=(steps, batch, proj)) == expected


@recurrent
def test_a_packed_sequence_costs_its_rows_and_not_its_padding(operator: str, gates: int) -> None:
    lengths, inputs, hidden = (5, 3, 1), 16, 32
    params = layer_weights(gates, inputs, hidden)
    arguments = (
        (sum(lengths), inputs),
        (max(lengths),),
        states_of(operator, 1, 3, hidden),
        params,
        True,
        1,
        0.0,
    )
    expected = sum(lengths) * gates * hidden * (inputs + hidden)
    assert macs(operator, *arguments, False, False, out=(sum(lengths), hidden)) == expected


@pytest.mark.parametrize("batch", [(7,), ()], ids=["batch", "no batch"])
@recurrent
def test_a_recurrent_cell_is_one_step(operator: str, gates: int, batch: Shape) -> None:
    inputs, hidden = 16, 32
    state = (*batch, hidden)
    states = [state, state] if operator == "lstm" else state
    weights = layer_weights(gates, inputs, hidden)
    expected = (batch[0] if batch else 1) * gates * hidden * (inputs + hidden)
    assert macs(f"{operator}_cell", (*batch, inputs), states, *weights, out=state) == expected


# -- what torch itself says of the same shapes


@pytest.mark.parametrize(
    ("operator", "shapes", "options"),
    [
        pytest.param("mm", ((4, 5), (5, 6)), (), id="mm"),
        pytest.param("bmm", ((3, 4, 5), (3, 5, 6)), (), id="bmm"),
        pytest.param("addmm", ((4, 6), (4, 5), (5, 6)), (), id="addmm"),
        pytest.param("baddbmm", ((3, 4, 6), (3, 4, 5), (3, 5, 6)), (), id="baddbmm"),
        pytest.param("linear", ((2, 3, 16), (32, 16)), (), id="linear"),
        pytest.param("conv1d", ((2, 6, 20), (8, 3, 5)), (None, 2, 1, 1, 2), id="conv1d"),
        pytest.param("conv2d", ((2, 6, 9, 9), (8, 3, 3, 3)), (None, 2, 1, 1, 2), id="conv2d"),
        pytest.param("conv3d", ((2, 6, 5, 5, 5), (8, 3, 3, 1, 2)), (None, 1, 0, 1, 2), id="conv3d"),
        pytest.param(
            "conv_transpose2d",
            ((2, 6, 9, 9), (6, 4, 3, 3)),
            (None, 2, 1, 1, 2),
            id="conv_transpose2d",
        ),
        pytest.param("matmul", ((2, 1, 3, 4), (5, 4, 6)), (), id="matmul"),
    ],
)
def test_formulas_agree_with_torch(
    operator: str, shapes: tuple[Shape, ...], options: tuple[Any, ...]
) -> None:
    tensors = [torch.empty(shape, device="meta") for shape in shapes]
    functional: Callable[..., Tensor] = getattr(torch, operator, None) or getattr(
        nn.functional, operator
    )
    with FlopCounterMode(display=False) as counter:
        result = functional(*tensors, *options)
    assert (
        2 * macs(operator, *shapes, *options, out=tuple(result.shape))
        == counter.get_total_flops()
        > 0
    )


# -- the registry


@pytest.mark.parametrize("name", ["mm", "", "aten::mm.default", "aten:mm", "a::b::c", "torch.mm"])
def test_an_operator_that_is_not_named_like_one_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        register_formula(name)
    assert str(caught.value) == f"an operator is named like 'aten::mm', found '{name}'"


def test_one_wrong_name_among_several_registers_none() -> None:
    before = dict(FORMULAS)
    with pytest.raises(InputError):
        register_formula("test_rules::right", "wrong")
    assert before == FORMULAS


def test_every_forward_operator_that_torch_has_a_formula_for_has_one_of_ours() -> None:
    theirs = {
        str(operator).replace(".", "::")
        for operator in flop_registry
        if "backward" not in str(operator)
    }
    assert theirs - set(FORMULAS) == {
        "flex_attention"
    }  # a higher-order operator: torch.compile alone makes it


def test_no_operator_both_has_a_formula_and_is_free() -> None:
    assert set(FORMULAS) & set(FREE) == set()


def test_every_formula_and_everything_known_to_be_free_is_of_an_operator_that_torch_has() -> None:
    names = [
        name.removeprefix("aten::") for name in (*FORMULAS, *FREE) if name.startswith("aten::")
    ]
    assert [name for name in names if not hasattr(torch.ops.aten, name)] == []


# -- a user's own operator

_numbers = count()


@pytest.fixture
def fused() -> Iterator[tuple[str, Callable[[Tensor, Tensor], Tensor]]]:
    """A new operator that torch can run and knows nothing about; its formulas are forgotten afterwards."""
    name = f"dscost_tests::fused_{next(_numbers)}"

    @torch.library.custom_op(name, mutates_args=())
    def operator(x: Tensor, weight: Tensor) -> Tensor:
        return torch.relu(x @ weight)

    @operator.register_fake
    def _(x: Tensor, weight: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], weight.shape[1])

    yield name, operator
    FORMULAS.pop(name, None)


class Fused(nn.Module):
    """Two linear layers around two calls of a custom operator."""

    def __init__(self, operator: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.operator = operator
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
        self.weight = nn.Parameter(torch.zeros(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.operator(self.first(x), self.weight)
        return self.last(self.operator(x, self.weight))


LINEAR = 5 * (8 * 8 + 8 * 4)

Operator = tuple[str, Callable[[Tensor, Tensor], Tensor]]


def test_an_operator_of_unknown_cost_is_listed_with_its_count_and_makes_the_total_partial(
    fused: Operator,
) -> None:
    name, operator = fused
    report = dscost.analyze(Fused(operator), input=(5, 8))
    assert report.coverage.unknown == (f"{name} (2×)",)
    assert report.totals.as_is.macs == LINEAR
    assert f"The total is partial: operators of unknown cost: {name} (2×)." in report.warnings
    bytes_of_the_operator = 4 * (5 * 8 + 8 * 8 + 5 * 8)
    (root,) = [layer for layer in report.layers if layer.name == ""]
    assert root.cost.traffic_bytes == 2 * bytes_of_the_operator


def test_an_operator_of_unknown_cost_fails_where_the_user_is_strict(fused: Operator) -> None:
    name, operator = fused
    with pytest.raises(InputError) as caught:
        dscost.analyze(Fused(operator), input=(5, 8), strict=True)
    assert str(caught.value) == f"Fused: operators of unknown cost: {name} (2×)"


def test_a_formula_of_the_users_own_makes_the_total_whole_also_after_it_was_partial(
    fused: Operator,
) -> None:
    name, operator = fused
    model = Fused(operator)
    assert dscost.analyze(model, input=(5, 8)).coverage.unknown
    seen: list[Any] = []

    @dscost.register_formula(name)
    def fused_macs(x: Shape, weight: Shape, *, out: Shape) -> int:
        seen.append((x, weight, out))
        return out[0] * weight[0] * weight[1]

    report = dscost.analyze(model, input=(5, 8), strict=True)
    assert report.coverage.unknown == ()
    assert report.totals.as_is.macs == LINEAR + 2 * 5 * 8 * 8
    assert seen == [((5, 8), (8, 8), (5, 8))] * 2
    assert not any("partial" in warning for warning in report.warnings)


class Alone(nn.Module):
    """One call of a custom operator."""

    def __init__(self, operator: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.operator, self.weight = operator, nn.Parameter(torch.zeros(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.operator(x, self.weight)


def test_one_decorator_is_all_that_every_command_needs_of_an_operator(fused: Operator) -> None:
    name, operator = fused

    @dscost.register_formula(name, op="linear", factors=(1,))
    def fused_macs(x: Shape, weight: Shape, *, out: Shape) -> int:
        return x[0] * weight[0] * weight[1]

    report = dscost.analyze(Alone(operator), input=(2, 8), strict=True)
    assert [(row.op, row.cost.macs) for row in report.layers] == [("linear", 2 * 8 * 4)]
    given = torch.zeros(2, 8, requires_grad=True)
    trained = dscost.analyze(Alone(operator), input=given, train=True)
    assert trained.totals.as_is.macs == 2 * (2 * 8 * 4)  # one gradient: the weight's
    found = dscost.verify(Alone(operator), input=(2, 8))
    assert [one.reason for one in found.differences] == [
        f"FlopCounterMode has no formula for {name}"
    ]
    assert found.is_explained


def test_the_gradients_of_an_operator_may_have_a_formula_of_their_own(fused: Operator) -> None:
    name, operator = fused
    seen = []

    def gradients(macs: int, needing: Sequence[bool]) -> int:
        seen.append(tuple(needing))
        return 5 * macs

    dscost.register_formula(name, gradients=gradients)(lambda x, weight, *, out: 100)
    report = dscost.analyze(Alone(operator), input=(2, 8), train=True)
    assert report.totals.as_is.macs == 100 + 500
    assert seen == [(False, True)]


def test_a_word_that_no_report_has_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        register_formula("test_rules::right", op="conv")
    assert str(caught.value).startswith("unknown operation 'conv'")


def test_a_formula_that_says_nothing_but_zero_is_an_answer(fused: Operator) -> None:
    name, operator = fused
    dscost.register_formula(name)(lambda x, weight, *, out: 0)
    report = dscost.analyze(Fused(operator), input=(5, 8), strict=True)
    assert report.totals.as_is.macs == LINEAR


def _tensordot(a: Tensor, b: Tensor) -> Tensor:
    return torch.tensordot(a, b, dims=1)


@pytest.mark.parametrize(
    ("operator", "functional", "shapes", "expected"),
    [
        pytest.param(
            "aten::addbmm", torch.addbmm, [(4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6, id="addbmm"
        ),
        pytest.param(
            "aten::linear", nn.functional.linear, [(4, 5), (6, 5)], 4 * 5 * 6, id="linear"
        ),
        pytest.param(
            "aten::conv2d", torch.conv2d, [(1, 3, 4, 4), (2, 3, 1, 1)], 16 * 6, id="conv2d"
        ),
        pytest.param("aten::relu", torch.relu, [(1, 3)], 0, id="relu"),
        pytest.param(
            "aten::tensordot", _tensordot, [(3, 4), (4, 5)], 3 * 4 * 5, id="one that was decomposed"
        ),
    ],
)
def test_a_formula_of_the_users_own_replaces_ours(
    operator: str, functional: Callable[..., Tensor], shapes: list[Shape], expected: int
) -> None:
    class Model(nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return functional(*tensors)

    model = Model()
    assert dscost.analyze(model, input=shapes).totals.as_is.macs == expected
    ours = FORMULAS.get(operator)
    try:
        dscost.register_formula(operator)(lambda *arguments, out, **named: 7)
        assert dscost.analyze(model, input=shapes).totals.as_is.macs == 7
    finally:
        FORMULAS.pop(operator)
        if ours is not None:
            FORMULAS[operator] = ours


@pytest.mark.parametrize(
    ("equation", "opt"),
    [
        *((one, True) for one in ("ij,jk->ik", "bqd,bkd->bqk", "ij,ij->", "ijl,jk->kj", "i,j->ij")),
        ("io,ok->ik", True),
        ("ij,jk,kl->il", False),
        ("il,jl,kl->ijk", False),
    ],
)
def test_an_equation_of_onnx_costs_what_it_does_in_torch(
    equation: str, opt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dscost.graphs.rules.products import einsum_macs

    monkeypatch.setattr(torch.backends.opt_einsum, "enabled", opt)
    sizes = {"b": 2, "q": 3, "k": 5, "d": 7, "i": 2, "j": 3, "l": 4, "o": 1}
    left, _, right = equation.partition("->")
    shapes = [tuple(sizes[label] for label in term) for term in left.split(",")]

    class Sums(nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return torch.einsum(equation, *tensors)

    out = tuple(sizes[label] for label in right)
    traced = dscost.analyze(Sums(), input=tuple(shapes)).totals.as_is.macs
    assert einsum_macs(*shapes, out=out, equation=equation) == traced
