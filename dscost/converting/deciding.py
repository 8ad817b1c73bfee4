"""The sites of a subject → what is done to each: by a plan, at one rank, for a goal. No torch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dscost.converting.choosing import Figures, Goal, Metric, Options, Planned, applied, reached
from dscost.converting.decisions import Decision, decision_of, form_of
from dscost.converting.options import Times, able_sites, every_option, scaled_to_whole
from dscost.converting.plan_file import Plan
from dscost.converting.results import Latency
from dscost.converting.sites import Site
from dscost.layers.orders import DEPTHWISE_FIRST, ORDERS, Form, Order
from dscost.notation.inputs import TensorSpec
from dscost.reports.figures import Cost
from dscost.reports.records import Advice, Environment
from dscost.runtimes import TORCH

if TYPE_CHECKING:
    from dscost.converting.scoring.results import Scored

METRIC_BY_DEFAULT: Metric = "macs"


class Subject(Protocol):
    """What is to be converted, as far as deciding asks: a torch model, or an ONNX file."""

    @property
    def target(self) -> str:
        """What the user calls it."""

    @property
    def cost(self) -> Cost:
        """What the whole model costs."""

    def input_specs(self) -> Iterable[TensorSpec]:
        """Return the inputs as a plan file has them."""

    def kinds(self) -> Mapping[str, str]:
        """Return the class or operator of every layer, by name."""

    def readers(self) -> Mapping[Any, int]:
        """Return how many layers have each of its weights, see `every_option`."""


class LayerTimes(NamedTuple):
    """How long a model and its layers take.

    Args:
        whole_s: The whole model as it is.
        seconds: What tells the time of a layer kept or in a form.
        environment: Where that was measured.
        warnings: What makes it less sure.
        runtime: What ran them.
        clock: Whether the times are those of the `wall`, or processor times, of `cpu`.
    """

    whole_s: float
    seconds: Times
    environment: Environment
    warnings: tuple[str, ...]
    runtime: str = TORCH
    clock: str = "wall"


Clock = Callable[[Sequence[Site], Sequence[Order]], LayerTimes]
"""Times a model and its layers, these in some orders of their stages."""


class Decided(NamedTuple):
    """What is done to every layer, and what that was chosen from.

    Args:
        plan: What is done.
        planned: The same, with what it comes to.
        layers: What could have been chosen.
        as_is: What the whole model costs with every layer kept.
        goal: What was to be reached, if anything was.
        environment: Where times were measured, if any were.
        notes: What the reader must know.
        aimed: A tighter goal that was planned for, after a plan for the goal itself missed it.
        advice: Which swaps pay, where just those are done.
        proof: What told so: `measured`, or the path of a report.
        latency: Of the whole model before and after, where that is known by now.
        layer_latencies: The same of its layers, by name.
        runtime: What ran what was timed, if anything was.
        clock: By which clock.
        scored: What a score says of it, where one was asked.
    """

    plan: Plan
    planned: Planned
    layers: Sequence[Options]
    as_is: Figures
    goal: Goal | None = None
    environment: Environment | None = None
    notes: tuple[str, ...] = ()
    aimed: Goal | None = None
    advice: Advice | None = None
    proof: str | None = None
    latency: Latency | None = None
    layer_latencies: Mapping[str, Latency] = MappingProxyType({})
    runtime: str | None = None
    clock: str | None = None
    scored: "Scored | None" = None

    @property
    def metric(self) -> Metric:
        """Which cost the curve has."""
        return self.goal.cost_metric if self.goal else METRIC_BY_DEFAULT


def at_rank(sites: Sequence[Site], rank: int, orders: Sequence[Order] = (DEPTHWISE_FIRST,)) -> Plan:
    """Return that every layer that can be converted is, at one rank; of several orders in its best.

    Raises:
        InputError: There are several, and weights are missing or not finite.
    """
    if len(orders) == 1:
        decision = decision_of(Form(rank, orders[0]))
        return Plan({site.name: decision for site in sites if site.reason is None})
    return Plan({site.name: decision_of(site.best(rank, orders)) for site in able_sites(sites)})


def check_plan(plan: Plan, kinds: Mapping[str, str], sites: Sequence[Site]) -> None:
    """Refuse a plan that a model, of layers of some kinds by name, does not have the layers for.

    Raises:
        InputError: It names others, or converts some that have to stay.
    """
    plan.check({site.name: site.reason for site in sites}, kinds)


def by_plan(subject: Subject, sites: Sequence[Site], given: Plan) -> Decided:
    """Return what a plan says, with what it comes to.

    Raises:
        InputError: The model has not what it names, or weights are missing or not finite.
    """
    check_plan(given, subject.kinds(), sites)
    made_for = [f"to reach {given.goal}"] if given.goal else []
    if given.runtime:
        made_for.append(f"by times under {given.runtime}")
    if given.target not in (None, subject.target):
        made_for.append(f"for {given.target}")
    notes = [f"The plan was made {', '.join(made_for)}."] if made_for else []
    named = [site for site in able_sites(sites) if site.name in given.layers]
    orders = [order for order in ORDERS if order in given.orders.values()]
    orders = orders or [DEPTHWISE_FIRST]
    layers = every_option(named, subject.readers(), orders=orders, decisions=given.layers)
    as_is = _figures(subject)
    planned = applied(given.layers, layers, as_is)
    plan = plan_of_chosen(subject, planned, given.goal)
    return Decided(plan, planned, layers, as_is, notes=(*notes, *_capped(given.layers, planned)))


def for_goal(
    subject: Subject,
    sites: Sequence[Site],
    goal: Goal,
    clock: Clock | None = None,
    orders: Sequence[Order] = (DEPTHWISE_FIRST,),
) -> Decided:
    """Return what meets a goal with the least error, or comes nearest to it.

    A goal of latency needs a clock that times the layers. They may be converted in these orders.

    Raises:
        InputError: Weights are missing or not finite.
        UnavailableError: A time is the goal, and the model could not be timed.
    """
    choices = choices_for(subject, sites, goal, clock, orders)
    planned, notes = reached(goal, choices.layers, choices.as_is), list(choices.notes)
    if not planned.converted and planned.nearest is None:
        notes.append(f"{goal.text} is met by the model as it is: every layer is kept.")
    plan = plan_of_chosen(subject, planned, goal.text, choices.runtime)
    decided = Decided(
        plan, planned, choices.layers, choices.as_is, goal, choices.environment, tuple(notes)
    )
    return decided._replace(runtime=choices.runtime, clock=choices.clock)


class Choices(NamedTuple):
    """What can be done to the layers of a model, and what it comes to.

    Args:
        layers: The options of each.
        as_is: What the whole model costs with every layer kept.
        environment: Where times were measured, if any were.
        runtime: What ran what was timed.
        clock: By which clock.
        notes: What the reader must know.
    """

    layers: Sequence[Options]
    as_is: Figures
    environment: Environment | None = None
    runtime: str | None = None
    clock: str | None = None
    notes: tuple[str, ...] = ()


def choices_for(
    subject: Subject,
    sites: Sequence[Site],
    goal: Goal | None,
    clock: Clock | None,
    orders: Sequence[Order],
) -> Choices:
    """Return what can be done to layers, with times where a goal is one: that needs a clock.

    Raises:
        InputError: Weights are missing or not finite.
        UnavailableError: A time is the goal, and the model could not be timed.
    """
    able = able_sites(sites)
    as_is = _figures(subject)
    if goal is None or goal.metric != "latency_s":
        return Choices(every_option(able, subject.readers(), orders=orders), as_is)
    assert clock is not None
    times = clock(able, orders)
    layers = every_option(able, subject.readers(), orders=orders, times=times.seconds)
    layers, scaled = scaled_to_whole(layers, times.whole_s)
    notes = (*times.warnings, *scaled)
    as_is = as_is._replace(latency_s=times.whole_s)
    return Choices(layers, as_is, times.environment, times.runtime, times.clock, notes)


def once_more(subject: Subject, decided: Decided, measured: float) -> Decided | None:
    """Return what meets a goal of latency if the whole model gains as little as it did.

    Args:
        subject: What is converted.
        decided: A plan for the goal, which missed it.
        measured: The time of the model converted by it, as a share of that as it is.

    Returns:
        `None` where there is no other plan.
    """
    goal, figures = decided.goal, decided.planned.figures
    assert goal is not None
    if decided.scored is not None:  # chosen by a score, which another choice has not
        return None
    promised = Fraction(figures.of("latency_s")) / Fraction(decided.as_is.of("latency_s"))
    aimed = goal.tightened(float(promised) / measured)
    planned = reached(aimed, decided.layers, decided.as_is)
    if planned.decisions == decided.planned.decisions:
        return None
    planned = planned._replace(nearest=None)  # of the tighter goal
    plan = plan_of_chosen(subject, planned, goal.text, decided.runtime)
    return decided._replace(plan=plan, planned=planned, aimed=aimed)


def _figures(subject: Subject) -> Figures:
    return Figures(subject.cost.params, subject.cost.macs)


def plan_of_chosen(
    subject: Subject, planned: Planned, goal: str | None, runtime: str | None = None
) -> Plan:
    """Return what was planned; by the times of torch, the runtime where none is named, unsaid."""
    inputs = tuple(subject.input_specs())
    named = None if runtime == TORCH else runtime
    return Plan(
        planned.decisions, subject.target, inputs, goal, runtime=named, missed=planned.nearest
    )


def _capped(asked: Mapping[str, Decision], planned: Planned) -> Iterator[str]:
    """Yield that some ranks are more than their layers have, if so."""
    forms = {name: option.form for name, option in planned.chosen.items()}
    wanted = {name: form.rank for name, one in asked.items() if (form := form_of(one))}
    full = {
        name: form.rank for name, form in forms.items() if form and form.rank != wanted.get(name)
    }
    if not full:
        return
    ranks = sorted({wanted[name] for name in full})
    several = f"Ranks of {ranks[0]} to {ranks[-1]} are"
    above = f"Rank {ranks[0]} is" if len(ranks) == 1 else several
    least, most = min(full.values()), max(full.values())
    what = f"{least}" if least == most else f"{least} to {most}"
    layers, have = ("1 layer", "it has") if len(full) == 1 else (f"{len(full)} layers", "they have")
    yield f"{above} more than the full rank of {layers}: {have} that, {what}."
