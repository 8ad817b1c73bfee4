"""The multiply-accumulates of a layer as the products that they are, variant by variant.

Of each convolution: channels out, channels in per group, the kernel, and the positions it is
applied at, the batch among them. Factors of 1 that only say that there is one thing are left out.
"""

from collections.abc import Iterator
from math import prod

from dscost.pages.wording import formula_line, short_titles
from dscost.reports.records import Layer, Report, Stage

MACS = "macs"
"""The row that says what is multiplied."""


def arithmetic_lines(report: Report) -> list[str]:
    """Return a line of products per variant of a layer, and the formula that their ratio follows.

    A stage that a variant only adds or moves values in multiplies nothing, and is not told.
    """
    (layer,) = report.layers
    titles = {**short_titles(report), MACS: "MACs"}
    products = dict(_products(report))
    said = {MACS: _legend(layer), **products} if products else {}
    if layer.formula_ratio is not None and layer.conv is not None:
        depth_multiplier = report.settings["depth_multiplier"]
        said["ratio"] = formula_line(layer.conv, depth_multiplier, layer.formula_ratio)
    labels = {name: titles.get(name, name) for name in said}
    widest = max(map(len, labels.values()), default=0)
    return [f"{labels[name]:{widest}}   {text}" for name, text in said.items()]


def _legend(layer: Layer) -> str:
    """Return in words what is multiplied."""
    conv = layer.conv
    grouped = " per group" if conv and conv.groups > 1 else ""
    batch = "batch · " if layer.input_shape[0] > 1 else ""
    positions = "positions read" if conv and conv.transposed else "positions"
    return f"channels out · channels in{grouped} · kernel · {batch}{positions}"


def _products(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what is multiplied, by name of the variant; nothing where that is not known."""
    (layer,) = report.layers
    for name, stages in layer.stages.items():
        working = [stage for stage in stages if stage.cost.macs]
        factors = [factors_of(stage) for stage in working]
        known = [one for one in factors if one]
        if not known or len(known) < len(factors):
            continue
        total = f"{layer.variants[name].macs:,}"
        if len(known) == 1:
            weights, positions = known[0]
            yield name, f"{_product(weights)} · {_product(positions)} = {total}"
        else:
            products = " + ".join(_product((*weights, *places)) for weights, places in known)
            sums = " + ".join(f"{stage.cost.macs:,}" for stage in working)
            yield name, f"{products} = {sums} = {total}"


def factors_of(stage: Stage) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the factors of a convolution's MACs: those of its weights, then its positions.

    `None` where they are not known; their product is `stage.cost.macs`.
    """
    conv = stage.conv
    if conv is None:
        return None
    channels = [conv.out_channels, conv.in_channels // conv.groups]
    kernel = conv.kernel_size if conv.kernel_area > 1 else ()
    weights = (*(count for count in channels if count > 1), *kernel) or (1,)
    # a transposed convolution is applied at the positions that it reads
    batch, _, *extents = stage.input_shape if conv.transposed else stage.output_shape
    positions = (batch, *extents) if batch > 1 else tuple(extents)
    is_all = prod(weights) * prod(positions) == stage.cost.macs  # else a report says otherwise
    return (weights, positions) if is_all else None


def _product(factors: tuple[int, ...]) -> str:
    return "·".join(map(str, factors))
