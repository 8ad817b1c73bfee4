"""What a budget says, as records: entries with limits, rules and exclusions; and its words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from dscost.budgets.selectors import Selector
from dscost.errors import Place
from dscost.notation.inputs import Inputs
from dscost.reports.figures import figure_of
from dscost.reports.records import Layer
from dscost.runtimes import TORCH

LEVELS = ("error", "warn", "ignore")

POLICIES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "on_missing_baseline": (
        LEVELS,
        "warn",
        "A model has limits on growth, and the baseline does not have it, or of something else.",
    ),
    "on_stale_baseline": (
        LEVELS,
        "warn",
        "The baseline has a model that the budget does not have any more.",
    ),
    "on_unmatched_rule": (LEVELS, "error", "A rule or an exclusion matches no layer."),
    "on_unknown_cost": (
        LEVELS,
        "error",
        "A model has operators of unknown cost, so its figures are partial.",
    ),
    "on_unseen_work": (
        LEVELS,
        "error",
        "Part of a model ran, or may have run, where no operator is seen, "
        "so its cost is not counted.",
    ),
    "on_value_dependent": (
        LEVELS,
        "warn",
        "A model looks at values, so that other inputs may cost more.",
    ),
    "on_unused_weights": (
        LEVELS,
        "warn",
        "Modules of a model never ran, so that their cost is not counted.",
    ),
    "on_unloadable_model": (("fail", *LEVELS), "fail", "A model cannot be loaded or counted."),
    "on_improvement": (("note", "ignore"), "note", "A model costs less than in the baseline."),
}
"""By case: what may be said of it, what holds where nothing is said, and what the case is."""

BOUNDS: Mapping[str, str] = {
    "max": "At most so much passes.",
    "min": "At least so much passes.",
    "max_increase": "How much more than in the baseline passes; of a ratio, than 1.",
    "max_decrease": "How much less than in the baseline passes.",
}
"""What each bound of a limit says."""
CHANGES = ("max_increase", "max_decrease")
"""Those that follow the baseline."""

WHOLE = ("count", "bytes")
"""Kinds of which there are no fractions: 0.05 without a unit is a mistake; 1.5 KiB is not."""


NOWHERE: Place = (1, 1)
"""Where no figure stands: a file begins with a key."""


class Pairing(NamedTuple):
    """What a ratio of latencies is taken against, and how both are timed.

    Args:
        against: A target, or a commit that has the model's own file; without it a `speedup` is
            that of depthwise-separable over standard convolutions, and a `latency_ratio` is
            against the model as the baseline knows it.
        runtime: What runs both, of `dscost list runtimes`; `torch` unless another is given.
        clock: `wall`, or `cpu` for the processor time of this process, which is of one thread.
        threads: How many it computes with; by default one less than the physical cores.
        time_budget: Seconds that measuring may take; 10 s unless given.
    """

    against: str | None = None
    runtime: str = TORCH
    clock: str = "wall"
    threads: int | None = None
    time_budget: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound on one figure.

    Args:
        metric: What `reports.figures.figure_of` knows.
        bound: One of `BOUNDS`.
        value: In the metric's unit; of an increase or decrease a share if `relative`.
        relative: Whether `value` is a share of the baseline.
        ignore_below: Changes smaller than that are no growth.
        tolerance: Share by which a measured figure may be over.
        level: `error`, `warn` or `ignore`.
        message: What else to say where it is violated.
        place: Where it stands.
        written_at: Where its figure stands, which several limits may share by an alias.
        pairing: Of a ratio of latencies, what it is taken between.
        convention: Of a figure by a convention, its name or its file, as the budget has it.
    """

    metric: str
    bound: str
    value: Fraction
    relative: bool = False
    ignore_below: Fraction = Fraction(0)
    tolerance: Fraction = Fraction(0)
    level: str = "error"
    message: str | None = None
    place: Place = (1, 1)
    written_at: Place = field(default=NOWHERE, compare=False)
    pairing: Pairing | None = None
    convention: str | None = None

    @property
    def follows_baseline(self) -> bool:
        """Whether it is judged by figures that a baseline keeps, which are no times."""
        return self.bound in CHANGES and self.pairing is None


@dataclass(frozen=True, slots=True)
class LayerRule:
    """Limits on the layers that a selector matches.

    Args:
        selector: Which layers.
        each: Limits on every one of them; of several rules the last that matches a layer holds,
            metric by metric.
        total: Limits on their sum.
        place: Where the rule stands.
        allow_empty: Whether it is meant that no layer may match.
    """

    selector: Selector
    each: tuple[Limit, ...]
    total: tuple[Limit, ...]
    place: Place
    allow_empty: bool = False

    @property
    def limits(self) -> tuple[Limit, ...]:
        """All that it says."""
        return (*self.each, *self.total)

    @property
    def is_ban(self) -> bool:
        """Whether all that it says is that there is nothing of it."""
        says_none = all(one.bound == "max" and not one.value for one in self.total)
        return bool(self.total) and not self.each and says_none


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Layers that do not count, and why."""

    selector: Selector
    reason: str
    place: Place


class Rules(NamedTuple):
    """The rules of a convention that a budget names.

    Args:
        name: What `dscost.conventions.find_convention` takes, a file as seen from the working
            directory.
        digest: What tells them from others; a convention keeps its name when they change.
    """

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One model under one choice of settings.

    Args:
        name: What the model is called, and its choice where there are several:
            `mobilenet_v1[width=0.5]`.
        target: As on the command line.
        input: Shape, several shapes, or NAME=SHAPE:DTYPE as on the command line; by default the
            model's own.
        batch: Replaces the batch of the input.
        dtype: Data type of weights and activations.
        settings: Of an architecture; or keyword arguments of a factory.
        kwargs: Keyword arguments of a factory.
        limits: On the whole. Those of the defaults that the model does not write stand; to a bound
            that it writes apply the keys that it writes beside it (ignore_below, tolerance, level,
            message), else those of the defaults; and so for entries of a matrix.
        layers: Rules on layers.
        exclude: What does not count.
        place: Where the model stands.
        input_is_default: Whether the input is that of the defaults: a setting that sizes the input
            goes before it.
        policy: What is done about what cannot be judged, where this model has it otherwise than
            the budget.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        conventions: The rules of each figure by a convention that limits are on.
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
    place: Place = (1, 1)
    input_is_default: bool = False
    policy: Mapping[str, str] = field(default_factory=dict)
    trust: bool = False
    conventions: Mapping[str, Rules] = field(default_factory=dict)

    @property
    def needs_time(self) -> bool:
        """Whether a limit asks for a measured time."""
        limits = [one for one in self.limits if one.level != "ignore" and one.pairing is None]
        return any(figure_of(one.metric).is_measured for one in limits)

    @property
    def ratios(self) -> tuple[Limit, ...]:
        """The limits on ratios of latencies that are to be judged."""
        return tuple(one for one in self.limits if one.pairing and one.level != "ignore")

    @property
    def every_limit(self) -> Iterator[Limit]:
        """All limits, on the whole and on layers."""
        yield from self.limits
        for rule in self.layers:
            yield from rule.limits

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
