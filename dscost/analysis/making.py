"""How long making what is to be timed takes, by the runtime that it is made for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from dscost.notation.units import format_seconds
from dscost.runtimes import RUNTIMES, TORCH
from dscost.timing.engine import Call

SHARE = 0.5
"""Of the time, that making for a runtime may take before what only explains is left out."""
LEAST_S = 4.0
"""It may take so long in any case: a runtime is loaded before its first program."""


@dataclass(slots=True)
class Making:
    """The seconds that making took so far, by runtime; torch's own modules cost next to nothing."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, runtime: str) -> Iterator[None]:
        """Count what is made inside for a runtime."""
        began = perf_counter()
        try:
            yield
        finally:
            took_s = perf_counter() - began
            self.seconds[runtime] = self.seconds.get(runtime, 0.0) + took_s

    def counted(self, runtime: str, call: Call) -> Call:
        """Return a call that is counted as making for a runtime."""

        def counting() -> None:
            with self.of(runtime):
                call()

        return counting

    def leaves_time(self, runtime: str, budget_s: float) -> bool:
        """Whether what only explains may be made for a runtime as well."""
        took_s = 0.0 if runtime == TORCH else self.seconds.get(runtime, 0.0)
        return took_s <= max(LEAST_S, SHARE * budget_s)

    def over(self, budget_s: float, budget: str) -> Iterator[str]:
        """Yield for which runtimes making took more than the whole budget, told by its words."""
        for runtime, took_s in self.seconds.items():
            if runtime != TORCH and took_s > budget_s:
                title, took = RUNTIMES[runtime].title, format_seconds(took_s)
                yield f"Making programs for {title} took {took}, more than {budget}."
