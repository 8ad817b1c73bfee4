"""A counted model → the same with what it counts by the conventions of others. No torch."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from dscost.conventions import Convention, Grouped, Tally, find_convention, tally
from dscost.conventions.known import built_in_names
from dscost.conventions.lacking import misspelt, without_rule
from dscost.errors import InputError
from dscost.layers.variants import STANDARD, VERSIONS
from dscost.networks.network import stage_operations
from dscost.reports.counted_by import without_figures
from dscost.reports.records import CountedBy, Report

if TYPE_CHECKING:
    from dscost.analysis.counting import CountedModel
    from dscost.networks.swaps import Swap
    from dscost.traces.calls import Call

    class Seen(Protocol):
        """A model of which is known what counters of others see."""

        def calls(self, variant: str, swaps: "Sequence[Swap]") -> "Iterable[Call]":
            """Return what they would see of a version of the model, with these swaps."""
            ...


UNSEEN = (
    "Not counted by {}, whose rules speak of torch models: count the one that this was made from."
)
UNSAVED = (
    "Not counted by {}: a saved report has the conventions that it was saved with; "
    "save the model anew with --convention."
)
BY_OTHER_RULES = (
    "What was saved as counted by {} was counted by other rules than those that are asked for now, "
    "or does not say by which: save the model anew with --convention."
)
COMPILED = (
    "Other counters see little of TorchScript, or fail on it: by {} count the model that it was "
    "made from."
)
EXPORTED = (
    "torch.export has left no classes of modules, by which {} would count: count the model that "
    "was exported, or the .pt2 that it is saved as."
)
TRAINING = (
    "conventions of others count the forward pass alone: --train and --convention "
    "contradict each other"
)
_Key = TypeVar("_Key")


def conventions_of(names: Iterable[str]) -> tuple[Convention, ...]:
    """Return conventions by their names, each once.

    Raises:
        InputError: There is no such convention, its file is wrong, or two have one name.
    """
    found: dict[str, Convention] = {}
    for name in names:
        one = find_convention(name)
        if found.setdefault(one.key, one) != one:
            raise InputError(f"two conventions are called {one.key}: rename the file {name}")
    return tuple(_told_apart(found.values()))


def _told_apart(conventions: Collection[Convention]) -> Iterator[Convention]:
    """Yield conventions; a title that another has too, asked for or built in, has the key behind.

    A built-in one keeps its title.
    """
    built_in = built_in_names()
    titles = [one.title for one in conventions]
    if any(one.key not in built_in for one in conventions):
        others = built_in.difference(one.key for one in conventions)
        titles += [find_convention(name).title for name in others]
    for one in conventions:
        is_own = one.key not in built_in and titles.count(one.title) > 1
        yield one._replace(title=f"{one.title} ({one.key})") if is_own else one


def with_conventions(model: "CountedModel", conventions: Sequence[Convention]) -> "CountedModel":
    """Return a counted model with what it counts by conventions, version by version and by layer.

    One that cannot be counted so, or was saved without, has a warning that says so.
    """
    versions: Any = model.versions
    why_unseen = getattr(versions, "why_unseen", "")
    if why_unseen or not hasattr(versions, "calls"):
        return model._replace(report=_lacking(model, conventions, why_unseen))
    batch = _batch_of(versions, model.report)
    report = counted_by(model.report, conventions, _seen(versions, model.swaps), batch)
    if hasattr(versions, "unlike"):
        by_operators = any(rule.kind == "operators" for one in conventions for rule in one.rules)
        unlike = versions.unlike(by_operators=by_operators)
        report = report._replace(warnings=(*report.warnings, *unlike))
    warnings = _of_closed(getattr(versions, "closed_by", ""), conventions)
    report = report._replace(warnings=(*report.warnings, *warnings))
    return model._replace(report=report, conventions=tuple(conventions))


def _batch_of(versions: Any, report: Report) -> int:
    """Return how many inputs at once others take a model for, which some of them divide by."""
    return getattr(versions, "batch", report.batch)


def totals_by(
    report: Report, conventions: Sequence[Convention], versions: Any, swaps: "Sequence[Swap]"
) -> Mapping[str, Mapping[str, int]]:
    """Return what the versions of a model count by conventions with these swaps and no others."""
    seen, batch = _seen(versions, swaps), _batch_of(versions, report)
    return counted_by(report, conventions, seen, batch).by_convention


def totals_with_swaps(
    model: "CountedModel", swaps: "Sequence[Swap]"
) -> Mapping[str, Mapping[str, int]]:
    """Return what the versions of a model count with these swaps, by the conventions that it has.

    Of one in a process of its own that is asked there.

    Raises:
        InputError: That process has died, twice.
    """
    versions: Any = model.versions
    if hasattr(versions, "swapped"):
        report: Report = versions.swapped(swaps)
        return report.by_convention
    if not model.conventions or not hasattr(versions, "calls"):
        return {}
    return totals_by(model.report, model.conventions, versions, swaps)


def _seen(versions: Any, swaps: "Sequence[Swap]") -> dict[str, "Sequence[Call]"]:
    """Return what counters of others would see of every version of a model."""
    seen = cast("Seen", versions)
    return {name: list(seen.calls(name, swaps)) for name in VERSIONS}


def _of_closed(closed_by: str, conventions: Sequence[Convention]) -> Iterator[str]:
    """Yield a warning that others see less of a closed model than there is, if it is one."""
    if not closed_by:
        return
    is_compiled = closed_by == "TorchScript"
    kinds = {one.title: {rule.kind for rule in one.rules} for one in conventions}
    blind = [title for title, found in kinds.items() if is_compiled or found - {"operators"}]
    if blind:
        yield (COMPILED if is_compiled else EXPORTED).format(" and ".join(blind))


def _lacking(
    model: "CountedModel", conventions: Sequence[Convention], why_unseen: str = ""
) -> Report:
    """Return the report of a model with a warning of the conventions that it has not.

    A figure that was saved under one of their names is not theirs where other rules counted it.
    """
    report = model.report
    lacking = [one.title for one in conventions if one.key not in report.by_convention]
    warnings = []
    if lacking:
        names = " and ".join(lacking)
        known = (UNSAVED if model.saved else UNSEEN).format(names)
        warnings.append(f"Not counted by {names}: {why_unseen}." if why_unseen else known)
    asked = {one.key: one for one in conventions if one.key in report.by_convention}
    others = [one for key, one in asked.items() if not report.conventions[key].is_by(one.digest)]
    if others:
        report = without_figures(report, [one.key for one in others])
        warnings.append(BY_OTHER_RULES.format(" and ".join(one.title for one in others)))
    return report._replace(warnings=(*report.warnings, *warnings))


def layer_with_conventions(report: Report, conventions: Sequence[Convention]) -> Report:
    """Return the report of one layer with what each of its variants counts by conventions."""
    from dscost.analysis.varying import parts_of
    from dscost.conventions.operations import calls_of

    (layer,) = report.layers
    seen = {
        label: list(calls_of(stage_operations(parts_of(report, label), layer.input_shape)))
        for label in layer.variants
    }
    seen["as_is"] = [call._replace(path=layer.name) for call in seen[STANDARD]]
    return counted_by(report, conventions, seen)


def counted_by(
    report: Report,
    conventions: Sequence[Convention],
    seen: Mapping[str, "Iterable[Call]"],
    batch: int | None = None,
) -> Report:
    """Return a report with what its versions count by conventions, given what is seen of each.

    Some divide by the batch, which is that of the report unless told.
    """
    batch = report.batch if batch is None else batch
    totals: dict[str, Mapping[str, int]] = {}
    how: dict[str, CountedBy] = {}
    by_layer: dict[str, dict[str, int]] = {layer.name: {} for layer in report.layers}
    warnings: list[str] = []
    seen = {version: list(calls) for version, calls in seen.items()}
    grouped = {version: Grouped(calls) for version, calls in seen.items()}
    for one in conventions:
        tallies = {version: tally(one, calls, batch=batch) for version, calls in grouped.items()}
        totals[one.key] = {version: found.total for version, found in tallies.items()}
        found = tallies["as_is"]
        shares = _shares(found)
        lacking = without_rule(one, seen["as_is"])
        how[one.key] = CountedBy(
            one.title, one.counts, one.means, shares, one.per_sample, one.digest, lacking
        )
        warnings += misspelt(one, seen["as_is"])
        for name, amount in _of_layers(found, by_layer).items():
            by_layer[name][one.key] = amount
    layers = tuple(layer._replace(by_convention=by_layer[layer.name]) for layer in report.layers)
    warned = (*report.warnings, *warnings)
    return report._replace(layers=layers, by_convention=totals, conventions=how, warnings=warned)


def _of_layers(found: Tally, layers: Iterable[str]) -> dict[str, int]:
    """Return what each layer counts; what is no layer itself counts for the one that holds it."""
    amounts = dict.fromkeys(layers, Fraction())
    for path, amount in found.by_layer.items():
        while path not in amounts and path:
            path = path.rpartition(".")[0]
        if path in amounts:
            amounts[path] += amount
    return dict(_whole(amounts))


def _shares(found: Tally) -> dict[str, int]:
    """Return how much each kind of thing counts, by what it is called."""
    amounts: dict[str, Fraction] = {}
    for rule, amount in found.by_rule:
        called = rule.in_words
        amounts[called] = amounts.get(called, Fraction()) + amount
    return dict(_whole(amounts))


def _whole(amounts: Mapping[_Key, Fraction]) -> Iterator[tuple[_Key, int]]:
    """Yield amounts as whole numbers that add up to what the whole is, cut to a whole number."""
    total, before = Fraction(), 0
    for key, amount in amounts.items():
        total += amount
        yield key, int(total) - before
        before = int(total)
