"""The door: options in, one library call, one renderer; then `SystemExit` with a code.

0 done · 1 a budget is violated · 2 could not judge · 130 interrupted. A closed pipe is not an
error.
"""

import gc

# A short program is over before garbage piles up: looking for it, while modules load and once more
# at the exit, takes a fifth of the start (benchmarks/startup.py). Hence the imports below this
# line.
gc.disable()

import sys
from collections.abc import Sequence
from typing import NoReturn

from dscost.cli.signals import INTERRUPTED, signals
from dscost.cli.supervising import finish

__all__ = ["FAILED", "main", "run"]

FAILED = 2
"""The code of what could not be done or judged."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line as what this process is for, and exit."""
    signals.take_over()  # before anything that takes time to import
    code = FAILED
    try:
        with signals.unwinding():
            code = _own(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        pass  # told below, as is one that somebody's code has swallowed
    # whatever it is, exit code 1 would mean "over budget"
    except BaseException as error:  # noqa: BLE001
        from dscost.cli.printing import failed
        from dscost.errors import first_line

        code = failed(first_line(error))
    if signals.received is not None:
        code = INTERRUPTED
    finish(code)
    if signals.received is not None:
        signals.end()
    gc.freeze()
    if sys.flags.inspect:
        # PYTHONINSPECT: Python would not exit but go on by itself, and end with another code
        _leave(code)
    raise SystemExit(code)


def _leave(code: int) -> NoReturn:
    import atexit
    import os
    from contextlib import suppress

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    os._exit(code)


def _own(arguments: Sequence[str]) -> int:
    import warnings

    from dscost.cli.streams import keep_to_ourselves, own_result
    from dscost.cli.supervising import foreign_targets, supervise
    from dscost.foreign.unraised import tell_in_a_line

    keep_to_ourselves()
    tell_in_a_line(_tell)
    targets = foreign_targets(arguments)
    if targets:
        supervise(" or ".join(targets))
        own_result()
    # torch says so whenever it is loaded without numpy, which dscost does not need
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
    return run(arguments)


def _tell(text: str) -> None:
    from dscost.cli.printing import tell

    tell(text)


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process and return its exit code; errors are told on stderr."""
    from dscost.cli.app import run as run_one

    return run_one(arguments)
