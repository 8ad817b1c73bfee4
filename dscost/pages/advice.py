"""What a timed model comes to: which convolutions to swap, which to keep, and how to get it."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from dscost.analysis.advising import MUCH
from dscost.errors import first_of
from dscost.notation.units import arrow, counted, format_seconds
from dscost.pages.causes import CAUSES_SHOWN, NAMES_SHOWN, format_range, shared_cause
from dscost.pages.layer_names import in_few_words
from dscost.pages.layer_table import ROOT, known_causes
from dscost.pages.page import Page, Row, Sheet, Toned, Typed, View, words
from dscost.pages.runs import title_of
from dscost.pages.wording import LONGER, format_speedup, format_times
from dscost.reports.one_setting import under_setting
from dscost.reports.records import Advice, KeptLayer, Layer, Report, Speedup
from dscost.runtimes import TORCH
from dscost.timing import runtime_of

LEAST_ROOM = 24
"""Characters of names, and of reasons, on a line of the narrowest terminal."""
BESIDE = 15
"""Characters of a line that are neither: `  keep` and the gaps between the columns."""
_COLUMNS = [
    words("do", header=""),
    words("layers", header=""),
    words("why", header=""),
]


def advice_page(report: Report, advice: Advice, view: View) -> Page:
    """Return the advice: the whole in a sentence, what to swap and to keep, and the command."""
    report = under_setting(report, advice.setting)
    rows = [*_swapped_rows(report, advice), *_kept_rows(report, advice)]
    return Page(
        Toned(advice_sentence(report, advice), "verdict"),
        sheets=[Sheet(_COLUMNS, _folded(rows, view.width))],
        closing=_command(view) if advice.swaps and not _together(report, advice) else [],
    )


def with_advice(page: Page, advice: Page) -> Page:
    """Return the page of a model that begins with its advice, layer by layer."""
    return page._replace(
        answers=[advice.heading, *page.answers, *advice.closing],
        sheets=[*advice.sheets, *page.sheets],
    )


def _command(view: View) -> list[str]:
    """Return the command that does it, on a line of its own where it would have to be broken."""
    if not view.get_it:
        return []
    line = f"Get it:  {view.get_it}"
    if not view.paged and (view.width is None or len(line) <= view.width):
        return [line]
    return ["Get it:", Typed(view.get_it)]


def _folded(rows: Sequence[Row], width: int | None) -> list[Row]:
    """Return rows whose names and reasons stand on as many lines as a narrow terminal takes."""
    if width is None:
        return list(rows)
    names_room = max(LEAST_ROOM, width // 3)
    named = [{**row.cells, "layers": _lines(row.cells["layers"], names_room)} for row in rows]
    widest = max(len(line) for cells in named for line in cells["layers"].splitlines())
    room = max(LEAST_ROOM, width - widest - BESIDE)
    return [
        row._replace(cells={**cells, "why": _lines(cells["why"], room)})
        for row, cells in zip(rows, named, strict=True)
    ]


def _lines(text: str, room: int) -> str:
    return "\n".join(wrap(text, room, break_long_words=False, break_on_hyphens=False))


def advice_sentence(report: Report, advice: Advice) -> str:
    """Return how many convolutions to swap and what that comes to; or that none is worth it."""
    where = _where(report, advice.setting)
    together = _together(report, advice)
    if together:
        return (
            f"Cannot tell which of {counted(advice.swappable, 'convolution')} to swap: all of them "
            f"together measured {_plainly(together)} on {where}, one by one the clock could not "
            "tell. Run again when idle, or with a longer --time-budget."
        )
    if not advice.swaps:
        return _nothing_pays(advice, where)
    which = f"{advice.swapped} of {counted(advice.swappable, 'convolution')}"
    parts = [gain_of(advice)]
    if advice.cost and advice.cost.params and report.totals.as_is.params:
        parts.append(format_times(report.totals.as_is.params / advice.cost.params, "params"))
    return f"Swap {which}: {', '.join(parts)} on {where}, before fine-tuning."


def _together(report: Report, advice: Advice) -> Speedup | None:
    """Return what all swaps together gain, where that is sure and hardly any of them alone is."""
    whole = report.latency.get(advice.setting)
    speedup = whole.speedup if whole else None
    whys = {one.why for one in advice.kept}
    if advice.speedup or report.skipped or not whys & {"unclear", "not_timed"}:
        return None
    if advice.swappable < 2 or any(layer.pair for layer in report.layers):
        return None  # what the whole gains is by pairs, which it has as it is
    if speedup is None or speedup.verdict != "faster" or speedup.is_wide:
        return None
    before_s, after_s = advice.latency_s, advice.advised_latency_s
    gain = before_s / after_s if advice.swaps and before_s and after_s else 1.0
    return speedup if gain < MUCH < speedup.median else None


def _where(report: Report, setting: str) -> str:
    """Return on what advice holds; torch is named where others were measured as well."""
    device, *others = setting.split(":")
    processor = {"cpu": "this CPU", "cuda": "this GPU"}.get(device, device)
    runtime = runtime_of(setting)
    words = [title_of(runtime) if one == runtime else one for one in others]
    keys = (*report.latency, *(key for layer in report.layers for key in layer.latency), setting)
    if runtime == TORCH and len(set(map(runtime_of, keys))) > 1:
        words.insert(0, title_of(runtime))
    return f"{processor} ({', '.join(words)})" if words else processor


def gain_of(advice: Advice) -> str:
    """Return how much faster the model gets, by the clock or by the times of its layers."""
    before_s, after_s, speedup = advice.latency_s, advice.advised_latency_s, advice.speedup
    if before_s is None or after_s is None:
        each = "its layer is faster" if advice.swapped == 1 else "each of them is faster alone"
        return f"{each} (the whole model was not timed)"
    times = both_times(before_s, after_s)
    if speedup is None:
        factor = format_range(before_s / after_s, before_s / after_s, "×")
        return f"about {factor} faster by the times of its layers ({times})"
    said = _plainly(speedup)
    match speedup.verdict:
        case "faster" | "slower":
            return f"{said} ({times})"
        case "same":
            return f"no difference in time ({times})"
    return f"the clock cannot tell whether it is faster ({times})"


def _plainly(speedup: Speedup) -> str:
    """Return a speedup without its interval, which the tables have."""
    return format_speedup(speedup).partition(" [")[0]


def both_times(before_s: float, after_s: float) -> str:
    """Return two times, their unit once where it is the same: `35.0 → 11.3 ms`."""
    (before, unit), (after, other) = (
        format_seconds(seconds).split(" ") for seconds in (before_s, after_s)
    )
    return arrow((before if unit == other else f"{before} {unit}", f"{after} {other}"))


def _nothing_pays(advice: Advice, where: str) -> str:
    all_of_them = (
        "the only convolution that could be swapped as it is"
        if advice.swappable == 1
        else f"all {advice.swappable} convolutions as they are"
    )
    whys = {one.why for one in advice.kept}
    if "whole_slower" in whys and advice.speedup:
        faster = sum(one.why == "whole_slower" for one in advice.kept)
        said = _plainly(advice.speedup)
        alone = f"{counted(faster, 'layer')} {'is' if faster == 1 else 'are'} faster alone"
        return f"Keep {all_of_them}: {alone}, but the whole model is {said} on {where}."
    of_those = {
        "not_timed": " that was timed",
        "min_channels": f" of {advice.min_channels} channels or more",
        "not_replaceable": " that can be replaced",
    }
    which = "".join(text for why, text in of_those.items() if why in whys)
    surely = "surely " if "unclear" in whys else ""
    none = "it is not" if advice.swappable == 1 and not which else f"none{which} is"
    return f"Keep {all_of_them}: {none} {surely}faster depthwise-separable on {where}."


# -- layer by layer


def _names(layers: Sequence[str], report: Report) -> str:
    every = [layer.name for layer in report.layers if layer.swappable]
    return first_of([name or ROOT for name in in_few_words(layers, every)], NAMES_SHOWN)


def _swapped_rows(report: Report, advice: Advice) -> Iterator[Row]:
    """Yield what is swapped: what measured faster, and what was only measured together."""
    by_verdict: dict[str | None, list[Layer]] = {}
    for layer in report.layers:
        if layer.name in advice.swaps:
            by_verdict.setdefault(layer.verdict, []).append(layer)
    for verdict, layers in by_verdict.items():
        why = f"{_speed(layers)}{_each(layers)}"
        if verdict != "faster":
            alone = "not timed" if verdict is None else "not sure"
            why = f"faster with the others; {alone} one by one"
        yield _row("swap", [layer.name for layer in layers], report, why)


def _kept_rows(report: Report, advice: Advice) -> Iterator[Row]:
    """Yield what is kept and why, layers with the same reasons together."""
    by_name = {layer.name: layer for layer in report.layers}
    alike: dict[tuple[str, ...], list[tuple[KeptLayer, Layer]]] = {}
    for one in advice.kept:
        layer = by_name.get(one.name)
        if layer is not None:  # a saved report may have lost it
            key = (one.why, one.detail or "", *_reasons(one, layer))
            alike.setdefault(key, []).append((one, layer))
    for (why, detail, *kinds), group in alike.items():
        layers = [layer for _, layer in group]
        names = [one.name for one, _ in group]
        yield _row("keep", names, report, _why(why, detail, kinds, layers))


def _reasons(one: KeptLayer, layer: Layer) -> list[str]:
    """Return the kinds of causes that tell why a layer is kept: those that made it slower."""
    return (
        [cause.kind for cause in known_causes(layer)[:CAUSES_SHOWN]] if one.why == "slower" else []
    )


def _why(why: str, detail: str, kinds: Sequence[str], layers: Sequence[Layer]) -> str:
    speed = _speed(layers)
    match why:
        case "slower":
            causes = [
                shared_cause([known_causes(layer)[at] for layer in layers])
                for at in range(len(kinds))
            ]
            return f"{speed}{_each(layers)}{': ' if causes else ''}{', '.join(causes)}"
        case "same":
            return "no difference"
        case "unclear":
            return f"the clock cannot tell; {LONGER}"
        case "min_channels":
            is_faster = all(layer.verdict == "faster" for layer in layers)
            return f"{speed}, but {detail}" if is_faster else detail
        case "not_timed":
            return "not timed"
        case "not_replaceable":
            return f"cannot be replaced: {detail}"
        case "whole_slower":
            return f"{speed}{_each(layers)} alone, but the whole model gets slower"
    return detail or why.replace("_", " ")  # of a later version


def _each(layers: Sequence[Layer]) -> str:
    return " each" if len(layers) > 1 else ""


def _speed(layers: Sequence[Layer]) -> str:
    """Return how much faster or slower layers are when swapped, those of one verdict."""
    speedups = [layer.timing.speedup for layer in layers if layer.timing and layer.timing.speedup]
    if not speedups:
        return "not timed"
    if len(speedups) == 1:
        return _plainly(speedups[0])
    medians = [speedup.median for speedup in speedups]
    if layers[0].verdict == "slower":
        medians = [1 / median for median in medians]
    word = "slower" if layers[0].verdict == "slower" else "faster"
    return f"{format_range(min(medians), max(medians), '×')} {word}"


def _row(do: str, layers: Sequence[str], report: Report, why: str) -> Row:
    cells = {"do": f"  {do}", "layers": _names(layers, report), "why": why}
    return Row(cells, "plain" if do == "swap" else "faint")
