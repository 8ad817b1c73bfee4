"""Options that say how to measure: one record for every command that does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import typer

from dscost.cli.options import Seed, Threads, TimeBudget, parse_names
from dscost.errors import InputError, UnavailableError, is_without_torch, without_torch
from dscost.notation.units import parse_ints
from dscost.runtimes import TORCH
from dscost.timing import TimingOptions


class Cases:
    """What may be a list on the command line: the first is counted, if any is, all are timed."""

    def __init__(self, dtypes: tuple[str, ...] = (), batches: tuple[int, ...] = ()) -> None:
        self.dtypes, self.batches = dtypes, batches
        self.dtype, self.batch = next(iter(dtypes), None), next(iter(batches), None)


NO_CASES = Cases()


def parse_cases(dtype: str | None, batch: str | None) -> Cases:
    """Return the dtypes and batches of a command line."""
    batches: tuple[int, ...] = ()
    if batch is not None:
        lengths = range(1, MOST_BATCHES + 1)
        batches = parse_ints(batch, "--batch", ",", lengths, example="8 or 1,8,32")
    return Cases(parse_names(dtype), batches)


MOST_BATCHES = 16


class Measuring(NamedTuple):
    """How to measure, as the command line says."""

    dtype: Annotated[
        str | None,
        typer.Option(
            help="Data type of weights and activations. With a list, the first is counted and all "
            "are timed  [default: float32]"
        ),
    ] = None
    device: Annotated[
        list[str] | None,
        typer.Option(help="Where to measure: cpu or cuda; repeatable  [default: cpu]"),
    ] = None
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="What runs it; a row each of a list (dscost list runtimes)  [default: torch]",
        ),
    ] = None
    threads: Threads = None
    clock: Annotated[
        str,
        typer.Option(
            help="wall, or cpu for the processor time of one thread as well, which other "
            "processes disturb less."
        ),
    ] = "wall"
    memory_format: Annotated[
        str | None,
        typer.Option(
            help="Layout of the tensors: contiguous, channels_last, or both separated by a comma."
        ),
    ] = None
    mode: Annotated[
        str | None,
        typer.Option(
            help="How torch runs it: eager, compile; on cuda graph and cold too  [default: eager]"
        ),
    ] = None
    time: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure on this machine as well.")
    ] = True
    time_budget: TimeBudget = None
    precision: Annotated[
        str | None,
        typer.Option(help="Stop once rounds agree on a speedup within that share  [default: 2%]"),
    ] = None
    allocator: Annotated[
        str, typer.Option(help="tuned keeps freed memory for the next call; system does not.")
    ] = "tuned"
    seed: Seed = 0

    def options(
        self,
        cases: Cases = NO_CASES,
        *,
        skip_losing: bool = False,
        min_channels: int | None = None,
        with_norm: bool = False,
        profile: bool = False,
    ) -> TimingOptions:
        """Return it as the library takes it."""
        given: dict[str, Any] = {}
        if min_channels is not None:
            given["min_channels"] = min_channels
        if self.runtime is not None:
            given["runtimes"] = parse_names(self.runtime)
            if self.time:
                _require_dtypes_of_torch(given["runtimes"], cases.dtypes)
        if self.time_budget is not None or self.precision is not None:
            # exact numbers take a while to import, and few ask for them
            from dscost.notation.quantities import parse_seconds, parse_share

            if self.time_budget is not None:
                given["budget_s"] = parse_seconds(self.time_budget, what="--time-budget")
            if self.precision is not None:
                given["precision"] = parse_share(self.precision, what="--precision")
        return TimingOptions(
            devices=tuple(dict.fromkeys(self.device or ("cpu",))),
            memory_formats=parse_names(self.memory_format),
            dtypes=cases.dtypes,
            batches=cases.batches,
            modes=parse_names(self.mode),
            clock=self.clock,
            threads=self.threads,
            allocator=self.allocator,
            seed=self.seed,
            skip_losing=skip_losing,
            with_norm=with_norm,
            profile=profile,
            **given,
        )


def _require_dtypes_of_torch(runtimes: Sequence[str], dtypes: Sequence[str]) -> None:
    """Refuse torch where it is asked for by name, and alone, and runs none of the dtypes."""
    from dscost.runtimes import RUNTIMES, require_dtypes

    if dtypes and set(runtimes) == {TORCH}:
        require_dtypes(RUNTIMES[TORCH], dtypes)


AS_USUAL = Measuring()


def check_untimed(measuring: Measuring, cases: Cases) -> None:
    """Refuse what has no meaning where nothing is timed: runtimes, clocks and several cases."""
    for option in ("runtime", "clock"):
        if getattr(measuring, option) != getattr(AS_USUAL, option):
            raise InputError(f"--{option} needs timing: nothing is measured with --no-time")
    for option, values in (("--batch", cases.batches), ("--dtype", cases.dtypes)):
        if len(values) > 1:
            raise InputError(
                f"{option}: several values need timing: drop --no-time, or give the one to count"
            )


def check_undecided(*, skip_losing: bool, min_channels: int | None) -> None:
    """Refuse what decides about swaps by the clock where nothing is timed."""
    if skip_losing:
        raise InputError("--skip-losing needs timing: which layers lose is measured")
    if min_channels is not None:
        raise InputError("--min-channels needs timing: it is for what is advised to be swapped")


def told_of(untimed: Sequence[str], measuring: Measuring, *, timed: bool) -> Sequence[str]:
    """Return what is told of what was not timed: nothing where `check_timed` is going to."""
    return () if _is_in_vain(measuring, timed=timed) else untimed


def check_timed(measuring: Measuring, *, timed: bool, untimed: Sequence[str]) -> None:
    """Refuse to end well where a runtime was asked for by name and nothing at all was timed.

    Args:
        measuring: What was asked for.
        timed: Whether anything was.
        untimed: What is told of what was not.

    Raises:
        UnavailableError: Nothing was, under a runtime other than torch.
    """
    if _is_in_vain(measuring, timed=timed):
        why = untimed[0].removeprefix("Not timed: ").rstrip(".") if untimed else "no time was left"
        raise UnavailableError(f"nothing was timed: {why}")


def _is_in_vain(measuring: Measuring, *, timed: bool) -> bool:
    """Whether a runtime other than torch was to time something and nothing at all was timed.

    >>> _is_in_vain(Measuring(runtime="ncnn"), timed=False)
    True
    """
    return measuring.time and not timed and bool(set(parse_names(measuring.runtime)) - {TORCH})


@contextmanager
def only_measuring() -> Iterator[None]:
    """Say beside what keeps this machine from measuring how to do without it."""
    try:
        yield
    except UnavailableError as error:
        raise UnavailableError(f"{error}; --no-time counts without measuring") from error
    except ModuleNotFoundError as error:
        if not is_without_torch(error):
            raise
        other = next(_without_torch(), None)
        times = f", --runtime {other} times without it" if other else ""
        told = f"{without_torch()}; --no-time counts without it{times}"
        raise UnavailableError(told) from error


def _without_torch() -> Iterator[str]:
    """Yield the runtimes that are here and need no torch."""
    from dscost.runtimes import RUNTIMES

    for name in RUNTIMES:
        if RUNTIMES[name].takes == "onnx" and not RUNTIMES[name].missing:
            yield name
