"""Rules of a convention, applied to what was seen of a model: its scope, its rules in order, its quantities."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dscost.conventions import (
    Convention,
    Rule,
    find_convention,
    functions_of,
    tally,
)
from dscost.conventions.quantities import QUANTITIES
from dscost.errors import InputError
from dscost.traces.calls import Call

HEAD = "title: Ours\ncounts: MACs\nmeans: All.\nsource: a book\n"


def convention(*rules: Rule, **settings: Any) -> Convention:
    return Convention("ours", "Ours", "MACs", "All.", ("a book",), rules, **settings)


def rule(name: str, called: str = "", kind: Any = "modules", **counts: int) -> Rule:
    return Rule(
        kind, (name,), {quantity: Fraction(times) for quantity, times in counts.items()}, called
    )


def call(name: str, given: Any = (2, 3, 4), result: Any = (2, 5, 4), **fields: Any) -> Call:
    inputs = given if given and isinstance(given[0], tuple) else (given,)
    return Call(
        fields.pop("kind", "modules"), name, fields.pop("path", "a"), inputs, result, **fields
    )


def counted(quantity: str, seen: Call) -> int | Fraction:
    return QUANTITIES[quantity](seen)


# -- which rule, and of what


def test_a_later_rule_replaces_an_earlier_one_of_its_name() -> None:
    ours = convention(rule("ReLU", inputs=1), rule("ReLU", outputs=1))
    assert tally(ours, [call("ReLU")]).total == 2 * 5 * 4


def test_a_name_counts_before_a_pattern_and_a_later_pattern_before_an_earlier() -> None:
    ours = convention(rule("Conv2d", inputs=1), rule("*", inputs=10), rule("*Conv*", inputs=100))
    seen = [call("Conv2d"), call("my.net.MyConv"), call("ReLU")]
    assert tally(ours, seen).total == (1 + 100 + 10) * 2 * 3 * 4


def test_a_pattern_is_held_against_a_class_and_not_against_its_module() -> None:
    ours = convention(rule("*Conv*", inputs=1))
    assert tally(ours, [call("ConvNets.blocks.Head")]).total == 0


def test_a_rule_is_of_one_kind_only() -> None:
    ours = convention(rule("torch.matmul", kind="functions", inputs=1))
    assert (
        tally(ours, [call("torch.matmul"), call("torch.matmul", kind="functions")]).total
        == 2 * 3 * 4
    )


@pytest.mark.parametrize(("nested", "total"), [("all", 24 + 24), ("hidden", 24), ("leaves", 24)])
def test_what_is_within_a_module_with_a_rule_counts_by_the_scope(nested: Any, total: int) -> None:
    seen = [
        call("Linear", path="a.b", inside=("Net", "Attention")),
        call("Attention", path="a", inside=("Net",), is_leaf=False),
    ]
    ours = convention(rule("Linear", inputs=1), rule("Attention", inputs=1), nested=nested)
    assert tally(ours, seen).total == total


def test_what_stands_in_two_places_is_met_twice_by_who_walks_the_tree() -> None:
    rules = (rule("ReLU", inputs=1), rule("torch.relu", kind="functions", inputs=1))
    seen = [call("ReLU", places=2), call("torch.relu", kind="functions", places=2)]
    assert tally(convention(*rules, nested="hidden"), seen).total == 2 * 24 + 24
    assert tally(convention(*rules, nested="leaves"), seen).total == 24 + 24
    assert tally(convention(*rules, nested="hidden", hooks_again=True), seen).total == 4 * 24 + 24


def test_modules_are_divided_by_the_batch_and_functions_are_not() -> None:
    rules = (rule("ReLU", inputs=1), rule("torch.relu", kind="functions", inputs=1))
    seen = [call("ReLU"), call("torch.relu", kind="functions")]
    assert tally(convention(*rules, per_sample=True), seen, batch=2).total == 24 // 2 + 24


def test_a_total_is_cut_to_a_whole_number_once() -> None:
    ours = convention(rule("ReLU", inputs=1), per_sample=True)
    assert tally(ours, [call("ReLU", (1, 1)), call("ReLU", (1, 2))], batch=3).total == 1


def test_a_tally_tells_layers_and_rules_apart() -> None:
    ours = convention(
        rule("ReLU", "act", inputs=1), rule("Tanh", inputs=0), rule("GELU", "more", inputs=2)
    )
    found = tally(
        ours, [call("ReLU"), call("GELU", path="b"), call("Tanh", path="c"), call("ReLU", path="b")]
    )
    assert found.by_layer == {"a": 24, "b": 48 + 24, "c": 0}
    assert [(one.called, amount) for one, amount in found.by_rule] == [("act", 48), ("more", 48)]


def test_a_variation_stands_before_the_rules_that_it_replaces() -> None:
    ours = convention(rule("ReLU", inputs=1), variations={"twice": (rule("ReLU", inputs=2),)})
    assert tally(ours.varied("twice"), [call("ReLU")]).total == 2 * 24


def test_functions_of_variations_are_looked_at_too() -> None:
    more = {"other": (rule("torch.mul", kind="functions", inputs=1),)}
    ours = convention(
        rule("torch.add", kind="functions", inputs=1), rule("ReLU", inputs=1), variations=more
    )
    assert functions_of([ours]) == {"torch.add", "torch.mul"}


@pytest.mark.parametrize(
    ("quantity", "seen", "said"),
    [
        (
            "multihead_attention",
            call("ReLU"),
            "ReLU has no num_heads, which a rule for it counts by",
        ),
        (
            "recurrent_by_gates",
            call("my.Cell", attributes={"hidden_size": 3, "input_size": 2}),
            "is not recurrent",
        ),
        ("matrix_product", call("torch.relu"), "torch.relu was given 1 tensors, a rule wants 2"),
        ("exponentials", call("Softmax"), "has no dim"),  # torch chooses then; thop fails
        ("upsampling_by_mode", call("Upsample"), "has no mode"),
        ("exponentials", call("Softmax", attributes={"dim": 7}), "does not fit it"),
        ("exponentials", call("my.Net", attributes={"dim": "all"}), "does not fit it"),
        ("convolution_by_output", call("my.Net", (3,)), "does not fit it"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_in_one_line(
    quantity: str, seen: Call, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        tally(convention(rule(seen.name, **{quantity: 1})), [seen])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# -- quantities, by hand

CONV = {"in_channels": 8, "out_channels": 16, "kernel_size": (3, 5), "groups": 4}
SHAPES = {"given": (2, 8, 9, 7), "result": (2, 16, 6, 5)}


@pytest.mark.parametrize(
    ("quantity", "seen", "expected"),
    {
        "bias where there is one": ("bias", call("Linear", parameters={"bias": (5,)}), 2 * 5 * 4),
        "bias where there is none": ("bias", call("Linear"), 0),
        "scaled": ("scaled", call("BatchNorm1d", parameters={"weight": (3,)}), 2 * 3 * 4),
        "by batch": (
            "by_batch",
            call("aten::batch_norm", attributes={"training": True}),
            2 * 3 * 4,
        ),
        "not by batch": ("by_batch", call("aten::batch_norm", attributes={"training": False}), 0),
        "conv": (
            "convolution_by_axes",
            call("Conv2d", **SHAPES, attributes=CONV),
            15 * 8 * 4 * 2 * 30,
        ),
        "transposed": (
            "transposed_by_axes",
            call("ConvTranspose2d", **SHAPES, attributes=CONV),
            15 * 32 * 2 * 63,
        ),
        "conv by output": (
            "convolution_by_output",
            call("Conv2d", **SHAPES, attributes=CONV),
            960 * 2 * 15,
        ),
        "deformable": (
            "deformable_convolution",
            call("D", ((2, 8, 9, 7), (2, 30, 6, 5)), (2, 16, 6, 5), attributes=CONV),
            15 * (8 * 4 + 24) * 2 * 30,
        ),
        "deformable with a mask": (
            "deformable_convolution",
            call("D", ((2, 8, 9, 7), (2, 30, 6, 5), (2, 15, 6, 5)), (2, 16, 6, 5), attributes=CONV),
            15 * (8 * 4 + 25) * 2 * 30,
        ),
        "matmul": ("matrix_product", call("m", ((7, 3), (6, 3, 5))), 7 * 3 * 5),
        "addmm": ("added_matrix_product", call("m", ((5,), (7, 3), (3, 5))), 7 * 3 * 5 + 5),
        "addmm of nothing": (
            "added_matrix_product",
            call("m", ((5,), (7, 3), (3, 5)), attributes={"beta": 0}),
            105,
        ),
        "einsum": ("rounded_sum_of_products", call("e", macs=123_456), (246_900 // 2)),
        "einsum of one": (
            "rounded_sum_of_products",
            call("e", (7, 8, 8), attributes={"equation": "bij->bi", "flops_by_numpy": 897.0}),
            448,
        ),
        "known einsum": (
            "rounded_sum_of_products",
            call("e", macs=123_456, attributes={"equation": "xyz, xyw -> xzw"}),
            123_456,
        ),
        "broadcast": ("broadcast_from_left", call("m", ((2, 3, 4), (3, 4))), 3 * 4 * 4),
        "broadcast of a number": ("broadcast_from_left", call("m"), 2 * 3 * 4),
        "interpolated to a size": (
            "interpolated",
            call("i", (2, 3, 4, 4), attributes={"1": (5, 6)}),
            2 * 3 * 30,
        ),
        "interpolated by tensors": (
            "interpolated",
            call("i", (2, 3, 4, 4), (2, 3, 8, 8)),
            2 * 3 * 64,
        ),
        "interpolated by scales": (
            "interpolated",
            call("i", (2, 3, 4, 4), attributes={"scale_factor": (2.5, 1.5)}),
            2 * 3 * 16 * 2 * 1,
        ),
        "bicubic": ("upsampling_by_mode", call("U", attributes={"mode": "bicubic"}), 40 * 259),
        "trilinear": ("upsampling_by_mode", call("U", attributes={"mode": "trilinear"}), 0),
        "mean windows": (
            "mean_windows",
            call("A", (1, 2, 7, 5), (1, 2, 3, 2)),
            int((7 / 3 * 2.5 + 1) * 12),
        ),
        "no mean windows": ("mean_windows", call("A", (1, 2, 7, 5), (1, 2, 0, 0)), 0),
        "softmax": (
            "exponentials",
            call("Softmax", (2, 3, 4), attributes={"dim": -1}),
            2 * 3 * (3 * 4 - 1),
        ),
        "parameters by step": (
            "other_parameters",
            call(
                "LSTM",
                parameters={"weight_ih": (8, 2), "bias_ih": (8,), "scale": (9,), "weight": (7,)},
            ),
            (16 + 8) * 2 * 5,
        ),
    }.values(),
)
def test_a_quantity_is_what_it_says(quantity: str, seen: Call, expected: int) -> None:
    assert counted(quantity, seen) == expected


def test_attention_adds_up() -> None:
    seen = call(
        "MultiheadAttention",
        ((2, 5, 8), (2, 7, 8), (2, 7, 8)),
        attributes={"num_heads": 2, "batch_first": True},
        parameters={"in_proj_bias": (24,)},
    )
    projected = (5 + 7 + 7) * (8 * 8 + 8)
    heads = 2 * (5 * 7 * 4 + 5 * 7 + 5 * 7 * 4)
    assert counted("multihead_attention", seen) == 2 * (5 * 8 + projected + heads + 5 * 8 * (8 + 1))


def test_attention_of_timm_leaves_its_projections_out() -> None:
    seen = call(
        "timm.layers.attention.Attention", (2, 5, 8), attributes={"num_heads": 2, "head_dim": 4}
    )
    assert counted("attention_of_timm", seen) == 2 * (5 * 8 + 2 * (25 * 4 + 25 + 25 * 4))


# -- files


@pytest.mark.parametrize("name", ["fvcore", "ptflops", "thop", "torchinfo"])
def test_a_peer_comes_with_what_it_gets_wrong_and_where_its_rules_stand(name: str) -> None:
    found = find_convention(name)
    assert found.source
    assert found.faults
    assert all(one.endswith(".") and one[0].isupper() for one in (found.means, *found.faults))


def test_a_file_of_a_user_counts_by_halves(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(
        f"{HEAD}rules:\n  - modules: ReLU\n    counts: {{inputs: 0.5}}\n", encoding="utf-8"
    )
    assert tally(find_convention(str(path)), [call("ReLU")]).total == 12
