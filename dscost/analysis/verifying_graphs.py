"""An ONNX file counted twice: by our rules and shapes, and plainly by the shapes of others."""

from collections.abc import Iterator, Mapping, Sequence

from dscost.analysis.graphs import inputs_given
from dscost.analysis.targets import Request
from dscost.analysis.trace_reports import unknown_in_words
from dscost.analysis.verification import UNKNOWN, Difference, Method, Verification
from dscost.errors import first_of
from dscost.graphs.evaluating import traced
from dscost.graphs.numbering import Place, number_in, read_numbered, with_names
from dscost.graphs.recounting import is_recounted, recounted
from dscost.graphs.seeing import Seen, Work, shapes_seen
from dscost.sources import GraphSource
from dscost.timing import Progress
from dscost.traces import Trace

NAMES_SHOWN = 3


def verify_graph(
    source: GraphSource, request: Request, name: str, progress: Progress | None = None
) -> Verification:
    """Count an ONNX file by our rules, and a second time by the shapes that others find in it.

    Raises:
        InputError: The file or what is given for its inputs is wrong.
    """
    inputs = inputs_given(source, request, target=name)
    model, places = read_numbered(source.path)
    ours = traced(model, inputs)
    macs = sum(event.macs * event.times for event in ours.events)
    if progress:
        progress(None, f"running {name} by another program")
    seen = shapes_seen(model, inputs, _work(ours, macs))
    theirs, differences, blind = _held_together(ours, seen, places)
    return Verification(
        target=name,
        ours=macs,
        theirs=theirs,
        differences=tuple(differences),
        notes=tuple(with_names(note, places) for note in (*ours.notes, *seen.notes)),
        partial=tuple(_partial(ours, seen, blind)),
        method=Method(seen.method, seen.key, "node"),
    )


def _work(ours: Trace, macs: int) -> Work:
    moved = sum(event.traffic_bytes * event.times for event in ours.events)
    may_not_end = any(name.endswith(("::Loop", "::Scan")) for name in ours.unknown)
    return Work(macs, moved, ours.peak_activation_bytes or 0, not may_not_end)


def _held_together(
    ours: Trace, seen: Seen, places: Sequence[Place]
) -> tuple[int, list[Difference], Mapping[str, int]]:
    """Return the second count, where they differ, and what it cannot know: our MACs of each."""
    mine: dict[int, int] = {}
    for event in ours.events:
        at = number_in(event.module)
        mine[at] = mine.get(at, 0) + event.macs * event.times
    theirs: dict[int, int] = {}
    for at, runs in seen.runs.items():
        if at >= 0:
            place = places[at]
            counts = [recounted(place.operator, *run, place.attributes) for run in runs]
            known = [count for count in counts if count is not None]
            if len(known) == len(counts):
                theirs[at] = sum(known)
    differences, blind = [], {}
    for at in sorted({*mine, *theirs}):
        found, count = mine.get(at, 0), theirs.get(at, 0)
        if found == count:
            continue
        name, type = (places[at].name, places[at].type) if at >= 0 else ("", "")
        if at not in theirs and (at in seen.runs or not seen.is_everything):
            blind[name] = found
            continue
        reason = _reason(places[at], at in mine, at in theirs, seen) if at >= 0 else UNKNOWN
        differences.append(Difference(name, type, found, count, reason))
    return sum(theirs.values()), differences, blind


def _reason(place: Place, is_ours: bool, is_theirs: bool, seen: Seen) -> str:
    if is_ours and not is_recounted(place.operator):
        return f"the second count has no rule for {place.operator}"
    if any(one.endswith("::If") for one in place.around):
        if not is_theirs:
            return "its branch of an If, whose condition is not known, did not run"
        if not is_ours:
            return "its branch of an If never runs"
    return UNKNOWN


def _partial(ours: Trace, seen: Seen, blind: Mapping[str, int]) -> Iterator[str]:
    if ours.unknown:
        yield unknown_in_words(ours)
    if blind:
        shown = first_of(list(blind), NAMES_SHOWN)
        nodes = "node" if len(blind) == 1 else "nodes"
        yield f"{len(blind)} {nodes} of {sum(blind.values()):,} MACs not {seen.method}: {shown}"
