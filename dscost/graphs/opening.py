"""Axes of inputs that are left open: an error, with sizes that they might have, which are tried."""

from collections.abc import Callable, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from onnx import GraphProto

from dscost.errors import NoShapeError
from dscost.graphs.examples import CHOICES, LENGTHS, example_sizes
from dscost.graphs.giving import Gift
from dscost.graphs.values import Shape, Value

if TYPE_CHECKING:
    from dscost.graphs.trying import Trial

Axes = tuple[int | str | None, ...]
"""Of an input in a file: sizes, names of sizes that are left open, or neither."""

Shapes = Mapping[str, Axes | None]
"""Of inputs by name, `None` where nothing is said of one."""


class Stated(NamedTuple):
    """What a file says of an input; `axes` is `None` where it says nothing of its shape.

    Those that are `empty` are 0 in the file: some write so what they leave open.
    """

    name: str
    dtype: str
    axes: Axes | None
    is_sequence: bool = False
    is_optional: bool = False
    is_tensor: bool = True
    empty: tuple[int, ...] = ()


class Sizes(NamedTuple):
    """What is known of the sizes of inputs.

    Args:
        shapes: Their axes, with the sizes that are known.
        found: What is given for them.
        batch: The size of what seems to be a batch.
    """

    shapes: Shapes
    found: Mapping[str, Gift]
    batch: int


class _Example(NamedTuple):
    """Which axes are open, what might be given for some inputs, and what all are then."""

    told: str
    shown: dict[str, Shape]
    shapes: Shapes


def is_bound(shape: Axes | None) -> bool:
    """Whether all sizes are known."""
    return shape is not None and all(isinstance(size, int) for size in shape)


def refuse_open(
    graph: GraphProto,
    inputs: Sequence[Stated],
    sizes: Sizes,
    trial: "Trial | None",
    values_of: Callable[[Shapes, Mapping[str, Gift]], Mapping[str, Value]],
) -> None:
    """Refuse axes that have no size, all at once, with how they might be given.

    Args:
        graph: The graph.
        inputs: Its inputs.
        sizes: What is known of their sizes.
        trial: Tries sizes; without it the first that are usual are told.
        values_of: Makes the values of inputs of their shapes and what is given for them.

    Raises:
        InputError: There are such axes.
    """
    lacking = [
        one
        for one in inputs
        if one.is_tensor and not one.is_optional and not is_bound(sizes.shapes[one.name])
    ]
    if not lacking:
        return
    numbers = _numbers(inputs, sizes.found, trial)
    first = example = _example(graph, lacking, sizes, 0)
    fits = False
    for choice in range(CHOICES if trial else 0):
        example = _example(graph, lacking, sizes, choice)
        gifts = {**sizes.found, **numbers}
        if trial is None or trial.is_over:
            break
        fits = trial.fits(values_of(example.shapes, gifts))
        if fits:
            break
    shown = (example if fits else first).shown
    parts = [f"{name}=" + ",".join(map(str, shape)) for name, shape in shown.items()]
    parts += [f"{name}=():{gift.dtype}={gift.fill}" for name, gift in numbers.items()]
    such = "such as" if fits or trial is None else "for example, as a guess,"
    raise NoShapeError(
        f"{first.told}: give sizes, {such} " + " ".join(f"--input {quote(part)}" for part in parts)
    )


def _numbers(
    inputs: Sequence[Stated], found: Mapping[str, Gift], trial: "Trial | None"
) -> dict[str, Gift]:
    """Return the single numbers that decide what runs and are not given."""
    numbers = {}
    for one in inputs:
        if trial and one.name not in found and one.axes == () and one.dtype in ("int64", "int32"):
            number = trial.number_for(one.name)
            if number is not None:
                numbers[one.name] = Gift(one.name, (), one.dtype, number)
    return numbers


def _example(graph: GraphProto, lacking: Sequence[Stated], sizes: Sizes, choice: int) -> _Example:
    """Return sizes that the axes of inputs might have that are open."""
    chosen: dict[str, int] = {}
    told: list[str] = []
    empty: list[str] = []
    shown: dict[str, Shape] = {}
    shapes = dict(sizes.shapes)
    for one in lacking:
        shape = shapes[one.name]
        if shape is None:
            told.append(f"the shape of '{one.name}'")
            shapes[one.name] = shown[one.name] = (sizes.batch, LENGTHS[choice])
            continue
        axes = [chosen.get(axis, axis) if isinstance(axis, str) else axis for axis in shape]
        new = [axis for axis in enumerate(axes) if not isinstance(axis[1], int)]
        found = tuple(example_sizes(graph, one.name, axes, choice, sizes.batch))
        shapes[one.name] = found
        if new:
            named = [
                f"'{axis}'" if axis else f"axis {at}" for at, axis in new if at not in one.empty
            ]
            told += [f"{', '.join(named)} of '{one.name}'"] if named else []
            empty += [f"axis {at} of '{one.name}' is 0 in the file" for at in one.empty]
            chosen |= {axis: found[at] for at, axis in new if isinstance(axis, str)}
            shown[one.name] = found
    parts = [f"the file leaves open {'; '.join(told)}"] if told else []
    return _Example("; ".join([*parts, *empty]), shown, shapes)
