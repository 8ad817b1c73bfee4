"""What is seen of a model → every figure that people state of it, with how plain each is."""

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from dscost.attributing.lacking import has_unusual, lacking
from dscost.attributing.seen import Seen
from dscost.conventions import Convention, Grouped, Rule, tally
from dscost.errors import InputError
from dscost.reports.records import CountedBy

OWN = "macs"
PARAMS, PARAMS_WITHOUT_NORM, ACTIVATIONS, BACKWARD = (
    *("params", "params without BatchNorm", "activations", "forward and backward"),
)
OF_MODEL = (PARAMS, PARAMS_WITHOUT_NORM)
"""What is counted once, however many inputs there are."""

PLAINNESS = {
    OWN: 0,
    PARAMS: 1,
    PARAMS_WITHOUT_NORM: 2,
    ACTIVATIONS: 3,
    BACKWARD: 3,
}
"""How far figures that are no convention's are from the plain reading, which is MACs."""
OF_CONVENTION, OF_VARIATION = 1, 1
"""How far one of a convention is, and how much further where it counts in another way."""
_DOUBLED = 2
"""Of so many a multiply-accumulate, nobody doubles the figure once more."""


class Figure(NamedTuple):
    """A figure of a version of a model.

    Args:
        key: `macs`, another of `PLAINNESS`, or the name of a convention.
        title: Of the convention, as people call it.
        counts: What it calls its figure.
        amount: How much that is.
        parts: What it counts beside MACs.
        variation: In which way it counts otherwise than now.
        is_per_sample: Whether it is of one input of the batch.
        departures: How far it is from the plain reading.
        without: What has MACs and is not counted, in words.
        per_mac: How much of it is one multiply-accumulate.
    """

    key: str
    title: str
    counts: str
    amount: Fraction
    parts: tuple[str, ...] = ()
    variation: str | None = None
    is_per_sample: bool = False
    departures: int = 0
    without: tuple[str, ...] = ()
    per_mac: Fraction = Fraction(1)

    @property
    def factors(self) -> tuple[int, ...]:
        """What it may have been multiplied by: operations are told at two for each as well."""
        is_one = self.per_mac >= _DOUBLED or self.key in (*OF_MODEL, ACTIVATIONS)
        return (1,) if is_one else (1, 2)


def plain_figures(
    seen: Seen, conventions: Sequence[Convention], left_out: MutableMapping[str, str] | None = None
) -> Iterator[Figure]:
    """Yield MACs, parameters, and what conventions make of a model.

    One with a rule that does not fit the model is put into `left_out`, with what is wrong, by its
    name; one that is there already is not tried.

    Raises:
        InputError: A rule does not fit the model, and nothing is to be left out.
    """
    yield _own(OWN, "MACs", seen.macs)
    yield _own(PARAMS, "parameters", seen.params)
    if seen.calls is None:
        yield from _saved(seen, conventions)
        return
    grouped, is_unusual = Grouped(seen.calls), has_unusual(seen.calls)
    for one in conventions:
        if left_out is not None and one.key in left_out:
            continue
        try:
            figures = list(_by_convention(seen, grouped, one, is_unusual))
        except InputError as error:
            if left_out is None:
                raise
            left_out[one.key] = str(error)
        else:
            yield from figures


def _saved(seen: Seen, conventions: Sequence[Convention]) -> Iterator[Figure]:
    """Yield what was counted by conventions before, be they known here or not."""
    per_mac = {one.digest: one.per_mac for one in conventions}
    for key, count in seen.saved.items():
        one = seen.conventions[key]
        yield Figure(
            key,
            short_title(one),
            one.counts,
            Fraction(count),
            tuple(_beside_macs(one.shares)),
            is_per_sample=one.per_sample,
            departures=OF_CONVENTION,
            per_mac=per_mac.get(one.rules or "", Fraction(1)),
        )


def further_figures(seen: Seen) -> Iterator[Figure]:
    """Yield what is stated less often: activations, training, parameters once folded."""
    if seen.norm_params:
        yield _own(PARAMS_WITHOUT_NORM, "parameters", seen.params - seen.norm_params)
    if seen.activations:
        yield _own(ACTIVATIONS, "activations", seen.activations)
    yield _own(BACKWARD, "MACs", 3 * seen.macs)


def _own(key: str, counts: str, count: int) -> Figure:
    return Figure(key, "", counts, Fraction(count), departures=PLAINNESS[key])


def _by_convention(
    seen: Seen, grouped: Grouped, convention: Convention, is_unusual: bool
) -> Iterator[Figure]:
    plain: Fraction | None = None
    for variation in (None, *convention.variations):
        one = convention if variation is None else convention.varied(variation)
        found = tally(one, grouped, batch=seen.batch)
        count = Fraction(found.total)
        if variation is not None and count == plain:
            continue
        plain = count if variation is None else plain
        yield Figure(
            convention.key,
            short_title(convention),
            convention.counts,
            count,
            _parts([rule for rule, _ in found.by_rule]),
            variation,
            convention.per_sample,
            OF_CONVENTION + (OF_VARIATION if variation else 0),
            lacking(one, seen.calls or ()) if is_unusual or count < seen.macs else (),
            one.per_mac,
        )


def short_title(convention: Convention | CountedBy) -> str:
    """Return what people call a convention, without its release.

    >>> from dscost.conventions import find_convention
    >>> short_title(find_convention("fvcore-0.1.5"))
    'fvcore'
    """
    return re.sub(r"\s+v?[0-9][\w.]*$", "", convention.title)


def _parts(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Return what rules count beside MACs, in words, each once."""
    return tuple(_beside_macs(dict.fromkeys(rule.in_words for rule in rules)))


def _beside_macs(called: Iterable[str]) -> Iterator[str]:
    """Yield what is counted beside MACs, of all that is counted."""
    for one in called:
        beside = one.removeprefix("MACs with ")
        if beside != "MACs":
            yield beside
