"""Products with sparse tensors: every stored entry meets each row or column of the other factor, by hand."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.tracing.sparse import nbytes_of, sparse_macs, stored

pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    COO = torch.sparse_coo_tensor(EDGES, torch.ones(6), (6, 6))
    CSR, CSC = COO.to_sparse_csr(), COO.to_sparse_csc()
LAYOUTS = {"coo": COO, "csr": CSR, "csc": CSC}

LINEAR = 6 * 8 * 4
PRODUCT = 6 * 4
"""Six entries, each of which meets the four values of a row."""


class Graph(nn.Module):
    """A graph convolution: features through a linear layer, then along six edges."""

    def __init__(
        self, adjacency: Tensor, held_as: str, multiply: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.linear, self.multiply = nn.Linear(8, 4, bias=False), multiply
        match held_as:
            case "attribute":
                self.adjacency = adjacency
            case "buffer":
                self.register_buffer("adjacency", adjacency)
            case "parameter":
                self.adjacency = nn.Parameter(adjacency)

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(self.adjacency, self.linear(x))


class Given(nn.Module):
    """The same with the adjacency as an input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ self.linear(x)


class Made(nn.Module):
    """The same with the adjacency made in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4, bias=False)
        self.register_buffer("edges", EDGES)
        self.register_buffer("weights", torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse_coo_tensor(self.edges, self.weights, (6, 6)) @ self.linear(x)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sparse.mm": torch.sparse.mm,
    "@": lambda a, x: a @ x,
    "mm": torch.mm,
    "spmm": torch.spmm,
    "addmm": lambda a, x: torch.addmm(x, a, x),
    "sparse.addmm": lambda a, x: torch.sparse.addmm(x, a, x),
    "from the right": lambda a, x: (x.t() @ a).t(),
    "transposed": lambda a, x: a.t() @ x,
    "transposed twice": lambda a, x: a.transpose(0, 1).T @ x,
    "coalesced": lambda a, x: a.coalesce() @ x,
    "made anew": lambda a, x: torch.sparse.mm(a.to_dense().to_sparse(), x),
    "softmax": lambda a, x: torch.sparse.mm(torch.sparse.softmax(a * 2, 1), x),
}


@pytest.mark.parametrize("held_as", ["attribute", "buffer", "parameter"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sparse_adjacency_costs_its_edges_however_it_is_held(layout: str, held_as: str) -> None:
    model = Graph(LAYOUTS[layout], held_as, torch.sparse.mm)
    report = dscost.analyze(model, input=(6, 8))
    assert report.totals.as_is.macs == LINEAR + PRODUCT
    assert report.coverage.unknown == ()
    assert "Products with sparse tensors count by the entries that are stored." in report.warnings


@pytest.mark.parametrize("way", WAYS)
def test_a_sparse_adjacency_costs_its_edges_however_it_is_multiplied(way: str) -> None:
    dscost.analyze(Graph(COO, "buffer", WAYS[way]), input=(6, 8))
    report = dscost.analyze(
        Graph(COO, "buffer", WAYS[way]), input=(6, 8)
    )  # an operator met for the second time
    assert (report.totals.as_is.macs, report.coverage.unknown) == (LINEAR + PRODUCT, ())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sparse_input_costs_its_edges_and_has_a_size(layout: str) -> None:
    adjacency = LAYOUTS[layout]
    cost = dscost.analyze(Given(), input=(torch.zeros(6, 8), adjacency)).totals.as_is
    assert cost.macs == LINEAR + PRODUCT
    assert cost.input_bytes == 4 * 6 * 8 + nbytes_of(adjacency)


def test_sparse_tensors_made_in_the_forward_pass_are_seen_on_meta() -> None:
    report = dscost.analyze(Made(), input=(6, 8))
    assert (report.totals.as_is.macs, report.doubts) == (LINEAR + PRODUCT, ())


def test_a_sparse_weight_of_a_linear_layer_costs_and_holds_its_entries() -> None:
    class Pruned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(CSR)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight)

    cost = dscost.analyze(Pruned(), input=(5, 6)).totals.as_is
    assert (cost.macs, cost.params) == (5 * 6, 6)
    assert cost.weight_bytes == 4 * 6 + 8 * 7 + 8 * 6  # values, where rows begin, columns


def test_of_two_sparse_factors_columns_meet_rows() -> None:
    a = torch.sparse_coo_tensor(torch.tensor([[0, 1, 2, 2], [0, 0, 0, 1]]), torch.ones(4), (3, 2))
    b = torch.sparse_coo_tensor(torch.tensor([[0, 0, 1], [0, 1, 0]]), torch.ones(3), (2, 4))
    assert sparse_macs("aten::mm", (a, b)) == 3 * 2 + 1 * 1


def test_a_batch_of_sparse_matrices_costs_all_of_their_entries() -> None:
    class Batch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.adjacency = torch.stack([COO, COO])

        def forward(self, x: Tensor) -> Tensor:
            return torch.bmm(self.adjacency, x)

    assert dscost.analyze(Batch(), input=(2, 6, 4)).totals.as_is.macs == 2 * 6 * 4


def test_a_sparse_matrix_times_a_vector_costs_its_entries() -> None:
    model = Graph(COO, "attribute", lambda a, x: torch.mv(a, x[:, 0]))
    assert dscost.analyze(model, input=(6, 8)).totals.as_is.macs == LINEAR + 6


def test_how_much_an_empty_sparse_tensor_on_meta_stores_is_unknown() -> None:
    empty = torch.empty((6, 6), layout=torch.sparse_coo, device="meta")
    assert stored(empty) is None
    report = dscost.analyze(Graph(empty, "attribute", torch.mm), input=(6, 8))
    assert report.totals.as_is.macs == LINEAR
    assert report.coverage.unknown == ("aten::mm (1×)",)


def test_training_multiplies_each_stored_entry_once_more_for_the_gradient_of_the_features() -> None:
    cost = dscost.analyze(
        Graph(COO, "buffer", torch.sparse.mm), input=(6, 8), train=True
    ).totals.as_is
    assert cost.macs == 2 * LINEAR + 2 * PRODUCT  # of the input no gradient is wanted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_with_a_sparse_tensor_can_run_for_real(layout: str) -> None:
    def looking_at_values(a: Tensor, x: Tensor) -> Tensor:
        return torch.sparse.mm(a, x) if x.sum().item() < 1e9 else x

    report = dscost.analyze(Graph(LAYOUTS[layout], "parameter", looking_at_values), input=(6, 8))
    assert report.totals.as_is.macs == LINEAR + PRODUCT
    assert [doubt.kind for doubt in report.doubts] == ["value_dependent"]


def test_the_model_keeps_its_sparse_tensor() -> None:
    model = Graph(COO, "parameter", torch.sparse.mm)
    held = model.adjacency
    dscost.analyze(model, input=(6, 8))
    assert model.adjacency is held
    assert torch.equal(held.detach().to_dense(), COO.to_dense())
