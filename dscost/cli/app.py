"""One command line: which command it calls, and what its errors come to."""

import os
from collections.abc import Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer

from dscost.cli import completing
from dscost.cli.colours import choose
from dscost.cli.help import MOST_COLUMNS, Command, Group, usage_lines
from dscost.cli.misspelt import meant
from dscost.cli.output_options import offer, spread
from dscost.cli.printing import abandon_stdout, failed, tell, tell_error, write_out
from dscost.cli.signals import INTERRUPTED, signals
from dscost.cli.streams import result_stream
from dscost.errors import DscostError, MissingInputError, OutputError, first_line
from dscost.version import __version__

COMMANDS = (
    *("layer", "model", "compare", "sweep", "convert", "device", "check", "baseline"),
    *("verify", "which", "list", "init", "schema", "help"),
)
"""Each stands in a module of its name, which is imported when it is used."""
_ELSEWHERE = {"list": ("listing", "list_names"), "help": ("help", "help_of")}


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are told on stderr."""
    choose(arguments)
    try:
        if completing.is_asked_for():
            return completing.answer(partial(_app, completes=True))
        arguments = completing.with_shell(arguments)
        code = _called(arguments)
        if result_stream() is not None:
            write_out("")  # what Typer printed may still be on its way
        return _interrupted() if code == INTERRUPTED else code or 0
    except DscostError as error:
        if isinstance(error, OutputError):
            abandon_stdout()
        return _told(error, arguments)
    except typer.TyperException as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:  # the reader has seen enough
        abandon_stdout()
        return 0
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT, EFBIG):  # Typer's help, onto a disk that is full
            return _bug(error)
        abandon_stdout()
        return failed(f"cannot write the result: {error.strerror}")
    except SystemExit as stop:  # Typer's own end of a command whose output nobody reads any more
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        abandon_stdout()
        return 0
    # the last line of defence: a bug must exit 2 with one line, not 1
    except Exception as error:  # noqa: BLE001
        return _bug(error)


def _called(arguments: Sequence[str]) -> int | None:
    """Call the command of a command line; an option with a dash too few is told before."""
    command = typer.main.get_command(_app(arguments))
    mistake = meant(command, arguments)
    if mistake:
        return failed(mistake)
    code: int | None = command(
        args=list(arguments) or ["--help"], prog_name="dscost", standalone_mode=False
    )
    return code


def _told(error: DscostError, arguments: Sequence[str]) -> int:
    """Tell an error of ours; where something is missing, how the command is written too."""
    code = tell_error(error)
    if isinstance(error, MissingInputError):
        group: Any = typer.main.get_command(_app(arguments))
        (command,) = group.commands.values()
        tell("\n".join(usage_lines(command)))
    return code


def _misused(error: typer.TyperException) -> int:
    """Tell what is wrong with a command line; where something is missing, how it is written too."""
    code = failed(error.format_message())
    context = getattr(error, "ctx", None)
    if hasattr(error, "param_type") and context is not None:  # of a missing parameter only
        tell("\n".join(usage_lines(context.command)))
    return code


def _bug(error: Exception) -> int:
    from dscost.foreign.containing import torch_problem

    missing = torch_problem(error)
    if missing:
        return failed(missing)
    if os.environ.get("DSCOST_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    return failed(f"internal error: {first_line(error)} (DSCOST_DEBUG=1 shows where)")


def _app(arguments: Sequence[str], *, completes: bool = False) -> typer.Typer:
    """Return the application with the command that is called; with all for help and mistakes.

    Where a shell completes what is written, its parameters know what may be written.
    """
    # plain help: rich's is slower, and colours a pipe when GITHUB_ACTIONS is set
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        cls=Group,
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": MOST_COLUMNS,
        },
    )
    app.callback()(_options)
    called = next((argument for argument in arguments if not argument.startswith("-")), "")
    asks_help = called in COMMANDS and not {"-h", "--help"}.isdisjoint(arguments)
    for name in [called] if called in COMMANDS else COMMANDS:
        module, function = _ELSEWHERE.get(name, (name, name))
        command = getattr(import_module(f"dscost.cli.{module}"), function)
        taken = spread(command, asks_help=asks_help)
        if completes:
            offer(name, taken)
        app.command(name, cls=Command)(taken)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        write_out(f"dscost {__version__}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "-V",
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
    install_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]",
            help="Complete by Tab in this shell, or in bash, zsh, fish or powershell, from now on.",
            callback=completing.install,
            is_eager=True,
        ),
    ] = None,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]",
            help="Print what that shell has to know, to install it by hand.",
            callback=completing.show,
            is_eager=True,
        ),
    ] = None,
) -> None:
    """What a convolution costs: on paper and on your machine, as it is and depthwise-separable."""


def _interrupted() -> int:
    if not signals.told:
        tell("interrupted")
    signals.told = signals.are_ours
    return INTERRUPTED
