"""What workers of a sweep are given to do, and what they say."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dscost.analysis.beside_reference import MOST_COMPARISON_S
from dscost.errors import DscostError, first_line, is_without_torch, without, without_torch
from dscost.sweeping.records import Case, Visit, Where

HUNG_S, HUNG_TIMES = 120.0, 10
"""A worker hangs that takes so long for a case, and so many times as long as its comparisons with
the reference layer, and with its first unit, take at most."""


class Told(NamedTuple):
    """What a worker says of itself.

    Args:
        places: Where and by what it times: one for each runtime and so on.
        machine: Tells its machine from others: no two cases are timed on one at a time.
        python: Version of Python.
        dscost: Version of dscost.
    """

    places: tuple[Where, ...]
    machine: str
    python: str = ""
    dscost: str = ""


class Job(NamedTuple):
    """A case that is to be timed.

    Args:
        case: What it is.
        where: The place, of whichever worker.
        number: Of the place, among those of a worker.
    """

    case: Case
    where: Where
    number: int = 0

    @property
    def key(self) -> str:
        """What a journal calls it."""
        return self.case.key(self.where)

    @property
    def limit_s(self) -> float:
        """How long a worker may take for it: one that takes longer hangs."""
        comparisons = 2 * len(self.case.units) - 1
        return HUNG_S + HUNG_TIMES * comparisons * MOST_COMPARISON_S


class Work(NamedTuple):
    """What workers are to do; its functions run there, and are sent by their names.

    Args:
        cases: What is to be timed, each with the number of a place among those of a worker.
        ask: Returns what a worker says of itself.
        measure: Times a case in a place, by the number of that.
    """

    cases: Sequence[tuple[Case, int]]
    ask: Callable[[], Told]
    measure: Callable[[Case, int], Visit]


class Found(NamedTuple):
    """What came of it.

    Args:
        kinds: Where cases were timed: of each kind of device its places.
        failed: What is not kept, as it may go well at another time: cases that raised an error.
        warnings: What the reader must know.
    """

    kinds: tuple[tuple[Where, ...], ...]
    failed: tuple[Visit, ...] = ()
    warnings: tuple[str, ...] = ()


def untimed_visit(job: Job, why: str) -> Visit:
    """Return what is said of a case of which nothing was measured."""
    untimed = {unit.label: why for unit in job.case.units}
    return Visit(job.key, job.where, {}, {}, 0.0, untimed=untimed)


def reason_of(error: BaseException) -> str:
    """Return why something went wrong on a worker; what is missing there is told as that."""
    if is_without_torch(error):
        return without_torch()
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("dscost"):
        return f"{without('dscost', 'distributed')}, or is too old"
    return str(error) if isinstance(error, DscostError) else first_line(error)
