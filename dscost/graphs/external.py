"""External data: where they are is checked; only small tensors, as shapes are, are read.

Nothing is opened or looked up outside of the folder of the file that names them, nor by way of a
link that leads out of it.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import NamedTuple

from onnx import TensorProto

from dscost.errors import InputError
from dscost.files import reason_of
from dscost.graphs.tensors import bytes_of, is_external, is_looked_at

MOST_LINKS = 40
MOST_READ = 2**24
"""Bytes of small tensors that are read from the external files of one model."""


class _Place(NamedTuple):
    """A file inside of the folder, and its length."""

    path: Path
    size: int


def read_small(tensors: Iterable[TensorProto], folder: Path, *, everything: bool = False) -> None:
    """Read small tensors that stand in other files into these; check where all others are.

    Args:
        tensors: Of a model.
        folder: That of its file.
        everything: Whether large ones are read as well.

    Raises:
        InputError: A file is missing or too short, or outside of the folder.
    """
    places: dict[str, _Place] = {}
    read = 0
    for tensor in tensors:
        if not is_external(tensor):
            continue
        told = {one.key: one.value for one in tensor.external_data}
        location = told.get("location", "")
        if location not in places:
            places[location] = _inside(folder, location, tensor.name)
        place = places[location]
        offset, length = _extent(told, tensor)
        if offset + length > place.size:
            raise InputError(
                f"tensor '{tensor.name}' ends at byte {offset + length:,} of its external data "
                f"{place.path.name}, which has {place.size:,}"
            )
        if everything or (is_looked_at(tensor) and read + length <= MOST_READ):
            read += length
            tensor.raw_data = _bytes_at(place.path, offset, length)
            tensor.ClearField("data_location")
            del tensor.external_data[:]


def refuse_outside(location: str, named: str) -> None:
    """Refuse the name of a file that is not inside of the folder."""
    parts = re.split(r"[/\\]", location)
    if not location or "\0" in location or ".." in parts or not parts[0] or ":" in parts[0]:
        raise InputError(f"{named} are not in the folder of the file: refused")


def _extent(told: dict[str, str], tensor: TensorProto) -> tuple[int, int]:
    """Return where the data of a tensor begin in their file, and how long they are."""
    wanted = bytes_of(tensor)
    numbers = [told.get("offset") or "0", told.get("length") or str(wanted)]
    if not all(re.fullmatch("[0-9]{1,18}", number, re.ASCII) for number in numbers):
        raise InputError(f"tensor '{tensor.name}' has external data at no place: {numbers}")
    offset, length = map(int, numbers)
    if length != wanted:
        raise InputError(
            f"tensor '{tensor.name}' takes {wanted:,} bytes by its shape, "
            f"but {length:,} of external data"
        )
    return offset, length


def _inside(folder: Path, location: str, name: str) -> _Place:
    """Return the file that external data are in; links are followed inside of the folder only."""
    named = f"external data '{location}' of tensor '{name}'"
    refuse_outside(location, named)
    left, done, links = re.split(r"[/\\]", location)[::-1], list[str](), 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise InputError(f"{named} are a link out of the folder of the file: refused")
            done.pop()
            continue
        place = folder.joinpath(*done, part)
        try:
            mode = place.lstat().st_mode
            link = place.readlink() if S_ISLNK(mode) else None
        except OSError as error:
            raise InputError(f"{named} are missing: {place}: {reason_of(error)}") from error
        if link is None:
            done.append(part)
            continue
        links += 1
        if link.is_absolute() or links > MOST_LINKS:
            raise InputError(f"{named} are a link out of the folder of the file: refused")
        left += link.parts[::-1]
    place = folder.joinpath(*done)
    found = place.lstat()
    if not S_ISREG(found.st_mode):
        raise InputError(f"{named} are no file: {place}")
    return _Place(place, found.st_size)


def _bytes_at(path: Path, offset: int, length: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
