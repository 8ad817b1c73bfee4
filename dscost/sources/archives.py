"""What a `program.pt2` holds, looked into before any of it reaches torch.

`torch.export.load` runs what an archive asks for. It unpickles weights, constants and sample inputs without
restraint, loads native libraries, has sympy evaluate the expressions of dynamic shapes, executes the guards, imports
the modules that a tree of inputs names, calls whatever attribute of `torch` an operator is said to be, and writes
names of nodes into Python code that it executes. Nothing of that is done here:

- tensors are bytes, or what `torch.load(weights_only=True)` takes; nothing compiled is read;
- of the program only known fields are kept, each checked: names are names, operators are operators of torch;
- sizes that are expressions become the sizes of the example, guards are left out, and the inputs are checked by us.
"""

import ast
import io
import json
import math
import re
import sys
import typing
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor, nn
from torch._export.serde import schema
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE
from torch._export.serde.union import _Union
from torch.utils import _pytree as pytree

from dscost.errors import InputError, some_of
from dscost.files import what_is

MODEL = "model"
"""What torch.export.save calls the program."""
MOST_UNPACKED_BYTES = 2**26
"""Of a compressed entry; torch does not compress, so that weights are never among them."""
MOST_LEAVES = 10_000
"""Of the example inputs; lists may hold each other, so that few bytes make many."""
SHOWN = 3


class CodeError(InputError):
    """Reading the archive as torch does would run code that it holds or names."""


class Taken(NamedTuple):
    """An input of a program.

    Args:
        name: Of its placeholder.
        sizes: Of a tensor, each an integer or an expression; `None` where it is no tensor.
    """

    name: str
    sizes: tuple[int | str, ...] | None


class Archive(NamedTuple):
    """A program and its tensors.

    Args:
        program: Of which every text was looked at.
        state: Parameters and buffers by name; on meta those whose values were not saved.
        constants: Other tensors by name.
        example: Arguments and keyword arguments that the program was exported with, if they were saved.
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
        with ZipFile(path) as packed:
            return _read(_Entries(packed))
    except CodeError as error:
        raise CodeError(f"{path}: refused, since {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except BadZipFile as error:
        kind = what_is(path)
        why = f"an archive that is cut off, or was altered ({_said(error)})" if kind == "a zip archive" else kind
        raise InputError(f"{path}: not a program of torch.export, which is a zip archive: {why}") from error
    except RecursionError as error:
        raise InputError(f"{path}: not a program of torch.export: it is nested too deeply") from error
    except _DAMAGED as error:
        raise InputError(f"{path}: not a program of torch.export: {_said(error)}") from error


_DAMAGED = (
    *(BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError),
    *(NotImplementedError, ArithmeticError, MemoryError),
)
"""What zipfile, json and torch raise at bytes that are something else."""


def _said(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


class _Entries:
    """The entries of an archive by the names that torch uses, without the folder that all of them are in."""

    def __init__(self, packed: ZipFile) -> None:
        self._packed = packed
        names = packed.namelist()
        marked = [name for name in names if name.count("/") == 1 and name.endswith("/archive_format")]
        self.is_old = not marked and "serialized_exported_program.json" in names
        if not marked and not self.is_old:
            raise InputError(f"not a program of torch.export: {_what_else(names)}")
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
            raise InputError(f"{name} is compressed and unpacks to {entry.file_size:,} bytes; save the program again")
        return self._packed.read(entry)

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))


def _what_else(names: Sequence[str]) -> str:
    if not names:
        return "an empty archive"
    if any(name.endswith("/data.pkl") for name in names):
        return "a file of torch.save or torch.jit.save"
    return f"it has no archive_format but {some_of(names, SHOWN)}"


def _read(entries: _Entries) -> Archive:
    if entries.is_old:
        parts = ("serialized_state_dict.pt", "serialized_constants.pt", "serialized_example_inputs.pt")
        state, constants, example = (_restricted(entries, name) for name in parts)
        document = entries.json("serialized_exported_program.json")
    else:
        if entries.read("archive_format") != b"pt2":
            raise InputError("not a program of torch.export: its archive_format is another")
        native = entries.under("data/aotinductor/")
        if native:
            raise CodeError(f"it holds native code, {native[0]}, that is run as soon as torch loads it")
        name = _only_model(entries)
        if "byteorder" in entries and entries.read("byteorder").decode() != sys.byteorder:
            raise InputError(f"its weights are not in the order of bytes of this machine, {sys.byteorder} endian")
        state, constants = _payload(entries, "weights", name), _payload(entries, "constants", name)
        example = _restricted(entries, f"data/sample_inputs/{name}.pt")
        document = entries.json(f"models/{name}.json")
    program = _checked(schema.ExportedProgram, document, "ExportedProgram")
    _check_version(program)
    return Archive(
        program, _tensors(state), _tensors(constants), _example(example), _taken(document, program), _ranges(document)
    )


def _only_model(entries: _Entries) -> str:
    found = [name.removeprefix("models/").removesuffix(".json") for name in entries.under("models/")]
    if not found:
        raise InputError("not a program of torch.export: it holds no program")
    if MODEL not in found and len(found) > 1:
        raise InputError(f"it holds several programs, {some_of(found, SHOWN)}: save the one that is meant")
    return MODEL if MODEL in found else found[0]


def _check_version(program: schema.ExportedProgram) -> None:
    major = program.schema_version.major
    known = schema.SCHEMA_VERSION[0]
    if major not in (0, known):
        raise InputError(f"its format is version {major}, this torch ({torch.__version__}) reads version {known}")


# -- tensors


def _restricted(entries: _Entries, name: str) -> Any:
    """Return what `torch.save` wrote, as far as that is tensors, numbers, texts and containers of them."""
    content = entries.read(name)
    if not content:
        return None
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        named = re.search(r"GLOBAL ([\w.]+) (?:was not|whose)", str(error))
        if named or "weights_only" in str(error) or "Unsupported" in str(error):
            what = f"{named[1]} in " if named else ""
            raise CodeError(f"unpickling {what}{name} would run the code that it holds") from error
        raise InputError(f"{name} cannot be read: {_said(error)}") from error


_UNREADABLE = (*_DAMAGED, Exception)
"""Damaged pickles make torch raise anything."""


def _payload(entries: _Entries, kind: str, model: str) -> Mapping[str, Any]:
    """Return the tensors of a folder by name; tensors that share memory still do."""
    folder = f"data/{kind}/"
    if f"{folder}{model}.pt" in entries:  # as torch 2.8 wrote it
        return _restricted(entries, f"{folder}{model}.pt") or {}
    config = _checked(schema.PayloadConfig, entries.json(f"{folder}{model}_{kind}_config.json"), "PayloadConfig")
    buffers: dict[str, bytearray] = {}
    same: dict[str, Tensor] = {}  # a tensor that the model has under several names is one
    found: dict[str, Tensor] = {}
    for name, one in config.config.items():
        if one.tensor_meta is None or one.use_pickle:
            raise CodeError(f"'{name}' in {folder} is a pickled object, not bytes of a tensor: it would run its code")
        file = one.path_name
        if file not in buffers:
            buffers[file] = bytearray(entries.read(f"{folder}{file}"))
        key = str((file, one.is_param, one.tensor_meta))
        if key not in same:
            tensor = _tensor(buffers[file], one.tensor_meta, name)
            same[key] = nn.Parameter(tensor, one.tensor_meta.requires_grad) if one.is_param else tensor
        found[name] = same[key]
    return found


def _tensor(content: bytearray, meta: schema.TensorMeta, name: str) -> Tensor:
    """Return a tensor over bytes; on meta where there are none."""
    if meta.layout != schema.Layout.Strided:
        raise InputError(f"'{name}' is a sparse tensor, which cannot be read")
    dtype = _SERIALIZE_TO_TORCH_DTYPE[meta.dtype]
    sizes, strides = ([size.as_int for size in several] for several in (meta.sizes, meta.strides))
    if not content:
        return torch.empty_strided(sizes, strides, dtype=dtype, device="meta" if math.prod(sizes) else "cpu")
    try:
        flat = torch.frombuffer(content, dtype=dtype)
        return flat.as_strided(sizes, strides, meta.storage_offset.as_int)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"'{name}' does not fit the {len(content):,} bytes of its file: {_said(error)}") from error


def _tensors(found: Any) -> Mapping[str, Tensor]:
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError("its weights are no tensors by name")
    return {_a_path(str(name)): tensor for name, tensor in found.items()}


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


# -- the program: known fields, each of the type and the spelling that it should have


def _checked(kind: Any, value: Any, where: str) -> Any:
    """Return a value of JSON that is of a type of torch's schema, without fields that are not read.

    Args:
        kind: A type, perhaps annotated, optional, a list or a dict.
        value: What stands there.
        where: `Class.field`, by which the rule for a text is found.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):
        return None if value is None else _checked(inner[0], value, where)
    if isinstance(kind, str | typing.ForwardRef):
        return _checked(getattr(schema, getattr(kind, "__forward_arg__", None) or str(kind)), value, where)
    if origin is list:
        return [_checked(inner[0], one, where) for one in _instance(list, value, where)]
    if origin is dict:
        pairs = _instance(dict, value, where).items()
        return {_text(f"{where} key", key): _checked(inner[1], one, where) for key, one in pairs}
    if issubclass(kind, _Union):
        return _checked_union(kind, value, where)
    if is_dataclass(kind):
        return _checked_fields(kind, value, where)
    if kind is str:
        return _text(where, value)
    if kind is float:
        if isinstance(value, str) and value in ("Infinity", "-Infinity", "NaN"):
            return float(value)
        return float(_instance((int, float), value, where))
    if issubclass(kind, IntEnum):
        return kind(_instance(int, value, where))
    if kind is int and not -(2**63) <= _instance(int, value, where) < 2**63:
        raise InputError(f"not a program of torch.export: {where} is {value:.3g}")
    return _instance(kind, value, where)


def _instance(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"not a program of torch.export: {where} is {type(value).__name__}")
    return value


def _checked_union(kind: Any, value: Any, where: str) -> Any:
    if len(_instance(dict, value, where)) != 1:
        raise InputError(f"not a program of torch.export: {where} has {len(value)} values")
    ((name, one),) = value.items()
    hints = _hints(kind)
    if name not in hints:
        raise InputError(f"{where} is '{name!s:.40}', which this torch ({torch.__version__}) does not know")
    if name in _OBJECTS:
        raise CodeError("it holds an object of a class of its own, whose code would run")
    place = f"{kind.__name__}.{name}"
    if name == "as_expr":
        return _as_example(kind, one)
    return kind.create(**{name: _checked(hints[name], one, place)})


@lru_cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, vars(schema))


_OBJECTS = ("as_custom_obj", "custom_obj")
_WITHOUT_HINT: Mapping[Any, Mapping[str, Any]] = {
    schema.SymInt: {"as_int": 2},
    schema.SymFloat: {"as_float": 1.0},
    schema.SymBool: {"as_bool": True},
}
"""For sizes that are known only once the program has run; nothing but torch's own bookkeeping reads them."""


def _as_example(kind: Any, expression: Any) -> Any:
    """Return the value that an expression had for the example, in its place.

    Raises:
        CodeError: The expression is none; it is not evaluated here, but torch would.
    """
    text = _instance(str, _instance(dict, expression, "SymExpr").get("expr_str"), "SymExpr.expr_str")
    if not _is_expression(text):
        raise CodeError(f"a size in it is no expression but this, which torch would evaluate: {text!r:.60}")
    hint = expression.get("hint")
    return _checked(kind, _WITHOUT_HINT[kind] if hint is None else hint, "SymExpr.hint")


def _is_expression(text: str) -> bool:
    """Whether a text is arithmetic of symbols, as sympy writes it: `Mul(Integer(2), Symbol('s0', integer=True))`."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, _ARITHMETIC):
            return False
        if isinstance(node, ast.Name) and (
            node.id.startswith("_") or (id(node) in called and not node.id[0].isupper())
        ):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"[\w.+-]*", node.value):
            return False
    return True


_ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Tuple),
    *(ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop),
)


def _checked_fields(kind: Any, value: Any, where: str) -> Any:
    found = {}
    for field in fields(kind):
        place = f"{kind.__name__}.{field.name}"
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in _instance(dict, value, where):
            if not has_default:
                raise InputError(f"not a program of torch.export: {kind.__name__} without {field.name}")
        elif place in _DROPPED:
            found[field.name] = _DROPPED[place](value[field.name])
        else:
            found[field.name] = _checked(_hints(kind)[field.name], value[field.name], place)
    if kind is schema.ModuleCallEntry and found["fqn"]:
        found["signature"] = None  # how modules inside are called is told by the graph
    if kind is schema.Graph:
        found["nodes"] = [node for node in found["nodes"] if node.target not in ASSERTIONS]
    made = kind(**found)
    if kind is schema.Node:
        _forget_devices(made)
    return made


ASSERTIONS = frozenset(
    f"torch.ops.aten.{name}"
    for name in (
        *("_assert_async.msg", "_assert_async.default", "_assert_scalar.default", "_assert_tensor_metadata.default"),
        *("sym_constrain_range.default", "sym_constrain_range_for_size.default"),
    )
)
"""Operators that compute nothing; they say where the program was exported, and for which values."""


def _forget_devices(node: schema.Node) -> None:
    """Let a node make tensors wherever its inputs are: a program is counted where it was not exported."""
    if node.target == "torch.ops.aten.to.device":
        node.target = "torch.ops.aten.to.dtype"
        node.inputs = [one for one in node.inputs if one.name != "device"]
    for one in node.inputs:
        if one.arg.type == "as_device":
            one.arg = schema.Argument.create(as_none=True)


def _stack(metadata: Any) -> dict[str, str]:
    """Return of a node's notes those that say in which modules it ran."""
    text = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    entries = []
    for entry in str(text or "").split(";"):
        key, _, rest = entry.partition(",")
        path, _, kind = rest.partition(",")
        if not all(map(str.isprintable, (key, path))) or _CONFUSING.search(f"{key}{path}") or key.startswith("_empty"):
            continue
        entries.append(f"{key},{path},{_class_name(kind)}")
    if not entries or entries[0].split(",")[1]:
        entries = ["L__self__,,", *entries]
    return {"nn_module_stack": ";".join(entries)}


def _class_name(kind: str) -> str:
    name = re.sub(r"[\[(].*", "", kind).rpartition(".")[2]
    return name if name.isidentifier() else ""


_CONFUSING = re.compile(r"""["'\\{}()\[\],;]""")
"""Marks that end a text in the Python code that torch makes of a graph, or a part of a stack."""

_DROPPED: Mapping[str, Callable[[Any], Any]] = {
    "Node.metadata": _stack,
    "Graph.custom_obj_values": lambda found: _no_objects(found),
    "GraphModule.metadata": lambda _: {},
    "GraphModule.treespec_namedtuple_fields": lambda _: {},
    "ModuleCallSignature.inputs": lambda _: [],
    "ModuleCallSignature.outputs": lambda _: [],
    "ExportedProgram.opset_version": lambda _: {},
    "ExportedProgram.range_constraints": lambda _: {},
    "ExportedProgram.guards_code": lambda _: [],
    "ExportedProgram.torch_version": lambda _: "",
    "TensorMeta.device": lambda _: schema.Device("cpu"),
}
"""Fields that are not passed on as they stand, and what stands in their place."""


def _no_objects(found: Any) -> dict[str, Any]:
    if found:
        raise CodeError("it holds objects of classes of their own, whose code would run")
    return {}


# -- texts: what each may say


def _text(where: str, value: Any) -> str:
    rule = _RULES.get(where)
    if rule is None:
        raise InputError(f"not a program of torch.export that this torch ({torch.__version__}) reads: {where}")
    return rule(_instance(str, value, where))


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w{0,999}", text, re.ASCII):
        raise CodeError(f"a name in it is no name but this, which could be code: {text!r:.60}")
    return text


def _a_name_or_nothing(text: str) -> str:
    return _a_name(text) if text else text


def _a_path(text: str) -> str:
    if not text.isprintable() or _CONFUSING.search(text):
        raise CodeError(f"a path in it is no path but this, which could be code: {text!r:.60}")
    return text


def _a_value(text: str) -> str:
    return text  # a value, which nothing reads as code


def _a_dialect(text: str) -> str:
    if text not in ("", "ATEN", "TRAINING"):
        raise InputError(f"its dialect is {text!r:.40}, which this torch does not know")
    return text


OPERATORS: Mapping[str, tuple[str, ...]] = {
    "_operator": (
        *("add", "and_", "eq", "floordiv", "ge", "getitem", "gt", "le", "lshift", "lt", "mod", "mul", "ne", "neg"),
        *("not_", "or_", "pos", "pow", "rshift", "sub", "truediv"),
    ),
    "math": ("ceil", "floor", "sqrt", "trunc"),
    "torch": ("sym_float", "sym_int", "sym_ite", "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum"),
    "torch._functorch.predispatch": (
        *("_add_batch_dim", "_remove_batch_dim", "_vmap_decrement_nesting", "_vmap_increment_nesting"),
    ),
    "torch.ops.higher_order": (
        *("associative_scan", "auto_functionalized", "auto_functionalized_v2", "cond", "flex_attention"),
        *("hints_wrapper", "invoke_subgraph", "map_impl", "out_dtype", "scan", "strict_mode"),
        *("tag_activation_checkpoint", "while_loop", "wrap", "wrap_activation_checkpoint", "wrap_with_autocast"),
        "wrap_with_set_grad_enabled",
    ),
}
"""Functions that an operator of a program may be, by where they are; beside these the operators of torch."""

LIBRARIES = ("aten", "prims", "quantized", "quantized_decomposed", "mkldnn", "torchvision")
"""Namespaces of operators that only compute."""
ON_FILES = frozenset(("from_file", "save", "load", "_print", "warn"))
"""Operators of theirs that do more: they open files, or print."""


def _an_operator(text: str) -> str:
    module, _, name = text.rpartition(".")
    if name in OPERATORS.get(module, ()):
        return text
    parts = re.fullmatch(r"torch\.ops\.(\w+)\.(\w+)\.(\w+)", text, re.ASCII)
    if parts is None:
        raise CodeError(f"it calls {text!r:.80}, which is no operator")
    library, operator, overload = parts.groups()
    if library not in LIBRARIES or operator in ON_FILES or "__" in f"{library}{overload}":
        raise CodeError(f"it calls {library}::{operator}, an operator whose code is not torch's, or that opens files")
    full = f"{library}::{operator}" + ("" if overload == "default" else f".{overload}")
    _with_library(library)
    if not torch._C._dispatch_has_kernel(full):
        raise InputError(f"it calls {full}, an operator that this torch ({torch.__version__}) does not have")
    return text


def _with_library(library: str) -> None:
    """Import what defines operators of some namespaces: packages that we name, not the file."""
    if library == "torchvision":
        from dscost.sources.mending import import_torchvision

        import_torchvision()
    elif library == "quantized_decomposed":
        import torch.ao.quantization.fx._decomposed  # noqa: F401


_CONTAINERS = ("tuple", "list", "dict")
_CONTAINER_TYPES = frozenset(
    (*(f"builtins.{name}" for name in _CONTAINERS), "collections.OrderedDict", "collections.deque", "torch.Size")
)
_LIST = "builtins.list"


def _tree_of_inputs(text: str) -> str:
    protocol, tree = json.loads(text)
    return json.dumps([_instance(int, protocol, "TreeSpec"), _tree(tree, _refused_class)])


def _tree_of_outputs(text: str) -> str:
    protocol, tree = json.loads(text)
    return json.dumps([_instance(int, protocol, "TreeSpec"), _tree(tree, lambda _: (_LIST, "null"))])


def _tree(node: Any, of_class: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """Return a tree of containers.

    Args:
        node: With a type, a context (the keys of a dict) and children; a leaf has no type.
        of_class: What to write in place of a class that is no plain container: a type and a context.
    """
    kind, context = _instance(dict, node, "TreeSpec")["type"], node["context"]
    children = [_tree(child, of_class) for child in _instance(list, node["children_spec"], "TreeSpec")]
    if kind is None:
        return {"type": None, "context": None, "children_spec": []}
    if kind not in _CONTAINER_TYPES:
        kind, context = of_class(str(kind))
    elif not _is_plain_context(json.loads(context)):
        raise CodeError("the tree of its inputs names a class to be imported")
    return {"type": kind, "context": context, "children_spec": children}


def _is_plain_context(context: Any) -> bool:
    """Whether a context is nothing, a number, or keys that are texts or numbers: no class, which would be imported."""
    if isinstance(context, list):
        return all(isinstance(key, str | int | float | None) for key in context)
    return isinstance(context, int | None)


def _refused_class(kind: str) -> tuple[str, str]:
    module = kind.rpartition(".")[0]
    known = kind in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE and kind not in ("collections.namedtuple",)
    raise CodeError(
        f"an input of it is a {kind:.80}, a class that would be imported"
        if not known
        else f"an input of it is a {kind:.80}, a class of {module}, whose code would run"
    )


_RULES: Mapping[str, Callable[[str], str]] = {
    "Argument.as_operator": _an_operator,
    "Argument.as_string": _a_value,
    "Argument.as_string_to_argument key": _a_path,
    "Argument.as_strings": _a_value,
    "BufferMutationSpec.buffer_name": _a_path,
    "ConstantValue.as_string": _a_value,
    "Device.type": lambda _: "cpu",
    "ExportedProgram.verifiers": _a_dialect,
    "GradientToParameterSpec.parameter_name": _a_path,
    "GradientToUserInputSpec.user_input_name": _a_name,
    "Graph.sym_bool_values key": _a_name,
    "Graph.sym_float_values key": _a_name,
    "Graph.sym_int_values key": _a_name,
    "Graph.tensor_values key": _a_name,
    "GraphArgument.name": _a_name,
    "InputToBufferSpec.buffer_name": _a_path,
    "InputToConstantInputSpec.name": _a_name,
    "InputToParameterSpec.parameter_name": _a_path,
    "InputToTensorConstantSpec.tensor_constant_name": _a_path,
    "ModuleCallEntry.fqn": _a_path,
    "ModuleCallSignature.forward_arg_names": _a_name,
    "ModuleCallSignature.in_spec": _tree_of_inputs,
    "ModuleCallSignature.out_spec": _tree_of_outputs,
    "NamedArgument.name": _a_name_or_nothing,
    "Node.name": _a_name,
    "Node.target": _an_operator,
    "ParameterMutationSpec.parameter_name": _a_path,
    "PayloadConfig.config key": _a_path,
    "PayloadMeta.path_name": _a_value,
    "SymBoolArgument.as_name": _a_name,
    "SymFloatArgument.as_name": _a_name,
    "SymIntArgument.as_name": _a_name,
    "TensorArgument.name": _a_name,
    "TokenArgument.name": _a_name,
    "UserInputMutationSpec.user_input_name": _a_name,
}
"""What the texts of each field may be; a field without a rule is not read."""


# -- what it takes


def _taken(document: Any, program: schema.ExportedProgram) -> tuple[Taken, ...]:
    """Return the inputs of a program, with their sizes as they were written."""
    metas = document["graph_module"]["graph"]["tensor_values"]
    found = []
    for spec in program.graph_module.signature.input_specs:
        if spec.type == "user_input":
            argument = spec.user_input.arg
            is_tensor = argument.type == "as_tensor"
            name = argument.as_tensor.name if is_tensor else ""
            found.append(Taken(name, tuple(map(_size, metas[name]["sizes"])) if is_tensor else None))
        elif spec.type == "constant_input":
            found.append(Taken(spec.constant_input.name, None))
    return tuple(found)


def _size(size: Mapping[str, Any]) -> int | str:
    return int(size["as_int"]) if "as_int" in size else str(size["as_expr"]["expr_str"])


def _ranges(document: Any) -> Mapping[str, tuple[int | None, int | None]]:
    found = document.get("range_constraints", {})
    return {str(name): (one.get("min_val"), one.get("max_val")) for name, one in found.items()}


class Affine(NamedTuple):
    """`factor * symbol + offset`."""

    factor: int
    symbol: str
    offset: int


def affine(expression: str) -> Affine | None:
    """Return what an expression of sympy says, or `None` where it is more than a symbol, scaled and shifted.

    >>> affine("Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))")
    Affine(factor=2, symbol='s0', offset=-1)
    """
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _affine(tree)


def _affine(node: ast.expr) -> Affine | None:
    if isinstance(node, ast.Name):
        return Affine(1, node.id, 0)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    kind, args = node.func.id, node.args
    if kind == "Symbol" and isinstance(args[0], ast.Constant):
        return Affine(1, str(args[0].value), 0)
    if kind not in ("Add", "Mul") or len(args) != 2:
        return None
    number, other = (_integer(args[0]), args[1]) if _integer(args[0]) is not None else (_integer(args[1]), args[0])
    inner = _affine(other)
    if number is None or inner is None:
        return None
    if kind == "Add":
        return inner._replace(offset=inner.offset + number)
    return Affine(number * inner.factor, inner.symbol, number * inner.offset)


def _integer(node: ast.expr) -> int | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Integer" and node.args:
        node = node.args[0]
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if type(value) is int else None
