"""Variants as a user names them, `ghost` or `grouped:8`, and what they come to for a convolution."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dscost.errors import InputError, SpecError
from dscost.network_specs import Part
from dscost.specs import ConvSpec
from dscost.variants import VARIANTS, Variant


class Asked(NamedTuple):
    """A variant that was asked for.

    Args:
        label: How the user called it, and the report does.
        variant: The variant.
        value: Of its parameter; `None` where the user left it open, or there is none.
    """

    label: str
    variant: Variant
    value: int | None


class Rewritten(NamedTuple):
    """A variant of a convolution.

    Args:
        value: Of its parameter, if it has one.
        parts: Its stages.
        ratio: What the formula says of it, where it is known.
    """

    value: int | None
    parts: Sequence[Part]
    ratio: float | None


def parse_variants(texts: Iterable[str]) -> tuple[Asked, ...]:
    """Return what `NAME` or `NAME:VALUE` stand for, each once.

    Raises:
        InputError: There is no such variant, or it does not take that value.
    """
    found: dict[tuple[int, int | None], Asked] = {}
    for text in texts:
        asked = _parsed(text)
        found.setdefault((id(asked.variant), asked.value), asked)
    return tuple(found.values())


def _parsed(text: str) -> Asked:
    name, colon, number = text.partition(":")
    variant = VARIANTS[name]
    if not isinstance(variant, Variant):
        raise InputError(f"the entry point '{name}' of dscost.variants is no Variant, see dscost.register_variant")
    if not colon:
        return Asked(name, variant, None)
    if variant.parameter is None:
        raise InputError(f"variant {name} takes no value, found '{text}'")
    if not (number.isascii() and number.isdecimal()):
        raise InputError(f"variant {name}: expected a whole number for {variant.parameter}, found '{text}'")
    return Asked(text, variant, int(number))


def rewritten(asked: Asked, spec: ConvSpec) -> Rewritten | str:
    """Return a variant of a convolution, or the reason why there is none.

    Raises:
        SpecError: The value that the user gave is impossible.
    """
    variant = asked.variant
    reason = variant.why_not(spec) if variant.why_not else None
    if reason:
        return reason
    value = variant.value_for(spec) if asked.value is None else asked.value
    try:
        return Rewritten(value, tuple(variant.stages(spec, value)), variant.ratio_for(spec, value))
    except SpecError as error:
        if asked.value is None:
            return f"{error} (another {variant.parameter}: {asked.label}:VALUE)" if variant.parameter else str(error)
        raise SpecError(f"variant {asked.label}: {error}") from None
