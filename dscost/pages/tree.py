"""A model as the tree of its modules, each with the sums of what stands below it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.notation.units import UNKNOWN, counted, format_count, format_shape, format_share
from dscost.pages.conventions import added, convention_cells, of_version, with_conventions
from dscost.pages.layer_table import cost_cells, figure_columns, kind_of
from dscost.pages.page import Column, Row, Sheet, View, chosen_sheet, words
from dscost.reports.figures import Cost, summed
from dscost.reports.records import Block, Layer, Report

FROZEN = "frozen"

_PARAMS, *_OTHERS = figure_columns(of_layers=True)
TREE_COLUMNS = [
    words("layer", header="module"),
    words("kind", 2),
    Column("output", "output", 3),
    _PARAMS,
    Column(FROZEN, FROZEN, 2),
    *_OTHERS,
]


class Node(NamedTuple):
    """A module: a layer, what holds others, or both.

    Args:
        path: Its dotted path; of the model itself none.
        layer: What it ran by itself.
        children: The modules right below it, by the last part of their path, in running order.
    """

    path: str
    layer: Layer | None
    children: Mapping[str, "Node"]

    def layers(self) -> Iterator[Layer]:
        """Yield the layer that it is, and those below it."""
        if self.layer:
            yield self.layer
        for child in self.children.values():
            yield from child.layers()

    @property
    def cost(self) -> Cost:
        """What it costs with all that it holds."""
        return summed(layer.cost for layer in self.layers())

    @property
    def frozen_params(self) -> int | None:
        """How many of its parameters are not trained; `None` where that is not known."""
        return frozen_in(self.layers())


def tree_of(layers: Sequence[Layer]) -> Node:
    """Return layers as a tree, by the dots of their paths."""
    alone = {path for path, number in _holding(layers).items() if number == 1}
    times: Counter[str] = Counter()
    entries: list[tuple[Sequence[str], Layer]] = []
    for layer in layers:
        # a module that is one node of ONNX is a row, and so is each of several nodes in one place
        path = layer.origin if layer.origin and layer.origin in alone else layer.path
        times[path] += 1
        number = f"#{times[path]}" if times[path] > 1 else ""
        entries.append((f"{path}{number}".split(".") if path else [], layer))
    return _node("", entries)


def _holding(layers: Sequence[Layer]) -> Mapping[str, int]:
    """Return how many layers stand in every module, and below it."""
    paths = (layer.path.split(".") for layer in layers)
    return Counter(".".join(parts[:at]) for parts in paths for at in range(1, len(parts)))


def frozen_in(layers: Iterable[Layer]) -> int | None:
    """Return how many parameters of layers are not trained; `None` where one does not tell."""
    found = [layer.frozen_params for layer in layers]
    known = [number for number in found if number is not None]
    return sum(known) if len(known) == len(found) else None


def tree_sheet(report: Report, view: View) -> Sheet:
    """Return a row for each module, down to the depth of the view, figures summed below it.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    root = tree_of(report.layers)
    total_macs = report.totals.as_is.macs
    own = report.blocks.get("")
    # of the whole the totals tell: what layers share counts once
    cells = _cells(root, report.totals.as_is, total_macs, own)
    cells |= convention_cells(of_version(report, "as_is"))
    rows = [Row({**cells, "layer": report.target}, "strong")]
    for prefix, node in _walk(root, "", view.depth):
        cells = _cells(node, node.cost, total_macs, report.blocks.get(node.path))
        name = f"{prefix}{node.path.rpartition('.')[2].partition(';')[0]}"
        rows.append(Row({**cells, "layer": name}, "strong" if node.children else "plain"))
    if view.columns is None and all(row.cells[FROZEN] in ("0", UNKNOWN) for row in rows):
        rows = [row._replace(cells={**row.cells, FROZEN: ""}) for row in rows]
    return chosen_sheet(with_conventions(TREE_COLUMNS, report, "share"), rows, view)


def trained_line(report: Report) -> Iterator[str]:
    """Yield how many parameters are trained and how many are frozen, where that is known."""
    frozen, params = frozen_in(report.layers), report.totals.as_is.params
    if frozen is not None and params is not None and report.layers:
        yield f"params: {params - frozen:,} trainable, {frozen:,} frozen"


def _node(path: str, entries: Sequence[tuple[Sequence[str], Layer]]) -> Node:
    own = next((layer for parts, layer in entries if not parts), None)
    below: dict[str, list[tuple[Sequence[str], Layer]]] = {}
    for parts, layer in entries:
        if parts:
            below.setdefault(parts[0], []).append((parts[1:], layer))
    prefix = f"{path}." if path else ""
    return Node(path, own, {name: _node(prefix + name, here) for name, here in below.items()})


def _walk(node: Node, before: str, depth: int | None) -> Iterator[tuple[str, Node]]:
    """Yield the nodes below one from top to bottom, each with its branches as they are drawn."""
    if depth == 0:
        return
    left = None if depth is None else depth - 1
    for at, child in enumerate(node.children.values(), 1):
        is_last = at == len(node.children)
        yield f"{before}{'└─ ' if is_last else '├─ '}", child
        yield from _walk(child, f"{before}{'   ' if is_last else '│  '}", left)


def _cells(node: Node, cost: Cost, total_macs: int, block: Block | None) -> dict[str, str]:
    frozen = node.frozen_params
    layers = list(node.layers())
    kind = kind_of(node.layer) if node.layer else counted(len(layers), "layer")
    shape = layers[-1].output_shape if layers else ()
    if block:
        kind, shape = block.type, block.output_shape
    return {
        "kind": kind,
        "output": format_shape(shape[1:]),
        **cost_cells(cost),
        **convention_cells(added([layer.by_convention for layer in layers])),
        "share": format_share(cost.macs, total_macs),
        FROZEN: UNKNOWN if frozen is None else format_count(frozen),
    }
