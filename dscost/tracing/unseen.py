"""Modules that ran where the tracer does not look: in a thread that is not followed, or with torch's dispatch off."""

from collections.abc import Iterator, Mapping, Sequence, Set

from torch import nn
from torch.nn.modules.conv import _ConvNd

from dscost.errors import some_of
from dscost.parts import own_tensors
from dscost.results import Doubt
from dscost.tracing.dispatch import Recorder
from dscost.tracing.holdings import Holdings

NAMES_SHOWN = 3


def unseen(
    modules: Sequence[tuple[str, nn.Module]],
    holdings: Holdings,
    calls: Mapping[str, int],
    recorder: Recorder,
    patched: Set[str],
    *,
    is_partial: bool,
) -> Iterator[Doubt]:
    """Yield the doubt that computing modules ran and no operator of theirs was seen.

    A module of torch's own that ran has read its weights. Where something came from outside of what was seen, so may
    any convolution or linear layer have done whose weights nobody read.

    Args:
        modules: Every module with its path.
        holdings: What they hold.
        calls: How often each ran.
        recorder: What was seen.
        patched: Paths of modules with a forward of their own, which may leave the weights alone.
        is_partial: Whether something came from outside.
    """
    if all(parameter.name in recorder.read for parameter in holdings.parameters):
        return
    silent = []
    for path, module in modules:
        own = [tensor for tensor in own_tensors(module)[0].values() if tensor is not None and tensor.numel()]
        names = [holdings.by_tensor[id(tensor)].name for tensor in own if id(tensor) in holdings.by_tensor]
        if not names or not recorder.read.isdisjoint(names):
            continue
        ran = calls.get(path, 0) > 0 and path not in patched and _is_torchs_own(module)
        if ran or (is_partial and isinstance(module, nn.Linear | _ConvNd)):
            silent.append(path or "(root)")
    if silent:
        ran_or_run = "it ran" if len(silent) == 1 else "they ran"
        text = f"The figures leave out {some_of(silent, NAMES_SHOWN)}: {ran_or_run}, but no operator was seen of it."
        yield Doubt("unseen", text)


def undifferentiated(functions: Sequence[str]) -> Iterator[Doubt]:
    """Yield the doubt that some functions have backward passes of their own which could not be run."""
    if functions:
        named = some_of(list(dict.fromkeys(functions)), NAMES_SHOWN)
        text = f"The backward pass of {named} could not be run: counted as that of torch for what the forward computes."
        yield Doubt("unseen", text)


def _is_torchs_own(module: nn.Module) -> bool:
    """Whether what computes a module is torch's: that never leaves its weights alone."""
    return type(module).forward.__module__.startswith("torch.nn.")
