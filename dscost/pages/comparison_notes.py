"""What is said below the tables of a comparison."""

from collections.abc import Iterator

from dscost.comparing.differences import Comparison
from dscost.notation.units import counted
from dscost.pages.conventions import convention_notes
from dscost.pages.model_table import settings_of, times_as_many
from dscost.pages.page import Page, Toned, in_tone_of, judged_as
from dscost.pages.reports import FLOPS_NOTE
from dscost.pages.runs import setting_title
from dscost.pages.wording import format_speedup
from dscost.reports.figures import FIGURES
from dscost.reports.records import Speedup


def what_else(comparison: Comparison) -> list[str]:
    """Return what there is besides the table of models, for who does not know the options."""
    more = []
    if comparison.layers is None:
        more.append("--layers shows the layers, of which they share less than a fifth")
    if not any(one.latencies for one in comparison.contenders):
        more.append("--time times them in turns")
    return [Toned(f"{'; '.join(more)}.", "method")] if more else []


MOST_ANSWERS = 6
"""Models that a page says the answer of above its table."""


def answers_of(comparison: Comparison) -> Iterator[str]:
    """Yield how each timed model stands to the first: MACs, and what the clock says."""
    timed = [one for one in comparison.versus if one.speedups]
    for versus in timed[:MOST_ANSWERS]:
        macs = next(one for one in versus.totals if one.metric == "macs")
        fewer = "" if macs.value == macs.reference else f"{times_as_many(macs)} MACs, "
        for setting, speedup in versus.speedups.items():
            under = f" under {setting_title(setting)}" if len(versus.speedups) > 1 else ""
            who = f"{versus.label} against {comparison.reference.label}"
            yield judged_as(f"{who}: {fewer}{_by_the_clock(speedup)}{under}.", speedup.verdict)
    if len(timed) > MOST_ANSWERS:
        yield f"{counted(len(timed) - MOST_ANSWERS, 'model')} more in the table."


def _by_the_clock(speedup: Speedup) -> str:
    said = format_speedup(speedup)
    if speedup.verdict != "unclear":
        return said
    return f"the clock cannot tell{'' if speedup.is_wide else f' ({said})'}"


def notes_of(comparison: Comparison, first: Page) -> list[str]:
    """Return what the reader must know about the figures of the first page."""
    notes: list[str] = [FLOPS_NOTE] if _tells_flops(first) else []
    if comparison.environment:
        from dscost.pages.measuring_words import measured_notes

        timed = [one.report.latency for one in comparison.contenders if one.timed]
        keys = settings_of(comparison)
        timings = {key: next((one[key] for one in timed if key in one), None) for key in keys}
        notes += measured_notes(comparison.environment, timings)
    for one in comparison.contenders:
        notes += (in_tone_of(f"{one.label}: {note}", note) for note in convention_notes(one.report))
    return [*notes, *comparison.notes]


def _tells_flops(page: Page) -> bool:
    title = FIGURES["flops"].title
    return any(
        title in (column.header for column in sheet.columns)
        or any(row.cells.get("figure") == title for row in sheet.rows)
        for sheet in page.sheets
    )
