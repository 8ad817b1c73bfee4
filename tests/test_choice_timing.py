import pytest
from torch import nn

from dscost.analysis.choice_timing import (
    AS_IS,
    Seconds,
    Timeable,
    _completed,
    _in_order,
    _lacks,
    _paired,
    time_both,
    time_choices,
)
from dscost.analysis.whole_models import model_of_torch
from dscost.devices.roofline import Ceilings, Rate
from dscost.errors import UnavailableError
from dscost.layers.convolution import conv2d
from dscost.layers.orders import Form, Order
from dscost.reports.figures import Cost
from dscost.timing import Setting, TimingOptions
from dscost.timing.samples import Block, Measurement, Quartet, Round
from dscost.tracing import arguments_of


def ranks(most: int, order: Order = "depthwise-first") -> tuple[Form, ...]:
    return tuple(Form(rank, order) for rank in range(1, most + 1))


SMALL = Timeable("small", conv2d(32, 32, 3, padding=1), (1, 32, 8, 8), ranks(4))
LARGE = Timeable("large", conv2d(64, 64, 3, padding=1), (1, 64, 16, 16), ranks(6))
CHEAP = Cost(0, 10, 0, 0, 0, 0)
CEILINGS = Ceilings("cpu", "a processor", "float32", 1, flops_per_s=1e9, bytes_per_s=1e12)


def test_every_layer_is_timed_at_rank_1_before_any_is_at_another_the_heaviest_first() -> None:
    order = [(one.name, form.rank) for one, form in _in_order([SMALL, LARGE], Setting())]
    assert order[:6] == [
        ("large", 1),
        ("small", 1),
        ("large", 2),
        ("small", 2),
        ("large", 6),
        ("small", 4),
    ]
    assert sorted(order) == sorted(
        [(one.name, form.rank) for one in (SMALL, LARGE) for form in one.forms]
    )


def test_both_orders_are_timed_in_turn_rank_by_rank() -> None:
    both = SMALL._replace(forms=(*ranks(3), *ranks(4, "pointwise-first")))
    order = [form.text for _, form in _in_order([both], Setting())]
    assert order[:6] == [
        "1",
        "1 pointwise-first",
        "2",
        "2 pointwise-first",
        "3",
        "4 pointwise-first",
    ]
    assert set(order) == {form.text for form in both.forms}


def test_every_order_has_a_line_of_its_own() -> None:
    other = "pointwise-first"
    both = SMALL._replace(forms=(*ranks(4), *ranks(4, other)))
    measured = {
        AS_IS: Seconds(9.0),
        Form(1): Seconds(1.0),
        Form(2): Seconds(2.0),
        Form(1, other): Seconds(3.0),
        Form(2, other): Seconds(7.0),
    }
    found = _completed(both, measured, None, Setting())
    assert [found[form].seconds for form in ranks(4)[2:]] == [3.0, 4.0]
    assert [found[form].seconds for form in ranks(4, other)[2:]] == [11.0, 15.0]


def test_one_order_corrects_the_prediction_of_the_other_where_that_was_not_timed() -> None:
    other = "pointwise-first"
    strided = SMALL._replace(
        conv=conv2d(32, 32, 3, stride=2, padding=1), forms=(Form(1), Form(2), Form(1, other))
    )
    measured = {AS_IS: Seconds(1.0), Form(1): Seconds(0.5), Form(2): Seconds(0.9)}
    found = _completed(strided, measured, CEILINGS, Setting())
    depthwise, pointwise = 16 * 32 * (9 + 32), 64 * 32 * 32 + 16 * 32 * 9
    assert found[Form(1, other)].seconds == pytest.approx(0.5 * pointwise / depthwise)
    assert found[Form(1, other)].is_predicted
    assert _lacks([strided], {strided.key: measured})
    known = {**measured, Form(1, other): Seconds(2.0)}
    assert not _lacks([strided], {strided.key: known})


def test_ranks_that_were_not_timed_lie_on_the_line_through_their_neighbours() -> None:
    measured = {
        AS_IS: Seconds(9.0),
        Form(1): Seconds(1.0),
        Form(2): Seconds(4.0),
        Form(6): Seconds(8.0),
    }
    found = _completed(LARGE, measured, None, Setting())
    assert {form: one.seconds for form, one in found.items() if one.is_predicted} == {
        Form(3): 5.0,
        Form(4): 6.0,
        Form(5): 7.0,
    }
    assert {form: one for form, one in found.items() if not one.is_predicted} == measured


def test_beyond_the_timed_ranks_the_line_goes_on() -> None:
    found = _completed(
        LARGE, {AS_IS: Seconds(9.0), Form(1): Seconds(1.0), Form(2): Seconds(3.0)}, None, Setting()
    )
    assert [found[Form(rank)].seconds for rank in (3, 4, 5, 6)] == [5.0, 7.0, 9.0, 11.0]


def test_what_was_not_timed_at_all_is_predicted_from_the_ceilings() -> None:
    found = _completed(SMALL, {}, CEILINGS, Setting())
    assert all(one.is_predicted for one in found.values())
    assert found[AS_IS].seconds == pytest.approx(2 * 32 * 32 * 9 * 64 / 1e9)  # bound by arithmetic
    assert (
        found[Form(2)].seconds
        == pytest.approx(2 * found[Form(1)].seconds)
        == pytest.approx(4 * 32 * (9 + 32) * 64 / 1e9)
    )


def test_one_timed_rank_corrects_the_prediction_of_the_others() -> None:
    found = _completed(SMALL, {AS_IS: Seconds(1.0), Form(1): Seconds(0.5)}, CEILINGS, Setting())
    assert [found[Form(rank)].seconds for rank in (2, 3, 4)] == pytest.approx([1.0, 1.5, 2.0])


def test_without_ceilings_macs_take_as_long_as_in_the_whole_model() -> None:
    found = _completed(SMALL, {}, None, Setting(), 1e-9)
    assert found[AS_IS].seconds == pytest.approx(1e-9 * 32 * 32 * 9 * 64)
    assert found[Form(2)].seconds == pytest.approx(1e-9 * 2 * 32 * (9 + 32) * 64)
    assert all(one.is_predicted for one in found.values())
    # and one timed rank tells of the others
    found = _completed(SMALL, {AS_IS: Seconds(1.0), Form(1): Seconds(0.5)}, None, Setting(), 1e-9)
    assert [found[Form(rank)].seconds for rank in (2, 3, 4)] == pytest.approx([1.0, 1.5, 2.0])


def test_calibrated_speeds_are_of_torch_alone() -> None:
    calibrated = CEILINGS._replace(rates={"dense:contiguous": Rate(t0_s=1.0)})
    for runtime, seconds in (("torch", 1.0), ("onnxruntime", 2 * 32 * 32 * 9 * 64 / 1e9)):
        found = _completed(SMALL, {}, calibrated, Setting(runtime=runtime))
        assert found[AS_IS].seconds == pytest.approx(seconds)


def test_nothing_is_said_of_a_layer_of_which_nothing_is_known() -> None:
    assert _completed(SMALL, {}, None, Setting()) == {}


def _comparison(first_s: float, second_s: float) -> Measurement:
    first, second = (
        Block(seconds, switches=0, faults=0.0, disturbed=False) for seconds in (first_s, second_s)
    )
    return Measurement([Round.of([Quartet((first, first), (second, second))] * 4)] * 4)


def test_a_rank_is_as_much_faster_as_by_turns_though_the_machine_was_slower_then() -> None:
    # twice as fast at rank 1; half as fast at rank 2, on a machine that had become ten times slower
    quick = _comparison(first_s=2.0, second_s=1.0)
    slow = _comparison(first_s=20.0, second_s=40.0)
    times = _paired({Form(1): quick, Form(2): slow})
    assert times[AS_IS].seconds == pytest.approx(11.0)  # the median of both
    assert times[Form(1)].seconds == pytest.approx(times[AS_IS].seconds / 2)
    assert times[Form(2)].seconds == pytest.approx(times[AS_IS].seconds * 2)


def test_a_model_and_its_layers_are_timed() -> None:
    module = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()).train()
    found = time_choices(
        model_of_torch(module, arguments_of(SMALL.shape), CHEAP, "float32"),
        [SMALL._replace(forms=(*ranks(2), *ranks(1, "pointwise-first")))],
        TimingOptions(budget_s=6.0, threads=1),
    )
    times = found.of[SMALL.key]
    assert set(times) == {AS_IS, *ranks(2), *ranks(1, "pointwise-first")}
    assert found.whole_s > 0
    assert all(one.seconds > 0 for one in times.values())
    assert found.environment.threads == 1
    assert module.training  # left as it is
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_model_that_does_not_fit_in_the_time_says_so() -> None:
    with pytest.raises(
        UnavailableError,
        match=r"a goal of latency needs .* too large for 10.0 ms \(--time-budget\)",
    ):
        time_choices(
            model_of_torch(nn.ReLU(), arguments_of((1, 3)), Cost(0, 10**15, 0, 0, 0, 0), "float32"),
            [],
            TimingOptions(budget_s=0.01),
        )


def test_two_models_are_timed_by_turns_and_left_as_they_are() -> None:
    modules = nn.Conv2d(64, 64, 3), nn.Conv2d(64, 1, 1)
    given = arguments_of((1, 64, 32, 32))
    first, second = (model_of_torch(one, given, CHEAP, "float32") for one in modules)
    found = time_both((first, second), TimingOptions(budget_s=4.0, threads=1, clock="cpu"))
    assert found.before_s > 0
    assert found.environment.threads == 1
    assert found.speedup.median > 2  # 576 times the arithmetic
    assert found.by_cpu is not None
    before_s, speedup = found.by_cpu
    assert before_s > 0
    assert speedup.median > 2
    assert all(parameter.requires_grad for module in modules for parameter in module.parameters())
