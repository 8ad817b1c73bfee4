"""Why fewer MACs are or are not faster: each cause is decided by a figure, and carries it.

Source:
    The mechanisms are those of ShuffleNetV2 (Ma et al. 2018, guidelines 1 to 4) and FasterNet (Chen
    et al. 2023, section 3), and of torch's own choice of backends.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.analysis.equal_macs import Beside
from dscost.devices.roofline import Ceilings, operator_class, predict
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.reports.records import SAME_WITHIN, Cause, Latency, Layer, RunNode, Stage, Timing
from dscost.runtimes import TORCH
from dscost.timing import runtime_of

DOMINANT = 0.3
"""A part that takes that share of the separable layer's time is worth a word."""
LESS_EFFICIENT = 0.67
"""A stage that computes at less than that share of the standard layer's FLOP/s is slowed by its
backend."""
OVERHEAD = 0.1
"""A fixed cost of that share of the separable layer's time is worth a word."""
LAYOUT_GAIN = 1.15
"""channels_last is worth a word where the separable layer gains that much more by it than the
standard one."""
NEAR_ROOFLINE = 0.4
"""A stage that takes no longer than that share of its roofline allows waits for memory; a slower
one for its kernel."""
MOSTLY_OUTPUT = 0.5
FEW_CHANNELS = 16
"""With fewer input channels a layer may spend its time on its output."""
FAST_TRANSFORM = 1.05
"""So many times the peak is no arithmetic: a transform leaves some of it out."""
AGREES_FROM = 0.8
"""From that share of what the MACs promise on, there is nothing to explain."""


def causes_of(
    layer: Layer,
    timings: Mapping[str, Timing],
    ceilings: Ceilings | None,
    faults_per_call: float | None = None,
    *,
    setting: str | None = None,
    beside: Beside | None = None,
) -> list[Cause]:
    """Return why a layer's depthwise-separable variant is as fast as it is, weightiest first.

    Of a layer without that variant the standard kernel alone is explained. Where the clock agrees
    with the MACs there is nothing to explain.

    Args:
        layer: With the stages of its variants.
        timings: By setting.
        ceilings: Of the device of the setting that is explained.
        faults_per_call: Pages that the system had to find, where they were too many.
        setting: Which is explained, the first by default; others serve to compare with.
        beside: Its dense convolution beside a 1×1 one of equal MACs, where that was timed.
    """
    key = next(iter(timings)) if setting is None else setting
    timing = timings[key]
    speedup, promised = timing.speedup, layer.reduction
    standard, separable = timing.standard, timing.depthwise_separable
    if SEPARABLE not in timing.ratios:
        return list(_dense_alone(layer, key, timing, ceilings, beside))
    if speedup is None or standard is None or separable is None or promised is None:
        return []
    case = _Case(layer, key, timings, standard.median_s, separable.median_s, ceilings)
    if speedup.ci95[0] > promised:
        return list(_slow_dense(key, beside))
    if speedup.median >= AGREES_FROM * promised:
        return []
    found = [
        *_fast_dense(key, beside, ceilings),
        *_few_channels(case),
        *_depthwise_stage(case),
        *_more_bytes(case),
        *_backend(case),
        *_overhead(case),
        *_layout(case),
    ]
    if faults_per_call is not None:
        found.append(case.cause("allocation", weight=1.0, faults_per_call=faults_per_call))
    overheads = {cause.figures["stage"] for cause in found if cause.kind == "overhead"}
    if "depthwise" in overheads:  # what a call costs is no matter of its kernel
        heavy = {cause.kind: float(cause.figures["weight"]) for cause in found}
        if heavy["overhead"] >= heavy.get("depthwise_kernel", 0.0) / 2:
            found = [cause for cause in found if cause.kind != "depthwise_kernel"]
    return sorted(found, key=lambda cause: -float(cause.figures["weight"]))


class _Case(NamedTuple):
    """A layer whose separable variant is slower than promised under a setting, the key.

    The timings are by setting, the times of both variants those under this one.
    """

    layer: Layer
    key: str
    timings: Mapping[str, Timing]
    standard_s: float
    separable_s: float
    ceilings: Ceilings | None

    @property
    def timing(self) -> Timing:
        return self.timings[self.key]

    @property
    def standard(self) -> Stage:
        (stage, *_) = self.layer.stages[STANDARD]
        return stage

    @property
    def stages(self) -> Sequence[Stage]:
        """Those of the separable layer."""
        return self.layer.stages[SEPARABLE]

    @property
    def usual_flops_per_s(self) -> float:
        """At which the standard layer computes."""
        return self.standard.cost.flops / self.standard_s

    @property
    def is_eager(self) -> bool:
        """Whether torch runs it call by call."""
        is_torch = runtime_of(self.key) == TORCH
        return is_torch and not {"compile", "graph"} & set(self.key.split(":"))

    @property
    def memory_format(self) -> str:
        return "channels_last" if "channels_last" in self.key.split(":") else "contiguous"

    def cause(self, kind: str, **figures: float | str) -> Cause:
        return Cause(kind, self.key, figures)


def _depthwise_stage(case: _Case) -> Iterator[Cause]:
    """The depthwise stage takes more time than MACs: it waits for memory, or its kernel is slow."""
    stage, ceilings = case.stages[0], case.ceilings
    intensity = stage.cost.flops_per_byte
    if intensity is None:
        return
    if ceilings is None:
        yield from _slow_depthwise(case)
        return
    found = predict([stage], ceilings, memory_format=case.memory_format)
    expected_s = found.predicted_s if case.is_eager else None  # calibrated speeds are eager
    known = _time_of(stage, case) or (expected_s and (expected_s, "predicted"))
    if not known:
        return
    seconds, known_by = known
    share_of_time = min(1.0, seconds / case.separable_s)
    share_of_macs = stage.cost.macs / sum(one.cost.macs for one in case.stages)
    if share_of_time < DOMINANT or share_of_time < share_of_macs:
        return
    figures: dict[str, float | str] = {
        "weight": share_of_time,
        "share_of_time": share_of_time,
        "share_of_macs": share_of_macs,
        "flops_per_byte": intensity,
        "ridge_flops_per_byte": ceilings.ridge_flops_per_byte,
        "roofline_fraction": min(1.0, found.roofline_s / seconds),
        "known_by": known_by,
    }
    is_left = intensity < ceilings.ridge_flops_per_byte
    if is_left and found.roofline_s >= NEAR_ROOFLINE * seconds:
        yield case.cause("memory_bound", **figures)
        return
    efficiency = stage.cost.flops / seconds / case.usual_flops_per_s
    yield case.cause("depthwise_kernel", **figures, efficiency=efficiency)


def _slow_depthwise(case: _Case) -> Iterator[Cause]:
    """The depthwise stage takes more of the time than of the MACs; no roofline says why."""
    stage = case.stages[0]
    known = _time_of(stage, case)
    if known is None:
        return
    seconds, known_by = known
    share_of_time = min(1.0, seconds / case.separable_s)
    share_of_macs = stage.cost.macs / sum(one.cost.macs for one in case.stages)
    if share_of_time >= max(DOMINANT, share_of_macs):
        yield case.cause(
            "slow_depthwise",
            weight=share_of_time,
            share_of_time=share_of_time,
            share_of_macs=share_of_macs,
            efficiency=stage.cost.flops / seconds / case.usual_flops_per_s,
            known_by=known_by,
        )


def _time_of(stage: Stage, case: _Case) -> tuple[float, str] | None:
    """Return the seconds that a stage of the separable layer takes, and how they are known.

    What a runtime other than torch timed alone has its own call and reorders in it, which the
    stage does not have in the layer: the share that its profile tells is better where there is one.
    """
    ran = case.timing.ran.get(SEPARABLE)
    nodes = ran.nodes if ran else ()
    own_s = sum(node.seconds for node in nodes if _computes(node, stage))
    if own_s:
        share = own_s / sum(node.seconds for node in nodes)
        return share * case.separable_s, "profile"
    part = case.timing.stages.get(stage.name)
    if part is None:
        return None
    return part.median_s, "measured" if runtime_of(case.key) == TORCH else "alone"


def _computes(node: RunNode, stage: Stage) -> bool:
    """Whether a kernel is the convolution of a stage, after which runtimes name it.

    That is `depthwise`, `depthwise/output_nchwc` or `depthwise_token_1`; reorders are named after
    both of the kernels that they stand between.
    """
    name, after = node.name[: len(stage.name)], node.name[len(stage.name) :]
    return name == stage.name and not after[:1].isalnum() and "Conv" in node.op


def _dense_alone(
    layer: Layer, key: str, timing: Timing, ceilings: Ceilings | None, beside: Beside | None
) -> Iterator[Cause]:
    """The standard kernel, where variants gain more or less by it than their MACs promise."""
    promised = {name: layer.reduction_of(name).macs for name in timing.ratios}
    pairs = [(one, fewer) for name, one in timing.ratios.items() if (fewer := promised[name])]
    if any(one.ci95[0] > fewer for one, fewer in pairs):
        yield from _slow_dense(key, beside)
    if any(one.median < AGREES_FROM * fewer for one, fewer in pairs):
        yield from _fast_dense(key, beside, ceilings)


def _slow_dense(key: str, beside: Beside | None) -> Iterator[Cause]:
    """The standard layer is slower than a 1×1 of equal MACs, so that there is more to save."""
    if beside is None or not beside.is_slow:
        return
    yield Cause("slow_dense", key, {**_of_dense(beside), "weight": beside.ratio.median})


def _fast_dense(key: str, beside: Beside | None, ceilings: Ceilings | None) -> Iterator[Cause]:
    """The standard layer computes faster than a 1×1 of equal MACs: fewer MACs save less time."""
    if beside is None or not beside.is_fast:
        return
    figures = {**_of_dense(beside), "weight": 1 + 1 / beside.ratio.median}
    if ceilings is not None and beside.flops_per_s > FAST_TRANSFORM * ceilings.flops_per_s:
        figures = {**figures, "peak_flops_per_s": ceilings.flops_per_s}
        yield Cause("fast_transform", key, figures)
    else:
        yield Cause("fast_dense", key, figures)


def _of_dense(beside: Beside) -> dict[str, float | str]:
    return {
        "share": 1 / beside.ratio.median,
        "dense_flops_per_s": beside.flops_per_s,
        "pointwise_flops_per_s": beside.pointwise_flops_per_s,
    }


def _few_channels(case: _Case) -> Iterator[Cause]:
    """A stem: the standard layer spends its time on its output, which the separable one has too."""
    conv, cost = case.standard.conv, case.standard.cost
    channels = conv.in_channels // conv.groups if conv else FEW_CHANNELS
    if channels >= FEW_CHANNELS or case.ceilings is None:
        return
    output_share = cost.output_bytes / cost.traffic_bytes
    moving = cost.traffic_bytes / case.ceilings.bytes_per_s / case.standard_s
    if output_share >= MOSTLY_OUTPUT and DOMINANT <= moving <= 1:
        yield case.cause(
            "few_channels",
            weight=moving + 1,
            in_channels=float(channels),
            moving_share=moving,
            output_share=output_share,
        )


def _more_bytes(case: _Case) -> Iterator[Cause]:
    """The result between the stages is written and read once more, which takes much of the time."""
    moved_bytes = sum(stage.cost.traffic_bytes for stage in case.stages)
    ratio = moved_bytes / case.standard.cost.traffic_bytes
    if ratio < 1 or case.ceilings is None:
        return
    moving = moved_bytes / case.ceilings.bytes_per_s / case.separable_s
    if DOMINANT <= moving <= 1:  # above 1 the bytes came from a cache
        yield case.cause("more_bytes", weight=moving, traffic_ratio=ratio, moving_share=moving)


def _backend(case: _Case) -> Iterator[Cause]:
    """The pointwise stage is dense arithmetic too, yet another library computes it more slowly."""
    backends = case.timing.backends
    theirs = backends.get(STANDARD)
    for stage in case.stages:
        part, own = case.timing.stages.get(stage.name), backends.get(stage.name)
        if part is None or stage.conv is None or operator_class(stage.conv) == "depthwise":
            continue
        efficiency = stage.cost.flops / part.median_s / case.usual_flops_per_s
        share = part.median_s / case.separable_s
        # alone it cannot take longer than with the other stage: that was noise
        is_slower = efficiency < LESS_EFFICIENT and DOMINANT <= share <= 1
        if theirs and own and theirs != own and is_slower:
            yield case.cause(
                "backend",
                weight=share * (1 - efficiency),
                stage=stage.name,
                backend=own,
                standard_backend=theirs,
                efficiency=efficiency,
                share_of_time=share,
            )


def _overhead(case: _Case) -> Iterator[Cause]:
    """Two calls instead of one: what a call costs whatever it computes is paid once more."""
    if case.ceilings is None or not case.is_eager:
        return  # the fixed cost was measured eagerly
    convs = [stage.conv for stage in case.stages if stage.conv]
    names = [f"{operator_class(conv)}:{case.memory_format}" for conv in convs]
    rates = [case.ceilings.rates.get(name) for name in names]
    known = [rate.t0_s for rate in rates if rate is not None]
    share = sum(known) / case.separable_s
    # above 1 the machine was busier when that cost was measured
    if len(known) == len(case.stages) and OVERHEAD <= share < 1:
        largest = max(range(len(known)), key=lambda at: known[at])
        yield case.cause(
            "overhead",
            weight=share,
            overhead_s=sum(known),
            share_of_time=share,
            calls=float(len(known)),
            stage=case.stages[largest].name,
            stage_overhead_s=known[largest],
        )


def _layout(case: _Case) -> Iterator[Cause]:
    """The layer is faster in channels_last: contiguous, its depthwise stage is reordered twice."""
    wanted = {*case.key.split(":"), "channels_last"}
    others = (
        timing
        for key, timing in case.timings.items()
        if key != case.key and set(key.split(":")) == wanted
    )
    other = next(others, Timing())
    if other.standard is None or other.depthwise_separable is None:
        return
    gain = case.separable_s / other.depthwise_separable.median_s
    standard_gain = case.standard_s / other.standard.median_s
    # the two layouts ran in different pairs: a difference below the floor of either is noise
    floors = [one.speedup.noise_floor for one in (case.timing, other) if one.speedup]
    least = max(LAYOUT_GAIN, 1 + max(floors, default=SAME_WITHIN))
    if gain < least * max(1.0, standard_gain) or _overlap(
        case.timing.depthwise_separable, other.depthwise_separable
    ):
        return
    figures = {"weight": 1 - 1 / gain, "gain": gain, "standard_gain": standard_gain}
    here, there = case.timing.stages.get("depthwise"), other.stages.get("depthwise")
    if here and there:
        figures["depthwise_gain"] = here.median_s / there.median_s
    yield case.cause("layout", **figures)


def _overlap(one: Latency | None, other: Latency | None) -> bool:
    """Whether the intervals of two latencies, where they are known, have something in common."""
    if one is None or other is None or one.ci95_s is None or other.ci95_s is None:
        return False
    return max(one.ci95_s[0], other.ci95_s[0]) <= min(one.ci95_s[1], other.ci95_s[1])
