"""Causes on made-up times and ceilings: every cause is decided by its figure, and by nothing else."""

from typing import Any

import pytest
from properties import timing_with

import dscost
from dscost.analysis.equal_macs import Beside
from dscost.analysis.explaining import causes_of
from dscost.devices.roofline import Ceilings, Rate
from dscost.layers.variants import SEPARABLE
from dscost.pages.causes import cause_sentence, cause_word, shared_cause
from dscost.pages.measuring_words import noise_line
from dscost.reports.records import Cause, Latency, Layer, Noise, Ran, RunNode, Speedup, Timing

CAUSES = (
    "memory_bound",
    "depthwise_kernel",
    "slow_depthwise",
    "slow_dense",
    "fast_dense",
    "fast_transform",
    "more_bytes",
    "few_channels",
    "backend",
    "overhead",
    "layout",
    "allocation",
)
NOISES = (
    "context_switches",
    "page_faults",
    "cpu_pressure",
    "load",
    "steal",
    "regimes",
    "more_than_macs",
    "over_roofline",
    "throttled",
)


def layer(in_channels: int = 64, out_channels: int = 64, size: int = 32, **given: Any) -> Layer:
    report = dscost.layer(
        in_channels=in_channels, out_channels=out_channels, kernel_size=3, input_size=size, **given
    )
    return report.layers[0]


def latency(seconds: float) -> Latency:
    return Latency(seconds, None, 0.0, seconds, seconds, seconds, samples=4)


def timing(
    standard_s: float = 2e-3,
    separable_s: float = 1e-3,
    *,
    speedup: float | None = None,
    stages: dict[str, float] | None = None,
    backends: dict[str, str] | None = None,
) -> Timing:
    """Times that fall short of what the MACs promise, whatever they are, unless a speedup is given."""
    ratio = speedup or standard_s / separable_s
    parts = {name: latency(seconds) for name, seconds in (stages or {}).items()}
    return timing_with(
        Speedup(ratio, (ratio, ratio)),
        as_is=latency(standard_s),
        standard=latency(standard_s),
        depthwise_separable=latency(separable_s),
        rest={"stages": parts, "backends": backends or {}},
    )


def ceilings(
    flops_per_s: float = 1e12, bytes_per_s: float = 1e11, rates: dict[str, Rate] | None = None
) -> Ceilings:
    return Ceilings("cpu", "made up", "float32", 1, flops_per_s, bytes_per_s, rates=rates or {})


def kinds(found: list[Cause]) -> list[str]:
    return [cause.kind for cause in found]


def only(found: list[Cause], kind: str) -> Cause | None:
    causes = [cause for cause in found if cause.kind == kind]
    assert len(causes) <= 1
    return causes[0] if causes else None


LAYER = layer()
# 64 → 64, 3×3 at 32×32: MACs of the depthwise stage, of the pointwise one, of the standard layer
DEPTHWISE, POINTWISE, STANDARD = 64 * 9 * 32 * 32, 64 * 64 * 32 * 32, 64 * 64 * 9 * 32 * 32
MAP = 64 * 32 * 32 * 4  # bytes of one activation
PROMISED = STANDARD / (DEPTHWISE + POINTWISE)


# -- the depthwise stage waits for memory, or its kernel is slow


DEPTHWISE_BYTES = 2 * MAP + 64 * 9 * 4
INTENSITY = 2 * DEPTHWISE / DEPTHWISE_BYTES  # 2.24 FLOP/byte


def of_depthwise(found: list[Cause]) -> Cause | None:
    """The one cause that speaks of the depthwise stage."""
    waits, slow = only(found, "memory_bound"), only(found, "depthwise_kernel")
    assert waits is None or slow is None
    return waits or slow


def moving_in(
    depthwise_s: float, ridge: float = 10.0, rates: dict[str, Rate] | None = None
) -> Ceilings:
    """A device whose memory moves the bytes of the depthwise stage in that time."""
    bytes_per_s = DEPTHWISE_BYTES / depthwise_s
    return ceilings(ridge * bytes_per_s, bytes_per_s, rates)


@pytest.mark.parametrize(
    ("depthwise_s", "ridge", "moving", "kind"),
    [
        (0.31e-3, 10.0, 0.9, "memory_bound"),
        (0.29e-3, 10.0, 0.9, None),
        (0.31e-3, 10.0, 0.1, "depthwise_kernel"),
        (0.29e-3, 10.0, 0.1, None),
        (0.80e-3, 2.25, 0.9, "memory_bound"),
        (0.80e-3, 2.20, 0.9, "depthwise_kernel"),
        (0.80e-3, 10.0, 0.41, "memory_bound"),
        (0.80e-3, 10.0, 0.39, "depthwise_kernel"),
    ],
    ids=[
        "a third of the time",
        "less than that",
        "a third of the time by its kernel",
        "less than that by its kernel",
        "just left of the ridge",
        "just right of the ridge",
        "just near its roofline",
        "just far from its roofline",
    ],
)
def test_a_depthwise_stage_waits_for_memory_near_its_roofline_and_for_its_kernel_elsewhere(
    depthwise_s: float, ridge: float, moving: float, kind: str | None
) -> None:
    assert pytest.approx(2.24, abs=0.005) == INTENSITY
    times = {"cpu": timing(2e-3, 1e-3, stages={"depthwise": depthwise_s, "pointwise": 0.1e-3})}
    cause = of_depthwise(causes_of(LAYER, times, moving_in(moving * depthwise_s, ridge)))
    assert (cause.kind if cause else None) == kind
    if cause:
        assert cause.setting == "cpu"
        expected = {
            "weight": pytest.approx(depthwise_s / 1e-3),
            "share_of_time": pytest.approx(depthwise_s / 1e-3),
            "share_of_macs": pytest.approx(9 / (9 + 64)),
            "flops_per_byte": pytest.approx(INTENSITY),
            "ridge_flops_per_byte": pytest.approx(ridge),
            "roofline_fraction": pytest.approx(moving * max(1.0, INTENSITY / ridge)),
            "known_by": "measured",
        }
        if kind == "depthwise_kernel":
            expected["efficiency"] = pytest.approx((DEPTHWISE / depthwise_s) / (STANDARD / 2e-3))
        assert cause.figures == expected


@pytest.mark.parametrize(("moving", "kind"), [(0.9, "memory_bound"), (0.1, "depthwise_kernel")])
def test_a_depthwise_stage_is_no_news_where_it_has_that_share_of_the_macs(
    moving: float, kind: str
) -> None:
    few = layer(out_channels=8)  # 9 of 9 + 8 MACs are depthwise: 53 %
    for depthwise_s, fires in ((0.52e-3, False), (0.54e-3, True)):
        times = {"cpu": timing(1.1e-3, stages={"depthwise": depthwise_s, "pointwise": 0.1e-3})}
        cause = of_depthwise(causes_of(few, times, moving_in(moving * depthwise_s)))
        assert (cause.kind if cause else None) == (kind if fires else None)


@pytest.mark.parametrize(("moving", "kind"), [(0.9, "memory_bound"), (0.1, "depthwise_kernel")])
@pytest.mark.parametrize(
    ("layout", "key"), [("contiguous", "cpu"), ("channels_last", "cpu:channels_last")]
)
def test_the_time_of_the_depthwise_stage_may_be_predicted_where_it_was_not_timed(
    layout: str, key: str, moving: float, kind: str
) -> None:
    rates = {f"depthwise:{layout}": Rate(0.4e-3)}
    cause = of_depthwise(causes_of(LAYER, {key: timing()}, moving_in(moving * 0.4e-3, rates=rates)))
    assert cause is not None
    assert cause.kind == kind
    assert cause.figures["known_by"] == "predicted"
    assert cause.figures["share_of_time"] == pytest.approx(0.4)
    assert cause.figures["roofline_fraction"] == pytest.approx(moving)
    assert "is expected to take 40% of the time" in cause_sentence(cause)
    assert of_depthwise(causes_of(LAYER, {key: timing()}, moving_in(moving * 0.4e-3))) is None


NAMED = [
    RunNode("depthwise/output_nchwc", "FusedConv", 30e-6, "NCHWc"),
    RunNode("output_nchwc", "Conv", 50e-6, "NCHWc"),
    RunNode("input_abcd_acdb_depthwise", "Reorder", 15e-6),
    RunNode("depthwise_abcd_acdb_output", "Reorder", 5e-6),
]
"""The depthwise kernel has 30 % of what a profile tells."""


@pytest.mark.parametrize("known", [None, moving_in(0.1e-3)], ids=["no roofline", "a roofline"])
def test_what_another_runtime_timed_alone_gives_way_to_its_profile(known: Ceilings | None) -> None:
    alone = timing(2e-3, 1e-3, stages={"depthwise": 0.79e-3, "pointwise": 0.1e-3})
    ran = {"depthwise_separable": Ran("ONNX", 0.0, "torch", nodes=tuple(NAMED))}
    kinds_of_it = ("depthwise_kernel", "slow_depthwise")

    def told(times: Timing) -> Cause | None:
        found = causes_of(LAYER, {"cpu:onnxruntime": times}, known)
        return next((cause for cause in found if cause.kind in kinds_of_it), None)

    by_itself, by_profile = told(alone), told(alone._replace(ran=ran))
    assert by_itself is not None
    assert by_profile is not None
    assert by_itself.figures["share_of_time"] == pytest.approx(0.79)
    assert "stage, timed alone with its own call and reorders, takes 79%" in cause_sentence(
        by_itself
    )
    assert shared_cause([by_itself]).endswith("79 % of its time, timed alone")
    assert by_profile.figures["share_of_time"] == pytest.approx(0.3)
    assert "stage, by the engine's own profile, takes 30%" in cause_sentence(by_profile)
    efficiency = (DEPTHWISE / 0.3e-3) / (STANDARD / 2e-3)  # its share of the 1 ms that was timed
    assert by_profile.figures["efficiency"] == pytest.approx(efficiency)
    little = [NAMED[0]._replace(seconds=25e-6), *NAMED[1:]]  # 26 % explain nothing
    ran = {"depthwise_separable": ran["depthwise_separable"]._replace(nodes=tuple(little))}
    assert told(alone._replace(ran=ran)) is None


@pytest.mark.parametrize("moving", [1.2, 0.1], ids=["from a cache", "slow"])
def test_a_share_is_never_more_than_all_of_it(moving: float) -> None:
    times = {"cpu": timing(stages={"depthwise": 1.3e-3, "pointwise": 0.1e-3})}
    cause = of_depthwise(causes_of(LAYER, times, moving_in(moving * 1.3e-3)))
    assert cause is not None
    assert cause.figures["share_of_time"] == cause.figures["weight"] == 1.0
    assert cause.figures["roofline_fraction"] == pytest.approx(min(1.0, moving))


# -- a stem


@pytest.mark.parametrize(
    ("in_channels", "groups", "channels", "fires"),
    [(3, 1, 3, True), (15, 1, 15, True), (16, 1, 16, False), (64, 8, 8, True), (64, 4, 16, False)],
    ids=["a stem", "just few", "enough", "few in each group", "enough in each group"],
)
def test_few_channels_are_those_of_one_group(
    in_channels: int, groups: int, channels: int, fires: bool
) -> None:
    stem = layer(in_channels, 128, groups=groups)  # twice as much comes out as goes in, or more
    traffic_s = stem.cost.traffic_bytes / 1e11
    times = {"cpu": timing(2 * traffic_s, 2 * traffic_s)}
    cause = only(causes_of(stem, times, ceilings()), "few_channels")
    assert (cause is not None) is fires
    if cause:
        assert cause.figures["in_channels"] == channels
        assert cause.figures["moving_share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("share", "fires"), [(0.31, True), (0.29, False), (0.99, True), (1.01, False)]
)
def test_few_channels_matter_where_moving_bytes_takes_the_standard_layers_time(
    share: float, fires: bool
) -> None:
    # bytes that move faster than memory does came from a cache
    stem = layer(3)
    traffic = 3 * 1024 * 4 + MAP + 64 * 3 * 9 * 4
    standard_s = traffic / 1e11 / share
    cause = only(
        causes_of(stem, {"cpu": timing(standard_s, standard_s)}, ceilings()), "few_channels"
    )
    assert (cause is not None) is fires
    if cause:
        assert cause.figures == {
            "weight": pytest.approx(1 + share),
            "in_channels": 3.0,
            "moving_share": pytest.approx(share),
            "output_share": pytest.approx(MAP / traffic),
        }


@pytest.mark.parametrize(
    ("out_channels", "output_share", "fires"),
    # of 8 maps in, N maps out and N · 8 · 9 weights, in values
    [
        (9, 9 * 1024 / (8 * 1024 + 9 * 1024 + 9 * 72), True),
        (8, 8 * 1024 / (8 * 1024 + 8 * 1024 + 8 * 72), False),
    ],
    ids=["51 %", "48 %"],
)
def test_few_channels_matter_where_the_output_is_half_of_the_bytes(
    out_channels: int, output_share: float, fires: bool
) -> None:
    stem = layer(8, out_channels)
    assert (output_share >= 0.5) is fires
    standard_s = stem.cost.traffic_bytes / 1e11 / 0.5
    cause = only(
        causes_of(stem, {"cpu": timing(standard_s, standard_s)}, ceilings()), "few_channels"
    )
    assert (cause is not None) is fires
    if cause:
        assert cause.figures["output_share"] == pytest.approx(output_share)


# -- one more round trip through memory


@pytest.mark.parametrize(
    ("share", "fires"), [(0.31, True), (0.29, False), (0.99, True), (1.01, False)]
)
def test_more_bytes_need_a_share_of_the_time_and_no_cache(share: float, fires: bool) -> None:
    small = layer(16, 16, 56)
    one = 16 * 56 * 56 * 4
    standard_bytes, separable_bytes = 2 * one + 16 * 16 * 9 * 4, 4 * one + (16 * 9 + 16 * 16) * 4
    separable_s = separable_bytes / 1e11 / share
    cause = only(
        causes_of(small, {"cpu": timing(separable_s, separable_s)}, ceilings()), "more_bytes"
    )
    assert (cause is not None) is fires
    if cause:
        assert cause.figures == {
            "weight": pytest.approx(share),
            "traffic_ratio": pytest.approx(separable_bytes / standard_bytes),
            "moving_share": pytest.approx(share),
        }


def test_fewer_bytes_are_no_cause() -> None:
    # 256 → 256 at 7×7 is mostly weights, of which the separable layer has fewer
    wide = layer(256, 256, 7)
    assert (
        wide.variants["depthwise_separable"].traffic_bytes < wide.variants["standard"].traffic_bytes
    )
    separable_s = wide.variants["depthwise_separable"].traffic_bytes / 1e11
    found = causes_of(wide, {"cpu": timing(separable_s, separable_s)}, ceilings())
    assert only(found, "more_bytes") is None


# -- another library


BACKENDS = {"standard": "Mkldnn", "depthwise": "Mkldnn", "pointwise": "Slow2d"}


@pytest.mark.parametrize(
    ("efficiency", "share", "backends", "fires"),
    [
        (0.66, 0.5, BACKENDS, True),
        (0.68, 0.5, BACKENDS, False),
        (0.30, 0.31, BACKENDS, True),
        (0.30, 0.29, BACKENDS, False),
        (0.30, 0.5, {}, False),
        (0.30, 0.5, {"standard": "Mkldnn"}, False),
        (0.30, 0.5, {"pointwise": "Slow2d"}, False),
    ],
    ids=[
        "slower",
        "as fast",
        "a third of the time",
        "less than that",
        "unknown",
        "one unknown",
        "other unknown",
    ],
)
def test_a_backend_is_blamed_for_a_pointwise_stage_of_fewer_flops_per_second(
    efficiency: float, share: float, backends: dict[str, str], fires: bool
) -> None:
    pointwise_s = 1e-3
    standard_s = (
        pointwise_s * efficiency * STANDARD / POINTWISE
    )  # FLOP/s of the pointwise stage over the standard's
    separable_s = pointwise_s / share
    times = timing(
        standard_s,
        separable_s,
        speedup=1.0,
        stages={"depthwise": 0.1 * separable_s, "pointwise": pointwise_s},
        backends=backends,
    )
    cause = only(causes_of(LAYER, {"cpu": times}, None), "backend")
    assert (cause is not None) is fires
    if cause:
        assert cause.figures == {
            "weight": pytest.approx(share * (1 - efficiency)),
            "stage": "pointwise",
            "backend": "Slow2d",
            "standard_backend": "Mkldnn",
            "efficiency": pytest.approx(efficiency),
            "share_of_time": pytest.approx(share),
        }


def test_a_slow_depthwise_stage_is_not_the_fault_of_its_backend() -> None:
    times = timing(
        2e-3, 1e-3, stages={"depthwise": 0.9e-3, "pointwise": 0.05e-3}, backends=BACKENDS
    )
    assert only(causes_of(LAYER, {"cpu": times}, None), "backend") is None


def test_one_backend_for_both_is_not_a_slower_one() -> None:
    same = dict.fromkeys(BACKENDS, "Mkldnn")
    times = timing(0.5e-3, 1e-3, stages={"depthwise": 0.1e-3, "pointwise": 0.8e-3}, backends=same)
    assert only(causes_of(LAYER, {"cpu": times}, None), "backend") is None


# -- two calls for one


@pytest.mark.parametrize(("t0_s", "fires"), [(0.051e-3, True), (0.049e-3, False)])
@pytest.mark.parametrize(
    ("layout", "key"), [("contiguous", "cpu"), ("channels_last", "cpu:channels_last")]
)
def test_overhead_is_what_both_calls_cost_without_work(
    t0_s: float, fires: bool, layout: str, key: str
) -> None:
    rates = {f"{kind}:{layout}": Rate(t0_s) for kind in ("depthwise", "pointwise")}
    cause = only(causes_of(LAYER, {key: timing()}, ceilings(rates=rates)), "overhead")
    assert (cause is not None) is fires
    if cause:
        assert cause.figures == {
            "weight": pytest.approx(2 * t0_s / 1e-3),
            "overhead_s": pytest.approx(2 * t0_s),
            "share_of_time": pytest.approx(2 * t0_s / 1e-3),
            "calls": 2.0,
            "stage": "depthwise",
            "stage_overhead_s": t0_s,
        }


def test_what_a_call_of_the_depthwise_stage_costs_is_not_blamed_on_its_kernel_as_well() -> None:
    timings = {"cpu": timing(2e-3, 1e-3, stages={"depthwise": 0.45e-3, "pointwise": 0.5e-3})}
    for t0_s, kinds_found in ((0.3e-3, ["overhead"]), (0.1e-3, ["depthwise_kernel", "overhead"])):
        rates = {"depthwise:contiguous": Rate(t0_s), "pointwise:contiguous": Rate(0.01e-3)}
        found = kinds(causes_of(LAYER, timings, ceilings(rates=rates)))
        assert [kind for kind in found if kind in ("overhead", "depthwise_kernel")] == kinds_found


def test_overhead_is_unknown_where_a_class_was_not_calibrated() -> None:
    rates = {
        "depthwise:contiguous": Rate(1e-3),
        "pointwise:channels_last": Rate(1e-3),
        "dense:contiguous": Rate(1e-3),
    }
    assert only(causes_of(LAYER, {"cpu": timing()}, ceilings(rates=rates)), "overhead") is None


@pytest.mark.parametrize(
    ("key", "fires"),
    [
        ("cuda", True),
        ("cuda:cold", True),
        ("cpu:compile", False),
        ("cuda:graph", False),
        ("cuda:float16:batch8:graph", False),
    ],
)
def test_what_a_call_costs_is_known_of_eager_calls_alone(key: str, fires: bool) -> None:
    rates = {f"{kind}:contiguous": Rate(0.2e-3) for kind in ("depthwise", "pointwise")}
    assert (
        only(causes_of(LAYER, {key: timing()}, ceilings(rates=rates)), "overhead") is not None
    ) is fires


# -- layout


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("cpu", "cpu:channels_last"),
        ("cpu:float16", "cpu:float16:channels_last"),
        ("cpu:batch8", "cpu:channels_last:batch8"),
        ("cpu:compile", "cpu:channels_last:compile"),
        ("cuda:float16:batch8:cold", "cuda:float16:channels_last:batch8:cold"),
    ],
    ids=["plain", "dtype", "batch", "compiled", "everything"],
)
def test_a_faster_layout_is_found_under_the_same_setting(first: str, other: str) -> None:
    for gain, fires in ((1.16, True), (1.14, False)):
        times = {
            first: timing(stages={"depthwise": 0.6e-3, "pointwise": 0.4e-3}),
            "cuda:channels_last:cold": timing(separable_s=1e-6),
            other: timing(
                separable_s=1e-3 / gain, stages={"depthwise": 0.2e-3, "pointwise": 0.4e-3}
            ),
        }
        cause = only(causes_of(LAYER, times, None), "layout")
        assert (cause is not None) is fires
        if cause:
            assert cause.setting == first
            assert cause.figures == {
                "weight": pytest.approx(1 - 1 / gain),
                "gain": pytest.approx(gain),
                "standard_gain": pytest.approx(1.0),
                "depthwise_gain": pytest.approx(3.0),
            }


@pytest.mark.parametrize(
    ("standard_gain", "gain", "fires"),
    [
        (1.5, 1.73, True),  # 1.15 · 1.5 = 1.725
        (1.5, 1.72, False),
        (0.5, 1.16, True),
        (0.5, 1.14, False),  # a standard layer that loses by it makes it no advice
    ],
)
def test_a_layout_from_which_the_standard_layer_gains_as_much_is_no_cause(
    standard_gain: float, gain: float, fires: bool
) -> None:
    times = {
        "cpu": timing(2e-3, 1e-3),
        "cpu:channels_last": timing(2e-3 / standard_gain, 1e-3 / gain),
    }
    cause = only(causes_of(LAYER, times, None), "layout")
    assert (cause is not None) is fires
    if cause:
        assert cause.figures == {
            "weight": pytest.approx(1 - 1 / gain),
            "gain": pytest.approx(gain),
            "standard_gain": pytest.approx(standard_gain),
        }


def test_a_layout_in_which_one_side_was_not_timed_is_no_cause() -> None:
    faster = timing(2e-3, 0.1e-3)
    for missing in ("standard", "depthwise_separable"):
        known = {name: one for name, one in faster.latencies.items() if name != missing}
        other = faster._replace(latencies=known)
        times = {"cpu": timing(2e-3, 1e-3), "cpu:channels_last": other}
        assert causes_of(LAYER, times, None) == []


def test_a_layout_that_is_slower_or_was_not_timed_is_no_cause() -> None:
    assert causes_of(LAYER, {"cpu": timing()}, None) == []
    assert (
        causes_of(LAYER, {"cpu": timing(), "cpu:channels_last": timing(separable_s=2e-3)}, None)
        == []
    )
    # channels_last is the first setting: contiguous is no advice
    assert (
        causes_of(LAYER, {"cpu:channels_last": timing(), "cpu": timing(separable_s=1e-6)}, None)
        == []
    )


def test_a_layout_that_gains_less_than_the_machine_was_off_by_is_no_cause() -> None:
    here, there = (
        timing(),
        timing(separable_s=timing().latencies["depthwise_separable"].median_s / 1.18),
    )
    (cause,) = causes_of(LAYER, {"cpu": here, "cpu:channels_last": there}, None)
    assert cause.kind == "layout"
    (name, speedup), *_ = here.ratios.items()
    noisy = here._replace(ratios={name: speedup._replace(noise_floor=0.29)})
    assert causes_of(LAYER, {"cpu": noisy, "cpu:channels_last": there}, None) == []


def test_a_layout_whose_times_may_be_the_same_is_no_cause() -> None:
    here, there = timing(), timing(separable_s=timing().latencies[SEPARABLE].median_s / 2)
    assert causes_of(LAYER, {"cpu": here, "cpu:channels_last": there}, None)
    assert causes_of(LAYER, {"cpu": unsure(here), "cpu:channels_last": unsure(there)}, None) == []


def unsure(one: Timing) -> Timing:
    """Return the same with intervals from a third of each median to three times as much."""
    wide = {
        name: latency._replace(ci95_s=(latency.median_s / 3, 3 * latency.median_s))
        for name, latency in one.latencies.items()
    }
    return one._replace(latencies=wide)


# -- allocation


def test_allocation_is_told_where_faults_were_too_many() -> None:
    (cause,) = causes_of(LAYER, {"cpu": timing()}, None, faults_per_call=3104.0)
    assert (cause.kind, cause.figures["faults_per_call"]) == ("allocation", 3104.0)
    assert "3,104" in cause_sentence(cause)


# -- all together


EVERYTHING = {
    "cpu": timing(
        2e-3, 1e-3, stages={"depthwise": 0.45e-3, "pointwise": 0.5e-3}, backends=BACKENDS
    ),
    "cpu:channels_last": timing(separable_s=0.5e-3),
}
EVERY_RATE = {f"{kind}:contiguous": Rate(0.06e-3) for kind in ("depthwise", "pointwise")}


def test_the_weightiest_cause_comes_first() -> None:
    found = causes_of(LAYER, EVERYTHING, ceilings(rates=EVERY_RATE), faults_per_call=50.0)
    weights = [cause.figures["weight"] for cause in found]
    assert weights == sorted(weights, reverse=True)
    # 1; 1 − 1/2; 0.45; 0.5 · (1 − (64/0.5) / (576/2)); 0.12
    assert kinds(found) == ["allocation", "layout", "depthwise_kernel", "backend", "overhead"]


def beside(ratio: float, flops_per_s: float = 33e9) -> Beside:
    """A dense convolution that takes that many times as long as a 1×1 of equal MACs."""
    speedup = Speedup(ratio, (0.98 * ratio, 1.02 * ratio))
    return Beside(speedup, flops_per_s, ratio * flops_per_s)


def of_runtime(speedup: float) -> dict[str, Timing]:
    return {"cpu:onnxruntime": timing(speedup=speedup)}


@pytest.mark.parametrize(("ratio", "said"), [(2.27, ["slow_dense"]), (1.05, [])])
def test_more_than_the_macs_promise_comes_of_a_slow_dense_kernel(
    ratio: float, said: list[str]
) -> None:
    found = causes_of(LAYER, of_runtime(1.5 * PROMISED), None, beside=beside(ratio))
    assert kinds(found) == said
    for cause in found:
        # 33 GFLOP/s of the 75 that the 1×1 has
        assert cause.figures["share"] == pytest.approx(1 / 2.27)
        assert cause.figures["pointwise_flops_per_s"] == pytest.approx(74.91e9)
    assert not causes_of(LAYER, of_runtime(0.99 * PROMISED), None, beside=beside(ratio))


@pytest.mark.parametrize(
    ("ratio", "peak", "said"),
    [
        (0.45, 117e9, "fast_transform"),
        (0.45, 300e9, "fast_dense"),
        (0.45, None, "fast_dense"),
        (0.95, 117e9, None),
    ],
)
def test_less_than_the_macs_promise_may_come_of_a_fast_dense_kernel(
    ratio: float, peak: float | None, said: str | None
) -> None:
    # 204 GFLOP/s on a core whose peak is 117: some of the MACs are not done
    known = None if peak is None else ceilings(flops_per_s=peak)
    found = causes_of(LAYER, of_runtime(0.4 * PROMISED), known, beside=beside(ratio, 204e9))
    assert [kind for kind in kinds(found) if kind.startswith("fast")] == ([said] if said else [])


def test_speeds_calibrated_by_torch_explain_no_other_runtime() -> None:
    (own,) = [one for one in EVERYTHING if one == "cpu"]
    found = causes_of(LAYER, {own: EVERYTHING[own]}, ceilings(rates=EVERY_RATE))
    assert "overhead" in kinds(found)
    found = causes_of(LAYER, {"cpu:ncnn": EVERYTHING[own]}, ceilings(rates=EVERY_RATE))
    assert "overhead" not in kinds(found)


def test_a_stem_is_explained_by_its_channels_before_anything_else() -> None:
    stem = layer(3)
    standard_s = stem.cost.traffic_bytes / 1e11 / 0.35
    times = {
        "cpu": timing(
            standard_s,
            standard_s,
            stages={"depthwise": 0.9 * standard_s, "pointwise": 0.1 * standard_s},
        ),
        "cpu:channels_last": timing(standard_s, standard_s / 9),
    }
    assert kinds(causes_of(stem, times, ceilings(), 50.0))[0] == "few_channels"


@pytest.mark.parametrize(("share", "explained"), [(0.81, False), (0.79, True), (1.5, False)])
def test_where_the_clock_agrees_there_is_nothing_to_explain(share: float, explained: bool) -> None:
    timings = {
        key: one._replace(ratios={"depthwise_separable": Speedup(share * PROMISED, (1.0, 99.0))})
        for key, one in EVERYTHING.items()
    }
    assert bool(causes_of(LAYER, timings, ceilings(rates=EVERY_RATE), 50.0)) is explained


def test_only_the_first_setting_is_explained() -> None:
    agrees = timing(speedup=PROMISED)
    assert (
        causes_of(LAYER, {"cpu": agrees, **{f"x{k}": v for k, v in EVERYTHING.items()}}, ceilings())
        == []
    )
    found = causes_of(LAYER, EVERYTHING, ceilings(rates=EVERY_RATE))
    assert {cause.setting for cause in found} == {"cpu"}


@pytest.mark.parametrize("missing", ["speedup", "standard", "depthwise_separable"])
def test_what_was_not_measured_is_not_explained(missing: str) -> None:
    times = {}
    for key, one in EVERYTHING.items():
        latencies = {name: known for name, known in one.latencies.items() if name != missing}
        ratios = {} if missing == "speedup" else one.ratios
        times[key] = one._replace(latencies=latencies, ratios=ratios)
    assert causes_of(LAYER, times, ceilings(rates=EVERY_RATE), 50.0) == []


def test_a_layer_without_a_variant_is_not_explained() -> None:
    pointwise = dscost.layer(in_channels=64, out_channels=64, kernel_size=1).layers[0]
    assert causes_of(pointwise, {"cpu": timing_with(standard=latency(1e-3))}, ceilings()) == []


def test_without_ceilings_no_cause_speaks_of_them() -> None:
    found = causes_of(LAYER, EVERYTHING, None, 50.0)
    assert set(kinds(found)) == {"allocation", "layout", "backend", "slow_depthwise"}
    slow = only(found, "slow_depthwise")
    assert slow is not None
    assert slow.figures.keys() & {"ridge_flops_per_byte", "roofline_fraction"} == set()
    # 0.45 ms of 1 ms for 2 · 64·9·32² FLOPs, beside 2 · 64·64·9·32² in 2 ms
    assert slow.figures["share_of_time"] == pytest.approx(0.45)
    assert slow.figures["efficiency"] == pytest.approx(2 / 0.45 / 64)


def test_a_layer_that_runs_twice_is_explained_as_one_that_runs_once() -> None:
    # its variants add up all of its calls, its times and stages are those of one
    small = layer(16, 16, 56)
    for once in (LAYER, small):
        twice = once._replace(
            calls=2,
            variants={
                name: cost._replace(macs=2 * cost.macs, traffic_bytes=2 * cost.traffic_bytes)
                for name, cost in once.variants.items()
            },
        )
        times = {
            "cpu": timing(
                2e-3, 1e-3, stages={"depthwise": 0.4e-3, "pointwise": 0.5e-3}, backends=BACKENDS
            )
        }
        slow = ceilings(bytes_per_s=once.variants["depthwise_separable"].traffic_bytes / 0.2e-3)
        assert causes_of(twice, times, slow) == causes_of(once, times, slow)


# -- in words


def made_up(kind: str) -> Cause:
    figures: dict[str, dict[str, float | str]] = {
        "memory_bound": {
            "share_of_time": 0.64,
            "share_of_macs": 0.12,
            "flops_per_byte": 2.24,
            "ridge_flops_per_byte": 17.5,
            "roofline_fraction": 0.83,
            "known_by": "measured",
        },
        "depthwise_kernel": {
            "share_of_time": 0.71,
            "share_of_macs": 0.13,
            "flops_per_byte": 2.24,
            "ridge_flops_per_byte": 17.5,
            "roofline_fraction": 0.08,
            "efficiency": 0.06,
            "known_by": "measured",
        },
        "slow_depthwise": {
            "share_of_time": 0.71,
            "share_of_macs": 0.13,
            "efficiency": 0.06,
            "known_by": "measured",
        },
        "slow_dense": {
            "share": 0.44,
            "dense_flops_per_s": 33e9,
            "pointwise_flops_per_s": 75e9,
        },
        "fast_dense": {
            "share": 1.31,
            "dense_flops_per_s": 98e9,
            "pointwise_flops_per_s": 75e9,
        },
        "fast_transform": {
            "share": 2.21,
            "dense_flops_per_s": 204e9,
            "pointwise_flops_per_s": 92e9,
            "peak_flops_per_s": 117e9,
        },
        "more_bytes": {"traffic_ratio": 1.96, "moving_share": 0.43},
        "few_channels": {"in_channels": 3.0, "moving_share": 0.57, "output_share": 0.93},
        "backend": {
            "stage": "pointwise",
            "backend": "Slow2d",
            "standard_backend": "Mkldnn",
            "efficiency": 0.41,
            "share_of_time": 0.38,
        },
        "overhead": {
            "calls": 2.0,
            "overhead_s": 13e-6,
            "share_of_time": 0.22,
            "stage": "depthwise",
            "stage_overhead_s": 9e-6,
        },
        "layout": {"gain": 1.31, "standard_gain": 1.02, "depthwise_gain": 1.56},
        "allocation": {"faults_per_call": 3104.0},
    }
    return Cause(kind, "cpu", {"weight": 0.5, **figures[kind]})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("memory_bound", ["64%", "12%", "2.2 FLOP/byte", "17.5"]),
        ("depthwise_kernel", ["71%", "13%", "6% of the FLOP/s", "8% of its own roofline"]),
        ("slow_depthwise", ["takes 71%", "13%", "6% of the FLOP/s"]),
        ("slow_dense", ["33.0 GFLOP/s", "44%", "75.0 GFLOP/s", "1×1 convolution of equal MACs"]),
        ("fast_dense", ["98.0 GFLOP/s", "131%", "75.0 GFLOP/s", "save less time"]),
        ("fast_transform", ["Winograd", "204 GFLOP/s", "117 GFLOP/s", "221%"]),
        ("more_bytes", ["1.96 times", "43%"]),
        ("few_channels", ["3 input channels per group", "57%", "93%"]),
        ("backend", ["pointwise", "Slow2d", "Mkldnn", "41%", "38%"]),
        ("overhead", ["13.0 µs", "22%", "9.00 µs", "depthwise"]),
        ("layout", ["channels_last", "1.31×", "1.56×", "1.02×"]),
        ("allocation", ["3,104", "--allocator"]),
    ],
)
def test_every_cause_has_a_word_and_a_sentence_with_the_figures_that_decided_it(
    kind: str, said: list[str]
) -> None:
    sentence = cause_sentence(made_up(kind))
    assert sentence.endswith(".")
    for figure in said:
        assert figure in sentence
    assert 0 < len(cause_word(made_up(kind))) < 30


def test_every_kind_of_cause_and_noise_in_the_docs_is_known_here() -> None:
    for documented, kinds_known in ((Cause, CAUSES), (Noise, NOISES)):
        text = (documented.__doc__ or "").partition("kind:")[2].partition(".\n")[0]
        assert sorted(
            text.replace("`", "").replace("\n", " ").replace(" ", "").split(",")
        ) == sorted(kinds_known)


def test_a_layout_is_told_without_its_stages_where_they_were_not_timed() -> None:
    sentence = cause_sentence(
        Cause("layout", "cpu", {"weight": 0.5, "gain": 1.31, "standard_gain": 1.02})
    )
    assert "1.31×" in sentence
    assert "the standard layer 1.02×" in sentence
    assert "depthwise" not in sentence


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (Noise("context_switches", 0.62, 0.2, "conv1"), ["62 %", "conv1"]),
        (Noise("page_faults", 3104.0, 10.0, "conv1"), ["3,104", "conv1"]),
        (Noise("cpu_pressure", 44.3, 10.0), ["44 %"]),
        (Noise("load", 7.84, 2.0), ["7.8", "2 cores"]),
        (Noise("steal", 0.13, 0.02), ["13 %"]),
        (Noise("regimes", 4.27, 3.0, "conv1"), ["4.3", "conv1"]),
        (Noise("more_than_macs", 9.61, 8.69, "cpu"), ["9.61", "8.69", "cpu"]),
        (Noise("over_roofline", 1.42, 1.03, "cpu, standard"), ["1.42", "cpu, standard"]),
        (Noise("throttled", 0.3, 0.75, "cuda"), ["30 %", "75 %", "cuda"]),
    ],
    ids=lambda value: value.kind if isinstance(value, Noise) else None,
)
def test_every_noise_is_told_with_its_figure(noise: Noise, said: list[str]) -> None:
    assert noise.kind in NOISES
    line = noise_line([noise])
    assert line is not None
    assert line.startswith("Noisy: ")
    assert line.endswith(".")
    for figure in said:
        assert figure in line


def test_what_made_measurements_less_sure_is_one_line() -> None:
    noises = [
        Noise("context_switches", 0.68, 0.2, "conv1"),
        Noise("regimes", 12.2, 3.0, "conv1"),
        Noise("load", 4.2, 2.0),
        Noise("context_switches", 0.3, 0.2, "conv2"),
    ]
    assert noise_line(noises, 0.53) == (
        "Noisy: load 4.2 on 2 cores, 68 % of the blocks interrupted (conv1 and 1 more), "
        "repetitions differ 12.2× more than runs within one (conv1), floor 53 %. "
        "Run again when idle, or with a longer --time-budget."
    )
    assert noise_line([Noise("load", 4.2, 2.0)], 0.53) == (
        "Noisy: load 4.2 on 2 cores, floor 53 %. Run again when idle, or with a longer --time-budget."
    )
    assert noise_line([Noise("load", 4.2, 2.0)], 0.02, with_budget=False) == (
        "Noisy: load 4.2 on 2 cores. Run again when idle."
    )


def test_like_noises_are_told_once_with_the_worst() -> None:
    noises = [
        Noise("page_faults", 20.0, 10.0, "conv1"),
        Noise("regimes", 5.0, 3.0, "conv1"),
        Noise("page_faults", 300.0, 10.0, "conv2"),
        Noise("page_faults", 40.0, 10.0, "conv3"),
    ]
    line = noise_line(noises)
    assert line is not None
    assert "300 page faults a call (conv2 and 2 more)" in line
    assert "5.0× more than runs within one (conv1)" in line
    assert line.count("page faults") == 1
    assert noise_line([]) is None


def test_what_a_quiet_machine_would_not_mend_has_no_such_advice() -> None:
    line = noise_line([Noise("over_roofline", 1.42, 1.03, "cpu"), Noise("newer", 7.0, 2.0)])
    assert line is not None
    assert "1.42 times as fast as the roofline allows (cpu)" in line
    assert "newer 7, in order up to 2." in line
    assert "idle" not in line
