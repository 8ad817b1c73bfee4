"""Rules held against what ran: what no rule is of, and what rules name that never ran."""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

from dscost.conventions.known import built_in_names, find_convention
from dscost.conventions.records import Convention, Rule
from dscost.conventions.tallying import RuleIndex
from dscost.errors import nearest
from dscost.reports.records import WithoutRule
from dscost.traces.calls import Call


def without_rule(convention: Convention, calls: Iterable[Call]) -> tuple[WithoutRule, ...]:
    """Return the operators with multiply-accumulates that no rule is of.

    A rule of an operator, a function or a module is one of all that runs within.
    """
    index = RuleIndex(convention)
    covered: list[tuple[int, int]] = []
    lacking: list[tuple[Call, int]] = []
    for call, macs in _own_macs(calls):
        if index.rule_of(call) is not None:
            covered.append(call.events)
        elif macs:
            lacking.append((call, macs))
    spans = _joined(covered)
    found: dict[str, dict[str, int]] = {}
    for call, macs in lacking:
        if not _is_within(call.events, spans):
            by_path = found.setdefault(call.name, {})
            by_path[call.path] = by_path.get(call.path, 0) + macs
    return tuple(WithoutRule(name, sum(of.values()), tuple(of)) for name, of in found.items())


def _own_macs(calls: Iterable[Call]) -> Iterator[tuple[Call, int]]:
    """Yield calls, and the multiply-accumulates of those that are operators.

    Some operators run others, which end before them: what those have is theirs alone.
    """
    ended: list[Call] = []
    for call in calls:
        macs = 0
        if call.kind == "operators" and call.macs:
            macs = call.macs
            first, behind = call.events
            while first < behind and ended and first <= ended[-1].events[0] < behind:
                macs -= ended.pop().macs
            ended.append(call)
        yield call, macs


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order; those that overlap become one.

    >>> _joined([(4, 6), (0, 2), (1, 3), (5, 5)])
    [(0, 3), (4, 6)]
    """
    found: list[tuple[int, int]] = []
    for first, behind in sorted(spans):
        if found and first < found[-1][1]:
            found[-1] = found[-1][0], max(behind, found[-1][1])
        elif first < behind:
            found.append((first, behind))
    return found


def _is_within(events: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    first, behind = events
    at = bisect_right(spans, (first, sys.maxsize)) - 1
    return first < behind and at >= 0 and behind <= spans[at][1]


# -- names that are misspelt


def misspelt(convention: Convention, calls: Iterable[Call]) -> Iterator[str]:
    """Yield a sentence for each name of a user's own rules that never ran and is like one that did.

    A name that is known otherwise is no mistake: the model has nothing of that kind.
    """
    if convention.key in built_in_names():
        return
    ran: dict[str, set[str]] = {}
    for call in calls:
        ran.setdefault(call.kind, set()).add(call.name)
    for rule in convention.rules:
        for name in rule.names:
            here = ran.get(rule.kind, set())
            if name in here or "*" in name or _is_known(rule.kind, name):
                continue
            meant = _meant(rule, name, here)
            if meant:
                kind = rule.kind.removesuffix("s")
                yield f"{convention.title}: no {kind} {name} ran; did you mean {meant}?"


def _meant(rule: Rule, name: str, ran: Iterable[str]) -> str | None:
    """Return the nearest name of what ran; of a function also what torch has at that place."""
    if rule.kind == "modules":
        return nearest(name, sorted(ran))
    before = name[: len(name) - len(_last(name))]
    lasts = {_last(one) for one in ran if one.startswith(before)}
    owner = _owner(before) if rule.kind == "functions" else None
    if owner is not None:  # only what rules name is seen of functions
        lasts |= {one for one in vars(owner) if not one.startswith("_")}
    last = nearest(_last(name), sorted(lasts))
    return None if last is None else before + last


def _last(name: str) -> str:
    """Return a name without where it is found.

    >>> _last("aten::conv2d.padding"), _last("torch.nn.functional.relu")
    ('conv2d.padding', 'relu')
    """
    return name.partition("::")[2] or name.rpartition(".")[2]


def _is_known(kind: str, name: str) -> bool:
    """Whether there is something of that name: shipped rules or torch, if it is here, know it."""
    for one in map(find_convention, built_in_names()):
        if any(rule.kind == kind and name in rule.names for rule in one.rules):
            return True
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return False
    if kind == "modules":
        return hasattr(torch.nn, name)
    if kind == "functions":
        return hasattr(_owner(name.rpartition(".")[0] + "."), _last(name))
    space, _, last = name.partition("::")
    return hasattr(getattr(torch.ops, space), last.partition(".")[0])


def _owner(before: str) -> Any:
    """Return what functions are found in, if torch has been imported."""
    if "torch" not in sys.modules:
        return None
    if before == "torch.Tensor.":
        return sys.modules["torch"].Tensor
    return import_module(before.removesuffix("."))
