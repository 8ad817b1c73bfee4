"""Modules as torch runs them under a setting."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import nn

from dscost.analysis.running import Prepared, Work
from dscost.modules.building import Network, placed
from dscost.timing.backends import backend_of
from dscost.timing.cuda import replayed
from dscost.timing.engine import Call


def prepared_by_torch(work: Work) -> Prepared:
    """Return work on its device, run once; whatever torch or a model's own code raises, passes."""
    setting = work.setting
    module = placed(work.build(), **setting.place)
    args, kwargs = work.arguments()
    with _noted(module) as noted:
        before = perf_counter()
        module(*args, **kwargs)
        first_s = perf_counter() - before
    own = _backends(module, *args) if len(args) == 1 and not kwargs else {}
    backends = own or _of_layer(noted)
    if setting.mode == "compile":
        compiled = torch.compile(module, dynamic=False)
        before = perf_counter()
        compiled(*args, **kwargs)
        compile_s = perf_counter() - before
        run = partial(compiled, *args, **kwargs)
        return Prepared(run, backends, compile_s, first_s, again=run)
    if kwargs:
        call: Call = lambda: module(*args, **kwargs)  # noqa: E731
    else:
        call = lambda: module(*args)  # noqa: E731
    call = replayed(call) if setting.mode == "graph" else call
    return Prepared(call, backends, first_s=first_s)


@contextmanager
def _noted(module: nn.Module) -> Iterator[dict[str, str]]:
    """Note the backends of a network's convolutions by name, as they are called."""
    found: dict[str, str] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(conv: nn.Module, args: tuple[Any, ...]) -> None:
            if backend := backend_of(conv, *args[:1]):
                found[name] = backend

        return note

    # names and calls of other modules may be anything
    parts = module.named_modules() if type(module) is Network else ()
    hooks = [one.register_forward_pre_hook(noting(name)) for name, one in parts if name]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _of_layer(noted: Mapping[str, str]) -> Mapping[str, str]:
    """Return backends by name; a convolution that is alone needs none."""
    return {"": next(iter(noted.values()))} if len(noted) == 1 else noted


def _backends(module: nn.Module, x: Any) -> dict[str, str]:
    """Return the backends of a convolution, or of a chain of them by name; else none."""
    chain = dict(module.named_children()) if type(module) is nn.Sequential else {"": module}
    found: dict[str, str] = {}
    for name, conv in chain.items():
        backend = backend_of(conv, x)
        if backend is None:
            return found
        found[name] = backend
        x = conv(x)
    return found
