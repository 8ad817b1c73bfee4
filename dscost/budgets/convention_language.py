"""The language of limits on what others count: `macs@fvcore`, `macs@conventions/mine.yaml`.

A name is that of `dscost list conventions`, or its part before the release; a file is seen from the
folder of the budget. Both are one figure to all else: `macs@fvcore-0.1.5`, `macs@mine`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os.path import normpath
from pathlib import Path
from typing import NamedTuple

from dscost.budgets.records import Entry, Limit, Rules
from dscost.errors import FileProblems, InputError, Place, Problem
from dscost.notation.forms import Form, Given, Keyed
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.marked_yaml import Node, Problems
from dscost.reports.figures import MACS_BY, metric_of

EXAMPLE = metric_of("fvcore-0.1.5")


class Counted(NamedTuple):
    """What a limit is on.

    Args:
        metric: The figure.
        convention: Of one by a convention, its name, or its file as the budget has it.
    """

    metric: str
    convention: str | None = None


def with_conventions(keyed: Keyed, limit_on: Callable[[Counted], Form]) -> Form:
    """Return the form of limits by metric, where there may be such on figures by conventions."""

    def read(node: Node, problems: Problems) -> Given | None:
        if not isinstance(node.value, dict):
            keyed.read(node, problems)  # which says what it should be
            return None
        own = {key: child for key, child in node.value.items() if "@" not in key}
        is_read = bool(own) or not node.value
        found = (keyed.read(replace(node, value=own), problems) if is_read else None) or {}
        values = Given(node)
        places: dict[str, tuple[str, Place]] = {}
        for key, child in node.value.items():  # in the order of the file, as all that is told
            counted = _kept(key, child, problems) if "@" in key else None
            if key in found:
                values[key] = found[key]
            if counted is None:
                continue
            first, place = places.setdefault(counted.metric, (key, child.key_place))
            if first != key:
                again = f"'{key}' and '{first}' on line {place[0]} are both {counted.metric}"
                problems.at_key(child, again)
                continue
            limit = limit_on(counted).read(child, problems)
            if limit is not None:
                values[counted.metric] = limit
        return values

    def schema(definitions: Definitions) -> Schema:
        found = limit_on(Counted(EXAMPLE)).schema(definitions)
        return {**keyed.schema(definitions), "patternProperties": {_PATTERN: found}}

    return Form(read, schema)


_PATTERN = rf"^{MACS_BY}\S"


def _kept(key: str, node: Node, problems: Problems) -> Counted | None:
    """Return what a key with `@` means; what is wrong with it is a problem there."""
    try:
        return _counted(key)
    except InputError as error:
        problems.at_key(node, str(error))
        return None


def _counted(key: str) -> Counted:
    figure, _, name = key.partition("@")
    shown = f"'{key:.60}'"
    if f"{figure}@" != MACS_BY:
        meant = metric_of(name) if name.strip() else EXAMPLE
        raise InputError(f"conventions count macs alone, found {shown}: write '{meant:.60}'")
    if not name.strip():
        expected = f"expected a convention after '{MACS_BY}'"
        raise InputError(f"{expected}, found {shown}: write '{EXAMPLE}'")
    from dscost.conventions import find_convention

    if is_rules_file(name):  # which is read once its folder is known
        return Counted(metric_of(Path(name).stem), normpath(name))
    found = find_convention(name)
    return Counted(metric_of(found.key), found.key)


def is_rules_file(convention: str) -> bool:
    """Whether a convention is named by its file."""
    from dscost.conventions.known import ENDINGS

    return convention.endswith(ENDINGS)


# -- the rules that are meant


def with_rules(entries: Iterable[Entry], folder: Path, problems: Problems) -> list[Entry]:
    """Return entries with the rules of the conventions that they name.

    What is wrong with one, be it that it cannot be read, is a problem where the budget names it.
    """
    found = list(entries)
    limits = [one for entry in found for one in entry.every_limit if one.convention]
    rules: dict[str, Rules] = {}
    first: dict[str, Limit] = {}
    wrong: dict[Place, str] = {}
    for limit in limits:
        assert limit.convention is not None
        known = first.setdefault(limit.metric, limit)
        if known.convention != limit.convention:
            wrong[limit.place] = (
                f"{limit.convention} and {known.convention}, on line {known.place[0]}, "
                f"are both {limit.metric}: give one of the files another name"
            )
        elif limit.metric not in rules:
            try:
                rules[limit.metric] = _rules(limit.convention, folder)
            except InputError as error:
                wrong[limit.place] = _in_a_line(error)
    problems += [Problem(*place, message) for place, message in wrong.items()]
    return [replace(entry, conventions=_of(entry, rules)) for entry in found]


def _rules(convention: str, folder: Path) -> Rules:
    from dscost.conventions import find_convention

    name = str(folder / convention) if is_rules_file(convention) else convention
    return Rules(name, find_convention(name).digest)


def _of(entry: Entry, rules: Mapping[str, Rules]) -> dict[str, Rules]:
    metrics = dict.fromkeys(limit.metric for limit in entry.every_limit if limit.convention)
    return {metric: rules[metric] for metric in metrics if metric in rules}


def _in_a_line(error: InputError) -> str:
    """Return what is wrong with a file in a line: its first mistake, and how many more."""
    if not isinstance(error, FileProblems):
        return str(error)
    more = len(error.problems) - 1
    first = str(error).partition("\n")[0]
    return f"{first} (and {more} more)" if more else first
