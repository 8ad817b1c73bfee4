"""What a model raises where nobody can catch it: Python shows a traceback of it and goes on; here it is a line."""

import os
import sys
import threading

_told: set[str] = set()


def tell_in_a_line() -> None:
    """Tell in a line each what code raises in `__del__` or a thread of its own, once; DSCOST_DEBUG=1 shows where."""
    if os.environ.get("DSCOST_DEBUG") == "1":
        return
    sys.unraisablehook = lambda found: _tell(found.exc_value)
    threading.excepthook = _tell_of_thread


def _tell_of_thread(found: threading.ExceptHookArgs) -> None:
    if not isinstance(found.exc_value, SystemExit):  # ends the thread, and is meant to
        _tell(found.exc_value)


def _tell(error: BaseException | None) -> None:
    from dscost.cli.printing import tell
    from dscost.errors import first_line

    text = "an error" if error is None else first_line(error)
    if text not in _told:
        _told.add(text)
        tell(f"dscost: ignored, since it was raised where nothing waits for it: {text}")
