"""What shapes the convolution of `dscost layer`, as people type it."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Annotated, Any, NamedTuple

import typer

from dscost.errors import InputError, MissingInputError
from dscost.notation.units import parse_ints

Extent = int | tuple[int, ...]

EXAMPLE = "256 256 3"
_NUMBERS = {
    "in_channels": ("input channels", "--cin"),
    "out_channels": ("output channels", "--cout"),
    "kernel_size": ("kernel size", "--kernel"),
}
"""What may be given without an option, in its order: what it is, and its option."""


class Geometry(NamedTuple):
    """A convolution and its input, as the command line says."""

    numbers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CIN COUT KERNEL]",
            help="Input channels M, output channels N and kernel size, such as 256 256 3 or "
            "48 96 5x3 (3x3x3 is a volume); or by the options --cin, --cout and -k.",
        ),
    ] = None
    in_channels: Annotated[
        int | None, typer.Option("--cin", "--in-channels", help="Input channels M.")
    ] = None
    out_channels: Annotated[
        int | None, typer.Option("--cout", "--out-channels", help="Output channels N.")
    ] = None
    kernel: Annotated[
        str | None,
        typer.Option(
            *("-k", "--kernel", "--kernel-size"),
            help="Kernel size, 3, 5x3 (height x width) or 3x3x3 (depth x height x width).",
        ),
    ] = None
    dims: Annotated[
        int | None,
        typer.Option(
            metavar="1|2|3", help="Spatial dimensions  [default: as there are sizes, else 2]"
        ),
    ] = None
    stride: Annotated[str | None, typer.Option(help="Step, 2 or 2x1  [default: 1]")] = None
    padding: Annotated[
        str | None, typer.Option(help="1, 2x1 or same  [default: keeps the size at stride 1]")
    ] = None
    dilation: Annotated[
        str | None, typer.Option(help="Distance between taps, 2 or 2x1  [default: 1]")
    ] = None
    groups: Annotated[int | None, typer.Option(help="Groups of channels  [default: 1]")] = None
    size: Annotated[
        str | None, typer.Option(help="Input size, 56, 31x40 or 16x31x40  [default: 14]")
    ] = None
    bias: Annotated[
        bool | None,
        typer.Option("--bias/--no-bias", help="A bias per output channel  [default: no-bias]"),
    ] = None
    transposed: Annotated[
        bool,
        typer.Option("--transposed", help="A transposed one, which makes maps larger."),
    ] = False
    output_padding: Annotated[
        str | None,
        typer.Option(
            help="Added to one side of a transposed one's output  "
            "[default: 0; what the default padding takes]"
        ),
    ] = None

    def arguments(self) -> Mapping[str, Any]:
        """Return it as `dscost.layer` takes it.

        Raises:
            InputError: A number is missing, is given twice, or is none.
        """
        return {
            **self._numbers(),
            "stride": parse_extent(self.stride, "--stride"),
            "padding": parse_padding(self.padding),
            "dilation": parse_extent(self.dilation, "--dilation"),
            "groups": self.groups,
            "bias": self.bias,
            "dims": self.dims,
            "transposed": self.transposed,
            "output_padding": self._output_padding(),
            "input_size": parse_extent(self.size, "--size"),
        }

    def _output_padding(self) -> Extent | None:
        if self.output_padding is not None and not self.transposed:
            raise InputError("--output-padding is for --transposed: no other convolution has one")
        return parse_extent(self.output_padding, "--output-padding")

    def _numbers(self) -> Mapping[str, Extent]:
        """Return channels and kernel size, each given by its place or by its option."""
        given = self.numbers or []
        if len(given) > len(_NUMBERS):
            raise InputError(f"{_EXPECTED}, found {len(given)}: {_shown(given)}{_sizes(given)}")
        by_option = (self.in_channels, self.out_channels, self.kernel)
        found: dict[str, Extent] = {}
        missing = []
        for (name, (what, option)), text, value in zip_longest(_NUMBERS.items(), given, by_option):
            if text is not None and value is not None:
                raise InputError(
                    f"{what}: given twice, {text} by its place and {value} by {option}"
                )
            where, one = (option, value) if text is None else (what, text)
            if one is None:
                missing.append(f"{what} ({option})")
            elif name == "kernel_size":
                found[name] = parse_extent(str(one), where) or 0
            else:
                found[name] = one if isinstance(one, int) else _channels(one, where)
        if missing:
            raise MissingInputError(f"{_EXPECTED}; missing: {', '.join(missing)}")
        return found


NOTHING = Geometry()

_EXPECTED = f"expected input channels, output channels and kernel size such as {EXAMPLE}"


def _shown(texts: Sequence[str]) -> str:
    return " ".join(texts)


def _sizes(given: Sequence[str]) -> str:
    """Return how a kernel of several sizes is written, where it may have been meant."""
    channels, kernel = given[:2], given[2:]
    is_kernel = len(kernel) in (2, 3) and all(text.isdecimal() for text in kernel)
    return f" (did you mean {_shown([*channels, 'x'.join(kernel)])}?)" if is_kernel else ""


def _channels(text: str, what: str) -> int:
    (number,) = parse_ints(text, what, ",", (1,), example="256")
    return number


def parse_extent(text: str | None, what: str) -> Extent | None:
    """Return a number, or one for each dimension as in `5x3` or `3x3x3`."""
    if text is None:
        return None
    numbers = parse_ints(text, what, "x", (1, 2, 3), example="3, 5x3 or 3x3x3")
    return numbers[0] if len(numbers) == 1 else numbers


def parse_padding(text: str | None) -> Extent | str | None:
    """Return a number, one for each dimension, or `same`."""
    if text in ("same", "valid"):
        return "same" if text == "same" else 0
    try:
        return parse_extent(text, "--padding")
    except InputError as error:
        raise InputError(
            f"--padding: expected something like 1, 2x1 or same, found '{text}'"
        ) from error
