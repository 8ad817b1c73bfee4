"""Targets that are torch modules, made on meta: no weight takes memory, nothing is downloaded."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from dscost.errors import InputError, UnavailableError, did_you_mean, first_line
from dscost.foreign.failures import may_want_values, must_pass
from dscost.foreign.parts import changed, set_training
from dscost.foreign.randomness import SEED, own_random_numbers
from dscost.foreign.uncompiled import compiler_unasked
from dscost.modules.beside_meta import MOST_MADE_VALUES, values_kept
from dscost.sources import Home, ModuleSource, Opening
from dscost.sources.code_files import loaded
from dscost.sources.importing import PACKAGE, SCRIPT, World
from dscost.sources.mending import notes_on
from dscost.sources.objects import (
    argument_hint,
    imported,
    object_hint,
    public_names,
    resolved,
)
from dscost.sources.stated import beside, may_state, missing_input


def from_python(target: str, opening: Opening) -> ModuleSource:
    """Return what `package.module:factory` makes; it is an opener."""
    path, _, name = target.rpartition(":")
    folder = opening.folder
    here = _here()
    first = here if folder is None else (folder, *here)
    sources = [place / "src" for place in first if (place / "src").is_dir()]
    world = World(first, last=sources, stays=folder is None)
    with world.entered():
        module = imported(path, target, _written_as_path(path))
    return _from_factory(_Found("python", target, module, name, world, path), opening)


def _here() -> tuple[Path, ...]:
    try:
        return (Path.cwd(),)
    except FileNotFoundError:  # somebody deleted it
        return ()


def _written_as_path(path: str) -> str:
    file = Path(f"{path}.py")
    return f"; {file} is a file: write {file}:NAME" if "/" in path and file.is_file() else ""


def from_file(target: str, opening: Opening) -> ModuleSource:
    """Return what `path/file.py:factory` makes, in its package where it imports relatively."""
    text, _, name = target.rpartition(":")
    path = Path(text)
    if not path.is_file():
        raise InputError(f"cannot read {text}: no such file")
    path = path.resolve()
    try:
        world, module = loaded(path)
    except (Exception, SystemExit) as error:
        raise InputError(f"{target}: running {text} failed: {first_line(error)}") from error
    return _from_factory(_Found("file", target, module, name, world, text), opening)


# -- factories


class _Found(NamedTuple):
    """A name in a module of Python, whose code lives in a world; a place is the user's word for it.

    Its kind is `python` or `file`.
    """

    kind: str
    target: str
    module: ModuleType
    name: str
    world: World
    place: str

    def home(self, *, is_module: bool = False) -> Home | None:
        """Return where it is imported from; nowhere if no import can name it."""
        called = getattr(self.module, "__name__", "")  # what stands for a module may have none
        if called.startswith(SCRIPT):
            called = Path(self.place).stem
            if "." in called:
                return None
        if not called or called.startswith(PACKAGE):
            return None
        return Home(called, self.name, _folders_of(called, self.module, self.world), is_module)


def _folders_of(called: str, module: ModuleType, world: World) -> tuple[Path, ...]:
    """Return the folders that a module is found in and imports from; none if it is installed."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ()
    place = Path(file).resolve()
    levels = called.count(".") + (place.stem == "__init__")
    folders = (*world.first, *world.last)
    found = [one for one in place.parents[levels : levels + 1] if one in folders]
    return tuple(dict.fromkeys([*found, *world.last])) if found else ()


def _from_factory(found: _Found, opening: Opening) -> ModuleSource:
    factory, target, kwargs = _looked_up(found), found.target, opening.kwargs
    ask = beside(found.module, found.place, found.world)
    if isinstance(factory, nn.Module):
        if kwargs:
            raise InputError(f"{target} is a module, not a factory: --kwargs cannot be used")
        home = found.home(is_module=True)
        return ModuleSource(found.kind, factory, ask=ask, importing=found.world.entered, home=home)
    if not callable(factory):
        raise InputError(f"{target} is no class, function or nn.Module but this: {factory!r:.60}")
    is_class = isinstance(factory, type) and issubclass(factory, nn.Module)
    if not opening.has_input and ask is None and is_class and not may_state(factory):
        _check_arguments(target, factory, kwargs)
        raise missing_input(target, factory)
    made = Maker(target, factory, kwargs, found.world).source(found.kind)
    return made._replace(ask=ask, home=found.home())


def _looked_up(found: _Found) -> Any:
    """Return what a name in a module stands for; modules that import late may fail only here."""
    target, name = found.target, found.name
    value: Any = found.module
    for part in name.split("."):
        try:
            with found.world.entered():
                value = getattr(value, part)
        except (Exception, SystemExit) as error:
            # an import that failed may be the cause: it is there, but not what it needs
            if isinstance(error, AttributeError) and not isinstance(error.__cause__, ImportError):
                nearest = did_you_mean(name, public_names(found.module))
                raise InputError(f"{target}: there is no '{name}'{nearest}") from error
            is_missing = isinstance(error, ModuleNotFoundError)
            refused = UnavailableError if is_missing else InputError
            told = f"{target}: importing {name} failed: {_with_root_cause(error)}"
            raise refused(told) from error
    return value


def _with_root_cause(error: BaseException) -> str:
    """Return what an error says, and what the one says that it began with."""
    root, seen = error, {id(error)}
    while root.__cause__ is not None and id(root.__cause__) not in seen:
        # an error may be raised from itself
        root = root.__cause__
        seen.add(id(root))
    return first_line(error) if root is error else f"{first_line(error)} (since {first_line(root)})"


def _check_arguments(target: str, factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments with which a factory cannot be called, since some are missing or unknown."""
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        hint = argument_hint(factory, kwargs)
        raise InputError(f"{target} cannot be made: {first_line(error)}{hint}") from error
    except ValueError:  # it has no signature
        return


class Maker(NamedTuple):
    """A factory with its arguments, whose code lives in a world.

    Whoever may call `real` while a trace runs has entered that world before the trace begins: both
    wait for their turn, and two threads that take the two turns in different orders would wait for
    each other.
    """

    target: str
    factory: Callable[..., Any]
    kwargs: Mapping[str, Any]
    world: World

    def source(self, kind: str, input: Any = None) -> ModuleSource:
        """Return the model on meta and what is known of it, see `on_meta`."""
        made = self.on_meta()
        return ModuleSource(
            kind, made, input, notes_on(made), self.real, importing=self.world.entered
        )

    def on_meta(self) -> nn.Module:
        """Return the model without weights; where its code needs values, with random ones."""
        try:
            return self._on("meta")
        except BaseException as error:
            if must_pass(error):
                raise
            # a second call would end the same, and do twice what it does besides
            if not may_want_values(error):
                raise self._failed(error) from error
        return self.real()

    def real(self) -> nn.Module:
        """Return the model with random weights on the CPU."""
        try:
            return self._on("cpu")
        except BaseException as error:
            if must_pass(error):
                raise
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> InputError:
        if isinstance(error, InputError):
            return error
        hint = argument_hint(self.factory, self.kwargs) if isinstance(error, TypeError) else ""
        hint = hint or object_hint(self.factory, self.kwargs, error)
        return InputError(f"{self.target} cannot be made: {first_line(error)}{hint}")

    def _on(self, device: str) -> nn.Module:
        with ExitStack() as stack:
            stack.enter_context(own_random_numbers(SEED))
            stack.enter_context(compiler_unasked())
            stack.enter_context(self.world.entered())
            stack.enter_context(torch.device(device))
            if device == "meta":
                stack.enter_context(values_kept(MOST_MADE_VALUES))
            module = self.factory(**resolved(self.kwargs))
        if not isinstance(module, nn.Module):
            raise InputError(f"{self.target} makes no nn.Module but this: {module!r:.60}")
        set_training(module, False)
        if device == "meta":
            changed(module, _without_values)
        return module


def _without_values(tensor: torch.Tensor) -> torch.Tensor:
    """Return a parameter on meta: small ones were made with values; buffers keep theirs."""
    return tensor.to("meta") if isinstance(tensor, nn.Parameter) else tensor
