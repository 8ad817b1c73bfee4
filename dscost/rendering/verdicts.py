"""What a budget says, in words and as a page; the formats of CI build on the same words."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from importlib import import_module
from textwrap import wrap

from dscost.budgets.judging import CheckResult, Contribution, Finding, Passed
from dscost.budgets.metrics import METRICS
from dscost.budgets.records import Entry
from dscost.errors import some_of
from dscost.notation.quantities import QUANTITIES
from dscost.notation.units import format_bytes, format_count, format_seconds
from dscost.registries import Registry
from dscost.rendering.pages import Column, Page, Row, Sheet, View
from dscost.rendering.views import ROOT

VerdictRenderer = Callable[[CheckResult, View], str]

VERDICT_RENDERERS: Registry[VerdictRenderer] = Registry("format", "verdict_renderers")
"""Formats of `dscost check`, from a result and a view to text."""

BOUNDS = {
    "over_max": "max",
    "under_min": "min",
    "grew": "max_increase",
    "new_cost": "max_increase",
    "shrank": "max_decrease",
}
"""The bound that each kind of violation breaks."""

GROWTH = ("max_increase", "max_decrease")
"""Bounds that are relative to the baseline."""

MARKS = {"fail": "could not judge", "error": "over budget", "warn": "warning", "note": "note"}
"""What a table calls the levels; an error that is no broken limit is called that."""

LEAST_NAME = 8
"""Characters that the lines of a name have in any case."""

METRIC_WORDS = {
    "params": "params",
    "macs": "MACs",
    "flops": "FLOPs",
    "weight_bytes": "bytes of weights",
    "input_bytes": "bytes of input",
    "output_bytes": "bytes of output",
    "traffic_bytes": "bytes of traffic",
    "flops_per_byte": "FLOP/byte",
    "peak_activation_bytes": "bytes of peak activations",
    "latency_s": "latency",
}
"""How a sentence calls the figures."""


def exact(metric: str, value: Fraction) -> str:
    """Return a figure with every digit that decides: integers whole, times in seconds.

    >>> exact("macs", Fraction(1814073344)), exact("flops_per_byte", Fraction(10, 4))
    ('1,814,073,344', '2.5')
    """
    if METRICS[metric].measured:
        return format_seconds(float(value))
    if value.denominator == 1:
        return f"{value.numerator:,}"
    whole, rest = divmod(round(abs(value) * 10**6), 10**6)
    if not whole and not rest:
        return f"{float(value):.9g}"
    return f"{'-' if value < 0 else ''}{whole:,}.{rest:06}".rstrip("0").rstrip(".")


def apart(metric: str, value: Fraction, limit: Fraction) -> tuple[str, str]:
    """Return two figures with as many digits as it takes to tell them apart.

    >>> apart("latency_s", Fraction(12_001, 10**6), Fraction(12, 1000))
    ('0.012001 s', '0.012 s')
    """
    texts = exact(metric, value), exact(metric, limit)
    if texts[0] != texts[1] or value == limit:
        return texts
    unit = " s" if METRICS[metric].measured else ""
    for digits in range(4, 18):
        texts = f"{float(value):.{digits}g}{unit}", f"{float(limit):.{digits}g}{unit}"
        if texts[0] != texts[1]:
            return texts
    return f"{value}{unit}", f"{limit}{unit}"


def bounded(
    metric: str, value: Fraction, limit: Fraction, tolerance: Fraction, bound: str
) -> tuple[str, str]:
    """Return a figure and its limit, the tolerance of a measured one apart.

    >>> bounded("latency_s", Fraction(13, 10_000), Fraction(11, 10_000), Fraction(1, 10), "max")
    ('1.30 ms', '1 ms + 10 %')
    """
    found, most = apart(metric, value, limit)
    if not tolerance:
        return found, most
    if bound == "max":
        return found, f"{_as_written(limit / (1 + tolerance))} + {float(100 * tolerance):g} %"
    return found, f"{_as_written(limit * (1 + tolerance))} ÷ {float(1 + tolerance):g}"


def _as_written(seconds: Fraction) -> str:
    unit = format_seconds(float(seconds)).partition(" ")[2]
    return f"{float(seconds / QUANTITIES['seconds'][0][unit]):.15g} {unit}"


def short(metric: str, value: Fraction) -> str:
    """Return a figure with four significant digits, to be read at a glance."""
    kind = METRICS[metric].kind
    if kind == "bytes":
        return format_bytes(round(value))
    if kind == "seconds":
        return format_seconds(float(value))
    return format_count(round(value)) if kind == "count" else f"{float(value):.3g}"


def signed(metric: str, change: Fraction) -> str:
    """Return a change with its sign, exactly."""
    return f"{'+' if change >= 0 else '−'}{exact(metric, abs(change))}"


def percent(value: Fraction, before: Fraction) -> str:
    """Return growth in percent; nothing of nothing is none.

    >>> percent(Fraction(303), Fraction(300))
    '+1.00 %'
    """
    return (
        f"{float((value - before) / before):+.2%}".replace("%", " %").replace("-", "−")
        if before
        else "new"
    )


def finding_sentence(finding: Finding) -> str:
    """Return what is wrong, with the figures that decide, in one line."""
    what = "" if finding.layer is None else f"{finding.layer or ROOT}: "
    metric, value, limit, before = finding.metric, finding.value, finding.limit, finding.before
    said = f" {finding.detail}" if finding.detail and finding.is_violation else ""
    if metric is None or value is None or limit is None:
        return what + _sentence_without_figures(finding)
    found, bound = bounded(metric, value, limit, finding.tolerance, BOUNDS.get(finding.kind, ""))
    words = f"latency of {found}" if metric == "latency_s" else f"{found} {METRIC_WORDS[metric]}"
    match finding.kind:
        case "over_max":
            over = signed(metric, value - limit).removeprefix("+")
            text = f"{words}, over the limit of {bound} by {over}"
        case "under_min":
            text = f"{words}, under the least of {bound} by {exact(metric, limit - value)}"
        case "new_cost":
            text = f"{words}, new cost: the baseline has none, and at most {bound} may come"
        case _:
            assert before is not None
            grew = "grew" if finding.kind == "grew" else "shrank"
            text = (
                f"{words}, {grew} from {exact(metric, before)} by {signed(metric, value - before)} "
                f"({percent(value, before)}); at {'most' if grew == 'grew' else 'least'} {bound} passes"
            )
    return f"{what}{text}.{said}"


def _sentence_without_figures(finding: Finding) -> str:
    detail = finding.detail or ""
    match finding.kind:
        case "improvement":
            assert finding.metric is not None
            assert finding.value is not None
            assert finding.before is not None
            return (
                f"{exact(finding.metric, finding.value)} {METRIC_WORDS[finding.metric]}, down from "
                f"{exact(finding.metric, finding.before)}: dscost baseline update keeps it."
            )
        case "unmatched_rule":
            return f"no layer matches this rule{_bracketed(detail)}."
        case "missing_baseline":
            if detail:
                return f"growth cannot be judged: {detail}."
            return (
                "not in the baseline, so growth cannot be judged: dscost baseline update adds it."
            )
        case "stale_baseline":
            return "in the baseline, but not in the budget any more: dscost baseline update removes it."
        case "not_comparable":
            return f"not comparable with the baseline: {detail}."
        case "unknown_cost":
            return f"operators of unknown cost: {detail}; the figures are partial."
        case "unknown_figure":
            why = f": {detail.removesuffix('.')}" if detail else ""
            return f"{METRIC_WORDS[finding.metric or 'macs']} could not be found out{why}."
        case (
            "unloadable_model"
            | "unseen_work"
            | "value_dependent"
            | "unused_weights"
            | "other_doubt"
        ):
            return detail
        case "inexact_exclusion":
            return f"judged all the same: {detail}."
    raise ValueError(f"unknown finding {finding.kind}")


def _bracketed(detail: str) -> str:
    """Return a remark in brackets, or after a colon where it has brackets itself."""
    if not detail:
        return ""
    return f": {detail}" if "(" in detail else f" ({detail})"


def reasons(finding: Finding) -> list[str]:
    """Return why a limit is broken, and what would help, a line each."""
    metric = finding.metric
    if metric is None:
        return []
    lines = []
    if finding.contributions:
        changes = [
            one.value - one.before for one in finding.contributions if one.before is not None
        ]
        if finding.kind in ("shrank", "under_min"):
            lead = "shrank most" if any(change < 0 for change in changes) else "weigh most"
        else:
            lead = "grew most" if any(change > 0 for change in changes) else "weigh most"
        lines.append(
            f"{lead}: {', '.join(_contribution(metric, one) for one in finding.contributions)}"
        )
    if finding.rescue:
        names = some_of([name or ROOT for name in finding.rescue.layers], 3)
        lines.append(
            f"depthwise-separable, {names} would bring it to {exact(metric, finding.rescue.value)} "
            f"{METRIC_WORDS[metric]}"
        )
    return lines


def _contribution(metric: str, one: Contribution) -> str:
    if one.before is None or one.value == one.before:
        said = short(metric, one.value)
    elif one.before == 0:
        said = f"new, {exact(metric, one.value)}"
    elif one.value == 0:
        said = f"gone, {exact(metric, one.before)} before"
    else:
        said = f"{exact(metric, one.before)} → {exact(metric, one.value)}, {percent(one.value, one.before)}"
    return f"{one.layer or ROOT} ({said})"


def summary(result: CheckResult) -> str:
    """Return the outcome in one line."""
    held = len(result.passed)
    parts = [
        _counted(len(result.subjects), "model"),
        f"{_counted(held, 'limit')} {'holds' if held == 1 else 'hold'}",
    ]
    levels = Counter(level_of(result, finding) for finding in result.findings)
    over = sum(level_of(result, one) == "error" and one.is_violation for one in result.findings)
    for number, words in (
        (levels["fail"], "not judged"),
        (over, "over budget"),
    ):
        parts += [f"{number} {words}"] if number else []
    for number, noun in (
        (levels["error"] - over, "error"),
        (levels["warn"], "warning"),
        (levels["note"], "note"),
    ):
        parts += [_counted(number, noun)] if number else []
    return f"{', '.join(parts)}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def level_of(result: CheckResult, finding: Finding) -> str:
    """Return the level of a finding as it counts: `--strict` makes an error of a warning."""
    return "error" if result.strict and finding.level == "warn" else finding.level


def mark(result: CheckResult, finding: Finding) -> str:
    """Return what a table calls the level of a finding."""
    level = level_of(result, finding)
    return "error" if level == "error" and not finding.is_violation else MARKS[level]


def verdict_page(result: CheckResult) -> Page:
    """Return what a budget says as a page."""
    rows = [*_broken_rows(result), *_held_rows(result)]
    columns = [
        Column("model", "model", 0, "left"),
        Column("what", "what", 0, "left"),
        Column("value", "value", 0),
        Column("limit", "limit", 1),
        Column("left", "left", 2),
        Column("outcome", "outcome", 0, "left"),
    ]
    return Page(
        heading=f"{result.path}",
        lines=[
            f"{subject.entry.name}: {said}"
            for subject in result.subjects
            for said in _not_held(subject.entry)
        ],
        sheets=[Sheet(columns, rows)] if rows else [],
        closing=[*_lines(result, result.findings), *_remarks(result), summary(result)],
    )


def _not_held(entry: Entry) -> Iterator[str]:
    """Yield what of a model is held to nothing."""
    if not entry.limits and not entry.layers:
        yield "nothing is limited"
    for one in entry.exclude:
        yield f"without {one.selector.text} ({' '.join(one.reason.split())})"


def broken_text(result: CheckResult) -> str:
    """Return what is broken, warned of or not judged, a line each; nothing when all is well."""
    found = [finding for finding in result.findings if finding.level != "note"]
    return "".join(f"{line}\n" for line in _lines(result, found))


def _lines(result: CheckResult, findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        place = f"{result.path}:{finding.line}:{finding.column}"
        entry = f"{finding.entry}: " if finding.entry else ""
        yield f"{mark(result, finding)}: {place}: {entry}{finding_sentence(finding)}"
        yield from (f"  {reason}" for reason in reasons(finding))


def _broken_rows(result: CheckResult) -> Iterator[Row]:
    for finding in result.findings:
        metric, value, limit = finding.metric, finding.value, finding.limit
        if finding.is_violation and metric is not None and value is not None and limit is not None:
            cells = _cells(
                finding.entry,
                metric,
                BOUNDS[finding.kind],
                finding.layer,
                value,
                limit,
                finding.tolerance,
            )
            yield Row({**cells, "outcome": mark(result, finding)}, "strong")


def _held_rows(result: CheckResult) -> Iterator[Row]:
    """Yield a row for each limit that holds; where it holds of each of several layers, one of the closest of them."""
    for group in _alike(result):
        one = min(group, key=_slack)
        cells = _cells(
            one.entry, one.metric, one.bound, one.layer, one.value, one.limit, one.tolerance
        )
        if len(group) > 1:
            cells["what"] += f", closest of {len(group)} layers"
        yield Row({**cells, "left": _room(one), "outcome": "ok"})


def _remarks(result: CheckResult) -> Iterator[str]:
    """Yield what else there is to say of the limits that hold, once for all of a rule."""
    yield from dict.fromkeys(
        f"ok: {one.entry}: {one.layer or ROOT}: {one.note}." for one in result.passed if one.note
    )


def _alike(result: CheckResult) -> list[list[Passed]]:
    """Return the limits that hold, those of single layers together where metric and bound are the same."""
    layers = {
        (subject.entry.name, layer.name)
        for subject in result.subjects
        for layer in (subject.report.layers if subject.report else ())
    }
    groups: dict[object, list[Passed]] = {}
    for at, one in enumerate(result.passed):
        is_layer = (one.entry, one.layer) in layers
        limit = None if one.bound in GROWTH else one.limit  # which is another for each layer
        groups.setdefault((one.entry, one.metric, one.bound, limit) if is_layer else at, []).append(
            one
        )
    return list(groups.values())


def _slack(one: Passed) -> Fraction:
    return abs(one.limit - one.value) / (abs(one.limit) or 1)


_BOUND_WORDS = {
    "max": "",
    "min": ", at least",
    "max_increase": ", growth",
    "max_decrease": ", decline",
}


def _cells(
    entry: str,
    metric: str,
    bound_name: str,
    layer: str | None,
    value: Fraction,
    limit: Fraction,
    tolerance: Fraction,
) -> dict[str, str]:
    found, bound = bounded(metric, value, limit, tolerance, bound_name)
    return {
        "model": entry,
        "what": _what(metric, bound_name, layer),
        "value": found,
        "limit": bound,
    }


def _what(metric: str, bound_name: str, layer: str | None) -> str:
    return (
        METRIC_WORDS[metric]
        + ("" if layer is None else f" of {layer or ROOT}")
        + _BOUND_WORDS[bound_name]
    )


def _room(one: Passed) -> str:
    """Return how much may still come, of limits from above."""
    from_above = one.bound in ("max", "max_increase")
    return f"{float((one.limit - one.value) / one.limit):.1%}" if from_above and one.limit else ""


# -- formats


def _render_table(result: CheckResult, view: View) -> str:
    if view.brief:
        return broken_text(result)
    from dscost.rendering.terminal import render_pages

    page = verdict_page(result)
    if view.width is not None and not view.wide:
        page = page._replace(sheets=[_with_short_names(sheet, view.width) for sheet in page.sheets])
    return render_pages([page], view)


def _with_short_names(sheet: Sheet, width: int) -> Sheet:
    """Return a sheet whose names leave room for the limits, which decide and would else be the first to go."""
    from dscost.rendering.terminal import GAP, table_width

    columns, rows = sheet.columns, sheet.rows
    room = (
        width
        - table_width([one for one in columns if one.key in ("value", "limit", "outcome")], rows)
        - 2 * GAP
    )
    if room < 2 * LEAST_NAME:  # then both share a column
        both = [
            _folded(f"{row.cells['model']}: {row.cells['what']}", max(LEAST_NAME, room + GAP))
            for row in rows
        ]
        rows = [
            row._replace(cells={**row.cells, "what": text})
            for row, text in zip(rows, both, strict=True)
        ]
        return Sheet([one for one in columns if one.key != "model"], rows)
    widest = max(len(row.cells["what"]) for row in rows)
    models = _told_apart([row.cells["model"] for row in rows], max(room // 2, room - widest))
    taken = max(len(line) for text in ("model", *models.values()) for line in text.splitlines())
    what = _told_apart([row.cells["what"] for row in rows], room - taken)
    names = [{"model": models[row.cells["model"]], "what": what[row.cells["what"]]} for row in rows]
    return Sheet(
        columns,
        [row._replace(cells={**row.cells, **own}) for row, own in zip(rows, names, strict=True)],
    )


def _told_apart(texts: Sequence[str], room: int) -> dict[str, str]:
    r"""Return texts that fit: their middle left out, but on several lines where two would look alike.

    >>> list(_told_apart(["MACs of layer1.conv", "MACs of layer2.conv", "MACs of a.pointwise"], 8).values())
    ['MACs of\nlayer1.c\nonv', 'MACs of\nlayer2.c\nonv', 'MAC…wise']
    """
    from dscost.rendering.terminal import elided

    short = {text: elided(text, room) for text in texts}
    seen = Counter(short.values())
    return {
        text: fitted if seen[fitted] == 1 else _folded(text, room) for text, fitted in short.items()
    }


def _folded(text: str, room: int) -> str:
    return "\n".join(line.rstrip() for line in wrap(text, room, break_on_hyphens=False))


def _render_markdown(result: CheckResult, view: View) -> str:
    from dscost.rendering.markdown import markdown_page

    return markdown_page(verdict_page(result))


def _imported_late(module: str, function: str) -> VerdictRenderer:
    def renderer(result: CheckResult, view: View) -> str:
        text: str = getattr(import_module(module), function)(result, view)
        return text

    return renderer


VERDICT_RENDERERS.register("table")(_render_table)
VERDICT_RENDERERS.register("markdown")(_render_markdown)
for _name in ("json", "github", "gitlab", "junit", "sarif"):
    VERDICT_RENDERERS.register(_name)(_imported_late("dscost.rendering.ci", f"render_{_name}"))


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by level, then by how far they are over their limit, then as in the file.

    Anything is infinitely far over a limit of nothing.
    """
    order = ("fail", "error", "warn", "note")

    def key(finding: Finding) -> tuple[int, bool, Fraction]:
        over = Fraction(0)
        if finding.value is not None and finding.limit:
            over = abs(finding.value - finding.limit) / abs(finding.limit)
        return order.index(finding.level), finding.limit != 0, -over

    return sorted(findings, key=key)
