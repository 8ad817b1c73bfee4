"""What is asked for of a conversion, checked; of any model. No torch."""

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.converting.choosing import SCORE, Goal
from dscost.converting.decisions import BEST, orders_of
from dscost.converting.plan_file import Plan
from dscost.errors import InputError, UnknownNameError, needing_onnx
from dscost.layers.convolution import not_within, require
from dscost.layers.orders import DEPTHWISE_FIRST, Order
from dscost.layers.variants import MIN_CHANNELS
from dscost.reports.records import Report
from dscost.timing import Progress, TimingOptions

if TYPE_CHECKING:
    from dscost.converting.scoring.asking import Scorer
    from dscost.converting.sites import Where

SCORED_MIN_CHANNELS = 16
"""Where a score tells what a layer costs, only what hardly saves anything is left alone."""

METHODS = ("svd", "random")

Fastest = bool | Report | str | PathLike[str]
"""Whether just what pays is to be converted: measured now, or as a timed report, or the path of a
saved one, tells."""


class OptionText(str):
    """A text that was given on the command line: errors call it as it is called there."""


class Asked(NamedTuple):
    """What is to be converted, and how.

    Args:
        goal: What to reach.
        rank: T of every layer.
        plan: What to do by layer.
        fastest: Whether to convert just what pays, or what tells that.
        where: Which layers.
        min_channels: The fewest channels of those.
        timing: How to measure.
        progress: Told what is done.
        orders: In which stages may run, of every layer the one that suits it.
        calibrate: Inputs to recover the converted model by.
        scorer: What is asked of a score, if one is to decide.
    """

    goal: Goal | None = None
    rank: int | None = None
    plan: Plan | None = None
    fastest: Fastest = False
    where: "Where" = None
    min_channels: int | None = None
    timing: TimingOptions = TimingOptions()
    progress: Progress | None = None
    orders: tuple[Order, ...] = (DEPTHWISE_FIRST,)
    calibrate: Any = None
    scorer: "Scorer | None" = None

    @property
    def fewest(self) -> int:
        """The fewest channels of what is worth a swap."""
        if self.min_channels is not None:
            return self.min_channels
        is_sought = self.scorer is not None and self.rank is None  # at a rank it is only told
        return SCORED_MIN_CHANNELS if is_sought else MIN_CHANNELS

    @property
    def least(self) -> int:
        """The fewest channels of what is converted: what a plan or a report names always is."""
        return 1 if self.plan is not None or self.fastest is not False else self.fewest


def check_one_way(ways: Mapping[str, object], **given: Any) -> None:
    """Refuse two ways to choose at once, and with one of them what that says itself.

    Raises:
        InputError: There are.
    """
    found = [f"--{name}" for name, one in ways.items() if one is not None]
    if len(found) > 1:
        raise InputError(
            f"give one of --goal, --rank, --plan and --fastest, found {' and '.join(found)}"
        )
    if ways["plan"] is not None:
        says = "says which layers are converted"
        options = {"where": says, "min_channels": says, "order": "says the order of each layer"}
        for name, why in options.items():
            if given[name] is not None:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} has no meaning with --plan: the plan {why}")
    if ways["fastest"] is not None and given["order"] not in (None, DEPTHWISE_FIRST):
        raise InputError(
            f"--order {given['order']} has no meaning with --fastest: "
            f"what it measures is {DEPTHWISE_FIRST}"
        )


def check_arguments(
    target: object,
    rank: int,
    method: str,
    where: "Where",
    plan: object,
    fastest: object,
    order: str,
) -> None:
    """Refuse arguments of `dscost.conversion` that cannot be meant.

    Raises:
        InputError: One cannot.
    """
    is_named = isinstance(target, str | PathLike)
    if not is_named and (isinstance(target, type) or not hasattr(target, "named_modules")):
        raise InputError(
            "what is converted is an nn.Module, or the name or path of a model, "
            f"found {target!r:.60}"
        )
    if method not in METHODS:
        raise UnknownNameError("method", str(method), METHODS)
    require(not_within("rank", rank))
    orders_of(order)
    if order == BEST and method == "random":
        raise InputError("order='best' goes by the errors of weights: method='random' has none")
    if fastest is not False:
        both = [name for name, is_given in (("rank", rank != 1), ("plan", plan)) if is_given]
        if both:
            raise InputError(f"fastest decides what is converted, so {both[0]} cannot be given too")
        if order != DEPTHWISE_FIRST:
            raise InputError(
                f"fastest measures what is {DEPTHWISE_FIRST}, so {order=} cannot be given with it"
            )
        if not isinstance(fastest, bool | Report | str | PathLike):
            raise InputError(
                f"fastest is True, a timed report, or the path of one, found {fastest!r:.60}"
            )
    if plan is None:
        return
    others = (
        *(("rank", rank != 1), ("where", where is not None)),
        ("order", order != DEPTHWISE_FIRST),
    )
    given = [name for name, is_given in others if is_given]
    if given:
        raise InputError(
            f"a plan says which layers and ranks, so {' and '.join(given)} cannot be given with it"
        )
    if not isinstance(plan, Plan | Mapping | str | PathLike):
        raise InputError(
            f"a plan is a Plan, ranks by layer, or the path of a plan file, found {plan!r:.60}"
        )


def usual_order(score: object) -> str:
    """Return the order of stages where none is asked for: with a score the best."""
    return DEPTHWISE_FIRST if score is None else BEST


def check_goal(goal: Goal | None, asked: Asked) -> None:
    """Refuse a goal or a way that makes no sense with a score, or without one.

    Raises:
        InputError: It makes none.
    """
    if asked.scorer is None:
        if goal is not None and goal.metric == SCORE:
            raise InputError(f"goal {goal.text} needs a score: give --score eval.py:accuracy")
        return
    if asked.fastest is not False:
        raise InputError("--score has no meaning with --fastest, which measures times alone")
    if goal is None and asked.rank is None and asked.plan is None:
        raise InputError(
            "--score needs to know what for: give --goal macs=0.5x or --goal score=0.98x, "
            "or --rank or --plan to score what they make"
        )


def require_onnx() -> None:
    """Refuse to go on without onnx, and say how it is installed."""
    with needing_onnx():
        import onnx  # noqa: F401
