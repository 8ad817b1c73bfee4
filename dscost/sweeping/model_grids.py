"""Models by settings and inputs: what each is of, counted as it is and in both pure versions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dscost.analysis import CountedModel, Request, count
from dscost.errors import (
    FileProblems,
    InputError,
    NoFileError,
    NoShapeError,
    UnknownNameError,
    first_of,
)
from dscost.layers.convolution import Shape
from dscost.layers.variants import VERSIONS
from dscost.notation.units import DTYPE_BYTES, dtype_bytes, format_shape
from dscost.reports.figures import Cost
from dscost.sweeping.axes import parse_axis
from dscost.sweeping.cases import Impossibility
from dscost.sweeping.model_axes import (
    InputSaid,
    Numbers,
    Sides,
    as_said,
    input_values,
    setting_values,
)
from dscost.sweeping.records import Case, digest_of

if TYPE_CHECKING:
    from dscost.analysis.running import Work
    from dscost.sweeping.units import Unit
    from dscost.timing import Progress, Setting

MOST_TOLD = 4
"""Values of what varies that a title has."""
MOST_MODELS = 10_000
"""Models of a sweep: each is counted whole."""


Shaped = tuple[int | Shape | None, Shape | None]
"""What a table says of an input, and its shape."""
OWN: Sequence[Shaped] = ((None, None),)
"""The inputs of a model where none is said."""


class ModelGrid(NamedTuple):
    """Every combination of models, settings, inputs and batches; the models vary slowest.

    Args:
        models: What `dscost model` takes.
        settings: By name, the values of each.
        inputs: Of each model what a table says of an input, a side or the whole shape, and that as
            a shape; `None` is the model's own.
        batches: None are those of the inputs.
        dtype: Of weights and activations; by default the model's own.
        versions: Of each model, of `VERSIONS`.
    """

    models: tuple[str, ...]
    settings: Mapping[str, tuple[Any, ...]] = {}
    inputs: Mapping[str, Sequence[Shaped]] = {}
    batches: tuple[int, ...] = ()
    dtype: str | None = None
    versions: tuple[str, ...] = VERSIONS

    @property
    def size(self) -> int:
        """How many models there are."""
        each = prod(len(values) for values in self.settings.values())
        inputs = sum(len(self.inputs.get(model, OWN)) for model in self.models)
        return inputs * each * max(1, len(self.batches))


class Asked(NamedTuple):
    """One model of a grid, as it is said.

    Args:
        model: What `dscost model` takes.
        settings: What of it is changed.
        input: What a table says of it: a side, or the whole shape; `None` is the model's own.
        shape: That as a shape.
        batch: Inputs at once; `None` is that of the input.
    """

    model: str
    settings: Mapping[str, Any]
    input: int | Shape | None
    shape: Shape | None
    batch: int | None


@dataclass(slots=True)
class Again:
    """Counts a model in other dtypes than its own, once for each size of their elements.

    Args:
        asked: The model.
        counted: It in its own.
        own_bytes: Of an element of that; 0 where it is none of ours.
    """

    asked: Asked
    counted: CountedModel
    own_bytes: int
    _others: dict[int, CountedModel] = field(default_factory=dict)

    def __call__(self, element_bytes: int) -> CountedModel:
        """Return it with elements of some size.

        Raises:
            InputError: It cannot be in a dtype of that size.
        """
        if element_bytes in (0, self.own_bytes):
            return self.counted
        if element_bytes not in self._others:
            dtype = next(name for name, size in DTYPE_BYTES.items() if size == element_bytes)
            found = _counted(self.asked, dtype, by_runtime=True)
            if isinstance(found, str):
                raise InputError(f"{_named(self.asked)} in {dtype}: {found}")
            self._others[element_bytes] = found
        return self._others[element_bytes]


class ModelUnit(NamedTuple):
    """A version of a model, which is counted and timed as one, as a `Unit` of layers is.

    Args:
        label: `as_is`, `standard` or `depthwise_separable`.
        parts: What tells it from other models, for the key of its case.
        shape: Of its input.
        counted: The model.
        between_elements: As of a `Unit`.
        again: Counts it once more.
    """

    label: str
    parts: tuple[Any, ...]
    shape: Shape
    counted: CountedModel
    between_elements: int = 0
    again: "Again | None" = None

    def cost(self, element_bytes: int) -> Cost:
        """Return what it costs with elements of some size, 0 for those that it was counted with.

        Raises:
            InputError: It cannot be in a dtype of that size.
        """
        counted = self.again(element_bytes) if self.again else self.counted
        found: Cost = getattr(counted.report.totals, self.label)
        return found

    def work(self, setting: "Setting", *, seed: int = 0, with_norm: bool = False) -> "Work":
        """Return it as something to be run.

        Args:
            setting: Under which.
            seed: Of the weights and the input of a program.
            with_norm: Of no meaning: a model has its own.

        Raises:
            InputError: It cannot be built, such as a saved report.
        """
        from dscost.analysis.running import Work, bytes_to_run, inputs_ratio

        report, swaps = self.counted.report, self.counted.swaps
        versions = self.counted.runnable
        if versions is None:
            raise InputError(f"{report.target} cannot be timed: it is counted only")
        return Work(
            f"{report.target} {self.label}",
            setting,
            lambda: versions.build(self.label, swaps)[0],
            lambda: versions.arguments(setting),
            lambda: versions.program(self.label, swaps, setting, seed=seed)[0],
            macs=int(self.cost(0).macs * inputs_ratio(report, setting)),
            needed_bytes=bytes_to_run(report, self.cost(0).weight_bytes, setting),
        )


class Said(NamedTuple):
    """What is said of models; what is left out is the models' own.

    Args:
        models: At least one.
        settings: By name, as `setting_values` takes them.
        input: As `input_values` takes them.
        batch: Numbers of inputs at once, as an axis of layers is said.
        dtype: Of weights and activations.
        versions: Of each model; all if left out.
    """

    models: Sequence[str]
    settings: Mapping[str, object] | None = None
    input: object = None
    batch: object = None
    dtype: str | None = None
    versions: Sequence[str] | None = None


def model_grid(said: Said, spelled: Callable[[str], str] = str) -> ModelGrid:
    """Return the grid of what is said of models.

    Args:
        said: Of them.
        spelled: Returns what something is called where it is given, for errors.

    Raises:
        InputError: Everything that is wrong with it, a line each.
    """
    problems: list[str] = []

    def kept(name: str, make: Callable[[Any], tuple[Any, ...]], value: Any) -> tuple[Any, ...]:
        try:
            return make(value)
        except InputError as error:
            problems.append(f"{spelled(name)}: {error}")
            return ()

    found = {
        name: kept(f"set {name}", setting_values, value)
        for name, value in (said.settings or {}).items()
    }
    inputs = () if said.input is None else kept("input", input_values, said.input)
    batches = () if said.batch is None else kept("batch", _batches, said.batch)
    if said.dtype is not None:
        kept("dtype", lambda name: (dtype_bytes(name),), said.dtype)
    for name in said.versions or ():
        if name not in VERSIONS:
            problems.append(str(UnknownNameError("version of a model", name, VERSIONS)))
    names = tuple(dict.fromkeys(said.models))
    if not names:
        problems.append("no model is given")
    if problems:
        raise InputError("\n".join(problems))
    versions = tuple(dict.fromkeys(said.versions or VERSIONS))
    shapes = {name: _shapes(name, inputs) for name in names}
    grid = ModelGrid(names, found, shapes, batches, said.dtype, versions)
    if grid.size > MOST_MODELS:
        told = f"{grid.size:,} models are too many to be counted at once"
        raise InputError(f"{told}, at most {MOST_MODELS:,}: take larger steps")
    return grid


def _batches(given: object) -> tuple[Any, ...]:
    found = parse_axis("batch", given)
    if not isinstance(found, tuple):
        raise InputError(f"a batch of models is a number, found '{found.text}'")
    return found


# -- from what is said to models


def model_cases(
    grid: ModelGrid, progress: "Progress | None" = None
) -> Iterator[Case | Impossibility]:
    """Yield the models of a grid in its order, counted, or why one cannot be.

    Raises:
        InputError: There is no such model or setting, or it does not say what it takes.
        UnavailableError: It needs a library that is not installed.
    """
    asked = list(_asked(grid))
    for model in grid.models[1:]:  # a mistake in the last is told before the first is counted
        _counted(next(one for one in asked if one.model == model), grid.dtype)
    for at, one in enumerate(asked):
        if progress:
            progress(at / len(asked), f"counting {one.model}")
        found = _counted(one, grid.dtype)
        if isinstance(found, str):
            yield Impossibility(f"{_named(one)}: {found}")
        else:
            yield _case(one, found, grid.versions)


def _asked(grid: ModelGrid) -> Iterator[Asked]:
    for model, *settings in product(grid.models, *grid.settings.values()):
        named = dict(zip(grid.settings, settings, strict=True))
        inputs = grid.inputs.get(model, OWN)
        for (said, shape), batch in product(inputs, grid.batches or (None,)):
            yield Asked(model, named, said, shape, batch)


def _counted(asked: Asked, dtype: str | None, *, by_runtime: bool = False) -> CountedModel | str:
    """Return a counted model, or why it cannot exist."""
    try:
        settings = {name: as_said(value) for name, value in asked.settings.items()}
        request = Request(asked.shape, asked.batch, dtype, settings or None)
        return count(asked.model, request._replace(by_runtime=by_runtime))
    except (UnknownNameError, NoFileError, FileProblems, NoShapeError):
        raise
    except InputError as error:
        return str(error)


def _shapes(model: str, inputs: Sequence[InputSaid]) -> Sequence[Shaped]:
    """Return the inputs of a model."""
    if not inputs:
        return OWN
    sided = any(isinstance(one, Sides) for one in inputs)
    unsure = any(isinstance(one, Numbers) for one in inputs)
    own = _own_shape(model, needed=sided) if sided or unsure else None
    found: list[Shaped] = []
    for one in inputs:
        if isinstance(one, Sides):
            found.append(_sided(model, one, own or ()))
        elif isinstance(one, Numbers) and own is not None and one.numbers[1] != own[1]:
            found += [_sided(model, Sides((side,)), own) for side in one.numbers]
        else:
            shape = one.numbers if isinstance(one, Numbers) else one
            found.append((shape, shape))
    return list(dict.fromkeys(found))


def _sided(model: str, said: Sides, own: Shape) -> tuple[int | Shape, Shape]:
    """Return an input of some size with the batch and the channels of a model's own."""
    places = len(own) - 2
    sizes = said.sizes * places if len(said.sizes) == 1 else said.sizes
    if len(sizes) != places:
        raise InputError(f"{model} takes {format_shape(own)}, not {format_shape(sizes)}")
    shape = (*own[:2], *sizes)
    return said.sizes[0] if len(set(sizes)) == 1 else shape, shape


def _own_shape(model: str, *, needed: bool) -> Shape | None:
    """Return what a model takes by itself; `None` where it does not say and need not."""
    try:
        inputs = count(model).report.inputs
    except InputError as error:
        if needed and not isinstance(error, NoShapeError):
            raise
        inputs = ()
    if len(inputs) == 1 and len(inputs[0].shape) > 2:
        return inputs[0].shape
    if needed:
        raise InputError(f"{model} does not say what it takes: give whole shapes as 1,3,224,224")
    return None


def _case(asked: Asked, found: CountedModel, versions: Sequence[str]) -> Case:
    report = found.report
    shape = report.inputs[0].shape if report.inputs else ()
    of = {
        "model": asked.model,
        **asked.settings,
        "input": asked.input if asked.input is not None else shape,
        "batch": report.batch,
        "dtype": found.own_dtype,
    }
    digest = digest_of(  # no bytes, which are of the dtype: that is a part of each key
        [
            (*(one.name, one.type, one.conv, one.input_shape, one.output_shape), *one.cost[:2])
            for one in report.layers
        ]
    )
    again = Again(asked, found, DTYPE_BYTES.get(found.own_dtype, 0))
    units = tuple(ModelUnit(name, (name, digest), shape, found, again=again) for name in versions)
    # whoever counts or times cases asks of a unit what both kinds have
    return Case(of, cast("tuple[Unit, ...]", units))


def _named(asked: Asked) -> str:
    """Return which model of a grid it is."""
    told = [f"{name} {as_said(value)}" for name, value in asked.settings.items()]
    if asked.input is not None:
        told.append(f"input {_input_text(asked.input)}")
    return ", ".join([asked.model, *told])


def title_of_models(grid: ModelGrid) -> str:
    """Return what a grid of models holds, in a line.

    >>> title_of_models(model_grid(Said(["mobilenet_v1"], {"width": "0.5,1.0"}, 128)))
    '2 models: mobilenet_v1, width 0.5, 1.0, input 128'
    """
    told = [first_of(grid.models, MOST_TOLD)]
    told += [f"{name} {_values_text(as_said(values))}" for name, values in grid.settings.items()]
    inputs = [_input_text(said) for said, _ in grid.inputs.get(grid.models[0], ()) if said]
    if inputs:
        told.append(f"input {_values_text(inputs)}")
    if grid.batches:
        told.append(f"batch {_values_text(grid.batches)}")
    return f"{grid.size:,} model{'' if grid.size == 1 else 's'}: {', '.join(told)}"


def _input_text(said: int | Shape) -> str:
    return format_shape(said) if isinstance(said, tuple) else str(said)


def _values_text(values: Sequence[Any]) -> str:
    if len(values) <= MOST_TOLD:
        return ", ".join(map(str, values))
    return f"{values[0]}–{values[-1]} ({len(values)})"
