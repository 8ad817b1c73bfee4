"""Files written whole or not at all; how those of saved reports are named."""

import os
from pathlib import Path

from dscost.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, by way of a temporary one beside it, so that no reader ever sees half of it.

    An existing file keeps its permissions; a link is followed. Something that is not a regular
    file, such as `/dev/stdout`, is written to directly.

    Raises:
        OutputError: It cannot be written; what was there before is still there.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(_encoded(content))
            return
        _replace(path.resolve(), _encoded(content))
    except (OSError, RuntimeError, UnicodeEncodeError) as error:  # a link to itself is a RuntimeError
        raise OutputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def check_folder(path: Path) -> None:
    """Refuse a file whose folder is missing, before the work that would fill it.

    Raises:
        OutputError: There is no such folder.
    """
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _replace(path: Path, content: bytes) -> None:
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".dscost-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


REPORT_ENDING = ".json"
"""How the file of a saved report ends."""


def split_report_name(target: str) -> tuple[str, str | None] | None:
    """Return the file and the subject that a target means, or `None` where it is no saved report.

    >>> split_report_name("report.json"), split_report_name("out/all.json:timm:resnet18"), split_report_name("resnet18")
    (('report.json', None), ('out/all.json', 'timm:resnet18'), None)
    """
    if target.endswith(REPORT_ENDING):
        return target, None
    path, colon, name = target.partition(f"{REPORT_ENDING}:")
    return (path + REPORT_ENDING, name) if colon else None


def what_is(path: Path) -> str:
    """Return in a few words what a file is by its first bytes, for errors about files that should be something else."""
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


_MARKS = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; get it by git lfs pull"),
    (0, b"PK\x03\x04", "a zip archive"),
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
