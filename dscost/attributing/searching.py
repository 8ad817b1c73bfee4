"""`dscost.which`: a model and a stated figure → whose figure it is.

The plain readings are tried first; then what is dearer to count and less likely: the model without
its classifier or as it is deployed, on other images, and written in its other version. The search
ends where nothing that follows can be likelier than what was found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any

from dscost.analysis.targets import Request, convention_texts
from dscost.attributing.figures import Figure, further_figures, plain_figures, short_title
from dscost.attributing.fitting import (
    CHANGED,
    OF_ANOTHER_VERSION,
    OTHER_INPUT,
    candidates_of,
    in_another_unit,
    nearest_of,
    ranked,
    worst_of_nearest,
)
from dscost.attributing.outlook import Outlook
from dscost.attributing.records import Attribution, Candidate
from dscost.attributing.seen import Prospect, Seen, known
from dscost.attributing.subjects import Subject, subject_of
from dscost.attributing.written import Written, parse_figure
from dscost.conventions import Convention, convention_names, find_convention
from dscost.conventions.known import built_in_names
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
    left_out: dict[str, str] = {}
    if own.calls is not None and not own.beyond:
        list(plain_figures(own, asked))
    if own.beyond:
        conventions = ()
    search = _Search(subject, own, stated, conventions, left_out)
    for least, look in search.stages():
        if not exhaustive and search.fewest_departures <= least:
            break
        look()
    if search.fewest_departures == inf:
        search.look_for_nearest()
    tried = search.tried
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


class _Search:
    """Counts a model in one way after another, the likelier and cheaper ones first.

    Attributes:
        tried: What was held against the figure.
    """

    def __init__(
        self,
        subject: Subject,
        own: Seen,
        stated: Written,
        conventions: Sequence[Convention],
        left_out: dict[str, str],
    ) -> None:
        self._subject, self._own, self._stated = subject, own, stated
        self._conventions, self._left_out = conventions, left_out
        self._plain = list(plain_figures(own, conventions, left_out))
        self._outlook = Outlook(own, self._plain, stated)
        # rules of others may count anything
        is_known = own.calls is not None
        self._may_be_judged = is_known and built_in_names().issuperset(
            one.key for one in conventions
        )
        self.tried: list[Candidate] = []
        self._left: list[tuple[float, Prospect]] = []

    def stages(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield what to look at, after how far that is from the plain reading at least."""
        yield 0, lambda: self._hold(self._own, self._plain)
        yield CHANGED, lambda: self._hold(self._own, further_figures(self._own))
        yield CHANGED, lambda: self._without_classifier(known(self._own))
        yield CHANGED, self._deployed
        yield OTHER_INPUT, self._on_other_images
        yield OF_ANOTHER_VERSION, self._in_other_versions

    @cached_property
    def _bare(self) -> Seen | None:
        return self._own.without_classifier()

    @property
    def fewest_departures(self) -> float:
        """Of what fits so far."""
        fitting = (one.departures for one in self.tried if one.how is not None)
        return min(fitting, default=inf)

    def look_for_nearest(self) -> None:
        """Count what was left because it cannot fit, as far as it may be among the nearest."""
        for least, found in sorted(self._left, key=lambda one: self._outlook.about(one[1].macs)):
            if least <= worst_of_nearest(self.tried, MOST_NEAREST):
                self._count(found.seen())

    def _hold(self, seen: Seen, figures: Iterable[Figure]) -> None:
        self.tried += candidates_of(seen, figures, self._stated, self._own)

    def _count(self, seen: Seen | None) -> None:
        if seen is not None:
            self._hold(seen, plain_figures(seen, self._conventions, self._left_out))

    def _without_classifier(self, whole: Prospect) -> None:
        """Look at a version without its classifier, which is linear and of no other size in any."""
        if self._bare is None:
            return
        macs = whole.macs - (self._own.macs - self._bare.macs)
        params = whole.params - (self._own.params - self._bare.params)
        self._version(Prospect(macs, params, lambda: _bare_of(whole.seen())))

    def _deployed(self) -> None:
        seen = self._subject.reparameterised()
        if seen is not None:
            self._count(seen)
            self._without_classifier(known(seen))

    def _on_other_images(self) -> None:
        worst = 0.0 if self.fewest_departures < inf else worst_of_nearest(self.tried, MOST_NEAREST)
        for macs, side in self._likely_sides():
            least = self._outlook.on_scaled_images(macs, self._subject.macs_off)
            if self._may_be_judged and self._subject.keeps_layers and least > worst:
                continue
            try:
                found = self._subject.on_images(side)
            except InputError:  # it takes images of one size only
                continue
            least = self._outlook.on_other_images(found.macs) if found.keeps_layers else 0.0
            self._if_it_may_fit(least, found)

    def _in_other_versions(self) -> None:
        for found in self._subject.versions():
            if found.macs != self._own.macs:
                self._version(found)
                self._without_classifier(found)

    def _version(self, found: Prospect) -> None:
        self._if_it_may_fit(self._outlook.in_other_version(found.macs, found.params), found)

    def _if_it_may_fit(self, least: float, found: Prospect) -> None:
        """Count a version, or leave it for later."""
        if least > 0 and self._may_be_judged:
            self._left.append((least, found))
        else:
            self._count(found.seen())

    def _likely_sides(self) -> list[tuple[float, int]]:
        """Return how many MACs it has about on which images, the likeliest first; not all of some.

        Of two that are as near the more usual one is before.
        """
        own, resolution = self._own, self._own.resolution
        if resolution is None or not own.macs:
            return []
        if self._stated.is_of == "parameters" and self._subject.keeps_layers:
            return []
        sides = own.macs_on(side for side in RESOLUTIONS if side != resolution)
        nearest = sorted(sides, key=lambda one: self._outlook.about(one[0]))
        return nearest[: self._subject.most_resolutions]


def _bare_of(whole: Seen | None) -> Seen | None:
    return whole and whole.without_classifier()
