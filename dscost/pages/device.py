"""What a device can do: ceilings, what they mean for two known layers, the roofline drawn."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.devices.roofline import Ceilings, bound_of
from dscost.notation.units import counted, format_bytes, format_seconds
from dscost.pages import Said
from dscost.pages.page import Column, Page, Row, Sheet, Toned, View, filled_sheet, words
from dscost.pages.roofline_chart import format_speed, landmarks, roofline_chart
from dscost.reports.figures import FIGURES
from dscost.reports.records import head

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

_RATE_UNITS = {
    "t0_s": "s",
    "flops_per_s": "FLOP/s",
    "activation_bytes_per_s": "byte/s",
    "weight_bytes_per_s": "byte/s",
    "least_channels": "channels",
}


class DeviceSaid(Said):
    """What is to be said of a device, and where its ceilings are kept, if they are."""

    what = "a device"
    row_columns = ("device", "dtype", "figure", "of", "value", "unit")
    _result: Ceilings

    def __init__(self, ceilings: Ceilings, kept: str | None = None) -> None:
        super().__init__(ceilings)
        self._kept = kept

    def pages(self, view: View) -> list[Page]:
        """Return one page, with the roofline drawn."""
        ceilings = self._result
        threads = "" if ceilings.threads is None else f", {counted(ceilings.threads, 'thread')}"
        sheets = [
            _ceilings_sheet(ceilings),
            _landmark_sheet(ceilings),
            _curve_sheet(ceilings),
            _rates_sheet(ceilings),
        ]
        return [
            Page(
                heading=f"{ceilings.name}{threads}, {ceilings.dtype}",
                sheets=[sheet for sheet in sheets if sheet.rows],
                closing=list(_closing(ceilings, self._kept)),
                drawing=partial(roofline_chart, ceilings),
                pictures=partial(_pictures_of, ceilings),
            )
        ]

    def data(self, view: View) -> dict[str, Any]:
        """Return the ceilings."""
        return {**head("device"), "ceilings": self._result.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each figure."""
        of = self._result.device, self._result.dtype
        for figure in _figures(self._result):
            yield dict(zip(self.row_columns, (*of, *figure), strict=True))


def _pictures_of(ceilings: Ceilings) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.rooflines import roofline_of_device

    return [roofline_of_device(ceilings)]


def _figures(ceilings: Ceilings) -> Iterator[tuple[str, str | int, Any, str]]:
    yield "peak", "", ceilings.flops_per_s, "FLOP/s"
    yield "bandwidth", "", ceilings.bytes_per_s, "byte/s"
    yield "ridge", "", ceilings.ridge_flops_per_byte, "FLOP/byte"
    for size, speed in ceilings.curve:
        yield "bandwidth", size, speed, "byte/s"
    for name, rate in ceilings.rates.items():
        for field, unit in _RATE_UNITS.items():
            value = getattr(rate, field)
            yield field, name, "" if value is None else value, unit


def _ceilings_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        Column("peak", "peak", 0),
        Column("bandwidth", "memory", 0),
        Column("ridge", "ridge", 0),
    ]
    cells = {
        "peak": format_speed(ceilings.flops_per_s, "FLOP/s"),
        "bandwidth": format_speed(ceilings.bytes_per_s, "B/s"),
        "ridge": f"{ceilings.ridge_flops_per_byte:.3g} FLOP/byte",
    }
    return Sheet(columns, [Row(cells, "strong")])


def _landmark_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        words("layer"),
        Column("flops_per_byte", FIGURES["flops_per_byte"].title, 2),
        Column("most", "at most", 0),
        Column("share", "of peak", 3),
        words("bound"),
        words("near", 4, "note"),
    ]
    rows = []
    for landmark in landmarks(ceilings):
        found = bound_of(landmark.cost, ceilings)
        most = landmark.cost.flops / found.roofline_s
        cells = {
            "layer": landmark.name,
            "flops_per_byte": f"{landmark.cost.flops_per_byte:.3g}",
            "most": format_speed(most, "FLOP/s"),
            "share": f"{most / ceilings.flops_per_s:.0%}",
            "bound": found.bound,
            "near": "near the ridge" if found.balanced else "",
        }
        rows.append(Row(cells))
    return filled_sheet(columns, rows)


def _curve_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        Column("size", "working set", 0),
        Column("speed", "bandwidth", 0),
        words("bar", 1, ""),
    ]
    most = max((speed for _, speed in ceilings.curve), default=1.0)
    rows = []
    for size, speed in ceilings.curve:
        bar = "━" * round(20 * speed / most)
        cells = {"size": format_bytes(size), "speed": format_speed(speed, "B/s"), "bar": bar}
        rows.append(Row(cells))
    return Sheet(columns, rows)


def _rates_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        words("operator", header="convolution"),
        words("layout"),
        Column("t0", "fitted: per call", 0),
        Column("flops", "+ FLOPs at", 1),
        Column("activations", "+ activations at", 2),
        Column("weights", "+ weights at", 3),
    ]
    rows = []
    for name, rate in ceilings.rates.items():
        operator, _, layout = name.partition(":")
        cells = {"operator": operator, "layout": layout, "t0": format_seconds(rate.t0_s)}
        for key, per_s, unit in (
            ("flops", rate.flops_per_s, "FLOP/s"),
            ("activations", rate.activation_bytes_per_s, "B/s"),
            ("weights", rate.weight_bytes_per_s, "B/s"),
        ):
            if per_s is not None:
                cells[key] = format_speed(per_s, unit)
        rows.append(Row(cells))
    return filled_sheet(columns, rows)


def _closing(ceilings: Ceilings, kept: str | None) -> Iterator[str]:
    if ceilings.source is not None:
        yield Toned(f"By its data sheet, not measured: {ceilings.source}.", "method")
        return
    versions = ", ".join(f"{name} {version}" for name, version in ceilings.versions.items())
    place = f", kept in {kept}" if kept else ""
    yield Toned(f"Measured on {ceilings.measured_on} with {versions}{place}.", "method")
    if ceilings.rates:
        off = ceilings.usual_error
        yield Toned(
            "A layer is predicted to take the time per call and then, one after the other, those "
            "of its FLOPs, its activations and its weights at these speeds"
            f"{f'; usually off by a factor of {off:.2f}' if off else ''}. "
            "They are coefficients of a fit: nothing runs at one of them alone, so that it may "
            "be above the peak or the memory.",
            "method",
        )
