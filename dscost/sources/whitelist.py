# Over 400 lines: what may pass is one list, to be read at once by whoever doubts it.

"""The JSON of a program, of which only known fields pass, each as it should be spelled."""

import ast
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import IntEnum
from functools import lru_cache
from types import UnionType
from typing import Any

import torch
from torch._export.serde import schema
from torch._export.serde.union import _Union
from torch.utils import _pytree as pytree

from dscost.errors import InputError


class CodeError(InputError):
    """Reading the archive as torch does would run code that it holds or names."""


# -- the program: known fields, each of the type and the spelling that it should have


def checked(kind: Any, value: Any, where: str) -> Any:
    """Return a value of JSON that is of a type of torch's schema, without fields that are not read.

    Args:
        kind: A type, perhaps annotated, optional, a list or a dict.
        value: What stands there.
        where: `Class.field`, by which the rule for a text is found.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):
        return None if value is None else checked(inner[0], value, where)
    if isinstance(kind, str | typing.ForwardRef):
        return checked(
            getattr(schema, getattr(kind, "__forward_arg__", None) or str(kind)), value, where
        )
    if origin is list:
        return [checked(inner[0], one, where) for one in _instance(list, value, where)]
    if origin is dict:
        pairs = _instance(dict, value, where).items()
        return {_text(f"{where} key", key): checked(inner[1], one, where) for key, one in pairs}
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
        raise InputError(
            f"{where} is '{name!s:.40}', which this torch ({torch.__version__}) does not know"
        )
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
    text = _instance(
        str, _instance(dict, expression, "SymExpr").get("expr_str"), "SymExpr.expr_str"
    )
    if not _is_expression(text):
        raise CodeError(
            f"a size in it is no expression but this, which torch would evaluate: {text!r:.60}"
        )
    hint = expression.get("hint")
    return checked(kind, _WITHOUT_HINT[kind] if hint is None else hint, "SymExpr.hint")


def _is_expression(text: str) -> bool:
    """Whether a text is arithmetic of symbols as sympy writes it: `Mul(Integer(2), …)`."""
    if len(text) > MOST_EXPRESSION:
        return False
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
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and not re.fullmatch(r"[\w.+-]*", node.value)
        ):
            return False
    return True


MOST_EXPRESSION = 20_000
"""Characters."""
_ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Tuple),
    *(
        ast.BinOp,
        ast.operator,
        ast.UnaryOp,
        ast.unaryop,
        ast.Compare,
        ast.cmpop,
        ast.BoolOp,
        ast.boolop,
    ),
)


def _checked_fields(kind: Any, value: Any, where: str) -> Any:
    found = {}
    for field in fields(kind):
        place = f"{kind.__name__}.{field.name}"
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in _instance(dict, value, where):
            if not has_default:
                raise InputError(
                    f"not a program of torch.export: {kind.__name__} without {field.name}"
                )
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
    for name in (
        *(
            "_assert_async.msg",
            "_assert_async.default",
            "_assert_scalar.default",
            "_assert_tensor_metadata.default",
        ),
        *("sym_constrain_range.default", "sym_constrain_range_for_size.default"),
    )
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
        if (
            not all(map(str.isprintable, (key, path)))
            or _CONFUSING.search(f"{key}{path}")
            or key.startswith("_empty")
        ):
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
        raise InputError(
            f"not a program of torch.export that this torch ({torch.__version__}) reads: {where}"
        )
    return rule(_instance(str, value, where))


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w{0,999}", text, re.ASCII):
        raise CodeError(f"a name in it is no name but this, which could be code: {text!r:.60}")
    return text


def _a_name_or_nothing(text: str) -> str:
    return _a_name(text) if text else text


def a_path(text: str) -> str:
    """Return the path of a module or a tensor, such as `layer1.0.conv`.

    Raises:
        CodeError: It could end a text in Python code, or name something of Python's own.
    """
    if (
        not text.isprintable()
        or _CONFUSING.search(text)
        or any(part.startswith("__") for part in text.split("."))
    ):
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
        *(
            "add",
            "and_",
            "eq",
            "floordiv",
            "ge",
            "getitem",
            "gt",
            "le",
            "lshift",
            "lt",
            "mod",
            "mul",
            "ne",
            "neg",
        ),
        *("not_", "or_", "pos", "pow", "rshift", "sub", "truediv"),
    ),
    "math": ("ceil", "floor", "sqrt", "trunc"),
    "torch": (
        "sym_float",
        "sym_int",
        "sym_ite",
        "sym_max",
        "sym_min",
        "sym_not",
        "sym_sqrt",
        "sym_sum",
    ),
    "torch._functorch.predispatch": (
        *(
            "_add_batch_dim",
            "_remove_batch_dim",
            "_vmap_decrement_nesting",
            "_vmap_increment_nesting",
        ),
    ),
    "torch.ops.higher_order": (
        *(
            "associative_scan",
            "auto_functionalized",
            "auto_functionalized_v2",
            "cond",
            "flex_attention",
        ),
        *("hints_wrapper", "invoke_subgraph", "map_impl", "out_dtype", "scan", "strict_mode"),
        *(
            "tag_activation_checkpoint",
            "while_loop",
            "wrap",
            "wrap_activation_checkpoint",
            "wrap_with_autocast",
        ),
        "wrap_with_set_grad_enabled",
    ),
}
"""Functions that an operator of a program may be, by where they are; beside these the operators of
torch."""

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
        raise CodeError(
            f"it calls {library}::{operator}, an operator whose code is not torch's, "
            "or that opens files"
        )
    full = f"{library}::{operator}" + ("" if overload == "default" else f".{overload}")
    _with_library(library)
    if not torch._C._dispatch_has_kernel(full):
        raise InputError(
            f"it calls {full}, an operator that this torch ({torch.__version__}) does not have"
        )
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
    (
        *(f"builtins.{name}" for name in _CONTAINERS),
        "collections.OrderedDict",
        "collections.deque",
        "torch.Size",
    )
)
_LIST = "builtins.list"


def _tree_of_inputs(text: str) -> str:
    protocol, tree = json.loads(text)
    return json.dumps([_instance(int, protocol, "TreeSpec"), _tree(tree, _refused_class)])


def _tree_of_outputs(text: str) -> str:
    protocol, tree = json.loads(text)
    return json.dumps(
        [_instance(int, protocol, "TreeSpec"), _tree(tree, lambda _: (_LIST, "null"))]
    )


def _tree(node: Any, of_class: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """Return a tree of containers.

    Args:
        node: With a type, a context (the keys of a dict) and children; a leaf has no type.
        of_class: What to write in place of a class that is no plain container: a type and a
            context.
    """
    kind, context = _instance(dict, node, "TreeSpec")["type"], node["context"]
    children = [
        _tree(child, of_class) for child in _instance(list, node["children_spec"], "TreeSpec")
    ]
    if kind is None:
        return {"type": None, "context": None, "children_spec": []}
    if kind not in _CONTAINER_TYPES:
        kind, context = of_class(str(kind))
    elif not _is_plain_context(json.loads(context)):
        raise CodeError("the tree of its inputs names a class to be imported")
    return {"type": kind, "context": context, "children_spec": children}


def _is_plain_context(context: Any) -> bool:
    """Whether a context is nothing, a number, or such keys: no class, which would be imported."""
    if isinstance(context, list):
        return all(isinstance(key, str | int | float | None) for key in context)
    return isinstance(context, int | None)


def _refused_class(kind: str) -> tuple[str, str]:
    module = kind.rpartition(".")[0]
    known = kind in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE and kind not in (
        "collections.namedtuple",
    )
    raise CodeError(
        f"an input of it is a {kind:.80}, a class that would be imported"
        if not known
        else f"an input of it is a {kind:.80}, a class of {module}, whose code would run"
    )


_RULES: Mapping[str, Callable[[str], str]] = {
    "Argument.as_operator": _an_operator,
    "Argument.as_string": _a_value,
    "Argument.as_string_to_argument key": a_path,
    "Argument.as_strings": _a_value,
    "BufferMutationSpec.buffer_name": a_path,
    "ConstantValue.as_string": _a_value,
    "Device.type": lambda _: "cpu",
    "ExportedProgram.verifiers": _a_dialect,
    "GradientToParameterSpec.parameter_name": a_path,
    "GradientToUserInputSpec.user_input_name": _a_name,
    "Graph.sym_bool_values key": _a_name,
    "Graph.sym_float_values key": _a_name,
    "Graph.sym_int_values key": _a_name,
    "Graph.tensor_values key": _a_name,
    "GraphArgument.name": _a_name,
    "InputToBufferSpec.buffer_name": a_path,
    "InputToConstantInputSpec.name": _a_name,
    "InputToParameterSpec.parameter_name": a_path,
    "InputToTensorConstantSpec.tensor_constant_name": a_path,
    "ModuleCallEntry.fqn": a_path,
    "ModuleCallSignature.forward_arg_names": _a_name,
    "ModuleCallSignature.in_spec": _tree_of_inputs,
    "ModuleCallSignature.out_spec": _tree_of_outputs,
    "NamedArgument.name": _a_name_or_nothing,
    "Node.name": _a_name,
    "Node.target": _an_operator,
    "ParameterMutationSpec.parameter_name": a_path,
    "PayloadConfig.config key": a_path,
    "PayloadMeta.path_name": _a_value,
    "SymBoolArgument.as_name": _a_name,
    "SymFloatArgument.as_name": _a_name,
    "SymIntArgument.as_name": _a_name,
    "TensorArgument.name": _a_name,
    "TokenArgument.name": _a_name,
    "UserInputMutationSpec.user_input_name": _a_name,
}
"""What the texts of each field may be; a field without a rule is not read."""
