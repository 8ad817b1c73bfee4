"""Rows of a table as columns of numpy."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dscost.sweeping.columns import Array
from dscost.sweeping.records import Impossible

Told = int | str | bool | None
"""A value of an axis as tables have it: pairs as `5x3`, what is unknown as `None`."""


class Labels(NamedTuple):
    """A column of few different values.

    Args:
        which: Which of them each row has.
        values: All that the column may have.
        kind: What they are in a format whose columns have one type: `int`, `bool` or `str`.
    """

    which: Array
    values: tuple[Told, ...]
    kind: type


class Table(NamedTuple):
    """Rows of a sweep, as columns in the order of a table.

    Args:
        columns: By name; arrays of int64, of ints of Python where those do not hold them, or of
            float64, where what is unknown is no number.
        number: How many rows there are.
        impossible: Layers that would be among them and cannot exist.
        lacking: Variants that would be among them and that a layer does not have, by label.
    """

    columns: Mapping[str, Labels | Array]
    number: int
    impossible: Impossible | None = None
    lacking: Mapping[str, Impossible] = {}


def kind_of(values: Iterable[Any]) -> type:
    """Return what all values are but those that are unknown; text if they differ.

    >>> kind_of([3, None]), kind_of([3, "5x3"]), kind_of([True, False])
    (<class 'int'>, <class 'str'>, <class 'bool'>)
    """
    kinds = {type(one) for one in values if one is not None}
    return kinds.pop() if len(kinds) == 1 else str
