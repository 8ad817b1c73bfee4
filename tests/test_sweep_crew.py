"""Who is given which case, and what becomes of it when workers go: a cluster that is only played."""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest
import timing_workers as workers

from dscost.errors import UnavailableError
from dscost.sweeping.cluster import Answer
from dscost.sweeping.crew import Crew
from dscost.sweeping.records import Case, Visit
from dscost.sweeping.work import Found, Job, Told, Work
from dscost.version import __version__


class Played:
    """A cluster whose workers answer one call at a time, a second each; nothing takes real time.

    Args:
        there: What each worker says of itself, by its address; one that says nothing is busy.
        events: What happens once so many calls were answered.
    """

    scheduler = "tcp://played:8786"

    def __init__(
        self, there: dict[str, Told | None], events: Mapping[int, Callable[[Any], None]] = {}
    ) -> None:
        self.there, self.events = there, dict(events)
        self.calls: dict[str, tuple[str, Callable[..., Any], tuple[Any, ...]]] = {}
        self.now, self.answered, self.is_gone = 0.0, 0, False
        self.hung: set[str] = set()
        self.done_by: list[tuple[str, int]] = []
        self._names = map(str, count())

    def clock(self) -> float:
        return self.now

    def workers(self) -> Mapping[str, bool] | None:
        return None if self.is_gone else dict.fromkeys(self.there, True)

    def send(self, worker: str, function: Callable[..., Any], *arguments: Any) -> str:
        call = next(self._names)
        self.calls[call] = worker, function, arguments
        return call

    def forget(self, call: str) -> None:
        self.calls.pop(call, None)

    def answer(self, wait_s: float) -> Answer | None:
        ready = [
            call
            for call, (worker, _, _) in self.calls.items()
            if self.there.get(worker) and worker not in self.hung
        ]
        self.now += 1.0
        assert self.now < 10_000, "it waits for ever"
        event = self.events.pop(self.answered, None)
        if event is not None:
            event(self)
            return None
        if not ready or self.is_gone:
            return None
        self.answered += 1
        worker, function, arguments = self.calls.pop(ready[0])
        if not arguments:
            return Answer(ready[0], self.there[worker])
        self.done_by.append((worker, arguments[0].of["in_channels"]))
        try:
            return Answer(ready[0], function(*arguments))
        except RuntimeError as error:
            return Answer(ready[0], error=error)


def told(device: str = "Xeon", machine: str = "a") -> Told:
    return workers.told_alone(device)._replace(machine=machine)


def ask() -> Told:
    raise AssertionError("the cluster is played")


def ran(
    played: Played,
    number: int,
    measure: Callable[[Case, int], Visit] = workers.measured,
    **further: Any,
) -> Any:
    kept: dict[str, Visit] = {}
    said: list[str] = []

    def due(jobs: Mapping[str, Job]) -> list[str]:
        return [key for key in jobs if key not in kept]

    def keep(visit: Visit) -> None:
        assert visit.key not in kept
        kept[visit.key] = visit

    def progress(share: float | None, doing: str) -> None:
        assert share is None or 0 <= share <= 1
        said.append(doing)

    crew = Crew(
        played,
        Work([(case, 0) for case in workers.cases(number)], ask, measure),
        due,
        keep,
        progress,
        clock=played.clock,
        **further,
    )
    found: Found = crew.run()
    return found, kept, said


def test_a_kind_whose_last_worker_has_gone_is_waited_for_and_told() -> None:
    def leave(played: Played) -> None:
        played.there.clear()

    played = Played({"tcp://a": told()}, {3: leave})
    found, kept, said = ran(played, 10)
    assert len(kept) == 2
    assert found.warnings == ("8 cases are left for Xeon: run the same command again.",)
    assert any(doing.startswith("8 cases left: waiting up to 5") for doing in said)
    assert 60 <= played.now < 70


def test_a_worker_that_comes_in_time_does_what_is_left() -> None:
    def leave(played: Played) -> None:
        played.there.clear()
        played.events[3] = played.events[4] = come

    def come(played: Played) -> None:
        played.there["tcp://b"] = told()

    played = Played({"tcp://a": told()}, {3: leave})
    found, kept, _ = ran(played, 10)
    assert len(kept) == 10
    assert not found.warnings


def test_other_kinds_go_on_where_one_has_no_worker() -> None:
    def leave(played: Played) -> None:
        del played.there["tcp://a"]

    played = Played({"tcp://a": told("Xeon", "a"), "tcp://b": told("Cortex", "b")}, {2: leave})
    found, kept, _ = ran(
        played,
        5,
        measure=lambda case, number: workers.measured(case, number, "Cortex"),
        patience_s=5,
    )
    assert len(kept) == 5
    assert found.warnings == ("5 cases are left for Xeon: run the same command again.",)


def test_the_case_that_was_being_timed_goes_last_and_the_next_one_first() -> None:
    def die(played: Played) -> None:
        del played.there["tcp://a"]

    played = Played({"tcp://a": told(machine="a"), "tcp://b": told(machine="a")}, {3: die})
    _, kept, _ = ran(played, 6)
    assert len(kept) == 6
    # a has timed 1 and had 2 and 3
    assert [n for _, n in played.done_by] == [1, 3, 4, 5, 6, 2]


def test_workers_of_one_machine_take_turns_by_kind() -> None:
    played = Played({"tcp://a": told("Xeon", "a"), "tcp://b": told("Xeon old", "a")})
    device = iter(["Xeon"] * 4 + ["Xeon old"] * 4)
    _, kept, _ = ran(
        played, 4, measure=lambda case, number: workers.measured(case, number, next(device))
    )
    assert len(kept) == 8
    assert [worker for worker, _ in played.done_by] == ["tcp://a"] * 4 + ["tcp://b"] * 4


def test_the_budget_ends_it_after_what_was_begun() -> None:
    played = Played({"tcp://a": told()})
    found, kept, _ = ran(played, 10, budget_s=3)
    assert 3 <= len(kept) <= 5
    (warning,) = found.warnings
    assert warning == f"{10 - len(kept)} cases are left for Xeon: run the same command again."


def test_a_scheduler_that_goes_is_told_and_what_is_done_stays() -> None:
    def go(played: Played) -> None:
        played.is_gone = True

    found, kept, _ = ran(Played({"tcp://a": told()}, {3: go}), 3)
    assert len(kept) == 2
    assert found.warnings == (
        "The scheduler at tcp://played:8786 has gone.",
        "1 case is left for Xeon: run the same command again.",
    )


def test_a_worker_that_never_says_what_it_is_is_not_waited_for_for_ever() -> None:
    found, kept, _ = ran(Played({"tcp://a": told(), "tcp://b": None}), 2)
    assert len(kept) == 2
    assert found.warnings == ("A worker was not used: tcp://b: busy with something else.",)


def test_workers_that_all_say_nothing_are_told() -> None:
    played = Played({"tcp://a": None})
    with pytest.raises(
        UnavailableError, match="no worker of tcp://played:8786 answers, such as tcp://a"
    ):
        ran(played, 2)
    assert played.now < 70


def test_a_cluster_without_any_worker_is_told_how_to_start_one() -> None:
    played = Played({})
    with pytest.raises(UnavailableError) as caught:
        ran(played, 2)
    command = "dask worker tcp://played:8786 --nthreads 1 --resources timer=1"
    assert (
        str(caught.value)
        == f"tcp://played:8786 has no workers: start one on each machine by {command}"
    )
    assert played.now < 20


def test_a_case_that_raises_is_not_tried_again() -> None:
    raised = deque([2])

    def measure(case: Case, number: int) -> Visit:
        if raised and case.of["in_channels"] == raised[0]:
            raised.popleft()
            raise RuntimeError("no")
        return workers.measured(case, number)

    found, kept, _ = ran(Played({"tcp://a": told()}), 4, measure=measure)
    assert len(kept) == 3
    assert [visit.untimed for visit in found.failed] == [{"standard": "RuntimeError: no"}]


def test_a_case_of_which_three_workers_die_is_not_given_to_a_fourth() -> None:
    def die(played: Played) -> None:
        held = {worker for worker, _, arguments in played.calls.values() if arguments}
        for worker in held:
            del played.there[worker]
        if len(played.there) > 1:
            played.events[4] = die

    # four say what they are; one is given the case and dies of it, then the next one
    there = {f"tcp://{n}": told(machine="a") for n in range(4)}
    played = Played(there, {4: die})
    found, kept, _ = ran(played, 1)
    (visit,) = kept.values()
    assert visit.untimed == {"standard": "3 workers died while they timed it"}
    assert len(played.there) == 1
    assert not found.warnings


# -- who is not used


def test_a_worker_that_calls_cases_by_other_names_is_not_used() -> None:
    def misnamed(case: Case, number: int) -> Visit:
        asked.append(case.of["in_channels"])
        found = workers.measured(case, number)
        return found._replace(key=f"x{found.key}") if len(asked) < 3 else found

    asked: list[int] = []
    alone = Played({"tcp://a": told()._replace(dscost="0.1")})
    found, kept, _ = ran(alone, 2, misnamed)
    assert (kept, asked) == ({}, [1])
    names = f"it calls cases by other names, its dscost is 0.1, ours {__version__}"
    assert f"A worker was not used: tcp://a: {names}." in found.warnings
    assert "2 cases are left for Xeon: run the same command again." in found.warnings


def test_what_a_worker_of_other_names_had_is_given_to_another() -> None:
    def misnamed_by_the_first(case: Case, number: int) -> Visit:
        found = workers.measured(case, number)
        is_first = played.done_by[-1][0] == "tcp://a"
        return found._replace(key=f"x{found.key}") if is_first else found

    played = Played({"tcp://a": told(), "tcp://b": told(machine="b")})
    found, kept, _ = ran(played, 4, misnamed_by_the_first)
    assert len(kept) == 4
    assert [worker for worker, _ in played.done_by].count("tcp://a") == 1
    assert not any("cases are left" in one for one in found.warnings)


def test_a_worker_that_hangs_has_died_after_as_long_as_nothing_takes() -> None:
    """A case of one unit has one comparison of at most 20 s, ten times that, and 120 s."""

    def hang(played: Played) -> None:
        played.hung.add("tcp://a")

    played = Played({"tcp://a": told(), "tcp://b": told(machine="b")}, {3: hang})
    found, kept, _ = ran(played, 6)
    assert len(kept) == 6
    assert all(visit.beside for visit in kept.values())
    assert 320 < played.now < 350
    limit = "it was at one case for more than 5 min 20 s"
    assert found.warnings == (f"A worker was not used: tcp://a: {limit}.",)


def test_a_case_that_three_workers_hang_in_is_told_as_not_timed() -> None:
    def hang(played: Played) -> None:
        played.hung |= {"tcp://a", "tcp://b", "tcp://c"}

    there: dict[str, Told | None] = {f"tcp://{one}": told(machine=one) for one in "abc"}
    found, kept, _ = ran(Played(there, {3: hang}), 1)
    assert [visit.untimed for visit in kept.values()] == [
        {"standard": "3 workers died while they timed it"}
    ]
    assert len(found.warnings) == 3
