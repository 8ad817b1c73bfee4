"""Two counts of one model: when they agree, why they differ, and when neither is whole."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.cli import run
from dscost.errors import InputError
from dscost.traces.rules import FORMULAS

functional = nn.functional


class Runs(nn.Module):
    """A function of a linear layer's result as a model."""

    def __init__(self, function: Callable[..., Any], width: int = 8) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(width, width), function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(self.linear(tensors[0]), *tensors[1:])


class LooksAtValues(nn.Module):
    """A layer in a model that cannot run without values."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        result = self.layer(x)
        result = result[0] if isinstance(result, tuple) else result
        return result if result.sum().item() < 1e9 else result + 1


def _attention(x: Tensor) -> Tensor:
    heads = x.view(2, 4, 2, 4).transpose(1, 2)
    return functional.scaled_dot_product_attention(heads, heads, heads)


ADJACENCY = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def _sparse(x: Tensor) -> Tensor:
    return (
        torch.sparse_coo_tensor(ADJACENCY.to(x.device), torch.ones(4, device=x.device), (4, 4)) @ x
    )


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(8, 8)), {nn.Linear}, dtype=torch.qint8
    )


EXPLAINED: dict[str, tuple[Callable[[], nn.Module], Any, tuple[int, int], str]] = {
    "complex convolution": (
        lambda: nn.Conv2d(4, 8, 3, dtype=torch.complex64),
        torch.zeros(1, 4, 8, 8, dtype=torch.complex64),
        (4 * 10368, 3 * 10368),
        "FlopCounterMode does not count a complex product as four real ones",
    ),
    "complex linear": (
        lambda: nn.Linear(8, 4, dtype=torch.complex64),
        torch.zeros(2, 8, dtype=torch.complex64),
        (4 * 64, 64),
        "FlopCounterMode does not count a complex product as four real ones",
    ),
    "LSTM on the CPU": (
        lambda: LooksAtValues(nn.LSTM(8, 8, batch_first=True)),
        (2, 4, 8),
        (8 * 4 * 8 * 16, 0),
        "FlopCounterMode loses recurrent layers on the CPU",
    ),
    "attention on the CPU": (
        lambda: LooksAtValues(Runs(_attention)),
        (2, 4, 8),
        (8 * 64 + 2 * 2 * 4 * 4 * 8, 8 * 64),
        "FlopCounterMode loses fused attention on the CPU",
    ),
    "sparse": (
        lambda: Runs(_sparse),
        (4, 8),
        (4 * 64 + 4 * 8, 4 * 64 + 16 * 8),
        "FlopCounterMode counts sparse factors as dense ones, or not at all",
    ),
    "quantised": (
        quantised,
        (2, 8),
        (2 * 64, 0),
        "FlopCounterMode has no formula for quantized::linear_dynamic",
    ),
    "distances": (
        lambda: Runs(lambda x: torch.cdist(x, x)),
        (4, 8),
        (4 * 64 + 4 * 4 * 8, 4 * 64),
        "FlopCounterMode has no formula for aten::cdist",
    ),
    "a vector": (
        lambda: Runs(lambda x: x @ x[0]),
        (4, 8),
        (4 * 64 + 4 * 8, 4 * 64),
        "FlopCounterMode has no formula for products with a vector",
    ),
    "several": (
        lambda: Runs(lambda x: (torch.mv(x, x[0]), functional.pdist(x))),
        (4, 8),
        (4 * 64 + 4 * 8 + 6 * 8, 4 * 64),
        "FlopCounterMode has no formula for aten::mv, aten::pdist",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", EXPLAINED)
def test_what_torchs_counter_is_known_to_miscount_is_explained_and_is_no_failure(case: str) -> None:
    make, given, counts, reason = EXPLAINED[case]
    found = dscost.verify(make(), input=given)
    assert (found.ours, found.theirs) == counts
    assert [difference.reason for difference in found.differences] == [reason]
    assert (found.agrees, found.is_explained, found.partial) == (False, True, ())


def test_both_branches_of_a_condition_are_explained() -> None:
    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large, self.small = (
                nn.Linear(8, 16),
                nn.Sequential(nn.Linear(8, 1), nn.Linear(1, 16)),
            )

        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, lambda x: self.large(x), lambda x: self.small(x), (x,))

    found = dscost.verify(Choice(), input=(2, 8))
    assert found.ours == found.theirs == 2 * 8 * 16
    assert {one.reason for one in found.differences} == {
        "FlopCounterMode shows both branches of a torch.cond"
    }
    assert found.is_explained


def test_a_difference_that_its_cause_does_not_make_up_for_is_unknown() -> None:
    ours = FORMULAS["aten::mm"]
    try:
        dscost.register_formula("aten::mm")(lambda a, b, *, out: 7)
        found = dscost.verify(Runs(lambda x: (torch.mv(x, x[0]), torch.mm(x, x.t()))), input=(4, 8))
    finally:
        FORMULAS["aten::mm"] = ours
    assert [difference.reason for difference in found.differences] == ["unknown"]
    assert (found.agrees, found.is_explained) == (False, False)


@pytest.mark.parametrize(
    ("other", "macs"),
    [
        pytest.param(lambda x: x @ x.t(), 4 * 8 * 4, id="a product of matrices"),
        pytest.param(lambda x: functional.linear(x[0], x), 8 * 4, id="a linear layer of a vector"),
    ],
)
def test_a_product_that_torchs_counter_does_count_makes_up_for_no_other_difference(
    other: Callable[[Tensor], Tensor], macs: int
) -> None:
    ours, product = FORMULAS["aten::mm"], 4 * 8 * 4
    try:
        dscost.register_formula("aten::mm")(lambda a, b, *, out: product + macs)
        found = dscost.verify(Runs(lambda x: (torch.mm(x, x.t()), other(x))), input=(4, 8))
    finally:
        FORMULAS["aten::mm"] = ours
    assert (found.ours, found.theirs) == (4 * 64 + product + 2 * macs, 4 * 64 + product + macs)
    assert [difference.reason for difference in found.differences] == ["unknown"]


def test_counts_that_agree_leave_nothing_to_explain() -> None:
    found = dscost.verify(nn.Linear(8, 4), input=(2, 8))
    assert (found.ours, found.theirs, found.differences) == (2 * 8 * 4, 2 * 8 * 4, ())
    assert (found.agrees, found.is_explained) == (True, False)


OTHER = nn.Sequential(nn.Linear(8, 8))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """A thread of the model's own, gone afterwards."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


def test_what_another_thread_runs_meanwhile_is_no_part_of_a_model(
    pool: ThreadPoolExecutor,
) -> None:
    def meanwhile(x: Tensor) -> Tensor:
        pool.submit(lambda: OTHER(torch.zeros(2, 8))).result()
        return functional.linear(x, torch.ones(3, 8, device=x.device))

    pool.submit(int).result()  # a thread that was there before
    result = dscost.verify(nn.Sequential(Runs(meanwhile)), input=(2, 8))
    assert result.agrees
    assert (result.ours, result.theirs) == (2 * 8 * 8 + 2 * 8 * 3, 2 * 8 * 8 + 2 * 8 * 3)


def test_what_runs_in_a_thread_of_the_model_s_own_is_explained(
    pool: ThreadPoolExecutor,
) -> None:
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.here, self.there = nn.Linear(8, 4), nn.Sequential(nn.Linear(8, 2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            waiting = pool.submit(self.there, x)
            return self.here(x), waiting.result()

    found = dscost.verify(Parallel(), input=(2, 8))
    assert (found.ours, found.theirs) == (2 * 8 * 4 + 2 * 8 * 2, 2 * 8 * 4)
    assert {(one.module, one.reason) for one in found.differences} == {
        ("there.0", "FlopCounterMode does not see what runs in other threads")
    }
    assert found.is_explained


def test_counts_that_are_the_same_but_partial_do_not_agree() -> None:
    found = dscost.verify(Runs(torch.linalg.inv), input=(8, 8))
    assert (found.ours, found.theirs, found.differences) == (8 * 64, 8 * 64, ())
    assert found.partial == ("operators of unknown cost: aten::linalg_inv_ex (1×)",)
    assert (found.agrees, found.is_explained) == (False, False)


def test_models_that_torchs_counter_cannot_run_are_refused_with_what_it_does_not_know() -> None:
    from torch._higher_order_ops.while_loop import while_loop

    def loop(x: Tensor) -> Tensor:
        return (
            while_loop(lambda at, x: at < 5, lambda at, x: (at + 1, x.sin()), (torch.tensor(0), x))[
                1
            ]
            @ x
        )

    with pytest.raises(InputError) as caught:
        dscost.verify(Runs(loop), input=(8, 8))
    assert str(caught.value) == "FlopCounterMode cannot run Runs: it does not know while_loop"


NETWORKS = """
import torch
from torch import nn
class Complex(nn.Conv2d):
    def __init__(self): super().__init__(4, 8, 3, dtype=torch.complex64)
class Inverse(nn.Module):
    def forward(self, x): return torch.linalg.inv(x) @ x
class Real(nn.Conv2d):
    def __init__(self): super().__init__(4, 8, 3)
"""


@pytest.fixture
def networks(tmp_path: Path) -> str:
    path = tmp_path / "networks.py"
    path.write_text(NETWORKS)
    return str(path)


@pytest.mark.parametrize(
    ("model", "given", "exit_code", "last_line"),
    [
        ("Real", "1,4,8,8", 0, "Both agree, module by module."),
        (
            "Complex",
            "1,4,8,8:complex64",
            0,
            "They differ only by what FlopCounterMode is known to miscount.",
        ),
        (
            "Inverse",
            "4,4",
            2,
            "Neither count is whole: operators of unknown cost: aten::linalg_inv_ex (1×).",
        ),
    ],
)
def test_the_command_fails_where_a_difference_is_not_explained_or_the_count_not_whole(
    capsys: pytest.CaptureFixture[str],
    networks: str,
    model: str,
    given: str,
    exit_code: int,
    last_line: str,
) -> None:
    assert run(["verify", f"{networks}:{model}", "--input", given]) == exit_code
    assert capsys.readouterr().out.splitlines()[-1] == last_line


def test_the_json_says_whether_a_difference_is_explained_and_what_is_missing(networks: str) -> None:
    found = dscost.verify(
        f"{networks}:Complex", input=torch.zeros(1, 4, 8, 8, dtype=torch.complex64)
    ).to_dict()
    assert (found["agrees"], found["explained"], found["partial"]) == (False, True, [])
    assert "Complex multiply-accumulates count as four real ones." in found["notes"]
