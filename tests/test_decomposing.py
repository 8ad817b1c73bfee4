"""Kernels become depthwise-separable ones in the best way there is, in either order of the two stages."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import law
from torch import Tensor

from dscost.converting.decomposing import Decomposition, Factors, max_rank
from dscost.converting.decomposing import composed as composed_by_numpy
from dscost.layers.orders import ORDERS, POINTWISE_FIRST, Order

SHAPES = {
    "3×3": ((8, 6, 3, 3), 1),
    "rectangular": ((8, 6, 5, 3), 1),
    "in groups": ((12, 2, 3, 3), 4),
    "fewer filters than taps": ((4, 6, 3, 3), 1),
    "one filter per group": ((4, 2, 3, 3), 4),
    "fewer inputs than taps": ((8, 4, 3, 3), 1),
    "1-D": ((8, 6, 5), 1),
    "3-D": ((8, 3, 2, 3, 2), 2),
}
every_shape = pytest.mark.parametrize(("shape", "groups"), SHAPES.values(), ids=SHAPES)
every_order = pytest.mark.parametrize("order", ORDERS)
FIRST: Order = "depthwise-first"


def random_kernel(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decompose(
    kernel: Tensor, rank: int, groups: int, weighing: Tensor | None = None, order: Order = FIRST
) -> Factors:
    return Decomposition(kernel, groups, weighing, order).at(rank)


def relative_errors(kernel: Tensor, groups: int, order: Order = FIRST) -> tuple[float, ...]:
    return Decomposition(kernel, groups, order=order).errors


def composed(parts: Factors, kernel_shape: Sequence[int], groups: int) -> Tensor:
    """The kernel `(N, M/G, Kh, Kw)` that depthwise-separable kernels amount to."""
    outputs, channels, *kernel_size = kernel_shape
    if parts.order == POINTWISE_FIRST:
        mixing = parts.pointwise.reshape(outputs, -1, channels)
        kernel = torch.einsum("ntm,ntk->nmk", mixing, parts.depthwise.flatten(2))
        return kernel.reshape(outputs, channels, *kernel_size)
    rank = parts.pointwise.shape[1] // channels
    mixing = parts.pointwise.reshape(groups, outputs // groups, channels, rank)
    filters = parts.depthwise.reshape(groups, channels, rank, -1)
    return torch.einsum("gnmt,gmtk->gnmk", mixing, filters).reshape(outputs, channels, *kernel_size)


def relative_error(kernel: Tensor, rank: int, groups: int, order: Order = FIRST) -> float:
    """Read off the kernel itself."""
    parts = decompose(kernel, rank, groups, order=order)
    return float((kernel - composed(parts, kernel.shape, groups)).norm() / kernel.norm())


def matrices_of(kernel: Tensor, groups: int, order: Order) -> list[Tensor]:
    """What every channel with filters of its own gives: an input channel to its outputs, or to an output its inputs."""
    if order == POINTWISE_FIRST:
        return [one.flatten(1) for one in kernel]
    of_groups = kernel.chunk(groups)
    return [one[:, m].flatten(1) for one in of_groups for m in range(kernel.shape[1])]


def errors_by_hand(kernel: Tensor, groups: int, order: Order = FIRST) -> list[float]:
    """The closed form, channel by channel."""
    beyond = [0.0] * max_rank(kernel.shape, groups, order)
    for matrix in matrices_of(kernel, groups, order):
        squares = torch.linalg.svdvals(matrix) ** 2
        beyond = [
            so_far + float(squares[rank:].sum()) for rank, so_far in enumerate(beyond, start=1)
        ]
    return [sqrt(energy) / float(kernel.norm()) for energy in beyond]


@every_shape
@every_order
def test_every_rank_has_the_error_of_the_closed_form(
    shape: tuple[int, ...], groups: int, order: Order
) -> None:
    kernel = random_kernel(shape)
    expected = errors_by_hand(kernel, groups, order)
    assert len(expected) == min(kernel[0, 0].numel(), len(matrices_of(kernel, groups, order)[0]))
    assert relative_errors(kernel, groups, order) == pytest.approx(expected, abs=1e-12)
    ranks = range(1, len(expected) + 1)
    assert [decompose(kernel, rank, groups, order=order).error for rank in ranks] == list(
        relative_errors(kernel, groups, order)
    )
    found = [relative_error(kernel, rank, groups, order) for rank in ranks]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[-1] < 1e-14


@every_shape
@every_order
def test_without_torch_the_same_comes_of_it(
    shape: tuple[int, ...], groups: int, order: Order
) -> None:
    kernel = random_kernel(shape)
    rank = min(2, max_rank(shape, groups, order))
    parts = Decomposition(kernel.numpy(), groups, order=order).at(rank)
    expected = composed(decompose(kernel, rank, groups, order=order), shape, groups)
    assert composed_by_numpy(parts, shape, groups) == pytest.approx(expected.numpy(), abs=1e-12)


@every_shape
def test_the_parts_are_what_the_layer_holds(shape: tuple[int, ...], groups: int) -> None:
    """M·T filters of norm 1; each filter of a group mixes those of its own channels."""
    parts = decompose(random_kernel(shape), 2 if max_rank(shape, groups) > 1 else 1, groups)
    rank = min(2, max_rank(shape, groups))
    assert parts.depthwise.shape == (shape[1] * groups * rank, 1, *shape[2:])
    assert parts.pointwise.shape == (shape[0], shape[1] * rank, *(1 for _ in shape[2:]))
    assert parts.depthwise.flatten(1).norm(dim=1).tolist() == pytest.approx(
        [1] * len(parts.depthwise)
    )


@every_shape
def test_pointwise_first_every_output_has_filters_of_its_own(
    shape: tuple[int, ...], groups: int
) -> None:
    rank = min(2, max_rank(shape, groups, POINTWISE_FIRST))
    parts = decompose(random_kernel(shape), rank, groups, order=POINTWISE_FIRST)
    assert parts.depthwise.shape == (shape[0], rank, *shape[2:])
    assert parts.pointwise.shape == (shape[0] * rank, shape[1], *(1 for _ in shape[2:]))
    assert parts.in_order == (parts.pointwise, parts.depthwise)
    assert parts.depthwise.flatten(2).norm(dim=2).flatten().tolist() == pytest.approx(
        [1] * shape[0] * rank
    )


def test_scaled_blueprints_are_found_again_and_are_not_depthwise_first() -> None:
    blueprints, scales = random_kernel((8, 1, 3, 3), 1), random_kernel((8, 6, 1, 1), 2)
    kernel = scales * blueprints
    assert relative_errors(kernel, 1, POINTWISE_FIRST)[0] < 1e-14
    assert relative_error(kernel, 1, 1, POINTWISE_FIRST) < 1e-14
    assert relative_errors(kernel, 1)[0] > 0.1


def test_a_layer_that_is_separable_already_is_found_again() -> None:
    depthwise, pointwise = random_kernel((6, 1, 3, 3), 1), random_kernel((8, 6, 1, 1), 2)
    kernel = pointwise * depthwise[:, 0]
    assert relative_errors(kernel, 1)[0] < 1e-14
    assert relative_error(kernel, 1, 1) < 1e-14


def test_a_kernel_of_zeros_has_no_error() -> None:
    kernel = torch.zeros(4, 3, 3, 3)
    assert relative_errors(kernel, 1) == (0,) * 4
    assert not composed(decompose(kernel, 1, 1), kernel.shape, 1).any()


def test_random_weights_have_the_error_that_their_spectrum_predicts() -> None:
    """N = 128, K = 3: `sqrt(1 − (1 + K/√N)²/K²)`; the largest singular value stays a little below its limit."""
    predicted = sqrt(1 - (1 + 3 / sqrt(128)) ** 2 / 9)
    assert predicted == pytest.approx(0.907, abs=0.0005)
    assert relative_errors(random_kernel((128, 64, 3, 3)), 1)[0] == pytest.approx(
        predicted, abs=0.012
    )


def test_half_precision_is_decomposed_in_double() -> None:
    kernel = random_kernel((8, 6, 3, 3)).bfloat16()
    assert decompose(kernel, 9 - 1, 1).pointwise.dtype == torch.float64
    assert relative_errors(kernel, 1) == pytest.approx(
        errors_by_hand(kernel.double(), 1), abs=1e-12
    )


def alternated(
    kernel: Tensor, rank: int, groups: int, seed: int, order: Order = FIRST, rounds: int = 60
) -> Tensor:
    """Fit filters to mixing weights and mixing weights to filters by least squares, from a random start."""
    matrices = torch.stack(matrices_of(kernel, groups, order))
    filters = torch.randn(
        len(matrices),
        rank,
        matrices.shape[2],
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    for _ in range(rounds):
        mixing = torch.linalg.lstsq(filters.mT, matrices.mT).solution.mT
        filters = torch.linalg.lstsq(mixing, matrices).solution
    return (matrices - mixing @ filters).norm() / kernel.norm()


@law
@given(
    groups=st.integers(1, 3),
    outputs=st.integers(2, 5),
    channels=st.integers(1, 3),
    size=st.one_of(
        st.tuples(st.integers(2, 4)),
        st.tuples(st.integers(1, 3), st.integers(2, 3)),
        st.tuples(st.integers(1, 2), st.integers(1, 2), st.just(2)),
    ),
    rank=st.integers(1, 2),
    seed=st.integers(0, 1000),
    order=st.sampled_from(ORDERS),
)
def test_no_depthwise_separable_weights_have_a_smaller_error(
    groups: int,
    outputs: int,
    channels: int,
    size: tuple[int, ...],
    rank: int,
    seed: int,
    order: Order,
) -> None:
    kernel = random_kernel((groups * outputs, channels, *size), seed)
    rank = min(rank, max_rank(kernel.shape, groups, order))
    found = relative_error(kernel, rank, groups, order)
    rivals = [float(alternated(kernel, rank, groups, seed + more, order)) for more in (1, 2, 3)]
    assert found <= min(rivals) * (1 + 1e-6) + 1e-12
    assert found == pytest.approx(relative_errors(kernel, groups, order)[rank - 1], abs=1e-9)


@every_order
def test_alternating_least_squares_is_a_rival_that_comes_near(order: Order) -> None:
    kernel = random_kernel((6, 3, 3, 3))
    assert float(alternated(kernel, 1, 1, 1, order)) == pytest.approx(
        relative_errors(kernel, 1, order)[0], abs=1e-3
    )


def test_a_weighing_measures_distance_in_it() -> None:
    """Channel by channel the error `tr((A − Â) S (A − Â)ᵀ)` is that of the weighed singular values, and no larger
    than the plain decomposition's.
    """
    kernel = random_kernel((6, 4, 3, 3))
    roots = random_kernel((4, 9, 20), 3)
    moments = roots @ roots.mT

    def weighed(parts: Tensor) -> float:
        left = (kernel - parts).flatten(2).transpose(0, 1)
        return float((left @ moments @ left.mT).diagonal(dim1=1, dim2=2).sum())

    parts = decompose(kernel, 2, 1, moments)
    best = weighed(composed(parts, kernel.shape, 1))
    assert best < weighed(composed(decompose(kernel, 2, 1), kernel.shape, 1))
    assert sqrt(best / weighed(torch.zeros_like(kernel))) == pytest.approx(parts.error, abs=1e-12)
    assert parts.depthwise.flatten(1).norm(dim=1).tolist() == pytest.approx([1] * 8)


def test_equal_weights_of_all_taps_change_nothing() -> None:
    kernel = random_kernel((6, 4, 3, 3))
    alike = 3 * torch.eye(9, dtype=torch.float64).expand(4, 9, 9)
    plain, weighed = (composed(decompose(kernel, 1, 1, w), kernel.shape, 1) for w in (None, alike))
    assert torch.allclose(plain, weighed, atol=1e-12)


def test_small_matrices_are_taken_apart_on_one_thread_and_the_others_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    svd, threads = torch.linalg.svd, []

    def noting(*given: Any, **options: Any) -> Any:
        threads.append(torch.get_num_threads())
        return svd(*given, **options)

    monkeypatch.setattr(torch.linalg, "svd", noting)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        relative_errors(random_kernel((8, 6, 3, 3)), 1)
        assert (set(threads), torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)
