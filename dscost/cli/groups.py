"""Where help shows the options of a command: under which heading, those of every day first."""

from collections.abc import Iterator, Mapping, Sequence

GROUPS: Mapping[str, Sequence[str]] = {
    "Layer": (
        *("in_channels", "out_channels", "kernel", "size", "stride", "padding", "groups"),
        *("dilation", "bias", "variant", "depth_multiplier"),
    ),
    "Conversion": (
        *("goals", "fastest", "proof", "save", "save_code", "rank", "order", "plan", "save_plan"),
        *("where", "min_channels"),
    ),
    "Accuracy": ("score", "calibrate", "score_budget", "score_timeout", "journal"),
    "Judging": ("against", "model", "accept", "raise_limits", "config"),
    "Model": (
        "inputs",
        "batch",
        "dtype",
        "train",
        "convention",
        "setting",
        "kwargs",
        "weights",
        "trust",
    ),
    "Measuring": (
        *("time", "time_budget", "runtime", "device", "threads", "memory_format", "mode"),
        *(
            "scheduler",
            "with_norm",
            "skip_losing",
            "clock",
            "precision",
            "allocator",
            "fresh",
            "seed",
        ),
    ),
    "Devices": ("on", "named", "explain"),
    "Layers shown": ("layers", "sort", "top", "depth", "tree", "every_layer"),
    "Output": (
        *("path", "json", "format_name", "export", "plot", "columns", "wide", "color", "quiet"),
        *("stages", "totals", "verbose"),
    ),
    "Running code": ("isolate", "load_timeout"),
}
"""Names of parameters by heading, in their order: they mean the same in every command."""

OWN = {
    "layer": "Layer",
    "model": "Model",
    "compare": "Model",
    "sweep": "Grid",
    "convert": "Conversion",
    "device": "Measuring",
    "check": "Judging",
    "baseline": "Judging",
    "init": "Budget",
}
"""The heading that comes first in a command, and of options that stand under none above."""

_ELSEWHERE = {
    ("layer", "Model"): "Layer",
    ("device", "Model"): "Measuring",
    ("model", "Conversion"): "Measuring",
    ("sweep", "Accuracy"): "Measuring",
    ("sweep", "Layer"): "Grid",
    ("sweep", "Model"): "Grid",
}
"""What is not told apart in a command: its options stand under the other heading."""

LAST = "help"
"""Stands below all others of its group."""


def grouped(command: str, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield headings and the options below them, as the help of a command shows them.

    >>> list(grouped("verify", ["path", "inputs", "help"]))
    [('Model', ['inputs']), ('Output', ['path', 'help'])]
    """
    own = OWN.get(command)
    found: dict[str, list[str]] = {own: []} if own else {}
    for heading, members in GROUPS.items():
        here = [name for name in members if name in names]
        if here:
            found.setdefault(_ELSEWHERE.get((command, heading), heading), []).extend(here)
    listed = {name for here in found.values() for name in here}
    unlisted = [name for name in names if name not in listed and name != LAST]
    if unlisted:
        found.setdefault(own or "Options", []).extend(unlisted)
    if LAST in names:
        found.setdefault("Output" if "Output" in found else own or "Options", []).append(LAST)
    yield from ((heading, here) for heading, here in found.items() if here)
