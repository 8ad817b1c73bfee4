"""Sparse tensors: what they hold, and what products cost by the entries that they store.

On meta a sparse tensor keeps its values, so that their number is known; what it is multiplied with
has none.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor

from dscost.foreign.dispatch import Args, Kwargs, tensors_in
from dscost.traces.rules.products import linear_macs, matmul_macs
from dscost.traces.rules.table import named

SPARSE = frozenset(
    (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
)

_PRODUCTS = named("aten", "mm matmul bmm mv dot linear smm hspmm")
_OF_SPARSE = named("aten", "_sparse_mm _sparse_sparse_matmul _sparse_mm_reduce_impl")
_SUMS = named("aten", "addmm addmm_ addmv addmv_ baddbmm baddbmm_")
_SUMS_OF_SPARSE = named("aten", "_sparse_addmm sspaddmm sparse_sampled_addmm")
FACTORS = {
    **dict.fromkeys((*_PRODUCTS, *_OF_SPARSE), (0, 1)),
    **dict.fromkeys((*_SUMS, *_SUMS_OF_SPARSE), (1, 2)),
}
"""Which arguments are multiplied, by operator."""


def is_sparse(tensor: Tensor) -> bool:
    """Whether a tensor stores only some of its entries."""
    return tensor.layout in SPARSE


def any_sparse(args: Args) -> bool:
    """Whether some argument is sparse."""
    return any(isinstance(arg, Tensor) and arg.layout in SPARSE for arg in args)


def parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the dense tensors that a tensor is kept in: itself, or values and then indices."""
    if tensor.layout not in SPARSE:
        return (tensor,)
    if tensor.layout is torch.sparse_coo:
        return tensor._values(), tensor._indices()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.values(), tensor.crow_indices(), tensor.col_indices()
    return tensor.values(), tensor.ccol_indices(), tensor.row_indices()


def takes_gradients(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor are of a kind that may need gradients: no integers."""
    return tensor.is_floating_point() or tensor.is_complex()


def address_of(tensor: Tensor) -> int:
    """Return the address of the storage of a tensor; of a sparse one that of its values."""
    if tensor.layout in SPARSE:
        tensor = parts(tensor)[0]
    address: int = tensor.untyped_storage()._cdata
    return address


def dense_parts(tensors: list[Tensor]) -> list[Tensor]:
    """Return tensors with every sparse one's values in its place, and all indices after them."""
    for tensor in tensors:
        # of all operators that have no short cut; a generator would cost as much as the rest
        if tensor.layout in SPARSE:
            break
    else:
        return tensors
    kept_in = [parts(tensor) for tensor in tensors]
    for tensor, (values, *_) in zip(tensors, kept_in, strict=True):
        if tensor.requires_grad and not values.requires_grad:
            values.requires_grad_(True)
    indices = [index for _, *rest in kept_in for index in rest]
    return [values for values, *_ in kept_in] + indices


def nbytes_of(tensor: Tensor) -> int:
    """Return the size of a tensor, dense or sparse."""
    return sum(part.nbytes for part in parts(tensor))


def sparse_view(func: Any, args: Args, kwargs: Kwargs) -> Any:
    """Return a view of a sparse tensor, which inference mode refuses of one made outside of it."""
    with torch.inference_mode(mode=False), torch.no_grad():
        return func(*args, **kwargs)


def stored(tensor: Tensor) -> int | None:
    """Return how many entries a tensor stores; `None` if unknown, as of empty ones on meta."""
    count = parts(tensor)[0].numel()
    return None if tensor.is_meta and not count else count


def sparse_macs(operator: str, args: Args) -> int | None:
    """Return the multiply-accumulates of a product with a sparse factor, `None` if unknown.

    Each stored entry meets every row or column of the other factor; of two sparse factors, every
    entry of a column of the first meets every entry of the row of the second.
    """
    first, second = FACTORS[operator]
    a, b = args[first], args[second]
    if operator == "aten::sparse_sampled_addmm":
        entries = stored(args[0])
        return None if entries is None else entries * int(a.shape[-1])
    if is_sparse(a) and is_sparse(b):
        return _meetings(a, b) if a.dim() == b.dim() == 2 else None
    if is_sparse(a):
        entries = stored(a)
        if operator == "aten::linear":
            times = prod(b.shape[:-1])
        else:
            columns = b.shape[-1] if b.dim() > 1 else 1
            times = columns * (prod(b.shape[:-2]) if a.dim() == 2 else 1)
    elif is_sparse(b):
        entries = stored(b)
        times = a.shape[-2] if b.dim() > 2 else prod(a.shape[:-1])
    else:  # what is added is sparse, what is multiplied is not
        return None
    return None if entries is None else entries * times


def _meetings(a: Tensor, b: Tensor) -> int | None:
    if a.is_meta or b.is_meta:
        return None
    columns = torch.bincount(_coordinates(a)[1], minlength=a.shape[1])
    rows = torch.bincount(_coordinates(b)[0], minlength=b.shape[0])
    return int((columns * rows).sum())


def _coordinates(tensor: Tensor) -> Tensor:
    return tensor.to_sparse(layout=torch.sparse_coo)._indices()


def dense_macs(operator: str, args: Args) -> int:
    """Return what the product would cost if nothing were sparse."""
    macs = linear_macs if operator == "aten::linear" else matmul_macs
    a, b = (args[at].shape for at in FACTORS[operator])
    return macs(a, b, out=_product(operator, args).shape)


def product_without_values(func: Any, operator: str, args: Args, kwargs: Kwargs) -> Any:
    """Return the result of a product with a sparse factor: on meta if one is, else torch's own.

    Raises:
        NotImplementedError: Both factors are sparse and one is on meta: what the result stores
            depends on values.
    """
    factors = [args[at] for at in FACTORS[operator]]
    if not any(tensor.is_meta for tensor in tensors_in(args)):
        return func(*args, **kwargs)
    if all(map(is_sparse, factors)) or operator == "aten::sparse_sampled_addmm":
        raise NotImplementedError("what a product of sparse tensors stores is not known on meta")
    return _product(operator, args)


def _product(operator: str, args: Args) -> Tensor:
    factors = [args[at] for at in FACTORS[operator]]
    a, b = (torch.empty(one.shape, dtype=one.dtype, device="meta") for one in factors)
    return torch.nn.functional.linear(a, b) if operator == "aten::linear" else torch.matmul(a, b)
