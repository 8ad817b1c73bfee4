"""The sites of a model → the ways to treat each, with costs and errors. No torch."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from dscost.converting.choosing import Option, Options
from dscost.converting.decisions import KEEP, Decision, decision_of
from dscost.converting.sites import Site
from dscost.layers.orders import DEPTHWISE_FIRST, Form, Order

if TYPE_CHECKING:
    from dscost.analysis.choice_timing import Seconds

Times = Callable[[Site, Decision], "Seconds | None"]
"""The time of all calls of a layer kept or in a form; `None` where one of them is unknown."""


def able_sites(sites: Sequence[Site]) -> list[Site]:
    """Return the sites that can be converted; all of them have weights.

    Raises:
        InputError: Weights are missing, or not finite.
    """
    able = [site for site in sites if site.reason is None]
    for site in able:
        site.require_values()
    return able


def every_option(
    sites: Sequence[Site],
    readers: Mapping[Any, int],
    *,
    orders: Sequence[Order] = (DEPTHWISE_FIRST,),
    times: Times | None = None,
    decisions: Mapping[str, Decision] | None = None,
) -> list[Options]:
    """Return every layer of `able_sites` kept and at every rank, in one order or several.

    Those that share their weights go together, unless they were decided apart. With times, only
    what has fewer MACs is an option, and nothing whose time is unknown.

    Args:
        sites: The layers.
        readers: How many layers of the model have each of its weights, by `Site.stored`.
        orders: In which they may be converted.
        times: How long they take.
        decisions: What was decided.
    """
    sharing: dict[Hashable, list[Site]] = {}
    for site in sites:
        assert site.conv is not None
        decision = (decisions or {}).get(site.name)
        shared = (site.stored, site.conv.groups, decision)
        sharing.setdefault(site.name if site.stored is None else shared, []).append(site)
    found: list[Options] = []
    for group in sharing.values():
        first = group[0]
        is_free = first.stored is None or readers.get(first.stored, 0) <= len(group)
        stays = 0 if is_free else prod(first.kernel.weight.shape)
        errors = {form: first.error(form) for order in orders for form in first.forms(order)}
        alone = [_options(site, errors, times) for site in group]
        # with other strides, some may have fewer MACs where others have not
        common = set.intersection(*({one.decision for one in options} for options in alone))
        for_all = [[one for one in options if one.decision in common] for options in alone]
        found.append([_together(same, stays) for same in zip(*for_all, strict=True)])
    return found


def _together(options: Sequence[Option], stays: int) -> Option:
    """Return what the same decision on layers that share their weights comes to.

    So many weights stay beside the new ones, since another layer has them too.
    """
    first = options[0]
    known = [option.latency_s for option in options if option.latency_s is not None]
    return first._replace(
        names=tuple(name for option in options for name in option.names),
        params=first.params if first.decision == KEEP else first.params + stays,
        macs=sum(option.macs for option in options),
        latency_s=sum(known) if known else None,
        is_predicted=any(option.is_predicted for option in options),
    )


def _options(site: Site, errors: Mapping[Form, float], times: Times | None) -> Options:
    """Return one layer kept and in every form of which there is an error."""
    options = [_option(site, None, 0.0)]
    options += [_option(site, form, error) for form, error in errors.items()]
    if times is None:
        return options
    keep, timed = options[0], []
    for option in options:
        if option is keep or option.macs < keep.macs:
            found = times(site, option.decision)
            if found is None:
                return [keep._replace(latency_s=0.0, is_predicted=True)]
            timed.append(option._replace(latency_s=found.seconds, is_predicted=found.is_predicted))
    return timed


def _option(site: Site, form: Form | None, error: float) -> Option:
    params = site.params(form)
    assert params is not None
    return Option((site.name,), decision_of(form), error, params, site.macs(form))


def scaled_to_whole(layers: list[Options], whole_s: float) -> tuple[list[Options], list[str]]:
    """Return times that do not exceed the model's: layers alone may take longer than within it."""
    total_s = sum(options[0].latency_s or 0.0 for options in layers)
    if total_s <= whole_s:
        return layers, []
    factor = whole_s / total_s
    note = f"The layers alone took {1 / factor:.2f} times as long as the whole model; scaled to it."
    scaled: list[Options] = []
    for options in layers:
        times = [(one.latency_s or 0.0) * factor for one in options]
        both = zip(options, times, strict=True)
        scaled.append([one._replace(latency_s=latency_s) for one, latency_s in both])
    return scaled, [note]
