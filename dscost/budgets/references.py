"""What a ratio of latencies is taken against: another target, or the model as a commit has it.

Nothing is checked out. A commit's architecture or ONNX file is read by `git show` and written, with
the weights beside it, into a folder of its own; code is not, since it is more than a file.
"""

from pathlib import Path
from shlex import quote
from typing import NamedTuple

from dscost.analysis import Request
from dscost.analysis.ratio_timing import Side
from dscost.budgets.findings import NoRatio
from dscost.budgets.from_git import SHORT, commit_of, file_at, is_commit, last_change_of
from dscost.budgets.records import Entry, Pairing
from dscost.budgets.requests import placed, side_of
from dscost.errors import InputError, needing_onnx
from dscost.files import reason_of
from dscost.runtimes import TORCH
from dscost.sources import YAML_ENDINGS, is_graph, is_saved, runs_code, split_file

LARGE_FILE_POINTER = b"version https://git-lfs"


class Reference(NamedTuple):
    """What a model is held against.

    Args:
        name: In words.
        side: What is timed; `None` where it is the model itself, unchanged.
    """

    name: str
    side: Side | None


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
    if not _means_target(against) and is_commit(folder, against):
        return at_commit(entry, against, folder, scratch, asked)
    # with the input of the model; its settings and arguments are its own
    request = Request(entry.input, entry.batch, entry.dtype, trust=entry.trust)
    return Reference(against, Side(against, placed(against, folder), request, folder))


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
    target = quote(placed(entry.target, folder))
    if pairing.against and _means_target(pairing.against):
        parts = ["dscost", "compare", quote(placed(pairing.against, folder)), target, "--time"]
    else:
        parts = ["dscost", "model", target, "--explain"]
    inputs = list(entry.input or ())
    if inputs and all(isinstance(one, int) for one in inputs):
        inputs = [",".join(map(str, inputs))]
    parts += [word for one in inputs for word in ("--input", quote(str(one)))]
    if pairing.runtime != TORCH:
        parts += ["--runtime", quote(pairing.runtime)]
    return " ".join(parts)


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
