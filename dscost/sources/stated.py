"""The input that code states: beside its factory, or on the model, as Lightning has it."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

from dscost.errors import DscostError, InputError, NoShapeError, first_line
from dscost.foreign.parts import each_part
from dscost.notation.inputs import inputs_of, parse_input
from dscost.sources.importing import World

BESIDE = ("example_input", "example_inputs")
"""What states the input of the factories in its module: a function without arguments, or a
value."""
ON_MODEL = ("example_input_array", "dummy_inputs")
"""What states the input of a model: as of Lightning, and of transformers."""
DEFAULT_EXAMPLE = "1,3,224,224"


class Stated(NamedTuple):
    """An input that code states, as `dscost.analyze` takes it.

    Where it stands follows "the input is".
    """

    value: Any
    where: str


# -- beside a factory


def beside(module: ModuleType, place: str, world: World) -> Callable[[], Stated] | None:
    """Return what asks a module for the input of its factories, or `None` where it states none.

    A place is what the user calls the module, whose code runs in the world.
    """
    stated = {name: vars(module)[name] for name in BESIDE if vars(module).get(name) is not None}
    if not stated:
        return None
    name, found = next(iter(stated.items()))

    def ask() -> Stated:
        try:
            with world.entered():
                is_function = callable(found) and not isinstance(found, Tensor | nn.Module)
                value = found() if is_function else found
        except (Exception, SystemExit) as error:
            raise InputError(f"{place}: {name}() failed: {first_line(error)}") from error
        if value is None:
            raise InputError(
                f"{place}: {name}() returns nothing: "
                "expected a shape, a tensor, or a tuple or dict of them"
            )
        try:
            return Stated(_read(value), f"that of {name} in {place}")
        except DscostError as error:
            raise InputError(f"{place}: {name}: {error}") from error

    return ask


def _read(value: Any) -> Any:
    """Return an input with texts read as `--input` reads them, where it is one text or several."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        return inputs_of([parse_input(text) for text in texts])
    return value


# -- on the model


def stated_by(model: nn.Module) -> Stated | None:
    """Return the input that a model states, if it does."""
    for name in ON_MODEL:
        try:
            value = getattr(model, name, None)
        except Exception as error:
            raise InputError(
                f"{type(model).__name__}.{name} failed: {first_line(error)}; give --input"
            ) from error
        found = _of_model(model, name, value)
        if found is not None:
            return found
    return None


def _of_model(model: nn.Module, name: str, value: Any) -> Stated | None:
    if not isinstance(value, Tensor | Mapping | tuple | list) or (
        not isinstance(value, Tensor) and not value
    ):
        return None
    where = f"the model's own {name}"
    if name == "example_input_array":  # Lightning unpacks tuples and dicts, and nothing else
        return Stated([value] if isinstance(value, list) else value, where)
    main = getattr(model, "main_input_name", None)
    if isinstance(value, Mapping) and isinstance(main, str) and main not in value:
        # transformers states token ids for every model, also for those that see or hear
        shape = _image_shape(getattr(model, "config", None)) if main == "pixel_values" else None
        return Stated({main: shape}, "of the size in the model's config") if shape else None
    return Stated(dict(value) if isinstance(value, Mapping) else value, where)


def _image_shape(config: Any) -> tuple[int, ...] | None:
    size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", 3)
    sizes = size if isinstance(size, list | tuple) else (size, size)
    if len(sizes) != 2 or not all(isinstance(one, int) for one in (*sizes, channels)):
        return None
    return (1, channels, *sizes)


def may_state(kind: type[nn.Module]) -> bool:
    """Whether the models of a class may state their input, as far as one can tell beforehand."""
    for base in kind.__mro__:
        if base in (nn.Module, object):
            continue
        names = {name for name in ON_MODEL if vars(base).get(name) is not None}
        if base.__module__.partition(".")[0] in LIGHTNING:
            names.discard("example_input_array")
        else:
            names.update(name for code in _codes(base) for name in code.co_names)
        if not names.isdisjoint(ON_MODEL):
            return True
    return False


LIGHTNING = ("lightning", "pytorch_lightning", "lightning_fabric")
"""Whose own classes have an `example_input_array`, which code of theirs fills."""


def _codes(kind: type) -> Iterator[CodeType]:
    for value in vars(kind).values():
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
        if isinstance(function, FunctionType):
            yield function.__code__


# -- where there is none


def missing_input(name: str, model: nn.Module | type[nn.Module]) -> NoShapeError:
    """Return the error for a model that states no input, with an example that fits it."""
    example = _example_for_class(model) if isinstance(model, type) else _example_for(model)
    shape, _, dtype = example.partition(":")
    sizes = f"({shape.replace(',', ', ')})"
    in_python = f"torch.zeros({sizes}, dtype=torch.{dtype})" if dtype else sizes
    *others, last = _taken(model) or [""]
    several = f"; its forward takes {', '.join(others)} and {last}" if others else ""
    return NoShapeError(
        f"{name} does not state its input: "
        f"give it with --input {example} or input={in_python}{several}"
    )


def _example_for(model: nn.Module) -> str:
    # of transformers: sound, without channels
    if getattr(model, "main_input_name", None) == "input_values":
        return "1,16000"
    for module in each_part(model):
        for kind, example in _EXAMPLES.items():
            if isinstance(module, kind):
                return example(module)
    return DEFAULT_EXAMPLE


_IDS = "1,128:int64"
_EXAMPLES: Mapping[Any, Callable[[Any], str]] = {
    (nn.Embedding, nn.EmbeddingBag): lambda module: _IDS,
    nn.Conv1d: lambda module: f"1,{module.in_channels},1000",
    nn.Conv2d: lambda module: f"1,{module.in_channels},224,224",
    nn.Conv3d: lambda module: f"1,{module.in_channels},16,112,112",
    nn.RNNBase: lambda module: f"1,128,{module.input_size}",
    nn.RNNCellBase: lambda module: f"1,{module.input_size}",
    nn.MultiheadAttention: lambda module: f"1,128,{module.embed_dim}",
    nn.Linear: lambda module: f"1,{module.in_features}",
}
"""What a model takes that begins with such a module, most likely; lazy ones do not know their
channels."""


def _example_for_class(kind: type[nn.Module]) -> str:
    """Return an example by the first layer that the code of a class names."""
    for base in kind.__mro__:
        if base is nn.Module:
            break
        init = vars(base).get("__init__")
        names = getattr(getattr(init, "__code__", None), "co_names", ())
        first = next((name for name in names if name in _FIRST), None)
        if first:
            return _FIRST[first]
    return DEFAULT_EXAMPLE


_FIRST = {
    "Embedding": _IDS,
    "EmbeddingBag": _IDS,
    "Conv1d": "1,3,1000",
    "Conv2d": DEFAULT_EXAMPLE,
    "Conv3d": "1,3,16,112,112",
    "Linear": DEFAULT_EXAMPLE,  # it may be the head of anything
    **dict.fromkeys("RNN LSTM GRU MultiheadAttention TransformerEncoderLayer".split(), "1,128,64"),
}


def _taken(model: nn.Module | type[nn.Module]) -> list[str]:
    """Return the arguments that a forward cannot do without."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return []
    if isinstance(model, type):
        parameters = parameters[1:]
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        one.name
        for one in parameters
        if one.kind in plain and one.default is inspect.Parameter.empty
    ]
