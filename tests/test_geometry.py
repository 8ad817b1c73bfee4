"""The convolution of `dscost layer` as people type it."""

import json
from typing import Any

import pytest

from tests.program import run


def layer(*words: str) -> Any:
    ran = run("layer", "--no-time", "--json", *words)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)["subjects"][0]


def refused(words: str) -> str:
    ran = run("layer", *words.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    line, *usage = ran.stderr.splitlines()
    assert bool(usage) == ("; missing: " in line)
    return line.removeprefix("dscost: ")


@pytest.mark.parametrize(
    "words",
    [
        "48 96 5x3 --stride 2",
        "48 96 -k 5x3 --stride 2",
        "48 --cout 96 --kernel-size 5x3 --stride 2",
        "--stride 2 --in-channels 48 --out-channels 96 --kernel 5X3",
        "--stride 2 48 96 5×3",
        "--stride=2 -k5x3 -- 48 96",
    ],
)
def test_channels_and_kernel_are_given_by_place_or_by_option(words: str) -> None:
    assert layer(*words.split()) == layer(*"--cin 48 --cout 96 -k 5x3 --stride 2".split())


_EXPECTED = "expected input channels, output channels and kernel size such as 256 256 3"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "",
            f"{_EXPECTED}; missing: input channels (--cin), output channels (--cout), kernel size (--kernel)",
        ),
        ("256 256", f"{_EXPECTED}; missing: kernel size (--kernel)"),
        ("--cin 3 --cout 4", f"{_EXPECTED}; missing: kernel size (--kernel)"),
        ("256 256 3 -k 3", "kernel size: given twice, 3 by its place and 3 by --kernel"),
        ("256 --cin 8 4 3", "input channels: given twice, 256 by its place and 8 by --cin"),
        (
            "3 4 5 7",
            f"{_EXPECTED}, found 4: 3 4 5 7 (did you mean 3 4 5x7?)",
        ),
        ("3 4 5 resnet18", f"{_EXPECTED}, found 4: 3 4 5 resnet18"),
        ("a 4 3", "input channels: expected something like 256, found 'a'"),
        ("3 4 k", "kernel size: expected something like 3 or 5x3, found 'k'"),
        ("0 4 3", "in_channels must be at least 1, found 0"),
    ],
)
def test_what_is_missing_or_given_twice_is_told_in_a_line(words: str, line: str) -> None:
    assert refused(words) == line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-cin 256 -cout 256 -k 3", "No such option: -cin (did you mean '--cin'?)"),
        ("3 4 -kernel 3", "No such option: -kernel (did you mean '--kernel'?)"),
        ("3 4 -kernel-size=3", "No such option: -kernel-size (did you mean '--kernel-size'?)"),
        ("3 4 3 -output x.json", "No such option: -output (did you mean '--output'?)"),
        ("3 4 3 -no-time", "No such option: -no-time (did you mean '--no-time'?)"),
        ("3 4 3 -strid 2", "No such option: -strid (did you mean '--stride'?)"),
        ("3 4 3 -zzz", "No such option: -zzz"),
    ],
)
def test_an_option_with_a_dash_too_few_is_told_as_the_option_that_it_is(
    words: str, line: str
) -> None:
    assert refused(words) == line


def test_a_dash_too_few_is_told_by_every_command() -> None:
    for words in ("model resnet18 -input 1,3,8,8", "compare resnet18 vgg16 -input 1,3,8,8"):
        said = run(*words.split())
        assert said.stderr == "dscost: No such option: -input (did you mean '--input'?)\n"
    assert (
        run("-version").stderr == "dscost: No such option: -version (did you mean '--version'?)\n"
    )
    assert run("model", "-help").stderr.endswith("-help (did you mean '--help'?)\n")


def test_short_options_keep_what_stands_behind_their_letter() -> None:
    assert layer("3", "4", "-k5", "-qv")["layers"][0]["conv"]["kernel_size"] == [5, 5]


def test_one_input_channel_is_the_question_of_a_dense_layer() -> None:
    found = layer("1", "16", "3")["layers"][0]
    assert found["variants"]["standard"]["params"] == 16 * 9
    assert found["variants"]["depthwise_separable"]["params"] == 9 + 16
    assert found["formula_ratio"] == pytest.approx(1 / 16 + 1 / 9)
