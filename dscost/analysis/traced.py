"""A traced torch model → its report."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial

from torch import nn

from dscost.analysis.collecting import collector_paused
from dscost.analysis.counting import CountedModel
from dscost.analysis.seen_versions import seen_of
from dscost.analysis.trace_reports import Given, report_of, unknown_in_words, without_pair
from dscost.analysis.traced_layers import costs_of, counting_swaps, totals_of
from dscost.conventions.exported import EXPORT_NOTE, with_functions
from dscost.errors import InputError
from dscost.foreign.closed import closed_by
from dscost.layers.convolution import Shape
from dscost.modules.building import placed
from dscost.networks.swaps import Swap, find_swaps
from dscost.reports.records import Input, Totals
from dscost.runtimes.programs import ModuleProgram
from dscost.sources import ModuleSource
from dscost.timing import Setting
from dscost.traces.calls import Call
from dscost.traces.rules import gradient_macs
from dscost.tracing import Arguments, Event, Trace, trace
from dscost.tracing.sparse import nbytes_of


@collector_paused()
def analyze_module(
    source: ModuleSource,
    arguments: Arguments,
    *,
    target: str,
    strict: bool = False,
    train: bool = False,
    functions: Collection[str] | None = None,
) -> CountedModel:
    """Return any torch model counted on the given arguments; `train` counts the backward pass too.

    With `functions`, also as counters of others see it, which look at these functions of torch.

    Raises:
        InputError: The model cannot be run on them, or `strict` and an operator is of unknown cost.
    """
    try:
        with source.importing():
            traced = trace(
                source.module,
                arguments,
                training=train,
                make_real=source.make_real,
                functions=functions,
            )
    except InputError as error:
        if source.stated is None:
            raise
        raise InputError(f"{error}; the input is {source.stated}, --input gives another") from error
    if strict and traced.unknown:
        raise InputError(f"{target}: {unknown_in_words(traced)}")
    swaps = tuple(find_swaps(traced.events, traced.outputs))
    given = _given(arguments)
    reporting = partial(report_of, given=given, target=target, source=source.kind)
    if not train:
        of_others = [EXPORT_NOTE] if functions is not None and source.kind == "export" else []
        notes = [*source.notes, *of_others, *without_pair(traced, swaps)]
        report = reporting(traced, swaps=swaps, notes=notes)
        return CountedModel(report, swaps, TracedVersions(source, arguments, traced))
    traced = traced._replace(events=with_backward(traced))
    notes = [*source.notes, TRAINING_NOTE]
    if traced.trained is not None and not traced.trained:
        notes.append(UNTRAINED_NOTE)
    report = reporting(traced, swaps=(), notes=notes)
    layers = tuple(counting_swaps(report.layers, traced.events, swaps))
    return CountedModel(report._replace(layers=layers))


TRAINING_NOTE = (
    "Training: MACs are those of forward and backward; "
    "bytes and peak memory are of the forward pass."
)


UNTRAINED_NOTE = (
    "Nothing that the model returns needs a gradient, so there is no backward pass to count."
)


def with_backward(traced: Trace) -> list[Event]:
    """Return the events of a trace with the MACs of their gradients added.

    A product has one gradient per operand, each of as many MACs as the product itself. It is
    computed where something trainable lies behind the operand and nothing in between has switched
    gradients off. Attention is two products. A recurrent layer counts two gradients as soon as
    anything behind it is trainable.
    """
    events = list(traced.events)
    for at, is_reached in enumerate(_reached(traced)):
        event = events[at]
        if is_reached and event.differentiable:
            events[at] = event._replace(macs=event.macs + _backward_macs(event))
    return events


def _reached(traced: Trace) -> list[bool]:
    """Return for each event whether a gradient of what the model returns comes back to it."""
    if traced.trained is None:  # it returns nothing that is known; then everything may be wanted
        return [True] * len(traced.events)
    wanted = [at in traced.trained for at in range(len(traced.events))]
    for at in reversed(range(len(wanted))):
        if wanted[at]:
            for source in traced.events[at].gradients_to:
                wanted[source] = True
    return wanted


def _backward_macs(event: Event) -> int:
    if event.gradient_macs is not None:
        return event.gradient_macs
    return gradient_macs(event.operator, event.macs, event.needing)


class TracedVersions:
    """A traced model that can be written anew with some of its swaps done."""

    def __init__(self, source: ModuleSource, arguments: Arguments, traced: Trace) -> None:
        self.source, self._arguments, self.traced = source, arguments, traced
        self.importing = source.importing

    def layer_of(self, swap: Swap) -> tuple[str, Shape]:
        """Return the layer that a swap stands with, and the shape of its input."""
        first = self.traced.events[swap.positions[0]]
        return first.module, first.batched_input_shape

    def totals(self, swaps: Sequence[Swap]) -> Totals:
        """Return what the versions cost with these swaps and no others."""
        return totals_of(self.traced, costs_of(self.traced), _given(self._arguments).nbytes, swaps)

    def calls(self, variant: str, swaps: Sequence[Swap]) -> Iterator[Call]:
        """Return what counters of others would see of a version, its swaps as `torch.nn` has them.

        Nothing is known where the trace was not asked for it. Where the model does something else
        while they watch, they see a version of that, with the same layers swapped.

        Raises:
            InputError: It cannot be known.
        """
        traced = self.traced
        if traced.why_unseen:
            raise InputError(f"others cannot count it: {traced.why_unseen}")
        seen: Iterable[Call] = traced.seen
        if self.source.kind == "export":
            seen = with_functions(seen)
        if traced.otherwise is not None:
            names = {self.layer_of(swap)[0] for swap in swaps}
            traced = traced.otherwise
            found = find_swaps(traced.events, traced.outputs)
            swaps = [one for one in found if traced.events[one.positions[0]].module in names]
        return seen_of(traced.events, seen, variant, swaps)

    @property
    def why_unseen(self) -> str:
        """Why it is not known what counters of others would see; empty where it is."""
        return self.traced.why_unseen

    @property
    def batch(self) -> int:
        """How many inputs at once others take it for: the size of the first that is not named."""
        shapes = (one.shape for one in Arguments(self._arguments.args, {}).tensors if one.dim())
        return next((int(shape[0]) for shape in shapes), 1)

    def unlike(self, *, by_operators: bool) -> Iterator[str]:
        """Yield why what others see of the model is not what is counted here, in sentences.

        Args:
            by_operators: Whether one of them looks at operators.
        """
        traced = self.traced
        if traced.otherwise is not None:
            ours, theirs = map(_products, (traced.events, traced.otherwise.events))
            if ours != theirs:
                yield (
                    "The model does something else where functions of torch are replaced, as other "
                    "counters replace them: what they would count is of other layers, with "
                    f"{_macs(theirs):,} MACs instead of {_macs(ours):,}."
                )
        if traced.elsewhere and by_operators:
            yield (
                "Parts of the model ran in threads of its own: counters that look at operators see "
                "nothing of them."
            )

    @cached_property
    def closed_by(self) -> str:
        """What has closed the model or a part of it to who looks for classes of modules."""
        return closed_by(self.source.module)

    def build(self, variant: str, swaps: Sequence[Swap]) -> tuple[nn.Module, Mapping[str, str]]:
        """Return a version of the model with values, and why layers had to be left, by name."""
        from dscost.modules.building import with_values
        from dscost.rewriting.versions import rewritten

        module = with_values(self.source.module, self.source.make_real)
        if variant == "as_is":
            return module, {}
        return rewritten(module, self.traced.events, swaps, variant)

    def program(
        self, variant: str, swaps: Sequence[Swap], setting: Setting, *, seed: int = 0
    ) -> tuple[ModuleProgram, Mapping[str, str]]:
        """Return a version to be run by another than torch, and why layers had to be left.

        Whatever is random in it is of torch's own seed, which the bench has set.
        """
        module, left = self.build(variant, swaps)
        place = setting._replace(dtype="float32") if setting.dtype == "int8" else setting
        module = placed(module, **place.place)
        args, kwargs = self.arguments(place)
        macs = sum(event.macs for event in self.traced.events)
        return ModuleProgram("the whole model", module, args, kwargs, macs), left

    def arguments(self, setting: Setting) -> Arguments:
        """Return the arguments with values: of a mere shape random ones, or 0 for integers."""
        arguments = self._arguments
        if setting.batch is not None:
            arguments = arguments.with_batch(setting.batch)
        return arguments.with_values(**setting.place)


def _products(events: Iterable[Event]) -> Counter[tuple[str, int]]:
    """Return what multiplies in a run, in whatever order: layers with their MACs."""
    return Counter((event.module, event.macs * event.times) for event in events if event.macs)


def _macs(products: Counter[tuple[str, int]]) -> int:
    return sum(macs * times for (_, macs), times in products.items())


def _given(arguments: Arguments) -> Given:
    """Return the inputs of a forward as a report tells of them."""
    tensors = arguments.tensors
    inputs = [Input(tuple(one.shape), str(one.dtype).removeprefix("torch.")) for one in tensors]
    return Given(tuple(inputs), sum(map(nbytes_of, tensors)))
