"""Operators that run functions: conditions, loops, scans, attention with functions of its own.

Those functions run under the recorder, so what they do is counted like everything else. Of a
condition both ways run and the dearer one counts. A loop runs as often as can be known without
values; else its body counts once and the loop is of unknown cost. A kernel that cannot be looked
into is of unknown cost, under its own name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._ops import HigherOrderOperator

from dscost.foreign.dispatch import Args, Kwargs
from dscost.traces.events import Event
from dscost.traces.rules.attention import attention_macs
from dscost.tracing.books import Books

_Function = Callable[..., Any]

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


def run_higher_order(books: Books, func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Run a higher-order operator with everything that it runs seen by the books.

    Raises:
        NotImplementedError: torch cannot run it outside of a compiled program, or not on this
            device.
    """
    name: str = func._name
    start = len(books.events)
    with books:
        result = _RULES.get(name, partial(_torchs_own, func=func))(books, *args, **kwargs)
    if name not in _SEEN_BY_OTHERS:
        since = books.events[start:]
        unusual = [event._replace(unusual=NAMESPACE + name, plain_macs=0) for event in since]
        books.events[start:] = unusual
    return result


def _torchs_own(books: Books, *args: Any, func: Any, **kwargs: Any) -> Any:
    """Run what torch itself runs."""
    if func._name in _OPAQUE:
        books.met_unknown(NAMESPACE + func._name)
    kernel = func.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    if kernel is None:
        raise NotImplementedError(
            f"torch cannot run the higher-order operator {func._name} by itself"
        )
    return kernel(*args, **kwargs)


def _flex_attention(
    books: Books, query: Tensor, key: Tensor, value: Tensor, *arguments: Any, **named: Any
) -> tuple[Tensor, ...]:
    """Count attention as usual: like other masks, block masks save nothing; all else is free."""
    operator, start = f"{NAMESPACE}flex_attention", len(books.events)
    kernel = torch.ops.higher_order.flex_attention.py_kernels[DispatchKey.CompositeExplicitAutograd]
    results: tuple[Tensor, ...] = kernel(query, key, value, *arguments, **named)
    inside = books.events[start:]
    del books.events[start:]
    macs = attention_macs(
        tuple(query.shape), tuple(key.shape), tuple(value.shape), out=tuple(results[0].shape)
    )
    books.record(operator, (query, key, value), results, macs)
    # its own functions read biases and masks
    read = [name for event in (books.events[-1], *inside) for name in event.weights]
    books.amend(weights=tuple(dict.fromkeys(read)))
    return results


def _cond(
    books: Books, pred: Any, true_fn: _Function, false_fn: _Function, operands: Sequence[Any]
) -> Any:
    """Run both ways, keep the operators of the one with the most MACs, and return its result.

    What either of them reads is read, and what is of unknown cost in either makes the total
    partial.
    """
    books.note("A torch.cond counts by its dearer branch.")
    start, unknown = len(books.events), books.unknown
    most = Counter(unknown)
    outcomes = []
    for way in (true_fn, false_fn):
        books.unknown = dict(unknown)
        result = way(*operands)
        most |= Counter(books.unknown)
        outcomes.append((books.events[start:], result))
        del books.events[start:]
    if _weight(outcomes[1][0]) > _weight(outcomes[0][0]):
        outcomes.reverse()
    (events, result), (others, _) = outcomes
    books.unknown = dict(most)
    books.events += events
    books.dropped += others
    return result


def _weight(events: Sequence[Event]) -> tuple[int, int]:
    return sum(event.macs for event in events), sum(event.traffic_bytes for event in events)


def _while_loop(
    books: Books,
    cond_fn: _Function,
    body_fn: _Function,
    carried: Sequence[Any],
    additional: Sequence[Any],
    *,
    stack_output: bool = False,
) -> tuple[Any, ...]:
    values, trips = tuple(carried), []
    while True:
        goes_on = cond_fn(*values, *additional)
        is_known = not (isinstance(goes_on, Tensor) and goes_on.is_meta)
        if is_known and not bool(goes_on):
            break
        values = tuple(body_fn(*values, *additional))
        trips.append(values)
        if not is_known or len(trips) == MOST_TRIPS:
            books.met_unknown(NAMESPACE + "while_loop")
            books.note(
                "How often a torch.while_loop runs depends on values; "
                f"it counts {'once' if len(trips) == 1 else f'{len(trips):,} times'}."
            )
            break
    if stack_output:
        return tuple(torch.stack(each) for each in zip(*(trips or [values]), strict=True))
    return values


def _scan(
    books: Books, combine_fn: _Function, init: Any, xs: Any, additional_inputs: Sequence[Any] = ()
) -> Any:
    from torch._higher_order_ops.scan import generic_scan

    scan: Any = generic_scan
    return scan(combine_fn, init, xs, additional_inputs=additional_inputs)


def _invoke_subgraph(books: Books, subgraph: _Function, identifier: Any, *operands: Any) -> Any:
    is_boxed = getattr(subgraph, "_boxed_call", False)
    return subgraph(list(operands)) if is_boxed else subgraph(*operands)


def _function_first(books: Books, function: _Function, *operands: Any, **_: Any) -> Any:
    return function(*operands)


def _run_and_save_rng_state(books: Books, function: _Function, *args: Any, **kwargs: Any) -> Any:
    return torch.get_rng_state(), function(*args, **kwargs)


def _run_with_rng_state(
    books: Books, state: Any, function: _Function, *args: Any, **kwargs: Any
) -> Any:
    return function(*args, **kwargs)


def _graphsafe_run_with_rng_state(
    books: Books, function: _Function, *args: Any, rng_state: Any = None, **kwargs: Any
) -> Any:
    return function(*args, **kwargs)


def _triton(
    books: Books, *, kernel_idx: int, kwargs: Kwargs, **named: Any
) -> dict[str, Any] | None:
    """Name a kernel of unknown cost; it writes on what it is given, so shapes are known."""
    from torch._higher_order_ops.triton_kernel_wrap import get_kernel

    kernel: Any = get_kernel(kernel_idx)
    while not hasattr(kernel, "__name__") and hasattr(kernel, "fn"):
        kernel = kernel.fn  # of what tunes it or chooses for it
    books.met_unknown(f"triton::{getattr(kernel, '__name__', 'kernel')}")
    cloned = named.get("tensors_to_clone")
    if cloned is None:
        return None
    return {name: value.clone() if name in cloned else value for name, value in kwargs.items()}


_RULES: dict[str, _Function] = {
    "cond": _cond,
    "flex_attention": _flex_attention,
    "while_loop": _while_loop,
    "while_loop_stack_output": partial(_while_loop, stack_output=True),
    "scan": _scan,
    "invoke_subgraph": _invoke_subgraph,
    "invoke_quant": _function_first,
    "invoke_quant_packed": _function_first,
    "strict_mode": lambda books, function, operands: function(*operands),
    "run_and_save_rng_state": _run_and_save_rng_state,
    "run_with_rng_state": _run_with_rng_state,
    "graphsafe_run_with_rng_state": _graphsafe_run_with_rng_state,
    "triton_kernel_wrapper_mutation": _triton,
    "triton_kernel_wrapper_functional": _triton,
}
"""What torch's own way does not do: it looks at values, refuses to be watched, or depends on the
device."""
