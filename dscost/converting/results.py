"""What came of converting a model, layer by layer and in total: plain data, no torch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from dscost.converting.choosing import CurvePoint, Metric, parse_goal
from dscost.converting.decisions import Decision
from dscost.converting.plan_file import Plan, plan_text
from dscost.converting.recovering.records import Recovery
from dscost.converting.scoring.results import Scored
from dscost.layers.convolution import ConvSpec
from dscost.layers.orders import Order
from dscost.notation.units import arrow, counted, format_count, format_seconds
from dscost.reports.figures import Cost
from dscost.reports.records import Advice, Environment, Input, plain, plain_fields
from dscost.reports.result import Result
from dscost.timing import Progress

MEASURED = "measured"
"""What tells which swaps pay, where they are measured for the conversion itself."""
ErrorOf = Literal["kernel", "output"]
"""What an error is relative to: the norm of the kernel, or of the output on calibration inputs."""


class Latency(NamedTuple):
    """A time before and after, of all calls.

    Args:
        before_s: As it is.
        after_s: Converted.
        is_predicted: Whether one of the two was not measured.
    """

    before_s: float
    after_s: float
    is_predicted: bool

    @property
    def ratio(self) -> float:
        """The time after as a share of that before."""
        return self.after_s / self.before_s


class Calibrating(Protocol):
    """Inputs that a converted model can be recovered by."""

    def recovery(
        self,
        converted: Any,
        layers: "Sequence[LayerOutcome]",
        *,
        judge: Callable[[Any], float] | None = None,
        tolerance: float = 0.0,
        progress: Progress | None = None,
    ) -> Recovery:
        """Recover a converted model, which is changed; return what that gained."""


class LayerOutcome(NamedTuple):
    """What became of a convolution.

    Args:
        name: Path of the layer in the model.
        rank: T of the depthwise-separable layer in its place; `None` where it was kept.
        order: Which of the two stages of that runs first; `None` where it was kept.
        reason: Why it was kept.
        planned: Whether it was the plan's to decide; its error counts in the total then.
        error: Relative, of the kernel, 0 to 1; it is no accuracy. Unknown of a layer that was kept.
        calls: How often it runs.
        params_before: Weights and bias as it was; unknown where only a run would tell.
        params_after: Weights and bias now.
        before: Cost of all calls as it was; unknown where it never runs.
        after: Cost of all calls now.
        latency: Seconds of all its calls before and after, where a goal asked for times.
        conv: What it was.
        error_of: What the error is of: `kernel`, or `output` on the calibration inputs, bias left
            out.
        swappable: How many convolutions it is that could be depthwise-separable, as `dscost model`
            counts them.
    """

    name: str
    rank: int | None
    order: Order | None
    reason: str | None
    planned: bool
    error: float | None
    calls: int | None
    params_before: int | None
    params_after: int | None
    before: Cost | None
    after: Cost | None
    latency: Latency | None
    conv: ConvSpec | None
    error_of: ErrorOf | None = None
    swappable: int = 0

    @property
    def converted(self) -> bool:
        """Whether it is depthwise-separable now."""
        return self.rank is not None

    def to_dict(self) -> dict[str, Any]:
        """Return what `dscost.conversion` tells of it, JSON-ready."""
        return plain_fields(self, _OF_A_CONVERSION)


_OF_A_CONVERSION = (
    *("name", "converted", "reason", "rank", "order", "error", "error_of", "calls"),
    *("params_before", "params_after", "before", "after", "conv"),
)
LAYER_KEYS = tuple(name for name in LayerOutcome._fields if name != "error_of")
"""What the JSON of `dscost convert` has of a layer: there all errors are of kernels."""


class Outcome(NamedTuple):
    """What became of a model.

    Args:
        target: What the user calls it.
        source: Where it was found.
        inputs: What it was counted on.
        weights: The file that its weights are from; `None` where they are those that it was made
            with.
        goal: What was asked for, as it was spelled.
        is_met: Whether the converted model meets it; of a goal of latency whether the whole model,
            measured, does. Unknown without a goal, and where that could not be measured.
        plan: Rank, with the order where that is pointwise-first, or `keep` of every layer that
            could be converted.
        error: Total error: `sqrt(mean ε²)` over the layers of the plan, 0 for those kept. It is no
            accuracy.
        gap: By how much the total error, or the MACs where the error is the goal, may be above the
            least that meets the goal; 0 where it is proven to be the least.
        before: Cost of the whole model as it was.
        after: Cost of the whole model now.
        latency: Seconds of the whole model before and after, where a goal asked for times.
        layers: Every convolution.
        curve_metric: Which cost the points of the curve have.
        curve: The least total error by cost, from the model as it was to the least cost that there
            is.
        notes: What the reader must know.
        explanations: What helps to read the errors.
        nearest: Where no choice of layers and ranks meets the goal: the nearest one that can be
            met, written as goals are, and by what; that is what was done.
        aimed: A tighter goal that was planned for, after a plan for the goal itself missed it.
        advice: Which swaps pay, where just those were asked for.
        proof: What told so: `measured`, or the path of a report.
        runtime: What ran what was timed; unknown where nothing was.
        recovery: How its weights were recovered on calibration inputs, where those were given.
        clock: Whose the times are: those of the `wall`; or of `cpu`, processor times of one thread,
            which are no latencies. Unknown where nothing was timed.
        scored: What a score said of it, where one was asked.
    """

    target: str
    source: str
    inputs: tuple[Input, ...]
    weights: str | None
    goal: str | None
    is_met: bool | None
    plan: Mapping[str, Decision]
    error: float
    gap: float
    before: Cost
    after: Cost
    latency: Latency | None
    layers: tuple[LayerOutcome, ...]
    curve_metric: Metric
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...] = ()
    explanations: tuple[str, ...] = ()
    nearest: str | None = None
    aimed: str | None = None
    advice: Advice | None = None
    proof: str | None = None
    runtime: str | None = None
    clock: str | None = None
    recovery: Recovery | None = None
    scored: Scored | None = None

    @property
    def time_title(self) -> str:
        """What its times are called."""
        return "CPU time" if self.clock == "cpu" else "latency"

    @property
    def converted(self) -> int:
        """How many layers are depthwise-separable now."""
        return sum(layer.converted for layer in self.layers)

    @property
    def missed(self) -> str | None:
        """What was to be reached and what was, in words; `None` where no goal was missed."""
        if self.goal is None or self.is_met is not False:
            return None
        parts = [] if self.nearest is None else [f"nearest {self.nearest}"]
        if self.latency and not self.latency.is_predicted and self.converted:
            both = f"{self.latency.ratio:.3g}x", format_seconds(self.latency.after_s)
            first, second = both if parse_goal(self.goal).relative else both[::-1]
            of = " of CPU time" if self.clock == "cpu" else ""
            parts.append(f"measured {first} ({second}){of}")
        if not parts and self.scored is not None and self.scored.target is not None:
            parts.append(f"the converted model scores {self.scored.last:.4g}")
        if not parts:  # layers that compute their weights, or share them with others
            after = (f"{self.after.params:,} params", f"{self.after.macs:,} MACs")
            parts.append(f"the converted model has {' and '.join(after)}")
        return f"{self.goal}, {'; '.join(parts)}"


class Conversion(Result):
    """A converted model, and what became of each of its convolutions.

    Args:
        module: A new `nn.Module`; of an ONNX file a new `onnx.ModelProto`.
        method: `svd` or `random`.
        layers: Every convolution of the given model.
        recovery: How its weights were recovered on calibration inputs, where those were given.
    """

    module: Any
    method: str
    layers: tuple[LayerOutcome, ...]
    recovery: Recovery | None = None

    def in_a_line(self) -> str:
        """Return which class the model is of, and how many of its convolutions were converted."""
        return f"{type(self.module).__name__}: {how_many(self.layers)}"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the module, JSON-ready."""
        recovery = {} if self.recovery is None else {"recovery": plain(self.recovery)}
        return {"method": self.method, "layers": plain(self.layers), **recovery}

    def recovered_by(self, calibration: Calibrating) -> "Conversion":
        """Return it with its module recovered."""
        return self._replace(recovery=calibration.recovery(self.module, self.layers))


class Converted(Result):
    """An outcome, and where its times were measured.

    Args:
        outcome: What became of the model.
        environment: Where times were measured, if any were.
        every_layer: Whether tables show the layers that could not be converted one by one.
    """

    outcome: Outcome
    environment: Environment | None = None
    every_layer: bool = False

    @property
    def missed(self) -> str | None:
        """What was to be reached and what was, in words; `None` where no goal was missed."""
        return self.outcome.missed

    def recovered_by(
        self,
        calibration: Calibrating,
        model: Any,
        progress: Progress | None,
        judge: Callable[[Any], float] | None = None,
        tolerance: float = 0.0,
    ) -> "Converted":
        """Return it with its model recovered; by a judge, if there is one, of scores.

        Scores that differ by no more than the tolerance are as good as equal.
        """
        layers = self.outcome.layers
        found = calibration.recovery(
            model, layers, judge=judge, tolerance=tolerance, progress=progress
        )
        outcome = self.outcome._replace(recovery=found)
        scores = [
            one.score_after for one in found.steps if one.kept and one.score_after is not None
        ]
        if outcome.scored is not None and scores:
            asked = 1 + len(found.steps)
            evaluations = outcome.scored.evaluations + asked
            scored = outcome.scored._replace(recovered=scores[-1], evaluations=evaluations)
            is_met = outcome.is_met if scored.target is None else scored.is_kept
            outcome = outcome._replace(scored=scored, is_met=is_met)
        return self._replace(outcome=outcome)

    def in_a_line(self) -> str:
        """Return which model it is, how many convolutions were converted, and a goal missed."""
        missed = "" if self.missed is None else f"; MISSED: {self.missed}"
        return f"{self.outcome.target}: {how_many(self.outcome.layers)}{missed}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        conversion = plain(self.outcome._replace(layers=()))
        conversion["layers"] = [plain_fields(layer, LAYER_KEYS) for layer in self.outcome.layers]
        return {"environment": plain(self.environment), "conversion": conversion}


def how_many(layers: Sequence[LayerOutcome]) -> str:
    """Return how many of the convolutions that could be are depthwise-separable now, in words."""
    every = sum(max(one.swappable, int(one.converted)) for one in layers)
    which = f"{sum(one.converted for one in layers)} of {counted(every, 'convolution')}"
    return f"{which if every else 'no convolution'} made depthwise-separable"


def commented(plan: Plan, outcome: Outcome) -> str:
    """Return a plan as YAML, with the figures of what came of it as comments."""
    before, after = outcome.before, outcome.after
    head = [] if outcome.missed is None else [f"MISSED: {outcome.missed}"]
    if outcome.scored is not None:
        scored = outcome.scored
        head.append(f"score {scored.last:.4g} of {scored.before:.4g} by {scored.name}")
    head += [
        f"total error {outcome.error:.4f} of kernels, not an accuracy: the root mean square "
        "over these layers, 0 if kept",
        f"{format_count(before.macs)} → {format_count(after.macs)} MACs, "
        f"{format_count(before.params)} → {format_count(after.params)} params",
    ]
    if outcome.latency:
        before_s, after_s, predicted = outcome.latency
        how = "predicted from the layers' times" if predicted else "measured"
        of = " of CPU time" if outcome.clock == "cpu" else ""
        head.append(f"{format_seconds(before_s)} → {format_seconds(after_s)}{of}, {how}")
    figures = {layer.name: _figures_of(layer) for layer in outcome.layers if layer.planned}
    return plan_text(plan, figures=figures, head=head)


def _figures_of(layer: LayerOutcome) -> str:
    parts = [] if layer.error is None else [f"error {layer.error:.3f}"]
    for before, after, unit in (
        (layer.before and layer.before.macs, layer.after and layer.after.macs, "MACs"),
        (layer.params_before, layer.params_after, "params"),
    ):
        if before is not None and after is not None:
            parts.append(f"{arrow(map(format_count, (before, after)))} {unit}")
    return ", ".join(parts)
