"""Kernels → the best depthwise-separable kernels in their place, in closed form.

A kernel `W[n, m, :, :]` of N filters in G groups is one matrix per input channel m, `A_m` of `N/G ×
Kh·Kw`: what the channel contributes to each filter of its group. A depthwise-separable layer of
multiplier T gives every channel T spatial filters, the rows of `D_m`, and mixes them with weights
`P_m`: it has `P_m · D_m`, of rank T, in place of `A_m`. Channels do not interact, so the best it
can be is the best approximation of rank T of each `A_m` by itself, which is its singular value
decomposition cut off after T values.

Everything is computed on the CPU in float64, whatever the dtype and the device of the kernel.

Source:
    Guo et al. 2018, Network Decoupling (arXiv:1808.05517); Eckart and Young 1936 for the optimum.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor


class Decomposed(NamedTuple):
    """Kernels of a depthwise-separable layer, in float64.

    Args:
        depthwise: `(M·T, 1, Kh, Kw)`; filter `m·T + t` is of input channel m, and of norm 1 unless
            that is all zeros.
        pointwise: `(N, M·T/G, 1, 1)`.
        errors: `ε_T` for T = 1, 2, … `max_rank`, see `relative_errors`; in what distance was
            measured in.
    """

    depthwise: Tensor
    pointwise: Tensor
    errors: tuple[float, ...]


def max_rank(kernel_shape: Sequence[int], groups: int) -> int:
    """Return the rank at which any kernel `(N, M/G, Kh, Kw)` is reproduced: `min(Kh·Kw, N/G)`.

    >>> max_rank((64, 32, 3, 3), groups=1), max_rank((8, 4, 3, 3), groups=2)
    (9, 4)
    """
    return min(prod(kernel_shape[2:]), kernel_shape[0] // groups)


def decompose(kernel: Tensor, rank: int, groups: int, weighing: Tensor | None = None) -> Decomposed:
    """Return the depthwise-separable kernels nearest to a kernel.

    Args:
        kernel: `(N, M/G, Kh, Kw)`, with one to three spatial dimensions.
        rank: T, from 1 to `max_rank`.
        groups: G.
        weighing: What distance is measured in: per input channel a positive definite `Kh·Kw ×
            Kh·Kw` matrix, the second moments of its patches; the plain sum of squares when not
            given.
    """
    matrices = channel_matrices(kernel, groups)
    if weighing is None:
        left, values, right = _svd(matrices)
        filters, mixing = right[:, :rank], left[:, :, :rank] * values[:, None, :rank]
    else:
        root, inverse = _square_root(weighing)
        left, values, right = _svd(matrices @ root)
        filters, mixing = right[:, :rank] @ inverse, left[:, :, :rank] * values[:, None, :rank]
        lengths = filters.norm(dim=2)
        filters, mixing = filters / lengths[:, :, None], mixing * lengths[:, None, :]
    return Decomposed(
        _as_depthwise(filters, kernel), _as_pointwise(mixing, kernel, groups), _errors(values)
    )


def _svd(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    with _one_thread():
        left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    return left, values, right


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small matrices: several threads spend their time waiting for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def relative_errors(kernel: Tensor, groups: int) -> tuple[float, ...]:
    """Return `ε_T` for T = 1, 2, … `max_rank`: what of the kernel's norm a layer of that rank cannot have.

    `ε_T = sqrt(Σ_m Σ_{i>T} s²_{m,i} / Σ_m Σ_i s²_{m,i})` of the singular values of the channels'
    matrices. It is also the relative RMS error of the output for white input; it says nothing of
    the accuracy of a network.
    """
    with _one_thread():
        return _errors(torch.linalg.svdvals(channel_matrices(kernel, groups)))


def _errors(values: Tensor) -> tuple[float, ...]:
    """Return `ε_T` for T = 1, 2, … of singular values `(M, ranks)`; 0 for a kernel that is all zeros."""
    energies = values.square().sum(0)
    total = float(energies.sum())
    beyond = (
        energies.flip(0).cumsum(0).flip(0)[1:].tolist()
    )  # small ones first, to lose none of them
    return tuple(sqrt(energy / total) if total else 0.0 for energy in [*beyond, 0.0])


def channel_matrices(kernel: Tensor, groups: int) -> Tensor:
    """Return `A_m` for every input channel, `(M, N/G, Kh·Kw)`."""
    outputs, channels, *_ = kernel.shape
    values = kernel.detach().to("cpu", torch.float64)
    grouped = values.reshape(groups, outputs // groups, channels, -1)
    return grouped.transpose(1, 2).reshape(groups * channels, outputs // groups, -1)


def _as_depthwise(filters: Tensor, kernel: Tensor) -> Tensor:
    """Return filters `(M, T, Kh·Kw)` as a kernel."""
    return filters.reshape(-1, 1, *kernel.shape[2:])


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
