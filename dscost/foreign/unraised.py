"""What a model raises where nobody can catch it: in place of a traceback here it is a line."""

import os
import sys
import threading
from collections.abc import Callable


def tell_in_a_line(tell: Callable[[str], object]) -> None:
    """Tell in a line each, once, what code raises in `__del__` or a thread of its own."""
    if os.environ.get("DSCOST_DEBUG") == "1":
        return
    told: set[str] = set()

    def tell_of(error: BaseException | None) -> None:
        from dscost.errors import first_line

        text = "an error" if error is None else first_line(error)
        if text not in told:
            told.add(text)
            tell(f"dscost: ignored, since it was raised where nothing waits for it: {text}")

    def tell_of_thread(found: threading.ExceptHookArgs) -> None:
        if not isinstance(found.exc_value, SystemExit):  # ends the thread, and is meant to
            tell_of(found.exc_value)

    sys.unraisablehook = lambda found: tell_of(found.exc_value)
    threading.excepthook = tell_of_thread
