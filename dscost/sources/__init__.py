"""From what the user calls a model (`TARGETS`) to something that can be analysed.

Nothing heavy is imported until it is asked for.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.files import REPORT_ENDING, split_report_name
from dscost.networks.architectures import (
    Architecture,
    builtin_names,
    find_builtin,
    read_architecture,
)
from dscost.notation.units import DTYPE_BYTES
from dscost.registries import Registry
from dscost.reports.records import Report

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dscost.sources.stated import Stated

__all__ = [
    "SOURCES",
    "TARGETS",
    "YAML_ENDINGS",
    "ArchitectureSource",
    "ModuleSource",
    "SavedSource",
    "Source",
    "find_source",
    "is_saved",
    "runs_code",
    "split_file",
]

TARGETS: Mapping[str, str] = {
    "resnet18": "a built-in model (dscost list models); else one of torchvision, else of timm",
    "torchvision:NAME": "a model of torchvision with random weights, nothing downloaded",
    "timm:NAME": "a model of timm with random weights, nothing downloaded",
    "hf:TYPE": "a model type of transformers, such as hf:bert, by its default configuration "
    "(--kwargs changes it); "
    "or hf:FOLDER with a config.json; the hub is not asked",
    "package.module:NAME": "a class, function or instance, sought in the working directory "
    "and among what is installed",
    "path/file.py:NAME": "a class, function or instance in a file; one that imports relatively is "
    "taken as part of its package",
    "net.yaml": "an architecture; nets.yaml:NAME one of several",
    "program.pt2": "a program of torch.export",
    "report.json": "what dscost layer or dscost model saved; reports.json:NAME one of several",
}
"""What the user may call a model."""
YAML_ENDINGS = (".yaml", ".yml")
FILE_ENDINGS = (*YAML_ENDINGS, ".py", ".pt2", ".onnx", REPORT_ENDING)
"""How the files end that may be targets, with or without a name behind them."""
MAX_NAME = 200
"""Longer than the name of any model or file."""
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


class ArchitectureSource(NamedTuple):
    """An architecture that was found, and where: `builtin` or `yaml`."""

    kind: str
    architecture: Architecture


class ModuleSource(NamedTuple):
    """A torch module that was made.

    Args:
        kind: `torchvision`, `timm`, `hf`, `python`, `file`, `export` or `module`.
        module: On the meta device wherever its code allows.
        input: What its forward takes where the model says so: a shape, or a list of inputs.
        notes: What the reader of the figures must know.
        make_real: Makes it once more with values on the CPU, for a model that has to run for real.
        ask: Asks the module that its factory stands in for the input, where that states one.
        importing: Where its code finds what it imports from its own folder, to be entered while it
            runs.
        stated: Where the input was stated that it runs on, to follow "the input is"; nothing where
            it was given.
    """

    kind: str
    module: "nn.Module"
    input: Any = None
    notes: tuple[str, ...] = ()
    make_real: Callable[[], "nn.Module"] | None = None
    ask: "Callable[[], Stated] | None" = None
    importing: Callable[[], AbstractContextManager[None]] = nullcontext
    stated: str | None = None

    @property
    def dtype(self) -> str:
        """Of its first floating-point parameter, or float32."""
        from dscost.foreign.parts import each_parameter

        kinds = (
            parameter.dtype
            for parameter in each_parameter(self.module)
            if parameter.is_floating_point()
        )
        return str(next(kinds, "torch.float32")).removeprefix("torch.")

    def in_dtype(self, dtype: str) -> "ModuleSource":
        """Return the same with its floats in another dtype; the module itself is changed.

        Raises:
            InputError: There is no such dtype, or it is one of integers.
        """
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


class SavedSource(NamedTuple):
    """A report that was saved: figures of a model, not the model itself."""

    report: Report


Source = ArchitectureSource | ModuleSource | SavedSource
Opener = Callable[..., Source]

SOURCES: Registry[Opener] = Registry("source", "sources")
"""How to open `PREFIX:NAME`, by prefix; from the name and the keyword arguments of the factory to a
source."""


def find_source(
    target: str | PathLike[str],
    kwargs: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    *,
    has_input: bool = True,
    trust: bool = False,
) -> Source:
    """Return what a target stands for.

    Args:
        target: See `TARGETS`.
        kwargs: For the factory of a torch model; a `dscost.notation.literals.Reference` stands for
            the object that it names.
        folder: Where files and modules are sought before the working directory, for this target
            only.
        has_input: Whether an input is given; if not, a model that cannot state one is not made.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: There is no such model or file, or it cannot be made.
        UnavailableError: It needs a library that is not installed.
    """
    text, kwargs = _beside(str(target), folder), kwargs or {}
    if is_saved(text):
        from dscost.reports.report_file import read_saved

        return SavedSource(read_saved(text))
    path, _, name = text.rpartition(":") if ":" in text else ("", "", text)
    if text.endswith(YAML_ENDINGS):
        return _architecture("yaml", read_architecture(Path(text)), kwargs)
    if path.endswith(YAML_ENDINGS):
        return _architecture("yaml", read_architecture(Path(path), name), kwargs)
    # files that are never read are told before anything below runs the user's code
    _refuse_unread(text)
    if text.endswith(".pt2"):
        return SOURCES["export"](text, kwargs, trust=trust)
    if path.endswith(".py"):
        return SOURCES["file"](text, kwargs, has_input=has_input)
    if text.startswith("hf:"):
        return SOURCES["hf"](text.removeprefix("hf:"), kwargs, folder=folder)
    if path in ("torchvision", "timm"):
        return SOURCES[path](name, kwargs)
    if path:
        return SOURCES["python"](text, kwargs, folder=folder, has_input=has_input)
    if "/" in text or (len(text) < MAX_NAME and Path(text).is_file()):
        raise InputError(
            f"{text}: expected an architecture .yaml, a program .pt2, or path/file.py:factory"
        )
    return _bare(text, kwargs)


def _refuse_unread(text: str) -> None:
    """Refuse files that hold a model and are not read.

    Raises:
        InputError: It is one, of pickled objects or of ONNX.
    """
    if text.endswith(PICKLES):
        raise InputError(
            f"{text}: refused, since reading a pickled model runs whatever code it holds; "
            "give the code that makes the model instead, as path/file.py:factory, "
            "or a program.pt2 of torch.export"
        )
    if text.endswith(".onnx"):
        raise InputError(
            f"{text}: an ONNX file is not a target yet; "
            "expected a name, net.yaml, file.py:factory or program.pt2"
        )


def _beside(target: str, folder: Path | None) -> str:
    """Return a target with its file, where it means one in a folder, named by its whole path."""
    path, rest = split_file(target) or (None, "")
    if folder is None or path is None or not (folder / path).is_file():
        return target
    return f"{folder / path}{rest}"


def split_file(target: str) -> tuple[str, str] | None:
    """Return the file that a target means and what follows it, or `None` where it means none.

    >>> split_file("nets.yaml:small"), split_file("timm:resnet18")
    (('nets.yaml', ':small'), None)
    >>> split_file("out/all.json:timm:resnet18")
    ('out/all.json', ':timm:resnet18')
    """
    saved = split_report_name(target)
    if saved is not None:
        path, name = saved
        return path, "" if name is None else f":{name}"
    if target.endswith(FILE_ENDINGS):
        return target, ""
    path, colon, name = target.rpartition(":")
    return (path, colon + name) if path.endswith(FILE_ENDINGS) else None


def runs_code(target: str) -> bool:
    """Whether a target is somebody's code or a library's: no architecture and no saved report."""
    path = (split_file(target) or ("", ""))[0]
    if path.endswith((*YAML_ENDINGS, REPORT_ENDING)):
        return False
    try:
        find_builtin(target)
    except InputError:
        return True
    return False


def is_saved(target: object) -> bool:
    """Whether a target means a saved report."""
    return isinstance(target, str | PathLike) and split_report_name(str(target)) is not None


def _architecture(kind: str, architecture: Architecture, kwargs: Mapping[str, Any]) -> Source:
    if kwargs:
        raise InputError(
            f"{architecture.name} is an architecture file: change it with --set, not with --kwargs"
        )
    return ArchitectureSource(kind, architecture)


def _bare(name: str, kwargs: Mapping[str, Any]) -> Source:
    """Return a model by its name alone: a built-in, else torchvision's, else timm's."""
    try:
        return _architecture("builtin", find_builtin(name), kwargs)
    except UnknownNameError:
        known = list(builtin_names())
    missing: list[str] = []
    for library in ("torchvision", "timm"):
        try:
            return SOURCES[library](name, kwargs)
        except UnknownNameError as unknown_there:
            known += unknown_there.known
        except UnavailableError:
            missing.append(library)
    hint = f"; {' and '.join(missing)} could not be asked: not installed" if missing else ""
    raise UnknownNameError("model", name, known, hint)


def _opened_late(function: str) -> Opener:
    def open_source(name: str, kwargs: Mapping[str, Any], **how: Any) -> Source:
        from importlib import import_module

        module, _, entry = function.partition(":")
        source: Source = getattr(import_module(f"dscost.sources.{module}"), entry)(
            name, kwargs, **how
        )
        return source

    return open_source


for _prefix, _function in {
    "torchvision": "zoos:from_torchvision",
    "timm": "zoos:from_timm",
    "hf": "zoos:from_transformers",
    "python": "modules:from_python",
    "file": "modules:from_file",
    "export": "modules:from_export",
}.items():
    SOURCES.register(_prefix)(_opened_late(_function))
