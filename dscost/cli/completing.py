"""Completion by bash, zsh, fish and PowerShell: Typer's scripts, and its protocol.

The shell runs the program with `_DSCOST_COMPLETE=complete_bash` and what has been written so far;
`source_bash` prints what a shell has to know, as `--show-completion bash` does. Click's order of
those words, `bash_source`, is understood as well.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script
from typer._completion_shared import install as install_script

from dscost.errors import InputError, UnknownNameError

VARIABLE = "_DSCOST_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
OPTIONS = ("--install-completion", "--show-completion")
_WRITTEN = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Where shells put what has been written so far."""


def is_asked_for() -> bool:
    """Whether a shell runs this process to complete a command line."""
    return bool(os.environ.get(VARIABLE))


def answer(application: Callable[[Sequence[str]], typer.Typer]) -> int:
    """Print what may come next, and return the exit code, which tells fish whether there is any.

    Args:
        application: Returns the program for the words of a command line.
    """
    instruction = os.environ[VARIABLE]
    first, _, second = instruction.partition("_")
    if first in SHELLS:
        os.environ[VARIABLE] = f"{second}_{first}"
    for name in _WRITTEN:
        os.environ.setdefault(name, " ".join(_written()))
    os.environ["COLUMNS"] = "1000"  # else meanings are wrapped, and fish takes each line for a word
    completion_init()
    program: Any = typer.main.get_command(application(words()))
    try:
        program(args=[], prog_name="dscost", standalone_mode=False)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def words() -> list[str]:
    """Return the words of the command line that is completed, the program left out."""
    return _written()[1:]


def _written() -> list[str]:
    return next(filter(None, map(os.environ.get, _WRITTEN)), "").split()


def with_shell(arguments: Sequence[str]) -> Sequence[str]:
    """Return a command line in which an option that needs a shell has one: that which runs us.

    Raises:
        InputError: It cannot be told.
    """
    if len(arguments) != 1 or arguments[0] not in OPTIONS:
        return arguments
    from shellingham import ShellDetectionFailure, detect_shell  # type: ignore[import-untyped]

    try:
        shell, _ = detect_shell()
    except ShellDetectionFailure:
        shell = os.path.basename(os.environ.get("SHELL", ""))  # noqa: PTH119
    if shell not in SHELLS:
        raise InputError(f"{arguments[0]}: which shell? Name it: {', '.join(SHELLS)}")
    return [*arguments, shell]


def show(shell: str | None) -> None:
    """Print what a shell has to know."""
    if shell is not None:
        from dscost.cli.printing import write_out

        _check(shell)
        script = get_completion_script(prog_name="dscost", complete_var=VARIABLE, shell=shell)
        write_out(f"{script}\n")
        raise typer.Exit


def install(shell: str | None) -> None:
    """Have a shell read that at its start."""
    if shell is not None:
        from dscost.cli.printing import write_out
        from dscost.files import reason_of

        _check(shell)
        try:
            _, path = install_script(shell, "dscost", VARIABLE)
        except OSError as error:
            raise InputError(
                f"cannot write the completion of {shell}: {reason_of(error)}"
            ) from error
        write_out(f"wrote {path}: {shell} completes dscost once it is started again\n")
        raise typer.Exit


def _check(shell: str) -> None:
    if shell not in SHELLS:
        raise UnknownNameError("shell", shell, SHELLS)
