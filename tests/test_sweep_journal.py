"""The journal of a sweep: what was measured is found again, and nothing is taken for it that is not."""

import json
import multiprocessing
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law
from visits import HERE, near, visit

from dscost.converting.scoring.journal import Journal as Scores
from dscost.errors import InputError, OutputError
from dscost.reports.records import Speedup
from dscost.sweeping.journal import Journal, journal_path, read, written
from dscost.sweeping.records import Visit, Where

FULL = visit(
    "k1",
    {"standard": 2.0, "inverted_residual:6": Speedup(0.25, (0.2, 0.3), 0.05)},
    where=HERE._replace(runtime="onnxruntime", dtype="int8", clock="cpu", with_norm=True),
    speedups={"inverted_residual:6": near(0.125)},
    moved=0.01,
    samples={"standard": 64, "inverted_residual:6": 48},
    untimed={"ghost": "the layer ghost needs 8 GiB of memory, 2 GiB are free"},
    began_at=1.7e9,
    took_s=1.25,
)
HEADER = '{"journal": 1, "of": {"what": "layers beside the reference layer", "method": 1}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lut.csv.journal"


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


# -- written and read


def test_a_visit_is_a_line_and_all_of_it_is_found_again(path: Path) -> None:
    journal = Journal(path)
    assert not path.exists()
    journal.put(FULL)
    journal.put(visit("k2"))
    first, *others = lines_of(path)
    assert first == HEADER
    assert [json.loads(line)["key"] for line in others] == ["k1", "k2"]
    again = Journal(path)
    assert again.visits("k1") == (FULL,)
    assert again.visits("k2") == (visit("k2"),)
    assert again.visits("k3") == ()


positive = st.floats(1e-9, 1e9)
speedups = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.tuples(positive, positive, positive, st.floats(0, 1)).map(
        lambda one: Speedup(sorted(one[:3])[1], (min(one[:3]), max(one[:3])), one[3])
    ),
    max_size=3,
)
names = st.text(st.characters(exclude_categories=["Cs"]))
places = st.tuples(names, names).map(
    lambda one: Where(one[0], 1, host=one[1], versions={one[1]: one[0]})
)


@law
@given(
    st.lists(
        st.tuples(st.text("abc"), places, speedups, speedups, st.floats(0, 9)).map(
            lambda one: Visit(*one)
        ),
        max_size=4,
    )
)
def test_any_visits_survive_whatever_devices_and_variants_are_called(visits: list[Visit]) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder, "j"))
        for one in visits:
            journal.put(one)
        again = Journal(Path(folder, "j"))
        for one in visits:
            assert again.visits(one.key) == journal.visits(one.key)
            assert one in again.visits(one.key)


def test_a_line_that_is_there_is_not_written_again_but_another_visit_of_its_case_is(
    path: Path,
) -> None:
    Journal(path).put(FULL)
    journal = Journal(path)
    journal.put(FULL)
    journal.put(FULL._replace(moved=0.02))
    assert len(lines_of(path)) == 3
    assert [one.moved for one in Journal(path).visits("k1")] == [0.01, 0.02]


def test_equal_lines_are_one_visit(path: Path) -> None:
    Journal(path).put(FULL)
    path.write_text(path.read_text() + lines_of(path)[1] + "\n")
    assert Journal(path).visits("k1") == (FULL,)


def test_only_what_is_asked_for_is_returned_and_the_rest_stays_in_the_file(path: Path) -> None:
    for key in ("k1", "k2", "k3"):
        Journal(path).put(visit(key))
    assert list(Journal(path).among(["k3", "k9", "k1"])) == ["k3", "k1"]
    assert len(lines_of(path)) == 4


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal()
    journal.put(FULL)
    journal.forget(["k2"])
    assert journal.visits("k1") == (FULL,)
    assert list(tmp_path.iterdir()) == []


# -- begun anew


def test_what_is_measured_anew_is_dropped_and_other_lines_stay(path: Path) -> None:
    for one in (FULL, visit("k2"), FULL._replace(moved=0.5), visit("k3")):
        Journal(path).put(one)
    journal = Journal(path)
    Journal(path).put(visit("k4"))  # by another process
    journal.forget(["k1", "k3", "k9"])
    assert journal.among(["k1", "k2", "k3"]) == {"k2": (visit("k2"),)}
    assert [json.loads(line).get("key") for line in lines_of(path)] == [None, "k2", "k4"]
    assert list(path.parent.iterdir()) == [path]


def test_a_journal_that_cannot_be_begun_anew_is_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(path).put(FULL)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OutputError("cannot write it")

    monkeypatch.setattr("dscost.journals.write_whole", full)
    journal = Journal(path)
    with pytest.raises(OutputError):
        journal.forget(["k1"])
    assert path.read_bytes() == before
    assert journal.visits("k1") == (FULL,)


# -- ended in the middle, or something else


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(path: Path) -> None:
    journal = Journal(path)
    journal.put(visit("k2"))
    whole = path.read_bytes()
    journal.put(FULL)
    line = path.read_bytes()[len(whole) :]
    for cut in range(1, len(line), 7):
        path.write_bytes(whole + line[:cut])
        again = Journal(path)
        assert again.visits("k1") == ()
        assert path.read_bytes() == whole
        again.put(FULL)
        assert path.read_bytes() == whole + line


def test_a_journal_of_scores_is_none_of_a_sweep_nor_the_other_way_round(tmp_path: Path) -> None:
    Journal(tmp_path / "sweep").put(FULL)
    (tmp_path / "scores").write_text('{"journal": 1, "of": {"target": "net.py"}}\n')
    with pytest.raises(InputError, match="is a journal of something else: other what and method"):
        Journal(tmp_path / "scores")
    with pytest.raises(
        InputError, match="is a journal of something else: other target and what and"
    ):
        Scores(tmp_path / "sweep", {"target": "net.py"})


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "x", '{"journal": 2, "of": {}}\n'], ids=ascii)
def test_a_foreign_file_is_left_as_it_is(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(InputError) as found:
        Journal(path)
    assert str(found.value) == f"{path} is no journal of a sweep: name another file"
    assert path.read_text() == content


def changed(**changes: Any) -> str:
    return json.dumps({**written(FULL), **changes})


def with_speedup(**changes: Any) -> str:
    return changed(
        beside={"a": {"median": 1.0, "ci95": [0.9, 1.1], "noise_floor": 0.03, **changes}}
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        changed(key=3),
        changed(where={"device": "x"}),
        changed(where={**written(FULL)["where"], "colour": "red"}),
        changed(reference_s="fast"),
        changed(reference_s=float("nan")),
        changed(moved=float("inf")),
        changed(beside=None),
        changed(beside={"a": 1.0}),
        changed(samples=[1]),
        with_speedup(median=-1.0),
        with_speedup(median=2.0),
        with_speedup(ci95=[0.9]),
        with_speedup(ci95=[0.0, 1.1]),
        with_speedup(ci95=[0.9, float("inf")]),
    ],
    ids=lambda line: ascii(line[-40:]),
)
def test_a_line_that_is_none_is_told_with_its_place(path: Path, line: str) -> None:
    Journal(path).put(FULL)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError) as found:
        Journal(path)
    assert str(found.value) == f"{path}:3: no line of a journal of a sweep: delete it, or the file"


def test_what_is_written_is_what_is_read() -> None:
    assert read(json.loads(json.dumps(written(FULL)))) == FULL


# -- two at once


def test_who_is_interrupted_once_a_line_is_written_leaves_it_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    journal = Journal(path)
    journal.put(visit("k1"))
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.put(visit("k2"))
    assert [json.loads(line)["key"] for line in lines_of(path)[1:]] == ["k1", "k2"]


def test_of_a_line_that_was_interrupted_half_way_nothing_is_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(path), os.write
    journal.put(visit("k1"))

    def half(handle: int, content: memoryview) -> int:
        write(handle, content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(KeyboardInterrupt):
        journal.put(visit("k2"))
    assert [json.loads(line)["key"] for line in lines_of(path)[1:]] == ["k1"]
    assert not journal.visits("k2")  # what is told is what is there


def put_many(path: Path, name: str, ready: Any) -> None:
    journal = Journal(path)
    ready.wait()
    for number in range(60):
        journal.put(visit(f"{name}{number}", untimed={"ghost": "so " * 3000}))


def test_two_processes_that_write_at_once_spoil_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(2)
    both = [context.Process(target=put_many, args=(path, name, ready)) for name in ("a", "b")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    keys = {f"{name}{number}" for name in ("a", "b") for number in range(60)}
    assert Journal(path).among(keys).keys() == keys
    assert len(lines_of(path)) == 1 + len(keys)


# -- where it is


def test_it_is_where_it_was_named_or_beside_the_table_or_in_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    of = {"grid": "3 layers"}
    assert journal_path(Path("j"), Path("lut.csv"), of) == Path("j")
    assert journal_path(None, Path("out/lut.csv"), of) == Path("out/lut.csv.journal")
    for output in (None, Path(os.devnull)):
        found = journal_path(None, output, of)
        assert found is not None
        assert found.parent == tmp_path / "dscost" / "sweeps"
        assert journal_path(None, None, {"grid": "4 layers"}) != found
