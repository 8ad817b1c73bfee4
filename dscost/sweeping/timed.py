"""Cases timed on this machine, in an order of no meaning, and kept in a journal as they come.

What is done is never lost, and never done again: whoever asks for the same goes on where it was.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, NamedTuple, Protocol

from dscost.notation.units import counted, format_duration
from dscost.sweeping.grids import SHORT
from dscost.sweeping.joining import rows_of
from dscost.sweeping.journal import Journal
from dscost.sweeping.measuring import measure_case, settings_of, where_of
from dscost.sweeping.monotone import suspicious_keys
from dscost.sweeping.pooling import drifts_of, due_again
from dscost.sweeping.records import Case, Drift, Row, Visit, Where, without_fresh
from dscost.sweeping.tables import text_of
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
        warnings: What the reader must know.
        dtypes: In which all of them were timed, if not each in its own.
        fresh: Whether what the journal had was dropped first.
    """

    visits: Mapping[str, Sequence[Visit]]
    places: tuple[Where, ...]
    unfinished: int = 0
    doubtful: int = 0
    known: int = 0
    journal: Path | None = None
    warnings: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    fresh: bool = False

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """Return the table."""
        return rows_of(cases, self.visits, self.places, self.dtypes)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """How far the reference layer moved, in each place where something was timed."""
        return drifts_of(self.visits)


def time_cases(
    cases: Sequence[Case],
    options: TimingOptions,
    *,
    dtype: str = "float32",
    journal: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    suspicious: Suspicious = suspicious_keys,
    measure: Measure = measure_case,
    clock: Callable[[], float] = monotonic,
) -> Timed:
    """Return what cases take in each place, as far as the time goes.

    They are timed in a shuffled order, so that what changes slowly falls on no part of the grid
    alone; then those once more that `dscost.sweeping.pooling.due_again` tells. At least one is
    timed however short the time is, so that asking again and again comes to an end.

    Args:
        cases: What to time; equal ones are timed once.
        options: How; the budget is that of all cases, and the seed that of their order too. Where
            they name no dtype, each case is timed in its own.
        dtype: Of cases that say none.
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
        KeyboardInterrupt: It was interrupted; the text says what is kept.
    """
    jobs, places = _jobs(cases, options, dtype)
    kept = Journal(journal)
    if fresh:
        kept.forget(jobs)
    known = len(kept.among(jobs))
    if note and known:
        going_on = "" if known == len(jobs) else "; going on"
        note(f"{kept_in_words(known, len(jobs))} in {journal}{going_on}")
    run = _Run(jobs, options, kept, progress, measure, clock)

    def found(due: Sequence[str] = ()) -> Timed:
        left = len(run.missing()), len(due)
        return Timed(run.visits, places, *left, known, journal, dtypes=options.dtypes, fresh=fresh)

    def due() -> list[str]:
        return [] if run.missing() else due_again(run.visits, suspicious(found().rows(cases)))

    try:
        run.visit(run.missing())
        again = due()
        while again and not run.is_over:
            run.visit(again)
            again = due()
    except KeyboardInterrupt:
        told = interrupted_words(len(run.visits), len(jobs), journal, fresh=fresh)
        raise KeyboardInterrupt(told) from None
    return found(again)


def _jobs(
    cases: Sequence[Case], options: TimingOptions, dtype: str
) -> tuple[dict[str, Job], tuple[Where, ...]]:
    """Return what is to be timed, by key, and the places of that."""
    jobs: dict[str, Job] = {}
    places: dict[Setting, Where] = {}
    for case in cases:
        for setting in settings_of(options, case.of.get("dtype", dtype)):
            where = places.setdefault(setting, where_of(options, setting))
            jobs[case.key(where)] = Job(case, setting)
    return jobs, tuple(places.values())


def kept_in_words(number: int, every: int, of: str = "") -> str:
    """Return how many cases are somewhere, up to the verb.

    >>> kept_in_words(1, 1), kept_in_words(2, 3, " of Xeon")
    ('1 of 1 case is', '2 of 3 cases of Xeon are')
    """
    return f"{number} of {counted(every, 'case')}{of} {'is' if number == 1 else 'are'}"


def interrupted_words(number: int, every: int, journal: Path | None, *, fresh: bool) -> str:
    """Return what is kept of so many cases, for whoever interrupted them.

    Args:
        number: Of those that are kept.
        every: How many there are.
        journal: Where they are kept.
        fresh: Whether what that had was dropped first.
    """
    if not journal or not number:
        return "nothing is kept"
    goes_on = f"{without_fresh('the same', fresh=fresh)} goes on from there"
    return f"{kept_in_words(number, every)} in {journal}: {goes_on}"


@dataclass(slots=True)
class _Run:
    """Jobs that are done one after the other until the time is over."""

    jobs: Mapping[str, Job]
    options: TimingOptions
    journal: Journal
    progress: Progress | None
    measure: Measure
    clock: Callable[[], float]
    done: int = 0
    took_s: list[float] = field(default_factory=list)
    varying: tuple[str, ...] = ()
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()
        self.took_s = [one.took_s for of_case in self.visits.values() for one in of_case]
        self.varying = _varying([job.case.of for job in self.jobs.values()])

    @property
    def visits(self) -> dict[str, tuple[Visit, ...]]:
        """What is known of each job that was done."""
        return self.journal.among(self.jobs)

    @property
    def is_over(self) -> bool:
        """Whether the time is; not before something was done."""
        budget_s = self.options.budget_s
        return budget_s is not None and self.done > 0 and self.left_s(budget_s) <= 0

    def left_s(self, budget_s: float) -> float:
        """Return what is left of a budget."""
        return self.began + budget_s - self.clock()

    def missing(self) -> list[str]:
        """Return the keys of what was never done, in an order that follows from the seed."""
        order = list(self.jobs)
        self.options.random().shuffle(order)
        return [key for key in order if not self.journal.visits(key)]

    def visit(self, keys: Sequence[str]) -> None:
        """Do jobs in this order, each once, as far as the time goes."""
        for number, key in enumerate(keys):
            if self.is_over:
                return
            self.tell(key, len(keys) - number)
            job = self.jobs[key]
            visit = self.measure(job.case, self.options, job.setting)
            self.took_s.append(visit.took_s)
            self.done += 1
            self.journal.put(visit)

    def tell(self, key: str, left: int) -> None:
        """Tell which job is next, and how long those take that are left, this one included."""
        if self.progress is None:
            return
        known, every = len(self.visits), len(self.jobs)
        again = self.journal.visits(key)
        doing = f"again, {left} left" if again else f"{known + 1} of {every}"
        self.progress(known / every, Undisturbed(f"timing {doing}{self._job(key)}{self._s(left)}"))

    def _job(self, key: str) -> str:
        """Return which job it is, in words."""
        case, setting = self.jobs[key]
        told = [
            f"{SHORT.get(name, name)} {text_of(case.of[name])}"
            for name in self.varying
            if name in case.of
        ]
        if len({job.setting for job in self.jobs.values()}) > 1:
            told.append(setting.key)
        return f": {', '.join(told)}" if told else ""

    def _s(self, left: int) -> str:
        """Return how long so many jobs take, as those before did, within the budget."""
        if not self.took_s:
            return ""
        seconds, budget_s = left * median(self.took_s), self.options.budget_s
        if budget_s is not None:
            seconds = min(seconds, max(0.0, self.left_s(budget_s)))
        return f" · {format_duration(seconds)} left"


def _varying(of: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of what cases differ in."""
    seen: dict[str, set[str]] = {}
    for one in of:
        for name, value in one.items():
            seen.setdefault(name, set()).add(repr(value))
    return tuple(name for name, values in seen.items() if len(values) > 1)
