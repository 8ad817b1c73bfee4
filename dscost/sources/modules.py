"""Targets that are torch modules, made on meta: no weight takes memory, nothing is downloaded."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import _pytree as pytree

from dscost.errors import InputError, UnavailableError, did_you_mean, first_line
from dscost.foreign.failures import may_want_values, must_pass
from dscost.foreign.parts import changed, set_training
from dscost.foreign.randomness import SEED, own_random_numbers
from dscost.modules.beside_meta import MOST_MADE_VALUES, values_kept
from dscost.sources import ModuleSource
from dscost.sources.importing import SCRIPT, World, levels_of, world_of_package
from dscost.sources.mending import notes_on
from dscost.sources.objects import argument_hint, missing_module, object_hint, resolved
from dscost.sources.stated import beside, may_state, missing_input


def from_python(
    target: str, kwargs: Mapping[str, Any], folder: Path | None = None, *, has_input: bool = True
) -> ModuleSource:
    """Return what `package.module:factory` makes.

    Args:
        target: The dotted name of a module, and that of something in it.
        kwargs: Keyword arguments for the factory.
        folder: Where the module is sought before anywhere else; then in the working directory.
        has_input: Whether an input is given; if not, and there can be none, nothing is made.

    Raises:
        InputError: There is no such module or factory, or it makes no `nn.Module`, or states no
            input.
        UnavailableError: It needs something that is not installed.
    """
    path, _, name = target.rpartition(":")
    world = World(_here(), stays=True) if folder is None else World((folder, *_here()))
    try:
        with world.entered():
            module = importlib.import_module(path)
    except (Exception, SystemExit) as error:
        missing = missing_module(error)
        if missing:
            raise InputError(
                f"{target}: there is no module '{missing}'{_written_as_path(path)}"
            ) from error
        raise InputError(f"{target}: importing {path} failed: {first_line(error)}") from error
    return _from_factory(
        _Found("python", target, module, name, world, path), kwargs, has_input=has_input
    )


def _here() -> tuple[Path, ...]:
    try:
        return (Path.cwd(),)
    except FileNotFoundError:  # somebody deleted it
        return ()


def _written_as_path(path: str) -> str:
    file = Path(f"{path}.py")
    return f"; {file} is a file: write {file}:NAME" if "/" in path and file.is_file() else ""


def from_file(target: str, kwargs: Mapping[str, Any], *, has_input: bool = True) -> ModuleSource:
    """Return what `path/file.py:factory` makes, as part of its package where it imports relatively.

    Args:
        target: The path of a file, and the name of something in it.
        kwargs: Keyword arguments for the factory.
        has_input: Whether an input is given; if not, and there can be none, nothing is made.

    Raises:
        InputError: There is no such file or factory, or it makes no `nn.Module`, or states no
            input.
        UnavailableError: It needs something that is not installed.
    """
    text, _, name = target.rpartition(":")
    path = Path(text)
    if not path.is_file():
        raise InputError(f"cannot read {text}: no such file")
    path = path.resolve()
    try:
        levels = levels_of(path)
        world, module = _in_package(path, levels) if levels else _as_script(path)
    except (Exception, SystemExit) as error:
        raise InputError(f"{target}: running {text} failed: {first_line(error)}") from error
    return _from_factory(
        _Found("file", target, module, name, world, text), kwargs, has_input=has_input
    )


def _as_script(path: Path) -> tuple[World, ModuleType]:
    # the whole path names the module, since two folders may hold a net.py
    spec = importlib.util.spec_from_file_location(f"{SCRIPT}{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    world = World((path.parent,))
    with world.entered():
        spec.loader.exec_module(module)
    world.call(path.stem, module)
    return world, module


def _in_package(path: Path, levels: int) -> tuple[World, ModuleType]:
    """Return a file as a module of its package, a larger one where its imports reach further up."""
    for more in range(levels, max(levels, len(path.parents) - 1) + 1):
        world, name = world_of_package(path, more)
        try:
            with world.entered():
                return world, importlib.import_module(name)
        except ImportError as error:
            if "beyond top-level package" not in str(error):
                raise
            beyond = error
    raise beyond


def from_export(target: str, kwargs: Mapping[str, Any], *, trust: bool = False) -> ModuleSource:
    """Return the module and the example inputs of a saved program; no code of it is run.

    Args:
        target: The path of the program.
        kwargs: None, since it takes none.
        trust: Whether one that cannot be read otherwise is read as torch does, which runs code that
            it holds or names.

    Raises:
        InputError: It is not such a program, or reading it would run code.
    """
    if kwargs:
        raise InputError(f"{target}: an exported program takes no --kwargs")
    path = Path(target)
    if not path.is_file():
        raise InputError(f"cannot read {target}: {_why_unreadable(path)}")
    from dscost.sources.program_texts import CodeError
    from dscost.sources.programs import read_program, read_trusted

    try:
        module, example = read_program(path)
    except CodeError as error:
        if not trust:
            told = (
                f"{error}; if you trust it, --trust (in a budget trust: true) reads it all the same"
            )
            raise InputError(told) from error
        module, example = read_trusted(path)
    if example is None:
        return ModuleSource("export", module)
    args, keywords = pytree.tree_map_only(torch.Tensor, _without_numbers, example)
    return ModuleSource("export", module, {"args": args, "kwargs": keywords})


def _why_unreadable(path: Path) -> str:
    if path.is_dir():
        return "it is a folder"
    return "it is no regular file" if path.exists() else "no such file"


def _without_numbers(example: torch.Tensor) -> torch.Tensor:
    """Return the shape of an example; integers stay, since they may be indices or lengths.

    What a program is exported with is mostly noise, so that nothing may be fitted to it.
    """
    if not example.is_floating_point() or example.layout != torch.strided:
        return example
    return torch.empty_strided(example.shape, example.stride(), dtype=example.dtype, device="meta")


# -- factories


class _Found(NamedTuple):
    """Something in a module of Python.

    Args:
        kind: `python` or `file`.
        target: What the user calls it.
        module: Where it was found.
        name: What is sought in it.
        world: Where its code lives.
        place: What the user calls the module.
    """

    kind: str
    target: str
    module: ModuleType
    name: str
    world: World
    place: str


def _from_factory(found: _Found, kwargs: Mapping[str, Any], *, has_input: bool) -> ModuleSource:
    factory, target = _looked_up(found), found.target
    ask = beside(found.module, found.place, found.world)
    if isinstance(factory, nn.Module):
        if kwargs:
            raise InputError(f"{target} is a module, not a factory: --kwargs cannot be used")
        return ModuleSource(found.kind, factory, ask=ask, importing=found.world.entered)
    if not callable(factory):
        raise InputError(f"{target} is no class, function or nn.Module but this: {factory!r:.60}")
    is_class = isinstance(factory, type) and issubclass(factory, nn.Module)
    if not has_input and ask is None and is_class and not may_state(factory):
        _check_arguments(target, factory, kwargs)
        raise missing_input(target, factory)
    maker = Maker(target, factory, kwargs, found.world)
    made = maker.on_meta()
    return ModuleSource(found.kind, made, None, notes_on(made), maker.real, ask, maker.entered)


def _looked_up(found: _Found) -> Any:
    """Return what a name in a module stands for; modules that import late may fail only here.

    Raises:
        InputError: There is no such name.
        UnavailableError: What it stands for needs something that is not installed.
    """
    target, name = found.target, found.name
    value: Any = found.module
    for part in name.split("."):
        try:
            with found.world.entered():
                value = getattr(value, part)
        except AttributeError as error:
            if isinstance(error.__cause__, ImportError):  # it is there, but not what it needs
                raise InputError(
                    f"{target}: importing {name} failed: {_with_root_cause(error)}"
                ) from error
            public = [key for key in dir(found.module) if not key.startswith("_")]
            raise InputError(
                f"{target}: there is no '{name}'{did_you_mean(name, public)}"
            ) from error
        except ModuleNotFoundError as error:
            raise UnavailableError(
                f"{target}: importing {name} failed: {_with_root_cause(error)}"
            ) from error
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{target}: importing {name} failed: {_with_root_cause(error)}"
            ) from error
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
    """Refuse arguments with which a factory cannot be called.

    Raises:
        InputError: Some are missing, or not known.
    """
    try:
        inspect.signature(factory).bind(**kwargs)
    except TypeError as error:
        raise InputError(
            f"{target} cannot be made: {first_line(error)}{argument_hint(factory, kwargs)}"
        ) from error
    except ValueError:  # it has no signature
        return


class Maker:
    """A factory with its arguments.

    Whoever may call `real` while a trace runs has `entered` before the trace begins: both wait for
    their turn, and two threads that take the two turns in different orders would wait for each
    other.
    """

    def __init__(
        self,
        target: str,
        factory: Callable[..., Any],
        kwargs: Mapping[str, Any],
        world: World | None = None,
    ) -> None:
        world = world or World()
        self._target, self._factory, self._kwargs, self._world = target, factory, kwargs, world
        self.entered = world.entered

    def on_meta(self) -> nn.Module:
        """Return the model without weights; where its code needs values, with random ones.

        Raises:
            InputError: It cannot be made, or is no `nn.Module`.
        """
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
        hint = argument_hint(self._factory, self._kwargs) if isinstance(error, TypeError) else ""
        hint = hint or object_hint(self._factory, self._kwargs, error)
        return InputError(f"{self._target} cannot be made: {first_line(error)}{hint}")

    def _on(self, device: str) -> nn.Module:
        with ExitStack() as stack:
            stack.enter_context(own_random_numbers(SEED))
            stack.enter_context(self._world.entered())
            stack.enter_context(torch.device(device))
            if device == "meta":
                stack.enter_context(values_kept(MOST_MADE_VALUES))
            module = self._factory(**resolved(self._kwargs))
        if not isinstance(module, nn.Module):
            raise InputError(f"{self._target} makes no nn.Module but this: {module!r:.60}")
        set_training(module, False)
        if device == "meta":  # the small ones were made with values
            changed(
                module,
                lambda tensor: tensor.to("meta") if isinstance(tensor, nn.Parameter) else tensor,
            )
        return module
