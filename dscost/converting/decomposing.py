"""Kernels → the best depthwise-separable kernels in their place, in closed form.

A kernel `W[n, m, :, :]` of N filters in G groups is one matrix per input channel m, `A_m` of
`N/G × Kh·Kw`: what the channel contributes to each filter of its group. A depthwise-separable layer
of multiplier T gives every channel T spatial filters, the rows of `D_m`, and mixes them with
weights `P_m`: it has `P_m · D_m`, of rank T, in place of `A_m`. Channels do not interact, so the
best it can be is the best approximation of rank T of each `A_m` by itself, which is its singular
value decomposition cut off after T values.

Pointwise-first it is the mirror: one matrix per output channel n, `A_n = W[n]` of `M/G × Kh·Kw`, in
whose place the layer has `P_n · D_n`, the T blueprints of the output channel and the weights that
mix the inputs for each. Output channels do not interact either.

Everything is computed on the CPU in float64, whatever the dtype and the device of the kernel, in
arrays of numpy. A kernel may be a tensor of torch: then what comes of it is one too, and torch
finds the singular values. Without one nothing here needs torch.

Source:
    Guo et al. 2018, Network Decoupling (arXiv:1808.05517), both orders; Eckart and Young 1936 for
    the optimum.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from dscost.layers.orders import DEPTHWISE_FIRST, Order

Array = Any
"""An array of numpy, or a tensor of torch."""

AT_A_TIME = 64
"""How many matrices numpy is given at once: few enough to stay in the caches."""


class Factors(NamedTuple):
    """Kernels of both stages in the place of a convolution, in float64.

    Args:
        depthwise: `(M·T, 1, Kh, Kw)`; filter `m·T + t` is of input channel m, and of norm 1 unless
            that is all zeros. Pointwise-first `(N, T, Kh, Kw)`, T filters of norm 1 for each
            output.
        pointwise: `(N, M·T/G, 1, 1)`. Pointwise-first `(N·T, M/G, 1, 1)`; what filter `n·T + t`
            makes is read by output channel n alone.
        error: Relative, 0 to 1, in what distance was measured in.
        order: Which of both runs first.
    """

    depthwise: Array
    pointwise: Array
    error: float
    order: Order = DEPTHWISE_FIRST

    @property
    def in_order(self) -> tuple[Array, Array]:
        """Both, as they run."""
        both = self.depthwise, self.pointwise
        return both if self.order == DEPTHWISE_FIRST else both[::-1]

    def rounded(self, dtype: np.dtype) -> "Factors":
        """Return the same in another dtype of numpy."""
        with np.errstate(over="ignore"):
            both = self.depthwise.astype(dtype), self.pointwise.astype(dtype)
        return self._replace(depthwise=both[0], pointwise=both[1])


def max_rank(kernel_shape: Sequence[int], groups: int, order: Order = DEPTHWISE_FIRST) -> int:
    """Return the rank at which any kernel `(N, M/G, Kh, Kw)` is reproduced: `min(Kh·Kw, N/G)`.

    Pointwise-first it is `min(Kh·Kw, M/G)`.

    >>> max_rank((64, 32, 3, 3), groups=1), max_rank((8, 4, 3, 3), groups=2)
    (9, 4)
    >>> max_rank((64, 3, 3, 3), groups=1, order="pointwise-first")
    3
    """
    _, rows = _Cut(tuple(kernel_shape), groups, order).sides
    return min(prod(kernel_shape[2:]), rows)


class Decomposition:
    """The depthwise-separable kernels nearest to a kernel, of every rank, in one order.

    It is worked out once, when it is first asked for. What is kept of it is small: the filters of a
    channel tell the weights that mix them best, `A · Dᵀ`.

    Args:
        kernel: `(N, M/G, Kh, Kw)`, with one to three spatial dimensions.
        groups: G.
        weighing: What distance is measured in: per channel that has filters of its own a positive
            definite `Kh·Kw × Kh·Kw` matrix, such as the second moments of its patches; the plain
            sum of squares when not given.
        order: Which stage runs first.
    """

    def __init__(
        self,
        kernel: Array,
        groups: int,
        weighing: Array | None = None,
        order: Order = DEPTHWISE_FIRST,
    ) -> None:
        self._kernel, self._weighing = kernel, weighing
        self._cut = _Cut(tuple(kernel.shape), groups, order)

    @property
    def errors(self) -> tuple[float, ...]:
        """`ε_T` for T = 1, 2, … `max_rank`: what of the norm a layer of that rank cannot have.

        `ε_T = sqrt(Σ_i Σ_{j>T} s²_{i,j} / Σ_i Σ_j s²_{i,j})` of the singular values of the
        matrices of the channels. Unweighed, it is also the relative RMS error of the output for
        white input; it says nothing of the accuracy of a network.
        """
        _, _, errors = self._found
        return errors

    def at(self, rank: int) -> Factors:
        """Return the kernels of a rank T, from 1 to `max_rank`."""
        filters, mixers, errors = self._found
        mixing = self._cut.matrices(as_array(self._kernel)) @ mixers[:, :, :rank]
        both = self._cut.kernels(filters[:, :rank], mixing)
        depthwise, pointwise = (_like(self._kernel, one) for one in both)
        return Factors(depthwise, pointwise, errors[rank - 1], self._cut.order)

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
        """All filters `(channels, ranks, Kh·Kw)`, what makes mixing weights of `A`, the errors."""
        matrices, by_torch = self._cut.matrices(as_array(self._kernel)), _is_tensor(self._kernel)
        if self._weighing is None:
            values, filters = _svd(matrices, by_torch)
            return filters, filters.swapaxes(1, 2), _errors(values)
        root, inverse = _square_root(as_array(self._weighing), by_torch)
        values, right = _svd(matrices @ root, by_torch)
        filters, mixers = right @ inverse, root @ right.swapaxes(1, 2)
        lengths = np.linalg.norm(filters, axis=2)
        return filters / lengths[:, :, None], mixers * lengths[:, None, :], _errors(values)


def composed(parts: Factors, kernel_shape: Sequence[int], groups: int) -> np.ndarray:
    """Return the kernel `(N, M/G, Kh, Kw)` that both stages make together, in float64."""
    cut = _Cut(tuple(kernel_shape), groups, parts.order)
    filters, mixing = as_array(parts.depthwise), as_array(parts.pointwise)
    return cut.kernel(cut.mixing(mixing) @ cut.filters(filters))


class _Cut(NamedTuple):
    """How a kernel is cut into a matrix per channel, and what comes of these put together again.

    Args:
        shape: `(N, M/G, Kh, Kw)`.
        groups: G.
        order: Whether it is the M input channels that have filters of their own, or the N outputs.
    """

    shape: tuple[int, ...]
    groups: int
    order: Order

    @property
    def sides(self) -> tuple[int, int]:
        """How many channels of a group have filters of their own, and the rows of their matrix."""
        outputs, inputs = self.shape[0] // self.groups, self.shape[1]
        return (inputs, outputs) if self.order == DEPTHWISE_FIRST else (outputs, inputs)

    def matrices(self, kernel: np.ndarray) -> np.ndarray:
        """Return `A_m` of `N/G × Kh·Kw` for every input channel, or `A_n` of `M/G × Kh·Kw`."""
        own, rows = self.sides
        outputs, inputs = self.shape[:2]
        by_group = kernel.reshape(self.groups, outputs // self.groups, inputs, -1)
        return self._turned(by_group).reshape(self.groups * own, rows, -1)

    def kernel(self, matrices: np.ndarray) -> np.ndarray:
        """Return the kernel that is cut into some matrices."""
        by_group = matrices.reshape(self.groups, *self.sides, -1)
        return self._turned(by_group).reshape(self.shape)

    def _turned(self, by_group: np.ndarray) -> np.ndarray:
        return by_group.swapaxes(1, 2) if self.order == DEPTHWISE_FIRST else by_group

    def kernels(self, filters: np.ndarray, mixing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both kernels.

        Args:
            filters: `(channels, T, Kh·Kw)`.
            mixing: `(channels, rows, T)`.
        """
        outputs, _, *extent = self.shape
        by_group = mixing.reshape(self.groups, *self.sides, -1).transpose(_AS_KERNEL[self.order])
        rank, ones = mixing.shape[2], (1,) * len(extent)
        if self.order == DEPTHWISE_FIRST:
            return filters.reshape(-1, 1, *extent), by_group.reshape(outputs, -1, *ones)
        return filters.reshape(-1, rank, *extent), by_group.reshape(outputs * rank, -1, *ones)

    def filters(self, depthwise: np.ndarray) -> np.ndarray:
        """Return filters as `kernels` takes them."""
        own, _ = self.sides
        return depthwise.reshape(self.groups * own, -1, prod(self.shape[2:]))

    def mixing(self, pointwise: np.ndarray) -> np.ndarray:
        """Return mixing weights as `kernels` takes them."""
        own, rows = self.sides
        sides = (rows, own, -1) if self.order == DEPTHWISE_FIRST else (own, -1, rows)
        by_group = pointwise.reshape(self.groups, *sides).transpose(_AS_KERNEL[self.order])
        return by_group.reshape(self.groups * own, rows, -1)


_AS_KERNEL: Mapping[Order, tuple[int, ...]] = {
    "depthwise-first": (0, 2, 1, 3),
    "pointwise-first": (0, 1, 3, 2),
}
"""Mixing weights by group, `(G, channels, rows, T)`, as the 1×1 has them, and back."""


# -- arrays


def _is_tensor(array: Array) -> bool:
    return hasattr(array, "detach")


def as_array(array: Array) -> np.ndarray:
    """Return an array of numpy in float64, of a tensor or an array of any dtype."""
    if _is_tensor(array):
        array = array.detach().cpu().double().numpy()
    return np.asarray(array, np.float64)


def _like(kernel: Array, array: np.ndarray) -> Array:
    """Return an array as a tensor where the kernel is one."""
    if not _is_tensor(kernel):
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def _errors(values: np.ndarray) -> tuple[float, ...]:
    """Return `ε_T` for T = 1, 2, … of singular values `(M, ranks)`; 0 for a kernel of zeros."""
    energies = np.square(values).sum(0)
    total = float(energies.sum())
    # small ones first, to lose none of them
    beyond = energies[::-1].cumsum()[::-1][1:].tolist()
    return tuple(sqrt(energy / total) if total else 0.0 for energy in [*beyond, 0.0])


# -- linear algebra


def _svd(matrices: np.ndarray, by_torch: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular values of every matrix, largest first, and its right singular vectors."""
    if by_torch:
        import torch

        with _one_thread():
            _, values, right = torch.linalg.svd(torch.from_numpy(matrices), full_matrices=False)
        return values.numpy(), right.numpy()
    found = []
    for at in range(0, len(matrices), AT_A_TIME):
        some = matrices[at : at + AT_A_TIME]
        if some.shape[1] > some.shape[2]:  # the triangle has the same values and right vectors
            some = np.asarray(np.linalg.qr(some, mode="r"))
        found.append(np.linalg.svd(some, full_matrices=False)[1:])
    values, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return values, right


def _square_root(moments: np.ndarray, by_torch: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the square roots of symmetric positive definite matrices, and their inverses."""
    if by_torch:
        import torch

        with _one_thread():
            found = torch.linalg.eigh(torch.from_numpy(moments))
        values, vectors = (one.numpy() for one in found)
    else:
        values, vectors = np.linalg.eigh(moments)
    roots = np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))[:, None, :]
    transposed = vectors.swapaxes(1, 2)
    return (vectors * roots) @ transposed, (vectors / roots) @ transposed


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small matrices: several threads spend their time waiting for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
