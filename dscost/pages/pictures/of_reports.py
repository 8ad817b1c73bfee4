"""The pictures of a report, the most telling first: of what was timed, promise against clock."""

from collections.abc import Sequence

from dscost.pages.pictures.of_layers import layers_picture, times_picture
from dscost.pages.pictures.of_sums import cumulative_picture
from dscost.pages.pictures.of_variants import costs_picture
from dscost.pages.pictures.picture import NotDrawn, Picture
from dscost.pages.pictures.promises_of_reports import promise_of_report
from dscost.pages.pictures.rooflines_of_reports import roofline_of_report
from dscost.reports.records import Report


def pictures_of_report(report: Report) -> Sequence[Picture | NotDrawn]:
    """Return what can be drawn of a layer or a model, and what cannot with why."""
    if report.source == "layer":
        return [costs_picture(report), promise_of_report(report), roofline_of_report(report)]
    of_macs, of_times = layers_picture(report), times_picture(report)
    others = [roofline_of_report(report), cumulative_picture(report)]
    promise = promise_of_report(report)
    if report.latency or any(layer.latency for layer in report.layers):
        return [promise, of_times, of_macs, *others]
    return [of_macs, of_times, promise, *others]
