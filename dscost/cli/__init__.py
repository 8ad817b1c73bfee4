"""The door: options in, one library call, one renderer; then `SystemExit` with a code.

0 done · 1 a budget is violated · 2 could not judge · 130 interrupted. A closed pipe is not an error.
"""

import gc

# A short program is over before garbage piles up: looking for it, while modules load and once more at the
# exit, takes a fifth of the start (benchmarks/startup.py). Hence the imports below this line.
gc.disable()

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from dscost import __version__
from dscost.cli.printing import abandon_stdout, tell
from dscost.errors import DscostError, FileProblems, OutputError

FAILED, INTERRUPTED = 2, 130

COMMANDS = {
    "layer": ("dscost.cli.layer", "layer"),
    "model": ("dscost.cli.model", "model"),
    "compare": ("dscost.cli.compare", "compare"),
    "convert": ("dscost.cli.convert", "convert"),
    "device": ("dscost.cli.device", "device"),
    "check": ("dscost.cli.check", "check"),
    "baseline": ("dscost.cli.baseline", "baseline"),
    "verify": ("dscost.cli.verify", "verify"),
    "list": ("dscost.cli.listing", "list_names"),
    "init": ("dscost.cli.init", "init"),
    "schema": ("dscost.cli.schema", "schema"),
}
"""Each command's module and function; a module is imported when its command is used."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a stream that cannot write × writes ? instead
            stream.reconfigure(errors="replace")
    # torch says so whenever it is loaded without numpy, which dscost does not need
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    code = run(arguments)
    gc.freeze()
    raise SystemExit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are told on stderr."""
    try:
        code = _app(arguments)(args=list(arguments) or ["--help"], prog_name="dscost", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return _interrupted() if code == INTERRUPTED else code or 0
    except FileProblems as problems:
        tell(str(problems))  # each line begins with its place, as editors and CI like it
        return FAILED
    except OutputError as error:
        abandon_stdout()
        return _failed(str(error))
    except DscostError as error:
        return _failed(str(error))
    except typer.TyperException as error:
        return _failed(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:  # the reader has seen enough
        abandon_stdout()
        return 0
    except SystemExit as stop:  # Typer's own end of a command whose output nobody reads any more
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        abandon_stdout()
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug must exit 2 with one line, not 1
        if os.environ.get("DSCOST_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        return _failed(f"internal error: {type(error).__name__}: {error} (DSCOST_DEBUG=1 shows where)")


def _app(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that is called, or with all of them for help and mistakes."""
    # plain help: rich's is slower, and colours a pipe when GITHUB_ACTIONS is set
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        module, function = COMMANDS[str(name)]
        app.command(name)(getattr(import_module(module), function))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dscost {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """What a convolution costs: on paper and on your machine, as it is and depthwise-separable."""


def _failed(message: str) -> int:
    for line in message.splitlines() or ["unknown error"]:
        tell(f"dscost: {line}")
    return FAILED


def _interrupted() -> int:
    tell("interrupted")
    return INTERRUPTED
