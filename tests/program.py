"""The command line as tests run it: in this process, or as one of its own where that is what is tested."""

import importlib
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import dscost.cli
from dscost.encodable import ERRORS

PROGRAM = str(Path(sys.executable).parent / "dscost")
TIMEOUT_S = 120
"""Of a process: it hangs."""

Ran = subprocess.CompletedProcess[str]


def run(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
) -> Ran:
    """Run a command line in this process, which is as it was afterwards: ten times as fast as one of its own.

    What only a process has, it does not have: signals, a pipe that is closed, a crash, what it never imported.
    """
    out, err = _stream(encoding), _stream(encoding)
    with _as_it_was(cwd, env or {}), redirect_stdout(out), redirect_stderr(err), told_warnings():
        code = dscost.cli.run(arguments)
    return subprocess.CompletedProcess(arguments, code, _text(out), _text(err))


def start(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command line in a process of its own, as a user does."""
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=False,
    )


def _stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding, ERRORS, write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


@contextmanager
def _as_it_was(cwd: Path | None, env: Mapping[str, str]) -> Iterator[None]:
    """Put back what a command changes: folder, environment, path, threads, and the modules that it found in its folder."""
    folder, path, left = Path.cwd(), list(sys.path), dict(_modules_of_targets())
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    with (
        mock.patch.dict(os.environ, env),
        Path(os.devnull).open() as nothing,
        mock.patch.object(sys, "stdin", nothing),
    ):
        os.chdir(cwd or folder)
        try:
            yield
        finally:
            os.chdir(folder)
            sys.path[:] = path
            found = _modules_of_targets()
            for name in found.keys() - left.keys():
                del found[name]
                sys.modules.pop(name, None)
            importlib.invalidate_caches()
            if torch:
                torch.set_num_threads(threads)


def _modules_of_targets() -> dict[str, Any]:
    """Return the modules that targets have left in this process; to look imports torch only where that is done."""
    importing = sys.modules.get("dscost.sources.importing")
    return importing._left if importing else {}


@contextmanager
def told_warnings() -> Iterator[None]:
    """Let warnings be told on stderr, as in a program, where in a test they are errors."""

    def tell(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object
    ) -> None:
        print(warnings.formatwarning(message, category, filename, lineno), end="", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for unseen in (
            DeprecationWarning,
            PendingDeprecationWarning,
            ImportWarning,
            ResourceWarning,
        ):
            warnings.simplefilter("ignore", unseen)
        warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
        warnings.showwarning = tell
        yield
