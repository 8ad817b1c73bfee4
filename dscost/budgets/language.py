"""From the text of a budget file to its parts, every mistake found with its place."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dscost.budgets.metrics import OF_LAYERS
from dscost.budgets.selectors import Selector, parse_selector
from dscost.errors import FileProblems, InputError, Problem, UnknownNameError, hint
from dscost.files import split_report_name
from dscost.notation.inputs import (
    INPUT_DTYPES,
    NAME_PATTERN,
    Inputs,
    TensorSpec,
    inputs_of,
    parse_input,
)
from dscost.notation.literals import read_node, with_parts
from dscost.notation.marked_yaml import Node, read_yaml
from dscost.notation.quantities import MAX_QUANTITY, QUANTITIES, kind_of, parse_quantity
from dscost.notation.units import DTYPE_BYTES
from dscost.reports.figures import FIGURES
from dscost.reports.records import Layer

VERSION = 1

LEVELS = ("error", "warn", "ignore")

POLICIES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "on_missing_baseline": (LEVELS, "warn"),
    "on_stale_baseline": (LEVELS, "warn"),
    "on_unmatched_rule": (LEVELS, "error"),
    "on_unknown_cost": (LEVELS, "error"),
    "on_unseen_work": (LEVELS, "error"),
    "on_value_dependent": (LEVELS, "warn"),
    "on_unused_weights": (LEVELS, "warn"),
    "on_unloadable_model": (("fail", *LEVELS), "fail"),
    "on_improvement": (("note", "ignore"), "note"),
}
"""What may be said of each case, and what holds where nothing is said."""

BOUNDS = ("max", "min", "max_increase", "max_decrease")
CHANGES = ("max_increase", "max_decrease")
BESIDE = ("ignore_below", "tolerance", "level", "message")
LIMIT_KEYS = (*BOUNDS, *BESIDE)
TOP_KEYS = ("version", "baseline", "defaults", "policy", "models", "description")
RUN_KEYS = ("input", "batch", "dtype")
MODEL_KEYS = (
    *("name", "target", *RUN_KEYS, "set", "kwargs", "trust", "matrix"),
    *("limits", "entries", "layers", "exclude", "policy"),
)
DEFAULT_KEYS = (*RUN_KEYS, "limits")
ENTRY_KEYS = ("match", "limits")
RULE_KEYS = ("match", "each", "total", "allow_empty")
EXCLUSION_KEYS = ("match", "reason")
"""What the mappings of a budget may have, here and above; `dscost.schemas` tells editors."""

NOT_OF_SAVED = (*RUN_KEYS, "trust", "set", "kwargs", "matrix")
"""The keys of a model that cannot change a saved report."""

WHOLE = ("count", "bytes")
"""Kinds of which there are no fractions: one without a unit, such as 0.05, is a mistake; 1.5 KiB is
not."""

OF_MODELS = tuple(name for name in POLICIES if name != "on_stale_baseline")
"""The policies that a model may have of its own."""

MOST_ENTRIES = 1000
"""Of a whole budget."""
MEASURED_TOLERANCE = Fraction(1, 10)
"""Of a measured limit, where none is given."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound on one figure.

    Args:
        metric: A key of `reports.figures.FIGURES`.
        bound: One of `BOUNDS`.
        value: In the metric's unit; of an increase or decrease a share if `relative`.
        relative: Whether `value` is a share of the baseline.
        ignore_below: Changes smaller than that are no growth.
        tolerance: Share by which a measured figure may be over.
        level: `error`, `warn` or `ignore`.
        message: What else to say where it is violated.
        line: Where it stands, counted from 1.
        column: Likewise.
    """

    metric: str
    bound: str
    value: Fraction
    relative: bool = False
    ignore_below: Fraction = Fraction(0)
    tolerance: Fraction = Fraction(0)
    level: str = "error"
    message: str | None = None
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class LayerRule:
    """Limits on the layers that a selector matches.

    Args:
        selector: Which layers.
        each: Limits on every one of them; of several rules the last that matches a layer holds,
            metric by metric.
        total: Limits on their sum.
        line: Where the rule stands.
        column: Likewise.
        allow_empty: Whether it is meant that no layer may match.
    """

    selector: Selector
    each: tuple[Limit, ...]
    total: tuple[Limit, ...]
    line: int
    column: int
    allow_empty: bool = False

    @property
    def is_ban(self) -> bool:
        """Whether all that it says is that there is nothing of it."""
        return (
            bool(self.total)
            and not self.each
            and all(one.bound == "max" and not one.value for one in self.total)
        )


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Layers that do not count, and why."""

    selector: Selector
    reason: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One model under one choice of settings.

    Args:
        name: Of the model, and its choice where there are several: `mobilenet_v1[width=0.5]`.
        target: As on the command line.
        input: Shape, several shapes, or NAME=SHAPE:DTYPE as on the command line; by default the
            model's own.
        batch: Replaces the batch of the input.
        dtype: Of weights and activations.
        settings: Of an architecture; or keyword arguments of a factory.
        kwargs: Keyword arguments of a factory.
        limits: On the whole. Those of the defaults that the model does not write stand; to a bound
            that it writes apply the keys that it writes beside it (ignore_below, tolerance, level,
            message), else those of the defaults. Likewise for entries of a matrix.
        layers: Rules on layers.
        exclude: What does not count.
        line: Where the model stands.
        column: Likewise.
        input_is_default: Whether the input is that of the defaults: a setting that sizes the input
            goes before it.
        policy: What is done about what cannot be judged, where this model has it otherwise than the
            budget.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
    """

    name: str
    target: str
    input: Inputs | None = None
    batch: int | None = None
    dtype: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    layers: tuple[LayerRule, ...] = ()
    exclude: tuple[Exclusion, ...] = ()
    line: int = 1
    column: int = 1
    input_is_default: bool = False
    policy: Mapping[str, str] = field(default_factory=dict)
    trust: bool = False

    @property
    def needs_time(self) -> bool:
        """Whether a limit asks for a measured figure."""
        return any(
            FIGURES[limit.metric].is_measured and limit.level != "ignore" for limit in self.limits
        )

    def excludes(self, layer: Layer) -> bool:
        """Whether a layer does not count: one that computes other things too counts."""
        return any(one.selector.means_all_of(layer) for one in self.exclude)


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget file.

    Args:
        path: Where it was read.
        entries: Every model and choice, in the order of the file.
        policy: What is done about what cannot be judged.
        baseline: Where the figures to compare with are kept.
    """

    path: Path
    entries: tuple[Entry, ...]
    policy: Mapping[str, str]
    baseline: Path | None = None

    def policy_of(self, entry: Entry) -> Mapping[str, str]:
        """Return what is done about what cannot be judged of an entry."""
        return {**self.policy, **entry.policy}


def has_growth(metric: str, *, of_layers: bool) -> bool:
    """Whether a baseline keeps a figure, so that its growth can be limited."""
    return not FIGURES[metric].is_measured and (metric in OF_LAYERS or not of_layers)


def read_budget(path: Path) -> Budget:
    """Return what a budget file says.

    Raises:
        InputError: It cannot be read.
        FileProblems: It is wrong; every mistake has its place.
    """
    problems: list[Problem] = []
    root = read_yaml(path, problems)
    reader = _Reader(problems)
    budget = reader.budget(root, path)
    if problems or budget is None:
        raise FileProblems(str(path), problems)
    return budget


class _Reader:
    """Reads nodes, and keeps every problem instead of stopping at the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    # -- the parts of a file

    def budget(self, root: Node, path: Path) -> Budget | None:
        top = self._mapping(root, TOP_KEYS, required=("version", "models"))
        if top is None:
            return None
        version = top.get("version")
        if version is not None and (type(version.value) is not int or version.value != VERSION):
            self._at(version, f"expected version {VERSION}, found {version.plain!r:.60}")
        policy = {name: default for name, (_, default) in POLICIES.items()} | self._policy(
            top.get("policy")
        )
        defaults = self._mapping(top.get("defaults"), DEFAULT_KEYS) or {}
        self._run(defaults)  # and once more with each model that uses them: a mistake is told once
        self._limits(defaults.get("limits"))
        self._text(top.get("description"))
        baseline = self._text(top.get("baseline"))
        entries: list[Entry] = []
        for node in self._list(top.get("models"), "models"):
            with self._kept(node):
                entries += self._model(node, defaults, MOST_ENTRIES - len(entries))
            if len(entries) > MOST_ENTRIES:
                self._at(
                    node,
                    f"more than {MOST_ENTRIES:,} models and choices up to here: split the budget",
                )
                break
        seen: dict[str, Entry] = {}
        for entry in entries:
            first = seen.setdefault(entry.name, entry)
            if first is not entry and entry.name:
                self._problems.append(
                    Problem(
                        entry.line,
                        entry.column,
                        f"duplicate model '{entry.name}', first on line {first.line}",
                    )
                )
        return Budget(path, tuple(entries), policy, path.parent / baseline if baseline else None)

    def _policy(self, node: Node | None, known: Sequence[str] = tuple(POLICIES)) -> dict[str, str]:
        found = {}
        for name, value in (self._mapping(node, known) or {}).items():
            words, _ = POLICIES[name]
            word = self._word(value, "policy", words)
            if word:
                found[name] = word
        return found

    def _model(self, node: Node, defaults: Mapping[str, Node], room: int) -> Iterator[Entry]:
        given = self._mapping(node, MODEL_KEYS, required=("target",))
        if given is None:
            return
        target = self._text(given.get("target")) or ""
        is_saved = split_report_name(target) is not None
        for key in NOT_OF_SAVED if is_saved else ():
            if key in given:
                self._at_key(
                    given[key],
                    f"{target} is a saved report, counted already: '{key}' cannot change it",
                )
        own = given if is_saved else {**defaults, **given}
        name = self._text(given.get("name")) or target
        common: dict[str, Any] = {
            "target": target,
            **({} if is_saved else self._run(own)),
            "input_is_default": "input" not in given,
            "kwargs": self._arguments(given.get("kwargs")),
            "layers": tuple(self._layer_rules(given.get("layers"))),
            "exclude": tuple(self._exclusions(given.get("exclude"))),
            "policy": self._policy(given.get("policy"), OF_MODELS),
            "trust": self._truth(given.get("trust")),
            "line": node.line,
            "column": node.column,
        }
        beside = _beside(defaults.get("limits"))
        base = _merged(
            self._limits(defaults.get("limits")), self._limits(given.get("limits"), beside=beside)
        )
        # a factory's settings are arguments of Python code
        valued = self._argument if _is_factory(target) else attrgetter("plain")
        settings = self._values(given.get("set"), valued)
        beside = _beside(defaults.get("limits"), given.get("limits"))
        overrides = list(self._entry_limits(given.get("entries"), given.get("matrix"), beside))
        matrix = given.get("matrix")
        choices = list(self._choices(matrix, room))
        used = [False] * len(overrides)
        for choice in choices:
            limits = base
            for at, (wanted, own_limits, _) in enumerate(overrides):
                if all(_same(choice[key].plain, value) for key, value in wanted.items()):
                    limits, used[at] = _merged(limits, own_limits), True
            fields = {**common, **self._run(choice)}
            if "input" in choice:
                fields["input_is_default"] = False
            changed = {key: valued(value) for key, value in choice.items() if key not in RUN_KEYS}
            label = ",".join(f"{key}={_worded(value.plain)}" for key, value in choice.items())
            yield Entry(
                name=f"{name}[{label}]" if label else name,
                settings={**settings, **changed},
                limits=limits,
                **fields,
            )
        for was_used, (_, _, place) in zip(used, overrides, strict=True):
            if not was_used and choices:
                self._at(place, "no entry of the matrix has these values")

    def _choices(self, node: Node | None, room: int) -> Iterator[dict[str, Node]]:
        if node is None:
            yield {}
            return
        if not isinstance(node.value, dict):
            self._at(
                node,
                f"expected lists of values by setting, such as {{width: [0.5, 1.0]}}, found {node.kind}",
            )
            return
        if not node.value:
            self._at(node, "the matrix is empty")
            return
        lists = []
        for key, values in node.value.items():
            if not isinstance(values.value, list) or not values.value:
                self._at(values, f"expected a list of values for '{key}', such as [0.5, 1.0]")
                return
            lists.append(values.value)
        count = 1
        for values in lists:
            count *= len(values)
        if count > room:
            before = (
                ""
                if room == MOST_ENTRIES
                else f" in a budget, and {MOST_ENTRIES - room:,} stand above"
            )
            self._at(node, f"{count:,} entries are too many; at most {MOST_ENTRIES:,}{before}")
            return
        for values in product(*lists):
            yield dict(zip(node.value, values, strict=True))

    def _entry_limits(
        self, node: Node | None, matrix: Node | None, beside: "_Beside"
    ) -> Iterator[tuple[Mapping[str, Any], tuple[Limit, ...], Node]]:
        known = tuple(matrix.value) if matrix is not None and isinstance(matrix.value, dict) else ()
        if node is not None and not known:
            self._at_key(node, "entries need a matrix to choose from")
            return
        for one in self._list(node, "entries") if node is not None else ():
            given = self._mapping(one, ENTRY_KEYS, required=ENTRY_KEYS)
            match = (given or {}).get("match")
            wanted = self._mapping(match, known)
            if match is not None and match.value == {}:
                self._at(match, f"expected values of {', '.join(known)}, found nothing")
            if given and wanted:
                limits = self._limits(given.get("limits"), beside=beside)
                yield {key: value.plain for key, value in wanted.items()}, limits, one

    # -- rules

    def _layer_rules(self, node: Node | None) -> Iterator[LayerRule]:
        for one in self._list(node, "layers") if node is not None else ():
            given = self._mapping(one, RULE_KEYS, required=("match",))
            if given is None:
                continue
            if not {"each", "total"} & set(given):
                self._at(one, "a rule on layers has 'each' or 'total', or both")
            selector = self._selector(given.get("match"))
            each, total = (
                self._limits(given.get(key), of_layers=True) for key in ("each", "total")
            )
            allow_empty = self._truth(given.get("allow_empty"))
            if selector:
                yield LayerRule(selector, each, total, one.line, one.column, allow_empty)

    def _exclusions(self, node: Node | None) -> Iterator[Exclusion]:
        for one in self._list(node, "exclude") if node is not None else ():
            given = self._mapping(one, EXCLUSION_KEYS, required=EXCLUSION_KEYS)
            if given is None:
                continue
            selector, reason = self._selector(given.get("match")), self._text(given.get("reason"))
            if selector and reason:
                yield Exclusion(selector, reason, one.line, one.column)

    def _selector(self, node: Node | None) -> Selector | None:
        if node is None:
            return None
        with self._kept(node):
            return parse_selector(node.value)
        return None

    def _limits(
        self,
        node: Node | None,
        *,
        of_layers: bool = False,
        beside: "_Beside" = MappingProxyType({}),
    ) -> tuple[Limit, ...]:
        known = tuple(
            name for name, metric in FIGURES.items() if metric.is_of_layers or not of_layers
        )
        if of_layers and node is not None and node.value == {}:
            self._at(node, "expected a limit by metric, such as {macs: 40M}, found nothing")
        found: list[Limit] = []
        for metric, value in (self._mapping(node, known, what="metric") or {}).items():
            found += self._limit(metric, value, beside.get(metric, {}), of_layers=of_layers)
        return tuple(found)

    def _limit(
        self, metric: str, node: Node, beside: Mapping[str, Node], *, of_layers: bool
    ) -> Iterator[Limit]:
        given = (
            (self._mapping(node, LIMIT_KEYS) or {})
            if isinstance(node.value, dict)
            else {"max": node}
        )
        bounds = [name for name in BOUNDS if name in given]
        changes = set(CHANGES) & set(bounds)
        measured = FIGURES[metric].is_measured
        if not bounds:
            self._at(node, f"a limit has one of {', '.join(BOUNDS)}")
        if "tolerance" in given and not measured:
            self._at_key(
                given["tolerance"], f"{metric} has no noise: a tolerance is for measured figures"
            )
        if changes and not has_growth(metric, of_layers=of_layers):
            kept = "no times" if measured else f"only {', '.join(OF_LAYERS)} of layers"
            self._at(node, f"a baseline keeps {kept}, so {metric} has max or min")
        if "ignore_below" in given and not changes:
            self._at_key(given["ignore_below"], "ignore_below is for max_increase and max_decrease")
        said = self._beside_bounds(
            metric, {**beside, **{key: given[key] for key in BESIDE if key in given}}
        )
        for bound in bounds:
            limit = self._bound(metric, bound, given[bound])
            if limit is not None:
                yield replace(
                    limit, **(said if bound in CHANGES else {**said, "ignore_below": Fraction(0)})
                )
        if "max" in given and "min" in given:
            high, low = (
                self._quantity(given[name], FIGURES[metric].kind, quietly=True)
                for name in ("max", "min")
            )
            if high is not None and low is not None and low > high:
                self._at(given["min"], "min is above max: nothing passes")

    def _beside_bounds(self, metric: str, given: Mapping[str, Node]) -> dict[str, Any]:
        """Return what is said of every bound of a limit, and what holds where nothing is said."""
        kind, measured = FIGURES[metric].kind, FIGURES[metric].is_measured
        ignored, tolerance = (
            self._quantity(given[key], of) if key in given else None
            for key, of in (("ignore_below", kind), ("tolerance", "share"))
        )
        usual = MEASURED_TOLERANCE if measured else Fraction(0)
        return {
            "ignore_below": ignored or Fraction(0),
            "tolerance": usual if tolerance is None else tolerance,
            "level": self._word(given.get("level"), "level", LEVELS)
            or ("warn" if measured else "error"),
            "message": self._text(given.get("message")),
        }

    def _bound(self, metric: str, bound: str, node: Node) -> Limit | None:
        kind = FIGURES[metric].kind
        relative = (
            bound in CHANGES and isinstance(node.value, str) and node.value.strip().endswith("%")
        )
        instead = _instead(metric, bound, node.value) if isinstance(node.value, str) else None
        if instead and not relative:
            example = QUANTITIES[kind][1]
            self._at(
                node,
                f"expected a quantity such as {example}, found '{node.value:.{MAX_QUANTITY}}': {instead}",
            )
            return None
        value = self._quantity(node, "share" if relative else kind)
        if (
            value is not None
            and value.denominator > 1
            and kind in WHOLE
            and kind_of(str(node.value)) is None
        ):
            share = (
                f"; did you mean '{100 * float(value):g}%'?"
                if bound in CHANGES and value < 1
                else ""
            )
            self._at(node, f"{metric} are whole numbers, found {node.plain!r}{share}")
            return None
        if value is None:
            return None
        return Limit(metric, bound, value, relative, line=node.key_line, column=node.key_column)

    # -- values

    def _run(self, given: Mapping[str, Node]) -> dict[str, Any]:
        """Return those of input, batch and dtype that are given."""
        readers: Mapping[str, Callable[[Node], Any]] = {
            "input": self._input,
            "batch": self._positive,
            "dtype": lambda node: self._word(node, "dtype", tuple(DTYPE_BYTES)),
        }
        return {key: read(given[key]) for key, read in readers.items() if key in given}

    def _quantity(self, node: Node, kind: str, *, quietly: bool = False) -> Fraction | None:
        try:
            return parse_quantity(node.plain, kind)
        except InputError as error:
            if not quietly:
                self._at(node, str(error))
            return None

    def _arguments(self, node: Node | None) -> dict[str, Any]:
        """Return the keyword arguments of a factory, parts of them by dotted names."""
        given = self._values(node, self._argument)
        if node is not None and given:
            with self._kept(node):
                return with_parts(given.items())
        return {}

    def _argument(self, node: Node) -> Any:
        """Return a value that Python code takes: bare words mean what they mean to `--kwargs`."""
        with self._kept(node):
            return read_node(node)
        return None

    def _values(
        self, node: Node | None, valued: Callable[[Node], Any] = attrgetter("plain")
    ) -> dict[str, Any]:
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self._at(node, f"expected names with values, such as {{width: 0.5}}, found {node.kind}")
            return {}
        return {key: valued(value) for key, value in node.value.items()}

    def _input(self, node: Node) -> Inputs | None:
        if not node.value:
            given: list[TensorSpec | None] = [self._tensor(node)]
        elif isinstance(node.value, dict):
            given = [self._tensor(one, name) for name, one in node.value.items()]
        elif isinstance(node.value, list) and all(
            isinstance(one.value, str | list) for one in node.value
        ):
            given = [self._tensor(one) for one in node.value]
        else:
            given = [self._tensor(node)]
        specs = [one for one in given if one is not None]
        with self._kept(node):
            return inputs_of(specs) if len(specs) == len(given) else None
        return None

    def _tensor(self, node: Node, name: str | None = None) -> TensorSpec | None:
        """Return one tensor, of a shape or its text; one that has its name already gets none by its text."""
        found = None
        if isinstance(node.value, str):
            try:
                found = parse_input(node.value)
            except InputError as error:
                if not str(error).startswith("expected"):
                    self._at(node, str(error))
                    return None
        elif (
            isinstance(node.value, list)
            and node.value
            and all(type(size.value) is int for size in node.value)
        ):
            found = TensorSpec(tuple(size.value for size in node.value))
        if found is None or min(found.shape, default=1) < 1 or (name is not None and found.name):
            self._at(
                node,
                f"expected a shape such as [1, 3, 224, 224] or ids=1,128:int64, found {node.plain!r:.60}",
            )
            return None
        if found.dtype is not None and found.dtype not in INPUT_DTYPES:
            with self._kept(node):
                raise UnknownNameError("dtype", found.dtype, INPUT_DTYPES)
            return None
        if name is not None and not re.fullmatch(NAME_PATTERN, name):
            self._at_key(node, f"expected the name of an argument, found '{name}'")
            return None
        return found if name is None else found._replace(name=name)

    def _positive(self, node: Node | None) -> int | None:
        if node is None:
            return None
        if type(node.value) is not int or node.value < 1:
            self._at(node, f"expected a whole number above 0, found {node.plain!r:.60}")
            return None
        return node.value

    def _text(self, node: Node | None) -> str | None:
        if node is None:
            return None
        if not isinstance(node.value, str) or not node.value.strip():
            self._at(
                node,
                f"expected text, found {'nothing' if isinstance(node.value, str) else node.kind}",
            )
            return None
        return node.value

    def _truth(self, node: Node | None) -> bool:
        if node is None:
            return False
        if not isinstance(node.value, bool):
            self._at(node, f"expected true or false, found {node.plain!r:.60}")
        return node.value is True

    def _word(self, node: Node | None, kind: str, known: Sequence[str]) -> str | None:
        if node is None:
            return None
        if node.value not in known:
            with self._kept(node):
                raise UnknownNameError(kind, f"{node.plain!s:.60}", known)
            return None
        return str(node.value)

    def _list(self, node: Node | None, what: str) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node.value, list) or not node.value:
            self._at(
                node,
                f"expected a list of {what}, found {'nothing' if node.value == [] else node.kind}",
            )
            return []
        return node.value

    def _mapping(
        self,
        node: Node | None,
        known: Sequence[str],
        *,
        required: Sequence[str] = (),
        what: str = "key",
    ) -> dict[str, Node] | None:
        if node is None:
            return None
        if not isinstance(node.value, dict):
            self._at(node, f"expected {', '.join(known[:4])} and so on by name, found {node.kind}")
            return None
        for key, child in node.value.items():
            if key not in known:
                nearest = hint(str(key), known, self._problems) or f" (known: {', '.join(known)})"
                self._at_key(child, f"unknown {what} '{key}'{nearest}")
        for key in required:
            if key not in node.value:
                self._at(node, f"missing key '{key}'")
        return {key: child for key, child in node.value.items() if key in known}

    # -- problems

    @contextmanager
    def _kept(self, node: Node) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self._at(node, str(error))

    def _at(self, node: Node, message: str) -> None:
        self._problems.append(node.at_value(message))

    def _at_key(self, node: Node, message: str) -> None:
        self._problems.append(node.at_key(message))


def _is_factory(target: str) -> bool:
    """Whether a target is Python code that makes a model, as its text says."""
    place, _, _ = target.rpartition(":")
    return bool(place) and not place.endswith((".yaml", ".yml"))


def _merged(defaults: Sequence[Limit], own: Sequence[Limit]) -> tuple[Limit, ...]:
    """Return the limits, those of a metric and bound that has one of its own replaced."""
    replaced = {(limit.metric, limit.bound) for limit in own}
    return (*(limit for limit in defaults if (limit.metric, limit.bound) not in replaced), *own)


_Beside = Mapping[str, Mapping[str, Node]]
"""By metric, the keys that stand beside the bounds of its limit."""


def _beside(*limits: Node | None) -> _Beside:
    """Return what stands beside bounds in several mappings of limits, the later before the earlier."""
    found: dict[str, dict[str, Node]] = {}
    for node in limits:
        for metric, limit in (
            node.value.items() if node is not None and isinstance(node.value, dict) else ()
        ):
            if isinstance(limit.value, dict):
                found.setdefault(metric, {}).update(
                    {key: limit.value[key] for key in BESIDE if key in limit.value}
                )
    return found


def _instead(metric: str, bound: str, text: str) -> str | None:
    """Return what to write instead of a quantity of another kind."""
    wanted, found = FIGURES[metric].kind, kind_of(text)
    number = text.strip().removeprefix("+").rstrip("iB").rstrip()
    if (
        found == "share"
        and wanted != "share"
        and bound in _CHANGE_OF
        and not FIGURES[metric].is_measured
    ):
        return f"a percentage is of the baseline, write {_CHANGE_OF[bound]}: {number}"
    if wanted == "count" and re.fullmatch(r"[^a-zA-Z\s]+B", text.strip()):
        instead = f"{metric} is a count, write {number}G for billions"
        return f"{instead}; for bytes use weight_bytes" if metric == "params" else instead
    if found == "bytes" and wanted == "count":
        unit = "" if number[-1] not in "kKMGT" else number[-1]
        instead = f"{metric} is a count, write {number[: -len(unit) or None].rstrip()}{unit}"
        return f"{instead}; for bytes use weight_bytes" if metric == "params" else instead
    return None


_CHANGE_OF: Mapping[str, str] = {"max": "max_increase", "min": "max_decrease"}


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
