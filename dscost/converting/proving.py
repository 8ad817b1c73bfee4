"""A converted model against the clock: whether it keeps the time that was promised. No torch."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dscost.analysis.choice_timing import BothTimes
from dscost.converting.choosing import Figures, meets
from dscost.converting.deciding import Decided, Subject, once_more
from dscost.converting.results import MEASURED, Converted, Latency, Outcome
from dscost.errors import UnavailableError
from dscost.notation.units import format_seconds
from dscost.reports.records import Environment, Noise, Ran, Speedup
from dscost.runtimes import RUNTIMES, TORCH


class Made(Protocol):
    """A converted model, with what is told of it."""

    @property
    def converted(self) -> Converted:
        """What came of it."""

    def with_converted(self, converted: Converted) -> Any:
        """Return the same model, with something else told of it."""


M = TypeVar("M", bound=Made)


def proved(
    subject: Subject,
    decided: Decided,
    convert: Callable[[Decided], M],
    time_both: Callable[[M, int], BothTimes],
) -> M:
    """Return a subject converted as it was decided; timed, if a time was promised.

    A plan for a goal of latency that the whole model misses is made once more, for a goal that is
    as much tighter as the first promised too much; of the two the faster model is returned.

    Args:
        subject: What is converted.
        decided: What is done to its layers.
        convert: Does that.
        time_both: Times a converted model beside what it was, in the first or the second turn.
    """
    found = _Timed(convert(decided), decided)
    if not found.is_promised:
        return found.made
    found = _measured(found, time_both)
    outcome = found.outcome
    if outcome.missed is None or outcome.nearest is not None:
        return found.made
    assert outcome.latency is not None
    another = once_more(subject, decided, outcome.latency.ratio)
    if another is None:
        return found.made
    again = _Timed(convert(another), another)
    if again.is_promised:
        again = _measured(again, time_both, turn=1)
    return _better(found, again)


class _Timed(NamedTuple, Generic[M]):
    """A converted model, and what was decided of it."""

    made: M
    decided: Decided

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        return self.made.converted.outcome

    @property
    def is_promised(self) -> bool:
        """Whether it is promised a time that nobody has measured.

        What a runtime other than torch makes of it has to be seen in any case: swaps that pay were
        measured with other weights.
        """
        latency, decided = self.outcome.latency, self.decided
        if latency is None:
            return False
        is_other = decided.proof == MEASURED and decided.runtime not in (None, TORCH)
        return is_other or (decided.goal is not None and latency.is_predicted)

    def replaced(self, environment: Environment | None, **new: Any) -> "_Timed[M]":
        """Return it with another environment, and other fields of the outcome."""
        outcome = self.outcome._replace(**new)
        converted = Converted(outcome, environment, self.made.converted.every_layer)
        return self._replace(made=self.made.with_converted(converted))


def _measured(
    found: _Timed[M], time_both: Callable[[M, int], BothTimes], turn: int = 0
) -> _Timed[M]:
    """Return a converted model with its time beside what was promised, where it can be timed."""
    outcome, own = found.outcome, found.made.converted
    assert outcome.latency is not None
    try:
        timed = time_both(found.made, turn)
    except UnavailableError as error:
        notes = (*outcome.notes, f"Converted it was not timed. {error}")
        return found.replaced(own.environment, notes=notes)
    by_cpu = timed.by_cpu if found.decided.clock == "cpu" else None
    before_s, speedup = by_cpu or (timed.before_s, timed.speedup)
    latency = Latency(before_s, before_s / speedup.median, is_predicted=False)
    goal = found.decided.goal
    promised = "with other weights it was" if goal is None else "its layers promised"
    note = (
        f"Timed by turns{_under(found.decided.runtime)}, the whole model takes "
        f"{format_seconds(latency.before_s)}{' of CPU time' if by_cpu else ''} as it is and "
        f"{format_seconds(latency.after_s)} converted, {_share(speedup)} times as long; "
        f"{promised} {outcome.latency.ratio:.3f}"
    )
    note += f", and the clock on the wall says {_share(timed.speedup)}." if by_cpu else "."
    as_is = Figures(outcome.before.params, outcome.before.macs, latency.before_s)
    after = as_is._replace(latency_s=latency.after_s)
    return found.replaced(
        _seen_from(own.environment, timed.environment),
        latency=latency,
        is_met=None if goal is None else meets(goal, after, as_is, outcome.error),
        notes=(*outcome.notes, note, *_held_against(found.decided.runtime, timed.ran)),
    )


def _share(speedup: Speedup) -> str:
    """Return the time converted as a share of that before, with its interval."""
    low, high = (1 / factor for factor in reversed(speedup.ci95))
    return f"{1 / speedup.median:.3f} [{low:.3f}, {high:.3f}]"


def _under(runtime: str | None) -> str:
    return "" if runtime in (None, TORCH) else f" under {RUNTIMES[runtime].title}"


def _held_against(runtime: str | None, ran: Ran | None) -> list[str]:
    """Return how right a runtime was; torch is not held against itself."""
    if ran is None or runtime is None:
        return []
    return [
        f"Converted, {RUNTIMES[runtime].title} (by {ran.way_in}) returns what {ran.reference} "
        f"does, to {ran.error:.1e} of the largest value."
    ]


def _seen_from(first: Environment | None, last: Environment) -> Environment:
    """Return where two measurements were taken, with what made either of them less sure."""
    if first is None:
        return last
    worst: dict[tuple[str, str], Noise] = {}
    for noise in (*first.noise, *last.noise):
        key = noise.kind, noise.where
        if key not in worst or noise.figure > worst[key].figure:
            worst[key] = noise
    floors = [one for one in (first.noise_floor, last.noise_floor) if one is not None]
    return first._replace(
        load_after=last.load_after,
        noise=tuple(worst.values()),
        noise_floor=max(floors, default=None),
        noise_floors=_worst(first.noise_floors, last.noise_floors),
        cpu_noise_floors=_worst(first.cpu_noise_floors, last.cpu_noise_floors),
    )


def _worst(first: Mapping[str, float], last: Mapping[str, float]) -> dict[str, float]:
    """Return the larger of two noise floors of each place."""
    return {place: max(first.get(place, 0.0), last.get(place, 0.0)) for place in {**first, **last}}


def _better(first: _Timed[M], again: _Timed[M]) -> M:
    """Return the faster of two models, saying of both; the first if the other is not timed."""
    told, latency = first.outcome.latency, again.outcome.latency
    assert told is not None
    assert latency is not None
    aimed, seen = again.outcome.aimed, again.made.converted.environment
    environment = seen and _seen_from(first.made.converted.environment, seen)
    if again.is_promised:
        tried = "could not be timed"
    elif latency.ratio < told.ratio:
        note = (
            f"A plan for {first.outcome.goal} took {told.ratio:.3f} times as long as the model as "
            f"it is, and missed it; so this one is for {aimed}."
        )
        return again.replaced(environment, notes=(*again.outcome.notes, note)).made
    else:
        tried = f"took {latency.ratio:.3f} times as long as the model as it is"
    note = f"Another plan, for {aimed}, {tried}."
    return first.replaced(environment, notes=(*first.outcome.notes, note)).made
