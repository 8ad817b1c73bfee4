"""A sweep that is timed, from Python: its table, what is left of it, what is refused."""

from pathlib import Path
from typing import Any

import pytest
from swept import grid_of, rows_of
from visits import HERE, visit

import dscost
from dscost.analysis import beside_reference
from dscost.errors import InputError
from dscost.sweeping.records import NOT_YET, Case, Row, Sweep
from dscost.sweeping.swept import Cases
from dscost.sweeping.timed import Timed
from dscost.sweeping.timed_sweep import left_in_words, swept_of, untimed_of, what_is_swept
from dscost.sweeping.units import Unit

GRID: dict[str, Any] = {"in_channels": [4, 8], "out_channels": 4, "kernel_size": 3, "input_size": 4}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_reference, "COMPARISON_S", 0.03)
    monkeypatch.setattr(beside_reference, "SLOW_CALLS", 1)


@pytest.mark.usefixtures("short")
def test_a_grid_is_timed_and_its_journal_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "j"
    found = dscost.sweep(**GRID, time=True, threads=1, journal=path, timing={"with_norm": True})
    assert [row.variant for row in found.rows] == ["standard", "depthwise_separable"] * 2
    for row in found.rows:
        assert row.where is not None
        assert (row.where.threads, row.where.with_norm) == (1, True)
        assert row.latency_s is not None
    assert (found.unfinished, found.journal) == (0, str(path))
    (drift,) = found.drift
    assert drift.lowest <= 1 <= drift.highest
    before = path.read_bytes()
    again = dscost.sweep(**GRID, time=True, threads=1, journal=path, timing={"with_norm": True})
    assert again.rows == found.rows
    assert path.read_bytes() == before


@pytest.mark.usefixtures("short")
def test_in_no_time_one_case_is_timed_and_the_others_are_said_to_be_left(tmp_path: Path) -> None:
    found = dscost.sweep(**GRID, time=True, threads=1, time_budget_s=1e-3, table=tmp_path / "t.csv")
    assert found.unfinished == 1
    assert [row.note for row in found.rows].count(NOT_YET) == 2
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").count("not timed yet") == 2
    assert found.journal is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"threads": 1}, "threads: nothing is measured without time=True"),
        (
            {"journal": "j", "fresh": True},
            "journal and fresh: nothing is measured without time=True",
        ),
        ({"time": True, "timing": {"devices": "cuda"}}, "timed on the CPU alone"),
        ({"time": True, "timing": {"batches": 8}}, "at the batches of its grid"),
        ({"time": True, "runtime": "torhc"}, "unknown runtime 'torhc'"),
        ({"time": True, "journal": __file__}, "is no journal of a sweep: name another file"),
    ],
    ids=lambda one: ", ".join(one) if isinstance(one, dict) else "",
)
def test_what_cannot_be_is_told_before_anything_is_timed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        dscost.sweep(**GRID, **given)


# -- what is said


def sweep_with(unfinished: int, journal: str | None) -> Sweep:
    rows = list(rows_of(grid_of(in_channels=(1, 2, 3)), lambda *_: 2.0))
    return Sweep("layers", 3, rows, unfinished=unfinished, journal=journal)


def test_what_is_left_is_told_with_how_to_go_on() -> None:
    assert left_in_words(sweep_with(0, "j")) == ""
    assert left_in_words(sweep_with(2, "j")) == (
        "2 of 3 cases are left: run the same command again to go on"
    )
    assert left_in_words(sweep_with(1, None)).endswith(
        "1 of 3 cases is left: --time-budget was too short"
    )


def test_with_fresh_one_goes_on_without_it() -> None:
    """The same once more would drop what was measured."""
    told = left_in_words(sweep_with(2, "j")._replace(fresh=True))
    assert told == "2 of 3 cases are left: run the same command without --fresh to go on"
    case = Case({"dtype": "float32"}, (unit(8),))
    key = case.key(HERE)
    visits = {key: (visit(key),)}
    found = Timed(visits, (HERE,), doubtful=2, journal=Path("j"), fresh=True)
    sweep = swept_of(Cases("layers", 1, (case,)), found)
    assert sweep.fresh
    assert sweep.warnings[0].endswith("the same command without --fresh goes on with them")
    page = str(sweep._replace(unfinished=2))
    assert "the same command without --fresh goes on from there" in page


def test_the_layers_of_a_model_are_not_timed_on_workers() -> None:
    with pytest.raises(InputError, match="timed beside it on this machine alone"):
        dscost.sweep(layers_of="resnet18", time=True, scheduler="tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("doubtful", "journal", "told"),
    [
        (0, None, ()),
        (1, None, ("1 case is still to be measured once more",)),
        (
            1,
            Path("j"),
            ("1 case is still to be measured once more; the same command goes on with it",),
        ),
        (
            2,
            Path("j"),
            ("2 cases are still to be measured once more; the same command goes on with them",),
        ),
    ],
)
def test_what_the_time_did_not_suffice_for_is_a_warning(
    doubtful: int, journal: Path | None, told: tuple[str, ...]
) -> None:
    case = Case({"dtype": "float32"}, (unit(8),))
    key = case.key(HERE)
    found = Timed(
        {key: (visit(key),)}, (HERE,), doubtful=doubtful, journal=journal, warnings=("a",)
    )
    sweep = swept_of(Cases("layers", 1, (case,)), found)
    assert sweep.warnings == ("a", *told)
    assert [row.latency_s for row in sweep.rows] == [1e-3 / 2]


def unit(channels: int) -> Unit:
    from dscost.layers.convolution import conv2d

    return Unit("standard", (("standard", conv2d(channels, 8, 3)),), (1, channels, 8, 8))


def test_why_rows_were_not_timed_is_told_once_each() -> None:
    first, *_ = sweep_with(0, None).rows
    rows = [
        first,
        *(Row(first.of, "a", first.cost, key="k", note=note) for note in ("why", NOT_YET, "why")),
        Row(first.of, "b", first.cost, note="no such variant"),
    ]
    assert untimed_of(rows) == ["why"]


def test_what_is_swept_follows_from_the_units_alone() -> None:
    cases = tuple(Case({}, (unit(channels),)) for channels in (8, 16))
    named = tuple(one._replace(of={"a": 1}) for one in cases)
    one, again, fewer = (Cases("layers", 2, some) for some in (cases, named, cases[:1]))
    assert what_is_swept(one) == what_is_swept(again) != what_is_swept(fewer)
