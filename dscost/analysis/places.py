"""What is to be known of where work runs: versions, free memory, why it does not run there."""

from collections.abc import Sequence

from dscost.analysis.running import Work
from dscost.errors import DscostError, first_line
from dscost.runtimes import RUNTIMES, TORCH
from dscost.timing import Setting


def versions_of(settings: Sequence[Setting]) -> dict[str, str]:
    """Return the versions of what runs under some settings, by package."""
    runtimes = [RUNTIMES[name] for name in dict.fromkeys(one.runtime for one in settings)]
    found = {name: each for one in runtimes for name, each in one.versions.items()}
    if TORCH in found:
        import torch

        found[TORCH] = str(torch.__version__)
    return found


def free_on_cuda() -> int:
    """Return what the driver has and what torch keeps without using it."""
    import torch

    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return torch.cuda.mem_get_info()[0] + unused


def under_of(setting: Setting, settings: Sequence[Setting]) -> str:
    """Return ` under cpu:batch8` where several settings are measured, else nothing."""
    return f" under {setting.key}" if len(settings) > 1 else ""


def runs_no(setting: Setting) -> str:
    """Return that a runtime has no convolution in a dtype, and which one has."""
    others = (name for name in RUNTIMES if setting.dtype in RUNTIMES[name].dtypes)
    other = next(others, None) if setting.device == "cpu" else None
    does = f"; --runtime {other} does" if other else ""
    title = RUNTIMES[setting.runtime].title
    return f"{title} runs no convolution in {setting.dtype} on {setting.device}{does}"


def why_not_run(work: Work, error: Exception) -> str:
    """Return why a runtime does not run a work; what is refused says so by itself."""
    setting = work.setting
    if setting.runtime == TORCH:
        more = [part for part in setting.key.split(":")[1:] if part != setting.dtype]
        how = f" ({', '.join(more)})" if more else ""
        named = f"{work.name} in {setting.dtype} on {setting.device}{how}"
        told = message_of(error, type(error).__name__)
        return f"Not timed: torch cannot run {named}: {told}"
    runtime = RUNTIMES[setting.runtime]
    told = str(error) if isinstance(error, DscostError) else first_line(error)
    return f"Not timed: {work.name} under {runtime.title} in {setting.dtype}: {told}"


def message_of(error: Exception, otherwise: str) -> str:
    """Return the first line of what an error says; something else where it says nothing."""
    return next(iter(str(error).strip().splitlines()), otherwise)
