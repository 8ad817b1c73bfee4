import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from dscost.errors import InputError, NoFileError, OutputError
from dscost.files import alone_with, check_folder, read_text, replacing, write_whole

OLD, NEW = "what was there\n", "what is new: ×\n"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.mark.parametrize("old", [None, OLD], ids=["new", "existing"])
@pytest.mark.parametrize(
    "text", [NEW, "", "a\r\nb\n", "x" * 300_000], ids=["text", "nothing", "line ends", "large"]
)
def test_a_file_is_written_as_it_is_and_nothing_is_left_beside_it(
    tmp_path: Path, old: str | None, text: str
) -> None:
    path = tmp_path / "report.json"
    if old is not None:
        path.write_text(old, encoding="utf-8")
    write_whole(path, text)
    assert path.read_bytes() == text.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_whole(path, b"\xff\x00\r\n")
    assert path.read_bytes() == b"\xff\x00\r\n"


@pytest.mark.parametrize(
    "step",
    ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod", "pathlib.Path.write_bytes"],
)
@pytest.mark.parametrize("old", [{}, {"report.json": OLD}], ids=["new", "existing"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"]
)
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    old: dict[str, str],
    error: BaseException,
) -> None:
    for name, text in old.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    path = tmp_path / "report.json"
    with monkeypatch.context() as patched:
        patched.setattr(step, fail)
        with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
            write_whole(path, NEW)
    assert contents(tmp_path) == old
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device"


def write_in_parts(path: Path, text: str) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for sign in text:
            stream.write(sign)


WAYS = pytest.mark.parametrize("write", [write_whole, write_in_parts], ids=["whole", "in parts"])


@WAYS
def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None]
) -> None:
    synced: list[int] = []
    fsync, path = os.fsync, tmp_path / "report.json"

    def watched(handle: int) -> None:
        assert not path.exists()
        synced.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr("os.fsync", watched)
    write(path, NEW)
    assert synced == [len(NEW.encode())]
    assert path.read_text(encoding="utf-8") == NEW


def forbid_others_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a folder take no new files; root, who may all, is no exception."""
    make = tempfile.mkstemp

    def refuse(dir: Path | None = None, prefix: str | None = None) -> tuple[int, str]:
        if dir == folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return make(dir=dir, prefix=prefix)

    monkeypatch.setattr("tempfile.mkstemp", refuse)


@WAYS
def test_a_file_in_a_folder_that_forbids_others_is_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None]
) -> None:
    elsewhere, folder = tmp_path / "temporary", tmp_path / "closed"
    elsewhere.mkdir()
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    forbid_others_in(folder, monkeypatch)
    path = folder / "report.json"
    with pytest.raises(OutputError, match=r"cannot write .*: Permission denied"):
        write(path, NEW)
    path.write_text(10 * OLD, encoding="utf-8")
    number = path.stat().st_ino
    write(path, NEW)
    assert path.stat().st_ino == number
    assert contents(folder) == {"report.json": NEW}
    assert contents(elsewhere) == {}


def test_what_was_there_comes_back_where_it_cannot_be_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text(OLD, encoding="utf-8")
    forbid_others_in(tmp_path, monkeypatch)
    copy, times = shutil.copyfileobj, iter([True, False])

    def fails_once(source: IO[bytes], target: IO[bytes]) -> None:
        copy(source, target)
        if next(times):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fails_once)
    with pytest.raises(OutputError, match="No space left on device"):
        write_whole(path, NEW)
    assert contents(tmp_path) == {"report.json": OLD}


def test_text_that_is_no_text_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(OLD, encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(path, "half a character: \udcff")
    assert contents(tmp_path) == {"report.json": OLD}


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(OLD, encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        write_whole(path, NEW)
        assert reader.read() == OLD
    assert path.read_text(encoding="utf-8") == NEW


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o400], ids=oct)
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "report.json"
    path.write_text(OLD, encoding="utf-8")
    path.chmod(mode)
    write_whole(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "ours", NEW)
        (tmp_path / "plain").write_text(NEW, encoding="utf-8")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to nothing yet"])
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_a_link_is_followed_and_stays_a_link(tmp_path: Path, exists: bool, relative: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "report.json", tmp_path / "link.json"
    if exists:
        target.write_text(OLD, encoding="utf-8")
    link.symlink_to("elsewhere/report.json" if relative else target)
    write_whole(link, NEW)
    assert link.is_symlink()
    assert contents(tmp_path / "elsewhere") == {"report.json": NEW}


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(tmp_path / "a", NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("missing/report.json", "No such file or directory", id="missing folder"),
        pytest.param("file/report.json", "Not a directory", id="a file for a folder"),
        pytest.param("folder", "Is a directory", id="a folder for a file"),
        pytest.param("x" * 300, "File name too long", id="a name too long"),
    ],
)
def test_what_cannot_be_written_is_named_with_the_reason(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "file").write_text(OLD, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        write_whole(tmp_path / name, NEW)
    assert str(caught.value) == f"cannot write {tmp_path / name}: {reason}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_device_is_written_to_directly_and_its_refusal_is_told() -> None:
    with pytest.raises(OutputError, match=r"^cannot write /dev/full: No space left on device$"):
        write_whole(Path("/dev/full"), NEW)
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, NEW)
        assert os.read(reader, 100) == NEW.encode()
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("report.json", None, id="a new file"),
        pytest.param("file", None, id="an existing file"),
        pytest.param(
            "missing/report.json", "there is no folder {folder}/missing", id="missing folder"
        ),
        pytest.param(
            "file/report.json", "there is no folder {folder}/file", id="a file for a folder"
        ),
        pytest.param("folder", "it is a folder", id="a folder for a file"),
    ],
)
def test_a_place_is_checked_before_the_work(tmp_path: Path, name: str, message: str | None) -> None:
    (tmp_path / "file").write_text(OLD, encoding="utf-8")
    (tmp_path / "folder").mkdir()
    if message is None:
        check_folder(tmp_path / name)
    else:
        with pytest.raises(OutputError) as caught:
            check_folder(tmp_path / name)
        assert (
            str(caught.value)
            == f"cannot write {tmp_path / name}: {message.format(folder=tmp_path)}"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


# -- reading

MOST = 1000


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"a: \xc3\x97\n", "a: ×\n"), (b"\xef\xbb\xbf{}", "{}"), (b"a\r\nb\r\n", "a\r\nb\r\n"), (b"", ""),
     (b"x" * MOST, "x" * MOST), (b"a: <<<<<<<\n", "a: <<<<<<<\n"), (b" ======= \n", " ======= \n"),
     (b"# =======\n=======x\n", "# =======\n=======x\n"), (b"=======\n", "=======\n")],
    ids=["text", "byte order mark", "CRLF", "nothing", "as much as may be", "not at the beginning", "indented",
         "more than marks", "a line of its own"],
)  # fmt: skip
def test_text_is_read_as_it_is_but_for_its_mark(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert read_text(path, MOST) == text


MERGE = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> feature\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\nb\xff\n", ":2:1: not UTF-8 text"),
        ("a".encode("utf-16"), ":1:1: not UTF-8 text but UTF-16 or UTF-32"),
        ("a".encode("utf-32"), ":1:1: not UTF-8 text but UTF-16 or UTF-32"),
        ("{}".encode("utf-16-le"), ":1:2: a NUL character: not UTF-8 text, or damaged"),
        (b"ab\nc\0", ":2:2: a NUL character: not UTF-8 text, or damaged"),
        (
            MERGE.encode(),
            ":2:1: unresolved merge, line 2 to 6: keep one side and remove the lines that git has added",
        ),
        (MERGE.replace("\n", "\r\n").encode(), ":2:1: unresolved merge, line 2 to 6: "),
        (
            MERGE.replace("=======", "||||||| base\n=======").encode(),
            ":2:1: unresolved merge, line 2 to 7: ",
        ),
        (b"x\n>>>>>>> half\n", ":2:1: unresolved merge, line 2 to 2: "),
        (b"x" * (MOST + 1), ": larger than 1,000 bytes, refused"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_text(path, MOST)
    assert str(refused.value).startswith(f"{path}{told}")


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "folder").mkdir()
    for name, why in (
        ("pipe", "not a regular file"),
        ("zero", "not a regular file"),
        ("folder", "Is a directory"),
        ("self", "Too many levels of symbolic links"),
        ("nul\0", "embedded null byte"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(InputError) as refused:
            read_text(tmp_path / name, MOST)
        assert str(refused.value) == f"cannot read {tmp_path / name}: {why}"
    with pytest.raises(NoFileError):
        read_text(tmp_path / "missing", MOST)


def test_a_file_that_says_it_is_small_is_read_up_to_the_limit() -> None:
    with pytest.raises(InputError, match="larger than 10 bytes, refused"):
        read_text(Path("/proc/cpuinfo"), 10)  # of which stat says that it has none


# -- one after the other


def test_of_two_that_change_a_file_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("")

    def add(number: int) -> None:
        with alone_with(path):
            before = path.read_text()
            time.sleep(0.002)
            write_whole(path, f"{before}{number}\n")

    with ThreadPoolExecutor(25) as pool:
        list(pool.map(add, range(25)))
    assert sorted(map(int, path.read_text().split())) == list(range(25))
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dscost.files.LONGEST_WAIT_S", 0.0)
    path = tmp_path / "x"
    with (
        alone_with(path),
        pytest.raises(OutputError, match="x: others have been writing there for 0 s"),
        alone_with(path),
    ):
        raise AssertionError("two at once")
    with alone_with(tmp_path / "no" / "such" / "x"):
        pass  # whoever writes there will tell
