"""The models in a file of Python: its classes, factories and instances, found without running it.

A class is taken for a module by what it derives from, or since it has a `forward`; a function for a
factory by what it says or does that it returns. What another of them uses is a part of that one.
"""

import ast
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dscost.errors import InputError, first_line, first_of

MOST_SHOWN = 8
_ZOOS = ("torchvision", "timm", "transformers", "monai", "segmentation_models_pytorch")
"""Packages whose functions make models."""
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_NO_MODELS = ("Function", "Dataset", "Loss")
"""How bases end that have a `forward`, or look as if, and are no models."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Found(NamedTuple):
    """Something in a file that is, or makes, a model.

    Args:
        name: Its own.
        node: Where it is defined.
        needs: Arguments that it cannot be made without.
        takes: Arguments by name that it can be given; `None` where that is anything.
    """

    name: str
    node: ast.stmt
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] | None = frozenset()

    def can_be_made_with(self, kwargs: Collection[str]) -> bool:
        """Whether arguments of these names, and no others, make it."""
        given = set(kwargs)
        return self.needs <= given and (self.takes is None or given <= self.takes)


def only_model(path: Path, shown: str, kwargs: Collection[str] = ()) -> str:
    """Return the name of the model in a file, where there is one alone that may be meant.

    Args:
        path: The file.
        shown: How the user calls it.
        kwargs: Names of the arguments that a factory would be given.

    Raises:
        InputError: There are several, which are named, or none; or the file cannot be read.
    """
    found = models_in(parsed(path, shown))
    if not found:
        raise InputError(
            f"{shown}: no model is seen in it: expected a class that derives from nn.Module, or "
            f"a function that returns one; any other is given as {shown}:NAME"
        )
    parts = _parts(found)
    wholes = [one for one in found.values() if one.name not in parts] or list(found.values())
    makeable = [one for one in wholes if one.can_be_made_with(kwargs)]
    if len(wholes) == 1 or len(makeable) == 1:
        return (makeable or wholes)[0].name
    names = first_of([one.name for one in wholes], MOST_SHOWN)
    inside = f" (parts of these: {first_of(sorted(parts), MOST_SHOWN)})" if parts else ""
    raise InputError(
        f"{shown} has {len(wholes)} models, {names}{inside}: "
        f"name one, such as {shown}:{wholes[0].name}"
    )


def parsed(path: Path, shown: str) -> ast.Module:
    """Return what a file says, without running it; `shown` is how the user calls it.

    Raises:
        InputError: It is not there, or is no Python.
    """
    if not path.is_file():
        raise InputError(f"cannot read {shown}: no such file")
    try:
        with warnings.catch_warnings(action="ignore"):  # running it will warn
            return ast.parse(path.read_bytes(), shown)
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"{shown} cannot be read as Python: {first_line(error)}") from error


def models_in(tree: ast.Module) -> Mapping[str, Found]:
    """Return the modules, factories and instances of a file by name, in its order."""
    statements = list(top_level(tree.body))
    imported = dict(_imported(statements))
    classes = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
    known: set[str] = set()
    found: dict[str, Found] = {}
    more = True
    while more:  # a class or a factory may stand behind what makes use of it
        more = False
        for node in statements:
            name = defines(node)
            if name is None or name in known:
                continue
            if _is_model(node, known, imported, classes):
                known.add(name)
                found[name] = _found(name, node, classes)
                more = True
    order = {name: at for at, node in enumerate(statements) if (name := defines(node))}
    public = {name: one for name, one in found.items() if not name.startswith("_")}
    return dict(sorted(public.items(), key=lambda pair: order[pair[0]]))


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run on import, those of `try` and `if` too but of no `__main__`."""
    for node in body:
        if isinstance(node, ast.If) and "__name__" not in ast.dump(node.test):
            yield from top_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from top_level([*node.body, *node.orelse, *node.finalbody])
            for handler in node.handlers:
                yield from top_level(handler.body)
        elif not isinstance(node, ast.If):
            yield node


def _imported(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield names with what they stand for: `nn` and `torch.nn`."""
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    (alias.name if alias.asname else alias.name.partition(".")[0]),
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def defines(node: ast.stmt) -> str | None:
    """Return the name that a statement defines."""
    match node:
        case ast.ClassDef() | ast.FunctionDef():
            return node.name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None


def _is_model(
    node: ast.stmt,
    known: Collection[str],
    imported: Mapping[str, str],
    classes: Mapping[str, ast.ClassDef],
) -> bool:
    match node:
        case ast.ClassDef():
            bases = [_full_name(base, imported) for base in node.bases]
            if any(name.endswith(_NO_MODELS) for name in bases):
                return False
            has_forward = any(
                isinstance(one, _Function) and one.name == "forward" for one in node.body
            )
            return any(_is_class(name, known, imported) for name in bases) or (
                bool(bases) and has_forward
            )
        case ast.FunctionDef():
            return _is_factory(node, known, imported)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return _makes_model(value, known, imported, {})
    return False


def _is_class(name: str, known: Collection[str], imported: Mapping[str, str]) -> bool:
    last = name.rpartition(".")[2]
    return name in known or last.endswith("Module") or _is_of_torch(name) or last in _CONTAINERS


def _is_of_torch(name: str) -> bool:
    """Whether a name is that of a class in `torch.nn`, but for what is no model."""
    home, _, last = name.rpartition(".")
    is_there = home == "torch.nn" or home.startswith("torch.nn.modules")
    return is_there and last[:1].isupper() and last != "Parameter" and not last.endswith(_NO_MODELS)


def _full_name(node: ast.expr, imported: Mapping[str, str]) -> str:
    """Return the dotted name of an expression with its first part as it was imported."""
    match node:
        case ast.Name(id=name):
            return imported.get(name, name)
        case ast.Attribute(value=value, attr=attribute):
            return f"{_full_name(value, imported)}.{attribute}"
        case ast.Constant(value=str(text)):  # an annotation in quotes
            first, dot, rest = text.partition(".")
            return f"{imported.get(first, first)}{dot}{rest}"
        case ast.Subscript(value=value):
            return _full_name(value, imported)
    return ""


def _is_factory(node: ast.FunctionDef, known: Collection[str], imported: Mapping[str, str]) -> bool:
    if node.returns is not None:
        name = _full_name(node.returns, imported)
        if name:
            return _is_class(name, known, imported)
    made: dict[str, bool] = {}
    for inner in _own_nodes(node):
        match inner:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                made[name] = made.get(name, False) or _makes_model(value, known, imported, made)
            case ast.Return(value=ast.expr() as value):
                if _makes_model(value, known, imported, made):
                    return True
    return False


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function in its order, but for functions and classes in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _Function | ast.ClassDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _makes_model(
    node: ast.expr, known: Collection[str], imported: Mapping[str, str], made: Mapping[str, bool]
) -> bool:
    match node:
        case ast.Name(id=name):
            return made.get(name, False)
        case ast.Call(func=ast.Attribute(value=inner, attr="eval" | "to" | "cpu" | "train")):
            return _makes_model(inner, known, imported, made)
        case ast.Call(func=function):
            name = _full_name(function, imported)
            is_from_zoo = name.startswith(tuple(f"{zoo}." for zoo in _ZOOS)) and (
                ".models." in name or name.endswith("create_model") or ".from_" in name
            )
            return name in known or _is_of_torch(name) or is_from_zoo
        case ast.IfExp(body=body, orelse=other):
            return any(_makes_model(one, known, imported, made) for one in (body, other))
    return False


# -- what one of them needs, and what it is part of


def _found(name: str, node: ast.stmt, classes: Mapping[str, ast.ClassDef]) -> Found:
    match node:
        case ast.FunctionDef(args=arguments):
            return Found(name, node, *_arguments(arguments, skip=0))
        case ast.ClassDef():
            init = _init_of(node, classes)
            if init is None:
                return Found(name, node, takes=None)
            return Found(name, node, *_arguments(init.args, skip=1))
    return Found(name, node)


def _init_of(
    node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], seen: frozenset[str] = frozenset()
) -> ast.FunctionDef | None:
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return one
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id not in seen:
            found = _init_of(classes[base.id], classes, seen | {node.name})
            if found is not None:
                return found
    return None


def _arguments(
    arguments: ast.arguments, *, skip: int
) -> tuple[frozenset[str], frozenset[str] | None]:
    """Return the arguments without a default, and all by name; `None` where any are taken."""
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    needed = positional[skip : len(positional) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    needed += [one.arg for one, default in pairs if default is None]
    every = frozenset((*positional[skip:], *(one.arg for one in arguments.kwonlyargs)))
    return frozenset(needed), None if arguments.kwarg else every


def _parts(found: Mapping[str, Found]) -> set[str]:
    """Return the names of what another one makes use of, beyond deriving from it."""
    uses = {name: _names_in(one.node) & found.keys() - {name} for name, one in found.items()}
    parts: set[str] = set()
    for name, used in uses.items():
        parts |= {part for part in used if name not in uses[part]}
    return parts


def _names_in(node: ast.stmt) -> set[str]:
    bodies: list[ast.AST] = list(node.body) if isinstance(node, ast.ClassDef) else [node]
    return {one.id for body in bodies for one in ast.walk(body) if isinstance(one, ast.Name)}
