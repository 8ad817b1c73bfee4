"""`dscost.which`: a model and a stated figure → whose figure it is.

The plain readings are tried first; then what is dearer to count and less likely: the model without
its classifier or as it is deployed, on other images, and written in its other version. The search
ends where nothing that follows can be likelier than what was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dscost.analysis.targets import Request, convention_texts
from dscost.attributing.figures import OF_MODEL, further_figures, plain_figures, short_title
from dscost.attributing.fitting import (
    CHANGED,
    OF_ANOTHER_VERSION,
    OTHER_INPUT,
    candidates_of,
    in_another_unit,
    nearest_of,
    ranked,
)
from dscost.attributing.records import Attribution, Candidate
from dscost.attributing.seen import Seen
from dscost.attributing.subjects import Subject, subject_of
from dscost.attributing.written import Written, parse_figure
from dscost.conventions import Convention, convention_names, find_convention
from dscost.errors import InputError

if TYPE_CHECKING:
    from os import PathLike

    from torch import nn

    from dscost.timing import Progress

RESOLUTIONS = (
    *(224, 256, 384, 288, 320, 192, 160, 128, 299, 240, 448, 336, 512, 300, 380, 456, 528, 600),
    *(640, 232, 176, 96),
)
"""Sides of images that networks are published with, the usual ones first."""
MOST_NEAREST = 3


def which(
    target: "str | PathLike[str] | nn.Module",
    number: str | float,
    input: Any = None,
    *,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    convention: "str | PathLike[str] | Sequence[str | PathLike[str]]" = (),
    exhaustive: bool = False,
    progress: "Progress | None" = None,
) -> Attribution:
    """Return by whose way of counting a model has a figure that somebody states of it.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        number: The figure as it is written, such as `4.11G`, `320M`, `0.32` or `4111512576`.
        input: What its forward takes, as in `dscost.analyze`: a shape, batch first, or tensors.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of an architecture's own settings, such as `{"width": 0.5}`.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        convention: Further ways to count, such as the path of a file, beside all that
            `dscost list conventions` has.
        exhaustive: Whether to look for less likely readings too where a plain one fits.
        progress: Called with what is being done.

    Raises:
        InputError: The figure is none, or the target or an option is wrong.
        UnavailableError: torch, or a library that the target needs, is not installed.

    >>> found = which("resnet50", "4.11G")
    >>> found.candidates[0].key, int(found.candidates[0].amount), found.macs
    ('fvcore-0.1.5', 4111512576, 4089184256)
    """
    stated = parse_figure(number)
    request = Request(input, batch, dtype, settings, kwargs, trust)
    asked = convention_texts(convention)
    conventions = all_conventions(asked)
    subject, name = subject_of(target, request, conventions, progress)
    found = attribute(
        subject,
        stated,
        conventions,
        asked=[find_convention(one) for one in asked],
        exhaustive=exhaustive,
    )
    return found._replace(target=name)


def attribute(
    subject: Subject,
    stated: Written,
    conventions: Sequence[Convention],
    *,
    asked: Sequence[Convention] = (),
    exhaustive: bool = False,
) -> Attribution:
    """Return what `which` does, of a model that is open already; it has no name yet.

    A convention with a rule that does not fit the model is left out, which `limits` says.

    Raises:
        InputError: The model cannot be run on its input, or a convention that was `asked` for has a
            rule that does not fit it.
    """
    own = subject.as_is()
    tried: list[Candidate] = []
    best: int | None = None
    left_out: dict[str, str] = {}
    if own.calls is not None and not own.beyond:
        list(plain_figures(own, asked))
    if own.beyond:
        conventions = ()
    for least, held in _stages(subject, own, stated, conventions, left_out):
        if best is not None and best <= least and not exhaustive:
            break
        tried += held()
        fitting = [one.departures for one in tried if one.how is not None]
        best = min(fitting, default=None)
    found = ranked(tried, stated)
    return Attribution(
        target="",
        figure=stated.text,
        inputs=own.inputs,
        macs=own.macs,
        candidates=found,
        nearest=() if found else nearest_of(tried, MOST_NEAREST),
        instead=None if found else in_another_unit(tried, stated),
        limits=" ".join(filter(None, [subject.limits, *_left_out(left_out, own, conventions)])),
        unknown=own.unknown,
        tried=len(tried),
        is_exhaustive=exhaustive,
    )


def _left_out(
    left_out: Mapping[str, str], own: Seen, conventions: Sequence[Convention]
) -> Iterator[str]:
    """Yield sentences on what the model was not counted by, and why."""
    if own.beyond:
        yield own.beyond
        return
    titles: dict[str, dict[str, None]] = {}
    for one in conventions:
        if one.key in left_out:
            titles.setdefault(left_out[one.key], {})[short_title(one)] = None
    for why, names in titles.items():
        yield f"Not counted by {' and '.join(names)}: {why}."


def all_conventions(further: Sequence[str] = ()) -> list[Convention]:
    """Return all that there are, and those that were named beside them.

    Raises:
        InputError: There is none of a name, or its file is wrong.
    """
    found = {one.key: one for one in map(find_convention, convention_names())}
    for one in map(find_convention, further):
        found[one.key] = one
    return list(found.values())


Stage = tuple[int, Callable[[], list[Candidate]]]
"""How far its candidates are from the plain reading at least, and what counts them."""


def _stages(
    subject: Subject,
    own: Seen,
    stated: Written,
    conventions: Sequence[Convention],
    left_out: dict[str, str],
) -> Iterator[Stage]:
    """Yield the stages of a search, the likelier and cheaper ones first."""

    def held(*versions: Seen | None) -> list[Candidate]:
        found: list[Candidate] = []
        for seen in filter(None, versions):
            found += candidates_of(seen, plain_figures(seen, conventions, left_out), stated, own)
        return found

    def with_bare(seen: Seen | None) -> list[Candidate]:
        return held(seen, seen and seen.without_classifier())

    plain = held(own)
    yield 0, lambda: plain
    yield CHANGED, lambda: list(candidates_of(own, further_figures(own), stated, own))
    yield CHANGED, lambda: held(own.without_classifier())
    yield CHANGED, lambda: with_bare(subject.reparameterised())
    per_mac = {one.amount / own.macs for one in plain if one.key not in OF_MODEL and own.macs}

    def may_fit(seen: Seen) -> bool:
        near = min((stated.distance(seen.macs * share) for share in per_mac), default=0)
        return near <= MOST_BESIDE

    other = filter(may_fit, _at_resolutions(subject, own, stated))
    yield OTHER_INPUT, lambda: held(*other)
    versions = filter(may_fit, subject.versions())
    yield OF_ANOTHER_VERSION, lambda: [one for seen in versions for one in with_bare(seen)]


def _at_resolutions(subject: Subject, own: Seen, stated: Written) -> Iterator[Seen]:
    """Yield a model on other images, as far as the stated figure may come of them."""
    resolution = own.resolution
    if resolution is None or not own.macs:
        return
    near = sorted(
        (off, at, side)
        for at, side in enumerate(RESOLUTIONS)
        if side != resolution
        for off in [_off(own.macs * side**2 / resolution**2, stated)]
        if off <= MOST_OFF
    )
    for _, _, side in near[: subject.most_resolutions]:
        try:
            yield subject.as_is(side)
        except InputError:  # it takes images of one size only
            continue


MOST_BESIDE = 0.1
"""How far a figure may be, as a share of it, from what was counted per MAC on the own input for all
to be counted: what stands beside MACs grows nearly as they do."""
MOST_OFF = 0.25
"""How far MACs that grow as images do may be from the figure, as a share of it; with what grows
otherwise, and what is counted beside them, they may be the figure all the same."""


def _off(macs: float, stated: Written) -> float:
    from fractions import Fraction

    return min(float(stated.distance(Fraction(macs * factor))) for factor in (1, 2))
