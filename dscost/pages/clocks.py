"""What processor time says beside the clock on the wall: a column and a sentence of its own."""

from collections.abc import Mapping

from dscost.layers.variants import SEPARABLE
from dscost.pages.page import Column, in_tone_of, judged_as, without_interval
from dscost.pages.wording import LONGER, format_speedup
from dscost.reports.records import Environment, Speedup, Timing

CPU_TIME = "CPU time [95 %]"
"""What stands above the column of its ratios: standard over the variant."""
WHAT_IT_IS = (
    "CPU time is what the processor spent on this process alone over the same pairs: "
    "no latency, but less disturbed by others"
)


def cpu_column(priority: int) -> Column:
    """Return the column of processor time."""
    return Column("cpu_time", CPU_TIME, priority, narrow=without_interval)


def format_cpu_time(ratio: Speedup | None) -> str:
    """Return a ratio of processor times in words of its own, since it is no speedup.

    >>> format_cpu_time(Speedup(3.6, (3.5, 3.7))), format_cpu_time(Speedup(0.8, (0.78, 0.82)))
    ('3.6× less [3.5, 3.7]', '1.25× more [1.22, 1.28]')
    >>> format_cpu_time(Speedup(1.01, (0.98, 1.02))), format_cpu_time(None)
    ('no difference [0.98, 1.02]', '')
    """
    if ratio is None:
        return ""
    said = format_speedup(ratio)
    return in_tone_of(said.replace("faster", "less").replace("slower", "more"), said)


def cpu_cells(timing: Timing | None, variant: str = SEPARABLE) -> dict[str, str]:
    """Return the cell of a variant; none where processor time was not read."""
    clock = timing.cpu_clock if timing else None
    return {"cpu_time": format_cpu_time(clock.ratios.get(variant))} if clock else {}


def cpu_sentences(timing: Timing | None, titles: Mapping[str, str], lead: str = "") -> list[str]:
    """Return what processor time says of each variant, with its own verdict.

    Args:
        timing: What was measured under the setting that is spoken of.
        titles: Of the variants.
        lead: What a sentence begins with.
    """
    ratios = timing.cpu_clock.ratios if timing and timing.cpu_clock else {}
    said = [(f"{lead}{titles[name]} {_said(one)}.", one.verdict) for name, one in ratios.items()]
    return [judged_as(text[0].upper() + text[1:], verdict) for text, verdict in said]


def _said(ratio: Speedup) -> str:
    match ratio.verdict:
        case "same":
            return f"takes as much CPU time: {format_cpu_time(ratio)}"
        case "unclear":
            figures = "" if ratio.is_wide else f" ({format_cpu_time(ratio)})"
            return f"may take more or less CPU time{figures}; {LONGER} tell"
    size, _, interval = format_cpu_time(ratio).partition(" [")
    return f"takes {size} CPU time than standard [{interval}"


def is_read(where: Environment | None) -> bool:
    """Whether processor time was read as well."""
    return where is not None and where.clock == "cpu"
