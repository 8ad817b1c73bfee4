"""A model timed under several settings: one of them has the layers, the advice and the command."""

from pathlib import Path

import pytest
from test_advice import NET, speedup_of, timed, timing

import dscost
from dscost.analysis.advising import advice_of
from dscost.cli.getting import Own, command_for
from dscost.cli.measuring import Measuring
from dscost.cli.options import Asking
from dscost.cli.output_options import DEFAULTS
from dscost.pages.layer_table import layer_rows
from dscost.rendering import View, render
from dscost.reports.one_setting import setting_of_layers, under_setting
from dscost.reports.records import Report

ORT = "cpu:onnxruntime"


@pytest.fixture
def mixed(tmp_path: Path) -> Report:
    """Return a report whose first layer was timed under torch alone, the next under both."""
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    counted = dscost.analyze(str(path), time=False)
    faster, slower = speedup_of(2.0), speedup_of(0.5)
    report = timed(counted, {"body1": faster, "body2": faster}, timing(5e-3, faster))
    layers = []
    for layer in report.layers:
        if layer.name == "body2":
            both = {ORT: timing(3e-3, slower), **layer.latency}
            layer = layer._replace(latency=both, verdict="slower")
        layers.append(layer)
    latency = {ORT: timing(4e-3, slower), **report.latency}
    return report._replace(layers=tuple(layers), latency=latency)


def test_the_layer_table_has_one_engine_which_is_named(mixed: Report) -> None:
    assert setting_of_layers(mixed) == ORT
    rows = {row.cells["layer"]: row.cells for row in layer_rows(under_setting(mixed, ORT), View())}
    assert rows["body2"]["standard_latency"] == "3.00 ms"
    assert "standard_latency" not in rows["body1"]

    page = render([mixed], "table", View())
    assert "Layers are timed under ONNX Runtime." in page
    assert "1.00 ms → " not in page.replace("1 ms", "1.00 ms"), "body1 under torch"


def test_layers_of_another_engine_than_the_whole_are_told_apart(mixed: Report) -> None:
    layers = [
        layer._replace(latency={"cpu": layer.latency["cpu"]}, verdict="faster")
        if layer.latency
        else layer
        for layer in mixed.layers
    ]
    page = render([mixed._replace(layers=tuple(layers))], "table", View())
    assert "Layers are timed under torch; the whole model under ONNX Runtime." in page


def test_verdicts_are_those_of_the_setting(mixed: Report) -> None:
    verdicts = {
        key: {layer.name: layer.verdict for layer in under_setting(mixed, key).layers}
        for key in (ORT, "cpu")
    }
    assert (verdicts[ORT]["body1"], verdicts[ORT]["body2"]) == (None, "slower")
    assert (verdicts["cpu"]["body1"], verdicts["cpu"]["body2"]) == ("faster", "faster")


def test_advice_is_of_one_engine_and_names_it(mixed: Report) -> None:
    advice = advice_of(mixed)
    assert advice is not None
    assert advice.setting == ORT, "the first that was asked for, not that of the first layer"
    assert advice.swaps == ()
    assert {one.name: one.why for one in advice.kept}["body1"] == "not_timed"

    only_torch = [
        layer._replace(latency={"cpu": layer.latency["cpu"]}, verdict="faster")
        if layer.latency
        else layer
        for layer in mixed.layers
    ]
    report = mixed._replace(layers=tuple(only_torch))
    advice = advice_of(report)
    assert advice is not None
    assert (advice.setting, advice.swaps) == ("cpu", ("body1", "body2"))
    report = report._replace(advice=advice)
    assert "on this CPU (torch)" in render([report], "table", View())
    measuring = Measuring(runtime="onnxruntime,torch")
    out = DEFAULTS.output("model", View())
    command = command_for(report, "net.yaml", Asking(), measuring, Own(None, False, None), out)
    assert command == "dscost convert net.yaml --fastest --save cheaper.pt"
