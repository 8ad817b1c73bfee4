"""How pages call what a sweep is made of: axes, variants, cells, places."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import counted
from dscost.pages.page import View
from dscost.pages.runs import title_of
from dscost.sweeping.grids import AXES
from dscost.sweeping.records import Row, Where
from dscost.sweeping.tables import text_of

HEADERS = {
    "in_channels": "Cin",
    "out_channels": "Cout",
    "kernel_size": "k",
    "input_size": "size",
}
"""What stands above the column of an axis, where that is not its name."""

_TITLES = {"as_is": "as it is", STANDARD: "standard", SEPARABLE: "separable"}


def room_of(view: View) -> int | None:
    """Return how many characters a line has where lines are cut; `None` where all is shown."""
    return None if view.wide or view.posted else view.width


def header_of(axis: str) -> str:
    """Return what stands above the column of an axis.

    >>> header_of("in_channels"), header_of("stride"), header_of("width")
    ('Cin', 'stride', 'width')
    """
    return HEADERS.get(axis, axis.replace("_", " "))


_NARROW = {"stride": "s", "dilation": "d", "groups": "g", "padding": "p", "batch": "B"}


def narrow_header(text: str) -> str:
    """Return what stands above the column of an axis where there is little room.

    >>> narrow_header("stride"), narrow_header("16")
    ('s', '16')
    """
    return _NARROW.get(text, text)


def said_value(axis: str, value: Any) -> str:
    """Return the value of an axis in a sentence.

    >>> said_value("in_channels", 16), said_value("kernel_size", (5, 3)), said_value("bias", True)
    ('Cin 16', 'k 5×3', 'bias')
    >>> said_value("padding", None), said_value("bias", False)
    ('default padding', 'no bias')
    """
    if isinstance(value, bool):
        return f"{'' if value else 'no '}{header_of(axis)}"
    if value is None:
        return f"default {header_of(axis)}"
    if axis in ("dtype", "layer"):
        return str(value)
    return f"{header_of(axis)} {text_of(value)}"


def value_text(value: Any) -> str:
    """Return the value of an axis beside a row or above a column.

    >>> value_text(16), value_text(None)
    ('16', 'default')
    """
    return "default" if value is None else text_of(value)


def said_values(of: Mapping[str, Any], only: Iterable[str] | None = None) -> str:
    """Return what something is of, channels as an arrow.

    Args:
        of: By the name of the axis.
        only: The axes that are told, all by default.

    >>> said_values({"in_channels": 3, "out_channels": 32, "kernel_size": 3, "stride": 2})
    '3→32, k 3, stride 2'
    """
    told = {name: of[name] for name in (of if only is None else only) if name in of}
    parts = []
    if {"in_channels", "out_channels"} <= told.keys():
        parts.append(f"{told.pop('in_channels')}→{told.pop('out_channels')}")
    return ", ".join([*parts, *(said_value(name, value) for name, value in told.items())])


def cell_words(row: Row, varying: Sequence[str]) -> str:
    """Return which layer a row is of: its channels and what else is not equal everywhere."""
    always = [name for name in ("in_channels", "out_channels") if name in row.of]
    others = [name for name in ordered(varying) if name not in always]
    return said_values(row.of, [*always, *others])


def noun_of(rows: Sequence[Row]) -> str:
    """Return what the rows are of: layers, or models with their settings."""
    return "model" if rows and "model" in rows[0].of else "layer"


def many(number: int, noun: str) -> str:
    """Return a number of things, `1 layer` or `2,000 layers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def base_of(rows: Sequence[Row]) -> str:
    """Return what variants are compared with: the first of each case."""
    first = next((row.variant for row in rows if row.reduction is None and any(row.cost)), STANDARD)
    return "the model" if first == "as_is" else variant_title(first)


def ordered(axes: Iterable[str]) -> list[str]:
    """Return axes in the order of the columns, those that are none of them first."""
    places = {name: at for at, name in enumerate((*AXES, "dtype"))}
    return sorted(axes, key=lambda name: places.get(name, -1))


def variant_title(label: str) -> str:
    """Return how a page calls a variant.

    >>> variant_title("depthwise_separable"), variant_title("inverted_residual:6")
    ('separable', 'inverted-residual:6')
    """
    return _TITLES.get(label, label.replace("_", "-"))


def place_words(where: Where, *, with_version: bool = False) -> str:
    """Return where something was timed, and by what.

    >>> there = Where("Xeon", 2, "onnxruntime", clock="cpu", versions={"onnxruntime": "1.23"})
    >>> place_words(there), place_words(there._replace(clock="wall"), with_version=True)
    ('Xeon, ONNX Runtime, 2 threads, processor time', 'Xeon, ONNX Runtime 1.23, 2 threads')
    """
    version = where.versions.get(where.runtime, "") if with_version else ""
    how = [f"{title_of(where.runtime)} {version}".rstrip(), counted(where.threads, "thread")]
    how += [] if where.dtype == "float32" else [where.dtype]
    how += ["processor time"] if where.clock == "cpu" else []
    how += ["with BatchNorm and ReLU"] if where.with_norm else []
    return ", ".join([where.device, *how])
