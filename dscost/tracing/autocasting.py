"""What `torch.autocast` does to the arguments of an operator: on meta torch leaves it out.

Which operators it touches is asked of torch: those that have a kernel of their own for it. The
casts themselves are taken for a part of the operator, which reads what it was given and writes in
the dtype of autocast.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dscost.foreign.dispatch import Args, Kwargs, mapped, tensors_in
from dscost.traces.rules import named

_DEVICES = {
    "cpu": "AutocastCPU",
    "cuda": "AutocastCUDA",
    "xpu": "AutocastXPU",
    "mps": "AutocastMPS",
}

_LOWER = {
    *named("aten", "conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d"),
    *named("aten", "conv_transpose3d convolution _convolution linear matmul mm bmm mv addmm addmv"),
    *named("aten", "addr addbmm baddbmm chain_matmul linalg_multi_dot linalg_vecdot einsum prelu"),
    *named("aten", "scaled_dot_product_attention mkldnn_rnn_layer lstm gru rnn_tanh rnn_relu"),
    *named("aten", "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
}
"""Operators that run in the dtype of autocast."""

_WIDEST = {
    *named("aten", "cat stack index_copy addcdiv addcmul atan2 bilinear cross dot grid_sampler"),
    *named("aten", "index_put tensordot scatter_add vdot"),
}
"""Operators that run in the widest dtype among their arguments."""


def autocast_arguments(func: Any, args: Args, kwargs: Kwargs) -> tuple[Any, dict[str, Any]]:
    """Return the arguments of an operator as autocast hands them on."""
    hidden: Any = torch._C  # torch hides its autocast while it dispatches
    with hidden._RestorePythonTLSSnapshot():
        device = next((device for device in _DEVICES if torch.is_autocast_enabled(device)), None)
    name = func._schema.name
    if device is None or not (
        name in _LOWER or _is_touched(name, func._schema.overload_name, _DEVICES[device])
    ):
        return args, kwargs
    dtype = torch.get_autocast_dtype(device) if name in _LOWER else torch.float32
    if name in _WIDEST:
        dtype = _widest(args)

    def cast(value: Any) -> Any:
        is_tensor = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(dtype) if is_tensor and value.dtype is not torch.float64 else value

    return mapped(args, cast), mapped(kwargs, cast)


@cache
def _is_touched(name: str, overload: str, key: str) -> bool:
    return bool(
        torch._C._dispatch_has_kernel_for_dispatch_key(f"{name}.{overload}".rstrip("."), key)
    )


def _widest(args: Args) -> torch.dtype:
    found = [one.dtype for one in tensors_in(args) if one.is_floating_point()]
    return torch.float32 if torch.float32 in found or not found else found[0]


@contextmanager
def watched_autocast(seen: Callable[[], None], *, on_meta: bool) -> Iterator[None]:
    """Be told when autocast is entered; on meta, that of meta or of a GPU that is not here.

    torch refuses the first and switches the second off.
    """
    autocast: Any = torch.amp.autocast_mode.autocast
    init, enter = autocast.__init__, autocast.__enter__

    def watched_init(
        self: Any, device_type: str, dtype: Any = None, enabled: bool = True, *args: Any, **kw: Any
    ) -> None:
        missing = on_meta and device_type == "cuda" and not torch.cuda.is_available()
        if missing:
            init(self, "cpu", torch.bfloat16, enabled, *args, **kw)
            self.device, self.fast_dtype = "cuda", dtype or torch.get_autocast_dtype("cuda")
        else:
            init(self, "cpu" if device_type == "meta" else device_type, dtype, enabled, *args, **kw)

    def watched_enter(self: Any) -> Any:
        seen()
        return enter(self)

    autocast.__init__, autocast.__enter__ = watched_init, watched_enter
    try:
        yield
    finally:
        autocast.__init__, autocast.__enter__ = init, enter
