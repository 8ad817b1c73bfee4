"""From what the user calls a model (`TARGETS`) to something that can be analysed.

Nothing heavy is imported until it is asked for.
"""

from collections.abc import Callable, Collection, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.errors import (
    InputError,
    UnavailableError,
    UnknownNameError,
    needing_onnx,
    needing_torch,
)
from dscost.files import REPORT_ENDING, split_report_name
from dscost.networks.architectures import (
    Architecture,
    builtin_names,
    find_builtin,
    read_architecture,
)
from dscost.registries import Registry
from dscost.sources.made import ArchitectureSource, GraphSource, Home, ModuleSource, SavedSource

__all__ = [
    "SOURCES",
    "TARGETS",
    "YAML_ENDINGS",
    "ArchitectureSource",
    "GraphSource",
    "Home",
    "ModuleSource",
    "Opening",
    "SavedSource",
    "Source",
    "find_source",
    "is_graph",
    "is_saved",
    "named",
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
    "taken as part of its package; net.py alone, where one model is in it",
    "net.yaml": "an architecture; nets.yaml:NAME one of several",
    "program.pt2": "a program of torch.export",
    "model.onnx": "an ONNX file; its weights are not read, and no torch is needed",
    "report.json": "what dscost layer or dscost model saved; reports.json:NAME one of several",
}
"""What the user may call a model."""
YAML_ENDINGS = (".yaml", ".yml")
PYTHON_ENDING = ".py"
FILE_ENDINGS = (*YAML_ENDINGS, PYTHON_ENDING, ".pt2", ".onnx", REPORT_ENDING)
"""How the files end that may be targets, with or without a name behind them."""
MAX_NAME = 200
"""Longer than the name of any model or file."""
ZOOS = ("torchvision", "timm")
"""Libraries whose models have names; asked in that order."""
OTHER_GRAPHS = (".ort", ".onnxtxt", ".onnxjson", ".textproto", ".pbtxt", ".onnx.json", ".tflite")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


class Opening(NamedTuple):
    """How a target is to be opened.

    Args:
        kwargs: For the factory of a torch model; a `dscost.notation.literals.Reference` stands for
            the object that it names.
        folder: Where files and modules are sought before the working directory, for this target
            only.
        has_input: Whether an input is given; if not, a model that cannot state one is not made.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
    """

    kwargs: Mapping[str, Any] = MappingProxyType({})
    folder: Path | None = None
    has_input: bool = True
    trust: bool = False


Source = ArchitectureSource | ModuleSource | GraphSource | SavedSource
Opener = Callable[[str, Opening], Source]
"""Makes a source of a target, or of what follows its prefix. It raises an `InputError` where there
is no such model, where it cannot be made, and at what it is told and cannot heed, as keyword
arguments where there is no factory; an `UnavailableError` where a library is not installed."""

SOURCES: Registry[Opener] = Registry("source", "sources")
"""Openers by the kind of source; which one a target is for is told in `_kind_of`."""


_PLAINLY = Opening()


def find_source(target: str | PathLike[str], opening: Opening = _PLAINLY) -> Source:
    """Return what a target stands for, see `TARGETS`; it raises what an `Opener` does."""
    found = named(target, opening.kwargs, opening.folder)
    kind, name = _kind_of(_beside(found, opening.folder))
    return SOURCES[kind](name, opening)


def named(
    target: str | PathLike[str], kwargs: Collection[str] = (), folder: Path | None = None
) -> str:
    """Return a target as text; a file of Python alone with the one model in it, `net.py:Net`.

    Args:
        target: What the user calls a model.
        kwargs: Names of the arguments that a factory would be given.
        folder: Where files are sought before the working directory.

    Raises:
        InputError: The file has no model, or several, or cannot be read.
    """
    text = str(target)
    if not text.endswith(PYTHON_ENDING):
        return text
    from dscost.sources.in_file import only_model

    return f"{text}:{only_model(Path(_beside(text, folder)), text, kwargs)}"


def _kind_of(text: str) -> tuple[str, str]:
    """Return the kind of source that a target means, and what its opener is given."""
    if is_saved(text):
        return "saved", text
    path, _, name = text.rpartition(":")
    if text.endswith(YAML_ENDINGS) or path.endswith(YAML_ENDINGS):
        return "yaml", text
    # files that are never read are told before anything below runs the user's code
    _refuse_unread(text)
    if text.endswith(".pt2"):
        return "export", text
    if is_graph(text):
        return "onnx", text
    if path.endswith(".onnx"):
        raise InputError(f"{text}: an ONNX file is one model: give {path} alone")
    if path.endswith(PYTHON_ENDING):
        return "file", text
    if text.startswith("hf:"):
        return "hf", text.removeprefix("hf:")
    if path in ZOOS:
        return path, name
    if path:
        return "python", text
    _refuse_other_files(text)
    return "name", text


def _refuse_other_files(text: str) -> None:
    """Refuse a path that is none of a file of any kind that is read."""
    expected = (
        "expected an architecture .yaml, a program .pt2, a model .onnx, or path/file.py:factory"
    )
    is_short = len(text) < MAX_NAME
    if is_short and (text in (".", "..") or "/" in text) and Path(text).is_dir():
        raise InputError(f"{text}: a folder, {expected}")
    is_file = is_short and Path(text).is_file()
    ending = Path(text).suffix
    if is_file and ending.lower() in FILE_ENDINGS:
        raise InputError(
            f"{text}: a file is known by its ending in small letters: "
            f"let its name end in {ending.lower()}"
        )
    if "/" in text or is_file:
        raise InputError(f"{text}: {expected}")


def _refuse_unread(text: str) -> None:
    """Refuse files that are not read: of pickled objects, or of weights alone."""
    if text.endswith(PICKLES):
        raise InputError(
            f"{text}: refused, since reading a pickled model runs whatever code it holds; "
            "give the code that makes the model instead, as path/file.py:factory, "
            "or what was exported of it, a program.pt2 of torch.export or a model.onnx"
        )
    if text.endswith(".safetensors"):
        raise InputError(
            f"{text}: weights and no model: give the code that makes the model, as "
            "path/file.py:factory (dscost convert takes its weights by --weights)"
        )
    if text.endswith(OTHER_GRAPHS):
        raise InputError(f"{text}: not read: of graphs in files only .onnx is, in its binary form")


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
    if path.endswith((*YAML_ENDINGS, ".onnx", REPORT_ENDING)):
        return False
    try:
        find_builtin(target)
    except InputError:
        return True
    return False


def is_saved(target: object) -> bool:
    """Whether a target means a saved report."""
    return isinstance(target, str | PathLike) and split_report_name(str(target)) is not None


def is_graph(target: object) -> bool:
    """Whether a target means an ONNX file."""
    return isinstance(target, str | PathLike) and str(target).endswith(".onnx")


# -- openers


@SOURCES.register("saved")
def _saved(target: str, opening: Opening) -> Source:
    from dscost.reports.report_file import read_saved

    return SavedSource(read_saved(target))


@SOURCES.register("yaml")
def _yaml(target: str, opening: Opening) -> Source:
    path, rest = split_file(target) or (target, "")
    architecture = read_architecture(Path(path), rest.removeprefix(":") if rest else None)
    return _architecture("yaml", architecture, opening)


def _architecture(kind: str, architecture: Architecture, opening: Opening) -> Source:
    if opening.kwargs:
        raise InputError(
            f"{architecture.name} is an architecture file: change it with --set, not with --kwargs"
        )
    return ArchitectureSource(kind, architecture)


@SOURCES.register("name")
def _by_name(name: str, opening: Opening) -> Source:
    """Return a model by its name alone: a built-in, else torchvision's, else timm's."""
    try:
        return _architecture("builtin", find_builtin(name), opening)
    except UnknownNameError:
        known = list(builtin_names())
    missing: list[str] = []
    hint = ""
    for library in ZOOS:
        try:
            return SOURCES[library](name, opening)
        except UnknownNameError as unknown_there:
            known += unknown_there.known
        except UnavailableError:
            missing.append(library)
    if missing:
        asked = " and ".join(missing)
        hint = f"; {asked} could not be asked: not installed (pip install 'dscost[zoo]')"
    raise UnknownNameError("model", name, known, hint)


@SOURCES.register("onnx")
def _onnx(target: str, opening: Opening) -> Source:
    if opening.kwargs:
        raise InputError(f"{target} is an ONNX file, not a factory: --kwargs has no meaning")
    with needing_onnx():
        from dscost.graphs.reading import read_model
    path = Path(target)
    return GraphSource("onnx", path, read_model(path))


def _opened_late(module: str, function: str, extra: str = "torch") -> Opener:
    """Return an opener whose module is imported once it is needed."""

    def open_source(name: str, opening: Opening) -> Source:
        from importlib import import_module

        with needing_torch(extra):
            opener: Opener = getattr(import_module(f"dscost.sources.{module}"), function)
        return opener(name, opening)

    return open_source


SOURCES.register("torchvision")(_opened_late("zoos", "from_torchvision", "zoo"))
SOURCES.register("timm")(_opened_late("zoos", "from_timm", "zoo"))
SOURCES.register("hf")(_opened_late("zoos", "from_transformers"))
SOURCES.register("python")(_opened_late("modules", "from_python"))
SOURCES.register("file")(_opened_late("modules", "from_file"))
SOURCES.register("export")(_opened_late("programs", "from_export"))
