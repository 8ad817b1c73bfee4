"""Rows of a table as text, many at once: lines of CSV, JSON lines.

A line has a place of fixed width for each of its columns, in words of four bytes. What a value does
not fill of its place is zeros, which are taken out in the end. So digits are looked up, four at a
time, and no row is formatted by itself.
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import cache
from io import StringIO
from typing import Any

import numpy as np

from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.columns import Array

_WORD = np.dtype(np.uint32)
_DIGITS, _TOP_DIGITS = 4, 3
"""Of a word; of the first word of a number, which has a sign before them."""


def csv_header(table: Table) -> bytes:
    """Return the line above the rows."""
    return ",".join(map(_csv_cell, table.columns)).encode() + b"\n"


def csv_lines(table: Table) -> bytes:
    """Return the rows as lines of CSV; what is unknown is empty."""
    starts = [b"", *[b","] * (len(table.columns) - 1)]
    return _lines(table, starts, b"\n", _csv_cell)


def json_lines(table: Table) -> bytes:
    """Return the rows as JSON, one a line; what is unknown is null."""
    names = [f"{json.dumps(name)}: ".encode() for name in table.columns]
    starts = [(b"{" if at == 0 else b", ") + name for at, name in enumerate(names)]
    return _lines(table, starts, b"}\n", json.dumps)


def _csv_cell(value: Any) -> str:
    """Return a cell as the csv module writes it, among others."""
    text = StringIO()
    csv.writer(text, lineterminator="").writerow(["", value])
    return text.getvalue()[1:]


def _lines(table: Table, starts: list[bytes], end: bytes, told: Callable[[Any], str]) -> bytes:
    """Return a line for each row.

    Args:
        table: The rows.
        starts: What stands before each cell.
        end: What stands behind the last.
        told: Returns a cell.
    """
    words: list[Array] = []
    before = b""
    for start, column in zip(starts, table.columns.values(), strict=True):
        before += start
        if isinstance(column, Labels):
            if len(column.values) == 1:
                before += told(column.values[0]).encode()
                continue
            words.append(_of_labels(column, before, told))
        elif column.dtype == np.int64 and (not table.number or column.min() >= 0):
            words += _of_numbers(column, before)
        else:
            words.append(_of_labels(_as_labels(column), before, told))
        before = b""
    words.append(_packed([before + end]))
    return _joined(words, table.number)


def _joined(words: list[Array], number: int) -> bytes:
    """Return the bytes of rows that words stand beside each other in, without zeros."""
    widths = [one.shape[1] for one in words]
    rows = np.empty((number, sum(widths)), _WORD)
    at = 0
    for one, width in zip(words, widths, strict=True):
        rows[:, at : at + width] = one
        at += width
    return rows.tobytes().translate(None, b"\0")


def _as_labels(column: Array) -> Labels:
    """Return a column of which many rows may have one value."""
    if column.dtype == object:
        return Labels(np.arange(len(column)), tuple(column.tolist()), int)
    values, which = np.unique(column, return_inverse=True)
    told: Any = tuple(None if one != one else one for one in values.tolist())
    return Labels(which, told, float)


def _of_labels(column: Labels, before: bytes, told: Callable[[Any], str]) -> Array:
    """Return the words of each row of a column that has few values."""
    texts = _packed([before + told(one).encode() for one in column.values])
    return texts[column.which]


def _packed(texts: list[bytes]) -> Array:
    """Return a row of words for each text, with zeros behind it."""
    width = -(-max(map(len, texts), default=0) // _DIGITS)
    whole = b"".join(one.ljust(width * _DIGITS, b"\0") for one in texts)
    return np.frombuffer(whole, _WORD).reshape(len(texts), width)


# -- numbers


def _of_numbers(column: Array, before: bytes) -> Iterator[Array]:
    """Yield the words of each row of a column of whole numbers from 0."""
    if len(before) > 1:
        yield _packed([before[:-1]])
    largest = int(column.max()) if len(column) else 0
    groups = 0
    while largest >= 10 ** (_TOP_DIGITS + _DIGITS * groups):
        groups += 1
    rest: Array = column.astype(np.uint32 if largest < 2**32 else np.uint64)
    words = []
    for group in range(groups):
        higher = rest // 10**_DIGITS
        digits = rest - higher * 10**_DIGITS
        digits[higher == 0] += 10**_DIGITS
        words.append(_lower(is_last=group == 0)[digits])
        rest = higher
    words.append(_upper(before[-1:], is_last=not groups)[rest])
    for one in reversed(words):
        yield one[:, np.newaxis]


@cache
def _lower(*, is_last: bool) -> Array:
    """Return the words of four digits: of all, then of those that nothing but zeros is before."""
    padded = [b"%04d" % number for number in range(10**_DIGITS)]
    plain = [b"%d" % number for number in range(10**_DIGITS)]
    if not is_last:
        plain[0] = b""
    return _packed([*padded, *plain])[:, 0]


@cache
def _upper(sign: bytes, *, is_last: bool) -> Array:
    """Return the words of a sign and of up to three digits behind it."""
    plain = [sign + b"%d" % number for number in range(10**_TOP_DIGITS)]
    if not is_last:
        plain[0] = sign
    return _packed(plain)[:, 0] if is_last or sign else _packed([*plain, b"1234"])[:-1, 0]
