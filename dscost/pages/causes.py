"""Why a variant is as fast as it is, and how sure the clock was, in words.

Only what was measured needs it.
"""

from collections.abc import Callable, Mapping, Sequence

from dscost.notation.units import counted, format_factor, format_seconds
from dscost.reports.records import SAME_WITHIN, Cause, Environment, Noise

_DEPTHWISE_SHARE = (
    "Its depthwise stage {takes} {share_of_time:.0%} of the time "
    "for {share_of_macs:.0%} of the MACs: "
)
_CAUSES: Mapping[str, tuple[str, str]] = {
    "memory_bound": (
        "memory-bound depthwise",
        _DEPTHWISE_SHARE + "at {flops_per_byte:.1f} FLOP/byte, left of the ridge at "
        "{ridge_flops_per_byte:.1f}, it waits for memory.",
    ),
    "depthwise_kernel": (
        "slow depthwise kernel",
        _DEPTHWISE_SHARE + "its kernel reaches {efficiency:.0%} of the FLOP/s of the standard "
        "layer and {roofline_fraction:.0%} of its own roofline.",
    ),
    "more_bytes": (
        "moves more bytes",
        "It moves {traffic_ratio:.2f} times the bytes of the standard layer, and moving them takes "
        "{moving_share:.0%} of its time at the bandwidth of memory.",
    ),
    "few_channels": (
        "few input channels",
        "With {in_channels:.0f} input channels per group there is little arithmetic to save: "
        "moving bytes takes {moving_share:.0%} of the standard layer's time, and "
        "{output_share:.0%} of them are its output, which stays.",
    ),
    "backend": (
        "slower backend",
        "torch computes its {stage} stage with {backend} at {efficiency:.0%} of the FLOP/s that "
        "the standard layer has with {standard_backend}; that stage is {share_of_time:.0%} of the "
        "time.",
    ),
    "overhead": (
        "call overhead",
        "Call overhead is {overhead_s} of {whole} ({share_of_time:.0%}), {stage_overhead_s} of it "
        "in the {stage} stage.",
    ),
    "layout": (
        "layout",
        "In channels_last it runs {gain} faster{of_depthwise}, the standard layer {standard_gain}.",
    ),
    "allocation": (
        "allocation",
        "Every call asks the system for {faults_per_call:,.0f} fresh pages of memory; "
        "--allocator tuned keeps freed memory.",
    ),
}
"""What a table calls the causes, and a sentence for the figures that decided them."""

_BUSY = {
    "load": "load {figure:.1f} on {limit:.0f} cores",
    "cpu_pressure": "somebody waited for a processor in {figure:.0f} % of the last 10 s",
    "steal": "other guests of this host took {figure:.0%} of the processor time",
    "context_switches": "{figure:.0%} of the blocks were interrupted{where}",
}
"""What a busy machine shows by, each with its figure; of all that apply one sentence is made."""

_NOISE = {
    "page_faults": "Each call caused {figure:,.0f} page faults{where}: allocation is part of the "
    "time.",
    "regimes": "Results differ {figure:.1f}× more between rounds than within a round{where}: the "
    "machine switches between speed states, so trust the interval, not the median.",
    "more_than_macs": "A speedup of {figure:.2f} is more than the {limit:.2f} times fewer "
    "MACs{where}: it cannot come from arithmetic alone.",
    "over_roofline": "Measured {figure:.2f} times as fast as the roofline allows{where}: the data "
    "stay in the caches, or its peaks were measured on a busier machine (dscost device "
    "--refresh).",
    "throttled": "The clock was under {limit:.0%} of its largest in {figure:.0%} of the "
    "blocks{where}.",
}
"""What disturbs a measurement, with its figure, what is in order, and where it was worst."""
_OTHER_NOISE = "{kind}: {figure:.3g}, in order up to {limit:.3g}{where}."
"""Of a later version."""


def cause_word(cause: Cause) -> str:
    """Return a cause in two or three words."""
    word, _ = _CAUSES.get(cause.kind, (cause.kind.replace("_", " "), ""))
    return word


def cause_sentence(cause: Cause) -> str:
    """Return why, with the figures that decided it; plainly where a later version found it out."""
    try:
        _, sentence = _CAUSES[cause.kind]
        return sentence.format_map(_in_words(cause.figures))
    except (KeyError, TypeError, ValueError):  # another kind, or other figures
        figures = ", ".join(f"{name} {_plain(value)}" for name, value in cause.figures.items())
        return f"{cause_word(cause).capitalize()}{f': {figures}' if figures else ''}."


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


_TEXTS: Mapping[str, Callable[[float], str]] = {"_s": format_seconds, "gain": format_factor}
"""How figures are written, by the end of their names; a text in their place is not understood."""


def _in_words(figures: Mapping[str, float | str]) -> dict[str, float | str]:
    """Return the figures of a cause as sentences take them: times and gains are text already."""
    words: dict[str, float | str] = {}
    for name, value in figures.items():
        text_of = next((one for ending, one in _TEXTS.items() if name.endswith(ending)), None)
        if text_of is None:
            words[name] = value
        elif not isinstance(value, str):
            words[name] = text_of(value)
    if "known_by" in figures:
        is_measured = figures["known_by"] == "measured"
        words["takes"] = "takes" if is_measured else "is expected to take"
    overhead_s, share = figures.get("overhead_s"), figures.get("share_of_time")
    if not isinstance(overhead_s, str | None) and not isinstance(share, str | None) and share:
        words["whole"] = format_seconds(overhead_s / share)
    of_depthwise = words.get("depthwise_gain")
    words["of_depthwise"] = f" (its depthwise stage {of_depthwise})" if of_depthwise else ""
    return words


def noise_sentences(noise: Sequence[Noise]) -> list[str]:
    """Return what made measurements less sure, like things in one sentence, with their figures."""
    by_kind: dict[str, list[Noise]] = {}
    for one in noise:
        by_kind.setdefault(one.kind, []).append(one)
    busy = [_said(_BUSY[kind], by_kind.pop(kind)) for kind in _BUSY if kind in by_kind]
    others = [_said(_NOISE.get(kind, _OTHER_NOISE), alike) for kind, alike in by_kind.items()]
    if not busy:
        return others
    return [f"The machine was busy: {', '.join(busy)}. Measure again when it is idle.", *others]


def _said(text: str, alike: Sequence[Noise]) -> str:
    """Return what is said of noises of one kind: the figure of the worst, and where it was."""
    worst = max(alike, key=lambda one: one.figure)
    where = worst.where
    if len(alike) > 1:
        where = f"{worst.where} and {len(alike) - 1} more"
    return text.format(
        kind=worst.kind.replace("_", " ").capitalize(),
        figure=worst.figure,
        limit=worst.limit,
        where=f" ({where})" if where else "",
    )


_COUNTERS = {"cpu_pressure": "CPU pressure", "gpu_clock": "GPU clock"}
"""How counters are called whose names have capitals."""


def measured_notes(where: Environment, setting: str) -> list[str]:
    """Return where and how the times beside the costs were taken, and what made them less sure."""
    threads = counted(where.threads, "thread")
    flags = "".join(f", {name} {value}" for name, value in where.flags.items())
    notes = [
        f"Measured on {where.device}, {threads}, {setting}, torch {where.torch_version}{flags}: "
        "random weights and inputs, interleaved pairs, medians with 95 % intervals."
    ]
    for key, ceiling in where.ceilings.items():
        peak, memory = ceiling.flops_per_s, ceiling.bytes_per_s
        notes.append(
            f"Roofline of {key.replace(':', ' ')}: {peak / 1e9:,.0f} GFLOP/s, "
            f"{memory / 1e9:,.1f} GB/s, "
            f"ridge at {peak / memory:.1f} FLOP/byte (dscost device)."
        )
    if where.noise_floor is None:
        notes.append(
            "The noise floor could not be found in so short a time; "
            "differences under 10% are taken for noise."
        )
    else:
        notes.append(
            f"Noise floor: a layer timed against itself was within {where.noise_floor:.1%}; "
            f"differences under {max(where.noise_floor, SAME_WITHIN):.1%} are taken for noise."
        )
    notes += noise_sentences(where.noise)
    if where.unknown:
        counters = ", ".join(_COUNTERS.get(name, name.replace("_", " ")) for name in where.unknown)
        notes.append(f"Not available on this system: {counters}.")
    return notes
