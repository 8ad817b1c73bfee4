"""What a table is, in words, for formats that write a title above each."""

from dscost.pages.page import Sheet

BY_HEADER = {
    "module": "Modules",
    "the whole model": "The whole model",
    "alone": "Layers, each converted alone",
    "convolution": "Convolutions",
}
"""By what stands above the first column, where that says more than its key."""
BY_COLUMN = {
    "pays": "Where the swap begins to pay",
    "whole": "Where the time goes",
    "goal": "Trade-off",
    "margin": "Figures against their limits",
}
"""By a column that only one kind of table has."""
BY_KEY = {
    "layer": "Layers",
    "variant": "Versions",
    "version": "Versions, how each ran",
    "setting": "Settings of the timing",
    "device": "On devices, by their roofline",
    "model": "Models",
    "figure": "The whole models",
    "do": "What to swap, and what to keep",
    "node": "Nodes of the graph",
    "part": "Parts",
    "row": "Map",
    "size": "Memory by working set",
    "peak": "Ceilings",
}
"""By the key of the first column."""
OF_LAYERS = "macs"
"""What a table without any of those has that is of layers, one a row."""


def title_of(sheet: Sheet) -> str:
    """Return what a table is, such as `Layers`; of one that nobody has named what its rows are."""
    first, keys = sheet.columns[0], [column.key for column in sheet.columns]
    named = [
        BY_HEADER.get(first.header, ""),
        *(BY_COLUMN[key] for key in keys if key in BY_COLUMN),
        BY_KEY.get(first.key, ""),
        "Layers" if OF_LAYERS in keys else "",
        f"By {first.header}" if first.header.strip() and first.align == "left" else "",
    ]
    return next(filter(None, named), "Table")
