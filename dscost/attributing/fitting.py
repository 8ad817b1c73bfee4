"""Figures of a model against one that is stated: which fit, and which of those is likeliest.

The plain reading is the model's MACs, as it stands, on its own input, rounded. Each departure from
it makes a candidate less likely by so many points; of as many points, that of the more widespread
convention comes first, then the one that is nearer to the figure.
"""

from collections.abc import Iterable, Iterator, Sequence

from dscost.attributing.figures import BACKWARD, OF_MODEL, OWN, PARAMS, Figure
from dscost.attributing.records import Candidate
from dscost.attributing.seen import Seen
from dscost.attributing.written import PLAIN, ROUNDED_TO, Written

TWICE_MACS, TWICE_FLOPS = 1, 2
"""Doubling MACs is what makes FLOPs of them; doubling what calls itself FLOPs is less usual."""
PER_IMAGE = 1
OTHER_INPUT = 3
CHANGED = 2
OF_ANOTHER_VERSION = 5
HOW = {
    "exact": 0,
    "rounded": 0,
    "cut off": 3,
    **{how: min(zeros, 2) for zeros, how in enumerate(ROUNDED_TO, 1)},
}

MOST_DISTANT = 0.25
"""What is farther from a figure, as a share of it, tells nothing of it."""

WIDESPREAD = ("macs", "params", "fvcore", "thop", "ptflops", "torchvision", "torchinfo")
"""The first part of names of conventions, the most widespread first; others come after."""

CHANGES = {"made standard": OF_ANOTHER_VERSION, "made depthwise-separable": OF_ANOTHER_VERSION}
"""Points of what was done to a model, where it is not `CHANGED`."""


def candidates_of(
    seen: Seen, figures: Iterable[Figure], stated: Written, own: Seen
) -> Iterator[Candidate]:
    """Yield every figure of a version of a model, by each factor, held against the stated one."""
    for figure in figures:
        is_of_model = figure.key in OF_MODEL
        if stated.is_of == ("operations" if is_of_model else "parameters"):
            continue
        for divisor in divisors_of(figure, seen):
            for factor in figure.factors:
                yield _candidate(seen, figure, factor, divisor, stated, own)


def divisors_of(figure: Figure, seen: Seen) -> tuple[int, ...]:
    """Return what a figure may have been divided by: people tell those of a batch for one image."""
    is_of_batch = seen.batch > 1 and figure.key not in OF_MODEL and not figure.is_per_sample
    return (1, seen.batch) if is_of_batch else (1,)


def _candidate(
    seen: Seen, figure: Figure, factor: int, divisor: int, stated: Written, own: Seen
) -> Candidate:
    amount = figure.amount * factor / divisor
    reading = stated.reading_of(amount)
    is_own_input = seen.inputs == own.inputs
    departures = figure.departures
    if figure.key == PARAMS and stated.is_of == "parameters":
        departures -= 1
    if factor == 2:
        is_flops = figure.key != OWN and "FLOP" in figure.counts.upper()
        departures += TWICE_FLOPS if is_flops else TWICE_MACS
    departures += PER_IMAGE if divisor > 1 else 0
    departures += 0 if is_own_input else OTHER_INPUT
    departures += sum(CHANGES.get(change, CHANGED) for change in seen.changes)
    departures += HOW[reading.how] if reading else 0
    return Candidate(
        key=figure.key,
        title=figure.title,
        counts="FLOPs" if factor == 2 and figure.key in (OWN, BACKWARD) else figure.counts,
        amount=amount,
        factor=factor,
        per_image=divisor > 1 or (figure.is_per_sample and seen.batch > 1),
        parts=figure.parts,
        variation=figure.variation,
        inputs=seen.inputs,
        is_own_input=is_own_input,
        changes=seen.changes,
        macs=seen.macs,
        how=reading.how if reading else None,
        distance=0.0 if reading else stated.distance(amount),
        departures=departures,
        without=figure.without,
        read_as=reading.read_as if reading else None,
    )


def ranked(candidates: Iterable[Candidate], stated: Written) -> tuple[Candidate, ...]:
    """Return those that fit, the likeliest first; of those that are one figure the likeliest.

    A figure of one digit tells little but of the model as it is: of all else the nearest is first.
    """

    def order(one: Candidate) -> tuple[int, int, float]:
        off = abs(1 - stated.nearest_value(one.amount) / float(one.amount))
        if stated.has_one_digit and not one.is_plain:
            return OF_ANOTHER_VERSION, len(WIDESPREAD), off
        return one.departures, _spread(one.key), off

    fitting = sorted((one for one in candidates if one.how is not None), key=order)
    return tuple(_merged(fitting))


def _spread(key: str) -> int:
    name = key.partition("-")[0]
    return WIDESPREAD.index(name) if name in WIDESPREAD else len(WIDESPREAD)


def _merged(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield each figure once, with who else counts it."""
    groups: dict[object, list[Candidate]] = {}
    for one in candidates:
        groups.setdefault((one.amount, one.inputs, one.changes, one.per_image), []).append(one)
    for first, *others in groups.values():
        alike = [one.title for one in others if one.title and one.title != first.title]
        yield first._replace(alike=tuple(dict.fromkeys(alike)))


def nearest_of(candidates: Iterable[Candidate], most: int) -> tuple[Candidate, ...]:
    """Return what comes near where nothing fits, each figure once, as far as it is told."""
    near = [one for one in candidates if one.distance <= MOST_DISTANT]
    told: dict[str, Candidate] = {}
    for one in _merged(sorted(near, key=lambda one: (one.distance, one.departures))):
        told.setdefault(_told(one), one)
    return tuple(told.values())[:most]


def _told(one: Candidate) -> str:
    """Return its amount as it is told, in which others may be alike."""
    return f"{float(one.amount):.4e}"


def worst_of_nearest(candidates: Sequence[Candidate], most: int) -> float:
    """Return how far the last of the nearest is off: what is farther need not be counted."""
    told: dict[str, float] = {}
    for one in candidates:
        if one.how is not None:
            return 0.0
        text = _told(one)
        told[text] = min(one.distance, told.get(text, MOST_DISTANT))
    return sorted([*told.values(), *([MOST_DISTANT] * most)])[most - 1]


def in_another_unit(candidates: Sequence[Candidate], stated: Written) -> Candidate | None:
    """Return the likeliest of what the digits of a figure would be with another unit."""
    found = [
        one._replace(how=reading.how, distance=0.0, read_as=other.text)
        for other in stated.in_other_units()
        for one in candidates
        for reading in [other.reading_of(one.amount)]
        if reading and reading.how in PLAIN and one.departures < OTHER_INPUT
    ]
    return next(iter(ranked(found, stated)), None)
