"""Pictures of sweeps: each cell and point is a row, tinted and bordered as the clock says."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from legible import assert_legible
from program import run
from swept import HERE, grid_of, near, sweep_of

from dscost.errors import InputError
from dscost.pages import View
from dscost.pages.pictures import Grid, NotDrawn, Picture, Plot
from dscost.pages.pictures.of_sweeps import MOST_POINTS, sweep_pictures
from dscost.rendering import said
from dscost.rendering.drawing import svg_of
from dscost.rendering.picturing import pictures_of
from dscost.reports.records import Speedup
from dscost.sweeping.records import Spread, Sweep

SPEEDUPS = {(8, 7): 0.5, (8, 14): 1.01, (16, 7): 2.0, (16, 14): 3.0}


def told(of: dict[str, int], variant: str) -> Speedup:
    return near(SPEEDUPS[of["in_channels"], of["input_size"]])


TIMED = sweep_of(
    grid_of(in_channels=(8, 16), input_size=(7, 14)),
    told,  # type: ignore[arg-type]
)


def drawn_of(sweep: Sweep) -> dict[str, Picture | NotDrawn]:
    return {one.name: one for one in pictures_of(said(sweep), View())}


def grid_in(sweep: Sweep, name: str = "crossover") -> Grid:
    found = drawn_of(sweep)[name]
    assert isinstance(found, Grid)
    assert_legible(found)
    return found


def plot_in(sweep: Sweep) -> Plot:
    found = drawn_of(sweep)["promise"]
    assert isinstance(found, Plot)
    assert_legible(found)
    return found


def texts(grid: Grid) -> list[list[str]]:
    rows = [["" for _ in grid.columns] for _ in grid.rows]
    for cell in grid.cells:
        rows[cell.row][cell.column] = cell.text
    return rows


def lines_of(svg: str, width: str) -> int:
    """How many sides a contour of that width is drawn along; one more is in the legend."""
    return svg.count(f'class="l-ink" stroke-width="{width}"')


def test_a_cell_for_each_layer_is_tinted_and_marked_by_its_verdict() -> None:
    grid = grid_in(TIMED)
    assert (grid.down, grid.across) == ("Cin", "size")
    assert (grid.rows, grid.columns) == (["8", "16"], ["7", "14"])
    assert texts(grid) == [["0.50×!", "1.01×="], ["2.0×", "3.0×"]]
    tints = {(cell.row, cell.column): cell.tint for cell in grid.cells}
    assert tints == {(0, 0): "worse", (0, 1): "even", (1, 0): "better", (1, 1): "best"}
    # between the least gain and the largest, 2.0 and 3.0, as a factor: √6
    assert grid.meanings["best"] == "faster, 2.4× or more"
    assert "faster, 2.4× or more" in svg_of(grid)
    assert grid.title == "Times as fast as standard: separable"
    assert "Of 4 cells: 1 faster, 2.4× or more, 1 faster, 1 slower, 1 no difference." in grid.told
    assert grid.measured == "Xeon, ONNX Runtime, 1 thread"
    assert "8→32, size 7, separable: 2.00× slower [1.98, 2.02]." in [
        one.tells for one in grid.cells
    ]


def test_gains_that_are_much_alike_have_one_tint() -> None:
    grid = grid_of(in_channels=(8, 16), input_size=(7, 14))
    alike = grid_in(sweep_of(grid, lambda of, variant: 2.0 if of["input_size"] == 7 else 2.9))
    assert {cell.tint for cell in alike.cells} == {"better"}
    assert "best" not in alike.meanings


@pytest.mark.parametrize("columns", [2, 4, 9])
def test_cells_take_the_width_that_there_is(columns: int) -> None:
    grid = grid_of(in_channels=(8, 16), input_size=tuple(range(7, 7 + columns)))
    svg = svg_of(grid_in(sweep_of(grid, lambda of, variant: 2.0)))
    cells = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="23"', svg)
    assert max(float(x) + float(width) for x, width in cells) > 680


def test_what_is_noise_in_a_map_stands_below_it() -> None:
    grid = grid_of(in_channels=(8, 16), input_size=(7, 14))

    def noisy(of: dict[str, int], variant: str) -> Speedup:
        return Speedup(2.0, (1.9, 2.1), 0.41 if of["input_size"] == 7 else 0.03)

    sweep = sweep_of(grid, noisy)  # type: ignore[arg-type]
    said_of = "Xeon, ONNX Runtime, 1 thread; differences under 41 % are noise"
    assert grid_in(sweep).measured == plot_in(sweep).measured == said_of
    assert plot_in(sweep).title.endswith(": promise against clock, ONNX Runtime")


def test_one_contour_is_at_as_fast_and_a_fine_one_at_the_noise_floor() -> None:
    # 0.5 | 1.01   as fast: to the right of 0.5 and below it
    # 2.0 | 3.0    the noise floor, 1.03: those below 0.5 and 1.01, of which the first is seen above
    svg = svg_of(grid_in(TIMED))
    assert lines_of(svg, "2.5") == 2 + 1
    assert lines_of(svg, "1.4") == 1 + 1
    assert "the noise floor, 1.03×" in svg


def test_of_several_noise_floors_the_contour_is_at_the_largest() -> None:
    def speedup(of: dict[str, int], variant: str) -> Speedup:
        return told(of, variant)._replace(noise_floor=0.03 if of["input_size"] == 7 else 0.2)

    grid = grid_of(in_channels=(8, 16), input_size=(7, 14))
    svg = svg_of(grid_in(sweep_of(grid, speedup)))  # type: ignore[arg-type]
    assert "the largest noise floor, 1.20×" in svg


@pytest.mark.parametrize("extreme", [5e-324, 1e300])
def test_speedups_that_no_machine_has_are_left_out(extreme: float) -> None:
    odd = Speedup(extreme, (extreme, extreme))
    grid = grid_of(in_channels=(8, 16))
    found = drawn_of(sweep_of(grid, lambda of, variant: odd))["promise"]
    assert isinstance(found, NotDrawn)
    assert found.why.startswith("the clock cannot tell how fast anything is")
    one = sweep_of(grid, lambda of, variant: odd if of["in_channels"] == 8 else near(2.0))
    (note,) = plot_in(one).notes
    assert note.startswith("Left out: 8→32, separable: ")


def test_a_contour_that_no_values_cross_is_neither_drawn_nor_named() -> None:
    grid = grid_of(in_channels=(8, 16), input_size=(7, 14))
    svg = svg_of(grid_in(sweep_of(grid, lambda of, variant: 4.0)))
    assert lines_of(svg, "2.5") == lines_of(svg, "1.4") == 0
    assert "as fast, 1.00×" not in svg


def test_a_cell_of_which_nothing_is_known_says_so_and_bounds_nothing() -> None:
    def speedup(of: dict[str, int], variant: str) -> Speedup | None:
        wide = Speedup(4.0, (0.1, 900.0))
        return {7: wide, 14: None, 28: near(2.0)}[of["input_size"]]

    sweep = sweep_of(
        grid_of(in_channels=(8, 16), input_size=(7, 14, 28)),
        speedup,  # type: ignore[arg-type]
    )
    grid = grid_in(sweep)
    assert texts(grid) == [["?", "–", "2.0×"]] * 2
    assert [cell.value for cell in grid.cells[:4]] == [None] * 4  # wide, and not timed
    assert lines_of(svg_of(grid), "2.5") == 0
    assert plot_in(sweep).notes == [
        "Left out: 8→32, size 7, separable; 16→32, size 7, separable: times that vary too much "
        "to tell a speedup."
    ]


def test_what_was_not_timed_is_a_map_of_macs_that_says_so() -> None:
    sweep = sweep_of(grid_of(in_channels=(8, 16), out_channels=(1, 2, 32)))
    grid = grid_in(sweep)
    assert grid.title == "Times fewer MACs than standard"
    # 9·M·N over 9·M + M·N: of one output 9/10, of two 18/11, of 32 288/41, whatever M is
    assert texts(grid) == [["0.90×!"], ["1.64×"], ["7.0×"]]
    assert grid.notes == ["That does not depend on Cin."]
    assert not grid.measured
    assert drawn_of(sweep)["promise"] == NotDrawn(
        "promise", "nothing was timed: add --time, or time=True from Python"
    )


def test_every_place_and_block_has_a_map_of_its_own_and_a_series() -> None:
    other = HERE._replace(runtime="openvino", versions={"openvino": "2026.1"})
    grid = grid_of(in_channels=(8, 16), input_size=(7, 14))
    there = sweep_of(grid, lambda of, variant: 1.5, where=other)
    both = TIMED._replace(rows=[*TIMED.rows, *there.rows])
    assert grid_in(both).title == "Times as fast as standard: separable (ONNX Runtime)"
    assert grid_in(both, "crossover-2").title == "Times as fast as standard: separable (OpenVINO)"
    assert texts(grid_in(both, "crossover-2")) == [["1.50×", "1.50×"]] * 2
    assert [one.name for one in plot_in(both).series] == ["ONNX Runtime", "OpenVINO"]
    assert both.plot("crossover-2").svg != both.plot("crossover").svg


def test_a_point_for_each_row_holds_the_promise_against_the_clock() -> None:
    plot = plot_in(TIMED)
    (series,) = plot.series
    # 9·32 / (9 + 32) times fewer MACs, whatever the input channels
    assert [round(point.x, 3) for point in series.points] == [round(288 / 41, 3)] * 4
    assert [point.y for point in series.points] == [0.5, 1.01, 2.0, 3.0]
    assert series.points[0].y_interval == (0.5 / 1.01, 0.5 * 1.01)
    assert [point.name for point in series.points] == ["8→32, size 7", "", "", "16→32, size 14"]
    assert "0 as fast as the MACs promise, 1 slower than standard" in plot.told


@pytest.mark.parametrize("channels", [64, 400])
def test_of_thousands_of_rows_points_are_thinned_evenly_with_the_extremes(channels: int) -> None:
    values = tuple(range(1, channels + 1))

    def speedup(of: dict[str, int], variant: str) -> Speedup:
        return near(9.0 if of["out_channels"] == 3 else 0.2 if of["out_channels"] == 5 else 2.0)

    grid = grid_of(out_channels=values, input_size=(7, 14, 28, 56))
    sweep = sweep_of(grid, speedup)  # type: ignore[arg-type]
    plot = plot_in(sweep)
    points = [point for one in plot.series for point in one.points]
    assert MOST_POINTS - 10 < len(points) <= MOST_POINTS
    assert {0.2, 9.0} <= {point.y for point in points}
    assert plot.notes == [
        f"Drawn are {len(points)} of {4 * channels:,} rows, evenly by how many fewer MACs they "
        "have, the fastest and the slowest among them."
    ]
    reductions = sorted({point.x for point in points})
    assert reductions[0] == 9 / 10  # one output channel: 9·16 / (9·16 + 16)
    assert reductions[-1] == pytest.approx(9 * channels / (9 + channels))
    assert len(svg_of(plot)) < 150_000
    assert len(svg_of(grid_in(sweep))) < 150_000


def test_variants_are_columns_where_one_axis_varies_and_series_of_their_own() -> None:
    grid = grid_of(["depthwise_separable", "ghost"], in_channels=(8, 16))
    sweep = sweep_of(grid, lambda of, variant: 2.0 if variant == "ghost" else 1.5)
    assert grid_in(sweep).columns == ["separable", "ghost"]
    assert texts(grid_in(sweep)) == [["1.50×", "2.0×"]] * 2
    assert [one.name for one in plot_in(sweep).series] == ["separable", "ghost"]


@pytest.mark.parametrize(
    ("sweep", "why"),
    [
        (sweep_of(grid_of()), "no two of its layers differ in one thing alone: sweep one or two"),
        (
            Sweep("large", 10**6, [], spreads=(Spread("standard", 10**6),)),
            "its rows are too many to be held: sweep fewer layers",
        ),
    ],
    ids=["one layer", "too many"],
)
def test_what_has_no_map_says_what_has_one(sweep: Sweep, why: str) -> None:
    (first, *_) = sweep_pictures(sweep)
    assert isinstance(first, NotDrawn)
    assert first.why.startswith(why)
    with pytest.raises(InputError, match="picture 'crossover': "):
        sweep.plot("crossover")


def test_the_command_line_draws_a_map_and_names_those_that_there_are(tmp_path: Path) -> None:
    swept: Sequence[str] = (
        "sweep",
        "--cin",
        "8,16",
        "--cout",
        "16,32",
        "--size",
        "7,14",
        "-k",
        "3",
    )
    ran = run(*swept, "--plot", "crossover=map.svg", "-q", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Times fewer MACs than standard" in (tmp_path / "map.svg").read_text()
    ran = run(*swept, "--plot", "crossover-9=map.svg", cwd=tmp_path)
    assert ran.returncode == 2
    assert "unknown picture 'crossover-9'" in ran.stderr
