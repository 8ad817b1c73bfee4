"""Why fewer MACs are or are not faster: each cause is decided by a figure, and carries it.

Source:
    The mechanisms are those of ShuffleNetV2 (Ma et al. 2018, guidelines 1 to 4) and FasterNet (Chen
    et al. 2023, section 3), and of torch's own choice of backends.
"""

from collections.abc import Iterator, Mapping, Sequence

from dscost.devices.roofline import Ceilings, operator_class, predict
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.reports.figures import chain_cost
from dscost.reports.records import Cause, Layer, Stage, Timing

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
AGREES_FROM = 0.8
"""From that share of what the MACs promise on, there is nothing to explain."""


def causes_of(
    layer: Layer,
    timings: Mapping[str, Timing],
    ceilings: Ceilings | None,
    faults_per_call: float | None = None,
) -> list[Cause]:
    """Return why a layer's depthwise-separable variant is as fast as it is, weightiest first.

    Only the first setting is explained; others serve to compare with. Where the clock agrees with
    the MACs there is nothing to explain.

    Args:
        layer: With the stages of both variants.
        timings: Its measurements by setting.
        ceilings: Of the first setting's device, if they are known.
        faults_per_call: Pages that the system had to find, where they were too many.
    """
    key, timing = next(iter(timings.items()))
    speedup, reduction = timing.speedup, layer.reduction
    if (
        speedup is None
        or timing.standard is None
        or timing.depthwise_separable is None
        or reduction is None
    ):
        return []
    if speedup.median >= AGREES_FROM * reduction:
        return []
    found = [
        *_few_channels(layer, timing, key, ceilings),
        *_depthwise_stage(layer, timing, key, ceilings),
        *_more_bytes(layer, timing, key, ceilings),
        *_backend(layer, timing, key),
        *_overhead(layer, timing, key, ceilings),
        *_layout(timings, key),
    ]
    if faults_per_call is not None:
        found.append(Cause("allocation", key, {"weight": 1.0, "faults_per_call": faults_per_call}))
    overheads = {cause.figures["stage"] for cause in found if cause.kind == "overhead"}
    if "depthwise" in overheads:  # what a call costs is no matter of its kernel
        heavy = {cause.kind: float(cause.figures["weight"]) for cause in found}
        if heavy["overhead"] >= heavy.get("depthwise_kernel", 0.0) / 2:
            found = [cause for cause in found if cause.kind != "depthwise_kernel"]
    return sorted(found, key=lambda cause: -float(cause.figures["weight"]))


def _separable(layer: Layer) -> Sequence[Stage]:
    return layer.stages[SEPARABLE]


def _depthwise_stage(
    layer: Layer, timing: Timing, key: str, ceilings: Ceilings | None
) -> Iterator[Cause]:
    """The depthwise stage takes more time than MACs: it waits for memory, or its kernel is slow."""
    stage, whole = _separable(layer)[0], timing.depthwise_separable
    intensity = stage.cost.flops_per_byte
    if whole is None or timing.standard is None or intensity is None or ceilings is None:
        return
    found = predict([stage], ceilings, memory_format=_layout_of(key))
    part = timing.stages.get(stage.name)
    eager = not {"compile", "graph"} & set(key.split(":"))
    seconds = part.median_s if part else found.predicted_s if eager else None
    if seconds is None:
        return
    share_of_time = min(1.0, seconds / whole.median_s)
    share_of_macs = stage.cost.macs / sum(one.cost.macs for one in _separable(layer))
    if share_of_time < DOMINANT or share_of_time < share_of_macs:
        return
    figures: dict[str, float | str] = {
        "weight": share_of_time,
        "share_of_time": share_of_time,
        "share_of_macs": share_of_macs,
        "flops_per_byte": intensity,
        "ridge_flops_per_byte": ceilings.ridge_flops_per_byte,
        "roofline_fraction": min(1.0, found.roofline_s / seconds),
        "known_by": "measured" if part else "predicted",
    }
    waits = (
        intensity < ceilings.ridge_flops_per_byte and found.roofline_s >= NEAR_ROOFLINE * seconds
    )
    if waits:
        yield Cause("memory_bound", key, figures)
        return
    usual = sum(one.cost.flops for one in layer.stages[STANDARD]) / timing.standard.median_s
    yield Cause(
        "depthwise_kernel", key, {**figures, "efficiency": stage.cost.flops / seconds / usual}
    )


def _layout_of(key: str) -> str:
    return "channels_last" if "channels_last" in key.split(":") else "contiguous"


def _few_channels(
    layer: Layer, timing: Timing, key: str, ceilings: Ceilings | None
) -> Iterator[Cause]:
    """A stem: the standard layer spends its time on its output, which the separable one has too."""
    standard = layer.stages[STANDARD][0]
    conv = standard.conv
    channels = conv.in_channels // conv.groups if conv else FEW_CHANNELS
    if channels >= FEW_CHANNELS or ceilings is None or timing.standard is None:
        return
    output_share = standard.cost.output_bytes / standard.cost.traffic_bytes
    moving = standard.cost.traffic_bytes / ceilings.bytes_per_s / timing.standard.median_s
    if output_share < MOSTLY_OUTPUT or not DOMINANT <= moving <= 1:
        return
    figures = {
        "weight": moving + 1,
        "in_channels": float(channels),
        "moving_share": moving,
        "output_share": output_share,
    }
    yield Cause("few_channels", key, figures)


def _more_bytes(
    layer: Layer, timing: Timing, key: str, ceilings: Ceilings | None
) -> Iterator[Cause]:
    """The result between the stages is written and read once more, which takes much of the time."""
    standard, separable = (
        chain_cost([stage.cost for stage in layer.stages[name]]) for name in BOTH_WAYS
    )
    ratio, whole = separable.traffic_bytes / standard.traffic_bytes, timing.depthwise_separable
    if ratio < 1 or ceilings is None or whole is None:
        return
    moving = separable.traffic_bytes / ceilings.bytes_per_s / whole.median_s
    if DOMINANT <= moving <= 1:  # above 1 the bytes came from a cache
        figures = {"weight": moving, "traffic_ratio": ratio, "moving_share": moving}
        yield Cause("more_bytes", key, figures)


def _backend(layer: Layer, timing: Timing, key: str) -> Iterator[Cause]:
    """The pointwise stage is dense arithmetic too, yet another library computes it more slowly."""
    standard, stages = timing.standard, _separable(layer)
    if standard is None or not timing.backends:
        return
    usual = sum(stage.cost.flops for stage in layer.stages[STANDARD]) / standard.median_s
    for stage in stages:
        part = timing.stages.get(stage.name)
        if part is None or stage.conv is None or timing.depthwise_separable is None:
            continue
        if operator_class(stage.conv) == "depthwise":
            continue
        theirs, own = timing.backends.get(STANDARD), timing.backends.get(stage.name)
        efficiency = stage.cost.flops / part.median_s / usual
        share = part.median_s / timing.depthwise_separable.median_s
        if theirs and own and theirs != own and efficiency < LESS_EFFICIENT and share >= DOMINANT:
            yield Cause(
                "backend",
                key,
                {
                    "weight": share * (1 - efficiency),
                    "stage": stage.name,
                    "backend": own,
                    "standard_backend": theirs,
                    "efficiency": efficiency,
                    "share_of_time": share,
                },
            )


def _overhead(layer: Layer, timing: Timing, key: str, ceilings: Ceilings | None) -> Iterator[Cause]:
    """Two calls instead of one: what a call costs whatever it computes is paid once more."""
    whole = timing.depthwise_separable
    if whole is None or ceilings is None or {"compile", "graph"} & set(key.split(":")):
        return  # the fixed cost was measured eagerly
    stages = _separable(layer)
    convs = [stage.conv for stage in stages if stage.conv]
    rates = [ceilings.rates.get(f"{operator_class(conv)}:{_layout_of(key)}") for conv in convs]
    known = [rate.t0_s for rate in rates if rate is not None]
    share = sum(known) / whole.median_s
    if (
        len(known) == len(stages) and OVERHEAD <= share < 1
    ):  # else the machine was busier when that cost was measured
        largest = max(range(len(known)), key=lambda at: known[at])
        yield Cause(
            "overhead",
            key,
            {
                "weight": share,
                "overhead_s": sum(known),
                "share_of_time": share,
                "calls": float(len(known)),
                "stage": stages[largest].name,
                "stage_overhead_s": known[largest],
            },
        )


def _layout(timings: Mapping[str, Timing], key: str) -> Iterator[Cause]:
    """The layer is faster in channels_last: contiguous, its depthwise stage is reordered twice."""
    wanted = {*key.split(":"), "channels_last"}
    other = next(
        (
            timing
            for name, timing in timings.items()
            if name != key and set(name.split(":")) == wanted
        ),
        None,
    )
    own = timings[key].depthwise_separable
    if other is None or other.depthwise_separable is None or own is None:
        return
    gain = own.median_s / other.depthwise_separable.median_s
    standard, other_standard = timings[key].standard, other.standard
    if standard is None or other_standard is None:
        return
    standard_gain = standard.median_s / other_standard.median_s
    if gain >= LAYOUT_GAIN * max(1.0, standard_gain):
        figures = {"weight": 1 - 1 / gain, "gain": gain, "standard_gain": standard_gain}
        here, there = timings[key].stages.get("depthwise"), other.stages.get("depthwise")
        if here and there:
            figures["depthwise_gain"] = here.median_s / there.median_s
        yield Cause("layout", key, figures)
