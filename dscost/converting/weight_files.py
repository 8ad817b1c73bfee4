"""Tensors out of files: safetensors, state dicts of `torch.save` without code, and shards."""

import json
import pickletools
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from dscost.errors import InputError, UnavailableError, first_line, some_of
from dscost.files import what_is

SAFETENSORS = ".safetensors"
STATE_DICTS = (".pt", ".pth", ".ckpt", ".bin")
INDEX = ".index.json"
"""Of weights in several files, which it names."""
USUAL_KEYS = (
    *("state_dict", "model", "model_state_dict", "module", "net", "network", "generator"),
    *("params", "weights", "model_ema", "state_dict_ema", "params_ema", "ema"),
)
"""Where checkpoints keep their state dict, the likeliest first; weights that were averaged come
last."""
DEEPEST = 3
"""How many dicts a state dict is sought in."""
MOST_INDEX_BYTES = 2**28
SHOWN = 3

States = Mapping[str, Mapping[str, Tensor]]
"""State dicts by where they stand in a file, such as `model.state_dict`, or `""` at the top."""


def split_key(path: Path) -> tuple[Path, str | None]:
    """Return a file, and what follows behind a colon: where in it the weights stand."""
    file, colon, key = str(path).rpartition(":")
    if not colon or path.exists() or not Path(file).suffix:
        return path, None
    return Path(file), key


def check_weights_path(path: Path) -> None:
    """Refuse a file that is not there, or of a kind that holds no weights, before any work is done.

    Raises:
        InputError: It is not there, or ends in something else.
        UnavailableError: Reading it needs a library that is not installed.
    """
    path, _ = split_key(path)
    if path.suffix not in (SAFETENSORS, *STATE_DICTS) and not path.name.endswith(INDEX):
        raise InputError(
            f"weights: expected a file ending in {SAFETENSORS}, .pt or .pth, found '{path}'"
        )
    if not path.is_file():
        why = "it is a folder" if path.is_dir() else "no such file"
        raise InputError(f"cannot read {path}: {why}")
    if path.suffix == SAFETENSORS:
        safetensors()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; of a checkpoint those of its likeliest state dict.

    Raises as `read_states` does.
    """
    return dict(next(iter(read_states(path).values())))


def read_states(path: Path) -> States:
    """Return all state dicts of a file, the likeliest first, at least one; of `file:KEY` that one.

    Raises:
        InputError: It cannot be read, holds no state dict, or would run code.
        UnavailableError: safetensors is not installed.
    """
    check_weights_path(path)
    path, key = split_key(path)
    if path.name.endswith(INDEX):
        states: States = {"": _read_shards(path)}
    elif path.suffix == SAFETENSORS:
        states = {"": _read_safetensors(path)}
    else:
        states = _states(_unpickled(path), path)
    if key is None:
        return states
    if key not in states:
        under = " and ".join(f"'{key}'" for key in states)
        if "" in states:
            under = "nothing: they are at the top"
        raise InputError(f"{path}: no weights under '{key}', found them under {under}")
    return {key: states[key]}


# -- safetensors


def safetensors() -> ModuleType:
    """Return `safetensors.torch`; asked before any work, where that is in vain without it.

    Raises:
        UnavailableError: It is not installed.
    """
    try:
        import_module("numpy")  # safetensors turns tensors to bytes by it
        return import_module("safetensors.torch")
    except ImportError as error:
        library = (error.name or "safetensors").partition(".")[0]
        raise UnavailableError(f"{library} is not installed: pip install {library}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    try:
        found: dict[str, Tensor] = safetensors().load_file(path, device="cpu")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        why = what_is(path)
        if why == "a safetensors file":
            why = f"{first_line(error)} (it is cut off, or was altered)"
        raise InputError(f"{path}: not a safetensors file: {why}") from error
    return found


def _read_shards(path: Path) -> dict[str, Tensor]:
    """Return the tensors of all files that an index names; they lie beside it."""
    try:
        if path.stat().st_size > MOST_INDEX_BYTES:
            raise InputError(f"{path}: too large for an index of weights")
        index = json.loads(path.read_bytes())
        names = sorted(set(index["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: not an index of weights, which names the file of each in its weight_map"
        ) from error
    found: dict[str, Tensor] = {}
    for name in names:
        shard = path.parent / str(name)
        if Path(str(name)).name != name or shard.suffix not in (SAFETENSORS, *STATE_DICTS):
            raise InputError(f"{path}: expected names of files beside it, found '{name!s:.80}'")
        found |= read_weights(shard)
    return found


# -- torch.save


def _unpickled(path: Path) -> Any:
    is_none = f"{path}: not a checkpoint of torch.save"
    what = _why_no_checkpoint(path)
    if what is not None:
        raise InputError(f"{is_none}: {what}")
    try:
        with warnings.catch_warnings():
            # torch's doubts about a pickle are an error of ours, or none
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        named = _REFUSED.search(str(error))
        if named is None and "weights_only" not in str(error):
            raise InputError(f"{is_none}: {first_line(error)}") from error
        if named is None and not _calls_something(path):
            raise InputError(f"{is_none}: it is damaged") from error
        holds = f"it holds {named[1]}, and " if named else ""
        raise InputError(
            f"{path}: refused, since {holds}reading it would run the code that it holds; "
            f"save model.state_dict() instead, by torch.save or as {SAFETENSORS}"
        ) from error
    except _NOT_READABLE as error:
        raise InputError(f"{is_none}: it is damaged ({first_line(error)})") from error


_REFUSED = re.compile(r"GLOBAL ([\w.]+) (?:was not|whose)")
"""How torch names what it does not let in."""
_NOT_READABLE = (
    *(RuntimeError, ValueError, EOFError, OSError, LookupError, AttributeError, TypeError),
    *(ArithmeticError, AssertionError, struct.error, MemoryError),
)
"""What torch raises at files that are something else."""


def _calls_something(path: Path) -> bool:
    """Whether a pickle is whole and asks for something by name, which may be code."""
    try:
        if is_zipfile(path):
            with ZipFile(path) as packed:
                pickles = (name for name in packed.namelist() if name.endswith("data.pkl"))
                content = packed.read(next(pickles))
        else:
            content = path.read_bytes()
        return any(opcode.name in _BY_NAME for opcode, _, _ in pickletools.genops(content))
    except Exception:  # noqa: BLE001 - whatever a broken pickle makes of zipfile and pickletools
        return False


_BY_NAME = frozenset(("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "EXT1", "EXT2", "EXT4"))


def _why_no_checkpoint(path: Path) -> str | None:
    """Return what a file is by its first bytes, or `None` where it may be a checkpoint."""
    kind = what_is(path)
    if kind == "a safetensors file":
        return f"a safetensors file; name it {path.stem}{SAFETENSORS}"
    if kind == "a zip archive":
        return _why_no_archive(path)
    return None if kind in ("a pickle", "a tar archive; unpack it first") else kind


def _why_no_archive(path: Path) -> str | None:
    try:
        with ZipFile(path) as packed:
            names = packed.namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return f"a zip archive that is cut off, or was altered ({first_line(error)})"
    if any(name.endswith("archive_format") for name in names):
        return "a program of torch.export, which is a target itself"
    if any(name.endswith("constants.pkl") for name in names):
        return "a program of torch.jit.save: save its state_dict()"
    if any(name.endswith("data.pkl") for name in names):
        return None
    return f"a zip archive of {some_of([name[:80] for name in names], SHOWN)}"


def _states(found: Any, path: Path) -> States:
    """Return the state dicts in what was unpickled: itself, or dicts of nothing but tensors."""
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: expected tensors by name, found {type(found).__name__}")
    faults = {name: _why_no_weights(value) for name, value in found.items()}
    others = [f"'{name}' is {fault}" for name, fault in faults.items() if fault]
    if found and not others:
        return {"": {str(name): value for name, value in found.items()}}
    inside = dict(_inside(found, "", DEEPEST))
    if not inside:
        what = some_of(others, SHOWN) or "it is empty"
        under = " or ".join(f"'{key}'" for key in USUAL_KEYS[:2])
        raise InputError(f"{path}: expected tensors by name, at the top or under {under}: {what}")
    return {key: inside[key] for key in sorted(inside, key=_likelihood)}


def _inside(
    found: Mapping[Any, Any], where: str, left: int
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    for name, value in found.items():
        if not isinstance(value, Mapping) or not value:
            continue
        place = f"{where}.{name}" if where else str(name)
        if not any(map(_why_no_weights, value.values())):
            yield place, {str(key): tensor for key, tensor in value.items()}
        elif left > 1:
            yield from _inside(value, place, left - 1)


def _likelihood(place: str) -> tuple[int, ...]:
    """Return what sorts places: those of unusual keys come last."""
    return tuple((*USUAL_KEYS, part).index(part) for part in place.split("."))


def _why_no_weights(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.is_nested:
        return "a nested tensor"
    if value.is_meta:
        return "a tensor on meta, without values"
    return None if value.layout == torch.strided else "a sparse tensor"
