"""Other people's code: what it raises says what is wrong with their model, not with dscost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dscost.errors import (
    DscostError,
    InputError,
    UnavailableError,
    first_line,
    is_without_torch,
    without_torch,
)


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Run code of others, and tell what comes out of it as an error of theirs, with its place.

    Args:
        what: Whose code it is, as errors begin.

    Raises:
        UnavailableError: torch is missing or broken.
        InputError: Their code raised something, were it the `BaseException` of a test framework or
            an exit. Our own errors and Ctrl-C pass as they are, and so do our mistakes.
    """
    try:
        yield
    except (DscostError, KeyboardInterrupt):
        raise
    except BaseException as error:
        missing = torch_problem(error)
        if missing:
            raise UnavailableError(missing) from error
        from dscost.foreign.failures import Whose, frame_of_theirs, whose

        if whose(error) is not Whose.THEIRS:  # of torch, since no code of theirs has called it
            raise
        frame, place = frame_of_theirs(error), ""
        if frame is not None:
            place = f" ({Path(frame.f_code.co_filename).name}, in {frame.f_code.co_name})"
        raise InputError(f"{what}: its code raised {first_line(error)}{place}") from error


def torch_problem(error: BaseException) -> str | None:
    """Return what to do where an error says that torch is missing or broken; else `None`."""
    if is_without_torch(error):
        return without_torch()
    from dscost.foreign.failures import steps_of

    for frame in (step.tb_frame for step in steps_of(error)):
        if frame.f_globals.get("__name__") == "torch" and frame.f_code.co_name == "<module>":
            return (
                f"torch cannot be imported: {first_line(error)}; "
                "pip install --force-reinstall torch installs it anew"
            )
    return None
