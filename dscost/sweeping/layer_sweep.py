"""The layers of a model, as it has them, swept: counted, and timed beside the model as a whole."""

from collections.abc import Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from dscost.errors import InputError
from dscost.layers.convolution import Shape
from dscost.notation.units import counted, format_shape
from dscost.sweeping.model_axes import INPUT_EXAMPLE, Numbers, Sides, input_values
from dscost.sweeping.model_layers import ModelLayers, layers_of
from dscost.sweeping.swept import Cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from dscost.networks.architectures import Network


def find_layers(
    target: "str | PathLike[str]",
    *,
    settings: Mapping[str, Any] | None = None,
    given: object = None,
    dtype: str = "float32",
    spelled: "Callable[[str], str]" = str,
) -> ModelLayers:
    """Return the layers of an architecture.

    Args:
        target: A built-in name, or a YAML file.
        settings: What to change of it.
        given: Its input: a side, `160x224`, or a whole shape; by default its own.
        dtype: Of weights and activations.
        spelled: Returns what something is called where it is given, for errors.

    Raises:
        InputError: It is no architecture, or cannot be built so.
    """
    from dscost.networks.architectures import build
    from dscost.sources import ArchitectureSource, find_source

    source = find_source(target)
    if not isinstance(source, ArchitectureSource):
        raise InputError(
            f"{spelled('layers_of')} {fspath(target)}: takes an architecture, a built-in name or "
            "net.yaml (dscost list models), whose layers can be made one by one; "
            "dscost model --time times the layers of other models"
        )

    def built(shape: Shape | None) -> "Network":
        overrides = settings or {}
        return build(source.architecture, overrides=overrides, shape=shape)

    network = (
        built(None) if given is None else built(_shape_of(given, lambda: built(None), spelled))
    )
    name = f"{network.name} on {format_shape(network.input_shape)}"
    changed = ", ".join(f"{key}={value}" for key, value in (settings or {}).items())
    return layers_of(f"{name}, {changed}" if changed else name, network.operations, dtype)


def _shape_of(
    given: object, own: "Callable[[], Network]", spelled: "Callable[[str], str]"
) -> Shape:
    """Return the one shape that is said of an input."""
    values = input_values(given)
    if len(values) > 1:
        example = INPUT_EXAMPLE.split(",")[0]
        raise InputError(f"{spelled('layers_of')} takes one input such as {example}")
    (said,) = values
    if isinstance(said, Numbers):
        return said.numbers
    if not isinstance(said, Sides):
        return said
    sizes = said.sizes * 2 if len(said.sizes) == 1 else said.sizes
    return (*own().input_shape[:2], *sizes)


def cases_of_layers(model: ModelLayers) -> Cases:
    """Return the layers of a model as what is counted, each distinct one with its calls."""
    return Cases(title_of_layers(model), len(model.layers), model.layers, None, _warnings(model))


def title_of_layers(model: ModelLayers) -> str:
    """Return what is swept, in a line.

    >>> title_of_layers(find_layers("resnet18"))
    'the 31 layers of resnet18 on 1×3×224×224, 22 distinct'
    """
    calls = sum(case.calls for case in model.layers)
    return f"the {counted(calls, 'layer')} of {model.name}, {len(model.layers)} distinct"


def _warnings(model: ModelLayers) -> tuple[str, ...]:
    if not model.missing:
        return ()
    missing = ", ".join(model.missing)
    return (f"not a layer of its own, since it takes inputs of several sizes: {missing}",)
