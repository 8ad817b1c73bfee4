"""Programs of `torch.export` read from files, without running their code unless trusted.

Whatever reads one raises an `InputError` where it is no archive of `torch.export.save`, or is
damaged.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._export.serde.serialize import ExportedProgramDeserializer
from torch.utils import _pytree as pytree

from dscost.errors import InputError
from dscost.foreign.logs import quietly
from dscost.sources import ModuleSource, Opening
from dscost.sources.archives import read_archive
from dscost.sources.hierarchies import as_module
from dscost.sources.program_texts import CodeError, failure_of


class Program(NamedTuple):
    """A program as a module, with the arguments that it was exported with, if they were saved."""

    module: nn.Module
    example: tuple[tuple[Any, ...], Mapping[str, Any]] | None


def from_export(target: str, opening: Opening) -> ModuleSource:
    """Return the module and the example inputs of a saved program; it is an opener.

    Code is run of what is trusted alone, where it cannot be read without.
    """
    if opening.kwargs:
        raise InputError(f"{target}: an exported program takes no --kwargs")
    path = Path(target)
    if not path.is_file():
        raise InputError(f"cannot read {target}: {_why_unreadable(path)}")
    try:
        module, example = read_program(path)
    except CodeError as error:
        if not opening.trust:
            told = (
                f"{error}; if you trust it, --trust (in a budget trust: true) reads it all the same"
            )
            raise InputError(told) from error
        module, example = read_trusted(path)
    if example is None:
        return ModuleSource("export", module)
    args, keywords = pytree.tree_map_only(torch.Tensor, _without_numbers, example)
    return ModuleSource("export", module, {"args": args, "kwargs": keywords})


def _why_unreadable(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    return "it is no regular file" if path.exists() else "no such file"


def _without_numbers(example: torch.Tensor) -> torch.Tensor:
    """Return the shape of an example; integers stay, since they may be indices or lengths.

    What a program is exported with is mostly noise, so that nothing may be fitted to it.
    """
    if not example.is_floating_point() or example.layout != torch.strided:
        return example
    return torch.empty_strided(example.shape, example.stride(), dtype=example.dtype, device="meta")


def read_program(path: Path) -> Program:
    """Return the program that an archive holds; a `CodeError` where that would run code of it."""
    archive = read_archive(path)
    with quietly(_SPEAKERS) as reasons:
        try:
            program = ExportedProgramDeserializer().deserialize(
                archive.program, dict(archive.state), dict(archive.constants), None
            )
            return Program(as_module(program, archive.takes, archive.ranges), archive.example)
        except Exception as error:  # torch says by many classes that a graph does not hang together
            raise InputError(
                f"{path}: not a whole program of torch.export: {reason_of(error, reasons)}"
            ) from error


def read_trusted(path: Path) -> Program:
    """Return the program of an archive, as torch reads it: code that it holds or names is run."""
    with quietly(_SPEAKERS) as reasons:
        for _ in range(_MOST_IMPORTED):
            try:
                program = torch.export.load(path)
                return Program(as_module(program, None, {}), program.example_inputs)
            except Exception as error:
                reason = reason_of(error, reasons)
                if not _imported_class(reason):
                    raise InputError(f"{path}: not a program of torch.export: {reason}") from error
                reasons.clear()
    raise InputError(f"{path}: not a program of torch.export: {reason}")


_MOST_IMPORTED = 20


def _imported_class(reason: str) -> bool:
    """Whether the module of a class that a reason misses could be imported, and registers it."""
    import importlib

    missing = re.search(r"Deserializing ([\w.]+) in pytree is not registered", reason)
    if missing is None:
        return False
    try:
        importlib.import_module(missing[1].rpartition(".")[0])
    except ImportError:
        return False
    return missing[1] in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE


# -- what torch says


_SPEAKERS = ("torch.export", "torch._export", "torch.fx")
"""Parts of torch that log why a program could not be read."""


def reason_of(error: BaseException, logged: Sequence[BaseException] = ()) -> str:
    """Return why torch could not read something: what it says, or logged where it points there."""
    return failure_of(logged[-1] if logged and "warnings above" in str(error) else error)
