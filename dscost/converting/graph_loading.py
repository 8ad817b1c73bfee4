"""An ONNX file → what is to be converted: its model with all weights, and what that costs."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from onnx import ModelProto, NodeProto

from dscost.analysis import Request
from dscost.analysis.graphs import GraphVersions, count_graph, inputs_given
from dscost.analysis.predicting import dtype_of
from dscost.analysis.whole_models import WholeModel
from dscost.converting.plan_file import Plan
from dscost.errors import InputError, UnavailableError
from dscost.graphs.reading import read_whole
from dscost.graphs.running import made_up
from dscost.graphs.stored import Weights
from dscost.graphs.values import Value
from dscost.graphs.writing import serialized
from dscost.notation.inputs import TensorSpec, inputs_of, parse_input
from dscost.reports.figures import Cost
from dscost.reports.records import Input
from dscost.runtimes.programs import GraphProgram
from dscost.sources import GraphSource, Opening, find_source
from dscost.timing import Setting
from dscost.traces import Trace


class GraphSubject(NamedTuple):
    """An ONNX file to be converted.

    Args:
        target: What the user calls it.
        source: `onnx`.
        model: What it holds, all weights in it.
        traced: What happens in it.
        nodes: Its nodes, by their names in the trace.
        stored: Its stored tensors.
        given: Its inputs, by name.
        request: How they are asked for.
        cost: What the whole model costs.
        inputs: What it was counted on.
        dtype: That it computes in.
        notes: What the reader must know.
        weights: The file of other weights, of which there is none.
        explanations: What helps to read the errors.
    """

    target: str
    source: str
    model: ModelProto
    traced: Trace
    nodes: Mapping[str, NodeProto]
    stored: Weights
    given: Mapping[str, Value]
    request: Request
    cost: Cost
    inputs: tuple[Input, ...]
    dtype: str
    notes: tuple[str, ...]
    weights: None = None
    explanations: tuple[str, ...] = ()

    def kinds(self) -> dict[str, str]:
        """Return the operator of every node, by name."""
        return {name: node.op_type for name, node in self.nodes.items()}

    def readers(self) -> Mapping[str, int]:
        """Return how many nodes read each stored tensor, by its name."""
        return self.stored.readers

    def input_specs(self) -> Iterator[TensorSpec]:
        """Yield the inputs as a plan file has them; nothing where it could not read them again."""
        several = len(self.given) > 1
        specs = [
            TensorSpec(one.shape or (), _told(one.dtype), name if several else None)
            for name, one in self.given.items()
        ]
        if all(_is_written(spec) for spec in specs):
            yield from specs

    def whole_model(self, model: ModelProto | None = None) -> WholeModel:
        """Return it, or another model in its place, to be timed by what takes ONNX."""
        own = self.model if model is None else model

        def program(setting: Setting, seed: int) -> GraphProgram:
            inputs = made_up(self.given, seed)
            return GraphProgram(self.target, serialized(own), inputs, self.cost.macs)

        return WholeModel(self._no_module, self._no_module, program, self.cost, self.dtype)

    def _no_module(self, *_: object) -> Any:
        raise UnavailableError(f"{self.target} is an ONNX file, of which there is no torch module")

    def cost_of(self, model: ModelProto) -> Cost:
        """Return what another model costs that is given the same."""
        source = GraphSource(self.source, Path(self.target), model)
        return count_graph(source, self.request, target=self.target).report.totals.as_is


def _told(dtype: str) -> str | None:
    return None if dtype == "float32" else dtype


def _is_written(spec: TensorSpec) -> bool:
    try:
        return parse_input(str(spec)) == spec
    except InputError:
        return False


def load_graph(target: str, request: Request, plan: Plan | None = None) -> GraphSubject:
    """Return an ONNX file with all of its weights; where the request has no input, on the plan's.

    Raises:
        InputError: It cannot be read, an axis is open, or the request makes no sense of it.
    """
    naming_input: AbstractContextManager[None] = nullcontext()
    if request.input is None and plan is not None and plan.inputs:
        request = request._replace(input=inputs_of(plan.inputs))
        naming_input = plan.naming_its_input()
    found = find_source(target, Opening(request.kwargs or {}))
    assert isinstance(found, GraphSource)
    model = read_whole(found.path)
    source = found._replace(model=model)
    with naming_input:
        given = inputs_given(source, request, target=target)
        counted = count_graph(source, request, target=target)
    versions = counted.versions
    assert isinstance(versions, GraphVersions)
    return GraphSubject(
        target=target,
        source=source.kind,
        model=model,
        traced=versions.trace,
        nodes=versions.nodes,
        stored=Weights(model),
        given=given,
        request=request,
        cost=counted.report.totals.as_is,
        inputs=counted.report.inputs,
        dtype=dtype_of(counted.report),
        notes=counted.report.warnings,
    )
