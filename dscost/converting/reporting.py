"""A decided subject → its conversion, done, and what is to be said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from dscost.analysis import Request, count
from dscost.analysis.choice_timing import time_both
from dscost.converting.applying import applied, undisturbed
from dscost.converting.choosing import Figures, meets
from dscost.converting.coding import ToWrite, code_of
from dscost.converting.deciding import Decided, once_more
from dscost.converting.exporting import Exported, as_program
from dscost.converting.loading import Subject
from dscost.converting.outcomes import outcome_of
from dscost.converting.plan_file import Plan
from dscost.converting.results import Converted, Latency, Outcome, commented
from dscost.converting.sites import Site
from dscost.notation.units import format_seconds
from dscost.reports.records import Environment, Noise
from dscost.timing import Progress, TimingOptions


class ConvertedModel(NamedTuple):
    """A converted model.

    Args:
        module: A new one.
        plan: What was done.
        converted: What came of it.
        subject: What it was made of.
    """

    module: nn.Module
    plan: Plan
    converted: Converted
    subject: Subject

    def plan_text(self) -> str:
        """Return the plan as YAML, with its figures as comments."""
        return commented(self.plan, self.converted.outcome)

    def code(self, path: Path, weights: str = "cheaper.pt") -> str:
        """Return code that makes it, without its weights, and needs no dscost.

        Args:
            path: Where the code will be.
            weights: The file that its weights are or may be in.

        Raises:
            InputError: No code makes this model.
        """
        layers = self.converted.outcome.layers
        return code_of(ToWrite(self.subject, self.module, layers), path, weights)

    def exported(self) -> Exported:
        """Return it as a program of torch.export.

        Raises:
            InputError: torch cannot export it.
        """
        with self.subject.importing():
            return as_program(self.module, self.subject.arguments, self.subject.dtype)


def done(
    subject: Subject,
    sites: Sequence[Site],
    decided: Decided,
    timing: TimingOptions,
    progress: Progress | None,
    *,
    every_layer: bool,
) -> ConvertedModel:
    """Return a subject converted as it was decided; timed, if a time was promised.

    A plan for a goal of latency that the whole model misses is made once more, for a goal that is
    as much tighter as the first promised too much; of the two the faster model is returned.

    Raises:
        InputError: It would do something else once converted, or its weights cannot be converted.
    """
    found = _Timed(_converted(subject, sites, decided, every_layer=every_layer), decided)
    if not found.is_promised:
        return found.made
    found = _measured(found, timing, progress)
    outcome = found.outcome
    if outcome.missed is None or outcome.nearest is not None:
        return found.made
    assert outcome.latency is not None
    another = once_more(subject, decided, outcome.latency.ratio)
    if another is None:
        return found.made
    again = _Timed(_converted(subject, sites, another, every_layer=every_layer), another)
    if again.is_promised:
        again = _measured(again, timing, progress, turn=1)
    return _better(found, again)


def _converted(
    subject: Subject, sites: Sequence[Site], decided: Decided, *, every_layer: bool
) -> ConvertedModel:
    """Return a subject converted as it was decided."""
    plan = decided.plan
    with undisturbed():
        conversion = applied(
            subject.module,
            [site.decided(plan.layers) for site in sites],
            tried=subject.arguments,
            batches=subject.batches,
            keeps_tensors=subject.is_own,
        )
    after = count(conversion.module, Request(subject.arguments)).report.totals.as_is
    outcome = outcome_of(subject, decided, conversion.layers, after)
    converted = Converted(outcome, decided.environment, every_layer)
    return ConvertedModel(conversion.module, plan, converted, subject)


# -- the clock


class _Timed(NamedTuple):
    """A converted model, and what was decided of it."""

    made: ConvertedModel
    decided: Decided

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        return self.made.converted.outcome

    @property
    def is_promised(self) -> bool:
        """Whether a goal is promised a time that nobody has measured."""
        latency = self.outcome.latency
        return self.decided.goal is not None and latency is not None and latency.is_predicted

    def replaced(self, environment: Environment | None, **new: Any) -> "_Timed":
        """Return it with another environment, and other fields of the outcome."""
        outcome = self.outcome._replace(**new)
        converted = Converted(outcome, environment, self.made.converted.every_layer)
        return self._replace(made=self.made._replace(converted=converted))


def _measured(
    found: _Timed, timing: TimingOptions, progress: Progress | None, turn: int = 0
) -> _Timed:
    """Return a converted model with its time beside what was promised, where it can be timed."""
    subject, goal, outcome = found.made.subject, found.decided.goal, found.outcome
    timed = time_both(
        (subject.module, found.made.module),
        subject.arguments,
        subject.cost,
        timing,
        dtype=subject.dtype,
        progress=progress,
        turn=turn,
    )
    if timed is None:
        return found
    assert goal is not None
    assert outcome.latency is not None
    latency = Latency(timed.before_s, timed.before_s / timed.speedup.median, is_predicted=False)
    low, high = (1 / factor for factor in reversed(timed.speedup.ci95))
    note = (
        f"Timed by turns, the whole model takes {format_seconds(latency.before_s)} as it is and "
        f"{format_seconds(latency.after_s)} converted, {latency.ratio:.3f} [{low:.3f}, {high:.3f}] "
        f"times as long; its layers promised {outcome.latency.ratio:.3f}."
    )
    as_is = Figures(outcome.before.params, outcome.before.macs, latency.before_s)
    after = as_is._replace(latency_s=latency.after_s)
    return found.replaced(
        _seen_from(found.made.converted.environment, timed.environment),
        latency=latency,
        is_met=meets(goal, after, as_is, outcome.error),
        notes=(*outcome.notes, note),
    )


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
    )


def _better(first: _Timed, again: _Timed) -> ConvertedModel:
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
