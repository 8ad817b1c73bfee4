"""`dscost sweep --time`: what is timed, where it is kept, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from program import Ran, run

from dscost.analysis import beside_reference

GRID = ("sweep", "--cin", "4", "--cout", "4,8", "-k", "3", "--size", "4")
TIMED = (*GRID, "--time", "--threads", "1")


@pytest.fixture(autouse=True)
def _comparisons_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_reference, "COMPARISON_S", 0.03)
    monkeypatch.setattr(beside_reference, "SLOW_CALLS", 1)


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Ran]:
    def command(*arguments: str) -> Ran:
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        return run(*arguments, cwd=tmp_path, env=environment)

    return command


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def keys_in(journal: Path) -> set[str]:
    return {json.loads(line)["key"] for line in journal.read_text().splitlines()[1:]}


def test_a_timed_table_has_latencies_with_intervals_and_speedups(
    sweep: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = sweep(*TIMED, "-o", "lut.csv")
    assert ran.returncode == 0, ran.stderr
    assert "wrote lut.csv" in ran.stderr.splitlines()
    rows = table(tmp_path / "lut.csv")
    assert [(row["out_channels"], row["variant"]) for row in rows] == [
        (cout, variant) for cout in ("4", "8") for variant in ("standard", "depthwise_separable")
    ]
    for row in rows:
        low, middle, high = (float(row[f"latency{part}_s"]) for part in ("_low", "", "_high"))
        assert 0 < low <= middle <= high
        assert (row["runtime"], row["threads"], row["clock"]) == ("torch", "1", "wall")
    assert [row["speedup"] != "" for row in rows] == [False, True] * 2
    assert keys_in(tmp_path / "lut.csv.journal")


def test_no_result_is_written_over_the_journal_beside_the_table(
    sweep: Callable[..., Ran], tmp_path: Path
) -> None:
    sweep(*TIMED, "-o", "lut.csv")
    before = (tmp_path / "lut.csv.journal").read_bytes()
    ran = sweep(*TIMED, "-o", "lut.csv", "--export", "csv=lut.csv.journal")
    assert (ran.returncode, ran.stderr) == (
        2,
        "dscost: lut.csv.journal is read as the journal of lut.csv, "
        "a result would be written over it\n",
    )
    assert (tmp_path / "lut.csv.journal").read_bytes() == before
    assert sweep(*GRID, "-o", "lut.csv", "--export", "csv=lut.csv.journal").returncode == 0


def test_a_journal_lies_beside_a_table_and_not_beside_a_picture(
    sweep: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = sweep(*TIMED, "--plot", "crossover=map.svg")
    assert ran.returncode == 0, ran.stderr
    assert "Times as fast as standard" in (tmp_path / "map.svg").read_text()
    assert not (tmp_path / "map.svg.journal").exists()
    assert len([*(tmp_path / "cache").rglob("*.jsonl")]) == 1


def test_it_goes_on_where_it_was_and_says_so(sweep: Callable[..., Ran], tmp_path: Path) -> None:
    first = sweep(*TIMED, "--time-budget", "1ms", "-o", "lut.csv")
    assert first.returncode == 0
    left = "1 of 2 cases is left: run the same command again to go on"
    assert first.stderr.splitlines()[0] == f"dscost: {left}"
    assert [row["note"] for row in table(tmp_path / "lut.csv")].count("not timed yet") == 2
    second = sweep(*TIMED, "-o", "lut.csv")
    assert second.stderr.splitlines()[0] == "1 of 2 cases is in lut.csv.journal; going on"
    third = sweep(*TIMED, "-o", "lut.csv")
    assert third.stderr.splitlines()[0] == "2 of 2 cases are in lut.csv.journal"
    assert sweep(*TIMED, "-q", "-o", "lut.csv").stderr == ""
    before = (tmp_path / "lut.csv.journal").read_bytes()
    fresh = sweep(*TIMED, "--fresh", "-o", "lut.csv")
    assert fresh.stderr.splitlines()[0] == "wrote lut.csv"
    assert (tmp_path / "lut.csv.journal").read_bytes() != before
    assert len(keys_in(tmp_path / "lut.csv.journal")) == 2


def test_the_journal_is_where_it_was_named_or_in_the_cache_folder(
    sweep: Callable[..., Ran], tmp_path: Path
) -> None:
    named = json.loads(sweep(*TIMED, "--journal", "kept/j", "--json").stdout)
    assert named["journal"] == "kept/j"
    (own, other) = (
        json.loads(sweep(*TIMED, *more, "--json").stdout)["journal"]
        for more in ((), ("--variant", "standard"))
    )
    assert Path(own).parent == tmp_path / "cache" / "dscost" / "sweeps"
    assert own != other
    again = sweep(*TIMED, "--json")
    assert again.stderr.splitlines() == [f"2 of 2 cases are in {own}"]


def test_of_several_dtypes_the_first_is_counted_and_each_is_timed(
    sweep: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = sweep(*GRID[:-2], "--time", "--dtype", "float32,float64", "--with-norm", "-o", "t.csv")
    assert ran.returncode == 0, ran.stderr
    rows = table(tmp_path / "t.csv")
    assert [row["dtype"] for row in rows[:4]] == ["float32"] * 2 + ["float64"] * 2
    assert int(rows[2]["weight_bytes"]) == 2 * int(rows[0]["weight_bytes"])
    places = [
        json.loads(line)["where"]
        for line in (tmp_path / "t.csv.journal").read_text().splitlines()[1:]
    ]
    assert all(where["with_norm"] for where in places)
    assert {where["versions"]["torch"] for where in places} == {torch.__version__}


def test_models_are_timed_whole(sweep: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Conv2d(3, 8, 3)\n"
    )
    ran = sweep(
        *(
            "sweep",
            "--model",
            "net.py:make",
            "--input",
            "1,3,8,8",
            "--input",
            "1,3,12,12",
            "--time",
        ),
        *("--threads", "1", "-o", "t.csv"),
    )
    assert ran.returncode == 0, ran.stderr
    rows = [row for row in table(tmp_path / "t.csv") if row["macs"]]
    assert rows
    assert all(float(row["latency_s"]) > 0 for row in rows if not row.get("note"))


def test_what_cannot_be_timed_is_told_and_exits_2(sweep: Callable[..., Ran]) -> None:
    ran = sweep(*TIMED, "--dtype", "int8")
    assert ran.returncode == 2
    assert ran.stderr.startswith("dscost: torch runs no convolution in int8 on cpu")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--runtime", "torch"], "--runtime needs timing: add --time"),
        (["--threads", "1"], "--threads needs timing: add --time"),
        (["--time-budget", "3s"], "--time-budget needs timing: add --time"),
        (["--with-norm"], "--with-norm needs timing: add --time"),
        (["--journal", "j"], "--journal needs timing: add --time"),
        (["--fresh"], "--fresh needs timing: add --time"),
        (["--dtype", "float32,int8"], "--dtype: several values need timing: add --time"),
        (["--time", "--runtime", "torhc"], "unknown runtime 'torhc' (did you mean 'torch'?)"),
        (["--time", "--threads", "0"], "threads must be between 1 and 4096, found 0"),
        (["--time", "--journal", "j", "-o", "j"], "j is read as --journal"),
        (["--time", "--journal", "net.py"], "net.py is no journal of a sweep: name another file"),
        (["--time", "--journal", "."], "cannot read .: Is a directory"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_has_no_meaning_is_refused_in_a_line(
    sweep: Callable[..., Ran], tmp_path: Path, given: list[str], told: str
) -> None:
    (tmp_path / "net.py").write_text("import torch\n")
    (tmp_path / "j").write_text("")
    ran = sweep(*GRID, *given)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"dscost: {told}")
    assert len(ran.stderr.splitlines()) == 1
    assert (tmp_path / "net.py").read_text() == "import torch\n"
