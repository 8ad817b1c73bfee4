"""What workers of a Dask cluster run in tests: in a file of its own, which they import."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from platform import python_version

from dscost.errors import UnavailableError
from dscost.layers.making import conv
from dscost.reports.records import Speedup
from dscost.sweeping.records import Case, Visit, Where
from dscost.sweeping.units import Unit
from dscost.sweeping.work import Told
from dscost.timing import Setting, TimingOptions
from dscost.version import __version__

ONE = Speedup(1.0, (0.99, 1.01))


def cases(number: int) -> list[Case]:
    """Return cases that differ in their input channels, 1, 2 and so on."""
    return [
        Case(
            {"in_channels": n},
            (Unit("standard", (("standard", conv(n, 8, 3, dims=2)),), (1, n, 8, 8)),),
        )
        for n in range(1, number + 1)
    ]


def place(device: str = "Xeon", **further: object) -> Where:
    return Where(device, 1, host=str(os.getpid()))._replace(**further)


def told_alone(device: str = "Xeon") -> Told:
    """Each worker of the cluster is a machine."""
    return Told((place(device),), str(os.getpid()), python_version(), __version__)


def told_of_one_machine() -> Told:
    return told_alone()._replace(machine="the same")


def told_of_an_old_python() -> Told:
    return told_alone()._replace(python="3.9.1", places=(place(host="pi"),))


def told_of_two_kinds() -> Told:
    """The workers are of two kinds, by the name that Dask gave them."""
    from distributed import get_worker

    return told_alone(f"Board {int(get_worker().name) % 2}")


def told_without_torch() -> Told:
    raise ModuleNotFoundError("No module named 'torch'", name="torch")


def told_too_coarse() -> Told:
    raise UnavailableError("the clock is too coarse")


def measured(case: Case, number: int, device: str = "Xeon") -> Visit:
    return Visit(case.key(place(device)), place(device), {"standard": ONE}, {}, 1e-3)


def measured_slowly(case: Case, number: int) -> Visit:
    time.sleep(0.15)
    return measured(case, number)


def measured_on_a_board(case: Case, number: int) -> Visit:
    return measured(case, number, told_of_two_kinds().places[0].device)


def measured_alone(case: Case, number: int, folder: str) -> Visit:
    """Say so where another worker is measuring meanwhile."""
    mine = Path(folder, "timing")
    try:
        mine.touch(exist_ok=False)
    except FileExistsError:
        return measured(case, number)._replace(untimed={"standard": "not alone"})
    time.sleep(0.02)
    mine.unlink()
    return measured(case, number)


def deadly_at_three(case: Case, number: int) -> Visit:
    """Kill the worker at the case with three input channels, as too little memory would."""
    if case.of["in_channels"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return measured(case, number)


def failing_at_two(case: Case, number: int) -> Visit:
    if case.of["in_channels"] == 2:
        raise MemoryError("not enough for it")
    return measured(case, number)


# -- as `time_on_cluster` sends them


def asked(options: TimingOptions, settings: Sequence[Setting]) -> Told:
    return told_alone()


def asked_two_kinds(options: TimingOptions, settings: Sequence[Setting]) -> Told:
    return told_of_two_kinds()


def measured_there(case: Case, options: TimingOptions, setting: Setting) -> Visit:
    return measured(case, 0)


def measured_on_a_kind(case: Case, options: TimingOptions, setting: Setting) -> Visit:
    return measured_on_a_board(case, 0)


def measured_unsteadily_at_two(case: Case, options: TimingOptions, setting: Setting) -> Visit:
    moved = 0.1 if case.of["in_channels"] == 2 else 0.0
    return measured(case, 0)._replace(moved=moved, began_at=time.time())


def failing_there(case: Case, options: TimingOptions, setting: Setting) -> Visit:
    return failing_at_two(case, 0)
