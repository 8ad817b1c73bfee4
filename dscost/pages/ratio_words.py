"""A ratio of latencies in words: with its interval, and what it was measured between."""

from fractions import Fraction

from dscost.budgets.findings import Finding, Ratio
from dscost.notation.units import counted
from dscost.reports.figures import figure_of

_DIGITS = range(3, 7)
"""Significant digits, as few as tell the ends of an interval from a limit."""


def ratio_texts(ratio: Ratio, limit: Fraction) -> tuple[str, str]:
    """Return a ratio with its interval, and a limit of it.

    >>> ratio = Ratio(*map(Fraction, ("2.413", "2.3", "2.998", "0.03")), "a over b", "torch", 1)
    >>> ratio_texts(ratio, Fraction(3))
    ('2.413× [2.300, 2.998]', '3×')
    """
    figures = (ratio.value, ratio.low, ratio.high)
    for digits in _DIGITS:
        value, low, high, most = (_rounded(one, digits) for one in (*figures, limit))
        shown = zip((value, low, high), figures, strict=True)
        if all(text != most or figure == limit for text, figure in shown):
            break
    return f"{value}× [{low}, {high}]", limit_text(limit)


def _rounded(value: Fraction, digits: int) -> str:
    """Return a figure with so many digits, and all of those before the point."""
    whole = len(str(int(value)))
    return f"{float(value):#.{max(digits, whole)}g}".rstrip(".")


def limit_text(limit: Fraction) -> str:
    """Return a limit as short as it is exact.

    >>> limit_text(Fraction(3)), limit_text(Fraction(21, 20))
    ('3×', '1.05×')
    """
    return f"{float(limit):.12g}×"


def how(ratio: Ratio) -> str:
    """Return what a ratio was measured between, and how.

    >>> how(Ratio(*map(Fraction, (1, 1, 1, 0)), "a over b", "ncnn 1.0", 1, "cpu", 2))
    'a over b, ncnn 1.0, 1 thread, processor time, measured twice'
    """
    if not ratio.threads:
        return ratio.between
    said = [ratio.between, ratio.runtime, counted(ratio.threads, "thread")]
    said += ["processor time"] if ratio.clock == "cpu" else []
    said += ["measured twice"] if ratio.runs > 1 else []
    return ", ".join(said)


def ratio_sentence(finding: Finding, ratio: Ratio) -> str:
    """Return what is wrong with a ratio, or that it is not decided, in one line."""
    assert finding.metric is not None
    assert finding.limit is not None
    found, limit = ratio_texts(ratio, finding.limit)
    words = f"{figure_of(finding.metric).in_words} of {found}"
    match finding.kind:
        case "under_min":
            said = f"{words}, all of it under the least of {limit}"
        case "over_max":
            said = f"{words}, all of it over the limit of {limit}"
        case "grew":
            grown = f"{float(100 * (finding.limit - 1)):.12g} %"
            said = f"{words}, all of it over {limit}, the growth of {grown} that passes"
        case _:
            said = f"{words}: whether that keeps {limit} is not decided ({how(ratio)})"
            other = "clock: cpu, " if ratio.clock == "wall" else ""
            return f"{said}; {other}a longer time_budget or a quieter machine may tell."
    return f"{said} ({how(ratio)}).{f' {finding.detail}' if finding.detail else ''}"
