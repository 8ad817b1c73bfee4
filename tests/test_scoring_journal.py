"""What a score said, kept: read again whatever ended its process, and never taken for something else."""

import json
import multiprocessing
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.converting.scoring.journal import Journal, Kept, key_of, ruined_key, usual_path
from dscost.converting.scoring.losses import Evaluation
from dscost.errors import InputError, OutputError

OF = {"target": "net.py:make", "weights": "ab12", "score": "eval.py:accuracy", "file": "cd34"}
HEADER = json.dumps({"journal": 1, "of": OF}) + "\n"
ONE = '{"plan": {"conv1": 2}, "score": 0.5, "seconds": 1.5}\n'
ANOTHER = '{"plan": {}, "score": 0.75, "repetition": 3, "values": [1.0, 0.5], "seconds": 0.25}\n'
SAID = Kept(Evaluation(0.5), 1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def kept_in(journal: Journal) -> dict[tuple[str, int], Kept]:
    return {tried: one for tried in journal.found if (one := journal.get(tried)) is not None}


# -- written and read


def test_a_journal_begins_with_what_it_is_of_and_has_a_line_for_each_evaluation(path: Path) -> None:
    journal = Journal(path, OF)
    assert not path.exists()
    journal.put((key_of({"conv1": 2, "conv2": "keep"}), 0), SAID)
    assert path.read_text(encoding="utf-8") == HEADER + ONE
    journal.put((key_of({}), 3), Kept(Evaluation(0.75, (1.0, 0.5)), 0.25))
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[2:]] == [
        json.loads(ANOTHER)
    ]


def test_what_was_kept_is_found_again(path: Path) -> None:
    path.write_text(HEADER + ONE + ANOTHER, encoding="utf-8")
    journal = Journal(path, OF)
    assert kept_in(journal) == {
        ('{"conv1": 2}', 0): SAID,
        ("{}", 3): Kept(Evaluation(0.75, (1.0, 0.5)), 0.25),
    }
    assert (len(journal), journal.get(("{}", 0))) == (2, None)


def test_what_is_there_is_not_written_again(path: Path) -> None:
    path.write_text(HEADER + ONE, encoding="utf-8")
    Journal(path, OF).put(('{"conv1": 2}', 0), Kept(Evaluation(0.9), 1.0))
    assert path.read_text(encoding="utf-8") == HEADER + ONE


@law
@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 9), max_size=3
            ),
            st.integers(0, 5),
            st.floats(allow_nan=False, allow_infinity=False),
            st.lists(st.floats(-1e9, 1e9), max_size=3),
            st.floats(0, 1e6),
        ),
        max_size=5,
        unique_by=lambda one: (key_of(one[0]), one[1]),
    )
)
def test_any_evaluations_survive_whatever_layers_are_called(said: list[tuple[Any, ...]]) -> None:
    expected = {
        (key_of(plan), repetition): Kept(Evaluation(score, tuple(values)), seconds)
        for plan, repetition, score, values, seconds in said
    }
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal.jsonl")
        journal = Journal(path, OF)
        for tried, kept in expected.items():
            journal.put(tried, kept)
        assert kept_in(Journal(path, OF)) == expected


def test_the_ruined_model_is_kept_as_what_no_plan_is_and_by_the_layers_that_are_zero(
    path: Path,
) -> None:
    Journal(path, OF).put((ruined_key(["b", "a"]), 0), SAID)
    line = json.loads(path.read_text(encoding="utf-8").splitlines()[1])
    assert line["plan"] == {"a": "zeros", "b": "zeros"}
    assert Journal(path, OF).get((ruined_key(["a", "b"]), 0)) == SAID
    assert Journal(path, OF).get((ruined_key(["a"]), 0)) is None


def test_a_plan_has_one_name_whatever_it_keeps_and_in_whatever_order() -> None:
    assert key_of({"b": 1, "a": "2 pointwise-first", "c": "keep"}) == key_of(
        {"a": "2 pointwise-first", "b": 1}
    )
    assert len({key_of(one) for one in ({}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1})}) == 5


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, OF)
    journal.put(("{}", 0), SAID)
    assert (len(journal), list(tmp_path.iterdir())) == (1, [])


# -- ended in the middle


@pytest.mark.parametrize("cut", range(1, len(ANOTHER)), ids=str)
def test_a_line_that_was_not_finished_is_dropped_and_its_place_taken(path: Path, cut: int) -> None:
    path.write_text(HEADER + ONE + ANOTHER[:cut], encoding="utf-8")
    journal = Journal(path, OF)
    assert kept_in(journal) == {('{"conv1": 2}', 0): SAID}
    journal.put(("{}", 3), Kept(Evaluation(0.75, (1.0, 0.5)), 0.25))
    assert path.read_text(encoding="utf-8").startswith(HEADER + ONE + '{"plan": {}')
    assert len(Journal(path, OF)) == 2


@pytest.mark.parametrize("cut", [0, 1, 12, len(HEADER) - 1], ids=str)
def test_a_journal_that_was_hardly_begun_is_begun_anew(path: Path, cut: int) -> None:
    path.write_text(HEADER[:cut], encoding="utf-8")
    journal = Journal(path, OF)
    assert len(journal) == 0
    journal.put(('{"conv1": 2}', 0), SAID)
    assert path.read_text(encoding="utf-8") == HEADER + ONE


# -- not a journal, or not this one


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "import torch\n",
        "import torch\nx = 1",
        "x",
        '{"journal": 2, "of": {}}\n',
        '{"journal": 1, "of": 3}\n',
        '{"journal": 1}\n' + ONE,
        "[1]\n",
        "\n" + HEADER,
    ],
    ids=ascii,
)
def test_a_file_of_something_else_is_left_as_it_is(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    if content:
        with pytest.raises(InputError) as found:
            Journal(path, OF)
        assert str(found.value) == f"{path} is no journal of scores: name another file"
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"weights": "ef56"}, "weights"),
        ({"score": "eval.py:f1"}, "score"),
        ({"file": None}, "file"),
        ({"target": "a", "weights": "b"}, "target and weights"),
        ({"input": "1,3,8,8"}, "input"),
    ],
)
def test_a_journal_of_another_model_or_score_is_refused(
    path: Path, changed: dict[str, Any], other: str
) -> None:
    content = HEADER + ONE + ANOTHER[:9]
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as found:
        Journal(path, {**OF, **changed})
    assert str(found.value) == (
        f"{path} is a journal of something else: other {other}; name another file, or delete it"
    )
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '"zeros"',
        "{}",
        '{"plan": {"a": 1}}',
        '{"plan": [1], "score": 1, "seconds": 1}',
        '{"plan": {}, "score": "good", "seconds": 1}',
        '{"plan": {}, "score": NaN, "seconds": 1}',
        '{"plan": {}, "score": 1e999, "seconds": 1}',
        '{"plan": {}, "score": 1}',
        '{"plan": {}, "score": 1, "seconds": 1, "values": 3}',
        '{"plan": {}, "score": 1, "seconds": 1, "values": ["a"]}',
        '{"plan": {}, "score": 1, "seconds": 1, "repetition": null}',
        '{"plan": {}, "score": 1' + "0" * 400 + ', "seconds": 1}',
        "\x00\x01",
    ],
    ids=lambda line: ascii(line[:40]),
)
def test_a_line_that_is_none_is_told_with_its_place(path: Path, line: str) -> None:
    path.write_text(f"{HEADER}{ONE}{line}\n{ANOTHER}", encoding="utf-8")
    with pytest.raises(InputError) as found:
        Journal(path, OF)
    assert str(found.value) == f"{path}:3: no line of a journal of scores: delete it, or the file"


def test_bytes_that_are_no_text_are_told_with_their_place(path: Path) -> None:
    path.write_bytes(HEADER.encode() + b"\xff\xfe\n")
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}:2: no line of a journal"):
        Journal(path, OF)


# -- where it cannot be


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read .*: Is a directory$"):
        Journal(tmp_path, OF)


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "journal.jsonl"
    Journal(path, OF).put(('{"conv1": 2}', 0), SAID)
    assert path.read_text(encoding="utf-8") == HEADER + ONE


def test_what_cannot_be_written_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "journal.jsonl", OF)
    with pytest.raises(OutputError, match=r"^cannot write .*journal\.jsonl: "):
        journal.put(("{}", 0), SAID)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever may write everywhere")
def test_a_folder_that_may_not_be_written_in_is_told_in_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"^cannot write .*: Permission denied$"):
        Journal(folder / "journal.jsonl", OF).put(("{}", 0), SAID)


def test_what_is_no_file_is_no_journal() -> None:
    with pytest.raises(
        InputError, match=r"^/dev/null is no regular file: name another one for the journal$"
    ):
        Journal(Path("/dev/null"), OF)


# -- two at once


def put_many(path: Path, name: str, ready: Any) -> None:
    journal = Journal(path, OF)
    ready.wait()
    for rank in range(1, 61):
        said = Evaluation(rank / 100, tuple(float(one) for one in range(3000)))
        journal.put((key_of({name: rank}), 0), Kept(said, 0.5))


def test_two_processes_that_write_at_once_spoil_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(2)
    both = [context.Process(target=put_many, args=(path, name, ready)) for name in ("a", "b")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.exitcode for one in both] == [0, 0]
    journal = Journal(path, OF)
    assert journal.found == {
        (key_of({name: rank}), 0) for name in ("a", "b") for rank in range(1, 61)
    }
    assert all(len(one.evaluation.values) == 3000 for one in kept_in(journal).values())


# -- where it is by default


def test_by_default_there_is_one_for_each_model_and_score() -> None:
    others = [{**OF, name: "other"} for name in OF]
    paths = {usual_path(one) for one in (OF, *others)}
    assert len(paths) == 1 + len(OF)
    assert usual_path(OF) == usual_path(dict(reversed(OF.items())))
