"""Kernels → the best depthwise-separable kernels in their place, in closed form.

A kernel `W[n, m, :, :]` of N filters in G groups is one matrix per input channel m, `A_m` of
`N/G × Kh·Kw`: what the channel contributes to each filter of its group. A depthwise-separable layer
of multiplier T gives every channel T spatial filters, the rows of `D_m`, and mixes them with
weights `P_m`: it has `P_m · D_m`, of rank T, in place of `A_m`. Channels do not interact, so the
best it can be is the best approximation of rank T of each `A_m` by itself, which is its singular
value decomposition cut off after T values.

Everything is computed on the CPU in float64, whatever the dtype and the device of the kernel.

Source:
    Guo et al. 2018, Network Decoupling (arXiv:1808.05517); Eckart and Young 1936 for the optimum.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor


class Factors(NamedTuple):
    """Kernels of a depthwise-separable layer, in float64.

    Args:
        depthwise: `(M·T, 1, Kh, Kw)`; filter `m·T + t` is of input channel m, and of norm 1 unless
            that is all zeros.
        pointwise: `(N, M·T/G, 1, 1)`.
        error: Relative, 0 to 1, in what distance was measured in.
    """

    depthwise: Tensor
    pointwise: Tensor
    error: float


def max_rank(kernel_shape: Sequence[int], groups: int) -> int:
    """Return the rank at which any kernel `(N, M/G, Kh, Kw)` is reproduced: `min(Kh·Kw, N/G)`.

    >>> max_rank((64, 32, 3, 3), groups=1), max_rank((8, 4, 3, 3), groups=2)
    (9, 4)
    """
    return min(prod(kernel_shape[2:]), kernel_shape[0] // groups)


class Decomposition:
    """The depthwise-separable kernels nearest to a kernel, of every rank.

    It is worked out once, when it is first asked for. What is kept of it is small: the filters of a
    channel tell the weights that mix them best, `A_m · D_mᵀ`.

    Args:
        kernel: `(N, M/G, Kh, Kw)`, with one to three spatial dimensions.
        groups: G.
        weighing: What distance is measured in: per input channel a positive definite
            `Kh·Kw × Kh·Kw` matrix, the second moments of its patches; the plain sum of squares when
            not given.
    """

    def __init__(self, kernel: Tensor, groups: int, weighing: Tensor | None = None) -> None:
        self._kernel, self._groups, self._weighing = kernel, groups, weighing

    @property
    def errors(self) -> tuple[float, ...]:
        """`ε_T` for T = 1, 2, … `max_rank`: what of the norm a layer of that rank cannot have.

        `ε_T = sqrt(Σ_m Σ_{i>T} s²_{m,i} / Σ_m Σ_i s²_{m,i})` of the singular values of the
        matrices of the channels. Unweighed, it is also the relative RMS error of the output for
        white input; it says nothing of the accuracy of a network.
        """
        _, _, errors = self._found
        return errors

    def at(self, rank: int) -> Factors:
        """Return the kernels of a rank T, from 1 to `max_rank`."""
        filters, mixers, errors = self._found
        mixing = _matrices(self._kernel, self._groups) @ mixers[:, :, :rank]
        return Factors(
            filters[:, :rank].reshape(-1, 1, *self._kernel.shape[2:]),
            _as_pointwise(mixing, self._kernel, self._groups),
            errors[rank - 1],
        )

    @cached_property
    def _found(self) -> tuple[Tensor, Tensor, tuple[float, ...]]:
        """All filters `(M, ranks, Kh·Kw)`, what makes mixing weights of `A_m`, and the errors."""
        matrices = _matrices(self._kernel, self._groups)
        if self._weighing is None:
            values, filters = _svd(matrices)
            return filters, filters.mT, _errors(values)
        root, inverse = _square_root(self._weighing)
        values, right = _svd(matrices @ root)
        filters, mixers = right @ inverse, root @ right.mT
        lengths = filters.norm(dim=2)
        return filters / lengths[:, :, None], mixers * lengths[:, None, :], _errors(values)


def _matrices(kernel: Tensor, groups: int) -> Tensor:
    """Return `A_m` for every input channel, `(M, N/G, Kh·Kw)`."""
    outputs, channels, *_ = kernel.shape
    values = kernel.detach().to("cpu", torch.float64)
    grouped = values.reshape(groups, outputs // groups, channels, -1)
    return grouped.transpose(1, 2).reshape(groups * channels, outputs // groups, -1)


def _svd(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the singular values of every matrix, largest first, and its right singular vectors."""
    with _one_thread():
        _, values, right = torch.linalg.svd(matrices, full_matrices=False)
    return values, right


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small matrices: several threads spend their time waiting for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _errors(values: Tensor) -> tuple[float, ...]:
    """Return `ε_T` for T = 1, 2, … of singular values `(M, ranks)`; 0 for a kernel of zeros."""
    energies = values.square().sum(0)
    total = float(energies.sum())
    # small ones first, to lose none of them
    beyond = energies.flip(0).cumsum(0).flip(0)[1:].tolist()
    return tuple(sqrt(energy / total) if total else 0.0 for energy in [*beyond, 0.0])


def _as_pointwise(mixing: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """Return mixing weights `(M, N/G, T)` as a kernel."""
    channels, filters, rank = mixing.shape
    by_group = mixing.reshape(groups, channels // groups, filters, rank).transpose(1, 2)
    ones = (1,) * (kernel.dim() - 2)
    return by_group.reshape(groups * filters, channels // groups * rank, *ones)


def _square_root(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the square roots of symmetric positive definite matrices, and their inverses."""
    with _one_thread():
        values, vectors = torch.linalg.eigh(moments)
    roots = values.clamp_min(torch.finfo(values.dtype).tiny).sqrt()
    return (vectors * roots[:, None, :]) @ vectors.mT, (vectors / roots[:, None, :]) @ vectors.mT
