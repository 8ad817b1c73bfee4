"""What other counters see of a forward pass and what not, against what fvcore 0.1.5 and ptflops 0.7.5 count of it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dscost

F: Any = nn.functional
ones = torch.ones


class Runs(nn.Module):
    """A module that runs a function of itself and its input, and has two layers for it."""

    def __init__(self, run: Callable[["Runs", Tensor], Any]) -> None:
        super().__init__()
        self.run, self.a, self.b = run, nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("kept", torch.zeros(2, 8))

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def counted(run: Callable[[Runs, Tensor], Any], shape: tuple[int, ...], convention: str) -> int:
    report = dscost.analyze(Runs(run).eval(), torch.zeros(shape), convention=convention)
    assert report.by_convention is not None
    (versions,) = report.by_convention.values()
    return versions["as_is"]


# -- functions of torch

FUNCTIONS: dict[str, tuple[Callable[[Runs, Tensor], Any], int]] = {
    "a constant plus": (lambda _, x: ones(8) + x, 0),
    "a range plus": (lambda _, x: torch.arange(8) + x, 0),
    "times integers": (lambda _, x: x * ones(8, dtype=torch.long), 0),
    "times wider numbers": (lambda _, x: x * ones(8, dtype=torch.float64), 0),
    "plus more axes": (lambda _, x: x + ones(4, 2, 5, 8), 0),
    "plus many": (lambda _, x: x + ones(4, 1, 1, 1), 0),
    "complex": (lambda _, x: torch.fft.fft2(x) * ones(1), 0),
    "a function": (lambda _, x: torch.add(x, ones(8)), 320),
    "a method": (lambda _, x: x.add(ones(8)), 320),
    "a method of matrices": (lambda _, x: torch.zeros(5, 6).addmm(x[0], ones(8, 6)), 270),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_is_seen_once_and_an_operator_of_python_never(case: str) -> None:
    run, expected = FUNCTIONS[case]
    assert counted(run, (2, 5, 8), "ptflops") == expected


@pytest.mark.parametrize("inner", ["ptflops", ()])
def test_what_a_model_has_analysed_while_it_runs_does_not_count(inner: Any) -> None:
    def run(_: Runs, x: Tensor) -> Tensor:
        dscost.analyze(Runs(lambda _, x: F.relu(x)), torch.zeros(3, 7), convention=inner)
        return F.relu(x)

    assert counted(run, (2, 8), "ptflops") == 16


# -- einsum

EINSUMS: dict[str, tuple[Callable[[Runs, Tensor], Any], int]] = {
    "a sum": (lambda _, x: torch.einsum("bij->bi", x), 128),
    "an outer product": (lambda _, x: torch.einsum("bi,bj->bij", x[0], x[0]), 256),
    "of three": (lambda _, x: torch.einsum("bij,bjk,bkl->bil", x, x, x), 2048),
    "of matrices": (lambda _, x: torch.einsum("bnd,hde->bhne", x, ones(4, 8, 6)), 3072),
    "of a matrix and a vector": (lambda _, x: torch.einsum("bn, n->b", x[0], ones(8)), 64),
    "with dots": (lambda _, x: torch.einsum("...d,de->...e", x, ones(8, 3)), 384),
}


@pytest.mark.parametrize("case", EINSUMS)
def test_an_einsum_counts_by_the_order_that_numpy_finds(case: str) -> None:
    run, expected = EINSUMS[case]
    assert counted(run, (2, 8, 8), "fvcore") == expected


# -- what is thrown away


def _written_on_a_part(m: Runs, x: Tensor) -> Tensor:
    y = m.a(x)
    y[:, :4] = m.b(x)[:, :4]
    return y


def _written_on_a_view(m: Runs, x: Tensor) -> Tensor:
    y = m.a(x)
    y[:, :4].add_(m.b(x)[:, :4])
    return y


def _written_on_a_copy(m: Runs, x: Tensor) -> Tensor:
    y = m.a(x)
    y.clone().add_(m.b(x))
    return y


def _written_on_a_buffer(m: Runs, x: Tensor) -> Tensor:
    m.kept.copy_(m.b(x))
    return m.a(x)


def _in_a_dict(m: Runs, x: Tensor) -> Any:
    m.b(x)
    return {"y": m.a(x)}


def _in_lists(m: Runs, x: Tensor) -> Any:
    m.b(x)
    return [m.a(x), [m.a(x)]]


def _as_given(m: Runs, x: Tensor) -> Tensor:
    m.a(x)
    return x


def _with_a_constant(m: Runs, x: Tensor) -> Any:
    m.b(x)
    return m.a(x), ones(3)


def _in_training_only(m: Runs, x: Tensor) -> Any:
    y = m.a(x)
    z = F.layer_norm(m.b(y), (8,))
    return (y, z) if m.training else y


THROWN_AWAY: dict[str, tuple[Callable[[Runs, Tensor], Any], int]] = {
    "nothing": (lambda m, x: m.b(m.a(x)), 256),
    "one of two": (lambda m, x: [layer(x) for layer in (m.a, m.b)][1], 128),
    "a head for training": (_in_training_only, 128),
    "written on a part": (_written_on_a_part, 256),
    "written on a view": (_written_on_a_view, 256),
    "written on a copy": (_written_on_a_copy, 128),
    "written on a buffer": (_written_on_a_buffer, 256),
    "in a dict": (_in_a_dict, 128),
    "in lists": (_in_lists, 256),
    "all": (_as_given, 0),
    "beside a constant": (_with_a_constant, 128),
    "its shape is of use": (lambda m, x: torch.zeros_like(m.b(x)) + m.a(x), 256),
}


@pytest.mark.parametrize("case", THROWN_AWAY)
def test_what_leads_to_nothing_does_not_count(case: str) -> None:
    run, expected = THROWN_AWAY[case]
    assert counted(run, (2, 8), "fvcore") == expected


def test_what_is_thrown_away_does_not_count_as_a_separable_convolution_either() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.aux = nn.Linear(6, 6), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.aux(x)
            return self.a(x)

    report = dscost.analyze(Aside().eval(), torch.zeros(1, 3, 6, 6), convention="fvcore")
    assert report.by_convention is not None
    (versions,) = report.by_convention.values()
    assert set(versions.values()) == {3 * 6 * 36}


# -- what has no classes of modules any more


class Holds(nn.Module):
    """A module that holds another one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


def _network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 2)).eval()


IMAGE = torch.zeros(1, 3, 8, 8)


def _exported() -> nn.Module:
    return torch.export.export(_network(), (IMAGE,)).module()


def _traced() -> nn.Module:
    traced: nn.Module = torch.jit.trace(_network(), IMAGE)
    return traced


def _scripted() -> nn.Module:
    scripted: nn.Module = torch.jit.script(_network())
    return scripted


CLOSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "exported": (_exported, "torch.export has left no classes of modules, by which ptflops"),
    "an exported part": (lambda: Holds(_exported()), "torch.export has left no classes"),
    "traced": (_traced, "Other counters see little of TorchScript"),
    "scripted": (_scripted, "Other counters see little of TorchScript"),
    "a traced part": (lambda: Holds(_traced()), "Other counters see little of TorchScript"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", CLOSED)
def test_closed_code_is_warned_of_and_its_swaps_are_as_hidden_as_it_is(case: str) -> None:
    make, warning = CLOSED[case]
    report = dscost.analyze(make(), IMAGE, convention=["fvcore", "ptflops"])
    assert len([one for one in report.warnings if one.startswith(warning)]) == 1
    assert report.by_convention is not None
    of_fvcore, of_ptflops = report.by_convention.values()
    assert of_fvcore["as_is"] == 16 * 27 * 36 + 2 * 576
    assert set(of_ptflops.values()) == {0}


def test_what_calls_its_modules_is_not_warned_of() -> None:
    for model in (_network(), torch.fx.symbolic_trace(_network())):
        report = dscost.analyze(model, IMAGE, convention="ptflops")
        assert not report.warnings


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_convention_of_operators_alone_is_not_warned_of_an_exported_model() -> None:
    assert not dscost.analyze(_exported(), IMAGE, convention="fvcore").warnings
