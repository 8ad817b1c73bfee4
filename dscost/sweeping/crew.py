"""The workers of a cluster at work: who is there, who has which case, what is left to be done.

What comes back is kept here, by whoever asked, as it comes: a worker that dies takes at most the
cases that it was given, and those are given to others. So a case may be timed twice, but what was
there first stays, and each stands in the table once.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from platform import python_version
from statistics import median
from time import monotonic
from typing import NamedTuple

from dscost.errors import UnavailableError, first_of
from dscost.notation.units import counted, format_duration
from dscost.sweeping.cluster import Answer, Cluster, worker_command
from dscost.sweeping.kinds import kinds_of
from dscost.sweeping.records import Visit, Where
from dscost.sweeping.work import Found, Job, Told, Work, reason_of, untimed_visit
from dscost.timing import Progress
from dscost.version import __version__

IN_FLIGHT = 2
"""Cases that a worker has: the one that it times and the next, so that it need not wait for us."""
MOST_DEATHS = 3
"""A case during which so many workers died is not given to another."""
LOOK_S = 0.5
"""How often we look who is there."""
PATIENCE_S = 60.0
"""How long a kind of device may be without a worker before we go on without it."""
ARRIVAL_S = 10.0
"""How long a cluster may be without any worker that can time."""


@dataclass(slots=True)
class _Kind:
    """What is to be timed on one kind of device."""

    places: tuple[Where, ...]
    jobs: dict[str, Job]
    waiting: deque[Job] = field(default_factory=deque)
    rounds: int = 0
    without_since: float | None = None


class _Asked(NamedTuple):
    """A worker that was asked what it is, and when."""

    address: str
    at_s: float


@dataclass(slots=True)
class _Worker:
    """A worker that times, and what it was given, in the order in which it does it.

    Of the first of that, since when it has it.
    """

    told: Told
    kind: _Kind
    given: dict[str, Job] = field(default_factory=dict)
    since_s: float = 0.0


@dataclass(slots=True)
class Crew:
    """The workers of a cluster at work on some cases.

    Args:
        cluster: Where they are.
        work: What they are to do.
        due: Takes the cases of a kind of device by key, and returns the keys of those that are to
            be timed, or timed once more, after all that was kept; none where it is all done.
        keep: Takes what was measured, as it comes.
        progress: Told of each case that is done.
        budget_s: Seconds after which nothing more is begun.
        go_on: How one goes on with what is left.
        patience_s: How long a kind of device may be without a worker, in seconds.
        clock: Returns seconds.
        met: Told of the cases of each kind of device, by key, before they are timed.
    """

    cluster: Cluster
    work: Work
    due: Callable[[Mapping[str, Job]], Sequence[str]]
    keep: Callable[[Visit], None]
    progress: Progress | None = None
    budget_s: float | None = None
    go_on: str = "run the same command again"
    patience_s: float = PATIENCE_S
    clock: Callable[[], float] = monotonic
    met: Callable[[Mapping[str, Job]], None] | None = None
    _kinds: dict[str, _Kind] = field(default_factory=dict)
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _unfit: dict[str, str] = field(default_factory=dict)
    _failed: dict[str, Visit] = field(default_factory=dict)
    _deaths: Counter[str] = field(default_factory=Counter)
    _warnings: dict[str, None] = field(default_factory=dict)
    _began: float = 0.0
    _looked: float | None = None
    _took_s: list[float] = field(default_factory=list)

    def run(self) -> Found:
        """Time them all on each kind of device that is there, or as many as can be.

        Raises:
            UnavailableError: No worker offers to time, or none that does can.
        """
        self._began = self.clock()
        while True:
            self._look()
            self._give()
            if self._is_over():
                return self._found()
            answer = self.cluster.answer(LOOK_S)
            if answer is not None:
                self._take(answer)

    # -- who is there

    def _look(self) -> None:
        """See who has come and who has gone, now and then."""
        now = self.clock()
        if self._looked is not None and now - self._looked < LOOK_S:
            return
        self._looked = now
        there = self.cluster.workers()
        if there is None:
            return
        asked = {one.address for one in self._asked.values()}
        for worker in {*self._workers, *asked} - there.keys():
            self._lose(worker)
        for worker, at_work in [*self._workers.items()]:
            limit_s = max((job.limit_s for job in [*at_work.given.values()][:1]), default=inf)
            if now - at_work.since_s > limit_s:  # it hangs: nothing takes that long
                self._unfit[worker] = (
                    f"{worker}: it was at one case for more than {format_duration(limit_s)}"
                )
                self._lose(worker)
        for worker, offers in there.items():
            if offers and worker not in {*self._workers, *asked, *self._unfit}:
                self._asked[self.cluster.send(worker, self.work.ask)] = _Asked(worker, now)
        if not (self._kinds or self._asked):
            self._require_some(there, now)
        for kind in self._kinds.values():
            has_one = any(worker.kind is kind for worker in self._workers.values())
            if has_one:
                kind.without_since = None
            elif kind.without_since is None:
                kind.without_since = now

    def _require_some(self, there: Mapping[str, bool], now: float) -> None:
        """Say what is missing where nobody is there that could be asked.

        Raises:
            UnavailableError: It is not about to come.
        """
        at, command = self.cluster.scheduler, worker_command(self.cluster.scheduler)
        is_late = now - self._began > ARRIVAL_S
        if self._unfit and is_late:
            raise UnavailableError(f"no worker of {at} can time: {self._reasons()[0]}")
        if there and not self._unfit:
            raise UnavailableError(f"no worker of {at} offers to time: start each by {command}")
        if is_late:
            raise UnavailableError(f"{at} has no workers: start one on each machine by {command}")
        if self.progress is not None:
            self.progress(None, f"waiting for a worker: {command}")

    def _meet(self, address: str, answer: Answer) -> None:
        """Take what a worker says of itself; one that cannot time is left alone."""
        told = answer.value
        if answer.error is not None:
            self._unfit[address] = f"{address}: {reason_of(answer.error)}"
        if not isinstance(told, Told):
            return
        self._unfit.pop(address, None)
        key = json.dumps([where.key for where in told.places], sort_keys=True)
        if key not in self._kinds:
            every = [Job(case, told.places[number], number) for case, number in self.work.cases]
            jobs = {job.key: job for job in every}
            self._kinds[key] = _Kind(told.places, jobs)
            if self.met is not None:
                self.met(jobs)
            self._refill(self._kinds[key])
        self._workers[address] = _Worker(told, self._kinds[key])
        self._compare_versions(address, told)

    def _compare_versions(self, address: str, told: Told) -> None:
        ours = {"dscost": __version__, "Python": python_version()}
        for name, theirs in (("dscost", told.dscost), ("Python", told.python)):
            if theirs != ours[name]:
                host = told.places[0].host or address
                self._warnings[f"{host} has {name} {theirs}, and not {ours[name]}."] = None

    def _lose(self, address: str, *, alive: bool = False) -> None:
        """Take from a worker what it was given: if it died, the first of it was being timed."""
        for call in [call for call, one in self._asked.items() if one.address == address]:
            self.cluster.forget(call)
            del self._asked[call]
        worker = self._workers.pop(address, None)
        if worker is None:
            return
        for call in worker.given:
            self.cluster.forget(call)
        jobs = list(worker.given.values())
        died_at = 0 if alive else 1
        worker.kind.waiting.extendleft(reversed(jobs[died_at:]))
        for job in jobs[:died_at]:
            self._bury(job, worker.kind)
        self._refill(worker.kind)

    def _bury(self, job: Job, kind: _Kind) -> None:
        """Put a case last whose worker has died, until that happened too often."""
        self._deaths[job.key] += 1
        if self._deaths[job.key] < MOST_DEATHS:
            kind.waiting.append(job)
        else:
            self.keep(untimed_visit(job, f"{MOST_DEATHS} workers died while they timed it"))

    # -- what they do

    def _give(self) -> None:
        """Give each worker its next cases; of those on one machine one works at a time."""
        if self._is_late():
            return
        for most in range(1, IN_FLIGHT + 1):
            for address, worker in self._workers.items():
                if worker.kind.waiting and len(worker.given) < most and self._may_work(worker):
                    job = worker.kind.waiting.popleft()
                    call = self.cluster.send(address, self.work.measure, job.case, job.number)
                    if not worker.given:
                        worker.since_s = self.clock()
                    worker.given[call] = job

    def _may_work(self, worker: _Worker) -> bool:
        machine = worker.told.machine
        beside = (one for one in self._workers.values() if one.told.machine == machine)
        return not any(one.given for one in beside if one is not worker)

    def _take(self, answer: Answer) -> None:
        """Take what came of a call."""
        asked = self._asked.pop(answer.call, None)
        if asked is not None:
            self._meet(asked.address, answer)
            return
        found = next((one for one in self._workers.items() if answer.call in one[1].given), None)
        if found is None:
            return
        address, worker = found
        job, kind = worker.given.pop(answer.call), worker.kind
        worker.since_s = self.clock()
        if isinstance(answer.value, Visit) and answer.value.key != job.key:
            # what it measures would never count as done
            kind.waiting.append(job)
            version = f"its dscost is {worker.told.dscost}, ours {__version__}"
            self._unfit[address] = f"{address}: it calls cases by other names, {version}"
            self._lose(address, alive=True)
        elif isinstance(answer.value, Visit):
            self.keep(answer.value)
            self._took_s.append(answer.value.took_s)
        elif answer.error is not None:
            self._failed[job.key] = untimed_visit(job, reason_of(answer.error))
        else:
            self._bury(job, kind)
        self._refill(kind)
        self._tell_share()

    def _refill(self, kind: _Kind) -> None:
        """See what of a kind is still to be timed, once it has nothing to do."""
        if not self._left(kind):
            jobs = {key: job for key, job in kind.jobs.items() if key not in self._failed}
            kind.rounds += 1
            kind.waiting.extend(jobs[key] for key in self.due(jobs))

    # -- what is left

    def _is_over(self) -> bool:
        """Whether all is done, or nobody is there to do the rest and nobody came for long."""
        if self.cluster.is_gone:
            return True
        if self._is_asking():
            return False
        if self._is_late():
            return not any(worker.given for worker in self._workers.values())
        unfinished = [kind for kind in self._kinds.values() if self._left(kind)]
        waits_s = [self._waits_s(kind) for kind in unfinished]
        if unfinished and None not in waits_s:
            left_s = max(one for one in waits_s if one is not None)
            self._tell_waiting(unfinished, left_s)
            return left_s <= 0
        return not unfinished

    def _is_late(self) -> bool:
        """Whether the time is over; not before something was timed."""
        if self.budget_s is None or not self._took_s:
            return False
        return self.clock() - self._began >= self.budget_s

    def _is_asking(self) -> bool:
        """Whether a worker may still say what it is: one does not while another sweep has it.

        Raises:
            UnavailableError: No worker has said it for long.
        """
        since_s = max((one.at_s for one in self._asked.values()), default=None)
        if since_s is None:
            return not self._kinds
        if self.clock() - since_s < self.patience_s:
            if self.progress is not None and not self._kinds:
                self.progress(None, f"asking {counted(len(self._asked), 'worker')} where to time")
            return True
        silent = next(iter(self._asked.values())).address
        if self._kinds:
            self._unfit[silent] = f"{silent}: busy with something else"
            return False
        raise UnavailableError(
            f"no worker of {self.cluster.scheduler} answers, such as {silent}: is another sweep on?"
        )

    def _waits_s(self, kind: _Kind) -> float | None:
        """Return how long we wait for a worker of a kind; `None` where there is one."""
        if kind.without_since is None:
            return None
        return self.patience_s - (self.clock() - kind.without_since)

    def _left(self, kind: _Kind) -> int:
        """Return how many cases of a kind are still to be timed."""
        given = (len(one.given) for one in self._workers.values() if one.kind is kind)
        return len(kind.waiting) + sum(given)

    def _found(self) -> Found:
        if self.cluster.is_gone:
            self._warnings[f"The scheduler at {self.cluster.scheduler} has gone."] = None
        for reason in self._reasons():
            self._warnings[f"A worker was not used: {reason}."] = None
        for name, kind in self._named().items():
            left = self._left(kind)
            if left:
                cases = f"{counted(left, 'case')} {'is' if left == 1 else 'are'}"
                self._warnings[f"{cases} left for {name}: {self.go_on}."] = None
        kinds = tuple(kind.places for kind in self._kinds.values())
        return Found(kinds, tuple(self._failed.values()), tuple(self._warnings))

    def _named(self) -> Mapping[str, _Kind]:
        """Return the kinds by their names."""
        every = []
        for kind in self._kinds.values():
            versions = {name: each for one in kind.places for name, each in one.versions.items()}
            every.append(kind.places[0]._replace(versions=versions))
        return dict(zip(kinds_of(every), self._kinds.values(), strict=True))

    def _reasons(self) -> list[str]:
        """Return why workers are not used."""
        return list(dict.fromkeys(self._unfit.values()))

    # -- what is told

    def _tell_share(self) -> None:
        """Tell how many cases are done, and how long the others may take."""
        if self.progress is None:
            return
        left = sum(map(self._left, self._kinds.values()))
        at_work = sum(bool(worker.given) for worker in self._workers.values()) or 1
        is_again = all(kind.rounds > 1 for kind in self._kinds.values())
        done = f"again, {left} left" if is_again else f"{self._total - left} of {self._total}"
        doing = f"timing on {counted(at_work, 'worker')}: {done}"
        if self._took_s and left:
            doing += f" · {format_duration(left * median(self._took_s) / at_work)} left"
        self.progress(self._share, doing)

    @property
    def _total(self) -> int:
        return sum(len(kind.jobs) for kind in self._kinds.values())

    @property
    def _share(self) -> float:
        """How much of all is done; what is timed once more is no part of it."""
        left = sum(map(self._left, self._kinds.values()))
        return 1.0 - min(1.0, left / max(1, self._total))

    def _tell_waiting(self, kinds: Sequence[_Kind], left_s: float) -> None:
        """Tell of which kinds a worker is waited for."""
        if self.progress is None:
            return
        names = [name for name, kind in self._named().items() if kind in kinds]
        cases = counted(sum(map(self._left, kinds)), "case")
        doing = f"{cases} left: waiting up to {ceil(left_s)} s for a worker on {first_of(names, 1)}"
        self.progress(self._share, doing)
