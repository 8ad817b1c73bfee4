"""Operators that run functions: what they run is counted, or named; by hand and by torch's own counter."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as over
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import dscost
from dscost.errors import InputError
from dscost.tracing import higher_order

DEARER = 8 * 8 * 8 * 3 * 9
"""MACs of the 3×3 convolution of `Choice`; the 1×1 has a ninth of them."""


class Choice(nn.Module):
    """A 3×3 or a 1×1 convolution, by what the values are."""

    def __init__(self, *, dearer_first: bool = True) -> None:
        super().__init__()
        self.large, self.small, self.dearer_first = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(3, 8, 1),
            dearer_first,
        )

    def forward(self, x: Tensor) -> Tensor:
        ways = [lambda x: self.large(x), lambda x: self.small(x)]
        return torch.cond(x.sum() > 0, *(ways if self.dearer_first else reversed(ways)), (x,))


class Nested(Choice):
    """A choice within a choice."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.max() > 1, super().forward, lambda x: self.small(x), (x,))


class Applied(nn.Module):
    """Something done with a linear layer of 4×4 weights."""

    def __init__(self, apply: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.apply_to = nn.Linear(4, 4), apply

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_to(self.linear, x)


@pytest.mark.parametrize("dearer_first", [True, False])
def test_a_condition_counts_by_its_dearer_branch(dearer_first: bool) -> None:
    model = Choice(dearer_first=dearer_first)
    report = dscost.analyze(model, input=(1, 3, 8, 8))
    with (
        torch.no_grad(),
        torch.compiler.set_stance("force_eager"),
        FlopCounterMode(display=False) as counter,
    ):
        model(torch.zeros(1, 3, 8, 8))
    assert 2 * report.totals.as_is.macs == counter.get_total_flops() == 2 * DEARER
    assert report.coverage.unknown == ()
    assert "A torch.cond counts by its dearer branch." in report.warnings


def test_both_branches_of_a_condition_are_used() -> None:
    report = dscost.analyze(Choice(), input=(1, 3, 8, 8))
    assert report.doubts == ()
    assert report.totals.as_is.params == 3 * 8 * 9 + 8 + 3 * 8 + 8
    assert {layer.name: layer.cost.macs for layer in report.layers if layer.cost.params} == {
        "large": DEARER,
        "small": 0,
    }


def test_a_condition_within_a_condition_counts_by_the_dearest_way() -> None:
    assert dscost.analyze(Nested(), input=(1, 3, 8, 8)).totals.as_is.macs == DEARER


def test_what_follows_a_condition_knows_where_its_input_comes_from() -> None:
    class Followed(Choice):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise, self.pointwise = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pointwise(self.depthwise(super().forward(x)))

    report = dscost.analyze(Followed(), input=(1, 3, 8, 8))
    assert report.totals.as_is.macs == DEARER + 36 * (8 * 9 + 8 * 4)
    assert [layer.name for layer in report.layers if layer.pair] == ["depthwise", "pointwise"]


def test_an_operator_of_unknown_cost_in_either_branch_makes_the_total_partial() -> None:
    model = Applied(
        lambda linear, x: torch.cond(
            x.sum() > 0, lambda x: linear(linear(x)), lambda x: torch.linalg.inv(x) + x, (x,)
        )
    )
    report = dscost.analyze(model, input=(4, 4))
    assert report.totals.as_is.macs == 2 * 4 * 16
    assert report.coverage.unknown == ("aten::linalg_inv_ex (1×)",)


def _loop(linear: nn.Module, x: Tensor) -> Tensor:
    return while_loop(
        lambda at, x: at < 5, lambda at, x: (at + 1, linear(x)), (torch.tensor(0), x)
    )[1]


def _endless(linear: nn.Module, x: Tensor) -> Tensor:
    return while_loop(lambda x: x.sum() < 5, lambda x: (linear(x),), (x,))[0]


def _scan(linear: nn.Module, x: Tensor) -> Tensor:
    def step(carried: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        new = linear(carried) + row
        return new, new.clone()

    return scan(step, x.new_zeros(4), x, dim=0)[1]


@pytest.mark.parametrize(
    ("apply", "macs"),
    [
        pytest.param(_loop, 6 * 5 * 16, id="a loop whose end is known"),
        pytest.param(_scan, 6 * 16, id="scan"),
        pytest.param(lambda linear, x: over(lambda row: linear(row), x), 6 * 16, id="map"),
        pytest.param(
            lambda linear, x: checkpoint(linear, x, use_reentrant=False), 6 * 16, id="checkpoint"
        ),
        pytest.param(
            lambda linear, x: associative_scan(torch.add, linear(x), dim=0, combine_mode="generic"),
            6 * 16,
            id="associative scan",
        ),
    ],
)
def test_loops_count_as_often_as_they_run(
    apply: Callable[[nn.Module, Tensor], Tensor], macs: int
) -> None:
    report = dscost.analyze(Applied(apply), input=(6, 4))
    assert (report.totals.as_is.macs, report.coverage.unknown, report.doubts) == (macs, (), ())


def test_a_loop_whose_end_depends_on_values_counts_once_and_is_named() -> None:
    report = dscost.analyze(Applied(_endless), input=(6, 4))
    assert report.totals.as_is.macs == 6 * 16
    assert report.coverage.unknown == ("higher_order::while_loop (1×)",)
    assert "How often a torch.while_loop runs depends on values; it counts once." in report.warnings


def test_a_loop_that_never_ends_on_the_values_given_is_left() -> None:
    def endless(linear: nn.Module, x: Tensor) -> Tensor:
        return while_loop(
            lambda at, x: at < 1, lambda at, x: (at * 1, linear(x)), (torch.tensor(0), x)
        )[1]

    report = dscost.analyze(Applied(endless), input=(1, 4))
    assert report.totals.as_is.macs == 1000 * 16
    assert report.coverage.unknown == ("higher_order::while_loop (1×)",)


class Flex(nn.Module):
    """Attention with a bias of its own and, if asked for, a block mask."""

    def __init__(self, *, masked: bool = False) -> None:
        super().__init__()
        self.bias, self.masked = nn.Parameter(torch.zeros(4)), masked

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        def biased(
            score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor
        ) -> Tensor:
            return score + self.bias[head]

        mask = None
        if self.masked:
            mask = create_block_mask(
                lambda b, h, row, column: row >= column,
                None,
                None,
                q.shape[2],
                k.shape[2],
                device=q.device,
            )
        return flex_attention(q, k, v, score_mod=biased, block_mask=mask, enable_gqa=True)


@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        pytest.param(Flex(), ((2, 4, 16, 8), (2, 4, 16, 8), (2, 4, 16, 8)), id="self"),
        pytest.param(Flex(), ((1, 4, 16, 8), (1, 4, 32, 8), (1, 4, 32, 16)), id="cross"),
        pytest.param(Flex(), ((1, 4, 16, 8), (1, 2, 16, 8), (1, 2, 16, 8)), id="grouped queries"),
        pytest.param(
            Flex(masked=True), ((1, 4, 128, 8), (1, 4, 128, 8), (1, 4, 128, 8)), id="block mask"
        ),
    ],
)
def test_flex_attention_is_two_products_and_its_masks_save_nothing(
    model: nn.Module, shapes: Any
) -> None:
    (b, heads, rows, e), (_, _, columns, _), (_, _, _, ev) = shapes
    report = dscost.analyze(model, input=shapes)
    assert report.totals.as_is.macs == b * heads * rows * columns * (e + ev)
    theirs = flop_registry[torch.ops.higher_order.flex_attention](
        *(torch.empty(shape, device="meta") for shape in shapes)
    )
    if shapes[0][1] == shapes[1][1]:  # it asserts that there are as many heads
        assert theirs == 2 * report.totals.as_is.macs
    assert report.coverage.unknown == ()
    assert not any(doubt.kind == "unused" for doubt in report.doubts)  # its function reads the bias


def test_a_saved_program_with_a_condition_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "choice.pt2"
    torch.export.save(torch.export.export(Choice().eval(), (torch.zeros(1, 3, 8, 8),)), path)
    assert dscost.analyze(str(path)).totals.as_is.macs == DEARER


FIRST = """
import sys, warnings
warnings.simplefilter("ignore")
import torch, dscost
from torch.nn.attention.flex_attention import flex_attention

class Flex(torch.nn.Module):
    def forward(self, q, k, v):
        return flex_attention(q, k, v)

class Choice(torch.nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x @ x, (x,))

assert "torch._dynamo" not in sys.modules
compile_function = torch.compile
print(dscost.analyze(Flex(), input=[(2, 4, 16, 8)] * 3).totals.as_is.macs)
print(dscost.analyze(Choice(), input=(5, 5)).totals.as_is.macs)
assert torch.compile is compile_function
torch.export.export(Choice(), (torch.zeros(5, 5),))
"""


def test_a_model_that_is_the_first_to_need_the_compiler_compiles_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=False)
    assert (ran.stdout.split(), ran.returncode) == (
        [str(2 * 4 * 16 * 16 * (8 + 8)), str(5 * 5 * 5)],
        0,
    ), ran.stderr


def test_an_operator_that_torch_cannot_run_by_itself_is_named_without_an_address() -> None:
    class Bare(torch._ops.HigherOrderOperator):
        def __init__(self) -> None:
            super().__init__("dscost_tests_bare")

        def __call__(self, x: Tensor) -> Tensor:
            return super().__call__(x)

    bare = Bare()

    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return bare(x)

    with pytest.raises(InputError) as caught:
        dscost.analyze(Model(), input=(2, 3))
    assert "torch cannot run the higher-order operator dscost_tests_bare by itself" in str(
        caught.value
    )
    assert " at 0x" not in str(caught.value)


GROUPS = torch.tensor([2, 5, 5, 8], dtype=torch.int32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("a", "b", "macs"),
    [
        pytest.param((8, 16), (4, 16, 32), 8 * 16 * 32, id="rows in groups"),
        pytest.param((4, 8, 16), (4, 16, 32), 4 * 8 * 16 * 32, id="batches"),
        pytest.param((32, 8), (8, 16), 32 * 8 * 16, id="contracted in groups"),
        pytest.param((4, 16, 32), (32, 8), 16 * 32 * 8, id="columns in groups"),
    ],
)
def test_a_grouped_product_counts_each_row_in_its_own_group_in_any_dtype(
    a: Any, b: Any, macs: int, dtype: str
) -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(b, dtype=getattr(torch, dtype)))
            self.register_buffer("groups", GROUPS)

        def forward(self, x: Tensor) -> Tensor:
            groups = None if x.dim() == self.weight.dim() == 3 else self.groups
            return torch._grouped_mm(x, self.weight, offs=groups).relu()

    report = dscost.analyze(Experts(), input=a, dtype=dtype)
    assert (report.totals.as_is.macs, report.coverage.unknown, report.doubts) == (macs, (), ())


def test_a_triton_kernel_is_named_and_what_it_writes_on_is_copied_where_torch_says_so() -> None:
    from torch._higher_order_ops.triton_kernel_wrap import kernel_side_table

    def doubled() -> None:
        raise AssertionError("no kernel is run")

    class Tuner:
        def __init__(self, fn: Any) -> None:
            self.fn = fn

    x, y = torch.ones(3), torch.zeros(3)
    for kernel, name in (
        (doubled, "doubled"),
        (Tuner(Tuner(doubled)), "doubled"),
        (object(), "kernel"),
    ):
        unknown: list[str] = []
        books: Any = SimpleNamespace(met_unknown=unknown.append)
        given = {"kernel_idx": kernel_side_table.add_kernel(kernel), "kwargs": {"x": x, "y": y}}
        made = higher_order._triton(books, **given, tensors_to_clone=["y"], grid=[])
        assert made is not None
        assert made["x"] is x
        assert made["y"] is not y
        assert torch.equal(made["y"], y)
        assert higher_order._triton(books, **given, grid=[]) is None
        assert unknown == [f"triton::{name}"] * 2
