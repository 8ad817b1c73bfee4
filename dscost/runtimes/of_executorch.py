"""A program lowered to ExecuTorch, with all that XNNPACK takes delegated to it.

ExecuTorch is imported where it is silenced: it logs and prints from the first import on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.export import export
from torch.utils._pytree import tree_leaves

from dscost.foreign.logs import quietly, silent_output
from dscost.runtimes import How, Running
from dscost.runtimes.fusing import counted
from dscost.runtimes.programs import Program, TorchForm
from dscost.runtimes.refusing import refusing

TITLE = "ExecuTorch"
_SPEAKERS = ("torch", "executorch", "root")


def load(program: Program, how: How) -> Running:
    """Return a program with its inputs set, which it reads where they lie.

    XNNPACK's threads are those of the process. Where their number changes, programs that were
    loaded before must not be called any more.
    """
    form = program.torch_form
    with refusing(TITLE), quietly(_SPEAKERS), silent_output():
        content, told = _lowered(form)
        method = _Method(content, form, how.threads)
        method.run()  # what it has no kernel for, it tells only now
    return Running(method.run, method.outputs, "torch.export", told)


class _Method:
    """The forward of a program.

    Args:
        content: The program, as a file holds it.
        form: What it was made from, for its inputs.
        threads: How many it may compute with.
    """

    def __init__(self, content: bytes, form: TorchForm, threads: int) -> None:
        from executorch.extension.pybindings import portable_lib

        if portable_lib._threadpool_get_thread_count() != threads:
            portable_lib._unsafe_reset_threadpool(threads)
        self._content = content  # which the program reads, and does not keep
        self._program = portable_lib._load_program_from_buffer(content)
        self._method = self._program.load_method("forward")
        self._inputs = tuple(tree_leaves((form.args, dict(form.kwargs))))
        self._method.set_inputs(self._inputs)

    def run(self) -> None:
        """Run it once."""
        self._method.execute()

    def outputs(self) -> list[Any]:
        """Return copies of what the last call wrote: the next one writes to the same memory."""
        made = self._method.get_outputs(clone_outputs=True)
        return [one.numpy() for one in made if isinstance(one, torch.Tensor)]


def _lowered(form: TorchForm) -> tuple[bytes, tuple[str, ...]]:
    """Return a program as a file holds it, and the operators that it runs."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    with _watched() as graphs, torch.no_grad():
        exported = export(form.module, form.args, dict(form.kwargs), strict=False)
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        nodes = edge.exported_program().graph.nodes
        targets = [node.target for node in nodes if node.op == "call_function"]
        # inputs that have no memory of their own are read where they lie, not copied first
        planning = MemoryPlanningPass(alloc_graph_input=False)
        whole = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    return whole.buffer, told_of(graphs, targets)


@contextmanager
def _watched() -> Iterator[list[Any]]:
    """Give the graphs that are handed to XNNPACK meanwhile."""
    from executorch.backends.xnnpack import xnnpack_preprocess

    graphs: list[Any] = []
    write = xnnpack_preprocess.serialize_xnnpack_binary

    def watched(graph: Any, *args: Any, **kwargs: Any) -> Any:
        graphs.append(graph)
        return write(graph, *args, **kwargs)

    with mock.patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", watched):
        yield graphs


# -- what it says of itself

_NO_KERNELS = ("executorch_call_delegate", "getitem")


def told_of(graphs: Sequence[Any], targets: Sequence[Any]) -> tuple[str, ...]:
    """Return what XNNPACK runs, as `Conv2d + clamp ×2`, and what is left to portable kernels.

    Args:
        graphs: Given to XNNPACK.
        targets: What the program calls outside of them.
    """
    by_xnnpack = (_word(node) for graph in graphs for node in graph.xnodes)
    names = (str(getattr(target, "__name__", target)) for target in targets)
    left = (f"not in XNNPACK: {name}" for name in names if name not in _NO_KERNELS)
    return counted((*by_xnnpack, *left))


def _word(node: Any) -> str:
    """Return what a node of XNNPACK computes, and that it clamps, as a ReLU that was fused does."""
    name = type(node.xnode_union).__name__.removeprefix("XNN")
    return f"{name} + clamp" if node.output_min_max is not None else name
