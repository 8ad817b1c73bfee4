"""Cases timed on the machines of a Dask cluster: once on each kind, on no machine two at a time.

What comes back is kept here as it comes; see `dscost.sweeping.crew` for who does what, and
`dscost.sweeping.timed` for the order, and for what is timed once more.
"""

import pickle
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from dscost.errors import InputError
from dscost.foreign.memory import lines_of
from dscost.sweeping.cluster import connected
from dscost.sweeping.crew import PATIENCE_S, Crew
from dscost.sweeping.joining import rows_of
from dscost.sweeping.journal import Journal
from dscost.sweeping.measuring import measure_case, settings_of, where_of
from dscost.sweeping.monotone import suspicious_keys
from dscost.sweeping.pooling import due_again
from dscost.sweeping.records import Case, Row, Visit, without_fresh
from dscost.sweeping.timed import (
    Measure,
    Suspicious,
    Timed,
    interrupted_words,
    kept_in_words,
)
from dscost.sweeping.units import Unit
from dscost.sweeping.work import Found, Job, Told, Work
from dscost.timing import Progress, Setting, TimingOptions
from dscost.version import __version__

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Differs from machine to machine, be they copies of one image, and not among containers of one."""

Ask = Callable[[TimingOptions, Sequence[Setting]], Told]
"""Returns what a worker says of itself, as `ask_worker` does."""


def ask_worker(options: TimingOptions, settings: Sequence[Setting]) -> Told:
    """Return what this process is to whoever times on it under some settings.

    Raises:
        UnavailableError: Nothing can be timed here.
    """
    places = tuple(where_of(options, setting) for setting in settings)
    machine = next(iter(lines_of(BOOT_ID)), platform.node())
    return Told(places, machine, platform.python_version(), __version__)


def measure_there(
    measure: Measure, options: TimingOptions, settings: Sequence[Setting], case: Case, number: int
) -> Visit:
    """Return what was measured of a case in this process, under the setting of that number."""
    return measure(case, options, settings[number])


def time_on_cluster(
    cases: Sequence[Case],
    options: TimingOptions,
    *,
    scheduler: str,
    dtype: str = "float32",
    journal: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], object] | None = None,
    suspicious: Suspicious = suspicious_keys,
    measure: Measure = measure_case,
    ask: Ask = ask_worker,
    patience_s: float = PATIENCE_S,
    clock: Callable[[], float] = monotonic,
) -> Timed:
    """Return what cases take on each kind of device that a Dask cluster has.

    Machines whose processor, threads and versions are equal are of one kind, and share the cases.
    A case of which a worker dies is given to another; if three die, it is told as not timed. One
    may so be timed twice, but stands in the table once.

    Args:
        cases: What to time; equal ones are timed once on each kind.
        options: How; the budget is that of all cases, and the seed that of their order too.
        scheduler: Address of Dask's scheduler, such as `tcp://192.168.0.10:8786`.
        dtype: Of weights and activations, where neither the options nor a case names one.
        journal: The file where visits are kept, and what it has is not timed again.
        fresh: Whether what it has of these cases is dropped first.
        progress: Told of each case that is done, with the time that is left.
        note: Told of what the journal has.
        suspicious: Tells which cases contradict their neighbours, once all are timed.
        measure: Times a case; a function that workers can import.
        ask: Asks a worker what it is, likewise.
        patience_s: How long to wait for another worker where the last one of a kind has gone.
        clock: Returns seconds.

    Raises:
        InputError: The journal is none; something is asked for that a sweep does not vary; a case
            is code, which is not sent.
        OutputError: The journal cannot be written: it has all that was measured before.
        UnavailableError: No scheduler is there, no worker that offers to time, or none that can.
        KeyboardInterrupt: It was interrupted; the text says what is kept.
    """
    under = [settings_of(options, case.of.get("dtype", dtype)) for case in cases]
    settings = tuple(dict.fromkeys(setting for each in under for setting in each))
    ledger = _Ledger(cases, options, Journal(journal), fresh, note, suspicious)
    work = Work(
        [
            (case, settings.index(setting))
            for case, each in zip(cases, under, strict=True)
            for setting in each
        ],
        partial(ask, options, settings),
        partial(measure_there, measure, options, settings),
    )
    _require_sendable(cases)
    with connected(scheduler) as cluster:
        crew = Crew(
            *(cluster, work, ledger.due, ledger.journal.put, progress),
            budget_s=options.budget_s,
            go_on=without_fresh("run the same command", fresh=fresh, again=" again"),
            patience_s=patience_s,
            clock=clock,
            met=ledger.begin,
        )
        try:
            found = crew.run()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(ledger.kept_in_words()) from None
    return ledger.timed(found, journal)


def _require_sendable(cases: Sequence[Case]) -> None:
    """Refuse what cannot go to another machine, as the code of a model does not.

    Raises:
        InputError: There is such a case.
    """
    for case in cases:
        if all(isinstance(unit, Unit) for unit in case.units):
            continue  # plain data
        try:
            pickle.dumps(case)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise InputError(
                f"--scheduler: {case.of.get('model', 'a model')} is code, which is not sent to "
                "other machines: time it on this one, or give an architecture"
            ) from error


@dataclass(slots=True)
class _Ledger:
    """What is known of the cases of each kind of device, and what follows from that."""

    cases: Sequence[Case]
    options: TimingOptions
    journal: Journal
    fresh: bool
    note: Callable[[str], object] | None
    suspicious: Suspicious
    jobs: dict[str, Job] = field(default_factory=dict)
    known: int = 0

    def begin(self, jobs: Mapping[str, Job]) -> None:
        """Look what is known already of the cases of another kind."""
        self.jobs |= jobs
        if self.fresh:
            self.journal.forget(jobs)
        known = len(self.journal.among(jobs))
        self.known += known
        if self.note and known:
            device = next(iter(jobs.values())).where.device
            cases = kept_in_words(known, len(jobs), f" of {device}")
            self.note(f"{cases} in {self.journal.path}")

    def kept_in_words(self) -> str:
        """Return how much is kept, for whoever interrupted it."""
        known = len(self.journal.among(self.jobs))
        return interrupted_words(known, len(self.jobs), self.journal.path, fresh=self.fresh)

    def due(self, jobs: Mapping[str, Job]) -> list[str]:
        """Return the cases of a kind that were never timed, else those that have to be again."""
        visits = self.journal.among(jobs)
        order = list(jobs)
        self.options.random().shuffle(order)
        missing = [key for key in order if key not in visits]
        if missing:
            return missing
        return due_again(visits, self.suspicious(self._rows(jobs, visits)))

    def _rows(self, jobs: Mapping[str, Job], visits: Mapping[str, Sequence[Visit]]) -> list[Row]:
        places = {job.number: job.where for job in jobs.values()}
        return rows_of(self.cases, visits, tuple(places.values()), self.options.dtypes)

    def timed(self, found: Found, path: Path | None) -> Timed:
        """Return what came of it."""
        visits = dict(self.journal.among(self.jobs))
        missing = [key for key in self.jobs if key not in visits]
        again = 0
        for places in found.kinds:
            own = {key: job for key, job in self.jobs.items() if job.where in places}
            if all(key in visits for key in own):
                again += len(self.due(own))
        visits |= {visit.key: (visit,) for visit in found.failed if visit.key not in visits}
        places = tuple(where for kind in found.kinds for where in kind)
        return Timed(
            *(visits, places, len(missing), again, self.known, path, found.warnings),
            dtypes=self.options.dtypes,
            fresh=self.fresh,
        )
