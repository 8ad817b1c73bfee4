"""The convolutions of a model → the ways to treat each of them, with costs, errors and times: what is chosen from."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import nn

from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds, Timeable, time_choices
from dscost.converting.candidates import Candidate, candidates
from dscost.converting.choosing import LayerOffers, Offer
from dscost.converting.loading import Subject
from dscost.converting.plan_file import KEEP, Decision
from dscost.converting.sites import Where
from dscost.errors import InputError
from dscost.foreign.parts import each_part, own_tensors
from dscost.notation.units import format_layer
from dscost.timing import Progress, TimingOptions


def able_layers(
    subject: Subject, where: Where, min_channels: int
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the layers that can be converted, and why the others cannot.

    Raises:
        InputError: A layer has no weights to decompose.
    """
    found = candidates(
        subject.module, where=where, min_channels=min_channels, input=subject.arguments
    )
    able = [one for one in found if one.reason is None]
    for one in able:
        if not one.errors:
            raise InputError(f"{format_layer(one.name)} is on meta, without weights to decompose")
    return able, {one.name: one.reason for one in found if one.reason is not None}


def every_offer(
    subject: Subject,
    able: Sequence[Candidate],
    *,
    times: ChoiceTimes | None = None,
    decisions: Mapping[str, Decision] | None = None,
) -> list[LayerOffers]:
    """Return every layer kept and at every rank; those that share their weights go together, unless decided apart."""
    sharing: dict[object, list[Candidate]] = {}
    weights = {one.name: _weight(subject.module, one.name) for one in able}
    for one in able:
        assert one.conv is not None
        weight = weights[one.name]
        key = (
            one.name
            if weight is None
            else (id(weight), one.conv.groups, (decisions or {}).get(one.name))
        )
        sharing.setdefault(key, []).append(one)
    held = Counter(
        id(weight) for part in each_part(subject.module) for weight in own_tensors(part)[0].values()
    )
    offered = []
    for group in sharing.values():
        weight = weights[group[0].name]
        stays = 0 if weight is None or held[id(weight)] <= len(group) else weight.numel()
        offers = zip(*(_offers(one, times) for one in group), strict=False)
        offered.append(
            LayerOffers(
                tuple(one.name for one in group), tuple(_together(same, stays) for same in offers)
            )
        )
    return offered


def _weight(module: nn.Module, name: str) -> nn.Parameter | None:
    """Return the weights of a layer where they can be shared; not those that it computes."""
    weight = getattr(module.get_submodule(name), "weight", None)
    return weight if isinstance(weight, nn.Parameter) else None


def _together(offers: Sequence[Offer], stays: int) -> Offer:
    """Return what the same decision on layers that share their weights comes to.

    Args:
        offers: Of each layer.
        stays: Weights that remain beside the new ones, since another layer has them too.
    """
    first = offers[0]
    known = [offer.latency_s for offer in offers if offer.latency_s is not None]
    return first._replace(
        params=first.params if first.decision == KEEP else first.params + stays,
        macs=sum(offer.macs for offer in offers),
        latency_s=sum(known) if known else None,
        is_predicted=any(offer.is_predicted for offer in offers),
    )


def _offers(one: Candidate, times: ChoiceTimes | None) -> list[Offer]:
    """Return a layer kept and at every rank; one that never runs has no MACs.

    With times, only the ranks that have fewer MACs are offered, and none where a time is unknown.
    """
    assert one.params is not None
    macs = [cost.macs for cost in one.rank_costs] or [0] * len(one.ranks)
    keep = Offer(KEEP, 0.0, one.params, _macs(one))
    ranks = [*map(Offer, one.ranks, one.errors, one.rank_params, macs)]
    if times is None:
        return [keep, *ranks]
    timed = []
    for offer in (keep, *(rank for rank in ranks if rank.macs < keep.macs)):
        found = _seconds(one, AS_IS if offer is keep else int(offer.decision), times)
        if found is None:
            return [keep._replace(latency_s=0.0, is_predicted=True)]
        timed.append(offer._replace(latency_s=found.seconds, is_predicted=found.is_predicted))
    return timed


def _macs(one: Candidate) -> int:
    return one.cost.macs if one.cost else 0


# -- times


def layer_times(
    subject: Subject, able: Sequence[Candidate], timing: TimingOptions, progress: Progress | None
) -> ChoiceTimes:
    """Return the times of a model and of its distinct layers at the ranks that have fewer MACs.

    Raises:
        UnavailableError: The whole model could not be timed.
    """
    convs: dict[object, Timeable] = {}
    for one in able:
        assert one.conv is not None
        ranks = tuple(
            rank
            for rank, cost in zip(one.ranks, one.rank_costs, strict=False)
            if cost.macs < _macs(one)
        )
        for shape in one.input_shapes if ranks else ():
            new = Timeable(one.name, one.conv, shape, ranks, 0)
            known = convs.setdefault(new.key, new)
            convs[new.key] = known._replace(calls=known.calls + 1)
    found = list(convs.values())
    return time_choices(
        subject.module,
        subject.arguments,
        subject.cost,
        found,
        timing,
        dtype=subject.dtype,
        progress=progress,
    )


def _seconds(one: Candidate, rank: int, times: ChoiceTimes) -> Seconds | None:
    """Return the time of all calls of a layer at a rank, or `None` where one of them is unknown."""
    assert one.conv is not None
    found = [times.of.get((one.conv, shape), {}).get(rank) for shape in one.input_shapes]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return Seconds(sum(one.seconds for one in known), any(one.is_predicted for one in known))


def scaled_to_whole(
    layers: list[LayerOffers], whole_s: float
) -> tuple[list[LayerOffers], list[str]]:
    """Return times that do not exceed that of the model: layers alone may take longer than within it."""
    total_s = sum(layer.offers[0].latency_s or 0.0 for layer in layers)
    if total_s <= whole_s:
        return layers, []
    factor = whole_s / total_s
    scaled = [
        layer._replace(
            offers=tuple(
                offer._replace(
                    latency_s=None if offer.latency_s is None else offer.latency_s * factor
                )
                for offer in layer.offers
            )
        )
        for layer in layers
    ]
    return scaled, [
        f"The layers alone took {1 / factor:.2f} times as long as the whole model; scaled to it."
    ]
