"""What was asked of a conversion, and what came of it, in words."""

from collections.abc import Iterator, Sequence

from dscost.converting.results import MEASURED, Outcome, how_many
from dscost.notation.units import format_count
from dscost.pages.advice import both_times, gain_of
from dscost.pages.page import Toned
from dscost.pages.scores import score_lines, score_text
from dscost.pages.wording import format_times
from dscost.reports.records import Advice


def what_was_asked(outcome: Outcome) -> Iterator[str]:
    """Yield whose weights they are, and what was asked for with what came of it."""
    if outcome.weights is not None:
        yield f"Weights of {outcome.weights}."
    if outcome.advice is not None:
        yield _paying(outcome, outcome.advice)
    if outcome.scored is not None:
        yield from score_lines(outcome.scored)
    if outcome.goal is not None:
        if outcome.nearest is not None:
            by = _by_times(outcome)
            yield f"Goal {outcome.goal}: no plan reaches it{by}; this is the nearest."
            return
        aimed = "" if outcome.aimed is None else f" planned as {outcome.aimed},"
        yield f"Goal {outcome.goal},{aimed} {_proof(outcome)}."


def _paying(outcome: Outcome, advice: Advice) -> str:
    """Return by what the layers were chosen, and what the model gains by them."""
    by = "as measured now" if outcome.proof == MEASURED else f"by {outcome.proof}"
    if not advice.swaps:
        return f"The swaps that pay, {by}: none. Every convolution is kept."
    if outcome.latency and outcome.latency.is_predicted:
        advice = advice._replace(
            latency_s=outcome.latency.before_s,
            advised_latency_s=outcome.latency.after_s,
            speedup=None,
        )
    return f"The swaps that pay, {by}: {gain_of(advice)}.{_timed_again(outcome, advice)}"


def _timed_again(outcome: Outcome, advice: Advice) -> str:
    """Return the times of the converted model itself, where it was timed after the advice."""
    found = outcome.latency
    if found is None or (found.before_s, found.after_s) == (
        advice.latency_s,
        advice.advised_latency_s,
    ):
        return ""
    times = both_times(found.before_s, found.after_s)
    return f" Timed again once it was converted, with its own weights: {times}, as in the table."


def _proof(outcome: Outcome) -> str:
    if outcome.scored is not None:
        is_score = outcome.scored.target is not None
        if is_score and not outcome.converted:
            return "no cheaper plan that keeps it was found: every layer is kept"
        if is_score and outcome.is_met is False:
            return "the cheapest plan that seemed to keep it, and does not when it is scored anew"
        found = "the cheapest plan that keeps it" if is_score else "the plan of the best score"
        return f"{found} of those that were scored{_by_times(outcome)}"
    is_error = outcome.goal is not None and outcome.goal.startswith("error")
    least, meet = ("the fewest MACs", "meet") if is_error else ("the least total error", "meets")
    if outcome.gap:
        gap = format_count(round(outcome.gap)) if is_error else f"{outcome.gap:.2g}"
        least = f"at most {gap} above {least}"
    by = _by_times(outcome)
    return f"with {least} that {meet} it{by}"


def _by_times(outcome: Outcome) -> str:
    times = "CPU times" if outcome.clock == "cpu" else "times"
    return f" by the {times} of its layers" if outcome.latency else ""


def answers_of(outcome: Outcome, unknown: Sequence[str]) -> Iterator[str]:
    """Yield what a page begins with: what came of what was asked, or what is saved; and the speed.

    Args:
        outcome: What became of the model.
        unknown: That nothing is known of its speed, if so.
    """
    if outcome.missed is not None:
        yield Toned(f"MISSED: {outcome.missed}", "bad")
    before, after = outcome.before, outcome.after
    if outcome.advice is not None or outcome.goal is not None:
        *_, asked = what_was_asked(outcome)
        yield Toned(asked, "verdict")
    elif outcome.converted and after.macs and after.params:
        saved = before.macs / after.macs, before.params / after.params
        fewer = format_times(saved[0], "MACs"), format_times(saved[1], "params")
        yield Toned(f"Converted, it takes {fewer[0]} and {fewer[1]} in all.", "verdict")
    yield from unknown


def last_words(outcome: Outcome) -> list[str]:
    """Return once more what was asked for and came of it, where it was more than to convert."""
    if outcome.missed is not None:
        return ["", Toned(f"MISSED: {outcome.missed}", "bad")]
    if outcome.advice is None and outcome.goal is None:
        return []
    *_, asked = what_was_asked(outcome)
    done, scored = how_many(outcome.layers), outcome.scored
    score = ""
    if scored is not None:
        score = f" Score {score_text(scored.last)} of {score_text(scored.before)}."
    return ["", Toned(f"{done[:1].upper()}{done[1:]}.{score} {asked}", "verdict")]
