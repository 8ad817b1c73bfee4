"""What is to be told of a model that was recovered. No torch."""

from collections.abc import Iterable, Sequence

from dscost.converting.recovering import fitting
from dscost.converting.recovering.inputs import Given
from dscost.converting.recovering.records import Recovery
from dscost.errors import InputError, some_of
from dscost.notation.units import counted, format_bytes

MOST_NAMED = 4
"""Layers by name: what fits on a line."""


def refitted_notes(
    layers: int,
    *,
    no_better: Sequence[str] = (),
    large: Sequence[str] = (),
    unseen: Sequence[str] = (),
    unknown: Sequence[str] = (),
) -> list[str]:
    """Return why some layers have the weights that they had.

    Args:
        layers: How many there are.
        no_better: Those whose refitted weights did no better on inputs that they were not fitted
            to.
        large: Those of which too much would have to be summed up.
        unseen: Those that do not run.
        unknown: Those whose bias is computed.
    """
    reasons = (
        (
            "refitted weights do no better on the half of the inputs that they have not seen",
            no_better,
        ),
        (
            f"what they see has second moments of more than {format_bytes(fitting.MOST_BYTES)}",
            large,
        ),
        ("they do not run on the inputs", unseen),
        ("their bias is computed", unknown),
    )
    return [
        f"{len(names)} of {counted(layers, 'layer')} as before ({_named(names)}): {why}."
        for why, names in reasons
        if names
    ]


def nothing_converted(given: Given) -> Recovery:
    """Return what is told where no layer was converted."""
    return Recovery(given.source, 0, (), ("Nothing is converted, so nothing is recovered.",))


def _named(names: Iterable[str]) -> str:
    return some_of([f"'{name}'" for name in names], MOST_NAMED)


def refuse_infinite(name: str, looked_at: fitting.Fitting) -> None:
    """Refuse what a layer sees where nothing can be fitted to it.

    Raises:
        InputError: Something of it is NaN, infinite, or too large for its square.
    """
    if not looked_at.are_finite:
        wrong = "NaN, infinite or too large to calibrate on"
        raise InputError(f"'{name}' sees values on the calibration inputs that are {wrong}")
