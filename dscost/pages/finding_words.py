"""A finding in words: the figures that decide with every digit, why, and what would help."""

from collections.abc import Collection
from fractions import Fraction

from dscost.budgets.findings import Contribution, Finding
from dscost.errors import some_of
from dscost.notation.quantities import QUANTITIES
from dscost.notation.units import format_bytes, format_count, format_seconds
from dscost.pages.baselines import accept_command
from dscost.pages.layer_table import ROOT
from dscost.pages.ratio_words import limit_text, ratio_sentence
from dscost.reports.figures import figure_of


def exact(metric: str, value: Fraction) -> str:
    """Return a figure with every digit that decides: integers whole, times in seconds.

    >>> exact("macs", Fraction(1814073344)), exact("flops_per_byte", Fraction(10, 4))
    ('1,814,073,344', '2.5')
    """
    if figure_of(metric).kind == "seconds":
        return format_seconds(float(value))
    if figure_of(metric).is_ratio:
        return limit_text(value)
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
    unit = {"seconds": " s"}.get(figure_of(metric).kind, "×" if figure_of(metric).is_ratio else "")
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


GLANCED = range(3, 6)
"""Significant digits, as few as tell figures apart; where more are needed all are as short."""


def glance(metric: str, value: Fraction, digits: int = 3) -> str:
    """Return a figure with few significant digits, small counts exact.

    >>> glance("macs", Fraction(785_320_960)), glance("params", Fraction(5_350))
    ('785M', '5,350')
    """
    kind = figure_of(metric).kind
    if kind == "seconds":
        return format_seconds(float(value))
    if kind == "factor":
        return f"{float(value):.{digits}g}{'×' if figure_of(metric).is_ratio else ''}"
    if kind == "bytes":
        return format_bytes(round(value), digits)
    return format_count(round(value), digits)


def glanced(
    metric: str, figures: Collection[Fraction], *, exactly: bool = False
) -> dict[Fraction, str]:
    """Return figures exactly, or as short as no two of them look alike, each with its text.

    >>> list(glanced("macs", [Fraction(1_814_073_344), Fraction(1_814_073_343)]).values())
    ['1,814,073,344', '1,814,073,343']
    """
    distinct = list(dict.fromkeys(figures))
    for digits in () if exactly else GLANCED:
        texts = [glance(metric, one, digits) for one in distinct]
        if len({*texts}) == len(texts):
            return dict(zip(distinct, texts, strict=True))
    furthest = {one: exact(metric, one) for one in distinct}
    for one in distinct:
        for other in distinct:
            if one != other and furthest[one] == furthest[other]:
                furthest[one], furthest[other] = apart(metric, one, other)
    return furthest


def change(value: Fraction, before: Fraction) -> str:
    """Return growth in percent at a glance, with a digit that tells it from none.

    >>> change(Fraction(394), Fraction(336)), change(Fraction(10**6 + 3), Fraction(10**6))
    ('+17.3 %', '+0.0003 %')
    """
    if not before:
        return "new" if value else "0 %"
    share = float((value - before) / before)
    text = f"{share:+.1%}"
    if share and text[1:] == "0.0%":
        digits = next((at for at in range(2, 8) if float(f"{abs(share):.{at + 2}f}")), 8)
        text = f"{share:+.{digits}%}"
    return text.replace("%", " %").replace("-", "−") if share else "0 %"


def percent(value: Fraction, before: Fraction) -> str:
    """Return growth in percent; nothing of nothing is none.

    >>> percent(Fraction(303), Fraction(300))
    '+1.00 %'
    """
    if not before:
        return "new"
    return f"{float((value - before) / before):+.2%}".replace("%", " %").replace("-", "−")


def finding_sentence(finding: Finding) -> str:
    """Return what is wrong, with the figures that decide, in one line."""
    what = "" if finding.layer is None else f"{finding.layer or ROOT}: "
    if finding.measured is not None:
        return ratio_sentence(finding, finding.measured)
    if finding.bound is None:
        return what + _sentence_without_limit(finding)
    metric, value, limit, before = finding.metric, finding.value, finding.limit, finding.before
    assert metric is not None
    assert value is not None
    assert limit is not None
    found, bound = bounded(metric, value, limit, finding.tolerance, finding.bound)
    words = f"{found} {figure_of(metric).in_words}"
    if metric == "latency_s":
        words = f"latency of {found}"
    match finding.kind:
        case "over_max":
            text = f"{words}, over the limit of {bound} by {exact(metric, value - limit)}"
        case "under_min":
            text = f"{words}, under the least of {bound} by {exact(metric, limit - value)}"
        case "new_cost":
            text = f"{words}, new cost: the baseline has none, and at most {bound} may come"
        case _:
            assert before is not None
            grew, most = ("grew", "most") if finding.kind == "grew" else ("shrank", "least")
            change = f"{'+' if value >= before else '−'}{exact(metric, abs(value - before))}"
            text = (
                f"{words}, {grew} from {exact(metric, before)} by {change} "
                f"({percent(value, before)}); at {most} {bound} passes"
            )
    return f"{what}{text}.{f' {finding.detail}' if finding.detail else ''}"


def _sentence_without_limit(finding: Finding) -> str:
    detail, words = finding.detail or "", figure_of(finding.metric or "macs").in_words
    match finding.kind:
        case "improvement":
            assert finding.metric is not None
            assert finding.value is not None
            assert finding.before is not None
            value, before = (exact(finding.metric, one) for one in (finding.value, finding.before))
            return f"{value} {words}, down from {before}: dscost baseline update keeps it."
        case "unmatched_rule":
            return f"no layer matches this rule{_bracketed(detail)}."
        case "missing_baseline":
            if detail:
                return f"{detail}."
            return (
                "not in the baseline, so growth cannot be judged: dscost baseline update adds it."
            )
        case "stale_baseline":
            return (
                "in the baseline, but not in the budget any more: "
                "dscost baseline update removes it."
            )
        case "not_comparable":
            # of a group of layers it says itself what helps
            anew = "" if finding.layer else f": {accept_command(finding.entry)} takes it anew"
            return f"not comparable with the baseline: {detail}{anew}."
        case "unknown_cost":
            return f"operators of unknown cost: {detail}; the figures are partial."
        case "unknown_figure":
            why = f": {detail.removesuffix('.')}" if detail else ""
            return f"{words} could not be found out{why}."
        case "inexact_exclusion":
            return f"judged all the same: {detail}."
    return detail  # whoever found the others has said it all


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
        lead = "largest"
        if finding.kind in ("shrank", "under_min"):
            lead = "shrank most" if any(change < 0 for change in changes) else lead
        elif any(change > 0 for change in changes):
            lead = "grew most"
        said = ", ".join(_contribution(metric, one) for one in finding.contributions)
        lines.append(f"{lead}: {said}")
    fix = finding.suggested_fix
    if fix:
        names = some_of([name or ROOT for name in fix.layers], 3)
        value = f"{exact(metric, fix.value)} {figure_of(metric).in_words}"
        lines.append(
            f"making {names} depthwise-separable would bring it to {value}, within the limit"
        )
    return lines


def _contribution(metric: str, one: Contribution) -> str:
    if one.before is None or one.value == one.before:
        said = glance(metric, one.value, 4)
    elif one.before == 0:
        said = f"new, {exact(metric, one.value)}"
    elif one.value == 0:
        said = f"gone, {exact(metric, one.before)} before"
    else:
        change = percent(one.value, one.before)
        said = f"{exact(metric, one.before)} → {exact(metric, one.value)}, {change}"
    return f"{one.layer or ROOT} ({said})"
