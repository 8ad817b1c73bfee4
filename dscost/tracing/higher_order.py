"""Operators that run functions: conditions, loops, scans, attention with functions of its own.

Those functions run under the recorder, so what they do is counted like everything else. Of a
condition both ways run and the dearer one counts. A loop runs as often as can be known without
values; else its body counts once and the loop is of unknown cost. A kernel that cannot be looked
into is of unknown cost, under its own name.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._ops import HigherOrderOperator

from dscost.tracing.rules import attention_macs

if TYPE_CHECKING:
    from dscost.tracing.dispatch import Recorder

NAMESPACE = "higher_order::"

MOST_TRIPS = 1000
"""A loop that is not over by then is not followed any further: it may never end."""

_SEEN_BY_OTHERS = frozenset(("cond", "flex_attention"))
"""What torch's `FlopCounterMode` counts too."""

_OPAQUE = frozenset(("inductor_compiled_code", "aoti_call_delegate", "executorch_call_delegate"))
"""What runs compiled code, in which nothing is seen."""


def is_higher_order(func: Any) -> bool:
    """Whether an operator runs functions."""
    return isinstance(func, HigherOrderOperator)


def run_higher_order(
    recorder: "Recorder", func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a higher-order operator with everything that it runs seen by the recorder.

    Raises:
        NotImplementedError: torch cannot run it outside of a compiled program, or not on this
            device.
    """
    name: str = func._name
    start = len(recorder.events)
    result = _RULES.get(name, partial(_torchs_own, func=func))(recorder, *args, **kwargs)
    if name not in _SEEN_BY_OTHERS:
        recorder.mark_unusual(start, NAMESPACE + name)
    return result


def _torchs_own(recorder: "Recorder", *args: Any, func: Any, **kwargs: Any) -> Any:
    """Run what torch itself runs, seen by the recorder."""
    if func._name in _OPAQUE:
        recorder.met_unknown(NAMESPACE + func._name)
    kernel = func.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    if kernel is None:
        raise NotImplementedError(
            f"torch cannot run the higher-order operator {func._name} by itself"
        )
    with recorder:
        return kernel(*args, **kwargs)


def _flex_attention(
    recorder: "Recorder", query: Tensor, key: Tensor, value: Tensor, *arguments: Any, **named: Any
) -> tuple[Tensor, ...]:
    """Count attention as usual: block masks save nothing, as other masks do not. What else it computes is free."""
    operator, start = f"{NAMESPACE}flex_attention", len(recorder.events)
    kernel = torch.ops.higher_order.flex_attention.py_kernels[DispatchKey.CompositeExplicitAutograd]
    with recorder:
        results: tuple[Tensor, ...] = kernel(query, key, value, *arguments, **named)
    inside = recorder.events[start:]
    del recorder.events[start:]
    macs = attention_macs(
        tuple(query.shape), tuple(key.shape), tuple(value.shape), out=tuple(results[0].shape)
    )
    recorder.record("attention", operator, (query, key, value), results, macs)
    read = dict.fromkeys(
        name for event in inside for name in event.weights
    )  # by its own functions: biases, masks
    recorder.amend(weights=tuple(dict.fromkeys((*recorder.events[-1].weights, *read))))
    return results


def _cond(
    recorder: "Recorder",
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    operands: Sequence[Any],
) -> Any:
    recorder.note("A torch.cond counts by its dearer branch.")
    return recorder.dearer([lambda: true_fn(*operands), lambda: false_fn(*operands)])


def _while_loop(
    recorder: "Recorder",
    cond_fn: Callable[..., Any],
    body_fn: Callable[..., Any],
    carried: Sequence[Any],
    additional: Sequence[Any],
    *,
    stack_output: bool = False,
) -> tuple[Any, ...]:
    values, trips = tuple(carried), []
    with recorder:
        while True:
            goes_on = cond_fn(*values, *additional)
            is_known = not (isinstance(goes_on, Tensor) and goes_on.is_meta)
            if is_known and not bool(goes_on):
                break
            values = tuple(body_fn(*values, *additional))
            trips.append(values)
            if not is_known or len(trips) == MOST_TRIPS:
                recorder.met_unknown(NAMESPACE + "while_loop")
                recorder.note(
                    "How often a torch.while_loop runs depends on values; "
                    f"it counts {'once' if len(trips) == 1 else f'{len(trips):,} times'}."
                )
                break
        if stack_output:
            return tuple(torch.stack(each) for each in zip(*(trips or [values]), strict=True))
    return values


def _scan(
    recorder: "Recorder",
    combine_fn: Callable[..., Any],
    init: Any,
    xs: Any,
    additional_inputs: Sequence[Any] = (),
) -> Any:
    from torch._higher_order_ops.scan import generic_scan

    with recorder:
        return generic_scan(combine_fn, init, xs, additional_inputs=additional_inputs)  # type: ignore[no-untyped-call]


def _invoke_subgraph(
    recorder: "Recorder", subgraph: Callable[..., Any], identifier: Any, *operands: Any
) -> Any:
    with recorder:
        return (
            subgraph(list(operands))
            if getattr(subgraph, "_boxed_call", False)
            else subgraph(*operands)
        )


def _strict_mode(
    recorder: "Recorder", function: Callable[..., Any], operands: Sequence[Any]
) -> Any:
    with recorder:
        return function(*operands)


def _function_first(
    recorder: "Recorder", function: Callable[..., Any], *operands: Any, **_: Any
) -> Any:
    with recorder:
        return function(*operands)


def _run_and_save_rng_state(
    recorder: "Recorder", function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    with recorder:
        return torch.get_rng_state(), function(*args, **kwargs)


def _run_with_rng_state(
    recorder: "Recorder", state: Any, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    with recorder:
        return function(*args, **kwargs)


def _graphsafe_run_with_rng_state(
    recorder: "Recorder",
    function: Callable[..., Any],
    *args: Any,
    rng_state: Any = None,
    **kwargs: Any,
) -> Any:
    with recorder:
        return function(*args, **kwargs)


def _triton(
    recorder: "Recorder", *, kernel_idx: int, kwargs: dict[str, Any], **named: Any
) -> dict[str, Any] | None:
    """Name a kernel of unknown cost; it writes on what it is given, so the shapes are known without running it."""
    from torch._higher_order_ops.triton_kernel_wrap import get_kernel

    kernel: Any = get_kernel(kernel_idx)
    while not hasattr(kernel, "__name__") and hasattr(kernel, "fn"):
        kernel = kernel.fn  # of what tunes it or chooses for it
    recorder.met_unknown(f"triton::{getattr(kernel, '__name__', 'kernel')}")
    cloned = named.get("tensors_to_clone")
    if cloned is None:
        return None
    with recorder:
        return {name: value.clone() if name in cloned else value for name, value in kwargs.items()}


_RULES: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "flex_attention": _flex_attention,
    "while_loop": _while_loop,
    "while_loop_stack_output": partial(_while_loop, stack_output=True),
    "scan": _scan,
    "invoke_subgraph": _invoke_subgraph,
    "invoke_quant": _function_first,
    "invoke_quant_packed": _function_first,
    "strict_mode": _strict_mode,
    "run_and_save_rng_state": _run_and_save_rng_state,
    "run_with_rng_state": _run_with_rng_state,
    "graphsafe_run_with_rng_state": _graphsafe_run_with_rng_state,
    "triton_kernel_wrapper_mutation": _triton,
    "triton_kernel_wrapper_functional": _triton,
}
"""What torch's own way does not do: it looks at values, refuses to be watched, or depends on the
device."""
