"""The second opinion: torch's own `FlopCounterMode` over the same model, its known gaps avoided.

It runs on meta tensors, forward only: on a CPU it loses fused attention, and its backward of
grouped convolutions is too large. Gradients are switched off on the parameters too, since with them
it fails on some models.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import set_training, unwrapped
from dscost.foreign.randomness import SEED, own_random_numbers
from dscost.foreign.uncompiled import compiler_unasked
from dscost.modules.beside_meta import values_kept
from dscost.tracing.calling import called, nothing_compiles, one_at_a_time
from dscost.tracing.inputs import Arguments
from dscost.tracing.known_values import beside_meta, with_masks
from dscost.tracing.meta_copies import StandIns
from dscost.tracing.real_copies import check_memory, real_copy, with_shapes


class SecondCount(NamedTuple):
    """What `FlopCounterMode` found.

    Args:
        macs: By module path, those of a module's children included; the root is `""`.
        on_cpu: Whether the model ran for real, since it does not on meta.
    """

    macs: Mapping[str, int]
    on_cpu: bool


def flop_counter_macs(
    model: nn.Module, arguments: Arguments, *, make_real: Callable[[], nn.Module] | None = None
) -> SecondCount:
    """Return what torch's own counter says of a model; arguments as of `dscost.tracing.trace`.

    Raises:
        InputError: The counter cannot run the model.
    """
    model = unwrapped(model)
    make_real = make_real or partial(real_copy, model)
    for way in ("meta", "values beside meta", "factories on meta", "cpu"):
        try:
            with (
                one_at_a_time(),
                own_random_numbers(SEED),
                nothing_compiles(),
                ExitStack() as stack,
            ):
                if way == "cpu":
                    check_memory(model)
                    real = make_real()
                    set_training(real, False)
                    return SecondCount(_counted(real, arguments.on("cpu")), on_cpu=True)
                model, given = with_shapes(model, arguments), arguments.on("meta")
                keeps = way == "values beside meta"
                standins = StandIns(training=False, fresh=True, values=keeps, own_hooks=True)
                running = standins.module(model)
                if keeps:
                    given = beside_meta(with_masks(model, arguments)[0])
                    stack.enter_context(values_kept())  # what is made from here on
                elif way == "factories on meta":
                    stack.enter_context(torch.device("meta"))
                return SecondCount(_counted(running, given), on_cpu=False)
        except BaseException as error:  # a model's own code may raise anything
            if must_pass(error):
                raise
            last_error = error
    raise InputError(
        f"FlopCounterMode cannot run {type(model).__name__}: {first_line(last_error)}"
    ) from last_error


def _counted(model: nn.Module, arguments: Arguments) -> Mapping[str, int]:
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _OfThisThread()
    with (
        torch.no_grad(),
        counter,
        compiler_unasked(vars(type(counter.mode)).get("__torch_dispatch__")),
    ):
        called(model, arguments)
    first_path: dict[int, str] = {}
    aliases = {}
    for path, module in nn.Module.named_modules(model, remove_duplicate=False):
        aliases[path] = first_path.setdefault(id(module), path)
    root = type(model).__name__
    macs = {"": counter.get_total_flops() // 2}
    for name, operators in counter.get_flop_counts().items():
        if str(name).startswith(f"{root}."):
            path = str(name).removeprefix(f"{root}.")
            macs[aliases.get(path, path)] = sum(operators.values()) // 2
    return macs


class _OfThisThread(ModuleTracker):
    """Knows which modules run in this thread; torch's own hooks see those of every thread."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def _fw_pre_hook(self, mod: nn.Module, input: Any) -> None:
        if get_ident() == self._thread:
            super()._fw_pre_hook(mod, input)

    def _fw_post_hook(self, mod: nn.Module, input: Any, output: Any) -> None:
        if get_ident() == self._thread:
            super()._fw_post_hook(mod, input, output)
