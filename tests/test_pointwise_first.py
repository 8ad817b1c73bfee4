"""Layers whose 1×1 runs first: what they cost, which order is best, and what of it is told."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from program import run
from properties import dear_law
from test_converting import CONVS, off, same_with_even_kernel, values
from test_missed_goals import A_PROCESSOR
from torch import nn

import dscost
from dscost.analysis import Request
from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds
from dscost.converting import layer_times
from dscost.converting.convert import convert_target
from dscost.converting.deciding import at_rank
from dscost.converting.decomposing import Decomposition, max_rank
from dscost.converting.loading import Subject
from dscost.converting.sites import Site
from dscost.converting.stand_ins import Notes, staged
from dscost.converting.surveying import survey
from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.layers.convolution import conv2d
from dscost.layers.orders import ORDERS, Form, Order
from dscost.nn import BlueprintSeparableConv2d
from dscost.schemas import schema
from dscost.tracing import arguments_of, trace

FIRST, LAST = ORDERS


def blueprint(conv: nn.Conv2d, rank: int = 1) -> nn.Conv2d:
    """Give a convolution a kernel that is pointwise-first of a rank."""
    n, m, kh, kw = conv.weight.shape
    scales, prints = values(n, m, rank, seed=1), values(n, rank, kh * kw, seed=2)
    conv.weight = nn.Parameter((scales @ prints).reshape(n, m, kh, kw).to(conv.weight.dtype))
    return conv


def separable(conv: nn.Conv2d) -> nn.Conv2d:
    """Give a convolution a kernel that is depthwise-first of rank 1."""
    n, m, kh, kw = conv.weight.shape
    kernel = values(n, m, 1, 1, seed=3) * values(1, m, kh, kw, seed=4)
    conv.weight = nn.Parameter(kernel.to(conv.weight.dtype))
    return conv


# -- costs


def test_the_stages_are_those_of_the_formula() -> None:
    """The 1×1 at the size of the input, the kernel at that of the output."""
    spec = conv2d(8, 12, 3, stride=2, padding=1, groups=2, bias=True)
    (first, pointwise), (last, depthwise) = Form(3, LAST).stages(spec)
    assert (first, last) == ("pointwise", "depthwise")
    assert pointwise == conv2d(8, 12 * 3, 1, groups=2)
    assert depthwise == conv2d(12 * 3, 12, 3, stride=2, padding=1, groups=12, bias=True)
    assert Form(3).stages(spec)[0][0] == "depthwise"
    for wrong, spec in ((1, conv2d(8, 8, 1)), (0, conv2d(8, 8, 3))):
        with pytest.raises(SpecError):
            Form(wrong, LAST).stages(spec)


def test_with_a_stride_the_1x1_costs_as_much_more() -> None:
    conv = nn.Conv2d(32, 48, 3, stride=2, padding=1)
    (layer,) = dscost.conversion(conv, (1, 32, 16, 16), rank=2, order=LAST).layers
    assert (layer.rank, layer.order) == (2, LAST)
    assert layer.params_after == 48 * 2 * 32 + 48 * 2 * 9 + 48
    assert layer.after is not None
    assert layer.after.macs == 16 * 16 * 48 * 2 * 32 + 8 * 8 * 48 * 2 * 9
    (other,) = dscost.conversion(conv, (1, 32, 16, 16), rank=2).layers
    assert other.after is not None
    assert other.after.macs == 8 * 8 * (32 * 2 * 9 + 48 * 32 * 2)


@same_with_even_kernel
@pytest.mark.parametrize(("make", "shape"), CONVS.values(), ids=CONVS)
@pytest.mark.parametrize("rank", [1, 3])
def test_what_is_counted_is_what_runs(
    make: Callable[[], nn.Module], shape: tuple[int, ...], rank: int
) -> None:
    """Whatever pads before the operator: the 1×1 runs before it, unless the model itself pads first."""
    made = dscost.conversion(make().eval(), shape, rank=rank, min_channels=1, order=LAST)
    (layer,) = made.layers
    counted = dscost.analyze(made.module, input=shape).totals.as_is
    assert layer.after is not None
    assert (layer.params_after, layer.after.macs) == (counted.params, counted.macs)


# -- what it becomes


def test_a_blueprint_convolution_takes_its_place() -> None:
    old = nn.Conv2d(8, 12, (3, 5), (2, 1), (1, 2), (1, 2), groups=2, padding_mode="reflect")
    new = dscost.convert(old, rank=2, min_channels=1, order=LAST)
    assert isinstance(new, BlueprintSeparableConv2d)
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    for name in (*names, "groups", "padding_mode"):
        assert getattr(new, name) == getattr(old, name)
    first, last = new.stages
    assert (first.groups, first.bias, last.groups) == (2, None, 12)
    assert (first.weight.shape, last.weight.shape) == ((24, 4, 1, 1), (12, 2, 3, 5))
    assert torch.equal(last.bias, old.bias)
    assert torch.equal(new.bias, old.bias)
    error = (old.weight - new.weight).norm() / old.weight.norm()
    expected = Decomposition(old.weight, 2, order=LAST).errors[1]
    assert error.item() == pytest.approx(expected, rel=1e-5)


def test_layers_that_share_their_weights_share_them_again() -> None:
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3) for _ in range(3)))
    model[1].weight = model[2].weight = model[0].weight
    new = dscost.convert(model, plan={"0": "2 pointwise-first", "1": "2 pointwise-first", "2": 2})
    for mine, other in zip(new[0].stages, new[1].stages, strict=True):
        assert mine.weight is other.weight
    assert new[2].stages[0].weight is not new[1].stages[1].weight
    assert sum(one.numel() for one in new.parameters()) == 8 * 2 * (8 + 9) * 2 + 3 * 8


def test_weights_that_are_drawn_keep_the_scale() -> None:
    torch.manual_seed(0)
    new = dscost.convert(nn.Conv2d(64, 96, 3), method="random", rank=2, order=LAST)
    first, last = new.stages
    assert first.weight.std().item() == pytest.approx((1 / 64) ** 0.5, rel=0.05)
    assert last.weight.std().item() == pytest.approx((2 / (2 * 9)) ** 0.5, rel=0.1)


def test_what_layers_see_changes_nothing_for_now() -> None:
    conv = nn.Conv2d(8, 12, 3).double()
    seen = dscost.conversion(conv, values(2, 8, 9, 9), min_channels=1, order=LAST)
    (layer,) = seen.layers
    assert layer.error_of == "kernel"
    plain = dscost.convert(conv, min_channels=1, order=LAST)
    assert torch.equal(plain.weight, seen.module.weight)


@dear_law
@given(
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(2, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(2, 3)),
    stride=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    order=st.sampled_from(ORDERS),
    rank=st.integers(1, 9),
)
def test_the_error_is_that_of_the_kernel_and_none_at_full_rank(
    groups: int,
    channels: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    mode: str,
    order: Order,
    rank: int,
) -> None:
    m, n = (groups * one for one in channels)
    if groups == m:  # it is depthwise already
        m *= 2
    conv = nn.Conv2d(
        m, n, kernel, stride, (0, 1), groups=groups, padding_mode=mode, dtype=torch.float64
    )
    made = dscost.conversion(conv, rank=rank, min_channels=1, order=order)
    (layer,), new = made.layers, made.module
    full = max_rank(conv.weight.shape, groups, order)
    assert layer.rank == min(rank, full)
    error = ((conv.weight - new.weight).norm() / conv.weight.norm()).item()
    assert layer.error == pytest.approx(error, abs=1e-7)
    if rank >= full:
        assert layer.error == 0
        assert off(conv, new, values(2, m, 9, 8)) < 1e-10


def test_what_stands_in_before_is_of_the_order_that_was_decided() -> None:
    model = nn.Sequential(nn.Conv2d(8, 12, 3)).double()
    (site,) = survey(model, min_channels=1)
    decided = site.decided({"0": "2 pointwise-first"})
    copy = staged(model, {"0": decided}, Notes(), to_run=True)
    assert issubclass(type(copy[0]), BlueprintSeparableConv2d)
    assert copy[0].depth_multiplier == 2
    assert off(model, copy, values(1, 8, 9, 9)) == 0


# -- the best of both


def test_best_is_the_order_that_a_kernel_is_of() -> None:
    model = nn.Sequential(
        blueprint(nn.Conv2d(8, 12, 3)), separable(nn.Conv2d(12, 8, 3)), nn.Conv2d(8, 8, 1)
    ).double()
    made = dscost.conversion(model, min_channels=1, order="best")
    assert [layer.order for layer in made.layers] == [LAST, FIRST, None]
    assert [layer.error for layer in made.layers[:2]] == pytest.approx([0, 0], abs=1e-7)
    assert off(model, made.module, values(1, 8, 9, 9)) < 1e-6
    for order, other in ((FIRST, 0), (LAST, 1)):
        alone = dscost.conversion(model, min_channels=1, order=order).layers
        assert alone[other].error > 0.1


def test_of_equal_errors_fewer_macs_are_better_then_depthwise_first() -> None:
    def forms(conv: nn.Conv2d, rank: int) -> Form:
        traced = trace(conv, arguments_of((1, conv.in_channels, 9, 9)))
        (site,) = survey(conv, min_channels=1, traced=traced)
        return site.best(rank, ORDERS)

    # both are exact at full rank: 9 · (16·9 + 32·16) and 9 · (32·16 + 32·9) weights, the other way about 9 of each
    assert forms(nn.Conv2d(16, 32, 3, padding=1), 9) == Form(9)
    assert forms(nn.Conv2d(32, 16, 3, padding=1), 9) == Form(9, LAST)
    assert forms(nn.Conv2d(32, 16, 3, stride=2, padding=1), 9) == Form(9)
    assert forms(nn.Conv2d(16, 16, 3, padding=1), 9) == Form(9)
    # each is capped at its own full rank: min(9, 4) and min(9, 16)
    assert forms(nn.Conv2d(16, 4, 3, padding=1), 99) == Form(4)
    assert forms(nn.Conv2d(4, 16, 3, padding=1), 99) == Form(4, LAST)


def test_a_goal_takes_the_order_of_less_error() -> None:
    model = nn.Sequential(blueprint(nn.Conv2d(8, 12, 3)), separable(nn.Conv2d(12, 8, 3))).double()
    given: dict[str, Any] = {"input": (1, 8, 12, 12), "min_channels": 1}
    plan = dscost.plan(model, "macs=0.4x", order="best", **given)
    assert plan.orders == {"0": LAST, "1": FIRST}
    assert plan.layers == {"0": f"{plan.ranks['0']} pointwise-first", "1": plan.ranks["1"]}
    outcome = convert_target(
        model, Request((1, 8, 12, 12)), goal="macs=0.4x", order="best", min_channels=1
    ).converted.outcome
    assert outcome.is_met
    assert outcome.error < 1e-7
    assert outcome.plan == plan.layers
    apart = [
        convert_target(model, Request((1, 8, 12, 12)), goal="macs=0.4x", order=one, min_channels=1)
        for one in ORDERS
    ]
    assert min(one.converted.outcome.error for one in apart) > 0.1
    assert set(apart[1].converted.outcome.plan.values()) <= {
        "keep",
        *(Form(rank, LAST).text for rank in range(1, 10)),
    }


def test_what_has_the_same_weights_at_other_strides_has_the_options_of_all() -> None:
    """With a stride the 1×1 may cost more than the layer, where it costs less without."""
    one, two = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, stride=2, padding=1)
    two.weight = one.weight
    plan = dscost.plan(nn.Sequential(one, two), "macs=0.9x", order=LAST, input=(1, 32, 16, 16))
    assert len(set(plan.layers.values())) == 1


def test_a_rank_above_the_largest_of_its_order_means_that_and_is_told() -> None:
    conv = nn.Conv2d(8, 12, 3)
    plan = {"": "99 pointwise-first"}
    made = convert_target(conv, Request((1, 8, 9, 9)), plan=plan, min_channels=None)
    outcome = made.converted.outcome
    assert outcome.plan == {"": "8 pointwise-first"}
    assert "Rank 99 is more than the full rank of 1 layer: it has that, 8." in outcome.notes
    assert isinstance(made.module, BlueprintSeparableConv2d)
    assert made.module.depth_multiplier == 8


def test_a_goal_of_latency_weighs_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one order runs fast and the other does not, it is that which is taken, whatever its error."""
    slow: dict[Order, float] = {}

    def made_up(subject: Subject, sites: Sequence[Site], orders: Sequence[Order], *_: Any) -> Any:
        of: dict[Any, Any] = {}
        for site in sites:
            forms = [form for order in orders for form in site.forms(order)]
            seconds = {form: Seconds(1e-9 * slow[form.order] * site.macs(form)) for form in forms}
            as_is = {AS_IS: Seconds(1e-9 * site.macs())}
            of |= {(site.conv, run.batched_input_shape): {**as_is, **seconds} for run in site.runs}
        return ChoiceTimes(1e-9 * subject.cost.macs, of, A_PROCESSOR, ())

    monkeypatch.setattr(layer_times, "measured", made_up)
    model, given = nn.Conv2d(32, 32, 3, padding=1), {"input": (1, 32, 8, 8)}
    for slow_one, fast in ((FIRST, LAST), (LAST, FIRST)):
        slow |= {slow_one: 100.0, fast: 1.0}
        plan = dscost.plan(model, "latency_s=0.5x", order="best", **given)
        assert plan.orders == {"": fast}
        missed = dscost.plan(model, "latency_s=0.5x", order=slow_one, **given)
        assert missed.missed is not None


def test_of_an_onnx_file_the_best_order_is_taken_too(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    conv = blueprint(nn.Conv2d(8, 12, 3, bias=False))
    kernel = onnx.numpy_helper.from_array(conv.weight.detach().numpy(), "w")
    x, y = (onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in
            (("x", (1, 8, 9, 9)), ("y", (1, 12, 4, 4))))  # fmt: skip
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="c", strides=[2, 2])
    graph = onnx.helper.make_graph([node], "net", [x], [y], [kernel])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    (layer,) = dscost.conversion(path, min_channels=1, order="best").layers
    assert (layer.rank, layer.order) == (1, LAST)
    assert layer.error == pytest.approx(0, abs=1e-6)
    plan = dscost.plan(path, "error=0.01", min_channels=1, order="best")
    assert plan.orders == {"c": LAST}
    after = convert_target(path, plan=plan).converted.outcome
    assert after.after.macs == 81 * 8 * 12 + 16 * 12 * 9


def test_at_a_rank_every_layer_has_its_best() -> None:
    model = nn.Sequential(blueprint(nn.Conv2d(8, 12, 3)), separable(nn.Conv2d(12, 8, 3)))
    sites = survey(model, min_channels=1)
    assert at_rank(sites, 1, ORDERS).layers == {"0": "1 pointwise-first", "1": 1}
    assert at_rank(sites, 5, (LAST,)).layers == dict.fromkeys("01", "5 pointwise-first")
    assert at_rank(sites, 5).layers == {"0": 5, "1": 5}


# -- what is told


NETWORK = "input: [3, 16, 16]\nlayers:\n  - {conv: 3, out_channels: 32, padding: 1}\n" + (
    "  - {conv: 3, out_channels: 32, padding: 1}\n" * 2
)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NETWORK)
    return tmp_path


def test_a_conversion_tells_the_order_of_every_layer(network: Path) -> None:
    (network / "plan.yaml").write_text(
        "version: 1\nlayers: {conv2: 2 pointwise-first, conv3: 2 depthwise-first}\n"
    )
    done = run("convert", "net.yaml", "--plan", "plan.yaml", "--json", "--save-plan", "again.yaml")
    document = json.loads(done.stdout)
    Draft7Validator(schema("conversion")).validate(document)
    found = document["conversion"]
    assert [(one["rank"], one["order"]) for one in found["layers"]] == [
        (None, None),
        (2, LAST),
        (2, FIRST),
    ]
    assert found["plan"] == {"conv2": "2 pointwise-first", "conv3": 2}
    written = (network / "again.yaml").read_text()
    assert "  conv2: 2 pointwise-first  # error" in written
    assert "  conv3: 2  # error" in written
    done = run("convert", "net.yaml", "--plan", "again.yaml", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["rank"], row["order"]) for row in rows] == [("", ""), ("2", LAST), ("2", FIRST)]
    text = run("convert", "net.yaml", "--plan", "again.yaml").stdout
    assert " 2 pw-first " in text
    assert "pw-first = pointwise-first: the 1×1 convolution runs before the K×K one" in text
    assert "pw-first" not in run("convert", "net.yaml").stdout


def test_from_python_the_order_is_told_as_well() -> None:
    conv = nn.Conv2d(32, 32, 3)
    made = dscost.conversion(nn.Sequential(conv, nn.Conv2d(32, 32, 1)), rank=2, order=LAST)
    assert [layer["order"] for layer in made.to_dict()["layers"]] == [LAST, None]
    assert " 2 pw-first " in str(made)
    assert "pw-first = pointwise-first" in str(made)
    assert "pw-first" not in str(dscost.conversion(conv))
    plan = dscost.plan(conv, "macs=0.5x", input=(1, 32, 8, 8), order=LAST)
    (rank,) = plan.ranks.values()
    assert f"  {rank} pointwise-first" in str(plan)


def test_what_cannot_be_meant_is_one_line(network: Path) -> None:
    for options, message in (
        (["--order", "pointwise_first"], "unknown order 'pointwise_first' (did you mean 'pointwise-first'?)"),
        (["--order", "best", "--plan", "p.yaml"],
         "--order has no meaning with --plan: the plan says the order of each layer"),
        (["--order", "best", "--fastest"],
         "--order best has no meaning with --fastest: what it measures is depthwise-first"),
    ):  # fmt: skip
        (network / "p.yaml").write_text("version: 1\nlayers: {}\n")
        done = run("convert", "net.yaml", *options)
        assert (done.returncode, done.stderr.strip()) == (2, f"dscost: {message}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": "bset"}, "unknown order 'bset' (did you mean 'best'?)"),
        ({"order": LAST, "fastest": True},
         "fastest measures what is depthwise-first, so order='pointwise-first' cannot be given with it"),
        ({"order": "best", "plan": {}}, "a plan says which layers and ranks, so order cannot be given with it"),
        ({"order": "best", "method": "random"},
         "order='best' goes by the errors of weights: method='random' has none"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        dscost.convert(nn.Conv2d(32, 32, 3), **given)
    assert str(caught.value) == message


def test_a_goal_takes_no_other_order_either() -> None:
    with pytest.raises(UnknownNameError):
        dscost.plan(nn.Conv2d(32, 32, 3), "macs=0.5x", order="first", input=(1, 32, 8, 8))
