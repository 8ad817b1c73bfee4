"""What torch's operators are to the tracer: counted, free, or unknown; complex products; views in place."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.tracing.operators import answer_of

functional = nn.functional


class Runs(nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(*tensors)


# -- free


IN_PLACE = {
    "squeeze_": lambda x: x.squeeze_(1),
    "squeeze_ all": lambda x: x.squeeze_(),
    "squeeze_ dims": lambda x: x.squeeze_((0, 1)),
    "unsqueeze_": lambda x: x.unsqueeze_(0),
    "t_": lambda x: x.select(0, 0).t_(),
    "transpose_": lambda x: x.transpose_(0, 1),
    "as_strided_": lambda x: x.as_strided_((2, 2), (2, 1)),
    "swapaxes_": lambda x: x.swapaxes_(0, 1),
    "swapdims_": lambda x: x.swapdims_(0, 1),
    "detach_": lambda x: x.detach_(),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_view_in_place_costs_nothing_and_moves_nothing(name: str) -> None:
    report = dscost.analyze(
        Runs(lambda x: IN_PLACE[name](x.relu()) * 2), input=(3, 1, 4), strict=True
    )
    cost = report.totals.as_is
    read = 4 if name == "as_strided_" else 4 if name == "t_" else 12
    assert (cost.macs, cost.traffic_bytes) == (0, 4 * (12 + 12 + 2 * read))


FREE: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "multinomial": (lambda x: torch.multinomial(x.softmax(-1), 2), ((3, 5),)),
    "poisson": (torch.poisson, ((3, 5),)),
    "binomial": (lambda x: torch.binomial(x, x.sigmoid()), ((3, 5),)),
    "dirichlet": (lambda x: torch._sample_dirichlet(x.exp()), ((3, 5),)),
    "gamma": (lambda x: torch._standard_gamma(x.exp()), ((3, 5),)),
    "bernoulli": (lambda x: torch.bernoulli(x.sigmoid()), ((3, 5),)),
    "cauchy_": (lambda x: x.relu().cauchy_(), ((3, 5),)),
    "geometric_": (lambda x: x.relu().geometric_(0.5), ((3, 5),)),
    "log_normal_": (lambda x: x.relu().log_normal_(), ((3, 5),)),
    "rrelu": (lambda x: functional.rrelu(x, training=True), ((3, 5),)),
    "gumbel_softmax": (functional.gumbel_softmax, ((3, 5),)),
    "sort": (torch.sort, ((3, 5),)),
    "kthvalue": (lambda x: x.kthvalue(2), ((3, 5),)),
    "mode": (lambda x: x.mode(), ((3, 5),)),
    "nanmedian": (lambda x: x.nanmedian(), ((3, 5),)),
    "quantile": (lambda x: x.quantile(0.5), ((3, 5),)),
    "histc": (lambda x: x.histc(4), ((3, 5),)),
    "histogram": (lambda x: torch.histogram(x, 4), ((3, 5),)),
    "histogramdd": (lambda x: torch.histogramdd(x, [2, 2, 2]), ((5, 3),)),
    "unique": (lambda x: x.unique(dim=0), ((3, 5),)),
    "unique_consecutive": (lambda x: x.unique_consecutive(), ((3, 5),)),
    "cummax": (lambda x: x.cummax(0), ((3, 5),)),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), ((3, 5),)),
    "cumulative_trapezoid": (torch.cumulative_trapezoid, ((3, 5),)),
    "put": (
        lambda x: x.put(torch.zeros(1, dtype=torch.long, device=x.device), x[0, :1]),
        ((3, 5),),
    ),
    "segment_reduce": (
        lambda x: torch.segment_reduce(
            x, "max", lengths=torch.tensor([2, 1], device=x.device), unsafe=True
        ),
        ((3, 5),),
    ),
    "index_reduce": (
        lambda x: x.index_reduce(0, torch.zeros(3, dtype=torch.long, device=x.device), x, "mean"),
        ((3, 5),),
    ),
    "resize_as_": (lambda x: torch.empty_like(x).resize_as_(x[0]), ((3, 5),)),
    "_is_all_true": (lambda x: torch._is_all_true(x > 0), ((3, 5),)),
    "_assert_async": (lambda x: torch._assert_async((x == x).all()), ((3, 5),)),
    "fractional_max_pool2d": (
        lambda x: functional.fractional_max_pool2d(x, 2, (3, 3)),
        ((1, 2, 8, 8),),
    ),
    "fractional_max_pool3d": (
        lambda x: functional.fractional_max_pool3d(x, 2, (3, 3, 3)),
        ((1, 2, 8, 8, 8),),
    ),
    "max_unpool2d": (
        lambda x: functional.max_unpool2d(*functional.max_pool2d(x, 2, return_indices=True), 2),
        ((1, 2, 8, 8),),
    ),
    "fft": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 2), ((1, 2, 8, 8),)),
    "stft": (
        lambda x: torch.stft(
            x, 16, window=torch.hann_window(16, device=x.device), return_complex=True
        ).abs(),
        ((1, 64),),
    ),
    "windows": (
        lambda x: (
            x * torch.kaiser_window(5, device=x.device) * torch.hamming_window(5, device=x.device)
        ),
        ((3, 5),),
    ),
    "ctc_loss": (
        lambda x: functional.ctc_loss(
            x.log_softmax(2), torch.ones(2, 3, dtype=torch.long), (7, 7), (3, 3)
        ),
        ((7, 2, 5),),
    ),
    "multi_margin_loss": (
        lambda x: functional.multi_margin_loss(
            x, torch.zeros(3, dtype=torch.long, device=x.device)
        ),
        ((3, 5),),
    ),
    "multilabel_margin_loss": (
        lambda x: functional.multilabel_margin_loss(
            x, torch.zeros(3, 5, dtype=torch.long, device=x.device)
        ),
        ((3, 5),),
    ),
    "fake_quantize per channel": (
        lambda x: torch.fake_quantize_per_channel_affine(
            x,
            torch.ones(3, device=x.device),
            torch.zeros(3, dtype=torch.int32, device=x.device),
            0,
            0,
            255,
        ),
        ((3, 5),),
    ),
    "fake_quantize learnable": (
        lambda x: torch._fake_quantize_learnable_per_tensor_affine(
            x, torch.ones(1, device=x.device), torch.zeros(1, device=x.device), 0, 255
        ),
        ((3, 5),),
    ),
    "foreach": (lambda x: torch._foreach_add([x, x], 1.0), ((3, 5),)),
}


@pytest.mark.parametrize("name", FREE)
def test_what_multiplies_no_matrices_leaves_the_total_whole(name: str) -> None:
    function, shapes = FREE[name]
    report = dscost.analyze(Runs(function), input=list(shapes), strict=True)
    assert (report.totals.as_is.macs, report.coverage.unknown) == (0, ())


@pytest.mark.parametrize(
    "module",
    [
        nn.L1Loss(),
        nn.MSELoss(),
        nn.SmoothL1Loss(),
        nn.HuberLoss(),
        nn.BCEWithLogitsLoss(),
        nn.KLDivLoss(reduction="batchmean"),
        nn.PoissonNLLLoss(),
        nn.SoftMarginLoss(),
        nn.MultiLabelSoftMarginLoss(),
        nn.HingeEmbeddingLoss(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_losses_are_free(module: nn.Module) -> None:
    assert dscost.analyze(module, input=[(3, 5), (3, 5)], strict=True).totals.as_is.macs == 0


def test_a_model_with_a_fourier_transform_says_that_it_has_no_macs_by_convention() -> None:
    report = dscost.analyze(Runs(lambda x: torch.fft.rfft(x)), input=(2, 8))
    assert report.warnings == ("Fourier transforms count no MACs, by convention.",)


NAMES_OF_FAMILIES = (
    *(
        "c10d::broadcast_",
        "c10d::allreduce_",
        "_c10d_functional::all_reduce",
        "_c10d_functional::wait_tensor",
    ),
    *(
        "profiler::_record_function_enter_new",
        "prims::convert_element_type",
        "quantized::add",
        "quantized::cat",
    ),
)


@pytest.mark.parametrize("name", NAMES_OF_FAMILIES)
def test_sending_telling_and_converting_are_free(name: str) -> None:
    namespace, _, own = name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), own)
    assert {answer_of(getattr(packet, overload)) for overload in packet.overloads()} == {"free"}


KINDS_THAT_MULTIPLY = (
    "linalg",
    "cholesky",
    "solve",
    "ormqr",
    "geqrf",
    "_compute_linear_combination",
    "_trilinear",
)
"""Algebra over whole matrices: of unknown cost, and named."""

FUSED_ELSEWHERE = (
    *(
        "attention",
        "rnn",
        "lstm",
        "mps_convolution",
        "sparse",
        "cslt",
        "hspmm",
        "_spsolve",
        "sspaddmm",
        "mkldnn_linear",
    ),
    *("cdist_backward", "pdist_backward", "_slow_conv2d_backward"),
)
"""Products on devices, or backward, that have no formula here."""


def test_every_operator_of_torch_is_counted_free_taken_apart_or_known_to_be_unknown() -> None:
    """A new version of torch that brings operators fails here: each of them has to be decided."""
    unknown = set()
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, full = name.partition("::")
        own, _, overload = full.partition(".")
        if namespace != "aten" or own.startswith(("_test", "_foobar")):
            continue
        func = getattr(getattr(torch.ops.aten, own), overload or "default", None)
        if (
            func is not None
            and answer_of(func) == "unknown"
            and func not in torch._decomp.decomposition_table
        ):
            unknown.add(own)
    odd = {
        name
        for name in unknown
        if not any(kind in name for kind in (*KINDS_THAT_MULTIPLY, *FUSED_ELSEWHERE))
    }
    assert odd - {"__lshift__", "__rshift__", "_conj_physical"} == set()


# -- products that are not what most networks are made of


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        pytest.param(torch.cdist, [(3, 5, 8), (3, 7, 8)], 3 * 5 * 7 * 8, id="cdist"),
        pytest.param(torch.cdist, [(30, 8), (40, 8)], 30 * 40 * 8, id="cdist by a product"),
        pytest.param(
            lambda a, b: torch.cdist(a, b, p=1),
            [(5, 8), (7, 8)],
            0,
            id="cdist that multiplies nothing",
        ),
        pytest.param(functional.pdist, [(5, 8)], 10 * 8, id="pdist"),
        pytest.param(
            lambda a: torch.linalg.matrix_power(a, 3), [(4, 4)], 2 * 64, id="matrix power"
        ),
        pytest.param(
            lambda a: torch.linalg.multi_dot([a, a.t(), a]), [(4, 8)], 2 * 4 * 8 * 4, id="multi_dot"
        ),
        pytest.param(
            lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
            [(2, 3), (3, 4), (4, 5)],
            24 + 40,
            id="einsum",
        ),
        pytest.param(lambda a, b: a.relu().addmm_(a, b), [(4, 4), (4, 4)], 64, id="addmm_"),
        pytest.param(
            lambda a, b: a[0].baddbmm_(a[1], b), [(2, 3, 4, 4), (3, 4, 4)], 3 * 64, id="baddbmm_"
        ),
        pytest.param(
            lambda x, w: torch.conv_tbc(x, w, w.new_zeros(w.shape[2])),
            [(9, 2, 3), (5, 3, 4)],
            5 * 2 * 4 * 15,
            id="conv_tbc",
        ),
        pytest.param(
            lambda x, w: functional.linear_cross_entropy(
                x, w, torch.zeros(6, dtype=torch.long, device=x.device)
            ),
            [(6, 8), (10, 8)],
            6 * 8 * 10,
            id="linear_cross_entropy",
        ),
    ],
)
def test_further_products_are_counted(
    function: Callable[..., Any], shapes: list[Any], macs: int
) -> None:
    report = dscost.analyze(Runs(function), input=shapes, strict=True)
    assert report.totals.as_is.macs == macs


def test_solving_is_of_unknown_cost_and_named() -> None:
    report = dscost.analyze(Runs(lambda a: torch.linalg.inv(a) @ a), input=(4, 4))
    assert report.totals.as_is.macs == 64
    assert report.coverage.unknown == ("aten::linalg_inv_ex (1×)",)


# -- complex: (a + bi)(c + di) is four real products


COMPLEX: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "conv1d": (lambda: nn.Conv1d(4, 8, 3, dtype=torch.complex64), (1, 4, 8), 6 * 8 * 12),
    "conv2d": (lambda: nn.Conv2d(4, 8, 3, dtype=torch.complex64), (1, 4, 8, 8), 36 * 8 * 36),
    "conv3d": (lambda: nn.Conv3d(2, 3, 3, dtype=torch.complex64), (1, 2, 4, 4, 4), 8 * 3 * 54),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 8, 3, dtype=torch.complex64),
        (1, 4, 5, 5),
        25 * 4 * 8 * 9,
    ),
    "linear": (lambda: nn.Linear(16, 4, dtype=torch.complex64), (5, 16), 5 * 16 * 4),
    "matmul": (lambda: Runs(lambda x: x @ x.mH), (5, 16), 5 * 16 * 5),
    "bmm": (lambda: Runs(lambda x: torch.bmm(x, x.mH)), (2, 5, 16), 2 * 5 * 16 * 5),
    "einsum": (
        lambda: Runs(lambda x: torch.einsum("bik,bjk->bij", x, x)),
        (2, 5, 16),
        2 * 5 * 16 * 5,
    ),
    "addmm": (lambda: Runs(lambda x: torch.addmm(x, x, x)), (5, 5), 125),
    "vdot": (lambda: Runs(lambda x: torch.vdot(x, x)), (7,), 7),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_a_complex_product_counts_as_four_real_ones(name: str) -> None:
    make, shape, products = COMPLEX[name]
    report = dscost.analyze(make(), input=torch.zeros(shape, dtype=torch.complex64))
    assert report.totals.as_is.macs == 4 * products
    assert "Complex multiply-accumulates count as four real ones." in report.warnings


def test_the_versions_of_a_complex_convolution_are_complex_too() -> None:
    report = dscost.analyze(
        nn.Conv2d(4, 8, 3, dtype=torch.complex64),
        input=torch.zeros(1, 4, 8, 8, dtype=torch.complex64),
    )
    totals = report.totals
    assert totals.standard.macs == totals.as_is.macs == 4 * 36 * 8 * 36
    assert totals.depthwise_separable.macs == 4 * 36 * (4 * 9 + 4 * 8)


def test_training_multiplies_complex_gradients_too() -> None:
    x = torch.zeros(1, 4, 8, 8, dtype=torch.complex64)
    cost = dscost.analyze(
        nn.Conv2d(4, 8, 3, dtype=torch.complex64), input=x, train=True
    ).totals.as_is
    assert cost.macs == 2 * 4 * 36 * 8 * 36  # forward, and the gradient of the weight


def test_a_formula_of_the_users_own_is_taken_as_it_is_for_complex_operands() -> None:
    from dscost.traces.rules import FORMULAS

    ours = FORMULAS["aten::mm"]
    try:
        dscost.register_formula("aten::mm")(lambda a, b, *, out: 7)
        model = Runs(lambda x: torch.mm(x, x))
        assert (
            dscost.analyze(model, input=torch.zeros(5, 5, dtype=torch.complex64)).totals.as_is.macs
            == 7
        )
    finally:
        FORMULAS["aten::mm"] = ours


def test_real_models_say_nothing_of_complex_numbers() -> None:
    assert dscost.analyze(nn.Linear(4, 4), input=(2, 4)).warnings == ()


# -- gradients that a forward computes


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "mask", [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
)
def test_each_gradient_of_a_convolution_costs_what_the_convolution_does(
    transposed: bool, mask: tuple[bool, ...]
) -> None:
    x, w = torch.zeros(2, 6, 9, 9), torch.zeros((6, 8, 3, 3) if transposed else (8, 6, 3, 3))
    arguments = ([1, 1], [0, 0], [1, 1], transposed, [0, 0], 1)
    with FlopCounterMode(display=False) as counter:
        out = torch.convolution(x, w, None, *arguments)
    model = Runs(
        lambda grad, x, w: torch.ops.aten.convolution_backward(
            grad, x, w, [8], *arguments, list(mask)
        )
    )
    report = dscost.analyze(
        model, input=[tuple(out.shape), tuple(x.shape), tuple(w.shape)], strict=True
    )
    assert 2 * report.totals.as_is.macs == sum(mask[:2]) * counter.get_total_flops()
