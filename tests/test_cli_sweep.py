"""`dscost sweep`: grids of layers, counted into a table."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from program import run

GRID = ("sweep", "--cin", "256", "--cout", "128,256", "-k", "3")
STANDARD = 256 * 256 * 9 * 14 * 14
SEPARABLE = (256 * 9 + 256 * 256) * 14 * 14


def rows_of(*arguments: str) -> list[dict[str, str]]:
    ran = run(*arguments, "--format", "csv")
    assert ran.returncode == 0, ran.stderr
    return list(csv.DictReader(StringIO(ran.stdout)))


def test_each_layer_has_a_row_as_it_is_and_one_of_its_variant() -> None:
    found = rows_of(*GRID)
    assert [(row["out_channels"], row["variant"]) for row in found] == [
        ("128", "standard"), ("128", "depthwise_separable"),
        ("256", "standard"), ("256", "depthwise_separable"),
    ]  # fmt: skip
    assert [int(row["macs"]) for row in found[2:]] == [STANDARD, SEPARABLE]
    assert float(found[3]["macs_reduction"]) == pytest.approx(8.694, abs=5e-4)  # 1 / (1/256 + 1/9)
    assert int(found[3]["params"]) == 256 * 9 + 256 * 256


def test_what_is_assumed_stands_in_every_row() -> None:
    row = rows_of(*GRID)[0]
    assumed = ("stride", "padding", "dilation", "groups", "input_size", "batch", "dtype")
    assert [row[name] for name in assumed] == ["1", "1", "1", "1", "14", "1", "float32"]


def test_standard_alone_is_no_variant() -> None:
    assert {row["variant"] for row in rows_of(*GRID, "--variant", "standard")} == {"standard"}


def test_variants_are_lists_and_repeatable() -> None:
    found = rows_of(*GRID, "--variant", "ghost,inverted_residual:6", "--variant", "shuffle")
    assert [row["variant"] for row in found[:4]] == [
        *("standard", "ghost", "inverted_residual:6", "shuffle")
    ]


def test_a_variant_that_a_layer_does_not_have_is_no_row_and_says_why() -> None:
    grid = ("sweep", "--cin", "8,9", "--cout", "18", "-k", "3", "--variant", "grouped:3")
    assert [(row["in_channels"], row["variant"]) for row in rows_of(*grid)] == [
        *(("8", "standard"), ("9", "standard"), ("9", "grouped:3"))
    ]
    why = "groups=3 does not divide in_channels=8"
    assert why in run(*grid).stdout
    _, lacking, *_ = json.loads(run(*grid, "--json").stdout)["rows"]
    assert (lacking["variant"], lacking["macs"]) == ("grouped:3", None)
    assert why in lacking["note"]


def test_columns_follow_from_others() -> None:
    found = rows_of("sweep", "--cin", "8:24:8", "--cout", "2 * cin", "-k", "3", "--groups", "cin")
    sizes = [(row["in_channels"], row["out_channels"], row["groups"]) for row in found]
    assert sizes == [("8", "16", "8"), ("16", "32", "16"), ("24", "48", "24")]


def test_impossible_layers_are_left_out_and_told() -> None:
    ran = run("sweep", "--cin", "8,9", "--cout", "18", "-k", "3", "--groups", "1,3")
    assert ran.returncode == 0
    assert ran.stderr == (
        "dscost: 1 of 4 layers cannot exist, such as cin 8, groups 3: groups=3 does not divide in_channels=8\n"
    )


def test_what_is_tied_may_be_no_whole_number_somewhere() -> None:
    ran = run("sweep", "--cin", "8,9", "--cout", "cin / 2", "-k", "3")
    assert ran.returncode == 0
    assert ran.stderr == (
        "dscost: 1 of 2 layers cannot exist, such as cin 9: cout = cin / 2 is 4.5\n"
    )
    ran = run("sweep", "--cin", "8", "--cout", "8", "-k", "1,3", "--groups", "8 / (k - 1)")
    assert "1 of 2 layers cannot exist, such as k 1: groups: " in ran.stderr


def test_where_no_layer_can_exist_there_is_no_table() -> None:
    ran = run("sweep", "--cin", "8", "--cout", "8,16", "-k", "3", "--groups", "3")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: none of 2 layers can exist, such as cout 8: groups=3 does not divide in_channels=8; "
        "groups=3 does not divide out_channels=8\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--cin 8:4 --cout 8 -k 3", ["--cin: 8:4 is empty: a range rises, as in 4:8"]),
        ("--cin 8 --cout cni -k 3", ["--cout: unknown name 'cni' (did you mean 'cin'?)"]),
        ("--cin 8 --cout 8 -k 3 --dtype flaot16", ["unknown dtype 'flaot16' (did you mean 'float16'?)"]),
        ("--cin 8 --cout 8 -k 3 --variant gost", ["unknown variant 'gost' (did you mean 'ghost'?)"]),
        ("--cin 8 --cout 8 -k 3 --columns mcas", ["unknown column 'mcas' (did you mean 'macs'?)"]),
        (
            "--cin 0 --cout 1.5 -k x --size 7x7x7 --stride 2x1",
            [
                "--cin: must be at least 1, found 0",
                "--cout: expected something like 8:1024:8, 16,32,64 or 2 * cin, found '1.5'",
                "-k: unknown name 'x' (an expression has cin, cout, k, stride, padding, dilation, groups, size, batch)",
                "--size: 7×7×7 has 3 sizes, but stride 2×1 has 2 sizes",
            ],
        ),
    ],
)  # fmt: skip
def test_bad_grids_are_told_line_by_line(arguments: str, told: list[str]) -> None:
    ran = run("sweep", *arguments.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [f"dscost: {line}" for line in told]


def test_too_large_a_grid_is_refused_at_once() -> None:
    ran = run(*"sweep --cin 1:100000 --cout 1:100000 --size 1:100000 -k 3".split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("dscost: 1,000,000,000,000,000 layers (cin 100,000 × ")


def test_more_layers_than_can_be_timed_are_refused_at_once() -> None:
    ran = run(*"sweep --cin 1:1000 --cout 1:1000 -k 3 --time".split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(
        "dscost: 1,000,000 layers (cin 1,000 × cout 1,000) are too many to be timed at once, at most 100,000: "
    )


def test_json_has_how_many_were_asked_for() -> None:
    found = json.loads(run(*GRID, "--json").stdout)
    assert found["command"] == "sweep"
    assert (found["size"], len(found["rows"])) == (2, 4)
    assert found["rows"][2]["macs"] == STANDARD


def test_a_table_is_written_to_a_file(tmp_path: Path) -> None:
    ran = run(*GRID, "-o", "table.csv", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "wrote table.csv\n")
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 4


# -- files of grids


def test_a_file_of_grids_stands_in_place_of_options(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{cin: [8, 16], cout: cin, k: 3, variants: []}\n")
    ran = run("sweep", "s.yaml", "--format", "csv", cwd=tmp_path)
    assert [row["macs"] for row in csv.DictReader(StringIO(ran.stdout))] == [
        str(8 * 8 * 9 * 14 * 14), str(16 * 16 * 9 * 14 * 14),
    ]  # fmt: skip


def test_a_file_says_all_of_its_grids() -> None:
    ran = run("sweep", "separable_pays", "--cin", "8", "--dtype", "int8")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --cin, --dtype: a file says all of its grids; copy separable_pays and edit it\n"
    )


def test_mistakes_of_a_file_are_told_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("cin: [8, [16]]\ncout: 8:4\nk: 3\n")
    ran = run("sweep", "s.yaml", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [
        "s.yaml:1:10: expected a value of cin, found a list in a list",
        "s.yaml:2:7: 8:4 is empty: a range rises, as in 4:8",
    ]


def test_a_file_of_grids_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{cin: 8, cout: 8, k: 3}\n")
    ran = run("sweep", "s.yaml", "--export", "csv=s.yaml", cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.startswith("dscost: s.yaml is read as the sweep")


def test_from_python_it_is_the_same() -> None:
    import dscost

    found = dscost.sweep(256, [128, 256], 3)
    assert [row.cost.macs for row in found.rows][2:] == [STANDARD, SEPARABLE]
    assert found == dscost.sweep("256", "128,256", "3", variants=["depthwise_separable"])
    assert str(found).splitlines() == run(*GRID).stdout.rstrip().splitlines()
    assert len(dscost.sweep(file="separable_pays").rows) == 60 * 2
    with pytest.raises(dscost.DscostError, match=r"^dtype: a file says all of its grids; copy sep"):
        dscost.sweep(file="separable_pays", dtype="int8")
    with pytest.raises(dscost.DscostError, match=r"^in_channels: 8:4 is empty.*\nout_channels: "):
        dscost.sweep("8:4", 0, 3)


@pytest.mark.parametrize("last", ["9", "6000"], ids=["held", "streamed"])
def test_a_table_without_variants_that_layers_do_not_have_says_how_many(
    last: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    grid = ("sweep", "--cin", f"8:{last}", "--cout", "18", "-k", "3", "--variant", "ghost:4")
    ran = run(*grid, "-o", str(path))
    number = int(last) - 7
    why = "s=4 does not divide out_channels=18"
    assert (
        f"{number:,} layers have no ghost:4 and no row for it, such as: variant ghost:4: {why}"
        in ran.stderr
    )
    assert len(path.read_text().splitlines()) == 1 + number


def test_columns_may_be_called_as_the_options_of_a_grid_are() -> None:
    ran = run(*GRID, "--format", "csv", "--columns", "cin,k,macs")
    assert ran.stdout.splitlines()[:2] == ["in_channels,kernel_size,macs", f"256,3,{STANDARD // 2}"]
    ran = run(*GRID, "--columns", "cout", "--sort", "cout", "-n", "1")
    assert ran.stdout.splitlines()[-4].split()[0] == "256"
