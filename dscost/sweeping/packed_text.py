"""Many lines of text at once, put together by numpy: no line is formatted by itself.

A line is made of parts that differ in length from line to line. All lines take their first part at
once, then their second, and so on: a part is written in words of eight characters, from where the
one before it ends. What a word has too much is written over by the part behind it.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from dscost.sweeping.columns import Array

_WORD = np.dtype("<u8")
_SIZE = 8
"""Characters of a word: the first is its lowest byte."""


class Part(NamedTuple):
    """A piece of each line.

    Args:
        lengths: How many characters each line has of it, or all of them.
        words: Those characters, a word of each line after the other; the second of each may be
            left out where none of the lines needs it, and so on.
        rows: Which lines have each of these words; `None` means all.
    """

    lengths: Array | int
    words: Sequence[Any]
    rows: Sequence[Array | None]

    @property
    def least(self) -> int:
        """How many characters every line has of it."""
        return self.lengths if isinstance(self.lengths, int) else int(self.lengths.min())


def joined(parts: Sequence[Part], number: int) -> bytes:
    """Return so many lines as one text."""
    safe = _safe([part.least for part in parts])
    if safe is None:
        return _joined_one_by_one(parts, number)
    lengths = np.zeros(number, np.int64)
    for part in parts:
        lengths += part.lengths
    ends = np.cumsum(lengths)
    whole = np.empty(int(ends[-1]) + _SIZE, np.uint8)
    # every place where a word may begin
    places = np.ndarray((len(whole) - _SIZE + 1,), _WORD, whole, strides=(1,))
    begin = ends - lengths
    at, first = begin.copy(), begin
    for number_of_part, part in enumerate(parts):
        for place, (words, rows) in enumerate(zip(part.words, part.rows, strict=True)):
            target = at if rows is None else at[rows]
            places[target + _SIZE * place if place else target] = words
        at += part.lengths
        if number_of_part == safe:
            first = places[begin]
    # the last words of each line have reached into the next one
    places[begin] = first
    return whole[: int(ends[-1])].tobytes()


def _safe(least: Sequence[int]) -> int | None:
    """Return behind which part the first word of every line is there, and no other has spoilt it.

    There is none where lines are short.
    """
    for at in range(len(least)):
        if sum(least[: at + 1]) >= _SIZE:
            return at if sum(least[at + 1 :]) >= _SIZE else None
    return None


def _joined_one_by_one(parts: Sequence[Part], number: int) -> bytes:
    """Return lines that are too short for words to be written over."""
    lines = [b""] * number
    for part in parts:
        texts = np.zeros((number, len(part.words)), _WORD)
        for place, (words, rows) in enumerate(zip(part.words, part.rows, strict=True)):
            texts[slice(None) if rows is None else rows, place] = words
        lengths = np.broadcast_to(part.lengths, number).tolist()
        cells = (one.tobytes()[:length] for one, length in zip(texts, lengths, strict=True))
        lines = [line + cell for line, cell in zip(lines, cells, strict=True)]
    return b"".join(lines)


# -- parts


def labelled(which: Array | int, texts: Sequence[bytes]) -> Part:
    """Return a part that has few different texts.

    Args:
        which: Of the texts that of each line, or of all.
        texts: The texts.
    """
    lengths = np.array([len(one) for one in texts])
    longest = max(1, -(-int(lengths.max()) // _SIZE))
    whole = b"".join(one.ljust(longest * _SIZE, b"\0") for one in texts)
    words = np.frombuffer(whole, _WORD).reshape(len(texts), longest)
    if isinstance(which, int):
        return Part(int(lengths[which]), list(words[which]), [None] * longest)
    own = lengths[which]
    rows: list[Array | None] = [None]
    found = [words[:, 0][which]]
    for place in range(1, longest):
        has = np.flatnonzero(own > _SIZE * place)
        rows.append(has if len(has) < len(own) else None)
        found.append(words[:, place][which[has]])
    return Part(own, found, rows)


_BASE = 10**8
"""What a word has digits for."""
_HALF = 10**4
_MOST_BESIDE_SIGN = 10**7


def numbered(column: Array, sign: bytes) -> Iterator[Part]:
    """Yield the parts of whole numbers from 0.

    Args:
        column: One of each line.
        sign: A character that stands before each, or none.
    """
    largest = int(column.max())
    rest: Array = column.astype(np.uint32 if largest < 2**32 else np.uint64)
    groups: list[Array] = []
    while largest >= (_MOST_BESIDE_SIGN if sign else _BASE):
        higher = rest // _BASE
        groups.append((rest - higher * _BASE).astype(np.uint32))
        rest, largest = higher, largest // _BASE
    words, lengths = _digits(rest.astype(np.uint32))
    begun = rest > 0
    if groups:
        lengths[~begun] = 0
    if sign:
        words = (words << 8) | sign[0]
        lengths += 1
    yield Part(lengths, [words], [None])
    for group in reversed(groups):
        words, lengths = _digits(group, begun)
        begun = begun | (group > 0)
        if group is not groups[0]:
            lengths[~begun] = 0
        yield Part(lengths, [words], [None])


def _digits(numbers: Array, begun: Array | None = None) -> tuple[Array, Array]:
    """Return the digits of numbers below 10⁸ as words, and how many each has.

    Args:
        numbers: The numbers.
        begun: Which of them have digits before them, and so have zeros before their own.
    """
    high = numbers // _HALF
    low = numbers - high * _HALF
    texts, counts = _four_digits()
    words = texts[high].astype(np.uint64) | (texts[low].astype(np.uint64) << 32)
    lengths = np.where(high > 0, counts[high] + 4, counts[low])
    if begun is not None:
        lengths[begun] = _SIZE
    words >>= ((_SIZE - lengths) * 8).astype(np.uint64)
    return words, lengths


@cache
def _four_digits() -> tuple[Array, Array]:
    """Return numbers below 10,000 as four digits each, and how many they have by themselves."""
    texts = np.frombuffer(b"".join(b"%04d" % number for number in range(_HALF)), "<u4")
    return texts, np.array([len(str(number)) for number in range(_HALF)])
