"""Nodes that run other graphs: branches and loops."""

from dscost.graphs.branching import branched
from dscost.graphs.looping import looped, scanned
from dscost.graphs.nodes import MAIN
from dscost.graphs.sequences import Special

CONTROL: dict[str, Special] = {
    f"{MAIN}::If": branched,
    f"{MAIN}::Loop": looped,
    f"{MAIN}::Scan": scanned,
}
"""Those that run other graphs, by `domain::name`."""
