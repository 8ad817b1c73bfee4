"""Text files read up to a limit, files written whole or not at all; names of saved reports."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ELOOP
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any

from dscost.errors import FileProblems, InputError, NoFileError, OutputError, Problem


def read_text(path: Path, most_bytes: int) -> str:
    """Return the text of a file, without a byte order mark.

    Only a regular file is read, and no more of it than the limit, whatever its size is said to be:
    a device has no end, and a pipe waits for somebody to write.

    Raises:
        NoFileError: It is not there.
        InputError: It cannot be read, is no regular file, or is larger.
        FileProblems: It is no UTF-8 text, or what git leaves of an unresolved merge.
    """
    try:
        raw = _first_bytes(path, most_bytes + 1)
    except FileNotFoundError as error:
        raise NoFileError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
    if len(raw) > most_bytes:
        raise InputError(f"{path}: larger than {most_bytes:,} bytes, refused")
    return decoded(raw, str(path))


def _first_bytes(path: Path, most: int) -> bytes:
    # whoever opens a pipe to read waits for a writer, unless told not to
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        mode = os.fstat(handle).st_mode
        if S_ISDIR(mode):
            raise IsADirectoryError(None, "Is a directory")
        if not S_ISREG(mode):
            raise OSError(None, "not a regular file")
        return stream.read(most)


def reason_of(error: Exception) -> str:
    """Return why a file could not be read or written, in the words of the system."""
    return getattr(error, "strerror", None) or str(error)


def decoded(raw: bytes, name: str) -> str:
    """Return UTF-8 as text, without a byte order mark; `name` stands for its file in errors.

    Raises:
        FileProblems: It is something else, holds a NUL, or the marks of an unresolved merge.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        line = 1 if utf_16 else raw[: error.start].count(b"\n") + 1
        message = "not UTF-8 text but UTF-16 or UTF-32" if utf_16 else "not UTF-8 text"
        raise FileProblems(name, [Problem(line, 1, message)]) from error
    nul = text.find("\0")
    if nul >= 0:
        message = "a NUL character: not UTF-8 text, or damaged"
        raise FileProblems(name, [Problem(*line_and_column(text, nul), message)])
    is_merge = "<<<<<<<" in text or ">>>>>>>" in text
    marks = [found.start() for found in _MERGE_MARK.finditer(text)] if is_merge else []
    if marks:
        first, last = (line_and_column(text, at)[0] for at in (marks[0], marks[-1]))
        remedy = "keep one side and remove the lines that git has added"
        message = f"unresolved merge, line {first} to {last}: {remedy}"
        raise FileProblems(name, [Problem(first, 1, message)])
    return text


_MERGE_MARK = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?: .*)?\r?$", re.MULTILINE)


def line_and_column(text: str, at: int) -> tuple[int, int]:
    r"""Return where a character of a text stands, counted from 1.

    >>> line_and_column("ab\ncd", 4)
    (2, 2)
    """
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


PROGRAMS = (".py", ".pyi", ".ipynb")
"""How the files end that people write by hand."""
MADE_BY = "Made by dscost convert"
"""How the first line of a program begins that a command has written, behind a `#`."""


def is_made(path: Path) -> bool:
    """Whether a program was written by a command, which may replace it."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MADE_BY) + 2) == f"# {MADE_BY}".encode()
    except OSError:
        return False


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, by way of a temporary one, so that no reader sees half of it.

    An existing file keeps its permissions; a link is followed. Something that is not a regular
    file, such as `/dev/stdout`, is written to directly.

    Raises:
        OutputError: It cannot be written; what was there before is still there.
    """
    try:
        encoded = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


LONGEST_WAIT_S = 20.0
"""For somebody else who is about to write the same file."""
_POLL_S = 0.02


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep others out who would read and rewrite a file meanwhile: one change would be lost.

    It is the folder that is locked, so that no file is left behind. Where a system has no such
    locks, nobody waits.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        folder = os.open(path.resolve().parent, os.O_RDONLY)
    except (OSError, RuntimeError):  # whoever writes there will tell
        yield
        return
    try:
        _lock(folder, path, fcntl)
        yield
    finally:
        os.close(folder)  # which unlocks it


def _lock(folder: int, path: Path, fcntl: Any) -> None:
    until = time.monotonic() + LONGEST_WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                waited = f"{LONGEST_WAIT_S:.0f} s"
                raise OutputError(
                    f"cannot write {path}: others have been writing there for {waited}"
                ) from error
            time.sleep(_POLL_S)
        except OSError:  # a file system without locks
            return


def check_folder(path: Path) -> None:
    """Refuse a file that cannot be written or is a program, before any work that would fill it."""
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}")
    try:
        path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # a name too long, a link to itself, a NUL
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    if path.suffix in PROGRAMS and not is_made(path):
        raise OutputError(f"cannot write {path}: it is a program, which no result replaces")
    if not os.access(path, os.W_OK):
        raise OutputError(f"cannot write {path}: {os.strerror(EACCES)}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes the place of another once it has been written to the end.

    It is beside that, so that no reader sees half of it, and nothing of it is left where writing
    fails or is interrupted. An existing file keeps its permissions; a link is followed. Where its
    folder forbids that, but the file itself does not, it is written into; without leave to write it
    a file is not replaced, though an open folder would allow that. Something that is not a regular
    file, such as `/dev/stdout`, is given itself.

    Raises:
        OutputError: It cannot be written; what was there before is still there.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = _resolved(path)
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        temporary = _made_for(target)
        try:
            yield temporary
            _put_in_place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # a link to itself
        raise OSError(ELOOP, os.strerror(ELOOP)) from error


def _made_for(path: Path) -> Path:
    """Return a new file: beside another, or where files may be if its folder forbids that."""
    import tempfile

    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".dscost-")
    except PermissionError:
        if not path.exists():
            raise
        handle, name = tempfile.mkstemp(prefix=".dscost-")
    os.close(handle)
    return Path(name)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Have a file take the place of another, or what is in it, where the folder forbids that."""
    if temporary.parent != path.parent:
        _write_into(path, temporary)
        return
    with temporary.open("r+b") as stream:  # the name must not be there before what it names
        os.fsync(stream.fileno())
    temporary.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
    try:
        temporary.replace(path)
    except PermissionError:
        if not path.exists():
            raise
        _write_into(path, temporary)


def _write_into(path: Path, temporary: Path) -> None:
    """Write into a file that stays in its place; what was there comes back if it fails."""
    with temporary.open("rb") as source, path.open("r+b") as stream:
        before = stream.read()
        try:
            _fill(stream, source)
        except BaseException:
            _fill(stream, BytesIO(before))
            raise


def _fill(stream: IO[bytes], source: IO[bytes]) -> None:
    import shutil

    stream.seek(0)
    shutil.copyfileobj(source, stream)
    stream.truncate()
    stream.flush()
    os.fsync(stream.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


REPORT_ENDING = ".json"
"""How the file of a saved report ends."""


def split_report_name(target: str) -> tuple[str, str | None] | None:
    """Return the file and the subject that a target means, or `None` where it is no saved report.

    >>> split_report_name("report.json"), split_report_name("resnet18")
    (('report.json', None), None)
    >>> split_report_name("out/all.json:timm:resnet18")
    ('out/all.json', 'timm:resnet18')
    """
    if target.endswith(REPORT_ENDING):
        return target, None
    path, colon, name = target.partition(f"{REPORT_ENDING}:")
    return (path + REPORT_ENDING, name) if colon else None


def what_is(path: Path) -> str:
    """Return in a few words what a file is by its first bytes, for errors about wrong files."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if not head:
        return "an empty file"
    for offset, mark, told in _MARKS:
        if head[offset : offset + len(mark)] == mark:
            return told
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page, not the file itself; download it again"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return "a safetensors file"
    if text.startswith((b"{", b"[")):
        return "JSON"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return f"text that begins {head[:30].decode(errors='replace')!r}"
    return "bytes of an unknown kind"


ZIP = "a zip archive"
_MARKS = (
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself; get it by git lfs pull",
    ),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x1f\x8b", "a file compressed by gzip; unpack it first"),
    (0, b"BZh", "a file compressed by bzip2; unpack it first"),
    (0, b"\xfd7zXZ\x00", "a file compressed by xz; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed by zstd; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"Rar!", "a rar archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"\x93NUMPY", "an array of NumPy"),
    (0, b"\x89HDF\r\n", "an HDF5 file, as of Keras"),
    (4, b"TFL3", "a model of TensorFlow Lite"),
    (4, b"ORTM", "a model in the ORT format; give the .onnx that it was made of"),
    (0, b"GGUF", "a GGUF file, as of llama.cpp"),
    (0, b"\x7fELF", "a native program or library"),
    (0, b"MZ", "a native program or library"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"GIF8", "a picture"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
)
"""Bytes by which files are known: where they stand, which they are, and what the file is then."""
