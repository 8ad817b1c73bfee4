"""What ran, by the rules of a convention → a figure: the whole, by layer and by rule."""

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction

from dscost.conventions.quantities import QUANTITIES
from dscost.conventions.records import Convention, Counted, Rule, Tally
from dscost.errors import InputError
from dscost.traces.calls import Alike, Call, Repeating


def functions_of(conventions: Iterable[Convention]) -> frozenset[str]:
    """Return the functions of torch that conventions have rules for."""
    of_all = (rules for one in conventions for rules in (one.rules, *one.variations.values()))
    found = (rule.names for rules in of_all for rule in rules if rule.kind == "functions")
    return frozenset(name for names in found for name in names)


class Grouped:
    """Calls by what was called, and what rules make of them, which variations have in common.

    Args:
        calls: What ran.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        self._groups: dict[tuple[str, str], list[Alike]] = {}
        for one in alike_among(calls):
            self._groups.setdefault(one[0][:2], []).append(one)
        self._counted: dict[object, tuple[Rule, Counted]] = {}

    def counted(self, convention: Convention, batch: int) -> Iterator[tuple[int, Counted]]:
        """Yield the place of the rule of each group of calls, and what those count by it.

        Raises:
            InputError: A rule does not fit what it names.
        """
        index = RuleIndex(convention)
        for (kind, name), calls in self._groups.items():
            at = index.rule_for(kind, name)
            if at is None:
                continue
            rule = convention.rules[at]
            key = id(rule), name, batch, convention.scope
            if key not in self._counted:
                counted = list(_counted(convention, rule, index.kept(calls), batch))
                if index.may_hide(calls):  # other rules may hide others
                    yield at, counted
                    continue
                self._counted[key] = rule, counted  # kept, so that none that follows has its id
            yield at, self._counted[key][1]


def alike_among(calls: Iterable[Call]) -> Iterable[Alike]:
    """Return calls that differ in more than what they are due to, and the paths of each.

    What repeats has the very same shapes and settings, not only equal ones.
    """
    if isinstance(calls, Repeating):
        return calls.alike
    found: dict[object, tuple[Call, list[str]]] = {}
    for call in calls:
        kind, name, path, inputs, output, macs, _, parameters, attributes = call[:9]
        which = id(inputs), id(output), id(parameters), id(attributes)
        key = kind, name, which, macs, call[9:]
        if key in found:
            found[key][1].append(path)
        else:
            found[key] = call, [path]
    return found.values()


def tally(convention: Convention, calls: Iterable[Call] | Grouped, *, batch: int = 1) -> Tally:
    """Return what calls count by a convention.

    Args:
        convention: Whose rules.
        calls: What ran; grouped before where several conventions are to count it.
        batch: How many inputs at once they are of.

    Raises:
        InputError: A rule does not fit what it names.
    """
    grouped = calls if isinstance(calls, Grouped) else Grouped(calls)
    by_rule: dict[int, int | Fraction] = {}
    found: list[Counted] = []
    for at, counted in grouped.counted(convention, batch):
        found.append(counted)
        by_rule[at] = by_rule.get(at, 0) + sum(amount * len(paths) for paths, amount in counted)
    shares = [
        (convention.rules[at], Fraction(by_rule[at])) for at in sorted(by_rule) if by_rule[at]
    ]
    return Tally(int(sum(by_rule.values())), found, shares)


def _counted(
    convention: Convention, rule: Rule, calls: Iterable[Alike], batch: int
) -> Iterator[tuple[Sequence[str], int | Fraction]]:
    """Yield what calls are due to, and what each counts: an int where it is whole; it sums fast."""
    parts = [
        (QUANTITIES[name], share.numerator if share.denominator == 1 else share)
        for name, share in rule.counts.items()
    ]
    for call, paths in calls:
        try:
            amount = sum(quantity(call) * share for quantity, share in parts)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            what = f"{call.name} of {call.input}"  # a rule of a user, made for something else
            message = f"{convention.key} has a rule for {what} that does not fit it"
            raise InputError(message) from error
        yield paths, amount * _times(convention, call, batch)


def _times(convention: Convention, call: Call, batch: int) -> int | Fraction:
    """Return how often what a call counts is counted."""
    if call.kind != "modules":
        return 1
    times = 1
    if convention.nested == "hidden":  # it walks the tree, and meets what is shared again
        times *= call.places
    if convention.hooks_again:
        times *= call.places
    return Fraction(times, batch) if convention.per_sample and batch > 1 else times


class RuleIndex:
    """Finds the rule of a call by its name; the last of several wins, an exact name before all."""

    def __init__(self, convention: Convention) -> None:
        self._nested, self._needed_only = convention.nested, convention.needed_only
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
        return self.rule_for(call.kind, call.name)

    def rule_for(self, kind: str, name: str) -> int | None:
        """Return the place of the rule for what is called so, if there is one."""
        key = kind, name
        if key not in self._found:
            exact = self._exact.get(key)
            self._found[key] = next(self._matching(kind, name), None) if exact is None else exact
        return self._found[key]

    def kept(self, calls: Sequence[Alike]) -> Sequence[Alike]:
        """Return the calls, of those there is a rule for, that are counted."""
        if self._needed_only:
            calls = [one for one in calls if one[0].is_needed]
        if self._nested == "leaves":
            calls = [one for one in calls if one[0].is_leaf]
        if self._nested == "hidden":
            calls = [one for one in calls if not self._is_hidden(one[0])]
        return calls

    def may_hide(self, calls: Sequence[Alike]) -> bool:
        """Whether it takes the other rules to know which of the calls are counted."""
        return self._nested == "hidden" and any(call.inside for call, _ in calls)

    def _is_hidden(self, call: Call) -> bool:
        """Whether a module that holds a module has a rule, and counts for both."""
        if call.kind != "modules":
            return False
        return any(self.rule_for("modules", name) is not None for name in call.inside)

    def _matching(self, kind: str, name: str) -> Iterator[int]:
        last = name.rpartition(".")[2]
        for of, pattern, at in self._patterns:
            if of == kind and fnmatchcase(last, pattern):
                yield at
