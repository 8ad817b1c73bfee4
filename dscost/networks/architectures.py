"""Architectures as YAML: found by name or read from a file, unrolled into operations. No torch.

>>> network = build(find_builtin("mobilenet_v1"), overrides={"width": 0.5})
>>> network.operations[0].name, network.operations[0].output_shape
('conv1', (1, 16, 112, 112))
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dscost.configs import config_folder
from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import Shape, check_extents
from dscost.networks.language import parse_architecture
from dscost.networks.network import Operation
from dscost.networks.parts import ArchitectureFile
from dscost.networks.unrolling import input_shape, unroll
from dscost.notation.marked_yaml import Problems, read_yaml
from dscost.notation.units import format_shape


class Architecture(NamedTuple):
    """One model of a file: the file, its name there, and the settings that the name stands for."""

    name: str
    file: ArchitectureFile
    settings: Mapping[str, Any]


class Network(NamedTuple):
    """An architecture with every value computed."""

    name: str
    settings: Mapping[str, Any]
    input_shape: Shape
    operations: tuple[Operation, ...]


def builtin_names() -> tuple[str, ...]:
    """Return the names of all built-in models, file by file."""
    return tuple(architecture.name for architecture in builtins())


def builtins() -> list[Architecture]:
    """Return all built-in models."""
    files = map(_read, _builtin_files())
    return [_model(file, name) for file in files for name in file.models]


def find_builtin(name: str) -> Architecture:
    """Return a built-in model, else raise an `UnknownNameError`.

    Only files whose name begins it are read.
    """
    for path in _builtin_files():
        if name.startswith(path.stem):
            file = _read(path)
            if name in file.models:
                return _model(file, name)
    raise UnknownNameError("model", name, builtin_names())


def _builtin_files() -> list[Path]:
    return sorted(config_folder("architectures").glob("*.yaml"))


def read_architecture(path: Path, model: str | None = None) -> Architecture:
    """Return the model of a YAML file: the one called `model`, else the first that it defines.

    An `InputError` tells why the file cannot be read, or everything that is wrong with it.
    """
    file = _read(path)
    if model is not None and model not in file.models:
        raise UnknownNameError("model", model, file.models)
    return _model(file, model or next(iter(file.models), path.stem))


def _model(file: ArchitectureFile, name: str) -> Architecture:
    return Architecture(name, file, {**file.settings, **file.models.get(name, {})})


def build(
    architecture: Architecture,
    *,
    overrides: Mapping[str, Any],
    shape: Shape | None = None,
    batch: int | None = None,
) -> Network:
    """Return the network on an input `(B, C, H, W)`, by default one of the architecture's own size.

    Overrides are settings to change, by name; a batch replaces that of the shape.

    Raises:
        InputError: A setting is unknown or of the wrong kind, or a layer cannot be built.
    """
    file = architecture.file
    settings = _settings_with(overrides, architecture)
    if shape is None:
        own = input_shape(file, settings)
        if own is None:
            raise InputError(
                f"{file.path} does not state its input: give it with --input 1,3,224,224"
            )
        shape = (1, *own)
    else:
        # a setting that only the file's own input uses says nothing about this one
        for name in file.input_settings:
            if name in overrides:
                raise InputError(f"setting '{name}' only sizes the input, and the input is given")
            settings.pop(name, None)
    if len(shape) != 4:
        raise InputError(
            "input must be batch, channels, height and width, "
            f"found {format_shape(shape)}{_batch_hint(shape, architecture)}"
        )
    if batch is not None:
        shape = (batch, *shape[1:])
    check_extents(shape)
    operations = unroll(file, settings, shape)
    return Network(architecture.name, settings, shape, tuple(operations))


def _batch_hint(shape: Shape, architecture: Architecture) -> str:
    """Return what to give instead of a shape that lacks its batch alone."""
    own = input_shape(architecture.file, dict(architecture.settings))
    if len(shape) != 3 or (own is not None and shape[0] != own[0]):
        return ""
    sizes = (1, *shape)
    return f" (did you mean --input {','.join(map(str, sizes))}? in Python input={sizes})"


def _settings_with(overrides: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    settings = dict(architecture.settings)
    if not isinstance(overrides, Mapping):
        raise InputError(f"settings are a dict such as {{'width': 0.5}}, found {overrides!r:.60}")
    for name, value in overrides.items():
        if not settings:
            raise InputError(f"{architecture.name} has no settings, so '{name}' cannot be set")
        if name not in settings:
            raise UnknownNameError("setting", name, settings)
        settings[name] = _of_same_kind(name, value, settings[name])
    return settings


def _read(path: Path) -> ArchitectureFile:
    problems = Problems()
    return parse_architecture(read_yaml(path, problems), str(path), problems)


def _of_same_kind(name: str, value: Any, default: Any) -> Any:
    def kind(of: Any) -> str:
        if type(of) in (int, float):
            return "a number"
        return {bool: "true or false", str: "a word", list: "a list"}.get(type(of), "nothing")

    if kind(value) != kind(default):
        raise InputError(
            f"setting '{name}' must be {kind(default)} like {default}, found '{value}'"
        )
    is_whole = type(default) is not float
    if kind(value) == "a number" and (value < 0 or (value == 0 and not is_whole)):
        least = "at least" if is_whole else "above"
        raise InputError(f"setting '{name}' must be {least} 0, found {value}")
    return value
