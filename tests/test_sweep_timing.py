"""Cases timed one after the other by a made-up engine: in which order, how often, and for how long."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from swept import grid_of
from visits import HERE, visit

from dscost.errors import InputError, OutputError
from dscost.reports.records import Speedup
from dscost.sweeping import timed
from dscost.sweeping.cases import cases_of
from dscost.sweeping.journal import Journal
from dscost.sweeping.records import Case, Row, Visit, Where
from dscost.sweeping.timed import Timed, time_cases
from dscost.timing import Setting, TimingOptions

GRID = {"in_channels": (8, 16, 32, 64), "out_channels": (8, 16, 24), "kernel_size": (3,)}
SIZE = 12


@pytest.fixture(autouse=True)
def _no_runtime_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "where_of", where_of)


def where_of(options: TimingOptions, setting: Setting) -> Where:
    return HERE._replace(runtime=setting.runtime, dtype=setting.dtype)


def cases_of_grid(**axes: Any) -> list[Case]:
    return [one for one in cases_of(grid_of(**{**GRID, **axes})) if isinstance(one, Case)]


@dataclass
class Engine:
    """Times a case in a second of its own clock; what the reference layer takes is said by visit."""

    overs: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By key, how many times as long as usual in the first visit, the second, and so on."""
    done: list[str] = field(default_factory=list)
    now_s: float = 0.0
    stops_after: int | None = None

    def clock(self) -> float:
        return self.now_s

    def measure(self, case: Case, options: TimingOptions, setting: Setting) -> Visit:
        if len(self.done) == self.stops_after:
            raise KeyboardInterrupt
        where = where_of(options, setting)
        key = case.key(where)
        overs = self.overs.get(key, (1.0,))
        over = overs[min(self.done.count(key), len(overs) - 1)]
        self.done.append(key)
        self.now_s += 1.0
        speedup = {"depthwise_separable": Speedup(1.5, (1.4, 1.6))}
        beside = {"standard": 2.0, "depthwise_separable": 3.0}
        return visit(
            key, beside, over, where, speedups=speedup, took_s=1.0, began_at=float(len(self.done))
        )

    def run(
        self,
        cases: Sequence[Case],
        journal: Path | None = None,
        budget_s: float | None = None,
        **given: Any,
    ) -> Timed:
        options = TimingOptions(budget_s=budget_s, **given.pop("options", {}))
        return time_cases(
            cases, options, journal=journal, measure=self.measure, clock=self.clock, **given
        )


@pytest.fixture
def engine() -> Engine:
    return Engine()


def keys_of(cases: Sequence[Case], where: Where = HERE) -> list[str]:
    return [case.key(where) for case in cases]


# -- the order


def test_every_case_is_timed_once_in_an_order_that_the_seed_says(engine: Engine) -> None:
    cases = cases_of_grid()
    found = engine.run(cases)
    assert sorted(engine.done) == sorted(keys_of(cases))
    assert len(found.visits) == SIZE
    assert (found.unfinished, found.doubtful, found.known) == (0, 0, 0)
    orders = []
    for seed in (0, 0, 1):
        other = Engine()
        other.run(cases, options={"seed": seed})
        orders.append(other.done)
    assert orders[0] == orders[1] == engine.done
    assert keys_of(cases) != orders[0] != orders[2]


def test_equal_cases_are_timed_once_and_stand_in_the_table_each(engine: Engine) -> None:
    cases = cases_of_grid() * 2
    found = engine.run(cases)
    assert len(engine.done) == SIZE
    assert [row.latency_s for row in found.rows(cases)].count(None) == 0
    assert len(found.rows(cases)) == 2 * SIZE * 2


def test_every_runtime_and_dtype_is_a_place(engine: Engine) -> None:
    cases = cases_of_grid()[:2]
    found = engine.run(cases, options={"dtypes": ("float32", "float64")})
    assert [where.dtype for where in found.places] == ["float32", "float64"]
    assert len(engine.done) == len(set(engine.done)) == 4
    rows = found.rows(cases)
    assert [(row.of["dtype"], row.variant) for row in rows[:4]] == [
        ("float32", "standard"),
        ("float32", "depthwise_separable"),
        ("float64", "standard"),
        ("float64", "depthwise_separable"),
    ]
    assert rows[2].cost.weight_bytes == 2 * (rows[0].cost.weight_bytes or 0)


def test_each_case_is_timed_in_its_own_dtype_where_none_is_asked_for(engine: Engine) -> None:
    first, second, *_ = cases_of_grid()
    cases = [first, second._replace(of={**second.of, "dtype": "float64"})]
    found = engine.run(cases)
    assert len(engine.done) == 2
    assert [row.of["dtype"] for row in found.rows(cases)] == ["float32"] * 2 + ["float64"] * 2
    assert not any(row.note for row in found.rows(cases))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": ("cpu", "cuda")}, "a sweep is timed on the CPU alone"),
        ({"modes": ("compile",)}, "a sweep is timed as torch runs it by itself"),
        ({"memory_formats": ("channels_last",)}, "a sweep is timed as torch runs it by itself"),
        ({"batches": (8,)}, "at the batches of its grid"),
    ],
)
def test_what_a_sweep_does_not_vary_is_refused(
    engine: Engine, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        engine.run(cases_of_grid(), options=options)
    assert engine.done == []


# -- once more


def all_off(cases: Sequence[Case], *overs: float) -> dict[str, tuple[float, ...]]:
    """Return what the reference layer takes where so many cases, from the first, are off at first."""
    return {key: (over, 1.0) for key, over in zip(keys_of(cases), overs, strict=False)}


def test_what_was_off_is_measured_again_after_all_others_and_the_better_visit_counts() -> None:
    cases = cases_of_grid()
    engine = Engine(all_off(cases, 1.25, 1.5))
    found = engine.run(cases)
    first, second, *_ = keys_of(cases)
    assert engine.done[SIZE:] == [second, first]
    assert [len(found.visits[key]) for key in (first, second)] == [2, 2]
    (drift,) = found.drifts
    assert (drift.again, drift.still, drift.lowest, drift.highest) == (2, 0, 1.0, 1.5)
    row = found.rows(cases)[0]
    assert (row.latency_s, row.visits, row.note) == (drift.reference_s / 2, 2, "")


def test_what_is_off_each_time_is_measured_three_times_and_said_to_be_so() -> None:
    cases = cases_of_grid()
    first, *_ = keys_of(cases)
    engine = Engine({first: (1.5, 1.25, 1.75)})
    found = engine.run(cases)
    assert engine.done.count(first) == 3
    assert found.drifts[0].still == 1
    row = found.rows(cases)[0]
    assert row.note == "measured while the reference layer was off by more than 3 %"
    assert row.latency_s == found.drifts[0].reference_s / 2


def test_on_a_machine_that_is_never_quiet_a_third_of_the_visits_is_made_again() -> None:
    cases = cases_of_grid()
    overs = {key: (1.0 + number / 4, 2.0) for number, key in enumerate(keys_of(cases))}
    engine = Engine(overs)
    engine.run(cases)
    assert len(engine.done) == SIZE + SIZE // 3


def test_what_contradicts_its_neighbours_is_measured_again_and_all_its_visits_count(
    engine: Engine,
) -> None:
    cases = cases_of_grid()
    looked: list[int] = []

    def suspicious(rows: Sequence[Row]) -> Collection[str]:
        looked.append(len(rows))
        return {rows[0].key, rows[4].key} if max(row.visits for row in rows) < 2 else ()

    found = engine.run(cases, suspicious=suspicious)
    keys = keys_of(cases)
    assert sorted(engine.done[SIZE:]) == sorted([keys[0], keys[2]])
    assert looked == [2 * SIZE] * 2
    rows = found.rows(cases)
    assert [row.visits for row in rows[:6]] == [2, 2, 1, 1, 2, 2]
    once, twice = (row.ci95_s for row in (rows[2], rows[0]))
    assert once is not None
    assert twice is not None
    assert twice[1] - twice[0] < once[1] - once[0]


# -- going on


def interrupted(engine: Engine, cases: Sequence[Case], journal: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        engine.run(cases, journal)
    kept = min(len(engine.done), SIZE)
    assert str(stopped.value) == (
        f"{kept} of {SIZE} cases are in {journal}: the same goes on from there"
    )


def test_whoever_is_interrupted_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    cases, path = cases_of_grid(), tmp_path / "j"
    whole = Engine()
    whole.run(cases)
    first = Engine(stops_after=5)
    interrupted(first, cases, path)
    notes: list[str] = []
    second = Engine()
    found = second.run(cases, path, note=notes.append)
    assert notes == [f"5 of 12 cases are in {path}; going on"]
    assert first.done + second.done == whole.done
    assert (found.known, found.unfinished, found.journal) == (5, 0, path)
    assert len(Journal(path).among(keys_of(cases))) == SIZE


def test_without_a_journal_nothing_is_said_to_be_kept() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^nothing is kept$"):
        Engine(stops_after=2).run(cases_of_grid())


def test_where_nothing_was_timed_yet_nothing_is_said_to_be_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^nothing is kept$"):
        Engine(stops_after=0).run(cases_of_grid(), tmp_path / "j")


def test_one_case_is_and_with_fresh_one_goes_on_without_it(tmp_path: Path) -> None:
    cases, path = cases_of_grid(), tmp_path / "j"
    with pytest.raises(KeyboardInterrupt) as stopped:
        Engine(stops_after=1).run(cases, path, fresh=True)
    assert str(stopped.value) == (
        f"1 of 12 cases is in {path}: the same without --fresh goes on from there"
    )


def test_it_goes_on_in_what_is_measured_again_as_well(tmp_path: Path) -> None:
    cases = cases_of_grid()
    overs = all_off(cases, 1.5, 1.25, 1.1)
    whole, first, second = Engine(overs), Engine(overs, stops_after=SIZE + 1), Engine()
    whole.run(cases)
    interrupted(first, cases, tmp_path / "j")
    second.run(cases, tmp_path / "j")
    assert first.done + second.done == whole.done
    assert len(whole.done) == SIZE + 3


@pytest.mark.parametrize("overs", [(), (1.5, 1.25), (1.5,) * SIZE], ids=str)
def test_a_journal_that_has_all_times_nothing(tmp_path: Path, overs: tuple[float, ...]) -> None:
    cases, notes = cases_of_grid(), list[str]()
    engine = Engine({key: (over,) for key, over in zip(keys_of(cases), overs, strict=False)})
    before = engine.run(cases, tmp_path / "j")
    again = Engine()
    after = again.run(cases, tmp_path / "j", note=notes.append)
    assert again.done == []
    assert notes == [f"12 of 12 cases are in {tmp_path / 'j'}"]
    assert after.rows(cases) == before.rows(cases)


def test_a_grid_that_grows_goes_on_from_the_same_journal(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "j"
    Engine().run(cases_of_grid(), path)
    more = cases_of_grid(out_channels=(8, 16, 24, 32))
    engine.run(more, path)
    assert len(engine.done) == 4
    assert set(engine.done) == set(keys_of(more)) - set(keys_of(cases_of_grid()))


def test_fresh_measures_all_again_and_leaves_others_in_the_journal(
    tmp_path: Path, engine: Engine
) -> None:
    path, cases = tmp_path / "j", cases_of_grid()
    Engine().run(cases_of_grid(out_channels=(8, 32)), path)
    notes: list[str] = []
    engine.run(cases, path, fresh=True, note=notes.append)
    assert sorted(engine.done) == sorted(keys_of(cases))
    assert notes == []
    other = cases_of_grid(out_channels=(32,))
    assert len(Journal(path).among(keys_of(other))) == 4


def test_another_version_of_a_runtime_is_another_case(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = cases_of_grid()
    Engine().run(cases, tmp_path / "j")
    newer = HERE._replace(versions={"torch": "2.14.0"})
    monkeypatch.setattr(timed, "where_of", lambda options, setting: newer)
    found = engine.run(cases, tmp_path / "j")
    assert len(engine.done) == SIZE
    assert found.known == 0


def test_the_same_table_comes_from_another_machine_of_the_same_kind(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = cases_of_grid()
    Engine().run(cases, tmp_path / "j")
    monkeypatch.setattr(timed, "where_of", lambda options, setting: HERE._replace(host="b"))
    engine.run(cases, tmp_path / "j")
    assert engine.done == []


def test_a_disk_that_is_full_keeps_what_was_journalled(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, path = cases_of_grid(), tmp_path / "j"
    put, puts = Journal.put, list[str]()

    def full(journal: Journal, one: Visit) -> None:
        if len(puts) == 3:
            raise OutputError(f"cannot write {path}: No space left on device")
        puts.append(one.key)
        put(journal, one)

    monkeypatch.setattr(Journal, "put", full)
    with pytest.raises(OutputError, match="No space left"):
        engine.run(cases, path)
    monkeypatch.undo()
    monkeypatch.setattr(timed, "where_of", where_of)
    assert list(Journal(path).among(keys_of(cases)).keys()) == [
        key for key in keys_of(cases) if key in puts
    ]
    again = Engine()
    again.run(cases, path)
    assert len(again.done) == SIZE - 3


# -- the time


@pytest.mark.parametrize("budget_s", [0.5, 1.0, 4.5, 11.0], ids=str)
def test_the_budget_ends_it_and_tells_how_many_are_left(engine: Engine, budget_s: float) -> None:
    cases = cases_of_grid()
    found = engine.run(cases, budget_s=budget_s)
    assert len(engine.done) == -(-budget_s // 1)
    assert found.unfinished == SIZE - len(engine.done)
    rows = found.rows(cases)
    assert len(rows) == 2 * SIZE
    left = [row for row in rows if row.latency_s is None]
    assert len(left) == 2 * found.unfinished
    assert {(row.note, row.visits) for row in left} == {("not timed yet", 0)}


def test_however_short_the_time_asking_again_comes_to_an_end(tmp_path: Path) -> None:
    cases = cases_of_grid()
    overs, left = all_off(cases, 1.5, 1.25), []
    done: list[str] = []
    for _ in range(SIZE + 2):
        engine = Engine({key: over for key, over in overs.items() if key not in done})
        found = engine.run(cases, tmp_path / "j", budget_s=1e-3)
        done += engine.done
        left.append((found.unfinished, found.doubtful))
    assert left == [*((number, 0) for number in range(SIZE - 1, 0, -1)), (0, 2), (0, 1), (0, 0)]
    assert len(done) == SIZE + 2


# -- what is told


def test_what_is_timed_is_told_with_the_time_that_is_left(engine: Engine) -> None:
    cases = cases_of_grid()
    engine.overs = all_off(cases, 1.5)
    told: list[tuple[float | None, str]] = []
    engine.run(cases, progress=lambda share, doing: told.append((share, doing)))
    texts = [text for _, text in told]
    order = dict(zip(keys_of(cases), cases, strict=True))
    of = order[engine.done[0]].of
    assert texts[0] == f"timing 1 of 12: cin {of['in_channels']}, cout {of['out_channels']}"
    assert texts[1].startswith("timing 2 of 12: cin ")
    assert texts[1].endswith(" · 11 s left")
    assert texts[11].endswith(" · 1 s left")
    assert texts[12] == "timing again, 1 left: cin 8, cout 8 · 1 s left"
    assert [share for share, _ in told] == pytest.approx([number / 12 for number in range(13)])


def test_no_more_time_is_told_to_be_left_than_the_budget_has(engine: Engine) -> None:
    told: list[str] = []
    engine.run(cases_of_grid(), budget_s=4.0, progress=lambda _, doing: told.append(doing))
    assert [text.partition(" · ")[2] for text in told] == ["", "3 s left", "2 s left", "1 s left"]


def test_the_setting_is_told_where_there_are_several(engine: Engine) -> None:
    told: list[str] = []
    engine.run(
        cases_of_grid()[:1],
        options={"dtypes": ("float32", "float64")},
        progress=lambda _, doing: told.append(doing),
    )
    assert {text.partition(" · ")[0].partition(": ")[2] for text in told} == {"cpu", "cpu:float64"}
