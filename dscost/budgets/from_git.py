"""Baselines and models as a commit has them; nothing is checked out."""

import re
import subprocess
from os import environ
from pathlib import Path

from dscost.budgets.baseline import MAX_BYTES, Baseline, parse_baseline
from dscost.errors import FileProblems, InputError
from dscost.files import decoded, reason_of


def baseline_from_git(path: Path, ref: str) -> Baseline:
    """Return the baseline as a commit has it, one that is not there where git says so.

    A branch may have gone on since this one left it: what is compared with is where they parted,
    their merge base. `A...B` is where these two parted.

    Raises:
        InputError: This is no repository, or git cannot read the commit or the file.
    """
    asked, path = f"--against {ref}", path.resolve()
    commit = commit_of(path.parent, ref, asked)
    about = {"commit": ref, "since": commit[:SHORT]}
    where = f"{ref}:{path.name}"
    text = file_at(path, commit, asked)
    if text is None:
        return Baseline({}, where, is_there=False, **about)
    if len(text) > MAX_BYTES:
        raise InputError(f"{where}: larger than {MAX_BYTES:,} bytes, refused")
    try:
        return parse_baseline(decoded(text, where), where)._replace(**about)
    except FileProblems as error:
        # the file is not in the working tree, so that no editor finds the place
        raise InputError(str(error)) from error


SHORT = 8
"""Digits of a hash that name a commit to people."""


def commit_of(folder: Path, ref: str, asked: str) -> str:
    """Return the hash of the commit where the branch of a folder left another.

    Args:
        folder: In a repository.
        ref: The other branch or a commit; `A...B` is where these two parted.
        asked: Who asks, as errors begin.

    Raises:
        InputError: This is no repository, or git does not know the commit.
    """
    # else this is no repository, or one of somebody else
    _git(folder, asked, "rev-parse", "--is-inside-work-tree")
    return _parting(folder, ref, asked)


def why_no_commit(folder: Path, ref: str) -> str:
    """Return why a name is not one of a commit, or `A...B` of two; empty where it is."""
    ours, dots, theirs = ref.rpartition("...")
    try:
        _git(folder, ref, "rev-parse", "--is-inside-work-tree")
        for name in (ours or "HEAD", theirs or "HEAD") if dots else (ref,):
            _commit(folder, ref, name, ref)
    except InputError as error:
        return str(error).removeprefix(f"{ref}: ")
    return ""


def file_at(path: Path, commit: str, asked: str) -> bytes | None:
    """Return a file as a commit has it; `None` where it has none.

    Raises:
        InputError: git cannot read it.
    """
    folder = path.parent
    listed = _git(folder, asked, "ls-tree", "-z", "--name-only", commit, "--", f"./{path.name}")
    if not listed.strip(b"\0\n"):
        return None
    return _git(folder, asked, "show", f"{commit}:./{path.name}")


def last_change_of(path: Path, asked: str) -> str | None:
    """Return the commit that last changed a file; `None` where none has it.

    Raises:
        InputError: git cannot be asked.
    """
    found = _git(path.parent, asked, "log", "-1", "--format=%H", "--", f"./{path.name}")
    return found.decode("ascii", errors="replace").strip() or None


def _parting(folder: Path, ref: str, asked: str) -> str:
    """Return the commit where this branch left another, or where two named ones parted."""
    ours, dots, theirs = ref.rpartition("...")
    names = (ours or "HEAD", theirs or "HEAD") if dots else ("HEAD", ref)
    first, second = (_commit(folder, ref, name, asked) for name in names)
    ran = _run_git(folder, "merge-base", first, second)
    base = ran.stdout.decode("ascii", errors="replace").strip()
    if ran.returncode == 0 and base:
        return base
    if ran.returncode != NO_MERGE_BASE:
        raise InputError(f"{asked}: {_why_git_failed(ran)}")
    if dots or _shallow_hint(folder):
        hint = _shallow_hint(folder)
        raise InputError(f"{asked}: no commit is known where the two parted{hint}")
    return second  # they have nothing in common, such as a branch that keeps results only


NO_MERGE_BASE = 1
"""How `git merge-base` exits where it looked and found none."""


def _commit(folder: Path, ref: str, name: str, asked: str) -> str:
    """Return the hash of a commit."""
    command = ("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    ran = None if name.startswith("-") else _run_git(folder, *command)
    if ran is None or ran.returncode:
        which = f" as {name}" if "..." in ref else ""
        hint = _shallow_hint(folder) or _remote_hint(folder, name)
        raise InputError(f"{asked}: there is no such commit here{which}{hint}")
    return ran.stdout.decode("ascii", errors="replace").strip()


def _remote_hint(folder: Path, name: str) -> str:
    """Return how a branch is called that only a remote has, as after a checkout in CI."""
    pattern = f"refs/remotes/*/{name}"
    if not re.fullmatch(r"[\w./-]+", name):
        return ""
    command = ("for-each-ref", "--count=1", "--format=%(refname:short)", pattern)
    found = _run_git(folder, *command).stdout.decode(errors="replace").strip()
    return f"; did you mean {found}?" if found else ""


def _shallow_hint(folder: Path) -> str:
    """Return what to do about a clone that is shallow; nothing of another."""
    said = _run_git(folder, "rev-parse", "--is-shallow-repository").stdout.strip()
    hint = "; this is a shallow clone: fetch more of it (fetch-depth: 0)"
    return hint if said == b"true" else ""


def _git(folder: Path, asked: str, *arguments: str) -> bytes:
    """Return what git prints; if it fails, whatever the reason, that is no answer."""
    try:
        ran = _run_git(folder, *arguments)
    except OSError as error:
        raise InputError(f"{asked}: git cannot be run: {reason_of(error)}") from error
    if ran.returncode:
        raise InputError(f"{asked}: git does not read {folder}: {_why_git_failed(ran)}")
    return ran.stdout


def _why_git_failed(ran: "subprocess.CompletedProcess[bytes]") -> str:
    """Return why git failed: its first line."""
    said = ran.stderr.decode("utf-8", errors="replace").strip().partition("\n")[0]
    return said or f"git exits {ran.returncode}"


def _run_git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = ["git", "-C", str(folder), *arguments]
    # in a hook git names its own repository, which would be taken for that of the folder; and a
    # name is no pattern
    env = {name: value for name, value in environ.items() if not _MISLEADS_GIT.fullmatch(name)}
    env["LC_ALL"] = "C"
    nothing = subprocess.DEVNULL
    return subprocess.run(command, capture_output=True, check=False, stdin=nothing, env=env)


_MISLEADS_GIT = re.compile(
    r"GIT_(?:DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|NAMESPACE|OBJECT_DIRECTORY"
    r"|ALTERNATE_OBJECT_DIRECTORIES|REPLACE_REF_BASE|GRAFT_FILE|SHALLOW_FILE|TRACE.*|.*_PATHSPECS)"
)
