"""What is stable: the names of `dscost`, `dscost.nn`, `dscost.pages` and, for one release, `dscost.specs`."""

import ast
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import torch
from documents import name_of, pages

import dscost
from dscost.errors import InputError, UnknownArgumentError

ROOT = Path(dscost.__file__).parent
HOUSE = ROOT.parent
STABLE = ("dscost", "dscost.nn", "dscost.pages", "dscost.specs")
FUNCTIONS = [name for name in dscost.__all__ if isinstance(getattr(dscost, name), FunctionType)]
WITH_KEYWORDS = [name for name in FUNCTIONS if name != "register_formula"]


def imports_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of everything that is imported from dscost."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dscost":
            yield from ((str(node.module), one.name) for one in node.names)


def imported_for_types() -> dict[str, str]:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {name: module for module, name in imports_of(block)}


def test_the_three_lists_of_public_names_are_one() -> None:
    assert imported_for_types() == dscost._HOMES
    assert sorted(dscost.__all__) == sorted(dscost._HOMES)
    assert dir(dscost) == sorted(dscost.__all__)


@pytest.mark.parametrize("module", STABLE)
def test_every_public_name_is_there_and_says_what_it_is(module: str) -> None:
    public = import_module(module)
    assert public.__all__
    for name in public.__all__:
        assert inspect.getdoc(getattr(public, name)) or name == "__version__", name


def test_a_name_that_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'dscost' has no attribute 'analyse'"):
        dscost.analyse  # type: ignore[attr-defined]  # noqa: B018


def test_importing_dscost_imports_nothing_of_it() -> None:
    code = "import sys, dscost; print(*sorted(one for one in sys.modules if 'dscost' in one))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["dscost"]


# -- functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_has_a_type_and_is_explained(name: str) -> None:
    function = getattr(dscost, name)
    arguments = inspect.signature(function).parameters
    _, _, rest = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    explained = re.findall(r"^    (\w+): ", rest.partition("\n\n")[0], flags=re.MULTILINE)
    assert explained == list(arguments)
    for argument in arguments.values():
        assert argument.annotation is not argument.empty, argument.name
        assert argument.kind is not argument.VAR_KEYWORD, argument.name


@pytest.mark.parametrize("name", WITH_KEYWORDS)
def test_a_misspelt_keyword_names_the_nearest(name: str) -> None:
    function = getattr(dscost, name)
    last = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.kind is not one.VAR_POSITIONAL
    ][-1]
    expected = re.escape(f"unknown argument '{last}s' (did you mean '{last}'?)")
    with pytest.raises(InputError, match=expected):
        function(**{f"{last}s": 1})
    with pytest.raises(TypeError, match=expected):  # as of any function of Python
        function(**{f"{last}s": 1})
    assert issubclass(UnknownArgumentError, (InputError, TypeError))


def test_what_is_given_already_is_not_suggested_again() -> None:
    with pytest.raises(InputError, match=re.escape("'size' (did you mean 'input_size'?)")):
        dscost.layer(8, 8, 3, size=14)  # type: ignore[call-arg]
    with pytest.raises(InputError, match=re.escape("'stirde' (did you mean 'stride'?)")):
        dscost.layer(8, 8, 3, stirde=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("function", "given", "argument", "wrong", "expected"),
    [
        ("layer", (8, 8, 3), "variants", 3, "str | Sequence[str]"),
        ("layer", (8, 8, 3), "variants", [None], "str | Sequence[str]"),
        ("layer", (8, 8, 3), "on", True, "str | Sequence[str]"),
        ("layer", (8, 8, 3), "dtype", {}, "str | None"),
        ("layer", (8, 8, 3), "depth_multiplier", "2", "int | None"),
        ("device", (), "name", 3, "str"),
        ("device", ("t4",), "dtype", [], "str"),
        ("analyze", ("resnet18",), "on", [3], "str | Sequence[str]"),
        ("analyze", ("resnet18",), "settings", {1: 2}, "Mapping[str, Any] | None"),
        ("compare", ("resnet18", "resnet34"), "dtype", [], "str | None"),
        ("check", (), "path", ["dscost.yaml"], "str | PathLike[str] | None"),
        ("check", (), "only", [3], "Sequence[str]"),
        ("check", (), "progress", 3, "Callable[[float | None, str], None] | None"),
        ("baseline", (), "budget", b"x", "str | PathLike[str] | None"),
        ("baseline", (), "only", [None], "Sequence[str]"),
        ("save_baseline", (), "only", 3, "Sequence[str]"),
        ("update_baseline", (), "accept", 3, "Sequence[str]"),
        ("register_variant", (), "name", 3, "str"),
        ("register_renderer", ("x",), "endings", (3,), "tuple[str, ...]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_by_its_argument(
    function: str,
    given: tuple[Any, ...],
    argument: str,
    wrong: Any,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "version: 1\nbaseline: b.json\nmodels:\n  - {target: resnet18, limits: {macs: 3G}}\n"
    (tmp_path / "dscost.yaml").write_text(text)
    dscost.save_baseline()
    told = re.escape(f"{argument}: expected {expected}, found {wrong!r}")
    with pytest.raises(InputError, match=f"^{told}$"):
        getattr(dscost, function)(*given, **{argument: wrong})


def test_a_mistake_that_no_argument_explains_is_left_as_it_is() -> None:
    def fails(share: float, name: str) -> None:
        raise TypeError("of somebody's own")

    with pytest.raises(TypeError, match="of somebody's own"):
        dscost.compare("resnet18", "resnet34", progress=fails)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_can_be_sent_to_another_process(name: str) -> None:
    function = getattr(dscost, name)
    assert pickle.loads(pickle.dumps(function)) is function


def test_arguments_may_be_given_by_place_or_by_name() -> None:
    by_place = dscost.layer(64, 128, 3, stride=2)
    by_name = dscost.layer(in_channels=64, out_channels=128, kernel_size=3, stride=2)
    assert by_place == by_name
    by_place = dscost.analyze("resnet18", (1, 3, 160, 160))
    assert by_place == dscost.analyze("resnet18", input=(1, 3, 160, 160))
    by_place = dscost.compare("resnet18", "resnet34")
    assert by_place == dscost.compare(["resnet18", "resnet34"])
    assert by_place == dscost.compare(targets=("resnet18", "resnet34"))


@pytest.mark.parametrize(
    ("target", "wrong", "message"),
    [
        pytest.param(
            torch.nn.Conv2d(3, 8, 1),
            {"kwargs": {"width": 2}},
            "Conv2d is a module, not a factory: kwargs cannot be used",
            id="arguments for the factory of a module",
        ),
        pytest.param(
            torch.nn.Conv2d(3, 8, 1),
            {"dtype": torch.float16},
            "unknown dtype 'torch.float16' (did you mean 'float16'?)",
            id="a dtype of torch for a module",
        ),
        pytest.param(
            "torch.nn:Flatten",
            {"dtype": torch.float16},
            "unknown dtype 'torch.float16' (did you mean 'float16'?)",
            id="a dtype of torch for a factory",
        ),
        pytest.param(
            "resnet18",
            {"settings": "width=1"},
            "settings are a dict such as {'width': 0.5}, found 'width=1'",
            id="settings as the command line writes them",
        ),
    ],
)
def test_an_argument_of_another_kind_is_told(
    target: Any, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        dscost.analyze(target, None if target == "resnet18" else (1, 3, 4, 4), **wrong)
    assert str(refused.value) == message


def test_what_is_given_is_not_assumed() -> None:
    assumed = dscost.layer(64, 128, 3).assumed
    assert "stride" in assumed
    given = dscost.layer(64, 128, 3, stride=1).assumed
    assert set(assumed) - set(given) == {"stride"}


# -- what is not stable


def python_for_users() -> Iterator[tuple[str, str]]:
    """Yield the Python that users are shown; that of the reference is of signatures."""
    shown = [page for page in pages() if "reference" not in page.parts]
    for page in (*shown, *sorted((HOUSE / "configs").rglob("README.md"))):
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(
            re.findall(r"```py(?:thon)?\n(.*?)```", text, flags=re.DOTALL)
        ):
            yield f"{name_of(page)}:{number}", block
    for path in (HOUSE / "examples").glob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in python_for_users()])
def test_users_are_shown_what_is_stable(code: str) -> None:
    tree = ast.parse(code)
    for module, name in imports_of(tree):
        assert module in STABLE, module
        assert name in import_module(module).__all__, name
    for node in ast.walk(tree):
        of_dscost = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if of_dscost and node.value.id == "dscost":  # type: ignore[attr-defined]
            assert node.attr in [*dscost.__all__, "nn"], node.attr  # type: ignore[attr-defined]


def test_a_wing_says_what_others_use_of_it() -> None:
    for path in ROOT.rglob("*.py"):
        for module, name in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            place = HOUSE / module.replace(".", "/")
            is_wing = module != "dscost" and (place / "__init__.py").exists()
            if is_wing and not (place / f"{name}.py").exists() and not (place / name).is_dir():
                assert name in import_module(module).__all__, f"{path}: {module}.{name}"
