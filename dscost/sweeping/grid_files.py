"""Grids as YAML, in the language of `configs/sweeps/README.md`, every mistake with its place.

>>> from dscost.notation.marked_yaml import parse_yaml
>>> text = "{cin: '8:64:8', cout: 2 * cin, k: [3, 5x3], variants: [ghost]}"
>>> (grid,) = grids_in(parse_yaml(text, "sweep.yaml"), "sweep.yaml", Problems())
>>> grid.size, grid.values(15)["out_channels"]
(16, 128)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from dscost.configs import config_folder
from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.layers.choosing import Asked, parse_variants
from dscost.layers.convolution import MAX_EXTENT
from dscost.layers.making import DIMS
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation import forms
from dscost.notation.forms import Form, Given, Keyed
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.marked_yaml import Node, Problems, read_yaml
from dscost.notation.units import DTYPE_BYTES
from dscost.sweeping.axes import (
    EXAMPLES,
    LEAST,
    Said,
    once,
    parse_axis,
    values_of_entry,
)
from dscost.sweeping.grids import AXES, SHORT, Grid, Operation, Value
from dscost.sweeping.making_grids import OF_OPERATIONS, WRONG, Complaint, Setup, assembled

ENDINGS = (".yaml", ".yml")

KEYS: Mapping[str, str] = {
    **{SHORT.get(name, name): name for name in AXES},
    **{name: name for name in AXES},
    "kernel": "kernel_size",
}
"""The axis that each key means, the shortest names first."""

USUAL = parse_variants([SEPARABLE])
"""What layers are compared with where nothing is said."""


def read_grids(given: Path | str) -> tuple[Grid, ...]:
    """Return the grids of a file, or those of a built-in one by its name.

    Raises:
        InputError: It cannot be read, or is wrong; then every mistake has its place.
    """
    path = Path(given)
    if not path.name.endswith(ENDINGS):
        built_in = {one.stem: one for one in config_folder("sweeps").glob("*.yaml")}
        if str(given) not in built_in:
            raise UnknownNameError("sweep", str(given), sorted(built_in), ", or a file .yaml")
        path = built_in[str(given)]
    problems = Problems()
    return grids_in(read_yaml(path, problems), str(path), problems)


def grids_in(root: Node, name: str, problems: Problems) -> tuple[Grid, ...]:
    """Return the grids that a document is.

    Raises:
        FileProblems: Something is wrong with it, or was before.
    """
    found = list(_grids(root, problems))
    problems.refuse(name)
    grids = tuple(grid for grid in found if grid is not None)
    if not grids:
        raise FileProblems(name, [root.at_value("there is no grid in it")])
    return grids


def _grids(root: Node, problems: Problems) -> Iterator[Grid | None]:
    """Yield the grids of a file, those that are wrong as `None`."""
    top = FILE.read(root, problems)
    if top is None:
        return
    if "grids" not in root.value:
        yield _grid(top, {}, problems)
        return
    shared = _axes(top, problems)
    names: set[str] = set()
    for given in top.get("grids", ()):
        name = given.get("name", "")
        if name and name in names:
            problems.at(given.node.value["name"], f"two grids are called '{name}'")
        names.add(name)
        yield _grid(given, {**top, "axes": shared}, problems)


_Placed = Mapping[str, tuple[Node, Said]]
"""By axis: what is said of it, and where."""


def _axes(given: Given, problems: Problems) -> _Placed:
    """Return what a mapping says of axes, each by whatever key."""
    found: dict[str, tuple[Node, Said]] = {}
    keys: dict[str, str] = {}
    for key, node in given.node.value.items():
        axis = KEYS.get(key)
        if axis is None:
            continue
        if axis in found:
            problems.at_key(node, f"{key} is {keys[axis]}, which is given already")
        found[axis], keys[axis] = (node, given.get(key, WRONG)), key
    return found


def _grid(given: Given, shared: Mapping[str, Any], problems: Problems) -> Grid | None:
    """Return a grid; of what it does not say itself, what holds of all."""
    operation: Operation = given.get("op", shared.get("op", "convolution"))
    of_all = {
        axis: one
        for axis, one in shared.get("axes", {}).items()
        if axis in OF_OPERATIONS[operation]
    }
    placed: _Placed = {**of_all, **_axes(given, problems)}
    setup = Setup(
        variants=given.get("variants", shared.get("variants", USUAL)),
        operation=operation,
        dims=given.get("dims", shared.get("dims")),
        dtype=given.get("dtype", shared.get("dtype", "float32")),
        name=given.get("name", "") if shared else "",
    )
    if operation != "convolution":
        if "variants" in given and setup.variants:
            told = f"variants are of convolutions, not of {operation.replace('_', ' ')}"
            problems.at_key(given.node.value["variants"], told)
        setup = setup._replace(variants=())
    complaints: list[Complaint] = []
    said = {axis: one for axis, (_, one) in placed.items()}
    grid = assembled(said, setup, complaints, _key_of)
    for axis, text, _ in complaints:
        problems.at(placed[axis][0] if axis in placed else given.node, text)
    return grid


def _key_of(axis: str) -> str:
    return SHORT.get(axis, axis)


# -- the form of every key


def _axis(name: str) -> Form:
    """Return the form of what is said of an axis."""

    def read(node: Node, problems: Problems) -> Said | None:
        if isinstance(node.value, list):
            values = list(_entries(name, node, problems))
            return once(values) if values else None
        if isinstance(node.value, dict) or (node.value is None and name != "padding"):
            problems.at(node, f"expected something like {EXAMPLES[name]}, found {node.kind}")
            return None
        return problems.kept(node, parse_axis, name, node.value)

    return forms.named(f"{_key_of(name)}_values", Form(read, _axis_schema(name)))


def _entries(name: str, node: Node, problems: Problems) -> Iterator[Value]:
    """Yield the values of a list; what is wrong is told entry by entry."""
    if not node.value:
        problems.at(node, f"no value is given: expected something like {EXAMPLES[name]}")
    for entry in node.value:
        if isinstance(entry.value, list | dict):
            problems.at(entry, f"expected a value of {_key_of(name)}, found {entry.kind} in a list")
        else:
            yield from problems.kept(entry, _listed, name, entry.value) or ()


def _listed(name: str, entry: object) -> list[Value]:
    return list(values_of_entry(name, entry))


def _axis_schema(name: str) -> Schema:
    number: Schema = {"type": "integer", "minimum": LEAST.get(name, 1), "maximum": MAX_EXTENT}
    text: Schema = {"type": "string", "pattern": r"\S"}
    if name == "bias":
        number = {"type": "boolean"}
    one = [number, text, *([{"type": "null"}] if name == "padding" else [])]
    several = forms.array({"anyOf": one})
    return {"description": f"Such as {EXAMPLES[name]}.", "anyOf": [*one, several]}


def _variants(node: Node, problems: Problems) -> tuple[Asked, ...] | None:
    """Return variants; none are wanted of an empty list, or of `standard`."""
    nodes = node.value if isinstance(node.value, list) else [node]
    before = len(problems)
    found = [one for child in nodes for one in problems.kept(child, _variant, child) or ()]
    if len(problems) > before:
        return None
    return parse_variants(one for one in found if one != STANDARD)


def _variant(node: Node) -> list[str]:
    """Return the texts of a variant, or of several, as the command line has them.

    Raises:
        InputError: It is none.
    """
    if isinstance(node.value, str):
        texts = [part.strip() for part in node.value.split(",")]
    elif isinstance(node.value, dict):
        texts = [text for name, child in node.value.items() for text in _valued(name, child)]
    else:
        raise InputError(
            f"expected a variant such as ghost or {{inverted_residual: 6}}, found {node.kind}"
        )
    parse_variants(texts)  # refuses what is none
    return texts


def _valued(name: str, node: Node) -> list[str]:
    values = node.plain if isinstance(node.value, list) else [node.plain]
    if not values or not all(type(one) is int or one is None for one in values):
        raise InputError(f"{name} takes a whole number, or a list of such, found {node.kind}")
    return [name if one is None else f"{name}:{one}" for one in values]


def _variants_schema(definitions: Definitions) -> Schema:
    number: Schema = {"type": ["integer", "null"]}
    valued: Schema = {"anyOf": [number, forms.array(number)]}
    one = [{"type": "string", "pattern": r"\S"}, {"type": "object", "additionalProperties": valued}]
    return {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}}]}


def _dims(node: Node) -> int:
    if type(node.value) is not int or node.value not in DIMS:
        raise InputError(f"dims must be 1, 2 or 3, found {node.plain!r:.40}")
    return node.value


_FORMS = {axis: _axis(axis) for axis in AXES}
_SHARED: Mapping[str, Form] = {
    **{key: _FORMS[axis] for key, axis in KEYS.items()},
    "variants": Form(_variants, _variants_schema).described(
        "What each convolution is compared with; depthwise_separable by default."
    ),
    "op": forms.word("operation", get_args(Operation), default="convolution").described(
        "What the layers compute."
    ),
    "dtype": forms.word("dtype", DTYPE_BYTES, default="float32").described(
        "Of weights and activations."
    ),
    "dims": forms.parsed(_dims, {"enum": list(DIMS)}).described(
        "Spatial dimensions; by default as many as there are sizes, else 2."
    ),
}
_NAMED = Keyed(
    {"name": forms.TEXT.described("How tables and errors call it."), **_SHARED},
    required=("name",),
    expected="a grid such as {name: early, cin: 16, cout: 32, k: 3}",
)
FILE = Keyed(
    {
        "description": forms.TEXT,
        **_SHARED,
        "grids": forms.list_of(_NAMED, "grids").described(
            "Several grids; what stands beside them holds of each that does not say otherwise."
        ),
    },
    expected="a grid such as {cin: 16, cout: 32, k: 3}, or grids",
    empty="expected a grid such as {cin: 16, cout: 32, k: 3}, or grids, found nothing",
)
"""The file of a sweep."""
