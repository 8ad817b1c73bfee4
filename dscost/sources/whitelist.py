"""The JSON of a program, of which only known fields pass, each as it should be spelled."""

import ast
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import IntEnum
from functools import lru_cache
from types import UnionType
from typing import Any

from torch._export.serde import schema
from torch._export.serde.union import _Union

from dscost.errors import InputError
from dscost.sources.program_texts import (
    CONFUSING,
    THIS_TORCH,
    CodeError,
    expression_of,
    instance_of,
    no_program,
    text_of,
)


def checked(kind: Any, value: Any, where: str) -> Any:
    """Return a value of JSON that is of a type of torch's schema, without fields that are not read.

    The type may be annotated, optional, a list or a dict. The rule for a text is found by `where`,
    its `Class.field`.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):  # the schema has no other union than with None
        return None if value is None else checked(inner[0], value, where)
    if isinstance(kind, str | typing.ForwardRef):
        name = getattr(kind, "__forward_arg__", None) or str(kind)
        return checked(getattr(schema, name), value, where)
    if origin is list:
        return [checked(inner[0], one, where) for one in instance_of(list, value, where)]
    if origin is dict:
        pairs = instance_of(dict, value, where).items()
        return {text_of(f"{where} key", key): checked(inner[1], one, where) for key, one in pairs}
    if issubclass(kind, _Union):
        return _checked_union(kind, value, where)
    if is_dataclass(kind):
        return _checked_fields(kind, value, where)
    if kind is str:
        return text_of(where, value)
    if kind is float:
        # JSON has no such numbers: torch writes them as texts
        if isinstance(value, str) and value in ("Infinity", "-Infinity", "NaN"):
            return float(value)
        return float(instance_of((int, float), value, where))
    if issubclass(kind, IntEnum):
        return kind(instance_of(int, value, where))
    if kind is int and not -(2**63) <= instance_of(int, value, where) < 2**63:
        raise no_program(f"{where} is {value:.3g}")
    return instance_of(kind, value, where)


def _checked_union(kind: Any, value: Any, where: str) -> Any:
    if len(instance_of(dict, value, where)) != 1:
        raise no_program(f"{where} has {len(value)} values")
    ((name, one),) = value.items()
    hints = _hints(kind)
    if name not in hints:
        raise InputError(f"{where} is '{name!s:.40}', which {THIS_TORCH} does not know")
    if name in _OBJECTS:
        raise CodeError("it holds an object of a class of its own, whose code would run")
    place = f"{kind.__name__}.{name}"
    if name == "as_expr":
        return _as_example(kind, one)
    return kind.create(**{name: checked(hints[name], one, place)})


@lru_cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind, vars(schema))


_OBJECTS = ("as_custom_obj", "custom_obj")
_WITHOUT_HINT: Mapping[Any, Mapping[str, Any]] = {
    schema.SymInt: {"as_int": 2},
    schema.SymFloat: {"as_float": 1.0},
    schema.SymBool: {"as_bool": True},
}
"""For sizes that are known only once the program has run; nothing but torch's own bookkeeping reads
them."""


def _as_example(kind: Any, expression: Any) -> Any:
    """Return the value that an expression had for the example, in its place.

    Raises:
        CodeError: The expression is none; it is not evaluated here, but torch would.
    """
    found = instance_of(dict, expression, "SymExpr")
    text = instance_of(str, found.get("expr_str"), "SymExpr.expr_str")
    if not _is_expression(text):
        raise CodeError(
            f"a size in it is no expression but this, which torch would evaluate: {text!r:.60}"
        )
    hint = found.get("hint")
    return checked(kind, _WITHOUT_HINT[kind] if hint is None else hint, "SymExpr.hint")


def _is_expression(text: str) -> bool:
    """Whether a text is arithmetic of symbols as sympy writes it: `Mul(Integer(2), …)`."""
    tree = expression_of(text) if len(text) <= MOST_EXPRESSION else None
    if tree is None:
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                is_fine = name[0].isupper() or (name[0] != "_" and id(node) not in called)
            case ast.Constant(value=str(word)):
                is_fine = re.fullmatch(r"[\w.+-]*", word) is not None
            case _:
                is_fine = isinstance(node, _ARITHMETIC)
        if not is_fine:
            return False
    return True


MOST_EXPRESSION = 20_000
"""Characters."""
_ARITHMETIC = (
    ast.Call, ast.keyword, ast.Load, ast.Constant, ast.Tuple, ast.BinOp,
    ast.operator, ast.UnaryOp, ast.unaryop, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop,
)  # fmt: skip


def _checked_fields(kind: Any, value: Any, where: str) -> Any:
    found = {}
    for field in fields(kind):
        place = f"{kind.__name__}.{field.name}"
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in instance_of(dict, value, where):
            if not has_default:
                raise no_program(f"{kind.__name__} without {field.name}")
        elif place in _DROPPED:
            found[field.name] = _DROPPED[place](value[field.name])
        else:
            found[field.name] = checked(_hints(kind)[field.name], value[field.name], place)
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
    for name in """
        _assert_async.msg _assert_async.default _assert_scalar.default
        _assert_tensor_metadata.default sym_constrain_range.default
        sym_constrain_range_for_size.default
    """.split()
)
"""Operators that compute nothing; they say where the program was exported, and for which values."""


def _forget_devices(node: schema.Node) -> None:
    """Let a node make tensors where its inputs are: not where the program was exported."""
    if node.target == "torch.ops.aten.to.device":
        node.target = "torch.ops.aten.to.dtype"
        node.inputs = [one for one in node.inputs if one.name != "device"]
    for one in node.inputs:
        if one.arg.type == "as_device":
            nothing: Any = schema.Argument
            one.arg = nothing.create(as_none=True)


def _stack(metadata: Any) -> dict[str, str]:
    """Return of a node's notes those that say in which modules it ran."""
    text = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    entries = []
    for entry in str(text or "").split(";"):
        key, _, rest = entry.partition(",")
        path, _, kind = rest.partition(",")
        place = f"{key}{path}"
        if place.isprintable() and not CONFUSING.search(place) and not key.startswith("_empty"):
            entries.append(f"{key},{path},{_class_name(kind)}")
    if not entries or entries[0].split(",")[1]:
        entries = ["L__self__,,", *entries]
    return {"nn_module_stack": ";".join(entries)}


def _class_name(kind: str) -> str:
    name = re.sub(r"[\[(].*", "", kind).rpartition(".")[2]
    return name if name.isidentifier() else ""


def _no_objects(found: Any) -> dict[str, Any]:
    if found:
        raise CodeError("it holds objects of classes of their own, whose code would run")
    return {}


_DROPPED: Mapping[str, Callable[[Any], Any]] = {
    "Node.metadata": _stack,
    "Graph.custom_obj_values": _no_objects,
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
