"""Why a variant is as fast as it is, and how sure the clock was, in words.

Only what was measured needs it.
"""

from collections.abc import Mapping, Sequence

from dscost.notation.units import format_factor, format_seconds
from dscost.reports.records import SAME_WITHIN, Cause, Environment, Noise

_CAUSES = {
    "memory_bound": (
        "memory-bound depthwise",
        "Its depthwise stage {takes} {share_of_time:.0%} of the time for {share_of_macs:.0%} of "
        "the MACs: at {flops_per_byte:.1f} FLOP/byte, left of the ridge at "
        "{ridge_flops_per_byte:.1f}, it waits for memory.",
    ),
    "depthwise_kernel": (
        "slow depthwise kernel",
        "Its depthwise stage {takes} {share_of_time:.0%} of the time for {share_of_macs:.0%} of "
        "the MACs: its kernel reaches {efficiency:.0%} of the FLOP/s of the standard layer and "
        "{roofline_fraction:.0%} of its own roofline.",
    ),
    "more_bytes": (
        "moves more bytes",
        "It moves {traffic_ratio:.2f} times the bytes of the standard layer, and moving them "
        "takes {moving_share:.0%} of its time at the bandwidth of memory.",
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
        "the standard layer has with {standard_backend}; that stage is {share_of_time:.0%} of "
        "the time.",
    ),
    "overhead": (
        "call overhead",
        "Call overhead is {overhead} of {whole} ({share_of_time:.0%}), {stage_overhead} of it in "
        "the {stage} stage.",
    ),
    "layout": (
        "layout",
        "In channels_last it runs {gain_text} faster{stage_gain}, the standard layer "
        "{standard_gain_text}.",
    ),
    "allocation": (
        "allocation",
        "Every call asks the system for {faults_per_call:,.0f} fresh pages of memory; "
        "--allocator tuned keeps freed memory.",
    ),
}
"""By kind, what a table calls a cause, and the sentence for its figures (and what `_said` adds)."""


def cause_word(cause: Cause) -> str:
    """Return a cause in two or three words."""
    return _CAUSES[cause.kind][0] if cause.kind in _CAUSES else cause.kind.replace("_", " ")


def cause_sentence(cause: Cause) -> str:
    """Return why, with the figures that decided it; plainly where a later version found it out."""
    try:
        return _CAUSES[cause.kind][1].format_map(_said(cause.figures))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # another kind, or other figures
        figures = ", ".join(f"{name} {_plain(value)}" for name, value in cause.figures.items())
        return f"{cause_word(cause).capitalize()}{f': {figures}' if figures else ''}."


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _said(figures: Mapping[str, float | str]) -> Mapping[str, object]:
    """Return the figures of a cause, and in words those that are times, factors or choices."""
    said: dict[str, object] = dict(figures)
    if "known_by" in figures:
        measured = figures["known_by"] == "measured"
        said["takes"] = "takes" if measured else "is expected to take"
    numbers = {name: one for name, one in figures.items() if not isinstance(one, str)}
    if "overhead_s" in numbers:
        said["overhead"] = format_seconds(numbers["overhead_s"])
        said["whole"] = format_seconds(numbers["overhead_s"] / numbers["share_of_time"])
        said["stage_overhead"] = format_seconds(numbers["stage_overhead_s"])
    if "gain" in numbers:
        said["gain_text"] = format_factor(numbers["gain"])
        said["standard_gain_text"] = format_factor(numbers["standard_gain"])
        stage = numbers.get("depthwise_gain")
        said["stage_gain"] = f" (its depthwise stage {format_factor(stage)})" if stage else ""
    return said


_NOISES = {
    "load": "The machine was busy: load {figure:.1f} on {limit:.0f} cores when measuring began.",
    "cpu_pressure": "The machine was busy: something waited for a processor in {figure:.0f} % of "
    "the last 10 s.",
    "steal": "Other guests of this host took {figure:.0%} of the processor time.",
    "context_switches": "The system took the processor away in {figure:.0%} of the blocks{where}; "
    "those are left out where enough remain.",
    "page_faults": "Each call caused {figure:,.0f} page faults{where}: allocation is part of the "
    "time.",
    "regimes": "Results differ {figure:.1f}× more between rounds than within a round{where}: the "
    "machine switches between speed states, so trust the interval, not the median.",
    "more_than_macs": "A speedup of {figure:.2f} is more than the {limit:.2f} times fewer "
    "MACs{where}: it cannot come from arithmetic alone.",
    "over_roofline": "Measured {figure:.2f} times as fast as the roofline allows{where}: the data "
    "stay in the caches, or the ceilings were measured on a busier machine "
    "(dscost device --refresh).",
    "throttled": "The clock was under {limit:.0%} of its largest in {figure:.0%} of the "
    "blocks{where}.",
}
"""What is said of each kind of noise; where it was is in brackets."""


def noise_sentences(noise: Sequence[Noise]) -> list[str]:
    """Return what made measurements less sure, like things in one sentence, with their figures."""
    by_kind: dict[str, list[Noise]] = {}
    for one in noise:
        by_kind.setdefault(one.kind, []).append(one)
    return [_noise_sentence(kind, alike) for kind, alike in by_kind.items()]


def _noise_sentence(kind: str, alike: Sequence[Noise]) -> str:
    worst = max(alike, key=lambda one: one.figure)
    where = f" ({worst.where})" if worst.where else ""
    if len(alike) > 1:
        where = f" ({worst.where} and {len(alike) - 1} more)"
    if kind in _NOISES:
        return _NOISES[kind].format(figure=worst.figure, limit=worst.limit, where=where)
    name = kind.replace("_", " ").capitalize()  # of a later version
    return f"{name}: {worst.figure:.3g}, in order up to {worst.limit:.3g}{where}."


_COUNTERS = {"cpu_pressure": "CPU pressure", "gpu_clock": "GPU clock"}
"""How counters are called whose names have capitals."""


def measured_notes(where: Environment, setting: str) -> list[str]:
    """Return where and how the times were taken, and what made them less sure.

    Args:
        where: The environment of a report.
        setting: Under which the figures that stand beside the costs were measured.
    """
    threads = f"{where.threads} thread{'' if where.threads == 1 else 's'}"
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
