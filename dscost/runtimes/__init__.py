"""What runs networks: torch, and the engines that people deploy with. No torch, no numpy.

A runtime takes a program in the form that it knows, ONNX or a torch module, and gives a call that
runs it once. What that call includes is what a deployed model does each time and nothing else: the
inputs lie where the runtime reads them, and the outputs stay where it writes them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dscost.errors import InputError, UnavailableError, some_of, without
from dscost.registries import Registry
from dscost.reports.records import RunNode

if TYPE_CHECKING:
    from dscost.runtimes.programs import Program

__all__ = [
    "RUNTIMES",
    "TORCH",
    "How",
    "RunNode",
    "Running",
    "Runtime",
    "find_runtimes",
    "register_runtime",
    "require_dtypes",
]

TORCH = "torch"
"""The runtime where nothing is said: modules as they are, called by Python."""


class How(NamedTuple):
    """How a program is to be run.

    Args:
        threads: How many it may compute with, set by the runtime's own means.
        dtype: What it multiplies in: `float32`, `int8`, …
        seed: Of whatever is made up, such as what int8 is calibrated with.
    """

    threads: int
    dtype: str = "float32"
    seed: int = 0


class Running(NamedTuple):
    """A program that was loaded.

    Args:
        call: Runs it once.
        outputs: Returns what the last call wrote, as arrays of numpy in the order of the outputs.
        way_in: What the program was given as, such as `ONNX`, since that is part of what is timed.
        fused: What the runtime made of the nodes, in a few words each, as far as it tells.
        nodes: Runs it some more with the runtime's own clock and returns its kernels in the order
            in which they run; `None` where the runtime has no such clock.
        again: Makes again what may be gone since, as code of torch.compile is after any
            `torch.export`, by a call; what that raises passes. `None` where nothing takes it away.
    """

    call: Callable[[], object]
    outputs: Callable[[], Sequence[Any]]
    way_in: str
    fused: tuple[str, ...] = ()
    nodes: Callable[[], Sequence[RunNode]] | None = None
    again: Callable[[], object] | None = None


class Runtime(NamedTuple):
    """An engine that runs networks.

    Args:
        name: As `--runtime` takes it.
        title: As people write it.
        meaning: What one call includes, for `dscost list runtimes`.
        packages: The modules that it imports, by the name of the distribution that has each; the
            first has its version.
        takes: The form of a program that it is given.
        dtypes: What it multiplies in.
        load: Returns a program ready to be called. Whatever it raises says that the runtime cannot
            run it.
        extra: Of dscost, with which it is installed; nothing where another package brings it.
        has_profile: Whether it times its kernels by itself: `Running.nodes` asks for that.
    """

    name: str
    title: str
    meaning: str
    packages: Mapping[str, str]
    takes: Literal["onnx", "torch"]
    dtypes: tuple[str, ...]
    load: Callable[["Program", How], Running]
    extra: str = ""
    has_profile: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The distributions that are not installed here."""
        return tuple(name for name, module in self.packages.items() if not _is_here(module))

    @property
    def version(self) -> str | None:
        """Of the engine; `None` where it is not installed, or does not tell."""
        return self.versions.get(next(iter(self.packages), ""))

    @property
    def versions(self) -> Mapping[str, str]:
        """Of all that it needs and that is here, by distribution."""
        from importlib.metadata import PackageNotFoundError, version

        found = {}
        for name in self.packages:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return MappingProxyType(found)

    @property
    def pip_line(self) -> str:
        """How it is installed."""
        return f"pip install 'dscost[{self.extra}]'" if self.extra else "see the package it is from"

    def require(self, asked: str = "") -> None:
        """Refuse where something that it needs is not installed.

        Args:
            asked: Who asks, as the error begins; `--runtime` unless told.

        Raises:
            UnavailableError: The text says what is missing, and how to install it.
        """
        missing = self.missing
        if missing:
            raise UnavailableError(
                f"{asked or f'--runtime {self.name}'}: {without(missing[0], self.extra)}"
            )


RUNTIMES: Registry[Runtime] = Registry("runtime", "runtimes", more="dscost.runtimes.known")
"""By name; the entry points of other packages are `Runtime`s too."""


def register_runtime(runtime: Runtime) -> Runtime:
    """Add a runtime, which `--runtime` and `runtime=` take by its name from then on.

    Args:
        runtime: The engine; another one of its name is replaced.

    Returns:
        The same.
    """
    return RUNTIMES.register(runtime.name)(runtime)


def find_runtimes(names: Iterable[str], dtypes: Sequence[str] = ()) -> list[Runtime]:
    """Return runtimes by name, all of which are here; torch, whose own it is, is left out.

    Args:
        names: What was asked for.
        dtypes: Of which each has to have one, if there are any.

    Raises:
        UnknownNameError: There is no such runtime.
        UnavailableError: One is not installed.
        InputError: One multiplies in none of the dtypes.
    """
    found = [RUNTIMES[name] for name in names if name != TORCH]
    for one in found:
        one.require()
        if dtypes:
            require_dtypes(one, dtypes)
    return found


def require_dtypes(runtime: Runtime, dtypes: Sequence[str]) -> None:
    """Refuse a runtime that multiplies in none of some dtypes.

    Raises:
        InputError: The text says in which it does.
    """
    if not set(dtypes) & set(runtime.dtypes):
        runs, wanted = some_of(runtime.dtypes), " or ".join(dtypes)
        raise InputError(f"--runtime {runtime.name} runs {runs}, not {wanted}: see --dtype")


def _is_here(module: str) -> bool:
    """Whether a module could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not here
        return False
