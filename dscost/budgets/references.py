"""What a ratio of latencies is taken against: another target, or the model as a commit has it.

Nothing is checked out. A commit's architecture or ONNX file is read by `git show` and written, with
the weights beside it, into a folder of its own; code is not, since it is more than a file.
"""

from collections.abc import Mapping
from os.path import normpath
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from dscost.analysis import Request
from dscost.analysis.ratio_timing import Side
from dscost.budgets.findings import NoRatio
from dscost.budgets.from_git import SHORT, commit_of, file_at, last_change_of, why_no_commit
from dscost.budgets.records import Entry, Pairing
from dscost.budgets.requests import placed, side_of
from dscost.errors import DscostError, InputError, UnknownNameError, needing_onnx, some_of
from dscost.files import reason_of
from dscost.runtimes import TORCH
from dscost.sources import YAML_ENDINGS, is_graph, is_saved, runs_code, split_file

LARGE_FILE_POINTER = b"version https://git-lfs"


class Reference(NamedTuple):
    """What a model is held against.

    Args:
        name: In words.
        side: What is timed; `None` where it is the model itself, unchanged.
        no_commit: Why the name is not one of a commit, where it could have been.
    """

    name: str
    side: Side | None
    no_commit: str = ""

    def why_unknown(self, error: DscostError) -> str | None:
        """Return that it is neither commit nor model, where an error says that of its name."""
        if not isinstance(error, UnknownNameError) or error.name != self.name:
            return None
        if not self.no_commit:
            return None
        # of a thousand models some say nothing of a commit: a near one does, or a library missing
        known = f" (known: {some_of(error.known)})"
        rest = str(error).replace(known, "").removeprefix(f"unknown {error.kind} '{error.name}'")
        return f"against: {self.name} is no model{rest}, and no commit: {self.no_commit}"


def reference_of(
    entry: Entry, against: str, folder: Path, scratch: Path, asked: str
) -> Reference | NoRatio:
    """Return what an entry is held against.

    Args:
        entry: The model.
        against: A target, or else a commit.
        folder: Of the budget.
        scratch: An empty folder, where a file of a commit may be written.
        asked: Who asks, as errors begin.
    """
    no_commit = ""
    if not _means_target(against):
        no_commit = why_no_commit(folder, against)
        if not no_commit:
            return at_commit(entry, against, folder, scratch, asked)
    # with the input of the model; its settings and arguments are its own
    request = Request(entry.input, entry.batch, entry.dtype, trust=entry.trust)
    side = Side(against, placed(against, folder), request, folder)
    return Reference(against, side, no_commit)


def at_commit(
    entry: Entry, ref: str, folder: Path, scratch: Path, asked: str
) -> Reference | NoRatio:
    """Return an entry as it was where this branch left another; as of `reference_of`."""
    try:
        return _at(entry, ref, commit_of(folder, ref, asked), folder, scratch)
    except InputError as error:
        return NoRatio(str(error))


def as_kept(entry: Entry, baseline: Path, folder: Path, scratch: Path) -> Reference | NoRatio:
    """Return an entry as it was when its baseline was last committed."""
    asked = "against the baseline"
    try:
        commit = last_change_of(baseline.resolve(), asked)
        if commit is None:
            reason = f"{baseline.name} is in no commit yet, so latency_ratio cannot be judged"
            return NoRatio(reason, is_missing=True)
        return _at(entry, baseline.name, commit, folder, scratch)
    except InputError as error:
        return NoRatio(str(error))


def _means_target(text: str) -> bool:
    """Whether a text is that of a target, whatever branches there are."""
    return split_file(text) is not None or ":" in text or not runs_code(text)


def looking_command(entry: Entry, pairing: Pairing, folder: Path) -> str:
    """Return the command that shows where the time goes: of a model, or of both side by side.

    Files are as seen from the working directory; the budget lies in the folder.
    """
    target = _typed(entry.target, folder)
    given: dict[str, Mapping[str, Any]] = {}
    if pairing.against and _means_target(pairing.against):
        parts = ["dscost", "compare", _typed(pairing.against, folder), target, "--time"]
    else:
        parts = ["dscost", "model", target, "--explain"]
        request = side_of(entry, folder).request
        given = {"--set": request.settings or {}, "--kwargs": request.kwargs or {}}
    inputs = list(entry.input or ())
    if inputs and all(isinstance(one, int) for one in inputs):
        inputs = [",".join(map(str, inputs))]
    parts += [word for one in inputs for word in ("--input", quote(str(one)))]
    for option, values in given.items():
        for name, value in values.items():
            if isinstance(value, str | int | float):  # others have no form that can be typed
                parts += [option, quote(f"{name}={value!r}")]
    options = {
        "--batch": entry.batch,
        "--dtype": entry.dtype,
        "--runtime": None if pairing.runtime == TORCH else pairing.runtime,
        "--threads": pairing.threads,
        "--clock": None if pairing.clock == "wall" else pairing.clock,
    }
    for option, value in options.items():
        parts += [] if value is None else [option, quote(str(value))]
    return " ".join(parts)


def _typed(target: str, folder: Path) -> str:
    """Return a target as it is typed in the working directory."""
    path, rest = split_file(placed(target, folder)) or (None, "")
    return quote(target if path is None else normpath(path) + rest)


def _at(entry: Entry, ref: str, commit: str, folder: Path, scratch: Path) -> Reference | NoRatio:
    """Return an entry as a commit has its file."""
    side = side_of(entry, folder)
    short = commit[:SHORT]
    where = ref if ref.startswith(commit[:7]) else f"{ref} ({short})"
    if is_saved(entry.target):
        return NoRatio(f"{entry.target} is a saved report: only the model itself can be timed")
    path, rest = split_file(side.target) or (None, "")
    if path is None and not side.runs_code:
        return Reference(f"{entry.target}, which is built in and the same at {where}", None)
    if path is None or not (path.endswith(YAML_ENDINGS) or is_graph(path)):
        return NoRatio(
            f"{entry.target} is code, of which a commit has more than one file: "
            f"against {ref} needs .yaml or .onnx; name a second target instead, such as a copy"
        )
    asked, file = f"against {ref}", Path(path).resolve()
    content = file_at(file, commit, asked)
    if content is None:
        reason = f"{where} has no {file.name}, so latency_ratio cannot be judged"
        return NoRatio(reason, is_missing=True)
    try:
        is_same = content == file.read_bytes()
    except OSError as error:
        return NoRatio(f"cannot read {file}: {reason_of(error)}")
    if is_same:
        return Reference(f"{file.name}, which is the same at {where}", None)
    _write(content, scratch / file.name, f"{ref}:{file.name}")
    if is_graph(path):
        _write_weights(content, file, commit, scratch, asked)
    target = f"{scratch / file.name}{rest}"
    name = f"{entry.name} at {where}"
    return Reference(name, side._replace(name=name, target=target))


def _write_weights(content: bytes, file: Path, commit: str, scratch: Path, asked: str) -> None:
    """Write the files that an ONNX file of a commit has its weights in beside it."""
    with needing_onnx():
        from dscost.graphs.reading import external_files
    try:
        locations = external_files(content)
    except InputError as error:
        raise InputError(f"{asked}: {file.name}: {error}") from error
    for location in locations:
        found = file_at(file.parent / location, commit, asked)
        if found is None:
            raise InputError(f"{asked}: {file.name} has weights in {location}, which is not there")
        _write(found, scratch / location, f"{asked}: {location}")


def _write(content: bytes, path: Path, name: str) -> None:
    if content.startswith(LARGE_FILE_POINTER):
        raise InputError(
            f"{name} is a pointer of Git LFS, whose file git does not have: "
            "name a second target instead, such as a copy"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {reason_of(error)}") from error
