"""Visits of cases → what they say together, and which cases are to be visited once more.

A visit is steady where the reference layer took, within 3 %, what it usually takes in that place,
and as long at the end of the visit as at its beginning. What was measured beside it is a ratio, of
which a slower machine takes nothing away; yet one that is throttled, or shares its caches, is
another machine for one layer than for another. So only steady visits count where a case has some;
where it has none all count, and it is said that none was steady. By how much visits disagree, their
interval is wider.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from math import ceil, exp, log, sqrt
from statistics import median

from dscost.reports.records import Speedup
from dscost.sweeping.records import Drift, Visit, Where

MOST_OFF = 0.03
"""A visit is steady where the reference layer was no further off."""
MOST_VISITS = 3
"""A case is measured again twice at most: what is never steady would be for ever."""
AGAIN_SHARE = 1 / 3
"""Of the cases, so many visits are made again for want of a steady one, the most doubtful first: on
a machine that is never quiet all are, and twice the time would not make it quieter."""
ODD_SHARE = 2 / 3
"""Of the cases, so many visits are made again in all, those of cases that contradict their
neighbours among them."""


class Levels:
    """What the reference layer usually takes, on each machine in each place: the median of visits.

    Args:
        visits: All that there are; those of which nothing could be timed say nothing.
    """

    def __init__(self, visits: Iterable[Visit]) -> None:
        machines: dict[Hashable, list[float]] = {}
        places: dict[Hashable, list[float]] = {}
        for visit in visits:
            if visit.beside:
                machines.setdefault(_machine(visit.where), []).append(visit.reference_s)
                places.setdefault(place_key(visit.where), []).append(visit.reference_s)
        self._usual_s = {machine: median(seconds) for machine, seconds in machines.items()}
        self._of_places_s = {place: median(seconds) for place, seconds in places.items()}

    def usual_s(self, where: Where) -> float:
        """Return what the reference layer takes in a place, where something was timed."""
        return self._of_places_s[place_key(where)]

    def over(self, visit: Visit) -> float:
        """Return how many times as long as usual the reference layer took during a visit."""
        return visit.reference_s / self._usual_s[_machine(visit.where)]

    def off(self, visit: Visit) -> float:
        """Return how far the reference layer was off during a visit: 0.03 for 3 %."""
        over = self.over(visit)
        return max(over - 1, 1 / over - 1, visit.moved)

    def is_steady(self, visit: Visit) -> bool:
        """Whether it was off by no more than `MOST_OFF`."""
        return self.off(visit) <= MOST_OFF

    def counting(self, visits: Sequence[Visit]) -> list[Visit]:
        """Return the visits of a case that count, at least one if something was timed in one."""
        timed = [visit for visit in visits if visit.beside]
        return [visit for visit in timed if self.is_steady(visit)] or timed

    def worst(self, visits: Sequence[Visit]) -> float:
        """Return how far off a case was during the best of its visits, one of them timed."""
        return min(self.off(visit) for visit in visits if visit.beside)


def place_key(where: Where | None) -> Hashable:
    """Return what tells a place from others, or from none: machines of one kind are one."""
    if where is None:
        return None
    own = zip(where._fields, where, strict=True)
    plain = (value for name, value in own if name not in ("versions", "host"))
    return (*plain, *sorted(where.versions.items()))


def _machine(where: Where) -> Hashable:
    return place_key(where), where.host


def due_again(visits: Mapping[str, Sequence[Visit]], suspicious: Collection[str] = ()) -> list[str]:
    """Return the cases that are to be measured once more, the most doubtful first.

    These are those that contradict their neighbours, as long as all together have no more than
    `ODD_SHARE` more visits than there are cases, and those without a steady visit, the least steady
    first, up to `AGAIN_SHARE`; each has `MOST_VISITS` at most. It follows from the visits alone:
    whoever goes on after an interruption does what would have been done, and nothing where all is
    done.

    Args:
        visits: Of all cases, by key; each has at least one.
        suspicious: Keys of cases that contradict their neighbours.
    """
    levels = Levels(visit for of_case in visits.values() for visit in of_case)
    made = sum(len(of_case) - 1 for of_case in visits.values())
    # what could not be timed cannot be next time
    timed = {key: of_case for key, of_case in visits.items() if any(one.beside for one in of_case)}
    doubts = {
        key: (key in suspicious, levels.worst(of_case))
        for key, of_case in timed.items()
        if len(of_case) < MOST_VISITS
    }
    order = sorted(doubts, key=lambda key: doubts[key], reverse=True)
    odd = [key for key in order if key in suspicious]
    odd = odd[: max(0, ceil(ODD_SHARE * len(visits)) - made)]
    unsteady = [key for key in order if key not in suspicious and doubts[key][1] > MOST_OFF]
    return [*odd, *unsteady[: max(0, ceil(AGAIN_SHARE * len(visits)) - made - len(odd))]]


def pooled(speedups: Sequence[Speedup]) -> Speedup | None:
    """Return what several intervals of one ratio say together; `None` of none.

    Each weighs by its width, as independent measurements do. Where they disagree by more than their
    intervals explain, the interval of all is wider by as much. What is called a difference is what
    the noisiest of them would call one.

    Source:
        Particle Data Group, Review of Particle Physics, section 5.2.2: the scale factor.
    """
    if len(speedups) < 2:
        return next(iter(speedups), None)
    centers = [log(one.median) for one in speedups]
    halves = [max(log(one.ci95[1] / one.ci95[0]) / 2, 1e-9) for one in speedups]
    weights = [1 / half**2 for half in halves]
    center = sum(w * c for w, c in zip(weights, centers, strict=True)) / sum(weights)
    # half a width is about two standard deviations
    squares = sum((2 * (c - center) / half) ** 2 for c, half in zip(centers, halves, strict=True))
    scale = max(1.0, sqrt(squares / (len(speedups) - 1)))
    half = scale / sqrt(sum(weights))
    floor = max(one.noise_floor for one in speedups)
    return Speedup(exp(center), (exp(center - half), exp(center + half)), floor)


def drifts_of(visits: Mapping[str, Sequence[Visit]]) -> tuple[Drift, ...]:
    """Return how far the reference layer moved in each place where something was timed."""
    levels = Levels(visit for of_case in visits.values() for visit in of_case)
    places: dict[Hashable, dict[str, Sequence[Visit]]] = {}
    for key, of_case in visits.items():
        timed = [visit for visit in of_case if visit.beside]
        if timed:
            places.setdefault(place_key(timed[0].where), {})[key] = timed
    return tuple(_drift(list(cases.values()), levels) for cases in places.values())


def _drift(cases: Sequence[Sequence[Visit]], levels: Levels) -> Drift:
    every = [visit for of_case in cases for visit in of_case]
    over = [levels.over(visit) for visit in every]
    return Drift(
        every[0].where,
        levels.usual_s(every[0].where),
        min(over),
        max(over),
        again=sum(len(of_case) > 1 for of_case in cases),
        still=sum(levels.worst(of_case) > MOST_OFF for of_case in cases),
    )
