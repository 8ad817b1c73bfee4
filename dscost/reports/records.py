# Over 400 lines: all records of a report, in the order in which its JSON nests.

"""What comes out: plain frozen data, no formatting. `to_dict` gives the JSON of the report.

Unknown is `None`, never 0. Counts are exact ints, times seconds, sizes bytes.

Records that need no check are named tuples here and above: defining one takes a ninth of the time
of a frozen dataclass, and an answer at once is a promise of the project.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.variants import SEPARABLE, STANDARD, TIMING_KEYS, VERSIONS
from dscost.notation.units import format_count, format_shape
from dscost.reports.figures import CONVENTIONS, Cost, metric_of
from dscost.reports.result import Result
from dscost.version import __version__

SCHEMA_VERSION = 1


class Reduction(NamedTuple):
    """How many times less the depthwise-separable version costs: `standard` over it."""

    params: float | None
    macs: float | None
    traffic_bytes: float | None

    @classmethod
    def between(cls, standard: Cost, variant: Cost) -> "Reduction":
        """Return the reductions from one cost to the other; unknown where the variant has none."""
        pairs = [(getattr(standard, name), getattr(variant, name)) for name in cls._fields]
        return cls._make(before / after if after else None for before, after in pairs)


class Latency(NamedTuple):
    """Measured time of one call, from `samples` blocks of calls.

    Fewer than six blocks have no 95 % interval.

    Args:
        median_s: Median over the blocks.
        ci95_s: 95 % interval of the median.
        iqr_s: Between the quartiles.
        p95_s: Quantile.
        p99_s: Quantile.
        min_s: The fastest block.
        samples: Number of blocks.
        roofline_s: No run can be faster, by the measured ceilings of the device.
        bound: What the roofline is made of: `compute` or `memory`.
        predicted_s: Expected of the operators' calibrated speeds.
        roofline_fraction: `roofline_s / median_s`.
        balanced: Whether the roofline's two bounds are within a factor of 2.
        usual_error: By what factor `predicted_s` is usually off.
        compile_s: What `torch.compile` took before the first call.
    """

    median_s: float
    ci95_s: tuple[float, float] | None
    iqr_s: float
    p95_s: float
    p99_s: float
    min_s: float
    samples: int
    roofline_s: float | None = None
    bound: str | None = None
    predicted_s: float | None = None
    roofline_fraction: float | None = None
    balanced: bool | None = None
    usual_error: float | None = None
    compile_s: float | None = None


SAME_WITHIN = 0.03
"""No smaller difference is called, however quiet the machine."""
UNKNOWN_FLOOR = 0.1
"""What is taken for the noise floor where the time did not suffice to find it."""
MOST_SAME = 0.1
"""Where the machine is noisier than that, nothing is called the same."""


WIDEST = 3.0
"""An interval whose ends differ by more than that factor tells nothing."""


class Speedup(NamedTuple):
    """A ratio of latencies with its 95 % interval; above 1 when the variant is faster.

    Args:
        median: The ratio.
        ci95: Its interval.
        noise_floor: No smaller difference is called: 0.03 for 3 %.
    """

    median: float
    ci95: tuple[float, float]
    noise_floor: float = SAME_WITHIN

    @property
    def verdict(self) -> str:
        """What the interval allows to say: `faster`, `slower`, `same` or `unclear`."""
        if self.is_wide:
            return "unclear"
        low, high = self.ci95
        most = 1 + self.noise_floor
        if low >= 1 / most and high <= most:
            return "same" if self.noise_floor <= MOST_SAME else "unclear"
        if low > 1 and self.median > most:
            return "faster"
        return "slower" if high < 1 and self.median < 1 / most else "unclear"

    @property
    def is_wide(self) -> bool:
        """Whether the ends of the interval lie too far apart to tell anything."""
        low, high = self.ci95
        return low <= 0 or high > WIDEST * low

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and the verdict."""
        return {**_plain_entries(self._asdict().items()), "verdict": self.verdict}


class RunNode(NamedTuple):
    """A kernel that a runtime ran, as its own profile tells.

    Args:
        name: As the runtime calls it.
        op: What it computes, in the runtime's words.
        seconds: Per call of the whole.
        kernel: Which implementation, where the runtime tells.
    """

    name: str
    op: str
    seconds: float
    kernel: str | None = None


class Ran(NamedTuple):
    """How a runtime ran one version.

    Args:
        way_in: What it was given, such as `ONNX`: that is part of what is timed.
        error: The largest of its outputs, relative to the largest value of each.
        reference: Who computed what they were held against.
        fused: What the runtime made of it, in its own words: the operators that were left.
        nodes: Its kernels by its own profile, where it was asked for that and has one.
    """

    way_in: str
    error: float
    reference: str
    fused: tuple[str, ...] = ()
    nodes: tuple[RunNode, ...] = ()


class CpuClock(NamedTuple):
    """The same pairs by the processor time of this process: less disturbed by a busy machine.

    It is no latency: what the process waits for is not in it.

    Args:
        latencies: Processor time of one call, by version as in `Timing`.
        ratios: Of standard over that of a variant, by name.
    """

    latencies: Mapping[str, Latency] = MappingProxyType({})
    ratios: Mapping[str, Speedup] = MappingProxyType({})

    @property
    def speedup(self) -> Speedup | None:
        """Processor time of standard over depthwise-separable."""
        return self.ratios.get(SEPARABLE)


class Timing(NamedTuple):
    """What was measured of one thing under one setting.

    In JSON the latency of each version and variant stands under its own name, that of
    depthwise-separable over standard under `speedup`.

    Args:
        latencies: By name: of the thing as it stands in the model (`as_is`), and of its variants.
        ratios: Latency of standard over that of a variant, by name.
        stages: The parts of the depthwise-separable variant timed alone, by name.
        gap_s: What the depthwise-separable variant takes beyond its parts.
        backends: What torch computes each convolution with, by name of the variant or stage.
        layers_s: By variant, what was timed alone, summed: of a whole model over its layers, of a
            layer in it over its calls, which may be on inputs of several sizes.
        cpu_clock: The same pairs by processor time, where that was asked for.
        ran: How a runtime other than torch ran each version, by its name.
    """

    latencies: Mapping[str, Latency] = MappingProxyType({})
    ratios: Mapping[str, Speedup] = MappingProxyType({})
    stages: Mapping[str, Latency] = MappingProxyType({})
    gap_s: float | None = None
    backends: Mapping[str, str] = MappingProxyType({})
    layers_s: Mapping[str, float] = MappingProxyType({})
    cpu_clock: CpuClock | None = None
    ran: Mapping[str, Ran] = MappingProxyType({})

    @property
    def as_is(self) -> Latency | None:
        """The thing as it stands in the model."""
        return self.of("as_is")

    @property
    def standard(self) -> Latency | None:
        """Made of standard convolutions."""
        return self.of(STANDARD)

    @property
    def depthwise_separable(self) -> Latency | None:
        """Made of depthwise-separable ones."""
        return self.of(SEPARABLE)

    @property
    def speedup(self) -> Speedup | None:
        """Latency of standard over depthwise-separable."""
        return self.speedup_of(SEPARABLE)

    @property
    def speedups(self) -> Mapping[str, Speedup]:
        """Latency of standard over that of each further variant."""
        return {name: one for name, one in self.ratios.items() if name != SEPARABLE}

    def of(self, version: str) -> Latency | None:
        """Return the latency of `as_is` or of a variant, `None` where it was not measured."""
        return self.latencies.get(version)

    def speedup_of(self, variant: str) -> Speedup | None:
        """Return the speedup of a variant over standard, `None` where it was not measured."""
        return self.ratios.get(variant)

    def part(self, variant: str, stage: str) -> Latency | None:
        """Return the latency of a stage that was timed alone: those of depthwise-separable are."""
        return self.stages.get(stage) if variant == SEPARABLE else None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON: what every timing has, then each further variant under its name."""
        further = {name: plain(self.of(name)) for name in self.speedups}
        return {**plain_fields(self, TIMING_KEYS), **further}


class Noise(NamedTuple):
    """Something that makes measured figures less sure.

    Args:
        kind: `context_switches`, `page_faults`, `cpu_pressure`, `load`, `steal`, `regimes`,
            `more_than_macs`, `over_roofline`, `throttled`.
        figure: What was found.
        limit: What is still in order.
        where: Whose measurement it concerns; empty for all.
    """

    kind: str
    figure: float
    limit: float
    where: str = ""


class Cause(NamedTuple):
    """Why a variant is or is not as fast as its MACs promise.

    Args:
        kind: `memory_bound`, `depthwise_kernel`, `slow_depthwise`, `slow_dense`, `fast_dense`,
            `fast_transform`, `more_bytes`, `few_channels`, `backend`, `overhead`, `layout`,
            `allocation`.
        setting: Under which it was found, such as `cpu`.
        figures: What decided it, by name.
    """

    kind: str
    setting: str
    figures: Mapping[str, float | str]


class Bound(NamedTuple):
    """What a roofline says of a device that was not measured on.

    Args:
        roofline_s: No run can be faster.
        bound: `compute` or `memory`.
        ridge_flops_per_byte: Of the device, where that was asked for: a lower intensity waits for
            memory.
        without_peak: The dtype that it, or some of it, multiplies in, where no peak of the device
            is known for that: the largest known stands in for it, and a run may be faster.
    """

    roofline_s: float
    bound: str
    ridge_flops_per_byte: float | None = None
    without_peak: str | None = None


class Stage(NamedTuple):
    """One step of a variant; `conv` is null where it only moves or adds values."""

    name: str
    conv: ConvSpec | None
    input_shape: Shape
    output_shape: Shape
    cost: Cost


class Operator(NamedTuple):
    """All calls of one operation in a layer, of a convolution with one geometry.

    Args:
        op: What it computes: `convolution`, `linear`, …
        conv: The convolution, if it is one.
        calls: How often it runs in one pass of the model.
        cost: What all of them cost together.
    """

    op: str
    conv: ConvSpec | None
    calls: int
    cost: Cost


class Layer(NamedTuple):
    """One layer of a model.

    Args:
        name: Dotted path, unique in the model.
        type: Class name, as in torch.
        op: What it computes: `convolution`, `linear`, `normalization`, …
        calls: How often it runs in one pass.
        conv: The convolution, if it is one.
        input_shape: Of its first input, batch first.
        output_shape: Of its first output, batch first.
        cost: As it is.
        variants: Cost by variant, where both sides of a swap are known: `standard` and
            `depthwise_separable`. On a depthwise layer that begins a pair they stand for the pair.
            Of a single layer, `standard` and those that were asked for.
        stages: What each variant in `variants` consists of.
        pair: The depthwise layer of the separable pair that this layer belongs to.
        ends_pair: Whether it is the pointwise layer of that pair.
        formula_ratio: `T · (G/N + 1/(Kh·Kw))`, the share of weights and MACs that is left.
        latency: Measurements by setting, such as `cpu`.
        verdict: `faster`, `slower`, `same` or `unclear`, of the depthwise-separable variant.
        note: Why there is no variant, where the user asked for one.
        predictions: Times by the roofline of a device that was not measured on, by device and
            variant.
        causes: Why the depthwise-separable variant is as fast as it is.
        formula_ratios: What the formula says of each variant that was asked for, by name.
        operators: What it computes, where that is more than one thing; `op` and `conv` tell of the
            heaviest only.
        separable_pairs: How many depthwise-separable pairs begin in it; a layer that calls
            functions may hold several.
        could_be_separable: How many of its convolutions could be depthwise-separable.
        frozen_params: How many of its parameters are not trained, such as those that need no
            gradient; `None` where that is not known.
        origin: Of a layer of an ONNX file, the path of the torch module that it was exported from,
            where the file tells; that of the model itself is empty.
        dtype: What it multiplies in, where that is known by itself and not by the inputs of the
            model, as of a layer of an ONNX file: `int8` for all whole numbers of 8 bits, and for
            those that a runtime may take instead of what they stand for.
        by_convention: What it counts by conventions of others that were asked for, by their names.
    """

    name: str
    type: str
    op: str
    calls: int
    conv: ConvSpec | None
    input_shape: Shape
    output_shape: Shape
    cost: Cost
    variants: Mapping[str, Cost] = MappingProxyType({})
    stages: Mapping[str, tuple[Stage, ...]] = MappingProxyType({})
    pair: str | None = None
    ends_pair: bool = False
    formula_ratio: float | None = None
    latency: Mapping[str, Timing] = MappingProxyType({})
    verdict: str | None = None
    note: str | None = None
    predictions: Mapping[str, Mapping[str, "Bound"]] = MappingProxyType({})
    causes: tuple[Cause, ...] = ()
    formula_ratios: Mapping[str, float] = MappingProxyType({})
    operators: tuple[Operator, ...] = ()
    separable_pairs: int = 0
    could_be_separable: int = 0
    frozen_params: int | None = None
    origin: str | None = None
    dtype: str | None = None
    by_convention: Mapping[str, int] = MappingProxyType({})

    @property
    def path(self) -> str:
        """Its place among the modules of the model, dotted; of a node of ONNX as far as is told."""
        if self.origin is None and "/" not in self.name:
            return self.name
        # what tf2onnx joins by `;` are several names of one node, of which the first has its place
        before, slash, _ = self.name.partition(";")[0].rpartition("/")
        last = self.name[len(before + slash) :]
        above = before.strip("/").replace("/", ".") if self.origin is None else self.origin
        return f"{above}.{last}" if above else last

    @property
    def swappable(self) -> int:
        """How many of its convolutions could be depthwise-separable, not counting pairs.

        An old report does not tell: it knew one of either.
        """
        if self.separable_pairs or self.could_be_separable:
            return self.could_be_separable
        return int(bool(self.variants) and self.pair is None)

    @property
    def timing(self) -> Timing | None:
        """What was measured under the first setting."""
        return next(iter(self.latency.values()), None)

    def parts_of(self, variant: str) -> tuple[Stage, ...]:
        """Return the stages of a variant that are not all of it."""
        stages = self.stages[variant]
        return stages if len(stages) > 1 else ()

    @property
    def reduction(self) -> float | None:
        """How many times fewer MACs the depthwise-separable variant has."""
        return self.reduction_of(SEPARABLE).macs

    def reduction_of(self, variant: str) -> Reduction:
        """Return how many times less a variant needs; unknown if the layer has none such."""
        if variant not in self.variants:
            return Reduction(None, None, None)
        return Reduction.between(self.variants[STANDARD], self.variants[variant])


class Totals(NamedTuple):
    """A whole model: as it is, made of standard convolutions, and made depthwise-separable."""

    as_is: Cost
    standard: Cost
    depthwise_separable: Cost

    @property
    def reduction(self) -> Reduction:
        """`standard / depthwise_separable`."""
        return Reduction.between(self.standard, self.depthwise_separable)

    def to_dict(self) -> dict[str, Any]:
        """Return the three costs and the reduction."""
        return plain_fields(self, TOTALS_KEYS)


TOTALS_KEYS = (*VERSIONS, "reduction")
"""The keys of `Totals` in the JSON."""


class Input(NamedTuple):
    """One input tensor."""

    shape: Shape
    dtype: str


def inputs_text(inputs: Iterable[Input]) -> str:
    """Return what figures hold for, in words."""
    told = (f"{format_shape(one.shape) or '()'} {one.dtype}" for one in inputs)
    return ", ".join(told) or "nothing"


class Coverage(NamedTuple):
    """How much of a model is counted.

    Args:
        counted: Operators that were counted by formula.
        free: Operators that are known to be free of MACs.
        unknown: Operators of unknown cost, each with how often it ran.
        unknown_in: The layers that ran those, with how often, by operator.
    """

    counted: int
    free: int
    unknown: tuple[str, ...] = ()
    unknown_in: Mapping[str, Mapping[str, int]] = MappingProxyType({})


def unknown_operators(times: Mapping[str, int]) -> tuple[str, ...]:
    """Return operators of unknown cost as a report lists them, given how often each ran."""
    return tuple(f"{name} ({number}×)" for name, number in sorted(times.items()))


class Block(NamedTuple):
    """A module that holds others which ran.

    Args:
        type: Class name, as in torch.
        output_shape: Of the last result in it, batch first.
    """

    type: str
    output_shape: Shape


class SharedWeights(NamedTuple):
    """Parameters that several layers use; the figures of the first of them have them.

    Args:
        layers: In the order in which they first read them.
        params: How many parameters.
        weight_bytes: Their size.
    """

    layers: tuple[str, ...]
    params: int
    weight_bytes: int


class Ceiling(NamedTuple):
    """What a device can do at most: the peak of its arithmetic and the bandwidth of its memory."""

    flops_per_s: float
    bytes_per_s: float


class Environment(NamedTuple):
    """Where and how the times were taken; `None` where this system does not tell.

    Args:
        device: Name of the processor; several are separated by commas.
        threads: How many torch computes with.
        dtype: Data type of weights and activations; several are separated by commas.
        memory_format: Layout of the tensors; several are separated by commas.
        allocator: `tuned` where freed memory is kept, or `system`.
        torch_version: Version of torch; nothing where it took no part.
        load_before: Load average of the last minute when measuring began.
        load_after: When it ended.
        noise_floor: How far a thing timed against itself was from 1, 0.01 for 1 %; of several
            devices and runtimes the worst.
        noise: What made the measurement noisy.
        unknown: Counters that this system does not have.
        flags: Settings of torch that speed depends on, such as TF32.
        seed: Of weights, inputs and the order of blocks.
        ceilings: What the device can do at most, by device and dtype.
        runtimes: Versions of what ran it, by the name of the package.
        clock: `wall`, or `cpu` where processor time was taken as well.
        with_norm: Whether the convolutions of a layer were timed with a batch normalisation and a
            ReLU after each.
        noise_floors: The noise floor of each place, a device or a device and a runtime such as
            `cpu:onnxruntime`.
        cpu_noise_floors: The same by processor time, where that was read.
    """

    device: str
    threads: int
    dtype: str
    memory_format: str
    allocator: str
    torch_version: str
    load_before: float | None
    load_after: float | None
    noise_floor: float | None = None
    noise: tuple[Noise, ...] = ()
    unknown: tuple[str, ...] = ()
    flags: Mapping[str, str] = MappingProxyType({})
    seed: int = 0
    ceilings: Mapping[str, Ceiling] = MappingProxyType({})
    runtimes: Mapping[str, str] = MappingProxyType({})
    clock: str = "wall"
    with_norm: bool = False
    noise_floors: Mapping[str, float] = MappingProxyType({})
    cpu_noise_floors: Mapping[str, float] = MappingProxyType({})


class Doubt(NamedTuple):
    """Why the figures may not be all that a model costs: a warning, with a word for programs.

    Args:
        kind: `value_dependent`: it looks at values, so other inputs may take other ways; `unused`:
            parameters that nothing read; `unseen`: part of it ran, or may have run, where no
            operator is seen, or the backward pass of a function could not be run. Later versions
            may know more.
        text: The warning.
    """

    kind: str
    text: str


class Untimed(NamedTuple):
    """Something that was to be timed and was not: a warning, with a word for programs.

    Args:
        what: `the whole model`, `layers`, or the name of what was to be timed.
        text: The warning: why it was not.
    """

    what: str
    text: str


class WithoutRule(NamedTuple):
    """Operators with multiply-accumulates that a convention has no rule for.

    Neither has it one for a function or a module that they ran in.

    Args:
        name: As torch calls them.
        macs: How many they have together.
        paths: The modules that they ran in; empty for the model itself.
    """

    name: str
    macs: int
    paths: tuple[str, ...]


class CountedBy(NamedTuple):
    """How a convention of others counts, and what its figure for a model as it is consists of.

    Args:
        title: As people call it.
        counts: What it calls its figure: FLOPs, MACs, mult-adds.
        means: What it counts and what not, in a sentence.
        shares: How much each kind of thing counts for, by what it is called; they add up.
        per_sample: Whether what modules count is divided by the batch.
        rules: What tells its rules from others of its name, see
            `dscost.conventions.Convention.digest`; `None` where that was not kept.
        without_rule: What has multiply-accumulates of ours and no rule, so that it counts nothing.
    """

    title: str
    counts: str
    means: str
    shares: Mapping[str, int] = MappingProxyType({})
    per_sample: bool = False
    rules: str | None = None
    without_rule: tuple[WithoutRule, ...] = ()

    def is_by(self, rules: str | None) -> bool:
        """Whether it is known to count by some rules."""
        return rules is not None and self.rules == rules


class KeptLayer(NamedTuple):
    """A layer whose convolution is better left as it is.

    Args:
        name: Of the layer.
        why: `slower`, `same` or `unclear`, as it measured; `not_timed`; `min_channels`: it has too
            few channels; `not_replaceable`: its convolution cannot be replaced where it is;
            `whole_slower`: swaps of this kind made the whole model slower.
        detail: What is known besides, in words.
    """

    name: str
    why: str
    detail: str | None = None


class Advice(NamedTuple):
    """Which convolutions of a timed model are worth swapping for depthwise-separable ones.

    Args:
        setting: What it was measured under, such as `cpu`.
        swaps: Names of the layers that measured faster when swapped.
        kept: The others that could be swapped, each with why it is kept.
        swapped: How many convolutions the swaps are.
        swappable: How many convolutions could be swapped at all.
        min_channels: A convolution of fewer channels in or out is kept.
        latency_s: Median time of the model as it is.
        advised_latency_s: The same with the swaps done; an estimate where there is no speedup.
        speedup: Latency as it is over that with the swaps done, if both were measured by turns.
        cost: Cost of the model with the swaps done.
    """

    setting: str
    swaps: tuple[str, ...]
    kept: tuple[KeptLayer, ...]
    swapped: int
    swappable: int
    min_channels: int
    latency_s: float | None = None
    advised_latency_s: float | None = None
    speedup: Speedup | None = None
    cost: Cost | None = None


class Report(Result):
    """Everything known about one model or layer: one entry of `subjects` in the JSON.

    Args:
        target: What was asked for.
        source: Where it was found: `layer`, `builtin`, `yaml`, `torchvision`, `timm`, `hf`,
            `python`, `file`, `export`, or `module` where it was given as one.
        inputs: What the figures hold for.
        totals: What the whole costs, version by version.
        layers: The layers in the order in which they run.
        coverage: How much of it is counted.
        settings: Values of the architecture's settings, or the depth multiplier of a layer and,
            under `variants`, the further ones that were asked for, each with the value of its
            parameter.
        assumed: Names of the values that nobody gave.
        latency: Times of the whole, by setting such as `cpu`.
        peak_activation_bytes: Largest sum of live activations, inputs included.
        skipped: Layers left standard since the swap makes them slower, where the user asked for
            that.
        predictions: Bounds of the whole by device and version, as in `Layer`.
        warnings: What the reader must know about the figures.
        environment: Where the times were taken.
        shared_weights: What layers share; `None` where that is not known.
        doubts: Those of the warnings that bear on whether the counts are whole.
        blocks: Modules that hold several layers, by path, where they are known.
        untimed: Those of the warnings that tell what was to be timed and was not.
        advice: Which convolutions are worth swapping; `None` where no layer was timed that could
            be swapped.
        by_convention: What the whole counts by conventions of others that were asked for, by name
            and version; of a layer by variant as well.
        conventions: How those count, by name; also of one whose figure was left out as other rules
            had counted it.
    """

    target: str
    source: str
    inputs: tuple[Input, ...]
    totals: Totals
    layers: tuple[Layer, ...]
    coverage: Coverage
    settings: Mapping[str, Any] = MappingProxyType({})
    assumed: tuple[str, ...] = ()
    latency: Mapping[str, Timing] = MappingProxyType({})
    peak_activation_bytes: int | None = None
    skipped: tuple[str, ...] = ()
    predictions: Mapping[str, Mapping[str, "Bound"]] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    environment: Environment | None = None
    shared_weights: tuple[SharedWeights, ...] | None = None
    doubts: tuple[Doubt, ...] = ()
    blocks: Mapping[str, Block] = MappingProxyType({})
    untimed: tuple[Untimed, ...] = ()
    advice: Advice | None = None
    by_convention: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    conventions: Mapping[str, CountedBy] = MappingProxyType({})

    @property
    def timing(self) -> Timing | None:
        """What was measured of the whole under the first setting."""
        return next(iter(self.latency.values()), None)

    @property
    def batch(self) -> int:
        """How many inputs at once it is of."""
        return next((one.shape[0] for one in self.inputs if one.shape), 1)

    def in_a_line(self) -> str:
        """Return what was counted, and the two figures that people ask for first."""
        cost = self.totals.as_is
        params, macs = format_count(cost.params), format_count(cost.macs)
        return f"{self.target}: {params} params, {macs} MACs"

    def to_dict(self) -> dict[str, Any]:
        """Return the subject as plain JSON values; the environment stands in the document."""
        return plain_fields(self, REPORT_KEYS)


REPORT_KEYS = (
    *("target", "source", "settings", "assumed", "inputs", "totals", "layers"),
    *("peak_activation_bytes", "latency", "predictions", "skipped", "coverage"),
    *("shared_weights", "warnings", "doubts", "blocks", "untimed", "advice"),
    *("by_convention", "conventions"),
)
"""The keys of a `Report` in the JSON; its environment stands in the document."""


def head(command: str) -> dict[str, Any]:
    """Return what the JSON document of a command begins with."""
    tool = {"name": "dscost", "version": __version__}
    return {"schema_version": SCHEMA_VERSION, "tool": tool, "command": command}


def document(reports: Sequence[Report], *, command: str) -> dict[str, Any]:
    """Return the whole JSON document for the reports of one command."""
    environment = next((report.environment for report in reports if report.environment), None)
    return {
        **head(command),
        "conventions": meanings_for(reports),
        "environment": plain(environment),
        "subjects": [report.to_dict() for report in reports],
    }


def meanings_for(reports: Iterable[Report]) -> dict[str, str]:
    """Return what numbers mean whose name does not say it: of every JSON, and of these reports."""
    of_others = {
        metric_of(name): f"{one.title}, {one.counts}: {one.means}"
        for report in reports
        for name, one in report.conventions.items()
        if name in report.by_convention
    }
    return {**CONVENTIONS, **of_others}


def plain(value: Any) -> Any:
    """Return nested results as dicts, lists and scalars."""
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "_asdict"):
        return _plain_entries(zip(value._fields, value, strict=True))
    if isinstance(value, ConvSpec):
        return plain_fields(value, value.__slots__)
    if isinstance(value, Mapping):
        return _plain_entries(value.items())
    if isinstance(value, Iterable):
        return [entry if type(entry) in _SCALARS else plain(entry) for entry in value]
    return value


def plain_fields(record: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return some of the fields and properties of a record, plain."""
    return _plain_entries((name, getattr(record, name)) for name in names)


_SCALARS = frozenset((str, int, float, bool, type(None)))
"""Nearly all entries there are: they are spared a call."""


def _plain_entries(entries: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    return {name: entry if type(entry) in _SCALARS else plain(entry) for name, entry in entries}
