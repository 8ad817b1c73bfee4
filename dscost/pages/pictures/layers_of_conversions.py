"""What each convolution of a converted model costs before and after: its MACs, and its time."""

from collections.abc import Sequence

from dscost.converting.results import Latency, LayerOutcome, Outcome
from dscost.notation.units import arrow, counted, format_count, format_factor, format_seconds
from dscost.pages.pictures.picture import Axis, Bar, Bars, NotDrawn
from dscost.pages.pictures.short import short

MOST_BARS = 30
NO_TIMES = "no layer was timed: give --goal latency_s=0.8x or --fastest, to convert TARGET by times"
PREDICTED_NOTE = "Times that were not measured are marked as predicted."


def layers_picture(target: str, layers: Sequence[LayerOutcome]) -> Bars | NotDrawn:
    """Return the MACs of the convolutions before and after, in the order of the model."""
    counted_ones = [one for one in layers if one.before and one.after and one.before.macs]
    if not counted_ones:
        return NotDrawn("layers", "no convolution has known multiply-accumulates: give an --input")
    largest = sorted(counted_ones, key=lambda one: -_macs(one)[0])[:MOST_BARS]
    kept = {id(one) for one in largest}
    shown = [one for one in counted_ones if id(one) in kept]
    others = [one for one in counted_ones if id(one) not in kept]
    before, after = (sum(_macs(one)[at] for one in counted_ones) for at in (0, 1))
    notes = []
    if others:
        sums = [format_count(sum(_macs(one)[at] for one in others)) for at in (0, 1)]
        smaller = f"{counted(len(others), 'smaller convolution')}: {' → '.join(sums)} MACs."
        notes.append(smaller)
    unknown = sum(one.before is None or one.after is None for one in layers)
    if unknown:
        notes.append(f"{counted(unknown, 'convolution')} more: the cost is not known.")
    converted = sum(one.converted for one in counted_ones)
    return Bars(
        name="layers",
        title=f"{target}: MACs of each convolution, before and after",
        told=f"{converted} of {counted(len(counted_ones), 'convolution')} converted: "
        f"{format_count(before)} → {format_count(after)} MACs.",
        axis=Axis("MACs", "count"),
        series=["as it is", "converted"],
        bars=[_bar(one) for one in shown],
        notes=notes,
    )


def _macs(one: LayerOutcome) -> tuple[int, int]:
    assert one.before is not None
    assert one.after is not None
    return one.before.macs, one.after.macs


def _bar(one: LayerOutcome) -> Bar:
    before, after = _macs(one)
    name = short(one.name)
    texts = [format_count(before, 3), format_count(after, 3)]
    if not one.converted:
        why = f": {one.reason}" if one.reason else ""
        tells = f"{name}, {format_count(before)} MACs, is kept as it is{why}."
        return Bar(one.name or name, [before, None], tells, texts=[texts[0], "kept"])
    factor = format_factor(before / after if after else None)
    error = "" if one.error is None else f", error {one.error:.3f}"
    tells = f"{name}: {format_count(before)} → {format_count(after)} MACs, {factor} fewer{error}."
    return Bar(one.name or name, [before, after], tells, texts=texts)


def times_picture(outcome: Outcome, measured: str) -> Bars | NotDrawn:
    """Return the times of the convolutions before and after, those that take longest."""
    timed = [(one, one.latency) for one in outcome.layers if one.latency]
    if not timed:
        return NotDrawn("times", NO_TIMES)
    longest = sorted(timed, key=lambda pair: -pair[1].before_s)[:MOST_BARS]
    kept = {id(one) for one, _ in longest}
    shown = [pair for pair in timed if id(pair[0]) in kept]
    notes = [PREDICTED_NOTE] if any(found.is_predicted for _, found in shown) else []
    if len(timed) > len(shown):
        notes.append(f"{counted(len(timed) - len(shown), 'shorter convolution')} left out.")
    sums = [sum(found[at] for _, found in timed) for at in (0, 1)]
    return Bars(
        name="times",
        title=f"{short(outcome.target)}: {outcome.time_title} of each convolution, "
        "before and after",
        told=f"Bars of the {outcome.time_title} of {counted(len(timed), 'convolution')}: "
        f"{arrow(map(format_seconds, sums))} in all.",
        axis=Axis(f"{outcome.time_title} of all calls", "seconds"),
        series=["as it is", "converted"],
        bars=[_time_bar(one, found) for one, found in shown],
        notes=notes,
        measured=measured,
    )


def _time_bar(one: LayerOutcome, found: Latency) -> Bar:
    before, after = format_seconds(found.before_s), format_seconds(found.after_s)
    name = short(one.name)
    if not one.converted:
        tells = f"{name}, {before}, is kept as it is."
        return Bar(one.name or name, [found.before_s, None], tells, texts=[before, "kept"])
    predicted = " (predicted)" if found.is_predicted else ""
    values = [found.before_s, found.after_s]
    tells = f"{name}: {arrow([before, after])}{predicted}."
    return Bar(one.name or name, values, tells, texts=[before, f"{after}{predicted}"])
