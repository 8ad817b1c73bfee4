"""Baselines: what they keep, and what came of saving or updating one."""

from collections.abc import Iterator
from shlex import quote
from typing import Any

from dscost.budgets.baseline import Baseline
from dscost.budgets.updating import Kept
from dscost.errors import some_of
from dscost.notation.units import counted
from dscost.pages import Said
from dscost.pages.page import Page, View
from dscost.reports.figures import FIGURES
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
                yield f"  {metric} {int(value):,} ({FIGURES[metric].text(int(value))})"

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
        first, *others = [*notes(self._result), *problems(self._result)] or ["Nothing has changed."]
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


def problems(kept: Kept) -> Iterator[str]:
    """Yield what was not taken over, and what could not be counted."""
    for name, differences in kept.update.changed.items():
        yield f"{name}: {'; '.join(differences)}: {_accept(name)} takes it over"
    for one in kept.update.refused:
        yield f"{one} grew: {_accept(one)} takes it over"
    if kept.on_unloadable != "ignore":
        word = "warning" if kept.on_unloadable == "warn" else "error"
        yield from (f"{word}: {error}" for error in kept.unloadable.values())


def _accept(pattern: str) -> str:
    """Return the command that accepts; in quotes also where a pattern has no wildcard yet."""
    quoted = quote(pattern) if "'" in pattern else f"'{pattern}'"
    return f"dscost baseline update --accept {quoted}"
