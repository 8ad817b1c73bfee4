"""Nodes that run other graphs: branches, loops, and what is done to every item of a sequence."""

from dscost.graphs.branching import branched
from dscost.graphs.looping import looped, scanned
from dscost.graphs.nodes import MAIN
from dscost.graphs.sequences import Special, mapped

CONTROL: dict[str, Special] = {
    f"{MAIN}::If": branched,
    f"{MAIN}::Loop": looped,
    f"{MAIN}::Scan": scanned,
    f"{MAIN}::SequenceMap": mapped,
}
"""Those that run other graphs, by `domain::name`."""
