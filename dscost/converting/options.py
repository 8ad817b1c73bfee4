"""The sites of a model → the ways to treat each, with costs, errors and times, to choose from."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds, Timeable, time_choices
from dscost.converting.choosing import Option, Options
from dscost.converting.loading import Subject
from dscost.converting.plan_file import KEEP, Decision
from dscost.converting.sites import Site
from dscost.foreign.parts import each_part, own_tensors
from dscost.timing import Progress, TimingOptions


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
    root: nn.Module,
    sites: Sequence[Site],
    *,
    times: ChoiceTimes | None = None,
    decisions: Mapping[str, Decision] | None = None,
) -> list[Options]:
    """Return every layer of `able_sites` kept and at every rank.

    Those that share their weights go together, unless they were decided apart. With times, only
    what has fewer MACs is an option, and nothing whose time is unknown.
    """
    sharing: dict[object, list[Site]] = {}
    for site in sites:
        assert site.conv is not None
        weight, decision = _weight(site), (decisions or {}).get(site.name)
        key = site.name if weight is None else (id(weight), site.conv.groups, decision)
        sharing.setdefault(key, []).append(site)
    parameters = (own_tensors(part)[0].values() for part in each_part(root))
    held = Counter(id(weight) for weights in parameters for weight in weights)
    found: list[Options] = []
    for group in sharing.values():
        weight = _weight(group[0])
        stays = 0 if weight is None or held[id(weight)] <= len(group) else weight.numel()
        alone = [_options(site, group[0].errors, times) for site in group]
        found.append([_together(same, stays) for same in zip(*alone, strict=False)])
    return found


def _weight(site: Site) -> Tensor | None:
    """Return the weights of a layer where they can be shared; not those that it computes."""
    assert site.module is not None
    return site.module._parameters.get("weight")


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


def _options(site: Site, errors: Sequence[float], times: ChoiceTimes | None) -> Options:
    """Return one layer kept and at every rank."""
    options = [_option(site, KEEP, 0.0)]
    options += [_option(site, rank, errors[rank - 1]) for rank in site.ranks]
    if times is None:
        return options
    keep, timed = options[0], []
    for option in options:
        if option is keep or option.macs < keep.macs:
            found = _seconds(site, option.decision, times)
            if found is None:
                return [keep._replace(latency_s=0.0, is_predicted=True)]
            timed.append(option._replace(latency_s=found.seconds, is_predicted=found.is_predicted))
    return timed


def _option(site: Site, decision: Decision, error: float) -> Option:
    rank = None if decision == KEEP else decision
    params = site.params(rank)
    assert params is not None
    return Option((site.name,), decision, error, params, site.macs(rank))


# -- times


def layer_times(
    subject: Subject, sites: Sequence[Site], timing: TimingOptions, progress: Progress | None
) -> ChoiceTimes:
    """Return the times of a model and of its distinct layers at the ranks that have fewer MACs."""
    convs: dict[object, Timeable] = {}
    for site in sites:
        assert site.conv is not None
        as_is = site.macs()
        ranks = tuple(rank for rank in site.ranks if site.macs(rank) < as_is)
        for run in site.runs if ranks else ():
            new = Timeable(site.name, site.conv, run.batched_input_shape, ranks, 0)
            known = convs.setdefault(new.key, new)
            convs[new.key] = known._replace(calls=known.calls + 1)
    return time_choices(
        subject.module,
        subject.arguments,
        subject.cost,
        list(convs.values()),
        timing,
        dtype=subject.dtype,
        progress=progress,
    )


def _seconds(site: Site, decision: Decision, times: ChoiceTimes) -> Seconds | None:
    """Return the time of all calls of a layer at a rank; `None` where one of them is unknown."""
    assert site.conv is not None
    rank = AS_IS if decision == KEEP else decision
    known = []
    for run in site.runs:
        seconds = times.of.get((site.conv, run.batched_input_shape), {}).get(rank)
        if seconds is None:
            return None
        known.append(seconds)
    return Seconds(sum(one.seconds for one in known), any(one.is_predicted for one in known))


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
