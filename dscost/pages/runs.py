"""Which engine ran what was timed, what it made of it, and where its time went."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from dscost.errors import DscostError
from dscost.layers.variants import STANDARD
from dscost.notation.units import counted, format_factor, format_seconds
from dscost.pages.page import Column, Row, Sheet, Toned, filled_sheet, words
from dscost.printable import without_middle
from dscost.reports.records import Environment, Ran, RunNode, Timing
from dscost.runtimes import RUNTIMES, TORCH
from dscost.timing import runtime_of

KERNELS_SHOWN = 6
"""Of each version, those that take longest; the others are added up."""
NAME_WIDTH = 44
"""Characters of the name of a kernel."""
ERROR_NOTE = Toned(
    "Errors are the largest of the outputs, relative to the largest value of each.", "method"
)
KERNELS_NOTE = Toned(
    "Kernels are by the own profile of each runtime, of calls apart from those that were timed.",
    "method",
)
ALONE_NOTE = Toned(
    "Stages are timed alone, each with its own call and reorders, which it has not in the layer.",
    "method",
)
MORE_BY_PROFILE = 1.3
"""So many times the latency, and the times of a profile are not those of the calls timed."""


def measured_on(where: Environment | None, keys: Iterable[str]) -> str:
    """Return the machine that times were taken on, its threads and what ran there, for a caption.

    Args:
        where: Where they were taken, if they were.
        keys: Of the settings that they were taken under.
    """
    if where is None:
        return ""
    engines = dict.fromkeys(engine_of(key, where) for key in list(keys) or [""])
    return ", ".join([where.device, counted(where.threads, "thread"), *engines])


def engine_of(key: str, where: Environment) -> str:
    """Return what ran under a setting, with its version where that is known."""
    name = runtime_of(key)
    title, package = _known_as(name)
    version = where.torch_version if package == TORCH else where.runtimes.get(package, "")
    return f"{title} {version}".rstrip()


def title_of(runtime: str) -> str:
    """Return a runtime as people write it, by its name; of one that is not known here its name.

    >>> title_of("onnxruntime"), title_of("of-another-machine")
    ('ONNX Runtime', 'of-another-machine')
    """
    return _known_as(runtime)[0]


def setting_title(key: str) -> str:
    """Return what ran and what differs from the defaults, as people write it.

    >>> setting_title("cpu:onnxruntime:int8"), setting_title("cpu:channels_last")
    ('ONNX Runtime, int8', 'torch, channels_last')
    >>> setting_title("cuda:graph")
    'torch on cuda, graph'
    """
    device, *parts = key.split(":")
    runtime = runtime_of(key)
    where = "" if device == "cpu" else f" on {device}"
    others = (part for part in parts if part != runtime)
    return ", ".join([f"{title_of(runtime)}{where}", *others])


def _known_as(name: str) -> tuple[str, str]:
    """Return a runtime as people write it, and the package that has its version."""
    if name != TORCH:
        with suppress(DscostError):  # it was measured where there is one that there is not here
            return RUNTIMES[name].title, next(iter(RUNTIMES[name].packages), name)
    return name, name


def under(timings: Mapping[str, Timing]) -> str:
    """Return `under torch ` of several runtimes the first; nothing where there is but one."""
    names = list(dict.fromkeys(map(runtime_of, timings)))
    return f"under {title_of(names[0])} " if len(names) > 1 else ""


def other_engines(timings: Mapping[str, Timing]) -> list[tuple[str, Timing]]:
    """Return every runtime but the first, as people write it, with its first timing."""
    firsts: dict[str, Timing] = {}
    for key, timing in timings.items():
        firsts.setdefault(runtime_of(key), timing)
    return [(title_of(name), timing) for name, timing in firsts.items()][1:]


def run_by(key: str, timing: Timing | None, where: Environment) -> str:
    """Return what ran under a setting and what it was given, `ONNX Runtime 1.32.0, by ONNX`."""
    runs = list(timing.ran.values()) if timing else []
    way_in = runs[0].way_in if runs else MODULE
    return engine_of(key, where) + ("" if way_in == MODULE else f", by {way_in}")


def ran_under(timings: Mapping[str, Timing | None], where: Environment) -> list[str]:
    """Return what ran and what it was given, each once, of several settings by their keys."""
    return list(dict.fromkeys(run_by(key, timing, where) for key, timing in timings.items()))


MODULE = "module"
"""What torch is given, which is no way in."""


def run_sheets(
    timings: Mapping[str, Timing], titles: Mapping[str, str]
) -> tuple[list[Sheet], list[str]]:
    """Return how each runtime ran each version, its kernels, and what to know of both.

    Nothing is told of torch's own modules, whose backends stand with the bounds.
    """
    sheets: list[Sheet] = []
    notes: list[str] = []
    found = list(_runs(timings, titles))
    runs = [(title, ran) for title, ran, _ in found]
    if runs:
        sheets.append(_ran_sheet(runs))
        notes.append(ERROR_NOTE)
    if any(ran.nodes for _, ran in runs):
        sheets.append(_kernels_sheet(runs))
        notes += [KERNELS_NOTE, *_longer_by_profile(found)]
    if any(timing.stages and timing.ran for timing in timings.values()):
        notes.append(ALONE_NOTE)
    notes += _without_profile(timings)
    return sheets, notes


def _longer_by_profile(runs: Sequence[tuple[str, Ran, float | None]]) -> Iterator[Toned]:
    """Yield of which versions the kernels take longer, by their profile, than the calls timed."""
    sums = [(title, _whole_s(ran.nodes), call_s) for title, ran, call_s in runs if ran.nodes]
    more = [
        f"{title} {format_factor(whole_s / call_s)}"
        for title, whole_s, call_s in sums
        if call_s and whole_s > MORE_BY_PROFILE * call_s
    ]
    if more:
        yield Toned(
            f"Kernels add up to more than the latency ({', '.join(more)}): the clock of the "
            "profile costs time, or the machine was busier; take their shares, not their times.",
            "method",
        )


def _without_profile(timings: Mapping[str, Timing]) -> Iterator[Toned]:
    """Yield which runtimes tell nothing of their kernels."""
    for name in dict.fromkeys(runtime_of(key) for key, timing in timings.items() if timing.ran):
        with suppress(DscostError):  # of one that is not known here nobody knows
            if not RUNTIMES[name].has_profile:
                yield Toned(f"{title_of(name)} has no profile of its own.", "method")


def _whole_s(nodes: Sequence[RunNode]) -> float:
    return sum(node.seconds for node in nodes)


def _runs(
    timings: Mapping[str, Timing], titles: Mapping[str, str]
) -> Iterator[tuple[str, Ran, float | None]]:
    """Yield what each version is called, how it ran, and the seconds that a call of it took.

    Standard is left out where that is as it is.
    """
    for key, timing in timings.items():
        for name, ran in timing.ran.items():
            if name == STANDARD and _is_alike(ran, timing.ran.get("as_is")):
                continue
            title = titles.get(name, name)
            latency = timing.of(name)
            head = title if len(timings) == 1 else f"{key}, {title}"
            yield head, ran, latency.median_s if latency else None


def _is_alike(ran: Ran, other: Ran | None) -> bool:
    """Whether a runtime made the same of two versions, however long their kernels took."""
    return other is not None and ran._replace(nodes=()) == other._replace(nodes=())


def _ran_sheet(runs: Sequence[tuple[str, Ran]]) -> Sheet:
    columns = [
        words("version"),
        words("way_in", 3, "given as"),
        Column("error", "largest error", 0),
        words("reference", 2, "held against"),
        words("fused", 4, "what it became")._replace(goes_below=True),
    ]
    rows = [
        Row(
            {
                "version": title,
                "way_in": ran.way_in,
                "error": format_error(ran.error),
                "reference": ran.reference,
                "fused": ", ".join(ran.fused),
            }
        )
        for title, ran in runs
    ]
    return filled_sheet(columns, rows)


def format_error(error: float) -> str:
    """Return how far an output is off, in two digits.

    >>> format_error(1.234e-6), format_error(0.0213), format_error(0.0)
    ('1.2e-6', '0.021', '0')
    """
    return f"{error:.2g}".replace("e-0", "e-")


def _kernels_sheet(runs: Sequence[tuple[str, Ran]]) -> Sheet:
    columns = [
        words("node"),
        words("op", 2),
        words("kernel", 3),
        Column("time", "time", 1),
        Column("share", "share", 0),
    ]
    rows = [row for title, ran in runs if ran.nodes for row in _kernel_rows(title, ran.nodes)]
    return filled_sheet(columns, rows)


def _kernel_rows(title: str, nodes: Sequence[RunNode]) -> Iterator[Row]:
    """Yield the kernels of a version that take longest, and what the others take together."""
    whole_s = _whole_s(nodes)
    number = counted(len(nodes), "kernel")
    yield Row({"node": title, "op": number, "time": format_seconds(whole_s)}, "strong")
    order = sorted(nodes, key=lambda node: -node.seconds)
    shown = order if len(order) <= KERNELS_SHOWN + 1 else order[:KERNELS_SHOWN]
    for node in shown:
        cells = {
            "node": f"  {_shortened(node.name)}",
            "op": node.op,
            "kernel": node.kernel or "",
        }
        yield Row({**cells, **_times(node.seconds, whole_s)})
    rest = order[len(shown) :]
    if rest:
        rest_s = sum(node.seconds for node in rest)
        yield Row({"node": f"  ({len(rest)} more)", **_times(rest_s, whole_s)}, "faint")


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else without_middle(name, NAME_WIDTH)


def _times(seconds: float, whole_s: float) -> dict[str, str]:
    share = f"{seconds / whole_s:.0%}" if whole_s else ""
    return {"time": format_seconds(seconds), "share": share}
