from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dscost.devices.roofline import Ceilings, Rate, bound_of, operator_class, predict
from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.reports.figures import Cost
from dscost.reports.records import Stage

P, B = 100e9, 20e9  # ridge 5 FLOP/byte

DEVICE = Ceilings("cpu", "a processor", "float32", 1, flops_per_s=P, bytes_per_s=B)
CALIBRATED = DEVICE._replace(
    rates={
        "dense:contiguous": Rate(
            10e-6, flops_per_s=50e9, activation_bytes_per_s=10e9, weight_bytes_per_s=5e9
        ),
        "pointwise:contiguous": Rate(5e-6, flops_per_s=40e9),
        "depthwise:contiguous": Rate(20e-6, activation_bytes_per_s=4e9, least_channels=12.0),
    },
    usual_error=1.2,
)

sizes = st.integers(min_value=0, max_value=10**12)


def cost(macs: int, traffic_bytes: int) -> Cost:
    return Cost(0, macs, 0, traffic_bytes, 0, traffic_bytes)


def stage(
    channels: tuple[int, int] = (16, 32), kernel: int = 3, groups: int = 1, size: int = 8
) -> Stage:
    conv = conv2d(*channels, kernel, padding=kernel // 2, groups=groups)
    shape = (1, channels[0], size, size)
    output = conv.output_shape(shape)
    read, written, weights = (
        4 * count for count in (channels[0] * size**2, channels[1] * size**2, conv.params)
    )
    whole = Cost(
        conv.params, conv.macs([shape], output), weights, read, written, read + weights + written
    )
    return Stage("stage", conv, shape, output, whole)


@pytest.mark.parametrize(
    ("macs", "traffic", "roofline_s", "bound", "balanced"),
    [
        (1_000_000, 4_000_000, 4e6 / B, "memory", False),  # 0.5 FLOP/byte
        (5_000_000, 4_000_000, 4e6 / B, "memory", True),  # 2.5: half of the ridge
        (20_000_000, 4_000_000, 40e6 / P, "compute", True),  # 10: twice the ridge
        (21_000_000, 4_000_000, 42e6 / P, "compute", False),
        (100, 0, 200 / P, "compute", False),
        (0, 0, 0.0, "memory", False),
    ],
)
def test_the_slower_of_arithmetic_and_memory_is_the_bound(
    macs: int, traffic: int, roofline_s: float, bound: str, balanced: bool
) -> None:
    found = bound_of(cost(macs, traffic), DEVICE)
    assert found.roofline_s == pytest.approx(roofline_s)
    assert (found.bound, found.balanced, found.predicted_s, found.usual_error) == (
        bound,
        balanced,
        None,
        None,
    )


@given(macs=sizes, traffic=sizes, more=sizes)
def test_more_work_never_takes_less_time(macs: int, traffic: int, more: int) -> None:
    least_s = bound_of(cost(macs, traffic), DEVICE).roofline_s
    assert bound_of(cost(macs + more, traffic), DEVICE).roofline_s >= least_s
    assert bound_of(cost(macs, traffic + more), DEVICE).roofline_s >= least_s


@given(channels=st.integers(1, 64), kernel=st.sampled_from([1, 3, 5]), size=st.integers(1, 32))
def test_a_chain_takes_as_long_as_its_stages_together(
    channels: int, kernel: int, size: int
) -> None:
    stages = [
        stage((channels, channels), kernel, groups=channels, size=size),
        stage((channels, 8), 1, size=size),
    ]
    whole = predict(stages, CALIBRATED)
    parts = [predict([one], CALIBRATED) for one in stages]
    assert whole.roofline_s == pytest.approx(sum(part.roofline_s for part in parts))
    assert whole.predicted_s == pytest.approx(sum(part.predicted_s or 0.0 for part in parts))
    assert whole.usual_error == 1.2


def test_a_chain_is_called_by_the_part_that_takes_more_of_its_time() -> None:
    depthwise, pointwise = stage((256, 256), 3, groups=256, size=14), stage((256, 256), 1, size=14)
    by_memory = depthwise.cost.traffic_bytes / B
    by_compute = pointwise.cost.flops / P
    assert by_compute > by_memory
    assert predict([depthwise, pointwise], DEVICE).bound == "compute"
    assert predict([depthwise] * 20 + [pointwise], DEVICE).bound == "memory"


def test_a_dense_convolution_pays_per_call_flop_and_byte() -> None:
    one = stage((16, 32), 3, size=8)
    flops, activations, weights = 2 * 64 * 32 * 16 * 9, 4 * 64 * (16 + 32), 4 * 32 * 16 * 9
    assert predict([one], CALIBRATED).predicted_s == pytest.approx(
        10e-6 + flops / 50e9 + activations / 10e9 + weights / 5e9
    )


def test_what_is_too_fast_to_be_seen_costs_nothing() -> None:
    one = stage((16, 32), 1, size=8)
    assert predict([one], CALIBRATED).predicted_s == pytest.approx(5e-6 + 2 * 64 * 32 * 16 / 40e9)


def test_few_channels_take_as_long_as_the_lanes_that_stay_empty() -> None:
    few, enough = (stage((m, m), 3, groups=m, size=64) for m in (3, 12))
    activations = 4 * 64 * 64 * 12 * 2
    assert predict([enough], CALIBRATED).predicted_s == pytest.approx(20e-6 + activations / 4e9)
    assert predict([few], CALIBRATED).predicted_s == pytest.approx(20e-6 + activations / 4e9)


def test_a_prediction_is_never_below_the_roofline() -> None:
    boastful = CALIBRATED._replace(rates={"dense:contiguous": Rate(0.0, flops_per_s=1e15)})
    found = predict([stage()], boastful)
    assert found.predicted_s == found.roofline_s


@pytest.mark.parametrize(
    ("one", "memory_format"),
    [
        (stage(), "channels_last"),  # not calibrated in that layout
        (stage((16, 32), 3, groups=4), "contiguous"),  # neither dense nor depthwise
        (
            stage()._replace(conv=ConvSpec(16, 32, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
            "contiguous",
        ),
    ],
    ids=["other layout", "grouped", "three dimensions"],
)
def test_what_was_not_calibrated_is_not_predicted(one: Stage, memory_format: str) -> None:
    found = predict([stage((8, 8), 3), one], CALIBRATED, memory_format=memory_format)
    assert found.predicted_s is None
    assert found.usual_error is None
    assert found.roofline_s > 0


def test_nothing_takes_no_time_and_has_no_prediction() -> None:
    found = predict([], CALIBRATED)
    assert (found.roofline_s, found.predicted_s) == (0.0, None)


@pytest.mark.parametrize(
    ("conv", "name"),
    [
        (conv2d(8, 16, 3), "dense"),
        (conv2d(8, 16, 3, groups=2), "dense"),
        (conv2d(8, 8, 3, groups=8), "depthwise"),
        (conv2d(8, 16, 3, groups=8), "depthwise"),
        (conv2d(8, 8, 1, groups=8), "depthwise"),
        (conv2d(8, 16, 1), "pointwise"),
        (conv2d(8, 16, 1, groups=2), "dense"),
        (conv2d(8, 16, 1, padding=1), "dense"),
        (conv2d(1, 16, 3), "dense"),
    ],
    ids=str,
)
def test_operators_fall_into_three_classes(conv: object, name: str) -> None:
    assert operator_class(conv) == name  # type: ignore[arg-type]


def test_a_depthwise_3x3_lies_under_the_memory_roof_of_a_ridge_above_2_25() -> None:
    # 9 multiply-accumulates per output value, 4 bytes in, 4 bytes out
    depthwise = cost(9 * 1000, 8 * 1000)
    assert depthwise.flops_per_byte == 2.25
    assert bound_of(depthwise, DEVICE._replace(bytes_per_s=P / 2.26)).bound == "memory"
    assert bound_of(depthwise, DEVICE._replace(bytes_per_s=P / 2.24)).bound == "compute"


# -- JSON

positive = st.floats(min_value=1e-9, max_value=1e18)
rates = st.builds(
    Rate,
    st.just(0.0) | positive,
    flops_per_s=st.none() | positive,
    activation_bytes_per_s=st.none() | positive,
    weight_bytes_per_s=st.none() | positive,
    least_channels=positive,
)
ceilings = st.builds(
    Ceilings,
    device=st.text(max_size=5),
    name=st.text(max_size=5),
    dtype=st.sampled_from(["float32", "int8"]),
    threads=st.none() | st.integers(1, 64),
    flops_per_s=positive,
    bytes_per_s=positive,
    curve=st.lists(st.tuples(st.integers(1, 10**9), positive), max_size=3).map(tuple),
    rates=st.dictionaries(st.text(max_size=9), rates, max_size=3),
    usual_error=st.none() | positive,
    measured_on=st.none() | st.just("2026-11-20"),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    source=st.none() | st.text(max_size=5),
)


@given(ceilings)
def test_ceilings_survive_json(one: Ceilings) -> None:
    import json

    values = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert values["ridge_flops_per_byte"] == one.ridge_flops_per_byte
    assert Ceilings.from_dict(values) == one


def test_what_a_later_version_adds_is_passed_over() -> None:
    values = CALIBRATED.to_dict()
    values["rates"]["dense:contiguous"]["later"] = 1
    assert Ceilings.from_dict({**values, "later": 1}) == CALIBRATED


@pytest.mark.parametrize(
    "change",
    [
        {"flops_per_s": 0},
        {"flops_per_s": -1.0},
        {"flops_per_s": nan},
        {"bytes_per_s": inf},
        {"bytes_per_s": "fast"},
        {"bytes_per_s": None},
        {"usual_error": 0},
        {"name": 5},
        {"device": None},
        {"source": 5},
        {"measured_on": 2026},
        {"threads": "one"},
        {"curve": [[1]]},
        {"curve": 5},
        {"rates": {"dense:contiguous": {"t0_s": -1.0}}},
        {"rates": {"dense:contiguous": {}}},
        {"rates": {"dense:contiguous": {"t0_s": 0.0, "flops_per_s": 0.0}}},
        {"rates": []},
        {"versions": None},
    ],
    ids=str,
)
def test_what_are_no_ceilings_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="not the peaks of a device"):
        Ceilings.from_dict({**CALIBRATED.to_dict(), **change})


@pytest.mark.parametrize("values", [None, [], "text", 5, {}], ids=str)
def test_what_is_not_even_a_mapping_is_refused(values: object) -> None:
    with pytest.raises(InputError, match="not the peaks of a device"):
        Ceilings.from_dict(values)


def test_the_ridge_is_the_peak_over_the_bandwidth() -> None:
    assert DEVICE.ridge_flops_per_byte == 5.0
