"""Models of torchvision, timm and transformers, with random weights: nothing is downloaded."""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dscost.errors import InputError, UnavailableError, UnknownNameError, first_line
from dscost.sources import ModuleSource
from dscost.sources.importing import World
from dscost.sources.mending import import_torchvision, notes_on
from dscost.sources.modules import Maker
from dscost.sources.objects import check_names

VIDEO_FRAMES = 16
DEFAULT_SIZE = 224


def from_torchvision(name: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return a model of torchvision with random weights, and its published weights' input.

    Raises:
        UnavailableError: torchvision is not installed or cannot be loaded.
        UnknownNameError: It has no such model.
    """
    import_torchvision()
    models = importlib.import_module("torchvision.models")
    if name not in models.list_models():
        raise UnknownNameError("torchvision model", name, models.list_models())
    builder = models.get_model_builder(name)
    options = {"weights": None, **kwargs}
    if "weights_backbone" in _parameters_of(builder):
        options.setdefault("weights_backbone", None)
    maker = Maker(f"torchvision:{name}", builder, options)
    module, shape = maker.on_meta(), _torchvision_input(models, name)
    return ModuleSource(
        "torchvision", module, shape, notes_on(module), maker.real, importing=maker.entered
    )


def from_timm(name: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return a model of timm with random weights and the input size of its configuration.

    Raises:
        UnavailableError: timm is not installed or cannot be loaded.
        UnknownNameError: It has no such model.
    """
    import_torchvision()  # timm needs it
    timm = _imported("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise UnknownNameError("timm model", name, timm.list_models())
    maker = Maker(
        f"timm:{name}",
        lambda **options: timm.create_model(name, pretrained=False, **options),
        kwargs,
    )
    module = maker.on_meta()
    config = getattr(module, "pretrained_cfg", None) or {}
    size = config.get("input_size") or (3, DEFAULT_SIZE, DEFAULT_SIZE)
    if config.get("fixed_input_size") is None and hasattr(module, "patch_embed"):
        size = (*size[:1], *(getattr(module.patch_embed, "img_size", None) or size[1:]))
    return ModuleSource(
        "timm", module, (1, *size), notes_on(module), maker.real, importing=maker.entered
    )


def from_transformers(
    name: str, kwargs: Mapping[str, Any], *, folder: Path | None = None
) -> ModuleSource:
    """Return a model of transformers with random weights, by its type's default configuration.

    Args:
        name: A model type, `bert`; or a folder that holds a `config.json`.
        kwargs: What to change of its configuration.
        folder: Where a relative path is sought before the working directory.

    Raises:
        InputError: The name is one of the hub, which is not asked; or the configuration has no such
            argument.
        UnavailableError: transformers is not installed or cannot be loaded.
        UnknownNameError: It has no such model type.
    """
    world = World()
    with world.entered():
        transformers = _imported("transformers", "transformers")
        configurations = importlib.import_module(
            "transformers.models.auto.configuration_auto"
        ).CONFIG_MAPPING
    given: dict[str, Any] = {}
    place = next(
        (place for place in (Path(folder or ".") / name, Path(name)) if (place / CONFIG).is_file()),
        None,
    )
    kind = name
    if place is not None:
        given = _configuration(place / CONFIG)
        kind = str(given.pop("model_type", None))
    known = list(configurations.keys())
    if kind not in known:
        raise _no_model_type(name, kind, known)

    def make(**changes: Any) -> Any:
        configuration_class = configurations[kind]
        check_names(f"hf:{name}", configuration_class.from_dict(given), changes)
        return transformers.AutoModel.from_config(
            configuration_class.from_dict({**given, **changes})
        )

    maker = Maker(f"hf:{name}", make, kwargs, world)
    module = maker.on_meta()
    return ModuleSource("hf", module, None, notes_on(module), maker.real, importing=maker.entered)


CONFIG = "config.json"


def _configuration(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not the configuration of a model: {first_line(error)}"
        ) from error
    if not isinstance(found, dict) or "model_type" not in found:
        raise InputError(f"{path}: not the configuration of a model: it has no model_type")
    return found


def _no_model_type(name: str, kind: str, known: Sequence[str]) -> InputError:
    """Return the error for a name that is no model type: of the hub, if it has a size or owner."""
    begins = [
        one
        for one in known
        if kind.rpartition("/")[2].lower().replace("_", "-").startswith(f"{one}-")
    ]
    if kind == name and (begins or "/" in name):
        instead = (
            f"hf:{max(begins, key=len)} with --kwargs for its size"
            if begins
            else "its model type, as in hf:bert"
        )
        return InputError(
            f"hf:{name}: the hub is not asked and nothing is downloaded: give {instead}, "
            f"or a folder with its {CONFIG}, as hf:path/to/folder"
        )
    return UnknownNameError("model type of transformers", kind, known)


# -- importing them


def _imported(name: str, package: str = "'dscost[zoo]'") -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise UnavailableError(f"{name} is not installed: pip install {package}") from error
        raise UnavailableError(f"{name} cannot be imported: {first_line(error)}") from error
    except (ImportError, RuntimeError) as error:
        raise UnavailableError(f"{name} cannot be imported: {first_line(error)}") from error


def _parameters_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    return inspect.signature(function).parameters


def _torchvision_input(models: ModuleType, name: str) -> Any:
    """Return the input that the published figures of a torchvision model hold for."""
    weights = list(models.get_model_weights(name))
    meta = weights[-1].meta if weights else {}
    family = models.get_model_builder(name).__module__
    transforms = (
        weights[-1].transforms.keywords
        if weights and hasattr(weights[-1].transforms, "keywords")
        else {}
    )
    if ".detection." in family:
        size = 320 if "320" in name else 300 if "300" in name else 800
        return [[(3, size, size)]]  # one list of images
    if ".optical_flow." in family:
        return [(1, 3, 520, 960), (1, 3, 520, 960)]
    crop = (
        transforms.get("crop_size")
        or transforms.get("resize_size")
        or meta.get("min_size")
        or DEFAULT_SIZE
    )
    height, width = (
        (crop, crop)
        if isinstance(crop, int)
        else (crop[-2:] if len(crop) > 1 else (crop[0], crop[0]))
    )
    if ".video." in family:
        return (1, 3, VIDEO_FRAMES, height, width)
    return (1, 3, height, width)
