"""A program run by torch as it is."""

from typing import Any

import torch

from dscost.runtimes import How, Running
from dscost.runtimes.programs import Program, tensors_in


def load(program: Program, how: How) -> Running:
    """Return a program as torch runs it, with so many threads from now on."""
    module, args, kwargs = program.torch_form
    torch.set_num_threads(how.threads)
    last: list[Any] = []

    def call() -> None:
        with torch.inference_mode():
            last[:] = [module(*args, **kwargs)]

    def outputs() -> list[Any]:
        return [one.numpy(force=True) for one in tensors_in(last[0])]

    return Running(call, outputs, "module")
