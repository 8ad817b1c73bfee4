"""Baselines: what they keep, and what came of saving or updating one."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from dscost.budgets.baseline import Baseline
from dscost.budgets.raising import RaisedLimit
from dscost.budgets.updating import Kept
from dscost.errors import some_of
from dscost.notation.units import counted
from dscost.pages import Said
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Page, Tone, Toned, View
from dscost.reports.figures import figure_of
from dscost.reports.records import head, plain_fields


class BaselineSaid(Said):
    """What is to be said of a baseline."""

    what = "a baseline"
    row_columns = ("model", "metric", "value")
    _result: Baseline

    def pages(self, view: View) -> list[Page]:
        """Return one page, a paragraph per model."""
        first, *others = [*self._lines()] or [f"{self._result.origin} has no models."]
        return [Page(first, others)]

    def _lines(self) -> Iterator[str]:
        for name, known in sorted(self._result.models.items()):
            facts = (f"{key} {text}" for key, text in sorted(known.fingerprint.items()))
            yield f"{name}: {', '.join(facts)}"
            for metric, value in sorted(known.figures.items()):
                yield f"  {metric} {int(value):,} ({figure_of(metric).text(int(value))})"

    def data(self, view: View) -> dict[str, Any]:
        """Return the document that the file holds."""
        return self._result.to_dict()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row per model and figure."""
        for name, known in sorted(self._result.models.items()):
            for metric, value in sorted(known.figures.items()):
                yield {"model": name, "metric": metric, "value": int(value)}


class KeptSaid(Said):
    """What is to be said of a baseline that was saved or updated."""

    what = "a baseline"
    row_columns = ("kind", "text")
    _result: Kept

    def pages(self, view: View) -> list[Page]:
        """Return one page, a line per thing that was or was not done."""
        wrong = (Toned(problem, tone_of_problem(problem)) for problem in problems(self._result))
        first, *others = [*notes(self._result), *wrong] or ["Nothing has changed."]
        return [Page(first, others)]

    def data(self, view: View) -> dict[str, Any]:
        """Return what was and was not done."""
        kept = self._result
        changes = ("added", "removed", "accepted", "replaced", "refused", "changed")
        return {
            **head(f"baseline {kept.action}"),
            "baseline": str(kept.path),
            "written": kept.is_written,
            "counted": list(kept.counted),
            **plain_fields(kept.update, changes),
            "unloadable": dict(kept.unloadable),
            "budget": str(kept.budget),
            "raised": [one._asdict() for one in kept.raised],
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row per line that people read."""
        yield from ({"kind": "note", "text": text} for text in notes(self._result))
        yield from ({"kind": "problem", "text": text} for text in problems(self._result))


def notes(kept: Kept) -> Iterator[str]:
    """Yield what was done."""
    update = kept.update
    if update.unused:
        yield f"nothing to accept matches {', '.join(update.unused)}"
    if kept.action == "save":
        yield f"wrote {kept.path}: {counted(len(kept.counted), 'model')}"
    elif kept.is_written:
        yield f"wrote {kept.path}"
    if kept.raised:
        yield f"wrote {kept.budget}: {counted(len(kept.raised), 'limit')}"
        yield from (f"  {_raised(one)}" for one in kept.raised)
    for word, names in (
        ("added", update.added),
        ("removed", update.removed),
        ("accepted", update.accepted),
        ("not comparable, replaced", update.replaced),
    ):
        if names:
            yield f"{word}: {', '.join(names)}"
    for name, layers in update.shifted.items():
        yield f"{name}: no more in total, though layers grew: {some_of(layers)}"


def _raised(one: RaisedLimit) -> str:
    """Return which limit is another now, and for whom."""
    what = figure_of(one.metric).in_words + (
        f" of {one.layer or ROOT}" if one.layer is not None else ""
    )
    least = "least " if one.bound == "min" else ""
    others = f"; it holds for {some_of(one.shared_by, 3)} too" if one.shared_by else ""
    models = some_of(one.entries, 3)
    return f"line {one.line}: {least}{what} of {models}: {one.before} → {one.after}{others}"


def problems(kept: Kept) -> Iterator[str]:
    """Yield what was not taken over, and what could not be counted."""
    for name, differences in kept.update.changed.items():
        yield f"{name}: {'; '.join(differences)}: {_accept(kept, name)} takes it over"
    grown: dict[str, list[str]] = {}
    for one in kept.update.refused:
        name, _, metric = one.rpartition("/")
        grown.setdefault(name, []).append(metric)
    for name, metrics in grown.items():
        yield f"{name} grew in {', '.join(metrics)}: {_accept(kept, name)} takes it over"
    if kept.on_unloadable != "ignore":
        word = "warning" if kept.on_unloadable == "warn" else "error"
        yield from (f"{word}: {error}" for error in kept.unloadable.values())


def tone_of_problem(problem: str) -> Tone:
    """Return how a problem is said: one that was let off is a warning."""
    return "unclear" if problem.startswith("warning") else "bad"


def _accept(kept: Kept, name: str) -> str:
    return accept_command(name, None if kept.is_nearest else kept.budget)


def accept_command(name: str, budget: Path | None = None, *, raise_limits: bool = False) -> str:
    """Return the command that takes a model over as it is now.

    Args:
        name: The model.
        budget: Its budget, where a command would not find that by itself.
        raise_limits: Whether it is over limits that are not about growth.

    >>> accept_command("net[width=0.5]", raise_limits=True)
    "dscost baseline update --accept 'net[width=0.5]' --raise-limits"
    """
    given = "" if budget is None else f"{quote(str(budget))} "
    more = " --raise-limits" if raise_limits else ""
    return f"dscost baseline update {given}--accept {quote(name)}{more}"
