"""Variants as a user names them, `ghost` or `grouped:8`, and what a convolution makes of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dscost.errors import InputError, SpecError
from dscost.layers.convolution import ConvSpec
from dscost.layers.others import Part
from dscost.layers.variants import VARIANTS, Variant


class Asked(NamedTuple):
    """A variant that was asked for.

    The report calls it by its label: its name, with the value of its parameter if the user gave
    one; otherwise, and where there is no parameter, `value` is `None`.
    """

    label: str
    variant: Variant
    value: int | None


class Chosen(NamedTuple):
    """A variant of a convolution: its parameter's value, its stages, and what the formula says."""

    value: int | None
    parts: Sequence[Part]
    ratio: float | None


def parse_variants(texts: Iterable[str]) -> tuple[Asked, ...]:
    """Return what `NAME` or `NAME:VALUE` stand for, each once; `-` is taken for `_`."""
    found: dict[tuple[int, int | None], Asked] = {}
    for asked in map(_parsed, texts):
        found.setdefault((id(asked.variant), asked.value), asked)
    return tuple(found.values())


MAX_DIGITS = 18
"""Of a variant's number: as many as of any other."""


def _parsed(text: str) -> Asked:
    given, colon, number = text.partition(":")
    plain = given.replace("-", "_")
    name = plain if plain != given and plain in VARIANTS else given
    variant = VARIANTS[name]
    if not isinstance(variant, Variant):
        raise InputError(
            f"the entry point '{name}' of dscost.variants is no Variant, "
            "see dscost.register_variant"
        )
    if not colon:
        return Asked(name, variant, None)
    if variant.parameter is None:
        raise InputError(f"variant {name} takes no value, found '{text}'")
    if not (number.isascii() and number.isdecimal()):
        raise InputError(
            f"variant {name}: expected a whole number for {variant.parameter}, found '{text}'"
        )
    if len(number) > MAX_DIGITS:
        raise InputError(f"{name} takes a whole number, found one of {len(number):,} digits")
    return Asked(f"{name}:{number}", variant, int(number))


def chosen(asked: Asked, spec: ConvSpec) -> Chosen | str:
    """Return a variant of a convolution, or the reason why there is none.

    Raises:
        SpecError: The value that the user gave is impossible.
        InputError: The function of the variant returns no stages.
    """
    variant = asked.variant
    reason = variant.why_not(spec) if variant.why_not else None
    if reason:
        return reason
    value = variant.value_for(spec) if asked.value is None else asked.value
    try:
        stages = _stages(asked.label, variant.stages(spec, value))
        return Chosen(value, stages, variant.ratio_for(spec, value))
    except SpecError as error:
        if asked.value is None:
            another = f" (another {variant.parameter}: {asked.label}:VALUE)"
            return f"{error}{another if variant.parameter else ''}"
        raise SpecError(f"variant {asked.label}: {error}") from None


def _stages(label: str, found: object) -> tuple[Part, ...]:
    """Return stages that other people's code made, if that is what they are."""
    stages = tuple(found) if isinstance(found, Iterable) else (found,)
    for stage in stages:
        if not (isinstance(stage, tuple) and len(stage) in (2, 3) and isinstance(stage[0], str)):
            raise InputError(
                f"variant {label}: its function must return a list of named stages "
                "such as [('conv', spec)], "
                f"found {'nothing' if found is None else f'{stage!r:.60}'}"
            )
    return stages
