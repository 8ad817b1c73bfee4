"""How long a model takes, also converted, and its convolutions as they are and at every rank.

torch is imported only where it takes part.
"""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

from dscost.analysis.bench import Bench
from dscost.analysis.running import Prepared, work_of
from dscost.analysis.whole_models import WHOLE, WholeModel
from dscost.devices.roofline import Ceilings, predict
from dscost.errors import UnavailableError
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.variants import STANDARD, depthwise_separable
from dscost.networks.network import stage_costs
from dscost.notation.units import dtype_bytes, format_shape
from dscost.reports.records import Environment, Ran, Speedup, Stage
from dscost.runtimes import TORCH
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions
from dscost.timing.ceilings_file import known_ceilings
from dscost.timing.engine import Case
from dscost.timing.samples import Measurement
from dscost.timing.statistics import speedup_of, summarize

BUDGET_S = 30.0
PRECISION = 0.05
"""Of a speedup, at most; a plan does not turn on less."""
CHECKING_SHARES = (0.15, 0.1)
"""Of the time budget, for the converted model at the end, and for another one if that is too slow.
"""
WHOLE_SHARE = 0.6
"""Of the rest, at most; a model that is known well enough before takes less."""
BUILDING_SHARE = 0.5
"""Of what is left then; making weights must not eat all of it."""
AS_IS = 0
"""The rank under which the time of a convolution as it is stands."""
CONVERTED = "the converted model"

Key = tuple[ConvSpec, Shape]
"""A convolution and the shape of its input."""


class Timeable(NamedTuple):
    """A convolution on an input `(B, M, H, W)`, and what it may be replaced by.

    Args:
        name: How warnings call it.
        conv: As it is.
        shape: Of its input.
        ranks: Depth multipliers of its depthwise-separable versions.
        calls: How often the model has it, so that the weightiest are timed first.
    """

    name: str
    conv: ConvSpec
    shape: Shape
    ranks: tuple[int, ...]
    calls: int = 1

    @property
    def key(self) -> Key:
        """What tells it apart from others."""
        return self.conv, self.shape


class Seconds(NamedTuple):
    """A time, measured or predicted."""

    seconds: float
    is_predicted: bool = False


Times = dict[int, Seconds]
"""By rank, that of a convolution as it is under `AS_IS`."""


class ChoiceTimes(NamedTuple):
    """What was found.

    Times are processor times where the clock is `cpu`.

    Args:
        whole_s: Seconds of one call of the original model.
        of: Times of each convolution; one of which nothing can be said is missing.
        environment: Where it was measured.
        warnings: What the reader must know.
    """

    whole_s: float
    of: Mapping[Key, Times]
    environment: Environment
    warnings: tuple[str, ...]


def time_choices(
    model: WholeModel,
    convs: Sequence[Timeable],
    options: TimingOptions,
    progress: Progress | None = None,
) -> ChoiceTimes:
    """Return how long a model takes, and its distinct convolutions as they are and at every rank.

    Every convolution is timed at rank 1 first, then at rank 2, at its highest and at those between,
    as far as the time budget goes. What was not timed lies on the line through the ranks that were,
    or is what the calibrated speeds of this machine say. Of the settings that the options stand
    for, the first counts.

    Raises:
        UnavailableError: The whole model could not be timed; the text says why.
    """
    options = options._replace(precision=max(PRECISION, options.precision))
    bench = _bench(options, model.dtype, progress)
    (setting,) = bench.settings
    with bench.open():
        began, own_s = perf_counter(), (1 - sum(CHECKING_SHARES)) * bench.budget_s
        itself, _ = _by_turns(bench, {WHOLE: model}, own_s * WHOLE_SHARE)
        if itself is None:
            raise UnavailableError(
                f"a goal of latency needs the time of the model as it is. {_why_not(bench)}"
            )
        measured = _measured(bench, convs, own_s - (perf_counter() - began))
        ceilings = _ceilings(bench, setting) if _lacks(convs, measured) else None
    itself = itself.by_cpu or itself
    whole_s = summarize([*itself.first_s, *itself.second_s]).median_s
    s_per_mac = whole_s / model.cost.macs if model.cost.macs else None
    found = {
        one.key: _completed(one, measured.get(one.key, {}), ceilings, setting, s_per_mac)
        for one in convs
    }
    return ChoiceTimes(
        whole_s,
        {key: times for key, times in found.items() if times},
        bench.environment(),
        tuple(bench.warnings),
    )


class BothTimes(NamedTuple):
    """What was found of two models.

    Args:
        before_s: Seconds of one call of the first.
        speedup: Of the second beside it.
        environment: Where it was measured.
        ran: How a runtime other than torch ran the second, and how right that was.
        by_cpu: The same seconds and speedup by processor time, where that was read.
    """

    before_s: float
    speedup: Speedup
    environment: Environment
    ran: Ran | None = None
    by_cpu: tuple[float, Speedup] | None = None


def time_both(
    models: tuple[WholeModel, WholeModel],
    options: TimingOptions,
    progress: Progress | None = None,
    *,
    turn: int = 0,
) -> BothTimes:
    """Return the seconds of the first of two models, and the speedup of the second beside it.

    Both are left as they are. The turn says which share of the time budget this has: of the
    `CHECKING_SHARES`.

    Raises:
        UnavailableError: They could not be timed, or what the second computes is wrong; the text
            says why.
    """
    bench = _bench(options, models[0].dtype, progress)
    with bench.open():
        budget_s = CHECKING_SHARES[turn] * bench.budget_s
        both = dict(zip((WHOLE, CONVERTED), models, strict=True))
        result, ran = _by_turns(bench, both, budget_s)
    if result is None:
        raise UnavailableError(_why_not(bench))
    by_cpu = _beside(result.by_cpu) if result.by_cpu else None
    return BothTimes(*_beside(result), bench.environment(), ran, by_cpu)


def _beside(result: Measurement) -> tuple[float, Speedup]:
    return summarize(result.first_s).median_s, speedup_of(result.log_ratios)


def _bench(options: TimingOptions, dtype: str, progress: Progress | None) -> Bench:
    (setting, *_) = options.settings(dtype=dtype, batch=0, memory_formats=MEMORY_FORMATS[:1])
    settings = [setting._replace(batch=None)]
    return Bench(options, settings, options.budget_s or BUDGET_S, progress)


def _by_turns(
    bench: Bench, models: Mapping[str, WholeModel], budget_s: float
) -> tuple[Measurement | None, Ran | None]:
    """Return the comparison of the first of some models with the last, and how that was run.

    Without a comparison the bench has a warning.
    """
    (setting,) = bench.settings
    calls = []
    for name, model in models.items():
        prepared = bench.prepared(model.work(name, setting, seed=bench.options.program_seed))
        if prepared is None:
            return None, None
        calls.append(prepared)
    *_, name = models
    compared = bench.compare([bench.case(name, setting, calls[0], calls[-1])], budget_s)
    return compared.get(name), calls[-1].ran


def _why_not(bench: Bench) -> str:
    return " ".join(bench.warnings) or f"Not timed: it does not fit in {bench.budget}."


def _measured(bench: Bench, convs: Sequence[Timeable], budget_s: float) -> dict[Key, Times]:
    (setting,), began, seed = bench.settings, perf_counter(), bench.options.program_seed
    standard: dict[Key, Prepared | None] = {}
    cases: list[Case] = []
    timed: dict[str, tuple[Timeable, int]] = {}
    wanted = _in_order(convs, setting)
    for one, rank in wanted:
        if perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        if one.key not in standard:
            work = work_of(_stages(one, AS_IS, setting), setting, seed=seed)
            standard[one.key] = bench.prepared(work)
        first = standard[one.key]
        work = work_of(_stages(one, rank, setting), setting, seed=seed)
        second = first and bench.prepared(work)
        if first and second:
            name = f"{one.name} on {format_shape(one.shape)}, rank {rank}"
            cases.append(bench.case(name, setting, first, second))
            timed[name] = one, rank
    compared = bench.compare(cases, budget_s - (perf_counter() - began))
    by_conv: dict[Key, dict[int, Measurement]] = {}
    for name, result in compared.items():
        one, rank = timed[name]
        by_conv.setdefault(one.key, {})[rank] = result.by_cpu or result
    if len(compared) < len(wanted):
        bench.warn(
            f"{len(wanted) - len(compared)} of {len(wanted)} choices of the distinct layers were "
            f"predicted: they were not timed within {bench.budget}."
        )
    return {key: _paired(results) for key, results in by_conv.items()}


def _paired(results: Mapping[int, Measurement]) -> Times:
    """Return the time of a convolution as it is, and by rank what speedups beside it say.

    The machine may have been slower during one comparison than during another; a speedup does not
    know.
    """
    blocks = [second for result in results.values() for second in result.first_s]
    as_is_s = summarize(blocks).median_s
    times = {AS_IS: Seconds(as_is_s)}
    for rank, result in results.items():
        times[rank] = Seconds(as_is_s / speedup_of(result.log_ratios).median)
    return times


def _in_order(convs: Sequence[Timeable], setting: Setting) -> list[tuple[Timeable, int]]:
    """Return what to time, most important first: rank 1, rank 2, the highest, then those between.

    Depthwise kernels of one filter per channel are often a case of their own, so rank 1 tells
    little of rank 2.
    """

    def macs(one: Timeable) -> int:
        return one.calls * sum(stage.cost.macs for stage in _stages(one, AS_IS, setting))

    turns: dict[int, list[tuple[Timeable, int]]] = {}
    for one in sorted(convs, key=macs, reverse=True):
        ranks = dict.fromkeys([*one.ranks[:2], *one.ranks[-1:], *one.ranks])
        for turn, rank in enumerate(ranks):
            turns.setdefault(turn, []).append((one, rank))
    return [pair for turn in sorted(turns) for pair in turns[turn]]


def _stages(one: Timeable, rank: int, setting: Setting) -> tuple[Stage, ...]:
    convs = ((STANDARD, one.conv),) if rank == AS_IS else depthwise_separable(one.conv, rank)
    return stage_costs(convs, one.shape, dtype_bytes(setting.dtype))


def _ceilings(bench: Bench, setting: Setting) -> Ceilings | None:
    """Return what this machine can do; what takes torch to measure is measured for torch alone."""
    if setting.runtime == TORCH:
        return bench.ceilings(setting)
    return known_ceilings(setting.dtype, threads=bench.threads)


def _lacks(convs: Sequence[Timeable], measured: Mapping[Key, Times]) -> bool:
    """Whether a convolution was timed at fewer than two ranks though it has more."""
    return any(len(measured.get(one.key, {})) < min(3, 1 + len(one.ranks)) for one in convs)


def _completed(
    one: Timeable,
    measured: Times,
    ceilings: Ceilings | None,
    setting: Setting,
    s_per_mac: float | None = None,
) -> Times:
    """Return a time for every rank and as it is; nothing where nothing can be said.

    Without ceilings a MAC takes as long as one of the whole model does, where that is known.
    """
    stages = {rank: _stages(one, rank, setting) for rank in (AS_IS, *one.ranks)}
    predicted = {rank: _predicted_s(each, ceilings, setting) for rank, each in stages.items()}
    if ceilings is None and s_per_mac is not None:
        predicted = {
            rank: s_per_mac * sum(stage.cost.macs for stage in each)
            for rank, each in stages.items()
        }
    ranks = sorted(rank for rank in measured if rank != AS_IS)
    found = dict(measured)
    for rank, seconds in predicted.items():
        if rank in found:
            continue
        if rank != AS_IS and len(ranks) > 1:
            seconds = _on_line(rank, ranks, measured)
        elif ranks and seconds is not None and (near := predicted[ranks[0]]):
            seconds *= measured[ranks[0]].seconds / near
        if seconds is None:
            return {}
        found[rank] = Seconds(seconds, is_predicted=True)
    return found


def _on_line(rank: int, ranks: Sequence[int], measured: Times) -> float:
    """Return the time of a rank on the line through the two timed ones that are nearest."""
    at = min(max(1, sum(known < rank for known in ranks)), len(ranks) - 1)
    left, right = ranks[at - 1], ranks[at]
    slope = (measured[right].seconds - measured[left].seconds) / (right - left)
    return max(0.0, measured[left].seconds + slope * (rank - left))


def _predicted_s(
    stages: Sequence[Stage], ceilings: Ceilings | None, setting: Setting
) -> float | None:
    if ceilings is None:
        return None
    found = predict(stages, ceilings, memory_format=setting.memory_format)
    if setting.runtime != TORCH or found.predicted_s is None:  # calibrated speeds are of torch
        return found.roofline_s
    return found.predicted_s
