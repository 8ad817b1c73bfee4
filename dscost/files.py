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
