"""A convention as its file describes it, and what comes of it."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from dscost.conventions.quantities import BIASES, NO_MACS
from dscost.errors import first_of

Kind = Literal["operators", "modules", "functions"]
MOST_NAMES = 3
"""Of what a rule is of, where it does not say how that is called."""
KINDS: tuple[Kind, ...] = ("operators", "modules", "functions")
"""What a rule may be of."""


class Rule(NamedTuple):
    """What some operators, modules or functions count.

    Args:
        kind: Of what.
        names: Which, see `dscost.traces.calls.Call`; `*` stands for any letters, and is held
            against the class of a module alone.
        counts: Coefficients by quantity, see `dscost.conventions.quantities`.
        called: What it is in a sentence, such as `BatchNorm at 2 per element`; empty for what is
            nothing but MACs.
    """

    kind: Kind
    names: tuple[str, ...]
    counts: Mapping[str, Fraction]
    called: str = ""

    @property
    def in_words(self) -> str:
        """What it is in a sentence: of multiply-accumulates so, and at how much each.

        What counts elements and does not say how it is called goes by what it is of.
        """
        if self.called and not self.called.startswith("with "):
            return self.called
        beside = self.called
        if not beside and not BIASES.isdisjoint(self.counts):
            beside = "with bias"
        if not self.called and not self._is_of_macs:
            return first_of(self.names, MOST_NAMES)
        each = self.counts.get("macs", 1)
        return f"MACs{'' if each == 1 else f' at {float(each):g}'} {beside}".rstrip()

    @property
    def _is_of_macs(self) -> bool:
        """Whether it counts multiply-accumulates, and nothing else but what is added to them."""
        of_macs = self.counts.keys() - BIASES
        return bool(of_macs) and NO_MACS.isdisjoint(of_macs)


class Convention(NamedTuple):
    """How a tool, or a literature, counts.

    Args:
        key: Its name on the command line, that of the file.
        title: As people call it.
        counts: What it calls its figure: FLOPs, MACs, mult-adds.
        means: What it counts and what not, in a sentence.
        source: Where its rules are written.
        rules: Those of one name replace those of another before them.
        nested: Which modules it looks at: all, those that no other hides that has a rule itself,
            or those without children.
        hooks_again: Whether it hangs another hook on a module at each place where it stands.
        per_sample: Whether it divides what modules count by the batch.
        needed_only: Whether it passes over what is computed and leads to nothing that the model
            returns.
        faults: What it is known to get wrong, in sentences.
        variations: Rules that replace others where a model is written otherwise or where other
            releases count otherwise, by what that is.
    """

    key: str
    title: str
    counts: str
    means: str
    source: tuple[str, ...]
    rules: tuple[Rule, ...]
    nested: Literal["all", "hidden", "leaves"] = "all"
    hooks_again: bool = False
    per_sample: bool = False
    needed_only: bool = False
    faults: tuple[str, ...] = ()
    variations: Mapping[str, tuple[Rule, ...]] = MappingProxyType({})

    @property
    def scope(self) -> tuple[str, bool, bool, bool]:
        """What its figures depend on beside its rules."""
        return self.nested, self.hooks_again, self.per_sample, self.needed_only

    @property
    def per_mac(self) -> Fraction:
        """What it counts at least for each multiply-accumulate.

        >>> from dscost.conventions import find_convention
        >>> [int(find_convention(one).per_mac) for one in ("fvcore", "tensorflow-profiler")]
        [1, 2]
        """
        of_macs = (
            share
            for rule in self.rules
            for name, share in rule.counts.items()
            if name not in NO_MACS | BIASES and share
        )
        return min(of_macs, default=Fraction(1))

    @property
    def digest(self) -> str:
        """What tells its rules from others, under whatever name: a dozen hexadecimal digits."""
        from hashlib import sha256

        counts: Sequence[Any] = [
            (rule.kind, rule.names, sorted((name, str(one)) for name, one in rule.counts.items()))
            for rule in self.rules
        ]
        text = repr((counts, *self.scope))
        return sha256(text.encode()).hexdigest()[:12]

    def varied(self, variation: str) -> "Convention":
        """Return it with the rules of one of its variations before its own."""
        return self._replace(rules=(*self.rules, *self.variations[variation]))


Counted = Sequence[tuple[Sequence[str], int | Fraction]]
"""The paths of the modules that calls are due to, and how much each of those counts."""


class Tally(NamedTuple):
    """What a model counts by a convention.

    Args:
        total: Of the whole, as the tool gives it: a whole number.
        counted: What it is the sum of.
        by_rule: By rule, in the order of the rules; those that count nothing are left out.
    """

    total: int
    counted: Sequence[Counted]
    by_rule: Sequence[tuple[Rule, Fraction]]

    @property
    def by_layer(self) -> dict[str, int | Fraction]:
        """By the path of the module that it is due to."""
        found: dict[str, int | Fraction] = {}
        for calls in self.counted:
            for paths, amount in calls:
                for path in paths:
                    found[path] = found.get(path, 0) + amount
        return found
