"""Runtimes and clocks as the command line and the library take them, before anything runs."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from program import run
from test_completing import offered

import dscost
from dscost.analysis import timing_options
from dscost.cli import measuring as how
from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.runtimes import RUNTIMES, How, Running, Runtime
from dscost.runtimes.programs import Program
from dscost.timing import TimingOptions


def never_loaded(program: Program, how: How) -> Running:
    raise AssertionError("nothing is to be run here")


def registered(name: str, package: str, extra: str = "") -> Runtime:
    return dscost.register_runtime(
        Runtime(
            name,
            name.title(),
            "a call",
            {package: package.replace("-", "_")},
            "onnx",
            ("float32",),
            never_loaded,
            extra,
        )
    )


@pytest.fixture
def runtimes() -> Iterator[None]:
    """Two more runtimes: `absent`, which nobody has installed, and `present`."""
    list(RUNTIMES)  # those of dscost itself are there first
    before = dict(RUNTIMES._entries)
    registered("absent", "dscost-absent-engine", "absent")
    registered("present", "pytest")
    yield
    RUNTIMES._entries.clear()
    RUNTIMES._entries.update(before)


# -- the command line


@pytest.mark.parametrize(
    "line",
    [
        "layer 256 256 3 --runtime absent",
        "layer 256 256 3 --runtime torch,absent --dtype float32",
        "model no-such-model --runtime absent",
        "compare no-such-model resnet18 --time --runtime present,absent",
    ],
)
def test_a_runtime_that_is_not_installed_ends_it_before_anything_is_counted(
    line: str, runtimes: None
) -> None:
    ran = run(*line.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: --runtime absent: dscost-absent-engine is not installed: "
        "pip install 'dscost[absent]'\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("layer 8 8 3 --runtime onnxrutime", "unknown runtime 'onnxrutime' (did you mean 'onnxruntime'?)"),
        ("layer 8 8 3 --runtime ,", "expected a runtime, see dscost list runtimes"),
        ("layer 8 8 3 --runtime present --dtype int8", "--runtime present runs float32, not int8: see --dtype"),
        ("layer 8 8 3 --runtime torch --dtype int8", "--runtime torch runs float32, float16, bfloat16, float64, not int8: see --dtype"),
        ("layer 8 8 3 --runtime torch,present --device cuda", "--runtime present runs on the CPU, found --device cuda alone: add --device cpu"),
        ("layer 8 8 3 --runtime present --mode compile", "--mode is of --runtime torch, which is not asked for"),
        ("layer 8 8 3 --clock sun", "unknown clock 'sun' (known: wall, cpu)"),
        ("layer 8 8 3 --clock cpu --threads 2", "--clock cpu is of one thread: with 2 it is the time of all together"),
        ("layer 8 8 3 --with-norm --no-time", "--with-norm needs timing: what is counted are the convolutions"),
        ("compare resnet18 vgg16 --runtime present", "--runtime needs --time: nothing is measured without"),
        ("compare resnet18 vgg16 --clock cpu", "--clock needs --time: nothing is measured without"),
    ],
)  # fmt: skip
def test_what_no_runtime_can_do_is_told_in_a_line(line: str, said: str, runtimes: None) -> None:
    ran = run(*line.split())
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"dscost: {said}\n")


def test_the_command_line_comes_to_the_options_of_the_library(runtimes: None) -> None:
    measuring = how.Measuring(runtime="torch, present,torch", clock="cpu")
    assert measuring.options(with_norm=True, profile=True) == TimingOptions(
        runtimes=("torch", "present"), clock="cpu", with_norm=True, profile=True
    )
    assert how.AS_USUAL.options() == TimingOptions()


def test_several_runtimes_are_completed_after_a_comma(runtimes: None) -> None:
    assert offered("dscost layer 8 8 3 --runtime onnx") == ["onnxruntime"]
    assert offered("dscost layer 8 8 3 --runtime torch,p") == ["torch,present"]
    assert offered("dscost layer 8 8 3 --clock c") == ["cpu"]


# -- the library


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"runtime": "present"}, {"runtimes": ("present",)}),
        ({"runtime": ["torch", "present"]}, {"runtimes": ("torch", "present")}),
        ({"clock": "cpu"}, {"clock": "cpu"}),
        ({"timing": {"runtimes": "present"}}, {"runtimes": ("present",)}),
        ({}, {}),
    ],
    ids=["one", "two", "clock", "as a field", "none"],
)
def test_keywords_come_to_the_options(
    given: dict[str, Any], expected: dict[str, Any], runtimes: None
) -> None:
    of_their_own = {name: value for name, value in given.items() if name != "timing"}
    found = timing_options("cpu", None, None, None, given.get("timing"), **of_their_own)
    assert found == TimingOptions(**expected)


def test_a_keyword_that_is_a_field_as_well_is_taken_once(runtimes: None) -> None:
    with pytest.raises(InputError, match="runtimes is given twice"):
        dscost.layer(8, 8, 3, time=True, runtime="present", timing={"runtimes": "torch"})


@pytest.mark.parametrize("call", [dscost.layer, dscost.analyze, dscost.compare])
def test_every_door_refuses_what_is_not_there(call: Any, runtimes: None) -> None:
    given = (8, 8, 3) if call is dscost.layer else ("resnet18",) * (1 + (call is dscost.compare))
    with pytest.raises(UnavailableError, match="dscost-absent-engine is not installed"):
        call(*given, time=True, runtime="absent")
    with pytest.raises(UnknownNameError, match="unknown clock"):
        call(*given, time=True, clock="sun")


# -- what there is


def test_the_list_says_which_are_here_and_how_the_others_come(runtimes: None) -> None:
    ran = run("list", "runtimes")
    lines = {line.split()[0]: line for line in ran.stdout.splitlines() if line}
    assert list(lines)[:6] == [
        *("torch", "torch-compile", "onnxruntime", "openvino", "executorch", "ncnn"),
    ]
    assert (
        "[not installed: pip install 'dscost[absent]'] Absent (float32): a call." in lines["absent"]
    )
    assert f"[{pytest.__version__}] Present (float32): a call." in lines["present"]
    assert "inputs and outputs bound" in lines["onnxruntime"]


def test_the_list_for_programs_has_versions_and_pip_lines_apart(runtimes: None) -> None:
    found = {
        one["name"]: one for one in json.loads(run("list", "runtimes", "--json").stdout)["names"]
    }
    assert found["absent"]["install"] == "pip install 'dscost[absent]'"
    assert "version" not in found["absent"]
    assert found["present"]["version"] == pytest.__version__
    assert "install" not in found["present"]
    rows = list(csv.DictReader(io.StringIO(run("list", "runtimes", "--format", "csv").stdout)))
    assert {row["name"]: row["dtypes"] for row in rows}["onnxruntime"] == "float32,int8"
