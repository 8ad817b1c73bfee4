"""Openers for models of torchvision, timm and transformers, with random weights.

Nothing is downloaded.
"""

import importlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dscost.errors import InputError, UnavailableError, UnknownNameError, first_line
from dscost.sources import ModuleSource, Opening
from dscost.sources.importing import World
from dscost.sources.mending import import_torchvision
from dscost.sources.modules import Maker
from dscost.sources.objects import check_names

VIDEO_FRAMES = 16
DEFAULT_SIZE = 224


def from_torchvision(name: str, opening: Opening) -> ModuleSource:
    """Return a model of torchvision, and its published weights' input."""
    import_torchvision()
    models = importlib.import_module("torchvision.models")
    if name not in models.list_models():
        raise UnknownNameError("torchvision model", name, models.list_models())
    builder = models.get_model_builder(name)
    options = {"weights": None, **opening.kwargs}
    if "weights_backbone" in inspect.signature(builder).parameters:
        options.setdefault("weights_backbone", None)
    maker = Maker(f"torchvision:{name}", builder, options, World())
    return maker.source("torchvision", _torchvision_input(models, name))


def from_timm(name: str, opening: Opening) -> ModuleSource:
    """Return a model of timm, and an image of the size that it was made for."""
    import_torchvision()  # timm needs it
    timm = _imported("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise UnknownNameError("timm model", name, timm.list_models())

    def make(**options: Any) -> Any:
        return timm.create_model(name, pretrained=False, **options)

    source = Maker(f"timm:{name}", make, opening.kwargs, World()).source("timm")
    module = source.module
    config = getattr(module, "pretrained_cfg", None) or {}
    channels, *sides = config.get("input_size") or (3, DEFAULT_SIZE, DEFAULT_SIZE)
    channels = opening.kwargs.get("in_chans", channels)
    asked = opening.kwargs.get("img_size")
    if asked is None and config.get("fixed_input_size") is None and hasattr(module, "patch_embed"):
        asked = getattr(module.patch_embed, "img_size", None)
    if asked is not None:
        sides = [asked, asked] if isinstance(asked, int) else asked
    return source._replace(input=(1, channels, *sides))


def from_transformers(name: str, opening: Opening) -> ModuleSource:
    """Return a model of transformers by its type's default configuration, which arguments change.

    A folder that holds a `config.json` has its own. The hub is not asked.
    """
    world = World()
    with world.entered():
        transformers = _imported("transformers", "transformers")
        configurations = importlib.import_module(
            "transformers.models.auto.configuration_auto"
        ).CONFIG_MAPPING
    kind, given = name, dict[str, Any]()
    for file in (Path(opening.folder or ".") / name / CONFIG, Path(name) / CONFIG):
        if file.is_file():
            given = _configuration(file)
            kind = str(given.pop("model_type", None))
            break
    known = list(configurations.keys())
    if kind not in known:
        raise _no_model_type(name, kind, known)

    def make(**changes: Any) -> Any:
        configuration_class = configurations[kind]
        check_names(f"hf:{name}", configuration_class.from_dict(given), changes)
        configuration = configuration_class.from_dict({**given, **changes})
        return transformers.AutoModel.from_config(configuration)

    return Maker(f"hf:{name}", make, opening.kwargs, world).source("hf")


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
    plain = kind.rpartition("/")[2].lower().replace("_", "-")
    begins = [one for one in known if plain.startswith(f"{one}-")]
    if kind == name and (begins or "/" in name):
        instead = "its model type, as in hf:bert"
        if begins:
            instead = f"hf:{max(begins, key=len)} with --kwargs for its size"
        return InputError(
            f"hf:{name}: the hub is not asked and nothing is downloaded: give {instead}, "
            f"or a folder with its {CONFIG}, as hf:path/to/folder"
        )
    return UnknownNameError("model type of transformers", kind, known)


# -- importing them


def _imported(name: str, package: str = "'dscost[zoo]'") -> ModuleType:
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise UnavailableError(f"{name} is not installed: pip install {package}") from error
        raise UnavailableError(f"{name} cannot be imported: {first_line(error)}") from error


def _torchvision_input(models: ModuleType, name: str) -> Any:
    """Return the input that the published figures of a torchvision model hold for."""
    weights = list(models.get_model_weights(name))
    meta = weights[-1].meta if weights else {}
    transforms = getattr(weights[-1].transforms, "keywords", {}) if weights else {}
    family = models.get_model_builder(name).__module__
    if ".detection." in family:
        size = 320 if "320" in name else 300 if "300" in name else 800
        return [[(3, size, size)]]  # one list of images
    if ".optical_flow." in family:
        return [(1, 3, 520, 960), (1, 3, 520, 960)]
    crop = transforms.get("crop_size") or transforms.get("resize_size")
    crop = crop or meta.get("min_size") or DEFAULT_SIZE
    sizes = [crop] if isinstance(crop, int) else crop
    height, width = sizes[-2:] if len(sizes) > 1 else (sizes[0], sizes[0])
    if ".video." in family:
        return (1, 3, VIDEO_FRAMES, height, width)
    return (1, 3, height, width)
