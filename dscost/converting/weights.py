"""Weights in files: read from safetensors or a state dict that holds no code, written as safetensors."""

import re
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dscost.errors import InputError, OutputError, UnavailableError, first_line, some_of
from dscost.files import write_whole
from dscost.units import format_shape

SAFETENSORS = ".safetensors"
STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
NESTED_UNDER = ("state_dict", "model", "model_state_dict")
"""Where checkpoints keep their state dict."""
WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
SHOWN = 3
CONVERTED = "; these are weights of a converted model: load them into dscost.convert(make(), plan=…)"
"""What is said of weights that a conversion has split, given to the model as it was."""


def check_weights_path(path: Path) -> None:
    """Refuse a file that is not there, or of a kind that holds no weights, before any work is done.

    Raises:
        InputError: It is not there, or ends in something else.
        UnavailableError: Reading it needs a library that is not installed.
    """
    if path.suffix not in (SAFETENSORS, *STATE_DICTS):
        raise InputError(f"weights: expected a file ending in {SAFETENSORS}, .pt or .pth, found '{path}'")
    if not path.is_file():
        raise InputError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'no such file'}")
    if path.suffix == SAFETENSORS:
        _safetensors()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU; of a checkpoint those of its state dict.

    Raises:
        InputError: It cannot be read, holds no state dict, or would run code.
        UnavailableError: safetensors is not installed.
    """
    check_weights_path(path)
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    return _state_dict(_unpickled(path), path)


def load_weights(module: nn.Module, path: Path, *, hint: str = "") -> list[str]:
    """Give a module the weights of a file.

    Args:
        module: Changed in place.
        path: As in `read_weights`.
        hint: What else to say where they do not fit.

    Returns:
        What was done that the reader should know.

    Raises:
        InputError: The names or shapes are not those of the module.
    """
    state = read_weights(path)
    own = nn.Module.state_dict(module, keep_vars=True)
    notes = []
    for _ in WRAPPERS:  # each may be around the other
        for wrapper in WRAPPERS:
            if all(name.startswith(wrapper) for name in state) and not any(name.startswith(wrapper) for name in own):
                state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
                notes.append(f"{path}: '{wrapper}' before every name was left out.")
    faults = list(_faults(module, own, state))
    if faults:
        why = CONVERTED if _are_of_converted(own, state) else hint
        raise InputError(f"{path} does not fit the model: {'; '.join(faults)}{why}")
    return [*notes, *(f"{path}: {cast}" for cast in _casts(own, state))]


def _are_of_converted(own: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether both stages of a convolution are given to a model that has the convolution itself."""
    split = [name.removesuffix("depthwise.weight") for name in given if name not in own]
    return any(
        f"{layer}depthwise.weight" in given
        and f"{layer}pointwise.weight" in given
        and f"{layer.removesuffix('convolution.')}weight" in own  # which a padding that is a module is put before
        for layer in split
    )


def save_weights(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the weights of a module as safetensors, whole or not at all.

    A tensor that the module has under several names is written under each, so that `load_state_dict` finds all.

    Args:
        module: With values.
        path: Where to.
        metadata: For the header of the file.

    Raises:
        OutputError: It cannot be written, or the module holds something that safetensors cannot.
        UnavailableError: safetensors is not installed.
    """
    tensors = {}
    for name, value in nn.Module.state_dict(module).items():
        if not isinstance(value, Tensor):
            raise OutputError(f"cannot write {path}: '{name}' is no tensor but {type(value).__name__}")
        tensors[name] = value.detach().cpu().contiguous().clone()
    try:
        content: bytes = _safetensors().save(tensors, {"format": "pt", **metadata})
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {first_line(error)}") from error
    write_whole(path, content)


def check_can_save() -> None:
    """Refuse to write weights where that cannot be done, before any work is.

    Raises:
        UnavailableError: safetensors is not installed.
    """
    _safetensors()


def _safetensors() -> ModuleType:
    import importlib

    try:
        importlib.import_module("numpy")  # safetensors turns tensors to bytes by it
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise UnavailableError(f"{error.name} is not installed: pip install 'dscost[weights]'") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    try:
        found: dict[str, Tensor] = _safetensors().load_file(path, device="cpu")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a safetensors file: {first_line(error)}") from error
    return found


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's doubts about a pickle are an error of ours, or none
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        text = str(error)
        if "weights_only" not in text and "Unsupported" not in text:
            raise InputError(f"{path}: not a checkpoint of torch.save: {first_line(error)}") from error
        named = _REFUSED.search(text)
        what = f"it holds {named[1]}, and " if named else ""
        raise InputError(
            f"{path}: refused, since {what}reading it would run the code that it holds; save model.state_dict() "
            f"instead, by torch.save or as {SAFETENSORS}"
        ) from error
    except _NOT_READABLE as error:
        raise InputError(f"{path}: not a checkpoint of torch.save: {first_line(error)}") from error


_REFUSED = re.compile(r"GLOBAL ([\w.]+) (?:was not|whose)")
"""How torch names what it does not let in."""
_NOT_READABLE = (
    *(RuntimeError, ValueError, EOFError, OSError, LookupError, AttributeError, TypeError, ArithmeticError),
    *(AssertionError, struct.error),
)
"""What torch raises at files that are something else."""


def _state_dict(found: Any, path: Path) -> dict[str, Tensor]:
    for key in NESTED_UNDER:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: expected tensors by name, found {type(found).__name__}")
    others = [f"'{name}' is {fault}" for name, value in found.items() if (fault := _why_no_weights(value))]
    if others or not found:
        what = some_of(others, SHOWN) or "it is empty"
        under = " or ".join(f"'{key}'" for key in NESTED_UNDER[:2])
        raise InputError(f"{path}: expected tensors by name, at the top or under {under}: {what}")
    return {str(name): value for name, value in found.items()}


def _why_no_weights(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.is_meta:
        return "a tensor on meta, without values"
    return None if value.layout == torch.strided else "a sparse tensor"


def _faults(module: nn.Module, own: Mapping[str, Any], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Load the weights, and yield why they do not fit."""
    tied = _tied(own)
    both = [(name, mine, state[name]) for name, mine in own.items() if name in state and _is_known(mine)]
    differing = {
        "of another shape": [
            f"{name} {_shape(given)} instead of {_shape(mine)}"
            for name, mine, given in both
            if given.shape != mine.shape
        ],
        "of another kind": [
            f"{name} {_dtype(given)} instead of {_dtype(mine)}"
            for name, mine, given in both
            if mine.is_floating_point() and not given.is_floating_point()
        ],
        "of values that differ though the model ties them": [
            f"{first} and {name}"
            for name, _, given in both
            if (first := next(twin for twin in tied[name] if twin in state)) != name
            and not torch.equal(state[first].to(given.dtype), given)
        ],
    }
    unfit = any(differing.values())
    try:
        missing, unexpected = nn.Module.load_state_dict(module, {} if unfit else state, strict=False)
    except RuntimeError as error:
        yield first_line(error)
        return
    if unfit:
        missing, unexpected = [name for name in own if name not in state], [name for name in state if name not in own]
    yield from _told([name for name in missing if not any(twin in state for twin in tied.get(name, ()))], "missing")
    yield from _told(unexpected, "not in the model")
    for what, names in differing.items():
        yield from _told(names, what)


def _is_known(tensor: object) -> bool:
    return isinstance(tensor, Tensor) and not is_lazy(tensor)


def _tied(own: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return for each name all those that the same tensor has."""
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    return {name: same for same in names.values() for name in same}


def _casts(own: Mapping[str, Any], state: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield as what weights of another precision were read."""
    both = [(state[name], mine) for name, mine in own.items() if name in state and _is_known(mine)]
    kinds = {(_dtype(given), _dtype(mine)) for given, mine in both if mine.is_floating_point()}
    for given, mine in sorted(kinds):
        if given != mine:
            yield f"weights of {given} were read as {mine}, as the model has them."


def _told(names: Sequence[str], what: str) -> Iterator[str]:
    if names:
        yield f"{len(names)} {what} ({some_of(names, SHOWN)})"


def _shape(tensor: Tensor) -> str:
    return format_shape(tuple(tensor.shape)) or "()"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
