"""Files that are added to line by line: nothing that was written is lost, whatever goes wrong next."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from forking import fork

from dscost.errors import InputError, OutputError
from dscost.journals import JournalFile, path_in

OF = {"sweep": 1}
HEADER = '{"journal": 1, "of": {"sweep": 1}}\n'
ONE, ANOTHER = '{"a": 1}\n', '{"b": "ü"}\n'


def journal(path: Path) -> JournalFile:
    return JournalFile(path, OF, "things")


def told(path: Path) -> list[Any]:
    return [json.loads(line.raw) for line in journal(path).lines()]


def test_the_first_line_says_of_what_it_is_and_each_other_is_one_thing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert told(path) == []
    assert not path.exists()
    journal(path).append({"a": 1})
    journal(path).append({"b": "ü"})
    assert path.read_text(encoding="utf-8") == HEADER + ONE + ANOTHER
    assert told(path) == [{"a": 1}, {"b": "ü"}]


@pytest.mark.parametrize("cut", range(1, len(ANOTHER.encode())), ids=str)
def test_a_torn_line_is_cut_by_whoever_reads_or_writes_next(tmp_path: Path, cut: int) -> None:
    torn = (HEADER + ONE).encode() + ANOTHER.encode()[:cut]
    for name in ("read", "written"):
        (tmp_path / name).write_bytes(torn)
    assert told(tmp_path / "read") == [{"a": 1}]
    assert (tmp_path / "read").read_text(encoding="utf-8") == HEADER + ONE
    journal(tmp_path / "written").append({"c": 3})
    assert (tmp_path / "written").read_text(encoding="utf-8") == HEADER + ONE + '{"c": 3}\n'


def test_a_torn_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for content in ("a\nb", "x", "\n" + HEADER, '{"journal": 1, "of": {}}\n{"to'):
        path.write_text(content)
        with pytest.raises(InputError):
            told(path)
        assert path.read_text() == content


# -- a disk that is full


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_disk_that_is_full_is_told_in_a_line() -> None:
    with pytest.raises(OutputError, match=r"^cannot write /dev/full: No space left on device$"):
        journal(Path("/dev/full")).append({"a": 1})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are forked")
@pytest.mark.parametrize("room", [0, 1, len(ONE) - 1], ids=str)
def test_of_a_line_that_does_not_fit_nothing_is_left_and_of_those_before_nothing_is_lost(
    tmp_path: Path, room: int
) -> None:
    path = tmp_path / "j"
    journal(path).append({"b": "ü"})
    before = path.read_bytes()

    def write() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, resource.RLIM_INFINITY))
        with pytest.raises(OutputError, match=rf"^cannot write {path}: File too large$"):
            journal(path).append({"a": 1})

    _, status = os.waitpid(fork(write), 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert path.read_bytes() == before
    journal(path).append({"a": 1})
    assert told(path) == [{"b": "ü"}, {"a": 1}]


def test_a_line_that_a_disk_takes_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:3]))
    journal(tmp_path / "j").append({"a": 1})
    assert (tmp_path / "j").read_text(encoding="utf-8") == HEADER + ONE


def test_what_is_interrupted_while_it_is_written_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    journal(path).append({"a": 1})

    write = os.write

    def interrupted(handle: int, content: bytes) -> int:
        write(handle, content[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal(path).append({"b": 2})
    assert path.read_text(encoding="utf-8") == HEADER + ONE


# -- where it is by default


def test_a_folder_has_one_for_each_thing(tmp_path: Path) -> None:
    paths = {path_in(tmp_path, {"grid": name}) for name in "ab"}
    assert len(paths) == 2
    assert path_in(tmp_path, {"a": 1, "b": 2}) == path_in(tmp_path, {"b": 2, "a": 1})
    assert path_in(None, OF) is None
    (tmp_path / "file").write_text("")
    assert path_in(tmp_path / "file", OF) is None
