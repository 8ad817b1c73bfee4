"""The convolution of `dscost layer` as people type it."""

import json
from typing import Any

import pytest

import dscost
from dscost.errors import InputError
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
        ("3 4 k", "kernel size: expected something like 3, 5x3 or 3x3x3, found 'k'"),
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


@pytest.mark.parametrize(
    ("words", "in_python"),
    [
        ("8 16 3 --dims 1", {"kernel_size": (3,)}),
        (
            "8 16 5 --dims 1 --size 100 --stride 2",
            {"kernel_size": (5,), "stride": 2, "input_size": 100},
        ),
        ("8 16 3x3x3", {"kernel_size": (3, 3, 3)}),
        ("8 16 3 --size 4x5x6", {"kernel_size": 3, "input_size": (4, 5, 6)}),
        (
            "8 16 3 --stride 1×2×2 --size 4",
            {"kernel_size": 3, "stride": (1, 2, 2), "input_size": 4},
        ),
        ("8 16 3 --padding 0x1x1", {"kernel_size": 3, "padding": (0, 1, 1)}),
        ("8 16 3 --dilation 1x2x2 --dims 3", {"kernel_size": 3, "dilation": (1, 2, 2)}),
        ("8 16 3 --transposed --stride 2", {"kernel_size": 3, "stride": 2, "transposed": True}),
        (
            "8 16 4 --transposed --dims 3 --stride 3 --padding 1 --output-padding 0x1x2",
            {"kernel_size": 4, "stride": 3, "padding": 1, "transposed": True}
            | {"output_padding": (0, 1, 2)},
        ),
    ],
)
def test_one_and_three_dimensions_and_transposed_ones_are_those_of_python(
    words: str, in_python: dict[str, Any]
) -> None:
    (found,) = layer(*words.split())["layers"]
    (expected,) = dscost.layer(8, 16, **in_python).to_dict()["layers"]
    assert found == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("256 256 3 --dims 1", "1/N + 1/K = 1/256 + 1/3 = 0.3372 → 2.97× fewer weights and MACs"),
        (
            "256 256 3 --dims 3",
            "1/N + 1/K³ = 1/256 + 1/27 = 0.0409 → 24.4× fewer weights and MACs",
        ),
        (
            "256 256 3x5x5",
            "T·(G/N + 1/(Kd·Kh·Kw)) = 1·(1/256 + 1/75) = 0.0172 → 58.0× fewer weights and MACs",
        ),
        # its pointwise stage is applied at more positions than it is
        ("256 256 3 --transposed --stride 2", "= 0.1150 → 8.69× fewer weights\n"),
        ("256 256 3 --transposed --stride 2", "padding 1 (2× the size), output padding 1, "),
    ],
)
def test_the_formula_has_the_power_of_the_dimensions(words: str, said: str) -> None:
    page = run("layer", *words.split(), "--no-time").stdout
    assert said in page
    assert ("output padding" in page) == ("--transposed" in words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "8 8 3 --output-padding 1",
            "--output-padding is for --transposed: no other convolution has one",
        ),
        ("8 8 3x3 --size 4x5x6", "input_size 4×5×6 has 3 sizes, but kernel_size 3×3 has 2 sizes"),
        ("8 8 3 --dims 4", "dims must be 1, 2 or 3, found 4"),
        (
            "8 8 3 --dims 1 --memory-format channels_last",
            "--memory-format channels_last is a layout of images: leave it out for Conv1d",
        ),
        (
            "8 8 3 --dims 3 --transposed --padding same",
            "a transposed convolution has no padding 'same'",
        ),
    ],
)
def test_what_does_not_go_together_is_told_in_a_line(words: str, line: str) -> None:
    assert refused(words) == line


@pytest.mark.parametrize(
    ("dims", "settings"), [(1, ["cpu"]), (2, ["cpu", "cpu:channels_last"]), (3, ["cpu"])]
)
def test_only_images_are_timed_in_channels_last(
    dims: int, settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def bench(options: object, of: Any, *rest: object) -> None:
        found.extend(setting.key for setting in of)
        raise InputError("seen")

    monkeypatch.setattr("dscost.analysis.layer_timing.Bench", bench)
    with pytest.raises(InputError, match="seen"):
        dscost.layer(8, 8, 3, dims=dims, time=True)
    assert found == settings
