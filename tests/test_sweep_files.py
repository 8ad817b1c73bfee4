"""Grids as YAML: the language, its mistakes with their places, and the files that people copy."""

from pathlib import Path

import pytest
import yaml

from dscost.configs import config_folder
from dscost.errors import FileProblems, InputError
from dscost.notation.marked_yaml import Problems, parse_yaml
from dscost.sweeping.grid_files import KEYS, grids_in, read_grids
from dscost.sweeping.grids import AXES, Grid
from dscost.sweeping.swept import layers_of

FILES = sorted(config_folder("sweeps").glob("*.yaml"))


def read(text: str) -> tuple[Grid, ...]:
    problems = Problems()
    return grids_in(parse_yaml(text, "s.yaml", problems), "s.yaml", problems)


def one(text: str) -> Grid:
    (grid,) = read(text)
    return grid


def refused(text: str) -> list[str]:
    with pytest.raises(FileProblems) as error:
        read(text)
    return str(error.value).splitlines()


# -- what may be said


def test_a_grid_is_said_as_on_the_command_line() -> None:
    grid = one("{cin: '8:64:8, 128', cout: 2 * cin, k: '1, 5x3', size: [7, 14], bias: yes}")
    found = {axis.name: axis.values for axis in grid.axes}
    assert found["in_channels"] == (8, 16, 24, 32, 40, 48, 56, 64, 128)
    assert found["kernel_size"] == (1, (5, 3))
    assert found["input_size"] == (7, 14)
    assert found["bias"] == (True,)
    assert grid.values(0)["out_channels"] == 16


@pytest.mark.parametrize("key", KEYS)
def test_every_axis_has_its_short_and_its_long_name(key: str) -> None:
    usual = {"in_channels": 8, "out_channels": 8, "kernel_size": 1, KEYS[key]: None}
    text = ", ".join(f"{name}: {value}" for name, value in usual.items() if name != KEYS[key])
    value = "true" if key == "bias" else "2"
    grid = one(f"{{{text}, {key}: {value}}}")
    assert {axis.name: axis.values for axis in grid.axes}[KEYS[key]] == (key == "bias" or 2,)


def test_a_list_may_hold_ranges_sizes_and_no_padding() -> None:
    grid = one("{cin: [8:24:8, 64], cout: 8, k: [1, 5x3], padding: [null, same, 0]}")
    found = {axis.name: axis.values for axis in grid.axes}
    assert found["in_channels"] == (8, 16, 24, 64)
    assert found["padding"] == (None, "same", 0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ["depthwise_separable"]),
        ("ghost", ["ghost"]),
        ("'ghost, inverted_residual:6'", ["ghost", "inverted_residual:6"]),
        ("[ghost, {inverted_residual: [3, 6]}]", ["ghost", "inverted_residual:3", "inverted_residual:6"]),
        ("{ghost: , grouped: 4}", ["ghost", "grouped:4"]),
        ("standard", []),
        ("[]", []),
    ],
)  # fmt: skip
def test_variants_are_said_in_many_ways(said: str, expected: list[str]) -> None:
    more = f", variants: {said}" if said else ""
    grid = one(f"{{cin: 8, cout: 8, k: 3{more}}}")
    assert [asked.label for asked in grid.variants] == expected


def test_what_stands_beside_grids_holds_of_each_that_does_not_say_otherwise() -> None:
    wide, narrow, head = read(
        """
        k: 3
        dtype: float16
        variants: ghost
        input_size: 7
        grids:
          - {name: wide, cin: 64, cout: 64, size: 28, dtype: int8}
          - {name: narrow, cin: 8, cout: 8, kernel: 5, variants: []}
          - {name: head, op: linear, cin: 64, cout: 10}
        """
    )
    assert (wide.name, wide.dtype, wide.values(0)["input_size"]) == ("wide", "int8", 28)
    assert [asked.label for asked in wide.variants] == ["ghost"]
    assert (narrow.dtype, narrow.values(0)["kernel_size"], narrow.variants) == ("float16", 5, ())
    assert narrow.values(0)["input_size"] == 7
    assert head.values(0) == {"in_channels": 64, "out_channels": 10, "bias": True, "batch": 1}


def test_rows_of_several_grids_say_which() -> None:
    found = layers_of(
        read("grids: [{name: a, cin: 8, cout: 8, k: 3}, {name: b, op: linear, cin: 8, cout: 10}]")
    ).counted()
    assert [(row.of["grid"], row.variant) for row in found.rows] == [
        *(("a", "standard"), ("a", "depthwise_separable"), ("b", "linear"))
    ]
    assert found.rows[2].cost.params == 8 * 10 + 10


# -- what may not


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{cin: [8, [16]], cout: 8, k: 3}", ["1:11: expected a value of cin, found a list in a list"]),
        ("{cin: [8, {a: 1}], cout: 8, k: 3}", ["1:11: expected a value of cin, found a mapping in a list"]),
        (
            "{cin: [8, true, x], cout: 8, k: 3}",
            [
                "1:11: expected something like 8:1024:8 or 16,32,64, found True",
                "1:17: unknown name 'x' (an expression has cin, cout, k, stride, padding, dilation, groups, size, batch)",
            ],
        ),
        ("{cin: [8, cout], cout: 8, k: 3}", ["1:11: an expression stands alone, found 'cout' in a list"]),
        ("{cin: [], cout: 8, k: 3}", ["1:7: no value is given: expected something like 8:1024:8 or 16,32,64"]),
        ("{cin: , cout: 8, k: 3}", ["1:7: expected something like 8:1024:8 or 16,32,64, found nothing"]),
        ("{cin: {a: 1}, cout: 8, k: 3}", ["1:7: expected something like 8:1024:8 or 16,32,64, found a mapping"]),
        ("{cin: 8.5, cout: 8, k: 3}", ["1:7: expected something like 8:1024:8 or 16,32,64, found 8.5"]),
        ("{cin: 8:4, cout: 0, k: 3}", ["1:7: 8:4 is empty: a range rises, as in 4:8", "1:18: must be at least 1, found 0"]),
        ("{cin: 8, cin: 16, cout: 8, k: 3}", ["1:10: duplicate key 'cin' (first on line 1)"]),
        ("{cin: 8, in_channels: 16, cout: 8, k: 3}", ["1:10: in_channels is cin, which is given already"]),
        ("{cin: 8, cout: 8, k: 3, grops: 1}", ["1:25: unknown key 'grops' (did you mean 'groups'?)"]),
        ("{cin: 8, cout: cout, k: 3}", ["1:16: cout cannot follow from itself"]),
        ("{cin: 8, k: 3}", ["1:1: missing: out channels (cout)"]),
        ("{cin: 8, cout: 8, k: 3x3, size: 7x7x7}", ["1:33: 7×7×7 has 3 sizes, but k 3×3 has 2 sizes"]),
        ("{cin: 8, cout: 8, k: 3, dims: 4}", ["1:31: dims must be 1, 2 or 3, found 4"]),
        ("{cin: 8, cout: 8, k: 3, dtype: flaot16}", ["1:32: unknown dtype 'flaot16' (did you mean 'float16'?)"]),
        ("{cin: 8, cout: 8, op: liner}", ["1:1: missing: kernel size (k)", "1:23: unknown operation 'liner' (did you mean 'linear'?)"]),
        ("{cin: 8, cout: 8, k: 3, op: linear}", ["1:22: a linear layer has none"]),
        ("{cin: 8, op: global_pooling, dims: 1}", ["1:1: a global pooling has 2 dimensions, found 1"]),
        ("{cin: 8, op: global_pooling, size: 7x7x7}", ["1:1: a global pooling has 2 dimensions, found 3"]),
        (
            "{cin: 8, cout: 8, op: linear, variants: ghost}",
            ["1:31: variants are of convolutions, not of linear"],
        ),
        ("{cin: 8, cout: 8, k: 3, variants: gost}", ["1:35: unknown variant 'gost' (did you mean 'ghost'?)"]),
        ("{cin: 8, cout: 8, k: 3, variants: [3]}", ["1:36: expected a variant such as ghost or {inverted_residual: 6}, found a number"]),
        ("{cin: 8, cout: 8, k: 3, variants: [{ghost: x}]}", ["1:36: ghost takes a whole number, or a list of such, found text"]),
        ("[1, 2]", ["1:1: expected a grid such as {cin: 16, cout: 32, k: 3}, or grids, found a list"]),
        ("{}", [
            "1:1: expected a grid such as {cin: 16, cout: 32, k: 3}, or grids, found nothing",
            "1:1: missing: in channels (cin), out channels (cout), kernel size (k)",
        ]),
        ("grids: []", ["1:8: expected a list of grids, found nothing"]),
        ("grids: {a: 1}", ["1:8: expected a list of grids, found a mapping"]),
        ("grids: [3]", ["1:9: expected a grid such as {name: early, cin: 16, cout: 32, k: 3}, found a number"]),
        ("grids: [{cin: 8, cout: 8, k: 3}]", ["1:9: missing key 'name'"]),
        (
            "k: 3\ngrids:\n- {name: a, cin: 8, cout: 8}\n- {name: a, cin: 8, cout: 9}",
            ["4:10: two grids are called 'a'"],
        ),
        ("k: [0]\ngrids: [{name: a, cin: 8, cout: 8}]", ["1:5: must be at least 1, found 0"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_places(text: str, told: list[str]) -> None:
    assert refused(text) == [f"s.yaml:{line}" for line in told]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    lines = refused(
        "cin: [8, [16]]\ncout: 8:4\nk: {a: 1}\nstride: 1:2:0\npadding: smae\ngrops: 1\nvariants: gost\nop: convolutio\n"
    )
    assert [int(line.split(":")[1]) for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8]


# -- the files of this repository


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_of_ours_counts_whole(path: Path) -> None:
    found = layers_of(read_grids(path.stem)).counted()
    assert found.impossible is None
    assert all(not row.note for row in found.rows)


def test_there_are_as_many_cases_as_their_comments_say() -> None:
    (pays,) = read_grids("separable_pays")
    assert pays.size == 60
    blocks = layers_of(read_grids("mobile_blocks")).counted()
    # ten places, three kernels, as it is and with three expansions
    assert len(blocks.rows) == 10 * 3 * (1 + 3)


def test_the_example_of_the_readme_is_understood() -> None:
    text = (config_folder("sweeps") / "README.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    early, head = read(example)
    assert (early.size, len(early.variants), head.size) == (8 * 2 * 2, 3, 2)


def test_the_readme_has_every_key_and_every_file() -> None:
    text = (config_folder("sweeps") / "README.md").read_text(encoding="utf-8")
    for key in (*KEYS, *AXES):
        assert f"`{key}`" in text, key
    for path in FILES:
        assert f"[{path.name}]({path.name})" in text
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["description"]


def test_a_sweep_that_there_is_not_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^unknown sweep 'mobile_block' \(did you mean 'mobile_b"):
        read_grids("mobile_block")
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        read_grids("nowhere.yaml")
