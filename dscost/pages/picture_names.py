"""Which pictures there are, by what `--plot` calls them, and which commands have them."""

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "costs": "MACs, bytes and time of the variants of a layer",
    "promise": "how many times fewer MACs against how many times faster, measured",
    "roofline": "layers below the roof of a device: what bounds them, and how far they are from it",
    "layers": "the MACs of each layer, before and after",
    "times": "the time of each layer that was timed, before and after",
    "cumulative": "how time and MACs add up, layer by layer",
    "models": "models as points: MACs against latency",
    "curve": "the trade-off of a plan: its error or score against what it costs",
    "crossover": "where a variant becomes faster: a cell for each layer of a sweep",
    "growth": "what models cost now against their baseline and their limits",
}
"""By name, what each shows."""

OF_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "layer": ("costs", "promise", "roofline"),
    "model": ("promise", "times", "layers", "roofline", "cumulative"),
    "compare": ("models", "layers", "promise"),
    "convert": ("times", "curve", "layers"),
    "sweep": ("crossover", "promise"),
    "check": ("growth",),
    "device": ("roofline",),
}
"""By command, the most telling first, where times are known; the others draw nothing."""
