"""What a score said, kept line by line as it came: nothing of it is evaluated twice.

A journal is a file of JSON lines. The first says of what it is: model, weights, function, input; a
journal of something else is refused. Each of the others is one evaluation. A line that was not
finished when its process ended is dropped.
"""

import json
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from dscost.converting.decisions import KEEP, Decision
from dscost.converting.scoring.losses import Evaluation
from dscost.errors import InputError, OutputError
from dscost.files import alone_with, reason_of
from dscost.timing.ceilings_file import cache_folder

VERSION = 1
FOLDER = "scores"
ENDING = ".jsonl"


class Kept(NamedTuple):
    """An evaluation, and how long it took."""

    evaluation: Evaluation
    seconds: float


Asked = tuple[str, int]
"""What was evaluated: a plan as `key_of` writes it, and which time."""


RUINED = "zeros"
"""In place of what layers are: they are zero."""


def _line(of: Mapping[str, Any]) -> str:
    return json.dumps(of, ensure_ascii=False) + "\n"


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
        self.path, self._file = path, path and path.absolute()  # code may go to another folder
        self._of = {"journal": VERSION, "of": dict(of or {})}
        self._kept: dict[Asked, Kept] = {}
        if path is not None and path.exists():
            if not (path.is_file() or path.is_dir()):  # a folder says so where it is read
                raise InputError(f"{path} is no regular file: name another one for the journal")
            self._read(path)
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
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with alone_with(self._file):
                self._append(line)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {reason_of(error)}") from error

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write a line, behind the first one where nobody has begun the file."""
        assert self._file is not None
        with self._file.open("ab") as stream:
            size = stream.seek(0, os.SEEK_END)
            lines = [line] if self._whole_lines(self._file, size) else [self._of, line]
            stream.write("".join(map(_line, lines)).encode())
            stream.flush()
            os.fsync(stream.fileno())

    def _whole_lines(self, path: Path, size: int) -> int:
        """Return how many bytes of a file are whole lines; what is behind them goes."""
        if not size:
            return 0
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read() == b"\n":
                return size
        whole, ended, _ = path.read_bytes().rpartition(b"\n")
        self._cut(path, len(whole) + len(ended))  # somebody's process ended while it wrote
        return len(whole)

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {path}: {reason_of(error)}") from error
        first, ended, _ = content.partition(b"\n")
        is_begun = ended or not _line(self._of).encode().startswith(first)
        if is_begun:  # nothing is touched but a journal of the same
            self._require_same(path, first)
        whole, _, rest = content.rpartition(b"\n")
        if rest:  # its process ended while it wrote
            self._cut(path, len(content) - len(rest))
        lines = whole.split(b"\n") if ended else []
        for number, line in enumerate(lines[1:], start=2):
            if line == first:  # two processes began it
                continue
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                raise InputError(
                    f"{path}:{number}: no line of a journal of scores: delete it, or the file"
                ) from error

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

    @staticmethod
    def _cut(path: Path, size: int) -> None:
        try:
            os.truncate(path, size)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {reason_of(error)}") from error

    def _require_same(self, path: Path, line: bytes) -> None:
        try:
            found = json.loads(line)
            is_journal = found["journal"] == VERSION
            theirs = dict(found["of"])
        except (ValueError, KeyError, TypeError):
            is_journal, theirs = False, {}
        if not is_journal:
            raise InputError(f"{path} is no journal of scores: name another file")
        ours = json.loads(json.dumps(self._of["of"]))
        other = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        if other:
            raise InputError(
                f"{path} is a journal of something else: other {' and '.join(other)}; "
                "name another file, or delete it"
            )


def can_be_written(path: Path) -> bool:
    """Whether a file can be added to, or made with the folders above it."""
    if path.exists():
        return os.access(path, os.W_OK)
    above = next((one for one in path.absolute().parents if one.exists()), None)
    return above is not None and above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def usual_path(of: Mapping[str, Any]) -> Path | None:
    """Return where a journal is by default: in the user's cache folder, by what it is of.

    It is nowhere where that cannot be written.
    """
    folder = cache_folder()
    if folder is None:
        return None
    name = sha256(json.dumps(dict(of), sort_keys=True).encode()).hexdigest()[:16]
    path = folder.parent / FOLDER / f"{name}{ENDING}"
    return path if can_be_written(path) else None
