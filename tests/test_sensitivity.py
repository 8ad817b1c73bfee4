"""Layers of torch models converted alone and scored: whose models they are, what is lost, and how it is told."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.converting.scoring.results import Sensitivity
from dscost.errors import InputError

CHANNELS = 16
POSITIONS = 6 * 6
AS_IT_IS = CHANNELS * CHANNELS * 9 * POSITIONS
AT_RANK_1 = (CHANNELS * 9 + CHANNELS * CHANNELS) * POSITIONS


class Net(nn.Module):
    """Two convolutions that may be converted, and one of too few channels."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 1)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.drop(self.norm(self.first(self.stem(x)).relu())))
        return found


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(3)
    return Net()


IMAGES = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(5))
INPUT = (1, 3, 6, 6)


def likeness_to(model: nn.Module, images: Tensor = IMAGES) -> Callable[[nn.Module], Tensor]:
    """Return a score: how near the outputs for each image are to those of the model as it is."""
    mode = model.training
    with torch.no_grad():
        expected = model.eval()(images)
    model.train(mode)

    @torch.no_grad()
    def likeness(other: nn.Module) -> Tensor:
        found = other(images)
        return -(found - expected).square().flatten(1).mean(1)

    return likeness


def svd_of(weight: Tensor, rank: int, order: str) -> Tensor:
    """Return a kernel (N, M, Kh, Kw) of a rank by torch's SVD: for each input channel, or for each output channel."""
    n, m, kh, kw = weight.shape
    flat = weight.reshape(n, m, kh * kw)
    flat = flat.transpose(0, 1) if order == "depthwise-first" else flat
    u, s, vh = torch.linalg.svd(flat, full_matrices=False)
    found = (u[..., :rank] * s[:, None, :rank]) @ vh[:, :rank]
    found = found.transpose(0, 1) if order == "depthwise-first" else found
    return found.reshape(n, m, kh, kw)


# -- what is lost


def test_a_loss_is_that_of_the_layer_alone_by_torchs_own_svd(net: nn.Module) -> None:
    score = likeness_to(net)
    found = dscost.sensitivity(net, score, input=INPUT, score_budget=20)
    assert found.score == 0
    assert {(one.name, one.rank) for one in found.layers} == {
        (name, rank) for name in ("first", "last") for rank in (1, 2, 4)
    }
    assert len(found.layers) == 12  # in both orders
    for one in found.layers:
        other = Net().eval()
        other.load_state_dict(net.state_dict())
        layer = getattr(other, one.name)
        with torch.no_grad():
            layer.weight.copy_(svd_of(layer.weight, one.rank, one.order))
            values = score(other)
            kernel = getattr(net, one.name).weight
            error = torch.linalg.norm(layer.weight - kernel) / torch.linalg.norm(kernel)
        lost = -values.double()
        half = 2.201 * float(lost.std()) / len(lost) ** 0.5  # Student's t of 11
        assert one.loss == pytest.approx(float(lost.mean()), rel=1e-3)
        assert one.high - one.loss == pytest.approx(half, rel=5e-3)
        assert one.error == pytest.approx(float(error), rel=1e-3)
        at_rank = one.rank * AT_RANK_1
        assert (one.macs_before, one.macs_after, one.shared_by) == (AS_IT_IS, at_rank, 1)


@pytest.mark.parametrize("order", ["depthwise-first", "pointwise-first"])
def test_only_the_order_that_is_asked_for_is_tried(net: nn.Module, order: str) -> None:
    found = dscost.sensitivity(net, likeness_to(net), input=INPUT, order=order)
    assert {one.order for one in found.layers} == {order}
    assert len(found.layers) == 6


def test_only_layers_that_are_asked_for_are_tried(net: nn.Module) -> None:
    score = likeness_to(net)
    found = dscost.sensitivity(net, score, input=INPUT, where="la*", score_budget=8)
    assert {one.name for one in found.layers} == {"last"}
    found = dscost.sensitivity(net, score, input=INPUT, where=lambda name, _: name == "first")
    assert {one.name for one in found.layers} == {"first"}
    with pytest.raises(InputError, match=r"^unknown convolution 'lsat'"):
        dscost.sensitivity(net, score, input=INPUT, where="lsat")


def test_narrow_layers_are_left_alone_unless_asked_for(net: nn.Module) -> None:
    score = likeness_to(net)
    with pytest.raises(InputError, match="min_channels"):
        dscost.sensitivity(net, score, input=INPUT, min_channels=0)
    found = dscost.sensitivity(net, score, input=INPUT, min_channels=17)
    assert (found.layers, found.untried, found.score) == ((), (), 0)
    assert str(found).splitlines()[0] == "Net: 0 of 0 layers safe at rank 1 alone"


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(16, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)
        self.b.weight = self.a.weight
        self.c = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.c(self.b(self.a(x)))
        return found


def test_layers_that_share_their_weights_share_their_fate() -> None:
    torch.manual_seed(0)
    model, seen = Tied(), []
    images = torch.randn(4, 16, 5, 5)

    def score(other: nn.Module) -> Tensor:
        seen.append(
            [name for name, one in other.named_children() if not isinstance(one, nn.Conv2d)]
        )
        return likeness(other)

    likeness = likeness_to(model, images)
    found = dscost.sensitivity(model, score, input=(1, 16, 5, 5), order="depthwise-first")
    shared = {one.name: one.shared_by for one in found.layers}
    assert shared == {"a": 2, "c": 1}
    assert [one.macs_before for one in found.layers if one.name == "a"] == [
        2 * 16 * 16 * 9 * 25
    ] * 3
    assert {tuple(one) for one in seen} == {(), ("a", "b"), ("c",)}


# -- whose model it is


def test_the_model_that_is_scored_is_a_copy_in_the_mode_of_inference(net: nn.Module) -> None:
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    likeness, seen = likeness_to(net), list[tuple[bool, bool, bool, bool]]()

    def score(other: nn.Module) -> Tensor:
        is_training = any(module.training for module in other.modules())
        theirs = {id(one) for one in other.parameters()} & {id(one) for one in net.parameters()}
        seen.append((other is net, is_training, torch.is_grad_enabled(), bool(theirs)))
        found = likeness(other)
        other.train()
        with torch.no_grad():
            for one in other.parameters():
                one.fill_(float("nan"))
        return found

    found = dscost.sensitivity(net, score, input=INPUT, score_budget=12)
    assert set(seen) == {(False, False, False, False)}
    assert found.score == 0
    assert 0 < max(one.loss for one in found.layers) < 1e9
    assert net.training
    assert torch.is_grad_enabled()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_random_states_are_the_same_in_every_call_and_go_on_outside(net: nn.Module) -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    likeness, drawn = likeness_to(net), set[tuple[float, float, float]]()

    def score(other: nn.Module) -> Tensor:
        drawn.add((float(torch.rand(1)), random.random(), float(np.random.rand())))
        return likeness(other)

    dscost.sensitivity(net, score, input=INPUT, score_budget=6)
    assert len(drawn) == 1
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    torch.manual_seed(2)
    dscost.sensitivity(net, score, input=INPUT, score_budget=3)
    assert len(drawn) == 1


# -- what it takes


def test_what_a_model_takes_is_seen_from_the_score(net: nn.Module) -> None:
    calls = []
    likeness = likeness_to(net)

    def score(other: nn.Module) -> Tensor:
        calls.append(None)
        return likeness(other)

    found = dscost.sensitivity(net, score, score_budget=6)
    stated = dscost.sensitivity(net, likeness, input=INPUT, score_budget=6)
    # of one sample, whatever the batch
    assert {one.macs_before for one in found.layers} == {AS_IT_IS}
    assert found.layers == stated.layers
    assert len(calls) == 1 + found.evaluations


class Named(nn.Module):
    """A model that takes a batch of images, a number, and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3)

    def forward(self, x: Tensor, times: int, *, mask: Tensor, mode: str = "none") -> Tensor:
        if mode != "twice" or times != 2:
            raise ValueError("not as it was called")
        found: Tensor = self.conv(x) * mask[:, None, None, None] * times
        return found


def test_arguments_of_any_kind_are_seen() -> None:
    torch.manual_seed(0)
    model = Named()
    images, mask = torch.randn(5, 16, 5, 7), torch.arange(5)

    def score(other: nn.Module) -> float:
        return float(-other(images, 2, mask=mask, mode="twice").square().mean())

    found = dscost.sensitivity(model, score, score_budget=4)
    assert {one.macs_before for one in found.layers} == {16 * 16 * 9 * 3 * 5}


class OfThree(nn.Module):
    """A model that takes batches of three alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] != 3:
            raise ValueError("three")
        found: Tensor = self.conv(x)
        return found


def test_a_batch_that_cannot_be_a_sample_stays_whole() -> None:
    model = OfThree()
    images = torch.randn(3, 16, 5, 5)
    score = likeness_to(model, images)
    found = dscost.sensitivity(model, score, score_budget=4)
    assert {one.macs_before for one in found.layers} == {3 * 16 * 16 * 9 * 9}


def test_a_function_that_fails_before_it_calls_the_model_says_why(net: nn.Module) -> None:
    def score(other: nn.Module) -> float:
        raise FileNotFoundError("no images")

    with pytest.raises(
        InputError, match="failed for the model as it is: FileNotFoundError: no images"
    ):
        dscost.sensitivity(net, score)


def test_a_function_that_calls_no_model_does_not_tell_what_it_takes(net: nn.Module) -> None:
    with pytest.raises(InputError, match=r"does not state its input"):
        dscost.sensitivity(net, lambda other: 0.5)


# -- what goes wrong


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (
            lambda _: 1 / 0,
            "<lambda> failed for the model as it is: ZeroDivisionError: division by zero",
        ),
        (lambda _: None, "<lambda> returned nothing for the model as it is: expected a number"),
        (lambda model: model(IMAGES), "<lambda> returned ["),
        (
            lambda _: 0.5,
            "<lambda> returned 0.5 for the model as it is, and the same with all of its 2 conv",
        ),
        (3, "score is a function of a model, or file.py:NAME, found 3"),
        (
            "accuracy",
            "--score: expected a function in a file, such as eval.py:accuracy, found 'accuracy'",
        ),
        (None, "sensitivity needs a score: a function of a model, or file.py:NAME"),
    ],
    ids=["raises", "nothing", "outputs", "constant", "number", "name", "none"],
)
def test_what_is_wrong_is_told_in_a_line(net: nn.Module, score: Any, line: str) -> None:
    with pytest.raises(InputError) as found:
        dscost.sensitivity(net, score, input=INPUT)
    assert str(found.value).startswith(line)
    assert "\n" not in str(found.value)


def test_a_score_that_only_ruin_changes_is_taken(net: nn.Module) -> None:
    def score(other: nn.Module) -> float:
        return float(other(IMAGES).abs().sum() > 0) + float(other(IMAGES).std() > 0)

    found = dscost.sensitivity(net, score, input=INPUT, score_budget=20)
    assert found.safe == ("first", "last")
    assert found.costly == ()
    assert {one.loss for one in found.layers} == {0}


@pytest.mark.parametrize("target", ["net.onnx", "no-such-model", 3])
def test_a_target_that_is_none_is_told(
    target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        dscost.sensitivity(target, lambda model: 0.5)


# -- again


def test_a_journal_spares_every_evaluation_and_belongs_to_one_model(
    net: nn.Module, tmp_path: Path
) -> None:
    calls, path, likeness = [], tmp_path / "kept" / "journal.jsonl", likeness_to(net)

    def score(other: nn.Module) -> Tensor:
        calls.append(None)
        return likeness(other)

    first = dscost.sensitivity(net, score, input=INPUT, score_budget=6, journal=path)
    assert len(calls) == first.evaluations == 6
    again = dscost.sensitivity(net, score, input=INPUT, score_budget=6, journal=path)
    assert len(calls) == 6
    assert again == first._replace(from_journal=6)
    more = dscost.sensitivity(net, score, input=INPUT, score_budget=9, journal=path)
    assert (len(calls), more.evaluations, more.from_journal) == (9, 9, 6)
    with torch.no_grad():
        net.last.weight[0, 0, 0, 0] += 1
    with pytest.raises(
        InputError, match=r"is a journal of something else: other weights; name another"
    ):
        dscost.sensitivity(net, score, input=INPUT, journal=path)


class Addressed(nn.Conv2d):
    """A convolution that shows where it is."""

    def extra_repr(self) -> str:
        return f"<function at 0x{id(self):x}>"


class Unshown(nn.Conv2d):
    """A convolution that cannot be shown."""

    def extra_repr(self) -> str:
        raise ValueError("not shown")


@pytest.mark.parametrize("kind", [Addressed, Unshown, nn.Conv2d])
def test_a_model_made_anew_is_the_same_and_one_of_other_layers_is_not(
    kind: type[nn.Conv2d], tmp_path: Path
) -> None:
    path, images = tmp_path / "j.jsonl", torch.randn(2, 16, 5, 5)

    def found(activation: nn.Module) -> Sensitivity:
        torch.manual_seed(0)
        model = nn.Sequential(kind(16, 16, 3), activation)

        def score(other: nn.Module) -> float:
            return float(other(images).square().mean())

        return dscost.sensitivity(model, score, input=(1, 16, 5, 5), score_budget=4, journal=path)

    assert found(nn.ReLU()).from_journal == 0
    assert found(nn.ReLU()).from_journal == 4
    with pytest.raises(InputError, match=r"is a journal of something else: other weights"):
        found(nn.GELU())


@pytest.mark.parametrize(
    "buffer",
    [
        torch.zeros(0),
        torch.tensor(3),
        torch.zeros(3, dtype=torch.bool),
        torch.zeros(3, dtype=torch.complex64).conj(),
        torch.eye(3).to_sparse(),
        torch.zeros(1).expand(1000),
        torch.zeros(3).to(torch.float8_e4m3fn),
        torch.zeros(3, dtype=torch.bfloat16),
        torch.zeros(3, device="meta"),
    ],
    ids=[
        "empty",
        "number",
        "bool",
        "conjugated",
        "sparse",
        "expanded",
        "float8",
        "bfloat16",
        "meta",
    ],
)
def test_tensors_of_every_kind_may_be_in_a_model(net: nn.Module, buffer: Tensor) -> None:
    score = likeness_to(net)
    net.register_buffer("odd", buffer)
    found = dscost.sensitivity(net, score, input=INPUT, score_budget=4)
    assert len(found.layers) == 3


def test_weights_that_are_not_there_are_told_in_a_line() -> None:
    model = nn.Sequential(nn.Conv2d(16, 16, 3, device="meta"))
    with pytest.raises(InputError, match=r"^'0' is on meta, without weights to decompose$"):
        dscost.sensitivity(model, lambda other: 0.5, input=(1, 16, 5, 5))
    model = nn.Sequential(nn.Conv2d(16, 16, 3))
    nn.init.constant_(model[0].weight, float("nan"))
    with pytest.raises(InputError, match=r"^the weights of '0' are not finite"):
        dscost.sensitivity(model, lambda other: 0.5, input=(1, 16, 5, 5))


def test_progress_is_told_of_every_evaluation(net: nn.Module) -> None:
    told = list[tuple[float | None, str]]()
    found = dscost.sensitivity(
        net,
        likeness_to(net),
        input=INPUT,
        score_budget=6,
        progress=lambda share, doing: told.append((share, doing)),
    )
    scoring = [one for one in told if one[1].startswith("scoring")]
    assert len(scoring) == found.evaluations == 6
    assert scoring[0][0] == 0
    assert "the model as it is" in scoring[0][1]
    assert "'first' alone at rank 1" in scoring[1][1] or "'last' alone at rank 1" in scoring[1][1]


# -- how it is told


@pytest.fixture
def found(net: nn.Module) -> Sensitivity:
    """Return what two layers lose of a likeness."""
    return dscost.sensitivity(net, likeness_to(net), input=INPUT, score_budget=20)


def test_it_is_told_in_a_line_in_a_table_and_in_markdown(found: Sensitivity) -> None:
    line = "Net: 0 of 2 layers safe at rank 1 alone; costly: "
    assert found.in_a_line().startswith(line)
    assert repr(found).startswith(f"<Sensitivity {line}")
    lines = str(found).splitlines()
    assert lines[0] == found.in_a_line()
    assert lines[1].endswith(": 0 as it is.")
    assert [line.split()[0] for line in lines[5:7]] == ["first", "last"]
    assert "costly" in lines[5]
    assert lines[5].endswith("82.94k → 14.40k")
    assert lines[-1] == "14 evaluations."
    assert "| first" in found.to_markdown()


def test_its_rows_are_the_same_in_every_format(found: Sensitivity, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    found.save(tmp_path / "s.csv")
    found.save(tmp_path / "s.json")
    document = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert document["command"] == "sensitivity"
    assert document["sensitivity"] == found.to_dict()
    frame, csv = found.to_pandas(), pandas.read_csv(tmp_path / "s.csv")
    assert len(frame) == len(csv) == len(found.layers) == len(document["sensitivity"]["layers"])
    for at, one in enumerate(found.layers):
        layer = document["sensitivity"]["layers"][at]
        for name, value in one._asdict().items():
            column = "layer" if name == "name" else name
            assert layer[name] == frame[column][at] == value
            assert csv[column][at] == (pytest.approx(value) if isinstance(value, float) else value)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_what_is_best_at_rank_1_is_what_is_told_of_a_layer(found: Sensitivity) -> None:
    for name, best in found.at_rank_one.items():
        ones = [one for one in found.layers if (one.name, one.rank) == (name, 1)]
        assert len(ones) == 2
        assert best.loss == min(one.loss for one in ones)
    assert set(found.costly) == {"first", "last"}


def test_a_module_of_python_may_be_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\ndef make():\n    torch.manual_seed(0)\n    return nn.Conv2d(16, 16, 3)\n"
    )
    (tmp_path / "eval.py").write_text(
        "import torch\ndef score(model):\n"
        "    return -model(torch.ones(2, 16, 5, 5)).square().mean((1, 2, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    found = dscost.sensitivity("net.py:make", "eval.py:score", score_budget=4)
    assert (found.target, found.name) == ("net.py:make", "eval.py:score")
    assert {one.name for one in found.layers} == {""}
    assert {one.macs_before for one in found.layers} == {16 * 16 * 9 * 9}
    assert "(root)" in str(found)


# -- a plan by a score, from Python


def test_a_plan_by_a_score_is_a_plan_as_any_other(net: nn.Module) -> None:
    score = likeness_to(net)
    plan = dscost.plan(net, "macs=0.5x", input=INPUT, score=score, score_budget=30)
    converted = dscost.convert(net, plan=plan)
    macs = dscost.analyze(converted, input=INPUT).totals.as_is.macs
    assert macs <= 0.5 * dscost.analyze(net, input=INPUT).totals.as_is.macs
    lost = -float(score(converted.eval()).mean())
    # both layers at the ranks that the goal leaves, each by the SVD of torch
    for ranks in [(1, 1), (1, 2), (2, 1)]:
        other = dscost.convert(net, plan={"first": ranks[0], "last": ranks[1]}).eval()
        counted = dscost.analyze(other, input=INPUT).totals.as_is.macs
        if counted <= 0.5 * dscost.analyze(net, input=INPUT).totals.as_is.macs:
            assert lost <= 1.02 * -float(score(other).mean())


def test_a_plan_without_a_score_has_no_options_of_one(net: nn.Module) -> None:
    with pytest.raises(InputError, match=r"^goal score=0\.9x needs a score: give --score"):
        dscost.plan(net, "score=0.9x", input=INPUT)
    with pytest.raises(InputError, match=r"^a score's budget has no meaning without a score"):
        dscost.plan(net, "macs=0.5x", input=INPUT, score_budget=30)
    with pytest.raises(
        InputError, match=r"^score=1 cannot be reached: the most is 0, the model as it is$"
    ):
        dscost.plan(
            net, "score=1", input=INPUT, score=likeness_to(net), strict=True, score_budget=8
        )


def test_a_journal_is_of_the_code_that_layers_are_written_in(tmp_path: Path) -> None:
    text = (
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        torch.manual_seed(0)\n"
        "        self.conv = nn.Conv2d(32, 32, 3)\n\n"
        "    def forward(self, x):\n        return {}(self.conv(x))\n"
    )
    journal = tmp_path / "journal.jsonl"
    for function in ("torch.relu", "torch.tanh"):
        (tmp_path / "net_here.py").write_text(text.format(function))
        given = (str(tmp_path / "net_here.py:Net"), lambda model: -float(model.conv.weight.norm()))
        if function == "torch.relu":
            dscost.sensitivity(*given, input=(1, 32, 8, 8), journal=journal, score_budget=4)
            continue
        with pytest.raises(dscost.DscostError, match="is a journal of something else: other code"):
            dscost.sensitivity(*given, input=(1, 32, 8, 8), journal=journal, score_budget=4)
