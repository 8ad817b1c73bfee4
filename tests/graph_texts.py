"""Networks written as ONNX's text, counted."""

from pathlib import Path
from typing import Any

import onnx
import onnx.parser

import dscost
from dscost.reports.records import Report

HEAD = '<ir_version: 10, opset_import: ["" : 17, "my" : 1]>'
SQUARE = "float[2,2] w = {1, 2, 3, 4}"
"""A matrix that a product with costs four MACs for each row."""


def counted(folder: Path, graph: str, *, head: str = HEAD, **options: Any) -> Report:
    """Return the report of a graph in ONNX's text, behind which functions may stand."""
    model = onnx.parser.parse_model(f"{head}\nnet {graph}")
    onnx.save(model, folder / "net.onnx")
    return dscost.analyze(folder / "net.onnx", **options)


def macs(report: Report) -> int:
    return report.totals.as_is.macs or 0
