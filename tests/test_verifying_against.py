"""Peers held against their rules: fakes for what any of them may do, the real ones where they are installed."""

import json
import logging
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import dscost
from dscost.analysis import verifying_against
from dscost.analysis.peers import PEERS, Peer, PeerCount, release_of
from dscost.cli import run
from dscost.errors import InputError, UnavailableError, UnknownNameError

SHAPE = (1, 3, 6, 6)
CONV, NORM = 4 * 4 * 4 * 27, 2 * 4 * 4 * 4
"""What a convolution of four filters counts, and by fvcore's rules the normalisation behind it."""


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())


Count = Callable[[Any, Any], PeerCount]
Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put something in place of fvcore, which is said to be installed."""

    def put(count: Count, release: str = "0.1.5", **settings: Any) -> None:
        monkeypatch.setitem(PEERS, "fvcore", Peer("fvcore==0.1.5", count, **settings))
        monkeypatch.setattr(verifying_against, "release_of", lambda peer: release)

    return put


def _says(norm: int, more: int = 0) -> Count:
    own = {"": Fraction(0), "0": Fraction(CONV), "1": Fraction(norm), "2": Fraction(0)}
    return lambda model, arguments: PeerCount(CONV + norm + more, own)


def _fails(model: Any, arguments: Any) -> PeerCount:
    raise RuntimeError("no such operator\nand more")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    code = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())\n"
    (tmp_path / "net.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    return "net.py:make"


def _written(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(["verify", *words])
    return code, capsys.readouterr().out


def test_a_peer_that_says_what_its_rules_say(
    fake: Fake, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(_says(NORM))
    assert _written(capsys, target, "--input", "1,3,6,6", "--against", "fvcore") == (
        0,
        f"{target}: dscost counts 1,728 MACs\n"
        "fvcore 0.1.5 says 1,856 FLOPs, and so do its rules as dscost has them (fvcore-0.1.5).\n",
    )


@pytest.mark.parametrize(
    ("count", "code", "line"),
    [
        (_says(NORM // 2), 1, "  1 (BatchNorm2d): 64, by the rules 128"),
        (_says(NORM, more=-7), 1, "  -7 is told of no module"),
        (
            _fails,
            2,
            "fvcore 0.1.5 cannot count it: RuntimeError: no such operator; "
            "by its rules as dscost has them (fvcore-0.1.5) it is 1,856.",
        ),
    ],
)
def test_the_exit_code_and_the_line_of_a_peer_that_does_not(
    count: Count,
    code: int,
    line: str,
    fake: Fake,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(count)
    found, out = _written(capsys, target, "--input", "1,3,6,6", "--against", "fvcore")
    assert (found, out.splitlines()[-1]) == (code, line)


def test_differences_and_failures_for_programs(
    fake: Fake, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(_says(NORM // 2))
    words = (target, "--input", "1,3,6,6", "--against", "fvcore")
    data = json.loads(_written(capsys, *words, "--json")[1])
    assert data["agrees"] is False
    assert data["macs"] == CONV
    (one,) = data["against"]
    assert (one["peer"], one["ours"], one["theirs"]) == ("fvcore", CONV + 128, CONV + 64)
    assert one["differences"] == [{"module": "1", "type": "BatchNorm2d", "ours": 128, "theirs": 64}]
    rows = _written(capsys, *words, "--format", "csv")[1].splitlines()
    assert rows == [
        "target,peer,release,convention,module,type,ours,theirs",
        f"{target},fvcore,0.1.5,fvcore-0.1.5,,,1856,1792",
        f"{target},fvcore,0.1.5,fvcore-0.1.5,1,BatchNorm2d,128,64",
    ]


def test_a_peer_of_another_release_is_compared_and_said_to_be_one(fake: Fake) -> None:
    fake(_says(NORM), release="0.2.0")
    found = dscost.verify(net(), SHAPE, against="fvcore")
    assert found.agrees
    assert found.notes == ("fvcore 0.2.0 is installed, the rules are those of fvcore-0.1.5.",)
    fake(_says(NORM), release="0.1.5.post20221221")
    assert dscost.verify(net(), SHAPE, against="fvcore").notes == ()


def test_several_peers_each_of_which_may_be_called_by_its_convention(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(_says(NORM))
    monkeypatch.setitem(PEERS, "ptflops", Peer("ptflops==0.7.5", _fails))
    found = dscost.verify(net(), SHAPE, against=["fvcore-0.1.5", "ptflops"])
    assert [one.peer for one in found.against] == ["fvcore", "ptflops"]
    assert found.partial == ("ptflops: RuntimeError: no such operator",)
    assert not found.differs
    assert repr(found) == "<PeerVerification Sequential: 1,728 MACs, fvcore 1,856, ptflops nothing>"


def test_what_a_peer_does_not_tell_by_module_is_held_against_no_module(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # by the rules of ptflops a ReLU is two: the module, which it tells of, and its function
    def count(model: Any, arguments: Any) -> PeerCount:
        own = {"0": Fraction(CONV), "1": Fraction(NORM), "2": Fraction(64)}
        return PeerCount(CONV + NORM + 64, own)

    fake(count, by_module=("modules",))
    monkeypatch.setitem(PEERS, "ptflops", PEERS["fvcore"])
    (found,) = dscost.verify(net(), SHAPE, against="ptflops").against
    assert found.ours == CONV + NORM + 2 * 64
    assert [tuple(one) for one in found.differences] == [("", "", 0, -64)]


def _runs_riot(model: Any, arguments: Any) -> PeerCount:
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not any(part.training for part in model.modules())
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *arguments.tensors))
    print("I count")
    print("I count", file=sys.stderr)
    warnings.warn("I count", stacklevel=1)
    logging.getLogger("some.peer").warning("I count")
    functional.relu = functional.gelu  # type: ignore[assignment]
    torch.Tensor.matmul = torch.Tensor.mul  # type: ignore[method-assign]
    torch.matmul = torch.mul
    torch.manual_seed(99)
    for part in model.modules():
        part.register_forward_hook(lambda *_: 1 / 0)
        part.train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return PeerCount(CONV + NORM, {})


def test_nothing_is_left_of_what_a_peer_does(
    fake: Fake, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fake(_runs_riot)
    module = net().train()
    held = [parameter.detach().clone() for parameter in module.parameters()]
    before = (functional.relu, torch.matmul, "matmul" in vars(torch.Tensor), torch.get_rng_state())
    found = dscost.verify(module, SHAPE, against="fvcore")
    assert found.agrees, found.partial
    assert before[:3] == (functional.relu, torch.matmul, "matmul" in vars(torch.Tensor))
    assert torch.equal(before[3], torch.get_rng_state())
    assert all(map(torch.equal, held, module.parameters()))
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_built_in_is_run_as_the_module_that_it_describes(fake: Fake) -> None:
    given: list[Any] = []

    def count(model: Any, arguments: Any) -> PeerCount:
        given.append(tuple(model(*arguments.args).shape))
        return PeerCount(1, {})

    fake(count)
    found = dscost.verify("mobilenet_v2", (2, 3, 32, 32), against="fvcore")
    assert given == [(2, 1000)]
    assert found.differs


# -- what cannot be asked for


def test_a_peer_that_nobody_knows() -> None:
    with pytest.raises(UnknownNameError, match="unknown peer 'fvcor' \\(did you mean 'fvcore'\\?"):
        dscost.verify(net(), SHAPE, against="fvcor")


def test_rules_that_no_tool_is_known_for() -> None:
    with pytest.raises(
        InputError, match=r"^tensorflow-profiler has rules alone: no tool is known "
    ):
        dscost.verify(net(), SHAPE, against="tensorflow-profiler")


def test_an_exported_program_holds_no_modules_to_be_counted(fake: Fake, tmp_path: Path) -> None:
    fake(_says(0))
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net().eval(), (torch.zeros(SHAPE),)), path)
    with pytest.raises(
        InputError, match="is an exported program: it holds operators, not the modu"
    ):
        dscost.verify(str(path), against="fvcore")


@pytest.mark.parametrize(
    ("release", "is_alike"),
    [
        ("0.1.1", True),
        ("0.1.1-2209072238", True),
        ("0.1.1.post2209072238", True),
        ("0.1.12", False),
        ("0.2", False),
    ],
)
def test_a_release_is_that_of_the_rules_whatever_is_behind_it(release: str, is_alike: bool) -> None:
    assert verifying_against._is_of("thop-0.1.1", release) is is_alike


def test_a_peer_that_is_not_installed() -> None:
    with pytest.raises(UnavailableError) as told:
        release_of(Peer("no-such-peer==1.2", _fails))
    assert str(told.value) == "no-such-peer is not installed: pip install no-such-peer==1.2"


def test_a_peer_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_peer.py").write_text("import no_such_distutils\n")
    info = tmp_path / "broken_peer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken_peer\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnavailableError) as told:
        release_of(Peer("broken_peer==1.0", _fails))
    wrong = "ModuleNotFoundError: No module named 'no_such_distutils'"
    assert str(told.value) == f"broken_peer cannot be imported: {wrong}"


def test_an_onnx_file_is_no_module_of_torch(fake: Fake, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2])
    made = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    path = tmp_path / "net.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [made])), path)
    fake(_fails)
    with pytest.raises(InputError) as told:
        dscost.verify(path, against="fvcore")
    assert str(told.value) == f"{path} is an ONNX file: peers count models of torch, and read none"


# -- the peers themselves


class Named(nn.Module):
    """Takes one of its inputs by name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x) * scale
        return found


def _shared() -> nn.Module:
    norm, act = nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, act, nn.Sequential(norm, act))


def _needs(name: str) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("name", list(PEERS))
@pytest.mark.parametrize("make", [net, _shared, lambda: nn.Conv2d(3, 4, 3)])
def test_a_real_peer_says_what_its_rules_say(name: str, make: Callable[[], nn.Module]) -> None:
    _needs(name)
    (found,) = dscost.verify(make(), (2, 3, 6, 6), against=name).against
    assert found.failure == ""
    assert found.ours == found.theirs


@pytest.mark.parametrize("name", list(PEERS))
def test_the_modules_of_a_real_peer_make_up_its_figure(name: str) -> None:
    _needs(name)
    from dscost.tracing import arguments_of

    found = PEERS[name].run(_shared().eval(), arguments_of((2, 3, 6, 6)).on("cpu"))
    told = sum(found.own.values())
    # of each of two inputs 64 values, by the function that a ReLU calls twice
    functions = 2 * 2 * 64 if name == "ptflops" else 0
    assert told + functions == found.total


def test_a_model_that_ptflops_cannot_run_is_told_by_the_error_that_it_prints() -> None:
    _needs("ptflops")

    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.is_meta:
                return x
            raise RuntimeError("no such thing")

    (found,) = dscost.verify(Fails(), SHAPE, against="ptflops").against
    assert found.failure == "RuntimeError: no such thing"


def test_fvcore_takes_no_inputs_by_name() -> None:
    _needs("fvcore")
    given = {"x": SHAPE, "scale": (1,)}
    (found,) = dscost.verify(Named(), given, against="fvcore").against
    assert found.failure == "it gives a model its inputs by place, and scale is taken by name alone"
