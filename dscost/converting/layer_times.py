"""How long the layers of a model take, as they are and in the forms that could pay. No torch."""

from collections.abc import Sequence
from itertools import chain
from typing import Protocol

from dscost.analysis.choice_timing import (
    ChoiceTimes,
    Seconds,
    Timeable,
    time_choices,
)
from dscost.analysis.whole_models import WholeModel
from dscost.converting.deciding import Clock, LayerTimes
from dscost.converting.decisions import Decision, form_of
from dscost.converting.options import Times
from dscost.converting.sites import Site
from dscost.layers.orders import Order
from dscost.timing import Progress, TimingOptions


class Subject(Protocol):
    """What is to be converted, as far as it is timed."""

    def whole_model(self) -> WholeModel:
        """Return it as it is, to be timed."""


def clock_of(subject: Subject, timing: TimingOptions, progress: Progress | None) -> Clock:
    """Return what times a subject and its layers."""

    def timed(sites: Sequence[Site], orders: Sequence[Order]) -> LayerTimes:
        times = measured(subject, sites, orders, timing, progress)
        return LayerTimes(
            times.whole_s,
            by_layer(times),
            times.environment,
            times.warnings,
            timing.runtimes[0],
            timing.clock,
        )

    return timed


def measured(
    subject: Subject,
    sites: Sequence[Site],
    orders: Sequence[Order],
    timing: TimingOptions,
    progress: Progress | None,
) -> ChoiceTimes:
    """Return the times of a model and of its distinct layers in the forms that have fewer MACs."""
    convs: dict[object, Timeable] = {}
    for site in sites:
        assert site.conv is not None
        as_is = site.macs()
        every = chain.from_iterable(site.forms(order) for order in orders)
        forms = tuple(form for form in every if site.macs(form) < as_is)
        for run in site.runs if forms else ():
            new = Timeable(site.name, site.conv, run.batched_input_shape, forms, 0)
            known = convs.setdefault(new.key, new)
            convs[new.key] = known._replace(calls=known.calls + 1)
    return time_choices(subject.whole_model(), list(convs.values()), timing, progress)


def by_layer(times: ChoiceTimes) -> Times:
    """Return what tells the time of all calls of a layer, kept or in a form."""

    def seconds(site: Site, decision: Decision) -> Seconds | None:
        assert site.conv is not None
        form = form_of(decision)
        known = []
        for run in site.runs:
            found = times.of.get((site.conv, run.batched_input_shape), {}).get(form)
            if found is None:
                return None
            known.append(found)
        return Seconds(sum(one.seconds for one in known), any(one.is_predicted for one in known))

    return seconds
