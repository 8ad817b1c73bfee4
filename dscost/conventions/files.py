"""Conventions as YAML, in the language of `configs/conventions/README.md`."""

import re
from fractions import Fraction
from pathlib import Path

from dscost.conventions.quantities import QUANTITIES, Quantity
from dscost.conventions.records import KINDS, Convention, Rule
from dscost.errors import InputError
from dscost.notation import forms
from dscost.notation.forms import Form, Given, Keyed
from dscost.notation.marked_yaml import Node, Problems, read_yaml

MOST = 10**6
"""No element of anything counts more than that."""

FUNCTION_HOMES = ("torch", "torch.nn.functional", "torch.Tensor", "torch.special", "torch.linalg")
"""Where functions may be that a rule names: whoever counts has others put in their place."""


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
        expected = f"a number from 0 to {MOST:,}, such as 2 or 0.5"
        raise InputError(f"expected {expected}, found {_found(node)}")
    return Fraction(str(node.value))


def _found(node: Node) -> str:
    is_one = isinstance(node.value, (bool, int, float, str))
    return f"{node.value!r:.60}" if is_one else node.kind


def _meaning(quantity: Quantity) -> str:
    """Return what a quantity is, in a sentence: how its docstring begins."""
    first = (quantity.__doc__ or "").partition("\n\n")[0]
    told = " ".join(first.split()).removeprefix("Return the ")
    return told[:1].upper() + told[1:]


_COEFFICIENT = forms.parsed(_coefficient, {"type": "number", "minimum": 0, "maximum": MOST})


_OF_TORCH_NN = re.compile(r"^torch\.nn\.(?:modules\.\w+\.)?(?=[^.]+$)(?!functional)")
"""What stands before a class of `torch.nn`, which has its name alone in a rule."""


def _named(pattern: str, expected: str) -> Form:
    """Return the form of the name of what a rule is of."""

    def parse(node: Node) -> str:
        name = forms.TEXT.read(node, problems := Problems())
        if problems:
            raise InputError(problems[0].message)
        if not re.fullmatch(pattern, name):
            raise InputError(f"expected {expected}, found {name!r:.60}")
        return _OF_TORCH_NN.sub("", name)

    return forms.parsed(parse, {"type": "string", "pattern": f"^({pattern})$"})


_HOMES = "|".join(map(re.escape, FUNCTION_HOMES))
_NAMES = {
    "operators": _named(r"\w+::\w[\w.]*", "an operator as torch calls it, such as aten::conv2d"),
    "modules": _named(
        r"\S+", "a class of torch.nn such as Conv2d, another with its module, or a pattern"
    ),
    "functions": _named(
        rf"({_HOMES})\.[a-z]\w*", "a function of torch, such as torch.nn.functional.relu"
    ),
}


_COUNTS = Keyed(
    {name: _COEFFICIENT.described(_meaning(one)) for name, one in QUANTITIES.items()},
    what="quantity",
    expected="numbers by quantity, such as {macs: 1}",
)
_RULE = Keyed(
    {
        **{kind: forms.one_or_more(_NAMES[kind]) for kind in KINDS},
        "counts": _COUNTS,
        "called": forms.TEXT,
    },
    required=("counts",),
    any_of=(KINDS, f"a rule is of {', '.join(KINDS[:-1])} or {KINDS[-1]}"),
    of=Rule,
)


def _rule(given: Given) -> Rule | None:
    found = [kind for kind in KINDS if kind in given]
    if len(found) > 1:
        raise InputError(f"a rule is of one kind, found {' and '.join(found)}")
    if not found:  # which was told
        return None
    (kind,) = found
    return Rule(kind, tuple(given[kind]), dict(given["counts"]), given.get("called", ""))


_RULES = forms.list_of(_RULE.into(_rule), "rules")

CONVENTION = Keyed(
    {
        "title": forms.TEXT,
        "counts": forms.TEXT,
        "means": forms.TEXT,
        "source": forms.one_or_more(forms.TEXT),
        "nested": forms.word("scope", ("all", "hidden", "leaves"), default="all"),
        "hooks_again": forms.BOOLEAN,
        "per_sample": forms.BOOLEAN,
        "needed_only": forms.BOOLEAN,
        "rules": _RULES,
        "faults": forms.one_or_more(forms.TEXT),
        "variations": Keyed({}, others=_RULES, what="variation"),
    },
    required=("title", "counts", "means", "source", "rules"),
    expected="a mapping with title, counts, means, source, rules",
    of=Convention,
    rules={"title": "A convention of dscost"},
)
"""The file of a convention."""
