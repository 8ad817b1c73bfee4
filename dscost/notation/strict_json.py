"""The one door to JSON that people keep and merge: what would be lost or misread is refused.

A key that is there twice, a number that is not finite, or longer or larger than any that a person
or a program means, and what is nested too deep are told with their place.
"""

import json
import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from dscost.errors import FileProblems, Problem
from dscost.files import line_and_column

MAX_DIGITS = 40
"""Characters of a number."""
MOST = 1e40
"""No number is further from 0: sums and products of such numbers are finite too."""


def parse_json(text: str, name: str) -> Any:
    """Return the value that a JSON text holds; `name` stands for its file in errors.

    >>> parse_json('{"a": [1, 2.5, null]}', "x")
    {'a': [1, 2.5, None]}
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except json.JSONDecodeError as error:
        problem = Problem(error.lineno, error.colno, f"not JSON: {error.msg}")
    except RecursionError:
        problem = Problem(1, 1, "not JSON: nested too deep")
    except _Refused:
        problem = _first_refused(text)
    raise FileProblems(name, [problem])


class _Refused(Exception):
    """Something that is JSON, or nearly, and is not taken; its place is looked for only then."""


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Refused
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if len(digits) > MAX_DIGITS or not abs(number) <= MOST:
        raise _Refused
    return number


_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")(?P<colon>[ \t\r\n]*:)?"""
    r"""|(?P<opens>[{\[])|(?P<closes>[}\]])"""
    r"""|(?P<number>-?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|Infinity))"""
)


def _first_refused(text: str) -> Problem:
    keys: list[dict[str, int]] = []  # of the containers that are open, where each key stands
    for token in _TOKEN.finditer(text):
        if token["colon"] and keys:
            key = json.loads(token["text"], strict=False)
            if key in keys[-1]:
                first, _ = line_and_column(text, keys[-1][key])
                return _problem(text, token, f"duplicate key '{key:.100}' (first on line {first})")
            keys[-1][key] = token.start()
        elif token["opens"]:
            keys.append({})
        elif token["closes"] and keys:
            keys.pop()
        elif token["number"] and _why_no_number(token["number"]):
            return _problem(text, token, _why_no_number(token["number"]))
    return Problem(1, 1, "not JSON")


def _why_no_number(number: str) -> str:
    """Return why a number is refused, or nothing."""
    if len(number) > MAX_DIGITS:
        return f"a number of {len(number):,} characters, at most {MAX_DIGITS} are read"
    if number.lstrip("-")[0].isalpha():
        return f"not JSON: {number} is no number"
    if not isfinite(float(number)):
        return f"numbers must be finite, found {number}"
    return "" if abs(float(number)) <= MOST else f"numbers are at most {MOST:g}, found {number}"


def _problem(text: str, token: re.Match[str], message: str) -> Problem:
    return Problem(*line_and_column(text, token.start()), message)
