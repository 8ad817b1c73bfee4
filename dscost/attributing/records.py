"""What a stated figure may be of."""

from fractions import Fraction
from typing import Any, NamedTuple

from dscost.layers.convolution import Shape
from dscost.reports.result import Result


class Candidate(NamedTuple):
    """A way of counting, and what it comes to.

    Args:
        key: `macs`, `params`, `params without BatchNorm`, `activations`, `forward and backward`,
            or the name of a convention.
        title: What people call the convention; empty for our own figures.
        counts: What it calls its figure, such as FLOPs.
        amount: What it comes to, factor included.
        factor: By how much it was multiplied: 2 where each MAC counts as two FLOPs.
        per_image: Whether it was divided by the batch, be it by the convention itself.
        parts: What it counts beside MACs, in words.
        variation: In which way the convention counts otherwise than now.
        inputs: Shapes of what the model was given.
        is_own_input: Whether those are what it was asked for with.
        changes: What was done to the model before, in words.
        macs: The MACs of the same.
        how: How the figure comes of the amount: `exact`, `rounded`, `rounded to tens` or more,
            `cut off`; `None` where it does not.
        distance: How far the amount is off, as a share of the figure.
        departures: How far all this is from the plain reading.
        alike: Who else counts the same.
        without: What has MACs and is not counted, in words.
        read_as: The figure with the unit that it was taken to be in, where it was written with
            none.
    """

    key: str
    title: str
    counts: str
    amount: Fraction
    factor: int
    per_image: bool
    parts: tuple[str, ...]
    variation: str | None
    inputs: tuple[Shape, ...]
    is_own_input: bool
    changes: tuple[str, ...]
    macs: int
    how: str | None
    distance: float
    departures: int
    alike: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    read_as: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is of the model as it is, on the input that it was asked for with."""
        return self.is_own_input and not self.changes

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "convention": self.key,
            "counts": self.counts,
            "variation": self.variation,
            "factor": self.factor,
            "per_image": self.per_image,
            "inputs": [list(shape) for shape in self.inputs],
            "changes": list(self.changes),
            "how": self.how,
            "count": int(self.amount),
            "macs": self.macs,
            "beside_macs": list(self.parts),
            "distance": self.distance,
            "departures": self.departures,
            "alike": list(self.alike),
            "without": list(self.without),
            "read_as": self.read_as,
        }


class Attribution(Result):
    """Whose figure a stated one is.

    Args:
        target: The model.
        figure: As it was written.
        inputs: Shapes of what the model is given where nothing else is said.
        macs: Its MACs on those.
        candidates: What the figure may be of, the likeliest first; of a figure of one digit, behind
            those of the model as it is, the nearest.
        nearest: Where nothing fits, what comes near.
        instead: Where nothing fits, what the figure would be of in another unit.
        limits: What could not be asked of the target, in a sentence.
        unknown: Operators of unknown cost, which no figure has.
        tried: How many figures it was held against.
        is_exhaustive: Whether all were, though a plain one fits.
    """

    target: str
    figure: str
    inputs: tuple[Shape, ...]
    macs: int
    candidates: tuple[Candidate, ...]
    nearest: tuple[Candidate, ...] = ()
    limits: str = ""
    unknown: tuple[str, ...] = ()
    tried: int = 0
    is_exhaustive: bool = False
    instead: Candidate | None = None

    def in_a_line(self) -> str:
        """Return the figure, and what it is likeliest of."""
        if not self.candidates:
            return f"{self.figure} of {self.target}: nothing fits"
        first = self.candidates[0]
        by = f" by {first.title}" if first.title else ""
        return f"{self.figure} of {self.target}: {first.counts}{by}, {int(first.amount):,}"

    @property
    def fits(self) -> bool:
        """Whether some way of counting gives the figure."""
        return bool(self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "target": self.target,
            "figure": self.figure,
            "fits": self.fits,
            "inputs": [list(shape) for shape in self.inputs],
            "macs": self.macs,
            "candidates": [one.to_dict() for one in self.candidates],
            "nearest": [one.to_dict() for one in self.nearest],
            "instead": self.instead and self.instead.to_dict(),
            "limits": self.limits,
            "unknown": list(self.unknown),
            "tried": self.tried,
        }
