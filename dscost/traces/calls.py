"""What counters of other kinds see of a forward pass: operators, modules called, functions called.

Some counters look at operators, some hang hooks on modules, some replace functions of torch by
their own. What each of them would have seen is kept here as plain data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from dscost.layers.convolution import Shape

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Call(NamedTuple):
    """One thing that ran, as a counter sees it.

    Args:
        kind: What was called.
        name: Of an operator as torch has it, such as `aten::conv2d`; of a module its class: that
            of `torch.nn` alone, such as `Conv2d`, any other with its module; of a function where
            it is found, such as `torch.nn.functional.relu`.
        path: The module that was called, or that called it.
        inputs: Shapes of the tensors that it was given, in order.
        output: Shape of its first result.
        macs: Multiply-accumulates of what ran within.
        events: The first of the events that ran within, and the one after the last.
        parameters: Shapes of the parameters that a module itself owns, by name.
        attributes: Of a module its settings, by name; of an operator or a function the arguments
            that are no tensors, by name or by place.
        is_leaf: Whether a module has no children.
        inside: Names of the modules that hold it, outermost first.
        places: In how many places of the tree of modules it stands.
        is_needed: Whether anything of it leads to what the model returns, where that is known.
    """

    kind: Literal["operators", "modules", "functions"]
    name: str
    path: str
    inputs: tuple[Shape, ...]
    output: Shape
    macs: int = 0
    events: tuple[int, int] = (0, 0)
    parameters: Mapping[str, Shape] = _NOTHING
    attributes: Mapping[str, Any] = _NOTHING
    is_leaf: bool = True
    inside: tuple[str, ...] = ()
    places: int = 1
    is_needed: bool = True

    @property
    def input(self) -> Shape:
        """Of the first tensor; of no dimensions where there is none."""
        return self.inputs[0] if self.inputs else ()


Alike = tuple[Call, Sequence[str]]
"""The first of calls that differ in nothing but what they are due to, and the path of each."""


class Repeating(Sequence[Call]):
    """Calls of which many are alike; each of them is made only where it is asked for.

    Args:
        alike: Makes those that differ.
        each: Makes all of them, in order.
    """

    def __init__(
        self, alike: Callable[[], Iterator[Alike]], each: Callable[[], Iterator[Call]]
    ) -> None:
        self._make_alike, self._make_each = alike, each

    @cached_property
    def alike(self) -> Sequence[Alike]:
        """Those that differ, in the order of the first of each."""
        return list(self._make_alike())

    @cached_property
    def _each(self) -> Sequence[Call]:
        return list(self._make_each())

    def __len__(self) -> int:
        return len(self._each)

    def __getitem__(self, at: Any) -> Any:
        return self._each[at]

    def __iter__(self) -> Iterator[Call]:
        return iter(self._each)
