"""Targets that are torch modules, made on the meta device: no weight takes memory, nothing is downloaded."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from dscost.beside_meta import MOST_MADE_VALUES, values_kept
from dscost.errors import InputError, UnavailableError, UnknownNameError, did_you_mean, first_line
from dscost.failures import is_interrupt, may_want_values
from dscost.parts import changed, set_training
from dscost.randomness import own_random_numbers
from dscost.sources import ModuleSource

VIDEO_FRAMES = 16
DEFAULT_SIZE = 224

_torchvision_notes: list[str] = []
_torchvision_library: list[Any] = []


def from_torchvision(name: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return a model of torchvision with random weights and the input that its published weights were measured on.

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
    maker = _Maker(f"torchvision:{name}", builder, options)
    shape = _torchvision_input(models, name)
    return ModuleSource("torchvision", maker.on_meta(), shape, tuple(_torchvision_notes), maker.real)


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
    maker = _Maker(f"timm:{name}", lambda **options: timm.create_model(name, pretrained=False, **options), kwargs)
    module = maker.on_meta()
    config = getattr(module, "pretrained_cfg", None) or {}
    size = config.get("input_size") or (3, DEFAULT_SIZE, DEFAULT_SIZE)
    if config.get("fixed_input_size") is None and hasattr(module, "patch_embed"):
        size = (*size[:1], *(getattr(module.patch_embed, "img_size", None) or size[1:]))
    return ModuleSource("timm", module, (1, *size), tuple(_torchvision_notes), maker.real)


def from_python(target: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return what `package.module:factory` makes.

    Raises:
        InputError: There is no such module or factory, or it makes no `nn.Module`.
    """
    path, _, name = target.rpartition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise InputError(f"{target}: there is no module '{error.name}'") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{target}: importing {path} failed: {first_line(error)}") from error
    return _from_factory("python", target, module, name, kwargs)


def from_file(target: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return what `path/file.py:factory` makes.

    Raises:
        InputError: There is no such file or factory, or it makes no `nn.Module`.
    """
    text, _, name = target.rpartition(":")
    path = Path(text)
    if not path.is_file():
        raise InputError(f"cannot read {text}: no such file")
    # the whole path names the module, since two folders may hold a net.py
    spec = importlib.util.spec_from_file_location(f"dscost_target_{abs(hash(path.resolve()))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = path.resolve().parent
    try:
        with _importing_from(folder):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{target}: running {text} failed: {first_line(error)}") from error
    return _from_factory("file", target, module, name, kwargs, folder)


@contextmanager
def _importing_from(folder: Path | None) -> Iterator[None]:
    """Let a script import what lies beside it, and nobody else find it afterwards."""
    if folder is None:
        yield
        return
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and folder in Path(file).resolve().parents and not name.startswith("dscost_target_"):
                del sys.modules[name]


def from_export(target: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return the module and the example inputs of a program saved by `torch.export.save`; no code of it is run.

    Raises:
        InputError: It is not such a program, or reading it would run code.
    """
    return _program(target, kwargs, trust=False)


def from_trusted_export(target: str, kwargs: Mapping[str, Any]) -> ModuleSource:
    """Return the same; one that cannot be read otherwise is read as torch does, which runs code that it holds or names.

    Raises:
        InputError: It is not such a program.
    """
    return _program(target, kwargs, trust=True)


def _program(target: str, kwargs: Mapping[str, Any], *, trust: bool) -> ModuleSource:
    if kwargs:
        raise InputError(f"{target}: an exported program takes no --kwargs")
    path = Path(target)
    if not path.is_file():
        raise InputError(f"cannot read {target}: {'it is a folder' if path.is_dir() else 'no such file'}")
    from dscost.sources.archives import CodeError
    from dscost.sources.programs import read_program, read_trusted

    try:
        module, example = read_program(path)
    except CodeError as error:
        if not trust:
            raise InputError(f"{error}; if you trust it, dscost model --trust reads it all the same") from error
        module, example = read_trusted(path)
    if example is None:
        return ModuleSource("export", module)
    args, keywords = pytree.tree_map_only(torch.Tensor, _without_numbers, example)
    return ModuleSource("export", module, {"args": args, "kwargs": keywords})


def _without_numbers(example: torch.Tensor) -> torch.Tensor:
    """Return the shape of an example; integers stay, since they may be indices or lengths.

    What a program is exported with is mostly noise, so that nothing may be fitted to it.
    """
    if not example.is_floating_point() or example.layout != torch.strided:
        return example
    return torch.empty_strided(example.shape, example.stride(), dtype=example.dtype, device="meta")


# -- factories


def _from_factory(
    kind: str, target: str, module: ModuleType, name: str, kwargs: Mapping[str, Any], folder: Path | None = None
) -> ModuleSource:
    public = [key for key in vars(module) if not key.startswith("_")]
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{target}: there is no '{name}'{did_you_mean(name, public)}")
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        if kwargs:
            raise InputError(f"{target} is a model already, so --kwargs have nobody to go to")
        return ModuleSource(kind, found)
    if not callable(found):
        raise InputError(f"{target} is no class, function or nn.Module but this: {found!r:.60}")
    maker = _Maker(target, found, kwargs, folder)
    return ModuleSource(kind, maker.on_meta(), make_real=maker.real)


class _Maker:
    """A factory with its arguments."""

    def __init__(
        self, target: str, factory: Callable[..., Any], kwargs: Mapping[str, Any], folder: Path | None = None
    ) -> None:
        self._target, self._factory, self._kwargs, self._folder = target, factory, kwargs, folder

    def on_meta(self) -> nn.Module:
        """Return the model without weights; where its code needs values, with random ones.

        Raises:
            InputError: It cannot be made, or is no `nn.Module`.
        """
        try:
            return self._on("meta")
        except BaseException as error:
            if is_interrupt(error):
                raise
            if not may_want_values(error):  # a second call would end the same, and do twice what it does besides
                raise self._failed(error) from error
        return self.real()

    def real(self) -> nn.Module:
        """Return the model with random weights on the CPU."""
        try:
            return self._on("cpu")
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> InputError:
        if isinstance(error, InputError):
            return error
        return InputError(f"{self._target} cannot be made: {first_line(error)}")

    def _on(self, device: str) -> nn.Module:
        with ExitStack() as stack:
            stack.enter_context(own_random_numbers())
            stack.enter_context(torch.device(device))
            stack.enter_context(_importing_from(self._folder))
            if device == "meta":
                stack.enter_context(values_kept(MOST_MADE_VALUES))
            module = self._factory(**self._kwargs)
        if not isinstance(module, nn.Module):
            raise InputError(f"{self._target} makes no nn.Module but this: {module!r:.60}")
        set_training(module, False)
        if device == "meta":  # the small ones were made with values
            changed(module, lambda tensor: tensor.to("meta") if isinstance(tensor, nn.Parameter) else tensor)
        return module


def _parameters_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    import inspect

    return inspect.signature(function).parameters


# -- the zoos


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise UnavailableError(f"{name} is not installed: pip install 'dscost[zoo]'") from error
        raise UnavailableError(f"{name} cannot be imported: {first_line(error)}") from error
    except (ImportError, RuntimeError) as error:
        raise UnavailableError(f"{name} cannot be imported: {first_line(error)}") from error


def import_torchvision() -> None:
    """Import torchvision, also one whose compiled operators do not fit this torch.

    Such a torchvision fails on import since its operators are missing. Their names are enough for architectures;
    `nms` is given a stand-in that keeps every box, in the order of their scores, and `roi_align` one that gives
    features of the right shape.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise UnavailableError("torchvision is not installed: pip install 'dscost[zoo]'") from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise UnavailableError(f"torchvision cannot be imported: {first_line(error)}") from error
        _stand_in_for_operators()


def _stand_in_for_operators() -> None:
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[loaded]
    make_library: Any = torch.library.Library  # it has no types
    library = make_library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("roi_align", _no_features, "CPU")
    library.impl("nms", lambda dets, scores, iou_threshold: scores.argsort(descending=True), "CPU")
    _torchvision_library.append(library)  # the definitions live as long as this
    importlib.import_module("torchvision")
    extension: Any = importlib.import_module("torchvision.extension")
    align: Any = importlib.import_module("torchvision.ops.roi_align")
    extension._has_ops = sys.modules[align.__name__]._has_ops = lambda: True  # type: ignore[attr-defined]
    _torchvision_notes.append(
        "torchvision does not match this torch, so its compiled operators are stood in for; "
        "no count changes but a detector's, whose every proposal passes."
    )


def _no_features(
    input: torch.Tensor, rois: torch.Tensor, spatial_scale: float, height: int, width: int, ratio: int, aligned: bool
) -> torch.Tensor:
    return input.new_zeros(rois.shape[0], input.shape[1], height, width)


def _torchvision_input(models: ModuleType, name: str) -> Any:
    """Return the input that the published figures of a torchvision model hold for."""
    weights = list(models.get_model_weights(name))
    meta = weights[-1].meta if weights else {}
    family = models.get_model_builder(name).__module__
    transforms = weights[-1].transforms.keywords if weights and hasattr(weights[-1].transforms, "keywords") else {}
    if ".detection." in family:
        size = 320 if "320" in name else 300 if "300" in name else 800
        return [[(3, size, size)]]  # one list of images
    if ".optical_flow." in family:
        return [(1, 3, 520, 960), (1, 3, 520, 960)]
    crop = transforms.get("crop_size") or transforms.get("resize_size") or meta.get("min_size") or DEFAULT_SIZE
    height, width = (crop, crop) if isinstance(crop, int) else (crop[-2:] if len(crop) > 1 else (crop[0], crop[0]))
    if ".video." in family:
        return (1, 3, VIDEO_FRAMES, height, width)
    return (1, 3, height, width)
