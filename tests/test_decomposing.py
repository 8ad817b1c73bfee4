"""Kernels become depthwise-separable ones in the best way there is."""

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

SHAPES = {
    "3×3": ((8, 6, 3, 3), 1),
    "rectangular": ((8, 6, 5, 3), 1),
    "in groups": ((12, 2, 3, 3), 4),
    "fewer filters than taps": ((4, 6, 3, 3), 1),
    "one filter per group": ((4, 2, 3, 3), 4),
    "1-D": ((8, 6, 5), 1),
    "3-D": ((8, 3, 2, 3, 2), 2),
}
every_shape = pytest.mark.parametrize(("shape", "groups"), SHAPES.values(), ids=SHAPES)


def random_kernel(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decompose(kernel: Tensor, rank: int, groups: int, weighing: Tensor | None = None) -> Factors:
    return Decomposition(kernel, groups, weighing).at(rank)


def relative_errors(kernel: Tensor, groups: int) -> tuple[float, ...]:
    return Decomposition(kernel, groups).errors


def composed(parts: Factors, kernel_shape: Sequence[int], groups: int) -> Tensor:
    """The kernel `(N, M/G, Kh, Kw)` that depthwise-separable kernels amount to."""
    outputs, channels, *kernel_size = kernel_shape
    rank = parts.pointwise.shape[1] // channels
    mixing = parts.pointwise.reshape(groups, outputs // groups, channels, rank)
    filters = parts.depthwise.reshape(groups, channels, rank, -1)
    return torch.einsum("gnmt,gmtk->gnmk", mixing, filters).reshape(outputs, channels, *kernel_size)


def relative_error(kernel: Tensor, rank: int, groups: int) -> float:
    """Read off the kernel itself."""
    return float(
        (kernel - composed(decompose(kernel, rank, groups), kernel.shape, groups)).norm()
        / kernel.norm()
    )


def errors_by_hand(kernel: Tensor, groups: int) -> list[float]:
    """The closed form, channel by channel."""
    outputs, channels = kernel.shape[0] // groups, kernel.shape[1]
    beyond = [0.0] * max_rank(kernel.shape, groups)
    for group in range(groups):
        for channel in range(channels):
            matrix = kernel[group * outputs : (group + 1) * outputs, channel].flatten(1)
            squares = torch.linalg.svdvals(matrix) ** 2
            beyond = [
                so_far + float(squares[rank:].sum()) for rank, so_far in enumerate(beyond, start=1)
            ]
    return [sqrt(energy) / float(kernel.norm()) for energy in beyond]


@every_shape
def test_every_rank_has_the_error_of_the_closed_form(shape: tuple[int, ...], groups: int) -> None:
    kernel = random_kernel(shape)
    expected = errors_by_hand(kernel, groups)
    assert relative_errors(kernel, groups) == pytest.approx(expected, abs=1e-12)
    assert [decompose(kernel, rank, groups).error for rank in range(1, len(expected) + 1)] == list(
        relative_errors(kernel, groups)
    )
    found = [relative_error(kernel, rank, groups) for rank in range(1, len(expected) + 1)]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[-1] < 1e-14


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


def alternated(kernel: Tensor, rank: int, groups: int, seed: int, rounds: int = 60) -> Tensor:
    """Fit filters to mixing weights and mixing weights to filters by least squares, from a random start."""
    outputs, channels = kernel.shape[0] // groups, kernel.shape[1]
    area = kernel[0, 0].numel()
    matrices = (
        kernel.reshape(groups, outputs, channels, area).transpose(1, 2).reshape(-1, outputs, area)
    )
    filters = torch.randn(
        len(matrices),
        rank,
        area,
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
    size=st.tuples(st.integers(1, 3), st.integers(2, 3)),
    rank=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_no_depthwise_separable_weights_have_a_smaller_error(
    groups: int, outputs: int, channels: int, size: tuple[int, int], rank: int, seed: int
) -> None:
    kernel = random_kernel((groups * outputs, channels, *size), seed)
    rank = min(rank, max_rank(kernel.shape, groups))
    found, rival = (
        relative_error(kernel, rank, groups),
        float(alternated(kernel, rank, groups, seed + 1)),
    )
    assert found <= rival + 1e-9
    assert found == pytest.approx(relative_errors(kernel, groups)[rank - 1], abs=1e-9)


def test_alternating_least_squares_is_a_rival_that_comes_near() -> None:
    kernel = random_kernel((6, 3, 3, 3))
    assert float(alternated(kernel, 1, 1, seed=1)) == pytest.approx(
        relative_errors(kernel, 1)[0], abs=1e-3
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
