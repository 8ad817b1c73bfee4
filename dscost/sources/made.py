"""What a target turns out to be: an architecture, a torch module, an ONNX file, a saved report."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError, UnknownNameError
from dscost.networks.architectures import Architecture
from dscost.notation.units import DTYPE_BYTES
from dscost.reports.records import Report

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dscost.sources.stated import Stated


class ArchitectureSource(NamedTuple):
    """An architecture that was found, and where: `builtin` or `yaml`."""

    kind: str
    architecture: Architecture


class Home(NamedTuple):
    """Where the code of a model is, for other code to import.

    Args:
        module: Dotted name of the module.
        attribute: Dotted name in it, of what makes the model.
        folders: Where the module is, and where else it seeks what it imports; none if it is
            installed.
        is_module: Whether the name is the model itself, and nothing is called.
    """

    module: str
    attribute: str
    folders: tuple[Path, ...]
    is_module: bool = False


class ModuleSource(NamedTuple):
    """A torch module that was made.

    Args:
        kind: The name of its opener in `SOURCES`, or `module`.
        module: On the meta device wherever its code allows.
        input: What its forward takes where the model says so: a shape, or a list of inputs.
        notes: What the reader of the figures must know.
        make_real: Makes it once more with values on the CPU, for a model that has to run for real.
        ask: Asks the module that its factory stands in for the input, where that states one.
        importing: Where its code finds what it imports from its own folder, to be entered while it
            runs.
        stated: Where the input was stated that it runs on, to follow "the input is"; nothing where
            it was given.
        home: Where the code is that makes it, where that is somebody's own.
    """

    kind: str
    module: "nn.Module"
    input: Any = None
    notes: tuple[str, ...] = ()
    make_real: Callable[[], "nn.Module"] | None = None
    ask: "Callable[[], Stated] | None" = None
    importing: Callable[[], AbstractContextManager[None]] = nullcontext
    stated: str | None = None
    home: Home | None = None

    @property
    def dtype(self) -> str:
        """Of its first floating-point parameter, or float32."""
        from dscost.foreign.parts import each_parameter

        for parameter in each_parameter(self.module):
            if parameter.is_floating_point():
                return str(parameter.dtype).removeprefix("torch.")
        return "float32"

    def in_dtype(self, dtype: str) -> "ModuleSource":
        """Return the same with its floats in another dtype; the module itself is changed."""
        import torch
        from torch.utils import _pytree as pytree

        from dscost.foreign.parts import in_dtype

        def converted(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(kind) if tensor.is_floating_point() else tensor

        kind, make_real = _dtype_of_weights(dtype), self.make_real
        return self._replace(
            module=in_dtype(self.module, kind),
            input=pytree.tree_map_only(torch.Tensor, converted, self.input),
            make_real=(lambda: in_dtype(make_real(), kind)) if make_real else None,
        )


def _dtype_of_weights(name: str) -> "torch.dtype":
    import torch

    found = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(found, torch.dtype):
        raise UnknownNameError("dtype", str(name), DTYPE_BYTES)
    if not (found.is_floating_point or found.is_complex):
        raise InputError(
            f"the weights of a module cannot be {name}: only architectures are counted in that"
        )
    return found


class GraphSource(NamedTuple):
    """An ONNX file that was read, without its weights.

    Args:
        kind: `onnx`.
        path: The file.
        model: What it holds, an `onnx.ModelProto`.
    """

    kind: str
    path: Path
    model: Any


class SavedSource(NamedTuple):
    """A report that was saved: figures of a model, not the model itself."""

    report: Report
