"""What a `program.pt2` holds, looked into before any of it reaches torch.

`torch.export.load` runs what an archive asks for. It unpickles weights, constants and sample inputs
without restraint, loads native libraries, has sympy evaluate the expressions of dynamic shapes,
executes the guards, imports the modules that a tree of inputs names, calls whatever attribute of
`torch` an operator is said to be, and writes names of nodes into Python code that it executes.
Nothing of that is done here:

- tensors are bytes, or what `torch.load(weights_only=True)` takes; nothing compiled is read;
- of the program only known fields are kept, each checked: names are names, operators are torch's;
- sizes that are expressions become the example's, guards are left out, inputs are checked by us.
"""

import ast
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor, nn
from torch._export.serde import schema
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

from dscost.errors import InputError, some_of
from dscost.files import what_is
from dscost.sources.program_texts import (
    THIS_TORCH,
    CodeError,
    a_path,
    expression_of,
    failure_of,
    no_program,
)
from dscost.sources.whitelist import checked

MODEL = "model"
"""What torch.export.save calls the program."""
MOST_UNPACKED_BYTES = 2**26
"""Of a compressed entry; torch does not compress, so that weights are never among them."""
MOST_BYTES = 2**40
"""Of a tensor."""
MOST_LEAVES = 10_000
"""Of the example inputs; lists may hold each other, so that few bytes make many."""
SHOWN = 3
MOST_SHOWN = 80
"""Characters of a name."""


class Taken(NamedTuple):
    """An input of a program by the name of its placeholder.

    The sizes of a tensor are each an integer or an expression.
    """

    name: str
    sizes: tuple[int | str, ...] | None


class Archive(NamedTuple):
    """A program and its tensors.

    Args:
        program: Of which every text was looked at.
        state: Parameters and buffers by name; on meta those whose values were not saved.
        constants: Other tensors by name.
        example: Arguments and keyword arguments that the program was exported with, if they were
            saved.
        takes: What the program takes, in the order in which trees of arguments are flattened.
        ranges: Least and most of each symbol of a size, `None` where there is no such.
    """

    program: schema.ExportedProgram
    state: Mapping[str, Tensor]
    constants: Mapping[str, Tensor]
    example: tuple[tuple[Any, ...], Mapping[str, Any]] | None
    takes: tuple[Taken, ...]
    ranges: Mapping[str, tuple[int | None, int | None]]


def read_archive(path: Path) -> Archive:
    """Return what a `program.pt2` holds; nothing of it is run, imported or evaluated.

    Raises:
        CodeError: It could not be read without.
        InputError: It is no archive of `torch.export.save`, or is damaged.
    """
    try:
        return _opened(path)
    except CodeError as error:
        raise CodeError(f"{path}: refused, since {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _opened(path: Path) -> Archive:
    try:
        with ZipFile(path) as packed:
            return _read(_Entries(packed))
    except BadZipFile as error:
        why = what_is(path)
        if why == "a zip archive":
            why = f"an archive that is cut off, or was altered ({failure_of(error)})"
        raise InputError(f"not a program of torch.export, which is a zip archive: {why}") from error
    except RecursionError as error:
        raise no_program("it is nested too deeply") from error
    except _DAMAGED as error:
        raise no_program(failure_of(error)) from error


_DAMAGED = (
    zlib.error, OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError,
    AttributeError, ArithmeticError, MemoryError,
)  # fmt: skip
"""What zipfile, json and torch raise at bytes that are something else."""


class _Entries:
    """The entries of an archive by the names that torch uses, without the folder of all."""

    def __init__(self, packed: ZipFile) -> None:
        self._packed = packed
        names = packed.namelist()
        marked = [
            name for name in names if name.count("/") == 1 and name.endswith("/archive_format")
        ]
        self.is_old = not marked and "serialized_exported_program.json" in names
        if not marked and not self.is_old:
            raise no_program(_what_else(names))
        root = "" if self.is_old else marked[0].removesuffix("archive_format")
        self._names = {name.removeprefix(root): name for name in names if name.startswith(root)}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def under(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        return [name for name in self._names if name.startswith(folder) and not name.endswith("/")]

    def read(self, name: str) -> bytes:
        if name not in self._names:
            raise InputError(f"not a whole program of torch.export: it has no {name}")
        entry = self._packed.getinfo(self._names[name])
        if entry.compress_type != ZIP_STORED and entry.file_size > MOST_UNPACKED_BYTES:
            raise InputError(
                f"{name} is compressed and unpacks to {entry.file_size:,} bytes; "
                "save the program again"
            )
        return self._packed.read(entry)

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))


def _what_else(names: Sequence[str]) -> str:
    if not names:
        return "an empty archive"
    if any(name.endswith("/data.pkl") for name in names):
        return "a file of torch.save or torch.jit.save"
    return f"it has no archive_format but {some_of([name[:MOST_SHOWN] for name in names], SHOWN)}"


def _read(entries: _Entries) -> Archive:
    if entries.is_old:
        parts = ("state_dict", "constants", "example_inputs")
        state, constants, example = (
            _restricted(entries, f"serialized_{name}.pt") for name in parts
        )
        document = entries.json("serialized_exported_program.json")
    else:
        if entries.read("archive_format") != b"pt2":
            raise no_program("its archive_format is another")
        native = entries.under("data/aotinductor/")
        if native:
            raise CodeError(
                f"it holds native code, {native[0]:.80}, that is run as soon as torch loads it"
            )
        name = _only_model(entries)
        if "byteorder" in entries and entries.read("byteorder").decode() != sys.byteorder:
            raise InputError(
                f"its weights are not in the order of bytes of this machine, {sys.byteorder} endian"
            )
        state, constants = _payload(entries, "weights", name), _payload(entries, "constants", name)
        example = _restricted(entries, f"data/sample_inputs/{name}.pt")
        document = entries.json(f"models/{name}.json")
    program = checked(schema.ExportedProgram, document, "ExportedProgram")
    _check_version(program)
    return Archive(
        program,
        _tensors(state),
        _tensors(constants),
        _example(example),
        _taken(document, program),
        _ranges(document),
    )


def _only_model(entries: _Entries) -> str:
    files = entries.under("models/")
    found = [name.removeprefix("models/").removesuffix(".json") for name in files]
    if not found:
        raise no_program("it holds no program")
    if MODEL not in found and len(found) > 1:
        raise InputError(
            f"it holds several programs, {some_of(found, SHOWN)}: save the one that is meant"
        )
    return MODEL if MODEL in found else found[0]


def _check_version(program: schema.ExportedProgram) -> None:
    major = program.schema_version.major
    known = schema.SCHEMA_VERSION[0]
    if major not in (0, known):
        raise InputError(f"its format is version {major}, {THIS_TORCH} reads version {known}")


# -- tensors


def _restricted(entries: _Entries, name: str) -> Any:
    """Return what `torch.save` wrote, as far as that is tensors, numbers, texts and containers."""
    content = entries.read(name)
    if not content:
        return None
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles make torch raise anything
        named = re.search(r"GLOBAL ([\w.]+) (?:was not|whose)", str(error))
        if named or "weights_only" in str(error) or "Unsupported" in str(error):
            what = f"{named[1]} in " if named else ""
            raise CodeError(f"unpickling {what}{name} would run the code that it holds") from error
        raise InputError(f"{name} cannot be read: {failure_of(error)}") from error


def _payload(entries: _Entries, kind: str, model: str) -> Mapping[str, Any]:
    """Return the tensors of a folder by name; tensors that share memory still do."""
    folder = f"data/{kind}/"
    if f"{folder}{model}.pt" in entries:  # as torch 2.8 wrote it
        return _restricted(entries, f"{folder}{model}.pt") or {}
    document = entries.json(f"{folder}{model}_{kind}_config.json")
    config = checked(schema.PayloadConfig, document, "PayloadConfig")
    buffers: dict[str, bytearray] = {}
    same: dict[str, Tensor] = {}  # a tensor that the model has under several names is one
    found: dict[str, Tensor] = {}
    for name, one in config.config.items():
        if one.tensor_meta is None or one.use_pickle:
            raise CodeError(
                f"'{name}' in {folder} is a pickled object, not bytes of a tensor: "
                "it would run its code"
            )
        file = one.path_name
        if file not in buffers:
            buffers[file] = bytearray(entries.read(f"{folder}{file}"))
        key = str((file, one.is_param, one.tensor_meta))
        if key not in same:
            same[key] = _tensor(buffers[file], one.tensor_meta, name)
            if one.is_param:
                same[key] = nn.Parameter(same[key], one.tensor_meta.requires_grad)
        found[name] = same[key]
    return found


def _tensor(content: bytearray, meta: schema.TensorMeta, name: str) -> Tensor:
    """Return a tensor over bytes; on meta where there are none."""
    if meta.layout != schema.Layout.Strided:
        raise InputError(f"'{name}' is a sparse tensor, which cannot be read")
    dtype = _SERIALIZE_TO_TORCH_DTYPE[meta.dtype]
    sizes, strides = ([size.as_int for size in several] for several in (meta.sizes, meta.strides))
    count = math.prod(sizes)
    if count * dtype.itemsize > MOST_BYTES:
        raise InputError(f"'{name}' would have {count:.3g} elements")
    if not content:
        device = "meta" if count else "cpu"
        return torch.empty_strided(sizes, strides, dtype=dtype, device=device)
    try:
        flat = torch.frombuffer(content, dtype=dtype)
        return flat.as_strided(sizes, strides, meta.storage_offset.as_int)
    except (RuntimeError, ValueError) as error:
        size = f"{len(content):,} bytes"
        told = f"'{name}' does not fit the {size} of its file: {failure_of(error)}"
        raise InputError(told) from error


def _tensors(found: Any) -> Mapping[str, Tensor]:
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(one, Tensor) for one in found.values()):
        raise InputError("its weights are no tensors by name")
    return {a_path(str(name)): tensor for name, tensor in found.items()}


def _example(found: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]] | None:
    if found in (None, ()) or (isinstance(found, Mapping) and not found):
        return None
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Mapping):
        raise InputError("its sample inputs are no arguments and keyword arguments")
    if _leaves(found, MOST_LEAVES) <= 0:
        raise InputError(f"its sample inputs are more than {MOST_LEAVES:,}")
    return tuple(found[0]), dict(found[1])


def _leaves(value: Any, left: int) -> int:
    """Return how many of so many leaves are left after those of a value."""
    within: Iterable[Any] = value.values() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        within = value
    for one in within:
        if left <= 0:
            break
        left = _leaves(one, left - 1)
    return left


# -- what it takes


def _taken(document: Any, program: schema.ExportedProgram) -> tuple[Taken, ...]:
    """Return the inputs of a program, with their sizes as they were written."""
    metas = document["graph_module"]["graph"]["tensor_values"]
    found = []
    for spec in program.graph_module.signature.input_specs:
        if spec.type == "user_input":
            argument = spec.user_input.arg
            if argument.type == "as_tensor":
                name = argument.as_tensor.name
                found.append(Taken(name, tuple(map(_size, metas[name]["sizes"]))))
            else:
                found.append(Taken("", None))
        elif spec.type == "constant_input":
            found.append(Taken(spec.constant_input.name, None))
    return tuple(found)


def _size(size: Mapping[str, Any]) -> int | str:
    return int(size["as_int"]) if "as_int" in size else str(size["as_expr"]["expr_str"])


def _ranges(document: Any) -> Mapping[str, tuple[int | None, int | None]]:
    ranges = {}
    for name, found in document.get("range_constraints", {}).items():
        one = checked(schema.RangeConstraint, found, "RangeConstraint")
        ranges[str(name)] = (one.min_val, one.max_val)
    return ranges


class Affine(NamedTuple):
    """`factor * symbol + offset`."""

    factor: int
    symbol: str
    offset: int


def affine(expression: str) -> Affine | None:
    """Return what an expression of sympy says, `None` if it is more than a scaled, shifted symbol.

    >>> affine("Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))")
    Affine(factor=2, symbol='s0', offset=-1)
    """
    return _affine(expression_of(expression))


def _affine(node: ast.expr | None) -> Affine | None:
    match node:
        case ast.Name(id=symbol):
            return Affine(1, symbol, 0)
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=symbol), *_]):
            return Affine(1, str(symbol), 0)
        case ast.Call(func=ast.Name(id="Add" | "Mul" as kind), args=[first, second]):
            number, other = _integer(first), second
            if number is None:
                number, other = _integer(second), first
            inner = _affine(other)
            if number is None or inner is None:
                return None
            if kind == "Add":
                return inner._replace(offset=inner.offset + number)
            return Affine(number * inner.factor, inner.symbol, number * inner.offset)
    return None


def _integer(node: ast.expr) -> int | None:
    match node:
        case ast.Call(func=ast.Name(id="Integer"), args=[written, *_]):
            node = written
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if type(value) is int else None
