"""A program as torch.compile makes code of it, its weights frozen into it, on the CPU."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import FunctionType
from typing import Any
from unittest import mock

import torch

from dscost.errors import UnavailableError, first_line
from dscost.foreign.failures import chain_of
from dscost.foreign.logs import quietly
from dscost.runtimes import How, Running
from dscost.runtimes.fusing import counted
from dscost.runtimes.programs import Program, tensors_in
from dscost.runtimes.refusing import refusing

TITLE = "torch.compile"
_NUMBERS = count()
_KERNEL = re.compile(
    r"^\s+(?:\w+ = )?(?:torch\.ops\.)?"
    r"((?:extern_kernels|mkldnn|mkl|aten)\.\w+|cpp_fused\w*)(?:\.default)?\((.*)\)$",
    re.MULTILINE,
)
"""A kernel that the code calls, with what it gives to it."""
_POST_OPERATION = re.compile(r"'(\w+)', \[")
"""What a kernel of oneDNN computes beside, before the numbers that it needs for that."""


def load(program: Program, how: How) -> Running:
    """Return a program as compiled code, with so many threads from now on.

    Raises:
        UnavailableError: There is no C++ compiler, or no code was made.
    """
    module, args, kwargs = program.torch_form
    torch.set_num_threads(how.threads)
    last: list[Any] = []
    with _compiling() as sources:
        compiled: Callable[..., Any] = torch.compile(code_of_its_own(module), dynamic=False)

        def call() -> None:
            with torch.inference_mode():
                last[:] = [compiled(*args, **kwargs)]

        call()

    def again() -> None:
        with _frozen():
            call()

    if not sources:
        raise UnavailableError(f"{TITLE} made no code of it: it would run as torch runs it")

    def outputs() -> list[Any]:
        return [one.numpy(force=True) for one in tensors_in(last[0])]

    return Running(call, outputs, "module", kernels_of(sources), again=again)


def code_of_its_own(module: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a module, of a code object that nothing else has.

    torch.compile keeps what it makes by code objects. All modules of a class share theirs, and
    after the eighth it silently runs the rest without compiling.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    code = run.__code__.replace(co_name=f"run_{next(_NUMBERS)}")
    return FunctionType(code, run.__globals__, code.co_name, None, run.__closure__)


@contextmanager
def _compiling() -> Iterator[list[str]]:
    """Give the sources of what is compiled meanwhile."""
    sources: list[str] = []
    with refusing(TITLE, reason_of), _frozen():
        from torch._inductor.graph import GraphLowering

        with mock.patch.object(GraphLowering, "save_output_code", sources.append, create=True):
            yield sources


@contextmanager
def _frozen() -> Iterator[None]:
    """Freeze weights into what is compiled meanwhile, in silence."""
    with quietly(("torch",)):
        from torch._inductor import config

        with config.patch(freezing=True):
            yield


def reason_of(error: Exception) -> str:
    """Return why there is no code, by the error that it began with, or how to get a compiler."""
    first = list(chain_of(error))[-1]
    if type(first).__name__ == "InvalidCxxCompiler":
        return "there is no C++ compiler: install g++ or clang++, or name one in CXX"
    return first_line(first)


# -- what it says of itself


def kernels_of(sources: Sequence[str]) -> tuple[str, ...]:
    r"""Return the kernels that generated code calls, as `mkldnn._convolution_pointwise + relu ×2`.

    >>> kernels_of(["  buf1 = extern_kernels.convolution(arg0, arg1)\n  cpp_fused_relu_0(buf1)"])
    ('extern_kernels.convolution', 'cpp_fused_relu')
    """
    found = [_kernel(*match) for source in sources for match in _KERNEL.findall(source)]
    more = [f"{len(sources)} graphs with Python between them"] if len(sources) > 1 else []
    return (*counted(found), *more)


def _kernel(name: str, arguments: str) -> str:
    if name.startswith("cpp_fused"):
        return re.sub(r"_\d+$", "", name)
    beside = _POST_OPERATION.search(arguments)
    return f"{name} + {beside[1]}" if beside and beside[1] != "none" else name
