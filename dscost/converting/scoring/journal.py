"""What a score said, kept line by line as it came: nothing of it is evaluated twice.

The first line of a journal says of what it is: model, weights, function, input. Each of the others
is one evaluation; see `dscost.journals`.
"""

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from dscost.converting.decisions import KEEP, Decision
from dscost.converting.scoring.losses import Evaluation
from dscost.journals import JournalFile, path_in
from dscost.timing.ceilings_file import cache_folder

FOLDER = "scores"


class Kept(NamedTuple):
    """An evaluation, and how long it took."""

    evaluation: Evaluation
    seconds: float


Asked = tuple[str, int]
"""What was evaluated: a plan as `key_of` writes it, and which time."""


RUINED = "zeros"
"""In place of what layers are: they are zero."""


def key_of(decisions: Mapping[str, Decision]) -> str:
    """Return a plan as text, the same for plans that do the same.

    >>> key_of({"b": 1, "a": "2 pointwise-first", "c": "keep"})
    '{"a": "2 pointwise-first", "b": 1}'
    """
    done = {name: one for name, one in decisions.items() if one != KEEP}
    return json.dumps(done, sort_keys=True, ensure_ascii=False)


def ruined_key(names: Iterable[str]) -> str:
    """Return the key of a model of which some layers are zero.

    >>> ruined_key(["b", "a"])
    '{"a": "zeros", "b": "zeros"}'
    """
    return key_of(dict.fromkeys(names, RUINED))


def recovered_key(key: str, by: str) -> str:
    """Return the key of a plan whose model was recovered, by inputs of that fingerprint.

    >>> recovered_key('{"a": 1}', "5f3c")
    '[{"a": 1}, "5f3c"]'
    """
    return f"[{key}, {json.dumps(by)}]"


class Journal:
    """Evaluations by what was tried, in memory and, with a path, in a file.

    Args:
        path: The file; there may be none yet. Without one, nothing outlives the process.
        of: What it is of.

    Raises:
        InputError: The file is no journal, or one of something else.
    """

    def __init__(self, path: Path | None = None, of: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._file = None if path is None else JournalFile(path, of or {}, "scores")
        self._kept: dict[Asked, Kept] = {}
        if self._file is not None:
            self._read(self._file)
        self.found = frozenset(self._kept)
        """What was there before."""

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, tried: Asked) -> Kept | None:
        """Return what was said of something, if it was."""
        return self._kept.get(tried)

    def put(self, tried: Asked, kept: Kept) -> None:
        """Keep what was said of something; it is in the file when this returns.

        Raises:
            OutputError: The file cannot be written.
        """
        if tried in self._kept:
            return
        self._kept[tried] = kept
        if self._file is None:
            return
        plan, repetition = tried
        line: dict[str, Any] = {"plan": json.loads(plan), "score": kept.evaluation.score}
        if repetition:
            line["repetition"] = repetition
        if kept.evaluation.values:
            line["values"] = kept.evaluation.values
        line["seconds"] = kept.seconds
        self._file.append(line)

    def _read(self, file: JournalFile) -> None:
        for line in file.lines():
            try:
                self._take(json.loads(line.raw))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise file.refused(line) from error

    def _take(self, one: Mapping[str, Any]) -> None:
        """Keep what a line says; its errors say that it is none."""
        plan = one["plan"]
        if isinstance(plan, list):
            done, by = plan
            key = recovered_key(key_of(done), by)
        else:
            key = key_of(plan)
        said = Evaluation(float(one["score"]), tuple(map(float, one.get("values", ()))))
        kept = Kept(said, float(one["seconds"]))
        if not all(map(isfinite, (said.score, *said.values, kept.seconds))):
            raise ValueError("not finite")
        self._kept[key, int(one.get("repetition", 0))] = kept


def usual_path(of: Mapping[str, Any]) -> Path | None:
    """Return where a journal is by default: in the user's cache folder, by what it is of.

    It is nowhere where that cannot be written.
    """
    folder = cache_folder()
    return folder and path_in(folder.parent / FOLDER, of)
