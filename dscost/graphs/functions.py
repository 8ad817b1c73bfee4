"""Functions: those of the file, and operators that ONNX itself defines by others. All are inlined.

An operator of ONNX that there is a rule for is none, unless nothing else tells what it writes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
from onnx import AttributeProto, FunctionProto, ModelProto, defs, helper

from dscost.errors import InputError
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.scopes import Place, Scope
from dscost.graphs.tensors import NUMBERS
from dscost.graphs.values import Value

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

MOST_CALLS = 40
"""How many functions may be inside of each other."""


class Body(NamedTuple):
    """What a function does.

    Args:
        name: Unique to it.
        function: As it stands in a file.
        defaults: Attributes that a call may leave out.
    """

    name: str
    function: FunctionProto
    defaults: Mapping[str, AttributeProto]


class Functions:
    """The functions that nodes of a model may call."""

    def __init__(self, model: ModelProto) -> None:
        self._own = {
            (one.domain or MAIN, one.name, getattr(one, "overload", "")): one
            for one in model.functions
        }

    def body_of(self, node: Node, *, is_known: bool) -> Body | None:
        """Return the function that a node calls; `None` where it is an operator.

        Args:
            node: The node.
            is_known: Whether there is a rule for it.
        """
        domain, _, base = node.operator.partition("::")
        own = self._own.get((domain, base, getattr(node.proto, "overload", "")))
        if own is not None and not (is_known and domain == MAIN):
            defaults = {one.name: one for one in own.attribute_proto}
            return Body(f"{node.operator}:{own.overload}", own, defaults)
        return None if is_known else of_schema(node)

    def run(
        self, evaluation: "Evaluation", node: Node, body: Body, scope: Scope
    ) -> Sequence[Value]:
        """Return what a call of a function writes: its nodes are run, under the name of the call.

        Raises:
            InputError: It calls itself, or is called with more than it takes.
        """
        function, place = body.function, scope.place
        if body.name in place.calls:
            raise InputError(f"function '{body.name.strip(':')}' calls itself")
        if len(place.calls) >= MOST_CALLS:
            raise InputError(
                f"node '{node.name}' is inside of {MOST_CALLS} functions in each other"
            )
        if len(node.inputs) > len(function.input):
            raise InputError(
                f"node '{node.name}' gives {len(node.inputs)} inputs to function "
                f"'{body.name.strip(':')}', which takes {len(function.input)}"
            )
        opsets = {one.domain or MAIN: one.version for one in function.opset_import}
        given = {one.name: one for one in node.proto.attribute}
        origins = {name: f"{body.name}.{name}" for name in body.defaults}
        for name in given:
            refers = node.refers.get(name, "")
            origins[name] = place.origins.get(refers, place.origin(node, name))
        inner = Scope(
            Place(
                f"{place.path}/{node.name}()",
                {**place.opsets, **opsets},
                prefix=f"{node.name}.",
                attributes={**body.defaults, **given},
                calls=(*place.calls, body.name),
                depth=place.depth + 1,
                declared=tuple(function.value_info),
                sizes=place.sizes,
                home=f"{body.name}.",
                origins=origins,
            )
        )
        inner.update(dict.fromkeys(function.input))
        inner.update(zip(function.input, node.inputs, strict=False))
        evaluation.run_nodes(function.node, inner)
        evaluation.books.types.setdefault(node.name, node.base)
        return [
            _written(inner, name, node) if wanted else Value()
            for name, wanted in zip(function.output, node.proto.output, strict=False)
        ]


def _written(scope: Scope, name: str, node: Node) -> Value:
    try:
        return scope[name] or Value()
    except KeyError:
        raise InputError(
            f"the function of '{node.name}' returns '{name}', made by nothing"
        ) from None


def of_schema(node: Node) -> Body | None:
    """Return what ONNX defines an operator by, for the types that a node reads, if it does."""
    if any(value is not None and value.shape is None for value in node.inputs):
        return None
    domain = node.operator.partition("::")[0]
    try:
        schema: Any = defs.get_schema(node.base, node.opset, "" if domain == MAIN else domain)
    except defs.SchemaError:
        return None
    if not schema.has_function and not schema.has_context_dependent_function:
        return None
    function = _function_of(schema, node)
    if function is None or not function.node:
        return None
    defaults = {
        name: one.default_value
        for name, one in schema.attributes.items()
        if one.default_value.type != AttributeProto.UNDEFINED
    }
    return Body(f"{node.operator}:{node.opset}", function, defaults)


def _function_of(schema: Any, node: Node) -> FunctionProto | None:
    found = FunctionProto()
    try:
        if schema.has_function:
            versions = [one for one in schema.function_opset_versions if one <= node.opset]
            version = max(versions, default=schema.since_version)
            found.ParseFromString(schema.get_function_with_opset_version(version))
            return found
        types = [_serialized(value) for value in node.inputs]
        versions = [
            one for one in schema.context_dependent_function_opset_versions if one <= node.opset
        ]
        version = max(versions, default=schema.since_version)
        found.ParseFromString(
            schema.get_context_dependent_function_with_opset_version(
                version, node.proto.SerializeToString(), types
            )
        )
    except Exception:  # noqa: BLE001 - onnx's own code raises what it likes at nodes that are wrong
        return None
    return found


def _serialized(value: Value | None) -> bytes:
    proto = onnx.TypeProto()
    if value is not None and value.dtype in NUMBERS:
        proto = helper.make_tensor_type_proto(NUMBERS[value.dtype], value.shape)
    found: bytes = proto.SerializeToString()
    return found
