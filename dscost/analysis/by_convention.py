"""A counted model → the same with what it counts by the conventions of others. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, cast

from dscost.conventions import Convention, Tally, find_convention, functions_of, tally
from dscost.layers.variants import STANDARD, VERSIONS
from dscost.networks.network import stage_operations
from dscost.reports.records import Report

if TYPE_CHECKING:
    from dscost.analysis.counting import CountedModel
    from dscost.networks.swaps import Swap
    from dscost.traces.calls import Call

    class Seen(Protocol):
        """A model of which is known what counters of others see."""

        def calls(self, variant: str, swaps: "Sequence[Swap]") -> "Iterable[Call]":
            """Return what they would see of a version of the model, with these swaps."""
            ...


def functions_for(names: Sequence[str]) -> frozenset[str] | None:
    """Return the functions of torch that conventions look at; `None` where none is asked for."""
    return functions_of(map(find_convention, names)) if names else None


def with_conventions(model: "CountedModel", names: Sequence[str]) -> "CountedModel":
    """Return a counted model with what it counts by conventions, version by version and by layer.

    Raises:
        InputError: There is no such convention, or its file is wrong.
    """
    if not names or not hasattr(model.versions, "calls"):
        return model
    conventions = list(map(find_convention, names))
    versions = cast("Seen", model.versions)
    seen = {name: list(versions.calls(name, model.swaps)) for name in VERSIONS}
    return model._replace(report=counted_by(model.report, conventions, seen))


def layer_with_conventions(report: Report, names: Sequence[str]) -> Report:
    """Return the report of one layer with what each of its variants counts by conventions.

    Raises:
        InputError: There is no such convention, or its file is wrong.
    """
    from dscost.analysis.varying import parts_of
    from dscost.conventions.operations import calls_of

    (layer,) = report.layers
    seen = {
        label: list(calls_of(stage_operations(parts_of(report, label), layer.input_shape)))
        for label in layer.variants
    }
    seen["as_is"] = [call._replace(path=layer.name) for call in seen[STANDARD]]
    return counted_by(report, list(map(find_convention, names)), seen)


def counted_by(
    report: Report, conventions: Sequence[Convention], seen: Mapping[str, "Iterable[Call]"]
) -> Report:
    """Return a report with what its versions count by conventions, given what is seen of each."""
    totals: dict[str, Mapping[str, int]] = {}
    by_layer: dict[str, dict[str, int]] = {layer.name: {} for layer in report.layers}
    for one in conventions:
        tallies = {
            version: tally(one, calls, batch=report.batch) for version, calls in seen.items()
        }
        totals[one.key] = {version: found.total for version, found in tallies.items()}
        for name, amount in _of_layers(tallies["as_is"], by_layer).items():
            by_layer[name][one.key] = amount
    layers = tuple(layer._replace(by_convention=by_layer[layer.name]) for layer in report.layers)
    return report._replace(layers=layers, by_convention=totals)


def _of_layers(found: Tally, layers: Iterable[str]) -> dict[str, int]:
    """Return what each layer counts; what is no layer itself counts for the one that holds it."""
    amounts = dict.fromkeys(layers, Fraction())
    for path, amount in found.by_layer.items():
        while path not in amounts and path:
            path = path.rpartition(".")[0]
        if path in amounts:
            amounts[path] += amount
    return {name: int(amount) for name, amount in amounts.items()}
