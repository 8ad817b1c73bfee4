"""A converted model → a file: its weights, a program or ONNX, by how the file's name ends."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError, OutputError, first_line
from dscost.notation.units import format_bytes
from dscost.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dscost.converting.of_graphs import ConvertedGraph
    from dscost.converting.reporting import ConvertedModel


class Saved(NamedTuple):
    """What a file will hold.

    Args:
        content: All of it.
        told: What its reader must know, to stand behind its name.
    """

    content: bytes
    told: str = ""


def check_saved(path: Path, *, of_graph: bool = False) -> None:
    """Refuse a file of an unknown kind, or one that some missing library writes, before any work.

    Args:
        path: The file.
        of_graph: Whether it is an ONNX file that is converted.

    Raises:
        InputError: Its name ends in something else; the text has what is known.
        UnavailableError: A library is not installed.
    """
    if of_graph and path.suffix in KINDS and path.suffix != GRAPH:
        raise InputError(
            f"--save: an ONNX file is no model of torch: it is written as {GRAPH}, found '{path}'"
        )
    kind = GRAPHS if of_graph and path.suffix == GRAPH else KINDS.get(path.suffix)
    if kind is None:
        known = [f"{ending} ({kind.meaning})" for ending, kind in KINDS.items()]
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise InputError(f"--save: expected a file ending in {listed}, found '{path}'")
    kind.require()


def saved(made: "ConvertedModel | ConvertedGraph", path: Path) -> Saved:
    """Return what a file of a converted model holds, by how its name ends.

    Raises:
        OutputError: The file cannot hold this model.
        UnavailableError: A library is not installed.
    """
    try:
        kind = GRAPHS if made.converted.outcome.source == "onnx" else KINDS[path.suffix]
        return kind.write(made)
    except InputError as error:
        raise OutputError(f"cannot write {path}: {error}") from error


def code_text(made: "ConvertedModel", path: Path, weights: str) -> str:
    """Return code for a file that makes a converted model and needs no dscost.

    Args:
        made: The model.
        path: The file.
        weights: The file that its weights are or may be in.

    Raises:
        OutputError: No code makes this model.
    """
    try:
        return made.code(path, weights)
    except InputError as error:
        raise OutputError(f"cannot write {path}: {error}") from error


# -- weights


def as_safetensors(module: "nn.Module", metadata: Mapping[str, str]) -> bytes:
    """Return the weights of a module as safetensors, below a header.

    A tensor that the module has under several names is written under each, so that
    `load_state_dict` finds all.

    Raises:
        InputError: The module holds something that safetensors cannot.
        UnavailableError: safetensors is not installed.
    """
    from dscost.converting.weight_files import safetensors

    tensors = {name: value.cpu().contiguous().clone() for name, value in _tensors(module)}
    try:
        content: bytes = safetensors().save(tensors, {"format": "pt", **metadata})
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputError(first_line(error)) from error
    return content


def _as_state_dict(module: "nn.Module") -> bytes:
    """Return the weights of a module as `torch.save` writes a state dict.

    A tensor that the module has under several names is written once.
    """
    import torch

    own: dict[int, Tensor] = {}
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in _tensors(module):
        # of a part of something larger torch would write all
        state[name] = own.setdefault(id(value), value.cpu().clone())
    versions = getattr(module.state_dict(), "_metadata", None)
    if versions is not None:  # of torch's modules, which some of them ask for
        state._metadata = versions  # type: ignore[attr-defined]
    file = BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _tensors(module: "nn.Module") -> "Iterator[tuple[str, Tensor]]":
    """Yield the tensors of a state dict, the very same for names that are tied."""
    from torch import Tensor

    kept: dict[int, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise InputError(f"'{name}' is no tensor but {type(value).__name__}")
        yield name, kept.setdefault(id(value), value.detach())


# -- what can be written


class Kind(NamedTuple):
    """How files are written whose names end alike.

    Args:
        meaning: What they hold.
        write: Makes one of a converted model; an `InputError` says why it cannot.
        require: Raises an `UnavailableError` where a library is missing.
    """

    meaning: str
    write: Callable[[Any], Saved]
    require: Callable[[], object] = object


def _safetensors(made: "ConvertedModel") -> Saved:
    return Saved(
        as_safetensors(made.module, {"dscost": __version__, "plan": made.plan_text()}),
    )


def _state_dict(made: "ConvertedModel") -> Saved:
    return Saved(_as_state_dict(made.module))


def _program(made: "ConvertedModel") -> Saved:
    exported = made.exported()
    return Saved(exported.content, f"for inference, {exported.in_words()}")


def _onnx(made: "ConvertedModel") -> Saved:
    from dscost.converting.exporting import as_onnx

    exported = made.exported()
    return Saved(as_onnx(exported), f"for inference, {exported.in_words()}")


def _graph(made: "ConvertedGraph") -> Saved:
    size = made.model.ByteSize()
    if size >= MOST_BYTES:
        raise InputError(f"{format_bytes(size)}, and an ONNX file has less than 2 GiB")
    return Saved(made.model.SerializeToString())


def _require_safetensors() -> None:
    from dscost.converting.weight_files import safetensors

    safetensors()


def _require_onnx() -> None:
    from dscost.runtimes.exporting import newer_exporter

    newer_exporter()


KINDS: Mapping[str, Kind] = {
    ".pt": Kind("a state dict", _state_dict),
    ".pt2": Kind("a program of torch.export", _program),
    ".onnx": Kind("ONNX", _onnx, _require_onnx),
    ".safetensors": Kind("weights and the plan", _safetensors, _require_safetensors),
}
"""What `--save` writes, by the end of the file's name."""

GRAPH = ".onnx"
GRAPHS = Kind("ONNX", _graph)
"""How an ONNX file is written that was converted."""
MOST_BYTES = 2**31
"""No message of protobuf has as many."""
