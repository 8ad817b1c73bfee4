"""Why a runtime does not run a program: its own words, in one line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dscost.errors import DscostError, UnavailableError, first_line
from dscost.foreign.failures import must_pass


@contextmanager
def refusing(title: str, reason: Callable[[Exception], str] = first_line) -> Iterator[None]:
    """Say of what a runtime raises that it cannot run the program.

    Args:
        title: Of the runtime.
        reason: What of an error tells why, in one line.

    Raises:
        UnavailableError: The runtime raised something.
    """
    try:
        yield
    except DscostError:
        raise
    except Exception as error:  # foreign code may raise anything
        if must_pass(error):
            raise
        raise UnavailableError(f"{title} cannot run it: {reason(error)}") from error
