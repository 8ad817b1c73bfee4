"""The second opinion: torch's own `FlopCounterMode` over the same model, its known gaps avoided.

It runs on meta tensors, forward only: on a CPU it loses fused attention, and its backward of grouped convolutions
is too large. Gradients are switched off on the parameters too, since with them it fails on some models.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dscost.errors import InputError
from dscost.tracing import dry_run, first_line, looks_at_values, one_at_a_time, same_random_state
from dscost.tracing.inputs import Arguments
from dscost.tracing.sparse import is_sparse
from dscost.tracing.standins import StandIns, is_lazy, real_copy, with_shapes


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
    """Return what torch's own counter says of a model.

    Args:
        model: Left as it is; what runs is a stand-in, or a copy.
        arguments: Of its forward.
        make_real: Makes the model anew with values, should it have to run for real; by default a copy does.

    Raises:
        InputError: The counter cannot run the model.
    """
    model = getattr(model, "_orig_mod", model)
    make_real = make_real or partial(real_copy, model)
    for factories in (None, "meta", "cpu"):
        try:
            with one_at_a_time, same_random_state(), ExitStack() as stack:
                if factories == "cpu":
                    return SecondCount(_counted(make_real().eval(), arguments.on("cpu")), on_cpu=True)
                if is_lazy(model):
                    model = with_shapes(model, lambda lazy: dry_run(lazy, arguments.on("meta")))
                if factories:
                    stack.enter_context(torch.device(factories))
                standin = StandIns(training=False, fresh=True).module(model)
                return SecondCount(_counted(standin, arguments.on("meta")), on_cpu=False)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
            last_error = error
            if factories == "meta" and not (looks_at_values(error) or _is_small(model)):
                break
    raise InputError(f"FlopCounterMode cannot run {type(model).__name__}: {first_line(last_error)}") from last_error


SMALL_BYTES = 2**30
"""Of weights; what is smaller is run for real whatever it was that meta tensors could not do."""


def _is_small(model: nn.Module) -> bool:
    return sum(parameter.nbytes for parameter in model.parameters() if not is_sparse(parameter)) < SMALL_BYTES


def _counted(model: nn.Module, arguments: Arguments) -> Mapping[str, int]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*arguments.args, **arguments.kwargs)
    first_path: dict[int, str] = {}
    aliases = {}
    for path, module in model.named_modules(remove_duplicate=False):
        aliases[path] = first_path.setdefault(id(module), path)
    root = type(model).__name__
    macs = {"": counter.get_total_flops() // 2}
    for name, operators in counter.get_flop_counts().items():
        if str(name).startswith(f"{root}."):
            path = str(name).removeprefix(f"{root}.")
            macs[aliases.get(path, path)] = sum(operators.values()) // 2
    return macs
