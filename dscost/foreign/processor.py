"""What the processor of this machine is, and which instructions it has."""

from collections.abc import Set
from pathlib import Path

from dscost.foreign.memory import lines_of

CPUINFO = Path("/proc/cpuinfo")
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}
"""Vectors of x86 by what Linux calls them, the widest first. Processors of one name may have
either: all generations are `AMD EPYC` to a virtual machine, and engines have kernels for each."""


BOARD = Path("/proc/device-tree/compatible")
"""What a board of ARM or RISC-V is compatible with, itself first: `raspberrypi,4-model-b`."""


def cpu_name(cpuinfo: Path = CPUINFO, board: Path = BOARD) -> str:
    """Return the model of the processor and its vectors, as `AMD EPYC (AVX-512)`.

    Where the system does not tell, it is the board and the architecture, else that alone.
    """
    import platform

    for line in lines_of(cpuinfo):
        if line.startswith("model name"):
            name, flags = line.partition(":")[2].strip(), cpu_flags(cpuinfo)
            vectors = next((told for flag, told in VECTORS.items() if flag in flags), None)
            return f"{name} ({vectors})" if vectors else name
    architecture = platform.processor() or platform.machine()
    itself = next(iter(lines_of(board)), "").partition("\0")[0].replace(",", " ")
    return f"{itself} ({architecture})" if itself else architecture


def cpu_flags(cpuinfo: Path = CPUINFO) -> Set[str]:
    """Return the instructions of an x86 processor as Linux calls them; none where nothing tells."""
    flags = next((line for line in lines_of(cpuinfo) if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())
