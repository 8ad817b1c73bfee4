"""Windows that slide over positions, as ONNX's attributes say it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dscost.errors import SpecError
from dscost.graphs.values import Shape


class Window(NamedTuple):
    """A window over one or more spatial dimensions.

    Args:
        kernel: Taps.
        stride: Steps.
        dilation: Distances of taps.
        before: What is padded before the first position.
        behind: What is padded behind the last.
    """

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    behind: Shape

    @property
    def reach(self) -> Shape:
        """How far it reaches beyond its first tap."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))

    def positions(self, extents: Sequence[int], *, ceil: bool = False) -> Shape:
        """Return how many positions it takes; with `ceil`, one that is cut off at the end as well.

        The last begins inside of the input, or of what is padded before it.

        Raises:
            SpecError: It is larger than the padded input.
        """
        found = []
        for size, step, reach, before, behind in zip(
            extents, self.stride, self.reach, self.before, self.behind, strict=True
        ):
            room = size + before + behind - reach - 1
            if room < 0:
                raise SpecError(
                    f"a kernel that reaches over {reach + 1} does not fit "
                    f"in {size + before + behind} positions"
                )
            count = room // step + 1
            if ceil:
                count = -(-room // step) + 1
                count -= (count - 1) * step >= size + before
            found.append(count)
        return tuple(found)


def window_of(attributes: Mapping[str, Any], extents: Shape, kernel: Shape) -> Window:
    """Return the window that a node slides over extents.

    Raises:
        SpecError: There is no such window.
    """
    dims = len(kernel)
    if len(extents) != dims or not dims:
        raise SpecError(f"a kernel {kernel} does not fit {len(extents)} dimensions")
    stride, dilation = (each(attributes, name, dims) for name in ("strides", "dilations"))
    if min(*kernel, *stride, *dilation) < 1:
        raise SpecError("kernels, strides and dilations are at least 1")
    window = Window(kernel, stride, dilation, (0,) * dims, (0,) * dims)
    way = attributes.get("auto_pad") or "NOTSET"
    if way == "VALID":
        return window
    if way == "NOTSET":
        pads = pads_of(attributes, dims)
        return window._replace(before=pads[:dims], behind=pads[dims:])
    if way not in ("SAME_UPPER", "SAME_LOWER"):
        raise SpecError(f"there is no auto_pad {way}")
    total = [
        max(0, (-(-size // step) - 1) * step + reach + 1 - size)
        for size, step, reach in zip(extents, stride, window.reach, strict=True)
    ]
    less, more = tuple(one // 2 for one in total), tuple(one - one // 2 for one in total)
    before, behind = (less, more) if way == "SAME_UPPER" else (more, less)
    return window._replace(before=before, behind=behind)


def each(attributes: Mapping[str, Any], name: str, dims: int, default: int = 1) -> Shape:
    """Return an attribute of one number for each dimension.

    Raises:
        SpecError: It has not so many.
    """
    values: Shape = tuple(attributes.get(name) or (default,) * dims)
    if len(values) != dims:
        raise SpecError(f"{name} {values} are not of {dims} dimensions")
    return values


def pads_of(attributes: Mapping[str, Any], dims: int) -> Shape:
    """Return what is padded before every dimension, and then behind each.

    Raises:
        SpecError: They are of other dimensions, or below 0.
    """
    pads = each(attributes, "pads", 2 * dims, 0)
    if min(pads) < 0:
        raise SpecError(f"pads are at least 0, found {pads}")
    return pads
