"""Cases timed on this machine, in an order of no meaning, and kept in a journal as they come.

What is done is never lost, and never done again: whoever asks for the same goes on where it was.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import NamedTuple, Protocol

from dscost.notation.units import counted
from dscost.sweeping.grids import SHORT
from dscost.sweeping.joining import rows_of
from dscost.sweeping.journal import Journal
from dscost.sweeping.measuring import measure_case, settings_of, where_of
from dscost.sweeping.pooling import drifts_of, due_again
from dscost.sweeping.records import Case, Drift, Row, Visit, Where
from dscost.timing import Progress, Setting, TimingOptions
from dscost.timing import Timed as Undisturbed

Suspicious = Callable[[Sequence[Row]], Collection[str]]
"""Takes the rows of a table and returns the keys of cases that contradict their neighbours."""


class Measure(Protocol):
    """Times a case once, as `dscost.sweeping.measuring.measure_case` does."""

    def __call__(self, case: Case, options: TimingOptions, setting: Setting) -> Visit:
        """Return what was measured."""
        ...


class Job(NamedTuple):
    """A case that is to be timed under a setting."""

    case: Case
    setting: Setting


class Timed(NamedTuple):
    """What came of timing cases.

    Args:
        visits: By the key of the case, all that is known of it.
        places: Where they were timed: for each setting.
        unfinished: How many cases have still to be timed, each setting counting as one.
        doubtful: How many have to be timed once more.
        known: How many of them the journal had.
        journal: The file that holds what was measured.
    """

    visits: Mapping[str, Sequence[Visit]]
    places: tuple[Where, ...]
    unfinished: int = 0
    doubtful: int = 0
    known: int = 0
    journal: Path | None = None

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """Return the table."""
        return rows_of(cases, self.visits, self.places)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """How far the reference layer moved, in each place where something was timed."""
        return drifts_of(self.visits)


def nothing_suspicious(_: Sequence[Row]) -> Collection[str]:
    """Return that no case contradicts its neighbours."""
    return ()


def time_cases(
    cases: Sequence[Case],
    options: TimingOptions,
    *,
    dtype: str = "float32",
    journal: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    suspicious: Suspicious = nothing_suspicious,
    measure: Measure = measure_case,
    clock: Callable[[], float] = monotonic,
) -> Timed:
    """Return what cases take in each place, as far as the time goes.

    They are timed in a shuffled order, so that what changes slowly falls on no part of the grid
    alone; then those once more that `dscost.sweeping.pooling.due_again` tells. At least one is
    timed however short the time is, so that asking again and again comes to an end.

    Args:
        cases: What to time; equal ones are timed once.
        options: How; the budget is that of all cases, and the seed that of their order too.
        dtype: Of weights and activations, where the options name none.
        journal: The file where visits are kept, and what it has is not timed again.
        fresh: Whether what it has of these cases is dropped first.
        progress: Told of each case before it is timed, with the time that is left.
        note: Told of what the journal has.
        suspicious: Tells which cases contradict their neighbours, once all are timed.
        measure: Times a case.
        clock: Returns seconds, for the budget.

    Raises:
        InputError: The journal is none; something is asked for that a sweep does not vary.
        OutputError: The journal cannot be written: it has all that was measured before.
        UnavailableError: Nothing can be timed under a setting.
    """
    settings = settings_of(options, dtype)
    places = tuple(where_of(options, setting) for setting in settings)
    jobs = {
        case.key(where): Job(case, setting)
        for case in cases
        for setting, where in zip(settings, places, strict=True)
    }
    kept = Journal(journal)
    if fresh:
        kept.forget(jobs)
    known = len(kept.among(jobs))
    if note and known:
        going_on = "" if known == len(jobs) else "; going on"
        note(f"{known} of {counted(len(jobs), 'case')} are in {journal}{going_on}")
    run = _Run(jobs, options, kept, progress, measure, clock)
    run.visit([key for key in _shuffled(jobs, options) if not kept.visits(key)])
    while run.is_whole and (due := run.due_again(suspicious(rows_of(cases, run.visits, places)))):
        run.visit(due)
        if run.is_over:
            break
    visits = run.visits
    doubtful = len(due) if run.is_whole else 0
    return Timed(visits, places, len(jobs) - len(visits), doubtful, known, journal)


def _shuffled(jobs: Mapping[str, Job], options: TimingOptions) -> list[str]:
    """Return the keys of jobs in an order that follows from the seed."""
    order = list(jobs)
    options.random().shuffle(order)
    return order


@dataclass(slots=True)
class _Run:
    """Jobs that are done one after the other until the time is over."""

    jobs: Mapping[str, Job]
    options: TimingOptions
    journal: Journal
    progress: Progress | None
    measure: Measure
    clock: Callable[[], float]
    took_s: list[float] = field(default_factory=list)
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.took_s = [one.took_s for of_case in self.visits.values() for one in of_case]
