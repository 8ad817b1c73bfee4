"""Models counted in a process of their own: what one of them does there is its own loss.

The worker (`workers`) is another Python with the same modules; it is asked for one model after the
other, so that torch is loaded once, and is replaced when it has died, or when a model has changed
it so that the next would be counted differently.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError, UnavailableError
from dscost.timing import Progress

if TYPE_CHECKING:
    from torch import nn

    from dscost.analysis.counting import CountedModel
    from dscost.analysis.ratio_timing import Side, TimedRatio
    from dscost.analysis.targets import Request
    from dscost.analysis.workers import Process
    from dscost.layers.convolution import Shape
    from dscost.reports.records import Report, Totals
    from dscost.runtimes.programs import Program
    from dscost.timing import Setting, TimingOptions
    from dscost.tracing import Arguments

LIMIT_S = 300.0
"""How long a model may take to be loaded and counted: the largest take a minute, from a slow disk a
few."""


def how_it_ended(code: int) -> str:
    """Return what a return code as `subprocess` has it says of the end of a process.

    >>> how_it_ended(0), how_it_ended(-11)
    ('exit code 0', 'signal 11, SIGSEGV')
    """
    if code >= 0:
        return f"exit code {code}"
    import signal

    name = next((one.name for one in signal.Signals if one.value == -code), "unknown")
    why = ", as where memory runs out" if name == "SIGKILL" else ""
    return f"signal {-code}, {name}{why}"


class Swap(NamedTuple):
    """A swap of a model that is elsewhere, by its place among all of them."""

    place: int
    layer: str
    input_shape: "Shape"


class Answer(NamedTuple):
    """What a worker says of a model, which has a number there, and swaps if it has versions.

    It is spoilt where it has changed the process, so that no other should be counted there. Of two
    models that were timed there is the ratio alone.
    """

    report: "Report | None"
    model: int = 0
    swaps: tuple[Swap, ...] | None = None
    saved: bool = False
    is_spoilt: bool = False
    ratio: "TimedRatio | None" = None

    @property
    def counted(self) -> "Report":
        """The report that was asked for."""
        assert self.report is not None
        return self.report


class Died(Exception):
    """A worker that is gone; the text says whose code that was, and how it ended."""


class Worker:
    """A process in which models are counted; started when needed, ended with the `with` statement.

    Each model may take `limit_s`.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._running: Process | None = None
        self._retired: list[Process] = []

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._retired, self._running):
            if process is not None:
                process.end()

    def count(
        self, target: str, request: "Request", progress: Progress | None = None, **options: Any
    ) -> "CountedModel":
        """Return what `analysis.count` returns; its versions stay in the worker.

        Raises:
            InputError: As `count` does; or the model's code has ended its process, or taken too
                long.
        """
        from dscost.analysis.counting import CountedModel

        given = {"request": request, **options}
        process, answer = self._asked("count", target, given, progress)
        versions = None
        if answer.swaps is not None:
            again = partial(self._ask, "count", target, given)
            versions = Elsewhere(process, target, answer.model, self._limit_s, again)
        swaps: Any = answer.swaps or ()  # as far as they are known here
        return CountedModel(answer.counted, swaps, versions, answer.saved)

    def time_ratio(
        self,
        side: "Side",
        other: "Side | None",
        options: "TimingOptions",
        progress: Progress | None = None,
    ) -> "TimedRatio":
        """Return what `analysis.ratio_timing.time_ratio` returns; both are made in the worker.

        What measuring may take comes on top of the limit.

        Raises:
            InputError: As that does; or a model's code has ended its process, or taken too long.
        """
        given, spent_s = (side, other, options), options.budget_s or 0.0
        _, answer = self._asked("ratio", side.target, given, progress, spent_s)
        assert answer.ratio is not None
        return answer.ratio

    def _asked(
        self, kind: str, target: str, given: Any, progress: Progress | None, more_s: float = 0.0
    ) -> "tuple[Process, Answer]":
        """Return an answer and who gave it, who is not asked again if that has changed it."""
        try:
            process, answer = self._ask(kind, target, given, progress, more_s)
        except Died:  # the fault may be that of a model before it: a thread, an alarm
            process, answer = self._ask(kind, target, given, progress, more_s)
        if answer.is_spoilt and self._running is not None:
            self._retired.append(self._running)
            self._running = None
        return process, answer

    def _ask(
        self,
        kind: str,
        target: str,
        given: Any,
        progress: Progress | None = None,
        more_s: float = 0.0,
    ) -> "tuple[Process, Answer]":
        # it died of the model before, after its answer
        if self._running is not None and not self._running.is_alive:
            self._running.end()
            self._running = None
        is_fresh = self._running is None
        if is_fresh:
            # what it takes to start a program, which most have no use for
            from dscost.analysis.workers import Process

            self._running = Process()
        assert self._running is not None
        try:
            wanted = (kind, target, given)
            limit_s = self._limit_s + more_s
            return self._running, self._running.ask(target, wanted, limit_s, progress)
        except Died as died:
            self._running = None
            if is_fresh:
                raise InputError(str(died)) from died
            raise


class Elsewhere:
    """The versions of a model that is in a worker: see `counting.Versions`.

    Args:
        process: The worker.
        target: Names the model in errors.
        model: Its number there.
        limit_s: How long an answer may take.
        again: Counts the model once more, for where its worker has died of another one.
    """

    def __init__(
        self,
        process: "Process",
        target: str,
        model: int,
        limit_s: float,
        again: "Callable[[], tuple[Process, Answer]]",
    ) -> None:
        self._process, self._target, self._model, self._limit_s = process, target, model, limit_s
        self._again = again

    def layer_of(self, swap: Any) -> "tuple[str, Shape]":
        """Return the layer that a swap stands with, and the shape of its input."""
        return swap.layer, swap.input_shape

    def totals(self, swaps: Sequence[Any]) -> "Totals":
        """Return what the versions cost with these swaps and no others.

        Raises:
            InputError: The worker has died meanwhile, and another one dies of this model.
        """
        return self.swapped(swaps).totals

    def swapped(self, swaps: Sequence[Any]) -> "Report":
        """Return the report with what the versions cost and count by others with these swaps.

        Raises:
            InputError: As of `totals`.
        """
        if not self._process.is_alive:
            try:
                self._process, answer = self._again()
            except Died as died:
                raise InputError(str(died)) from died
            self._model = answer.model
        places = tuple(swap.place for swap in swaps)
        return self._asked(("totals", self._model, places)).counted

    def measure(self, options: "TimingOptions", progress: Progress | None) -> "Report":
        """Return the report of the model with measured times.

        Raises:
            InputError: As measuring does, or the worker has died.
        """
        return self._asked(("measure", self._model, options), progress).counted

    def build(self, variant: str, swaps: Sequence[Any]) -> "tuple[nn.Module, Mapping[str, str]]":
        """Refuse: the module is in the worker."""
        raise UnavailableError(f"{self._target} is in a process of its own")

    def program(
        self, variant: str, swaps: Sequence[Any], setting: "Setting", *, seed: int = 0
    ) -> "tuple[Program, Mapping[str, str]]":
        """Refuse: the module is in the worker."""
        raise UnavailableError(f"{self._target} is in a process of its own")

    def arguments(self, setting: "Setting") -> "Arguments":
        """Refuse: the module is in the worker."""
        raise UnavailableError(f"{self._target} is in a process of its own")

    def _asked(self, request: Any, progress: Progress | None = None) -> "Answer":
        try:
            return self._process.ask(self._target, request, self._limit_s, progress)
        except Died as died:
            raise InputError(str(died)) from died
