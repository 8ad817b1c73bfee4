"""What numpy tells of an einsum, which other counters go by."""

from functools import lru_cache
from typing import Any

from dscost.layers.convolution import Shape


@lru_cache(maxsize=1024)
def told_by_numpy(equation: str, shapes: tuple[Shape, ...]) -> dict[str, Any]:
    """Return as `flops_by_numpy` the FLOPs of an einsum in the order that numpy thinks best.

    They are read from a text, with four digits; nothing where numpy is lacking or cannot tell.
    """
    try:
        import numpy as np

        given = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
        told = np.einsum_path(equation, *given, optimize="optimal")[1]
    except (ImportError, ValueError):
        return {}
    lines = (line.lower() for line in told.splitlines())
    found = [line.rpartition(":")[2] for line in lines if "optimized flop" in line]
    return {"flops_by_numpy": float(found[0])} if found else {}
