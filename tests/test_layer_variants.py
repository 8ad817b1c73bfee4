"""Variants that are asked for by name: the report of the layer, its tables and files, its times, and a user's own."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import unwrap
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import dscost
from dscost.analysis.varying import parts_of
from dscost.cli import run
from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.layers.choosing import parse_variants
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.others import JoinSpec
from dscost.layers.variants import VARIANTS, Variant, register_variant
from dscost.modules.building import build_variant
from dscost.rendering import View, render
from dscost.reports.records import Latency, Report, Speedup, Timing, document
from dscost.reports.report_file import parse_reports

LAYER = {"in_channels": 16, "out_channels": 16, "kernel_size": 3}
COMMAND = ["layer", "--cin", "16", "--cout", "16", "-k", "3", "--no-time"]
STANDARD = 16 * 16 * 9


def latency(seconds: float) -> Latency:
    return Latency(
        seconds,
        (0.99 * seconds, 1.01 * seconds),
        seconds / 50,
        seconds,
        seconds,
        seconds,
        samples=40,
    )


def interval(ratio: float) -> tuple[float, float]:
    """Return what surrounds a ratio closely, or widely where it is incredible."""
    return (0.1 * ratio, ratio) if ratio > 50 else (0.99 * ratio, 1.01 * ratio)


def timed(report: Report, **speedups: float) -> Report:
    """Return a layer whose standard form takes 1 ms, and its variants as much less."""
    by_name = {name.replace("__", ":"): ratio for name, ratio in speedups.items()}
    variants = {name: latency(1e-3 / ratio) for name, ratio in by_name.items()}
    timing = Timing(
        {"as_is": latency(1e-3), "standard": latency(1e-3), **variants},
        {name: Speedup(ratio, interval(ratio)) for name, ratio in by_name.items()},
    )
    (layer,) = report.layers
    return report._replace(
        layers=(layer._replace(latency={"cpu": timing}),), latency={"cpu": timing}
    )


@pytest.fixture
def own() -> Iterator[Callable[..., Any]]:
    """`register_variant`, undone after the test."""
    before = dict(VARIANTS._entries)
    yield register_variant
    VARIANTS._entries.clear()
    VARIANTS._entries.update(before)


# -- the report


def test_the_named_variants_stand_beside_the_standard_one() -> None:
    report = dscost.layer(
        **LAYER, variants=("ghost", "grouped:8", "depthwise_separable", "standard")
    )
    (layer,) = report.layers
    assert {name: cost.params for name, cost in layer.variants.items()} == {
        "standard": STANDARD,
        "ghost": 8 * 16 * 9 + 8 * 9,
        "grouped:8": 16 * 2 * 9,
        "depthwise_separable": 16 * 9 + 16 * 16,
    }
    assert [stage.name for stage in layer.stages["ghost"]] == ["primary", "cheap", "concat"]
    assert [stage.conv is None for stage in layer.stages["ghost"]] == [False, False, True]
    assert layer.formula_ratios == {
        "ghost": pytest.approx((8 * 16 * 9 + 8 * 9) / STANDARD),
        "grouped:8": 1 / 8,
        "depthwise_separable": pytest.approx(1 / 16 + 1 / 9),
    }
    assert report.settings["variants"] == {"ghost": 2, "grouped:8": 8}
    assert layer.reduction_of("grouped:8").macs == 8
    assert layer.reduction_of("bottleneck").macs is None


def test_the_concatenation_moves_both_parts_and_nothing_else() -> None:
    (layer,) = dscost.layer(**LAYER, input_size=4, variants="ghost").layers
    concat = layer.stages["ghost"][-1]
    assert concat.cost.traffic_bytes == 2 * 16 * 4 * 4 * 4
    assert (concat.cost.macs, concat.cost.params) == (0, 0)
    assert concat.input_shape == (1, 8, 4, 4)
    assert layer.variants["ghost"].traffic_bytes == sum(
        stage.cost.traffic_bytes for stage in layer.stages["ghost"]
    )


def test_without_names_a_layer_is_compared_as_ever() -> None:
    report = dscost.layer(**LAYER)
    assert list(report.layers[0].variants) == ["standard", "depthwise_separable"]
    assert report.settings == {"depth_multiplier": 1}
    assert report.layers[0].formula_ratios == {}


def test_the_totals_are_of_the_depthwise_separable_form_whatever_is_named() -> None:
    assert dscost.layer(**LAYER, variants=["ghost"]).totals == dscost.layer(**LAYER).totals


def test_depthwise_separable_has_the_depth_multiplier_of_the_layer_or_its_own() -> None:
    report = dscost.layer(
        **LAYER, depth_multiplier=2, variants=("depthwise_separable", "depthwise_separable:3")
    )
    params = {name: cost.params for name, cost in report.layers[0].variants.items()}
    assert params["depthwise_separable"] == 2 * (16 * 9 + 16 * 16)
    assert params["depthwise_separable:3"] == 3 * (16 * 9 + 16 * 16)


def test_what_a_layer_does_not_have_is_noted_and_the_rest_shown() -> None:
    report = dscost.layer(
        in_channels=6, out_channels=6, kernel_size=4, variants=("dilated", "ghost", "shuffle")
    )
    (layer,) = report.layers
    assert list(layer.variants) == ["standard", "ghost"]
    assert layer.note == (
        "no dilated variant: d=2 does not divide K - 1 = 3 of the 4×4 kernel (another d: dilated:VALUE); "
        "no shuffle variant: 4 does not divide out_channels=6 (another g: shuffle:VALUE)"
    )


def test_what_is_lacking_for_one_reason_is_noted_once() -> None:
    report = dscost.layer(
        in_channels=16,
        out_channels=32,
        kernel_size=1,
        variants=("bottleneck", "depthwise_separable", "dilated"),
    )
    assert report.layers[0].note == (
        "no bottleneck or depthwise-separable variant: a 1×1 kernel has no spatial part to separate; "
        "no dilated variant: a 1×1 kernel sees one position only"
    )


def test_the_same_variant_is_shown_once() -> None:
    report = dscost.layer(**LAYER, variants=("ghost", "ghost:2", "ghost", "ghost:4"))
    assert list(report.layers[0].variants) == ["standard", "ghost", "ghost:4"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ghots", "unknown variant 'ghots' (did you mean 'ghost'?)"),
        ("ghost:two", "variant ghost: expected a whole number for s, found 'ghost:two'"),
        ("ghost:", "variant ghost: expected a whole number for s, found 'ghost:'"),
        ("ghost:-1", "variant ghost: expected a whole number for s, found 'ghost:-1'"),
        ("ghost:0", "variant ghost:0: s must be at least 1, found 0"),
        ("ghost:3", "variant ghost:3: s=3 does not divide out_channels=16"),
        (
            "spatially_separable:2",
            "variant spatially_separable takes no value, found 'spatially_separable:2'",
        ),
        ("depthwise_separable:0", "variant depthwise_separable:0: T must be at least 1, found 0"),
    ],
)
def test_a_wrong_name_or_value_is_one_line_and_exit_2(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        dscost.layer(**LAYER, variants=(name,))
    assert str(caught.value) == message
    assert run([*COMMAND, "--variant", name]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"dscost: {message}\n")


def test_variants_are_counted_without_torch_and_not_looked_for_unless_named() -> None:
    code = (
        "import sys\nfrom dscost.cli import run\n"
        f"run({COMMAND!r})\n"
        "lazy = {'dscost.layers.blocks', 'dscost.layers.choosing', 'dscost.layers.others', 'importlib.metadata'}\n"
        "print(lazy & set(sys.modules) or 'none', file=sys.stderr)\n"
        f"run({[*COMMAND, '--variant', 'ghost']!r})\n"
        "heavy = {'torch', 'numpy', 'importlib.metadata'}\n"
        "print(heavy & set(sys.modules) or 'none', file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines() == ["none", "none"]


# -- tables and files


def test_the_table_has_a_row_per_variant_with_its_stages_beneath() -> None:
    text = render([dscost.layer(**LAYER, variants=("ghost", "grouped:8"))], "table", View())
    first = [line.split()[0] for line in text.splitlines() if line]
    rows = first[first.index("variant") + 2 : first.index("MACs", first.index("variant"))]
    assert rows == ["standard", "ghost:2", "primary", "cheap", "concat", "grouped:8"]
    assert "grouped:8: by its formula 0.1250 → 8.00× fewer weights and MACs" in text


def test_a_formula_is_of_weights_alone_where_stages_differ_in_their_positions() -> None:
    """With a stride the first 1×1 works at the size of the input: MACs 4·16·4 + 36·4 + 64 of 2304 a position."""
    text = render(
        [dscost.layer(**LAYER, stride=2, variants=("bottleneck", "grouped"))], "table", View()
    )
    assert "bottleneck:4: by its formula 0.1181 → 8.47× fewer weights\n" in text
    assert "grouped:4: by its formula 0.2500 → 4.00× fewer weights and MACs\n" in text
    (macs,) = [
        line.split()[-1]
        for line in text.splitlines()
        if line.startswith("bottleneck:4  ") and "×" in line
    ]
    assert macs == f"{2304 / (4 * 64 + 144 + 64):.2f}×"


def test_the_standard_convolution_alone_is_a_row_and_a_hint() -> None:
    lines = render([dscost.layer(**LAYER, variants="standard")], "table", View()).splitlines()
    assert [line.split()[0] for line in lines[5:8]] == ["variant", "─" * len(lines[6]), "standard"]
    assert lines[9] == "Nothing to compare it with: see dscost list variants for others."


@pytest.mark.parametrize(
    ("speedups", "said"),
    [
        ({}, "bytes moved; which is the fastest was not measured."),
        (
            {"ghost": 1.7, "grouped__8": 1.5},
            "on the clock ghost:2 is the fastest: 1.70× faster [1.68, 1.72] than the standard",
        ),
        (
            {"ghost": 1.5, "grouped__8": 5.0},
            "on the clock it is also the fastest: 5.00× faster [4.95, 5.05] than the standard",
        ),
        (
            {"ghost": 0.9, "grouped__8": 0.8},
            "on the clock none is surely faster, ghost:2 comes first: 1.11× slower [1.10, 1.12].",
        ),
        (
            {"ghost": 1.5, "grouped__8": 90.0},  # of the latter the interval is too wide
            "on the clock ghost:2 is the fastest: 1.50× faster [1.48, 1.52] than the standard",
        ),
        (
            {"ghost": 70.0, "grouped__8": 90.0},
            "the clock cannot tell which is the fastest; a longer --time-budget may.",
        ),
    ],
)
def test_the_verdict_names_the_best_on_paper_and_on_the_clock(
    speedups: dict[str, float], said: str
) -> None:
    report = dscost.layer(**LAYER, input_size=28, variants=("ghost", "grouped:8"))
    report = timed(report, **speedups) if speedups else report
    text = render([report], "table", View())
    assert "On paper grouped:8 is the cheapest of 2: 8.00× fewer MACs" in text
    assert said in text


def test_of_one_variant_the_verdict_is_its_own() -> None:
    text = render([timed(dscost.layer(**LAYER, variants="ghost:4"), ghost__4=2.0)], "table", View())
    assert "On paper the ghost:4 layer needs 3.37× fewer MACs" in text
    assert "the clock says 2.00× faster [1.98, 2.02], 59% of what the MACs promise." in text


def test_a_variant_that_does_not_exist_is_said_below_those_that_do() -> None:
    report = dscost.layer(
        in_channels=6, out_channels=6, kernel_size=3, variants=("ghost", "grouped")
    )
    last = render([report], "table", View()).splitlines()[-2]
    assert last.startswith("On paper the ghost:2 layer needs ")
    assert last.endswith("No grouped variant: groups=4 does not divide in_channels=6; groups=4 does not divide "
                         "out_channels=6 (another g: grouped:VALUE).")  # fmt: skip


def test_csv_has_the_figures_of_every_variant() -> None:
    report = timed(
        dscost.layer(**LAYER, variants=("ghost", "grouped:8")), ghost=1.5, grouped__8=3.0
    )
    rows = {
        (row["variant"], row["stage"]): row
        for row in csv.DictReader(io.StringIO(render([report], "csv", View(stages=True))))
    }
    assert list(rows) == [
        ("as_is", ""), ("standard", ""), ("ghost", ""), ("ghost", "primary"), ("ghost", "cheap"), ("ghost", "concat"),
        ("grouped:8", ""),
    ]  # fmt: skip
    row = rows["grouped:8", ""]
    assert (row["reduction"], row["speedup_median"], row["verdict"]) == ("8.0", "3.0", "faster")
    assert float(row["latency_median_s"]) == pytest.approx(1e-3 / 3)
    assert rows["ghost", "concat"]["macs"] == "0"


def test_json_has_the_latency_under_the_name_and_the_speedup_beside() -> None:
    report = timed(
        dscost.layer(**LAYER, variants=("ghost", "grouped:8")), ghost=1.5, grouped__8=3.0
    )
    found = json.loads(render([report], "json", View()))["subjects"][0]["layers"][0]["latency"][
        "cpu"
    ]
    assert found["ghost"]["median_s"] == pytest.approx(1e-3 / 1.5)
    assert found["grouped:8"]["samples"] == 40
    assert found["depthwise_separable"] is None
    assert found["speedup"] is None
    assert {name: one["median"] for name, one in found["speedups"].items()} == {
        "ghost": 1.5,
        "grouped:8": 3.0,
    }
    assert found["speedups"]["ghost"]["verdict"] == "faster"


def written(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        json.dumps(document([report], command="layer"), allow_nan=False)
    )
    return found


def test_a_report_with_variants_is_read_back_equal() -> None:
    report = timed(
        dscost.layer(**LAYER, variants=("ghost", "grouped:8")), ghost=1.5, grouped__8=3.0
    )
    assert parse_reports(json.dumps(written(report)), "r.json") == (report,)


def test_a_report_from_before_variants_is_read() -> None:
    report = timed(dscost.layer(**LAYER))
    saved = written(report)
    for timing in (
        saved["subjects"][0]["latency"]["cpu"],
        saved["subjects"][0]["layers"][0]["latency"]["cpu"],
    ):
        del timing["speedups"]
    del saved["subjects"][0]["layers"][0]["formula_ratios"]
    assert parse_reports(json.dumps(saved), "r.json") == (report,)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda s: s["settings"].pop("variants"),
            "expected standard or depthwise_separable, found 'ghost'",
        ),
        (
            lambda s: s["settings"].update(variants=["ghost"]),
            "expected whole numbers or null by the names of variants",
        ),
        (
            lambda s: s["settings"]["variants"].update(ghost="x"),
            "expected whole numbers or null by the names of",
        ),
        (
            lambda s: s["layers"][0]["stages"].pop("ghost"),
            "missing key 'ghost', which is in 'variants'",
        ),
        (
            lambda s: s["layers"][0]["latency"]["cpu"].pop("ghost"),
            "missing key 'ghost', which is in 'speedups'",
        ),
        (lambda s: s["latency"]["cpu"].update(ghost=3), "expected an object, found 3"),
    ],
)
def test_a_broken_report_with_variants_says_where(
    spoil: Callable[[Any], Any], message: str
) -> None:
    saved = written(timed(dscost.layer(**LAYER, variants=("ghost",)), ghost=1.5))
    spoil(saved["subjects"][0])
    with pytest.raises(InputError, match="subjects") as caught:
        parse_reports(json.dumps(saved), "r.json")
    assert message in str(caught.value)


def test_the_rooflines_of_named_devices_are_of_the_variants_shown() -> None:
    report = dscost.layer(**LAYER, variants=("ghost", "shuffle"), on="pixel_6")
    (found,) = report.predictions.values()
    assert list(found) == ["as_is", "standard", "ghost", "shuffle"]
    assert found["shuffle"] == report.layers[0].predictions["pixel_6"]["shuffle"]
    table = render([report], "table", View())
    assert [line.split()[1] for line in table.splitlines() if line.startswith("pixel_6")] == [
        "standard", "ghost:2", "shuffle:4",
    ]  # fmt: skip


def test_a_layer_without_a_variant_has_a_roofline_too() -> None:
    report = dscost.layer(in_channels=8, out_channels=8, kernel_size=1, on="pixel_6")
    assert list(report.predictions["pixel_6"]) == ["as_is", "standard"]


def test_variants_are_listed_with_what_they_take_and_give_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["list", "variants", "-v"]) == 0
    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert rows["ghost"].startswith("[s = 2] 1/s + ")
    assert rows["low_rank"].startswith("[r = N/4] r/N + ")
    assert rows["blueprint_separable"].startswith("[T = 1] T·(1/K² + G/M), which is 1/K² + 1/M: ")
    for name, text in rows.items():
        variant = VARIANTS[name]
        assert all((variant.summary, variant.formula, variant.source, variant.gives_up))
        assert f"Gives up {variant.gives_up}. {variant.source}" in text
        assert (variant.default is None) == (variant.parameter is None)


# -- a user's own


def test_a_plain_chain_is_all_that_a_user_writes(
    own: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    @own("halved", summary="half the groups", formula="1/2", source="me", gives_up="half")
    def halved(spec: ConvSpec) -> Any:
        return [("half", replace(spec, groups=2 * spec.groups))]

    assert isinstance(halved, Variant)
    assert (
        dscost.layer(**LAYER, variants="halved").layers[0].variants["halved"].params
        == STANDARD // 2
    )
    assert run([*COMMAND, "--variant", "halved", "--format", "csv"]) == 0
    assert "halved" in capsys.readouterr().out
    assert run(["list", "variants", "-v"]) == 0
    assert any(line.split() == ["halved", "1/2:", "half", "the", "groups.", "Gives", "up", "half.", "me"]
               for line in capsys.readouterr().out.splitlines())  # fmt: skip


def test_a_users_variant_may_have_a_parameter_and_branches(own: Callable[..., Any]) -> None:
    @own("branched", parameter="k", default=lambda spec: spec.in_channels // 4, default_text="M/4")
    def branched(spec: ConvSpec, k: int) -> Any:
        return [
            ("left", replace(spec, groups=k)),
            ("right", replace(spec, groups=2 * k), ("input",)),
            ("sum", JoinSpec("add"), ("left", "right")),
        ]

    report = dscost.layer(**LAYER, variants=("branched", "branched:2"))
    (layer,) = report.layers
    assert layer.variants["branched"].params == STANDARD // 4 + STANDARD // 8
    assert layer.variants["branched:2"].params == STANDARD // 2 + STANDARD // 4
    module = build_variant(parts_of(report, "branched:2"), (1, 16, 14, 14))
    assert module(torch.randn(1, 16, 14, 14)).shape == (1, 16, 14, 14)
    assert layer.formula_ratios == {}
    assert VARIANTS["branched"].usage == "k = M/4"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "variant wrong: makes nothing, the convolution 1×16×14×14"),
        (
            [("a", conv2d(16, 8, 3, padding=1))],
            "variant wrong: makes 1×8×14×14, the convolution 1×16×14×14",
        ),
        ([("a", conv2d(8, 16, 3))], "variant wrong: in_channels=8, but the input has 16 channels"),
        (
            [("a", conv2d(16, 16, 1)), ("a", conv2d(16, 16, 1))],
            "variant wrong: two stages are called 'a'",
        ),
        ([("input", conv2d(16, 16, 1))], "variant wrong: two stages are called 'input'"),
        ([("left", conv2d(16, 16, 1), ("lef",))], "variant wrong: unknown stage 'lef'"),
    ],
)
def test_a_variant_that_does_not_fit_is_refused_with_its_name(
    own: Callable[..., Any], stages: Any, message: str
) -> None:
    own("wrong")(lambda spec: stages)
    with pytest.raises(SpecError) as caught:
        dscost.layer(**LAYER, variants="wrong")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("parameter", "hint"),
    [({}, ""), ({"parameter": "g", "default": 3}, " (another g: odd:VALUE)")],
)
def test_a_variant_that_cannot_be_is_noted_with_another_value_where_it_takes_one(
    parameter: dict[str, Any], hint: str, own: Callable[..., Any]
) -> None:
    own("odd", **parameter)(lambda spec, g=3: [("conv", replace(spec, groups=g))])
    (layer,) = dscost.layer(**LAYER, variants="odd").layers
    why = "groups=3 does not divide in_channels=16; groups=3 does not divide out_channels=16"
    assert layer.note == f"no odd variant: {why}{hint}"


@pytest.mark.parametrize(
    "returned", [conv2d(16, 16, 1), None, ("conv", conv2d(16, 16, 1)), [conv2d(16, 16, 1)], "a"]
)
def test_a_variant_that_returns_no_stages_is_told_what_to_return(
    own: Callable[..., Any], returned: Any
) -> None:
    own("wrong")(lambda spec: returned)
    with pytest.raises(
        InputError,
        match=r"^variant wrong: its function must return a list of named stages such as ",
    ):
        dscost.layer(**LAYER, variants="wrong")


def test_a_variant_can_be_asked_for_as_tables_write_it() -> None:
    written = dscost.layer(**LAYER, variants=("inverted-residual:6", "low-rank:4", "low_rank:4"))
    assert list(written.layers[0].variants) == ["standard", "inverted_residual:6", "low_rank:4"]
    with pytest.raises(
        UnknownNameError, match=r"^unknown variant 'low-ronk' \(did you mean 'low_rank'\?\)"
    ):
        dscost.layer(**LAYER, variants="low-ronk")


@pytest.mark.parametrize(
    "name", ["standard", "depthwise_separable", "speedup", "stages", "a-b", "a:b", "", "2d"]
)
def test_some_names_are_no_names_for_variants(name: str) -> None:
    with pytest.raises(InputError, match=rf"^a variant cannot be called '{name}'"):
        register_variant(name)


def test_a_parameter_needs_a_default() -> None:
    with pytest.raises(
        InputError, match=r"^variant 'mine': a parameter and its default belong together$"
    ):
        register_variant("mine", parameter="g")


def test_an_installed_package_adds_variants(
    own: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = Variant(lambda spec: (("same", spec),), "itself", "1", "a package")
    points = [
        SimpleNamespace(name="installed", load=lambda: variant),
        SimpleNamespace(name="mistaken", load=lambda: len),
    ]
    monkeypatch.setattr(
        "importlib.metadata.entry_points",
        lambda group: points if group == "dscost.variants" else [],
    )
    monkeypatch.setattr(VARIANTS, "_found", None)
    assert {"installed", "ghost"} <= set(VARIANTS)
    assert (
        dscost.layer(**LAYER, variants="installed").layers[0].variants["installed"].params
        == STANDARD
    )
    with pytest.raises(
        InputError, match=r"^the entry point 'mistaken' of dscost\.variants is no Variant"
    ):
        parse_variants(["mistaken"])
    with pytest.raises(UnknownNameError, match="installd' \\(did you mean 'installed'"):
        parse_variants(["installd"])


def test_the_library_has_the_name() -> None:
    assert unwrap(dscost.register_variant) is register_variant
