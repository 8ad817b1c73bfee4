"""The ratios of latencies that a budget limits, measured: each once for all limits on it.

What seems to break a limit is measured a second time, with both models made anew: two intervals
that miss the truth on the same side are rare where one in forty does, and what a model owes to
where its buffers happen to lie is another thing each time.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from dscost.analysis.isolated import Worker
from dscost.analysis.predicting import dtype_of
from dscost.analysis.ratio_timing import TimedRatio, time_ratio
from dscost.budgets.findings import NoRatio, Ratio
from dscost.budgets.ratio_judging import is_broken, together
from dscost.budgets.records import Budget, Entry, Limit, Pairing
from dscost.budgets.references import Reference, as_kept, at_commit, looking_command, reference_of
from dscost.budgets.requests import side_of
from dscost.errors import DscostError
from dscost.notation.units import counted
from dscost.reports.records import Environment, Report, Speedup
from dscost.runtimes import RUNTIMES, TORCH
from dscost.sources import is_saved
from dscost.timing import Progress, Setting, TimingOptions

SPEEDUP = "speedup"
BOTH_WAYS = "standard over depthwise-separable"


def require_runtimes(budget: Budget) -> None:
    """Refuse a budget before anything is counted where a runtime that it names is not here.

    Raises:
        UnavailableError: The text says how it is installed.
    """
    for limit in (one for entry in budget.entries for one in entry.ratios):
        name = limit.pairing.runtime if limit.pairing else TORCH
        if name != TORCH:  # which is told of by what needs it
            line, column = limit.place
            RUNTIMES[name].require(f"{budget.path}:{line}:{column}: runtime: {name}")


class Ratios:
    """Measures the ratios of a budget; what it writes is gone after the `with` statement.

    Args:
        budget: What is to be judged.
        against: The commit that the command names, whose models are those of the baseline.
        worker: Where models that are code are timed, if not here.
    """

    def __init__(self, budget: Budget, against: str | None, worker: Worker | None) -> None:
        self._budget, self._against, self._worker = budget, against, worker
        self._scratch: TemporaryDirectory[str] | None = None
        self._folders = 0

    def __enter__(self) -> "Ratios":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    def of(
        self, entry: Entry, report: Report, progress: Progress | None
    ) -> Mapping[tuple[str, Pairing], Ratio | NoRatio]:
        """Return the ratios that limits of an entry ask for, or why there are none."""
        wanted: dict[tuple[str, Pairing], list[Limit]] = {}
        for limit in entry.ratios:
            if limit.pairing:
                wanted.setdefault((limit.metric, limit.pairing), []).append(limit)
        return {
            (metric, pairing): self._measured(entry, report, pairing, limits, progress)
            for (metric, pairing), limits in wanted.items()
        }

    def _measured(
        self,
        entry: Entry,
        report: Report,
        pairing: Pairing,
        limits: Sequence[Limit],
        progress: Progress | None,
    ) -> Ratio | NoRatio:
        """Return one of them."""
        metric = limits[0].metric
        if is_saved(entry.target) and metric == SPEEDUP and pairing.against is None:
            return _as_saved(report, pairing)
        reference = self._reference(entry, metric, pairing)
        if isinstance(reference, NoRatio):
            return reference
        if reference and reference.side is None:
            one = Fraction(1)
            return Ratio(one, one, one, Fraction(0), reference.name, "", threads=0)
        side = side_of(entry, self._budget.path.parent)
        other = reference and reference.side
        between = BOTH_WAYS
        if reference:
            pair = (reference.name, entry.name)
            between = " over ".join(pair if metric == SPEEDUP else pair[::-1])
        worker = self._worker if side.runs_code or (other and other.runs_code) else None
        timing = worker.time_ratio if worker else time_ratio

        def measure() -> Ratio:
            options = TimingOptions(
                runtimes=(pairing.runtime,),
                clock=pairing.clock,
                threads=pairing.threads,
                budget_s=None if pairing.time_budget is None else float(pairing.time_budget),
            )
            return _ratio(timing(side, other, options, progress), pairing, metric, between)

        try:
            found = confirmed(measure, limits)
            return found._replace(look=looking_command(entry, pairing, self._budget.path.parent))
        except DscostError as error:
            unknown = reference and reference.why_unknown(error)
            return NoRatio(unknown or _in_yaml(str(error)))

    def _reference(self, entry: Entry, metric: str, pairing: Pairing) -> Reference | NoRatio | None:
        """Return what a model is held against; `None` where that is itself, written otherwise."""
        folder, baseline = self._budget.path.parent, self._budget.baseline
        if pairing.against is not None:
            asked = f"against: {pairing.against}"
            return reference_of(entry, pairing.against, folder, self._folder(), asked)
        if metric == SPEEDUP:
            return None
        if self._against is not None:
            asked = f"--against {self._against}"
            return at_commit(entry, self._against, folder, self._folder(), asked)
        assert baseline is not None  # else the budget was refused
        return as_kept(entry, baseline, folder, self._folder())

    def _folder(self) -> Path:
        """Return a new folder."""
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="dscost-", ignore_cleanup_errors=True)
        self._folders += 1
        path = Path(self._scratch.name) / str(self._folders)
        path.mkdir()
        return path


def _as_saved(report: Report, pairing: Pairing) -> Ratio | NoRatio:
    """Return the speedup that a saved report has."""
    environment = report.environment
    if environment is None:
        return NoRatio("the saved report has no times")
    if pairing.threads not in (None, environment.threads):
        threads = counted(environment.threads, "thread")
        return NoRatio(f"the saved report was timed with {threads}, not with {pairing.threads}")
    # of several dtypes the first is what the model was counted in
    keys = [
        Setting(dtype=one, runtime=pairing.runtime).key
        for one in (*environment.dtype.split(", "), dtype_of(report))
    ]
    timing = next((report.latency[key] for key in keys if key in report.latency), None)
    speedup = None
    if timing is not None:
        cpu = timing.cpu_clock
        speedup = timing.speedup if pairing.clock == "wall" else cpu and cpu.speedup
    if speedup is None:
        return NoRatio(f"the saved report has no speedup under {keys[0]}, clock {pairing.clock}")
    return _ratio(TimedRatio(speedup, environment), pairing, SPEEDUP, BOTH_WAYS)


def _in_yaml(text: str) -> str:
    """Return what is wrong in the words of a budget, where the command line has options."""
    return text.replace("--time-budget", "time_budget").replace("--clock ", "clock: ")


def confirmed(measure: Callable[[], Ratio], limits: Sequence[Limit]) -> Ratio:
    """Return a ratio as it was measured; one that seems to break a limit as measured twice."""
    first = measure()
    if any(is_broken(limit, first) for limit in limits):
        return together(first, measure())
    return first


def _ratio(timed: TimedRatio, pairing: Pairing, metric: str, between: str) -> Ratio:
    """Return a ratio as limits are on it, given how many times faster a model is than another."""
    speedup: Speedup = timed.speedup
    figures = (speedup.median, *speedup.ci95)
    if metric != SPEEDUP:
        low, high = speedup.ci95
        figures = (1 / speedup.median, 1 / high, 1 / low)
    # as they are written, so that 1.05 is 105 %
    value, low_end, high_end = (Fraction(str(one)) for one in figures)
    return Ratio(
        value,
        low_end,
        high_end,
        Fraction(str(speedup.noise_floor)),
        between,
        _runtime(pairing.runtime, timed.environment),
        timed.environment.threads,
        pairing.clock,
    )


def _runtime(name: str, environment: Environment) -> str:
    """Return what ran both models, with its version."""
    if name == TORCH:
        return f"torch {environment.torch_version}"
    runtime = RUNTIMES[name]
    version = environment.runtimes.get(next(iter(runtime.packages)))
    return " ".join(filter(None, (runtime.title, version)))
