"""How long a model takes, also converted, and its convolutions as they are and in other forms.

torch is imported only where it takes part.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from time import perf_counter
from typing import NamedTuple

from dscost.analysis.bench import Bench
from dscost.analysis.running import Prepared, work_of
from dscost.analysis.whole_models import WHOLE, WholeModel
from dscost.devices.roofline import Ceilings, predict
from dscost.errors import UnavailableError
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.orders import Form, Order
from dscost.layers.variants import standard
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
AS_IS = None
"""The form under which the time of a convolution as it is stands."""
CONVERTED = "the converted model"

Key = tuple[ConvSpec, Shape]
"""A convolution and the shape of its input."""


class Timeable(NamedTuple):
    """A convolution on an input `(B, M, H, W)`, and what it may be replaced by.

    Args:
        name: How warnings call it.
        conv: As it is.
        shape: Of its input.
        forms: Its depthwise-separable versions, in every order by rank.
        calls: How often the model has it, so that the weightiest are timed first.
    """

    name: str
    conv: ConvSpec
    shape: Shape
    forms: tuple[Form, ...]
    calls: int = 1

    @property
    def key(self) -> Key:
        """What tells it apart from others."""
        return self.conv, self.shape


class Seconds(NamedTuple):
    """A time, measured or predicted."""

    seconds: float
    is_predicted: bool = False


Times = dict[Form | None, Seconds]
"""By form, that of a convolution as it is under `AS_IS`."""


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
    """Return how long a model takes, and its distinct convolutions as they are and in every form.

    Every convolution is timed at rank 1 first, then at rank 2, at its highest and at those between,
    as far as the time budget goes. What was not timed lies on the line through the ranks of the
    same order that were, or is what the calibrated speeds of this machine say. Of the settings that
    the options stand for, the first counts.

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
    timed: dict[str, tuple[Timeable, Form]] = {}
    wanted = _in_order(convs, setting)
    for one, form in wanted:
        if perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        if one.key not in standard:
            work = work_of(_stages(one, AS_IS, setting), setting, seed=seed)
            standard[one.key] = bench.prepared(work)
        first = standard[one.key]
        work = work_of(_stages(one, form, setting), setting, seed=seed)
        second = first and bench.prepared(work)
        if first and second:
            name = f"{one.name} on {format_shape(one.shape)}, rank {form.text}"
            cases.append(bench.case(name, setting, first, second))
            timed[name] = one, form
    compared = bench.compare(cases, budget_s - (perf_counter() - began))
    by_conv: dict[Key, dict[Form, Measurement]] = {}
    for name, result in compared.items():
        one, form = timed[name]
        by_conv.setdefault(one.key, {})[form] = result.by_cpu or result
    if len(compared) < len(wanted):
        bench.warn(
            f"{len(wanted) - len(compared)} of {len(wanted)} choices of the distinct layers were "
            f"predicted: they were not timed within {bench.budget}."
        )
    return {key: _paired(results) for key, results in by_conv.items()}


def _paired(results: Mapping[Form, Measurement]) -> Times:
    """Return the time of a convolution as it is, and by form what speedups beside it say.

    The machine may have been slower during one comparison than during another; a speedup does not
    know.
    """
    blocks = [second for result in results.values() for second in result.first_s]
    as_is_s = summarize(blocks).median_s
    times: Times = {AS_IS: Seconds(as_is_s)}
    for form, result in results.items():
        times[form] = Seconds(as_is_s / speedup_of(result.log_ratios).median)
    return times


def _in_order(convs: Sequence[Timeable], setting: Setting) -> list[tuple[Timeable, Form]]:
    """Return what to time, most important first: rank 1, rank 2, the highest, then those between.

    One order of the stages tells little of the other, so each of these is timed in both.

    Depthwise kernels of one filter per channel are often a case of their own, so rank 1 tells
    little of rank 2.
    """

    def macs(one: Timeable) -> int:
        return one.calls * sum(stage.cost.macs for stage in _stages(one, AS_IS, setting))

    turns: dict[int, list[tuple[Timeable, Form]]] = {}
    for one in sorted(convs, key=macs, reverse=True):
        for forms in _by_order(one.forms).values():
            for turn, form in enumerate(dict.fromkeys([*forms[:2], *forms[-1:], *forms])):
                turns.setdefault(turn, []).append((one, form))
    return [pair for turn in sorted(turns) for pair in turns[turn]]


def _by_order(forms: Iterable[Form | None]) -> dict[Order, list[Form]]:
    """Return forms by their order, each by rank."""
    found: dict[Order, list[Form]] = {}
    for form in sorted(form for form in forms if form is not None):
        found.setdefault(form.order, []).append(form)
    return found


def _stages(one: Timeable, form: Form | None, setting: Setting) -> tuple[Stage, ...]:
    convs = form.stages(one.conv) if form else standard(one.conv)
    return stage_costs(convs, one.shape, dtype_bytes(setting.dtype))


def _ceilings(bench: Bench, setting: Setting) -> Ceilings | None:
    """Return what this machine can do; what takes torch to measure is measured for torch alone."""
    if setting.runtime == TORCH:
        return bench.ceilings(setting)
    return known_ceilings(setting.dtype, threads=bench.threads)


def _lacks(convs: Sequence[Timeable], measured: Mapping[Key, Times]) -> bool:
    """Whether a convolution was timed at fewer than two ranks of an order that has more."""
    for one in convs:
        known = _by_order(measured.get(one.key, {}))
        for order, forms in _by_order(one.forms).items():
            if len(known.get(order, ())) < min(2, len(forms)):
                return True
    return False


def _completed(
    one: Timeable,
    measured: Times,
    ceilings: Ceilings | None,
    setting: Setting,
    s_per_mac: float | None = None,
) -> Times:
    """Return a time for every form and as it is; nothing where nothing can be said.

    Without ceilings a MAC takes as long as one of the whole model does, where that is known.
    """
    stages = {form: _stages(one, form, setting) for form in (AS_IS, *one.forms)}
    predicted = {form: _predicted_s(each, ceilings, setting) for form, each in stages.items()}
    if ceilings is None and s_per_mac is not None:
        predicted = {
            form: s_per_mac * sum(stage.cost.macs for stage in each)
            for form, each in stages.items()
        }
    timed = _by_order(measured)
    found = dict(measured)
    for form, seconds in predicted.items():
        if form in found:
            continue
        forms = timed.get(form.order, []) if form else []
        # where nothing of its own order is timed, the other one tells how right predictions are
        near = next(iter([*forms, *chain(*timed.values())]), None)
        if form and len(forms) > 1:
            seconds = _on_line(form, forms, measured)
        elif near and seconds is not None and (expected := predicted[near]):
            seconds *= measured[near].seconds / expected
        if seconds is None:
            return {}
        found[form] = Seconds(seconds, is_predicted=True)
    return found


def _on_line(form: Form, forms: Sequence[Form], measured: Times) -> float:
    """Return the time of a form on the line through the two timed ranks that are nearest."""
    at = min(max(1, sum(known.rank < form.rank for known in forms)), len(forms) - 1)
    left, right = forms[at - 1], forms[at]
    rise = measured[right].seconds - measured[left].seconds
    slope = rise / (right.rank - left.rank)
    return max(0.0, measured[left].seconds + slope * (form.rank - left.rank))


def _predicted_s(
    stages: Sequence[Stage], ceilings: Ceilings | None, setting: Setting
) -> float | None:
    if ceilings is None:
        return None
    found = predict(stages, ceilings, memory_format=setting.memory_format)
    if setting.runtime != TORCH or found.predicted_s is None:  # calibrated speeds are of torch
        return found.roofline_s
    return found.predicted_s
