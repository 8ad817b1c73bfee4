"""What each text in the JSON of a program may say, so that none of it can be code."""

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from dscost.errors import InputError


class CodeError(InputError):
    """Reading the archive as torch does would run code that it holds or names."""


def no_program(why: str) -> InputError:
    """Return the error for what is no program of `torch.export`."""
    return InputError(f"not a program of torch.export: {why}")


def expression_of(text: str) -> ast.expr | None:
    """Return an expression of Python that is not evaluated, `None` where a text is none."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def failure_of(error: BaseException) -> str:
    """Return what an error of torch, or of a library that reads archives, says in a line."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # SerializeError ends in the traceback of what it is about
    text = lines[-1] if "Traceback (most recent call last):" in str(error) else lines[0]
    return f"{text:.300}"


THIS_TORCH = f"this torch ({torch.__version__})"
CONFUSING = re.compile(r"""["'\\{}()\[\],;]""")
"""Marks that end a text in the Python code that torch makes of a graph, or a part of a stack."""


def instance_of(kind: Any, value: Any, where: str) -> Any:
    """Return a value that is of a type; `where` says in an `InputError` what is not."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise no_program(f"{where} is {type(value).__name__}")
    return value


def text_of(where: str, value: Any) -> str:
    """Return a text of a program, if it says what the text of such a `Class.field` may say.

    Raises:
        InputError: It is no text, or of a field that is not read.
        CodeError: It could be code.
    """
    rule = _RULES.get(where)
    if rule is None:
        raise InputError(f"not a program of torch.export that {THIS_TORCH} reads: {where}")
    return rule(instance_of(str, value, where))


def _a_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w{0,999}", text, re.ASCII):
        raise CodeError(f"a name in it is no name but this, which could be code: {text!r:.60}")
    return text


def _a_name_or_nothing(text: str) -> str:
    return _a_name(text) if text else text


def a_path(text: str) -> str:
    """Return the path of a module or a tensor, such as `layer1.0.conv`.

    A `CodeError` where it could end a text in Python code, or name something of Python's own.
    """
    is_private = any(part.startswith("__") for part in text.split("."))
    if is_private or not text.isprintable() or CONFUSING.search(text):
        raise CodeError(f"a path in it is no path but this, which could be code: {text!r:.60}")
    return text


def _a_value(text: str) -> str:
    return text  # a value, which nothing reads as code


def _a_dialect(text: str) -> str:
    if text not in ("", "ATEN", "TRAINING"):
        raise InputError(f"its dialect is {text!r:.40}, which this torch does not know")
    return text


OPERATORS: Mapping[str, Collection[str]] = {
    "_operator": """
        add and_ eq floordiv ge getitem gt le lshift lt mod mul ne neg not_ or_ pos pow rshift sub
        truediv
    """.split(),
    "math": "ceil floor sqrt trunc".split(),
    "torch": "sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum".split(),
    "torch._functorch.predispatch": """
        _add_batch_dim _remove_batch_dim _vmap_decrement_nesting _vmap_increment_nesting
    """.split(),
    "torch.ops.higher_order": """
        associative_scan auto_functionalized auto_functionalized_v2 cond flex_attention
        hints_wrapper invoke_subgraph map_impl out_dtype scan strict_mode tag_activation_checkpoint
        while_loop wrap wrap_activation_checkpoint wrap_with_autocast wrap_with_set_grad_enabled
    """.split(),
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
        raise InputError(f"it calls {full}, an operator that {THIS_TORCH} does not have")
    return text


def _with_library(library: str) -> None:
    """Import what defines operators of some namespaces: packages that we name, not the file."""
    if library == "torchvision":
        from dscost.sources.mending import import_torchvision

        import_torchvision()
    elif library == "quantized_decomposed":
        import torch.ao.quantization.fx._decomposed  # noqa: F401


_LIST = "builtins.list"
_CONTAINERS = frozenset(
    f"builtins.tuple {_LIST} builtins.dict collections.OrderedDict collections.deque "
    "torch.Size".split()
)


def _tree_of_inputs(text: str) -> str:
    return _spec(text, _refused_class)


def _tree_of_outputs(text: str) -> str:
    return _spec(text, lambda _: (_LIST, "null"))


def _spec(text: str, of_class: Callable[[str], tuple[str, str]]) -> str:
    protocol, tree = json.loads(text)
    return json.dumps([instance_of(int, protocol, "TreeSpec"), _tree(tree, of_class)])


def _tree(node: Any, of_class: Callable[[str], tuple[str, str]]) -> dict[str, Any]:
    """Return a tree of containers.

    A node has a type, a context (the keys of a dict) and children; a leaf has no type. Of a class
    that is no plain container, `of_class` gives the type and context to be written in its place.
    """
    kind, context = instance_of(dict, node, "TreeSpec")["type"], node["context"]
    nodes = instance_of(list, node["children_spec"], "TreeSpec")
    children = [_tree(child, of_class) for child in nodes]
    if kind is None:
        return {"type": None, "context": None, "children_spec": []}
    if kind not in _CONTAINERS:
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
    known = pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.keys() - {"collections.namedtuple"}
    what = "a class that would be imported"
    if kind in known:
        what = f"a class of {kind.rpartition('.')[0]}, whose code would run"
    raise CodeError(f"an input of it is a {kind:.80}, {what}")


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
