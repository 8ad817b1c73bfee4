"""Why a variant is as fast as it is, and how sure the clock was, in words.

Only what was measured needs it.
"""

from collections.abc import Sequence

from dscost.notation.units import format_factor, format_seconds
from dscost.reports.records import SAME_WITHIN, Cause, Environment, Noise

_CAUSES = {
    "memory_bound": "memory-bound depthwise",
    "depthwise_kernel": "slow depthwise kernel",
    "more_bytes": "moves more bytes",
    "few_channels": "few input channels",
    "backend": "slower backend",
    "overhead": "fixed cost of its calls",
    "layout": "layout",
    "allocation": "allocation",
}
"""What a table calls the causes."""


def cause_word(cause: Cause) -> str:
    """Return a cause in two or three words."""
    return _CAUSES.get(cause.kind, cause.kind.replace("_", " "))


def cause_sentence(cause: Cause) -> str:
    """Return why, with the figures that decided it; plainly where a later version found it out."""
    try:
        return _cause_sentence(cause)
    except (KeyError, TypeError, ValueError):  # another kind, or other figures
        figures = ", ".join(f"{name} {_plain(value)}" for name, value in cause.figures.items())
        return f"{cause_word(cause).capitalize()}{f': {figures}' if figures else ''}."


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _cause_sentence(cause: Cause) -> str:
    f = {name: value for name, value in cause.figures.items() if not isinstance(value, str)}
    match cause.kind:
        case "memory_bound":
            takes = "takes" if cause.figures["known_by"] == "measured" else "is expected to take"
            return (
                f"Its depthwise stage {takes} {f['share_of_time']:.0%} of the time "
                f"for {f['share_of_macs']:.0%} of the MACs: "
                f"at {f['flops_per_byte']:.1f} FLOP/byte, left of the ridge at "
                f"{f['ridge_flops_per_byte']:.1f}, it waits for memory."
            )
        case "depthwise_kernel":
            takes = "takes" if cause.figures["known_by"] == "measured" else "is expected to take"
            return (
                f"Its depthwise stage {takes} {f['share_of_time']:.0%} of the time "
                f"for {f['share_of_macs']:.0%} of the MACs: "
                f"its kernel reaches {f['efficiency']:.0%} of the FLOP/s of the standard layer and "
                f"{f['roofline_fraction']:.0%} of its own roofline."
            )
        case "more_bytes":
            return (
                f"It moves {f['traffic_ratio']:.2f} times the bytes of the standard layer, "
                "and moving them takes "
                f"{f['moving_share']:.0%} of its time at the bandwidth of memory."
            )
        case "few_channels":
            return (
                f"With {f['in_channels']:.0f} input channels per group there is little arithmetic "
                "to save: "
                f"moving bytes takes {f['moving_share']:.0%} of the standard layer's time, "
                f"and {f['output_share']:.0%} of "
                "them are its output, which stays."
            )
        case "backend":
            return (
                f"torch computes its {cause.figures['stage']} stage with "
                f"{cause.figures['backend']} at "
                f"{f['efficiency']:.0%} of the FLOP/s that the standard layer has with "
                f"{cause.figures['standard_backend']}; "
                f"that stage is {f['share_of_time']:.0%} of the time."
            )
        case "overhead":
            return (
                f"Its {f['calls']:.0f} calls cost {format_seconds(f['overhead_s'])} "
                f"whatever they compute, {f['share_of_time']:.0%} of its time; "
                f"{format_seconds(f['stage_overhead_s'])} of that is the "
                f"{cause.figures['stage']} stage's."
            )
        case "layout":
            stage = (
                f" (its depthwise stage {format_factor(f['depthwise_gain'])})"
                if "depthwise_gain" in f
                else ""
            )
            return (
                f"In channels_last it runs {format_factor(f['gain'])} faster{stage}, "
                f"the standard layer {format_factor(f['standard_gain'])}."
            )
        case "allocation":
            return (
                f"Every call asks the system for {f['faults_per_call']:,.0f} fresh pages "
                "of memory; "
                "--allocator tuned keeps freed memory."
            )
    raise ValueError(f"unknown cause {cause.kind}")


def noise_sentences(noise: Sequence[Noise]) -> list[str]:
    """Return what made measurements less sure, like things in one sentence, with their figures."""
    by_kind: dict[str, list[Noise]] = {}
    for one in noise:
        by_kind.setdefault(one.kind, []).append(one)
    return [_noise_sentence(kind, alike) for kind, alike in by_kind.items()]


def _noise_sentence(kind: str, alike: Sequence[Noise]) -> str:
    worst = max(alike, key=lambda one: one.figure)
    figure, limit = worst.figure, worst.limit
    where = f" ({worst.where})" if worst.where else ""
    if len(alike) > 1:
        where = f" ({worst.where} and {len(alike) - 1} more)"
    match kind:
        case "load":
            return (
                f"The machine was busy: load {figure:.1f} on {limit:.0f} cores "
                "when measuring began."
            )
        case "cpu_pressure":
            return (
                "The machine was busy: something waited for a processor "
                f"in {figure:.0f} % of the last 10 s."
            )
        case "steal":
            return f"Other guests of this host took {figure:.0%} of the processor time."
        case "context_switches":
            return (
                f"The system took the processor away in {figure:.0%} of the blocks{where}; "
                "those are left out where enough remain."
            )
        case "page_faults":
            return (
                f"Each call caused {figure:,.0f} page faults{where}: "
                "allocation is part of the time."
            )
        case "regimes":
            return (
                f"The speed changed between epochs {figure:.1f} times as much "
                f"as within them{where}: "
                "the machine has more than one regime, so trust the interval, not the median."
            )
        case "more_than_macs":
            return (
                f"A speedup of {figure:.2f} is more than the {limit:.2f} times fewer MACs{where}: "
                "it cannot come from arithmetic alone."
            )
        case "over_roofline":
            return (
                f"Measured {figure:.2f} times as fast as the roofline allows{where}: "
                "the data stay in the caches, "
                "or the ceilings were measured on a busier machine (dscost device --refresh)."
            )
        case "throttled":
            return (
                f"The clock was under {limit:.0%} of its largest "
                f"in {figure:.0%} of the blocks{where}."
            )
    name = kind.replace("_", " ").capitalize()  # of a later version
    return f"{name}: {figure:.3g}, in order up to {limit:.3g}{where}."


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
            "The noise floor was not found out in so short a time; "
            "no difference under 10% is called."
        )
    else:
        notes.append(
            f"Noise floor: a layer timed against itself was within {where.noise_floor:.1%}; "
            f"no difference under {max(where.noise_floor, SAME_WITHIN):.1%} is called."
        )
    notes += noise_sentences(where.noise)
    if where.unknown:
        notes.append(f"This system does not tell: {', '.join(where.unknown)}.")
    return notes
