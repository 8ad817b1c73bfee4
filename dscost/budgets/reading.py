"""From the text of a budget file to its entries: a model and a choice of its matrix each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from dscost.budgets.convention_language import with_rules
from dscost.budgets.language import BUDGET, NOT_OF_SAVED, RUN, argument
from dscost.budgets.limit_language import replaced, resolved
from dscost.budgets.records import POLICIES, Budget, Entry, Limit
from dscost.errors import Problem
from dscost.files import read_text, split_report_name
from dscost.notation.forms import Given, Keyed, anything
from dscost.notation.marked_yaml import MAX_FILE_BYTES, Node, Problems, parse_yaml

MOST_ENTRIES = 1000
"""Of a whole budget."""


def read_budget(path: Path) -> Budget:
    """Return what a budget file says; of one that is wrong every mistake has its place."""
    return parse_budget(read_text(path, MAX_FILE_BYTES), path)


def parse_budget(text: str, path: Path) -> Budget:
    """Return what the text of a budget says; its files are sought beside `path`."""
    problems = Problems()
    root = parse_yaml(text, str(path), problems)
    top = BUDGET.read(root, problems) or Given(root)
    entries = _entries(top.get("models", ()), top.get("defaults", {}), problems)
    entries = with_rules(entries, path.parent, problems)
    if "baseline" not in top:
        _refuse_against_nothing(entries, problems)
    problems.refuse(str(path))
    policy = {name: usual for name, (_, usual, _) in POLICIES.items()} | top.get("policy", {})
    baseline = path.parent / top["baseline"] if "baseline" in top else None
    return Budget(path, tuple(entries), policy, baseline)


def _refuse_against_nothing(entries: Iterable[Entry], problems: Problems) -> None:
    """Refuse ratios that are against the model as a baseline has it, where there is none."""
    limits = (limit for entry in entries for limit in entry.limits if limit.pairing)
    places = {
        one.place
        for one in limits
        if one.metric != "speedup" and one.pairing and not one.pairing.against
    }
    for place in sorted(places):
        message = (
            "latency_ratio is against nothing: name a target or a commit, such as against: main, "
            "or a baseline of the budget"
        )
        problems.append(Problem(*place, message))


def _entries(
    models: Iterable[Given], defaults: Mapping[str, Any], problems: Problems
) -> list[Entry]:
    entries: list[Entry] = []
    for model in models:
        entries += _entries_of(model, defaults, MOST_ENTRIES - len(entries), problems)
        if len(entries) > MOST_ENTRIES:
            most = f"more than {MOST_ENTRIES:,} models and choices up to here"
            problems.at(model.node, f"{most}: split the budget")
            break
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.name, entry)
        if first is not entry and entry.name:
            message = f"duplicate model '{entry.name}', first on line {first.place[0]}"
            problems.append(Problem(*entry.place, message))
    return entries


def _entries_of(
    model: Given, defaults: Mapping[str, Any], room: int, problems: Problems
) -> Iterator[Entry]:
    """Yield an entry for each choice of a model, of which there may be so many still."""
    target = model.get("target", "")
    run = {key: value for key, value in {**defaults, **model}.items() if key in RUN}
    if split_report_name(target) is not None:
        _refuse_for_saved(target, model.node, problems)
        run = {}

    def setting(node: Node) -> Any:
        """Return the value of a setting; those of a factory are arguments of Python code."""
        return argument.read(node, problems) if _is_factory(target) else node.plain

    settings = {key: setting(node) for key, node in model.get("set", {}).items()}
    choices = list(_choices(model, room, problems))
    limits = _limits_of(model, defaults, choices, problems)
    for choice, own_limits in zip(choices, limits, strict=True):
        changed = {key: setting(node) for key, (node, _) in choice.items() if key not in RUN}
        run_here = {key: value for key, (_, value) in choice.items() if key in RUN}
        yield Entry(
            name=_name(model.get("name", target), choice),
            target=target,
            settings={**settings, **changed},
            kwargs=model.get("kwargs", {}),
            limits=own_limits,
            layers=tuple(model.get("layers", ())),
            exclude=tuple(model.get("exclude", ())),
            place=model.node.place,
            input_is_default="input" not in model and "input" not in choice,
            policy=model.get("policy", {}),
            trust=model.get("trust", False),
            **{**run, **run_here},
        )


def _refuse_for_saved(target: str, node: Node, problems: Problems) -> None:
    for key in NOT_OF_SAVED:
        if key in node.value:
            message = f"{target} is a saved report, counted already: '{key}' cannot change it"
            problems.at_key(node.value[key], message)


_Choice = Mapping[str, tuple[Node, Any]]
"""For each key of the matrix a value, as it stands there and as it is read."""


def _choices(model: Given, room: int, problems: Problems) -> Iterator[_Choice]:
    """Yield every combination of the values of a matrix; without one, the only choice."""
    if "matrix" not in model.node.value:
        yield {}
        return
    matrix = model.get("matrix", {})
    count = prod(map(len, matrix.values()))
    if count > room:
        above = MOST_ENTRIES - room
        before = f" in a budget, and {above:,} stand above" if above else ""
        place = model.node.value["matrix"]
        problems.at(place, f"{count:,} entries are too many; at most {MOST_ENTRIES:,}{before}")
        return
    for values in product(*matrix.values()) if matrix else ():
        yield dict(zip(matrix, values, strict=True))


def _limits_of(
    model: Given, defaults: Mapping[str, Any], choices: Sequence[_Choice], problems: Problems
) -> list[tuple[Limit, ...]]:
    """Return the limits of each choice: of the defaults, the model and its `entries`."""
    usual, own = defaults.get("limits", {}), model.get("limits", {})
    common = replaced(resolved(usual), resolved(own, usual))
    limits = [common for _ in choices]
    known = tuple(model.get("matrix", ()))
    nothing = f"expected values of {', '.join(known)}, found nothing"
    chosen = Keyed(dict.fromkeys(known, anything({})), empty=nothing)
    for given in model.get("entries", ()) if known else ():
        wanted = chosen.nodes(given["match"], problems) if "match" in given else None
        if not wanted:
            continue
        meant = [
            at
            for at, choice in enumerate(choices)
            if all(_same(choice[key][0].plain, node.plain) for key, node in wanted.items())
        ]
        for at in meant:
            limits[at] = replaced(limits[at], resolved(given.get("limits", {}), usual, own))
        if choices and not meant:
            problems.at(given.node, "no entry of the matrix has these values")
    return limits


def _name(model: str, choice: _Choice) -> str:
    label = ",".join(f"{key}={_worded(node.plain)}" for key, (node, _) in choice.items())
    return f"{model}[{label}]" if label else model


def _is_factory(target: str) -> bool:
    """Whether a target is Python code that makes a model, as its text says."""
    place, _, _ = target.rpartition(":")
    return target.endswith(".py") or (bool(place) and not place.endswith((".yaml", ".yml")))


def _same(value: Any, other: Any) -> bool:
    """Whether two values of a setting are the same; true is not 1, but 1.0 is."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _worded(value: Any) -> str:
    """Return a value as the name of an entry has it."""
    if isinstance(value, dict):
        return "+".join(f"{name}={_worded(one)}" for name, one in value.items())
    if isinstance(value, list):
        is_shape = all(isinstance(one, int | float) for one in value)
        return ("x" if is_shape else "+").join(map(_worded, value))
    return str(value)
