"""What ran, by the rules of a convention → a figure: the whole, by layer and by rule."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from fractions import Fraction

from dscost.conventions.quantities import QUANTITIES
from dscost.conventions.records import Convention, Rule, Tally
from dscost.errors import InputError
from dscost.traces.calls import Call


def functions_of(conventions: Iterable[Convention]) -> frozenset[str]:
    """Return the functions of torch that conventions have rules for."""
    of_all = (rules for one in conventions for rules in (one.rules, *one.variations.values()))
    found = (rule.names for rules in of_all for rule in rules if rule.kind == "functions")
    return frozenset(name for names in found for name in names)


def tally(convention: Convention, calls: Iterable[Call], *, batch: int = 1) -> Tally:
    """Return what calls count by a convention.

    Args:
        convention: Whose rules.
        calls: What ran.
        batch: How many inputs at once they are of.
    """
    index = RuleIndex(convention)
    by_layer: dict[str, int | Fraction] = {}
    by_rule: dict[int, int | Fraction] = {}
    for call in calls:
        at = index.rule_of(call)
        if at is None or index.is_hidden(call) or (convention.needed_only and not call.is_needed):
            continue
        amount = _amount(convention, convention.rules[at], call, batch)
        by_layer[call.path] = by_layer.get(call.path, 0) + amount
        by_rule[at] = by_rule.get(at, 0) + amount
    shares = [
        (convention.rules[at], Fraction(by_rule[at])) for at in sorted(by_rule) if by_rule[at]
    ]
    layers = {path: Fraction(amount) for path, amount in by_layer.items()}
    return Tally(int(sum(by_rule.values())), layers, shares)


def _amount(convention: Convention, rule: Rule, call: Call, batch: int) -> int | Fraction:
    """Return what a call counts; whole numbers stay ints, whose sums take a tenth of the time."""
    amount: int | Fraction = 0
    try:
        for name, share in rule.counts.items():
            whole = share.numerator if share.denominator == 1 else share
            amount += QUANTITIES[name](call) * whole
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        what = f"{call.name} of {call.input}"  # a rule of a user, made for something else
        raise InputError(f"{convention.key} has a rule for {what} that does not fit it") from error
    if call.kind != "modules":
        return amount
    if convention.nested == "hidden":  # it walks the tree, and meets what is shared again
        amount *= call.places
    if convention.hooks_again:
        amount *= call.places
    return Fraction(amount, batch) if convention.per_sample and batch > 1 else amount


class RuleIndex:
    """Finds the rule of a call by its name; the last of several wins, an exact name before all."""

    def __init__(self, convention: Convention) -> None:
        self._nested = convention.nested
        self._exact: dict[tuple[str, str], int] = {}
        self._patterns: list[tuple[str, str, int]] = []
        self._found: dict[tuple[str, str], int | None] = {}
        for at, rule in enumerate(convention.rules):
            for name in rule.names:
                if "*" in name:
                    self._patterns.insert(0, (rule.kind, name, at))
                else:
                    self._exact[rule.kind, name] = at

    def rule_of(self, call: Call) -> int | None:
        """Return the place of the rule of a call among the rules, if it has one."""
        if self._nested == "leaves" and not call.is_leaf:
            return None
        return self._rule(call.kind, call.name)

    def is_hidden(self, call: Call) -> bool:
        """Whether a module that holds a module has a rule, and counts for both."""
        if self._nested != "hidden" or call.kind != "modules":
            return False
        return any(self._rule("modules", name) is not None for name in call.inside)

    def _rule(self, kind: str, name: str) -> int | None:
        key = kind, name
        if key not in self._found:
            self._found[key] = self._exact.get(key, next(self._matching(kind, name), None))
        return self._found[key]

    def _matching(self, kind: str, name: str) -> Iterator[int]:
        last = name.rpartition(".")[2]
        for of, pattern, at in self._patterns:
            if of == kind and fnmatchcase(last, pattern):
                yield at
