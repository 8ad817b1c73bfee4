"""Conventions as YAML, in the language of `configs/conventions/README.md`."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from dscost.conventions.quantities import QUANTITIES
from dscost.conventions.records import KINDS, Convention, Rule
from dscost.errors import InputError
from dscost.notation import forms
from dscost.notation.forms import Given, Keyed
from dscost.notation.marked_yaml import Node, Problems, read_yaml

MOST = 10**6
"""No element of anything counts more than that."""


def read_convention(path: Path) -> Convention:
    """Return the convention of a file.

    Raises:
        InputError: The file cannot be read.
        FileProblems: Everything that is wrong with it, each with its place.
    """
    problems = Problems()
    values = CONVENTION.read(read_yaml(path, problems), problems)
    problems.refuse(str(path))
    several = {key: tuple(values.get(key, ())) for key in ("source", "rules", "faults")}
    variations = {name: tuple(rules) for name, rules in values.get("variations", {}).items()}
    return Convention(**{**values, **several, "variations": variations, "key": path.stem})


def _coefficient(node: Node) -> Fraction:
    if type(node.value) not in (int, float) or not 0 <= node.value <= MOST:
        raise InputError(f"expected a number such as 2 or 0.5, found {node.plain!r:.60}")
    return Fraction(str(node.value))


_COEFFICIENT = forms.parsed(_coefficient, {"type": "number", "minimum": 0, "maximum": MOST})


def _rule(given: Given) -> Rule:
    kind = next(kind for kind in KINDS if kind in given)
    return Rule(kind, tuple(given[kind]), dict(given["counts"]), given.get("called", ""))


_RULE = Keyed(
    {
        **{kind: forms.one_or_more(forms.TEXT) for kind in KINDS},
        "counts": Keyed(dict.fromkeys(QUANTITIES, _COEFFICIENT), what="quantity"),
        "called": forms.TEXT,
    },
    required=("counts",),
    any_of=(KINDS, f"a rule is of {', '.join(KINDS[:-1])} or {KINDS[-1]}"),
    of=Rule,
)


def _one_kind(given: Any) -> Rule:
    found = [kind for kind in KINDS if kind in given]
    if len(found) > 1:
        raise InputError(f"a rule is of one kind, found {' and '.join(found)}")
    return _rule(given)


_RULES = forms.list_of(_RULE.into(_one_kind), "rules")

CONVENTION = Keyed(
    {
        "title": forms.TEXT,
        "counts": forms.TEXT,
        "means": forms.TEXT,
        "source": forms.one_or_more(forms.TEXT),
        "nested": forms.word("scope", ("all", "hidden", "leaves"), default="all"),
        "per_sample": forms.BOOLEAN,
        "rules": _RULES,
        "faults": forms.one_or_more(forms.TEXT),
        "variations": Keyed({}, others=_RULES, what="variation"),
    },
    required=("title", "counts", "means", "source", "rules"),
    expected="a mapping with title, counts, means, source, rules",
    of=Convention,
)
"""The file of a convention."""
