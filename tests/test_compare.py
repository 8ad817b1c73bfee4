"""What differs between models: figures by hand, the way layers are matched, and what each format says of it."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from program import run
from properties import timing_with
from torch import nn

import dscost
from dscost.comparing.differences import Comparison, Difference, LayerPair, Versus
from dscost.errors import InputError, UnknownNameError
from dscost.pages.comparison_totals import change_text, percent_text
from dscost.rendering import View, render
from dscost.reports.records import Environment, Latency, Report, Untimed, document

STEM, BODY, HEAD = (
    "{conv: 3, out_channels: 4",
    "{conv: 3, out_channels: 8",
    "{conv: 1, out_channels: 2",
)
AREA = 8 * 8
"""Positions of every layer here: 8×8 inputs, kernels that keep the size."""

Network = Callable[..., str]


@pytest.fixture
def network(network_file: Callable[..., str]) -> Network:
    """Return a function that writes a network of 8×8 inputs, a layer per line."""

    def write(name: str, *layers: str) -> str:
        lines = "".join(f"  - {layer}\n" for layer in layers)
        return network_file(f"input: [3, 8, 8]\nlayers:\n{lines}", name)

    return write


@pytest.fixture
def plain_network(network: Network) -> str:
    return network(
        "a.yaml", f"{STEM}, name: stem}}", f"{BODY}, name: body}}", f"{HEAD}, name: head}}"
    )


def only(comparison: Comparison) -> Versus:
    (versus,) = comparison.versus
    return versus


def total(versus: Versus, metric: str) -> Difference:
    return next(one for one in versus.totals if one.metric == metric)


def told(pairs: Sequence[LayerPair]) -> list[tuple[str | None, str | None, str]]:
    return [
        (
            pair.reference.name if pair.reference else None,
            pair.other.name if pair.other else None,
            pair.status,
        )
        for pair in pairs
    ]


def rendered(comparison: Comparison, format_name: str = "table", **view: Any) -> str:
    return render(comparison, format_name, View(**view))


# -- the whole, by hand


def test_a_widened_layer_costs_more_and_so_does_the_one_that_reads_it(
    plain_network: str, network: Network
) -> None:
    other = network(
        "b.yaml",
        f"{STEM}, name: stem}}",
        "{conv: 3, out_channels: 16, name: body}",
        f"{HEAD}, name: head}}",
    )
    versus = only(dscost.compare([plain_network, other]))
    # 4 → 8 becomes 4 → 16, 3×3; the 1×1 head reads 16 instead of 8
    body, head = AREA * 9 * 4 * (16 - 8), AREA * 2 * (16 - 8)
    assert total(versus, "macs").change == body + head
    assert total(versus, "flops").change == 2 * (body + head)
    params = (9 * 4 + 1) * (16 - 8) + 2 * (16 - 8)  # the bias of the wider one as well
    assert total(versus, "params").change == params
    assert total(versus, "weight_bytes").change == 4 * params
    assert told(versus.layers) == [
        ("stem", "stem", "same"),
        ("body", "body", "changed"),
        ("head", "head", "changed"),
    ]
    assert versus.layers[1].difference("macs") == Difference(
        "macs", AREA * 9 * 4 * 8, AREA * 9 * 4 * 16
    )
    assert versus.layers[1].difference("macs").percent == 100.0


def test_published_networks_differ_by_their_published_figures() -> None:
    versus = only(dscost.compare(["resnet18", "resnet34"]))
    assert total(versus, "params") == Difference("params", 11_689_512, 21_797_672)
    assert (
        total(versus, "macs").change == 16 * 115_605_504
    )  # 16 more 3×3 convolutions, all of the same cost
    assert (versus.count_of("changed"), versus.count_of("only_reference")) == (0, 0)
    added = [pair.other for pair in versus.layers if pair.other and pair.status == "only_other"]
    assert sum(layer.cost.params for layer in added) == 21_797_672 - 11_689_512
    assert sum(layer.type == "Conv2d" for layer in added) == 16


DEPTHWISE = [
    (32, 112),
    (64, 56),
    (128, 56),
    (128, 28),
    (256, 28),
    (256, 14),
    *[(512, 14)] * 5,
    (512, 7),
    (1024, 7),
]
"""Channels and size of what the depthwise layers of MobileNet V1 return."""


def test_half_the_width_of_mobilenet_is_a_quarter_of_its_pointwise_layers() -> None:
    whole, half = (
        dscost.analyze("mobilenet_v1"),
        dscost.analyze("mobilenet_v1", settings={"width": 0.5}),
    )
    comparison = dscost.compare([whole, half])
    versus = only(comparison)
    stem, head = 27 * 32 * 112**2, 1024 * 1000
    depthwise = sum(9 * channels * size**2 for channels, size in DEPTHWISE)
    pointwise_macs = 568_740_352 - stem - head - depthwise
    # 569 M and 149 M in the paper: the products of two widths shrink to a quarter, all others to a half
    halved = (stem + head + depthwise) // 2 + pointwise_macs // 4
    assert total(versus, "macs") == Difference("macs", 568_740_352, halved)
    assert round(halved / 1e6) == 149
    pointwise = [
        pair
        for pair in versus.layers
        if pair.reference and pair.reference.conv and pair.reference.conv.is_pointwise
    ]
    assert len(pointwise) == 13
    assert {pair.difference("macs").percent for pair in pointwise} == {-75.0}
    assert [one.label for one in comparison.contenders] == ["mobilenet_v1", "mobilenet_v1 (2)"]
    assert "Settings of mobilenet_v1 (2) against mobilenet_v1: width 1.0 → 0.5." in comparison.notes


def test_several_are_each_held_against_the_first() -> None:
    comparison = dscost.compare(["resnet34", "resnet18", "resnet50"])
    assert [one.label for one in comparison.versus] == ["resnet18", "resnet50"]
    assert [total(one, "params").value for one in comparison.versus] == [11_689_512, 25_557_032]
    assert {total(one, "params").reference for one in comparison.versus} == {21_797_672}


def test_every_change_of_a_layer_is_in_the_change_of_the_whole() -> None:
    comparison = dscost.compare(
        ["mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "resnet50"]
    )
    for versus in comparison.versus:
        for metric in ("params", "macs", "weight_bytes", "traffic_bytes"):
            of_layers = sum(pair.difference(metric).change or 0 for pair in versus.differing)
            assert of_layers == total(versus, metric).change


def test_every_layer_of_both_is_there_once() -> None:
    a, b = dscost.analyze("mobilenet_v2"), dscost.analyze("mobilenet_v3_large")
    versus = only(dscost.compare([a, b]))
    assert [pair.reference for pair in versus.layers if pair.reference] == list(a.layers)
    assert sorted(pair.other.name for pair in versus.layers if pair.other) == sorted(
        layer.name for layer in b.layers
    )


# -- how layers are matched


@pytest.mark.parametrize(
    ("layers", "pairs"),
    [
        pytest.param(
            [f"{STEM}, name: stem}}", f"{BODY}, name: trunk}}", f"{HEAD}, name: head}}"],
            [("stem", "stem", "same"), ("body", "trunk", "same"), ("head", "head", "same")],
            id="renamed",
        ),
        pytest.param(
            [f"{STEM}, name: stem}}", f"{HEAD}, name: head}}"],
            [
                ("stem", "stem", "same"),
                ("body", None, "only_reference"),
                ("head", "head", "changed"),
            ],
            id="removed",
        ),
        pytest.param(
            [
                f"{STEM}, name: stem}}",
                f"{BODY}, name: body}}",
                "{act: relu, name: act}",
                f"{HEAD}, name: head}}",
            ],
            [
                ("stem", "stem", "same"),
                ("body", "body", "same"),
                (None, "act", "only_other"),
                ("head", "head", "same"),
            ],
            id="inserted",
        ),
        pytest.param(
            [
                "{act: relu, name: act}",
                f"{STEM}, name: stem}}",
                f"{BODY}, name: body}}",
                f"{HEAD}, name: head}}",
            ],
            [
                (None, "act", "only_other"),
                ("stem", "stem", "same"),
                ("body", "body", "same"),
                ("head", "head", "same"),
            ],
            id="inserted first",
        ),
        pytest.param(
            [
                f"{STEM}, name: stem}}",
                "{conv: 5, out_channels: 8, name: trunk}",
                f"{HEAD}, name: head}}",
            ],
            [("stem", "stem", "same"), ("body", "trunk", "changed"), ("head", "head", "same")],
            id="renamed, and another kernel",
        ),
        pytest.param(
            [
                f"{STEM}, name: stem}}",
                "{depthwise: 3, name: dw}",
                f"{BODY}, name: body}}",
                f"{HEAD}, name: head}}",
            ],
            [
                ("stem", "stem", "same"),
                (None, "dw", "only_other"),
                ("body", "body", "same"),
                ("head", "head", "same"),
            ],
            id="between the others",
        ),
        pytest.param(
            [
                "{conv: 3, out_channels: 4, stride: 2, name: stem}",
                f"{BODY}, name: trunk}}",
                f"{HEAD}, name: head}}",
            ],
            [
                ("stem", "stem", "changed"),
                ("body", "trunk", "changed"),
                ("head", "head", "changed"),
            ],
            id="renamed, and on another size",
        ),
    ],
)
def test_layers_are_matched_by_name_then_by_shape(
    plain_network: str,
    network: Network,
    layers: list[str],
    pairs: list[tuple[str | None, str | None, str]],
) -> None:
    assert told(only(dscost.compare([plain_network, network("b.yaml", *layers)])).layers) == pairs


def test_a_name_that_means_another_operation_yields_to_shape(network: Network) -> None:
    # one layer put before the others, in a network whose layers are numbered
    a = network("a.yaml", f"{STEM}, name: n0}}", "{act: relu, name: n1}", f"{HEAD}, name: n2}}")
    b = network(
        "b.yaml",
        "{act: relu, name: n0}",
        f"{STEM}, name: n1}}",
        "{act: relu, name: n2}",
        f"{HEAD}, name: n3}}",
    )
    versus = only(dscost.compare([a, b]))
    assert told(versus.layers) == [
        (None, "n0", "only_other"),
        ("n0", "n1", "same"),
        ("n1", "n2", "same"),
        ("n2", "n3", "same"),
    ]
    assert versus.renamed == 3


def test_renamed_layers_that_are_alike_belong_together_in_their_order(network: Network) -> None:
    def bodies(file: str, *names: str) -> str:
        return network(
            file,
            f"{STEM}, name: stem}}",
            f"{BODY}, name: widen}}",
            *(f"{BODY}, name: {name}}}" for name in names),
        )

    a = bodies("a.yaml", "one", "two", "three")
    versus = only(dscost.compare([a, bodies("b.yaml", "first", "second", "third")]))
    assert told(versus.layers)[2:] == [
        ("one", "first", "same"),
        ("two", "second", "same"),
        ("three", "third", "same"),
    ]
    assert (versus.renamed, versus.is_reordered) == (3, False)
    # of what is alike the last is the one that has gone
    shorter = only(dscost.compare([a, bodies("c.yaml", "first", "second")]))
    assert told(shorter.layers)[2:] == [
        ("one", "first", "same"),
        ("two", "second", "same"),
        ("three", None, "only_reference"),
    ]


def test_a_layer_that_became_something_else_is_one_line(
    plain_network: str, network: Network
) -> None:
    other = network(
        "b.yaml", f"{STEM}, name: stem}}", "{max_pool: 1, name: body}", f"{HEAD}, name: head}}"
    )
    assert ("body", "body", "changed") in told(only(dscost.compare([plain_network, other])).layers)


def test_layers_in_another_order_are_the_same_and_it_is_said(network: Network) -> None:
    acts = "{act: relu, name: first}", "{act: silu, name: second}"
    a, b = (
        network("a.yaml", f"{STEM}, name: stem}}", *acts),
        network("b.yaml", f"{STEM}, name: stem}}", *acts[::-1]),
    )
    comparison = dscost.compare([a, b])
    assert only(comparison).is_reordered
    assert only(comparison).differing == ()
    assert "Layers of one name run in another order." in rendered(comparison)


def test_models_that_are_the_same_say_so(plain_network: str) -> None:
    comparison = dscost.compare([plain_network, plain_network])
    text = rendered(comparison)
    assert all(one.change == 0 for one in only(comparison).totals)
    assert "No layer differs: a.yaml (2) and a.yaml are made of the same layers." in text
    assert "3 the same" in text


def test_a_traced_model_is_held_against_an_architecture(plain_network: str) -> None:
    module = nn.Sequential()
    module.add_module("stem", nn.Conv2d(3, 4, 3, padding=1))
    module.add_module("body", nn.Conv2d(4, 8, 3, padding=1))
    module.add_module("head", nn.Conv2d(8, 2, 1))
    versus = only(dscost.compare([plain_network, module], input=(1, 3, 8, 8)))
    assert [pair.status for pair in versus.layers] == ["same"] * 3


# -- figures


def test_arguments_are_for_the_factory_and_a_module_has_none() -> None:
    compared = dscost.compare(
        nn.Linear(4, 6),
        "torch.nn:Linear",
        input=(1, 4),
        kwargs={"in_features": 4, "out_features": 5},
    )
    assert total(only(compared), "macs").change == 4 * 5 - 4 * 6


@pytest.mark.parametrize(
    ("one", "change", "percent"),
    [
        (Difference("macs", 300, 303), "+3", "+1.0 %"),
        (Difference("macs", 1_814_073_344, 1_814_073_345), "+1", "+<0.1 %"),
        (Difference("params", 0, 5), "+5", "new"),
        (Difference("params", 0, 0), "0", "0 %"),
        (Difference("params", 5, 0), "−5", "−100.0 %"),
        (Difference("weight_bytes", 4096, 1024), "−3.000 KiB", "−75.0 %"),
        (Difference("peak_activation_bytes", None, 5), "–", "–"),
        (Difference("peak_activation_bytes", 5, None), "–", "–"),
        (Difference("latency_s", 0.002, 0.001), "−1.00 ms", "−50.0 %"),
    ],
)
def test_differences_are_signed_and_never_rounded_to_nothing(
    one: Difference, change: str, percent: str
) -> None:
    assert (change_text(one), percent_text(one)) == (change, percent)


def test_json_is_exact(plain_network: str, network: Network) -> None:
    other = network("b.yaml", f"{STEM}, name: stem}}", f"{HEAD}, name: head}}")
    whole = json.loads(rendered(dscost.compare([plain_network, other]), "json"))
    assert (whole["schema_version"], whole["command"], whole["reference"]) == (
        1,
        "compare",
        "a.yaml",
    )
    (found,) = whole["differences"]
    macs = AREA * (9 * 3 * 4 + 9 * 4 * 8 + 8 * 2), AREA * (9 * 3 * 4 + 4 * 2)
    assert found["totals"]["macs"] == {
        "reference": macs[0],
        "value": macs[1],
        "change": macs[1] - macs[0],
        "percent": 100 * (macs[1] - macs[0]) / macs[0],
    }
    assert found["layer_counts"] == {
        "same": 1,
        "changed": 1,
        "only_reference": 1,
        "only_other": 0,
        "folded": 0,
        "renamed": 0,
    }
    body, head = found["layers"]
    assert (body["name"], body["reference_name"], body["status"]) == (
        None,
        "body",
        "only_reference",
    )
    assert body["macs"]["change"] == -AREA * 9 * 4 * 8
    assert head["macs"] == {
        "reference": AREA * 16,
        "value": AREA * 8,
        "change": -AREA * 8,
        "percent": -50.0,
    }


def test_unknown_stays_unknown_in_every_format() -> None:
    layer = dscost.layer(
        in_channels=3, out_channels=4, kernel_size=3
    )  # nobody knows the peak of one layer
    comparison = dscost.compare(["resnet18", layer])
    (found,) = json.loads(rendered(comparison, "json"))["differences"]
    assert found["totals"]["peak_activation_bytes"]["value"] is None
    assert found["totals"]["peak_activation_bytes"]["change"] is None
    _, row = csv.DictReader(io.StringIO(rendered(comparison, "csv")))
    assert row["peak_activation_bytes_reference"] == "7024640"
    assert (row["peak_activation_bytes"], row["peak_activation_bytes_change"]) == ("", "")
    related = dscost.compare([layer, layer._replace(target="again")])
    assert "| peak activations | – | – | – | – |" in rendered(related, "markdown")


def test_csv_has_a_row_for_each_model_or_for_each_layer_that_differs(
    plain_network: str, network: Network
) -> None:
    other = network("b.yaml", f"{STEM}, name: stem}}", f"{HEAD}, name: head}}")

    def rows(**options: Any) -> list[dict[str, str]]:
        found = rendered(dscost.compare([plain_network, other], **options), "csv")
        return list(csv.DictReader(io.StringIO(found)))

    reference, total = rows()
    assert (reference["reference"], reference["model"], reference["what"]) == (
        "",
        "a.yaml",
        "reference",
    )
    assert (total["reference"], total["model"], total["what"]) == ("a.yaml", "b.yaml", "total")
    assert reference["macs"] == total["macs_reference"]
    layers = rows(layers=True)
    assert [(row["what"], row["reference_layer"], row["layer"]) for row in layers] == [
        ("only_reference", "body", ""),
        ("changed", "head", "head"),
    ]
    for metric in ("macs", "params", "traffic_bytes"):
        of_layers = sum(int(row[f"{metric}_change"]) for row in layers)
        assert int(total[f"{metric}_change"]) == of_layers


# -- what was measured in other runs


def timed(median_s: float, *, setting: str = "cpu", threads: int = 1) -> Report:
    latency = Latency(median_s, None, 0.0, median_s, median_s, median_s, 5)
    where = Environment("a processor", threads, "float32", "contiguous", "tuned", "2.9", None, None)
    return dscost.analyze("resnet18")._replace(
        latency={setting: timing_with(as_is=latency)}, environment=where
    )


def test_latencies_of_separate_runs_are_shown_and_no_speedup_is_called() -> None:
    comparison = dscost.compare([timed(0.02), timed(0.01)])
    assert only(comparison).latencies == (Difference("latency_s", 0.02, 0.01, "cpu"),)
    text = rendered(comparison)
    row = next(line.split() for line in text.splitlines() if line.startswith("latency"))
    assert " ".join(row) == "latency cpu, separate runs 20.0 ms 10.0 ms −10.0 ms −50.0 %"
    assert (
        "Latencies are of separate runs, not measured side by side: no speedup follows from them."
        in text
    )
    assert "faster" not in text
    (found,) = json.loads(rendered(comparison, "json"))["differences"]
    assert found["latency_s"]["cpu"]["side_by_side"] is False


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            timed(0.01, threads=2),
            "measured on a processor with 2 threads, resnet18 on a processor with 1 thread.",
        ),
        (
            timed(0.01, setting="cpu:channels_last"),
            "resnet18 (2) was measured under cpu:channels_last, resnet18 under cpu.",
        ),
        (
            timed(0.01)._replace(latency={}),
            "resnet18 (2) has no latency of the whole model.",
        ),
        (
            timed(0.01)._replace(
                latency={},
                warnings=(
                    "The whole model was not timed: that takes at least 2.59 s, "
                    "and of 10.0 s (--time-budget) 1.50 s were left.",
                ),
            ),
            "resnet18 (2) has no latency of the whole model: "
            "it did not fit in its time (a longer --time-budget).",
        ),
    ],
)
def test_latencies_of_other_places_are_not_shown(other: Report, told: str) -> None:
    comparison = dscost.compare([timed(0.02), other])
    assert only(comparison).latencies == ()
    (note,) = (one for one in comparison.notes if one.startswith("Latencies are not shown: "))
    assert note.endswith(told)


def test_what_was_timed_in_variants_only_is_not_called_measured_under_other_settings() -> None:
    timing = timed(0.01).latency["cpu"]
    latencies = {name: one for name, one in timing.latencies.items() if name != "as_is"}
    other = timed(0.01)._replace(latency={"cpu": timing._replace(latencies=latencies)})
    (note,) = dscost.compare([timed(0.02), other]).notes
    assert note == (
        "Latencies are not shown: "
        "only variants were timed under the same settings, not the models as they are."
    )


def test_a_report_whose_time_was_asked_for_in_vain_is_told_from_one_that_was_only_counted() -> None:
    counted = dscost.analyze("resnet18")
    told = "The whole model was not timed within 1.00 s (--time-budget)."
    in_vain = counted._replace(warnings=(told,), untimed=(Untimed("the whole model", told),))
    assert dscost.compare([timed(0.02), counted]).notes == ()
    assert dscost.compare([timed(0.02), in_vain]).notes == (
        "Latencies are not shown: resnet18 (2) has no latency of the whole model: "
        "it did not fit in its time (a longer --time-budget).",
        f"resnet18 (2): {told}",
    )


def test_two_that_have_no_latency_of_the_whole_model_are_named_both() -> None:
    comparison = dscost.compare([timed(seconds)._replace(latency={}) for seconds in (0.01, 0.02)])
    assert comparison.notes[-1] == (
        "Latencies are not shown: resnet18 and resnet18 (2) have no latency of the whole model."
    )


# -- notes


def test_other_inputs_are_said_and_figures_shown() -> None:
    half = dscost.analyze("resnet18", dtype="float16")
    comparison = dscost.compare(["resnet18", half])
    assert comparison.notes == (
        "The inputs differ, and figures with them: resnet18 1×3×224×224 float32; resnet18 (2) 1×3×224×224 float16.",
    )
    assert total(only(comparison), "weight_bytes").percent == -50.0


def test_options_are_of_what_is_counted_now_and_saved_reports_say_so(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(document([dscost.analyze("resnet18", batch=2)], command="model")))
    comparison = dscost.compare([path, "resnet18"], batch=2)
    assert comparison.notes == (
        "before.json is a saved report, counted already: batch had no effect on it.",
    )
    assert all(one.change == 0 for one in only(comparison).totals)
    assert [one.saved for one in comparison.contenders] == [True, False]


def test_warnings_of_a_model_are_passed_on() -> None:
    partial = dscost.analyze("resnet18")._replace(warnings=("The total is partial.",))
    assert dscost.compare(["resnet34", partial]).notes[-1] == "resnet18: The total is partial."


def test_files_are_called_by_their_names_and_by_their_paths_where_names_agree(
    tmp_path: Path,
) -> None:
    text = json.dumps(document([dscost.analyze("resnet18")], command="model"))
    paths = [
        tmp_path / folder / name
        for folder, name in (("a", "x.json"), ("a", "y.json"), ("b", "x.json"))
    ]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert [one.label for one in dscost.compare(paths[:2]).contenders] == ["x.json", "y.json"]
    assert [one.label for one in dscost.compare([paths[0], paths[2]]).contenders] == [
        str(paths[0]),
        str(paths[2]),
    ]


# -- the table of layers


def layer_lines(text: str) -> list[str]:
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("layer "))
    return lines[start + 2 : lines.index("", start)]


def names(text: str) -> list[str]:
    return [line.split("  ")[0] for line in layer_lines(text)]


def test_the_layer_that_changed_most_stands_first_and_the_rest_is_counted() -> None:
    comparison = dscost.compare(["resnet18", "resnet50"])
    largest = sorted(
        only(comparison).differing, key=lambda pair: -abs(pair.difference("macs").change or 0)
    )[:2]
    text = rendered(comparison, top=2)
    assert names(text) == [
        *(pair.layer.name for pair in largest),
        "(46 more)",
        "(100 layers without MACs)",
    ]
    assert "42 changed, 106 only in resnet50, 27 the same" in text


@pytest.mark.parametrize(
    ("sort", "first"),
    [("macs", "wide"), ("params", "wide"), ("layer", "deep"), ("order", "wide"), (None, "wide")],
)
def test_layers_are_sorted_by_what_is_asked(network: Network, sort: str | None, first: str) -> None:
    a = network(
        "a.yaml",
        f"{STEM}, name: stem}}",
        "{conv: 1, out_channels: 4, name: wide}",
        f"{STEM}, name: deep}}",
    )
    b = network(
        "b.yaml",
        f"{STEM}, name: stem}}",
        "{conv: 7, out_channels: 4, name: wide}",
        f"{HEAD}, name: deep}}",
    )
    assert names(rendered(dscost.compare([a, b]), sort=sort))[0] == first


def test_depth_adds_up_whole_groups_of_which_some_layer_differs() -> None:
    text = rendered(dscost.compare(["resnet18", "resnet34"]), depth=1)
    assert sorted(names(text)) == ["layer1", "layer2", "layer3", "layer4"]
    row = next(line for line in layer_lines(text) if line.startswith("layer1"))
    # three blocks instead of two, of two convolutions each
    assert "7 of 21 layers" in row
    assert "462.4M → 693.6M" in row


def test_all_shows_every_layer(plain_network: str, network: Network) -> None:
    other = network(
        "b.yaml",
        f"{STEM}, name: stem}}",
        "{act: relu, name: act}",
        f"{BODY}, name: body}}",
        f"{HEAD}, name: head}}",
    )
    assert names(rendered(dscost.compare([plain_network, other]))) == ["act"]
    every = dscost.compare([plain_network, other], every_layer=True)
    assert sorted(names(rendered(every))) == ["act", "body", "head", "stem"]
    assert len(json.loads(rendered(every, "json"))["differences"][0]["layers"]) == 4


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_a_terminal_table_fits(width: int) -> None:
    comparison = dscost.compare(["resnet18", "resnet34", "mobilenet_v3_large"])
    text = rendered(comparison, width=width, top=5)
    assert max(map(len, text.splitlines())) <= width
    assert "11.69M" in text
    assert "21.80M" in text
    assert "+115.6M" in text


def test_columns_can_be_chosen() -> None:
    text = rendered(dscost.compare(["resnet18", "resnet34"]), columns=("macs_change",), top=1)
    assert layer_lines(text)[0].split() == ["layer1.2.conv1", "+115.6M"]
    for format_name in ("table", "csv", "markdown"):
        with pytest.raises(UnknownNameError, match="unknown column 'mcas'"):
            rendered(dscost.compare(["resnet18", "resnet34"]), format_name, columns=("mcas",))


def test_an_unknown_sort_key_is_refused_even_where_nothing_differs() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown sort key 'mcas' \(did you mean 'macs'\?\)"
    ):
        rendered(dscost.compare(["resnet18", "resnet18"]), sort="mcas")


# -- Markdown


GOLDEN = """\
### b.yaml against a.yaml

|  | a.yaml | b.yaml | ± | ± % |
| :-- | --: | --: | --: | --: |
| params | 426 | 122 | −304 | −71.4 % |
| MACs | 26.37k | 7,424 | −18.94k | −71.8 % |
| FLOPs | 52.74k | 14.85k | −37.89k | −71.8 % |
| weights | 1.664 KiB | 488 B | −1.188 KiB | −71.4 % |
| traffic | 8.914 KiB | 3.727 KiB | −5.188 KiB | −58.2 % |
| peak activations | 3.750 KiB | 2.250 KiB | −1.500 KiB | −40.0 % |

FLOPs = 2 × MACs. Many papers call MACs “FLOPs”.

### Layers of b.yaml against a.yaml: 1 changed, 1 only in a.yaml, 1 the same

| layer | what | kind | output | params | ± params | MACs | ± MACs | ± % |
| :-- | :-- | :-- | :-- | --: | --: | --: | --: | --: |
| `body` | only in a.yaml | conv 3×3 | 8×8×8 | 296 → 0 | −296 | 18.43k → 0 | −18.43k | −100.0 % |
| `head` | changed | pointwise 1×1 | 2×8×8 | 18 → 10 | −8 | 1,024 → 512 | −512 | −50.0 % |
"""


def test_markdown_of_a_small_case_is_fit_for_a_pull_request(
    plain_network: str, network: Network
) -> None:
    other = network("b.yaml", f"{STEM}, name: stem}}", f"{HEAD}, name: head}}")
    assert rendered(dscost.compare([plain_network, other]), "markdown") == GOLDEN


def test_markdown_folds_a_long_table_away_and_counts_what_is_beyond_twenty() -> None:
    text = rendered(dscost.compare(["resnet18", "resnet50"]), "markdown")
    before, folded = text.split("<details>\n<summary>")
    assert folded.startswith(
        "Layers of resnet50 against resnet18: 42 changed, 106 only in resnet50, 27 the same</summary>\n\n|"
    )
    assert folded.endswith("\n</details>\n")
    rows = [line for line in folded.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 22
    assert rows[20].startswith("| (28 more) |")
    assert "| MACs | 1.814G | 4.089G |" in before


def test_markup_in_names_stays_text() -> None:
    layer = dscost.layer(in_channels=3, out_channels=4, kernel_size=3)
    odd = "[a](b)|@you*<i>`#1"
    (its,) = layer.layers
    layers = tuple(its._replace(name=f"{odd}.{at}", calls=at) for at in range(1, 13))
    odd_one = layer._replace(target=odd, layers=layers)
    text = rendered(dscost.compare([layer, odd_one], layers=True), "markdown")
    text = re.sub(r"&#\d+;|\\[|*<>`]", "", text)  # what is escaped
    assert "<summary>Layers of a(b)youi1 against" in text
    assert re.findall(r"[\[\]@*`]|#\d|<(?!/?(?:details|summary)>)", text) == []
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {6, 10}


# -- bad input, and the command line


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ([], "a comparison takes two targets or more, found 0"),
        (["resnet18"], "a comparison takes two targets or more, found 1"),
        ("resnet18", "a comparison takes two targets or more, found 1"),
        (dscost.analyze("resnet18"), "a comparison takes two targets or more, found 1"),
        (["resnet18", "resnet81"], "unknown model 'resnet81' (did you mean 'resnet18'?)"),
        (["resnet18", "no.json"], "cannot read no.json: No such file or directory"),
        (["resnet18", 3], "a target is an nn.Module, or the name or path of a model, found 3"),
    ],
    ids=repr,
)
def test_what_cannot_be_compared_is_refused(targets: Any, told: str) -> None:
    with pytest.raises(InputError) as refused:
        dscost.compare(targets)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("resnet18", "a comparison takes two targets or more, found 1"),
        ("resnet18 resnet81", "unknown model 'resnet81' (did you mean 'resnet18'?)"),
        (
            "resnet18 bad.json",
            "bad.json: not a saved report: expected 'schema_version' and 'subjects'",
        ),
        (
            "resnet18 resnet34 --format sarif",
            "format 'sarif' says findings, which dscost compare has not; use table, json, csv, markdown, html, jsonl or latex",
        ),
        ("resnet18 resnet34 --sort mcas", "unknown sort key 'mcas' (did you mean 'macs'?)"),
        ("resnet18 resnet34 --columns mcas", "unknown column 'mcas' (did you mean 'macs'?)"),
        ("resnet18 resnet34 --json --sort macs", "--sort has no meaning for --format json"),
        ("resnet18 resnet34 --batch 0", "batch must be at least 1, found 0"),
        ("resnet18 resnet34 --set widht=2", "unknown setting 'widht'"),
    ],
)
def test_the_command_line_tells_it_in_one_line_and_exits_2(
    tmp_path: Path, arguments: str, told: str
) -> None:
    (tmp_path / "bad.json").write_text("{}")
    ran = run("compare", *arguments.split(), cwd=tmp_path)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert ran.stderr.startswith(f"dscost: {told}")


def test_the_command_line_prints_what_the_library_returns(
    plain_network: str, network: Network, tmp_path: Path
) -> None:
    network("b.yaml", f"{STEM}, name: stem}}", f"{HEAD}, name: head}}")
    comparison = dscost.compare([plain_network, str(tmp_path / "b.yaml")])
    for format_name in ("table", "json", "csv", "markdown"):
        ran = run("compare", "a.yaml", "b.yaml", "--format", format_name, cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, "")
        if format_name != "json":  # which has the targets as they were given
            assert ran.stdout == rendered(comparison, format_name)


def test_several_formats_are_written_at_once(plain_network: str, tmp_path: Path) -> None:
    arguments = (
        "compare",
        "a.yaml",
        "a.yaml",
        "-q",
        "-o",
        "c.md",
        "--export",
        "json=c.json",
        "--export",
        "csv=c.csv",
    )
    ran = run(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "c.md").read_text().startswith("### a.yaml (2) against a.yaml\n")
    assert json.loads((tmp_path / "c.json").read_text())["compared"][0]["label"] == "a.yaml"
    assert (tmp_path / "c.csv").read_text().startswith("reference,model,what")


def test_comparing_imports_no_torch(plain_network: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(
        json.dumps(document([dscost.analyze("resnet18")], command="model"))
    )
    code = (
        "import sys\n"
        "sys.argv = ['dscost', 'compare', 'resnet18', 'a.yaml', 'r.json']\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, {'torch', 'numpy', 'pydantic'} & set(sys.modules) or 'light', file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stderr.splitlines()[-1] == "0 light"


@pytest.mark.parametrize("width", [60, 100, None])
def test_the_layers_stand_apart_from_the_totals(width: int | None) -> None:
    text = rendered(dscost.compare(["mobilenet_v1", "mobilenet_v2"], layers=True), width=width)
    assert text.count("\n\nLayers of mobilenet_v2 against mobilenet_v1: ") == 1
    assert "\n\n\n" not in text
