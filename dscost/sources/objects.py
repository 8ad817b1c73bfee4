"""Arguments of factories: Python objects that are named, and what to say where some are missing."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from dscost.errors import InputError, did_you_mean, first_line
from dscost.notation.literals import Reference
from dscost.sources.importing import SCRIPT


def resolved(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with the objects that they name; configurations are made anew each time."""
    return {name: _value(value) for name, value in kwargs.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Reference):
        return _object(value)
    if type(value) is dict:
        return {key: _value(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_value, value))
    return value


def _object(reference: Reference) -> Any:
    """Return what a reference names: a class of modules or a function, else an instance."""
    found: Any = imported(reference.module, reference, _or_text(reference))
    for part in reference.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            hint = did_you_mean(part, public_names(found)) + _or_text(reference)
            raise InputError(f"{reference}: there is no '{part}'{hint}") from error
        except (Exception, SystemExit) as error:
            raise InputError(f"{reference} cannot be imported: {first_line(error)}") from error
    parts = resolved(reference.parts)
    if not (parts or reference.is_called or _is_configuration(found)):
        return found
    _check_parts(reference, found, parts)
    try:
        return found(**parts)
    except (Exception, SystemExit) as error:
        raise InputError(f"{reference} cannot be made: {first_line(error)}") from error


def imported(module: str, needed_by: object, hint: str) -> ModuleType:
    """Return a module that a target or an argument names; the hint is for where there is none."""
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        # one in somebody's own words names no module
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing:
            raise InputError(f"{needed_by}: there is no module '{missing}'{hint}") from error
        raise InputError(f"{needed_by}: importing {module} failed: {first_line(error)}") from error


def public_names(found: object) -> list[str]:
    """Return the names of what something has, but for those that begin with an underscore."""
    return [name for name in dir(found) if not name.startswith("_")]


def _or_text(reference: Reference) -> str:
    return f"; for the text write '{reference}' in quotes of its own"


def _is_configuration(found: Any) -> bool:
    """Whether a class is one whose instances factories take, made without arguments."""
    if not isinstance(found, type) or issubclass(found, nn.Module | Enum | BaseException):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return found.__module__ != "builtins"


def _check_parts(reference: Reference, found: Any, parts: Mapping[str, Any]) -> None:
    """Refuse names that a configuration of transformers lacks, which it would silently keep."""
    is_configuration = hasattr(found, "model_type") and hasattr(found, "to_dict")
    if parts and isinstance(found, type) and is_configuration:
        check_names(str(reference), found(), parts)


def check_names(what: str, configuration: Any, given: Mapping[str, Any]) -> None:
    """Raise an `InputError` for a name that is no attribute of a configuration."""
    for name in given:
        if not hasattr(configuration, name):
            known = [key for key in vars(configuration) if not key.startswith("_")]
            raise InputError(f"{what} has no '{name}'{did_you_mean(name, known)}")


def argument_hint(factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> str:
    """Return what to write where a factory misses arguments, or does not know one; else nothing."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return ""
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {name: one for name, one in parameters.items() if one.kind in by_name}
    unknown = [name for name in kwargs if name not in named and not takes_any]
    if unknown:
        near = did_you_mean(unknown[0], named)
        return near or (f" (it takes {', '.join(named)})" if named else " (it takes no arguments)")
    missing = [
        f"--kwargs {name}={_example(factory, one)}"
        for name, one in named.items()
        if one.default is one.empty and name not in kwargs
    ]
    return f" (give it with {' '.join(missing)})" if missing else ""


def object_hint(
    factory: Callable[..., Any], kwargs: Mapping[str, Any], error: BaseException
) -> str:
    """Return how an object is written where a factory was given a mapping or text instead."""
    given = getattr(error, "obj", None) if isinstance(error, AttributeError) else None
    if not isinstance(given, dict | str):
        return ""
    parameters = inspect.signature(factory).parameters  # it was called, so there is one
    for name, value in kwargs.items():
        if type(value) is type(given) and value == given and name in parameters:
            wanted = _example(factory, parameters[name])
            wanted = "package.module:Class" if wanted == "..." else wanted
            kind = "text" if isinstance(given, str) else "a mapping"
            written = f"--kwargs {name}={wanted}, a part of it {name}.PART=VALUE"
            return f" ({name} is {kind}; an object is {written})"
    return ""


def _example(factory: Callable[..., Any], parameter: inspect.Parameter) -> str:
    """Return how an argument is written: a configuration by its class, else by three dots."""
    kind = parameter.annotation
    if parameter.name == "config":
        kind = getattr(factory, "config_class", None) or kind
    if kind is not parameter.empty and _is_configuration(kind):
        return f"{_public_home(kind)}:{kind.__qualname__}"
    return "..."


def _public_home(kind: type) -> str:
    """Return the shortest module that has a class: packages show what their modules define."""
    if kind.__module__.startswith(SCRIPT):
        return Path(inspect.getfile(kind)).stem
    parts = kind.__module__.split(".")
    for depth in range(1, len(parts)):
        home = ".".join(parts[:depth])
        if getattr(sys.modules.get(home), kind.__name__, None) is kind:
            return home
    return kind.__module__
