"""Why a variant is as fast as it is, in words.

Only what was measured needs it.
"""

from collections.abc import Callable, Mapping, Sequence

from dscost.errors import first_of
from dscost.notation.units import format_factor, format_seconds
from dscost.pages.layer_names import in_few_words
from dscost.pages.layer_table import ROOT, known_causes
from dscost.pages.roofline_chart import format_speed
from dscost.pages.runs import setting_title
from dscost.pages.wording import said_decimals
from dscost.reports.records import Cause, Layer

NAMES_SHOWN = 4
"""Names or patterns of layers that share something."""
CAUSES_SHOWN = 2
"""Causes that are told of a layer whose user has not asked for all."""

_DEPTHWISE_SHARE = (
    "Its depthwise stage{takes} {share_of_time:.0%} of the time "
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
    "slow_depthwise": (
        "slow depthwise kernel",
        _DEPTHWISE_SHARE + "its kernel reaches {efficiency:.0%} of the FLOP/s of the standard "
        "layer.",
    ),
    "slow_dense": (
        "slow dense kernel",
        "More than the MACs promise, since the standard layer is slow here: its kernel computes "
        "{dense_flops_per_s}, {share:.0%} of the {pointwise_flops_per_s} that a 1×1 convolution of "
        "equal MACs reaches.",
    ),
    "fast_dense": (
        "fast dense kernel",
        "The standard layer is fast here: it computes {dense_flops_per_s}, {share:.0%} of the "
        "{pointwise_flops_per_s} that a 1×1 convolution of equal MACs reaches, so that fewer MACs "
        "save less time.",
    ),
    "fast_transform": (
        "fast transform",
        "The standard layer is computed by a fast transform, as of Winograd: its MACs in that time "
        "would be {dense_flops_per_s}, above the peak of {peak_flops_per_s}, and {share:.0%} of "
        "what a 1×1 convolution of equal MACs reaches.",
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
        "Two calls instead of one: {overhead_s} ({share_of_time:.0%}) is spent before any "
        "arithmetic, {stage_overhead_s} of it in the {stage} call.",
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


_SHORT: Mapping[str, tuple[str, str, str]] = {
    "memory_bound": ("depthwise stage waits for memory, {} of {whose} time", "share_of_time", "%"),
    "depthwise_kernel": ("slow depthwise kernel, {} of {whose} time", "share_of_time", "%"),
    "slow_depthwise": ("slow depthwise kernel, {} of {whose} time", "share_of_time", "%"),
    "slow_dense": ("slow dense kernel, {} of the FLOP/s of a 1×1 of equal MACs", "share", "%"),
    "fast_dense": ("fast dense kernel, {} of the FLOP/s of a 1×1 of equal MACs", "share", "%"),
    "fast_transform": ("dense by a fast transform, {} of a 1×1 of equal MACs", "share", "%"),
    "more_bytes": ("it moves {} the bytes", "traffic_ratio", "×"),
    "few_channels": ("{} input channels save little arithmetic", "in_channels", ""),
    "backend": ("slower backend, {} of {whose} time", "share_of_time", "%"),
    "overhead": ("call overhead, {} of {whose} time", "share_of_time", "%"),
    "layout": ("{} faster in channels_last", "gain", "×"),
}
"""A cause in few words, the figure that tells most of it, and what that is a number of."""


def shared_cause(causes: Sequence[Cause]) -> str:
    """Return a cause that several layers have, in few words, with the range of its figure."""
    text, name, unit = _SHORT.get(causes[0].kind, (cause_word(causes[0]), "", ""))
    figures = [value for one in causes if not isinstance(value := one.figures.get(name), str)]
    known = [value for value in figures if value is not None]
    if not known:
        return cause_word(causes[0])
    whose = "their" if len(causes) > 1 else "its"
    said = text.format(format_range(min(known), max(known), unit), whose=whose)
    is_alone = any(one.figures.get("known_by") == "alone" for one in causes)
    return f"{said}, timed alone" if is_alone else said


def format_range(low: float, high: float, unit: str) -> str:
    """Return the least and the most of a figure in few digits: `40–68 %`, `2.8–6.1×`, `3`.

    Args:
        low: The least.
        high: The most.
        unit: `%` of a share, `×` of a factor, empty of a number.
    """
    digits = said_decimals(high) if unit == "×" else 0
    scale = 100 if unit == "%" else 1
    texts = dict.fromkeys(f"{scale * value:.{digits}f}" for value in (low, high))
    return "–".join(texts) + {"%": " %"}.get(unit, unit)


def sentences_of(layer: Layer, *, is_all: bool) -> list[str]:
    """Return why a layer is as fast as it is under each setting that was explained.

    Args:
        layer: With causes.
        is_all: Whether to tell more than the weightiest.
    """
    sentences = []
    for at, setting in enumerate(layer.latency):
        causes = known_causes(layer, setting)
        told = [cause_sentence(cause) for cause in (causes if is_all else causes[:CAUSES_SHOWN])]
        if told and at:
            told[0] = f"Under {setting_title(setting)}: {told[0][0].lower()}{told[0][1:]}"
        sentences += told
    return sentences


def cause_lines(
    layers: Sequence[Layer], layers_in_all: Sequence[str], own: str | None = None
) -> list[str]:
    """Return why layers are as fast as they are; a reason that several share stands once.

    Args:
        layers: With causes.
        layers_in_all: Names of all from which those that are told are to be told apart.
        own: The setting of the times beside them, by default the first: others are named.
    """
    own = own or next((key for layer in layers for key in layer.latency), None)
    alike: dict[tuple[str, str], list[tuple[Layer, Cause]]] = {}
    for layer in layers:
        for setting in layer.latency:
            if causes := known_causes(layer, setting):
                alike.setdefault((setting, causes[0].kind), []).append((layer, causes[0]))
    lines = []
    for (setting, _), group in alike.items():
        (first, cause), *others = group
        under = "" if setting == own else f"Under {setting_title(setting)}: "
        if others:
            names = in_few_words([layer.name for layer, _ in group], layers_in_all)
            why = shared_cause([cause for _, cause in group])
            lines.append(f"{under}{len(group)} layers: {why} ({first_of(names, NAMES_SHOWN)}).")
        else:
            lines.append(f"{under}{first.name or ROOT}: {cause_sentence(cause)}")
    return lines


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


_TEXTS: Mapping[str, Callable[[float], str]] = {
    "flops_per_s": lambda value: format_speed(value, "FLOP/s"),
    "_s": format_seconds,
    "gain": format_factor,
}
"""How figures are written, by the end of their names; a text in their place is not understood."""

_TAKES: Mapping[float | str, str] = {
    "measured": " takes",
    "predicted": " is expected to take",
    "profile": ", by the engine's own profile, takes",
    "alone": ", timed alone with its own call and reorders, takes",
}
"""What a stage does for so much of the time, by how that is known."""


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
        words["takes"] = _TAKES.get(figures["known_by"], _TAKES["predicted"])
    of_depthwise = words.get("depthwise_gain")
    words["of_depthwise"] = f" (its depthwise stage {of_depthwise})" if of_depthwise else ""
    return words
