"""What people say of the axes of a sweep: ranges, lists, sizes, expressions, and everything that is none."""

from typing import Any

import pytest
from hypothesis import given as made_of
from hypothesis import strategies as st
from properties import law

from dscost.errors import InputError, MissingInputError
from dscost.networks.expressions import Expression
from dscost.sweeping.axes import EXAMPLES, NAMES, parse_axis
from dscost.sweeping.grids import AXES, Grid
from dscost.sweeping.making_grids import MOST_COUNTED, Setup, check_size, grid_of

USUAL: dict[str, Any] = {"in_channels": 8, "out_channels": 16, "kernel_size": 3}


def made(dims: int | None = None, **given: Any) -> Grid:
    return grid_of({**USUAL, **given}, Setup(dims=dims))


def refused(dims: int | None = None, **given: Any) -> str:
    with pytest.raises(InputError) as error:
        made(dims, **given)
    return str(error.value)


# -- values


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("in_channels", "8:64:8", (8, 16, 24, 32, 40, 48, 56, 64)),
        ("in_channels", "8:63:8", (8, 16, 24, 32, 40, 48, 56)),
        ("in_channels", "8:11", (8, 9, 10, 11)),
        ("in_channels", "8:8", (8,)),
        ("in_channels", " 16 , 32,64 ", (16, 32, 64)),
        ("in_channels", "8:24:8,128", (8, 16, 24, 128)),
        ("in_channels", "8:24:8,16,8", (8, 16, 24)),
        ("kernel_size", "1,3,5x3", (1, 3, (5, 3))),
        ("kernel_size", "5 × 3, 3x3x3", ((5, 3), (3, 3, 3))),
        ("padding", "same,0,1", ("same", 0, 1)),
        ("padding", "valid", (0,)),
        ("padding", None, (None,)),
        ("bias", "true,no,yes", (True, False)),
        ("bias", True, (True,)),
        ("bias", [False, True], (False, True)),
        ("in_channels", 8, (8,)),
        ("in_channels", [8, 16, 8], (8, 16)),
        ("in_channels", (8, 16), (8, 16)),
        ("in_channels", range(8, 32, 8), (8, 16, 24)),
        ("in_channels", [range(8, 32, 8), 64, "100:102"], (8, 16, 24, 64, 100, 101, 102)),
        ("kernel_size", (5, 3), ((5, 3),)),
        ("kernel_size", [1, (5, 3), "7x7"], (1, (5, 3), (7, 7))),
    ],
)
def test_an_axis_is_said_in_many_ways(
    name: str, given: object, expected: tuple[object, ...]
) -> None:
    assert parse_axis(name, given) == expected


def test_a_whole_number_may_be_of_another_type_than_ours() -> None:
    class Whole:
        def __index__(self) -> int:
            return 8

    assert parse_axis("in_channels", Whole()) == (8,)


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("in_channels", "", "no value is given: expected something like 8:1024:8 or 16,32,64"),
        ("in_channels", "  ", "no value is given: expected something like 8:1024:8 or 16,32,64"),
        ("in_channels", [], "no value is given"),
        ("in_channels", range(8, 8), "no value is given"),
        ("in_channels", "64:8", "64:8 is empty: a range rises, as in 8:64"),
        ("in_channels", "8:4", "8:4 is empty: a range rises, as in 4:8"),
        ("in_channels", "64:8:-8", "64:8:-8 is empty: a range rises, as in 8:64:8"),
        ("in_channels", "8:64:0", "8:64:0 never gets on: its step is 0"),
        ("in_channels", "8,,9", "expected something like 8:1024:8 or 16,32,64, found '8,,9'"),
        ("in_channels", "8,", "expected something like 8:1024:8 or 16,32,64, found '8,'"),
        ("in_channels", "8:", "expected something like 8:1024:8 or 16,32,64, found '8:'"),
        ("in_channels", "8:16:2:1", "expected something like 8:1024:8 or 16,32,64, found '8:16:2:1'"),
        ("in_channels", "1.5", "expected something like 8:1024:8 or 16,32,64, found '1.5'"),
        ("in_channels", "1e3", "expected something like 8:1024:8 or 16,32,64, found '1e3'"),
        ("in_channels", "5x3", "expected something like 8:1024:8 or 16,32,64, found '5x3'"),
        ("in_channels", 1.5, "expected something like 8:1024:8 or 16,32,64, found 1.5"),
        ("in_channels", True, "expected something like 8:1024:8 or 16,32,64, found True"),
        ("in_channels", None, "expected something like 8:1024:8 or 16,32,64, found None"),
        ("in_channels", {"a": 1}, "expected something like 8:1024:8 or 16,32,64, found {'a': 1}"),
        ("in_channels", [[8]], "expected something like 8:1024:8 or 16,32,64, found [8]"),
        ("in_channels", 0, "must be at least 1, found 0"),
        ("in_channels", "0:64:8", "must be at least 1, found 0"),
        ("in_channels", "-8", "must be at least 1, found -8"),
        ("padding", -1, "must be at least 0, found -1"),
        ("in_channels", "8:1000001", "must be at most 1,000,000, found 1,000,001"),
        ("in_channels", range(10**12), "a range of 1,000,000,000,000 values: at most 1,000,000"),
        ("kernel_size", "3x3x3x3", "expected something like 3, 1,3,5 or 5x3, found '3x3x3x3'"),
        ("kernel_size", (), "expected something like 3, 1,3,5 or 5x3, found ()"),
        ("kernel_size", "0x3", "must be at least 1, found 0"),
        ("bias", "maybe", "expected something like true, false or true,false, found 'maybe'"),
        ("bias", 1, "expected something like true, false or true,false, found 1"),
        ("bias", "cin", "expected something like true, false or true,false, found 'cin'"),
        ("padding", "smae", "unknown name 'smae' (did you mean 'same'?)"),
        ("padding", "0,smae", "expected something like 0,1 or same, found '0,smae'"),
        ("groups", "cni", "unknown name 'cni' (did you mean 'cin'?)"),
        (
            "groups",
            "depth",
            "unknown name 'depth' (an expression has cin, cout, k, stride, padding, dilation, groups, size, batch)",
        ),
        ("groups", "rnd8(cin)", "unknown function 'rnd8' (did you mean 'round8'?)"),
        ("groups", "cin ** 2", "'cin ** 2': ** is not allowed in an expression"),
        ("groups", "2 * cin, 3 * cin", "an expression stands alone, found '2 * cin, 3 * cin'"),
        ("groups", [1, "cin"], "an expression stands alone, found 'cin' in a list"),
        ("groups", "1,cin", "expected something like 1,2,4 or cin, found '1,cin'"),
        ("groups", "cin(", "not an expression: 'cin('"),
        ("groups", "cin.real", "'cin.real': Attribute is not allowed in an expression"),
    ],
)  # fmt: skip
def test_what_is_no_axis_is_told_in_a_line(name: str, given: object, told: str) -> None:
    with pytest.raises(InputError) as error:
        parse_axis(name, given)
    assert str(error.value) == told


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(InputError) as error:
        parse_axis("in_channels", "9" * 10_000)
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("name", AXES)
def test_the_example_of_each_axis_is_understood(name: str) -> None:
    for text in EXAMPLES[name].replace(" or ", ", ").split(", "):
        assert parse_axis(name, text)


@pytest.mark.parametrize("name", NAMES)
def test_an_expression_may_call_an_axis_by_either_name(name: str) -> None:
    found = parse_axis("out_channels", f"2 * {name} + 1")
    assert isinstance(found, Expression)
    assert found.text == f"2 * {NAMES[name]} + 1"


NUMBERS = st.integers(1, 3000)


@law
@made_of(NUMBERS, NUMBERS, st.integers(1, 99), st.lists(NUMBERS, max_size=4))
def test_a_range_is_that_of_python_with_its_end(
    one: int, other: int, step: int, more: list[int]
) -> None:
    first, last = sorted((one, other))
    text = ",".join([f"{first}:{last}:{step}", *map(str, more)])
    expected = [*range(first, last + 1, step), *more]
    assert parse_axis("in_channels", text) == tuple(dict.fromkeys(expected))


@law
@made_of(st.text(max_size=30), st.sampled_from(AXES))
def test_any_text_is_an_axis_or_told(text: str, name: str) -> None:
    try:
        found: object = parse_axis(name, text)
    except InputError as error:
        found = str(error)
    assert isinstance(found, Expression) or found


@law
@made_of(st.data())
def test_every_layer_of_a_grid_is_another(data: st.DataObject) -> None:
    axes = {
        name: data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=3))
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "batch")
    }
    grid = grid_of({**axes, "groups": "cin"}, Setup())
    layers = [grid.values(number) for number in range(grid.size)]
    assert len({tuple(one.items()) for one in layers}) == grid.size
    assert all(one["groups"] == one["in_channels"] for one in layers)


# -- grids


def test_a_grid_runs_through_its_axes_the_first_slowest() -> None:
    grid = made(in_channels="8,16", kernel_size="1,3,5")
    found = [grid.values(number) for number in range(grid.size)]
    assert [(one["in_channels"], one["kernel_size"]) for one in found] == [
        (8, 1), (8, 3), (8, 5), (16, 1), (16, 3), (16, 5),
    ]  # fmt: skip


def test_what_is_left_out_is_what_a_layer_assumes() -> None:
    from dscost.analysis.counting import LAYER_DEFAULTS

    values = made().values(0)
    assert list(values) == list(AXES)
    for name in AXES[3:]:
        assert values[name] == LAYER_DEFAULTS[name], name


def test_what_is_tied_follows_from_what_it_needs() -> None:
    grid = made(in_channels="8:24:8", groups="cout", out_channels="round8(1.5 * in_channels)")
    assert [tie.name for tie in grid.ties] == ["out_channels", "groups"]
    assert grid.size == 3
    # 8 · 1.5 = 12 → 16 (half up), 16 · 1.5 = 24, 24 · 1.5 = 36 → 40
    assert [grid.values(number)["groups"] for number in range(3)] == [16, 24, 40]


def test_a_padding_may_follow_from_the_kernel() -> None:
    grid = made(kernel_size="1,3,7", padding="k // 2")
    assert [grid.values(number)["padding"] for number in range(3)] == [0, 1, 3]


@pytest.mark.parametrize(
    ("given", "dims"),
    [({}, 2), ({"kernel_size": "5x3"}, 2), ({"input_size": "7x7x7"}, 3), ({"dims": 1}, 1)],
)
def test_there_are_as_many_dimensions_as_sizes(given: dict[str, Any], dims: int) -> None:
    assert made(**given).dims == dims


def test_a_kernel_that_is_alike_in_every_dimension_is_one_number() -> None:
    grid = made(kernel_size="3,3x3,5x3", out_channels=8)
    assert grid.axes[2].values == (3, (5, 3))
    assert made(kernel_size="3x3", padding="k // 2").values(0)["padding"] == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"out_channels": "cout"}, "out_channels: cout cannot follow from itself"),
        (
            {"out_channels": "groups", "groups": "cout"},
            "out_channels: cout from groups from cout: nothing to begin with",
        ),
        (
            {"kernel_size": "1,5x3", "padding": "k // 2"},
            "padding: k // 2: k 5×3 is more than one number, nothing is computed of it",
        ),
        (
            {"padding": "same", "groups": "padding"},
            "groups: padding: padding 'same' is no number",
        ),
        ({"groups": "padding"}, "groups: padding: padding is no number unless it is given"),
        (
            {"kernel_size": "3x3,3x3x3"},
            "kernel_size: 3×3×3 has 3 sizes, but k 3×3 has 2 sizes",
        ),
        (
            {"kernel_size": "3x3", "input_size": "7x7x7"},
            "input_size: 7×7×7 has 3 sizes, but k 3×3 has 2 sizes",
        ),
        ({"kernel_size": "5x3", "dims": 1}, "kernel_size: 5×3 has 2 sizes, but dims is 1"),
        ({"dims": 4}, "dims must be 1, 2 or 3, found 4"),
    ],
)
def test_axes_that_do_not_go_together_are_told(given: dict[str, Any], told: str) -> None:
    assert refused(**given) == told


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refused(in_channels="", out_channels="64:8", stride="1:4:0", dims=7, groups="groups")
    assert [line.partition(":")[0] for line in told.splitlines()] == [
        *("in_channels", "out_channels", "stride"),
        *("dims must be 1, 2 or 3, found 7", "groups"),
    ]


def test_what_is_missing_is_named_with_how_it_is_given() -> None:
    with pytest.raises(MissingInputError) as error:
        grid_of({"in_channels": 8, "out_channels": None}, Setup(), lambda name: f"--{name}")
    assert str(error.value) == (
        "missing: out channels (--out_channels), kernel size (--kernel_size)"
    )


def test_a_linear_layer_has_neither_kernel_nor_size() -> None:
    with pytest.raises(
        InputError, match=r"^kernel_size: a linear layer has none\ninput_size: a linear"
    ):
        grid_of({**USUAL, "input_size": 7}, Setup(operation="linear"))
    grid = grid_of({"in_channels": 8, "out_channels": "cin"}, Setup(operation="linear"))
    assert grid.values(0) == {"in_channels": 8, "out_channels": 8, "bias": True, "batch": 1}
    with pytest.raises(InputError, match=r"^out_channels: k: there is no k here$"):
        grid_of({"in_channels": 8, "out_channels": "k"}, Setup(operation="linear"))


def test_too_many_layers_are_told_axis_by_axis_before_any_work() -> None:
    grid = made(in_channels="1:100000", out_channels="1:100000", input_size="1:100000")
    with pytest.raises(InputError) as error:
        check_size([grid])
    assert str(error.value) == (
        "1,000,000,000,000,000 layers (cin 100,000 × cout 100,000 × size 100,000) are too many to be counted "
        "at once, at most 1,000,000,000: take larger steps, or a part of an axis at a time"
    )
    with pytest.raises(InputError, match=r"^16 layers \(cin 4 × k 4\) are too many to be timed"):
        check_size([made(in_channels="1:4", kernel_size="1:4")], 15, "timed")
    check_size([made(in_channels="1:100000", out_channels="1:10000")], MOST_COUNTED)


def test_of_several_grids_the_largest_is_told() -> None:
    small, large = made(), made(in_channels="1:99")._replace(name="wide")
    with pytest.raises(InputError, match=r"^100 layers \(wide alone 99: cin 99\) are too many"):
        check_size([small, large], 99)
