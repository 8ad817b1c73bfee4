"""An ONNX file → its report. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dscost.analysis.collecting import collector_paused
from dscost.analysis.counting import CountedModel
from dscost.analysis.seen_versions import seen_of
from dscost.analysis.targets import Request
from dscost.analysis.trace_reports import Given, report_of, unknown_in_words, without_pair
from dscost.analysis.traced_layers import costs_of, totals_of
from dscost.conventions.standing import standing, without_meaning
from dscost.errors import InputError, NoShapeError, first_line
from dscost.graphs.binding import Bound, bind
from dscost.graphs.convolutions import WITHOUT_VERSIONS
from dscost.graphs.evaluating import traced
from dscost.graphs.positions import written_out
from dscost.graphs.settings import NodeSettings
from dscost.graphs.trying import Trial
from dscost.graphs.values import Value
from dscost.layers.convolution import Shape
from dscost.layers.variants import SEPARABLE
from dscost.networks.swaps import Swap, find_swaps
from dscost.notation.units import format_bytes
from dscost.printable import printable_line
from dscost.reports.records import Input, Totals
from dscost.sources import GraphSource
from dscost.traces import Event, Trace
from dscost.traces.calls import Call

if TYPE_CHECKING:
    import numpy as np
    from onnx import NodeProto

    from dscost.runtimes.programs import Program
    from dscost.timing import Setting

STANDING_NOTE = (
    "No other counter reads an ONNX file, and it does not say what was a module of torch: by their "
    "conventions each node counts as the module that usually comes to it."
)
MOST_SAID = 1500
"""Characters of what is wrong: names in files may be of any length."""


@collector_paused()
def count_graph(
    source: GraphSource, request: Request, *, target: str, strict: bool = False, train: bool = False
) -> CountedModel:
    """Return an ONNX file counted on the input that is asked for, or that it states.

    Raises:
        InputError: An axis is left open, the graph cannot be evaluated, or `strict` and an operator
            is of unknown cost.
    """
    inputs, notes = _bound(source, request, target=target, train=train)
    is_asked_for = request.input is not None or request.batch is not None
    nodes: dict[str, NodeProto] = {}
    with _named(target):
        trace = traced(source.model, inputs, nodes, is_given=is_asked_for)
    if strict and trace.unknown:
        told = ". ".join([unknown_in_words(trace), *trace.deciding])
        raise InputError(f"{target}: {printable_line(told[:MOST_SAID])}")
    steps = [_step(event) for event in trace.events]
    swaps = tuple(find_swaps(steps, trace.outputs))
    given = Given(
        tuple(Input(value.shape or (), value.dtype) for value in inputs.values()),
        sum(value.nbytes for value in inputs.values()),
    )
    report = report_of(
        trace,
        given=given,
        swaps=swaps,
        target=target,
        source=source.kind,
        notes=[
            *notes,
            *(_of_others(trace) if request.conventions else ()),
            *without_pair(trace._replace(events=steps), swaps),
            *written_out(source.model),
        ],
    )
    # nothing in such a file says what is trained
    layers = tuple(layer._replace(frozen_params=None) for layer in report.layers)
    report = report._replace(layers=layers)
    versions = GraphVersions(target, source, request, trace, given, nodes)
    return CountedModel(report, swaps, versions, is_graph=True)


def unknown_to_others(trace: Trace) -> str:
    """Return which operators multiply and stand for nothing that other counters know, in words."""
    names = without_meaning(trace)
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {verb} of unknown cost to other counters" if names else ""


def _of_others(trace: Trace) -> Iterator[str]:
    """Yield what to say of figures by conventions of others."""
    yield STANDING_NOTE
    unknown = unknown_to_others(trace)
    if unknown:
        yield f"{unknown}: what that multiplies is in none of their figures."


def _step(event: Event) -> Event:
    """Return an event as it is looked at for swaps."""
    return event._replace(conv=None) if event.operator in WITHOUT_VERSIONS else event


def inputs_given(
    source: GraphSource, request: Request, *, target: str, train: bool = False
) -> dict[str, Value]:
    """Return the inputs of an ONNX file by name, as they are asked for or as it states them.

    Raises:
        InputError: An axis is left open, or what is asked for makes no sense of such a file.
    """
    return _bound(source, request, target=target, train=train).values


def _bound(source: GraphSource, request: Request, *, target: str, train: bool) -> Bound:
    own = request.by_runtime and request.dtype == "float32"  # it is run as it is
    dtype = None if own else request.dtype
    wrong = {"--train": train, "--set": request.settings, "--dtype": dtype}
    for option, is_given in wrong.items():
        if is_given:
            why = ", its tensors are of their own dtypes" if option == "--dtype" else ""
            if dtype == "int8":
                why += "; --runtime onnxruntime times it in int8"
            raise InputError(f"{target} is an ONNX file: {option} has no meaning for it{why}")
    with _named(target):
        return bind(source.model.graph, request.input, request.batch, Trial(source.model))


@contextmanager
def _named(target: str) -> Iterator[None]:
    """Name the file in what is wrong with it."""
    try:
        yield
    except InputError as error:
        kind = NoShapeError if isinstance(error, NoShapeError) else InputError
        raise kind(f"{target}: {printable_line(str(error)[:MOST_SAID])}") from error


class GraphVersions:
    """A counted graph that can be written anew with some of its swaps done.

    Args:
        target: What the user calls it.
        source: The file.
        request: What it was counted on.
        trace: What happens in it.
        given: What it is given.
        nodes: Its nodes by their names in the trace.
    """

    def __init__(
        self,
        target: str,
        source: GraphSource,
        request: Request,
        trace: Trace,
        given: Given,
        nodes: "Mapping[str, NodeProto]",
    ) -> None:
        self._target, self._source, self._request = target, source, request
        self.trace, self._given, self.nodes = trace, given, nodes

    def layer_of(self, swap: Swap) -> tuple[str, Shape]:
        """Return the layer that a swap stands with, and the shape of its input."""
        first = self.trace.events[swap.positions[0]]
        return first.module, first.batched_input_shape

    def totals(self, swaps: Sequence[Swap]) -> Totals:
        """Return what the versions cost with these swaps and no others."""
        return totals_of(self.trace, costs_of(self.trace), self._given.nbytes, swaps)

    def calls(self, variant: str, swaps: Sequence[Swap]) -> Iterator[Call]:
        """Return what counters would see of a version, were it written in torch as usual."""
        seen = standing(self.trace, NodeSettings(self._source.model, self.nodes))
        return seen_of(self.trace.events, seen, variant, swaps)

    def program(
        self, variant: str, swaps: Sequence[Swap], setting: "Setting", *, seed: int = 0
    ) -> tuple["Program", Mapping[str, str]]:
        """Return a version of the model to be run, and why layers had to be left, by name.

        Only now are its weights read, unless it is the file as it is: that is run by its path.

        Raises:
            InputError: The file has another batch, its inputs cannot be made up, or it cannot be
                read or written whole.
        """
        from dscost.runtimes.programs import GraphProgram

        inputs = self._made_up(setting, seed)
        due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
        graph: bytes | Path = self._source.path
        done: Sequence[Swap] = ()
        left: Mapping[str, str] = {}
        if variant != "as_is" and due:
            graph, done, left = self._written(variant, due, seed)
        macs = getattr(self.totals(done), variant).macs
        if setting.batch is not None:
            macs = macs * setting.batch // self._batch
        return GraphProgram(self._target, graph, inputs, macs), left

    @property
    def _batch(self) -> int:
        """How many inputs at once were counted."""
        first = next(iter(self._given.inputs), None)
        return max(1, *first.shape[:1]) if first and first.shape else 1

    def _written(
        self, variant: str, due: Sequence[Swap], seed: int
    ) -> tuple[bytes, Sequence[Swap], Mapping[str, str]]:
        """Return a model with swaps done, which of them, and why others are not."""
        from dscost.graphs.reading import read_whole
        from dscost.graphs.versions import rewritten
        from dscost.graphs.writing import MOST_BYTES, serialized

        nbytes = getattr(self.totals(due), variant).weight_bytes
        if nbytes > MOST_BYTES:
            raise InputError(
                f"{self._target}: with {variant.replace('_', '-')} convolutions its weights are "
                f"{format_bytes(nbytes)}, and an ONNX model in memory holds at most 2 GiB"
            )

        source = self._source
        own = list(source.model.graph.node)  # each the same object as long as somebody holds it
        here = {id(node): at for at, node in enumerate(own)}
        places = {name: here[id(node)] for name, node in self.nodes.items() if id(node) in here}
        with _named(self._target):
            whole = read_whole(source.path)
            made = rewritten(whole, self.trace.events, places, due, variant, seed=seed)
            return serialized(made.model), made.done, made.left

    def _made_up(self, setting: "Setting", seed: int) -> "Mapping[str, np.ndarray]":
        """Return inputs of the sizes that were counted, in another batch if any."""
        from dscost.graphs.running import made_up

        request = self._request
        if setting.batch is not None:
            request = request._replace(batch=setting.batch)
        try:
            return made_up(inputs_given(self._source, request, target=self._target), seed)
        except TypeError as error:  # dtypes that numpy has not
            told = f"its inputs cannot be made up: {first_line(error)}"
            raise InputError(f"{self._target}: {told}") from error
