"""Networks to be run, in the forms that runtimes take: an ONNX model, or a torch module.

Each form is made when it is first asked for. Both compute the same, with the same weights, so that
what a runtime makes of one can be held against the other.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dscost.errors import UnavailableError, needing_onnx
from dscost.foreign.failures import must_pass
from dscost.networks.network import Operation

if TYPE_CHECKING:
    from torch import nn

    from dscost.runtimes.exporting import ExportedModule

Array = np.ndarray[Any, Any]

MOST_OPERATIONS_OF_LAYER = 8
"""Of one convolution written otherwise, with what follows it: torch is not loaded for its sake,
which takes seconds."""


class TorchForm(NamedTuple):
    """A network as torch takes it: in inference mode on the CPU, and what its forward takes."""

    module: "nn.Module"
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Reference(NamedTuple):
    """What a network should return.

    Args:
        outputs: In the order of its outputs.
        by: Who computed it, as `onnx's evaluator 1.23.2`.
    """

    outputs: Sequence[Array]
    by: str


class Program:
    """A network to be run.

    Args:
        name: How it is called where something is wrong with it.
        macs: Of one call.
    """

    def __init__(self, name: str, macs: int) -> None:
        self.name, self.macs = name, macs

    @property
    def inputs(self) -> Mapping[str, Array]:
        """What it is given, by the names of the inputs of its ONNX form, in their order."""
        raise NotImplementedError

    @property
    def graph(self) -> bytes | Path:
        """Its ONNX form: a model, or a file where that has its weights beside it.

        Raises:
            InputError: ONNX has no such network.
            UnavailableError: What writes it is not installed.
        """
        raise NotImplementedError

    @property
    def torch_form(self) -> TorchForm:
        """Its torch form.

        Raises:
            UnavailableError: It has none, or torch is not installed.
        """
        raise NotImplementedError

    @property
    def reference(self) -> Reference:
        """What it should return for its inputs, computed in float32 by another than a runtime."""
        raise NotImplementedError

    @property
    def precision(self) -> str:
        """What it computes in by itself: a dtype, `int8` where it rounds its activations."""
        return "float32"


class OperationsProgram(Program):
    """A network as data, with random weights that keep its values in scale.

    Args:
        name: How it is called.
        operations: In running order; the last one makes its output.
        seed: Of weights and of the input.
    """

    def __init__(self, name: str, operations: Sequence[Operation], seed: int = 0) -> None:
        macs = (one.spec.macs(one.input_shapes, one.output_shape) for one in operations)
        super().__init__(name, sum(macs))
        self._operations, self._seed = operations, seed

    @cached_property
    def inputs(self) -> Mapping[str, Array]:
        """A random input."""
        from dscost.graphs.writing import INPUT
        from dscost.networks.network import NETWORK_INPUT

        firsts = (one for one in self._operations if one.sources[0] == NETWORK_INPUT)
        shape = next(firsts).input_shapes[0]
        return {INPUT: random_values(shape, self._seed)}

    @cached_property
    def _model(self) -> Any:
        with needing_onnx():
            from dscost.graphs.writing import written

        return written(self._operations, name=self.name, seed=self._seed)

    @cached_property
    def graph(self) -> bytes:
        """The model, whose nodes are called as the operations."""
        content: bytes = self._model.SerializeToString()
        return content

    @cached_property
    def torch_form(self) -> TorchForm:
        """The module that dscost makes of such a network, with the weights of the ONNX form."""
        import torch

        from dscost.foreign.parts import set_training
        from dscost.graphs.running import stored_arrays
        from dscost.modules.building import Network

        module = Network(self._operations)
        values = {name: each.copy() for name, each in stored_arrays(self._model).items()}
        own = module.state_dict()
        module.load_state_dict(
            {name: torch.from_numpy(values[name]) if name in values else own[name] for name in own}
        )
        set_training(module, False)
        return TorchForm(module, tuple(map(torch.from_numpy, self.inputs.values())), {})

    @cached_property
    def reference(self) -> Reference:
        """What onnx's evaluator says; of a large network, what torch or ONNX Runtime say."""
        is_layer = len(self._operations) <= MOST_OPERATIONS_OF_LAYER
        can_wait = is_layer and "torch" not in sys.modules and find_spec("onnxruntime") is not None
        by_torch = find_spec("torch") is not None and not can_wait
        return reference_of_graph(self._model, self.inputs, self.macs, self if by_torch else None)


class ModuleProgram(Program):
    """A torch module with what its forward takes.

    Args:
        name: How it is called.
        module: In inference mode, on the CPU; left as it is.
        args: Of its forward.
        kwargs: Of its forward.
        macs: Of one call.
    """

    def __init__(
        self,
        name: str,
        module: "nn.Module",
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        macs: int,
    ) -> None:
        super().__init__(name, macs)
        self._form = TorchForm(module, args, kwargs)

    @property
    def torch_form(self) -> TorchForm:
        """The module itself."""
        return self._form

    @cached_property
    def _exported(self) -> "ExportedModule":
        from dscost.runtimes.exporting import exported

        return exported(self._form)

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Its tensors, as the ONNX form takes them."""
        return self._exported.inputs

    @property
    def graph(self) -> bytes:
        """What torch.onnx makes of it."""
        return self._exported.content

    @cached_property
    def reference(self) -> Reference:
        """What the module returns."""
        return reference_of_torch(self._form)


class GraphProgram(Program):
    """An ONNX model, which has no torch form.

    Args:
        name: How it is called.
        graph: A model, or a file.
        inputs: What it is given, by name.
        macs: Of one call.
    """

    def __init__(
        self, name: str, graph: bytes | Path, inputs: Mapping[str, Array], macs: int
    ) -> None:
        super().__init__(name, macs)
        self._graph, self._inputs = graph, inputs

    @property
    def inputs(self) -> Mapping[str, Array]:
        """What was given."""
        return self._inputs

    @property
    def graph(self) -> bytes | Path:
        """The model, or the file."""
        return self._graph

    @property
    def torch_form(self) -> TorchForm:
        """Refuse."""
        raise UnavailableError(f"{self.name} is an ONNX file, of which there is no torch module")

    @cached_property
    def precision(self) -> str:
        """What its nodes and weights say."""
        from dscost.graphs.running import precision_of, structure_of

        return precision_of(structure_of(self._graph))

    @cached_property
    def reference(self) -> Reference:
        """What onnx's evaluator says, or ONNX Runtime without its optimisations."""
        from dscost.graphs.running import loaded

        return reference_of_graph(loaded(self._graph), self._inputs, self.macs, None)


def random_values(shape: Sequence[int], seed: int) -> Array:
    """Return normally distributed float32 values."""
    values: Array = np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32)
    return values


def reference_of_graph(
    model: Any, inputs: Mapping[str, Array], macs: int, program: Program | None
) -> Reference:
    """Return what an ONNX model should return.

    Args:
        model: A `ModelProto`.
        inputs: What it is given.
        macs: Of one call.
        program: With a torch form of it, where torch is to say it of a large one.
    """
    from dscost.graphs.running import MOST_MACS_OF_REFERENCE, evaluated, run_as_written

    has_runtime = find_spec("onnxruntime") is not None
    if macs <= MOST_MACS_OF_REFERENCE:
        try:
            return Reference(*evaluated(model, inputs))
        except Exception as error:  # an operator of others, or one that it has not yet
            if must_pass(error) or not has_runtime:
                raise
    elif program is not None:
        return reference_of_torch(program.torch_form)
    return Reference(*(run_as_written if has_runtime else evaluated)(model, inputs))


def reference_of_torch(form: TorchForm) -> Reference:
    """Return what a module returns."""
    import torch
    from torch.utils._pytree import tree_map

    def apart(one: Any) -> Any:
        return one.clone() if isinstance(one, torch.Tensor) else one

    with torch.inference_mode():
        # a forward may write to what it is given
        args, kwargs = tree_map(apart, (form.args, dict(form.kwargs)))
        made = form.module(*args, **kwargs)
    return Reference(
        [one.numpy(force=True) for one in tensors_in(made)], f"torch {torch.__version__}"
    )


def tensors_in(made: Any) -> list[Any]:
    """Return the tensors of what a module returned, in their order.

    Raises:
        UnavailableError: There are none, so that nothing can be held against them.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    found = [one for one in tree_leaves(made) if isinstance(one, torch.Tensor)]
    if not found:
        raise UnavailableError("it returns no tensor")
    return found
