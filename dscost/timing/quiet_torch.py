"""torch as the measurement needs it: threads, random numbers, no modes; as it was afterwards."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.overrides import _pop_mode_temporarily
from torch.utils._python_dispatch import _disable_current_modes

from dscost.timing.machine import MOST_HEAP_BLOCK


@contextmanager
def every_module_compiled() -> Iterator[None]:
    """Let torch.compile make code for every module: by default it silently stops after a few."""
    import torch._dynamo.config as config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    before = getattr(config, name)
    setattr(config, name, _MANY_MODULES)
    try:
        yield
    finally:
        setattr(config, name, before)


_MANY_MODULES = 10_000


def used_before(size: int) -> None:
    """Take a block of memory and give it back, as a process has that loaded weights of that size.

    From then on glibc serves blocks up to that size from its heap. In a process that has freed
    nothing yet every call of a layer would ask the system for fresh pages, which no program that
    runs a model does.
    """
    torch.empty(min(size, MOST_HEAP_BLOCK), dtype=torch.uint8)


@contextmanager
def quiet_torch(threads: int, seed: int) -> Iterator[None]:
    """Run inference with fixed threads and random numbers, and put torch back as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with (
            _without_modes(),
            torch.random.fork_rng(devices=[]),
            torch.inference_mode(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
            warnings.catch_warnings(),
        ):
            # torch speaks of a missing numpy, and of the copy that an even kernel with "same"
            # padding costs
            warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
            warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
            torch.default_generator.manual_seed(seed)  # everything random is made on the CPU
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_modes() -> Iterator[None]:
    """Leave the caller's modes: a default device moves what is placed, and a counter takes time."""
    with _disable_current_modes(), ExitStack() as stack:
        for _ in range(torch._C._len_torch_function_stack()):
            stack.enter_context(_pop_mode_temporarily())
        yield
