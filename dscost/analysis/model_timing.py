"""A counted model → the same with measured times: the whole, and each distinct layer both ways."""

from dscost.analysis.advising import advice_of, promises_more, with_measured
from dscost.analysis.bench import Bench
from dscost.analysis.counting import CountedModel
from dscost.analysis.explaining import causes_of
from dscost.analysis.swap_timing import Layers, time_swaps, with_timings
from dscost.analysis.swappable import SwappableModel
from dscost.analysis.timed import judge
from dscost.analysis.whole_timing import THE_WHOLE, Whole
from dscost.layers.variants import SEPARABLE
from dscost.reports.records import Advice, Report, Timing
from dscost.runtimes import TORCH
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions, runtime_of

BUDGET_S = 10.0
WHOLE_SHARE, ADVICE_SHARE = 0.4, 0.2
"""Of a model's time budget, for the model as a whole and for that with the swaps that pay; the
rest goes to its layers."""


def time_model(counted: CountedModel, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of a model with measured times of the whole and of each distinct swap.

    The whole comes first: its time is what is asked for most. Only where swaps that lose are to be
    left out of it the layers have to be timed before.
    """
    report, versions = counted.report, counted.runnable
    assert versions is not None
    model = SwappableModel(report, counted.swaps, versions, counted.conventions)
    every = options.settings(
        dtype=counted.own_dtype, batch=report.batch, memory_formats=MEMORY_FORMATS[:1]
    )
    settings = [one for one in every if not counted.why_not_by(one.runtime)]
    places = len({setting.where for setting in settings})
    bench = Bench(options, settings, options.budget_s or max(1, places) * BUDGET_S, progress)
    for one in every:
        if one not in settings:
            bench.lack(THE_WHOLE, f"Not timed: {counted.why_not_by(one.runtime)}.")
    with bench.open():
        timed = _Timed(bench, model, bench.budget_s / len(settings))
        if options.skip_losing:
            timed.measure_layers()
            timed.model = timed.model.without_losing()
            timed.measure_wholes()
        else:
            timed.measure_wholes()
            timed.measure_layers()
        latency = timed.latency()
        report = timed.explained()._replace(latency=latency)
        advice = timed.advice(report, options.min_channels)
    for key, whole in latency.items():
        # of another runtime nobody knows whether its dense kernels are slow
        is_known = runtime_of(key) == TORCH
        fewer = {SEPARABLE: report.totals.reduction.macs} if is_known else {}
        judge(bench, f"{key}, the whole model", whole, fewer)
    anything = latency or any(layer.latency for layer in report.layers)
    return report._replace(
        advice=advice,
        warnings=(*report.warnings, *bench.warnings),
        untimed=tuple(bench.untimed),
        environment=bench.environment() if anything else None,
    )


class _Timed:
    """A model and what was measured of it so far, each setting within its share of the time."""

    def __init__(self, bench: Bench, model: SwappableModel, share_s: float) -> None:
        self.bench, self.model, self._share_s = bench, model, share_s
        self._advice_s = ADVICE_SHARE * share_s
        self._layers: dict[str, Layers] = {}
        self._wholes: dict[str, Whole] = {}

    def measure_wholes(self) -> None:
        """Time the whole, in what the layers have left if they came first."""
        for setting in self.bench.settings:
            whole = Whole(self.bench, self.model, setting)
            own_s, most_s = WHOLE_SHARE * self._share_s, self._share_s
            if self._layers:
                left_s = most_s - self._layers[setting.key].took_s - self._advice_s
                own_s = most_s = max(own_s, left_s)
            # a layer tells the noise floor in less time than the whole model
            by_layers = bool(self.model.swaps) and not self._layers
            whole.measure(own_s, most_s, against_itself=not by_layers)
            self._wholes[setting.key] = whole

    def measure_layers(self) -> None:
        """Time the layers, in what the whole has left if it came first."""
        for setting in self.bench.settings:
            budget_s = (1 - WHOLE_SHARE) * self._share_s - self._advice_s
            if self._wholes:
                whole = self._wholes[setting.key]
                # making a model is not measuring it: it takes no more than half of what is left
                left_s = self._share_s - whole.compared_s
                kept_s = whole.built_s + (self._advice_s if whole.is_timed else 0.0)
                budget_s = max(left_s - kept_s, left_s / 2)
            self._layers[setting.key] = time_swaps(self.bench, self.model, setting, budget_s)
        report = self.model.report
        layers = tuple(with_timings(layer, self._layers) for layer in report.layers)
        self.model = self.model._replace(report=report._replace(layers=layers))

    def explained(self) -> Report:
        """Return the report with the reasons of the layers that were timed.

        Each device and runtime is explained by the first setting under which it was timed.
        """
        report = self.model.report
        measured = {key for layer in report.layers for key in layer.latency}
        firsts: dict[str, Setting] = {}
        for setting in self.bench.settings:
            if setting.key in measured:
                firsts.setdefault(setting.where, setting)
        layers = list(report.layers)
        for setting in firsts.values():
            ceilings, beside = self.bench.ceilings(setting), self._layers[setting.key].beside
            for at, layer in enumerate(layers):
                if setting.key in layer.latency:
                    own = beside.get(layer.name)
                    found = causes_of(
                        layer, layer.latency, ceilings, setting=setting.key, beside=own
                    )
                    layers[at] = layer._replace(causes=(*layers[at].causes, *found))
        return report._replace(layers=tuple(layers))

    def advice(self, report: Report, min_channels: int) -> Advice | None:
        """Return what to swap, with what that comes to of the whole model."""
        left = {name: why for whole in self._wholes.values() for name, why in whole.left.items()}
        advice = advice_of(report, min_channels, left)
        together = advice_of(report, min_channels, left, together=True)
        if together and promises_more(together, advice, report):
            measured = self._measured(together, report)
            if measured.speedup and measured.speedup.verdict == "faster":
                return measured
        elif advice and advice.swaps:
            advice = self._measured(advice, report)
        if advice is None:
            return None
        swaps = advice.swaps
        return advice._replace(cost=self.model.cost_with(swaps) if swaps else report.totals.as_is)

    def _measured(self, advice: Advice, report: Report) -> Advice:
        """Return advice with what its swaps make of the whole model, where there is time for it."""
        (setting,) = (one for one in self.bench.settings if one.key == advice.setting)
        whole, layers = self._wholes[setting.key], self._layers[setting.key]
        left_s = max(self._advice_s, self._share_s - whole.took_s - layers.took_s)
        timing = report.latency.get(setting.key)
        found = timing and whole.with_swaps(advice.swaps, timing, left_s)
        advice = advice._replace(cost=self.model.cost_with(advice.swaps))
        if not found:
            return advice
        as_is, advised, speedup = found
        as_is_s, advised_s = as_is.median_s, advised.median_s
        if timing and timing.as_is and timing.as_is is not as_is:
            # one figure for the model as it is, in the advice as in the table
            as_is_s = timing.as_is.median_s
            advised_s = as_is_s / speedup.median
        return with_measured(advice, as_is_s, advised_s, speedup)

    def latency(self) -> dict[str, Timing]:
        """Return the times of the whole by setting."""
        found = {key: whole.timing(self._layers[key]) for key, whole in self._wholes.items()}
        return {key: timing for key, timing in found.items() if timing}
