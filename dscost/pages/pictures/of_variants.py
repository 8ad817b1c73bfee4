"""What the variants of a layer cost beside its standard convolution, as bars."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dscost.layers.variants import STANDARD
from dscost.notation.units import format_bytes, format_count, format_seconds
from dscost.pages.pictures.picture import Axis, Bar, Bars, Interval, NotDrawn, has_place
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.pages.wording import formula_line, variant_titles
from dscost.reports.records import Layer, Report, Timing

NAME = "costs"
MOST_SETTINGS = 4
"""Of the settings that something was timed under, each of the first has a bar."""


class _Figure(NamedTuple):
    """A figure of each variant: as a share of that of standard, and in words."""

    title: str
    shares: Mapping[str, float]
    texts: Mapping[str, str]
    intervals: Mapping[str, Interval]


def costs_picture(report: Report) -> Bars | NotDrawn:
    """Return MACs, bytes moved and time of each variant of a layer as shares of its standard."""
    (layer,) = report.layers
    names = list(layer.variants)
    if len(names) < 2:
        return NotDrawn(NAME, "there is nothing to compare it with: see dscost list variants")
    figures = list(_figures(layer))
    keys = list(layer.latency)
    titles = variant_titles(report)
    return Bars(
        name=NAME,
        title=f"{short(report.target)}: what its variants cost",
        told=f"Bars of {', '.join(one.title for one in figures)} as shares of standard. "
        + " ".join(_sentence(name, titles[name], figures) for name in names),
        axis=Axis("share of standard", "share", includes=(1.0,)),
        series=[one.title for one in figures],
        bars=[
            Bar(
                titles[name],
                [one.shares.get(name) for one in figures],
                _sentence(name, titles[name], figures),
                intervals=[one.intervals.get(name) for one in figures],
                texts=[_text(one, name) for one in figures],
            )
            for name in names
        ],
        notes=list(_notes(report)),
        measured=measured_at(report.environment, keys[:MOST_SETTINGS]) if keys else "",
    )


SHARES_NOTE = (
    "A share of time, and the interval on it, is of the two timed in turns, not of their latencies."
)


def _notes(report: Report) -> Iterator[str]:
    """Yield the formula with its numbers, and what the shares of times are."""
    (layer,) = report.layers
    if layer.formula_ratio is not None and layer.conv is not None:
        said = formula_line(layer.conv, report.settings["depth_multiplier"], layer.formula_ratio)
        of = "weights" if layer.conv.transposed else "weights and MACs"
        share = f"{100 * layer.formula_ratio:.3g} % of the {of} of standard"
        yield f"The formula: {said.rpartition(' = ')[0]} = {share}."
    if layer.latency:
        yield SHARES_NOTE
    over = len(layer.latency) - MOST_SETTINGS
    if over > 0:
        yield f"{over} further settings that it was timed under are left out."


def _figures(layer: Layer) -> Iterator[_Figure]:
    standard = layer.variants[STANDARD]
    for title, key, text in (
        ("MACs", "macs", lambda value: f"{format_count(value)} MACs"),
        ("bytes moved", "traffic_bytes", format_bytes),
    ):
        values = {name: getattr(cost, key) for name, cost in layer.variants.items()}
        whole = getattr(standard, key)
        shares = {name: value / whole for name, value in values.items()} if whole else {}
        yield _Figure(title, shares, {name: text(value) for name, value in values.items()}, {})
    several = len(layer.latency) > 1
    for key, timing in list(layer.latency.items())[:MOST_SETTINGS]:
        yield _time(f"time, {setting_title(key)}" if several else "time", layer, timing)


def _time(title: str, layer: Layer, timing: Timing) -> _Figure:
    """Return times; what they are a share of was measured in turns with each, as speedups are."""
    shares: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    unsure: set[str] = set()
    for name in layer.variants:
        speedup = timing.speedup_of(name)
        if name == STANDARD and timing.standard:
            shares[name] = 1.0
        elif speedup and not speedup.is_wide and has_place(speedup.median, *speedup.ci95):
            low, high = speedup.ci95
            shares[name] = 1 / speedup.median
            intervals[name] = 1 / high, 1 / low
        elif speedup:
            unsure.add(name)
    texts = {
        name: format_seconds(found.median_s) + (", share unclear" if name in unsure else "")
        for name in layer.variants
        if (found := timing.of(name))
    }
    return _Figure(title, shares, texts, intervals)


def _text(one: _Figure, name: str) -> str:
    text, share = one.texts.get(name, "–"), one.shares.get(name)
    return text if share is None or name == STANDARD else f"{text} ({_percent(share)})"


def _percent(share: float) -> str:
    """Return a share in three digits, or in as many as it has before the point."""
    return f"{100 * share:.3g} %" if share < 10 else f"{100 * share:,.0f} %"


def _sentence(name: str, title: str, figures: list[_Figure]) -> str:
    said = []
    for one in figures:
        if name in one.texts:
            share = f" ({_percent(one.shares[name])})" if name in one.shares else ""
            said.append(f"{one.title} {one.texts[name].removesuffix(' MACs')}{share}")
    return f"{title}: {', '.join(said)}."
