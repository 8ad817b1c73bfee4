"""What --explain says where nothing is timed: intensities, and bounds by the rooflines that are known."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from program import run

import dscost
from dscost.analysis import bounded
from dscost.devices.roofline import Ceilings
from dscost.foreign.processor import cpu_name
from dscost.pages.bounds import layers_sheet, parts_sheet
from dscost.rendering import View, render
from dscost.reports.report_file import read_saved
from dscost.timing.ceilings_file import METHOD, known_ceilings

LAYER = ("layer", "64", "64", "3", "--size", "56", "--no-time")
TITLES = {"standard": "standard", "depthwise_separable": "separable"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dscost" / "ceilings"
    folder.mkdir(parents=True)
    return folder


def keep(folder: Path, file: str, **given: object) -> Ceilings:
    """Keep ceilings of this machine of 100 GFLOP/s and 20 GB/s, as a measurement does."""
    today = date.today().isoformat()
    fields = {"device": "cpu", "name": cpu_name(), "dtype": "float32", "threads": 1,
              "flops_per_s": 1e11, "bytes_per_s": 2e10, "measured_on": today, **given}  # fmt: skip
    kept = Ceilings(**fields)  # type: ignore[arg-type]
    document = {"method": METHOD, "ceilings": kept.to_dict()}
    (folder / file).write_text(json.dumps(document), encoding="utf-8")
    return kept


def test_without_a_device_the_intensities_are_told_and_how_bounds_are_had() -> None:
    ran = run(*LAYER, "--explain")
    assert (ran.returncode, ran.stderr) == (0, "")
    # 2·64·64·9·3136 FLOPs over 4 · (64·64·9 + 2·64·3136) bytes; stages alike
    standard = 2 * 64 * 64 * 9 * 3136 / (4 * (64 * 64 * 9 + 2 * 64 * 3136))
    depthwise = 2 * 64 * 9 * 3136 / (4 * (64 * 9 + 2 * 64 * 3136))
    assert f"standard          {standard:.1f}\n" in ran.stdout
    assert f"  depthwise         {depthwise:.1f}\n" in ran.stdout
    assert "--on NAME has the bounds of a device" in ran.stdout
    assert "at least" not in ran.stdout


def test_the_bound_of_every_stage_is_told_for_a_named_device() -> None:
    report = bounded(dscost.layer(64, 64, 3, input_size=56), ["t4"])
    rows = [row.cells for row in parts_sheet(report.layers[0], TITLES).rows]
    assert [row["part"] for row in rows] == ["standard", "separable", "  depthwise", "  pointwise"]
    assert [row["bound"] for row in rows] == ["compute", "memory", "memory", "memory"]
    assert {row["ridge"] for row in rows} == {"25.3"}  # 8.1 TFLOP/s over 320 GB/s
    # 2 · 115,605,504 FLOPs at 8.1 TFLOP/s; the depthwise stage moves 4 · (2·64·3136 + 576) bytes
    assert rows[0]["least"] == f"{2 * 115_605_504 / 8.1e12 * 1e6:.1f} µs"
    assert rows[2]["least"] == f"{4 * (2 * 64 * 3136 + 576) / 320e9 * 1e6:.2f} µs"


def test_stages_take_as_long_as_the_variant_that_they_are() -> None:
    report = bounded(dscost.layer(48, 96, 3, variants=("ghost", "bottleneck")), ["pixel_6"])
    (layer,) = report.layers
    found = layer.predictions["pixel_6"]
    for name in layer.stages:
        parts = [found[f"{name}.{stage.name}"].roofline_s for stage in layer.parts_of(name)]
        assert not parts or sum(parts) == pytest.approx(found[name].roofline_s)


def test_this_machine_is_among_the_devices_once_it_was_measured(own_cache: Path) -> None:
    assert "cpu" not in run(*LAYER, "--explain").stdout
    keep(own_cache, "cpu-float32-1.json")
    text = run(*LAYER, "--explain").stdout
    assert f"{2 * 115_605_504 / 1e11 * 1e3:.2f} ms" in text  # 2.31 ms at 100 GFLOP/s
    assert "by what was measured for this machine's cpu" in text
    both = run(*LAYER, "--explain", "--on", "t4").stdout
    assert [line.split()[0] for line in both.splitlines() if " standard  " in line] == ["t4", "cpu"]
    assert "cpu" not in run(*LAYER).stdout


@pytest.mark.parametrize(
    "given",
    [
        {"name": "another chip"},
        {"measured_on": (date.today() - timedelta(days=31)).isoformat()},
        {"measured_on": None},
        {"measured_on": (date.today() + timedelta(days=2)).isoformat()},
    ],
    ids=["another machine", "too old", "undated", "of tomorrow"],
)
def test_what_was_measured_elsewhere_or_long_ago_does_not_count(
    own_cache: Path, given: dict[str, object]
) -> None:
    keep(own_cache, "cpu-float32-1.json", **given)
    assert known_ceilings("float32") is None


def test_only_the_ceilings_of_the_dtype_count_and_a_damaged_file_is_none(own_cache: Path) -> None:
    (own_cache / "cpu-float32-9.json").write_text("{", encoding="utf-8")
    keep(own_cache, "cpu-bfloat16-1.json", dtype="bfloat16", flops_per_s=5e11)
    assert known_ceilings("float32") is None
    found = known_ceilings("bfloat16")
    assert found is not None
    assert found.flops_per_s == 5e11


def test_of_a_model_each_swappable_layer_has_its_intensities_and_bounds() -> None:
    (sheet,) = layers_sheet(bounded(dscost.analyze("resnet18"), ["t4"]))
    first = sheet.rows[1].cells  # layer1.0.conv1, 64 → 64 at 56×56 as above
    assert first["layer"] == "layer1.0.conv1"
    assert first["flops_per_byte"].startswith("131.9 → ")
    assert (first["bound"], first["ridge"]) == ("compute → memory", "25.3")
    assert first["least"].startswith("28.5 µs → ")
    (plain,) = layers_sheet(dscost.analyze("resnet18"))
    assert [column.key for column in plain.columns] == ["layer", "flops_per_byte"]
    ran = run("model", "resnet18", "--no-time", "--explain", "--on", "t4")
    assert "layer on t4" in ran.stdout


def test_what_is_explained_without_timing_can_be_saved_and_read(tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    assert run(*LAYER, "--explain", "--on", "t4", "-o", str(saved)).returncode == 0
    report = read_saved(saved)
    bound = report.layers[0].predictions["t4"]["depthwise_separable.depthwise"]
    assert (bound.bound, bound.ridge_flops_per_byte) == ("memory", 25.3125)
    assert "at least" in render([report], "table", View())


def test_an_explanation_without_timing_imports_no_torch(own_cache: Path) -> None:
    import subprocess
    import sys

    keep(own_cache, "cpu-float32-1.json")
    code = (
        "import sys; from dscost.cli import run; "
        f"assert run({[*LAYER, '--explain', '--on', 't4']!r}) == 0; "
        "assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
