"""A runtime that was asked for by name and timed nothing, and options that go without timing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from program import run
from test_advice import NET

import dscost
from dscost.analysis.places import under_of
from dscost.runtimes import RUNTIMES, How, Running, Runtime
from dscost.runtimes.programs import Program
from dscost.timing import Setting


def refused(program: Program, how: How) -> Running:
    raise ValueError("it has no batch axis")


@pytest.fixture
def refusing() -> Iterator[None]:
    """A runtime that is here and refuses whatever it is given."""
    list(RUNTIMES)  # those of dscost itself are there first
    before = dict(RUNTIMES._entries)
    packages = {"pytest": "pytest"}
    dscost.register_runtime(
        Runtime("refusing", "Refusing", "a call", packages, "onnx", ("float32",), refused, "")
    )
    yield
    RUNTIMES._entries.clear()
    RUNTIMES._entries.update(before)


@pytest.mark.parametrize(
    "line",
    [
        "layer 8 8 3 --runtime refusing --time-budget 300ms",
        "layer 8 8 3 --runtime refusing --time-budget 300ms -q",
        "model {net} --runtime refusing --time-budget 300ms",
        "compare {net} {net} --time --runtime refusing --time-budget 300ms",
    ],
)
@pytest.mark.usefixtures("refusing", "own_time")
def test_where_nothing_that_was_asked_for_was_timed_it_exits_2(line: str, tmp_path: Path) -> None:
    net = tmp_path / "net.yaml"
    net.write_text(NET)
    ran = run(*line.format(net=net).split())
    (told,) = [one for one in ran.stderr.splitlines() if one.startswith("dscost: ")]
    assert told.startswith("dscost: nothing was timed: ")
    assert "Refusing" in told, "which runtime"
    assert "it has no batch axis" in told, "and why"
    assert "MACs" in ran.stdout, "what was counted is told"
    assert ran.returncode == 2


@pytest.mark.usefixtures("refusing", "own_time")
def test_where_another_runtime_was_timed_it_ends_well() -> None:
    ran = run(*"layer 8 8 3 --runtime refusing,torch --threads 1 --time-budget 300ms".split())
    assert ran.returncode == 0
    assert "dscost: Not timed: " in ran.stderr


def test_torch_that_nobody_named_may_time_nothing() -> None:
    ran = run(*"layer 8 8 3 --dtype int8".split())
    assert ran.returncode == 0
    told = (
        "dscost: Not timed: torch runs no convolution in int8 on cpu; --runtime onnxruntime does."
    )
    assert ran.stderr.splitlines().count(told) == 1, "once, though both variants lack it"


@pytest.mark.parametrize("command", ["layer 8 8 3", "model resnet18"])
@pytest.mark.parametrize("option", ["--runtime onnxruntime", "--clock cpu"])
def test_runtimes_and_clocks_need_timing(command: str, option: str) -> None:
    ran = run(*f"{command} {option} --no-time".split())
    name, _ = option.split()
    told = f"dscost: {name} needs timing: nothing is measured with --no-time"
    assert (ran.returncode, ran.stderr.strip()) == (2, told)


def test_models_are_compared_in_one_dtype() -> None:
    ran = run(*"compare resnet18 resnet34 --dtype float32,int8".split())
    told = "dscost: --dtype: models are compared in one at a time, found 'float32,int8'"
    assert (ran.returncode, ran.stderr.strip()) == (2, told)


def test_a_setting_is_named_where_there_are_several() -> None:
    one, other = Setting(), Setting(runtime="onnxruntime")
    assert under_of(other, [one, other]) == " under cpu:onnxruntime"
    assert under_of(other, [other]) == ""
