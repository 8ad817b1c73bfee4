"""Pictures of comparisons: models as points, layer by layer, and the promise of fewer MACs."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from legible import assert_legible
from program import run

import dscost
from dscost.comparing.differences import Comparison
from dscost.pages import View
from dscost.pages.pictures import Bars, NotDrawn, Picture, Plot
from dscost.rendering import said
from dscost.rendering.drawing import svg_of
from dscost.rendering.picturing import pictures_of
from dscost.reports.records import Coverage, Environment, Latency, Speedup, Timing

HERE = Environment("Xeon", 1, "float32", "contiguous", "tuned", "2.13.0", None, None)
POSITIONS = 8 * 8
TO_A_FILE = View()


def models(folder: Path, **channels: tuple[int, ...]) -> list[str]:
    """Return files of networks of 3×3 convolutions on 8×8 positions, each with its output channels."""
    paths = []
    for name, widths in channels.items():
        layers = [
            f"  - {{conv: 3, out_channels: {width}, bias: false, name: conv{at}}}\n"
            for at, width in enumerate(widths, 1)
        ]
        path = folder / f"{name}.yaml"
        path.write_text(f"input: [3, 8, 8]\nlayers:\n{''.join(layers)}")
        paths.append(str(path))
    return paths


def latency_of(seconds: float) -> Latency:
    within = (seconds * 0.9, seconds * 1.1)
    return Latency(seconds, within, 0.0, seconds, seconds, seconds, 10)


def timed(comparison: Comparison, seconds: Mapping[str, Mapping[str, float]]) -> Comparison:
    """Return a comparison with latencies by label, each by setting, timed in turns."""
    contenders = []
    for one in comparison.contenders:
        own = seconds.get(one.label, {})
        timings = {key: Timing({"as_is": latency_of(value)}) for key, value in own.items()}
        report = one.report._replace(latency=timings, environment=HERE if own else None)
        contenders.append(one._replace(report=report, timed=bool(own)))
    first = seconds[comparison.reference.label]
    versus = []
    for other in comparison.versus:
        own = seconds.get(other.label, {})
        ratios = {key: first[key] / value for key, value in own.items()}
        speedups = {key: Speedup(one, (one * 0.95, one * 1.05)) for key, one in ratios.items()}
        versus.append(other._replace(speedups=speedups))
    return comparison._replace(contenders=tuple(contenders), versus=tuple(versus), environment=HERE)


def drawn_of(comparison: Comparison, view: View = TO_A_FILE) -> dict[str, Picture | NotDrawn]:
    return {one.name: one for one in pictures_of(said(comparison), view)}


def plot_in(comparison: Comparison, name: str) -> Plot:
    found = drawn_of(comparison)[name]
    assert isinstance(found, Plot)
    assert_legible(found)
    return found


def bars_in(comparison: Comparison, name: str = "layers", view: View = TO_A_FILE) -> Bars:
    found = drawn_of(comparison, view)[name]
    assert isinstance(found, Bars)
    assert_legible(found)
    return found


@pytest.fixture
def three(tmp_path: Path) -> Comparison:
    return dscost.compare(models(tmp_path, a=(8, 8), b=(8, 16), c=(4, 8)), layers=True)


def macs(*channels: int) -> int:
    pairs = zip((3, *channels), channels, strict=False)
    return sum(POSITIONS * 9 * before * after for before, after in pairs)


def test_models_that_were_not_timed_are_points_of_macs_and_params(three: Comparison) -> None:
    plot = plot_in(three, "models")
    assert plot.title == "3 models: params against MACs"
    assert (plot.x.title, plot.y.title) == ("MACs", "params")
    (series,) = plot.series
    found = {point.name: (point.x, point.y) for point in series.points}
    for name, channels in {"a.yaml": (8, 8), "b.yaml": (8, 16), "c.yaml": (4, 8)}.items():
        assert found[name] == (macs(*channels), macs(*channels) / POSITIONS)
    assert "Fewest MACs: c.yaml" in plot.told
    assert drawn_of(three)["promise"] == NotDrawn(
        "promise", "nothing was timed in turns: add --time, or time=True from Python"
    )


def test_models_that_were_timed_are_points_of_latency_by_setting(three: Comparison) -> None:
    slow = {"a.yaml": {"cpu": 4e-3, "cpu:onnxruntime": 2e-3}, "b.yaml": {"cpu": 6e-3}}
    plot = plot_in(timed(three, slow), "models")
    assert (plot.title, plot.y.quantity) == ("3 models: latency against MACs", "seconds")
    torch, onnxruntime = plot.series
    assert [one.name for one in plot.series] == ["torch", "ONNX Runtime"]
    assert [(point.x, point.y) for point in torch.points] == [
        (macs(8, 8), 4e-3),
        (macs(8, 16), 6e-3),
    ]
    assert torch.points[0].y_interval == (4e-3 * 0.9, 4e-3 * 1.1)
    assert [point.name for point in onnxruntime.points] == [""]  # it stands beside its first point
    assert "Without c.yaml: no MACs, or latency measured there." in plot.notes
    assert plot.measured.startswith("Xeon, 1 thread, torch 2.13.0")


def test_latencies_of_another_machine_are_no_points_and_separate_runs_are_told(
    three: Comparison,
) -> None:
    seconds = {"a.yaml": {"cpu": 4e-3}, "b.yaml": {"cpu": 6e-3}, "c.yaml": {"cpu": 2e-3}}
    first, second, third = timed(three, seconds).contenders
    elsewhere = third.report._replace(environment=HERE._replace(device="another"))
    saved = tuple(one._replace(timed=False) for one in (first, second, third))
    saved = (*saved[:2], saved[2]._replace(report=elsewhere))
    plot = plot_in(three._replace(contenders=saved, environment=None), "models")
    assert [point.name for one in plot.series for point in one.points] == ["a.yaml", "b.yaml"]
    assert plot.notes == [
        "Without c.yaml: no MACs, or latency measured there.",
        "The latencies are of separate runs: no ratio of them is known.",
    ]


@pytest.mark.parametrize("extreme", [0.0, 5e-324, 1e300])
def test_latencies_that_no_machine_has_are_left_out_and_told(
    three: Comparison, extreme: float
) -> None:
    seconds = {"a.yaml": {"cpu": 4e-3}, "b.yaml": {"cpu": 6e-3}}
    found = timed(three, seconds)
    odd = Latency(6e-3, (extreme, 7e-3), 0.0, 6e-3, 6e-3, 6e-3, 10)
    first, second, third = found.contenders
    report = second.report._replace(latency={"cpu": Timing({"as_is": odd})})
    plot = plot_in(
        found._replace(contenders=(first, second._replace(report=report), third)), "models"
    )
    assert [point.name for one in plot.series for point in one.points] == ["a.yaml"]
    assert "Without b.yaml, c.yaml: no MACs, or latency measured there." in plot.notes


def test_models_whose_macs_are_partial_are_named(three: Comparison) -> None:
    first, second, third = three.contenders
    report = second.report._replace(coverage=Coverage(1, 1, ("my::op (2×)",)))
    partial = three._replace(contenders=(first, second._replace(report=report), third))
    plot = plot_in(partial, "models")
    assert plot.notes == ["Operators of unknown cost are in no figure of b.yaml."]
    assert not plot_in(three, "models").notes


def test_where_names_have_no_room_those_of_the_first_and_the_best_stand(tmp_path: Path) -> None:
    widths = {f"m{at:02}": (64 + at % 7, 64 - at) for at in range(50)}
    comparison = dscost.compare(models(tmp_path, **widths), layers=False)
    plot = plot_in(comparison, "models")
    (series,) = plot.series
    weights = {point.name: point.weight for point in series.points}
    assert weights["m00.yaml"] == max(weights.values()) == 2.0
    least = min(series.points, key=lambda point: point.x)
    assert least.weight == 1.0
    assert any(note.startswith("Names stand where they have room") for note in plot.notes)
    assert "m00.yaml" in svg_of(plot).partition("</desc>")[2]


def test_layers_stand_side_by_side_the_largest_change_first(three: Comparison) -> None:
    bars = bars_in(three)
    assert bars.series == ["a.yaml", "b.yaml"]
    # conv2 has 8 → 8 in the first and 8 → 16 in the other; conv1 is the same in both
    (bar,) = bars.bars
    assert (bar.name, bar.values) == ("conv2", [64 * 9 * 8 * 8, 64 * 9 * 8 * 16])
    assert bar.texts == ["36.86k", "73.73k (+100.0 %)"]
    further = bars_in(three, "layers-2")
    assert further.series == ["a.yaml", "c.yaml"]
    assert {bar.name: bar.values for bar in further.bars} == {
        "conv1": [64 * 9 * 3 * 8, 64 * 9 * 3 * 4],
        "conv2": [64 * 9 * 8 * 8, 64 * 9 * 4 * 8],
    }
    assert further.bars[0].name == "conv2"


def test_layers_are_of_the_figure_that_they_are_sorted_by_and_cut(three: Comparison) -> None:
    bars = bars_in(three, "layers-2", View(sort="params", top=1))
    assert bars.axis.title == "params"
    (bar,) = bars.bars
    assert bar.values == [9 * 8 * 8, 9 * 4 * 8]
    assert bars.notes == ["(1 more): 216 → 108 params."]  # 9·3·8 and 9·3·4


def test_thirty_layers_have_bars_and_the_others_are_summed_in_a_note(tmp_path: Path) -> None:
    paths = models(tmp_path, a=(8,) * 41, b=(8, *(16,) * 40))
    bars = bars_in(dscost.compare(paths, layers=True))
    assert len(bars.bars) == 30
    # of the forty that differ, one has 8 → 16 and the others 16 → 16: ten of these are left
    (note,) = bars.notes
    assert note.startswith("(10 more): ")
    assert len(svg_of(bars)) < 30_000


def test_unrelated_models_have_no_picture_of_layers_unless_it_is_asked_for() -> None:
    comparison = dscost.compare("resnet18", "mobilenet_v2")
    why = "the models share less than a fifth of their layers: add --layers to see them"
    assert drawn_of(comparison)["layers"] == NotDrawn("layers", why)
    assert bars_in(dscost.compare("resnet18", "mobilenet_v2", layers=True)).bars


def test_models_that_are_the_same_say_so() -> None:
    found = drawn_of(dscost.compare("resnet18", "resnet18"))["layers"]
    assert found == NotDrawn("layers", "no layer differs: add --all to see those that are the same")


def test_fewer_macs_are_held_against_the_speedup_of_the_whole_model(three: Comparison) -> None:
    seconds = {"a.yaml": {"cpu": 4e-3}, "b.yaml": {"cpu": 16e-3}, "c.yaml": {"cpu": 2e-3}}
    plot = plot_in(timed(three, seconds), "promise")
    (series,) = plot.series
    first = macs(8, 8)
    assert [(point.name, point.x, point.y) for point in series.points] == [
        ("b.yaml", first / macs(8, 16), 0.25),
        ("c.yaml", first / macs(4, 8), 2.0),
    ]
    assert series.points[1].y_interval == (1.9, 2.1)
    assert plot.x.title == "times fewer MACs than a.yaml"
    assert "1 as fast as the MACs promise, 1 slower than a.yaml" in plot.told


def test_hostile_labels_are_drawn_and_change_no_markup(tmp_path: Path) -> None:
    (path,) = models(tmp_path, a=(8, 8))
    hostile = tmp_path / "<b>&\"'‮.yaml"
    hostile.write_text(Path(path).read_text())
    comparison = dscost.compare(path, str(hostile))
    svg = svg_of(drawn_of(comparison)["models"])  # type: ignore[arg-type]
    assert "&lt;b&gt;&amp;" in svg
    assert "‮" not in svg


def test_the_command_line_draws_a_comparison(tmp_path: Path) -> None:
    paths = models(tmp_path, a=(8, 8), b=(8, 16))
    drawn = ["--plot", "models=m.svg", "--plot", "layers=l.svg"]
    ran = run("compare", *paths, *drawn, "--layers", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "2 models: params against MACs" in (tmp_path / "m.svg").read_text()
    assert "b.yaml against a.yaml: MACs of each layer" in (tmp_path / "l.svg").read_text()
