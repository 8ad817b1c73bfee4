"""Large grids are counted by columns, small ones layer by layer: both come to the same."""

import gc
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import dear_law

from dscost import register_variant
from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.layers.choosing import parse_variants
from dscost.layers.convolution import ConvSpec, conv2d, size_keeping_padding
from dscost.layers.variants import VARIANTS, depthwise_separable
from dscost.networks.expressions import Expression
from dscost.notation.units import DTYPE_BYTES
from dscost.reports.records import Reduction
from dscost.sweeping import following
from dscost.sweeping.cases import Impossibility, cases_of
from dscost.sweeping.chunks import count_grid, count_grids
from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.columns import Box, Lazy
from dscost.sweeping.counting import COUNTED
from dscost.sweeping.grids import Axis, Grid, Operation, Tie
from dscost.sweeping.records import Row
from dscost.sweeping.tables import cells_of

ONE: Mapping[str, Sequence[Any]] = {
    "in_channels": (256,),
    "out_channels": (256,),
    "kernel_size": (3,),
    "stride": (1,),
    "padding": (None,),
    "dilation": (1,),
    "groups": (1,),
    "bias": (False,),
    "input_size": (14,),
    "batch": (1,),
}
"""The layer of most examples by hand."""


def grid_of(
    variants: Iterable[str] = (),
    ties: Mapping[str, str] | None = None,
    *,
    dims: int = 2,
    dtype: str = "float32",
    **axes: Iterable[Any],
) -> Grid:
    """Return a grid that has one value of what is not given."""
    ties = ties or {}
    values = {**ONE, **{name: tuple(one) for name, one in axes.items()}}
    return Grid(
        tuple(Axis(name, tuple(one)) for name, one in values.items() if name not in ties),
        tuple(Tie(name, Expression(text)) for name, text in ties.items()),
        parse_variants(variants),
        dims=dims,
        dtype=dtype,
    )


def cells(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Return the rows of tables, with `None` where something is unknown."""
    found: list[dict[str, Any]] = []
    for table in tables:
        columns: dict[str, list[Any]] = {}
        for name, column in table.columns.items():
            if isinstance(column, Labels):
                columns[name] = [column.values[at] for at in column.which]
            else:
                columns[name] = [None if one != one else one for one in column.tolist()]
            assert len(columns[name]) == table.number
        found += [
            dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)
        ]
    return found


def counted_one_by_one(grid: Grid) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the same of layers that are counted one by one, and why some cannot exist."""
    rows: list[dict[str, Any]] = []
    impossible: list[str] = []
    for case in cases_of(grid):
        if isinstance(case, Impossibility):
            impossible.append(case.text)
            continue
        standard = case.units[0].cost(DTYPE_BYTES[grid.dtype])
        for unit in case.units:
            try:
                cost = unit.cost(DTYPE_BYTES[grid.dtype])
            except SpecError:
                continue
            reduction = None if unit is case.units[0] else Reduction.between(standard, cost).macs
            row = Row(case.of, unit.label, cost)
            rows.append({**cells_of(row), "macs_reduction": reduction})
    return rows, impossible


def assert_alike(grid: Grid, chunk_rows: int = 131_072) -> list[dict[str, Any]]:
    """Count a grid both ways, and return its rows."""
    rows, impossible = counted_one_by_one(grid)
    tables = list(count_grid(grid, COUNTED, chunk_rows=chunk_rows))
    found = cells(tables)
    assert found == [{name: row.get(name) for name in COUNTED} for row in rows]
    wrong = [table.impossible for table in tables if table.impossible]
    assert sum(one.number for one in wrong) == len(impossible)
    assert [one.example for one in wrong[:1]] == impossible[:1]
    return found


@pytest.mark.parametrize("chunk_rows", [2, 5, 1000])
def test_what_follows_is_the_same_where_it_is_worked_out_chunk_by_chunk(
    chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_KEPT", 3)
    grid = grid_of(
        ["depthwise_separable"],
        in_channels=(8, 9),
        out_channels=(8, 12),
        stride=(1, 2),
        padding=(1, None, "same"),
        ties={"kernel_size": "(cin + cout) % 3 + 1"},
    )
    rows = assert_alike(grid, chunk_rows)
    assert {row["padding"] for row in rows} == {0, 1, "same"}


def test_paddings_are_worked_out_for_no_more_layers_than_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def keeping(*given: Any) -> Any:
        asked.append(given)
        return size_keeping_padding(*given)

    monkeypatch.setattr(following, "size_keeping_padding", keeping)
    grid = grid_of(
        in_channels=range(1, 2000),
        out_channels=range(1, 2000),
        ties={"kernel_size": "(cin + cout) % 2 + 1"},
    )
    rows = cells([next(count_grid(grid, chunk_rows=100))])
    assert [row["padding"] for row in rows[:3]] == [0, "same", 0]
    assert len(asked) == len(rows) == 100


# -- by hand


def test_the_figures_of_a_layer_and_its_separable_variant() -> None:
    (table,) = count_grid(grid_of(["depthwise_separable"]))
    standard, separable = cells([table])
    assert standard["params"] == 256 * 256 * 9 == 589_824
    assert standard["macs"] == 256 * 256 * 9 * 14 * 14 == 115_605_504
    assert separable["params"] == 256 * 9 + 256 * 256 == 67_840
    assert separable["macs"] == (256 * 9 + 256 * 256) * 14 * 14 == 13_296_640
    assert separable["macs_reduction"] == 115_605_504 / 13_296_640
    assert standard["macs_reduction"] is None
    assert standard["input_bytes"] == standard["output_bytes"] == 256 * 14 * 14 * 4


def test_rows_are_in_the_order_of_the_grid_and_variants_behind_their_layer() -> None:
    grid = grid_of(["depthwise_separable", "grouped"], in_channels=(8, 4), kernel_size=(5, 3))
    for chunk_rows in (1, 3, 6, 100):
        found = cells(count_grid(grid, chunk_rows=chunk_rows))
        assert [(one["in_channels"], one["kernel_size"], one["variant"]) for one in found] == [
            (channels, kernel, variant)
            for channels in (8, 4)
            for kernel in (5, 3)
            for variant in ("standard", "depthwise_separable", "grouped")
        ]


def test_tables_have_no_more_rows_than_asked_for() -> None:
    grid = grid_of(
        ["grouped"], in_channels=range(4, 40, 4), out_channels=range(4, 24, 4), stride=(1, 2)
    )
    tables = list(count_grid(grid, chunk_rows=50))
    assert max(table.number for table in tables) <= 50
    assert sum(table.number for table in tables) == 9 * 5 * 2 * 2


def test_impossible_layers_are_left_out_and_counted() -> None:
    grid = grid_of(in_channels=(2, 3, 4), out_channels=(6, 8), groups=(1, 2, 3))
    (table,) = count_grid(grid)
    possible = [
        (m, n, g) for m in (2, 3, 4) for n in (6, 8) for g in (1, 2, 3) if m % g == 0 and n % g == 0
    ]
    assert [
        (one["in_channels"], one["out_channels"], one["groups"]) for one in cells([table])
    ] == possible
    assert table.impossible == (
        18 - len(possible),
        "cin 2, cout 6, groups 3: groups=3 does not divide in_channels=2",
    )


def test_a_grid_of_impossible_layers_alone_has_no_rows() -> None:
    (table,) = count_grid(grid_of(kernel_size=(7, 9), padding=(0,), input_size=(5, 6)))
    assert table.number == 0
    assert table.impossible == (4, "k 7, size 5: kernel 7×7 is larger than the padded input 5×5")


def test_variants_that_a_layer_does_not_have_are_left_out_and_counted() -> None:
    grid = grid_of(["depthwise_separable", "grouped:8"], kernel_size=(1, 3), out_channels=(8, 12))
    (table,) = count_grid(grid)
    assert [
        (one["out_channels"], one["kernel_size"], one["variant"]) for one in cells([table])
    ] == [
        (8, 1, "standard"),
        (8, 1, "grouped:8"),
        (8, 3, "standard"),
        (8, 3, "depthwise_separable"),
        (8, 3, "grouped:8"),
        (12, 1, "standard"),
        (12, 3, "standard"),
        (12, 3, "depthwise_separable"),
    ]
    assert table.lacking == {
        "depthwise_separable": (2, "a 1×1 kernel has no spatial part to separate"),
        "grouped:8": (2, "variant grouped:8: groups=8 does not divide out_channels=12"),
    }


def test_a_tie_follows_from_the_axes_and_may_have_no_whole_number() -> None:
    grid = grid_of(ties={"out_channels": "cin / 2"}, in_channels=(4, 5, 6))
    (table,) = count_grid(grid)
    assert [(one["in_channels"], one["out_channels"], one["params"]) for one in cells([table])] == [
        (4, 2, 4 * 2 * 9),
        (6, 3, 6 * 3 * 9),
    ]
    assert table.impossible == (1, "cin 5: cout = cin / 2 is 2.5")


def test_pairs_are_written_as_people_write_them() -> None:
    (table,) = count_grid(grid_of(kernel_size=(3, (5, 3)), stride=((2, 1),)))
    assert [(one["kernel_size"], one["stride"], one["macs"]) for one in cells([table])] == [
        (3, "2x1", 256 * 256 * 9 * 7 * 14),
        ("5x3", "2x1", 256 * 256 * 15 * 7 * 14),
    ]


def test_counts_beyond_64_bits_are_exact() -> None:
    grid = grid_of(
        in_channels=(10**6, 2), out_channels=(10**6,), input_size=(10**6,), batch=(1, 10**6)
    )
    found = cells(count_grid(grid, ["macs", "in_channels"]))
    assert found[1] == {"macs": 10**6 * 10**6 * 9 * 10**12 * 10**6, "in_channels": 10**6}
    assert found[2] == {"macs": 2 * 10**6 * 9 * 10**12, "in_channels": 2}
    assert assert_alike(grid)[1]["macs"] == found[1]["macs"]


# -- by the other way


def grids(variants: Sequence[str]) -> st.SearchStrategy[Grid]:
    """Return small grids of all kinds; most of their layers exist."""

    def some(values: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
        return st.lists(values, min_size=1, max_size=most, unique_by=lambda one: (type(one), one))

    channels = st.sampled_from((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 10**6, 10**7))

    def of_dims(dims: int) -> st.SearchStrategy[Grid]:
        def sizes(*numbers: int) -> st.SearchStrategy[Any]:
            number = st.sampled_from(numbers)
            return number | st.tuples(*[number] * dims)

        axes = {
            "in_channels": some(channels),
            "out_channels": some(channels),
            "kernel_size": some(sizes(1, 2, 3, 4, 5, 7, 9)),
            "stride": some(sizes(1, 1, 2, 3), 2),
            "padding": some(st.none() | st.just("same") | sizes(0, 1, 2, 3), 3),
            "dilation": some(sizes(1, 1, 2), 2),
            "groups": some(st.sampled_from((1, 2, 3, 4, 32)), 3),
            "bias": some(st.booleans(), 2),
            "input_size": some(sizes(1, 5, 8, 13, 14, 10**6), 3),
            "batch": some(st.sampled_from((1, 3, 10**6)), 2),
        }
        ties = st.sampled_from(
            (
                {},
                {"out_channels": "2 * cin"},
                {"groups": "cin", "out_channels": "cin"},
                {"out_channels": "round8(cin * 0.75)"},
                {"groups": "cin / 4"},
                {"batch": "max(1, 64 // size)"},
                {"input_size": "k * 2 + 1", "batch": "size"},
                {"in_channels": "cout if cout > 4 else 3"},
            )
        )
        dtypes = st.sampled_from(("float32", "float16", "int8"))
        made = st.fixed_dictionaries(axes)
        return st.builds(
            lambda made, ties, dtype: grid_of(variants, ties, dims=dims, dtype=dtype, **made),
            made,
            ties,
            dtypes,
        )

    return st.sampled_from((2, 2, 1, 3)).flatmap(of_dims)


ASKED = {
    **{name: [name] for name in VARIANTS if not name.startswith("_")},
    "all with numbers": [
        "grouped:3",
        "inverted_residual:1",
        "bottleneck:2",
        "ghost:1",
        "dilated:4",
        "low_rank:5",
    ],
    "none": [],
}


@pytest.mark.parametrize("variants", ASKED.values(), ids=ASKED)
def test_columns_come_to_what_comes_of_one_layer_after_the_other(variants: Sequence[str]) -> None:
    @dear_law
    @given(grids(variants), st.sampled_from((1, 7, 50, 131_072)))
    def law(grid: Grid, chunk_rows: int) -> None:
        if grid.size > 100:
            grid = grid._replace(axes=tuple(Axis(one.name, one.values[:2]) for one in grid.axes))
        try:
            list(cases_of(grid))
        except InputError as error:  # of a tie, such as of a kernel that is a pair
            with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
                list(count_grid(grid, chunk_rows=chunk_rows))
        else:
            assert_alike(grid, chunk_rows)

    law()


# -- variants of others


def test_a_variant_of_others_may_ask_for_ints_of_python() -> None:
    from math import gcd

    @register_variant(
        "odd_one", parameter="g", default=lambda spec: gcd(spec.in_channels, spec.out_channels)
    )
    def odd_one(spec: ConvSpec, g: int) -> list[tuple[str, ConvSpec]]:
        names = {2: "two", 4: "four"}
        middle = int(spec.out_channels * 0.5) + len(range(g)) + spec.in_channels.bit_length()
        return [
            (names.get(g, "other"), replace(spec, out_channels=middle)),
            ("last", replace(spec, in_channels=middle)),
        ]

    try:
        grid = grid_of(["odd_one"], in_channels=(2, 4, 6, 12), out_channels=(4, 6, 8), batch=(1, 2))
        found = assert_alike(grid)
    finally:
        VARIANTS._entries.pop("odd_one")
    assert len(found) == 2 * 4 * 3 * 2
    six_to_four = next(
        one
        for one in found
        if (one["in_channels"], one["out_channels"], one["variant"]) == (6, 4, "odd_one")
    )
    assert six_to_four["params"] == 9 * (6 * 7 + 7 * 4)  # 4 / 2 + gcd(6, 4) + the 3 bits of 6


def test_a_variant_of_others_may_make_its_convolutions_of_columns() -> None:
    @register_variant("square")
    def square(spec: ConvSpec) -> list[tuple[str, ConvSpec]]:
        size = min(spec.kernel_size)
        return [("square", conv2d(spec.in_channels, spec.out_channels, size, padding=size // 2))]

    try:
        found = assert_alike(grid_of(["square"], kernel_size=(3, (5, 3), 5), out_channels=(8, 16)))
    finally:
        VARIANTS._entries.pop("square")
    assert [one["params"] // 256 for one in found if one["variant"] == "square"] == [
        *(8 * area for area in (9, 9, 25)),
        *(16 * area for area in (9, 9, 25)),
    ]


def test_a_variant_whose_stages_do_not_fit_is_lacking() -> None:
    @register_variant("misfit")
    def misfit(spec: ConvSpec) -> list[tuple[str, ConvSpec]]:
        return [("first", spec), ("second", replace(spec, in_channels=8))]

    try:
        grid = grid_of(["misfit"], out_channels=(8, 16))
        found = assert_alike(grid)
        (table,) = count_grid(grid)
    finally:
        VARIANTS._entries.pop("misfit")
    assert [(one["out_channels"], one["variant"]) for one in found] == [
        (8, "standard"),
        (8, "misfit"),
        (16, "standard"),
    ]
    assert table.lacking == {"misfit": (1, "in_channels=8, but the input has 16 channels")}


# -- what is asked for


def test_only_the_columns_that_are_asked_for_are_there() -> None:
    (table,) = count_grid(grid_of(["grouped"]), ["macs_reduction", "out_channels"])
    assert cells([table]) == [
        {"macs_reduction": None, "out_channels": 256},
        {"macs_reduction": 4.0, "out_channels": 256},
    ]


def test_a_column_that_there_is_not_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown column 'mac' \(did you mean 'macs'\?\)"):
        list(count_grid(grid_of(), ["mac"]))


def test_grids_of_several_kinds_come_into_one_table() -> None:
    convolutions = grid_of(["grouped"], kernel_size=(3, (5, 3)))._replace(name="convs")
    linear = Grid(
        (
            Axis("in_channels", (256,)),
            Axis("out_channels", (10,)),
            Axis("bias", (True,)),
            Axis("batch", (1,)),
        ),
        operation="linear",
        name="head",
    )
    tables = list(
        count_grids(
            [linear, convolutions], ["grid", "kernel_size", "variant", "params", "macs_reduction"]
        )
    )
    assert [list(one.values()) for one in cells(tables)] == [
        ["head", None, "linear", 2570, None],
        ["convs", 3, "standard", 589_824, None],
        ["convs", 3, "grouped", 147_456, 4.0],
        ["convs", "5x3", "standard", 983_040, None],
        ["convs", "5x3", "grouped", 245_760, 4.0],
    ]
    kinds = {name: one.kind for name, one in tables[0].columns.items() if isinstance(one, Labels)}
    assert kinds == {"grid": str, "kernel_size": str, "variant": str}


@pytest.mark.parametrize(
    ("operation", "axes", "params", "macs"),
    [
        ("linear", {"in_channels": (256, 8), "out_channels": (10,), "bias": (True,), "batch": (3,)}, 2570, 7680),
        ("global_pooling", {"in_channels": (256, 8), "input_size": (7,), "batch": (3,)}, 0, 0),
    ],
)  # fmt: skip
def test_other_operations(
    operation: Operation, axes: Mapping[str, Any], params: int, macs: int
) -> None:
    grid = Grid(tuple(Axis(*one) for one in axes.items()), operation=operation)
    found = assert_alike(grid)
    assert [(one["variant"], one["in_channels"]) for one in found] == [
        (operation, 256),
        (operation, 8),
    ]
    assert (found[0]["params"], found[0]["macs"]) == (params, macs)


def test_nothing_of_a_table_stays_behind_it_though_nobody_collects_garbage() -> None:
    grid = grid_of(
        ["low_rank", "grouped:3"], in_channels=(3, 8, 9), out_channels=(9, 18), groups=(1, 3)
    )
    gc.collect()
    gc.disable()
    try:
        assert sum(table.number for table in count_grid(grid, chunk_rows=24)) > 12
        assert [one for one in gc.get_objects() if isinstance(one, Lazy | Box)] == []
    finally:
        gc.enable()


def test_the_ratio_of_large_counts_is_rounded_once() -> None:
    grid = grid_of(
        ["grouped:7"],
        in_channels=(7 * 11**4,),
        out_channels=(7 * 13**4,),
        input_size=range(1000, 1100),
    )
    found = cells(
        count_grid(grid, ["variant", "macs", "flops_per_byte", "traffic_bytes", "macs_reduction"])
    )
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert all(2**53 < variant["macs"] < standard["macs"] < 2**63 for standard, variant in pairs)
    assert all(
        one["flops_per_byte"] == 2 * one["macs"] / one["traffic_bytes"]
        for pair in pairs
        for one in pair
    )
    # to round both first makes another number of some
    assert {float(standard["macs"]) / float(variant["macs"]) for standard, variant in pairs} > {7.0}
    assert [variant["macs_reduction"] for _, variant in pairs] == [7.0] * 100


@pytest.mark.parametrize("name", ["in_channels", "padding"])
def test_a_layer_of_a_box_is_not_kept_for_a_layer_by_itself(name: str) -> None:
    box = Box((2,), np.array([True, False]))  # 7 alone counts: the column hashes like it
    column: Any = box.along(0, [7, 8])
    assert hash(column) == hash(7)
    one = conv2d(7, 8, 5, padding=7)
    changed: dict[str, Any] = {name: column if name == "in_channels" else (column, column)}
    many = replace(one, **changed)
    depthwise_separable(many)
    for _, stage in depthwise_separable(one):
        numbers = (stage.in_channels, stage.out_channels, stage.groups, *stage.padding)
        assert {type(number) for number in numbers} == {int}


def test_grids_that_part_to_one_layer_do_not_meet_in_the_next() -> None:
    sizes: dict[str, Any] = {"out_channels": (8,), "input_size": range(14, 40)}
    several = grid_of(["depthwise_separable"], in_channels=(7, 8), groups=(4, 5), **sizes)
    single = grid_of(["depthwise_separable"], in_channels=(8,), groups=(4,), **sizes)
    rows = cells(count_grids([several, single], COUNTED))
    assert rows == 2 * assert_alike(single)  # 7 channels, and 5 groups, are not possible
