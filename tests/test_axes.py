"""Expected pieces are written by hand: 6 channels, and 20 positions of a row-major map."""

import pytest

from dscost.networks.axes import (
    Axis,
    Map,
    feature_map,
    joined,
    mixed,
    reduced,
    reshaped,
    row_major,
    shuffled,
    viewed,
)

B, C, H, W = 2, 6, 4, 5
SHAPE = (B, C, H, W)
BATCH: Axis = (("b", 1, B),)
CHANNELS: Axis = (("c", 1, C),)
ROWS: Axis = (("p", W, H),)
COLUMNS: Axis = (("p", 1, W),)
GIVEN = feature_map(SHAPE, 2)


def permuted(given: Map, *order: int) -> Map | None:
    return viewed(
        given, tuple(given.shape[at] for at in order), tuple(given.strides[at] for at in order)
    )


def test_a_feature_map_has_batch_channels_and_positions() -> None:
    assert (GIVEN.shape, GIVEN.strides) == (SHAPE, (C * H * W, H * W, W, 1))
    assert GIVEN.axes == (BATCH, CHANNELS, ROWS, COLUMNS)
    assert feature_map((C, H, W), 2).axes == (CHANNELS, ROWS, COLUMNS)
    assert feature_map((B, C, W), 1).axes == (BATCH, CHANNELS, COLUMNS)
    assert feature_map((1, C, 1, W), 2).axes == ((), CHANNELS, (), COLUMNS)


def test_strides_tell_which_axis_is_which_even_of_one_size() -> None:
    square = feature_map((3, 3, 3, 3), 2)
    turned = permuted(square, 0, 2, 3, 1)
    assert turned is not None
    assert turned.axes == ((("b", 1, 3),), (("p", 3, 3),), (("p", 1, 3),), (("c", 1, 3),))
    assert turned.is_whole(-1, 3, 81)
    assert not square.is_whole(-1, 3, 81)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        pytest.param(
            (B, C, H * W), (BATCH, CHANNELS, (("p", 1, H * W),)), id="positions flattened"
        ),
        pytest.param(
            (B, 3, 2, H, W),
            (BATCH, (("c", 2, 3),), (("c", 1, 2),), ROWS, COLUMNS),
            id="groups of channels",
        ),
        pytest.param(
            (B * C, H, W), ((*BATCH, *CHANNELS), ROWS, COLUMNS), id="channels into the batch"
        ),
        pytest.param(
            (B, C, 2, 2, W),
            (BATCH, CHANNELS, (("p", 2 * W, 2),), (("p", W, 2),), COLUMNS),
            id="rows halved",
        ),
        pytest.param(
            (B, C, 2, 2 * W),
            (BATCH, CHANNELS, (("p", 2 * W, 2),), (("p", 1, 2 * W),)),
            id="two rows in one",
        ),
        pytest.param(
            (B, 1, C, H, W, 1), (BATCH, (), CHANNELS, ROWS, COLUMNS, ()), id="axes of one value"
        ),
    ],
)
def test_a_view_in_another_shape_keeps_every_piece(
    shape: tuple[int, ...], axes: tuple[Axis, ...]
) -> None:
    there = viewed(GIVEN, shape, row_major(shape))
    assert there is not None
    assert there.axes == axes
    back = viewed(there, SHAPE, row_major(SHAPE))
    assert back == GIVEN


@pytest.mark.parametrize(
    ("shape", "strides"),
    [
        pytest.param((B, 3, H, W), (C * H * W, H * W, W, 1), id="half of the channels"),
        pytest.param((B, C, H, 3), (C * H * W, H * W, W, 2), id="every other column"),
        pytest.param((B, C * H * W // 8, 8), (C * H * W, 8, 1), id="a cut through rows"),
        pytest.param((B, C, C), (C * H * W, H * W, H * W), id="the channels twice"),
    ],
)
def test_a_view_of_a_part_or_through_a_piece_is_none(
    shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    assert viewed(GIVEN, shape, strides) is None


def test_an_axis_that_repeats_what_is_there_has_no_pieces() -> None:
    pooled = reduced(GIVEN, (2, 3), (B, C, 1, 1))
    assert pooled is not None
    expanded = viewed(pooled, SHAPE, (C, 1, 0, 0))
    assert expanded is not None
    assert expanded.axes == (BATCH, CHANNELS, (), ())
    assert joined((GIVEN, expanded), SHAPE) == GIVEN


def test_a_shuffle_of_channels_by_hand_leaves_them_whole_in_another_order() -> None:
    grouped = viewed(GIVEN, (B, 2, 3, H, W), row_major((B, 2, 3, H, W)))
    assert grouped is not None
    swapped = permuted(grouped, 0, 2, 1, 3, 4)
    assert swapped is not None
    result = reshaped(swapped, SHAPE)
    assert result is not None
    assert result.axes[1] == (("c", 1, 3), ("c", 3, 2))
    assert result.is_whole(1, C, B * C * H * W)
    assert joined((GIVEN, result), SHAPE) is None
    again = shuffled(GIVEN, "1")
    assert again is not None
    assert again.is_whole(1, C, B * C * H * W)
    assert joined((GIVEN, again), SHAPE) is None


@pytest.mark.parametrize(
    ("along", "shape", "axes"),
    [
        pytest.param((2, 3), (B, C), (BATCH, CHANNELS), id="all positions"),
        pytest.param((-2, -1), (B, C, 1, 1), (BATCH, CHANNELS, (), ()), id="all positions, kept"),
        pytest.param((1,), (B, H, W), (BATCH, ROWS, COLUMNS), id="all channels"),
        pytest.param((0, 2, 3), (C,), (CHANNELS,), id="all positions of all images"),
        pytest.param(
            (3,),
            (B, C, H),
            (BATCH, CHANNELS, (("r", W, H),)),
            id="columns alone: rows are what is left",
        ),
        pytest.param((0,), (C, H, W), None, id="images alone"),
    ],
)
def test_a_reduction_leaves_what_it_is_not_along(
    along: tuple[int, ...], shape: tuple[int, ...], axes: tuple[Axis, ...] | None
) -> None:
    found = reduced(GIVEN, along, shape)
    assert (found.axes if found else None) == axes


def test_what_is_left_of_the_positions_goes_with_no_map_and_can_be_reduced_in_its_turn() -> None:
    rows = reduced(GIVEN, (3,), (B, C, H, 1))
    assert rows is not None
    assert joined((GIVEN, rows), SHAPE) is None
    assert mixed(rows, (B, C, H, 1)) is None
    pooled = reduced(rows, (2,), (B, C, 1, 1))
    assert pooled is not None
    assert pooled.axes == (BATCH, CHANNELS, (), ())


def test_what_a_gate_mixes_goes_with_any_order_of_the_channels_and_with_no_position() -> None:
    pooled = reduced(GIVEN, (2, 3), (B, C))
    assert pooled is not None
    squeezed = mixed(pooled, (B, 2))
    assert squeezed is not None
    gate = mixed(squeezed, (B, C))
    assert gate is not None
    assert gate.axes == (BATCH, (("m1", 1, C),))
    spread = viewed(gate, (B, C, 1, 1), (C, 1, 1, 1))
    assert spread is not None
    gated = joined((GIVEN, spread), SHAPE)
    assert gated is not None
    assert gated.axes == GIVEN.axes
    assert gated.is_gated
    on_rows = viewed(mixed(pooled, (B, H)) or pooled, (B, 1, H, 1), (H, 1, 1, 1))
    assert on_rows is not None
    assert joined((GIVEN, on_rows), SHAPE) is None
    assert mixed(GIVEN, SHAPE) is None


def test_an_outer_product_brings_places_together() -> None:
    pooled = reduced(GIVEN, (2, 3), (B, C))
    assert pooled is not None
    column, row = viewed(pooled, (B, C, 1), (C, 1, 1)), viewed(pooled, (B, 1, C), (C, 1, 1))
    assert column is not None
    assert row is not None
    assert joined((column, row), (B, C, C)) is None
