"""`dscost.which`: a model and a stated figure → whose figure it is.

The plain readings are tried first; only where none of them fits, what is dearer to count and less
likely: the model without its classifier or as it is deployed, on other images, and written in its
other version.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dscost.analysis.targets import Request
from dscost.attributing.figures import further_figures, plain_figures
from dscost.attributing.fitting import candidates_of, nearest_of, ranked
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
    convention: str | Sequence[str] = (),
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
    conventions = _conventions([convention] if isinstance(convention, str) else convention)
    subject, name = subject_of(target, request, conventions, progress)
    own = subject.as_is()
    tried: list[Candidate] = []
    for figures in _stages(subject, own, stated, conventions):
        tried += figures
        if not exhaustive and any(one.how is not None for one in tried):
            break
    found = ranked(tried, stated)
    return Attribution(
        target=name,
        figure=stated.text,
        inputs=own.inputs,
        macs=own.macs,
        candidates=found,
        nearest=() if found else nearest_of(tried, MOST_NEAREST),
        limits=subject.limits,
        unknown=own.unknown,
        tried=len(tried),
        is_exhaustive=exhaustive,
    )


def _conventions(further: Sequence[str]) -> list[Convention]:
    """Return all that there are, and those that were named beside them."""
    found = {one.key: one for one in map(find_convention, convention_names())}
    for one in map(find_convention, further):
        found[one.key] = one
    return list(found.values())


def _stages(
    subject: Subject, own: Seen, stated: Written, conventions: Sequence[Convention]
) -> Iterator[list[Candidate]]:
    """Yield candidates, stage by stage, the likelier and cheaper stages first."""

    def held(seen: Seen, *, is_further: bool = False) -> list[Candidate]:
        figures = further_figures(seen) if is_further else plain_figures(seen, conventions)
        return list(candidates_of(seen, figures, stated, own))

    yield held(own)
    bare = own.without_classifier()
    yield [*held(own, is_further=True), *(held(bare) if bare else [])]
    deployed = subject.reparameterised()
    yield held(deployed) if deployed else []
    yield [one for seen in _at_resolutions(subject, own, stated) for one in held(seen)]
    for version in subject.versions():
        bare = version.without_classifier()
        yield [*held(version), *(held(bare) if bare else [])]


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


MOST_OFF = 0.25
"""How far MACs that grow as images do may be from the figure, as a share of it; with what grows
otherwise, and what is counted beside them, they may be the figure all the same."""


def _off(macs: float, stated: Written) -> float:
    from fractions import Fraction

    return min(float(stated.distance(Fraction(macs * factor))) for factor in (1, 2))
