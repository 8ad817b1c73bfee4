"""An ONNX file as protobuf writes it, without its weights: their bytes are passed over."""

from typing import BinaryIO

from onnx import TensorProto

from dscost.errors import InputError
from dscost.graphs.positions import LARGEST, may_be_added
from dscost.graphs.tensors import check_stored

LARGE = 2**16
"""Data of a tensor that is longer is left out: it has more elements than are ever followed."""
MOST_KEPT = 2**27
"""Bytes of structure: names, nodes, small tensors."""
MOST_PARTS = 500_000
"""Fields that are looked at one by one."""
MOST_UNSEEN = 2**22
"""Bytes of structure left to protobuf unseen: two make a message, which takes a hundred."""
DEEPEST = 100
"""Messages in messages: as many as protobuf reads."""

_BLOCK = 2**15
_RAW_DATA = 9
_DATA = {4, 5, 6, 7, _RAW_DATA, 10, 11}
"""The numbers of the fields that hold a tensor's elements."""
_TRAINING = 20

_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""In which fields of a message tensors are found, by number, and the messages that these hold."""
_TYPES = {
    "model": {26},
    "graph": {11, 12, 13, 14},
    "function": {12},
    "node": {10},
    "attribute": {14, 15},
}
"""Which fields hold messages of several others in which no tensor is."""


class NoMessageError(Exception):
    """The bytes are no protobuf message, or a part of one."""


def structure_of(stream: BinaryIO, size: int) -> bytes:
    """Return the bytes of a model without those of large tensors' data, nor of how it was trained.

    Args:
        stream: The file.
        size: Its length.

    Raises:
        NoMessageError: It is no message.
        InputError: There is more structure than any network has, or a tensor has other data than
            its shape says.
    """
    skimming = _Skimming(stream, size)
    found = skimming.message(0, size, "model", 0)
    if len(found) > MOST_UNSEEN:
        # in most files of that size it is data of small tensors; in some it is millions of messages
        return _Skimming(stream, size, sees_all=True).message(0, size, "model", 0)
    return found


class _Skimming:
    """One pass over a file, block by block.

    Args:
        stream: The file.
        size: Its length.
        sees_all: Whether small messages are looked into as well.
    """

    def __init__(self, stream: BinaryIO, size: int, *, sees_all: bool = False) -> None:
        self._stream, self._size = stream, size
        self._block, self._from = b"", 0
        self._parts = self._kept = self._unseen = 0
        self._sees_all = sees_all

    def message(self, at: int, end: int, kind: str, depth: int) -> bytes:
        """Return what is kept of a message that stands between two offsets."""
        if depth > DEEPEST:
            raise InputError(f"more than {DEEPEST} messages lie in each other")
        kept: list[bytes] = []
        dropped = -1
        begin = at  # of what is kept as it stands
        while at < end:
            start = at
            self._count()
            tag, at = self._number(at, end)
            if tag < 8:
                raise NoMessageError
            length, at = self._length(tag & 7, at, end)
            stop = at + length
            if stop > end:
                raise NoMessageError
            inner = _INSIDE[kind].get(tag >> 3)
            is_data = kind == "tensor" and tag >> 3 in _DATA
            is_training = kind == "model" and tag >> 3 == _TRAINING
            if tag >> 3 in _TYPES.get(kind, ()):
                self._left_unseen(length)
            is_wanted = length > LARGE or (self._sees_all and inner)
            if tag & 7 == 2 and is_wanted and (inner or is_data or is_training):
                kept.append(self._read(begin, start))
                if tag >> 3 == _RAW_DATA and _is_wanted(kept, length):
                    begin, at = start, stop
                    continue
                begin = stop
                if inner:
                    body = self.message(at, stop, inner, depth + 1)
                    kept += [_written(tag), _written(len(body)), body]
                elif tag >> 3 == _RAW_DATA:
                    dropped = length
            at = stop
        kept.append(self._read(begin, end))
        whole = b"".join(kept)
        if dropped >= 0:
            check_stored(TensorProto.FromString(whole), dropped)
        return whole

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise InputError(f"more than {MOST_PARTS:,} nodes and tensors are not read")

    def _left_unseen(self, length: int) -> None:
        self._unseen += length
        if self._unseen > MOST_UNSEEN:
            raise InputError(f"more than {MOST_UNSEEN:,} bytes of types are not read")

    def _length(self, wire: int, at: int, end: int) -> tuple[int, int]:
        """Return how long the value of a field is, and where it begins."""
        if wire == 2:
            return self._number(at, end)
        if wire == 0:
            return 0, self._number(at, end)[1]
        if wire in (1, 5):
            return 8 if wire == 1 else 4, at
        raise NoMessageError

    def _number(self, at: int, end: int) -> tuple[int, int]:
        """Return a number of seven bits a byte, and where it ends."""
        value = shift = 0
        while at < end and shift < 70:
            place = at - self._from
            if not 0 <= place < len(self._block):
                self._stream.seek(at)
                self._block, self._from, place = self._stream.read(_BLOCK), at, 0
                if not self._block:
                    break
            byte = self._block[place]
            at += 1
            if byte < 128:
                return value | byte << shift, at
            value |= (byte & 127) << shift
            shift += 7
        raise NoMessageError

    def _read(self, start: int, end: int) -> bytes:
        self._kept += end - start
        if self._kept > MOST_KEPT:
            raise InputError(f"more than {MOST_KEPT:,} bytes beside its weights are not read")
        self._stream.seek(start)
        return self._stream.read(end - start)


def _is_wanted(kept: list[bytes], length: int) -> bool:
    """Whether the data of a tensor of which this much is kept are looked at, large as they are."""
    return length <= LARGEST and may_be_added(TensorProto.FromString(b"".join(kept)))


def _written(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
