"""Where the data files stand that people copy: in the wheel, or beside the package."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from tempfile import TemporaryDirectory

_PACKAGE = Path(__file__).parent


def config_folder(kind: str) -> Path:
    """Return the folder of one kind of data, such as `architectures`."""
    installed = _PACKAGE / "configs" / kind
    if installed.is_dir():
        return installed
    beside = _PACKAGE.parent / "configs" / kind
    return beside if beside.is_dir() else Path(_unpacked().name) / kind


@cache
def _unpacked() -> "TemporaryDirectory[str]":
    """Return a folder with the data of a package that is in an archive, removed at the end."""
    from importlib.resources import files
    from tempfile import TemporaryDirectory

    folder = TemporaryDirectory(prefix="dscost-")
    data = files("dscost") / "configs"
    if data.is_dir():
        _copy(data, Path(folder.name))
    return folder


def _copy(source: "Traversable", folder: Path) -> None:
    for one in source.iterdir():
        place = folder / one.name
        if one.is_dir():
            place.mkdir()
            _copy(one, place)
        else:
            place.write_bytes(one.read_bytes())
