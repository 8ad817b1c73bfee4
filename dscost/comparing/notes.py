"""What the reader of a comparison must know about its figures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dscost.comparing.exported import goes_by_modules
from dscost.notation.units import counted
from dscost.reports.records import Report, inputs_text

if TYPE_CHECKING:
    from dscost.comparing.differences import Contender, Versus


def notes_on(
    contenders: Sequence["Contender"], versus: Sequence["Versus"], given: Sequence[str]
) -> Iterator[str]:
    """Yield what the reader must know; `given` are the options that models were counted with."""
    reference, *others = contenders
    saved = [one.label for one in contenders if one.saved]
    if given and saved:
        are = "are saved reports" if len(saved) > 1 else "is a saved report"
        yield f"{_listed(saved)} {are}, counted already: {_listed(given)} had no effect on it."
    if len({inputs_text(one.report.inputs) for one in contenders}) > 1:
        told = "; ".join(f"{one.label} {inputs_text(one.report.inputs)}" for one in contenders)
        yield f"The inputs differ, and figures with them: {told}."
    for one in others:
        before, now = reference.report.settings, one.report.settings
        if before.keys() != now.keys():  # different architectures
            continue
        differing = [
            f"{key} {before[key]} → {now[key]}" for key in before if before[key] != now[key]
        ]
        if differing:
            yield f"Settings of {one.label} against {reference.label}: {', '.join(differing)}."
    pairs = zip(others, versus, strict=True)
    yield from dict.fromkeys(note for each in pairs for note in _on_export(reference, *each))
    yield from _on_latencies(contenders, versus)
    for one in contenders:
        yield from (f"{one.label}: {warning}" for warning in one.report.warnings)


def _on_export(reference: "Contender", other: "Contender", found: "Versus") -> Iterator[str]:
    """Yield by which names the nodes of an ONNX file go, and what has become part of others."""
    for one, another in ((reference, other), (other, reference)):
        is_met = any(each.is_in_both and not each.is_renamed for each in found.layers)
        if is_met and goes_by_modules(one.report, another.report):
            yield f"Nodes of {one.label} go by the torch modules that they were exported from."
    for label, side in ((other.label, "other"), (reference.label, "reference")):
        folded = [one for one in found.layers if one.status == "folded"]
        number = sum(getattr(one, side) is None for one in folded)
        if number:
            which = "them" if number > 1 else "it"
            yield (
                f"{label} lacks {counted(number, 'normalisation')}: an export folds {which} into "
                "what comes before, as a bias."
            )


def _on_latencies(contenders: Sequence["Contender"], versus: Sequence["Versus"]) -> Iterator[str]:
    """Yield which latencies are of other runs, and why some are not there."""
    if any(one.timed for one in contenders):
        yield from _beside_saved(contenders)
        return
    if any(one.latencies for one in versus):
        yield (
            "Latencies are of separate runs, not measured side by side: "
            "no speedup follows from them."
        )
    yield from _not_shown(contenders, versus)


def _beside_saved(contenders: Sequence["Contender"]) -> Iterator[str]:
    """Yield why saved reports have no ratio where all others took turns."""
    here = next(one.place for one in contenders if one.timed)
    for one in contenders:
        if not one.saved:
            continue
        if not one.latencies:
            late = ": it did not fit in its time" if _did_not_fit(one) else ""
            yield f"{one.label} is a saved report that has no latency of the whole model{late}."
        elif one.place == here:
            yield (
                f"{one.label} is a saved report: its latency is of a run of its own, "
                "so no ratio follows from it."
            )
        else:
            yield (
                f"{one.label} is a saved report: its latency was measured on {one.place}, "
                f"the others' on {here}, so no ratio follows from it."
            )


def _not_shown(contenders: Sequence["Contender"], versus: Sequence["Versus"]) -> Iterator[str]:
    reference, *others = contenders
    for one, found in zip(others, versus, strict=True):
        # of one that was only counted nobody expects times
        are_expected = all(_was_to_be_timed(each.report) for each in (reference, one))
        if are_expected and not found.latencies:
            yield f"Latencies are not shown: {_why_not_shown(reference, one)}."


def _was_to_be_timed(report: Report) -> bool:
    return report.environment is not None or bool(report.untimed)


def _why_not_shown(reference: "Contender", other: "Contender") -> str:
    untimed = [one for one in (reference, other) if not one.report.latency]
    if untimed:
        have = "have" if len(untimed) > 1 else "has"
        labels = _listed([one.label for one in untimed])
        is_late = all(map(_did_not_fit, untimed))
        why = ": it did not fit in its time (a longer --time-budget)" if is_late else ""
        return f"{labels} {have} no latency of the whole model{why}"
    before, now = (place_of(one.report) for one in (reference, other))
    if before != now:
        return f"{other.label} was measured on {now}, {reference.label} on {before}"
    ours, theirs = reference.report.latency, other.report.latency
    if ours.keys().isdisjoint(theirs):
        there, here = ", ".join(theirs), ", ".join(ours)
        return f"{other.label} was measured under {there}, {reference.label} under {here}"
    return "only variants were timed under the same settings, not the models as they are"


def _did_not_fit(one: "Contender") -> bool:
    """Whether a whole model was not timed for want of time, as its warnings tell."""
    return any(text.startswith("The whole model was not timed") for text in one.report.warnings)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def place_of(report: Report) -> str | None:
    """Return where a report was measured, if it was: `cpu with 2 threads`."""
    where = report.environment
    return where and f"{where.device} with {counted(where.threads, 'thread')}"
