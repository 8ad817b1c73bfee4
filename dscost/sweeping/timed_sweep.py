"""Layers, or models, of a sweep → the same counted and timed, as a table."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from dscost.errors import InputError
from dscost.notation.units import counted
from dscost.sweeping.layer_sweep import cases_of_layers
from dscost.sweeping.model_layers import ModelLayers
from dscost.sweeping.records import NOT_YET, Row, Sweep, digest_of, without_fresh
from dscost.sweeping.swept import Cases
from dscost.sweeping.timed import Timed, time_cases
from dscost.timing import Progress, TimingOptions


def timed_sweep(
    what: Cases | ModelLayers,
    options: TimingOptions,
    *,
    journal: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    scheduler: str | None = None,
) -> Sweep:
    """Return what cases cost and take, as far as the time goes; see `time_cases`.

    Args:
        what: Layers or models; the layers of a model are timed beside it, and summed up.
        options: How.
        journal: The file where visits are kept.
        fresh: Whether what it has of these cases is dropped first.
        progress: Told of each case before it is timed.
        note: Told of what the journal has.
        scheduler: Address of Dask's scheduler, on whose workers they are timed; see
            `time_on_cluster`.

    Raises:
        InputError: Something is asked for that is not timed so.
    """
    if isinstance(what, ModelLayers):
        if scheduler is not None:
            raise InputError("the layers of a model are timed beside it on this machine alone")
        return _timed_layers(
            what, options, journal=journal, fresh=fresh, progress=progress, note=note
        )
    time: Callable[..., Timed] = time_cases
    if scheduler is not None:
        from dscost.sweeping.distributing import time_on_cluster

        time = partial(time_on_cluster, scheduler=scheduler)
    found = time(what.cases, options, journal=journal, fresh=fresh, progress=progress, note=note)
    return swept_of(what, found)


def swept_of(cases: Cases, found: Timed) -> Sweep:
    """Return the table of what was found of cases."""
    return Sweep(
        cases.title,
        cases.size,
        tuple(found.rows(cases.cases)),
        cases.impossible,
        found.drifts,
        found.unfinished,
        (*cases.warnings, *found.warnings, *doubts(found)),
        None if found.journal is None else str(found.journal),
        fresh=found.fresh,
    )


def _timed_layers(model: ModelLayers, options: TimingOptions, **how: Any) -> Sweep:
    """Return what the layers of a model take, and their sums beside the whole.

    Args:
        model: Its layers.
        options: How to measure.
        how: What more `time_cases` takes.

    Raises:
        InputError: Something is asked for that makes the layers others than the model's.
    """
    from dscost.sweeping.adding_up import layers_among, measure_layer, sums_of, with_kernels
    from dscost.sweeping.measuring import settings_of

    if options.with_norm:
        raise InputError("with norm: the layers of a model have the normalisations that it has")
    cases = (*model.layers, model.whole)
    found = swept_of(
        cases_of_layers(model)._replace(cases=cases),
        time_cases(cases, options, measure=measure_layer, **how),
    )
    settings = settings_of(options, model.whole.of["dtype"])
    of_runtime = {(one.runtime, one.dtype): one for one in settings}
    sums = tuple(
        with_kernels(one, model, of_runtime[one.where.runtime, one.where.dtype])
        for one in sums_of(model, found.rows)
    )
    return found._replace(rows=tuple(layers_among(found.rows)), sums=sums)


def doubts(found: Timed) -> Iterable[str]:
    """Yield what is to be said of cases for whose second visit the time did not suffice."""
    if found.doubtful:
        are, them = ("is", "it") if found.doubtful == 1 else ("are", "them")
        told = f"{counted(found.doubtful, 'case')} {are} still to be measured once more"
        command = without_fresh("the same command", fresh=found.fresh)
        yield f"{told}; {command} goes on with {them}" if found.journal else told


def left_in_words(found: Sweep) -> str:
    """Return how much is left, in a sentence for whoever waits; empty where nothing is."""
    if not found.unfinished:
        return ""
    every = counted(len({row.key for row in found.rows if row.key}), "case")
    is_are = "is" if found.unfinished == 1 else "are"
    run = without_fresh("run the same command", fresh=found.fresh, again=" again")
    how = f"{run} to go on" if found.journal else "--time-budget was too short"
    return f"{found.unfinished} of {every} {is_are} left: {how}"


def untimed_of(rows: Iterable[Row]) -> list[str]:
    """Return why rows were not timed, those left out that are still to come."""
    found = [row.note for row in rows if row.key and row.latency_s is None]
    return [note for note in dict.fromkeys(found) if note != NOT_YET]


def what_is_swept(what: Cases | ModelLayers) -> dict[str, Any]:
    """Return what tells the cases of a sweep from those of others, for the name of a journal."""
    cases = [*what.layers, what.whole] if isinstance(what, ModelLayers) else what.cases
    return {"cases": digest_of([case.timed for case in cases])}
