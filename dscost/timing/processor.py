"""What the processor of this machine is called."""

from pathlib import Path

from dscost.foreign.memory import lines_of


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor, or its architecture where the system does not tell."""
    import platform

    for line in lines_of(cpuinfo):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
