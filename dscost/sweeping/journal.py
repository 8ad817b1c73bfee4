"""The journal of a sweep: every visit of a case is a line, on the disk before the next one begins.

It may hold more than one grid, device or runtime: lines of what is not asked for are kept and stay
unread, so that a grid that grows goes on from what is there. See `dscost.journals`.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from dscost.journals import JournalFile, Line, path_in
from dscost.reports.records import Speedup
from dscost.sweeping.records import Visit, Where
from dscost.timing.ceilings_file import cache_folder

METHOD = 1
"""Counts up whenever something is measured in another way, the reference layer for one."""
OF: Mapping[str, Any] = {"what": "layers beside the reference layer", "method": METHOD}
FOLDER = "sweeps"
ENDING = ".journal"
"""Behind the name of the file that a table is written to."""


class Journal:
    """Visits by the key of their case, in memory and, with a path, in a file.

    Args:
        path: The file; there may be none yet. Without one, nothing outlives the process.

    Raises:
        InputError: The file is no journal of a sweep, or a line of it is none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._file = None if path is None else JournalFile(path, OF, "a sweep")
        self._visits: dict[str, list[Visit]] = {}
        for line in self._file.lines() if self._file else ():
            self._take(self._visit_of(line))

    def visits(self, key: str) -> tuple[Visit, ...]:
        """Return what was measured of a case, in the order in which that was."""
        return tuple(self._visits.get(key, ()))

    def among(self, keys: Iterable[str]) -> dict[str, tuple[Visit, ...]]:
        """Return the visits of each case that has some."""
        return {key: found for key in keys if (found := self.visits(key))}

    def put(self, visit: Visit) -> None:
        """Keep a visit; it is in the file when this returns. One that is there stays as it is.

        Raises:
            OutputError: The file cannot be written; all that was there is still there.
        """
        if visit in self._visits.get(visit.key, ()):
            return
        if self._file:
            self._file.append(written(visit))
        self._take(visit)

    def forget(self, keys: Collection[str]) -> None:
        """Drop what was measured of some cases; what else there is stays.

        Raises:
            OutputError: The file cannot be written; nothing of it is lost then.
        """
        wanted = set(keys)
        if self._file and wanted & self._visits.keys():
            self._file.drop(lambda line: self._visit_of(line).key in wanted)
        for key in wanted:
            self._visits.pop(key, None)

    def _take(self, visit: Visit) -> None:
        """Keep a visit in memory, unless it is there."""
        found = self._visits.setdefault(visit.key, [])
        if visit not in found:  # two lines may say the same
            found.append(visit)

    def _visit_of(self, line: Line) -> Visit:
        assert self._file is not None
        try:
            return read(json.loads(line.raw))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise self._file.refused(line) from error


def journal_path(named: Path | None, output: Path | None, of: Mapping[str, Any]) -> Path | None:
    """Return where a journal is: where it was named, beside the table, or in the cache folder.

    Args:
        named: The file that was asked for.
        output: The file that the table is written to.
        of: What is swept, where there is neither.
    """
    if named is not None:
        return named
    beside = output and journal_beside(output)
    if beside is not None:
        return beside
    folder = cache_folder()
    return folder and path_in(folder.parent / FOLDER, of)


def journal_beside(output: Path) -> Path | None:
    """Return where the journal of a table is, beside it; none of what is no file."""
    is_file = output.is_file() or not output.exists()
    return output.with_name(output.name + ENDING) if is_file else None


# -- lines


def written(visit: Visit) -> dict[str, Any]:
    """Return a visit as a line has it."""
    speedups = ("beside", "speedups")
    where = {**visit.where._asdict(), "versions": dict(visit.where.versions)}
    return {
        **visit._asdict(),
        "where": where,
        **{
            name: {label: one._asdict() for label, one in getattr(visit, name).items()}
            for name in speedups
        },
        "samples": dict(visit.samples),
        "untimed": dict(visit.untimed),
    }


def read(line: Mapping[str, Any]) -> Visit:
    """Return the visit that a line says; its errors, `ValueError` and such, say that it is none."""
    where = Where(**line["where"])
    if not isinstance(line["key"], str) or not isinstance(where.threads, int):
        raise TypeError("neither a key nor a place")
    figures = [float(line[name]) for name in ("reference_s", "moved", "began_at", "took_s")]
    if not all(map(isfinite, figures)):
        raise ValueError("not finite")
    reference_s, moved, began_at, took_s = figures
    return Visit(
        line["key"],
        where,
        _speedups(line["beside"]),
        _speedups(line["speedups"]),
        reference_s,
        moved,
        {label: int(number) for label, number in line["samples"].items()},
        {label: str(why) for label, why in line["untimed"].items()},
        began_at,
        took_s,
    )


def _speedups(said: Mapping[str, Mapping[str, Any]]) -> dict[str, Speedup]:
    found = {}
    for label, one in said.items():
        low, high = map(float, one["ci95"])
        speedup = Speedup(float(one["median"]), (low, high), float(one["noise_floor"]))
        if not all(map(isfinite, (speedup.median, low, high, speedup.noise_floor))):
            raise ValueError("not finite")
        if not 0 < low <= speedup.median <= high:
            raise ValueError("no ratio in its interval")
        found[label] = speedup
    return found
